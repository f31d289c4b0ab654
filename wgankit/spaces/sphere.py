"""Directions: the sphere under the angle."""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor
from torch.nn import functional

from wgankit.errors import SettingError, ShapeError
from wgankit.space import Points, SmoothSpace, leaves, pairwise, safe_norm


def _rows(points: Points) -> Tensor:
    """Return vectors whose lengths lie between 0.7 and 1.5, in the same directions.

    Powers of two scale without rounding, so unit vectors come out as they went in and close ones
    keep the digits of their difference.  The vector 0, which has no direction, becomes the first
    axis: then nothing is undefined anywhere.
    """
    rows = leaves(points)[0]
    if rows.dim() != 2 or rows.shape[1] < 2:
        raise ShapeError(
            f"points of a sphere are vectors (B, n) with n >= 2; got shape {tuple(rows.shape)}"
        )
    length = safe_norm(rows.detach())[:, None]
    somewhere = length > 0
    first = functional.one_hot(rows.new_zeros((), dtype=torch.long), rows.shape[1]).to(rows)
    scale = torch.exp2(-torch.where(somewhere, length, 1.0).log2().round())
    return torch.where(somewhere, rows * scale, first)


def _units(points: Points) -> Tensor:
    rows = _rows(points)
    return rows / safe_norm(rows)[:, None]


def _dot(a: Tensor, b: Tensor) -> Tensor:
    return (a * b).sum(1, keepdim=True)


@final
class Sphere(SmoothSpace):
    """Vectors `(B, n)`, n >= 2, under the angle between them times the radius.

    Only directions matter: a vector stands for the point radius * x / |x|.  Geodesics are great
    circles, given as unit vectors.

    Arguments:
        radius: of the sphere, > 0; the largest distance is pi times it.

    With u, v of about one length, d = 2 radius atan2(|u/|u| - v/|v||, |u/|u| + v/|v||) (Kahan), in
    a form that keeps relative accuracy at equal and at opposite points.  The dual norm is that of
    the tangential part of the gradient, |g - (g.u)u| |x| / radius with u = x / |x|.
    """

    def __init__(self, radius: float = 1.0) -> None:
        if not radius > 0:
            raise SettingError(f"the radius of a sphere is a number > 0; got {radius}")
        self.radius = float(radius)

    def distance(self, x: Points, y: Points) -> Tensor:
        """Return the angle times the radius, `(B,)`."""
        u, v = _rows(x), _rows(y)
        # |u|v| - v|u|| and |u|v| + v|u|| by the difference and the sum, which are exact where they
        # are small; lengths cancel in the ratio.
        difference, total = u - v, u + v
        lengths = (safe_norm(u) + safe_norm(v))[:, None]
        part = _dot(difference, total) / lengths.square()
        apart, together = difference - total * part, total - difference * part
        return 2 * self.radius * torch.atan2(safe_norm(apart), safe_norm(together))

    def interpolate(self, x: Points, y: Points, t: Tensor) -> Points:
        """Return the unit vector at fraction t of a great circle; any, where y = -x."""
        u, v = _units(x), _units(y)
        angle = (self.distance(x, y) / self.radius * t.to(u.dtype))[:, None]
        return angle.cos() * u + angle.sin() * _tangent(u, v)

    def dual_norm(self, x: Points, gradient: Points) -> Tensor:
        """Return the norm of the gradient's tangential part, `(B,)`."""
        u, g = _units(x), leaves(gradient)[0]
        return safe_norm(g - _dot(g, u) * u) * (safe_norm(leaves(x)[0]) / self.radius)


def _tangent(u: Tensor, v: Tensor) -> Tensor:
    """Return unit vectors orthogonal to u that lead to v; any, where v = u or v = -u."""
    to_v = v - u
    to_v = to_v - _dot(to_v, u) * u
    size = safe_norm(to_v)[:, None]
    # The axis that u is farthest from is never parallel to it.
    axis = functional.one_hot(u.detach().abs().argmin(1), u.shape[1]).to(u)
    clear = size > 8 * torch.finfo(u.dtype).eps
    way = torch.where(clear, to_v / torch.where(clear, size, 1.0), axis)
    # Once more, because what little is left of v - u may lean along u by rounding.
    way = way - _dot(way, u) * u
    return way / safe_norm(way)[:, None]


@pairwise.register(Sphere)
def _table(space: Sphere, x: Points, y: Points, block: int = 65_536) -> Tensor:
    u, v = _units(x), _units(y)
    exactly = "donot_use_mm_for_euclid_dist"
    apart = torch.cdist(u, v, compute_mode=exactly)
    together = torch.cdist(u, -v, compute_mode=exactly)
    return 2 * space.radius * torch.atan2(apart, together)
