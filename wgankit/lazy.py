"""Names of a package that are imported when somebody asks for them."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from typing import Any


def lazy_names(package: str, where: Mapping[str, str]) -> Callable[[str], Any]:
    """Return a module's `__getattr__` (PEP 562) that imports names on first use.

    Arguments:
        package: the module's `__name__`.
        where: for every name, the submodule that defines it; "" for a submodule itself.

    A plugin's module has to stay light, because `wgankit plugins` imports all of them.
    """

    def find(name: str) -> Any:
        if name not in where:
            raise AttributeError(f"{package} has no {name!r}")
        if not where[name]:
            return importlib.import_module(f"{package}.{name}")
        return getattr(importlib.import_module(f"{package}.{where[name]}"), name)

    return find
