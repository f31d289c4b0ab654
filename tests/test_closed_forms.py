"""Closed forms against quadrature, linear programs, optimisers and sums of quantiles."""

import math

import numpy as np
import ot
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.optimize import minimize, minimize_scalar
from scipy.spatial.distance import jensenshannon
from scipy.stats import chi, norm
from torch.distributions import Normal, Uniform

from wgankit import JensenShannon, SettingError, closed_forms

number = st.floats(-5, 5)
positive = st.floats(0.05, 5)
fixed = settings(deadline=None, max_examples=30)


def quantile_sum(first, second, count=200_000):
    middles = (np.arange(count) + 0.5) / count
    return float(np.abs(first(middles) - second(middles)).mean())


def law(kind, *numbers):
    doubles = (torch.tensor(number, dtype=torch.float64) for number in numbers)
    return kind(*doubles, validate_args=False)


def line(low, high, count):
    """Return the middles of equal cells and their width."""
    step = (high - low) / count
    return low + step * (torch.arange(count, dtype=torch.float64) + 0.5), step


@given(mean=number, std=positive, other=number, other_std=positive)
@fixed
def test_gaussians_of_the_line(mean, std, other, other_std):
    found = closed_forms.w1_gaussians(mean, std, other, other_std)
    assert found == pytest.approx(
        quantile_sum(norm(mean, std).ppf, norm(other, other_std).ppf), rel=1e-4, abs=1e-5
    )
    assert found == closed_forms.w1_gaussians(other, other_std, mean, std)


def test_gaussians_of_one_width_and_points():
    assert closed_forms.w1_gaussians(2.0, 0.7, -1.0, 0.7) == 3.0
    assert closed_forms.w1_gaussians(2.0, 0.0, -1.0, 0.0) == 3.0
    to_a_point, _ = quad(lambda x: abs(x) * norm.pdf(x, 0.5, 1.5), -20, 20, points=[0])
    assert closed_forms.w1_gaussians(0.5, 1.5, 0.0, 0.0) == pytest.approx(to_a_point, rel=1e-9)


@given(low=number, width=st.floats(0, 5), other=number, other_width=st.floats(0, 5))
@fixed
def test_intervals(low, width, other, other_width):
    found = closed_forms.w1_intervals(low, low + width, other, other + other_width)
    wanted = quantile_sum(lambda u: low + width * u, lambda u: other + other_width * u)
    assert found == pytest.approx(wanted, abs=1e-5)


@given(seed=st.integers(0, 1000), size=st.integers(1, 5))
@fixed
def test_translation_agrees_with_optimal_transport(seed, size):
    draw = np.random.default_rng(seed)
    points, shift = draw.normal(size=(12, size)), draw.normal(size=size)
    means = points.mean(0), (points + shift).mean(0)
    wanted = ot.emd2([], [], ot.dist(points, points + shift, metric="euclidean"))
    assert closed_forms.w1_translation(*(m.tolist() for m in means)) == pytest.approx(wanted)


@pytest.mark.parametrize("size", [1, 2, 3, 10, 128])
def test_isotropic_gaussians_agree_with_the_chi_law(size):
    wanted = 1.5 * chi(size).mean()
    assert closed_forms.w1_isotropic(0.5, 2.0, size) == pytest.approx(wanted, rel=1e-9)


def test_isotropic_gaussians_of_the_line():
    assert closed_forms.w1_isotropic(1.0, 2.5, 1) == pytest.approx(
        closed_forms.w1_gaussians(0, 1.0, 0, 2.5), rel=1e-12
    )


@given(distance=st.floats(0.01, 50), weight=st.floats(0.01, 1000))
@fixed
def test_two_points_by_maximising_over_slopes(distance, weight):
    """Between two points the best critic is linear by symmetry, so J is a function of its slope."""
    cases = (
        (closed_forms.penalised_points, lambda s: max(s - 1, 0) ** 2),
        (closed_forms.flattened_points, lambda s: s * s),
    )
    for form, shape in cases:
        most = 10 * (1 + distance / weight)
        best = minimize_scalar(
            lambda s, shape=shape: weight * shape(s) - distance * s,
            bounds=(0, most), method="bounded", options={"xatol": 1e-9 * most},
        )  # fmt: skip
        found = form(distance, weight)
        assert found.value == pytest.approx(-best.fun, rel=1e-6)
        assert found.gap == pytest.approx(distance * best.x, rel=1e-4)
    assert closed_forms.penalised_points(distance, weight).w1 == pytest.approx(distance)


@given(distance=st.floats(1e-12, 1e6), weight=st.floats(1e-3, 1e6))
@fixed
def test_inversion_undoes_the_law_of_two_points(distance, weight):
    gap = closed_forms.penalised_points(distance, weight).gap
    assert closed_forms.upper_w1(gap, weight) == pytest.approx(distance, rel=1e-9)


def test_inversion_leaves_negative_gaps_alone():
    assert closed_forms.upper_w1(-0.3, 1.0) == -0.3


@given(seed=st.integers(0, 1000), weight=st.floats(0.1, 20))
@settings(deadline=None, max_examples=10)
def test_line_by_maximising_over_all_slopes(seed, weight):
    """J = step sum (F s - lambda sigma (s - 1)_+^2) for f piecewise linear, maximised by scipy."""
    draw = torch.Generator().manual_seed(seed)
    flow = torch.randn(12, generator=draw, dtype=torch.float64)
    density = torch.rand(12, generator=draw, dtype=torch.float64) + 0.2
    step = 0.25

    def loss(slopes):
        s = torch.tensor(slopes, requires_grad=True)
        over = (s.abs() - 1).clamp_min(0).square()
        value = -step * (flow * s - weight * density * over).sum()
        value.backward()
        return value.item(), s.grad.numpy()

    best = minimize(loss, flow.sign().numpy(), jac=True, method="L-BFGS-B", options={"ftol": 1e-15})
    found = closed_forms.penalised_line(flow, density, step=step, weight=weight)
    assert found.value == pytest.approx(-best.fun, rel=1e-6)
    assert found.gap == pytest.approx(step * float(flow @ torch.tensor(best.x)), rel=1e-3)
    assert found.w1 == pytest.approx(float(flow.abs().sum()) * step)


