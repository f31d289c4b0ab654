"""Latents beside what is given, consistent generators, patch critics, content."""

from functools import partial

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional

import wgankit
from wgankit import Normed, SettingError, ShapeError, exact
from wgankit.testing import check_critic, check_generator
from wgankit_images import (
    Content,
    ConvCritic,
    Given,
    GivenLatent,
    PairCritic,
    PatchCritic,
    Translator,
    picture_space,
)
from wgankit_images.networks import doubled, halved
from wgankit_images.translation import consistent, deepest, enlarged, with_smaller

SPACE = Given(picture_space())


def pictures(count, size=16, channels=1, seed=0):
    torch.manual_seed(seed)
    return 2 * torch.rand(count, channels, size, size) - 1


# Latents --------------------------------------------------------------------------------------


def test_every_given_picture_is_drawn_as_often_as_any_other():
    bank = torch.arange(5.0).view(5, 1, 1, 1)
    drawn, noise = GivenLatent(bank, (2, 3, 3)).sample(17, "cpu")
    often = torch.bincount(drawn.flatten().long(), minlength=5)
    assert noise.shape == (17, 2, 3, 3)
    assert set(often.tolist()) == {3, 4}


def test_latents_beside_real_points_hold_what_these_were_given():
    real = pictures(6), pictures(6, 4, seed=3)
    beside, noise = GivenLatent(pictures(2, 4), (1, 4, 4)).beside(real)
    assert torch.equal(beside, real[1])
    assert len(noise) == 6


def test_in_training_the_made_picture_has_the_given_one_of_the_real_picture_beside_it():
    pairs = []

    def content(made, real):
        pairs.append((made[1], real[1]))
        return made[0].mean() * 0

    torch.manual_seed(0)
    generator = Translator(8, 1, factor=2, fold=2, noise=1, width=4, blocks=1)
    pixels = torch.randint(256, (20, 1, 8, 8), dtype=torch.uint8)
    training = wgankit.train(
        generator,
        PairCritic(ConvCritic(8, 2, width=4)),
        pixels,
        space=SPACE,
        latent=GivenLatent(pictures(3, 4), generator.noise),
        prepare=partial(with_smaller, factor=2),
        content=content,
        batch=5,
        device="cpu",
    )
    pairs.clear()  # of the trials before the first step
    for _ in range(3):
        next(training)
    assert len(pairs) == 3
    assert all(torch.equal(made, real) for made, real in pairs)
    assert len({float(made[0, 0, 0, 0]) for made, _ in pairs}) > 1


def test_a_latent_needs_given_pictures():
    with pytest.raises(ShapeError, match="at least 1"):
        GivenLatent(torch.zeros(0, 1, 4, 4), (1,))


# Generators -----------------------------------------------------------------------------------

TRANSLATORS = {
    "four times": {"size": 16, "factor": 4, "fold": 4, "consistent": True},
    "twice": {"size": 12, "factor": 2, "fold": 2, "channels": 3, "consistent": True},
    "same side": {"size": 8, "factor": 1, "fold": 2, "given": 1, "channels": 3},
}


def translator(name):
    torch.manual_seed(0)
    settings = TRANSLATORS[name]
    made = Translator(**settings, noise=2, width=8, blocks=1)
    given = settings.get("given", settings.get("channels", 1))
    side = settings["size"] // settings["factor"]
    return made, GivenLatent(pictures(7, side, given, seed=1), made.noise)


@pytest.mark.parametrize("name", TRANSLATORS)
def test_translators_keep_the_laws_of_generators(name):
    made, latent = translator(name)
    check_generator(made, latent, SPACE, exempt={"1"})


@pytest.mark.parametrize("name", TRANSLATORS)
def test_translators_hand_on_what_was_given(name):
    made, latent = translator(name)
    latents = latent.sample(5, "cpu")
    assert torch.equal(made(latents)[1], latents[0])


