"""Generators and critics of every size, and what no critic may have."""

import pytest
import torch
from torch import nn

import wgankit
from wgankit import SettingError
from wgankit.testing import check_critic, check_generator
from wgankit_images import (
    ConvCritic,
    ConvGenerator,
    ResidualCritic,
    ResidualGenerator,
    picture_space,
)
from wgankit_images.networks import doublings

SIZES = (4, 8, 12, 20, 28)
KINDS = {"conv": (ConvGenerator, ConvCritic), "residual": (ResidualGenerator, ResidualCritic)}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("size", SIZES)
def test_networks_of_every_size_keep_the_laws(kind, size):
    torch.manual_seed(0)
    channels = 3 if size == 12 else 1
    generator, critic = KINDS[kind]
    made = generator(5, size, channels, width=4)
    latent = wgankit.Normal(5)
    check_generator(made, latent, picture_space())
    drawn = made(latent.sample(6, "cpu"))
    assert drawn.shape == (6, channels, size, size)
    assert float(drawn.detach().abs().max()) <= 1
    judge = critic(size, channels, width=4)
    check_critic(judge, torch.randn(6, channels, size, size), space=picture_space())


@pytest.mark.parametrize("size", range(4, 132, 4))
def test_generators_double_from_a_side_that_fits(size):
    count = doublings(size)
    side = size / 2**count
    assert count >= 2
    assert side == int(side)
    assert side <= 4 or side % 2 or count == 2


@pytest.mark.parametrize("size", [0, 2, 6, 30])
@pytest.mark.parametrize("network", [ConvGenerator, ResidualGenerator])
def test_other_sizes_are_refused(network, size):
    with pytest.raises(SettingError, match="multiple of 4"):
        network(5, size)


@pytest.mark.parametrize("kind", KINDS)
def test_a_critic_that_couples_the_samples_of_a_batch_is_refused(kind):
    torch.manual_seed(0)
    plain = KINDS[kind][1](8, 1, width=4)
    coupled = nn.Sequential(nn.Conv2d(1, 1, 3, padding=1), nn.BatchNorm2d(1), plain)
    separate = nn.Sequential(nn.Conv2d(1, 1, 3, padding=1), nn.InstanceNorm2d(1), plain)

    def begin(critic):
        data, latent = torch.rand(40, 1, 8, 8), wgankit.Normal(5)
        generator = ConvGenerator(5, 8, 1, width=4)
        space = picture_space()
        return wgankit.train(generator, critic, data, space=space, latent=latent, batch=8)

    with pytest.raises(SettingError, match="BatchNorm"):
        begin(coupled)
    begin(separate)
    begin(plain)


@pytest.mark.parametrize("kind", KINDS)
def test_no_network_that_scores_has_batch_normalisation(kind):
    critic = KINDS[kind][1](16, 1, width=4)
    assert not any(isinstance(layer, nn.BatchNorm2d) for layer in critic.modules())


def test_width_100_latents_and_side_64_are_the_published_dcgan():
    """Layers 1024, 512, 256, 128 from 4 x 4 (Radford et al., 2016, figure 1)."""
    generator = ConvGenerator(100, 64, 3, width=128, normalised=False)
    shapes = [p.shape[0] for n, p in generator.named_parameters() if p.dim() == 4]
    assert shapes == [1024, 512, 256, 128]
    assert generator.layers[1].unflattened_size == (1024, 4, 4)
