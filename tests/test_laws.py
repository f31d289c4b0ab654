"""Every law over every space of the core, and for every law a fault that it refuses."""

import ast
import inspect
import math
import re

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from wgankit import Normed, OneHot, Penalty, Product
from wgankit.penalty import Shape
from wgankit.space import (
    MetricSpace,
    SmoothSpace,
    leaves,
    on_leaves,
    pairwise,
    safe_norm,
    straight,
)
from wgankit.spaces import Hamming, Hyperboloid, Pullback, Quadratic, Sobolev, Sphere, Strings
from wgankit.testing import (
    check_funnels,
    check_metric_space,
    check_penalty_laws,
    check_smooth_space,
    funnels,
    penalties,
    spaces,
)


def numbers(*shape):
    return torch.randn(shape, dtype=torch.float64)


def units(count, size=3):
    return torch.nn.functional.normalize(numbers(count, size))


def with_opposites(count):
    half = units((count + 1) // 2)
    return torch.cat([half, -half])[torch.randperm(2 * len(half))[:count]]


def near_and_far(count):
    """The origin, and points whose sizes range from 1e-3 to 100."""
    points = units(count) * torch.logspace(-3, 2, count, dtype=torch.float64)[:, None]
    points[0] = 0.0
    return points[torch.randperm(count)]


def words(count):
    """Distinct strings of 0 to 6 letters."""
    drawn = torch.randint(1, 4, (8 * count, 6)) * (
        torch.arange(6) < torch.randint(7, (8 * count, 1))
    )
    drawn = drawn.unique(dim=0)
    return drawn[torch.randperm(len(drawn))[:count]]


def form(size):
    factor = numbers(size, size)
    return factor @ factor.T + 0.1 * torch.eye(size, dtype=torch.float64)


def matrix(rows, columns):
    layer = torch.nn.Linear(columns, rows).double()
    layer.requires_grad_(False)
    return layer


SPACES = {
    "l1": lambda: (Normed(1), lambda n: numbers(n, 4)),
    "l2": lambda: (Normed(2, scale=3.0), lambda n: numbers(n, 2, 3)),
    "l3": lambda: (Normed(3), lambda n: numbers(n, 4)),
    "maximum": lambda: (Normed(math.inf), lambda n: numbers(n, 4)),
    "relaxed labels": lambda: (OneHot(2.0), lambda n: numbers(n, 3, 4).softmax(-1)),
    "hard labels": lambda: (OneHot(), lambda n: torch.eye(4).double()[torch.randint(4, (n, 6))]),
    "quadratic": lambda: (Quadratic(form(4)), lambda n: numbers(n, 4)),
    "signals": lambda: (Sobolev(1, axes=1), lambda n: numbers(n, 2, 7)),
    "pictures": lambda: (Sobolev(-1.5, length=0.3, scale=2.0), lambda n: numbers(n, 2, 4, 6)),
    "circle": lambda: (Sphere(), lambda n: units(n, 2)),
    "sphere": lambda: (Sphere(2.0), with_opposites),
    "hyperbolic line": lambda: (Hyperboloid(), lambda n: numbers(n, 1)),
    "hyperbolic space": lambda: (Hyperboloid(), near_and_far),
    "linear decoder": lambda: (Pullback(matrix(6, 3), scale=0.5), lambda n: numbers(n, 3)),
    "product": lambda: (
        Product(Sphere(), OneHot(), Hyperboloid(), p=2, weights=[1.0, 2.0, 0.5]),
        lambda n: (units(n), numbers(n, 2, 3).softmax(-1), numbers(n, 2)),
    ),
    "Hamming": lambda: (Hamming(4, weight=2.5), lambda n: torch.randint(4, (n, 8))),
    "strings": lambda: (Strings(3), words),
}


@pytest.mark.parametrize("case", SPACES)
@given(seed=st.integers(0, 10_000), count=st.integers(8, 12))
@settings(deadline=None, max_examples=2)
def test_every_space_keeps_every_law(case, seed, count):
    torch.manual_seed(seed)
    space, draw = SPACES[case]()
    points = draw(count)
    # Discrete distances are counts, in single precision.
    tolerance = 1e-8 if isinstance(space, SmoothSpace) else 1e-6
    check_metric_space(space, points, tolerance=tolerance)
    check_penalty_laws(space, points, tolerance=1e-6)
    check_funnels(space, points, tolerance=tolerance)
    if isinstance(space, SmoothSpace):
        check_smooth_space(space, points, tolerance=tolerance)


@pytest.mark.parametrize("case", SPACES)
def test_every_space_keeps_every_law_in_single_precision(case):
    torch.manual_seed(0)
    space, draw = SPACES[case]()
    if isinstance(space, Pullback):
        space = Pullback(space.decoder.float(), scale=space.scale)
    points = draw(16)
    single = on_leaves(lambda part: part.float() if part.is_floating_point() else part, points)
    check_metric_space(space, single)
    check_penalty_laws(space, single)
    check_funnels(space, single)
    if isinstance(space, SmoothSpace):
        check_smooth_space(space, single)


# Faults ---------------------------------------------------------------------------------------


def faulty(space, **changed):
    """A space of which some methods are replaced by wrong ones."""
    smooth = isinstance(space, SmoothSpace)
    names = ("distance", "interpolate", "dual_norm") if smooth else ("distance", "segment")
    methods = {name: getattr(space, name) for name in names} | changed
    kind = SmoothSpace if smooth else MetricSpace
    return type("Faulty", (kind,), {name: staticmethod(f) for name, f in methods.items()})()


SPHERE, HYPERBOLIC, FLAT = Sphere(), Hyperboloid(), Normed(2)
FORM = Quadratic(torch.diag(torch.tensor([1.0, 25.0])))
HAMMING, STRINGS = Hamming(4), Strings(3)


def dot(x, y):
    return (x * y).sum(1)


def sharp_slope(critic, x, y, t):
    """Right slopes whose derivative by the critic's parameters is infinite."""
    slopes = FLAT.slope(critic, x, y, t)
    return slopes.detach() + (slopes - slopes.detach()).abs().sqrt()


def detour(x, y, t):
    """Changes a site, whether both agree there or not."""
    u, _ = HAMMING.segment(x, y, t)
    v = u.clone()
    v[:, 0] = (v[:, 0] + 1) % 4
    return u, v


def insertions_first(x, y, t):
    """Writes y over x letter by letter, which is no shortest script."""
    done = (t * 6).long()[:, None]
    place = torch.arange(6)
    u, v = (torch.where(place < n, y, x) for n in (done, done + 1))
    return closed_up(u), closed_up(v)


def closed_up(rows):
    return rows.gather(1, torch.argsort((rows == 0).byte(), dim=1, stable=True))


def weighed(x, y):
    """Deleting a letter costs half."""
    longer = (x > 0).sum(1) - (y > 0).sum(1)
    return STRINGS.distance(x, y) - longer.clamp_min(0) / 2


def blind_to_fractions(x, y):
    """Points that are not whole are at no distance from each other."""
    whole = (x == x.round()).all(1) | (y == y.round()).all(1)
    return FLAT.distance(x, y) * whole


def far_is_steep(critic, x, y, t):
    slope = FLAT.slope(critic, x, y, t)
    return torch.where(FLAT.distance(x, y) > 3, 2 * slope, slope)


def punished(function):
    """A penalty whose shape is a wrong function of the slopes."""
    call = {"__call__": lambda self, slope: function(slope), "w1": lambda self, gap, *rest: gap}
    return Penalty(shape=type("Wrong", (Shape,), call)())


class Columns(Penalty):
    def value(self, space, critic, real, fake):
        return super().value(space, critic, real, fake)[None]


def letters(count):
    return torch.randint(4, (count, 8))


def plane(count):
    return numbers(count, 2) * 3


def lattice(count):
    return torch.cartesian_prod(torch.arange(6.0), torch.arange(6.0))[torch.randperm(36)[:count]]


METRIC, SMOOTH, FUNNEL = check_metric_space, check_smooth_space, check_funnels


def penalised(penalty):
    return lambda space, points: check_penalty_laws(space, points, penalty=penalty)


FAULTS = {
    "a table instead of pairs": (
        METRIC,
        faulty(SPHERE, distance=lambda x, y: torch.cdist(x, y)),
        units,
        "one number for each pair",
    ),
    "acosh below 1": (
        METRIC,
        faulty(
            HYPERBOLIC, distance=lambda x, y: ((1 + dot(x, x)).sqrt() * 0.9 - dot(x, y)).acosh()
        ),
        plane,
        "distances are finite",
    ),
    "one coordinate": (
        METRIC,
        faulty(FLAT, distance=lambda x, y: (x - y)[:, 0]),
        plane,
        "d(x, y) >= 0",
    ),
    "a clamp before acos": (
        METRIC,
        faulty(SPHERE, distance=lambda x, y: dot(x, y).clamp(-1 + 1e-4, 1 - 1e-4).acos()),
        units,
        "identity, d(x, x) = 0",
    ),
    "cheap deletions": (METRIC, faulty(STRINGS, distance=weighed), words, "symmetry"),
    "the squared chord of a sphere": (
        METRIC,
        faulty(SPHERE, distance=lambda x, y: safe_norm(x - y).square()),
        with_opposites,
        "triangle inequality",
    ),
    "a norm relative to the batch": (
        METRIC,
        faulty(FLAT, distance=lambda x, y: safe_norm((x - y) / (1 + (x - y).abs().mean()))),
        plane,
        "does not depend on the other pairs",
    ),
    "a segment cut short": (
        METRIC,
        faulty(HAMMING, segment=lambda x, y, t: (x[:, :3], y[:, :3])),
        letters,
        "segment returns points of the space",
    ),
    "a flip off the geodesic": (
        METRIC,
        faulty(HAMMING, segment=detour),
        letters,
        "segments lie on a shortest path",
    ),
    "letters written over letters": (
        METRIC,
        faulty(STRINGS, segment=insertions_first),
        words,
        "segments lie on a shortest path",
    ),
    "a segment that stands still": (
        METRIC,
        faulty(STRINGS, segment=lambda x, y, t: (x, x)),
        words,
        "a segment between different points has a length",
    ),
    "a step that counts 1 instead of its weight": (
        METRIC,
        faulty(
            Hamming(4, weight=2.5),
            slope=lambda f, x, y, t: 2.5 * Hamming(4, weight=2.5).slope(f, x, y, t),
        ),
        letters,
        "the slope of d(., x0) is at most 1",
    ),
    "the exponent of the space instead of its conjugate": (
        METRIC,
        faulty(Normed(1), dual_norm=Normed(math.inf).dual_norm),
        plane,
        "the slope of d(., x0) is at most 1",
    ),
    "the exponent of the maximum instead of its conjugate": (
        SMOOTH,
        faulty(Normed(math.inf), dual_norm=Normed(1).dual_norm),
        lambda n: numbers(n, 6),
        "the dual norm bounds slopes",
    ),
    "the Euclidean gradient of hyperbolic space": (
        METRIC,
        faulty(HYPERBOLIC, dual_norm=FLAT.dual_norm),
        lambda n: plane(n) + 5,
        "reaches 3",
    ),
    "the form instead of its inverse": (
        METRIC,
        faulty(FORM, dual_norm=lambda x, g: FORM.distance(g, torch.zeros_like(g))),
        plane,
        "the slope of d(., x0) is at most 1",
    ),
    "one slope for the batch": (
        METRIC,
        faulty(FLAT, slope=lambda f, x, y, t: FLAT.slope(f, x, y, t).mean()),
        plane,
        "one slope for each pair",
    ),
    "a quotient over equal points": (
        METRIC,
        faulty(HAMMING, slope=lambda f, x, y, t: (f(x) - f(y)).abs() / HAMMING.distance(x, y)),
        letters,
        "slopes are finite",
    ),
    "a discrete space taken for a smooth one": (
        SMOOTH,
        HAMMING,
        letters,
        "a smooth space is a SmoothSpace",
    ),
    "geodesics of another shape": (
        SMOOTH,
        faulty(HYPERBOLIC, interpolate=lambda x, y, t: straight(x, y, t)[:, :1]),
        plane,
        "interpolate returns points of the space",
    ),
    "chords pushed out to the sphere": (
        SMOOTH,
        faulty(
            SPHERE, interpolate=lambda x, y, t: torch.nn.functional.normalize(straight(x, y, t))
        ),
        units,
        "d(x, z_t) = t d(x, y)",
    ),
    "straight lines in the hyperboloid's coordinates": (
        SMOOTH,
        faulty(HYPERBOLIC, interpolate=straight),
        lambda n: plane(n) + 5,
        "d(x, z_t) = t d(x, y)",
    ),
    "right distances from the start alone": (
        SMOOTH,
        faulty(FLAT, interpolate=lambda x, y, t: x + (y - x).flip(1) * t[:, None]),
        plane,
        "d(z_t, y) = (1 - t) d(x, y)",
    ),
    "a dual norm of the batch": (
        SMOOTH,
        faulty(FLAT, dual_norm=lambda x, g: g.norm()),
        plane,
        "one dual norm for each point",
    ),
    "a squared dual norm": (
        SMOOTH,
        faulty(FORM, dual_norm=lambda x, g: FORM.dual_norm(x, g).square()),
        plane,
        "the dual norm is homogeneous",
    ),
    "the spread of the root": (
        SMOOTH,
        faulty(FLAT, dual_norm=lambda x, g: g.abs().sqrt().sum(1).square() / 8),
        lambda n: numbers(n, 8),
        "the dual norm is a norm",
    ),
    "the norm of order s instead of -s": (
        SMOOTH,
        faulty(Sobolev(-2, axes=1), dual_norm=Sobolev(-2, axes=1, scale=1e9).dual_norm),
        lambda n: numbers(n, 8),
        "the dual norm bounds slopes",
    ),
    "a root at 0": (
        SMOOTH,
        faulty(
            SPHERE,
            distance=lambda x, y: (
                2 * torch.atan2((x - y).norm(dim=1).square().sqrt(), (x + y).norm(dim=1))
            ),
        ),
        units,
        "the gradient of d(x, y) is finite at x = y",
    ),
    "a root of a flat gradient": (
        SMOOTH,
        faulty(HYPERBOLIC, dual_norm=lambda x, g: (dot(g, g) + dot(x, g).square()).sqrt()),
        plane,
        "the gradient of the dual norm is finite where the critic is flat",
    ),
    "a kink at 0 in the slope": (
        SMOOTH,
        faulty(FLAT, slope=sharp_slope),
        plane,
        "the penalty's gradient is finite at x = y",
    ),
    "slopes below 1 punished": (
        penalised(punished(torch.square)),
        SPHERE,
        units,
        "the penalty of d(., x0) is 0",
    ),
    "slopes of 3 forgiven": (
        penalised(punished(lambda s: (s - 4).clamp_min(0))),
        HYPERBOLIC,
        plane,
        "the penalty of 3 d(., x0) is positive",
    ),
    "a sum over the batch": (
        penalised(punished(lambda s: (s - 1).clamp_min(0).square().sum().expand_as(s))),
        STRINGS,
        words,
        "the penalty of a batch repeated 2 times is that of the batch",
    ),
    "a penalty with an axis": (penalised(Columns()), FORM, plane, "a penalty is one number"),
    "moved off the shortest path": (
        FUNNEL,
        faulty(FLAT, interpolate=lambda x, y, t: straight(x, y, t) + 0.2 * (y - x).flip(1)),
        plane,
        "E u(real) - E u(moved)",
    ),
    "moved past the anchor": (
        FUNNEL,
        faulty(FLAT, interpolate=lambda x, y, t: straight(x, y, 4 * t)),
        plane,
        None,
    ),
    "a short cut that only moved points see": (
        FUNNEL,
        faulty(FLAT, distance=blind_to_fractions),
        lattice,
        "E the extended potential(real) - E the extended potential(moved)",
    ),
    "half the slope": (
        FUNNEL,
        faulty(SPHERE, dual_norm=lambda x, g: SPHERE.dual_norm(x, g) / 2),
        units,
        "is 1 on the way to the active anchor",
    ),
    "slopes of long ways doubled": (
        FUNNEL,
        faulty(FLAT, slope=far_is_steep),
        lattice,
        "the slope of min_i d(., a_i) + b_i is at most 1",
    ),
}


def refusal(case):
    check, space, draw, law = FAULTS[case]
    torch.manual_seed(0)
    with pytest.raises(AssertionError, match="law broken: ") as caught:
        check(space, draw(16))
    said = str(caught.value)
    assert law is None or law in said
    return said


@pytest.mark.parametrize("case", FAULTS)
def test_every_fault_is_refused_by_its_law(case):
    refusal(case)


def laws_of(function):
    """The patterns of the laws that a function of wgankit.testing names."""
    for node in ast.walk(ast.parse(inspect.getsource(function))):
        names = ("hold", "fail", "finite")
        named = isinstance(node, ast.Call) and getattr(node.func, "id", "") in names
        if named:
            yield from patterns(node.args[0])
        elif isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "law":
            yield from patterns(node.value)


def patterns(node):
    if isinstance(node, ast.Constant):
        yield re.escape(node.value)
    elif isinstance(node, ast.JoinedStr):
        parts = (p.value if isinstance(p, ast.Constant) else None for p in node.values)
        yield "".join(".*" if part is None else re.escape(part) for part in parts)


def all_laws():
    for module in (spaces, penalties, funnels):
        for function in vars(module).values():
            if inspect.isfunction(function) and function.__module__ == module.__name__:
                yield from laws_of(function)


def test_every_law_refuses_a_fault():
    said = [refusal(case) for case in FAULTS]
    laws = set(all_laws())
    assert len(laws) > 25
    assert not [law for law in laws if not any(re.search(law, message) for message in said)]


@pytest.mark.parametrize("case", SPACES)
def test_no_tensor_stays_behind_on_another_device(case):
    """On the device "meta", which holds shapes alone, a tensor of the processor is an error."""
    space, draw = SPACES[case]()
    if isinstance(space, Pullback):
        space = Pullback(space.decoder.to("meta"), ridge=1.0)
    there = on_leaves(lambda part: part.to("meta"), draw(8))
    t = torch.rand(8, device="meta")
    assert space.distance(there, there).device.type == "meta"
    assert pairwise(space, there, there).shape == (8, 8)
    for points in space.segment(there, there, t):
        assert leaves(points)[0].device.type == "meta"
    if isinstance(space, SmoothSpace):
        assert leaves(space.interpolate(there, there, t))[0].device.type == "meta"
        assert space.dual_norm(there, there).device.type == "meta"
