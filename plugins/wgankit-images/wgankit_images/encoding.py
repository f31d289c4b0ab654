"""Pictures as people have them, and as batches of bytes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from wgankit.errors import DataError, SettingError

Picture: TypeAlias = np.ndarray
"""Bytes `(H, W)` of grey or `(H, W, 3)` of red, green and blue."""

LARGEST = 64
"""Side in pixels that pictures are scaled down to unless told otherwise."""

RANGES = ((0.0, 1.0), (-1.0, 1.0), (0.0, 255.0))
"""Which numbers may stand for black and white; the first range that holds all of them does."""


class Pair(NamedTuple):
    """A picture and what it was made from.

    Arguments:
        given: what it was made from: a smaller picture, edges, ...
        picture: the picture that was made, or the true one in data to train on.
        truth: the true picture, where it is known.
    """

    given: Picture
    picture: Picture
    truth: Picture | None = None


class Batch(NamedTuple):
    """Pictures of one size as bytes.

    Arguments:
        pixels: `(N, C, S, S)`, bytes.
        kept: for each picture the index of its object.
        faults: for the index of every object that was left out, why it was.
    """

    pixels: Tensor
    kept: list[int]
    faults: dict[int, str]

    @property
    def skipped(self) -> Counter[str]:
        """For every reason, how many objects were left out."""
        return Counter(self.faults.values())


def as_pictures(objects: Sequence[Any]) -> list[Picture | str]:
    """Return objects as pictures of bytes, or why one is no picture.

    Arguments:
        objects: arrays `(H, W)`, `(H, W, 1)` or `(H, W, 3)`, tensors `(H, W)` or `(C, H, W)`, or
            Pillow images.  Whole numbers are 0..255; other numbers all lie in one of `RANGES`.

    Raises:
        DataError: the numbers of all pictures together are in none of the ranges.
    """
    arrays = [_array(each) for each in objects]
    low, high = _range([array for array in arrays if array is not None])
    return [
        _fault(each) if each is None or _fault(each) else _bytes(each, low, high) for each in arrays
    ]


def _array(given: Any) -> np.ndarray | None:
    """Return an object as an array with the channels last, or None if it cannot be one."""
    if isinstance(given, Image.Image):
        array = np.asarray(given.convert("L" if given.mode in ("1", "L", "I;16") else "RGB"))
    elif isinstance(given, Tensor):
        array = given.detach().cpu().numpy()
        array = np.moveaxis(array, 0, -1) if array.ndim == 3 else array
    else:
        try:
            array = np.asarray(given)
        except ValueError:  # rows of different lengths
            return None
    return array[..., 0] if array.ndim == 3 and array.shape[-1] == 1 else array


def _fault(array: np.ndarray | None) -> str:
    """Return why an array is no picture, or an empty string."""
    if array is None or array.dtype.kind not in "biuf" or not _is_picture(array.shape):
        return "not a picture (H, W), (H, W, 1) or (H, W, 3)"
    return "" if np.isfinite(array).all() else "with numbers that are not finite"


def _is_picture(shape: tuple[int, ...]) -> bool:
    return (len(shape) == 2 or (len(shape) == 3 and shape[2] == 3)) and 0 not in shape


def _range(arrays: Sequence[np.ndarray]) -> tuple[float, float]:
    """Return the numbers of black and white of the arrays that are not bytes."""
    floats = [each for each in arrays if each.dtype.kind == "f" and not _fault(each)]
    lows, highs = [float(each.min()) for each in floats], [float(each.max()) for each in floats]
    low, high = min(lows, default=0.0), max(highs, default=0.0)
    for black, white in RANGES:
        if black <= low and high <= white:
            return black, white
    raise DataError(
        f"pixels are numbers in [0, 1], [-1, 1] or [0, 255], one range for all pictures; "
        f"got numbers from {low:.4g} to {high:.4g}"
    )


def _bytes(array: np.ndarray, low: float, high: float) -> Picture:
    if array.dtype.kind == "b":
        return array.astype(np.uint8) * np.uint8(255)
    if array.dtype.kind != "f":
        if array.min() < 0 or array.max() > 255:
            raise DataError(
                f"pixels that are whole numbers lie in 0..255; got {array.min()} to {array.max()}"
            )
        return array.astype(np.uint8)
    return np.rint((array - low) * (255 / (high - low))).astype(np.uint8)


def batch(
    pictures: Sequence[Picture | str],
    *,
    size: int | None = None,
    channels: int | None = None,
    largest: int | None = None,
) -> Batch:
    """Return the middle squares of pictures, scaled down to one size, as a batch.

    Arguments:
        pictures: pictures, or why one is none.
        size: side S; by default the side (at most `largest`, rounded down to a multiple of 4) that
            nine pictures out of ten have at least.  Smaller pictures are left out and counted.
        channels: 1 or 3; by default 3 if any picture has colours.
        largest: see `size`; `LARGEST` by default.
    """
    there = [each for each in pictures if not isinstance(each, str)]
    if not there:
        raise DataError("there are no pictures in the data")
    size = size or common_size(there, largest)
    channels = channels or max(3 if each.ndim == 3 else 1 for each in there)
    rows: dict[int, np.ndarray] = {}
    faults: dict[int, str] = {}
    for place, each in enumerate(pictures):
        if isinstance(each, str):
            faults[place] = each
        elif min(each.shape[:2]) < size:
            faults[place] = f"smaller than {size} x {size} pixels"
        else:
            rows[place] = _square(each, size, channels)
    if not rows:
        raise DataError(f"no picture has {size} x {size} pixels or more")
    return Batch(torch.from_numpy(np.stack(list(rows.values()))), list(rows), faults)


def common_size(pictures: Sequence[Picture], largest: int | None = None) -> int:
    """Return a multiple of 4 that is no larger than the sides of nine pictures out of ten."""
    largest = LARGEST if largest is None else largest
    if largest < 4:
        raise SettingError(f"pictures have a side of at least 4 pixels; got largest={largest}")
    sides = sorted(int(min(each.shape[:2])) for each in pictures)
    side = min(sides[len(sides) // 10], largest) // 4 * 4
    if side < 4:
        raise DataError(
            f"pictures need a side of at least 4 pixels, and {sides[len(sides) // 10]} is what "
            "most of these have"
        )
    return side


def _square(picture: Picture, size: int, channels: int) -> np.ndarray:
    """Return the middle square, averaged down to size, with the channels first."""
    height, width = picture.shape[:2]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    image = Image.fromarray(picture[top : top + side, left : left + side])
    image = image.convert("L" if channels == 1 else "RGB")
    if side != size:
        image = image.resize((size, size), Image.Resampling.BOX)
    return np.asarray(image).reshape(size, size, channels).transpose(2, 0, 1)


def from_bytes(pixels: Tensor) -> list[Picture]:
    """Return a batch of bytes `(N, C, S, S)` as pictures."""
    arrays = pixels.cpu().permute(0, 2, 3, 1).numpy()
    return [each[..., 0] if each.shape[-1] == 1 else each for each in arrays]


def stack(pictures: Sequence[Picture]) -> Tensor:
    """Return pictures of one size as numbers `(N, C, H, W)` in [0, 255].

    Raises:
        DataError: there are none, or they differ in size or channels.
    """
    shapes = {each.shape for each in pictures}
    if len(shapes) != 1:
        raise DataError(f"these pictures are to have one size; got {sorted(shapes) or 'none'}")
    array = np.stack(pictures).astype(np.float32)
    array = array[:, None] if array.ndim == 3 else array.transpose(0, 3, 1, 2)
    return torch.from_numpy(np.ascontiguousarray(array))
