"""Trainings in parts: files that can be carried, plans, and calls that end in time.

A part goes on from the files that the part before left, ends when its time is over, and says by its
exit code whether it has to be called again.
"""

from __future__ import annotations

import argparse
import io
import json
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

import torch
from torch import Tensor

import wgankit
from benchmarks.command import tell_header
from wgankit import state as states
from wgankit.domain import LEARNT, Vocabulary
from wgankit.run import RunFolder
from wgankit.space import Points, batch_size

LARGEST_FILE = 15 * 2**20
"""Bytes of the largest file that a part leaves."""

SLACK = 0.9
"""Share of a budget that is planned with."""

KEEP_EVERY = 60.0
"""Seconds between saves."""

TELL_EVERY = 20.0
"""Seconds between lines about a training under way."""

DONE = 0
GO_ON = 3
"""Exit code of a part that has to be called again."""


# Files ------------------------------------------------------------------------------------------


def write_parts(
    state: dict[str, Any], folder: Path, stem: str, *, largest: int = LARGEST_FILE
) -> None:
    """Write a state as `STEM-0.part`, `STEM-1.part`, ..., none larger than `largest` bytes."""
    buffer = io.BytesIO()
    torch.save(state, buffer)
    content = buffer.getvalue()
    starts = range(0, len(content), largest)
    new = [folder / f"{stem}-{number}.part" for number in range(len(starts))]
    for path, start in zip(new, starts, strict=True):
        path.with_suffix(".new").write_bytes(content[start : start + largest])
    remove_parts(folder, stem)
    for path in new:
        path.with_suffix(".new").replace(path)


def read_parts(folder: Path, stem: str) -> dict[str, Any] | None:
    """Return the state that `write_parts` wrote, if any."""
    count = len(list(folder.glob(f"{stem}-*.part")))
    if not count:
        return None
    content = b"".join((folder / f"{stem}-{number}.part").read_bytes() for number in range(count))
    state: dict[str, Any] = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    return state


def remove_parts(folder: Path, stem: str) -> None:
    """Remove a state's files."""
    for path in folder.glob(f"{stem}-*.part"):
        path.unlink()


# Shipping ---------------------------------------------------------------------------------------

KEPT_ALONG = 2_000
"""Objects that a shipped run holds along; half of them count as its training objects."""


