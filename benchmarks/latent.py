"""What `molecules:latent` is made of: which decoder learns fastest, which strings, which game.

    python -m benchmarks.latent                  # decoders, 150 CPU seconds each
    python -m benchmarks.latent --strings        # SMILES or SELFIES (pip install selfies)
    python -m benchmarks.latent --run FOLDER     # games among the points of a finished run

Decoders are trained on 100,000 molecules drawn from MOSES for equal CPU time of one thread, and
asked for 1,000 others.  Strings are compared by the same autoencoder and the same molecules; points
drawn from the normal law of moved ones then say new molecules.  Games are played for equal CPU time
among the training points that a run of the recipe keeps, and judged by what its autoencoder makes
of their points.
"""

from __future__ import annotations

import argparse
import math
import random
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, cast, final

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn
from torch.nn import functional

import wgankit
from benchmarks.command import Missed, finish, parser, tell_header
from benchmarks.latent_h200 import normal_points
from wgankit import Normal
from wgankit import state as states
from wgankit.domain import Vocabulary
from wgankit.objective import Objective, Relativistic, Wasserstein
from wgankit.penalty import penalty_from
from wgankit.space import leaves, pick
from wgankit_molecules.autoencoder import (
    TOLD,
    Autoencoder,
    decode_points,
    encode_rows,
    reconstruction,
)
from wgankit_molecules.autoencoder_training import Schooling
from wgankit_molecules.data import moses, qm9_10k
from wgankit_molecules.latent import canonical_strings
from wgankit_molecules.metrics import evaluate_molecules
from wgankit_molecules.tokens import decode_tokens, encode_tokens, lengths


@dataclass(frozen=True)
class Row:
    """A line of a table.

    Arguments:
        name: of what was tried.
        figures: by name.
    """

    name: str
    figures: dict[str, float] = field(default_factory=dict)


# Decoders ---------------------------------------------------------------------------------------


