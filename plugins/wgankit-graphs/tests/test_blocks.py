"""Generators that draw edges: laws they contain, gradients of draws, equivariance; walks."""

import itertools
import math

import networkx as nx
import numpy as np
import pytest
import torch

from wgankit.errors import DataError, SettingError
from wgankit.testing import check_critic, check_generator
from wgankit_graphs import LabelledGraphs, decode_graphs, encode_graphs, one_hot, trees
from wgankit_graphs import roles as roles_file
from wgankit_graphs.blocks import (
    EAGER,
    STEEPEST_LOGIT,
    BlockGenerator,
    PairLatent,
    WalkCritic,
    closures,
    lazy_powers,
    returns,
    toss,
    toss_coin,
)
from wgankit_graphs.labelled import renumber
from wgankit_graphs.metrics import is_sbm
from wgankit_graphs.partition import ANYTHING, GAIN, Partition, members
from wgankit_graphs.roles import BINS, Roles
from wgankit_graphs.sizes import BySize
from wgankit_graphs.trees import TreeGenerator, point

PLAIN = {"nodes": [None], "edges": [None], "node_attribute": None, "edge_attribute": None}


def small(kind):
    torch.manual_seed(0)
    sizes = [0, 0, 1, 2, 3, 4]
    labels = (4, 3) if kind is BlockGenerator else (4, 2)
    generator = kind(*labels, 5, blocks=2, per_node=4, per_graph=6, width=16, layers=1, heads=2)
    return PairLatent(sizes, 5, per_node=4, per_graph=6), generator, labels


@pytest.mark.parametrize("kind", [BlockGenerator, TreeGenerator])
def test_laws_of_the_networks(kind):
    latent, generator, labels = small(kind)
    # Numbers and sizes of blocks and roles have no slope of the graph: `Choices` teaches these.
    names = {"blocks.scale", "blocks.heights", "blocks.preference", "roles.heights"}
    drawn = names & set(dict(generator.named_parameters()))
    check_generator(generator, latent, LabelledGraphs(), exempt=drawn)
    with torch.no_grad():
        points = generator(latent.sample(12, "cpu"))
    check_critic(WalkCritic(*labels, width=16, layers=1), points)


@pytest.mark.parametrize("kind", [BlockGenerator, TreeGenerator])
def test_generated_graphs_are_graphs_and_renumbering_latents_renumbers_them(kind):
    latent, generator, _ = small(kind)
    generator.eval()
    z, shared, there, slots, coins = latent.sample(50, "cpu")
    nodes, edges = generator((z, shared, there, slots, coins))
    assert set(edges.unique().tolist()) <= {0.0, 1.0}
    assert torch.equal(edges, edges.transpose(1, 2))
    assert torch.equal(edges.detach().sum(-1), torch.ones(50, 5, 5))
    assert torch.equal(edges.diagonal(dim1=1, dim2=2)[:, 0].detach(), torch.ones(50, 5))
    assert torch.equal((nodes.argmax(-1) > 0).float(), there)
    assert (edges.detach()[..., 1:].sum(-1) * (1 - there)[:, :, None]).max() == 0
    order = torch.randperm(5)
    moved = generator(
        (z[:, order], shared, there[:, order], slots[:, order], coins[:, order][:, :, order])
    )
    wanted = renumber((nodes, edges), order.expand(50, -1))
    assert torch.equal(moved.nodes, wanted.nodes)
    assert torch.equal(moved.edges, wanted.edges)


def test_latents_beside_real_graphs_have_their_sizes():
    graphs = [nx.path_graph(k) for k in (2, 5, 3, 4)]
    points = one_hot(encode_graphs(graphs).points, 2, 2)
    latent = PairLatent([0, 0, 1, 1, 1, 1], 5)
    there = latent.beside(points)[2]
    assert there.sum(1).tolist() == [2, 5, 3, 4]
    assert torch.equal(there, there.sort(1, descending=True).values)


def test_toss_draws_by_the_probabilities_and_has_their_gradient():
    torch.manual_seed(0)
    logits = torch.tensor([0.3, -1.0, 0.8], requires_grad=True)
    drawn = toss(logits.expand(200_000, 3), torch.rand(200_000))
    law = logits.detach().softmax(-1)
    spread = (law * (1 - law) / 200_000).sqrt()
    assert ((drawn.detach().mean(0) - law).abs() < 4 * spread).all()
    # Of a linear critic the gradient is exact, whatever was drawn.
    value = torch.tensor([2.0, -1.0, 5.0])
    got = torch.autograd.grad((toss(logits, torch.rand(())) * value).sum(), logits)[0]
    wanted = torch.autograd.grad((logits.softmax(-1) * value).sum(), logits)[0]
    assert torch.allclose(got, wanted)


