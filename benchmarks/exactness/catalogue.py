"""What an experiment is: numbered claims, each an exact answer, a reached figure and a target."""

from __future__ import annotations

import importlib
import pkgutil
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch


@dataclass(frozen=True)
class Line:
    """One checked figure of an experiment.

    Arguments:
        what: what was measured.
        exact: the exact answer, or "-" where the target itself is the claim.
        reached: the figure that was seen.
        target: what it has to be, in words.
        met: whether it is.
    """

    what: str
    exact: str
    reached: str
    target: str
    met: bool


def _show(value: float) -> str:
    return f"{value:.6g}"


def near(
    what: str, exact: float, reached: float, *, relative: float = 0.0, absolute: float = 0.0
) -> Line:
    """Return the line of a figure that has to be within a tolerance of its exact answer."""
    allowed = max(relative * abs(exact), absolute)
    said = f"within {relative:.2g} relative" if relative else f"within {absolute:.2g}"
    met = bool(abs(reached - exact) <= allowed)
    return Line(what, _show(exact), _show(reached), said, met)


def at_most(what: str, bound: float, reached: float, *, exact: float | None = None) -> Line:
    """Return the line of a figure that has to be at most a bound."""
    said = "-" if exact is None else _show(exact)
    return Line(what, said, _show(reached), f"<= {_show(bound)}", bool(reached <= bound))


def at_least(what: str, bound: float, reached: float, *, exact: float | None = None) -> Line:
    """Return the line of a figure that has to be at least a bound."""
    said = "-" if exact is None else _show(exact)
    return Line(what, said, _show(reached), f">= {_show(bound)}", bool(reached >= bound))


def holds(what: str, met: bool, reached: str = "") -> Line:
    """Return the line of a claim that is true or not."""
    return Line(what, "true", reached or str(bool(met)).lower(), "true", bool(met))


Run = Callable[[bool], Iterable[Line]]


@dataclass(frozen=True)
class Experiment:
    """A numbered experiment.

    Arguments:
        number: its number; parts of one have letters ("31b").
        title: what it shows.
        run: quick -> lines; `quick` asks for a smaller instance with the same exact answer.
        quick: whether it belongs to the quick subset.
    """

    number: str
    title: str
    run: Run
    quick: bool


@dataclass(frozen=True)
class Result:
    """What a run of an experiment gave: its lines and its processor time in seconds."""

    number: str
    title: str
    seconds: float
    lines: tuple[Line, ...]

    @property
    def met(self) -> bool:
        """Whether every line met its target."""
        return all(line.met for line in self.lines)

    def row(self) -> dict[str, Any]:
        """Return the result as plain data."""
        return asdict(self)


_FOUND: dict[str, Experiment] = {}


def experiment(number: str, title: str, *, quick: bool = False) -> Callable[[Run], Run]:
    """Register a function as an experiment."""

    def register(run: Run) -> Run:
        if number in _FOUND:
            raise ValueError(f"two experiments are numbered {number}")
        _FOUND[number] = Experiment(number, title, run, quick)
        return run

    return register


def _order(number: str) -> tuple[int, str]:
    digits = "".join(letter for letter in number if letter.isdigit())
    return int(digits), number[len(digits) :]


def catalogue() -> list[Experiment]:
    """Return all experiments in the order of their numbers."""
    for found in pkgutil.iter_modules([str(Path(__file__).parent)]):
        if found.name != "__main__":
            importlib.import_module(f"benchmarks.exactness.{found.name}")
    return [_FOUND[number] for number in sorted(_FOUND, key=_order)]


def perform(number: str, quick: bool) -> Result:
    """Run one experiment on one thread, from a fixed seed."""
    chosen = next(one for one in catalogue() if one.number == number)
    torch.set_num_threads(1)
    torch.manual_seed(0)
    start = time.process_time()
    lines = tuple(chosen.run(quick))
    return Result(chosen.number, chosen.title, time.process_time() - start, lines)
