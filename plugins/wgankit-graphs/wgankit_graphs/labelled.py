"""Graphs with labelled nodes and edges, and the edit distance between them."""

from __future__ import annotations

from typing import NamedTuple, final

import torch
from torch import Tensor
from torch.nn import functional

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


class Graphs(NamedTuple):
    """A batch of labelled graphs, labels relaxed to probabilities.

    Arguments:
        nodes: `(B, N, K)`, a point of the simplex for each node; label 0 is "nothing".
        edges: `(B, N, N, L)`, symmetric; label 0 is "nothing", also on the diagonal.

    Padding needs no mask: a node that is not there carries the label "nothing", and adding a node
    is a change of a label like any other.
    """

    nodes: Tensor
    edges: Tensor


def one_hot(labels: Points, node_labels: int, edge_labels: int) -> Graphs:
    """Return stored integer labels (nodes `(B, N)`, edges `(B, N, N)`) as one-hot labels.

    Arguments:
        labels: a pair of integer tensors, such as `encoding.GraphLabels`.
        node_labels: K, how many node labels there are, "nothing" included.
        edge_labels: L, how many edge labels there are, "nothing" included.
    """
    nodes, edges = leaves(labels)
    return Graphs(
        functional.one_hot(nodes.long(), node_labels).float(),
        functional.one_hot(edges.long(), edge_labels).float(),
    )


def graphs_of(points: Points) -> Graphs:
    """Return a batch as `Graphs`, after checking that it has their shapes."""
    parts = leaves(points)
    if len(parts) != 2 or parts[0].dim() != 3 or parts[1].dim() != 4:
        raise ShapeError(
            "a batch of labelled graphs is a pair: nodes (B, N, K) and edges (B, N, N, L); "
            f"got shapes {[tuple(part.shape) for part in parts]}"
        )
    (_, size, _), (_, rows, columns, _) = parts[0].shape, parts[1].shape
    if not size == rows == columns:
        raise ShapeError(f"{size} nodes need edges {size} x {size}; got {rows} x {columns}")
    return Graphs(*parts)


def pairs(edges: Tensor) -> Tensor:
    """Return what unordered pairs of nodes have, `(B, N (N - 1) / 2, L)`, of `(B, N, N, L)`."""
    size = edges.shape[1]
    low, high = torch.triu_indices(size, size, 1, device=edges.device)
    return edges[:, low, high]


@final
class LabelledGraphs(SmoothSpace):
    """Labelled graphs under the edit distance: what relabelling nodes and edges costs.

    d(x, y) = (sum over nodes (a TV_i)^p + sum over unordered pairs (b TV_ij)^p)^(1/p) with the
    total variation TV of the labels at a site.  For p = 1 and hard labels it counts edits; adding
    or removing a node or an edge is an edit, because "nothing" is a label.

    Arguments:
        node_weight: a, the cost of changing the label of a node.
        edge_weight: b, the cost of changing the label of an edge.
        p: how edits add up; 1 counts them, 2 takes the root of the sum of squares.

    A critic that does not depend on the numbering of the nodes is 1-Lipschitz for d if and only if
    it is for the smallest d over all numberings, so no graphs need to be matched.
    """

    def __init__(self, node_weight: float = 1.0, edge_weight: float = 1.0, p: float = 1.0) -> None:
        if not (node_weight > 0 and edge_weight > 0):
            raise SettingError(
                f"the weights of edits are numbers > 0; got {node_weight} and {edge_weight}"
            )
        if not p >= 1:
            raise SettingError(f"LabelledGraphs needs p >= 1, such as p=1; got p={p}")
        self.node_weight = float(node_weight)
        self.edge_weight = float(edge_weight)
        self.p = float(p)

    def distance(self, x: Points, y: Points) -> Tensor:
        """Return the edit distance `(B,)`."""
        a, b = graphs_of(x), graphs_of(y)
        nodes = (a.nodes - b.nodes).abs().sum(-1) * (0.5 * self.node_weight)
        edges = (a.edges - b.edges).abs().sum(-1) * (0.5 * self.edge_weight)
        return self._over_sites(nodes, edges, self.p)

    def interpolate(self, x: Points, y: Points, t: Tensor) -> Points:
        """Mix the labels: (1 - t) x + t y."""
        return straight(x, y, t)

    def dual_norm(self, x: Points, gradient: Points) -> Tensor:
        """Return the norm of a differential: at each site max - min over labels, `(B,)`.

        Both entries of an unordered pair move together, so their gradients add up.
        """
        g = graphs_of(gradient)
        both = g.edges + g.edges.transpose(1, 2)
        nodes = (g.nodes.amax(-1) - g.nodes.amin(-1)) / self.node_weight
        edges = (both.amax(-1) - both.amin(-1)) / self.edge_weight
        return self._over_sites(nodes, edges, conjugate(self.p))

    @staticmethod
    def _over_sites(nodes: Tensor, edges: Tensor, p: float) -> Tensor:
        above = torch.ones(edges.shape[1:], dtype=torch.bool, device=edges.device).triu(1)
        # Each unordered pair counts once; the diagonal cannot change.
        return safe_norm(torch.cat([nodes, (edges * above).flatten(1)], 1), p)


@pairwise.register(LabelledGraphs)
def _table(space: LabelledGraphs, x: Points, y: Points, block: int = 65_536) -> Tensor:
    # At a site with hard labels the total variation is 0 or 1, so its powers are itself, and one
    # l1 table serves every p.
    if space.p == 1 or (space.p < torch.inf and _hard(x) and _hard(y)):
        return torch.cdist(_sites(space, x), _sites(space, y), 1.0) ** (1 / space.p)
    table: Tensor = pairwise.dispatch(MetricSpace)(space, x, y, block)
    return table


