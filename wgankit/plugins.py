"""Finds plugins, keeps the bad ones from harming the good ones, and imports things by name.

Discovery happens on the first look-up, never on import.  Each plugin is loaded on its own: one
that is broken, outdated or misspelt costs one `PluginWarning`, and everything else works.

A plugin is called after its distribution (`wgankit-graphs` -> `graphs`), and what it adds has a
full name (`graphs:edit`) and, while that is unique, a short one (`edit`).

Environment variables, read when a registry is made:

    WGANKIT_DISABLE_PLUGINS   names of plugins not to import, separated by commas, or `*`
    WGANKIT_PLUGINS_STRICT    1: a bad plugin is an error (for the tests of plugins)
"""

from __future__ import annotations

import difflib
import functools
import importlib
import inspect
import os
import re
import threading
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from importlib import metadata
from typing import Any, Generic, Literal, TypeVar, cast, final

import pluggy

from wgankit import hooks
from wgankit.errors import MissingPackageError, WgankitError
from wgankit.hooks import GROUP, KINDS, WGANKIT_API, Spec

Status = Literal["loaded", "broken", "incompatible", "disabled"]
S = TypeVar("S", bound=Spec)


class PluginError(WgankitError):
    """A plugin, or something in it, that cannot be used."""


class IncompatiblePluginError(PluginError):
    """A plugin written for another `WGANKIT_API`."""


class UnknownNameError(WgankitError, KeyError):
    """A name that no loaded plugin gives to anything of that kind."""

    def __str__(self) -> str:
        return str(self.args[0])


class AmbiguousNameError(WgankitError):
    """A short name that several plugins claim."""


class PluginWarning(UserWarning):
    """An installed plugin that is not loaded; everything else works."""


@final
@dataclass(frozen=True)
class Plugin:
    """An installed plugin.

    Arguments:
        name: its name, from the distribution's without the prefix `wgankit-`.
        distribution: what pip calls it.
        version: the installed version.
        status: "loaded", "broken", "incompatible" or "disabled".
        cause: why it is not loaded; empty if it is.
        api: the `WGANKIT_API` it states; None if it states none or was not imported.
        specs: for every kind, what it adds.
        error: the exception behind `cause`.
    """

    name: str
    distribution: str
    version: str
    status: Status
    cause: str = ""
    api: object = None
    specs: Mapping[str, tuple[Spec, ...]] = field(default_factory=dict)
    error: BaseException | None = None

    def __str__(self) -> str:
        return f"{self.distribution} {self.version}".rstrip()

    def summary(self) -> dict[str, Any]:
        """Return the plugin as plain data, for tables and JSON."""
        return {
            "name": self.name,
            "distribution": self.distribution,
            "version": self.version,
            "status": self.status,
            "api": self.api,
            "cause": self.cause,
            "adds": {kind: [spec.name for spec in specs] for kind, specs in self.specs.items()},
        }


# What a plugin's module says ------------------------------------------------------------------


def collect(*modules: object) -> dict[str, tuple[Spec, ...]]:
    """Return for every kind what the modules of one plugin add.

    Arguments:
        modules: light modules (or other objects) with `WGANKIT_API` and `wgankit_*` hooks.

    Raises:
        IncompatiblePluginError: a module states another API number, or none.
        PluginError: an unknown hook, a hook that is not marked or returns the wrong things, a name
            given twice.
        pluggy.PluginValidationError: a hook asks for an argument that it does not have.
    """
    manager = pluggy.PluginManager(GROUP)
    manager.add_hookspecs(hooks)
    for module in modules:
        check_api(module)
        _refuse_unmarked(module)
        manager.register(module)
    _refuse_unknown(manager)
    collected = {kind: tuple(_specs(manager, kind)) for kind in KINDS}
    return {kind: specs for kind, specs in collected.items() if specs}


