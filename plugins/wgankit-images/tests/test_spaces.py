"""Norms of pictures in the pixels' own units, and pairs whose given part no distance sees."""

import functools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import wgankit
from wgankit import Normed, SettingError, ShapeError, SmoothSpace, exact
from wgankit.testing import (
    check_funnels,
    check_metric_space,
    check_penalty_laws,
    check_smooth_space,
)
from wgankit_images import Given, picture_space
from wgankit_images.datasets import digits
from wgankit_images.encoding import stack

SPACES = {
    "l1": picture_space("l1"),
    "l2": picture_space("l2", unit=255),
    "linf": picture_space("linf"),
    "sobolev": picture_space("sobolev", order=1.0, unit=255),
    "negative order": picture_space("sobolev", order=-0.5, length=0.3),
}
RANGES = {"bytes": (0.0, 255.0), "unit": (0.0, 1.0), "signed": (-1.0, 1.0)}


def pictures(count, size=6, seed=0):
    torch.manual_seed(seed)
    return 2 * torch.rand(count, 1, size, size) - 1


def pairs(count):
    return pictures(count), pictures(count, size=3, seed=1)


LAWS = [check_metric_space, check_smooth_space, check_penalty_laws, check_funnels]


@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize("name", SPACES)
def test_norms_of_pictures_keep_the_laws(name, law):
    law(SPACES[name], pictures(10))


@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize("name", ["l1", "l2", "sobolev"])
def test_pairs_keep_the_laws(name, law):
    law(Given(SPACES[name]), pairs(10))


@functools.cache
def grey():
    torch.manual_seed(0)
    levels = stack(digits())
    return levels[torch.randperm(len(levels))]


def as_numbers(levels, name):
    low, high = RANGES[name]
    return low + levels / 255 * (high - low)


def level(low, high, points):
    """The mean of the pixels as a share of white."""
    return (points - low).mean((1, 2, 3)) / (high - low)


@pytest.mark.parametrize("norm", ["l1", "l2", "linf", "sobolev"])
def test_exact_w1_and_slopes_do_not_depend_on_the_range_of_the_numbers(norm):
    real, fake = grey()[:60], 0.5 * grey()[60:120]
    found = []
    for name, (low, high) in RANGES.items():
        space = picture_space(norm, low=low, high=high, unit=255)
        x, y = as_numbers(real, name), as_numbers(fake, name)
        found.append(exact.w1(space, x, y))
        mean_level = functools.partial(level, low, high)
        found.append(float(space.slope(mean_level, x, y, torch.rand(60)).mean()))
    distances, slopes = found[::2], found[1::2]
    assert distances == pytest.approx([distances[0]] * 3, rel=1e-5)
    assert slopes == pytest.approx([slopes[0]] * 3, rel=1e-5)


class Whitened(nn.Module):
    """Numbers as most people hand them to a network: mean 0, variance 1."""

    def __init__(self, numbers):
        super().__init__()
        self.centre, self.spread = numbers.mean(), numbers.std()

    def forward(self, points):
        return (points - self.centre) / self.spread


STRIPE = torch.zeros(1, 1, 8, 8)
STRIPE[..., 2:4, :] = 100.0


@functools.cache
def trained_estimate(name, whitened):
    """W1 between faint digits and the same under a stripe, by a critic trained on some numbers."""
    real, fake = (as_numbers(part, name) for part in (grey()[:400] / 2, grey()[:400] / 2 + STRIPE))
    low, high = RANGES[name]
    torch.manual_seed(0)
    reads = Whitened(real) if whitened else nn.Identity()
    report = wgankit.fit_critic(
        nn.Sequential(reads, wgankit.Perceptron(64, width=48, depth=2)),
        real,
        fake,
        space=picture_space("l2", low=low, high=high),
        steps=120,
        pairs=64,
        rate=5e-3,
    )
    return float(report.w1)


@pytest.mark.parametrize(
    ("name", "whitened"),
    [("bytes", True), ("unit", True), ("signed", True), ("unit", False), ("signed", False)],
)
def test_a_trained_critic_finds_the_same_w1_in_every_range(name, whitened):
    """All pictures are moved by the same stripe, so W1 is its length."""
    truth = float(STRIPE.norm()) / 255
    found = trained_estimate(name, whitened)
    assert found == pytest.approx(truth, rel=0.03)
    if whitened:
        assert found == pytest.approx(trained_estimate("unit", True), rel=1e-3)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 5), st.integers(0, 5), st.booleans(), st.sampled_from(list(SPACES)))
def test_norms_do_not_see_where_a_picture_begins_or_which_way_it_looks(down, right, flip, name):
    x, y = pictures(4), pictures(4, seed=7)
    moved = [one.roll((down, right), (2, 3)) for one in (x, y)]
    moved = [one.flip(3) if flip else one for one in moved]
    space = SPACES[name]
    assert torch.allclose(space.distance(*moved), space.distance(x, y), rtol=1e-5)


def test_the_unit_is_the_distance_from_white_to_black_in_one_pixel():
    black, white = torch.zeros(1, 1, 4, 4), torch.zeros(1, 1, 4, 4)
    white[0, 0, 2, 1] = 255
    for norm in ("l1", "l2", "linf"):
        space = picture_space(norm, low=0, high=255, unit=3)
        assert float(space.distance(black, white)) == pytest.approx(3)


@pytest.mark.parametrize(
    "wrong",
    [
        {"norm": "l3"},
        {"low": 1, "high": 1},
        {"unit": 0},
        {"norm": "sobolev", "order": float("nan")},
    ],
)
def test_what_is_no_norm_is_refused(wrong):
    with pytest.raises(SettingError):
        picture_space(**wrong)


# Pairs ----------------------------------------------------------------------------------------


def test_a_critic_may_be_as_steep_as_it_likes_in_what_is_given():
    space = Given(Normed())
    x, y = pairs(6), pairs(6)
    directions = torch.randn(36)
    directions = directions / directions.norm()

    def critic(points):
        picture, given_one = points
        sign = given_one.mean((1, 2, 3)).sign()
        return sign * (picture.flatten(1) @ directions) + 1e6 * given_one.square().sum((1, 2, 3))

    assert torch.allclose(space.slope(critic, x, y, torch.rand(6)), torch.ones(6), atol=1e-5)


def test_swapped_conditions_are_a_distance_apart_though_the_pictures_are_alike():
    """Pictures 0 and 1 under conditions 0 and 1, and the other way round: mean conditional W1 is 1.

    The critic x (1 - 2 c) reaches it, with slope 1 everywhere.
    """
    condition = torch.tensor([0.0, 1.0]).view(2, 1, 1, 1)
    real, fake = (condition, condition), (1 - condition, condition)
    space = Given(Normed())

    def critic(points):
        return (points[0] * (2 * points[1] - 1)).flatten(1).sum(1)

    report = wgankit.estimate(space, critic, real, fake)
    assert float(report.lower) == pytest.approx(1)
    assert float(report.steepest) == pytest.approx(1)
    assert exact.w1(space, real, fake) == pytest.approx(0)


def test_pairs_are_asked_for_by_name():
    with pytest.raises(ShapeError, match="picture and the one"):
        Given(Normed()).distance((pictures(2),), (pictures(2),))
    with pytest.raises(SettingError, match="smooth"):
        Given(wgankit.Hamming(3))


def test_given_is_a_smooth_space():
    assert isinstance(Given(Normed()), SmoothSpace)
