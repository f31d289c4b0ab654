"""Where the nodes of graphs lie in a plane, and by which rule of angles they are joined.

Both are learnt together before the game.  The rule climbs the likelihood of the training graphs.
Places do not: they are drawn from their law given graph and rule (Langevin dynamics), because
places that were as good as they can be would stand far from every border of the rule, and the rule
could put its borders anywhere between.  On average over such draws the slope of the rule is that of
the likelihood of the graphs alone (Fisher's identity), with every place of the plane as likely as
any other.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, final

import networkx as nx
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from wgankit import state as states
from wgankit.errors import RunError
from wgankit.lessons import Lesson, attend, stamp_of
from wgankit.progress import Teller
from wgankit_graphs.plane import AngleRule

BATCH = 16
"""Graphs of a step."""

RATE = 3e-3
"""Of the rule, falling to 0."""

STEP, COLD = 2e-4, 0.01
"""Of Langevin dynamics, in squares of places whose mean square is 1, and its share at the end."""

LONGEST = 0.05
"""The farthest that a slope moves a node in a step."""

NEAR, SHARE = 12, 0.1
"""Pairs are looked at where one is among the nearest of the other, and this share of the rest."""

JITTER = 0.02
"""Deviation of what is added to drawings, in which nodes may lie on each other."""


def drawing(graph: nx.Graph) -> np.ndarray:
    """Return places of the nodes of a graph, `(n, 2)`, without crossings if it has such a drawing.

    Of a planar graph the largest face is laid on a circle, and every other node in the middle of
    its neighbours (Tutte, 1963); other graphs are laid out by the lengths of shortest paths
    (Torgerson, 1952).
    """
    planar, faces = nx.check_planarity(graph)
    if planar and len(graph) > 3 and nx.is_connected(graph):
        return _barycentric(graph, _largest_face(faces))
    return _scaled(graph)


def _largest_face(embedding: nx.PlanarEmbedding) -> list[Any]:
    seen: set[tuple[Any, Any]] = set()
    faces: list[list[Any]] = [
        embedding.traverse_face(*e, seen) for e in embedding.edges() if e not in seen
    ]
    largest: list[Any] = max(faces, key=len)
    return list(dict.fromkeys(largest))


def _barycentric(graph: nx.Graph, rim: Sequence[Any]) -> np.ndarray:
    number = {node: index for index, node in enumerate(graph)}
    turns = 2 * math.pi * np.arange(len(rim)) / len(rim)
    places = np.zeros((len(graph), 2))
    fixed = [number[node] for node in rim]
    places[fixed] = np.stack([np.cos(turns), np.sin(turns)], 1)
    free = sorted(set(range(len(graph))) - set(fixed))
    if free:
        laplacian = nx.laplacian_matrix(graph, weight=None).toarray().astype(float)
        pull = -laplacian[np.ix_(free, fixed)] @ places[fixed]
        places[free] = np.linalg.solve(laplacian[np.ix_(free, free)], pull)
    return places


def _scaled(graph: nx.Graph) -> np.ndarray:
    count = len(graph)
    number = {node: index for index, node in enumerate(graph)}
    far = np.full((count, count), float(count))
    for node, reached in nx.all_pairs_shortest_path_length(graph):
        for other, steps in reached.items():
            far[number[node], number[other]] = steps
    centred = far**2 - (far**2).mean(0) - (far**2).mean(1, keepdims=True) + (far**2).mean()
    values, vectors = np.linalg.eigh(-centred / 2)
    places = np.zeros((count, 2))
    found = vectors[:, -2:] * np.sqrt(np.maximum(values[-2:], 0))
    places[:, : found.shape[1]] = found
    return places


def spread(places: Tensor, there: Tensor) -> Tensor:
    """Return places moved to mean 0 and scaled to mean square 1 in each graph; 0 for padding."""
    mask = there.unsqueeze(-1)
    count = mask.sum(1, keepdim=True).clamp_min(1)
    centred = (places - (places * mask).sum(1, keepdim=True) / count) * mask
    square = centred.square().sum((1, 2), keepdim=True) / (2 * count)
    return centred / square.sqrt().clamp_min(1e-6)


@final
class Placing(Lesson[Tensor]):
    """Places and a rule under way: iterate for the loss of each step, in nats a graph.

    Arguments:
        rule: as it begins.
        adjacency: of the graphs to learn from, `(G, N, N)` of 0 and 1.
        there: `(G, N)`.
        places: where learning starts, `(G, N, 2)`.
        steps: how many.
        seed: of batches and noise.
        device: where to compute.
    """

    def __init__(
        self,
        rule: AngleRule,
        adjacency: Tensor,
        there: Tensor,
        places: Tensor,
        *,
        steps: int,
        seed: int,
        device: torch.device,
    ) -> None:
        self.rule, self.device, self.steps, self.index = rule.to(device), device, steps, 0
        self.adjacency, self.there = adjacency.to(device), there.to(device)
        self.randomness = states.Randomness(seed, device)
        with self.randomness.used():
            begun = spread(places.to(device), self.there)
            self.places = spread(begun + JITTER * torch.randn_like(begun), self.there)
        self.optimizer = torch.optim.Adam(rule.parameters(), RATE, betas=(0.9, 0.99))

    def __next__(self) -> Tensor:
        """Do one step, on random numbers of this lesson's own."""
        if self.index >= self.steps:
            raise StopIteration
        left = 1 - self.index / self.steps
        for group in self.optimizer.param_groups:
            group["lr"] = RATE * left
        with self.randomness.used():
            some = torch.randperm(len(self.places), device=self.device)[:BATCH]
            loss = self._step(some, STEP * COLD ** (1 - left))
        self.index += 1
        return loss

    def _step(self, some: Tensor, size: float) -> Tensor:
        there = self.there[some]
        places = self.places[some].requires_grad_()
        loss = self._loss(places, self.adjacency[some], there)
        rule = list(self.rule.parameters())
        slope, *slopes = torch.autograd.grad(loss, [places, *rule])
        for parameter, one in zip(rule, slopes, strict=True):
            parameter.grad = one / len(some)
        self.optimizer.step()
        with torch.no_grad():
            # The slope of each graph's own loss, since its places have a law of their own.
            step = size * slope
            step = step / (1 + step.norm(dim=-1, keepdim=True) / LONGEST)
            moved = places - step + math.sqrt(2 * size) * torch.randn_like(step)
            self.places[some] = spread(moved, there)
        return loss.detach() / len(some)

    def _loss(self, places: Tensor, adjacency: Tensor, there: Tensor) -> Tensor:
        """Return minus the logarithm of the chance of graphs, estimated from some of the pairs."""
        close = near(places.detach(), there) | (adjacency > 0)
        pairs = (there.unsqueeze(1) * there.unsqueeze(2)).triu(1) > 0
        kept = pairs & (close | (torch.rand_like(adjacency) < SHARE))
        batch, low, high = kept.nonzero(as_tuple=True)
        weight = torch.where(close[kept], 1.0, 1 / SHARE)
        logits = self.rule.of_pairs(places, there, batch, low, high)
        return functional.binary_cross_entropy_with_logits(
            logits, adjacency[kept], weight, reduction="sum"
        )

    def state_dict(self) -> dict[str, Any]:
        """Return all that the next step depends on, the graphs not included."""
        return {
            "index": self.index,
            "places": self.places,
            "rule": self.rule.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "rng": self.randomness.state,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a state of a lesson with the same graphs and settings."""
        self.places = state["places"].to(self.device)
        self.rule.load_state_dict(state["rule"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.index, self.randomness.state = state["index"], state["rng"]


def near(places: Tensor, there: Tensor) -> Tensor:
    """Return which pairs are near, `(B, N, N)`: one is among the `NEAR` nearest of the other."""
    apart = torch.cdist(places, places).masked_fill(there.unsqueeze(1) < 0.5, torch.inf)
    rank = apart.argsort(-1).argsort(-1)
    return (rank <= NEAR) | (rank.transpose(1, 2) <= NEAR)


def learn_rule(
    adjacency: Tensor,
    there: Tensor,
    *,
    steps: int,
    seed: int = 0,
    device: torch.device | str = "cpu",
    folder: Path | None = None,
    teller: Teller | None = None,
) -> AngleRule:
    """Learn places of graphs and the rule of their edges, going on where a kill stopped it.

    Arguments:
        adjacency: of the graphs to learn from, `(G, N, N)` of 0 and 1, on the CPU.
        there: 1 for nodes that are there, `(G, N)`.
        steps: how many.
        seed: of weights, batches and noise.
        device: where to learn.
        folder: where the state is kept, in `places.pt`; nothing is kept if there is none.
        teller: who reports.

    Returns:
        The rule, on the CPU.

    Raises:
        SettingError: the folder holds the state of other graphs, steps or seed.
        RunError: the loss is no longer finite.
    """
    adjacency, there = adjacency.float(), there.float()
    places = torch.zeros(*there.shape, 2)
    for index, (table, nodes) in enumerate(zip(adjacency, there, strict=True)):
        chosen = nodes.nonzero()[:, 0]
        graph = nx.from_numpy_array(table[chosen][:, chosen].numpy())
        places[index, chosen] = torch.from_numpy(drawing(graph)).float()
    with states.seeded(seed):
        rule = AngleRule()
    lesson = Placing(
        rule, adjacency, there, places, steps=steps, seed=seed, device=torch.device(device)
    )
    attend(
        lesson,
        words,
        title="places in a plane",
        stamp=stamp_of([adjacency, there], [str(rule), steps, seed]),
        path=folder / "places.pt" if folder else None,
        teller=teller,
    )
    return rule.cpu().eval()


def words(loss: Tensor) -> str:
    """Return what a step says of its loss, for people.

    Raises:
        RunError: it is not finite.
    """
    if not bool(torch.isfinite(loss)):
        raise RunError("places in a plane diverged: the loss is not finite; try another seed")
    return f"{float(loss):.3g} nats a graph"
