"""The recipe `conditioned`: any other recipe, told what to generate."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, final

import torch
from torch import Tensor, nn

import wgankit
from wgankit import plugins
from wgankit.domain import (
    LEARNT,
    Domain,
    Encoded,
    Learnt,
    Model,
    Reading,
    Vocabulary,
    Workshop,
)
from wgankit.errors import DataError, SettingError
from wgankit.latent import Latent
from wgankit.space import MetricSpace, Points, batch_size, pick
from wgankit.state import seeded
from wgankit_labels.conditions import ClassCondition, Conditions, learn, missing
from wgankit_labels.files import read_labelled, write_labelled
from wgankit_labels.groups import estimates, repeated
from wgankit_labels.judging import judge
from wgankit_labels.latent import ConditionedLatent
from wgankit_labels.measures import carried, measured, measures_of
from wgankit_labels.networks import ConditionedGenerator, critic_for
from wgankit_labels.objects import Labelled, bare, labelled, theirs
from wgankit_labels.points import beside, split
from wgankit_labels.spaces import Conditional, EachCondition

LAW = 1_000
"""Conditions that a run remembers, to sample at conditions like the data's."""

CONDITIONS: dict[str, Any] = {
    "critic": "concatenation",
    "copies": 4,
    "hidden": 64,
    "weight": None,
    "price": None,
    "groups": None,
    "over": "mean",
    "balance": False,
}
"""Settings of the conditions; `model={"conditions": {...}}` replaces some of them.

critic: "concatenation", "projection", or "mixture" of `copies` critics (see `networks`).
hidden: width of the networks that read a condition.
weight: None takes slopes in the point alone, at each condition (`EachCondition`); a number also
    along the conditions that are numbers, in units of distance for a standard deviation
    (`Conditional`).
price: what a change of condition costs in exact transport; by default the mean distance of two
    objects of the data, for a class or a standard deviation.  Training does not look at it.
groups: a condition with classes, in each of which the penalty is taken, and of each of which the
    report tells slopes, gap and estimate.
over: the penalty's "mean" over the groups, or the "worst" of them.
balance: draw all groups equally often, however many points they have.
"""


def conditioned(recipe: str, *conditions: str) -> wgankit.Recipe:
    """Return a recipe that generates objects of another recipe under conditions.

    The same as `wgankit.recipe(recipe, conditions=[...])`.

    Arguments:
        recipe: name of the other recipe, such as "molecules".
        conditions: their names, each alone or with its kind: "qed", "digit:class", "atoms:number",
            "code:vector".  Without a kind it is what the values look like.

    Objects to train on are pairs (object, {name: value}), `Labelled`, or objects whose conditions
    can be measured (`measures_of`) or which carry them; files as `read_labelled` says.
    """
    domain = ConditionedDomain(recipe, conditions)
    return wgankit.Recipe(domain, plugins.registry().recipes.full_name("conditioned"))


