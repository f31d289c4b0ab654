"""How generators learn what they draw: by the scores of what came out, instead of slopes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, final

import torch
from torch import Tensor

from wgankit.errors import SettingError
from wgankit.latent import Conditioned
from wgankit.space import Points

if TYPE_CHECKING:
    from collections.abc import Callable

    from wgankit_graphs.trees import TreeGenerator


class Drawing(Protocol):
    """A generator that knows how likely what it draws is."""

    def __call__(self, latent: Points) -> Points:
        """Return points."""

    def log_chance(self, latent: Points) -> Tensor:
        """Return the logarithm of the chance of what these latents draw, `(B,)`."""


@final
class Choices:
    """What a generator minimises besides, so that chances of its choices follow the scores.

    The slope of an expected score by the chances of what is drawn is the mean of the score times
    the slope of the chance's logarithm (Williams, 1992).  Beside every real graph several graphs
    are drawn anew, and from the score of each the mean score of the others is taken off: that
    leaves the mean slope as it is (Kool et al., 2019), and what the number of nodes does to scores
    falls out.  These graphs are only scored, which is cheap.

    Arguments:
        critic: points -> scores `(B,)`.
        generator: latents -> points, and the chances of its choices.
        latent: of graphs as large as real ones.
        draws: beside each real graph, at least 2.
    """

    def __init__(
        self,
        critic: Callable[[Points], Tensor],
        generator: Drawing,
        latent: Conditioned,
        *,
        draws: int = 6,
    ) -> None:
        if draws < 2:
            raise SettingError(f"a draw is compared with another one: draws >= 2; got {draws}")
        self.critic, self.generator, self.latent, self.draws = critic, generator, latent, draws

    def __call__(self, made: Points, real: Points) -> Tensor:
        """Return a scalar whose value says nothing, and whose slope is that of -E score."""
        scores, chances = [], []
        for _ in range(self.draws):
            latent = self.latent.beside(real)
            with torch.no_grad():
                scores.append(self.critic(self.generator(latent)))
            chances.append(self.generator.log_chance(latent))
        seen = torch.stack(scores)
        better = (seen - seen.mean(0)) * self.draws / (self.draws - 1)
        return -(better * torch.stack(chances)).mean()


@final
class OneTurn:
    """What a generator of trees minimises besides, so that whom nodes point at follows the scores.

    Nodes choose independently.  So the slope of an expected score is a sum over nodes, and that of
    node i is the mean over two choices a, b of it, everything else being equal, of
    (score(a) - score(b)) (slope of log p(a) - slope of log p(b)) / 2.  Both choices are drawn, the
    sum is over some nodes drawn at random: the mean is exact, however little slopes of the critic
    say about what happens when an edge goes elsewhere.  It is the control of Choices taken to one
    choice (compare the local expectation gradients of Titsias and Lazaro-Gredilla, 2015).

    It teaches where points have no slopes, as with the numbers "twigs" of `Surroundings`; with
    slopes besides, whom nodes point at would be taught twice.

    Arguments:
        critic: points -> scores `(B,)`.
        generator: of trees.
        describe: graphs -> what the critic sees.
        latent: of graphs as large as real ones.
        turns: nodes of each graph that choose again.
    """

    def __init__(
        self,
        critic: Callable[[Points], Tensor],
        generator: TreeGenerator,
        describe: Callable[[Points], Points],
        latent: Conditioned,
        *,
        turns: int = 16,
    ) -> None:
        if turns < 1:
            raise SettingError(f"at least one node of a graph chooses again; got turns={turns}")
        self.critic, self.generator, self.describe = critic, generator, describe
        self.latent, self.turns = latent, turns

    def __call__(self, made: Points, real: Points) -> Tensor:
        """Return a scalar whose value says nothing, and whose slope is that of -E score."""
        graphs, again, odds, share = self.generator.turns(self.latent.beside(real), self.turns)
        with torch.no_grad():
            before = self.critic(self.describe(graphs)).unsqueeze(1)
            after = self.critic(self.describe(again)).view(odds.shape)
        return -(share * (after - before) * odds / 2).sum(1).mean()
