"""Recipes and run folders: nothing is lost, resumed runs equal unbroken ones, errors teach."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

import wgankit
from wgankit import DataError, RunError, SettingError
from wgankit.progress import Terminal, clock, figures_line
from wgankit.recipes import Metrics
from wgankit.run import RunFolder
from wgankit.session import Stopped
from wgankit.settings import DEFAULTS, merge, schedule_named


def readings(folder) -> list[dict]:
    """The metrics of a run, without what the clock says."""
    return [
        {name: value for name, value in row.items() if name != "seconds"}
        for row in RunFolder(folder).history()
    ]


def weights(folder) -> dict:
    return torch.load(Path(folder) / "last.pt", weights_only=True)["training"]["average"]


@pytest.fixture
def fitted(clouds, tmp_path):
    return wgankit.recipe("clouds").fit(
        "square", out=tmp_path / "run", device="cpu", progress=False
    )


def test_a_run_leaves_everything_behind(fitted, tmp_path):
    folder = tmp_path / "run"
    names = {path.name for path in folder.iterdir()}
    assert names == {"config.json", "data.pt", "last.pt", "best.pt", "metrics.jsonl", "report.html"}
    config = json.loads((folder / "config.json").read_text())
    assert config["recipe"] == "cloud-plugin:clouds"
    assert config["settings"]["steps"] == 40
    assert config["held_out"] == 16
    steps = [row["step"] for row in readings(folder)]
    assert steps == [0, *range(4, 41, 4)]
    judged = [row["step"] for row in readings(folder) if "metrics" in row]
    assert judged == [0, 20, 40]
    report = (folder / "report.html").read_text()
    assert "finished: step 40 of 40" in report
    assert "<svg" in report


def test_a_run_of_before_a_setting_was_there_has_its_default(fitted):
    path = fitted.folder.path / "config.json"
    config = json.loads(path.read_text())
    del config["settings"]["capture"]
    path.write_text(json.dumps(config))
    again = wgankit.load(fitted.folder.path)
    assert again.config["settings"] == fitted.config["settings"]
    again.training(device="cpu")


def test_held_out_objects_are_never_trained_on(fitted):
    held_out, training = set(fitted.held_out_objects), set(fitted.training_objects)
    assert (len(held_out), len(training)) == (16, 48)
    assert not held_out & training


def test_exact_w1_and_its_floor_are_those_of_the_held_out_points(fitted):
    row = [row for row in readings(fitted.folder.path) if "exact_w1" in row][-1]
    real = fitted.points("held_out")
    sampled = wgankit.load(fitted.folder.path)
    state = torch.load(fitted.folder.last, weights_only=True)["training"]["average"]
    sampled._built().generator.load_state_dict(state)
    sampled._present = sampled._built().generator
    fake = sampled.sample_points(16, seed=1_000_003 + 40)
    assert row["exact_w1"] == pytest.approx(wgankit.exact.w1(wgankit.Normed(), real, fake))
    training = fitted.points("training")[:16]
    floor = wgankit.exact.w1(wgankit.Normed(), real, training)
    assert row["exact_w1_floor"] == pytest.approx(floor)
    assert 0 < row["certified"] <= row["exact_w1"] + 1e-6


def test_the_same_seed_gives_the_same_run(clouds, tmp_path):
    for name in ("one", "two"):
        wgankit.recipe("clouds").fit("square", out=tmp_path / name, device="cpu", progress=False)
    assert readings(tmp_path / "one") == readings(tmp_path / "two")


def stop_at(monkeypatch, step, number=signal.SIGTERM):
    """Send a signal to this process when a run has done so many steps."""
    from wgankit.training import Training

    step_of = Training.__next__

    def told(self):
        done = step_of(self)
        if done.index == step:
            os.kill(os.getpid(), number)
        return done

    monkeypatch.setattr(Training, "__next__", told)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_with_a_saved_state_that_goes_on_alike(
    clouds, tmp_path, monkeypatch, fitted, number, capsys
):
    handler = signal.getsignal(number)
    with monkeypatch.context() as patch:
        stop_at(patch, 27, number)
        with pytest.raises(Stopped) as stopped:
            wgankit.recipe("clouds").fit("square", out=tmp_path / "broken", device="cpu")
    assert stopped.value.signal_number == number
    assert isinstance(stopped.value, KeyboardInterrupt)
    assert f"wgankit resume {tmp_path / 'broken'}" in "".join(capsys.readouterr().err.split("\n"))
    assert signal.getsignal(number) is handler
    again = wgankit.load(tmp_path / "broken")
    assert torch.load(again.folder.last, weights_only=True)["training"]["index"] == 27
    again.fit(device="cpu", progress=False)
    assert readings(tmp_path / "broken") == readings(tmp_path / "run")
    one, two = weights(tmp_path / "broken"), weights(tmp_path / "run")
    assert all(torch.equal(one[name], two[name]) for name in one)
    assert again.evaluate(50) == fitted.evaluate(50)


KILLED = """
import sys
sys.path[:0] = sys.argv[2:4]
from wgankit import plugins, session
from importlib.metadata import PathDistribution
from pathlib import Path
info = next(Path(sys.argv[3]).glob("*.dist-info"))
registry = plugins.Registry(entry_points=PathDistribution(info).entry_points)
plugins.registry = lambda: registry
session.SAVE_EVERY = 0.2
import wgankit
wgankit.recipe("clouds").fit("square", out=sys.argv[1], steps=300, device="cpu", progress=False,
                             evaluate_every=150)
