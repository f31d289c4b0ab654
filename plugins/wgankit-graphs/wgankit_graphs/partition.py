"""How the nodes of a graph are shared among blocks, whose number and whose sizes are drawn.

How many blocks there are is a choice among few, which no slope of a critic tells: whether a graph
of 60 nodes has two blocks or four is not a matter of a little more of one.  Sizes are whole numbers
as well.  So both are drawn by learnt chances, which are known exactly, and `Choices` lets the
critic's scores move these (Williams, 1992).
"""

from __future__ import annotations

import math
from typing import NamedTuple, cast, final

import torch
from torch import Tensor, nn

from wgankit.errors import SettingError
from wgankit_graphs.networks import Attention, multilayer

GAIN = 10.0
"""Factor on the few numbers that all blocks have in common: rates fit matrices' entries."""


EAGER = 100.0
"""Factor on what chances of numbers and sizes of blocks are made of, which have far to go."""


ANYTHING = 1e-5
"""Chance of a size that is uniform, whatever was learnt: so a graph of any size can be shared."""


class Drawn(NamedTuple):
    """How the nodes of graphs are shared.

    Arguments:
        sizes: nodes that each block takes, whole numbers `(B, count)`, which add up to all nodes.
        log_chance: logarithm of the chance of what was drawn, `(B,)`.
    """

    sizes: Tensor
    log_chance: Tensor


def members(sizes: Tensor, slots: Tensor) -> Tensor:
    """Return 1 where a node belongs to a block and 0 elsewhere, `(B, N, count)`.

    Arguments:
        sizes: nodes of each block, `(B, count)`; blocks take nodes one after the other.
        slots: places of the nodes, 0, 1, ..., `(B, N)`.
    """
    ends = sizes.cumsum(-1).unsqueeze(1)
    place = slots.unsqueeze(-1) + 0.5
    return ((place > ends - sizes.unsqueeze(1)) & (place < ends)).to(sizes.dtype)


