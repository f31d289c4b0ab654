"""Random batches of a data set, on the device or brought there."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, final

import torch
from torch import Tensor

from wgankit.errors import DataError
from wgankit.space import Points, batch_size, leaves, on_leaves, pick, to_device

FITS = 0.5
"""Share of a device's free memory that the data set may take; a larger one stays on the host."""

GOLDEN = 0x9E3779B97F4A7C15
"""An odd number that spreads epochs over the seeds (Steele, Lea and Flood, 2014)."""


@final
class Batches:
    """Draws batches without replacement, epoch after epoch, without asking the device.

    The order of an epoch is made of the seed and the epoch's number, so a place in it is two
    numbers, and several processes that take turns in one order see different points.

    Arguments:
        points: the whole data set.  Where it fits it is moved to the device; else it stays where it
            is (in memory, or in a file that is mapped there), and the batches to come are fetched
            in the background while the device works.
        size: points in a batch.
        device: where batches are wanted.
        seed: of the order.
        rank: which of the processes this is.
        processes: how many take turns.

    Raises:
        DataError: if the data set is smaller than a batch for each process.
    """

    def __init__(
        self,
        points: Points,
        size: int,
        *,
        device: torch.device | str = "cpu",
        seed: int = 0,
        rank: int = 0,
        processes: int = 1,
    ) -> None:
        self.count = batch_size(points)
        if self.count < size * processes:
            each = f" for each of {processes} processes" if processes > 1 else ""
            raise DataError(
                f"a batch of {size}{each} cannot be drawn from {self.count} points; "
                f"give batch={self.count // processes} or smaller, or more data"
            )
        self.size, self.device = size, torch.device(device)
        self.seed, self.rank, self.processes = seed, rank, processes
        self.resident = self.device.type == "cpu" or fits(points, self.device)
        self.points = to_device(points, self.device) if self.resident else points
        self.epoch, self.place = 0, 0
        self.order = self._order()
        self.ahead: tuple[tuple[int, int, int], Future[Points]] | None = None
        self.fetcher = None if self.resident else ThreadPoolExecutor(1, "wgankit-batches")

    def draw(self, batches: int = 1) -> Points:
        """Return the next batches, one after another in one.

        A new random order begins where too few points are left for a batch for every process.
        """
        if self.fetcher is None:
            return pick(self.points, self._next(batches))
        # A fetch knows its place, so that nothing is lost where another number is asked for.
        here = (self.epoch, self.place, batches)
        waiting = self.ahead[1] if self.ahead and self.ahead[0] == here else None
        index = self._next(batches)
        found = waiting.result() if waiting else fetch(self.points, index)
        there = self.epoch, self.place
        coming = self._next(batches)
        self._go_to(*there)
        self.ahead = ((*there, batches), self.fetcher.submit(fetch, self.points, coming))
        return on_leaves(lambda part: part.to(self.device, non_blocking=True), found)

    def _next(self, batches: int) -> Tensor:
        """Return the indices of the next batches of this process."""
        turn = self.size * self.processes
        parts = []
        for _ in range(batches):
            if self.place + turn > self.count:
                self._go_to(self.epoch + 1, 0)
            begin = self.place + self.rank * self.size
            parts.append(self.order[begin : begin + self.size])
            self.place += turn
        return parts[0] if batches == 1 else torch.cat(parts)

    def _go_to(self, epoch: int, place: int) -> None:
        if epoch != self.epoch:
            self.epoch = epoch
            self.order = self._order()
        self.place = place

    def _order(self) -> Tensor:
        """Return a random order of all points, on the device if they are there."""
        where = self.device if self.resident else torch.device("cpu")
        source = torch.Generator(where)
        source.manual_seed((self.seed + GOLDEN * (self.epoch + 1)) % 2**63)
        return torch.randperm(self.count, generator=source, device=where)

    def state_dict(self) -> dict[str, Any]:
        """Return the place in the epoch as plain data."""
        return {"epoch": self.epoch, "place": self.place, "seed": self.seed}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on at a place in the epoch."""
        self.seed, self.epoch, self.place = state["seed"], state["epoch"], state["place"]
        self.order = self._order()


def fits(points: Points, device: torch.device) -> bool:
    """Return whether a data set takes no more than `FITS` of a GPU's free memory."""
    free, _ = torch.cuda.mem_get_info(device)
    return sum(part.numel() * part.element_size() for part in leaves(points)) <= FITS * free


def fetch(points: Points, index: Tensor) -> Points:
    """Return some points of a data set on the host, in memory from which a GPU copies directly."""
    found = pick(points, index)
    return on_leaves(Tensor.pin_memory, found) if torch.cuda.is_available() else found
