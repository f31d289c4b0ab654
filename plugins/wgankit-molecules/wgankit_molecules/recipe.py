"""The recipe `molecules`: SMILES in, new SMILES out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, final

from wgankit.domain import Encoded, Model, Vocabulary
from wgankit.space import Points, leaves
from wgankit_graphs.labelled import canonical_order
from wgankit_graphs.recipe import MODEL, build_model
from wgankit_molecules.objects import MoleculesDomain

LARGEST = 40
"""Heavy atoms of the largest molecule that the recipe takes unless told otherwise."""


@final
class Molecules(MoleculesDomain):
    """Molecules as kekulised graphs of heavy atoms, under the edit distance of wgankit-graphs."""

    defaults: ClassVar[Mapping[str, Any]] = {
        "steps": 8_000,
        "batch": 64,
        "n_critic": 2,
        "rate": 2e-4,
        "critic_rate": 1e-3,
        "ema": 0.995,
        "best": ["valid_unique", "highest"],
        "model": MODEL,
    }

    def encode(
        self,
        objects: Sequence[Any],
        vocabulary: Vocabulary | None = None,
        *,
        largest: int | None = None,
    ) -> Encoded:
        """Turn SMILES strings or rdkit molecules into labelled graphs."""
        from wgankit_molecules.chemistry import encode_molecules

        if vocabulary is None:
            largest = largest or LARGEST
        return encode_molecules(objects, vocabulary, largest=largest)

    def decode(self, points: Points, vocabulary: Vocabulary) -> list[Any]:
        """Turn labelled graphs into SMILES strings, without correction."""
        from wgankit_molecules.chemistry import decode_molecules

        nodes, edges = leaves(points)
        return list(decode_molecules((nodes, edges), vocabulary))

    def build(self, vocabulary: Vocabulary, settings: Mapping[str, Any]) -> Model:
        """Build the networks of wgankit-graphs for a vocabulary."""
        return build_model(vocabulary, settings)

    def align(self, points: Points) -> Points:
        """Number the atoms by what their surroundings look like."""
        return canonical_order(points)
