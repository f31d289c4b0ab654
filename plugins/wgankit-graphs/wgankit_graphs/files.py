"""Graphs in files: GraphML, edge lists, and whole sets of graphs in one `.npz`.

The `.npz` layout:

    nodes        `(G,)`: how many nodes each graph has
    edges        `(E, 3)`: rows of graph, u, v, with nodes of each graph numbered from 0
    node_labels  optional, `(sum of nodes,)`: labels of all graphs' nodes, one graph after another
    edge_labels  optional, `(E,)`: labels in the order of `edges`
    node_NAME    optional, float, `(sum of nodes,)`: the real-valued attribute NAME of all nodes
    edge_NAME    optional, float, `(E,)`: the same for edges

Nodes and edges are whole numbers.  Labels are numbers, truth values or text, and land in the
attribute "label".  A file that is split holds the same arrays with the prefixes `train_`, `val_`
and `test_`.
"""

from __future__ import annotations

import os
import zipfile
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, cast
from xml.etree.ElementTree import ParseError

import numpy as np
from numpy.typing import NDArray

from wgankit.domain import Reading
from wgankit.errors import DataError
from wgankit_graphs.attributes import real_names, table

if TYPE_CHECKING:
    import networkx

    Graph: TypeAlias = networkx.Graph

Split: TypeAlias = Literal["train", "val", "test"]

SPLITS: tuple[Split, ...] = ("train", "val", "test")
EDGE_LISTS = (".edges", ".edgelist", ".txt", ".csv")
SEPARATORS = {",": "comma", ";": "semicolon", "\t": "tab"}
HEADERS = frozenset(["source", "target", "from", "to", "u", "v", "src", "dst", "weight"])
KNOWN = "a .graphml file, an edge list (.edges, .edgelist, .txt, .csv), a .npz file, or a folder"


def read_graphs(path: str | Path, *, split: Split | None = None) -> Reading:
    """Read graphs from a file or a folder.

    Arguments:
        path: a `.graphml` file (all its graphs); an edge list, which is one graph: two columns of
            node names and optionally a third, the weight, separated by commas, semicolons, tabs
            or blanks, `#` and `%` starting comments; a `.npz` file; or a folder of GraphML files
            and edge lists, read in the order of their names.
        split: which part of a split `.npz` file; None reads all of them, in the order train, val,
            test.

    Returns:
        networkx graphs.  Of a folder, files of other kinds and files that cannot be read are
        counted as skipped, with the first such file named in the reason.

    Raises:
        DataError: nothing there, nothing in it, or not readable.

    An edge list cannot hold nodes without edges; GraphML and `.npz` can.
    """
    place = Path(path)
    if not place.exists():
        raise DataError(f"there is no file or folder {str(path)!r}; give {KNOWN}")
    if split is not None and place.suffix.lower() != ".npz":
        raise DataError(f"split={split!r} is for .npz files; {place.name!r} has no splits")
    if place.is_dir():
        return _read_folder(place)
    if place.suffix.lower() == ".npz":
        return Reading(_read_npz(place, split))
    reader = _reader(place)
    if reader is None:
        raise DataError(f"{place.name!r} is of no kind that can be read; give {KNOWN}")
    return Reading(reader(place))


def _reader(path: Path) -> Callable[[Path], list[Graph]] | None:
    suffix = path.suffix.lower()
    if suffix == ".graphml":
        return _read_graphml
    return _read_edge_list if suffix in EDGE_LISTS else None


def _read_folder(folder: Path) -> Reading:
    graphs: list[Graph] = []
    unread: dict[str, list[str]] = {}
    for path in _members(folder):
        if path.name.startswith(".") or path.is_dir():
            continue
        reader = _reader(path)
        if reader is None:
            unread.setdefault("files of another kind", []).append(path.name)
            continue
        try:
            graphs += reader(path)
        except DataError as error:
            unread.setdefault(f"unreadable {path.suffix} files", []).append(str(error))
    skipped = Counter({f"{kind} ({some[0]})": len(some) for kind, some in unread.items()})
    if not graphs:
        reasons = "; ".join(f"{count} {reason}" for reason, count in skipped.items())
        raise DataError(
            f"folder {str(folder)!r} holds no graph that can be read"
            + (f": {reasons}" if reasons else "; it is empty")
        )
    return Reading(graphs, skipped)


