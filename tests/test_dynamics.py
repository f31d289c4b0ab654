import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import wgankit
from wgankit.dynamics import (
    PointGame,
    critical_weight,
    derivative,
    eigenvalues,
    jacobian,
    one_step_map,
    phase_portrait,
    sign_changes,
    simulate,
    squared_norm,
    two_sided_amplitude,
)
from wgankit.errors import SettingError
from wgankit.penalty import Shape

SHAPES = [wgankit.zero_centred, wgankit.two_sided, wgankit.one_sided, squared_norm]
bounded = settings(deadline=None, max_examples=40)
rates = st.floats(0.2, 5.0)
weights = st.floats(0.01, 3.0)
orders = st.sampled_from(["alternating", "simultaneous"])


def radius(path):
    return np.hypot(path[:, 0], path[:, 1])


def late(path, share=0.3):
    return path[-int(share * len(path)) :]


# The field is that of the library's own losses ------------------------------------------------


class Linear(torch.nn.Module):
    def __init__(self, psi):
        super().__init__()
        self.psi = torch.nn.Parameter(torch.tensor(psi, dtype=torch.float64))

    def forward(self, x):
        return self.psi * x[:, 0]


@pytest.mark.parametrize("shape", SHAPES)
@bounded
@given(theta=st.floats(-3, 3), psi=st.floats(-3, 3), weight=weights, target=rates)
def test_field_is_the_gradient_of_the_librarys_losses(shape, theta, psi, weight, target):
    critic = Linear(psi)
    real = torch.zeros(1, 1, dtype=torch.float64)
    fake = torch.tensor([[theta]], dtype=torch.float64, requires_grad=True)
    penalty = wgankit.Penalty(shape=shape)
    # A slope wanted to be g in numbers is one wanted to be 1 where a number is g units of length.
    punished = penalty.value(wgankit.Normed(scale=target), critic, real, fake.detach())
    gap = (critic(real) - critic(fake)).sum()
    of_critic = weight * target**2 * punished - gap
    (by_psi,) = torch.autograd.grad(of_critic, critic.psi, retain_graph=True)
    (by_theta,) = torch.autograd.grad(gap, fake)
    speeds = PointGame(weight, shape, target).field(theta, psi)
    assert speeds == pytest.approx((-float(by_theta), -float(by_psi)), rel=1e-9, abs=1e-9)


@pytest.mark.parametrize("shape", SHAPES)
@bounded
@given(slope=st.floats(0.01, 4))
def test_derivatives_of_the_shapes(shape, slope):
    at = torch.tensor(slope, dtype=torch.float64, requires_grad=True)
    (exact,) = torch.autograd.grad(shape(at), at)
    assert derivative(shape, slope) == pytest.approx(float(exact), abs=1e-12)
    assert derivative.dispatch(Shape)(shape, slope) == pytest.approx(float(exact), abs=1e-12)


@bounded
@given(theta=st.floats(-2, 2), psi=st.floats(0.01, 2), eg=rates, ec=rates)
def test_rates_multiply_the_speeds_and_no_weight_is_no_penalty(theta, psi, eg, ec):
    plain = PointGame(0.7, squared_norm).field(theta, psi)
    quick = PointGame(0.7, squared_norm, 1.0, eg, ec).field(theta, psi)
    assert quick == pytest.approx((eg * plain[0], ec * plain[1]))
    assert PointGame(0.0, wgankit.two_sided).field(theta, psi) == (psi, -theta)


# Linear theory --------------------------------------------------------------------------------


