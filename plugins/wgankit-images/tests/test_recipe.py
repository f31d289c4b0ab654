"""The recipes: every kind of source in, pictures out, and what they promise of them."""

import json

import numpy as np
import pytest
import torch

import wgankit
from wgankit import DataError, SettingError
from wgankit.testing import check_plugin, check_steps
from wgankit_images import Pair, datasets, restore, strips, train_squares, write_pictures
from wgankit_images.aside import REASON
from wgankit_images.encoding import batch, from_bytes, stack
from wgankit_images.networks import halved

QUICK = {
    "steps": 2,
    "batch": 8,
    "evaluate_every": 2,
    "evaluate_on": 12,
    "device": "cpu",
    "progress": False,
}
SMALL = {
    "images": {"width": 4, "latent": 6},
    "images:superres": {"width": 8, "blocks": 1, "critic_width": 4, "factor": 2, "fold": 2},
    "images:translate": {"width": 8, "blocks": 1, "critic_width": 4, "depth": 1, "fold": 2},
}


def textures(count=60, size=8):
    rows = batch(datasets.textures(), largest=size).pixels
    return from_bytes(rows[:: len(rows) // count][:count])


def pairs(count=60):
    return [Pair(datasets.outline(each), each) for each in textures(count)]


SOURCES = {"images": textures, "images:superres": textures, "images:translate": pairs}


def fit(name, out, source=None, **settings):
    model = {**SMALL[name], **settings.pop("model", {})}
    objects = SOURCES[name]() if source is None else source
    return wgankit.recipe(name).fit(objects, out=out, **{**QUICK, "model": model, **settings})


def test_plugin_is_light_and_its_factories_are_there():
    check_plugin("wgankit_images")


@pytest.mark.parametrize("name", SMALL)
def test_runs_load_and_sample_the_same(tmp_path, name):
    recipe = fit(name, tmp_path / "run")
    drawn = recipe.sample(10, seed=3)
    again = wgankit.load(tmp_path / "run").sample(10, seed=3)
    for one, two in zip(drawn, again, strict=True):
        one, two = (each if isinstance(each, Pair) else (each,) for each in (one, two))
        assert all(np.array_equal(a, b) for a, b in zip(one, two, strict=True))
    report = (tmp_path / "run/report.html").read_text()
    assert "data:image/svg+xml;base64," in report
    figures = json.loads((tmp_path / "run/metrics.jsonl").read_text().splitlines()[-1])
    assert {"fid", "fid_floor", "precision", "recall", "kid"} <= figures["metrics"].keys()


def test_arrays_folders_and_lists_are_the_same_data(tmp_path):
    objects = textures()
    write_pictures(objects, str(tmp_path / "folder"))
    sources = objects, np.stack(objects) / 255, tmp_path / "folder"
    runs = [fit("images", tmp_path / f"run{n}", each) for n, each in enumerate(sources)]
    for run in runs[1:]:
        assert torch.equal(run.points(), runs[0].points())
        assert np.array_equal(np.stack(run.sample(4, seed=1)), np.stack(runs[0].sample(4, seed=1)))


def test_written_samples_can_be_judged(tmp_path):
    recipe = fit("images", tmp_path / "run")
    drawn = recipe.sample(12, seed=1)
    recipe.domain.write(drawn, tmp_path / "new")
    read = recipe.domain.read(tmp_path / "new").objects
    assert recipe.evaluate(read) == recipe.evaluate(drawn)


def test_strips_of_a_recipe_are_pictures_of_its_size(tmp_path):
    recipe = fit("images", tmp_path / "run")
    assert np.stack(strips(recipe, rows=2, steps=3)).shape == (6, 8, 8)


def test_pictures_of_super_resolution_average_to_the_given_ones_and_know_their_truth(tmp_path):
    recipe = fit("images:superres", tmp_path / "run")
    assert recipe.config["skipped"][REASON] == 7
    drawn = recipe.sample(14, seed=1)
    trained_on = {
        each.tobytes()
        for part in ("training", "held_out")
        for each in from_bytes(recipe.points(part))
    }
    for pair in drawn:
        assert pair.given.shape == (4, 4)
        assert pair.truth.tobytes() not in trained_on
        small = halved(stack([pair.truth]), 2).round()
        assert np.abs(small[0, 0].numpy() - pair.given).max() <= 1
    made, given = (stack([each[part] for each in drawn]) for part in (1, 0))
    inside = ((made > 0) & (made < 255)).all(3).all(2).all(1)
    assert float((halved(made, 2) - given)[inside].abs().max()) <= 1.01
    figures = recipe.evaluate(drawn)
    assert {"psnr", "psnr_squares", "psnr_bicubic", "spectrum_squares"} <= figures.keys()


def test_pictures_of_translation_know_their_truth(tmp_path):
    recipe = fit("images:translate", tmp_path / "run")
    truths = {pair.given.tobytes(): pair.picture.tobytes() for pair in pairs()}
    for pair in recipe.sample(10, seed=1):
        assert truths[pair.given.tobytes()] == pair.truth.tobytes()


def test_steps_of_translation_stay_on_the_device(tmp_path):
    check_steps(fit("images:translate", tmp_path / "run").training(device="cpu"))


def test_restored_pictures_follow_the_given_ones_and_the_seed(tmp_path):
    recipe = fit("images:superres", tmp_path / "run")
    small = [np.full((4, 4), level, np.uint8) for level in (60, 190)]
    first, again, other = (restore(recipe, small, seed=seed) for seed in (0, 0, 1))
    assert np.array_equal(np.stack(first), np.stack(again))
    assert not np.array_equal(np.stack(first), np.stack(other))
    assert np.abs(stack(first).mean((1, 2, 3)).numpy() - [60, 190]).max() < 2
    with pytest.raises(DataError, match="superres"):
        restore(fit("images", tmp_path / "other"), small)
    with pytest.raises(DataError, match="number 1"):
        restore(recipe, [small[0], "words"])


@pytest.mark.parametrize(
    ("name", "settings", "error", "words"),
    [
        ("images", {"model": {"depth": 3}}, SettingError, "no setting depth"),
        ("images", {"model": {"network": "dense"}}, SettingError, "network is one of"),
        ("images", {"model": {"norm": "l7"}}, SettingError, "norm of pictures"),
        ("images:superres", {"model": {"factor": 3}}, SettingError, "factor"),
        ("images:superres", {"model": {"network": "x"}}, SettingError, "network is one of"),
        ("images:translate", {"model": {"depth": 3}}, SettingError, "smaller depth"),
        ("images:translate", {"source": textures()}, DataError, "pairs"),
        ("images", {"source": "no-such-thing"}, DataError, "neither a file nor a data set"),
    ],
)
def test_bad_settings_are_refused_before_anything_is_written(
    tmp_path, name, settings, error, words
):
    with pytest.raises(error, match=words):
        fit(name, tmp_path / "run", **settings)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("norm", ["l1", "linf", "sobolev"])
def test_recipes_train_under_every_norm(tmp_path, norm):
    recipe = fit("images", tmp_path / "run", model={"norm": norm, "unit": 2.0})
    distance = recipe.model.space.distance(-torch.ones(1, 1, 8, 8), torch.ones(1, 1, 8, 8))
    wanted = {"l1": 128.0, "linf": 2.0, "sobolev": 16.0}[norm]
    assert float(distance) == pytest.approx(wanted, rel=1e-5)


# What squared errors teach --------------------------------------------------------------------


def test_squared_errors_teach_the_mean_of_what_could_be_true():
    """One given picture with two truths, all black or all white: the answer is grey."""
    given = torch.zeros(16, 1, 4, 4)
    truth = torch.ones(16, 1, 4, 4)
    truth[::2] = -1
    network = train_squares(given, truth, steps=120)
    made = network((given[:1],))[0]
    assert float(made.abs().max()) < 0.25


@pytest.mark.slow
def test_super_resolution_wins_by_texture_and_squared_errors_win_by_psnr(tmp_path):
    recipe = wgankit.recipe("images:superres").fit(
        "textures", out=tmp_path / "run", device="cpu", progress=False
    )
    found = recipe.evaluate(384)
    assert found["psnr_squares"] > found["psnr_bicubic"]
    assert found["psnr_squares"] > found["psnr"] + 1
    assert found["spectrum"] < found["spectrum_squares"] / 3
    assert found["fid"] < found["fid_squares"] / 5
    assert found["variety"] > 3
    assert found["consistency"] < 1


@pytest.mark.slow
def test_translation_wins_by_texture_and_squared_errors_win_by_psnr(tmp_path):
    recipe = wgankit.recipe("images:translate").fit(
        "edges", out=tmp_path / "run", device="cpu", progress=False
    )
    found = recipe.evaluate(384)
    assert found["psnr_squares"] > found["psnr"]
    assert found["spectrum"] < found["spectrum_squares"] / 2
    assert found["fid"] < found["fid_squares"] / 3


@pytest.mark.slow
def test_digits_come_near_the_floors(tmp_path):
    recipe = wgankit.recipe("images").fit(
        "digits", out=tmp_path / "run", device="cpu", progress=False
    )
    found = recipe.evaluate(500, seed=7)
    first = json.loads((tmp_path / "run/metrics.jsonl").read_text().splitlines()[0])["metrics"]
    assert found["fid"] < first["fid"] / 20
    assert found["precision"] > 0.7
    assert found["recall"] > 0.6
