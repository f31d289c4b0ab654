"""`molecules:latent` on all of MOSES in parts, on one GPU or on one core of a CPU (`--core`).

    python -m benchmarks.latent_h200 tokens --folder F             # once, where rdkit is
    python -m benchmarks.latent_h200 autoencoder --folder F        # again and again until done
    python -m benchmarks.latent_h200 adopt --folder F              # or that of molecules:moses
    python -m benchmarks.latent_h200 further --folder F            # more of it, if that is wanted
    python -m benchmarks.latent_h200 choose --folder F             # level and temperature
    python -m benchmarks.latent_h200 wgan --folder F               # again and again until done
    python -m benchmarks.latent_h200 sample --folder F -n 30000    # writes F/samples.smi
    python -m benchmarks.latent_h200 ship --folder F --out RUN     # a run folder in float16

Only `tokens` and `choose` need chemistry; the others read `tokens.bin` and `vocabulary.json`.  A
part goes on from the files that the one before left, ends after `--minutes`, and says whether it is
done.  Every file is smaller than 16 MiB, and no part writes more than eight, so that they can be
carried between machines: what is longer is cut, and the moments of the optimisers are kept in
bfloat16 (a run in parts is therefore not bit for bit the run in one).

How many steps there are is decided in the first minute of a part, from the speed that is seen there
and nine tenths of `--budget`, and written down in `plan.json`.

`choose` samples the normal law of moved points at several levels and temperatures, and keeps what
is best by held-out molecules of the training set; no test set is looked at.  After the WGAN,
`choose --law generator` does so again for the temperature alone, and then once more around the best
one, with all molecules that are held out.  `sample --law` puts the normal
law (`normal`) or moved held-out molecules (`held-out`) in the generator's place.

    python -m benchmarks.latent_h200 all --tiny --folder F

runs all parts on 400 molecules of QM9 in a minute of a CPU; its figures mean nothing.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

import wgankit
from benchmarks import parts
from benchmarks.parts import DONE, GO_ON, Plan, read_parts, remove_parts, synchronised
from wgankit import Normal, Penalty
from wgankit import state as states
from wgankit.domain import LEARNT, part_of
from wgankit.latent_networks import (
    LatentCritic,
    LatentGenerator,
    Law,
    Prepared,
    law_of,
    moved,
    onto_sphere,
)
from wgankit.run import RunFolder
from wgankit.settings import schedule_named
from wgankit.space import leaves
from wgankit.spaces import Sphere
from wgankit_molecules import shipped
from wgankit_molecules.autoencoder import (
    BLOCK,
    Autoencoder,
    autoencoder_from,
    decode_points,
    encode_rows,
    reconstruction,
)
from wgankit_molecules.autoencoder_training import Schooling, words
from wgankit_molecules.precision import PRECISIONS, in_bfloat16
from wgankit_molecules.tokens import decode_tokens, encode_tokens, lengths, packed, unpacked

if TYPE_CHECKING:
    from wgankit_molecules.moses_chemnet import Law as ChemNetLaw

LARGEST_FILE = parts.LARGEST_FILE
"""Bytes of the largest file that a part leaves."""

HELD_OUT = 10_000
"""Molecules at the end of the rows that nothing is trained on."""

RETURNED = 2_000
"""Held-out molecules of which it is told how many come back."""

LAW_OF = 20_000
"""Points that a normal law is taken of where nothing is trained."""

CHOSEN_BY = 2_000
"""Samples and held-out molecules that a level is chosen by."""

LEVELS, TEMPERATURES = (1.3, 1.7, 2.2, 3.0, 4.0), (0.6, 0.8, 1.0)
"""What is chosen from: each level at each temperature."""

BESIDE, FINELY_BY = (-0.1, -0.05, 0.0, 0.05), HELD_OUT
"""Temperatures around the best one that the generator's is chosen from, and by how many samples and
held-out molecules."""

LEAST_VALID, LEAST_NOVEL, DEAR = 0.97, 0.90, 10.0
"""Shares below which the choice pays, in units of FCD for a share of 1."""


@dataclass(frozen=True)
class Scale:
    """Sizes of all that is trained.

    Arguments:
        autoencoder: settings (`wgankit_molecules.autoencoder.AUTOENCODER`), epochs left out.
        points: at most so many are looked at by the WGAN.
        inputs: normal numbers that a molecule is made of.
        width: of generator and critic.
        depth: of both.
        batch: of the WGAN.
        n_critic: updates of the critic for one of the generator.
        rate: of both players.
        ema: of the generator's average.
        warm: steps before speed is looked at.
        timed: steps that are timed.
    """

    autoencoder: Mapping[str, Any]
    points: int = 2_000_000
    inputs: int = 128
    width: int = 512
    depth: int = 3
    batch: int = 1_024
    n_critic: int = 2
    rate: float = 3e-4
    ema: float = 0.999
    # Between 64 and 128 steps no code is looked at again.
    warm: int = 70
    timed: int = 50


# The decoder and the generator, which are all that sampling needs, stay below 20 MB in float16.
FULL = Scale(
    {
        "latent": 128, "encoder": 448, "decoder": 704, "layers": 2,
        "batch": 1_024, "rate": 2e-3, "warm_up": 400, "precision": "bf16-mixed",
    }
)  # fmt: skip
CORE = Scale(
    {"latent": 128, "encoder": 192, "decoder": 640, "batch": 128, "precision": "auto"},
    points=60_000, width=256, depth=2, batch=256, rate=6e-4, ema=0.995, warm=10, timed=60,
)  # fmt: skip
TINY = Scale(
    {"latent": 16, "encoder": 16, "decoder": 24, "batch": 32, "precision": "32-true"},
    inputs=8, width=32, depth=1, batch=32, warm=2, timed=3,
)  # fmt: skip


@dataclass(frozen=True)
class Job:
    """What a part works on.

    Arguments:
        folder: of all files.
        scale: sizes.
        device: where to compute.
        ends: when to stop, by `time.monotonic`.
        budget: seconds that all calls of a part may take together.
        rate: at which "further" begins; None for what a longer run would have left by then.
    """

    folder: Path
    scale: Scale
    device: torch.device
    ends: float
    budget: float
    rate: float | None = None

    def rows(self) -> Tensor:
        """Return all tokens in random order, the same whenever it is asked for."""
        rows = unpacked((self.folder / "tokens.bin").read_bytes())
        return rows[torch.randperm(len(rows), generator=torch.Generator().manual_seed(0))]

    def vocabulary(self) -> dict[str, Any]:
        """Return the tokens' names, the length of rows, and the autoencoder's settings if known."""
        told: dict[str, Any] = json.loads((self.folder / "vocabulary.json").read_text())
        return told

    @property
    def plan(self) -> Plan:
        """Return the numbers of steps that were decided."""
        return Plan(self.folder)


# Files ------------------------------------------------------------------------------------------


def narrowed(value: Any) -> Any:
    """Return a state whose moments of optimisers ("exp_avg", "exp_avg_sq") are in bfloat16."""
    if isinstance(value, dict):
        return {
            key: one.bfloat16() if str(key).startswith("exp_avg") else narrowed(one)
            for key, one in value.items()
        }
    return [narrowed(one) for one in value] if isinstance(value, list) else value


def write_parts(state: dict[str, Any], folder: Path, stem: str) -> None:
    """Write a state as files `STEM-0.part`, `STEM-1.part`, ..., none of them large."""
    parts.write_parts(narrowed(state), folder, stem, largest=LARGEST_FILE)


# Parts ------------------------------------------------------------------------------------------


def make_tokens(job: Job, tiny: bool) -> int:
    """Write the tokens of MOSES, or of a few molecules of QM9, in the order of their file."""
    from wgankit_molecules.data import moses, qm9_10k
    from wgankit_molecules.latent import canonical_strings

    strings, _, skipped = canonical_strings(qm9_10k()[:400] if tiny else moses())
    encoded = encode_tokens(strings)
    (rows,) = leaves(encoded.points)
    job.folder.mkdir(parents=True, exist_ok=True)
    content = packed(rows)
    (job.folder / "tokens.bin").write_bytes(content)
    states.write_text(job.folder / "vocabulary.json", json.dumps(encoded.vocabulary) + "\n")
    print(
        f"{len(rows):,} molecules as {len(content) / 2**20:.1f} MiB; left out: "
        f"{dict(skipped + encoded.skipped) or 'none'}"
    )
    return DONE


def train_on(rows: Tensor) -> Tensor:
    """Return the rows that are trained on."""
    return rows[: len(rows) - min(HELD_OUT, len(rows) // 10)]


def held_out(rows: Tensor) -> Tensor:
    """Return the rows that are not."""
    return rows[len(train_on(rows)) :]


def schooling_of(job: Job, rows: Tensor, steps: int, *, had: int = 0) -> Schooling:
    """Return the autoencoder's training at its beginning, planned to go on after so many steps."""
    each = len(rows) // min(job.scale.autoencoder["batch"], len(rows))
    with states.seeded(0):
        settings = {**job.scale.autoencoder, "epochs": steps / each}
        if job.rate is not None:  # which is reached after the steps that were done
            settings["rate"] = job.rate / (1 - had / steps)
        made = Autoencoder(len(job.vocabulary()["tokens"]), rows.shape[1], settings)
    return Schooling(made, rows, seed=0, device=job.device)


