"""Objects a second: our generators, what their network and their decoding cost, and diffusion.

    python -m benchmarks.sampling
    python -m benchmarks.sampling --peer-python DIR/bin/python

Recipes at their default sizes, trained a few steps only, since speed is all that counts here.  The
network's and the decoder's costs are CPU microseconds an object, of one thread.  The table of
workers shows the same costs of the process that asks, which is what a worker relieves, and objects
a second on the clock, which other work on the machine slows.  All rows of a table take turns.

DiGress and DeFoG are those of torch-molecule 0.2.0 at its default sizes, fitted for one epoch to
128 of the same molecules, in an environment of their own:

    python -m venv DIR
    PIP_CONSTRAINT=constraints.txt DIR/bin/pip install torch torch-molecule==0.2.0

They take turns with our molecules, and with the model `molecules:moses` that ships, whose molecules
are three times as large as those that the peers make here; a ratio is the median over the turns of
the ratios of CPU seconds a molecule, network and decoding together, one thread each.

So do graphs of 64 nodes of the recipe `graphs`, with each of its generators at its default size.
The peers' networks take molecules only; for that size they are fitted to four molecules of 64 heavy
atoms.  A graph takes them minutes, so a few of their steps are timed and multiplied, and what their
steps make is not decoded, which favours them; beside our network real graphs are.
"""

from __future__ import annotations

import itertools
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, final

import torch
from rich.console import Console
from rich.table import Table

import wgankit
from benchmarks.command import Missed, finish, parser, tell_header
from wgankit.decoding import Decoder
from wgankit.sampling import generate
from wgankit.space import Points, batch_size, leaves, pick

DATA = {"molecules": "qm9-10k", "graphs": "community"}
PEERS = ("DiGress", "DeFoG")
SHIPPED = "molecules:moses"
ONE_PASS, TOKEN_BY_TOKEN = 1_000.0, 500.0
"""How many times as many objects as a peer makes are wanted, by how ours are made."""

BATCH = 500

NODES = 64
GENERATORS = {"attention": "planar", "blocks": "planar", "tree": "tree"}
"""Generators of the recipe `graphs`, and the process whose graphs of 64 nodes each is fitted to."""


@dataclass(frozen=True)
class Size:
    """How much is measured.

    Arguments:
        turns: of every table.
        objects: in a turn.
        batches: sizes of batches.
        compiled: also compile.
        workers: numbers of workers.
        streamed: objects of a stream in a turn.
        peer_batch: molecules that a peer makes at once; its cost falls with it.
        peer_turns: how often.
        graphs: of 64 nodes, in a turn.
        peer_steps: of a peer that are timed for graphs of 64 nodes.
    """

    turns: int = 7
    objects: int = 3_000
    batches: tuple[int, ...] = (100, 500, 2_000)
    compiled: bool = True
    workers: tuple[int, ...] = (0, 1, 2)
    streamed: int = 10_000
    peer_batch: int = 32
    peer_turns: int = 3
    graphs: int = 1_000
    peer_steps: int = 5


QUICK = Size(
    turns=3, objects=1_000, batches=(100, 500), compiled=False, workers=(0, 1), streamed=2_000,
    peer_batch=2, peer_turns=1, graphs=200, peer_steps=1,
)  # fmt: skip


def fitted(name: str, folder: Path) -> wgankit.Recipe:
    """Return a recipe that has done a few steps."""
    recipe = wgankit.recipe(name)
    return recipe.fit(
        DATA[name], out=folder / name, steps=2, evaluate_on=16, device="cpu", progress=False
    )


# ---- network and decoding ----------------------------------------------------------------------


def network(recipe: wgankit.Recipe, batch: int, compile: bool) -> Iterator[Points]:
    """Yield batches of points without end."""
    model = recipe.model
    assert model is not None
    one = recipe.prepared(pick(recipe.points(), slice(0, 1)))
    numbers = sum(part.numel() for part in leaves(one))
    return generate(
        model.generator.eval(), model.latent, count=None, batch=batch, seed=0, numbers=numbers,
        compile=compile,
    )  # fmt: skip


def cpu_each(work: Callable[[], int], objects: int) -> float:
    """Return CPU microseconds an object; `work` makes some and returns how many."""
    begun, made = time.process_time(), 0
    while made < objects:
        made += work()
    return (time.process_time() - begun) / made * 1e6


