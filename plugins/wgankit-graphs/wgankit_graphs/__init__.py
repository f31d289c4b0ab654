"""Graphs for wgankit: nodes under the shortest path, labelled graphs under edit distance."""

from __future__ import annotations

import importlib
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import wgankit

WGANKIT_API = 1

_WHERE = {
    "GraphNodes": "nodes",
    "OneHotNodes": "nodes",
    "components": "nodes",
    "from_networkx": "nodes",
    "from_pyg": "nodes",
    "Graphs": "labelled",
    "LabelledGraphs": "labelled",
    "canonical_order": "labelled",
    "one_hot": "labelled",
    "GraphCritic": "networks",
    "GraphGenerator": "networks",
    "GraphLatent": "networks",
    "NodeGenerator": "node_networks",
    "NodeMessages": "node_networks",
    "NodeTable": "node_networks",
    "LabelledGraphsDomain": "recipe",
    "GraphLabels": "encoding",
    "decode_graphs": "encoding",
    "encode_graphs": "encoding",
    "from_data": "encoding",
    "to_data": "encoding",
    "read_graphs": "files",
    "write_graphs": "files",
    "evaluate_graphs": "metrics",
    "draw_graphs": "pictures",
}

__all__ = ["WGANKIT_API", *_WHERE]  # noqa: PLE0604

if TYPE_CHECKING:
    from wgankit_graphs.encoding import (
        GraphLabels,
        decode_graphs,
        encode_graphs,
        from_data,
        to_data,
    )
    from wgankit_graphs.files import read_graphs, write_graphs
    from wgankit_graphs.labelled import Graphs, LabelledGraphs, canonical_order, one_hot
    from wgankit_graphs.metrics import evaluate_graphs
    from wgankit_graphs.networks import GraphCritic, GraphGenerator, GraphLatent
    from wgankit_graphs.node_networks import NodeGenerator, NodeMessages, NodeTable
    from wgankit_graphs.nodes import (
        GraphNodes,
        OneHotNodes,
        components,
        from_networkx,
        from_pyg,
    )
    from wgankit_graphs.pictures import draw_graphs
    from wgankit_graphs.recipe import LabelledGraphsDomain


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"wgankit_graphs has no {name!r}")
    return getattr(importlib.import_module(f"wgankit_graphs.{_WHERE[name]}"), name)


@wgankit.hookimpl
def wgankit_spaces() -> Iterable[wgankit.SpaceSpec]:
    """Return the two metric spaces of graphs."""
    yield wgankit.SpaceSpec(
        name="graph-nodes",
        factory="wgankit_graphs.nodes:GraphNodes",
        summary="Nodes of one weighted graph; d = length of a shortest path",
    )
    yield wgankit.SpaceSpec(
        name="labelled-graphs",
        factory="wgankit_graphs.labelled:LabelledGraphs",
        summary="Graphs with labelled nodes and edges; d = number of edits",
    )


@wgankit.hookimpl
def wgankit_critics() -> Iterable[wgankit.CriticSpec]:
    """Return the critics of both spaces."""
    yield wgankit.CriticSpec(
        name="graph-critic",
        factory="wgankit_graphs.networks:GraphCritic",
        summary="Invariant scores of labelled graphs, beyond 1-WL by random walks",
    )
    yield wgankit.CriticSpec(
        name="node-table",
        factory="wgankit_graphs.node_networks:NodeTable",
        summary="A number for each node of one graph",
    )
    yield wgankit.CriticSpec(
        name="node-messages",
        factory="wgankit_graphs.node_networks:NodeMessages",
        summary="Scores of the nodes of one graph by message passing",
    )


@wgankit.hookimpl
def wgankit_generators() -> Iterable[wgankit.GeneratorSpec]:
    """Return the generators of both spaces."""
    yield wgankit.GeneratorSpec(
        name="graph-generator",
        factory="wgankit_graphs.networks:GraphGenerator",
        summary="Equivariant attention over node latents, hard labels straight through",
    )
    yield wgankit.GeneratorSpec(
        name="node-generator",
        factory="wgankit_graphs.node_networks:NodeGenerator",
        summary="Nodes of one graph from latent vectors",
    )


@wgankit.hookimpl
def wgankit_recipes() -> Iterable[wgankit.RecipeSpec]:
    """Return the recipe for sets of graphs."""
    yield wgankit.RecipeSpec(
        name="graphs",
        factory="wgankit_graphs.recipe:LabelledGraphsDomain",
        summary="networkx graphs or torch-geometric Data, GraphML, edge lists, .npz",
    )


@wgankit.hookimpl
def wgankit_datasets() -> Iterable[wgankit.DatasetSpec]:
    """Return sets of graphs that are made by recipe, without download."""
    for name, summary in (
        ("planar", "Delaunay triangulations of 64 random points"),
        ("tree", "uniform random trees on 64 nodes"),
        ("lobster", "random trees with all nodes within two edges of a path"),
        ("sbm", "stochastic block models, 2 to 5 blocks of 20 to 40 nodes"),
        ("community", "two communities, 12 to 20 nodes"),
        ("ego", "neighbourhoods cut from a scale-free graph"),
    ):
        yield wgankit.DatasetSpec(
            name=name,
            factory=f"wgankit_graphs.datasets:{name}",
            summary=f"200 {summary}",
            recipe="graphs",
            size=200,
            licence="MIT",
        )
