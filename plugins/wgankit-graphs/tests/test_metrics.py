"""Graph metrics against published references, plain implementations and known answers."""

import os
from itertools import combinations, product
from pathlib import Path

import networkx as nx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wgankit.errors import DataError, SettingError
from wgankit_graphs import metrics
from wgankit_graphs.datasets import lobster, planar, sbm, tree
from wgankit_graphs.encoding import to_data
from wgankit_graphs.files import read_graphs
from wgankit_graphs.metrics import (
    clustering_mmd,
    degree_mmd,
    evaluate_graphs,
    is_lobster,
    is_planar_graph,
    is_sbm,
    is_tree,
    isomorphism_classes,
    novel,
    orbit_mmd,
    ratio,
    spectrum_mmd,
    unique,
    vun,
)
from wgankit_graphs.orbits import orbit_counts

MMDS = (degree_mmd, clustering_mmd, orbit_mmd, spectrum_mmd)

# Training against test sets, as printed by Qin et al. (ICML 2025), table 7.
PUBLISHED = {
    "planar": (0.0002, 0.0310, 0.0005, 0.0038),
    "sbm": (0.0008, 0.0332, 0.0255, 0.0027),
    "tree": (0.0001, 0.0000, 0.0000, 0.0074),
}


@st.composite
def graph_sets(draw):
    count = draw(st.integers(1, 4))
    return [
        nx.gnp_random_graph(
            draw(st.integers(1, 9)), draw(st.floats(0, 1)), seed=draw(st.integers(0, 999))
        )
        for _ in range(count)
    ]


def shuffled(graph, seed):
    order = np.random.default_rng(seed).permutation(len(graph)).tolist()
    result = nx.Graph()
    result.add_nodes_from((order[place], graph.nodes[node]) for place, node in enumerate(graph))
    name = dict(zip(graph, order))
    result.add_edges_from((name[u], name[v], data) for u, v, data in graph.edges(data=True))
    return result


# MMD ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_references_are_reproduced(name):
    folder = os.environ.get("WGANKIT_GRAPH_SPLITS")
    path = Path(folder or ".") / f"{name}_graphs.npz"
    if not folder or not path.exists():
        pytest.skip("set WGANKIT_GRAPH_SPLITS to a folder with planar, sbm and tree_graphs.npz")
    training, held_out = (read_graphs(path, split=split).objects for split in ("train", "test"))
    assert (len(training), len(held_out)) == (128, 40)
    found = [mmd(training, held_out) for mmd in MMDS]
    assert found == pytest.approx(PUBLISHED[name], abs=1e-4)
    assert ratio(training, training, held_out) == pytest.approx(1)


def plain_mmd(name, a, b):
    """The published definition, one pair of graphs after another."""

    def row(graph):
        if name == "degree":
            return np.array(nx.degree_histogram(graph)) / len(graph)
        if name == "clustering":
            values = list(nx.clustering(graph).values())
            return np.histogram(values, bins=100, range=(0.0, 1.0))[0] / len(graph)
        if name == "orbit":
            return orbit_counts(graph).sum(0) / len(graph)
        values = np.linalg.eigvalsh(nx.normalized_laplacian_matrix(graph).toarray())
        return np.histogram(values, bins=200, range=(-1e-5, 2.0))[0] / len(graph)

    def kernel(g, h):
        x, y = row(g), row(h)
        width = max(len(x), len(y))
        x, y = np.pad(x, (0, width - len(x))), np.pad(y, (0, width - len(y)))
        sigma = {"degree": 1.0, "clustering": 0.1, "orbit": 30.0, "spectrum": 1.0}[name]
        return np.exp(-((np.abs(x - y).sum() / 2) ** 2) / (2 * sigma**2))

    def mean(s, t):
        return np.mean([kernel(g, h) for g, h in product(s, t)])

    return mean(a, a) + mean(b, b) - 2 * mean(a, b)


@pytest.mark.parametrize("mmd", MMDS)
@settings(max_examples=15, deadline=None)
@given(a=graph_sets(), b=graph_sets())
def test_mmd_is_the_plain_definition(mmd, a, b):
    if mmd is spectrum_mmd:
        # A bin edge at an eigenvalue decides by the last bit: keep to spectra away from edges.
        a, b = ([g for g in some if away_from_edges(g)] for some in (a, b))
        if not a or not b:
            return
    name = mmd.__name__.removesuffix("_mmd")
    assert mmd(a, b) == pytest.approx(plain_mmd(name, a, b), abs=1e-9)


