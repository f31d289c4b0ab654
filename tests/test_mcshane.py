"""Critics that are 1-Lipschitz by construction, and the bounds that any critic proves."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from wgankit import (
    McShane,
    MetricSpace,
    Normed,
    OneHot,
    Perceptron,
    Product,
    SettingError,
    audit,
    exact,
)
from wgankit.audits import doubts
from wgankit.space import pairwise
from wgankit.testing import check_critic

SPACES = {
    "l1": (Normed(1), lambda n: torch.randn(n, 3, dtype=torch.float64)),
    "l2": (Normed(2, scale=0.5), lambda n: torch.randn(n, 3, dtype=torch.float64)),
    "labels": (OneHot(), lambda n: torch.randn(n, 3, 4, dtype=torch.float64).softmax(-1)),
    "product": (
        Product(Normed(2), OneHot(), weights=[1.0, 3.0]),
        lambda n: (
            torch.randn(n, 3, dtype=torch.float64),
            torch.randn(n, 2, 3, dtype=torch.float64).softmax(-1),
        ),
    ),
}


@pytest.fixture(params=SPACES, name="case")
def _case(request):
    torch.manual_seed(0)
    space, draw = SPACES[request.param]
    return space, draw


@pytest.mark.parametrize("envelope", ["upper", "lower"])
def test_it_is_1_lipschitz_whatever_the_parameters(case, envelope):
    space, draw = case
    critic = McShane(space, draw(9), torch.randn(9, dtype=torch.float64) * 3, envelope=envelope)
    points = draw(30)
    scores = critic(points)
    steps = (scores[:, None] - scores[None, :]).abs()
    assert (steps <= pairwise(space, points, points) + 1e-12).all()


@pytest.mark.parametrize("envelope", ["upper", "lower"])
def test_values_are_those_of_the_definition(case, envelope):
    space, draw = case
    anchors, heights, points = draw(9), torch.randn(9, dtype=torch.float64), draw(20)
    table = pairwise(space, points, anchors)
    wanted = (heights - table).max(1).values if envelope == "upper" else (heights + table).min(1)[0]
    found = McShane(space, anchors, heights, envelope=envelope)(points)
    assert torch.allclose(found, wanted, atol=1e-12)


@pytest.mark.parametrize("envelope", ["upper", "lower"])
def test_optimal_heights_reach_exact_transport(case, envelope):
    """With anchors at one law's points and its potential as heights the gap is W1 (duality)."""
    space, draw = case
    real, fake = draw(15), draw(12)
    best = exact.transport(space, real, fake)
    anchors, heights = (
        (real, best.real_potential) if envelope == "upper" else (fake, best.fake_potential)
    )
    critic = McShane(space, anchors, heights, envelope=envelope)
    gap = critic(real).mean() - critic(fake).mean()
    assert gap.item() == pytest.approx(best.w1, abs=1e-9)


def test_it_is_a_critic_like_others():
    torch.manual_seed(0)
    critic = McShane(Normed(), torch.randn(4, 3), torch.zeros(4))
    check_critic(critic, torch.randn(16, 3), space=Normed())


def test_heights_and_envelopes_that_do_not_fit_are_refused():
    with pytest.raises(SettingError, match="3 heights"):
        McShane(Normed(), torch.zeros(3, 2), torch.zeros(2))
    with pytest.raises(SettingError, match="upper"):
        McShane(Normed(), torch.zeros(3, 2), envelope="middle")


@given(seed=st.integers(0, 1000), steep=st.floats(0.01, 50))
@settings(deadline=None, max_examples=25)
def test_a_certified_bound_is_a_bound_however_steep_the_critic(seed, steep):
    torch.manual_seed(seed)
    real, fake = torch.randn(12, 2) + 0.5, torch.randn(9, 2)
    a, b = torch.rand(12) ** 4, torch.rand(9) ** 4
    network = Perceptron(2, width=8, depth=1)
    proved = exact.certified(
        Normed(), lambda x: steep * network(x), real, fake, real_weights=a, fake_weights=b
    )
    assert proved <= exact.w1(Normed(), real, fake, x_weights=a, y_weights=b) + 1e-6


