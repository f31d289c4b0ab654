"""Real pictures that come inside scikit-learn and scikit-image: digits, photographs, textures."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from wgankit_images.encoding import Pair, Picture

PATCH = 32
"""Side in pixels of the patches that photographs are cut into."""

PHOTOGRAPHS = ("astronaut", "chelsea", "coffee", "rocket")
"""Colour photographs of scikit-image, all of them in the public domain (CC0)."""

TEXTURES = ("brick", "grass", "gravel")
"""Grey photographs of surfaces in scikit-image, 512 x 512, all of them CC0."""


def digits() -> list[Picture]:
    """Return scikit-learn's 1,797 handwritten digits, 8 x 8, grey (UCI, Alpaydin, 1998)."""
    from sklearn.datasets import load_digits

    levels = load_digits().images
    return list(np.rint(levels * (255 / 16)).astype(np.uint8))


def photographs() -> list[Picture]:
    """Return patches 32 x 32 of colour photographs, side by side, none overlapping."""
    return [patch for name in PHOTOGRAPHS for patch in cut(_photograph(name))]


def textures() -> list[Picture]:
    """Return patches 32 x 32 of brick, grass and gravel, grey, none overlapping."""
    return [patch for name in TEXTURES for patch in cut(_photograph(name))]


def edges() -> list[Pair]:
    """Return pairs of edges and the texture that has them (see `outline`)."""
    return [Pair(outline(patch), patch) for patch in textures()]


def _photograph(name: str) -> Picture:
    import skimage.data

    picture: Picture = getattr(skimage.data, name)()
    return picture


def cut(picture: Picture, side: int = PATCH) -> Iterable[Picture]:
    """Yield the patches of a picture row by row; what is left at its edges is dropped."""
    height, width = picture.shape[:2]
    for top in range(0, height - side + 1, side):
        for left in range(0, width - side + 1, side):
            yield np.ascontiguousarray(picture[top : top + side, left : left + side])


def outline(picture: Picture, share: float = 0.2) -> Picture:
    """Return a black picture with white where grey levels change most.

    Arguments:
        picture: grey bytes `(H, W)`.
        share: share of the pixels that become white; Sobel's gradient is largest there.
    """
    from skimage.filters import sobel

    size = sobel(picture.astype(np.float64))
    return np.where(size > np.quantile(size, 1 - share), 255, 0).astype(np.uint8)
