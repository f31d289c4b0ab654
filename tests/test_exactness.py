"""The quick experiments of `python -m benchmarks.exactness`, and the frame they stand in."""

import json
import subprocess
import sys

import numpy as np
import pytest

from benchmarks.exactness.catalogue import (
    Line,
    at_least,
    at_most,
    catalogue,
    experiment,
    holds,
    near,
    perform,
)

QUICK = [one.number for one in catalogue() if one.quick]


@pytest.mark.parametrize("number", QUICK)
def test_quick_experiment_meets_every_target(number):
    result = perform(number, quick=True)
    assert result.lines, "an experiment that shows nothing"
    missed = [line for line in result.lines if not line.met]
    assert not missed, missed


def test_every_experiment_of_the_plan_is_there():
    numbers = {one.number for one in catalogue()}
    assert {str(number) for number in range(1, 34)} | {"31b"} <= numbers


def test_lines_say_whether_targets_are_met():
    assert near("w", 2.0, 2.019, relative=0.01).met
    assert not near("w", 2.0, 2.021, relative=0.01).met
    assert not near("w", 2.0, float("nan"), relative=0.01).met
    assert near("w", 0.0, 1e-7, absolute=1e-6).met
    assert at_most("w", 1.0, 1.0).met
    assert not at_most("w", 1.0, float("nan")).met
    assert at_least("w", 1.0, 1.0).met
    assert not at_least("w", 1.0, 0.99).met
    assert not holds("w", False).met
    assert near("w", 2.0, np.float64(2.0), relative=0.01).met is True  # plain, for JSON
    assert at_most("w", 1.0, np.float64(1.0)).met is True
    assert at_least("w", 1.0, np.float64(1.0)).met is True


def test_a_number_is_taken_once():
    with pytest.raises(ValueError, match="numbered 1"):
        experiment("1", "again")(lambda quick: [])


def test_check_names_what_was_missed_and_exits_1(tmp_path):
    """One experiment is replaced by one that misses, in a process of its own."""
    code = (
        "import benchmarks.exactness.__main__ as m, benchmarks.exactness.catalogue as c\n"
        "c.catalogue(); c._FOUND.clear()\n"
        "off = [c.near('w1', 2.0, 3.0, relative=.1)]\n"
        "c.experiment('1', 'off', quick=True)(lambda quick: off)\n"
        "m.catalogue = c.catalogue = lambda: list(c._FOUND.values())\n"
        "raise SystemExit(m.main())\n"
    )
    told = tmp_path / "figures.json"
    argv = [sys.executable, "-c", code, "--check", "--jobs", "1", "--json", str(told)]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert done.returncode == 1, done.stderr
    assert "missed: #1 w1: reached 3, target within 0.1 relative" in done.stdout
    kept = json.loads(told.read_text())
    assert kept["results"][0]["lines"][0]["met"] is False
    assert kept["header"]["torch"]


def test_a_line_is_plain_data():
    line = near("w1", 2.0, 2.0, relative=0.1)
    assert line == Line("w1", "2", "2", "within 0.1 relative", True)
