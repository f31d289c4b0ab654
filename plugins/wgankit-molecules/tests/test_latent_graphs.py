"""The recipe `molecules:latent-graphs`: strings in, points and labels kept, strings out."""

import pytest

pytest.importorskip("rdkit")

import wgankit
from wgankit import state as states
from wgankit_molecules.chemistry import canonical
from wgankit_molecules.data import qm9_10k
from wgankit_molecules.latent_graphs import LatentMolecularGraphs

QUICK = {
    "steps": 3,
    "batch": 8,
    "evaluate_on": 16,
    "device": "cpu",
    "progress": False,
    "model": {
        "width": 16,
        "depth": 1,
        "autoencoder": {"steps": 20, "batch": 16, "width": 16, "depth": 1, "latent": 8},
    },
}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run") / "run"
    recipe = wgankit.recipe("molecules:latent-graphs").fit(qm9_10k()[:200], out=folder, **QUICK)
    return recipe, folder


def test_molecules_come_out_and_a_run_is_loaded_as_it_was(run):
    recipe, folder = run
    again = wgankit.load(folder)
    assert isinstance(again.domain, LatentMolecularGraphs)
    drawn = recipe.sample(20, seed=1)
    assert all(isinstance(one, str) for one in drawn)
    assert again.sample(20, seed=1) == drawn
    figures = recipe.evaluate(drawn)
    assert 0 <= figures["valid_unique"] <= figures["valid"] <= 1


def test_stored_molecules_are_those_that_were_given(run):
    recipe, folder = run
    stored = states.load(folder / "data.pt")["points"]
    strings = recipe.domain.decode(stored, recipe.vocabulary)
    assert {canonical(one) for one in strings} <= {canonical(one) for one in qm9_10k()[:200]}
    assert len(set(strings)) == len(stored[0]) > 190


def test_large_molecules_are_left_out_and_counted():
    encoded = LatentMolecularGraphs().encode(["C" * 41, "CCO", "C" * 40])
    assert encoded.kept == [1, 2]
    assert sum(encoded.skipped.values()) == 1
    encoded = LatentMolecularGraphs().encode(["C" * 41, "CCO"], largest=50)
    assert encoded.kept == [0, 1]
