"""What the nodes of a graph see, in numbers: a metric space of graphs that is cheap to train in.

Graphs are compared by the numbers that describe the surroundings of their nodes: degrees,
triangles, how likely random walks return, how many nodes they reach.  Critics of these numbers are
critics of graphs, their gradients reach every edge, and their penalty costs no second derivative
through powers of matrices.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast, final

import torch
from torch import Tensor, nn
from torch.nn import functional

from wgankit.errors import SettingError
from wgankit.space import Points
from wgankit_graphs.blocks import closures, lazy_powers, returns
from wgankit_graphs.labelled import graphs_of
from wgankit_graphs.networks import multilayer

WIDEST = 2.0
"""Deviations from which numbers grow like their logarithm: levelling off would leave a generator
that went far astray without a slope to come back on."""


@final
class Surroundings(nn.Module):
    """Labelled graphs -> numbers of their nodes `(B, N, 1 + F)`, the first of which is presence.

    Equivariant under renumbering and smooth; blind to edge labels.  The numbers are brought to mean
    0 and deviation 1 by what `fit` saw, grow like logarithms beyond 2, and are 0 where no node is.

    Arguments:
        numbers: "communities" or "limbs", the functions of these names.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, numbers: str = "communities") -> None:
        super().__init__()
        if numbers not in NUMBERS:
            raise SettingError(f"numbers is one of {', '.join(NUMBERS)}; got {numbers!r}")
        self.numbers, self.count = NUMBERS[numbers]
        self.register_buffer("mean", torch.zeros(self.count))
        self.register_buffer("deviation", torch.ones(self.count))

    @torch.no_grad()
    def fit(self, batches: Sequence[Points]) -> Surroundings:
        """Take means and deviations from the nodes of some batches of graphs."""
        rows = []
        for batch in batches:
            seen, there = self.raw(batch)
            rows.append(seen[there > 0.5])
        all_ = torch.cat(rows)
        self.mean.copy_(all_.mean(0))
        self.deviation.copy_(all_.std(0).clamp_min(1e-3))
        return self

    def forward(self, points: Points) -> Tensor:
        """Return presence and numbers of each node."""
        seen, there = self.raw(points)
        there = there.unsqueeze(-1)
        scaled = (seen - self.mean) / self.deviation
        # Rare nodes are far out in one number; they shall not make up the whole distance.
        return torch.cat([there, there * WIDEST * torch.asinh(scaled / WIDEST)], -1)

    def raw(self, points: Points) -> tuple[Tensor, Tensor]:
        """Return numbers `(B, N, F)` before they are scaled, and presence `(B, N)`."""
        nodes, edges = graphs_of(points)
        there = 1 - nodes[..., 0]
        return self.numbers(1 - edges[..., 0]), there


def communities(adjacency: Tensor) -> Tensor:
    """Return 16 numbers of each node that tell dense groups, `(B, N, 16)`.

    Degrees and triangles, returns of lazy walks, how many nodes walks of 4 and 8 steps reach, and
    what is seen on average where they end.
    """
    shared = adjacency * (adjacency @ adjacency)
    near = closures(adjacency.unsqueeze(-1), shared)
    walks = lazy_powers(adjacency, 3)
    far = walks[-1] / walks[-1].sum(2, keepdim=True)
    smooth = far @ torch.cat([near[0], near[2], near[3]], -1)
    backs = returns(walks)
    ends = (adjacency * walks[-2]).sum(2, keepdim=True)
    numbers = [*near, *backs[1:5], backs[-1], reach(walks[-2]), reach(walks[-1]), smooth, ends]
    return torch.cat(numbers, -1)


def limbs(adjacency: Tensor) -> Tensor:
    """Return 18 numbers of each node that tell what a sparse graph branches like, `(B, N, 18)`.

    Leaves are cut off, and again, smoothly: exp(-4 (degree - 1)) is 1 for a leaf and 0.02 for a
    node of degree 2.
    """
    degrees = adjacency.sum(2, keepdim=True)
    stays = 1 - torch.exp(-4 * (degrees - 1).clamp_min(0))
    cut = adjacency @ stays
    stays_again = stays * (1 - torch.exp(-4 * (cut - 1).clamp_min(0)))
    cut_again = adjacency @ stays_again
    around = adjacency @ torch.cat([degrees, degrees.square(), cut, cut_again], -1)
    walks = lazy_powers(adjacency, 3)
    branches = stays_again * (cut_again - 2).clamp_min(0)
    numbers = [
        degrees, cut, stays, stays_again, cut_again * stays_again, branches,
        around / (degrees + 1), *returns(walks)[:6], reach(walks[2]), reach(walks[3]),
    ]  # fmt: skip
    return torch.cat(numbers, -1)


NUMBERS = {"communities": (communities, 16), "limbs": (limbs, 18)}
"""Numbers of nodes by name, and how many they are."""


def reach(walk: Tensor) -> Tensor:
    """Return the logarithm of how many nodes a walk spreads over, `(B, N, 1)`."""
    total = walk.sum(2, keepdim=True)
    return total.square().div(walk.square().sum(2, keepdim=True)).log()


@final
class Described(nn.Module):
    """A generator of graphs, followed by what the graphs' nodes see.

    Arguments:
        generator: latents -> labelled graphs.
        describe: labelled graphs -> numbers.
    """

    def __init__(self, generator: nn.Module, describe: nn.Module) -> None:
        super().__init__()
        self.generator, self.describe = generator, describe

    def forward(self, latent: Points) -> Tensor:
        """Return the numbers of generated graphs."""
        return cast(Tensor, self.describe(self.generator(latent)))


@final
class SetCritic(nn.Module):
    """Numbers of nodes `(B, N, 1 + F)` -> scores `(B,)`: sums over nodes, twice.

    The second round tells each node what the whole graph is like (Zaheer et al., 2017).

    Arguments:
        inputs: 1 + F.
        width: channels.
    """

    def __init__(self, inputs: int, *, width: int = 64) -> None:
        super().__init__()
        self.enter = multilayer(inputs, width, width)
        self.whole = multilayer(width, width, width)
        self.again = multilayer(2 * width, width, width)
        self.score = multilayer(2 * width, width, 1)

    def forward(self, nodes: Tensor) -> Tensor:
        """Return one score for each set."""
        there = nodes[..., :1]
        h = functional.silu(self.enter(nodes)) * there
        pooled = h.sum(1) / 16
        context = self.whole(pooled).unsqueeze(1).expand(-1, nodes.shape[1], -1)
        h = functional.silu(self.again(torch.cat([h, context], -1))) * there
        return cast(Tensor, self.score(torch.cat([pooled, h.sum(1) / 16], -1)).squeeze(-1))
