"""Networks on labelled graphs: an equivariant generator and an invariant critic.

Both see more than message passing can (1-WL): the critic reads return and meeting probabilities of
random walks on the relaxed adjacency, and every layer multiplies matrices over node pairs as in
provably powerful graph networks (Maron et al., 2019).  All of it is differentiable twice.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast, final

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from wgankit.errors import SettingError
from wgankit.latent import Latent
from wgankit.space import Points, leaves, pick
from wgankit_graphs import memory
from wgankit_graphs.labelled import Graphs, graphs_of
from wgankit_graphs.numbered import joined, numbered


@final
class GraphLatent(Latent):
    """Normal numbers for each node and for the graph, and a number of nodes drawn from the data.

    Arguments:
        sizes: how many training graphs have k nodes, at index k.
        size: N, nodes of a padded graph.
        per_node: normal numbers for each node.
        per_graph: normal numbers that all nodes share.
    """

    def __init__(
        self, sizes: Sequence[float], size: int, per_node: int = 16, per_graph: int = 32
    ) -> None:
        law = torch.as_tensor(list(sizes), dtype=torch.float64)
        if len(law) > size + 1 or not bool((law >= 0).all()) or not float(law.sum()) > 0:
            raise SettingError(
                f"sizes holds counts >= 0 of graphs with 0, 1, ..., {size} nodes; got {sizes}"
            )
        self.cumulative = (law.cumsum(0) / law.sum()).float()
        self.size, self.per_node, self.per_graph = size, per_node, per_graph

    def sample(self, count: int, device: torch.device | str) -> Points:
        """Return latents (nodes, graph, there, slots) of `count` graphs.

        Nodes are `(count, N, per_node)`, graph `(count, per_graph)`, the others `(count, N)`;
        `there` is 1 for nodes of the graph and 0 for padding; `slots` numbers the nodes, so that a
        generator can tell them apart without giving up equivariance: renumbering all four
        renumbers its output.
        """
        if self.cumulative.device != torch.device(device):
            self.cumulative = self.cumulative.to(device)
        chance = torch.rand(count, device=device)
        number = torch.searchsorted(self.cumulative, chance).clamp_max(self.size)
        there = torch.arange(self.size, device=device) < number[:, None]
        return (
            torch.randn(count, self.size, self.per_node, device=device),
            torch.randn(count, self.per_graph, device=device),
            there.float(),
            torch.arange(self.size, device=device).expand(count, -1),
        )


def multilayer(inputs: int, width: int, outputs: int) -> nn.Sequential:
    """Return two dense layers with a smooth rectifier between them."""
    return nn.Sequential(nn.Linear(inputs, width), nn.SiLU(), nn.Linear(width, outputs))


@final
class Attention(nn.Module):
    """One round in which the nodes of a graph listen to each other (Vaswani et al., 2017).

    Equivariant under renumbering; nodes that are not there are not heard.

    Arguments:
        width: channels of a node.
        heads: how many weightings of the others.
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.before = nn.LayerNorm(width)
        self.ask = nn.Linear(width, 3 * width)
        self.hear = nn.Linear(width, width)
        self.between = nn.LayerNorm(width)
        self.think = multilayer(width, 2 * width, width)

    def forward(self, nodes: Tensor, there: Tensor) -> Tensor:
        """Return new nodes `(B, N, C)`; `there` is `(B, N)`."""
        count, size, width = nodes.shape
        parts = self.ask(self.before(nodes)).view(count, size, 3, self.heads, -1)
        query, key, value = parts.permute(2, 0, 3, 1, 4)
        # A graph without nodes would have nobody to hear, and a softmax over nothing is NaN.
        unheard = torch.where(there > 0, 0.0, -1e9)[:, None, None, :]
        heard = functional.scaled_dot_product_attention(query, key, value, attn_mask=unheard)
        nodes = nodes + self.hear(heard.transpose(1, 2).reshape(count, size, width))
        return nodes + cast(Tensor, self.think(self.between(nodes)))


