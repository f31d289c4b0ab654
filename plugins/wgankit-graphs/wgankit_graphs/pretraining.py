"""A generator's first lesson: to give each training graph back from what an encoder says of it.

A generator that begins as the decoder of an autoencoder can say every graph of the data before the
game begins, and samples differ from the start; what the game teaches is which of the graphs in
between are none (Larsen et al., ICML 2016, join both in one loss).

The encoder sees nodes in a fixed order (`depth_first`) and says as many numbers as the graph's own
latents.  They are brought onto the sphere on which normal vectors nearly lie, and mixed with as
much noise as makes them about normal again, so that the lesson is about the latents that will be
drawn.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast, final

import torch
from torch import Tensor, nn
from torch.nn import functional

from wgankit import state as states
from wgankit.errors import RunError, SettingError
from wgankit.lessons import SAVE_EVERY, Lesson, attend, stamp_of
from wgankit.progress import Teller
from wgankit.space import Points, batch_size, leaves, pick
from wgankit_graphs import memory
from wgankit_graphs.labelled import Graphs, canonical_places, graphs_of, one_hot
from wgankit_graphs.networks import GraphGenerator, GraphLatent

PRETRAINING: dict[str, Any] = {
    "epochs": 0.0,
    "batch": 256,
    "rate": 1e-3,
    "noise": 0.67,
    "width": 256,
    "recall": 0.0,
}
"""Settings of the lesson; `model={"pretraining": {...}}` replaces some of them.

`epochs` over the training graphs, none by default, in batches of `batch` at `rate`, which falls
to nothing; `noise` is its share in the latents, in (0, 1); `width` is the encoder's.  With
`recall` the game goes on with the lesson: the generator also minimises so many times the nats by
which real graphs surprise it.
"""

WARM_UP = 200
"""Steps over which the rate grows."""

CLIP = 5.0
"""Largest norm of a step's gradient."""

LEAST = 1e-6
"""Least share of a label in a surprise, whose logarithm is finite."""


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


