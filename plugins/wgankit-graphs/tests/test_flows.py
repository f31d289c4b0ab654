"""Flows along edges: exact W1 without a table, its certificate, trees, congestion on trees."""

import resource
import sys

import networkx as nx
import numpy as np
import ot
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize

from wgankit import DataError, Penalty, SettingError, exact, fit_critic
from wgankit_graphs import (
    GraphNodes,
    NodeTable,
    congested_tree,
    flow,
    lipschitz_below,
    tree_w1,
)


def random_edges(source, nodes: int, chords: int):
    """A random tree and random chords, loops and parallel edges among them."""
    tree = [(node, int(source.integers(node))) for node in range(1, nodes)]
    ends = np.array(tree + [tuple(source.integers(nodes, size=2)) for _ in range(chords)])
    turned = source.random(len(ends)) < 0.5
    ends[turned] = ends[turned, ::-1]
    return ends.reshape(-1, 2), source.uniform(0.01, 3, len(ends))


def masses(source, nodes: int):
    """A law with zeros in it."""
    mass = source.random(nodes) ** 3 * (source.random(nodes) < 0.7)
    mass[source.integers(nodes)] += 0.1
    return mass / mass.sum()


def distances(nodes: int, ends, lengths):
    graph = nx.MultiGraph()
    graph.add_nodes_from(range(nodes))
    graph.add_weighted_edges_from((u, v, w) for (u, v), w in zip(ends.tolist(), lengths))
    return np.asarray(nx.floyd_warshall_numpy(graph, nodelist=range(nodes)))


def divergence(nodes: int, ends, carried):
    out = np.zeros(nodes)
    np.add.at(out, ends[:, 0], carried)
    np.add.at(out, ends[:, 1], -carried)
    return out


def check_certificate(nodes, ends, lengths, mu, nu, found, within=1e-9):
    """The flow carries mu to nu; the potential is 1-Lipschitz and proves that it is cheapest."""
    carried, f = found.flow.numpy(), found.potential.numpy()
    assert np.abs(divergence(nodes, ends, carried) - (mu - nu)).max() <= within
    assert np.abs(carried) @ lengths == pytest.approx(found.w1, rel=1e-12)
    assert (np.abs(f[ends[:, 0]] - f[ends[:, 1]]) <= lengths * (1 + 1e-12) + 1e-12).all()
    assert f @ (mu - nu) == pytest.approx(found.w1, rel=1e-8, abs=1e-12)


@example(seed=8989, nodes=9, chords=24)
@example(seed=910, nodes=2, chords=17)
@given(seed=st.integers(0, 10_000), nodes=st.integers(2, 25), chords=st.integers(0, 40))
@settings(deadline=None, max_examples=40)
def test_cheapest_flow_costs_what_transport_on_the_table_costs(seed, nodes, chords):
    source = np.random.default_rng(seed)
    ends, lengths = random_edges(source, nodes, chords)
    mu, nu = masses(source, nodes), masses(source, nodes)
    table = distances(nodes, ends, lengths)
    found = flow(nodes, ends, lengths, mu, nu)
    assert found.w1 == pytest.approx(ot.emd2(mu, nu, table), rel=1e-8, abs=1e-12)
    check_certificate(nodes, ends, lengths, mu, nu, found)


@given(seed=st.integers(0, 10_000), nodes=st.integers(2, 20), chords=st.integers(0, 20))
@settings(deadline=None, max_examples=30)
def test_largest_lipschitz_function_below_a_critic(seed, nodes, chords):
    """Against its definition on the table; its gap is a lower bound of W1."""
    source = np.random.default_rng(seed)
    ends, lengths = random_edges(source, nodes, chords)
    values = source.normal(size=nodes) * 3
    table = distances(nodes, ends, lengths)
    found = lipschitz_below(nodes, ends, lengths, values).numpy()
    assert found == pytest.approx((values[:, None] + table).min(0), abs=1e-12)
    mu, nu = masses(source, nodes), masses(source, nodes)
    assert found @ (mu - nu) <= ot.emd2(mu, nu, table) + 1e-12


def test_values_that_are_no_critic_are_refused():
    with pytest.raises(DataError, match="2 finite values"):
        lipschitz_below(2, [[0, 1]], None, [0.0, float("inf")])