def seconds_a_step(job: Job, step: Callable[[], Any]) -> float:
    """Return how long a step takes once it is warm."""
    scale = job.scale
    return parts.seconds_a_step(step, job.device, warm=scale.warm, timed=scale.timed)


def decide_lessons(job: Job, rows: Tensor, *, after: float = 0.0) -> int:
    """Return how many steps of the autoencoder, behind a share of all, fit into the budget."""
    trial = schooling_of(job, rows, 1_000_000)
    trial.index = round(after * trial.steps)
    step = seconds_a_step(job, lambda: next(trial))
    print(f"{trial.batch / step:,.0f} molecules a second", flush=True)
    return parts.steps_within(job.budget, step)


def train_autoencoder(job: Job) -> int:
    """Go on with the autoencoder until it is done or the time is over."""
    rows = train_on(job.rows())
    school = schooling_of(job, rows, job.plan.number("lessons", lambda: decide_lessons(job, rows)))
    return teach(job, school)


def adopt(job: Job) -> int:
    """Begin with the autoencoder of the run that travels with wgankit-molecules.

    Raises:
        RunError: it has other tokens or sizes than the folder's.
    """
    run = RunFolder(shipped.moses())
    theirs, ours = run.read_config()["vocabulary"], job.vocabulary()
    settings = theirs["autoencoder"]
    if any(theirs[name] != ours[name] for name in ("tokens", "length")):
        raise wgankit.RunError(
            f"{job.folder} has {len(ours['tokens'])} tokens in rows of {ours['length']}, and "
            f"molecules:moses others, {len(theirs['tokens'])} in rows of {theirs['length']}; make "
            "its own first, without --tiny: tokens"
        )
    sizes = ("latent", "encoder", "decoder", "batch")
    if any(settings[name] != job.scale.autoencoder[name] for name in sizes):
        raise wgankit.RunError("molecules:moses has the sizes for one core; add: --core")
    state = part_of(states.load(run.data)[LEARNT], "autoencoder.")
    kept = {name: theirs[name] for name in ("autoencoder", "reconstruction")}
    states.write_text(job.folder / "vocabulary.json", json.dumps({**ours, **kept}) + "\n")
    each = len(train_on(job.rows())) // settings["batch"]
    job.plan.replace("lessons", round(settings["epochs"] * each))
    write_parts(state, job.folder, "autoencoder")
    print(f"molecules:moses after {settings['epochs']:.2f} epochs")
    return DONE


