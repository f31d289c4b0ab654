"""Plain networks for points that are arrays of numbers."""

from __future__ import annotations

from itertools import pairwise
from typing import final

from torch import Tensor, nn


@final
class Perceptron(nn.Module):
    """Dense layers with leaky rectifiers between them; no layer couples the samples of a batch.

    Arguments:
        inputs: numbers in, after flattening each point.
        outputs: shape of what comes out; () means one score for each point.
        width: of the hidden layers.
        depth: number of hidden layers.
    """

    def __init__(
        self, inputs: int, *outputs: int, width: int = 128, depth: int = 3, slope: float = 0.2
    ) -> None:
        super().__init__()
        self.shape = outputs
        sizes = [inputs] + [width] * depth
        layers: list[nn.Module] = [nn.Flatten()]
        for before, after in pairwise(sizes):
            layers += [nn.Linear(before, after), nn.LeakyReLU(slope)]
        last = 1
        for size in outputs:
            last *= size
        self.layers = nn.Sequential(*layers, nn.Linear(sizes[-1], last))

    def forward(self, points: Tensor) -> Tensor:
        """Return `(B, *outputs)`, or scores `(B,)`."""
        return self.layers(points).view(len(points), *self.shape)  # type: ignore[no-any-return]
