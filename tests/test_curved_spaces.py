"""Sphere and hyperbolic space against exact formulas, isometries and digits to spare."""

import math
from decimal import Decimal, localcontext

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from wgankit import Normed, exact, pairwise
from wgankit.errors import SettingError, ShapeError
from wgankit.space import MetricSpace
from wgankit.spaces import Hyperboloid, Sphere
from wgankit.testing import check_smooth_space

DTYPES = [torch.float32, torch.float64]
SIZES = [0.0, 1e-30, 1e-8, 1e-3, 0.5, 1.0, 1.001, 5.0, 1e3, 1e6]


def units(count, size, dtype=torch.float64):
    return torch.nn.functional.normalize(torch.randn(count, size, dtype=torch.float64)).to(dtype)


def derivatives(space, x, y):
    """The gradient of d(., y) at x, and that of the sum of its squares."""
    x = x.clone().requires_grad_()
    (first,) = torch.autograd.grad(space.distance(x, y).sum(), x, create_graph=True)
    (second,) = torch.autograd.grad(first.square().sum(), x)
    return first.detach(), second


# The sphere -----------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("size", [1.0, 3.0, 1e-5, 1e5])
def test_angles_keep_their_digits_near_0_and_near_pi(dtype, size):
    """From (1, 0) to (1, s) the angle is atan s, from (-1, 0) to (1, s) it is pi - atan s."""
    eps = torch.finfo(dtype).eps
    for tangent in (0.0, 1e-20, 1e-9, 3e-5, 0.01, 0.3, 1.0):
        s = float(torch.tensor(tangent, dtype=dtype))
        here = torch.tensor([[1.0, 0.0]], dtype=dtype)
        there = torch.tensor([[1.0, s]], dtype=dtype)
        near = Sphere().distance(here, there).item()
        assert near == pytest.approx(math.atan(s), rel=4 * eps, abs=0)
        far = Sphere(2.0).distance(-here * size, there).item()
        assert far == pytest.approx(2 * (math.pi - math.atan(s)), rel=4 * eps)


@pytest.mark.parametrize("dtype", DTYPES)
def test_close_directions_keep_the_digits_of_their_difference(dtype):
    """In the plane the angle is the arc tangent of cross over dot, here in exact arithmetic."""
    torch.manual_seed(0)
    x = units(200, 2, dtype)
    for step in (1e-3, 1e-5, 3e-6):
        for way in (1, -1):
            y = way * (x + step * torch.randn_like(x))
            found = Sphere().distance(x, y)
            for a, b, angle in zip(x.tolist(), y.tolist(), found.tolist()):
                cross = Decimal(a[0]) * Decimal(b[1]) - Decimal(a[1]) * Decimal(b[0])
                dot = Decimal(a[0]) * Decimal(b[0]) + Decimal(a[1]) * Decimal(b[1])
                wanted = abs(math.atan(cross / abs(dot)))
                eps = torch.finfo(dtype).eps
                allowed = 8 * eps * (wanted + abs(step) / 2) if way > 0 else 8 * eps
                assert abs(angle - (wanted if way > 0 else math.pi - wanted)) <= allowed


@given(seed=st.integers(0, 10_000), size=st.integers(2, 6), radius=st.floats(0.1, 10))
@settings(deadline=None, max_examples=25)
def test_sphere_is_the_arc_cosine_and_knows_directions_only(seed, size, radius):
    torch.manual_seed(seed)
    x, y = units(8, size), units(8, size)
    angle = (x * y).sum(1).clamp(-1, 1).acos()
    space = Sphere(radius)
    assert torch.allclose(space.distance(x, y), radius * angle, atol=1e-6 * radius)
    middle = (angle > 0.1) & (angle < 3)
    assert torch.allclose(space.distance(x, y)[middle], radius * angle[middle], atol=1e-12)
    longer = torch.rand(8, 1, dtype=torch.float64) * 100 + 0.01
    assert torch.allclose(space.distance(longer * x, y), space.distance(x, y), atol=1e-12)
    table = pairwise.dispatch(MetricSpace)(space, x, y)
    assert torch.allclose(pairwise(space, x, y), table, atol=1e-12)


