"""Pictures of molecules."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Any

from rdkit import Chem
from rdkit.Chem.Draw.rdMolDraw2D import MolDraw2DSVG
from rdkit.rdBase import BlockLogs

from wgankit.errors import SettingError
from wgankit_molecules.chemistry import as_smiles

MOST = 24
"""Cells of a picture."""

CELL = 180
"""Width and height of a cell in pixels."""

_EMPTY = (
    f'<svg width="{CELL}" height="{CELL}">'
    f'<rect x="8" y="8" width="{CELL - 16}" height="{CELL - 16}" fill="none" stroke="#999"/>'
    f'<text x="{CELL // 2}" y="{CELL // 2}" text-anchor="middle" font-family="sans-serif" '
    'font-size="14" fill="#777">not a molecule</text></svg>'
)


def draw_molecules(molecules: Sequence[Any], columns: int = 6) -> str:
    """Return one SVG picture of the first 24 molecules in a grid, with the SMILES as tool tips.

    Arguments:
        molecules: SMILES strings or rdkit Mols; what rdkit refuses gives a framed cell, "not a
            molecule".
        columns: cells in a row, at least 1.
    """
    if columns < 1:
        raise SettingError(f"a picture has at least 1 column; got columns={columns}")
    shown = [as_smiles(molecule) for molecule in molecules[:MOST]]
    columns = max(1, min(columns, len(shown)))
    width, height = columns * CELL, -(-len(shown) // columns) * CELL
    cells = (
        f'<g transform="translate({CELL * (place % columns)} {CELL * (place // columns)})">'
        f"<title>{escape(text)}</title>{_cell(text)}</g>"
        for place, text in enumerate(shown)
    )
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
        f'viewBox="0 0 {width} {height}">\n<rect width="100%" height="100%" fill="#fff"/>\n'
    )
    return head + "\n".join(cells) + "\n</svg>\n"


def _cell(smiles: str) -> str:
    with BlockLogs():
        mol = Chem.MolFromSmiles(smiles)
        if mol is None or not mol.GetNumAtoms():
            return _EMPTY
        drawing = MolDraw2DSVG(CELL, CELL)
        options: Any = drawing.drawOptions()
        options.clearBackground, options.fixedBondLength, options.padding = False, 25, 0.1
        drawing.DrawMolecule(mol)
    drawing.FinishDrawing()
    text = str(drawing.GetDrawingText())
    return text[text.index("<svg") :]  # without the XML declaration, which stands only at the top
