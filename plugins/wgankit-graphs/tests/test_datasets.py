"""Sets made by recipe: their laws, their bounds, their seeds; and pictures of them."""

import subprocess
import sys
from collections import Counter
from xml.etree import ElementTree

import networkx as nx
import numpy as np
import pytest
from scipy.stats import chisquare, ks_2samp

from wgankit.errors import DataError, SettingError
from wgankit_graphs.datasets import MADE, community, ego, lobster, planar, sbm, tree
from wgankit_graphs.metrics import is_lobster, is_planar_graph, is_tree
from wgankit_graphs.pictures import draw_graphs


def edge_sets(graphs):
    return [frozenset(map(frozenset, graph.edges)) for graph in graphs]


@pytest.mark.parametrize("make", [planar, tree, lobster, sbm, community, ego])
def test_a_seed_decides_the_graphs(make):
    first = edge_sets(make(5, 3))
    assert edge_sets(make(5, 3)) == first
    assert edge_sets(make(5, 4)) != first
    assert len(set(first)) > 1
    assert make(0, 3) == []
    with pytest.raises(SettingError, match="count=-1"):
        make(-1, 3)


@pytest.mark.parametrize("name", MADE)
def test_every_named_set_needs_no_arguments(name):
    graphs = MADE[name]()
    assert len(graphs) in (100, 200)
    assert all(set(graph) == set(range(len(graph))) for graph in graphs)
    assert not any(nx.number_of_selfloops(graph) for graph in graphs)


def test_planar_graphs_are_triangulations():
    for graph in planar(20):
        assert len(graph) == 64
        assert is_planar_graph(graph)
        # A triangulation of n points of which h lie on the hull has 3 n - 3 - h edges, h >= 3,
        # and then 2 n - 2 - h triangular faces.
        hull = 3 * 64 - 3 - graph.number_of_edges()
        assert hull >= 3
        assert sum(nx.triangles(graph).values()) // 3 >= 2 * 64 - 2 - hull
        assert min(dict(graph.degree).values()) >= 2


def test_trees_are_uniform_on_labelled_trees():
    drawn = Counter(edge_sets(tree(3200, nodes=4)))
    assert len(drawn) == 4 ** (4 - 2)  # Cayley
    assert chisquare(list(drawn.values())).pvalue > 1e-3


def test_trees_of_the_published_size():
    assert all(is_tree(graph) and len(graph) == 64 for graph in tree(10))


def test_lobsters_have_the_law_of_networkx():
    assert all(is_lobster(graph) and 10 <= len(graph) <= 100 for graph in lobster(100))
    ours = lobster(800, nodes=10)  # small, so that few are thrown away
    theirs = []
    make = getattr(nx, "random_lobster_graph", None) or nx.random_lobster
    for seed in range(1000):
        graph = make(10, 0.7, 0.7, seed=seed)
        if 10 <= len(graph) <= 100:
            theirs.append(graph)
    assert len(theirs) > 400
    for statistic in (len, nx.diameter, nodes_of_degree_two, largest_degree):
        assert ks_2samp(list(map(statistic, ours)), list(map(statistic, theirs))).pvalue > 1e-3


def nodes_of_degree_two(graph):
    return sum(degree == 2 for _, degree in graph.degree)


def largest_degree(graph):
    return max(dict(graph.degree).values())


def test_block_model_has_the_published_sizes_and_probabilities():
    graphs = sbm(400)
    sizes = np.array(list(map(len, graphs)))
    assert sizes.min() >= 40
    assert sizes.max() <= 200
    assert abs(sizes.mean() - 30 * 3.5) < 4 * sizes.std() / np.sqrt(len(sizes))
    # Whatever the blocks, the first 20 nodes are in the first and the last 20 in the last.
    within = across = 0
    for graph in graphs:
        last = len(graph) - 20
        within += sum(u < 20 and v < 20 for u, v in graph.edges)
        across += sum(min(u, v) < 20 and max(u, v) >= last for u, v in graph.edges)
    for edges, pairs, p in ((within, 190, 0.3), (across, 400, 0.005)):
        drawn = pairs * len(graphs)
        assert abs(edges - p * drawn) < 4 * np.sqrt(drawn * p * (1 - p))


def test_communities_are_two_halves():
    graphs = community(200)
    assert {len(graph) for graph in graphs} == {12, 14, 16, 18, 20}
    assert all(map(nx.is_connected, graphs))
    across = within = pairs = 0
    for graph in graphs:
        half = len(graph) // 2
        sides = [(u < half) == (v < half) for u, v in graph.edges]
        within += sum(sides)
        across += len(sides) - sum(sides)
        pairs += half * (half - 1)
        assert not all(sides)
    assert abs(within / pairs - 0.7) < 4 * (0.7 * 0.3 / pairs) ** 0.5 + 0.005
    assert 1 <= across / len(graphs) < 2


def test_ego_graphs_have_a_centre():
    for graph in ego(100):
        assert 4 <= len(graph) <= 18
        assert max(dict(graph.degree).values()) == len(graph) - 1


@pytest.mark.parametrize(
    "call",
    [
        lambda: planar(1, nodes=2),
        lambda: tree(1, nodes=0),
        lambda: lobster(1, p1=1.0),
        lambda: lobster(1, smallest=20, largest=10),
        lambda: community(1, smallest=1),
        lambda: ego(1, radius=9),
        lambda: sbm(1, -1),
    ],
)
def test_impossible_settings_are_refused(call):
    with pytest.raises(SettingError):
        call()


# Pictures -----------------------------------------------------------------------------------------


def test_a_picture_says_what_it_shows():
    graphs = [nx.path_graph(3), nx.complete_graph(5), nx.Graph(), nx.empty_graph(1)]
    graphs[0].nodes[0]["label"] = "carbon"
    svg = draw_graphs(graphs, columns=3)
    texts = [element.text for element in ElementTree.fromstring(svg).iter() if element.text]
    for text in ("3 nodes, 2 edges", "5 nodes, 10 edges", "0 nodes, 0 edges", "carbon"):
        assert text in texts
    assert svg == draw_graphs(graphs, columns=3)
    assert draw_graphs([nx.path_graph(2)] * 17).count("2 nodes") == 16


def test_nothing_to_draw_is_refused():
    with pytest.raises(DataError, match="no graphs"):
        draw_graphs([])
    with pytest.raises(SettingError, match="columns=0"):
        draw_graphs([nx.path_graph(2)], columns=0)


def test_drawing_leaves_pyplot_alone():
    code = (
        "import sys, networkx as nx; from wgankit_graphs.pictures import draw_graphs; "
        "draw_graphs([nx.path_graph(3)]); sys.exit('matplotlib.pyplot' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
