"""Wasserstein generators on anything that has a metric.

A Wasserstein GAN needs a metric space, a critic, and something that keeps the critic 1-Lipschitz
in that metric.  Names are loaded on first use, so that `wgankit plugins` and plugin modules, which
need none of torch, stay fast.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_WHERE = {
    "MetricSpace": "space",
    "SmoothSpace": "space",
    "pairwise": "space",
    "Normed": "spaces",
    "OneHot": "spaces",
    "Product": "spaces",
    "Penalty": "penalty",
    "between": "penalty",
    "at_real": "penalty",
    "at_fake": "penalty",
    "one_sided": "penalty",
    "two_sided": "penalty",
    "zero_centred": "penalty",
    "Objective": "objective",
    "Wasserstein": "objective",
    "Latent": "latent",
    "Normal": "latent",
    "Uniform": "latent",
    "Perceptron": "networks",
    "Estimate": "estimates",
    "estimate": "estimates",
    "fit_critic": "critic",
    "train": "training",
    "Step": "training",
    "Training": "training",
    "Domain": "domain",
    "Model": "domain",
    "Encoded": "domain",
    "Reading": "domain",
    "Recipe": "recipes",
    "recipe": "recipes",
    "load": "recipes",
    "hookimpl": "hooks",
    "WGANKIT_API": "hooks",
    "SpaceSpec": "hooks",
    "PenaltySpec": "hooks",
    "CriticSpec": "hooks",
    "GeneratorSpec": "hooks",
    "RecipeSpec": "hooks",
    "DatasetSpec": "hooks",
    "MetricSpec": "hooks",
    "WgankitError": "errors",
    "DataError": "errors",
    "SettingError": "errors",
    "ShapeError": "errors",
    "RunError": "errors",
    "MissingPackageError": "errors",
}

__all__ = ["__version__", *_WHERE]  # noqa: PLE0604

if TYPE_CHECKING:
    from wgankit.critic import fit_critic
    from wgankit.domain import Domain, Encoded, Model, Reading
    from wgankit.errors import (
        DataError,
        MissingPackageError,
        RunError,
        SettingError,
        ShapeError,
        WgankitError,
    )
    from wgankit.estimates import Estimate, estimate
    from wgankit.hooks import (
        WGANKIT_API,
        CriticSpec,
        DatasetSpec,
        GeneratorSpec,
        MetricSpec,
        PenaltySpec,
        RecipeSpec,
        SpaceSpec,
        hookimpl,
    )
    from wgankit.latent import Latent, Normal, Uniform
    from wgankit.networks import Perceptron
    from wgankit.objective import Objective, Wasserstein
    from wgankit.penalty import (
        Penalty,
        at_fake,
        at_real,
        between,
        one_sided,
        two_sided,
        zero_centred,
    )
    from wgankit.recipes import Recipe, load, recipe
    from wgankit.space import MetricSpace, SmoothSpace, pairwise
    from wgankit.spaces import Normed, OneHot, Product
    from wgankit.training import Step, Training, train


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"wgankit has no {name!r}")
    return getattr(importlib.import_module(f"wgankit.{_WHERE[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
