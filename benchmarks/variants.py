"""What each choice of the recipe `molecules` is worth: one changed at a time, all else the same.

    python -m benchmarks.variants
    python -m benchmarks.variants --only default "gumbel labels" --steps 2000

Each variant is trained on the same 9,000 molecules of `qm9-10k` for the same number of steps and
with the same seed; the generator's average after the last step is sampled, and nothing is chosen by
any figure.  FCD is of the first 1,000 valid samples to the 1,000 molecules held out, so that it
compares; it is left out where fewer are valid.  The default and what was best have two more rows
with other seeds, by which it can be seen how much a single run says.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor

import wgankit
import wgankit.settings
from benchmarks.command import Missed, finish, parser, tell_header
from benchmarks.graphs_h200 import drawn
from wgankit import state as states
from wgankit.domain import LEARNT, Encoded, Model, Workshop
from wgankit.penalty import penalty_from
from wgankit.progress import Silent
from wgankit.settings import merge
from wgankit.space import Points, leaves
from wgankit_graphs.labelled import Graphs
from wgankit_molecules.chemistry import decode_molecules
from wgankit_molecules.data import qm9_10k
from wgankit_molecules.metrics import shares, valid_form
from wgankit_molecules.recipe import Molecules

HELD_OUT, SAMPLES, COMPARED = 1_000, 2_000, 1_000
"""Molecules that nothing is trained on, that are sampled, and that FCD compares."""


def rewired(real: Points, fake: Points) -> tuple[Points, Points, Tensor]:
    """Take slopes between a graph and the same with one edge's label put elsewhere.

    Half of the graphs are real, half generated, at random.  An edge, drawn by how much it is one,
    swaps its label with that of two other nodes.
    """
    coin = torch.rand(len(leaves(real)[0]), device=leaves(real)[0].device) < 0.5
    nodes, edges = (
        torch.where(coin.view(-1, *[1] * (one.dim() - 1)), one, other)
        for one, other in zip(leaves(real), leaves(fake), strict=True)
    )
    size, row = edges.shape[1], torch.arange(len(edges), device=edges.device)
    is_edge = (1 - edges[..., 0]).triu(1).flatten(1) + 1e-6
    place = is_edge.multinomial(1).squeeze(1)
    i, j = place // size, place % size
    free = torch.rand_like(nodes[..., 0]) + (nodes[..., 0] < 0.5)
    free[row, i] = free[row, j] = -1
    score, (k, m) = (part.T for part in free.topk(2, dim=1))
    # Of three nodes no edge can be put elsewhere: there the slope is taken at the graph itself.
    enough = (score[1] >= 1).unsqueeze(1)
    one, other = edges[row, i, j], edges[row, k, m]
    one, other = torch.where(enough, other, one), torch.where(enough, one, other)
    moved = edges.clone()
    moved[row, i, j] = moved[row, j, i] = one
    moved[row, k, m] = moved[row, m, k] = other
    along = torch.rand(len(row), device=edges.device)
    return Graphs(nodes, edges), Graphs(nodes, moved), along


@dataclass(frozen=True)
class Variant:
    """What is changed.

    Arguments:
        settings: of the recipe, in place of its own.
        where: at which segments slopes are taken, if no name of the recipe says it.
        seed: of the training.
    """

    settings: Mapping[str, Any] = field(default_factory=dict)
    where: Callable[[Points, Points], tuple[Points, Points, Tensor]] | None = None
    seed: int = 0


def of_model(**settings: Any) -> Variant:
    """Return a change of the networks' settings."""
    return Variant({"model": settings})


def of_penalty(**settings: Any) -> Variant:
    """Return a change of the penalty's settings."""
    return Variant({"penalty": settings})


VARIANTS: dict[str, Variant] = {
    "default": Variant(),
    "default, seed 1": Variant(seed=1),
    "default, seed 2": Variant(seed=2),
    "straight-through labels, no blur": of_model(labels="straight-through", blur=0.0),
    "straight-through labels": of_model(labels="straight-through"),
    "gumbel labels, no blur": of_model(labels="gumbel", blur=0.0),
    "gumbel labels": of_model(labels="gumbel"),
    "no blur": of_model(blur=0.0),
    "blur .1": of_model(blur=0.1),
    "blur .4": of_model(blur=0.4),
    "no average": Variant({"ema": 0.0}),
    "one critic update": Variant({"n_critic": 1}),
    "five critic updates": Variant({"n_critic": 5}),
    "edits counted (p = 1)": of_model(p=1.0),
    "walks of two steps": of_model(steps=2),
    "two-sided penalty": of_penalty(shape="two-sided"),
    "zero-centred penalty at both": of_penalty(shape="zero-centred", where="at-both"),
    "one-sided penalty at both": of_penalty(where="at-both"),
    "penalty on rewired neighbours": Variant(where=rewired),
    "that, five critic updates": Variant({"n_critic": 5}, where=rewired),
    "relativistic pairing": Variant({"objective": "relativistic"}),
    "relativistic pairing, seed 1": Variant({"objective": "relativistic"}, seed=1),
    "relativistic pairing, seed 2": Variant({"objective": "relativistic"}, seed=2),
    "relativistic, zero-centred at both": Variant(
        {
            "objective": "relativistic",
            "penalty": {"shape": "zero-centred", "where": "at-both", "relative": False},
        }
    ),
}
"""By what the table calls them."""


