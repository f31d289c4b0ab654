"""Ways to carry out a step: they agree, or the one as written is taken, with a warning."""

import sys
import warnings

import pytest
import torch
from torch import nn

import wgankit
from wgankit import (
    ByConstruction,
    Clipping,
    JensenShannon,
    MetricSpace,
    Muon,
    Normal,
    Normed,
    Penalty,
    Perceptron,
    Product,
    Relativistic,
    SettingError,
    Unconstrained,
    Wasserstein,
    execution,
    quicker,
    train,
)
from wgankit.compiled import (
    COMPILED,
    TRACED,
    WORTH_TRACING,
    WORTHWHILE,
    Way,
    relative_error,
    worth_compiling,
)
from wgankit.errors import CompileWarning
from wgankit.execution import AsWritten, Inside, Outside
from wgankit.penalty import at_both, at_real, two_sided, zero_centred
from wgankit.testing import check_steps

CPU = torch.device("cpu")


def use(monkeypatch, compiler):
    """Let another compiler make code of graphs."""
    monkeypatch.setattr(execution, "COMPILED", Way("compiling", "compiled", compiler, inside=True))


def as_it_is(graph, inputs):
    """Run a graph as it was traced: no C++ compiler is needed."""
    return graph


@pytest.fixture(params=[True, "trace"], ids=["compiled", "trace"])
def traced(monkeypatch, request):
    """A value of `compile`; for True, graphs run as they were traced."""
    use(monkeypatch, as_it_is)
    return request.param


def critic_of(width=16, dtype=torch.float32, **settings):
    torch.manual_seed(0)
    critic = Perceptron(2, width=width, **settings).to(dtype)
    with torch.no_grad():
        for parameter in critic.parameters():
            parameter.mul_(2.5)  # steep enough that every penalty has something to punish
    return critic


def make(critic=None, dtype=torch.float32, generator=None, **settings):
    critic = critic_of(dtype=dtype) if critic is None else critic
    torch.manual_seed(0)
    data = torch.randn(100, 2, dtype=dtype) + 3
    settings = {"batch": 16, "n_critic": 2, "space": Normed(), "latent": Normal(3), **settings}
    generator = generator or Perceptron(3, 2, width=16).to(dtype)
    return train(generator, critic, data, device="cpu", **settings)


def rows(training, count=4):
    return [next(training).estimate.row() for _ in range(count)]


def parts(training):
    return {part.name: part.refused for part in training.execution.parts}


class _Absolute(MetricSpace):
    def distance(self, x, y):
        return (x - y).abs().sum(1)


class _Wide(wgankit.Latent):
    """Normal numbers in double precision."""

    def sample(self, count, device):
        return torch.randn(count, 3, dtype=torch.float64, device=device)


def spectral(dtype=torch.float32):
    torch.manual_seed(0)
    inner = nn.utils.parametrizations.spectral_norm(nn.Linear(8, 8))
    layers = [nn.Linear(2, 8), inner, nn.SiLU(), nn.Linear(8, 1), nn.Flatten(0)]
    return nn.Sequential(*layers).to(dtype)


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


def with_function(dtype=torch.float32):
    torch.manual_seed(0)
    return _WithFunction().to(dtype)


def with_dropout(dtype=torch.float32):
    torch.manual_seed(0)
    layers = [nn.Linear(2, 8), nn.Dropout(), nn.Linear(8, 1), nn.Flatten(0)]
    return nn.Sequential(*layers).to(dtype)


def shift(points):
    return points + 0.1 * torch.randn_like(points)


CASES = {
    "one-sided": {},
    "two-sided": {"penalty": Penalty(shape=two_sided, relative=False), "space": Normed(p=1)},
    "zero-centred": {"penalty": Penalty(where=at_both, shape=zero_centred)},
    "real": {"penalty": Penalty(where=at_real, shape=zero_centred, relative=False)},
    "groups": {"penalty": Penalty(groups=lambda real: (real[:, 0] > 3).long())},
    "worst group": {"penalty": Penalty(groups=lambda real: (real[:, 0] > 3).long(), over="worst")},
    "metric": {"space": _Absolute()},
    "clipping": {"penalty": Clipping(0.1)},
    "construction": {"penalty": ByConstruction()},
    "classical": {"penalty": Unconstrained(), "objective": JensenShannon()},
    "relativistic": {"objective": Relativistic()},
    "noise": {"noise": shift},
    "smooth": {"critic": lambda: critic_of(dtype=torch.float64, activation=nn.SiLU)},
    "spectral": {"critic": lambda: spectral(torch.float64)},
    "function": {"critic": lambda: with_function(torch.float64)},
    "dropout": {"critic": lambda: with_dropout(torch.float64)},
}


