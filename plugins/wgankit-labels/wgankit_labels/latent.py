"""Latents with a condition each, drawn beside real points."""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor

from wgankit.errors import SettingError
from wgankit.latent import Conditioned, Latent
from wgankit.space import Points, batch_size
from wgankit_labels.points import beside, rows, split

NEAREST = 0.05
"""Share of the data's conditions among which those left open are drawn when others are given."""


@final
class ConditionedLatent(Conditioned):
    """Latents of another law, with a condition each: flat tuples, the condition last.

    Arguments:
        latent: the law of the latents.
        conditions: conditions `(n, ...)` of the data, to draw from where no real points are beside.
        weights: how often each was seen, `(n,)`; all alike by default.
    """

    def __init__(self, latent: Latent, conditions: Tensor, weights: Tensor | None = None) -> None:
        weights = torch.ones(len(conditions)) if weights is None else weights.float()
        if weights.shape != (len(conditions),) or not bool((weights >= 0).all() and weights.any()):
            raise SettingError(
                f"{len(conditions)} conditions need as many weights >= 0 that are not all 0; got "
                f"{tuple(weights.shape)}"
            )
        self.latent, self.conditions, self.weights = latent, conditions, weights

    def sample(self, count: int, device: torch.device | str) -> Points:
        """Return latents with conditions that are drawn as the data has them."""
        if self.conditions.device != torch.device(device):
            self.conditions = self.conditions.to(device)
            self.weights = self.weights.to(device)
        drawn = torch.multinomial(self.weights, count, replacement=True)
        return beside(self.latent.sample(count, device), self.conditions[drawn])

    def beside(self, real: Points) -> Points:
        """Return latents with the conditions of real points."""
        points, condition = split(real)
        if isinstance(self.latent, Conditioned):
            return beside(self.latent.beside(points), condition)
        return beside(self.latent.sample(batch_size(points), condition.device), condition)

    def at(self, condition: Tensor) -> ConditionedLatent:
        """Return latents of the same law with this condition.

        Arguments:
            condition: one condition, of the shape of a row of `conditions`; what is NaN in it is
                left open, and drawn from the rows that are nearest in the rest.
        """
        return ConditionedLatent(self.latent, *completed(condition, self.conditions, self.weights))


def completed(condition: Tensor, conditions: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
    """Return the conditions, and their weights, that agree with one of which a part is given.

    The rows nearest in what is given, a share `NEAREST` of them and all as near, take its values.
    """
    asked = condition.to(conditions).reshape(1, -1)
    table, fixed = rows(conditions), ~asked.isnan()[0]
    if bool(fixed.all()):
        return asked.view(1, *conditions.shape[1:]), weights.new_ones(1)
    apart = (table - asked)[:, fixed].norm(dim=1)
    order = apart.argsort()
    shares = (weights[order] / weights.sum()).cumsum(0)
    last = int((shares < NEAREST).sum().clamp_max(len(order) - 1))
    near = apart <= apart[order[last]]
    found = torch.where(fixed, asked, table[near])
    return found.view(-1, *conditions.shape[1:]), weights[near]
