"""What a critic says of W1, reported so that it can be trusted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from wgankit.penalty import Penalty
from wgankit.space import Critic, MetricSpace, Points, batch_size, join


@final
@dataclass(frozen=True)
class Estimate:
    """One evaluation of a critic; every field is a scalar tensor on the device.

    Arguments:
        gap: D = E f(real) - E f(fake), in units of distance.
        penalty: R, the mean punishment of the slopes, without the weight.
        w1: the estimate of W1 that fits the penalty's shape; D - 2 lambda R for one-sided ones.
        lower: D / max(1, largest slope seen), a lower bound of W1 between the two batches as far
            as the slopes that were looked at go.
        steepest: the largest slope seen.
        share_above_one: share of slopes above 1, in [0, 1].
        residual: (D - 2 lambda E[(s-1)_+ s]) / D; 0 where the critic's output scale is optimal.
            Believe `w1` while it is within 0.2 of 0.  It does not see underfitting.
        weight: lambda, in units of distance.

    Congestion (too big) is what `w1` removes from `gap`; underfitting (too small) cannot be seen
    from a critic's own figures, so `w1` is to be read beside `lower` and `gap`, never alone.
    """

    gap: Tensor
    penalty: Tensor
    w1: Tensor
    lower: Tensor
    steepest: Tensor
    share_above_one: Tensor
    residual: Tensor
    weight: Tensor

    def row(self) -> dict[str, float]:
        """Return the figures as floats (reads the device once)."""
        names = tuple(self.__dataclass_fields__)
        values = torch.stack([getattr(self, name).detach().float() for name in names]).tolist()
        return dict(zip(names, values, strict=True))


def figures(gap: Tensor, slopes: Tensor, penalty: Penalty, weight: Tensor) -> Estimate:
    """Return the report of a critic from its gap D, slopes `(B,)`, penalty and lambda."""
    gap, slopes = gap.detach(), slopes.detach()
    punished = penalty.shape(slopes).mean()
    steepest = slopes.amax()
    tiny = torch.finfo(gap.dtype).tiny
    stationary = 2 * weight * ((slopes - 1).clamp_min(0) * slopes).mean()
    return Estimate(
        gap=gap,
        penalty=punished,
        w1=penalty.shape.w1(gap, punished, weight, steepest),
        lower=gap / steepest.clamp_min(1.0),
        steepest=steepest,
        share_above_one=(slopes > 1).to(gap.dtype).mean(),
        residual=(gap - stationary) / gap.abs().clamp_min(tiny),
        weight=weight,
    )


@torch.no_grad()
def estimate(
    space: MetricSpace,
    critic: Critic,
    real: Points,
    fake: Points,
    *,
    penalty: Penalty | None = None,
    weight: float = 1.0,
) -> Estimate:
    """Return what a critic says of the W1 between two batches.

    Arguments:
        space: the metric space.
        critic: scores `(B,)` of a batch.
        real: real points.
        fake: as many generated points.
        penalty: decides where slopes are taken and how `w1` is debiased; one-sided by default.
        weight: lambda with which the critic was trained, in units of distance.
    """
    penalty = penalty or Penalty()
    scores = critic(join(real, fake))
    count = batch_size(real)
    gap = scores[:count].mean() - scores[count:].mean()
    slopes = penalty.slopes(space, critic, real, fake)
    return figures(gap, slopes, penalty, torch.as_tensor(weight, dtype=gap.dtype))
