"""A generator of trees: every node but the first points at its parent, all at once.

What comes out is connected without cycles whatever the weights are, so that validity as a tree is
no achievement of training; which tree comes out is.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import final

import torch
from torch import Tensor, nn
from torch.nn import functional

from wgankit.errors import SettingError
from wgankit.space import Points, leaves
from wgankit_graphs.labelled import Graphs
from wgankit_graphs.networks import Attention, multilayer, start_at

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


@final
class Intervals(nn.Module):
    """Tokens that share the nodes of a graph among them, each an interval of [0, 1].

    They listen to each other and to what the whole graph shares, and each says how large a part of
    the nodes, which are spread evenly, is its own.

    Arguments:
        count: how many tokens; a token may take no nodes.
        inputs: numbers that a graph shares.
        width: channels.
        layers: rounds of attention among tokens.
        heads: of the attention.
        softness: nodes over which one interval passes into the next for gradients, which move the
            border; what comes out has sharp borders.
    """

    def __init__(
        self, count: int, inputs: int, width: int, *, layers: int, heads: int, softness: float
    ) -> None:
        super().__init__()
        if count < 1 or not softness > 0:
            raise SettingError(
                f"at least one block and a softness > 0 are wanted; got {count} and {softness}"
            )
        self.softness = softness
        self.codes = nn.Parameter(torch.randn(count, width))
        # Every token hears the noise differently: blocks of one graph shall differ in size.
        self.enter = multilayer(inputs, width, count * width)
        self.layers = nn.ModuleList(Attention(width, heads) for _ in range(layers))
        self.leave = nn.LayerNorm(width)
        # Without a constant, which a softmax over tokens would not see.
        self.length = nn.Sequential(
            nn.Linear(width, width), nn.SiLU(), nn.Linear(width, 1, bias=False)
        )

    def forward(self, shared: Tensor) -> tuple[Tensor, Tensor]:
        """Return tokens `(B, count, width)` and the parts that they take `(B, count)`, sum 1."""
        tokens = self.codes + self.enter(shared).view(len(shared), *self.codes.shape)
        everyone = torch.ones_like(tokens[..., 0])
        for layer in self.layers:
            tokens = layer(tokens, everyone)
        tokens = self.leave(tokens)
        return tokens, self.length(tokens).squeeze(-1).softmax(-1)

    def members(self, parts: Tensor, slots: Tensor, number: Tensor) -> Tensor:
        """Return how much each node belongs to each token, `(B, N, count)`.

        Arguments:
            parts: of the nodes that each takes, `(B, count)`.
            slots: places of the nodes, 0, 1, ..., `(B, N)`.
            number: of nodes, `(B, 1)`.
        """
        number = number.clamp_min(1)
        ends = parts.cumsum(-1)[:, None, :-1]
        place = ((slots + 0.5) / number).unsqueeze(-1)
        soft = ((place - ends) * (number / self.softness).unsqueeze(-1)).sigmoid()
        beyond = (place > ends).to(soft.dtype) + (soft - soft.detach())
        steps = functional.pad(functional.pad(beyond, (1, 0), value=1.0), (0, 1))
        return steps[..., :-1] - steps[..., 1:]


@final
class TreeGenerator(nn.Module):
    """Latents -> trees: node i points at one of the nodes before it.

    Nodes are spread over intervals, one for each role, whose lengths hear noise and the number of
    nodes.  How likely a parent is depends on both roles, on whether it is the node just before, and
    on what both nodes make of their own latents.  Given the latents all nodes choose independently.
    Learning starts near the uniform law on labelled trees: node i points at node min(u, i - 1) with
    u uniform on 1, ..., n (Aldous, 1990), so that only the node just before is special.

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
        softness: nodes on both sides of a border between roles whose edges tell it to move.
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
        softness: float = 1.0,
    ) -> None:
        super().__init__()
        if edge_labels != 2:
            raise SettingError(f"trees have one kind of edges; the data has {edge_labels - 1}")
        self.size = size
        self.roles = Intervals(
            blocks, per_graph + 1, width, layers=layers, heads=heads, softness=softness
        )
        # By roles of child and parent: of any node before, and of the one just before.
        self.table = nn.Parameter(torch.zeros(blocks, blocks, 2))
        self.pair_head = multilayer(2 * width, width, 2)
        self.nodes = multilayer(per_node + width + 1, width, width)
        self.node_head = nn.Sequential(nn.SiLU(), nn.Linear(width, node_labels - 1))
        self.ends = nn.Linear(width, 18)
        start_at(self.node_head, node_law)

    def forward(self, latent: Points) -> Graphs:
        """Return trees with one-hot labels: nodes `(B, N, K)`, edges `(B, N, N, 2)`."""
        z, shared, there, slots, coins = leaves(latent)
        number = there.sum(1, keepdim=True)
        tokens, lengths = self.roles(torch.cat([shared, number / self.size], 1))
        member = self.roles.members(lengths, slots, number)
        place = (slots / number.clamp_min(1)).unsqueeze(-1)
        h = self.nodes(torch.cat([z, member @ tokens, place], -1))
        parents = point(self._logits(tokens, member, h, there, slots), coins)
        # The first node has nobody to point at, and padding does not point.
        points = there * (slots > 0)
        half = parents * points.unsqueeze(-1)
        bonds = (half + half.transpose(1, 2)).unsqueeze(-1)
        kinds = self.node_head(h).softmax(-1)
        if not self.training:
            kinds = functional.one_hot(kinds.argmax(-1), kinds.shape[-1]).to(kinds.dtype)
        nodes = torch.cat([1 - there.unsqueeze(-1), kinds * there.unsqueeze(-1)], -1)
        return Graphs(nodes, torch.cat([1 - bonds, bonds], -1))

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
