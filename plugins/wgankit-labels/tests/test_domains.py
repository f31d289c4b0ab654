"""Conditions over the domains of other plugins: molecules with properties, graphs with classes."""

import json

import pytest

from wgankit_labels import conditioned

# Without held-out objects nothing is compared, which is what takes long.
QUICK = {"device": "cpu", "progress": False, "steps": 2, "batch": 8, "held_out": 0.0}

SMALL = {"width": 16, "layers": 1, "generator_layers": 1}


def test_molecules_with_properties(tmp_path):
    data = pytest.importorskip("wgankit_molecules.data")
    from rdkit import Chem
    from rdkit.Chem import QED

    recipe = conditioned("molecules", "qed", "logp").fit(
        data.qm9_10k()[:60], out=tmp_path / "run", evaluate_on=20, model=SMALL, **QUICK,
    )  # fmt: skip
    assert (
        json.loads((tmp_path / "run" / "config.json").read_text())["recipe"] == "labels:conditioned"
    )
    for one in recipe.training_objects[:20]:
        assert one.labels["qed"] == pytest.approx(QED.qed(Chem.MolFromSmiles(one.object)), abs=1e-4)
    drawn = recipe.sample(5, given={"qed": 0.5}, seed=0)
    assert all(isinstance(one.object, str) for one in drawn)
    assert {round(one.labels["qed"], 5) for one in drawn} == {0.5}
    assert "qed_error" in recipe.evaluate(recipe.training_objects[:20])
    recipe.domain.write(drawn, tmp_path / "new.smi")


LATENT = {"width": 16, "autoencoder": {"steps": 9, "width": 16, "latent": 8}}


@pytest.mark.parametrize(("name", "model"), [("graphs", SMALL), ("graphs:latent", LATENT)])
def test_graphs_with_classes_from_their_attributes(tmp_path, name, model):
    nx = pytest.importorskip("networkx")
    pytest.importorskip("wgankit_graphs")
    graphs = []
    for number in range(40):
        graph = nx.cycle_graph(4 + number % 3) if number % 2 else nx.star_graph(3 + number % 3)
        graph.graph["kind"] = "cycle" if number % 2 else "star"
        graphs.append(graph)
    recipe = conditioned(name, "kind", "edges:number").fit(
        graphs, out=tmp_path / "run", evaluate_on=16, model=model, **QUICK
    )
    for one in recipe.training_objects:
        round_ = all(degree == 2 for _, degree in one.object.degree())
        assert one.labels["kind"] == ("cycle" if round_ else "star")
        assert one.labels["edges"] == pytest.approx(one.object.number_of_edges(), abs=1e-3)
    drawn = recipe.sample(4, given={"kind": "cycle"}, seed=0)
    assert all(isinstance(one.object, nx.Graph) for one in drawn)


def test_pictures_with_classes_from_folders(tmp_path):
    pytest.importorskip("wgankit_images")
    from PIL import Image

    for shade, top in (("dark", 60), ("light", 250)):
        (tmp_path / "data" / shade).mkdir(parents=True)
        for number in range(12):
            picture = Image.new("L", (8, 8), top - number)
            picture.save(tmp_path / "data" / shade / f"{number}.png")
    recipe = conditioned("images", "class").fit(
        tmp_path / "data", out=tmp_path / "run", evaluate_on=8, model={"width": 4}, **QUICK
    )
    for one in recipe.training_objects:
        assert one.labels["class"] == ("dark" if one.object.max() < 100 else "light")
    drawn = recipe.sample(5, given={"class": "dark"}, seed=0)
    assert {one.labels["class"] for one in drawn} == {"dark"}
