"""Published protocols of graph generation: what `wgankit evaluate FILE --against sbm` prints.

V.U.N. is the share of graphs that are valid, not isomorphic to a graph before them, and not
isomorphic to a training graph.  Every figure of a set of blocks says which test made it: the
published one needs graph-tool, ours needs nothing, and the two do not belong in one column.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias, final

import numpy as np

from wgankit.errors import DataError
from wgankit_graphs import datasets
from wgankit_graphs.files import SPLITS, read_graphs
from wgankit_graphs.inference import are_block_models, graph_tool_version
from wgankit_graphs.metrics import (
    STATISTICS,
    describe,
    distance,
    is_lobster,
    is_planar_graph,
    is_sbm,
    is_tree,
    vun_of,
)

if TYPE_CHECKING:
    import networkx

    Graph: TypeAlias = networkx.Graph

Say: TypeAlias = Callable[[str], None]
Verdict: TypeAlias = Callable[[Sequence["Graph"]], list[bool]]

BATCH = 40
"""Graphs that published figures are of."""

BATCHES = 5
"""How many such batches a distance is averaged over, where there are enough graphs."""

FOLDER = "WGANKIT_GRAPH_SPLITS"
"""Environment variable with the folder of the splits, where none is named."""


@final
@dataclass(frozen=True)
class Splits:
    """The graphs that a protocol compares with.

    Arguments:
        train: trained on; 128 in the published sets.
        val: to choose settings by; 32.
        test: distances are to these; 40.
    """

    train: list[Graph]
    val: list[Graph]
    test: list[Graph]


def each(valid: Callable[[Graph], bool]) -> Verdict:
    """Return a verdict on many graphs from one on a single graph."""
    return lambda graphs: [valid(graph) for graph in graphs]


PROCESSES: dict[str, Callable[[int, int], list[Graph]]] = {
    "planar": datasets.planar,
    "tree": datasets.tree,
    "lobster": datasets.lobster,
    "sbm": datasets.sbm,
    "community": datasets.community,
}
"""The process that each set was made by: (count, seed) -> graphs of a perfect sampler."""


MADE = {"lobster": (128, 32, 40), "community": (64, 16, 20)}
"""Training, validation and test graphs of the sets that are made where no file holds them."""


def verdicts(name: str, *, with_graph_tool: bool = True) -> dict[str, Verdict]:
    """Return the tests of validity of a set, by the suffix of their figures.

    Arguments:
        name: "planar", "tree", "lobster", "sbm" or "community", which nobody defined a test for.
        with_graph_tool: also the published test of block models, where graph-tool is installed.
    """
    if name == "community":
        return {}
    if name != "sbm":
        tests = {"planar": is_planar_graph, "tree": is_tree, "lobster": is_lobster}
        return {"": each(tests[name])}
    ours: dict[str, Verdict] = {"_own_test": each(is_sbm)}
    there = with_graph_tool and graph_tool_version()
    return {"_graph_tool": are_block_models, **ours} if there else ours


def splits(name: str, data: Path | None = None) -> Splits:
    """Return training, validation and test graphs of a published set.

    Arguments:
        name: "planar", "tree", "lobster", "sbm" or "community".
        data: folder with `NAME_graphs.npz` (arrays `train_nodes`, `train_edges`, `val_...`,
            `test_...`; see `wgankit_graphs.files`); by default `WGANKIT_GRAPH_SPLITS`.

    Without a file lobsters (128, 32 and 40, as of the others) and communities (64, 16 and 20, as
    many as published) are made by their recipe.

    Raises:
        DataError: there is no such file.
    """
    folder = data or (Path(os.environ[FOLDER]) if os.environ.get(FOLDER) else None)
    path = folder / f"{name}_graphs.npz" if folder else None
    if path is not None and path.is_file():
        return Splits(*(read_graphs(path, split=split).objects for split in SPLITS))
    if name in MADE:
        train, val, test = MADE[name]
        made = PROCESSES[name](train + val + test, 0)
        return Splits(made[:train], made[train : train + val], made[train + val :])
    raise DataError(
        f"the published split of {name!r} is wanted as {name}_graphs.npz, and "
        + (f"{folder} does not hold it" if folder else "no folder is named")
        + f"; say --data FOLDER or set {FOLDER}"
    )


def interval(share: float, count: int) -> tuple[float, float]:
    """Return the 95 % confidence interval of a share of `count` trials (Wilson, 1927)."""
    z = 1.959964
    middle = (share + z**2 / (2 * count)) / (1 + z**2 / count)
    half = z / (1 + z**2 / count) * (share * (1 - share) / count + (z / (2 * count)) ** 2) ** 0.5
    # Where no trial or every one succeeded, rounding shall not leave the share outside.
    return max(0.0, min(share, middle - half)), min(1.0, max(share, middle + half))


def shares(
    graphs: Sequence[Graph], training: Sequence[Graph], tests: Mapping[str, Verdict]
) -> dict[str, float]:
    """Return valid, unique, novel and V.U.N. with its confidence interval, for each test."""
    figures: dict[str, float] = {}
    for suffix, test in tests.items():
        seen = vun_of(graphs, training, test(graphs))
        low, high = interval(seen["vun"], len(graphs))
        figures |= {"unique": seen["unique"], "novel": seen["novel"]}
        figures |= {f"valid{suffix}": seen["valid"], f"vun{suffix}": seen["vun"]}
        figures |= {f"vun{suffix}_low": low, f"vun{suffix}_high": high}
    return figures


def batches(graphs: Sequence[Graph]) -> list[Sequence[Graph]]:
    """Return up to five batches of 40 graphs, or all graphs where there are fewer than 40."""
    whole = [graphs[i : i + BATCH] for i in range(0, BATCH * BATCHES, BATCH)]
    return [batch for batch in whole if len(batch) == BATCH] or [graphs]


def distances(graphs: Sequence[Graph], known: Splits) -> dict[str, float]:
    """Return the four distances of batches of 40 graphs to the test graphs, means and deviations.

    Beside each stands its floor, that of as many training graphs (the mean over 10 draws), and the
    ratio to all training graphs, as published, the mean over the four.
    """
    test, train = describe(known.test), describe(known.train)
    reference = {name: distance(name, train, test) for name in STATISTICS}
    rows = []
    for batch in batches(graphs):
        made = describe(batch)
        rows.append({name: distance(name, made, test) for name in STATISTICS})
    figures: dict[str, float] = {}
    for name in STATISTICS:
        seen = [row[name] for row in rows]
        figures[f"{name}_mmd"] = float(np.mean(seen))
        figures[f"{name}_mmd_sd"] = float(np.std(seen))
        figures[f"{name}_mmd_floor"] = floor(name, train, test, len(batches(graphs)[0]))
    used = [name for name in STATISTICS if round(reference[name], 4) > 0]
    ratios = [np.mean([row[name] / reference[name] for name in used]) for row in rows]
    return {**figures, "ratio": float(np.mean(ratios)), "ratio_sd": float(np.std(ratios))}


def floor(
    name: str, train: Mapping[str, np.ndarray], test: Mapping[str, np.ndarray], count: int
) -> float:
    """Return the distance of `count` training graphs to the test graphs, the mean over draws."""
    rows = train[name]
    rng = np.random.default_rng(0)
    draws = [rng.choice(len(rows), min(count, len(rows)), replace=False) for _ in range(10)]
    return float(np.mean([distance(name, {name: rows[draw]}, test) for draw in draws]))


def judge(name: str, samples: Path, *, data: Path | None, say: Say) -> dict[str, float]:
    """Return the figures of a file of graphs by the protocol of a published set.

    Arguments:
        name: "planar", "tree", "lobster" or "sbm".
        samples: a file of graphs that `read_graphs` reads, such as `.npz`.
        data: see `splits`.
        say: called with lines about the progress.
    """
    known, graphs = splits(name, data), read_graphs(samples).objects
    if name == "sbm" and not graph_tool_version():
        say("no graph-tool here: figures end in _own_test, and are not comparable to papers'")
    say(f"{len(graphs):,} graphs against {len(known.train)} training and {len(known.test)} test")
    figures = {"graphs": float(len(graphs)), **shares(graphs, known.train, verdicts(name))}
    say(f"distances, in batches of {BATCH}")
    return figures | distances(graphs, known)


def planar(samples: Path, *, data: Path | None, say: Say) -> dict[str, float]:
    """Judge graphs against the planar set of SPECTRE."""
    return judge("planar", samples, data=data, say=say)


def tree(samples: Path, *, data: Path | None, say: Say) -> dict[str, float]:
    """Judge graphs against the tree set of Bergmeister et al."""
    return judge("tree", samples, data=data, say=say)


def lobster(samples: Path, *, data: Path | None, say: Say) -> dict[str, float]:
    """Judge graphs against lobsters made by their recipe."""
    return judge("lobster", samples, data=data, say=say)


def sbm(samples: Path, *, data: Path | None, say: Say) -> dict[str, float]:
    """Judge graphs against the block models of SPECTRE."""
    return judge("sbm", samples, data=data, say=say)