def test_tossing_coins_is_tossing_two_labels():
    torch.manual_seed(0)
    logits = torch.randn(1_000, requires_grad=True)
    coins = torch.rand(1_000)
    heads = toss_coin(logits, coins)
    assert torch.equal(heads.detach(), (coins < logits.sigmoid()).float())
    (slope,) = torch.autograd.grad(heads.sum(), logits)
    law = logits.detach().sigmoid()
    assert torch.allclose(slope, law * (1 - law))


def test_pointing_draws_by_the_probabilities():
    torch.manual_seed(1)
    logits = torch.tensor([0.3, -1.0, 0.8, -math.inf])
    drawn = point(logits.expand(200_000, 4), torch.rand(200_000, 4)).mean(0)
    law = logits.softmax(-1)
    assert ((drawn - law).abs() <= 4 * (law * (1 - law) / 200_000).sqrt()).all()


def test_nodes_belong_where_sizes_say():
    sizes = torch.tensor([[5.0, 2.0, 3.0], [0.0, 10.0, 0.0]])
    member = members(sizes, torch.arange(10).expand(2, -1))
    assert member.sum(1).tolist() == sizes.tolist()
    assert member.sum(2).eq(1).all()
    assert member[0].argmax(1).tolist() == [0] * 5 + [1] * 2 + [2] * 3


