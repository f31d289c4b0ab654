"""Figures of merit against closed forms and brute force."""

import math

import numpy as np
import pytest
import scipy.linalg
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from wgankit import DataError, SettingError
from wgankit_images import (
    Pair,
    compare,
    datasets,
    extract,
    frechet_distance,
    kernel_distance,
    power_spectrum,
    precision_recall,
    psnr,
    spectral_distance,
    train_features,
)
from wgankit_images.encoding import stack
from wgankit_images.squares import inconsistency, variety

seeds = st.integers(0, 10_000)


def cloud(seed, count=12, size=4, spread=1.0):
    return np.random.default_rng(seed).normal(size=(count, size)) * spread


# Frechet distance -----------------------------------------------------------------------------


def whitened(seed, count, size):
    """Points whose mean is 0 and whose covariance is the identity exactly."""
    rows = cloud(seed, count, size)
    rows = rows - rows.mean(0)
    return rows @ np.linalg.inv(np.linalg.cholesky(np.atleast_2d(np.cov(rows, rowvar=False)))).T


@settings(max_examples=20, deadline=None)
@given(seeds, st.integers(1, 5))
def test_frechet_distance_of_aligned_normal_laws(seed, size):
    """|a - b|^2 + sum (s - t)^2 for covariances diag(s^2) and diag(t^2)."""
    rng = np.random.default_rng(seed)
    a, b, s, t = rng.uniform(0.2, 3, (4, size))
    x, y = (whitened(seed + place, 40, size) for place in (1, 2))
    wanted = ((a - b) ** 2).sum() + ((s - t) ** 2).sum()
    assert frechet_distance(a + s * x, b + t * y) == pytest.approx(wanted)


@settings(max_examples=20, deadline=None)
@given(seeds)
def test_frechet_distance_by_the_square_root_of_a_matrix(seed):
    x = cloud(seed) @ cloud(seed + 1, 4)
    y = 1 + cloud(seed + 2, 20) @ cloud(seed + 3, 4)
    a, b = (np.cov(one, rowvar=False) for one in (x, y))
    root = scipy.linalg.sqrtm(a @ b).real
    wanted = ((x.mean(0) - y.mean(0)) ** 2).sum() + np.trace(a + b - 2 * root)
    assert frechet_distance(x, y) == pytest.approx(wanted, rel=1e-6, abs=1e-8)
    assert frechet_distance(y, x) == pytest.approx(wanted, rel=1e-6, abs=1e-8)
    turn = np.linalg.qr(cloud(seed + 4, 4))[0]
    assert frechet_distance(x @ turn, y @ turn) == pytest.approx(wanted, rel=1e-6, abs=1e-8)
    assert frechet_distance(x, x) == pytest.approx(0, abs=1e-8)


# Kernel distance ------------------------------------------------------------------------------


@settings(max_examples=10, deadline=None)
@given(seeds)
def test_kernel_distance_pair_by_pair(seed):
    x, y = cloud(seed, 5), 0.5 + cloud(seed + 1, 7)

    def kernel(a, b):
        return (float(a @ b) / 4 + 1) ** 3

    def within(rows):
        pairs = [kernel(a, b) for i, a in enumerate(rows) for j, b in enumerate(rows) if i != j]
        return sum(pairs) / len(pairs)

    across = np.mean([kernel(a, b) for a in x for b in y])
    assert kernel_distance(x, y) == pytest.approx(within(x) + within(y) - 2 * across)


def test_kernel_distance_is_unbiased():
    found = [kernel_distance(cloud(2 * s, 10), cloud(2 * s + 1, 10)) for s in range(400)]
    assert abs(np.mean(found)) < 4 * np.std(found) / 20


# Precision and recall -------------------------------------------------------------------------


def covered(points, centres, k):
    """Share of points within some centre's distance to its k-th neighbour, one at a time."""
    inside = 0
    for point in points:
        for place, centre in enumerate(centres):
            others = np.delete(centres, place, axis=0)
            radius = sorted(np.linalg.norm(others - centre, axis=1))[k - 1]
            if np.linalg.norm(point - centre) <= radius:
                inside += 1
                break
    return inside / len(points)