def halved(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return weights in float16, on the CPU."""
    return {name: one.half().cpu() for name, one in state.items()}


def ship(
    out: Path,
    *,
    recipe: str,
    source: str,
    settings: Mapping[str, Any],
    vocabulary: Vocabulary,
    points: Points,
    learnt: Mapping[str, Tensor],
    average: Mapping[str, Tensor],
) -> None:
    """Write a run folder that holds what sampling needs, and objects that nothing was trained on.

    Arguments:
        out: the folder to make.
        recipe: full name of the run's.
        source: what was trained on, for people.
        settings: of the recipe.
        vocabulary: plain data, of the recipe's domain.
        points: of the objects, as the domain stores them.
        learnt: what the domain learnt (see `Domain.learn`), as it is to be kept.
        average: weights of the generator's average, which are kept in float16.

    Raises:
        RunError: the folder holds a run.
    """
    count = batch_size(points)
    config = {
        "wgankit": wgankit.__version__, "recipe": recipe, "source": source, "settings": settings,
        "vocabulary": vocabulary, "skipped": {}, "objects": count, "held_out": count // 2,
    }  # fmt: skip
    order = torch.arange(count)
    data = {
        "points": points, LEARNT: dict(learnt),
        "held_out": order[: count // 2], "training": order[count // 2 :],
    }  # fmt: skip
    folder = RunFolder(out)
    folder.create(config, data)
    states.save({"average": halved(average)}, folder.best)
    size = sum(path.stat().st_size for path in out.iterdir())
    print(f"{out}: {size / 1e6:.1f} MB")


# Plans ------------------------------------------------------------------------------------------


@final
@dataclass(frozen=True)
class Plan:
    """Numbers that are decided once, in `plan.json` of a folder."""

    folder: Path

    def number(self, name: str, decide: Callable[[], int]) -> int:
        """Return a number that was decided before, or decide it now and write it down."""
        known = self._known()
        if name not in known:
            self.replace(name, decide())
            print(f"{name} planned: {self._known()[name]:,}", flush=True)
        return self._known()[name]

    def replace(self, name: str, number: int) -> None:
        """Write a number down in place of what was decided before."""
        text = json.dumps({**self._known(), name: number})
        states.write_text(self.folder / "plan.json", text + "\n")

    def _known(self) -> dict[str, int]:
        path = self.folder / "plan.json"
        known: dict[str, int] = json.loads(path.read_text()) if path.is_file() else {}
        return known


def synchronised(device: torch.device) -> float:
    """Return the time when the device has done all it was told."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.monotonic()


def seconds_a_step(
    step: Callable[[], Any], device: torch.device, *, warm: int, timed: int
) -> float:
    """Return how long a step takes once it is warm: the mean over `timed` of them."""
    for _ in range(warm):
        step()
    begun = synchronised(device)
    for _ in range(timed):
        step()
    return (synchronised(device) - begun) / timed


def steps_within(budget: float, seconds: float) -> int:
    """Return how many steps of so many seconds fit into a budget, at least one."""
    return max(1, math.floor(SLACK * budget / seconds))


# Calls ------------------------------------------------------------------------------------------


def go_on(training: wgankit.Training, keep: Callable[[], None], *, ends: float) -> bool:
    """Do the steps that are left, as far as the time reaches; return whether all are done.

    Arguments:
        training: under way, as long as it is to be.
        keep: called now and then, and in the end if steps are left.
        ends: when to stop, by `time.monotonic`.
    """
    told = kept = time.monotonic()
    for step in training:
        now = time.monotonic()
        if now - told > TELL_EVERY:
            told, row = now, step.estimate.row()
            print(f"step {step.index:,} of {training.steps:,}: W1 {row['w1']:.3g}", flush=True)
        if now > ends:
            break
        if now - kept > KEEP_EVERY:
            kept = now
            keep()
    print(f"step {training.index:,} of {training.steps:,}", flush=True)
    done = training.index >= (training.steps or 0)
    if not done:
        keep()
    return done


def call(
    options: argparse.Namespace, names: Sequence[str], run: Callable[[str, argparse.Namespace], int]
) -> int:
    """Run the part that is asked for once, or all, each until it is done.

    Arguments:
        options: of `parser`.
        names: of all parts, in their order.
        run: runs one once, and returns its exit code.

    Returns:
        The exit code of the last.
    """
    tell_header()
    whole, code = options.part == "all", DONE
    for part in names if whole else [options.part]:
        code = run(part, options)
        while whole and code == GO_ON:
            code = run(part, options)
    print("done" if code == DONE else "to be called again")
    return code


def parser(
    name: str, summary: str, names: Sequence[str], *, budget: str
) -> argparse.ArgumentParser:
    """Return the parser of `python -m benchmarks.NAME PART` with the switches that all have.

    Arguments:
        name: of the benchmark.
        summary: what it does.
        names: of its parts; "all" is added.
        budget: what the help says of `--budget`.
    """
    made = argparse.ArgumentParser(prog=f"python -m benchmarks.{name}", description=summary)
    made.add_argument("part", choices=(*names, "all"))
    made.add_argument("--folder", type=Path, required=True, help="where the files are")
    made.add_argument("--minutes", type=float, default=8.5, help="of this call, at most")
    made.add_argument("--budget", type=float, help=f"minutes of all calls of a part; {budget}")
    sizes = made.add_mutually_exclusive_group()
    sizes.add_argument("--tiny", action="store_true", help="a trial on very little")
    sizes.add_argument("--core", action="store_true", help="sizes for one core of a CPU")
    made.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    return made