def test_roles_are_as_large_as_their_chances_say():
    """Shares of three roles, from sizes alone, by the parts of [0, 1] that they lie in."""
    torch.manual_seed(0)
    count, number = 100_000, 160_000
    roles = Roles(3, 8, 2 * number, 8, layers=1, heads=2).double()
    with torch.no_grad():
        roles.heights.add_(torch.randn_like(roles.heights) / roles_file.EAGER)
        sizes, said = roles.draw(
            torch.randn(count, 8).double(), torch.full((count, 1), float(number)).double()
        )
    assert torch.equal(sizes.sum(1), torch.full((count,), float(number)).double())
    assert sizes.min() >= 0
    first, rest = sizes[:, 0] / number, sizes[:, 1] / (number - sizes[:, 0])
    place = (first * BINS).long().clamp_max(BINS - 1) * BINS
    place = place + (rest * BINS).long().clamp_max(BINS - 1)
    # Whole nodes next to a border fall into the wrong part, one in some thousands.
    chances = torch.stack([said[place == one].median() for one in place.unique()]).exp()
    seen = torch.stack([(place == one).double().mean() for one in place.unique()])
    assert chances.sum() == pytest.approx(1, abs=0.01)
    # Of 256 parts four or so lie beyond three deviations; none lies beyond five.
    assert ((seen - chances).abs() <= 5 * (chances / count).sqrt() + 1e-4).all()
    law = torch.zeros(BINS).double().index_add(0, place.unique() // BINS, chances)
    seen_law = torch.bincount(place // BINS, minlength=BINS).double() / count
    assert torch.allclose(law, seen_law, atol=0.01)


def test_untrained_roles_share_the_nodes_uniformly():
    """All ways to share are equally likely: the first of three roles has the density 2 (1 - x)."""
    torch.manual_seed(0)
    roles = Roles(3, 8, 60, 8, layers=1, heads=2)
    with torch.no_grad():
        _, sizes = roles(torch.randn(40_000, 8), torch.full((40_000, 1), 60.0))
    assert torch.allclose(sizes.mean(0) / 60, torch.full((3,), 1 / 3), atol=0.01)
    for share in (0.25, 0.5, 0.75):
        seen = (sizes[:, 0] / 60 < share).double().mean().item()
        assert seen == pytest.approx(1 - (1 - share) ** 2, abs=0.025)
    assert len(sizes[:, 0].unique()) >= 59
    with pytest.raises(SettingError, match="raise per_graph"):
        Roles(5, 8, 60, 8, layers=1, heads=2)


def test_block_models_are_in_the_family():
    """Two blocks of half the nodes with the probabilities of the data: the data's block model."""
    torch.manual_seed(0)
    generator = BlockGenerator(2, 2, 56, blocks=2, width=16, layers=0).eval()
    latent = PairLatent([0] * 56 + [1], 56)
    set_probabilities(generator, 0.005, 0.3)
    with torch.no_grad():
        generator.blocks.preference[1] = 10.0
        graphs = decode_graphs(generator(latent.sample(40, "cpu")), PLAIN)
    halves = [range(28), range(28, 56)]
    sizes = {len(graph) for graph in graphs}
    assert sizes == {56}
    inside = np.mean([nx.density(graph.subgraph(half)) for graph in graphs for half in halves])
    across = np.mean([nx.cut_size(graph, halves[0]) / 28**2 for graph in graphs])
    assert inside == pytest.approx(0.3, abs=4 * math.sqrt(0.21 / (40 * 756)))
    assert across == pytest.approx(0.005, abs=4 * math.sqrt(0.005 / (40 * 784)))
    assert sum(map(is_sbm, graphs)) >= 38


@torch.no_grad()
def set_probabilities(generator, between, within):
    """Make edges of a generator as likely as said, and all blocks equally large."""
    logits = torch.logit(torch.tensor([[between], [within]]))
    # What comes out of the squashing shall be these logits.
    generator.odds.copy_(STEEPEST_LOGIT * torch.atanh(logits / STEEPEST_LOGIT) / EAGER)
    generator.pair_head[2].weight.zero_()
    generator.pair_head[2].bias.zero_()
    same_sizes(generator.blocks)


@torch.no_grad()
def same_sizes(blocks, factor=1.0):
    """Let all sizes be this times the one that learning starts with."""
    blocks.scale.copy_(torch.tensor([math.log(factor), math.log(0.02)]) / GAIN)


def a_partition():
    """Up to three blocks of up to twelve nodes, with some law of sizes and some preferences."""
    torch.manual_seed(0)
    blocks = Partition(3, 24, 16, size=4.0, layers=1, heads=2)
    with torch.no_grad():
        blocks.preference.copy_(torch.tensor([0.0, 0.005, -0.004]))
        blocks.heights.normal_(0, 0.01)
    return blocks


def enumerated(blocks, number):
    """Return the chances of all ways to share this many nodes, by going through them."""
    law = blocks.law().detach().numpy()
    weights = np.exp(100 * blocks.preference.detach().double().numpy())
    ways = {}
    for count in (1, 2, 3):
        for sizes in itertools.product(range(1, number + 1), repeat=count):
            if sum(sizes) == number:
                ways[sizes] = weights[count - 1] * np.prod(law[list(sizes)])
    total = sum(ways.values())
    return {sizes: chance / total for sizes, chance in ways.items()}


@pytest.mark.parametrize("number", [1, 2, 7, 12])
def test_numbers_and_sizes_of_blocks_are_drawn_by_their_chances(number):
    blocks, count = a_partition(), 40_000
    wanted = enumerated(blocks, number)
    with torch.no_grad():
        nodes = torch.full((count, 1), float(number))
        noise = torch.randn(count, 24)
        (tokens, sizes), (_, log_chance) = blocks(noise, nodes), blocks.draw(noise, nodes)
        several = blocks.chances(nodes[:1]).exp()[0]
    assert tokens.shape == (count, 3, 16)
    assert (sizes.sum(-1) == number).all()
    drawn = [tuple(s for s in row if s) for row in sizes.int().tolist()]
    assert np.allclose(log_chance.exp(), [wanted[sizes] for sizes in drawn], rtol=1e-4)
    for sizes, chance in wanted.items():
        share = drawn.count(sizes) / count
        assert share == pytest.approx(chance, abs=4 * math.sqrt(chance / count) + 1e-4)
    exact = [sum(c for sizes, c in wanted.items() if len(sizes) == k) for k in (1, 2, 3)]
    assert np.allclose(several, exact, atol=1e-6)


def test_slopes_of_chances_add_up_to_nothing():
    """Chances of all that can be drawn sum to 1, and so the mean of a score's slope is 0."""
    blocks = a_partition()
    nodes = torch.full((20_000, 1), 7.0)
    log_chance = blocks.draw(torch.randn(20_000, 24), nodes).log_chance
    for parameter in (blocks.preference, blocks.scale):
        (slope,) = torch.autograd.grad(log_chance.mean(), parameter, retain_graph=True)
        rows = [
            torch.autograd.grad(one.mean(), parameter, retain_graph=True)[0]
            for one in log_chance.split(500)
        ]
        assert (slope.abs() <= 4 * torch.stack(rows).std(0) / 40**0.5 + 1e-6).all()
        assert torch.stack(rows).std(0).max() > 0.01


def test_published_sizes_of_blocks_are_in_the_family():
    """Uniform sizes of 20 to 40 nodes, 2 to 5 of them: how many there are for a number of nodes."""
    blocks = Partition(6, 24, 16, size=34.0, layers=0, heads=2)
    with torch.no_grad():
        # A law so wide that it is even, cut off by heights; nodes of no or one block are none.
        blocks.scale[1] = 1.0
        inside = (blocks.sizes >= 20) & (blocks.sizes <= 40)
        blocks.knots = torch.eye(len(inside))
        blocks.heights = torch.nn.Parameter(inside.float())
        blocks.preference.copy_(torch.tensor([-1.0, 0, 0, 0, 0, -1.0]))
        law = blocks.law()
        seen = blocks.chances(torch.tensor([[95.0]])).exp()[0]
    assert law[20:41].sum() == pytest.approx(1, abs=2 * ANYTHING)
    rng = np.random.default_rng(0)
    numbers = rng.integers(2, 6, 400_000)
    sizes = rng.integers(20, 41, (400_000, 5)) * (np.arange(5) < numbers[:, None])
    close = numbers[sizes.sum(1) == 95]
    for k in range(1, 7):
        share = np.mean(close == k)
        assert seen[k - 1] == pytest.approx(share, abs=4 * math.sqrt(0.25 / len(close)))


def test_blocks_want_enough_noise():
    with pytest.raises(SettingError, match="raise per_graph"):
        Partition(8, 16, 16, size=20.0, layers=1, heads=2)
    with pytest.raises(SettingError, match="size > 0"):
        Partition(2, 8, 16, size=0.0, layers=1, heads=2)


def test_trees_without_roles_are_uniform():
    """In codes of labelled trees (Pruefer) each node stands degree - 1 times, binomially."""
    torch.manual_seed(0)
    latent = PairLatent([0] * 60 + [1], 60)
    generator = TreeGenerator(2, 2, 60, width=16)
    with torch.no_grad():
        generator.table.zero_()
        for layer in (generator.ends, generator.pair_head[2]):
            layer.weight.zero_()
            layer.bias.zero_()
        graphs = decode_graphs(generator(latent.sample(200, "cpu")), PLAIN)
    degrees = np.concatenate([[degree for _, degree in graph.degree()] for graph in graphs])
    for children in range(4):
        exact = math.comb(58, children) * 59 ** (58 - children) / 60**58
        assert np.mean(degrees == 1 + children) == pytest.approx(exact, abs=0.015)


def test_nodes_like_those_of_the_role_before():
    """By the logit where learning starts, and all other nodes before them alike."""
    torch.manual_seed(0)
    latent = PairLatent([0] * 60 + [1], 60)
    generator = TreeGenerator(2, 2, 60, blocks=3, width=16)
    with torch.no_grad():
        for layer in (generator.ends, generator.pair_head[2]):
            layer.weight.zero_()
            layer.bias.zero_()
    parts = latent.sample(20, "cpu")
    _, sizes = generator.roles(parts[1], torch.full((20, 1), 60.0))
    member = members(sizes, parts[3])
    seen = 0
    for law, role in zip(generator.chances(parts), member.argmax(2).tolist()):
        for child in range(2, 60):
            earlier = range(child - 1)
            liked = [law[child, j].item() for j in earlier if role[j] == role[child] - 1]
            others = [law[child, j].item() for j in earlier if role[j] != role[child] - 1]
            assert max(others, default=1) == pytest.approx(min(others, default=1), rel=1e-3)
            if liked and others:
                seen += 1
                assert liked[0] / others[0] == pytest.approx(math.exp(trees.LEVEL), rel=0.03)
    assert seen > 100


def test_uniform_trees_are_in_the_family():
    """Pointing at min(u, i - 1) and forgetting the numbers makes all trees equally likely."""
    size, counts = 5, {}
    for picks in itertools.product(*[range(size) for _ in range(1, size)]):
        graph = nx.Graph([(i, min(u, i - 1)) for i, u in zip(range(1, size), picks)])
        key = tuple(sorted(degree for _, degree in graph.degree()))
        counts[key] = counts.get(key, 0) + 1
    # Trees on 5 labelled nodes: 60 paths, 60 forks, 5 stars (Cayley).
    total = sum(counts.values())
    shares = {key: count / total for key, count in counts.items()}
    assert shares == pytest.approx(
        {(1, 1, 2, 2, 2): 60 / 125, (1, 1, 1, 2, 3): 60 / 125, (1, 1, 1, 1, 4): 5 / 125}
    )


def test_whatever_the_weights_trees_come_out():
    for seed in range(5):
        torch.manual_seed(seed)
        latent = PairLatent([0, 1, 1, 1] + [1] * 17, 20)
        graphs = decode_graphs(TreeGenerator(2, 2, 20, width=16)(latent.sample(30, "cpu")), PLAIN)
        assert all(nx.is_tree(graph) for graph in graphs)
    with pytest.raises(SettingError, match="one kind of edges"):
        TreeGenerator(2, 3, 20)


def test_walks_and_triangles_agree_with_networkx():
    graph = nx.erdos_renyi_graph(12, 0.4, seed=3)
    adjacency = torch.tensor(nx.to_numpy_array(graph), dtype=torch.float64)[None]
    loops = nx.to_numpy_array(graph) + np.eye(12)
    step = loops / loops.sum(1, keepdims=True)
    lengths = (2, 3, 4, 6, 8, 12, 16)
    for back, length in zip(returns(lazy_powers(adjacency, 3)), lengths, strict=True):
        wanted = np.log(np.diag(np.linalg.matrix_power(step, length)))
        assert np.allclose(back[0, :, 0].numpy(), wanted)
    shared = adjacency * (adjacency @ adjacency)
    degrees, _, triangles, _, _ = closures(adjacency.unsqueeze(-1), shared)
    assert (degrees[0, :, 0] * 8).tolist() == [degree for _, degree in graph.degree()]
    assert (triangles[0, :, 0] * 4).tolist() == list(nx.triangles(graph).values())


def test_walk_critic_tells_apart_what_colour_refinement_cannot():
    torch.manual_seed(0)
    pair = [nx.cycle_graph(6), nx.disjoint_union(nx.cycle_graph(3), nx.cycle_graph(3))]
    scores = WalkCritic(2, 2, width=16)(one_hot(encode_graphs(pair).points, 2, 2))
    assert (scores[0] - scores[1]).abs() > 1e-4


def test_batches_by_size_draw_every_graph_once_an_epoch_cut_to_the_largest():
    graphs = [nx.path_graph(k) for k in range(2, 26)]
    points = encode_graphs(graphs).points
    batches = BySize(points, 4, blur=3.0)
    seen = []
    for _ in range(6):
        nodes, edges = batches.draw()
        sizes = (nodes > 0).sum(1)
        assert nodes.shape[1] == edges.shape[1] == edges.shape[2] == int(sizes.max())
        assert int(sizes.max() - sizes.min()) <= 3 + 3 + 3
        assert (edges > 0).sum((1, 2)).tolist() == [2 * (k - 1) for k in sizes.tolist()]
        seen += sizes.tolist()
    assert sorted(seen) == list(range(2, 26))
    again = BySize(points, 4, blur=3.0)
    again.load_state_dict(batches.state_dict())
    assert torch.equal(again.draw(2).nodes, batches.draw(2).nodes)
    with pytest.raises(DataError, match="smaller batch"):
        batches.draw(7)


def test_untrained_block_generators_have_the_density_of_the_data():
    torch.manual_seed(0)
    generator = BlockGenerator(2, 2, 60, edge_law=[0.9, 0.1]).eval()
    latent = PairLatent([0] * 60 + [1], 60)
    with torch.no_grad():
        generator.pair_head[2].weight.zero_()
        generator.pair_head[2].bias.zero_()
        same_sizes(generator.blocks, 2.0)
        # As many blocks as the density is made for: half of them.
        generator.blocks.preference[2] = 10.0
        graphs = decode_graphs(generator(latent.sample(100, "cpu")), PLAIN)
    assert np.mean([nx.density(graph) for graph in graphs]) == pytest.approx(0.1, abs=0.01)
