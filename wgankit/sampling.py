"""Sampling: points from a generator and objects from points, batch after batch, in order.

Two halves that can run at the same time: the network makes points here while processes decode the
batches before.  At no moment are there more than a few batches in memory.
"""

from __future__ import annotations

import gc
import math
import os
import pickle
import subprocess
import sys
import tempfile
import threading
import time
import traceback
import types
import warnings
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from itertools import islice, repeat
from pathlib import Path
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple, TypeAlias, cast, final

import torch
from torch import Tensor, nn

from wgankit.compiled import first_line, untouched
from wgankit.domain import Domain, Vocabulary
from wgankit.errors import CompileWarning, RunError, SettingError
from wgankit.space import Points, batch_size, join, leaves, on_leaves, pick
from wgankit.state import read_rng, seeded, set_rng
from wgankit.tracing import Networks

if TYPE_CHECKING:
    from wgankit.latent import Latent

BATCH = 500
"""Objects of a batch unless the caller says otherwise: latents are drawn for a batch at a time."""

PASS = 100_000
"""Numbers of points that one pass of the network makes on a CPU, about.

So the layers' outputs stay in the processor's cache.  Seen with the generators of graphs, CPU time
of one thread: within 5 % of the best size for graphs of 9, 20, 27 and 64 nodes, where passes of
1,600,000 numbers took 1.4, 2.0, 1.9 and 2.4 times as long.
"""

COMPILE_FROM = 2_000_000
"""Objects from which `compile="auto"` compiles the generator.

Compiling costs 20 to 30 seconds of a CPU's time, the compiler's processes included, and saves 10 to
50 microseconds an object with the generators of molecules and of small graphs.
"""

WORTHWHILE = 10.0
"""Seconds of decoding left from which `workers="auto"` starts processes.

Starting one takes 1 to 1.5 seconds of a CPU's time, nearly all to import torch; on the clock
1.6 to 4.5 seconds were seen, and up to 9 for two, on a busy machine.
"""

MOST_WORKERS = 8
"""Processes that `workers="auto"` starts at most; each takes about 250 MB of memory."""

ALLOWED, TIES = 1e-4, 1e-4
"""Relative error of a compiled generator's points, and share of hard labels that may differ."""

Network: TypeAlias = Callable[[Points], Points]


def check_stream(*, count: int | None, batch: int, workers: int | str, compile: bool | str) -> None:
    """Raise `SettingError` for what a stream of samples cannot be asked."""
    if count is not None and count < 1:
        raise SettingError(f"count is at least 1; got {count}")
    if batch < 1:
        raise SettingError(f"batch is at least 1; got {batch}")
    if workers != "auto" and not (isinstance(workers, int) and workers >= 0):
        raise SettingError(f'workers is "auto" or a number of processes >= 0; got {workers!r}')
    if compile not in (True, False, "auto"):
        raise SettingError(f'compile is True, False or "auto"; got {compile!r}')


def batch_sizes(count: int | None, batch: int) -> Iterator[int]:
    """Yield the sizes of batches that make `count` objects together; endlessly if it is None."""
    if count is None:
        yield from repeat(batch)
        return
    for start in range(0, count, batch):
        yield min(batch, count - start)


# The network ------------------------------------------------------------------------------------


@final
class Randomness:
    """Random numbers of a stream's own, which go on where they stopped.

    Between its batches the caller draws from torch as if there were no stream.

    Arguments:
        seed: where they begin.
        device: whose random numbers.
    """

    def __init__(self, seed: int, device: torch.device) -> None:
        self.device = device
        with seeded(seed, device):
            self.state = read_rng(device)

    @contextmanager
    def used(self) -> Iterator[None]:
        """Draw from them inside the block."""
        before = read_rng(self.device)
        set_rng(self.state, self.device)
        try:
            yield
        finally:
            self.state = read_rng(self.device)
            set_rng(before, self.device)


