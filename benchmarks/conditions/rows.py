"""What the parts share: seeds, rows of figures with targets, and a word on the time they took."""

from __future__ import annotations

import math
import sys
import time
from dataclasses import dataclass

from benchmarks.command import Missed

SEEDS = range(3)
"""Of problems that are run several times."""


@dataclass(frozen=True)
class Row:
    """One line of a table, and what it should have said.

    Arguments:
        what: what was run.
        figures: what came of it, by name.
        targets: for some of the figures the least and the largest that are allowed.
    """

    what: str
    figures: dict[str, float]
    targets: dict[str, tuple[float, float]]

    def missed(self, section: str) -> list[Missed]:
        """Return the targets that were not reached."""
        return [
            Missed(f"{section}: {self.what}: {name}", f"{self.figures[name]:.4g}", _said(*bounds))
            for name, bounds in self.targets.items()
            if not bounds[0] <= self.figures[name] <= bounds[1]
        ]


def _said(least: float, largest: float) -> str:
    if math.isinf(largest):
        return f">= {least:.4g}"
    return f"<= {largest:.4g}" if math.isinf(least) else f"{least:.4g} to {largest:.4g}"


def near(value: float, share: float) -> tuple[float, float]:
    """Return the range of a share around a value."""
    return value * (1 - share), value * (1 + share)


def least(value: float) -> tuple[float, float]:
    """Return the range from a value upwards."""
    return value, math.inf


def most(value: float) -> tuple[float, float]:
    """Return the range up to a value."""
    return -math.inf, value


def tell(what: str, begun: float) -> None:
    """Print on the error stream for how many seconds something ran."""
    print(f"{what}: {time.monotonic() - begun:.0f} s", file=sys.stderr, flush=True)
