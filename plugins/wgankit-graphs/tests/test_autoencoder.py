"""Autoencoders of graphs: what is said of a graph, what is learnt, and where rounds lead."""

import math

import networkx as nx
import pytest
import torch

from wgankit import SettingError
from wgankit.errors import RunError
from wgankit.latent_networks import moved, onto_sphere
from wgankit_graphs import autoencoder as autoencoders
from wgankit_graphs.autoencoder import (
    AUTOENCODER,
    Learning,
    Refined,
    autoencoder_for,
    given_back,
    learn,
    likeliest_labels,
    points_of,
    settings_from,
    surprise,
)
from wgankit_graphs.encoding import encode_graphs
from wgankit_graphs.labelled import Graphs, one_hot
from wgankit_graphs.ordering import walked

QUICKLY = {
    **AUTOENCODER, "batch": 8, "latent": 8, "level": 0.1, "width": 32, "depth": 1, "rate": 3e-3,
}  # fmt: skip


def labelled_cycles(count=8):
    """Return walked labels of different cycles of 4 to 7 nodes, and how many labels there are."""
    graphs = []
    for number in range(count):
        size = 4 + number % 4
        graph = nx.cycle_graph(size)
        for node in graph:
            graph.nodes[node]["label"] = "ab"[number >> node & 1]
        graphs.append(graph)
    encoded = encode_graphs(graphs)
    known = encoded.vocabulary
    kinds = len(known["nodes"]) + 1, len(known["edges"]) + 1
    return walked(encoded.points, *kinds), kinds


def begun(labels, kinds, *, seed=0, **changes):
    torch.manual_seed(seed)
    return autoencoder_for(labels[0].shape[1], kinds, {**QUICKLY, **changes})


@pytest.fixture(scope="module")
def taught():
    """An autoencoder that has learnt eight cycles by heart, and these."""
    labels, kinds = labelled_cycles()
    autoencoder = begun(labels, kinds)
    learn(autoencoder, labels, kinds, {**QUICKLY, "steps": 400})
    return autoencoder, labels, kinds


def test_a_surprise_is_minus_the_logarithm_of_the_chance():
    logits = torch.tensor([[[0.5, 0.25, 0.25], [0.1, 0.8, 0.1]]]).log() + 3
    labels = torch.tensor([[[0.0, 1.0, 0.0], [0.0, 1.0, 0.0]]])
    assert surprise(logits, labels).item() == pytest.approx(math.log(4) - math.log(0.8))


def test_a_graph_surprises_by_its_nodes_and_by_its_pairs_counted_once():
    labels, kinds = labelled_cycles()
    autoencoder, graphs = begun(labels, kinds, level=0.5), one_hot(labels, *kinds)
    torch.manual_seed(1)
    found = autoencoder(graphs)
    torch.manual_seed(1)
    nodes, pairs = autoencoder.logits(moved(autoencoder.points(graphs), 0.5))
    size = labels[0].shape[1]
    both = torch.triu_indices(size, size, 1).T.tolist()
    for row in range(len(found)):
        wanted = 0.0
        for node, label in enumerate(labels[0][row].tolist()):
            wanted -= nodes[row, node].log_softmax(0)[label].item()
        for place, (a, b) in enumerate(both):
            wanted -= pairs[row, place].log_softmax(0)[int(labels[1][row, a, b])].item()
        assert found[row].item() == pytest.approx(wanted, rel=1e-5)


def test_points_are_as_long_as_normal_vectors_and_know_nothing_of_the_other_triangle():
    labels, kinds = labelled_cycles()
    autoencoder, graphs = begun(labels, kinds), one_hot(labels, *kinds)
    points = autoencoder.points(graphs)
    assert torch.allclose(points.norm(dim=1), torch.tensor(8.0).sqrt())
    upper = graphs.edges * torch.ones(7, 7).triu(1)[:, :, None]
    assert torch.equal(autoencoder.points(Graphs(graphs.nodes, upper)), points)


def test_what_is_learnt_comes_back_alike_for_both_directions(taught):
    autoencoder, labels, kinds = taught
    assert given_back(autoencoder, labels, kinds) == 1
    nodes, edges = likeliest_labels(autoencoder, points_of(autoencoder, labels, kinds))
    assert nodes.dtype == edges.dtype == torch.uint8
    assert torch.equal(edges, edges.mT)
    assert torch.equal(edges, labels[1].to(torch.uint8))
    # One label that is wrong is one graph that does not come back.
    wrong = labels[0].clone()
    wrong[0, 0] = 3 - wrong[0, 0]
    assert given_back(autoencoder, (wrong, labels[1]), kinds) == pytest.approx(7 / 8)


def test_single_nodes_are_graphs_too():
    graphs = [nx.empty_graph(1) for _ in range(4)]
    for number, graph in enumerate(graphs):
        graph.nodes[0]["label"] = "ab"[number % 2]
    encoded = encode_graphs(graphs)
    kinds = 3, len(encoded.vocabulary["edges"]) + 1
    autoencoder = begun(encoded.points, kinds)
    learn(autoencoder, encoded.points, kinds, {**QUICKLY, "steps": 200})
    assert given_back(autoencoder, encoded.points, kinds) == 1


