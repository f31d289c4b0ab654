"""The command `wgankit`: a thin layer on the Python API.

Nothing heavy is imported before a command needs it, so `--help` and `plugins` are quick.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from wgankit.errors import DataError, SettingError, WgankitError

app = typer.Typer(
    name="wgankit",
    help="Wasserstein generators on anything that has a metric.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
data_app = typer.Typer(help="Data sets: what there is, and fetching what is not bundled.")
app.add_typer(data_app, name="data", no_args_is_help=True)

FAILURE = 1


def _version(asked: bool) -> None:
    if asked:
        from wgankit import __version__

        typer.echo(f"wgankit {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
    version: Annotated[
        bool,
        typer.Option("--version", callback=_version, is_eager=True, help="Show the version."),
    ] = False,
) -> None:
    os.environ["WGANKIT_DEBUG"] = "1" if debug else os.environ.get("WGANKIT_DEBUG", "")


@app.command()
def train(
    recipe: Annotated[str, typer.Argument(help="Name of a recipe, such as molecules or graphs.")],
    data: Annotated[
        str, typer.Option(help="A file, a folder, or the name of a data set (wgankit data list).")
    ],
    out: Annotated[
        Path | None, typer.Option(help="Run folder to make; runs/RECIPE-1, ... by default.")
    ] = None,
    steps: Annotated[int | None, typer.Option(min=1, help="Generator updates in all.")] = None,
    batch: Annotated[int | None, typer.Option(min=1, help="Objects in a batch.")] = None,
    rate: Annotated[float | None, typer.Option(help="Learning rate.")] = None,
    n_critic: Annotated[
        int | None, typer.Option(min=1, help="Critic updates for each generator update.")
    ] = None,
    largest: Annotated[
        int | None, typer.Option(min=1, help="Leave out objects larger than this (atoms, nodes).")
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of networks, batches and samples.")] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, ...")] = "auto",
    devices: Annotated[
        int, typer.Option(min=1, help="How many devices; a process and a batch for each.")
    ] = 1,
    setting: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="NAME=VALUE",
            help="Any other setting, such as --set ema=0.99 or --set penalty.weight=5; repeatable.",
        ),
    ] = None,
    condition: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="A label or property to generate by, such as --condition qed; repeatable. "
            "NAME:class, NAME:number or NAME:vector says of which kind it is.",
        ),
    ] = None,
    option: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=VALUE",
            help="What the recipe is told about the objects, such as "
            """--option node_numbers='["x", "y"]' for graphs; repeatable.""",
        ),
    ] = None,
    go_on: Annotated[
        bool, typer.Option("--go-on", help="If the run folder holds a run, go on with it.")
    ] = False,
) -> None:
    """Train a generator: progress bar, checkpoints and a report page in the run folder."""
    import wgankit

    if go_on and out is not None and (out / "config.json").is_file():
        with _signals():
            _finish(wgankit.load(out).fit(device=device, devices=devices))
        return
    named = {
        "steps": steps,
        "batch": batch,
        "rate": rate,
        "n_critic": n_critic,
        "largest": largest,
        "seed": seed,
    }
    settings: dict[str, Any] = {name: v for name, v in named.items() if v is not None}
    settings |= parse_settings(setting or [])
    with _signals():
        made = wgankit.recipe(recipe, conditions=condition or (), **parse_settings(option or []))
        _finish(made.fit(data, out=out, device=device, devices=devices, **settings))


@app.command()
def resume(
    run: Annotated[Path, typer.Argument(help="A run folder.")],
    steps: Annotated[
        int | None, typer.Option(min=1, help="Train to this step instead of the one set before.")
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, ...")] = "auto",
    devices: Annotated[
        int, typer.Option(min=1, help="How many devices; as many as the run was saved by.")
    ] = 1,
) -> None:
    """Go on with a run that was stopped or killed, as if it never had been."""
    import wgankit

    more: dict[str, Any] = {} if steps is None else {"steps": steps}
    with _signals():
        _finish(wgankit.load(run).fit(device=device, devices=devices, **more))


@app.command()
def sample(
    run: Annotated[Path, typer.Argument(help="A run folder, or a model's name.")],
    count: Annotated[int, typer.Option("-n", "--count", min=1, help="How many objects.")] = 100,
    out: Annotated[
        Path | None, typer.Option(help="File to write; text goes to the screen without it.")
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Draw the same objects again.")] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, ...")] = "auto",
    batch: Annotated[
        int, typer.Option(min=1, help="Objects drawn at a time; another one draws others.")
    ] = 500,
    workers: Annotated[
        str, typer.Option(help="auto, or how many processes decode while the network goes on.")
    ] = "auto",
    compiled: Annotated[
        bool, typer.Option("--compile", help="Compile the generator; pays for millions.")
    ] = False,
    given: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=VALUE",
            help="What a condition of the run shall be, such as --given qed=0.6; repeatable.",
        ),
    ] = None,
) -> None:
    """Draw new objects from a trained generator, one network pass each, and write them as made."""
    import wgankit

    recipe = wgankit.load(run)
    objects = recipe.stream(
        count,
        seed=seed,
        device=device,
        batch=batch,
        workers=_workers(workers),
        compile=compiled,
        given=parse_settings(given or []),
    )
    with _signals(), _stoppable(), closing(objects):
        if out is not None:
            _write(recipe.domain, objects, out, count)
            return
        for each in objects:
            typer.echo(str(each))


def _workers(text: str) -> int | str:
    if text != "auto" and not text.isdecimal():
        raise SettingError(f"--workers is auto or a number of processes; got {text!r}")
    return text if text == "auto" else int(text)


def _write(domain: Any, objects: Iterator[Any], out: Path, count: int) -> None:
    """Write objects as they come, with a bar on a terminal, and say what is in the file."""
    from wgankit.writing import written

    begun, done = time.monotonic(), 0
    try:
        with _bar(domain.objects, count) as tell, closing(written(objects, out, domain)) as counts:
            for done in counts:
                tell(done)
    finally:
        if done:
            rate = done / (time.monotonic() - begun)
            of = "" if done == count else f"of {count:,} "
            typer.echo(f"{done:,} {of}{domain.objects} in {out}, {rate:,.0f} a second", err=True)


@contextmanager
def _bar(noun: str, count: int) -> Iterator[Callable[[int], None]]:
    """Show a bar with the rate; yield what moves it."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    done = TextColumn("{task.completed:,.0f}/{task.total:,.0f}")
    rate = TextColumn("{task.fields[rate]}")
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), done, rate, TimeRemainingColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal) as bar:
        task, begun = bar.add_task(noun, total=count, rate=""), time.monotonic()

        def tell(done: int) -> None:
            rate = done / (time.monotonic() - begun)
            bar.update(task, completed=done, rate=f"{rate:,.0f}/s")

        yield tell


