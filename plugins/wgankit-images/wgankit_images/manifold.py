"""Where penalties look: along thin data, beside the straight lines from real to generated points.

A penalty makes a critic 1-Lipschitz only where it looks.  Straight lines between real and generated
points that have nothing to do with each other pass far from the data; these places lie on it.  They
change where the constraint is enforced and not what the best critic is: how much of its slope leads
along the data is the metric's affair (docs/theory/collapse.md, and `stripes` in benchmarks/images).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from wgankit.errors import SettingError
from wgankit.penalty import Penalty, between
from wgankit.space import MetricSpace, Points, batch_size, leaves, on_leaves, pairwise, pick, spread
from wgankit.spaces import Normed


def _check_share(share: float) -> None:
    if not 0 <= share <= 1:
        raise SettingError(f"share is a share of the slopes, in [0, 1]; got {share}")


def _choose(chosen: Tensor, one: Points, other: Points) -> Points:
    """Return the points of one batch where chosen, and of the other elsewhere."""
    return on_leaves(lambda a, b: torch.where(spread(chosen, a), a, b), one, other)


def _first(real: Points, share: float) -> Tensor:
    """Return which rows, a share of all, are not straight; rows of a batch come in random order."""
    count = batch_size(real)
    return torch.arange(count, device=leaves(real)[0].device) < round(share * count)


@final
@dataclass(frozen=True)
class AlongData:
    """Slopes between near neighbours among the real points, and straight ones besides.

    A penalty's `where`.  From a point of thin data to a near neighbour one moves along the data.

    Arguments:
        space: in which neighbours are near.
        share: share of the slopes that are taken between neighbours; the rest are straight, which
            they have to be where generated points are far from the data: nothing else would bound
            the critic on the way to them.
        neighbours: among how many nearest ones of the batch a neighbour is drawn.
    """

    space: MetricSpace
    share: float = 0.5
    neighbours: int = 3

    def __post_init__(self) -> None:
        _check_share(self.share)
        if self.neighbours < 1:
            raise SettingError(f"neighbours is at least 1; got {self.neighbours}")

    def __call__(self, real: Points, fake: Points) -> tuple[Points, Points, Tensor]:
        """Return starts, ends and fractions of the way, as many as there are real points."""
        x, y, t = between(real, fake)
        return x, _choose(_first(real, self.share), self.beside(real), y), t

    @torch.no_grad()
    def beside(self, real: Points) -> Points:
        """Return for each point of a batch one of its nearest neighbours, drawn at random."""
        table = pairwise(self.space, real, real)
        count = len(table)
        if count <= self.neighbours:
            raise SettingError(
                f"{self.neighbours} neighbours need a batch of more points; got {count}"
            )
        itself = torch.eye(count, dtype=torch.bool, device=table.device)
        nearest = table.masked_fill(itself, torch.inf).topk(self.neighbours, largest=False).indices
        drawn = torch.randint(self.neighbours, (count, 1), device=table.device)
        return pick(real, nearest.gather(1, drawn)[:, 0])


@final
@dataclass(frozen=True)
class InLatent:
    """Slopes at decoded points on the way between the codes of a real and a generated point.

    A penalty's `where`.  The way through the codes of an autoencoder stays on what it decodes.

    Arguments:
        encoder: points -> codes `(B, k)`.
        decoder: codes -> points.
        share: share of the slopes that are taken there; the rest are straight (see `AlongData`).
    """

    encoder: Callable[[Points], Tensor]
    decoder: Callable[[Tensor], Points]
    share: float = 0.5

    def __post_init__(self) -> None:
        _check_share(self.share)

    @torch.no_grad()
    def __call__(self, real: Points, fake: Points) -> tuple[Points, Points, Tensor]:
        """Return starts, ends and fractions; a decoded point is both ends of its own way."""
        x, y, t = between(real, fake)
        codes = torch.lerp(self.encoder(real), self.encoder(fake), t[:, None])
        there, chosen = self.decoder(codes), _first(real, self.share)
        return _choose(chosen, there, x), _choose(chosen, there, y), t


def along_data(weight: float = 10.0, share: float = 0.5, neighbours: int = 3) -> Penalty:
    """Return a one-sided penalty with a share of slopes between Euclidean neighbours."""
    return Penalty(weight=weight, where=AlongData(Normed(), share, neighbours))
