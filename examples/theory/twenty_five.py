"""25 Gaussians: the same networks under a normal latent and under a latent of codes."""

import argparse
import math
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

STEPS = 1_200
data = 2.0 * torch.randint(-2, 3, (100_000, 2)) + 0.05 * torch.randn(100_000, 2)
codes = wgankit.MixtureLatent(100, 16)
inner = wgankit.Perceptron(16, 2, width=64, depth=2)
mixture = wgankit.MixtureGenerator(codes, inner, apart=60)
plain = wgankit.Perceptron(16, 2, width=64, depth=2)
places = {"params": mixture.places.parameters(), "lr": 0.2 / 60}
groups = [places, {"params": inner.parameters(), "lr": 1e-3}]
RUNS = {
    "normal latent": (wgankit.Normal(16), plain, plain.parameters()),
    "latent of codes": (codes, mixture, groups),
}
figure, axes = plt.subplots(1, 3, figsize=(8.6, 3.1), layout="constrained", dpi=110, sharey=True)
axes[0].scatter(*data[:2_500].T, s=1)
axes[0].set_title("data")
for axis, (name, (latent, generator, parameters)) in zip(axes[1:], RUNS.items(), strict=True):
    training = wgankit.train(
        generator,
        wgankit.Perceptron(2),
        data,
        space=wgankit.Normed(),
        latent=latent,
        penalty=wgankit.Penalty(weight=3.0),
        steps=STEPS,
        batch=128,
        n_critic=3,
        generator_optimizer=torch.optim.Adam(parameters, lr=1e-3, betas=(0.0, 0.9)),
        critic_rate=2e-3,
        schedule=lambda step: 0.5 + 0.5 * math.cos(math.pi * step / STEPS),
        ema=0.99,
        device="cpu",
    )
    for _ in training:
        pass
    points = training.average(latent.sample(2_500, "cpu"))
    axis.scatter(*points.T, s=1, color="C1")
    axis.set_title(name)
figure.savefig(folder / "twenty_five.png")
