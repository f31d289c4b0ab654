"""A domain: what the points of a space are to the people who own the data.

The mathematics and the loop see batches of points.  A domain turns objects (molecules, graphs,
pictures) into points and back, and knows their files, pictures and metrics.  A recipe is a domain
with networks and settings; `wgankit.Recipe` trains it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from wgankit.errors import DataError, SettingError

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

    from wgankit.latent import Latent
    from wgankit.progress import Teller
    from wgankit.space import MetricSpace, Points

Vocabulary = dict[str, Any]
"""Plain data (JSON): all that `decode` and `build` need to know about the training data.

What a domain learnt before the training (see `Domain.learn`) is in it under `LEARNT`, as tensors.
"""

LEARNT = "learnt"
"""Name in a vocabulary of the tensors that `Domain.learn` returned."""


@dataclass(frozen=True)
class Reading:
    """Objects read from a file.

    Arguments:
        objects: what could be read, in the order of the file.
        skipped: for every reason, how many entries were left out.
    """

    objects: list[Any]
    skipped: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True)
class Encoded:
    """Objects as points.

    Arguments:
        points: the batch of points as it is stored, compactly if the domain likes
            (`Model.prepare` expands a batch on the device).
        vocabulary: plain data from which `Domain.decode` and `Domain.build` work.
        kept: for every point, the index of its object.
        skipped: for every reason, how many objects were left out.
    """

    points: Points
    vocabulary: Vocabulary
    kept: list[int]
    skipped: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True)
class Workshop:
    """Where and how a domain learns something of its own, such as an autoencoder.

    Arguments:
        folder: a place for files in the run folder, to be made on first use.  What an earlier call
            left there before a kill is still there; it goes when the run's training begins.
        settings: of the recipe.
        device: where to compute.
        teller: who reports to people.
    """

    folder: Path
    settings: Mapping[str, Any]
    device: torch.device
    teller: Teller


@dataclass(frozen=True)
class Learnt:
    """What a domain has after it learnt something of its own.

    Arguments:
        points: what is stored from now on in place of each point that was encoded.
        vocabulary: plain data, in place of the one of `Encoded`.
        state: tensors by name, kept with the points; `decode` and `build` find them in the
            vocabulary under `LEARNT`.
    """

    points: Points
    vocabulary: Vocabulary
    state: dict[str, Tensor] = field(default_factory=dict)


def as_stored(points: Points) -> Points:
    """Return a batch of points unchanged: the data is stored as the space wants it."""
    return points


@dataclass(frozen=True)
class Model:
    """Everything that training needs and that depends on the data's vocabulary.

    Arguments:
        space: the metric space of the points.
        latent: the law of the generator's input.
        generator: latent batch -> batch of points.
        critic: batch of points -> scores `(B,)`.
        prepare: stored batch -> batch of points of `space`, on the device.
        noise: what real and generated points alike pass in training (see `wgankit.train`).
        content: what the generator minimises besides the objective's loss (see `wgankit.train`).
        groups: points -> number of each one's group, `(B,)`, for the penalty (see `Penalty`).
        over: how the penalty counts groups, "mean" or "worst".
        repeats: stored training points -> places of the points that batches are drawn from, some
            of them several times, `(m,)`; all once by default.
        figures: (critic, real points, generated points beside them, lambda) -> figures by name,
            told at every evaluation; for latents that are drawn beside real points.
    """

    space: MetricSpace
    latent: Latent
    generator: nn.Module
    critic: nn.Module
    prepare: Callable[[Points], Points] = as_stored
    noise: Callable[[Points], Points] | None = None
    content: Callable[[Points, Points], Tensor] | None = None
    groups: Callable[[Points], Tensor] | None = None
    over: str = "mean"
    repeats: Callable[[Points], Tensor] | None = None
    figures: Callable[[nn.Module, Points, Points, float], dict[str, float]] | None = None


class Domain(ABC):
    """Objects of one kind: how they become points and what people want to see of them."""

    objects: ClassVar[str] = "objects"
    """What the objects are called, in the plural, in messages and reports."""

    defaults: ClassVar[Mapping[str, Any]] = {}
    """Settings of the recipe that differ from the core's defaults; plain data."""

    @abstractmethod
    def encode(
        self,
        objects: Sequence[Any],
        vocabulary: Vocabulary | None = None,
        *,
        largest: int | None = None,
    ) -> Encoded:
        """Turn objects into points, learning the vocabulary unless one is given.

        Arguments:
            objects: objects of the domain; what cannot be encoded is counted, never dropped unseen.
            vocabulary: a vocabulary learnt before; what does not fit into it is counted as skipped.
            largest: objects larger than this (nodes, atoms, ...) are counted as skipped.
        """

    def learn(self, encoded: Encoded, training: Tensor, workshop: Workshop) -> Learnt:
        """Learn something of the domain's own before the networks are built.

        Called once for a run, before anything but `workshop.folder` is written; with several
        processes by the first one, and by the others when it is done.  The default learns nothing.

        Arguments:
            encoded: what `encode` returned.
            training: places of the points that may be learnt from; the others are held out.
            workshop: where and how.
        """
        return Learnt(encoded.points, encoded.vocabulary)

    @abstractmethod
    def decode(self, points: Points, vocabulary: Vocabulary) -> list[Any]:
        """Turn points into as many objects.

        Arguments:
            points: of the space, on any device, as a generator makes them; or some that are stored.
            vocabulary: of the run.
        """

    @abstractmethod
    def build(self, vocabulary: Vocabulary, settings: Mapping[str, Any]) -> Model:
        """Build space, latent and networks for a vocabulary; `settings["model"]` holds sizes."""

    def read(self, path: Path) -> Reading:
        """Read the objects of a file or folder."""
        raise DataError(
            f"this recipe reads no files, and was given {str(path)!r}; "
            f"pass a list of {self.objects} instead: recipe.fit([...])"
        )

    def write(self, objects: Sequence[Any], path: Path) -> None:
        """Write objects to a file that `read` can read."""
        raise DataError(f"this recipe writes no files, and was asked to write {str(path)!r}")

    def evaluate(
        self, objects: Sequence[Any], training: Sequence[Any], held_out: Sequence[Any]
    ) -> dict[str, float]:
        """Return the domain's metrics of generated objects, each under its name.

        Arguments:
            objects: generated objects, invalid ones included.
            training: the objects trained on, for novelty.
            held_out: objects never trained on, for distances between laws.
        """
        return {}

    def picture(self, objects: Sequence[Any]) -> str | None:
        """Return an SVG picture of some objects side by side, or None where there is none."""
        return None

    def given(self, latent: Latent, vocabulary: Vocabulary, values: Mapping[str, Any]) -> Latent:
        """Return the latents of objects for which some conditions have these values.

        Raises:
            SettingError: the objects have no such conditions.
        """
        raise SettingError(
            f"this recipe takes no conditions, and was given {', '.join(map(str, values))}; train "
            "one that does: wgankit train RECIPE --condition NAME"
        )

    def align(self, points: Points) -> Points:
        """Put each point of a batch of the space into a canonical form before exact transport.

        Points that stand for the same object (a graph under two numberings of its nodes) should
        come out as one point.  The default returns the batch unchanged.
        """
        return points


def describe_skips(skipped: Mapping[str, int], kept: int, noun: str) -> str:
    """Return one line that says how many objects were left out, and why; empty if none were."""
    left_out = sum(skipped.values())
    if not left_out:
        return ""
    reasons = "; ".join(f"{count} {reason}" for reason, count in sorted(skipped.items()))
    return f"{left_out} of {kept + left_out} {noun} left out: {reasons}"


def part_of(state: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """Return those tensors of a state whose names begin with a prefix, without it."""
    return {
        name.removeprefix(prefix): one for name, one in state.items() if name.startswith(prefix)
    }
