"""The recipe `images`: pictures in, new pictures out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, final

from wgankit.domain import Domain, Encoded, Model, Reading, Vocabulary
from wgankit.errors import SettingError
from wgankit.latent import Normal
from wgankit.space import Points, SmoothSpace, leaves
from wgankit_images.encoding import Batch, Pair, as_pictures, batch, from_bytes, stack
from wgankit_images.files import read_pictures, write_pictures
from wgankit_images.networks import NETWORKS
from wgankit_images.spaces import picture_space, to_bytes, to_numbers

METRIC: dict[str, Any] = {"norm": "l2", "order": 1.0, "length": 1.0, "unit": 1.0}
"""The metric of pictures: `norm` is l2, l1, linf or sobolev, of which `order` and `length` are."""

MODEL: dict[str, Any] = {"network": "conv", "width": 32, "latent": 64, **METRIC}
"""Sizes of the networks and the metric; `model={...}` replaces some of them."""


def chosen(model: Mapping[str, Any], known: Mapping[str, Any]) -> dict[str, Any]:
    """Return settings of a model with the given ones in place of known ones.

    Raises:
        SettingError: a given one is unknown.
    """
    unknown = set(model) - set(known)
    if unknown:
        raise SettingError(
            f"model has no setting {', '.join(sorted(unknown))}; there are {', '.join(known)}"
        )
    return {**known, **model}


def metric(model: Mapping[str, Any]) -> SmoothSpace:
    """Return the space of pictures in [-1, 1] that the settings of a model name."""
    return picture_space(**{name: model[name] for name in METRIC})


def prepared(pixels: Points) -> Points:
    """Return stored bytes as the numbers that networks work on."""
    return to_numbers(leaves(pixels)[0])


@final
class Images(Domain):
    """Pictures of one size: arrays, files, a data set's name."""

    objects: ClassVar[str] = "pictures"
    defaults: ClassVar[Mapping[str, Any]] = {
        "steps": 8_000,
        "batch": 64,
        "n_critic": 2,
        "rate": 1e-3,
        "ema": 0.995,
        "held_out": 0.25,
        "evaluate_on": 500,
        # Exact W1 in pixels prefers a mean picture to a sharp one; see docs/images.md.
        "best": ["fid", "lowest"],
        "model": MODEL,
    }

    def encode(
        self,
        objects: Sequence[Any],
        vocabulary: Vocabulary | None = None,
        *,
        largest: int | None = None,
    ) -> Encoded:
        """Cut the middle squares out of pictures and scale them down to one size.

        Arguments:
            objects: arrays `(H, W)` or `(H, W, 3)`, tensors `(C, H, W)`, Pillow images.
            vocabulary: says size and channels.
            largest: the side in pixels that larger pictures are scaled down to, 64 by default.
        """
        found = of_one_size(objects, vocabulary or {}, largest)
        words = {"size": found.pixels.shape[-1], "channels": found.pixels.shape[1]}
        return Encoded(found.pixels, vocabulary or words, found.kept, found.skipped)

    def decode(self, points: Points, vocabulary: Vocabulary) -> list[Any]:
        """Turn points, or stored bytes, into arrays of bytes `(S, S)` or `(S, S, 3)`."""
        pixels = leaves(points)[0]
        return list(from_bytes(to_bytes(pixels) if pixels.is_floating_point() else pixels))

    def build(self, vocabulary: Vocabulary, settings: Mapping[str, Any]) -> Model:
        """Build the networks for a size and a number of channels."""
        model = chosen(settings["model"], MODEL)
        if model["network"] not in NETWORKS:
            raise SettingError(
                f"model.network is one of {', '.join(NETWORKS)}; got {model['network']!r}"
            )
        generator, critic = NETWORKS[model["network"]]
        size, channels = vocabulary["size"], vocabulary["channels"]
        return Model(
            space=metric(model),
            latent=Normal(model["latent"]),
            generator=generator(model["latent"], size, channels, width=model["width"]),
            critic=critic(size, channels, width=model["width"]),
            prepare=prepared,
        )

    def read(self, path: Path) -> Reading:
        """Read a folder of pictures, an array, or MNIST's files (see `read_pictures`)."""
        return read_pictures(path)

    def write(self, objects: Sequence[Any], path: Path) -> None:
        """Write a folder of PNG files, or a `.npy` array."""
        write_pictures(objects, path)

    def evaluate(
        self, objects: Sequence[Any], training: Sequence[Any], held_out: Sequence[Any]
    ) -> dict[str, float]:
        """Return FID, KID, precision, recall and spectral distance to held-out pictures."""
        from wgankit_images.metrics import compare

        if not len(held_out):
            return {}
        return compare(*map(stack, (objects, held_out, training)))

    def picture(self, objects: Sequence[Any]) -> str | None:
        """Draw pictures side by side."""
        from wgankit_images.pictures import draw_pictures

        return draw_pictures(objects) if len(objects) else None


def of_one_size(objects: Sequence[Any], vocabulary: Vocabulary, largest: int | None) -> Batch:
    """Return objects (of pairs, the pictures) as a batch of the vocabulary's size, if it has one.

    Arguments:
        objects: as in `Images.encode`, or pairs.
        vocabulary: with "size" and "channels", or empty.
        largest: as in `Images.encode`.
    """
    pictures = [each.picture if isinstance(each, Pair) else each for each in objects]
    return batch(
        as_pictures(pictures),
        size=vocabulary.get("size"),
        channels=vocabulary.get("channels"),
        largest=largest,
    )
