"""The smallest Wasserstein game: one point against a linear critic, solved in closed form.

The data are the point 0, the generator is the point theta, the critic is f(x) = psi x and its slope
is |psi|.  With rates e_g, e_c and a penalty of weight lambda on the slope the players follow

    theta' = e_g psi,    psi' = -e_c (theta + lambda d/dpsi shape(|psi|)).

What penalties do to training can be read from it: a spiral or a node, cycles that never end, a
point that gets stuck.  Sources: Nagarajan and Kolter (2017), Mescheder et al. (2018).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import singledispatch
from typing import TYPE_CHECKING, Literal, TypeAlias, final

import numpy as np
import torch
from torch import Tensor

from wgankit.errors import SettingError
from wgankit.penalty import OneSided, Shape, TwoSided, ZeroCentred, zero_centred

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Order: TypeAlias = Literal["alternating", "simultaneous", "continuous"]
State: TypeAlias = tuple[float, float]
Matrix: TypeAlias = np.ndarray[tuple[int, int], np.dtype[np.float64]]

# Shapes ---------------------------------------------------------------------------------------


@final
class SquaredNorm(Shape):
    """(s^2 - 1)^2: the root of the gradient norm forgotten, a frequent slip.

    Here to be studied, not used: the critic 0 is then repelled from, and the game becomes
    Rayleigh's oscillator.
    """

    def __call__(self, slope: Tensor) -> Tensor:
        """Return (s^2 - 1)^2."""
        return (slope.square() - 1).square()

    def w1(self, gap: Tensor, penalty: Tensor, weight: Tensor, steepest: Tensor) -> Tensor:
        """Return D / (largest slope), a lower bound."""
        return gap / steepest.clamp_min(torch.finfo(steepest.dtype).tiny)

    def scaled(self, slope: Tensor) -> Tensor:
        """Return 4 s^2 (s^2 - 1)."""
        return 4 * slope.square() * (slope.square() - 1)


squared_norm = SquaredNorm()


@singledispatch
def derivative(shape: Shape, slope: float) -> float:
    """Return d shape / d slope at a slope > 0, from `Shape.scaled` unless registered."""
    return float(shape.scaled(torch.tensor(slope, dtype=torch.float64))) / slope


@derivative.register
def _(shape: OneSided, slope: float) -> float:
    return 2 * max(slope - 1, 0.0)


@derivative.register
def _(shape: TwoSided, slope: float) -> float:
    return 2 * (slope - 1)


@derivative.register
def _(shape: ZeroCentred, slope: float) -> float:
    return 2 * slope


@derivative.register
def _(shape: SquaredNorm, slope: float) -> float:
    return 4 * slope * (slope * slope - 1)


# The game -------------------------------------------------------------------------------------


@final
@dataclass(frozen=True)
class PointGame:
    """A point theta (the data are at 0) against the critic f(x) = psi x.

    Arguments:
        weight: lambda >= 0, in units of distance; 0 is no penalty.
        shape: how the slope |psi| is punished.
        target: the slope g > 0 at which `shape` has its 1: the penalty is
            lambda g^2 shape(|psi| / g), so lambda (|psi| - g)^2 for the two-sided shape.
        generator_rate: e_g > 0.
        critic_rate: e_c > 0.
    """

    weight: float = 1.0
    shape: Shape = zero_centred
    target: float = 1.0
    generator_rate: float = 1.0
    critic_rate: float = 1.0

    def __post_init__(self) -> None:
        _check(self.weight, self.generator_rate, self.critic_rate, target=self.target)
        if not isinstance(self.shape, Shape):
            raise SettingError(
                f"shape is one of wgankit.one_sided, two_sided, zero_centred or your own "
                f"wgankit.penalty.Shape, and was given {self.shape!r}"
            )

    def generator_speed(self, theta: float, psi: float) -> float:
        """Return theta' = e_g psi."""
        return self.generator_rate * psi

    def critic_speed(self, theta: float, psi: float) -> float:
        """Return psi' = -e_c (theta + lambda g shape'(|psi| / g) sign psi).

        At psi = 0, where a two-sided penalty has a kink, the penalty's share is 0, the mean of
        both sides (and what automatic differentiation returns).
        """
        punished = 0.0
        if self.weight and psi:
            size = self.target * derivative(self.shape, abs(psi) / self.target)
            punished = self.weight * (size if psi > 0 else -size)
        return -self.critic_rate * (theta + punished)

    def field(self, theta: float, psi: float) -> State:
        """Return (theta', psi')."""
        return self.generator_speed(theta, psi), self.critic_speed(theta, psi)


