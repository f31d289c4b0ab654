"""The recipe `graphs`: objects and files of every kind in, networkx graphs out."""

import networkx as nx
import pytest
import torch

import wgankit
from wgankit import DataError, SettingError
from wgankit.testing import check_plugin
from wgankit_graphs import to_data, write_graphs

QUICK = {
    "steps": 3,
    "batch": 8,
    "evaluate_on": 10,
    "device": "cpu",
    "progress": False,
    "model": {"width": 16, "layers": 1, "generator_layers": 1},
}


def labelled_cycles(count=30):
    graphs = []
    for number in range(count):
        graph = nx.cycle_graph(4 + number % 4)
        for node in graph:
            graph.nodes[node]["label"] = "ab"[node % 2]
        for u, v in graph.edges:
            graph[u][v]["label"] = "thick" if (u + v) % 3 else "thin"
        graphs.append(graph)
    return graphs


def test_plugin_is_light_and_its_factories_are_there():
    check_plugin("wgankit_graphs")


def test_networkx_graphs_in_networkx_graphs_out(tmp_path):
    recipe = wgankit.recipe("graphs").fit(labelled_cycles(), out=tmp_path / "run", **QUICK)
    drawn = recipe.sample(12, seed=1)
    assert all(isinstance(graph, nx.Graph) for graph in drawn)
    assert {len(graph) for graph in drawn} <= {4, 5, 6, 7}
    for graph in drawn:
        assert {kind for _, kind in graph.nodes(data="label")} <= {"a", "b"}
        assert {kind for *_, kind in graph.edges(data="label")} <= {"thick", "thin"}
    again = wgankit.load(tmp_path / "run").sample(12, seed=1)
    for one, two in zip(drawn, again):
        assert nx.utils.graphs_equal(one, two)
    assert recipe.evaluate(drawn)["mean_nodes"] == pytest.approx(sum(map(len, drawn)) / 12)


def test_sampling_between_two_sittings_changes_nothing(tmp_path):
    """A generator that returns hard labels in evaluation mode must not go on training in it."""
    settings = {**QUICK, "schedule": "constant"}
    recipe = wgankit.recipe("graphs").fit(labelled_cycles(), out=tmp_path / "a", **settings)
    recipe.sample(5)
    recipe.fit(steps=6, device="cpu", progress=False)
    whole = wgankit.recipe("graphs").fit(
        labelled_cycles(), out=tmp_path / "b", **{**settings, "steps": 6}
    )
    one, two = (
        torch.load(each.folder.last, weights_only=True)["training"]["generator"]
        for each in (recipe, whole)
    )
    assert all(torch.equal(one[name], two[name]) for name in one)


def test_data_objects_train_like_networkx_graphs(tmp_path):
    graphs = [nx.path_graph(3 + number % 3) for number in range(24)]
    plain = wgankit.recipe("graphs").fit(graphs, out=tmp_path / "a", **QUICK)
    objects = [to_data(graph) for graph in graphs]
    data = wgankit.recipe("graphs").fit(objects, out=tmp_path / "b", **QUICK)
    for part in ("training", "held_out"):
        for one, two in zip(plain.points(part), data.points(part)):
            assert (one == two).all()


@pytest.mark.parametrize("name", ["set.npz", "graphml"])
def test_files_train(tmp_path, name):
    write_graphs(labelled_cycles(), tmp_path / name)
    recipe = wgankit.recipe("graphs").fit(tmp_path / name, out=tmp_path / "run", **QUICK)
    assert recipe.config["objects"] == 30
    recipe.domain.write(recipe.sample(5), tmp_path / "new.npz")
    assert len(recipe.domain.read(tmp_path / "new.npz").objects) == 5


def test_what_no_simple_graph_can_be_is_counted(tmp_path):
    loop, double, directed, single = nx.cycle_graph(4), nx.MultiGraph(), nx.DiGraph(), nx.Graph()
    loop.add_edge(0, 0)
    double.add_edges_from([(0, 1), (0, 1)])
    directed.add_edge(0, 1)
    spoilt = nx.path_graph(3)
    nx.set_node_attributes(spoilt, float("nan"), "label")
    single.add_node(0)
    objects = [*(nx.path_graph(4) for _ in range(20)), loop, double, directed, spoilt, nx.Graph()]
    recipe = wgankit.recipe("graphs").fit([*objects, single], out=tmp_path / "run", **QUICK)
    assert sum(recipe.config["skipped"].values()) == 5
    assert recipe.config["objects"] == 21  # a graph of one node is a graph
    assert "5 of 26 graphs left out" in recipe.folder.report.read_text()


def test_bad_graphml_is_counted_by_reason(tmp_path):
    folder = tmp_path / "set"
    folder.mkdir()
    for number in range(20):
        nx.write_graphml(nx.path_graph(4), folder / f"{number:02}.graphml")
    loop, directed = nx.Graph([(0, 0), (0, 1)]), nx.DiGraph([(0, 1)])
    nx.write_graphml(loop, folder / "loop.graphml")
    nx.write_graphml(directed, folder / "directed.graphml")
    nx.write_graphml(nx.MultiGraph([(0, 1), (0, 1)]), folder / "multi.graphml")
    recipe = wgankit.recipe("graphs").fit(folder, out=tmp_path / "run", **QUICK)
    assert recipe.config["objects"] == 20
    assert sum(recipe.config["skipped"].values()) == 3
    assert len(recipe.config["skipped"]) == 3


@pytest.mark.parametrize(
    ("source", "settings", "error", "words"),
    [
        ([nx.DiGraph([(0, 1)])] * 20, {}, DataError, "directed"),
        ([nx.path_graph(3)] * 5, {}, DataError, "smaller batch"),
        ([nx.path_graph(30)] * 20, {"largest": 10}, DataError, "10"),
        ("community", {"model": {"depth": 3}}, SettingError, "no setting depth"),
        ("community", {"model": {"labels": "hard"}}, SettingError, "labels is one of"),
        ("community", {"model": {"blur": 0.9}}, SettingError, "blur"),
    ],
)
def test_bad_input_is_refused_before_anything_is_written(tmp_path, source, settings, error, words):
    with pytest.raises(error, match=words):
        wgankit.recipe("graphs").fit(source, out=tmp_path / "run", **{**QUICK, **settings})
    assert not (tmp_path / "run").exists()
