"""Pictures: units, digits, super-resolution, translation, and thin data; `benchmarks.images`.

Everything is trained through the recipes on pictures that come with scikit-learn and scikit-image.
Seconds are CPU seconds of one thread, the judging included.
"""

from __future__ import annotations

import math
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor

import wgankit
from benchmarks.command import Missed, finish, parser, tell_header
from wgankit import Normed, Penalty, Quadratic, SmoothSpace, at_both, between, exact
from wgankit.penalty import Where
from wgankit.space import Points, leaves
from wgankit_images import AlongData, InLatent, Pair, compare, grid, picture_space, strips
from wgankit_images.datasets import digits
from wgankit_images.encoding import Picture, from_bytes, stack
from wgankit_images.pictures import as_png, enlarge
from wgankit_images.squares import by_squares, shrunk


@dataclass
class Result:
    """One table of figures.

    Arguments:
        title: what it shows.
        rows: figures of each row, under its name.
        missed: targets that were not reached.
        pictures: PNG files to keep, by name.
    """

    title: str
    rows: dict[str, dict[str, float]] = field(default_factory=dict)
    missed: list[Missed] = field(default_factory=list)
    pictures: dict[str, Picture] = field(default_factory=dict)

    def at_most(self, row: str, figure: str, target: float, quick: bool = False) -> None:
        """Ask a figure not to exceed a target, in full runs."""
        reached = self.rows[row][figure]
        if not quick and not reached <= target:
            name = f"{self.title}: {row}, {figure}"
            self.missed.append(Missed(name, f"{reached:.4g}", f"<= {target:.4g}"))

    def table(self) -> Table:
        """Return the rows as a table; a column for each figure that any row has."""
        made = Table(title=self.title, title_justify="left")
        made.add_column("")
        names = list(dict.fromkeys(name for row in self.rows.values() for name in row))
        for name in names:
            made.add_column(name, justify="right")
        for title, row in self.rows.items():
            made.add_row(title, *(f"{row[name]:.4g}" if name in row else "" for name in names))
        return made


# Units ----------------------------------------------------------------------------------------

STRIPE = torch.zeros(1, 1, 8, 8)
STRIPE[..., 2:4, :] = 100.0


def units(quick: bool) -> Result:
    """Return W1 between faint digits and the same under a stripe, for three ranges of numbers."""
    levels = stack(digits()) / 2
    truth = float(STRIPE.norm())
    result = Result("W1 in grey levels of a stripe, whatever range the numbers have")
    for name, low, high in (("[0, 255]", 0, 255), ("[0, 1]", 0, 1), ("[-1, 1]", -1, 1)):
        real, fake = (low + part / 255 * (high - low) for part in (levels, levels + STRIPE))
        space = picture_space("l2", low=low, high=high, unit=255)
        torch.manual_seed(0)
        critic = torch.nn.Sequential(Levels(low, high), wgankit.Perceptron(64, width=48, depth=2))
        report = wgankit.fit_critic(critic, real, fake, space=space, steps=300, pairs=64, rate=5e-3)
        found = exact.w1(space, real[:200], fake[:200])
        result.rows[name] = {"truth": truth, "exact": found, "critic": float(report.w1)}
        result.rows[name]["error of the critic"] = abs(float(report.w1) / truth - 1)
        result.at_most(name, "error of the critic", 0.03)
    return result


class Levels(torch.nn.Module):
    """Grey levels, in tens, of numbers whose black and white are known."""

    def __init__(self, low: float, high: float) -> None:
        super().__init__()
        self.low, self.factor = low, 25.5 / (high - low)

    def forward(self, numbers: Tensor) -> Tensor:
        return (numbers - self.low) * self.factor


# Digits ---------------------------------------------------------------------------------------


