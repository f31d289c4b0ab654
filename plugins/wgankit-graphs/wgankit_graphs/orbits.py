"""How often each node sits in each place of each small subgraph: the 15 orbits of 2 to 4 nodes.

The counts are exact and come from closed formulas in the dense adjacency matrix: first the copies
of a graphlet as a subgraph, extra edges allowed, then, from the densest graphlet down, what denser
graphlets contribute is taken off, and the induced copies remain.
"""

from __future__ import annotations

from typing import Any, TypeAlias, cast

import numpy as np
from numpy.typing import NDArray

from wgankit.errors import DataError

Matrix: TypeAlias = NDArray[np.float64]

ORBITS = (
    "edge",
    "end of a path of 3",
    "middle of a path of 3",
    "triangle",
    "end of a path of 4",
    "middle of a path of 4",
    "leaf of a claw",
    "centre of a claw",
    "cycle of 4",
    "tail of a paw",
    "far corner of a paw",
    "centre of a paw",
    "degree 2 in a diamond",
    "degree 3 in a diamond",
    "complete graph on 4",
)
"""What orbit k of the 15 is, in the numbering of Przulj (2007) that ORCA (Hocevar and Demsar,
2014) uses."""

_PAIRS_AT_ONCE = 4_000_000
"""Entries of the (edges, nodes) blocks in which complete graphs are counted: bounds the memory."""


def orbit_counts(graph: Any) -> NDArray[np.int64]:
    """Return how often each node touches each of the 15 orbits of induced subgraphs of 2-4 nodes.

    Arguments:
        graph: an undirected networkx graph, or its adjacency matrix `(n, n)`, symmetric with zero
            diagonal; any entry that is not 0 is an edge.

    Returns:
        Counts `(n, 15)`, rows in the order of the graph's nodes, columns in that of `ORBITS`.

    Raises:
        DataError: the graph is directed or has self-loops.

    Memory is quadratic in the number of nodes; time is about edges times nodes squared.
    """
    adjacency = adjacency_matrix(graph)
    if not len(adjacency):
        return np.zeros((0, len(ORBITS)), dtype=np.int64)
    return np.rint(_induced(adjacency)).astype(np.int64)


def adjacency_matrix(graph: Any) -> Matrix:
    """Return the 0/1 adjacency matrix `(n, n)` of a networkx graph, or a checked copy of a matrix.

    Arguments:
        graph: an undirected networkx graph without self-loops (parallel edges count once), or a
            symmetric matrix with zero diagonal.

    Raises:
        DataError: the graph is directed, has self-loops, or is no graph.
    """
    matrix = _dense(graph) if hasattr(graph, "adj") else np.asarray(graph)
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1]:
        raise DataError(
            f"a graph or an adjacency matrix (n, n) is wanted; got {type(graph).__name__} "
            f"of shape {matrix.shape}"
        )
    edges = matrix != 0
    if edges.diagonal().any() or (edges != edges.T).any():
        raise DataError(
            "an undirected graph without self-loops is wanted; "
            "pass graph.to_undirected() with its self-loops removed"
        )
    return cast(Matrix, edges.astype(np.float64))


def _dense(graph: Any) -> NDArray[np.bool_]:
    index = {node: place for place, node in enumerate(graph)}
    matrix = np.zeros((len(index), len(index)), dtype=bool)
    ends = [(index[u], index[v]) for u, v in graph.edges()]
    if ends:
        u, v = np.array(ends).T
        matrix[u, v] = True
        if not graph.is_directed():
            matrix[v, u] = True
    return matrix


def _complete_fours(adjacency: Matrix) -> Matrix:
    """Return in how many complete graphs on 4 nodes each node sits, `(n,)`."""
    u, v = np.nonzero(np.triu(adjacency))
    rows = max(1, _PAIRS_AT_ONCE // len(adjacency))
    counts = np.zeros(len(adjacency))
    for start in range(0, len(u), rows):
        some = slice(start, start + rows)
        common = adjacency[u[some]] * adjacency[v[some]]
        fours = ((common @ adjacency) * common).sum(1) / 2
        np.add.at(counts, u[some], fours)
        np.add.at(counts, v[some], fours)
    return counts / 3  # three of a complete graph's edges meet in each of its nodes


def _induced(adjacency: Matrix) -> Matrix:
    """Return the 15 columns of induced counts."""
    degree = adjacency.sum(1)
    two_steps = adjacency @ adjacency
    on_edge = two_steps * adjacency  # triangles on each edge
    triangles = on_edge.sum(1) / 2
    other_pairs = two_steps - np.diag(degree)
    pairs = degree * (degree - 1) / 2

    # Copies as subgraphs, extra edges allowed, of the place that the name says.
    path3_end = adjacency @ (degree - 1)
    path4_end = other_pairs @ (degree - 1) - 2 * triangles
    path4_middle = (degree - 1) * path3_end - 2 * triangles
    claw_leaf = adjacency @ ((degree - 1) * (degree - 2)) / 2
    claw_centre = pairs * (degree - 2) / 3
    cycle4 = (other_pairs * (other_pairs - 1)).sum(1) / 2
    paw_tail = adjacency @ triangles - 2 * triangles
    paw_corner = on_edge @ (degree - 2)
    paw_centre = triangles * (degree - 2)
    diamond2 = ((adjacency @ (on_edge - adjacency)) * adjacency).sum(1) / 2
    diamond3 = (on_edge * (on_edge - 1)).sum(1) / 2

    # Induced copies: each line takes off what the graphlets with more edges contribute.
    o14 = _complete_fours(adjacency)
    o13 = diamond3 - 3 * o14
    o12 = diamond2 - 3 * o14
    o11 = paw_centre - 2 * o13 - 3 * o14
    o10 = paw_corner - 2 * o12 - 2 * o13 - 6 * o14
    o9 = paw_tail - 2 * o12 - 3 * o14
    o8 = cycle4 - o12 - o13 - 3 * o14
    o7 = claw_centre - o11 - o13 - o14
    o6 = claw_leaf - o9 - o10 - 2 * o12 - o13 - 3 * o14
    o5 = path4_middle - 2 * o8 - o10 - 2 * o11 - 2 * o12 - 4 * o13 - 6 * o14
    o4 = path4_end - 2 * o8 - 2 * o9 - o10 - 4 * o12 - 2 * o13 - 6 * o14
    small = [degree, path3_end - 2 * triangles, pairs - triangles, triangles]
    return np.stack([*small, o4, o5, o6, o7, o8, o9, o10, o11, o12, o13, o14], axis=1)
