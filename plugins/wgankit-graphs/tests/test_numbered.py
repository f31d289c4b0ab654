"""Graphs with real numbers: the metric, round trips, reasons, networks, metrics, recipe."""

import json
import math

import networkx as nx
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import wasserstein_distance
from torch_geometric.data import Data

import wgankit
from wgankit import DataError, SettingError, ShapeError, pairwise
from wgankit.space import leaves, pick
from wgankit.testing import (
    check_critic,
    check_generator,
    check_metric_space,
    check_penalty_laws,
    check_smooth_space,
)
from wgankit_graphs import GraphCritic, GraphGenerator, GraphLatent, LabelledGraphsDomain
from wgankit_graphs.attributes import evaluate_numbers, names_of
from wgankit_graphs.encoding import decode_graphs, encode_graphs, from_data, to_data
from wgankit_graphs.files import read_graphs, write_graphs
from wgankit_graphs.labelled import Blur, Graphs, one_hot, renumber
from wgankit_graphs.numbered import (
    NumberedGraphs,
    OnLabels,
    canonical_numbering,
    joined,
    numbered,
    relaxed,
)

XY, LENGTH = ["x", "y"], ["length"]


def network(seed: int, least: int = 1, most: int = 9) -> nx.Graph:
    """A random geometric graph with isolated nodes and several components."""
    random = np.random.default_rng(seed)
    places = random.random((int(random.integers(least, most + 1)), 2)) * [100.0, 3.0] + [7e3, 0]
    graph = nx.empty_graph(len(places))
    for node, (x, y) in enumerate(places.tolist()):
        graph.nodes[node].update(x=x, y=y, label="ab"[node % 2])
        for other in range(node):
            far = float(np.linalg.norm(places[node] - places[other]))
            if far < 30:
                graph.add_edge(other, node, length=far)
    return graph


def points_of(count: int, *, hard: bool, size: int = 4):
    """Random points: u = share times number, 0 where nothing is, symmetric."""
    labels = torch.randint(3, (count, size)), torch.randint(3, (count, size, size)).triu(1)
    there = labels[0] > 0
    half = labels[1] * there[:, :, None] * there[:, None, :]
    nodes, edges = one_hot((labels[0], half + half.transpose(1, 2)), 3, 3)
    if not hard:
        nodes, edges = Blur(0.5)(Graphs(nodes, edges))
    far = torch.randn(count, size, size, 1)
    numbers = torch.randn(count, size, 2) * (1 - nodes[..., :1])
    return joined(Graphs(nodes, edges), numbers, (far + far.transpose(1, 2)) * (1 - edges[..., :1]))


# The metric ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("p", [1.0, 2.0, 3.0])
@pytest.mark.parametrize("kept", [(0, 1, 2, 3), (0, 1, 2), (0, 1, 3)])
def test_laws(p, kept):
    torch.manual_seed(0)
    space = NumberedGraphs(1.0, 0.5, p, node_number_weight=0.7, edge_number_weight=2.0)
    for hard in (True, False):
        drawn = points_of(7, hard=hard)
        points = tuple(drawn[place] for place in kept)
        check_metric_space(space, points)
    check_smooth_space(space, points)
    if p < 3:
        check_penalty_laws(space, points)


@given(seed=st.integers(0, 10_000), p=st.sampled_from([1.0, 2.0, 2.5]))
@settings(deadline=None, max_examples=25)
def test_distance_is_what_is_written_down(seed, p):
    """Node by node and pair by pair, each unordered pair once."""
    torch.manual_seed(seed)
    x, y = points_of(3, hard=seed % 2 == 0), points_of(3, hard=True)
    weights = torch.rand(4) + 0.1
    a, b, c, e = weights.tolist()
    space = NumberedGraphs(a, b, p, node_number_weight=c, edge_number_weight=e)
    wanted = []
    for graph in range(3):
        change = [(u[graph] - v[graph]).double() for u, v in zip(x, y)]
        sites = range(change[0].shape[0])
        total = sum((a * change[0][i].abs().sum() / 2) ** p for i in sites)
        total += sum((c * change[2][i].norm()) ** p for i in sites)
        for i in sites:
            for j in range(i):
                total += (b * change[1][i, j].abs().sum() / 2) ** p
                total += (e * change[3][i, j].norm()) ** p
        wanted.append(total ** (1 / p))
    assert torch.allclose(space.distance(x, y).double(), torch.stack(wanted), rtol=1e-4)
    table = pairwise(space, x, y)
    assert torch.allclose(table.diagonal().double(), torch.stack(wanted), rtol=1e-4)


