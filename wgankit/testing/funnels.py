"""Transport problems with exact answers, for spaces of any kind."""

from __future__ import annotations

import torch

from wgankit.space import Critic, MetricSpace, Points, batch_size, leaves, pick
from wgankit.testing.laws import fail, grid, hold, seeded, some
from wgankit.testing.spaces import distances_of, slopes_of


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

    with seeded(seed):
        points = some(points, limit, least=6)
        scale = float(distances_of(space, points).max())
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
        fail(
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
    x, y = grid(real)
    for _ in range(3):
        t = torch.rand(len(apart), device=apart.device)
        # At the ends of a way u may have a kink, such as the tip of a cone.
        along = slopes_of(space, potential, real, fake, 0.05 + 0.9 * t)
        law = "the slope of min_i d(., a_i) + b_i is 1 on the way to the active anchor"
        hold(law, (along - 1).abs() * apart, tolerance)
        anywhere = slopes_of(space, potential, x, y, torch.rand(len(apart) ** 2, device=t.device))
        hold("the slope of min_i d(., a_i) + b_i is at most 1", anywhere - 1, tolerance)
