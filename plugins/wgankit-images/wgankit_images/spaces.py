"""Metrics on pictures, in the pixels' own units, and on pictures that are given another one."""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor

from wgankit.errors import SettingError, ShapeError
from wgankit.space import Points, SmoothSpace, leaves, pairwise, rebuild
from wgankit.spaces import Normed, Sobolev

NORMS = ("l1", "l2", "linf", "sobolev")


def picture_space(
    norm: str = "l2",
    *,
    low: float = -1.0,
    high: float = 1.0,
    unit: float = 1.0,
    order: float = 1.0,
    length: float = 1.0,
) -> SmoothSpace:
    """Return the space of pictures `(B, C, H, W)` under a norm, in units of the pixels.

    Arguments:
        norm: "l1", "l2", "linf", or "sobolev": the norm W^{order,2} (Adler and Lunz, Banach
            Wasserstein GAN, 2018), in which detail counts more (order > 0) or less (< 0).
        low: the number that stands for black in the pictures at hand.
        high: the number that stands for white.
        unit: how far white is from black in one pixel; 255 for distances in grey levels.
        order: of the Sobolev norm, and of that alone.
        length: of the Sobolev norm: where detail begins (see `wgankit.Sobolev`).

    Distances, slopes and W1 are those of the pixels, however these were shifted and scaled for the
    networks: the same pictures as numbers in [0, 255], [0, 1] or [-1, 1] have the same W1.
    """
    if norm not in NORMS:
        raise SettingError(f"the norm of pictures is one of {', '.join(NORMS)}; got {norm!r}")
    if not high > low:
        raise SettingError(f"white is a larger number than black; got low={low}, high={high}")
    if not unit > 0:
        raise SettingError(f"unit is a distance > 0, such as 1 or 255; got {unit}")
    scale = unit / (high - low)
    if norm == "sobolev":
        return Sobolev(order, length=length, scale=scale)
    return Normed(float(norm.removeprefix("l")), scale=scale)


@final
class Given(SmoothSpace):
    """Pairs (picture, given): what is made, and what it was made from.

    Distances, shortest paths and slopes are those of the picture alone.  Where real and generated
    points of a pair share what is given, as latents drawn by `beside` make them do, a critic is
    asked to be 1-Lipschitz in the picture for every given one and not at all in the given one, and
    its gap estimates the mean over the given ones of the W1 between the laws of pictures.  W1
    between batches is that of the pictures, whatever they were made from.

    Arguments:
        space: the metric of the pictures.
    """

    def __init__(self, space: SmoothSpace) -> None:
        if not isinstance(space, SmoothSpace):
            raise SettingError(
                f"pictures need a smooth space, such as Normed(); got {type(space).__name__}"
            )
        self.space = space

    def distance(self, x: Points, y: Points) -> Tensor:
        """Return the distance of the pictures, `(B,)`."""
        return self.space.distance(_picture(x), _picture(y))

    def interpolate(self, x: Points, y: Points, t: Tensor) -> Points:
        """Move the picture, and keep what x was given."""
        moved = self.space.interpolate(_picture(x), _picture(y), t)
        return rebuild(x, (leaves(moved)[0], *leaves(x)[1:]))

    def dual_norm(self, x: Points, gradient: Points) -> Tensor:
        """Return the dual norm of the gradient by the picture, `(B,)`."""
        return self.space.dual_norm(_picture(x), _picture(gradient))


def _picture(points: Points) -> Tensor:
    parts = leaves(points)
    if len(parts) != 2:
        raise ShapeError(
            f"a point of Given is a picture and the one it was made from; got {len(parts)} parts"
        )
    return parts[0]


@pairwise.register(Given)
def _table(space: Given, x: Points, y: Points, block: int = 65_536) -> Tensor:
    table: Tensor = pairwise(space.space, _picture(x), _picture(y), block)
    return table


def to_numbers(pixels: Tensor) -> Tensor:
    """Return bytes 0..255 as numbers in [-1, 1], which the networks work on."""
    return pixels.to(torch.get_default_dtype()) / 127.5 - 1


def to_bytes(numbers: Tensor) -> Tensor:
    """Return numbers in [-1, 1] as the nearest bytes; what is outside becomes black or white."""
    return ((numbers.detach() + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)