@pytest.mark.parametrize("dtype", DTYPES)
def test_great_circles_reach_equal_and_opposite_points(dtype):
    torch.manual_seed(0)
    x = torch.cat([units(4, 3, dtype), torch.eye(3, dtype=dtype)])
    wobble = x + torch.finfo(dtype).eps * torch.randn_like(x)
    t = torch.rand(len(x), dtype=dtype)
    for y in (x, -x, wobble, -wobble):
        z = Sphere().interpolate(x, y, t)
        d = Sphere().distance(x, y)
        assert torch.allclose(z.norm(dim=1), torch.ones_like(t), atol=1e-6)
        allowed = 20 * torch.finfo(dtype).eps
        assert torch.allclose(Sphere().distance(x, z), t * d, atol=allowed)
        assert torch.allclose(Sphere().distance(z, y), (1 - t) * d, atol=allowed)


@pytest.mark.parametrize("dtype", DTYPES)
def test_derivatives_on_the_sphere_are_finite_everywhere(dtype):
    torch.manual_seed(0)
    x = torch.cat([units(6, 3, dtype), torch.eye(3, dtype=dtype), torch.zeros(1, 3, dtype=dtype)])
    for y in (x, -x, 2 * x, x.roll(1, 0), x + torch.finfo(dtype).eps, torch.zeros_like(x)):
        first, second = derivatives(Sphere(), x, y)
        assert first.isfinite().all()
        assert second.isfinite().all()
        size = Sphere().dual_norm(x, first)
        assert (size <= 1 + 1e-5).all()
    first, _ = derivatives(Sphere(), x[:6], x[:6])
    assert (first == 0).all(), "exactly flat where points coincide"


def test_derivatives_on_the_sphere_are_right():
    torch.manual_seed(0)
    x, y = (units(4, 3).requires_grad_() for _ in range(2))
    assert torch.autograd.gradcheck(Sphere().distance, (x, y))
    assert torch.autograd.gradgradcheck(Sphere().distance, (x, y))
    t = torch.rand(4, dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda a, b: Sphere().interpolate(a, b, t), (x, y))


def test_the_dual_norm_on_a_sphere_is_the_slope_over_arcs():
    """|d/ds f(cos(s/r) u + sin(s/r) e)| is largest along the tangential gradient."""
    torch.manual_seed(0)
    u, weights = units(5, 3), torch.randn(3, dtype=torch.float64)
    gradient = weights.expand(5, 3)
    tangent = gradient - (gradient * u).sum(1, keepdim=True) * u
    exactly = tangent.norm(dim=1) / 2.5
    assert torch.allclose(Sphere(2.5).dual_norm(u, gradient), exactly, atol=1e-14)
    # A function of directions only falls with the length of the vector.
    assert torch.allclose(Sphere(2.5).dual_norm(4 * u, gradient / 4), exactly, atol=1e-14)


# Hyperbolic space -----------------------------------------------------------------------------


def exact_distance(v, w):
    """acosh(x_0 y_0 - v.w) in 100 digits."""
    with localcontext() as context:
        context.prec = 100
        v, w = ([Decimal(float(a)) for a in row] for row in (v, w))
        heights = [(1 + sum(a * a for a in row)).sqrt() for row in (v, w)]
        cosh = heights[0] * heights[1] - sum(a * b for a, b in zip(v, w))
        return float((cosh + (cosh * cosh - 1).copy_abs().sqrt()).ln())


def placements(dtype):
    """Pairs of every size: along one ray, opposite, nearly along one ray, across."""
    torch.manual_seed(0)
    for p in SIZES:
        for q in SIZES:
            a, b = units(2, 3)[:, None]
            for direction in (a, -a, a + 1e-3 * b, b):
                yield (a * p).to(dtype), (direction * q).to(dtype)


