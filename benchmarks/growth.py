"""How time and memory of a training step grow with the batch, the graphs' nodes, and the data.

Run `python -m benchmarks.growth`.  Every size trains in a process of its own, and the processes
take turns, so that other work on the machine bears on all sizes alike.  Time is CPU time of one
thread.  Memory is told twice: what the tensors of a step take at most beside data, networks and
optimisers (torch's profiler; the same in every run), and how far the process grows from before data
and networks are made until three steps are done (Linux: VmHWM above VmRSS; what libraries load when
first used is there before).  An exponent is a slope of log(figure) over log(size): fitted to all
sizes, and between the last two, where what does not grow weighs least.

A step of batch and data has five updates of the critic, one of nodes has two, as in the recipe for
graphs.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

import wgankit
from benchmarks.command import Missed, finish, parser, tell_header
from benchmarks.peer_loops import Turns, own_output, perceptron
from benchmarks.peers import Spread, begin, rounds, spread, tell
from wgankit import Normal, Normed
from wgankit_graphs import LabelledGraphsDomain

NUMBERS, WIDTH, BATCH = 16, 64, 256
GRAPHS = 8


def of_batch(size: int) -> wgankit.Training:
    """Return a training with so many points in a batch."""
    return of_points(torch.randn(16_384, NUMBERS), size)


def of_data(size: int) -> wgankit.Training:
    """Return a training on so many points."""
    return of_points(torch.randn(size, NUMBERS), BATCH)


def of_points(data: torch.Tensor, batch: int) -> wgankit.Training:
    """Return a training of perceptrons, three hidden layers of `WIDTH`."""
    return wgankit.train(
        perceptron(64, NUMBERS, WIDTH),
        nn.Sequential(perceptron(NUMBERS, 1, WIDTH), nn.Flatten(0)),
        data,
        space=Normed(),
        latent=Normal(64),
        batch=batch,
        device="cpu",
    )


def of_nodes(size: int) -> wgankit.Training:
    """Return a training of the graphs recipe's networks on graphs of so many nodes."""
    sizes = [0] * size + [1]
    vocabulary = {"nodes": ["a", "b"], "edges": ["-", "="], "size": size, "sizes": sizes}
    model = LabelledGraphsDomain().build(vocabulary, {"model": {}})
    nodes = torch.randint(1, 3, (4 * GRAPHS, size))
    edges = torch.zeros(4 * GRAPHS, size, size, dtype=torch.long)
    for graph in edges:
        ends = torch.randint(size, (2, 2 * size))
        graph[ends[0], ends[1]] = graph[ends[1], ends[0]] = torch.randint(1, 3, (2 * size,))
        graph.fill_diagonal_(0)
    return wgankit.train(
        model.generator,
        model.critic,
        (nodes, edges),
        space=model.space,
        latent=model.latent,
        prepare=model.prepare,
        noise=model.noise,
        batch=GRAPHS,
        n_critic=2,
        device="cpu",
    )


@dataclass(frozen=True)
class Axis:
    """Something that grows, and how fast time and memory may grow with it.

    Arguments:
        make: returns a training of a size.
        tiny: a size to train before memory is measured, for what libraries load when first used.
        sizes: to train.
        quick: sizes of a small run.
        time: largest allowed exponent of time.
        memory: largest allowed exponent of either memory.
        ratio: largest allowed ratio of the times of the last and the first size.
    """

    name: str
    make: Callable[[int], wgankit.Training]
    tiny: int
    sizes: tuple[int, ...]
    quick: tuple[int, ...]
    time: float | None = None
    memory: float | None = None
    ratio: float | None = None