@pytest.mark.parametrize("name", CASES)
def test_a_step_carries_nothing_to_the_device(name):
    """So that it can be captured: every space, penalty, objective, noise and content."""
    settings = {"latent": _Wide(), "dtype": torch.float64, **CASES[name]}
    critic = settings.pop("critic", lambda: None)
    check_steps(make(critic(), compile=False, **settings))


@pytest.mark.parametrize("name", CASES)
def test_traced_step_is_the_step_as_written(name, traced):
    """Figures, parameters, averages and random numbers, in float64, over several steps.

    Among the critics is one with a custom autograd.Function, whose second derivative other ways of
    compiling lose without a word, and one with dropout.
    """
    settings = {"latent": _Wide(), "dtype": torch.float64, **CASES[name]}
    critic = settings.pop("critic", lambda: None)
    one = make(critic(), compile=traced, **settings)
    other = make(critic(), compile=False, **settings)
    for _ in range(4):
        found, wanted = next(one), next(other)
        for key, value in wanted.estimate.row().items():
            assert found.estimate.row()[key] == pytest.approx(value, rel=1e-5, abs=1e-9), key
        for player, same in zip(one.players, other.players, strict=True):
            grads = [[p.grad for p in side.parameters] for side in (player, same)]
            assert relative_error(*grads) < 1e-10
    assert set(parts(one).values()) == {""}
    assert torch.equal(one.randomness.state["cpu"], other.randomness.state["cpu"])
    for kind in ("generator", "average"):
        pairs = zip(getattr(one, kind).parameters(), getattr(other, kind).parameters())
        assert all(torch.allclose(p, q, rtol=1e-9, atol=1e-12) for p, q in pairs), kind


