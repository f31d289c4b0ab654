"""Objects with their conditions by name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from wgankit.domain import LEARNT, Vocabulary


class Labelled(NamedTuple):
    """An object of some domain, and what is known or asked of it.

    Arguments:
        object: the object, as its domain has it.
        labels: a value for each condition, by name.
    """

    object: Any
    labels: Mapping[str, Any]

    def __str__(self) -> str:
        return "\t".join([str(self.object), *(f"{k}={_short(v)}" for k, v in self.labels.items())])


def _short(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def labelled(given: Any) -> Labelled:
    """Return an object with its labels, whichever way it was given.

    Arguments:
        given: a `Labelled`; a pair (object, {name: value}); or an object alone, whose labels are
            then measured.
    """
    if isinstance(given, Labelled):
        return given
    if type(given) is tuple and len(given) == 2 and isinstance(given[1], Mapping):
        return Labelled(*given)
    return Labelled(given, {})


def bare(objects: Sequence[Any]) -> list[Any]:
    """Return the objects without their labels."""
    return [one.object if isinstance(one, Labelled) else one for one in objects]


def theirs(vocabulary: Vocabulary) -> Vocabulary:
    """Return the other domain's vocabulary, with what it learnt if it learns."""
    learnt = {LEARNT: vocabulary[LEARNT]} if LEARNT in vocabulary else {}
    return {**vocabulary["objects"], **learnt}
