"""The Frechet ChemNet distance between two sets of molecules.

K. Preuer, P. Renz, T. Unterthiner, S. Hochreiter, G. Klambauer, "Frechet ChemNet Distance: A metric
for generative models for molecules in drug discovery", J. Chem. Inf. Model. 58, 1736 (2018).

ChemNet's weights are read out of the installed package fcd_torch; its code is not imported.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any, cast, final

import numpy as np
import torch
from numpy.typing import NDArray
from rdkit import Chem
from rdkit.rdBase import BlockLogs
from torch import Tensor, nn
from torch.nn.functional import pad, selu

from wgankit.errors import DataError, MissingPackageError

Features = NDArray[np.float64]

LENGTH = 350
"""Characters that ChemNet reads of a SMILES string, the final '.' included."""

_ALPHABET = (
    *("C", "N", "O", "H", "F", "Cl", "P", "B", "Br", "S", "I", "Si", "#", "(", ")", "+", "-"),
    *("1", "2", "3", "4", "5", "6", "7", "8", "=", "[", "]", "@", "c", "n", "o", "s", "X", "."),
)
_PLACE = {symbol: place for place, symbol in enumerate(_ALPHABET)}
_OTHER, _END = _PLACE["X"], _PLACE["."]


@final
class ChemNet(nn.Module):
    """Two convolutions and two LSTMs over one-hot SMILES; its 512 last states are the features.

    Both LSTMs run backwards over the sequence that they are given, as the published weights want.
    """

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv1d(len(_ALPHABET), 32, 4, stride=2, bias=False)
        self.second = nn.Conv1d(32, 32, 4, stride=2, bias=False)
        self.short = nn.LSTM(32, 128, batch_first=True)
        self.long = nn.LSTM(128, 512, batch_first=True)

    def forward(self, characters: Tensor) -> Tensor:
        """Return the features `(B, 512)` of one-hot characters `(B, 35, 350)`."""
        hidden = selu(self.first(pad(characters, (1, 1))))
        hidden = selu(self.second(pad(hidden, (1, 2))))
        states, _ = self.short(hidden.transpose(1, 2).flip(1))
        states, _ = self.long(states.flip(1))
        return cast(Tensor, states[:, -1])


def weights_file() -> Path:
    """Return the file of ChemNet's weights in the installed fcd_torch.

    Raises:
        MissingPackageError: fcd_torch is not installed.
    """
    try:
        found = distribution("fcd_torch").locate_file("fcd_torch/ChemNet_v0.13_pretrained.pt")
    except PackageNotFoundError as error:
        raise MissingPackageError(
            "the Frechet ChemNet distance needs the weights in fcd_torch; "
            "type: pip install 'wgankit-molecules[fcd]'"
        ) from error
    return Path(str(found))


@cache
def chemnet() -> ChemNet:
    """Return ChemNet with its published weights, on the CPU, ready for evaluation."""
    layers: list[tuple[str, tuple[dict[str, Tensor], Any, Any]]] = torch.load(
        weights_file(), map_location="cpu", weights_only=True
    )
    network = ChemNet()
    for module, (_, (state, *_rest)) in zip(network.children(), layers, strict=True):
        module.load_state_dict(state)
    return network.eval().requires_grad_(False)


def spell(smiles: str) -> list[int]:
    """Return the places in ChemNet's alphabet of the characters of a SMILES string and its end.

    A letter followed by r, i or l is read together with it; a character that is not in the alphabet
    is X; the string ends at the first '.', and after 349 characters.
    """
    text = smiles.split(".", 1)[0] + "."
    places: list[int] = []
    start = 0
    while start < len(text) - 1 and len(places) < LENGTH - 1:
        width = 2 if text[start + 1] in "ril" else 1
        places.append(_PLACE.get(text[start : start + width], _OTHER))
        start += width
    return [*places, _END]


def chemnet_features(smiles: Sequence[str], batch: int = 64) -> Features:
    """Return ChemNet's features of molecules, `(len(smiles), 512)`.

    Arguments:
        smiles: SMILES strings that rdkit reads; they are made canonical first.
        batch: how many are computed at once.

    Raises:
        MissingPackageError: fcd_torch is not installed.
        DataError: a string that rdkit does not read.
    """
    network = chemnet()
    parts = [np.zeros((0, 512))]
    for start in range(0, len(smiles), batch):
        spelt = [spell(text) for text in _canonical(smiles[start : start + batch])]
        characters = torch.zeros(len(spelt), len(_ALPHABET), LENGTH)
        for row, places in enumerate(spelt):
            characters[row, places, torch.arange(len(places))] = 1 / len(_ALPHABET)
        with torch.no_grad():
            parts.append(network(characters).double().numpy())
    return np.concatenate(parts)


def _canonical(smiles: Sequence[str]) -> list[str]:
    with BlockLogs():
        mols = [Chem.MolFromSmiles(text) for text in smiles]
    for text, mol in zip(smiles, mols, strict=True):
        if mol is None:
            raise DataError(f"{text!r} is no molecule; leave such strings out before the distance")
    return [Chem.MolToSmiles(mol) for mol in mols]


def frechet_distance(x: Features, y: Features) -> float:
    """Return the squared Frechet (2-Wasserstein) distance of two normal laws fitted to features.

    Arguments:
        x: features `(n, k)`, n at least 2.
        y: features `(m, k)`, m at least 2.

    With means a, b and covariances A, B it is |a - b|^2 + tr A + tr B - 2 tr (A^1/2 B A^1/2)^1/2
    (D. C. Dowson, B. V. Landau, J. Multivariate Anal. 12, 450, 1982), where the last trace is the
    sum of the roots of the eigenvalues of a symmetric matrix.
    """
    if min(len(x), len(y)) < 2:
        raise DataError(
            "the Frechet distance needs at least two points on each side; "
            f"got {len(x)} and {len(y)}"
        )
    shift = x.mean(0) - y.mean(0)
    a, b = np.atleast_2d(np.cov(x, rowvar=False)), np.atleast_2d(np.cov(y, rowvar=False))
    values, vectors = np.linalg.eigh(a)
    root = vectors * np.sqrt(values.clip(min=0))
    overlap = np.sqrt(np.linalg.eigvalsh(root.T @ b @ root).clip(min=0)).sum()
    return float(shift @ shift + np.trace(a) + np.trace(b) - 2 * overlap)