def _members(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except OSError as error:
        raise DataError(f"folder {str(folder)!r} cannot be read: {error}") from error


# GraphML and edge lists ---------------------------------------------------------------------------


def _read_graphml(path: Path) -> list[Graph]:
    import networkx

    try:
        graphs = list(networkx.readwrite.graphml.GraphMLReader()(path=path))
    except (ParseError, networkx.NetworkXError, ValueError, KeyError, OSError) as error:
        raise DataError(f"{path.name}: not a GraphML file that can be read: {error}") from error
    if not graphs:
        raise DataError(f"{path.name}: there is no <graph> in this GraphML file")
    return graphs


def _read_edge_list(path: Path) -> list[Graph]:
    import networkx

    rows = _rows(path)
    if rows and _is_header([fields for _, fields in rows]):
        del rows[0]
    if not rows:
        raise DataError(f"{path.name}: the edge list is empty")
    numbered = all(_is_numbered(fields) for _, fields in rows)
    graph = networkx.Graph()
    for line, (first, second, *weight) in rows:
        u, v = (int(first), int(second)) if numbered else (first, second)
        graph.add_edge(u, v)
        if weight:
            graph.edges[u, v]["weight"] = _weight(path, line, weight[0])
    return [graph]


def _rows(path: Path) -> list[tuple[int, list[str]]]:
    """Return the line numbers and fields of an edge list, all separated in the same way."""
    rows = []
    expected = None
    for number, line in enumerate(_lines(path), 1):
        text = line.strip()
        if not text or text[0] in "#%":
            continue
        separator = _separator(path, number, text)
        expected = expected or separator
        if separator != expected:
            raise DataError(
                f"{path.name}, line {number}: separated by {separator}, but the lines before by "
                f"{expected}; use one separator throughout"
            )
        rows.append((number, _fields(path, number, text, separator)))
    return rows


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path.name}: cannot be read as text: {error}") from error


def _separator(path: Path, number: int, text: str) -> str:
    found = [name for mark, name in SEPARATORS.items() if mark in text]
    if len(found) > 1:
        raise DataError(
            f"{path.name}, line {number}: both {found[0]} and {found[1]} in one line; "
            "use one separator throughout"
        )
    return found[0] if found else "blank"


def _fields(path: Path, number: int, text: str, separator: str) -> list[str]:
    mark = next((mark for mark, name in SEPARATORS.items() if name == separator), None)
    fields = [field.strip() for field in text.split(mark)]
    if len(fields) not in (2, 3) or not all(fields):
        raise DataError(
            f"{path.name}, line {number}: an edge needs two columns and at most a third, its "
            f"weight; found {len(fields)} separated by {separator}: {text[:60]!r}"
        )
    if any(len(field.split()) > 1 for field in fields):
        raise DataError(
            f"{path.name}, line {number}: both {separator} and blank in one line; use one "
            "separator throughout, and no blanks in names"
        )
    return fields


def _is_header(rows: Sequence[Sequence[str]]) -> bool:
    """Tell names of columns from an edge: the usual names, or the one row that is not numbered."""
    if {field.lower() for field in rows[0]} <= HEADERS:
        return True
    return len(rows) > 1 and not _is_numbered(rows[0]) and all(map(_is_numbered, rows[1:]))


def _is_numbered(fields: Sequence[str]) -> bool:
    return all(text.isascii() and text.removeprefix("-").isdecimal() for text in fields[:2])


def _weight(path: Path, line: int, text: str) -> float:
    try:
        weight = float(text)
    except ValueError:
        weight = float("nan")
    if not np.isfinite(weight):
        raise DataError(f"{path.name}, line {line}: the weight {text!r} is no finite number")
    return weight


# npz ----------------------------------------------------------------------------------------------


def _read_npz(path: Path, split: Split | None) -> list[Graph]:
    try:
        with np.load(path, allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in stored.files}
    except (OSError, ValueError, TypeError, EOFError, zipfile.BadZipFile) as error:
        raise DataError(f"{path.name}: not an .npz file that can be read: {error}") from error
    there = [name for name in SPLITS if f"{name}_nodes" in arrays]
    if split is not None and split not in there:
        raise DataError(f"{path.name}: has no split {split!r}; it has {there or 'no splits'}")
    prefixes = [f"{name}_" for name in ([split] if split else there)]
    if not there:
        prefixes = [""]
    graphs = [graph for prefix in prefixes for graph in _graphs(path, arrays, prefix)]
    if not graphs:
        raise DataError(f"{path.name}: holds no graphs")
    return graphs


