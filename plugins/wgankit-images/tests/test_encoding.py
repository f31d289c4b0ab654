"""Pictures of every kind in, bytes of one size out, and files."""

import gzip
from collections import Counter

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from wgankit import DataError, RunError, SettingError
from wgankit_images import (
    Images,
    Pair,
    SuperResolution,
    Translation,
    aside,
    datasets,
    read_pictures,
    to_bytes,
    to_numbers,
    write_pictures,
)
from wgankit_images.encoding import as_pictures, batch, common_size, from_bytes, stack


def pictures(count, size=8, channels=1, seed=0):
    drawn = np.random.default_rng(seed).integers(0, 256, (count, size, size, channels))
    return [each[..., 0] if channels == 1 else each for each in drawn.astype(np.uint8)]


# Numbers --------------------------------------------------------------------------------------


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from([1, 3]))
def test_the_same_pictures_in_any_range_and_form_are_the_same_points(seed, channels):
    bytes_ = pictures(5, 8, channels, seed)
    bytes_[0].flat[:2] = 0, 255  # a range shows itself only where it is used
    unit = [each / 255 for each in bytes_]
    forms = {
        "unit": unit,
        "signed": [2 * each - 1 for each in unit],
        "floats": [each.astype(np.float32) for each in bytes_],
        "tensors": [torch.tensor(np.atleast_3d(each)).movedim(-1, 0) for each in unit],
        "images": [Image.fromarray(each) for each in bytes_],
        "one array": np.stack(bytes_),
    }
    wanted = Images().encode(bytes_)
    for form, objects in forms.items():
        found = Images().encode(objects)
        assert torch.equal(found.points, wanted.points), form
        assert found.vocabulary == {"size": 8, "channels": channels}


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from([1, 3]))
def test_decoding_undoes_encoding(seed, channels):
    objects = pictures(5, 12, channels, seed)
    encoded = Images().encode(objects)
    for points in (encoded.points, to_numbers(encoded.points)):
        back = Images().decode(points, encoded.vocabulary)
        assert all(np.array_equal(one, two) for one, two in zip(objects, back))


def test_every_byte_survives_the_numbers_that_networks_see():
    every = torch.arange(256, dtype=torch.uint8)
    numbers = to_numbers(every)
    assert torch.equal(to_bytes(numbers), every)
    assert float(numbers.min()) == -1
    assert float(numbers.max()) == 1
    assert to_bytes(torch.tensor([-3.0, 2.0])).tolist() == [0, 255]


def test_black_and_white_masks_are_black_and_white():
    mask = np.eye(8, dtype=bool)
    assert np.array_equal(as_pictures([mask])[0], np.eye(8) * 255)


@pytest.mark.parametrize("level", [300.0, -2, 999])
def test_numbers_that_are_no_grey_levels_are_refused(level):
    with pytest.raises(DataError, match=r"0\.\.255|\[0, 255\]"):
        Images().encode([np.full((8, 8), level)])


def test_what_is_left_out_is_counted_by_reason():
    good = pictures(20, 16)
    bad = [np.zeros((8, 16)), np.zeros(5), "words", np.full((16, 16), np.nan), [[1, 2], [3]]]
    encoded = Images().encode([*good, *bad])
    assert encoded.kept == list(range(20))
    assert encoded.skipped == Counter(
        {
            "smaller than 16 x 16 pixels": 1,
            "not a picture (H, W), (H, W, 1) or (H, W, 3)": 3,
            "with numbers that are not finite": 1,
        }
    )


# Sizes ----------------------------------------------------------------------------------------


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(4, 200), min_size=1, max_size=40), st.sampled_from([None, 12, 33]))
def test_nine_pictures_out_of_ten_are_kept(sides, largest):
    size = common_size([np.zeros((side, side + 3)) for side in sides], largest)
    assert size % 4 == 0
    assert size <= (largest or 64)
    assert sum(side >= size for side in sides) >= 0.9 * len(sides)


def test_larger_pictures_become_means_of_their_middle_squares():
    picture = np.zeros((16, 20), dtype=np.uint8)
    picture[:, 2:18] = np.kron(np.arange(64).reshape(8, 8), np.ones((2, 2)))
    (small,) = from_bytes(batch([picture], largest=8).pixels)
    assert np.array_equal(small, np.arange(64).reshape(8, 8))


def test_grey_pictures_among_coloured_ones_are_coloured():
    encoded = Images().encode([*pictures(2), *pictures(2, channels=3)])
    assert encoded.points.shape == (4, 3, 8, 8)
    assert bool((encoded.points[0, 0] == encoded.points[0, 2]).all())


def test_sizes_that_no_network_has_are_refused():
    with pytest.raises(SettingError, match="largest"):
        Images().encode(pictures(3), largest=3)
    with pytest.raises(DataError, match="at least 4"):
        Images().encode(pictures(3, size=3))
    with pytest.raises(DataError, match="no pictures"):
        Images().encode(["a", "b"])


# Pairs ----------------------------------------------------------------------------------------


def test_pictures_that_are_set_aside_are_not_trained_on_and_not_lost():
    objects = pictures(40, 8)
    encoded = SuperResolution().encode(objects)
    apart = from_bytes(aside.unpack(encoded.vocabulary["aside"]))
    assert encoded.skipped[aside.REASON] == len(apart) == 5
    rows = [*from_bytes(encoded.points), *apart]
    assert len(encoded.kept) == 35
    assert {each.tobytes() for each in rows} == {each.tobytes() for each in objects}
    again = SuperResolution().encode(objects, encoded.vocabulary)
    assert len(again.points) == 40