@given(mean=number, std=st.floats(0.2, 2), weight=st.floats(0.5, 100))
@settings(deadline=None, max_examples=10)
def test_line_obeys_the_bound_of_all_spaces(mean, std, weight):
    """D >= W + W^2 / (2 lambda), so inverting D gives at least W; D - 2 lambda R gives it."""
    grid, step = line(-15, 15, 1000)
    real, fake = law(Normal, mean, std).cdf, law(Normal, 0.0, 1.0).cdf
    flow = fake(grid) - real(grid)
    density = closed_forms.between_density(grid, real, fake)
    found = closed_forms.penalised_line(flow, density, step=step, weight=weight)
    w1 = closed_forms.w1_gaussians(mean, std, 0.0, 1.0)
    assert found.w1 == pytest.approx(w1, rel=1e-3, abs=1e-6)
    assert closed_forms.upper_w1(found.gap, weight) >= w1 * (1 - 1e-3) - 1e-6


def test_flow_without_slopes_is_refused():
    flow, density = torch.ones(3), torch.tensor([1.0, 0.0, 1.0])
    with pytest.raises(SettingError, match="no bound"):
        closed_forms.penalised_line(flow, density, step=1.0, weight=1.0)
    with pytest.raises(SettingError, match="one grid"):
        closed_forms.penalised_line(flow, torch.ones(4), step=1.0, weight=1.0)


def test_density_between_intervals():
    """U[2, 3] and U[0, 1]: in the gap it is E 1/(x - y) = 3 log 3 - 4 log 2."""
    grid, step = line(0, 3, 1500)
    density = closed_forms.between_density(
        grid, law(Uniform, 2.0, 3.0).cdf, law(Uniform, 0.0, 1.0).cdf
    )
    assert float(density.sum()) * step == pytest.approx(1, abs=1e-12)
    gap = density[(grid > 1.01) & (grid < 1.99)]
    assert gap.sub(3 * math.log(3) - 4 * math.log(2)).abs().max() < 1e-5
    # Near the ends sigma(z) = z log(3/2), from which the largest slope of S3 follows.
    assert float(density[15] / grid[15]) == pytest.approx(math.log(1.5), rel=0.02)


def test_density_between_gaussians():
    """Given t the point is normal, so the density is an integral over t."""
    grid, _ = line(-8, 11, 1000)
    density = closed_forms.between_density(
        grid, law(Normal, 3.0, 1.0).cdf, law(Normal, 0.0, 0.7).cdf
    )
    assert density.min() >= 0
    for at in (200, 480, 700):
        z = grid[at].item()
        wanted, _ = quad(
            lambda t, z=z: norm.pdf(z, 3 * t, math.hypot(t, 0.7 * (1 - t))), 0, 1, epsabs=1e-12
        )
        assert density[at].item() == pytest.approx(wanted, rel=1e-3)


@pytest.mark.parametrize("apart", [0.0, 1.0, 3.0, 10.0, 30.0])
def test_jensen_shannon_of_gaussians(apart):
    grid, step = line(-12, apart + 12, 20_000)
    laws = law(Normal, 0.0, 1.0), law(Normal, apart, 1.0)
    first, second = (one.log_prob(grid).exp() for one in laws)
    found = closed_forms.jensen_shannon(first, second, step=step)
    assert found == pytest.approx(jensenshannon(first.numpy(), second.numpy()) ** 2, abs=1e-9)
    assert found <= math.log(2) + 1e-12
    if apart == 30:
        assert found == pytest.approx(math.log(2), abs=1e-9)


@given(distance=st.floats(0.1, 10), steepness=st.floats(0.1, 20))
@fixed
def test_logistic_gradients_by_autograd(distance, steepness):
    """The library's own objective, whose scores are log-odds, played at the generated point."""
    for saturating, wanted in zip(
        (True, False), closed_forms.logistic_gradients(distance, steepness)
    ):
        fake = torch.tensor([distance], dtype=torch.float64, requires_grad=True)
        scores = steepness * (distance / 2 - fake)  # the real point is at 0
        JensenShannon(saturating).generator(scores, list).backward()
        # torch takes softplus(x) for x beyond 20, which is off by e^-20 = 2e-9.
        assert fake.grad.item() == pytest.approx(wanted, rel=1e-8, abs=1e-300)


@pytest.mark.parametrize(
    "call",
    [
        lambda: closed_forms.w1_gaussians(0, -1, 0, 1),
        lambda: closed_forms.w1_intervals(1, 0, 0, 1),
        lambda: closed_forms.w1_translation([1.0], [1.0, 2.0]),
        lambda: closed_forms.w1_isotropic(1, 2, 0),
        lambda: closed_forms.penalised_points(1, 0),
        lambda: closed_forms.flattened_points(-1, 1),
        lambda: closed_forms.upper_w1(1, 0),
        lambda: closed_forms.jensen_shannon(torch.ones(2), torch.ones(2), step=0),
        lambda: closed_forms.logistic_gradients(0, 1),
    ],
)
def test_meaningless_numbers_are_refused(call):
    with pytest.raises(SettingError):
        call()
