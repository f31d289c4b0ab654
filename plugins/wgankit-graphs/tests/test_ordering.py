"""The walk that numbers nodes alike in graphs that differ little."""

import networkx as nx
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from wgankit_graphs.encoding import encode_graphs
from wgankit_graphs.labelled import one_hot, renumber
from wgankit_graphs.ordering import depth_first, walked


def batch_of(*graphs, size=None):
    """Return stored labels of networkx graphs and how many labels there are."""
    encoded = encode_graphs(graphs, largest=size)
    known = encoded.vocabulary
    return encoded.points, (len(known["nodes"]) + 1, len(known["edges"]) + 1)


@st.composite
def numbered_twice(draw):
    """A graph whose nodes all have their own labels, and the same one numbered otherwise."""
    size = draw(st.integers(1, 8))
    seed = draw(st.integers(0, 10_000))
    graph = nx.gnp_random_graph(size, draw(st.floats(0, 1)), seed=seed)
    for node in graph:
        graph.nodes[node]["label"] = f"kind {node}"
    names = draw(st.permutations(range(size)))
    other = nx.Graph()
    other.add_nodes_from((node, graph.nodes[node]) for node in names)
    other.add_edges_from(graph.edges)
    return graph, other


@settings(deadline=None, max_examples=60)
@given(numbered_twice())
def test_a_walk_is_depth_first_and_the_same_whatever_the_numbering(two):
    labels, kinds = batch_of(*two)
    order = depth_first(one_hot(labels, *kinds))
    assert torch.equal(order.sort(1).values, torch.arange(order.shape[1]).expand_as(order))
    first, second = (tuple(part[row] for part in walked(labels, *kinds)) for row in (0, 1))
    for one, other in zip(first, second, strict=True):
        assert torch.equal(one, other)
    linked = first[1] > 0
    for place in range(1, order.shape[1]):
        # Each node is a neighbour of the latest one that has a neighbour left.
        latest = [one for one in range(place) if linked[one, place:].any()]
        assert not latest or linked[max(latest), place]


def test_nodes_that_are_nothing_come_last():
    small, large = nx.path_graph(2), nx.path_graph(5)
    for graph in (small, large):
        nx.set_node_attributes(graph, "a", "label")
    labels, kinds = batch_of(small, large)
    shuffled = torch.tensor([[4, 1, 2, 0, 3]] * 2)
    points = renumber(one_hot(labels, *kinds), shuffled)
    found = renumber(points, depth_first(points))
    assert found.nodes[0, :, 0].tolist() == [0, 0, 1, 1, 1]
    # A path is walked from one end to the other.
    ahead = found.edges[1, range(4), range(1, 5), 0]
    assert ahead.tolist() == [0, 0, 0, 0]


def test_a_walk_begins_outside_and_takes_side_chains_first():
    """Sums of distances by hand: 13 at an end of the chain, 11 at the side chain, 9 behind it."""
    graph = nx.path_graph(5)
    graph.add_edge(2, 5)
    graph.add_edge(6, 7)  # another part, which is smaller: all its nodes are further out
    nx.set_node_attributes(graph, "a", "label")
    chain = graph.subgraph(range(6)).copy()
    labels, kinds = batch_of(chain, graph)
    order = depth_first(one_hot(labels, *kinds))
    assert order[0, :6].tolist() == [0, 1, 2, 5, 3, 4]
    assert set(order[1, :2].tolist()) == {6, 7}
    assert order[1, 2:].tolist() == [0, 1, 2, 5, 3, 4]
