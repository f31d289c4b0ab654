"""Conditions as geometry: metric spaces whose points carry a condition.

A critic f(x, c) can be kept 1-Lipschitz in the point for every condition (`EachCondition`), or in
the point and the condition together (`Conditional`).  The first measures the mean over the
conditions of W1 within each; the second W1 on a product, where a condition may change at a price.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import final

import torch
from torch import Tensor

from wgankit.errors import SettingError
from wgankit.space import (
    Critic,
    MetricSpace,
    Points,
    SmoothSpace,
    batch_size,
    leaves,
    on_leaves,
    pairwise,
    safe_norm,
    straight,
)
from wgankit_labels.points import beside, differ, numbered, rows, split


@final
class Alike(MetricSpace):
    """Conditions that are equal (distance 0) or different (distance 1), and have no neighbours."""

    def distance(self, x: Points, y: Points) -> Tensor:
        """Return 0 or 1 for each pair, `(B,)`."""
        return differ(leaves(x)[0], leaves(y)[0]).float()


@final
class EachCondition(MetricSpace):
    """Points with a condition that they keep: slopes are taken in the point, at its condition.

    d((x, c), (y, e)) = d(x, y) + price * d(c, e), and only the first term has paths.  A critic is
    1-Lipschitz in the point for every condition and free in the condition; over such critics the
    gap is the mean over c of W1(P(. given c), Q(. given c)), if both laws have the same conditions.

    Arguments:
        space: the space of the points, any metric space.
        among: the distance between conditions; by default 1 between any two that differ.
        price: what a unit of it costs in units of the space, > 0; by default infinite: conditions
            cannot change, and real and generated points of a batch have to share theirs, pair by
            pair (`ConditionedLatent`).  A finite price is for exact transport between samples whose
            conditions were drawn apart from each other; training does not look at it.

    Source: Chemseddine, Hagemann, Wald (2023), arXiv 2310.13433.
    """

    def __init__(
        self, space: MetricSpace, *, among: MetricSpace | None = None, price: float = math.inf
    ) -> None:
        if not price > 0:
            raise SettingError(f"the price of a change of condition is a number > 0; got {price}")
        self.space, self.among, self.price = space, among or Alike(), float(price)
        self._paired = False

    def distance(self, x: Points, y: Points) -> Tensor:
        """Return d(x, y) + price * d(c, e), `(B,)`; infinite where that is."""
        (a, c), (b, e) = split(x), split(y)
        within = self.space.distance(a, b)
        if math.isinf(self.price):
            return within.masked_fill(differ(c, e), math.inf)
        return within + self.price * self.among.distance(c, e).to(within.dtype)

    def segment(self, x: Points, y: Points, t: Tensor) -> tuple[Points, Points]:
        """Return the points' own segment, at the conditions of x: the point moves first."""
        (a, c), (b, _) = split(x), split(y)
        u, v = self.space.segment(a, b, t)
        return beside(u, c), beside(v, c)

    def slope(self, critic: Critic, x: Points, y: Points, t: Tensor) -> Tensor:
        """Return the slope in the point alone, at the conditions of x, `(B,)`.

        Raises:
            SettingError: if x and y differ in their conditions and these cannot change.  Asked at
                the first call only, because asking a device costs time; later such slopes are NaN.
        """
        (a, c), (b, e) = split(x), split(y)

        def at_conditions(points: Points) -> Tensor:
            times = batch_size(points) // len(c)
            return critic(beside(points, torch.cat([c] * times) if times > 1 else c))

        slopes = self.space.slope(at_conditions, a, b, t)
        if not math.isinf(self.price):
            return slopes
        apart = differ(c, e)
        self._check_paired(apart)
        return slopes.masked_fill(apart, math.nan)

    def _check_paired(self, apart: Tensor) -> None:
        # Tensors of other types are being traced, and hold no numbers.
        if self._paired or torch.compiler.is_compiling() or type(apart) is not Tensor:
            return
        if bool(apart.any()):
            raise SettingError(
                f"{int(apart.sum())} of {len(apart)} generated points have another condition than "
                "the real point beside them, and no path leads from one condition to another; draw "
                "them beside real points: latent=ConditionedLatent(...), whose generator hands the "
                "condition on"
            )
        self._paired = True


@pairwise.register(EachCondition)
def _table(space: EachCondition, x: Points, y: Points, block: int = 65_536) -> Tensor:
    (a, c), (b, e) = split(x), split(y)
    within = pairwise(space.space, a, b, block)
    if not math.isinf(space.price):
        among: Tensor = pairwise(space.among, c, e, block)
        return within + space.price * among.to(within.dtype)
    apart: Tensor = pairwise(Alike(), c, e, block)
    return within.masked_fill(apart > 0, math.inf)


@pairwise.register(Alike)
def _alike(space: Alike, x: Points, y: Points, block: int = 65_536) -> Tensor:
    # Numbered first, because comparing rows pair by pair would cost their length each time.
    left, right = numbered(leaves(x)[0], leaves(y)[0])
    return (left[:, None] != right[None, :]).float()


