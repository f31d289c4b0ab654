"""Labels that are hard: how many sites differ."""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor

from wgankit.errors import SettingError, ShapeError
from wgankit.space import MetricSpace, Points, leaves, pairwise


def _rows(points: Points) -> Tensor:
    given = leaves(points)[0]
    if given.is_floating_point() or given.is_complex():
        raise ShapeError(
            f"points of Hamming are labels, integers of shape (B, ...); got {given.dtype}; for "
            "probabilities of labels, such as a generator's, there is OneHot"
        )
    return given.reshape(len(given), -1)


@final
class Hamming(MetricSpace):
    """Sites that carry labels, integers `(B, ...)` in [0, labels); d counts the sites that differ.

    Slopes are taken between neighbours, points that differ at one site.  W1 is that of `OneHot`
    with the same weight, whose points a generator can return and be trained through.

    Arguments:
        labels: how many labels there are, at least 2; needed to find neighbours.
        weight: what changing one label costs, > 0.
    """

    def __init__(self, labels: int, *, weight: float = 1.0) -> None:
        if labels < 2:
            raise SettingError(f"labels is how many labels a site can carry, >= 2; got {labels}")
        if not weight > 0:
            raise SettingError(f"a label's weight is a number > 0; got {weight}")
        self.labels = int(labels)
        self.weight = float(weight)

    def distance(self, x: Points, y: Points) -> Tensor:
        """Return weight times the number of sites that differ, `(B,)`."""
        return (_rows(x) != _rows(y)).sum(1) * self.weight

    def segment(self, x: Points, y: Points, t: Tensor) -> tuple[Points, Points]:
        """Return the two ends of one step on a way from x to y, near fraction t.

        The way changes the sites that differ one after another, in a random order.  Where x = y the
        step changes a random site of x to another random label.
        """
        a, b = _rows(x), _rows(y)
        differ = a != b
        count = differ.sum(1, keepdim=True)
        other = (a.long() + torch.randint_like(a, 1, self.labels, dtype=torch.long)) % self.labels
        goal = torch.where(count > 0, b, other.to(a.dtype))
        # Sites that differ come first; all in a random order.
        order = torch.rand(a.shape, device=a.device) + ~differ
        step = (count * t[:, None]).long().minimum(count - 1).clamp_min(0)
        now = order.sort(1).values.gather(1, step)
        u, v = torch.where(order < now, goal, a), torch.where(order <= now, goal, a)
        shape = leaves(x)[0].shape
        return u.view(shape), v.view(shape)


@pairwise.register(Hamming)
def _table(space: Hamming, x: Points, y: Points, block: int = 65_536) -> Tensor:
    # The "0-norm" counts entries that are not 0; floats hold labels below 2^24 exactly.
    form = torch.get_default_dtype() if space.labels < 2**24 else torch.float64
    return torch.cdist(_rows(x).to(form), _rows(y).to(form), 0.0) * space.weight
