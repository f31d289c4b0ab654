"""Real-valued attributes of nodes and edges: read, standardised, stored, written back, judged.

A number is stored as its distance from the mean of all nodes' (edges') numbers, in deviations.  One
unit in the metric so is one deviation of the data.  Names, means and deviations are in the
vocabulary, which is plain data (JSON), under `node_numbers` and `edge_numbers`:

    [{"name": "x", "mean": 0.48, "deviation": 0.29}, ...]

A vocabulary without these keys is one of graphs without numbers.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from wgankit.errors import DataError, SettingError, ShapeError

if TYPE_CHECKING:
    import networkx

    Graph: TypeAlias = networkx.Graph

Table: TypeAlias = NDArray[np.float64]
Law: TypeAlias = Mapping[str, Any]


class Skip(Exception):
    """One graph cannot be encoded; the message is the reason that is counted."""


class Names(NamedTuple):
    """Names of the real-valued attributes of nodes and of edges."""

    nodes: tuple[str, ...] = ()
    edges: tuple[str, ...] = ()


NO_NUMBERS = Names()


def names_of(
    node_numbers: Sequence[str] = (),
    edge_numbers: Sequence[str] = (),
    *,
    labels: Sequence[str | None] = (None, None),
) -> Names:
    """Return names of attributes, after checking them.

    Arguments:
        node_numbers: names of real-valued attributes of nodes.
        edge_numbers: the same for edges.
        labels: names of the categorical attributes of nodes and edges.

    Raises:
        SettingError: names that are no text, come twice, or are those of labels.
    """
    given = ((node_numbers, labels[0], "node"), (edge_numbers, labels[1], "edge"))
    for names, label, what in given:
        if isinstance(names, str) or not all(isinstance(name, str) for name in names):
            raise SettingError(
                f"{what}_numbers is a list of names of attributes, such as "
                f'{what}_numbers=["x"]; got {names!r}'
            )
        if len(set(names)) < len(names) or label in names:
            raise SettingError(
                f"{what}_numbers names each attribute once, and not the label {label!r}; "
                f"got {list(names)}"
            )
    return Names(tuple(node_numbers), tuple(edge_numbers))


def known_names(vocabulary: Mapping[str, Any]) -> Names:
    """Return the names of a vocabulary's numbers."""
    parts = (vocabulary.get(key, ()) for key in ("node_numbers", "edge_numbers"))
    return Names(*(tuple(law["name"] for law in laws) for laws in parts))


# From graphs to arrays ----------------------------------------------------------------------------


def table(rows: Sequence[Mapping[str, Any]], names: Sequence[str], what: str) -> Table:
    """Return the numbers of all nodes (edges) of a graph, `(rows, names)`.

    Arguments:
        rows: attributes of each node (edge).
        names: which of them.
        what: "node" or "edge", for reasons.

    Raises:
        Skip: one is missing, no number, NaN or infinite.
    """
    found = [[_number(row, name, what) for name in names] for row in rows]
    return np.array(found, dtype=np.float64).reshape(len(rows), len(names))


def _number(row: Mapping[str, Any], name: str, what: str) -> float:
    value = row.get(name)
    if value is None:
        raise Skip(f"{what} without a number {name!r}")
    if isinstance(value, np.generic) or (isinstance(value, Tensor) and value.numel() == 1):
        value = value.item()
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise Skip(f"{what} attribute {name!r} that is no number")
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise Skip(f"{what} attribute {name!r} that is NaN or infinite")
    return number


def learn(tables: Sequence[Table], names: Sequence[str], what: str) -> list[dict[str, Any]]:
    """Return name, mean and deviation of each number; a number that never changes has deviation 1.

    Raises:
        DataError: numbers too large to be squared, or no node (edge) in all graphs.
    """
    every = np.concatenate(tables) if tables else np.zeros((0, len(names)))
    if names and not len(every):
        raise DataError(
            f"no graph has any {what}s, whose numbers {', '.join(names)} would have a mean; "
            f"leave {what}_numbers out"
        )
    laws = []
    for name, column in zip(names, every.T, strict=True):
        with np.errstate(over="ignore", invalid="ignore"):
            mean, deviation = float(column.mean()), float(column.std())
        if not (math.isfinite(mean) and math.isfinite(deviation)):
            raise DataError(f"numbers of {name!r} are too large for a mean and a deviation")
        # Rounding of the mean gives equal numbers a deviation of about 1e-16 of their size.
        constant = deviation <= 1e-12 * max(abs(mean), float(np.abs(column).max()))
        laws.append({"name": name, "mean": mean, "deviation": 1.0 if constant else deviation})
    return laws


def node_array(tables: Sequence[Table], laws: Sequence[Law], size: int) -> Tensor:
    """Return standardised numbers of nodes, float32 `(B, N, A)`, 0 where there is no node."""
    stored = torch.zeros(len(tables), size, len(laws))
    for place, rows in enumerate(tables):
        stored[place, : len(rows)] = torch.from_numpy(_standardised(rows, laws))
    return stored


def edge_array(
    tables: Sequence[Table], ends: Sequence[NDArray[np.int64]], laws: Sequence[Law], size: int
) -> Tensor:
    """Return standardised numbers of pairs, float32 `(B, N, N, C)`, 0 where there is no edge."""
    stored = np.zeros((len(tables), size, size, len(laws)), dtype=np.float32)
    for array, rows, pairs in zip(stored, tables, ends, strict=True):
        u, v = pairs.T
        array[u, v] = array[v, u] = _standardised(rows, laws)
    return torch.from_numpy(stored)