@bounded
@given(weight=weights, scale=rates, eg=rates, ec=rates)
def test_jacobian_of_the_quadratic_game(weight, scale, eg, ec):
    real = scale * torch.tensor([[-1.0], [1.0]], dtype=torch.float64)  # variance scale^2
    noise = real / scale

    def speeds(players):
        sigma, phi = players

        def critic(x):
            return phi * x[:, 0].square() / 2

        def gradient(points):
            x = points.detach().requires_grad_()
            (found,) = torch.autograd.grad(critic(x).sum(), x, create_graph=True)
            return found

        slopes = wgankit.Normed().dual_norm(real, gradient(real))
        punished = wgankit.zero_centred(slopes).mean()
        gap = critic(real).mean() - critic(sigma * noise).mean()
        (by_sigma,) = torch.autograd.grad(gap, sigma, create_graph=True)
        (by_phi,) = torch.autograd.grad(gap - weight * punished, phi, create_graph=True)
        return torch.stack([-eg * by_sigma, ec * by_phi])

    # The dual norm has no second derivative at 0: just beside the equilibrium it has.
    phi = 1e-7
    sigma = torch.tensor(scale, dtype=torch.float64, requires_grad=True)
    psi = torch.tensor(phi, dtype=torch.float64, requires_grad=True)
    rows = [
        torch.autograd.grad(row, (sigma, psi), retain_graph=True) for row in speeds((sigma, psi))
    ]
    numeric = torch.stack([torch.stack(row) for row in rows]).numpy()
    exact = jacobian(weight, generator_rate=eg, critic_rate=ec, scale=scale)
    assert numeric == pytest.approx(exact, abs=1e-5)


@bounded
@given(weight=weights, scale=rates, eg=rates, ec=rates)
def test_eigenvalues_in_continuous_time(weight, scale, eg, ec):
    matrix = jacobian(weight, generator_rate=eg, critic_rate=ec, scale=scale)
    damping = weight * ec * scale**2
    root = complex(damping**2 - eg * ec * scale**2) ** 0.5
    assert eigenvalues(matrix) == pytest.approx((-damping + root, -damping - root))
    numeric = sorted(np.linalg.eigvals(matrix), key=lambda z: (-z.real, -z.imag))
    closed = sorted(eigenvalues(matrix), key=lambda z: (-z.real, -z.imag))
    assert closed == pytest.approx(numeric, abs=1e-6)


@bounded
@given(
    weight=weights,
    step=st.floats(1e-3, 0.4),
    n=st.integers(1, 7),
    order=orders,
    eg=rates,
    ec=rates,
)
def test_the_one_step_map_is_what_the_simulation_does(weight, step, n, order, eg, ec):
    game = PointGame(weight, generator_rate=eg, critic_rate=ec)
    moved = [
        simulate(game, start=start, step=step, steps=1, n_critic=n, order=order)[1]
        for start in ((1.0, 0.0), (0.0, 1.0))
    ]
    numeric = np.array(moved).T
    exact = one_step_map(
        weight, step=step, n_critic=n, order=order, generator_rate=eg, critic_rate=ec
    )
    assert exact == pytest.approx(numeric, rel=1e-9, abs=1e-9)
    trace = sum(np.linalg.eigvals(numeric))
    assert sum(eigenvalues(exact)) == pytest.approx(trace, rel=1e-9, abs=1e-9)


@bounded
@given(
    step=st.floats(1e-3, 0.2),
    n=st.integers(1, 7),
    order=orders,
    eg=st.floats(0.3, 2),
    ec=st.floats(0.3, 2),
    scale=st.floats(0.5, 1.2),
)
def test_the_critical_weight_parts_spirals_from_nodes(step, n, order, eg, ec, scale):
    given_ = {"n_critic": n, "order": order, "step": step}
    given_ |= {"generator_rate": eg, "critic_rate": ec, "scale": scale}
    if step * scale * math.sqrt(eg * ec) > 0.45:
        return
    weight = critical_weight(**given_)
    first, second = np.linalg.eigvals(one_step_map(weight, **given_))
    assert abs(first - second) < 1e-5
    below, above = (
        np.linalg.eigvals(one_step_map(factor * weight, **given_)) for factor in (0.999, 1.001)
    )
    assert np.abs(below.imag).max() > 0
    assert np.abs(above.imag).max() == 0


