"""Metric spaces: what a distance and a slope are, for any kind of point.

A batch of points is a tensor, or a (named) tuple of tensors, with the batch on the first axis of
every tensor.  The core never looks further inside.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from functools import singledispatch
from typing import TypeAlias, cast

import torch
from torch import Tensor

from wgankit.errors import ShapeError

Points: TypeAlias = Tensor | tuple[Tensor, ...]
Critic: TypeAlias = Callable[[Points], Tensor]


def leaves(points: Points) -> tuple[Tensor, ...]:
    """Return the tensors of a batch of points."""
    return (points,) if isinstance(points, Tensor) else tuple(points)


def rebuild(like: Points, parts: Iterable[Tensor]) -> Points:
    """Return a batch of the same form as `like` (tensor, tuple, named tuple) from its tensors."""
    tensors = tuple(parts)
    if isinstance(like, Tensor):
        return tensors[0]
    kind = type(like)
    return tensors if kind is tuple else kind(*tensors)


def on_leaves(function: Callable[..., Tensor], *batches: Points) -> Points:
    """Apply a function to the corresponding tensors of one or more batches of the same form."""
    return rebuild(batches[0], map(function, *(leaves(batch) for batch in batches)))


def batch_size(points: Points) -> int:
    """Return how many points a batch holds."""
    return len(leaves(points)[0])


def join(*batches: Points) -> Points:
    """Put batches one after another."""
    return on_leaves(lambda *parts: torch.cat(parts), *batches)


def pick(points: Points, index: Tensor | slice) -> Points:
    """Return the points at the given places of a batch."""
    if isinstance(index, slice):
        return on_leaves(lambda part: part[index], points)
    return on_leaves(lambda part: part.index_select(0, index), points)


def to_device(points: Points, device: torch.device | str) -> Points:
    """Return the batch on a device."""
    return on_leaves(lambda part: part.to(device), points)


def safe_norm(vectors: Tensor, p: float = 2.0) -> Tensor:
    """Return the p-norm of each row of `(B, ...)`, with gradient 0 (never NaN) at the origin."""
    # All at once and not flattened first, which would copy pictures whose channels lie last.
    parts = vectors if vectors.dim() > 1 else vectors[:, None]
    ways = tuple(range(1, parts.dim()))
    if p != 2.0:
        return cast(Tensor, torch.linalg.vector_norm(parts, p, dim=ways))
    # Scaling by the largest entry keeps squares from overflow and underflow; masking before the
    # root keeps every derivative finite at 0, where sqrt has none.
    largest = parts.detach().abs().amax(ways, keepdim=True) if parts.numel() else parts.new_zeros(1)
    usable = (largest > 0) & torch.isfinite(largest)
    scale = torch.where(usable, largest, torch.ones_like(largest))
    square = (parts / scale).square().sum(ways)
    somewhere = square != 0  # true of NaN, which must not pass for 0
    root = torch.where(somewhere, square, torch.ones_like(square)).sqrt()
    return root * scale.view(-1) * somewhere


def conjugate(p: float) -> float:
    """Return q with 1/p + 1/q = 1."""
    if p == 1:
        return float("inf")
    return 1.0 if p == float("inf") else p / (p - 1)


class MetricSpace(ABC):
    """A set with a distance.

    `distance` is all that a new space must give: penalties then compare the critic's values at
    pairs of points.  A discrete space may override `segment`, so that the pairs are neighbours.
    """

    @abstractmethod
    def distance(self, x: Points, y: Points) -> Tensor:
        """Return the distance `(B,)` between corresponding points of two batches."""

    def segment(self, x: Points, y: Points, t: Tensor) -> tuple[Points, Points]:
        """Return two close points of a shortest path from x to y, near fraction t of its length.

        Arguments:
            x: start points, batch of B.
            y: end points, batch of B.
            t: fractions in [0, 1], `(B,)`.

        By the triangle inequality a critic whose slope is at most 1 on every such pair is
        1-Lipschitz.  The default is the whole path: (x, y).
        """
        return x, y

    def slope(self, critic: Critic, x: Points, y: Points, t: Tensor) -> Tensor:
        """Return the critic's local slope |f(u) - f(v)| / d(u, v), `(B,)`, on `segment(x, y, t)`.

        Where the segment is a single point (x = y in a space without neighbours) it is 0.
        """
        u, v = self.segment(x, y, t)
        at_u, at_v = critic(join(u, v)).chunk(2)
        distance = self.distance(u, v)
        apart = distance > 0
        return (at_u - at_v).abs() / torch.where(apart, distance, torch.ones_like(distance)) * apart


class SmoothSpace(MetricSpace):
    """A space with geodesics on which a differential has a norm.

    The slope of a critic is then the dual norm of its gradient, the limit of short segments: the
    gradient penalty.
    """

    @abstractmethod
    def interpolate(self, x: Points, y: Points, t: Tensor) -> Points:
        """Return the points at fraction t `(B,)` of a geodesic from x to y."""

    @abstractmethod
    def dual_norm(self, x: Points, gradient: Points) -> Tensor:
        """Return sup <gradient, v> over directions v of length 1 at x, `(B,)`."""

    def slope(self, critic: Critic, x: Points, y: Points, t: Tensor) -> Tensor:
        """Return the dual norm `(B,)` of the critic's gradient at `interpolate(x, y, t)`."""
        keep = torch.is_grad_enabled()
        with torch.no_grad():
            points = self.interpolate(x, y, t)
        with torch.enable_grad():
            inputs = on_leaves(lambda part: part.detach().requires_grad_(), points)
            scores = critic(inputs)
            gradient = torch.autograd.grad(
                scores.sum(),
                leaves(inputs),
                create_graph=keep,
                allow_unused=True,
                materialize_grads=True,
            )
            return self.dual_norm(inputs, rebuild(inputs, gradient))


