"""Which distance a conditional critic measures: on the product of data and conditions, by beta."""

import argparse
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
import torch
from PIL import Image

import wgankit

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--out", type=Path, default=Path("docs/theory/pictures"))
folder = parser.parse_args().out
folder.mkdir(parents=True, exist_ok=True)

generator = torch.Generator().manual_seed(0)
conditions = torch.rand(400, 1, generator=generator)
noise = 0.15 * torch.randn(2, 400, 1, generator=generator)
real = (conditions + noise[0], conditions)
GENERATORS = {
    "ignores the condition": (conditions.flip(0) + noise[1], conditions),
    "answers the opposite": (1 - conditions + noise[1], conditions),
    "right for each condition": (conditions + noise[1], conditions),
}
betas = np.geomspace(0.02, 50, 25)
figure, (left, right) = plt.subplots(1, 2, figsize=(8.4, 3.2), layout="constrained", dpi=110)
for number, (name, fake) in enumerate(GENERATORS.items()):
    found = []
    for beta in betas:
        product = wgankit.Product(wgankit.Normed(), wgankit.Normed(), weights=[1, beta])
        found.append(wgankit.exact.w1(product, real, fake))
    right.semilogx(betas, found, f"C{number}", label=name)
    each = wgankit.Normed().distance(real[0], fake[0]).mean()  # one point at each condition
    right.axhline(float(each), color=f"C{number}", linestyle=":")
    left.plot(fake[1], fake[0], f"C{number}.", markersize=3, label=name)
left.plot(*[part[:, 0] for part in reversed(real)], "k.", markersize=2)
left.set(title="data (black) and generators", xlabel="condition c", ylabel="x")
right.set(
    title="W1 for |x - x'| + beta |c - c'|", xlabel="beta", ylabel="W1 (dotted: each c apart)"
)
right.legend(fontsize=6, loc="center left", bbox_to_anchor=(0, 0.56))
figure.canvas.draw()
picture = Image.fromarray(np.asarray(figure.canvas.buffer_rgba())).convert("RGB")
picture.quantize(32).save(folder / "conditions.png", optimize=True)