@dataclass(frozen=True)
class Row:
    """What a variant scored: shares of all samples, and the Frechet distance of ChemNet."""

    valid: float
    unique: float
    valid_unique: float
    vun: float
    fcd: float | None
    seconds: float


def training_of(variant: Variant, encoded: Encoded, steps: int) -> tuple[Model, wgankit.Training]:
    """Return a variant's networks and their training, at its beginning."""
    settings = merge(wgankit.recipe("molecules").defaults, variant.settings)
    settings |= {"steps": steps, "seed": variant.seed}
    with TemporaryDirectory() as folder:
        workshop = Workshop(Path(folder), settings, torch.device("cpu"), Silent())
        learnt = Molecules().learn(encoded, torch.arange(len(encoded.kept)), workshop)
    known = {**learnt.vocabulary, LEARNT: learnt.state} if learnt.state else learnt.vocabulary
    with states.seeded(variant.seed):
        model = Molecules().build(known, settings)
    penalty = penalty_from(**settings["penalty"])
    if variant.where is not None:
        penalty = replace(penalty, where=variant.where)
    return model, wgankit.settings.training_of(
        model, learnt.points, settings, penalty=penalty, device="cpu"
    )


def row_of(
    variant: Variant, strings: Sequence[str], *, steps: int, samples: int, compared: int
) -> Row:
    """Train a variant and judge its samples."""
    from wgankit_molecules.moses_chemnet import features, frechet, law

    train_on, test = strings[:-HELD_OUT], strings[-HELD_OUT:]
    encoded = Molecules().encode(train_on)
    begun = time.process_time()
    model, training = training_of(variant, encoded, steps)
    for step in training:
        if step.index % 500 == 0:
            print(f"  step {step.index:,}, W1 {step.w1:.2f}", flush=True)
    spent = time.process_time() - begun
    known = encoded.vocabulary
    points = drawn(replace(model, generator=training.average.eval()), known, samples, seed=1)
    said = decode_molecules(points, known)
    seen = shares(said, train_on)
    valid = [text for text in map(valid_form, said) if text][:compared]
    fcd = frechet(law(features(valid)), law(features(test))) if len(valid) == compared else None
    return Row(seen["valid"], seen["unique"], seen["valid_unique"], seen["vun"], fcd, spent)


def show(rows: Mapping[str, Row], steps: int, samples: int) -> None:
    """Print the table."""
    title = f"molecules on qm9-10k, {steps:,} steps, {samples:,} samples"
    table = Table(title=title, title_justify="left")
    table.add_column("changed")
    for column in ("valid", "of these unique", "valid and unique", "V.U.N.", "FCD", "CPU s"):
        table.add_column(column, justify="right")
    for name, row in rows.items():
        told = [f"{one:.3f}" for one in (row.valid, row.unique, row.valid_unique, row.vun)]
        fcd = "-" if row.fcd is None else f"{row.fcd:.2f}"
        table.add_row(name, *told, fcd, f"{row.seconds:.0f}")
    Console(width=110).print(table)


def judge(rows: Mapping[str, Row]) -> Iterator[Missed]:
    """Yield variants that are better than the default by more than its seeds differ."""
    seeds = [row.valid_unique for name, row in rows.items() if name.startswith("default")]
    if len(seeds) < 3:
        return
    best = 2 * max(seeds) - min(seeds)
    for name, row in rows.items():
        if row.valid_unique > best:
            yield Missed(f"default beside {name}", f"{min(seeds):.3f}", f"{row.valid_unique:.3f}")


def main(arguments: list[str] | None = None) -> int:
    """Train each variant, print the table, and return the exit code."""
    reader = parser("variants", __doc__.split("\n\n")[0])
    reader.add_argument("--steps", type=int, default=1_500, help="of each training")
    reader.add_argument("--only", nargs="+", choices=VARIANTS, metavar="NAME",
                        help=f"some of: {'; '.join(VARIANTS)}")  # fmt: skip
    options = reader.parse_args(arguments)
    tell_header()
    steps, samples, compared = options.steps, SAMPLES, COMPARED
    names = options.only or list(VARIANTS)
    if options.quick:
        steps, samples, compared = 20, 200, 2
        names = options.only or names[:1] + names[3:7] + names[-3:]
    strings = qm9_10k()
    rows = {}
    for name in names:
        print(name, flush=True)
        rows[name] = row_of(
            VARIANTS[name], strings, steps=steps, samples=samples, compared=compared
        )
        print(f"  {asdict(rows[name])}", flush=True)
        figures = {"steps": steps, "rows": {each: asdict(row) for each, row in rows.items()}}
        # Kept after each, since each takes minutes.
        finish(options, figures, [])
    show(rows, steps, samples)
    return finish(options, figures, [] if options.quick else list(judge(rows)))


if __name__ == "__main__":
    sys.exit(main())
