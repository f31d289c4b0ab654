"""Time of a training step: the loop everybody copies, a tidy one by hand, ours in all its ways.

Run `python -m benchmarks.step`.  All loops of one problem run in one process, in turns; a figure is
the CPU time of one thread (with `--device cuda` that of the clock, the device waited for), and a
ratio the median over the turns of the ratios within a turn, so that other work on the machine bears
on both sides alike.  One iteration is five updates of the critic and one of the generator.

The copied loop is what public code does: the critic's fakes keep the generator's graph, three calls
of the critic, lambda fixed, NumPy noise, a DataLoader, the default Adam, a number read each time.
Ours is "eager" as it is written, "traced" where derivatives were taken once and their operations
are repeated, and "compiled".  What is asked of code without a compiler on a CPU is asked of the
traced form, because that is what `compile="auto"` takes there.
The tidy one does the mathematics of `wgankit.train` (running lambda, averaged generator, slopes)
in one page, and shows what the library's generality costs.
"""

from __future__ import annotations

import atexit
import copy
import math
import os
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

import wgankit
from benchmarks.command import Missed, finish, parser, tell_header
from wgankit import Normal, Normed, Penalty, Product
from wgankit.space import Points, join, leaves, on_leaves, pick, rebuild, to_device

N_CRITIC, WEIGHT, RATE, BETAS = 5, 10.0, 1e-4, (0.0, 0.9)
POINTS = 4096


# ---- problems ---------------------------------------------------------------------------------


def dense(inputs: int, outputs: int, width: int) -> nn.Sequential:
    """Return three hidden layers."""
    sizes = [inputs, width, width, width]
    layers: list[nn.Module] = []
    for before, after in pairwise(sizes):
        layers += [nn.Linear(before, after), nn.LeakyReLU(0.2)]
    return nn.Sequential(*layers, nn.Linear(width, outputs))


def scores(network: nn.Module) -> nn.Sequential:
    """Return a critic: one score for each point."""
    return nn.Sequential(network, nn.Flatten(0))


def pictures_critic(width: int) -> nn.Sequential:
    """Return a DCGAN-like critic of pictures 3 x 32 x 32, without normalisation."""
    layers: list[nn.Module] = []
    for before, after in ((3, width), (width, 2 * width), (2 * width, 4 * width)):
        layers += [nn.Conv2d(before, after, 4, 2, 1), nn.LeakyReLU(0.2)]
    return nn.Sequential(*layers, nn.Conv2d(4 * width, 1, 4), nn.Flatten(0))


def pictures_generator(width: int, latent: int) -> nn.Sequential:
    """Return a DCGAN-like generator, without normalisation."""
    layers: list[nn.Module] = [nn.Unflatten(1, (latent, 1, 1))]
    layers += [nn.ConvTranspose2d(latent, 4 * width, 4), nn.ReLU()]
    for before, after in ((4 * width, 2 * width), (2 * width, width)):
        layers += [nn.ConvTranspose2d(before, after, 4, 2, 1), nn.ReLU()]
    return nn.Sequential(*layers, nn.ConvTranspose2d(width, 3, 4, 2, 1), nn.Tanh())