@pytest.mark.parametrize("name", ["four times", "twice"])
def test_what_a_consistent_translator_makes_is_the_given_picture_when_averaged_down(name):
    made, latent = translator(name)
    picture, given_one = made(latent.sample(6, "cpu"))
    small = halved(picture, TRANSLATORS[name]["factor"])
    assert torch.allclose(small, given_one, atol=1e-5)
    assert not torch.allclose(picture, enlarged(given_one, TRANSLATORS[name]["factor"]), atol=1e-3)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from([2, 4]))
def test_consistent_pictures_are_the_nearest_ones(seed, factor):
    """The change is orthogonal to whatever averages to 0: the projection onto an affine space."""
    x, given_one = pictures(3, seed=seed), pictures(3, 16 // factor, seed=seed + 1)
    near = consistent(x, given_one)
    other = pictures(3, seed=seed + 2)
    along = other - doubled(halved(other, factor), factor)
    assert torch.allclose(consistent(near, given_one), near, atol=1e-6)
    assert float(((near - x) * along).sum().abs()) < 1e-4


@pytest.mark.parametrize(
    "wrong",
    [
        {"size": 10},
        {"size": 12, "factor": 5},
        {"size": 16, "fold": 3},
        {"size": 16, "channels": 3, "given": 1, "consistent": True},
    ],
)
def test_translators_that_cannot_be_are_refused(wrong):
    with pytest.raises(SettingError):
        Translator(**wrong)


# Critics --------------------------------------------------------------------------------------


@pytest.mark.parametrize(("size", "depth"), [(12, 1), (16, 2), (20, 2), (32, 3), (28, 3)])
def test_a_patch_critic_is_the_mean_of_a_critic_of_overlapping_patches(size, depth):
    torch.manual_seed(0)
    critic = PatchCritic(size, 2, width=4, depth=depth)
    x = pictures(3, size, 2)
    patches = critic.patches(x)
    each = critic.layers(patches.flatten(0, 1)).view(3, -1)
    assert patches.shape[2:] == (2, 3 * 2**depth - 2, 3 * 2**depth - 2)
    assert each.shape[1] == critic.count(size) > 1
    assert critic.stride < critic.patch
    assert torch.allclose(critic.map(x).flatten(1), each, atol=1e-5)
    assert torch.allclose(critic(x), critic.factor * each.mean(1), atol=1e-5)
    check_critic(critic, pictures(6, size, 2))


def test_a_score_of_a_patch_sees_its_own_pixels_only():
    torch.manual_seed(0)
    critic = PatchCritic(16, 1, width=4, depth=2)  # patches of 10 every 4, a mirrored margin of 1
    x = pictures(1).requires_grad_()
    for row, column in ((0, 0), (1, 1), (0, 2)):
        (gradient,) = torch.autograd.grad(critic.map(x)[0, row, column], x)
        seen = gradient[0, 0] != 0
        rows, columns = (torch.arange(16)[seen.any(axis)] for axis in (1, 0))
        assert rows.min() == max(4 * row - 1, 0)
        assert rows.max() == min(4 * row + 8, 15)
        assert columns.min() == max(4 * column - 1, 0)
        assert columns.max() == min(4 * column + 8, 15)
    (everywhere,) = torch.autograd.grad(critic(x).sum(), x)
    assert bool((everywhere != 0).all())


@pytest.mark.parametrize(("size", "depth"), [(4, 1), (8, 1), (12, 2), (20, 2), (24, 3), (64, 3)])
def test_the_deepest_critic_fits_and_one_more_does_not(size, depth):
    assert deepest(size) == depth
    assert PatchCritic(size, 1, width=2, depth=depth).patch <= size
    if depth < 3:
        with pytest.raises(SettingError, match="smaller depth"):
            PatchCritic(size, 1, width=2, depth=depth + 1)


@pytest.mark.parametrize(("size", "depth"), [(16, 2), (28, 3), (32, 3)])
def test_pictures_are_mirrored_at_their_edges(size, depth):
    critic = PatchCritic(size, 1, width=4, depth=depth)
    x = pictures(2, size)
    left, right, top, bottom = critic.margins
    assert left + right > 0
    wide = np.pad(x.numpy(), ((0, 0), (0, 0), (top, bottom), (left, right)), mode="reflect")
    assert np.array_equal(critic.mirrored(x).numpy(), wide)


def test_scores_of_patches_move_with_the_picture():
    torch.manual_seed(0)
    critic = PatchCritic(32, 1, width=4, depth=2)
    x = pictures(2, 32)
    moved, before = critic.map(x.roll(-4, 3)), critic.map(x)
    assert torch.allclose(moved[:, :, 1:-2], before[:, :, 2:-1], atol=1e-5)


@pytest.mark.parametrize(("size", "depth"), [(8, 1), (16, 2), (32, 2), (28, 3)])
def test_a_patch_critic_is_no_steeper_than_its_score_of_patches(size, depth):
    """Of linear scores with slope 1 the steepest picture critic has slope 1, and none more."""
    torch.manual_seed(0)
    critic = PatchCritic(size, 1, width=4, depth=depth)
    steepest = 0.0
    for tried in range(30):
        layer = nn.Conv2d(1, 1, critic.patch, critic.stride, bias=False)
        weight = layer.weight.data.normal_() if tried else layer.weight.data.fill_(1.0)
        layer.weight.data = weight / weight.norm()
        critic.layers = nn.Sequential(layer)
        x = pictures(1, size)
        slope = Normed().slope(critic, x, x, torch.zeros(1))
        steepest = max(steepest, float(slope.detach()))
    assert 0.4 < steepest <= 1 + 1e-5


def test_no_factor_would_be_smaller():
    """k counts the pixel that occurs most: scores of that pixel alone reach the constant."""
    critic = PatchCritic(16, 1, width=4, depth=2)
    picked = torch.zeros(1, 1, 16, 16, requires_grad=True)
    copies = critic.patches(picked)
    (often,) = torch.autograd.grad(copies.sum(), picked)
    place = divmod(int(often.argmax()), 16)
    probe = torch.zeros(1, 1, 16, 16)
    probe[0, 0, place[0], place[1]] = 1
    lengths = critic.patches(probe).flatten(2).norm(dim=2)
    # g = |patch| has slope 1; in the mean over P patches this pixel raises it by k / P at most.
    assert int(lengths.square().sum().round()) == critic.multiplicity(16)


def test_pairs_are_scored_with_what_was_given():
    torch.manual_seed(0)
    critic = PairCritic(ConvCritic(16, 2, width=4))
    points = pictures(6), pictures(6, 4, seed=2)
    check_critic(critic, points, space=SPACE)
    joined = torch.cat([points[0], functional.interpolate(points[1], scale_factor=4.0)], 1)
    assert torch.equal(critic(points), critic.critic(joined))


def test_patches_larger_than_the_picture_are_refused():
    with pytest.raises(SettingError, match="smaller depth"):
        PatchCritic(16, 1, depth=3)


# Content --------------------------------------------------------------------------------------


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 1_000))
def test_content_of_weight_one_is_never_below_w1(seed):
    made, real = (pictures(12, 4, seed=seed), pictures(12, 2)), (pictures(12, 4), pictures(12, 2))
    assert float(Content(SPACE, 1.0)(made, real)) >= exact.w1(SPACE, made, real) - 1e-5


def test_content_grows_with_its_weight_and_is_0_at_the_truth():
    made, real = (pictures(5), pictures(5, 4)), (pictures(5, seed=9), pictures(5, 4))
    one, three = Content(SPACE, 1.0)(made, real), Content(SPACE, 3.0)(made, real)
    assert float(three) == pytest.approx(3 * float(one))
    assert float(Content(SPACE, 1.0)(real, real)) == 0
    with pytest.raises(SettingError):
        Content(SPACE, -1.0)


def test_enlarged_pictures_keep_what_is_even():
    even = torch.full((2, 1, 4, 4), 0.3)
    assert torch.allclose(enlarged(even, 4), torch.full((2, 1, 16, 16), 0.3), atol=1e-6)
    assert torch.equal(enlarged(even, 1), even)
