"""Labels, relaxed to probabilities."""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor

from wgankit.errors import SettingError
from wgankit.space import (
    MetricSpace,
    Points,
    SmoothSpace,
    conjugate,
    leaves,
    pairwise,
    safe_norm,
    straight,
)


@final
class OneHot(SmoothSpace):
    """Sites that carry labels: `(B, ..., K)`, each site a point of the simplex of K labels.

    d(x, y) = |(w TV(x_i, y_i))_i|_p over the sites i, where TV is the total variation distance.
    With p = 1 this is the weighted Hamming distance on one-hot labels.

    Arguments:
        weight: what changing one label costs, w > 0.
        p: how the sites add up, p >= 1.

    The dual norm takes max - min of the gradient at each site (the best move shifts mass from the
    worst to the best label), divided by w, with the conjugate exponent over the sites.  For p = 1
    relaxing loses nothing: every function that changes by at most w when one label changes extends
    multilinearly to the simplices and stays 1-Lipschitz, so W1 is that of hard labels.
    """

    def __init__(self, weight: float = 1.0, p: float = 1.0) -> None:
        if not weight > 0:
            raise SettingError(f"a label's weight is a number > 0; got {weight}")
        if not p >= 1:
            raise SettingError(f"OneHot needs p >= 1, such as OneHot(p=1); got p={p}")
        self.weight = float(weight)
        self.p = float(p)

    def distance(self, x: Points, y: Points) -> Tensor:
        """Return the p-norm over sites of w times the total variation, `(B,)`."""
        difference = leaves(x)[0] - leaves(y)[0]
        return safe_norm(difference.abs().sum(-1) * (0.5 * self.weight), self.p)

    def interpolate(self, x: Points, y: Points, t: Tensor) -> Points:
        """Return (1 - t) x + t y."""
        return straight(x, y, t)

    def dual_norm(self, x: Points, gradient: Points) -> Tensor:
        """Return the q-norm over sites of (max - min of the gradient) / w, `(B,)`."""
        slopes = leaves(gradient)[0]
        return safe_norm((slopes.amax(-1) - slopes.amin(-1)) / self.weight, conjugate(self.p))


@pairwise.register(OneHot)
def _table(space: OneHot, x: Points, y: Points, block: int = 65_536) -> Tensor:
    if space.p != 1:
        table: Tensor = pairwise.dispatch(MetricSpace)(space, x, y, block)
        return table
    left, right = (leaves(points)[0].flatten(1) for points in (x, y))
    return torch.cdist(left, right, 1.0) * (0.5 * space.weight)