@final
class Block(nn.Module):
    """Causal attention of heads of 32 numbers, and a layer of four times the width."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.before, self.between = nn.LayerNorm(width), nn.LayerNorm(width)
        self.asked, self.told = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x: Tensor, known: Tensor) -> tuple[Tensor, Tensor]:
        """Return `(B, T, width)`, and keys and values of all places so far."""
        heads = self.asked(self.before(x)).view(*x.shape[:2], 3, -1, 32).permute(2, 0, 3, 1, 4)
        known = torch.cat([known.to(heads.dtype), heads[1:]], 3)
        seen = functional.scaled_dot_product_attention(
            heads[0], known[0], known[1], is_causal=heads.shape[3] > 1
        )
        x = x + self.told(seen.transpose(1, 2).reshape(x.shape))
        return x + self.down(functional.gelu(self.up(self.between(x)))), known


@final
class AttentionDecoder(nn.Module):
    """A transformer in the place of the recurrent decoder, with a cache of keys and values.

    Arguments:
        tokens: how many there are.
        told: numbers that it is told.
        width: of the blocks.
        layers: how many.
        length: of the longest string.
    """

    def __init__(self, tokens: int, told: int, *, width: int, layers: int, length: int) -> None:
        super().__init__()
        self.begin, self.width = tokens + 1, width
        self.embed, self.place = nn.Embedding(tokens + 2, width), nn.Embedding(length + 1, width)
        self.hear = nn.Linear(told, width)
        self.blocks = nn.ModuleList(Block(width) for _ in range(layers))
        self.norm, self.out = nn.LayerNorm(width), nn.Linear(width, tokens + 1)

    def state(self, told: Tensor) -> list[Tensor]:
        """Return empty caches."""
        return [told.new_zeros(2, len(told), self.width // 32, 0, 32) for _ in self.blocks]

    def forward(
        self, told: Tensor, shown: Tensor, state: list[Tensor]
    ) -> tuple[Tensor, list[Tensor]]:
        """Return scores of what follows each token shown, and the caches."""
        first = state[0].shape[3]
        places = self.place.weight[first : first + shown.shape[1]]
        x = self.embed(shown) + self.hear(told)[:, None] + places
        new = []
        for block, known in zip(self.blocks, state, strict=True):
            x, grown = block(x, known)
            new.append(grown)
        return self.out(self.norm(x)), new


def draw(quick: bool) -> tuple[Tensor, int]:
    """Return rows of tokens in random order, and how many tokens there are."""
    strings = qm9_10k() if quick else random.Random(0).sample(moses(), 101_000)
    encoded = encode_tokens(canonical_strings(strings)[0])
    return leaves(encoded.points)[0], len(encoded.vocabulary["tokens"])


def contenders(tokens: int, length: int) -> Iterator[tuple[str, Autoencoder]]:
    """Yield autoencoders that differ in their decoder."""
    long = {"epochs": 1_000}
    with states.seeded(0):
        yield "recurrent, 384", Autoencoder(tokens, length, long)
    with states.seeded(0):
        made = Autoencoder(tokens, length, long)
        decoder: Any = AttentionDecoder(tokens, TOLD, width=128, layers=3, length=length)
        made.decoder = decoder
        yield "attention, 3 x 128", made


def taught(made: Autoencoder, rows: Tensor, unseen: Tensor, seconds: float) -> dict[str, float]:
    """Return how an autoencoder does after some CPU seconds, its rates falling to nothing."""
    begun, losses = time.process_time(), []
    school = Schooling(made, rows, seed=0, device=torch.device("cpu"))
    rate = made.settings["rate"]
    while (spent := time.process_time() - begun) < seconds:
        # The schedule of the steps would not know how long they take.
        made.settings["rate"] = rate * (1 - spent / seconds)
        losses.append(next(school).marks.surprise)
    made.settings["rate"] = rate
    last = losses[-max(1, len(losses) // 6) :]
    cost = 1e6 * seconds / (school.index * school.batch)
    return {
        "µs a molecule": cost,
        "nats a string": float(torch.stack(last).mean()),
        "given back": reconstruction(made.eval(), unseen),
    }


def compare_decoders(quick: bool, seconds: float) -> list[Row]:
    """Return how decoders do after equal CPU time."""
    rows, tokens = draw(quick)
    cut = len(rows) - 1_000
    return [
        Row(name, taught(made, rows[:cut], rows[cut:], seconds))
        for name, made in contenders(tokens, rows.shape[1])
    ]


# Strings ----------------------------------------------------------------------------------------

LEVEL, TEMPERATURES = 1.7, (0.5, 1.0)
"""At which new molecules are drawn."""


def as_selfies(smiles: Sequence[str]) -> list[str]:
    """Return molecules as SELFIES, whose symbols the vocabulary takes for bracket atoms.

    M. Krenn et al., "Self-referencing embedded strings (SELFIES): a 100 % robust molecular string
    representation", Machine Learning: Science and Technology 1, 045024 (2020).
    """
    from selfies import encoder

    return [str(encoder(text)) for text in smiles]


def from_selfies(strings: Sequence[str]) -> list[str]:
    """Return SELFIES as SMILES, however they were put together."""
    from selfies import decoder

    return [str(decoder(text)) for text in strings]


def drawn_molecules(
    made: Autoencoder, rows: Tensor, vocabulary: Vocabulary, temperature: float, count: int
) -> list[str]:
    """Return strings of points drawn from the normal law of moved points."""
    with states.seeded(2):
        points = normal_points(encode_rows(made, rows[:20_000]), LEVEL, count)
    said = decode_points(made, points, level=LEVEL, temperature=temperature)
    return decode_tokens(said, vocabulary)


def compare_strings(quick: bool, seconds: float, count: int) -> list[Row]:
    """Return how one autoencoder does with either kind of strings after equal CPU time."""
    chosen = qm9_10k() if quick else random.Random(0).sample(moses(), 101_000)
    smiles = canonical_strings(chosen)[0]
    unseen, trained = smiles[-1_000:], smiles[:-1_000]
    found = []
    kinds: tuple[tuple[str, Callable[[Sequence[str]], list[str]], Any], ...] = (
        ("SMILES", list, list),
        ("SELFIES", as_selfies, from_selfies),
    )
    for name, there, back in kinds:
        encoded = encode_tokens(there(smiles))
        (rows,), vocabulary = leaves(encoded.points), encoded.vocabulary
        with states.seeded(0):
            made = Autoencoder(len(vocabulary["tokens"]), rows.shape[1], {"epochs": 1_000})
        figures = {"tokens": float(lengths(rows).float().mean())}
        figures |= taught(made, rows[:-1_000], rows[-1_000:], seconds)
        for temperature in TEMPERATURES:
            said = back(drawn_molecules(made, rows[:-1_000], vocabulary, temperature, count))
            judged = evaluate_molecules(said, trained, unseen, most=count)
            for figure in ("valid", "unique", "novel", "fcd"):
                figures[f"{figure}, {temperature}"] = judged.get(figure, math.nan)
        found.append(Row(name, figures))
        print(found[-1], flush=True)
    return found


# Games ------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Game:
    """How points are made to look like those of the run.

    Arguments:
        name: for the table.
        model: settings of the recipe's model.
        penalty: settings of the penalty.
        objective: of the game.
        rates: of generator and critic.
        n_critic: updates of the critic for one of the generator.
    """

    name: str
    model: dict[str, Any] = field(default_factory=dict)
    penalty: dict[str, Any] = field(default_factory=dict)
    objective: Callable[[], Objective] = Wasserstein
    rates: tuple[float, float] = (5e-4, 5e-4)
    n_critic: int = 2


ZERO = {"weight": 1.0, "where": "at-both", "shape": "zero-centred", "relative": False}
GAMES = (
    Game("one-sided, weight 10"),
    Game("weight 2", penalty={"weight": 2.0}),
    Game("two-sided", penalty={"shape": "two-sided"}),
    Game("lower rates", rates=(2e-4, 2e-4)),
    Game("faster critic", rates=(2e-4, 1e-3)),
    Game("n_critic 1", n_critic=1),
    Game("n_critic 5", n_critic=5),
    Game("blur 0.3", model={"blur": 0.3}),
    Game("straight lines", model={"space": "normed"}),
    Game("relativistic", penalty=ZERO, objective=Relativistic, n_critic=1),
)


def play(recipe: wgankit.Recipe, game: Game, seconds: float, count: int) -> dict[str, float]:
    """Return figures of molecules after a game of some CPU seconds."""
    settings = {**recipe.config["settings"]}
    settings["model"] = {**settings["model"], **game.model}
    with states.seeded(0):
        model = recipe.domain.build(recipe.vocabulary, settings)
    begun = time.process_time()
    spent = [0.0]
    training = wgankit.train(
        model.generator, model.critic, recipe.points("training"), space=model.space,
        latent=model.latent, penalty=penalty_from(**game.penalty), objective=game.objective(),
        batch=settings["batch"], n_critic=game.n_critic, generator_rate=game.rates[0],
        critic_rate=game.rates[1], betas=(0.0, 0.9), ema=0.999, prepare=model.prepare,
        noise=model.noise, schedule=lambda step: max(0.05, min(1.0, 2 - 2 * spent[0])),
        device="cpu", precision="bf16-mixed", compile=False,
    )  # fmt: skip
    for _ in training:
        spent[0] = (time.process_time() - begun) / seconds
        if spent[0] >= 1:
            break
    points = made_points(training.average, model.latent, count)
    strings = recipe.domain.decode(points, recipe.vocabulary)
    found = evaluate_molecules(
        strings, recipe.training_objects, recipe.held_out_objects, most=count
    )
    wanted = recipe.prepared(pick(recipe.points("held_out"), slice(0, 500)))
    kept = ("valid", "unique", "novel", "fcd", "fcd_floor", "compared")
    return {
        "steps": float(training.index),
        **{name: found.get(name, math.nan) for name in kept},
        "exact W1": wgankit.exact.w1(model.space, wanted, pick(points, slice(0, 500))),
    }


def made_points(generator: nn.Module, latent: Any, count: int) -> Tensor:
    """Return points that a generator makes."""
    with states.seeded(1), torch.no_grad():
        return cast(Tensor, generator(cast(Normal, latent).sample(count, "cpu")))


def compare_games(folder: str, seconds: float, count: int, names: Sequence[str]) -> list[Row]:
    """Return how games do after equal CPU time."""
    recipe = wgankit.load(folder)
    rows = []
    for game in GAMES:
        if not names or game.name in names:
            rows.append(Row(game.name, play(recipe, game, seconds, count)))
            print(rows[-1], flush=True)
    return rows


# The command ------------------------------------------------------------------------------------


def show(title: str, rows: Sequence[Row]) -> None:
    """Print a table."""
    cells = [["", *(rows[0].figures if rows else ())]]
    cells += [[row.name, *(f"{value:.4g}" for value in row.figures.values())] for row in rows]
    if len(cells) < len(cells[0]):  # which a terminal has no room for
        cells = [list(column) for column in zip(*cells, strict=True)]
    table = Table(*cells[0], title=title)
    for line in cells[1:]:
        table.add_row(*line)
    Console().print(table)


def judge(rows: Sequence[Row]) -> Iterator[Missed]:
    """Yield the targets that decoders missed: the library's comes first and is surprised least."""
    surprises = [row.figures["nats a string"] for row in rows]
    for better, worse in pairwise(surprises):
        if not better < worse:
            yield Missed("the recurrent decoder leads", f"{better:.3f}", f"< {worse:.3f}")


