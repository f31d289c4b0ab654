"""Conditions from the command and from `wgankit.recipe`, and groups as settings of a recipe."""

import math

import pytest
import torch
from typer.testing import CliRunner

import wgankit
from wgankit import MissingPackageError, SettingError, cli, plugins
from wgankit.testing import check_steps
from wgankit_labels.groups import repeated

QUICK = {"device": "cpu", "progress": False}


def run(*words):
    return CliRunner().invoke(cli.app, list(map(str, words)))


def test_train_and_sample_under_conditions(clouds, tmp_path, points):
    rows = [f"{x},{y},{labels['colour']}" for (x, y), labels in points()]
    (tmp_path / "a.csv").write_text("\n".join(["x,y,colour", *rows]))
    out = tmp_path / "run"
    done = run(
        "train", "clouds", "--data", tmp_path / "a.csv", "--out", out, "--device", "cpu",
        "--condition", "colour", "--condition", "radius:number",
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    done = run(
        "sample", out, "-n", 12, "--given", "colour=red", "--given", "radius=1.5", "--workers", 0,
        "--device", "cpu",
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    lines = done.stdout.strip().split("\n")
    assert len(lines) == 12
    assert all(line.split("\t")[1:] == ["colour=red", "radius=1.5"] for line in lines)
    done = run("sample", out, "-n", 12, "--given", "colour=red", "--out", tmp_path / "new")
    assert done.exit_code == 0, done.output
    told = (tmp_path / "new.labels.csv").read_text().strip().split("\n")
    assert [line.split(",")[0] for line in told] == ["colour"] + ["red"] * 12


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("colour=pink", "colour=pink, and it is one of blue, green, red"),
        ("hue=1", "no condition 'hue'"),
        ("colour", "NAME=VALUE"),
    ],
)
def test_what_cannot_be_given_is_one_clear_error(coloured, given, words):
    done = run("sample", coloured.folder.path, "-n", 3, "--given", given)
    assert isinstance(done.exception, SettingError)
    assert words in str(done.exception)


def test_conditions_without_the_plugin_say_what_to_install(clouds, monkeypatch):
    monkeypatch.setattr(plugins, "registry", lambda: plugins.Registry(entry_points=[]))
    with pytest.raises(MissingPackageError, match="pip install wgankit-labels"):
        wgankit.recipe("clouds", conditions=["colour"])


# Groups as settings -----------------------------------------------------------------------------


def unbalanced(points):
    """Red is rare."""
    return [one for k, one in enumerate(points(90)) if one[1]["colour"] != "red" or k < 12]


@pytest.mark.parametrize("over", ["mean", "worst"])
def test_groups_of_a_recipe(clouds, tmp_path, points, over):
    conditions = {"groups": "colour", "over": over, "balance": True}
    recipe = wgankit.recipe("clouds", conditions=["colour"]).fit(
        unbalanced(points), out=tmp_path / "run", model={"conditions": conditions}, **QUICK
    )
    training = recipe.training(device="cpu")
    assert training.penalty.over == over
    drawn = training.batches.points[-1].sum(0)
    assert drawn.min() == drawn.max()  # every colour as often as the others
    assert training.penalty.groups(recipe.points("training")).unique().tolist() == [0, 1, 2]
    seen = [row["metrics"] for row in recipe.folder.history() if "metrics" in row][-1]
    for colour in ("red", "green", "blue"):
        assert math.isfinite(seen[f"slope_{colour}"])
        assert math.isfinite(seen[f"estimate_{colour}"])
    assert "slope red" in recipe.folder.report.read_text()
    held = {one.object for one in recipe.held_out_objects}
    assert not held & {one.object for one in recipe.training_objects}
    check_steps(training)


@pytest.mark.parametrize(
    ("conditions", "words"),
    [
        ({"balance": True}, "balance needs groups"),
        ({"groups": "colour", "over": "best"}, 'over is "mean" or "worst"'),
        ({"groups": "hue"}, "no condition 'hue'"),
    ],
)
def test_groups_without_a_meaning_are_refused(clouds, tmp_path, points, conditions, words):
    with pytest.raises(SettingError, match=words):
        wgankit.recipe("clouds", conditions=["colour"]).fit(
            points(), out=tmp_path / "run", model={"conditions": conditions}, **QUICK
        )


def test_repeated_groups_are_of_one_size():
    groups = torch.tensor([0, 1, 1, 1, 1, 2, 2])
    places = repeated(groups)
    assert groups[places].bincount().tolist() == [4, 4, 4]
    assert set(places.tolist()) == set(range(7))
