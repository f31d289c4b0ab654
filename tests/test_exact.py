"""Exact transport against closed forms, linear programs and duality."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog
from scipy.stats import wasserstein_distance

from wgankit import DataError, MetricSpace, Normed, exact, pairwise


@given(seed=st.integers(0, 10_000), n=st.integers(1, 20), m=st.integers(1, 20))
@settings(deadline=None, max_examples=25)
def test_one_dimension_agrees_with_quantiles(seed, n, m):
    torch.manual_seed(seed)
    x, y = torch.randn(n, 1, dtype=torch.float64), torch.randn(m, 1, dtype=torch.float64) * 2 + 1
    a, b = torch.rand(n, dtype=torch.float64) + 0.1, torch.rand(m, dtype=torch.float64) + 0.1
    found = exact.w1(Normed(), x, y, x_weights=a, y_weights=b)
    wanted = wasserstein_distance(x[:, 0].numpy(), y[:, 0].numpy(), a.numpy(), b.numpy())
    assert found == pytest.approx(wanted, abs=1e-9)


def test_duality_and_potentials():
    """Primal = dual, and the potentials are 1-Lipschitz across."""
    torch.manual_seed(0)
    x, y = torch.randn(30, 3, dtype=torch.float64), torch.randn(40, 3, dtype=torch.float64) + 1
    plan = exact.transport(Normed(), x, y)
    dual = plan.real_potential.mean() - plan.fake_potential.mean()
    assert dual.item() == pytest.approx(plan.w1, abs=1e-9)
    table = pairwise(Normed(), x, y)
    steepest = plan.real_potential[:, None] - plan.fake_potential[None, :] - table
    assert steepest.max().item() <= 1e-9


def test_agrees_with_a_linear_program():
    torch.manual_seed(1)
    x, y = torch.randn(6, 2, dtype=torch.float64), torch.randn(5, 2, dtype=torch.float64)
    cost = pairwise(Normed(1), x, y)
    rows = torch.kron(torch.eye(6), torch.ones(1, 5))
    columns = torch.kron(torch.ones(1, 6), torch.eye(5))
    sums = torch.cat([torch.ones(6).double() / 6, torch.ones(5).double() / 5])
    program = linprog(cost.flatten(), A_eq=torch.cat([rows, columns]), b_eq=sums)
    assert exact.w1(Normed(1), x, y) == pytest.approx(program.fun, abs=1e-8)


def test_translation_costs_its_length():
    torch.manual_seed(0)
    x = torch.randn(50, 4, dtype=torch.float64)
    shift = torch.tensor([3.0, 0.0, 4.0, 0.0], dtype=torch.float64)
    assert exact.w1(Normed(), x, x + shift) == pytest.approx(5.0, abs=1e-9)


def test_floor_is_the_distance_of_two_halves():
    torch.manual_seed(0)
    x = torch.randn(60, 2)
    assert exact.floor(Normed(), x) == pytest.approx(exact.w1(Normed(), x[:30], x[30:]))
    assert exact.floor(Normed(), x, 10) == pytest.approx(exact.w1(Normed(), x[:10], x[10:20]))
    with pytest.raises(DataError, match="needs 100 points"):
        exact.floor(Normed(), x, 50)


class _Apart(MetricSpace):
    def distance(self, x, y):
        return torch.where(x[:, 0] == y[:, 0], 0.0, math.inf)


def test_infinite_distances_are_said():
    with pytest.raises(DataError, match="components"):
        exact.w1(_Apart(), torch.zeros(2, 1), torch.ones(2, 1))


@pytest.mark.parametrize("weights", [[1.0], [-1.0, 2.0], [0.0, 0.0]])
def test_masses_without_meaning_are_refused(weights):
    with pytest.raises(DataError, match="weights"):
        exact.w1(Normed(), torch.zeros(2, 1), torch.ones(2, 1), x_weights=torch.tensor(weights))