def in_turns(works: dict[str, Callable[[], int]], size: Size) -> dict[str, float]:
    """Return CPU microseconds an object of each work: the median over turns."""
    for work in works.values():
        work()
    seen: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(size.turns):
        for name, work in works.items():
            seen[name].append(cpu_each(work, size.objects))
    return {name: statistics.median(values) for name, values in seen.items()}


def costs(recipe: wgankit.Recipe, size: Size) -> dict[str, float]:
    """Return CPU microseconds an object, of the network in every way and of decoding."""
    decoder = Decoder(recipe.domain, recipe.config["vocabulary"])
    samples = recipe.sample_points(BATCH, seed=0, device="cpu")
    real = pick(recipe.points(), slice(0, BATCH))

    def passes(batch: int, compile: bool) -> Callable[[], int]:
        batches = network(recipe, batch, compile)
        return lambda: batch_size(next(batches))

    works = {
        f"{'compiled' if compile else 'eager'}, batch {batch:,}": passes(batch, compile)
        for compile in ([False, True] if size.compiled else [False])
        for batch in size.batches
    }
    works["decoding samples"] = lambda: len(decoder(samples))
    works["decoding data"] = lambda: len(decoder(real))
    return in_turns(works, size)


# ---- workers -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Streamed:
    """What a stream was seen to do: medians over turns.

    Arguments:
        start: seconds to the first object.
        rate: objects a second once it flows.
        cpu: microseconds of this process an object once it flows.
    """

    start: float
    rate: float
    cpu: float


def stream_once(recipe: wgankit.Recipe, workers: int, objects: int) -> Streamed:
    """Draw from an endless stream, and look at the clocks once it flows."""
    begun = time.perf_counter()
    with closing(recipe.stream(seed=0, device="cpu", workers=workers)) as stream:
        next(stream)
        start = time.perf_counter() - begun
        draw(stream, (workers + 2) * BATCH - 1)
        begun, cpu = time.perf_counter(), time.process_time()
        draw(stream, objects)
        seconds, cpu = time.perf_counter() - begun, time.process_time() - cpu
    return Streamed(start, objects / seconds, cpu / objects * 1e6)


def draw(stream: Iterator[Any], count: int) -> None:
    """Take objects from a stream, and keep none."""
    for _ in itertools.islice(stream, count):
        pass


def streams(recipe: wgankit.Recipe, size: Size) -> dict[int, Streamed]:
    """Return what streams do with each number of workers, in turns."""
    turns: dict[int, list[Streamed]] = {workers: [] for workers in size.workers}
    for _ in range(min(size.turns, 3)):
        for workers, seen in turns.items():
            seen.append(stream_once(recipe, workers, size.streamed))
    return {workers: median(seen) for workers, seen in turns.items()}


def median(seen: Sequence[Streamed]) -> Streamed:
    rows = [tuple(asdict(one).values()) for one in seen]
    return Streamed(*(statistics.median(column) for column in zip(*rows, strict=True)))


# ---- peers -------------------------------------------------------------------------------------

PEER = """
import json, os, sys, time, warnings
answers = os.fdopen(os.dup(1), "w", buffering=1)
os.dup2(2, 1)
warnings.simplefilter("ignore")
import torch
from importlib.metadata import version
torch.set_num_threads(1)
from torch_molecule import DeFoGMolecularGenerator, DigressMolecularGenerator
from torch_molecule.generator.defog import modeling_defog
from torch_molecule.generator.digress import modeling_digress
kinds = {"DiGress": DigressMolecularGenerator, "DeFoG": DeFoGMolecularGenerator}
counts = {"DiGress": "timesteps", "DeFoG": "sample_steps"}
smiles = json.loads(sys.stdin.readline())
models = {}
for line in sys.stdin:
    name, batch, few = json.loads(line)
    if name not in models:
        models[name] = kinds[name](epochs=1, device="cpu")
        models[name].fit(smiles)
    model = models[name]
    steps = getattr(model, counts[name])
    def spent(number):
        setattr(model, counts[name], number)
        begun = time.process_time()
        model.generate(batch_size=batch)
        setattr(model, counts[name], steps)
        return time.process_time() - begun
    if few is None:
        seconds = spent(steps)
    else:
        # rdkit takes gigabytes for what a few steps make of 64 atoms, or crashes.
        for module in (modeling_defog, modeling_digress):
            module.graph_to_smiles = lambda made, *rest: made
        spent(1)
        once = spent(few)
        seconds = steps * (spent(3 * few) - once) / (2 * few)
    told = {"seconds": seconds / batch, "torch_molecule": version("torch-molecule")}
    print(json.dumps(told), file=answers)
"""


