"""All shortest paths of many graphs at once, against networkx and scipy one by one."""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

import networkx as nx
import numpy as np
import torch
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import shortest_path
from torch import Tensor

from benchmarks.command import Missed, finish, parser, tell_header
from wgankit_graphs import all_distances
from wgankit_graphs.paths import batched_distances

CASES = {(9, 1024): 50.0, (38, 1024): 20.0, (64, 256): None, (200, 32): None, (400, 8): None}
"""(nodes, graphs) -> how many times as fast as networkx the batch has to be."""


def sparse_graphs(nodes: int, count: int, seed: int = 0) -> list[nx.Graph]:
    """Return connected graphs with few cycles, as molecules are: a tree and a tenth more edges."""
    draw = np.random.default_rng(seed)
    graphs = []
    for _ in range(count):
        graph = nx.random_labeled_tree(nodes, seed=int(draw.integers(2**31)))
        for _ in range(max(1, nodes // 10)):
            graph.add_edge(*draw.choice(nodes, 2, replace=False).tolist())
        graphs.append(graph)
    return graphs


def tables(graphs: list[nx.Graph]) -> Tensor:
    """Return the lengths of edges `(B, N, N)`, 1 each."""
    made = torch.full((len(graphs), len(graphs[0]), len(graphs[0])), torch.inf)
    for place, graph in enumerate(graphs):
        ends = torch.tensor(list(graph.edges()))
        made[place, ends[:, 0], ends[:, 1]] = made[place, ends[:, 1], ends[:, 0]] = 1.0
    return made


def with_networkx(graphs: list[nx.Graph]) -> list[dict[int, dict[int, int]]]:
    """Return all distances by breadth-first search in Python, as networkx gives them."""
    return [dict(nx.all_pairs_shortest_path_length(graph)) for graph in graphs]


def as_table(found: Tensor | list[dict[int, dict[int, int]]]) -> Tensor:
    """Return distances as one table `(B, N, N)`, whoever found them."""
    if isinstance(found, Tensor):
        return found.double()
    size = range(len(found[0]))
    return torch.tensor(
        [[[reached[u][v] for v in size] for u in size] for reached in found], dtype=torch.float64
    )


def with_scipy(graphs: list[csr_matrix], method: str) -> Tensor:
    """Return all distances by scipy, graph by graph."""
    return torch.from_numpy(np.stack([shortest_path(graph, method=method) for graph in graphs]))


def times(ways: dict[str, Callable[[], Any]], rounds: int) -> dict[str, list[float]]:
    """Return processor seconds of each way, all ways in turn; equal answers are made sure of."""
    wanted = as_table(next(iter(ways.values()))())
    taken: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, way in ways.items():
            start = time.process_time()
            found = way()
            taken[name].append(time.process_time() - start)
            if not torch.equal(as_table(found), wanted):
                raise ArithmeticError(f"{name} gives other distances")
    return taken


def compare(nodes: int, count: int, rounds: int) -> dict[str, float]:
    """Return microseconds per graph of each way (medians), and ratios to `all_distances`."""
    graphs = sparse_graphs(nodes, count)
    lengths = tables(graphs)
    sparse = [csr_matrix(nx.to_scipy_sparse_array(graph, range(nodes))) for graph in graphs]
    taken = times(
        {
            "networkx": lambda: with_networkx(graphs),
            "scipy dijkstra": lambda: with_scipy(sparse, "D"),
            "scipy floyd-warshall": lambda: with_scipy(sparse, "FW"),
            "batched": lambda: batched_distances(_with_zeros(lengths)),
            "all_distances": lambda: all_distances(lengths),
        },
        rounds,
    )
    found = {name: 1e6 * statistics.median(each) / count for name, each in taken.items()}
    for name in list(found):
        pairs = zip(taken[name], taken["all_distances"], strict=True)
        found[f"{name} / all_distances"] = statistics.median(a / b for a, b in pairs)
    return found


def _with_zeros(lengths: Tensor) -> Tensor:
    found = lengths.clone()
    found.diagonal(dim1=1, dim2=2).zero_()
    return found


def main() -> int:
    """Run the command."""
    options = parser("paths", __doc__ or "").parse_args()
    torch.set_num_threads(1)
    tell_header()
    figures, missed = {}, []
    for (nodes, count), target in CASES.items():
        # What has a target is small enough, and means nothing with fewer graphs.
        count = count // 8 if options.quick and not target else count
        found = compare(nodes, count, 3 if options.quick else 7)
        figures[f"{count} graphs of {nodes} nodes"] = found
        print(f"{count} graphs of {nodes} nodes, microseconds per graph (times all_distances):")
        for name in ("networkx", "scipy dijkstra", "scipy floyd-warshall", "batched"):
            print(f"  {name:22s}{found[name]:10.1f}  ({found[f'{name} / all_distances']:.1f})")
        print(f"  {'all_distances':22s}{found['all_distances']:10.1f}", flush=True)
        reached = found["networkx / all_distances"]
        if target and reached < target:
            name = f"{nodes} nodes against networkx"
            missed.append(Missed(name, f"{reached:.1f}", f">= {target}"))
    return finish(options, {"paths": figures}, missed)


if __name__ == "__main__":
    sys.exit(main())
