"""The laws of spaces over the spaces of this package, and faults that they refuse."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from wgankit import Normed
from wgankit.funnels import Funnels
from wgankit.space import MetricSpace, SmoothSpace, safe_norm
from wgankit.testing import (
    check_funnels,
    check_metric_space,
    check_penalty_laws,
    check_smooth_space,
)
from wgankit_graphs import GraphNodes, LabelledGraphs
from wgankit_graphs.labelled import Graphs, one_hot


def network(nodes=30, chords=15):
    """A random tree with chords, lengths uniform in [1/2, 2]."""
    parents = [(node, int(torch.randint(node, ()))) for node in range(1, nodes)]
    more = torch.randint(nodes, (chords, 2))
    more = more[more[:, 0] != more[:, 1]]
    ends = torch.cat([torch.tensor(parents), more])
    return GraphNodes(nodes, ends, 0.5 + 1.5 * torch.rand(len(ends)))


def graphs(count, nodes=4, *, hard):
    above = torch.ones(nodes, nodes).triu(1).bool()
    if hard:
        half = torch.randint(3, (count, nodes, nodes)) * above
        return one_hot((torch.randint(3, (count, nodes)), half + half.mT), 3, 3)
    half = torch.randn(count, nodes, nodes, 3).softmax(-1) * above.unsqueeze(-1)
    nothing = torch.eye(nodes)[..., None] * torch.tensor([1.0, 0, 0])
    return Graphs(torch.randn(count, nodes, 3).softmax(-1), half + half.transpose(1, 2) + nothing)


@given(seed=st.integers(0, 10_000))
@settings(deadline=None, max_examples=5)
def test_nodes_keep_every_law(seed):
    torch.manual_seed(seed)
    space, points = network(), torch.randperm(30)[:12]
    check_metric_space(space, points, tolerance=1e-6)
    check_penalty_laws(space, points)
    check_funnels(space, torch.randperm(30), limit=30, tolerance=1e-6)


@pytest.mark.parametrize("hard", [True, False])
@given(seed=st.integers(0, 10_000), p=st.sampled_from([1.0, 2.0]))
@settings(deadline=None, max_examples=4)
def test_labelled_graphs_keep_every_law(hard, seed, p):
    torch.manual_seed(seed)
    space, points = LabelledGraphs(1.5, 0.7, p=p), graphs(10, hard=hard)
    check_metric_space(space, points)
    check_penalty_laws(space, points)
    check_funnels(space, points)
    check_smooth_space(space, points)


def test_funnels_on_nodes_move_along_edges():
    """On the path 0 - 1 - ... - 9 with an anchor at 0, half the way from 6 is 3 or 4."""
    path = GraphNodes(10, torch.stack([torch.arange(9), torch.arange(1, 10)], 1))
    funnels = Funnels(path, torch.tensor([0]))
    assert funnels.toward(torch.tensor([6, 1, 0]), 0.45).tolist() == [3, 0, 0]
    assert funnels.problem(torch.tensor([6, 1, 0]), 0.45).w1 == pytest.approx(4 / 3)


# Faults ---------------------------------------------------------------------------------------


def faulty(space, **changed):
    smooth = isinstance(space, SmoothSpace)
    names = ("distance", "interpolate", "dual_norm") if smooth else ("distance", "segment")
    methods = {name: getattr(space, name) for name in names} | changed
    kind = SmoothSpace if smooth else MetricSpace
    return type("Faulty", (kind,), {name: staticmethod(f) for name, f in methods.items()})()


def steps(space):
    """Counts edges and forgets how long they are."""
    unit = GraphNodes(space.count, space.edges)
    return faulty(space, slope=unit.slope)


def any_edge(space):
    """Edges that lie somewhere."""

    def segment(x, y, t):
        drawn = torch.randint(len(space.edges), (len(x),))
        return space.edges[drawn, 0], space.edges[drawn, 1]

    return faulty(space, segment=segment)


def long_way(space):
    """An edge's own length where a way around is shorter."""
    table = space.distances.clone()
    u, v = space.edges.T
    table[u, v] = 3 * space.lengths.float()
    table = torch.maximum(table, table.T)
    return faulty(space, distance=lambda x, y: table[x, y] * (x != y))


@pytest.mark.parametrize(
    ("spoil", "law"),
    [
        (steps, r"slope of d\(., x0\) is at most 1"),
        (any_edge, "on a shortest path"),
        (long_way, "triangle inequality"),
    ],
)
def test_faults_on_nodes_are_refused(spoil, law):
    torch.manual_seed(0)
    with pytest.raises(AssertionError, match="law broken: .*" + law):
        check_metric_space(spoil(network()), torch.arange(16))


def test_funnels_refuse_edges_that_lie_somewhere():
    torch.manual_seed(0)
    with pytest.raises(AssertionError, match=r"law broken: .* is how far they moved"):
        check_funnels(any_edge(network()), torch.arange(24))


RIGHT = LabelledGraphs()


def one_entry(x, gradient):
    """Forgets that both entries of a pair move together."""
    return RIGHT.dual_norm(x, Graphs(gradient[0], gradient[1] / 2))


def euclidean(x, gradient):
    flat = torch.cat([part.flatten(1) for part in gradient], 1)
    return safe_norm(flat)


@pytest.mark.parametrize(
    ("dual_norm", "check", "law"),
    [
        (one_entry, check_metric_space, "reaches 3"),
        (one_entry, check_funnels, "is 1 on the way to the active anchor"),
        (euclidean, check_metric_space, r"slope of d\(., x0\) is at most 1"),
        (euclidean, check_penalty_laws, r"the penalty of d\(., x0\) is 0"),
    ],
)
def test_wrong_slopes_of_labelled_graphs_are_refused(dual_norm, check, law):
    torch.manual_seed(0)
    space = faulty(RIGHT, dual_norm=dual_norm)
    with pytest.raises(AssertionError, match="law broken: .*" + law):
        check(space, edges_only(12))


def edges_only(count):
    """Graphs that differ in their edges alone."""
    given = graphs(count, hard=False)
    return Graphs(given.nodes[:1].expand_as(given.nodes).contiguous(), given.edges)


def test_the_euclidean_norm_of_labels_is_another_metric():
    """The gradient penalty that everybody uses asks for a slope that labels do not have."""
    x, y = (graphs(1, hard=True) for _ in range(2))
    flat = [torch.cat([part.flatten(1) for part in points], 1) for points in (x, y)]
    assert not torch.isclose(RIGHT.distance(x, y), Normed().distance(*flat))
