"""Points with a condition: flat tuples, the parts of the point first and the condition last."""

from __future__ import annotations

from itertools import accumulate, pairwise

import torch
from torch import Tensor

from wgankit.errors import ShapeError
from wgankit.space import Points, leaves


def split(points: Points) -> tuple[Points, Tensor]:
    """Return the points without their conditions, and the conditions `(B, ...)`.

    A point of a single part comes back as a tensor, any other as a tuple.
    """
    *parts, condition = leaves(points)
    if not parts:
        raise ShapeError(
            "a point with a condition is a tuple, the condition last: (*parts, condition); got a "
            f"single tensor of shape {tuple(condition.shape)}"
        )
    return (parts[0] if len(parts) == 1 else tuple(parts)), condition


def beside(points: Points, condition: Tensor) -> tuple[Tensor, ...]:
    """Return points with a condition each, as one flat tuple."""
    return (*leaves(points), condition)


def rows(condition: Tensor) -> Tensor:
    """Return conditions as vectors `(B, K)`."""
    return condition.reshape(len(condition), -1)


def differ(one: Tensor, other: Tensor) -> Tensor:
    """Return which of two batches' conditions differ, `(B,)`."""
    return (rows(one) != rows(other)).any(1)


def numbered(*conditions: Tensor) -> tuple[Tensor, ...]:
    """Return a number for every condition of some batches, equal ones for equal conditions."""
    tables = [rows(condition) for condition in conditions]
    _, numbers = torch.unique(torch.cat(tables), dim=0, return_inverse=True)
    ends = [0, *accumulate(len(table) for table in tables)]
    return tuple(numbers[start:end] for start, end in pairwise(ends))
