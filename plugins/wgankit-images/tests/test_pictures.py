"""Grids, strips between latents, and SVG that holds the pixels as they are."""

import base64
import io
import math
import re

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from wgankit import DataError, SettingError
from wgankit_images import ConvGenerator, Pair, draw_pictures, grid, strips
from wgankit_images.pictures import between_latents


def pictures(count, size=4, channels=1):
    drawn = np.random.default_rng(count).integers(0, 256, (count, size, size, channels))
    return [each[..., 0] if channels == 1 else each for each in drawn.astype(np.uint8)]


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 13), st.integers(1, 6), st.integers(0, 3), st.sampled_from([1, 3]))
def test_every_picture_is_at_its_place_in_the_grid(count, columns, gap, channels):
    tiles = pictures(count, 4, channels)
    sheet = grid(tiles, columns=columns, gap=gap)
    for place, tile in enumerate(tiles):
        row, column = divmod(place, min(columns, count))
        top, left = row * (4 + gap), column * (4 + gap)
        assert np.array_equal(sheet[top : top + 4, left : left + 4], tile)
    assert sheet.shape[0] == math.ceil(count / min(columns, count)) * (4 + gap) - gap


def embedded(svg):
    found = re.search(r"data:image/png;base64,([^\"]+)", svg)
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(found[1]))))


def test_an_svg_holds_the_grid_pixel_for_pixel():
    tiles = pictures(9)
    assert np.array_equal(embedded(draw_pictures(tiles, columns=4)), grid(tiles, columns=4))
    assert "pixelated" in draw_pictures(tiles)


def test_pairs_are_drawn_as_given_made_and_true():
    small, made, truth = pictures(1, 2)[0], *pictures(2, 4)
    sheet = embedded(draw_pictures([Pair(small, made, truth)]))
    parts = [small.repeat(2, 0).repeat(2, 1), made, truth]
    assert np.array_equal(sheet, grid(parts, columns=3))


def test_nothing_to_draw_is_refused():
    with pytest.raises(DataError):
        grid([])
    with pytest.raises(SettingError):
        grid(pictures(2), columns=0)


# Strips ---------------------------------------------------------------------------------------


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000), st.integers(2, 9), st.integers(2, 40))
def test_strips_go_on_great_circles_at_an_even_pace(seed, steps, size):
    torch.manual_seed(seed)
    first, second = torch.randn(2, 3, size, dtype=torch.float64)
    way = between_latents(first, second, steps)
    assert torch.allclose(way[:, 0], first)
    assert torch.allclose(way[:, -1], second)
    lengths = way.norm(dim=2)
    evenly = torch.linspace(0, 1, steps, dtype=torch.float64)
    ends = lengths[:, :1], lengths[:, -1:]
    assert torch.allclose(lengths, ends[0] + (ends[1] - ends[0]) * evenly)
    units = way / lengths[..., None]
    cosines = (units[:, 1:] * units[:, :-1]).sum(2).clamp(-1, 1)
    whole = (units[:, 0] * units[:, -1]).sum(1).clamp(-1, 1).acos()
    assert torch.allclose(cosines.acos(), whole[:, None] / (steps - 1), atol=1e-6)


def test_a_strip_between_a_latent_and_itself_stays():
    point = torch.randn(2, 5)
    way = between_latents(point, point, 4)
    assert torch.allclose(way, point[:, None].expand(2, 4, 5), atol=1e-6)
    with pytest.raises(SettingError, match="2 steps"):
        between_latents(point, point, 1)


def test_strips_of_a_generator_begin_and_end_at_its_own_pictures():
    torch.manual_seed(0)
    generator = ConvGenerator(6, 8, 1, width=4).eval()
    row = strips(generator, rows=2, steps=5, latent=6, seed=3)
    ends = torch.randn(2, 2, 6, generator=torch.Generator().manual_seed(3))
    with torch.no_grad():
        made = generator(ends[1])
    wanted = ((made + 1) * 127.5).round().byte()[:, 0].numpy()
    assert len(row) == 10
    assert np.abs(row[4].astype(int) - wanted[0]).max() <= 1
    assert np.abs(row[9].astype(int) - wanted[1]).max() <= 1