def train_further(job: Job) -> int:
    """Go on with an autoencoder that was done, for more steps than were planned for it."""
    weights, rows = read_parts(job.folder, "autoencoder"), train_on(job.rows())
    if weights is None:
        raise wgankit.RunError(f"no autoencoder in {job.folder}; train it first: autoencoder")
    had = job.plan.number("lessons", lambda: 0)
    # Most of these are among the last ones of all, which take more time (`MIXED`).
    more = job.plan.number(f"lessons after {had}", lambda: decide_lessons(job, rows, after=0.9))
    school = schooling_of(job, rows, had + more, had=had)
    # Only the weights were kept: the optimiser begins anew, at the rate of a run of that length.
    weights = {name: one.float() for name, one in weights.items()}
    school.load_state_dict({**school.state_dict(), "index": had, "autoencoder": weights})
    code = teach(job, school)
    if code == DONE:
        job.plan.replace("lessons", had + more)
    return code


def teach(job: Job, school: Schooling) -> int:
    """Do the autoencoder's steps that are left, as far as the time reaches."""
    before = read_parts(job.folder, "schooling")
    if before:
        school.load_state_dict(before)
    begun, first = synchronised(job.device), school.index
    told = kept = time.monotonic()
    for taught in school:
        now = time.monotonic()
        if now - told > parts.TELL_EVERY:
            told = now
            print(f"{school.index:,} of {school.steps:,}: {words(taught)}", flush=True)
        if now > job.ends:
            break
        if now - kept > parts.KEEP_EVERY:
            kept = now
            write_parts(school.state_dict(), job.folder, "schooling")
    spent = synchronised(job.device) - begun
    speed = (school.index - first) * school.batch / max(spent, 1e-9)
    print(f"step {school.index:,} of {school.steps:,}, {speed:,.0f} molecules a second")
    if school.index < school.steps:
        write_parts(school.state_dict(), job.folder, "schooling")
        return GO_ON
    finish_autoencoder(job, school.autoencoder)
    return DONE


