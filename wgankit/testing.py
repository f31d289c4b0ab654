"""The laws that spaces, penalties, critics, generators and plugins keep, as functions to call.

Call them from the tests of your own package; they need no test framework:

    from wgankit.testing import check_metric_space

    def test_hamming_is_a_metric():
        check_metric_space(Hamming(), torch.randint(0, 4, (12, 6)))

Each raises `AssertionError` with the law that fails, the points where it fails most, and by how
much.  The points should be distinct points of the kind one trains on; up to `limit` of them are
used, so that all pairs and triples can be.  Random draws are seeded, and the state of the random
number generator is put back.
"""

from __future__ import annotations

import functools
import importlib
import importlib.metadata
import json
import subprocess
import sys
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import NoReturn, cast, final

import torch
from torch import Tensor, nn
from torch.func import functional_call

from wgankit.errors import SettingError, WgankitError
from wgankit.hooks import GROUP
from wgankit.latent import Latent
from wgankit.penalty import Penalty
from wgankit.plugins import PluginError, collect, import_factory
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
    safe_norm,
    straight,
)

HEAVY = ("torch", "numpy", "scipy", "pandas", "sklearn", "tensorflow", "jax", "rdkit", "networkx")
"""Packages that the module of a plugin does not import."""

# Saying what failed ---------------------------------------------------------------------------


def _fail(law: str, detail: str) -> NoReturn:
    raise AssertionError(f"law broken: {law}; {detail}")


def _hold(law: str, excess: Tensor, allowed: float, *, at: str = "points") -> None:
    """Fail at the worst entry of `excess` that is not `<= allowed`; NaN is worst of all."""
    bad = ~(excess <= allowed)
    if not bool(bad.any()):
        return
    ranked = torch.where(excess.isnan(), torch.full_like(excess, torch.inf), excess)
    place = torch.unravel_index(ranked.argmax(), excess.shape)
    index = tuple(int(coordinate) for coordinate in place)
    where = str(index[0]) if len(index) == 1 else str(index)
    _fail(
        law,
        f"worst at {at} {where}, by {float(excess[index]):.3g} where {allowed:.3g} is allowed "
        f"({int(bad.sum())} of {bad.numel()} fail)",
    )


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield


# Batches --------------------------------------------------------------------------------------


def _some(points: Points, limit: int, least: int = 3) -> Points:
    if batch_size(points) < least:
        raise SettingError(f"the laws need at least {least} points; got {batch_size(points)}")
    return pick(points, slice(0, limit))


def _grid(points: Points) -> tuple[Points, Points]:
    """Return all ordered pairs of points as two batches of n^2."""
    count = batch_size(points)
    index = torch.arange(count, device=leaves(points)[0].device)
    return pick(points, index.repeat_interleave(count)), pick(points, index.repeat(count))


def _fractions(x: Points) -> Iterator[Tensor]:
    """Yield fractions for a batch: both ends, then some inside."""
    first = leaves(x)[0]
    for end in (0.0, 1.0):
        yield torch.full((len(first),), end, device=first.device)
    for _ in range(3):
        yield torch.rand(len(first), device=first.device)


def _everywhere(point: Points, like: Points) -> Points:
    """Return one point as often as another batch has points."""
    index = torch.zeros(batch_size(like), dtype=torch.long, device=leaves(like)[0].device)
    return pick(point, index)


def _distance_to(space: MetricSpace, point: Points, factor: float = 1.0) -> Critic:
    """Return the critic factor * d(., point), whose Lipschitz constant is exactly the factor."""
    return lambda points: factor * space.distance(points, _everywhere(point, points))


# Metric spaces --------------------------------------------------------------------------------


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
    with _seeded(seed):
        points = _some(points, limit)
        table = _distances(space, points)
        scale = float(table.max())
        if not scale > 0:
            raise SettingError("all points are at distance 0 from each other; give distinct points")
        _check_axioms(table, tolerance * scale)
        _check_batches(space, points, table, tolerance * scale)
        _check_segments(space, points, table, tolerance * scale)
        _check_slopes(space, points, table, tolerance)


