"""Critics fitted between fixed laws, given as points or as samplers."""

import pytest
import torch
from torch import nn

from wgankit import DataError, Normed, Perceptron, SettingError, Unconstrained, fit_critic


class _Line(nn.Module):
    """f(x) = a x, the family that holds the best critic between two points."""

    def __init__(self):
        super().__init__()
        self.slope = nn.Parameter(torch.tensor(0.1))

    def forward(self, x):
        return self.slope * x[:, 0]


def at(place):
    return lambda count: torch.full((count, 1), place)


@pytest.mark.parametrize(
    ("real", "fake"),
    [
        (torch.full((1, 1), 3.0), torch.zeros(1, 1)),
        (at(3.0), at(0.0)),
        (torch.full((1, 1), 3.0), at(0.0)),
    ],
    ids=["points", "samplers", "both"],
)
def test_two_points_end_at_the_congestion_law(real, fake):
    """Slope 1 + d / (2 lambda), D = d (1 + d / (2 lambda)), D - 2 lambda R = d."""
    critic = _Line()
    found = fit_critic(
        critic, real, fake, space=Normed(), steps=400, pairs=16, rate=0.05,
        penalty=_absolute(2.0),
    )  # fmt: skip
    assert critic.slope.item() > 0  # high at the real point
    assert found.steepest.item() == pytest.approx(1 + 3 / 4, rel=1e-3)
    assert found.gap.item() == pytest.approx(3 * (1 + 3 / 4), rel=1e-3)
    assert found.w1.item() == pytest.approx(3.0, rel=1e-3)
    assert abs(found.residual.item()) < 1e-2


def _absolute(weight):
    from wgankit import Penalty

    return Penalty(weight, relative=False)


def test_masses_count():
    """Mass 1/4 at 4 and 3/4 at 0 against all at 0: W1 = 1, whatever is drawn."""
    real = torch.tensor([[4.0], [0.0]])
    found = fit_critic(
        _Line(), real, torch.zeros(1, 1), space=Normed(), steps=400, pairs=64, rate=0.05,
        real_weights=torch.tensor([1.0, 3.0]),
    )  # fmt: skip
    assert found.lower.item() == pytest.approx(1.0, rel=2e-2)


def test_an_optimizer_of_ones_own_is_used():
    critic = _Line()
    still = torch.optim.SGD(critic.parameters(), lr=0.0)
    fit_critic(critic, at(3.0), at(0.0), space=Normed(), steps=3, pairs=4, optimizer=still)
    assert critic.slope.item() == pytest.approx(0.1)


def test_masses_that_do_not_fit_are_refused():
    with pytest.raises(DataError, match="2 real points need 2 weights"):
        fit_critic(
            Perceptron(1), torch.zeros(2, 1), torch.ones(2, 1), space=Normed(),
            real_weights=torch.ones(3),
        )  # fmt: skip
    with pytest.raises(SettingError, match="has no weights"):
        fit_critic(
            Perceptron(1), at(1.0), torch.ones(2, 1), space=Normed(), real_weights=torch.ones(3)
        )


def test_critics_that_couple_samples_and_missing_constraints_are_refused():
    coupled = nn.Sequential(nn.Linear(1, 8), nn.BatchNorm1d(8), nn.Linear(8, 1), nn.Flatten(0))
    points = torch.randn(16, 1)
    with pytest.raises(SettingError, match="other points of the batch"):
        fit_critic(coupled, points, points + 1, space=Normed(), steps=2)
    with pytest.raises(SettingError, match="grows without end"):
        fit_critic(
            Perceptron(1), points, points + 1, space=Normed(), steps=2, penalty=Unconstrained()
        )


def test_the_report_is_as_exact_as_its_points():
    """f(x) = x between samplers of known spread: the gap's error is that of the mean."""
    torch.manual_seed(0)
    critic = _Line()
    with torch.no_grad():
        critic.slope.fill_(1.0)
    still = torch.optim.SGD(critic.parameters(), lr=0.0)
    found = fit_critic(
        critic, lambda n: torch.randn(n, 1) + 1, lambda n: torch.randn(n, 1), space=Normed(),
        steps=1, pairs=4, optimizer=still, report_pairs=200_000,
    )  # fmt: skip
    assert found.gap.item() == pytest.approx(1.0, abs=0.015)
