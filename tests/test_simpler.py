"""Traced graphs with less in them: the same numbers, and results that nobody else holds."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as some
from torch import nn
from torch.fx.experimental.proxy_tensor import make_fx

from wgankit.rectifiers import MaskedRectifiers
from wgankit.simpler import changes_something, simplified
from wgankit.tracing import Networks, trace

aten = torch.ops.aten


def traced(function, *inputs):
    return make_fx(function, tracing_mode="fake", _allow_non_fake_inputs=True)(*inputs)


def operations(graph):
    return [node.target for node in graph.graph.nodes if node.op == "call_function"]


def penalty_gradients(slope, masked):
    """Return a function: the gradients of a penalty on slopes, by the weights of two layers."""

    def function(x, *weights):
        weights = [one.detach().requires_grad_() for one in weights]
        x = x.detach().requires_grad_()
        with MaskedRectifiers(always=masked):
            h = nn.functional.leaky_relu(x @ weights[0].t(), slope) * 1.0
            score = nn.functional.leaky_relu(h @ weights[1].t(), slope).sum()
        (g,) = torch.autograd.grad(score, x, create_graph=True)
        return list(torch.autograd.grad((g.square().sum(1) / 1.0 - 1).square().mean(), weights))

    return function


@settings(deadline=None, max_examples=25)
@given(some.integers(1, 5), some.integers(1, 6), some.sampled_from([0.0, 0.1, 0.5]),
       some.booleans(), some.integers(0, 99))  # fmt: skip
def test_results_are_those_of_the_whole_graph(count, width, slope, masked, seed):
    torch.manual_seed(seed)
    inputs = [
        torch.randn(*size, dtype=torch.float64) for size in ((count, 3), (width, 3), (2, width))
    ]
    function = penalty_gradients(slope, masked)
    whole = traced(function, *inputs)
    short = simplified(whole)
    others = [torch.randn_like(one) for one in inputs]
    for found, wanted in zip(short(*others), function(*others), strict=True):
        assert torch.allclose(found, wanted, rtol=1e-12, atol=1e-14)
    assert len(operations(short)) < len(operations(whole))


def test_a_mask_becomes_a_rectifier_and_constants_are_computed_once():
    inputs = torch.randn(4, 3), torch.randn(5, 3), torch.randn(2, 5)
    found = operations(simplified(traced(penalty_gradients(0.1, True), *inputs)))
    assert aten.leaky_relu.default in found
    assert aten.leaky_relu_backward.default in found
    for gone in (aten.where.self, aten.gt.Scalar, aten.new_ones.default, aten.ones_like.default,
                 aten.detach.default):  # fmt: skip
        assert gone not in found, gone


@pytest.mark.parametrize("value", [float("inf"), -float("inf"), float("nan"), 0.0, -0.0])
@pytest.mark.parametrize("slope", [0.0, 0.2])
def test_rectifiers_agree_with_masks_at_the_edges(value, slope):
    def function(x, g):
        mask = torch.where(x > 0, x.new_ones(()), slope)
        return [x * mask, g * mask]

    x, g = torch.full((3,), value), torch.randn(3)
    for found, wanted in zip(simplified(traced(function, x, g))(x, g), function(x, g), strict=True):
        finite = wanted.isfinite()  # 0 times infinity is 0 or NaN, and neither is of use
        assert torch.equal(found[finite], wanted[finite])


def test_results_can_be_changed_by_whoever_gets_them():
    """Each has memory of its own: apart from the inputs, the constants and one another."""

    def function(x, y):
        ones = torch.ones_like(x)
        return [x * 1.0, y + 1, y + 1, ones * 2, (x + y).t(), (x + y), x.t().t()]

    inputs = torch.randn(3, 3), torch.randn(3, 3)
    graph = simplified(traced(function, *inputs))
    wanted = function(*inputs)
    for _ in range(2):
        results = graph(*inputs)
        for found, right in zip(results, wanted, strict=True):
            assert torch.equal(found, right)
            found.fill_(7)  # if anything is shared, the next comparison sees it
    assert torch.equal(function(*inputs)[0], wanted[0])


def test_what_is_changed_in_place_is_neither_shared_nor_moved():
    """Before and after x is changed, x + 1 is not the same; neither are two buffers of zeros."""

    def function(x, y):
        before, whole = x + 1, x * 1.0
        x[0].mul_(2)
        first, second = torch.zeros_like(y), torch.zeros_like(y)
        first[0].copy_(y[0])
        second[1].copy_(y[1])
        return [before, x + 1, whole, first, second, first * 1.0, (y * 2) + (y * 2)]

    inputs = torch.ones(3, 2), torch.rand(3, 2)
    graph = traced(function, *inputs)
    assert any(map(changes_something, graph.graph.nodes))
    short = simplified(graph)
    assert len(operations(short)) < len(operations(graph))
    for _ in range(2):
        found = short(inputs[0].clone(), inputs[1])
        wanted = function(inputs[0].clone(), inputs[1])
        assert all(torch.equal(*pair) for pair in zip(found, wanted, strict=True))


def test_results_of_one_operation_are_not_copied():
    def function(x, weight):
        x, weight = (one.detach().requires_grad_() for one in (x, weight))
        out = torch.nn.functional.layer_norm(x, (4,), weight)
        return list(torch.autograd.grad(out.square().sum(), (x, weight)))

    found = operations(simplified(traced(function, torch.randn(3, 4), torch.randn(4))))
    assert aten.clone.default not in found


def test_neutral_numbers_that_change_the_type_stay():
    whole = traced(lambda n: [(n * 1.0) / 3, n + 0.0], torch.arange(3))
    for found, wanted in zip(
        simplified(whole)(torch.arange(3)), whole(torch.arange(3)), strict=True
    ):
        assert found.dtype == wanted.dtype == torch.float32
        assert torch.equal(found, wanted)


def test_constants_of_the_first_trace_survive():
    """Tensors that a network holds outside its parameters stay what they are."""
    table = torch.arange(6.0).view(2, 3)
    graph = traced(lambda x: [x @ table * 1.0], torch.randn(4, 2))
    x = torch.randn(4, 2)
    assert torch.equal(simplified(graph)(x)[0], x @ table)


def test_random_numbers_are_no_constants():
    graph = traced(lambda x: [x + torch.rand(3)], torch.zeros(3))
    short = simplified(graph)
    assert not torch.equal(short(torch.zeros(3))[0], short(torch.zeros(3))[0])


def test_inputs_may_lie_otherwise_than_they_did():
    def function(x):
        return [x.view(len(x), -1) * 2, x.view(-1)]

    networks = Networks(function, {"none": nn.Linear(1, 1)})
    graph = trace(networks, (torch.randn(4, 1, 3, 2), ()), lambda own, results, last: results).graph
    turned = torch.randn(4, 1, 2, 3).transpose(2, 3)
    found = graph(torch.ones(1, 1), torch.ones(1), turned)
    assert torch.equal(found[0], turned.reshape(4, 6) * 2)
    assert torch.equal(found[1], turned.reshape(-1))


def test_a_view_that_is_changed_stays_a_view():
    def function(x):
        y = x * 2
        y.view(-1)[0].zero_()
        return [y]

    graph = simplified(traced(function, torch.ones(2, 3)))
    assert torch.equal(graph(torch.ones(2, 3))[0], function(torch.ones(2, 3))[0])
