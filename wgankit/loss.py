"""What a critic minimises, and what is seen of it on the way."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from typing import NamedTuple, final

import torch
from torch import Tensor

from wgankit.constraint import Constraint
from wgankit.objective import Objective
from wgankit.penalty import Penalty
from wgankit.rectifiers import MaskedRectifiers
from wgankit.space import Critic, MetricSpace, Points, SmoothSpace, join
from wgankit.weight import RunningWeight


class Seen(NamedTuple):
    """What an update of the critic saw; nothing of it leads back to the critic's parameters.

    Arguments:
        gap: D.
        slopes: `(S,)`, where the constraint took them.
        cost: R of these slopes.
        weight: lambda of this batch, in units of distance.
        scale: the running estimate of W1 for the next batch.
    """

    gap: Tensor
    slopes: Tensor
    cost: Tensor
    weight: Tensor
    scale: Tensor


@final
@dataclass(frozen=True)
class CriticLoss:
    """What a critic minimises, as a function of tensors.

    Arguments:
        critic: the critic.
        space: the metric space.
        constraint: what keeps the critic 1-Lipschitz.
        objective: what it plays for.
        mean: takes the mean of a scalar over the processes that train together.
    """

    critic: Critic
    space: MetricSpace
    constraint: Constraint
    objective: Objective
    mean: Callable[[Tensor], Tensor] | None = None

    def __call__(
        self, real: Points, fake: Points, scale: Tensor, masks: MaskedRectifiers | None = None
    ) -> tuple[Tensor, Seen]:
        """Return the loss and what it saw.

        Arguments:
            real: real points.
            fake: as many generated points.
            scale: the running estimate of W1, a scalar; NaN before the first batch.
            masks: a block to take slopes in.
        """
        # Real and fake share a pass; the penalty has its own, because a second derivative
        # through a joint pass would run over all three batches.
        at_real, at_fake = self.critic(join(real, fake)).chunk(2)
        with masks or nullcontext():
            slopes = self.constraint.slopes(self.space, self.critic, real, fake)
        running = RunningWeight(self.space, self.constraint, scale, self.mean)
        weight = running.now(real, fake)
        cost = self.constraint.cost(slopes, real)
        loss = self.objective.critic(at_real, at_fake) + weight * cost
        with torch.no_grad():
            gap = at_real.detach().mean() - at_fake.detach().mean()
            slopes, cost = slopes.detach(), cost.detach()
            if running.relative:
                running.follow(self.constraint.w1(gap, cost, slopes, weight))
        return loss, Seen(gap, slopes, cost, weight, running.scale)

    @property
    def differentiates_twice(self) -> bool:
        """Whether slopes are gradients that the loss is differentiated through."""
        return isinstance(self.space, SmoothSpace) and isinstance(self.constraint, Penalty)
