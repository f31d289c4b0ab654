"""What all laws are checked with: how to say what failed, and batches to try."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

import torch
from torch import Tensor

from wgankit.errors import SettingError
from wgankit.space import Critic, MetricSpace, Points, batch_size, leaves, pick


def fail(law: str, detail: str) -> NoReturn:
    """Say that a law is broken, and where."""
    raise AssertionError(f"law broken: {law}; {detail}")


def hold(law: str, excess: Tensor, allowed: float, *, at: str = "points") -> None:
    """Fail at the worst entry of `excess` that is not `<= allowed`; NaN is worst of all."""
    bad = ~(excess <= allowed)
    if not bool(bad.any()):
        return
    ranked = torch.where(excess.isnan(), torch.full_like(excess, torch.inf), excess)
    place = torch.unravel_index(ranked.argmax(), excess.shape)
    index = tuple(int(coordinate) for coordinate in place)
    where = str(index[0]) if len(index) == 1 else str(index)
    fail(
        law,
        f"worst at {at} {where}, by {float(excess[index]):.3g} where {allowed:.3g} is allowed "
        f"({int(bad.sum())} of {bad.numel()} fail)",
    )


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Draw from a seed in the block, and put random numbers back behind it."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield


def finite(law: str, points: Points) -> None:
    """Fail at the worst point that holds a number which is not finite."""
    for part in leaves(points):
        hold(law, (~part.isfinite()).flatten(1).float().amax(1), 0.0, at="point")


def some(points: Points, limit: int, least: int = 3) -> Points:
    """Return the first points, at most `limit`.

    Raises:
        SettingError: there are fewer than `least`.
    """
    if batch_size(points) < least:
        raise SettingError(f"the laws need at least {least} points; got {batch_size(points)}")
    return pick(points, slice(0, limit))


def grid(points: Points) -> tuple[Points, Points]:
    """Return all ordered pairs of points as two batches of n^2."""
    count = batch_size(points)
    index = torch.arange(count, device=leaves(points)[0].device)
    return pick(points, index.repeat_interleave(count)), pick(points, index.repeat(count))


def fractions(x: Points) -> Iterator[Tensor]:
    """Yield fractions for a batch: both ends, then some inside."""
    first = leaves(x)[0]
    for end in (0.0, 1.0):
        yield torch.full((len(first),), end, device=first.device)
    for _ in range(3):
        yield torch.rand(len(first), device=first.device)


def everywhere(point: Points, like: Points) -> Points:
    """Return one point as often as another batch has points."""
    index = torch.zeros(batch_size(like), dtype=torch.long, device=leaves(like)[0].device)
    return pick(point, index)


def distance_to(space: MetricSpace, point: Points, factor: float = 1.0) -> Critic:
    """Return the critic factor * d(., point), whose Lipschitz constant is exactly the factor."""
    return lambda points: factor * space.distance(points, everywhere(point, points))
