"""Laws in many dimensions whose best critic is known, and critics that are 1-Lipschitz by make."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

import wgankit
from benchmarks.exactness.catalogue import Line, at_least, at_most, experiment, near
from benchmarks.korotin import METHODS, Budget, fitted, run
from benchmarks.korotin_problem import Korotin, score
from wgankit.constraint import ByConstruction
from wgankit.critic import fit_critic
from wgankit.lipschitz import NormBounded


def _penalised(row: tuple[int, int], cosine: float) -> Iterator[Line]:
    made = run(row, "network", 0)
    name = f"D={row[0]}, N={row[1]}, one-sided network"
    yield at_least(f"{name}: cosine with the best critic's gradient", cosine, made.score.cosine)
    yield near(f"{name}: debiased W1 over the exact one", 1.0, made.debiased, absolute=0.03)


def _cones(row: tuple[int, int], cosine: float, steps: int) -> Iterator[Line]:
    problem = Korotin(*row, seed=0)
    critic, report = fitted(problem, METHODS["mcshane"], Budget(steps, 256), seed=0)
    name = f"D={row[0]}, N={row[1]}, McShane"
    found = score(problem, critic, seed=0).cosine
    yield at_least(f"{name}: cosine with the best critic's gradient", cosine, found)
    # 4096 + 4096 fresh points: the mean of a 1-Lipschitz function is known to about 1 % of W1.
    yield at_most(f"{name}: D over W1", 1.02, float(report.gap) / problem.w1(), exact=1.0)


@experiment("14", "Four funnels in 16 dimensions: gradients of penalised and McShane critics")
def four_funnels(quick: bool) -> Iterator[Line]:
    yield from _penalised((16, 4), 0.96)
    yield from _cones((16, 4), 0.99, 500)


@experiment("15", "64 funnels in 16 dimensions: gradients of penalised and McShane critics")
def many_funnels(quick: bool) -> Iterator[Line]:
    yield at_least(
        "D=16, N=64, one-sided network: cosine with the best critic's gradient",
        0.85,
        run((16, 64), "network", 0).score.cosine,
    )
    yield from _cones((16, 64), 0.97, 1_000)


def _square(side: int = 35, whole: int = 64) -> Tensor:
    picture = torch.zeros(whole, whole)
    edge = (whole - side) // 2
    picture[edge : edge + side, edge : edge + side] = 1.0
    return picture


@experiment("32", "Pictures: black against a square of either sign, W1 = 35", quick=True)
def squares(quick: bool) -> Iterator[Line]:
    square = _square()
    critic = NormBounded(64 * 64, width=32, depth=2)
    told = fit_critic(
        critic,
        torch.stack([square, -square]),
        torch.zeros(1, 64, 64),
        space=wgankit.Normed(2),
        penalty=ByConstruction(),
        steps=160,
        pairs=2,
        rate=0.02,
    )
    yield at_least("gap after 160 steps", 34.99, float(told.gap), exact=35.0)
    yield at_most("a lower bound stays one", 35.0 * (1 + 1e-5), float(told.gap), exact=35.0)


def _cone(dimension: int, width: int, group: int, steps: int) -> float:
    def sphere(count: int) -> Tensor:
        return torch.nn.functional.normalize(torch.randn(count, dimension), dim=1)

    told = fit_critic(
        NormBounded(dimension, width=width, depth=4, group=group),
        sphere,
        lambda count: torch.zeros(count, dimension),
        space=wgankit.Normed(2),
        penalty=ByConstruction(),
        steps=steps,
        pairs=128,
        rate=0.01,
    )
    return float(told.gap)


@experiment("33", "Cones: a point against the unit sphere around it, W1 = 1", quick=True)
def cones(quick: bool) -> Iterator[Line]:
    # Sorting whole layers sees a norm at once: sorted coordinates of a far point lie near a line.
    line, space = _cone(1, 32, 2, 100), _cone(128, 128, 128, 120)
    yield at_least("1-D", 0.995, line, exact=1.0)
    yield at_least("128-D", 0.995, space, exact=1.0)
    yield at_most("lower bounds stay so", 1 + 1e-5, max(line, space), exact=1.0)
