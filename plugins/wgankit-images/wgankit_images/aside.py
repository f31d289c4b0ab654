"""Pictures that a recipe sets aside to make something from: nobody trains on them."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from wgankit_images.encoding import Pair, Picture, from_bytes
from wgankit_images.pictures import as_png
from wgankit_images.spaces import to_bytes

MOST = 96
"""Pictures that are set aside at most; an eighth of a small set."""

REASON = "set aside, to make pictures from that nobody trained on"


def choose(count: int) -> list[int]:
    """Return which of so many objects are set aside: evenly among them, at least one."""
    aside = min(MOST, max(1, count // 8))
    return [place * count // aside for place in range(aside)]


def split(count: int) -> tuple[list[int], list[int]]:
    """Return which of so many objects are trained on or held out, and which are set aside."""
    aside = choose(count)
    gone = set(aside)
    return [place for place in range(count) if place not in gone], aside


def pack(pixels: Tensor) -> str:
    """Return bytes `(N, C, S, S)` as text (a PNG with the pictures one below the other)."""
    sheet = np.concatenate(from_bytes(pixels))
    return base64.b64encode(as_png(sheet)).decode()


def unpack(text: str) -> Tensor:
    """Return the bytes that `pack` packed."""
    sheet = np.array(Image.open(io.BytesIO(base64.b64decode(text))))
    sheet = sheet if sheet.ndim == 3 else sheet[..., None]
    pixels = sheet.reshape(-1, sheet.shape[1], sheet.shape[1], sheet.shape[2])
    return torch.from_numpy(np.ascontiguousarray(pixels.transpose(0, 3, 1, 2)))


def pairs(made: Tensor, given: Tensor, known: Tensor, truth: Tensor) -> list[Pair]:
    """Return made pictures with what they were made from, and the truth where it is known.

    Arguments:
        made: pictures `(B, C, S, S)` as numbers in [-1, 1].
        given: what each was made from, as numbers.
        known: bytes of given pictures whose truth is known, `(N, ...)`.
        truth: bytes of their truths.
    """
    told = {
        each.tobytes(): true for each, true in zip(*map(from_bytes, (known, truth)), strict=True)
    }
    rows = zip(from_bytes(to_bytes(given)), from_bytes(to_bytes(made)), strict=True)
    return [Pair(one, picture, told.get(one.tobytes())) for one, picture in rows]


def known(objects: Sequence[Pair]) -> tuple[list[Picture], list[Picture], list[Picture]]:
    """Return the given, the made and the true pictures of those pairs whose truth is known."""
    told = [each for each in objects if each.truth is not None]
    truths = [each.truth for each in told if each.truth is not None]
    return [each.given for each in told], [each.picture for each in told], truths
