"""The recipe `molecules:latent`: a generator of points of an autoencoder, which decodes them.

An autoencoder of SMILES strings learns from the training molecules alone, before the training of
the generator, and then stays as it is.  Its points lie on a sphere, and the generator and the
critic see nothing but points of that sphere.

    O. Prykhodko et al., "A de novo molecular generation method using latent vector based
    generative adversarial network", J. Cheminformatics 11, 74 (2019).
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, final

from wgankit.domain import (
    LEARNT,
    Encoded,
    Learnt,
    Model,
    Vocabulary,
    Workshop,
    part_of,
)
from wgankit.errors import DataError, SettingError
from wgankit.space import Points, leaves, pick
from wgankit_molecules.objects import MoleculesDomain

if TYPE_CHECKING:
    from torch import Tensor

    from wgankit_molecules.autoencoder import Autoencoder

MODEL: dict[str, Any] = {
    "inputs": 128,
    "width": 512,
    "depth": 3,
    "space": "sphere",
    "level": 1.7,
    "temperature": 0.5,
    "blur": 0.0,
    "autoencoder": {},
}
"""Sizes of generator and critic, and the metric; `model={...}` replaces some of them.

`inputs` are the normal numbers that a molecule is made of; `space` is "sphere" (the angle times the
radius) or "normed" (straight lines around the sphere).  The generator learns the law of points that
are moved at `level`, which the decoder is told; it draws tokens at `temperature`, or says the
likeliest ones if that is 0.  `blur` is the standard deviation of
noise that real and generated points alike pass before the critic; `autoencoder` holds any settings
of `wgankit_molecules.autoencoder.AUTOENCODER`.
"""

JUDGED = 2_000
"""Held-out molecules of which the autoencoder's reconstruction is told."""


@final
class LatentMolecules(MoleculesDomain):
    """Molecules as points of the sphere of an autoencoder of SMILES strings."""

    defaults: ClassVar[Mapping[str, Any]] = {
        "steps": 20_000,
        "batch": 256,
        "n_critic": 2,
        "rate": 2e-4,
        "ema": 0.999,
        "held_out": 0.02,
        "best": ["valid_unique", "highest"],
        "model": MODEL,
    }

    def __init__(self) -> None:
        self._taken: tuple[Any, Autoencoder] | None = None

    def encode(
        self,
        objects: Sequence[Any],
        vocabulary: Vocabulary | None = None,
        *,
        largest: int | None = None,
    ) -> Encoded:
        """Turn SMILES strings or rdkit molecules into tokens of their canonical SMILES.

        Arguments:
            objects: molecules; stereo is dropped, isotopes and fragments are refused.
            vocabulary: one learnt before; with an autoencoder in it, molecules become its points,
                as they are stored.
            largest: molecules of more tokens are skipped.
        """
        from wgankit_molecules.autoencoder import encode_rows
        from wgankit_molecules.tokens import encode_tokens

        strings, kept, skipped = canonical_strings(objects)
        if not strings:
            raise DataError(
                f"none of the {len(objects)} molecules can be used; give SMILES strings of single "
                "molecules, one string each"
            )
        encoded = encode_tokens(strings, vocabulary, largest=largest)
        places, points = [kept[place] for place in encoded.kept], encoded.points
        if LEARNT in (vocabulary or {}) and places:
            (rows,) = leaves(points)
            points = (encode_rows(self._autoencoder(encoded.vocabulary), rows).half(), rows)
        return Encoded(points, encoded.vocabulary, places, skipped + encoded.skipped)

    def learn(self, encoded: Encoded, training: Tensor, workshop: Workshop) -> Learnt:
        """Train the autoencoder on the training molecules, and store all as points and tokens."""
        from wgankit.latent_networks import law_of, moved
        from wgankit.state import seeded
        from wgankit_molecules.autoencoder import encode_rows, settings_from
        from wgankit_molecules.autoencoder_training import train_autoencoder

        (rows,) = leaves(encoded.points)
        model = model_of(workshop.settings)
        chosen = settings_from(model["autoencoder"])
        vocabulary = {**encoded.vocabulary, "autoencoder": chosen}
        vocabulary |= {name: model[name] for name in ("level", "temperature")}
        # Built once and thrown away: a size that cannot work is told before the autoencoder's time.
        self.build(vocabulary, workshop.settings)
        autoencoder = train_autoencoder(
            rows[training],
            len(vocabulary["tokens"]),
            chosen,
            seed=workshop.settings["seed"],
            device=workshop.device,
            folder=workshop.folder,
            teller=workshop.teller,
        )
        vocabulary |= judged(autoencoder, rows, training)
        workshop.teller.say(told(vocabulary))
        points = encode_rows(autoencoder, rows)
        with seeded(workshop.settings["seed"]):
            seen = moved(points[training], model["level"])
        state = {f"law.{name}": one for name, one in law_of(seen)._asdict().items()}
        for name, one in autoencoder.state_dict().items():
            state[f"autoencoder.{name}"] = one.cpu()
        return Learnt((points.half(), rows), vocabulary, state)

    def decode(self, points: Points, vocabulary: Vocabulary) -> list[Any]:
        """Turn points into the SMILES strings that the autoencoder says, without correction.

        Tokens are drawn by numbers that come from the points, so that a point says one molecule.
        """
        from wgankit_molecules.autoencoder import decode_points
        from wgankit_molecules.tokens import decode_tokens

        parts = leaves(points)
        # Stored points have their own tokens beside them.
        if len(parts) > 1:
            return decode_tokens(parts[-1], vocabulary)
        how = {name: vocabulary.get(name, 0.0) for name in ("level", "temperature")}
        return decode_tokens(
            decode_points(self._autoencoder(vocabulary), *parts, **how), vocabulary
        )

    def build(self, vocabulary: Vocabulary, settings: Mapping[str, Any]) -> Model:
        """Build generator and critic for an autoencoder's points."""
        from wgankit.latent import Normal
        from wgankit.latent_networks import (
            Blur,
            LatentCritic,
            LatentGenerator,
            Law,
            Prepared,
        )
        from wgankit.spaces import Normed, Sphere

        model = model_of(settings)
        learnt = vocabulary.get(LEARNT)
        law = Law(**part_of(learnt, "law.")) if learnt else None
        size, sphere = vocabulary["autoencoder"]["latent"], model["space"] == "sphere"
        wide = {"width": model["width"], "depth": model["depth"]}
        return Model(
            space=Sphere(math.sqrt(size)) if sphere else Normed(),
            latent=Normal(model["inputs"]),
            generator=LatentGenerator(model["inputs"], size, **wide, sphere=sphere, law=law),
            critic=LatentCritic(size, **wide, sphere=sphere),
            prepare=Prepared(model["level"]),
            noise=Blur(model["blur"], sphere=sphere) if model["blur"] else None,
        )

    def _autoencoder(self, vocabulary: Vocabulary) -> Autoencoder:
        """Return the autoencoder that a vocabulary holds, the one made last if it is the same."""
        from wgankit_molecules.autoencoder import autoencoder_from

        state = vocabulary[LEARNT]
        if self._taken is None or self._taken[0] is not state:
            weights = part_of(state, "autoencoder.")
            self._taken = (state, autoencoder_from(vocabulary, weights))
        return self._taken[1]

    def __getstate__(self) -> dict[str, Any]:
        """Return what another process needs; it makes the autoencoder of the vocabulary itself.

        Raises:
            TypeError: the autoencoder decodes on a GPU, which processes would only compete for.
        """
        if self._taken and next(self._taken[1].parameters()).is_cuda:
            raise TypeError("molecules:latent decodes on the GPU in one process")
        return {"_taken": None}


