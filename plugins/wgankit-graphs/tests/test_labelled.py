"""Labelled graphs: edits are counted exactly, padding is free, numbering does not matter."""

import itertools

import networkx as nx
import numpy as np
import ot
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from wgankit import MetricSpace, exact, pairwise
from wgankit.errors import SettingError, ShapeError
from wgankit.testing import check_metric_space, check_penalty_laws, check_smooth_space
from wgankit_graphs import Graphs, LabelledGraphs, canonical_order, one_hot
from wgankit_graphs.labelled import Blur, harden, renumber


def random_labels(count: int, size: int, node_labels: int = 3, edge_labels: int = 3):
    nodes = torch.randint(node_labels, (count, size))
    half = torch.randint(edge_labels, (count, size, size)).triu(1)
    there = (nodes > 0).long()
    half = half * there[:, :, None] * there[:, None, :]
    return nodes, half + half.transpose(1, 2)


def random_graphs(count: int, size: int) -> Graphs:
    return one_hot(random_labels(count, size), 3, 3)


def relaxed(count: int, size: int) -> Graphs:
    nodes = torch.randn(count, size, 3).softmax(-1)
    logits = torch.randn(count, size, size, 3)
    edges = (logits + logits.transpose(1, 2)).softmax(-1)
    nothing = torch.eye(size)[None, :, :, None] * torch.tensor([1.0, 0.0, 0.0])
    return Graphs(nodes, edges * (1 - torch.eye(size))[None, :, :, None] + nothing)


@pytest.mark.parametrize("p", [1.0, 2.0])
def test_laws(p):
    torch.manual_seed(0)
    space = LabelledGraphs(1.0, 0.5, p=p)
    for points in (random_graphs(8, 4), relaxed(8, 4)):
        check_metric_space(space, points)
        check_penalty_laws(space, points)
    check_smooth_space(space, relaxed(8, 4))


@given(seed=st.integers(0, 10_000), node_weight=st.floats(0.1, 5), edge_weight=st.floats(0.1, 5))
@settings(deadline=None, max_examples=25)
def test_distance_counts_edits(seed, node_weight, edge_weight):
    """Hard labels: node changes cost a, changes of unordered pairs cost b, each once."""
    torch.manual_seed(seed)
    x, y = random_labels(5, 6), random_labels(5, 6)
    nodes = (x[0] != y[0]).sum(1)
    pairs = (x[1] != y[1]).triu(1).sum((1, 2))
    found = LabelledGraphs(node_weight, edge_weight).distance(one_hot(x, 3, 3), one_hot(y, 3, 3))
    assert torch.allclose(found, node_weight * nodes + edge_weight * pairs, rtol=1e-5)
    squares = LabelledGraphs(node_weight, edge_weight, p=2)
    wanted = (node_weight**2 * nodes + edge_weight**2 * pairs).sqrt()
    assert torch.allclose(squares.distance(one_hot(x, 3, 3), one_hot(y, 3, 3)), wanted, rtol=1e-5)


@pytest.mark.parametrize(("p", "wanted"), [(1.0, 8.0), (2.0, (8.0**2 + 2.0**2) ** 0.5)])
def test_slope_of_a_pair_is_that_of_moving_both_its_entries(p, wanted):
    """f = 3 e_01 + 5 e_10 + 2 n_2 for one label each: an edit of the pair changes f by 8, of the
    node by 2; p = 1 takes the larger, p = 2 the root of the sum of squares."""
    points = one_hot((torch.ones(2, 3, dtype=torch.long), torch.zeros(2, 3, 3).long()), 3, 3)

    def critic(graphs):
        nodes, edges = graphs
        return 3 * edges[:, 0, 1, 1] + 5 * edges[:, 1, 0, 1] + 2 * nodes[:, 2, 2]

    slope = LabelledGraphs(p=p).slope(critic, points, points, torch.zeros(2))
    assert slope.tolist() == pytest.approx([wanted, wanted])


def test_padding_changes_no_distance():
    torch.manual_seed(0)
    space = LabelledGraphs()
    x, y = random_labels(7, 5), random_labels(7, 5)

    def pad(labels):
        return (
            torch.nn.functional.pad(labels[0], (0, 3)),
            torch.nn.functional.pad(labels[1], (0, 3, 0, 3)),
        )

    short = space.distance(one_hot(x, 3, 3), one_hot(y, 3, 3))
    long = space.distance(one_hot(pad(x), 3, 3), one_hot(pad(y), 3, 3))
    assert torch.equal(short, long)


