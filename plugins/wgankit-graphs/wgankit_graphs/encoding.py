"""Graphs as people hold them, and graphs as arrays of labels.

A graph of at most N nodes becomes one label for every node and one for every pair of nodes.
Label 0 means "nothing": no such node, or no edge.  Which value stands behind the other labels is
written in the vocabulary, which is plain data (JSON):

    nodes           values of the node labels; value i has label i + 1
    edges           values of the edge labels; value i has label i + 1
    size            N, the largest number of nodes
    sizes           how many graphs of the data have k nodes, at index k = 0, ..., N
    node_attribute  where networkx keeps the node labels, or None: graphs without node labels
    edge_attribute  the same for edges
    node_numbers    if there are any: name, mean and deviation of real-valued attributes of nodes
    edge_numbers    the same for edges

A graph without labels has one node label and one edge label, whose value is None.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from wgankit.domain import Encoded, Vocabulary, describe_skips
from wgankit.errors import DataError, MissingPackageError, ShapeError
from wgankit.space import Points
from wgankit_graphs import attributes
from wgankit_graphs.attributes import NO_NUMBERS, Names
from wgankit_graphs.attributes import Skip as _Skip
from wgankit_graphs.memory import check_stored

if TYPE_CHECKING:
    import networkx

    Graph: TypeAlias = networkx.Graph

Value: TypeAlias = str | int | float | bool | None

LARGEST_LABEL = 255

DIRECTED = "directed graph"
PARALLEL = "parallel edges"
LOOPS = "self-loops"
NO_NODES = "no nodes"
NOT_FINITE = "NaN or infinite attribute"
NOT_A_GRAPH = "not a graph"
NOT_A_LABEL = "label that is not text, a number or a truth value"
NO_FIT = "nodes, edges and features that do not fit together"
NOT_CATEGORIES = "features that are neither categories nor one-hot rows"
UNKNOWN_NODE = "node label unknown to the vocabulary"
UNKNOWN_EDGE = "edge label unknown to the vocabulary"


class GraphLabels(NamedTuple):
    """A batch of labelled graphs, padded to N nodes.

    Arguments:
        nodes: label of each node, uint8 `(B, N)`; 0 where there is none.
        edges: label of each pair, uint8 `(B, N, N)`, symmetric with zero diagonal; 0 for no edge.
    """

    nodes: Tensor
    edges: Tensor


class _Parts(NamedTuple):
    """One graph taken apart: labels of its nodes, ends and labels of its edges, their numbers."""

    nodes: list[Value]
    ends: NDArray[np.int64]
    edges: list[Value]
    node_numbers: attributes.Table
    edge_numbers: attributes.Table


# Encoding -----------------------------------------------------------------------------------------


def encode_graphs(
    objects: Sequence[Any],
    vocabulary: Vocabulary | None = None,
    *,
    largest: int | None = None,
    node_attribute: str | None = "label",
    edge_attribute: str | None = "label",
    node_numbers: Sequence[str] = (),
    edge_numbers: Sequence[str] = (),
) -> Encoded:
    """Turn graphs into arrays, learning the vocabulary unless one is given.

    Arguments:
        objects: networkx graphs or torch_geometric `Data` (see `from_data`), mixed as you like.
        vocabulary: a vocabulary learnt before; graphs with other labels, or more nodes than its
            size, are skipped.  It also says which attributes are read.
        largest: skip graphs with more nodes than this; None keeps all.
        node_attribute: the categorical node attribute; None ignores labels.  A node without it
            has the label None; where no node has it, graphs count as unlabelled.
        edge_attribute: the same for edges.
        node_numbers: names of real-valued attributes of nodes; a graph in which one is missing,
            NaN or infinite is skipped.  Of `Data` they are the last columns of `x`.
        edge_numbers: the same for edges and `edge_attr`.

    Returns:
        Points (`GraphLabels`, nodes in the graph's own order; with numbers the tuple of labels and
        of float32 numbers `(B, N, A)`, `(B, N, N, C)` in deviations from the mean, as far as there
        are any), the vocabulary (values sorted, so
        that it does not depend on the order of the data), the indices kept, and how many objects
        were skipped for which reason.

    Raises:
        DataError: nothing is left, there are more than 255 labels, or the arrays would not fit into
            memory.
        SettingError: names of numbers that come twice or are those of labels.
    """
    if vocabulary is not None:
        node_attribute = vocabulary["node_attribute"]
        edge_attribute = vocabulary["edge_attribute"]
        largest = min(vocabulary["size"], math.inf if largest is None else largest)
        names = attributes.known_names(vocabulary)
    else:
        labels = (node_attribute, edge_attribute)
        names = attributes.names_of(node_numbers, edge_numbers, labels=labels)
    parts: list[_Parts] = []
    kept: list[int] = []
    skipped: Counter[str] = Counter()
    for index, item in enumerate(objects):
        try:
            part = _take_apart(item, node_attribute, edge_attribute, largest, names)
            if vocabulary is not None:
                _check_known(part, vocabulary)
        except _Skip as reason:
            skipped[str(reason)] += 1
        else:
            parts.append(part)
            kept.append(index)
    _check_some(parts, skipped)
    if vocabulary is None:
        vocabulary = _learn(parts, node_attribute, edge_attribute) | _learn_numbers(parts, names)
    return Encoded(_fill(parts, vocabulary), vocabulary, kept, skipped)


def _check_some(parts: Sequence[_Parts], skipped: Mapping[str, int]) -> None:
    if parts:
        return
    if not skipped:
        raise DataError("no graphs given; pass a list of networkx graphs or torch_geometric Data")
    raise DataError(f"no graph is left to train on: {describe_skips(skipped, 0, 'graphs')}")


def _take_apart(
    item: Any,
    node_attribute: str | None,
    edge_attribute: str | None,
    largest: float | None,
    names: Names = NO_NUMBERS,
) -> _Parts:
    graph = _as_networkx(item, names)
    if graph.is_directed():
        raise _Skip(DIRECTED)
    count = graph.number_of_nodes()
    if not count:
        raise _Skip(NO_NODES)
    if largest is not None and count > largest:
        raise _Skip(f"more than {largest} nodes")
    place = {node: index for index, node in enumerate(graph)}
    triples = [(place[u], place[v], value) for u, v, value in graph.edges(data=edge_attribute)]
    ends = np.array([triple[:2] for triple in triples], dtype=np.int64).reshape(-1, 2)
    if (ends[:, 0] == ends[:, 1]).any():
        raise _Skip(LOOPS)
    if graph.is_multigraph() and len({frozenset(pair) for pair in ends.tolist()}) < len(ends):
        raise _Skip(PARALLEL)
    nodes = [value for _, value in graph.nodes(data=node_attribute)] if node_attribute else []
    edges = [triple[2] for triple in triples] if edge_attribute else []
    return _Parts(
        [_as_value(value) for value in nodes] or [None] * count,
        ends,
        [_as_value(value) for value in edges] or [None] * len(ends),
        attributes.table([row for _, row in graph.nodes(data=True)], names.nodes, "node"),
        attributes.table([row for *_, row in graph.edges(data=True)], names.edges, "edge"),
    )


def as_networkx(item: Any, names: Names = NO_NUMBERS) -> Graph:
    """Return a networkx graph as it is, and a torch_geometric `Data` by `from_data`.

    Arguments:
        item: either.
        names: of the real-valued attributes of a `Data`.

    Raises:
        DataError: it is neither, or a `Data` that is no undirected labelled graph.
    """
    try:
        return _as_networkx(item, names)
    except _Skip as reason:
        raise DataError(f"a networkx graph or torch_geometric Data is wanted: {reason}") from None


def _as_networkx(item: Any, names: Names = NO_NUMBERS) -> Any:
    # Told apart by what they offer, so that neither package is imported for the other's sake.
    if hasattr(item, "adj") and hasattr(item, "is_multigraph"):
        return item
    if hasattr(item, "edge_index") and hasattr(item, "num_nodes"):
        try:
            return from_data(item, node_numbers=names.nodes, edge_numbers=names.edges)
        except _Refused as refused:
            raise _Skip(refused.reason) from None
    raise _Skip(f"{NOT_A_GRAPH} ({type(item).__name__})")


def _as_value(value: Any) -> Value:
    """Return a label as a JSON scalar."""
    if value is None or type(value) in (str, int, bool):
        return cast(Value, value)
    if isinstance(value, np.generic) or (isinstance(value, Tensor) and value.numel() == 1):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        raise _Skip(NOT_FINITE)
    if isinstance(value, str | int | float):
        return value
    raise _Skip(NOT_A_LABEL)


def _check_known(part: _Parts, vocabulary: Vocabulary) -> None:
    if not set(part.nodes) <= set(vocabulary["nodes"]):
        raise _Skip(UNKNOWN_NODE)
    if not set(part.edges) <= set(vocabulary["edges"]):
        raise _Skip(UNKNOWN_EDGE)


def _learn(
    parts: Sequence[_Parts], node_attribute: str | None, edge_attribute: str | None
) -> Vocabulary:
    sizes = np.bincount([len(part.nodes) for part in parts])
    nodes = _values((part.nodes for part in parts), "node")
    edges = _values((part.edges for part in parts), "edge")
    return {
        "nodes": nodes,
        "edges": edges,
        "size": len(sizes) - 1,
        "sizes": sizes.tolist(),
        "node_counts": _counts((part.nodes for part in parts), nodes),
        "edge_counts": _counts((part.edges for part in parts), edges),
        "node_attribute": None if nodes == [None] else node_attribute,
        "edge_attribute": None if edges == [None] else edge_attribute,
    }


def _learn_numbers(parts: Sequence[_Parts], names: Names) -> Vocabulary:
    """Return the part of the vocabulary that says what numbers there are; empty without any."""
    learnt = {
        "node_numbers": attributes.learn(
            [part.node_numbers for part in parts], names.nodes, "node"
        ),
        "edge_numbers": attributes.learn(
            [part.edge_numbers for part in parts], names.edges, "edge"
        ),
    }
    return {key: laws for key, laws in learnt.items() if laws}


def _values(lists: Iterable[Sequence[Value]], what: str) -> list[Value]:
    found: set[Value] = set()
    found.update(*lists)
    if len(found) > LARGEST_LABEL:
        raise DataError(
            f"the graphs have {len(found)} different {what} labels, and at most {LARGEST_LABEL} "
            f"are possible; is the attribute a category?  Pass {what}_attribute=None to ignore it"
        )
    order = sorted(found, key=lambda value: (value is not None, isinstance(value, str), value or 0))
    return order or [None]


def _counts(lists: Iterable[Sequence[Value]], values: Sequence[Value]) -> list[int]:
    """Return how often each label occurs."""
    seen = Counter(value for labels in lists for value in labels)
    return [seen[value] for value in values]


def _fill(parts: Sequence[_Parts], vocabulary: Vocabulary) -> Points:
    """Write all graphs into arrays."""
    check_stored(len(parts), vocabulary, sorted(len(part.nodes) for part in parts))
    labels = _fill_labels(parts, vocabulary)
    size, numbers = vocabulary["size"], []
    if laws := vocabulary.get("node_numbers"):
        numbers.append(attributes.node_array([part.node_numbers for part in parts], laws, size))
    if laws := vocabulary.get("edge_numbers"):
        tables, ends = [part.edge_numbers for part in parts], [part.ends for part in parts]
        numbers.append(attributes.edge_array(tables, ends, laws, size))
    return (*labels, *numbers) if numbers else labels


def _fill_labels(parts: Sequence[_Parts], vocabulary: Vocabulary) -> GraphLabels:
    """Write all labels into arrays with one assignment for nodes and one for edges."""
    counts = np.array([len(part.nodes) for part in parts])
    graph = np.repeat(np.arange(len(parts)), counts)
    place = np.arange(len(graph)) - np.repeat(counts.cumsum() - counts, counts)
    nodes = np.zeros((len(parts), vocabulary["size"]), dtype=np.uint8)
    nodes[graph, place] = _labels((part.nodes for part in parts), vocabulary["nodes"])
    edges = np.zeros((*nodes.shape, vocabulary["size"]), dtype=np.uint8)
    graph = np.repeat(np.arange(len(parts)), [len(part.ends) for part in parts])
    u, v = np.concatenate([part.ends for part in parts]).T
    edges[graph, u, v] = _labels((part.edges for part in parts), vocabulary["edges"])
    edges[graph, v, u] = edges[graph, u, v]
    return GraphLabels(torch.from_numpy(nodes), torch.from_numpy(edges))


def _labels(lists: Iterable[Sequence[Value]], values: Sequence[Value]) -> NDArray[np.uint8]:
    label = {value: index for index, value in enumerate(values, 1)}
    return np.array([label[value] for some in lists for value in some], dtype=np.uint8)


# Decoding -----------------------------------------------------------------------------------------


def decode_graphs(points: tuple[Tensor, ...], vocabulary: Vocabulary) -> list[Graph]:
    """Turn a batch of points into networkx graphs with nodes 0, 1, ....

    Arguments:
        points: `GraphLabels`, or a pair of one-hot or relaxed tensors: nodes `(B, N, 1 + Kn)` and
            edges `(B, N, N, 1 + Ke)`, of which the largest entry decides (edges after averaging
            both directions).  With numbers, these follow (see `numbered.Numbered`).  On any device.
        vocabulary: the vocabulary of the data.

    Returns:
        B graphs; places with label "nothing" are left out with all their edges, so a graph may
        have no nodes.  Labels are set where the vocabulary names an attribute and the value is
        not None.  Numbers are set in their own units.

    Raises:
        ShapeError: the tensors do not fit together or the vocabulary.
    """
    import networkx

    nodes, edges = _hard_labels(points[:2], vocabulary)
    node_numbers, edge_numbers = attributes.restored(points, vocabulary)
    present = nodes > 0
    # A place's number among the nodes that are there.
    number = present.cumsum(1) - 1
    edges = np.triu(edges, 1) * (present[:, :, None] & present[:, None, :])
    graph, u, v = np.nonzero(edges)
    ends = np.stack([number[graph, u], number[graph, v]], axis=1).tolist()
    edge_labels = edges[graph, u, v].tolist()
    stops = np.searchsorted(graph, np.arange(len(nodes) + 1)).tolist()
    decoded = []
    for index, labels in enumerate(nodes):
        result = networkx.empty_graph(int(present[index].sum()))
        some = slice(stops[index], stops[index + 1])
        result.add_edges_from(ends[some])
        _set_labels(result.nodes, range(len(result)), labels[present[index]], vocabulary, "node")
        _set_labels(result.edges, map(tuple, ends[some]), edge_labels[some], vocabulary, "edge")
        if node_numbers is not None:
            rows, laws = node_numbers[index][present[index]], vocabulary["node_numbers"]
            attributes.write(result.nodes, range(len(result)), rows, laws)
        if edge_numbers is not None:
            rows, laws = edge_numbers[index, u[some], v[some]], vocabulary["edge_numbers"]
            attributes.write(result.edges, map(tuple, ends[some]), rows, laws)
        decoded.append(result)
    return decoded


def _hard_labels(
    points: tuple[Tensor, ...], vocabulary: Vocabulary
) -> tuple[NDArray[np.integer[Any]], NDArray[np.integer[Any]]]:
    nodes, edges = (part.detach() for part in points)
    if nodes.dim() == 3 and edges.dim() == 4:
        nodes = nodes.float().argmax(2)
        edges = edges.float()
        edges = (edges + edges.transpose(1, 2)).argmax(3)
    if edges.shape != (*nodes.shape, *nodes.shape[1:]) or nodes.dim() != 2:
        raise ShapeError(
            "nodes (B, N) with edges (B, N, N), or one-hot nodes (B, N, 1 + Kn) with edges "
            f"(B, N, N, 1 + Ke), are wanted; got {tuple(points[0].shape)} and "
            f"{tuple(points[1].shape)}"
        )
    for part, what in ((nodes, "nodes"), (edges, "edges")):
        if part.numel() and not 0 <= int(part.min()) <= int(part.max()) <= len(vocabulary[what]):
            raise ShapeError(
                f"labels of {what} go up to {int(part.max())}, but the vocabulary knows "
                f"{len(vocabulary[what])}; decode with the vocabulary of the same data"
            )
    return nodes.cpu().numpy(), edges.cpu().numpy()


def _set_labels(
    view: Any, keys: Iterable[Any], labels: Iterable[int], vocabulary: Vocabulary, what: str
) -> None:
    attribute = vocabulary[f"{what}_attribute"]
    if attribute is None:
        return
    values = vocabulary[f"{what}s"]
    for key, label in zip(keys, labels, strict=True):
        if values[label - 1] is not None:
            view[key][attribute] = values[label - 1]


# torch_geometric ----------------------------------------------------------------------------------


class _Refused(DataError):
    """A `Data` that is no undirected labelled graph; `reason` is the short form for counting."""

    def __init__(self, reason: str, explanation: str) -> None:
        super().__init__(f"{reason}: {explanation}")
        self.reason = reason


def from_data(
    data: Any,
    vocabulary: Vocabulary | None = None,
    *,
    node_numbers: Sequence[str] = (),
    edge_numbers: Sequence[str] = (),
) -> Graph:
    """Return a torch_geometric `Data` as a networkx graph with nodes 0, 1, ....

    Arguments:
        data: `edge_index` int64 `(2, E)` holds each edge in both directions.  `x` `(n,)`, `(n, 1)`
            and `edge_attr` `(E,)`, `(E, 1)`, if there, hold whole numbers: categories; or one-hot
            rows `(n, Kn)`, `(E, Ke)` with at least 2 columns, whose category is the column.  With
            numbers, these are the last columns, and the ones before, if any, are categories.
        vocabulary: of `encode_graphs`; category i then becomes its value i instead of the number.
            It also says which numbers there are.
        node_numbers: names of the last columns of `x`, which become real-valued attributes.
        edge_numbers: the same for `edge_attr`.

    Returns:
        The graph, with categories under "label", or where the vocabulary says.

    Raises:
        DataError: directed or parallel edges, NaN, categories the vocabulary lacks, features that
            are neither categories nor one-hot rows, or fewer columns than numbers.
    """
    import networkx

    names = names_in(vocabulary, node_numbers, edge_numbers)
    ends = _ends(data)
    x, node_rows = _columns(data.x, names.nodes, "x")
    edge_attr, edge_rows = _columns(data.edge_attr, names.edges, "edge_attr")
    node_values = _categories(x, "x", vocabulary)
    edge_values = _categories(edge_attr, "edge_attr", vocabulary)
    _check_sizes(data, ends, node_values or node_rows, edge_values or edge_rows)
    _check_both_ways(ends, edge_values, edge_rows)
    graph = networkx.empty_graph(int(data.num_nodes or 0))
    labels = vocabulary or {"node_attribute": "label", "edge_attribute": "label"}
    graph.add_edges_from(ends.tolist())
    _set_values(graph.nodes, range(len(graph)), node_values, labels["node_attribute"])
    _set_values(graph.edges, map(tuple, ends.tolist()), edge_values, labels["edge_attribute"])
    for key, row in zip(graph.nodes, node_rows, strict=False):
        graph.nodes[key].update(zip(names.nodes, row, strict=True))
    for pair, row in zip(ends.tolist(), edge_rows, strict=False):
        graph.edges[tuple(pair)].update(zip(names.edges, row, strict=True))
    return graph


def names_in(
    vocabulary: Vocabulary | None, node_numbers: Sequence[str], edge_numbers: Sequence[str]
) -> Names:
    """Return the names of numbers that a vocabulary knows, or without one those given."""
    if vocabulary is None:
        return attributes.names_of(node_numbers, edge_numbers)
    return attributes.known_names(vocabulary)


def _columns(
    features: Tensor | None, names: Sequence[str], what: str
) -> tuple[Tensor | None, list[list[float]]]:
    """Return the columns that hold categories, if any, and the rows of the last, the numbers."""
    if features is None or not names:
        return features, []
    rows = features.detach().cpu().double()
    rows = rows.unsqueeze(1) if rows.dim() == 1 else rows.flatten(1)
    before = rows.shape[1] - len(names)
    if before < 0:
        raise _Refused(
            NO_FIT,
            f"{what} has {rows.shape[1]} columns, of which the last {len(names)} should be the "
            f"numbers {', '.join(names)}",
        )
    if not bool(torch.isfinite(rows).all()):
        raise _Refused(NOT_FINITE, f"{what} holds NaN or infinite numbers")
    return (rows[:, :before] if before else None), rows[:, before:].tolist()


def _ends(data: Any) -> NDArray[np.int64]:
    if data.edge_index is None:
        return np.zeros((0, 2), dtype=np.int64)
    return cast(NDArray[np.int64], data.edge_index.detach().cpu().numpy().T)


def _check_sizes(
    data: Any,
    ends: NDArray[np.int64],
    nodes: Sequence[Any] | None,
    edges: Sequence[Any] | None,
) -> None:
    count = int(data.num_nodes or 0)
    inside = not len(ends) or (ends.min() >= 0 and ends.max() < count)
    if not inside or len(nodes or []) not in (0, count) or len(edges or []) not in (0, len(ends)):
        raise _Refused(
            NO_FIT,
            f"{count} nodes, x of {len(nodes or [])} rows, {len(ends)} columns of edge_index, "
            f"edge_attr of {len(edges or [])} rows",
        )


def _set_values(
    view: Any, keys: Iterable[Any], values: Sequence[Value] | None, attribute: str | None
) -> None:
    if not values or attribute is None:
        return
    for key, value in zip(keys, values, strict=True):
        if value is not None:
            view[key][attribute] = value


def _categories(
    features: Tensor | None, what: str, vocabulary: Vocabulary | None
) -> list[Value] | None:
    if features is None or (features.dim() > 1 and not features.shape[1]):
        return None
    rows = features.detach().cpu().double().flatten(1) if features.dim() > 1 else None
    column = features.detach().cpu().double() if rows is None else rows[:, 0]
    if not bool(torch.isfinite(column if rows is None else rows).all()):
        raise _Refused(NOT_FINITE, f"{what} holds NaN or infinite numbers")
    if rows is not None and rows.shape[1] > 1:
        if not bool((((rows == 0) | (rows == 1)).all(1) & (rows.sum(1) == 1)).all()):
            raise _Refused(NOT_CATEGORIES, f"{what} has {rows.shape[1]} columns, not one-hot")
        column = rows.argmax(1)
    if bool((column != column.round()).any()):
        raise _Refused(NOT_CATEGORIES, f"{what} has one column, but not of whole numbers")
    numbers: list[int] = column.long().tolist()
    if vocabulary is None:
        return list(numbers)
    return _look_up(numbers, what, vocabulary["nodes" if what == "x" else "edges"])


def _look_up(numbers: Sequence[int], what: str, values: Sequence[Value]) -> list[Value]:
    if len(values) == 1 and set(numbers) == {1}:
        return list(values) * len(numbers)  # one-hot rows of a single category are a column of 1
    if any(not 0 <= number < len(values) for number in numbers):
        reason = UNKNOWN_NODE if what == "x" else UNKNOWN_EDGE
        raise _Refused(reason, f"{what} has categories outside 0, ..., {len(values) - 1}")
    return [values[number] for number in numbers]


def _check_both_ways(
    ends: NDArray[np.int64], values: Sequence[Value] | None, rows: Sequence[Any]
) -> None:
    """Raise unless every edge is there once in each direction, with one value and equal numbers."""
    pairs = list(map(tuple, ends.tolist()))
    both = zip(values or [None] * len(pairs), rows or [None] * len(pairs), strict=True)
    value = dict(zip(pairs, both, strict=True))
    if len(value) < len(pairs):
        raise _Refused(PARALLEL, "edge_index holds an edge twice; call data.coalesce()")
    if any((v, u) not in value or value[v, u] != kind for (u, v), kind in value.items()):
        raise _Refused(
            DIRECTED,
            "edge_index must hold every edge in both directions with equal edge_attr; "
            "torch_geometric.utils.to_undirected adds the other direction",
        )


def to_data(
    graph: Graph,
    vocabulary: Vocabulary | None = None,
    *,
    node_numbers: Sequence[str] = (),
    edge_numbers: Sequence[str] = (),
) -> Any:
    """Return an undirected networkx graph as torch_geometric `Data`.

    Arguments:
        graph: an undirected graph; labels, if any, under "label", or where the vocabulary says.
        vocabulary: of `encode_graphs`; it also says which numbers there are.
        node_numbers: names of real-valued attributes of nodes, which become the last columns of
            `x`, in their own units and in torch's default type of floating-point numbers.
        edge_numbers: the same for edges and `edge_attr`.

    Returns:
        `Data` with `edge_index` `(2, 2m)`, both directions, and `num_nodes`.  With a vocabulary
        that has labels, `x` `(n, Kn)` and `edge_attr` `(2m, Ke)` are one-hot rows, float32;
        without one, labels must be whole numbers on all nodes (edges) or none, and `x` `(n, 1)`,
        `edge_attr` `(2m, 1)` hold them as int64.  `from_data` is the inverse.

    Raises:
        DataError: a directed graph, parallel edges, self-loops, or labels that do not fit.
        MissingPackageError: torch_geometric is not installed.
    """
    try:
        from torch_geometric.data import Data
    except ImportError as error:
        raise MissingPackageError(
            "to_data needs torch_geometric; type: pip install torch-geometric"
        ) from error
    labels = vocabulary or {"node_attribute": "label", "edge_attribute": "label"}
    names = names_in(vocabulary, node_numbers, edge_numbers)
    try:
        parts = _take_apart(graph, labels["node_attribute"], labels["edge_attribute"], None, names)
    except _Skip as reason:
        raise DataError(f"this graph cannot become Data: {reason}") from None
    both = np.concatenate([parts.ends, parts.ends[:, ::-1]]).T
    edge_rows = np.concatenate([parts.edge_numbers, parts.edge_numbers])
    return Data(
        x=_beside(_features(parts.nodes, vocabulary, "node"), parts.node_numbers),
        edge_index=torch.from_numpy(np.ascontiguousarray(both)),
        edge_attr=_beside(_features(parts.edges * 2, vocabulary, "edge"), edge_rows),
        num_nodes=len(parts.nodes),
    )


def _beside(labels: Tensor | None, numbers: attributes.Table) -> Tensor | None:
    """Return the columns of labels, if any, and those of numbers, if any."""
    if not numbers.shape[1]:
        return labels
    columns = torch.from_numpy(numbers).to(torch.get_default_dtype())
    return columns if labels is None else torch.cat([labels.to(columns.dtype), columns], 1)


def _features(values: list[Value], vocabulary: Vocabulary | None, what: str) -> Tensor | None:
    if vocabulary is not None:
        return _one_hot(values, vocabulary, what)
    if all(value is None for value in values):
        return None
    if not all(isinstance(value, int) for value in values):
        raise DataError(
            f"{what} labels must be whole numbers to become Data; pass the vocabulary of "
            "encode_graphs, to_data(graph, vocabulary), for one-hot rows of any labels"
        )
    return torch.tensor(values, dtype=torch.int64).view(-1, 1)


def _one_hot(values: list[Value], vocabulary: Vocabulary, what: str) -> Tensor | None:
    if vocabulary[f"{what}_attribute"] is None:
        return None
    known = vocabulary[f"{what}s"]
    unknown = set(values) - set(known)
    if unknown:
        raise DataError(f"{what} labels {sorted(map(repr, unknown))} are not in the vocabulary")
    return torch.eye(len(known))[[known.index(value) for value in values]]
