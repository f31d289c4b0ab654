"""Hyperbolic space, for points that branch like a tree."""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor

from wgankit.errors import ShapeError
from wgankit.space import Points, SmoothSpace, leaves, safe_norm


def _rows(points: Points) -> Tensor:
    rows = leaves(points)[0]
    if rows.dim() != 2:
        raise ShapeError(
            f"points of hyperbolic space are vectors (B, n), the spatial coordinates; "
            f"got shape {tuple(rows.shape)}"
        )
    return rows


def _dot(a: Tensor, b: Tensor) -> Tensor:
    return (a * b).sum(1, keepdim=True)


def _height(rows: Tensor) -> Tensor:
    """Return sqrt(1 + |v|^2), `(B, 1)`, without overflow and smooth at the origin."""
    scale = rows.detach().abs().amax(1, keepdim=True).clamp_min(1.0)
    return ((rows / scale).square().sum(1, keepdim=True) + scale**-2).sqrt() * scale


def _chord_near(v: Tensor, w: Tensor) -> Tensor:
    """Return 2 sinh(d/2) where a point lies at most 1 from the origin; smooth at the origin."""
    p, q = _height(v), _height(w)
    heights, difference = p + q, v - w
    # The Lorentz length of the step between the points, as they are seen from half-way.
    half_way = (v + w) / heights
    cosh = (p * q - _dot(v, w)).clamp_min(1.0)
    flat = (2 * (1 + cosh)).sqrt() / heights
    step = safe_norm(difference - half_way * (_dot(difference, half_way) / (1 + flat)))
    far = cosh[:, 0] > 2
    return torch.where(far, (2 * (torch.where(far, cosh[:, 0], 2.0) - 1)).sqrt(), step)


def _chord_far(v: Tensor, w: Tensor) -> Tensor:
    """Return 2 sinh(d/2) where both points are away from the origin.

    4 sinh^2(d/2) = 4 sinh^2((r - s)/2) + sinh r sinh s |v/|v| - w/|w||^2 for radii r, s.
    """
    p, q = (safe_norm(rows)[:, None] for rows in (v, w))
    outwards = _dot(v - w, (v + w) / (p + q))  # p - q, exact where the points are close
    cosh = (1 / p / q + p / q + q / p) / (1 + _height(1 / p) * _height(1 / q))  # of r - s
    radial = outwards * (2 * (1 + cosh)).sqrt() / (_height(p) + _height(q))
    return safe_norm(torch.cat([radial, (v / p - w / q) * (p.sqrt() * q.sqrt())], 1))


def _asinh(x: Tensor) -> Tensor:
    """Return asinh of numbers >= 0, with a derivative that does not vanish by overflow."""
    return torch.log1p(x + x * (x / (1 + torch.hypot(torch.ones_like(x), x))))


@final
class Hyperboloid(SmoothSpace):
    """Hyperbolic n-space; a point is any vector `(B, n)`, n >= 1.

    The vector v holds the spatial coordinates of the point (sqrt(1 + |v|^2), v) of the hyperboloid
    <x, x> = -1 with <x, y> = -x_0 y_0 + v.w, so every output of a network is a point.  Curvature
    is -1, cosh d(x, y) = -<x, y>, and v lies at distance asinh |v| from the origin.

    The dual norm in these coordinates is sqrt(|g|^2 + (v.g)^2).  Distances are computed without
    cancellation, and their derivatives are finite everywhere.
    """

    def distance(self, x: Points, y: Points) -> Tensor:
        """Return the length of the geodesic, `(B,)`."""
        v, w = _rows(x), _rows(y)
        lengths = torch.minimum(safe_norm(v.detach()), safe_norm(w.detach()))
        far = (lengths > 1)[:, None]
        # Each way gets points it is made for, so that none spoils the other's gradient.
        near = _chord_near(*(torch.where(far, 0.0, rows) for rows in (v, w)))
        away = _chord_far(*(torch.where(far, rows, 1.0) for rows in (v, w)))
        return 2 * _asinh(torch.where(far[:, 0], away, near) / 2)

    def interpolate(self, x: Points, y: Points, t: Tensor) -> Points:
        """Return (sinh((1 - t) d) v + sinh(t d) w) / sinh d."""
        v, w = _rows(x), _rows(y)
        d, t = self.distance(x, y)[:, None], t.to(v.dtype)[:, None]
        return _share(1 - t, d) * v + _share(t, d) * w

    def dual_norm(self, x: Points, gradient: Points) -> Tensor:
        """Return sqrt(|g|^2 + (v.g)^2), `(B,)`."""
        v, g = _rows(x), leaves(gradient)[0]
        return safe_norm(torch.cat([g, _dot(v, g)], 1))


def _share(t: Tensor, d: Tensor) -> Tensor:
    """Return sinh(t d) / sinh d, which tends to t for d -> 0, without overflow for large d."""
    apart = d > 0
    d = torch.where(apart, d, 1.0)
    ratio = torch.exp((t - 1) * d) * torch.expm1(-2 * t * d) / torch.expm1(-2 * d)
    return torch.where(apart, ratio, t)