AXES = {
    axis.name: axis
    for axis in (
        Axis(
            "points in a batch",
            of_batch,
            2,
            (64, 128, 256, 512, 1024, 2048, 4096),
            (64, 512, 4096),
            time=1.1,
            memory=1.1,
        ),
        Axis(
            "nodes of a graph",
            of_nodes,
            2,
            (9, 18, 36, 72, 100, 144, 200),
            (9, 36, 72),
            time=3.1,
            memory=3.1,
        ),
        Axis(
            "points of data",
            of_data,
            BATCH,
            tuple(10**k for k in range(3, 8)),
            (10**3, 10**6),
            memory=1.1,
            ratio=1.3,
        ),
    )
}


# ---- the process of one size --------------------------------------------------------------------


def kibibytes(name: str) -> int | None:
    """Return a figure of this process's memory, such as VmRSS; None where no kernel tells it."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return None
    found = [line.split()[1] for line in lines if line.startswith(f"{name}:")]
    return int(found[0]) if found else None


def forget_peak() -> None:
    """Let the peak of the resident set begin anew at what it is."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return


def largest_sum(act: Callable[[], Any]) -> float:
    """Return how many MiB of tensors an act holds at most, above what there was before."""
    cpu = torch.profiler.ProfilerActivity.CPU
    with torch.profiler.profile(activities=[cpu], profile_memory=True) as seen:
        act()
    with tempfile.TemporaryDirectory() as folder:
        trace = Path(folder) / "trace.json"
        seen.export_chrome_trace(str(trace))
        events = json.loads(trace.read_text())["traceEvents"]
    changes = [event["args"]["Bytes"] for event in events if event.get("name") == "[memory]"]
    return float(max(accumulate(changes, initial=0))) / 2**20


def train_in_turns(name: str, size: int) -> None:
    """Train a size, tell its memory, then take turns."""
    answers = own_output()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    axis = AXES[name]
    for _ in zip(range(2), axis.make(axis.tiny), strict=False):
        pass
    before = kibibytes("VmRSS")
    forget_peak()
    clock = time.process_time()
    training = axis.make(size)
    made = time.process_time() - clock
    taken = []
    for _ in range(3):
        clock = time.process_time()
        next(training)
        taken.append(time.process_time() - clock)
    peak = kibibytes("VmHWM")
    told: dict[str, Any] = {
        "process": None if peak is None or before is None else (peak - before) / 1024,
        "tensors": largest_sum(lambda: next(training)),
        "start": made,
        "shuffle": max(0.0, taken[0] - min(taken[1:])),
    }
    turns = Turns(1, sys.stdin, answers, told)
    while True:
        turns.wait()
        next(training)


# ---- figures ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Exponent:
    """Slopes of log(figure) over log(size): fitted to all sizes, and between the last two."""

    fitted: float
    last: float

    def __str__(self) -> str:
        return f"{self.fitted:.2f}, last {self.last:.2f}"


def exponent(sizes: Sequence[int], figures: Sequence[float]) -> Exponent:
    """Return how a figure grows."""
    x, y = np.log(sizes), np.log(figures)
    return Exponent(float(np.polyfit(x, y, 1)[0]), float((y[-1] - y[-2]) / (x[-1] - x[-2])))


@dataclass(frozen=True)
class Growth:
    """What was seen along an axis, size by size.

    Arguments:
        name: of the axis.
        sizes: that were trained.
        milliseconds: CPU time of a step.
        tensors: MiB that the tensors of a step take at most.
        process: MiB that the process grows by, or None where nobody tells.
        start: seconds before the first step.
        shuffle: seconds that the first step took longer than later ones.
        exponents: how milliseconds and both memories grow.
        ratio: of the times of the last and the first size, turn by turn.
    """

    name: str
    sizes: tuple[int, ...]
    milliseconds: list[float]
    tensors: list[float]
    start: list[float]
    shuffle: list[float]
    exponents: dict[str, Exponent]
    ratio: Spread
    process: list[float] | None = None