"""


def test_a_killed_run_goes_on_as_if_never_stopped(clouds, tmp_path):
    """SIGKILL in the middle, resume: the same figures to the last digit as the unbroken run."""
    site = next(
        path for path in sys.path if "site" in path and list(Path(path).glob("*.dist-info"))
    )
    tests = str(Path(__file__).parent)
    folder = RunFolder(tmp_path / "killed")
    process = subprocess.Popen([sys.executable, "-c", KILLED, folder.path, tests, site])
    deadline = time.monotonic() + 100
    while time.monotonic() < deadline and len(folder.history()) < 20:
        time.sleep(0.02)
    process.kill()
    process.wait()
    broken_at = torch.load(folder.last, weights_only=True)["training"]["index"]
    assert 0 < broken_at < 300
    wgankit.load(folder.path).fit(device="cpu", progress=False)
    settings = {"steps": 300, "evaluate_every": 150, "device": "cpu", "progress": False}
    wgankit.recipe("clouds").fit("square", out=tmp_path / "unbroken", **settings)
    assert readings(folder.path) == readings(tmp_path / "unbroken")
    one, two = weights(folder.path), weights(tmp_path / "unbroken")
    assert all(torch.equal(one[name], two[name]) for name in one)


def test_readings_later_than_the_saved_state_are_done_again(clouds, tmp_path, monkeypatch, fitted):
    """A kill between a reading and the next save leaves readings that the resumed run repeats."""
    with monkeypatch.context() as patch:
        stop_at(patch, 27)
        with pytest.raises(Stopped):
            wgankit.recipe("clouds").fit(
                "square", out=tmp_path / "broken", device="cpu", progress=False
            )
    folder = RunFolder(tmp_path / "broken")
    for row in fitted.folder.history():
        if 27 < row["step"] <= 36:
            folder.append(row)
    wgankit.load(folder.path).fit(device="cpu", progress=False)
    assert readings(folder.path) == readings(tmp_path / "run")


def test_a_run_killed_before_its_first_save_begins_again(fitted):
    whole = readings(fitted.folder.path)
    for path in (fitted.folder.last, fitted.folder.best):
        path.unlink()
    wgankit.load(fitted.folder.path).fit(device="cpu", progress=False)
    assert readings(fitted.folder.path) == whole


def test_more_steps_go_on_from_the_end(fitted, tmp_path):
    again = wgankit.load(tmp_path / "run").fit(steps=60, device="cpu", progress=False)
    assert readings(tmp_path / "run")[-1]["step"] == 60
    assert again.config["settings"]["steps"] == 60
    with pytest.raises(SettingError, match="only steps may change"):
        again.fit(rate=0.1)


def test_sampling_is_seeded_and_streams_in_batches(fitted):
    one = fitted.sample(30, seed=4)
    assert one == fitted.sample(30, seed=4) != fitted.sample(30, seed=5)
    assert len(fitted.sample(30, seed=4, batch=7)) == 30
    torch.manual_seed(0)
    first = fitted.sample(3)
    assert first != fitted.sample(3)


def test_best_checkpoint_is_the_one_that_samples(fitted):
    """After `best` is another generator, samples are that generator's."""
    state = {
        name: torch.zeros_like(value)
        for name, value in torch.load(fitted.folder.best, weights_only=True)["average"].items()
    }
    torch.save({"average": state}, fitted.folder.best)
    again = wgankit.load(fitted.folder.path)
    generator = again.generator("cpu")
    assert not generator.training
    assert not any(value.any() for value in generator.state_dict().values())
    assert set(again.sample(5)) == {(0.0, 0.0)}