@given(seed=st.integers(0, 10_000), nodes=st.integers(2, 60))
@settings(deadline=None, max_examples=40)
def test_on_a_tree_the_sum_over_edges_is_the_cheapest_flow(seed, nodes):
    source = np.random.default_rng(seed)
    ends, lengths = random_edges(source, nodes, 0)
    shuffled = source.permutation(nodes)
    ends = shuffled[ends]
    mu, nu = masses(source, nodes), masses(source, nodes)
    wanted = flow(nodes, ends, lengths, mu, nu)
    assert tree_w1(nodes, ends, lengths, mu, nu) == pytest.approx(wanted.w1, rel=1e-12, abs=1e-14)


def test_tensors_unit_lengths_and_masses_that_are_no_shares():
    """A path of 4 nodes: 3 of 4 parts go three steps, one goes two: W1 = 2.75."""
    edges = torch.tensor([[0, 1], [1, 2], [2, 3]])
    found = flow(4, edges, None, torch.tensor([3.0, 1, 0, 0]), torch.tensor([0, 0, 0, 2.0]))
    assert found.w1 == pytest.approx(2.75, rel=1e-12)
    assert found.flow.tolist() == pytest.approx([0.75, 1.0, 1.0])
    assert tree_w1(4, edges, None, [3, 1, 0, 0], [0, 0, 0, 2]) == pytest.approx(2.75, rel=1e-15)


def test_lengths_and_masses_of_any_magnitude():
    """W1 scales with the lengths, from atoms to light years, and masses may be tiny."""
    source = np.random.default_rng(0)
    ends, lengths = random_edges(source, 200, 300)
    mu, nu = masses(source, 200), masses(source, 200)
    wanted = flow(200, ends, lengths, mu, nu).w1
    for unit in (1e-10, 1e16):
        found = flow(200, ends, lengths * unit, mu * 1e-9, nu)
        assert found.w1 == pytest.approx(wanted * unit, rel=1e-9)


def test_equal_laws_need_no_flow():
    source = np.random.default_rng(0)
    ends, lengths = random_edges(source, 30, 20)
    mu = masses(source, 30)
    found = flow(30, ends, lengths, mu, mu)
    assert found.w1 == 0
    assert found.flow.abs().max() == 0


def largest_memory():
    """Bytes that this process has held at most."""
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else 1024 * most


def test_twenty_thousand_nodes_whose_table_would_take_gigabytes():
    """All distances of 20,000 nodes would fill 3.2 GB."""
    source = np.random.default_rng(0)
    nodes = 20_000
    ends, lengths = random_edges(source, nodes, 8_000)
    mu, nu = source.random(nodes), source.random(nodes)
    mu, nu = mu / mu.sum(), nu / nu.sum()
    before = largest_memory()
    found = flow(nodes, ends, lengths, mu, nu)
    assert largest_memory() - before < 2**30
    check_certificate(nodes, ends, lengths, mu, nu, found, within=1e-12)


def test_twenty_thousand_nodes_on_a_path_against_distribution_functions():
    """On a path W1 is the integral of |F - G|; no recursion, whatever the depth."""
    source = np.random.default_rng(1)
    nodes = 20_000
    ends = np.column_stack([np.arange(1, nodes), np.arange(nodes - 1)])
    lengths = source.uniform(0.5, 2, nodes - 1)
    mu, nu = masses(source, nodes), masses(source, nodes)
    wanted = lengths @ np.abs(np.cumsum(mu - nu))[:-1]
    assert tree_w1(nodes, ends, lengths, mu, nu) == pytest.approx(wanted, rel=1e-10)


def test_components_with_equal_masses_are_as_far_as_their_own_flows():
    """Two components: W1 is the sum of what the two cost."""
    source = np.random.default_rng(2)
    ends, lengths = random_edges(source, 10, 5)
    mu, nu = masses(source, 10), masses(source, 10)
    both = np.concatenate([ends, ends + 10])
    found = flow(
        21,  # a node without edges, and without mass
        both,
        np.concatenate([lengths, lengths]),
        np.concatenate([0.3 * mu, 0.7 * nu, [0]]),
        np.concatenate([0.3 * nu, 0.7 * mu, [0]]),
    )
    assert found.w1 == pytest.approx(flow(10, ends, lengths, mu, nu).w1, rel=1e-9)


