"""Numbering the nodes of a graph so that graphs which differ little are numbered alike."""

from __future__ import annotations

import torch
from torch import Tensor

from wgankit.space import Points, leaves
from wgankit_graphs import memory
from wgankit_graphs.labelled import Graphs, canonical_places, graphs_of, one_hot


def depth_first(graphs: Points) -> Tensor:
    """Return which node comes at each place `(B, N)` of a depth-first walk; labels are one-hot.

    The walk begins at the outermost node, and where it can go on in several ways takes the
    outermost first, so that side chains come before what they hang on; it goes through a graph's
    other parts afterwards.  How far out a node is, the sum of its distances in edges, changes
    little when a graph does, and so do the places of nodes.  Nodes equally far out come in the
    canonical order, those that are nothing last.  Graphs whose nodes all look different come out
    equal whatever their numbering.
    """
    nodes, edges = graphs_of(graphs)
    size = nodes.shape[1]
    linked = edges[..., 0] < 0.5
    ranks = outermost_first(Graphs(nodes, edges), linked)
    heard = torch.zeros_like(ranks)  # when the neighbour was met that was met last
    met = torch.zeros_like(linked[..., 0])
    order = torch.empty_like(ranks)
    for place in range(size):
        key = (heard * size - ranks).masked_fill(met, -(size**3))
        one = key.argmax(1, keepdim=True)
        order[:, place] = one[:, 0]
        met.scatter_(1, one, True)
        beside = linked.gather(1, one.unsqueeze(-1).expand(-1, -1, size))[:, 0]
        heard = torch.where(beside, place + 1, heard)
    return order


def outermost_first(graphs: Graphs, linked: Tensor) -> Tensor:
    """Return each node's rank `(B, N)` by the sum of its distances, then the canonical order.

    Arguments:
        graphs: with one-hot labels.
        linked: which nodes are joined, `(B, N, N)`.
    """
    count, size = graphs.nodes.shape[:2]
    there = graphs.nodes[..., 0] < 0.5
    places = torch.arange(size, device=there.device).expand(count, -1)
    canonical = torch.empty_like(places).scatter_(1, canonical_places(graphs), places)
    # A node of another part is as far away as none of the same part can be, and so is nothing,
    # which is equally much for all.
    steps = linked.float()
    reached = torch.eye(size, device=there.device).expand(count, -1, -1)
    sums = torch.zeros(count, size, dtype=torch.long, device=there.device)
    for _ in range(size):
        sums += (reached == 0).sum(2)
        reached = ((reached + reached @ steps) > 0).float()
    key = (canonical - sums * size).masked_fill(~there, size)
    order = key.argsort(dim=1, stable=True)
    return torch.empty_like(places).scatter_(1, order, places)


def walked(labels: Points, node_labels: int, edge_labels: int) -> tuple[Tensor, Tensor]:
    """Return stored labels of graphs whose nodes are numbered by a depth-first walk.

    Arguments:
        labels: nodes `(B, N)` and edges `(B, N, N)`.
        node_labels: K.
        edge_labels: L.
    """
    parts: list[tuple[Tensor, Tensor]] = []
    size = leaves(labels)[0].shape[1]
    # One-hot labels of all pairs at once would take more memory than the training.
    some = max(1, memory.BLOCK // (size**2 * edge_labels))
    for nodes, edges in zip(*(torch.split(one, some) for one in leaves(labels)), strict=True):
        order = depth_first(one_hot((nodes, edges), node_labels, edge_labels))
        down = edges.gather(1, order.unsqueeze(-1).expand_as(edges))
        parts.append((nodes.gather(1, order), down.gather(2, order.unsqueeze(1).expand_as(edges))))
    nodes, edges = zip(*parts, strict=True)
    return torch.cat(nodes), torch.cat(edges)