@pytest.mark.parametrize("side", ["real", "fake"])
def test_a_critic_that_is_right_on_one_law_only_still_certifies_all_of_w1(side):
    """The c-transform of a best potential is the other best potential (duality), masses or not."""
    torch.manual_seed(0)
    real, fake = torch.randn(12, 2, dtype=torch.float64) + 1, torch.randn(9, 2).double()
    a, b = torch.rand(12) + 0.1, torch.rand(9) + 0.1
    best = exact.transport(Normed(), real, fake, x_weights=a, y_weights=b)
    wild = torch.randn(21, dtype=torch.float64) * 1000
    right = slice(0, 12) if side == "real" else slice(12, None)
    wild[right] = torch.cat([best.real_potential, best.fake_potential])[right]
    proved = exact.certified(Normed(), lambda x: wild, real, fake, real_weights=a, fake_weights=b)
    assert proved == pytest.approx(best.w1, abs=1e-9)


def test_the_best_critic_certifies_all_of_w1_and_a_slope_of_two_still_does():
    """max_v f(v) - d(., v) of an optimal critic is itself; and of twice it, on two points, too."""
    torch.manual_seed(0)
    real, fake = torch.randn(12, 2, dtype=torch.float64) + 1, torch.randn(9, 2).double()
    best = exact.transport(Normed(), real, fake)
    critic = McShane(Normed(), real, best.real_potential)
    assert exact.certified(Normed(), critic, real, fake) == pytest.approx(best.w1, abs=1e-9)
    one, two = torch.zeros(1, 1), torch.full((1, 1), 3.0)
    assert exact.certified(Normed(), lambda x: 2 * x[:, 0], two, one) == pytest.approx(3.0)


def test_an_audit_believes_a_good_critic_and_doubts_others():
    """f = (1 + d/2lam) x between points at distance d is optimal; half and twice it are not."""
    real, fake = torch.full((20, 1), 3.0), torch.zeros(20, 1)
    weight = 10.0

    def critic(factor):
        return lambda x: factor * (1 + 3 / (2 * weight)) * x[:, 0]

    good = audit(Normed(), critic(1.0), real, fake, weight=weight, more_real=real)
    assert good.believed
    assert good.exact == pytest.approx(3.0)
    assert good.floor == 0.0
    assert good.certified == pytest.approx(3.0)
    assert good.estimate.w1.item() == pytest.approx(3.0, rel=1e-5)
    flat = audit(Normed(), critic(0.5), real, fake, weight=weight)
    assert not flat.believed
    assert any("underfits" in doubt for doubt in flat.doubts)
    assert any("residual" in doubt for doubt in flat.doubts)
    steep = audit(Normed(), critic(2.0), real, fake, weight=weight)
    assert any("residual" in doubt for doubt in steep.doubts)
    assert "doubt: " in str(steep)
    assert "exact" in good.row()


def test_an_audit_sees_a_critic_that_is_steep_where_nobody_looks():
    """Slope 2 with a weight of almost nothing: the estimate is above exact W1, and that is said."""
    real, fake = torch.full((20, 1), 3.0), torch.zeros(20, 1)
    found = audit(Normed(), lambda x: 2 * x[:, 0], real, fake, weight=1e-3)
    assert any("too steep" in doubt for doubt in found.doubts)


def test_an_audit_does_not_depend_on_who_stands_beside_whom():
    """f = 2x, both laws the same points of a line: pairs of equals have no slope to look at."""
    torch.manual_seed(0)
    points = torch.rand(200, 1)
    found = audit(_Chord(), lambda x: 2 * x[:, 0], points, points, weight=1.0)
    assert found.estimate.steepest.item() == pytest.approx(2.0, rel=1e-4)


class _Chord(MetricSpace):
    """The line with distances only: slopes are those of chords, 0 between equal points."""

    def distance(self, x, y):
        return (x - y).abs()[:, 0]


@pytest.mark.parametrize(
    ("w1", "residual", "certified", "exact_w1", "said"),
    [
        (1.0, 0.0, 0.95, 1.0, []),
        (0.85, 0.0, 0.8, 1.0, ["below exact W1"]),
        (0.85, 0.0, 0.99, 1.0, ["same critic proves"]),
        (1.15, 0.0, 0.9, 1.0, ["above exact W1"]),
        (1.0, -0.3, 0.9, 1.0, ["output scale"]),
        (1.0, 0.19, None, None, []),
        (0.5, 0.0, 0.99, None, ["same critic proves"]),
        (float("nan"), 0.0, 0.9, 1.0, ["not a finite number"]),
    ],
)
def test_doubts_name_what_speaks_against_an_estimate(w1, residual, certified, exact_w1, said):
    found = doubts(w1, residual, certified=certified, exact=exact_w1)
    assert len(found) == len(said)
    assert all(words in doubt for words, doubt in zip(said, found))
