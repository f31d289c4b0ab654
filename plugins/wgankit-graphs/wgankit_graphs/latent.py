"""The recipe `graphs:latent`: a generator of points of an autoencoder of whole graphs.

An autoencoder learns from the training graphs alone, before the training of the generator, and then
stays as it is.  Generator and critic see points of its sphere.  What the generator makes is decoded
and encoded again a few times, all within the generator, and that is what the critic judges: the
game is about graphs that the autoencoder finds likely.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, final

import torch

from wgankit.domain import LEARNT, Encoded, Learnt, Model, Vocabulary, Workshop, part_of
from wgankit.errors import SettingError
from wgankit.latent import Normal
from wgankit.latent_networks import (
    Blur,
    LatentCritic,
    LatentGenerator,
    Law,
    Prepared,
    law_of,
    moved,
)
from wgankit.space import Points, batch_size, leaves, pick
from wgankit.spaces import Sphere
from wgankit.state import seeded
from wgankit_graphs import autoencoder as autoencoders
from wgankit_graphs.autoencoder import Autoencoder, Refined, autoencoder_for, settings_from
from wgankit_graphs.memory import check_latent
from wgankit_graphs.objects import GraphsDomain
from wgankit_graphs.ordering import walked

if TYPE_CHECKING:
    from torch import Tensor

MODEL: dict[str, Any] = {
    "inputs": 64,
    "width": 256,
    "depth": 2,
    "rounds": 4,
    "blur": 0.4,
    "autoencoder": {},
}
"""Sizes of generator and critic; `model={...}` replaces some of them.

`inputs` are the normal numbers that a graph is made of; generator and critic have `depth` residual
blocks of `width`.  Points go through the autoencoder `rounds` times before they are judged or
decoded.  `blur` is the standard deviation of noise that real and generated points alike pass before
the critic; `autoencoder` holds settings of `wgankit_graphs.autoencoder.AUTOENCODER`.
"""

LAW, AUTOENCODER = "law.", "autoencoder."
"""How names begin of what was learnt: the law that the generator begins at, and the autoencoder."""

JUDGED = 2_000
"""Held-out graphs of which is told how many the autoencoder gives back."""


def learn_points(encoded: Encoded, training: Tensor, workshop: Workshop) -> Learnt:
    """Return graphs as points of an autoencoder, which learns from those to train on.

    Arguments:
        encoded: labelled graphs without numbers (see `encode_graphs`).
        training: places of those to learn from.
        workshop: where and how.
    """
    vocabulary, settings = encoded.vocabulary, workshop.settings
    model = model_of(settings)
    chosen = settings_from(model["autoencoder"])
    kinds, size = kinds_of(vocabulary), vocabulary["size"]
    check_latent(size, kinds, chosen, workshop.device)
    labels = walked(encoded.points, *kinds)
    with seeded(settings["seed"]):
        autoencoder = autoencoder_for(size, kinds, chosen)
    autoencoders.learn(
        autoencoder,
        pick(labels, training),
        kinds,
        chosen,
        seed=settings["seed"],
        device=workshop.device,
        folder=workshop.folder,
        teller=workshop.teller,
    )
    held_out = torch.ones(batch_size(labels), dtype=torch.bool)
    held_out[training] = False
    some = pick(labels, held_out.nonzero()[:JUDGED, 0])
    if batch_size(some):
        share = autoencoders.given_back(autoencoder, some, kinds)
        vocabulary = {**vocabulary, "given_back": share}
        workshop.teller.say(f"the autoencoder gives back {share:.1%} of held-out graphs")
    points = autoencoders.points_of(autoencoder, labels, kinds)
    with seeded(settings["seed"]):
        law = law_of(moved(points[training], chosen["level"]))
    state = {LAW + name: one for name, one in law._asdict().items()}
    state |= {AUTOENCODER + name: one for name, one in autoencoder.state_dict().items()}
    return Learnt((points, *leaves(labels)), {**vocabulary, "autoencoder": chosen}, state)


def build_points(vocabulary: Vocabulary, settings: Mapping[str, Any]) -> Model:
    """Return generator and critic for points of an autoencoder.

    Arguments:
        vocabulary: of `learn_points`.
        settings: `settings["model"]` as `MODEL`.
    """
    model, chosen = model_of(settings), vocabulary["autoencoder"]
    size, wide = chosen["latent"], {"width": model["width"], "depth": model["depth"]}
    law = Law(**learnt_part(vocabulary, LAW))
    generator = LatentGenerator(model["inputs"], size, **wide, law=law)
    return Model(
        space=Sphere(math.sqrt(size)),
        latent=Normal(model["inputs"]),
        generator=Refined(generator, taken(vocabulary), model["rounds"]),
        critic=LatentCritic(size, **wide),
        prepare=Prepared(0.0),
        noise=Blur(model["blur"]) if model["blur"] else None,
    )


def labels_of(points: Points, vocabulary: Vocabulary) -> tuple[Tensor, Tensor]:
    """Return the labels of points as a generator makes them, or of points that are stored.

    Arguments:
        points: `(B, n)` on any device; stored ones have their own labels beside them.
        vocabulary: of `learn_points`.

    Returns:
        Labels of nodes `(B, N)` and edges `(B, N, N)`, on the CPU.
    """
    parts = leaves(points)
    if len(parts) > 1:
        nodes, edges = parts[1:]
        return nodes, edges
    return autoencoders.likeliest_labels(taken(vocabulary), parts[0].detach().cpu().float())


def taken(vocabulary: Vocabulary) -> Autoencoder:
    """Return the autoencoder that a vocabulary holds."""
    # Weights that are replaced at once are neither drawn nor kept.
    with torch.device("meta"):
        autoencoder = autoencoder_for(
            vocabulary["size"], kinds_of(vocabulary), vocabulary["autoencoder"]
        )
    autoencoder.load_state_dict(learnt_part(vocabulary, AUTOENCODER), assign=True)
    return autoencoder.eval()


def learnt_part(vocabulary: Vocabulary, prefix: str) -> dict[str, Tensor]:
    """Return what was learnt under names with a prefix, without it, in float32.

    Arguments:
        vocabulary: of `learn_points`; what it holds may be stored in any precision.
        prefix: `LAW` or `AUTOENCODER`.
    """
    return {name: one.float() for name, one in part_of(vocabulary[LEARNT], prefix).items()}


def encoded_again(encoded: Encoded) -> Encoded:
    """Return graphs as they are stored, by the autoencoder that their vocabulary holds, if any."""
    known = encoded.vocabulary
    if LEARNT not in known or not encoded.kept:
        return encoded
    kinds = kinds_of(known)
    labels = walked(encoded.points, *kinds)
    points = autoencoders.points_of(taken(known), labels, kinds)
    return Encoded((points, *leaves(labels)), known, encoded.kept, encoded.skipped)


def kinds_of(vocabulary: Vocabulary) -> tuple[int, int]:
    """Return K and L, how many labels nodes and edges have, "nothing" included."""
    return len(vocabulary["nodes"]) + 1, len(vocabulary["edges"]) + 1


def model_of(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings of the model.

    Raises:
        SettingError: a setting that there is none of, or that cannot work.
    """
    unknown = set(settings["model"]) - set(MODEL)
    if unknown:
        raise SettingError(
            f"model has no setting {', '.join(sorted(unknown))}; there are {', '.join(MODEL)}"
        )
    model = {**MODEL, **settings["model"]}
    for name, least in (("inputs", 1), ("width", 1), ("depth", 0), ("rounds", 0)):
        if not isinstance(model[name], int) or model[name] < least:
            raise SettingError(
                f"model.{name} is a whole number of at least {least}; got {model[name]!r}"
            )
    if not (isinstance(model["blur"], int | float) and 0 <= model["blur"] < math.inf):
        raise SettingError(f"model.blur is a number >= 0; got {model['blur']!r}")
    settings_from(model["autoencoder"])
    return model


