"""The recipes `superres` and `translate`: pictures made from other pictures."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, final

import torch
from torch import Tensor

from wgankit.domain import Domain, Encoded, Model, Reading, Vocabulary
from wgankit.errors import DataError, SettingError
from wgankit.recipes import Recipe
from wgankit.space import Points, leaves
from wgankit_images import aside
from wgankit_images.encoding import Batch, Pair, Picture, as_pictures, batch, from_bytes, stack
from wgankit_images.files import read_pairs, read_pictures, write_pictures
from wgankit_images.networks import NETWORKS
from wgankit_images.pictures import draw_pictures
from wgankit_images.recipe import METRIC, chosen, metric, of_one_size
from wgankit_images.spaces import Given, to_bytes, to_numbers
from wgankit_images.translation import (
    Content,
    GivenLatent,
    PairCritic,
    PatchCritic,
    Translator,
    deepest,
    with_smaller,
)

SUPERRES: dict[str, Any] = {
    "factor": 4,
    "content": 0.5,
    "width": 40,
    "blocks": 3,
    "fold": 2,
    "noise": 8,
    "network": "conv",
    "critic_width": 24,
    **METRIC,
}
"""Sizes, metric and `content` (see `Content`) of super-resolution; `model={...}` replaces some."""

TRANSLATE: dict[str, Any] = {
    "content": 0.05,
    "width": 40,
    "blocks": 3,
    "fold": 2,
    "noise": 8,
    "critic_width": 32,
    "depth": None,
    **METRIC,
}
"""The same of translation; `depth` is that of the patch critic, None for 3, or as deep as a smaller
picture allows."""

_NETWORK = ("width", "blocks", "fold", "noise")
_TRAINING: dict[str, Any] = {
    "steps": 800,
    "batch": 32,
    "n_critic": 2,
    "rate": 5e-4,
    "critic_rate": 1e-3,
    "ema": 0.99,
    "held_out": 0.2,
    "evaluate_on": 4 * aside.MOST,
    "best": ["fid", "lowest"],
}


@final
class SuperResolution(Domain):
    """Pictures, made anew from smaller ones; each made one is a `Pair` with what it was given.

    Some pictures are set aside; what `sample` makes is made from these, whose truth is known.
    """

    objects: ClassVar[str] = "pictures"
    defaults: ClassVar[Mapping[str, Any]] = {**_TRAINING, "model": SUPERRES}

    def encode(
        self,
        objects: Sequence[Any],
        vocabulary: Vocabulary | None = None,
        *,
        largest: int | None = None,
    ) -> Encoded:
        """Scale pictures down to one size (see `Images.encode`), and set some of them aside."""
        found = of_one_size(objects, vocabulary or {}, largest)
        skipped = found.skipped
        if vocabulary is not None:
            return Encoded(found.pixels, vocabulary, found.kept, skipped)
        kept, apart = _set_aside(len(found.kept))
        skipped[aside.REASON] += len(apart)
        words = {
            "size": found.pixels.shape[-1],
            "channels": found.pixels.shape[1],
            "aside": aside.pack(found.pixels[apart]),
        }
        return Encoded(found.pixels[kept], words, [found.kept[place] for place in kept], skipped)

    def decode(self, points: Points, vocabulary: Vocabulary) -> list[Any]:
        """Turn points into pairs, and stored bytes into pictures."""
        if isinstance(points, Tensor):
            return list(from_bytes(points))
        made, given = leaves(points)
        truth = aside.unpack(vocabulary["aside"])
        known = to_bytes(with_smaller(truth, factor=made.shape[-1] // given.shape[-1])[1])
        return list(aside.pairs(made, given, known, truth))

    def build(self, vocabulary: Vocabulary, settings: Mapping[str, Any]) -> Model:
        """Build the networks for a size, a number of channels and a factor."""
        model = chosen(settings["model"], SUPERRES)
        if model["network"] not in NETWORKS:
            raise SettingError(
                f"model.network is one of {', '.join(NETWORKS)}; got {model['network']!r}"
            )
        size, channels, factor = vocabulary["size"], vocabulary["channels"], model["factor"]
        space = Given(metric(model))
        generator = Translator(
            size,
            channels,
            factor=factor,
            consistent=True,
            **{name: model[name] for name in _NETWORK},
        )
        given = with_smaller(aside.unpack(vocabulary["aside"]), factor=factor)[1]
        critic = NETWORKS[model["network"]][1]
        return Model(
            space=space,
            latent=GivenLatent(given, generator.noise),
            generator=generator,
            critic=PairCritic(critic(size, 2 * channels, width=model["critic_width"])),
            prepare=partial(with_smaller, factor=factor),
            content=Content(space, model["content"]) if model["content"] else None,
        )

    def read(self, path: Path) -> Reading:
        """Read a folder of pictures, an array, MNIST's files, or pairs that `write` wrote."""
        return read_pictures(path)

    def write(self, objects: Sequence[Any], path: Path) -> None:
        """Write a folder of PNG files, for pairs with the subfolders given, picture and truth."""
        write_pictures(objects, path)

    def evaluate(
        self, objects: Sequence[Any], training: Sequence[Any], held_out: Sequence[Any]
    ) -> dict[str, float]:
        """Return errors and distances between laws, beside those of the least-squares network."""
        from wgankit_images.squares import judge_restored, shrunk

        if not objects or not isinstance(objects[0], Pair):
            raise DataError("super-resolution judges pairs of pictures, such as recipe.sample(96)")
        factor = len(objects[0].picture) // len(objects[0].given)
        return judge_restored(objects, shrunk(training, factor), held_out)

    def picture(self, objects: Sequence[Any]) -> str | None:
        """Draw what was given, what was made and what is true, side by side."""
        return draw_pictures(objects, columns=12) if objects else None


