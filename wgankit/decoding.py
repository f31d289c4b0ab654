"""Decoding: objects from points, here or in processes, while the network makes the next ones.

At no moment are there more than a few batches in memory.
"""

from __future__ import annotations

import gc
import math
import os
import pickle
import subprocess
import sys
import time
import warnings
from collections import deque
from collections.abc import Generator, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from typing import Any, BinaryIO, cast, final

from wgankit.compiled import first_line
from wgankit.domain import Domain, Vocabulary
from wgankit.errors import RunError, SettingError
from wgankit.space import Points, pick
from wgankit.worker import pack, pickled

WORTHWHILE = 10.0
"""Seconds of decoding left from which `workers="auto"` starts processes.

Starting one takes 1 to 1.5 seconds of a CPU's time, nearly all to import torch; on the clock
1.6 to 4.5 seconds were seen, and up to 9 for two, on a busy machine.
"""

MOST_WORKERS = 8
"""Processes that `workers="auto"` starts at most; each takes about 250 MB of memory."""


@final
@dataclass(frozen=True)
class Decoder:
    """Turns points into objects.

    Arguments:
        domain: what the objects are.
        vocabulary: what `Domain.encode` learnt.
    """

    domain: Domain
    vocabulary: Vocabulary

    def __call__(self, points: Points) -> list[Any]:
        """Return as many objects as there are points."""
        with uncollected():
            return self.domain.decode(points, self.vocabulary)


@contextmanager
def uncollected() -> Iterator[None]:
    """Keep the garbage collector out of a block that makes many objects and no garbage.

    It would look through all of them again and again: decoding 160 graphs of 75 edges took 100 to
    190 microseconds each with it, and 34 without.
    """
    if not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def decoded(
    points: Iterator[Points], decoder: Decoder, *, workers: int | str, batches: float
) -> Generator[Any, None, None]:
    """Yield the objects of batches of points, in order.

    Arguments:
        points: batches on the CPU; with workers at most one more than there are workers is taken
            ahead of the batch whose objects are yielded.
        decoder: what turns them into objects.
        workers: processes that decode while the next points are made; 0 decodes in between, here;
            "auto" starts some once it has seen that they save time (see `worthwhile`).
        batches: how many batches there are; `math.inf` for no end.

    Raises:
        SettingError: workers that are asked for cannot have the decoder.
        RunError: a worker ended, such as killed for its memory.
        Exception: whatever decoding raises, in a worker or here.
    """
    with closing(lists(points, decoder, workers, batches)) as parts:
        for part in parts:
            yield from part


def lists(
    points: Iterator[Points], decoder: Decoder, workers: int | str, batches: float
) -> Generator[list[Any], None, None]:
    """Yield the objects of each batch (see `decoded`)."""
    with ExitStack() as stack:
        if isinstance(workers, int):
            hired = stack.enter_context(crew(decoder, workers))
        else:
            wanted = yield from trial(points, decoder, batches)
            hired = hired_or_warned(stack, decoder, wanted)
        yield from in_turn(points, decoder, hired)


def in_turn(
    points: Iterator[Points], decoder: Decoder, hired: Sequence[Worker]
) -> Iterator[list[Any]]:
    """Yield the objects of each batch, decoded by workers in turn or, if there are none, here."""
    if not hired:
        yield from map(decoder, points)
        return
    idle, busy = deque(hired), deque[Worker]()
    for batch in points:
        # Results are fetched before the next batch is sent to the same worker, so that nobody ever
        # waits for a pipe to be read by somebody who waits for him.
        done = None
        if idle:
            worker = idle.popleft()
        else:
            worker = busy.popleft()
            done = worker.receive()
        worker.send(batch)
        busy.append(worker)
        if done is not None:
            yield done
    while busy:
        yield busy.popleft().receive()


def trial(
    points: Iterator[Points], decoder: Decoder, batches: float
) -> Generator[list[Any], None, int]:
    """Yield the objects of two batches, decoded here; return how many workers are worth starting.

    The second batch is the one that is timed: the first pays for imports.
    """
    for turn in range(2):
        begun = time.perf_counter()
        batch = next(points, None)
        if batch is None:
            return 0
        made = time.perf_counter()
        objects = decoder(batch)
        done = time.perf_counter()
        yield objects
        if turn and sendable(decoder, batch, objects):
            return worthwhile(made - begun, done - made, batches - 2)
    return 0


