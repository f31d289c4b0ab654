"""Molecules for wgankit: SMILES and SDF in, SMILES out, one network pass for each sample."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import wgankit

WGANKIT_API = 1

_WHERE = {
    "Molecules": "recipe",
    "LatentMolecules": "latent",
    "LatentMolecularGraphs": "latent_graphs",
    "encode_molecules": "chemistry",
    "decode_molecules": "chemistry",
    "round_trip": "chemistry",
    "read_molecules": "files",
    "write_molecules": "files",
    "evaluate_molecules": "metrics",
    "evaluate_moses": "moses",
    "moses_metrics": "moses",
    "draw_molecules": "pictures",
}


if TYPE_CHECKING:
    from wgankit_molecules.chemistry import decode_molecules as decode_molecules
    from wgankit_molecules.chemistry import encode_molecules as encode_molecules
    from wgankit_molecules.chemistry import round_trip as round_trip
    from wgankit_molecules.files import read_molecules as read_molecules
    from wgankit_molecules.files import write_molecules as write_molecules
    from wgankit_molecules.latent import LatentMolecules as LatentMolecules
    from wgankit_molecules.latent_graphs import LatentMolecularGraphs as LatentMolecularGraphs
    from wgankit_molecules.metrics import evaluate_molecules as evaluate_molecules
    from wgankit_molecules.moses import evaluate_moses as evaluate_moses
    from wgankit_molecules.moses import moses_metrics as moses_metrics
    from wgankit_molecules.pictures import draw_molecules as draw_molecules
    from wgankit_molecules.recipe import Molecules as Molecules

__getattr__ = wgankit.lazy_names(__name__, _WHERE)


@wgankit.hookimpl
def wgankit_recipes() -> Iterable[wgankit.RecipeSpec]:
    """Return the recipes for molecules."""
    yield wgankit.RecipeSpec(
        name="molecules",
        factory="wgankit_molecules.recipe:Molecules",
        summary="SMILES, SDF or rdkit molecules in, SMILES out",
    )
    yield wgankit.RecipeSpec(
        name="latent",
        factory="wgankit_molecules.latent:LatentMolecules",
        summary="the same through an autoencoder of SMILES; for large sets of molecules",
    )
    yield wgankit.RecipeSpec(
        name="latent-graphs",
        factory="wgankit_molecules.latent_graphs:LatentMolecularGraphs",
        summary="the same through an autoencoder of graphs; for thousands of small molecules",
    )


@wgankit.hookimpl
def wgankit_datasets() -> Iterable[wgankit.DatasetSpec]:
    """Return sets of real molecules."""
    licence = "MIT (of the package that carries them)"
    yield wgankit.DatasetSpec(
        name="qm9-10k",
        factory="wgankit_molecules.data:qm9_10k",
        summary="10,000 molecules of QM9 with up to 9 heavy atoms, bundled",
        recipe="molecules",
        size=10_000,
        licence=licence,
    )
    yield wgankit.DatasetSpec(
        name="qm9",
        factory="wgankit_molecules.data:qm9",
        summary="QM9, all of it; first: wgankit data get qm9",
        recipe="molecules",
        size=130_831,
        licence=licence,
        fetch="wgankit_molecules.data:get_qm9",
    )
    yield wgankit.DatasetSpec(
        name="moses",
        factory="wgankit_molecules.data:moses",
        summary="MOSES training set, up to 27 heavy atoms; first: wgankit data get moses",
        recipe="molecules",
        size=1_584_663,
        licence=licence,
        fetch="wgankit_molecules.moses_reference:get_moses",
    )


@wgankit.hookimpl
def wgankit_benchmarks() -> Iterable[wgankit.BenchmarkSpec]:
    """Return the published protocols for molecules."""
    yield wgankit.BenchmarkSpec(
        name="moses",
        factory="wgankit_molecules.moses:evaluate_moses",
        summary="MOSES: validity, FCD, SNN, fragments, scaffolds, filters, novelty of 30,000",
    )


@wgankit.hookimpl
def wgankit_models() -> Iterable[wgankit.ModelSpec]:
    """Return the trained models that the package carries."""
    yield wgankit.ModelSpec(
        name="moses",
        factory="wgankit_molecules.shipped:moses",
        summary="molecules:latent on MOSES, drug-like molecules of up to 27 heavy atoms",
        recipe="molecules:latent",
        licence="MIT",
    )
    yield wgankit.ModelSpec(
        name="qm9",
        factory="wgankit_molecules.shipped:qm9",
        summary="molecules:latent-graphs on QM9, molecules of up to 9 heavy atoms",
        recipe="molecules:latent-graphs",
        licence="MIT",
    )
