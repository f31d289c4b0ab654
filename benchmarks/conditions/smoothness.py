"""Smoothness along a condition: samples of one latent as the condition moves."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

import wgankit
from benchmarks.conditions.rows import SEEDS, Row, most, tell
from wgankit import Penalty
from wgankit.settings import schedule_named
from wgankit.space import Points
from wgankit_labels import (
    Conditional,
    ConditionedCritic,
    ConditionedGenerator,
    ConditionedLatent,
    EachCondition,
    across,
)

SPREAD, SEEN, REACH = 0.5, 40, 30.0


def wave(condition: Tensor) -> Tensor:
    """Return the middle of the data at a condition in [-REACH / 2, REACH / 2]."""
    return torch.sin(2 * math.pi * condition / REACH)


def draw(condition: Tensor) -> Tensor:
    """Return data at conditions: a sine with normal noise."""
    return wave(condition) + SPREAD * torch.randn_like(condition)


@dataclass(frozen=True)
class Along:
    """A generator trained on one point at each of `SEEN` conditions.

    Arguments:
        generator: (latents, conditions) -> (points, conditions).
        data: what it was trained on.
    """

    generator: nn.Module
    data: Points

    @torch.no_grad()
    def paths(self, latents: Tensor, count: int = 301) -> Tensor:
        """Return the samples of some latents along the condition, `(latents, count)`."""
        condition = torch.linspace(-REACH / 2, REACH / 2, count)[:, None]
        return torch.stack(
            [self.generator((one.expand(count, 1), condition))[0][:, 0] for one in latents]
        )

    @torch.no_grad()
    def error(self) -> float:
        """Return the mean over conditions of exact W1 to the law of the data there."""
        found = []
        for value in torch.linspace(-0.475, 0.475, 20) * REACH:
            condition = torch.full((300, 1), float(value))
            made, _ = self.generator((torch.randn(300, 1), condition))
            found.append(wgankit.exact.w1(wgankit.Normed(), draw(condition), made))
        return sum(found) / len(found)


def along(weight: float | None, *, seed: int, steps: int) -> Along:
    """Return a trained generator; weight None takes slopes in the point alone."""
    torch.manual_seed(100 + seed)
    condition = REACH * (torch.rand(SEEN, 1) - 0.5)
    data = (draw(condition), condition)
    torch.manual_seed(seed)
    latent, space = wgankit.Normal(1), wgankit.Normed()
    training = wgankit.train(
        ConditionedGenerator(wgankit.Perceptron(1, 1, width=96, depth=2), latent, 1),
        ConditionedCritic(wgankit.Perceptron(1, width=96, depth=2), 1),
        data,
        space=Conditional(space, weight=weight) if weight else EachCondition(space),
        penalty=Penalty(where=across) if weight else Penalty(),
        latent=ConditionedLatent(latent, condition),
        steps=steps,
        batch=SEEN,
        n_critic=3,
        generator_rate=2e-3,
        critic_rate=4e-3,
        ema=0.99,
        schedule=schedule_named("linear", steps),
        seed=seed,
        device="cpu",
    )
    for _ in training:
        pass
    return Along(training.average, data)


def length(paths: Tensor) -> float:
    """Return the mean way up and down of some paths, `(n, count)`."""
    return float(paths.diff(dim=1).abs().sum(1).mean())


def smoothness(quick: bool) -> Iterator[Row]:
    """Samples along a condition that was seen once at each value, with and without its penalty."""
    seeds, steps = (range(1), 1_500) if quick else (SEEDS, 3_000)
    found: dict[float | None, list[tuple[float, float]]] = {None: [], WEIGHT: []}
    for seed in seeds:
        for weight, runs in found.items():
            begun = time.monotonic()
            made = along(weight, seed=seed, steps=steps)
            torch.manual_seed(0)
            runs.append((length(made.paths(torch.randn(100, 1))), made.error()))
            tell(f"smoothness, weight {weight}, seed {seed}", begun)
    middle = torch.linspace(-REACH / 2, REACH / 2, 301)
    real = length(wave(middle)[None, :])
    before = [sum(values) / len(seeds) for values in zip(*found[None], strict=True)]
    for weight, runs in found.items():
        for seed, (way, error) in zip(seeds, runs, strict=True):
            figures = {"path": way, "path of the data": real, "W1 within conditions": error}
            yield Row(f"{_name(weight)}, seed {seed}", figures, {})
    after = [sum(values) / len(seeds) for values in zip(*found[WEIGHT], strict=True)]
    figures = {"path / without": after[0] / before[0], "W1 / without": after[1] / before[1]}
    targets = {} if quick else {"path / without": most(0.9), "W1 / without": most(0.9)}
    yield Row("mean over seeds, with / without", figures, targets)


WEIGHT = 0.15


def _name(weight: float | None) -> str:
    return "slopes in the point alone" if weight is None else f"and along the condition, {weight}"


def draw_paths(folder: Path) -> None:
    """Draw samples along the condition, without and with a penalty on slopes along it."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.6, 2.7), layout="constrained")
    latents = torch.linspace(-1.5, 1.5, 7)[:, None]
    middle = torch.linspace(-REACH / 2, REACH / 2, 301)
    for place, weight in enumerate((None, WEIGHT)):
        made = along(weight, seed=0, steps=3_000)
        axes = figure.add_subplot(1, 2, place + 1)
        points, condition = made.data
        axes.plot(middle, wave(middle), color="0.6", linestyle="--", linewidth=1)
        axes.plot(middle, made.paths(latents).T, color="#1d5fc4", linewidth=0.8)
        axes.plot(condition[:, 0], points[:, 0], ".", color="#b0306a", markersize=4)
        axes.set_title(_name(weight), fontsize=9)
        axes.set_xlabel("condition", fontsize=8)
        axes.set_ylim(-2.4, 2.4)
        axes.tick_params(labelsize=7)
    figure.savefig(folder / "labels-path.png", dpi=110)
