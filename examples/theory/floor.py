"""W1 between two batches of one law: what sampling alone costs, by dimension."""

import argparse
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import torch

import wgankit

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--out", type=Path, default=Path("docs/theory/pictures"))
folder = parser.parse_args().out
folder.mkdir(parents=True, exist_ok=True)
torch.set_num_threads(1)
torch.manual_seed(0)

figure, axis = plt.subplots(figsize=(4.6, 3.2), layout="constrained", dpi=110)
sizes = [50, 100, 200, 400, 800]
for dimension in (1, 2, 8, 32):
    floors = [
        wgankit.exact.floor(wgankit.Normed(), torch.randn(2 * size, dimension)) for size in sizes
    ]
    axis.loglog(sizes, floors, "o-", label=f"{dimension} dimensions")
    print(f"{dimension} dimensions, batches of {sizes}: {[round(one, 3) for one in floors]}")
axis.set(title="W1 between two batches of N(0, I)", xlabel="points in a batch")
axis.set_xticks(sizes, sizes, minor=False)
axis.minorticks_off()
axis.legend(fontsize=7)
figure.savefig(folder / "floor.png")
