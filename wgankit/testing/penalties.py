"""The laws of penalties."""

from __future__ import annotations

import functools

import torch
from torch import Tensor

from wgankit.penalty import Penalty
from wgankit.space import Critic, MetricSpace, Points, batch_size, leaves, on_leaves, pick
from wgankit.testing.laws import distance_to, everywhere, fail, hold, seeded, some


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
    with seeded(seed):
        points = some(points, limit)
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
    free = functools.partial(_penalty, penalty, space, distance_to(space, anchor))
    steep = functools.partial(_penalty, penalty, space, distance_to(space, anchor, 3.0))
    index = torch.arange(1, batch_size(points), device=leaves(points)[0].device)
    others = pick(points, (index + place) % batch_size(points))
    # On every shortest path to x0 the slope of 3 d(., x0) is 3, whatever is drawn.
    towards = everywhere(anchor, others)
    law = f"the penalty of d(., x{place}) is 0"
    hold(law, free(points, on_leaves(lambda part: part.roll(1, 0), points)), tolerance, at="draw")
    punished = torch.cat([steep(others, towards) for _ in range(8)])
    law = f"the penalty of 3 d(., x{place}) is positive"
    hold(law, tolerance - punished, 0.0, at="draw")
    # Where the neighbours probed are random the value is too, and may vary as much as it does.
    allowed = max(tolerance, 1e-4) * float(punished.mean()) + 5 * float(punished.std())
    for times in (2, 8):
        again = steep(_repeat(others, times), _repeat(towards, times))
        law = f"the penalty of a batch repeated {times} times is that of the batch"
        hold(law, (again - punished.mean()).abs(), allowed, at="draw")


def _penalty(
    penalty: Penalty, space: MetricSpace, critic: Critic, real: Points, fake: Points
) -> Tensor:
    """Return the mean `(1,)` of a penalty and of that with real and fake exchanged.

    A penalty at the real points alone sees nothing where all of them are x0.
    """
    values = [penalty.value(space, critic, *pair) for pair in ((real, fake), (fake, real))]
    if values[0].dim() != 0:
        fail("a penalty is one number", f"its shape is {tuple(values[0].shape)}")
    return torch.stack(values).detach().mean(0, keepdim=True)


def _repeat(points: Points, times: int) -> Points:
    return on_leaves(lambda part: part.repeat(times, *[1] * (part.dim() - 1)), points)