def spread(t: Tensor, like: Tensor) -> Tensor:
    """Return fractions `(B,)` shaped so that they multiply a batch `(B, ...)`."""
    return t.view(-1, *[1] * (like.dim() - 1))


def straight(x: Points, y: Points, t: Tensor) -> Points:
    """Return the points at fraction t of the straight line from x to y."""
    return on_leaves(lambda a, b: torch.lerp(a, b, spread(t, a).to(a.dtype)), x, y)


@singledispatch
def pairwise(space: MetricSpace, x: Points, y: Points, block: int = 65_536) -> Tensor:
    """Return all distances `(n, m)` between two batches.

    Arguments:
        space: any metric space.
        x: n points.
        y: m points.
        block: how many pairs are compared at once, which bounds the memory.

    It works by `space.distance` on all pairs.  A space for which the table comes cheaper registers
    its own way: `@pairwise.register(MySpace)` over a function of the same arguments.
    """
    n, m = batch_size(x), batch_size(y)
    rows = max(1, block // max(m, 1))
    parts = []
    for start in range(0, n, rows):
        some = pick(x, slice(start, start + rows))
        count = batch_size(some)
        left = on_leaves(lambda part: part.repeat_interleave(m, 0), some)
        right = on_leaves(lambda part, count=count: part.repeat(count, *[1] * (part.dim() - 1)), y)
        parts.append(space.distance(left, right).view(count, m))
    return torch.cat(parts) if parts else torch.zeros(0, m)


BLOCK = 1 << 22
"""Numbers that are looked at together where a whole data set is checked."""


def check_finite(points: Points, what: str = "data") -> None:
    """Raise `ShapeError` if any number of a batch is NaN or infinite."""
    for part in leaves(points):
        if not part.is_floating_point():
            continue
        # In blocks, because what finds the spoilt points takes as much memory as they do.
        rows = max(1, BLOCK // max(1, part[0].numel()))
        blocks = torch.split(part.reshape(len(part), -1), rows)
        spoilt = ~torch.cat([torch.isfinite(block).all(1) for block in blocks])
        if bool(spoilt.any()):
            raise ShapeError(
                f"{what}: {int(spoilt.sum())} of {len(part)} points hold NaN or infinite numbers, "
                f"the first of them point {int(spoilt.nonzero()[0])}; leave them out or mend them"
            )


def check_points(space: MetricSpace, points: Points, what: str = "data") -> None:
    """Raise `ShapeError` unless the batch is one that the space can measure.

    Arguments:
        space: the metric space.
        points: a batch.
        what: what to call the batch in the message.
    """
    sizes = {len(part) if part.dim() else 0 for part in leaves(points)}
    if len(sizes) != 1 or sizes == {0}:
        raise ShapeError(
            f"{what}: every tensor needs the same number of points (at least 1) on its first axis; "
            f"got shapes {[tuple(part.shape) for part in leaves(points)]}"
        )
    check_finite(points, what)
    some = pick(points, slice(0, 2))
    try:
        distance = space.distance(some, some)
    except (RuntimeError, TypeError, ValueError, IndexError, AttributeError) as error:
        shapes = [tuple(part.shape) for part in leaves(points)]
        raise ShapeError(
            f"{what}: {type(space).__name__} cannot measure points of shapes {shapes}: {error}"
        ) from error
    if distance.shape != (batch_size(some),) or not distance.is_floating_point():
        raise ShapeError(
            f"{type(space).__name__}.distance must return one float for each pair, "
            f"shape ({batch_size(some)},); got {tuple(distance.shape)} of {distance.dtype}"
        )
    if not bool(torch.isfinite(distance).all()):
        raise ShapeError(
            f"{what}: {type(space).__name__} says a point is {distance.tolist()} from itself, "
            "and it must say 0; see wgankit.testing.check_metric_space"
        )
