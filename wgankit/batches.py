"""Random batches of a data set that lies on the device."""

from __future__ import annotations

from typing import Any, final

import torch

from wgankit.errors import DataError
from wgankit.space import Points, batch_size, leaves, pick


@final
class Batches:
    """Draws batches without replacement, epoch after epoch, without asking the host.

    Arguments:
        points: the whole data set on the device.
        size: points in a batch.

    Raises:
        DataError: if the data set is smaller than a batch.
    """

    def __init__(self, points: Points, size: int) -> None:
        count = batch_size(points)
        if count < size:
            raise DataError(
                f"a batch of {size} cannot be drawn from {count} points; "
                f"give batch={count} or smaller, or more data"
            )
        self.points = points
        self.size = size
        self.order = torch.empty(0, dtype=torch.long, device=leaves(points)[0].device)
        self.place = 0

    def draw(self, batches: int = 1) -> Points:
        """Return the next batches, one after another in one.

        A new random order begins where too few points are left for a whole batch.
        """
        places = [self._next() for _ in range(batches)]
        return pick(self.points, places[0] if batches == 1 else torch.cat(places))

    def _next(self) -> torch.Tensor:
        if self.place + self.size > len(self.order):
            device = self.order.device
            self.order = torch.randperm(batch_size(self.points), device=device)
            self.place = 0
        self.place += self.size
        return self.order[self.place - self.size : self.place]

    def state_dict(self) -> dict[str, Any]:
        """Return the place in the epoch as plain data."""
        return {"order": self.order, "place": self.place}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on at a place in the epoch."""
        self.order = state["order"].to(self.order.device)
        self.place = state["place"]
