"""Numbers of nodes: equivariance, what they are on graphs where that is known, critics of sets."""

import math

import networkx as nx
import numpy as np
import pytest
import torch

from wgankit.errors import SettingError
from wgankit.testing import check_critic
from wgankit_graphs import encode_graphs, one_hot
from wgankit_graphs.labelled import renumber
from wgankit_graphs.surroundings import (
    NUMBERS,
    SetCritic,
    Surroundings,
    communities,
    companies,
    faces,
    fours,
    groups,
    reach,
    twigs,
)


def points_of(graphs):
    return one_hot(encode_graphs(graphs).points, 2, 2)


def adjacency_of(graph):
    return torch.tensor(nx.to_numpy_array(graph), dtype=torch.float32)[None]


@pytest.mark.parametrize("name", NUMBERS)
def test_numbers_follow_the_nodes_and_fit_them(name):
    torch.manual_seed(0)
    points = points_of([nx.gnp_random_graph(k, 0.3, seed=k) for k in range(6, 14)])
    describe = Surroundings(name).fit([points])
    seen = describe(points)
    assert seen.shape == (8, 13, 1 + describe.count)
    there = points.nodes[..., 1] > 0
    assert torch.equal(seen[..., 0] > 0, there)
    assert seen[~there].abs().max() == 0
    raw = describe.raw(points)[0][there]
    assert torch.allclose(describe.mean, raw.mean(0))
    order = torch.randperm(13).expand(8, -1)
    moved = describe(renumber(points, order))
    assert torch.allclose(moved, torch.stack([one[o] for one, o in zip(seen, order)]), atol=1e-4)
    with pytest.raises(SettingError, match="communities, companies, faces, groups"):
        Surroundings("nothing")


def test_walks_reach_as_many_nodes_as_their_community_has():
    """In a clique of k nodes a lazy walk is everywhere with probability 1 / k after one step."""
    graph = nx.disjoint_union_all([nx.complete_graph(k) for k in (5, 8, 11)])
    sizes = torch.tensor([5.0] * 5 + [8.0] * 8 + [11.0] * 11)
    seen = communities(adjacency_of(graph))[0]
    assert torch.allclose(seen[:, 10].exp(), sizes, rtol=1e-4)
    assert torch.allclose(seen[:, 11].exp(), sizes, rtol=1e-4)
    assert torch.allclose(seen[:, 5:10].exp(), 1 / sizes.unsqueeze(1), rtol=1e-4)
    assert torch.allclose(seen[:, 12] * 8, sizes - 1, rtol=1e-4)
    assert torch.allclose(seen[:, 15], 1 - 1 / sizes, rtol=1e-4)


def test_a_walk_over_k_nodes_alike_reaches_k():
    walk = torch.zeros(1, 1, 9)
    walk[..., :4] = 0.25
    assert reach(walk).exp().item() == pytest.approx(4)


def test_what_is_left_without_leaves_agrees_with_networkx():
    graph = nx.random_labeled_tree(40, seed=2)
    seen = twigs(adjacency_of(graph))[0]
    rest = graph.copy()
    for place in (2, 4):
        rest.remove_nodes_from([node for node, degree in list(rest.degree()) if degree <= 1])
        assert seen[:, place].nonzero().flatten().tolist() == sorted(rest)
        left = seen[:, place + 1][seen[:, place] > 0]
        assert left.tolist() == [rest.degree(node) for node in sorted(rest)]
    branches = [max(rest.degree(node) - 2, 0) for node in sorted(rest)]
    assert seen[:, 6][sorted(rest)].tolist() == branches


def test_edges_without_ways_around_join_groups():
    """Two cliques joined by one edge: ways of 2 and 3 steps from end to end, by brute force."""
    graph = nx.disjoint_union(nx.complete_graph(5), nx.complete_graph(6))
    graph.add_edge(0, 5)
    seen = groups(adjacency_of(graph))[0]
    wanted = torch.zeros(11, 2)
    for u, v in [*graph.edges, *((v, u) for u, v in graph.edges)]:
        two = len(list(nx.common_neighbors(graph, u, v)))
        three = sum(graph.has_edge(a, b) for a in set(graph[u]) - {v} for b in set(graph[v]) - {u})
        wanted[u] += torch.tensor([math.exp(-two), math.exp(-three / 4)])
    assert torch.allclose(seen[:, 16:18], wanted, atol=1e-5)
    assert (seen[:, 17] > 0.9).tolist() == [node in (0, 5) for node in range(11)]


def test_companies_are_counted():
    """In cliques one over the size of its company, summed over all nodes, counts the cliques."""
    graph = nx.disjoint_union_all([nx.complete_graph(k) for k in (5, 8, 11)])
    sizes = torch.tensor([5.0] * 5 + [8.0] * 8 + [11.0] * 11)
    seen = companies(adjacency_of(graph))[0]
    assert torch.allclose(seen[:, 0].exp(), sizes, rtol=1e-4)
    assert seen[:, 1].sum() == pytest.approx(3, rel=1e-4)
    assert torch.allclose(seen[:, 2], sizes - 1, rtol=1e-4)
    assert seen[:, 3].abs().max() < 1e-3
    assert torch.allclose(seen[:, 4], 1 - 1 / sizes, rtol=1e-4)