class Relations(nn.Module):
    """A relational layer: h_i <- act(h_i W_0 + sum_r sum_j A_r[i, j] h_j W_r).

    Arguments:
        apart: one linear layer for each relation, as published code writes it, or all relations in
            one product of matrices: the same numbers.
    """

    def __init__(self, inputs: int, outputs: int, relations: int, *, apart: bool) -> None:
        super().__init__()
        self.itself = nn.Linear(inputs, outputs)
        self.each = nn.ModuleList(nn.Linear(inputs, outputs, bias=False) for _ in range(relations))
        self.apart = apart

    def forward(self, nodes: Tensor, edges: Tensor) -> Tensor:
        """Return nodes `(B, N, out)`; edges are `(B, R, N, N)`."""
        if self.apart:
            said = torch.stack([linear(nodes) for linear in self.each], 1)
            return torch.tanh((edges @ said).sum(1) + self.itself(nodes))
        batch, relations, size, _ = edges.shape
        inputs, outputs = nodes.shape[-1], self.itself.out_features
        if inputs <= outputs:  # whatever makes the numbers few comes first
            heard = edges.reshape(batch, relations * size, size) @ nodes
            heard = heard.view(batch, relations, size, -1).transpose(1, 2).flatten(2)
            weight = torch.cat([linear.weight for linear in self.each], 1)  # type: ignore[misc]
            return torch.tanh(nn.functional.linear(heard, weight) + self.itself(nodes))
        weight = torch.cat([linear.weight for linear in self.each])  # type: ignore[misc]
        said = nn.functional.linear(nodes, weight).view(batch, size, relations, outputs)
        said = said.transpose(1, 2).reshape(batch, relations * size, outputs)
        heard = edges.transpose(1, 2).reshape(batch, size, relations * size) @ said
        return torch.tanh(heard + self.itself(nodes))


class GraphCritic(nn.Module):
    """A MolGAN-like critic: two relational layers, gated sum over the nodes, dense layers."""

    def __init__(self, kinds: int, bonds: int, *, apart: bool) -> None:
        super().__init__()
        self.first = Relations(kinds, 64, bonds - 1, apart=apart)
        self.second = Relations(64 + kinds, 32, bonds - 1, apart=apart)
        self.gate, self.value = nn.Linear(32 + kinds, 128), nn.Linear(32 + kinds, 128)
        self.score = nn.Sequential(nn.Linear(128, 128), nn.Tanh(), nn.Linear(128, 1))

    def forward(self, points: Points) -> Tensor:
        nodes, edges = leaves(points)
        relations = edges[..., 1:].permute(0, 3, 1, 2)
        h = self.first(nodes, relations)
        h = self.second(torch.cat([h, nodes], -1), relations)
        h = torch.cat([h, nodes], -1)
        pooled = torch.tanh((torch.sigmoid(self.gate(h)) * torch.tanh(self.value(h))).sum(1))
        scores: Tensor = self.score(pooled).squeeze(-1)
        return scores


class GraphGenerator(nn.Module):
    """A MolGAN-like generator: dense layers, then softmax over labels."""

    def __init__(self, latent: int, size: int, kinds: int, bonds: int) -> None:
        super().__init__()
        self.shapes = (size, kinds), (size, size, bonds)
        layers: list[nn.Module] = []
        for before, after in ((latent, 128), (128, 256), (256, 512)):
            layers += [nn.Linear(before, after), nn.Tanh()]
        self.body = nn.Sequential(*layers)
        self.nodes = nn.Linear(512, size * kinds)
        self.edges = nn.Linear(512, size * size * bonds)

    def forward(self, z: Tensor) -> Points:
        h = self.body(z)
        nodes = self.nodes(h).view(-1, *self.shapes[0])
        edges = self.edges(h).view(-1, *self.shapes[1])
        edges = (edges + edges.transpose(1, 2)) / 2
        return nodes.softmax(-1), edges.softmax(-1)


@dataclass(frozen=True)
class Problem:
    """Networks, data and the targets on a CPU: how often as fast as the copied loop."""

    name: str
    networks: Callable[[bool], tuple[nn.Module, nn.Module]]
    data: Callable[[], Points]
    space: wgankit.SmoothSpace
    latent: int
    batch: int
    targets: Mapping[str, float]


def plane() -> Points:
    return torch.randn(POINTS, 2) + 3


def pictures() -> Points:
    return torch.rand(1024, 3, 32, 32) * 2 - 1


def graphs() -> Points:
    nodes = torch.eye(5)[torch.randint(5, (POINTS, 9))]
    low = torch.randint(5, (POINTS, 9, 9)).triu(1)
    return nodes, torch.eye(5)[low + low.transpose(1, 2)]


