"""Sampling: points from a generator, batch after batch, in order."""

from __future__ import annotations

import math
import types
import warnings
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from itertools import repeat
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias, cast, final

import torch
from torch import Tensor, nn

from wgankit.compiled import first_line, untouched
from wgankit.errors import CompileWarning, SettingError
from wgankit.space import Points, batch_size, join, leaves, on_leaves, pick
from wgankit.state import Randomness, read_rng
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


def unshared(function: Callable[[Points], Points]) -> Callable[[Points], Points]:
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

        self.compiled = torch.compile(unshared(forward), fullgraph=True, dynamic=False)

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
