"""The page of a run: one HTML file with curves, samples, metrics and settings, and nothing else.

No script, no font and no picture comes from elsewhere, so the page can be sent by mail and read
offline; it follows the reader's light or dark scheme and prints on white.
"""

from __future__ import annotations

import base64
import io
import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from html import escape
from numbers import Real
from pathlib import Path
from typing import Any, TypeGuard, final

from wgankit import state as states
from wgankit.progress import clock

Row = Mapping[str, Any]

INK, GRID = "#010203", "#010204"
"""Colours that stand for those of the page's scheme until the picture is put into the page."""


# What is drawn --------------------------------------------------------------------------------


@final
@dataclass(frozen=True)
class Curve:
    """One line of a chart.

    Arguments:
        key: the key of the figure in the rows of the history.
        label: what to call it.
        colour: number of a colour of the page, 1 to 6.
        dash: matplotlib's line style.
        width: width of the line in points.
        marker: whether every point gets a dot.
    """

    key: str
    label: str
    colour: int
    dash: str = "-"
    width: float = 1.4
    marker: bool = False


DISTANCE = (
    Curve("gap", "gap D", 2, width=1.0),
    Curve("w1", "W1 estimate", 1, width=2.2),
    Curve("lower", "lower bound", 3, dash="--"),
    Curve("certified", "certified lower bound of exact W1", 6, dash="--", marker=True),
    Curve("exact_w1", "exact W1 to held-out data", 4, width=1.6, marker=True),
    Curve("exact_w1_floor", "its floor: real to real", 5, dash=":", width=1.6),
)
STEEPEST = (Curve("steepest", "steepest slope", 1),)
SHARE = (Curve("share_above_one", "share of slopes above 1", 2),)
PENALTY = (Curve("penalty", "penalty R", 3),)
RESIDUAL = (Curve("residual", "residual", 4),)


def series(history: Sequence[Row], key: str) -> list[tuple[float, float]]:
    """Return the (step, value) pairs of a figure, where a row has it and it is a finite number."""
    pairs = ((row.get("step"), row.get(key)) for row in history)
    return [(float(step), float(value)) for step, value in pairs if _real(step) and _real(value)]


def _real(value: object) -> TypeGuard[float]:
    return isinstance(value, Real) and math.isfinite(value)


def flattened(history: Sequence[Row]) -> list[Row]:
    """Return the rows with the nested metrics beside the step, each under `metrics.<name>`."""
    return [
        {**row, **{f"metrics.{name}": value for name, value in _metrics(row).items()}}
        for row in history
    ]


def _metrics(row: Row) -> Mapping[str, Any]:
    given = row.get("metrics")
    return given if isinstance(given, Mapping) else {}


def metric_names(history: Sequence[Row]) -> list[str]:
    """Return the names of the metrics in the history, in order of appearance, floors left out."""
    names = dict.fromkeys(name for row in history for name in _metrics(row))
    return [name for name in names if not _is_floor(name, names)]


def _is_floor(name: str, names: Iterable[str]) -> bool:
    return name.endswith("_floor") and name.removesuffix("_floor") in set(names)


# Charts ---------------------------------------------------------------------------------------


def chart(
    name: str,
    history: Sequence[Row],
    curves: Sequence[Curve],
    *,
    size: tuple[float, float] = (3.4, 1.9),
    line_at: float | None = None,
    from_zero: bool = False,
) -> str:
    """Return curves against the step as inline SVG; empty if there is nothing to draw.

    Arguments:
        name: unique on the page; the n-th curve is the group `curve-<name>-<n>`, from 0.
        history: rows with the step and the figures, `metrics.<name>` for those of the domain.
        curves: which of the figures to draw.
        size: width and height in inches.
        line_at: height of a thin horizontal line.
        from_zero: whether the vertical axis begins at 0.
    """
    drawn = [(curve, series(history, curve.key)) for curve in curves]
    drawn = [(curve, points) for curve, points in drawn if points]
    if not drawn:
        return ""
    # Imported here, and without pyplot, so that nobody's figures or backend are touched.
    from matplotlib import rc_context
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    settings = {"svg.fonttype": "none", "svg.hashsalt": name, "path.simplify": False}
    with rc_context({**settings, "font.size": 8, "font.family": "sans-serif"}):
        figure = Figure(figsize=size, layout="constrained")
        FigureCanvasSVG(figure)
        axes = figure.add_subplot()
        _style(axes, figure)
        if line_at is not None:
            axes.axhline(line_at, color=INK, linewidth=0.8, alpha=0.55, gid=f"line-{name}")
        for place, (curve, points) in enumerate(drawn):
            _draw(axes, f"curve-{name}-{place}", curve, points)
        if from_zero:
            axes.set_ylim(bottom=min(0.0, axes.get_ylim()[0]))
        buffer = io.StringIO()
        nothing = dict.fromkeys(("Creator", "Date", "Format", "Type"))
        figure.savefig(buffer, format="svg", transparent=True, metadata=nothing)
    return _inline(buffer.getvalue(), ", ".join(curve.label for curve, _ in drawn))


