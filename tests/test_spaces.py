"""The spaces of the core against the laws and against exact answers."""

import itertools
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from wgankit import Normed, OneHot, Penalty, Product, SettingError, exact, pairwise
from wgankit.errors import ShapeError
from wgankit.space import MetricSpace, check_points, safe_norm
from wgankit.spaces import Pullback, Quadratic, Sobolev
from wgankit.testing import check_metric_space, check_penalty_laws, check_smooth_space

SPACES = {
    "l1": (Normed(1), lambda n: torch.randn(n, 5)),
    "l2": (Normed(2), lambda n: torch.randn(n, 2, 3)),
    "l3": (Normed(3, scale=4.0), lambda n: torch.randn(n, 4)),
    "linf": (Normed(math.inf), lambda n: torch.randn(n, 4)),
    "labels": (OneHot(), lambda n: torch.randn(n, 3, 4).softmax(-1)),
    "weighted labels, p=2": (OneHot(2.5, p=2), lambda n: torch.randn(n, 3, 4).softmax(-1)),
    "product": (
        Product(Normed(2), OneHot(), p=1, weights=[1.0, 3.0]),
        lambda n: (torch.randn(n, 3), torch.randn(n, 2, 3).softmax(-1)),
    ),
    "euclidean product": (
        Product(Normed(1), Normed(2), p=2),
        lambda n: (torch.randn(n, 3), torch.randn(n, 2)),
    ),
}


@pytest.fixture(params=SPACES, name="case")
def _case(request):
    torch.manual_seed(0)
    space, draw = SPACES[request.param]
    return space, draw(12)


def test_laws_of_a_metric(case):
    check_metric_space(*case)


def test_laws_of_a_smooth_space(case):
    check_smooth_space(*case)


def test_laws_of_the_penalty(case):
    check_penalty_laws(*case)


def test_dual_norm_is_reached_by_the_steepest_linear_critic():
    """sup <g, v> over |v|_p = 1 is |g|_q: Hoelder's equality case, in float64."""
    gradient = torch.tensor([[3.0, -4.0, 12.0]], dtype=torch.float64)
    for p, expected in ((1, 12.0), (2, 13.0), (math.inf, 19.0)):
        assert Normed(p).dual_norm(gradient, gradient).item() == pytest.approx(expected, abs=1e-12)


@given(scale=st.floats(1e-3, 1e3), seed=st.integers(0, 100))
@settings(deadline=None, max_examples=25)
def test_penalty_does_not_depend_on_the_units_of_the_data(scale, seed):
    """Data divided by s with scale=s: same slopes, same penalty, same W1."""
    torch.manual_seed(seed)
    weights = torch.randn(6, dtype=torch.float64)
    real, fake = torch.randn(2, 16, 6, dtype=torch.float64)

    def critic(x: Tensor) -> Tensor:
        return (x.sin() * weights).sum(-1)

    torch.manual_seed(seed)
    plain = Penalty().value(Normed(), critic, real, fake)
    torch.manual_seed(seed)
    scaled = Penalty().value(
        Normed(scale=scale), lambda z: critic(z * scale), real / scale, fake / scale
    )
    assert scaled.item() == pytest.approx(plain.item(), rel=1e-9, abs=1e-12)
    assert exact.w1(Normed(scale=scale), real / scale, fake / scale) == pytest.approx(
        exact.w1(Normed(), real, fake), rel=1e-9
    )


def test_labels_count_differences():
    eye = torch.eye(3)
    x = eye[torch.tensor([[0, 1, 2, 0]])]
    y = eye[torch.tensor([[0, 2, 2, 1]])]
    assert OneHot().distance(x, y).item() == 2.0
    assert OneHot(weight=0.5).distance(x, y).item() == 1.0
    assert OneHot(p=2).distance(x, y).item() == pytest.approx(math.sqrt(2))


