"""Generators and critics of pictures of any size that is a multiple of 4.

No critic here has a layer that couples the samples of a batch: its slope at a picture would have no
meaning, and `wgankit.train` refuses it.
"""

from __future__ import annotations

from typing import final

from torch import Tensor, nn
from torch.nn import functional

from wgankit.errors import SettingError
from wgankit.space import Points, leaves

SLOPE = 0.2
"""Of the leaky rectifiers below 0."""

WIDEST = 8
"""How many times the width the innermost layers have at most."""


def doublings(size: int) -> int:
    """Return how often a generator doubles its picture: at least twice, from a side of 4 or less.

    Sizes that are not divisible so often begin at a larger side: 28 = 7 * 2 * 2.

    Raises:
        SettingError: the size is no multiple of 4.
    """
    if size < 4 or size % 4:
        raise SettingError(f"pictures have a side that is a multiple of 4; got size={size}")
    count, side = 2, size // 4
    while side > 4 and side % 2 == 0:
        count, side = count + 1, side // 2
    return count


def widths(size: int, width: int) -> list[int]:
    """Return the channels of the layers from the picture's side inwards, one for each halving."""
    if width < 1:
        raise SettingError(f"a network's width is at least 1; got {width}")
    return [width * min(2**level, WIDEST) for level in range(doublings(size))]


def _check_channels(channels: int) -> None:
    if channels < 1:
        raise SettingError(f"pictures have 1 channel (grey) or 3 (colours); got {channels}")


# Convolutions that halve and double -----------------------------------------------------------


@final
class ConvGenerator(nn.Module):
    """Vectors `(B, latent)` to pictures `(B, channels, size, size)` in [-1, 1], as in DCGAN.

    Transposed convolutions double the picture from a side of 4 or less.  Batch normalisation is
    fine in a generator, whose slopes nobody takes.

    Source: Radford, Metz, Chintala (2016), figure 1; DCGAN's is size=64, width=128, latent=100.

    Arguments:
        latent: numbers in.
        size: side of the pictures, a multiple of 4.
        channels: 1 or 3.
        width: channels of the layer next to the picture; each further one has twice as many.
        normalised: whether layers are batch-normalised.
    """

    def __init__(
        self,
        latent: int = 64,
        size: int = 32,
        channels: int = 1,
        *,
        width: int = 32,
        normalised: bool = True,
    ) -> None:
        super().__init__()
        _check_channels(channels)
        inner = widths(size, width)[::-1]
        side = size // 2 ** len(inner)
        before = inner[0]
        layers: list[nn.Module] = [
            nn.Linear(latent, before * side * side),
            nn.Unflatten(1, (before, side, side)),
        ]
        for after in [*inner[1:], channels]:
            layers += [nn.BatchNorm2d(before)] if normalised else []
            layers += [nn.ReLU(), nn.ConvTranspose2d(before, after, 4, 2, 1)]
            before = after
        self.layers = nn.Sequential(*layers, nn.Tanh())

    def forward(self, latents: Points) -> Tensor:
        """Return pictures."""
        return self.layers(leaves(latents)[0])  # type: ignore[no-any-return]


@final
class ConvCritic(nn.Module):
    """Pictures `(B, channels, size, size)` to scores `(B,)`, as in DCGAN without normalisation.

    Arguments:
        size: side of the pictures, a multiple of 4.
        channels: of the pictures.
        width: channels of the first layer; each further one has twice as many.
    """

    def __init__(self, size: int = 32, channels: int = 1, *, width: int = 32) -> None:
        super().__init__()
        _check_channels(channels)
        layers: list[nn.Module] = []
        before = channels
        for after in widths(size, width):
            layers += [nn.Conv2d(before, after, 4, 2, 1), nn.LeakyReLU(SLOPE)]
            before = after
        side = size // 2 ** doublings(size)
        self.layers = nn.Sequential(*layers, nn.Flatten(), nn.Linear(before * side * side, 1))

    def forward(self, pictures: Points) -> Tensor:
        """Return one score for each picture."""
        return self.layers(leaves(pictures)[0]).squeeze(1)  # type: ignore[no-any-return]


# Residual -------------------------------------------------------------------------------------


