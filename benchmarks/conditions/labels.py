"""Labels that are mixed, or differentiated, by accident."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn

import wgankit
from benchmarks.conditions.rows import SEEDS, Row, near
from benchmarks.minimise import minimise
from wgankit import Penalty
from wgankit.space import Points, leaves, pick
from wgankit_labels import ConditionedCritic, EachCondition, conditional_w1

CLASSES = 5


def labels(quick: bool) -> Iterator[Row]:
    """What is done with labels elsewhere, in problems whose answer is known."""
    steps, normed = (400 if quick else 1_500), wgankit.Normed()
    # Confused classes: the generator answers class 1 when asked for class 0, 10 away.
    c, x = torch.eye(2), torch.tensor([[0.0], [10.0]])
    real, fake = (x, c), (x.flip(0), c)
    apart = EachCondition(normed)
    # Seen as one more number, a label is a place that mass can go to.
    among = wgankit.Product(normed, normed, p=2)
    ways: list[tuple[str, wgankit.MetricSpace, float, tuple[Any, Any]]] = [
        (
            "slopes in the point, at its label", apart, conditional_w1(normed, real, fake),
            (in_turn(real), in_turn(fake)),
        ),
        (
            "the label differentiated as well", among, wgankit.exact.w1(among, real, fake),
            (real, fake),
        ),
    ]  # fmt: skip
    for what, space, exact, sources in ways:
        figures = {"W1 in its metric": exact, "critic's W1": critics_w1(space, *sources, steps, 0)}
        yield Row(f"2 labels confused: {what}", figures, {"critic's W1": near(exact, 0.03)})
    # Here the penalty never looks between labels, and where a critic ends is chance.
    for seed in SEEDS:
        figures = {"critic's W1": critics_w1(among, in_turn(real), in_turn(fake), steps, seed)}
        yield Row(f"2 labels confused: that, pairs of one label, seed {seed}", figures, {})
    weight, number = 10.0, torch.arange(CLASSES)
    for what, fakes, wanted in (
        ("pairs of one label", number, 1 + 1 / (2 * weight)),
        ("pairs of any labels", number.repeat(CLASSES), 1 + CLASSES / (2 * weight)),
    ):
        slope = best_slope(number.repeat_interleave(len(fakes) // CLASSES), fakes, weight)
        figures = {"slope by the formula": wanted, "slope reached": slope}
        yield Row(f"{CLASSES} labels: {what}", figures, {"slope reached": near(wanted, 1e-3)})


def critics_w1(space: wgankit.MetricSpace, real: Any, fake: Any, steps: int, seed: int) -> float:
    """Return what a critic that is fitted in a space says of W1."""
    torch.manual_seed(seed)
    critic = ConditionedCritic(wgankit.Perceptron(1, width=48, depth=2), 2)
    report = wgankit.fit_critic(critic, real, fake, space=space, steps=steps, pairs=64, rate=5e-3)
    return float(report.w1)


def in_turn(points: Points) -> Callable[[int], Points]:
    """Return a law that gives the points one after another, so that two of them keep step."""
    return lambda count: pick(points, torch.arange(count) % len(points[0]))


class Heights(nn.Module):
    """A number for each place under each label: every critic there is."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Parameter(torch.zeros(2 * CLASSES, CLASSES, dtype=torch.float64))

    def forward(self, points: Points) -> Tensor:
        place, label = points
        found: Tensor = self.table[place[:, 0], label[:, 0]]
        return found


class Places(wgankit.MetricSpace):
    """Label k has a real place k and a generated place CLASSES + k, 1 apart; the rest is far."""

    def distance(self, x: Points, y: Points) -> Tensor:
        one, other = leaves(x)[0][:, 0], leaves(y)[0][:, 0]
        near_by = one % CLASSES == other % CLASSES
        return torch.where(near_by, (one != other).double(), 1000.0)


def best_slope(reals: Tensor, fakes: Tensor, weight: float) -> float:
    """Return the slope within labels of the critic that is best for these pairs of the penalty."""
    space, critic = EachCondition(Places(), price=1.0), Heights()
    penalty, number = Penalty(weight, relative=False), torch.arange(CLASSES)[:, None]
    k, j = reals[:, None], fakes[:, None]

    def gap() -> Tensor:
        real, fake = critic((number, number)), critic((CLASSES + number, number))
        return torch.sub(real, fake).mean()

    # At the label of the real point, as it is done where labels are mixed.
    minimise(
        critic.parameters(),
        lambda: weight * penalty.value(space, critic, (k, k), (CLASSES + j, k)) - gap(),
    )
    return float(gap().detach())