def _style(axes: Any, figure: Any) -> None:
    from matplotlib.ticker import EngFormatter, MaxNLocator

    figure.get_layout_engine().set(w_pad=0.02, h_pad=0.02)
    for side, spine in axes.spines.items():
        spine.set_visible(side == "bottom")
        spine.set_color(GRID)
    axes.grid(axis="y", color=GRID, linewidth=0.7)
    axes.set_axisbelow(True)
    axes.tick_params(length=0, labelcolor=INK, pad=5)
    axes.margins(x=0.02)
    axes.xaxis.set_major_formatter(EngFormatter(sep=""))
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    axes.yaxis.set_major_locator(MaxNLocator(5))


def _draw(axes: Any, gid: str, curve: Curve, points: Sequence[tuple[float, float]]) -> None:
    steps, values = zip(*points, strict=True)
    dots = curve.marker or len(points) == 1
    axes.plot(
        steps,
        values,
        color=_sentinel(curve.colour),
        linestyle=curve.dash,
        linewidth=curve.width,
        marker="o" if dots else None,
        markersize=3.5,
        solid_joinstyle="round",
        gid=gid,
    )


def _sentinel(colour: int) -> str:
    return f"#0102{16 + colour:02x}"


_SCHEME = {INK: "--ink", GRID: "--line"} | {
    _sentinel(number): f"--c{number}" for number in range(1, 7)
}


_OWN = ("curve-", "line-")


def _inline(svg: str, label: str) -> str:
    """Return an SVG document as an element of the page, in the colours of the page."""
    body = svg[svg.index("<svg") :]
    body = re.sub(r'\sxmlns(:\w+)?="[^"]*"', "", body).replace("xlink:href", "href")
    body = re.sub(r"<metadata>.*?</metadata>", "", body, flags=re.S)
    for size in ("width", "height"):
        body = re.sub(rf'(<svg[^>]*?) {size}="[^"]*"', r"\1", body, count=1)
    # All charts share a page, so only names that are used stay; those are salted with the chart's.
    used = set(re.findall(r"#([\w.-]+)", body))
    body = re.sub(
        r' id="([^"]*)"',
        lambda found: found[0] if found[1] in used or found[1].startswith(_OWN) else "",
        body,
    )
    for sentinel, variable in _SCHEME.items():
        body = body.replace(sentinel, f"var({variable})")
    return body.replace("<svg", f'<svg role="img" aria-label="{escape(label)}"', 1)


# Parts of the page ----------------------------------------------------------------------------


def number(value: object) -> str:
    """Return a figure as people read it: four digits, thousands separated."""
    if isinstance(value, bool) or not _real(value):
        return escape(str(value))
    written_out = abs(value) < 1e15 and (value == int(value) or abs(value) >= 1000)
    return f"{value:,.0f}" if written_out else f"{float(value):.4g}"


def _words(name: str) -> str:
    return escape(name.replace("_", " "))


def _last(history: Sequence[Row], key: str) -> float | None:
    points = series(history, key)
    return points[-1][1] if points else None


def _legend(history: Sequence[Row], curves: Sequence[Curve]) -> str:
    keys = []
    for curve in curves:
        value = _last(history, curve.key)
        if value is not None:
            style = {"-": "solid", "--": "dashed", ":": "dotted"}[curve.dash]
            keys.append(
                f'<li><i style="border-top:{max(2, round(curve.width + 0.6))}px {style} '
                f'var(--c{curve.colour})"></i>{escape(curve.label)} <b>{number(value)}</b></li>'
            )
    return f'<ul class="legend">{"".join(keys)}</ul>'


