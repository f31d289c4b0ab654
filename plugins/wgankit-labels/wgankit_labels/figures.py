"""How well generated points keep to their conditions, in any metric space."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from wgankit import exact
from wgankit.errors import DataError
from wgankit.space import MetricSpace, Points, batch_size, pairwise, pick
from wgankit_labels.points import numbered, split


@torch.no_grad()
def coverage(space: MetricSpace, real: Points, fake: Points, *, nearest: int = 5) -> float:
    """Return the share of real points with a generated one in their neighbourhood.

    The neighbourhood of a real point reaches to its `nearest`-th nearest other real point.

    Arguments:
        space: the metric space.
        real: n real points; NaN is returned if there are fewer than two.
        fake: generated points; n of them, for figures that compare.
        nearest: k; fewer where there are fewer others.

    Source: Naeem, Oh, Uh, Choi, Yoo (2020), equation 9.
    """
    count = batch_size(real)
    if count < 2:
        return math.nan
    among = pairwise(space, real, real)
    among.fill_diagonal_(math.inf)
    radius = among.kthvalue(min(nearest, count - 1), 1).values
    return float((pairwise(space, real, fake).amin(1) <= radius).float().mean())


@torch.no_grad()
def nearest_class(
    space: MetricSpace, known: Points, classes: Tensor, judged: Points, *, nearest: int = 5
) -> Tensor:
    """Return the class `(m,)` that most of a point's nearest known points have.

    Arguments:
        space: the metric space.
        known: n points, such as the training data.
        classes: their classes, integers >= 0, `(n,)`.
        judged: m points.
        nearest: how many neighbours vote; of classes with as many votes the nearer one wins.
    """
    among = min(nearest, batch_size(known))
    away, places = pairwise(space, judged, known).topk(among, 1, largest=False)
    votes = torch.zeros(len(places), int(classes.max()) + 1, dtype=torch.float64)
    # A neighbour's nearness is worth less than a vote, and settles a draw.
    worth = 1 + (1 - away.double() / away.double().amax(1, keepdim=True).clamp_min(1e-30)) / (
        2 * among
    )
    votes.scatter_add_(1, classes.cpu()[places.cpu()], worth.cpu())
    return votes.argmax(1)


@torch.no_grad()
def conditional_w1(space: MetricSpace, real: Points, fake: Points) -> float:
    """Return the mean over the real conditions of exact W1 within each: E_c W1(P_c, Q_c).

    Arguments:
        space: the space of the points without conditions.
        real: real points with a condition each.
        fake: generated ones, at least one at every real condition.

    Raises:
        DataError: a real condition has no generated point.
    """
    (x, c), (y, e) = split(real), split(fake)
    mine, theirs = numbered(c, e)
    lacking = ~torch.isin(mine, theirs)
    if bool(lacking.any()):
        raise DataError(
            f"{int(lacking.sum())} real points have a condition at which nothing was generated; "
            "generate at the real conditions: latent.beside(real)"
        )
    total = 0.0
    for number in sorted(set(mine.tolist())):
        here = (mine == number).nonzero()[:, 0]
        there = (theirs == number).nonzero()[:, 0]
        total += len(here) * exact.w1(space, pick(x, here), pick(y, there))
    return total / len(mine)
