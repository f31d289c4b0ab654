"""How the nodes of a tree are shared among roles, whose sizes are drawn.

How many nodes a role has is no matter of slopes: all others give way.  So shares are drawn by
learnt chances, which are known exactly, and `Choices` lets the critic's scores move these.
"""

from __future__ import annotations

from typing import cast, final

import torch
from torch import Tensor, nn

from wgankit.errors import SettingError
from wgankit_graphs.networks import Attention, multilayer
from wgankit_graphs.partition import Drawn

BINS = 16
"""Parts of [0, 1] that a share is drawn from."""


EAGER = 40.0
"""Factor on the logits of shares, which have far to go."""


@final
class Roles(nn.Module):
    """Noise and a number of nodes -> roles: how many nodes each has, and a token for each.

    One role after the other takes a share of the nodes that are left, the last one all that are.
    In which of `BINS` equal parts of [0, 1] the share lies is drawn by learnt chances, which depend
    on the logarithm of the number of nodes; where in it, uniformly.  The chances of what was drawn
    are known exactly, and `Choices` teaches them: how many nodes a role has is no matter of slopes,
    since all others give way.  Learning starts near the uniform law of shares.

    Arguments:
        count: of roles; a role may have no nodes.
        inputs: normal numbers that a graph has, at least 2 (count - 1) + 1.
        size: nodes of the largest graph.
        width: channels.
        layers: rounds of attention among roles.
        heads: of the attention.
    """

    def __init__(
        self, count: int, inputs: int, size: int, width: int, *, layers: int, heads: int
    ) -> None:
        super().__init__()
        if count < 1 or inputs < 2 * count - 1:
            raise SettingError(
                f"at least one role is wanted, and two numbers a graph for each but the last, and "
                f"one more; got {count} roles and {inputs} numbers: raise per_graph"
            )
        self.count, self.size = count, size
        self.codes = nn.Parameter(torch.randn(count, width))
        self.enter = multilayer(inputs - 2 * (count - 1) + 1 + count, width, count * width)
        self.layers = nn.ModuleList(Attention(width, heads) for _ in range(layers))
        self.leave = nn.LayerNorm(width)
        middles = (torch.arange(BINS) + 0.5) / BINS
        # What is left after the share x of one of k roles: (1 - x)^(k - 2) is its density where
        # all ways to share are equally likely.
        after = torch.arange(count - 2, -1, -1).unsqueeze(1)
        start = torch.stack([after * (1 - middles).log(), torch.zeros(count - 1, BINS)])
        self.heights = nn.Parameter(start / EAGER)

    def forward(self, shared: Tensor, number: Tensor) -> tuple[Tensor, Tensor]:
        """Return tokens of roles `(B, count, width)`, and the nodes that each takes `(B, count)`.

        Arguments:
            shared: normal numbers `(B, inputs)`.
            number: of nodes, `(B, 1)`.
        """
        sizes = self.draw(shared, number).sizes
        parts = sizes / number.clamp_min(1)
        return self._tokens(shared[:, 2 * (self.count - 1) :], parts, number), sizes

    def draw(self, shared: Tensor, number: Tensor) -> Drawn:
        """Return sizes of roles and their chance."""
        steps = self.count - 1
        # A normal number's place in its law is uniform.
        coins = torch.special.ndtr(shared[:, : 2 * steps].double()).float()
        large = (number.clamp_min(1) / self.size).log().unsqueeze(-1)
        chances = (EAGER * (self.heights[0] + large * self.heights[1])).log_softmax(-1)
        reached = chances.detach().exp().cumsum(-1)[..., :-1]
        bins = (coins[:, :steps, None] > reached).sum(-1)
        share = (bins + coins[:, steps:]) / BINS
        log_chance = chances.gather(-1, bins.unsqueeze(-1)).flatten(1).sum(1)
        left = torch.cat([torch.ones_like(number), (1 - share).cumprod(1)], 1)
        # Borders, not sizes, are rounded, so that sizes add up.
        borders = ((1 - left) * number).round()
        return Drawn(torch.cat([borders[:, 1:], number], 1) - borders, log_chance)

    def _tokens(self, noise: Tensor, parts: Tensor, number: Tensor) -> Tensor:
        heard = torch.cat([noise, number / self.size, parts], 1)
        # Every role hears the noise differently.
        tokens = self.codes + self.enter(heard).view(len(noise), *self.codes.shape)
        everyone = torch.ones_like(tokens[..., 0])
        for layer in self.layers:
            tokens = layer(tokens, everyone)
        return cast(Tensor, self.leave(tokens))