def test_save_copies_a_run_that_loads(fitted, tmp_path):
    fitted.save(tmp_path / "copy")
    assert wgankit.load(tmp_path / "copy").sample(5, seed=1) == fitted.sample(5, seed=1)
    with pytest.raises(RunError, match="holds a run already"):
        fitted.save(tmp_path / "copy")


def test_files_and_lists_are_sources(clouds, tmp_path):
    points = [(float(i), 1.0) for i in range(40)]
    (tmp_path / "points.txt").write_text("".join(f"{x} {y}\n" for x, y in points))
    settings = {"steps": 2, "device": "cpu", "progress": False}
    one = wgankit.recipe("clouds").fit(tmp_path / "points.txt", out=tmp_path / "a", **settings)
    two = wgankit.recipe("clouds").fit(points, out=tmp_path / "b", **settings)
    assert sorted(one.training_objects) == sorted(two.training_objects)


def test_skips_are_counted_and_reported(clouds, tmp_path):
    points = [(float(i), 1.0) for i in range(40)] + [(1.0,)] * 3
    wgankit.recipe("clouds").fit(points, out=tmp_path / "a", steps=2, device="cpu", progress=False)
    config = json.loads((tmp_path / "a" / "config.json").read_text())
    assert config["skipped"] == {"not two numbers": 3}
    assert (
        "3 of 43 points left out: 3 not two numbers" in (tmp_path / "a" / "report.html").read_text()
    )


def test_an_existing_run_is_never_overwritten(fitted, tmp_path):
    before = (tmp_path / "run" / "last.pt").read_bytes()
    with pytest.raises(RunError, match=r"holds a run already.*wgankit resume"):
        wgankit.recipe("clouds").fit("square", out=tmp_path / "run", device="cpu", progress=False)
    assert (tmp_path / "run" / "last.pt").read_bytes() == before


@pytest.mark.parametrize(
    ("source", "settings", "error", "words"),
    [
        ("circle", {}, DataError, r"neither a file nor a data set; data sets are square"),
        ([], {}, DataError, "there are no points"),
        ([(1.0, 2.0)] * 10, {}, DataError, r"batch of 16 cannot be drawn from 8 points.*batch=8"),
        ("square", {"stepz": 3}, SettingError, "no setting 'stepz'"),
        ("square", {"steps": 0}, SettingError, "steps is a whole number"),
        ("square", {"rate": -1.0}, SettingError, "rate is a number > 0"),
        ("square", {"penalty": {"shape": "round"}}, SettingError, "one-sided"),
        ("square", {"schedule": "jump"}, SettingError, "constant or linear"),
        ("square", {"held_out": 1.0}, SettingError, "held_out"),
        ("square", {"compile": "sometimes"}, SettingError, "compile is True, False"),
        ("square", {"objective": "war"}, SettingError, "wasserstein, relativistic.*'war'"),
    ],
)
def test_bad_input_is_refused_before_anything_is_written(
    clouds, tmp_path, source, settings, error, words
):
    with pytest.raises(error, match=words):
        wgankit.recipe("clouds").fit(
            source, out=tmp_path / "run", device="cpu", progress=False, **settings
        )
    assert not (tmp_path / "run").exists()


