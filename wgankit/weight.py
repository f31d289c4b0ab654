"""How much a penalty weighs while the distance it is measured against changes."""

from __future__ import annotations

from collections.abc import Callable
from typing import final

import torch
from torch import Tensor

from wgankit.constraint import Constraint
from wgankit.space import MetricSpace, Points


@final
class RunningWeight:
    """Lambda in units of distance: the penalty's own, or times a running estimate of W1.

    Arguments:
        space: the metric space.
        penalty: the penalty.
        start: the running estimate to go on from, a scalar; or where the batches are, and it
            starts with the first of them.
        mean: takes the mean of a scalar over the processes that train together.

    `scale` is the running estimate, a scalar tensor, NaN before the first batch.
    """

    def __init__(
        self,
        space: MetricSpace,
        penalty: Constraint,
        start: Tensor | torch.device,
        mean: Callable[[Tensor], Tensor] | None = None,
    ) -> None:
        self.space, self.penalty, self.relative = space, penalty, penalty.relative
        self.mean = mean
        if isinstance(start, Tensor):
            self.scale = start
        else:
            self.scale = torch.full((), float("nan"), device=start)

    def now(self, real: Points, fake: Points) -> Tensor:
        """Return lambda for a batch of pairs."""
        if not self.relative:
            return torch.full_like(self.scale, self.penalty.weight)
        with torch.no_grad():
            # An independent pairing is a transport, so its mean cost is at least W1.
            reach = self._together(self.space.distance(real, fake).mean())
            self.scale = torch.where(self.scale.isnan(), reach, self.scale)
            self.scale = torch.minimum(self.scale, reach)
            return self.penalty.weight * torch.maximum(self.scale, reach * 0.01)

    def follow(self, w1: Tensor) -> None:
        """Move the running estimate a fiftieth of the way to an estimate of W1."""
        if not self.relative:
            return
        with torch.no_grad():
            seen = self._together(w1).clamp_min(0)
            self.scale = torch.lerp(self.scale, seen.to(self.scale.dtype), 0.02)

    def _together(self, number: Tensor) -> Tensor:
        return self.mean(number) if self.mean else number