@given(seed=st.integers(0, 10_000), p=st.sampled_from([1.5, 2.0, 3.0]))
@settings(deadline=None, max_examples=25)
def test_dual_norm_is_reached_by_the_best_direction(seed, p):
    """<g, v> = |g| |v| for the direction of Hoelder's inequality, and no other gets above."""
    torch.manual_seed(seed)
    c, e = (torch.rand(2) + 0.3).tolist()
    space = NumberedGraphs(p=p, node_number_weight=c, edge_number_weight=e)
    x = points_of(1, hard=True)
    gradient = (*(torch.zeros_like(part) for part in x[:2]), *(torch.randn_like(u) for u in x[2:]))
    q = p / (p - 1)
    nodes, both = gradient[2] / c, (gradient[3] + gradient[3].transpose(1, 2)) / e
    both = both * (1 - torch.eye(4))[None, ..., None]
    # Of a site's gradient g the best change is along g with length |g|^(q - 1).
    best = [site * site.norm(dim=-1, keepdim=True) ** (q - 2) for site in (nodes, both)]
    way = (x[2] + best[0] / c, x[3] + torch.nan_to_num(best[1]) / e)
    length = space.distance((*x[:2], *way), x)
    gain = sum((g * (u - v)).sum() for g, u, v in zip(gradient[2:], way, x[2:], strict=True))
    # Directions move both entries of a pair, each of which has its own part of the gradient.
    norm = space.dual_norm(x, gradient)
    assert float(gain) == pytest.approx(float(norm * length), rel=1e-3)


def test_equal_numbers_cost_what_labels_cost_and_nothing_costs_nothing():
    """With p = 2 a node that comes costs its edit and its number's way from the mean."""
    none, one = torch.zeros(1, 1).long(), torch.ones(1, 1).long()
    edges, at = torch.zeros(1, 1, 1).long(), []
    for labels, number in ((none, 0.0), (one, 3.0), (one, 0.0)):
        stored = (labels, edges, torch.full((1, 1, 1), number))
        at.append(relaxed(stored, node_labels=2, edge_labels=2))
    space = NumberedGraphs(p=2.0)
    assert float(space.distance(at[0], at[2])) == pytest.approx(1.0)
    assert float(space.distance(at[2], at[1])) == pytest.approx(3.0)
    assert float(space.distance(at[0], at[1])) == pytest.approx(math.sqrt(10))


def test_batches_that_do_not_fit_are_refused():
    nodes, edges, numbers, far = points_of(3, hard=True)
    space = NumberedGraphs()
    with pytest.raises(ShapeError, match="got shapes"):
        numbered((nodes, edges, numbers[:, :2]))
    with pytest.raises(ShapeError, match="the other has none"):
        space.distance((nodes, edges, numbers), (nodes, edges, numbers, far))
    with pytest.raises(ShapeError, match="LabelledGraphs"):
        space.distance((nodes, edges), (nodes, edges))
    with pytest.raises(SettingError, match="weights of numbers"):
        NumberedGraphs(node_number_weight=0)


def test_blurred_labels_bring_graphs_closer_and_leave_numbers():
    torch.manual_seed(0)
    x, y = points_of(20, hard=True), points_of(20, hard=True)
    # Under one draw: both graphs have the same nodes, as the claim about Blur wants.
    y = (x[0], y[1] * 0 + x[1], y[2], y[3])
    space = NumberedGraphs(p=2.0)
    noise = OnLabels(Blur(0.5))
    torch.manual_seed(1)
    a = noise(x)
    torch.manual_seed(1)
    b = noise(y)
    assert torch.equal(a[2], x[2])
    assert torch.equal(a[3], x[3])
    assert not torch.equal(a[1], x[1])
    assert bool((space.distance(a, b) <= space.distance(x, y) + 1e-5).all())