def _check(weight: float, generator_rate: float, critic_rate: float, **positive: float) -> None:
    if not (weight >= 0 and math.isfinite(weight)):
        raise SettingError(f"a penalty's weight is a number >= 0, and was given {weight}")
    positive |= {"generator_rate": generator_rate, "critic_rate": critic_rate}
    for name, value in positive.items():
        if not (value > 0 and math.isfinite(value)):
            raise SettingError(f"{name} is a number > 0, such as 1.0; got {value}")


# The linear theory: zero-centred penalties -----------------------------------------------------


def jacobian(
    weight: float,
    *,
    generator_rate: float = 1.0,
    critic_rate: float = 1.0,
    scale: float = 1.0,
) -> Matrix:
    """Return the Jacobian `(2, 2)` of (theta', psi') at the equilibrium, zero-centred penalty.

    Arguments:
        weight: lambda >= 0.
        generator_rate: e_g > 0.
        critic_rate: e_c > 0.
        scale: s > 0, for the game one degree up: data s z with z of variance 1, generator sigma z,
            critic psi x^2 / 2, penalty at the data; s = 1 is also the linear game.

    It is [[0, e_g s], [-e_c s, -2 lambda e_c s^2]], with the eigenvalues
    -lambda e_c s^2 +- sqrt(lambda^2 e_c^2 s^4 - e_g e_c s^2).
    """
    _check(weight, generator_rate, critic_rate, scale=scale)
    damping = 2 * weight * critic_rate * scale**2
    return np.array([[0.0, generator_rate * scale], [-critic_rate * scale, -damping]])


def one_step_map(
    weight: float,
    *,
    step: float,
    n_critic: int = 1,
    order: Order = "alternating",
    generator_rate: float = 1.0,
    critic_rate: float = 1.0,
    scale: float = 1.0,
) -> Matrix:
    """Return the matrix `(2, 2)` that one training step applies to (theta, psi), zero-centred.

    Arguments:
        weight: lambda >= 0.
        step: h > 0, which multiplies both rates.
        n_critic: critic updates before each generator update.
        order: "alternating" (the generator answers the new critic) or "simultaneous" (the old).
        generator_rate: e_g > 0.
        critic_rate: e_c > 0.
        scale: see `jacobian`.

    After n critic updates psi is q^n psi - s theta h e_c (1 + q + ... + q^(n-1)) with
    q = 1 - 2 lambda h e_c s^2.  For n = 1 and rates of 1 the map is stable for
    0 < lambda < 1/h - h/4 (alternating) or h/2 < lambda < 1/h + h/4 (simultaneous).
    """
    _check_step(step, n_critic, order, "simultaneous")
    field = jacobian(weight, generator_rate=generator_rate, critic_rate=critic_rate, scale=scale)
    keep = 1 + step * field[1, 1]
    pull = step * field[1, 0] * sum(keep**turn for turn in range(n_critic))
    critic = np.array([[1.0, 0.0], [pull, keep**n_critic]])
    generator = np.array([[1.0, step * field[0, 1]], [0.0, 1.0]])
    after: Matrix = generator @ critic
    return after if order == "alternating" else np.array([generator[0], critic[1]])


def eigenvalues(matrix: Matrix) -> tuple[complex, complex]:
    """Return m +- sqrt(m^2 - det) with m = trace / 2, the larger real part first.

    Of a Jacobian: real is a node, complex a spiral, stable where the real parts are negative.  Of
    a one-step map: stable where the moduli are below 1.
    """
    (a, b), (c, d) = matrix.tolist()
    middle = (a + d) / 2
    root = complex(((a - d) / 2) ** 2 + b * c) ** 0.5
    return middle + root, middle - root


