"""Plugins: whatever is wrong with one, it is said once, and everything else works."""

import ast
import itertools
import json
import re
import subprocess
import sys
import warnings
from collections import Counter
from importlib import metadata

import pytest

import wgankit
from wgankit import hooks, plugins
from wgankit.errors import MissingPackageError, SettingError, WgankitError
from wgankit.plugins import (
    AmbiguousNameError,
    PluginError,
    PluginWarning,
    Registry,
    UnknownNameError,
)
from wgankit.testing import fake_plugin

LIGHT = "import wgankit\nWGANKIT_API = 1\n"


def space(name="hamming", factory="collections:Counter", kind="spaces", spec="SpaceSpec"):
    return LIGHT + (
        f"@wgankit.hookimpl\ndef wgankit_{kind}():\n"
        f"    yield wgankit.{spec}(name={name!r}, factory={factory!r}, summary='a thing')\n"
    )


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder on sys.path; what is imported from it is forgotten afterwards."""
    monkeypatch.syspath_prepend(tmp_path)
    for variable in ("WGANKIT_DISABLE_PLUGINS", "WGANKIT_PLUGINS_STRICT"):
        monkeypatch.delenv(variable, raising=False)
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        if str(tmp_path) in str(getattr(sys.modules[name], "__file__", "")):
            del sys.modules[name]


@pytest.fixture
def install(folder):
    """Installs plugins and returns all their entry points so far."""
    found = []

    def one(distribution, code, **more):
        found.extend(fake_plugin(folder, distribution=distribution, code=code, **more))
        return list(found)

    return one


def status(registry):
    return {plugin.distribution: plugin.status for plugin in registry.plugins}


# What good plugins give -----------------------------------------------------------------------


def test_a_plugin_adds_a_name_for_what_its_factory_names(install):
    registry = Registry(entry_points=install("wgankit-strings", space(), version="1.2"))
    assert list(registry.spaces) == ["hamming"]
    assert registry.spaces["hamming"] == registry.spaces["strings:hamming"]
    assert registry.spaces["hamming"].summary == "a thing"
    assert registry.spaces.full_name("hamming") == "strings:hamming"
    assert registry.spaces.provider("hamming").version == "1.2"
    assert registry.spaces.load("hamming") is Counter
    assert not registry.recipes
    assert registry.summary() == [
        {
            "name": "strings",
            "distribution": "wgankit-strings",
            "version": "1.2",
            "status": "loaded",
            "api": 1,
            "cause": "",
            "adds": {"spaces": ["hamming"]},
        }
    ]
    json.dumps(registry.summary())


@pytest.mark.parametrize("kind", hooks.KINDS)
def test_every_kind_has_a_hook_a_spec_and_a_mapping(install, kind):
    spec = hooks.KINDS[kind].__name__
    more = {
        "datasets": ", recipe='r', size=3, licence='CC0-1.0'",
        "models": ", recipe='r', licence='CC0-1.0'",
    }.get(kind, "")
    code = space("it", kind=kind, spec=spec).replace("'a thing')", f"'a thing'{more})")
    registry = Registry(entry_points=install("wgankit-one", code))
    assert getattr(wgankit, spec) is hooks.KINDS[kind]
    assert list(getattr(registry, kind)) == ["it"]
    assert registry.plugins[0].specs.keys() == {kind}


def test_a_plugin_of_several_entry_points_is_one_plugin(install, folder):
    (folder / "second.py").write_text(space("b"))
    points = {"x": "wgankit_pair", "y": "second", "z": "second"}
    registry = Registry(entry_points=install("wgankit-pair", space("a"), entry_points=points))
    assert status(registry) == {"wgankit-pair": "loaded"}
    assert list(registry.spaces) == ["a", "b"]


def test_specs_are_frozen_and_well_formed():
    good = {"name": "edit-distance.2", "factory": "a.b:C.d", "summary": ""}
    spec = hooks.SpaceSpec(**good)
    with pytest.raises(AttributeError):
        spec.name = "other"
    for name in ("", "Edit", "a:b", "a b", "-a", "a--b", None):
        with pytest.raises(SettingError, match="lower-case"):
            hooks.SpaceSpec(**{**good, "name": name})
    for factory in ("", "a.b", "a.b:", ":C", "a b:C", "a..b:C", list):
        with pytest.raises(SettingError, match="import string"):
            hooks.SpaceSpec(**{**good, "factory": factory})


def test_an_optional_hook_of_a_later_version_is_allowed(install):
    code = space() + "@wgankit.hookimpl(optionalhook=True)\ndef wgankit_flavours(): return 1\n"
    assert status(Registry(entry_points=install("wgankit-new", code))) == {"wgankit-new": "loaded"}


# What bad plugins cost ------------------------------------------------------------------------

BAD = {
    "broken import": ("import not_there\n", "broken", "ModuleNotFoundError: .*not_there"),
    "syntax error": ("def (:\n", "broken", "SyntaxError"),
    "exits": ("raise SystemExit(3)\n", "broken", "SystemExit: 3"),
    "no API": ("import wgankit\n", "incompatible", "WGANKIT_API = 1"),
    "old API": ("WGANKIT_API = 0\n", "incompatible", "speaks plugin API 0.*speaks 1"),
    "misspelt hook": (
        space(kind="space"),
        "broken",
        r"unknown hook wgankit_space \(did you mean 'wgankit_spaces'",
    ),
    "hook without prefix": (
        LIGHT + "@wgankit.hookimpl\ndef spaces(): return ()\n",
        "broken",
        "unknown hook spaces",
    ),
    "wrong signature": (
        LIGHT + "@wgankit.hookimpl\ndef wgankit_spaces(batch): return ()\n",
        "broken",
        "PluginValidationError.*batch",
    ),
    "unmarked hook": (
        LIGHT + "def wgankit_spaces(): return ()\n",
        "broken",
        "wgankit_spaces is not marked: put @wgankit.hookimpl",
    ),
    "nothing returned": (
        LIGHT + "@wgankit.hookimpl\ndef wgankit_spaces(): pass\n",
        "broken",
        "wgankit_spaces returned None",
    ),
    "other things returned": (
        space(spec="CriticSpec"),
        "broken",
        "wgankit_spaces gave CriticSpec.*it gives SpaceSpec",
    ),
    "not an iterable": (
        LIGHT + "@wgankit.hookimpl\ndef wgankit_spaces(): return 7\n",
        "broken",
        "TypeError",
    ),
    "bad name": (space("Ham ming"), "broken", "SettingError.*lower-case"),
    "name twice": (
        space("x") + "    yield wgankit.SpaceSpec(name='x', factory='a:b', summary='')\n",
        "broken",
        "gives the name 'x' twice",
    ),
    "fails half-way": (space("half") + "    raise OSError('disk')\n", "broken", "OSError: disk"),
    "asks while imported": (
        "from wgankit import plugins\nplugins.ASKED.spaces['hamming']\n" + space("late"),
        "broken",
        "asks the registry while it is being imported",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_a_bad_plugin_costs_one_warning_and_everything_else_works(install, case, monkeypatch):
    code, expected, cause = BAD[case]
    install("wgankit-aaa", space("before"))
    install("wgankit-bad", code, version="2.5")
    registry = Registry(entry_points=install("wgankit-zzz", space("after")))
    monkeypatch.setattr(plugins, "ASKED", registry, raising=False)
    with pytest.warns(PluginWarning) as caught:
        assert list(registry.spaces) == ["before", "after"]
    (warning,) = caught
    said = str(warning.message)
    assert said.startswith("plugin 'bad' (wgankit-bad 2.5) is not loaded: ")
    assert re.search(cause, said)
    assert "\n" not in said
    row = next(row for row in registry.summary() if row["name"] == "bad")
    assert (row["status"], row["adds"]) == (expected, {})
    assert said.endswith(row["cause"])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert registry.spaces.load("before") is registry.spaces.load("after")
    with pytest.raises(
        UnknownNameError, match=f"installed but not loaded: wgankit-bad 2.5: .*{cause}"
    ):
        registry.spaces["half"]


def test_warnings_as_errors_do_not_cut_discovery_short(install):
    install("wgankit-bad", BAD["broken import"][0])
    registry = Registry(entry_points=install("wgankit-zzz", space("after")))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(PluginWarning):
            list(registry.spaces)
        assert list(registry.spaces) == ["after"]


@pytest.mark.parametrize("case", BAD)
def test_strict_mode_raises_instead(install, case, monkeypatch):
    install("wgankit-good", space("good"))
    points = install("wgankit-bad", BAD[case][0])
    monkeypatch.setenv("WGANKIT_PLUGINS_STRICT", "1")
    registry = Registry(entry_points=points)
    monkeypatch.setattr(plugins, "ASKED", registry, raising=False)
    for _ in range(2):
        with pytest.raises(PluginError, match="'bad'.*" + BAD[case][2]) as caught:
            registry.spaces["good"]
        assert caught.value.__cause__ is not None
    relaxed = Registry(entry_points=points, strict=False)
    monkeypatch.setattr(plugins, "ASKED", relaxed, raising=False)
    with pytest.warns(PluginWarning):
        assert "good" in relaxed.spaces


def test_strict_mode_lets_good_and_disabled_plugins_pass(install):
    install("wgankit-good", space("good"))
    points = install("wgankit-bad", BAD["exits"][0])
    assert list(Registry(entry_points=points, strict=True, disabled=["bad"]).spaces) == ["good"]


@pytest.mark.parametrize("content", [None, b"Name: \xff\xfe\n", b"Metadata-Version: 2.1\n"])
def test_metadata_that_cannot_be_read_harms_nobody(install, folder, content):
    install("wgankit-zzz", space("after"))
    points = install("wgankit-damaged", space("saved"))
    written = folder / "wgankit_damaged-0.1.0.dist-info" / "METADATA"
    written.unlink() if content is None else written.write_bytes(content)
    registry = Registry(entry_points=points)
    assert list(registry.spaces) == ["saved", "after"]
    assert registry.plugins[0].name == "damaged"


def test_an_old_module_beside_a_new_one_is_named(install, folder):
    (folder / "old_half.py").write_text("WGANKIT_API = 0\n")
    halves = {"x": "wgankit_pair", "y": "old_half"}
    registry = Registry(entry_points=install("wgankit-pair", space("a"), entry_points=halves))
    with pytest.warns(PluginWarning, match="speaks plugin API 0"):
        assert registry.summary()[0]["api"] == 0


# Names ----------------------------------------------------------------------------------------


def test_two_distributions_with_one_entry_point_name_both_load(install):
    install("wgankit-strings", space("hamming"), entry_points={"strings": "wgankit_strings"})
    points = install("other-strings", space("edit"), entry_points={"strings": "other_strings"})
    registry = Registry(entry_points=points)
    assert [plugin.name for plugin in registry.plugins] == ["other-strings", "strings"]
    assert set(registry.spaces) == {"hamming", "edit"}


@pytest.mark.parametrize("prefixed", [space("mine"), "import not_there\n"])
def test_the_prefixed_distribution_owns_a_name_even_if_it_is_broken(install, prefixed):
    install("graphs", "raise AssertionError('imported')\n")
    registry = Registry(entry_points=install("wgankit-graphs", prefixed))
    with pytest.warns(PluginWarning) as caught:
        assert status(registry)["graphs"] == "broken"
    (said,) = [str(one.message) for one in caught if "(graphs 0.1.0)" in str(one.message)]
    assert "wgankit-graphs has the plugin name 'graphs'" in said
    assert "graphs" not in sys.modules


def test_a_name_claimed_twice_is_an_error_only_when_asked_for(install):
    install("wgankit-dna", space("hamming", "collections:OrderedDict"))
    registry = Registry(
        entry_points=install(
            "wgankit-strings",
            space("hamming") + "    yield "
            "wgankit.SpaceSpec(name='edit', factory='a:b', summary='')\n",
        )
    )
    assert list(registry.spaces) == ["dna:hamming", "strings:hamming", "edit"]
    assert len(registry.spaces) == 3
    with pytest.raises(AmbiguousNameError) as caught:
        registry.spaces.load("hamming")
    for part in ("'dna:hamming' (wgankit-dna 0.1.0)", "'strings:hamming' (wgankit-strings 0.1.0)"):
        assert part in str(caught.value)
    with pytest.raises(AmbiguousNameError):
        registry.spaces.get("hamming")
    assert registry.spaces.load("dna:hamming").__name__ == "OrderedDict"
    assert registry.spaces.load("strings:hamming").__name__ == "Counter"
    assert registry.spaces["edit"].name == "edit"


def test_the_order_of_the_file_system_changes_nothing(install):
    install("b-thing", space("one"))
    install("wgankit-a", space("one"))
    points = install("Wgankit_C", space("two"), module="c_module")
    orders = itertools.permutations(points)
    seen = {str(Registry(entry_points=order).summary()) for order in orders}
    assert len(seen) == 1
    assert [row["name"] for row in ast.literal_eval(seen.pop())] == ["a", "b-thing", "c"]


def test_an_unknown_name_says_what_there_is(install):
    registry = Registry(entry_points=install("wgankit-strings", space("hamming")))
    with pytest.raises(
        UnknownNameError, match=r"no space is called 'haming' .did you mean 'hamming'"
    ):
        registry.spaces["haming"]
    with pytest.raises(UnknownNameError, match="known: hamming"):
        registry.spaces.load("strings:nope")
    with pytest.raises(UnknownNameError, match="no plugin adds recipes"):
        registry.recipes["molecules"]
    assert "haming" not in registry.spaces
    assert registry.spaces.get("haming") is None
    assert issubclass(UnknownNameError, WgankitError)
    with pytest.raises(UnknownNameError, match="pip install"):
        Registry(entry_points=[]).recipes["molecules"]


# Factories ------------------------------------------------------------------------------------

MISSING = "import needs_rdkit_here\nclass Space: pass\n"


def test_a_missing_package_is_noticed_at_use_and_named(install):
    files = {"wgankit_lazy/space.py": MISSING}
    points = install("wgankit-lazy", space("mols", "wgankit_lazy.space:Space"), files=files)
    registry = Registry(entry_points=points)
    assert list(registry.spaces) == ["mols"]
    with pytest.raises(MissingPackageError, match=r"'lazy:mols' .*'needs_rdkit_here'") as caught:
        registry.spaces.load("mols")
    assert "pip install wgankit-lazy" in str(caught.value)
    assert caught.value.name == "needs_rdkit_here"


@pytest.mark.parametrize(
    ("factory", "said"),
    [
        ("wgankit_lazy.spaec:Space", "needs the module 'wgankit_lazy.spaec'"),
        ("wgankit_lazy.space:Spaec", "has no 'Spaec' .did you mean 'Space'"),
        ("wgankit_lazy.space:number", "is int, and a factory is a class or a function"),
        ("wgankit_lazy.explodes:Space", "OSError: libtorchaudio.so"),
        ("wgankit_lazy.space:Space.make.it", "has no 'Space.make.it'"),
    ],
)
def test_a_factory_that_is_not_there_is_the_plugins_defect(install, factory, said):
    files = {
        "wgankit_lazy/space.py": "number = 3\nclass Space:\n    def make(): pass\n",
        "wgankit_lazy/explodes.py": "raise OSError('libtorchaudio.so')\n",
    }
    registry = Registry(entry_points=install("wgankit-lazy", space("x", factory), files=files))
    with pytest.raises(PluginError, match=said):
        registry.spaces.load("x")


def test_a_factory_may_be_an_attribute_of_a_class(install):
    files = {"wgankit_lazy/space.py": "class Space:\n    def make(): return 5\n"}
    code = space("x", "wgankit_lazy.space:Space.make")
    registry = Registry(entry_points=install("wgankit-lazy", code, files=files))
    assert registry.spaces.load("x")() == 5


# Disabling, laziness --------------------------------------------------------------------------


@pytest.mark.parametrize("names", ["bad", "wgankit-bad", "WGANKIT_BAD", "x, bad ,y", "*"])
@pytest.mark.parametrize("by_variable", [True, False])
def test_disabled_plugins_are_not_imported(install, names, by_variable, monkeypatch):
    install("wgankit-good", space("good"))
    points = install("wgankit-bad", "raise SystemExit(1)\n")
    if by_variable:
        monkeypatch.setenv("WGANKIT_DISABLE_PLUGINS", names)
    registry = Registry(entry_points=points, disabled=None if by_variable else names.split(","))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert status(registry)["wgankit-bad"] == "disabled"
    assert "wgankit_bad" not in sys.modules
    assert list(registry.spaces) == ([] if names == "*" else ["good"])
    with pytest.raises(UnknownNameError, match=r"installed but disabled: .*wgankit-bad 0.1.0"):
        registry.spaces["bad"]


def test_the_environments_entry_points_are_found(install, folder):
    install("wgankit-onpath", space("onpath"))
    others = {point.dist.name for point in metadata.entry_points(group="wgankit")}
    assert "wgankit-onpath" in others
    disabled = others - {"wgankit-onpath"}
    assert list(Registry(disabled=disabled).spaces) == ["onpath"]


def alone(code, *, path=()):
    """Runs code in a process of its own and returns what it prints."""
    start = f"import sys\nsys.path[:0] = {[str(one) for one in path]!r}\n"
    done = subprocess.run(
        [sys.executable, "-c", start + code], capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


HEAVY = "print([m for m in ('torch', 'numpy', 'rdkit', 'networkx') if m in sys.modules])"


def test_discovery_imports_nothing_heavy(install, folder):
    files = {"wgankit_heavy/space.py": "import numpy\nclass Space: pass\n"}
    install("wgankit-heavy", space("heavy", "wgankit_heavy.space:Space"), files=files)
    look = (
        "import warnings; warnings.simplefilter('ignore')\n"
        "import wgankit, wgankit.plugins\n"
        "registry = wgankit.plugins.registry()\n"
        "assert 'wgankit_heavy' not in sys.modules\n"
        "assert 'heavy' in registry.spaces and registry.summary()\n"
    )
    assert alone(look + HEAVY, path=[folder]) == "[]"
    assert "numpy" in alone(look + "registry.spaces.load('heavy')\n" + HEAVY, path=[folder])


def test_the_registry_of_the_process_is_one(monkeypatch):
    plugins.registry.cache_clear()
    assert plugins.registry() is plugins.registry()
