"""Everything that a GPU has to show of a training step, in one run of a few minutes.

Run `python -m benchmarks.h200 --json FILE` on a machine with a GPU: the tests marked `gpu`, then
for each problem of `benchmarks.step` the times of all loops, the floor that the device sets, how
busy it is, and the kernels that are left.  `--device cpu --quick` tries the script itself where
there is no GPU; its figures mean nothing.

The floor is the larger of two times: floating-point operations of a step (counted by
torch's own formulas, both derivatives included) over the speed of a large product of
matrices, and bytes of all parameters, moments and batches of a step over the speed of a large copy.
No implementation is faster; one of many small kernels is far from it.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

import wgankit
from benchmarks import step as steps
from benchmarks.command import Missed, finish, parser, tell_header
from benchmarks.step import MORE, N_CRITIC, PROBLEMS, WEIGHT, Line, Problem
from wgankit import Normal, Penalty
from wgankit.space import leaves

BUSY = 0.9


@dataclass(frozen=True)
class Floor:
    """What the device could do at best, milliseconds for one iteration."""

    operations: float
    bytes: float
    milliseconds: float


@dataclass(frozen=True)
class Profile:
    """Where the time of captured steps goes.

    Arguments:
        busy: share of the clock's time in which a kernel runs.
        kernels: milliseconds of an iteration by kernel, the longest first.
        launches: kernels of an iteration.
    """

    busy: float
    kernels: dict[str, float] = field(default_factory=dict)
    launches: float = 0.0


def speed(work: Callable[[], Any], amount: float, device: str) -> float:
    """Return how much of something a device does in a second, the best of several tries."""
    work()
    found = []
    for _ in range(5):
        begun = steps.now(device)
        work()
        found.append(amount / max(steps.now(device) - begun, 1e-9))
    return max(found)


def peaks(device: str, size: int) -> tuple[float, float]:
    """Return operations and bytes a second, measured on large matrices."""
    a, b = (torch.randn(size, size, device=device) for _ in range(2))
    into = torch.empty_like(a)
    return (
        speed(lambda: torch.mm(a, b, out=into), 2.0 * size**3, device),
        speed(lambda: into.copy_(a), 2.0 * a.numel() * a.element_size(), device),
    )


def training_of(problem: Problem, device: str, **settings: Any) -> wgankit.Training:
    """Return a training of a problem."""
    torch.manual_seed(0)
    generator, critic = problem.networks(False)
    return wgankit.train(
        generator, critic, problem.data(), space=problem.space, latent=Normal(problem.latent),
        penalty=Penalty(weight=WEIGHT), batch=problem.batch, n_critic=N_CRITIC, device=device,
        **settings,
    )  # fmt: skip


class Operations(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts floating-point operations of products and convolutions, at any depth of derivative."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.total = 0.0

    def __torch_dispatch__(
        self, function: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        """Run an operation and add what it costs."""
        out = function(*args, **(kwargs or {}))
        cost = flop_registry.get(function.overloadpacket)
        if cost:
            self.total += float(cost(*args, **(kwargs or {}), out_val=out))
        return out


def floor_of(problem: Problem, device: str, speeds: tuple[float, float]) -> Floor:
    """Count a step's operations and the bytes it cannot do without."""
    training = training_of(problem, device, compile=False, capture=False)
    next(training)
    with Operations() as counter:
        next(training)
    operations = counter.total
    # Each update reads and writes parameters and both moments; the average follows once.
    networks = ((training.critic, 6 * N_CRITIC), (training.generator, 6 + 3 + N_CRITIC))
    total = sum(size(list(network.parameters())) * times for network, times in networks)
    real = problem.data()
    total += (2 * N_CRITIC + 1) * problem.batch * size(leaves(real)) / len(leaves(real)[0])
    needed = max(operations / speeds[0], total / speeds[1])
    return Floor(operations, total, 1e3 * needed)


def size(tensors: Sequence[Tensor]) -> float:
    """Return the bytes of some tensors."""
    return float(sum(one.numel() * one.element_size() for one in tensors))


