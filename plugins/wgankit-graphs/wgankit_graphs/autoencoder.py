"""An autoencoder of whole graphs: points of a sphere that a little noise does not take apart.

The encoder sees nodes in a fixed order (`walked`) and says a point of the sphere.  The decoder is
given the point with noise and says a law of labels for each node and each pair of nodes, all at
once.  Trained so, decoding and encoding again moves a point that says no graph of the data towards
points that do: a step of a denoising autoencoder goes where points lie denser.

    P. Vincent et al., "Extracting and composing robust features with denoising autoencoders",
    ICML 2008.
    Y. Bengio et al., "Generalized denoising auto-encoders as generative models", NeurIPS 2013.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast, final

import torch
from torch import Tensor, nn

from wgankit import state as states
from wgankit.errors import RunError, SettingError
from wgankit.latent_networks import Widened, moved, onto_sphere
from wgankit.lessons import SAVE_EVERY, Lesson, attend, stamp_of
from wgankit.progress import Teller
from wgankit.space import Points, batch_size, leaves, pick
from wgankit_graphs.labelled import graphs_of, one_hot, pairs

AUTOENCODER: dict[str, Any] = {
    "steps": 10_000,
    "batch": 256,
    "rate": 1e-3,
    "latent": 32,
    "level": 0.9,
    "width": 256,
    "depth": 2,
}
"""Settings of the autoencoder; `model={"autoencoder": {...}}` replaces some of them.

It is trained for `steps` batches of `batch` graphs at `rate`, which falls to nothing.  A point has
`latent` numbers and length sqrt(latent); each gets noise of the standard deviation `level` in
training.  Encoder and decoder have `depth` residual blocks of `width`.
"""

WARM_UP = 200
"""Steps over which the rate grows."""

CLIP = 5.0
"""Largest norm of a step's gradient."""


