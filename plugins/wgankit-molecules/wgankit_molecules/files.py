"""Files of molecules: SMILES lists, tables with a column of SMILES, SDF; each may be gzipped."""

from __future__ import annotations

import csv
import gzip
import io
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from wgankit.domain import Reading, describe_skips
from wgankit.errors import DataError

LISTS = (".smi", ".smiles", ".txt")
TABLES = {".csv": ",", ".tsv": "\t"}
STRUCTURES = ".sdf"

_SEPARATORS = (",", ";", "\t")
_EMPTY_CELL = "empty cell"
_COMMENT = "comment line"
_BLANK = "blank line"
_BAD_RECORD = "unreadable SDF record"
_NOT_WRITTEN = "not a molecule"


def read_molecules(path: Path | str, *, column: str | None = None, blanks: bool = False) -> Reading:
    """Read the molecules of a file as SMILES strings, in the order of the file.

    Arguments:
        path: `.smi`, `.smiles`, `.txt` (one SMILES a line; what follows a blank or tab is a name),
            `.csv`, `.tsv` (with a header line), `.sdf`; or one of these with `.gz` behind it.
        column: the column of a table that holds SMILES; found by its name if not given.
        blanks: count the blank lines of a list among what is left out, for samples, where such a
            line is a string that a generator made.

    Returns:
        The strings, unchecked (whoever encodes them counts what is no molecule), and how many
        empty cells, comment lines and unreadable SDF records were left out.

    Raises:
        DataError: no such file, a form that is not known, a damaged, binary or empty file, or a
            table without the column or with lines of another length than its header.
    """
    path = Path(path)
    form = _form(path)
    content = _content(path)
    if form == STRUCTURES:
        reading = _read_structures(content)
    elif form in LISTS:
        reading = _read_list(_text(content, path), blanks)
    else:
        reading = _read_table(_text(content, path), path, TABLES[form], column)
    if not reading.objects:
        reasons = describe_skips(reading.skipped, 0, "entries")
        raise DataError(f"{path} holds no molecule{': ' + reasons if reasons else ''}")
    return reading


def _form(path: Path) -> str:
    plain = path.with_suffix("") if path.suffix.lower() == ".gz" else path
    form = plain.suffix.lower()
    if form not in (*LISTS, *TABLES, STRUCTURES):
        known = ", ".join((*LISTS, *TABLES, STRUCTURES))
        raise DataError(
            f"{path.name} ends in none of {known} (or these with .gz); "
            "rename it after what it holds, or convert it"
        )
    return form


def _content(path: Path) -> bytes:
    try:
        content = path.read_bytes()
        if path.suffix.lower() == ".gz":
            content = gzip.decompress(content)
    except FileNotFoundError:
        raise DataError(
            f"there is no file {path} (looked in {Path.cwd()}); check the name"
        ) from None
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"cannot read {path}: {error}") from error
    if not content.strip():
        raise DataError(f"{path} is empty; a file with at least one molecule is wanted")
    if b"\0" in content:
        raise DataError(f"{path} is a binary file; a text file of molecules is wanted")
    return content


def _text(content: bytes, path: Path) -> str:
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise DataError(
            f"{path} is not UTF-8 text: line {line} holds the byte 0x{content[error.start]:02x}; "
            "save it as UTF-8"
        ) from error


def _read_list(text: str, blanks: bool) -> Reading:
    lines = text.splitlines()
    full = [line for line in lines if line.strip()]
    skipped: Counter[str] = Counter()
    if blanks and len(full) < len(lines):
        skipped[_BLANK] = len(lines) - len(full)
    smiles = []
    for number, line in enumerate(full):
        word = line.split(maxsplit=1)[0]
        if word.startswith("#"):
            skipped[_COMMENT] += 1
        elif number or "smiles" not in word.lower():  # the first line may be a heading
            smiles.append(word)
    return Reading(smiles, skipped)


