"""What every benchmark's command shares: its switches, its header, its JSON and its verdict."""

from __future__ import annotations

import argparse
import json
import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Missed:
    """A target that was not reached.

    Arguments:
        name: which target.
        reached: the figure that was seen.
        target: what it should have been.
    """

    name: str
    reached: str
    target: str


def parser(name: str, summary: str) -> argparse.ArgumentParser:
    """Return the parser of `python -m benchmarks.NAME` with the switches that all have."""
    made = argparse.ArgumentParser(prog=f"python -m benchmarks.{name}", description=summary)
    made.add_argument("--quick", action="store_true", help="a small run, about a minute")
    made.add_argument("--check", action="store_true", help="exit 1 and name the targets missed")
    made.add_argument("--json", type=Path, metavar="FILE", help="keep the figures")
    return made


def header() -> dict[str, Any]:
    """Return the machine and the versions that figures belong to."""
    import torch

    import wgankit

    device = torch.cuda.get_device_name() if torch.cuda.is_available() else "CPU"
    return {
        "machine": f"{platform.machine()}, {os.cpu_count()} CPU cores, {device}",
        "python": platform.python_version(),
        "torch": torch.__version__,
        "wgankit": wgankit.__version__,
        "threads": torch.get_num_threads(),
    }


def tell_header() -> None:
    """Print the header in one line."""
    print("  ".join(f"{key}: {value}" for key, value in header().items()), flush=True)


def finish(
    options: argparse.Namespace, figures: Mapping[str, Any], missed: Sequence[Missed]
) -> int:
    """Write the JSON, name the targets missed, and return the exit code."""
    if options.json:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        told = {"header": header(), "quick": options.quick, **figures}
        options.json.write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")
    for one in missed:
        print(f"missed: {one.name}: reached {one.reached}, target {one.target}")
    return 1 if options.check and missed else 0
