"""What a critic says of W1, reported so that it can be trusted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from wgankit.constraint import Constraint
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
        residual: (D - lambda E[s phi'(s)]) / D for a penalty phi; 0 where the critic's output
            scale is optimal.  Believe `w1` while it is within 0.2 of 0.  It does not see
            underfitting.
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


@torch.no_grad()
def figures(
    gap: Tensor, slopes: Tensor, constraint: Constraint, weight: Tensor, real: Points
) -> Estimate:
    """Return the report of a critic from its gap D, slopes `(S,)`, constraint and lambda.

    Arguments:
        gap: D.
        slopes: where the constraint took them.
        constraint: a penalty, or whatever else keeps the critic 1-Lipschitz.
        weight: lambda, in units of distance.
        real: the real points of the batch, for penalties that know groups.
    """
    gap, slopes = gap.detach(), slopes.detach()
    cost = constraint.cost(slopes, real)
    steepest = slopes.amax()
    return Estimate(
        gap=gap,
        penalty=cost,
        w1=constraint.w1(gap, cost, slopes, weight),
        lower=gap / steepest.clamp_min(1.0),
        steepest=steepest,
        share_above_one=(slopes > 1).to(gap.dtype).mean(),
        residual=constraint.residual(gap, slopes, real, weight),
        weight=weight,
    )


@torch.no_grad()
def estimate(
    space: MetricSpace,
    critic: Critic,
    real: Points,
    fake: Points,
    *,
    penalty: Constraint | None = None,
    weight: float = 1.0,
) -> Estimate:
    """Return what a critic says of the W1 between two batches.

    Arguments:
        space: the metric space.
        critic: scores `(B,)` of a batch.
        real: real points.
        fake: as many generated points, drawn independently: slopes are taken between corresponding
            points, and pairs of a transport would be no fair sample of them.
        penalty: the constraint, which decides where slopes are taken and how `w1` is debiased;
            a one-sided penalty by default.
        weight: lambda with which the critic was trained, in units of distance.
    """
    penalty = penalty or Penalty()
    scores = critic(join(real, fake))
    count = batch_size(real)
    gap = scores[:count].mean() - scores[count:].mean()
    slopes = penalty.slopes(space, critic, real, fake)
    return figures(gap, slopes, penalty, torch.as_tensor(weight, dtype=gap.dtype), real)
