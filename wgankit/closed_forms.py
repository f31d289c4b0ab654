"""Exact answers: W1 and optima of penalised critics where a formula exists.

The ground truth that needs no solver and no sampling.  All numbers are floats in units of distance.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias, final

import torch
from torch import Tensor

from wgankit.errors import SettingError

Cdf: TypeAlias = Callable[[Tensor], Tensor]
"""A distribution function of the line, such as `torch.distributions.Normal(0.0, 1.0).cdf`."""


def w1_gaussians(mean: float, std: float, other_mean: float, other_std: float) -> float:
    """Return W1 between the normal laws N(mean, std^2) and N(other_mean, other_std^2) of the line.

    Arguments:
        mean: of the first law.
        std: its standard deviation, >= 0 (0 is a single point).
        other_mean: of the second law.
        other_std: its standard deviation, >= 0.

    On the line W1 = int |difference of the quantile functions| (Villani, Topics in Optimal
    Transportation, 2003, remark 2.19); the difference is m + a Z with Z standard normal, so W1 is
    the mean of a folded normal law.
    """
    _check(std >= 0 and other_std >= 0, "standard deviations are >= 0", (std, other_std))
    m, a = mean - other_mean, abs(std - other_std)
    if a == 0:
        return abs(m)
    z = m / a
    return a * math.sqrt(2 / math.pi) * math.exp(-z * z / 2) + m * math.erf(z / math.sqrt(2))


def w1_intervals(low: float, high: float, other_low: float, other_high: float) -> float:
    """Return W1 between the uniform laws on [low, high] and on [other_low, other_high].

    The difference of the quantile functions is A + B u for u in [0, 1], and W1 is the integral of
    its absolute value.  The optimal critic is linear if and only if it keeps its sign.
    """
    _check(low <= high, "an interval has low <= high", (low, high))
    _check(other_low <= other_high, "an interval has low <= high", (other_low, other_high))
    start, end = low - other_low, high - other_high
    if start * end >= 0:
        return abs(start + end) / 2
    return (start * start + end * end) / (2 * abs(end - start))


def w1_translation(mean: Sequence[float], other_mean: Sequence[float]) -> float:
    """Return W1 between a law and its translate, such as Gaussians of equal covariance: |m - m'|.

    Arguments:
        mean: n numbers.
        other_mean: n numbers.

    At most, because every point moves by m - m'; at least, because x -> <x, m - m'> / |m - m'| is
    1-Lipschitz.
    """
    if len(mean) != len(other_mean):
        raise SettingError(f"means have one length; got {len(mean)} and {len(other_mean)} numbers")
    return math.dist(mean, other_mean)


def w1_isotropic(std: float, other_std: float, size: int) -> float:
    """Return W1 between N(0, std^2 I) and N(0, other_std^2 I) in `size` dimensions.

    |std - other_std| E|Z| with E|Z| = sqrt(2) Gamma((n + 1)/2) / Gamma(n/2), the mean of the chi
    law: moving each point along its ray is a transport, and x -> |x| proves that none is cheaper.
    """
    _check(std >= 0 and other_std >= 0, "standard deviations are >= 0", (std, other_std))
    _check(size >= 1, "the dimension is at least 1", size)
    grows = math.lgamma((size + 1) / 2) - math.lgamma(size / 2)
    return abs(std - other_std) * math.sqrt(2) * math.exp(grows)


@final
@dataclass(frozen=True)
class Optimum:
    """What a penalised critic reports at its optimum.

    Arguments:
        gap: D = E f(real) - E f(fake), in units of distance.
        penalty: R, the mean punishment, without the weight.
        weight: lambda, in units of distance.
    """

    gap: float
    penalty: float
    weight: float

    @property
    def value(self) -> float:
        """J = D - lambda R, which the critic maximises."""
        return self.gap - self.weight * self.penalty

    @property
    def w1(self) -> float:
        """D - 2 lambda R, which is W1 on the line and on trees if the penalty is one-sided."""
        return self.gap - 2 * self.weight * self.penalty


def penalised_points(distance: float, weight: float) -> Optimum:
    """Return the optimum between two points under the one-sided penalty: the congestion law.

    Arguments:
        distance: d >= 0 between the real and the generated point.
        weight: lambda > 0, in units of distance.

    D = d (1 + d / (2 lambda)) and R = (d / (2 lambda))^2, because the critic's slope is
    1 + d / (2 lambda); D - 2 lambda R = d for every lambda.  The two-sided penalty has the same
    optimum.  Source: the duality of Milne and Nachman, PMLR 178 (2022), for slopes taken between
    the points.
    """
    _check(distance >= 0, "a distance is >= 0", distance)
    _check(weight > 0, "lambda is > 0", weight)
    over = distance / (2 * weight)
    return Optimum(distance * (1 + over), over * over, weight)


def flattened_points(distance: float, weight: float) -> Optimum:
    """Return the optimum between two points under the zero-centred penalty.

    D = d^2 / (2 lambda) and R = (d / (2 lambda))^2: the slope d / (2 lambda) tends to 0 as lambda
    grows, and the gap has no unit of distance.
    """
    _check(distance >= 0, "a distance is >= 0", distance)
    _check(weight > 0, "lambda is > 0", weight)
    slope = distance / (2 * weight)
    return Optimum(slope * distance, slope * slope, weight)


def upper_w1(gap: float, weight: float) -> float:
    """Return lambda (sqrt(1 + 2 D / lambda) - 1), the largest W1 at which a critic's gap can be D.

    Arguments:
        gap: D of a critic at the optimum of the one-sided penalty with slopes taken between.
        weight: lambda > 0, in units of distance.

    At the optimum D >= W + W^2 / (2 lambda) in smooth spaces and on graphs, by Cauchy and Schwarz,
    with equality for two points; this is the inverse.  A critic that is not optimal can be smaller,
    and then this is no bound.  A gap <= 0 says nothing and is returned as it is.
    """
    _check(weight > 0, "lambda is > 0", weight)
    # 2 D / (1 + root) is the same number without the cancellation at small D.
    return gap if gap <= 0 else 2 * gap / (1 + math.sqrt(1 + 2 * gap / weight))


def penalised_line(flow: Tensor, density: Tensor, *, step: float, weight: float) -> Optimum:
    """Return the optimum between two laws of the line under the one-sided penalty.

    Arguments:
        flow: F, the difference of the two distribution functions, at the points of a grid `(N,)`.
        density: sigma, the density of the places where slopes are taken, at the same points.
        step: distance of neighbouring points.
        weight: lambda > 0, in units of distance.

    Raises:
        SettingError: if there is flow where no slope is looked at: the optimum is infinite there.

    The slope at x is 1 + |F| / (2 lambda sigma), so D = int |F| + I / (2 lambda) and
    R = I / (4 lambda^2) with I = int F^2 / sigma.
    """
    _check(weight > 0, "lambda is > 0", weight)
    _check(step > 0, "a grid has a step > 0", step)
    if flow.shape != density.shape or flow.dim() != 1:
        raise SettingError(
            "flow and density are tensors (N,) on one grid; got shapes "
            f"{tuple(flow.shape)} and {tuple(density.shape)}"
        )
    size, seen = flow.double().abs(), density.double()
    free = size * step > 1e-9 * size.sum() * step
    if bool((free & (seen <= 0)).any()):
        raise SettingError("the density is 0 where mass has to pass, so the gap has no bound")
    moved = float(size.sum()) * step
    squares = torch.where(seen > 0, size * size / torch.where(seen > 0, seen, 1.0), 0.0)
    congestion = float(squares.sum()) * step
    over = congestion / (4 * weight * weight)
    return Optimum(moved + congestion / (2 * weight), over, weight)


def between_density(grid: Tensor, real: Cdf, fake: Cdf) -> Tensor:
    """Return the density of t x + (1 - t) y on the line: where `wgankit.between` takes slopes.

    Arguments:
        grid: N equally spaced numbers over the supports of both laws; N up to a few thousand,
            because a table of N^2 is made.
        real: distribution function of x.
        fake: distribution function of y, independent of x; t is uniform on [0, 1].

    Returns:
        `(N,)` in double precision: the mean density of the cell around each number of the grid.
    """
    grid = grid.double()
    step = grid[1] - grid[0]
    edges = torch.cat([grid - step / 2, grid[-1:] + step / 2])
    p, q = real(edges).diff(), fake(edges).diff()
    # Given the cells of x and y the point is uniform between them: half of a share to each of the
    # two cells and a whole one to those between.
    places = torch.arange(len(grid), dtype=torch.float64)
    apart = (places[None, :] - places[:, None]).clamp_min(0)
    share = torch.where(apart > 0, torch.outer(p, q) + torch.outer(q, p), 0.0)
    share /= apart.clamp_min(1)
    begin, end = share.sum(1), share.sum(0)
    from_left = begin.cumsum(0) - end.cumsum(0) + (end - begin) / 2
    from_right = end.flip(0).cumsum(0).flip(0) - begin.flip(0).cumsum(0).flip(0) + (begin - end) / 2
    # Each side counts without cancellation in its own tail.
    passing = torch.where(from_left.cumsum(0) < from_right.sum() / 2, from_left, from_right)
    return (passing + p * q) / step


def jensen_shannon(first: Tensor, second: Tensor, *, step: float) -> float:
    """Return the Jensen-Shannon divergence of two densities, in nats, by quadrature.

    Arguments:
        first: density at the points of a grid `(N,)` that covers both laws.
        second: density at the same points.
        step: distance of neighbouring points.

    In [0, log 2]; log 2 for laws that do not overlap, however far apart (Arjovsky, Chintala,
    Bottou, 2017, example 1).
    """
    _check(step > 0, "a grid has a step > 0", step)
    p, q = first.double(), second.double()
    middle = (p + q) / 2
    inside = torch.xlogy(p, p) + torch.xlogy(q, q) - 2 * torch.xlogy(middle, middle)
    return float(inside.sum()) * step / 2


def logistic_gradients(distance: float, steepness: float) -> tuple[float, float]:
    """Return how fast a generated point is drawn to the real one by the best logistic classifier.

    Arguments:
        distance: b > 0 between the two points; the classifier is 1/2 half-way.
        steepness: k > 0 of its logistic function, which grows without end in training.

    Returns:
        The size of the gradient of log(1 - D), the game as written: k / (1 + e^{kb/2}), which tends
        to 0; and of -log D, as it is played: k / (1 + e^{-kb/2}), which tends to k.  A Wasserstein
        critic gives 1.  Source: Arjovsky and Bottou (2017), theorems 2.4 and 2.6.
    """
    _check(distance > 0 and steepness > 0, "distance and steepness are > 0", (distance, steepness))
    small = math.exp(-steepness * distance / 2)
    return steepness * small / (1 + small), steepness / (1 + small)


def _check(met: bool, wanted: str, given: object) -> None:
    if not met:
        raise SettingError(f"{wanted}; got {given}")