class _Block(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.inner = nn.Sequential(
            nn.LayerNorm(width), nn.Linear(width, 2 * width), nn.SiLU(), nn.Linear(2 * width, width)
        )

    def forward(self, vectors: Tensor) -> Tensor:
        return vectors + cast(Tensor, self.inner(vectors))


@final
class Encoder(nn.Module):
    """Labelled graphs, their nodes in a fixed order, to points of a sphere.

    Arguments:
        node_labels: K.
        edge_labels: L.
        size: N.
        width: of the layers.
        outputs: numbers of a point, n; its length is sqrt(n).
    """

    def __init__(
        self, node_labels: int, edge_labels: int, size: int, *, width: int, outputs: int
    ) -> None:
        super().__init__()
        seen = size * node_labels + size * (size - 1) // 2 * edge_labels
        self.layers = nn.Sequential(
            nn.Linear(seen, width), _Block(width), _Block(width), nn.LayerNorm(width),
            nn.Linear(width, outputs),
        )  # fmt: skip

    def forward(self, graphs: Points) -> Tensor:
        """Return points `(B, n)`."""
        nodes, edges = graphs_of(graphs)
        seen = torch.cat([nodes.flatten(1), pairs(edges).flatten(1)], 1)
        points = functional.normalize(self.layers(seen), dim=1)
        return points * math.sqrt(points.shape[1])


def pairs(edges: Tensor) -> Tensor:
    """Return what unordered pairs of nodes have, `(B, P, L)`, of a table `(B, N, N, L)`."""
    size = edges.shape[1]
    low, high = torch.triu_indices(size, size, 1, device=edges.device)
    return edges[:, low, high]


@final
class Recall(nn.Module):
    """By how many nats a graph surprises a generator that was told of it.

    Arguments:
        encoder: graphs -> points of a sphere, as many numbers as the latent's `per_graph`.
        generator: what is told.
        latent: its latents.
        noise: share of noise in what it is told, in (0, 1).
    """

    def __init__(
        self, encoder: Encoder, generator: GraphGenerator, latent: GraphLatent, noise: float
    ) -> None:
        super().__init__()
        self.encoder, self.generator, self.latent, self.noise = encoder, generator, latent, noise

    def told(self, graphs: Points) -> Points:
        """Return latents as of `GraphLatent.sample`, whose shared numbers tell of the graphs."""
        nodes, _ = graphs_of(graphs)
        own, _, _, slots = leaves(self.latent.sample(len(nodes), nodes.device))
        points = self.encoder(graphs)
        shared = math.sqrt(1 - self.noise**2) * points + self.noise * torch.randn_like(points)
        return own, shared, 1 - nodes[..., 0], slots

    def forward(self, graphs: Points) -> Tensor:
        """Return surprises `(B,)` in nats, of labels that are one-hot."""
        nodes, edges = graphs_of(graphs)
        made = graphs_of(self.generator(self.told(graphs)))
        return surprise(made.nodes, nodes) + surprise(pairs(made.edges), pairs(edges))


def surprise(shares: Tensor, labels: Tensor) -> Tensor:
    """Return minus the sum of the logarithms of what one-hot labels have `(B, M, K)`, `(B,)`."""
    return -((shares * labels).sum(-1).clamp_min(LEAST).log().sum(1))


@final
class Recalled:
    """What a generator minimises besides the game so that it forgets no graph (see `Recall`).

    Arguments:
        recall: its encoder learns no more.
        weight: of a nat, > 0.
    """

    def __init__(self, recall: Recall, weight: float) -> None:
        recall.encoder.requires_grad_(False)
        self.recall, self.weight = recall, weight
        self.device: torch.device | None = None

    def __call__(self, made: Points, real: Points) -> Tensor:
        """Return the weighted mean surprise of real graphs."""
        device = graphs_of(real).nodes.device
        if device != self.device:
            # Who trains moves the generator, and knows of no encoder.
            self.recall.encoder.to(device)
            self.device = device
        return self.weight * cast(Tensor, self.recall(real)).mean()


@final
class Pretraining(Lesson[Tensor]):
    """A lesson under way: iterate for the loss of each step, in nats a graph; its state resumes.

    Arguments:
        recall: encoder and generator, which are trained.
        labels: stored labels of graphs, numbered by `walked`.
        kinds: K and L, how many labels there are.
        settings: as `PRETRAINING`.
        seed: of batches and noise.
        device: where it is trained.
    """

    def __init__(
        self,
        recall: Recall,
        labels: Points,
        kinds: tuple[int, int],
        settings: Mapping[str, Any],
        *,
        seed: int,
        device: torch.device,
    ) -> None:
        self.recall, self.kinds, self.device = recall.to(device).train(), kinds, device
        self.labels = tuple(part.to(device) for part in leaves(labels))
        count = batch_size(self.labels)
        self.batch = min(int(settings["batch"]), count)
        self.steps = max(1, round(settings["epochs"] * count / self.batch))
        self.rate, self.index = float(settings["rate"]), 0
        self.optimizer = torch.optim.AdamW(
            recall.parameters(), self.rate, betas=(0.9, 0.99), weight_decay=0.01, fused=True
        )
        self.randomness = states.Randomness(seed, device)

    def __next__(self) -> Tensor:
        """Do one step, on random numbers of this lesson's own."""
        if self.index >= self.steps:
            raise StopIteration
        share = min(1.0, (self.index + 1) / WARM_UP) * (1 - self.index / self.steps)
        for group in self.optimizer.param_groups:
            group["lr"] = self.rate * share
        with self.randomness.used():
            places = torch.randint(batch_size(self.labels), (self.batch,), device=self.device)
            loss = self.recall(one_hot(pick(self.labels, places), *self.kinds)).mean()
        self.optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(self.recall.parameters(), CLIP)
        self.optimizer.step()
        self.index += 1
        return cast(Tensor, loss.detach())

    def state_dict(self) -> dict[str, Any]:
        """Return all that the next step depends on, the graphs not included."""
        return {
            "index": self.index,
            "recall": self.recall.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "rng": self.randomness.state,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a state of a lesson with the same graphs and settings."""
        self.recall.load_state_dict(state["recall"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.index, self.randomness.state = state["index"], state["rng"]


def pretraining_from(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return all settings of the lesson.

    Raises:
        SettingError: one that there is none of, or that cannot work.
    """
    if not isinstance(given, Mapping):
        raise SettingError(
            "model.pretraining holds settings by name, such as --set model.pretraining.epochs=20; "
            f"got {given!r}"
        )
    unknown = set(given) - set(PRETRAINING)
    if unknown:
        raise SettingError(
            f"model.pretraining has no setting {', '.join(sorted(unknown))}; there are "
            f"{', '.join(PRETRAINING)}"
        )
    settings = {**PRETRAINING, **given}
    for name, most in (("epochs", math.inf), ("recall", math.inf), ("noise", 1.0)):
        value = settings[name]
        if not (isinstance(value, int | float) and 0 <= value < most):
            wanted = ">= 0" if most == math.inf else "in [0, 1)"
            raise SettingError(f"model.pretraining.{name} is a number {wanted}; got {value!r}")
    for name in ("batch", "width"):
        if not isinstance(settings[name], int) or settings[name] < 1:
            raise SettingError(
                f"model.pretraining.{name} is a whole number of at least 1; got {settings[name]!r}"
            )
    if not (isinstance(settings["rate"], int | float) and 0 < settings["rate"] < math.inf):
        raise SettingError(
            f"model.pretraining.rate is a number > 0, such as 1e-3; got {settings['rate']!r}"
        )
    if settings["recall"] and not settings["epochs"]:
        raise SettingError(
            "model.pretraining.recall wants a lesson to go on with: "
            "--set model.pretraining.epochs=20"
        )
    return settings


def pretrain(
    recall: Recall,
    labels: Points,
    kinds: tuple[int, int],
    settings: Mapping[str, Any],
    *,
    seed: int = 0,
    device: torch.device | str = "cpu",
    folder: Path | None = None,
    teller: Teller | None = None,
    save_every: float = SAVE_EVERY,
) -> dict[str, Tensor]:
    """Teach a generator to give graphs back, going on where a kill stopped it.

    Arguments:
        recall: encoder and generator as they begin.
        labels: stored labels of the graphs to learn from, numbered by `walked`.
        kinds: K and L, how many labels there are.
        settings: as `PRETRAINING`.
        seed: of batches and noise.
        device: where it is trained.
        folder: where its state is kept, in `pretraining.pt`; nothing is kept if there is none.
        teller: who reports.
        save_every: seconds between saves.

    Returns:
        The state of `recall`, on the CPU: tensors by names that begin with "encoder." and
        "generator.".

    Raises:
        SettingError: the folder holds the state of other graphs, settings or seed.
        RunError: the loss is no longer finite.
    """
    lesson = Pretraining(recall, labels, kinds, settings, seed=seed, device=torch.device(device))
    attend(
        lesson,
        words,
        title="pretraining",
        stamp=stamp_of(leaves(labels), [str(recall), dict(settings), seed]),
        path=folder / "pretraining.pt" if folder else None,
        teller=teller,
        save_every=save_every,
    )
    return {name: one.cpu() for name, one in recall.state_dict().items()}


def words(loss: Tensor) -> str:
    """Return a line about a step.

    Raises:
        RunError: its loss is not finite.
    """
    if not torch.isfinite(loss):
        raise RunError(
            f"the pretraining diverged: its loss is {float(loss)}; begin again with a lower rate: "
            "--set model.pretraining.rate=3e-4"
        )
    return f"{float(loss):.3g} nats a graph"
