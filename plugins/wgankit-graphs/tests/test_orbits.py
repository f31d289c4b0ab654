"""Orbit counts against the enumeration of all induced subgraphs."""

from collections import Counter
from itertools import combinations

import networkx as nx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wgankit.errors import DataError
from wgankit_graphs.orbits import ORBITS, orbit_counts

GRAPHLETS = [
    # (graph, orbit of each of its nodes), drawn from the definition of the 15 orbits
    (nx.path_graph(2), [0, 0]),
    (nx.path_graph(3), [1, 2, 1]),
    (nx.complete_graph(3), [3, 3, 3]),
    (nx.path_graph(4), [4, 5, 5, 4]),
    (nx.star_graph(3), [7, 6, 6, 6]),
    (nx.cycle_graph(4), [8, 8, 8, 8]),
    (nx.Graph([(0, 1), (1, 2), (2, 0), (2, 3)]), [10, 10, 11, 9]),
    (nx.Graph([(0, 1), (0, 2), (1, 2), (1, 3), (2, 3)]), [12, 13, 13, 12]),
    (nx.complete_graph(4), [14, 14, 14, 14]),
]


def orbit_of(graphlet: nx.Graph) -> dict[object, int] | None:
    for pattern, orbits in GRAPHLETS:
        match = nx.isomorphism.GraphMatcher(graphlet, pattern)
        if match.is_isomorphic():
            return {node: orbits[place] for node, place in match.mapping.items()}
    return None


def enumerated(graph: nx.Graph) -> np.ndarray:
    counts: Counter[tuple[object, int]] = Counter()
    for size in (2, 3, 4):
        for nodes in combinations(graph, size):
            counts.update((orbit_of(graph.subgraph(nodes)) or {}).items())
    return np.array([[counts[node, orbit] for orbit in range(15)] for node in graph])


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 8), st.floats(0.2, 0.95), st.integers(0, 10**6))
def test_counts_equal_the_enumeration(nodes, density, seed):
    graph = nx.gnp_random_graph(nodes, density, seed=seed)
    np.testing.assert_array_equal(orbit_counts(graph), enumerated(graph))


@pytest.mark.parametrize("pattern, orbits", GRAPHLETS)
def test_a_graphlet_holds_itself_once_at_each_node(pattern, orbits):
    counts = orbit_counts(pattern)
    assert [row[orbit] for row, orbit in zip(counts, orbits)] == [1] * len(pattern)


def test_counts_follow_the_nodes_names_and_order():
    graph = nx.relabel_nodes(nx.path_graph(4), {0: "d", 1: "a", 2: "c", 3: "b"})
    counts = dict(zip(graph, orbit_counts(graph)))
    assert counts["d"][4] == counts["b"][4] == 1
    assert counts["a"][5] == counts["c"][5] == 1


def test_a_complete_graph_has_binomial_counts():
    counts = orbit_counts(nx.complete_graph(200))
    assert set(counts[:, 14]) == {199 * 198 * 197 // 6}
    assert set(counts[:, 3]) == {199 * 198 // 2}
    assert not counts[:, [1, 2, *range(4, 14)]].any()


def test_every_four_nodes_of_a_dense_graph_are_one_graphlet_or_not_connected():
    graph = nx.gnp_random_graph(20, 0.5, seed=3)
    orbits = orbit_counts(graph).sum(0)
    # How many nodes of that kind a copy of each graphlet has divides the copies out.
    copies = {4: 2, 6: 3, 8: 4, 9: 1, 12: 2, 14: 4}
    connected = sum(orbits[orbit] // nodes for orbit, nodes in copies.items())
    apart = sum(not nx.is_connected(graph.subgraph(four)) for four in combinations(graph, 4))
    assert connected + apart == 20 * 19 * 18 * 17 // 24


def test_small_and_empty_graphs():
    assert orbit_counts(nx.Graph()).shape == (0, len(ORBITS))
    assert not orbit_counts(nx.empty_graph(3)).any()


@pytest.mark.parametrize(
    "graph", [nx.DiGraph([(0, 1)]), nx.Graph([(0, 0), (0, 1)]), np.zeros((2, 3))]
)
def test_what_is_no_simple_graph_is_refused(graph):
    with pytest.raises(DataError, match="wanted"):
        orbit_counts(graph)
