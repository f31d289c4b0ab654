"""`molecules:latent` on all of MOSES on one GPU, in parts that each take less than ten minutes.

    python -m benchmarks.latent_h200 tokens --folder F             # once, where rdkit is
    python -m benchmarks.latent_h200 autoencoder --folder F        # again and again until done
    python -m benchmarks.latent_h200 wgan --folder F               # again and again until done
    python -m benchmarks.latent_h200 sample --folder F -n 30000    # writes F/samples.smi

Only the first part needs chemistry; the others read `tokens.bin` and `vocabulary.json`.  A part
goes on from the files that the one before left, ends after `--minutes`, and says whether it is
done.  Every file is smaller than 16 MiB, and no part writes more than eight, so that they can be
carried between machines: what is longer is cut, and the moments of the optimisers are kept in
bfloat16 (a run in parts is therefore not bit for bit the run in one).

How many epochs and steps there are is decided in the first minute of a part, from the speed that is
seen there and `--budget`, and written down in `plan.json`.

    python -m benchmarks.latent_h200 all --tiny --folder F

runs all parts on 400 molecules of QM9 in a minute of a CPU; its figures mean nothing.
"""

from __future__ import annotations

import argparse
import io
import json
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import wgankit
from benchmarks.command import tell_header
from wgankit import Normal, Penalty
from wgankit import state as states
from wgankit.space import leaves
from wgankit.spaces import Sphere
from wgankit_molecules.autoencoder import (
    Autoencoder,
    autoencoder_from,
    decode_points,
    encode_rows,
    reconstruction,
)
from wgankit_molecules.autoencoder_training import Schooling, words
from wgankit_molecules.latent_networks import LatentCritic, LatentGenerator, Law, law_of
from wgankit_molecules.tokens import decode_tokens, encode_tokens, packed, unpacked

LARGEST_FILE = 15 * 2**20
"""Bytes of the largest file that a part leaves."""

HELD_OUT = 2_000
"""Molecules at the end of the rows that nothing is trained on."""

DONE = 0
GO_ON = 3
"""Exit code of a part that has to be called again."""


@dataclass(frozen=True)
class Scale:
    """Sizes of all that is trained.

    Arguments:
        autoencoder: settings (`wgankit_molecules.autoencoder.AUTOENCODER`), epochs left out.
        inputs: normal numbers that a molecule is made of.
        width: of generator and critic.
        depth: of both.
        batch: of the WGAN.
        n_critic: updates of the critic for one of the generator.
        rate: of both players.
        warm: steps before speed is looked at.
        timed: steps that are timed.
    """

    autoencoder: Mapping[str, Any]
    inputs: int = 128
    width: int = 512
    depth: int = 3
    batch: int = 1_024
    n_critic: int = 2
    rate: float = 3e-4
    warm: int = 30
    timed: int = 60


