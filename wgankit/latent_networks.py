"""Networks between normal vectors and the points of an autoencoder, on a sphere or not."""

from __future__ import annotations

import math
from typing import NamedTuple, cast, final

import torch
from torch import Tensor, nn
from torch.nn import functional

from wgankit.space import Points, leaves

BEGIN = 0.1
"""How loud the blocks of a generator are at the beginning, beside what a layer usually is."""


def onto_sphere(vectors: Tensor) -> Tensor:
    """Return vectors `(B, n)` brought to length sqrt(n)."""
    return functional.normalize(vectors, dim=1) * math.sqrt(vectors.shape[1])


def moved(points: Tensor, levels: Tensor | float) -> Tensor:
    """Return points of the sphere moved by normal noise and brought back onto it.

    Arguments:
        points: `(B, n)`, of length sqrt(n).
        levels: standard deviation of each coordinate, for all or for each point, `(B,)`.

    Returns:
        `(B, n)`, drawn by torch's random numbers; at level 0 the points themselves.
    """
    # A number is not carried to the device, which a captured step could not do.
    one = levels if isinstance(levels, Tensor) else points.new_full((), levels)
    each = one.to(points.dtype).expand(len(points))
    found = onto_sphere(points + each[:, None] * torch.randn_like(points))
    return torch.where(each[:, None] > 0, found, points)


@final
class Widened(nn.Module):
    """A residual block: x + down(act(up(x))), with the vectors brought to one size before or not.

    Arguments:
        width: of the vectors.
        normed: bring each vector to mean 0 and variance 1 on the way; no sample sees another.
    """

    def __init__(self, width: int, *, normed: bool) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width) if normed else nn.Identity()
        self.up = nn.Linear(width, 2 * width)
        self.down = nn.Linear(2 * width, width)

    def forward(self, vectors: Tensor) -> Tensor:
        """Return as many vectors `(B, width)`."""
        wide = functional.leaky_relu(self.up(self.norm(vectors)), 0.2)
        return vectors + cast(Tensor, self.down(wide))


class Law(NamedTuple):
    """The normal law with the mean and the covariance of some points.

    Arguments:
        centre: the mean, `(n,)`.
        factor: lower triangular `(n, n)`; the covariance is factor @ factor.T.
    """

    centre: Tensor
    factor: Tensor


def law_of(points: Tensor) -> Law:
    """Return the normal law of points `(N, n)`, with N at least 2, in double precision inside."""
    many = points.double()
    covariance = torch.cov(many.T)
    # Points of a sphere lack a direction or nearly so; a hundredth of the mean spread gives it one.
    little = 1e-4 * covariance.diagonal().mean().clamp_min(torch.finfo(torch.float32).tiny)
    factor = torch.linalg.cholesky(covariance + little * torch.eye(len(covariance)))
    return Law(many.mean(0).float(), factor.float())


@final
class LatentGenerator(nn.Module):
    """Normal vectors to points of an autoencoder's sphere, or of the space around it.

    It begins near the normal law of the points: what the blocks make is added to the normal numbers
    before these get the points' covariance and mean.

    Arguments:
        inputs: numbers in.
        outputs: numbers of a point.
        width: of the residual blocks.
        depth: how many blocks.
        sphere: bring what comes out onto the sphere.
        law: to begin at; that of independent normal numbers if none is given.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        *,
        width: int,
        depth: int,
        sphere: bool = True,
        law: Law | None = None,
    ) -> None:
        super().__init__()
        self.sphere = sphere
        blocks = [Widened(width, normed=True) for _ in range(depth)]
        self.layers = nn.Sequential(nn.Linear(inputs, width), *blocks, nn.LayerNorm(width))
        self.out = nn.Linear(width, outputs)
        self.straight = (
            nn.Identity() if inputs == outputs else nn.Linear(inputs, outputs, bias=False)
        )
        with torch.no_grad():
            self.out.weight *= BEGIN
            self.out.bias.zero_()
        law = law or Law(torch.zeros(outputs), torch.eye(outputs))
        self.centre: Tensor
        self.factor: Tensor
        self.register_buffer("centre", law.centre.clone())
        self.register_buffer("factor", law.factor.clone())

    def forward(self, latents: Tensor) -> Tensor:
        """Return points `(B, outputs)`."""
        numbers = self.straight(latents) + self.out(self.layers(latents))
        points = self.centre + numbers @ self.factor.T
        return onto_sphere(points) if self.sphere else points


@final
class LatentCritic(nn.Module):
    """Points of an autoencoder to scores.

    Arguments:
        inputs: numbers of a point.
        width: of the residual blocks.
        depth: how many blocks.
        sphere: look at directions only.  The paths of `wgankit.Sphere` are unit vectors, so a
            critic that saw lengths would be kept from being steep there, and not at the points.
    """

    def __init__(self, inputs: int, *, width: int, depth: int, sphere: bool = True) -> None:
        super().__init__()
        self.sphere = sphere
        blocks = [Widened(width, normed=False) for _ in range(depth)]
        self.layers = nn.Sequential(nn.Linear(inputs, width), *blocks, nn.LeakyReLU(0.2))
        self.out = nn.Linear(width, 1)
        with torch.no_grad():
            # The sum of the blocks then keeps the size that one of them has.
            for block in blocks:
                block.down.weight /= math.sqrt(max(1, depth))

    def forward(self, points: Tensor) -> Tensor:
        """Return scores `(B,)`."""
        seen = onto_sphere(points) if self.sphere else points
        return cast(Tensor, self.out(self.layers(seen)))[:, 0]


@final
class Blur:
    """Normal noise on points, such as the one that an autoencoder forgives.

    Arguments:
        deviation: standard deviation of each coordinate.
        sphere: bring the points back onto the sphere.
    """

    def __init__(self, deviation: float, *, sphere: bool = True) -> None:
        self.deviation, self.sphere = deviation, sphere

    def __call__(self, points: Points) -> Tensor:
        """Return points `(B, n)` with noise of their own."""
        (vectors,) = leaves(points)
        if self.sphere:
            return moved(vectors, self.deviation)
        return vectors + self.deviation * torch.randn_like(vectors)


@final
class Prepared:
    """Stored points as points of an autoencoder's sphere, each moved afresh at every look.

    Arguments:
        level: how far (see `moved`).
    """

    def __init__(self, level: float) -> None:
        self.level = level

    def __call__(self, stored: Points) -> Tensor:
        """Return points `(B, n)` of stored ones, without the tokens beside them."""
        points = leaves(stored)[0].float()
        return moved(points, self.level) if self.level else points
