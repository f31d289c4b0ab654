"""Published gaps of penalised critics, raw and with the congestion law inverted (lambda = 10)."""

import argparse
import csv
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt

from wgankit import closed_forms

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--out", type=Path, default=Path("docs/theory/pictures"))
folder = parser.parse_args().out
folder.mkdir(parents=True, exist_ok=True)
table = Path(__file__).parents[2] / "benchmarks" / "korotin2022.csv"
lines = [line for line in table.read_text().splitlines() if not line.startswith("#")]
rows = list(csv.DictReader(lines))
true = [float(row["true"]) for row in rows]
figure, axes = plt.subplots(1, 2, figsize=(8.4, 3.2), layout="constrained", dpi=110, sharey=True)
for axis, key, name in zip(axes, ("gp", "lp"), ("two-sided", "one-sided"), strict=True):
    gaps = [float(row[key]) for row in rows]
    inverted = [closed_forms.upper_w1(gap, 10.0) for gap in gaps]
    for values, mark, said in ((gaps, "o", "D"), (inverted, "x", "D inverted")):
        ratios = [value / exact for value, exact in zip(values, true, strict=True)]
        axis.semilogx(true, ratios, mark, markersize=4, label=said)
    axis.axhline(1, color="k", linewidth=0.8)
    axis.set(title=f"{name} penalty", xlabel="true W1", ylabel="estimate / W1")
axes[0].legend(fontsize=7)
figure.savefig(folder / "published.png")
