"""The recipe `graphs`: a set of labelled graphs in, new graphs out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, final

from wgankit.domain import Domain, Encoded, Model, Reading, Vocabulary
from wgankit.errors import SettingError
from wgankit.space import Points, leaves
from wgankit_graphs.blocks import BlockGenerator, PairLatent, WalkCritic
from wgankit_graphs.labelled import Blur, LabelledGraphs, canonical_order, one_hot
from wgankit_graphs.networks import GraphCritic, GraphGenerator, GraphLatent
from wgankit_graphs.trees import TreeGenerator

if TYPE_CHECKING:
    from torch import nn


def build_model(vocabulary: Vocabulary, settings: Mapping[str, Any]) -> Model:
    """Return space, latent and networks for labelled graphs.

    Arguments:
        vocabulary: with "nodes" and "edges" (lists of labels), "size" (N), "sizes" (histogram).
        settings: `settings["model"]` holds `width`, `layers`, `generator_layers`, `steps` (of the
            critic's random walks), `per_node`, `per_graph`, `labels`, `blur`, and the metric:
            `node_weight`, `edge_weight`, `p`; `generator` is "attention", "blocks" (edges drawn
            given blocks) or "tree" (nodes point at parents), `blocks` how many tokens the last two
            have, and `critic` "messages" or "walks".
    """
    unknown = set(settings["model"]) - set(MODEL)
    if unknown:
        raise SettingError(
            f"model has no setting {', '.join(sorted(unknown))}; there are {', '.join(MODEL)}"
        )
    model = {**MODEL, **settings["model"]}
    for name, kinds in KINDS.items():
        if model[name] not in kinds:
            raise SettingError(f"model {name} is one of {', '.join(kinds)}; got {model[name]!r}")
    if model["generator"] != "attention":
        return _drawn_model(vocabulary, model)
    node_labels, edge_labels = len(vocabulary["nodes"]) + 1, len(vocabulary["edges"]) + 1
    latent = {name: model[name] for name in ("per_node", "per_graph")}
    return Model(
        space=LabelledGraphs(model["node_weight"], model["edge_weight"], model["p"]),
        latent=GraphLatent(vocabulary["sizes"], vocabulary["size"], **latent),
        generator=GraphGenerator(
            node_labels,
            edge_labels,
            vocabulary["size"],
            node_law=vocabulary.get("node_counts"),
            edge_law=edge_law(vocabulary),
            **latent,
            width=model["width"],
            layers=model["generator_layers"],
            labels=model["labels"],
        ),
        critic=_critic(node_labels, edge_labels, model),
        prepare=partial(one_hot, node_labels=node_labels, edge_labels=edge_labels),
        noise=Blur(model["blur"]) if model["blur"] else None,
    )


def _critic(node_labels: int, edge_labels: int, model: Mapping[str, Any]) -> nn.Module:
    sizes = {"width": model["width"], "layers": model["layers"]}
    if model["critic"] == "walks":
        return WalkCritic(node_labels, edge_labels, **sizes)
    return GraphCritic(node_labels, edge_labels, **sizes, steps=model["steps"])


def _drawn_model(vocabulary: Vocabulary, model: Mapping[str, Any]) -> Model:
    """Return a model whose generator draws edges, so that labels are hard in training too."""
    node_labels, edge_labels = len(vocabulary["nodes"]) + 1, len(vocabulary["edges"]) + 1
    latent = {name: model[name] for name in ("per_node", "per_graph")}
    sizes = {
        **latent,
        "blocks": model["blocks"],
        "node_law": vocabulary.get("node_counts"),
        "width": model["width"],
        "layers": model["generator_layers"],
    }
    generator: nn.Module
    if model["generator"] == "tree":
        generator = TreeGenerator(node_labels, edge_labels, vocabulary["size"], **sizes)
    else:
        generator = BlockGenerator(
            node_labels, edge_labels, vocabulary["size"], edge_law=edge_law(vocabulary), **sizes
        )
    return Model(
        space=LabelledGraphs(model["node_weight"], model["edge_weight"], model["p"]),
        latent=PairLatent(vocabulary["sizes"], vocabulary["size"], **latent),
        generator=generator,
        critic=_critic(node_labels, edge_labels, model),
        prepare=partial(one_hot, node_labels=node_labels, edge_labels=edge_labels),
    )


def edge_law(vocabulary: Vocabulary) -> list[float] | None:
    """Return how many pairs of nodes carry each edge label in the data, "nothing" first."""
    if "edge_counts" not in vocabulary:
        return None
    pairs = sum(k * (k - 1) / 2 * count for k, count in enumerate(vocabulary["sizes"]))
    edges = [float(count) for count in vocabulary["edge_counts"]]
    return [max(pairs - sum(edges), 1.0), *edges]


MODEL: dict[str, Any] = {
    "width": 64,
    "layers": 3,
    "generator_layers": 3,
    "steps": 6,
    "per_node": 16,
    "per_graph": 32,
    "labels": "soft",
    "blur": 0.2,
    "node_weight": 1.0,
    "edge_weight": 1.0,
    "p": 2.0,
    "generator": "attention",
    "blocks": 6,
    "critic": "messages",
}
"""Sizes of the networks and the metric; `model={...}` replaces some of them."""


KINDS = {
    "generator": ("attention", "blocks", "tree"),
    "critic": ("messages", "walks"),
}
"""Networks by name."""


@final
class LabelledGraphsDomain(Domain):
    """Sets of graphs: `networkx.Graph` or torch-geometric `Data`."""

    objects: ClassVar[str] = "graphs"
    defaults: ClassVar[Mapping[str, Any]] = {
        "steps": 5_000,
        "batch": 32,
        "n_critic": 2,
        "rate": 2e-4,
        "critic_rate": 1e-3,
        "ema": 0.995,
        "evaluate_on": 128,
        "held_out": 0.2,
        # Exact W1 over numbered graphs would choose badly: see docs/graphs.md.
        "best": ["spectrum_mmd", "lowest"],
        "model": MODEL,
    }

    def encode(
        self,
        objects: Sequence[Any],
        vocabulary: Vocabulary | None = None,
        *,
        largest: int | None = None,
    ) -> Encoded:
        """Turn graphs into integer labels (see `encode_graphs`)."""
        from wgankit_graphs.encoding import encode_graphs

        return encode_graphs(objects, vocabulary, largest=largest)

    def decode(self, points: Points, vocabulary: Vocabulary) -> list[Any]:
        """Turn labels into networkx graphs."""
        from wgankit_graphs.encoding import decode_graphs

        return list(decode_graphs(leaves(points), vocabulary))

    def build(self, vocabulary: Vocabulary, settings: Mapping[str, Any]) -> Model:
        """Build the networks for a vocabulary."""
        return build_model(vocabulary, settings)

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
        """Return uniqueness, novelty and the published distances between graph statistics."""
        from wgankit_graphs.metrics import evaluate_graphs

        return evaluate_graphs(objects, training, held_out)

    def picture(self, objects: Sequence[Any]) -> str | None:
        """Draw graphs side by side."""
        from wgankit_graphs.pictures import draw_graphs

        return draw_graphs(objects)

    def align(self, points: Points) -> Points:
        """Number the nodes by what their surroundings look like."""
        return canonical_order(points)