def critical_weight(
    *,
    step: float = 0.0,
    n_critic: int = 1,
    order: Order = "alternating",
    generator_rate: float = 1.0,
    critic_rate: float = 1.0,
    scale: float = 1.0,
) -> float:
    """Return the zero-centred penalty's weight at which the spiral becomes a node.

    Arguments:
        step: h >= 0; 0 is continuous time.
        n_critic: critic updates before each generator update.
        order: "alternating" or "simultaneous"; in continuous time there is no difference.
        generator_rate: e_g > 0.
        critic_rate: e_c > 0.
        scale: see `jacobian`.

    Continuous: sqrt(e_g / (n e_c)) / s.  Alternating: the root of (1 - r) / (1 + r) =
    h e_g / (2 lambda), r = (1 - 2 lambda h e_c s^2)^(n/2); for n = 1 that is
    sqrt(e_g / e_c) / s - h e_g / 2.  Simultaneous: the root of lambda (1 - r^2) = 2 h e_g; for
    n = 1 it does not depend on h.  Between the returned weight and 1 / (2 h e_c s^2) both
    eigenvalues of `one_step_map` are real and positive.

    Raises:
        SettingError: if no weight makes a node at this step, because
            h s sqrt(e_g e_c) >= 1 (alternating) or 1/2 (simultaneous).
    """
    _check(0.0, generator_rate, critic_rate, scale=scale)
    limit = math.sqrt(generator_rate / (n_critic * critic_rate)) / scale
    if step == 0:
        return limit
    _check_step(step, n_critic, order, "simultaneous")
    largest = 1.0 if order == "alternating" else 0.5
    if step * scale * math.sqrt(generator_rate * critic_rate) >= largest:
        raise SettingError(
            f"steps of {step} are too long for a node with any weight; "
            f"give step * scale * sqrt(generator_rate * critic_rate) < {largest}"
        )
    shrink = 2 * step * critic_rate * scale**2

    def excess(weight: float) -> float:
        rate = -n_critic * math.log1p(-shrink * weight)  # r^2 = exp(-rate)
        if order == "alternating":
            return weight * math.tanh(rate / 4) - step * generator_rate / 2
        return -weight * math.expm1(-rate) - 2 * step * generator_rate

    return _root(excess, 0.0, (1 - 1e-16) / shrink)


def _root(increasing: Callable[[float], float], low: float, high: float) -> float:
    """Return the root of an increasing function by halving, to the last digit."""
    while low < (middle := (low + high) / 2) < high:
        low, high = (middle, high) if increasing(middle) < 0 else (low, middle)
    return middle


def two_sided_amplitude(
    weight: float,
    *,
    target: float = 1.0,
    generator_rate: float = 1.0,
    critic_rate: float = 1.0,
) -> float:
    """Return the largest |theta| that a two-sided penalty leaves for ever, in continuous time.

    Arguments:
        weight: lambda >= 0.
        target: the wanted slope g > 0.
        generator_rate: e_g > 0.
        critic_rate: e_c > 0.

    With k = lambda sqrt(e_c / e_g): a limit cycle of amplitude
    2 lambda g coth(pi k / (2 sqrt(1 - k^2))) for k < 1, which tends to 4 g sqrt(e_g / e_c) / pi as
    lambda -> 0; for k >= 1 the point is stuck at |theta| = 2 lambda g, and the critic at 0.
    At lambda = 0 itself there are closed orbits of every size, and the limit is returned.
    """
    _check(weight, generator_rate, critic_rate, target=target)
    slowest = math.sqrt(generator_rate / critic_rate)
    ratio = weight / slowest
    if ratio >= 1:
        return 2 * weight * target
    if ratio < 1e-9:  # where the next term of the series is beyond the digits of a float
        return 4 * target * slowest / math.pi
    return 2 * weight * target / math.tanh(math.pi * ratio / (2 * math.sqrt(1 - ratio**2)))


# Simulation -----------------------------------------------------------------------------------


