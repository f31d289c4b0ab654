"""Distance and duality: what a critic's gap is, to the last per cent, where the answer is known."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from functools import partial

import torch
from torch import Tensor, nn
from torch.distributions import Normal, Uniform
from torch.nn.functional import cosine_similarity

import wgankit
from benchmarks.exactness.catalogue import Line, at_least, at_most, experiment, holds, near
from wgankit import Estimate, Normed, Penalty, Perceptron, closed_forms

SPACE = Normed()
SEEDS = range(3)

Sampler = Callable[[int], Tensor]


def smooth(inputs: int, width: int = 64) -> nn.Module:
    """Return a critic of two hidden layers without kinks, best where the truth has none."""
    layers = [nn.Linear(inputs, width), nn.SiLU(), nn.Linear(width, width), nn.SiLU()]
    return nn.Sequential(*layers, nn.Linear(width, 1), nn.Flatten(0))


def gaussian(*mean: float, std: tuple[float, ...] = (1.0,)) -> Sampler:
    """Return a sampler of independent normal numbers."""
    centre, spread = torch.tensor(mean), torch.tensor(std)
    return lambda count: torch.randn(count, len(mean)) * spread + centre


def interval(low: float, high: float) -> Sampler:
    """Return a sampler of the uniform law on an interval."""
    return lambda count: torch.rand(count, 1) * (high - low) + low


def measure(
    critic: nn.Module, real: Sampler, fake: Sampler, penalty: Penalty, fitted: Estimate
) -> dict[str, float]:
    """Return the critic's report on so many new points that their noise is below the targets."""
    torch.manual_seed(123)
    reports = [
        wgankit.estimate(
            SPACE, critic, real(2**16), fake(2**16), penalty=penalty, weight=float(fitted.weight)
        ).row()
        for _ in range(8)
    ]
    return {name: sum(report[name] for report in reports) / 8 for name in reports[0]}


def fitted(
    critic: nn.Module,
    real: Sampler,
    fake: Sampler,
    penalty: Penalty,
    *,
    steps: int,
    seed: int = 0,
    rate: float = 2e-3,
) -> dict[str, float]:
    """Fit a critic between two laws and return its report on new points."""
    report = wgankit.fit_critic(
        critic, real, fake, space=SPACE, penalty=penalty, steps=steps, seed=seed, rate=rate
    )
    return measure(critic, real, fake, penalty, report)


def points(distance: float, penalty: Penalty) -> Estimate:
    """Return the report of a critic fitted between two points of the line."""
    torch.manual_seed(0)
    critic = Perceptron(1, width=32, depth=1)
    real, fake = torch.tensor([[distance]]), torch.tensor([[0.0]])
    return wgankit.fit_critic(
        critic, real, fake, space=SPACE, penalty=penalty, steps=800, rate=5e-3
    )


@experiment(
    "1", "Two points: the gap follows the congestion law, debiasing recovers W1", quick=True
)
def two_points(quick: bool) -> Iterator[Line]:
    for distance, weight in ((1.0, 1.0), (1.0, 10.0), (10.0, 1.0), (10.0, 10.0)):
        found = points(distance, Penalty(weight, relative=False))
        law = closed_forms.penalised_points(distance, weight)
        name = f"d={distance:g} lambda={weight:g}:"
        yield near(f"{name} gap D", law.gap, float(found.gap), relative=0.005)
        yield near(f"{name} debiased", distance, float(found.w1), relative=0.005)
        upper = closed_forms.upper_w1(float(found.gap), weight)
        yield near(f"{name} D inverted", distance, upper, relative=0.005)


