"""Nodes of one graph: the metric, the discrete gradient penalty, critics against exact W1."""

import networkx as nx
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from wgankit import DataError, Penalty, Perceptron, exact, fit_critic, one_sided, train, two_sided
from wgankit.errors import ShapeError
from wgankit.latent import Normal
from wgankit.testing import check_metric_space, check_penalty_laws
from wgankit_graphs import (
    GraphNodes,
    NodeGenerator,
    NodeMessages,
    NodeTable,
    OneHotNodes,
    components,
    from_networkx,
    from_pyg,
)


def random_graph(seed: int, nodes: int = 50, edges: int = 100) -> nx.Graph:
    """A random tree and random chords, lengths uniform in [1/2, 2]."""
    source = torch.Generator().manual_seed(seed)
    graph = nx.Graph()
    for node in range(1, nodes):
        graph.add_edge(node, int(torch.randint(node, (), generator=source)))
    while graph.number_of_edges() < edges:
        u, v = torch.randint(nodes, (2,), generator=source).tolist()
        if u != v:
            graph.add_edge(u, v)
    for u, v in graph.edges:
        graph[u][v]["weight"] = 0.5 + 1.5 * float(torch.rand((), generator=source))
    return nx.relabel_nodes(graph, {n: n for n in sorted(graph)}, copy=True)


@given(seed=st.integers(0, 1000))
@settings(deadline=None, max_examples=10)
def test_distances_are_those_of_networkx(seed):
    graph = random_graph(seed, 12, 20)
    space = from_networkx(graph)
    order = list(graph.nodes)
    wanted = dict(nx.all_pairs_dijkstra_path_length(graph))
    for i, u in enumerate(order):
        for j, v in enumerate(order):
            assert space.distances[i, j].item() == pytest.approx(wanted[u][v], rel=1e-5)


def test_laws_of_a_metric_and_of_the_penalty():
    space = from_networkx(random_graph(0))
    points = torch.arange(12)
    check_metric_space(space, points)
    check_penalty_laws(space, points)


@given(seed=st.integers(0, 1000))
@settings(deadline=None, max_examples=10)
def test_segment_is_the_edge_at_that_fraction_of_a_shortest_path(seed):
    graph = random_graph(seed, 15, 25)
    space = from_networkx(graph)
    order = list(graph.nodes)
    torch.manual_seed(seed)
    x, y, t = torch.randint(15, (64,)), torch.randint(15, (64,)), torch.rand(64)
    u, v = space.segment(x, y, t)
    d = space.distances
    for a, b, p, q, share in zip(x, y, u, v, t):
        assert graph.has_edge(order[p], order[q])
        if a != b:
            assert d[a, p] + d[p, q] + d[q, b] == pytest.approx(d[a, b].item(), rel=1e-5)
            goal = share * d[a, b]
            assert d[a, p] - 1e-5 <= goal <= d[a, q] + 1e-5


def test_table_critic_meets_exact_w1_on_a_random_weighted_graph():
    """50 nodes: the estimate is within 1 % of exact W1, no edge is steeper than 1.02."""
    space = from_networkx(random_graph(1))
    torch.manual_seed(1)
    mu, nu = torch.rand(50) ** 3, torch.rand(50) ** 3
    nodes = torch.arange(50)
    wanted = exact.w1(space, nodes, nodes, x_weights=mu, y_weights=nu)
    critic = NodeTable(50)
    found = fit_critic(
        critic,
        nodes,
        nodes,
        space=space,
        real_weights=mu,
        fake_weights=nu,
        penalty=Penalty(weight=300.0, where=space.random_edges),
        steps=2_000,
        pairs=256,
        rate=0.05,
    )
    assert found.w1.item() == pytest.approx(wanted, rel=0.01)
    assert space.largest_edge_slope(critic).item() <= 1.02


@pytest.mark.parametrize(
    ("shape", "start", "wanted"),
    [
        (one_sided, [0.1, -0.1, 0.0], 1.0),
        (one_sided, [0.1, -0.1, 0.9], 1.0),
        (two_sided, [0.1, -0.1, 0.0], 4 / 3),
        (two_sided, [0.1, -0.1, 0.9], 2 / 3),
    ],
)
def test_two_sided_is_wrong_on_a_triangle_and_one_sided_is_not(shape, start, wanted):
    """Unit triangle, real at one corner, fake at another: W1 = 1.

    Three edges cannot all have slope 1.  With the third value between the others the violations
    (g - 1)^2 + 2 (g/2 - 1)^2 are least at g = 4/3, with it outside (g - 1)^2 + g^2 / 2 at g = 2/3.
    """
    space = GraphNodes(3, torch.tensor([[0, 1], [1, 2], [0, 2]]))
    critic = NodeTable(3)
    critic.values.data = torch.tensor(start)
    found = fit_critic(
        critic,
        torch.tensor([0]),
        torch.tensor([1]),
        space=space,
        penalty=Penalty(1_000.0, space.random_edges, shape, relative=False),
        steps=800,
        pairs=600,
        rate=0.02,
    )
    assert found.gap.item() == pytest.approx(wanted, abs=0.02)


def test_every_edge_is_looked_at_once():
    """Slopes of a critic that is steep on one edge: 3 there, and that of the others elsewhere."""
    space = GraphNodes(4, torch.tensor([[0, 1], [1, 2], [2, 3]]), torch.tensor([1.0, 2.0, 4.0]))
    values = torch.tensor([0.0, 1.0, 7.0, 7.0])
    some = torch.tensor([2])
    slopes = Penalty(where=space.every_edge).slopes(space, lambda x: values[x], some, some)
    assert slopes.tolist() == [1.0, 3.0, 0.0]


