"""Products by the same matrix as one: the same results, whatever waits for what."""

import torch
from hypothesis import given, settings
from hypothesis import strategies as some
from torch.fx.experimental.proxy_tensor import make_fx
from torch.nn import functional

from wgankit.joint import joined

aten = torch.ops.aten


def products(graph):
    """The shapes of all products, in order."""
    return [
        tuple(one.meta["val"].shape)
        for one in graph.graph.nodes
        if one.target in (aten.mm.default, aten.addmm.default)
    ]


def both(function, *inputs):
    """Return a function's graph as traced and joined, and that their results are the same."""
    graph = make_fx(function, tracing_mode="fake", _allow_non_fake_inputs=True)(*inputs)
    other = joined(graph, inputs)
    with torch.no_grad():
        wanted = graph(*(one.clone() for one in inputs))
        found = other(*(one.clone() for one in inputs))
    for one, two in zip(found, wanted, strict=True):
        assert torch.allclose(one, two, rtol=1e-10, atol=1e-12)
    return graph, other


def normal(*shape):
    return torch.randn(*shape, dtype=torch.float64)


def penalised(points, between, *weights):
    """Return the gradients of a perceptron's loss with a penalty, as a step takes them."""
    weights = [one.detach().requires_grad_() for one in weights]
    between = between.detach().requires_grad_()

    def critic(x):
        for weight in weights[:-1]:
            x = functional.leaky_relu(functional.linear(x, weight), 0.2)
        return functional.linear(x, weights[-1])

    (slope,) = torch.autograd.grad(critic(between).sum(), between, create_graph=True)
    cost = (slope.norm(dim=1) - 0.1).clamp_min(0).square().mean()
    scores = critic(points)
    loss = scores[: len(points) // 2].mean() - scores[len(points) // 2 :].mean() + 10 * cost
    return torch.autograd.grad(loss, weights)


@settings(deadline=None, max_examples=12)
@given(some.integers(0, 3), some.sampled_from([8, 16, 33]), some.integers(0, 9))
def test_a_penalised_critic_is_run_once_forwards_and_once_backwards(depth, width, seed):
    torch.manual_seed(seed)
    weights = normal(width, 2), *(normal(width, width) for _ in range(depth)), normal(1, width)
    graph, other = both(penalised, normal(20, 2), normal(10, 2), *weights)
    wide = depth if width >= 16 else 0
    assert products(graph).count((30, width)) == 0
    assert products(other).count((30, width)) == 2 * wide
    assert len(products(other)) == len(products(graph)) - 2 * wide


def test_what_waits_for_the_other_stays():
    graph, other = both(lambda x, w: (x @ w @ w @ w,), normal(5, 16), normal(16, 16))
    assert products(other) == products(graph) == [(5, 16)] * 3


def test_what_would_wait_for_itself_stays():
    """a W, then something of it by V; b V, then something of it by W: one pair only can be one."""

    def crossed(a, b, w, v):
        return (a @ w).sin() @ v, (b @ v).cos() @ w

    _, other = both(crossed, normal(5, 16), normal(7, 16), normal(16, 16), normal(16, 16))
    assert sorted(products(other)) == [(5, 16), (7, 16), (12, 16)]


def test_other_matrices_turned_ones_and_large_ones_stay():
    for function in (
        lambda x, y, w, v: (x @ w, y @ v),
        lambda x, y, w, v: (x @ w, y @ w.t()),
        lambda x, y, w, v: (torch.addmm(v[0], x, w), torch.addmm(v[1], y, w)),
    ):
        graph, other = both(function, normal(5, 16), normal(7, 16), normal(16, 16), normal(16, 16))
        assert products(other) == products(graph)
    for rows, count in ((80, 2), (1, 1)):
        inputs = normal(rows, 300), normal(90, 300), normal(300, 300)
        _, other = both(lambda x, y, w: (x @ w, y @ w), *inputs)
        assert len(products(other)) == count


def test_what_comes_after_a_change_is_left_alone():
    def update(x, y, w):
        first = x @ w
        w.mul_(2)
        return first, y @ w

    graph, other = both(update, normal(5, 16), normal(7, 16), normal(16, 16))
    assert products(other) == products(graph)


def test_a_bias_is_shared():
    def layers(x, y, weight, bias):
        return functional.linear(y, weight, bias), functional.linear(x, weight, bias).sin()

    _, other = both(layers, normal(5, 16), normal(7, 16), normal(20, 16), normal(20))
    assert products(other) == [(12, 20)]
