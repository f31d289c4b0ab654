"""Conditions for wgankit: labels, properties and groups as a factor of the space."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import wgankit

WGANKIT_API = 1

_WHERE = {
    "Alike": "spaces",
    "Conditional": "spaces",
    "EachCondition": "spaces",
    "Vectors": "spaces",
    "across": "spaces",
    "Conditions": "conditions",
    "ConditionedLatent": "latent",
    "ConditionedCritic": "networks",
    "ConditionedGenerator": "networks",
    "MixtureCritic": "networks",
    "GroupFigures": "groups",
    "GroupSampler": "groups",
    "by_group": "groups",
    "conditional_w1": "figures",
    "coverage": "figures",
    "nearest_class": "figures",
    "Labelled": "objects",
    "ConditionedDomain": "recipe",
    "conditioned": "recipe",
    "beside": "points",
    "split": "points",
}


if TYPE_CHECKING:
    from wgankit_labels.conditions import Conditions as Conditions
    from wgankit_labels.figures import conditional_w1 as conditional_w1
    from wgankit_labels.figures import coverage as coverage
    from wgankit_labels.figures import nearest_class as nearest_class
    from wgankit_labels.groups import GroupFigures as GroupFigures
    from wgankit_labels.groups import GroupSampler as GroupSampler
    from wgankit_labels.groups import by_group as by_group
    from wgankit_labels.latent import ConditionedLatent as ConditionedLatent
    from wgankit_labels.networks import ConditionedCritic as ConditionedCritic
    from wgankit_labels.networks import ConditionedGenerator as ConditionedGenerator
    from wgankit_labels.networks import MixtureCritic as MixtureCritic
    from wgankit_labels.objects import Labelled as Labelled
    from wgankit_labels.points import beside as beside
    from wgankit_labels.points import split as split
    from wgankit_labels.recipe import ConditionedDomain as ConditionedDomain
    from wgankit_labels.recipe import conditioned as conditioned
    from wgankit_labels.spaces import Alike as Alike
    from wgankit_labels.spaces import Conditional as Conditional
    from wgankit_labels.spaces import EachCondition as EachCondition
    from wgankit_labels.spaces import Vectors as Vectors
    from wgankit_labels.spaces import across as across

__getattr__ = wgankit.lazy_names(__name__, _WHERE)


@wgankit.hookimpl
def wgankit_spaces() -> Iterable[wgankit.SpaceSpec]:
    """Return the spaces whose points carry a condition."""
    yield wgankit.SpaceSpec(
        name="each-condition",
        factory="wgankit_labels.spaces:EachCondition",
        summary="Points with a condition that they keep; slopes in the point, at its condition",
    )
    yield wgankit.SpaceSpec(
        name="conditional",
        factory="wgankit_labels.spaces:Conditional",
        summary="Points with a condition; d = d(points) + weight * d(conditions)",
    )


@wgankit.hookimpl
def wgankit_critics() -> Iterable[wgankit.CriticSpec]:
    """Return wrappers that let a critic hear a condition."""
    yield wgankit.CriticSpec(
        name="conditioned-critic",
        factory="wgankit_labels.networks:ConditionedCritic",
        summary="Any critic of dense layers, told of a condition by concatenation or projection",
    )
    yield wgankit.CriticSpec(
        name="mixture-critic",
        factory="wgankit_labels.networks:MixtureCritic",
        summary="Several critics of any kind, mixed by weights that depend on the condition",
    )


@wgankit.hookimpl
def wgankit_generators() -> Iterable[wgankit.GeneratorSpec]:
    """Return the wrapper that lets a generator hear a condition."""
    yield wgankit.GeneratorSpec(
        name="conditioned-generator",
        factory="wgankit_labels.networks:ConditionedGenerator",
        summary="Any generator, told of a condition by a learned shift of its noise",
    )


@wgankit.hookimpl
def wgankit_recipes() -> Iterable[wgankit.RecipeSpec]:
    """Return the recipe that runs other recipes under conditions."""
    yield wgankit.RecipeSpec(
        name="conditioned",
        factory="wgankit_labels.recipe:ConditionedDomain",
        summary="Any other recipe under conditions: conditioned('molecules', 'qed')",
    )
