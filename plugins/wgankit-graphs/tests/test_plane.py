"""Graphs in a plane: angles, Delaunay's theorem, drawings, places and rules that are learnt."""

import itertools
import math

import networkx as nx
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial import ConvexHull, Delaunay

import wgankit
from wgankit.errors import SettingError
from wgankit_graphs import PairLatent
from wgankit_graphs.places import Placing, drawing, learn_rule, spread
from wgankit_graphs.plane import AngleRule, PlaneGenerator, widest_angles


def triangulation(places):
    """The graph of Delaunay's triangulation."""
    graph = nx.empty_graph(len(places))
    for triangle in Delaunay(np.asarray(places, dtype=float)).simplices:
        nx.add_cycle(graph, map(int, triangle))
    return graph


def tables(graphs):
    return torch.stack([torch.tensor(nx.to_numpy_array(graph)).float() for graph in graphs])


def exact_rule():
    """The rule that joins a pair where p + q < pi, which is Delaunay's."""
    rule = AngleRule()
    with torch.no_grad():
        for parameter in rule.parameters():
            parameter.zero_()
        # silu(x) - silu(-x) = x, so two of the hidden numbers carry 4 (p + q - pi).
        first, second, last = rule.judge[0][0], rule.judge[0][2], rule.judge[2]
        first.weight[:2, 0] = torch.tensor([1.0, -1.0])
        second.weight[:2, :2] = torch.tensor([[1.0, -1.0], [-1.0, 1.0]])
        last.weight[0, 0], last.weight[0, 1] = -0.25, 0.25
    return rule


def rotated(places, turn):
    way = torch.tensor([[math.cos(turn), -math.sin(turn)], [math.sin(turn), math.cos(turn)]])
    return places @ way.to(places.dtype)


@settings(max_examples=20, deadline=None)
@given(st.integers(4, 20), st.integers(0, 10_000))
def test_a_pair_is_an_edge_of_delaunays_triangulation_where_its_angles_sum_to_less_than_pi(n, seed):
    """Delaunay's criterion, for all pairs: from other nodes than its triangles' angles are less."""
    places = torch.rand(1, n, 2, generator=torch.Generator().manual_seed(seed)).double()
    low, high = torch.triu_indices(n, n, 1)
    batch, there = torch.zeros_like(low), torch.ones(1, n).double()
    left, right = widest_angles(places, there, batch, low, high)
    wanted = tables([triangulation(places[0])])[0, low, high] > 0
    # The small number that keeps slopes finite moves angles that are next to pi.
    clear = (left + right - math.pi).abs() > 1e-3
    assert torch.equal((left + right < math.pi)[clear], wanted[clear])


@pytest.mark.parametrize("seed", range(3))
def test_angles_are_the_widest_from_each_side(seed):
    torch.manual_seed(seed)
    places, there = torch.randn(2, 9, 2).double(), torch.ones(2, 9).double()
    there[1, 6:] = 0
    for graph, low, high in itertools.product(range(2), range(6), range(6)):
        if low == high:
            continue
        seen = {1: [0.0], -1: [0.0]}
        for other in range(9):
            if other in (low, high) or not there[graph, other]:
                continue
            one = places[graph, other] - places[graph, low]
            two = places[graph, other] - places[graph, high]
            cosine = float(one @ two / (one.norm() * two.norm()))
            side = 1 if float(one[0] * two[1] - one[1] * two[0]) > 0 else -1
            seen[side].append(math.acos(cosine))
        told = widest_angles(places, there, *(torch.tensor([k]) for k in (graph, low, high)))
        assert [float(one) for one in told] == pytest.approx(
            [max(seen[1]), max(seen[-1])], abs=1e-4
        )


def test_a_rule_is_told_four_times_the_sum_less_pi_and_half_the_difference():
    rule, told = exact_rule(), []
    rule.judge.register_forward_pre_hook(lambda _, given: told.append(given[0]))
    logits = rule.of_angles(torch.tensor([[2.0, 1.0], [0.5, 3.0]]))
    sums = torch.tensor([3.0, 3.5]) - math.pi
    assert torch.allclose(told[0], torch.stack([4 * sums, torch.tensor([0.5, 1.25])], -1))
    assert torch.allclose(logits, -sums)


def test_angles_of_many_pairs_are_compared_part_by_part(monkeypatch):
    torch.manual_seed(0)
    places, there = torch.randn(2, 8, 2), torch.ones(2, 8)
    rule = AngleRule()
    whole = rule(places, there)
    monkeypatch.setattr("wgankit_graphs.plane.PART", 24)
    assert torch.equal(rule(places, there), whole)


