"""Other ways to the same numbers: each against the operation whose place it takes."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as some
from torch.fx.experimental.proxy_tensor import make_fx
from torch.nn import functional

from wgankit import quicker
from wgankit.compiled import by_compiler
from wgankit.quicker import apart, folded, quickened

aten = torch.ops.aten


@pytest.fixture
def onednn(monkeypatch):
    """A machine on which oneDNN is quicker."""
    monkeypatch.setattr(quicker, "onednn_is_quicker", lambda: True)


def both(function, *inputs):
    """Return what a function's graph gives as traced and quickened, and the second graph's text."""
    graph = make_fx(function)(*inputs)
    other = quickened(graph, inputs)
    with torch.no_grad():
        return graph(*inputs), other(*inputs), str(other.graph)


def error(found, wanted):
    return float((found - wanted).double().norm() / wanted.double().norm().clamp_min(1e-30))


class Convolution:
    """A convolution of drawn size, and a penalty's gradient by its weights and bias."""

    def __init__(self, draw, channels):
        self.stride = draw(some.integers(1, 3))
        self.dilation = draw(some.integers(1, 2))
        self.padding = draw(some.integers(0, 2))
        kernel = draw(some.integers(1, 4))
        sides = [draw(some.integers(9, 12)) for _ in range(2)]
        source = torch.Generator().manual_seed(draw(some.integers(0, 99)))

        def normal(*shape):
            return torch.randn(*shape, dtype=torch.float64, generator=source)

        self.x = normal(3, channels, *sides)
        self.inputs = normal(6, channels, kernel, kernel), normal(6), self.x

    def gradients(self, weight, bias, x):
        """Return derivatives of the squared slopes of a convolution's squares."""
        weight, bias, x = (one.detach().requires_grad_() for one in (weight, bias, x))
        out = functional.conv2d(x, weight, bias, self.stride, self.padding, self.dilation)
        (slope,) = torch.autograd.grad(out.square().sum(), x, create_graph=True)
        loss = slope.square().sum() + out.sin().sum()
        return torch.autograd.grad(loss, (weight, bias))


@settings(deadline=None, max_examples=40)
@given(some.data(), some.integers(1, 6))
def test_second_derivatives_of_convolutions_stay(data, channels):
    drawn = Convolution(data.draw, channels)
    wanted, found, _ = both(lambda w, b, x: drawn.gradients(w, b, x), *drawn.inputs)
    for one, other in zip(found, wanted, strict=True):
        assert error(one, other) < 1e-12


def test_no_kernel_is_as_large_as_a_picture_afterwards():
    def gradients(weight, x):
        weight, x = (one.detach().requires_grad_() for one in (weight, x))
        out = functional.conv2d(x, weight, None, 2, 1)
        (slope,) = torch.autograd.grad(out.square().sum(), x, create_graph=True)
        return torch.autograd.grad(slope.square().sum(), weight)

    inputs = torch.randn(8, 5, 4, 4), torch.randn(3, 5, 16, 16)
    graph = make_fx(gradients)(*inputs)

    def kernels(graph):
        nodes = [one for one in graph.graph.nodes if one.target is aten.convolution.default]
        return [tuple(one.args[1].meta["val"].shape[2:]) for one in nodes]

    assert (8, 8) in kernels(graph)
    assert set(kernels(quickened(graph, inputs))) == {(4, 4)}


@settings(deadline=None, max_examples=40)
@given(
    some.integers(1, 3), some.integers(1, 3), some.integers(2, 3), some.integers(0, 2),
    some.integers(0, 99),
)  # fmt: skip
def test_a_transposed_convolution_is_a_product_added_up(times, channels, stride, padding, seed):
    torch.manual_seed(seed)
    x = torch.randn(2, 6, 5, 7, dtype=torch.float64)
    weight = torch.randn(6, channels, times * stride, times * stride, dtype=torch.float64)
    wanted = functional.conv_transpose2d(x, weight, None, stride, padding)
    found = folded(x, weight, [stride] * 2, [padding] * 2, list(wanted.shape[2:]))
    assert error(found, wanted) < 1e-13