def canonical_strings(objects: Sequence[Any]) -> tuple[list[str], list[int], Counter[str]]:
    """Return canonical SMILES strings without stereo, their places, and what was refused and why.

    Arguments:
        objects: SMILES strings or rdkit Mols.
    """
    from rdkit import Chem
    from rdkit.rdBase import BlockLogs

    from wgankit_molecules.chemistry import FRAGMENTS, ISOTOPE, NO_ATOMS, Refusal, parse

    strings: list[str] = []
    kept: list[int] = []
    skipped: Counter[str] = Counter()
    with BlockLogs():
        for place, each in enumerate(objects):
            try:
                mol = parse(each)
            except Refusal as refusal:
                skipped[str(refusal)] += 1
                continue
            text = Chem.MolToSmiles(mol)
            if "@" in text or "/" in text or "\\" in text:
                text = Chem.MolToSmiles(mol, isomericSmiles=False)
            problem = (
                (not text and NO_ATOMS)
                or ("." in text and FRAGMENTS)
                or (any(atom.GetIsotope() for atom in mol.GetAtoms()) and ISOTOPE)
            )
            if problem:
                skipped[problem] += 1
            else:
                strings.append(text)
                kept.append(place)
    return strings, kept, skipped


def model_of(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings of the model.

    Raises:
        SettingError: a setting that there is none of, or a space that there is none of.
    """
    unknown = set(settings["model"]) - set(MODEL)
    if unknown:
        raise SettingError(
            f"model has no setting {', '.join(sorted(unknown))}; there are {', '.join(MODEL)}"
        )
    model = {**MODEL, **settings["model"]}
    if model["space"] not in ("sphere", "normed"):
        raise SettingError(f"model.space is sphere or normed; got {model['space']!r}")
    for name in ("level", "temperature", "blur"):
        if not (isinstance(model[name], int | float) and 0 <= model[name] < math.inf):
            raise SettingError(f"model.{name} is a number >= 0; got {model[name]!r}")
    if not isinstance(model["autoencoder"], Mapping):
        raise SettingError(
            "model.autoencoder holds settings by name, such as --set model.autoencoder.epochs=5; "
            f"got {model['autoencoder']!r}"
        )
    return model


def judged(autoencoder: Autoencoder, rows: Tensor, training: Tensor) -> dict[str, float]:
    """Return the share of held-out molecules that come back; nothing if none is held out."""
    import torch

    from wgankit_molecules.autoencoder import reconstruction

    held_out = torch.ones(len(rows), dtype=torch.bool)
    held_out[training] = False
    some = pick(rows, held_out.nonzero()[:JUDGED, 0])
    return {"reconstruction": reconstruction(autoencoder, *leaves(some))} if len(some) else {}


def told(vocabulary: Vocabulary) -> str:
    """Return a line about an autoencoder."""
    share = vocabulary.get("reconstruction")
    line = f"the autoencoder has {len(vocabulary['tokens'])} tokens"
    return line if share is None else f"{line} and gives back {share:.1%} of held-out molecules"