@experiment("1b", "Jensen-Shannon saturates, its gradients vanish; what lambda does", quick=True)
def saturation(quick: bool) -> Iterator[Line]:
    grid = torch.linspace(-12, 42, 20_001, dtype=torch.float64)
    step = float(grid[1] - grid[0])
    zero, one = torch.tensor(0.0, dtype=torch.float64), torch.tensor(1.0, dtype=torch.float64)
    for apart, known in ((1, 0.1114), (3, 0.5268), (10, 0.693146), (30, math.log(2))):
        laws = (Normal(zero, one), Normal(zero + apart, one))
        p, q = (law.log_prob(grid).exp() for law in laws)  # type: ignore[no-untyped-call]
        found = closed_forms.jensen_shannon(p, q, step=step)
        said = f"JS of N(0,1) and N({apart},1); W1 is {apart}"
        yield near(said, known, found, absolute=5e-5 if apart < 10 else 1e-6)
    for steepness in (1.0, 10.0, 100.0):
        saturating, other = closed_forms.logistic_gradients(2.0, steepness)
        yield from _gradients(steepness, saturating, other)
    yield from _constants()
    for weight in (0.01, 1.0, 1000.0) if quick else (0.01, 0.1, 1.0, 10.0, 100.0, 1000.0):
        law = closed_forms.penalised_points(1.0, weight)
        found_gap = float(points(1.0, Penalty(weight, relative=False)).gap)
        yield near(f"slope of one-sided, lambda={weight:g}", law.gap, found_gap, relative=0.01)
    for weight in (1.0, 10.0, 100.0):
        law = closed_forms.flattened_points(1.0, weight)
        flat = Penalty(weight, relative=False, shape=wgankit.zero_centred)
        found_gap = float(points(1.0, flat).gap)
        yield near(f"slope of zero-centred, lambda={weight:g}", law.gap, found_gap, relative=0.01)


def _gradients(steepness: float, saturating: float, other: float) -> Iterator[Line]:
    """Yield what the classical games give a generated point 2 away from the real one."""
    for name, as_written, exact in (("written", True, saturating), ("played", False, other)):
        game = wgankit.JensenShannon(as_written)
        fake = torch.tensor([2.0], dtype=torch.float64, requires_grad=True)
        loss = game.generator(steepness * (1.0 - fake), lambda: torch.zeros(1))
        (pull,) = torch.autograd.grad(loss, fake)
        said = f"pull of JS as {name}, steepness {steepness:g} (W1: 1)"
        yield near(said, exact, pull.item(), relative=1e-6)


def _constants() -> Iterator[Line]:
    """Yield that scores have no bound and no zero: f + c has the report of f."""
    torch.manual_seed(0)
    critic = Perceptron(2).double()
    x, y = torch.randn(256, 2).double(), torch.randn(256, 2).double() + 1
    reports = []
    for constant in (0.0, 1000.0):
        torch.manual_seed(1)
        moved = lambda points, constant=constant: critic(points) + constant  # noqa: E731
        reports.append(wgankit.estimate(SPACE, moved, x, y).row())
    worst = max(abs(reports[0][name] - reports[1][name]) for name in reports[0])
    yield at_most("change of the report under f + 1000", 1e-6, worst, exact=0.0)


@experiment("2", "Gaussians of the line: the congestion law of two laws", quick=True)
def gaussians_of_the_line(quick: bool) -> Iterator[Line]:
    grid = torch.linspace(-8, 11, 1901, dtype=torch.float64)
    real, fake = Normal(3.0, 1.0).cdf, Normal(0.0, 1.0).cdf
    flow = fake(grid) - real(grid)  # type: ignore[no-untyped-call]
    density = closed_forms.between_density(grid, real, fake)
    for weight in (1.0, 10.0):
        torch.manual_seed(0)
        law = closed_forms.penalised_line(flow, density, step=0.01, weight=weight)
        penalty = Penalty(weight, relative=False)
        found = fitted(smooth(1), gaussian(3.0), gaussian(0.0), penalty, steps=800)
        yield near(f"lambda={weight:g}: gap D", law.gap, found["gap"], relative=0.02)
        yield near(f"lambda={weight:g}: debiased", 3.0, found["w1"], relative=0.02)


def _cosine(critic: nn.Module, at: Tensor, direction: Tensor) -> float:
    inputs = at.requires_grad_()
    (gradient,) = torch.autograd.grad(critic(inputs).sum(), inputs)
    return cosine_similarity(gradient, direction).mean().item()


@experiment("3", "Translations of the plane: W1 is the length, the gradient the direction")
def translations(quick: bool) -> Iterator[Line]:
    for length, tolerance in ((5.0, 0.01), (0.5, 0.02)):
        shift = torch.tensor([0.6, 0.8]) * length
        for seed in SEEDS:
            torch.manual_seed(seed)
            critic = smooth(2)
            real, fake = gaussian(*shift.tolist()), gaussian(0.0, 0.0)
            found = fitted(critic, real, fake, Penalty(), steps=1200, seed=seed)
            name = f"W={length:g} seed {seed}:"
            exact = closed_forms.w1_translation(shift.tolist(), [0.0, 0.0])
            yield near(f"{name} debiased", exact, found["w1"], relative=tolerance)
            aligned = _cosine(critic, fake(4096) + shift / 2, shift.expand(4096, 2))
            yield at_least(f"{name} cosine", 0.99, aligned, exact=1.0)