def check_api(module: object) -> None:
    """Raise `IncompatiblePluginError` unless a plugin's module speaks this wgankit's API."""
    stated = getattr(module, "WGANKIT_API", None)
    if stated is None:
        raise IncompatiblePluginError(
            f"states no plugin API; it needs the line WGANKIT_API = {WGANKIT_API}"
        )
    if stated != WGANKIT_API:
        raise IncompatiblePluginError(
            f"speaks plugin API {stated!r}, and this wgankit speaks {WGANKIT_API}; "
            "upgrade the plugin or wgankit"
        )


def _refuse_unmarked(module: object) -> None:
    """A hook without its marker would be silence, as a misspelt one would."""
    for kind in KINDS:
        function = getattr(module, f"wgankit_{kind}", None)
        if inspect.isroutine(function) and not hasattr(function, f"{GROUP}_impl"):
            raise PluginError(f"wgankit_{kind} is not marked: put @wgankit.hookimpl above it")


def _refuse_unknown(manager: pluggy.PluginManager) -> None:
    known = [f"wgankit_{kind}" for kind in KINDS]
    for name in sorted(vars(manager.hook)):
        caller = getattr(manager.hook, name)
        if name not in known and not all(impl.optionalhook for impl in caller.get_hookimpls()):
            raise PluginError(f"unknown hook {name}{_did_you_mean(name, known)}")
    manager.check_pending()


def _specs(manager: pluggy.PluginManager, kind: str) -> Iterator[Spec]:
    caller = getattr(manager.hook, f"wgankit_{kind}")
    answers = caller()
    if len(answers) < len(caller.get_hookimpls()):
        raise PluginError(
            f"wgankit_{kind} returned None; return or yield {KINDS[kind].__name__} objects"
        )
    seen: set[str] = set()
    # pluggy asks the last module first.
    for spec in (spec for answer in reversed(answers) for spec in answer):
        if not isinstance(spec, KINDS[kind]):
            raise PluginError(
                f"wgankit_{kind} gave {spec!r}; it gives {KINDS[kind].__name__} objects"
            )
        if spec.name in seen:
            raise PluginError(f"wgankit_{kind} gives the name {spec.name!r} twice")
        seen.add(spec.name)
        yield spec


# Which plugins are installed ------------------------------------------------------------------


@final
@dataclass(frozen=True)
class _Installed:
    """A distribution with entry points in the group, before anything of it is imported."""

    distribution: str
    version: str
    entry_points: tuple[metadata.EntryPoint, ...]

    @property
    def normal(self) -> str:
        """The distribution's name as packaging compares it."""
        return _normal(self.distribution)

    @property
    def name(self) -> str:
        """The plugin's name."""
        return self.normal.removeprefix(f"{GROUP}-")


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _owner(entry_point: metadata.EntryPoint) -> tuple[str, str]:
    """Return distribution and version; damaged metadata must not stop the other plugins."""
    try:
        found = entry_point.dist
        name, version = (found.name, found.version) if found else (None, None)
    except Exception:
        name, version = None, None
    return name or entry_point.name, version or ""


def _installed(entry_points: Iterable[metadata.EntryPoint]) -> list[_Installed]:
    """Group entry points by distribution, in an order that does not hang on the file system."""
    groups: dict[str, list[metadata.EntryPoint]] = {}
    owners: dict[str, tuple[str, str]] = {}
    for entry_point in sorted(entry_points, key=lambda one: (one.name, one.value)):
        owner = _owner(entry_point)
        owners.setdefault(_normal(owner[0]), owner)
        groups.setdefault(_normal(owner[0]), []).append(entry_point)
    return [_Installed(*owners[key], tuple(groups[key])) for key in groups]


