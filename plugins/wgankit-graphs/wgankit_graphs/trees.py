"""A generator of trees: every node but the first points at its parent, all at once.

What comes out is connected without cycles whatever the weights are, so that validity as a tree is
no achievement of training; which tree comes out is.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, final

import torch
from torch import Tensor, nn
from torch.nn import functional

from wgankit.errors import SettingError
from wgankit.space import Points, leaves, on_leaves
from wgankit_graphs.labelled import Graphs
from wgankit_graphs.networks import multilayer, start_at
from wgankit_graphs.partition import members
from wgankit_graphs.roles import Roles

LEVEL = 2.0
"""Logit by which nodes like nodes of the role before theirs, where learning starts.

From roles that are all alike the nodes of two roles hang themselves on the first, and a role that
stands between them is not found afterwards: one role of nodes cannot change alone.
"""


STEEPEST_LOGIT = 12.0
"""A choice among a hundred parents that shall never fail needs logits further apart than edges."""

GAIN = 10.0
"""Factor on the table of roles: it is learnt before what nodes and roles add of their own."""


QUIET = 0.1
"""Factor on what nodes and roles add of their own to the logits of parents: what holds for all
nodes of a role is learnt first."""


def point(logits: Tensor, coins: Tensor) -> Tensor:
    """Return one-hot choices drawn by softmax probabilities, with the gradient of these.

    Arguments:
        logits: `(..., N)`.
        coins: uniform numbers of the same shape; the choice is the largest logit with Gumbel noise
            made of them (Gumbel, 1954).
    """
    chances = logits.softmax(-1)
    noise = -coins.clamp(1e-20, 1 - 1e-7).log()
    drawn = (logits.detach() - noise.clamp_min(1e-7).log()).argmax(-1)
    hard = functional.one_hot(drawn, logits.shape[-1]).to(chances.dtype)
    return hard + (chances - chances.detach())


class Turns(NamedTuple):
    """Graphs, and graphs that differ from them in what one node chose.

    Arguments:
        graphs: B of them.
        again: B * count, each graph's one after the other.
        odds: log of the chance of the new choice over that of the old one, `(B, count)`, with
            its slope.
        share: how many choices each turned one stands for, `(B, 1)`.
    """

    graphs: Graphs
    again: Graphs
    odds: Tensor
    share: Tensor


@final
class TreeGenerator(nn.Module):
    """Latents -> trees: node i points at one of the nodes before it.

    `Roles` shares the nodes among roles, in the order of their numbers.  How likely a parent is
    depends on both roles, on whether it is the node just before, and on what both nodes make of
    their own latents.  Given the latents all nodes choose independently.
    Learning starts near the uniform law on labelled trees, where node i points at node
    min(u, i - 1) with u uniform on 1, ..., n (Aldous, 1990), so that only the node just before is
    special; but each role likes the role before it better (`LEVEL`).

    Arguments:
        node_labels: K, "nothing" included.
        edge_labels: 2; trees with several kinds of edges are not made.
        size: N, nodes of a padded graph.
        blocks: how many roles.
        node_law: shares of the K - 1 node labels in the data; where the untrained generator starts.
        per_node: latent numbers of a node.
        per_graph: latent numbers of the graph.
        width: channels.
        layers: rounds of attention among roles.
        heads: of the attention.
    """

    def __init__(
        self,
        node_labels: int,
        edge_labels: int,
        size: int,
        *,
        blocks: int = 6,
        node_law: Sequence[float] | None = None,
        per_node: int = 16,
        per_graph: int = 32,
        width: int = 64,
        layers: int = 2,
        heads: int = 4,
    ) -> None:
        super().__init__()
        if edge_labels != 2:
            raise SettingError(f"trees have one kind of edges; the data has {edge_labels - 1}")
        self.size = size
        self.roles = Roles(blocks, per_graph, size, width, layers=layers, heads=heads)
        # By roles of child and parent: of any node before, and of the one just before.
        self.table = nn.Parameter(torch.zeros(blocks, blocks, 2))
        with torch.no_grad():
            self.table[1:, :-1, 0].fill_diagonal_(LEVEL / GAIN)
        self.pair_head = multilayer(2 * width, width, 2)
        self.nodes = multilayer(per_node + width + 1, width, width)
        self.node_head = nn.Sequential(nn.SiLU(), nn.Linear(width, node_labels - 1))
        self.ends = nn.Linear(width, 18)
        start_at(self.node_head, node_law)

    def forward(self, latent: Points) -> Graphs:
        """Return trees with one-hot labels: nodes `(B, N, K)`, edges `(B, N, N, 2)`."""
        logits, nodes = self._read(latent)
        return Graphs(nodes, self._edges(point(logits, leaves(latent)[4]), latent))

    def chances(self, latent: Points) -> Tensor:
        """Return how likely each node points at each other one, `(B, N, N)`."""
        return self._read(latent)[0].softmax(-1)

    def turns(self, latent: Points, count: int) -> Turns:
        """Return graphs, and each again `count` times with one node pointing anew.

        Arguments:
            latent: of B graphs.
            count: nodes of each that are drawn, with equal chances, to choose once more.
        """
        _, _, there, slots, coins = leaves(latent)
        logits, nodes = self._read(latent)
        # All nodes but the first choose; a graph of one node has nobody to turn.
        chooses = there * (slots > 0)
        turned = torch.multinomial(chooses.clamp_min(1e-9), count, replacement=True)
        rows = turned.unsqueeze(-1).expand(-1, -1, logits.shape[-1])
        chances = logits.gather(1, rows).log_softmax(-1)
        with torch.no_grad():
            first, new = point(logits, coins), point(chances, torch.rand_like(chances))
            change = new - first.gather(1, rows)
            here = functional.one_hot(turned, logits.shape[-1]).to(first.dtype).unsqueeze(-1)
            moved = first.unsqueeze(1) + here * change.unsqueeze(2)
            many = on_leaves(lambda part: part.repeat_interleave(count, 0), latent)
            again = Graphs(
                nodes.repeat_interleave(count, 0), self._edges(moved.flatten(0, 1), many)
            )
            graphs = Graphs(nodes, self._edges(first, latent))
        # Padding has logits of no meaning, and is never asked; 0 times -1e9 is 0.
        odds = (change * chances).sum(-1)
        return Turns(graphs, again, odds, chooses.sum(1, keepdim=True) / count)

    def log_chance(self, latent: Points) -> Tensor:
        """Return the logarithm of the chance of what was drawn without a slope, `(B,)`."""
        _, shared, there, *_ = leaves(latent)
        return self.roles.draw(shared, there.sum(1, keepdim=True)).log_chance

    def _read(self, latent: Points) -> tuple[Tensor, Tensor]:
        """Return logits of parents `(B, N, N)`, and labels of nodes `(B, N, K)`."""
        z, shared, there, slots, _ = leaves(latent)
        number = there.sum(1, keepdim=True)
        tokens, sizes = self.roles(shared, number)
        member = members(sizes, slots)
        place = (slots / number.clamp_min(1)).unsqueeze(-1)
        h = self.nodes(torch.cat([z, member @ tokens, place], -1))
        kinds = self.node_head(h).softmax(-1)
        if not self.training:
            kinds = functional.one_hot(kinds.argmax(-1), kinds.shape[-1]).to(kinds.dtype)
        nodes = torch.cat([1 - there.unsqueeze(-1), kinds * there.unsqueeze(-1)], -1)
        return self._logits(tokens, member, h, there, slots), nodes

    @staticmethod
    def _edges(parents: Tensor, latent: Points) -> Tensor:
        """Return labels of edges `(B, N, N, 2)` from whom nodes point at."""
        _, _, there, slots, _ = leaves(latent)
        # The first node has nobody to point at, and padding does not point.
        half = parents * (there * (slots > 0)).unsqueeze(-1)
        bonds = (half + half.transpose(1, 2)).unsqueeze(-1)
        return torch.cat([1 - bonds, bonds], -1)

    def _logits(
        self, tokens: Tensor, member: Tensor, h: Tensor, there: Tensor, slots: Tensor
    ) -> Tensor:
        pairs = (-1, tokens.shape[1], tokens.shape[1], -1)
        child, parent = tokens.unsqueeze(2).expand(pairs), tokens.unsqueeze(1).expand(pairs)
        roles = GAIN * self.table + QUIET * self.pair_head(torch.cat([child, parent], -1))
        any_, last = torch.einsum("bik,bklc,bjl->cbij", member, roles, member)
        ask, answer, follow, weight = (QUIET * self.ends(h)).split([8, 8, 1, 1], -1)
        just_before = (slots.unsqueeze(2) - slots.unsqueeze(1) == 1).to(any_.dtype)
        logits = any_ + weight.transpose(1, 2) + ask @ answer.transpose(1, 2)
        # As many of Aldous's choices come to the node just before as nodes are still to come.
        number = there.sum(1).view(-1, 1, 1)
        last = last + (number - slots.unsqueeze(2) + 1).clamp_min(1).log()
        logits = logits + just_before * (last + follow)
        logits = STEEPEST_LOGIT * torch.tanh(logits / STEEPEST_LOGIT)
        before = (slots.unsqueeze(2) > slots.unsqueeze(1)) & (there.unsqueeze(1) > 0)
        return logits.masked_fill(~before, -1e9)
