"""Plain networks for points that are arrays of numbers."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import final

from torch import Tensor, nn

from wgankit.errors import SettingError
from wgankit.latent import MixtureLatent
from wgankit.space import Points, leaves


@final
class Perceptron(nn.Module):
    """Dense layers with leaky rectifiers between them; no layer couples the samples of a batch.

    Arguments:
        inputs: numbers in, after flattening each point.
        outputs: shape of what comes out; () means one score for each point.
        width: of the hidden layers.
        depth: number of hidden layers.
        slope: of the leaky rectifiers below 0.
        activation: makes a layer to use instead, such as `torch.nn.SiLU`: smooth critics fit smooth
            potentials and high dimensions better, rectifiers sharp kinks in low ones.
    """

    def __init__(
        self,
        inputs: int,
        *outputs: int,
        width: int = 128,
        depth: int = 3,
        slope: float = 0.2,
        activation: Callable[[], nn.Module] | None = None,
    ) -> None:
        super().__init__()
        self.shape = outputs
        sizes = [inputs] + [width] * depth
        layers: list[nn.Module] = [nn.Flatten()]
        for before, after in pairwise(sizes):
            layers += [
                nn.Linear(before, after),
                activation() if activation else nn.LeakyReLU(slope),
            ]
        last = 1
        for size in outputs:
            last *= size
        self.layers = nn.Sequential(*layers, nn.Linear(sizes[-1], last))

    def forward(self, points: Tensor) -> Tensor:
        """Return `(B, *outputs)`, or scores `(B,)`."""
        return self.layers(points).view(len(points), *self.shape)  # type: ignore[no-any-return]


@final
class MixtureGenerator(nn.Module):
    """A generator over a mixture latent: each code has a learned place, and the noise is added.

    Arguments:
        latent: the law of its input.
        network: vectors `(B, latent.size)` -> points.
        apart: how far apart the places are at the start, in standard deviations of the noise; about
            as many as modes are distant in units of their spread.  Places are learned in these
            units, so that an optimiser moves them however wide they are.
    """

    def __init__(self, latent: MixtureLatent, network: nn.Module, *, apart: float = 10.0) -> None:
        super().__init__()
        if not apart > 0:
            raise SettingError(f"places are a number > 0 apart, such as 10; got {apart}")
        self.apart = float(apart)
        self.places = nn.Embedding(latent.codes, latent.size)
        self.network = network

    def forward(self, latents: Points) -> Points:
        """Return the network at place + noise."""
        codes, noise = leaves(latents)
        return self.network(self.apart * self.places(codes) + noise)  # type: ignore[no-any-return]
