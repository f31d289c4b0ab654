"""Critics and generators for the nodes of one graph."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, cast, final

import torch
from torch import Tensor, nn

from wgankit.errors import ShapeError
from wgankit.space import Points, leaves

if TYPE_CHECKING:
    from wgankit_graphs.nodes import GraphNodes


@final
class NodeTable(nn.Module):
    """A critic with a number for each node: any function on a finite space.

    Arguments:
        count: number of nodes.
    """

    def __init__(self, count: int) -> None:
        super().__init__()
        self.values = nn.Parameter(torch.zeros(count))

    def forward(self, points: Points) -> Tensor:
        """Return the scores `(B,)` of node numbers, or of laws over the nodes `(B, n)`."""
        return score_nodes(self.values, points)


@final
class NodeMessages(nn.Module):
    """A critic that computes every node's score by message passing on the graph.

    Layers are torch-geometric's `GraphConv` with gates 1 / length, from features that place each
    node: distances to some landmarks, in units of the largest.

    Arguments:
        space: the nodes.
        width: channels.
        depth: rounds of messages.
        landmarks: how many nodes serve as landmarks, chosen far from each other.
    """

    def __init__(
        self, space: GraphNodes, *, width: int = 64, depth: int = 3, landmarks: int = 16
    ) -> None:
        super().__init__()
        from torch_geometric.nn import GraphConv

        both = torch.cat([space.edges, space.edges.flip(1)]).t().contiguous()
        self.register_buffer("edge_index", both)
        near = (space.lengths.min() / space.lengths).float()
        self.register_buffer("edge_gate", torch.cat([near, near]))
        table = space.distances / space.distances.max()
        self.register_buffer("features", table[:, far_apart(space.distances, landmarks)])
        sizes = [self.features.shape[1]] + [width] * depth
        self.rounds = nn.ModuleList(
            GraphConv(before, after, aggr="mean") for before, after in pairwise(sizes)
        )
        self.score = nn.Sequential(
            nn.Linear(width + sizes[0], width), nn.SiLU(), nn.Linear(width, 1)
        )
        self.unit = float(space.distances.max())

    features: Tensor
    edge_index: Tensor
    edge_gate: Tensor

    def forward(self, points: Points) -> Tensor:
        """Return the scores `(B,)` of node numbers, or of laws over the nodes `(B, n)`."""
        h = self.features
        for layer in self.rounds:
            h = nn.functional.silu(layer(h, self.edge_index, self.edge_gate))
        values = self.score(torch.cat([h, self.features], -1)).squeeze(-1) * self.unit
        return score_nodes(values, points)


def score_nodes(values: Tensor, points: Points) -> Tensor:
    """Return values at node numbers `(B,)`, or their means under laws over the nodes `(B, n)`."""
    given = leaves(points)[0]
    if given.is_floating_point():
        if given.dim() != 2 or given.shape[1] != len(values):
            raise ShapeError(
                f"laws over {len(values)} nodes have shape (B, {len(values)}); "
                f"got {tuple(given.shape)}"
            )
        return given @ values
    return values[given]


def far_apart(distances: Tensor, count: int) -> Tensor:
    """Return node numbers chosen one after another as far as possible from those before."""
    chosen = [0]
    nearest = distances[0].clone()
    for _ in range(min(count, len(distances)) - 1):
        chosen.append(int(nearest.argmax()))
        nearest = torch.minimum(nearest, distances[chosen[-1]])
    return torch.tensor(chosen)


@final
class NodeGenerator(nn.Module):
    """A generator of nodes: latent vectors -> one-hot laws over the nodes, straight through.

    Forward it returns a one-hot row for each latent (a node); backward the gradient is that of the
    softmax, so any critic that scores laws over nodes by their mean teaches it.

    Arguments:
        latent: numbers in a latent vector.
        count: number of nodes.
        width, depth: of the hidden layers.
    """

    def __init__(self, latent: int, count: int, *, width: int = 64, depth: int = 2) -> None:
        super().__init__()
        from wgankit.networks import Perceptron

        self.logits = Perceptron(latent, count, width=width, depth=depth)

    def forward(self, latents: Points) -> Tensor:
        """Return laws `(B, n)`: one-hot forward, softmax backward."""
        from wgankit_graphs.networks import straight_through

        return straight_through(self.logits(cast(Tensor, latents)), noise=True)
