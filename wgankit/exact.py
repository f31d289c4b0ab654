"""Exact transport: the ground truth that critics are checked against.

Python Optimal Transport (POT) does the work; it is imported on use.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast, final

import numpy as np
import torch
from torch import Tensor

from wgankit.errors import DataError, MissingPackageError
from wgankit.space import Critic, MetricSpace, Points, batch_size, join, pairwise, pick


@final
@dataclass(frozen=True)
class Transport:
    """An optimal transport between two finite laws.

    Arguments:
        w1: the Wasserstein-1 distance, in units of the space.
        real_potential: optimal critic values at the first points, `(n,)`.
        fake_potential: the same critic's values at the second points, `(m,)`.
    """

    w1: float
    real_potential: Tensor
    fake_potential: Tensor


def _masses(weights: Tensor | None, count: int, what: str) -> np.ndarray:
    if weights is None:
        return np.full(count, 1.0 / count)
    masses = weights.detach().double().cpu().numpy()
    if masses.shape != (count,) or not (masses >= 0).all() or not masses.sum() > 0:
        raise DataError(
            f"{what} needs {count} weights >= 0 that are not all 0, one for each point; "
            f"got shape {masses.shape}"
        )
    return cast(np.ndarray, masses / masses.sum())


@torch.no_grad()
def transport(
    space: MetricSpace,
    x: Points,
    y: Points,
    *,
    x_weights: Tensor | None = None,
    y_weights: Tensor | None = None,
) -> Transport:
    """Return the exact optimal transport between two finite laws in a space.

    Arguments:
        space: any metric space.
        x: n points.
        y: m points.
        x_weights: masses `(n,)` >= 0 of the first points, normalised; equal by default.
        y_weights: masses `(m,)` of the second points.

    Raises:
        DataError: if points are too far apart for any transport (infinite distances), or empty.

    The network simplex of POT on the n x m table of distances: under a second for n = m = 1000.
    """
    try:
        import ot
    except ImportError as error:
        raise MissingPackageError(
            "exact transport needs Python Optimal Transport: pip install POT"
        ) from error
    n, m = batch_size(x), batch_size(y)
    if not n or not m:
        raise DataError(f"exact transport needs at least one point on each side; got {n} and {m}")
    cost = pairwise(space, x, y).double().cpu().numpy()
    if not np.isfinite(cost).all():
        raise DataError(
            "some distances are infinite or NaN, so W1 is infinite or undefined; "
            "points in different components of a graph cannot be transported to each other"
        )
    a, b = _masses(x_weights, n, "x"), _masses(y_weights, m, "y")
    w1, log = ot.emd2(a, b, cost, log=True, numItermax=10_000_000)
    if log.get("warning"):
        raise DataError(f"exact transport did not finish: {log['warning']}")
    return Transport(float(w1), torch.as_tensor(log["u"]), -torch.as_tensor(log["v"]))


def w1(
    space: MetricSpace,
    x: Points,
    y: Points,
    *,
    x_weights: Tensor | None = None,
    y_weights: Tensor | None = None,
) -> float:
    """Return the exact Wasserstein-1 distance between two finite laws (see `transport`)."""
    return transport(space, x, y, x_weights=x_weights, y_weights=y_weights).w1


@torch.no_grad()
def certified(
    space: MetricSpace,
    critic: Critic,
    real: Points,
    fake: Points,
    *,
    real_weights: Tensor | None = None,
    fake_weights: Tensor | None = None,
) -> float:
    """Return a lower bound of W1 between two finite laws that a critic proves, whatever its slopes.

    Arguments:
        space: any metric space.
        critic: scores `(B,)` of a batch.
        real: n points.
        fake: m points.
        real_weights: masses `(n,)`; equal by default.
        fake_weights: masses `(m,)`.

    The critic is replaced by 1-Lipschitz functions close to it: min_v f(v) + d(., v) is the largest
    below f, max_v f(v) - d(., v) the smallest above it, with v over all points or over those of
    one law (the c-transform).  The gap of each is a lower bound, and the best is returned.  The
    table of distances is (n + m)^2.
    """
    n = batch_size(real)
    both = join(real, fake)
    scores = critic(both).double().cpu()
    table = pairwise(space, both, both).double().cpu()
    a = torch.as_tensor(_masses(real_weights, n, "real"))
    b = torch.as_tensor(_masses(fake_weights, batch_size(fake), "fake"))
    bounds = []
    for among in (slice(None), slice(0, n), slice(n, None)):
        away = table[:, among]
        for values in (
            (scores[among] + away).min(1).values,
            (scores[among] - away).max(1).values,
        ):
            bounds.append(float(values[:n] @ a - values[n:] @ b))
    return max(bounds)


def floor(space: MetricSpace, x: Points, size: int | None = None) -> float:
    """Return W1 between two disjoint parts of one sample: what sampling alone costs.

    Arguments:
        space: any metric space.
        x: points of one law in random order, at least 2 * size.
        size: points on each side; half of the batch by default.

    No generator can be expected to come below it at that size, so it stands beside every W1 of
    samples.
    """
    size = size or batch_size(x) // 2
    if size < 1 or batch_size(x) < 2 * size:
        raise DataError(
            f"a sampling floor at {size} points needs {2 * max(size, 1)} points; "
            f"got {batch_size(x)}"
        )
    return w1(space, pick(x, slice(0, size)), pick(x, slice(size, 2 * size)))