@contextmanager
def _stoppable() -> Iterator[None]:
    """Make SIGTERM stop like Ctrl-C, so that what is there is written; workers end either way."""
    from wgankit.session import Stopped

    def stop(number: int, frame: Any) -> None:
        raise Stopped(number)

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@app.command()
def evaluate(
    judged: Annotated[
        Path,
        typer.Argument(metavar="RUN", help="A run folder; with --against a file of samples."),
    ],
    samples: Annotated[
        Path | None, typer.Argument(help="A file of objects to judge; drawn from the run without.")
    ] = None,
    count: Annotated[
        int | None, typer.Option("-n", "--count", min=1, help="How many to draw; 1000 if not said.")
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of the drawing; 1 if not said.")] = None,
    against: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Judge a file by a published protocol, such as moses."),
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(help="With --against: folder of the protocol's data, if it lies elsewhere."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Judge samples against a run's training and held-out data, or by a published protocol."""
    from wgankit.recipes import Metrics, load

    if against is not None:
        _refuse_drawing(against, judged, samples, count, seed)
        metrics = Metrics(_by_protocol(against, judged, data))
    elif data is not None:
        raise SettingError(
            "--data is the data of a protocol, and none is named; "
            f"type: wgankit evaluate SAMPLES --against NAME --data {data}"
        )
    else:
        recipe = load(judged)
        drawn = count or 1_000
        given: Any = drawn if samples is None else recipe.domain.read(samples).objects
        metrics = recipe.evaluate(given, seed=1 if seed is None else seed)
    typer.echo(json.dumps(metrics, indent=1) if as_json else str(metrics))


def _refuse_drawing(
    against: str, judged: Path, samples: Path | None, count: int | None, seed: int | None
) -> None:
    """A protocol judges one file; what draws from a run would do nothing there."""
    if samples is not None:
        raise SettingError(
            f"--against judges one file, and two were given, {judged} and {samples}; "
            f"type: wgankit evaluate {samples} --against {against}"
        )
    if count is not None or seed is not None:
        raise SettingError(
            f"--against judges all of {judged}, and -n and --seed draw from a run; "
            f"type: wgankit evaluate {judged} --against {against}"
        )


def _by_protocol(name: str, samples: Path, data: Path | None) -> Any:
    """Return the figures of a file of samples by the protocol of that name."""
    from wgankit.plugins import registry

    judge = registry().benchmarks.load(name)
    if samples.is_dir():
        raise DataError(
            f"{samples} is a folder, and --against judges a file of samples; type first: "
            f"wgankit sample {samples} -n 30000 --out samples.smi"
        )
    if not samples.is_file():
        raise DataError(
            f"there is no file of samples {samples} (looked in {Path.cwd()}); check the name, or "
            f"type first: wgankit sample RUN -n 30000 --out {samples}"
        )
    return judge(samples, data=data, say=lambda line: typer.echo(line, err=True))


@app.command()
def plugins(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show installed plugins, what they add, and why one did not load."""
    from wgankit.plugins import registry

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        rows = registry().summary()
    if as_json:
        typer.echo(json.dumps(rows, indent=1))
        return
    from rich.console import Console
    from rich.table import Table

    table = Table("plugin", "distribution", "version", "status", "adds")
    for row in rows:
        adds = row["cause"] or describe(row["adds"])
        table.add_row(row["name"], row["distribution"], row["version"], row["status"], adds)
    Console().print(table if rows else "no plugins are installed: pip install wgankit-molecules")


def describe(adds: dict[str, list[str]]) -> str:
    """Return what a plugin adds, in one line for each kind."""
    return "\n".join(f"{kind}: {', '.join(names)}" for kind, names in adds.items() if names)


@data_app.command("list")
def data_list(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show the data sets that installed plugins bring."""
    from wgankit.plugins import registry

    datasets = registry().datasets
    rows: list[dict[str, Any]] = [
        {
            "name": name,
            "recipe": datasets[name].recipe,
            "size": datasets[name].size,
            "licence": datasets[name].licence,
            "bundled": not datasets[name].fetch,
            "summary": datasets[name].summary,
        }
        for name in sorted(datasets)
    ]
    if as_json:
        typer.echo(json.dumps(rows, indent=1))
        return
    from rich.console import Console
    from rich.table import Table

    table = Table("data set", "recipe", "objects", "summary", "licence")
    for row in rows:
        size = f"{row['size']:,}"
        table.add_row(row["name"], row["recipe"], size, row["summary"], row["licence"])
    Console().print(table)


@data_app.command("get")
def data_get(
    name: Annotated[str, typer.Argument(help="Name of a data set (wgankit data list).")],
    cache: Annotated[
        Path | None, typer.Option(help="Folder to keep it in; WGANKIT_CACHE or ~/.cache/wgankit.")
    ] = None,
) -> None:
    """Fetch a data set that is not bundled, check it, and say where it lies."""
    from dataclasses import replace

    from wgankit.plugins import import_factory, registry

    datasets = registry().datasets
    spec = datasets[name]
    if not spec.fetch:
        typer.echo(f"{spec.name} needs no fetching: wgankit train {spec.recipe} --data {spec.name}")
        return
    fetcher = replace(spec, factory=spec.fetch)
    fetch = import_factory(fetcher, datasets.full_name(name), datasets.provider(name))
    where = fetch(cache=cache, say=lambda line: typer.echo(line, err=True))
    typer.echo(f"{spec.name} is in {where}")


def parse_settings(pairs: list[str]) -> dict[str, Any]:
    """Return settings from NAME=VALUE pairs; values are JSON, or plain words; dots nest.

    Raises:
        SettingError: if a pair has no "=".
    """
    settings: dict[str, Any] = {}
    for pair in pairs:
        name, equals, text = pair.partition("=")
        if not equals or not name:
            raise SettingError(f"a setting is NAME=VALUE, such as --set ema=0.99; got {pair!r}")
        try:
            value = json.loads(text)
        except ValueError:
            value = text
        *outer, last = name.split(".")
        place = settings
        for part in outer:
            place = place.setdefault(part, {})
        place[last] = value
    return settings


@contextmanager
def _signals() -> Iterator[None]:
    """End with 128 + n after signal n; a run has saved its state and said how to go on."""
    try:
        yield
    except KeyboardInterrupt as stop:
        raise typer.Exit(128 + getattr(stop, "signal_number", 2)) from stop


def _finish(recipe: Any) -> None:
    """Judge fresh samples of a trained recipe, and say where everything lies."""
    from wgankit.processes import is_first

    if not is_first():
        return
    folder, count = recipe.folder, recipe.config["settings"]["evaluate_on"]
    metrics = recipe.evaluate(count, seed=2)
    samples = recipe.sample(24, seed=2)
    typer.echo(f"\n{count:,} fresh samples of the best generator in {folder.path}:")
    typer.echo(str(metrics))
    picture = recipe.domain.picture(samples)
    if picture:
        path = folder.path / "samples.svg"
        path.write_text(picture)
        typer.echo(f"picture: {path}")
    typer.echo(f"report:  {folder.report}")
    typer.echo(f"more:    wgankit sample {folder.path} -n 1000")


def main() -> None:
    """Run the command; errors are one line and exit code 1, wrong usage 2, a signal 128 + n."""
    try:
        app()
    except WgankitError as error:
        _fail(str(error))
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(FAILURE)


def _fail(message: str) -> None:
    if os.environ.get("WGANKIT_DEBUG"):
        import traceback

        traceback.print_exc()
    typer.echo(f"wgankit: {message}", err=True)
    sys.exit(FAILURE)
