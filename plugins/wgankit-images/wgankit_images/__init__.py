"""Pictures for wgankit: norms in the pixels' units, new pictures, super-resolution, translation."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import wgankit

WGANKIT_API = 1

_WHERE = {
    "Given": "spaces",
    "picture_space": "spaces",
    "to_bytes": "spaces",
    "to_numbers": "spaces",
    "ConvCritic": "networks",
    "ConvGenerator": "networks",
    "ResidualCritic": "networks",
    "ResidualGenerator": "networks",
    "Content": "translation",
    "GivenLatent": "translation",
    "PairCritic": "translation",
    "PatchCritic": "translation",
    "Translator": "translation",
    "AlongData": "manifold",
    "InLatent": "manifold",
    "Pair": "encoding",
    "read_pictures": "files",
    "write_pictures": "files",
    "FeatureNetwork": "features",
    "extract": "features",
    "train_features": "features",
    "compare": "metrics",
    "frechet_distance": "metrics",
    "kernel_distance": "metrics",
    "power_spectrum": "metrics",
    "precision_recall": "metrics",
    "psnr": "metrics",
    "spectral_distance": "metrics",
    "draw_pictures": "pictures",
    "grid": "pictures",
    "strips": "pictures",
    "Images": "recipe",
    "SuperResolution": "restoring",
    "Translation": "restoring",
    "restore": "restoring",
    "train_squares": "squares",
}


if TYPE_CHECKING:
    from wgankit_images.encoding import Pair as Pair
    from wgankit_images.features import FeatureNetwork as FeatureNetwork
    from wgankit_images.features import extract as extract
    from wgankit_images.features import train_features as train_features
    from wgankit_images.files import read_pictures as read_pictures
    from wgankit_images.files import write_pictures as write_pictures
    from wgankit_images.manifold import AlongData as AlongData
    from wgankit_images.manifold import InLatent as InLatent
    from wgankit_images.metrics import compare as compare
    from wgankit_images.metrics import frechet_distance as frechet_distance
    from wgankit_images.metrics import kernel_distance as kernel_distance
    from wgankit_images.metrics import power_spectrum as power_spectrum
    from wgankit_images.metrics import precision_recall as precision_recall
    from wgankit_images.metrics import psnr as psnr
    from wgankit_images.metrics import spectral_distance as spectral_distance
    from wgankit_images.networks import ConvCritic as ConvCritic
    from wgankit_images.networks import ConvGenerator as ConvGenerator
    from wgankit_images.networks import ResidualCritic as ResidualCritic
    from wgankit_images.networks import ResidualGenerator as ResidualGenerator
    from wgankit_images.pictures import draw_pictures as draw_pictures
    from wgankit_images.pictures import grid as grid
    from wgankit_images.pictures import strips as strips
    from wgankit_images.recipe import Images as Images
    from wgankit_images.restoring import SuperResolution as SuperResolution
    from wgankit_images.restoring import Translation as Translation
    from wgankit_images.restoring import restore as restore
    from wgankit_images.spaces import Given as Given
    from wgankit_images.spaces import picture_space as picture_space
    from wgankit_images.spaces import to_bytes as to_bytes
    from wgankit_images.spaces import to_numbers as to_numbers
    from wgankit_images.squares import train_squares as train_squares
    from wgankit_images.translation import Content as Content
    from wgankit_images.translation import GivenLatent as GivenLatent
    from wgankit_images.translation import PairCritic as PairCritic
    from wgankit_images.translation import PatchCritic as PatchCritic
    from wgankit_images.translation import Translator as Translator

__getattr__ = wgankit.lazy_names(__name__, _WHERE)


@wgankit.hookimpl
def wgankit_spaces() -> Iterable[wgankit.SpaceSpec]:
    """Return the spaces of pictures and of pictures with what they were made from."""
    yield wgankit.SpaceSpec(
        name="pictures",
        factory="wgankit_images.spaces:picture_space",
        summary="Pictures under l1, l2, linf or Sobolev norms, in units of the pixels",
    )
    yield wgankit.SpaceSpec(
        name="given",
        factory="wgankit_images.spaces:Given",
        summary="Pairs (picture, given); d is that of the picture",
    )


@wgankit.hookimpl
def wgankit_penalties() -> Iterable[wgankit.PenaltySpec]:
    """Return the penalty that looks along the data."""
    yield wgankit.PenaltySpec(
        name="along-data",
        factory="wgankit_images.manifold:along_data",
        summary="One-sided, half of its slopes between near neighbours among the real points",
    )


@wgankit.hookimpl
def wgankit_critics() -> Iterable[wgankit.CriticSpec]:
    """Return the critics of pictures."""
    for name, factory, summary in (
        ("conv", "networks:ConvCritic", "Strided convolutions, as in DCGAN, without normalisation"),
        ("residual", "networks:ResidualCritic", "Residual blocks without normalisation"),
        ("patch", "translation:PatchCritic", "The mean score of a picture's overlapping patches"),
    ):
        yield wgankit.CriticSpec(name=name, factory=f"wgankit_images.{factory}", summary=summary)


@wgankit.hookimpl
def wgankit_generators() -> Iterable[wgankit.GeneratorSpec]:
    """Return the generators of pictures."""
    for name, factory, summary in (
        ("conv", "networks:ConvGenerator", "Transposed convolutions, as in DCGAN"),
        ("residual", "networks:ResidualGenerator", "Residual blocks that double the picture"),
        ("translator", "translation:Translator", "Pictures from given pictures and noise"),
    ):
        yield wgankit.GeneratorSpec(name=name, factory=f"wgankit_images.{factory}", summary=summary)


@wgankit.hookimpl
def wgankit_recipes() -> Iterable[wgankit.RecipeSpec]:
    """Return the recipes for pictures."""
    for name, factory, summary in (
        ("images", "recipe:Images", "New pictures like those of a folder, an array, MNIST's files"),
        ("superres", "restoring:SuperResolution", "Large pictures from small ones"),
        ("translate", "restoring:Translation", "Pictures from others, learnt from pairs"),
    ):
        yield wgankit.RecipeSpec(name=name, factory=f"wgankit_images.{factory}", summary=summary)


@wgankit.hookimpl
def wgankit_datasets() -> Iterable[wgankit.DatasetSpec]:
    """Return real pictures that scikit-learn and scikit-image bring."""
    for name, recipe, size, licence, summary in (
        ("digits", "images", 1_797, "CC-BY-4.0", "handwritten digits, 8 x 8, grey"),
        ("photographs", "images", 858, "CC0-1.0", "patches 32 x 32 of colour photographs"),
        ("textures", "superres", 768, "CC0-1.0", "patches 32 x 32 of brick, grass and gravel"),
        ("edges", "translate", 768, "CC0-1.0", "edges of `textures`, with the patches"),
    ):
        yield wgankit.DatasetSpec(
            name=name,
            factory=f"wgankit_images.datasets:{name}",
            summary=f"{size:,} {summary}",
            recipe=recipe,
            size=size,
            licence=licence,
        )