@settings(max_examples=20, deadline=None)
@given(seeds, st.integers(1, 4))
def test_precision_and_recall_by_brute_force(seed, k):
    real, fake = cloud(seed, 14, 2), 1.0 + cloud(seed + 1, 11, 2)
    found = precision_recall(real, fake, neighbours=k)
    assert found.precision == covered(fake, real, k)
    assert found.recall == covered(real, fake, k)
    swapped = precision_recall(fake, real, neighbours=k)
    assert swapped == (found.recall, found.precision)
    moved = precision_recall(3 + real[:, ::-1], 3 + fake[:, ::-1], neighbours=k)
    assert moved == found


def test_precision_and_recall_at_their_ends():
    real = cloud(0, 50)
    assert precision_recall(real, real) == (1, 1)
    assert precision_recall(real, real + 100) == (0, 0)
    collapsed = precision_recall(real, real[:1] + 1e-6 * cloud(1, 50))
    assert collapsed.precision == 1
    assert collapsed.recall < 0.1


def test_too_few_points_are_refused():
    with pytest.raises(DataError, match="at least 4"):
        precision_recall(cloud(0, 3), cloud(1, 9))
    with pytest.raises(DataError, match="at least 2"):
        frechet_distance(cloud(0, 1), cloud(1))
    with pytest.raises(DataError, match="rows"):
        kernel_distance(cloud(0), cloud(1, 5, 3))
    with pytest.raises(SettingError):
        precision_recall(cloud(0), cloud(1), neighbours=0)


# Errors and spectra ---------------------------------------------------------------------------


@settings(max_examples=20, deadline=None)
@given(seeds, st.floats(0.5, 200))
def test_psnr_of_a_constant_error(seed, error):
    torch.manual_seed(seed)
    x = 255 * torch.rand(3, 1, 8, 8, dtype=torch.float64)
    signs = 2.0 * torch.randint(2, x.shape) - 1
    wanted = 20 * math.log10(255 / error)
    assert psnr(x + error * signs, x) == pytest.approx(wanted)
    assert psnr(x / 255, (x + error * signs) / 255, peak=1) == pytest.approx(wanted)
    assert psnr(x, x) == math.inf


@pytest.mark.parametrize(("down", "right"), [(1, 0), (0, 3), (3, 4), (5, 2)])
def test_the_spectrum_of_a_wave_is_one_entry(down, right):
    """A wave of amplitude a and whole wave numbers has |F|^2 = a^2 n^2 / 4 at two places."""
    size = 16
    axis = torch.arange(size) / size
    phase = down * axis[:, None] + right * axis[None, :]
    wave = 30 * torch.cos(2 * math.pi * phase)[None, None]
    found = power_spectrum(128 + wave) - 1 / 12
    ring = round(math.hypot(down, right))
    waves = torch.fft.fftfreq(size, 1 / size)
    members = int((torch.hypot(waves[:, None], waves[None, :]).round() == ring).sum())
    assert float(found[ring - 1]) == pytest.approx(2 * 900 * size**2 / 4 / members, rel=1e-4)
    assert float(found.sum() - found[ring - 1]) < 1e-6 * float(found[ring - 1])


def test_the_spectrum_of_white_noise_is_flat():
    torch.manual_seed(0)
    found = power_spectrum(128 + 20 * torch.randn(400, 1, 16, 16))
    assert torch.allclose(found, torch.full_like(found, 400 + 1 / 12), rtol=0.05)