SHAPES = {
    "N(0,4I)": ((2.0, 2.0), closed_forms.w1_isotropic(2.0, 1.0, 2)),
    # |3a - a| along the first axis: 2 E|Z|.
    "N(0,diag(9,1))": ((3.0, 1.0), closed_forms.w1_gaussians(0.0, 3.0, 0.0, 1.0)),
}


def _widened(penalty: Callable[[float], Penalty]) -> Iterator[tuple[str, float, float]]:
    """Yield (name, exact, debiased) of critics between N(0, I) and wider laws of the plane."""
    for name, (std, exact) in SHAPES.items():
        for seed in SEEDS:
            torch.manual_seed(seed)
            real, fake = gaussian(0.0, 0.0, std=std), gaussian(0.0, 0.0)
            found = fitted(smooth(2), real, fake, penalty(exact), steps=1200, seed=seed)
            yield f"{name} seed {seed}: debiased", exact, found["w1"]


@experiment("4", "Wider Gaussians of the plane: critics with a kink")
def scales(quick: bool) -> Iterator[Line]:
    for name, exact, found in _widened(lambda exact: Penalty()):
        yield near(name, exact, found, relative=0.02)


@experiment("5", "The two-sided penalty pollutes the estimate where the best slope is below 1")
def two_sided(quick: bool) -> Iterator[Line]:
    # Lambda itself is ten times W1, because the running estimate would be polluted too.
    shaped = partial(Penalty, relative=False, shape=wgankit.two_sided)
    for name, exact, found in _widened(lambda exact: shaped(10 * exact)):
        yield at_most(f"{name} / W1", 0.95, found / exact, exact=1.0)
    torch.manual_seed(0)
    laws = gaussian(3.0, 4.0), gaussian(0.0, 0.0)
    moved = fitted(smooth(2), *laws, shaped(50.0), steps=1200)
    yield near("slope 1 everywhere (translation): debiased", 5.0, moved["w1"], relative=0.02)


def _intervals(where: wgankit.penalty.Where, steps: int) -> tuple[nn.Module, dict[str, float]]:
    # A smooth critic, because the kinks of a piecewise linear one hardly wander into the gap: it
    # stays near 2 for the wrong reason.
    torch.manual_seed(0)
    critic = smooth(1)
    penalty = Penalty(20.0, relative=False, where=where)
    laws = interval(2, 3), interval(0, 1)
    return critic, fitted(critic, *laws, penalty, steps=steps, rate=5e-3)


@experiment("6", "Where slopes are taken: only points between the laws bound the gap", quick=True)
def sampling(quick: bool) -> Iterator[Line]:
    step = 0.002
    grid = torch.arange(step / 2, 3, step, dtype=torch.float64)
    real, fake = (Uniform(low, low + 1.0, validate_args=False).cdf for low in (2.0, 0.0))
    density = closed_forms.between_density(grid, real, fake)
    flow = fake(grid) - real(grid)  # type: ignore[no-untyped-call]
    law = closed_forms.penalised_line(flow, density, step=step, weight=20.0)
    critic, mixed = _intervals(wgankit.between, 600)
    yield near("between: gap D", law.gap, mixed["gap"], relative=0.005)
    yield at_most("between: gap D", 2.15, mixed["gap"], exact=law.gap)
    yield near("between: debiased", 2.0, mixed["w1"], relative=0.005)
    inside = torch.linspace(1.05, 1.95, 500)[:, None]
    slopes = SPACE.slope(critic, inside, inside, torch.zeros(500))
    # d = 3 is the longest way, so 1 + d / (2 lambda) bounds the slope of the ramp in the gap.
    yield at_most("steepest on the ramp", 1 + 3 / 40, slopes.max().item())
    yield at_least("flattest on the ramp", 1.0, slopes.min().item())
    for name, where in (("real", wgankit.at_real), ("generated", wgankit.at_fake)):
        gaps = [_intervals(where, steps)[1]["gap"] for steps in (200, 600)]
        yield at_least(f"at {name} points only: gap D", 20.0, gaps[1], exact=math.inf)
        yield holds(
            f"at {name} points only: it grows", gaps[1] > gaps[0], f"{gaps[0]:.0f} -> {gaps[1]:.0f}"
        )
