"""The recipe `graphs:latent`: runs, what they keep, and what is refused."""

import math

import networkx as nx
import pytest
import torch

import wgankit
from wgankit import DataError, SettingError
from wgankit import state as states
from wgankit.domain import LEARNT
from wgankit.latent_networks import law_of, moved
from wgankit.testing import check_steps
from wgankit_graphs import autoencoder as autoencoders
from wgankit_graphs import memory
from wgankit_graphs.latent import LatentGraphs, build_points, labels_of

QUICK = {
    "steps": 3,
    "batch": 8,
    "evaluate_on": 8,
    "device": "cpu",
    "progress": False,
    "model": {
        "width": 16,
        "depth": 1,
        "inputs": 4,
        "autoencoder": {
            "steps": 600,
            "batch": 8,
            "rate": 3e-3,
            "level": 0.1,
            "width": 32,
            "depth": 1,
            "latent": 8,
        },
    },
}


def cycles_and_stars(count=40):
    graphs = []
    for number in range(count):
        size = 4 + number % 3
        graph = nx.cycle_graph(size) if number % 2 else nx.star_graph(size - 1)
        nx.set_node_attributes(graph, "ab"[number % 5 == 0], "label")
        graphs.append(graph)
    return graphs


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run") / "run"
    recipe = wgankit.recipe("graphs:latent").fit(cycles_and_stars(), out=folder, **QUICK)
    return recipe, folder


def test_a_run_is_loaded_as_it_was(run):
    recipe, folder = run
    again = wgankit.load(folder)
    assert isinstance(again.domain, LatentGraphs)
    drawn = recipe.sample(6, seed=1)
    for one, two in zip(drawn, again.sample(6, seed=1), strict=True):
        assert nx.utils.graphs_equal(one, two)
    assert not list(folder.glob("**/autoencoder.pt"))


def test_stored_graphs_are_given_back_as_they_were(run):
    """They have their labels beside their points, so none depends on what was learnt."""
    recipe, folder = run
    points, nodes, edges = states.load(folder / "data.pt")["points"]
    assert points.shape == (40, 8)
    assert torch.allclose(points.norm(dim=1), torch.tensor(8.0).sqrt())
    graphs = recipe.domain.decode((points, nodes, edges), recipe.vocabulary)
    wanted = sorted(nx.weisfeiler_lehman_graph_hash(one, node_attr="label") for one in graphs)
    real = [nx.weisfeiler_lehman_graph_hash(one, node_attr="label") for one in cycles_and_stars()]
    assert wanted == sorted(real)


def test_the_points_alone_say_the_graphs_that_were_learnt(run):
    recipe, folder = run
    points, nodes, edges = states.load(folder / "data.pt")["points"]
    said = labels_of(points, recipe.vocabulary)
    same = (said[0] == nodes).all(1) & (said[1] == edges).flatten(1).all(1)
    assert same.float().mean() > 0.9
    assert recipe.vocabulary["given_back"] > 0.9


def test_graphs_are_encoded_by_the_run_that_knows_them(run):
    recipe, folder = run
    stored = states.load(folder / "data.pt")["points"]
    encoded = recipe.domain.encode(cycles_and_stars(), recipe.vocabulary)
    for one, two in zip(encoded.points, stored, strict=True):
        assert torch.allclose(one.float(), two.float(), atol=1e-5)


def test_the_autoencoder_stays_as_it_was_learnt(run):
    recipe, _ = run
    learnt = recipe.vocabulary[LEARNT]
    trained = dict(recipe.generator().named_parameters())
    for name, one in learnt.items():
        if name.startswith("autoencoder."):
            assert torch.equal(trained[name], one)
    begun = build_points(recipe.vocabulary, recipe.config["settings"])
    assert any(
        not torch.equal(one, trained[name]) for name, one in begun.generator.named_parameters()
    )


def test_a_generator_begins_at_the_law_of_moved_points_and_is_judged_by_the_points(run):
    recipe, folder = run
    model = build_points(recipe.vocabulary, recipe.config["settings"])
    data = states.load(folder / "data.pt")
    points = data["points"][0]
    with states.seeded(recipe.config["settings"]["seed"]):
        centre, factor = law_of(moved(points[data["training"]], 0.1))
    assert torch.equal(model.generator.generator.centre, centre)
    assert torch.equal(model.generator.generator.factor, factor)
    assert torch.equal(model.prepare(data["points"]), points)