@final
class Translation(Domain):
    """Pairs (given, picture) of pictures of one size, such as edges and what has them.

    Some pairs are set aside; what `sample` makes is made from these, whose truth is known.
    """

    objects: ClassVar[str] = "pairs of pictures"
    defaults: ClassVar[Mapping[str, Any]] = {**_TRAINING, "rate": 1e-3, "model": TRANSLATE}

    def encode(
        self,
        objects: Sequence[Any],
        vocabulary: Vocabulary | None = None,
        *,
        largest: int | None = None,
    ) -> Encoded:
        """Scale pairs down to one size (see `Images.encode`), and set some of them aside.

        Arguments:
            objects: pairs (given, picture) of arrays, tensors or Pillow images.
            vocabulary: says size and channels.
            largest: the side in pixels that larger pictures are scaled down to, 64 by default.
        """
        found = _both(objects, vocabulary or {}, largest)
        picture, given = leaves(found.points)
        if vocabulary is not None:
            return Encoded(found.points, vocabulary, found.kept, found.skipped)
        kept, apart = _set_aside(len(found.kept))
        found.skipped[aside.REASON] += len(apart)
        words = {
            "size": picture.shape[-1],
            "channels": picture.shape[1],
            "given_channels": given.shape[1],
            "aside": aside.pack(picture[apart]),
            "given_aside": aside.pack(given[apart]),
        }
        rows = [found.kept[place] for place in kept]
        return Encoded((picture[kept], given[kept]), words, rows, found.skipped)

    def decode(self, points: Points, vocabulary: Vocabulary) -> list[Any]:
        """Turn points, or stored bytes, into pairs."""
        made, given = leaves(points)
        if not made.is_floating_point():
            return [Pair(*both) for both in zip(from_bytes(given), from_bytes(made), strict=True)]
        known, truth = (aside.unpack(vocabulary[name]) for name in ("given_aside", "aside"))
        return list(aside.pairs(made, given, known, truth))

    def build(self, vocabulary: Vocabulary, settings: Mapping[str, Any]) -> Model:
        """Build the networks for a size and the channels of both pictures."""
        model = chosen(settings["model"], TRANSLATE)
        size, channels = vocabulary["size"], vocabulary["channels"]
        others = vocabulary["given_channels"]
        space = Given(metric(model))
        generator = Translator(
            size, channels, given=others, factor=1, **{name: model[name] for name in _NETWORK}
        )
        depth = deepest(size) if model["depth"] is None else model["depth"]
        critic = PatchCritic(size, channels + others, width=model["critic_width"], depth=depth)
        return Model(
            space=space,
            latent=GivenLatent(
                to_numbers(aside.unpack(vocabulary["given_aside"])), generator.noise
            ),
            generator=generator,
            critic=PairCritic(critic),
            prepare=_prepared,
            content=Content(space, model["content"]) if model["content"] else None,
        )

    def read(self, path: Path) -> Reading:
        """Read a folder of pairs (see `read_pairs`)."""
        return read_pairs(path)

    def write(self, objects: Sequence[Any], path: Path) -> None:
        """Write a folder of PNG files with the subfolders given, picture and truth."""
        write_pictures(objects, path)

    def evaluate(
        self, objects: Sequence[Any], training: Sequence[Any], held_out: Sequence[Any]
    ) -> dict[str, float]:
        """Return errors and distances between laws, beside those of the least-squares network."""
        from wgankit_images.squares import judge_restored

        return judge_restored(objects, training, [each.picture for each in held_out])

    def picture(self, objects: Sequence[Any]) -> str | None:
        """Draw what was given, what was made and what is true, side by side."""
        return draw_pictures(objects, columns=12) if objects else None