def test_single_precision_masses_may_round():
    edges = [[0, 1], [2, 3]]
    mu = torch.tensor([0.1, 0.2, 0.3, 0.4])
    nu = torch.tensor([0.2, 0.1, 0.4, 0.3])
    assert flow(4, edges, None, mu, nu).w1 == pytest.approx(0.2, abs=1e-6)
    shifted = flow(4, edges, None, [0.3, 0, 0.7, 0], [0, 0.3 + 5e-7, 0, 0.7 - 5e-7])
    assert shifted.w1 == pytest.approx(1, abs=1e-6)


def test_components_with_different_masses_are_named():
    edges = [[0, 1], [2, 3], [3, 4]]
    real, fake = [0.3, 0, 0.5, 0, 0.1, 0.1], [0, 0.4, 0.1, 0.1, 0, 0.4]
    with pytest.raises(DataError, match=r"node 2 \(3 nodes.*3 components.*0\.6 .*0\.2: 0\.4 "):
        flow(6, edges, None, real, fake)
    with pytest.raises(DataError, match=r"W1\s+is infinite"):
        flow(2, [], None, [1, 0], [0, 1])


@pytest.mark.parametrize(
    ("count", "edges", "words"),
    [
        (3, [[0, 1], [1, 2], [2, 0]], "3 edges and 3 nodes"),
        (4, [[0, 1], [1, 0], [2, 3]], "3 edges and 2 nodes"),
        (3, [[0, 1], [2, 2]], "2 edges and 2 nodes"),
        (3, [[0, 1]], "1 edges and 2 nodes"),
    ],
)
def test_graphs_that_are_no_trees_are_refused(count, edges, words):
    with pytest.raises(DataError, match=words):
        tree_w1(count, edges, None, np.ones(count), np.ones(count))


@pytest.mark.parametrize("mass", [[1.0], [-1.0, 2.0], [0.0, 0.0], [float("nan"), 1.0]])
def test_masses_without_meaning_are_refused(mass):
    with pytest.raises(DataError, match="real law needs 2 finite masses"):
        flow(2, [[0, 1]], None, mass, [1.0, 0.0])


def penalised(ends, lengths, mu, nu, weight, share, f):
    """J of a critic, from its definition."""
    slopes = np.abs(f[ends[:, 0]] - f[ends[:, 1]]) / lengths
    return f @ (mu - nu) - weight * share @ np.maximum(slopes - 1, 0) ** 2


@given(seed=st.integers(0, 10_000), nodes=st.integers(2, 12), weight=st.floats(0.05, 50))
@settings(deadline=None, max_examples=30)
def test_congested_optimum_is_reached_by_its_critic_and_by_no_other(seed, nodes, weight):
    """Its own figures follow from its potential; J is concave, and every step away lowers it."""
    source = np.random.default_rng(seed)
    ends, lengths = random_edges(source, nodes, 0)
    mu, nu = masses(source, nodes), masses(source, nodes)
    share = source.random(nodes - 1) + 0.05
    share /= share.sum()
    found = congested_tree(nodes, ends, lengths, mu, nu, weight=weight, sampling=share)
    f = found.potential.numpy()
    assert f @ (mu - nu) == pytest.approx(found.gap, rel=1e-9, abs=1e-12)
    reached = penalised(ends, lengths, mu, nu, weight, share, f)
    assert reached == pytest.approx(found.objective, rel=1e-9, abs=1e-12)
    w1 = tree_w1(nodes, ends, lengths, mu, nu)
    assert found.w1 == pytest.approx(w1, rel=1e-12, abs=1e-14)
    assert found.gap - 2 * weight * found.penalty == pytest.approx(w1, rel=1e-9, abs=1e-12)
    assert found.gap >= w1 + w1**2 / (2 * weight) - 1e-12
    for size in (1e-3, 0.1, 1.0):
        step = source.normal(size=nodes) * size
        assert penalised(ends, lengths, mu, nu, weight, share, f + step) <= reached + 1e-12


