"""Figures of merit of pictures: distances of features, precision and recall, errors, spectra."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple, TypeAlias

import numpy as np
import torch
from torch import Tensor

from wgankit.errors import DataError, SettingError

Features: TypeAlias = np.ndarray
"""Rows `(n, k)` of numbers, one row for each picture."""


# Distances between laws of features -----------------------------------------------------------


def frechet_distance(x: Features, y: Features) -> float:
    """Return the squared Frechet (2-Wasserstein) distance of two normal laws fitted to features.

    With means a, b and covariances A, B it is |a - b|^2 + tr A + tr B - 2 tr (A^1/2 B A^1/2)^1/2;
    the last trace is the sum of the roots of the eigenvalues of a symmetric matrix.  It grows as
    samples shrink, so compare equal numbers only (Heusel et al., 2017: FID).

    Arguments:
        x: features `(n, k)`, n at least 2.
        y: features `(m, k)`, m at least 2.
    """
    _check_features(x, y, least=2)
    shift = x.mean(0) - y.mean(0)
    a, b = (np.atleast_2d(np.cov(one, rowvar=False)) for one in (x, y))
    values, vectors = np.linalg.eigh(a)
    root = vectors * np.sqrt(values.clip(min=0))
    overlap = np.sqrt(np.linalg.eigvalsh(root.T @ b @ root).clip(min=0)).sum()
    return float(shift @ shift + np.trace(a) + np.trace(b) - 2 * overlap)


def kernel_distance(x: Features, y: Features) -> float:
    """Return the unbiased squared MMD under the kernel (x'y / k + 1)^3.

    Its mean is 0 between samples of one law, whatever their size, and it may come out below 0
    (Binkowski et al., Demystifying MMD GANs, 2018: KID).

    Arguments:
        x: features `(n, k)`, n at least 2.
        y: features `(m, k)`, m at least 2.
    """
    _check_features(x, y, least=2)
    within = sum(_mean_off_diagonal(_cubic(one, one)) for one in (x, y))
    return float(within - 2 * _cubic(x, y).mean())


def _cubic(x: Features, y: Features) -> np.ndarray:
    table: np.ndarray = (x @ y.T / x.shape[1] + 1) ** 3
    return table


def _mean_off_diagonal(table: np.ndarray) -> float:
    count = len(table)
    return float((table.sum() - np.trace(table)) / (count * (count - 1)))


def _check_features(x: Features, y: Features, *, least: int) -> None:
    if x.ndim != 2 or y.ndim != 2 or x.shape[1] != y.shape[1]:
        raise DataError(f"features are rows (n, k) and (m, k); got {x.shape} and {y.shape}")
    if min(len(x), len(y)) < least:
        raise DataError(
            f"at least {least} pictures are needed on each side; got {len(x)} and {len(y)}"
        )


class Coverage(NamedTuple):
    """Which share of the generated pictures could be real, and the other way round.

    Arguments:
        precision: share of generated points inside the real points' balls.
        recall: share of real points inside the generated points' balls.
    """

    precision: float
    recall: float


def precision_recall(real: Features, fake: Features, *, neighbours: int = 3) -> Coverage:
    """Return precision and recall of generated against real features.

    Each point of a law carries a ball that reaches to its k-th nearest neighbour of the same law;
    the union of the balls stands for the law's support (Kynkaanniemi et al., 2019, equation 1).

    Arguments:
        real: features `(n, k)`, n > neighbours.
        fake: features `(m, k)`, m > neighbours.
        neighbours: k.
    """
    if neighbours < 1:
        raise SettingError(f"balls reach to a neighbour, the first or later; got {neighbours}")
    _check_features(real, fake, least=neighbours + 1)
    return Coverage(_covered(fake, real, neighbours), _covered(real, fake, neighbours))


def _covered(points: Features, centres: Features, neighbours: int) -> float:
    """Return the share of points inside the union of the centres' balls."""
    x, y = (torch.as_tensor(one, dtype=torch.float64) for one in (points, centres))
    exactly = "donot_use_mm_for_euclid_dist"
    among = torch.cdist(y, y, compute_mode=exactly)
    # The nearest is the point itself, at distance 0.
    radii = among.kthvalue(neighbours + 1, dim=1).values
    inside = torch.cdist(x, y, compute_mode=exactly) <= radii
    return float(inside.any(1).double().mean())


# Errors and spectra of pictures ---------------------------------------------------------------


def psnr(pictures: Tensor, truth: Tensor, *, peak: float = 255.0) -> float:
    """Return the peak signal-to-noise ratio in dB: 10 log10(peak^2 / mean squared error).

    The error is the mean over all pictures and pixels, so that a picture without error does no
    harm.

    Arguments:
        pictures: `(N, C, H, W)`.
        truth: as many.
        peak: how far white is from black.
    """
    error = float((pictures.double() - truth.double()).square().mean())
    return math.inf if error == 0 else 10 * math.log10(peak**2 / error)


def power_spectrum(pictures: Tensor) -> Tensor:
    """Return the mean power of pictures at each distance from frequency 0, `(S // 2,)`.

    Entry k - 1 is the mean of |F x|^2 over whole wave numbers whose length rounds to k, over
    pictures and channels, F being orthonormal: white noise of variance v has power v at each.
    The power of rounding to whole grey levels, 1 / 12, is added, so that no entry is 0.

    Arguments:
        pictures: square, `(N, C, S, S)`, in grey levels 0..255.
    """
    size = pictures.shape[-1]
    power = torch.fft.fft2(pictures.double(), norm="ortho").abs().square().mean((0, 1))
    waves = torch.fft.fftfreq(size, 1 / size, dtype=torch.float64)
    ring = torch.hypot(waves[:, None], waves[None, :]).round().long()
    total = torch.zeros(int(ring.max()) + 1, dtype=torch.float64)
    count = total.scatter_add(0, ring.flatten(), torch.ones(size**2, dtype=torch.float64))
    total = total.scatter_add(0, ring.flatten(), power.flatten())
    return (total / count)[1 : size // 2 + 1] + 1 / 12


def spectral_distance(x: Tensor, y: Tensor) -> float:
    """Return the root mean square, in dB, of the ratio of two power spectra.

    0 where pictures have as much fine and coarse detail as others.  Blur shows as missing power at
    high frequencies, whichever picture it is in: no pairs are compared.

    Arguments:
        x: pictures `(N, C, S, S)` in grey levels 0..255.
        y: pictures `(M, C, S, S)`.
    """
    decibels = 10 * (power_spectrum(x) / power_spectrum(y)).log10()
    return float(decibels.square().mean().sqrt())


# All of them ----------------------------------------------------------------------------------


def compare(fake: Tensor, real: Tensor, training: Tensor, *, most: int = 1_000) -> dict[str, float]:
    """Return FID, KID, precision, recall and spectral distance, each with its floor.

    Arguments:
        fake: generated pictures `(N, C, S, S)` in grey levels 0..255.
        real: real pictures to compare them with.
        training: further real pictures; some of them give the floors, which are what real pictures
            score, and the features are learnt from all (see `wgankit_images.features`).
        most: pictures on each side; as many of each law are used as there are of the fewest.
    """
    from wgankit_images.features import extract, features_of

    count = min(len(fake), len(real), len(training), most)
    if count < 5:
        return {}
    network = features_of(training.float() / 127.5 - 1)
    laws = [_some(one, count) for one in (fake, real, training)]
    seen = [extract(network, one / 127.5 - 1) for one in laws]
    found: dict[str, float] = {}
    for suffix, law in (("", 0), ("_floor", 2)):
        share = precision_recall(seen[1], seen[law])
        found |= {
            f"fid{suffix}": frechet_distance(seen[law], seen[1]),
            f"kid{suffix}": kernel_distance(seen[law], seen[1]),
            f"precision{suffix}": share.precision,
            f"recall{suffix}": share.recall,
            f"spectrum{suffix}": spectral_distance(laws[law], laws[1]),
        }
    return {name: found[name] for name in sorted(found, key=_order)}


def _some(pictures: Tensor, count: int) -> Tensor:
    """Return some of the pictures, drawn the same way each time: data may lie in order."""
    order = torch.randperm(len(pictures), generator=torch.Generator().manual_seed(0))
    return pictures[order[:count]].float()


def _order(name: str) -> tuple[int, str]:
    names: Sequence[str] = ("fid", "kid", "precision", "recall", "spectrum")
    return names.index(name.removesuffix("_floor")), name
