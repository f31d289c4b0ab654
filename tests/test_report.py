"""The page of a run: whole, self-contained, nothing in it that was not put there."""

import base64
import math
import os
import re
from html import escape
from html.parser import HTMLParser

import numpy as np
import pytest
from matplotlib import get_backend, rc_context, rcParams

from wgankit.errors import RunError
from wgankit.report import chart, flattened, number, page, series, write_report

VOID = {"meta", "br", "img", "link", "hr", "input"}


class Page(HTMLParser):
    """Reads a page, and fails where an element is not closed as it was opened."""

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.open, self.tags, self.texts, self.cells = [], [], [], []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)
        if tag == "tr":
            self.cells.append([])
        if tag in ("td", "th"):
            self.cells[-1].append("")

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] not in ("style", "script"):
            self.texts.append(data)
        if self.open and self.open[-1] in ("td", "th"):
            self.cells[-1][-1] += data

    @property
    def text(self):
        return " ".join(self.texts)

    def named(self, tag):
        return [attrs for one, attrs in self.tags if one == tag]


def rows(count=30, every=10):
    history = []
    for step in range(count):
        w1 = 5 * math.exp(-step / 9)
        row = {
            "step": step * 25,
            "seconds": step * 1.5,
            "gap": w1 * 1.1,
            "w1": w1,
            "lower": w1 * 0.9,
            "penalty": 0.01 / (step + 1),
            "steepest": 1.2,
            "share_above_one": 0.25,
            "weight": 10 * w1,
        }
        if step % every == 0:
            row |= {"exact_w1": w1 + 1, "exact_w1_floor": 0.875, "certified": w1 - 1}
            row["metrics"] = {"validity": step / count, "fcd": 9 - step / 10, "fcd_floor": 0.4}
        history.append(row)
    return history


def made(**given):
    settings = {"steps": 1500, "penalty": {"weight": 10.0, "where": "between"}, "rate": 1e-5}
    metrics = {"validity": 0.875, "fcd": 6.25, "fcd_floor": 0.42}
    return page(
        **{
            "title": "labels on letters",
            "settings": settings,
            "history": rows(),
            "metrics": metrics,
            "picture": "<svg xmlns='http://www.w3.org/2000/svg'><circle r='3'/></svg>",
            "notes": ["3 of 12 letters left out: 3 unreadable"],
            "status": "running: step 725 of 1,500",
            **given,
        }
    )


def vertices(svg, gid):
    """Points of a curve in the coordinates of the drawing."""
    found = re.search(rf'<g id="{re.escape(gid)}">\s*<path d="([^"]*)"', svg)
    return [tuple(map(float, pair)) for pair in re.findall(r"[ML] (\S+) (\S+)", found[1])]


# Structure ------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", ["running: step 5 of 9", "stopped: x", "finished", ""])
def test_the_page_is_well_formed_and_needs_nothing_else(status):
    text = made(status=status)
    read = Page(text)
    assert "http://" not in text
    assert "https://" not in text
    assert not {tag for tag, _ in read.tags} & {"script", "link", "iframe", "object", "base"}
    assert all(image["src"].startswith("data:") for image in read.named("img"))
    assert all(use["href"].startswith("#") for use in read.named("use"))
    assert "url(" not in re.sub(r"url\(#[\w-]+\)", "", text)
    assert ("refresh" in str(read.named("meta"))) == status.startswith("running")
    assert status in read.text


def test_names_in_the_page_are_unique_and_all_that_are_used_are_there():
    text = made()
    names = re.findall(r' id="([^"]*)"', text)
    assert len(names) == len(set(names))
    assert set(re.findall(r'(?:href="|url\()#([\w-]+)', text)) <= set(names)


def test_the_page_says_what_it_was_told():
    read = Page(made())
    for said in ("labels on letters", "3 of 12 letters left out: 3 unreadable", "updated"):
        assert said in read.text
    for row in (
        ["validity", "0.875", ""],
        ["fcd", "6.25", "0.42"],
        ["steps", "1,500"],
        ["penalty.weight", "10"],
        ["penalty.where", "between"],
        ["rate", "1e-05"],
    ):
        assert row in read.cells
    assert not any("fcd floor" in cells[0] for cells in read.cells)
    widths = [attrs["style"] for attrs in read.named("i") if "width" in attrs.get("style", "")]
    assert widths == ["width:48.3%"]


def test_the_picture_is_embedded_as_an_image():
    picture = "<?xml version='1.0'?><svg><script>alert(1)</script></svg>"
    read = Page(made(picture=picture))
    (image,) = read.named("img")
    assert base64.b64decode(image["src"].partition("base64,")[2]).decode() == picture
    assert not Page(made(picture=None)).named("img")


HOSTILE = "</title><script>alert('x')</script><img src=http://e.vil onerror=\"x\">&amp;"


