"""Slopes of expected scores by what is drawn, against enumeration."""

import pytest
import torch

from wgankit.errors import SettingError
from wgankit.latent import Conditioned
from wgankit_graphs.blocks import BlockGenerator, PairLatent
from wgankit_graphs.choices import Choices
from wgankit_graphs.surroundings import Described, Surroundings


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
