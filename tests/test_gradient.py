"""Ways to the critic's gradient: they agree, or the one as written is taken, with a warning."""

import functools
import sys
import warnings

import pytest
import torch
from torch import nn
from torch.nn import functional
from torch.utils._python_dispatch import TorchDispatchMode

import wgankit
from wgankit import (
    Clipping,
    MetricSpace,
    Normal,
    Normed,
    Penalty,
    Perceptron,
    SettingError,
    Wasserstein,
    rectifiers,
    train,
)
from wgankit.errors import CompileWarning
from wgankit.gradient import (
    WORTHWHILE,
    CheckedGradient,
    CompiledGradient,
    CriticLoss,
    EagerGradient,
    relative_error,
    worth_compiling,
)
from wgankit.penalty import at_both, two_sided, zero_centred
from wgankit.rectifiers import MaskedRectifiers

CPU = torch.device("cpu")


@pytest.fixture
def traced(monkeypatch):
    """Capture the graph as ever, and run it operation by operation: no C++ compiler is needed."""
    monkeypatch.setattr(torch, "compile", functools.partial(torch.compile, backend="eager"))


def critic_of(width=16, dtype=torch.float32):
    torch.manual_seed(0)
    critic = Perceptron(2, width=width).to(dtype)
    with torch.no_grad():
        for parameter in critic.parameters():
            parameter.mul_(2.5)  # steep enough that every penalty has something to punish
    return critic


def make(critic=None, **settings):
    critic = critic_of() if critic is None else critic
    torch.manual_seed(0)
    data = torch.randn(100, 2) + 3
    settings = {"batch": 16, "n_critic": 2, "space": Normed(), "latent": Normal(3), **settings}
    return train(Perceptron(3, 2, width=16), critic, data, device="cpu", **settings)


def rows(training, count=4):
    return [next(training).estimate.row() for _ in range(count)]


def loss_of(critic, penalty=None, space=None):
    return CriticLoss(critic, space or Normed(), penalty or Penalty(), Wasserstein())


def batch(dtype=torch.float32):
    torch.manual_seed(1)
    return torch.randn(32, 2, dtype=dtype) + 3, torch.randn(32, 2, dtype=dtype)


def batch_with(stream):
    points = batch()
    torch.set_rng_state(stream)
    return points


def gradients(way, dtype=torch.float32):
    scale = torch.tensor(2.0, dtype=dtype)
    seen = way(*batch(dtype), scale)
    return [None if p.grad is None else p.grad.clone() for p in way.loss.critic.parameters()], seen


# As written -----------------------------------------------------------------------------------


def test_gradient_is_that_of_the_textbook_penalty():
    """Gulrajani et al. (2017), algorithm 1, with lambda = 7, worked out beside it."""
    critic = critic_of(dtype=torch.float64)
    penalty = Penalty(7.0, shape=two_sided, relative=False)
    found, seen = gradients(
        EagerGradient(loss_of(critic, penalty), torch.Tensor.backward), torch.float64
    )
    real, fake = batch(torch.float64)
    t = torch.rand(32).double()[:, None]  # the stream goes on behind the batch
    x = (real + t * (fake - real)).requires_grad_()
    (slope,) = torch.autograd.grad(critic(x).sum(), x, create_graph=True)
    punished = ((slope.norm(dim=1) - 1) ** 2).mean()
    value = critic(fake).mean() - critic(real).mean() + 7 * punished
    wanted = torch.autograd.grad(value, list(critic.parameters()), allow_unused=True)
    assert relative_error(found, list(wanted)) < 1e-7  # t is drawn in float32
    assert seen.cost.item() == pytest.approx(punished.item())
    assert not any(one.requires_grad for one in seen)


# Rectifiers without zeros -----------------------------------------------------------------------


class _Products(TorchDispatchMode):
    def __init__(self):
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        self.count += function in (torch.ops.aten.mm.default, torch.ops.aten.addmm.default)
        return function(*args, **(kwargs or {}))


