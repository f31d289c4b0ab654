"""Batches of graphs of about one size, cut to the largest of them."""

from __future__ import annotations

from typing import Any, final

import torch
from torch import Tensor

from wgankit.errors import DataError
from wgankit.space import Points, leaves, on_leaves


@final
class BySize:
    """Draws batches of graphs with similar numbers of nodes, without padding to the largest of all.

    Put in place of a training's own: `training.batches = BySize(points, batch)`.  The cost of a
    step falls with the cube of the padding.  Every graph is drawn once an epoch, less those that no
    batch is left for; sizes are blurred before they are sorted, so that batches differ from epoch
    to epoch.  Generated graphs have to follow the sizes of the real ones beside them, as those of
    `PairLatent` do.

    Arguments:
        points: the whole data set, nodes that are there first: labels (see `encode_graphs`), or
            numbers of the nodes (see `Surroundings`).
        size: graphs in a batch.
        seed: of the order.
        blur: nodes by which sizes are blurred, at most.

    Raises:
        DataError: there are fewer graphs than a batch.
    """

    def __init__(self, points: Points, size: int, *, seed: int = 0, blur: float = 16.0) -> None:
        self.points, self.size, self.seed, self.blur = points, size, seed, blur
        first = leaves(points)[0]
        self.numbers = ((first if first.dim() == 2 else first[..., 0]) > 0).sum(1)
        self.drawn: dict[int, int] = {}
        self._check(size)

    def draw(self, batches: int = 1) -> Points:
        """Return the next `batches` batches in one, of about one size."""
        count = self.size * batches
        self._check(count)
        turn = self.drawn.get(count, 0)
        self.drawn[count] = turn + 1
        epoch, place = divmod(turn, len(self.numbers) // count)
        chosen = self._groups(epoch, count)[place]
        most = int(self.numbers[chosen].max())
        return on_leaves(lambda part: self._cut(part[chosen], most), self.points)

    def _cut(self, part: Tensor, most: int) -> Tensor:
        pairs = part.dim() == 3 and not part.is_floating_point()
        return part[:, :most, :most] if pairs else part[:, :most]

    def _groups(self, epoch: int, count: int) -> Tensor:
        """Return the places of an epoch's graphs, a row for each draw."""
        source = torch.Generator().manual_seed(self.seed * 1_000_003 + epoch)
        blur = torch.rand(len(self.numbers), generator=source) * self.blur
        # Which graphs are left over, where some are, changes from epoch to epoch.
        left = len(self.numbers) % count
        keep = torch.randperm(len(self.numbers), generator=source)[left:]
        rows = keep[(self.numbers + blur)[keep].argsort()].view(-1, count)
        rows = rows[torch.randperm(len(rows), generator=source)]
        return rows[:, torch.randperm(count, generator=source)]

    def _check(self, count: int) -> None:
        if count > len(self.numbers):
            raise DataError(
                f"{count} graphs are wanted at once (batch times n_critic), and there are "
                f"{len(self.numbers)}; give a smaller batch"
            )

    def state_dict(self) -> dict[str, Any]:
        """Return the place in the epochs as plain data."""
        return {"seed": self.seed, "drawn": dict(self.drawn)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on at a place in the epochs."""
        self.seed, self.drawn = state["seed"], dict(state["drawn"])