def test_companies_of_block_models_are_their_blocks():
    for seed in range(3):
        sizes = np.random.default_rng(seed).integers(20, 41, 2 + seed)
        graph = nx.stochastic_block_model(
            sizes.tolist(), 0.005 + 0.295 * np.eye(len(sizes)), seed=seed
        )
        seen = companies(adjacency_of(graph))[0]
        assert seen[:, 1].sum() == pytest.approx(len(sizes), abs=0.3)
        assert np.median(seen[:, 0].exp().numpy() / np.repeat(sizes, sizes)) == pytest.approx(
            1, abs=0.1
        )


def test_critics_of_sets_do_not_look_at_the_slope_of_presence():
    torch.manual_seed(0)
    nodes = torch.rand(3, 4, 6).requires_grad_()
    (slope,) = torch.autograd.grad(SetCritic(6, width=8)(nodes).sum(), nodes)
    assert slope[..., 0].abs().max() < slope[..., 1:].abs().max()


@pytest.mark.parametrize("name", sorted(set(NUMBERS) - {"twigs"}))
def test_critic_of_sets_and_slopes_that_reach_every_edge(name):
    torch.manual_seed(0)
    points = points_of([nx.gnp_random_graph(9, 0.4, seed=k) for k in range(6)])
    describe = Surroundings(name).fit([points])
    critic = SetCritic(1 + describe.count, width=16)
    numbers = describe(points)
    check_critic(critic, numbers)
    order = torch.randperm(9)
    assert torch.allclose(critic(numbers[:, order]), critic(numbers), atol=1e-5)
    edges = points.edges.clone().requires_grad_()
    (slope,) = torch.autograd.grad(critic(describe((points.nodes, edges))).sum(), edges)
    apart = ~torch.eye(9, dtype=torch.bool)
    assert (slope[..., 0][:, apart] != 0).float().mean() > 0.9
    assert torch.isfinite(slope).all()


def test_faces_of_an_icosahedron_are_triangles_and_a_square_with_both_diagonals_is_told():
    """Both ends of each edge share two neighbours; in a wheel's rim edges one, in K5 three."""
    seen = faces(adjacency_of(nx.icosahedral_graph()))[0]
    assert seen.shape == (12, NUMBERS["faces"][1])
    wanted = torch.tensor([5, math.log(6), 10, 20, 40, 0, 5 * math.exp(-2)])
    assert torch.allclose(seen[:, :7], wanted.expand(12, -1), atol=1e-5)
    # Five others are one edge away, five share two neighbours, the opposite one shares none.
    assert torch.allclose(seen[:, 7], torch.full((12,), 20.0 + 2 * 10))
    complete = faces(adjacency_of(nx.complete_graph(5)))[0]
    assert torch.allclose(complete[:, 2], torch.full((5,), 12.0))
    assert torch.allclose(complete[:, 5], torch.full((5,), 4.0))
    wheel = faces(adjacency_of(nx.wheel_graph(7)))[0]
    rim = 2 + math.exp(-2)
    assert torch.allclose(wheel[1:, 6], torch.full((6,), rim))


@pytest.mark.parametrize("seed", range(4))
def test_groups_of_four_are_counted_as_cliques_are(seed):
    graph = nx.gnp_random_graph(14, 0.6, seed=seed)
    triangles = [one for one in nx.enumerate_all_cliques(graph) if len(one) == 3]
    for node, corners in enumerate(triangles[:40:8], len(graph)):
        graph.add_edges_from((node, corner) for corner in corners)
    few = {node for node in graph if graph.degree[node] == 3}
    groups_ = [clique for clique in nx.enumerate_all_cliques(graph) if len(clique) == 4]
    assert any(few & set(group) for group in groups_)
    assert any(not few & set(group) for group in groups_)
    wanted = [
        [
            node in few,
            sum(node in group for group in groups_),
            sum(node in group and not few & set(group) for group in groups_),
        ]
        for node in graph
    ]
    seen = torch.cat(fours(adjacency_of(graph)), -1)[0]
    assert torch.equal(seen, torch.tensor(wanted, dtype=torch.float32))


def test_a_node_within_a_triangle_is_told_from_both_diagonals_of_a_square():
    """Both are four nodes that are all joined; nodes of three neighbours are left out of one."""
    inside = nx.icosahedral_graph()
    inside.add_edges_from((12, node) for node in (0, 1, 5))
    assert nx.is_planar(inside)
    assert inside.has_edge(0, 1)
    assert inside.has_edge(0, 5)
    assert inside.has_edge(1, 5)
    crossed = nx.icosahedral_graph()
    one, two = next(
        (a, b)
        for a, b in nx.non_edges(crossed)
        if len(list(nx.common_neighbors(crossed, a, b))) == 2
        and crossed.has_edge(*nx.common_neighbors(crossed, a, b))
    )
    crossed.add_edge(one, two)
    assert not nx.is_planar(crossed)
    for graph, all_, others in ((inside, 1, 0), (crossed, 1, 1)):
        _, every, left = (one.sum() / 4 for one in fours(adjacency_of(graph)))
        assert (float(every), float(left)) == (all_, others)
