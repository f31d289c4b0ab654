"""What a plugin says to wgankit: nine hooks, each of which returns named things.

A plugin is a distribution with an entry point in the group `wgankit` whose value is a light module:

    import wgankit

    WGANKIT_API = 1

    @wgankit.hookimpl
    def wgankit_spaces():
        yield wgankit.SpaceSpec(
            name="hamming",
            factory="wgankit_strings.space:Hamming",
            summary="Strings of one length; d = number of differing letters",
        )

Hooks are called once, to collect; nothing in a training step goes through them.  Factories are
import strings, so neither this module nor a plugin's imports torch before it is used.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar, final

import pluggy

from wgankit.errors import SettingError

WGANKIT_API = 1
"""The number a plugin's module states; it changes when an old plugin could no longer work."""

GROUP = "wgankit"
"""The entry-point group of plugins, and the project name of their hooks."""

hookspec = pluggy.HookspecMarker(GROUP)
hookimpl = pluggy.HookimplMarker(GROUP)
"""Marks a plugin's function as the implementation of the hook of that name."""

_NAME = re.compile(r"[a-z0-9]+([-_.][a-z0-9]+)*")
_FACTORY = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*(\.[^\W\d]\w*)*")


@dataclass(frozen=True, kw_only=True)
class Spec:
    """A named thing that a plugin adds, and where it is imported from on first use.

    Arguments:
        name: lower-case letters and digits, with single `-`, `_` or `.` between them.
        factory: import string "package.module:attribute".
        summary: one line for people who choose among the names.

    Raises:
        SettingError: the name or the import string is not well formed.
    """

    name: str
    factory: str
    summary: str
    noun: ClassVar[str] = "thing"

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not _NAME.fullmatch(self.name):
            raise SettingError(
                f"{type(self).__name__}: a name is lower-case letters and digits with single "
                f"'-', '_' or '.' between them, such as 'edit-distance'; got {self.name!r}"
            )
        if not isinstance(self.factory, str) or not _FACTORY.fullmatch(self.factory):
            raise SettingError(
                f"{type(self).__name__} {self.name!r}: a factory is an import string such as "
                f"'my_package.space:MySpace'; got {self.factory!r}"
            )


@final
@dataclass(frozen=True, kw_only=True)
class SpaceSpec(Spec):
    """A metric space; the factory returns a `wgankit.MetricSpace`."""

    noun: ClassVar[str] = "space"


@final
@dataclass(frozen=True, kw_only=True)
class PenaltySpec(Spec):
    """A penalty; the factory returns a `wgankit.Penalty`."""

    noun: ClassVar[str] = "penalty"


@final
@dataclass(frozen=True, kw_only=True)
class CriticSpec(Spec):
    """A critic; the factory returns a module: batch of points -> scores `(B,)`."""

    noun: ClassVar[str] = "critic"


@final
@dataclass(frozen=True, kw_only=True)
class GeneratorSpec(Spec):
    """A generator; the factory returns a module: batch of latents -> batch of points."""

    noun: ClassVar[str] = "generator"


@final
@dataclass(frozen=True, kw_only=True)
class RecipeSpec(Spec):
    """A recipe; the factory, called without arguments, returns a `wgankit.domain.Domain`."""

    noun: ClassVar[str] = "recipe"


@final
@dataclass(frozen=True, kw_only=True)
class DatasetSpec(Spec):
    """A data set; the factory, called without arguments, returns its objects as a list.

    Arguments:
        recipe: name of the recipe that its objects suit.
        size: how many objects it holds.
        licence: the licence of the data, as an SPDX identifier where there is one.
        fetch: where the data is not bundled, the import string of a function
            (cache, say) -> Path that fetches it once: `wgankit data get NAME`.  `cache` is a
            folder or None, `say` is called with lines about the progress.
    """

    recipe: str
    size: int
    licence: str
    fetch: str = ""
    noun: ClassVar[str] = "dataset"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.fetch and not _FACTORY.fullmatch(self.fetch):
            raise SettingError(
                f"DatasetSpec {self.name!r}: fetch is an import string such as "
                f"'my_package.data:get'; got {self.fetch!r}"
            )


