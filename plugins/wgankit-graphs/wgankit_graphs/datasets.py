"""Sets of graphs made by recipe: no download, the same graphs for the same seed.

The recipes are those behind the sets that papers on graph generation train on, so the laws are the
same; the graphs are not the files that the papers used.  Every function works without arguments.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from wgankit.errors import SettingError

if TYPE_CHECKING:
    import networkx

    Graph: TypeAlias = networkx.Graph

PLANTED_WITHIN = 0.3
PLANTED_BETWEEN = 0.005
PLANTED_BLOCKS = (2, 5)
PLANTED_SIZES = (20, 40)

CITATION_NODES = 3327
"""Nodes of the Citeseer network, from which the published ego graphs are cut."""


def planar(count: int = 200, seed: int = 0, *, nodes: int = 64) -> list[Graph]:
    """Return Delaunay triangulations of points drawn uniformly from the unit square.

    Arguments:
        count: how many graphs.
        seed: the same graphs for the same seed.
        nodes: points in each graph, at least 3.

    Source: the planar set of SPECTRE (Martinkus et al., ICML 2022), 64 points.
    """
    import networkx
    from scipy.spatial import Delaunay

    rng = _checked(count, seed, nodes=nodes, smallest=3)
    graphs = []
    for _ in range(count):
        corners = Delaunay(rng.random((nodes, 2))).simplices
        graph = networkx.empty_graph(nodes)
        for side in ((0, 1), (1, 2), (2, 0)):
            graph.add_edges_from(np.sort(corners[:, side], axis=1).tolist())
        graphs.append(graph)
    return graphs


def tree(count: int = 200, seed: int = 0, *, nodes: int = 64) -> list[Graph]:
    """Return trees drawn uniformly from all trees on labelled nodes.

    Arguments:
        count: how many graphs.
        seed: the same graphs for the same seed.
        nodes: nodes of each tree.

    Source: the tree set of Bergmeister et al. (ICLR 2024), 64 nodes.
    """
    import networkx

    rng = _checked(count, seed, nodes=nodes)
    return [networkx.random_labeled_tree(nodes, seed=_seed(rng)) for _ in range(count)]


def lobster(
    count: int = 200,
    seed: int = 0,
    *,
    nodes: int = 80,
    p1: float = 0.7,
    p2: float = 0.7,
    smallest: int = 10,
    largest: int = 100,
) -> list[Graph]:
    """Return random lobsters: trees whose nodes are at most two steps from a path, the backbone.

    The backbone has 2 u nodes, rounded, with u uniform on [0, `nodes`]; each of its nodes grows
    legs, and each leg grows claws, while coins of probability `p1` and `p2` come up heads.
    Lobsters with fewer than `smallest` or more than `largest` nodes are thrown away.

    Arguments:
        count: how many graphs.
        seed: the same graphs for the same seed.
        nodes: expected number of nodes of the backbone, before lobsters are thrown away.
        p1: probability of one more leg, below 1.
        p2: probability of one more claw, below 1.
        smallest: fewest nodes kept.
        largest: most nodes kept.

    Source: the lobster set of GRAN (Liao et al., NeurIPS 2019) and of PolyGraph, with the numbers
    that are the defaults; the recipe is that of networkx's random lobsters.
    """
    rng = _checked(count, seed, nodes=nodes)
    if not (0 <= p1 < 1 and 0 <= p2 < 1 and 1 <= smallest <= largest and smallest <= 2 * nodes):
        raise SettingError(
            "a lobster wants 0 <= p1 < 1, 0 <= p2 < 1 and 1 <= smallest <= largest with smallest "
            f"at most twice nodes; got {p1=}, {p2=}, {smallest=}, {largest=}, {nodes=}"
        )
    return [_one_lobster(rng, nodes, (p1, p2), (smallest, largest)) for _ in range(count)]


def _one_lobster(
    rng: np.random.Generator, nodes: int, p: tuple[float, float], bounds: tuple[int, int]
) -> Graph:
    import networkx

    while True:
        backbone = int(2 * rng.random() * nodes + 0.5)
        # Heads before the first tails: numpy counts the throws up to and with the tails.
        legs = rng.geometric(1 - p[0], backbone) - 1
        claws = rng.geometric(1 - p[1], legs.sum()) - 1
        if bounds[0] <= backbone + legs.sum() + claws.sum() <= bounds[1]:
            break
    graph = networkx.path_graph(backbone)
    feet = backbone + np.arange(legs.sum())
    tips = backbone + legs.sum() + np.arange(claws.sum())
    graph.add_edges_from(zip(np.arange(backbone).repeat(legs).tolist(), feet.tolist(), strict=True))
    graph.add_edges_from(zip(feet.repeat(claws).tolist(), tips.tolist(), strict=True))
    return graph


def sbm(count: int = 200, seed: int = 0) -> list[Graph]:
    """Return graphs of a stochastic block model, 40 to 200 nodes.

    Each has 2 to 5 blocks of 20 to 40 nodes, all numbers uniform; two nodes are joined with
    probability 0.3 within a block and 0.005 between blocks.  A graph may fall apart.

    Arguments:
        count: how many graphs.
        seed: the same graphs for the same seed.

    Source: the SBM set of SPECTRE (Martinkus et al., ICML 2022).
    """
    rng = _checked(count, seed)
    graphs = []
    for _ in range(count):
        blocks = rng.integers(*PLANTED_BLOCKS, endpoint=True)
        sizes = rng.integers(*PLANTED_SIZES, size=blocks, endpoint=True)
        graphs.append(_planted(rng, sizes, PLANTED_WITHIN, PLANTED_BETWEEN))
    return graphs


def _planted(rng: np.random.Generator, sizes: Any, within: float, between: float) -> Graph:
    import networkx

    block = np.repeat(np.arange(len(sizes)), sizes)
    u, v = np.triu_indices(len(block), 1)
    joined = rng.random(len(u)) < np.where(block[u] == block[v], within, between)
    graph = networkx.empty_graph(len(block))
    graph.add_edges_from(np.stack([u[joined], v[joined]], axis=1).tolist())
    return graph


def community(
    count: int = 200, seed: int = 0, *, smallest: int = 12, largest: int = 20
) -> list[Graph]:
    """Return graphs of two equal communities, 12 to 20 nodes.

    A number n of nodes is drawn uniformly; two communities of n // 2 nodes are Erdos-Renyi graphs
    with probability 0.7; every pair across is joined with probability 0.1 / (n // 2), which makes
    0.05 n edges on average; parts without any edge between them are joined by one.

    Arguments:
        count: how many graphs.
        seed: the same graphs for the same seed.
        smallest: fewest nodes, at least 2.
        largest: most nodes.

    Source: the community-small set of Niu et al. (AISTATS 2020), also used by GDSS and SPECTRE.
    Their code draws both communities with one fixed seed for each, so that every size has a single
    pair of them; here each graph draws its own.
    """
    rng = _checked(count, seed)
    if not 2 <= smallest <= largest:
        raise SettingError(
            f"two communities want 2 <= smallest <= largest; got {smallest=}, {largest=}"
        )
    graphs = []
    for _ in range(count):
        half = int(rng.integers(smallest, largest, endpoint=True)) // 2
        graphs.append(_connected(_planted(rng, [half, half], 0.7, 0.1 / half)))
    return graphs


def _connected(graph: Graph) -> Graph:
    """Return the graph with the first nodes of all parts joined pairwise; changes it in place."""
    import networkx

    first = [min(part) for part in networkx.connected_components(graph)]
    graph.add_edges_from((u, v) for place, v in enumerate(first) for u in first[:place])
    return graph


def ego(
    count: int = 200,
    seed: int = 0,
    *,
    radius: int = 1,
    smallest: int = 4,
    largest: int = 18,
) -> list[Graph]:
    """Return neighbourhoods cut from generated networks that resemble citation networks.

    The networks are scale-free with triangles (Holme and Kim, 2002): 3,327 nodes come one by one,
    each citing two others in proportion to their degree, the second with probability 1/2 a
    neighbour of the first.  A graph is everything within `radius` steps of a random node, kept
    if its number of nodes is allowed; a network whose nodes are used up is followed by another.

    This is ego-like: the published ego-small set (GDSS, Jo et al., ICML 2022) is cut in the same
    way, with the same bounds, from the real Citeseer network, which is not used here.  Do not
    compare results with those on it.

    Arguments:
        count: how many graphs.
        seed: the same graphs for the same seed.
        radius: steps from the centre, at least 1.
        smallest: fewest nodes kept.
        largest: most nodes kept.
    """
    import networkx

    rng = _checked(count, seed)
    graphs: list[Graph] = []
    while len(graphs) < count:
        network = networkx.powerlaw_cluster_graph(CITATION_NODES, 2, 0.5, seed=_seed(rng))
        before = len(graphs)
        for centre in rng.permutation(CITATION_NODES).tolist():
            if len(graphs) == count:
                break
            ball = _ball(network, centre, radius, largest)
            if smallest <= len(ball) <= largest:
                graph = network.subgraph(ball)
                graphs.append(networkx.convert_node_labels_to_integers(graph))
        if len(graphs) == before:
            raise SettingError(
                f"no neighbourhood of {radius=} has {smallest} to {largest} nodes; widen the bounds"
            )
    return graphs


def _ball(network: Graph, centre: int, radius: int, largest: int) -> set[int]:
    """Return the nodes within `radius` steps, or some more than `largest` of them."""
    ball = edge = {centre}
    for _ in range(radius):
        edge = {near for node in edge for near in network[node]} - ball
        ball = ball | edge
        if len(ball) > largest:
            break
    return ball


def community_small() -> list[Graph]:
    """Return `community()` as the literature has it: 100 graphs of 12 to 20 nodes."""
    return community(100)


def ego_small() -> list[Graph]:
    """Return `ego()` in the size of the literature's set: 200 graphs of 4 to 18 nodes."""
    return ego(200)


MADE: dict[str, Callable[[], list[Graph]]] = {
    "planar": planar,
    "tree": tree,
    "lobster": lobster,
    "sbm": sbm,
    "community-small": community_small,
    "ego-small": ego_small,
}
"""Every set by its name, as a function that needs no arguments."""


def _checked(count: int, seed: int, *, nodes: int = 1, smallest: int = 1) -> np.random.Generator:
    if count < 0 or nodes < smallest or seed < 0:
        raise SettingError(
            f"a set of graphs wants count >= 0, seed >= 0 and nodes >= {smallest}; "
            f"got count={count}, seed={seed}, nodes={nodes}"
        )
    return np.random.default_rng(seed)


def _seed(rng: np.random.Generator) -> int:
    return int(rng.integers(2**31))