@given(seed=st.integers(0, 1000))
@settings(deadline=None, max_examples=10)
def test_w1_of_product_laws_of_labels_is_the_sum_of_total_variations(seed):
    """W1 for weighted Hamming of product laws: sum_i w TV(p_i, q_i)."""
    torch.manual_seed(seed)
    sites, labels, weight = 3, 3, 1.7
    p = torch.randn(sites, labels, dtype=torch.float64).softmax(-1)
    q = torch.randn(sites, labels, dtype=torch.float64).softmax(-1)
    words = torch.tensor(list(itertools.product(range(labels), repeat=sites)))
    points = torch.nn.functional.one_hot(words, labels).double()
    mass_p = (points * p).sum(-1).prod(-1)
    mass_q = (points * q).sum(-1).prod(-1)
    found = exact.w1(OneHot(weight), points, points, x_weights=mass_p, y_weights=mass_q)
    assert found == pytest.approx(weight * 0.5 * (p - q).abs().sum().item(), abs=1e-9)


def test_w1_adds_up_over_independent_parts():
    """For p = 1 the W1 of independent parts is the weighted sum of the parts' W1."""
    torch.manual_seed(0)
    x1, y1, x2, y2 = torch.randn(4, 6, 2, dtype=torch.float64)
    grid = torch.cartesian_prod(torch.arange(6), torch.arange(6))
    space = Product(Normed(), Normed(1), weights=[1.0, 2.0])
    joint = exact.w1(space, (x1[grid[:, 0]], x2[grid[:, 1]]), (y1[grid[:, 0]], y2[grid[:, 1]]))
    apart = exact.w1(Normed(), x1, y1) + 2 * exact.w1(Normed(1), x2, y2)
    assert joint == pytest.approx(apart, abs=1e-9)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("size", [0.0, 1e-30, 1.0, 1e25])
def test_safe_norm_is_exact_and_has_no_nan_gradient(dtype, size):
    vectors = (torch.tensor([[3.0, 4.0]], dtype=dtype) * size).requires_grad_()
    norm = safe_norm(vectors)
    assert norm.item() == pytest.approx(5.0 * size, rel=1e-6)
    (gradient,) = torch.autograd.grad(norm.sum(), vectors, create_graph=True)
    assert torch.isfinite(gradient).all()
    wanted = [0.6, 0.8] if size else [0.0, 0.0]
    assert gradient[0].tolist() == pytest.approx(wanted, rel=1e-5)
    (second,) = torch.autograd.grad(gradient.sum(), vectors, allow_unused=True)
    assert second is None or torch.isfinite(second).all()


def test_safe_norm_does_not_pass_nan_or_infinity_for_zero():
    norms = safe_norm(torch.tensor([[math.nan, 1.0], [math.inf, 1.0], [0.0, 0.0]]))
    assert norms[0].isnan()
    assert norms[1].item() == math.inf
    assert norms[2].item() == 0.0


def test_pairwise_agrees_with_torch():
    torch.manual_seed(0)
    x, y = torch.randn(7, 3, dtype=torch.float64), torch.randn(5, 3, dtype=torch.float64)
    assert torch.allclose(pairwise(Normed(), x, y, block=6), torch.cdist(x, y), atol=1e-12)


# Quadratic forms ------------------------------------------------------------------------------


def positive(size):
    factor = torch.randn(size, size, dtype=torch.float64)
    return factor @ factor.T + 0.1 * torch.eye(size, dtype=torch.float64)


@given(seed=st.integers(0, 1000), size=st.integers(1, 6))
@settings(deadline=None, max_examples=20)
def test_quadratic_forms_are_their_formulas(seed, size):
    torch.manual_seed(seed)
    matrix = positive(size)
    x, y = torch.randn(2, 5, size, dtype=torch.float64)
    space, v = Quadratic(matrix), x - y
    assert torch.allclose(space.distance(x, y), ((v @ matrix) * v).sum(1).sqrt(), rtol=1e-10)
    wanted = (v * torch.linalg.solve(matrix, v.T).T).sum(1).sqrt()
    assert torch.allclose(space.dual_norm(x, v), wanted, rtol=1e-8)
    # The steepest direction for g is A^-1 g, and it reaches the dual norm.
    steepest = torch.linalg.solve(matrix, v.T).T
    slope = (v * steepest).sum(1) / space.distance(steepest, torch.zeros_like(steepest))
    assert torch.allclose(slope, wanted, rtol=1e-8)
    table = pairwise.dispatch(MetricSpace)(space, x, y)
    assert torch.allclose(pairwise(space, x, y), table, atol=1e-11)


