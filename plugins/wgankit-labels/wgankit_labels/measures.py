"""Properties that can be measured on objects, real or generated, and so need not be given."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any

from wgankit.domain import Domain
from wgankit.errors import SettingError

Measure = Callable[[Sequence[Any]], Sequence[Any]]
"""Objects -> a value for each, None for those that have none."""

_HERE = "wgankit_labels.measures"

MEASURES: dict[str, dict[str, str]] = {
    "wgankit_molecules.objects:MoleculesDomain": {
        name: f"{_HERE}:{name}" for name in ("qed", "logp", "weight", "atoms", "rings")
    },
    "wgankit_graphs.objects:GraphsDomain": {name: f"{_HERE}:{name}" for name in ("nodes", "edges")},
}
"""For classes of domains by import strings: name of a property -> import string of its `Measure`.

A domain of your own has a class attribute `measures` of the inner form instead.
"""


def measures_of(domain: Domain) -> dict[str, str]:
    """Return the properties that objects of a domain have, as import strings by name."""
    known: dict[str, str] = {}
    for kind in reversed(type(domain).__mro__):
        known |= MEASURES.get(f"{kind.__module__}:{kind.__qualname__}", {})
    own: Mapping[str, str] = getattr(domain, "measures", {})
    return {**known, **own}


def measured(where: str, objects: Sequence[Any]) -> Sequence[Any]:
    """Return the values of objects by the measure that an import string "module:function" names.

    Raises:
        SettingError: there is none, or it does not return a value for each object.
    """
    module, _, name = where.partition(":")
    try:
        measure: Measure = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise SettingError(
            f'a measure is an import string "module:function" of a function objects -> values; '
            f"{where!r} is none: {error}"
        ) from error
    values = measure(objects)
    if len(values) != len(objects):
        raise SettingError(
            f"a measure returns a value for each object, None where there is none; {where} "
            f"returned {len(values)} for {len(objects)}"
        )
    return values


def carried(one: Any, name: str) -> Any:
    """Return what an object itself says of a name; None if nothing.

    That is a graph attribute of a networkx graph, or an entry of a torch-geometric `Data`.
    """
    attributes = getattr(one, "graph", None)
    if isinstance(attributes, Mapping):
        return attributes.get(name)
    if hasattr(one, "num_nodes") and hasattr(one, "to_dict") and name in one:
        value = one[name]
        return value.tolist() if getattr(value, "numel", lambda: 1)() > 1 else _single(value)
    return None


def _single(value: Any) -> Any:
    return value.item() if hasattr(value, "item") else value


# Molecules ------------------------------------------------------------------------------------


def qed(molecules: Sequence[Any]) -> list[float | None]:
    """Return drug-likeness in [0, 1] (Bickerton et al., Nature Chemistry 4, 90, 2012)."""
    from rdkit.Chem import QED

    return _each(molecules, QED.qed)


def logp(molecules: Sequence[Any]) -> list[float | None]:
    """Return lipophilicity (Wildman, Crippen, J. Chem. Inf. Comput. Sci. 39, 868, 1999)."""
    from rdkit.Chem import Crippen

    lipophilicity: Any = Crippen
    return _each(molecules, lipophilicity.MolLogP)


def weight(molecules: Sequence[Any]) -> list[float | None]:
    """Return molecular weights in g/mol."""
    from rdkit.Chem import Descriptors

    weights: Any = Descriptors
    return _each(molecules, weights.MolWt)


def atoms(molecules: Sequence[Any]) -> list[float | None]:
    """Return numbers of heavy atoms."""
    return _each(molecules, lambda mol: mol.GetNumHeavyAtoms())


def rings(molecules: Sequence[Any]) -> list[float | None]:
    """Return numbers of rings."""
    from rdkit.Chem import rdMolDescriptors

    return _each(molecules, rdMolDescriptors.CalcNumRings)


def _each(molecules: Sequence[Any], measure: Callable[[Any], float]) -> list[float | None]:
    found = (_valid(_text(molecule)) for molecule in molecules)
    return [None if mol is None else measure(mol) for mol in found]


def _text(molecule: Any) -> str:
    from wgankit_molecules.chemistry import as_smiles

    return str(as_smiles(molecule))


@lru_cache(maxsize=20_000)
def _valid(smiles: str) -> Any:
    """Return the molecule of a string that is one: it parses, and has one fragment."""
    from rdkit import Chem
    from rdkit.rdBase import BlockLogs

    with BlockLogs():
        mol = Chem.MolFromSmiles(smiles)
    return mol if mol is not None and mol.GetNumAtoms() and "." not in smiles else None


# Graphs ---------------------------------------------------------------------------------------


def nodes(graphs: Sequence[Any]) -> list[float]:
    """Return numbers of nodes."""
    return [float(_count(graph, "number_of_nodes", "num_nodes")) for graph in graphs]


def edges(graphs: Sequence[Any]) -> list[float]:
    """Return numbers of edges; those of torch-geometric count both directions as one."""
    return [
        float(graph.number_of_edges())
        if hasattr(graph, "number_of_edges")
        else float(graph.num_edges) / 2
        for graph in graphs
    ]


def _count(graph: Any, networkx: str, geometric: str) -> int:
    return int(
        getattr(graph, networkx)() if hasattr(graph, networkx) else getattr(graph, geometric)
    )