def _figure(title: str, drawing: str, legend: str = "", caption: str = "") -> str:
    if not drawing:
        return ""
    said = f"<p>{caption}</p>" if caption else ""
    return (
        f'<figure class="card"><figcaption><h3>{title}</h3>{said}{legend}</figcaption>'
        f"{drawing}</figure>"
    )


def _critic_section(history: Sequence[Row]) -> str:
    wide = _figure(
        "Distance between generated and real",
        chart("distance", history, DISTANCE, size=(9.6, 3.3), from_zero=True),
        _legend(history, DISTANCE),
        "What the critic says, in units of the space's distance: the gap is too large by what its "
        "steep slopes add, the lower bound too small; exact W1 falls no further than its floor.",
    )
    steepest = chart("steepest", history, STEEPEST, line_at=1.0)
    small = [
        _figure("Steepest slope", steepest, _legend(history, STEEPEST), "The line is at 1."),
        _figure(
            "Slopes above 1",
            chart("share", history, SHARE, from_zero=True),
            _legend(history, SHARE),
            "Share of the slopes looked at.",
        ),
        _figure(
            "Penalty",
            chart("penalty", history, PENALTY, from_zero=True),
            _legend(history, PENALTY),
            "Mean over the slopes, without its weight.",
        ),
        _figure(
            "Residual",
            chart("residual", history, RESIDUAL, line_at=0.0),
            _legend(history, RESIDUAL),
            "Believe the estimate while this is within 0.2 of 0.",
        ),
    ]
    if not wide and not any(small):
        return _section("Training", '<p class="card none">No reading yet.</p>')
    return _section("Training", wide + f'<div class="grid">{"".join(small)}</div>')


def _metrics_section(history: Sequence[Row]) -> str:
    figures = []
    for place, name in enumerate(metric_names(history)):
        curves = [Curve(f"metrics.{name}", "generated", 1, marker=True)]
        floor = f"metrics.{name}_floor"
        curves.append(Curve(floor, "floor", 5, dash=":", width=1.6))
        drawing = chart(f"metric{place}", history, curves)
        figures.append(_figure(_words(name), drawing, _legend(history, curves)))
    if not any(figures):
        return ""
    return _section("Metrics over time", f'<div class="grid">{"".join(figures)}</div>')


def _section(title: str, body: str) -> str:
    return f"<section><h2>{title}</h2>{body}</section>" if body else ""


def _tiles(history: Sequence[Row]) -> str:
    shown = (
        ("W1 estimate", "w1", ""),
        ("gap D", "gap", ""),
        ("lower bound", "lower", ""),
        ("exact W1", "exact_w1", "exact_w1_floor"),
        ("certified", "certified", ""),
        ("steepest slope", "steepest", ""),
    )
    tiles = []
    for label, key, floor in shown:
        value, least = _last(history, key), _last(history, floor)
        if value is not None:
            beside = f"<small>floor {number(least)}</small>" if least is not None else ""
            tiles.append(f"<div><dt>{label}{beside}</dt><dd>{number(value)}</dd></div>")
    seconds = _last(history, "seconds")
    if seconds:
        tiles.append(f"<div><dt>time</dt><dd>{clock(seconds)}</dd></div>")
    return f'<dl class="tiles">{"".join(tiles)}</dl>' if tiles else ""


def _results(metrics: Mapping[str, Any]) -> str:
    rows = []
    for name, value in metrics.items():
        if not _is_floor(name, metrics):
            floor = metrics.get(f"{name}_floor")
            beside = "" if floor is None else number(floor)
            rows.append(
                f"<tr><th>{_words(name)}</th><td>{number(value)}</td><td>{beside}</td></tr>"
            )
    if not rows:
        return ""
    floors = len(rows) < len(metrics)
    head = f"<tr><th>metric</th><td>value</td><td>{'floor' if floors else ''}</td></tr>"
    said = "<p>A floor is what real objects score against other real objects.</p>" if floors else ""
    table = f"<table><thead>{head}</thead><tbody>{''.join(rows)}</tbody></table>"
    return _section("Results", f'<div class="card">{table}{said}</div>')