DEFAULTS: dict[str, Any] = {
    "steps": 400,
    "batch": 128,
    "n_critic": 5,
    "rate": 5e-4,
    "critic_rate": 1e-3,
    "ema": 0.99,
    "model": MODEL,
}
"""Settings of recipes whose points are those of an autoencoder of graphs."""


@final
class LatentGraphs(GraphsDomain):
    """Sets of labelled graphs as points of an autoencoder; real-valued attributes are left out."""

    defaults: ClassVar[Mapping[str, Any]] = {
        **DEFAULTS,
        "held_out": 0.2,
        "best": ["spectrum_mmd", "lowest"],
    }

    def __init__(self) -> None:
        super().__init__()

    def encode(
        self,
        objects: Sequence[Any],
        vocabulary: Vocabulary | None = None,
        *,
        largest: int | None = None,
    ) -> Encoded:
        """Turn graphs into labels, and into points if the vocabulary holds an autoencoder."""
        from wgankit_graphs.encoding import encode_graphs

        return encoded_again(encode_graphs(objects, vocabulary, largest=largest))

    def learn(self, encoded: Encoded, training: Tensor, workshop: Workshop) -> Learnt:
        """Train the autoencoder on the training graphs, and store all as points and labels."""
        return learn_points(encoded, training, workshop)

    def decode(self, points: Points, vocabulary: Vocabulary) -> list[Any]:
        """Turn points into networkx graphs."""
        from wgankit_graphs.encoding import decode_graphs

        return list(decode_graphs(labels_of(points, vocabulary), vocabulary))

    def build(self, vocabulary: Vocabulary, settings: Mapping[str, Any]) -> Model:
        """Build generator and critic for an autoencoder's points."""
        return build_points(vocabulary, settings)
