"""What a penalised critic reaches on a tree: the closed form, and critics that were trained."""

import argparse
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
import torch

from wgankit import Penalty, fit_critic
from wgankit_graphs import GraphNodes, NodeTable, congested_tree, tree_w1

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--out", type=Path, default=Path("docs/theory/pictures"))
out = parser.parse_args().out

source = np.random.default_rng(0)
count = 30
edges = np.array([(source.integers(node), node) for node in range(1, count)])
lengths = source.uniform(0.5, 2, count - 1)
real, fake = source.random((2, count)) ** 3
w1 = tree_w1(count, edges, lengths, real, fake)
space = GraphNodes(count, torch.tensor(edges), torch.tensor(lengths))
nodes = torch.arange(count)


def trained(weight: float) -> tuple[float, float, float]:
    """D, J and D - 2 lambda R of a critic with a number for each node, in units of W1."""
    penalty = Penalty(weight, space.every_edge, relative=False)
    masses = {"real_weights": torch.tensor(real), "fake_weights": torch.tensor(fake)}
    settings = {"space": space, "penalty": penalty, "steps": 2_000, "rate": 0.1, **masses}
    report = fit_critic(NodeTable(count), nodes, nodes, **settings)
    gap, penalised = report.gap.item(), weight * report.penalty.item()
    return gap / w1, (gap - penalised) / w1, report.w1.item() / w1


figure, axes = plt.subplots(figsize=(6.2, 3.8), layout="constrained")
shares = np.geomspace(0.3, 100, 60)
law = [congested_tree(count, edges, lengths, real, fake, weight=s * w1) for s in shares]
curves = ([one.gap / w1 for one in law], [one.objective / w1 for one in law], np.ones(60))
shown = np.geomspace(0.5, 50, 5)
reached = np.array([trained(share * w1) for share in shown])
names = ("D, the gap", "J = D - lambda R", "D - 2 lambda R")
for name, curve, points in zip(names, curves, reached.T, strict=True):
    (line,) = axes.plot(shares, curve, label=name)
    axes.plot(shown, points, "o", color=line.get_color(), ms=5)
axes.set(xscale="log", ylim=(0.8, 4), xlabel="lambda / W1", ylabel="in units of W1")
axes.set_title("Tree of 30 nodes: closed form (lines) and trained critics (dots)", fontsize=10)
axes.legend()
print("lambda / W1, then D, J, D - 2 lambda R of trained critics, in units of W1")
for share, row in zip(shown, reached, strict=True):
    print(f"{share:8.3f}", *(f"{value:9.6f}" for value in row))
out.mkdir(parents=True, exist_ok=True)
figure.savefig(out / "congestion_on_a_tree.png", dpi=110)
