"""What generators of graphs have learnt, in the terms of the process that made the data.

Trees are told by what is left of them where leaves are cut off, block models by the generator's own
chances, which are known exactly.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch

from wgankit.space import leaves
from wgankit_graphs.blocks import BlockGenerator

DRAWS = 4_096
"""Graphs whose blocks are drawn."""

PLANTED_BLOCKS, PLANTED_NODES = 5, (20, 40)
"""Of the published block models: at most so many blocks, and the nodes of the least and largest."""


def cut(graph: Any) -> Any:
    """Return a graph without its leaves."""
    inner = [node for node, degree in graph.degree() if degree > 1]
    return graph.subgraph(inner)


def tree_figures(trees: Sequence[Any]) -> dict[str, float]:
    """Return shares of nodes and deciles of backbones.

    A backbone is what is left after leaves were cut off twice; legs are what the second cut took,
    and leaves what the first one did.

    Arguments:
        trees: `networkx` graphs.
    """
    once = [cut(tree) for tree in trees]
    backbones = np.array([len(cut(tree)) for tree in once])
    all_, inner = sum(map(len, trees)), sum(map(len, once))
    figures = {
        "backbone": backbones.sum() / all_,
        "legs": (inner - backbones.sum()) / all_,
        "leaves": 1 - inner / all_,
    }
    deciles = {f"decile {k}": np.quantile(backbones, k / 10) for k in (1, 5, 9)}
    return {name: float(value) for name, value in (figures | deciles).items()}


@torch.no_grad()
def block_figures(
    generator: BlockGenerator, latent: Callable[[int], Any], *, seed: int = 0
) -> dict[str, float]:
    """Return probabilities of edges and the law of blocks that a generator draws by.

    Arguments:
        generator: trained.
        latent: draws so many latents (`PairLatent`).
        seed: of the latents.
    """
    torch.manual_seed(seed)
    _, shared, there, *_ = leaves(latent(DRAWS))
    tokens, sizes = generator.blocks(shared, there.sum(1, keepdim=True))
    chances = generator.between(tokens).sigmoid().squeeze(-1)
    here = sizes > 0
    pairs = here.unsqueeze(1) & here.unsqueeze(2)
    same = torch.eye(sizes.shape[1], dtype=torch.bool)
    used, planted = sizes[here], (sizes >= PLANTED_NODES[0]) & (sizes <= PLANTED_NODES[1])
    return {
        "within": chances[pairs & same].mean().item(),
        "between": chances[pairs & ~same].mean().item(),
        "nodes": used.mean().item(),
        "deviation": used.std().item(),
        "too many blocks": (here.sum(1) > PLANTED_BLOCKS).float().mean().item(),
        "all as planted": (planted | ~here).all(1).float().mean().item(),
    }
