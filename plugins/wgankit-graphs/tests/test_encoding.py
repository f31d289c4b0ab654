"""Encoding and decoding graphs: round trips, every reason for leaving one out, torch_geometric."""

import json

import networkx as nx
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch_geometric.data import Data
from torch_geometric.utils import is_undirected

from wgankit.errors import DataError, ShapeError
from wgankit_graphs import encoding
from wgankit_graphs.encoding import (
    GraphLabels,
    decode_graphs,
    encode_graphs,
    from_data,
    to_data,
)

LABELS = st.sampled_from(["C", "N", 1, 2.5, False, None])
NUMBERS = st.integers(0, 4)


@st.composite
def graphs(draw, labels=LABELS, smallest=1):
    count = draw(st.integers(smallest, 7))
    names = draw(st.permutations([f"node {k}" for k in range(count)]))
    graph = nx.Graph()
    graph.add_nodes_from(names)
    pairs = [(u, v) for i, u in enumerate(names) for v in names[:i]]
    if pairs:
        graph.add_edges_from(draw(st.lists(st.sampled_from(pairs), unique=True)))
    for view in (graph.nodes, graph.edges):
        for key in view:
            value = draw(labels)
            if value is not None:
                view[key]["label"] = value
    return graph


def numbered(graph):
    """The same graph on 0, 1, ... in its own order: what decoding must return."""
    return nx.relabel_nodes(graph, {node: place for place, node in enumerate(graph)})


def same(a, b):
    return nx.utils.graphs_equal(nx.Graph(a), nx.Graph(b))


def one_hot(labels, classes):
    return torch.nn.functional.one_hot(labels.long(), classes + 1)


@settings(max_examples=60, deadline=None)
@given(st.lists(graphs(), min_size=1, max_size=4))
def test_decoding_undoes_encoding_exactly(some):
    encoded = encode_graphs(some)
    decoded = decode_graphs(encoded.points, encoded.vocabulary)
    assert len(decoded) == len(some)
    assert all(same(back, numbered(graph)) for back, graph in zip(decoded, some))
    assert encoded.kept == list(range(len(some)))
    assert not encoded.skipped


@settings(max_examples=30, deadline=None)
@given(st.lists(graphs(), min_size=1, max_size=4), st.integers(0, 1000))
def test_relaxed_points_decode_like_their_labels(some, seed):
    points, vocabulary = encode_graphs(some).points, encode_graphs(some).vocabulary
    noise = torch.Generator().manual_seed(seed)
    relaxed = tuple(
        one_hot(part, len(vocabulary[what])) + 0.9 * torch.rand((*part.shape, 1), generator=noise)
        for part, what in zip(points, ("nodes", "edges"))
    )
    for back, graph in zip(decode_graphs(relaxed, vocabulary), some):
        assert same(back, numbered(graph))


@settings(max_examples=30, deadline=None)
@given(st.lists(graphs(), min_size=1, max_size=4))
def test_points_are_what_they_are_said_to_be(some):
    encoded = encode_graphs(some)
    nodes, edges = encoded.points
    assert isinstance(encoded.points, GraphLabels)
    assert nodes.dtype == edges.dtype == torch.uint8
    assert torch.equal(edges, edges.transpose(1, 2))
    assert not edges.diagonal(dim1=1, dim2=2).any()
    assert (nodes > 0).sum(1).tolist() == [len(graph) for graph in some]
    assert (edges > 0).sum((1, 2)).tolist() == [2 * graph.number_of_edges() for graph in some]
    vocabulary = encoded.vocabulary
    assert json.loads(json.dumps(vocabulary)) == vocabulary
    assert vocabulary["size"] == max(map(len, some)) == nodes.shape[1]
    assert vocabulary["sizes"] == [
        sum(len(graph) == k for graph in some) for k in range(vocabulary["size"] + 1)
    ]


@settings(max_examples=20, deadline=None)
@given(st.lists(graphs(), min_size=2, max_size=4))
def test_the_vocabulary_does_not_depend_on_the_order_and_can_be_used_again(some):
    first = encode_graphs(some)
    second = encode_graphs(some[::-1])
    assert first.vocabulary == second.vocabulary
    again = encode_graphs(some, json.loads(json.dumps(first.vocabulary)))
    assert all(torch.equal(a, b) for a, b in zip(again.points, first.points))