def _standardised(rows: Table, laws: Sequence[Law]) -> NDArray[np.float32]:
    mean, deviation = _moments(laws)
    return ((rows - mean) / deviation).astype(np.float32)


def _moments(laws: Sequence[Law]) -> tuple[Table, Table]:
    return np.array([law["mean"] for law in laws]), np.array([law["deviation"] for law in laws])


# From points to graphs ----------------------------------------------------------------------------


def restored(
    points: Sequence[Tensor], vocabulary: Mapping[str, Any]
) -> tuple[Table | None, Table | None]:
    """Return the numbers of nodes `(B, N, A)` and pairs `(B, N, N, C)` in their own units.

    Arguments:
        points: labels, stored or one-hot or relaxed, and numbers.  Numbers of relaxed graphs are
            shares times numbers and are divided by the shares; both directions of an edge are
            averaged.
        vocabulary: of the data.

    Raises:
        ShapeError: other numbers than the vocabulary knows.
    """
    wanted = [vocabulary.get(key, []) for key in ("node_numbers", "edge_numbers")]
    parts = [part.detach().cpu().double() for part in points]
    given = list(parts[2:])
    shapes = [(dims, len(laws)) for dims, laws in zip((3, 4), wanted, strict=True) if laws]
    if [(part.dim(), part.shape[-1]) for part in given] != shapes:
        raise ShapeError(
            f"the vocabulary knows {len(wanted[0])} numbers of nodes and {len(wanted[1])} of "
            f"edges; the points have shapes {[tuple(part.shape) for part in points]}"
        )
    nodes = given.pop(0) / _shares(parts[0], 3) if wanted[0] else None
    edges = None
    if wanted[1]:
        shares = _shares(parts[1], 4)
        edges = given[0] + given[0].transpose(1, 2)
        edges = edges / (shares + shares.transpose(1, 2))
    return _in_units(nodes, wanted[0]), _in_units(edges, wanted[1])


def _shares(labels: Tensor, dims: int) -> Tensor:
    """Return to which share something is there, `(..., 1)`; 1 where it is not, since 0/1 is 0."""
    if labels.dim() < dims:
        return torch.ones_like(labels).unsqueeze(-1)
    shares = labels[..., 1:].sum(-1, keepdim=True) / labels.sum(-1, keepdim=True)
    return torch.where(shares > 0, shares, torch.ones_like(shares))


def _in_units(numbers: Tensor | None, laws: Sequence[Law]) -> Table | None:
    if numbers is None:
        return None
    mean, deviation = _moments(laws)
    rows: Table = numbers.numpy() * deviation + mean
    return rows


def write(view: Any, keys: Iterable[Any], rows: Table, laws: Sequence[Law]) -> None:
    """Write numbers into a graph's nodes or edges.

    Arguments:
        view: `graph.nodes` or `graph.edges`.
        keys: of nodes or edges, in the order of the rows.
        rows: numbers `(keys, names)`.
        laws: with the names.
    """
    names = [law["name"] for law in laws]
    for key, row in zip(keys, rows.tolist(), strict=True):
        view[key].update(zip(names, row, strict=True))


# What they are like -------------------------------------------------------------------------------


def real_names(graphs: Sequence[Graph]) -> Names:
    """Return the attributes, less "label", that are finite real numbers on all nodes (edges)."""
    return Names(
        _real_names([row for graph in graphs for _, row in graph.nodes(data=True)]),
        _real_names([row for graph in graphs for _, _, row in graph.edges(data=True)]),
    )


def _real_names(rows: Sequence[Mapping[str, Any]]) -> tuple[str, ...]:
    if not rows:
        return ()
    shared = [name for name in rows[0] if isinstance(name, str) and name != "label"]
    return tuple(name for name in shared if _is_real(rows, name))


def _is_real(rows: Sequence[Mapping[str, Any]], name: str) -> bool:
    try:
        table(rows, [name], "")
    except Skip:
        return False
    return True


def evaluate_numbers(
    graphs: Sequence[Graph], training: Sequence[Graph], held_out: Sequence[Graph], names: Names
) -> dict[str, float]:
    """Return how far the law of each number is from that of the held-out graphs.

    Arguments:
        graphs: generated graphs.
        training: the graphs trained on; if empty, floors are left out.
        held_out: graphs never trained on; if empty, nothing is returned.
        names: of the numbers.

    Returns:
        `node_NAME_w1` and `edge_NAME_w1`: W1 between the numbers of all nodes (edges) of the
        generated and of the held-out graphs, in the attribute's own unit, each with `..._floor`,
        training against held-out graphs.  NaN where one side has no nodes (edges) at all.
    """
    scores = {}
    for what, some in zip(("node", "edge"), names, strict=True):
        for name in some:
            laws = [_values(each, what, name) for each in (graphs, training, held_out)]
            if held_out:
                scores[f"{what}_{name}_w1"] = _w1(laws[0], laws[2])
            if held_out and training:
                scores[f"{what}_{name}_w1_floor"] = _w1(laws[1], laws[2])
    return scores


def _values(graphs: Sequence[Graph], what: str, name: str) -> list[float]:
    views = (graph.nodes if what == "node" else graph.edges for graph in graphs)
    return [float(row[name]) for view in views for *_, row in view(data=True) if name in row]


def _w1(one: Sequence[float], other: Sequence[float]) -> float:
    from scipy.stats import wasserstein_distance

    return float(wasserstein_distance(one, other)) if one and other else math.nan
