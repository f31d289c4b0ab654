"""Groups of unequal size: how often each is drawn, and what a critic says of each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from wgankit import exact
from wgankit.constraint import Constraint
from wgankit.errors import DataError, SettingError
from wgankit.estimates import Estimate, estimate
from wgankit.space import Critic, MetricSpace, Points, batch_size, leaves, pick, to_device
from wgankit_labels.figures import coverage

Groups = Callable[[Points], Tensor]
"""Points -> the number of the group that each belongs to, integers `(B,)`."""


@final
class GroupSampler:
    """Draws the points of groups in shares of one's choice: `prepare` of `wgankit.train`.

        sampler = GroupSampler(points, groups)
        wgankit.train(generator, critic, sampler.places, prepare=sampler, ...)

    The objective is then W1(sum_k w_k P_k, sum_k w_k Q_k), for conditions that tell the group the
    sum of w_k W1(P_k, Q_k): a group of 1 in 100 no longer counts a hundredth.  Within an epoch
    every group gets its share of the draws; which of its points is drawn is chance.

    Arguments:
        points: the real points.
        groups: the number of each one's group, 0, 1, ..., `(n,)`.
        shares: w, how much of a batch each group gets, `(G,)`; equal by default.

    `shares` may change between steps (`favour`); whoever saves a training saves them as well.
    """

    def __init__(
        self, points: Points, groups: Tensor, shares: Sequence[float] | Tensor | None = None
    ) -> None:
        counts = groups.bincount()
        if groups.shape != (batch_size(points),) or not bool((counts > 0).all()):
            raise DataError(
                f"{batch_size(points)} points need as many groups, numbered 0, 1, ... without a "
                f"gap; got {tuple(groups.shape)} with {counts.tolist()} members"
            )
        self.shares = torch.ones(len(counts)) if shares is None else torch.as_tensor(shares).float()
        if self.shares.shape != counts.shape or not bool((self.shares > 0).all()):
            raise SettingError(
                f"{len(counts)} groups need as many shares > 0; got {self.shares.tolist()}"
            )
        self.shares = self.shares / self.shares.sum()
        self.points = points
        self.order = groups.argsort(stable=True)
        self.counts, self.starts = counts, counts.cumsum(0) - counts
        self.places = torch.arange(len(groups))

    def __call__(self, places: Points) -> Points:
        """Return a point for each of the places that a batch drew."""
        (place,) = leaves(places)
        self._move(place.device)
        level = (place.to(self.shares.dtype) + 0.5) / len(self.places)
        group = torch.searchsorted(self.shares.cumsum(0), level).clamp_max(len(self.shares) - 1)
        member = (torch.rand_like(level) * self.counts[group]).long()
        member = torch.minimum(member, self.counts[group] - 1)
        return pick(self.points, self.order[self.starts[group] + member])

    def favour(self, losses: Tensor, *, rate: float = 0.1, least: float = 0.0) -> None:
        """Give groups with larger losses larger shares: w_k <- w_k exp(rate * loss_k), normalised.

        Repeated, the shares go to the worst group (Sagawa, Koh, Hashimoto, Liang, 2020, algorithm
        1), all of them if it stays the worst.

        Arguments:
            losses: of each group, `(G,)`, such as W1 divided by what it was at the start.
            rate: how fast, > 0.
            least: share that every group keeps, in [0, 1 / G).
        """
        if not 0 <= least * len(self.shares) < 1:
            raise SettingError(
                f"{len(self.shares)} groups can keep less than {1 / len(self.shares):.3g} each; "
                f"got least={least}"
            )
        # What is above the least share is what the losses move.
        spare = 1 - least * len(self.shares)
        free = ((self.shares - least) / spare).clamp_min(1e-12)
        moved = (free.log() + rate * losses.to(self.shares)).softmax(0)
        # In place, so that steps that were captured as a graph see it.
        self.shares.copy_(least + spare * moved)

    def _move(self, device: torch.device) -> None:
        if self.order.device == device:
            return
        self.points = to_device(self.points, device)
        for name in ("order", "counts", "starts", "shares"):
            setattr(self, name, getattr(self, name).to(device))


def repeated(groups: Tensor) -> Tensor:
    """Return places of points, those of smaller groups several times, so that all count alike.

    Arguments:
        groups: the number of each point's group, `(n,)`.
    """
    members = [(groups == number).nonzero()[:, 0] for number in sorted(set(groups.tolist()))]
    most = max(map(len, members))
    return torch.cat([some[torch.arange(most) % len(some)] for some in members])


@final
@dataclass(frozen=True)
class GroupFigures:
    """What is known of one group.

    Arguments:
        count: how many real points it has among those looked at.
        estimate: the critic's report: slopes, gap and W1 within the group.
        exact: W1 within the group by exact transport.
        coverage: share of its real points with a generated one in their neighbourhood.
    """

    count: int
    estimate: Estimate
    exact: float
    coverage: float

    def row(self) -> dict[str, float]:
        """Return all figures by name."""
        told = {"count": float(self.count), "exact_w1": self.exact, "coverage": self.coverage}
        return {**self.estimate.row(), **told}


def by_group(
    space: MetricSpace,
    critic: Critic,
    real: Points,
    fake: Points,
    groups: Groups,
    *,
    penalty: Constraint | None = None,
    weight: float = 1.0,
) -> dict[int, GroupFigures]:
    """Return slopes, estimate, exact W1 and coverage of each group.

    Arguments:
        space: the metric space, such as `EachCondition(...)`.
        critic: scores `(B,)` of a batch.
        real: real points.
        fake: as many generated ones, each with the condition of the real one at its place.
        groups: points -> numbers of their groups.
        penalty: with which the critic was trained; a one-sided one by default.
        weight: its lambda, in units of distance.
    """
    if batch_size(real) != batch_size(fake):
        raise DataError(
            f"each real point has a generated one beside it; got {batch_size(real)} real and "
            f"{batch_size(fake)} generated"
        )
    numbers = groups(real)
    found: dict[int, GroupFigures] = {}
    for number, told in estimates(
        space, critic, real, fake, groups, penalty=penalty, weight=weight
    ).items():
        members = (numbers == number).nonzero()[:, 0]
        x, y = pick(real, members), pick(fake, members)
        found[number] = GroupFigures(
            len(members), told, exact.w1(space, x, y), coverage(space, x, y)
        )
    return found


def estimates(
    space: MetricSpace,
    critic: Critic,
    real: Points,
    fake: Points,
    groups: Groups,
    *,
    penalty: Constraint | None = None,
    weight: float = 1.0,
) -> dict[int, Estimate]:
    """Return what a critic says of each group; arguments as of `by_group`."""
    numbers = groups(real)
    return {
        number: estimate(
            space,
            critic,
            pick(real, members),
            pick(fake, members),
            penalty=penalty,
            weight=weight,
        )
        for number in sorted(set(numbers.tolist()))
        for members in [(numbers == number).nonzero()[:, 0]]
    }