def _samples(picture: str | None) -> str:
    if not picture:
        return ""
    # As an image, nothing in the drawing can run, load or clash with the rest of the page.
    encoded = base64.b64encode(picture.encode()).decode()
    image = f'<img alt="generated samples" src="data:image/svg+xml;base64,{encoded}">'
    return _section("Samples", f'<div class="card picture">{image}</div>')


def _leaves(settings: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in settings.items():
        if isinstance(value, Mapping) and value:
            yield from _leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _settings(settings: Mapping[str, Any]) -> str:
    rows = [
        f"<tr><th>{escape(name)}</th><td>{_setting(value)}</td></tr>"
        for name, value in _leaves(settings)
    ]
    if not rows:
        return ""
    return _section("Settings", f'<div class="card columns"><table>{"".join(rows)}</table></div>')


def _setting(value: object) -> str:
    if isinstance(value, float) and 0 < abs(value) < 1e-3:
        return f"{value:g}"
    return number(value)


def _notes(notes: Sequence[str]) -> str:
    items = "".join(f"<li>{escape(note)}</li>" for note in notes)
    return _section("Notes", f'<ul class="card notes">{items}</ul>') if items else ""


def _progress(history: Sequence[Row], settings: Mapping[str, Any]) -> str:
    done, steps = max((s for s, _ in series(history, "step")), default=0.0), settings.get("steps")
    if not _real(steps) or not steps:
        return ""
    share = min(1.0, done / float(steps))
    return f'<div class="bar"><i style="width:{100 * share:.1f}%"></i></div>'


# The page -------------------------------------------------------------------------------------


def page(
    *,
    title: str,
    settings: Mapping[str, Any],
    history: Sequence[Row],
    metrics: Mapping[str, Any],
    picture: str | None = None,
    notes: Sequence[str] = (),
    status: str = "",
    updated: datetime | None = None,
) -> str:
    """Return the page of a run; arguments as in `write_report`, and when it was made."""
    history = flattened(history)
    state = re.match(r"\w*", status)
    state_word = state.group().lower() if state else ""
    # A page of a run that goes on looks again by itself, without a script.
    again = '<meta http-equiv="refresh" content="60">' if state_word == "running" else ""
    when = (updated or datetime.now().astimezone()).strftime("%Y-%m-%d %H:%M %Z").strip()
    body = (
        _tiles(history)
        + _samples(picture)
        + _results(metrics)
        + _critic_section(history)
        + _metrics_section(history)
        + _notes(notes)
        + _settings(settings)
    )
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<meta name="color-scheme" content="light dark">{again}'
        f"<title>{escape(title)}</title><style>{STYLE}</style></head><body><main>"
        f"<header><h1>{escape(title)}</h1>"
        f'<p class="status {escape(state_word)}"><i></i>{escape(status)}'
        f"<time>updated {escape(when)}</time></p>{_progress(history, settings)}</header>"
        f"{body}<footer>wgankit</footer></main></body></html>\n"
    )


def write_report(
    path: Path | str,
    *,
    title: str,
    settings: Mapping[str, Any],
    history: Sequence[Row],
    metrics: Mapping[str, Any],
    picture: str | None = None,
    notes: Sequence[str] = (),
    status: str = "",
) -> None:
    """Write the page of a run; no reader ever sees half of it.

    Arguments:
        path: the file.
        title: what was trained on what.
        settings: plain data; nested mappings become dotted names.
        history: one row for each reading: step, seconds, gap, w1, lower, penalty, steepest,
            share_above_one, now and then exact_w1, exact_w1_floor and `metrics`, a mapping of the
            domain's metrics.  What a row lacks, or is not finite, is left out of its curve.
        metrics: the final metrics; `<name>_floor` stands beside `<name>`.
        picture: SVG of some samples.
        notes: lines for the reader, such as what was left out of the data, and why.
        status: "running", "stopped" or "finished" and how far, such as "running: step 5 of 9".

    Raises:
        RunError: the file cannot be written.
    """
    text = page(
        title=title,
        settings=settings,
        history=history,
        metrics=metrics,
        picture=picture,
        notes=notes,
        status=status,
    )
    states.write_text(Path(path), text)