def _distances(space: MetricSpace, points: Points) -> Tensor:
    """Return the table of distances `(n, n)`, whose shape and finiteness are the first laws."""
    count = batch_size(points)
    with torch.no_grad():
        own = space.distance(points, points)
        if not isinstance(own, Tensor) or own.shape != (count,) or not own.is_floating_point():
            given = (tuple(own.shape), own.dtype) if isinstance(own, Tensor) else type(own)
            _fail("one number for each pair", f"distance of {count} pairs returns {given}")
        table = pairwise(space, points, points)
    _hold("distances are finite numbers", (~table.isfinite()).float(), 0.0)
    return table


def _check_axioms(table: Tensor, allowed: float) -> None:
    _hold("non-negativity, d(x, y) >= 0", -table, 0.0)
    _hold("identity, d(x, x) = 0", table.diagonal(), allowed)
    _hold("symmetry, d(x, y) = d(y, x)", (table - table.T).abs(), allowed)
    detours = table[:, :, None] + table[None, :, :]
    _hold(
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
    _hold(law, (alone.view(few, few) - table[:few, :few]).abs(), allowed)


@torch.no_grad()
def _check_segments(space: MetricSpace, points: Points, table: Tensor, allowed: float) -> None:
    x, y = _grid(points)
    apart = table > allowed
    for t in _fractions(x):
        u, v = space.segment(x, y, t)
        for end in (u, v):
            _check_form("segment", end, x)
        step = space.distance(u, v)
        path = space.distance(x, u) + step + space.distance(v, y)
        off = (path.view_as(table) - table).abs() * apart
        _hold("segments lie on a shortest path, d(x,u) + d(u,v) + d(v,y) = d(x,y)", off, allowed)
        point = (step.view_as(table) <= 0) & apart
        _hold("a segment between different points has a length, d(u, v) > 0", point.float(), 0.0)


def _check_form(what: str, given: Points, like: Points) -> None:
    shapes = [[tuple(part.shape) for part in leaves(batch)] for batch in (given, like)]
    if shapes[0] != shapes[1]:
        _fail(f"{what} returns points of the space", f"shapes {shapes[0]} instead of {shapes[1]}")


def _check_slopes(space: MetricSpace, points: Points, table: Tensor, tolerance: float) -> None:
    x, y = _grid(points)
    for place in range(min(4, len(table))):
        anchor = pick(points, slice(place, place + 1))
        steepest = 0.0
        for t in _fractions(x):
            slopes = _slopes(space, _distance_to(space, anchor), x, y, t)
            over = slopes.view_as(table) - 1
            _hold(f"the slope of d(., x{place}) is at most 1", over, tolerance)
            towards = _everywhere(anchor, points)
            scaled = _distance_to(space, anchor, 3.0)
            slopes = _slopes(space, scaled, points, towards, t[: len(table)])
            steepest = max(steepest, float(slopes.max()))
        if steepest < 3 - 3 * tolerance:
            _fail(f"the slope of 3 d(., x{place}) reaches 3", f"the largest is {steepest:.6g}")


def _slopes(space: MetricSpace, critic: Critic, x: Points, y: Points, t: Tensor) -> Tensor:
    slopes = space.slope(critic, x, y, t).detach()
    if slopes.shape != (batch_size(x),):
        _fail("one slope for each pair", f"slope of {batch_size(x)} pairs: {tuple(slopes.shape)}")
    _hold("slopes are finite, also between equal points", (~slopes.isfinite()).float(), 0.0)
    return slopes


# Smooth spaces --------------------------------------------------------------------------------


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
        _fail("a smooth space is a SmoothSpace", f"{type(space).__name__} is not")
    with _seeded(seed):
        points = _some(points, limit)
        scale = float(_distances(space, points).max())
        _check_geodesics(space, points, tolerance * scale)
        _check_dual_norm(space, points, tolerance)
        for _ in range(4):
            _check_steepness(space, points, _wave(points))
        _check_no_nan(space, points)


@torch.no_grad()
def _check_geodesics(space: SmoothSpace, points: Points, allowed: float) -> None:
    x, y = _grid(points)
    count = batch_size(points)
    length = space.distance(x, y)
    for t in _fractions(x):
        z = space.interpolate(x, y, t)
        _check_form("interpolate", z, x)
        start = (space.distance(x, z) - t * length).abs().view(count, count)
        _hold("interpolate is a geodesic, d(x, z_t) = t d(x, y)", start, allowed)
        end = (space.distance(z, y) - (1 - t) * length).abs().view(count, count)
        _hold("interpolate is a geodesic, d(z_t, y) = (1 - t) d(x, y)", end, allowed)


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
        _fail("one dual norm for each point", f"shape {tuple(one.shape)}")
    allowed = tolerance * float(torch.maximum(one, two).max())
    for factor in (0.0, 0.5, -2.0, 1000.0):
        scaled = norm(on_leaves(lambda part, factor=factor: factor * part, first))
        off = (scaled - abs(factor) * one).abs() / max(abs(factor), 1.0)
        _hold(f"the dual norm is homogeneous, |c g| = |c| |g| for c = {factor}", off, allowed)
    added = norm(on_leaves(torch.add, first, second))
    _hold("the dual norm is a norm, |g + h| <= |g| + |h|", added - one - two, allowed)


def _check_steepness(space: SmoothSpace, points: Points, wave: _Wave) -> None:
    """Compare with the mean value theorem on short pieces of geodesics."""
    x, y = _grid(points)
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
    _hold(law, over, 0.02 * float(bound.max()))


def _check_no_nan(space: SmoothSpace, points: Points) -> None:
    still = on_leaves(torch.Tensor.detach, points)
    moving = _gradient(lambda batch: space.distance(batch, still), points)
    _finite("the gradient of d(x, y) is finite at x = y", moving)
    zero = on_leaves(torch.zeros_like, still)
    flat = _gradient(lambda gradient: space.dual_norm(still, gradient), zero)
    _finite("the gradient of the dual norm is finite where the critic is flat", flat)
    wave = _wave(points)
    t = torch.rand(batch_size(points), device=leaves(points)[0].device)
    slopes = space.slope(wave, still, still, t)
    second = torch.autograd.grad(
        slopes.square().sum(), list(wave.parameters()), allow_unused=True, materialize_grads=True
    )
    for gradient in second:
        _finite("the penalty's gradient is finite at x = y", gradient[None])


def _finite(law: str, points: Points) -> None:
    for part in leaves(points):
        _hold(law, (~part.isfinite()).flatten(1).float().amax(1), 0.0, at="point")


# Penalties ------------------------------------------------------------------------------------


def check_penalty_laws(
    space: MetricSpace,
    points: Points,
    *,
    penalty: Penalty | None = None,
    tolerance: float = 1e-4,
    seed: int = 0,
    limit: int = 16,
) -> None:
    """Check a one-sided penalty in a space on functions whose Lipschitz constant is known.

    Arguments:
        space: the space.
        points: at least 3 distinct points, a batch.
        penalty: a penalty that leaves slopes below 1 free; `Penalty()` by default.
        tolerance: allowed error of a penalty.
        seed: seed of all random draws.
        limit: how many of the points are used.

    Raises:
        AssertionError: the penalty of d(., x0), which is 1-Lipschitz in every metric space, is not
            0; that of 3 d(., x0) is not positive; the penalty of a batch repeated is not that of
            the batch, for instance because a norm runs over the batch.
    """
    with _seeded(seed):
        points = _some(points, limit)
        for place in range(min(4, batch_size(points))):
            anchor = pick(points, slice(place, place + 1))
            _check_penalty(penalty or Penalty(), space, points, anchor, place, tolerance)


def _check_penalty(
    penalty: Penalty,
    space: MetricSpace,
    points: Points,
    anchor: Points,
    place: int,
    tolerance: float,
) -> None:
    free = functools.partial(_penalty, penalty, space, _distance_to(space, anchor))
    steep = functools.partial(_penalty, penalty, space, _distance_to(space, anchor, 3.0))
    index = torch.arange(1, batch_size(points), device=leaves(points)[0].device)
    others = pick(points, (index + place) % batch_size(points))
    # On every shortest path to x0 the slope of 3 d(., x0) is 3, whatever is drawn.
    towards = _everywhere(anchor, others)
    law = f"the penalty of d(., x{place}) is 0"
    _hold(law, free(points, on_leaves(lambda part: part.roll(1, 0), points)), tolerance, at="draw")
    punished = torch.cat([steep(others, towards) for _ in range(8)])
    law = f"the penalty of 3 d(., x{place}) is positive"
    _hold(law, tolerance - punished, 0.0, at="draw")
    # Where the neighbours probed are random the value is too, and may vary as much as it does.
    allowed = max(tolerance, 1e-4) * float(punished.mean()) + 5 * float(punished.std())
    for times in (2, 8):
        again = steep(_repeat(others, times), _repeat(towards, times))
        law = f"the penalty of a batch repeated {times} times is that of the batch"
        _hold(law, (again - punished.mean()).abs(), allowed, at="draw")


def _penalty(
    penalty: Penalty, space: MetricSpace, critic: Critic, real: Points, fake: Points
) -> Tensor:
    """Return the mean `(1,)` of a penalty and of that with real and fake exchanged.

    A penalty at the real points alone sees nothing where all of them are x0.
    """
    values = [penalty.value(space, critic, *pair) for pair in ((real, fake), (fake, real))]
    if values[0].dim() != 0:
        _fail("a penalty is one number", f"its shape is {tuple(values[0].shape)}")
    return torch.stack(values).detach().mean(0, keepdim=True)


def _repeat(points: Points, times: int) -> Points:
    return on_leaves(lambda part: part.repeat(times, *[1] * (part.dim() - 1)), points)


# Funnels --------------------------------------------------------------------------------------


def check_funnels(
    space: MetricSpace, points: Points, *, tolerance: float = 1e-4, seed: int = 0, limit: int = 24
) -> None:
    """Check a space against transport problems whose exact answer is a theorem (`Funnels`).

    Some of the points become anchors a_i, and the others move towards the nearest one, by
    u(x) = min_i d(x, a_i) + b_i.  If distances are a metric and moved points are on shortest paths,
    then W1 is how far they moved, and u is a best critic.

    Arguments:
        space: the space; one whose `interpolate` is no shortest path (`Pullback`) has no funnels.
        points: at least 6 distinct points, a batch.
        tolerance: allowed error, relative to the largest distance between the points.
        seed: seed of all random draws.
        limit: how many of the points are used.

    Raises:
        AssertionError: exact transport costs less or more than the way the points moved; the gap of
            u, or of the 1-Lipschitz extension (McShane) of the exact potential, is not W1; the
            slope of u is not 1 on a way that a point moved, or exceeds 1 anywhere.
    """
    from wgankit import exact
    from wgankit.funnels import Funnels

    with _seeded(seed):
        points = _some(points, limit, least=6)
        scale = float(_distances(space, points).max())
        count = max(2, batch_size(points) // 4)
        first = leaves(points)[0]
        offsets = torch.rand(count, device=first.device) * (0.1 * scale)
        funnels = Funnels(space, pick(points, slice(0, count)), offsets)
        others = pick(points, slice(count, None))
        shares = 0.25 + torch.rand(batch_size(others), device=first.device) / 2
        real, fake, moved = funnels.problem(others, shares)
        found = exact.transport(space, real, fake)
        extension = Funnels(space, fake, found.fake_potential.to(first.device))
        _reaches("W1 of points moved towards their anchors", found.w1, moved, scale, tolerance)
        for what, critic in (("u", funnels), ("the extended potential", extension)):
            gap = _gap(critic.potential, real, fake)
            _reaches(f"E {what}(real) - E {what}(moved)", gap, moved, scale, tolerance)
        _check_funnel_slopes(space, funnels.potential, real, fake, tolerance * scale, tolerance)


@torch.no_grad()
def _gap(critic: Critic, real: Points, fake: Points) -> float:
    return float(critic(real).double().mean() - critic(fake).double().mean())


def _reaches(what: str, found: float, moved: float, scale: float, tolerance: float) -> None:
    if not abs(found - moved) <= tolerance * scale:
        _fail(
            f"{what} is how far they moved",
            f"{found:.6g} instead of {moved:.6g} where {tolerance * scale:.3g} is allowed",
        )


def _check_funnel_slopes(
    space: MetricSpace,
    potential: Critic,
    real: Points,
    fake: Points,
    shortest: float,
    tolerance: float,
) -> None:
    apart = space.distance(real, fake).detach() > shortest
    x, y = _grid(real)
    for _ in range(3):
        t = torch.rand(len(apart), device=apart.device)
        # At the ends of a way u may have a kink, such as the tip of a cone.
        along = _slopes(space, potential, real, fake, 0.05 + 0.9 * t)
        law = "the slope of min_i d(., a_i) + b_i is 1 on the way to the active anchor"
        _hold(law, (along - 1).abs() * apart, tolerance)
        anywhere = _slopes(space, potential, x, y, torch.rand(len(apart) ** 2, device=t.device))
        _hold("the slope of min_i d(., a_i) + b_i is at most 1", anywhere - 1, tolerance)


# Critics --------------------------------------------------------------------------------------


def check_critic(
    critic: nn.Module,
    points: Points,
    *,
    space: MetricSpace | None = None,
    exempt: Collection[str] = (),
    tolerance: float = 1e-5,
    seed: int = 0,
    limit: int = 8,
) -> None:
    """Check that a critic scores every point by itself, and that all of it can be trained.

    Arguments:
        critic: batch of points -> scores `(B,)`; checked in the mode (train or eval) it is in.
        points: at least 3 distinct points, a batch.
        space: whose slopes the penalty takes; by default gradients under the Euclidean norm.
        exempt: names of parameters (as in `named_parameters`) that may lack a gradient.
        tolerance: allowed effect of one point on another's score, relative to the largest score.
        seed: seed before every call, so dropout is not taken for dependence.
        limit: how many of the points are used.

    Raises:
        AssertionError: the scores are not `(B,)` and finite; a score does not depend on its own
            point, or depends on another (BatchNorm does that, and makes a slope meaningless);
            a batch of one fails or differs; a parameter gets no gradient from the scores, or a
            weight (two axes or more; biases may not matter to slopes) none from the slopes.
    """
    with _seeded(seed):
        points = _some(points, limit)
        score = functools.partial(_score, critic, seed)
        _check_separate(score, points, tolerance)
        _check_alone(critic, score, points, tolerance)
        _check_trains(critic, points, space, exempt)


def _call(network: nn.Module, points: Points) -> Points:
    """Call a network on copies of its buffers, so that averages and spectral norms stay put."""
    buffers = {name: buffer.clone() for name, buffer in network.named_buffers()}
    try:
        return cast(Points, functional_call(network, buffers, (points,)))
    except (RuntimeError, ValueError, IndexError) as error:
        raise AssertionError(
            f"law broken: a network takes batches of any size; {type(network).__name__} on a batch "
            f"of {batch_size(points)} raises {type(error).__name__}: {error}"
        ) from error


@contextmanager
def _modes_kept(network: nn.Module) -> Iterator[None]:
    modes = {module: module.training for module in network.modules()}
    try:
        yield
    finally:
        for module, mode in modes.items():
            module.training = mode


@torch.no_grad()
def _score(critic: nn.Module, seed: int, points: Points) -> Tensor:
    torch.manual_seed(seed)
    scores = _call(critic, points)
    if not isinstance(scores, Tensor):
        _fail("one score for each point", f"a critic returns {type(scores).__name__}")
    if scores.shape != (batch_size(points),):
        _fail("one score for each point", f"{batch_size(points)} give {tuple(scores.shape)}")
    _hold("scores are finite", (~scores.isfinite()).float(), 0.0, at="point")
    return scores


def _check_separate(score: Callable[[Points], Tensor], points: Points, tolerance: float) -> None:
    base = score(points)
    count = len(base)
    changes = torch.zeros(count, count)
    for place in range(count):
        for step in {1, count // 2}:
            moved = _put(points, place, (place + step) % count)
            changes[place] = torch.maximum(changes[place], (score(moved) - base).abs().cpu())
    own = changes.diagonal()
    _hold("a score depends on its own point", (own <= 0).float(), 0.0, at="point")
    others = changes - own.diag()
    law = "a score depends on no other point of the batch (is there a BatchNorm?)"
    _hold(law, others, _relative(tolerance, base), at="points (moved, scored) =")


def _relative(tolerance: float, scores: Tensor) -> float:
    return tolerance * max(float(scores.abs().max()), 1e-30)


def _check_alone(
    critic: nn.Module, score: Callable[[Points], Tensor], points: Points, tolerance: float
) -> None:
    """Compare in eval mode, because dropout draws other masks for other sizes."""
    with _modes_kept(critic):
        critic.eval()
        base = score(points)
        alone = torch.cat([score(pick(points, slice(i, i + 1))) for i in range(len(base))])
    law = "a score does not depend on the size of the batch"
    _hold(law, (alone - base).abs(), _relative(tolerance, base), at="point")


def _put(points: Points, place: int, source: int) -> Points:
    """Return a copy of the batch in which one point is replaced by another."""
    index = torch.arange(batch_size(points), device=leaves(points)[0].device)
    index[place] = source
    return pick(points, index)


@final
class _Euclidean(SmoothSpace):
    """All tensors of a point as one vector."""

    def distance(self, x: Points, y: Points) -> Tensor:
        return self.dual_norm(x, on_leaves(torch.sub, x, y))

    def interpolate(self, x: Points, y: Points, t: Tensor) -> Points:
        return straight(x, y, t)

    def dual_norm(self, x: Points, gradient: Points) -> Tensor:
        return safe_norm(torch.cat([part.flatten(1) for part in leaves(gradient)], 1))


def _check_trains(
    critic: nn.Module, points: Points, space: MetricSpace | None, exempt: Collection[str]
) -> None:
    if space is None and not all(part.is_floating_point() for part in leaves(points)):
        raise SettingError("these points are not all floating-point; give check_critic(space=...)")
    pure = cast(Critic, functools.partial(_call, critic))
    scores = pure(points)
    by_score = _parameter_gradients(critic, (scores * torch.randn_like(scores)).sum())
    for name, gradient in by_score.items():
        _check_reached(f"the scores' gradient reaches parameter {name!r}", gradient, name in exempt)
    # One pair of equal points, because that is where square roots have no derivative.
    end = _put(on_leaves(lambda part: part.roll(1, 0), points), 0, 1)
    t = torch.rand(batch_size(points), device=scores.device)
    slopes = (space or _Euclidean()).slope(pure, points, end, t)
    for name, gradient in _parameter_gradients(critic, slopes.square().sum()).items():
        free = name in exempt or gradient.dim() < 2
        _check_reached(f"the penalty's gradient reaches parameter {name!r}", gradient, free)


def _parameter_gradients(network: nn.Module, value: Tensor) -> dict[str, Tensor]:
    named = {name: p for name, p in network.named_parameters() if p.requires_grad}
    if not named:
        return {}
    if not value.requires_grad:
        return {name: torch.zeros_like(parameter) for name, parameter in named.items()}
    gradients = torch.autograd.grad(
        value, list(named.values()), allow_unused=True, materialize_grads=True, retain_graph=True
    )
    return dict(zip(named, gradients, strict=True))


def _check_reached(law: str, gradient: Tensor, exempt: bool) -> None:
    if not bool(gradient.isfinite().all()):
        _fail(law, "it is NaN or infinite")
    if not exempt and not bool(gradient.any()):
        _fail(law, f"all {gradient.numel()} entries are 0")


# Generators -----------------------------------------------------------------------------------


def check_generator(
    generator: nn.Module,
    latent: Latent,
    space: MetricSpace,
    *,
    count: int = 8,
    exempt: Collection[str] = (),
    tolerance: float = 1e-4,
    seed: int = 0,
) -> None:
    """Check that a generator makes points of the space, and that all of it can be trained.

    Arguments:
        generator: latent batch -> batch of points; its mode is put back afterwards.
        latent: the law of its input.
        space: the space of its output.
        count: size of the batch.
        exempt: names of parameters, and of outputs (a field's name, or "0", "1", ... in a plain
            tuple), that may lack a gradient.
        tolerance: allowed difference of a point alone from the same point in a batch, in eval mode.
        seed: seed of all random draws.

    Raises:
        AssertionError: an output has another number of points or numbers that are not finite; the
            space cannot measure it; a floating-point output gets no gradient (a dead head), or a
            parameter none from the scores of a random linear critic; training mode is not
            reproducible under a seed; in eval mode the same latents give other points, other
            latents give the same points, or a batch of one fails or differs.
    """
    with _seeded(seed), _modes_kept(generator):
        device = next((p.device for p in generator.parameters()), torch.device("cpu"))
        z, others = latent.sample(count, device), latent.sample(count, device)
        generator.train()
        points = _generated(generator, z, seed)
        _check_outputs(points, space, count)
        _check_heads(generator, points, exempt)
        law = "training mode is reproducible under torch.manual_seed"
        _check_same(law, points, _generated(generator, z, seed), 0.0)
        generator.eval()
        _check_determined(generator, z, others, seed, tolerance)


def _generated(generator: nn.Module, z: Points, seed: int) -> Points:
    torch.manual_seed(seed)
    return _call(generator, z)


def _names(points: Points) -> tuple[str, ...]:
    fields = getattr(points, "_fields", None)
    return tuple(fields or map(str, range(len(leaves(points)))))


def _check_outputs(points: Points, space: MetricSpace, count: int) -> None:
    for name, part in zip(_names(points), leaves(points), strict=True):
        if len(part) != count:
            _fail("one point for each latent", f"output {name}: {len(part)} for {count} latents")
        _finite(f"output {name} is finite", part.detach().view(count, -1))
    with torch.no_grad():
        distance = space.distance(points, points)
    law = "the space measures generated points, one finite number for each"
    if distance.shape != (count,):
        _fail(law, f"{count} points give {tuple(distance.shape)}")
    _hold(law, (~distance.isfinite()).float(), 0.0, at="point")


def _check_heads(generator: nn.Module, points: Points, exempt: Collection[str]) -> None:
    total = torch.zeros((), device=leaves(points)[0].device)
    for name, part in zip(_names(points), leaves(points), strict=True):
        if not part.is_floating_point():
            continue
        score = (part * torch.randn_like(part)).sum()
        gradients = _parameter_gradients(generator, score).values()
        if name not in exempt and not any(bool(gradient.any()) for gradient in gradients):
            _fail(f"output {name} receives a gradient", "no parameter does through it (dead head)")
        total = total + score
    for name, gradient in _parameter_gradients(generator, total).items():
        law = f"a linear critic's gradient reaches parameter {name!r}"
        _check_reached(law, gradient, name in exempt)


def _check_same(law: str, one: Points, two: Points, allowed: float) -> None:
    for a, b in zip(leaves(one), leaves(two), strict=True):
        off = (a.detach().double() - b.detach().double()).abs().flatten(1).amax(1)
        _hold(law, off, allowed, at="point")


@torch.no_grad()
def _check_determined(
    generator: nn.Module, z: Points, others: Points, seed: int, tolerance: float
) -> None:
    points = _generated(generator, z, seed)
    law = "in eval mode a point is determined by its latent"
    _check_same(law, points, _generated(generator, z, seed + 1), 0.0)
    different = zip(leaves(points), leaves(_generated(generator, others, seed)), strict=True)
    if all(torch.equal(a, b) for a, b in different):
        _fail("points depend on their latents", "other latents give the same points")
    alone = _generated(generator, pick(z, slice(0, 1)), seed)
    law = "in eval mode a point does not depend on the others of its batch"
    _check_same(law, pick(points, slice(0, 1)), alone, tolerance)


# Plugins --------------------------------------------------------------------------------------


def check_plugin(module: ModuleType | str) -> None:
    """Check the module that a plugin's entry point names.

    Arguments:
        module: the module, or its name.

    Raises:
        AssertionError: it imports a heavy package (one of `HEAVY`); its API number, hooks or names
            are not in order; a summary is empty; a factory cannot be imported.
    """
    name = module if isinstance(module, str) else module.__name__
    _check_light(name)
    try:
        adds = collect(importlib.import_module(name) if isinstance(module, str) else module)
    except Exception as error:
        raise AssertionError(f"law broken: a plugin's hooks are in order; {error}") from error
    if not adds:
        _fail("a plugin adds something", f"{name} implements no hook that gives anything")
    for spec in (spec for specs in adds.values() for spec in specs):
        if not str(spec.summary).strip():
            _fail("summaries say something", f"that of {spec.noun} {spec.name!r} is empty")
        try:
            import_factory(spec, spec.name)
        except (WgankitError, PluginError) as error:
            raise AssertionError(f"law broken: factories are importable; {error}") from error


_IMPORT_ALONE = """
import importlib, json, sys
name, path, heavy = json.loads(sys.argv[1])
sys.path[:] = path
importlib.import_module("wgankit.plugins")
before = set(sys.modules)
importlib.import_module(name)
print(json.dumps([one for one in heavy if one in sys.modules and one not in before]))
"""


def _check_light(name: str) -> None:
    """Import the module in a process of its own, where nothing else has imported anything."""
    told = json.dumps([name, sys.path, HEAVY])
    done = subprocess.run(
        [sys.executable, "-c", _IMPORT_ALONE, told], capture_output=True, text=True, check=False
    )
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        _fail("a plugin's module can be imported", f"{name}: {last}")
    heavy = json.loads(done.stdout.splitlines()[-1])
    if heavy:
        _fail(
            "a plugin's module is light",
            f"{name} imports {', '.join(heavy)}; name factories as import strings instead",
        )


def fake_plugin(
    folder: Path,
    *,
    distribution: str,
    code: str,
    version: str = "0.1.0",
    module: str | None = None,
    entry_points: Mapping[str, str] | None = None,
    files: Mapping[str, str] | None = None,
) -> list[importlib.metadata.EntryPoint]:
    """Write an installed plugin into a folder, without pip, and return its entry points.

    Arguments:
        folder: a folder that the caller puts on `sys.path` (in pytest `monkeypatch.
            syspath_prepend`).
        distribution: what pip would call it.
        code: source of its module.
        version: its version.
        module: name of its module; by default the distribution's, with underscores.
        entry_points: name -> value in the group `wgankit`; by default one, the module.
        files: further files, path within the folder -> text.

    Returns:
        its entry points, for `Registry(entry_points=...)`.
    """
    module = module or distribution.replace("-", "_").replace(".", "_")
    entry_points = entry_points or {module: module}
    info = f"{distribution.replace('-', '_')}-{version}.dist-info"
    lines = [f"{name} = {value}" for name, value in entry_points.items()]
    written = {
        f"{module}/__init__.py": code,
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {distribution}\nVersion: {version}\n",
        f"{info}/entry_points.txt": "\n".join([f"[{GROUP}]", *lines, ""]),
        **(files or {}),
    }
    for path, text in written.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text, encoding="utf-8")
    importlib.invalidate_caches()
    found = importlib.metadata.PathDistribution(folder / info)
    return list(found.entry_points)
