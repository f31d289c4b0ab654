"""Funnels against exact transport in every kind of space."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from wgankit import Normed, OneHot, Product, exact
from wgankit.errors import DataError, SettingError, ShapeError
from wgankit.funnels import Funnels
from wgankit.space import MetricSpace, SmoothSpace
from wgankit.spaces import Hamming, Hyperboloid, Quadratic, Sobolev, Sphere, Strings


def numbers(*shape):
    return torch.randn(*shape, dtype=torch.float64)


def units(count):
    return torch.nn.functional.normalize(numbers(count, 3))


class Railway(MetricSpace):
    """Only a distance: the way between two towns goes through the capital."""

    def distance(self, x, y):
        same = (x == y).all(1)
        return (x.norm(dim=1) + y.norm(dim=1)) * ~same


CASES = {
    "l1": (Normed(1), lambda n: numbers(n, 3)),
    "l2": (Normed(2), lambda n: numbers(n, 3)),
    "maximum": (Normed(math.inf), lambda n: numbers(n, 3)),
    "quadratic": (Quadratic(torch.diag(torch.tensor([1.0, 0.01, 4.0]))), lambda n: numbers(n, 3)),
    "Sobolev": (Sobolev(-1, axes=1), lambda n: numbers(n, 8)),
    "sphere": (Sphere(), units),
    "hyperbolic": (Hyperboloid(), lambda n: 2 * numbers(n, 2)),
    "labels": (OneHot(), lambda n: numbers(n, 3, 4).softmax(-1)),
    "product": (
        Product(Sphere(), Normed(1), weights=[2.0, 1.0]),
        lambda n: (units(n), numbers(n, 2)),
    ),
    "Hamming": (Hamming(3), lambda n: torch.randint(0, 3, (n, 5))),
    "strings": (Strings(2), lambda n: torch.randint(1, 3, (n, 6)) * (torch.arange(6) < n % 3 + 3)),
    "railway": (Railway(), lambda n: numbers(n, 2)),
}


@pytest.mark.parametrize("case", CASES)
@given(seed=st.integers(0, 10_000), anchors=st.integers(1, 5), weighted=st.booleans())
@settings(deadline=None, max_examples=6)
def test_funnels_solve_their_problem(case, seed, anchors, weighted):
    """W1 by the network simplex = E d(x, y) = E u(y) - E u(x)."""
    torch.manual_seed(seed)
    space, draw = CASES[case]
    funnels = Funnels(space, draw(anchors), torch.rand(anchors, dtype=torch.float64))
    points = draw(20)
    weights = torch.rand(20, dtype=torch.float64) if weighted else None
    real, fake, w1 = funnels.problem(points, torch.rand(20), weights=weights)
    found = exact.w1(space, real, fake, x_weights=weights, y_weights=weights)
    assert found == pytest.approx(w1, abs=1e-6)
    mass = torch.ones(20, dtype=torch.float64) if weights is None else weights
    fall = (funnels.potential(real) - funnels.potential(fake)).double()
    assert float(fall @ mass / mass.sum()) == pytest.approx(w1, abs=1e-6)
    assert w1 > 0


def test_the_least_cone_is_the_potential_and_idle_anchors_do_no_harm():
    anchors = torch.tensor([[0.0], [10.0], [5.0]])
    funnels = Funnels(Normed(), anchors, torch.tensor([0.0, 1.0, 100.0]))
    points = torch.tensor([[2.0], [9.0], [-1.0], [10.0]])
    assert funnels.potential(points).tolist() == [2.0, 2.0, 1.0, 1.0]
    assert funnels.active(points).tolist() == [0, 1, 0, 1]
    assert funnels.toward(points, 0.5).flatten().tolist() == [1.0, 9.5, -0.5, 10.0]
    moved = funnels.toward(points, torch.tensor([0.0, 1.0, 0.5, 0.5])).flatten()
    assert moved.tolist() == [2.0, 10.0, -0.5, 10.0]
    assert Funnels(Normed(), anchors).potential(points).tolist() == [2.0, 1.0, 1.0, 0.0]
    assert funnels.problem(points, weights=torch.tensor([1.0, 0, 0, 1])).w1 == 0.5


@pytest.mark.parametrize("case", ["l2", "sphere", "hyperbolic", "product"])
def test_the_gradient_of_the_potential_leads_away_from_the_anchor(case):
    """Of length 1, and along the way from the fake point to the real one."""
    torch.manual_seed(0)
    space, draw = CASES[case]
    assert isinstance(space, SmoothSpace)
    funnels = Funnels(space, draw(3))
    points = draw(10)
    gradient = funnels.gradient(points)
    assert torch.allclose(space.dual_norm(points, gradient), torch.ones(10).double(), atol=1e-9)
    step = 1e-5
    moved = funnels.toward(points, step)
    fall = funnels.potential(points) - funnels.potential(moved)
    parts = zip(*(b if isinstance(b, tuple) else (b,) for b in (gradient, points, moved)))
    linear = sum((g * (x - y)).flatten(1).sum(1) for g, x, y in parts)
    assert torch.allclose(linear, fall, rtol=1e-3)
    assert torch.allclose(space.distance(points, moved), fall, rtol=1e-5)


def test_discrete_points_at_their_anchor_stay_there():
    anchors = torch.tensor([[0, 0, 0], [2, 2, 2]])
    funnels = Funnels(Hamming(3), anchors)
    assert torch.equal(funnels.toward(anchors, 0.3), anchors)
    assert funnels.problem(anchors).w1 == 0


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Funnels(Normed(), torch.zeros(2, 1), torch.zeros(3)), "2 finite offsets"),
        (lambda: Funnels(Normed(), torch.zeros(1, 1), torch.tensor([math.inf])), "finite"),
        (lambda: Funnels(Normed(), torch.full((2, 1), math.nan)), "NaN"),
        (
            lambda: Funnels(Normed(), torch.zeros(2, 1)).problem(
                torch.ones(3, 1), weights=torch.zeros(3)
            ),
            "3 weights",
        ),
    ],
)
def test_funnels_without_meaning_are_refused(make, words):
    with pytest.raises((SettingError, DataError, ShapeError), match=words):
        make()