def test_critical_weights_in_closed_form():
    assert critical_weight() == 1
    assert critical_weight(generator_rate=1.0, critic_rate=4.0, scale=2.0) == 0.25
    assert [critical_weight(scale=s) for s in (0.5, 1, 2)] == [2, 1, 0.5]
    assert critical_weight(n_critic=5) == pytest.approx(1 / math.sqrt(5))
    assert critical_weight(step=0.2) == pytest.approx(0.9, abs=1e-14)
    assert critical_weight(step=0.2, n_critic=5) == pytest.approx(0.430821, abs=1e-6)
    assert critical_weight(step=0.01, n_critic=5) == pytest.approx(0.446223, abs=1e-6)
    assert critical_weight(step=1e-9, n_critic=5) == pytest.approx(1 / math.sqrt(5), abs=1e-8)
    for step in (1e-3, 0.1, 0.4):
        assert critical_weight(step=step) == pytest.approx(1 - step / 2, abs=1e-13)
        assert critical_weight(step=step, order="simultaneous") == pytest.approx(1, abs=1e-12)
        rated = critical_weight(step=step, generator_rate=0.5, critic_rate=2.0, scale=0.7)
        assert rated == pytest.approx(0.5 / 0.7 - step * 0.5 / 2, abs=1e-12)


@bounded
@given(step=st.floats(0.05, 1.0), weight=st.floats(0.0, 25.0), order=orders)
def test_steps_are_stable_in_an_interval_of_weights(step, weight, order):
    low, high = {
        "simultaneous": (step / 2, 1 / step + step / 4),
        "alternating": (0.0, 1 / step - step / 4),
    }[order]
    if min(abs(weight - low), abs(weight - high)) < 1e-3:
        return
    modulus = max(map(abs, eigenvalues(one_step_map(weight, step=step, order=order))))
    assert (modulus < 1) == (low < weight < high)


# Paths ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("weight", "changes", "seen"),
    [(0.5, 11, 11), (0.9, 5, 3), (0.98, 2, 1), (1.0, 0, 0), (1.1, 0, 0), (2.0, 0, 0)],
)
def test_sign_changes_count_the_turns_of_the_spiral(weight, changes, seen):
    theta = simulate(PointGame(weight), step=0.01, steps=4_000)[:, 0]
    assert sign_changes(theta) == changes
    assert sign_changes(theta, least=1e-10) == seen
    turn = abs(np.angle(eigenvalues(one_step_map(weight, step=0.01))[0]))
    assert math.floor(4_000 * turn / math.pi) in (changes, changes - 1)


@pytest.mark.parametrize("weight", [0.05, 0.35, 0.7, 0.9])
@pytest.mark.parametrize(("order", "step"), [("alternating", 1e-3), ("continuous", 5e-3)])
def test_the_two_sided_penalty_never_arrives(weight, order, step):
    game = PointGame(weight, wgankit.two_sided)
    time = 120 if weight < 0.1 else 40
    path = simulate(game, start=(1.0, 0.3), step=step, steps=int(time / step), order=order)
    reached = np.abs(late(path)[:, 0]).max()
    assert reached == pytest.approx(two_sided_amplitude(weight), rel=1e-3)


def test_the_two_sided_limit_cycle_with_other_rates_and_target():
    game = PointGame(0.6, wgankit.two_sided, target=0.5, generator_rate=2.0, critic_rate=0.8)
    path = simulate(game, start=(0.2, 0.3), step=2e-3, steps=30_000, order="continuous")
    exact = two_sided_amplitude(0.6, target=0.5, generator_rate=2.0, critic_rate=0.8)
    assert np.abs(late(path)[:, 0]).max() == pytest.approx(exact, rel=1e-3)


def test_the_two_sided_penalty_sticks_beyond_the_critical_weight():
    game = PointGame(1.5, wgankit.two_sided)
    theta, psi = simulate(game, start=(1.0, 0.3), step=1e-3, steps=40_000)[-1]
    assert abs(theta) == pytest.approx(two_sided_amplitude(1.5), abs=1e-3) == 3.0
    assert psi == pytest.approx(0, abs=1e-3)