def finish_autoencoder(job: Job, made: Autoencoder) -> None:
    """Keep the weights alone, in float16, and tell how they do as they are kept."""
    vocabulary = {**job.vocabulary(), "autoencoder": made.settings}
    state = {name: one.half().cpu() for name, one in made.state_dict().items()}
    kept = autoencoder_from(vocabulary, state).to(job.device)
    unseen = held_out(job.rows())[:RETURNED]
    for level in (0.0, 0.3, 0.6, 1.0):
        with states.seeded(1, job.device):
            share = reconstruction(kept, unseen, level=level)
        print(f"{share:.2%} of {len(unseen):,} held-out molecules come back at level {level}")
        if not level:
            vocabulary["reconstruction"] = share
    states.write_text(job.folder / "vocabulary.json", json.dumps(vocabulary) + "\n")
    write_parts(state, job.folder, "autoencoder")
    remove_parts(job.folder, "schooling")


def autoencoder_of(job: Job) -> Autoencoder:
    """Return the autoencoder of the parts before."""
    state = read_parts(job.folder, "autoencoder")
    if state is None:
        raise wgankit.RunError(f"no autoencoder in {job.folder}; train it first: autoencoder")
    return autoencoder_from(job.vocabulary(), state).to(job.device)


def generator_of(job: Job, law: Law | None = None) -> LatentGenerator:
    """Return a generator as it begins."""
    scale, latent = job.scale, job.vocabulary()["autoencoder"]["latent"]
    return LatentGenerator(scale.inputs, latent, width=scale.width, depth=scale.depth, law=law)


def level_of(job: Job) -> float:
    """Return the level that was chosen."""
    known = job.vocabulary()
    if "level" not in known:
        raise wgankit.RunError(f"no level is chosen in {job.folder}; do it first: choose")
    return float(known["level"])


def points_of(job: Job, made: Autoencoder, most: int) -> Tensor:
    """Return the points of at most so many molecules that are trained on."""
    begun = synchronised(job.device)
    points = encode_rows(made, train_on(job.rows())[:most])
    print(f"{len(points):,} encoded in {synchronised(job.device) - begun:.1f} s", flush=True)
    return points


