"""The laws of metric spaces, smooth ones among them."""

from __future__ import annotations

import functools
from collections.abc import Iterable
from typing import final

import torch
from torch import Tensor, nn

from wgankit.errors import SettingError
from wgankit.space import (
    Critic,
    MetricSpace,
    Points,
    SmoothSpace,
    batch_size,
    leaves,
    on_leaves,
    pairwise,
    pick,
)
from wgankit.testing.laws import (
    distance_to,
    everywhere,
    fail,
    finite,
    fractions,
    grid,
    hold,
    seeded,
    some,
)


def check_metric_space(
    space: MetricSpace, points: Points, *, tolerance: float = 1e-4, seed: int = 0, limit: int = 16
) -> None:
    """Check the axioms of a metric, `segment` and `slope`.

    Arguments:
        space: the space.
        points: at least 3 distinct points, a batch.
        tolerance: allowed error, relative to the largest distance between the points.
        seed: seed of all random draws.
        limit: how many of the points are used; all their triples are compared.

    Raises:
        AssertionError: the distance of a batch is not `(B,)`, finite, non-negative, 0 from a point
            to itself, symmetric, within the triangle inequality, and independent of the other pairs
            of the batch; a segment is a single point or not on a shortest path; the slope of
            d(., x0) exceeds 1, or that of 3 d(., x0) never reaches 3; a slope is not finite.
    """
    with seeded(seed):
        points = some(points, limit)
        table = distances_of(space, points)
        scale = float(table.max())
        if not scale > 0:
            raise SettingError("all points are at distance 0 from each other; give distinct points")
        _check_axioms(table, tolerance * scale)
        _check_batches(space, points, table, tolerance * scale)
        _check_segments(space, points, table, tolerance * scale)
        _check_slopes(space, points, table, tolerance)


def distances_of(space: MetricSpace, points: Points) -> Tensor:
    """Return the table of distances `(n, n)`, whose shape and finiteness are the first laws."""
    count = batch_size(points)
    with torch.no_grad():
        own = space.distance(points, points)
        if not isinstance(own, Tensor) or own.shape != (count,) or not own.is_floating_point():
            given = (tuple(own.shape), own.dtype) if isinstance(own, Tensor) else type(own)
            fail("one number for each pair", f"distance of {count} pairs returns {given}")
        table = pairwise(space, points, points)
    hold("distances are finite numbers", (~table.isfinite()).float(), 0.0)
    return table


def _check_axioms(table: Tensor, allowed: float) -> None:
    hold("non-negativity, d(x, y) >= 0", -table, 0.0)
    hold("identity, d(x, x) = 0", table.diagonal(), allowed)
    hold("symmetry, d(x, y) = d(y, x)", (table - table.T).abs(), allowed)
    detours = table[:, :, None] + table[None, :, :]
    hold(
        "triangle inequality, d(x, z) <= d(x, y) + d(y, z)",
        table[:, None, :] - detours,
        allowed,
        at="points (x, y, z) =",
    )


@torch.no_grad()
def _check_batches(space: MetricSpace, points: Points, table: Tensor, allowed: float) -> None:
    few = min(6, len(table))
    one = [pick(points, slice(i, i + 1)) for i in range(few)]
    alone = torch.stack([space.distance(a, b).squeeze() for a in one for b in one])
    law = "a pair's distance does not depend on the other pairs of the batch"
    hold(law, (alone.view(few, few) - table[:few, :few]).abs(), allowed)


@torch.no_grad()
def _check_segments(space: MetricSpace, points: Points, table: Tensor, allowed: float) -> None:
    x, y = grid(points)
    apart = table > allowed
    for t in fractions(x):
        u, v = space.segment(x, y, t)
        for end in (u, v):
            _check_form("segment", end, x)
        step = space.distance(u, v)
        path = space.distance(x, u) + step + space.distance(v, y)
        off = (path.view_as(table) - table).abs() * apart
        hold("segments lie on a shortest path, d(x,u) + d(u,v) + d(v,y) = d(x,y)", off, allowed)
        point = (step.view_as(table) <= 0) & apart
        hold("a segment between different points has a length, d(u, v) > 0", point.float(), 0.0)