def test_a_folder_that_cannot_be_made_is_said(clouds, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match=r"cannot make the run folder.*--out"):
        wgankit.recipe("clouds").fit(
            "square", out=tmp_path / "file" / "run", device="cpu", progress=False
        )


def test_untrained_recipes_and_missing_runs_say_what_to_type(clouds, tmp_path):
    untrained = wgankit.recipe("clouds")
    for call in (lambda: untrained.sample(3), lambda: untrained.evaluate(3), untrained.generator):
        with pytest.raises(RunError, match="not trained yet"):
            call()
    with pytest.raises(DataError, match="nothing to train on"):
        untrained.fit()
    with pytest.raises(RunError, match=r"holds no run.*wgankit train"):
        wgankit.load(tmp_path)
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(RunError, match="damaged"):
        wgankit.load(tmp_path)


def test_a_run_that_diverges_stops_and_keeps_its_last_state(clouds, tmp_path, monkeypatch):
    from wgankit.estimates import Estimate

    row = Estimate.row
    calls = []

    def spoil(self):
        calls.append(1)
        return {**row(self), "gap": float("nan")} if len(calls) > 6 else row(self)

    monkeypatch.setattr(Estimate, "row", spoil)
    with pytest.raises(RunError, match="diverged"):
        wgankit.recipe("clouds").fit("square", out=tmp_path / "run", device="cpu", progress=False)
    assert wgankit.load(tmp_path / "run").sample(2)


def test_a_state_that_diverged_never_replaces_a_good_one(clouds, tmp_path, monkeypatch):
    """Networks turn to NaN after step 10; every save is due at once; the saved state is finite."""
    from wgankit import session
    from wgankit.training import Training

    step_of = Training.__next__

    def spoil(self):
        done = step_of(self)
        if done.index == 10:
            for parameter in [*self.generator.parameters(), *self.critic.parameters()]:
                parameter.data.fill_(float("nan"))
        return done

    monkeypatch.setattr(Training, "__next__", spoil)
    monkeypatch.setattr(session, "SAVE_EVERY", 0.0)
    with pytest.raises(RunError, match="diverged"):
        wgankit.recipe("clouds").fit("square", out=tmp_path / "run", device="cpu", progress=False)
    state = torch.load(tmp_path / "run" / "last.pt", weights_only=True)["training"]
    assert 0 < state["index"] <= 10
    assert all(value.isfinite().all() for value in state["critic"].values())


