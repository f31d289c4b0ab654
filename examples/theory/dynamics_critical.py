"""Where a spiral becomes a node, by weight and number of critic steps; how far cycles reach."""

import argparse
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
from PIL import Image

import wgankit
from wgankit.dynamics import PointGame, critical_weight, simulate, two_sided_amplitude

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--out", type=Path, default=Path("docs/theory/pictures"))
folder = parser.parse_args().out
folder.mkdir(parents=True, exist_ok=True)

figure, (left, middle, right) = plt.subplots(1, 3, figsize=(10, 3.2), layout="constrained", dpi=110)

for weight in (0.1, 0.5, 1.0, 3.0):
    theta = simulate(PointGame(weight), step=0.01, steps=1_500)[:, 0]
    left.plot(0.01 * np.arange(len(theta)), theta, label=f"lambda = {weight}")
left.set(title="zero-centred penalty", xlabel="time", ylabel="generator theta")

turns = np.arange(1, 11)
middle.plot(turns, turns**-0.5, color="0.6", label="1 / sqrt(n), continuous time")
for step in (0.05, 0.2, 0.5):
    found = [critical_weight(step=step, n_critic=int(n)) for n in turns]
    middle.plot(turns, found, "o", markersize=3, label=f"steps of {step}")
middle.set(title="critical weight", xlabel="critic steps per generator step", ylim=(0, 1.05))

weights = np.linspace(0.0, 1.6, 200)
right.plot(weights, [two_sided_amplitude(w) for w in weights], color="0.6", label="formula")
for start, mark in (((0.3, 0.3), "o"), ((2.5, 0.0), "x")):
    seen = []
    for weight in (0.1, 0.4, 0.7, 0.95, 1.3, 1.6):
        game = PointGame(weight, wgankit.two_sided)
        path = simulate(game, start=start, step=2e-3, steps=40_000)
        seen.append(np.abs(path[-5_000:, 0]).max())
    xs = (0.1, 0.4, 0.7, 0.95, 1.3, 1.6)
    right.plot(xs, seen, mark, markersize=4, label=f"simulated from {start}")
right.set(title="two-sided penalty: what remains", xlabel="lambda", ylabel="largest |theta|")
for axes in (left, middle, right):
    axes.legend(fontsize=7)
figure.canvas.draw()
picture = Image.fromarray(np.asarray(figure.canvas.buffer_rgba())).convert("RGB")
picture.quantize(32).save(folder / "dynamics_critical.png", optimize=True)
