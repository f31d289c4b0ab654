"""One and two processes: the time of a step, and what averaging gradients costs.

Run `python -m benchmarks.distributed`.  Each process has one thread and batches of its own (weak
scaling): with two processes a step sees twice as many points, so the best that can be is the same
time.  Runs of one and of two processes take turns, and a ratio is the median over the turns of the
ratios within a turn.  Seconds are of the clock, because processes wait for each other.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass

import torch
from rich.console import Console
from rich.table import Table

import wgankit
from benchmarks.command import Missed, finish, parser, tell_header
from wgankit import Normal, Normed, Perceptron

WIDTHS, BATCH, EFFICIENCY = (64, 512), 256, 0.7


@dataclass(frozen=True)
class Line:
    """What was seen with one width; milliseconds of the clock for a step.

    Arguments:
        width: of the networks' hidden layers.
        parameters: of the critic.
        one: milliseconds of a step in one process.
        two: in two.
        efficiency: one / two, the median over the turns.
        same: whether both processes ended with the same parameters.
    """

    width: int
    parameters: int
    one: float
    two: float
    efficiency: float
    same: bool


def work(processes: int, width: int, steps: int) -> None:
    """Train in this many processes, and print milliseconds of a step and a mark of the weights."""
    from lightning_fabric import Fabric

    torch.set_num_threads(1)
    strategy = "ddp" if processes > 1 else "auto"
    fabric = Fabric(accelerator="cpu", devices=processes, strategy=strategy)
    fabric.launch()
    torch.manual_seed(0)
    training = wgankit.train(
        Perceptron(64, 2, width=width), Perceptron(2, width=width), torch.randn(8192, 2) + 3,
        space=Normed(), latent=Normal(64), batch=BATCH, fabric=fabric, compile=False,
    )  # fmt: skip
    next(training)
    training.processes.wait()
    begun = time.perf_counter()
    for _ in range(steps):
        next(training)
    training.processes.wait()
    spent = (time.perf_counter() - begun) / steps * 1e3
    weights = torch.cat([one.detach().reshape(-1) for one in training.critic.parameters()])
    marks = training.processes.gather(weights)
    if training.processes.rank == 0:
        same = all(torch.equal(one, marks[0]) for one in marks)
        print(json.dumps({"ms": spent, "same": same, "parameters": len(weights)}), flush=True)


def run(processes: int, width: int, steps: int) -> dict[str, float]:
    """Return what the processes printed."""
    own = ("LOCAL_", "MASTER_", "NODE_", "WORLD_")
    environment = {key: value for key, value in os.environ.items() if not key.startswith(own)}
    command = [sys.executable, "-m", "benchmarks.distributed", "--work", str(processes)]
    done = subprocess.run(
        [*command, "--width", str(width), "--steps", str(steps)],
        env={**environment, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    found: dict[str, float] = json.loads(done.stdout.strip().splitlines()[-1])
    return found


def measure(width: int, *, turns: int, steps: int) -> Line:
    """Let runs of one and two processes take turns."""
    seen = [(run(1, width, steps), run(2, width, steps)) for _ in range(turns)]
    return Line(
        width,
        int(seen[0][0]["parameters"]),
        statistics.median(one["ms"] for one, _ in seen),
        statistics.median(two["ms"] for _, two in seen),
        statistics.median(one["ms"] / two["ms"] for one, two in seen),
        all(bool(two["same"]) for _, two in seen),
    )


def judge(line: Line) -> Iterator[Missed]:
    """Yield the targets that were missed."""
    if not line.same:
        yield Missed(f"width {line.width}, parameters of both processes", "differ", "the same")
    if line.efficiency < EFFICIENCY:
        yield Missed(
            f"width {line.width}, time of one over time of two processes",
            f"{line.efficiency:.2f}",
            f">= {EFFICIENCY}",
        )


def main(given: Sequence[str] | None = None) -> int:
    """Run the benchmark; return its exit code."""
    arguments = parser("distributed", "Time of a step in one and in two processes.")
    arguments.add_argument("--work", type=int, metavar="N", help="be one of N processes")
    arguments.add_argument("--width", type=int, default=64)
    arguments.add_argument("--steps", type=int, default=20)
    options = arguments.parse_args(given)
    if options.work:
        work(options.work, options.width, options.steps)
        return 0
    tell_header()
    turns, steps = (2, 20) if options.quick else (5, 60)
    lines = [
        measure(width, turns=turns, steps=steps if width < 512 else steps // 4) for width in WIDTHS
    ]
    table = Table(title=f"a step of batch {BATCH} in each process (weak scaling)")
    for column in ("width", "critic", "1 process, ms", "2 processes, ms", "efficiency", "same"):
        table.add_column(column, justify="right")
    for line in lines:
        table.add_row(
            str(line.width), f"{line.parameters:,}", f"{line.one:.1f}", f"{line.two:.1f}",
            f"{line.efficiency:.2f}", "yes" if line.same else "no",
        )  # fmt: skip
    Console(width=100).print(table)
    missed = [one for line in lines for one in judge(line)]
    return finish(options, {"lines": [asdict(line) for line in lines]}, missed)


if __name__ == "__main__":
    sys.exit(main())
