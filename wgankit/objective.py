"""What critic and generator play for."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import final

from torch import Tensor


class Objective(ABC):
    """Losses of a critic and a generator from the critic's scores (both are minimised)."""

    @abstractmethod
    def critic(self, real: Tensor, fake: Tensor) -> Tensor:
        """Return the critic's loss from its scores `(B,)` of real and generated points."""

    @abstractmethod
    def generator(self, fake: Tensor) -> Tensor:
        """Return the generator's loss from the critic's scores `(B,)` of generated points."""


@final
class Wasserstein(Objective):
    """Kantorovich and Rubinstein: the critic widens E f(real) - E f(fake), the generator closes it.

    Source: Arjovsky, Chintala, Bottou (2017), equation 2.  Unchanged if a constant is added to f.
    """

    def critic(self, real: Tensor, fake: Tensor) -> Tensor:
        """Return E f(fake) - E f(real)."""
        return fake.mean() - real.mean()

    def generator(self, fake: Tensor) -> Tensor:
        """Return -E f(fake), the part of the gap that depends on the generator."""
        return -fake.mean()
