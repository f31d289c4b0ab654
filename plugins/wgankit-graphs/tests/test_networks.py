"""Networks on graphs: equivariance, invariance, strength beyond 1-WL, gradients everywhere."""

import networkx as nx
import pytest
import torch

from wgankit.errors import SettingError
from wgankit.testing import check_critic, check_generator
from wgankit_graphs import (
    GraphCritic,
    GraphGenerator,
    GraphLatent,
    LabelledGraphs,
    encode_graphs,
    one_hot,
)
from wgankit_graphs.labelled import harden, renumber
from wgankit_graphs.networks import straight_through, walks

SIZES = [0, 0, 1, 2, 3, 4]


def networks(**settings):
    torch.manual_seed(0)
    latent = GraphLatent(SIZES, 5, per_node=4, per_graph=6)
    generator = GraphGenerator(4, 3, 5, per_node=4, per_graph=6, width=16, layers=2, **settings)
    return latent, generator, GraphCritic(4, 3, width=16, layers=2)


@pytest.mark.parametrize("labels", ["soft", "straight-through", "gumbel"])
def test_laws_of_the_networks(labels):
    latent, generator, critic = networks(labels=labels)
    check_generator(generator, latent, LabelledGraphs())
    with torch.no_grad():
        points = generator(latent.sample(12, "cpu"))
    check_critic(critic, points)


def test_generated_graphs_are_graphs():
    """One-hot labels, symmetric edges, nothing on the diagonal, nothing at padding; sizes drawn."""
    latent, generator, _ = networks()
    generator.eval()
    drawn = latent.sample(200, "cpu")
    nodes, edges = generator(drawn)
    assert torch.equal(nodes.detach().sum(-1), torch.ones(200, 5))
    assert torch.allclose(edges.detach().sum(-1), torch.ones(200, 5, 5))
    assert torch.equal(edges, edges.transpose(1, 2))
    assert torch.equal(edges.diagonal(dim1=1, dim2=2)[:, 0].detach(), torch.ones(200, 5))
    there = drawn[2]
    assert torch.equal((nodes.argmax(-1) > 0).float(), there)
    bonds = edges.detach()[..., 1:].sum(-1)
    assert (bonds * (1 - there)[:, :, None]).abs().max() == 0


def test_training_sees_probabilities_and_evaluation_the_likeliest_labels():
    latent, generator, _ = networks()
    drawn = latent.sample(50, "cpu")
    soft = generator(drawn)
    hard = generator.eval()(drawn)
    assert torch.allclose(soft.nodes.sum(-1), torch.ones(50, 5))
    assert torch.allclose(soft.edges.sum(-1), torch.ones(50, 5, 5), atol=1e-6)
    assert (
        soft.edges.detach().gt(0.001).float().mean() > hard.edges.detach().gt(0.001).float().mean()
    )
    assert torch.equal(harden(soft).edges, hard.edges.detach())
    assert torch.equal(harden(soft).nodes, hard.nodes.detach())


def test_sizes_follow_the_data():
    torch.manual_seed(0)
    there = GraphLatent(SIZES, 5).sample(50_000, "cpu")[2].sum(1).long()
    shares = torch.bincount(there, minlength=6) / 50_000
    assert torch.allclose(shares, torch.tensor(SIZES) / 10, atol=0.01)


def test_generator_is_equivariant():
    latent, generator, _ = networks()
    generator.eval()
    z, shared, there, slots = latent.sample(6, "cpu")
    order = torch.randperm(5)
    plain = generator((z, shared, there, slots))
    moved = generator((z[:, order], shared, there[:, order], slots[:, order]))
    wanted = renumber(plain, order.expand(6, -1))
    assert torch.equal(moved.nodes, wanted.nodes)
    assert torch.equal(moved.edges, wanted.edges)


def test_critic_is_invariant():
    latent, generator, critic = networks()
    with torch.no_grad():
        points = generator(latent.sample(6, "cpu"))
        order = torch.stack([torch.randperm(5) for _ in range(6)])
        assert torch.allclose(critic(points), critic(renumber(points, order)), atol=1e-5)


def as_points(graph: nx.Graph):
    edges = torch.from_numpy(nx.to_numpy_array(graph)).long()[None]
    return one_hot((torch.ones(1, len(graph), dtype=torch.long), edges), 2, 2)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (nx.cycle_graph(6), nx.disjoint_union(nx.cycle_graph(3), nx.cycle_graph(3))),
        (nx.circular_ladder_graph(3), nx.complete_bipartite_graph(3, 3)),
    ],
    ids=["six-cycle or two triangles", "prism or K33"],
)
def test_critic_sees_beyond_colour_refinement(one, other):
    """Regular graphs of one degree are equal to 1-WL; random walks come back at other rates."""
    hashes = {nx.weisfeiler_lehman_graph_hash(graph) for graph in (one, other)}
    assert len(hashes) == 1
    torch.manual_seed(0)
    critic = GraphCritic(2, 2, width=16, layers=1)
    with torch.no_grad():
        apart = critic(as_points(one)) - critic(as_points(other))
    assert apart.abs().item() > 1e-4


def test_walks_are_powers_of_the_lazy_walk():
    graph = nx.gnp_random_graph(7, 0.4, seed=1)
    adjacency = torch.from_numpy(nx.to_numpy_array(graph))
    step = (adjacency + torch.eye(7)) / (adjacency.sum(1, keepdim=True) + 1)
    found = walks(adjacency[None], 3)
    for length in range(3):
        wanted = torch.linalg.matrix_power(step, length + 1)
        assert torch.allclose(found[0, ..., length], wanted, atol=1e-12)


def test_straight_through_is_hard_forward_and_soft_backward():
    torch.manual_seed(0)
    logits = torch.randn(5, 4, requires_grad=True)
    weights = torch.randn(5, 4)
    labels = straight_through(logits, temperature=0.7)
    assert torch.equal(labels.argmax(-1), logits.argmax(-1))
    assert set(labels.detach().round(decimals=6).unique().tolist()) == {0.0, 1.0}
    (found,) = torch.autograd.grad((labels * weights).sum(), logits)
    (wanted,) = torch.autograd.grad(((logits / 0.7).softmax(-1) * weights).sum(), logits)
    assert torch.allclose(found, wanted)


def test_gumbel_noise_draws_labels_from_their_probabilities():
    torch.manual_seed(0)
    law = torch.tensor([0.5, 0.3, 0.2])
    labels = straight_through(law.log().expand(40_000, 3), noise=True)
    assert torch.allclose(labels.mean(0), law, atol=0.01)


def test_untrained_generator_starts_at_the_laws_of_the_data():
    latent, generator, _ = networks(node_law=[0.9, 0.05, 0.05], edge_law=[0.98, 0.01, 0.01])
    nodes, edges = generator(latent.sample(300, "cpu"))
    there = nodes.argmax(-1) > 0
    assert (nodes.argmax(-1)[there] == 1).float().mean() > 0.8
    assert edges[..., 0].mean() > 0.9


def test_sizes_without_meaning_are_refused():
    with pytest.raises(SettingError, match="sizes"):
        GraphLatent([0, 0, 0], 2)
    with pytest.raises(SettingError, match="sizes"):
        GraphLatent([1, 1, 1, 1], 2)


def test_walks_of_one_step_are_refused():
    with pytest.raises(SettingError, match="at least 2 steps; got 1"):
        GraphCritic(3, 2, steps=1)
    points = one_hot(encode_graphs([nx.path_graph(3)]).points, 2, 2)
    assert GraphCritic(2, 2, width=8, steps=2)(points).shape == (1,)