@pytest.mark.parametrize("change", ["turned", "mirrored", "moved", "larger", "renumbered"])
def test_a_rule_sees_the_plane_without_directions_or_size(change):
    torch.manual_seed(1)
    rule = AngleRule().double()
    places, there = torch.randn(3, 10, 2).double(), torch.ones(3, 10).double()
    there[0, 7:] = 0
    order = torch.randperm(10)
    other = {
        "turned": rotated(places, 0.7),
        "mirrored": places * torch.tensor([-1.0, 1.0]),
        "moved": places + 3,
        "larger": 5 * places,
        "renumbered": places[:, order],
    }[change]
    wanted, real = rule(places, there), there.unsqueeze(1) * there.unsqueeze(2) > 0
    if change == "renumbered":
        wanted, there, real = (
            wanted[:, order][:, :, order], there[:, order], real[:, order][:, :, order]
        )  # fmt: skip
    seen = rule(other, there)
    assert torch.allclose(seen[real], wanted[real], atol=1e-4)
    assert torch.equal(seen, seen.transpose(1, 2))


def test_nodes_that_are_not_there_change_nothing():
    torch.manual_seed(2)
    rule = AngleRule()
    places, there = torch.randn(2, 9, 2), torch.ones(2, 9)
    there[:, 6:] = 0
    alone = rule(places[:, :6], torch.ones(2, 6))
    assert torch.allclose(rule(places, there)[:, :6, :6], alone, atol=1e-6)


def test_the_generator_makes_delaunays_graphs_by_his_rule_and_fewer_edges_above_a_threshold():
    torch.manual_seed(3)
    latent = PairLatent([0.0] * 20 + [1.0], 20, 2, 1).sample(8, "cpu")
    generator = PlaneGenerator(2, 2, rule=exact_rule().state_dict())
    made = generator(latent).edges[..., 1].detach()
    places = generator.places(latent).detach()
    assert torch.equal(made.round(), tables([triangulation(one) for one in places]))
    with torch.no_grad():
        generator.threshold.fill_(0.05)
    fewer = generator(latent).edges[..., 1].detach().round()
    assert fewer.sum() < made.sum()
    assert (fewer <= made.round()).all()


def test_pairs_that_are_seen_from_one_side_have_a_threshold_of_their_own():
    """They are the edges of the convex hull."""
    torch.manual_seed(6)
    latent = PairLatent([0.0] * 20 + [1.0], 20, 2, 1).sample(8, "cpu")
    generator = PlaneGenerator(2, 2, rule=exact_rule().state_dict())
    places = generator.places(latent).detach()
    hulls = torch.zeros(8, 20, 20)
    for table, one in zip(hulls, places, strict=True):
        for low, high in ConvexHull(one.numpy()).simplices:
            table[low, high] = table[high, low] = 1
    whole = tables([triangulation(one) for one in places])
    for index, wanted in ((0, hulls), (1, whole - hulls)):
        with torch.no_grad():
            generator.threshold.zero_()
            generator.threshold[index] = 1.0
        assert torch.equal(generator(latent).edges[..., 1].detach().round(), wanted)


def test_generated_graphs_are_graphs_and_slopes_reach_places_and_threshold_only():
    torch.manual_seed(4)
    latent = PairLatent([0.0] * 6 + [1.0, 0.0, 0.0, 1.0], 9, 2, 1).sample(16, "cpu")
    generator = PlaneGenerator(2, 2)
    nodes, edges = generator(latent)
    there = latent[2]
    assert torch.equal(nodes[..., 1], there)
    bonds = edges[..., 1]
    assert torch.allclose(bonds, bonds.transpose(1, 2))
    assert torch.equal(bonds.detach(), bonds.detach().round())
    assert bonds.diagonal(dim1=1, dim2=2).abs().max() == 0
    assert (bonds * (1 - there).unsqueeze(1)).abs().max() == 0
    (bonds * torch.randn_like(bonds)).sum().backward()
    assert generator.threshold.grad.abs().min() > 0
    assert all(one.grad.abs().max() > 0 for one in generator.move.parameters())
    assert all(one.grad is None for one in generator.rule.parameters())