def test_quadratic_forms_follow_the_points_and_are_flat_where_they_meet():
    space = Quadratic(positive(3).float())
    x = torch.randn(4, 3, requires_grad=True)
    for form in (torch.float32, torch.float64, torch.float32):
        assert space.distance(x.to(form), x.to(form) + 1).dtype == form
        assert space.dual_norm(x.to(form), x.to(form)).dtype == form
    (gradient,) = torch.autograd.grad(space.distance(x, x.detach()).sum(), x)
    assert (gradient == 0).all()
    far = torch.full((2, 3), 1e6) + torch.tensor([[0.0], [0.25]])
    assert pairwise(space, far, far).diagonal().tolist() == [0.0, 0.0]


@pytest.mark.parametrize("height", [0.5, 2.0, 8.0])
@pytest.mark.parametrize("thin", [1.0, 0.1])
def test_a_cheap_axis_takes_the_gradient(height, thin):
    """Under dx^2 + e^2 dy^2 the share of x in the best slope is a / sqrt(a^2 + e^2 h^2)."""
    along = 2.0
    space = Quadratic(torch.diag(torch.tensor([1.0, thin**2], dtype=torch.float64)))
    real = torch.tensor([[along, 0.0]], dtype=torch.float64)
    fake = torch.tensor([[0.0, height]], dtype=torch.float64, requires_grad=True)
    (gradient,) = torch.autograd.grad(space.distance(fake, real).sum(), fake)
    share = gradient[0, 0].abs() / space.dual_norm(fake, gradient)[0]
    assert share.item() == pytest.approx(along / math.hypot(along, thin * height), abs=1e-14)


# Sobolev norms --------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(8,), (7,), (2, 5), (3, 4, 6), (1, 5, 7), (2, 1, 1)])
@pytest.mark.parametrize("order", [0.0, 1.0, -1.0, 2.5])
def test_sobolev_norms_are_the_full_transform_weighted(shape, order):
    torch.manual_seed(0)
    axes = min(2, len(shape))
    space = Sobolev(order, axes=axes, length=0.7, scale=3.0)
    x, y = torch.randn(2, 4, *shape, dtype=torch.float64)
    waves = [torch.fft.fftfreq(n, 1 / n, dtype=torch.float64) for n in shape[-axes:]]
    squares = sum(k.square() for k in torch.meshgrid(*waves, indexing="ij"))
    last = tuple(range(-axes, 0))
    spectrum = torch.fft.fftn(x - y, dim=last, norm="ortho")
    weighted = spectrum * (1 + 0.49 * squares) ** (order / 2)
    wanted = 3 * weighted.flatten(1).abs().square().sum(1).sqrt()
    assert torch.allclose(space.distance(x, y), wanted, rtol=1e-12)
    # The steepest direction for g has the spectrum of g divided by the weights twice.
    filtered = spectrum / (1 + 0.49 * squares) ** order
    steepest = torch.fft.ifftn(filtered, dim=last, norm="ortho").real
    slope = ((x - y) * steepest).flatten(1).sum(1)
    slope = slope / space.distance(steepest, torch.zeros_like(steepest))
    assert torch.allclose(space.dual_norm(x, x - y), slope, rtol=1e-12)
    table = pairwise.dispatch(MetricSpace)(space, x, y)
    assert torch.allclose(pairwise(space, x, y), table, rtol=1e-12)


