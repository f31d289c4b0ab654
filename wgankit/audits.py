"""What a critic says of W1, held against what is true of the batches at hand."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import final

import torch
from torch import nn

from wgankit import exact
from wgankit.constraint import Constraint
from wgankit.errors import DataError
from wgankit.estimates import Estimate, estimate
from wgankit.space import MetricSpace, Points, batch_size, leaves, pick


@final
@dataclass(frozen=True)
class Audit:
    """A critic's estimate beside its proofs, exact transport and the floor.

    Arguments:
        estimate: the critic's report: gap, penalty, debiased W1, steepest slope, residual, ...
        certified: a lower bound of the batches' W1 that the critic proves (`exact.certified`).
        exact: W1 between the batches, by optimal transport.
        floor: W1 between two real batches of that size; NaN unless more real points were given.
        doubts: why `estimate.w1` is not to be believed; empty if nothing speaks against it.
    """

    estimate: Estimate
    certified: float
    exact: float
    floor: float
    doubts: tuple[str, ...]

    @property
    def believed(self) -> bool:
        """Whether nothing speaks against the debiased estimate."""
        return not self.doubts

    def row(self) -> dict[str, float]:
        """Return all figures by name."""
        held = {"certified": self.certified, "exact": self.exact, "floor": self.floor}
        return {**self.estimate.row(), **held}

    def __str__(self) -> str:
        row = self.row()
        lines = [
            f"W1, debiased         {row['w1']:.4g}   (gap D {row['gap']:.4g}, "
            f"R {row['penalty']:.3g}, lambda {row['weight']:.4g})",
            f"at least             {self.certified:.4g}   (certified on these points; "
            f"D / steepest slope {row['lower']:.4g})",
            f"exact, these points  {self.exact:.4g}   (floor {self.floor:.4g})",
            f"slopes               steepest {row['steepest']:.3f}, {row['share_above_one']:.0%} "
            f"above 1, residual {row['residual']:+.2f}",
        ]
        return "\n".join([*lines, *(f"doubt: {doubt}" for doubt in self.doubts)])


def audit(
    space: MetricSpace,
    critic: nn.Module,
    real: Points,
    fake: Points,
    *,
    penalty: Constraint | None = None,
    weight: float = 1.0,
    more_real: Points | None = None,
    tolerance: float = 0.1,
) -> Audit:
    """Return what a critic says of W1 together with what is true of the batches at hand.

    Arguments:
        space: the metric space.
        critic: scores `(B,)` of a batch.
        real: n real points; a few hundred to two thousand, because a table of (2n)^2 is made.
        fake: as many generated points.
        penalty: what the critic was trained with; a one-sided penalty by default.
        weight: its lambda, in units of distance (`Estimate.weight`).
        more_real: n other real points, for the floor.
        tolerance: share by which the estimate may be off before it is doubted.
    """
    if batch_size(real) != batch_size(fake):
        raise DataError(
            f"an audit needs as many generated points as real ones; got {batch_size(real)} real "
            f"and {batch_size(fake)} generated"
        )
    # In another order, because slopes along given pairs (a transport, say) are no fair sample.
    shuffled = pick(fake, torch.randperm(batch_size(fake), device=leaves(fake)[0].device))
    found = estimate(space, critic, real, shuffled, penalty=penalty, weight=weight)
    proved = exact.certified(space, critic, real, fake)
    true = exact.w1(space, real, fake)
    floor = float("nan")
    if more_real is not None:
        count = min(batch_size(real), batch_size(more_real))
        others = pick(more_real, slice(0, count))
        floor = exact.w1(space, pick(real, slice(0, count)), others)
    said = doubts(
        float(found.w1), float(found.residual), certified=proved, exact=true, tolerance=tolerance
    )
    return Audit(found, proved, true, floor, said)


def doubts(
    w1: float,
    residual: float,
    *,
    certified: float | None = None,
    exact: float | None = None,
    tolerance: float = 0.1,
) -> tuple[str, ...]:
    """Return why an estimate of W1 is not to be believed; nothing if nothing speaks against it.

    Arguments:
        w1: the estimate.
        residual: of its stationarity (`Estimate.residual`).
        certified: a lower bound that the critic proves, if known.
        exact: exact W1 of the points, if known.
        tolerance: share by which the estimate may be off before it is doubted.
    """
    if not math.isfinite(w1):
        return ("the estimate is not a finite number",)
    said = []
    if abs(residual) > 0.2:
        said.append(
            f"the critic's output scale is not optimal (residual {residual:+.2f}, 0 at the "
            "optimum): train it longer before debiasing"
        )
    spare = tolerance * abs(w1 if exact is None else exact)
    if certified is not None and w1 < certified - spare:
        said.append(
            f"the estimate {w1:.4g} is below the lower bound {certified:.4g} that the same critic "
            "proves: it underfits, and debiasing makes that worse"
        )
    elif exact is not None and w1 < exact - spare:
        said.append(
            f"the estimate {w1:.4g} is below exact W1 of these points, {exact:.4g}: the critic "
            "underfits (or the points are few: compare the floor)"
        )
    if exact is not None and w1 > exact + spare:
        said.append(
            f"the estimate {w1:.4g} is above exact W1 of these points, {exact:.4g}: the critic "
            "is too steep where the penalty does not look"
        )
    return tuple(said)
