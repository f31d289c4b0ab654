"""Values and columns: what goes in comes out, and what cannot go in is counted or refused."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import wgankit
from wgankit import DataError, SettingError
from wgankit_labels import Conditions
from wgankit_labels.conditions import ClassCondition, NumberCondition, kind_of, learn

FEW = settings(max_examples=30, deadline=None)
FINITE = st.floats(-1e6, 1e6)
ROW = st.fixed_dictionaries(
    {
        "kind": st.sampled_from(["a", "b", "c"]),
        "size": FINITE,
        "code": st.lists(FINITE, min_size=2, max_size=2),
    }
)


def conditions_of(rows):
    names = list(rows[0])
    return Conditions([learn(name, None, [row[name] for row in rows]) for name in names])


@given(st.lists(ROW, min_size=4, max_size=20))
@FEW
def test_values_come_back_from_their_columns(rows):
    spread = {name: {str(row[name]) for row in rows} for name in rows[0]}
    kinds = {"kind": len(spread["kind"]) > 1, "size": np.ptp([row["size"] for row in rows]) > 1e-2}
    codes = np.array([row["code"] for row in rows])
    if not (all(kinds.values()) and codes.std(0).max() > 1e-2):
        return
    conditions = Conditions(
        [
            learn("kind", None, [row["kind"] for row in rows]),
            learn("size", "number", [row["size"] for row in rows]),
            learn("code", None, [row["code"] for row in rows]),
        ]
    )
    again = Conditions.from_plain(conditions.plain())
    columns, kept, skipped = again.encode(rows)
    assert kept == list(range(len(rows)))
    assert not skipped
    assert columns.shape == (len(rows), conditions.width)
    for row, back in zip(rows, conditions.decode(columns)):
        assert back["kind"] == row["kind"]
        assert back["size"] == pytest.approx(row["size"], abs=1.0)
        assert back["code"] == pytest.approx(row["code"], abs=1.0)


def test_numbers_have_mean_0_and_variance_1():
    values = [3.0, 4.5, 9.25, -2.0]
    columns, _, _ = Conditions([learn("x", None, values)]).encode([{"x": v} for v in values])
    assert columns.mean() == pytest.approx(0, abs=1e-6)
    assert columns.var(correction=0) == pytest.approx(1)


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        (["tree", "cycle"], "class"),
        ([True, False], "class"),
        ([3, 7, 3], "class"),
        (["3", "7"], "class"),
        (list(range(100)), "number"),
        ([0.5, 1.0], "number"),
        (["0.5", "0.25"], "number"),
        ([[1.0, 2.0], [0.0, 1.0]], "vector"),
        (np.arange(3), "class"),
        (np.random.default_rng(0).random((3, 2)), "vector"),
    ],
)
def test_kinds_are_what_values_look_like(values, kind):
    assert kind_of(values) == kind


def test_classes_do_not_depend_on_the_order_of_the_data():
    one, other = learn("k", None, [2, 10, 1]), learn("k", None, [10, 1, 2, 2])
    assert one == other == ClassCondition("k", (1, 2, 10))


def test_classes_from_a_table_are_those_of_the_data():
    """A table gives text; numbers, whole floats and text of one class are the same class."""
    condition = learn("k", None, [0, 1, 2])
    for value in (1, 1.0, "1", np.int64(1), torch.tensor(1)):
        assert condition.columns(value) == [0.0, 1.0, 0.0]


def test_what_cannot_be_encoded_is_counted_by_reason():
    conditions = Conditions(
        [ClassCondition("k", ("a", "b")), NumberCondition("x", 0.0, 1.0, -1.0, 1.0)]
    )
    rows = [
        {"k": "a", "x": 0.5},
        {"k": "a"},
        {"k": "", "x": 0.5},
        {"k": "c", "x": 0.5},
        {"k": "b", "x": "much"},
        {"k": "b", "x": math.nan},
        {"k": "b", "x": math.inf},
        {"k": "b", "x": 1.5},
        {"k": "b", "x": "-1"},
    ]
    columns, kept, skipped = conditions.encode(rows)
    assert kept == [0, 8]
    assert columns.tolist() == [[1.0, 0.0, 0.5], [0.0, 1.0, -1.0]]
    assert dict(skipped) == {
        "no value of x": 2,
        "no value of k": 1,
        "unknown class of k": 1,
        "x is not a number": 1,
        "x is not a finite number": 1,
        "x outside of what was trained on": 1,
    }


@pytest.mark.parametrize(
    ("given_values", "words"),
    [
        ({"k": "c"}, r"unknown class of k: got k=c, and it is one of a, b"),
        ({"x": 2}, r"got x=2, and it is a number from -1 to 1"),
        ({"x": "much"}, "x is not a number"),
        ({"z": 1}, r"no condition 'z'; there are k, x"),
    ],
)
def test_what_cannot_be_asked_for_is_one_clear_error(given_values, words):
    conditions = Conditions(
        [ClassCondition("k", ("a", "b")), NumberCondition("x", 0.0, 1.0, -1.0, 1.0)]
    )
    with pytest.raises(SettingError, match=words):
        conditions.given(given_values)


def test_what_is_not_given_is_left_open():
    conditions = Conditions(
        [ClassCondition("k", ("a", "b")), NumberCondition("x", 0.0, 1.0, -1.0, 1.0)]
    )
    assert conditions.given({"x": 0.5}).isnan().tolist() == [True, True, False]
    assert conditions.given({"k": "b"})[:2].tolist() == [0.0, 1.0]


@pytest.mark.parametrize(
    ("kind", "values", "words"),
    [
        ("class", ["a", "a"], "at least two classes"),
        ("number", [1.0, 1.0], "alike"),
        ("number", ["a", "b"], "none of 2 values of k is a number"),
        ("vector", [[1.0], [1.0, 2.0]], r"several lengths: \[1, 2\]"),
    ],
)
def test_data_without_a_condition_in_it_is_refused(kind, values, words):
    with pytest.raises(DataError, match=words):
        learn("k", kind, values)


def test_groups_are_the_classes():
    conditions = Conditions(
        [NumberCondition("x", 0.0, 1.0, -1.0, 1.0), ClassCondition("k", ("a", "b", "c"))]
    )
    rows = [{"k": k, "x": 0.1} for k in "cab"]
    columns, _, _ = conditions.encode(rows)
    assert conditions.groups("k")((torch.zeros(3, 2), columns)).tolist() == [2, 0, 1]
    with pytest.raises(SettingError, match="groups are classes"):
        conditions.groups("x")
    with pytest.raises(SettingError, match="different names"):
        Conditions([conditions["x"], conditions["x"]])


def test_the_space_of_conditions_counts_classes_and_measures_numbers():
    conditions = Conditions(
        [ClassCondition("k", ("a", "b")), NumberCondition("x", 10.0, 2.0, 0.0, 20.0)]
    )
    columns, _, _ = conditions.encode([{"k": "a", "x": 10}, {"k": "b", "x": 13}])
    space: wgankit.MetricSpace = conditions.space()
    assert space.distance(columns[:1], columns[1:]).tolist() == [2.5]