@pytest.mark.parametrize("layer", [nn.LeakyReLU(0.2), nn.LeakyReLU(), nn.ReLU()])
def test_masked_rectifiers_give_the_same_gradients_with_fewer_products(layer, monkeypatch):
    torch.manual_seed(0)
    widths = [nn.Linear(2, 16), layer, nn.Linear(16, 16), layer, nn.Linear(16, 1), nn.Flatten(0)]
    critic = nn.Sequential(*widths).double()
    loss = loss_of(critic, Penalty(shape=two_sided))
    with _Products() as plain:
        wanted, _ = gradients(EagerGradient(loss, torch.Tensor.backward), torch.float64)
    monkeypatch.setattr(rectifiers, "LARGE", 0)
    with _Products() as masked:
        found, _ = gradients(EagerGradient(loss, torch.Tensor.backward), torch.float64)
    assert all(torch.equal(a, b) for a, b in zip(found, wanted) if b is not None)
    assert masked.count < plain.count


def test_rectifiers_that_work_in_place_are_left_alone(monkeypatch):
    monkeypatch.setattr(rectifiers, "LARGE", 0)
    x = torch.tensor([-1.0, 2.0])
    with MaskedRectifiers():
        assert functional.relu(x.clone()).tolist() == [0, 2]
        assert functional.leaky_relu(x.clone(), negative_slope=0.5).tolist() == [-0.5, 2]
        functional.relu(x, inplace=True)
    assert x.tolist() == [0, 2]


# Compiled ---------------------------------------------------------------------------------------


class _Absolute(MetricSpace):
    def distance(self, x, y):
        return (x - y).abs().sum(1)


@pytest.mark.parametrize(
    ("penalty", "space"),
    [
        (Penalty(), Normed()),
        (Penalty(shape=two_sided, relative=False), Normed(p=1)),
        (Penalty(where=at_both, shape=zero_centred), Normed()),
        (Penalty(groups=lambda real: (real[:, 0] > 3).long()), Normed()),
        (Penalty(), _Absolute()),
    ],
    ids=["one-sided", "two-sided", "zero-centred", "groups", "metric"],
)
def test_one_graph_holds_both_derivatives(penalty, space, traced):
    """The captured graph gives the gradients and figures of the loss as written, in float64."""
    loss = loss_of(critic_of(dtype=torch.float64), penalty, space)
    wanted, plain = gradients(EagerGradient(loss, torch.Tensor.backward), torch.float64)
    found, seen = gradients(CompiledGradient(loss), torch.float64)
    assert relative_error(found, wanted) < 1e-12
    for one, other in zip(seen, plain):
        assert torch.allclose(one, other, rtol=1e-12, atol=1e-12)


def test_compiled_training_resumes_bit_for_bit(tmp_path, traced):
    whole = rows(make(compile=True), 9)
    first = make(compile=True)
    begun = rows(first, 4)
    first.save(tmp_path / "state.pt")
    again = make(compile=True, resume=tmp_path / "state.pt")
    assert begun + rows(again, 5) == whole
    assert isinstance(again.improve.chosen, CompiledGradient)


def test_compiled_training_draws_what_the_other_draws(traced):
    one, other = make(compile=True), make()
    rows(one), rows(other)
    assert torch.equal(one.rng["cpu"], other.rng["cpu"])


class _Cube(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x**3

    @staticmethod
    def backward(ctx, gradient):
        (x,) = ctx.saved_tensors
        return 3 * x**2 * gradient


class _WithFunction(nn.Module):
    def __init__(self):
        super().__init__()
        self.enter, self.leave = nn.Linear(2, 8), nn.Linear(8, 1)

    def forward(self, x):
        return self.leave(_Cube.apply(self.enter(x))).squeeze(-1)


def with_function():
    torch.manual_seed(0)
    return _WithFunction()


def with_dropout():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(2, 8), nn.Dropout(), nn.Linear(8, 1), nn.Flatten(0))


class _Torn(nn.Module):
    """Asks the device for a number in the middle, which no single graph can hold."""

    def __init__(self):
        super().__init__()
        self.net = critic_of()

    def forward(self, x):
        return self.net(x) * (1.0 if bool(self.net.layers[1].weight.sum() < 1e9) else 2.0)