def generate(
    generator: nn.Module,
    latent: Latent,
    *,
    count: int | None,
    batch: int,
    seed: int,
    numbers: int = 1,
    compile: bool | str = False,
) -> Iterator[Points]:
    """Yield batches of a generator's points on the CPU, each made when it is asked for.

    Arguments:
        generator: a network in evaluation mode.
        latent: the law of its input.
        count: points in all; None for no end.
        batch: points of a batch.
        seed: of the latents; they do not depend on `compile`.
        numbers: how many a point has; a CPU takes a batch in passes of about `PASS` numbers.
        compile: compile the generator, if it then makes the same points (see `CheckedNetwork`).
    """
    device = next(generator.parameters()).device
    randomness = Randomness(seed, device)
    largest = max(1, PASS // numbers) if device.type == "cpu" else batch
    step = even(min(batch, count or batch), largest)
    network: Network = generator
    if compile is True or (compile == "auto" and count is not None and count >= COMPILE_FROM):
        network = CheckedNetwork(generator, step)

    @torch.no_grad()
    def make(size: int) -> Points:
        with randomness.used():
            latents = latent.sample(size, device)
            parts = [network(pick(latents, slice(i, i + step))) for i in range(0, size, step)]
        return parts[0] if len(parts) == 1 else join(*parts)

    return arriving(map(make, batch_sizes(count, batch)), ahead=int(device.type == "cuda"))


def even(size: int, largest: int) -> int:
    """Return the size of passes, none above `largest`, that share a batch as evenly as can be."""
    return math.ceil(size / math.ceil(size / largest))


class OnItsWay(NamedTuple):
    """Points whose copy to the CPU has begun.

    Arguments:
        points: on the CPU.
        arrived: a CUDA event after the copy; None if they are there.
    """

    points: Points
    arrived: Any

    def wait(self) -> Points:
        """Return the points once they are there."""
        if self.arrived is not None:
            self.arrived.synchronize()
        return self.points


def on_its_way(points: Points) -> OnItsWay:
    """Begin to copy points to the CPU.

    From a GPU into pinned memory, so that the next batch can be launched meanwhile.  That branch is
    written after torch's documentation and has not been run on a GPU.
    """
    device = leaves(points)[0].device
    if device.type != "cuda":
        return OnItsWay(on_leaves(Tensor.cpu, points), None)

    def copy(part: Tensor) -> Tensor:
        # The allocator of pinned memory keeps a block until the copies into it are done.
        home = torch.empty(part.shape, dtype=part.dtype, pin_memory=True)
        return home.copy_(part, non_blocking=True)

    home = on_leaves(copy, points)
    event = torch.cuda.Event()  # type: ignore[no-untyped-call]
    event.record(torch.cuda.current_stream(device))
    return OnItsWay(home, event)


def arriving(batches: Iterable[Points], *, ahead: int) -> Iterator[Points]:
    """Yield batches on the CPU, with the work on `ahead` further ones begun."""
    waiting: deque[OnItsWay] = deque()
    for points in batches:
        waiting.append(on_its_way(points))
        if len(waiting) > ahead:
            yield waiting.popleft().wait()
    while waiting:
        yield waiting.popleft().wait()


def unshared(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function with code of its own.

    Compiled versions are kept with the code of a function, a few of them; several generators in one
    process would use them up together.
    """
    code: types.CodeType = function.__code__.replace()
    return types.FunctionType(code, function.__globals__, closure=function.__closure__)


@final
class CompiledNetwork:
    """A generator compiled for one size of batch; smaller ones are filled up and cut.

    In evaluation mode a point depends on its own latent alone (`wgankit.testing.check_generator`),
    so the points that fill up change no other.

    Arguments:
        generator: a network in evaluation mode.
        size: of the batches.
    """

    def __init__(self, generator: nn.Module, size: int) -> None:
        self.size = size

        def forward(latents: Points) -> Points:
            return cast(Points, generator(latents))

        # Compiled versions are kept with the code of a function, a few of them only, so that every
        # stream needs code of its own.
        code: types.CodeType = forward.__code__.replace()
        own = types.FunctionType(code, forward.__globals__, closure=forward.__closure__)
        self.compiled = torch.compile(own, fullgraph=True, dynamic=False)

    def __call__(self, latents: Points) -> Points:
        """Return points for at most `size` latents."""
        count = batch_size(latents)
        if count < self.size:
            fill = torch.arange(self.size, device=leaves(latents)[0].device).clamp_max(count - 1)
            latents = pick(latents, fill)
        # Another layout in memory would be compiled anew.
        points = self.compiled(on_leaves(Tensor.contiguous, latents))
        return pick(points, slice(0, count))


@final
class CheckedNetwork:
    """Compiled, if it makes the same points of its first batch; else as written, and says so.

    The same points are: a relative error of at most `ALLOWED` at the worst point; and of numbers
    that are whole, such as hard labels, at most a share `TIES` may differ, because rounding decides
    which of two labels comes out where both are equally likely.  So a compiled stream repeats
    itself, and may differ in such a label from the stream of the same seed that is not compiled.

    Arguments:
        generator: a network in evaluation mode.
        size: of the batches that it is compiled for, the first one included.
    """

    def __init__(self, generator: nn.Module, size: int) -> None:
        self.generator, self.size = generator, size
        self.chosen: Network | None = None

    def __call__(self, latents: Points) -> Points:
        """Choose at the first call, then go the way chosen."""
        if self.chosen is None:
            self.chosen = self._choose(latents)
        return self.chosen(latents)

    def _choose(self, latents: Points) -> Network:
        network = Networks(self.generator, {"generator": self.generator})
        with untouched(network, leaves(latents)[0].device):
            try:
                compiled = CompiledNetwork(self.generator, self.size)
                objection = disagreement(compiled, self.generator, latents)
            except Exception as error:
                objection = f"{type(error).__name__}: {first_line(error)}"
        if not objection:
            return compiled
        warnings.warn(
            f"the generator is not compiled, and runs as written: {objection}",
            CompileWarning,
            stacklevel=2,
        )
        return self.generator


def disagreement(compiled: Network, written: Network, latents: Points) -> str:
    """Return why a compiled generator is not to be believed, or ""."""
    device = leaves(latents)[0].device
    before = read_rng(device)
    wanted = written(latents)
    after = read_rng(device)
    if not all(torch.equal(before[name], after[name]) for name in before):
        return "it draws random numbers (has it dropout that is on?)"
    found = compiled(latents)
    return next(filter(None, map(difference, leaves(found), leaves(wanted))), "")


def difference(found: Tensor, wanted: Tensor) -> str:
    """Return how numbers `(B, ...)` differ by more than rounding explains, or ""."""
    if found.shape != wanted.shape:
        return f"compiled, it returns {tuple(found.shape)} instead of {tuple(wanted.shape)}"
    if whole(found) and whole(wanted):
        share = float((found != wanted).double().mean())
        if share <= TIES:
            return ""
        return f"compiled, {share:.1e} of its labels are others, and {TIES:.0e} is allowed"
    apart = (found.double() - wanted.double()).flatten(1).norm(dim=1).max()
    length = wanted.double().flatten(1).square().sum(1).mean().sqrt()
    error = float(apart / length.clamp_min(1e-300))
    if error <= ALLOWED:
        return ""
    return f"compiled, its points are off by {error:.1e} of their length, {ALLOWED:.0e} is allowed"


def whole(numbers: Tensor) -> bool:
    """Return whether all numbers are whole, such as hard labels."""
    return not numbers.is_floating_point() or bool((numbers == numbers.round()).all())


# Decoding ---------------------------------------------------------------------------------------


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
    "from wgankit.sampling import serve; serve()"
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
    loaded: list[Decoder] = []

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


# Files ------------------------------------------------------------------------------------------


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
