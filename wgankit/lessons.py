"""What a domain learns before the game, step by step: told, kept, and gone on with after a kill."""

from __future__ import annotations

import hashlib
import json
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor

from wgankit import state as states
from wgankit.errors import SettingError
from wgankit.progress import Silent, Teller

SAVE_EVERY = 60.0
"""Seconds between saves: what a kill can cost at most."""

TELL_EVERY = 20.0
"""Seconds between words about how it goes."""

LAYOUT = 1
"""Number of the layout of what `attend` keeps."""

StepT = TypeVar("StepT")


class Lesson(ABC, Iterator[StepT], Generic[StepT]):
    """Steps that depend on nothing but the state before them: iterate to do them.

    Subclasses set `index` (how many steps are done), `steps` (how many there are) and `device`.
    """

    index: int
    steps: int
    device: torch.device

    @abstractmethod
    def __next__(self) -> StepT:
        """Do one step and say how it went; raise StopIteration when all are done."""

    @abstractmethod
    def state_dict(self) -> dict[str, Any]:
        """Return all that the next step depends on, the data not included."""

    @abstractmethod
    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a state of a lesson with the same data and settings."""


def stamp_of(data: Iterable[Tensor], told: Any) -> str:
    """Return a digest of all that a lesson depends on.

    Arguments:
        data: tensors on the CPU.
        told: settings and sizes; plain data.
    """
    digest = hashlib.sha256(json.dumps([LAYOUT, told], sort_keys=True).encode())
    for part in data:
        digest.update(json.dumps([str(part.dtype), list(part.shape)]).encode())
        digest.update(part.contiguous().numpy().tobytes())
    return digest.hexdigest()


def attend(
    lesson: Lesson[StepT],
    words: Callable[[StepT], str],
    *,
    title: str,
    stamp: str,
    path: Path | None = None,
    teller: Teller | None = None,
    save_every: float = SAVE_EVERY,
) -> None:
    """Do the steps of a lesson that are left, going on where a kill stopped it.

    Arguments:
        lesson: at its beginning.
        words: what a step says -> a line for people; raises `RunError` if the lesson diverged, and
            such a state is never kept.
        title: what is learnt, for people.
        stamp: of `stamp_of`, so that nobody goes on with what is of something else.
        path: the file in which the state is kept; nothing is kept if there is none.
        teller: who reports.
        save_every: seconds between saves.

    Raises:
        SettingError: the file is of other data, settings or seed.
    """
    teller = teller or Silent()
    if path and path.is_file():
        state = states.load(path)
        if state.get("stamp") != stamp:
            raise SettingError(
                f"{path}, kept while the {title} was under way, is of other data, settings or "
                "seed; go on with those, or begin in another folder: --out FOLDER"
            )
        lesson.load_state_dict(state["lesson"])
    if lesson.index >= lesson.steps:
        return

    def progress(step: StepT) -> str:
        return f"{lesson.index:,} of {lesson.steps:,}: {words(step)}"

    def keep() -> None:
        if path:
            path.parent.mkdir(parents=True, exist_ok=True)
            states.save({"stamp": stamp, "lesson": lesson.state_dict()}, path)

    where = f", kept in {path}" if path else ""
    teller.say(f"{title} on {lesson.device}: step {lesson.index:,} of {lesson.steps:,}{where}")
    teller.start(title, lesson.index, lesson.steps)
    saved = told = time.monotonic()
    try:
        for step in lesson:
            teller.advance(lesson.index, {})
            now = time.monotonic()
            if now - told > TELL_EVERY:
                told = now
                teller.note(progress(step))
            if now - saved > save_every:
                # A state that diverged must not take the place of a good one, and this looks.
                words(step)
                keep()
                saved = now
    finally:
        teller.stop()
    words(step)
    keep()