# Choosing ---------------------------------------------------------------------------------------


def normal_points(points: Tensor, level: float, count: int) -> Tensor:
    """Return points drawn from the normal law of moved ones, on the sphere."""
    law = law_of(moved(points, level))
    return onto_sphere(law.centre + torch.randn(count, len(law.centre)) @ law.factor.T)


@dataclass(frozen=True)
class Judge:
    """Judges strings by molecules of the training set alone.

    Arguments:
        known: the strings that are trained on, canonical.
        real: ChemNet's features of some that are not.
    """

    known: frozenset[str]
    real: ChemNetLaw

    def figures(self, said: Sequence[str]) -> dict[str, float]:
        """Return shares of strings, and the FCD of the valid ones to the held-out molecules."""
        from wgankit_molecules.metrics import valid_form
        from wgankit_molecules.moses_chemnet import features, frechet, law

        valid = [text for text in map(valid_form, said) if text]
        distinct = set(valid)
        apart = frechet(law(features(valid)), self.real) if len(valid) > 1 else math.inf
        return {
            "valid": len(valid) / len(said),
            "unique": len(distinct) / max(1, len(valid)),
            "novel": len(distinct - self.known) / max(1, len(distinct)),
            "FCD": apart,
        }


def known_strings(job: Job) -> frozenset[str]:
    """Return the strings that are trained on."""
    return frozenset(decode_tokens(train_on(job.rows()), job.vocabulary()))


def judge_of(job: Job, known: frozenset[str], count: int) -> Judge:
    """Return who judges by so many held-out molecules, knowing what is trained on."""
    from wgankit_molecules.moses_chemnet import features, law

    real = decode_tokens(held_out(job.rows())[-count:], job.vocabulary())
    print(f"judged by {len(real):,} held-out molecules", flush=True)
    return Judge(known, law(features(real)))


def badness(figures: Mapping[str, float]) -> float:
    """Return what is made small: FCD, and a price for shares that are too low."""
    short_of_valid = max(0.0, LEAST_VALID - figures["valid"])
    short_of_novel = max(0.0, LEAST_NOVEL - figures["novel"])
    return figures["FCD"] + DEAR * (short_of_valid + short_of_novel)


def choose(job: Job, law: str) -> int:
    """Choose temperature, and level if the law is not the generator's, and write them down."""
    made, vocabulary = autoencoder_of(job), job.vocabulary()
    generated, known = law == "generator", known_strings(job)
    points = torch.zeros(0) if generated else points_of(job, made, LAW_OF)

    def best(pairs: Sequence[tuple[float, float]], count: int) -> tuple[float, float]:
        """Return the level and temperature that so many samples are best with."""
        judge = judge_of(job, known, count)

        def bad(level: float, temperature: float) -> float:
            with states.seeded(2, job.device):
                drawn = (
                    generated_points(job, count)
                    if generated
                    else normal_points(points, level, count)
                )
            rows = decode_points(made, drawn, level=level, temperature=temperature)
            figures = judge.figures(decode_tokens(rows, vocabulary))
            told = ", ".join(f"{name} {value:.4g}" for name, value in figures.items())
            found = badness(figures)
            print(f"level {level}, temperature {temperature}: {told}; {found:.3f}", flush=True)
            return found

        return min(pairs, key=lambda pair: bad(*pair))

    levels = (level_of(job),) if generated else LEVELS
    level, temperature = best(list(product(levels, TEMPERATURES)), CHOSEN_BY)
    if generated:
        around = [(level, round(temperature + more, 3)) for more in BESIDE]
        level, temperature = best(around, FINELY_BY)
    chosen = {"level": level, "temperature": temperature}
    states.write_text(job.folder / "vocabulary.json", json.dumps({**vocabulary, **chosen}) + "\n")
    print(f"chosen: {chosen}")
    return DONE


# The game ---------------------------------------------------------------------------------------


