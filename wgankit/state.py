"""States on disk: written whole or not at all, read without running anything."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO, cast, final

import torch

from wgankit.errors import RunError


@contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """Open a file that takes the place of `path` only when all of it is on disk.

    Raises:
        RunError: if it cannot be written (no such folder, no rights, a full disk); what was there
            before is still there.
    """
    try:
        with _replacing(path) as file:
            yield file
    except OSError as error:
        raise RunError(f"cannot write {path}: {error.strerror or error}") from error


@contextmanager
def _replacing(path: Path) -> Iterator[BinaryIO]:
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            yield cast(BinaryIO, file)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(name, 0o666 & ~current_umask())
        os.replace(name, path)
    except BaseException:
        with suppress(OSError):
            os.unlink(name)
        raise


def current_umask() -> int:
    """Return the mask that new files get; temporary files are private without it."""
    mask = os.umask(0)
    os.umask(mask)
    return mask


def write_text(path: Path, text: str) -> None:
    """Write a text file so that no reader ever sees half of it."""
    with replacing(path) as file:
        file.write(text.encode())


def save(state: dict[str, Any], path: Path | str) -> None:
    """Write a state (tensors, numbers, strings, lists, dicts) to a file, atomically."""
    with replacing(Path(path)) as file:
        torch.save(state, file)


def load(path: Path | str) -> dict[str, Any]:
    """Read a state; nothing in the file is executed (`weights_only=True`)."""
    path = Path(path)
    if not path.is_file():
        raise RunError(f"there is no saved state at {path}")
    try:
        return cast(dict[str, Any], torch.load(path, map_location="cpu", weights_only=True))
    except Exception as error:
        raise RunError(f"{path} is not a state that wgankit saved: {error}") from error


def read_rng(device: torch.device) -> dict[str, torch.Tensor]:
    """Return the states of the random number generators that a step on the device draws from."""
    state = {"cpu": torch.get_rng_state()}
    if device.type == "cuda":
        state["cuda"] = torch.cuda.get_rng_state(device)
    return state


def set_rng(state: dict[str, torch.Tensor], device: torch.device) -> None:
    """Set the random number generators to a state that `read_rng` returned."""
    torch.set_rng_state(state["cpu"])
    if device.type == "cuda" and "cuda" in state:
        torch.cuda.set_rng_state(state["cuda"], device)


@contextmanager
def seeded(seed: int, device: torch.device | str = "cpu") -> Iterator[None]:
    """Draw from a seed inside the block, and leave the caller's random numbers as they were."""
    device = torch.device(device)
    before = read_rng(device)
    torch.manual_seed(seed)
    try:
        yield
    finally:
        set_rng(before, device)


@final
class Randomness:
    """Random numbers of one's own, which go on where they stopped.

    Outside of `used` the caller draws from torch as if there were none.

    Arguments:
        seed: where they begin.
        device: whose random numbers; `state` is what `read_rng` says of them.
    """

    def __init__(self, seed: int, device: torch.device) -> None:
        self.device = device
        with seeded(seed, device):
            self.state = read_rng(device)

    @contextmanager
    def used(self) -> Iterator[None]:
        """Draw from them inside the block; if that ends with an error they are as before."""
        callers = read_rng(self.device)
        set_rng(self.state, self.device)
        try:
            yield
            self.state = read_rng(self.device)
        finally:
            set_rng(callers, self.device)
