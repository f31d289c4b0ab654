"""Graphs as a picture: an SVG grid for reports."""

from __future__ import annotations

import io
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias, cast

import numpy as np

from wgankit.errors import DataError, SettingError
from wgankit_graphs.encoding import as_networkx

if TYPE_CHECKING:
    import networkx
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    Graph: TypeAlias = networkx.Graph

MOST = 16
PANEL_INCHES = 2.2
EDGE_COLOUR = "#8a8f98"
PLAIN_COLOUR = "#3b6fb6"


def draw_graphs(
    graphs: Sequence[Any],
    columns: int = 4,
    *,
    seed: int = 0,
    places: tuple[str, str] | None = None,
) -> str:
    """Return an SVG picture of up to 16 graphs side by side, with nodes coloured by label.

    Arguments:
        graphs: networkx graphs or torch_geometric `Data`; of more than 16 the first are drawn.
        columns: pictures in a row, at least 1.
        seed: of the layout, which is a spring layout; the same picture for the same seed.
        places: names of two numbers of nodes that say where they are, instead of a layout.

    Returns:
        The text of an SVG document; under each graph stand its numbers of nodes and edges, and
        under all, where nodes have labels, what the colours mean.

    Raises:
        DataError: there is nothing to draw, or a node has no such numbers.
        SettingError: columns below 1.
    """
    if columns < 1:
        raise SettingError(f"a picture has at least 1 column; got columns={columns}")
    shown = [as_networkx(graph) for graph in graphs[:MOST]]
    if not shown:
        raise DataError("there are no graphs to draw")
    colours = _colours(shown)
    figure, panels = _grid(len(shown), columns, legend=bool(colours))
    for panel, graph in zip(panels, shown, strict=True):
        _draw(panel, graph, colours, _given(graph, places) if places else _layout(graph, seed))
    if colours:
        _explain(figure, colours)
    return _as_svg(figure)


def _colours(graphs: Sequence[Graph]) -> dict[Any, Any]:
    """Return a colour for every node label in the order of their names; empty without labels."""
    import matplotlib

    found = {label for graph in graphs for _, label in graph.nodes(data="label")}
    if found <= {None}:
        return {}
    labels = sorted(found, key=lambda label: (label is None, str(label)))
    palette = matplotlib.colormaps["tab10" if len(labels) <= 10 else "tab20"]
    return {label: palette(place % palette.N) for place, label in enumerate(labels)}


def _grid(count: int, columns: int, *, legend: bool) -> tuple[Figure, list[Axes]]:
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    columns = min(columns, count)
    rows = math.ceil(count / columns)
    height = PANEL_INCHES * rows + (0.4 if legend else 0.0)
    figure = Figure(figsize=(max(PANEL_INCHES * columns, 3.0), height))
    FigureCanvasSVG(figure)
    bottom = 0.4 / height if legend else 0.0
    figure.subplots_adjust(0.02, bottom + 0.08 / rows, 0.98, 0.99, 0.08, 0.18)
    panels = [figure.add_subplot(rows, columns, place + 1) for place in range(count)]
    return figure, panels


def _draw(panel: Axes, graph: Graph, colours: Mapping[Any, Any], places: Mapping[Any, Any]) -> None:
    from matplotlib.patches import PathPatch
    from matplotlib.path import Path

    panel.set_axis_off()
    caption = f"{len(graph)} nodes, {graph.number_of_edges()} edges"
    panel.text(0.5, -0.03, caption, transform=panel.transAxes, ha="center", va="top", fontsize=8)
    if not len(graph):
        return
    # One path for all edges: an SVG element for each would make the picture several times larger.
    ends = np.array([places[node] for edge in graph.edges() for node in edge]).reshape(-1, 2)
    strokes = Path(ends, [Path.MOVETO, Path.LINETO] * graph.number_of_edges())
    panel.add_patch(PathPatch(strokes, fill=False, edgecolor=EDGE_COLOUR, linewidth=0.7, zorder=1))
    points = np.array(list(places.values()))
    shades = [colours.get(label, PLAIN_COLOUR) for _, label in graph.nodes(data="label")]
    size = min(60.0, 900.0 / len(graph))
    panel.scatter(
        points[:, 0], points[:, 1], s=size, c=shades, edgecolors="white", linewidths=0.4, zorder=2
    )
    panel.margins(0.08)


def _given(graph: Graph, names: tuple[str, str]) -> dict[Any, Any]:
    from wgankit_graphs.attributes import Skip, table

    try:
        rows = table([row for _, row in graph.nodes(data=True)], names, "node")
    except Skip as reason:
        raise DataError(f"graphs are drawn at places {names[0]}, {names[1]}: {reason}") from None
    return dict(zip(graph, rows, strict=True))


def _layout(graph: Graph, seed: int) -> dict[Any, Any]:
    """Return places of the nodes: springs, started where a planar graph has no crossings."""
    import networkx

    if not len(graph):
        return {}
    planar, embedding = networkx.check_planarity(graph)
    start = None
    if planar and graph.number_of_edges():
        start = networkx.combinatorial_embedding_to_pos(embedding)
        start = {node: np.array(start[node], dtype=float) / len(graph) for node in graph}
    spring = networkx.spring_layout(graph, pos=start, seed=seed, iterations=100)
    return cast(dict[Any, Any], spring)


def _explain(figure: Figure, colours: Mapping[Any, Any], most: int = 10) -> None:
    from matplotlib.lines import Line2D

    names = list(colours)[:most]
    marks = [
        Line2D([], [], marker="o", linestyle="", markersize=5, color=colours[name])
        for name in names
    ]
    texts = ["no label" if name is None else str(name)[:16] for name in names]
    figure.legend(marks, texts, loc="lower center", ncols=len(names), frameon=False, fontsize=8)


def _as_svg(figure: Figure) -> str:
    import matplotlib

    text = io.StringIO()
    # A fixed salt and no date: the same graphs give the same file.
    with matplotlib.rc_context({"svg.hashsalt": "wgankit", "svg.fonttype": "none"}):
        figure.savefig(text, format="svg", metadata={"Date": None, "Creator": None})
    return text.getvalue()