def profile_of(problem: Problem, device: str, count: int, **settings: Any) -> Profile:
    """Return how busy the device is during steps, and with what."""
    from torch.profiler import ProfilerActivity, profile

    training = training_of(problem, device, **settings)
    for _ in range(70 if device == "cuda" else 6):  # to 128 no code is looked at again
        next(training)
    if device == "cpu":
        return Profile(float("nan"))
    with profile(activities=[ProfilerActivity.CUDA]) as seen:
        torch.cuda.synchronize()
        begun = time.perf_counter()
        for _ in range(count):
            next(training)
        torch.cuda.synchronize()
        spent = time.perf_counter() - begun
    kernels: Counter[str] = Counter()
    launches = 0
    for event in seen.key_averages():
        if str(event.device_type).endswith("CUDA"):
            kernels[event.key[:60]] += event.self_device_time_total
            launches += event.count
    busy = sum(kernels.values()) / 1e6 / spent
    longest = {name: each / count / 1e3 for name, each in kernels.most_common(8)}
    return Profile(busy, longest, launches / count)


@dataclass(frozen=True)
class Report:
    """All that was seen at one problem."""

    line: Line
    floor: Floor
    profile: Profile


def measure(problem: Problem, device: str, speeds: tuple[float, float], *, quick: bool) -> Report:
    """Time, count and profile a problem."""
    turns, seconds = (2, 0.05) if quick else (7, 0.3)
    line = steps.measure(problem, device, compile=not quick, turns=turns, seconds=seconds)
    profiled = profile_of(
        problem, device, 50, compile=not quick, capture=True if device == "cuda" else "auto"
    )
    return Report(line, floor_of(problem, device, speeds), profiled)


def judge(problem: Problem, report: Report, device: str) -> Iterator[Missed]:
    """Yield the targets that were missed."""
    yield from steps.judge(problem, report.line, device)
    if report.profile.busy < BUSY:
        yield Missed(f"{problem.name}, GPU busy", f"{report.profile.busy:.2f}", f">= {BUSY}")


def show(reports: Sequence[Report]) -> None:
    """Print the tables."""
    steps.show([report.line for report in reports])
    table = Table(title="the fastest loop against the device's floor")
    for column in ("problem", "loop", "ms", "floor, ms", "share", "busy", "kernels"):
        table.add_column(column, justify="left" if column in ("problem", "loop") else "right")
    for report in reports:
        times = report.line.milliseconds
        best = min(times, key=times.__getitem__)
        table.add_row(
            report.line.problem, best, f"{times[best]:.3f}", f"{report.floor.milliseconds:.3f}",
            f"{report.floor.milliseconds / times[best]:.0%}", f"{report.profile.busy:.0%}",
            f"{report.profile.launches:.0f}",
        )  # fmt: skip
    Console(width=120).print(table)
    for report in reports:
        print(f"{report.line.problem}, ms of an iteration:")
        for name, spent in report.profile.kernels.items():
            print(f"  {spent:8.4f}  {name}")


def run_gpu_tests() -> str:
    """Run the tests marked `gpu`, and return their last line."""
    command = [sys.executable, "-m", "pytest", "-m", "gpu", "tests", "-p", "no:cacheprovider"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240, check=False)
    lines = (done.stdout + done.stderr).strip().splitlines()
    print("\n".join(lines[-15:]), flush=True)
    return lines[-1] if lines else "no output"


def main(given: Sequence[str] | None = None) -> int:
    """Run it all; return the exit code."""
    arguments = parser("h200", "A training step on a GPU: times, floor, load, what is left.")
    arguments.add_argument("--device", default="cuda", help="cuda; cpu tries the script only")
    arguments.add_argument("--only", metavar="WORD", help="problems whose name holds this word")
    arguments.add_argument("--no-tests", action="store_true", help="leave the tests out")
    options = arguments.parse_args(given)
    torch.set_num_threads(1)
    tell_header()
    tests = "" if options.no_tests else run_gpu_tests()
    speeds = peaks(options.device, 256 if options.quick else 8192)
    print(f"measured: {speeds[0] / 1e12:.3g} T operations/s, {speeds[1] / 1e9:.4g} GB/s")
    reports: list[Report] = []
    missed: list[Missed] = []
    for problem in (*PROBLEMS, *MORE):
        if options.only and options.only not in problem.name:
            continue
        report = measure(problem, options.device, speeds, quick=options.quick)
        reports.append(report)
        missed += judge(problem, report, options.device)
        # Kept after each problem: what was seen is not lost if time runs out.
        told = {"tests": tests, "peaks": speeds, "reports": [asdict(one) for one in reports]}
        finish(options, told, [])
    show(reports)
    return finish(options, told, missed)


if __name__ == "__main__":
    sys.exit(main())