def test_two_points():
    """D = d (1 + d / (2 lambda)), J = d + d^2 / (4 lambda)."""
    found = congested_tree(2, [[1, 0]], [3.0], [1, 0], [0, 1], weight=2.0)
    assert (found.gap, found.objective, found.w1) == pytest.approx((5.25, 4.125, 3.0))
    assert found.penalty == pytest.approx(0.75**2)


def test_an_edge_that_is_never_looked_at():
    with pytest.raises(SettingError, match=r"never looks at edge 1"):
        congested_tree(3, [[0, 1], [1, 2]], None, [1, 0, 0], [0, 0, 1], weight=1, sampling=[1, 0])
    found = congested_tree(
        3, [[0, 1], [1, 2]], None, [1, 0, 0], [0, 1, 0], weight=1, sampling=[1, 0]
    )
    assert found.gap == pytest.approx(1.5)
    with pytest.raises(SettingError, match="2 shares"):
        congested_tree(3, [[0, 1], [1, 2]], None, [1, 0, 0], [0, 1, 0], weight=1, sampling=[1])
    with pytest.raises(SettingError, match="distance > 0"):
        congested_tree(2, [[0, 1]], None, [1, 0], [0, 1], weight=0)


@pytest.mark.parametrize("seed", range(3))
def test_debiasing_is_exact_on_any_graph_from_some_weight_on(seed):
    """The congested flow solves a linear programme with a small quadratic term, whose solution is
    one of the programme itself (Mangasarian and Meyer, 1979): sum w |j| = W1."""
    source = np.random.default_rng(seed)
    ends, lengths = random_edges(source, 8, 6)
    ends, lengths = (part[ends[:, 0] != ends[:, 1]] for part in (ends, lengths))
    mu, nu = masses(source, 8), masses(source, 8)
    w1 = flow(8, ends, lengths, mu, nu).w1
    assert w1 == pytest.approx(congested(ends, lengths, mu, nu, 100 * w1), rel=1e-9)
    assert 1.01 * w1 < congested(ends, lengths, mu, nu, w1) < 1.2 * w1


def congested(ends, lengths, mu, nu, weight):
    """sum w |j| of the flow that minimises sum w |j| + (w j)^2 E / (4 lambda), by SLSQP."""
    count = len(ends)
    incidence = np.zeros((8, count))
    incidence[ends[:, 0], range(count)] = 1
    incidence[ends[:, 1], range(count)] = -1
    balance = np.hstack([incidence, -incidence])[:-1]
    cost, steep = np.tile(lengths, 2), lengths**2 * count / (4 * weight)

    def value(x):
        forth = x[:count] - x[count:]
        pull = 2 * steep * forth
        return cost @ x + steep @ forth**2, cost + np.concatenate([pull, -pull])

    even = {"type": "eq", "fun": lambda x: balance @ x - (mu - nu)[:-1], "jac": lambda x: balance}
    found = minimize(
        value,
        np.full(2 * count, 0.1),
        jac=True,
        bounds=[(0, None)] * (2 * count),
        constraints=even,
        method="SLSQP",
        options={"maxiter": 2_000, "ftol": 1e-15},
    )
    return lengths @ np.abs(found.x[:count] - found.x[count:])


def test_a_trained_table_meets_the_congested_optimum_on_every_edge():
    source = np.random.default_rng(4)
    ends, lengths = random_edges(source, 12, 0)
    mu, nu = masses(source, 12), masses(source, 12)
    space = GraphNodes(12, torch.tensor(ends), torch.tensor(lengths))
    wanted = congested_tree(12, ends, lengths, mu, nu, weight=2.0)
    nodes = torch.arange(12)
    found = fit_critic(
        NodeTable(12),
        nodes,
        nodes,
        space=space,
        real_weights=torch.tensor(mu),
        fake_weights=torch.tensor(nu),
        penalty=Penalty(2.0, space.every_edge, relative=False),
        steps=1_500,
        pairs=1,
        rate=0.05,
    )
    assert found.gap.item() == pytest.approx(wanted.gap, rel=1e-4)
    assert found.penalty.item() == pytest.approx(wanted.penalty, rel=1e-3)
    assert found.w1.item() == pytest.approx(
        exact.w1(space, nodes, nodes, x_weights=torch.tensor(mu), y_weights=torch.tensor(nu)),
        rel=1e-4,
    )