@settings(deadline=None, max_examples=25)
@given(seed=st.integers(0, 10_000), kept=st.sampled_from([(0, 1, 2, 3), (0, 1, 2)]))
def test_canonical_numbering_is_one_of_the_graph(seed, kept):
    """A graph under any numbering comes out as one point, at distance 0 from itself renumbered."""
    torch.manual_seed(seed)
    drawn = points_of(4, hard=True, size=5)
    points = tuple(drawn[place] for place in kept)
    order = torch.stack([torch.randperm(5) for _ in range(4)])
    moved = moved_by(points, order)
    one, other = canonical_numbering(points), canonical_numbering(moved)
    # Nodes that are not there are all alike, whichever comes first.
    assert all(torch.equal(a, b) for a, b in zip(one, other, strict=True))
    for graph in range(4):
        assert sorted(one[2][graph].tolist()) == sorted(points[2][graph].tolist())


def moved_by(points, order):
    labels, nodes, edges = numbered(points)
    if edges is not None:
        edges = renumber(Graphs(labels.nodes, edges), order).edges
    nodes = nodes.gather(1, order[..., None].expand_as(nodes))
    return joined(renumber(labels, order), nodes, edges)


# Encoding -----------------------------------------------------------------------------------------


@settings(deadline=None, max_examples=30)
@given(st.lists(st.integers(0, 10_000), min_size=1, max_size=5))
def test_decoding_undoes_encoding_to_float_precision(seeds):
    graphs = [network(seed, least=2) for seed in seeds]
    edges = LENGTH if any(graph.number_of_edges() for graph in graphs) else []
    encoded = encode_graphs(graphs, node_numbers=XY, edge_numbers=edges)
    decoded = decode_graphs(leaves(encoded.points), encoded.vocabulary)
    assert json.loads(json.dumps(encoded.vocabulary)) == encoded.vocabulary
    for graph, back in zip(graphs, decoded, strict=True):
        assert dict(back.nodes(data="label")) == dict(graph.nodes(data="label"))
        assert set(back.edges) == set(graph.edges)
        views = [(graph.nodes, back.nodes, "x", 100.0), (graph.nodes, back.nodes, "y", 3.0)]
        views += [(graph.edges, back.edges, "length", 30.0)] if edges else []
        for before, after, name, unit in views:
            for key in before:
                assert after[key][name] == pytest.approx(before[key][name], abs=2e-7 * unit)


def test_stored_numbers_have_mean_0_and_deviation_1_and_stand_both_ways():
    graphs = [network(seed, least=4) for seed in range(30)]
    points, vocabulary, *_ = vars(
        encode_graphs(graphs, node_numbers=XY, edge_numbers=LENGTH)
    ).values()
    labels, nodes, edges = numbered(points)
    there = labels[0] > 0
    assert torch.allclose(nodes[there].mean(0), torch.zeros(2), atol=1e-5)
    assert torch.allclose(nodes[there].std(0, correction=0), torch.ones(2), atol=1e-5)
    assert float(edges[labels[1] > 0].std(correction=0)) == pytest.approx(1, abs=1e-5)
    assert torch.equal(edges, edges.transpose(1, 2))
    assert not nodes[~there].any()
    assert not edges[labels[1] == 0].any()
    values = [row["y"] for graph in graphs for _, row in graph.nodes(data=True)]
    assert vocabulary["node_numbers"][1]["mean"] == pytest.approx(np.mean(values))
    assert vocabulary["node_numbers"][1]["deviation"] == pytest.approx(np.std(values))


def test_a_number_that_never_changes_keeps_its_value():
    graph = nx.path_graph(3)
    nx.set_node_attributes(graph, 0.1, "x")
    encoded = encode_graphs([graph], node_numbers=["x"])
    assert encoded.vocabulary["node_numbers"][0]["deviation"] == 1.0
    (back,) = decode_graphs(leaves(encoded.points), encoded.vocabulary)
    assert dict(back.nodes(data="x")) == {0: 0.1, 1: 0.1, 2: 0.1}


