"""Time of a critic's update and of an iteration: other toolkits, ours as written, traced, compiled.

    python -m benchmarks.peers --install DIR       an environment for each toolkit
    python -m benchmarks.peers --environments DIR  compare

An iteration is five updates of the critic and one of the generator.  All have the same networks
(the shapes of all parameters are compared), batches, Adam and a single thread.  Every other toolkit
runs in a process of its own, with its own packages, and all take turns; a ratio is the median over
the turns of the ratios of CPU seconds within a turn, so that other work on the machine bears on
both sides alike.  A critic's update is what four more of them add: (iteration with five - iteration
with one) / 4.

The others do not compute the same: `PEERS` says what each does otherwise.  Ours adds an averaged
generator, a running weight of the penalty and what the estimate of W1 needs.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import IO, Any, final

import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn

import wgankit
from benchmarks import peer_loops
from benchmarks.command import Missed, finish, parser, tell_header
from benchmarks.peer_loops import BETAS, RATE, WEIGHT, Settings
from wgankit import Normal, Normed, Penalty, Product
from wgankit.errors import CompileWarning
from wgankit.space import Points, leaves

N_CRITIC = 5
ROOT = Path(__file__).parents[1]
FOLDER = Path("runs/peers")


# ---- MolGAN's networks --------------------------------------------------------------------------


class Bonds(nn.Module):
    """One relational layer: h_i <- tanh(W x_i + sum_r sum_j A_r[i, j] (W_r h_j + b_r)).

    Arguments:
        kinds: numbers of a node's own label x.
        before: numbers of a node h before the layer.
        after: numbers of a node after it.
        relations: how many kinds of bonds.
        apart: a product of matrices for each relation, as published code writes it, or one for
            all: the same function of the same parameters.
    """

    def __init__(self, kinds: int, before: int, after: int, relations: int, *, apart: bool) -> None:
        super().__init__()
        self.itself = nn.Linear(kinds, after)
        self.each = nn.ModuleList(nn.Linear(before, after) for _ in range(relations))
        self.apart = apart

    def forward(self, nodes: Tensor, labels: Tensor, edges: Tensor) -> Tensor:
        """Return nodes `(B, N, after)`; nodes are `(B, N, before)`, edges `(B, R, N, N)`."""
        own = self.itself(labels)
        if self.apart:
            said = torch.stack([linear(nodes) for linear in self.each], 1)
            return torch.tanh((edges @ said).sum(1) + own)
        weights: list[Tensor] = [linear.weight for linear in self.each]  # type: ignore[misc]
        biases: list[Tensor] = [linear.bias for linear in self.each]  # type: ignore[misc]
        batch, relations, size, _ = edges.shape
        if nodes.shape[-1] < own.shape[-1]:  # whatever makes the numbers few comes first
            ones = torch.ones_like(nodes[..., :1])
            nodes = torch.cat([nodes, ones], -1)
            heard = edges.reshape(batch, relations * size, size) @ nodes
            heard = heard.view(batch, relations, size, -1).transpose(1, 2).flatten(2)
            pairs = zip(weights, biases, strict=True)
            matrix = torch.cat([part for w, b in pairs for part in (w, b[:, None])], 1)
            return torch.tanh(nn.functional.linear(heard, matrix) + own)
        said = nn.functional.linear(nodes, torch.cat(weights), torch.cat(biases))
        said = said.view(batch, size, relations, -1).transpose(1, 2).flatten(1, 2)
        heard = edges.transpose(1, 2).reshape(batch, size, relations * size) @ said
        return torch.tanh(heard + own)


class MolGANCritic(nn.Module):
    """The critic of DeepChem's `BasicMolGANModel`: two relational layers, a gated sum, dense ones.

    Arguments:
        kinds: of atoms.
        bonds: kinds of bonds, "none" included.
        apart: see `Bonds`.
    """

    def __init__(self, kinds: int = 5, bonds: int = 5, *, apart: bool = False) -> None:
        super().__init__()
        self.first = Bonds(kinds, kinds, 128, bonds - 1, apart=apart)
        self.second = Bonds(kinds, 128 + kinds, 64, bonds - 1, apart=apart)
        self.gate, self.value = nn.Linear(64 + kinds, 64), nn.Linear(64 + kinds, 64)
        self.score = nn.Sequential(
            nn.Linear(64, 128), nn.Tanh(), nn.Linear(128, 64), nn.Tanh(), nn.Linear(64, 1)
        )

    def forward(self, points: Points) -> Tensor:
        """Return scores `(B,)` of atoms `(B, N, kinds)` and bonds `(B, N, N, bonds)`."""
        atoms, bonds = leaves(points)
        edges = bonds[..., 1:].permute(0, 3, 1, 2)
        h = self.first(atoms, atoms, edges)
        h = torch.cat([self.second(torch.cat([h, atoms], -1), atoms, edges), atoms], -1)
        pooled = torch.tanh((torch.sigmoid(self.gate(h)) * torch.tanh(self.value(h))).sum(1))
        found: Tensor = self.score(pooled).squeeze(-1)
        return found


class MolGANGenerator(nn.Module):
    """The generator of DeepChem's `BasicMolGANModel`: dense layers, then softmax over labels."""

    def __init__(self, latent: int, size: int = 9, kinds: int = 5, bonds: int = 5) -> None:
        super().__init__()
        self.size, self.kinds, self.bonds = size, kinds, bonds
        layers: list[nn.Module] = []
        for before, after in pairwise((latent, 128, 256, 512)):
            layers += [nn.Linear(before, after), nn.Tanh()]
        self.body = nn.Sequential(*layers)
        self.edges = nn.Linear(512, bonds * size * size)
        self.nodes = nn.Linear(512, size * kinds)

    def forward(self, z: Tensor) -> Points:
        """Return probabilities of atoms and of bonds."""
        h = self.body(z)
        edges = self.edges(h).view(-1, self.bonds, self.size, self.size)
        edges = ((edges + edges.transpose(2, 3)) / 2).permute(0, 2, 3, 1)
        nodes = self.nodes(h).view(-1, self.size, self.kinds)
        return nodes.softmax(-1), edges.softmax(-1)