@final
class ConditionedDomain(Domain):
    """Objects of another domain with labels: `Labelled`.

    Arguments:
        recipe: name of the other domain's recipe; a run that is loaded says it itself.
        conditions: names, as in `conditioned`.
    """

    def __init__(self, recipe: str = "", conditions: Sequence[str] = ()) -> None:
        self.recipe = recipe
        self.kinds = dict(_named(condition) for condition in conditions)
        self._known: Domain | None = None
        self._built: tuple[Model, Vocabulary] | None = None
        if len(self.kinds) < len(conditions):
            raise SettingError(f"conditions need different names; got {', '.join(conditions)}")
        if recipe and not conditions:
            raise SettingError(
                f"say at least one condition: conditioned({recipe!r}, NAME); known for {recipe} "
                f"are {', '.join(measures_of(self._inner())) or 'none'}, and any that you give"
            )

    def __getstate__(self) -> dict[str, Any]:
        # Networks stay behind when another process is told how to decode.
        return {**self.__dict__, "_built": None}

    @property
    def objects(self) -> str:  # type: ignore[override]
        """What the objects are called."""
        return self._inner().objects if self.recipe else "objects"

    @property
    def defaults(self) -> Mapping[str, Any]:  # type: ignore[override]
        """The other domain's settings, and those of the conditions."""
        mine = {"model": {"conditions": CONDITIONS}}
        if not self.recipe:
            return mine
        theirs = self._inner().defaults
        return {**theirs, "model": {**theirs.get("model", {}), **mine["model"]}}

    def _inner(self) -> Domain:
        if not self.recipe:
            raise SettingError(
                "say which recipe is conditioned, and on what: "
                'wgankit_labels.conditioned("molecules", "qed")'
            )
        if self._known is None:
            recipes = plugins.registry().recipes
            self.recipe, self._known = recipes.full_name(self.recipe), recipes.load(self.recipe)()
        return self._known

    def _of(self, vocabulary: Vocabulary) -> Domain:
        """Return the other domain, which a vocabulary names."""
        self.recipe = self.recipe or vocabulary["recipe"]
        self.kinds = self.kinds or {one["name"]: one["kind"] for one in vocabulary["conditions"]}
        return self._inner()

    # ---- objects and points ----------------------------------------------------------------------

    def encode(
        self,
        objects: Sequence[Any],
        vocabulary: Vocabulary | None = None,
        *,
        largest: int | None = None,
    ) -> Encoded:
        """Turn labelled objects into points with conditions; what lacks a label is skipped."""
        inner = self._of(vocabulary) if vocabulary else self._inner()
        given = self._labelled(objects)
        found = inner.encode(
            bare(given), theirs(vocabulary) if vocabulary else None, largest=largest
        )
        values = [given[place].labels for place in found.kept]
        conditions = (
            Conditions.from_plain(vocabulary["conditions"])
            if vocabulary
            else self._learnt(values, inner)
        )
        columns, kept, skipped = conditions.encode(values)
        if not kept:
            raise DataError(
                f"none of {len(given)} {inner.objects} has all of {', '.join(self.kinds)}: "
                f"{dict(skipped)}"
            )
        points = pick(found.points, torch.tensor(kept))
        return Encoded(
            beside(points, columns),
            vocabulary or self._vocabulary(inner, found.vocabulary, conditions, points, columns),
            [found.kept[place] for place in kept],
            found.skipped + skipped,
        )

    def _labelled(self, objects: Sequence[Any]) -> list[Labelled]:
        """Return the objects with their labels; those not given are measured or carried."""
        names = list(self.kinds)
        given = [labelled(one) for one in objects]
        for name in names:
            lacking = [k for k, one in enumerate(given) if missing(one.labels.get(name))]
            if not lacking:
                continue
            found = self._measured(name, [given[k].object for k in lacking])
            for k, value in zip(lacking, found, strict=True):
                given[k] = Labelled(given[k].object, {**given[k].labels, name: value})
        return given

    def _measured(self, name: str, objects: Sequence[Any]) -> Sequence[Any]:
        measures = measures_of(self._inner())
        if name not in measures:
            return [carried(one, name) for one in objects]
        return measured(measures[name], objects)

    def _learnt(self, values: Sequence[Mapping[str, Any]], inner: Domain) -> Conditions:
        learnt = []
        for name, kind in self.kinds.items():
            there = [one[name] for one in values if not missing(one.get(name))]
            if not there:
                known = ", ".join(measures_of(inner)) or "nothing"
                raise DataError(
                    f"no value of {name} for any of {len(values)} {inner.objects}; give pairs "
                    f"(object, {{{name!r}: value}}), a column {name!r} of a table, or a table "
                    f"FILE.labels.csv beside the file; what can be measured is {known}"
                )
            learnt.append(learn(name, kind, there))
        return Conditions(learnt)

    def _vocabulary(
        self,
        inner: Domain,
        vocabulary: Vocabulary,
        conditions: Conditions,
        points: Points,
        columns: Tensor,
    ) -> Vocabulary:
        rows, counts = _law(columns)
        found = {
            "recipe": self.recipe,
            "objects": vocabulary,
            "conditions": conditions.plain(),
            "law": {"rows": rows, "counts": counts},
        }
        if type(inner).learn is not Domain.learn:
            return found  # it has no networks before it has learnt
        defaults = wgankit.Recipe(inner, self.recipe).defaults
        return {**found, "scale": _scale(inner, defaults, vocabulary, points)}

    def learn(self, encoded: Encoded, training: Tensor, workshop: Workshop) -> Learnt:
        """Let the other domain learn what it learns, and keep the labels beside its points."""
        inner = self._of(encoded.vocabulary)
        if type(inner).learn is Domain.learn:
            return super().learn(encoded, training, workshop)
        parts, columns = split(encoded.points)
        model = {**workshop.settings["model"]}
        model.pop("conditions", None)
        settings = {**workshop.settings, "model": model}
        learnt = inner.learn(
            replace(encoded, points=parts, vocabulary=encoded.vocabulary["objects"]),
            training,
            replace(workshop, settings=settings),
        )
        known = {**learnt.vocabulary, LEARNT: learnt.state}
        return Learnt(
            beside(learnt.points, columns),
            {
                **encoded.vocabulary,
                "objects": learnt.vocabulary,
                "scale": _scale(inner, settings, known, learnt.points),
            },
            learnt.state,
        )

    def decode(self, points: Points, vocabulary: Vocabulary) -> list[Any]:
        """Turn points into objects of the other domain with the labels that their points carry."""
        inner = self._of(vocabulary)
        parts, condition = split(points)
        labels = Conditions.from_plain(vocabulary["conditions"]).decode(condition)
        objects = inner.decode(parts, theirs(vocabulary))
        return [Labelled(one, told) for one, told in zip(objects, labels, strict=True)]

    # ---- networks --------------------------------------------------------------------------------

    def build(self, vocabulary: Vocabulary, settings: Mapping[str, Any]) -> Model:
        """Build the other domain's networks and teach them to hear conditions."""
        inner = self._of(vocabulary)
        model = dict(settings["model"])
        chosen = _chosen(model.pop("conditions", {}))
        chosen_there = {**settings, "model": model}
        made = inner.build(theirs(vocabulary), chosen_there)
        conditions = Conditions.from_plain(vocabulary["conditions"])
        # The critic that is there is the first; a mixture builds more like it.
        critics = iter([made.critic])
        critic = critic_for(
            lambda: next(critics, None) or inner.build(theirs(vocabulary), chosen_there).critic,
            conditions.width,
            by=chosen["critic"],
            copies=chosen["copies"],
            hidden=chosen["hidden"],
        )
        law = vocabulary["law"]
        space = space_for(made.space, conditions, chosen, vocabulary["scale"])
        built = Model(
            space=space,
            latent=ConditionedLatent(
                made.latent, torch.tensor(law["rows"]), torch.tensor(law["counts"])
            ),
            generator=ConditionedGenerator(
                made.generator, made.latent, conditions.width, hidden=chosen["hidden"]
            ),
            critic=critic,
            prepare=_in_points(made.prepare),
            noise=_in_points(made.noise) if made.noise else None,
            content=_content(made.content) if made.content else None,
            **_by_group(conditions, chosen, space),
        )
        self._built = built, vocabulary
        return built

    # ---- files, figures, pictures ----------------------------------------------------------------

    def given(self, latent: Latent, vocabulary: Vocabulary, values: Mapping[str, Any]) -> Latent:
        """Return latents under values of some conditions: `recipe.sample(count, given={...})`.

        Conditions that are left out are drawn as the data has them beside values like these.
        """
        if not isinstance(latent, ConditionedLatent):
            return super().given(latent, vocabulary, values)
        return latent.at(Conditions.from_plain(vocabulary["conditions"]).given(values))

    def read(self, path: Path) -> Reading:
        """Read the other domain's files, with labels where they are written down."""
        return read_labelled(self._inner(), path, list(self.kinds))

    def write(self, objects: Sequence[Any], path: Path) -> None:
        """Write the other domain's files, and labels into a table beside."""
        write_labelled(self._inner(), objects, path)

    def evaluate(
        self, objects: Sequence[Any], training: Sequence[Any], held_out: Sequence[Any]
    ) -> dict[str, float]:
        """Return the other domain's metrics, and how well the objects keep to their labels."""
        inner = self._inner()
        found = inner.evaluate(bare(objects), bare(training), bare(held_out))
        if self._built is None:
            return found
        model, vocabulary = self._built
        return found | judge(
            inner,
            model,
            vocabulary,
            measures_of(inner),
            objects,
            training,
            held_out,
        )

    def picture(self, objects: Sequence[Any]) -> str | None:
        """Return the other domain's picture, objects with the same labels side by side."""
        order = sorted(objects, key=_by_labels)
        return self._inner().picture(bare(order))

    def align(self, points: Points) -> Points:
        """Align the points as the other domain does."""
        parts, condition = split(points)
        return beside(self._inner().align(parts), condition)


