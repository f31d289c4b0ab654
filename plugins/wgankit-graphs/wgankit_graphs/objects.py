"""What every recipe of sets of graphs does with networkx graphs: files, figures and pictures."""

from __future__ import annotations

from abc import ABC
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

from wgankit.domain import Domain, Reading
from wgankit_graphs.attributes import names_of


class GraphsDomain(Domain, ABC):
    """Sets of graphs, `networkx.Graph` or torch-geometric `Data`; a recipe says which points.

    Arguments:
        node_numbers: names of real-valued attributes of nodes that graphs are generated with.
        edge_numbers: the same for edges.

    Raises:
        SettingError: names that come twice or are that of labels.
    """

    objects: ClassVar[str] = "graphs"

    def __init__(
        self, *, node_numbers: Sequence[str] = (), edge_numbers: Sequence[str] = ()
    ) -> None:
        self.names = names_of(node_numbers, edge_numbers, labels=("label", "label"))

    def read(self, path: Path) -> Reading:
        """Read GraphML, edge lists or .npz."""
        from wgankit_graphs.files import read_graphs

        return read_graphs(path)

    def write(self, objects: Sequence[Any], path: Path) -> None:
        """Write .npz or a folder of GraphML files."""
        from wgankit_graphs.files import write_graphs

        write_graphs(objects, path)

    def evaluate(
        self, objects: Sequence[Any], training: Sequence[Any], held_out: Sequence[Any]
    ) -> dict[str, float]:
        """Return uniqueness, novelty, published distances of statistics, and W1 of numbers."""
        from wgankit_graphs.attributes import evaluate_numbers, real_names
        from wgankit_graphs.encoding import as_networkx
        from wgankit_graphs.metrics import evaluate_graphs

        scores = evaluate_graphs(objects, training, held_out)
        made, known, real = (
            [as_networkx(graph, self.names) for graph in some]
            for some in (objects, training, held_out)
        )
        # A run that was loaded knows its numbers by its data, which holds nothing else but labels.
        names = self.names if any(self.names) else real_names([*known, *real])
        return scores | evaluate_numbers(made, known, real, names)

    def picture(self, objects: Sequence[Any]) -> str | None:
        """Draw graphs side by side, at the places that their numbers x and y say, if they have."""
        from wgankit_graphs.attributes import real_names
        from wgankit_graphs.pictures import draw_graphs

        known = set(real_names(objects).nodes)
        return draw_graphs(objects, places=("x", "y") if {"x", "y"} <= known else None)