def test_the_two_sided_amplitude_is_continuous():
    assert two_sided_amplitude(1 - 1e-9) == pytest.approx(two_sided_amplitude(1.0))
    assert two_sided_amplitude(1e-8) == pytest.approx(two_sided_amplitude(0.0)) == 4 / math.pi


@pytest.mark.parametrize("start", [(0.3, 0.0), (0.0, 0.7), (0.6, -0.7)])
def test_the_one_sided_penalty_lets_small_circles_be(start):
    path = simulate(PointGame(2.0, wgankit.one_sided), start=start, order="continuous")
    assert radius(path) == pytest.approx(math.hypot(*start), abs=1e-6)
    period = simulate(
        PointGame(2.0, wgankit.one_sided),
        start=start,
        step=2 * math.pi / 1_000,
        steps=1_000,
        order="continuous",
    )
    assert period[-1] == pytest.approx(period[0], abs=1e-6)


@pytest.mark.parametrize("weight", [0.5, 2.0])
def test_the_one_sided_penalty_contracts_large_circles_to_the_target(weight):
    game = PointGame(weight, wgankit.one_sided)
    path = simulate(game, start=(2.0, 0.0), step=0.02, steps=20_000, order="continuous")
    assert radius(path)[-1] == pytest.approx(1.0, abs=1e-3)
    assert (np.diff(radius(path)) < 1e-8).all()


def test_the_squared_norm_repels_the_critic_and_cycles():
    slow = PointGame(0.01, squared_norm)
    path = simulate(slow, start=(0.1, 0.0), step=0.02, steps=15_000, order="continuous")
    assert np.abs(late(path, 0.05)).max(0) == pytest.approx([2 / math.sqrt(3)] * 2, abs=1e-3)
    small = simulate(PointGame(0.5, squared_norm), start=(1e-6, 0.0), step=0.01, steps=1_500)
    assert radius(small)[-1] > 0.1


def test_no_penalty_is_a_circle_or_a_growing_spiral():
    free = PointGame(0.0)
    assert radius(simulate(free, order="continuous")) == pytest.approx(1, abs=1e-6)
    growing = simulate(free, step=0.1, steps=100, order="simultaneous")
    assert radius(growing)[-1] == pytest.approx(1.01**50)


def test_continuous_critic_steps_multiply_the_critics_rate():
    many = simulate(PointGame(0.3), n_critic=4, steps=50, order="continuous")
    fast = simulate(PointGame(0.3, critic_rate=4.0), steps=50, order="continuous")
    assert many == pytest.approx(fast)


def test_sign_changes_skip_what_is_too_small():
    assert sign_changes([1, -1, 1, 1, -1]) == 3
    assert sign_changes([1, -0.1, 1, 0, -1], least=0.2) == 1
    assert sign_changes([]) == 0


def test_the_phase_portrait_draws_paths_of_the_game():
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots()
    phase_portrait(axes, PointGame(2.0), starts=[(1.5, 0.0), (0.0, 1.0)], time=20.0)
    paths = [line.get_xydata() for line in axes.lines if len(line.get_xydata()) > 1]
    plt.close(figure)
    assert [tuple(path[0]) for path in paths] == [(1.5, 0.0), (0.0, 1.0)]
    assert all(np.hypot(*path[-1]) < 0.02 for path in paths)


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: PointGame(-1.0),
        lambda: PointGame(shape="two-sided"),
        lambda: PointGame(target=0.0),
        lambda: simulate(PointGame(), step=0.0),
        lambda: simulate(PointGame(), order="backwards"),
        lambda: simulate(PointGame(), steps=-1),
        lambda: simulate(PointGame(), n_critic=0),
        lambda: critical_weight(step=1.0),
        lambda: critical_weight(step=0.6, order="simultaneous"),
        lambda: one_step_map(1.0, step=0.1, order="continuous"),
        lambda: critical_weight(step=0.1, scale=-1.0),
    ],
)
def test_settings_without_meaning_are_refused(wrong):
    with pytest.raises(SettingError):
        wrong()
