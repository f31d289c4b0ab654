"""Constraints against hand-computed figures: groups, clipping, critics that need none."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from wgankit import (
    ByConstruction,
    Clipping,
    JensenShannon,
    McShane,
    Normed,
    Penalty,
    Perceptron,
    SettingError,
    Unconstrained,
    at_both,
    estimate,
    fit_critic,
    one_sided,
    train,
    two_sided,
    zero_centred,
)
from wgankit.penalty import Shape, check_constraint


def quadratic(x):
    """f(x) = |x|^2 / 2, whose slope at x is |x|."""
    return x.square().sum(-1) / 2


def test_both_ends_are_real_and_generated_points():
    """R1 + R2 over 2 is the mean over both ends: (9 + 16 + 1 + 4) / 4."""
    real, fake = torch.tensor([[3.0], [4.0]]), torch.tensor([[1.0], [2.0]])
    penalty = Penalty(where=at_both, shape=zero_centred)
    assert penalty.value(Normed(), quadratic, real, fake).item() == pytest.approx(30 / 4)


# Slopes at real points are 2, 3, 5 | 4 in groups 0 and 1, so (s - 1)^2 is 1, 4, 16 | 9.
REAL = torch.tensor([[2.0], [3.0], [5.0], [4.0]])
GROUPS = torch.tensor([7, 7, 7, 2])


@pytest.mark.parametrize(
    ("over", "expected", "scaled"),
    [("mean", (7 + 9) / 2, ((4 + 12 + 40) / 3 + 24) / 2), ("worst", 9.0, 24.0)],
)
def test_groups_count_the_same_or_the_worst_alone(over, expected, scaled):
    """Means of the groups are 7 and 9; s phi'(s) = 2 s (s - 1) is 4, 12, 40 | 24."""
    penalty = Penalty(where=at_both, groups=lambda real: GROUPS, over=over)
    slopes = torch.cat([REAL, REAL])[:, 0].requires_grad_()
    cost = penalty.cost(slopes, REAL)
    assert cost.item() == pytest.approx(expected)
    gap, weight = torch.tensor(100.0), torch.tensor(2.0)
    slopes_seen = slopes.detach()
    w1 = penalty.w1(gap, cost.detach(), slopes_seen, weight)
    residual = penalty.residual(gap, slopes_seen, REAL, weight)
    assert w1.item() == pytest.approx(100 - 2 * 2 * expected)
    assert residual.item() == pytest.approx((100 - 2 * scaled) / 100)
    (gradient,) = torch.autograd.grad(cost, slopes)
    single = 2 * (slopes.detach() - 1)
    share = {"mean": [1 / 12, 1 / 12, 1 / 12, 1 / 4], "worst": [0, 0, 0, 1 / 2]}[over]
    assert torch.allclose(gradient, single * torch.tensor(share * 2), atol=1e-6)


@given(seed=st.integers(0, 1000))
@settings(deadline=None, max_examples=20)
def test_groups_agree_with_their_means_taken_one_by_one(seed):
    torch.manual_seed(seed)
    slopes, groups = torch.rand(20) * 3, torch.randint(4, (20,))
    real = torch.zeros(20, 1)
    means = torch.stack([one_sided(slopes[groups == k]).mean() for k in groups.unique()])
    for over, expected in (("mean", means.mean()), ("worst", means.max())):
        cost = Penalty(groups=lambda points: groups, over=over).cost(slopes, real)
        assert cost.item() == pytest.approx(expected.item(), rel=1e-5)


def test_a_minority_weighs_more_than_its_share():
    """99 slopes of 1 and one of 3: plain mean .04, mean over the two groups 2."""
    slopes = torch.ones(100)
    slopes[0] = 3.0
    numbers = (slopes > 1).long()
    real = torch.zeros(100, 1)
    assert Penalty().cost(slopes, real).item() == pytest.approx(0.04)
    grouped = Penalty(groups=lambda points: numbers)
    assert grouped.cost(slopes, real).item() == pytest.approx(2.0)


def test_groups_that_are_no_numbers_are_refused():
    penalty = Penalty(groups=lambda real: real[:, 0])
    with pytest.raises(SettingError, match="an integer for each real point"):
        penalty.cost(torch.ones(3), torch.zeros(3, 1))
    with pytest.raises(SettingError, match="mean"):
        Penalty(over="all")


@pytest.mark.parametrize("shape", [one_sided, two_sided, zero_centred])
def test_growth_of_the_punishment_is_its_derivative(shape):
    """s phi'(s), in closed form and as any shape of a user's own gets it."""
    slopes = torch.tensor([0.0, 0.5, 1.0, 1.5, 4.0], dtype=torch.float64)
    assert torch.allclose(shape.scaled(slopes), Shape.scaled(shape, slopes), atol=1e-12)


@given(limit=st.floats(0.01, 0.5), units=st.integers(1, 64), seed=st.integers(0, 100))
@settings(deadline=None, max_examples=20)
def test_a_clipped_layer_is_at_most_m_c_squared_steep(limit, units, seed):
    """One hidden layer of m rectifiers with weights in [-c, c] in one dimension: slope <= m c^2."""
    torch.manual_seed(seed)
    critic = nn.Sequential(nn.Linear(1, units), nn.ReLU(), nn.Linear(units, 1), nn.Flatten(0))
    Clipping(limit).enforce(critic)
    assert all((parameter.abs() <= limit).all() for parameter in critic.parameters())
    found = estimate(
        Normed(), critic, torch.randn(64, 1), torch.randn(64, 1), penalty=Clipping(limit)
    )
    assert found.steepest.item() <= units * limit**2 * (1 + 1e-5)
    assert found.penalty.item() == 0.0


def test_clipping_stays_in_force_in_the_loop():
    torch.manual_seed(0)
    critic = Perceptron(2, width=16, depth=1)
    training = train(
        Perceptron(4, 2), critic, torch.randn(64, 2) + 3, space=Normed(), penalty=Clipping(0.05),
        steps=5, batch=16, critic_rate=0.1, device="cpu",
    )  # fmt: skip
    for step in training:
        assert max(p.abs().max().item() for p in critic.parameters()) <= 0.05 + 1e-7
        assert step.w1.item() == pytest.approx((step.gap / step.steepest).item(), rel=1e-5)
    saturated = torch.cat([p.detach().abs().flatten() for p in critic.parameters()])
    assert (saturated > 0.0499).float().mean() > 0.3


def test_a_critic_by_construction_pays_nothing_and_its_gap_is_the_estimate():
    space = Normed()
    real, fake = torch.randn(40, 2) + 2, torch.randn(40, 2)
    critic = McShane(space, real)
    found = fit_critic(critic, real, fake, space=space, penalty=ByConstruction(), steps=3, pairs=32)
    assert found.penalty.item() == 0.0
    assert found.w1.item() == found.gap.item()
    assert found.steepest.item() <= 1 + 1e-5
    assert found.weight.item() == 0.0


def test_the_wasserstein_game_needs_a_constraint():
    with pytest.raises(SettingError, match="grows without end"):
        train(
            Perceptron(4, 2), Perceptron(2), torch.randn(64, 2), space=Normed(),
            penalty=Unconstrained(), device="cpu",
        )  # fmt: skip
    check_constraint(Normed(), Unconstrained(), JensenShannon())


def test_limits_that_are_none_are_refused():
    for limit in (0.0, -1.0, math.nan):
        with pytest.raises(SettingError, match="limit > 0"):
            Clipping(limit)
