"""Shortest paths of many graphs against networkx and scipy."""

import networkx as nx
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse.csgraph import shortest_path

from wgankit import DataError, ShapeError
from wgankit_graphs import all_distances
from wgankit_graphs.paths import LARGEST_BATCHED


def random_lengths(batch, size, share, seed, *, directed=False):
    source = torch.Generator().manual_seed(seed)
    lengths = torch.rand(batch, size, size, generator=source, dtype=torch.float64) + 0.01
    lengths[torch.rand(batch, size, size, generator=source) > share] = torch.inf
    if not directed:
        lengths = torch.minimum(lengths, lengths.transpose(1, 2))
    return lengths


@given(
    size=st.integers(1, 12),
    share=st.floats(0.0, 0.6),
    seed=st.integers(0, 10_000),
    directed=st.booleans(),
)
@settings(deadline=None, max_examples=30)
def test_small_graphs_agree_with_networkx(size, share, seed, directed):
    lengths = random_lengths(3, size, share, seed, directed=directed)
    found = all_distances(lengths)
    for table, distances in zip(lengths, found):
        graph = nx.DiGraph()
        graph.add_nodes_from(range(size))
        graph.add_weighted_edges_from(
            (i, j, table[i, j].item())
            for i in range(size)
            for j in range(size)
            if i != j and table[i, j] < torch.inf
        )
        wanted = torch.full((size, size), torch.inf, dtype=torch.float64)
        for source, reached in nx.all_pairs_dijkstra_path_length(graph):
            for target, length in reached.items():
                wanted[source, target] = length
        assert torch.allclose(distances, wanted, rtol=1e-12)


@pytest.mark.parametrize("share", [0.02, 0.5])
@pytest.mark.parametrize("size", [LARGEST_BATCHED, LARGEST_BATCHED + 1])
def test_large_graphs_agree_with_scipy(size, share):
    lengths = random_lengths(2, size, share, size)
    found = all_distances(lengths)
    for table, distances in zip(lengths.numpy(), found.numpy()):
        table = np.where(np.isfinite(table) & ~np.eye(size, dtype=bool), table, 0.0)
        wanted = shortest_path(table, method="D")
        assert np.array_equal(np.isinf(distances), np.isinf(wanted))
        assert np.allclose(distances, wanted, rtol=1e-12)


def test_what_is_given_stays_and_types_are_kept():
    lengths = random_lengths(2, 5, 0.5, 0).float()
    before = lengths.clone()
    found = all_distances(lengths)
    assert torch.equal(lengths, before)
    assert found.dtype == torch.float32
    assert not found.diagonal(dim1=1, dim2=2).any()
    assert all_distances(torch.zeros(0, 4, 4)).shape == (0, 4, 4)


def test_what_are_no_lengths_is_refused():
    with pytest.raises(ShapeError, match="table for each graph"):
        all_distances(torch.ones(3, 4))
    with pytest.raises(ShapeError, match=r"torch\.where"):
        all_distances(torch.ones(1, 3, 3, dtype=torch.long))
    with pytest.raises(DataError, match=">= 0"):
        all_distances(torch.tensor([[[0.0, -1.0], [1.0, 0.0]]]))
    with pytest.raises(DataError, match=">= 0"):
        all_distances(torch.tensor([[[0.0, torch.nan], [1.0, 0.0]]]))
