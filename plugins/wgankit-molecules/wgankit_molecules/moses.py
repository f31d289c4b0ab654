"""The MOSES protocol: what 30,000 samples are worth beside the published table.

D. Polykovskiy et al., "Molecular Sets (MOSES): A Benchmarking Platform for Molecular Generation
Models", Frontiers in Pharmacology 11, 565644, 2020.  The figures are those of its package molsets
0.3.1, against the same published statistics.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from wgankit.errors import DataError
from wgankit_molecules.chemistry import as_smiles
from wgankit_molecules.data import Say, _silent
from wgankit_molecules.fcd import weights_file
from wgankit_molecules.moses_chemistry import (
    PROPERTIES,
    Described,
    describe,
    join,
    scaffolds_of,
)
from wgankit_molecules.moses_chemnet import Law, features, frechet, law
from wgankit_molecules.moses_processes import shared_out
from wgankit_molecules.moses_reference import (
    FLOORS,
    SPLITS,
    TRAINING,
    Occurrences,
    Reference,
    write,
)
from wgankit_molecules.moses_similarity import References, diversity, nearest

Features: TypeAlias = NDArray[np.float32]
Values: TypeAlias = NDArray[np.float64]

SAMPLES = 30_000
"""Samples that the protocol wants."""

UNIQUE_AT = (1_000, 10_000)

_SEED = 0

_NO_MOLECULE = ""
"""Stands for a line of a file of samples that holds no string."""


def evaluate_moses(
    samples: Path, *, data: Path | None = None, say: Say = _silent
) -> dict[str, float]:
    """Judge a file of samples: `wgankit evaluate FILE --against moses`.

    Arguments:
        samples: a file of SMILES, invalid ones included; see `read_molecules`.
        data: the folder of fetched data, if it is not the usual one.
        say: called with lines about the progress.

    Returns:
        As `moses_metrics`, with floors.

    Raises:
        DataError: a file that cannot be read, MOSES not fetched, no valid sample.
    """
    from wgankit.domain import describe_skips
    from wgankit_molecules.files import read_molecules

    reference = Reference(data)
    reading = read_molecules(samples, blanks=True)
    left_out = sum(reading.skipped.values())
    if left_out:
        told = describe_skips(reading.skipped, len(reading.objects), "samples")
        say(f"{told}; they count as invalid")
    given = [*reading.objects, *[_NO_MOLECULE] * left_out]
    return moses_metrics(given, data=data, say=say, reference=reference)


def moses_metrics(
    molecules: Sequence[object],
    *,
    data: Path | str | None = None,
    floors: bool = True,
    workers: int | None = None,
    say: Say = _silent,
    reference: Reference | None = None,
) -> dict[str, float]:
    """Return the figures of the MOSES table for generated molecules.

    Arguments:
        molecules: SMILES strings (invalid ones included) or rdkit Mols, in the order drawn; the
            protocol wants 30,000.
        data: folder of fetched data; see `data.cache_folder`.
        floors: beside FCD and Scaf, which depend on the number of molecules, also what as many
            training molecules score (`FCD/Test_floor` and so on).
        workers: processes for what rdkit does; 0 for none, by default one for each core.
        say: called with lines about the progress.
        reference: what to compare with, if it has been read already.

    Returns:
        "valid" (what rdkit reads, without correction), "unique@1000", "unique@10000" (of the first
        valid ones); against "Test" and "TestSF" (scaffolds that no training molecule has) "FCD",
        "SNN" (mean Tanimoto similarity to the nearest), "Frag" and "Scaf" (cosines of the counts of
        BRICS fragments and Murcko scaffolds); "IntDiv", "IntDiv2"; "Filters" (the share that
        passes); "logP", "SA", "QED", "weight" (Wasserstein distances to Test); and "Novelty".
        All but the first are of the valid ones.

    Raises:
        DataError: MOSES not fetched, or no valid molecule.
        MissingPackageError: fcd_torch, which holds ChemNet's weights, is not installed.
    """
    reference = reference or Reference(data)
    weights_file()  # what lacks them should not be noticed after minutes of work
    smiles = [as_smiles(molecule) for molecule in molecules]
    unwanted = reference.lines("unwanted")
    seen = join(shared_out(describe, smiles, unwanted, workers=workers))
    count = len(seen.smiles)
    if not count:
        raise DataError(
            f"none of the {len(smiles):,} samples is a molecule that rdkit reads; SMILES, one a "
            "line, are wanted"
        )
    say(_about(len(smiles), count))
    figures = _shares(seen)
    figures |= _against(seen, features(seen.smiles), reference)
    if floors:
        figures |= _floors(count, reference, workers, say)
    figures |= dict(zip(("IntDiv", "IntDiv2"), diversity(seen.prints), strict=True))
    figures["Filters"] = seen.passed / count
    figures |= _property_distances(seen, reference)
    distinct = set(seen.smiles)
    figures["Novelty"] = reference.not_trained_on(distinct) / len(distinct)
    return figures


def _about(given: int, count: int) -> str:
    said = f"{given:,} samples, {count:,} of them valid"
    if given < SAMPLES:
        said += (
            f"; the protocol wants {SAMPLES:,}, and FCD and Scaf depend on the number: compare "
            "them with their floors, not with published figures"
        )
    return said


def _shares(seen: Described) -> dict[str, float]:
    unique = {}
    for most in UNIQUE_AT:
        some = seen.smiles[:most]
        unique[f"unique@{most}"] = len(set(some)) / len(some)
    return {"valid": len(seen.smiles) / seen.given, **unique}


def _against(seen: Described, found: Features, reference: Reference) -> dict[str, float]:
    """Return what is compared with the two sets."""
    figures: dict[str, float] = {}
    fragments = Occurrences(seen.fragments)
    for split in SPLITS:
        prints = References(
            *(reference[f"{split}.{part}"] for part in ("packed", "ones", "short", "groups"))
        )
        known = reference.occurrences(f"{split}.fragments")
        figures |= _number_dependent(split, found, seen.scaffolds, reference)
        figures[f"SNN/{split}"] = float(nearest(seen.prints, prints).mean())
        figures[f"Frag/{split}"] = known.cosine(fragments)
    order = ("FCD", "SNN", "Frag", "Scaf")
    return {f"{name}/{split}": figures[f"{name}/{split}"] for split in SPLITS for name in order}


def _number_dependent(
    split: str, found: Features, scaffolds: Sequence[str], reference: Reference
) -> dict[str, float]:
    """Return FCD and Scaf against a set."""
    known = reference.occurrences(f"{split}.scaffolds")
    apart = math.nan  # one molecule has no covariance
    if len(found) > 1:
        target = Law(reference[f"{split}.mean"], reference[f"{split}.covariance"])
        apart = frechet(target, law(found))
    counts = Occurrences(Counter(filter(None, scaffolds)))
    return {f"FCD/{split}": apart, f"Scaf/{split}": known.cosine(counts)}


def _property_distances(seen: Described, reference: Reference) -> dict[str, float]:
    return {
        name: area_between(reference[f"Test.{name}"], seen.properties[name]) for name in PROPERTIES
    }


def area_between(x: Values, y: Values) -> float:
    """Return the Wasserstein distance of two sets of numbers: the area between their laws."""
    steps = np.sort(np.concatenate([x, y]))
    laws = (np.searchsorted(np.sort(one), steps[:-1], side="right") / len(one) for one in (x, y))
    return float(np.abs(np.subtract(*laws)) @ np.diff(steps))


# Floors -----------------------------------------------------------------------------------------


def _floors(count: int, reference: Reference, workers: int | None, say: Say) -> Mapping[str, float]:
    """Return FCD and Scaf of as many training molecules."""
    found, scaffolds = training_molecules(count, reference, workers=workers, say=say)
    figures: dict[str, float] = {}
    for split in SPLITS:
        figures |= _number_dependent(split, found, scaffolds, reference)
    return {f"{name}_floor": value for name, value in figures.items()}


def training_molecules(
    count: int, reference: Reference, *, workers: int | None = None, say: Say = _silent
) -> tuple[Features, list[str]]:
    """Return ChemNet's features and the scaffolds of the first of the drawn training molecules.

    Arguments:
        count: how many; at most as many as there are.
        reference: where they lie; what is computed is kept there.
        workers: as in `moses_metrics`.
        say: called when many have to be computed.

    The draw has one order, so that the first 1,000 are among the first 30,000.
    """
    found, scaffolds = _kept(reference.folder / FLOORS)
    if len(found) < count:
        training = (reference.folder / TRAINING).read_text(encoding="ascii").split()
        order = np.random.default_rng(_SEED).permutation(len(training))
        wanted = [training[place] for place in order[len(found) : count].tolist()]
        if not wanted:
            return found, scaffolds
        say(f"floors: {len(wanted):,} training molecules, once")
        parts = shared_out(scaffolds_of, wanted, workers=workers)
        found = np.concatenate([found, features([text for texts, _ in parts for text in texts])])
        scaffolds += [frame for _, frames in parts for frame in frames]
        write(reference.folder / FLOORS, {"features": found, "scaffolds": _text(scaffolds)})
    return found[:count], scaffolds[:count]


def _kept(path: Path) -> tuple[Features, list[str]]:
    if not path.is_file():
        return np.zeros((0, 512), np.float32), []
    arrays = np.load(path)
    return arrays["features"], arrays["scaffolds"].tobytes().decode().split("\n")


def _text(lines: Sequence[str]) -> NDArray[np.uint8]:
    return np.frombuffer("\n".join(lines).encode(), np.uint8)