def test_rounds_lead_to_what_was_learnt(taught):
    """Whatever point one begins at, decoding and encoding end at one of the eight graphs."""
    autoencoder, labels, kinds = taught
    known = points_of(autoencoder, labels, kinds)

    def shares(rounds):
        torch.manual_seed(2)
        refined = Refined(torch.nn.Identity(), autoencoder, rounds)
        points = refined(onto_sphere(torch.randn(400, 8)))
        nodes, edges = likeliest_labels(autoencoder, points)
        same = (nodes[:, None] == labels[0]).all(2) & (edges[:, None] == labels[1]).all(3).all(2)
        return same.any(1).float().mean().item(), torch.cdist(points, known).amin(1).mean().item()

    few, some, many = (shares(rounds) for rounds in (0, 2, 10))
    assert few[0] < some[0] <= many[0]
    assert few[1] > some[1] > many[1]
    assert many[0] > 0.9


def test_a_round_is_a_decoding_and_an_encoding(taught):
    autoencoder, *_ = taught
    points = onto_sphere(torch.randn(5, 8))
    nodes, pairs = (part.softmax(-1) for part in autoencoder.logits(points))
    size = nodes.shape[1]
    edges = torch.zeros(5, size, size, pairs.shape[-1])
    low, high = torch.triu_indices(size, size, 1)
    edges[:, low, high] = pairs
    wanted = autoencoder.points(Graphs(nodes, edges + edges.transpose(1, 2)))
    assert torch.allclose(autoencoder.again(points), wanted, atol=1e-6)
    twice = Refined(torch.nn.Identity(), autoencoder, 2)(points)
    assert torch.allclose(twice, autoencoder.again(wanted), atol=1e-5)


def test_a_refined_generator_learns_through_the_rounds_and_the_autoencoder_does_not(taught):
    autoencoder, *_ = taught
    generator = torch.nn.Linear(4, 8)
    Refined(generator, autoencoder, 2)(torch.randn(16, 4)).square()[:, 0].mean().backward()
    assert generator.weight.grad.abs().sum() > 0
    assert all(not one.requires_grad for one in autoencoder.parameters())


def test_a_state_without_the_autoencoder_leaves_it_as_it_is(taught):
    autoencoder, _, _ = taught
    refined = Refined(torch.nn.Linear(3, 8), autoencoder, 2)
    whole = torch.nn.ModuleDict({"inner": refined})
    before = {name: one.clone() for name, one in whole.state_dict().items()}
    weights = {"inner.generator.weight": torch.ones(8, 3), "inner.generator.bias": torch.zeros(8)}
    whole.load_state_dict(weights)
    for name, one in whole.state_dict().items():
        assert torch.equal(one, weights.get(name, before[name]))
    assert len(weights) == 2
    # One that has some of it must have all.
    some = next(name for name in before if name.startswith("inner.autoencoder."))
    with pytest.raises(RuntimeError, match=r"Missing key.*inner\.autoencoder\."):
        whole.load_state_dict({**weights, some: before[some]})


def test_an_autoencoder_goes_on_where_it_was_stopped(tmp_path, monkeypatch):
    labels, kinds = labelled_cycles()
    chosen = {**QUICKLY, "steps": 12}
    whole = begun(labels, kinds)
    learn(whole, labels, kinds, chosen)

    class Killed(Exception):
        pass

    do = Learning.__next__

    def killed(lesson):
        if lesson.index == 7:
            raise Killed
        return do(lesson)

    monkeypatch.setattr(Learning, "__next__", killed)
    with pytest.raises(Killed):
        learn(begun(labels, kinds), labels, kinds, chosen, folder=tmp_path, save_every=0.0)
    steps = []
    monkeypatch.setattr(
        Learning, "__next__", lambda lesson: (steps.append(lesson.index), do(lesson))[1]
    )
    again = begun(labels, kinds, seed=5)
    learn(again, labels, kinds, chosen, folder=tmp_path)
    assert steps[0] == 7
    for name, one in whole.state_dict().items():
        assert torch.equal(again.state_dict()[name], one)
    with pytest.raises(
        SettingError, match="autoencoder was under way, is of other data, settings or seed"
    ):
        learn(begun(labels, kinds), labels, kinds, chosen, folder=tmp_path, seed=1)


def test_learning_leaves_its_callers_random_numbers_alone():
    labels, kinds = labelled_cycles()
    autoencoder = begun(labels, kinds)
    torch.manual_seed(3)
    wanted = torch.rand(4)
    torch.manual_seed(3)
    learn(autoencoder, labels, kinds, {**QUICKLY, "steps": 2})
    assert torch.equal(torch.rand(4), wanted)


def test_an_autoencoder_that_diverges_says_so(monkeypatch):
    labels, kinds = labelled_cycles()
    monkeypatch.setattr(autoencoders, "CLIP", math.inf)
    with pytest.raises(RunError, match=r"--set model\.autoencoder\.rate"):
        learn(begun(labels, kinds), labels, kinds, {**QUICKLY, "steps": 50, "rate": 1e38})


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (3, "holds settings by name.*got 3"),
        ({"epochs": 3}, "no setting epochs; there are steps"),
        ({"steps": 0}, "steps is a whole number of at least 1; got 0"),
        ({"level": 0}, "level is a number > 0; got 0"),
        ({"level": math.nan}, "level is a number > 0; got nan"),
        ({"rate": math.inf}, "rate is a number > 0; got inf"),
        ({"batch": 0}, "batch is a whole number of at least 1; got 0"),
        ({"width": 2.5}, "width is a whole number of at least 1; got 2.5"),
        ({"latent": 1}, "latent is a whole number of at least 2; got 1"),
        ({"depth": -1}, "depth is a whole number of at least 0; got -1"),
    ],
)
def test_settings_that_cannot_work_are_refused(given, said):
    with pytest.raises(SettingError, match=said):
        settings_from(given)