def perceptrons(width: int) -> Callable[[bool], tuple[nn.Module, nn.Module]]:
    return lambda copied: (dense(64, 2, width), scores(dense(2, 1, width)))


def vectors() -> Points:
    return torch.randn(POINTS, 64) + 3


def larger_graphs() -> Points:
    nodes = torch.eye(5)[torch.randint(5, (1024, 38))]
    low = torch.randint(5, (1024, 38, 38)).triu(1)
    return nodes, torch.eye(5)[low + low.transpose(1, 2)]


def graph_networks(size: int) -> Callable[[bool], tuple[nn.Module, nn.Module]]:
    return lambda copied: (GraphGenerator(32, size, 5, 5), GraphCritic(5, 5, apart=copied))


def picture_networks(copied: bool) -> tuple[nn.Module, nn.Module]:
    return pictures_generator(32, 64), pictures_critic(32)


LABELLED = Product(Normed(), Normed(), p=2)
PROBLEMS = (
    Problem(
        "MLP 2-64x3", perceptrons(64), plane, Normed(), 64, 256, {"traced": 1.7, "compiled": 3.5}
    ),
    Problem(
        "MLP 2-512x3", perceptrons(512), plane, Normed(), 64, 256,
        {"traced": 1.35, "compiled": 1.8, "bfloat16": 2.5},
    ),
    Problem(
        "conv 32x32 f=32", picture_networks, pictures, Normed(), 64, 64,
        {"traced": 1.29, "compiled": 1.6, "bfloat16": 2.2},
    ),
    Problem(
        "graphs N=9", graph_networks(9), graphs, LABELLED, 32, 128,
        {"traced": 1.73, "compiled": 2.5},
    ),
)  # fmt: skip
MORE = (
    Problem("MLP 2-64x3 B=64", perceptrons(64), plane, Normed(), 64, 64, {}),
    Problem("MLP 2-64x3 B=4096", perceptrons(64), plane, Normed(), 64, 4096, {}),
    Problem(
        "MLP 64-512x3", lambda copied: (dense(64, 64, 512), scores(dense(64, 1, 512))), vectors,
        Normed(), 64, 256, {},
    ),
    Problem("graphs N=38", graph_networks(38), larger_graphs, LABELLED, 32, 64, {}),
)  # fmt: skip
"""Problems without targets on a CPU, run with `--all`."""

GPU_TARGETS = {
    "MLP 2-64x3": {"captured": 5.0, "captured, compiled": 8.0},
    "MLP 2-512x3": {"captured, compiled": 2.0},
    "conv 32x32 f=32": {"captured, compiled": 2.0},
    "graphs N=9": {"captured": 5.0, "captured, compiled": 8.0},
}
"""How often as fast as the copied loop on a GPU (an H200)."""

OVERHEAD, MICROSECONDS = 1.02, 20.0


# ---- loops ------------------------------------------------------------------------------------


def endlessly(loader: DataLoader[Any]) -> Iterator[Any]:
    while True:
        yield from loader


def copied(problem: Problem, device: str) -> Iterator[None]:
    """The loop everybody copies (WGAN-GP with lambda 10, two-sided); one iteration at a time."""
    torch.manual_seed(0)
    generator, critic = (network.to(device) for network in problem.networks(True))
    loader = DataLoader(TensorDataset(*leaves(problem.data())), problem.batch, shuffle=True)
    to_generator = torch.optim.Adam(generator.parameters(), lr=RATE, betas=BETAS)
    to_critic = torch.optim.Adam(critic.parameters(), lr=RATE, betas=BETAS)
    form = problem.data()
    for turn, batch in enumerate(endlessly(loader)):
        real = rebuild(form, [part.to(device) for part in batch])
        to_critic.zero_grad()
        noise = np.random.normal(0, 1, (problem.batch, problem.latent))
        z = torch.tensor(noise).float().to(device)
        fake = generator(z)
        loss = critic(fake).mean() - critic(real).mean()
        loss = loss + WEIGHT * textbook_penalty(critic, real, fake)
        loss.backward()
        to_critic.step()
        to_generator.zero_grad()
        loss.item()
        if turn % N_CRITIC == N_CRITIC - 1:
            loss = -critic(generator(z)).mean()
            loss.backward()
            to_generator.step()
            loss.item()
            yield


