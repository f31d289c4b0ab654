"""Critics for vectors under the Euclidean norm: networks that see |x|^2 beside x."""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor, nn

from wgankit.errors import DataError, SettingError


@final
class Lifted(nn.Module):
    """A network of (z, |z|^2), where z are the inputs shifted and scaled as a sample asks.

    A distance |x - a| is a function of a linear form of (x, |x|^2), and best critics of W1 are
    made of distances.  In high dimension a network spends most of its training on the square
    alone; here it is given, and one linear layer goes past the network.

    Arguments:
        network: `(B, n + 1)` -> scores `(B,)`, for points of n numbers each.
        sample: at least 2 points, any mixture of real and generated ones, which set the scale.
    """

    middle: Tensor
    spread: Tensor
    square_middle: Tensor
    square_spread: Tensor

    def __init__(self, network: nn.Module, sample: Tensor) -> None:
        super().__init__()
        if len(sample) < 2 or not bool(torch.isfinite(sample).all()):
            raise DataError(
                "a lifted critic is scaled by a sample of at least 2 finite points; "
                f"got shape {tuple(sample.shape)}"
            )
        flat = sample.detach().flatten(1)
        tiny = torch.finfo(flat.dtype).tiny
        # One spread for all inputs: the metric does not weigh them apart, so neither do we.
        self.register_buffer("middle", flat.mean(0))
        self.register_buffer(
            "spread", flat.sub(flat.mean(0)).square().mean().sqrt().clamp_min(tiny)
        )
        square = self._standard(sample).square().sum(1)
        self.register_buffer("square_middle", square.mean())
        self.register_buffer("square_spread", square.std().clamp_min(tiny))
        self.network = network
        self.past = nn.Linear(flat.shape[1] + 1, 1, dtype=flat.dtype)

    def _standard(self, points: Tensor) -> Tensor:
        return (points.flatten(1) - self.middle) / self.spread

    def forward(self, points: Tensor) -> Tensor:
        """Return scores `(B,)`."""
        standard = self._standard(points)
        square = (standard.square().sum(1, keepdim=True) - self.square_middle) / self.square_spread
        lifted = torch.cat([standard, square], 1)
        scores: Tensor = self.network(lifted) + self.past(lifted)[:, 0]
        return scores


@final
class SoftMaxima(nn.Module):
    """The difference of two soft maxima of linear forms: log sum exp(t (w_k z + b_k)) / t.

    Such differences approximate every continuous function on a compact set (Calafiore, Gaubert and
    Possieri, 2020).  Forms compete for points, as the cells of a transport do, so in high
    dimension it finds in a few hundred steps what dense layers take very long for.

    Arguments:
        inputs: numbers in.
        pieces: linear forms in each maximum.
    """

    def __init__(self, inputs: int, *, pieces: int = 128) -> None:
        super().__init__()
        if inputs < 1 or pieces < 1:
            raise SettingError(f"inputs and pieces are at least 1; got {inputs} and {pieces}")
        self.forms = nn.Linear(inputs, 2 * pieces)
        self.sharpness = nn.Parameter(torch.tensor(3.0))

    def forward(self, points: Tensor) -> Tensor:
        """Return scores `(B,)`."""
        forms = self.forms(points.flatten(1)) * self.sharpness
        upper, lower = (half.logsumexp(1) for half in forms.chunk(2, 1))
        scores: Tensor = (upper - lower) / self.sharpness
        return scores