def training_of(job: Job, points: Tensor, steps: int) -> wgankit.Training:
    """Return the WGAN at its beginning."""
    scale, latent, level = job.scale, points.shape[1], level_of(job)
    low = in_bfloat16(scale.autoencoder["precision"], job.device)
    with states.seeded(0):
        generator = generator_of(job, law_of(moved(points, level)))
        critic = LatentCritic(latent, width=scale.width, depth=scale.depth)
    return wgankit.train(
        generator, critic, points, space=Sphere(math.sqrt(latent)), latent=Normal(scale.inputs),
        penalty=Penalty(weight=10.0), steps=steps, batch=scale.batch, n_critic=scale.n_critic,
        generator_rate=scale.rate, critic_rate=scale.rate, betas=(0.0, 0.9),
        schedule=schedule_named("linear", steps), ema=scale.ema,
        prepare=Prepared(level), device=job.device.type,
        precision="bf16-mixed" if low else "32-true",
    )  # fmt: skip


def train_wgan(job: Job) -> int:
    """Go on with the WGAN until it is done or the time is over."""
    points = points_of(job, autoencoder_of(job), job.scale.points)

    def decide() -> int:
        trial = training_of(job, points, 1_000_000)
        return parts.steps_within(job.budget, seconds_a_step(job, lambda: next(trial)))

    training = training_of(job, points, job.plan.number("steps", decide))
    before = read_parts(job.folder, "wgan")
    if before:
        training.load_state_dict(before)
    if not parts.go_on(
        training, lambda: write_parts(training.state_dict(), job.folder, "wgan"), ends=job.ends
    ):
        return GO_ON
    state = {name: one.half().cpu() for name, one in training.average.state_dict().items()}
    write_parts(state, job.folder, "generator")
    remove_parts(job.folder, "wgan")
    return DONE


def trained_generator(job: Job) -> LatentGenerator:
    """Return the generator of the parts before."""
    generator = generator_of(job)
    state = read_parts(job.folder, "generator")
    if state is None:
        raise wgankit.RunError(f"no generator in {job.folder}; train it first: wgan")
    generator.load_state_dict(state)
    return generator.to(job.device).eval()


