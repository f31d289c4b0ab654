"""The command: every option explained, errors in one line, exit codes, nothing heavy too early."""

import json
import os
import re
import signal
import subprocess
import sys
import time

import pytest
import typer
from typer.testing import CliRunner

import wgankit
from wgankit import DataError, SettingError, cli, plugins
from wgankit.testing import fake_plugin

runner = CliRunner()


def call(*words):
    return runner.invoke(cli.app, [str(word) for word in words])


def commands(app=cli.app, path=()):
    group = typer.main.get_command(app)

    def walk(command, path):
        yield path, command
        for name, child in getattr(command, "commands", {}).items():
            yield from walk(child, (*path, name))

    return list(walk(group, path))


def test_every_command_and_option_has_a_help_text():
    names = {path for path, _ in commands()}
    assert names >= {
        ("train",),
        ("resume",),
        ("sample",),
        ("evaluate",),
        ("plugins",),
        ("data", "get"),
        ("data", "list"),
    }
    for path, command in commands():
        assert command.help, path
        for option in command.params:
            assert getattr(option, "help", None), (path, option.name)


def test_train_resume_sample_evaluate(clouds, tmp_path):
    run = tmp_path / "run"
    done = call(
        "train", "clouds", "--data", "square", "--out", run, "--steps", 6, "--device", "cpu",
        "--set", "penalty.weight=5", "--set", "evaluate_on=20",
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    assert (run / "samples.svg").is_file()
    config = json.loads((run / "config.json").read_text())
    assert config["settings"]["penalty"]["weight"] == 5
    assert "mean_x" in done.output
    assert "report" in done.output

    assert call("resume", run, "--steps", 8, "--device", "cpu").exit_code == 0
    assert wgankit.load(run).folder.history()[-1]["step"] == 8

    drawn = call("sample", run, "-n", 3, "--seed", 1)
    assert drawn.exit_code == 0
    assert len(drawn.stdout.strip().split("\n")) == 3
    assert call("sample", run, "-n", 5, "--seed", 1, "--out", tmp_path / "s.txt").exit_code == 0
    assert len((tmp_path / "s.txt").read_text().strip().split("\n")) == 5

    judged = call("evaluate", run, tmp_path / "s.txt", "--json")
    points = wgankit.load(run).domain.read(tmp_path / "s.txt").objects
    mean = sum(x for x, _ in points) / 5
    assert json.loads(judged.stdout)["mean_x"] == pytest.approx(mean)


def test_train_tells_a_domain_its_options(clouds, tmp_path):
    words = ["train", "scaled", "--data", "square", "--out", tmp_path / "run", "--steps", 2]
    done = call(*words, "--device", "cpu", "--option", "unit=4")
    assert done.exit_code == 0, done.output
    assert wgankit.load(tmp_path / "run").config["vocabulary"]["unit"] == 4


@pytest.fixture
def protocol(tmp_path, monkeypatch):
    """A plugin with a protocol that counts lines and says what it was told."""
    code = (
        "import wgankit\nWGANKIT_API = 1\n"
        "@wgankit.hookimpl\ndef wgankit_benchmarks():\n"
        "    it = {'name': 'count', 'factory': 'counting.judge:judge', 'summary': ''}\n"
        "    yield wgankit.BenchmarkSpec(**it)\n"
    )
    judge = (
        "def judge(samples, *, data, say):\n"
        "    say(f'data: {data}')\n"
        "    lines = len(samples.read_text().split())\n"
        "    return {'zeal': float(lines), 'zeal_floor': 9.0, 'awe': 0.5}\n"
    )
    site = tmp_path / "site"
    site.mkdir()
    monkeypatch.syspath_prepend(site)
    found = fake_plugin(
        site, distribution="counting", code=code, files={"counting/judge.py": judge}
    )
    monkeypatch.setattr(plugins, "registry", lambda: plugins.Registry(entry_points=found))
    (tmp_path / "samples.smi").write_text("C\nCC\nCCC\n")
    yield tmp_path
    for name in ("counting", "counting.judge"):
        sys.modules.pop(name, None)


def test_a_file_is_judged_by_a_published_protocol(protocol):
    words = ["evaluate", protocol / "samples.smi", "--against", "count"]
    done = call(*words, "--json", "--data", protocol / "cache")
    assert done.exit_code == 0, done.output
    assert list(json.loads(done.stdout).items()) == [("zeal", 3), ("zeal_floor", 9), ("awe", 0.5)]
    assert done.stderr.strip() == f"data: {protocol / 'cache'}"
    plain = call(*words)
    assert plain.stdout.split() == ["zeal", "3", "(floor", "9)", "awe", "0.5"]
    assert plain.stderr.strip() == "data: None"


@pytest.mark.parametrize(
    ("words", "error", "said"),
    [
        (["samples.smi", "--against", "cuont"], plugins.UnknownNameError,
         "no benchmark is called 'cuont' .did you mean 'count'.*known: count"),
        (["gone.smi", "--against", "count"], DataError,
         r"no file of samples .*gone.smi.*wgankit sample RUN -n 30000 --out .*gone.smi"),
        (["site", "--against", "count"], DataError,
         r"site is a folder.*wgankit sample .*site -n 30000 --out samples.smi"),
        (["samples.smi", "other.smi", "--against", "count"], SettingError,
         r"one file, and two were given.*wgankit evaluate other.smi --against count"),
        (["samples.smi", "--against", "count", "-n", 5], SettingError, "-n and --seed draw"),
        (["samples.smi", "--against", "count", "--seed", 5], SettingError, "-n and --seed draw"),
        (["samples.smi", "--data", "here"], SettingError, "--against NAME --data here"),
    ],
)  # fmt: skip
def test_what_a_protocol_cannot_judge_is_said(protocol, words, error, said):
    done = call("evaluate", protocol / words[0], *words[1:])
    assert isinstance(done.exception, error)
    assert re.search(said, str(done.exception))


def test_go_on_resumes_what_is_there(clouds, tmp_path):
    words = ["train", "clouds", "--data", "square", "--out", tmp_path / "run", "--device", "cpu"]
    words += ["--steps", 4, "--set", "evaluate_on=20", "--go-on"]
    assert call(*words).exit_code == 0
    before = (tmp_path / "run" / "data.pt").stat().st_mtime_ns
    assert call(*words).exit_code == 0
    assert (tmp_path / "run" / "data.pt").stat().st_mtime_ns == before


def test_plugins_and_data_are_listed(clouds):
    rows = json.loads(call("plugins", "--json").stdout)
    assert [(row["distribution"], row["status"]) for row in rows] == [("cloud-plugin", "loaded")]
    assert "clouds" in call("plugins").stdout
    sets = json.loads(call("data", "list", "--json").stdout)
    assert [row["name"] for row in sets] == ["square"]
    assert "a square" in call("data", "list").stdout
    assert "needs no fetching" in call("data", "get", "square").stdout


def test_version_is_that_of_the_package():
    from importlib.metadata import version

    assert call("--version").stdout.strip() == f"wgankit {version('wgankit')}"


def run_main(*words, **environment):
    return subprocess.run(
        [sys.executable, "-m", "wgankit", *map(str, words)],
        capture_output=True,
        text=True,
        env={**os.environ, **environment},
        check=False,
    )


def test_errors_are_one_line_without_a_traceback(tmp_path):
    done = run_main("sample", tmp_path)
    assert done.returncode == 1
    assert done.stderr.startswith("wgankit: ")
    assert len(done.stderr.strip().split("\n")) == 1
    assert "Traceback" in run_main("--debug", "sample", tmp_path).stderr


def test_wrong_usage_is_two():
    assert run_main("train").returncode == 2
    assert run_main("sample", "somewhere", "-n", 0).returncode == 2


def test_help_and_plugins_import_nothing_heavy():
    """torch takes seconds; --help and plugins must not."""
    for words in (["--help"], ["plugins"], ["plugins", "--json"], ["data", "list"]):
        code = (
            f"import sys; sys.argv = ['wgankit', *{words!r}]\n"
            "from wgankit.cli import main\n"
            "try: main()\n"
            "except SystemExit: pass\n"
            "heavy = {'torch', 'rdkit', 'networkx', 'matplotlib'} & sys.modules.keys()\n"
            "print('HEAVY', sorted(heavy))"
        )
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True
        )
        assert "HEAVY []" in done.stdout, (words, done.stdout[-300:])