def test_w1_on_a_tree_is_the_sum_over_edges():
    """W1 = sum_e w_e |mu(T_e) - nu(T_e)|."""
    source = torch.Generator().manual_seed(3)
    tree = nx.Graph()
    for node in range(1, 20):
        parent = int(torch.randint(node, (), generator=source))
        tree.add_edge(node, parent, weight=float(torch.rand((), generator=source)) + 0.1)
    space = from_networkx(tree)
    order = list(tree.nodes)
    mu = torch.rand(20, generator=source).double()
    nu = torch.rand(20, generator=source).double()
    mu, nu = mu / mu.sum(), nu / nu.sum()
    total = 0.0
    for u, v, weight in list(tree.edges(data="weight")):
        cut = tree.copy()
        cut.remove_edge(u, v)
        side = [order.index(n) for n in nx.node_connected_component(cut, u)]
        total += weight * abs((mu[side] - nu[side]).sum().item())
    nodes = torch.arange(20)
    assert exact.w1(space, nodes, nodes, x_weights=mu, y_weights=nu) == pytest.approx(
        total, rel=1e-6
    )


def test_message_passing_critic_learns_the_distance():
    torch.manual_seed(0)
    space = from_networkx(random_graph(2, 40, 70))
    far = int(space.distances[0].argmax())
    real, fake = torch.tensor([0]), torch.tensor([far])
    critic = NodeMessages(space, width=32)
    found = fit_critic(critic, real, fake, space=space, steps=400, pairs=64, rate=3e-3)
    wanted = space.distances[0, far].item()
    assert found.w1.item() == pytest.approx(wanted, rel=0.05)


def test_node_generator_moves_to_the_data():
    """Exact W1 to the data falls below 15 % of where it began."""
    torch.manual_seed(0)
    space = from_networkx(random_graph(4, 30, 50))
    data = torch.multinomial(torch.rand(30) ** 4, 3_000, replacement=True)
    training = train(
        NodeGenerator(4, 30),
        NodeTable(30),
        data,
        space=space,
        latent=Normal(4),
        prepare=OneHotNodes(30),
        batch=256,
        n_critic=5,
        generator_rate=2e-3,
        critic_rate=0.05,
        ema=0.9,
        schedule=lambda step: max(0.05, 1 - step / 300),
        device="cpu",
        steps=300,
    )

    def w1_now() -> float:
        with torch.no_grad(), torch.random.fork_rng():
            torch.manual_seed(1)
            fake = training.average(torch.randn(2_000, 4)).argmax(1)
        return exact.w1(space, data[:2_000], fake)

    before = w1_now()
    for _ in training:
        pass
    assert w1_now() < 0.15 * before


def test_parallel_edges_count_once_and_loops_change_nothing():
    edges = torch.tensor([[0, 1], [1, 0], [1, 2], [1, 1]])
    space = GraphNodes(3, edges, torch.tensor([2.0, 1.0, 1.0, 5.0]))
    assert space.distances.tolist() == [[0, 1, 2], [1, 0, 1], [2, 1, 0]]


def test_pyg_and_networkx_agree():
    from torch_geometric.utils import from_networkx as to_pyg

    graph = random_graph(5, 12, 20)
    data = to_pyg(graph, group_edge_attrs=["weight"])
    assert torch.allclose(
        from_pyg(data, "edge_attr").distances, from_networkx(graph).distances, atol=1e-5
    )


def test_disconnected_graphs_are_refused_and_taken_apart():
    graph = nx.disjoint_union(nx.path_graph(4), nx.path_graph(3))
    with pytest.raises(DataError, match=r"not connected: 3 of 7.*components"):
        from_networkx(graph)
    assert [len(part) for part in components(graph)] == [4, 3]
    assert [from_networkx(part).count for part in components(graph)] == [4, 3]


@pytest.mark.parametrize(
    ("count", "edges", "weights", "words"),
    [
        (1, [], None, "at least two"),
        (2, [[0, 1]], [float("nan")], r"edge \(0, 1\) has nan"),
        (2, [[0, 1]], [-1.0], "numbers > 0"),
        (2, [[0, 5]], None, r"\[0, 2\)"),
        (2, [[0, 1]], [1.0, 2.0], "1 edges need 1 lengths"),
    ],
)
def test_graphs_without_a_metric_are_refused(count, edges, weights, words):
    weights = None if weights is None else torch.tensor(weights)
    with pytest.raises(DataError, match=words):
        GraphNodes(count, torch.tensor(edges, dtype=torch.long).reshape(-1, 2), weights)


def test_directed_graphs_are_refused():
    with pytest.raises(DataError, match="to_undirected"):
        from_networkx(nx.DiGraph([(0, 1)]))


def test_points_that_are_no_nodes_are_refused():
    space = GraphNodes(3, torch.tensor([[0, 1], [1, 2]]))
    with pytest.raises(ShapeError, match="node numbers"):
        space.distance(torch.rand(4), torch.rand(4))
    with pytest.raises(ShapeError, match="laws over 3 nodes"):
        NodeTable(3)(torch.rand(2, 5))


def test_perceptron_is_no_node_critic():
    space = GraphNodes(3, torch.tensor([[0, 1], [1, 2]]))
    with pytest.raises((ShapeError, RuntimeError)):
        fit_critic(Perceptron(1), torch.tensor([0.5]), torch.tensor([1.5]), space=space, steps=1)