def away_from_edges(graph):
    edges = np.linspace(-1e-5, 2.0, 201)
    values = np.linalg.eigvalsh(nx.normalized_laplacian_matrix(graph).toarray())
    return np.abs(values[:, None] - edges).min() > 1e-9


def test_laplacian_spectra_are_those_of_networkx():
    for graph in [*sbm(3), *tree(3), nx.empty_graph(4), nx.complete_bipartite_graph(3, 4)]:
        matrix = nx.to_numpy_array(graph)
        theirs = nx.normalized_laplacian_spectrum(graph)
        np.testing.assert_allclose(metrics.laplacian_spectrum(matrix), theirs, atol=1e-10)
        ours = metrics.local_clustering(matrix)
        np.testing.assert_array_equal(ours, list(nx.clustering(graph).values()))


@pytest.mark.parametrize("mmd", MMDS)
def test_sets_that_share_nothing_are_as_far_as_can_be(mmd):
    # Singular histograms have TV = 1: the MMD of two single graphs is 2 - 2 exp(-1 / (2 sigma^2)).
    far = {
        degree_mmd: (nx.complete_graph(3), nx.complete_graph(2), 1.0),
        clustering_mmd: (nx.complete_graph(3), nx.path_graph(3), 0.1),
        spectrum_mmd: (nx.Graph(), nx.path_graph(3), 1.0),
        orbit_mmd: (nx.Graph(), nx.path_graph(2), 60.0),  # half of one count each: 1/2 over 30
    }
    a, b, sigma = far[mmd]
    assert mmd([a], [b]) == pytest.approx(2 - 2 * np.exp(-1 / (2 * sigma**2)))


@pytest.mark.parametrize("mmd", MMDS)
def test_mmd_vanishes_on_equal_sets_and_ignores_names(mmd):
    some = [*planar(3, nodes=12), nx.Graph(), nx.empty_graph(1)]
    assert mmd(some, [shuffled(graph, 1) for graph in some]) == pytest.approx(0, abs=1e-12)
    assert mmd(some, tree(3, nodes=12)) > 1e-3
    assert mmd(some, tree(3, nodes=12)) == pytest.approx(mmd(tree(3, nodes=12), some))


def test_empty_sets_and_wrong_graphs_are_refused():
    for mmd in MMDS:
        with pytest.raises(DataError, match="at least one graph"):
            mmd([], [nx.path_graph(2)])
        with pytest.raises(DataError, match="undirected"):
            mmd([nx.DiGraph([(0, 1)])], [nx.path_graph(2)])
        with pytest.raises(DataError, match="not a graph"):
            mmd(["x"], [nx.path_graph(2)])


def test_ratio_of_the_training_set_is_one_and_needs_a_denominator():
    training, held_out = tree(8, 1, nodes=12), tree(8, 2, nodes=12)
    assert ratio(training, training, held_out) == pytest.approx(1)
    assert ratio(held_out, training, held_out) == pytest.approx(0)
    with pytest.raises(DataError, match="no denominator"):
        ratio(training, held_out, held_out)


# Validity -----------------------------------------------------------------------------------------


def is_lobster_by_definition(graph):
    distance = dict(nx.all_pairs_shortest_path_length(graph))
    return any(
        all(
            min(distance[node][stop] for stop in nx.shortest_path(graph, u, v)) <= 2
            for node in graph
        )
        for u, v in combinations([*graph, *list(graph)[:1]], 2)
    )


@pytest.mark.parametrize("nodes", range(2, 12))
def test_lobsters_among_all_trees(nodes):
    trees = list(nx.nonisomorphic_trees(nodes))
    assert [is_lobster(t) for t in trees] == [is_lobster_by_definition(t) for t in trees]
    if nodes == 10:  # the spider with three legs of three nodes is the smallest that is none
        assert sum(map(is_lobster, trees)) == 105


