"""A critic fitted between two fixed finite laws: W1 by duality, without a generator."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from wgankit.errors import DataError, SettingError
from wgankit.estimates import Estimate, figures
from wgankit.penalty import Penalty, check_penalty
from wgankit.space import MetricSpace, Points, batch_size, check_points, join, leaves, pick
from wgankit.state import seeded
from wgankit.weight import RunningWeight


def fit_critic(
    critic: nn.Module,
    real: Points,
    fake: Points,
    *,
    space: MetricSpace,
    penalty: Penalty | None = None,
    real_weights: Tensor | None = None,
    fake_weights: Tensor | None = None,
    steps: int = 2_000,
    pairs: int = 256,
    rate: float = 1e-3,
    seed: int = 0,
    watch: Callable[[int, Estimate], None] | None = None,
) -> Estimate:
    """Train a critic to tell two finite laws apart, and return its report.

    The gap uses every point with its mass; only the penalty's pairs are drawn.  Learning rates
    fall to 0 along a cosine, so that the critic settles.

    Arguments:
        critic: scores `(B,)` of a batch; trained in place, on the device of the points.
        real: n points.
        fake: m points.
        space: the metric space.
        penalty: one-sided of relative weight 10 by default.
        real_weights: masses `(n,)`, normalised; equal by default.
        fake_weights: masses `(m,)`.
        steps: updates.
        pairs: penalty pairs drawn for each update; 16 times as many for the report.
        rate: learning rate at the start.
        seed: of the pairs.
        watch: called with (step, report) after every update; reading the report is its affair.
    """
    penalty = penalty or Penalty()
    if steps < 1 or pairs < 1:
        raise SettingError(f"steps and pairs are at least 1; got {steps} and {pairs}")
    check_points(space, real, "real points")
    check_points(space, fake, "fake points")
    check_penalty(space, penalty)
    mass_real, mass_fake = _masses(real, real_weights), _masses(fake, fake_weights)
    optimizer = torch.optim.Adam(critic.parameters(), lr=rate, betas=(0.9, 0.99))
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    both = join(real, fake)
    running = RunningWeight(space, penalty, leaves(real)[0].device)

    def draw(count: int) -> tuple[Points, Points]:
        chosen = torch.multinomial(mass_real, count, replacement=True)
        others = torch.multinomial(mass_fake, count, replacement=True)
        return pick(real, chosen), pick(fake, others)

    def gap() -> Tensor:
        scores = critic(both)
        real_part: Tensor = scores[: len(mass_real)] @ mass_real
        fake_part: Tensor = scores[len(mass_real) :] @ mass_fake
        return real_part - fake_part

    with seeded(seed, leaves(real)[0].device):
        for step in range(steps):
            x, y = draw(pairs)
            weight = running.now(x, y)
            found, slopes = gap(), penalty.slopes(space, critic, x, y)
            optimizer.zero_grad(set_to_none=True)
            (weight * penalty.shape(slopes).mean() - found).backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            schedule.step()
            report = figures(found, slopes, penalty, weight)
            # The weight settles in the first half and then stays, so that the optimum does.
            if step < steps // 2:
                running.follow(report)
            if watch:
                watch(step + 1, report)
        with torch.no_grad():
            x, y = draw(16 * pairs)
            return figures(gap(), penalty.slopes(space, critic, x, y), penalty, weight)


def _masses(points: Points, weights: Tensor | None) -> Tensor:
    like = leaves(points)[0]
    count = batch_size(points)
    if weights is None:
        return torch.full((count,), 1.0 / count, device=like.device)
    if weights.shape != (count,) or not bool((weights >= 0).all()) or not float(weights.sum()) > 0:
        raise DataError(f"{count} points need {count} weights >= 0 that are not all 0")
    return (weights / weights.sum()).to(like.device, torch.float32)