def _read_table(text: str, path: Path, separator: str, column: str | None) -> Reading:
    # A .csv may well be separated by semicolons; its header line tells.
    header_line = text.lstrip().split("\n", 1)[0]
    separator = max((separator, *_SEPARATORS), key=header_line.count)
    rows = _rows(text, separator, path)
    _, header = next(rows)
    place = _column(header, column, path)
    skipped: Counter[str] = Counter()
    smiles = []
    for line, row in rows:
        if len(row) != len(header):
            raise DataError(
                f"{path}, line {line}: {len(row)} fields separated by {separator!r}, but the "
                f"header has {len(header)}; use one separator throughout, and quotes around "
                "fields that contain it"
            )
        cell = row[place].strip()
        if cell:
            smiles.append(cell)
        else:
            skipped[_EMPTY_CELL] += 1
    return Reading(smiles, skipped)


def _rows(text: str, separator: str, path: Path) -> Iterator[tuple[int, list[str]]]:
    """Yield the lines of a table that are not empty, each with its number in the file."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator)
    try:
        for row in reader:
            if row:
                yield reader.line_num, row
    except csv.Error as error:
        raise DataError(f"{path}, line {reader.line_num}: {error}") from error


def _column(header: Sequence[str], wanted: str | None, path: Path) -> int:
    names = [name.strip() for name in header]
    if wanted is not None:
        found = [place for place, name in enumerate(names) if name == wanted]
        problem = f"has no column {wanted!r}"
    else:
        found = [place for place, name in enumerate(names) if name.lower() == "smiles"]
        found = found or [place for place, name in enumerate(names) if "smiles" in name.lower()]
        problem = "has no column named smiles"
    if len(found) == 1:
        return found[0]
    if found:
        problem = f"has {len(found)} columns that may hold SMILES"
    columns = ", ".join(repr(name) for name in names)
    raise DataError(
        f"{path} {problem}; its columns are {columns}. Choose one with "
        f"column={names[found[0] if found else 0]!r}; a list without a header line is a .smi file"
    )


def _read_structures(content: bytes) -> Reading:
    from rdkit import Chem
    from rdkit.rdBase import BlockLogs

    skipped: Counter[str] = Counter()
    smiles = []
    with BlockLogs():
        for mol in Chem.ForwardSDMolSupplier(io.BytesIO(content)):
            if mol is None:
                skipped[_BAD_RECORD] += 1
            else:
                smiles.append(Chem.MolToSmiles(mol))
    return Reading(smiles, skipped)


def write_molecules(molecules: Sequence[Any], path: Path | str) -> Counter[str]:
    """Write molecules to a file that `read_molecules` can read.

    Arguments:
        molecules: SMILES strings or rdkit Mols; a list or table takes any string that is not empty,
            an SDF only what rdkit reads.
        path: a name that ends as `read_molecules` says.

    Returns:
        How many were left out, and why.

    Raises:
        DataError: a form that is not known, or a place that cannot be written.
    """
    path = Path(path)
    form = _form(path)
    smiles = list(filter(None, map(_as_smiles, molecules)))
    left_out = Counter({_NOT_WRITTEN: len(molecules) - len(smiles)})
    if form == STRUCTURES:
        text, unreadable = _structures(smiles)
        left_out[_NOT_WRITTEN] += unreadable
    else:
        text = "".join(f"{line}\n" for line in (*(["smiles"] if form in TABLES else []), *smiles))
    content = text.encode()
    if path.suffix.lower() == ".gz":
        content = gzip.compress(content)
    # Written beside and moved, so that a full disk leaves no half file under the name.
    part = path.with_name(f".{path.name}.part")
    try:
        part.write_bytes(content)
        part.replace(path)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise DataError(f"cannot write {path}: {error}") from error
    return +left_out


def _as_smiles(molecule: object) -> str:
    from wgankit_molecules.chemistry import as_smiles

    return as_smiles(molecule)


def _structures(smiles: Sequence[str]) -> tuple[str, int]:
    from rdkit import Chem
    from rdkit.Chem.rdDepictor import Compute2DCoords
    from rdkit.rdBase import BlockLogs

    unreadable = 0
    out = io.StringIO()
    writer = Chem.SDWriter(out)
    with BlockLogs():
        for text in smiles:
            mol = Chem.MolFromSmiles(text)
            if mol is None or not mol.GetNumAtoms():
                unreadable += 1
                continue
            Compute2DCoords(mol)
            writer.write(mol)
    writer.close()
    return out.getvalue(), unreadable
