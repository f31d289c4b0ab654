"""What the MOSES protocol compares with: fetched once, worked out once, then read from the disk.

The published statistics of the test sets and the patterns of the filters travel inside the wheel
that `wgankit data get moses` fetches; nothing of it is installed, imported or copied here.
"""

from __future__ import annotations

import csv
import io
import os
import tempfile
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias, final
from zipfile import BadZipFile, ZipFile

import numpy as np
from numpy.typing import NDArray

from wgankit.errors import DataError
from wgankit_molecules import data
from wgankit_molecules.moses_chemistry import PROPERTIES

Arrays: TypeAlias = Mapping[str, NDArray[Any]]

SPLITS = {"Test": "test", "TestSF": "test_scaffolds"}
"""The sets that the protocol compares with, under the names of its table."""

REFERENCE, FLOORS, TRAINING = "reference-1.npz", "floors-1.npz", "train.smi"
_STATISTICS = "moses/dataset/data/{}_stats.npz"
_FILTERS = {"moses/metrics/mcf.csv": "smarts", "moses/metrics/wehi_pains.csv": ""}


@final
@dataclass(frozen=True)
class Occurrences:
    """How often each of some names occurs."""

    counts: Counter[str]

    @property
    def norm(self) -> float:
        """The root of the sum of squares."""
        return float(np.sqrt(sum(count * count for count in self.counts.values())))

    def cosine(self, other: Occurrences) -> float:
        """Return the cosine of the angle between two; not a number where one is empty."""
        shared = sum(count * self.counts[name] for name, count in other.counts.items())
        lengths = self.norm * other.norm
        return shared / lengths if lengths else float("nan")


def get_moses(
    cache: Path | str | None = None,
    *,
    say: data.Say = data._silent,
    wheel: Path | str | None = None,
) -> Path:
    """Fetch MOSES with pip, once, and work out what its protocol compares with.

    Arguments:
        cache: folder of fetched data; see `data.cache_folder`.
        say: called with a line of text at every stage.
        wheel: the wheel, if it was downloaded by other means; then the network is not touched.

    Returns:
        The folder of the .smi files and of the reference; `wgankit data get moses` calls this.

    Raises:
        DataError: a failed download, a wrong digest, no room.  Nothing is left behind.
    """
    folder, source = data.cache_folder(cache) / "moses", data.SOURCES["moses"]
    if (folder / REFERENCE).is_file():
        return data.get("moses", cache, say=say, wheel=wheel)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".moses-", dir=folder.parent) as scratch:
            found = Path(wheel) if wheel else data._download("moses", source, Path(scratch), say)
            data._check_digest(found, source)
            data.get("moses", cache, say=say, wheel=found)
            say("working out what the MOSES protocol compares with")
            write(folder / REFERENCE, derived(found))
    except (OSError, BadZipFile) as error:
        raise DataError(f"cannot put moses into {folder}: {error}; nothing was kept") from error
    return folder


def derived(wheel: Path) -> dict[str, NDArray[Any]]:
    """Return what is kept of the wheel, whose digest has been checked."""
    from wgankit_molecules.moses_similarity import arrange

    kept: dict[str, NDArray[Any]] = {}
    with ZipFile(wheel) as archive:
        kept["unwanted"] = _lines([one for name in _FILTERS for one in _patterns(archive, name)])
        for name, split in SPLITS.items():
            content = io.BytesIO(archive.read(_STATISTICS.format(split)))
            # A pickle, which only a file of known digest may be.
            found = np.load(content, allow_pickle=True)["stats"].item()
            prints = arrange(np.packbits(found["SNN"]["fps"].astype(bool), axis=1))
            kept |= {f"{name}.{part}": value for part, value in vars(prints).items()}
            kept |= {
                f"{name}.mean": found["FCD"]["mu"],
                f"{name}.covariance": found["FCD"]["sigma"],
            }
            for part, inner in (("fragments", "Frag"), ("scaffolds", "Scaf")):
                counts = found[inner][inner.lower()]
                kept[f"{name}.{part}"] = _lines(list(counts))
                kept[f"{name}.{part}.counts"] = np.array(list(counts.values()), np.int64)
            for part in PROPERTIES:
                kept[f"{name}.{part}"] = np.array(found[part]["values"], np.float64)
    return kept


def _patterns(archive: ZipFile, member: str) -> list[str]:
    """Return the SMARTS of a table of filters, of which one has a header and one has none."""
    with archive.open(member) as raw:
        text = io.TextIOWrapper(raw, encoding="utf-8", newline="")
        column = _FILTERS[member]
        rows = csv.DictReader(text) if column else csv.reader(text)
        return [str(row[column] if column else row[0]).strip() for row in rows]  # type: ignore


def _lines(texts: list[str]) -> NDArray[np.uint8]:
    """Return texts as an array that needs no pickle."""
    return np.frombuffer("\n".join(texts).encode(), np.uint8)


def write(path: Path, arrays: Arrays) -> None:
    """Write arrays beside their place and move them there, so that no half file has the name."""
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    named: dict[str, Any] = dict(arrays)
    try:
        with part.open("wb") as out:
            np.savez(out, **named)
        part.replace(path)
    except OSError:
        part.unlink(missing_ok=True)
        raise


@final
class Reference:
    """What samples are compared with, read from a folder that `get_moses` filled.

    Arguments:
        where: the folder of fetched data (`data.cache_folder`), or the folder `moses` in it.

    Raises:
        DataError: it is not there.
    """

    def __init__(self, where: Path | str | None = None) -> None:
        cache = data.cache_folder(where)
        self.folder = cache if (cache / REFERENCE).is_file() else cache / "moses"
        option = f" --cache {cache}" if where else ""
        for name in (REFERENCE, TRAINING):
            if not (self.folder / name).is_file():
                raise DataError(
                    f"what the MOSES protocol compares with is not on this machine (looked for "
                    f"{self.folder / name}); type: wgankit data get moses{option}  (a download of "
                    f"{data.SOURCES['moses'].megabytes} MB)"
                )
        self._arrays = np.load(self.folder / REFERENCE)

    def __getitem__(self, name: str) -> NDArray[Any]:
        found: NDArray[Any] = self._arrays[name]
        return found

    def lines(self, name: str) -> list[str]:
        """Return a list of texts."""
        return self[name].tobytes().decode().split("\n")

    def occurrences(self, name: str) -> Occurrences:
        """Return how often each fragment or scaffold occurs."""
        counts = self[f"{name}.counts"].tolist()
        return Occurrences(Counter(dict(zip(self.lines(name), counts, strict=True))))

    def not_trained_on(self, smiles: set[str]) -> int:
        """Return how many of some SMILES are none of the training set's, as these are written."""
        unseen = {text.encode() for text in smiles}
        unseen.difference_update((self.folder / TRAINING).read_bytes().split(b"\n"))
        return len(unseen)
