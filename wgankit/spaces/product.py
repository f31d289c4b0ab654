"""Points with several parts, each in a space of its own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import final

import torch
from torch import Tensor

from wgankit.errors import SettingError, ShapeError
from wgankit.space import (
    Points,
    SmoothSpace,
    conjugate,
    leaves,
    pairwise,
    rebuild,
    safe_norm,
)


@final
class Product(SmoothSpace):
    """Tuples of points, one tensor for each factor; d = |(w_i d_i)_i|_p.

    Arguments:
        spaces: the factors, smooth spaces.
        p: how the factors add up, p >= 1; with p = 1 the W1 of independent parts adds up.
        weights: what a unit of distance in each factor counts, > 0; 1 for each by default.

    The dual norm is |(|g_i|* / w_i)_i|_q with 1/p + 1/q = 1.
    """

    def __init__(
        self, *spaces: SmoothSpace, p: float = 1.0, weights: Sequence[float] | None = None
    ) -> None:
        if not spaces:
            raise SettingError("a product needs at least one space: Product(OneHot(), Normed())")
        for space in spaces:
            if not isinstance(space, SmoothSpace):
                raise SettingError(
                    f"a product's factors are smooth spaces, and {type(space).__name__} is not one"
                )
        if not p >= 1:
            raise SettingError(f"a product needs p >= 1; got p={p}")
        self.spaces = spaces
        self.p = float(p)
        self.weights = tuple(float(w) for w in weights) if weights else (1.0,) * len(spaces)
        if len(self.weights) != len(spaces) or not all(w > 0 for w in self.weights):
            raise SettingError(
                f"a product of {len(spaces)} spaces needs {len(spaces)} weights > 0; got {weights}"
            )

    def _parts(self, points: Points) -> tuple[Tensor, ...]:
        parts = leaves(points)
        if len(parts) != len(self.spaces):
            raise ShapeError(
                f"a point of this product has {len(self.spaces)} parts, one for each space; "
                f"got {len(parts)}"
            )
        return parts

    def distance(self, x: Points, y: Points) -> Tensor:
        """Return the p-norm of the weighted distances of the parts, `(B,)`."""
        factors = zip(self.spaces, self.weights, self._parts(x), self._parts(y), strict=True)
        return safe_norm(torch.stack([w * s.distance(a, b) for s, w, a, b in factors], 1), self.p)

    def interpolate(self, x: Points, y: Points, t: Tensor) -> Points:
        """Move every part along its own geodesic."""
        factors = zip(self.spaces, self._parts(x), self._parts(y), strict=True)
        return rebuild(x, [leaves(s.interpolate(a, b, t))[0] for s, a, b in factors])

    def dual_norm(self, x: Points, gradient: Points) -> Tensor:
        """Return the q-norm of the parts' dual norms divided by the weights, `(B,)`."""
        factors = zip(self.spaces, self.weights, self._parts(x), self._parts(gradient), strict=True)
        slopes = [s.dual_norm(a, g) / w for s, w, a, g in factors]
        return safe_norm(torch.stack(slopes, 1), conjugate(self.p))


@pairwise.register(Product)
def _table(space: Product, x: Points, y: Points, block: int = 65_536) -> Tensor:
    factors = zip(space.spaces, space.weights, space._parts(x), space._parts(y), strict=True)
    tables = torch.stack([w * pairwise(s, a, b, block) for s, w, a, b in factors], -1)
    return safe_norm(tables.flatten(0, 1), space.p).view(tables.shape[:2])
