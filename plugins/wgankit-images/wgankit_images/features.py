"""Features of pictures, learnt in seconds from the pictures at hand: no network from elsewhere.

FID and KID are usually taken in a network trained on ImageNet.  Here a small one learns, from the
training pictures alone, to say what was done to a picture: turned, mirrored, blurred, made noisy,
cut and shuffled.  To tell these apart it has to see shapes and texture, and no labels are needed
(as in Gidaris, Singh, Komodakis, Unsupervised representation learning by predicting image
rotations, 2018).  Figures in these features compare with each other only for the same training
pictures.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Callable
from typing import final

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from wgankit.state import seeded
from wgankit_images.networks import halved

STEPS, BATCH, RATE = 300, 64, 2e-3
"""How the features are trained."""

KEPT = 4
"""How many trained networks a process keeps."""


def _shuffled(pictures: Tensor) -> Tensor:
    """Return pictures whose four quarters change places, the same way for the whole batch."""
    quarters = [half for row in pictures.chunk(2, 2) for half in row.chunk(2, 3)]
    a, b, c, d = (quarters[place] for place in (3, 2, 0, 1))
    return torch.cat([torch.cat([a, b], 3), torch.cat([c, d], 3)], 2)


def _blurred(pictures: Tensor) -> Tensor:
    """Return pictures averaged over 3 x 3 pixels."""
    wide = functional.pad(pictures, (1, 1, 1, 1), mode="replicate")
    return functional.avg_pool2d(wide, 3, 1)


def _noisy(pictures: Tensor) -> Tensor:
    """Return pictures with a little noise."""
    return pictures + 0.1 * torch.randn_like(pictures)


DEEDS: tuple[Callable[[Tensor], Tensor], ...] = (
    lambda pictures: pictures,
    lambda pictures: pictures.rot90(1, (2, 3)),
    lambda pictures: pictures.rot90(2, (2, 3)),
    lambda pictures: pictures.rot90(3, (2, 3)),
    lambda pictures: pictures.flip(3),
    _blurred,
    _noisy,
    _shuffled,
)
"""What may have been done to a picture."""


@final
class FeatureNetwork(nn.Module):
    """Pictures `(B, C, S, S)` in [-1, 1] to features `(B, 64)`; `guess` says what was done to them.

    Arguments:
        channels: of the pictures.
        width: of the first layer.
    """

    def __init__(self, channels: int, width: int = 16) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels, width, 3, padding=1)
        self.second = nn.Conv2d(width, 2 * width, 3, padding=1)
        self.third = nn.Conv2d(2 * width, 4 * width, 3, padding=1)
        self.guess = nn.Linear(4 * width, len(DEEDS))
        self.centre: Tensor
        self.spread: Tensor
        self.register_buffer("centre", torch.zeros(4 * width))
        self.register_buffer("spread", torch.ones(4 * width))

    def forward(self, pictures: Tensor) -> Tensor:
        """Return features: means over places of what the last layer sees, standardised."""
        inner = functional.leaky_relu(self.first(pictures), 0.1)
        inner = functional.leaky_relu(self.second(halved(inner)), 0.1)
        inner = functional.leaky_relu(self.third(halved(inner)), 0.1)
        return (inner.mean((2, 3)) - self.centre) / self.spread

    @torch.no_grad()
    def standardise(self, pictures: Tensor) -> None:
        """Let every feature have mean 0 and standard deviation 1 over these pictures."""
        seen = self(pictures)
        self.centre += seen.mean(0) * self.spread
        self.spread *= seen.std(0).clamp_min(1e-6)


def train_features(pictures: Tensor, *, seed: int = 0, steps: int = STEPS) -> FeatureNetwork:
    """Return a network that was trained to say what was done to pictures.

    Arguments:
        pictures: `(N, C, S, S)` in [-1, 1].
        seed: of all that is drawn; the same pictures and seed give the same network.
        steps: updates.
    """
    with seeded(seed), torch.enable_grad():
        network = FeatureNetwork(pictures.shape[1])
        optimizer = torch.optim.Adam(network.parameters(), lr=RATE)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
        for _ in range(steps):
            some = pictures[torch.randint(len(pictures), (BATCH // len(DEEDS),))]
            seen = torch.cat([deed(some) for deed in DEEDS])
            done = torch.arange(len(DEEDS)).repeat_interleave(len(some))
            loss = functional.cross_entropy(network.guess(network(seen)), done)
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            schedule.step()
    network.standardise(pictures[:1_000])
    return network.eval().requires_grad_(False)


_known: OrderedDict[str, FeatureNetwork] = OrderedDict()


def features_of(pictures: Tensor) -> FeatureNetwork:
    """Return the features learnt from pictures, from memory where they were before.

    Arguments:
        pictures: `(N, C, S, S)` in [-1, 1], on the CPU.
    """
    key = hashlib.sha256(pictures.numpy().tobytes() + str(pictures.shape).encode()).hexdigest()
    if key not in _known:
        _known[key] = train_features(pictures)
        while len(_known) > KEPT:
            _known.popitem(last=False)
    _known.move_to_end(key)
    return _known[key]


@torch.no_grad()
def extract(network: nn.Module, pictures: Tensor, block: int = 500) -> np.ndarray:
    """Return the features of pictures `(N, C, S, S)` in [-1, 1], as float64 `(N, k)`."""
    parts = [network(some).double() for some in torch.split(pictures, block)]
    return torch.cat(parts).numpy()
