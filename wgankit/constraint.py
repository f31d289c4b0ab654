"""What keeps a critic 1-Lipschitz.

A penalty on slopes (`wgankit.Penalty`) is the one to train with.  Here are what all constraints
have in common, and the others: weight clipping and no constraint at all, which are the baselines
people know, and critics that need none because of how they are made.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import final

import torch
from torch import Tensor, nn

from wgankit.errors import SettingError
from wgankit.space import Critic, MetricSpace, Points, leaves


def between(real: Points, fake: Points) -> tuple[Points, Points, Tensor]:
    """Take slopes at uniform fractions of the way from real to generated points."""
    first = leaves(real)[0]
    return real, fake, torch.rand(len(first), device=first.device)


class Constraint(ABC):
    """Something that keeps a critic 1-Lipschitz, and knows what the critic's gap then says of W1.

    `weight` is lambda, or a multiple of W1 where `relative` is true.
    """

    weight: float = 0.0
    relative: bool = False

    @abstractmethod
    def slopes(self, space: MetricSpace, critic: Critic, real: Points, fake: Points) -> Tensor:
        """Return the critic's slopes `(S,)` at places of the constraint's choice."""

    @abstractmethod
    def cost(self, slopes: Tensor, real: Points) -> Tensor:
        """Return R, what the slopes cost the critic: a scalar, without the weight."""

    @abstractmethod
    def w1(self, gap: Tensor, cost: Tensor, slopes: Tensor, weight: Tensor) -> Tensor:
        """Return the estimate of W1 that a gap D stands for; `cost` is R of the slopes."""

    def residual(self, gap: Tensor, slopes: Tensor, real: Points, weight: Tensor) -> Tensor:
        """Return (D - lambda dR) / D with dR the derivative of R as the critic is scaled up.

        0 at a critic whose output scale is optimal, and where a constraint leaves it no choice.
        """
        return torch.zeros_like(gap)

    def enforce(self, critic: nn.Module) -> None:
        """Change the critic after an update, if the constraint works that way."""
        return


class Unpenalised(Constraint):
    """A constraint that costs the critic nothing; slopes are only looked at, for the report."""

    def slopes(self, space: MetricSpace, critic: Critic, real: Points, fake: Points) -> Tensor:
        """Return slopes between real and generated points, without a way back for gradients."""
        with torch.no_grad():
            return space.slope(critic, *between(real, fake))

    def cost(self, slopes: Tensor, real: Points) -> Tensor:
        """Return 0."""
        return slopes.new_zeros(())

    def w1(self, gap: Tensor, cost: Tensor, slopes: Tensor, weight: Tensor) -> Tensor:
        """Return D / (largest slope), because the gap has no scale of its own."""
        return gap / slopes.amax().clamp_min(torch.finfo(gap.dtype).tiny)


@final
class Unconstrained(Unpenalised):
    """Nothing keeps the critic's slopes down: the classical game, whose critics classify.

    For `JensenShannon` as people know it.  With the `Wasserstein` objective the gap would grow
    without end, and training says so.
    """


@final
class ByConstruction(Unpenalised):
    """The critic cannot be steeper than 1: `McShane`, `NormBounded`.  D is a lower bound of W1."""

    def w1(self, gap: Tensor, cost: Tensor, slopes: Tensor, weight: Tensor) -> Tensor:
        """Return D."""
        return gap


@final
class Clipping(Unpenalised):
    """Weights are cut back to [-limit, limit] after each update (Arjovsky et al., 2017).

    The baseline that penalties replaced: the critic's Lipschitz constant becomes whatever the
    architecture makes of the limit (one hidden layer of m units: at most m limit^2 from l-infinity,
    most of it lost), so the gap has no unit and the estimate is D / (largest slope seen).

    Arguments:
        limit: the largest size of a weight, > 0.
    """

    def __init__(self, limit: float = 0.01) -> None:
        if not limit > 0:
            raise SettingError(f"weights are clipped to a limit > 0, such as 0.01; got {limit}")
        self.limit = float(limit)

    @torch.no_grad()
    def enforce(self, critic: nn.Module) -> None:
        """Cut all parameters back."""
        for parameter in critic.parameters():
            parameter.clamp_(-self.limit, self.limit)
