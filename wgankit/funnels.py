"""Funnels: pairs of laws whose W1 and whose best critic are known, in any geodesic space."""

from __future__ import annotations

from typing import NamedTuple, final

import torch
from torch import Tensor

from wgankit.errors import DataError, SettingError
from wgankit.space import (
    MetricSpace,
    Points,
    SmoothSpace,
    batch_size,
    check_points,
    leaves,
    on_leaves,
    pairwise,
    pick,
    rebuild,
    spread,
)


class FunnelProblem(NamedTuple):
    """Two laws with a known answer.

    Arguments:
        real: points, a batch.
        fake: where each of them is moved to, a batch of as many.
        w1: the exact Wasserstein-1 distance between the two laws.
    """

    real: Points
    fake: Points
    w1: float


@final
class Funnels:
    """The function u(x) = min_i d(x, a_i) + b_i, and transport problems that it solves.

    u is 1-Lipschitz in every metric space.  A point y that moves along a shortest path towards its
    active anchor (the i of the minimum) arrives at an x with u(y) - u(x) = d(y, x).  So moving many
    points like that is an optimal transport of their law, its cost is W1, and u is a best critic:
    W1 = E d(y, x) = E u(y) - E u(x) (Korotin, Kolesov and Burnaev, Kantorovich Strikes Back!, 2022,
    for Euclidean space).  Only shortest paths are used, so it holds in every space that has them.

    Arguments:
        space: the metric space, with shortest paths by `interpolate` or, for discrete spaces,
            by `segment`.
        anchors: a_i, a batch of points; one that is active nowhere does no harm.
        offsets: b_i in units of distance, `(count,)`; 0 by default.
    """

    def __init__(self, space: MetricSpace, anchors: Points, offsets: Tensor | None = None) -> None:
        check_points(space, anchors, "anchors")
        count = batch_size(anchors)
        if offsets is None:
            offsets = torch.zeros(count, device=leaves(anchors)[0].device)
        if offsets.shape != (count,) or not bool(offsets.isfinite().all()):
            raise SettingError(
                f"{count} anchors need {count} finite offsets, shape ({count},); "
                f"got shape {tuple(offsets.shape)}"
            )
        self.space = space
        self.anchors = anchors
        self.offsets = offsets

    def _values(self, points: Points) -> Tensor:
        table = pairwise(self.space, points, self.anchors)
        return table + self.offsets.to(table)

    def potential(self, points: Points) -> Tensor:
        """Return u at a batch of points, `(B,)`: a critic."""
        return self._values(points).min(1).values

    def active(self, points: Points) -> Tensor:
        """Return which anchor gives the minimum at each point, `(B,)`."""
        return self._values(points).argmin(1)

    def gradient(self, points: Points) -> Points:
        """Return the differential of u at points of a smooth space, as a batch of their form."""
        inputs = on_leaves(lambda part: part.detach().requires_grad_(), points)
        with torch.enable_grad():
            total = self.potential(inputs).sum()
        return rebuild(points, torch.autograd.grad(total, leaves(inputs)))

    @torch.no_grad()
    def toward(self, points: Points, fraction: float | Tensor) -> Points:
        """Return the points moved towards their active anchors.

        Arguments:
            points: a batch of B.
            fraction: share of the way, in [0, 1], or one for each point, `(B,)`.

        In a space without `interpolate` a point moves to the far end of the segment at that
        fraction of a shortest path.
        """
        goals = pick(self.anchors, self.active(points))
        first = leaves(points)[0]
        share = torch.as_tensor(fraction, device=first.device).expand(len(first))
        if isinstance(self.space, SmoothSpace):
            return self.space.interpolate(points, goals, share)
        moved = self.space.segment(points, goals, share)[1]
        # A segment from a point to itself leads to any neighbour.
        apart = self.space.distance(points, goals) > 0
        return on_leaves(lambda new, old: torch.where(spread(apart, old), new, old), moved, points)

    @torch.no_grad()
    def problem(
        self, points: Points, fraction: float | Tensor = 0.5, *, weights: Tensor | None = None
    ) -> FunnelProblem:
        """Return the law of some points and the law of the same points moved, with their W1.

        Arguments:
            points: a batch of B.
            fraction: as in `toward`.
            weights: masses `(B,)` >= 0 of the points on both sides, normalised; equal by default.
        """
        moved = self.toward(points, fraction)
        distance = self.space.distance(points, moved).double()
        mass = torch.ones_like(distance) if weights is None else weights.to(distance)
        if mass.shape != distance.shape or not bool((mass >= 0).all()) or not bool(mass.any()):
            raise DataError(
                f"{len(distance)} points need {len(distance)} weights >= 0 that are not all 0; "
                f"got shape {tuple(mass.shape)}"
            )
        return FunnelProblem(points, moved, float(distance @ mass / mass.sum()))
