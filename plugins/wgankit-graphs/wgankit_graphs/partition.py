"""How the nodes of a graph are shared among blocks, whose number is drawn and whose sizes are made.

How many blocks there are is a choice among few, which no slope of a critic tells: whether a graph
of 60 nodes has two blocks or four is not a matter of a little more of one.  So it is drawn by
learnt chances, and `LogChance` lets the critic's scores move these (Williams, 1992).  Given the
number, sizes are smooth functions of noise, and borders between blocks have slopes.
"""

from __future__ import annotations

from typing import NamedTuple, cast, final

import torch
from torch import Tensor, nn
from torch.nn import functional

from wgankit.errors import SettingError
from wgankit_graphs.networks import Attention, multilayer

CALM = 0.3
"""Factor on the logarithms of sizes: blocks begin nearly alike, and grow apart slowly."""


GAIN = 10.0
"""Factor on the few numbers that say how many blocks there are: rates fit matrices' entries."""


class Shared(NamedTuple):
    """Nodes shared among blocks.

    Arguments:
        tokens: one for each block, `(B, count, width)`.
        parts: of the nodes that each takes, `(B, count)`, sum 1; 0 beyond the number drawn.
        log_chance: logarithm of the chance of the number that was drawn, `(B,)`.
    """

    tokens: Tensor
    parts: Tensor
    log_chance: Tensor


@final
class Partition(nn.Module):
    """Noise and a number of nodes -> blocks: how many, and how large.

    The prior: blocks have a typical size in nodes that is the same in small and large graphs, and
    are exchangeable.  For k blocks of independent sizes with mean m and deviation s, n nodes in all
    have about the density of N(k m, k s^2); m, s and a preference for each k are learnt.  All
    blocks are made by one network of noise of their own, of n and k, and of each other, so that
    every law of sizes given n and k is within reach.

    Arguments:
        count: most blocks.
        inputs: normal numbers that a graph has; the first draws how many blocks there are.
        width: channels.
        size: nodes of a block, where learning starts.
        layers: rounds of attention among blocks.
        heads: of the attention.
        softness: nodes over which one block passes into the next for gradients, which move the
            border; what comes out has sharp borders.
    """

    def __init__(
        self,
        count: int,
        inputs: int,
        width: int,
        *,
        size: float,
        layers: int,
        heads: int,
        softness: float,
    ) -> None:
        super().__init__()
        if count < 1 or not softness > 0 or not size > 0:
            raise SettingError(
                "at least one block, a softness > 0 and a size > 0 are wanted; got "
                f"{count}, {softness} and {size}"
            )
        if inputs <= count:
            raise SettingError(
                f"{count} blocks want more numbers a graph than {inputs}: one for each and one "
                "for how many there are; raise per_graph"
            )
        self.count, self.softness = count, softness
        # A quarter of the numbers at most is everybody's; the others are dealt out.
        self.own = max(1, 3 * (inputs - 1) // (4 * count))
        common = inputs - 1 - self.own * count
        self.enter = multilayer(self.own + common + 2, width, width)
        self.layers = nn.ModuleList(Attention(width, heads) for _ in range(layers))
        self.leave = nn.LayerNorm(width)
        # Without a constant, which shares would not see.
        self.length = nn.Sequential(
            nn.Linear(width, width), nn.SiLU(), nn.Linear(width, 1, bias=False)
        )
        self.start = size
        self.scale = nn.Parameter(torch.zeros(2))
        self.preference = nn.Parameter(torch.zeros(count))

    def chances(self, number: Tensor) -> Tensor:
        """Return logarithms of the chances of 1, 2, ... blocks, `(B, count)`.

        Arguments:
            number: of nodes, `(B, 1)`.
        """
        size, spread = self.start * (GAIN * self.scale).exp()
        k = torch.arange(1, self.count + 1, device=number.device)
        # Sizes that differ by a quarter, to begin with.
        far = (number - k * size).square() / (2 * k * (spread / 4).square())
        logits: Tensor = GAIN * self.preference - far - k.log() / 2
        return logits.log_softmax(-1)

    def forward(self, shared: Tensor, number: Tensor) -> Shared:
        """Return blocks.

        Arguments:
            shared: normal numbers `(B, inputs)`.
            number: of nodes, `(B, 1)`.
        """
        chances = self.chances(number)
        # A normal number's place in its law is uniform.
        coin = torch.special.ndtr(shared[:, :1])
        drawn = (coin > chances.detach().exp().cumsum(-1)[:, :-1]).sum(-1, keepdim=True)
        here = (torch.arange(self.count, device=drawn.device) <= drawn).to(shared.dtype)
        tokens = self._tokens(shared[:, 1:], number, drawn + 1, here)
        lengths = CALM * self.length(tokens).squeeze(-1)
        lengths = lengths.masked_fill(here < 0.5, -torch.inf)
        return Shared(tokens, lengths.softmax(-1), chances.gather(1, drawn).squeeze(1))

    def _tokens(self, noise: Tensor, number: Tensor, drawn: Tensor, here: Tensor) -> Tensor:
        own = noise[:, : self.own * self.count].view(len(noise), self.count, self.own)
        # Even noise: sizes have ends, and normal noise would reach far beyond them now and then.
        own = 12**0.5 * (torch.special.ndtr(own) - 0.5)
        room = (number / (drawn * self.start)).clamp_min(1e-2).log()
        common = torch.cat([noise[:, self.own * self.count :], 4 * room, drawn / self.count], 1)
        common = common.unsqueeze(1).expand(-1, self.count, -1)
        tokens = self.enter(torch.cat([own, common], -1))
        for layer in self.layers:
            tokens = layer(tokens, here)
        return cast(Tensor, self.leave(tokens))

    def members(self, parts: Tensor, slots: Tensor, number: Tensor) -> Tensor:
        """Return how much each node belongs to each block, `(B, N, count)` (see `members`)."""
        return members(parts, slots, number, self.softness)


def members(parts: Tensor, slots: Tensor, number: Tensor, softness: float) -> Tensor:
    """Return how much each node belongs to each of several intervals, `(B, N, count)`.

    Arguments:
        parts: of the nodes that each takes, `(B, count)`.
        slots: places of the nodes, 0, 1, ..., `(B, N)`.
        number: of nodes, `(B, 1)`.
        softness: nodes over which gradients see one interval pass into the next.
    """
    number = number.clamp_min(1)
    ends = parts.cumsum(-1)[:, None, :-1]
    place = ((slots + 0.5) / number).unsqueeze(-1)
    soft = ((place - ends) * (number / softness).unsqueeze(-1)).sigmoid()
    beyond = (place > ends).to(soft.dtype) + (soft - soft.detach())
    steps = functional.pad(functional.pad(beyond, (1, 0), value=1.0), (0, 1))
    return steps[..., :-1] - steps[..., 1:]
