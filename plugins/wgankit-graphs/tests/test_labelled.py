"""Labelled graphs: edits are counted exactly, padding is free, numbering does not matter."""

import itertools

import networkx as nx
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from wgankit import exact
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
    W1 of the laws spread evenly over all numberings (theory A.3)."""
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
