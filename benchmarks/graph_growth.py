"""How time and memory of training on one's own graphs grow with their number of nodes.

Run `python -m benchmarks.graph_growth`.  Every size is a process of its own, one after the other,
with one thread: the default networks of the recipe for graphs on random geometric graphs with about
6 edges a node, without labels, without and with real numbers (two of a node, one of an edge).  Two
updates of the critic make a step, as in the recipe.

Time is CPU time of a step, the median of three after the first; from 500 nodes on, of the first.
Memory is how far the process's peak resident set (getrusage) lies above what it was after a step on
graphs of 4 nodes.  Beside it stands what `wgankit_graphs.memory` says before anything is allocated.
A size for which that is more than what is free is left out, as `fit` refuses it.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

import wgankit
from benchmarks.command import Missed, finish, parser, tell_header
from benchmarks.peers import tell
from wgankit_graphs import LabelledGraphsDomain
from wgankit_graphs.memory import (
    HELD,
    as_text,
    available_bytes,
    numbers_of,
    sizes_of,
    step_bytes,
    stored_bytes,
)
from wgankit_graphs.recipe import MODEL

BATCH, N_CRITIC = 8, 2
SIZES, QUICK = (20, 50, 100, 200, 500, 1000), (20, 50, 100, 200)
KINDS = {"without numbers": (0, 0), "with numbers": (2, 1)}

EXPONENT = 2.3
"""Largest allowed exponent of memory, fitted from 100 nodes on, where it outgrows what is fixed."""

FACTOR, JUDGED_FROM = 2.0, 200
"""How far the estimate may be from what is seen, and the nodes from which it is judged.

Below, what libraries keep once they have been used for larger products, some 100 MiB, outweighs the
graphs: at 100 nodes the estimate was 0.57 and 0.48 of what was seen.
"""


@dataclass(frozen=True)
class Size:
    """What was seen at a number of nodes; None where memory forbids it.

    Arguments:
        nodes: of every graph.
        estimate: MiB that were foretold.
        peak: MiB that the process grew by.
        seconds: CPU time of a step.
    """

    nodes: int
    estimate: float
    peak: float | None = None
    seconds: float | None = None


# ---- the process of one size --------------------------------------------------------------------


def vocabulary_of(size: int, numbers: tuple[int, int]) -> dict[str, Any]:
    """Return the vocabulary of graphs without labels, all of so many nodes."""
    law = {"name": "number", "mean": 0.0, "deviation": 1.0}
    more = zip(("node_numbers", "edge_numbers"), numbers, strict=True)
    plain = {"nodes": [None], "edges": [None], "size": size, "sizes": [0] * size + [1]}
    return plain | {name: [law] * count for name, count in more if count}


def graphs_of(count: int, size: int, numbers: tuple[int, int]) -> tuple[Tensor, ...]:
    """Return random geometric graphs as they are stored, positions as numbers of nodes."""
    source = np.random.default_rng(0)
    places = source.random((count, size, 2))
    far = np.linalg.norm(places[:, :, None] - places[:, None], axis=-1)
    edges = (far < (6 / (np.pi * size)) ** 0.5) & ~np.eye(size, dtype=bool)
    parts = [torch.ones(count, size, dtype=torch.uint8), torch.from_numpy(edges).byte()]
    if numbers[0]:
        parts.append(torch.from_numpy(places).float())
    if numbers[1]:
        parts.append(torch.from_numpy(far * edges).float().unsqueeze(-1))
    return tuple(parts)


def training_of(size: int, numbers: tuple[int, int]) -> wgankit.Training:
    """Return a training of the recipe's networks."""
    model = LabelledGraphsDomain().build(vocabulary_of(size, numbers), {"model": {}})
    return wgankit.train(
        model.generator,
        model.critic,
        graphs_of(N_CRITIC * BATCH, size, numbers),
        space=model.space,
        latent=model.latent,
        prepare=model.prepare,
        noise=model.noise,
        batch=BATCH,
        n_critic=N_CRITIC,
        device="cpu",
        compile=False,
    )


def peak() -> float:
    """Return the MiB of this process's largest resident set."""
    kibibytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return float(kibibytes) / (1024 if sys.platform != "darwin" else 1024**2)