def test_validity_of_known_graphs():
    assert is_planar_graph(nx.complete_graph(4))
    assert not is_planar_graph(nx.complete_graph(5))
    assert not is_planar_graph(nx.complete_bipartite_graph(3, 3))
    assert not is_planar_graph(nx.empty_graph(2))
    assert is_tree(nx.star_graph(5))
    assert not is_tree(nx.cycle_graph(4))
    assert not is_tree(nx.Graph([(0, 1), (2, 3)]))
    assert not is_lobster(nx.cycle_graph(4))
    for valid in (is_planar_graph, is_tree, is_lobster):
        assert valid(nx.empty_graph(1))
        assert not valid(nx.Graph())
    assert not is_sbm(nx.Graph())
    assert not is_sbm(nx.empty_graph(1))


def test_block_model_test_accepts_the_true_and_rejects_the_structureless():
    true = sbm(100, 5)
    random = [nx.gnm_random_graph(len(g), g.number_of_edges(), seed=1) for g in true]
    assert np.mean([is_sbm(graph) for graph in true]) >= 0.85
    assert np.mean([is_sbm(graph) for graph in random]) <= 0.05


def blocks(sizes, within, between, seed):
    p = np.full((len(sizes), len(sizes)), between)
    np.fill_diagonal(p, within)
    return nx.Graph(nx.stochastic_block_model(sizes, p, seed=seed))


@pytest.mark.parametrize(
    "sizes, within, between",
    [
        ([30, 30, 30], 0.15, 0.005),
        ([30, 30, 30], 0.45, 0.005),
        ([30, 30, 30], 0.3, 0.03),
        ([55, 35], 0.3, 0.005),
        ([30, 30, 12], 0.3, 0.005),
        ([30] * 6, 0.3, 0.005),
        ([60], 0.3, 0.005),
        ([30, 30, 30], 0.0, 0.0),
    ],
)
def test_block_model_test_rejects_other_blocks(sizes, within, between):
    wrong = [blocks(sizes, within, between, seed) for seed in range(10)]
    assert sum(map(is_sbm, wrong)) <= 1


def test_block_model_test_ignores_names_and_checks_its_level():
    graph = sbm(1, 5)[0]
    assert is_sbm(graph)
    assert is_sbm(shuffled(graph, 2))
    with pytest.raises(SettingError, match="level"):
        is_sbm(graph, level=1.5)


# Uniqueness and novelty ---------------------------------------------------------------------------


def all_graphs(nodes):
    pairs = list(combinations(range(nodes), 2))
    for chosen in product([False, True], repeat=len(pairs)):
        graph = nx.empty_graph(nodes)
        graph.add_edges_from(pair for pair, there in zip(pairs, chosen) if there)
        yield graph


@pytest.mark.parametrize("nodes, classes", [(1, 1), (2, 2), (3, 4), (4, 11), (5, 34)])
def test_the_number_of_graphs_up_to_isomorphism(nodes, classes):
    assert len(set(isomorphism_classes(list(all_graphs(nodes))))) == classes


def test_the_atlas_has_no_duplicates():
    atlas = nx.graph_atlas_g()[1:]
    assert unique(atlas) == 1
    again = [shuffled(graph, seed) for seed, graph in enumerate(atlas)]
    assert isomorphism_classes(atlas + again) == list(range(len(atlas))) * 2
    assert novel(again, atlas) == 0
    assert novel(atlas[800:], atlas[:800]) == 1


def test_graphs_that_colours_cannot_tell_apart():
    rook = nx.line_graph(nx.complete_bipartite_graph(4, 4))
    steps = [(0, 1), (1, 0), (1, 1)]
    shrikhande = nx.Graph(
        ((a, b), ((a + i) % 4, (b + j) % 4)) for a in range(4) for b in range(4) for i, j in steps
    )
    assert set(dict(rook.degree).values()) == set(dict(shrikhande.degree).values()) == {6}
    graphs = [rook, shrikhande, shuffled(rook, 1), shuffled(shrikhande, 2)]
    assert isomorphism_classes(graphs) == [0, 1, 0, 1]
    hexagon, triangles = nx.cycle_graph(6), nx.disjoint_union(*[nx.cycle_graph(3)] * 2)
    assert isomorphism_classes([hexagon, triangles]) == [0, 1]
    # The same as labels of a complete graph: each node has two edges "a", in one cycle or two.
    complete = [nx.complete_graph(6) for _ in range(3)]
    for graph, part in zip(complete, (hexagon, triangles, shuffled(hexagon, 3))):
        nx.set_edge_attributes(graph, dict.fromkeys(part.edges, "a"), "label")
    assert isomorphism_classes(complete) == [0, 1, 0]


