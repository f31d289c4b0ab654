"""Molecules of QM9 and planar graphs in parts, on one GPU or on one core of a CPU (`--core`).

    python -m benchmarks.graphs_h200 encode --folder F --data SPLITS   # once, where rdkit is
    python -m benchmarks.graphs_h200 learn --folder F                  # again if it was stopped
    python -m benchmarks.graphs_h200 qm9-latent --folder F             # again and again until done
    python -m benchmarks.graphs_h200 qm9 --folder F                    # again and again until done
    python -m benchmarks.graphs_h200 planar --folder F                 # again and again until done
    python -m benchmarks.graphs_h200 sample --folder F                 # writes F/samples-SET.npz
    python -m benchmarks.graphs_h200 score --folder F --data SPLITS    # where rdkit is
    python -m benchmarks.graphs_h200 ship --folder F --out RUN         # a run folder in float16

`encode` wants all of QM9 (`wgankit data get qm9`) and a folder with the published planar graphs
(see docs/graphs.md); with `--only` there is one set and no other.  `encode` and `score` need rdkit
and networkx; the others need neither, and read `SET.npz` and `vocabularies.json`.

QM9 is trained on by two recipes: `qm9` is the recipe "molecules", `qm9-latent` is
"molecules:latent-graphs".  `learn` trains the autoencoder of the latter and `ship` writes its run
folder; they do nothing for the others.

A part goes on from the files that the one before left, ends after `--minutes`, and says whether it
is done.  A training that was interrupted goes on as if it never had been.  Every file is smaller
than 16 MiB, and a part leaves at most eight, so that they can be carried between machines.

How many steps there are is decided in the first minute of a part, from the speed that is seen there
and nine tenths of `--budget`, and written down in `plan.json`.

QM9 is split at random into 100,000 molecules to train on, a tenth (13,083) to test with, and the
rest, which no part looks at; sizes as in Vignac et al., ICLR 2023.  What samples is the
generator's average after the last step: nothing is chosen by any figure.

    python -m benchmarks.graphs_h200 all --tiny --folder F

runs all parts on 600 molecules of `qm9-10k` and 24 planar graphs made for it, in a minute of a CPU;
its figures mean nothing.
"""

from __future__ import annotations

import argparse
import json
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import torch
from torch import Tensor

import wgankit
import wgankit.settings
from benchmarks import parts
from benchmarks.parts import DONE, GO_ON, Plan, read_parts, remove_parts, synchronised, write_parts
from wgankit import state as states
from wgankit.cli import parse_settings
from wgankit.domain import LEARNT, Domain, Encoded, Model, Workshop
from wgankit.progress import Terminal
from wgankit.sampling import generate
from wgankit.settings import merge
from wgankit.space import Points, batch_size, leaves
from wgankit_graphs.autoencoder import Refined, given_back
from wgankit_graphs.latent import encoded_again, kinds_of, labels_of, taken
from wgankit_graphs.recipe import LabelledGraphsDomain
from wgankit_molecules.latent_graphs import LatentMolecularGraphs
from wgankit_molecules.recipe import Molecules

if TYPE_CHECKING:
    from wgankit_graphs.published import Splits

DOMAINS: dict[str, Callable[[], Domain]] = {
    "qm9-latent": LatentMolecularGraphs,
    "qm9": Molecules,
    "planar": LabelledGraphsDomain,
}
"""Whose networks, space and settings each set is trained with."""

LATENT = {"qm9-latent": "molecules:latent-graphs"}
"""Sets whose points are those of an autoencoder, and the full names of their recipes."""

TRAIN = 100_000
"""Molecules of QM9 that are trained on, at most."""

COUNTS = {"qm9-latent": 10_000, "qm9": 10_000, "planar": 1_024}
"""How many are sampled, unless told otherwise."""

SAMPLED_AT_ONCE = 1_000