def test_w1_on_isomorphism_classes_is_that_of_exchangeable_lifts():
    """All graphs on 3 nodes: W1 of the classes under the least edit distance over numberings equals
    W1 of the laws spread evenly over all numberings."""
    pairs = [(0, 1), (0, 2), (1, 2)]
    graphs = []
    for bits in itertools.product((0, 1), repeat=3):
        edges = torch.zeros(3, 3, dtype=torch.long)
        for on, (u, v) in zip(bits, pairs):
            edges[u, v] = edges[v, u] = on
        graphs.append(edges)
    edges = torch.stack(graphs)
    points = one_hot((torch.ones(8, 3, dtype=torch.long), edges), 2, 2)
    counts = edges.sum((1, 2)) // 2  # on 3 nodes the number of edges is the class
    orbit = torch.bincount(counts, minlength=4)
    space = LabelledGraphs()
    torch.manual_seed(0)
    p, q = torch.rand(4).double(), torch.rand(4).double()
    p, q = p / p.sum(), q / q.sum()
    lifted = exact.w1(
        space,
        points,
        points,
        x_weights=p[counts] / orbit[counts],
        y_weights=q[counts] / orbit[counts],
    )
    # Between classes of k and l edges on 3 nodes the least number of edits is |k - l|.
    classes = (p.cumsum(0) - q.cumsum(0)).abs()[:-1].sum().item()
    assert lifted == pytest.approx(classes, abs=1e-9)


def all_graphs(size: int, node_labels: tuple[int, ...] = (1,)) -> Graphs:
    """All graphs on numbered nodes with these labels, pairs joined or not."""
    pairs = list(itertools.combinations(range(size), 2))
    choices = [node_labels] * size + [(0, 1)] * len(pairs)
    sites = torch.tensor(list(itertools.product(*choices)))
    edges = torch.zeros(len(sites), size, size, dtype=torch.long)
    for place, (u, v) in enumerate(pairs):
        edges[:, u, v] = edges[:, v, u] = sites[:, size + place]
    return one_hot((sites[:, :size], edges), max(node_labels) + 1, 2)


def test_w1_on_the_eleven_classes_of_graphs_on_four_nodes():
    """Classes and edit distances by networkx; W1 of the lifts by plain edits, no matching."""
    points = all_graphs(4)
    graphs = [nx.from_numpy_array(part[..., 1].numpy()) for part in points.edges]
    classes: list[nx.Graph] = []
    label = []
    for graph in graphs:
        found = [place for place, one in enumerate(classes) if nx.is_isomorphic(one, graph)]
        label.append(found[0] if found else len(classes))
        classes += [] if found else [graph]
    assert len(classes) == 11
    table = np.array([[nx.graph_edit_distance(g, h) for h in classes] for g in classes])
    place = torch.tensor(label)
    size = torch.bincount(place)
    for seed in range(5):
        source = torch.Generator().manual_seed(seed)
        p, q = torch.rand(2, 11, generator=source).double() ** 2
        p, q = p / p.sum(), q / q.sum()
        lifted = exact.w1(
            LabelledGraphs(),
            points,
            points,
            x_weights=p[place] / size[place],
            y_weights=q[place] / size[place],
        )
        wanted = ot.emd2(p.numpy(), q.numpy(), table)
        assert lifted == pytest.approx(wanted, rel=1e-9)


@given(seed=st.integers(0, 10_000), node_weight=st.floats(0.2, 3), edge_weight=st.floats(0.2, 3))
@settings(deadline=None, max_examples=15)
def test_relaxing_labels_loses_nothing(seed, node_weight, edge_weight):
    """A 1-Lipschitz f on hard labels extends to F(p) = E f(labels ~ p), which equals f
    at hard labels and whose slope is nowhere above 1; so both problems have the same W1."""
    space = LabelledGraphs(node_weight, edge_weight)
    hard = all_graphs(3, (0, 1, 2))
    source = torch.Generator().manual_seed(seed)
    values = torch.rand(len(hard.nodes), generator=source) * 5
    values = (values + pairwise(space, hard, hard)).amin(1)  # the largest 1-Lipschitz one below
    upper = torch.triu_indices(3, 3, 1)
    nodes, edges = hard.nodes.argmax(-1), hard.edges[:, upper[0], upper[1]].argmax(-1)

    def extension(points):
        both = (points[1] + points[1].transpose(1, 2))[:, upper[0], upper[1]] / 2
        chance = points[0][:, torch.arange(3), nodes].prod(-1)
        return (chance * both[:, torch.arange(3), edges].prod(-1)) @ values

    assert torch.allclose(extension(hard), values, atol=1e-5)
    x, y = (relaxed(64, 3) for _ in range(2))
    x, y = (g._replace(edges=g.edges[..., :2] / g.edges[..., :2].sum(-1, True)) for g in (x, y))
    t = torch.rand(64, generator=source)
    assert space.slope(extension, x, y, t).max() <= 1 + 1e-4
    corners = torch.randint(len(hard.nodes), (64,), generator=source)
    at = Graphs(hard.nodes[corners], hard.edges[corners])
    assert space.slope(extension, at, at, t).max() <= 1 + 1e-4


