"""Settings of recipes: what they are, whether they can work, and the training they make."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from wgankit import state as states
from wgankit.domain import Model
from wgankit.errors import DataError, SettingError
from wgankit.execution import check_compile
from wgankit.objective import objective_named
from wgankit.penalty import Penalty, penalty_from
from wgankit.space import Points, pick
from wgankit.training import Training, train

if TYPE_CHECKING:
    from lightning_fabric import Fabric

DEFAULTS: dict[str, Any] = {
    "steps": 10_000,
    "batch": 64,
    "n_critic": 5,
    "rate": 1e-4,
    "critic_rate": None,
    "betas": [0.0, 0.9],
    "schedule": "linear",
    "ema": 0.999,
    "objective": "wasserstein",
    "penalty": {"weight": 10.0, "where": "between", "shape": "one-sided", "relative": True},
    "model": {},
    "largest": None,
    "held_out": 0.1,
    "seed": 0,
    "read_every": 25,
    "evaluate_every": None,
    "evaluate_on": 1_000,
    "best": None,
    "precision": "32-true",
    "compile": "auto",
    "capture": "auto",
}
"""Settings of every recipe; a domain's `defaults` and the caller's settings replace them.

`schedule` is "constant", or "linear": full rates for the first half, then down to a twentieth.
`best` is [name of a metric, "highest" or "lowest"]; None means the lowest exact W1.
"""


def merge(defaults: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """Return settings with the given ones in place of defaults; unknown names are refused."""
    merged = dict(defaults)
    for name, value in given.items():
        if name not in defaults:
            raise SettingError(
                f"there is no setting {name!r}; there are {', '.join(sorted(defaults))}"
            )
        nested = isinstance(defaults[name], Mapping) and isinstance(value, Mapping)
        merged[name] = {**defaults[name], **value} if nested else value
    return merged


def check_settings(settings: Mapping[str, Any]) -> None:
    """Raise `SettingError` for a setting that can never work."""
    for name in ("steps", "batch", "n_critic", "read_every", "evaluate_on"):
        if not isinstance(settings[name], int) or settings[name] < 1:
            raise SettingError(f"{name} is a whole number of at least 1; got {settings[name]!r}")
    rate = settings["rate"]
    if not (math.isfinite(rate) and rate > 0):
        raise SettingError(f"rate is a number > 0, such as 1e-4; got {rate!r}")
    if not 0 <= settings["held_out"] < 1:
        raise SettingError(f"held_out is a share in [0, 1); got {settings['held_out']!r}")
    check_compile(settings["compile"])
    objective_named(settings["objective"])
    schedule_named(settings["schedule"], settings["steps"])
    penalty_from(**settings["penalty"])


def schedule_named(name: str, steps: int) -> Any:
    """Return the factor on learning rates at each step."""
    if name == "constant":
        return lambda step: 1.0
    if name == "linear":
        return lambda step: max(0.05, min(1.0, 2 * (1 - step / max(steps, 1))))
    raise SettingError(f"schedule is constant or linear; got {name!r}")


def training_of(
    model: Model,
    points: Points,
    settings: Mapping[str, Any],
    *,
    penalty: Penalty | None = None,
    device: str = "auto",
    fabric: Fabric | None = None,
) -> Training:
    """Return a model's training at its beginning.

    Arguments:
        model: a domain's networks, space and latents.
        points: stored points to train on.
        settings: all settings of a recipe.
        penalty: in place of the one that the settings name.
        device: "auto", "cpu", "cuda", ...
        fabric: a launched Fabric, which replaces `device`.

    Raises:
        SettingError: a setting that cannot work.
    """
    named = penalty_from(**settings["penalty"], groups=model.groups, over=model.over)
    return train(
        model.generator,
        model.critic,
        pick(points, model.repeats(points)) if model.repeats else points,
        space=model.space,
        latent=model.latent,
        penalty=penalty or named,
        objective=objective_named(settings["objective"]),
        steps=settings["steps"],
        batch=settings["batch"],
        n_critic=settings["n_critic"],
        generator_rate=settings["rate"],
        critic_rate=settings["critic_rate"] or settings["rate"],
        betas=tuple(settings["betas"]),
        schedule=schedule_named(settings["schedule"], settings["steps"]),
        ema=settings["ema"],
        prepare=model.prepare,
        noise=model.noise,
        content=model.content,
        seed=settings["seed"],
        device=device,
        fabric=fabric,
        precision=settings["precision"],
        compile=settings["compile"],
        capture=settings["capture"],
    )


def split(count: int, settings: Mapping[str, Any], noun: str) -> tuple[Tensor, Tensor]:
    """Return the places of objects that are held out, and of those to train on, in order.

    Arguments:
        count: how many objects there are.
        settings: of the recipe.
        noun: what they are called.

    Raises:
        DataError: not enough for a batch.
    """
    with states.seeded(settings["seed"]):
        order = torch.randperm(count)
    held_out = min(round(count * settings["held_out"]), count - 1)
    if count - held_out < settings["batch"]:
        raise DataError(
            f"a batch of {settings['batch']} cannot be drawn from {count - held_out} "
            f"{noun} ({count} less {held_out} held out); give a smaller batch "
            f"(batch={count - held_out}, or --batch {count - held_out}) or more data"
        )
    return order[:held_out].sort().values, order[held_out:].sort().values