@torch.no_grad()
def generated_points(job: Job, count: int) -> Tensor:
    """Return points of the generator."""
    generator, sizes = trained_generator(job), [BLOCK] * (count // BLOCK) + [count % BLOCK]
    latents = (torch.randn(size, job.scale.inputs, device=job.device) for size in sizes if size)
    return torch.cat([generator(some) for some in latents])


def drawn_points(job: Job, made: Autoencoder, law: str, count: int) -> Tensor:
    """Return points of the generator, of the normal law, or of moved held-out molecules."""
    if law == "generator":
        return generated_points(job, count)
    if law == "normal":
        return normal_points(points_of(job, made, LAW_OF), level_of(job), count)
    return moved(encode_rows(made, held_out(job.rows())[:count]), level_of(job))


def sample(job: Job, law: str, count: int) -> int:
    """Write SMILES strings, one a line, and tell how many a second come out."""
    made, known = autoencoder_of(job), job.vocabulary()
    with states.seeded(1, job.device):
        points = drawn_points(job, made, law, count)
    begun = synchronised(job.device)
    rows = decode_points(made, points, level=known["level"], temperature=known["temperature"])
    spent = synchronised(job.device) - begun
    said = decode_tokens(rows, known)
    path = job.folder / ("samples.smi" if law == "generator" else f"samples-{law}.smi")
    states.write_text(path, "".join(f"{text}\n" for text in said))
    print(f"{len(said):,} strings in {spent:.2f} s, {len(said) / spent:,.0f} a second, in {path}")
    # Strings that are too short or too long show a decoder that is not yet a model of the data.
    mean, wanted = (lengths(some).float().mean() for some in (rows, held_out(job.rows())))
    print(f"{mean:.2f} tokens a string; held-out molecules have {wanted:.2f}")
    return DONE


def ship(job: Job, out: Path) -> int:
    """Write a run folder that holds what sampling needs, in float16, and held-out molecules."""
    scale, known, made = job.scale, job.vocabulary(), autoencoder_of(job)
    vocabulary = {name: value for name, value in known.items() if name != "counts"}
    rows = held_out(job.rows())[: parts.KEPT_ALONG].clone()
    generator = trained_generator(job).state_dict()
    learnt = {f"law.{name}": generator[name] for name in Law._fields}
    weights = parts.halved(made.state_dict())
    learnt |= {f"autoencoder.{name}": one for name, one in weights.items()}
    model = {"inputs": scale.inputs, "width": scale.width, "depth": scale.depth}
    model |= {name: vocabulary[name] for name in ("level", "temperature", "autoencoder")}
    settings = wgankit.recipe("molecules:latent").defaults
    settings |= {"batch": scale.batch, "n_critic": scale.n_critic, "rate": scale.rate}
    settings |= {"ema": scale.ema, "steps": job.plan.number("steps", lambda: 1)}
    settings["model"] = {**settings["model"], **model}
    parts.ship(
        out, recipe="molecules:latent", source="data set moses", settings=settings,
        vocabulary=vocabulary, points=(encode_rows(made, rows).half(), rows), learnt=learnt,
        average=generator,
    )  # fmt: skip
    return DONE


PARTS = ("tokens", "autoencoder", "choose", "wgan", "sample", "ship")
"""In the order in which they are run."""

ADOPT = "adopt"
"""A part that may take the autoencoder's place."""

FURTHER = "further"
"""A part that may follow the autoencoder."""


def main(arguments: list[str] | None = None) -> int:
    """Run a part; the exit code is 0 if it is done and 3 if it has to be called again."""
    reader = parts.parser(
        "latent_h200", "molecules:latent in parts", (*PARTS, ADOPT, FURTHER),
        budget="16 autoencoder and further, 8 wgan",
    )  # fmt: skip
    reader.add_argument("-n", "--count", type=int, default=30_000, help="strings to draw")
    reader.add_argument(
        "--law", choices=("generator", "normal", "held-out"),
        help="where points come from; normal for choose, generator for sample",
    )  # fmt: skip
    reader.add_argument("--out", type=Path, help="run folder that ship makes; F/run")
    reader.add_argument("--precision", choices=tuple(PRECISIONS), help="of all that is trained")
    reader.add_argument(
        "--top",
        type=float,
        help="share of strings that is moved most, in autoencoder and further",
    )
    reader.add_argument(
        "--rate",
        type=float,
        help="at which autoencoder or further begins; further: else what a longer run has left",
    )
    return parts.call(reader.parse_args(arguments), PARTS, run)


def run(part: str, options: argparse.Namespace) -> int:
    """Run one part once."""
    usual = (
        0.02 if options.tiny else {"autoencoder": 16.0, FURTHER: 16.0, "wgan": 8.0}.get(part, 0.0)
    )
    scale = TINY if options.tiny else CORE if options.core else FULL
    told = {"precision": options.precision, "top": options.top}
    told = {name: value for name, value in told.items() if value is not None}
    job = Job(
        options.folder,
        replace(scale, autoencoder={**scale.autoencoder, **told}),
        torch.device(options.device),
        time.monotonic() + 60 * options.minutes,
        60 * (options.budget or usual),
        options.rate,
    )
    works: dict[str, Callable[[], int]] = {
        "tokens": lambda: make_tokens(job, options.tiny),
        "autoencoder": lambda: train_autoencoder(job),
        ADOPT: lambda: adopt(job),
        FURTHER: lambda: train_further(job),
        "choose": lambda: choose(job, options.law or "normal"),
        "wgan": lambda: train_wgan(job),
        "sample": lambda: sample(job, options.law or "generator", options.count),
        "ship": lambda: ship(job, options.out or job.folder / "run"),
    }
    return works[part]()


if __name__ == "__main__":
    raise SystemExit(main())
