"""The running weight, by hand: real points at 4, generated ones at 0, so every pair is 4 apart."""

import pytest
import torch

from wgankit import Normed, Penalty, estimate
from wgankit.weight import RunningWeight

REAL, FAKE = torch.full((3, 1), 4.0), torch.zeros(3, 1)


def report(slope: float):
    """A critic of slope at most 1 between 0 and 4: its W1 estimate is its gap, 4 * slope."""
    return estimate(Normed(), lambda x: slope * x[:, 0], REAL, FAKE)


def test_weight_starts_at_the_mean_distance_and_follows_the_estimate():
    running = RunningWeight(Normed(), Penalty(weight=10.0), torch.device("cpu"))
    assert running.now(REAL, FAKE).item() == pytest.approx(40.0)
    running.follow(report(0.5).w1)
    assert running.scale.item() == pytest.approx(4 + 0.02 * (2 - 4))
    assert running.now(REAL, FAKE).item() == pytest.approx(10 * 3.96)


def test_weight_is_capped_by_the_mean_distance_and_never_below_a_hundredth_of_it():
    running = RunningWeight(Normed(), Penalty(weight=10.0), torch.device("cpu"))
    running.scale = torch.tensor(99.0)
    assert running.now(REAL, FAKE).item() == pytest.approx(40.0)
    running.scale = torch.tensor(0.0)
    assert running.now(REAL, FAKE).item() == pytest.approx(0.4)
    running.follow(report(-1.0).w1)  # an estimate below 0 counts as 0
    assert running.scale.item() == 0.0


def test_absolute_weight_stays():
    running = RunningWeight(Normed(), Penalty(weight=3.0, relative=False), torch.device("cpu"))
    running.follow(report(0.5).w1)
    assert running.now(REAL, FAKE).item() == 3.0
