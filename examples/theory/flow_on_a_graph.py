"""The cheapest flow between two laws on the nodes of a graph, and the critic that proves it."""

import argparse
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import networkx as nx
import numpy as np
from PIL import Image

from wgankit_graphs import flow

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--out", type=Path, default=Path("docs/theory/pictures"))
out = parser.parse_args().out

# A map of 90 towns with roads between those that are close; as long as they look.
graph = nx.random_geometric_graph(90, 0.17, seed=3)
graph = graph.subgraph(max(nx.connected_components(graph), key=len))
graph = nx.convert_node_labels_to_integers(graph)
place = np.array([graph.nodes[node]["pos"] for node in graph])
edges = np.array(graph.edges)
lengths = np.linalg.norm(place[edges[:, 0]] - place[edges[:, 1]], axis=1)

# Goods are made in the lower left and wanted in the upper right and the lower right.
real = np.exp(-np.square(place - [0.1, 0.2]).sum(1) / 0.02)
fake = np.exp(-np.square(place - [0.8, 0.9]).sum(1) / 0.02)
fake += 0.5 * np.exp(-np.square(place - [0.9, 0.1]).sum(1) / 0.01)
found = flow(len(graph), edges, lengths, real, fake)

figure, axes = plt.subplots(figsize=(6.2, 4.8), dpi=110, layout="constrained")
carried = found.flow.numpy()
for (u, v), mass in zip(edges, carried, strict=True):
    axes.plot(*place[[u, v]].T, color="#cccccc", lw=0.7, zorder=1)
    if abs(mass) > 1e-6:
        start, end = (u, v) if mass > 0 else (v, u)
        arrow = {"arrowstyle": "-|>", "color": "#333333", "lw": 0.5 + 9 * abs(mass)}
        axes.annotate("", place[end], place[start], arrowprops=arrow, zorder=2)
sizes = 14 + 1200 * np.abs(real / real.sum() - fake / fake.sum())
dots = axes.scatter(*place.T, c=found.potential, s=sizes, cmap="viridis", zorder=3)
figure.colorbar(dots, label="optimal critic f, in units of length")
axes.set(xticks=[], yticks=[], aspect="equal")
title = f"W1 = {found.w1:.4f}: f falls by the full length of every edge that carries mass"
figure.suptitle(title, fontsize=10)

values = found.potential.numpy()
slopes = (values[edges[:, 0]] - values[edges[:, 1]]) / lengths
used = np.abs(carried) > 1e-9
print(f"W1 = {found.w1:.6f}; {used.sum()} of {len(edges)} edges carry mass")
print(f"slopes: 1 - {1 - (slopes * np.sign(carried))[used].min():.1e} or more on edges that do")
print(
    f"and at most {np.abs(slopes).max():.12f}, on average {np.abs(slopes[~used]).mean():.2f} else"
)
out.mkdir(parents=True, exist_ok=True)
figure.canvas.draw()
picture = Image.fromarray(np.asarray(figure.canvas.buffer_rgba())).convert("RGB")
picture.quantize(64).save(out / "flow_on_a_graph.png", optimize=True)
