"""What people see while a run goes on."""

from __future__ import annotations

import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, final


class Teller(ABC):
    """Somebody who tells people how a run goes."""

    @abstractmethod
    def say(self, line: str) -> None:
        """Tell one line."""

    @abstractmethod
    def start(self, title: str, done: int, steps: int) -> None:
        """Begin with `done` of `steps` steps done."""

    @abstractmethod
    def advance(self, done: int, row: Mapping[str, float]) -> None:
        """Tell how far the run is and what the critic says; `row` is empty between readings."""

    def note(self, words: str) -> None:
        """Say what is being done that takes a while and is not a step; "" when it is over."""
        return

    def stop(self) -> None:
        """End."""
        return


@final
class Silent(Teller):
    """Tells nothing."""

    def say(self, line: str) -> None:
        """Keep the line to oneself."""

    def start(self, title: str, done: int, steps: int) -> None:
        """Begin."""

    def advance(self, done: int, row: Mapping[str, float]) -> None:
        """Go on."""


def figures_line(row: Mapping[str, float]) -> str:
    """Return the critic's report in short: the estimate never stands without its company."""
    return (
        f"W1 {row['w1']:.3g} (gap {row['gap']:.3g}, at least {row['lower']:.3g})  "
        f"steepest {row['steepest']:.2f}, {row['share_above_one']:.0%} above 1, "
        f"residual {row['residual']:+.2f}"
    )


@final
class Terminal(Teller):
    """A bar on a terminal; a line now and then where the output is a file.

    Arguments:
        every: seconds between lines where there is no terminal.
    """

    def __init__(self, every: float = 20.0) -> None:
        from rich.console import Console

        self.console = Console(stderr=True, highlight=False)
        self.every = every
        self.bar: Any = None
        self.task: Any = None
        self.first = (0, 0.0)
        self.told = 0.0
        self.steps = 0

    def say(self, line: str) -> None:
        """Print a line above the bar."""
        self.console.print(line, markup=False, soft_wrap=True)

    def start(self, title: str, done: int, steps: int) -> None:
        """Show the bar."""
        self.steps = steps
        self.first = (done, time.monotonic())
        self.told = time.monotonic()
        if self.console.is_terminal:
            self.bar = make_bar(self.console)
            self.task = self.bar.add_task(title, total=steps, completed=done, figures="", speed="")
            self.bar.start()

    def advance(self, done: int, row: Mapping[str, float]) -> None:
        """Move the bar, or print a line if it is time for one."""
        now = time.monotonic()
        speed = (done - self.first[0]) / max(now - self.first[1], 1e-9)
        if self.bar is not None:
            fields = {"figures": figures_line(row)} if row else {}
            self.bar.update(self.task, completed=done, speed=f"{speed:.1f} steps/s", **fields)
        elif row and now - self.told >= self.every:
            self.told = now
            left = (self.steps - done) / max(speed, 1e-9)
            self.say(
                f"step {done:,} of {self.steps:,}  {figures_line(row)}  "
                f"{speed:.1f} steps/s  {clock(left)} left"
            )
            sys.stderr.flush()

    def note(self, words: str) -> None:
        """Show the words where the figures go, or print them."""
        if self.bar is not None:
            self.bar.update(self.task, figures=words)
        elif words:
            self.say(words)

    def stop(self) -> None:
        """Take the bar down."""
        if self.bar is not None:
            self.bar.stop()
            self.bar = None


def make_bar(console: Any) -> Any:
    """Return a progress bar with the critic's figures, steps per second and time left."""
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    return Progress(
        TextColumn("{task.description}"),
        BarColumn(bar_width=20),
        TextColumn("{task.completed:,.0f}/{task.total:,.0f}"),
        TextColumn("{task.fields[figures]}"),
        TextColumn("{task.fields[speed]}"),
        TimeRemainingColumn(),
        console=console,
        refresh_per_second=4,
    )


def clock(seconds: float) -> str:
    """Return a time span as people write it."""
    whole = int(seconds)
    hours, minutes = whole // 3600, whole % 3600 // 60
    return f"{hours}:{minutes:02}:{whole % 60:02}" if hours else f"{minutes}:{whole % 60:02}"
