"""Folders of pictures, arrays, and MNIST's files."""

from __future__ import annotations

import gzip
import zlib
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from wgankit.domain import Reading
from wgankit.errors import DataError, RunError
from wgankit_images.encoding import Pair, Picture

KINDS = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".ppm", ".pgm")
"""Endings of files that are read as pictures."""

GIVEN, PICTURE, TRUTH = "given", "picture", "truth"
"""Names of the folders of a set of pairs; a pair's files have the same name in each."""


def read_pictures(path: Path | str) -> Reading:
    """Read a folder of pictures, one picture, an array `.npy` or `.npz`, or MNIST's IDX files.

    Arguments:
        path: a folder (its subfolders are read too, in the order of the names); a file whose
            ending is among `KINDS`; an array `(N, H, W)` or `(N, H, W, 3)`; an `-idx3-ubyte` file,
            which may end in `.gz`.

    Raises:
        DataError: it is none of these, or holds no pictures.
    """
    path = Path(path)
    if is_pairs(path):
        return read_pairs(path)
    if path.is_dir():
        return _read_folder(path)
    if path.suffix in (".npy", ".npz"):
        return Reading(_read_array(path))
    if "idx3-ubyte" in path.name:
        return Reading(_read_idx(path))
    if path.suffix.lower() in KINDS:
        return _read_files([path])
    raise DataError(
        f"{path} is no folder of pictures, no .npy or .npz array, no -idx3-ubyte file and no "
        f"picture ({', '.join(KINDS)})"
    )


def is_pairs(path: Path) -> bool:
    """Return whether a path is a folder of pairs: subfolders `given` and `picture`."""
    return (path / GIVEN).is_dir() and (path / PICTURE).is_dir()


def read_pairs(path: Path) -> Reading:
    """Read a folder whose subfolders `given` and `picture` hold files of the same names.

    A file without its partner is counted as skipped; `truth` is read where it is there.

    Raises:
        DataError: the subfolders are not there.
    """
    if not is_pairs(path):
        raise DataError(
            f"{path} is no folder of pairs: it needs the subfolders {GIVEN} and {PICTURE}, with "
            "files of the same names in both"
        )
    files = {part: _pictures_in(path / part) for part in (GIVEN, PICTURE, TRUTH)}
    pairs, skipped = [], Counter[str]()
    for name in sorted(files[GIVEN].keys() | files[PICTURE].keys()):
        if name not in files[GIVEN] or name not in files[PICTURE]:
            skipped["without a partner of the same name"] += 1
            continue
        parts = [_read(files[part][name]) for part in files if name in files[part]]
        if any(part is None for part in parts):
            skipped["not readable as a picture"] += 1
        else:
            pairs.append(Pair(*parts))  # type: ignore[arg-type]
    return Reading(pairs, skipped)


def _pictures_in(folder: Path) -> dict[str, Path]:
    """Return the pictures of a folder, by their place in it without the ending."""
    found = sorted(each for each in folder.rglob("*") if each.suffix.lower() in KINDS)
    return {str(each.relative_to(folder).with_suffix("")): each for each in found}


def _read_folder(folder: Path) -> Reading:
    found = _pictures_in(folder)
    if not found:
        raise DataError(f"there are no pictures ({', '.join(KINDS)}) in {folder}")
    return _read_files(list(found.values()))


def _read_files(files: Sequence[Path]) -> Reading:
    skipped: Counter[str] = Counter()
    pictures = []
    for path in files:
        picture = _read(path)
        if picture is None:
            skipped["not readable as a picture"] += 1
        else:
            pictures.append(picture)
    return Reading(pictures, skipped)


def _read(path: Path) -> Picture | None:
    try:
        with Image.open(path) as image:
            if image.mode.startswith("I;16"):
                return np.asarray(np.asarray(image) // 256, dtype=np.uint8)
            return np.asarray(image.convert("L" if image.mode in ("1", "L", "LA") else "RGB"))
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return None


def _read_array(path: Path) -> list[Any]:
    try:
        loaded = np.load(path, allow_pickle=False)
        arrays = [loaded] if isinstance(loaded, np.ndarray) else list(loaded.values())
    except (OSError, ValueError) as error:
        raise DataError(f"{path} is not an array of pictures: {error}") from error
    if any(each.ndim not in (3, 4) for each in arrays):
        raise DataError(
            f"{path} needs arrays (N, H, W) or (N, H, W, 3); it holds "
            f"{', '.join(str(each.shape) for each in arrays)}"
        )
    return [picture for array in arrays for picture in array]


def _read_idx(path: Path) -> list[Any]:
    """Read the format in which MNIST and Fashion-MNIST come: a header of 16 bytes, then pixels."""
    try:
        content = path.read_bytes()
        content = gzip.decompress(content) if path.suffix == ".gz" else content
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path} cannot be read: {error}") from error
    header = np.frombuffer(content[:16], dtype=">i4")
    if len(header) != 4 or header[0] != 2051 or len(content) != 16 + int(np.prod(header[1:])):
        raise DataError(f"{path} is no IDX file of pictures (magic number 2051)")
    pixels = np.frombuffer(content, dtype=np.uint8, offset=16)
    return list(pixels.reshape(tuple(header[1:])))


def write_pictures(objects: Sequence[Any], path: Path | str) -> None:
    """Write pictures or pairs to a folder of PNG files, or pictures to a `.npy` array.

    Raises:
        RunError: it cannot be written.
        DataError: pairs were to go into an array.
    """
    path = Path(path)
    try:
        if path.suffix == ".npy":
            _write_array(objects, path)
        else:
            _write_folder(objects, path)
    except OSError as error:
        raise RunError(f"cannot write {path}: {error.strerror or error}") from error


def _write_array(objects: Sequence[Any], path: Path) -> None:
    if any(isinstance(each, Pair) for each in objects):
        raise DataError(f"pairs of pictures go into a folder, not into {path}; leave out .npy")
    np.save(path, np.stack(objects), allow_pickle=False)


def _write_folder(objects: Sequence[Any], folder: Path) -> None:
    digits = len(str(len(objects)))
    for number, each in enumerate(objects):
        parts = each._asdict() if isinstance(each, Pair) else {"": each}
        for part, picture in parts.items():
            if picture is not None:
                (folder / part).mkdir(parents=True, exist_ok=True)
                name = f"{number:0{digits}}.png"
                Image.fromarray(np.ascontiguousarray(picture)).save(folder / part / name)