def test_hostile_words_stay_words():
    history = [{"step": s, "metrics": {HOSTILE: s, f"{HOSTILE}_floor": 1}} for s in range(4)]
    text = made(
        title=HOSTILE,
        settings={HOSTILE: {HOSTILE: HOSTILE}, "steps": HOSTILE},
        history=history,
        metrics={HOSTILE: 1.5, "kind": HOSTILE},
        notes=[HOSTILE],
        status=HOSTILE,
    )
    read = Page(text)
    assert not read.named("script")
    assert len(read.named("img")) == 1
    assert escape(HOSTILE) in text
    assert HOSTILE in read.text
    assert [f"{HOSTILE}.{HOSTILE}", HOSTILE] in read.cells


# Curves ---------------------------------------------------------------------------------------


def test_curves_contain_every_point_where_it_belongs():
    generator = np.random.default_rng(0)
    history = [{"step": s, "gap": float(generator.normal())} for s in range(2000)]
    # Almost straight stretches are what simplification would drop.
    history[500:1000] = [{"step": s, "gap": 1.0} for s in range(500, 1000)]
    found = np.array(vertices(made(history=history), "curve-distance-0"))
    wanted = np.array(series(history, "gap"))
    assert found.shape == wanted.shape
    for axis, sign in ((0, 1), (1, -1)):
        slope, offset = np.polyfit(wanted[:, axis], found[:, axis], 1)
        assert np.sign(slope) == sign
        np.testing.assert_allclose(slope * wanted[:, axis] + offset, found[:, axis], atol=1e-3)


def test_every_figure_of_the_history_has_its_curve():
    text, history = made(), rows()
    for gid, count in {
        "curve-distance-0": 30,
        "curve-distance-1": 30,
        "curve-distance-2": 30,
        "curve-distance-3": 3,
        "curve-distance-4": 3,
        "curve-distance-5": 3,
        "curve-steepest-0": 30,
        "curve-share-0": 30,
        "curve-penalty-0": 30,
        "curve-metric0-0": 3,
        "curve-metric1-0": 3,
        "curve-metric1-1": 3,
    }.items():
        assert len(vertices(text, gid)) == count, gid
    assert 'id="line-steepest"' in text
    tile = re.search(r"exact W1<small>floor ([\d.]+)</small></dt><dd>([\d.]+)", text)
    assert tile.groups() == ("0.875", number(history[20]["exact_w1"]))


def test_what_is_missing_or_not_finite_is_left_out():
    nan, inf = float("nan"), float("inf")
    history = [
        {"step": 0, "seconds": 0.0, "metrics": {"validity": 0.5}},
        {"step": 1, "gap": nan, "w1": inf, "lower": None},
        {"step": 2, "gap": np.float32(1.5), "metrics": None},
        {"gap": 7.0},
    ]
    assert series(history, "gap") == [(2.0, 1.5)]
    assert series(flattened(history), "metrics.validity") == [(0.0, 0.5)]
    text = made(history=history)
    Page(text)
    assert len(vertices(text, "curve-distance-0")) == 1
    assert "curve-distance-1" not in text


@pytest.mark.parametrize("history", [[], [{"step": 0}], [{"step": 0, "seconds": 0.0}]])
def test_an_empty_history_is_said(history):
    text = made(history=history, metrics={}, settings={}, notes=[], picture=None)
    assert "No reading yet." in Page(text).text
    assert "<svg" not in text


def test_the_colours_are_those_of_the_readers_scheme():
    drawing = chart("it", rows(), ())
    assert drawing == ""
    text = made()
    used = set(re.findall(r"var\((--\w+)\)", text))
    defined = set(re.findall(r"(--\w+):", text))
    assert {"--c1", "--c2", "--c3", "--c4", "--c5", "--ink", "--line"} <= used <= defined
    assert "#0102" not in text


def test_nobodys_matplotlib_is_touched():
    backend = get_backend()
    with rc_context({"path.simplify": True, "svg.fonttype": "path", "font.size": 21}):
        before = dict(rcParams)
        made()
        assert dict(rcParams) == before
    assert get_backend() == backend


# The file -------------------------------------------------------------------------------------

GIVEN = {"title": "t", "settings": {}, "history": [], "metrics": {}}


def test_the_file_is_replaced_whole_or_not_at_all(tmp_path, monkeypatch):
    path = tmp_path / "report.html"
    write_report(path, **GIVEN, notes=["first"])
    assert "first" in path.read_text()

    def fails(*_):
        raise OSError("no space left")

    monkeypatch.setattr(os, "replace", fails)
    with pytest.raises(OSError, match="no space left"):
        write_report(path, **GIVEN, notes=["second"])
    assert "first" in path.read_text()
    assert os.listdir(tmp_path) == ["report.html"]


def test_a_folder_that_is_not_there_is_said(tmp_path):
    with pytest.raises(RunError, match="cannot write"):
        write_report(tmp_path / "nowhere" / "report.html", **GIVEN)


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (0.123456, "0.1235"),
        (12345.678, "12,346"),
        (20000, "20,000"),
        (3.0, "3"),
        (1e-7, "1e-07"),
        (1e300, "1e+300"),
        (float("nan"), "nan"),
        (True, "True"),
        (None, "None"),
        ("<b>", "&lt;b&gt;"),
    ],
)
def test_figures_are_written_as_people_read_them(value, said):
    assert number(value) == said