@final
class Block(nn.Module):
    """x + change(x) with two convolutions, after doubling or before halving the side.

    Arguments:
        before: channels in.
        after: channels out.
        resize: "up", "down" or "same".
        normalised: whether the inputs of the convolutions are batch-normalised.
    """

    def __init__(
        self, before: int, after: int, resize: str = "same", *, normalised: bool = False
    ) -> None:
        super().__init__()
        self.resize = resize
        self.first = nn.Conv2d(before, after, 3, padding=1)
        self.second = nn.Conv2d(after, after, 3, padding=1)
        self.across = nn.Conv2d(before, after, 1) if before != after else nn.Identity()
        self.norms = nn.ModuleList(
            nn.BatchNorm2d(width) if normalised else nn.Identity() for width in (before, after)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return the block's output `(B, after, H', W')`."""
        change = functional.leaky_relu(self.norms[0](x), SLOPE)
        if self.resize == "up":
            x, change = doubled(x), doubled(change)
        change = self.first(change)
        change = self.second(functional.leaky_relu(self.norms[1](change), SLOPE))
        if self.resize == "down":
            x, change = halved(x), halved(change)
        return self.across(x) + change  # type: ignore[no-any-return]


def doubled(pictures: Tensor, factor: int = 2) -> Tensor:
    """Return pictures with every pixel repeated `factor` times each way."""
    return functional.interpolate(pictures, scale_factor=factor, mode="nearest")


def halved(pictures: Tensor, factor: int = 2) -> Tensor:
    """Return the means of squares of `factor` times `factor` pixels."""
    return functional.avg_pool2d(pictures, factor)


@final
class ResidualGenerator(nn.Module):
    """Vectors `(B, latent)` to pictures `(B, channels, size, size)` in [-1, 1], in residual blocks.

    Source: Gulrajani et al. (2017), appendix F, whose widths are 128 throughout.

    Arguments:
        latent: numbers in.
        size: side of the pictures, a multiple of 4.
        channels: 1 or 3.
        width: channels of all layers.
        normalised: whether blocks are batch-normalised.
    """

    def __init__(
        self,
        latent: int = 64,
        size: int = 32,
        channels: int = 1,
        *,
        width: int = 64,
        normalised: bool = True,
    ) -> None:
        super().__init__()
        _check_channels(channels)
        count = doublings(size)
        side = size // 2**count
        self.start = nn.Linear(latent, width * side * side)
        self.unflatten = nn.Unflatten(1, (width, side, side))
        self.blocks = nn.Sequential(
            *(Block(width, width, "up", normalised=normalised) for _ in range(count))
        )
        self.end = nn.Conv2d(width, channels, 3, padding=1)

    def forward(self, latents: Points) -> Tensor:
        """Return pictures."""
        inner = self.blocks(self.unflatten(self.start(leaves(latents)[0])))
        return self.end(functional.leaky_relu(inner, SLOPE)).tanh()  # type: ignore[no-any-return]


@final
class ResidualCritic(nn.Module):
    """Pictures `(B, channels, size, size)` to scores `(B,)`, in residual blocks.

    Arguments:
        size: side of the pictures, a multiple of 4.
        channels: of the pictures.
        width: channels of all layers.
    """

    def __init__(self, size: int = 32, channels: int = 1, *, width: int = 64) -> None:
        super().__init__()
        _check_channels(channels)
        count = doublings(size)
        side = size // 2**count
        self.start = nn.Conv2d(channels, width, 3, padding=1)
        self.blocks = nn.Sequential(
            *(Block(width, width, "down") for _ in range(count)), Block(width, width)
        )
        self.end = nn.Linear(width * side * side, 1)

    def forward(self, pictures: Points) -> Tensor:
        """Return one score for each picture."""
        inner = self.blocks(self.start(leaves(pictures)[0]))
        scores: Tensor = self.end(functional.leaky_relu(inner, SLOPE).flatten(1))
        return scores.squeeze(1)


NETWORKS: dict[str, tuple[type[nn.Module], type[nn.Module]]] = {
    "conv": (ConvGenerator, ConvCritic),
    "residual": (ResidualGenerator, ResidualCritic),
}
"""Generator and critic by the name that the setting `model.network` gives."""