def test_adam_compiled_with_the_gradient_is_the_optimisers_own(monkeypatch):
    """On the optimiser's own state, with a schedule: as fused Adam does it, to rounding."""
    use(monkeypatch, as_it_is)
    settings = {
        "dtype": torch.float64,
        "latent": _Wide(),
        "betas": (0.5, 0.9),
        "schedule": lambda step: 1 / (1 + step),
    }
    one, other = make(compile=True, **settings), make(compile=False, **settings)
    for _ in range(5):
        next(one), next(other)
    assert isinstance(one.execution.critic, Inside)
    for optimizer in ("critic_optimizer", "generator_optimizer"):
        found, wanted = (getattr(each, optimizer).state_dict()["state"] for each in (one, other))
        for key, state in wanted.items():
            assert found[key]["step"] == state["step"]
            for name in ("exp_avg", "exp_avg_sq"):
                assert torch.allclose(found[key][name], state[name], rtol=1e-8, atol=1e-14)
    for p, q in zip(one.critic.parameters(), other.critic.parameters()):
        assert torch.allclose(p, q, rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize(
    "optimizer",
    [
        lambda network: torch.optim.SGD(network.parameters(), 0.01),
        lambda network: torch.optim.Adam(network.parameters(), 1e-3, weight_decay=0.1, fused=True),
        lambda network: Muon(network, rate=1e-3),
    ],
    ids=["sgd", "decay", "muon"],
)
def test_other_optimisers_run_behind_compiled_gradients(optimizer, traced):
    def run(compile):
        critic, generator = critic_of(dtype=torch.float64), Perceptron(3, 2, width=16).double()
        training = make(
            critic,
            torch.float64,
            generator,
            latent=_Wide(),
            critic_optimizer=optimizer(critic),
            generator_optimizer=optimizer(generator),
            compile=compile,
        )
        for _ in range(4):
            next(training)
        return training

    torch.manual_seed(3)
    one = run(traced)
    torch.manual_seed(3)
    other = run(False)
    assert isinstance(one.execution.critic, Outside)
    for kind in ("critic", "average"):
        pairs = zip(getattr(one, kind).parameters(), getattr(other, kind).parameters())
        assert all(torch.allclose(p, q, rtol=1e-7, atol=1e-9) for p, q in pairs), kind


def test_points_of_several_parts_and_conditions_are_traced(traced):
    class Sorts(wgankit.Conditioned):
        def sample(self, count, device):
            return torch.randn(count, 3), torch.randint(2, (count, 1)).float()

        def beside(self, real):
            return torch.randn(len(real[0]), 3), real[1]

    class Given(nn.Module):
        def __init__(self):
            super().__init__()
            self.network = Perceptron(4, 2, width=8)

        def forward(self, latents):
            return self.network(torch.cat(latents, 1)), latents[1]

    class Scores(nn.Module):
        def __init__(self):
            super().__init__()
            self.network = Perceptron(3, width=8)

        def forward(self, points):
            return self.network(torch.cat(points, 1))

    def run(compile):
        torch.manual_seed(0)
        return train(
            Given(),
            Scores(),
            (torch.randn(50, 2), torch.randint(2, (50, 1))),
            prepare=lambda stored: (stored[0], stored[1].float()),
            content=lambda fake, real: (fake[0] - real[0]).square().mean(),
            space=Product(Normed(), Normed()),
            latent=Sorts(),
            batch=20,
            n_critic=3,
            device="cpu",
            compile=compile,
        )

    one, other = run(traced), run(False)
    for _ in range(3):
        found, wanted = next(one), next(other)
        assert float(found.generator_loss) == pytest.approx(float(wanted.generator_loss), rel=1e-3)
        assert float(found.w1) == pytest.approx(float(wanted.w1), rel=1e-4)
    assert set(parts(one).values()) == {""}


def test_compiled_training_resumes_bit_for_bit(tmp_path, traced):
    whole = rows(make(compile=traced), 9)
    first = make(compile=traced)
    begun = rows(first, 4)
    first.save(tmp_path / "state.pt")
    again = make(compile=traced, resume=tmp_path / "state.pt")
    assert begun + rows(again, 5) == whole
    assert set(parts(again).values()) == {""}


def test_a_state_loaded_under_way_is_the_one_that_is_updated(tmp_path, traced):
    """Loading gives Adam new tensors, and compiled code has to follow."""
    first = make(compile=traced)
    rows(first, 3)
    first.save(tmp_path / "state.pt")
    wanted = rows(first, 3)
    first.load(tmp_path / "state.pt")
    assert rows(first, 3) == wanted


def test_what_a_state_holds_is_the_same_compiled_or_not(tmp_path, traced):
    first = make(compile=traced)
    rows(first, 4)
    first.save(tmp_path / "state.pt")
    one = make(compile=traced, resume=tmp_path / "state.pt")
    other = make(compile=False, resume=tmp_path / "state.pt")
    for row, same in zip(rows(one), rows(other)):
        assert row == pytest.approx(same, rel=1e-3, abs=1e-6)


class _Listening(nn.Module):
    """Attention among the parts of a point, as torch computes it."""

    def __init__(self):
        super().__init__()
        self.enter, self.leave = nn.Linear(3, 24), nn.Linear(8, 1)

    def forward(self, z):
        query, key, value = self.enter(z).view(len(z), 3, 1, 1, 8).unbind(1)
        both = torch.cat([value, value * 2], 2)
        heard = nn.functional.scaled_dot_product_attention(query, torch.cat([key, -key], 2), both)
        return self.leave(heard.view(len(z), 1, 8)).expand(-1, 2, -1).squeeze(-1)


def test_attention_without_dropout_is_not_random(traced):
    torch.manual_seed(0)
    one = make(generator=_Listening(), compile=traced)
    next(one)
    assert set(parts(one).values()) == {""}


# What is not believed ---------------------------------------------------------------------------


class _Torn(nn.Module):
    """Asks the device for a number in the middle, which no single graph can hold."""

    def __init__(self):
        super().__init__()
        self.net = critic_of()

    def forward(self, x):
        return self.net(x) * (1.0 if bool(x.detach().sum() < 1e9) else 2.0)


class _Chosen(nn.Module):
    """Sums up a choice of points whose number depends on them."""

    def __init__(self):
        super().__init__()
        self.net = critic_of()

    def forward(self, x):
        return self.net(x) + self.net(x[x[:, 0] > x[:, 0].mean()]).sum()


class _Picky(nn.Module):
    """Draws as the data says."""

    def __init__(self):
        super().__init__()
        self.net = critic_of()

    def forward(self, x):
        return self.net(x) + torch.bernoulli(torch.sigmoid(x.detach()[:, 0]))


@pytest.mark.filterwarnings("ignore::wgankit.errors.CompileWarning")
@pytest.mark.parametrize(
    ("critic", "words"),
    [
        (_Torn, "depends on the numbers in its tensors"),
        (_Chosen, "depends on the numbers in its tensors"),
        (_Picky, "random numbers"),
    ],
    ids=["torn", "chosen", "picky"],
)
def test_what_cannot_be_compiled_runs_as_written_with_a_warning(critic, words, traced):
    def training(compile):
        torch.manual_seed(0)
        network = critic()
        return make(network, compile=compile, penalty=Unconstrained(), objective=JensenShannon())

    one = training(True)
    with pytest.warns(CompileWarning, match=words) as told:
        found = rows(one)
    names = [str(each.message).split(" is not")[0] for each in told]
    assert sorted(names) == ["the critic's update", "the generator's update"]
    for row, same in zip(found, rows(training(False))):
        assert row == pytest.approx(same, rel=1e-5, abs=1e-6)
    assert parts(one)["drawing points"] == ""


@pytest.mark.parametrize("size", [1e-1, 1e-2])
def test_wrong_code_is_caught_and_not_run(size, monkeypatch):
    """A compiler that gets one gradient a little wrong."""

    def wrong(graph, inputs):
        def run(*tensors):
            with torch.no_grad():
                first, *others = graph(*tensors)
            return [first * (1 + size), *others]

        return run

    use(monkeypatch, wrong)
    with pytest.warns(CompileWarning, match="differs from the one as written"):
        found = rows(make(compile=True))
    assert found == rows(make(compile=False))


class _Code:
    """A compiler whose code is wrong by this much at some calls."""

    def __init__(self, *errors):
        self.errors, self.calls = errors, 0

    def __call__(self, graph, inputs):
        def run(*tensors):
            error = self.errors[min(self.calls, len(self.errors) - 1)]
            self.calls += 1
            with torch.no_grad():
                first, *others = graph(*tensors)
            return [first if first is None else first * (1 + error), *others]

        return run


@pytest.mark.parametrize(
    ("critic", "errors", "believed"),
    [
        (critic_of, (1e-3, 1e-3, 0.0), True),  # a jump at two places of three
        (critic_of, (1e-3,), True),  # jumps everywhere, as in very wide networks
        (critic_of, (1e-1,), False),
        (lambda: critic_of(activation=nn.SiLU), (1e-3, 1e-3, 0.0), True),
        (lambda: critic_of(activation=nn.SiLU), (1e-3,), False),  # which has nothing to jump
    ],
)
def test_rounding_that_a_rectifier_jumps_at_is_told_from_wrong_code(
    critic, errors, believed, monkeypatch
):
    """A gradient jumps where an activation changes sign, and among many of them some always do."""
    use(monkeypatch, _Code(*errors))
    training = make(critic(), compile=True)
    real, fake = torch.randn(16, 2), torch.randn(16, 2)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CompileWarning)
        training.execution.criticise(real, fake, torch.tensor(1.0))
    assert (parts(training)["the critic's update"] == "") == believed


