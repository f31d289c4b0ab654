"""The nodes of one weighted graph, under the shortest-path metric."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast, final

import numpy as np
import torch
from torch import Tensor

from wgankit.errors import DataError, ShapeError
from wgankit.space import MetricSpace, Points, batch_size, leaves, pairwise

if TYPE_CHECKING:
    import networkx as nx


@final
class GraphNodes(MetricSpace):
    """Nodes of a connected weighted graph; d(u, v) is the length of a shortest path.

    Points are node numbers, integer tensors `(B,)` with values in [0, n), or the one-hot rows
    `(B, n)` that a generator of nodes returns.  A critic is 1-Lipschitz if and only if
    |f(u) - f(v)| <= w(u, v) on every edge, so slopes are taken on edges of shortest paths: the
    discrete gradient penalty.

    Arguments:
        count: n, the number of nodes.
        edges: node numbers of the ends of each undirected edge, `(E, 2)`.
        weights: lengths > 0 of the edges, `(E,)`; 1 each by default.

    Raises:
        DataError: if lengths are not finite and positive, an edge has an unknown end, there are
            fewer than two nodes, or the graph is not connected (then W1 between laws with
            different masses on the components is infinite; use `components` and one space each).

    Memory grows with n^2: the tables of all distances and predecessors take 12 n^2 bytes.
    """

    def __init__(self, count: int, edges: Tensor, weights: Tensor | None = None) -> None:
        ends = torch.as_tensor(edges, dtype=torch.long).reshape(-1, 2)
        lengths = torch.ones(len(ends)) if weights is None else torch.as_tensor(weights)
        check_graph(count, ends, lengths)
        self.count = count
        self.edges = ends
        self.lengths = lengths.double()
        distances, previous = _shortest_paths(count, ends, self.lengths)
        apart = int(torch.isinf(distances[0]).sum())
        if apart:
            raise DataError(
                f"the graph is not connected: {apart} of {count} nodes cannot be reached from "
                "node 0, and transport between components would cost infinitely much; train one "
                "space for each: wgankit_graphs.components(graph)"
            )
        self.distances = distances.float()
        self.previous = previous
        self.neighbour = previous.roll(-1, 0).diagonal().clone()  # of v on the way from v + 1

    def to(self, device: torch.device | str) -> GraphNodes:
        """Move the tables to a device, where the points are."""
        for name in ("edges", "lengths", "distances", "previous", "neighbour"):
            setattr(self, name, getattr(self, name).to(device))
        return self

    def _table(self, name: str, like: Tensor) -> Tensor:
        if self.distances.device != like.device:
            self.to(like.device)
        return cast(Tensor, getattr(self, name))

    def _numbers(self, points: Points) -> Tensor:
        given = leaves(points)[0]
        if given.is_floating_point() and given.dim() == 2 and given.shape[1] == self.count:
            return given.argmax(1)
        if given.is_floating_point() or given.dim() != 1:
            raise ShapeError(
                f"points of GraphNodes are node numbers, integers of shape (B,), or one-hot rows "
                f"of shape (B, {self.count}); got shape {tuple(given.shape)} of {given.dtype}"
            )
        return given

    def distance(self, x: Points, y: Points) -> Tensor:
        """Return the lengths `(B,)` of shortest paths."""
        u, v = self._numbers(x), self._numbers(y)
        return self._table("distances", u)[u, v]

    def segment(self, x: Points, y: Points, t: Tensor) -> tuple[Points, Points]:
        """Return the edge `(u, v)` at fraction t of a shortest path from x to y.

        Where x = y it is an edge to a neighbour, so that the penalty never skips a point.
        """
        start, end = self._numbers(x), self._numbers(y)
        distances, previous = self._table("distances", start), self._table("previous", start)
        goal = distances[start, end] * t
        same = start == end
        far, near = end, torch.where(same, self.neighbour[end], previous[start, end])
        # Walk back from the end until the edge holds the point; the longest path bounds the walk,
        # and halving its length by doubling is not worth the memory of the jumps.
        for _ in range(self.longest):
            further = (distances[start, near] > goal) & ~same
            far = torch.where(further, near, far)
            near = torch.where(further, previous[start, near], near)
        return near, far

    @property
    def longest(self) -> int:
        """The number of edges on the longest of the shortest paths."""
        if not hasattr(self, "_longest"):
            self._longest = _most_edges(self.previous)
        return self._longest

    def random_edges(self, real: Points, fake: Points) -> tuple[Tensor, Tensor, Tensor]:
        """Take slopes on edges drawn uniformly: `Penalty(where=space.random_edges)`.

        On a small graph every edge can be watched; edges of shortest paths between real and
        generated nodes (`between`, the default) are the ones that matter on a large one.  Edges
        longer than the distance of their ends are implied by the others and stand for nothing:
        their slopes are taken on the shortest path instead.
        """
        ends = self._table("edges", leaves(real)[0])
        drawn = torch.randint(len(ends), (batch_size(real),), device=ends.device)
        chance = torch.rand(batch_size(real), device=ends.device)
        return ends[drawn, 0], ends[drawn, 1], chance

    def every_edge(self, real: Points, fake: Points) -> tuple[Tensor, Tensor, Tensor]:
        """Take the slope on every edge once: `Penalty(where=space.every_edge)`.

        Nothing is drawn, so a critic with a number for each node meets the optimum to machine
        precision.  For graphs whose edges all fit into one batch.
        """
        ends = self._table("edges", leaves(real)[0])
        return ends[:, 0], ends[:, 1], torch.full((len(ends),), 0.5, device=ends.device)

    def largest_edge_slope(self, critic: Any) -> Tensor:
        """Return the largest |f(u) - f(v)| / w(u, v) over all edges: the critic's constant."""
        ends = self._table("edges", self.edges)
        values = critic(torch.arange(self.count, device=ends.device))
        lengths = self._table("lengths", ends).to(values.dtype)
        slopes: Tensor = (values[ends[:, 0]] - values[ends[:, 1]]).abs() / lengths
        return slopes.amax()


