"""The recipe `graphs`: a set of labelled graphs in, new graphs out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, final

from wgankit.domain import LEARNT, Encoded, Learnt, Model, Vocabulary, Workshop
from wgankit.errors import SettingError
from wgankit.space import Points, batch_size, leaves, pick
from wgankit_graphs.attributes import known_names
from wgankit_graphs.blocks import BlockGenerator, PairLatent, WalkCritic
from wgankit_graphs.choices import Choices
from wgankit_graphs.labelled import Blur, LabelledGraphs, canonical_order, one_hot
from wgankit_graphs.memory import check_training
from wgankit_graphs.networks import GraphCritic, GraphGenerator, GraphLatent
from wgankit_graphs.numbered import NumberedGraphs, OnLabels, canonical_numbering, relaxed
from wgankit_graphs.objects import GraphsDomain
from wgankit_graphs.plane import PlaneGenerator
from wgankit_graphs.trees import TreeGenerator

if TYPE_CHECKING:
    from torch import Tensor, nn


def build_model(vocabulary: Vocabulary, settings: Mapping[str, Any]) -> Model:
    """Return space, latent and networks for labelled graphs.

    Arguments:
        vocabulary: with "nodes" and "edges" (lists of labels), "size" (N), "sizes" (histogram).
        settings: `settings["model"]` holds `width`, `layers`, `generator_layers`, `steps` (of the
            critic's random walks), `per_node`, `per_graph`, `labels`, `blur`, and the metric:
            `node_weight`, `edge_weight`, `p`; `generator` is "attention", "blocks" (edges drawn
            given blocks), "tree" (nodes point at parents) or "plane" (nodes are places); `blocks`
            is how many tokens blocks and trees have, `places_steps` how long places are learnt
            before the game, and `critic` "messages" or "walks".  Of graphs with numbers also
            `node_number_weight` and `edge_number_weight`, the costs of a deviation.
    """
    has_numbers = any(known_names(vocabulary))
    known = {**MODEL, **NUMBERS} if has_numbers else MODEL
    unknown = set(settings["model"]) - set(known)
    if unknown:
        raise SettingError(
            f"model has no setting {', '.join(sorted(unknown))}; there are {', '.join(known)}"
        )
    model = {**known, **settings["model"]}
    for name, kinds in KINDS.items():
        if model[name] not in kinds:
            raise SettingError(f"model {name} is one of {', '.join(kinds)}; got {model[name]!r}")
    if has_numbers:
        return _numbered_model(vocabulary, model)
    if model["generator"] != "attention":
        return _drawn_model(vocabulary, model)
    node_labels, edge_labels = len(vocabulary["nodes"]) + 1, len(vocabulary["edges"]) + 1
    latent = {name: model[name] for name in ("per_node", "per_graph")}
    return Model(
        space=LabelledGraphs(model["node_weight"], model["edge_weight"], model["p"]),
        latent=GraphLatent(vocabulary["sizes"], vocabulary["size"], **latent),
        generator=_generator(vocabulary, model),
        critic=_critic(node_labels, edge_labels, model),
        prepare=partial(one_hot, node_labels=node_labels, edge_labels=edge_labels),
        noise=Blur(model["blur"]) if model["blur"] else None,
    )


def _numbered_model(vocabulary: Vocabulary, model: Mapping[str, Any]) -> Model:
    """Return a model of graphs whose nodes or edges have real numbers."""
    for name, kind in (("generator", "attention"), ("critic", "messages")):
        if model[name] != kind:
            raise SettingError(
                f"graphs with numbers have the {name} {kind!r} only; got {model[name]!r}: leave "
                f"out node_numbers and edge_numbers, or model={{{name!r}: {kind!r}}}"
            )
    node_labels, edge_labels = len(vocabulary["nodes"]) + 1, len(vocabulary["edges"]) + 1
    nodes, edges = map(len, known_names(vocabulary))
    latent = {name: model[name] for name in ("per_node", "per_graph")}
    numbers = {"node_numbers": nodes, "edge_numbers": edges}
    return Model(
        space=NumberedGraphs(
            model["node_weight"],
            model["edge_weight"],
            model["p"],
            **{name: model[name] for name in NUMBERS},
        ),
        latent=GraphLatent(vocabulary["sizes"], vocabulary["size"], **latent),
        generator=_generator(vocabulary, model, **numbers),
        critic=_critic(node_labels, edge_labels, model, **numbers),
        prepare=partial(relaxed, node_labels=node_labels, edge_labels=edge_labels),
        noise=OnLabels(Blur(model["blur"])) if model["blur"] else None,
    )


def _generator(vocabulary: Vocabulary, model: Mapping[str, Any], **numbers: int) -> GraphGenerator:
    return GraphGenerator(
        len(vocabulary["nodes"]) + 1,
        len(vocabulary["edges"]) + 1,
        vocabulary["size"],
        node_law=vocabulary.get("node_counts"),
        edge_law=edge_law(vocabulary),
        per_node=model["per_node"],
        per_graph=model["per_graph"],
        **numbers,
        width=model["width"],
        layers=model["generator_layers"],
        labels=model["labels"],
    )


def _critic(
    node_labels: int, edge_labels: int, model: Mapping[str, Any], **numbers: int
) -> nn.Module:
    sizes = {"width": model["width"], "layers": model["layers"]}
    if model["critic"] == "walks":
        return WalkCritic(node_labels, edge_labels, **sizes)
    return GraphCritic(node_labels, edge_labels, **sizes, steps=model["steps"], **numbers)


def _drawn_model(vocabulary: Vocabulary, model: Mapping[str, Any]) -> Model:
    """Return a model whose generator draws edges, so that labels are hard in training too."""
    node_labels, edge_labels = len(vocabulary["nodes"]) + 1, len(vocabulary["edges"]) + 1
    if model["generator"] == "plane":
        critic = _critic(node_labels, edge_labels, model)
        rule = vocabulary.get(LEARNT)
        return Model(
            space=LabelledGraphs(model["node_weight"], model["edge_weight"], model["p"]),
            latent=PairLatent(vocabulary["sizes"], vocabulary["size"], 2, 1),
            generator=PlaneGenerator(node_labels, edge_labels, rule=rule, width=model["width"]),
            critic=critic,
            prepare=partial(one_hot, node_labels=node_labels, edge_labels=edge_labels),
        )
    latent = {name: model[name] for name in ("per_node", "per_graph")}
    sizes = {
        **latent,
        "blocks": model["blocks"],
        "node_law": vocabulary.get("node_counts"),
        "width": model["width"],
        "layers": model["generator_layers"],
    }
    size, pairs = vocabulary["size"], PairLatent(vocabulary["sizes"], vocabulary["size"], **latent)
    generator: TreeGenerator | BlockGenerator
    # Networks draw their weights in the order in which they are made, and the figures of
    # docs/graphs.md are of these orders.
    if model["generator"] == "tree":
        generator = TreeGenerator(node_labels, edge_labels, size, **sizes)
        critic = _critic(node_labels, edge_labels, model)
    else:
        law, critic = edge_law(vocabulary), _critic(node_labels, edge_labels, model)
        generator = BlockGenerator(node_labels, edge_labels, size, edge_law=law, **sizes)
    return Model(
        space=LabelledGraphs(model["node_weight"], model["edge_weight"], model["p"]),
        latent=pairs,
        generator=generator,
        critic=critic,
        prepare=partial(one_hot, node_labels=node_labels, edge_labels=edge_labels),
        content=Choices(critic, generator, pairs),
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
    "places_steps": 2_000,
    "critic": "messages",
}
"""Sizes of the networks and the metric; `model={...}` replaces some of them."""


NUMBERS: dict[str, Any] = {"node_number_weight": 1.0, "edge_number_weight": 1.0}
"""Further settings of `model={...}` where nodes or edges have real numbers."""


KINDS = {
    "generator": ("attention", "blocks", "tree", "plane"),
    "critic": ("messages", "walks"),
}
"""Networks by name."""


@final
class LabelledGraphsDomain(GraphsDomain):
    """Sets of graphs: `networkx.Graph` or torch-geometric `Data`.

    Arguments:
        node_numbers: names of real-valued attributes of nodes that graphs are generated with;
            `wgankit.Recipe(LabelledGraphsDomain(node_numbers=["x"]), "graphs")` trains them, and
            `wgankit.load` needs no names.
        edge_numbers: the same for edges.

    Raises:
        SettingError: names that come twice or are that of labels.
    """

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
        """Turn graphs into labels and numbers (see `encode_graphs`)."""
        from wgankit_graphs.encoding import encode_graphs

        nodes, edges = self.names
        return encode_graphs(
            objects, vocabulary, largest=largest, node_numbers=nodes, edge_numbers=edges
        )

    def learn(self, encoded: Encoded, training: Tensor, workshop: Workshop) -> Learnt:
        """Refuse graphs whose training would not fit into memory; learn the rule of a plane."""
        model = {**MODEL, **workshop.settings["model"]}
        settings = {**workshop.settings, "model": model}
        check_training(batch_size(encoded.points), encoded.vocabulary, settings, workshop.device)
        if model["generator"] != "plane":
            return super().learn(encoded, training, workshop)
        from wgankit_graphs.places import learn_rule

        # Refuse labels that cannot be made before anything is learnt.
        self.build(encoded.vocabulary, workshop.settings)
        nodes, edges = leaves(pick(encoded.points, training))
        rule = learn_rule(
            edges > 0,
            nodes > 0,
            steps=model["places_steps"],
            seed=workshop.settings["seed"],
            device=workshop.device,
            folder=workshop.folder,
            teller=workshop.teller,
        )
        return Learnt(encoded.points, encoded.vocabulary, dict(rule.state_dict()))

    def decode(self, points: Points, vocabulary: Vocabulary) -> list[Any]:
        """Turn labels and numbers into networkx graphs."""
        from wgankit_graphs.encoding import decode_graphs

        return list(decode_graphs(leaves(points), vocabulary))

    def build(self, vocabulary: Vocabulary, settings: Mapping[str, Any]) -> Model:
        """Build the networks for a vocabulary."""
        return build_model(vocabulary, settings)

    def align(self, points: Points) -> Points:
        """Number the nodes by their numbers, or by what their surroundings look like."""
        return canonical_order(points) if len(leaves(points)) == 2 else canonical_numbering(points)
