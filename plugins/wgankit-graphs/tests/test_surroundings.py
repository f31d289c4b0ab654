"""Numbers of nodes: equivariance, what they are on graphs where that is known, critics of sets."""

import networkx as nx
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
    with pytest.raises(SettingError, match="communities, limbs"):
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


def test_leaves_are_cut_off_twice():
    """On a caterpillar the first cut leaves the path; a spider with long legs has its centre."""
    legs = nx.Graph()
    for leg in range(3):
        nx.add_path(legs, ["centre", (leg, 1), (leg, 2), (leg, 3)])
    nodes = list(legs)
    seen = limbs(adjacency_of(legs))[0]
    centre, near, last = (nodes.index(one) for one in ("centre", (0, 1), (0, 3)))
    branches = seen[:, 5]
    assert branches[centre] == pytest.approx(1, abs=0.15)
    assert branches[[i for i in range(len(nodes)) if i != centre]].abs().max() < 1e-6
    assert seen[last, 2] == 0  # cut off
    assert seen[near, 3] > 0.9  # still there after two cuts


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