def test_relaxed_points_decode_to_the_expected_numbers():
    """A share of 0.7 of an edge times its number, divided by the share, is the number."""
    vocabulary = {
        "nodes": [None], "edges": [None], "size": 2, "sizes": [0, 0, 1],
        "node_attribute": None, "edge_attribute": None,
        "edge_numbers": [{"name": "length", "mean": 5.0, "deviation": 2.0}],
    }  # fmt: skip
    nodes = torch.tensor([[[0.0, 1.0], [0.0, 1.0]]])
    share = 0.7 * (1 - torch.eye(2))
    edges = torch.stack([1 - share, share], -1)[None]
    number = (share * torch.tensor([[0.0, 1.0], [2.0, 0.0]]))[None, ..., None]
    (graph,) = decode_graphs((nodes, edges, number), vocabulary)
    assert graph.edges[0, 1]["length"] == pytest.approx(5 + 2 * 1.5)
    with pytest.raises(ShapeError, match="0 numbers of nodes and 1 of edges"):
        decode_graphs((nodes, edges), vocabulary)


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda graph: graph.nodes[0].pop("x"), "node without a number 'x'"),
        (lambda graph: graph.nodes[0].update(x=float("nan")), "attribute 'x' that is NaN"),
        (lambda graph: graph.nodes[0].update(x=10**400), "attribute 'x' that is NaN or inf"),
        (lambda graph: graph.nodes[0].update(x="3.5"), "attribute 'x' that is no number"),
        (lambda graph: graph.nodes[0].update(x=True), "attribute 'x' that is no number"),
        (lambda graph: graph.edges[0, 1].pop("length"), "edge without a number 'length'"),
        (lambda graph: graph.edges[0, 1].update(length=math.inf), "'length' that is NaN or inf"),
    ],
)
def test_numbers_that_cannot_be_used_are_counted_by_reason(spoil, reason):
    graphs = [nx.path_graph(3) for _ in range(4)]
    for graph in graphs:
        nx.set_node_attributes(graph, {0: 1.0, 1: np.float32(2), 2: torch.tensor(3)}, "x")
        nx.set_edge_attributes(graph, {(0, 1): 1, (1, 2): 2.5}, "length")
    spoil(graphs[2])
    encoded = encode_graphs(graphs, node_numbers=["x"], edge_numbers=["length"])
    assert encoded.kept == [0, 1, 3]
    ((found, count),) = encoded.skipped.items()
    assert reason in found
    assert count == 1
    again = encode_graphs(graphs, encoded.vocabulary)
    assert again.kept == [0, 1, 3]
    assert all(torch.equal(a, b) for a, b in zip(again.points, encoded.points, strict=True))


@pytest.mark.parametrize("names", ["x", ["x", "x"], ["label"], [3]])
def test_names_that_mean_nothing_are_refused(names):
    with pytest.raises(SettingError, match="node_numbers"):
        LabelledGraphsDomain(node_numbers=names)
    with pytest.raises(SettingError, match="node_numbers"):
        encode_graphs([nx.path_graph(2)], node_numbers=names)


def test_numbers_without_any_edge_or_beyond_squares_are_refused():
    with pytest.raises(DataError, match="no graph has any edges"):
        encode_graphs([nx.empty_graph(3)], edge_numbers=["length"])
    graph = nx.path_graph(2)
    nx.set_node_attributes(graph, {0: 1e308, 1: -1e308}, "x")
    with pytest.raises(DataError, match="too large"):
        encode_graphs([graph], node_numbers=["x"])


def test_without_numbers_nothing_is_different():
    graphs = [network(seed) for seed in range(10)]
    encoded = encode_graphs(graphs)
    assert type(encoded.points).__name__ == "GraphLabels"
    assert not {"node_numbers", "edge_numbers"} & set(encoded.vocabulary)
    space = LabelledGraphsDomain().build(encoded.vocabulary, {"model": {}}).space
    assert type(space).__name__ == "LabelledGraphs"
    with pytest.raises(SettingError, match="no setting node_number_weight"):
        LabelledGraphsDomain().build(encoded.vocabulary, {"model": {"node_number_weight": 1}})


# torch_geometric and files ------------------------------------------------------------------------


@pytest.mark.parametrize("known", [False, True])
def test_last_columns_of_data_are_numbers(known):
    graphs = [network(seed, least=5) for seed in range(6)]
    for graph in graphs:
        nx.set_node_attributes(graph, {node: node % 2 for node in graph}, "label")
    names = {"node_numbers": XY, "edge_numbers": LENGTH}
    encoded = encode_graphs(graphs, **names)
    how = {"vocabulary": encoded.vocabulary} if known else names
    for graph in graphs:
        data = to_data(graph, **how)
        assert data.x.shape == (len(graph), (2 if known else 1) + 2)
        assert data.edge_attr.shape == (2 * graph.number_of_edges(), 1)
        back = from_data(data, **how)
        assert set(back.edges) == set(graph.edges)
        for name, unit in (("x", 7e3), ("y", 3), ("label", 1)):
            for node in graph:
                assert back.nodes[node][name] == pytest.approx(
                    graph.nodes[node][name], abs=1e-7 * unit
                )
        for edge in graph.edges:
            assert back.edges[edge]["length"] == pytest.approx(graph.edges[edge]["length"])
    by_data = encode_graphs([to_data(graph, **names) for graph in graphs], **names)
    for a, b in zip(encoded.points, by_data.points, strict=True):
        assert torch.allclose(a.float(), b.float(), atol=1e-4)