def measure(axis: Axis, sizes: tuple[int, ...], *, turns: int, seconds: float) -> Growth:
    """Train all sizes of an axis in turns."""
    with ExitStack() as stack:
        loops, told = {}, []
        for size in sizes:
            command = [sys.executable, "-m", "benchmarks.growth", "--point", axis.name, str(size)]
            loops[str(size), 0] = begin(command, stack)
            told.append(loops[str(size), 0].answer())
        table = rounds(loops, seconds, turns)
    first, last = (str(sizes[0]), 0), (str(sizes[-1]), 0)
    milliseconds = [1e3 * statistics.median(row[str(size), 0] for row in table) for size in sizes]
    kinds = ("tensors", "start", "shuffle", "process")
    columns = {kind: [one[kind] for one in told] for kind in kinds}
    growing = {"time": milliseconds, "tensors": columns["tensors"], "process": columns["process"]}
    if None in columns["process"]:
        del growing["process"], columns["process"]
    return Growth(
        name=axis.name,
        sizes=sizes,
        milliseconds=milliseconds,
        exponents={kind: exponent(sizes, column) for kind, column in growing.items()},
        ratio=spread([row[last] / row[first] for row in table]),
        **columns,
    )


def judge(axis: Axis, seen: Growth) -> Iterator[Missed]:
    """Yield the targets that were missed; of two exponents the larger counts."""
    for what, reached in seen.exponents.items():
        target = axis.time if what == "time" else axis.memory
        if target and max(reached.fitted, reached.last) > target:
            yield Missed(f"exponent of {what} in {axis.name}", str(reached), f"<= {target}")
    if axis.ratio and seen.ratio.median > axis.ratio:
        sizes = f"{seen.sizes[-1]:,} to {seen.sizes[0]:,} {axis.name}"
        yield Missed(f"time at {sizes}", str(seen.ratio), f"<= {axis.ratio}")


def show(axis: Axis, seen: Growth) -> None:
    """Print an axis."""
    print(f"\n{seen.name}")
    columns = {
        "step, ms": [f"{one:.1f}" for one in seen.milliseconds],
        "tensors, MiB": [f"{one:.1f}" for one in seen.tensors],
        "process, MiB": [f"{one:.0f}" for one in seen.process or []],
        "start, s": [f"{one:.2f}" for one in seen.start],
        "first step longer by, ms": [f"{1e3 * one:.0f}" for one in seen.shuffle],
    }
    columns = {name: column for name, column in columns.items() if column}
    rows = zip(*columns.values(), strict=True)
    tell(
        list(columns), {f"{size:,}": list(row) for size, row in zip(seen.sizes, rows, strict=True)}
    )
    for what, found in seen.exponents.items():
        wanted = axis.time if what == "time" else axis.memory
        print(f"exponent of {what}: {found}{at_most(wanted)}")
    print(f"time of the last over the first size: {seen.ratio}{at_most(axis.ratio)}", flush=True)


def at_most(target: float | None) -> str:
    """Return a target in words."""
    return f" (target: at most {target})" if target else ""


def main(given: Sequence[str] | None = None) -> int:
    """Run the benchmark; return its exit code."""
    arguments = parser("growth", "Growth of time and memory of a training step.")
    arguments.add_argument("--only", metavar="WORD", help="axes whose name holds this word")
    arguments.add_argument("--point", nargs=2, help=argparse.SUPPRESS)
    options = arguments.parse_args(given)
    if options.point:
        train_in_turns(options.point[0], int(options.point[1]))
    torch.set_num_threads(1)
    tell_header()
    turns, seconds = (3, 0.1) if options.quick else (9, 0.4)
    found: list[Growth] = []
    missed: list[Missed] = []
    for axis in AXES.values():
        if options.only and options.only not in axis.name:
            continue
        sizes = axis.quick if options.quick else axis.sizes
        found.append(measure(axis, sizes, turns=turns, seconds=seconds))
        show(axis, found[-1])
        missed += judge(axis, found[-1])
    return finish(options, {"axes": [asdict(one) for one in found]}, missed)


if __name__ == "__main__":
    sys.exit(main())