@pytest.mark.parametrize("hard", [False, True], ids=["relaxed", "hard"])
@pytest.mark.parametrize("p", [1.0, 2.0, 3.0, float("inf")])
def test_table_of_distances_is_that_of_pairs(p, hard):
    torch.manual_seed(0)
    space = LabelledGraphs(0.7, 1.9, p=p)
    x, y = relaxed(13, 5), random_graphs(7, 5)
    x = harden(x) if hard else x
    wanted = pairwise.dispatch(MetricSpace)(space, x, y)
    assert torch.allclose(pairwise(space, x, y), wanted, rtol=1e-5, atol=1e-6)


def test_canonical_order_makes_numberings_equal():
    """A molecule-like graph whose nodes all look different: all numberings come out the same."""
    torch.manual_seed(0)
    graph = nx.Graph([(0, 1), (1, 2), (2, 3), (3, 4), (1, 5)])
    nodes = torch.tensor([[1, 1, 2, 1, 2, 2, 0]])
    edges = torch.zeros(1, 7, 7, dtype=torch.long)
    for place, (u, v) in enumerate(graph.edges):
        edges[0, u, v] = edges[0, v, u] = 1 + place % 2
    points = one_hot((nodes, edges), 3, 3)
    wanted = canonical_order(points)
    for _ in range(10):
        shuffled = renumber(points, torch.randperm(7)[None])
        found = canonical_order(shuffled)
        assert torch.equal(found.nodes, wanted.nodes)
        assert torch.equal(found.edges, wanted.edges)
    assert wanted.nodes[0].argmax(-1).tolist() == [1, 1, 1, 2, 2, 2, 0]


def test_renumbering_keeps_the_graph():
    torch.manual_seed(0)
    points = random_graphs(3, 5)
    order = torch.stack([torch.randperm(5) for _ in range(3)])
    there = renumber(points, order)
    back = renumber(there, order.argsort(1))
    assert torch.equal(back.nodes, points.nodes)
    assert torch.equal(back.edges, points.edges)
    for graph, places in zip(range(3), order):
        assert torch.equal(there.edges[graph], points.edges[graph][places][:, places])


def test_harden_takes_the_likeliest_labels():
    soft = relaxed(4, 3)
    hard = harden(soft)
    assert torch.equal(hard.nodes.argmax(-1), soft.nodes.argmax(-1))
    assert hard.edges.sum(-1).eq(1).all()


def test_blur_keeps_labels_symmetry_and_what_is_not_there():
    torch.manual_seed(0)
    points = random_graphs(50, 6)
    blurred = Blur(0.5)(points)
    assert torch.equal(harden(blurred).nodes, points.nodes)
    assert torch.equal(harden(blurred).edges, points.edges)
    assert torch.equal(blurred.edges, blurred.edges.transpose(1, 2))
    for part in blurred:
        assert torch.allclose(part.sum(-1), torch.ones(part.shape[:-1]), atol=1e-6)
    absent = points.nodes[..., 0] == 1
    assert torch.equal(blurred.nodes[absent], points.nodes[absent])
    pairs = absent[:, :, None] | absent[:, None, :] | torch.eye(6, dtype=torch.bool)
    assert torch.equal(blurred.edges[pairs], points.edges[pairs])
    present = ~pairs
    assert (blurred.edges[present].amax(-1) < 1).all()


@pytest.mark.parametrize("p", [1.0, 2.0])
def test_blur_brings_graphs_closer(p):
    """Two graphs with the same nodes under one draw: no pair comes further apart."""
    torch.manual_seed(0)
    space = LabelledGraphs(p=p)
    x, y = relaxed(40, 5), relaxed(40, 5)
    x = x._replace(nodes=torch.cat([torch.zeros(40, 5, 1), x.nodes[..., 1:].softmax(-1)], -1))
    y = y._replace(nodes=torch.cat([torch.zeros(40, 5, 1), y.nodes[..., 1:].softmax(-1)], -1))
    torch.manual_seed(1)
    near = Blur(0.5)(x)
    torch.manual_seed(1)
    far = Blur(0.5)(y)
    assert (space.distance(near, far) <= space.distance(x, y) + 1e-5).all()


def test_misfits_are_named():
    with pytest.raises(SettingError, match="blur"):
        Blur(0.6)
    with pytest.raises(SettingError, match="> 0"):
        LabelledGraphs(node_weight=0)
    with pytest.raises(SettingError, match="p >= 1"):
        LabelledGraphs(p=0.5)
    with pytest.raises(ShapeError, match="pair: nodes"):
        LabelledGraphs().distance(torch.rand(2, 3), torch.rand(2, 3))
    points = (torch.rand(2, 3, 2), torch.rand(2, 4, 4, 2))
    with pytest.raises(ShapeError, match="3 nodes need edges 3 x 3"):
        LabelledGraphs().distance(points, points)