STEEPEST_LOGIT = 8.0
"""Logits are squashed into this range: a softmax that saturates has no gradient left, and Adam
would turn what remains into steps of full length in random directions."""


def straight_through(logits: Tensor, *, temperature: float = 1.0, noise: bool = False) -> Tensor:
    """Return one-hot labels whose gradient is that of the softmax (Bengio et al., 2013).

    With `noise` the labels are drawn by the Gumbel trick (Jang et al., 2017) instead of taken as
    the likeliest.
    """
    if noise:
        logits = logits - torch.empty_like(logits).exponential_().clamp_min(1e-30).log()
    soft = (logits / temperature).softmax(-1)
    hard = functional.one_hot(soft.argmax(-1), logits.shape[-1]).to(soft.dtype)
    return hard + (soft - soft.detach())  # in this order the value is exactly 0 or 1


LABELS = ("soft", "straight-through", "gumbel")
"""What a generator returns while it is trained: probabilities, to be blurred like the data; the
likeliest labels; or labels drawn by their probabilities, both with the gradient of the softmax."""


def squash(logits: Tensor) -> Tensor:
    """Return logits within +-STEEPEST_LOGIT, unchanged to first order around 0."""
    return STEEPEST_LOGIT * torch.tanh(logits / STEEPEST_LOGIT)


@torch.no_grad()
def start_at(head: nn.Sequential, law: Sequence[float] | None) -> None:
    """Let the labels that a head prefers begin with the shares that the data has."""
    if law is not None:
        shares = torch.as_tensor(list(law), dtype=torch.float32)
        last = cast(nn.Linear, head[-1])
        last.bias.copy_((shares / shares.sum()).clamp_min(1e-4).log())


def apart(numbers: Tensor) -> Tensor:
    """Return how far apart nodes are by each of their numbers, and by all, `(B, N, N, A + 1)`.

    log(1 + square) of the difference: smooth, slopes at most 1, equal in both directions.
    """
    return lengths(numbers.unsqueeze(2) - numbers.unsqueeze(1))


def lengths(differences: Tensor) -> Tensor:
    """Return log(1 + square) of each difference `(..., A)` and of all together, `(..., A + 1)`."""
    squares = differences.square()
    return torch.cat([squares, squares.sum(-1, keepdim=True)], -1).log1p()


def bent(numbers: Tensor) -> Tensor:
    """Return sqrt(1 + x^2) - 1: like x^2 / 2 near 0, with slopes at most 1."""
    return (1 + numbers.square()).sqrt() - 1