def _prepared(pixels: Points) -> Points:
    picture, given = leaves(pixels)
    return to_numbers(picture), to_numbers(given)


def _set_aside(count: int) -> tuple[list[int], list[int]]:
    if count < 2:
        raise DataError(f"one picture is set aside, and {count} are there; give more")
    return aside.split(count)


def _both(objects: Sequence[Any], vocabulary: Vocabulary, largest: int | None) -> Encoded:
    """Return the pairs of which both pictures can be used; points are (pictures, given)."""
    for each in objects:
        if not isinstance(each, tuple | list) or len(each) < 2:
            raise DataError(
                "translation learns from pairs (given, picture), such as wgankit_images.Pair; "
                f"got {type(each).__name__}"
            )
    first = of_one_size([each[1] for each in objects], vocabulary, largest)
    second = batch(
        as_pictures([each[0] for each in objects]),
        size=first.pixels.shape[-1],
        channels=vocabulary.get("given_channels"),
    )
    both = sorted(set(first.kept) & set(second.kept))
    if not both:
        raise DataError("of no pair can both pictures be used")
    faults = Counter({**second.faults, **first.faults}.values())  # one reason for each pair
    picture, given = (_rows(each, both) for each in (first, second))
    return Encoded((picture, given), {}, both, faults)


def _rows(found: Batch, wanted: Sequence[int]) -> Tensor:
    """Return the pictures of the wanted objects."""
    place_of = {place: row for row, place in enumerate(found.kept)}
    return found.pixels[[place_of[place] for place in wanted]]


# Using what was trained -----------------------------------------------------------------------


@torch.no_grad()
def restore(recipe: Recipe, given: Sequence[Any], *, seed: int = 0) -> list[Picture]:
    """Return a picture made from each of some given ones by a trained `superres` or `translate`.

    Arguments:
        recipe: the trained recipe.
        given: pictures of the size, and in the colours, that it was trained to be given.
        seed: of the noise: another seed makes other pictures.
    """
    network = recipe.generator()
    if not isinstance(network, Translator):
        raise DataError(f"only superres and translate make pictures from others; got {recipe!r}")
    pictures = as_pictures(given)
    for place, each in enumerate(pictures):
        if isinstance(each, str):
            raise DataError(f"number {place} of these is {each}")
    numbers = stack([each for each in pictures if not isinstance(each, str)]) / 127.5 - 1
    noise = torch.randn(len(numbers), *network.noise, generator=torch.Generator().manual_seed(seed))
    device = next(network.parameters()).device
    return from_bytes(to_bytes(network((numbers.to(device), noise.to(device)))[0]))