# The decoder and the generator, which are all that sampling needs, stay below 20 MB in float16.
FULL = Scale(
    {
        "latent": 128, "encoder": 448, "decoder": 704, "layers": 2, "noise": 0.6,
        "batch": 1_024, "rate": 2e-3, "warm_up": 400, "precision": "bf16-mixed",
    }
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
    """

    folder: Path
    scale: Scale
    device: torch.device
    ends: float
    budget: float

    def rows(self) -> Tensor:
        """Return all tokens."""
        return unpacked((self.folder / "tokens.bin").read_bytes())

    def vocabulary(self) -> dict[str, Any]:
        """Return the tokens' names, the length of rows, and the autoencoder's settings if known."""
        told: dict[str, Any] = json.loads((self.folder / "vocabulary.json").read_text())
        return told

    def plan(self, name: str, decide: Callable[[], int]) -> int:
        """Return a number that was decided before, or decide it now and write it down."""
        path = self.folder / "plan.json"
        known: dict[str, int] = json.loads(path.read_text()) if path.is_file() else {}
        if name not in known:
            known[name] = decide()
            states.write_text(path, json.dumps(known) + "\n")
            print(f"{name}: {known[name]:,}", flush=True)
        return known[name]


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
    buffer = io.BytesIO()
    torch.save(narrowed(state), buffer)
    content = buffer.getvalue()
    cuts = range(0, len(content), LARGEST_FILE)
    remove_parts(folder, stem)
    for number, start in enumerate(cuts):
        (folder / f"{stem}-{number}.part").write_bytes(content[start : start + LARGEST_FILE])


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


# Parts ------------------------------------------------------------------------------------------


def make_tokens(job: Job, tiny: bool) -> int:
    """Write the tokens of MOSES, or of a few molecules of QM9, in random order."""
    from wgankit_molecules.data import moses, qm9_10k
    from wgankit_molecules.latent import canonical_strings

    strings, _, skipped = canonical_strings(qm9_10k()[:400] if tiny else moses())
    encoded = encode_tokens(strings)
    (rows,) = leaves(encoded.points)
    order = torch.randperm(len(rows), generator=torch.Generator().manual_seed(0))
    job.folder.mkdir(parents=True, exist_ok=True)
    content = packed(rows[order])
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


def schooling_of(job: Job, rows: Tensor, epochs: int) -> Schooling:
    """Return the autoencoder's training at its beginning."""
    with states.seeded(0):
        settings = {**job.scale.autoencoder, "epochs": epochs}
        made = Autoencoder(len(job.vocabulary()["tokens"]), rows.shape[1], settings)
    return Schooling(made, rows, seed=0, device=job.device)


def synchronised(device: torch.device) -> float:
    """Return the time when the device has done all it was told."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.monotonic()


def seconds_a_step(job: Job, step: Callable[[], Any]) -> float:
    """Return how long a step takes once it is warm."""
    for _ in range(job.scale.warm):
        step()
    begun = synchronised(job.device)
    for _ in range(job.scale.timed):
        step()
    return (synchronised(job.device) - begun) / job.scale.timed


def decide_epochs(job: Job, rows: Tensor) -> int:
    """Return how many epochs fit into the budget."""
    trial = schooling_of(job, rows, 1_000)
    epoch = seconds_a_step(job, lambda: next(trial)) * trial.each
    print(f"an epoch takes {epoch:.1f} s, {len(rows) / epoch:,.0f} molecules a second", flush=True)
    return max(1, math.floor(job.budget / epoch))


def train_autoencoder(job: Job) -> int:
    """Go on with the autoencoder until it is done or the time is over."""
    rows = train_on(job.rows())
    school = schooling_of(job, rows, job.plan("epochs", lambda: decide_epochs(job, rows)))
    before = read_parts(job.folder, "schooling")
    if before:
        school.load_state_dict(before)
    begun, first, told = synchronised(job.device), school.index, time.monotonic()
    for done, lesson in school:
        now = time.monotonic()
        if now - told > 20:
            told = now
            print(words(done, school.steps, lesson), flush=True)
        if now > job.ends:
            break
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
    unseen = held_out(job.rows())
    for noise in (0.0, made.settings["noise"]):
        share = reconstruction(kept, unseen, noise=noise)
        print(f"{share:.2%} of {len(unseen):,} held-out molecules come back at noise {noise}")
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


def training_of(job: Job, points: Tensor, steps: int) -> wgankit.Training:
    """Return the WGAN at its beginning."""
    scale, latent = job.scale, points.shape[1]
    with states.seeded(0):
        generator = generator_of(job, law_of(points))
        critic = LatentCritic(latent, width=scale.width, depth=scale.depth)
    return wgankit.train(
        generator, critic, points, space=Sphere(math.sqrt(latent)), latent=Normal(scale.inputs),
        penalty=Penalty(weight=10.0), steps=steps, batch=scale.batch, n_critic=scale.n_critic,
        generator_rate=scale.rate, critic_rate=scale.rate, betas=(0.0, 0.9),
        schedule=lambda step: max(0.05, min(1.0, 2 * (1 - step / steps))), ema=0.999,
        device=job.device.type, precision="bf16-mixed" if job.device.type == "cuda" else "32-true",
    )  # fmt: skip


def train_wgan(job: Job) -> int:
    """Go on with the WGAN until it is done or the time is over."""
    begun = synchronised(job.device)
    made, rows = autoencoder_of(job), train_on(job.rows())
    points = encode_rows(made, rows, batch=8_192)
    print(f"encoded in {synchronised(job.device) - begun:.1f} s", flush=True)

    def decide() -> int:
        trial = training_of(job, points, 1_000_000)
        return max(1, math.floor(job.budget / seconds_a_step(job, lambda: next(trial))))

    training = training_of(job, points, job.plan("steps", decide))
    before = read_parts(job.folder, "wgan")
    if before:
        training.load_state_dict(before)
    told = time.monotonic()
    for step in training:
        now = time.monotonic()
        if now - told > 20:
            told, row = now, step.estimate.row()
            print(f"step {step.index:,} of {training.steps:,}: W1 {row['w1']:.3g}", flush=True)
        if now > job.ends:
            break
    print(f"step {training.index:,} of {training.steps:,}")
    if training.index < (training.steps or 0):
        write_parts(training.state_dict(), job.folder, "wgan")
        return GO_ON
    state = {name: one.half().cpu() for name, one in training.average.state_dict().items()}
    write_parts(state, job.folder, "generator")
    remove_parts(job.folder, "wgan")
    return DONE


def sample(job: Job, count: int) -> int:
    """Write SMILES strings, one a line, and tell how many a second come out."""
    made, generator = autoencoder_of(job), generator_of(job)
    state = read_parts(job.folder, "generator")
    if state is None:
        raise wgankit.RunError(f"no generator in {job.folder}; train it first: wgan")
    generator.load_state_dict(state)
    generator = generator.to(job.device).eval()

    @torch.no_grad()
    def draw(size: int) -> list[str]:
        latents = torch.randn(size, job.scale.inputs, device=job.device)
        rows = decode_points(made, generator(latents), batch=8_192)
        return decode_tokens(rows, job.vocabulary())

    with states.seeded(1, job.device):
        draw(min(count, 1_000))
        begun = synchronised(job.device)
        drawn = draw(count)
        spent = synchronised(job.device) - begun
    states.write_text(job.folder / "samples.smi", "".join(f"{text}\n" for text in drawn))
    print(f"{count:,} strings in {spent:.2f} s, {count / spent:,.0f} a second")
    return DONE


def main(arguments: list[str] | None = None) -> int:
    """Run a part; the exit code is 0 if it is done and 3 if it has to be called again."""
    reader = argparse.ArgumentParser(
        prog="python -m benchmarks.latent_h200", description="molecules:latent in parts"
    )
    reader.add_argument("part", choices=("tokens", "autoencoder", "wgan", "sample", "all"))
    reader.add_argument("--folder", type=Path, required=True, help="where the files are")
    reader.add_argument("--minutes", type=float, default=8.5, help="of this call, at most")
    reader.add_argument(
        "--budget", type=float, help="minutes of all calls of a part; 16 autoencoder, 8 wgan"
    )
    reader.add_argument("-n", "--count", type=int, default=30_000, help="strings to draw")
    reader.add_argument("--tiny", action="store_true", help="a trial on few molecules")
    reader.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    options = reader.parse_args(arguments)
    tell_header()
    parts = ("tokens", "autoencoder", "wgan", "sample") if options.part == "all" else [options.part]
    for part in parts:
        code = run(part, options)
        while options.part == "all" and code == GO_ON:
            code = run(part, options)
    print("done" if code == DONE else "to be called again")
    return code


def run(part: str, options: argparse.Namespace) -> int:
    """Run one part once."""
    usual = 0.02 if options.tiny else {"autoencoder": 16.0, "wgan": 8.0}.get(part, 0.0)
    job = Job(
        options.folder,
        TINY if options.tiny else FULL,
        torch.device(options.device),
        time.monotonic() + 60 * options.minutes,
        60 * (options.budget or usual),
    )
    if part == "tokens":
        return make_tokens(job, options.tiny)
    if part == "sample":
        return sample(job, options.count)
    return train_autoencoder(job) if part == "autoencoder" else train_wgan(job)


if __name__ == "__main__":
    raise SystemExit(main())
