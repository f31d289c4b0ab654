"""The gap of a penalised critic between two points, and along a fit of two Gaussians."""

import argparse
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import torch
from torch import nn

import wgankit
from wgankit import Normed, Penalty, Perceptron, closed_forms

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--out", type=Path, default=Path("docs/theory/pictures"))
folder = parser.parse_args().out
folder.mkdir(parents=True, exist_ok=True)
torch.set_num_threads(1)
torch.manual_seed(0)

figure, (left, right) = plt.subplots(1, 2, figsize=(8.4, 3.2), layout="constrained", dpi=110)
weights = [0.1, 0.3, 1.0, 3.0, 10.0, 100.0]
found = [
    wgankit.fit_critic(
        Perceptron(1, width=32, depth=1), torch.ones(1, 1), torch.zeros(1, 1), space=Normed(),
        penalty=Penalty(weight, relative=False), steps=500, rate=5e-3,
    )
    for weight in weights
]  # fmt: skip
left.loglog(weights, [closed_forms.penalised_points(1, w).gap for w in weights])
left.loglog(weights, [(float(report.gap), float(report.w1)) for report in found], "o")
left.set(title="two points at distance 1", xlabel="lambda", ylabel="distance")
left.legend(["law of D", "D, trained", "D - 2 lambda R, trained"], fontsize=7)

goal, penalty = torch.tensor([3.0, 4.0]), Penalty(weight=5.0)
critic = nn.Sequential(nn.Linear(2, 64), nn.SiLU(), nn.Linear(64, 64), nn.SiLU())
critic.extend([nn.Linear(64, 1), nn.Flatten(0)])
real, fake = torch.randn(2, 20_000, 2).unbind()
rows = []


def watch(step, report):
    if step % 25 == 0:
        weighted = {"penalty": penalty, "weight": float(report.weight)}
        row = wgankit.estimate(Normed(), critic, real + goal, fake, **weighted)
        rows.append((step, float(row.gap), float(row.w1), float(row.lower)))


wgankit.fit_critic(
    critic, lambda n: torch.randn(n, 2) + goal, lambda n: torch.randn(n, 2), space=Normed(),
    penalty=penalty, steps=1000, rate=2e-3, watch=watch,
)  # fmt: skip
steps, *columns = zip(*rows, strict=True)
right.plot(steps, list(zip(*columns, strict=True)))
right.axhline(5, color="k", linewidth=0.8)
right.set(title="Gaussians 5 apart, lambda = 5 W1", xlabel="update", ylim=(3, 6.5))
right.legend(["D", "D - 2 lambda R", "D / steepest slope", "W1"], fontsize=7)
figure.savefig(folder / "congestion.png")
