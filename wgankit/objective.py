"""What critic and generator play for."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import final

from torch import Tensor
from torch.nn.functional import softplus

from wgankit.errors import SettingError


class Objective(ABC):
    """Losses of a critic and a generator from the critic's scores (both are minimised)."""

    @abstractmethod
    def critic(self, real: Tensor, fake: Tensor) -> Tensor:
        """Return the critic's loss from its scores `(B,)` of real and generated points."""

    @abstractmethod
    def generator(self, fake: Tensor, score_real: Callable[[], Tensor]) -> Tensor:
        """Return the generator's loss from the critic's scores of generated points.

        Arguments:
            fake: the scores `(B,)`.
            score_real: returns the scores of as many real points; asking costs another pass.
        """


@final
class Wasserstein(Objective):
    """Kantorovich and Rubinstein: the critic widens E f(real) - E f(fake), the generator closes it.

    Source: Arjovsky, Chintala, Bottou (2017), equation 2.  Unchanged if a constant is added to f.
    """

    def critic(self, real: Tensor, fake: Tensor) -> Tensor:
        """Return E f(fake) - E f(real)."""
        return fake.mean() - real.mean()

    def generator(self, fake: Tensor, score_real: Callable[[], Tensor]) -> Tensor:
        """Return -E f(fake), the part of the gap that depends on the generator."""
        return -fake.mean()


@final
class JensenShannon(Objective):
    """The classical game: the critic's scores are log-odds that a point is real.

    The baseline that people know, to be played with `Unconstrained()` or a zero-centred penalty.
    At the best critic its value is the Jensen-Shannon divergence, which is log 2 for all laws that
    do not overlap, however far apart, so that a good critic teaches nothing.

    Source: Goodfellow et al. (2014), equation 1 and section 3.

    Arguments:
        saturating: let the generator minimise log(1 - D(fake)), the game as written, instead of
            -log D(fake), as it is played.
    """

    def __init__(self, saturating: bool = False) -> None:
        self.saturating = saturating

    def critic(self, real: Tensor, fake: Tensor) -> Tensor:
        """Return -E log D(real) - E log(1 - D(fake)), D the logistic function of the scores."""
        return softplus(-real).mean() + softplus(fake).mean()

    def generator(self, fake: Tensor, score_real: Callable[[], Tensor]) -> Tensor:
        """Return -E log D(fake), or E log(1 - D(fake)) if saturating."""
        return -softplus(fake).mean() if self.saturating else softplus(-fake).mean()


@final
class Relativistic(Objective):
    """Each real point is compared with the generated point beside it.

    For zero-centred penalties at real and generated points, with which it converges locally:
    `Penalty(weight=..., where=at_both, shape=zero_centred, relative=False)`.

    Source: Jolicoeur-Martineau (2019); Huang, Gokaslan, Kuleshov, Tompkin (2024), equation 2.
    """

    def critic(self, real: Tensor, fake: Tensor) -> Tensor:
        """Return E log(1 + exp(f(fake) - f(real)))."""
        return softplus(fake - real).mean()

    def generator(self, fake: Tensor, score_real: Callable[[], Tensor]) -> Tensor:
        """Return E log(1 + exp(f(real) - f(fake)))."""
        return softplus(score_real() - fake).mean()


OBJECTIVES: dict[str, type[Objective]] = {
    "wasserstein": Wasserstein,
    "relativistic": Relativistic,
    "jensen-shannon": JensenShannon,
}
"""Objectives by the names that recipes and the command know them by."""


def objective_named(name: str) -> Objective:
    """Return an objective with its defaults.

    Raises:
        SettingError: if there is none of that name.
    """
    if name not in OBJECTIVES:
        raise SettingError(f"objective is {', '.join(OBJECTIVES)}; got {name!r}")
    return OBJECTIVES[name]()