@settings(max_examples=10, deadline=None)
@given(seeds, st.integers(0, 15), st.floats(1.5, 4))
def test_spectral_distance_of_contrast_and_of_shifts(seed, shift, factor):
    """Twice the contrast is 6 dB at every frequency; moving a picture around changes nothing."""
    torch.manual_seed(seed)
    x = 1e4 * torch.rand(5, 1, 16, 16)
    assert spectral_distance(x, x.roll((shift, -shift), (2, 3))) == pytest.approx(0, abs=1e-6)
    assert spectral_distance(factor * x, x) == pytest.approx(20 * math.log10(factor), rel=1e-3)
    assert spectral_distance(x, factor * x) == pytest.approx(spectral_distance(factor * x, x))


# Features -------------------------------------------------------------------------------------


def digits():
    levels = stack(datasets.digits())
    order = torch.randperm(len(levels), generator=torch.Generator().manual_seed(0))
    return levels[order]


def blurred(pictures, share):
    wide = torch.nn.functional.pad(pictures, (1, 1, 1, 1), mode="replicate")
    return torch.lerp(pictures, torch.nn.functional.avg_pool2d(wide, 3, 1), share)


@pytest.fixture(scope="module")
def learnt():
    return train_features(digits()[1200:] / 127.5 - 1)


def test_features_follow_from_pictures_and_seed(learnt):
    before = torch.get_rng_state()
    data = digits()[1200:] / 127.5 - 1
    short = [train_features(data, seed=seed, steps=5) for seed in (0, 0, 1)]
    found = [extract(each, data[:20]) for each in short]
    assert np.array_equal(found[0], found[1])
    assert not np.allclose(found[0], found[2])
    assert torch.equal(torch.get_rng_state(), before)
    assert found[0].shape == (20, 64)


def test_features_have_mean_0_and_spread_1_over_what_they_were_learnt_from(learnt):
    seen = extract(learnt, digits()[1200:] / 127.5 - 1)
    assert np.allclose(seen.mean(0), 0, atol=1e-3)
    assert np.allclose(seen.std(0)[seen.std(0) > 1e-3], 1, atol=1e-2)


def test_distances_grow_with_what_is_wrong(learnt):
    def see(pictures):
        return extract(learnt, pictures / 127.5 - 1)

    data = digits()
    real, other = see(data[:400]), data[400:800]
    torch.manual_seed(0)
    noise = torch.randn_like(other)
    few = [other[torch.arange(400) % count] for count in (200, 20, 2)]
    for series in (
        [other, *(blurred(other, share) for share in (0.25, 0.5, 1.0))],
        [other, *(other + level * noise for level in (25, 50, 100))],
        [other, *few],
    ):
        distances = [frechet_distance(see(each), real) for each in series]
        assert distances == sorted(distances)
        assert distances[-1] > 5 * distances[0]
    recalls = [precision_recall(real, see(each)).recall for each in [other, *few]]
    assert recalls == sorted(recalls, reverse=True)
    assert precision_recall(real, see(other + 100 * noise)).precision < 0.5


def test_floors_are_what_real_pictures_score(learnt):
    data = digits()
    found = compare(data[:300], data[300:600], data[600:])
    for name in ("fid", "kid", "precision", "recall", "spectrum"):
        assert f"{name}_floor" in found
    assert found["fid"] < 3 * found["fid_floor"]
    assert found["precision"] > 0.8
    assert found["recall"] > 0.8
    worse = compare(blurred(data[:300], 0.5), data[300:600], data[600:])
    assert worse["fid"] > 10 * worse["fid_floor"]
    assert worse["fid_floor"] == found["fid_floor"]
    assert compare(data[:3], data[3:6], data[6:]) == {}


# Restored pictures ----------------------------------------------------------------------------


def test_variety_and_consistency_of_known_pairs():
    small, large = np.full((2, 2), 100, np.uint8), np.full((4, 4), 100, np.uint8)
    other = large + np.uint8(30)
    pairs = [Pair(small, large), Pair(small, other), Pair(small + np.uint8(1), other)]
    assert variety(pairs) == pytest.approx(30)
    assert inconsistency(pairs) == pytest.approx((0 + 30 + 29) / 3)
    assert variety(pairs[1:]) == 0
