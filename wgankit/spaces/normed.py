"""Vectors, pictures, arrays of numbers under a p-norm."""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor

from wgankit.errors import SettingError
from wgankit.space import (
    Points,
    SmoothSpace,
    conjugate,
    leaves,
    on_leaves,
    pairwise,
    safe_norm,
    straight,
)


@final
class Normed(SmoothSpace):
    """Arrays `(B, ...)` of numbers with d(x, y) = scale * |x - y|_p.

    Arguments:
        p: exponent, 1 <= p <= infinity.
        scale: how many units of distance one unit of the numbers is.  Data divided by s keeps
            distances, slopes and W1 in its own units with scale=s, and the penalty's target
            stays 1 (multiplying the target instead would change the weight by s^2).

    The dual norm is |gradient|_q / scale with 1/p + 1/q = 1 (Hoelder).
    """

    def __init__(self, p: float = 2.0, scale: float = 1.0) -> None:
        if not p >= 1:
            raise SettingError(f"a p-norm needs p >= 1, such as Normed(p=2); got p={p}")
        if not scale > 0:
            raise SettingError(f"scale is a number > 0, such as Normed(scale=255); got {scale}")
        self.p = float(p)
        self.scale = float(scale)

    def distance(self, x: Points, y: Points) -> Tensor:
        """Return scale * |x - y|_p, `(B,)`."""
        return safe_norm(leaves(on_leaves(Tensor.sub, x, y))[0], self.p) * self.scale

    def interpolate(self, x: Points, y: Points, t: Tensor) -> Points:
        """Return (1 - t) x + t y."""
        return straight(x, y, t)

    def dual_norm(self, x: Points, gradient: Points) -> Tensor:
        """Return |gradient|_q / scale, `(B,)`."""
        return safe_norm(leaves(gradient)[0], conjugate(self.p)) / self.scale


@pairwise.register(Normed)
def _table(space: Normed, x: Points, y: Points, block: int = 65_536) -> Tensor:
    # The way over matrix products is faster and loses half of the digits between close points.
    left, right = (leaves(points)[0].flatten(1) for points in (x, y))
    exactly = "donot_use_mm_for_euclid_dist"
    return torch.cdist(left, right, space.p, compute_mode=exactly) * space.scale