# ---- problems and toolkits ----------------------------------------------------------------------


@dataclass(frozen=True)
class Problem:
    """Networks and data that all toolkits of a comparison get.

    Arguments:
        name: for the table.
        settings: what the other toolkits are told.
        networks: returns generator and critic, with the layers as the peers write them or not.
        data: returns that many points.
        space: of the points.
        peers: who solves it too.
        rewritten: whether our own way to write the layers differs from the peers'.
    """

    name: str
    settings: Settings
    networks: Callable[[bool], tuple[nn.Module, nn.Module]]
    data: Callable[[int], Points]
    space: wgankit.SmoothSpace
    peers: tuple[str, ...]
    rewritten: bool = False


def perceptrons(width: int) -> Problem:
    """Return points of the plane and perceptrons."""

    def networks(as_written: bool) -> tuple[nn.Module, nn.Module]:
        critic = nn.Sequential(peer_loops.perceptron(2, 1, width), nn.Flatten(0))
        return peer_loops.perceptron(64, 2, width), critic

    return Problem(
        f"MLP 2-{width}x3, B=256",
        Settings(width=width, latent=64, batch=256, n_critic=N_CRITIC),
        networks,
        peer_loops.plane,
        Normed(),
        ("torchgan", "vegans", "synthcity"),
    )


def molgan() -> Problem:
    """Return graphs of nine nodes and MolGAN's networks."""
    return Problem(
        "MolGAN N=9, B=128",
        Settings(width=0, latent=32, batch=128, n_critic=N_CRITIC),
        lambda as_written: (MolGANGenerator(32), MolGANCritic(apart=as_written)),
        peer_loops.molecules,
        Product(Normed(), Normed(), p=2),
        ("deepchem",),
        rewritten=True,
    )


PROBLEMS = (perceptrons(64), perceptrons(512), molgan())


@dataclass(frozen=True)
class Peer:
    """A toolkit to compare with.

    Arguments:
        requirements: what pip installs.
        bare: what it installs without dependencies, whose metadata ask for an older torch.
        otherwise: what it computes in place of a slope at one random point between each real and
            each generated one.
    """

    requirements: tuple[str, ...]
    otherwise: str
    bare: tuple[str, ...] = ()


