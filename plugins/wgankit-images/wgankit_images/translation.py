"""Pictures from pictures: latents beside what is given, generators, and critics of pairs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor, nn
from torch.nn import functional

from wgankit.errors import SettingError, ShapeError
from wgankit.latent import Conditioned
from wgankit.space import MetricSpace, Points, leaves
from wgankit_images.networks import SLOPE, Block, doubled, halved


@final
class GivenLatent(Conditioned):
    """A given picture and normal numbers: the input of a generator that makes one from the other.

    Arguments:
        given: pictures `(N, C, H, W)` to make something from where no real point stands beside:
            each is drawn as often as any other, but for one.
        noise: shape of the normal numbers of one point.
    """

    def __init__(self, given: Tensor, noise: tuple[int, ...]) -> None:
        if given.dim() != 4 or not len(given):
            raise ShapeError(
                f"given pictures are a tensor (N, C, H, W), N at least 1; got {tuple(given.shape)}"
            )
        self.given = given
        self.noise = noise

    def sample(self, count: int, device: torch.device | str) -> tuple[Tensor, Tensor]:
        """Return `count` given pictures in random order, and noise."""
        rounds = -(-count // len(self.given))
        order = torch.cat([torch.randperm(len(self.given)) for _ in range(rounds)])[:count]
        given = self.given[order].to(device)
        return given, torch.randn(count, *self.noise, device=device)

    def beside(self, real: Points) -> tuple[Tensor, Tensor]:
        """Return what each real point was given, and noise."""
        given = leaves(real)[1]
        return given, torch.randn(len(given), *self.noise, device=given.device)


def with_smaller(pixels: Points, *, factor: int) -> tuple[Tensor, Tensor]:
    """Return bytes `(B, C, S, S)` as points (picture, given) with the given one averaged down."""
    picture = leaves(pixels)[0].to(torch.get_default_dtype()) / 127.5 - 1
    return picture, halved(picture, factor)


@final
class Translator(nn.Module):
    """(given, noise) to (picture, given): a residual network at a fraction of the picture's side.

    The given picture is brought to the picture's side (bicubic) and folded with the noise into
    squares of `fold` times `fold` pixels; residual blocks work on these; what they say is unfolded
    and added to the given picture where that is a smaller one of the same channels.

    Arguments:
        size: side S of the picture, a multiple of 4.
        channels: of the picture.
        given: channels of the given picture.
        factor: how many times smaller the given picture's side is; 1 for the same side.
        noise: channels of the noise `(B, noise, S / fold, S / fold)`; 0 for none.
        width: channels of the blocks.
        blocks: how many there are.
        fold: 1, 2 or 4; a fold of 4 costs a fourth of one of 2.
        consistent: whether the picture, averaged down by `factor`, is the given one exactly.

    Source of the folding: Shi et al., Real-time single image super-resolution (2016), section 3.
    """

    def __init__(
        self,
        size: int = 32,
        channels: int = 1,
        *,
        given: int | None = None,
        factor: int = 4,
        noise: int = 8,
        width: int = 40,
        blocks: int = 3,
        fold: int = 2,
        consistent: bool = False,
    ) -> None:
        super().__init__()
        given = channels if given is None else given
        _check_sizes(size, factor, fold)
        if consistent and given != channels:
            raise SettingError(
                "consistent=True compares the picture with the given one, so both need the same "
                f"channels; got {channels} and {given}"
            )
        self.factor, self.fold, self.consistent = factor, fold, consistent
        self.adds = factor > 1 and given == channels
        self.noise = (noise, size // fold, size // fold)
        self.start = nn.Conv2d(given * fold**2 + noise, width, 3, padding=1)
        self.blocks = nn.Sequential(*(Block(width, width) for _ in range(blocks)))
        self.unfold = nn.Conv2d(width, 4 * fold**2, 3, padding=1)
        self.end = nn.Conv2d(4, channels, 3, padding=1)

    def forward(self, latents: Points) -> tuple[Tensor, Tensor]:
        """Return the picture, and the given one as it came."""
        parts = leaves(latents)
        given = parts[0]
        large = enlarged(given, self.factor)
        folded = functional.pixel_unshuffle(large, self.fold)
        inner = self.blocks(self.start(torch.cat([folded, *parts[1:]], 1)))
        inner = self.unfold(functional.leaky_relu(inner, SLOPE))
        fine = functional.leaky_relu(functional.pixel_shuffle(inner, self.fold), SLOPE)
        picture = self.end(fine) + large if self.adds else self.end(fine)
        return (consistent(picture, given) if self.consistent else picture), given


def _check_sizes(size: int, factor: int, fold: int) -> None:
    if size < 4 or size % 4:
        raise SettingError(f"pictures have a side that is a multiple of 4; got size={size}")
    if fold not in (1, 2, 4):
        raise SettingError(f"fold is 1, 2 or 4; got {fold}")
    if factor < 1 or size % factor:
        raise SettingError(f"a side of {size} is not {factor} times a smaller one; got {factor=}")


def enlarged(given: Tensor, factor: int) -> Tensor:
    """Return pictures with `factor` times the side, bicubic: the estimate that knows no data."""
    if factor == 1:
        return given
    return functional.interpolate(given, scale_factor=factor, mode="bicubic", align_corners=False)


def consistent(pictures: Tensor, given: Tensor) -> Tensor:
    """Return the nearest pictures whose means over squares are the given pictures exactly."""
    factor = pictures.shape[-1] // given.shape[-1]
    return pictures + doubled(given - halved(pictures, factor), factor)


@final
class PairCritic(nn.Module):
    """(picture, given) to scores: any critic of pictures, which sees both one over the other.

    Arguments:
        critic: scores pictures with the channels of both together.
    """

    def __init__(self, critic: nn.Module) -> None:
        super().__init__()
        self.critic = critic

    def forward(self, points: Points) -> Tensor:
        """Return one score for each pair."""
        picture, given = leaves(points)
        large = doubled(given, picture.shape[-1] // given.shape[-1])
        return self.critic(torch.cat([picture, large], 1))  # type: ignore[no-any-return]


def patch_side(depth: int) -> int:
    """Return the side in pixels of the patches that a critic of some depth scores."""
    return 3 * (1 << depth) - 2


def deepest(size: int, most: int = 3) -> int:
    """Return the largest depth up to `most` whose patches fit into a picture; at least 1."""
    return max([1, *(depth for depth in range(1, most + 1) if patch_side(depth) <= size)])


@final
class PatchCritic(nn.Module):
    """Scores a picture by its overlapping patches: sqrt(P / k) times the mean over P patches of g.

    g is a network of patches of 3 * 2^depth - 2 pixels (4, 10, 22, ...) every 2^depth pixels; at
    the edges the picture is mirrored so that every pixel is in a patch.  k counts how often the
    pixel that occurs most does.  A mean of functions of patches that are 1-Lipschitz is
    sqrt(k / P)-Lipschitz in the picture, so with the factor in front, g is as steep as the critic.
    The gap compares the mixtures of patches, and is blind to how patches are arranged.

    Source: Isola et al., Image-to-image translation (2017), section 3.2.2, without the
    normalisation there, which couples pixels far apart and thus patches.

    Arguments:
        size: side of the pictures, a multiple of 4.
        channels: of the pictures.
        width: channels of the first layer.
        depth: how many layers halve.
    """

    def __init__(
        self, size: int = 32, channels: int = 1, *, width: int = 32, depth: int = 2
    ) -> None:
        super().__init__()
        self.patch, self.stride = patch_side(depth), 2**depth
        if size < self.patch or size % 4:
            raise SettingError(
                f"patches of {self.patch} pixels need pictures of that side at least, a multiple "
                f"of 4; got size={size}; give a smaller depth"
            )
        missing = -(size - self.patch) % self.stride
        self.margins = (missing // 2, missing - missing // 2) * 2
        layers: list[nn.Module] = []
        before = channels
        for level in range(depth):
            layers += [nn.Conv2d(before, width * 2**level, 4, 2), nn.LeakyReLU(SLOPE)]
            before = width * 2**level
        layers += [nn.Conv2d(before, before, 1), nn.LeakyReLU(SLOPE), nn.Conv2d(before, 1, 1)]
        self.layers = nn.Sequential(*layers)
        self.factor = float((self.count(size) / self.multiplicity(size)) ** 0.5)

    def mirrored(self, pictures: Tensor) -> Tensor:
        """Return pictures with mirrored margins, so that patches fit."""
        if not any(self.margins):
            return pictures
        return functional.pad(pictures, self.margins, mode="reflect")

    def patches(self, pictures: Tensor) -> Tensor:
        """Return all patches `(B, P, C, patch, patch)`."""
        wide = self.mirrored(pictures)
        columns = functional.unfold(wide, self.patch, stride=self.stride).transpose(1, 2)
        return columns.view(*columns.shape[:2], pictures.shape[1], self.patch, self.patch)

    def map(self, pictures: Tensor) -> Tensor:
        """Return g of every patch, `(B, rows, columns)`, rows * columns = P."""
        scores: Tensor = self.layers(self.mirrored(pictures))
        return scores.squeeze(1)

    def forward(self, pictures: Points) -> Tensor:
        """Return one score for each picture."""
        return self.map(leaves(pictures)[0]).mean((1, 2)) * self.factor

    def count(self, size: int) -> int:
        """Return P, how many patches a picture of this side has."""
        return int(((size + sum(self.margins[:2]) - self.patch) // self.stride + 1) ** 2)

    def multiplicity(self, size: int) -> int:
        """Return k, how often the pixel that occurs in most patches, mirrored or not, does."""
        with torch.enable_grad():
            one = torch.ones(1, 1, size, size, requires_grad=True)
            (often,) = torch.autograd.grad(self.patches(one).sum(), one)
        return int(often.max().round())


@final
@dataclass(frozen=True)
class Content:
    """How far made pictures are from the true ones beside them, in the space's own unit.

    The mean distance is never below the W1 that the critic estimates, and both have slope 1 in the
    picture, so the weight compares like with like: 0 asks for pictures that could be true, a large
    one for the least error (see Blau and Michaeli, The perception-distortion tradeoff, 2018).

    Arguments:
        space: the space of the points.
        weight: what a unit of distance counts beside a unit of W1, >= 0.
    """

    space: MetricSpace
    weight: float

    def __post_init__(self) -> None:
        if not self.weight >= 0:
            raise SettingError(f"content is a weight >= 0; got {self.weight}")

    def __call__(self, made: Points, real: Points) -> Tensor:
        """Return the weighted mean distance of made and real points, a scalar."""
        return self.weight * self.space.distance(made, real).mean()