def textbook_penalty(critic: nn.Module, real: Points, fake: Points) -> Tensor:
    count = len(leaves(real)[0])
    alpha = torch.tensor(np.random.random(count)).float().to(leaves(real)[0].device)

    def between(a: Tensor, b: Tensor) -> Tensor:
        share = alpha.view(-1, *[1] * (a.dim() - 1))
        return (share * a + (1 - share) * b.detach()).requires_grad_(True)

    points = on_leaves(between, real, fake)
    at = critic(points)
    gradients = torch.autograd.grad(
        at, leaves(points), torch.ones_like(at), create_graph=True, retain_graph=True
    )
    flat = torch.cat([gradient.reshape(count, -1) for gradient in gradients], 1)
    found: Tensor = ((flat.norm(2, dim=1) - 1) ** 2).mean()
    return found


def tidy(problem: Problem, device: str) -> Iterator[None]:
    """The mathematics of `wgankit.train` by hand, for this problem alone."""
    torch.manual_seed(0)
    generator, critic = (network.to(device) for network in problem.networks(False))
    data, space, batch = to_device(problem.data(), device), problem.space, problem.batch
    average = copy.deepcopy(generator).requires_grad_(False)
    to_generator = torch.optim.Adam(generator.parameters(), lr=RATE, betas=BETAS, fused=True)
    to_critic = torch.optim.Adam(critic.parameters(), lr=RATE, betas=BETAS, fused=True)
    order, place, scale = torch.randperm(len(leaves(data)[0]), device=device), 0, None

    def draw() -> Points:
        nonlocal order, place
        if place + batch > len(order):
            order, place = torch.randperm(len(order), device=device), 0
        place += batch
        return pick(data, order[place - batch : place])

    while True:
        with torch.no_grad():
            fakes = generator(torch.randn(N_CRITIC * batch, problem.latent, device=device))
        for turn in range(N_CRITIC):
            real, fake = draw(), pick(fakes, slice(turn * batch, (turn + 1) * batch))
            at_real, at_fake = critic(join(real, fake)).chunk(2)
            t = torch.rand(batch, device=device)
            with torch.no_grad():
                points = space.interpolate(real, fake, t)
            points = on_leaves(Tensor.requires_grad_, points)
            gradient = torch.autograd.grad(critic(points).sum(), leaves(points), create_graph=True)
            slopes = space.dual_norm(points, rebuild(points, gradient))
            cost = (slopes - 1).clamp_min(0).square().mean()
            with torch.no_grad():
                reach = space.distance(real, fake).mean()
                scale = reach if scale is None else torch.minimum(scale, reach)
                weight = WEIGHT * torch.maximum(scale, reach * 0.01)
            gap = at_real.mean() - at_fake.mean()
            to_critic.zero_grad()
            (weight * cost - gap).backward()
            to_critic.step()
            with torch.no_grad():
                scale = torch.lerp(scale, (gap - 2 * weight * cost).clamp_min(0), 0.02)
        critic.requires_grad_(False)
        latent = torch.randn(batch, problem.latent, device=device)
        loss = -critic(generator(latent)).mean()
        to_generator.zero_grad()
        loss.backward()
        critic.requires_grad_(True)
        to_generator.step()
        with torch.no_grad():
            torch._foreach_lerp_(list(average.parameters()), list(generator.parameters()), 0.001)
        yield


def ours(
    problem: Problem,
    device: str,
    waited: dict[str, float] | None = None,
    name: str = "",
    **settings: Any,
) -> Iterator[None]:
    """`wgankit.train` with its defaults; `waited` gets the seconds before its first step."""
    torch.manual_seed(0)
    generator, critic = problem.networks(False)
    training = wgankit.train(
        generator, critic, problem.data(), space=problem.space, latent=Normal(problem.latent),
        penalty=Penalty(weight=WEIGHT), batch=problem.batch, n_critic=N_CRITIC, device=device,
        **settings,
    )  # fmt: skip
    for step in training:
        if waited is not None and step.index == 1:
            waited[name] = training.execution.seconds
        yield


