"""Run the parts and print, for each, its rows, and the targets that were missed."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table

from benchmarks.command import Missed, finish, parser, tell_header
from benchmarks.conditions.graphs import graphs
from benchmarks.conditions.groups import draw_groups, groups
from benchmarks.conditions.labels import labels
from benchmarks.conditions.molecules import molecules
from benchmarks.conditions.multipliers import multipliers
from benchmarks.conditions.pictures import pictures
from benchmarks.conditions.rows import Row
from benchmarks.conditions.smoothness import draw_paths, smoothness

SECTIONS: dict[str, Callable[[bool], Iterator[Row]]] = {
    "labels": labels,
    "multipliers": multipliers,
    "smoothness": smoothness,
    "pictures": pictures,
    "groups": groups,
    "molecules": molecules,
    "graphs": graphs,
}


def table(rows: Sequence[Row], title: str) -> Table:
    """Return the rows of a section as a table."""
    names = list(dict.fromkeys(name for row in rows for name in row.figures))
    made = Table(title=title, title_justify="left")
    made.add_column("", no_wrap=True)
    for name in names:
        made.add_column(name, justify="right")
    for row in rows:
        cells = [f"{row.figures[name]:.3f}" if name in row.figures else "" for name in names]
        made.add_row(row.what, *cells)
    return made


def main() -> int:
    """Run the command."""
    command = parser("conditions", "Conditions, smoothness along them, groups of unequal size.")
    command.add_argument("--only", nargs="*", choices=SECTIONS, help="some sections")
    command.add_argument(
        "--pictures", type=Path, metavar="FOLDER", help="draw two pictures there, and end"
    )
    given = command.parse_args()
    torch.set_num_threads(1)
    if given.pictures:
        given.pictures.mkdir(parents=True, exist_ok=True)
        draw_paths(given.pictures)
        draw_groups(given.pictures)
        return 0
    tell_header()
    console = Console(width=None if sys.stdout.isatty() else 160)
    figures: dict[str, Any] = {}
    missed: list[Missed] = []
    for name, section in SECTIONS.items():
        if given.only and name not in given.only:
            continue
        rows = list(section(given.quick))
        if rows:
            title = (section.__doc__ or name).strip().split("\n")[0]
            console.print(table(rows, f"{name}: {title}"))
        figures[name] = [asdict(row) for row in rows]
        missed += [one for row in rows for one in row.missed(name)]
    return finish(given, figures, missed)


if __name__ == "__main__":
    sys.exit(main())