def _graphs(path: Path, arrays: dict[str, NDArray[Any]], prefix: str) -> list[Graph]:
    import networkx

    missing = [name for name in ("nodes", "edges") if prefix + name not in arrays]
    if missing:
        raise DataError(
            f"{path.name}: array {prefix + missing[0]!r} is missing; arrays 'nodes' (how many in "
            "each graph) and 'edges' (rows of graph, u, v) are wanted, or both with train_, val_, "
            f"test_ before; it has {sorted(arrays)}"
        )
    nodes, edges = arrays[prefix + "nodes"], arrays[prefix + "edges"]
    _check_layout(path, prefix, nodes, edges)
    graphs = [networkx.empty_graph(count) for count in nodes.tolist()]
    order = np.argsort(edges[:, 0], kind="stable")
    stops = np.searchsorted(edges[order, 0], np.arange(len(graphs) + 1))
    for graph, start, stop in zip(graphs, stops[:-1], stops[1:], strict=True):
        graph.add_edges_from(edges[order[start:stop], 1:].tolist())
    _read_labels(path, arrays, prefix, graphs)
    _read_numbers(path, arrays, prefix, graphs)
    return graphs


def _check_layout(path: Path, prefix: str, nodes: NDArray[Any], edges: NDArray[Any]) -> None:
    shapes = nodes.ndim == 1 and edges.ndim == 2 and edges.shape[1] == 3
    if not shapes or nodes.dtype.kind not in "iu" or edges.dtype.kind not in "iu":
        raise DataError(
            f"{path.name}: whole numbers {prefix}nodes (G,) and {prefix}edges (E, 3) are wanted; "
            f"got {nodes.dtype}{nodes.shape} and {edges.dtype}{edges.shape}"
        )
    wide = edges.astype(np.int64)
    inside = (wide >= 0).all(1) & (wide[:, 0] < len(nodes))
    inside[inside] = (wide[inside, 1:] < nodes.astype(np.int64)[wide[inside, 0], None]).all(1)
    if (nodes < 0).any():
        raise DataError(f"{path.name}: {prefix}nodes has a negative number of nodes")
    if not inside.all():
        row = int(np.argmin(inside))
        raise DataError(
            f"{path.name}: row {row} of {prefix}edges, {edges[row].tolist()}, names a graph or a "
            "node that is not there"
        )


def _read_labels(
    path: Path, arrays: dict[str, NDArray[Any]], prefix: str, graphs: Sequence[Graph]
) -> None:
    edges = arrays[prefix + "edges"].tolist()
    attributes = {
        "node_labels": [graph.nodes[node] for graph in graphs for node in graph],
        "edge_labels": [graphs[index].edges[u, v] for index, u, v in edges],
    }
    for name, views in attributes.items():
        labels = arrays.get(prefix + name)
        if labels is None:
            continue
        if labels.shape != (len(views),) or labels.dtype.kind not in "iufbU":
            raise DataError(
                f"{path.name}: {prefix}{name} needs one number or text for each of {len(views)} "
                f"{name[:4]}s; got {labels.dtype}{labels.shape}"
            )
        for view, label in zip(views, labels.tolist(), strict=True):
            view["label"] = label


def _read_numbers(
    path: Path, arrays: dict[str, NDArray[Any]], prefix: str, graphs: Sequence[Graph]
) -> None:
    edges = arrays[prefix + "edges"].tolist()
    views = {
        "node_": [graph.nodes[node] for graph in graphs for node in graph],
        "edge_": [graphs[index].edges[u, v] for index, u, v in edges],
    }
    for key, numbers in arrays.items():
        what, name = key.removeprefix(prefix)[:5], key.removeprefix(prefix)[5:]
        if not key.startswith(prefix) or what not in views or name == "labels":
            continue
        if numbers.shape != (len(views[what]),) or numbers.dtype.kind != "f":
            raise DataError(
                f"{path.name}: {key} needs one floating-point number for each of "
                f"{len(views[what])} {what[:4]}s; got {numbers.dtype}{numbers.shape}"
            )
        for view, number in zip(views[what], numbers.tolist(), strict=True):
            view[name] = number


# Writing ------------------------------------------------------------------------------------------


def write_graphs(graphs: Sequence[Graph], path: str | Path) -> None:
    """Write graphs to a `.npz` file, or, for any other path without suffix, a folder of GraphML.

    Arguments:
        graphs: undirected networkx graphs.  The `.npz` file keeps structure, the attribute
            "label", which all nodes (edges) of the set have or none, of one type, and attributes
            that are finite real numbers on all nodes (edges), as float64; GraphML keeps
            all attributes that are numbers, truth values or text (None is left out).
        path: a name ending in `.npz`, replaced if there; or a folder, made if missing, which may
            not hold `.graphml` files yet.

    Raises:
        DataError: no graphs, a path of another kind, or graphs that the format cannot hold.
    """
    place = Path(path)
    if not graphs:
        raise DataError(f"there are no graphs to write to {str(path)!r}")
    if place.suffix.lower() == ".npz":
        _write_npz(graphs, place)
    elif place.is_dir() or not place.suffix:
        _write_folder(graphs, place)
    else:
        raise DataError(
            f"graphs are written to a .npz file or a folder of GraphML files; got {str(path)!r}: "
            f"try {place.stem + '.npz'!r} or {place.stem!r}"
        )