def test_a_compiler_that_fails_costs_a_warning(monkeypatch):
    def fail(*args, **kwargs):
        raise RuntimeError("\n  no C++ compiler found\n")

    use(monkeypatch, fail)
    with pytest.warns(CompileWarning, match="RuntimeError: no C"):
        found = rows(make(compile=True))
    assert found == rows(make(compile=False))


class _Warm(nn.Module):
    """A critic with a temperature, and a note of how often it was called."""

    def __init__(self, kept):
        super().__init__()
        self.net, self.calls = critic_of(), 0
        self.temperature = [1.0] if kept == "list" else 1.0

    def forward(self, x):
        self.calls += 1
        plain = isinstance(self.temperature, float)
        return self.net(x) / (self.temperature if plain else self.temperature[0])

    def heat(self, degrees):
        self.temperature = degrees if isinstance(self.temperature, float) else [degrees]


def heated(compile, kept, degrees):
    """Return the figures of steps before each of which the critic's temperature is set."""
    training, found = make(_Warm(kept), compile=compile), []
    for number in degrees:
        training.critic.heat(number)
        found += rows(training, 1)
    return training, found


def assert_alike(found, wanted):
    for one, other in zip(found, wanted, strict=True):
        assert one == pytest.approx(other, rel=1e-4, abs=1e-6)