@final
class Peer:
    """torch-molecule in a process of its own.

    Arguments:
        python: of its environment.
        smiles: molecules to fit to.
        log: a file for what it says.
    """

    def __init__(self, python: Path, smiles: Sequence[str], log: Path) -> None:
        self.log = log
        with log.open("w") as said:
            self.process = subprocess.Popen(
                [str(python), "-c", PEER],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=said,
                text=True,
                env={**os.environ, "OMP_NUM_THREADS": "1"},
            )
        self._tell(list(smiles))

    def _tell(self, value: Any) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(value) + "\n")
        self.process.stdin.flush()

    def seconds(self, name: str, batch: int, few: int | None = None) -> float:
        """Return CPU seconds a molecule; with `few`, by so many of its steps and thrice that."""
        assert self.process.stdout is not None
        self._tell([name, batch, few])
        answer = self.process.stdout.readline()
        if not answer:
            last = self.log.read_text().strip().split("\n")[-1]
            raise RuntimeError(f"{name} ended: {last}")
        return float(json.loads(answer)["seconds"])

    def end(self) -> None:
        self.process.kill()
        self.process.communicate()


@contextmanager
def peer(python: Path, smiles: Sequence[str], folder: Path) -> Iterator[Peer]:
    """Start torch-molecule, and end it with the block."""
    started = Peer(python, smiles, folder / "peer.log")
    try:
        yield started
    finally:
        started.end()


@dataclass
class Against:
    """CPU seconds an object of a peer and of ours, turn by turn.

    Arguments:
        batch: objects that the peer makes at once.
        theirs: its seconds.
        ours: ours, by recipe.
    """

    batch: int
    theirs: list[float] = field(default_factory=list)
    ours: dict[str, list[float]] = field(default_factory=dict)

    @property
    def ratios(self) -> dict[str, float]:
        """How often as many objects we make, by recipe."""
        return {
            name: statistics.median(a / b for a, b in zip(self.theirs, seconds, strict=True))
            for name, seconds in self.ours.items()
        }


def against(
    python: Path,
    smiles: Sequence[str],
    mine: dict[str, wgankit.Recipe],
    size: Size,
    folder: Path,
    *,
    few: int | None = None,
) -> dict[str, Against]:
    """Let each peer, fitted to molecules, and ours take turns; `few` as in `Peer.seconds`."""
    rows = {name: Against(size.peer_batch, ours={one: [] for one in mine}) for name in PEERS}
    cost, objects = (ours, size.objects) if few is None else (with_real_decoding, size.graphs)
    with peer(python, smiles, folder) as other:
        for name, row in rows.items():
            for turn in range(size.peer_turns):
                row.theirs.append(other.seconds(name, size.peer_batch, few))
                for one, seconds in row.ours.items():
                    seconds.append(cost(mine[one], objects, turn))
    return rows


def large_molecules(count: int) -> list[str]:
    """Return molecules of 64 heavy atoms: chains, each with a ring somewhere and one other atom."""
    drawn = random.Random(0)
    found = []
    for _ in range(count):
        atoms = ["C"] * NODES
        first = drawn.randrange(1, NODES - 9)
        for place in (first, first + drawn.randrange(2, 8)):
            atoms[place] += "1"
        atoms[0] = drawn.choice("NO")
        found.append("".join(atoms))
    return found


def large_graphs(folder: Path) -> dict[str, wgankit.Recipe]:
    """Return the recipe `graphs` with each of its generators, fitted to graphs of 64 nodes."""
    from wgankit_graphs import datasets

    made = {"planar": datasets.planar, "tree": datasets.tree}
    return {
        f"{generator}, {NODES} nodes": wgankit.recipe("graphs").fit(
            made[process](100, 0), out=folder / f"large-{generator}", steps=2, evaluate_on=16,
            device="cpu", progress=False, model={"generator": generator},
        )
        for generator, process in GENERATORS.items()
    }  # fmt: skip


def ours(recipe: wgankit.Recipe, count: int, seed: int) -> float:
    """Return CPU seconds an object of ours, decoding included."""
    begun = time.process_time()
    recipe.sample(count, seed=seed, device="cpu", workers=0)
    return (time.process_time() - begun) / count