def test_graphs_without_labels_have_one_label_of_each_kind():
    encoded = encode_graphs([nx.path_graph(3), nx.empty_graph(2)])
    assert encoded.vocabulary["nodes"] == encoded.vocabulary["edges"] == [None]
    assert encoded.vocabulary["node_attribute"] is encoded.vocabulary["edge_attribute"] is None
    assert encoded.points.nodes.tolist() == [[1, 1, 1], [1, 1, 0]]
    assert encoded.points.edges[0].tolist() == [[0, 1, 0], [1, 0, 1], [0, 1, 0]]


def test_numpy_and_torch_scalars_are_plain_labels():
    graph = nx.path_graph(3)
    values = [np.int64(3), torch.tensor(3), 3]
    for node, value in enumerate(values):
        graph.nodes[node]["label"] = value
    vocabulary = encode_graphs([graph]).vocabulary
    assert vocabulary["nodes"] == [3]
    assert type(vocabulary["nodes"][0]) is int


def test_other_attributes_can_be_named_or_ignored():
    graph = nx.path_graph(2)
    nx.set_node_attributes(graph, {0: "x", 1: "y"}, "atom")
    nx.set_edge_attributes(graph, {(0, 1): 2}, "bond")
    encoded = encode_graphs([graph], node_attribute="atom", edge_attribute="bond")
    assert encoded.vocabulary["nodes"] == ["x", "y"]
    assert same(decode_graphs(encoded.points, encoded.vocabulary)[0], graph)
    assert encode_graphs([graph], node_attribute=None).vocabulary["nodes"] == [None]


def test_a_node_that_is_nothing_takes_its_edges_with_it():
    encoded = encode_graphs([nx.complete_graph(4)])
    nodes = encoded.points.nodes.clone()
    nodes[0, 1] = 0
    (decoded,) = decode_graphs((nodes, encoded.points.edges), encoded.vocabulary)
    assert same(decoded, nx.complete_graph(3))
    (nothing,) = decode_graphs((nodes * 0, encoded.points.edges), encoded.vocabulary)
    assert len(nothing) == 0


# Skips --------------------------------------------------------------------------------------------


def with_label(value, graph=None):
    graph = nx.path_graph(2) if graph is None else graph
    graph.nodes[0]["label"] = value
    return graph


def data(edges, **more):
    return Data(edge_index=torch.tensor(edges).view(2, -1), **more)


LOOP = nx.Graph([(0, 0), (0, 1)])
BOTH = [[0, 1], [1, 0]]
SKIPS = [
    (nx.DiGraph([(0, 1)]), encoding.DIRECTED),
    (nx.MultiGraph([(0, 1), (1, 0)]), encoding.PARALLEL),
    (LOOP, encoding.LOOPS),
    (nx.Graph(), encoding.NO_NODES),
    (nx.path_graph(6), "more than 5 nodes"),
    (with_label(float("nan")), encoding.NOT_FINITE),
    (with_label(np.float32("inf")), encoding.NOT_FINITE),
    (with_label([1, 2]), encoding.NOT_A_LABEL),
    ("a graph", "not a graph (str)"),
    (data([[0], [1]], num_nodes=2), encoding.DIRECTED),
    (data([[0, 1], [1, 0]], edge_attr=torch.tensor([1, 2]), num_nodes=2), encoding.DIRECTED),
    (data([[0, 1, 0, 1], [1, 0, 1, 0]], num_nodes=2), encoding.PARALLEL),
    (data([[0], [0]], num_nodes=1), encoding.LOOPS),
    (data([[], []], num_nodes=0), encoding.NO_NODES),
    (data(BOTH, x=torch.tensor([0.0, float("nan")])), encoding.NOT_FINITE),
    (data(BOTH, x=torch.tensor([0.5, 1.0])), encoding.NOT_CATEGORIES),
    (data(BOTH, x=torch.tensor([[1.0, 1.0], [0.0, 1.0]])), encoding.NOT_CATEGORIES),
    (data(BOTH, num_nodes=1), encoding.NO_FIT),
    (data(BOTH, num_nodes=2, edge_attr=torch.ones(3)), encoding.NO_FIT),
]


@pytest.mark.parametrize("graph, reason", SKIPS)
def test_what_cannot_be_encoded_is_counted_under_its_reason(graph, reason):
    good = nx.path_graph(5)
    encoded = encode_graphs([graph, good, graph], largest=5)
    assert encoded.skipped == {reason: 2}
    assert encoded.kept == [1]
    assert len(encoded.points.nodes) == 1


