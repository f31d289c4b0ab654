"""Writing objects to files of their kind while they are made."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Generator, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from wgankit.domain import Domain
from wgankit.errors import RunError
from wgankit.sampling import BATCH


def written(
    objects: Iterator[Any], path: Path, domain: Domain, *, chunk: int = BATCH
) -> Generator[int, None, None]:
    """Write objects to a file while they come, and yield how many there are so far.

    A file of a form that grows by appending (its own reader says so, see `joint`) holds whole
    objects at every moment, and they need not fit into memory.  Any other form is written when the
    objects end, or when this iterator is closed or interrupted, with those that there are.

    Arguments:
        objects: of the domain.
        path: a file or folder that `domain.write` can write; a file is replaced.
        domain: what the objects are.
        chunk: objects that are written at a time.

    Raises:
        DataError, RunError: it cannot be written.
    """
    if not path.suffix:
        yield from gathered(objects, path, domain, chunk)
        return
    first = list(islice(objects, chunk))
    domain.write(first, path)
    yield len(first)
    heading = joint(domain, first, path.name) if len(first) == chunk else None
    if heading is None:
        yield from gathered(objects, path, domain, chunk, first)
    else:
        yield from appended(objects, path, domain, chunk, heading)


def appended(
    objects: Iterator[Any], path: Path, domain: Domain, chunk: int, heading: int
) -> Iterator[int]:
    """Append to a file that holds the first chunk."""
    count = chunk
    with path.open("ab", buffering=0) as file:
        while some := list(islice(objects, chunk)):
            append(file, as_file(domain, some, path.name)[heading:])
            count += len(some)
            yield count


def append(file: Any, content: bytes) -> None:
    """Append all of some bytes to an unbuffered file, or none of them."""
    end = file.seek(0, os.SEEK_END)
    rest = memoryview(content)
    try:
        while rest:
            rest = rest[file.write(rest) :]
    except BaseException as error:
        file.truncate(end)
        if isinstance(error, OSError):
            raise RunError(f"cannot write {file.name}: {error.strerror or error}") from error
        raise


def gathered(
    objects: Iterator[Any], path: Path, domain: Domain, chunk: int, first: Sequence[Any] = ()
) -> Iterator[int]:
    """Keep objects in memory, and write them all in the end."""
    if not first and path.is_dir() and any(path.iterdir()):
        raise RunError(f"the folder {path} holds files already; give a new one")
    everything = list(first)
    try:
        while some := list(islice(objects, chunk)):
            everything += some
            yield len(everything)
    finally:
        if len(everything) > len(first):
            domain.write(everything, path)


def joint(domain: Domain, objects: Sequence[Any], name: str) -> int | None:
    """Return how many bytes to leave out where a file of more objects is put behind another.

    Nothing for a list, the heading for a table: that the domain reads two files put together so as
    it reads them apart is the proof.  None if it does not, or if it has no reader.

    Arguments:
        domain: what the objects are.
        objects: some to try it with.
        name: of the file, which tells its form.
    """
    some = min(50, len(objects) // 2)
    # A reader may raise anything at what no writer of its own would write.
    try:
        one, two = (as_file(domain, part, name) for part in (objects[:some], objects[some:][:some]))
        apart = read_back(domain, one, name) + read_back(domain, two, name)
    except Exception:
        return None
    line = one.partition(b"\n")[0] + b"\n"
    for heading in (b"", line):
        try:
            together = read_back(domain, one + two.removeprefix(heading), name)
        except Exception:
            continue
        if two.startswith(heading) and together == apart:
            return len(heading)
    return None


def as_file(domain: Domain, objects: Sequence[Any], name: str) -> bytes:
    """Return what a file of some objects holds."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, name)
        domain.write(objects, path)
        return path.read_bytes()


def read_back(domain: Domain, content: bytes, name: str) -> list[Any]:
    """Return the objects of a file that holds some bytes."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, name)
        path.write_bytes(content)
        return domain.read(path).objects
