"""The penalty on rewired neighbours, one of the variants that are compared."""

import pytest
import torch
from torch.nn import functional

pytest.importorskip("rdkit")
pytest.importorskip("wgankit_molecules")

from benchmarks.variants import rewired
from wgankit_graphs import Graphs, LabelledGraphs

SIZES = (1, 2, 3, 4, 6, 9)


def some_graphs(copies: int) -> Graphs:
    """Return random labelled graphs of each of the sizes, in one-hot labels."""
    size = max(SIZES)
    number = torch.tensor(SIZES).repeat(copies)
    there = torch.arange(size) < number.unsqueeze(1)
    nodes = torch.randint(1, 3, there.shape) * there
    pairs = torch.randint(0, 3, (len(number), size, size)).triu(1)
    edges = (pairs + pairs.mT) * (there.unsqueeze(1) & there.unsqueeze(2))
    return Graphs(functional.one_hot(nodes, 3).float(), functional.one_hot(edges, 3).float())


def test_rewired_graphs_are_one_edge_away():
    torch.manual_seed(0)
    real = some_graphs(200)
    before, after, along = rewired(real, real)
    assert torch.equal(before.nodes, real.nodes)
    assert torch.equal(after.nodes, real.nodes)
    assert torch.equal(after.edges, after.edges.transpose(1, 2))
    assert torch.equal(before.edges, real.edges)
    # As many edges of each label, all of them between nodes that are there.
    assert torch.equal(after.edges.sum((1, 2)), real.edges.sum((1, 2)))
    there = 1 - real.nodes[..., 0]
    outside = 1 - there.unsqueeze(1) * there.unsqueeze(2)
    assert (after.edges[..., 1:].sum(-1) * outside).sum() == 0
    # Two labels are swapped, or nothing, since both were the same or there was no place.
    away = LabelledGraphs(p=1.0).distance(before, after)
    assert set(away.tolist()) == {0.0, 2.0}
    number = there.sum(1)
    assert (away[number < 4] == 0).all()
    assert 0.4 < (away[number == 9] == 2).float().mean() < 1
    assert ((along >= 0) & (along < 1)).all()


def test_half_of_the_rewired_graphs_are_real():
    torch.manual_seed(0)
    real = some_graphs(200)
    fake = Graphs(real.nodes, torch.zeros_like(real.edges))
    fake.edges[..., 0] = 1
    before, _, _ = rewired(real, fake)
    large = (1 - real.nodes[..., 0]).sum(1) == 9
    share = before.edges[large][..., 1:].sum((1, 2, 3)).gt(0).float().mean()
    assert 0.35 < share < 0.65
