"""The recipe `conditioned` over a domain of its own: labels of every kind, from everywhere."""

import csv
import itertools
import math

import pytest
import torch

import wgankit
from wgankit import DataError, RunError, SettingError
from wgankit.testing import check_plugin
from wgankit_labels import Conditional, ConditionedDomain, EachCondition, Labelled, conditioned
from wgankit_labels.figures import coverage
from wgankit_labels.measures import measured

QUICK = {"device": "cpu", "progress": False}


def test_plugin_is_light_and_its_factories_are_there():
    check_plugin("wgankit_labels")


def test_labelled_objects_in_labelled_objects_out(coloured):
    drawn = coloured.sample(30, seed=1)
    assert all(isinstance(one, Labelled) for one in drawn)
    assert {one.labels["colour"] for one in drawn} == {"red", "green", "blue"}
    only = coloured.sample(20, given={"colour": "red"}, seed=1)
    assert {one.labels["colour"] for one in only} == {"red"}
    assert len(only) == 20


def test_a_loaded_run_samples_alike(coloured, tmp_path):
    again = wgankit.load(coloured.save(tmp_path / "copy"))
    assert again.sample(10, seed=3) == coloured.sample(10, seed=3)
    given = {"colour": "blue"}
    one, other = (r.sample(5, given=given, seed=3) for r in (again, coloured))
    assert one == other
    assert again.domain.objects == "points"
    assert again.fit(steps=5, **QUICK).config["settings"]["steps"] == 5


def test_the_data_keeps_its_labels(coloured, points):
    kept = {
        (round(one.object[0], 4), round(one.object[1], 4)): one.labels["colour"]
        for one in coloured.training_objects + coloured.held_out_objects
    }
    given = {(round(x, 4), round(y, 4)): labels["colour"] for (x, y), labels in points()}
    assert kept == given


def test_numbers_are_measured_where_they_can_be(clouds, tmp_path, points):
    data = [one for one, _ in points()]
    recipe = conditioned("clouds", "radius:number").fit(data, out=tmp_path / "run", **QUICK)
    for one in recipe.training_objects:
        assert one.labels["radius"] == pytest.approx(math.hypot(*one.object), abs=1e-4)
    # Asked for what another one has, and one that has no radius.
    real = recipe.training_objects
    asked = [Labelled(a.object, b.labels) for a, b in itertools.pairwise(real)]
    found = recipe.evaluate([*asked, Labelled((9.0, 9.0), asked[0].labels)])
    got = [math.hypot(*one.object) for one in asked]
    wanted = [one.labels["radius"] for one in asked]
    error = [abs(g - w) for g, w in zip(got, wanted)]
    deaf = [abs(g - w) for g in got for w in wanted]
    assert found["radius_error"] == pytest.approx(sum(error) / len(error), rel=1e-4)
    assert found["radius_error_deaf"] == pytest.approx(sum(deaf) / len(deaf), rel=1e-4)
    assert "radius=" in str(asked[0])


def test_agreement_is_the_share_that_the_nearest_training_points_confirm(coloured):
    """Real objects agree; with labels exchanged they never do; without any, nothing is said."""
    known = coloured.evaluate(coloured.held_out_objects)
    assert known["colour_agreement"] == known["colour_agreement_floor"] == 1.0
    turn = {"red": "green", "green": "blue", "blue": "red"}
    wrong = [
        Labelled(one.object, {"colour": turn[one.labels["colour"]]})
        for one in coloured.held_out_objects
    ]
    assert coloured.evaluate(wrong)["colour_agreement"] == 0.0
    assert set(coloured.evaluate([one.object for one in wrong])) == {"mean_x"}


def test_figures_of_classes_are_those_of_their_points(coloured):
    drawn = coloured.sample(60, seed=2)
    found = coloured.evaluate(drawn)
    space = wgankit.Normed()

    def of(objects):
        mine = [one.object for one in objects if one.labels["colour"] == "red"]
        return torch.tensor(mine).float()

    fake, train, held = of(drawn), of(coloured.training_objects), of(coloured.held_out_objects)
    count = min(len(fake), len(held))
    assert found["coverage_red"] == coverage(space, train, fake[:count])
    assert found["w1_red"] == pytest.approx(wgankit.exact.w1(space, held[:count], fake[:count]))
    assert found["w1_red_floor"] == pytest.approx(
        wgankit.exact.w1(space, held[:count], train[:count])
    )