def _hard(points: Points) -> bool:
    return all(bool(((part == 0) | (part == 1)).all()) for part in leaves(points))


def _sites(space: LabelledGraphs, points: Points) -> Tensor:
    """Return labels as vectors whose l1 distance is the sum over sites of (weight^p * change)."""
    graphs = graphs_of(points)
    nodes, edges = graphs.nodes.flatten(1), pairs(graphs.edges).flatten(1)
    a, b = space.node_weight**space.p, space.edge_weight**space.p
    return torch.cat([nodes * (0.5 * a), edges * (0.5 * b)], 1)


@final
class Blur:
    """Mixes the label of every node and edge with random probabilities: `noise` for `train`.

    (1 - e) label + e r with e uniform in [0, amount] and r uniform on the simplex, drawn for each
    site.  Real one-hot labels become probabilities, as a generator's are, so that the critic has
    to look at the graph instead of at how sure the labels are.  The likeliest label stays the
    same, and two graphs under one draw only come closer, so W1 never grows.  Nodes that are not
    there, pairs with such a node, and the diagonal stay as they are.

    Arguments:
        amount: largest share of randomness, in [0, 1/2].
    """

    def __init__(self, amount: float) -> None:
        if not 0 <= amount <= 0.5:
            raise SettingError(
                f"blur is a share in [0, 1/2], above which labels could change; got {amount}"
            )
        self.amount = amount

    def __call__(self, points: Points) -> Graphs:
        """Return blurred graphs."""
        nodes, edges = graphs_of(points)
        there = (nodes[..., :1].detach() < 0.5).to(nodes.dtype)
        above = torch.ones_like(edges[0, ..., 0]).triu(1).unsqueeze(-1)
        pairs = there.unsqueeze(1) * there.unsqueeze(2) * above
        # "Nothing" gets no share at a node that is there: how many nodes there are is given.
        kinds = torch.cat([torch.zeros_like(there), self._law(nodes[..., 1:])], -1)
        share = torch.rand_like(there) * self.amount * there
        mixed = self._both(torch.rand_like(pairs) * self.amount * pairs)
        law = self._both(self._law(edges) * above)
        return Graphs(torch.lerp(nodes, kinds, share), torch.lerp(edges, law, mixed))

    @staticmethod
    def _law(like: Tensor) -> Tensor:
        """Return points uniform on the simplex: exponential numbers divided by their sum."""
        drawn = torch.empty_like(like).exponential_()
        return drawn / drawn.sum(-1, keepdim=True)

    @staticmethod
    def _both(half: Tensor) -> Tensor:
        return half + half.transpose(1, 2)


def harden(points: Points) -> Graphs:
    """Return the most likely labels as one-hot labels."""
    graphs = graphs_of(points)
    return Graphs(
        functional.one_hot(graphs.nodes.argmax(-1), graphs.nodes.shape[-1]).to(graphs.nodes.dtype),
        functional.one_hot(graphs.edges.argmax(-1), graphs.edges.shape[-1]).to(graphs.edges.dtype),
    )


def canonical_order(points: Points) -> Graphs:
    """Renumber the nodes of each graph by what its surroundings look like.

    Nodes are sorted by label and by rounds of hashing their neighbours' labels (as in the
    Weisfeiler-Leman test), so isomorphic graphs whose nodes all look different come out equal.
    Distances after renumbering are upper bounds of the distance between isomorphism classes, and
    tighter ones than under the numbering by chance.
    """
    graphs = harden(points)
    return renumber(graphs, canonical_places(graphs))


def canonical_places(graphs: Graphs) -> Tensor:
    """Return which node goes to each place `(B, N)` in `canonical_order`; labels are one-hot."""
    size, labels = graphs.nodes.shape[1], graphs.edges.shape[-1]
    source = torch.Generator().manual_seed(0)
    words = torch.rand(64, generator=source, dtype=torch.float64)
    label = graphs.nodes.argmax(-1).double().cpu()
    kinds = graphs.edges.double().cpu()
    colour = (label + 1) * words[0]
    for turn in range(min(size, 8)):
        seen = torch.sin(colour * 7919 + turn)
        told = words[1:labels].roll(turn) if labels <= 60 else words.new_ones(labels - 1)
        heard = torch.einsum("bijk,bj,k->bi", kinds[..., 1:], seen, told)
        colour = torch.round((colour * words[61] + heard) * 1e9) / 1e9
    degree = kinds[..., 1:].sum((-1, -2))
    # "Nothing" goes last; real nodes by label, then degree, then surroundings.
    key = torch.where(label == 0, torch.inf, label * 1e6 + degree * 1e3 + torch.sin(colour))
    return torch.argsort(key, dim=1, stable=True).to(graphs.nodes.device)


def renumber(points: Points, order: Tensor) -> Graphs:
    """Return graphs whose node i is the node `order[:, i]` of the given ones."""
    graphs = graphs_of(points)
    rows = order.unsqueeze(-1).expand(-1, -1, graphs.nodes.shape[-1])
    labels = graphs.edges.shape[-1]
    size = order.shape[1]
    down = order.view(-1, size, 1, 1).expand(-1, -1, size, labels)
    across = order.view(-1, 1, size, 1).expand(-1, size, -1, labels)
    edges = graphs.edges.gather(1, down).gather(2, across)
    return Graphs(graphs.nodes.gather(1, rows), edges)
