"""How penalties change training: one point against a linear critic, where all is closed form."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

import wgankit
from benchmarks.exactness.catalogue import Line, at_least, at_most, experiment, holds, near
from wgankit.dynamics import (
    Order,
    PointGame,
    critical_weight,
    eigenvalues,
    jacobian,
    one_step_map,
    sign_changes,
    simulate,
    squared_norm,
    two_sided_amplitude,
)


def _spirals(weight: float, step: float, n_critic: int, order: Order) -> bool:
    """Whether the map that the simulation itself applies has complex eigenvalues."""
    game = PointGame(weight)
    columns = [
        simulate(game, start=start, step=step, steps=1, n_critic=n_critic, order=order)[1]
        for start in ((1.0, 0.0), (0.0, 1.0))
    ]
    return bool(np.iscomplex(np.linalg.eigvals(np.array(columns).T)).any())


def _seen_critical_weight(step: float, n_critic: int, order: Order) -> float:
    low, high = 0.05, 1.2
    for _ in range(40):
        middle = (low + high) / 2
        low, high = (middle, high) if _spirals(middle, step, n_critic, order) else (low, middle)
    return middle


def _largest(series: np.ndarray, share: float) -> float:
    """Return the largest size in the last share of a series."""
    return float(np.abs(series[-int(share * len(series)) :]).max())


@experiment("8", "Spiral and node, n_critic law, limit cycles, Rayleigh's oscillator", quick=True)
def dynamics(quick: bool) -> Iterator[Line]:
    yield from _zero_centred()
    yield from _turns()
    yield from _two_sided()
    yield from _one_sided()
    yield from _squared_norm()


def _zero_centred() -> Iterator[Line]:
    cases: list[tuple[float, int, Order]] = [
        (0.2, 1, "alternating"),
        (0.2, 5, "alternating"),
        (0.01, 5, "alternating"),
        (0.2, 1, "simultaneous"),
    ]
    for step, n_critic, order in cases:
        exact = critical_weight(step=step, n_critic=n_critic, order=order)
        seen = _seen_critical_weight(step, n_critic, order)
        yield near(f"critical lambda, h={step}, n={n_critic}, {order}", exact, seen, absolute=1e-6)
    for scale in (0.5, 2.0):
        first, second = eigenvalues(jacobian(critical_weight(scale=scale), scale=scale))
        what = f"critical lambda of data of scale {scale}: eigenvalues apart"
        yield at_most(what, 1e-7, abs(first - second), exact=0.0)
    moduli = [
        max(map(abs, eigenvalues(one_step_map(weight, step=0.2, order="simultaneous"))))
        for weight in (0.099, 0.101)
    ]
    yield holds("simultaneous steps are stable only for lambda > h/2", moduli[0] > 1 > moduli[1])


def _turns() -> Iterator[Line]:
    found = [
        sign_changes(simulate(PointGame(weight))[:, 0], least=1e-10)
        for weight in (0.5, 0.9, 0.98, 1.0, 1.1, 2.0)
    ]
    said = ", ".join(map(str, found))
    # Past 1e-10 of the start: two more at .9 and one more at .98 are there, and nobody sees them.
    what = "sign changes of theta above 1e-10: 11, 3, 1, 0, 0, 0"
    yield holds(what, found == [11, 3, 1, 0, 0, 0], said)


def _two_sided() -> Iterator[Line]:
    for weight, time in ((0.05, 150), (0.35, 40), (0.7, 40), (0.9, 40), (1.5, 40)):
        game = PointGame(weight, wgankit.two_sided)
        path = simulate(game, start=(1.0, 0.3), step=1e-3, steps=1_000 * time)
        what = "stuck" if weight >= 1 else "limit cycle"
        reached = _largest(path[:, 0], 0.2)
        yield near(
            f"two-sided, lambda={weight}: {what} at |theta|",
            two_sided_amplitude(weight),
            reached,
            relative=1e-3,
        )


def _one_sided() -> Iterator[Line]:
    game = PointGame(1.0, wgankit.one_sided)
    inside = simulate(game, start=(0.8, 0.0), step=0.01, steps=6_000, order="continuous")
    drift = float(np.abs(np.hypot(*inside.T) - 0.8).max())
    yield at_most("one-sided, circle of radius .8: drift of its radius", 1e-6, drift, exact=0.0)
    outside = simulate(game, start=(2.0, 0.0), step=0.01, steps=20_000, order="continuous")
    radius = float(np.hypot(*outside[-1]))
    yield near("one-sided, from radius 2: final radius", 1.0, radius, absolute=1e-3)


def _squared_norm() -> Iterator[Line]:
    game = PointGame(0.01, squared_norm)
    path = simulate(game, start=(0.3, 0.0), step=0.02, steps=15_000, order="continuous")
    reached = _largest(path[:, 1], 0.05)
    yield near("(s^2 - 1)^2, lambda=.01: amplitude", 2 / math.sqrt(3), reached, absolute=1e-3)
    near_zero = simulate(game, start=(1e-3, 0.0), step=0.02, steps=15_000, order="continuous")
    grown = float(np.hypot(*near_zero[-1]))
    yield at_least("(s^2 - 1)^2: radius after a start at .001", 0.1, grown)