def test_data_that_do_not_fit_are_refused():
    ends = torch.tensor([[0, 1], [1, 0]])
    with pytest.raises(DataError, match="last 2 should be"):
        from_data(Data(x=torch.rand(2, 1), edge_index=ends), node_numbers=XY)
    one_way = Data(edge_index=ends, edge_attr=torch.tensor([1.0, 2.0]), num_nodes=2)
    with pytest.raises(DataError, match="directed"):
        from_data(one_way, edge_numbers=["length"])
    spoilt = Data(x=torch.tensor([1.0, math.nan]), edge_index=ends)
    with pytest.raises(DataError, match="NaN"):
        from_data(spoilt, node_numbers=["x"])
    assert sum(encode_graphs([spoilt, Data(x=torch.ones(2), edge_index=ends)],
                             node_numbers=["x"]).skipped.values()) == 1  # fmt: skip


@pytest.mark.parametrize("name", ["set.npz", "folder"])
def test_files_keep_numbers(tmp_path, name):
    graphs = [network(seed, least=3) for seed in range(5)]
    write_graphs(graphs, tmp_path / name)
    for graph, back in zip(graphs, read_graphs(tmp_path / name).objects, strict=True):
        back = nx.relabel_nodes(back, {node: int(node) for node in back})
        assert back.adj == graph.adj
        assert back.nodes == graph.nodes


def test_numbers_of_a_file_that_do_not_fit_are_refused(tmp_path):
    arrays = {"nodes": np.array([2]), "edges": np.array([[0, 0, 1]])}
    np.savez(tmp_path / "x.npz", **arrays, node_x=np.array([1.0]))
    with pytest.raises(DataError, match="node_x needs one floating-point number for each of 2"):
        read_graphs(tmp_path / "x.npz")


# Networks -----------------------------------------------------------------------------------------

COUNTS = [(2, 1), (2, 0), (0, 2)]


def networks(nodes, edges):
    torch.manual_seed(0)
    numbers = {"node_numbers": nodes, "edge_numbers": edges}
    latent = GraphLatent([0, 0, 1, 2, 3, 4], 5, per_node=4, per_graph=6)
    sizes = {"per_node": 4, "per_graph": 6, "width": 16, "layers": 2}
    generator = GraphGenerator(4, 3, 5, **sizes, **numbers)
    return latent, generator, GraphCritic(4, 3, width=16, layers=2, **numbers)


@pytest.mark.parametrize("counts", COUNTS)
def test_laws_of_the_networks(counts):
    latent, generator, critic = networks(*counts)
    check_generator(generator, latent, NumberedGraphs(p=2.0))
    with torch.no_grad():
        points = generator(latent.sample(12, "cpu"))
    check_critic(critic, points)


@pytest.mark.parametrize("counts", COUNTS)
def test_generator_is_equivariant_and_critic_invariant(counts):
    latent, generator, critic = networks(*counts)
    z, shared, there, slots = latent.sample(6, "cpu")
    for network_ in (generator.train(), generator.eval()):
        order = torch.randperm(5)
        with torch.no_grad():
            plain = network_((z, shared, there, slots))
            moved = network_((z[:, order], shared, there[:, order], slots[:, order]))
            labels, nodes, edges = numbered(plain)
            places = order.expand(6, -1)
            wanted = renumber(labels, places)
            if edges is not None:
                edges = renumber(Graphs(labels.nodes, edges), places).edges
            wanted = joined(wanted, None if nodes is None else nodes[:, order], edges)
            for one, other in zip(moved, wanted, strict=True):
                assert torch.allclose(one, other, atol=1e-5)
            assert torch.allclose(critic(plain), critic(moved), atol=1e-4)


def test_numbers_are_0_where_nothing_is():
    latent, generator, _ = networks(2, 1)
    drawn = latent.sample(40, "cpu")
    _nodes, edges, numbers, far = generator.eval()(drawn)
    there = drawn[2] > 0
    assert not numbers[~there].any()
    assert bool(numbers[there].all())
    joined_ = edges[..., 0] == 0
    assert not far[~joined_].any()
    assert torch.equal(far, far.transpose(1, 2))


