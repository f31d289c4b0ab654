"""Critics of the line under weight clipping and under a penalty, beside the optimal one."""

import argparse
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import torch
from torch import nn

import wgankit
from wgankit import Clipping, Normed, Penalty

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--out", type=Path, default=Path("docs/theory/pictures"))
folder = parser.parse_args().out
folder.mkdir(parents=True, exist_ok=True)
torch.set_num_threads(1)
torch.manual_seed(0)

# Mass moves to the right, to the left and to the right again: the best critic is a zigzag.
real = torch.cat([torch.randn(300, 1) * 0.2 - 4, torch.randn(600, 1) * 0.2 + 1])
fake = torch.cat([torch.randn(600, 1) * 0.2 - 1.5, torch.randn(300, 1) * 0.2 + 3.5])
true = wgankit.exact.w1(Normed(), real, fake)
grid = torch.linspace(-5, 5, 401)[:, None]
cases = [(f"clipped at {limit:g}", Clipping(limit)) for limit in (0.01, 0.1, 0.3)]
cases.append(("one-sided penalty", Penalty()))
figure, (left, right) = plt.subplots(1, 2, figsize=(8.4, 3.2), layout="constrained", dpi=110)
for number, (name, constraint) in enumerate(cases):
    torch.manual_seed(0)
    critic = nn.Sequential(
        nn.Linear(1, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 1), nn.Flatten(0)
    )
    rate = constraint.limit / 50 if isinstance(constraint, Clipping) else 2e-3
    found = wgankit.fit_critic(
        critic, real, fake, space=Normed(), penalty=constraint, steps=800,
        optimizer=torch.optim.RMSprop(critic.parameters(), lr=rate),
    )  # fmt: skip
    print(f"{name}: D {float(found.gap):.3g}, estimate {float(found.w1):.3g}, W1 {true:.3g}")
    with torch.no_grad():
        scores = critic(grid)
    slopes = scores.diff() / grid[:, 0].diff()
    shown = (scores - scores.mean()) / (slopes.abs().max() if number < 3 else 1)
    left.plot(grid, shown, f"C{number}", label=name)
    right.semilogy(grid[1:], slopes.abs().clamp_min(1e-7), f"C{number}", label=name)
for axis in (left, right):
    axis.plot(real, torch.full_like(real, axis.get_ylim()[0]), "k|", alpha=0.1)
    axis.plot(fake, torch.full_like(fake, axis.get_ylim()[0]), "r|", alpha=0.1)
left.set(title="critics (clipped ones scaled to slope 1)", xlabel="real black, generated red")
right.axhline(1, color="k", linewidth=0.8)
right.set(title="their slopes", xlabel="x")
right.legend(fontsize=7)
figure.savefig(folder / "clipping.png")
