"""Run the experiments and print, for each, exact answer, reached figure, target, seconds, pass."""

from __future__ import annotations

import multiprocessing
import os
import sys
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from benchmarks.command import Missed, finish, parser, tell_header
from benchmarks.exactness.catalogue import Experiment, Result, catalogue, perform


def table(results: Iterable[Result]) -> Table:
    """Return the results as a table."""
    made = Table(title="Exact answers", title_justify="left", header_style="bold")
    for name in ("#", "experiment", "exact", "reached", "target", "s", "pass"):
        made.add_column(name, justify="right" if name == "s" else "left", overflow="fold")
    for result in results:
        made.add_section()
        made.add_row(result.number, f"[bold]{result.title}[/]", "", "", "", f"{result.seconds:.1f}")
        for line in result.lines:
            sign = "[green]yes[/]" if line.met else "[red]NO[/]"
            made.add_row("", line.what, line.exact, line.reached, line.target, "", sign)
    return made


def run_all(chosen: list[Experiment], quick: bool, jobs: int) -> Iterator[Result]:
    """Yield results as they come, from `jobs` processes of one thread each."""
    if jobs == 1:
        yield from (perform(one.number, quick) for one in chosen)
        return
    method = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(jobs, mp_context=method) as pool:
        waiting = [pool.submit(perform, one.number, quick) for one in chosen]
        for done in as_completed(waiting):
            yield done.result()


def choose(only: list[str], quick: bool) -> list[Experiment]:
    """Return the experiments asked for; an unknown number ends the command."""
    known = catalogue()
    unknown = set(only) - {one.number for one in known}
    if unknown:
        sys.exit(
            f"no experiment is numbered {', '.join(sorted(unknown))}; there are "
            f"{', '.join(one.number for one in known)}"
        )
    if only:
        return [one for one in known if one.number in only]
    return [one for one in known if one.quick or not quick]


def main() -> int:
    """Run the command."""
    options = parser("exactness", "Every claim against its exact answer.")
    options.add_argument("--only", nargs="*", default=[], metavar="N", help="numbers to run")
    options.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes")
    given = options.parse_args()
    chosen = choose(given.only, given.quick)
    tell_header()
    console = Console(width=None if sys.stdout.isatty() else 150)
    bars = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    results, start = [], time.monotonic()
    with Progress(*bars, console=Console(stderr=True)) as bar:
        task = bar.add_task("experiments", total=len(chosen))
        for result in run_all(chosen, given.quick, given.jobs):
            results.append(result)
            bar.update(task, advance=1, description=f"#{result.number} {result.title}"[:60])
    order = [one.number for one in chosen]
    results.sort(key=lambda result: order.index(result.number))
    console.print(table(results))
    lines = [line for result in results for line in result.lines]
    console.print(
        f"{sum(result.met for result in results)} of {len(results)} experiments, "
        f"{sum(line.met for line in lines)} of {len(lines)} figures meet their targets; "
        f"{sum(result.seconds for result in results):.0f} CPU seconds, "
        f"{time.monotonic() - start:.0f} seconds on the clock"
    )
    missed = [
        Missed(f"#{result.number} {line.what}", line.reached, line.target)
        for result in results
        for line in result.lines
        if not line.met
    ]
    return finish(given, {"results": [result.row() for result in results]}, missed)


if __name__ == "__main__":
    sys.exit(main())