def test_order_0_is_the_euclidean_norm_and_shifts_cost_by_their_frequency():
    """W1 of a shift by a wave is its norm: the 7th counts 1, 5, 1/5 times the 1st."""
    torch.manual_seed(0)
    pictures = torch.randn(6, 3, 5, 8, dtype=torch.float64)
    flat = Normed().distance(pictures, pictures.roll(1, 0))
    assert torch.allclose(Sobolev(0).distance(pictures, pictures.roll(1, 0)), flat, rtol=1e-13)
    signals = torch.randn(10, 16, dtype=torch.float64)
    turns = torch.arange(16, dtype=torch.float64) * (2 * math.pi / 16)
    for order, ratio in ((0, 1.0), (1, 5.0), (-1, 0.2)):
        space = Sobolev(order, axes=1)
        costs = [exact.w1(space, signals, signals + (k * turns).cos()) for k in (1, 7)]
        assert costs[1] / costs[0] == pytest.approx(ratio, abs=1e-9)


# Latent spaces --------------------------------------------------------------------------------


def decoder(*, ends=20):
    layers = torch.nn.Linear(3, 16), torch.nn.Tanh(), torch.nn.Linear(16, ends)
    return torch.nn.Sequential(*layers).double()


@given(seed=st.integers(0, 1000))
@settings(deadline=None, max_examples=15)
def test_the_slope_in_the_latent_is_the_tangential_part_of_the_gradient(seed):
    """|d(f o decoder)|* under J'J is |P_T grad f|, P_T the projection on the decoded surface."""
    torch.manual_seed(seed)
    network, weights = decoder(), torch.randn(20, dtype=torch.float64)
    space = Pullback(network, scale=2.0)

    def critic(points):
        return (points.sin() * weights).sum(-1)

    x = torch.randn(5, 3, dtype=torch.float64)
    slopes = space.slope(lambda z: critic(network(z)), x, x, torch.zeros(5, dtype=torch.float64))
    decoded = network(x).detach().requires_grad_()
    (gradient,) = torch.autograd.grad(critic(decoded).sum(), decoded)
    jacobian = torch.func.vmap(torch.func.jacrev(network))(x)
    frame, _ = torch.linalg.qr(jacobian.detach())
    tangential = (frame.mT @ gradient.unsqueeze(-1)).flatten(1).norm(dim=1)
    assert torch.allclose(slopes, tangential / 2, atol=1e-12)


def test_chords_are_shorter_than_paths_and_short_ones_are_not():
    torch.manual_seed(0)
    space = Pullback(decoder())
    x, y = torch.randn(2, 6, 3, dtype=torch.float64)
    ways = torch.linspace(0, 1, 2001, dtype=torch.float64)
    stops = [space.interpolate(x, y, t.expand(6)) for t in ways]
    length = sum(space.distance(a, b) for a, b in itertools.pairwise(stops))
    assert (space.distance(x, y) < length).all()
    jacobian, step = space.jacobian(x), 1e-6 * y
    small = (jacobian @ step.unsqueeze(-1)).flatten(1).norm(dim=1)
    assert torch.allclose(space.distance(x, x + step), small, rtol=1e-4)


def test_linear_decoders_keep_every_law_and_tables_agree():
    torch.manual_seed(0)
    space = Pullback(torch.nn.Linear(3, 2).double(), ridge=0.5)
    gradient = torch.randn(4, 3, dtype=torch.float64)
    jacobian = space.jacobian(gradient)
    inverse = torch.linalg.inv(jacobian.mT @ jacobian + 0.5 * torch.eye(3, dtype=torch.float64))
    wanted = torch.einsum("bi,bij,bj->b", gradient, inverse, gradient).sqrt()
    assert torch.allclose(space.dual_norm(gradient, gradient), wanted, rtol=1e-12)
    x, y = torch.randn(2, 5, 3, dtype=torch.float64)
    space = Pullback(decoder())
    table = pairwise.dispatch(MetricSpace)(space, x, y)
    assert torch.allclose(pairwise(space, x, y), table, rtol=1e-12)
    linear = Pullback(torch.nn.Linear(3, 6).double(), scale=0.5)
    check_metric_space(linear, x, tolerance=1e-10)
    check_smooth_space(linear, x, tolerance=1e-10)


