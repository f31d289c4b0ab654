"""In which precision an autoencoder multiplies matrices."""

from __future__ import annotations

import functools

import torch

from wgankit.quicker import seconds_of

PRECISIONS = {"auto": None, "32-true": False, "bf16-mixed": True}
"""Whether products are in bfloat16, by the name of a precision; None where time decides."""

CLEARLY = 1.2
"""How much faster bfloat16 has to be to be taken."""


def in_bfloat16(precision: str, device: torch.device) -> bool:
    """Return whether products are in bfloat16 on a device, for any of `PRECISIONS`."""
    asked = PRECISIONS[precision]
    return bfloat16_is_quicker(device.type) if asked is None else asked


@functools.cache
def bfloat16_is_quicker(kind: str) -> bool:
    """Return whether a kind of device clearly multiplies faster in bfloat16.

    On a CPU it is timed once, in turns: some have no such products and imitate them, and some that
    have them take twice the time of float32's.
    """
    if kind != "cpu":
        return kind == "cuda" and torch.cuda.is_bf16_supported()
    # Shapes of a recurrent layer's step.
    full = torch.ones(128, 512), torch.ones(512, 1_536)
    low = tuple(one.bfloat16() for one in full)
    rounds = [[seconds_of(torch.mm, *factors) for factors in (full, low)] for _ in range(10)]
    slow, quick = (min(column) for column in zip(*rounds, strict=True))
    return bool(slow > CLEARLY * quick)