def loops_of(
    problem: Problem, device: str, *, compile: bool, waited: dict[str, float]
) -> dict[str, Iterator[None]]:
    """Return the loops that are compared on a device, by name."""
    plain: dict[str, Any] = {"compile": False, "capture": False}
    loops = {
        "copied": copied(problem, device),
        "tidy": tidy(problem, device),
        "eager": ours(problem, device, **plain),
    }
    if device == "cpu":
        way: dict[str, Any] = {**plain, "compile": "trace"}
        loops["traced"] = ours(problem, device, waited, "traced", **way)
    if compile:
        way = {**plain, "compile": True}
        loops["compiled"] = ours(problem, device, waited, "compiled", **way)
    if device != "cpu":
        loops["captured"] = ours(problem, device, compile=False, capture=True)
        if compile:
            loops["captured, compiled"] = ours(problem, device, compile=True, capture=True)
    if compile and "bfloat16" in problem.targets:
        low: dict[str, Any] = {"precision": "bf16-mixed", "compile": True}
        loops["bfloat16"] = ours(problem, device, capture=device != "cpu", **low)
    return loops


# ---- timing -----------------------------------------------------------------------------------


def seconds_of(loop: Iterator[None], iterations: int, device: str) -> float:
    """Return the seconds of one iteration: of a CPU's time, or of the clock with a GPU."""
    begun = now(device)
    for _ in range(iterations):
        next(loop)
    return (now(device) - begun) / iterations


def now(device: str) -> float:
    """Return the time in seconds, when all that was asked of the device is done."""
    if device == "cpu":
        return time.process_time()
    torch.cuda.synchronize()
    return time.perf_counter()


def rounds(
    loops: dict[str, Iterator[None]], seconds: float, turns: int, device: str
) -> list[dict[str, float]]:
    """Return seconds of an iteration of each loop, in every turn."""
    each = {}
    for name, loop in loops.items():
        for _ in range(5 if device != "cpu" else 1):  # a graph is captured at the fourth step
            next(loop)
        each[name] = max(1, round(seconds / seconds_of(loop, 2, device)))
    table = []
    for turn in range(turns):
        # The order changes, so that no loop always follows the same one.
        names = list(loops)[turn % len(loops) :] + list(loops)[: turn % len(loops)]
        table.append({name: seconds_of(loops[name], each[name], device) for name in names})
    return table


@dataclass(frozen=True)
class Ratio:
    """How often as fast one loop is as another: the median over turns and the 20-80 % spread."""

    median: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.median:.2f} [{self.low:.2f}-{self.high:.2f}]"


def ratio(table: Sequence[dict[str, float]], slow: str, fast: str) -> Ratio:
    values = sorted(row[slow] / row[fast] for row in table)
    return Ratio(statistics.median(values), *(float(np.quantile(values, q)) for q in (0.2, 0.8)))


@dataclass(frozen=True)
class Line:
    """What was seen at one problem; milliseconds for one iteration, and ratios."""

    problem: str
    milliseconds: dict[str, float]
    speedup: dict[str, Ratio]
    overhead: Ratio
    overhead_us: float
    preparing: dict[str, float]
    even: dict[str, float]


