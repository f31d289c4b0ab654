"""Labels of the objects in a file: columns of a table, a table beside it, names of folders."""

from __future__ import annotations

import csv
import gzip
import io
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from wgankit.domain import Domain, Reading
from wgankit.errors import DataError
from wgankit_labels.objects import Labelled, bare

TABLES = (".csv", ".tsv")
BESIDE = ".labels.csv"
FOLDER = "class"
"""The condition whose values are the names of subfolders."""


def read_labelled(domain: Domain, path: Path, names: Sequence[str]) -> Reading:
    """Read the objects of a file with those of their labels that are written down.

    Arguments:
        domain: whose objects they are.
        path: a file or folder that the domain reads.  In a folder of folders each one's name is
            the label `class` of the objects in it; else labels are columns of the table itself
            (`.csv`, `.tsv`), or of the table `PATH.labels.csv` beside it, a line for each object.
        names: of the conditions.

    Raises:
        DataError: what the domain raises; labels that do not go with the objects line by line.
    """
    folders = sorted(one for one in path.iterdir() if one.is_dir()) if path.is_dir() else []
    if FOLDER in names and folders:
        return _of_folders(domain, folders)
    reading = domain.read(path)
    table, where = _table(path, names)
    if not table:
        return reading
    if len(table) != len(reading.objects):
        raise DataError(
            f"{where} holds {len(table)} lines of labels, and {path} {len(reading.objects)} "
            "objects; take out the lines without an object, so that both go together"
        )
    pairs = zip(reading.objects, table, strict=True)
    return Reading([Labelled(one, labels) for one, labels in pairs], reading.skipped)


def _of_folders(domain: Domain, folders: Sequence[Path]) -> Reading:
    objects: list[Any] = []
    skipped: Counter[str] = Counter()
    for folder in folders:
        reading = domain.read(folder)
        objects += [Labelled(one, {FOLDER: folder.name}) for one in reading.objects]
        skipped += reading.skipped
    return Reading(objects, skipped)


def _table(path: Path, names: Sequence[str]) -> tuple[list[dict[str, Any]], Path]:
    """Return the labels of each line, and the file they are from; nothing if there are none."""
    for where in (path.with_name(path.name + BESIDE), path):
        plain = where.with_suffix("") if where.suffix.lower() == ".gz" else where
        if where.is_file() and plain.suffix.lower() in TABLES:
            lines = _lines(where)
            found = [name for name in names if lines and name in lines[0]]
            if found:
                return [{name: line.get(name) for name in found} for line in lines], where
    return [], path


def _lines(path: Path) -> list[dict[str, Any]]:
    try:
        content = path.read_bytes()
        text = (gzip.decompress(content) if path.suffix.lower() == ".gz" else content).decode(
            "utf-8-sig"
        )
        header = text.lstrip().split("\n", 1)[0]
        separator = max((",", ";", "\t"), key=header.count)
        return list(csv.DictReader(io.StringIO(text, newline=""), delimiter=separator))
    except (OSError, EOFError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"cannot read the labels in {path}: {error}") from error


def write_labelled(domain: Domain, objects: Sequence[Any], path: Path) -> None:
    """Write objects as their domain does, and their labels into the table `PATH.labels.csv`."""
    domain.write(bare(objects), path)
    labels = [one.labels if isinstance(one, Labelled) else {} for one in objects]
    names = list(dict.fromkeys(name for one in labels for name in one))
    if not names:
        return
    out = io.StringIO(newline="")
    writer = csv.DictWriter(out, names, lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: _cell(one.get(name)) for name in names} for one in labels)
    target = path.with_name(path.name + BESIDE)
    try:
        target.write_text(out.getvalue(), encoding="utf-8")
    except OSError as error:
        raise DataError(f"cannot write {target}: {error}") from error


def _cell(value: Any) -> Any:
    return " ".join(map(str, value)) if isinstance(value, list | tuple) else value