@pytest.mark.parametrize("channels", [1, 3])
def test_packed_pictures_come_back(channels):
    pixels = batch(pictures(5, 8, channels)).pixels
    assert torch.equal(aside.unpack(aside.pack(pixels)), pixels)


def test_a_pair_is_left_out_once_whatever_is_wrong_with_it():
    given_ones, made = pictures(10, 8), pictures(10, 8, 3, seed=1)
    made[3] = given_ones[3] = np.zeros((4, 4), np.uint8)
    given_ones[7] = "words"
    encoded = Translation().encode(list(zip(given_ones, made)))
    left = encoded.skipped
    assert left["smaller than 8 x 8 pixels"] == 1
    assert left["not a picture (H, W), (H, W, 1) or (H, W, 3)"] == 1
    assert left[aside.REASON] == 1
    picture, given_one = encoded.points
    assert picture.shape == (7, 3, 8, 8)
    for row, place in enumerate(encoded.kept):
        pair = Translation().decode((picture[row : row + 1], given_one[row : row + 1]), {})[0]
        assert np.array_equal(pair.given, given_ones[place])
        assert np.array_equal(pair.picture, made[place])


def test_what_is_no_pair_is_refused():
    with pytest.raises(DataError, match="pairs"):
        Translation().encode(pictures(3))


# Files ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["folder", "set.npy"])
@pytest.mark.parametrize("channels", [1, 3])
def test_written_pictures_are_read_again(tmp_path, name, channels):
    objects = pictures(12, 8, channels)
    write_pictures(objects, tmp_path / name)
    reading = read_pictures(tmp_path / name)
    assert all(np.array_equal(one, two) for one, two in zip(objects, reading.objects, strict=True))


def test_written_pairs_are_read_again(tmp_path):
    pairs = [Pair(*both) for both in zip(pictures(11, 4), pictures(11, 8), pictures(11, 8, seed=2))]
    write_pictures(pairs, tmp_path / "set")
    for read in (SuperResolution().read, Translation().read):
        found = read(tmp_path / "set").objects
        for one, two in zip(pairs, found, strict=True):
            assert all(np.array_equal(a, b) for a, b in zip(one, two))
    (tmp_path / "set/given/03.png").unlink()
    (tmp_path / "set/picture/05.png").write_text("no picture")
    reading = read_pictures(tmp_path / "set")
    assert len(reading.objects) == 9
    assert sum(reading.skipped.values()) == 2


def test_files_that_are_no_pictures_are_counted(tmp_path):
    write_pictures(pictures(3), tmp_path)
    (tmp_path / "broken.png").write_bytes(b"\x89PNG and then nothing")
    (tmp_path / "notes.txt").write_text("not even called a picture")
    reading = read_pictures(tmp_path)
    assert len(reading.objects) == 3
    assert reading.skipped == Counter({"not readable as a picture": 1})


@pytest.mark.parametrize("ending", ["", ".gz"])
def test_files_of_mnist_are_read(tmp_path, ending):
    objects = pictures(7, 28)
    header = np.array([2051, 7, 28, 28], dtype=">i4").tobytes()
    content = header + np.stack(objects).tobytes()
    path = tmp_path / f"train-images-idx3-ubyte{ending}"
    path.write_bytes(gzip.compress(content) if ending else content)
    assert np.array_equal(np.stack(read_pictures(path).objects), np.stack(objects))
    path.write_bytes(content[:100])
    with pytest.raises(DataError, match=r"2051|cannot be read"):
        read_pictures(path)


def test_files_that_cannot_be_read_or_written_are_said_so(tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "set.npy").write_bytes(b"nothing")
    for name in ("empty", "set.npy", "words.txt"):
        with pytest.raises(DataError):
            read_pictures(tmp_path / name)
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match="cannot write"):
        write_pictures(pictures(2), tmp_path / "file")
    with pytest.raises(DataError, match="folder"):
        write_pictures([Pair(*pictures(2))], tmp_path / "pairs.npy")
    with pytest.raises(DataError, match="subfolders"):
        Translation().read(tmp_path / "empty")


# Data sets ------------------------------------------------------------------------------------


def test_patches_put_together_are_the_photograph():
    import skimage.data

    photograph = skimage.data.grass()
    patches = list(datasets.cut(photograph))
    rows = [np.concatenate(patches[place : place + 16], 1) for place in range(0, 256, 16)]
    assert np.array_equal(np.concatenate(rows), photograph)


def test_data_sets_are_of_the_size_that_is_told():
    import wgankit_images

    makers = {"digits", "photographs", "textures", "edges"}
    for spec in wgankit_images.wgankit_datasets():
        made = getattr(datasets, spec.name)()
        makers.discard(spec.name)
        assert len(made) == spec.size
    assert not makers
    assert stack(datasets.digits()).shape == (1797, 1, 8, 8)


def test_outlines_are_where_grey_levels_change():
    picture = np.zeros((32, 32), np.uint8)
    picture[:, 16:] = 200
    edges = datasets.outline(picture, share=0.0625)
    assert np.array_equal(np.unique(np.nonzero(edges)[1]), [15, 16])