def new_digits(quick: bool) -> Result:
    """Return how far generated digits are from held-out ones."""
    steps = 300 if quick else 8_000
    result = Result(f"digits, {steps:,} steps, 449 of each law")
    with trained_run("images", "digits", steps=steps) as (recipe, seconds):
        data = [stack(part) for part in (recipe.held_out_objects, recipe.training_objects)]
        made = recipe.sample(500, seed=7)
        laws = {"WGAN": stack(made), "normal law of the pixels": normal_law(data[1], 500)}
        for name, law in laws.items():
            found = compare(law, *data)
            result.rows[name] = {key: value for key, value in found.items() if "floor" not in key}
        floors = {key.removesuffix("_floor"): v for key, v in found.items() if "floor" in key}
        result.rows["real digits"] = floors
        result.rows["WGAN"]["seconds"] = seconds
        shown = {"digits": made[:48], "strips": strips(recipe, rows=4, steps=12)}
        for kind, some in shown.items():
            result.pictures[kind] = enlarge_all(grid(some, columns=12), 6)
    gaussian = result.rows["normal law of the pixels"]
    result.at_most("WGAN", "fid", gaussian["fid"] / 2, quick)
    return result


def normal_law(pictures: Tensor, count: int) -> Tensor:
    """Return pictures drawn from the normal law with the pixels' mean and covariance."""
    rows = pictures.flatten(1)
    covariance = rows.T.cov() + 1e-3 * torch.eye(rows.shape[1])
    law = torch.distributions.MultivariateNormal(rows.mean(0), covariance)
    torch.manual_seed(0)
    drawn: Tensor = law.sample((count,)).round().clamp(0, 255)
    return drawn.view(-1, *pictures.shape[1:])