def test_the_penalty_in_the_latent_trains_the_critic():
    torch.manual_seed(0)
    critic = torch.nn.Sequential(torch.nn.Linear(3, 8), torch.nn.Tanh(), torch.nn.Linear(8, 1))
    space = Pullback(decoder().float(), ridge=1e-6)
    x, y = torch.randn(2, 8, 3)
    value = Penalty().value(space, lambda z: 50 * critic(z).squeeze(1), x, y)
    gradients = torch.autograd.grad(value, list(critic.parameters())[:3])
    assert all(g.isfinite().all() and g.abs().sum() > 0 for g in gradients)
    with torch.no_grad():
        assert space.slope(lambda z: critic(z).squeeze(1), x, y, torch.rand(8)).shape == (8,)


def test_a_decoder_that_flattens_is_named():
    torch.manual_seed(0)
    x = torch.randn(4, 3)
    narrow = Pullback(torch.nn.Linear(3, 2))
    with pytest.raises(SettingError, match=r"flattens a direction at 4 of 4 points.*ridge=1e-6"):
        narrow.dual_norm(x, x)
    assert Pullback(torch.nn.Linear(3, 2), ridge=1e-3).dual_norm(x, x).isfinite().all()
    for turn in range(20):  # rounding may leave a little where there is nothing
        form = torch.float64 if turn % 2 else torch.float32
        flat = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.Linear(2, 5)).to(form)
        with pytest.raises(SettingError, match="flattens"):
            Pullback(flat).dual_norm(x.to(form), x.to(form))


# What has no meaning --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Normed(0.5), "p >= 1"),
        (lambda: Normed(scale=0.0), "scale"),
        (lambda: OneHot(weight=-1.0), "> 0"),
        (lambda: Product(), "at least one"),
        (lambda: Product(Normed(), weights=[1.0, 2.0]), "1 weights"),
        (lambda: Quadratic(torch.ones(3)), "square"),
        (lambda: Quadratic(torch.tensor([[1.0, 2.0], [0.0, 1.0]])), "symmetric"),
        (lambda: Quadratic(torch.ones(2, 2)), "positive definite"),
        (lambda: Quadratic(torch.full((2, 2), math.nan)), "finite"),
        (lambda: Sobolev(math.inf), "finite"),
        (lambda: Sobolev(1, axes=0), "axes"),
        (lambda: Sobolev(1, length=0.0), "length"),
        (lambda: Pullback(3), "function"),
        (lambda: Pullback(torch.nn.Identity(), ridge=-1.0), "ridge"),
        (lambda: Pullback(torch.nn.Identity(), scale=0.0), "scale"),
    ],
)
def test_spaces_without_meaning_are_refused(make, words):
    with pytest.raises(SettingError, match=words):
        make()


class _WrongShape(MetricSpace):
    def distance(self, x, y):
        return (x - y).abs()


def test_misfits_are_named_before_training():
    with pytest.raises(ShapeError, match="one float for each pair"):
        check_points(_WrongShape(), torch.randn(4, 3))
    with pytest.raises(ShapeError, match="same number of points"):
        check_points(Normed(), (torch.randn(4, 3), torch.randn(3, 3)))
    with pytest.raises(ShapeError, match="3 of 3 points hold NaN"):
        check_points(Normed(), torch.full((3, 2), math.nan))
    with pytest.raises(ShapeError, match="a form on 2 numbers"):
        check_points(Quadratic(torch.eye(2)), torch.randn(4, 3))
    with pytest.raises(ShapeError, match="at least 2 axes"):
        Sobolev(1).distance(torch.randn(4, 8), torch.randn(4, 8))
    with pytest.raises(ShapeError, match="latent points are vectors"):
        Pullback(torch.nn.Identity()).jacobian(torch.randn(4, 3, 3))
    with pytest.raises(ShapeError, match="2 parts"):
        check_points(Product(Normed(), Normed()), torch.randn(4, 3))