@pytest.mark.parametrize(
    ("pairs", "settings"),
    [
        (["ema=0.9"], {"ema": 0.9}),
        (["schedule=constant"], {"schedule": "constant"}),
        (["penalty.weight=5", "penalty.shape=two-sided"],
         {"penalty": {"weight": 5, "shape": "two-sided"}}),
        (['best=["valid", "highest"]'], {"best": ["valid", "highest"]}),
    ],
)  # fmt: skip
def test_settings_are_json_or_words(pairs, settings):
    assert cli.parse_settings(pairs) == settings


def test_a_setting_without_value_is_refused():
    with pytest.raises(SettingError, match="NAME=VALUE"):
        cli.parse_settings(["ema"])


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_command_with_its_exit_code(tmp_path, number):
    """Ctrl-C and SIGTERM: the state is saved, the way to go on is said, the code is 128 + n."""
    run = tmp_path / "run"
    command = [
        sys.executable, "-m", "wgankit", "train", "graphs", "--data", "community", "--out", run,
        "--device", "cpu", "--steps", "100000", "--set", "evaluate_on=8", "--set", "read_every=1",
            "--set",
            "compile=false",
    ]  # fmt: skip
    process = subprocess.Popen([*map(str, command)], stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 120
    metrics = run / "metrics.jsonl"
    while time.monotonic() < deadline and not (
        metrics.is_file() and metrics.read_text().count("\n") > 2
    ):
        time.sleep(0.1)
    process.send_signal(number)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 128 + number, said
    assert f"wgankit resume {run}" in said.replace("\n", " ").replace("  ", " ")
    assert (run / "last.pt").is_file()


def test_two_processes_train_one_run_and_go_on_with_it(tmp_path):
    """One folder, one history, and a state that only two processes can go on with."""
    run = tmp_path / "run"

    def wgankit(*arguments):
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        command = [sys.executable, "-m", "wgankit", *map(str, arguments), "--device", "cpu"]
        return subprocess.run(
            command, env=environment, capture_output=True, text=True, timeout=200, check=False
        )

    small = ("--set", "evaluate_on=4", "--set", "read_every=1", "--batch", "4")
    train = ("train", "graphs", "--data", "community", "--out", run, "--devices", 2, *small)
    done = wgankit(*train, "--steps", 2)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("report:") == 1
    readings = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert [row["step"] for row in readings] == [0, 1, 2]
    refused = wgankit("resume", run, "--steps", 3)
    assert refused.returncode == 1
    assert "devices=2" in refused.stderr
    done = wgankit("resume", run, "--steps", 3, "--devices", 2)
    assert done.returncode == 0, done.stderr
    readings = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert [row["step"] for row in readings] == [0, 1, 2, 3]
