"""Validity of stochastic block models as papers measure it: blocks inferred by graph-tool.

graph-tool is no pip package; Debian's works with Debian's Python, so it runs in a process of its
own: `apt-get install --no-install-recommends python3-graph-tool`.
"""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from wgankit.errors import MissingPackageError, RunError
from wgankit_graphs.datasets import (
    PLANTED_BETWEEN,
    PLANTED_BLOCKS,
    PLANTED_SIZES,
    PLANTED_WITHIN,
)

if TYPE_CHECKING:
    import networkx

    Graph: TypeAlias = networkx.Graph

SYSTEM_PYTHON = "/usr/bin/python3"
"""The Python that Debian's graph-tool belongs to; `WGANKIT_GRAPH_TOOL` names another one."""

SWEEPS = 100
"""Rounds of merging and splitting blocks after the first fit, as published evaluations do."""

SCRIPT = r"""
import json, sys, warnings
warnings.simplefilter("ignore")
import numpy as np
from scipy.stats import chi2
import graph_tool
from graph_tool import inference

path, seed, sweeps, within, between, blocks, sizes = json.loads(sys.argv[1])
stored = np.load(path)
order = np.argsort(stored["edges"][:, 0], kind="stable")
edges = stored["edges"][order]
stops = np.searchsorted(edges[:, 0], np.arange(len(stored["nodes"]) + 1))


def judge(nodes, ends):
    if not len(ends):
        return {"valid": False, "p": 0.0, "sizes": [int(nodes)]}
    graph = graph_tool.Graph()
    graph.add_vertex(int(nodes))
    graph.add_edge_list(np.concatenate([ends, ends[:, ::-1]]))
    state = inference.minimize_blockmodel_dl(graph)
    for _ in range(sweeps):
        state.multiflip_mcmc_sweep(beta=np.inf, niter=10)
    found = np.unique(state.get_blocks().a, return_inverse=True)[1]
    member = np.eye(found.max() + 1)[found]
    count = member.sum(0)
    joined = np.zeros((nodes, nodes))
    joined[ends[:, 0], ends[:, 1]] = joined[ends[:, 1], ends[:, 0]] = 1
    pairs = np.outer(count, count) - np.diag(count)
    share = member.T @ joined @ member / (pairs + 1e-6)
    wanted = np.where(np.eye(len(count)) > 0, within, between)
    wald = (share - wanted) ** 2 / (share * (1 - share) + 1e-6)
    p = float(chi2.sf(np.abs(wald), 1).mean())
    fits = blocks[0] <= len(count) <= blocks[1]
    fits = fits and count.min() >= sizes[0] and count.max() <= sizes[1]
    return {"valid": bool(fits and p > 0.9), "p": p, "sizes": count.astype(int).tolist()}


for index, nodes in enumerate(stored["nodes"]):
    graph_tool.seed_rng(seed)
    np.random.seed(seed)
    print(json.dumps(judge(nodes, edges[stops[index] : stops[index + 1], 1:])), flush=True)
"""


@cache
def graph_tool_version() -> str | None:
    """Return the version of the graph-tool that can be run here, or None where there is none."""
    try:
        asked = subprocess.run(
            [_python(), "-W", "ignore", "-c", "import graph_tool; print(graph_tool.__version__)"],
            capture_output=True,
            text=True,
            timeout=120,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return asked.stdout.split()[0] if asked.returncode == 0 and asked.stdout.strip() else None


def are_block_models(graphs: Sequence[Graph], *, seed: int = 0, sweeps: int = SWEEPS) -> list[bool]:
    """Tell which graphs pass the published test of the SBM set, by graph-tool.

    The blocks are those of the shortest description (`minimize_blockmodel_dl`), improved by
    `sweeps` rounds of merge-split moves.  A graph is valid if it has 2 to 5 of them, of 20 to 40
    nodes, and the mean over block pairs of the p-values of Wald's test against probabilities 0.3
    within and 0.005 between blocks is above 0.9.  As published, every edge enters as two arcs of a
    directed graph, and the statistic is not multiplied by the number of pairs, so that the test of
    probabilities is far from sharp and that of sizes decides.

    Arguments:
        graphs: undirected graphs.
        seed: of graph-tool's moves; they do not repeat entirely: of 24 real graphs one was judged
            differently by a second call with 20 rounds.
        sweeps: rounds; published evaluations use 100 or 1,000.

    Source: SPECTRE (Martinkus et al., ICML 2022), section 5; used by DiGress and later papers.

    Raises:
        MissingPackageError: there is no graph-tool.
        RunError: it ended before all graphs were judged.
    """
    if graph_tool_version() is None:
        raise MissingPackageError(
            f"{_python()} has no graph-tool, by which published SBM validity is measured; on "
            "Debian: apt-get install --no-install-recommends python3-graph-tool, or set "
            "WGANKIT_GRAPH_TOOL to a Python that has it.  wgankit_graphs.metrics.is_sbm is a test "
            "that needs nothing, whose figures are not comparable"
        )
    if not len(graphs):
        return []
    with tempfile.TemporaryDirectory() as folder:
        return _judged(graphs, Path(folder) / "graphs.npz", seed, sweeps)


def _judged(graphs: Sequence[Graph], path: Path, seed: int, sweeps: int) -> list[bool]:
    from wgankit_graphs.files import write_structure

    write_structure(graphs, path)
    told = [str(path), seed, sweeps, PLANTED_WITHIN, PLANTED_BETWEEN, PLANTED_BLOCKS, PLANTED_SIZES]
    asked = subprocess.run(
        [_python(), "-W", "ignore", "-c", SCRIPT, json.dumps(told)],
        capture_output=True,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    verdicts = [json.loads(line) for line in asked.stdout.splitlines() if line.startswith("{")]
    if asked.returncode or len(verdicts) != len(graphs):
        last = (asked.stderr.strip().splitlines() or ["nothing"])[-1]
        raise RunError(
            f"graph-tool judged {len(verdicts)} of {len(graphs)} graphs; it said: {last}"
        )
    return [bool(one["valid"]) for one in verdicts]


def _python() -> str:
    return os.environ.get("WGANKIT_GRAPH_TOOL", SYSTEM_PYTHON)
