"""Critics that scale a shared slope for each class, and penalties in groups."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn

import wgankit
from benchmarks.conditions.rows import Row, near
from benchmarks.minimise import minimise
from wgankit import Penalty
from wgankit.space import Points
from wgankit_labels import EachCondition, split


class Multiplied(nn.Module):
    """A critic shared by two classes, scaled for each: f(x, k) = s m_k x."""

    def __init__(self) -> None:
        super().__init__()
        self.multipliers = torch.tensor([1.0, 3.0], dtype=torch.float64)
        self.shared = nn.Parameter(torch.tensor(0.1, dtype=torch.float64))

    def forward(self, points: Points) -> Tensor:
        return self.shared * self.multipliers[member(points)] * points[0][:, 0]


def member(points: Points) -> Tensor:
    """Return the class of points whose condition is its number."""
    return split(points)[1][:, 0].long()


def multipliers(quick: bool) -> Iterator[Row]:
    """Slopes of a majority (.9, multiplier 1) and a minority (.1, multiplier 3)."""
    k = torch.tensor([[0.0]] * 9 + [[1.0]])
    real, fake = (torch.ones(10, 1).double(), k), (torch.zeros(10, 1).double(), k)
    space = EachCondition(wgankit.Normed())
    for what, penalty, wanted in (
        ("two-sided, heavy", Penalty(1e5, shape=wgankit.two_sided, relative=False), 2.0),
        ("one-sided, lambda 10", Penalty(10.0, relative=False), 1.2),
        ("- mean of groups", Penalty(10.0, relative=False, groups=member), 1.04),
        ("- worst group", Penalty(10.0, relative=False, groups=member, over="worst"), 1.02),
    ):
        critic = Multiplied()

        def loss(critic: nn.Module = critic, penalty: Penalty = penalty) -> Tensor:
            gap: Tensor = critic(real).mean() - critic(fake).mean()
            return penalty.weight * penalty.value(space, critic, real, fake) - gap

        minimise(critic.parameters(), loss)
        slopes = (critic.shared * critic.multipliers).tolist()
        figures = {"majority": slopes[0], "minority": slopes[1], "minority by the formula": wanted}
        yield Row(what, figures, {"minority": near(wanted, 1e-3)})
