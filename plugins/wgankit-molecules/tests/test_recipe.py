"""The recipe `molecules`, from SMILES to SMILES, and bad input of every kind."""

import gzip

import networkx as nx
import pytest
import torch
from rdkit import Chem
from typer.testing import CliRunner

import wgankit
from wgankit import DataError, cli
from wgankit_molecules.data import qm9_10k

QUICK = {
    "steps": 3,
    "batch": 8,
    "evaluate_on": 20,
    "device": "cpu",
    "progress": False,
    "model": {"width": 16, "layers": 1, "generator_layers": 1},
}


@pytest.fixture(scope="module")
def smiles():
    return qm9_10k()[:60]


@pytest.fixture(scope="module")
def trained(smiles, tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "run"
    return wgankit.recipe("molecules").fit(smiles, out=out, **QUICK)


def test_smiles_in_smiles_out(trained):
    drawn = trained.sample(40, seed=1)
    assert len(drawn) == 40
    assert all(isinstance(each, str) for each in drawn)
    found = trained.evaluate(drawn)
    valid = 0
    for each in drawn:
        molecule = Chem.MolFromSmiles(each)
        valid += molecule is not None and "." not in each and molecule.GetNumAtoms() > 0
    assert found["valid"] == pytest.approx(valid / 40)


def test_report_shows_the_run(trained):
    report = trained.folder.report.read_text()
    assert "exact W1 to held-out molecules" in report
    assert "valid_unique" in report


def test_loaded_run_samples_alike(trained):
    again = wgankit.load(trained.folder.path)
    assert again.sample(10, seed=3) == trained.sample(10, seed=3)


def test_held_out_and_training_molecules_are_the_data(trained, smiles):
    from wgankit_molecules.chemistry import canonical

    parts = trained.training_objects + trained.held_out_objects
    assert sorted(parts) == sorted(map(canonical, smiles))


def test_files_of_every_kind_train(tmp_path, smiles):
    text = "\n".join(smiles)
    (tmp_path / "a.smi").write_text(text)
    (tmp_path / "b.csv").write_text(
        "id,smiles\n" + "\n".join(f"{i},{s}" for i, s in enumerate(smiles))
    )
    with gzip.open(tmp_path / "c.smi.gz", "wt") as file:
        file.write(text)
    with Chem.SDWriter(str(tmp_path / "d.sdf")) as writer:
        for each in smiles:
            writer.write(Chem.MolFromSmiles(each))
    for name in ("a.smi", "b.csv", "c.smi.gz", "d.sdf"):
        out = tmp_path / f"run-{name}"
        recipe = wgankit.recipe("molecules").fit(tmp_path / name, out=out, **QUICK)
        assert recipe.config["objects"] == len(smiles)


BAD = {
    "empty.smi": ("", "empty"),
    "noise.smi": ("what is\nthis file\n" * 3, "none of the"),
    "no-column.csv": ("id,name\n1,CCO\n2,CCC\n", "column"),
    "mixed.csv": ("smiles,id\nCCO,1\nCCC;2\n", "separator"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_files_are_one_clear_error_and_leave_nothing(tmp_path, name):
    text, words = BAD[name]
    (tmp_path / name).write_text(text)
    done = CliRunner().invoke(
        cli.app,
        ["train", "molecules", "--data", str(tmp_path / name), "--out", str(tmp_path / "r")],
    )
    assert isinstance(done.exception, DataError), done.output
    assert words in str(done.exception)
    assert "\n" not in str(done.exception)
    assert not (tmp_path / "r").exists()


def test_bad_molecules_are_counted_and_reported(tmp_path, smiles):
    mixed = [*smiles, "C1CC", "[Xx]C", "C.C", "C" * 50, ""]
    recipe = wgankit.recipe("molecules").fit(mixed, out=tmp_path / "run", **QUICK)
    assert sum(recipe.config["skipped"].values()) == 5
    assert len(recipe.config["skipped"]) >= 4
    assert "5 of 65 molecules left out" in recipe.folder.report.read_text()
    assert recipe.config["objects"] == 60


def test_fewer_molecules_than_a_batch(tmp_path):
    with pytest.raises(DataError, match=r"batch of 8 cannot be drawn from 4 molecules.*--batch 4"):
        wgankit.recipe("molecules").fit(["C", "CC", "CCC", "CO"], out=tmp_path / "run", **QUICK)


def test_metric_is_the_edit_distance_of_molecular_graphs(trained):
    """Ethanol and ethylamine differ by one atom kind, ethane and ethene by one bond."""
    from wgankit_graphs import LabelledGraphs
    from wgankit_molecules.chemistry import encode_molecules

    model = trained.domain.build(trained.config["vocabulary"], trained.config["settings"])
    points = encode_molecules(["CCO", "CCN", "CC", "C=C"], trained.config["vocabulary"]).points
    graphs = model.prepare(points)
    space = LabelledGraphs()
    found = space.distance(
        tuple(part[[0, 2, 0]] for part in graphs), tuple(part[[1, 3, 0]] for part in graphs)
    )
    assert found.tolist() == [1.0, 1.0, 0.0]


def test_molecules_are_graphs_to_the_graph_plugin(trained):
    from wgankit_graphs import decode_graphs

    points = trained.points("training")
    graphs = decode_graphs(points, trained.config["vocabulary"])
    sizes = (points[0] > 0).sum(1).tolist()
    assert [len(graph) for graph in graphs] == sizes
    assert all(nx.is_connected(graph) for graph in graphs)


def test_training_is_the_same_twice(trained, smiles, tmp_path):
    again = wgankit.recipe("molecules").fit(smiles, out=tmp_path / "again", **QUICK)

    def state(recipe):
        return torch.load(recipe.folder.last, weights_only=True)["training"]["average"]

    one, two = state(again), state(trained)
    assert all(torch.equal(one[name], two[name]) for name in one)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_molecules_are_learnt_without_collapse(tmp_path):
    """A quarter of the demo: many valid and different molecules, and exact W1 falls."""
    recipe = wgankit.recipe("molecules").fit(
        "qm9-10k", out=tmp_path / "run", steps=2_000, evaluate_on=500, device="cpu", progress=False
    )
    found = recipe.evaluate(1_000, seed=7)
    assert found["valid_unique"] > 0.3
    judged = [row for row in recipe.folder.history() if "exact_w1" in row]
    first, last = judged[0], judged[-1]
    floor = last["exact_w1_floor"]
    assert last["exact_w1"] - floor < 0.5 * (first["exact_w1"] - floor)