def test_the_space_is_what_the_settings_say(clouds, tmp_path, points):
    each = conditioned("clouds", "radius:number").fit(points(), out=tmp_path / "a", **QUICK)
    assert isinstance(each.model.space, EachCondition)
    assert each.model.space.price == pytest.approx(each.config["vocabulary"]["scale"])
    assert 0.5 < each.model.space.price < 3
    model = {"conditions": {"weight": 0.4, "critic": "projection"}}
    both = conditioned("clouds", "radius:number").fit(
        points(), out=tmp_path / "b", model=model, **QUICK
    )
    assert isinstance(both.model.space, Conditional)
    assert both.model.space.weight == 0.4
    mixture = {"conditions": {"critic": "mixture", "copies": 3}}
    conditioned("clouds", "colour").fit(points(), out=tmp_path / "c", model=mixture, **QUICK)


def test_several_conditions_of_several_kinds(clouds, tmp_path, points):
    data = [(one, {**labels, "place": one}) for one, labels in points()]
    recipe = conditioned("clouds", "colour", "radius:number", "place:vector").fit(
        data, out=tmp_path / "run", **QUICK
    )
    drawn = recipe.sample(6, given={"colour": "red", "place": [1.0, 0.0]}, seed=0)
    for one in drawn:
        assert one.labels["colour"] == "red"
        assert one.labels["place"] == pytest.approx([1.0, 0.0], abs=1e-5)
    open_ = recipe.sample(20, given={"colour": "red"}, seed=0)
    assert len({tuple(one.labels["place"]) for one in open_}) > 1


# Files ----------------------------------------------------------------------------------------


def written(path, rows, header):
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([header, *rows])


def test_domains_that_learn_something_first_do_so_under_conditions(clouds, tmp_path, points):
    recipe = wgankit.recipe("centred", conditions=["colour"])
    far = [((x + 50, y), labels) for (x, y), labels in points()]
    recipe.fit(far, out=tmp_path / "run", device="cpu", progress=False)
    known = [one.object for one in recipe.training_objects]
    mean = recipe.vocabulary["learnt"]["mean"]
    assert torch.allclose(mean, torch.tensor(known).mean(0), atol=1e-4)
    assert all(abs(x - 50) < 3 for x, _ in known)
    loaded = wgankit.load(tmp_path / "run")
    made = loaded.sample(20, given={"colour": "red"}, seed=3)
    assert made == recipe.sample(20, given={"colour": "red"}, seed=3)
    assert all(abs(one.object[0] - 50) < 20 for one in made)
    # A classifier that compares stored points with encoded ones must see both alike.
    assert recipe.evaluate(20)["colour_agreement_floor"] > 0.8


def test_labels_are_read_from_columns(clouds, tmp_path, points):
    rows = [(x, y, labels["colour"]) for (x, y), labels in points()]
    written(tmp_path / "a.csv", rows, ("x", "y", "colour"))
    recipe = conditioned("clouds", "colour").fit(tmp_path / "a.csv", out=tmp_path / "r", **QUICK)
    assert recipe.config["objects"] == 60
    assert not recipe.config["skipped"]


def test_labels_are_read_from_a_table_beside_and_written_there(coloured, tmp_path):
    drawn = coloured.sample(24, seed=0)
    coloured.domain.write(drawn, tmp_path / "new.txt")
    again = coloured.domain.read(tmp_path / "new.txt").objects
    assert [one.labels for one in again] == [dict(one.labels) for one in drawn]
    assert (tmp_path / "new.txt.labels.csv").read_text().startswith("colour\n")
    recipe = conditioned("clouds", "colour").fit(tmp_path / "new.txt", out=tmp_path / "r", **QUICK)
    assert recipe.config["objects"] == 24


def test_folders_name_the_classes(clouds, tmp_path, points):
    for k, name in enumerate(("near", "far")):
        folder = tmp_path / "data" / name
        folder.mkdir(parents=True)
        lines = [f"{x * (1 + 5 * k)},{y}" for (x, y), _ in points(20)]
        (folder / "points").write_text("\n".join(lines))
    domain = ConditionedDomain("clouds", ["class"])
    real_read = domain._inner().read
    domain._inner().read = lambda path: real_read(path / "points")
    objects = domain.read(tmp_path / "data").objects
    assert [one.labels["class"] for one in objects] == ["far"] * 20 + ["near"] * 20


def test_labels_that_do_not_go_with_the_objects_are_refused(clouds, tmp_path):
    (tmp_path / "a.txt").write_text("1,2\n3,4\n")
    written(tmp_path / "a.txt.labels.csv", [["red"]], ["colour"])
    with pytest.raises(DataError, match=r"1 lines of labels, and .* 2 objects"):
        conditioned("clouds", "colour").fit(tmp_path / "a.txt", out=tmp_path / "r", **QUICK)


# What is refused or counted -------------------------------------------------------------------