@final
class GraphGenerator(nn.Module):
    """Latents of nodes and of the graph -> labelled graphs, equivariant under renumbering.

    Arguments:
        node_labels: K, "nothing" included.
        edge_labels: L, "nothing" included.
        size: N, how many slots nodes can have; each slot has a learned code beside its noise, so
            that nodes need not agree on who plays which part (the context of Krawczuk et al.,
            GG-GAN, 2020).
        node_law: shares of the K - 1 node labels in the data; where the untrained generator starts.
        edge_law: shares of the L edge labels in the data, "nothing" first.
        per_node: latent numbers of a node.
        per_graph: latent numbers of the graph.
        width: channels of a node.
        layers: rounds of attention.
        heads: of the attention.
        labels: what training sees: "soft", "straight-through" or "gumbel" (see `LABELS`).  In
            evaluation mode the likeliest labels come out, whatever this is.
        node_numbers: A, how many real numbers a node has.  Edges are made knowing them: how far
            apart both ends are is told to what decides on an edge.
        edge_numbers: C, how many real numbers an edge has.
    """

    def __init__(
        self,
        node_labels: int,
        edge_labels: int,
        size: int,
        *,
        node_law: Sequence[float] | None = None,
        edge_law: Sequence[float] | None = None,
        per_node: int = 16,
        per_graph: int = 32,
        width: int = 64,
        layers: int = 3,
        heads: int = 4,
        labels: str = "soft",
        node_numbers: int = 0,
        edge_numbers: int = 0,
    ) -> None:
        super().__init__()
        self.enter = multilayer(per_node + per_graph + 1, width, width)
        self.slots = nn.Embedding(size, width)
        # Codes no louder than the latents: with louder ones all samples begin alike, and the
        # generator spends its first thousand steps learning to differ.
        nn.init.normal_(self.slots.weight, std=0.2)
        self.layers = nn.ModuleList(Attention(width, heads) for _ in range(layers))
        self.leave = nn.LayerNorm(width)
        self.node_head = multilayer(width, width, node_labels - 1)
        self.ends = nn.Linear(width, 2 * width)
        told = 2 * width + (node_numbers + 1 if node_numbers else 0)
        self.pair_head = multilayer(told, width, edge_labels)
        self.node_number_head = multilayer(width, width, node_numbers) if node_numbers else None
        self.edge_number_head = multilayer(told, width, edge_numbers) if edge_numbers else None
        self.width = width
        if labels not in LABELS:
            raise SettingError(f"labels is one of {', '.join(LABELS)}; got {labels!r}")
        self.labels = labels
        start_at(self.node_head, node_law)
        start_at(self.pair_head, edge_law)

    def forward(self, latent: Points) -> Points:
        """Return graphs with one-hot labels: nodes `(B, N, K)`, edges `(B, N, N, L)`.

        Numbers, if there are any, follow (see `numbered.Numbered`).
        """
        z, shared, there, slots = leaves(latent)
        number = there.mean(1, keepdim=True)
        context = torch.cat([shared, number], -1).unsqueeze(1).expand(-1, z.shape[1], -1)
        h = self.enter(torch.cat([z, context], -1)) + self.slots(slots)
        for layer in self.layers:
            h = layer(h, there)
        h = self.leave(h)
        kinds = self._choose(self.node_head(h))
        nodes = torch.cat([1 - there.unsqueeze(-1), kinds * there.unsqueeze(-1)], -1)
        own = None if self.node_number_head is None else self.node_number_head(h)
        edges, lengths = self._edges(h, there, own)
        if own is None and lengths is None:
            return Graphs(nodes, edges)
        present = None if own is None else own * there.unsqueeze(-1)
        return joined(Graphs(nodes, edges), present, lengths)

    def _choose(self, logits: Tensor) -> Tensor:
        logits = squash(logits)
        if self.training and self.labels == "soft":
            return logits.softmax(-1)
        return straight_through(logits, noise=self.training and self.labels == "gumbel")

    def _edges(
        self, nodes: Tensor, there: Tensor, own: Tensor | None
    ) -> tuple[Tensor, Tensor | None]:
        """Return labels of all pairs, and share times numbers where edges have numbers."""
        # Every unordered pair once: half the work, and symmetric without averaging labels.
        size = nodes.shape[1]
        low, high = torch.triu_indices(size, size, 1, device=nodes.device)
        add, multiply = self.ends(nodes).chunk(2, -1)
        labels, numbers = self._in_blocks(add, multiply, own, low, high)
        bonds = labels[..., 1:] * (there[:, low] * there[:, high]).unsqueeze(-1)
        both = self._both_ways(bonds, low, high, size)
        edges = torch.cat([1 - both.sum(-1, keepdim=True), both], -1)
        if numbers is None:
            return edges, None
        shares = bonds.sum(-1, keepdim=True)
        return edges, self._both_ways(shares * numbers, low, high, size)

    def _in_blocks(
        self, add: Tensor, multiply: Tensor, own: Tensor | None, low: Tensor, high: Tensor
    ) -> tuple[Tensor, Tensor | None]:
        """Return labels and numbers of pairs, in blocks of pairs where all would take much room."""
        most = max(1, memory.BLOCK // (len(add) * self.width))
        if len(low) <= most:
            return self._pairs(add, multiply, own, low, high)
        parts = []
        for some, others in zip(torch.split(low, most), torch.split(high, most), strict=True):
            inputs = (add, multiply, own, some, others)
            if torch.is_grad_enabled():
                parts.append(checkpoint(self._pairs, *inputs, use_reentrant=False))
            else:
                parts.append(self._pairs(*inputs))
        labels, numbers = zip(*parts, strict=True)
        return torch.cat(labels, 1), None if numbers[0] is None else torch.cat(numbers, 1)

    def _pairs(
        self, add: Tensor, multiply: Tensor, own: Tensor | None, low: Tensor, high: Tensor
    ) -> tuple[Tensor, Tensor | None]:
        told = [add[:, low] + add[:, high], multiply[:, low] * multiply[:, high]]
        if own is not None:
            told.append(lengths(own[:, low] - own[:, high]))
        pairs = torch.cat(told, -1)
        labels = self._choose(self.pair_head(pairs))
        return labels, None if self.edge_number_head is None else self.edge_number_head(pairs)

    @staticmethod
    def _both_ways(pairs: Tensor, low: Tensor, high: Tensor, size: int) -> Tensor:
        """Return what unordered pairs have `(B, P, C)` as a symmetric table `(B, N, N, C)`."""
        half = pairs.new_zeros(len(pairs), size, size, pairs.shape[-1])
        graph = torch.arange(len(pairs), device=pairs.device)[:, None]
        half = half.index_put((graph, low, high), pairs)
        return half + half.transpose(1, 2)


def walks(adjacency: Tensor, steps: int) -> Tensor:
    """Return where random walks go: probabilities `(B, N, N, steps)` after 1, 2, ... steps.

    The walk is lazy (it may stay): P = (A + 1) / (degree + 1), which is smooth also where a node
    has no edges, so that the critic's slopes stay finite there.  Its diagonal (return
    probabilities) and its entries separate graphs that 1-WL cannot.
    """
    size = adjacency.shape[1]
    loops = adjacency + torch.eye(size, device=adjacency.device, dtype=adjacency.dtype)
    step = loops / loops.sum(-1, keepdim=True)
    powers = [step]
    for _ in range(steps - 1):
        powers.append(powers[-1] @ step)
    return torch.stack(powers, -1)


@final
class RelationLayer(nn.Module):
    """One round of messages along several weighted relations between the nodes of a graph.

    h_i <- h_i + mlp(h_i, sum_j M_ij^r h_j for every relation r): one product of matrices for all
    relations, before any channel is mixed, which is the cheap order (Schlichtkrull et al., 2018).

    Arguments:
        width: channels of a node.
        relations: R, how many relations there are.
    """

    def __init__(self, width: int, relations: int) -> None:
        super().__init__()
        self.before = nn.LayerNorm(width)
        self.speak = nn.Linear(width, width // 2)
        self.hear = nn.Linear(width + relations * (width // 2), width)
        self.think = nn.Linear(width, width)

    def forward(self, nodes: Tensor, relations: Tensor) -> Tensor:
        """Return new nodes `(B, N, C)`; `relations` is `(B, R * N, N)`."""
        count, size, _ = nodes.shape
        h = self.before(nodes)
        heard = (relations @ self.speak(h)).view(count, -1, size, self.speak.out_features)
        heard = heard.transpose(1, 2).reshape(count, size, -1)
        inner = functional.silu(self.hear(torch.cat([h, heard], -1)))
        return nodes + cast(Tensor, self.think(inner))


def seen(adjacency: Tensor, nodes: Tensor | None, edges: Tensor | None) -> list[Tensor]:
    """Return what each node sees of numbers at once, `(B, N, ...)` each; nothing without any.

    Its own numbers; over its edges the sums of their numbers, of how far they are from 0, of how
    far apart both ends are, of that squared, and of one times the other.  The last three tell
    whether edges' numbers fit those of their ends.

    Arguments:
        adjacency: `(B, N, N)`.
        nodes: `(B, N, A)`, or None.
        edges: symmetric, `(B, N, N, C)`, or None.
    """
    found = []
    if edges is not None:
        found += [edges.sum(2), bent(edges).sum(2)]
    if nodes is not None:
        far = apart(nodes)
        along = adjacency.unsqueeze(-1) * far
        found += [nodes, along.sum(2), (along * far).sum(2)]
        if edges is not None:
            found.append(torch.einsum("bijc,bija->bica", edges, far).flatten(2))
    return found


def seen_count(nodes: int, edges: int) -> int:
    """Return how many numbers `seen` returns for each node of graphs with A and C numbers."""
    far = nodes + 1 if nodes else 0
    return 2 * edges + nodes + 2 * far + edges * far


@final
class GraphCritic(nn.Module):
    """Labelled graphs -> scores `(B,)` that do not depend on the numbering of the nodes.

    Messages travel along the edges of each label and along the walks of several lengths, whose
    return probabilities are features of the nodes.

    Arguments:
        node_labels: K, "nothing" included.
        edge_labels: L, "nothing" included.
        width: channels of a node.
        layers: rounds.
        steps: length of the longest random walk it reads, at least 2.
        node_numbers: A, how many real numbers a node has.
        edge_numbers: C, how many real numbers an edge has.  Messages travel along edges weighted by
            each of them, too, and nodes see them beside how far apart the ends are (see `seen`).
    """

    def __init__(
        self,
        node_labels: int,
        edge_labels: int,
        *,
        width: int = 64,
        layers: int = 3,
        steps: int = 6,
        node_numbers: int = 0,
        edge_numbers: int = 0,
    ) -> None:
        super().__init__()
        if steps < 2:
            raise SettingError(
                f"the critic's random walks have at least 2 steps; got {steps}: "
                "--set model.steps=2 or more"
            )
        self.steps = steps
        relations = edge_labels - 1 + 2 + edge_numbers
        inputs = node_labels + edge_labels - 1 + steps + seen_count(node_numbers, edge_numbers)
        self.enter = multilayer(inputs, width, width)
        self.layers = nn.ModuleList(RelationLayer(width, relations) for _ in range(layers))
        self.leave = multilayer(width, width, width)
        self.score = multilayer(width, width, 1)

    def forward(self, points: Points) -> Tensor:
        """Return one score for each graph."""
        count, size = leaves(points)[0].shape[:2]
        most = max(1, memory.BLOCK // (size**2 * self.steps))
        if count > most and not torch.is_grad_enabled():
            blocks = (pick(points, slice(at, at + most)) for at in range(0, count, most))
            return torch.cat([self._scores(block) for block in blocks])
        return self._scores(points)

    def _scores(self, points: Points) -> Tensor:
        labels, node_numbers, edge_numbers = numbered(points)
        nodes, edges = graphs_of(labels)
        edges = (edges + edges.transpose(1, 2)) / 2
        if edge_numbers is not None:
            edge_numbers = (edge_numbers + edge_numbers.transpose(1, 2)) / 2
        count, size = nodes.shape[:2]
        travel = walks(1 - edges[..., 0], self.steps)
        back = travel.diagonal(dim1=1, dim2=2).transpose(1, 2)
        bonds = edges[..., 1:]
        more = seen(1 - edges[..., 0], node_numbers, edge_numbers)
        h = self.enter(torch.cat([nodes, bonds.sum(2), back, *more], -1))
        weights = [] if edge_numbers is None else [edge_numbers]
        relations = torch.cat([bonds, travel[..., 1:2], travel[..., -1:], *weights], -1)
        relations = relations.permute(0, 3, 1, 2).reshape(count, -1, size)
        for layer in self.layers:
            h = layer(h, relations)
        # A sum, because edits add up: what one edit changes should not shrink with the graph.
        return cast(Tensor, self.score(functional.silu(self.leave(h)).sum(1)).squeeze(-1))