def test_labels_that_a_plane_has_not_are_refused():
    with pytest.raises(SettingError, match=r"one kind of nodes.*3 and 1.*another generator"):
        PlaneGenerator(4, 2)
    graph = nx.cycle_graph(5)
    nx.set_edge_attributes(graph, {edge: str(edge[0]) for edge in graph.edges}, "label")
    with pytest.raises(SettingError, match="the data has 1 and"):
        wgankit.recipe("graphs").fit(
            [graph] * 8, batch=4, progress=False, model={"generator": "plane"}
        )


def crossings(graph, places):
    """How many pairs of edges without a common node cross."""

    def side(a, b, c):
        return np.sign(np.cross(places[b] - places[a], places[c] - places[a]))

    return sum(
        side(*e, f[0]) != side(*e, f[1]) and side(*f, e[0]) != side(*f, e[1])
        for e, f in itertools.combinations(graph.edges, 2)
        if not set(e) & set(f)
    )


@pytest.mark.parametrize("seed", range(3))
def test_planar_graphs_are_drawn_without_crossings(seed):
    """Tutte's theorem: triangulations whose rim has no chord are."""
    places = np.random.default_rng(seed).random((30, 2))
    graph = triangulation(np.concatenate([places, [[-9, -9], [9, -9], [0, 9]]]))
    assert nx.is_planar(graph)
    assert crossings(graph, drawing(graph)) == 0


@pytest.mark.parametrize(
    "graph",
    [
        nx.complete_graph(5),
        nx.petersen_graph(),
        nx.path_graph(3),
        nx.empty_graph(1),
        nx.disjoint_union(nx.cycle_graph(4), nx.path_graph(3)),
        nx.star_graph(6),
        nx.cycle_graph(7),
    ],
)
def test_every_graph_has_places(graph):
    places = drawing(graph)
    assert places.shape == (len(graph), 2)
    assert np.isfinite(places).all()


def test_a_path_is_laid_out_by_its_lengths():
    places = drawing(nx.path_graph(3))
    apart = np.linalg.norm(places[:, None] - places[None], axis=-1)
    assert apart == pytest.approx(np.array([[0, 1, 2], [1, 0, 1], [2, 1, 0]]), abs=1e-6)


def test_the_rim_of_a_triangulation_is_laid_on_the_circle():
    places = np.random.default_rng(7).random((30, 2))
    rim = set(map(int, Delaunay(places).convex_hull.flatten()))
    far = np.linalg.norm(drawing(triangulation(places)), axis=1)
    assert len(rim) > 3
    assert {node for node, radius in enumerate(far) if radius > 1 - 1e-9} == rim


def test_spread_places_have_mean_0_and_mean_square_1_and_padding_is_at_0():
    torch.manual_seed(5)
    there = torch.tensor([[1.0] * 8, [1.0] * 5 + [0.0] * 3])
    seen = spread(3 * torch.randn(2, 8, 2) + 7, there)
    for one, nodes in zip(seen, there, strict=True):
        real = one[nodes > 0]
        assert real.mean(0).abs().max() < 1e-5
        assert float(real.square().mean()) == pytest.approx(1, abs=1e-5)
    assert seen[1, 5:].abs().max() == 0


def some_graphs(count=12, size=14):
    source = np.random.default_rng(0)
    return tables([triangulation(source.random((size, 2))) for _ in range(count)])


def lesson(steps):
    graphs = some_graphs()
    torch.manual_seed(0)
    there = torch.ones(len(graphs), graphs.shape[1])
    begin = torch.stack(
        [torch.from_numpy(drawing(nx.from_numpy_array(one.numpy()))).float() for one in graphs]
    )
    return Placing(
        AngleRule(), graphs, there, begin, steps=steps, seed=0, device=torch.device("cpu")
    )


def test_a_lesson_goes_on_as_if_it_had_not_stopped():
    whole, first, second = lesson(8), lesson(8), lesson(8)
    losses = [float(loss) for loss in whole]
    seen = [float(next(first)) for _ in range(3)]
    second.load_state_dict(first.state_dict())
    seen += [float(loss) for loss in second]
    assert seen == losses
    assert torch.equal(second.places, whole.places)


def test_a_lesson_moves_places_only_of_its_batch_and_keeps_them_spread():
    under_way = lesson(4)
    before = under_way.places.clone()
    next(under_way)
    assert torch.allclose(under_way.places, spread(under_way.places, under_way.there), atol=1e-5)
    assert not torch.equal(before, under_way.places)