def worthwhile(network: float, decoding: float, batches: float) -> int:
    """Return how many workers save time.

    Arguments:
        network: seconds that the points of a batch take.
        decoding: seconds that their objects take.
        batches: how many are left.

    None on one core, or with less than `WORTHWHILE` seconds of decoding left.  Else as many as keep
    up with the network, and leave it a core.
    """
    cores = usable_cores()
    if cores < 2 or decoding * batches < WORTHWHILE:
        return 0
    return min(math.ceil(decoding / max(network, 1e-9)), cores - 1, MOST_WORKERS)


def usable_cores() -> int:
    """Return on how many cores this process may run."""
    if sys.platform == "linux":
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def sendable(decoder: Decoder, points: Points, objects: Sequence[Any]) -> bool:
    """Return whether decoder, points and objects can travel between processes."""
    if not sys.executable or type(decoder.domain).__module__ == "__main__":
        return False
    try:
        pickle.dumps((decoder, pack(pick(points, slice(0, 1))), objects[:1]))
    except Exception:
        return False
    return True


def hired_or_warned(stack: ExitStack, decoder: Decoder, count: int) -> Sequence[Worker]:
    """Return workers that nobody asked for by number; none, and a warning, if they cannot start."""
    try:
        return stack.enter_context(crew(decoder, count))
    except (SettingError, RunError) as error:
        warnings.warn(f"decoding in this process: {error}", RuntimeWarning, stacklevel=2)
        return []


# Workers ----------------------------------------------------------------------------------------


@contextmanager
def crew(decoder: Decoder, count: int) -> Iterator[Sequence[Worker]]:
    """Start workers, and end them with the block."""
    workers: list[Worker] = []
    try:
        for _ in range(count):
            workers.append(Worker())
        for worker in workers:
            worker.load(decoder)
        for worker in workers:
            worker.loaded()
        yield workers
    finally:
        for worker in workers:
            worker.end()


# The caller's script is not imported again, as multiprocessing would, so it needs no guard; the
# first thing that a worker hears is where the caller finds modules.
_BEGIN = (
    "import pickle, sys; sys.path[:] = pickle.load(sys.stdin.buffer); "
    "from wgankit.worker import serve; serve()"
)


@final
class Worker:
    """Another Python process, of one thread, that decodes batches one at a time.

    It ends when its input does, so it does not outlive this process, however that ends; and it is
    in a process group of its own, so Ctrl-C reaches this process alone.
    """

    def __init__(self) -> None:
        try:
            self.process = subprocess.Popen(
                [sys.executable, "-P", "-c", _BEGIN],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                env={**os.environ, "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"},
                **own_group(),
            )
        except OSError as error:
            raise RunError(
                f"no process to decode in can be started: {error.strerror or error}; "
                "workers=0 decodes in this one"
            ) from error
        self.requests = cast(BinaryIO, self.process.stdin)
        self.answers = cast(BinaryIO, self.process.stdout)

    def load(self, decoder: Decoder) -> None:
        """Send the decoder."""
        self._write(sys.path)
        self._write(pickled(decoder))

    def loaded(self) -> None:
        """Wait until the decoder is there."""
        try:
            self.receive()
        except RunError:
            raise
        except Exception as error:
            raise SettingError(
                f"a process cannot load the domain ({type(error).__name__}: {first_line(error)}); "
                "workers need one from a module that can be imported, not from a script; "
                "workers=0 decodes in this process"
            ) from error

    def send(self, points: Points) -> None:
        """Send a batch to decode; `receive` comes before the next."""
        self._write(pickled(pack(points)))

    def receive(self) -> list[Any]:
        """Return the objects of the batch sent last, or raise what decoding raised."""
        try:
            with uncollected():
                objects, error = pickle.load(self.answers)
        except (EOFError, OSError, pickle.UnpicklingError) as lost:
            raise self._ended() from lost
        if error is not None:
            raise error
        return cast(list[Any], objects)

    def _write(self, value: Any) -> None:
        try:
            pickle.dump(value, self.requests, pickle.HIGHEST_PROTOCOL)
            self.requests.flush()
        except OSError as lost:
            raise self._ended() from lost

    def _ended(self) -> RunError:
        code = self.process.wait()
        how = f"was killed by signal {-code}" if code < 0 else f"ended with exit code {code}"
        return RunError(
            f"a process that decodes {how} (out of memory?); with fewer workers less memory is "
            "needed, and workers=0 decodes in this process"
        )

    def end(self) -> None:
        """End the process, whatever it is doing."""
        self.process.kill()
        self.process.wait()
        self.answers.close()
        try:
            self.requests.close()
        except OSError:  # what was left to write has no reader
            return


def own_group() -> dict[str, Any]:
    """Return what starts a process in a group of its own."""
    if sys.platform == "win32":
        return {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP}
    return {"process_group": 0}
