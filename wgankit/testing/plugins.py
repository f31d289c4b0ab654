"""The laws of plugins, and plugins made for a test."""

from __future__ import annotations

import importlib
import importlib.metadata
import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType

from wgankit.errors import WgankitError
from wgankit.hooks import GROUP
from wgankit.plugins import PluginError, collect, import_factory
from wgankit.testing.laws import fail

HEAVY = ("torch", "numpy", "scipy", "pandas", "sklearn", "tensorflow", "jax", "rdkit", "networkx")
"""Packages that the module of a plugin does not import."""


def check_plugin(module: ModuleType | str) -> None:
    """Check the module that a plugin's entry point names.

    Arguments:
        module: the module, or its name.

    Raises:
        AssertionError: it imports a heavy package (one of `HEAVY`); its API number, hooks or names
            are not in order; a summary is empty; a factory cannot be imported.
    """
    name = module if isinstance(module, str) else module.__name__
    _check_light(name)
    try:
        adds = collect(importlib.import_module(name) if isinstance(module, str) else module)
    except Exception as error:
        raise AssertionError(f"law broken: a plugin's hooks are in order; {error}") from error
    if not adds:
        fail("a plugin adds something", f"{name} implements no hook that gives anything")
    for spec in (spec for specs in adds.values() for spec in specs):
        if not str(spec.summary).strip():
            fail("summaries say something", f"that of {spec.noun} {spec.name!r} is empty")
        try:
            import_factory(spec, spec.name)
        except (WgankitError, PluginError) as error:
            raise AssertionError(f"law broken: factories are importable; {error}") from error


_IMPORT_ALONE = """
import importlib, json, sys
name, path, heavy = json.loads(sys.argv[1])
sys.path[:] = path
importlib.import_module("wgankit.plugins")
before = set(sys.modules)
importlib.import_module(name)
print(json.dumps([one for one in heavy if one in sys.modules and one not in before]))
"""


def _check_light(name: str) -> None:
    """Import the module in a process of its own, where nothing else has imported anything."""
    told = json.dumps([name, sys.path, HEAVY])
    done = subprocess.run(
        [sys.executable, "-c", _IMPORT_ALONE, told], capture_output=True, text=True, check=False
    )
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        fail("a plugin's module can be imported", f"{name}: {last}")
    heavy = json.loads(done.stdout.splitlines()[-1])
    if heavy:
        fail(
            "a plugin's module is light",
            f"{name} imports {', '.join(heavy)}; name factories as import strings instead",
        )


def fake_plugin(
    folder: Path,
    *,
    distribution: str,
    code: str,
    version: str = "0.1.0",
    module: str | None = None,
    entry_points: Mapping[str, str] | None = None,
    files: Mapping[str, str] | None = None,
) -> list[importlib.metadata.EntryPoint]:
    """Write an installed plugin into a folder, without pip, and return its entry points.

    Arguments:
        folder: a folder that the caller puts on `sys.path` (in pytest `monkeypatch.
            syspath_prepend`).
        distribution: what pip would call it.
        code: source of its module.
        version: its version.
        module: name of its module; by default the distribution's, with underscores.
        entry_points: name -> value in the group `wgankit`; by default one, the module.
        files: further files, path within the folder -> text.

    Returns:
        its entry points, for `Registry(entry_points=...)`.
    """
    module = module or distribution.replace("-", "_").replace(".", "_")
    entry_points = entry_points or {module: module}
    info = f"{distribution.replace('-', '_')}-{version}.dist-info"
    lines = [f"{name} = {value}" for name, value in entry_points.items()]
    written = {
        f"{module}/__init__.py": code,
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {distribution}\nVersion: {version}\n",
        f"{info}/entry_points.txt": "\n".join([f"[{GROUP}]", *lines, ""]),
        **(files or {}),
    }
    for path, text in written.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text, encoding="utf-8")
    importlib.invalidate_caches()
    found = importlib.metadata.PathDistribution(folder / info)
    return list(found.entry_points)
