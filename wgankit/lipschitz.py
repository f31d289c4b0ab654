"""Networks that are 1-Lipschitz for the Euclidean norm, by construction."""

from __future__ import annotations

from itertools import pairwise
from typing import final

import torch
from torch import Tensor, nn

from wgankit.errors import SettingError


@final
class GroupSort(nn.Module):
    """Sorts the numbers of each group: 1-Lipschitz, and keeps the norm of gradients.

    Arguments:
        group: numbers in a group; 2 is MaxMin, the whole width is FullSort.

    Anil, Lucas and Grosse (2019): with orthogonal weights these networks can be any 1-Lipschitz
    function, which rectifiers cannot.
    """

    def __init__(self, group: int = 2) -> None:
        super().__init__()
        self.group = group

    def forward(self, values: Tensor) -> Tensor:
        """Return `(B, width)`, each group in rising order."""
        if self.group == 2:
            # The same as sorting pairs, and several times faster.
            one, other = values.chunk(2, 1)
            return torch.cat([torch.minimum(one, other), torch.maximum(one, other)], 1)
        return values.view(len(values), -1, self.group).sort(2).values.flatten(1)


@final
class Isometry(nn.Module):
    """A dense layer whose weight has orthonormal columns, or orthonormal rows where it narrows.

    Arguments:
        inputs: numbers in.
        outputs: numbers out.

    Cayley's map for tall matrices (Trockman and Kolter, 2021): with A = X - X^T + Y^T Y the blocks
    (I + A)^-1 (I - A) and -2 Y (I + A)^-1 over each other have orthonormal columns for every X and
    Y, whatever an optimiser does to them.  A has the size of the smaller side.
    """

    start: Tensor
    rest: nn.Parameter | None

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        small, large = sorted((inputs, outputs))
        self.narrows = outputs < inputs
        self.register_buffer("start", nn.init.orthogonal_(torch.empty(small, small)))
        self.turn = nn.Parameter(torch.zeros(small, small))
        rest = nn.Parameter(nn.init.orthogonal_(torch.empty(large - small, small)))
        self.register_parameter("rest", rest if large > small else None)
        self.bias = nn.Parameter(torch.zeros(outputs))

    @property
    def weight(self) -> Tensor:
        """The weight `(outputs, inputs)`."""
        skew = self.turn - self.turn.T
        if self.rest is not None:
            skew = skew + self.rest.T @ self.rest
        identity = torch.eye(len(skew), dtype=skew.dtype, device=skew.device)
        # (I - A) (I + A)^-1 = 2 (I + A)^-1 - I: one inverse serves both blocks.
        inverse = 2 * torch.linalg.inv(identity + skew)
        blocks = [inverse - identity]
        if self.rest is not None:
            blocks.append(-self.rest @ inverse)
        tall = torch.cat(blocks) @ self.start
        return tall.T if self.narrows else tall

    def forward(self, values: Tensor) -> Tensor:
        """Return `(B, outputs)`."""
        return nn.functional.linear(values, self.weight, self.bias)


@final
class NormBounded(nn.Module):
    """A critic that is 1-Lipschitz for scale * |x - y|_2, whatever its parameters are.

    Isometries with sorting between them, then the projection on a unit vector.  It needs no
    penalty (`ByConstruction()`), so its gap is a lower bound of W1, up to sampling; and it fits
    more slowly than a penalised network.

    Arguments:
        inputs: numbers in, after flattening each point.
        width: of the hidden layers, a multiple of `group`.
        depth: number of hidden layers.
        scale: units of distance that one unit of the numbers is, as in `Normed(scale=...)`.
        group: how many numbers are sorted together; 2 (MaxMin) up to the width (FullSort).
    """

    def __init__(
        self, inputs: int, *, width: int = 128, depth: int = 3, scale: float = 1.0, group: int = 2
    ) -> None:
        super().__init__()
        if inputs < 1 or width < 1 or depth < 1:
            raise SettingError(
                f"inputs, width and depth are at least 1; got {inputs}, {width}, {depth}"
            )
        if group < 2 or width % group:
            raise SettingError(
                f"group is at least 2 and divides the width; got group={group}, width={width}"
            )
        if not 0 < scale < float("inf"):
            raise SettingError(f"scale is a number > 0, such as scale=255; got {scale}")
        self.scale = float(scale)
        layers: list[nn.Module] = [nn.Flatten()]
        for before, after in pairwise([inputs] + [width] * depth):
            layers += [Isometry(before, after), GroupSort(group)]
        self.layers = nn.Sequential(*layers)
        # Of length about 1, so that optimisers turn it as fast as they turn the isometries.
        self.direction = nn.Parameter(torch.randn(width) / width**0.5)
        self.bias = nn.Parameter(torch.zeros(()))

    def forward(self, points: Tensor) -> Tensor:
        """Return scores `(B,)`, in units of distance."""
        unit = self.direction / torch.linalg.vector_norm(self.direction)
        scores: Tensor = self.layers(points) @ unit
        return self.scale * (scores + self.bias)