@contextmanager
def trained_run(
    name: str, source: str, *, steps: int, **settings: Any
) -> Iterator[tuple[wgankit.Recipe, float]]:
    """Train a recipe in a folder that goes away; gives it and the CPU seconds that it took."""
    with tempfile.TemporaryDirectory() as folder:
        started = time.process_time()
        recipe = wgankit.recipe(name).fit(
            source,
            out=Path(folder) / "run",
            device="cpu",
            progress=False,
            steps=steps,
            evaluate_every=max(1, steps // 3),
            **settings,
        )
        yield recipe, time.process_time() - started


# Pictures from pictures -----------------------------------------------------------------------


def restoration(
    recipe: wgankit.Recipe, training: Sequence[Pair], held_out: Sequence[Picture], seconds: float
) -> dict[str, dict[str, float]]:
    """Return the rows of a table: what was trained, and what stands beside it.

    Arguments:
        recipe: a trained one.
        training: the pairs it was trained on.
        held_out: true pictures.
        seconds: what training took.
    """
    pairs = recipe.sample(384, seed=7)
    found = recipe.evaluate(pairs)
    names, shares = ("psnr", "spectrum", "fid"), ("precision", "recall")
    blurred = by_squares(stack([pair.given for pair in pairs]), training).float()
    made, learnt = (stack([pair.picture for pair in each]) for each in (pairs, training))
    rows = {
        "WGAN": {name: found[name] for name in (*names, *shares, "variety")},
        "squared errors alone": {name: found[f"{name}_squares"] for name in names},
        "real pictures": {name: found[f"{name}_floor"] for name in (*names[1:], *shares)},
    }
    for (_, row), law in zip(rows.items(), (made, blurred, learnt), strict=True):
        row["W1"] = pixel_w1(law, stack(held_out))
    rows["WGAN"]["seconds"] = seconds
    if "psnr_bicubic" in found:
        rows["bicubic"] = {"psnr": found["psnr_bicubic"]}
    return rows


def pixel_w1(made: Tensor, real: Tensor) -> float:
    """Return exact W1 between as many pictures of two laws, a pixel from black to white being 1."""
    count = min(len(made), len(real))
    order = torch.randperm(len(made), generator=torch.Generator().manual_seed(0))
    return exact.w1(picture_space(low=0, high=255), made[order[:count]], real[:count])


def superres(quick: bool) -> Result:
    """Return what super-resolution by four makes of textures, at some weights of the content."""
    steps = 60 if quick else 800
    result = Result(f"super-resolution, 8 x 8 to 32 x 32, textures, {steps} steps")
    for content in (0.5,) if quick else (0.1, 0.5):
        model = {"content": content}
        with trained_run("images:superres", "textures", steps=steps, model=model) as trained:
            recipe, seconds = trained
            pairs = shrunk(recipe.training_objects, 4)
            rows = restoration(recipe, pairs, recipe.held_out_objects, seconds)
            result.rows[f"WGAN, content {content:g}"] = rows.pop("WGAN")
            result.rows |= rows
            if not result.pictures:
                result.pictures["superres"] = side_by_side(recipe, pairs)
    judge_restoration(result, "WGAN, content 0.5", quick)
    return result


def translation(quick: bool) -> Result:
    """Return what translation makes of edges."""
    steps = 60 if quick else 800
    result = Result(f"translation, edges to textures, patch critic, {steps} steps")
    with trained_run("images:translate", "edges", steps=steps) as (recipe, seconds):
        truths = [pair.picture for pair in recipe.held_out_objects]
        result.rows = restoration(recipe, recipe.training_objects, truths, seconds)
        result.pictures["translate"] = side_by_side(recipe, recipe.training_objects)
    judge_restoration(result, "WGAN", quick)
    return result


def judge_restoration(result: Result, row: str, quick: bool) -> None:
    """Ask the game to win by spectrum and features, and squared errors by PSNR."""
    squares = result.rows["squared errors alone"]
    result.at_most(row, "spectrum", squares["spectrum"] / 2, quick)
    result.at_most(row, "fid", squares["fid"] / 4, quick)
    result.at_most(row, "psnr", squares["psnr"])


def side_by_side(recipe: wgankit.Recipe, training: Sequence[Pair], count: int = 8) -> Picture:
    """Return rows of given pictures, those of squared errors, made ones and true ones."""
    seen: dict[bytes, Pair] = {}
    for pair in recipe.sample(400, seed=7):
        seen.setdefault(pair.given.tobytes(), pair)
    # From much contrast to little, so that every surface is among them.
    shown = sorted(seen.values(), key=lambda pair: -pair.given.std())
    shown = shown[:: len(shown) // count][:count]
    blurred = from_bytes(by_squares(stack([pair.given for pair in shown]), training))
    given = [enlarge(pair.given, len(pair.picture)) for pair in shown]
    truths = [pair.truth for pair in shown if pair.truth is not None]
    tiles = [*given, *blurred, *(pair.picture for pair in shown), *truths]
    return enlarge_all(grid(tiles, columns=count, gap=2))


def enlarge_all(picture: Picture, times: int = 2) -> Picture:
    """Return a picture with every pixel repeated."""
    return np.asarray(picture.repeat(times, 0).repeat(times, 1))


# Thin data ------------------------------------------------------------------------------------

SIDE, PERIOD, COUNT = 12, 6.0, 500
_PHASE = 2 * math.pi * torch.arange(float(SIDE)) / PERIOD
SINE, COSINE = (f(_PHASE).expand(SIDE, SIDE).flatten() for f in (torch.sin, torch.cos))
LENGTH = SINE.norm()
_EVEN = (-1.0) ** torch.arange(SIDE)
ACROSS = (_EVEN[:, None] * _EVEN[None, :]).flatten() / SIDE


def stripes(phases: Tensor) -> Tensor:
    """Return pictures `(B, 144)` of stripes: a circle in the plane of a sine and a cosine."""
    made: Tensor = phases.cos()[:, None] * SINE + phases.sin()[:, None] * COSINE
    return made


def phases_of(pictures: Points) -> Tensor:
    """Return the phases `(B, 1)` of the stripes nearest to pictures."""
    (rows,) = leaves(pictures)
    return torch.atan2(rows @ COSINE, rows @ SINE)[:, None]


def along(phases: Tensor) -> Tensor:
    """Return the directions `(B, 144)`, of length 1, in which stripes move with their phase."""
    way: Tensor = (phases.cos()[:, None] * COSINE - phases.sin()[:, None] * SINE) / LENGTH
    return way


def thin_metric(eps: float) -> SmoothSpace:
    """Return the metric in which a unit across the plane of the stripes counts eps."""
    plane = torch.stack([SINE, COSINE]) / LENGTH
    flat = plane.T @ plane
    return Quadratic(flat + eps**2 * (torch.eye(SIDE**2) - flat))


def thin_row(
    space: SmoothSpace, where: Where, height: float, seed: int, steps: int
) -> dict[str, float]:
    """Return what a critic says at generated pictures that collapsed onto a few phases.

    Real phases are all there are, generated ones lie in [0, 0.6], and generated pictures also have
    a chequered pattern of a given length, which leads away from all stripes.
    """
    torch.manual_seed(seed)
    real = stripes(2 * math.pi * torch.rand(COUNT))
    phases = 0.6 * torch.rand(COUNT)
    fake = stripes(phases) + height * ACROSS
    wanted, truth = best_gradient(space, real, fake)
    critic = wgankit.Perceptron(SIDE**2, width=64)
    penalty = Penalty(weight=10.0, where=where)
    report = wgankit.fit_critic(
        critic, real, fake, space=space, penalty=penalty, steps=steps, pairs=64, rate=3e-3
    )
    points = fake.clone().requires_grad_()
    (found,) = torch.autograd.grad(critic(points).sum(), points)
    found = found / space.dual_norm(fake, found)[:, None]
    tangent = along(phases)
    told, got = ((each * tangent).sum(1) for each in (wanted, found))
    across = [each - (each * tangent).sum(1)[:, None] * tangent for each in (wanted, found)]
    return {
        "W1": truth,
        "critic": float(report.w1),
        "along, exact": float(told.abs().mean()),
        "along": float(got.abs().mean()),
        "error along": float((got - told).abs().mean()),
        "error across": float(space.dual_norm(fake, across[1] - across[0]).mean()),
    }


def best_gradient(space: SmoothSpace, real: Tensor, fake: Tensor) -> tuple[Tensor, float]:
    """Return the gradients `(B, n)` of an optimal critic at generated points, and W1.

    A best critic rises by the distance on the way to each point's partner in an optimal transport,
    so its gradient there is that of minus the distance to the partner.
    """
    import ot

    table = wgankit.pairwise(space, fake, real).double().numpy()
    plan = torch.as_tensor(ot.emd([], [], table))
    points = fake.clone().requires_grad_()
    distance = space.distance(points, real[plan.argmax(1)])
    (gradient,) = torch.autograd.grad(-distance.sum(), points)
    return gradient, float((plan * torch.as_tensor(table)).sum())


def thin_data(quick: bool) -> Result:
    """Return which directions of a critic's gradient depend on where slopes are taken."""
    steps, seeds = (100 if quick else 400), range(1 if quick else 4)
    euclid, thin = Normed(), thin_metric(0.1)
    kinds: dict[str, tuple[SmoothSpace, Where]] = {
        "straight lines": (euclid, between),
        "half between neighbours": (euclid, AlongData(euclid)),
        "half along phases": (euclid, InLatent(phases_of, lambda codes: stripes(codes[:, 0]))),
        "at the points": (euclid, at_both),
        "across counts 0.1": (thin, between),
        "the same, half neighbours": (thin, AlongData(thin)),
    }
    result = Result(f"stripes, {len(seeds)} seeds, shares of a slope of 1")
    for height in (8.0,) if quick else (2.0, 8.0):
        for kind, (space, where) in kinds.items():
            rows = [thin_row(space, where, height, seed, steps) for seed in seeds]
            name = f"height {height:g}, {kind}"
            row = {key: float(np.mean([one[key] for one in rows])) for key in rows[0]}
            row["+-"] = float(np.std([one["error along"] for one in rows]))
            result.rows[name] = row
            result.at_most(name, "error along", 0.15, quick)
    return result


# The command ----------------------------------------------------------------------------------

PARTS: dict[str, Callable[[bool], Result]] = {
    "units": units,
    "digits": new_digits,
    "superres": superres,
    "translate": translation,
    "stripes": thin_data,
}


def main() -> int:
    """Run the command."""
    reader = parser("images", __doc__.splitlines()[0] if __doc__ else "")
    reader.add_argument("--only", choices=PARTS, nargs="+", default=list(PARTS), help="which parts")
    reader.add_argument("--pictures", type=Path, metavar="FOLDER", help="keep pictures as PNG")
    given = reader.parse_args()
    torch.set_num_threads(1)
    tell_header()
    console = Console(width=None if sys.stdout.isatty() else 150)
    results = {}
    for name in given.only:
        result = results[name] = PARTS[name](given.quick)
        console.print(result.table())
        for kind, picture in result.pictures.items() if given.pictures else ():
            given.pictures.mkdir(parents=True, exist_ok=True)
            (given.pictures / f"images-{kind}.png").write_bytes(as_png(picture))
    figures = {name: result.rows for name, result in results.items()}
    missed = [one for result in results.values() for one in result.missed]
    return finish(given, {"parts": figures, "missed": [asdict(one) for one in missed]}, missed)


if __name__ == "__main__":
    sys.exit(main())