@st.composite
def labelled_graphs(draw):
    graph = nx.gnp_random_graph(draw(st.integers(1, 4)), 0.6, seed=draw(st.integers(0, 30)))
    for view in (graph.nodes, graph.edges):
        for key in view:
            label = draw(st.sampled_from([None, "a", 1]))
            if label is not None:
                view[key]["label"] = label
    return graph


@settings(max_examples=40, deadline=None)
@given(st.lists(labelled_graphs(), min_size=2, max_size=6))
def test_labels_must_agree(graphs):
    same = nx.isomorphism.categorical_node_match("label", None)
    edge = nx.isomorphism.categorical_edge_match("label", None)
    for a, b in combinations(graphs, 2):
        expected = nx.is_isomorphic(a, b, node_match=same, edge_match=edge)
        assert (isomorphism_classes([a, b]) == [0, 0]) == expected
        structure = isomorphism_classes([a, b], node_attribute=None, edge_attribute=None)
        assert (structure == [0, 0]) == nx.is_isomorphic(a, b)
    moved = [shuffled(graph, 7) for graph in graphs]
    first = isomorphism_classes(graphs)
    assert isomorphism_classes(graphs + moved) == first * 2


def test_vun_of_a_known_set():
    training = [nx.star_graph(3), nx.path_graph(5)]
    graphs = [
        nx.path_graph(4),  # valid, first of its class, novel
        shuffled(nx.path_graph(4), 1),  # valid, not the first
        nx.path_graph(5),  # valid, but known
        nx.cycle_graph(4),  # not valid
        nx.Graph(),  # not valid
    ]
    assert vun(graphs, training, is_tree) == {"valid": 0.6, "unique": 0.8, "novel": 0.8, "vun": 0.2}
    assert vun(graphs, [], is_tree)["novel"] == 1
    with pytest.raises(DataError, match="no generated graphs"):
        vun([], training, is_tree)


# Everything at once -------------------------------------------------------------------------------


def test_evaluation_is_made_of_the_single_metrics():
    training, made = (make(12, 1, nodes=16) for make in (tree, planar))
    held_out = tree(12, 2, nodes=16)
    made[1] = shuffled(made[0], 1)
    scores = evaluate_graphs(made, training, held_out)
    assert scores["graphs"] == 12
    assert scores["unique"] == pytest.approx(11 / 12)
    assert scores["novel"] == 1
    for mmd in MMDS:
        assert scores[mmd.__name__] == pytest.approx(mmd(made, held_out))
        assert scores[f"{mmd.__name__}_floor"] == pytest.approx(mmd(training, held_out))
    assert scores["mean_nodes"] == scores["mean_nodes_held_out"] == 16
    assert scores["mean_edges_held_out"] == 15
    assert all(type(value) is float for value in scores.values())


def test_a_perfect_generator_is_at_the_floor():
    scores = evaluate_graphs(tree(60, 1, nodes=20), tree(300, 2, nodes=20), tree(100, 3, nodes=20))
    for name in ("degree_mmd", "spectrum_mmd"):
        assert scores[name] < 3 * scores[f"{name}_floor"] + 1e-3


def test_many_graphs_are_sampled_but_novelty_sees_all_training_graphs():
    graphs = lobster(560, 1, smallest=3, largest=30)
    scores = evaluate_graphs(graphs, graphs, graphs[:520])
    assert scores["graphs"] == 512
    assert scores["novel"] == 0
    assert evaluate_graphs(graphs, graphs, graphs[:520]) == scores


def test_data_and_networkx_score_the_same():
    graphs = planar(4, nodes=10)
    data = [to_data(graph) for graph in graphs]
    assert evaluate_graphs(data, graphs, data) == evaluate_graphs(graphs, data, graphs)


def test_what_is_missing_is_left_out():
    graphs = [nx.Graph(), nx.empty_graph(1), nx.path_graph(2)]
    assert set(evaluate_graphs(graphs, [], [])) == {"graphs", "unique", "mean_nodes", "mean_edges"}
    full = evaluate_graphs(graphs, graphs, graphs)
    assert all(np.isfinite(list(full.values())))
    assert full["unique"] == 1
    assert "degree_mmd_floor" not in evaluate_graphs(graphs, [], graphs)
    with pytest.raises(DataError, match="no generated graphs"):
        evaluate_graphs([], graphs, graphs)