@final
class Conditional(SmoothSpace):
    """Points with a condition, on the product: d = d(x, y) + weight * d(c, e).

    Penalises slopes along the condition beside those in the point: a critic's slope is the larger
    of its slope in the point and its slope in the condition divided by `weight`.  W1 then moves
    mass between conditions at that price; weight to infinity is `EachCondition`, weight to 0 the
    distance of the marginals.  For conditions that are numbers or vectors, seen once or a few times
    each: points at neighbouring conditions are compared as well.

    Arguments:
        space: the space of the points, smooth.
        among: the space of the conditions, smooth; by default their Euclidean distance.
        weight: what a unit of condition counts in units of the space, > 0 and finite.
    """

    def __init__(
        self, space: MetricSpace, among: SmoothSpace | None = None, *, weight: float
    ) -> None:
        if not isinstance(space, SmoothSpace):
            raise SettingError(
                f"slopes along a condition need a smooth space, and {type(space).__name__} is not "
                "one; use EachCondition(space), which takes slopes in the point alone"
            )
        if not (weight > 0 and math.isfinite(weight)):
            raise SettingError(
                f"a condition's weight is a finite number > 0; got {weight}; for infinity use "
                "EachCondition(space)"
            )
        self.space, self.weight = space, float(weight)
        self.among = among or Vectors()

    def distance(self, x: Points, y: Points) -> Tensor:
        """Return d(x, y) + weight * d(c, e), `(B,)`."""
        (a, c), (b, e) = split(x), split(y)
        return self.space.distance(a, b) + self.weight * self.among.distance(c, e)

    def interpolate(self, x: Points, y: Points, t: Tensor) -> Points:
        """Move point and condition, each along its own geodesic."""
        (a, c), (b, e) = split(x), split(y)
        return beside(self.space.interpolate(a, b, t), leaves(self.among.interpolate(c, e, t))[0])

    def dual_norm(self, x: Points, gradient: Points) -> Tensor:
        """Return max(|g_x|, |g_c| / weight) in the dual norms of both spaces, `(B,)`."""
        (a, c), (g, h) = split(x), split(gradient)
        along = self.among.dual_norm(c, h) / self.weight
        return torch.maximum(self.space.dual_norm(a, g), along)


def across(real: Points, fake: Points) -> tuple[Points, Points, Tensor]:
    """Take slopes between each real point and the generated one beside its neighbour in the batch.

    The `where` of a `Penalty` for `Conditional`: where generated points share the conditions of
    real ones, the pairs then have two conditions, and slopes are seen on the way between them.
    """
    first = leaves(real)[0]
    turned = on_leaves(lambda part: part.roll(1, 0), fake)
    return real, turned, torch.rand(len(first), device=first.device)


@pairwise.register(Conditional)
def _product(space: Conditional, x: Points, y: Points, block: int = 65_536) -> Tensor:
    (a, c), (b, e) = split(x), split(y)
    table: Tensor = pairwise(space.space, a, b, block)
    return table + space.weight * pairwise(space.among, c, e, block)


@final
class Vectors(SmoothSpace):
    """Conditions as vectors: several numbers, vectors and one-hot classes side by side.

    d(c, e) is the sum over the stretches: the Euclidean distance of numbers, and 1 where classes
    differ.  A class has no neighbours, so that no slope along it exists: the dual norm is the
    largest of those of the other stretches.

    Arguments:
        stretches: (first column, column after the last, whether it is a class) of each; by default
            all columns are one vector of numbers.
    """

    def __init__(self, stretches: Sequence[tuple[int, int, bool]] = ()) -> None:
        self.stretches = tuple(stretches)

    def _of(self, condition: Tensor) -> tuple[tuple[int, int, bool], ...]:
        return self.stretches or ((0, rows(condition).shape[1], False),)

    def distance(self, x: Points, y: Points) -> Tensor:
        """Return the sum of the stretches' distances, `(B,)`."""
        c, e = rows(leaves(x)[0]), rows(leaves(y)[0])
        far = [
            (c[:, start:end] != e[:, start:end]).any(1).to(c.dtype)
            if is_class
            else safe_norm(c[:, start:end] - e[:, start:end])
            for start, end, is_class in self._of(c)
        ]
        return torch.stack(far).sum(0)

    def interpolate(self, x: Points, y: Points, t: Tensor) -> Points:
        """Move numbers straight; classes stay those of x."""
        start, moved = leaves(x)[0], leaves(straight(x, y, t))[0]
        keeps = torch.zeros(rows(start).shape[1], dtype=torch.bool, device=start.device)
        for first, last, is_class in self._of(start):
            keeps[first:last] = is_class
        return torch.where(keeps.view(start.shape[1:]), start, moved)

    def dual_norm(self, x: Points, gradient: Points) -> Tensor:
        """Return the largest of the stretches' gradient norms, classes left out, `(B,)`."""
        g = rows(leaves(gradient)[0])
        norms = [safe_norm(g[:, start:end]) for start, end, is_class in self._of(g) if not is_class]
        return torch.stack(norms).amax(0) if norms else g.new_zeros(len(g))
