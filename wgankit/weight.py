"""How much a penalty weighs while the distance it is measured against changes."""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor

from wgankit.constraint import Constraint
from wgankit.estimates import Estimate
from wgankit.space import MetricSpace, Points


@final
class RunningWeight:
    """Lambda in units of distance: the penalty's own, or times a running estimate of W1.

    Arguments:
        space: the metric space.
        penalty: the penalty.
        device: where the batches are.

    `scale` is the running estimate, a scalar tensor, NaN before the first batch.
    """

    def __init__(self, space: MetricSpace, penalty: Constraint, device: torch.device) -> None:
        self.space, self.penalty = space, penalty
        self.scale = torch.full((), float("nan"), device=device)

    @torch.no_grad()
    def now(self, real: Points, fake: Points) -> Tensor:
        """Return lambda for a batch of pairs."""
        if not self.penalty.relative:
            return torch.full_like(self.scale, self.penalty.weight)
        # An independent pairing is a transport, so its mean cost is at least W1.
        reach = self.space.distance(real, fake).mean()
        self.scale = torch.where(self.scale.isnan(), reach, self.scale)
        self.scale = torch.minimum(self.scale, reach)
        return self.penalty.weight * torch.maximum(self.scale, reach * 0.01)

    @torch.no_grad()
    def follow(self, report: Estimate) -> None:
        """Move the running estimate a fiftieth of the way to a report's W1."""
        if self.penalty.relative:
            self.scale = torch.lerp(self.scale, report.w1.clamp_min(0).to(self.scale.dtype), 0.02)