def test_critic_tells_numbers_of_edges_that_fit_their_ends_from_others():
    """The same laws of places, of edges and of lengths; lengths on the wrong edges."""
    torch.manual_seed(0)
    _, _, critic = networks(1, 1)
    places = torch.tensor([[[-1.0], [0.0], [3.0], [4.0]]])
    nodes = torch.ones(1, 4).long()
    edges = torch.tensor([[0, 1, 0, 0], [1, 0, 1, 0], [0, 1, 0, 1], [0, 0, 1, 0]])[None]
    lengths = edges * (places - places.transpose(1, 2)).abs()
    wrong = lengths.clone()
    for (i, j), value in {(0, 1): 3.0, (1, 2): 1.0}.items():
        wrong[0, i, j] = wrong[0, j, i] = value
    critic = GraphCritic(2, 2, width=16, layers=1, node_numbers=1, edge_numbers=1)
    with torch.no_grad():
        scores = [
            critic(relaxed((nodes, edges, places, far[..., None]), node_labels=2, edge_labels=2))
            for far in (lengths, wrong)
        ]
    assert abs(float(scores[0] - scores[1])) > 1e-4


# Metrics and the recipe ---------------------------------------------------------------------------


def test_metrics_are_exact_transport_of_the_numbers():
    made, known, real = ([network(s, least=4) for s in range(a, a + 8)] for a in (0, 50, 100))
    scores = evaluate_numbers(made, known, real, names_of(XY, LENGTH))
    for name, side in (("node_y_w1", made), ("node_y_w1_floor", known)):
        values = [
            [row["y"] for g in some for _, row in g.nodes(data=True)] for some in (side, real)
        ]
        assert scores[name] == pytest.approx(wasserstein_distance(*values))
    values = [[far for g in some for *_, far in g.edges(data="length")] for some in (made, real)]
    assert scores["edge_length_w1"] == pytest.approx(wasserstein_distance(*values))
    bare = [nx.create_empty_copy(graph) for graph in made]
    assert math.isnan(evaluate_numbers(bare, known, real, names_of(XY, LENGTH))["edge_length_w1"])


QUICK = {"steps": 3, "batch": 8, "evaluate_on": 10, "evaluate_every": 3, "compile": False}
SMALL = {"width": 16, "layers": 1, "generator_layers": 1}


def test_graphs_with_numbers_in_and_out(tmp_path):
    """Isolated nodes and several components among them; a loaded run needs no names."""
    graphs = [network(seed) for seed in range(40)]
    assert not all(nx.is_connected(graph) for graph in graphs)
    assert any(nx.number_of_isolates(graph) for graph in graphs)
    domain = LabelledGraphsDomain(node_numbers=XY, edge_numbers=LENGTH)
    recipe = wgankit.Recipe(domain, "graphs")
    settings = {**QUICK, "device": "cpu", "progress": False, "model": SMALL}
    recipe.fit(graphs, out=tmp_path / "run", **settings)
    assert recipe.config["objects"] == 40
    drawn = recipe.sample(20, seed=1)
    for graph in drawn:
        assert all({"x", "y"} <= set(row) for _, row in graph.nodes(data=True))
        assert all(set(row) == {"length"} for *_, row in graph.edges(data=True))
    loaded = wgankit.load(tmp_path / "run")
    for one, two in zip(drawn, loaded.sample(20, seed=1), strict=True):
        assert nx.utils.graphs_equal(one, two)
    scores, again = recipe.evaluate(drawn), loaded.evaluate(drawn)
    assert {"node_x_w1", "node_y_w1_floor", "edge_length_w1_floor"} <= set(scores)
    assert {name: again[name] for name in scores if "w1" in name and "floor" in name} == {
        name: scores[name] for name in scores if "w1" in name and "floor" in name
    }
    assert "node x w1" in recipe.folder.report.read_text()
    points = pick(recipe.prepared(recipe.points()), slice(0, 8))
    check_metric_space(recipe.model.space, points)


def test_networks_without_numbers_are_refused_for_graphs_with_them():
    encoded = encode_graphs([network(s) for s in range(5)], node_numbers=XY)
    for model in ({"generator": "blocks"}, {"critic": "walks"}):
        with pytest.raises(SettingError, match="graphs with numbers have the"):
            LabelledGraphsDomain().build(encoded.vocabulary, {"model": model})