@dataclass(frozen=True)
class Scale:
    """How all is trained.

    Arguments:
        settings: of each set's recipe, in place of its defaults.
        minutes: of each set's training, unless `--budget` says something else.
        warm: steps before speed is looked at.
        timed: steps that are timed.
    """

    settings: Mapping[str, Mapping[str, Any]]
    minutes: Mapping[str, float] = field(
        default_factory=lambda: {"qm9-latent": 5.0, "qm9": 8.0, "planar": 8.0}
    )
    # Between 64 and 128 steps no code is looked at again.
    warm: int = 70
    timed: int = 50


# Critics of this width jump to hundreds in their first steps at the recipes' rate of 1e-3.
FULL = Scale({
    "qm9-latent": {
        "batch": 512, "n_critic": 5, "model": {"autoencoder": {"steps": 60_000, "width": 512}},
    },
    "qm9": {
        "batch": 512, "n_critic": 2, "rate": 3e-4, "critic_rate": 5e-4, "ema": 0.9995,
        "model": {"width": 128, "layers": 4, "generator_layers": 4},
    },
    "planar": {
        "batch": 64, "n_critic": 2, "rate": 2e-4, "critic_rate": 3e-4, "ema": 0.999,
        "model": {"width": 128, "layers": 4, "generator_layers": 4, "steps": 8},
    },
})  # fmt: skip
CORE = Scale(
    {
        "qm9-latent": {
            "batch": 256,
            "n_critic": 5,
            "compile": True,
            "model": {"autoencoder": {"width": 512, "steps": 15_000}},
        },
        "qm9": {"batch": 64, "n_critic": 5, "ema": 0.999, "compile": True},
        "planar": {"batch": 16, "n_critic": 2, "ema": 0.995, "compile": True},
    },
    warm=10,
)
TINY = Scale(
    {
        "qm9-latent": {
            "batch": 8, "n_critic": 2, "compile": False,
            "model": {
                "width": 16, "depth": 1,
                "autoencoder": {"steps": 20, "batch": 16, "width": 16, "depth": 1, "latent": 8},
            },
        },
        **{
            name: {
                "batch": 8, "n_critic": 2, "compile": False,
                "model": {"width": 16, "layers": 1, "generator_layers": 1, "steps": 2},
            }
            for name in ("qm9", "planar")
        },
    },
    minutes=dict.fromkeys(DOMAINS, 0.02), warm=1, timed=3,
)  # fmt: skip


@dataclass(frozen=True)
class Job:
    """What a part works on.

    Arguments:
        folder: of all files.
        scale: how all is trained.
        device: where to compute.
        ends: when to stop, by `time.monotonic`.
        budget: seconds that all calls of a part may take together; None leaves it to the scale.
        sets: of which "encode", "sample" and "score" are.
        data: folder of the published planar graphs.
        count: how many to sample; None leaves it to `COUNTS`.
        given: settings of the sets' recipes, in place of the scale's.
    """

    folder: Path
    scale: Scale
    device: torch.device
    ends: float
    budget: float | None = None
    sets: Sequence[str] = tuple(DOMAINS)
    data: Path | None = None
    count: int | None = None
    given: Mapping[str, Any] = field(default_factory=dict)

    @property
    def tiny(self) -> bool:
        """Return whether this is a trial."""
        return self.scale is TINY

    def seconds(self, name: str) -> float:
        """Return how long a set may be trained."""
        return 60 * self.scale.minutes[name] if self.budget is None else self.budget

    def settings(self, name: str) -> dict[str, Any]:
        """Return all settings of a set's recipe."""
        defaults = wgankit.Recipe(DOMAINS[name](), name).defaults
        return merge(merge(defaults, self.scale.settings[name]), self.given)

    def vocabularies(self) -> dict[str, dict[str, Any]]:
        """Return what the labels of each set mean, and how many graphs are trained on."""
        path = self.folder / "vocabularies.json"
        told: dict[str, dict[str, Any]] = json.loads(path.read_text()) if path.is_file() else {}
        return told

    def remember(self, name: str, vocabulary: Mapping[str, Any]) -> None:
        """Write down what the labels of a set mean."""
        told = json.dumps({**self.vocabularies(), name: vocabulary})
        states.write_text(self.folder / "vocabularies.json", told + "\n")

    def vocabulary(self, name: str) -> dict[str, Any]:
        """Return what the labels of a set mean."""
        known = self.vocabularies()
        if name not in known:
            raise wgankit.RunError(f"no {name} in {self.folder}; encode it first: encode")
        return known[name]