def switches() -> argparse.ArgumentParser:
    """Return the command's switches."""
    made = parser("latent", "decoders and games of molecules:latent")
    made.add_argument("--strings", action="store_true", help="compare SMILES and SELFIES")
    made.add_argument("--run", metavar="FOLDER", help="a finished run: compare games on its points")
    made.add_argument("--seconds", type=float, help="CPU seconds for each; 150, or 15 if quick")
    made.add_argument(
        "--samples", type=int, default=2_000, help="molecules that games are judged by"
    )
    made.add_argument("--only", action="append", default=[], help="a game's name; repeatable")
    return made


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark."""
    options = switches().parse_args(arguments)
    tell_header()
    seconds = options.seconds or (15.0 if options.quick else 150.0)
    missed: list[Missed] = []
    if options.run:
        rows = compare_games(options.run, seconds, options.samples, options.only)
        show(f"games of {seconds:.0f} CPU seconds", rows)
    elif options.strings:
        rows = compare_strings(options.quick, seconds, options.samples)
        show(f"strings after {seconds:.0f} CPU seconds", rows)
    else:
        rows = compare_decoders(options.quick, seconds)
        show(f"decoders after {seconds:.0f} CPU seconds", rows)
        missed = [] if options.quick else list(judge(rows))
    return finish(options, {"rows": [[row.name, row.figures] for row in rows]}, missed)


if __name__ == "__main__":
    raise SystemExit(main())