@final
class Autoencoder(nn.Module):
    """Labelled graphs, their nodes in a fixed order, to points of a sphere and back.

    Arguments:
        node_labels: K, "nothing" included.
        edge_labels: L, "nothing" included.
        size: N, nodes of the largest graph.
        latent: numbers of a point, n; its length is sqrt(n).
        level: standard deviation of the noise that the decoder is used to.
        width: of the layers.
        depth: residual blocks of the encoder and of the decoder.
    """

    def __init__(
        self,
        node_labels: int,
        edge_labels: int,
        size: int,
        *,
        latent: int,
        level: float,
        width: int,
        depth: int,
    ) -> None:
        super().__init__()
        self.level = level
        self.sites = (size, node_labels), (size * (size - 1) // 2, edge_labels)
        seen = sum(count * labels for count, labels in self.sites)
        self.encoder = _layers(seen, width, depth, latent)
        self.decoder = _layers(latent, width, depth, seen)

    def points(self, graphs: Points) -> Tensor:
        """Return the points `(B, n)` of graphs, whose labels may be shares."""
        nodes, edges = graphs_of(graphs)
        return self._encoded(nodes, pairs(edges))

    def logits(self, points: Tensor) -> tuple[Tensor, Tensor]:
        """Return what is said of nodes `(B, N, K)` and of unordered pairs `(B, N (N - 1) / 2, L)`.

        Pairs are in the order of the rows above the diagonal.
        """
        said = cast(Tensor, self.decoder(points))
        (size, node_labels), (many, edge_labels) = self.sites
        nodes, edges = said[:, : size * node_labels], said[:, size * node_labels :]
        count = len(said)
        return nodes.view(count, size, node_labels), edges.view(count, many, edge_labels)

    def again(self, points: Tensor) -> Tensor:
        """Return the points `(B, n)` of the shares of labels that points are decoded to."""
        nodes, edges = self.logits(points)
        return self._encoded(nodes.softmax(-1), edges.softmax(-1))

    def _encoded(self, nodes: Tensor, edges: Tensor) -> Tensor:
        return onto_sphere(self.encoder(torch.cat([nodes.flatten(1), edges.flatten(1)], 1)))

    def forward(self, graphs: Points) -> Tensor:
        """Return by how many nats graphs surprise the decoder after noise, `(B,)`."""
        nodes, edges = graphs_of(graphs)
        said = self.logits(moved(self.points(graphs), self.level))
        return surprise(said[0], nodes) + surprise(said[1], pairs(edges))

    def labels(self, points: Tensor) -> tuple[Tensor, Tensor]:
        """Return the likeliest labels as they are stored: `(B, N)` and `(B, N, N)` of bytes."""
        nodes, edges = (part.argmax(-1).to(torch.uint8) for part in self.logits(points))
        size = nodes.shape[1]
        table = edges.new_zeros(len(nodes), size, size)
        low, high = torch.triu_indices(size, size, 1, device=nodes.device)
        table[:, low, high] = edges
        table[:, high, low] = edges
        return nodes, table


def _layers(inputs: int, width: int, depth: int, outputs: int) -> nn.Sequential:
    blocks = [Widened(width, normed=True) for _ in range(depth)]
    return nn.Sequential(
        nn.Linear(inputs, width), *blocks, nn.LayerNorm(width), nn.Linear(width, outputs)
    )


def surprise(logits: Tensor, labels: Tensor) -> Tensor:
    """Return minus the sum of the logarithms of what one-hot labels have `(B, M, K)`, `(B,)`."""
    return -(logits.log_softmax(-1) * labels).sum((1, 2))


@final
class Refined(nn.Module):
    """A generator of points that are decoded and encoded again before anybody sees them.

    A state without any of the autoencoder's weights leaves them as they are, so that a run which
    holds them among what was learnt need not hold them twice.

    Arguments:
        generator: latents -> points `(B, n)`; it alone is trained.
        autoencoder: learns no more.
        rounds: how often points go through it.
    """

    def __init__(self, generator: nn.Module, autoencoder: Autoencoder, rounds: int) -> None:
        super().__init__()
        self.generator, self.rounds = generator, rounds
        self.autoencoder = autoencoder.requires_grad_(False)
        self.register_load_state_dict_pre_hook(_with_autoencoder)  # type: ignore[no-untyped-call]

    def forward(self, latents: Points) -> Tensor:
        """Return points `(B, n)`."""
        points = cast(Tensor, self.generator(latents))
        for _ in range(self.rounds):
            points = self.autoencoder.again(points)
        return points


def _with_autoencoder(module: nn.Module, state: dict[str, Any], prefix: str, *_: Any) -> None:
    """Add the autoencoder's own weights to a state that has none of them."""
    begin = f"{prefix}autoencoder."
    if not any(name.startswith(begin) for name in state):
        own = cast(Refined, module).autoencoder.state_dict()
        state.update({begin + name: one for name, one in own.items()})


@final
class Learning(Lesson[Tensor]):
    """An autoencoder's training under way: iterate for the loss of each step, in nats a graph.

    Arguments:
        autoencoder: as it begins.
        labels: stored labels of graphs, numbered by `walked`.
        kinds: K and L, how many labels there are.
        settings: as `AUTOENCODER`.
        seed: of batches and noise.
        device: where it is trained.
    """

    def __init__(
        self,
        autoencoder: Autoencoder,
        labels: Points,
        kinds: tuple[int, int],
        settings: Mapping[str, Any],
        *,
        seed: int,
        device: torch.device,
    ) -> None:
        self.autoencoder, self.kinds, self.device = autoencoder.to(device), kinds, device
        self.labels = tuple(part.to(device) for part in leaves(labels))
        count = batch_size(self.labels)
        self.batch = min(int(settings["batch"]), count)
        self.steps, self.rate, self.index = settings["steps"], float(settings["rate"]), 0
        self.optimizer = torch.optim.AdamW(
            autoencoder.parameters(), self.rate, betas=(0.9, 0.99), weight_decay=0.01, fused=True
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
            loss = self.autoencoder(one_hot(pick(self.labels, places), *self.kinds)).mean()
        self.optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(self.autoencoder.parameters(), CLIP)
        self.optimizer.step()
        self.index += 1
        return cast(Tensor, loss.detach())

    def state_dict(self) -> dict[str, Any]:
        """Return all that the next step depends on, the graphs not included."""
        return {
            "index": self.index,
            "autoencoder": self.autoencoder.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "rng": self.randomness.state,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a state of a lesson with the same graphs and settings."""
        self.autoencoder.load_state_dict(state["autoencoder"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.index, self.randomness.state = state["index"], state["rng"]


def settings_from(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return all settings of an autoencoder.

    Raises:
        SettingError: one that there is none of, or that cannot work.
    """
    if not isinstance(given, Mapping):
        raise SettingError(
            "model.autoencoder holds settings by name, such as "
            f"--set model.autoencoder.steps=30000; got {given!r}"
        )
    unknown = set(given) - set(AUTOENCODER)
    if unknown:
        raise SettingError(
            f"model.autoencoder has no setting {', '.join(sorted(unknown))}; there are "
            f"{', '.join(AUTOENCODER)}"
        )
    settings = {**AUTOENCODER, **given}
    for name, least in (("steps", 1), ("batch", 1), ("width", 1), ("latent", 2), ("depth", 0)):
        value = settings[name]
        if not isinstance(value, int) or value < least:
            raise SettingError(
                f"model.autoencoder.{name} is a whole number of at least {least}; got {value!r}"
            )
    for name in ("rate", "level"):
        value = settings[name]
        if not (isinstance(value, int | float) and 0 < value < math.inf):
            raise SettingError(f"model.autoencoder.{name} is a number > 0; got {value!r}")
    return settings


def autoencoder_for(size: int, kinds: tuple[int, int], settings: Mapping[str, Any]) -> Autoencoder:
    """Return an autoencoder as it begins.

    Arguments:
        size: N, nodes of the largest graph.
        kinds: K and L, how many labels there are, "nothing" included.
        settings: as `AUTOENCODER`.
    """
    sizes = {name: settings[name] for name in ("latent", "level", "width", "depth")}
    return Autoencoder(*kinds, size, **sizes)


def learn(
    autoencoder: Autoencoder,
    labels: Points,
    kinds: tuple[int, int],
    settings: Mapping[str, Any],
    *,
    seed: int = 0,
    device: torch.device | str = "cpu",
    folder: Path | None = None,
    teller: Teller | None = None,
    save_every: float = SAVE_EVERY,
) -> None:
    """Train an autoencoder, going on where a kill stopped it; it is on the CPU afterwards.

    Arguments:
        autoencoder: as it begins.
        labels: stored labels of the graphs to learn from, numbered by `walked`.
        kinds: K and L, how many labels there are.
        settings: as `AUTOENCODER`.
        seed: of batches and noise.
        device: where it is trained.
        folder: where its state is kept, in `autoencoder.pt`; nothing is kept if there is none.
        teller: who reports.
        save_every: seconds between saves.

    Raises:
        SettingError: the folder holds the state of other graphs, settings or seed.
        RunError: the loss is no longer finite.
    """
    lesson = Learning(autoencoder, labels, kinds, settings, seed=seed, device=torch.device(device))
    attend(
        lesson,
        words,
        title="autoencoder",
        stamp=stamp_of(leaves(labels), [str(autoencoder), dict(settings), seed]),
        path=folder / "autoencoder.pt" if folder else None,
        teller=teller,
        save_every=save_every,
    )
    autoencoder.cpu().eval()


def words(loss: Tensor) -> str:
    """Return a line about a step.

    Raises:
        RunError: its loss is not finite.
    """
    if not torch.isfinite(loss):
        raise RunError(
            f"the autoencoder diverged: its loss is {float(loss)}; begin again with a lower rate: "
            "--set model.autoencoder.rate=3e-4"
        )
    return f"{float(loss):.3g} nats a graph"


AT_ONCE = 4_096
"""Graphs of which points are made at once."""


@torch.no_grad()
def points_of(autoencoder: Autoencoder, labels: Points, kinds: tuple[int, int]) -> Tensor:
    """Return `Autoencoder.points` of any number of stored labels, numbered by `walked`."""
    parts = zip(*(torch.split(one, AT_ONCE) for one in leaves(labels)), strict=True)
    return torch.cat([autoencoder.points(one_hot(some, *kinds)) for some in parts])


@torch.no_grad()
def likeliest_labels(autoencoder: Autoencoder, points: Tensor) -> tuple[Tensor, Tensor]:
    """Return `Autoencoder.labels` of any number of points."""
    made = [autoencoder.labels(some) for some in torch.split(points, AT_ONCE)]
    nodes, edges = zip(*made, strict=True)
    return torch.cat(nodes), torch.cat(edges)


def given_back(autoencoder: Autoencoder, labels: Points, kinds: tuple[int, int]) -> float:
    """Return the share of graphs that come back label for label from their points, in [0, 1]."""
    nodes, edges = likeliest_labels(autoencoder, points_of(autoencoder, labels, kinds))
    wanted, joined = leaves(labels)
    same = (nodes == wanted).all(1) & (edges == joined).flatten(1).all(1)
    return float(same.float().mean())
