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
    """Data divided by s with scale=s: same slopes, same penalty, same W1 (theory S19)."""
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
    """W1 for weighted Hamming of product laws: sum_i w TV(p_i, q_i) (theory 3.3)."""
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
    """For p = 1 the W1 of independent parts is the weighted sum of the parts' W1 (A.7)."""
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


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Normed(0.5), "p >= 1"),
        (lambda: Normed(scale=0.0), "scale"),
        (lambda: OneHot(weight=-1.0), "> 0"),
        (lambda: Product(), "at least one"),
        (lambda: Product(Normed(), weights=[1.0, 2.0]), "1 weights"),
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
    with pytest.raises(ShapeError, match="2 parts"):
        check_points(Product(Normed(), Normed()), torch.randn(4, 3))