PEERS = {
    "torchgan": Peer(
        ("torchgan==0.1.0", "torchvision==0.28.0"),
        "punishes the norm of the whole batch's gradient, at one random fraction for all points; "
        "penalty and gap are two separate steps of Adam; goes back into the generator for nothing",
    ),
    "deepchem": Peer(
        ("deepchem==2.8.0", "torch"),
        "penalty at real points only and on bonds only; the gap is that of one real and one "
        "generated graph of the batch; the generator's atoms are replaced by real ones, so its "
        "head for atoms gets no gradient; goes back into the generator for nothing, and computes "
        "the penalty again for the generator's own update",
    ),
    "vegans": Peer(
        ("torch", "torchvision==0.28.0", "numpy", "pandas", "matplotlib", "tensorboard"),
        "a right penalty; the gap is halved; the critic's updates of an iteration all see the same "
        "real and the same generated points; here with two repairs, as it does not train without",
        bare=("vegans==0.4.0",),
    ),
    "synthcity": Peer(
        ("torch", "numpy", "pandas", "optuna", "opacus", "pydantic", "tqdm", "loguru"),
        "a right penalty; the critic's updates of an iteration all see the same real points; "
        "weight decay 0.001; goes back into the generator for nothing; scores that are exactly 0 "
        "are left out of the gap",
        bare=("synthcity==0.2.12",),
    ),
}

TARGETS = {
    (PROBLEMS[0].name, "torchgan", "traced"): 1.9,
    (PROBLEMS[0].name, "torchgan", "compiled"): 3.5,
    (PROBLEMS[2].name, "deepchem", "traced"): 1.5,
}
"""How many times as fast as a peer ours has to be, in an iteration and in a critic's update."""


# ---- environments -------------------------------------------------------------------------------


def python_of(folder: Path, name: str) -> Path:
    """Return the Python of a toolkit's environment."""
    return folder.resolve() / name / "bin" / "python"


def install(folder: Path) -> int:
    """Make an environment for each toolkit that has none; return how many could not be made."""
    failed = 0
    surroundings = {**os.environ, "PIP_CONSTRAINT": str(ROOT / "constraints.txt")}
    for name, peer in PEERS.items():
        python = python_of(folder, name)
        if works(python, name):
            print(f"{name}: is there", flush=True)
            continue
        pip = [str(python), "-m", "pip", "install", "--quiet"]
        orders = [[sys.executable, "-m", "venv", str(folder / name)], [*pip, *peer.requirements]]
        if peer.bare:
            orders.append([*pip, "--no-deps", *peer.bare])
        for order in orders:
            done = subprocess.run(order, env=surroundings, capture_output=True, text=True)
            if done.returncode:
                print(f"{name}: could not be installed: {last_line(done.stderr)}", flush=True)
                failed += 1
                break
        else:
            print(f"{name}: installed", flush=True)
    return failed


def works(python: Path, name: str) -> bool:
    """Return whether an environment holds its toolkit."""
    asked = f"import importlib.metadata as m; m.version({name!r})"
    return (
        python.exists()
        and not subprocess.run([python, "-c", asked], capture_output=True).returncode
    )


def last_line(text: str) -> str:
    """Return the last line that says something."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else "nothing was said"


# ---- loops --------------------------------------------------------------------------------------


class ProcessFailed(Exception):
    """A process did not train; the message says why."""


@final
class There:
    """A loop in a process of its own: it introduces itself, then takes turns.

    Arguments:
        command: what to run.
        said: a file for what it prints as errors.
    """

    def __init__(self, command: Sequence[str | Path], said: IO[str]) -> None:
        self.said = said
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=said,
            text=True,
            cwd=ROOT,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )

    def answer(self) -> dict[str, Any]:
        """Return what the process says next.

        Raises:
            ProcessFailed: if it ended instead.
        """
        line = self.process.stdout.readline() if self.process.stdout else ""
        if not line:
            self.said.seek(0)
            raise ProcessFailed(last_line(self.said.read()))
        told: dict[str, Any] = json.loads(line)
        return told

    def __call__(self, iterations: int) -> float:
        """Return the CPU seconds of so many iterations."""
        if self.process.stdin:
            self.process.stdin.write(f"{iterations}\n")
            self.process.stdin.flush()
        return float(self.answer()["seconds"])

    def close(self) -> None:
        """End the process."""
        self.process.kill()
        self.process.communicate()


def begin(command: Sequence[str | Path], stack: ExitStack) -> There:
    """Start a process that ends with the stack."""
    said = stack.enter_context(tempfile.TemporaryFile("w+"))  # noqa: SIM115 the stack closes it
    process = There(command, said)
    stack.callback(process.close)
    return process


@final
class Here:
    """Our loop, in this process.

    Arguments:
        problem: networks and data.
        n_critic: updates of the critic in an iteration.
        as_written: the networks' layers as the peers write them.
        compile: as `wgankit.train` takes it.
    """

    def __init__(
        self, problem: Problem, n_critic: int, *, as_written: bool, compile: bool | str
    ) -> None:
        torch.manual_seed(0)
        self.generator, self.critic = problem.networks(as_written)
        self.steps = wgankit.train(
            self.generator,
            self.critic,
            problem.data(problem.settings.points),
            space=problem.space,
            latent=Normal(problem.settings.latent),
            penalty=Penalty(weight=WEIGHT),
            batch=problem.settings.batch,
            n_critic=n_critic,
            generator_rate=RATE,
            critic_rate=RATE,
            betas=BETAS,
            device="cpu",
            compile=compile,
        )

    def __call__(self, iterations: int) -> float:
        """Return the CPU seconds of so many iterations."""
        begun = time.process_time()
        for _ in range(iterations):
            next(self.steps)
        return time.process_time() - begun


Loop = Callable[[int], float]
Key = tuple[str, int]
"""A loop's name and its n_critic."""


