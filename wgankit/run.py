"""A run folder: what a training leaves on disk, whole at every moment.

config.json       recipe, settings, vocabulary, what was skipped
data.pt           the encoded points and which of them are held out
last.pt           the state of the training: it goes on from here
best.pt           the averaged generator that scored best
metrics.jsonl     one line for each reading
report.html       curves, pictures, tables; rewritten while the run goes on
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, cast, final

from wgankit import state as states
from wgankit.errors import RunError


@final
class RunFolder:
    """The files of one run.

    Arguments:
        path: the folder.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)

    config = property(lambda self: self.path / "config.json")
    data = property(lambda self: self.path / "data.pt")
    last = property(lambda self: self.path / "last.pt")
    best = property(lambda self: self.path / "best.pt")
    metrics = property(lambda self: self.path / "metrics.jsonl")
    report = property(lambda self: self.path / "report.html")

    def exists(self) -> bool:
        """Return whether the folder holds a run."""
        return bool(self.config.is_file())

    def create(self, config: Mapping[str, Any], data: dict[str, Any]) -> None:
        """Begin a run in this folder, which must not hold one.

        Raises:
            RunError: if the folder cannot be written, or holds a run.
        """
        if self.exists():
            raise RunError(
                f"{self.path} holds a run already; go on with it: wgankit resume {self.path}, "
                "or choose another folder: --out FOLDER"
            )
        try:
            self.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise RunError(
                f"cannot make the run folder {self.path}: {error.strerror or error}; "
                "choose another with --out FOLDER"
            ) from error
        # The config goes last: a folder with a config always has its data.
        states.save(data, self.data)
        self.write_config(config)

    def write_config(self, config: Mapping[str, Any]) -> None:
        """Write the run's recipe, settings and vocabulary."""
        states.write_text(self.config, json.dumps(config, indent=1) + "\n")

    def read_config(self) -> dict[str, Any]:
        """Return the run's recipe, settings and vocabulary.

        Raises:
            RunError: if the folder holds no run, or the file is damaged.
        """
        if not self.exists():
            raise RunError(
                f"{self.path} holds no run (there is no {self.config.name} in it); "
                "begin one with: wgankit train RECIPE --data FILE --out FOLDER"
            )
        try:
            return cast(dict[str, Any], json.loads(self.config.read_text()))
        except ValueError as error:
            raise RunError(f"{self.config} is damaged: {error}") from error

    def append(self, row: Mapping[str, Any]) -> None:
        """Add one reading to the metrics."""
        try:
            with self.metrics.open("a") as file:
                file.write(json.dumps(row) + "\n")
        except OSError as error:
            raise RunError(f"cannot write {self.metrics}: {error.strerror or error}") from error

    def history(self) -> list[dict[str, Any]]:
        """Return all readings; a line that a kill cut short is left out."""
        return list(self._lines()) if self.metrics.is_file() else []

    def _lines(self) -> Iterator[dict[str, Any]]:
        for line in self.metrics.read_text().splitlines():
            try:
                yield json.loads(line)
            except ValueError:
                continue

    def forget_after(self, step: int) -> list[dict[str, Any]]:
        """Drop readings later than a step, which will be done again; return those that stay."""
        kept = [row for row in self.history() if row["step"] <= step]
        if self.path.is_dir():
            states.write_text(self.metrics, "".join(json.dumps(row) + "\n" for row in kept))
        return kept
