"""A generator's first lesson: the walk that numbers nodes, what is told, and what is learnt."""

import math

import networkx as nx
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import wgankit
from wgankit import SettingError
from wgankit import state as states
from wgankit.domain import LEARNT
from wgankit.errors import RunError
from wgankit.testing import check_steps
from wgankit_graphs import pretraining
from wgankit_graphs.encoding import encode_graphs
from wgankit_graphs.labelled import Graphs, one_hot, renumber
from wgankit_graphs.networks import GraphGenerator, GraphLatent
from wgankit_graphs.pretraining import (
    PRETRAINING,
    Encoder,
    Pretraining,
    Recall,
    Recalled,
    depth_first,
    pretrain,
    pretraining_from,
    surprise,
    walked,
)
from wgankit_graphs.recipe import LabelledGraphsDomain

QUICK = {
    "steps": 3,
    "batch": 8,
    "evaluate_on": 10,
    "device": "cpu",
    "progress": False,
    "model": {"width": 16, "layers": 1, "generator_layers": 1},
}
QUICKLY = {**PRETRAINING, "batch": 8, "width": 32, "rate": 3e-3}


def labelled_cycles(count=30):
    """Return cycles of 4 to 7 nodes, which are not named in the order in which they follow."""
    graphs = []
    for number in range(count):
        size = 4 + number % 4
        graph = nx.Graph()
        for node in [*range(0, size, 2), *range(1, size, 2)]:
            graph.add_node(node, label="ab"[number >> node & 1])
        graph.add_edges_from(nx.cycle_graph(size).edges, label="thin")
        graphs.append(graph)
    return graphs


def batch_of(*graphs, size=None):
    """Return stored labels of networkx graphs and how many labels there are."""
    encoded = encode_graphs(graphs, largest=size)
    known = encoded.vocabulary
    return encoded.points, (len(known["nodes"]) + 1, len(known["edges"]) + 1)


def recall_for(labels, kinds, *, noise=0.5, seed=0, **sizes):
    torch.manual_seed(seed)
    size = labels[0].shape[1]
    law = [0] * size + [1]
    latent = GraphLatent(law, size, per_node=2, per_graph=8)
    generator = GraphGenerator(*kinds, size, per_node=2, per_graph=8, width=16, layers=1, **sizes)
    return Recall(Encoder(*kinds, size, width=32, outputs=8), generator, latent, noise)


@st.composite
def numbered_twice(draw):
    """A graph whose nodes all have their own labels, and the same one numbered otherwise."""
    size = draw(st.integers(1, 8))
    seed = draw(st.integers(0, 10_000))
    graph = nx.gnp_random_graph(size, draw(st.floats(0, 1)), seed=seed)
    for node in graph:
        graph.nodes[node]["label"] = f"kind {node}"
    names = draw(st.permutations(range(size)))
    other = nx.Graph()
    other.add_nodes_from((node, graph.nodes[node]) for node in names)
    other.add_edges_from(graph.edges)
    return graph, other


@settings(deadline=None, max_examples=60)
@given(numbered_twice())
def test_a_walk_is_depth_first_and_the_same_whatever_the_numbering(two):
    labels, kinds = batch_of(*two)
    order = depth_first(one_hot(labels, *kinds))
    assert torch.equal(order.sort(1).values, torch.arange(order.shape[1]).expand_as(order))
    first, second = (tuple(part[row] for part in walked(labels, *kinds)) for row in (0, 1))
    for one, other in zip(first, second, strict=True):
        assert torch.equal(one, other)
    linked = first[1] > 0
    for place in range(1, order.shape[1]):
        # Each node is a neighbour of the latest one that has a neighbour left.
        latest = [one for one in range(place) if linked[one, place:].any()]
        assert not latest or linked[max(latest), place]


def test_nodes_that_are_nothing_come_last():
    small, large = nx.path_graph(2), nx.path_graph(5)
    for graph in (small, large):
        nx.set_node_attributes(graph, "a", "label")
    labels, kinds = batch_of(small, large)
    shuffled = torch.tensor([[4, 1, 2, 0, 3]] * 2)
    points = renumber(one_hot(labels, *kinds), shuffled)
    found = renumber(points, depth_first(points))
    assert found.nodes[0, :, 0].tolist() == [0, 0, 1, 1, 1]
    # A path is walked from one end to the other.
    ahead = found.edges[1, range(4), range(1, 5), 0]
    assert ahead.tolist() == [0, 0, 0, 0]