@pytest.mark.parametrize(
    ("critic", "settings", "words"),
    [
        (with_function, {}, "second derivative"),
        (with_dropout, {}, "random numbers"),
        (_Torn, {}, "data-dependent"),
        (critic_of, {"penalty": Clipping(0.1)}, "only penalties are compiled"),
    ],
    ids=["function", "dropout", "torn", "clipping"],
)
def test_what_must_not_be_compiled_runs_as_written_with_one_warning(
    critic, settings, words, traced
):
    training = make(critic(), compile=True, **settings)
    with pytest.warns(CompileWarning, match=words) as told:
        found = rows(training)
    assert len([one for one in told if one.category is CompileWarning]) == 1
    assert found == rows(make(critic(), **settings))


def test_a_compiler_that_fails_costs_a_warning(monkeypatch):
    def fail(*args, **kwargs):
        raise RuntimeError("\n  no C++ compiler found\n")

    monkeypatch.setattr(torch, "compile", fail)
    with pytest.warns(CompileWarning, match="RuntimeError: no C"):
        found = rows(make(compile=True))
    assert found == rows(make())


def test_comparing_leaves_buffers_and_random_numbers_as_they_were(traced):
    """Spectral normalisation moves its buffers at each pass."""
    torch.manual_seed(0)
    inner = nn.utils.parametrizations.spectral_norm(nn.Linear(8, 8))
    critic = nn.Sequential(nn.Linear(2, 8), inner, nn.SiLU(), nn.Linear(8, 1), nn.Flatten(0))
    checked = CheckedGradient(EagerGradient(loss_of(critic), torch.Tensor.backward))
    before, stream = [buffer.clone() for buffer in critic.buffers()], torch.get_rng_state()
    chosen = checked._choose(*batch_with(stream), torch.tensor(2.0))
    assert isinstance(chosen, CompiledGradient)
    assert all(torch.equal(a, b) for a, b in zip(before, critic.buffers(), strict=True))
    assert torch.equal(torch.get_rng_state(), stream)
    chosen(*batch_with(stream), torch.tensor(2.0))
    moved = [not torch.equal(a, b) for a, b in zip(before, critic.buffers(), strict=True)]
    assert any(moved), "passes must move them"


def test_several_trainings_do_not_use_up_each_others_compiled_code(traced):
    for _ in range(12):
        gradients(CompiledGradient(loss_of(critic_of(width=8))))


# The setting ------------------------------------------------------------------------------------


def test_auto_compiles_long_runs_where_a_compiler_is(monkeypatch):
    assert not worth_compiling(None, CPU)
    assert not worth_compiling(WORTHWHILE - 1, CPU)
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv("CXX", raising=False)
    assert not worth_compiling(WORTHWHILE, CPU)
    assert isinstance(make(compile="auto", steps=WORTHWHILE).improve, EagerGradient)
    monkeypatch.undo()
    monkeypatch.setenv("CXX", sys.executable)
    assert worth_compiling(WORTHWHILE, CPU)
    assert isinstance(make(compile="auto", steps=100).improve, EagerGradient)
    assert not isinstance(make(compile="auto", steps=WORTHWHILE).improve, EagerGradient)


def test_settings_that_cannot_be_are_refused():
    with pytest.raises(SettingError, match="'yes'"):
        make(compile="yes")
    with pytest.raises(SettingError, match="32-true"):
        make(compile=True, precision="bf16-mixed")


# With the real compiler -------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_inductor_agrees_with_what_is_written(dtype):
    loss = loss_of(critic_of(dtype=dtype))
    wanted, _ = gradients(EagerGradient(loss, torch.Tensor.backward), dtype)
    found, _ = gradients(CompiledGradient(loss), dtype)
    assert relative_error(found, wanted) < (1e-5 if dtype == torch.float32 else 1e-10)


@pytest.mark.slow
def test_inductor_training_resumes_bit_for_bit(tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("error", CompileWarning)
        whole = rows(make(compile=True), 9)
        first = make(compile=True)
        begun = rows(first, 4)
        first.save(tmp_path / "state.pt")
        again = rows(make(compile=True, resume=tmp_path / "state.pt"), 5)
    assert begun + again == whole


@pytest.mark.slow
def test_inductor_loses_the_second_derivative_of_a_custom_function_and_is_caught():
    with pytest.warns(CompileWarning, match="second derivative"):
        found = rows(make(with_function(), compile=True))
    assert found == rows(make(with_function()))
    assert wgankit.errors.CompileWarning is CompileWarning
