"""Phase portraits of one point against a linear critic, under five penalties."""

import argparse
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
from PIL import Image

import wgankit
from wgankit.dynamics import PointGame, phase_portrait, squared_norm, two_sided_amplitude

GAMES = {
    "no penalty: closed orbits": PointGame(0.0),
    "zero-centred, 0.3: spiral": PointGame(0.3),
    "zero-centred, 1.2: node": PointGame(1.2),
    "two-sided, 0.3: limit cycle": PointGame(0.3, wgankit.two_sided),
    "one-sided, 0.3: down to radius 1": PointGame(0.3, wgankit.one_sided),
    "squared norm, 0.3: repelled": PointGame(0.3, squared_norm),
}

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--out", type=Path, default=Path("docs/theory/pictures"))
folder = parser.parse_args().out
folder.mkdir(parents=True, exist_ok=True)

figure, grid = plt.subplots(2, 3, figsize=(7.6, 5.3), layout="constrained", dpi=110)
for axes, (title, game) in zip(grid.flat, GAMES.items(), strict=True):
    phase_portrait(axes, game, starts=[(1.8, 0.0), (0.0, 0.5)])
    axes.set_title(title, fontsize=9)
    axes.label_outer()
edge = two_sided_amplitude(0.3)
for side in (-edge, edge):
    grid[1, 0].axvline(side, color="0.5", linestyle=":")
grid[1, 1].add_patch(plt.Circle((0, 0), 1.0, fill=False, color="0.5", linestyle=":"))
figure.canvas.draw()
picture = Image.fromarray(np.asarray(figure.canvas.buffer_rgba())).convert("RGB")
picture.quantize(12).save(folder / "dynamics.png", optimize=True)
