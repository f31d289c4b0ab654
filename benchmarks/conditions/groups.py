"""Groups of unequal size: a rare digit among common ones, and what reweighting gives it."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import wgankit
from benchmarks.conditions.digits import Digits, Painter, digits, painter
from benchmarks.conditions.rows import SEEDS, Row, least, most, tell
from wgankit import Penalty
from wgankit.space import Points
from wgankit_labels import EachCondition, GroupSampler, by_group, coverage, split

MINOR, COUNT = 4, 1_000
"""The digit that is rare, and how many pictures are trained on."""


@dataclass(frozen=True)
class Groups:
    """Nine digits that are common (group 0) and one that is rare (group 1).

    Arguments:
        train: pictures with their group as the label.
        held: other pictures: 400 common ones and 100 of the rare digit.
    """

    train: Digits
    held: Digits


def unbalanced(share: float, seed: int) -> Groups:
    """Return the digits with `share` of them rare."""
    every = digits().shuffled(seed)
    group = (every.digits == MINOR).long()
    every = Digits(every.pictures, group)
    common, rare = every[group == 0], every[group == 1]
    few = round(COUNT * share)
    train = _together(common[: COUNT - few], rare[:few])
    return Groups(train, _together(common[-400:], rare[-100:]))


def _together(one: Digits, other: Digits) -> Digits:
    return Digits(torch.cat([one.pictures, other.pictures]), torch.cat([one.digits, other.digits]))


def group_of(points: Points) -> Tensor:
    """Return the group of pictures whose label it is."""
    return split(points)[1].argmax(1)


def trained(problem: Groups, how: str, *, steps: int, seed: int) -> Painter:
    """Return a painter trained in one of the ways of `HOW`."""
    data, group = problem.train.points(2), problem.train.digits
    if how == "plain":
        return painter(data, steps=steps, seed=seed)
    sampler = GroupSampler(data, group)
    penalty = Penalty(groups=group_of, over="mean" if how == "balanced" else "worst")
    start: list[Tensor] = []

    def favour(step: int, training: wgankit.Training) -> None:
        if how != "worst" or step % 25:
            return
        some = _together(problem.train[group == 0][:128], problem.train[group == 1][:128]).points(2)
        with torch.no_grad():
            fake = training.average(training.latent.beside(some))  # type: ignore[attr-defined]
        found = by_group(training.space, training.critic, some, fake, group_of)
        losses = torch.stack([found[k].estimate.w1 for k in (0, 1)])
        start.append(losses.mean())
        sampler.favour(losses / start[0], rate=0.2, least=0.2)

    return painter(data, steps=steps, seed=seed, sampler=sampler, penalty=penalty, watch=favour)


HOW = {
    "plain": "as the data is",
    "balanced": "equal shares, penalty in the mean of both groups",
    "worst": "shares follow the worst group (>= .2), penalty of the worst",
}


def groups(quick: bool) -> Iterator[Row]:
    """A rare digit among nine common ones: what reweighting gives it, and what that costs them."""
    shares, seeds, steps = ((0.01,), range(1), 600) if quick else ((0.01, 0.05), SEEDS, 1_500)
    for share in shares:
        for seed in seeds:
            problem = unbalanced(share, seed)
            plain: dict[str, float] = {}
            for how in ("plain", "balanced") if quick else HOW:
                begun = time.monotonic()
                figures = judged(problem, trained(problem, how, steps=steps, seed=seed))
                tell(f"groups, {share:.0%}, seed {seed}, {how}", begun)
                plain = plain or figures
                yield Row(
                    f"{100 * (1 - share):.0f}:{100 * share:.0f}, seed {seed}, {how}",
                    figures,
                    _better(plain) if how == "balanced" else {},
                )
            yield Row(
                f"{100 * (1 - share):.0f}:{100 * share:.0f}, seed {seed}, real",
                floors(problem),
                {},
            )


def _better(plain: dict[str, float]) -> dict[str, tuple[float, float]]:
    """Return that the rare group gains, and the common one loses little."""
    return {
        "rare W1": most(0.95 * plain["rare W1"]),
        "rare cover": least(plain["rare cover"] + 0.1),
        "common W1": most(1.1 * plain["common W1"]),
    }


def judged(problem: Groups, made: Painter) -> dict[str, float]:
    """Return exact W1 and coverage of both groups against pictures held out, and slopes."""
    space = EachCondition(wgankit.Normed())
    real = problem.held.points(2)
    found = by_group(space, made.critic, real, made.beside(real), group_of, weight=made.weight)
    return {
        f"{name} {figure}": value
        for k, name in ((1, "rare"), (0, "common"))
        for figure, value in (
            ("W1", found[k].exact),
            ("cover", found[k].coverage),
            ("critic", float(found[k].estimate.w1)),
            ("slope", float(found[k].estimate.steepest)),
        )
    }


def floors(problem: Groups) -> dict[str, float]:
    """Return what the training pictures themselves score, each group with what it has of them."""
    space, found = wgankit.Normed(), {}
    for k, name in ((1, "rare"), (0, "common")):
        held, train = problem.held, problem.train
        real = held.pictures[held.digits == k]
        mine = train.pictures[train.digits == k][: len(real)]
        found[f"{name} W1"] = wgankit.exact.w1(space, real, mine)
        found[f"{name} cover"] = coverage(space, real, mine)
    return found


def draw_groups(folder: Path) -> None:
    """Draw the rare digit of 99:1 as it was learnt, and coverage and slopes of both groups."""
    from matplotlib.figure import Figure

    problem, columns = unbalanced(0.01, 0), 10
    rare = problem.train[problem.train.digits == 1]
    rows = [("trained on", rare.pictures[:columns])]
    wanted = problem.held[problem.held.digits == 1][:columns].points(2)
    found: dict[str, dict[str, float]] = {}
    for how in HOW:
        made = trained(problem, how, steps=1_500, seed=0)
        found[how] = judged(problem, made)
        torch.manual_seed(0)
        rows.append((how, made.beside(wanted)[0]))
    figure = Figure(figsize=(7.6, 2.3), layout="constrained")
    halves: Any = figure.subfigures(1, 2, width_ratios=(1.5, 1))
    left, right = halves
    _draw_digits(left, rows, columns)
    for place, (name, title) in enumerate((("cover", "coverage"), ("slope", "steepest slope"))):
        axes = right.add_subplot(2, 1, place + 1)
        _draw_bars(axes, {how: [row[f"{k} {name}"] for k in GROUPS] for how, row in found.items()})
        axes.set_title(title, fontsize=8)
    figure.savefig(folder / "labels-groups.png", dpi=110)


GROUPS = ("rare", "common")


def _draw_digits(figure: Any, rows: Sequence[tuple[str, Tensor]], columns: int) -> None:
    axes = figure.subplots(len(rows), columns)
    for line, (name, some) in zip(axes, rows, strict=True):
        line[0].set_ylabel(name, fontsize=7)
        for place, picture in zip(line, some, strict=True):
            place.imshow(picture.view(8, 8), cmap="gray_r", vmin=0, vmax=1)
            place.set_xticks([])
            place.set_yticks([])


def _draw_bars(axes: Any, found: dict[str, list[float]]) -> None:
    """Draw a pair of bars, rare beside common, for each way of training."""
    for k, (name, colour) in enumerate(zip(GROUPS, ("#b0306a", "#1d5fc4"), strict=True)):
        places = [place + 0.38 * k for place in range(len(found))]
        axes.bar(places, [row[k] for row in found.values()], 0.36, color=colour, label=name)
    axes.set_xticks([place + 0.19 for place in range(len(found))], list(found))
    axes.tick_params(labelsize=7)
    axes.legend(fontsize=6, frameon=False, ncols=2, loc="upper left")
    axes.set_ylim(top=1.35 * axes.get_ylim()[1])