def _load(found: _Installed) -> Plugin:
    """Import one plugin and collect what it adds; whatever goes wrong becomes its status."""
    apis: list[object] = []
    state = functools.partial(Plugin, found.name, found.distribution, found.version)
    try:
        modules: dict[int, object] = {}
        for entry_point in found.entry_points:
            module = entry_point.load()
            apis.append(getattr(module, "WGANKIT_API", None))
            modules[id(module)] = module
        return state("loaded", api=apis[0], specs=collect(*modules.values()))
    except IncompatiblePluginError as error:
        api = next(api for api in apis if api != WGANKIT_API)
        return state("incompatible", str(error), api=api, error=error)
    except (Exception, SystemExit) as error:
        return state("broken", _describe(error), api=apis[-1] if apis else None, error=error)


def _describe(error: BaseException) -> str:
    text = " ".join(str(error).split())
    return text if isinstance(error, PluginError) else f"{type(error).__name__}: {text}"


# Names ----------------------------------------------------------------------------------------


@final
class Named(Mapping[str, S], Generic[S]):
    """What the loaded plugins add of one kind: names, short or full, to specs.

    Iteration gives short names where they are unique and full ones where they are not.
    """

    def __init__(self, registry: Registry, kind: str) -> None:
        self._registry = registry
        self._kind = kind
        self._noun = KINDS[kind].noun

    def _entries(self) -> dict[str, tuple[Plugin, S]]:
        return {
            f"{plugin.name}:{spec.name}": (plugin, cast(S, spec))
            for plugin in self._registry.plugins
            for spec in plugin.specs.get(self._kind, ())
        }

    def _candidates(self, name: object) -> list[str]:
        entries = self._entries()
        if name in entries:
            return [full for full in entries if full == name]
        return [full for full in entries if full.partition(":")[2] == name]

    def full_name(self, name: str) -> str:
        """Return `plugin:name` for a short or full name.

        Raises:
            UnknownNameError: nothing of this kind has that name.
            AmbiguousNameError: several plugins claim that short name.
        """
        candidates = self._candidates(name)
        if not candidates:
            raise UnknownNameError(self._unknown(name))
        if len(candidates) > 1:
            entries = self._entries()
            choices = ", ".join(f"{full!r} ({entries[full][0]})" for full in candidates)
            raise AmbiguousNameError(
                f"{self._noun} {name!r} comes from several plugins; say one of {choices}"
            )
        return candidates[0]

    def provider(self, name: str) -> Plugin:
        """Return the plugin behind a name."""
        return self._entries()[self.full_name(name)][0]

    def __getitem__(self, name: str) -> S:
        return self._entries()[self.full_name(name)][1]

    def __contains__(self, name: object) -> bool:
        return bool(self._candidates(name))

    def __iter__(self) -> Iterator[str]:
        for full in self._entries():
            short = full.partition(":")[2]
            yield short if len(self._candidates(short)) == 1 else full

    def __len__(self) -> int:
        return len(self._entries())

    def __repr__(self) -> str:
        return f"<{self._kind}: {', '.join(self) or 'none'}>"

    def load(self, name: str) -> Callable[..., Any]:
        """Import and return the factory behind a short or full name.

        Raises:
            UnknownNameError, AmbiguousNameError: as `full_name`.
            MissingPackageError: the factory needs a package that is not installed.
            PluginError: the factory cannot be imported for any other reason.
        """
        full = self.full_name(name)
        plugin, spec = self._entries()[full]
        return import_factory(spec, full, plugin)

    def _unknown(self, name: str) -> str:
        known = sorted(self)
        lines = [f"no {self._noun} is called {name!r}{_did_you_mean(name, known)}"]
        lines.append(f"known: {', '.join(known)}" if known else f"no plugin adds {self._kind}")
        plugins = self._registry.plugins
        bad = [f"{plugin}: {plugin.cause}" for plugin in plugins if plugin.error is not None]
        off = [str(plugin) for plugin in plugins if plugin.status == "disabled"]
        if bad:
            lines.append(f"installed but not loaded: {'; '.join(bad)}")
        if off:
            lines.append(f"installed but disabled: {', '.join(off)}")
        if not plugins:
            lines.append("no plugin is installed; type: pip install 'wgankit[all]'")
        return "; ".join(lines)


