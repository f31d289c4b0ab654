"""Penalties against hand-computed slopes, and the bugs that peers ship."""

import math

import pytest
import torch
from torch import Tensor, nn

from wgankit import (
    MetricSpace,
    Normed,
    Penalty,
    Perceptron,
    SettingError,
    at_fake,
    at_real,
    estimate,
    one_sided,
    two_sided,
    zero_centred,
)
from wgankit.penalty import check_constraint, penalty_from


def quadratic(x: Tensor) -> Tensor:
    """f(x) = |x|^2 / 2, whose gradient is x."""
    return x.square().sum(-1) / 2


REAL = torch.tensor([[3.0, 4.0], [0.3, 0.4]], dtype=torch.float64)  # slopes 5 and 1/2
FAKE = torch.tensor([[0.0, 2.0], [0.0, 0.0]], dtype=torch.float64)  # slopes 2 and 0


@pytest.mark.parametrize(
    ("where", "shape", "expected"),
    [
        (at_real, one_sided, (16 + 0) / 2),
        (at_real, two_sided, (16 + 0.25) / 2),
        (at_real, zero_centred, (25 + 0.25) / 2),
        (at_fake, one_sided, (1 + 0) / 2),
        (at_fake, two_sided, (1 + 1) / 2),
        (at_fake, zero_centred, (4 + 0) / 2),
    ],
)
def test_value_of_a_quadratic_critic(where, shape, expected):
    value = Penalty(where=where, shape=shape).value(Normed(), quadratic, REAL, FAKE)
    assert value.item() == pytest.approx(expected, abs=1e-12)


def test_between_draws_one_fraction_for_each_point():
    """On the line from r to f the slope of f(x) = x^2/2 is |x|: within the ends, all different."""
    torch.manual_seed(0)
    real, fake = torch.full((64, 1), 2.0), torch.full((64, 1), 1.0)
    slopes = Penalty().slopes(Normed(), quadratic, real, fake)
    assert ((slopes >= 1) & (slopes <= 2)).all()
    assert len(slopes.unique()) > 60


def test_penalty_is_independent_of_the_batch_size():
    """A linear critic of slope 3: R = 4 for every batch (torchgan: it grows with the batch)."""
    direction = torch.tensor([3.0, 0.0])
    for size in (1, 16, 256):
        real, fake = torch.randn(size, 2), torch.randn(size, 2)
        value = Penalty().value(Normed(), lambda x: x @ direction, real, fake)
        assert value.item() == pytest.approx(4.0, abs=1e-4)


def test_penalty_reaches_every_weight_that_shapes_the_slope():
    torch.manual_seed(0)
    critic = nn.Sequential(nn.Linear(3, 8), nn.Softplus(), nn.Linear(8, 1), nn.Flatten(0))
    with torch.no_grad():
        for parameter in critic.parameters():
            parameter.mul_(5)
    Penalty().value(Normed(), critic, torch.randn(9, 3), torch.randn(9, 3)).backward()
    for name, parameter in critic.named_parameters():
        # The last bias shifts the critic by a constant, which no slope sees.
        moved = parameter.grad is not None and bool(parameter.grad.abs().sum() > 0)
        assert moved == (name != "2.bias"), name


class _Steps(MetricSpace):
    def distance(self, x, y):
        return (x - y).abs().sum(-1)


def test_distance_alone_is_enough_for_a_penalty():
    """Without segments the slope is that of the chord: |f(r) - f(f)| / d."""
    real, fake = torch.tensor([[4.0]]), torch.tensor([[0.0]])
    value = Penalty().value(_Steps(), quadratic, real, fake)
    assert value.item() == pytest.approx((8 / 4 - 1) ** 2)


def test_points_without_neighbours_have_no_slope_and_that_is_said():
    with pytest.raises(SettingError, match="no slope at a single point"):
        check_constraint(_Steps(), Penalty(where=at_real))
    check_constraint(Normed(), Penalty(where=at_real))


def test_coincident_points_give_no_nan():
    point = torch.zeros(3, 2, requires_grad=True)
    value = Penalty().value(_Steps(), quadratic, point, point)
    assert value.item() == 0.0
    critic = Perceptron(2)
    Penalty(shape=zero_centred).value(
        Normed(), critic, torch.zeros(3, 2), torch.zeros(3, 2)
    ).backward()
    assert all(p.grad is None or torch.isfinite(p.grad).all() for p in critic.parameters())


def test_report_of_a_known_critic():
    """f(x) = 2x between points at 0 and 3: D = 6, slope 2, R = 1, and what follows from them."""
    real, fake = torch.full((5, 1), 3.0), torch.zeros(5, 1)
    found = estimate(Normed(), lambda x: 2 * x[:, 0], real, fake, weight=1.5)
    assert found.gap.item() == pytest.approx(6.0)
    assert found.penalty.item() == pytest.approx(1.0)
    assert found.w1.item() == pytest.approx(6.0 - 2 * 1.5)
    assert found.lower.item() == pytest.approx(3.0)
    assert found.steepest.item() == pytest.approx(2.0)
    assert found.share_above_one.item() == 1.0
    assert found.residual.item() == pytest.approx((6 - 2 * 1.5 * 2) / 6)


@pytest.mark.parametrize("distance", [1.0, 10.0])
@pytest.mark.parametrize("weight", [1.0, 10.0])
def test_optimal_critic_of_two_points_is_debiased_exactly(distance, weight):
    """Two points at d: the best critic has slope 1 + d/(2 lambda) so that D - 2 lam R = d.

    With penalty points uniform between them sigma = 1/d, the flow is 1, and the best slope is
    1 + d / (2 lambda); D = d (1 + d / (2 lambda)).
    """
    slope = 1 + distance / (2 * weight)
    real, fake = torch.full((4, 1), distance), torch.zeros(4, 1)
    found = estimate(Normed(), lambda x: slope * x[:, 0], real, fake, weight=weight)
    assert found.gap.item() == pytest.approx(distance * (1 + distance / (2 * weight)), rel=1e-6)
    assert found.w1.item() == pytest.approx(distance, rel=1e-5)
    assert found.residual.item() == pytest.approx(0.0, abs=1e-5)


def test_zero_centred_estimate_is_a_lower_bound():
    real, fake = torch.full((4, 1), 2.0), torch.zeros(4, 1)
    penalty = Penalty(shape=zero_centred)
    found = estimate(Normed(), lambda x: 0.25 * x[:, 0], real, fake, penalty=penalty)
    assert found.w1.item() == pytest.approx(2.0)


@pytest.mark.parametrize(
    "make",
    [
        lambda: Penalty(weight=-1),
        lambda: Penalty(weight=math.nan),
        lambda: Penalty(shape="one-sided"),
        lambda: Penalty(where=3),
        lambda: penalty_from(shape="three-sided"),
        lambda: penalty_from(where="nowhere"),
    ],
)
def test_penalties_without_meaning_are_refused(make):
    with pytest.raises(SettingError):
        make()


def test_plain_settings_name_penalties():
    assert penalty_from(where="at-real", shape="zero-centred") == Penalty(
        where=at_real, shape=zero_centred
    )
