"""Tokens drawn by numbers that are a function of the point, so that a point says one molecule."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

CELLS = 16
"""Cells along a coordinate's unit in which all points draw tokens by the same numbers."""


def uniform_numbers(points: Tensor, count: int, *, seed: int = 0) -> Tensor:
    """Return numbers that look drawn uniformly from [0, 1), always the same for a point.

    They are a hash of the point's cell in a grid, so that neither the batch nor the last bits of a
    point change them.  The points of a generator come from the seed of the sampling, and so do
    these.

    Arguments:
        points: `(B, n)`.
        count: how many for each.
        seed: other numbers for the same point.

    Returns:
        `(B, count)` on the device of the points.  SplitMix64 of G. L. Steele, D. Lea and
        C. H. Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014.
    """
    cells = (points.detach().double() * CELLS).floor().long().cpu().numpy().astype(np.uint64)
    places = np.arange(max(cells.shape[1], count), dtype=np.uint64)
    odd = mixed(places[: cells.shape[1]] + mixed(np.array([seed], np.uint64))) | np.uint64(1)
    keys = mixed((cells * odd).sum(1, dtype=np.uint64))
    many = mixed(keys[:, None] + (places[:count] + np.uint64(1)) * GOLDEN)
    return torch.from_numpy((many >> np.uint64(40)).astype(np.float32) * 2**-24).to(points.device)


GOLDEN = np.uint64(0x9E3779B97F4A7C15)
"""Two to the 64th over the golden ratio, the step of SplitMix64."""


def mixed(numbers: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Return each number with its bits mixed, one to one (SplitMix64's finaliser)."""
    numbers = numbers + GOLDEN
    numbers = (numbers ^ (numbers >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    numbers = (numbers ^ (numbers >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    found: NDArray[np.uint64] = numbers ^ (numbers >> np.uint64(31))
    return found


def drawn(scores: Tensor, chances: Tensor) -> Tensor:
    """Return tokens drawn from the softmax of scores.

    Arguments:
        scores: `(B, tokens + 1)`.
        chances: numbers of [0, 1), one for each row, `(B,)`.

    Returns:
        The first tokens up to which the probabilities sum to more than the chance, `(B,)`.
    """
    reached = scores.float().softmax(1).cumsum(1)
    return (reached <= chances[:, None]).sum(1).clamp_max(scores.shape[1] - 1)
