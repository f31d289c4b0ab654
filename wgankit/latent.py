"""The law of a generator's input."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import final

import torch

from wgankit.errors import SettingError
from wgankit.space import Points


class Latent(ABC):
    """A law from which the inputs of a generator are drawn."""

    @abstractmethod
    def sample(self, count: int, device: torch.device | str) -> Points:
        """Return `count` latent points, drawn on the device by its default generator."""


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