def simulate(
    game: PointGame,
    *,
    start: State = (1.0, 0.0),
    step: float = 0.01,
    steps: int = 4_000,
    n_critic: int = 1,
    order: Order = "alternating",
) -> Matrix:
    """Play the game and return all states (theta, psi), `(steps + 1, 2)`, the start included.

    Arguments:
        game: the players and the penalty.
        start: (theta, psi) at the beginning.
        step: h > 0, which multiplies both rates.
        steps: generator updates.
        n_critic: critic updates before each generator update; in continuous time it multiplies
            the critic's rate.
        order: "alternating" (the generator answers the new critic), "simultaneous" (the old one) or
            "continuous" (Runge-Kutta steps of order 4).
    """
    _check_step(step, n_critic, order, "simultaneous", "continuous")
    if steps < 0:
        raise SettingError(f"steps is a number >= 0; got {steps}")
    advance = _runge_kutta if order == "continuous" else _gradient_step
    states = [(float(start[0]), float(start[1]))]
    for _ in range(steps):
        states.append(advance(game, *states[-1], step, n_critic, order))
    return np.array(states)


def _gradient_step(
    game: PointGame, theta: float, psi: float, step: float, n_critic: int, order: Order
) -> State:
    answered = psi
    for _ in range(n_critic):
        psi += step * game.critic_speed(theta, psi)
    if order == "alternating":
        answered = psi
    return theta + step * game.generator_speed(theta, answered), psi


def _runge_kutta(
    game: PointGame, theta: float, psi: float, step: float, n_critic: int, order: Order
) -> State:
    def field(share: float, along: State) -> State:
        x, y = theta + share * step * along[0], psi + share * step * along[1]
        return game.generator_speed(x, y), n_critic * game.critic_speed(x, y)

    first = field(0.0, (0.0, 0.0))
    second = field(0.5, first)
    third = field(0.5, second)
    fourth = field(1.0, third)
    moves = [
        step * (a + 2 * b + 2 * c + d) / 6
        for a, b, c, d in zip(first, second, third, fourth, strict=True)
    ]
    return theta + moves[0], psi + moves[1]


def _check_step(step: float, n_critic: int, order: str, *more: str) -> None:
    if not (step > 0 and math.isfinite(step)):
        raise SettingError(f"step is a number > 0, such as 0.01; got {step}")
    if n_critic < 1:
        raise SettingError(f"n_critic is at least 1; got {n_critic}")
    if order not in (known := ("alternating", *more)):
        raise SettingError(f"order is one of {', '.join(known)}; got {order!r}")


def sign_changes(values: Sequence[float] | Matrix, *, least: float = 0.0) -> int:
    """Return how often a series changes its sign; entries of size `least` or less do not count."""
    series = np.asarray(values, dtype=float)
    signs = np.sign(series[np.abs(series) > least])
    return int((signs[1:] != signs[:-1]).sum())


def phase_portrait(
    axes: Axes,
    game: PointGame,
    *,
    starts: Sequence[State] = ((1.5, 0.0),),
    reach: float = 2.0,
    time: float = 30.0,
    step: float = 0.01,
) -> None:
    """Draw the flow of a game and some of its paths in continuous time.

    Arguments:
        axes: where to draw.
        game: the players and the penalty.
        starts: where the paths begin; each gets a dot.
        reach: both axes go from -reach to reach.
        time: how long the paths are.
        step: of their integration.
    """
    ticks = np.linspace(-reach, reach, 25)
    flow = np.array([[game.field(theta, psi) for theta in ticks] for psi in ticks])
    axes.streamplot(
        ticks, ticks, flow[..., 0], flow[..., 1], color="0.8", density=0.7, linewidth=0.7
    )
    for number, start in enumerate(starts):
        path = simulate(game, start=start, step=step, steps=int(time / step), order="continuous")
        axes.plot(path[:, 0], path[:, 1], color=f"C{number}", linewidth=1.3)
        axes.plot(*path[0], "o", color=f"C{number}", markersize=4)
    axes.plot(0, 0, "k+")
    axes.set(xlim=(-reach, reach), ylim=(-reach, reach), aspect="equal")
    axes.set(xlabel="generator theta", ylabel="critic psi")