@final
@dataclass(frozen=True, kw_only=True)
class MetricSpec(Spec):
    """A figure of merit of generated objects.

    The factory is a function (objects, training, held_out) -> `dict[str, float]`, as
    `Domain.evaluate` is.
    """

    noun: ClassVar[str] = "metric"


@final
@dataclass(frozen=True, kw_only=True)
class BenchmarkSpec(Spec):
    """A published protocol that samples are judged by: `wgankit evaluate FILE --against NAME`.

    The factory is a function (samples, *, data, say) -> `Mapping[str, float]` of the protocol's
    figures, in the order of the published table; `NAME_floor` beside a figure `NAME` is what as
    many real objects score.  `samples` is a file of objects; `data` is the folder of the data that
    the protocol compares with, or None for where `wgankit data get` keeps it; `say` is called with
    lines about the progress.
    """

    noun: ClassVar[str] = "benchmark"


@final
@dataclass(frozen=True, kw_only=True)
class ModelSpec(Spec):
    """A trained run that a package carries; the factory, without arguments, returns its folder.

    `wgankit.load(NAME)` and `wgankit sample NAME` take it for a run folder.

    Arguments:
        recipe: name of the recipe that trained it.
        licence: of the weights, as an SPDX identifier where there is one.
    """

    recipe: str
    licence: str
    noun: ClassVar[str] = "model"


@hookspec
def wgankit_spaces() -> Iterable[SpaceSpec]:
    """Return metric spaces.

    yield SpaceSpec(name="hamming", factory="wgankit_strings.space:Hamming", summary="...")
    """
    return ()


@hookspec
def wgankit_penalties() -> Iterable[PenaltySpec]:
    """Return penalties.

    yield PenaltySpec(name="worst-group", factory="my_package.fair:worst_group", summary="...")
    """
    return ()


@hookspec
def wgankit_critics() -> Iterable[CriticSpec]:
    """Return critics.

    yield CriticSpec(name="resnet", factory="my_package.networks:ResNetCritic", summary="...")
    """
    return ()


@hookspec
def wgankit_generators() -> Iterable[GeneratorSpec]:
    """Return generators.

    yield GeneratorSpec(name="resnet", factory="my_package.networks:ResNet", summary="...")
    """
    return ()


@hookspec
def wgankit_recipes() -> Iterable[RecipeSpec]:
    """Return recipes.

    yield RecipeSpec(name="pictures", factory="my_package.domain:Pictures", summary="...")
    """
    return ()


@hookspec
def wgankit_datasets() -> Iterable[DatasetSpec]:
    """Return data sets.

    yield DatasetSpec(name="digits", factory="my_package.data:digits", summary="...",
                      recipe="pictures", size=1797, licence="CC-BY-4.0")
    """
    return ()


@hookspec
def wgankit_metrics() -> Iterable[MetricSpec]:
    """Return figures of merit.

    yield MetricSpec(name="novelty", factory="my_package.metrics:novelty", summary="...")
    """
    return ()


@hookspec
def wgankit_benchmarks() -> Iterable[BenchmarkSpec]:
    """Return published protocols that samples are judged by.

    yield BenchmarkSpec(name="moses", factory="my_package.moses:judge", summary="...")
    """
    return ()


@hookspec
def wgankit_models() -> Iterable[ModelSpec]:
    """Return trained models.

    yield ModelSpec(name="digits", factory="my_package.trained:digits", summary="...",
                    recipe="pictures", licence="CC-BY-4.0")
    """
    return ()


KINDS: dict[str, type[Spec]] = {
    "spaces": SpaceSpec,
    "penalties": PenaltySpec,
    "critics": CriticSpec,
    "generators": GeneratorSpec,
    "recipes": RecipeSpec,
    "datasets": DatasetSpec,
    "metrics": MetricSpec,
    "benchmarks": BenchmarkSpec,
    "models": ModelSpec,
}
"""For every hook `wgankit_<kind>`, what it returns."""
