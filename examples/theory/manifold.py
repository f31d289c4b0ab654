"""Which way a critic sends points beside a line, in two metrics."""

import argparse
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import torch

import wgankit
from wgankit.spaces.quadratic import Quadratic

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--out", type=Path, default=Path("docs/theory/pictures"))
folder = parser.parse_args().out
folder.mkdir(parents=True, exist_ok=True)
torch.set_num_threads(1)
torch.manual_seed(0)

HEIGHT, OFFSET = 2.0, 2.0
along = torch.rand(400)
real = torch.stack([OFFSET + along, torch.zeros(400)], 1)
fake = torch.stack([along, torch.full((400,), HEIGHT)], 1)
figure, axes = plt.subplots(1, 2, figsize=(8.2, 2.9), layout="constrained", dpi=110, sharey=True)
for axis, eps in zip(axes, (1.0, 0.1), strict=True):
    space = Quadratic(torch.diag(torch.tensor([1.0, eps**2])))
    critic = wgankit.Perceptron(2, width=64, depth=2)
    wgankit.fit_critic(critic, real, fake, space=space, steps=400, pairs=128, rate=5e-3)
    points = torch.stack([torch.linspace(0, 1, 7), torch.full((7,), HEIGHT)], 1).requires_grad_()
    (gradient,) = torch.autograd.grad(critic(points).sum(), points)
    share = gradient[:, 0].abs() / space.dual_norm(points, gradient)
    axis.scatter(*real.T, s=4, label="real")
    axis.scatter(*fake.T, s=4, label="generated")
    start, way = points.detach(), gradient.detach()
    axis.quiver(*start.T, *way.T, color="C3", angles="xy", scale_units="xy", scale=1, width=5e-3)
    exact = OFFSET / (OFFSET**2 + (eps * HEIGHT) ** 2) ** 0.5
    title = f"across counts {eps:g}: share along {share.mean():.3f} (exact {exact:.3f})"
    axis.set_title(title, fontsize=9)
    axis.set(xlim=(-0.5, 3.5), ylim=(-0.4, 2.6))
axes[0].legend(fontsize=7, loc="lower left")
figure.savefig(folder / "manifold.png")
