"""What generated molecules are worth: validity without correction, novelty, distances to real ones.

Every distance to held-out molecules stands beside its floor: the same distance from as many
training molecules, which is what a perfect generator would score at that number.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rdkit import Chem, DataStructs
from rdkit.Chem import QED, Crippen, Descriptors
from rdkit.Chem.rdFingerprintGenerator import GetMorganGenerator
from rdkit.rdBase import BlockLogs

from wgankit.errors import MissingPackageError
from wgankit_molecules.chemistry import as_smiles
from wgankit_molecules.moses_chemistry import accessibility

Array = NDArray[np.float64]

MOST = 5_000
"""Molecules of a set that enter a distance between laws, unless told otherwise."""

_SEED = 0


def evaluate_molecules(
    molecules: Sequence[Any],
    training: Sequence[Any],
    held_out: Sequence[Any],
    *,
    most: int = MOST,
) -> dict[str, float]:
    """Return the metrics of generated molecules.

    Arguments:
        molecules: generated molecules, SMILES strings (invalid ones included) or rdkit Mols.
        training: the molecules trained on.
        held_out: molecules never trained on; may be empty.
        most: of more molecules than this, a fixed random draw enters the distances and the
            diversity.  Distances depend on these numbers, so compare only equal ones.

    Returns:
        Shares as of `shares`; and, if any molecule is valid: "qed", "logp", "sa" (synthetic
        accessibility, 1 easy to 10 hard), "weight" (g/mol), means over the valid ones;
        "internal_diversity"; "compared", the number n of valid molecules that enter the distances.
        With held-out molecules also "w1_qed", "w1_logp", "w1_sa", "w1_weight", the exact
        Wasserstein distances of these properties to the held-out ones, in their own units; and with
        fcd_torch installed "fcd", the Frechet ChemNet distance; each with its floor, "..._floor",
        from n training molecules (from all, if they are fewer) to the same held-out ones.
        Unreadable molecules of training and held_out are left out.
    """
    smiles, known, unseen = (
        [as_smiles(molecule) for molecule in some] for some in (molecules, training, held_out)
    )
    valid = [text for text in map(valid_form, smiles) if text]
    result = shares(smiles, known)
    if not valid:
        return result
    sample = _draw(valid, most)
    result |= {name: float(values.mean()) for name, values in properties(sample).items()}
    result["internal_diversity"] = internal_diversity(sample)
    result["compared"] = float(len(sample))
    real, floor = _readable(unseen, most), _readable(known, len(sample))
    if real and floor:
        result |= _distances(sample, floor, real)
    return result


def valid_form(smiles: str) -> str | None:
    """Return the canonical SMILES without stereo of a valid string, None of any other.

    Valid is what rdkit parses and sanitises, with at least one atom and a single fragment.
    """
    flat = _flat(smiles)
    return flat if flat and "." not in flat else None


@lru_cache(maxsize=100_000)
def _flat(smiles: str) -> str | None:
    """Return the canonical SMILES without stereo, "" of no atoms, None where there is none."""
    with BlockLogs():
        mol = Chem.MolFromSmiles(smiles)
    return None if mol is None else str(Chem.MolToSmiles(mol, isomericSmiles=False))


def shares(smiles: Sequence[str], training: Sequence[str]) -> dict[str, float]:
    """Return which shares of generated strings are valid, unique and novel.

    Arguments:
        smiles: generated SMILES, invalid ones included.
        training: the SMILES trained on.

    Returns:
        "parses" (rdkit accepts it) and "valid" (`valid_form`), of all strings; "unique", the
        distinct ones of the valid ones; "novel", those of the distinct ones that are not in
        training; "valid_unique" and "vun" (valid, unique and novel), the distinct and the novel
        ones of all strings.  Nothing is corrected before; a share of nothing is 0.
    """
    parsed = [flat for flat in map(_flat, smiles) if flat]
    valid = [flat for flat in parsed if "." not in flat]
    distinct = set(valid)
    novel = distinct - canonical_set(tuple(training)) if distinct else set()
    return {
        "valid": _share(valid, smiles),
        "parses": _share(parsed, smiles),
        "unique": _share(distinct, valid),
        "novel": _share(novel, distinct),
        "valid_unique": _share(distinct, smiles),
        "vun": _share(novel, smiles),
    }


def _share(some: Any, among: Any) -> float:
    return len(some) / len(among) if among else 0.0


@lru_cache(maxsize=4)
def canonical_set(smiles: tuple[str, ...]) -> frozenset[str]:
    """Return the canonical forms, without stereo, of the molecules that can be read."""
    with BlockLogs():
        mols = (Chem.MolFromSmiles(text) for text in smiles)
        return frozenset(
            Chem.MolToSmiles(mol, isomericSmiles=False) for mol in mols if mol is not None
        )


def _draw(smiles: Sequence[str], most: int) -> tuple[str, ...]:
    if len(smiles) <= most:
        return tuple(smiles)
    return tuple(random.Random(_SEED).sample(smiles, most))


def _readable(smiles: Sequence[str], most: int) -> tuple[str, ...]:
    """Draw molecules that rdkit can read, as they are written."""
    return tuple(text for text in _draw(smiles, most) if _flat(text))


# Properties --------------------------------------------------------------------------------------


@lru_cache(maxsize=16)
def properties(smiles: tuple[str, ...]) -> dict[str, Array]:
    """Return drug-likeness, lipophilicity, synthetic accessibility and weight of molecules.

    Arguments:
        smiles: strings that rdkit reads.

    Returns:
        Arrays `(len(smiles),)`: "qed" in [0, 1] (Bickerton et al., Nature Chemistry 4, 90, 2012);
        "logp" (Wildman, Crippen, J. Chem. Inf. Comput. Sci. 39, 868, 1999); "sa" in [1, 10] (Ertl,
        Schuffenhauer, J. Cheminformatics 1, 8, 2009); "weight" in g/mol.
    """
    lipophilicity: Any = Crippen
    weights: Any = Descriptors
    measures: dict[str, Callable[[Chem.Mol], float]] = {
        "qed": QED.qed,
        "logp": lipophilicity.MolLogP,
        "sa": accessibility().calculateScore,
        "weight": weights.MolWt,
    }
    with BlockLogs():
        mols = [Chem.MolFromSmiles(text) for text in smiles]
        return {
            name: np.array([measure(mol) for mol in mols]) for name, measure in measures.items()
        }


def internal_diversity(smiles: Sequence[str]) -> float:
    """Return one minus the mean Tanimoto similarity of all pairs (IntDiv1 of MOSES).

    Arguments:
        smiles: strings that rdkit reads, at least one.

    Morgan fingerprints of radius 2 and 1,024 bits; pairs of a molecule with itself count, as in
    Polykovskiy et al., Frontiers in Pharmacology 11, 2020.
    """
    generator = GetMorganGenerator(radius=2, fpSize=1024)
    with BlockLogs():
        prints = [generator.GetFingerprint(Chem.MolFromSmiles(text)) for text in smiles]
    total = float(len(prints))
    for place, one in enumerate(prints):
        total += 2 * sum(DataStructs.BulkTanimotoSimilarity(one, prints[:place]))
    return 1 - total / len(prints) ** 2


# Distances between laws --------------------------------------------------------------------------


def _distances(
    sample: tuple[str, ...], floor: tuple[str, ...], real: tuple[str, ...]
) -> dict[str, float]:
    from scipy.stats import wasserstein_distance

    target = properties(real)
    result = {}
    for end, some in (("", sample), ("_floor", floor)):
        for name, values in properties(some).items():
            result[f"w1_{name}{end}"] = float(wasserstein_distance(values, target[name]))
        if len(some) > 1 and len(real) > 1 and has_fcd():
            from wgankit_molecules.fcd import frechet_distance

            result[f"fcd{end}"] = frechet_distance(_features(some), _features(real))
    return result


def has_fcd() -> bool:
    """Say whether the weights that the Frechet ChemNet distance needs are installed."""
    from wgankit_molecules.fcd import weights_file

    try:
        return weights_file().is_file()
    except MissingPackageError:
        return False


@lru_cache(maxsize=16)
def _features(smiles: tuple[str, ...]) -> Array:
    from wgankit_molecules.fcd import chemnet_features

    return chemnet_features(smiles)