def with_real_decoding(recipe: wgankit.Recipe, count: int, seed: int) -> float:
    """Return CPU seconds a graph of our network, and of decoding a real one.

    What networks make after two steps has hardly any edges, and would be decoded too soon.
    """
    decoder = Decoder(recipe.domain, recipe.config["vocabulary"])
    real = pick(recipe.points(), slice(0, count))
    begun = time.process_time()
    recipe.sample_points(count, seed=seed, device="cpu")
    made = time.process_time()
    decoder(real)
    return (made - begun) / count + (time.process_time() - made) / batch_size(real)


# ---- tables ------------------------------------------------------------------------------------


def show_costs(name: str, seen: dict[str, float]) -> None:
    table = Table(title=f"{name}: CPU of one thread")
    table.add_column("what")
    table.add_column("us an object", justify="right")
    table.add_column("objects a second", justify="right")
    for what, each in seen.items():
        table.add_row(what, f"{each:.1f}", f"{1e6 / each:,.0f}")
    Console(width=100).print(table)


def show_streams(name: str, seen: dict[int, Streamed]) -> None:
    table = Table(title=f"{name}: streams")
    for column in ("workers", "to the first, s", "objects a second", "us an object, this process"):
        table.add_column(column, justify="right")
    for workers, one in seen.items():
        table.add_row(str(workers), f"{one.start:.2f}", f"{one.rate:,.0f}", f"{one.cpu:.1f}")
    Console(width=100).print(table)


def show_peers(rows: dict[str, Against], title: str) -> None:
    table = Table(title=f"{title}: CPU of one thread")
    columns = ("peer", "batch", "s an object", "ours", "s an object", "times as many")
    for column in columns:
        table.add_column(column, justify="left" if column in ("peer", "ours") else "right")
    for name, row in rows.items():
        for one, ratio in row.ratios.items():
            table.add_row(
                name,
                str(row.batch),
                f"{statistics.median(row.theirs):.2f}",
                one,
                f"{statistics.median(row.ours[one]):.6f}",
                f"{ratio:,.0f}",
            )
    Console(width=100).print(table)


def measured(size: Size, peer_python: Path | None, folder: Path) -> dict[str, Any]:
    """Measure and show everything."""
    figures: dict[str, Any] = {}
    for name in DATA:
        recipe = fitted(name, folder)
        figures[name] = {"us": costs(recipe, size)}
        show_costs(name, figures[name]["us"])
        seen = streams(recipe, size)
        figures[name]["streams"] = {workers: asdict(one) for workers, one in seen.items()}
        show_streams(name, seen)
        if name == "molecules" and peer_python is not None:
            mine = {name: recipe, SHIPPED: wgankit.load(SHIPPED)}
            rows = against(peer_python, recipe.training_objects[:128], mine, size, folder)
            figures["peers"] = told(rows)
            show_peers(rows, "molecules, peers at QM9's size")
    if peer_python is not None:
        large = large_graphs(folder)
        rows = against(peer_python, large_molecules(4), large, size, folder, few=size.peer_steps)
        figures["peers at 64 nodes"] = told(rows)
        show_peers(rows, f"graphs of {NODES} nodes, peers by a few of their steps")
    return figures


def told(rows: dict[str, Against]) -> dict[str, Any]:
    """Return rows as plain data."""
    return {name: {**asdict(row), "ratios": row.ratios} for name, row in rows.items()}


def judge(figures: dict[str, Any]) -> Iterator[Missed]:
    """Yield the targets that were missed."""
    for peers in ("peers", "peers at 64 nodes"):
        for name, row in figures.get(peers, {}).items():
            for one, ratio in row["ratios"].items():
                target = TOKEN_BY_TOKEN if one == SHIPPED else ONE_PASS
                if not ratio >= target:
                    said = f"objects a second of {one} over {name}"
                    yield Missed(said, f"{ratio:,.0f} times", f">= {target:,.0f}")


def main(given: Sequence[str] | None = None) -> int:
    """Run the benchmark; return its exit code."""
    arguments = parser("sampling", "Objects a second of our generators, and of diffusion models.")
    arguments.add_argument(
        "--peer-python", type=Path, metavar="PATH", help="Python with torch-molecule (see above)"
    )
    options = arguments.parse_args(given)
    if options.peer_python is not None and not options.peer_python.is_file():
        arguments.error(f"there is no Python at {options.peer_python}")
    torch.set_num_threads(1)
    tell_header()
    if options.peer_python is None:
        print("DiGress and DeFoG are left out: --peer-python PATH (how to make it: --help)")
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        size = QUICK if options.quick else Size()
        figures = measured(size, options.peer_python, Path(folder))
    return finish(options, figures, list(judge(figures)))


if __name__ == "__main__":
    sys.exit(main())
