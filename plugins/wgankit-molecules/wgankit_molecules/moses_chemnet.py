"""ChemNet's features of many molecules, and the Frechet distance between laws of them.

The same numbers as `wgankit_molecules.fcd`, sooner: ChemNet reads 350 characters, of which a
molecule fills forty, and its first LSTM comes to them over zeros, which it needs to do only once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import TypeAlias, cast, final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import pad, selu

from wgankit_molecules.fcd import LENGTH, chemnet, spell

Features: TypeAlias = NDArray[np.float32]
Array: TypeAlias = NDArray[np.float64]

STEPS = 88
"""What the convolutions make of 350 characters."""

_BATCH = 256


def features(smiles: Sequence[str]) -> Features:
    """Return ChemNet's features of molecules, `(n, 512)`.

    Arguments:
        smiles: canonical SMILES; they are read as they are.
    """
    spelt = [spell(text) for text in smiles]
    order = sorted(range(len(spelt)), key=lambda place: len(spelt[place]))
    found = np.zeros((len(spelt), 512), np.float32)
    for start in range(0, len(order), _BATCH):
        some = order[start : start + _BATCH]
        found[some] = _features([spelt[place] for place in some]).numpy()
    return found


@torch.no_grad()
def _features(spelt: Sequence[Sequence[int]]) -> Tensor:
    """Return the features of a few molecules, the longest of which decides what is computed."""
    network = chemnet()
    kinds = network.first.in_channels
    longest = max(map(len, spelt))
    # Step i of the second convolution reads the characters 4 i - 3 to 4 i + 6.
    steps = min((longest + 6) // 4, STEPS)
    width = min(4 * steps, LENGTH)
    characters = torch.zeros(len(spelt), kinds, width)
    for row, places in enumerate(spelt):
        characters[row, places, torch.arange(len(places))] = 1 / kinds
    hidden = selu(network.first(pad(characters, (1, 1))))
    hidden = selu(network.second(pad(hidden, (1, 2))))[:, :, :steps]
    before, state, cell = _zeros(STEPS - steps)
    start = tuple(part.expand(1, len(spelt), -1).contiguous() for part in (state, cell))
    states, _ = network.short(hidden.transpose(1, 2).flip(1), start)
    whole = torch.cat([states.flip(1), before.flip(1).expand(len(spelt), -1, -1)], dim=1)
    last, _ = network.long(whole)
    return cast(Tensor, last[:, -1])


@cache
def _zeros(steps: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return what the first LSTM makes of zeros: its states, its last state and its last cell."""
    network = chemnet()
    if not steps:
        width = network.short.hidden_size
        return torch.zeros(1, 0, width), torch.zeros(1, 1, width), torch.zeros(1, 1, width)
    with torch.no_grad():
        states, (state, cell) = network.short(torch.zeros(1, steps, network.short.input_size))
    return states, state, cell


@final
@dataclass(frozen=True)
class Law:
    """Mean `(k,)` and covariance `(k, k)` of features."""

    mean: Array
    covariance: Array


def law(found: Features) -> Law:
    """Return mean and covariance of features `(n, k)`, n at least 2."""
    exact = found.astype(np.float64)
    return Law(exact.mean(0), np.cov(exact, rowvar=False))


def frechet(x: Law, y: Law) -> float:
    """Return the squared Frechet distance of two normal laws; see `fcd.frechet_distance`."""
    values, vectors = np.linalg.eigh(x.covariance)
    root = vectors * np.sqrt(values.clip(min=0))
    overlap = np.sqrt(np.linalg.eigvalsh(root.T @ y.covariance @ root).clip(min=0)).sum()
    shift = x.mean - y.mean
    traces = np.trace(x.covariance) + np.trace(y.covariance)
    return float(shift @ shift + traces - 2 * overlap)