# Graphs in files --------------------------------------------------------------------------------


def write_graphs(path: Path, points: Any) -> None:
    """Write labels of nodes `(B, N)` and of unordered pairs `(B, N (N - 1) / 2)` as bytes."""
    nodes, edges = (part.numpy().astype(np.uint8) for part in leaves(points))
    low, high = np.triu_indices(nodes.shape[1], 1)
    new = path.with_suffix(".new.npz")
    np.savez_compressed(new, nodes=nodes, pairs=edges[:, low, high])
    new.replace(path)


def read_graphs(path: Path) -> tuple[Tensor, Tensor]:
    """Return labels of nodes `(B, N)` and edges `(B, N, N)` that `write_graphs` wrote."""
    if not path.is_file():
        raise wgankit.RunError(f"there is no {path}; the part before writes it")
    with np.load(path) as kept:
        nodes, pairs = kept["nodes"], kept["pairs"]
    low, high = np.triu_indices(nodes.shape[1], 1)
    edges = np.zeros((*nodes.shape, nodes.shape[1]), np.uint8)
    edges[:, low, high] = edges[:, high, low] = pairs
    return torch.from_numpy(nodes), torch.from_numpy(edges)


def cut(points: tuple[Tensor, Tensor], rows: slice) -> tuple[Tensor, Tensor]:
    """Return some of the graphs."""
    return points[0][rows], points[1][rows]


# Encoding ---------------------------------------------------------------------------------------


def encode(job: Job) -> int:
    """Write the graphs of each set, those to train on first."""
    job.folder.mkdir(parents=True, exist_ok=True)
    for name in job.sets:
        known = encode_planar(job) if name == "planar" else encode_molecules(job, name)
        job.remember(name, known)
        size = (job.folder / f"{name}.npz").stat().st_size / 2**20
        print(f"{name}: {known['train']:,} to train on, {size:.1f} MiB", flush=True)
    return DONE