def measure(problem: Problem, device: str, *, compile: bool, turns: int, seconds: float) -> Line:
    """Run the loops of a problem in turns."""
    waited: dict[str, float] = {}
    loops = loops_of(problem, device, compile=compile, waited=waited)
    table = rounds(loops, seconds, turns, device)
    each = {name: 1e3 * statistics.median(row[name] for row in table) for name in loops}
    # Compiled code stands in the place of traced code, and has to pay beside that.
    otherwise = each.get("traced", each["eager"])
    instead = {"traced": each["eager"], "compiled": otherwise}
    saved = {name: 1e-3 * (instead[name] - each[name]) / N_CRITIC for name in waited}
    return Line(
        problem.name,
        each,
        {name: ratio(table, "copied", name) for name in loops if name != "copied"},
        ratio(table, "eager", "tidy"),
        1e6 * statistics.median(row["eager"] - row["tidy"] for row in table) / (N_CRITIC + 1),
        waited,
        {name: waited[name] / saved[name] if saved[name] > 0 else math.inf for name in waited},
    )


def judge(problem: Problem, line: Line, device: str) -> Iterator[Missed]:
    """Yield the targets that a problem missed."""
    targets = problem.targets if device == "cpu" else GPU_TARGETS.get(problem.name, {})
    for name, target in targets.items():
        reached = line.speedup.get(name)
        if reached and reached.median < target:
            yield Missed(f"{problem.name}, {name} over copied", str(reached), f">= {target}")
    if line.overhead.median > OVERHEAD and line.overhead_us > MICROSECONDS:
        yield Missed(
            f"{problem.name}, ours over tidy",
            f"{line.overhead}, {line.overhead_us:+.0f} us an update",
            f"<= {OVERHEAD} or <= {MICROSECONDS:.0f} us",
        )


def show(lines: Sequence[Line]) -> None:
    """Print the table."""
    names = list(dict.fromkeys(name for line in lines for name in line.speedup))
    table = Table(title="times as fast as the copied loop (median, 20-80 % of the turns)")
    ways = list(dict.fromkeys(name for line in lines for name in line.preparing))
    last = [title for name in ways for title in (f"{name}, s", "even")]
    for column in ("problem", "copied, ms", *names, "eager / tidy", "us", *last):
        table.add_column(column, justify="left" if column == "problem" else "right")
    for line in lines:
        table.add_row(
            line.problem,
            f"{line.milliseconds['copied']:.1f}",
            *(str(line.speedup.get(name, "-")) for name in names),
            str(line.overhead),
            f"{line.overhead_us:+.0f}",
            *(
                text
                for name in ways
                for text in (f"{line.preparing[name]:.1f}", f"{line.even[name]:,.0f}")
            ),
        )
    Console(width=90 + 20 * len(names)).print(table)
    print("eager / tidy: time over time; us: what it costs more, each of the 6 updates of a step")
    print("even: critic updates after which the seconds before it, of the clock, have paid:")
    print("tracing beside the step as written, compiling beside the traced one")


def forget_compiled() -> None:
    """Let compilers begin anew, so that their seconds are those of a first run."""
    folder = tempfile.mkdtemp()
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    os.environ["TORCHINDUCTOR_CACHE_DIR"] = folder


def main(given: Sequence[str] | None = None) -> int:
    """Run the benchmark; return its exit code."""
    arguments = parser("step", "Time of a training step against loops by hand.")
    arguments.add_argument("--no-compile", action="store_true", help="leave compiled loops out")
    arguments.add_argument("--only", metavar="WORD", help="problems whose name holds this word")
    arguments.add_argument("--all", action="store_true", help="more sizes, without targets")
    arguments.add_argument("--device", default="cpu", help="cpu or cuda")
    options = arguments.parse_args(given)
    torch.set_num_threads(1)
    tell_header()
    forget_compiled()
    turns, seconds = (5, 0.2) if options.quick else (15, 0.5)
    compile = not (options.quick or options.no_compile)
    lines: list[Line] = []
    missed: list[Missed] = []
    for problem in (*PROBLEMS, *(MORE if options.all else ())):
        if options.only and options.only not in problem.name:
            continue
        line = measure(problem, options.device, compile=compile, turns=turns, seconds=seconds)
        lines.append(line)
        missed += judge(problem, line, options.device)
    show(lines)
    return finish(options, {"lines": [asdict(line) for line in lines]}, missed)


if __name__ == "__main__":
    sys.exit(main())