def measure(kind: str, size: int) -> dict[str, float]:
    """Train some steps on graphs of a size; return what it took."""
    torch.set_num_threads(1)
    next(training_of(4, KINDS[kind]))
    before, taken = peak(), []
    training = training_of(size, KINDS[kind])
    for _ in range(4 if size < 500 else 1):
        clock = time.process_time()
        next(training)
        taken.append(time.process_time() - clock)
    return {"peak": peak() - before, "seconds": statistics.median(taken[1:] or taken)}


# ---- figures ------------------------------------------------------------------------------------


def estimated(size: int, numbers: tuple[int, int]) -> float:
    """Return the bytes that `fit` foretells of a training, without its judgement."""
    vocabulary = vocabulary_of(size, numbers)
    settings = {"batch": BATCH, "n_critic": N_CRITIC, "held_out": 0.0, "model": MODEL}
    graphs = N_CRITIC * BATCH
    stored = stored_bytes(graphs, size, *numbers_of(vocabulary))
    return stored + HELD * step_bytes(sizes_of(graphs, vocabulary, settings))


def look(kind: str, size: int) -> Size:
    """Return what a size takes, seen in a process of its own if it fits."""
    needed, free = estimated(size, KINDS[kind]), available_bytes()
    foretold = Size(size, needed / 2**20)
    if free is not None and needed > free:
        print(f"{kind}, {size} nodes: {as_text(needed)} foretold, {as_text(free)} free: left out")
        return foretold
    command = [sys.executable, "-m", "benchmarks.graph_growth", "--point", kind, str(size)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    answer = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    return Size(size, foretold.estimate, **json.loads(answer.stdout.splitlines()[-1]))


def exponent(sizes: Sequence[Size], what: str) -> float | None:
    """Return the slope of log(figure) over log(nodes) from 100 nodes on, None without two sizes."""
    seen = [one for one in sizes if one.nodes >= 100 and one.peak]
    if len(seen) < 2:
        return None
    figures = [getattr(one, what) for one in seen]
    return float(np.polyfit(np.log([one.nodes for one in seen]), np.log(figures), 1)[0])


def judge(kind: str, sizes: Sequence[Size]) -> Iterator[Missed]:
    """Yield the targets that were missed."""
    grows = exponent(sizes, "peak")
    if grows is not None and grows > EXPONENT:
        yield Missed(f"exponent of memory {kind}", f"{grows:.2f}", f"<= {EXPONENT}")
    for one in sizes:
        if one.nodes < JUDGED_FROM or not one.peak:
            continue
        ratio = one.estimate / one.peak
        if not 1 / FACTOR <= ratio <= FACTOR:
            name = f"estimate over peak, {kind}, {one.nodes} nodes"
            yield Missed(name, f"{ratio:.2f}", f"{1 / FACTOR} to {FACTOR}")


def show(kind: str, sizes: Sequence[Size]) -> None:
    """Print a table and both exponents."""
    print(f"\n{kind}, batches of {BATCH}")
    rows = {
        f"{one.nodes:,}": [
            f"{one.seconds:.2f}" if one.seconds else "-",
            f"{one.peak:,.0f}" if one.peak else "-",
            f"{one.estimate:,.0f}",
            f"{one.estimate / one.peak:.2f}" if one.peak else "-",
        ]
        for one in sizes
    }
    tell(["step, s", "peak, MiB", "foretold, MiB", "foretold/peak"], rows)
    for what, name in (("seconds", "time"), ("peak", "memory")):
        found = exponent(sizes, what)
        if found is not None:
            print(f"exponent of {name} from 100 nodes on: {found:.2f}", flush=True)


def main(given: Sequence[str] | None = None) -> int:
    """Run the benchmark; return its exit code."""
    arguments = parser("graph_growth", "Time and memory of a step against nodes of a graph.")
    arguments.add_argument("--point", nargs=2, help=argparse.SUPPRESS)
    options = arguments.parse_args(given)
    if options.point:
        print(json.dumps(measure(options.point[0], int(options.point[1]))))
        return 0
    torch.set_num_threads(1)
    tell_header()
    found: dict[str, list[dict[str, Any]]] = {}
    missed: list[Missed] = []
    for kind in KINDS:
        sizes = [look(kind, size) for size in (QUICK if options.quick else SIZES)]
        show(kind, sizes)
        found[kind] = [asdict(one) for one in sizes]
        missed += judge(kind, sizes)
    return finish(options, {"batch": BATCH, "kinds": found}, missed)


if __name__ == "__main__":
    sys.exit(main())
