"""Jensen-Shannon saturates where W1 goes on, and the best classifier stops pulling."""

import argparse
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import torch
from torch.distributions import Normal

from wgankit import closed_forms

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--out", type=Path, default=Path("docs/theory/pictures"))
folder = parser.parse_args().out
folder.mkdir(parents=True, exist_ok=True)
torch.set_num_threads(1)
torch.manual_seed(0)

figure, (left, right) = plt.subplots(1, 2, figsize=(8.4, 3.2), layout="constrained", dpi=110)
grid = torch.linspace(-12, 32, 8001, dtype=torch.float64)
step = float(grid[1] - grid[0])
shifts = torch.linspace(0, 20, 81).tolist()
first = Normal(0.0, 1.0).log_prob(grid).exp()
js = [
    closed_forms.jensen_shannon(first, Normal(shift, 1.0).log_prob(grid).exp(), step=step)
    for shift in shifts
]
left.plot(shifts, js, label="Jensen-Shannon (nats)")
left.plot(shifts, [closed_forms.w1_gaussians(0, 1, m, 1) / 20 for m in shifts], label="W1 / 20")
left.axhline(0.693147, color="k", linewidth=0.8, linestyle=":")
left.set(title="N(0, 1) and N(m, 1)", xlabel="m")
left.legend(fontsize=7)

steepness = torch.logspace(-1, 2, 61).tolist()
pulls = [closed_forms.logistic_gradients(2.0, k) for k in steepness]
right.loglog(steepness, [pull[0] for pull in pulls], label="log(1 - D), as written")
right.loglog(steepness, [pull[1] for pull in pulls], label="-log D, as played")
right.axhline(1, color="C2", label="Wasserstein")
right.set(title="pull on a point 2 away", xlabel="steepness of the classifier", ylim=(1e-12, 1e3))
right.legend(fontsize=7)
figure.savefig(folder / "saturation.png")