def test_what_the_vocabulary_does_not_know_is_counted():
    known = with_label("C")
    known.edges[0, 1]["label"] = 1
    vocabulary = encode_graphs([known]).vocabulary
    edge = with_label("C")
    edge.edges[0, 1]["label"] = 2
    larger = with_label("C", nx.path_graph(3))
    encoded = encode_graphs([known, with_label("N"), edge, larger], vocabulary)
    assert encoded.kept == [0]
    assert encoded.skipped == {
        encoding.UNKNOWN_NODE: 1,
        encoding.UNKNOWN_EDGE: 1,
        "more than 2 nodes": 1,
    }
    assert encoded.vocabulary is vocabulary


def test_a_multigraph_without_parallel_edges_is_a_graph():
    assert encode_graphs([nx.MultiGraph([(0, 1), (1, 2)])]).points.edges.sum() == 4


def test_nothing_left_says_why():
    with pytest.raises(DataError, match=r"2 directed graph; 1 no nodes"):
        encode_graphs([nx.DiGraph([(0, 1)]), nx.Graph(), nx.DiGraph([(0, 1)])])
    with pytest.raises(DataError, match="no graphs given"):
        encode_graphs([])


@pytest.mark.parametrize("what", ["node", "edge"])
def test_more_than_255_labels_are_refused(what):
    graph = nx.path_graph(257)
    for number, key in enumerate(graph.nodes if what == "node" else graph.edges):
        (graph.nodes if what == "node" else graph.edges)[key]["label"] = min(number, 254)
    encoded = encode_graphs([graph])
    assert same(decode_graphs(encoded.points, encoded.vocabulary)[0], graph)
    (graph.nodes[256] if what == "node" else graph.edges[255, 256])["label"] = 255
    with pytest.raises(DataError, match=f"256 different {what} labels"):
        encode_graphs([graph])


def test_points_that_do_not_fit_are_refused():
    encoded = encode_graphs([nx.path_graph(3)])
    nodes, edges = encoded.points
    with pytest.raises(ShapeError, match="wanted"):
        decode_graphs((nodes, edges[:, :2]), encoded.vocabulary)
    with pytest.raises(ShapeError, match="labels of nodes go up to 2"):
        decode_graphs((nodes * 2, edges), encoded.vocabulary)


# torch_geometric ----------------------------------------------------------------------------------


@settings(max_examples=40, deadline=None)
@given(graphs(labels=NUMBERS))
def test_data_of_categories_is_undone(graph):
    there = to_data(graph)
    assert is_undirected(there.edge_index, num_nodes=there.num_nodes)
    assert there.num_nodes == len(graph)
    assert same(from_data(there), numbered(graph))


@settings(max_examples=40, deadline=None)
@given(graphs())
def test_one_hot_data_is_undone_by_the_vocabulary(graph):
    vocabulary = encode_graphs([graph]).vocabulary
    there = to_data(graph, vocabulary)
    if vocabulary["node_attribute"]:
        assert there.x.shape == (len(graph), len(vocabulary["nodes"]))
        assert (there.x.sum(1) == 1).all()
    assert same(from_data(there, vocabulary), numbered(graph))


def test_data_and_networkx_give_the_same_points():
    graph = nx.cycle_graph(5)
    nx.set_node_attributes(graph, {node: node % 2 for node in graph}, "label")
    encoded = encode_graphs([graph, to_data(graph)])
    assert all(torch.equal(part[0], part[1]) for part in encoded.points)


def test_data_without_edges_or_features():
    assert same(from_data(Data(num_nodes=3)), nx.empty_graph(3))
    assert to_data(nx.empty_graph(3)).edge_index.shape == (2, 0)


def test_what_cannot_become_data_says_so():
    with pytest.raises(DataError, match="directed"):
        to_data(nx.DiGraph([(0, 1)]))
    with pytest.raises(DataError, match="whole numbers"):
        to_data(with_label("C"))
    with pytest.raises(DataError, match="'N'"):
        to_data(with_label("N"), encode_graphs([with_label("C")]).vocabulary)
    with pytest.raises(DataError, match="unknown"):
        from_data(data(BOTH, x=torch.tensor([0, 7])), encode_graphs([with_label("C")]).vocabulary)