STYLE = """
:root{--paper:#f6f5f2;--card:#fff;--ink:#23262b;--soft:#6a6f78;--line:#e3e1db;--c1:#1d5fc4;
--c2:#b9750a;--c3:#24806a;--c4:#b0306a;--c5:#80848c;--c6:#6b4fb3;--good:#24806a;--busy:#1d5fc4;--off:#b9750a}
@media (prefers-color-scheme:dark){:root{--paper:#14161a;--card:#1c1f25;--ink:#e4e5e8;
--soft:#989da7;--line:#31353d;--c1:#7db0ff;--c2:#eeb155;--c3:#66cdb0;--c4:#f48ab8;--c5:#9aa0ab;--c6:#b79cf0;
--good:#66cdb0;--busy:#7db0ff;--off:#eeb155}}
*{box-sizing:border-box}
body{margin:0;background:var(--paper);color:var(--ink);
font:15px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",Arial,sans-serif}
main{max-width:1080px;margin:0 auto;padding:40px 24px 24px}
h1{font-size:27px;line-height:1.25;font-weight:650;letter-spacing:-.015em;margin:0 0 6px;
overflow-wrap:anywhere}
h2{font-size:13px;font-weight:600;letter-spacing:.06em;text-transform:uppercase;
color:var(--soft);margin:36px 0 12px}
h3{font-size:15px;font-weight:600;margin:0}
.status{display:flex;flex-wrap:wrap;align-items:center;gap:4px 8px;margin:0 0 14px}
.status i{width:9px;height:9px;border-radius:50%;background:var(--off)}
.status.running i{background:var(--busy)}.status.finished i{background:var(--good)}
.status time{color:var(--soft);margin-left:8px}
.bar{height:4px;border-radius:2px;background:var(--line);overflow:hidden}
.bar i{display:block;height:100%;background:var(--c1)}
.tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(150px,1fr));gap:12px;
margin:24px 0 0}
.tiles div,.card{background:var(--card);border:1px solid var(--line);border-radius:10px}
.tiles div{padding:12px 16px}
dt{color:var(--soft);font-size:13px}
dd{margin:0;font-size:24px;font-weight:600;letter-spacing:-.01em;
font-variant-numeric:tabular-nums}
dt small{font-size:inherit;float:right}
.card{padding:16px 18px;margin:0}
.grid{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(320px,100%),1fr));gap:12px}
figure+.grid{margin-top:12px}
figcaption p,.card>p{color:var(--soft);font-size:13px;margin:2px 0 0;max-width:75ch}
.legend{list-style:none;display:flex;flex-wrap:wrap;gap:2px 18px;margin:8px 0;padding:0;
font-size:13px}
.legend i{display:inline-block;width:20px;vertical-align:middle;margin-right:7px}
.legend b{font-weight:600;font-variant-numeric:tabular-nums;margin-left:3px}
figure svg{display:block;width:100%;height:auto}
figure svg text{font-family:inherit!important}
table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums}
th{font-weight:400;text-align:left}
th,td{padding:5px 0;border-bottom:1px solid var(--line);vertical-align:top}
tr>*+*{padding-left:20px}
td{text-align:right;overflow-wrap:anywhere}
thead *{color:var(--soft);font-size:13px}
tbody tr:last-child>*{border-bottom:0}
tbody td:nth-child(2){font-weight:600}
.columns td:nth-child(2){font-weight:400;text-align:left;
font-family:ui-monospace,SFMono-Regular,Menlo,Consolas,monospace;font-size:13px;line-height:22px}
.columns th{color:var(--soft);width:40%}
.picture{background:#fff;text-align:center}
.picture img{max-width:100%;height:auto;display:block;margin:0 auto}
.notes{padding-left:36px}.notes li{margin:2px 0;overflow-wrap:anywhere}
footer{color:var(--soft);font-size:13px;margin-top:36px}
@media print{:root{--paper:#fff;--card:#fff;--ink:#000;--soft:#555;--line:#ccc;--c1:#1d5fc4;
--c2:#b9750a;--c3:#24806a;--c4:#b0306a;--c5:#80848c;--c6:#6b4fb3}
main{max-width:none;padding:0}.card,.tiles div{break-inside:avoid}h2{break-after:avoid}}
"""