@pytest.mark.filterwarnings("error")
def test_a_modules_number_that_was_changed_counts_from_the_next_step(traced):
    degrees = [1.0, 1.0, 1.0, 4.0, 4.0, 1.0]
    training, found = heated(traced, "number", degrees)
    assert_alike(found, heated(False, "number", degrees)[1])
    assert set(parts(training).values()) == {""}


def test_other_changes_are_noticed_by_comparison_with_a_warning(monkeypatch, traced):
    monkeypatch.setattr(wgankit.training, "LOOK_AGAIN", 3)
    degrees = [1.0, 1.0, 1.0, 4.0, 4.0]
    with pytest.warns(CompileWarning, match="was changed some steps ago"):
        found = heated(traced, "list", degrees)[1]
    assert_alike(found, heated(False, "list", degrees)[1])


def test_other_changes_are_noticed_early_in_a_run(traced):
    """When the number of steps has doubled, long before the first thousand."""
    degrees = [1.0, 1.0, 1.0, 4.0, 4.0, 4.0]
    with pytest.warns(CompileWarning, match="was changed some steps ago"):
        found = heated(traced, "list", degrees)[1]
    wanted = heated(False, "list", degrees)[1]
    # Near it only, since the step at which the change was not known left other weights.
    assert found[4]["gap"] == pytest.approx(wanted[4]["gap"], rel=0.05)


def test_what_changes_before_every_step_runs_as_written(traced):
    degrees = [1.0 + 0.5 * step for step in range(8)]
    with pytest.warns(CompileWarning) as told:
        training, found = heated(traced, "number", degrees)
    assert all("changes under way" in str(one.message) for one in told)
    assert_alike(found, heated(False, "number", degrees)[1])
    assert "under way" in parts(training)["the critic's update"]


def test_what_a_module_counts_itself_is_no_change(traced):
    training = make(_Warm("number"), compile=traced)
    rows(training, 3)
    begun = training.critic.calls
    rows(training, 1)  # which is no power of 2, so that nothing is compared
    assert training.critic.calls == begun
    assert set(parts(training).values()) == {""}


def test_comparing_leaves_buffers_and_random_numbers_as_they_were(traced):
    """Spectral normalisation moves its buffers at each pass: once a pass, compared or not."""
    one, other = make(spectral(), compile=traced), make(spectral(), compile=False)
    rows(one, 2), rows(other, 2)
    for found, wanted in zip(one.critic.buffers(), other.critic.buffers(), strict=True):
        assert torch.allclose(found, wanted, atol=1e-5)


def test_traced_gradients_lie_as_their_parameters_do(monkeypatch):
    """Products by another library come in other strides, and fused Adam goes through memory."""
    monkeypatch.setattr(quicker, "LARGE", 1)
    monkeypatch.setattr(quicker, "onednn_is_quicker", lambda: True)

    def run(compile):
        torch.manual_seed(1)
        layers = [nn.Linear(2, 24), nn.SiLU(), nn.Linear(24, 40), nn.SiLU(), nn.Linear(40, 1)]
        training = make(nn.Sequential(*layers, nn.Flatten(0)), compile=compile)
        found = rows(training, 4)
        for parameter in training.critic.parameters():
            assert parameter.grad.stride() == parameter.stride()
        return found, [one.detach().clone() for one in training.critic.parameters()]

    (found, moved), (wanted, right) = run("trace"), run(False)
    assert_alike(found, wanted)
    assert all(torch.allclose(one, other, atol=2e-5) for one, other in zip(moved, right))


# The setting ------------------------------------------------------------------------------------


