"""Work on many molecules in several processes; rdkit uses one core at a time.

A process gets one contiguous share and ends with it.  The caller's script is not imported again, as
multiprocessing would, so it needs no guard.
"""

from __future__ import annotations

import itertools
import os
import pickle
import subprocess
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from wgankit.errors import RunError, SettingError, WgankitError

T = TypeVar("T")

FEWEST = 200
"""Objects for which a process is worth its start."""

_BEGIN = (
    "import pickle, sys; sys.path[:] = pickle.load(sys.stdin.buffer); "
    "from wgankit_molecules.moses_processes import serve; serve()"
)


def shared_out(
    work: Callable[..., T], objects: Sequence[Any], *more: Any, workers: int | None = None
) -> list[T]:
    """Return what a function makes of contiguous shares of objects, in order.

    Arguments:
        work: a function of a module, called as work(share, *more).
        objects: what is shared out; where there are few, there is one share.
        more: the other arguments.
        workers: processes; 0 works in this one; by default one for each core.

    Raises:
        SettingError: a negative number of workers.
        RunError: a process ended early.
        WgankitError: what the function raised.
    """
    from wgankit.decoding import usable_cores  # imports torch, which no worker needs

    if workers is not None and workers < 0:
        raise SettingError(f"workers is a number of processes >= 0; got {workers}")
    wanted = usable_cores() if workers is None else workers
    count = min(wanted, len(objects) // FEWEST)
    if count < (2 if workers is None else 1):
        return [work(objects, *more)]
    bounds = [len(objects) * part // count for part in range(count + 1)]
    requests = [
        pickle.dumps((work, (objects[start:end], *more)))
        for start, end in itertools.pairwise(bounds)
    ]
    with ThreadPoolExecutor(count) as threads:
        return list(threads.map(_ask, requests))


def _ask(request: bytes) -> Any:
    """Start a process, give it a request, and return its answer."""
    one_thread = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    try:
        with subprocess.Popen(
            [sys.executable, "-P", "-c", _BEGIN],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, **one_thread},
        ) as process:
            answer, _ = process.communicate(pickle.dumps(sys.path) + request)
    except OSError as error:
        raise RunError(
            f"no process can be started: {error.strerror or error}; workers=0 works in this one"
        ) from error
    if process.returncode:
        raise RunError(
            f"a process that reads molecules ended with code {process.returncode} (out of "
            "memory?); with fewer workers less memory is needed, and workers=0 works in this one"
        )
    result, refused = pickle.loads(answer)
    if refused is not None:
        raise refused
    return result


def serve() -> None:
    """Be a process: do what the input asks for, and answer on the output."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what rdkit prints must not get between
    work, arguments = pickle.load(sys.stdin.buffer)
    try:
        answer: tuple[Any, WgankitError | None] = (work(*arguments), None)
    except WgankitError as refused:
        answer = (None, refused)
    with answers:
        pickle.dump(answer, answers, pickle.HIGHEST_PROTOCOL)