def _check_form(what: str, given: Points, like: Points) -> None:
    shapes = [[tuple(part.shape) for part in leaves(batch)] for batch in (given, like)]
    if shapes[0] != shapes[1]:
        fail(f"{what} returns points of the space", f"shapes {shapes[0]} instead of {shapes[1]}")


def _check_slopes(space: MetricSpace, points: Points, table: Tensor, tolerance: float) -> None:
    x, y = grid(points)
    for place in range(min(4, len(table))):
        anchor = pick(points, slice(place, place + 1))
        steepest = 0.0
        for t in fractions(x):
            slopes = slopes_of(space, distance_to(space, anchor), x, y, t)
            over = slopes.view_as(table) - 1
            hold(f"the slope of d(., x{place}) is at most 1", over, tolerance)
            towards = everywhere(anchor, points)
            scaled = distance_to(space, anchor, 3.0)
            slopes = slopes_of(space, scaled, points, towards, t[: len(table)])
            steepest = max(steepest, float(slopes.max()))
        if steepest < 3 - 3 * tolerance:
            fail(f"the slope of 3 d(., x{place}) reaches 3", f"the largest is {steepest:.6g}")


def slopes_of(space: MetricSpace, critic: Critic, x: Points, y: Points, t: Tensor) -> Tensor:
    """Return slopes `(B,)`, whose shape and finiteness are laws."""
    slopes = space.slope(critic, x, y, t).detach()
    if slopes.shape != (batch_size(x),):
        fail("one slope for each pair", f"slope of {batch_size(x)} pairs: {tuple(slopes.shape)}")
    hold("slopes are finite, also between equal points", (~slopes.isfinite()).float(), 0.0)
    return slopes


def check_smooth_space(
    space: SmoothSpace, points: Points, *, tolerance: float = 1e-4, seed: int = 0, limit: int = 16
) -> None:
    """Check `interpolate` and `dual_norm` of a smooth space, besides `check_metric_space`.

    Arguments:
        space: the space.
        points: at least 3 distinct points, a batch of floating-point tensors.
        tolerance: allowed error, relative to the largest distance or norm.
        seed: seed of all random draws.
        limit: how many of the points are used.

    Raises:
        AssertionError: `interpolate` is not at fraction t of a geodesic; the dual norm is not a
            norm, or a smooth function is steeper along a geodesic than the dual norm of its
            gradient; a gradient is NaN or infinite where points coincide or gradients vanish.
    """
    if not isinstance(space, SmoothSpace):
        fail("a smooth space is a SmoothSpace", f"{type(space).__name__} is not")
    with seeded(seed):
        points = some(points, limit)
        scale = float(distances_of(space, points).max())
        _check_geodesics(space, points, tolerance * scale)
        _check_dual_norm(space, points, tolerance)
        for _ in range(4):
            _check_steepness(space, points, _wave(points))
        _check_no_nan(space, points)


@torch.no_grad()
def _check_geodesics(space: SmoothSpace, points: Points, allowed: float) -> None:
    x, y = grid(points)
    count = batch_size(points)
    length = space.distance(x, y)
    for t in fractions(x):
        z = space.interpolate(x, y, t)
        _check_form("interpolate", z, x)
        start = (space.distance(x, z) - t * length).abs().view(count, count)
        hold("interpolate is a geodesic, d(x, z_t) = t d(x, y)", start, allowed)
        end = (space.distance(z, y) - (1 - t) * length).abs().view(count, count)
        hold("interpolate is a geodesic, d(z_t, y) = (1 - t) d(x, y)", end, allowed)


@final
class _Wave(nn.Module):
    """A random smooth function: a sum of sines of linear functions of the floating leaves."""

    def __init__(self, weights: Iterable[Tensor]) -> None:
        super().__init__()
        self.weights = nn.ParameterList(weights)

    def forward(self, points: Points) -> Tensor:
        parts = [part for part in leaves(points) if part.is_floating_point()]
        terms = [(part.flatten(1) @ w).sin() for part, w in zip(parts, self.weights, strict=True)]
        return torch.stack(terms).sum(0)


