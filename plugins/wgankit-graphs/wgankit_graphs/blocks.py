"""A generator whose family contains stochastic block models, and a critic of long random walks.

Given its latents the generator draws all edges independently, so that one pass makes a whole graph;
dependence between edges comes from blocks, which all edges of a graph share.  Exchangeable random
graphs are mixtures of such laws (Aldous, 1981; Hoover, 1979), and a block model is one exactly.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import cast, final

import torch
from torch import Tensor, nn
from torch.nn import functional

from wgankit.latent import Conditioned
from wgankit.space import Points, leaves
from wgankit_graphs.labelled import Graphs, graphs_of
from wgankit_graphs.networks import (
    GraphLatent,
    RelationLayer,
    multilayer,
    start_at,
)
from wgankit_graphs.partition import Partition, members


@final
class PairLatent(Conditioned):
    """What `GraphLatent` draws, and a uniform number for each unordered pair of nodes.

    In training a generated graph has as many nodes as the real one beside it, so that a critic
    compares graphs of one size; both have the sizes of the data either way.

    Arguments:
        sizes: how many training graphs have k nodes, at index k.
        size: N, nodes of a padded graph.
        per_node: normal numbers for each node.
        per_graph: normal numbers that all nodes share.
    """

    def __init__(
        self, sizes: Sequence[float], size: int, per_node: int = 16, per_graph: int = 32
    ) -> None:
        self.nodes = GraphLatent(sizes, size, per_node, per_graph)

    def sample(self, count: int, device: torch.device | str) -> Points:
        """Return the parts of `GraphLatent.sample` and coins `(count, N, N)`, symmetric."""
        return self._with_coins(leaves(self.nodes.sample(count, device)))

    def beside(self, real: Points) -> Points:
        """Return latents of graphs with as many nodes as these (or their `Surroundings`)."""
        first = leaves(real)[0]
        # Graphs say "nothing" first, and numbers of nodes say whether there is one.
        there = (first[..., 0] < 0.5 if len(leaves(real)) == 2 else first[..., 0] > 0.5).float()
        # Nodes that are there come first, whatever order they have in the data.
        there = there.sort(1, descending=True).values
        count, size = there.shape
        z = torch.randn(count, size, self.nodes.per_node, device=there.device)
        shared = torch.randn(count, self.nodes.per_graph, device=there.device)
        slots = torch.arange(size, device=there.device).expand(count, -1)
        return self._with_coins((z, shared, there, slots))

    @staticmethod
    def _with_coins(parts: Sequence[Tensor]) -> Points:
        there = parts[2]
        half = torch.rand(*there.shape, there.shape[1], device=there.device).triu(1)
        return (*parts, half + half.transpose(1, 2))


EAGER = 30.0
"""Factor on the logits that all blocks have in common, which are learnt first."""


QUIET = 0.03
"""Factor on what blocks add of their own to the logits of edges: blocks begin nearly alike, since
the data may be so, and what all have in common is learnt first."""


STEEPEST_LOGIT = 8.0
"""Logits of edges are squashed into this range: a probability that has gone to 0 hardly moves."""


def squash(logits: Tensor) -> Tensor:
    """Return logits within +-STEEPEST_LOGIT, unchanged to first order around 0."""
    return STEEPEST_LOGIT * torch.tanh(logits / STEEPEST_LOGIT)


def toss(logits: Tensor, coins: Tensor) -> Tensor:
    """Return one-hot labels drawn by their probabilities, with the gradient of the probabilities.

    Arguments:
        logits: `(..., L)`.
        coins: uniform numbers `(...)`; label l is drawn where they fall into its share of [0, 1].

    The gradient that reaches a probability is the critic's slope at the drawn graph, where the
    exact one (of the expectation over draws) is the critic's change when that one edge changes.
    They agree for critics that one edge changes little, as those of large graphs do.
    """
    chances = logits.softmax(-1)
    drawn = (coins.unsqueeze(-1) >= chances.detach().cumsum(-1)[..., :-1]).sum(-1)
    hard = functional.one_hot(drawn, logits.shape[-1])
    return hard.to(chances.dtype) + (chances - chances.detach())


def toss_coin(logits: Tensor, coins: Tensor) -> Tensor:
    """Return 1 with the probability of a logit, else 0, with the gradient of the probability.

    Arguments:
        logits: of any shape.
        coins: uniform numbers of that shape.
    """
    chances = logits.sigmoid()
    return (coins < chances).to(chances.dtype) + (chances - chances.detach())


@final
class BlockGenerator(nn.Module):
    """Latents -> graphs with edges that are independent given the blocks their ends are in.

    A `Partition` draws how many blocks there are and shares the nodes among them: nodes are spread
    evenly over [0, 1] and blocks are intervals, so that sizes do not fluctuate by chance as those
    of independent memberships would.  How often two nodes are joined is a learnt function of their
    blocks' tokens, plus, if wanted, a product of what the nodes make of their own latents.
    Equivariant under renumbering.

    Arguments:
        node_labels: K, "nothing" included.
        edge_labels: L, "nothing" included.
        size: N, nodes of a padded graph.
        blocks: the most that a graph has.  Learning starts with blocks of `size / blocks` nodes.
        node_law: shares of the K - 1 node labels in the data; where the untrained generator starts.
        edge_law: shares of the L edge labels in the data, "nothing" first.
        per_node: latent numbers of a node.
        per_graph: latent numbers of the graph.
        width: channels.
        layers: rounds of attention among blocks.
        heads: of the attention.
        ranks: of the product of what both ends make of their own latents; with 0 the blocks alone
            decide.
    """

    def __init__(
        self,
        node_labels: int,
        edge_labels: int,
        size: int,
        *,
        blocks: int = 6,
        node_law: Sequence[float] | None = None,
        edge_law: Sequence[float] | None = None,
        per_node: int = 16,
        per_graph: int = 32,
        width: int = 64,
        layers: int = 2,
        heads: int = 4,
        ranks: int = 0,
    ) -> None:
        super().__init__()
        self.blocks = Partition(
            blocks, per_graph, width, size=size / blocks, layers=layers, heads=heads
        )
        self.pair_head = multilayer(2 * width, width, edge_labels - 1)
        self.odds = nn.Parameter(torch.zeros(2, edge_labels - 1))
        self.nodes = multilayer(per_node + width, width, width)
        self.node_head = nn.Sequential(nn.SiLU(), nn.Linear(width, node_labels - 1))
        # What nodes add of their own starts small: blocks have to be found first.
        start = 0.1 * torch.randn(edge_labels - 1, width, ranks) / width**0.5
        self.ends = nn.Parameter(start) if ranks else None
        start_at(self.node_head, node_law)
        self._start_as_groups(blocks, edge_law)

    @torch.no_grad()
    def _start_as_groups(self, blocks: int, edge_law: Sequence[float] | None) -> None:
        """Begin with the density of the data, between blocks a sixth of it.

        From blocks that are all alike a critic's slopes say how many edges there should be long
        before they say where, and generators go for one dense block or for none.
        """
        if edge_law is None:
            return
        shares = torch.as_tensor(list(edge_law), dtype=torch.float32)
        density = (shares[1:] / shares.sum()).clamp_min(1e-4)
        between = density / 6
        # Most graphs have fewer nodes than the largest, and so fewer blocks.
        used = max(1.0, blocks / 2)
        within = density * (used - (used - 1) / 6)
        within = within * (0.5 / within.sum()).clamp_max(1)
        odds = [(law / (1 - law.sum())).log() for law in (between, within)]
        self.odds.copy_(torch.stack(odds) / EAGER)

    def forward(self, latent: Points) -> Graphs:
        """Return graphs with one-hot labels: nodes `(B, N, K)`, edges `(B, N, N, L)`."""
        z, shared, there, slots, coins = leaves(latent)
        number = there.sum(1, keepdim=True)
        tokens, sizes = self.blocks(shared, number)
        member = members(sizes, slots)
        h = self.nodes(torch.cat([z, member @ tokens], -1))
        kinds = squash(self.node_head(h)).softmax(-1)
        if not self.training:
            kinds = functional.one_hot(kinds.argmax(-1), kinds.shape[-1]).to(kinds.dtype)
        between = self.between(tokens).movedim(-1, 1)
        sides = member.unsqueeze(1)
        logits = (sides @ between @ sides.transpose(-1, -2)).movedim(1, -1)
        if self.ends is not None:
            ends = torch.einsum("bnw,lwr->blnr", h, self.ends)
            logits = logits + (ends @ ends.transpose(-1, -2)).movedim(1, -1)
        nodes = torch.cat([1 - there.unsqueeze(-1), kinds * there.unsqueeze(-1)], -1)
        return Graphs(nodes, self._edges(logits, there, coins))

    def log_chance(self, latent: Points) -> Tensor:
        """Return the logarithm of the chance of what was drawn without a slope, `(B,)`."""
        _, shared, there, *_ = leaves(latent)
        return self.blocks.draw(shared, there.sum(1, keepdim=True)).log_chance

    def between(self, tokens: Tensor) -> Tensor:
        """Return logits of edges' labels between blocks, `(B, count, count, L - 1)`.

        They are odds against "nothing", so that no probability of an edge can be squashed away.
        """
        a, b = tokens.unsqueeze(1), tokens.unsqueeze(2)
        same = torch.eye(tokens.shape[1], device=tokens.device).unsqueeze(-1)
        all_ = EAGER * (self.odds[0] + same * (self.odds[1] - self.odds[0]))
        own = QUIET * self.pair_head(torch.cat([a + b, a * b], -1))
        return squash(all_ + own)

    @staticmethod
    def _edges(logits: Tensor, there: Tensor, coins: Tensor) -> Tensor:
        size = there.shape[1]
        pairs = there.unsqueeze(1) * there.unsqueeze(2)
        pairs = pairs * (1 - torch.eye(size, device=there.device))
        if logits.shape[-1] == 1:
            bonds = toss_coin(logits.squeeze(-1), coins) * pairs
            return torch.stack([1 - bonds, bonds], -1)
        bonds = toss(functional.pad(logits, (1, 0)), coins)[..., 1:] * pairs.unsqueeze(-1)
        return torch.cat([1 - bonds.sum(-1, keepdim=True), bonds], -1)


@final
class WalkCritic(nn.Module):
    """Labelled graphs -> scores `(B,)`, from triangles and walks of 1 to 2^(doublings + 1) steps.

    The walk is lazy, S = D^(-1/2) (A + 1) D^(-1/2), and its powers are got by squaring.  A node
    sees its triangles and how likely walks of many lengths return to it (in a block, about one over
    its size), and listens to others along edges, along edges weighted by the neighbours that their
    ends share, and along long walks.  Invariant under renumbering, smooth.

    Arguments:
        node_labels: K, "nothing" included.
        edge_labels: L, "nothing" included.
        width: channels of a node.
        layers: rounds of messages.
        doublings: of the walk; with 3, walks of 1, 2, 4 and 8 steps carry messages.
    """

    def __init__(
        self,
        node_labels: int,
        edge_labels: int,
        *,
        width: int = 64,
        layers: int = 2,
        doublings: int = 3,
    ) -> None:
        super().__init__()
        self.doublings = doublings
        seen = node_labels + 2 * (edge_labels - 1) + 3 + 2 * doublings + 1
        relations = edge_labels - 1 + 3
        self.enter = multilayer(seen, width, width)
        self.layers = nn.ModuleList(RelationLayer(width, relations) for _ in range(layers))
        self.leave = multilayer(width, width, width)
        self.score = multilayer(width + seen, width, 1)

    def forward(self, points: Points) -> Tensor:
        """Return one score for each graph."""
        nodes, edges = graphs_of(points)
        edges = (edges + edges.transpose(1, 2)) / 2
        adjacency, bonds = 1 - edges[..., 0], edges[..., 1:]
        powers = lazy_powers(adjacency, self.doublings)
        shared = adjacency * (adjacency @ adjacency)
        seen = torch.cat([nodes, *closures(bonds, shared), *returns(powers)], -1)
        h = self.enter(seen)
        relations = torch.cat([*(bonds / 8).unbind(-1), shared / 8, powers[-2], powers[-1]], 1)
        for layer in self.layers:
            h = layer(h, relations)
        # A sum, because edits add up: what one edit changes should not shrink with the graph.
        # What nodes see at once is summed beside: simple differences are learnt first.
        pooled = torch.cat([functional.silu(self.leave(h)), seen * nodes[..., 1:].sum(-1, True)], 2)
        return cast(Tensor, self.score(pooled.sum(1) / 8).squeeze(-1))


def closures(bonds: Tensor, shared: Tensor) -> list[Tensor]:
    """Return degrees by label, triangles and clustering of each node, about 1 in size.

    Arguments:
        bonds: edges by label, `(B, N, N, L - 1)`.
        shared: neighbours that the ends of an edge have in common, `(B, N, N)`, 0 where no edge is.
    """
    degrees, triangles = bonds.sum(2), shared.sum(2).unsqueeze(-1)
    total = degrees.sum(-1, keepdim=True)
    spread = (shared * shared).sum(2).unsqueeze(-1)
    return [
        degrees / 8,
        (degrees + 1).log(),
        triangles / 8,
        triangles / (total.square() + 1),
        spread / 32,
    ]


def lazy_powers(adjacency: Tensor, doublings: int) -> list[Tensor]:
    """Return S, S^2, S^4, ... of the lazy walk S = D^(-1/2) (A + 1) D^(-1/2), `(B, N, N)` each."""
    size = adjacency.shape[1]
    loops = adjacency + torch.eye(size, device=adjacency.device, dtype=adjacency.dtype)
    scale = loops.sum(-1).rsqrt()
    powers = [loops * scale.unsqueeze(1) * scale.unsqueeze(2)]
    for _ in range(doublings):
        powers.append(powers[-1] @ powers[-1])
    return powers


def returns(powers: Sequence[Tensor]) -> list[Tensor]:
    """Return the logarithm of return probabilities `(B, N, 1)` after 2, 3, 4, 6, 8, 12, ... steps.

    (S^(a + b))_ii is a sum of products of entries, so no power is made for its diagonal alone.
    """
    pairs = [pair for one, two in pairwise(powers) for pair in ((one, one), (one, two))]
    pairs.append((powers[-1], powers[-1]))
    return [(a * b).sum(-1, keepdim=True).clamp_min(1e-6).log() for a, b in pairs]
