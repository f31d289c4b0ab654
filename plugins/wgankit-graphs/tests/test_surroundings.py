"""Numbers of nodes: equivariance, what they are on graphs where that is known, critics of sets."""

import math

import networkx as nx
import pytest
import torch
from torch.nn import functional

from wgankit.errors import SettingError
from wgankit.testing import check_critic
from wgankit_graphs import encode_graphs, one_hot
from wgankit_graphs.blocks import BlockGenerator, PairLatent
from wgankit_graphs.labelled import renumber
from wgankit_graphs.surroundings import (
    NUMBERS,
    Choices,
    Described,
    SetCritic,
    Surroundings,
    communities,
    groups,
    limbs,
    reach,
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
    with pytest.raises(SettingError, match="communities, groups, limbs"):
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


def test_leaves_are_cut_off_gently():
    """On a path of 5 a leaf's share that stays is 0, and of the others 1 - exp(-0.7)."""
    seen = limbs(adjacency_of(nx.path_graph(5)))[0]
    share = 1 - math.exp(-0.7)
    assert torch.allclose(seen[:, 2], torch.tensor([0, share, share, share, 0]))
    assert torch.allclose(seen[:, 3], torch.tensor([share, share, 2 * share, share, share]))
    star = limbs(adjacency_of(nx.star_graph(4)))[0]
    assert torch.allclose(star[0, 7:9], torch.tensor([4.0, 4.0]))  # neighbours' degrees, squares
    assert star[0, 4] == 0  # without its leaves a star is a node alone


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


def test_chances_of_choices_follow_the_scores():
    """The mean slope over many draws is the slope of the expected score, got by enumeration."""
    torch.manual_seed(0)
    theta = torch.tensor([0.2, -0.5, 0.9], requires_grad=True)
    score = torch.tensor([1.0, -2.0, 4.0])
    drawn = torch.multinomial(theta.detach().softmax(0), 40_000, replacement=True)
    chance = theta.log_softmax(0)[drawn]
    there = (1 + chance - chance.detach())[:, None, None] * torch.ones(1, 5, 1)
    numbers = functional.one_hot(drawn, 3).float()[:, None].expand(-1, 5, -1)

    def critic(nodes):
        return nodes[:, 0, 1:] @ score

    made = torch.cat([there, numbers], -1)
    assert made[..., 0].unique().tolist() == [1.0]
    got = torch.autograd.grad(Choices(critic)(made, made), theta)[0]
    wanted = torch.autograd.grad(-(theta.softmax(0) * score).sum(), theta)[0]
    assert torch.allclose(got, wanted, atol=0.05)


def test_what_numbers_of_nodes_foretell_is_not_put_down_to_choices():
    theta = torch.zeros(2, requires_grad=True)
    drawn = torch.tensor([0, 1, 1, 0, 1, 0])
    chance = theta.log_softmax(0)[drawn][:, None, None]
    sizes = torch.arange(1, 7)
    there = (torch.arange(6) < sizes[:, None]).float().unsqueeze(-1)
    made = there * (1 + chance - chance.detach())
    pay = Choices(lambda nodes: 3 * nodes.sum((1, 2)) + 2)(made, made)
    assert torch.autograd.grad(pay, theta)[0].abs().max() < 1e-5


def test_critics_of_sets_leave_the_slope_of_presence_to_choices():
    torch.manual_seed(0)
    nodes = torch.rand(3, 4, 6).requires_grad_()
    (slope,) = torch.autograd.grad(SetCritic(6, width=8)(nodes).sum(), nodes)
    assert slope[..., 0].abs().max() < slope[..., 1:].abs().max()


def test_described_graphs_of_blocks_carry_the_chance_of_their_number():
    torch.manual_seed(0)
    latent = PairLatent([0] * 30 + [1], 30)
    generator = BlockGenerator(2, 2, 30, blocks=3, width=16)
    z = latent.sample(8, "cpu")
    with torch.no_grad():
        describe = Surroundings("groups").fit([generator(z)])
    seen = Described(generator, describe)(z)
    assert torch.equal(seen[..., 0].detach(), z[2])
    wanted = torch.autograd.grad(generator.log_chance(z).sum(), generator.blocks.preference)[0]
    got = torch.autograd.grad(seen[:, 0, 0].sum(), generator.blocks.preference)[0]
    assert torch.allclose(got, wanted)


@pytest.mark.parametrize("name", NUMBERS)
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
