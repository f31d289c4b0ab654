"""How well generated objects keep to the labels that were asked for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, final

import torch
from torch import Tensor

from wgankit import exact
from wgankit.domain import Domain, Model, Vocabulary
from wgankit.errors import DataError
from wgankit.space import MetricSpace, Points, batch_size, pick
from wgankit_labels.conditions import ClassCondition, Condition, Conditions, NumberCondition
from wgankit_labels.figures import coverage, nearest_class
from wgankit_labels.measures import measured
from wgankit_labels.objects import Labelled, theirs
from wgankit_labels.points import beside, split
from wgankit_labels.spaces import Conditional, EachCondition

MOST = 1_000
"""Points of a set that a classifier looks at."""

MOST_CLASSES = 12
"""Classes up to which each one's coverage and W1 are told."""

PER_CLASS = 200
"""Points of a class that enter its coverage and W1."""


@final
@dataclass(frozen=True)
class _Set:
    """Labelled objects as points, aligned."""

    points: Points
    labels: list[Mapping[str, Any]]
    lost: int

    def of(self, name: str, value: Any, most: int) -> Tensor:
        """Return the places of up to so many points with a label."""
        places = [k for k, labels in enumerate(self.labels) if labels.get(name) == value]
        return torch.tensor(places[:most], dtype=torch.long)


def judge(
    inner: Domain,
    model: Model,
    vocabulary: Vocabulary,
    measures: Mapping[str, str],
    objects: Sequence[Any],
    training: Sequence[Any],
    held_out: Sequence[Any],
) -> dict[str, float]:
    """Return figures of how well labelled objects keep to their labels.

    Arguments:
        inner: the domain of the objects without labels.
        model: the trained model, over points with conditions.
        vocabulary: of the conditioned domain.
        measures: what can be measured, as import strings (`measures_of`).
        objects: generated objects; those without labels are left out.
        training: real objects, from which classes are known.
        held_out: real objects, for floors.

    Returns:
        For a number NAME that can be measured: "NAME_error", the mean absolute difference between
        asked and obtained over the objects that can be measured, and "NAME_error_deaf", what the
        same objects would have if they ignored what was asked.  For classes NAME:
        "NAME_agreement", how often the five nearest training points have the class asked for (an
        object that is no point of the space disagrees), with its floor from held-out objects; and
        with up to 12 classes "coverage_CLASS" and "w1_CLASS" with their floors (`_of_class`).
    """
    asked = [one for one in objects if isinstance(one, Labelled)]
    found: dict[str, float] = {}
    if not asked:
        return found
    conditions = Conditions.from_plain(vocabulary["conditions"]).conditions
    for one in conditions:
        if isinstance(one, NumberCondition) and one.name in measures:
            found |= _obtained(one, measures[one.name], asked)
    classes = [one for one in conditions if isinstance(one, ClassCondition)]
    if not classes:
        return found
    sets = [_encoded(inner, model, vocabulary, some) for some in (asked, training, held_out)]
    generated, known, unseen = sets
    space = point_space(model.space)
    for condition in classes:
        if known is not None:
            found |= _agreements(space, condition, known, generated, unseen, len(asked))
        if len(condition.classes) <= MOST_CLASSES and None not in (generated, known, unseen):
            for value in condition.classes:
                found |= dict(_of_class(space, condition, value, generated, known, unseen))
    return found


def point_space(space: MetricSpace) -> MetricSpace:
    """Return the space of the points without conditions."""
    return space.space if isinstance(space, EachCondition | Conditional) else space


def _obtained(condition: Condition, measure: str, asked: list[Labelled]) -> dict[str, float]:
    """Return the mean error between asked and obtained, and that of a generator that is deaf."""
    values = measured(measure, [one.object for one in asked])
    pairs = [
        (float(one.labels[condition.name]), float(value))
        for one, value in zip(asked, values, strict=True)
        if value is not None
    ]
    if not pairs:
        return {}
    wanted, got = torch.tensor(pairs, dtype=torch.float64).unbind(1)
    name = condition.name
    return {
        f"{name}_error": float((wanted - got).abs().mean()),
        f"{name}_error_deaf": float((wanted[:, None] - got[None, :]).abs().mean()),
    }


def _encoded(
    inner: Domain, model: Model, vocabulary: Vocabulary, objects: Sequence[Any]
) -> _Set | None:
    """Return labelled objects as points; None if none is a point."""
    some = [one for one in objects if isinstance(one, Labelled)][:MOST]
    if not some:
        return None
    try:
        encoded = inner.encode([one.object for one in some], theirs(vocabulary))
    except DataError:
        return None
    stored = encoded.points
    if not batch_size(stored):
        return None
    width = Conditions.from_plain(vocabulary["conditions"]).width
    blank = torch.zeros(batch_size(stored), width)
    points, _ = split(model.prepare(beside(stored, blank)))
    labels = [some[place].labels for place in encoded.kept]
    return _Set(inner.align(points), labels, len(some) - len(labels))


def _agreements(
    space: MetricSpace,
    condition: ClassCondition,
    known: _Set,
    generated: _Set | None,
    unseen: _Set | None,
    asked: int,
) -> dict[str, float]:
    name = f"{condition.name}_agreement"
    if generated is None:
        return {name: 0.0}
    found = {name: _agreement(space, condition, known, generated)}
    if unseen is not None:
        found[f"{name}_floor"] = _agreement(space, condition, known, unseen)
    return found


def _agreement(space: MetricSpace, condition: ClassCondition, known: _Set, judged: _Set) -> float:
    """Return how often the classifier says what the labels say; what is no point disagrees."""
    mine, theirs = (
        torch.tensor([condition.classes.index(one[condition.name]) for one in some.labels])
        for some in (known, judged)
    )
    said = nearest_class(space, known.points, mine, judged.points)
    return float((said == theirs).sum()) / (len(theirs) + judged.lost)


def _of_class(
    space: MetricSpace,
    condition: ClassCondition,
    value: Any,
    generated: _Set | None,
    known: _Set | None,
    unseen: _Set | None,
) -> Iterator[tuple[str, float]]:
    """Yield coverage of a class's training points and W1 to its held-out ones, and their floors.

    Coverage by as many generated points as there are held-out ones, whose coverage is its floor;
    W1 between as many of each, and its floor from as many training points.
    """
    if generated is None or known is None or unseen is None:
        return
    places = [some.of(condition.name, value, PER_CLASS) for some in (generated, known, unseen)]
    count = min(len(places[0]), len(places[2]))
    if count < 2 or len(places[1]) < count:
        return
    made = pick(generated.points, places[0][:count])
    real = pick(known.points, places[1])
    held = pick(unseen.points, places[2][:count])
    yield f"coverage_{value}", coverage(space, real, made)
    yield f"coverage_{value}_floor", coverage(space, real, held)
    yield f"w1_{value}", exact.w1(space, held, made)
    yield f"w1_{value}_floor", exact.w1(space, held, pick(real, torch.arange(count)))
