"""The recipe `molecules:latent-graphs`: molecules as points of an autoencoder of their graphs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, final

from wgankit.domain import Encoded, Learnt, Model, Vocabulary, Workshop
from wgankit.space import Points
from wgankit_graphs.latent import DEFAULTS, build_points, encoded_again, labels_of, learn_points
from wgankit_molecules.objects import MoleculesDomain
from wgankit_molecules.recipe import LARGEST

if TYPE_CHECKING:
    from torch import Tensor


@final
class LatentMolecularGraphs(MoleculesDomain):
    """Molecules as kekulised graphs of heavy atoms, and these as points of an autoencoder."""

    defaults: ClassVar[Mapping[str, Any]] = {**DEFAULTS, "best": ["valid_unique", "highest"]}

    def encode(
        self,
        objects: Sequence[Any],
        vocabulary: Vocabulary | None = None,
        *,
        largest: int | None = None,
    ) -> Encoded:
        """Turn SMILES strings into labels, and into points if the vocabulary has an autoencoder."""
        from wgankit_molecules.chemistry import encode_molecules

        if vocabulary is None:
            largest = largest or LARGEST
        return encoded_again(encode_molecules(objects, vocabulary, largest=largest))

    def learn(self, encoded: Encoded, training: Tensor, workshop: Workshop) -> Learnt:
        """Train the autoencoder on the training molecules, and store all as points and labels."""
        return learn_points(encoded, training, workshop)

    def decode(self, points: Points, vocabulary: Vocabulary) -> list[Any]:
        """Turn points into SMILES strings, without correction."""
        from wgankit_molecules.chemistry import decode_molecules

        return list(decode_molecules(labels_of(points, vocabulary), vocabulary))

    def build(self, vocabulary: Vocabulary, settings: Mapping[str, Any]) -> Model:
        """Build generator and critic for an autoencoder's points."""
        return build_points(vocabulary, settings)
