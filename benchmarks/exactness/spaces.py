"""Spaces: slopes, geodesics and units by their definitions; funnels against exact transport."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn

from benchmarks.exactness.catalogue import Line, at_least, at_most, experiment, near
from wgankit import Normed, OneHot, Penalty, Perceptron, Product, exact, pairwise
from wgankit.funnels import Funnels
from wgankit.space import MetricSpace, Points, SmoothSpace, leaves, on_leaves, pick
from wgankit.spaces import (
    Hamming,
    Hyperboloid,
    Pullback,
    Quadratic,
    Sobolev,
    Sphere,
    Strings,
)
from wgankit_graphs import GraphNodes, LabelledGraphs
from wgankit_graphs.labelled import Graphs

Draw = Callable[[int], Points]
Tangent = Callable[[Tensor], Tensor]


def numbers(*shape: int) -> Tensor:
    return torch.randn(shape, dtype=torch.float64)


def units(count: int) -> Tensor:
    return nn.functional.normalize(numbers(count, 3))


def labels(count: int) -> Tensor:
    return numbers(count, 2, 3).softmax(-1)


def anywhere(direction: Tensor) -> Tensor:
    return direction


def within_simplex(direction: Tensor) -> Tensor:
    return direction - direction.mean(-1, keepdim=True)


def within_pairs(direction: Tensor) -> Tensor:
    """Both entries of a pair of nodes move together, and the diagonal stays."""
    off = 1 - torch.eye(direction.shape[1], dtype=direction.dtype).unsqueeze(-1)
    return within_simplex((direction + direction.transpose(1, 2)) / 2) * off


def graphs(count: int) -> Points:
    edges = numbers(count, 2, 2, 3)
    return Graphs(numbers(count, 2, 3).softmax(-1), (edges + edges.transpose(1, 2)).softmax(-1))


def smooth_spaces() -> Iterator[tuple[str, SmoothSpace, Draw, tuple[Tangent, ...]]]:
    """Yield spaces, points of theirs, and for each tensor of a point which directions stay inside.

    Vectors that leave a sphere stand for their direction, so that every direction is one of it.
    """
    factor = numbers(3, 3)
    form = factor @ factor.T + 0.1 * torch.eye(3, dtype=torch.float64)
    linear = nn.Linear(3, 6).double().requires_grad_(False)
    free, inside = (anywhere,), (within_simplex,)
    yield "l1", Normed(1, scale=2.0), lambda n: numbers(n, 4), free
    yield "l2", Normed(2), lambda n: numbers(n, 4), free
    yield "l3", Normed(3), lambda n: numbers(n, 4), free
    yield "maximum", Normed(math.inf), lambda n: numbers(n, 4), free
    yield "labels", OneHot(1.5), labels, inside
    yield "labels, p = 2", OneHot(p=2), labels, inside
    yield "quadratic form", Quadratic(form), lambda n: numbers(n, 3), free
    yield "Sobolev, s = 1", Sobolev(1, axes=1), lambda n: numbers(n, 6), free
    yield "Sobolev, s = -1", Sobolev(-1), lambda n: numbers(n, 1, 2, 3), free
    yield "sphere", Sphere(2.0), units, free
    yield "hyperbolic", Hyperboloid(), lambda n: 2 * numbers(n, 3), free
    yield "linear decoder", Pullback(linear), lambda n: numbers(n, 3), free
    product = Product(Sphere(), OneHot(), weights=[2.0, 1.0])
    yield "product", product, lambda n: (units(n), labels(n)), (anywhere, within_simplex)
    yield "labelled graphs", LabelledGraphs(p=2), graphs, (within_simplex, within_pairs)


class Wave(nn.Module):
    """A sum of sines; of directions where points are directions."""

    def __init__(self, points: Points, on_sphere: bool) -> None:
        super().__init__()
        self.weights = [numbers(part[0].numel(), 4) for part in leaves(points)]
        self.on_sphere = on_sphere

    def forward(self, points: Points) -> Tensor:
        parts = [part.flatten(1) for part in leaves(points)]
        if self.on_sphere:
            parts[0] = nn.functional.normalize(parts[0])
        terms = [(part @ w).sin().sum(1) for part, w in zip(parts, self.weights, strict=True)]
        return torch.stack(terms).sum(0)


def steepest_found(
    space: SmoothSpace, critic: Wave, points: Points, tangents: tuple[Tangent, ...], rounds: int
) -> Tensor:
    """Return the largest |f(x + h v) - f(x)| / d(x, x + h v) that a random search finds.

    It knows only distances and values, so it is another way to what the dual norm computes.
    """
    many, step = 64, 1e-6
    count = len(leaves(points)[0])
    wide = on_leaves(lambda part: part.repeat_interleave(many, 0), points)
    best = [torch.zeros_like(part) for part in leaves(points)]
    record = torch.zeros(count, dtype=torch.float64)
    start = critic(wide)
    for turn in range(rounds):
        tried = _directions(best, tangents, many, turn / rounds)
        index = iter(tried)
        there = on_leaves(lambda part, index=index: part + step * next(index), wide)
        slopes = (critic(there) - start).abs() / space.distance(wide, there)
        top = slopes.view(count, many).max(1)
        better = top.values > record
        chosen = torch.arange(count) * many + top.indices
        best = [
            torch.where(better.view(-1, *[1] * (old.dim() - 1)), new[chosen], old)
            for old, new in zip(best, tried, strict=True)
        ]
        record = torch.maximum(record, top.values)
    return record


def _column(rows: Tensor, like: Tensor) -> Tensor:
    return rows.view(-1, *[1] * (like.dim() - 1))


def _directions(
    best: list[Tensor], tangents: tuple[Tangent, ...], many: int, done: float
) -> list[Tensor]:
    """Return directions of length 1: at first any, later closer and closer to the best."""
    tried, squares = [], torch.zeros(len(best[0]) * many, dtype=torch.float64)
    for part, inside in zip(best, tangents, strict=True):
        found = inside(_any(part, many) if done < 0.25 else _around(part, many, done))
        tried.append(found)
        squares = squares + found.flatten(1).square().sum(1)
    lost = squares < 1e-6
    sizes = torch.where(lost, 1.0, squares.sqrt())
    fresh = [inside(torch.randn_like(found)) for found, inside in zip(tried, tangents, strict=True)]
    return [
        torch.where(_column(lost, old), new, old / _column(sizes, old))
        for old, new in zip(tried, fresh, strict=True)
    ]


def _any(part: Tensor, many: int) -> Tensor:
    """Return random directions: dense, of signs, sparse; a part of a product may rest."""
    noise = torch.randn_like(part.repeat_interleave(many, 0))
    kind = _column(torch.arange(len(noise)) % 3, noise)
    sparse = noise * (torch.rand_like(noise) < 0.4)
    found = torch.where(kind == 0, noise, torch.where(kind == 1, noise.sign(), sparse))
    return found * _column(torch.rand(len(noise)) < 0.5, noise)


def _around(part: Tensor, many: int, done: float) -> Tensor:
    """Return directions near the best one, and some that change a few of its rows altogether."""
    wide = part.repeat_interleave(many, 0)
    size: Tensor = _column(wide.flatten(1).norm(dim=1), wide)
    noise, sparse = torch.randn_like(wide), torch.rand_like(wide) < 0.4
    near = wide + 0.5 ** (10 * done) * size * noise * sparse
    rows = torch.rand_like(wide[..., :1]) < 0.3
    other = size * noise.sign() * (torch.rand_like(wide) < 0.7) * torch.rand_like(rows.double())
    odd = _column(torch.arange(len(wide)) % 2 == 1, wide)
    return torch.where(odd & rows, other, torch.where(odd, wide, near))


def geodesic_error(space: SmoothSpace, points: Points) -> float:
    """Return the largest error of d(x, z_t) = t d and d(z_t, y) = (1 - t) d, in units of d."""
    other = on_leaves(lambda part: part.roll(1, 0), points)
    whole, worst = space.distance(points, other), 0.0
    for _ in range(5):
        t = torch.rand(len(whole), dtype=torch.float64)
        middle = space.interpolate(points, other, t)
        for part, share in (
            (space.distance(points, middle), t),
            (space.distance(middle, other), 1 - t),
        ):
            worst = max(worst, float(((part - share * whole).abs() / whole.amax()).amax()))
    return worst


def smooth_lines(points: int, rounds: int) -> Iterator[Line]:
    for name, space, draw, tangents in smooth_spaces():
        batch = draw(points)
        critic = Wave(batch, on_sphere=name in ("sphere", "product"))
        still = torch.zeros(points, dtype=torch.float64)
        dual = space.slope(critic, batch, batch, still).detach()
        with torch.no_grad():
            ratio = steepest_found(space, critic, batch, tangents, rounds) / dual
            error = geodesic_error(space, draw(100))
        yield at_most(
            f"{name}: sampled slope / dual norm, largest", 1.01, float(ratio.max()), exact=1
        )
        yield at_least(f"{name}: reached at every point", 0.97, float(ratio.min()), exact=1)
        yield at_most(f"{name}: error of geodesics", 1e-9, error, exact=0)


def coded(words: Tensor) -> Tensor:
    """Return a number for each word of labels 0, 1, 2."""
    return (words * 3 ** torch.arange(words.shape[1])).sum(1)


def lattice(side: int) -> GraphNodes:
    """Return a square lattice whose edges have random lengths."""
    place = torch.arange(side * side).view(side, side)
    across = torch.stack([place[:, :-1].flatten(), place[:, 1:].flatten()], 1)
    down = torch.stack([place[:-1].flatten(), place[1:].flatten()], 1)
    ends = torch.cat([across, down])
    return GraphNodes(side * side, ends, 0.5 + torch.rand(len(ends)))


def discrete_lines() -> Iterator[Line]:
    """Compare slopes on single steps with those between all pairs of points."""
    words = [w for size in range(5) for w in itertools.product((1, 2), repeat=size)]
    strings = torch.tensor([list(w) + [0] * (4 - len(w)) for w in words])
    sites = torch.cartesian_prod(*[torch.arange(3)] * 3)
    cases: list[tuple[str, MetricSpace, Tensor, Tangent]] = [
        ("Hamming", Hamming(3, weight=2.0), sites, coded),
        ("strings", Strings(2), strings, coded),
        ("nodes of a graph", lattice(6), torch.arange(36), anywhere),
    ]
    for name, space, points, number in cases:
        values = torch.randn(81)

        def critic(batch: Points, values: Tensor = values, number: Tangent = number) -> Tensor:
            return values[number(leaves(batch)[0])]

        rises = (critic(points)[:, None] - critic(points)).abs()
        table = pairwise(space, points, points)
        steepest = (rises / torch.where(table > 0, table, 1.0)).amax()
        x, y = (torch.randint(len(points), (4000,)) for _ in range(2))
        slopes = space.slope(critic, points[x], points[y], torch.rand(4000))
        ratio = float(slopes.amax() / steepest)
        yield near(f"{name}: steepest step / steepest pair", 1.0, ratio, absolute=1e-6)


def tangential_line() -> Line:
    """The dual norm in a latent space is that of the tangential part of the gradient."""
    decoder = nn.Sequential(nn.Linear(3, 16), nn.Tanh(), nn.Linear(16, 20)).double()
    decoder.requires_grad_(False)
    weights, x = numbers(20), numbers(50, 3)

    def critic(points: Tensor) -> Tensor:
        return points.sin() @ weights

    slopes = Pullback(decoder).slope(lambda z: critic(decoder(z)), x, x, torch.zeros(50)).detach()
    decoded = decoder(x).requires_grad_()
    (gradient,) = torch.autograd.grad(critic(decoded).sum(), decoded)
    frame, _ = torch.linalg.qr(torch.func.vmap(torch.func.jacrev(decoder))(x))
    tangential = (frame.mT @ gradient.unsqueeze(-1)).flatten(1).norm(dim=1)
    error = float((slopes - tangential).abs().max())
    return at_most("latent: dual norm - |tangential gradient|, largest", 1e-12, error, exact=0)


@experiment("11", "Slopes and geodesics of every space", quick=True)
def slopes(quick: bool) -> Iterator[Line]:
    yield from smooth_lines(*((8, 120) if quick else (32, 300)))
    yield from discrete_lines()
    yield tangential_line()


# Funnels --------------------------------------------------------------------------------------


@experiment("12", "Funnels: a known W1 in every geodesic space", quick=True)
def funnels(quick: bool) -> Iterator[Line]:
    count = 200 if quick else 1_000
    cases: list[tuple[str, SmoothSpace, Draw]] = [
        ("Euclidean, l1", Normed(1), lambda n: numbers(n, 3)),
        ("Euclidean, l2", Normed(2), lambda n: numbers(n, 3)),
        ("sphere", Sphere(), units),
        ("hyperbolic plane", Hyperboloid(), lambda n: 2 * numbers(n, 2)),
    ]
    for name, space, draw in cases:
        problem = Funnels(space, draw(6), torch.rand(6, dtype=torch.float64))
        real, fake, w1 = problem.problem(draw(count), torch.rand(count, dtype=torch.float64))
        found = exact.w1(space, real, fake)
        yield near(f"{name}: exact transport", w1, found, relative=1e-6)
        gap = float((problem.potential(real) - problem.potential(fake)).mean())
        yield near(f"{name}: gap of the potential", w1, gap, relative=1e-6)
        fake_part = pick(fake, slice(0, 100))
        norm = space.dual_norm(fake_part, problem.gradient(fake_part))
        worst = float((norm - 1).abs().max())
        yield at_most(f"{name}: slope of the potential - 1, largest", 1e-9, worst, exact=0)
    yield half_plane(2.5)


def half_plane(factor: float) -> Line:
    """Raising every point of the half-plane by a factor costs its logarithm, for ANY law."""
    x, y = numbers(100), torch.rand(100, dtype=torch.float64) + 0.05

    def place(height: Tensor) -> Tensor:
        return torch.stack([x / height, (x * x + height * height - 1) / (2 * height)], 1)

    found = exact.w1(Hyperboloid(), place(y), place(factor * y))
    return near("half-plane, (x, y) -> (x, 2.5 y)", math.log(factor), found, relative=1e-6)


# Units ----------------------------------------------------------------------------------------


@experiment("7", "Data in other units: the same penalty", quick=True)
def units_of_data(quick: bool) -> Iterator[Line]:
    """Pixels 0..255 divided by 127.5, with `scale=127.5`."""
    factor = 127.5
    critic = Perceptron(48, width=32).double()
    real, fake = (255 * torch.rand(256, 3, 4, 4, dtype=torch.float64) for _ in range(2))

    def value(penalty: Penalty, scale: float, unit: float) -> float:
        torch.manual_seed(0)
        space = Normed(scale=scale)

        def scores(points: Points) -> Tensor:
            found: Tensor = critic(leaves(points)[0] * unit)
            return found

        return float(penalty.value(space, scores, real / unit, fake / unit).detach())

    plain, scaled = (value(Penalty(), scale, scale) for scale in (1.0, factor))
    yield near("one-sided penalty of scaled data", plain, scaled, absolute=1e-12)
    w1 = exact.w1(Normed(), real, fake)
    found = exact.w1(Normed(scale=factor), real / factor, fake / factor)
    yield near("W1 of scaled data", w1, found, relative=1e-12)
    # (|grad_z| - s)^2 with s = 127.5 instead of (|grad_z| / s - 1)^2: the weight changes by s^2.
    trap = PenaltyToTarget(factor)(critic, real, fake) / value(two_sided(), 1.0, 1.0)
    yield near("the same with the target moved: weight times", factor**2, trap, relative=1e-9)


def two_sided() -> Penalty:
    from wgankit import two_sided as shape

    return Penalty(shape=shape)


class PenaltyToTarget:
    """The mean of (|grad_z| - s)^2 for data z = x / s, as it is often written."""

    def __init__(self, factor: float) -> None:
        self.factor = factor

    def __call__(self, critic: nn.Module, real: Tensor, fake: Tensor) -> float:
        torch.manual_seed(0)
        t = torch.rand(len(real)).double().view(-1, 1, 1, 1)
        z = (torch.lerp(real, fake, t) / self.factor).requires_grad_()
        (gradient,) = torch.autograd.grad(critic(z * self.factor).sum(), z)
        return float((gradient.flatten(1).norm(dim=1) - self.factor).square().mean())


@experiment("29b", "Sobolev norms: structure or texture", quick=True)
def sobolev(quick: bool) -> Iterator[Line]:
    """W1 of a shift by a wave of number 7 over that by a wave of number 1, of equal energy."""
    signals = numbers(40, 16)
    turns = torch.arange(16, dtype=torch.float64) * (2 * math.pi / 16)
    for order, wanted in ((0, 1.0), (1, 5.0), (-1, 0.2)):
        space = Sobolev(order, axes=1)
        low, high = (exact.w1(space, signals, signals + (k * turns).cos()) for k in (1, 7))
        yield near(f"order {order}: ratio of the costs", wanted, high / low, absolute=1e-6)