def ours(problem: Problem, compile: bool) -> dict[Key, Here]:
    """Return our loops of a problem, by name and n_critic."""
    kinds: dict[str, tuple[bool, bool | str]] = {"wgankit": (False, False)}
    if problem.rewritten:
        kinds["as written there"] = (True, False)
    kinds["traced"] = (False, "trace")
    if compile:
        kinds["compiled"] = (False, True)
    return {
        (name, n): Here(problem, n, as_written=as_written, compile=compiled)
        for name, (as_written, compiled) in kinds.items()
        for n in (N_CRITIC, 1)
    }


@dataclass(frozen=True)
class Others:
    """The other toolkits' loops of a problem, their versions, and why some are left out."""

    loops: dict[Key, There]
    versions: dict[str, str]
    left_out: dict[str, str]


def theirs(problem: Problem, folder: Path, stack: ExitStack) -> Others:
    """Start the other toolkits' loops, and make sure that they train the same networks."""
    started: dict[Key, There] = {}
    versions: dict[str, str] = {}
    left_out: dict[str, str] = {}
    for name in problem.peers:
        if not python_of(folder, name).exists():
            left_out[name] = "not installed"
            continue
        for n in (N_CRITIC, 1):
            settings = json.dumps({**asdict(problem.settings), "n_critic": n})
            script = Path(peer_loops.__file__)
            command: list[str | Path] = [python_of(folder, name), script, name, settings]
            started[name, n] = begin(command, stack)
    wanted = peer_loops.shapes(*problem.networks(False))
    for (name, _), loop in started.items():
        try:
            told = loop.answer()
        except ProcessFailed as error:
            left_out[name] = str(error)
            continue
        if told["shapes"] != wanted:
            raise ArithmeticError(f"{name} trains other networks: {told['shapes']}, not {wanted}")
        versions[name] = f"{told['version']}, torch {told['torch']}"
    return Others(
        {key: loop for key, loop in started.items() if key[0] not in left_out}, versions, left_out
    )


# ---- timing -------------------------------------------------------------------------------------


def rounds(loops: Mapping[Key, Loop], seconds: float, turns: int) -> list[dict[Key, float]]:
    """Return CPU seconds of an iteration of each loop, in every turn."""
    counts = {}
    with warnings.catch_warnings():
        # A fallback would be timed under the wrong name.
        warnings.simplefilter("error", CompileWarning)
        for key, loop in loops.items():
            loop(3)
            counts[key] = max(1, round(seconds / (loop(2) / 2)))
    table = []
    for turn in range(turns):
        # The order changes, so that no loop always follows the same one.
        keys = list(loops)[turn % len(loops) :] + list(loops)[: turn % len(loops)]
        table.append({key: loops[key](counts[key]) / counts[key] for key in keys})
    return table


@dataclass(frozen=True)
class Spread:
    """A median over the turns and their 20-80 % spread."""

    median: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.median:.2f} [{self.low:.2f}-{self.high:.2f}]"


def spread(values: Sequence[float]) -> Spread:
    """Return the median and the 20 % and 80 % quantiles."""
    return Spread(statistics.median(values), *(float(np.quantile(values, q)) for q in (0.2, 0.8)))


def iteration(row: Mapping[Key, float], name: str) -> float:
    """Return the seconds of five updates of the critic and one of the generator."""
    return row[name, N_CRITIC]


def update(row: Mapping[Key, float], name: str) -> float:
    """Return the seconds that one more update of the critic costs."""
    return (row[name, N_CRITIC] - row[name, 1]) / (N_CRITIC - 1)


WHAT = {"iteration": iteration, "critic's update": update}


