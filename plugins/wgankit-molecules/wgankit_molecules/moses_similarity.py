"""Tanimoto similarities of many molecules at once, exact, as products of matrices of bits.

The intersection of two fingerprints of 1,024 bits is their inner product.  For the nearest of many
references a shorter product bounds it first: the commonest bits stay, the others are added up in
groups, and since a count times a count is at least the smaller of the two, the inner product of the
short forms is at least that of the long ones.  Only pairs whose bound beats the best similarity
seen so far are compared bit by bit.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias, final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Packed: TypeAlias = NDArray[np.uint8]

SHORT, KEPT = 192, 96
"""Numbers in a short form, and how many of them are single bits."""

_ROWS, _BLOCK, _FIRST = 64, 128, 8
_TILE = 2_048
_BYTE_COUNTS = np.array([bin(byte).count("1") for byte in range(256)], np.uint8)


@final
@dataclass(frozen=True)
class References:
    """Fingerprints to be near to, in the order of their number of bits.

    Arguments:
        packed: their bits, `(m, bytes)`.
        ones: how many bits of each are set, `(m,)`.
        short: their short forms, `(m, SHORT)` uint8.
        groups: for each bit its place in the short form, `(8 bytes,)`.
    """

    packed: Packed
    ones: NDArray[np.int64]
    short: NDArray[np.uint8]
    groups: NDArray[np.int64]


def arrange(packed: Packed) -> References:
    """Return fingerprints `(m, bytes)` arranged for `nearest`."""
    ones = count_ones(packed)
    order = np.argsort(ones, kind="stable")
    packed, ones = packed[order], ones[order]
    bits = np.unpackbits(packed, axis=1)
    commonest = np.argsort(-bits.sum(0, dtype=np.int64), kind="stable")
    groups = np.empty(bits.shape[1], np.int64)
    groups[commonest[:KEPT]] = np.arange(KEPT)
    rest = commonest[KEPT:]
    groups[rest] = KEPT + np.arange(len(rest)) % (SHORT - KEPT)
    return References(packed, ones, shorten(packed, groups), groups)


def shorten(packed: Packed, groups: NDArray[np.int64]) -> NDArray[np.uint8]:
    """Return the short forms of fingerprints: how many bits of each group are set."""
    to_group = torch.zeros(len(groups), SHORT)
    to_group[torch.arange(len(groups)), torch.from_numpy(groups)] = 1
    short = np.empty((len(packed), SHORT), np.uint8)
    for start in range(0, len(packed), _TILE):
        bits = torch.from_numpy(np.unpackbits(packed[start : start + _TILE], axis=1)).float()
        short[start : start + _TILE] = (bits @ to_group).numpy()
    return short


def count_ones(packed: Packed) -> NDArray[np.int64]:
    """Return how many bits of each row are set."""
    new = hasattr(np, "bitwise_count")  # numpy 2
    counts = np.bitwise_count(packed) if new else _BYTE_COUNTS[packed]
    return np.asarray(counts.sum(1, dtype=np.int64))


# The nearest reference --------------------------------------------------------------------------


def nearest(packed: Packed, references: References) -> NDArray[np.float64]:
    """Return the Tanimoto similarity of each fingerprint `(n, bytes)` to its nearest reference."""
    short = shorten(packed, references.groups)
    dtype = exact_type(short, references.short)
    blocks = _Blocks.of(references, dtype)
    best = np.zeros(len(packed))
    for start in range(0, len(packed), _ROWS):
        rows = slice(start, start + _ROWS)
        best[rows] = blocks.nearest(packed[rows], torch.from_numpy(short[rows]).to(dtype))
    return best


def exact_type(x: NDArray[np.uint8], y: NDArray[np.uint8]) -> torch.dtype:
    """Return the quicker of the types in which all inner products of rows come out exactly.

    bfloat16 holds every whole number up to 256, and products are added up in float32.
    """
    largest = np.sqrt(_squares(x) * float(_squares(y)))
    return torch.bfloat16 if largest <= 256 and quick_bfloat16() else torch.float32


def _squares(x: NDArray[np.uint8]) -> int:
    """Return the largest squared norm of the rows."""
    return max(
        (
            int(np.square(x[start : start + _TILE], dtype=np.int64).sum(1).max())
            for start in range(0, len(x), _TILE)
        ),
        default=0,
    )


def quick_bfloat16() -> bool:
    """Say whether this processor multiplies bfloat16 itself."""
    asked = getattr(torch.cpu, "_is_avx512_bf16_supported", None)
    return bool(asked()) if asked is not None else False


@final
@dataclass(frozen=True)
class _Blocks:
    """References in blocks of nearly equal numbers of bits, and their short forms transposed."""

    references: References
    short: Tensor
    ones: Tensor

    @classmethod
    def of(cls, references: References, dtype: torch.dtype) -> _Blocks:
        missing = -len(references.ones) % _BLOCK
        short = torch.from_numpy(np.pad(references.short, ((0, missing), (0, 0)))).to(dtype)
        # What fills the last block up has so many bits that nothing is similar to it.
        ones = np.pad(references.ones, (0, missing), constant_values=10**9)
        return cls(references, short.T, torch.from_numpy(ones).float().view(-1, _BLOCK))

    def nearest(self, packed: Packed, short: Tensor) -> NDArray[np.float64]:
        """Return the similarity of a few fingerprints to their nearest references."""
        ones = count_ones(packed)
        own = torch.from_numpy(ones).float()[:, None]
        bounds = (short @ self.short).view(len(packed), *self.ones.shape)
        shared = torch.minimum(bounds.amax(2).float(), own)
        highest = shared / (own + self.ones[:, 0] - shared)
        # A good reference first: what lies below it need not be looked at.
        blocks = highest.topk(min(_FIRST, highest.shape[1]), dim=1).indices
        rows = torch.arange(len(packed))[:, None].expand_as(blocks)
        places = bounds[rows, blocks].argmax(2) + blocks * _BLOCK
        seen = self._exact(packed, ones, rows.reshape(-1), places.reshape(-1))
        best: NDArray[np.float64] = seen.reshape(blocks.shape).max(1)
        floor = torch.from_numpy(best).float()[:, None]
        rows, blocks = torch.nonzero(highest >= floor * (1 - 1e-6), as_tuple=True)
        floor, both = floor[rows], own[rows] + self.ones[blocks]
        # I / (a + b - I) >= t is I (1 + t) >= t (a + b).
        promising = bounds[rows, blocks].float() * (1 + floor) >= floor * both * (1 - 1e-6)
        pair, offset = torch.nonzero(promising, as_tuple=True)
        seen = self._exact(packed, ones, rows[pair], blocks[pair] * _BLOCK + offset)
        np.maximum.at(best, rows[pair].numpy(), seen)
        return best

    def _exact(
        self, packed: Packed, ones: NDArray[np.int64], rows: Tensor, places: Tensor
    ) -> NDArray[np.float64]:
        row, place = rows.numpy(), places.numpy().clip(max=len(self.references.ones) - 1)
        shared = count_ones(packed[row] & self.references.packed[place])
        either = ones[row] + self.references.ones[place] - shared
        similar: NDArray[np.float64] = np.where(either > 0, shared / np.maximum(either, 1), 1.0)
        return similar


# All pairs --------------------------------------------------------------------------------------


def diversity(packed: Packed) -> tuple[float, float]:
    """Return the internal diversities of fingerprints `(n, bytes)`, of the powers 1 and 2.

    One minus the mean over the molecules of the mean similarity to all, itself included; and the
    same with the root of the mean square.
    """
    ones = count_ones(packed)
    sums = np.zeros((2, len(packed)))
    quick = quick_bfloat16() and ones.max(initial=0) <= 256
    dtype = torch.bfloat16 if quick else torch.float32
    for i in range(0, len(packed), _TILE):
        x, a = _bits(packed[i : i + _TILE], dtype), _column(ones[i : i + _TILE])
        for j in range(i, len(packed), _TILE):
            y, b = _bits(packed[j : j + _TILE], dtype), _column(ones[j : j + _TILE])
            shared = (x @ y.T).float()
            similar = (shared / (a + b.T - shared)).nan_to_num_(1.0)  # no bits at all: the same
            for power, total in enumerate(sums, start=1):
                part = similar**power
                total[i : i + _TILE] += part.sum(1).double().numpy()
                if j > i:
                    total[j : j + _TILE] += part.sum(0).double().numpy()
    mean, square = sums / max(len(packed), 1)
    return 1 - float(mean.mean()), 1 - float(np.sqrt(square).mean())


def _bits(packed: Packed, dtype: torch.dtype) -> Tensor:
    return torch.from_numpy(np.unpackbits(packed, axis=1)).to(dtype)


def _column(ones: NDArray[Any]) -> Tensor:
    return torch.from_numpy(ones).float()[:, None]
