"""Labelled graphs whose nodes and edges carry real numbers, and the distance between them."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, final

import torch
from torch import Tensor

from wgankit.errors import SettingError, ShapeError
from wgankit.space import (
    MetricSpace,
    Points,
    SmoothSpace,
    conjugate,
    leaves,
    pairwise,
    safe_norm,
    straight,
)
from wgankit_graphs.labelled import (
    Graphs,
    LabelledGraphs,
    canonical_places,
    harden,
    one_hot,
    pairs,
    renumber,
)


class Numbered(NamedTuple):
    """A batch of graphs taken apart: labels, and the numbers of nodes and of edges.

    A batch of points is the plain tuple (nodes, edges), then the numbers of nodes if they have any,
    then those of edges if they have any (see `joined`).

    Arguments:
        labels: `Graphs`, or stored integer labels.
        nodes: share times numbers of each node, `(B, N, A)`, or None.
        edges: share times numbers of each pair, `(B, N, N, C)`, symmetric, or None.

    The share is the probability that the node (edge) is there, so that what is there for sure has
    its numbers, and what is not there has zeros.
    """

    labels: Points
    nodes: Tensor | None = None
    edges: Tensor | None = None


def numbered(points: Points) -> Numbered:
    """Return a batch taken apart, after checking that the numbers fit the labels."""
    parts = leaves(points)
    labels, rest = parts[:2], list(parts[2:])
    nodes = rest.pop(0) if rest and rest[0].dim() == 3 else None
    edges = rest.pop(0) if rest and rest[0].dim() == 4 else None
    sites = tuple(labels[0].shape[:2])
    fits = nodes is None or nodes.shape[:2] == sites
    fits = fits and (edges is None or edges.shape[:3] == (*sites, sites[1]))
    if rest or not fits:
        raise ShapeError(
            "graphs with numbers are a tuple: node labels, edge labels, then numbers of nodes "
            "(B, N, A) or of edges (B, N, N, C) or both; got shapes "
            f"{[tuple(part.shape) for part in parts]}"
        )
    return Numbered(Graphs(*labels) if len(labels) == 2 else labels, nodes, edges)


def joined(labels: Points, nodes: Tensor | None, edges: Tensor | None) -> Points:
    """Return labels and numbers as one batch of points; what is None is left out."""
    return (*leaves(labels), *(part for part in (nodes, edges) if part is not None))


def relaxed(stored: Points, *, node_labels: int, edge_labels: int) -> Points:
    """Return stored graphs as points: labels one-hot, numbers as they are (see `one_hot`)."""
    labels, nodes, edges = numbered(stored)
    return joined(one_hot(labels, node_labels, edge_labels), nodes, edges)


@final
class OnLabels:
    """What changes labels only, applied to graphs with numbers.

    Arguments:
        change: labels -> labels, such as `Blur`.  Numbers stay as they are, so that two graphs come
            no further apart under a change under which their labels do not.
    """

    def __init__(self, change: Callable[[Points], Points]) -> None:
        self.change = change

    def __call__(self, points: Points) -> Points:
        """Return the graphs with changed labels."""
        labels, nodes, edges = numbered(points)
        return joined(self.change(labels), nodes, edges)


@final
class NumberedGraphs(SmoothSpace):
    """Labelled graphs with numbers: the product of their edit distance and a norm of the numbers.

    d(x, y)^p = edits(x, y)^p + sum over nodes (c |u_i - v_i|)^p
                              + sum over unordered pairs (e |u_ij - v_ij|)^p

    where edits is the distance of `LabelledGraphs`, u and v are the numbers in x and y, each times
    the share to which its node or edge is there (see `Numbered`), and | | is the Euclidean norm of
    the numbers of one node or edge.  A node that is there in one graph only so costs its edit and,
    besides, how far its numbers are from 0, which in standardised data is their mean; where nothing
    is in either graph there is nothing to compare.

    It is a metric: labels with their shares, and shares times numbers, are points of a vector
    space, d is a norm of their difference, and of nodes and edges that are there the numbers
    can be told from them.  Geodesics are straight: a share t of the way holds shares and expected
    numbers of the mixture, so that probabilities in training mean what mixtures mean.

    Arguments:
        node_weight: cost of changing the label of a node.
        edge_weight: cost of changing the label of an edge.
        p: how changes add up, at least 1.
        node_number_weight: c, cost of changing the numbers of a node by 1.
        edge_number_weight: e, the same for edges.
    """

    def __init__(
        self,
        node_weight: float = 1.0,
        edge_weight: float = 1.0,
        p: float = 1.0,
        *,
        node_number_weight: float = 1.0,
        edge_number_weight: float = 1.0,
    ) -> None:
        if not (node_number_weight > 0 and edge_number_weight > 0):
            raise SettingError(
                "the weights of numbers are numbers > 0; got "
                f"{node_number_weight} and {edge_number_weight}"
            )
        self.labels = LabelledGraphs(node_weight, edge_weight, p)
        self.p = self.labels.p
        self.node_number_weight = float(node_number_weight)
        self.edge_number_weight = float(edge_number_weight)

    def distance(self, x: Points, y: Points) -> Tensor:
        """Return the distance `(B,)`."""
        a, b = numbered(x), numbered(y)
        _check_alike(a, b)
        edits = self.labels.distance(a.labels, b.labels)
        nodes = None if a.nodes is None or b.nodes is None else a.nodes - b.nodes
        edges = None if a.edges is None or b.edges is None else a.edges - b.edges
        c, e = self.node_number_weight, self.edge_number_weight
        return _product(edits, _over_sites(nodes, edges, c, e, self.p), self.p)

    def interpolate(self, x: Points, y: Points, t: Tensor) -> Points:
        """Mix labels and numbers: (1 - t) x + t y."""
        return straight(x, y, t)

    def dual_norm(self, x: Points, gradient: Points) -> Tensor:
        """Return the norm of a differential, `(B,)`.

        Both entries of an unordered pair move together, so their gradients add up.
        """
        g = numbered(gradient)
        both = None if g.edges is None else g.edges + g.edges.transpose(1, 2)
        c, e, q = 1 / self.node_number_weight, 1 / self.edge_number_weight, conjugate(self.p)
        numbers = _over_sites(g.nodes, both, c, e, q)
        return _product(self.labels.dual_norm(x, g.labels), numbers, q)


def _check_alike(a: Numbered, b: Numbered) -> None:
    for one, two, what in ((a.nodes, b.nodes, "nodes"), (a.edges, b.edges, "edges")):
        if (one is None) != (two is None):
            raise ShapeError(f"one batch of graphs has numbers of {what}, and the other has none")


def _product(edits: Tensor, numbers: Tensor, p: float) -> Tensor:
    return safe_norm(torch.stack([edits, numbers], 1), p)


def _over_sites(
    nodes: Tensor | None, edges: Tensor | None, node: float, edge: float, p: float
) -> Tensor:
    """Return the p-norm over nodes and unordered pairs of weight times the norm of the numbers."""
    sites = []
    if nodes is not None:
        sites.append(_at_sites(nodes * node, p))
    if edges is not None:
        above = torch.ones(edges.shape[1:3], dtype=torch.bool, device=edges.device).triu(1)
        sites.append(_at_sites(edges * above.unsqueeze(-1) * edge, p))
    if not sites:
        raise ShapeError("these graphs have no numbers; their space is LabelledGraphs")
    return safe_norm(torch.cat(sites, 1), p)


def _at_sites(numbers: Tensor, p: float) -> Tensor:
    """Return the norms at the sites of a batch `(B, sites)`; for p = 2 all entries do as well."""
    if p == 2 or numbers.shape[-1] == 1:
        return numbers.flatten(1)
    return safe_norm(numbers.flatten(0, -2)).view(len(numbers), -1)


@pairwise.register(NumberedGraphs)
def _table(space: NumberedGraphs, x: Points, y: Points, block: int = 65_536) -> Tensor:
    a, b = numbered(x), numbered(y)
    if space.p != 2:
        table: Tensor = pairwise.dispatch(MetricSpace)(space, x, y, block)
        return table
    _check_alike(a, b)
    edits = pairwise(space.labels, a.labels, b.labels, block)
    # Differences first: |x|^2 + |y|^2 - 2 x.y would leave rounding where points agree.
    exactly = "donot_use_mm_for_euclid_dist"
    return torch.hypot(
        edits, torch.cdist(_rows(space, a), _rows(space, b), 2.0, compute_mode=exactly)
    )


def _rows(space: NumberedGraphs, graphs: Numbered) -> Tensor:
    """Return the weighted numbers of all nodes and unordered pairs as vectors `(B, numbers)`."""
    rows = []
    if graphs.nodes is not None:
        rows.append(graphs.nodes.flatten(1) * space.node_number_weight)
    if graphs.edges is not None:
        rows.append(pairs(graphs.edges).flatten(1) * space.edge_number_weight)
    return torch.cat(rows, 1)


def canonical_numbering(points: Points) -> Points:
    """Renumber the nodes of each graph with numbers by what does not depend on the numbering.

    Nodes that have numbers are sorted by label, then by their numbers, the first one first, which
    leaves nothing to chance unless two nodes agree in all; others as by `canonical_order`.
    Distances after renumbering are upper bounds of those between isomorphism classes.
    """
    labels, nodes, edges = numbered(points)
    hard = harden(labels)
    order = canonical_places(hard) if nodes is None else _by_numbers(hard, nodes)
    if edges is not None:
        edges = renumber(Graphs(hard.nodes, edges), order).edges
    if nodes is not None:
        nodes = nodes.gather(1, order.unsqueeze(-1).expand_as(nodes))
    return joined(renumber(hard, order), nodes, edges)


def _by_numbers(labels: Graphs, numbers: Tensor) -> Tensor:
    """Return which node goes to each place `(B, N)`: "nothing" last, then by label and numbers."""
    label = labels.nodes.argmax(-1)
    order = torch.arange(label.shape[1], device=label.device).expand_as(label)
    # Stable sorts by the last key first leave the order by all keys.
    keys = [*numbers.unbind(-1)[::-1], torch.where(label == 0, labels.nodes.shape[-1], label)]
    for key in keys:
        order = order.gather(1, torch.argsort(key.gather(1, order), dim=1, stable=True))
    return order