def test_a_walk_begins_outside_and_takes_side_chains_first():
    """Sums of distances by hand: 13 at an end of the chain, 11 at the side chain, 9 behind it."""
    graph = nx.path_graph(5)
    graph.add_edge(2, 5)
    graph.add_edge(6, 7)  # another part, which is smaller: all its nodes are further out
    nx.set_node_attributes(graph, "a", "label")
    chain = graph.subgraph(range(6)).copy()
    labels, kinds = batch_of(chain, graph)
    order = depth_first(one_hot(labels, *kinds))
    assert order[0, :6].tolist() == [0, 1, 2, 5, 3, 4]
    assert set(order[1, :2].tolist()) == {6, 7}
    assert order[1, 2:].tolist() == [0, 1, 2, 5, 3, 4]


def test_a_surprise_is_minus_the_logarithm_of_the_chance():
    shares = torch.tensor([[[0.5, 0.25, 0.25], [0.1, 0.9, 0.0]]])
    labels = torch.tensor([[[0.0, 1.0, 0.0], [0.0, 1.0, 0.0]]])
    assert surprise(shares, labels).item() == pytest.approx(math.log(4) - math.log(0.9))
    assert torch.isfinite(surprise(shares, torch.eye(3)[torch.tensor([[0, 2]])])).all()


def test_recall_is_the_surprise_of_nodes_and_of_pairs_counted_once():
    labels, kinds = batch_of(*labelled_cycles(6))
    recall = recall_for(labels, kinds).train()
    graphs = one_hot(labels, *kinds)
    torch.manual_seed(1)
    found = recall(graphs)
    torch.manual_seed(1)
    made = recall.generator(recall.told(graphs))
    nodes = (made.nodes * graphs.nodes).sum(-1).log().sum(1)
    # A pair of slots without nodes has no edge for certain, and the diagonal has none either.
    edges = (made.edges * graphs.edges).sum(-1).log().sum((1, 2)) / 2
    assert torch.allclose(found, -(nodes + edges), rtol=1e-4)


@pytest.mark.parametrize("noise", [0.0, 0.67])
def test_what_is_told_is_about_as_long_as_what_will_be_drawn(noise):
    """E |shared|^2 = n, as of normal vectors: (1 - s^2) n + s^2 n."""
    labels, kinds = batch_of(*labelled_cycles(8))
    recall = recall_for(labels, kinds, noise=noise)
    graphs = one_hot(labels, *kinds)
    many = Graphs(*(part.repeat(500, *[1] * (part.dim() - 1)) for part in graphs))
    own, shared, there, slots = recall.told(many)
    assert shared.square().sum(1).mean().item() == pytest.approx(8, rel=0.03)
    assert torch.equal(there, 1 - many.nodes[..., 0])
    assert own.shape == (4_000, 7, 2)
    assert torch.equal(slots[0], torch.arange(7))
    if not noise:
        assert torch.allclose(shared.norm(dim=1), torch.tensor(8.0).sqrt())


def test_a_generator_gives_back_what_it_was_taught():
    labels, kinds = batch_of(*labelled_cycles(8))
    labels = walked(labels, *kinds)
    recall = recall_for(labels, kinds, noise=0.1)
    before = recall(one_hot(labels, *kinds)).mean().item()
    pretrain(recall, labels, kinds, {**QUICKLY, "epochs": 400})
    recall.eval()
    graphs = one_hot(labels, *kinds)
    made = recall.generator(recall.told(graphs))
    assert before > 5
    for one, other in zip(made, graphs, strict=True):
        assert torch.equal(one.argmax(-1), other.argmax(-1))


def test_a_lesson_goes_on_where_it_was_stopped(tmp_path, monkeypatch):
    labels, kinds = batch_of(*labelled_cycles(12))
    chosen = {**QUICKLY, "epochs": 8}
    whole = pretrain(recall_for(labels, kinds), labels, kinds, chosen)

    class Killed(Exception):
        pass

    do = Pretraining.__next__

    def killed(lesson):
        if lesson.index == 7:
            raise Killed
        return do(lesson)

    monkeypatch.setattr(Pretraining, "__next__", killed)
    with pytest.raises(Killed):
        pretrain(recall_for(labels, kinds), labels, kinds, chosen, folder=tmp_path, save_every=0.0)
    monkeypatch.setattr(Pretraining, "__next__", do)
    steps = []
    monkeypatch.setattr(
        Pretraining, "__next__", lambda lesson: (steps.append(lesson.index), do(lesson))[1]
    )
    again = recall_for(labels, kinds, seed=5)
    found = pretrain(again, labels, kinds, chosen, folder=tmp_path)
    assert steps[0] == 7
    for name, one in whole.items():
        assert torch.equal(found[name], one)
    with pytest.raises(
        SettingError, match="pretraining was under way, is of other data, settings or seed"
    ):
        pretrain(recall_for(labels, kinds), labels, kinds, chosen, folder=tmp_path, seed=1)