def _did_you_mean(name: object, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(str(name), list(known), n=3, cutoff=0.6)
    return f" (did you mean {' or '.join(map(repr, close))}?)" if close else ""


def import_factory(spec: Spec, full: str, plugin: Plugin | None = None) -> Callable[..., Any]:
    """Import what a spec's import string names.

    Arguments:
        spec: any spec.
        full: what to call it in messages.
        plugin: where it comes from.

    Raises:
        MissingPackageError: a package it needs is not installed.
        PluginError: there is no such module or attribute, or its import fails otherwise.
    """
    what = f"{spec.noun} {full!r}" + (f" (from {plugin})" if plugin else "")
    module_name, _, attribute = spec.factory.partition(":")
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        missing = error.name or ""
        if _inside(missing, module_name):
            raise PluginError(
                f"{what} cannot be used: its factory {spec.factory!r} needs the module "
                f"{missing!r}, which is not there; this is a defect of the plugin"
            ) from error
        package = missing.partition(".")[0]
        remedy = f"type: pip install {plugin.distribution}" if plugin else "install it"
        raise MissingPackageError(
            f"{what} needs the package {package!r}, which is not installed; {remedy} "
            f"(it brings the packages it declares), or install {package!r} itself",
            name=missing,
        ) from error
    except Exception as error:
        raise PluginError(
            f"{what} cannot be used: importing {module_name} failed with {_describe(error)}"
        ) from error
    return _attribute(module, attribute, what)


def _inside(missing: str, module_name: str) -> bool:
    """Whether a missing module belongs to the plugin's own package."""
    return missing.partition(".")[0] == module_name.partition(".")[0]


def _attribute(module: Any, path: str, what: str) -> Callable[..., Any]:
    found = module
    for part in path.split("."):
        if not hasattr(found, part):
            raise PluginError(
                f"{what} cannot be used: {module.__name__} has no {path!r}"
                f"{_did_you_mean(part, dir(found))}; this is a defect of the plugin"
            )
        found = getattr(found, part)
    if not callable(found):
        raise PluginError(
            f"{what} cannot be used: {module.__name__}:{path} is {type(found).__name__}, "
            "and a factory is a class or a function; this is a defect of the plugin"
        )
    return cast(Callable[..., Any], found)


# The registry ---------------------------------------------------------------------------------


@final
class Registry:
    """What the installed plugins add, by name; discovers them on the first look-up.

    Arguments:
        disabled: names of plugins or distributions not to import; "*" for all.  By default what
            WGANKIT_DISABLE_PLUGINS says.
        entry_points: the entry points to look at; by default those of the environment.
        strict: raise `PluginError` for a bad plugin instead of a warning.  By default what
            WGANKIT_PLUGINS_STRICT says.
    """

    def __init__(
        self,
        *,
        disabled: Iterable[str] | None = None,
        entry_points: Iterable[metadata.EntryPoint] | None = None,
        strict: bool | None = None,
    ) -> None:
        told = os.environ.get("WGANKIT_DISABLE_PLUGINS", "").split(",")
        self._off_by = "WGANKIT_DISABLE_PLUGINS" if disabled is None else "Registry(disabled=...)"
        names = told if disabled is None else disabled
        self._disabled = frozenset(_normal(name.strip()) for name in names if name.strip())
        self._entry_points = None if entry_points is None else tuple(entry_points)
        wanted = os.environ.get("WGANKIT_PLUGINS_STRICT", "") not in ("", "0")
        self._strict = wanted if strict is None else strict
        self._found: tuple[Plugin, ...] | None = None
        self._discovering = False
        self._lock = threading.RLock()

    @property
    def plugins(self) -> tuple[Plugin, ...]:
        """The installed plugins, loaded or not, sorted by name.

        Raises:
            PluginError: a plugin is bad and the registry is strict.
        """
        with self._lock:
            if self._found is None:
                self._found = self._discover()
                self._warn(self._found)
        if self._strict:
            _refuse_bad(self._found)
        return self._found

    def _discover(self) -> tuple[Plugin, ...]:
        if self._discovering:
            raise PluginError(
                "asks the registry while it is being imported; ask inside a function instead"
            )
        self._discovering = True
        try:
            given = self._entry_points
            found = _installed(metadata.entry_points(group=GROUP) if given is None else given)
            prefixed = {one.name: one for one in found if one.name != one.normal}
            plugins = [self._one(one, prefixed.get(one.name, one)) for one in found]
        finally:
            self._discovering = False
        return tuple(sorted(plugins, key=lambda plugin: (plugin.name, plugin.distribution)))

    def _one(self, found: _Installed, owner: _Installed) -> Plugin:
        """Load one plugin unless it is disabled or another distribution owns its name."""
        state = functools.partial(Plugin, found.name, found.distribution, found.version)
        if self._disabled & {"*", found.name, found.normal}:
            return state("disabled", f"disabled by {self._off_by}")
        if owner is not found:
            clash = PluginError(
                f"{owner.distribution} has the plugin name {found.name!r}; "
                "rename this distribution or uninstall one of the two"
            )
            return state("broken", str(clash), error=clash)
        return _load(found)

    def _warn(self, plugins: Iterable[Plugin]) -> None:
        """Warn after discovery, so that warnings turned into errors cannot cut it short."""
        if self._strict:
            return
        for plugin in plugins:
            if plugin.error is not None:
                warnings.warn(_complaint(plugin), PluginWarning, stacklevel=2)

    def summary(self) -> list[dict[str, Any]]:
        """Return every installed plugin as plain data (JSON).

        Each has name, distribution, version, status ("loaded", "broken", "incompatible",
        "disabled"), api, cause (empty if loaded) and adds (kind -> short names).
        """
        return [plugin.summary() for plugin in self.plugins]

    @property
    def spaces(self) -> Named[hooks.SpaceSpec]:
        """Metric spaces by name."""
        return Named(self, "spaces")

    @property
    def penalties(self) -> Named[hooks.PenaltySpec]:
        """Penalties by name."""
        return Named(self, "penalties")

    @property
    def critics(self) -> Named[hooks.CriticSpec]:
        """Critics by name."""
        return Named(self, "critics")

    @property
    def generators(self) -> Named[hooks.GeneratorSpec]:
        """Generators by name."""
        return Named(self, "generators")

    @property
    def recipes(self) -> Named[hooks.RecipeSpec]:
        """Recipes by name."""
        return Named(self, "recipes")

    @property
    def datasets(self) -> Named[hooks.DatasetSpec]:
        """Data sets by name."""
        return Named(self, "datasets")

    @property
    def metrics(self) -> Named[hooks.MetricSpec]:
        """Figures of merit by name."""
        return Named(self, "metrics")

    @property
    def benchmarks(self) -> Named[hooks.BenchmarkSpec]:
        """Published protocols that samples are judged by, by name."""
        return Named(self, "benchmarks")

    @property
    def models(self) -> Named[hooks.ModelSpec]:
        """Trained models that packages carry, by name."""
        return Named(self, "models")


def _complaint(plugin: Plugin) -> str:
    return f"plugin {plugin.name!r} ({plugin}) is not loaded: {plugin.cause}"


def _refuse_bad(plugins: Iterable[Plugin]) -> None:
    bad = [plugin for plugin in plugins if plugin.error is not None]
    if bad:
        raise PluginError("; ".join(map(_complaint, bad))) from bad[0].error


@functools.cache
def registry() -> Registry:
    """Return the registry of this process, which discovers plugins on its first look-up."""
    return Registry()