def test_nothing_is_learnt_from_graphs_that_are_held_out(tmp_path, monkeypatch):
    seen = {}

    def learn(autoencoder, labels, *others, **named):
        seen["training"] = labels

    def given_back(autoencoder, labels, kinds):
        seen["held_out"] = labels
        return 0.25

    monkeypatch.setattr(autoencoders, "learn", learn)
    monkeypatch.setattr(autoencoders, "given_back", given_back)
    recipe = wgankit.recipe("graphs:latent").fit(cycles_and_stars(), out=tmp_path / "run", **QUICK)
    data = states.load(tmp_path / "run" / "data.pt")
    assert recipe.vocabulary["given_back"] == 0.25
    for name, count in (("training", 32), ("held_out", 8)):
        nodes, edges = seen[name]
        places = data[name].sort().values
        assert len(nodes) == count
        assert torch.equal(nodes, data["points"][1][places])
        assert torch.equal(edges, data["points"][2][places])


def test_what_was_learnt_may_be_stored_in_float16_and_is_computed_with_in_float32(run):
    recipe, _ = run
    known = recipe.vocabulary
    halved = {name: one.half() for name, one in known[LEARNT].items()}
    model = build_points({**known, LEARNT: halved}, recipe.config["settings"])
    assert {one.dtype for one in model.generator.state_dict().values()} == {torch.float32}
    weights = model.generator.autoencoder.state_dict()
    assert len(weights) == len(halved) - 2
    for name, one in weights.items():
        assert torch.equal(one, halved[f"autoencoder.{name}"].float())
    assert torch.equal(model.generator.generator.factor, halved["law.factor"].float())
    latents = model.latent.sample(5, torch.device("cpu"))
    assert torch.isfinite(model.generator(latents)).all()


def test_building_draws_no_weights_of_the_autoencoder(run):
    recipe, _ = run
    torch.manual_seed(3)
    labels_of(torch.ones(1, 8), recipe.vocabulary)
    found = torch.rand(2)
    torch.manual_seed(3)
    assert torch.equal(found, torch.rand(2))


def test_steps_of_a_run_are_right(run):
    recipe, _ = run
    check_steps(recipe.training(device="cpu"))


def test_settings_reach_the_networks(run):
    recipe, _ = run
    chosen = recipe.config["settings"]
    model = build_points(recipe.vocabulary, chosen)
    assert model.noise.deviation == 0.4
    assert model.generator.rounds == 4
    other = {**chosen, "model": {**chosen["model"], "blur": 0, "rounds": 1, "inputs": 6}}
    model = build_points(recipe.vocabulary, other)
    assert model.noise is None
    assert model.generator.rounds == 1
    assert model.latent.sample(3, torch.device("cpu")).shape == (3, 6)


@pytest.mark.parametrize(
    ("model", "said"),
    [
        ({"layers": 3}, "no setting layers; there are inputs"),
        ({"rounds": -1}, "rounds is a whole number of at least 0; got -1"),
        ({"inputs": 0}, "inputs is a whole number of at least 1; got 0"),
        ({"blur": math.inf}, "blur is a number >= 0; got inf"),
        ({"autoencoder": {"levels": 1}}, "no setting levels"),
    ],
)
def test_settings_that_cannot_work_are_refused_before_anything_is_learnt(
    tmp_path, monkeypatch, model, said
):
    monkeypatch.setattr(autoencoders, "learn", lambda *given, **named: pytest.fail("learnt"))
    options = {**QUICK, "model": {**QUICK["model"], **model}}
    with pytest.raises(SettingError, match=said):
        wgankit.recipe("graphs:latent").fit(cycles_and_stars(), out=tmp_path / "run", **options)


def test_graphs_too_large_for_an_autoencoder_are_refused_with_a_size_that_fits(
    tmp_path, monkeypatch
):
    monkeypatch.setattr(memory, "available_bytes", lambda device="cpu": 50_000)
    with pytest.raises(DataError, match=r"up to 6 nodes takes about .* KiB.*largest=5"):
        wgankit.recipe("graphs:latent").fit(cycles_and_stars(), out=tmp_path / "run", **QUICK)