def test_missing_and_unfit_labels_are_counted_and_reported(clouds, tmp_path, points):
    data = [
        (one, {"colour": labels["colour"], "radius": math.hypot(*one)}) for one, labels in points()
    ]
    bad = [
        ((1.0, 0.5), {"radius": 1.0}),
        ((1.0, 0.5), {"colour": None, "radius": 1.0}),
        ((1.0, 0.5), {"colour": "red", "radius": "far"}),
        ((9.0, 9.0), {"colour": "red"}),  # whose radius nobody can measure
        ((1.0,), {"colour": "red", "radius": 1.0}),
    ]
    data = [bad[-1], *data[:30], *bad[:-1], *data[30:]]
    recipe = conditioned("clouds", "colour", "radius:number").fit(
        data, out=tmp_path / "run", **QUICK
    )
    assert recipe.config["objects"] == 60
    assert recipe.config["skipped"] == {
        "no value of colour": 2,
        "radius is not a number": 1,
        "no value of radius": 1,
        "no point": 1,
    }
    assert "5 of 65 points left out" in recipe.folder.report.read_text()
    # Those after the ones left out still have their own labels.
    for one in recipe.training_objects:
        assert one.labels["radius"] == pytest.approx(math.hypot(*one.object), abs=1e-4)


def test_kept_objects_are_told_by_their_places(clouds, points):
    domain = ConditionedDomain("clouds", ["colour"])
    data = [((1.0,), {"colour": "red"}), ((1.0, 2.0), {}), *points(6)]
    encoded = domain.encode(data)
    assert encoded.kept == [2, 3, 4, 5, 6, 7]
    again = domain.encode([((1.0, 2.0), {"colour": "pink"}), *points(3)], encoded.vocabulary)
    assert again.kept == [1, 2, 3]
    assert again.skipped == {"unknown class of colour": 1}


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"colour": "pink"}, "colour=pink, and it is one of blue, green, red"),
        ({"hue": 1}, "no condition 'hue'; there are colour"),
    ],
)
def test_what_cannot_be_asked_for_is_refused(coloured, given, words):
    with pytest.raises(SettingError, match=words):
        coloured.sample(3, given=given)


def test_numbers_outside_of_the_data_are_refused(clouds, tmp_path, points):
    recipe = conditioned("clouds", "radius:number").fit(points(), out=tmp_path / "run", **QUICK)
    with pytest.raises(SettingError, match="radius=7, and it is a number from 1 to 3"):
        recipe.sample(3, given={"radius": 7})


@pytest.mark.parametrize(
    ("names", "data", "settings", "error", "words"),
    [
        (
            ("hue",),
            None,
            {},
            DataError,
            r"no value of hue for any of 60 points; .*measured is radius",
        ),
        (("colour:number",), None, {}, DataError, "none of 60 values of colour is a number"),
        (("colour:shade",), None, {}, SettingError, "NAME:class"),
        (("colour", "colour"), None, {}, SettingError, "different names"),
        ((), None, {}, SettingError, "say at least one condition"),
        (("colour",), None, {"weight": 1.0}, SettingError, "has classes only"),
        (("colour",), None, {"depth": 1.0}, SettingError, "no setting depth"),
        (("colour",), None, {"critic": "film"}, SettingError, "projection or mixture"),
        (
            ("colour",),
            [((1.0, 2.0), {"colour": "red"})] * 60,
            {},
            DataError,
            "at least two classes",
        ),
    ],
)
def test_bad_input_is_one_clear_error_and_leaves_nothing(
    clouds, tmp_path, names, data, settings, error, words, points
):
    with pytest.raises(error, match=words):
        conditioned("clouds", *names).fit(
            data or points(), out=tmp_path / "run", model={"conditions": settings}, **QUICK
        )
    assert not (tmp_path / "run").exists()


def test_recipes_without_conditions_are_refused(clouds, tmp_path, points):
    plain = wgankit.recipe("clouds").fit([one for one, _ in points()], out=tmp_path / "p", **QUICK)
    with pytest.raises(SettingError, match="takes no conditions, and was given colour"):
        plain.sample(3, given={"colour": "red"})
    with pytest.raises(RunError, match="not trained yet"):
        conditioned("clouds", "colour").sample(3, given={"colour": "red"})
    with pytest.raises(SettingError, match="say which recipe"):
        wgankit.recipe("conditioned").fit(points(), out=tmp_path / "c", **QUICK)


@pytest.mark.parametrize(
    ("where", "words"),
    [
        ("wgankit_labels.measures:beauty", "no attribute 'beauty'"),
        ("no_such_module:qed", "No module"),
        ("builtins:set", "returned 1 for 2"),
    ],
)
def test_measures_that_are_none_are_refused(where, words):
    with pytest.raises(SettingError, match=words):
        measured(where, ["a", "a"])
