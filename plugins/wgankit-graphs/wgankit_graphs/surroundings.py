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
from wgankit_graphs.choices import Drawing
from wgankit_graphs.labelled import graphs_of
from wgankit_graphs.networks import multilayer

WIDEST = 2.0
"""Deviations from which numbers grow like their logarithm: levelling off would leave a generator
that went far astray without a slope to come back on."""


@final
class Surroundings(nn.Module):
    """Labelled graphs -> numbers of their nodes `(B, N, 1 + F)`, the first of which is presence.

    Equivariant under renumbering, and smooth but for "twigs"; blind to edge labels.  The numbers
    are brought to mean 0 and deviation 1 by what `fit` saw, grow like logarithms beyond 2, and are
    0 where no node is.

    Arguments:
        numbers: "communities", "companies", "faces", "groups" or "twigs", the functions of these
            names.
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
    return of_communities(adjacency, adjacency @ adjacency, lazy_powers(adjacency, 3))


def of_communities(adjacency: Tensor, two: Tensor, walks: Sequence[Tensor]) -> Tensor:
    """Return `communities` from the square of the adjacency and powers of the lazy walk."""
    shared = adjacency * two
    near = closures(adjacency.unsqueeze(-1), shared)
    far = walks[-1] / walks[-1].sum(2, keepdim=True)
    smooth = far @ torch.cat([near[0], near[2], near[3]], -1)
    backs = returns(walks)
    ends = (adjacency * walks[-2]).sum(2, keepdim=True)
    numbers = [*near, *backs[1:5], backs[-1], reach(walks[-2]), reach(walks[-1]), smooth, ends]
    return torch.cat(numbers, -1)


@torch.no_grad()
def twigs(adjacency: Tensor) -> Tensor:
    """Return 15 numbers of each node that tell what a tree branches like, `(B, N, 15)`.

    Degrees, and what is left of the degrees where leaves were cut off once, twice and three times.
    One edge changes them by leaps.  Slopes would say nothing, and there are none: for generators
    that scores teach (`OneTurn`).
    """
    degrees = adjacency.sum(2, keepdim=True)
    stays = (degrees > 1).to(adjacency.dtype)
    cut = adjacency @ stays
    again = stays * (cut > 1)
    cut_again = adjacency @ again
    core = again * (cut_again > 1)
    near = torch.cat([degrees, degrees.square(), 1 - stays, cut, again, cut_again], -1)
    numbers = [
        degrees, (degrees + 1).log(), stays, stays * cut, again, again * cut_again,
        again * (cut_again - 2).clamp_min(0), core, adjacency @ near, adjacency @ cut,
    ]  # fmt: skip
    return torch.cat(numbers, -1)


def groups(adjacency: Tensor) -> Tensor:
    """Return 20 numbers of each node: `communities`, and two kinds more.

    For each edge the ways of 2 and of 3 steps from one end to the other are counted; within a dense
    group there are many.  A node's edges without are summed: exp(-ways) and exp(-ways / 4).  And
    how many nodes walks reach is averaged over where they end, which tells a group's size better
    than one node does.
    """
    degrees = adjacency.sum(2, keepdim=True)
    two = adjacency @ adjacency
    # Of three steps along an edge, d_i + d_j - 1 ways lead back and forth over the edge itself.
    three = two @ adjacency - degrees - degrees.transpose(1, 2) + 1
    lone = [adjacency * torch.exp(-two), adjacency * torch.exp(-three.clamp_min(0) / 4)]
    walks = lazy_powers(adjacency, 3)
    far = walks[-1] / walks[-1].sum(2, keepdim=True)
    group = far @ torch.cat([reach(walks[-2]), reach(walks[-1])], -1)
    few = [one.sum(2, keepdim=True) for one in lone]
    return torch.cat([of_communities(adjacency, two, walks), *few, group], -1)


def companies(adjacency: Tensor) -> Tensor:
    """Return 5 numbers of each node that tell its company, `(B, N, 5)`.

    Walks of eight steps from two nodes of one dense group end at the same places, so that the
    cosine between the laws of where they end is near 1, and near 0 for nodes of different groups.
    Its fourth power, summed, tells how many nodes are in a node's company, and the sum of one over
    that number is how many companies there are (in block models as published to 2 % and 0.05).
    Edges within the company and the others are counted, and the share of pairs within it.

    What a company is has no slope: borders are not what edges should learn by.
    """
    with torch.no_grad():
        alike = likeness(lazy_powers(adjacency, 3)[-1])
        size = alike.sum(2, keepdim=True)
    within = (adjacency * alike).sum(2, keepdim=True)
    without = (adjacency * (1 - alike)).sum(2, keepdim=True)
    return torch.cat([size.log(), 1 / size, within, without, within / size], -1)


def faces(adjacency: Tensor) -> Tensor:
    """Return 25 numbers of each node that tell what faces lie around it, `(B, N, 25)`.

    In a triangulation both ends of an edge share two neighbours, on the rim one, and more where
    edges cross.  Sums over a node's edges of the neighbours shared, of their powers, of those
    beyond two and of edges that share just one; the same summed over neighbours; returns and reach
    of walks.  And four nodes that are all joined: in a plane one of them lies within the triangle
    of the others and has, if nothing else does, three neighbours, while both diagonals of a square
    need none that has.  So nodes of three neighbours are told, and the groups of four that a node
    is in, with such nodes and without them.
    """
    degrees, two = adjacency.sum(2, keepdim=True), adjacency @ adjacency
    shared = [(adjacency * two.pow(k)).sum(2, keepdim=True) for k in (1, 2, 3)]
    beyond = (adjacency * functional.relu(two - 2)).sum(2, keepdim=True)
    one = (adjacency * torch.exp(-2 * (two - 1).abs())).sum(2, keepdim=True)
    ways = (two * (two - 1)).sum(2, keepdim=True)
    around = torch.cat([degrees, degrees.square(), shared[0], shared[1], beyond, one], -1)
    walks = lazy_powers(adjacency, 3)
    numbers = [
        degrees, (degrees + 1).log(), *shared, beyond, one, ways, adjacency @ around,
        two @ torch.cat([degrees, beyond], -1), *returns(walks)[1:5], reach(walks[-2]),
        reach(walks[-1]), *fours(adjacency),
    ]  # fmt: skip
    return torch.cat(numbers, -1)


def fours(adjacency: Tensor) -> list[Tensor]:
    """Return who has three neighbours, and in how many groups of four that are all joined it is.

    Returns:
        Three of `(B, N, 1)`: of all groups, and of those none of whose nodes has three neighbours.
    """
    three = functional.relu(1 - (adjacency.sum(2, keepdim=True) - 3).abs())
    other = (1 - three) * (1 - three).transpose(1, 2)
    found = [three]
    for kept in (adjacency, adjacency * other):
        near = kept.unsqueeze(3) * kept.unsqueeze(2) * kept.unsqueeze(1)
        # Each triangle among a node's neighbours is walked around six times.
        found.append((near * (near @ near)).sum((2, 3)).unsqueeze(-1) / 6)
    return found


def likeness(walk: Tensor) -> Tensor:
    """Return the fourth power of the cosine between rows of a matrix, `(B, N, N)`."""
    rows = walk / walk.square().sum(2, keepdim=True).sqrt()
    return (rows @ rows.transpose(1, 2)).pow(4)


NUMBERS = {
    "communities": (communities, 16),
    "companies": (companies, 5),
    "faces": (faces, 25),
    "groups": (groups, 20),
    "twigs": (twigs, 15),
}
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

    def log_chance(self, latent: Points) -> Tensor:
        """Return the logarithm of the chance of what the generator drew, `(B,)`."""
        return cast(Drawing, self.generator).log_chance(latent)


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
        there = nodes[..., :1].detach()
        h = functional.silu(self.enter(nodes)) * there
        pooled = h.sum(1) / 16
        context = self.whole(pooled).unsqueeze(1).expand(-1, nodes.shape[1], -1)
        h = functional.silu(self.again(torch.cat([h, context], -1))) * there
        return cast(Tensor, self.score(torch.cat([pooled, h.sum(1) / 16], -1)).squeeze(-1))