def _named(condition: str) -> tuple[str, str | None]:
    name, _, kind = condition.partition(":")
    if not name or kind not in ("", "class", "number", "vector"):
        raise SettingError(
            "a condition is NAME, NAME:class, NAME:number or NAME:vector, such as qed or "
            f"digit:class; got {condition!r}"
        )
    return name, kind or None


def _by_labels(one: Any) -> list[str]:
    return [str(value) for value in one.labels.values()] if isinstance(one, Labelled) else []


def _chosen(given: Mapping[str, Any]) -> dict[str, Any]:
    unknown = set(given) - set(CONDITIONS)
    if unknown:
        raise SettingError(
            f"model.conditions has no setting {', '.join(sorted(unknown))}; there are "
            f"{', '.join(CONDITIONS)}"
        )
    return {**CONDITIONS, **given}


def space_for(
    space: MetricSpace, conditions: Conditions, chosen: Mapping[str, Any], scale: float
) -> MetricSpace:
    """Return the space that the settings `weight` and `price` name over that of the points."""
    if chosen["weight"] is None:
        price = scale if chosen["price"] is None else float(chosen["price"])
        return EachCondition(space, among=conditions.space(), price=price)
    if all(isinstance(one, ClassCondition) for one in conditions.conditions):
        raise SettingError(
            "model.conditions.weight is for conditions that are numbers or vectors, and "
            f"{', '.join(conditions.names)} has classes only; leave it out"
        )
    return Conditional(space, conditions.space(), weight=float(chosen["weight"]))


