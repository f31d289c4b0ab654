"""Graphs for wgankit: nodes under the shortest path, labelled graphs under edit distance."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import wgankit

WGANKIT_API = 1

_WHERE = {
    "Congestion": "flows",
    "Flow": "flows",
    "congested_tree": "flows",
    "flow": "flows",
    "lipschitz_below": "flows",
    "tree_w1": "flows",
    "GraphNodes": "nodes",
    "OneHotNodes": "nodes",
    "components": "nodes",
    "from_networkx": "nodes",
    "from_pyg": "nodes",
    "Graphs": "labelled",
    "LabelledGraphs": "labelled",
    "canonical_order": "labelled",
    "one_hot": "labelled",
    "BlockGenerator": "blocks",
    "PairLatent": "blocks",
    "WalkCritic": "blocks",
    "TreeGenerator": "trees",
    "Partition": "partition",
    "Choices": "choices",
    "OneTurn": "choices",
    "Described": "surroundings",
    "SetCritic": "surroundings",
    "Surroundings": "surroundings",
    "BySize": "sizes",
    "are_block_models": "inference",
    "GraphCritic": "networks",
    "GraphGenerator": "networks",
    "GraphLatent": "networks",
    "NodeGenerator": "node_networks",
    "NodeMessages": "node_networks",
    "NodeTable": "node_networks",
    "LabelledGraphsDomain": "recipe",
    "LatentGraphs": "latent",
    "GraphLabels": "encoding",
    "decode_graphs": "encoding",
    "encode_graphs": "encoding",
    "from_data": "encoding",
    "to_data": "encoding",
    "read_graphs": "files",
    "write_graphs": "files",
    "evaluate_graphs": "metrics",
    "all_distances": "paths",
    "draw_graphs": "pictures",
}


if TYPE_CHECKING:
    from wgankit_graphs.blocks import BlockGenerator as BlockGenerator
    from wgankit_graphs.blocks import PairLatent as PairLatent
    from wgankit_graphs.blocks import WalkCritic as WalkCritic
    from wgankit_graphs.choices import Choices as Choices
    from wgankit_graphs.choices import OneTurn as OneTurn
    from wgankit_graphs.encoding import GraphLabels as GraphLabels
    from wgankit_graphs.encoding import decode_graphs as decode_graphs
    from wgankit_graphs.encoding import encode_graphs as encode_graphs
    from wgankit_graphs.encoding import from_data as from_data
    from wgankit_graphs.encoding import to_data as to_data
    from wgankit_graphs.files import read_graphs as read_graphs
    from wgankit_graphs.files import write_graphs as write_graphs
    from wgankit_graphs.flows import Congestion as Congestion
    from wgankit_graphs.flows import Flow as Flow
    from wgankit_graphs.flows import congested_tree as congested_tree
    from wgankit_graphs.flows import flow as flow
    from wgankit_graphs.flows import lipschitz_below as lipschitz_below
    from wgankit_graphs.flows import tree_w1 as tree_w1
    from wgankit_graphs.inference import are_block_models as are_block_models
    from wgankit_graphs.labelled import Graphs as Graphs
    from wgankit_graphs.labelled import LabelledGraphs as LabelledGraphs
    from wgankit_graphs.labelled import canonical_order as canonical_order
    from wgankit_graphs.labelled import one_hot as one_hot
    from wgankit_graphs.latent import LatentGraphs as LatentGraphs
    from wgankit_graphs.metrics import evaluate_graphs as evaluate_graphs
    from wgankit_graphs.networks import GraphCritic as GraphCritic
    from wgankit_graphs.networks import GraphGenerator as GraphGenerator
    from wgankit_graphs.networks import GraphLatent as GraphLatent
    from wgankit_graphs.node_networks import NodeGenerator as NodeGenerator
    from wgankit_graphs.node_networks import NodeMessages as NodeMessages
    from wgankit_graphs.node_networks import NodeTable as NodeTable
    from wgankit_graphs.nodes import GraphNodes as GraphNodes
    from wgankit_graphs.nodes import OneHotNodes as OneHotNodes
    from wgankit_graphs.nodes import components as components
    from wgankit_graphs.nodes import from_networkx as from_networkx
    from wgankit_graphs.nodes import from_pyg as from_pyg
    from wgankit_graphs.partition import Partition as Partition
    from wgankit_graphs.paths import all_distances as all_distances
    from wgankit_graphs.pictures import draw_graphs as draw_graphs
    from wgankit_graphs.recipe import LabelledGraphsDomain as LabelledGraphsDomain
    from wgankit_graphs.sizes import BySize as BySize
    from wgankit_graphs.surroundings import Described as Described
    from wgankit_graphs.surroundings import SetCritic as SetCritic
    from wgankit_graphs.surroundings import Surroundings as Surroundings
    from wgankit_graphs.trees import TreeGenerator as TreeGenerator

__getattr__ = wgankit.lazy_names(__name__, _WHERE)


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
        name="walk-critic",
        factory="wgankit_graphs.blocks:WalkCritic",
        summary="Invariant scores of graphs from triangles and long random walks",
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
        name="block-generator",
        factory="wgankit_graphs.blocks:BlockGenerator",
        summary="Graphs whose edges are drawn given blocks; holds block models exactly",
    )
    yield wgankit.GeneratorSpec(
        name="tree-generator",
        factory="wgankit_graphs.trees:TreeGenerator",
        summary="Trees, whatever the weights: every node points at a parent",
    )
    yield wgankit.GeneratorSpec(
        name="node-generator",
        factory="wgankit_graphs.node_networks:NodeGenerator",
        summary="Nodes of one graph from latent vectors",
    )


@wgankit.hookimpl
def wgankit_recipes() -> Iterable[wgankit.RecipeSpec]:
    """Return the recipes for sets of graphs."""
    yield wgankit.RecipeSpec(
        name="graphs",
        factory="wgankit_graphs.recipe:LabelledGraphsDomain",
        summary="networkx graphs or torch-geometric Data, GraphML, edge lists, .npz",
    )
    yield wgankit.RecipeSpec(
        name="latent",
        factory="wgankit_graphs.latent:LatentGraphs",
        summary="the same through an autoencoder of graphs; for thousands of small graphs",
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


@wgankit.hookimpl
def wgankit_benchmarks() -> Iterable[wgankit.BenchmarkSpec]:
    """Return the published protocols of four sets of graphs."""
    for name, summary in (
        ("planar", "planar graphs on 64 nodes (SPECTRE)"),
        ("tree", "trees on 64 nodes (Bergmeister et al.)"),
        ("lobster", "lobsters of 10 to 100 nodes"),
        ("sbm", "stochastic block models (SPECTRE), by graph-tool where installed"),
    ):
        yield wgankit.BenchmarkSpec(
            name=name,
            factory=f"wgankit_graphs.published:{name}",
            summary=f"V.U.N. and four MMDs against {summary}",
        )