@dataclass(frozen=True)
class Comparison:
    """What was seen at one problem.

    Arguments:
        problem: its name.
        milliseconds: CPU time of each loop, of an iteration and of a critic's update (medians).
        times: how many times as long each peer takes as each of ours: peer -> ours -> what.
        versions: of the other toolkits.
        left_out: who did not run, and why.
    """

    problem: str
    milliseconds: dict[str, dict[str, float]]
    times: dict[str, dict[str, dict[str, Spread]]]
    versions: dict[str, str]
    left_out: dict[str, str]


def compare(
    problem: Problem, folder: Path, *, compile: bool, turns: int, seconds: float
) -> Comparison:
    """Run all loops of a problem in turns."""
    with ExitStack() as stack:
        others = theirs(problem, folder, stack)
        mine = ours(problem, compile)
        table = rounds({**others.loops, **mine}, seconds, turns)
    peers = list(dict.fromkeys(name for name, _ in others.loops))
    owns = list(dict.fromkeys(name for name, _ in mine))
    return Comparison(
        problem.name,
        {
            name: {
                what: 1e3 * statistics.median(of(row, name) for row in table)
                for what, of in WHAT.items()
            }
            for name in (*peers, *owns)
        },
        {
            peer: {
                own: {
                    what: spread([of(row, peer) / of(row, own) for row in table])
                    for what, of in WHAT.items()
                }
                for own in owns
            }
            for peer in peers
        },
        others.versions,
        others.left_out,
    )


def judge(seen: Comparison) -> Iterator[Missed]:
    """Yield the targets that a comparison missed."""
    for (problem, peer, own), target in TARGETS.items():
        if problem != seen.problem:
            continue
        for what, reached in seen.times.get(peer, {}).get(own, {}).items():
            if reached.median < target:
                name = f"{problem}: {what} of {peer} over {own}"
                yield Missed(name, str(reached), f">= {target}")


def show(seen: Comparison) -> None:
    """Print a comparison."""
    print(f"\n{seen.problem}: CPU milliseconds of one thread (medians)")
    lines = {
        name if name in (*PEERS, "wgankit") else f"wgankit, {name}": [
            f"{figures[what]:.2f}" for what in WHAT
        ]
        for name, figures in seen.milliseconds.items()
    }
    tell(list(WHAT), lines)
    owns = [name for name in seen.milliseconds if name not in PEERS]
    for what in WHAT if seen.times else ():
        print(f"{what}: as many times as long as ours (median, 20-80 % of the turns)")
        tell(owns, {peer: [str(of[own][what]) for own in owns] for peer, of in seen.times.items()})
    if seen.left_out:
        print("left out:", ", ".join(f"{name} ({why})" for name, why in seen.left_out.items()))
    sys.stdout.flush()


def tell(columns: Sequence[str], lines: Mapping[str, Sequence[str]]) -> None:
    """Print a table of named lines."""
    table = Table()
    for column in ("", *columns):
        table.add_column(column, justify="right" if column else "left")
    for name, line in lines.items():
        table.add_row(name, *line)
    Console(width=120).print(table)


def main(given: Sequence[str] | None = None) -> int:
    """Run the benchmark; return its exit code."""
    arguments = parser("peers", "Time of a training step against other toolkits.")
    arguments.add_argument(
        "--environments", type=Path, default=FOLDER, metavar="DIR", help="where the toolkits are"
    )
    arguments.add_argument(
        "--install", type=Path, metavar="DIR", help="make the environments there, and end"
    )
    arguments.add_argument("--no-compile", action="store_true", help="leave the compiled loop out")
    arguments.add_argument("--only", metavar="WORD", help="problems whose name holds this word")
    options = arguments.parse_args(given)
    if options.install:
        return min(1, install(options.install))
    torch.set_num_threads(1)
    tell_header()
    turns, seconds = (5, 0.15) if options.quick else (15, 0.5)
    comparisons: list[Comparison] = []
    missed: list[Missed] = []
    for problem in PROBLEMS[::2] if options.quick else PROBLEMS:
        if options.only and options.only not in problem.name:
            continue
        compile = not (options.quick or options.no_compile)
        comparisons.append(
            compare(problem, options.environments, compile=compile, turns=turns, seconds=seconds)
        )
        show(comparisons[-1])
        missed += judge(comparisons[-1])
    versions = {name: of for seen in comparisons for name, of in seen.versions.items()}
    for name, version in versions.items():
        print(f"{name} {version}: {PEERS[name].otherwise}")
    return finish(options, {"comparisons": [asdict(seen) for seen in comparisons]}, missed)


if __name__ == "__main__":
    sys.exit(main())