def _law(columns: Tensor) -> tuple[list[list[float]], list[int]]:
    """Return different conditions and how often each was seen; of too many, a random draw."""
    rounded = (columns * 1e5).round() / 1e5
    rows, counts = torch.unique(rounded, dim=0, return_counts=True)
    if len(rows) > LAW:
        drawn = torch.randperm(len(rows), generator=torch.Generator().manual_seed(0))[:LAW]
        rows, counts = rows[drawn], counts[drawn]
    return rows.tolist(), counts.tolist()


def _scale(
    inner: Domain, settings: Mapping[str, Any], vocabulary: Vocabulary, points: Points
) -> float:
    """Return the mean distance of two objects of the data, under the metric of the settings."""
    some = pick(points, torch.arange(min(256, batch_size(points))))
    with seeded(0), torch.no_grad():
        model = inner.build(vocabulary, settings)
        prepared = model.prepare(some)
        other = pick(prepared, torch.arange(batch_size(prepared)).roll(1))
        mean = float(model.space.distance(prepared, other).mean())
    return mean if mean > 0 and math.isfinite(mean) else 1.0


def _in_points(change: Callable[[Points], Points]) -> Callable[[Points], Points]:
    """Return a map of points as one of points with conditions, which it leaves alone."""

    def changed(points: Points) -> Points:
        parts, condition = split(points)
        return beside(change(parts), condition)

    return changed


def _by_group(
    conditions: Conditions, chosen: Mapping[str, Any], space: MetricSpace
) -> dict[str, Any]:
    """Return what a model is told of groups."""
    name, over = chosen["groups"], chosen["over"]
    if name is None:
        if chosen["balance"]:
            raise SettingError("balance needs groups=NAME, a condition with classes")
        return {}
    if over not in ("mean", "worst"):
        raise SettingError(f'over is "mean" or "worst"; got {over!r}')
    groups, condition = conditions.groups(name), conditions[name]

    def figures(critic: nn.Module, real: Points, fake: Points, weight: float) -> dict[str, float]:
        told = {}
        for number, one in estimates(space, critic, real, fake, groups, weight=weight).items():
            which = condition.value(torch.eye(condition.width)[number].tolist())
            told[f"slope_{which}"] = float(one.steepest)
            told[f"gap_{which}"] = float(one.gap)
            told[f"estimate_{which}"] = float(one.w1)
        return told

    return {
        "groups": groups,
        "over": over,
        "repeats": (lambda stored: repeated(groups(stored))) if chosen["balance"] else None,
        "figures": figures,
    }


def _content(
    content: Callable[[Points, Points], Tensor],
) -> Callable[[Points, Points], Tensor]:
    return lambda fake, real: content(split(fake)[0], split(real)[0])