def test_auto_compiles_long_runs_where_a_compiler_is(monkeypatch):
    assert not worth_compiling(None, CPU)
    assert not worth_compiling(WORTHWHILE - 1, CPU)
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv("CXX", raising=False)
    assert not worth_compiling(WORTHWHILE, CPU)
    assert make(steps=WORTHWHILE).execution.done == TRACED.done
    monkeypatch.undo()
    monkeypatch.setenv("CXX", sys.executable)
    assert worth_compiling(WORTHWHILE, CPU)
    assert isinstance(make(steps=100).execution, AsWritten)
    assert isinstance(make(steps=None).execution, AsWritten)
    assert make(steps=WORTH_TRACING // 2).execution.done == TRACED.done
    assert make(steps=WORTHWHILE).execution.done == COMPILED.done
    assert isinstance(make(steps=WORTHWHILE, compile=False).execution, AsWritten)


def test_settings_that_cannot_be_are_refused():
    with pytest.raises(SettingError, match="'yes'"):
        make(compile="yes")
    with pytest.raises(SettingError, match="bf16-mixed"):
        make(precision="16")
    with pytest.raises(SettingError, match="on a GPU only"):
        make(capture=True)
    with pytest.raises(SettingError, match="'perhaps'"):
        make(capture="perhaps")


# bfloat16 ---------------------------------------------------------------------------------------


class _Types(nn.Module):
    """Notes the types it computes in."""

    def __init__(self, network):
        super().__init__()
        self.network, self.seen = network, set()
        network.layers[1].register_forward_hook(lambda m, i, out: self.seen.add(out.dtype))

    def forward(self, x):
        return self.network(x)


def test_bfloat16_multiplies_in_bfloat16_and_keeps_the_rest_in_float32():
    critic = _Types(critic_of())
    training = make(critic, precision="bf16-mixed", n_critic=1)
    critic.seen.clear()
    step = next(training)
    assert critic.seen == {torch.bfloat16}
    assert step.seen.slopes.dtype == step.gap.dtype == torch.float32
    assert all(p.dtype == p.grad.dtype == torch.float32 for p in critic.parameters())
    exact = make(_Types(critic_of()), n_critic=1)
    next(exact)
    grads = [[p.grad for p in each.players[1].parameters] for each in (training, exact)]
    assert 1e-5 < relative_error(*grads) < 0.05


def test_bfloat16_is_traced_too(traced):
    one, other = (make(precision="bf16-mixed", compile=each, n_critic=1) for each in (True, False))
    found, wanted = rows(one, 1)[0], rows(other, 1)[0]
    assert set(parts(one).values()) == {""}
    assert found == pytest.approx(wanted, rel=0.02, abs=0.02)


# With the real compiler -------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_inductor_agrees_with_what_is_written(dtype):
    latent = _Wide() if dtype == torch.float64 else Normal(3)
    one, other = (make(dtype=dtype, latent=latent, compile=each) for each in (True, False))
    next(one), next(other)
    assert set(parts(one).values()) == {""}
    for player, same in zip(one.players, other.players, strict=True):
        grads = [[p.grad for p in side.parameters] for side in (player, same)]
        assert relative_error(*grads) < (1e-5 if dtype == torch.float32 else 1e-10)


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
def test_inductor_keeps_the_second_derivative_of_a_custom_function():
    one, other = (make(with_function(), compile=each) for each in (True, False))
    next(one), next(other)
    assert parts(one)["the critic's update"] == ""
    grads = [[p.grad for p in each.players[1].parameters] for each in (one, other)]
    assert relative_error(*grads) < 1e-5
    assert Wasserstein is not None


@pytest.mark.parametrize("missing", [False, True], ids=["all", "some"])
def test_adam_stepped_by_hand_is_the_optimisers_own_to_the_last_digit(missing):
    """Beside `torch.optim.Adam.step`, parameters without a gradient included."""
    from wgankit.adam import WrittenAdam

    def network():
        torch.manual_seed(0)
        made = Perceptron(3, 2, width=8)
        return made, torch.optim.Adam(made.parameters(), 1e-2, betas=(0.3, 0.8), fused=True)

    (one, mine), (other, theirs) = network(), network()
    written = WrittenAdam(mine)
    for turn in range(5):
        gradients = [torch.randn_like(p) for p in one.parameters()]
        if missing:
            gradients[turn % 2] = None
        for parameter, gradient in zip(other.parameters(), gradients):
            parameter.grad = gradient
        theirs.step()
        written.step(gradients)
    assert all(torch.equal(p, q) for p, q in zip(one.parameters(), other.parameters()))
    for p, q in zip(one.parameters(), other.parameters()):
        for name, value in theirs.state[q].items():
            assert torch.equal(mine.state[p][name], value), name
