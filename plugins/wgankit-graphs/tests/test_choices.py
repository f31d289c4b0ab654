"""Slopes of expected scores by what is drawn, against enumeration."""

import itertools

import pytest
import torch

from wgankit.errors import SettingError
from wgankit.latent import Conditioned
from wgankit_graphs.blocks import BlockGenerator, PairLatent
from wgankit_graphs.choices import Choices, OneTurn
from wgankit_graphs.surroundings import Described, Surroundings
from wgankit_graphs.trees import TreeGenerator


class OneOfThree:
    """Draws 0, 1 or 2, and adds what belongs to the real point."""

    def __init__(self):
        self.theta = torch.tensor([0.2, -0.5, 0.9], requires_grad=True)

    def __call__(self, latent):
        coins, beside = latent
        drawn = (coins[:, None] > self.theta.softmax(0).cumsum(0)[:2]).sum(1)
        return torch.tensor([1.0, -2.0, 4.0])[drawn] + beside

    def log_chance(self, latent):
        coins, _ = latent
        drawn = (coins[:, None] > self.theta.softmax(0).cumsum(0)[:2]).sum(1)
        return self.theta.log_softmax(0)[drawn]


class Coins(Conditioned):
    def sample(self, count, device):
        return torch.rand(count), torch.zeros(count)

    def beside(self, real):
        return torch.rand(len(real)), real


@pytest.mark.parametrize("draws", [2, 5])
def test_chances_of_choices_follow_the_scores(draws):
    """What stands beside a real point shifts scores a thousandfold, and changes nothing."""
    torch.manual_seed(0)
    generator, real = OneOfThree(), 1_000 * torch.randn(40_000)
    choices = Choices(lambda points: points, generator, Coins(), draws=draws)
    (got,) = torch.autograd.grad(choices(real, real), generator.theta)
    expected = (generator.theta.softmax(0) * torch.tensor([1.0, -2.0, 4.0])).sum()
    (wanted,) = torch.autograd.grad(-expected, generator.theta)
    assert torch.allclose(got, wanted, atol=0.04)
    with pytest.raises(SettingError, match="draws >= 2"):
        Choices(lambda points: points, generator, Coins(), draws=1)


def test_choices_of_blocks_reach_what_draws_them():
    torch.manual_seed(0)
    latent = PairLatent([0] * 30 + [1], 30)
    generator = BlockGenerator(2, 2, 30, blocks=3, width=16)
    with torch.no_grad():
        describe = Surroundings("companies").fit([generator(latent.sample(8, "cpu"))])
        real = Described(generator, describe)(latent.sample(8, "cpu"))
    critic = lambda nodes: nodes[..., 1].sum(1)  # noqa: E731
    value = Choices(critic, Described(generator, describe), latent)(real, real)
    names = dict(generator.named_parameters())
    slopes = torch.autograd.grad(value, list(names.values()), allow_unused=True)
    reached = {name for name, slope in zip(names, slopes) if slope is not None and slope.any()}
    assert reached == {"blocks.scale", "blocks.heights", "blocks.preference"}


class Again(Conditioned):
    """The same latents many times, with fresh coins."""

    def __init__(self, parts, count):
        self.parts, self.count = parts, count

    def sample(self, count, device):
        return self.beside(None)

    def beside(self, real):
        rows = [part.expand(self.count, *part.shape[1:]).contiguous() for part in self.parts]
        return (*rows[:4], torch.rand(self.count, *self.parts[4].shape[1:]))


def products(graphs):
    """A score that no slope foretells: products of three degrees, which all edges make."""
    degrees = (1 - graphs[1][..., 0]).sum(2)
    return degrees.square().sum(1) + 3 * degrees[:, 0] * degrees[:, 1] * degrees[:, 2]


@pytest.mark.parametrize("turns", [1, 4])
def test_one_turn_has_the_slope_of_the_expected_score(turns):
    """Of a tree of four nodes, over all 6 ways that they can point; a fifth place is padding."""
    torch.manual_seed(0)
    latent = PairLatent([0, 0, 0, 0, 1], 5, per_node=4, per_graph=6)
    generator = TreeGenerator(
        2, 2, 5, blocks=2, per_node=4, per_graph=6, width=8, layers=1, heads=2
    )
    parts = latent.sample(1, "cpu")
    law = generator.chances(parts)[0]
    expected = torch.zeros(())
    for pointed in itertools.product(range(1), range(2), range(3)):
        adjacency = torch.zeros(1, 5, 5)
        for child, parent in zip((1, 2, 3), pointed):
            adjacency[0, child, parent] = adjacency[0, parent, child] = 1
        score = products((None, torch.stack([1 - adjacency, adjacency], -1)))[0]
        expected = expected + score * law[1, pointed[0]] * law[2, pointed[1]] * law[3, pointed[2]]
    among = [generator.table, generator.roles.codes]
    wanted = torch.autograd.grad(-expected, among)
    rule = OneTurn(lambda seen: seen, generator, products, Again(parts, 20_000), turns=turns)
    got = torch.autograd.grad(rule(None, None), among)
    for one, other in zip(got, wanted):
        assert torch.linalg.norm(one - other) < 0.06 * torch.linalg.norm(other)
    with pytest.raises(SettingError, match="turns=0"):
        OneTurn(lambda seen: seen, generator, products, Again(parts, 1), turns=0)


def test_choices_of_trees_reach_what_shares_the_nodes():
    torch.manual_seed(0)
    latent = PairLatent([0] * 30 + [1], 30)
    generator = TreeGenerator(2, 2, 30, blocks=3, width=16)
    describe = Surroundings("twigs")
    with torch.no_grad():
        describe.fit([generator(latent.sample(8, "cpu"))])
    real = Described(generator, describe)(latent.sample(8, "cpu"))
    # Leaps have no slopes: only scores teach whom nodes point at.
    (none,) = torch.autograd.grad(real.sum(), generator.table, allow_unused=True)
    assert none is None
    critic = lambda nodes: nodes[..., 1].sum(1)  # noqa: E731
    value = Choices(critic, Described(generator, describe), latent)(real, real)
    (slope,) = torch.autograd.grad(value, generator.roles.heights)
    assert slope[0].abs().max() > 0
