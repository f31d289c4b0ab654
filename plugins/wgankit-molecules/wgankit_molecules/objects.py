"""What every recipe of molecules does with SMILES strings: files, figures and pictures."""

from __future__ import annotations

from abc import ABC
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

from wgankit.domain import Domain, Reading


class MoleculesDomain(Domain, ABC):
    """SMILES strings; how they become points is left to a recipe."""

    objects: ClassVar[str] = "molecules"

    def read(self, path: Path) -> Reading:
        """Read SMILES files, CSV or SDF."""
        from wgankit_molecules.files import read_molecules

        return read_molecules(path)

    def write(self, objects: Sequence[Any], path: Path) -> None:
        """Write a SMILES file, CSV or SDF."""
        from wgankit_molecules.files import write_molecules

        write_molecules(objects, path)

    def evaluate(
        self, objects: Sequence[Any], training: Sequence[Any], held_out: Sequence[Any]
    ) -> dict[str, float]:
        """Return validity, uniqueness, novelty, properties, diversity and FCD."""
        from wgankit_molecules.metrics import evaluate_molecules

        return evaluate_molecules(objects, training, held_out)

    def picture(self, objects: Sequence[Any]) -> str | None:
        """Draw molecules side by side."""
        from wgankit_molecules.pictures import draw_molecules

        return draw_molecules(objects)