def _wave(points: Points) -> _Wave:
    """Return a random smooth function whose arguments vary by about 1 over the points."""
    weights = []
    for part in leaves(points):
        if part.is_floating_point():
            flat = part.detach().flatten(1)
            w = torch.randn_like(flat[0])
            weights.append(w / (flat @ w).std().clamp_min(torch.finfo(flat.dtype).eps))
    return _Wave(weights)


def _gradient(critic: Critic, points: Points) -> Points:
    inputs = on_leaves(lambda part: part.detach().requires_grad_(), points)
    parts = leaves(inputs)
    total = critic(inputs).sum()
    given = iter(torch.autograd.grad(total, parts, allow_unused=True, materialize_grads=True))
    return on_leaves(lambda _: next(given), inputs)


def _check_dual_norm(space: SmoothSpace, points: Points, tolerance: float) -> None:
    first, second = (_gradient(_wave(points), points) for _ in range(2))
    norm = functools.partial(space.dual_norm, points)
    one, two = norm(first), norm(second)
    if one.shape != (batch_size(points),):
        fail("one dual norm for each point", f"shape {tuple(one.shape)}")
    allowed = tolerance * float(torch.maximum(one, two).max())
    for factor in (0.0, 0.5, -2.0, 1000.0):
        scaled = norm(on_leaves(lambda part, factor=factor: factor * part, first))
        off = (scaled - abs(factor) * one).abs() / max(abs(factor), 1.0)
        hold(f"the dual norm is homogeneous, |c g| = |c| |g| for c = {factor}", off, allowed)
    added = norm(on_leaves(torch.add, first, second))
    hold("the dual norm is a norm, |g + h| <= |g| + |h|", added - one - two, allowed)


def _check_steepness(space: SmoothSpace, points: Points, wave: _Wave) -> None:
    """Compare with the mean value theorem on short pieces of geodesics."""
    x, y = grid(points)
    count, piece = batch_size(points), 0.05
    start = torch.rand(count * count, device=leaves(x)[0].device) * (1 - piece)
    with torch.no_grad():
        u, v = space.interpolate(x, y, start), space.interpolate(x, y, start + piece)
        length = space.distance(u, v)
        # Between points that only rounding keeps apart a slope means nothing.
        apart = length > 1e-3 * length.max()
        rise = (wave(u) - wave(v)).abs() / torch.where(apart, length, torch.ones_like(length))
    along = (space.interpolate(x, y, start + piece * part / 4) for part in range(5))
    bounds = [space.dual_norm(z, _gradient(wave, z)).detach() for z in along]
    bound = torch.stack(bounds).amax(0)
    # Five points of the piece stand for all of it; 2 % covers what lies between them.
    over = ((rise - bound) * apart).view(count, count)
    law = "the dual norm bounds slopes, |f(u) - f(v)| <= d(u, v) max |df|"
    hold(law, over, 0.02 * float(bound.max()))


def _check_no_nan(space: SmoothSpace, points: Points) -> None:
    still = on_leaves(torch.Tensor.detach, points)
    moving = _gradient(lambda batch: space.distance(batch, still), points)
    finite("the gradient of d(x, y) is finite at x = y", moving)
    zero = on_leaves(torch.zeros_like, still)
    flat = _gradient(lambda gradient: space.dual_norm(still, gradient), zero)
    finite("the gradient of the dual norm is finite where the critic is flat", flat)
    wave = _wave(points)
    t = torch.rand(batch_size(points), device=leaves(points)[0].device)
    slopes = space.slope(wave, still, still, t)
    second = torch.autograd.grad(
        slopes.square().sum(), list(wave.parameters()), allow_unused=True, materialize_grads=True
    )
    for gradient in second:
        finite("the penalty's gradient is finite at x = y", gradient[None])