@final
class Partition(nn.Module):
    """Noise and a number of nodes -> blocks: how many, how large, and a token for each.

    The prior: blocks are exchangeable, and sizes are independent draws from one law, which is the
    same in small and large graphs, given that they add up to the number of nodes:

        P(k; s_1, ..., s_k | n) = w_k h(s_1) ... h(s_k) / Z(n)  where s_1 + ... + s_k = n.

    The law h of sizes and the weight w_k of each number of blocks are learnt.  Z(n) is a sum of
    convolutions of h with itself, so that draws and their chances are exact (a renewal process
    conditioned on where it arrives).  Learning starts with sizes of about a normal law.

    Arguments:
        count: most blocks.
        inputs: normal numbers that a graph has; they draw the number, sizes, and tokens.
        width: channels.
        size: nodes of a block, where learning starts; graphs have at most `count * size`.
        layers: rounds of attention among blocks.
        heads: of the attention.
    """

    sizes: Tensor
    knots: Tensor

    def __init__(
        self, count: int, inputs: int, width: int, *, size: float, layers: int, heads: int
    ) -> None:
        super().__init__()
        if count < 1 or not size > 0:
            raise SettingError(
                f"at least one block and a size > 0 are wanted; got {count} and {size}"
            )
        if inputs < 2 * count + 1:
            raise SettingError(
                f"{count} blocks want at least {2 * count + 1} numbers a graph, two for each and "
                f"one for how many there are; got {inputs}: raise per_graph"
            )
        self.count, self.start = count, size
        # A quarter of what is left is everybody's; the rest is dealt out.
        left = inputs - 1 - count
        self.own = max(1, 3 * left // (4 * count))
        self.enter = multilayer(self.own + left - self.own * count + 3, width, width)
        self.layers = nn.ModuleList(Attention(width, heads) for _ in range(layers))
        self.leave = nn.LayerNorm(width)
        most = max(1, math.ceil(count * size - 1e-6))
        self.register_buffer("sizes", torch.arange(most + 1), persistent=False)
        step = max(1.0, size / 8)
        far = self.sizes.unsqueeze(1) / step - torch.arange(math.ceil(most / step) + 1)
        self.register_buffer("knots", (1 - far.abs()).clamp_min(0), persistent=False)
        # Logarithms of a mean and a deviation, and what is added to the logarithm of the law.
        self.scale = nn.Parameter(torch.zeros(2))
        self.heights = nn.Parameter(torch.zeros(self.knots.shape[1]))
        self.preference = nn.Parameter(torch.zeros(count))

    def law(self) -> Tensor:
        """Return the chances of sizes 0, 1, ..., double precision; that of 0 is 0."""
        mean, deviation = self.start * (GAIN * self.scale).exp()
        # Sizes that differ by a quarter, to begin with.
        far = (self.sizes - mean) / (deviation / 4)
        logits = EAGER * (self.knots @ self.heights) - far.square() / 2
        some = (self.sizes > 0).double()
        law = logits.double().masked_fill(self.sizes < 1, -torch.inf).softmax(0)
        return cast(Tensor, (1 - ANYTHING) * law + ANYTHING * some / some.sum())

    @staticmethod
    def sums(law: Tensor, count: int) -> Tensor:
        """Return the chances of sums of 0, 1, ..., count sizes, `(count + 1, sizes)`."""
        place = torch.arange(len(law), device=law.device)
        shift = place.unsqueeze(1) - place
        steps = law[shift.clamp_min(0)] * (shift >= 0)
        rows = [(place == 0).to(law.dtype)]
        for _ in range(count):
            rows.append(steps @ rows[-1])
        return torch.stack(rows)

    def chances(self, number: Tensor) -> Tensor:
        """Return logarithms of the chances of 1, 2, ... blocks, `(B, count)`.

        Arguments:
            number: of nodes, `(B, 1)`.
        """
        return self._weights(self.sums(self.law(), self.count), number).log_softmax(-1).float()

    def _weights(self, sums: Tensor, number: Tensor) -> Tensor:
        """Return logarithms of w_k P(k sizes add up to n), `(B, count)`."""
        ways = sums[1:, number.squeeze(1).long()].T.clamp_min(1e-300)
        return EAGER * self.preference + ways.log()

    def forward(self, shared: Tensor, number: Tensor) -> tuple[Tensor, Tensor]:
        """Return tokens of blocks `(B, count, width)`, and the nodes that each takes `(B, count)`.

        Arguments:
            shared: normal numbers `(B, inputs)`.
            number: of nodes, `(B, 1)`.
        """
        sizes = self.draw(shared, number).sizes
        return self._tokens(shared[:, self.count + 1 :], number, sizes), sizes

    def draw(self, shared: Tensor, number: Tensor) -> Drawn:
        """Return sizes of blocks and their chance; sizes are 0 beyond the number drawn."""
        law = self.law()
        sums = self.sums(law, self.count)
        weights = self._weights(sums, number)
        # A normal number's place in its law is uniform.
        coins = torch.special.ndtr(shared[:, : self.count + 1].double())
        chances = weights.detach().softmax(-1)
        drawn = (coins[:, :1] > chances.cumsum(-1)[:, :-1]).sum(-1, keepdim=True) + 1
        sizes = self._drawn_sizes(law.detach(), sums.detach(), coins[:, 1:], drawn, number)
        chosen = (EAGER * self.preference)[drawn.squeeze(1) - 1]
        picked = law.clamp_min(1e-300).log()[sizes].masked_fill(sizes < 1, 0.0).sum(-1)
        log_chance = (chosen + picked - weights.logsumexp(-1)).to(shared.dtype)
        return Drawn(sizes.to(shared.dtype), log_chance)

    def _drawn_sizes(
        self, law: Tensor, sums: Tensor, coins: Tensor, drawn: Tensor, number: Tensor
    ) -> Tensor:
        """Return sizes `(B, count)` one after the other, each given what is left to be shared."""
        left, sizes = number.long(), []
        for block in range(self.count):
            more = drawn - block - 1
            rest = left - self.sizes
            fits = (rest >= 0) & (more >= 0)
            ways = sums[more.clamp_min(0), rest.clamp_min(0)] * fits
            share = (law * ways).cumsum(-1)
            size = (share <= coins[:, block : block + 1] * share[:, -1:]).sum(-1, keepdim=True)
            # Where there is nothing to share no size is larger than what is left, which is none.
            size = torch.minimum(size, left) * (more >= 0)
            sizes.append(size)
            left = left - size
        return torch.cat(sizes, -1)

    def _tokens(self, noise: Tensor, number: Tensor, sizes: Tensor) -> Tensor:
        here = (sizes > 0).to(noise.dtype)
        drawn = here.sum(-1, keepdim=True).clamp_min(1)
        own = noise[:, : self.own * self.count].view(len(noise), self.count, self.own)
        room = (number / (drawn * self.start)).clamp_min(1e-2).log()
        common = torch.cat([noise[:, self.own * self.count :], 4 * room, drawn / self.count], 1)
        common = common.unsqueeze(1).expand(-1, self.count, -1)
        large = (sizes.clamp_min(1) / self.start).log().unsqueeze(-1)
        tokens = self.enter(torch.cat([own, large, common], -1))
        for layer in self.layers:
            tokens = layer(tokens, here)
        return cast(Tensor, self.leave(tokens))
