"""Pictures of pictures: grids, strips from one latent to another, and SVG for reports."""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from wgankit.errors import DataError, SettingError
from wgankit.recipes import Recipe
from wgankit_images.encoding import Pair, Picture, from_bytes
from wgankit_images.spaces import to_bytes

PAPER = 255
"""Grey level between pictures."""


def grid(pictures: Sequence[Picture], *, columns: int = 8, gap: int = 1) -> Picture:
    """Return pictures of one size side by side, row by row, as one picture.

    Arguments:
        pictures: pictures of one size; grey ones get colours if any has.
        columns: how many in a row, at least 1.
        gap: white pixels between them.
    """
    if not len(pictures):
        raise DataError("there are no pictures to show")
    if columns < 1:
        raise SettingError(f"a grid has at least 1 column; got {columns}")
    coloured = any(each.ndim == 3 for each in pictures)
    tiles = [_coloured(each) if coloured else each for each in pictures]
    height, width = tiles[0].shape[:2]
    columns = min(columns, len(tiles))
    rows = math.ceil(len(tiles) / columns)
    shape = (rows * (height + gap) - gap, columns * (width + gap) - gap)
    sheet = np.full((*shape, 3) if coloured else shape, PAPER, dtype=np.uint8)
    for place, tile in enumerate(tiles):
        top = place // columns * (height + gap)
        left = place % columns * (width + gap)
        sheet[top : top + height, left : left + width] = tile
    return sheet


def _coloured(picture: Picture) -> Picture:
    return picture if picture.ndim == 3 else np.repeat(picture[..., None], 3, axis=2)


def enlarge(picture: Picture, side: int) -> Picture:
    """Return a picture whose pixels are repeated until its side is a given multiple of what it was.

    Arguments:
        picture: square.
        side: a multiple of its side.
    """
    times, left = divmod(side, len(picture))
    if left or not times:
        raise SettingError(f"a side of {len(picture)} pixels does not go into {side} whole times")
    return picture.repeat(times, 0).repeat(times, 1)


def in_rows(pairs: Sequence[Pair]) -> list[list[Picture]]:
    """Return for each pair what was given, what was made and what is true, at one size."""
    return [
        [
            enlarge(pair.given, len(pair.picture)),
            pair.picture,
            *([] if pair.truth is None else [pair.truth]),
        ]
        for pair in pairs
    ]


def draw_pictures(objects: Sequence[Any], *, columns: int = 8) -> str:
    """Return an SVG with pictures or pairs side by side; pairs as given, made, true.

    Arguments:
        objects: pictures of one size, or pairs.
        columns: pictures in a row; pairs take the room of their parts.
    """
    if objects and isinstance(objects[0], Pair):
        rows = in_rows(objects)
        tiles = [tile for row in rows for tile in row]
        columns = len(rows[0]) * max(1, columns // len(rows[0]))
    else:
        tiles = list(objects)
    return as_svg(grid(tiles, columns=columns))


def as_png(picture: Picture) -> bytes:
    """Return a picture as the content of a PNG file."""
    content = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(picture)).save(content, format="PNG", optimize=True)
    return content.getvalue()


def as_svg(picture: Picture, *, width: int = 640) -> str:
    """Return a picture as an SVG of a width in which every pixel is a square, without blur."""
    height, across = picture.shape[:2]
    scale = max(1, round(width / across))
    encoded = base64.b64encode(as_png(picture)).decode()
    size = f'width="{across * scale}" height="{height * scale}"'
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} viewBox="0 0 {across} {height}">'
        f'<image width="{across}" height="{height}" style="image-rendering:pixelated" '
        f'href="data:image/png;base64,{encoded}"/></svg>'
    )


# Latents --------------------------------------------------------------------------------------


def between_latents(first: Tensor, second: Tensor, steps: int) -> Tensor:
    """Return vectors on the great circles from some latents to others, `(B, steps, n)`.

    Normal vectors of n numbers have a length close to the root of n; on a straight line they would
    become shorter half-way, where a generator has hardly been.  Lengths go over evenly.

    Arguments:
        first: `(B, n)`.
        second: `(B, n)`.
        steps: how many, both ends included, at least 2.
    """
    if steps < 2:
        raise SettingError(f"a strip has two ends, so at least 2 steps; got {steps}")
    a, b = (torch.linalg.vector_norm(each, dim=1)[:, None, None] for each in (first, second))
    u, v = first[:, None] / a, second[:, None] / b
    t = torch.linspace(0, 1, steps, dtype=first.dtype)[None, :, None]
    apart, together = (torch.linalg.vector_norm(one, dim=2)[:, :, None] for one in (u - v, u + v))
    angle = 2 * torch.atan2(apart, together)
    # sin((1 - t) w) u + sin(t w) v, written so that nothing is lost where the angle w is small.
    ways = (1 - t) * torch.sinc((1 - t) * angle / math.pi) * u
    ways = ways + t * torch.sinc(t * angle / math.pi) * v
    # Between opposite vectors there is no shortest way; any is divided by what is left of it.
    ways = ways / torch.linalg.vector_norm(ways, dim=2, keepdim=True).clamp_min(1e-12)
    strip: Tensor = ways * ((1 - t) * a + t * b)
    return strip


@torch.no_grad()
def strips(
    recipe: Recipe | nn.Module, *, rows: int = 4, steps: int = 8, latent: int = 0, seed: int = 0
) -> list[Picture]:
    """Return pictures on the way from one latent to another, `rows * steps` of them, row by row.

    Arguments:
        recipe: a trained recipe `images`, or a generator: vectors -> pictures in [-1, 1].
        rows: how many ways.
        steps: pictures on each, both ends included.
        latent: numbers in; those of the recipe by default.
        seed: of the ends.
    """
    generator = recipe.generator() if isinstance(recipe, Recipe) else recipe
    if not latent and isinstance(recipe, Recipe):
        latent = int(recipe.config["settings"]["model"]["latent"])
    ends = torch.randn(2, rows, latent, generator=torch.Generator().manual_seed(seed))
    ways = between_latents(ends[0], ends[1], steps).flatten(0, 1)
    device = next(generator.parameters()).device
    return from_bytes(to_bytes(generator(ways.to(device))))
