"""Graphs of a kind: trees, triangulations and communities, asked for by name."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.conditions.rows import Row, least, tell
from wgankit_labels import conditioned

NODES = 10
"""Of every graph, so that their number says nothing about the kind."""


def kinds(count: int) -> list[Any]:
    """Return random trees, triangulations and pairs of communities that know their kind."""
    from wgankit_graphs.datasets import community, planar, tree

    made = []
    for kind, some in (
        ("tree", tree(count, nodes=NODES)),
        ("planar", planar(count, nodes=NODES)),
        ("communities", community(count, smallest=NODES, largest=NODES)),
    ):
        for graph in some:
            graph.graph["kind"] = kind
        made += some
    return made


def graphs(quick: bool) -> Iterator[Row]:
    """Graphs of ten nodes asked for by their kind, which the training graphs carry."""
    if quick:
        return
    import networkx

    begun = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        recipe = conditioned("graphs", "kind").fit(
            kinds(400),
            out=Path(folder, "run"),
            steps=GRAPH_STEPS,
            evaluate_every=GRAPH_STEPS,
            device="cpu",
            progress=False,
        )
        found = recipe.evaluate(600, seed=7)
        trees = recipe.sample(200, given={"kind": "tree"}, seed=7)
    tell("graphs", begun)
    figures = {"agreement": found["kind_agreement"], "of real ones": found["kind_agreement_floor"]}
    targets = {"agreement": least(0.85 * figures["of real ones"])}
    yield Row("three kinds", figures, targets)
    share = sum(len(one.object) > 0 and networkx.is_tree(one.object) for one in trees) / len(trees)
    yield Row("asked for trees", {"are trees": share}, {})
    for kind in ("communities", "planar", "tree"):
        figures = {name: found[f"{name}_{kind}"] for name in ("coverage", "w1")}
        figures |= {f"{name}, real": found[f"{name}_{kind}_floor"] for name in ("coverage", "w1")}
        yield Row(f"asked for {kind}", figures, {})


GRAPH_STEPS = 2_000