@pytest.mark.parametrize("dtype", DTYPES)
def test_hyperbolic_distance_is_that_of_many_digits(dtype):
    x, y = (torch.cat(parts) for parts in zip(*placements(dtype)))
    wanted = torch.tensor([exact_distance(v, w) for v, w in zip(x, y)], dtype=torch.float64)
    # Rounding the coordinates of two points at |v| by one part in 1 / eps turns them by eps, which
    # moves them apart by |v| eps / 2: no float does better than that.
    turned = 2 * torch.minimum(x.double().norm(dim=1), y.double().norm(dim=1)).clamp_max(1e3)
    off = (Hyperboloid().distance(x, y).double() - wanted).abs()
    assert (off <= torch.finfo(dtype).eps * (4 + 2 * wanted + turned)).all()


@pytest.mark.parametrize("dtype", DTYPES)
def test_hyperbolic_derivatives_are_finite_and_of_length_one(dtype):
    x, y = (torch.cat(parts) for parts in zip(*placements(dtype)))
    first, second = derivatives(Hyperboloid(), x, y)
    assert first.isfinite().all()
    assert second.isfinite().all()
    d = Hyperboloid().distance(x, y)
    size = Hyperboloid().dual_norm(x, first)
    apart = (d > 1e-6) & (x.norm(dim=1) < 1e4)
    assert torch.allclose(size[apart], torch.ones_like(size[apart]), atol=3e-3)
    assert (size[d == 0] == 0).all()


def test_hyperbolic_derivatives_are_right():
    torch.manual_seed(0)
    x, y = (torch.randn(6, 3, dtype=torch.float64) for _ in range(2))
    x[0], x[1] = 0.0, x[1] * 20
    y[1] *= 20
    x, y = x.requires_grad_(), y.requires_grad_()
    assert torch.autograd.gradcheck(Hyperboloid().distance, (x, y))
    assert torch.autograd.gradgradcheck(Hyperboloid().distance, (x, y))


def test_at_the_origin_the_distance_falls_straight_ahead():
    y = torch.tensor([[3.0, 4.0]], dtype=torch.float64)
    first, _ = derivatives(Hyperboloid(), torch.zeros_like(y), y)
    assert first[0].tolist() == pytest.approx([-0.6, -0.8], abs=1e-14)


def test_numbers_that_no_square_can_hold_have_distances_and_gradients():
    x, y = torch.tensor([[1e25, 1e24]]), torch.tensor([[-1e25, 3.0]])
    for pair in ((x, y), (x, torch.zeros_like(x)), (x, x), (torch.zeros_like(x), y)):
        first, _ = derivatives(Hyperboloid(), *pair)
        assert first.isfinite().all()
        wanted = exact_distance(*(rows[0] for rows in pair))
        assert Hyperboloid().distance(*pair).item() == pytest.approx(wanted, rel=1e-5, abs=1e-5)


def lift(v):
    return torch.cat([(1 + v.square().sum(1, keepdim=True)).sqrt(), v], 1)


@given(seed=st.integers(0, 10_000), size=st.integers(1, 5), speed=st.floats(-2, 2))
@settings(deadline=None, max_examples=25)
def test_boosts_are_isometries(seed, size, speed):
    """Distances, geodesics and dual norms do not change under a Lorentz boost."""
    torch.manual_seed(seed)
    x, y = torch.randn(2, 6, size, dtype=torch.float64)
    c, s = math.cosh(speed), math.sinh(speed)

    def boost(v):
        points = lift(v)
        first = s * points[:, 0] + c * points[:, 1]
        return torch.cat([first[:, None], points[:, 2:]], 1)

    space, t = Hyperboloid(), torch.rand(6, dtype=torch.float64)
    assert torch.allclose(space.distance(boost(x), boost(y)), space.distance(x, y), atol=1e-11)
    moved = space.interpolate(boost(x), boost(y), t)
    assert torch.allclose(moved, boost(space.interpolate(x, y, t)), atol=1e-10)
    weights = torch.randn(size, dtype=torch.float64)
    gradients = []
    for f in (lambda v: boost(v).sin() @ weights, lambda v: v.sin() @ weights):
        v = (x if not gradients else boost(x)).requires_grad_()
        gradients.append(space.dual_norm(v, torch.autograd.grad(f(v).sum(), v)[0]))
        x = x.detach()
    assert torch.allclose(*gradients, atol=1e-11)