def test_langevin_dynamics_cool_by_the_same_factor_in_each_step(monkeypatch):
    under_way, sizes = lesson(8), []
    monkeypatch.setattr(under_way, "_step", lambda _, size: sizes.append(size) or torch.zeros(()))
    list(under_way)
    assert sizes[0] == pytest.approx(2e-4)
    factors = [b / a for a, b in itertools.pairwise(sizes)]
    assert factors == pytest.approx([0.01 ** (1 / 8)] * 7)


def test_places_go_down_the_slope_of_the_loss(monkeypatch):
    """Without their noise, and with steps too short to pass the valley."""
    under_way = lesson(4)
    under_way.rule = exact_rule()
    some = torch.arange(12)
    monkeypatch.setattr("wgankit_graphs.places.SHARE", 1.0)
    monkeypatch.setattr("torch.randn_like", torch.zeros_like)

    @torch.no_grad()
    def loss():
        return float(under_way._loss(under_way.places, under_way.adjacency, under_way.there))

    before = loss()
    under_way._step(some, 1e-4)
    assert loss() < before - 1e-3


def test_looking_at_some_pairs_tells_the_loss_of_all():
    """Its mean over draws is cross entropy summed over all pairs."""
    under_way = lesson(1)
    torch.manual_seed(0)
    places = torch.randn(12, 40, 2)
    graphs, there = (torch.rand(12, 40, 40) < 0.1).float().triu(1), torch.ones(12, 40)
    graphs = graphs + graphs.transpose(1, 2)
    with torch.no_grad():
        drawn = torch.stack([under_way._loss(places, graphs, there) for _ in range(200)])
        logits = under_way.rule(places, there)
    low, high = torch.triu_indices(40, 40, 1)
    whole = torch.nn.functional.binary_cross_entropy_with_logits(
        logits[:, low, high], graphs[:, low, high], reduction="sum"
    )
    error = float(drawn.std()) / math.sqrt(len(drawn))
    assert float(drawn.mean()) == pytest.approx(float(whole), abs=4 * error)
    assert error < 0.01 * float(whole)


def test_a_rule_that_is_learnt_joins_pairs_as_delaunay_does():
    """Taught by graphs without places, and asked about new places."""
    graphs = some_graphs(48, 20)
    rule = learn_rule(graphs, torch.ones(48, 20), steps=300)
    places = torch.rand(24, 20, 2, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        made = (rule(places, torch.ones(24, 20)) > 0).float()
    wanted = tables([triangulation(one) for one in places])
    wrong = (made - wanted).abs().sum() / wanted.sum()
    # Joining by distance alone, as many pairs, is wrong in more than a third.
    nearest = torch.cdist(places, places) + 9 * torch.eye(20)
    least = nearest.flatten(1).sort(1).values.gather(1, wanted.sum((1, 2)).long().view(-1, 1) - 1)
    by_distance = ((nearest <= least.unsqueeze(-1)).float() - wanted).abs().sum() / wanted.sum()
    assert by_distance > 1 / 3
    assert wrong < by_distance / 2


def test_the_recipe_learns_a_plane_and_samples_from_what_it_kept(tmp_path):
    graphs = [nx.from_numpy_array(one.numpy()) for one in some_graphs(16, 10)]
    recipe = wgankit.recipe("graphs").fit(
        graphs, out=tmp_path / "run", steps=2, batch=4, device="cpu", progress=False,
        evaluate_on=4, model={"generator": "plane", "places_steps": 20, "width": 8},
    )  # fmt: skip
    made = recipe.sample(5, seed=1, device="cpu", workers=0)
    again = wgankit.load(tmp_path / "run").sample(5, seed=1, device="cpu", workers=0)
    assert [len(graph) for graph in made] == [10] * 5
    assert [sorted(graph.edges) for graph in made] == [sorted(graph.edges) for graph in again]


def test_the_game_begins_with_the_rule_that_was_learnt(tmp_path, monkeypatch):
    taught = exact_rule()
    monkeypatch.setattr("wgankit_graphs.places.learn_rule", lambda *_, **__: taught)
    graphs = [nx.from_numpy_array(one.numpy()) for one in some_graphs(8, 8)]
    recipe = wgankit.recipe("graphs").fit(
        graphs, out=tmp_path / "run", steps=1, batch=4, device="cpu", progress=False,
        evaluate_on=4, model={"generator": "plane", "width": 8},
    )  # fmt: skip
    kept = recipe.generator("cpu").rule.state_dict()
    assert all(torch.equal(kept[name], one) for name, one in taught.state_dict().items())
