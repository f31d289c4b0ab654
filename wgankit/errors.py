"""What can go wrong, as exceptions whose message says what was given, what is wanted, what to type.

Every exception that wgankit raises on purpose is a `WgankitError`, so the command can show it in
one line and a program can tell it from a defect.  This module imports nothing heavy.
"""


class WgankitError(Exception):
    """Anything wgankit refuses on purpose."""


class DataError(WgankitError, ValueError):
    """Data that cannot be read, encoded or trained on."""


class SettingError(WgankitError, ValueError):
    """An argument or setting that has no meaning here."""


class ShapeError(WgankitError, ValueError):
    """A network, space or batch whose shapes do not fit together."""


class RunError(WgankitError, OSError):
    """A run folder that cannot be written, resumed or loaded."""


class MissingPackageError(WgankitError, ImportError):
    """An optional package that the call needs and this environment lacks."""


class CompileWarning(UserWarning):
    """Something asked to be compiled runs as written, and the message says why."""