def test_the_dual_norm_in_coordinates_is_the_ambient_one():
    """For F on R^(1, n): the Lorentz length of the tangential part of J dF."""
    torch.manual_seed(0)
    v, ambient = torch.randn(7, 3, dtype=torch.float64), torch.randn(7, 4, dtype=torch.float64)
    x = lift(v)
    raised = torch.cat([-ambient[:, :1], ambient[:, 1:]], 1)

    def lorentz(a, b):
        return (a * b).sum(1) - 2 * a[:, 0] * b[:, 0]

    tangent = raised + lorentz(x, raised)[:, None] * x
    in_chart = ambient[:, 1:] + ambient[:, :1] * v / x[:, :1]
    wanted = lorentz(tangent, tangent).sqrt()
    assert torch.allclose(Hyperboloid().dual_norm(v, in_chart), wanted, atol=1e-12)


@pytest.mark.parametrize("dtype", DTYPES)
def test_hyperbolic_geodesics_from_very_close_to_very_far(dtype):
    x, y = (torch.cat(parts) for parts in zip(*placements(dtype)))
    few = torch.maximum(x.norm(dim=1), y.norm(dim=1)) < 2e3
    x, y = x[few], y[few]
    t = torch.rand(len(x), dtype=dtype)
    space = Hyperboloid()
    z, d = space.interpolate(x, y, t), space.distance(x, y)
    # Where points are far out, 1e3 or so, coordinates round by that many times eps.
    allowed = 2e3 * torch.finfo(dtype).eps
    assert torch.allclose(space.distance(x, z), t * d, atol=allowed)
    assert torch.allclose(space.distance(z, y), (1 - t) * d, atol=allowed)
    ends = space.interpolate(x, y, torch.zeros_like(t)), space.interpolate(x, y, torch.ones_like(t))
    assert torch.equal(ends[0], x)
    assert torch.equal(ends[1], y)


def half_plane(x, y):
    """The spatial coordinates of the point x + i y of the upper half-plane."""
    return torch.stack([x / y, (x * x + y * y - 1) / (2 * y)], 1)


@given(seed=st.integers(0, 10_000), factor=st.floats(1.1, 20))
@settings(deadline=None, max_examples=15)
def test_raising_the_half_plane_costs_the_logarithm(seed, factor):
    """W1 of (x, y) and (x, c y) is log c for ANY law: log y, a Busemann function, reaches it."""
    torch.manual_seed(seed)
    x, y = torch.randn(12, dtype=torch.float64), torch.rand(12, dtype=torch.float64) + 0.1
    near, far = half_plane(x, y), half_plane(x, factor * y)
    assert exact.w1(Hyperboloid(), near, far) == pytest.approx(math.log(factor), abs=1e-9)


def test_curved_spaces_are_flat_from_close():
    torch.manual_seed(0)
    x, y = 1e-4 * torch.randn(2, 8, 3, dtype=torch.float64)
    flat = Normed().distance(x, y)
    assert torch.allclose(Hyperboloid().distance(x, y), flat, rtol=1e-7)
    up = torch.ones(8, 1, dtype=torch.float64)
    assert torch.allclose(
        Sphere().distance(torch.cat([x, up], 1), torch.cat([y, up], 1)), flat, rtol=1e-7
    )


def test_laws_hold_to_many_digits():
    torch.manual_seed(0)
    x = units(8, 3)
    check_smooth_space(Sphere(), torch.cat([x, -x[:6]]), tolerance=1e-10)
    sizes = torch.logspace(-4, 2, 14, dtype=torch.float64)[:, None]
    check_smooth_space(Hyperboloid(), units(14, 3) * sizes, tolerance=1e-10)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Sphere(0.0), "radius"),
        (lambda: Sphere().distance(torch.ones(4, 1), torch.ones(4, 1)), "n >= 2"),
        (lambda: Hyperboloid().distance(torch.ones(4), torch.ones(4)), "vectors"),
    ],
)
def test_curved_spaces_without_meaning_are_refused(make, words):
    with pytest.raises((SettingError, ShapeError), match=words):
        make()
