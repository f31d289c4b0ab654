"""Five parallel lines: the same loop and networks, and two games."""

import argparse
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import math

import matplotlib.pyplot as plt
import torch

import wgankit

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--out", type=Path, default=Path("docs/theory/pictures"))
folder = parser.parse_args().out
folder.mkdir(parents=True, exist_ok=True)
torch.set_num_threads(1)
torch.manual_seed(0)

STEPS = 900
data = torch.stack([2.0 * torch.randint(-2, 3, (50_000,)), 2 * torch.rand(50_000) - 1], 1)
GAMES = {
    "Jensen-Shannon": {
        "objective": wgankit.JensenShannon(),
        "penalty": wgankit.Unconstrained(),
    },
    "Wasserstein": {"objective": wgankit.Wasserstein(), "penalty": wgankit.Penalty()},
}
figure, axes = plt.subplots(1, 3, figsize=(8.6, 2.6), layout="constrained", dpi=110, sharey=True)
axes[0].scatter(*data[:1_500].T, s=1)
axes[0].set(title="data", ylim=(-2, 2))
for axis, (name, game) in zip(axes[1:], GAMES.items(), strict=True):
    torch.manual_seed(0)
    training = wgankit.train(
        wgankit.Perceptron(2, 2, width=64),
        wgankit.Perceptron(2, width=64),
        data,
        space=wgankit.Normed(),
        steps=STEPS,
        generator_rate=1e-2,
        critic_rate=1e-2,
        schedule=lambda step: 0.5 + 0.5 * math.cos(math.pi * step / STEPS),
        ema=0.99,
        device="cpu",
        **game,
    )
    for _ in training:
        pass
    with torch.no_grad():
        points = training.average(torch.randn(1_500, 2))
    w1 = wgankit.exact.w1(wgankit.Normed(), points, data[:1_500])
    axis.scatter(*points.T, s=1, color="C1")
    axis.set(title=f"{name}: W1 = {w1:.2f}", xlim=(-5, 5))
figure.savefig(folder / "parallel_lines.png")
