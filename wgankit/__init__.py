"""Wasserstein generators on anything that has a metric.

A Wasserstein GAN needs a metric space, a critic, and something that keeps the critic 1-Lipschitz
in that metric.  Names are loaded on first use, so that `wgankit plugins` and plugin modules, which
need none of torch, stay fast.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from wgankit.lazy import lazy_names as lazy_names

__version__ = "0.1.0"

_WHERE = {
    "closed_forms": "",
    "dynamics": "",
    "exact": "",
    "testing": "",
    "MetricSpace": "space",
    "SmoothSpace": "space",
    "pairwise": "space",
    "Normed": "spaces",
    "OneHot": "spaces",
    "Product": "spaces",
    "Quadratic": "spaces",
    "Sobolev": "spaces",
    "Sphere": "spaces",
    "Hyperboloid": "spaces",
    "Hamming": "spaces",
    "Strings": "spaces",
    "Pullback": "spaces",
    "Funnels": "funnels",
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
    "Conditioned": "latent",
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
    "Learnt": "domain",
    "Workshop": "domain",
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
    "BenchmarkSpec": "hooks",
    "ModelSpec": "hooks",
    "WgankitError": "errors",
    "DataError": "errors",
    "SettingError": "errors",
    "ShapeError": "errors",
    "RunError": "errors",
    "MissingPackageError": "errors",
    "Constraint": "constraint",
    "Clipping": "constraint",
    "ByConstruction": "constraint",
    "Unconstrained": "constraint",
    "at_both": "penalty",
    "JensenShannon": "objective",
    "Relativistic": "objective",
    "MixtureLatent": "latent",
    "MixtureGenerator": "networks",
    "McShane": "mcshane",
    "NormBounded": "lipschitz",
    "Lifted": "lifted",
    "SoftMaxima": "lifted",
    "Muon": "muon",
    "Audit": "audits",
    "audit": "audits",
}


if TYPE_CHECKING:
    from wgankit import closed_forms as closed_forms
    from wgankit import dynamics as dynamics
    from wgankit import exact as exact
    from wgankit import testing as testing
    from wgankit.audits import Audit as Audit
    from wgankit.audits import audit as audit
    from wgankit.constraint import ByConstruction as ByConstruction
    from wgankit.constraint import Clipping as Clipping
    from wgankit.constraint import Constraint as Constraint
    from wgankit.constraint import Unconstrained as Unconstrained
    from wgankit.critic import fit_critic as fit_critic
    from wgankit.domain import Domain as Domain
    from wgankit.domain import Encoded as Encoded
    from wgankit.domain import Learnt as Learnt
    from wgankit.domain import Model as Model
    from wgankit.domain import Reading as Reading
    from wgankit.domain import Workshop as Workshop
    from wgankit.errors import DataError as DataError
    from wgankit.errors import MissingPackageError as MissingPackageError
    from wgankit.errors import RunError as RunError
    from wgankit.errors import SettingError as SettingError
    from wgankit.errors import ShapeError as ShapeError
    from wgankit.errors import WgankitError as WgankitError
    from wgankit.estimates import Estimate as Estimate
    from wgankit.estimates import estimate as estimate
    from wgankit.funnels import Funnels as Funnels
    from wgankit.hooks import WGANKIT_API as WGANKIT_API
    from wgankit.hooks import BenchmarkSpec as BenchmarkSpec
    from wgankit.hooks import CriticSpec as CriticSpec
    from wgankit.hooks import DatasetSpec as DatasetSpec
    from wgankit.hooks import GeneratorSpec as GeneratorSpec
    from wgankit.hooks import MetricSpec as MetricSpec
    from wgankit.hooks import ModelSpec as ModelSpec
    from wgankit.hooks import PenaltySpec as PenaltySpec
    from wgankit.hooks import RecipeSpec as RecipeSpec
    from wgankit.hooks import SpaceSpec as SpaceSpec
    from wgankit.hooks import hookimpl as hookimpl
    from wgankit.latent import Conditioned as Conditioned
    from wgankit.latent import Latent as Latent
    from wgankit.latent import MixtureLatent as MixtureLatent
    from wgankit.latent import Normal as Normal
    from wgankit.latent import Uniform as Uniform
    from wgankit.lifted import Lifted as Lifted
    from wgankit.lifted import SoftMaxima as SoftMaxima
    from wgankit.lipschitz import NormBounded as NormBounded
    from wgankit.mcshane import McShane as McShane
    from wgankit.muon import Muon as Muon
    from wgankit.networks import MixtureGenerator as MixtureGenerator
    from wgankit.networks import Perceptron as Perceptron
    from wgankit.objective import JensenShannon as JensenShannon
    from wgankit.objective import Objective as Objective
    from wgankit.objective import Relativistic as Relativistic
    from wgankit.objective import Wasserstein as Wasserstein
    from wgankit.penalty import Penalty as Penalty
    from wgankit.penalty import at_both as at_both
    from wgankit.penalty import at_fake as at_fake
    from wgankit.penalty import at_real as at_real
    from wgankit.penalty import between as between
    from wgankit.penalty import one_sided as one_sided
    from wgankit.penalty import two_sided as two_sided
    from wgankit.penalty import zero_centred as zero_centred
    from wgankit.recipes import Recipe as Recipe
    from wgankit.recipes import load as load
    from wgankit.recipes import recipe as recipe
    from wgankit.space import MetricSpace as MetricSpace
    from wgankit.space import SmoothSpace as SmoothSpace
    from wgankit.space import pairwise as pairwise
    from wgankit.spaces import Hamming as Hamming
    from wgankit.spaces import Hyperboloid as Hyperboloid
    from wgankit.spaces import Normed as Normed
    from wgankit.spaces import OneHot as OneHot
    from wgankit.spaces import Product as Product
    from wgankit.spaces import Pullback as Pullback
    from wgankit.spaces import Quadratic as Quadratic
    from wgankit.spaces import Sobolev as Sobolev
    from wgankit.spaces import Sphere as Sphere
    from wgankit.spaces import Strings as Strings
    from wgankit.training import Step as Step
    from wgankit.training import Training as Training
    from wgankit.training import train as train

__getattr__ = lazy_names(__name__, _WHERE)


def __dir__() -> list[str]:
    return sorted([*globals(), *_WHERE])