def encode_molecules(job: Job, name: str) -> dict[str, Any]:
    """Write QM9 in random order; the last tenth is for tests."""
    from wgankit_molecules.data import qm9, qm9_10k

    strings = qm9_10k()[:600] if job.tiny else qm9()
    order = torch.randperm(len(strings), generator=torch.Generator().manual_seed(0)).tolist()
    mixed = [strings[place] for place in order]
    count = min(TRAIN, 8 * len(mixed) // 10)
    domain = Molecules()
    # Only training molecules say what there is: kinds of atoms, numbers of nodes, shares of bonds.
    train = domain.encode(mixed[:count])
    rest = domain.encode(mixed[count:], train.vocabulary)
    print(f"left out: {dict(train.skipped + rest.skipped) or 'none'}")
    both = [torch.cat(two) for two in zip(leaves(train.points), leaves(rest.points), strict=True)]
    write_graphs(job.folder / f"{name}.npz", both)
    tests_from = len(mixed) - len(mixed) // 10 - count
    test = sum(place >= tests_from for place in rest.kept)
    return {**train.vocabulary, "train": len(train.kept), "test": test}


def encode_planar(job: Job) -> dict[str, Any]:
    """Write the planar graphs that are trained on."""
    encoded = LabelledGraphsDomain().encode(planar_graphs(job).train)
    write_graphs(job.folder / "planar.npz", encoded.points)
    return {**encoded.vocabulary, "train": len(encoded.kept)}


def planar_graphs(job: Job) -> Splits:
    """Return the published planar graphs, or a few made by their process."""
    from wgankit_graphs.published import PROCESSES, Splits, splits

    if not job.tiny:
        return splits("planar", job.data)
    made = PROCESSES["planar"](40, 0)
    return Splits(made[:24], made[24:32], made[32:])


# Training ---------------------------------------------------------------------------------------


def learn(job: Job) -> int:
    """Train the autoencoders of those sets that have one, and write points and what was learnt."""
    for name in (name for name in job.sets if name in LATENT):
        vocabulary, points = job.vocabulary(name), read_graphs(job.folder / f"{name}.npz")
        count = vocabulary["train"]
        workshop = Workshop(
            job.folder / f"{name}-workshop", job.settings(name), job.device, Terminal()
        )
        begun = synchronised(job.device)
        encoded = Encoded(cut(points, slice(count)), vocabulary, list(range(count)))
        learnt = DOMAINS[name]().learn(encoded, torch.arange(count), workshop)
        print(f"{name}: learnt in {synchronised(job.device) - begun:.0f} s", flush=True)
        write_parts({"points": leaves(learnt.points)[0]}, job.folder, f"{name}-points")
        write_parts(learnt.state, job.folder, f"{name}-learnt")
        job.remember(name, learnt.vocabulary)
        shutil.rmtree(workshop.folder)
    return DONE


def read_learnt(job: Job, name: str, what: str) -> dict[str, Any]:
    """Return what `learn` left of a set."""
    found = read_parts(job.folder, f"{name}-{what}")
    if found is None:
        raise wgankit.RunError(f"nothing was learnt in {job.folder}; do that first: learn")
    return found


def whole(job: Job, name: str) -> dict[str, Any]:
    """Return a set's vocabulary with what was learnt."""
    known = job.vocabulary(name)
    return {**known, LEARNT: read_learnt(job, name, "learnt")} if name in LATENT else known


def model_of(job: Job, name: str) -> Model:
    """Return a set's networks as they begin, their space and their latents."""
    with states.seeded(0):
        return DOMAINS[name]().build(whole(job, name), job.settings(name))


def points_of(job: Job, name: str) -> Points:
    """Return the points of a set to train on, as they are stored."""
    if name in LATENT:
        return cast(Tensor, read_learnt(job, name, "points")["points"])
    return cut(read_graphs(job.folder / f"{name}.npz"), slice(job.vocabulary(name)["train"]))


def training_of(job: Job, name: str, steps: int) -> wgankit.Training:
    """Return the training of a set at its beginning."""
    return wgankit.settings.training_of(
        model_of(job, name),
        points_of(job, name),
        {**job.settings(name), "steps": steps},
        device=job.device.type,
    )


def train(job: Job, name: str) -> int:
    """Go on with a set's training until it is done or the time is over."""

    def decide() -> int:
        trial, scale = training_of(job, name, 1_000_000), job.scale
        step = parts.seconds_a_step(
            lambda: next(trial), job.device, warm=scale.warm, timed=scale.timed
        )
        print(f"{trial.batch * trial.n_critic / step:,.0f} graphs a second", flush=True)
        return parts.steps_within(job.seconds(name), step)

    training = training_of(job, name, Plan(job.folder).number(f"{name} steps", decide))
    stem = f"{name}-training"
    before = read_parts(job.folder, stem)
    if before:
        training.load_state_dict(before)
    begun, first = synchronised(job.device), training.index
    done = parts.go_on(
        training, lambda: write_parts(training.state_dict(), job.folder, stem), ends=job.ends
    )
    spent = synchronised(job.device) - begun
    print(f"{(training.index - first) / max(spent, 1e-9):.1f} steps a second", flush=True)
    if not done:
        return GO_ON
    average = {key: one.cpu() for key, one in training.average.state_dict().items()}
    write_parts(average, job.folder, f"{name}-generator")
    remove_parts(job.folder, stem)
    return DONE


# Sampling ---------------------------------------------------------------------------------------


def trained(job: Job, name: str) -> Model:
    """Return a set's model with the generator of the part before."""
    model, state = model_of(job, name), read_parts(job.folder, f"{name}-generator")
    if state is None:
        raise wgankit.RunError(f"no generator in {job.folder}; train it first: {name}")
    model.generator.load_state_dict(state)
    model.generator.to(job.device).eval()
    return model


def drawn(model: Model, known: dict[str, Any], count: int, *, seed: int) -> tuple[Tensor, Tensor]:
    """Return labels of generated graphs, on the CPU.

    Arguments:
        model: with a trained generator.
        known: the set's vocabulary, with what was learnt.
        count: how many.
        seed: of the latents.
    """
    numbers = known["size"] ** 2 * (len(known["edges"]) + 1)
    made = generate(
        model.generator, model.latent, count=count, batch=min(count, SAMPLED_AT_ONCE), seed=seed,
        numbers=numbers,
    )  # fmt: skip
    if LEARNT in known:
        batches = [labels_of(some, known) for some in made]
    else:
        batches = [graph_labels(some) for some in made]
    nodes, edges = (torch.cat(column) for column in zip(*batches, strict=True))
    return nodes, edges


def graph_labels(points: Points) -> tuple[Tensor, Tensor]:
    """Return the likeliest labels of graphs."""
    nodes, edges = (part.argmax(-1).to(torch.uint8) for part in leaves(points))
    return nodes, edges


def sample(job: Job) -> int:
    """Write generated graphs of each set, and tell how many a second come out."""
    for name in job.sets:
        model, known = trained(job, name), whole(job, name)
        count = job.count or COUNTS[name]
        drawn(model, known, min(count, SAMPLED_AT_ONCE), seed=0)
        begun = synchronised(job.device)
        points = drawn(model, known, count, seed=1)
        spent = synchronised(job.device) - begun
        path = job.folder / f"samples-{name}.npz"
        write_graphs(path, points)
        print(f"{name}: {count:,} in {spent:.2f} s, {count / spent:,.0f} a second, in {path}")
    return DONE


# Scoring ----------------------------------------------------------------------------------------


def score(job: Job) -> int:
    """Tell what the samples are worth, and keep the figures."""
    figures = {
        name: score_planar(job) if name == "planar" else score_molecules(job, name)
        for name in job.sets
    }
    for name, seen in figures.items():
        print(f"{name}: " + ", ".join(f"{key} {value:.4g}" for key, value in seen.items()))
    states.write_text(job.folder / "scores.json", json.dumps(figures) + "\n")
    return DONE


def score_molecules(job: Job, name: str) -> dict[str, float]:
    """Return shares of valid, unique and novel molecules, and FCD to the test molecules.

    Beside the FCD of the valid samples stands that of as many training molecules.
    """
    from wgankit_molecules.chemistry import decode_molecules
    from wgankit_molecules.metrics import shares, valid_form
    from wgankit_molecules.moses_chemnet import features, frechet, law

    known = job.vocabulary(name)
    real = decode_molecules(read_graphs(job.folder / f"{name}.npz"), known)
    train_on, test = real[: known["train"]], real[len(real) - known["test"] :]
    said = decode_molecules(read_graphs(job.folder / f"samples-{name}.npz"), known)
    figures = {"samples": float(len(said)), **shares(said, train_on)}
    valid = [text for text in map(valid_form, said) if text]
    if len(valid) > 1:
        wanted = law(features(test))
        figures["fcd"] = frechet(law(features(valid)), wanted)
        figures["fcd_floor"] = frechet(law(features(train_on[: len(valid)])), wanted)
    return figures


def score_planar(job: Job) -> dict[str, float]:
    """Return V.U.N. and the four distances, by the published protocol."""
    from wgankit_graphs.published import distances, shares, verdicts

    known = planar_graphs(job)
    made = LabelledGraphsDomain().decode(
        read_graphs(job.folder / "samples-planar.npz"), job.vocabulary("planar")
    )
    figures = {"samples": float(len(made)), **shares(made, known.train, verdicts("planar"))}
    return figures | distances(made, known)


# Shipping ---------------------------------------------------------------------------------------


def ship(job: Job, out: Path) -> int:
    """Write a run folder of the sets with an autoencoder: what sampling needs, in float16.

    The molecules that it holds along are some of those that no part looks at.  The autoencoder is
    kept once, among what was learnt.
    """
    for name in (name for name in job.sets if name in LATENT):
        generator = cast(Refined, trained(job, name).generator).generator
        steps = Plan(job.folder).number(f"{name} steps", lambda: 1)
        known = whole(job, name)
        # Figures are of the weights as they are kept.
        learnt = parts.halved(known.pop(LEARNT))
        rest = slice(known.pop("train"), -known.pop("test"))
        real = cut(read_graphs(job.folder / f"{name}.npz"), rest)
        some = cut(real, slice(parts.KEPT_ALONG))
        encoded = Encoded(some, {**known, LEARNT: learnt}, list(range(batch_size(some))))
        points, *labels = leaves(encoded_again(encoded).points)
        share = given_back(taken(encoded.vocabulary), tuple(labels), kinds_of(known))
        print(f"{share:.2%} of {len(points):,} molecules nobody looked at come back", flush=True)
        parts.ship(
            out, recipe=LATENT[name], source="data set qm9",
            settings={**job.settings(name), "steps": steps},
            vocabulary={**known, "given_back": share}, points=(points.half(), *labels),
            learnt=learnt,
            average={f"generator.{key}": one for key, one in generator.state_dict().items()},
        )  # fmt: skip
    return DONE


PARTS = ("encode", "learn", *DOMAINS, "sample", "score", "ship")
"""In the order in which they are run."""


def main(arguments: list[str] | None = None) -> int:
    """Run a part; the exit code is 0 if it is done and 3 if it has to be called again."""
    reader = parts.parser(
        "graphs_h200",
        "QM9 and planar graphs in parts",
        PARTS,
        budget="5 qm9-latent, 8 qm9, 8 planar",
    )
    reader.add_argument("-n", "--count", type=int, help="to sample; 10,000 and 1,024")
    reader.add_argument("--only", choices=DOMAINS, help="encode, sample and score one set alone")
    reader.add_argument("--data", type=Path, help="folder of the published planar graphs")
    reader.add_argument("--out", type=Path, help="run folder that ship makes; F/run")
    reader.add_argument(
        "--set", action="append", default=[], metavar="NAME=VALUE",
        help="a setting of the recipes, such as n_critic=5; the same at all parts",
    )  # fmt: skip
    return parts.call(reader.parse_args(arguments), PARTS, run)


def run(part: str, options: argparse.Namespace) -> int:
    """Run one part once."""
    job = Job(
        options.folder,
        TINY if options.tiny else CORE if options.core else FULL,
        torch.device(options.device),
        ends=time.monotonic() + 60 * options.minutes,
        budget=None if options.budget is None else 60 * options.budget,
        sets=(options.only,) if options.only else tuple(DOMAINS),
        data=options.data,
        count=options.count,
        given=parse_settings(options.set),
    )

    def done() -> int:
        return DONE

    works: dict[str, Callable[[], int]] = {
        "encode": lambda: encode(job),
        "learn": lambda: learn(job),
        **{name: partial(train, job, name) if name in job.sets else done for name in DOMAINS},
        "sample": lambda: sample(job),
        "score": lambda: score(job),
        "ship": lambda: ship(job, options.out or job.folder / "run"),
    }
    return works[part]()


if __name__ == "__main__":
    raise SystemExit(main())
