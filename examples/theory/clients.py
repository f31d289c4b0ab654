"""What a generator makes of two clients: weighted median or mixture, by linear programs."""

import argparse
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
import ot
import torch
from PIL import Image

import wgankit

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--out", type=Path, default=Path("docs/theory/pictures"))
folder = parser.parse_args().out
folder.mkdir(parents=True, exist_ok=True)

places = torch.linspace(0, 10, 41)[:, None].double()
table = wgankit.pairwise(wgankit.Normed(), places, places).numpy()
first, second = (np.exp(-(((places[:, 0].numpy() - c) / 1.2) ** 2)) for c in (2.5, 7.5))
laws = np.stack([first / first.sum(), second / second.sum()], 1)


def barycentre(weight):
    """Return the law that minimises weight * W(first, G) + (1 - weight) * W(second, G)."""
    return ot.lp.barycenter(
        laws, table / table.max(), np.array([weight, 1 - weight]), solver="highs"
    )


figure, (left, right) = plt.subplots(1, 2, figsize=(8.4, 3.2), layout="constrained", dpi=110)
left.fill_between(places[:, 0], laws @ [0.6, 0.4], color="0.85", label="the clients' mixture")
left.plot(places, laws @ [0.6, 0.4], "C0--", label="one critic on the mixture")
left.plot(places, barycentre(0.6), "C3", label="mean of the clients' distances")
left.set(title="two clients, weights 0.6 and 0.4", xlabel="x", ylabel="mass generated")
left.legend(fontsize=7)

weights = np.linspace(0.02, 0.98, 25)
near_first = places[:, 0].numpy() < 5
right.plot(weights, weights, "C0--", label="one critic on the mixture")
right.plot(
    weights,
    [barycentre(w)[near_first].sum() for w in weights],
    "C3.",
    label="mean of the clients' distances",
)
right.set(title="what the first client gets", xlabel="its weight", ylabel="share of the mass")
right.legend(fontsize=7, loc="lower right")
figure.canvas.draw()
picture = Image.fromarray(np.asarray(figure.canvas.buffer_rgba())).convert("RGB")
picture.quantize(32).save(folder / "clients.png", optimize=True)
