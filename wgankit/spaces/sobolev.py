"""Signals and pictures under a Sobolev norm: how much each frequency counts."""

from __future__ import annotations

import functools
import math
from typing import final

import torch
from torch import Tensor

from wgankit.errors import SettingError, ShapeError
from wgankit.space import Points, SmoothSpace, leaves, pairwise, safe_norm, straight


@functools.lru_cache(maxsize=64)
@torch.inference_mode(False)
def _weights(
    order: float, length: float, sizes: tuple[int, ...], dtype: torch.dtype, device: torch.device
) -> Tensor:
    """Return what each entry of the half spectrum of arrays of these sizes counts, `(..., 1)`."""
    waves = [torch.fft.fftfreq(n, 1 / n, dtype=torch.float64) for n in sizes[:-1]]
    waves.append(torch.fft.rfftfreq(sizes[-1], 1 / sizes[-1], dtype=torch.float64))
    squares = torch.zeros(())
    for axis, numbers in enumerate(waves):
        squares = squares + numbers.square().view(-1, *[1] * (len(sizes) - 1 - axis))
    # Of each pair of conjugate entries the half spectrum holds one; it stands for both.
    both = torch.full_like(waves[-1], math.sqrt(2))
    both[0] = 1
    if sizes[-1] % 2 == 0:
        both[-1] = 1
    return ((1 + length**2 * squares) ** (order / 2) * both).unsqueeze(-1).to(device, dtype)


@final
class Sobolev(SmoothSpace):
    """Arrays with d(x, y) = scale * |(1 + length^2 |k|^2)^(order/2) F(x - y)|_2.

    F is the orthonormal Fourier transform over the last axes and k are whole wave numbers, one
    wave over the whole array being 1.  Order 0 is the Euclidean norm; a positive order makes fine
    detail count more, a negative one makes coarse structure count more (the W^{s,2} norms of Adler
    and Lunz, Banach Wasserstein GAN, 2018).

    Arguments:
        order: s, any number.
        axes: how many of the last axes are transformed: 1 for signals `(B, ..., L)`, 2 for
            pictures `(B, ..., H, W)`, whose channels add up like further numbers.
        length: at which scale detail begins, > 0, where the array's side is 2 pi long: waves
            of number 1 / length count 2^(order/2) times as much as the mean.
        scale: how many units of distance one unit of the numbers is, > 0.

    The dual norm is that of order -s, divided by the scale.
    """

    def __init__(
        self, order: float, *, axes: int = 2, length: float = 1.0, scale: float = 1.0
    ) -> None:
        if not math.isfinite(order):
            raise SettingError(f"a Sobolev norm's order is a finite number; got {order}")
        if axes < 1:
            raise SettingError(f"axes is how many axes are transformed, 1 or more; got {axes}")
        if not (length > 0 and scale > 0):
            raise SettingError(f"length and scale are numbers > 0; got {length} and {scale}")
        self.order = float(order)
        self.axes = int(axes)
        self.length = float(length)
        self.scale = float(scale)

    def _spectrum(self, arrays: Tensor, order: float) -> Tensor:
        """Return real rows `(B, n)` whose Euclidean norm is the Sobolev norm of the arrays."""
        if arrays.dim() <= self.axes:
            raise ShapeError(
                f"Sobolev(axes={self.axes}) measures arrays with a batch and at least "
                f"{self.axes} axes; got shape {tuple(arrays.shape)}; for signals: axes=1"
            )
        sizes = tuple(arrays.shape[-self.axes :])
        half = torch.fft.rfftn(arrays, dim=tuple(range(-self.axes, 0)), norm="ortho")
        weights = _weights(order, self.length, sizes, arrays.dtype, arrays.device)
        return (torch.view_as_real(half) * weights).flatten(1)

    def distance(self, x: Points, y: Points) -> Tensor:
        """Return the Sobolev norm of x - y, `(B,)`."""
        return safe_norm(self._spectrum(leaves(x)[0] - leaves(y)[0], self.order)) * self.scale

    def interpolate(self, x: Points, y: Points, t: Tensor) -> Points:
        """Return (1 - t) x + t y."""
        return straight(x, y, t)

    def dual_norm(self, x: Points, gradient: Points) -> Tensor:
        """Return the norm of order -s of the gradient, divided by the scale, `(B,)`."""
        return safe_norm(self._spectrum(leaves(gradient)[0], -self.order)) / self.scale


@pairwise.register(Sobolev)
def _table(space: Sobolev, x: Points, y: Points, block: int = 65_536) -> Tensor:
    origin = leaves(x)[0][:1].detach()
    left, right = (space._spectrum(leaves(part)[0] - origin, space.order) for part in (x, y))
    return torch.cdist(left, right, compute_mode="donot_use_mm_for_euclid_dist") * space.scale
