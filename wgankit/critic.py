"""A critic fitted between two fixed laws: W1 by duality, without a generator."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import torch
from torch import Tensor, nn

from wgankit.constraint import Constraint
from wgankit.errors import DataError, SettingError
from wgankit.estimates import Estimate, figures
from wgankit.objective import Wasserstein
from wgankit.penalty import Penalty, check_constraint
from wgankit.separate import check_separate
from wgankit.space import MetricSpace, Points, batch_size, check_points, join, leaves, pick
from wgankit.state import seeded
from wgankit.weight import RunningWeight

Sampler: TypeAlias = Callable[[int], Points]
"""A law that points can be drawn from: count -> batch."""


def fit_critic(
    critic: nn.Module,
    real: Points | Sampler,
    fake: Points | Sampler,
    *,
    space: MetricSpace,
    penalty: Constraint | None = None,
    real_weights: Tensor | None = None,
    fake_weights: Tensor | None = None,
    steps: int = 2_000,
    pairs: int = 256,
    rate: float = 1e-3,
    betas: tuple[float, float] = (0.9, 0.99),
    optimizer: torch.optim.Optimizer | None = None,
    report_pairs: int | None = None,
    seed: int = 0,
    watch: Callable[[int, Estimate], None] | None = None,
) -> Estimate:
    """Train a critic to tell two laws apart, and return its report.

    Between finite laws the gap uses every point with its mass, and only the penalty's pairs are
    drawn; laws given as samplers are drawn anew for each update.  Learning rates fall to 0 along a
    cosine, so that the critic settles.

    Arguments:
        critic: scores `(B,)` of a batch; trained in place, on the device of the points.
        real: n points, or a function count -> points.
        fake: m points, or a function count -> points.
        space: the metric space.
        penalty: what keeps the critic 1-Lipschitz; one-sided of relative weight 10 by default.
        real_weights: masses `(n,)` of given points, normalised; equal by default.
        fake_weights: masses `(m,)`.
        steps: updates.
        pairs: penalty pairs for each update, and points drawn from samplers.
        rate: learning rate at the start.
        betas: momenta of its Adam.
        optimizer: an optimiser of the critic's parameters, to replace Adam.
        report_pairs: as many for the report; 16 times `pairs` by default.  The gap between samplers
            is as exact as this many points make it.
        seed: of all that is drawn.
        watch: called with (step, report) after every update; reading the report is its affair.
    """
    penalty = penalty or Penalty()
    if steps < 1 or pairs < 1:
        raise SettingError(f"steps and pairs are at least 1; got {steps} and {pairs}")
    optimizer = optimizer or torch.optim.Adam(critic.parameters(), lr=rate, betas=betas)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    device = next((parameter.device for parameter in critic.parameters()), torch.device("cpu"))
    with seeded(seed, device):
        laws = (_law(real, real_weights, "real"), _law(fake, fake_weights, "fake"))
        for law, what in zip(laws, ("real points", "fake points"), strict=True):
            check_points(space, law.draw(2), what)
        check_constraint(space, penalty, Wasserstein())
        check_separate(critic, join(*(law.draw(4) for law in laws)))
        running = RunningWeight(space, penalty, device)
        for step in range(steps):
            x, y = (law.draw(pairs) for law in laws)
            weight = running.now(x, y)
            gap = _gap(critic, laws, x, y)
            slopes = penalty.slopes(space, critic, x, y)
            cost = penalty.cost(slopes, x)
            optimizer.zero_grad(set_to_none=True)
            (weight * cost - gap).backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            penalty.enforce(critic)
            schedule.step()
            # The weight settles in the first half and then stays, so that the optimum does.
            if step < steps // 2:
                running.follow(penalty.w1(gap.detach(), cost.detach(), slopes.detach(), weight))
            if watch:
                watch(step + 1, figures(gap, slopes, penalty, weight, x))
        x, y = (law.draw(report_pairs or 16 * pairs) for law in laws)
        with torch.no_grad():
            gap = _gap(critic, laws, x, y)
            return figures(gap, penalty.slopes(space, critic, x, y), penalty, weight, x)


class _Finite:
    """A finite law: points with masses."""

    def __init__(self, points: Points, weights: Tensor | None, what: str) -> None:
        count = batch_size(points)
        like = leaves(points)[0]
        if weights is None:
            weights = torch.ones(count, device=like.device)
        if weights.shape != (count,) or not bool((weights >= 0).all() and weights.sum() > 0):
            raise DataError(f"{count} {what} points need {count} weights >= 0 that are not all 0")
        kind = like.dtype if like.is_floating_point() else torch.float32
        self.points = points
        self.masses = (weights.double() / weights.double().sum()).to(like.device, kind)

    def draw(self, count: int) -> Points:
        return pick(self.points, torch.multinomial(self.masses, count, replacement=True))

    def mean(self, critic: nn.Module, drawn: Points) -> Tensor:
        scores: Tensor = critic(self.points)
        return scores @ self.masses.to(scores.dtype)


class _Drawn:
    """A law known by its samples."""

    def __init__(self, sampler: Sampler) -> None:
        self.draw = sampler

    def mean(self, critic: nn.Module, drawn: Points) -> Tensor:
        scores: Tensor = critic(drawn)
        return scores.mean()


def _law(given: Points | Sampler, weights: Tensor | None, what: str) -> _Finite | _Drawn:
    if isinstance(given, Tensor | tuple):
        return _Finite(given, weights, what)
    if weights is not None:
        raise SettingError(f"a sampler of {what} points has no weights; leave {what}_weights out")
    return _Drawn(given)


def _gap(
    critic: nn.Module, laws: tuple[_Finite | _Drawn, ...], real: Points, fake: Points
) -> Tensor:
    """Return D, both laws in one pass through the critic where they are of one kind."""
    first, second = laws
    if isinstance(first, _Drawn) and isinstance(second, _Drawn):
        at_real, at_fake = critic(join(real, fake)).chunk(2)
        return at_real.mean() - at_fake.mean()  # type: ignore[no-any-return]
    if isinstance(first, _Finite) and isinstance(second, _Finite):
        scores: Tensor = critic(join(first.points, second.points))
        masses = torch.cat([first.masses, -second.masses])
        return scores @ masses.to(scores.dtype)
    return first.mean(critic, real) - second.mean(critic, fake)