def test_a_full_disk_is_one_clear_error_and_keeps_the_last_state(fitted, monkeypatch):
    before = fitted.folder.last.read_bytes()

    def full(*args, **kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(RunError, match=r"cannot write .*last.pt: No space left on device"):
        wgankit.state.save({}, fitted.folder.last)
    assert fitted.folder.last.read_bytes() == before


def test_a_line_cut_short_by_a_kill_is_left_out(fitted):
    with fitted.folder.metrics.open("a") as file:
        file.write('{"step": 44, "ga')
    assert fitted.folder.history()[-1]["step"] == 40


def test_merge_replaces_nested_settings_one_by_one():
    merged = merge(DEFAULTS, {"penalty": {"weight": 3.0}, "batch": 5})
    assert merged["penalty"] == {**DEFAULTS["penalty"], "weight": 3.0}
    assert merged["batch"] == 5
    assert DEFAULTS["penalty"]["weight"] == 10.0


def test_linear_schedule_is_flat_then_falls():
    rates = [schedule_named("linear", 100)(step) for step in (0, 50, 75, 99)]
    assert rates == pytest.approx([1.0, 1.0, 0.5, 0.05])


def test_metrics_print_values_beside_floors():
    text = str(Metrics({"valid": 0.5, "fcd": 3.0, "fcd_floor": 1.0}))
    assert text.split("\n") == ["valid      0.5", "fcd        3   (floor 1)"]


def test_progress_shows_the_estimate_with_its_company():
    row = {"w1": 3.21, "gap": 3.5, "lower": 2.9, "steepest": 1.08}
    row |= {"share_above_one": 0.12, "residual": -0.034}
    assert figures_line(row) == (
        "W1 3.21 (gap 3.5, at least 2.9)  steepest 1.08, 12% above 1, residual -0.03"
    )
    assert [clock(59), clock(61), clock(3_661)] == ["0:59", "1:01", "1:01:01"]


def test_progress_without_a_terminal_is_lines(capsys):
    teller = Terminal(every=0.0)
    teller.start("clouds", 0, 10)
    names = ("w1", "gap", "lower", "steepest", "share_above_one", "residual")
    teller.advance(5, dict.fromkeys(names, 1.0))
    teller.stop()
    assert "step 5 of 10  W1 1" in capsys.readouterr().err


def test_a_model_that_a_package_carries_is_loaded_by_name(clouds, tmp_path, monkeypatch):
    trained = wgankit.recipe("clouds").fit(
        "square", out=tmp_path / "run", device="cpu", progress=False, steps=2, batch=16
    )
    monkeypatch.setenv("TRAINED_CLOUDS", str(tmp_path / "run"))
    for name in ("trained", "cloud-plugin:trained"):
        carried = wgankit.load(name)
        assert carried.sample(5, seed=3) == trained.sample(5, seed=3)
    before = {path: path.read_bytes() for path in (tmp_path / "run").rglob("*") if path.is_file()}
    with pytest.raises(RunError, match=r"belongs to an installed package.*recipe.save\(FOLDER\)"):
        carried.fit(steps=4)
    after = {path: path.read_bytes() for path in (tmp_path / "run").rglob("*") if path.is_file()}
    assert after == before
    copy = wgankit.load(carried.save(tmp_path / "copy")).fit(steps=4, progress=False)
    assert copy.folder.history()[-1]["step"] == 4


def test_a_folder_comes_before_a_model_of_its_name(clouds, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TRAINED_CLOUDS", str(tmp_path / "nowhere"))
    wgankit.recipe("clouds").fit(
        "square", out="trained", device="cpu", progress=False, steps=2, batch=16
    )
    assert wgankit.load("trained").folder.path.resolve() == tmp_path / "trained"
    with pytest.raises(RunError, match="holds no run"):
        wgankit.load("cloud-plugin:trained")


def test_the_objective_is_a_setting(clouds, tmp_path):
    settings = {"steps": 2, "batch": 16, "device": "cpu", "progress": False}
    run = wgankit.recipe("clouds").fit(
        "square", out=tmp_path / "run", objective="relativistic", **settings
    )
    assert isinstance(run.training(device="cpu").objective, wgankit.Relativistic)
    assert isinstance(
        wgankit.recipe("clouds")
        .fit("square", out=tmp_path / "other", **settings)
        .training(device="cpu")
        .objective,
        wgankit.Wasserstein,
    )


def test_tracing_is_told_with_its_time(clouds, tmp_path, capsys):
    wgankit.recipe("clouds").fit(
        "square", out=tmp_path / "run", device="cpu", steps=2, batch=16, compile="trace"
    )
    told = capsys.readouterr()
    assert re.search(r"traced in 0:\d\d", told.out + told.err)


def test_a_domain_is_told_options_and_its_run_remembers_them(clouds, tmp_path):
    settings = {"out": tmp_path / "run", "device": "cpu", "progress": False, "steps": 2}
    made = wgankit.recipe("scaled", unit=4.0).fit("square", **settings)
    assert float(made.points().abs().max()) < 1  # the square reaches to 4 in its own unit
    again = wgankit.load(tmp_path / "run")
    assert again.config["vocabulary"]["unit"] == 4
    assert again.sample(3, seed=1) == made.sample(3, seed=1)
    with pytest.raises(SettingError, match=r"no option colour; it has unit; settings.*fit"):
        wgankit.recipe("scaled", colour="red")
    with pytest.raises(SettingError, match="no option unit; it has none"):
        wgankit.recipe("clouds", unit=2.0)
    with pytest.raises(SettingError, match="cannot be given together"):
        wgankit.recipe("scaled", conditions=["x"], unit=2.0)