def _write_npz(graphs: Sequence[Graph], path: Path) -> None:
    for index, graph in enumerate(graphs):
        if graph.is_directed() or graph.is_multigraph():
            raise DataError(
                f"graph {index} is directed or a multigraph, which .npz files cannot hold; "
                "convert it with networkx.Graph(graph)"
            )
    arrays = _structure(graphs)
    views = {
        "node_labels": [kind for graph in graphs for _, kind in graph.nodes(data="label")],
        "edge_labels": [kind for graph in graphs for _, _, kind in graph.edges(data="label")],
    }
    for name, labels in views.items():
        if any(label is not None for label in labels):
            arrays[name] = _label_array(labels, name)
    arrays |= _number_arrays(graphs)
    _replace(path, arrays)


def _number_arrays(graphs: Sequence[Graph]) -> dict[str, NDArray[Any]]:
    """Return real-valued attributes of all nodes and edges; "labels" would name another array."""
    names = real_names(graphs)
    rows = {
        "node": (names.nodes, [row for graph in graphs for _, row in graph.nodes(data=True)]),
        "edge": (names.edges, [row for graph in graphs for *_, row in graph.edges(data=True)]),
    }
    return {
        f"{what}_{name}": table(some, [name], what)[:, 0]
        for what, (chosen, some) in rows.items()
        for name in chosen
        if name != "labels"
    }


def write_structure(graphs: Sequence[Graph], path: Path) -> None:
    """Write nodes and edges of undirected graphs to a `.npz` file, and no labels."""
    _replace(path, _structure(graphs))


def _structure(graphs: Sequence[Graph]) -> dict[str, Any]:
    return {
        "nodes": np.array([len(graph) for graph in graphs], dtype=np.int32),
        "edges": np.array(_edge_rows(graphs), dtype=np.int32).reshape(-1, 3),
    }


def _edge_rows(graphs: Sequence[Graph]) -> list[tuple[int, int, int]]:
    rows = []
    for index, graph in enumerate(graphs):
        place = {node: number for number, node in enumerate(graph)}
        rows += [(index, place[u], place[v]) for u, v in graph.edges()]
    return rows


def _label_array(labels: Sequence[Any], name: str) -> NDArray[Any]:
    kinds = {type(_plain(label)) for label in labels}
    if len(kinds) != 1 or not kinds <= {int, float, bool, str}:
        raise DataError(
            f"{name} of a .npz file must all be of one type (int, float, bool or str); found "
            f"{sorted(kind.__name__ for kind in kinds)}: write a folder of GraphML files instead"
        )
    array = np.array([_plain(label) for label in labels])
    if array.dtype.kind not in "iufbU":
        raise DataError(f"{name}: numbers beyond 64 bits do not fit into a .npz file")
    return array


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value


def _replace(path: Path, arrays: dict[str, NDArray[Any]]) -> None:
    """Write the file beside its place first, so that a crash leaves no half file."""
    half = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with half.open("wb") as file:
            np.savez_compressed(file, **cast(dict[str, Any], arrays))
        half.replace(path)
    except OSError as error:
        half.unlink(missing_ok=True)
        raise DataError(f"cannot write {str(path)!r}: {error}") from error


def _write_folder(graphs: Sequence[Graph], folder: Path) -> None:
    import networkx

    if folder.is_dir() and any(folder.glob("*.graphml")):
        raise DataError(
            f"folder {str(folder)!r} holds GraphML files already, with which these would be mixed; "
            "give a new folder"
        )
    digits = max(4, len(str(len(graphs) - 1)))
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for index, graph in enumerate(graphs):
            networkx.write_graphml(_writable(graph), folder / f"{index:0{digits}d}.graphml")
    except (OSError, networkx.NetworkXError, TypeError) as error:
        raise DataError(f"cannot write {str(folder)!r}: {error}") from error


def _writable(graph: Graph) -> Graph:
    """Return a copy with plain attributes, and without those that are None."""
    copy = graph.copy()
    views = [copy.graph, *(each for _, each in copy.nodes(data=True))]
    views += [attributes for *_, attributes in copy.edges(data=True)]
    for attributes in views:
        for key, value in list(attributes.items()):
            attributes[key] = _plain(value)
            if value is None:
                del attributes[key]
    return copy
