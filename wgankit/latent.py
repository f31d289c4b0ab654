"""The law of a generator's input."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import NamedTuple, final

import torch
from torch import Tensor

from wgankit.errors import SettingError
from wgankit.space import Points


class Latent(ABC):
    """A law from which the inputs of a generator are drawn."""

    @abstractmethod
    def sample(self, count: int, device: torch.device | str) -> Points:
        """Return `count` latent points, drawn on the device by its default generator."""


class Conditioned(Latent):
    """A law of latents that belong to real points, for generators that take a condition.

    In training the latents of a batch are made beside the real points that the critic compares
    their generated points with, so that both have the same condition.
    """

    @abstractmethod
    def beside(self, real: Points) -> Points:
        """Return a latent for each of a batch of real points, on their device."""


@final
class Normal(Latent):
    """Independent standard normal numbers.

    Arguments:
        shape: shape of one latent point; an int means a vector.
    """

    def __init__(self, *shape: int) -> None:
        if not shape or any(size < 1 for size in shape):
            raise SettingError(
                f"a latent needs sizes of at least 1, such as Normal(64); got {shape}"
            )
        self.shape = shape

    def sample(self, count: int, device: torch.device | str) -> Points:
        """Return normal numbers `(count, *shape)`."""
        return torch.randn(count, *self.shape, device=device)


@final
class Uniform(Latent):
    """Independent numbers uniform in [-1, 1].

    Arguments:
        shape: shape of one latent point; an int means a vector.
    """

    def __init__(self, *shape: int) -> None:
        if not shape or any(size < 1 for size in shape):
            raise SettingError(
                f"a latent needs sizes of at least 1, such as Uniform(64); got {shape}"
            )
        self.shape = shape

    def sample(self, count: int, device: torch.device | str) -> Points:
        """Return uniform numbers `(count, *shape)` in [-1, 1]."""
        return torch.rand(count, *self.shape, device=device) * 2 - 1


class Coded(NamedTuple):
    """Latent points with a code each.

    Arguments:
        codes: integers `(B,)`.
        noise: normal numbers `(B, n)`.
    """

    codes: Tensor
    noise: Tensor


@final
class MixtureLatent(Latent):
    """A random code and normal numbers: with `MixtureGenerator`, a learned mixture of normals.

    A generator that is continuous maps a connected latent onto a connected set, so between separate
    modes it must leave a bridge.  A code has no neighbours, so modes can be separate.

    Arguments:
        codes: how many codes there are; a few times the modes that one expects.
        size: numbers in the normal part.
    """

    def __init__(self, codes: int, size: int) -> None:
        if codes < 1 or size < 1:
            raise SettingError(
                "a mixture latent needs at least one code and one number, such as "
                f"MixtureLatent(100, 16); got {codes} and {size}"
            )
        self.codes, self.size = codes, size

    def sample(self, count: int, device: torch.device | str) -> Coded:
        """Return codes `(count,)`, uniform, and normal numbers `(count, size)`."""
        return Coded(
            torch.randint(self.codes, (count,), device=device),
            torch.randn(count, self.size, device=device),
        )
