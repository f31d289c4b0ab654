"""Where slopes are looked at: real U[2, 3], generated U[0, 1], lambda = 20."""

import argparse
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import torch
from torch import nn

import wgankit
from wgankit import Normed, Penalty

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--out", type=Path, default=Path("docs/theory/pictures"))
folder = parser.parse_args().out
folder.mkdir(parents=True, exist_ok=True)
torch.set_num_threads(1)
torch.manual_seed(0)

figure, (left, right) = plt.subplots(1, 2, figsize=(8.4, 3.2), layout="constrained", dpi=110)
grid = torch.linspace(-0.5, 3.5, 401)[:, None]
places = {
    "between": wgankit.between,
    "at real points": wgankit.at_real,
    "at generated points": wgankit.at_fake,
}
for name, where in places.items():
    torch.manual_seed(0)
    critic = nn.Sequential(
        nn.Linear(1, 64), nn.SiLU(), nn.Linear(64, 64), nn.SiLU(), nn.Linear(64, 1), nn.Flatten(0)
    )
    gaps = []
    wgankit.fit_critic(
        critic, lambda n: torch.rand(n, 1) + 2, lambda n: torch.rand(n, 1), space=Normed(),
        penalty=Penalty(20.0, relative=False, where=where), steps=400, rate=5e-3,
        watch=lambda step, report, gaps=gaps: gaps.append(float(report.gap)),
    )  # fmt: skip
    left.plot(gaps, label=name)
    slopes = Normed().slope(critic, grid, grid, torch.zeros(len(grid))).detach()
    right.semilogy(grid, slopes, label=name)
    print(f"{name}: D {gaps[-1]:.4g} after 400 updates, steepest {float(slopes.max()):.4g}")
left.set(title="gap D (W1 = 2)", xlabel="update", yscale="symlog")
right.axvspan(0, 1, color="C1", alpha=0.15)
right.axvspan(2, 3, color="k", alpha=0.15)
right.axhline(1, color="k", linewidth=0.8)
right.set(title="slopes (generated orange, real grey)", xlabel="x")
left.legend(fontsize=7)
figure.savefig(folder / "sampling.png")
