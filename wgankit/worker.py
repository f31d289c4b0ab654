"""What a process that decodes does, and how points and objects travel to it and back."""

from __future__ import annotations

import os
import pickle
import sys
import threading
import traceback
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any, BinaryIO, cast

import torch
from torch import Tensor

from wgankit.compiled import first_line
from wgankit.errors import RunError, SettingError
from wgankit.space import Points, leaves


def pack(points: Points) -> tuple[type | None, list[Any]]:
    """Return points in a form that travels quickly.

    As they are: a molecule of QM9 takes 1.6 kB and 0.2 microseconds to pack and unpack, where
    decoding takes 30, so looking for a smaller form costs more than it saves.
    """
    kind = None if isinstance(points, Tensor) else type(points)
    return kind, [as_array(part) for part in leaves(points)]


def as_array(part: Tensor) -> Any:
    """Return a tensor as an array, which pickles faster; bfloat16, which has none, as it is."""
    return part if part.dtype == torch.bfloat16 else part.detach().numpy()


def unpack(packed: tuple[type | None, list[Any]]) -> Points:
    """Return what was packed."""
    kind, arrays = packed
    parts = tuple(torch.as_tensor(array) for array in arrays)
    if kind is None:
        return parts[0]
    return parts if kind is tuple else cast(Points, kind(*parts))


def pickled(value: Any) -> bytes:
    """Return a value in the form that travels, or raise `SettingError`."""
    try:
        return pickle.dumps(value, pickle.HIGHEST_PROTOCOL)
    except Exception as error:
        raise SettingError(
            f"what is to be decoded cannot be sent to another process ({first_line(error)}); "
            "workers=0 decodes in this one"
        ) from error


def serve() -> None:
    """Be a worker: load a decoder, then decode batches until the input ends."""
    answers = taken_output()
    torch.set_num_threads(1)
    inbox: SimpleQueue[bytes] = SimpleQueue()
    threading.Thread(target=listen, args=(sys.stdin.buffer, inbox), daemon=True).start()
    loaded: list[Callable[[Points], list[Any]]] = []

    def load(content: bytes) -> list[Any]:
        loaded.append(pickle.loads(content))
        return []

    def decode(content: bytes) -> list[Any]:
        return loaded[0](unpack(pickle.loads(content)))

    give(answers, load, inbox.get())
    while True:
        give(answers, decode, inbox.get())


def listen(requests: BinaryIO, inbox: SimpleQueue[bytes]) -> None:
    """Pass requests on; when whoever asks is gone, end this process in the middle of its work."""
    try:
        while True:
            inbox.put(pickle.load(requests))
    except (EOFError, pickle.UnpicklingError):
        os._exit(0)


def taken_output() -> BinaryIO:
    """Return the standard output for answers alone; what a domain prints goes to the error one."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    return answers


def give(answers: BinaryIO, work: Callable[[bytes], list[Any]], content: bytes) -> None:
    """Answer with the objects that some work makes of a request, or with what it raises."""
    try:
        answer = pickle.dumps((work(content), None), pickle.HIGHEST_PROTOCOL)
    except Exception as error:
        answer = pickle.dumps(([], portable(error)), pickle.HIGHEST_PROTOCOL)
    try:
        answers.write(answer)
        answers.flush()
    except BrokenPipeError:
        os._exit(0)


def portable(error: Exception) -> Exception:
    """Return an exception that survives pickling, with the traceback of this process as a note."""
    note = "in a process that decodes:\n" + "".join(traceback.format_exception(error))
    try:
        again = pickle.loads(pickle.dumps(error))
    except Exception:
        again = RunError(f"{type(error).__name__} in a process that decodes: {error}")
    again.add_note(note)
    return cast(Exception, again)