def test_a_lesson_leaves_its_callers_random_numbers_alone():
    labels, kinds = batch_of(*labelled_cycles(8))
    recall = recall_for(labels, kinds)
    torch.manual_seed(3)
    wanted = torch.rand(4)
    torch.manual_seed(3)
    pretrain(recall, labels, kinds, {**QUICKLY, "epochs": 2})
    assert torch.equal(torch.rand(4), wanted)


def test_a_lesson_that_diverges_says_so(monkeypatch):
    labels, kinds = batch_of(*labelled_cycles(8))
    monkeypatch.setattr(pretraining, "CLIP", math.inf)
    with pytest.raises(RunError, match=r"--set model\.pretraining\.rate"):
        pretrain(recall_for(labels, kinds), labels, kinds, {**QUICKLY, "epochs": 50, "rate": 1e30})


def test_the_game_goes_on_with_the_lesson_and_the_encoder_learns_no_more():
    labels, kinds = batch_of(*labelled_cycles(8))
    recall = recall_for(labels, kinds)
    content = Recalled(recall, 0.25)
    graphs = one_hot(labels, *kinds)
    torch.manual_seed(2)
    value = content(None, graphs)
    torch.manual_seed(2)
    assert value.item() == pytest.approx(0.25 * recall(graphs).mean().item())
    value.backward()
    assert all(one.grad is None for one in recall.encoder.parameters())
    assert any(one.grad.abs().sum() > 0 for one in recall.generator.parameters())


LESSON = {"epochs": 3, "batch": 8, "width": 16, "recall": 0.1}


def test_runs_begin_with_what_was_taught(tmp_path):
    options = {**QUICK, "model": {**QUICK["model"], "pretraining": LESSON}}
    folder = tmp_path / "run"
    recipe = wgankit.recipe("graphs").fit(labelled_cycles(), out=folder, **options)
    assert not list(folder.glob("**/pretraining.pt"))
    again = wgankit.load(folder)
    taught = again.vocabulary[LEARNT]
    model = again.domain.build(again.vocabulary, again.config["settings"])
    assert isinstance(model.content, Recalled)
    assert model.content.weight == 0.1
    nodes, edges = states.load(folder / "data.pt")["points"]
    # Of cycles walked from some node on, each next one is a neighbour.
    assert torch.equal(edges.diagonal(1, 1, 2) > 0, nodes[:, 1:] > 0)
    for name, one in model.generator.state_dict().items():
        assert torch.equal(one, taught[f"generator.{name}"])
    drawn = recipe.sample(6, seed=1)
    for one, two in zip(drawn, again.sample(6, seed=1), strict=True):
        assert nx.utils.graphs_equal(one, two)
    recipe.fit(steps=6, device="cpu", progress=False)
    check_steps(recipe.training(device="cpu"))


@pytest.mark.parametrize(
    ("model", "said"),
    [
        ({"generator": "tree"}, "got generator 'tree': leave out"),
        ({"labels": "gumbel"}, "got labels 'gumbel': leave out"),
    ],
)
def test_a_lesson_is_for_one_generator(tmp_path, model, said):
    chosen = {**QUICK["model"], **model, "pretraining": {"epochs": 1}}
    with pytest.raises(SettingError, match=said):
        wgankit.recipe("graphs").fit(
            labelled_cycles(), out=tmp_path / "run", **{**QUICK, "model": chosen}
        )


def test_a_lesson_is_for_graphs_without_numbers(tmp_path):
    graphs = labelled_cycles()
    for graph in graphs:
        nx.set_node_attributes(graph, 0.5, "x")
    recipe = wgankit.Recipe(LabelledGraphsDomain(node_numbers=["x"]), "graphs")
    chosen = {**QUICK["model"], "pretraining": {"epochs": 1}}
    with pytest.raises(SettingError, match="got graphs with numbers: leave out"):
        recipe.fit(graphs, out=tmp_path / "run", **{**QUICK, "model": chosen})


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (3, "holds settings by name.*got 3"),
        ({"epoch": 3}, "no setting epoch; there are epochs"),
        ({"epochs": -1}, "epochs is a number >= 0; got -1"),
        ({"epochs": math.nan}, "epochs is a number >= 0; got nan"),
        ({"noise": 1.0}, r"noise is a number in \[0, 1\); got 1.0"),
        ({"batch": 0}, "batch is a whole number of at least 1; got 0"),
        ({"width": 2.5}, "width is a whole number of at least 1; got 2.5"),
        ({"rate": 0}, "rate is a number > 0"),
        ({"recall": 0.1}, "recall wants a lesson to go on with"),
    ],
)
def test_settings_that_cannot_work_are_refused(given, said):
    with pytest.raises(SettingError, match=said):
        pretraining_from(given)
