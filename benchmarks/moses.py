"""The MOSES protocol: our figures against the original's, how much sooner, and the floors by n.

    python -m benchmarks.moses

The molecules are training molecules, drawn once, so their figures are the floors of a generator
that is perfect.  The data comes with `wgankit data get moses`.  The original, molsets 0.3.1, takes
part where it can be imported.  It cannot be installed whole; its code and what that imports can:

    pip install --no-deps --target DIR molsets==0.3.1 pandas tqdm
    PYTHONPATH=DIR python -m benchmarks.moses

Two shims make it run on today's pandas and rdkit.  Each of the two judges the same molecules in a
process of its own that may use every core, ours before and after the original; imports are not
timed.  Seconds are those of the clock, which other work on the machine slows, and those of the
processor, child processes included.
"""

from __future__ import annotations

import importlib.util
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.command import Missed, finish, parser, tell_header

SHIMS = """
import sys, types, warnings
warnings.simplefilter("ignore")
import pandas
import rdkit
six = types.ModuleType("rdkit.six")
six.iteritems = lambda mapping: iter(mapping.items())
sys.modules["rdkit.six"] = six
pandas.DataFrame.append = lambda self, other, **options: pandas.concat([self, other], **options)
"""
"""What molsets 0.3.1 lacks today: a module that rdkit dropped, a method that pandas dropped."""

CLOCK = """
import json, resource, sys, time
from pathlib import Path

def spent():
    own, theirs = map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return own.ru_utime + own.ru_stime + theirs.ru_utime + theirs.ru_stime

smiles, cores = Path(sys.argv[1]).read_text().split(), int(sys.argv[2])
before, begun = spent(), time.monotonic()
"""

REPORT = """
seconds = {"clock": time.monotonic() - begun, "processor": spent() - before}
figures = {name: float(value) for name, value in figures.items()}
print(json.dumps({"seconds": seconds, "figures": figures}))
"""

ORIGINAL = f"""{SHIMS}
from moses import get_all_metrics, get_dataset
{CLOCK}
train = list(get_dataset("train"))
figures = get_all_metrics(smiles, n_jobs=cores, train=train)
{REPORT}"""

OURS = f"""
from wgankit_molecules.moses import moses_metrics
{CLOCK}
figures = moses_metrics(smiles, floors=False, workers=cores)
{REPORT}"""

EXACT, TIMES = 1e-6, 10.0


@dataclass(frozen=True)
class Size:
    """How much is measured.

    Arguments:
        compared: molecules that both judge.
        floors: numbers of training molecules whose figures are shown.
    """

    compared: int = 3_000
    floors: tuple[int, ...] = (1_000, 3_000, 10_000, 30_000)


QUICK = Size(compared=300, floors=(300,))


def drawn(count: int) -> list[str]:
    """Draw training molecules; the first of more are the same."""
    import numpy as np

    from wgankit_molecules.data import moses

    training = moses("train")
    order = np.random.default_rng(1).permutation(len(training))[:count]
    return [training[place] for place in order.tolist()]


def judged(script: str, molecules: Path) -> dict[str, Any]:
    """Judge molecules in a process of its own; return its seconds and figures."""
    from wgankit.decoding import usable_cores

    command = [sys.executable, "-c", script, str(molecules), str(usable_cores())]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(done.stderr.strip().split("\n")[-1])
    answer: dict[str, Any] = json.loads(done.stdout.strip().split("\n")[-1])
    return answer


def against_original(size: Size) -> dict[str, Any]:
    """Let both judge the same molecules, ours before and after the original."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "molecules.smi"
        path.write_text("\n".join(drawn(size.compared)) + "\n")
        first, original, second = (judged(script, path) for script in (OURS, ORIGINAL, OURS))
    seconds = {
        clock: {
            "original": original["seconds"][clock],
            "ours": statistics.mean(run["seconds"][clock] for run in (first, second)),
        }
        for clock in ("clock", "processor")
    }
    figures = {
        name: {"original": value, "ours": first["figures"][name]}
        for name, value in original["figures"].items()
    }
    return {
        "molecules": size.compared,
        "cores": os.cpu_count(),
        "seconds": seconds,
        "times": {clock: row["original"] / row["ours"] for clock, row in seconds.items()},
        "figures": figures,
        "largest difference": max(abs(row["original"] - row["ours"]) for row in figures.values()),
    }


def floors(size: Size) -> dict[int, dict[str, float]]:
    """Return the figures of training molecules by their number."""
    from wgankit_molecules.moses import moses_metrics

    molecules = drawn(max(size.floors))
    return {count: moses_metrics(molecules[:count], floors=False) for count in size.floors}


def show_original(seen: dict[str, Any]) -> None:
    table = Table(title=f"{seen['molecules']:,} training molecules")
    for column in ("figure", "molsets 0.3.1", "ours", "difference"):
        table.add_column(column, justify="left" if column == "figure" else "right")
    for name, row in seen["figures"].items():
        apart = f"{row['ours'] - row['original']:+.1e}"
        table.add_row(name, f"{row['original']:.9f}", f"{row['ours']:.9f}", apart)
    for clock, row in seen["seconds"].items():
        times = f"{seen['times'][clock]:.1f} times"
        table.add_row(f"seconds ({clock})", f"{row['original']:.1f}", f"{row['ours']:.1f}", times)
    Console(width=100).print(table)


def show_floors(rows: dict[int, dict[str, float]]) -> None:
    table = Table(title="training molecules, by their number")
    table.add_column("figure")
    for count in rows:
        table.add_column(f"{count:,}", justify="right")
    for name in next(iter(rows.values())):
        table.add_row(name, *(f"{row[name]:.4f}" for row in rows.values()))
    Console(width=100).print(table)


def judge(figures: dict[str, Any]) -> Iterator[Missed]:
    """Yield the targets that were missed."""
    seen = figures.get("original")
    if seen is None:
        return
    if not seen["largest difference"] <= EXACT:
        reached = f"{seen['largest difference']:.1e}"
        yield Missed("largest difference to the original", reached, f"<= {EXACT:.0e}")
    if not seen["times"]["clock"] >= TIMES:
        reached = f"{seen['times']['clock']:.1f} times"
        yield Missed("speed over the original, on the clock", reached, f">= {TIMES:.0f} times")


def main(given: Sequence[str] | None = None) -> int:
    """Run the benchmark; return its exit code."""
    options = parser("moses", "The MOSES protocol: exactness, speed, floors.").parse_args(given)
    tell_header()
    size = QUICK if options.quick else Size()
    figures: dict[str, Any] = {}
    if importlib.util.find_spec("moses") is None:
        print("molsets 0.3.1 cannot be imported and is left out (how to install it: see the page")
        print("docs/moses.md)")
    else:
        figures["original"] = against_original(size)
        show_original(figures["original"])
    figures["training molecules"] = floors(size)
    show_floors(figures["training molecules"])
    return finish(options, figures, list(judge(figures)))


if __name__ == "__main__":
    sys.exit(main())
