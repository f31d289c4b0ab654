"""All shortest paths of many small graphs at once."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from wgankit.errors import DataError, ShapeError

LARGEST_BATCHED = 256
"""Nodes up to which all graphs of a batch are solved at once on a processor.

Above it n searches through a sparse graph are faster there than n^3 sums of a dense table
(`python -m benchmarks.paths`).
"""

_CACHE = 2**17
"""Numbers of all tables that are worked on at once; beside as many sums they fill a megabyte, the
cache of a processor's core."""

_SHORT = 48
"""Nodes below which a row is too short for vector instructions, and graphs lie last instead."""


def all_distances(lengths: Tensor) -> Tensor:
    """Return the lengths of shortest paths between all nodes of each graph of a batch.

    Arguments:
        lengths: `(B, N, N)`, the length > 0 of the edge between two nodes, infinite where there is
            none; the diagonal is not looked at.  Not symmetric for directed graphs.

    Returns:
        `(B, N, N)`, of the same type and on the same device: 0 on the diagonal, infinite where
        there is no path.

    Raises:
        ShapeError: if it is no batch of square tables of real numbers.
        DataError: if a length is negative or NaN (on a processor, where looking costs little).

    Floyd and Warshall's method, one node after another for the whole batch: N steps that read no
    number from the device.  On a processor graphs above `LARGEST_BATCHED` nodes go to scipy.
    """
    if lengths.dim() != 3 or lengths.shape[1] != lengths.shape[2]:
        raise ShapeError(
            f"lengths of edges are a table for each graph, (B, N, N); got {tuple(lengths.shape)}"
        )
    if not lengths.is_floating_point():
        raise ShapeError(
            f"lengths of edges are real numbers; got {lengths.dtype}: lengths = "
            "torch.where(adjacency > 0, 1.0, torch.inf)"
        )
    found = lengths.clone()
    found.diagonal(dim1=1, dim2=2).zero_()
    if lengths.device.type == "cpu":
        if found.numel() and not bool(found.amin() >= 0):  # false of NaN, too
            raise DataError("lengths of edges are numbers >= 0, or infinite where there is no edge")
        if lengths.shape[1] > LARGEST_BATCHED:
            return _one_by_one(found)
    return batched_distances(found)


def batched_distances(found: Tensor) -> Tensor:
    """Shorten tables `(B, N, N)` by ways over each node in turn, in place, and return them."""
    size = found.shape[1]
    graphs = max(len(found), 1)
    if found.device.type == "cpu":  # as many at once as the processor's cache holds
        graphs = max(1, _CACHE // max(size**2, 1))
    for some in torch.split(found, graphs):
        turned = some.permute(1, 2, 0)
        turned = turned.contiguous() if size < _SHORT else turned
        over = torch.empty_like(turned)
        for node in range(size):
            torch.add(turned[:, node, None], turned[None, node], out=over)
            torch.minimum(turned, over, out=turned)
        some.copy_(turned.permute(2, 0, 1))
    return found


def _one_by_one(tables: Tensor) -> Tensor:
    from scipy.sparse import csr_matrix
    from scipy.sparse.csgraph import shortest_path

    solved = np.empty(tables.shape)
    for place, table in enumerate(tables.double().numpy()):
        rows, columns = np.nonzero(np.isfinite(table) & ~np.eye(len(table), dtype=bool))
        sparse = csr_matrix((table[rows, columns], (rows, columns)), table.shape)
        solved[place] = shortest_path(sparse, method="D")
    return torch.from_numpy(solved).to(tables.dtype)
