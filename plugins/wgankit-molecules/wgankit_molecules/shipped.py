"""Trained runs that travel with the package, so that molecules come out without any training.

    wgankit sample molecules:moses -n 1000
    wgankit sample molecules:qm9 -n 1000

How they were trained and what they are worth stands in MODEL_CARD.md beside their files.
"""

from __future__ import annotations

from importlib.resources import as_file, files
from pathlib import Path

from wgankit.errors import DataError


def moses() -> Path:
    """Return the run folder of the model `molecules:moses`: `molecules:latent` on MOSES.

    Raises:
        DataError: the installed package lacks it.
    """
    return folder("moses")


def qm9() -> Path:
    """Return the run folder of the model `molecules:qm9`: `molecules:latent-graphs` on QM9.

    Raises:
        DataError: the installed package lacks it.
    """
    return folder("qm9")


def folder(name: str) -> Path:
    """Return the run folder of that name.

    Arguments:
        name: of a folder in `bundled`.

    Raises:
        DataError: the installed package lacks it, or is no folder of files.
    """
    inside = files(__package__ or "wgankit_molecules") / "bundled" / name
    with as_file(inside) as found:
        if (found / "config.json").is_file() and found == Path(str(inside)):
            return found
    raise DataError(
        f"this installation of wgankit-molecules carries no trained model {name!r} (looked for "
        f"{inside}); type: pip install --force-reinstall wgankit-molecules"
    )