def test_pixels_that_a_stride_never_comes_to_have_no_gradient():
    x = torch.randn(2, 3, 11, 12, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(6, 3, 4, 4, dtype=torch.float64)
    out = functional.conv2d(x, weight, None, 4)
    direction = torch.randn_like(out)
    (wanted,) = torch.autograd.grad(out, x, direction)
    found = folded(direction, weight, [4, 4], [0, 0], [11, 12])
    assert torch.equal(found != 0, wanted != 0)
    assert error(found, wanted) < 1e-13


@pytest.mark.parametrize("bias", [True, False])
def test_generators_of_pictures_are_quickened(bias):
    def picture(x, weight, bias):
        return functional.conv_transpose2d(x, weight, bias, 2, 1).tanh()

    inputs = torch.randn(4, 8, 6, 6), torch.randn(8, 3, 4, 4), torch.randn(3) if bias else None
    wanted, found, text = both(lambda x, w: picture(x, w, inputs[2]), *inputs[:2])
    assert "convolution" not in text
    assert error(found, wanted) < 1e-6


@pytest.mark.parametrize("turned", ["", "a", "b", "ab"])
@pytest.mark.parametrize("shape", [(700, 60, 60), (60, 60, 700), (60, 900, 60)])
def test_large_products_are_the_same_by_onednn(onednn, turned, shape):
    m, k, n = shape
    a, b = torch.randn(m, k), torch.randn(k, n)
    a = a.t().contiguous().t() if "a" in turned else a
    b = b.t().contiguous().t() if "b" in turned else b
    wanted, found, text = both(torch.mm, a, b)
    assert ("wgankit.product" in text) == ("a" not in turned or m * k * n >= 2 * quicker.LARGE)
    assert error(found, wanted) < 1e-5
    added, found_added, text = both(torch.addmm, torch.randn(n), a, b)
    assert error(found_added, added) < 1e-5


@settings(deadline=None, max_examples=30)
@given(
    some.integers(1, 600), some.integers(1, 600), some.integers(1, 10),
    some.sampled_from(["", "a", "b", "ab"]), some.sampled_from([torch.float32, torch.float64]),
    some.booleans(),
)  # fmt: skip
def test_thin_products_are_the_same_by_other_ways(m, k, n, turned, kind, plus):
    a = torch.randn(k, m, dtype=kind).t() if "a" in turned else torch.randn(m, k, dtype=kind)
    b = torch.randn(n, k, dtype=kind).t() if "b" in turned else torch.randn(k, n, dtype=kind)
    added = [torch.randn(m, n, dtype=kind)] if plus else []
    wanted, found, _ = both(torch.addmm if plus else torch.mm, *added, a, b)
    assert error(found, wanted) < (1e-12 if kind == torch.float64 else 1e-5)
    assert found.shape == wanted.shape
    # An optimiser that ignores strides would move the wrong weights by another layout.
    assert found.is_contiguous()


def test_products_of_few_columns_become_those_of_few_rows():
    """The weights' gradients of a layer that reads points of a plane, and slopes in the points."""
    signal, points, weight = torch.randn(512, 64), torch.randn(512, 2), torch.randn(64, 2)

    def shapes(graph):
        return [
            tuple(one.args[0].meta["val"].shape)
            for one in graph.graph.nodes
            if one.target is aten.mm.default
        ]

    def products(signal, points, weight):
        return signal.t() @ points, signal @ weight, signal @ weight.t().contiguous().t()

    inputs = signal, points, weight
    graph = make_fx(products, tracing_mode="fake")(*inputs)
    assert shapes(graph) == [(64, 512), (512, 64), (512, 64)]
    other = quickened(graph, inputs)
    assert shapes(other) == [(2, 512), (512, 64), (512, 64)]
    thin = [one.args[1].meta["val"] for one in other.graph.nodes if one.target is aten.mm.default]
    assert [one.stride() for one in thin] == [(64, 1), (1, 64), (1, 64)]


def test_a_product_over_one_number_is_no_product():
    graph = both(torch.mm, torch.randn(512, 1), torch.randn(1, 64))
    assert "mm" not in graph[2]
    assert torch.equal(graph[0], graph[1])


def test_other_products_stay(onednn):
    small, double = torch.randn(8, 8), torch.randn(300, 300, dtype=torch.float64)
    for matrix in (small, double):
        wanted, found, text = both(torch.mm, matrix, matrix)
        assert "wgankit" not in text
        assert torch.equal(wanted, found)


def test_products_stay_where_blas_is_quick(monkeypatch):
    monkeypatch.setattr(quicker, "onednn_is_quicker", lambda: False)
    matrix = torch.randn(300, 300)
    assert "wgankit" not in both(torch.mm, matrix, matrix)[2]


def test_the_quicker_library_is_found_while_a_graph_is_traced():
    quicker.onednn_is_quicker.cache_clear()
    matrix = torch.randn(300, 300)
    text = both(torch.mm, matrix, matrix)[2]
    assert ("wgankit" in text) == quicker.onednn_is_quicker()


def sums(x, w, v, b):
    """Sums with products of every kind that derivatives bring: biases, sums of two, turned ones."""
    layer = torch.addmm(b, x, w)
    other = layer + x @ v
    turned = other.t() + torch.addmm(b, x, v).t()
    return other, (x.t() @ x).t() + w, 1.0 + x @ w, turned, x @ v + (x > 0)


def sums_apart(kind):
    source = torch.Generator().manual_seed(0)
    inputs = [torch.randn(*shape, generator=source) for shape in ((5, 4), (4, 4), (4, 4), (4,))]
    inputs = [one.to(kind) for one in inputs]
    graph = make_fx(sums)(*inputs)
    return inputs, graph, apart(make_fx(sums)(*inputs), inputs)


@pytest.mark.parametrize("kind", [torch.float32, torch.float64])
def test_nothing_is_added_inside_a_product(kind):
    inputs, graph, other = sums_apart(kind)

    def count(one, target):
        return [node.target for node in one.graph.nodes].count(target)

    assert (count(graph, aten.addmm.default), count(other, aten.addmm.default)) == (2, 0)
    # A number, truth values and a sum of two results that are no products are added as they were.
    assert (count(graph, aten.add.Tensor), count(other, aten.add.Tensor)) == (5, 3)
    assert count(other, aten.sub.Tensor) == 4
    for found, wanted in zip(other(*inputs), graph(*inputs), strict=True):
        assert error(found, wanted) < 4 * torch.finfo(kind).eps


def test_sums_in_bfloat16_are_rounded_once():
    inputs, graph, other = sums_apart(torch.bfloat16)
    assert str(other.graph) == str(graph.graph)
    for found, wanted in zip(other(*inputs), graph(*inputs), strict=True):
        assert torch.equal(found, wanted)


@pytest.mark.slow
def test_the_compiler_leaves_sums_beside_products():
    source = torch.Generator().manual_seed(0)
    inputs = [
        torch.randn(*shape, generator=source) for shape in ((64, 32), (32, 32), (32, 32), (32,))
    ]
    graph = make_fx(sums, tracing_mode="fake")(*inputs)
    run = by_compiler(graph, inputs)
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as seen:
        results = run(*inputs)
    names = {event.name for event in seen.events()}
    assert names & {"aten::mm", "aten::addmm"} == {"aten::mm"}
    for found, wanted in zip(results, graph(*inputs), strict=True):
        assert error(found, wanted) < 1e-6


@pytest.mark.slow
@pytest.mark.parametrize("turned", [False, True])
def test_compiled_code_calls_onednn_without_this_module(onednn, turned):
    source = torch.Generator().manual_seed(0)
    a, b = (torch.randn(160, 160, generator=source) for _ in range(2))
    added, b = torch.randn(160, generator=source), b.t() if turned else b

    def products(a, b, added):
        return a @ b, torch.addmm(added, a, b.t())

    run = by_compiler(make_fx(products, tracing_mode="fake")(a, b, added), [a, b, added])
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as seen:
        results = run(a, b, added)
    names = [event.name for event in seen.events()]
    assert "mkldnn::_linear_pointwise" in names
    assert "wgankit::product" not in names
    for found, wanted in zip(
        results, products(a.double(), b.double(), added.double()), strict=True
    ):
        assert error(found, wanted) < 1e-6
