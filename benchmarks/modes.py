"""A latent of codes against the ordinary one, on 25 Gaussians and a ring: `benchmarks.modes`."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass

import torch
from rich.console import Console
from rich.table import Table

from benchmarks.command import Missed, finish, parser, tell_header
from benchmarks.mode_problems import (
    PROTOCOL,
    Made,
    Modes,
    Outcome,
    cover,
    grid,
    mixture,
    ordinary,
    ring,
)

LATENTS = {"codes": mixture, "ordinary": ordinary}


@dataclass(frozen=True)
class Row:
    """One run: which problem, latent and seed, for how many steps, and what came of it."""

    problem: str
    latent: str
    seed: int
    steps: int
    outcome: Outcome

    def plain(self) -> dict[str, object]:
        """Return the row as plain data."""
        made = self.outcome
        figures = {"w1": made.w1, "floor": made.floor, "seconds": made.seconds}
        named = {"problem": self.problem, "latent": self.latent, "seed": self.seed}
        return {**named, "steps": self.steps, **asdict(made.coverage), **figures}


def table(rows: list[Row]) -> Table:
    """Return the rows as a table."""
    made = Table(title=f"{PROTOCOL} samples, hit = within 3 std", title_justify="left")
    for name in ("problem", "latent", "seed", "steps", "modes", "hits", "KL", "W1", "floor", "s"):
        made.add_column(name, justify="left" if name in ("problem", "latent") else "right")
    for row in rows:
        seen, made_of = row.outcome.coverage, row.outcome
        made.add_row(
            row.problem,
            row.latent,
            str(row.seed),
            str(row.steps),
            str(seen.modes),
            f"{seen.quality:.1%}",
            f"{seen.kl:.4f}",
            f"{made_of.w1:.4f}",
            f"{made_of.floor:.4f}",
            f"{made_of.seconds:.1f}",
        )
    return made


def runs(quick: bool) -> list[tuple[Modes, str, Callable[[Modes], Made], int, int]]:
    """Return what is run: problem, latent's name, latent, steps, seed."""
    problems = grid(), ring()
    steps, seeds = (500, range(1)) if quick else (2_400, range(2))
    return [
        (problem, name, latent, steps, seed)
        for problem in problems
        for name, latent in LATENTS.items()
        for seed in seeds
    ]


def missed_by(row: Row, quick: bool) -> list[Missed]:
    """Return the targets that a run with codes missed; a quick run has to cover all modes only."""
    if row.latent != "codes":
        return []
    # Runs that differ in the order of random numbers or in rounding alone end anywhere between 90.7
    # and 98.9 % hits on the grid (eight were seen), and at up to 1.15 times the floor.
    modes, quality, ratio = {
        "grid of 25": (25, 0.9, 1.15),
        "ring of 8": (8, 0.9, 2.0),
    }[row.problem]
    made, said = row.outcome, f"{row.problem}, seed {row.seed}"
    missed = []
    if made.coverage.modes < modes:
        missed.append(Missed(f"{said}: modes", str(made.coverage.modes), str(modes)))
    if not quick and made.coverage.quality < quality:
        missed.append(Missed(f"{said}: hits", f"{made.coverage.quality:.3f}", f">= {quality}"))
    if not quick and made.w1 > ratio * made.floor:
        missed.append(Missed(f"{said}: W1 / floor", f"{made.w1 / made.floor:.2f}", f"<= {ratio}"))
    return missed


def main() -> int:
    """Run the command."""
    given = parser("modes", "A latent of codes against the ordinary one.").parse_args()
    torch.set_num_threads(1)
    tell_header()
    rows = []
    for problem, name, latent, steps, seed in runs(given.quick):
        outcome = cover(problem, by=latent, steps=steps, seed=seed)
        rows.append(Row(problem.name, name, seed, steps, outcome))
        print(f"{problem.name}, {name}, seed {seed}: {outcome.seconds:.0f} s", file=sys.stderr)
    Console(width=None if sys.stdout.isatty() else 120).print(table(rows))
    missed = [one for row in rows for one in missed_by(row, given.quick)]
    return finish(given, {"runs": [row.plain() for row in rows]}, missed)


if __name__ == "__main__":
    sys.exit(main())
