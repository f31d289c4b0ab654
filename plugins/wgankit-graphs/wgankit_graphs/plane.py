"""A generator of graphs that lie in a plane: nodes are places, and angles say who is joined.

A pair of nodes is seen from every third node under an angle.  The widest angle from each side of
the pair, and nothing else, says how likely the two are joined; by which rule is learnt (`places`).
Nothing forces what comes out to be planar.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import final

import torch
from torch import Tensor, nn

from wgankit.errors import SettingError
from wgankit.space import Points, leaves
from wgankit_graphs.labelled import Graphs
from wgankit_graphs.networks import multilayer

PART = 2**23
"""Angles that are compared at once: memory does not grow with how many graphs are made."""

EAGER = 5.0
"""Factor on the thresholds, which the game learns faster than it moves nodes."""

CALM = 0.1
"""Factor on the last weights of what moves nodes: the game begins at normal places."""


@final
class AngleRule(nn.Module):
    """Places of nodes -> logits of edges, by the widest angles under which pairs are seen.

    With p and q the widest angles from the left and from the right (0 where no node is), the logit
    is a network of 4 (p + q - pi) and |p - q| / 2, so that turning, mirroring, moving and scaling
    the plane change nothing.  The factors let it learn a sharp border that lies across the sum
    sooner.  Slopes run through the node that sees most, which is chosen without one.

    Arguments:
        width: of both hidden layers.
    """

    def __init__(self, width: int = 48) -> None:
        super().__init__()
        self.judge = nn.Sequential(multilayer(2, width, width), nn.SiLU(), nn.Linear(width, 1))

    def forward(self, places: Tensor, there: Tensor) -> Tensor:
        """Return logits `(B, N, N)`, symmetric, of meaning where both nodes are there.

        Arguments:
            places: `(B, N, 2)`.
            there: 1 for nodes that are there, `(B, N)`.
        """
        logits: Tensor = self.of_angles(angles(places, there))
        return logits

    def of_angles(self, seen: Tensor) -> Tensor:
        """Return logits `(...)` of the widest angles from both sides, `(..., 2)`."""
        left, right = seen.unbind(-1)
        told = torch.stack([4 * (left + right - math.pi), (left - right).abs() / 2], -1)
        logits: Tensor = self.judge(told).squeeze(-1)
        return logits

    def of_pairs(
        self, places: Tensor, there: Tensor, batch: Tensor, low: Tensor, high: Tensor
    ) -> Tensor:
        """Return logits `(M,)` of nodes `low` and `high` of the graphs `batch`."""
        return self.of_angles(torch.stack(widest_angles(places, there, batch, low, high), -1))


def angles(places: Tensor, there: Tensor) -> Tensor:
    """Return the widest angles under which pairs are seen from both sides, `(B, N, N, 2)`.

    Which side comes first means nothing; of a node with itself both are 0.

    Arguments:
        places: `(B, N, 2)`.
        there: 1 for nodes that are there, `(B, N)`.
    """
    count, size = there.shape
    low, high = torch.triu_indices(size, size, 1, device=places.device)
    batch = torch.arange(count, device=places.device).repeat_interleave(len(low))
    low, high = low.repeat(count), high.repeat(count)
    seen = torch.stack(widest_angles(places, there, batch, low, high), -1)
    table = places.new_zeros(count, size, size, 2).index_put((batch, low, high), seen)
    return table + table.transpose(1, 2)


def widest_angles(
    places: Tensor, there: Tensor, batch: Tensor, low: Tensor, high: Tensor
) -> tuple[Tensor, Tensor]:
    """Return the widest angles under which pairs are seen from their left and right, `(M,)` each.

    Arguments:
        places: `(B, N, 2)`.
        there: `(B, N)`; nodes that are not there see nothing.
        batch: the graph of each pair, `(M,)`.
        low: one node of each pair, `(M,)`.
        high: the other one.

    Returns:
        Radians in [0, pi]; 0 where a pair has no node on that side.
    """
    lines = max(1, PART // places.shape[1])
    parts = [
        _widest(places, there, *(one[i : i + lines] for one in (batch, low, high)))
        for i in range(0, max(1, len(batch)), lines)
    ]
    best, any_ = (torch.cat(some, 1) for some in zip(*parts, strict=True))
    start, end = places[batch, low], places[batch, high]
    sides = []
    for nodes, seen in zip(best, any_, strict=True):
        across, along = _cross_and_dot(places[batch, nodes], start, end)
        # A node between the two on their line would have no slope.
        angle = torch.atan2(across.abs() + 1e-6, along)
        sides.append(torch.where(seen, angle, 0.0))
    return sides[0], sides[1]


@torch.no_grad()
def _widest(
    places: Tensor, there: Tensor, batch: Tensor, low: Tensor, high: Tensor
) -> tuple[Tensor, Tensor]:
    """Return which nodes see pairs under the widest angles `(2, M)`, and whether any does."""
    start, end = places[batch, low].unsqueeze(1), places[batch, high].unsqueeze(1)
    across, along = _cross_and_dot(places[batch], start, end)
    number = torch.arange(places.shape[1], device=places.device)
    sees = there[batch] > 0.5
    sees &= (number != low.unsqueeze(1)) & (number != high.unsqueeze(1))
    # The widest angle has the smallest cotangent.
    cotangent = along / across.abs().clamp_min(1e-12)
    found = []
    for side in (across > 0, across <= 0):
        found.append(cotangent.masked_fill(~(sees & side), torch.inf).min(1))
    return torch.stack([one.indices for one in found]), torch.stack(
        [one.values < torch.inf for one in found]
    )


def _cross_and_dot(place: Tensor, start: Tensor, end: Tensor) -> tuple[Tensor, Tensor]:
    """Return cross and inner product of the ways from places to both ends of pairs."""
    one, two = place - start, place - end
    return one[..., 0] * two[..., 1] - one[..., 1] * two[..., 0], (one * two).sum(-1)


@final
class PlaneGenerator(nn.Module):
    """Latents -> graphs whose nodes lie in a plane, joined where their angles' logit is large.

    A node's place is what a small network makes of two of its latent numbers, the same for all
    nodes; learning starts where it is these two numbers.  The rule stays as it was learnt before;
    the game moves nodes, and the two thresholds of the rule: one for pairs that nodes see from both
    sides and one for those of the rim, which begin at 0.  (With one, how many edges the rim has
    would say where pairs within are joined.)  Edges are hard, with the gradient of the logit's
    probability (straight through).

    Arguments:
        node_labels: 2; nodes of several kinds are not made.
        edge_labels: 2; edges of several kinds neither.
        rule: state of an `AngleRule`; an untrained one if there is none.
        width: of what moves nodes.
    """

    def __init__(
        self,
        node_labels: int,
        edge_labels: int,
        *,
        rule: Mapping[str, Tensor] | None = None,
        width: int = 64,
    ) -> None:
        super().__init__()
        if (node_labels, edge_labels) != (2, 2):
            raise SettingError(
                "graphs in a plane have one kind of nodes and one of edges; the data has "
                f"{node_labels - 1} and {edge_labels - 1}: leave out the labels, or take "
                "another generator, such as model={'generator': 'attention'}"
            )
        self.rule = AngleRule().requires_grad_(False)
        if rule is not None:
            self.rule.load_state_dict(dict(rule))
        self.move = multilayer(2, width, 2)
        with torch.no_grad():
            weight, bias = self.move[-1].parameters()
            weight.mul_(CALM)
            bias.zero_()
        self.threshold = nn.Parameter(torch.zeros(2))

    def forward(self, latent: Points) -> Graphs:
        """Return graphs with one-hot labels: nodes `(B, N, 2)`, edges `(B, N, N, 2)`."""
        there = leaves(latent)[2]
        seen = angles(self.places(latent), there)
        within, rim = self.threshold
        threshold = torch.where((seen > 0).all(-1), within, rim)
        logits = self.rule.of_angles(seen) - EAGER * threshold
        chances = logits.sigmoid()
        hard = (logits > 0).to(chances.dtype) + (chances - chances.detach())
        pairs = there.unsqueeze(1) * there.unsqueeze(2)
        bonds = hard * pairs * (1 - torch.eye(there.shape[1], device=there.device))
        nodes = torch.stack([1 - there, there], -1)
        return Graphs(nodes, torch.stack([1 - bonds, bonds], -1))

    def places(self, latent: Points) -> Tensor:
        """Return where the nodes lie, `(B, N, 2)`."""
        z = leaves(latent)[0][..., :2]
        place: Tensor = z + self.move(z)
        return place
