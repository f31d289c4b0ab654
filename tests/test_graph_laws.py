"""What the benchmark of graphs tells of trees and blocks is what it says."""

import networkx as nx
import pytest
import torch

pytest.importorskip("wgankit_graphs")

from benchmarks.graph_laws import block_figures, tree_figures
from wgankit_graphs.blocks import BlockGenerator, PairLatent
from wgankit_graphs.partition import members


def test_parts_of_trees():
    """A path of three with two legs at each node, of which each has three claws, and a path."""
    lobster = nx.path_graph(3)
    for node in range(3):
        for leg in (10 * node + 10, 10 * node + 15):
            lobster.add_edge(node, leg)
            lobster.add_edges_from((leg, leg + claw) for claw in (1, 2, 3))
    assert tree_figures([lobster]) == pytest.approx(
        {
            "backbone": 3 / 27, "legs": 6 / 27, "leaves": 18 / 27,
            "decile 1": 3, "decile 5": 3, "decile 9": 3,
        }
    )  # fmt: skip
    both = tree_figures([lobster, nx.path_graph(9)])
    assert (both["backbone"], both["legs"]) == pytest.approx((8 / 36, 8 / 36))
    assert (both["decile 1"], both["decile 9"]) == pytest.approx((3.2, 4.8))


def test_chances_of_blocks_are_those_that_graphs_show():
    torch.manual_seed(0)
    generator = BlockGenerator(2, 2, 60, blocks=3, edge_law=[0.8, 0.2], width=16, heads=2).eval()
    latent = PairLatent([0.0] * 60 + [1.0], 60)

    def drawn(count):
        return latent.sample(count, "cpu")

    said = block_figures(generator, drawn)
    some = drawn(400)
    with torch.no_grad():
        edges = generator(some).edges[..., 1]
        _, sizes = generator.blocks(some[1], torch.full((400, 1), 60.0))
    member = members(sizes, some[3])
    same = (member @ member.mT).bool() & ~torch.eye(60, dtype=torch.bool)
    other = ~(member @ member.mT).bool()
    # 0.4 of edges within and 0.04 between, counted in some 300,000 pairs; chances differ little
    # from block to block before anything is learnt.
    assert said["within"] == pytest.approx(edges[same].mean().item(), abs=0.01)
    assert said["between"] == pytest.approx(edges[other].mean().item(), abs=0.005)
    assert said["within"] > 5 * said["between"]
    used = sizes[sizes > 0]
    assert said["nodes"] == pytest.approx(used.mean().item(), rel=0.05)
    assert said["deviation"] == pytest.approx(used.std().item(), rel=0.15)
    planted = ((sizes == 0) | ((sizes >= 20) & (sizes <= 40))).all(1).float().mean().item()
    assert 0 < said["all as planted"] < 1
    assert said["all as planted"] == pytest.approx(planted, abs=0.1)
    assert said["too many blocks"] == 0