@pairwise.register(GraphNodes)
def _table(space: GraphNodes, x: Points, y: Points, block: int = 65_536) -> Tensor:
    u, v = space._numbers(x), space._numbers(y)
    return space._table("distances", u)[u][:, v]


@final
class OneHotNodes:
    """Turns stored node numbers `(B,)` into one-hot rows `(B, n)`: a `prepare` for `train`."""

    def __init__(self, count: int) -> None:
        self.count = count

    def __call__(self, points: Points) -> Tensor:
        """Return one-hot rows."""
        return torch.nn.functional.one_hot(leaves(points)[0].long(), self.count).float()


def check_graph(count: int, ends: Tensor, lengths: Tensor) -> None:
    """Raise `DataError` unless edges `(E, 2)` and their lengths `(E,)` make a metric on n nodes."""
    if count < 2:
        raise DataError(f"a metric on nodes needs at least two nodes; the graph has {count}")
    if lengths.shape != (len(ends),):
        raise DataError(f"{len(ends)} edges need {len(ends)} lengths; got {tuple(lengths.shape)}")
    if len(ends) and not (int(ends.min()) >= 0 and int(ends.max()) < count):
        raise DataError(f"ends of edges are node numbers in [0, {count}); got {int(ends.max())}")
    bad = ~(torch.isfinite(lengths) & (lengths > 0))
    if bool(bad.any()):
        first = int(bad.nonzero()[0])
        raise DataError(
            f"lengths of edges are finite numbers > 0; edge {tuple(ends[first].tolist())} has "
            f"{float(lengths[first])} ({int(bad.sum())} such edges)"
        )


def _shortest_paths(count: int, ends: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import dijkstra

    loose = (ends[:, 0] != ends[:, 1]).numpy()
    low, high = ends.min(1).values.numpy()[loose], ends.max(1).values.numpy()[loose]
    # Parallel edges: the shortest one counts (a sparse matrix would add them up).
    order = np.lexsort((lengths.numpy()[loose], high, low))
    pairs = np.stack([low, high], 1)[order]
    first = np.ones(len(pairs), bool)
    first[1:] = (pairs[1:] != pairs[:-1]).any(1)
    kept = lengths.numpy()[loose][order][first]
    table = coo_matrix((kept, (pairs[first, 0], pairs[first, 1])), (count, count)).tocsr()
    distances, previous = dijkstra(table, directed=False, return_predecessors=True)
    return torch.from_numpy(distances), torch.from_numpy(previous.astype(np.int64))


def _most_edges(previous: Tensor) -> int:
    """Return the largest number of edges of the shortest paths that predecessors describe."""
    count = len(previous)
    start = torch.arange(count, device=previous.device).unsqueeze(1)
    place = torch.arange(count, device=previous.device).expand(count, count)
    steps = 0
    while bool((place != start).any()):
        back = previous.gather(1, place)
        place = torch.where(place == start, place, back)
        steps += 1
    return steps


def from_networkx(graph: nx.Graph, weight: str = "weight") -> GraphNodes:
    """Return the space of the nodes of a networkx graph, numbered in the order of `graph.nodes`.

    Arguments:
        graph: undirected; of parallel edges the shortest counts, self-loops change no distance.
        weight: edge attribute that holds lengths; edges without it have length 1.
    """
    if graph.is_directed():
        raise DataError(
            "distances in a directed graph are not symmetric, so they are no metric; "
            "pass graph.to_undirected()"
        )
    number = {node: index for index, node in enumerate(graph.nodes)}
    ends = [(number[u], number[v]) for u, v in graph.edges()]
    lengths = [1.0 if value is None else float(value) for *_, value in graph.edges(data=weight)]
    return GraphNodes(
        len(number),
        torch.tensor(ends, dtype=torch.long).reshape(-1, 2),
        torch.tensor(lengths, dtype=torch.float64),
    )


def from_pyg(data: Any, weight: str = "edge_weight") -> GraphNodes:
    """Return the space of the nodes of a torch-geometric `Data`, edges read as undirected.

    Arguments:
        data: with `edge_index` and, if lengths are not 1, the attribute named `weight`.
        weight: `edge_weight`, or `edge_attr` with one number for each edge.
    """
    ends = data.edge_index.t().cpu()
    lengths = data.get(weight) if weight in data else None
    if lengths is not None:
        lengths = lengths.reshape(-1).cpu().double()
    return GraphNodes(int(data.num_nodes), ends, lengths)


def components(graph: nx.Graph) -> list[nx.Graph]:
    """Return the connected components of a graph, largest first, each a graph of its own."""
    import networkx as nx

    parts = sorted(nx.connected_components(graph), key=len, reverse=True)
    return [graph.subgraph(part).copy() for part in parts]
