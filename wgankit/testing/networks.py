"""The laws of critics and generators."""

from __future__ import annotations

import functools
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from typing import cast, final

import torch
from torch import Tensor, nn
from torch.func import functional_call

from wgankit.errors import SettingError
from wgankit.latent import Latent
from wgankit.space import (
    Critic,
    MetricSpace,
    Points,
    SmoothSpace,
    batch_size,
    leaves,
    on_leaves,
    pick,
    safe_norm,
    straight,
)
from wgankit.testing.laws import fail, finite, hold, seeded, some


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
    with seeded(seed):
        points = some(points, limit)
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
        fail("one score for each point", f"a critic returns {type(scores).__name__}")
    if scores.shape != (batch_size(points),):
        fail("one score for each point", f"{batch_size(points)} give {tuple(scores.shape)}")
    hold("scores are finite", (~scores.isfinite()).float(), 0.0, at="point")
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
    hold("a score depends on its own point", (own <= 0).float(), 0.0, at="point")
    others = changes - own.diag()
    law = "a score depends on no other point of the batch (is there a BatchNorm?)"
    hold(law, others, _relative(tolerance, base), at="points (moved, scored) =")


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
    hold(law, (alone - base).abs(), _relative(tolerance, base), at="point")


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
        fail(law, "it is NaN or infinite")
    if not exempt and not bool(gradient.any()):
        fail(law, f"all {gradient.numel()} entries are 0")


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
    with seeded(seed), _modes_kept(generator):
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
            fail("one point for each latent", f"output {name}: {len(part)} for {count} latents")
        finite(f"output {name} is finite", part.detach().view(count, -1))
    with torch.no_grad():
        distance = space.distance(points, points)
    law = "the space measures generated points, one finite number for each"
    if distance.shape != (count,):
        fail(law, f"{count} points give {tuple(distance.shape)}")
    hold(law, (~distance.isfinite()).float(), 0.0, at="point")


def _check_heads(generator: nn.Module, points: Points, exempt: Collection[str]) -> None:
    total = torch.zeros((), device=leaves(points)[0].device)
    for name, part in zip(_names(points), leaves(points), strict=True):
        if not part.is_floating_point():
            continue
        score = (part * torch.randn_like(part)).sum()
        gradients = _parameter_gradients(generator, score).values()
        if name not in exempt and not any(bool(gradient.any()) for gradient in gradients):
            fail(f"output {name} receives a gradient", "no parameter does through it (dead head)")
        total = total + score
    for name, gradient in _parameter_gradients(generator, total).items():
        law = f"a linear critic's gradient reaches parameter {name!r}"
        _check_reached(law, gradient, name in exempt)


def _check_same(law: str, one: Points, two: Points, allowed: float) -> None:
    for a, b in zip(leaves(one), leaves(two), strict=True):
        off = (a.detach().double() - b.detach().double()).abs().flatten(1).amax(1)
        hold(law, off, allowed, at="point")


@torch.no_grad()
def _check_determined(
    generator: nn.Module, z: Points, others: Points, seed: int, tolerance: float
) -> None:
    points = _generated(generator, z, seed)
    law = "in eval mode a point is determined by its latent"
    _check_same(law, points, _generated(generator, z, seed + 1), 0.0)
    different = zip(leaves(points), leaves(_generated(generator, others, seed)), strict=True)
    if all(torch.equal(a, b) for a, b in different):
        fail("points depend on their latents", "other latents give the same points")
    alone = _generated(generator, pick(z, slice(0, 1)), seed)
    law = "in eval mode a point does not depend on the others of its batch"
    _check_same(law, pick(points, slice(0, 1)), alone, tolerance)
