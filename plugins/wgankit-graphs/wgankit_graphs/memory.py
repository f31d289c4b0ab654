"""How much memory graphs take, asked before it is taken.

Adjacency is dense: everything grows with the square of the number of nodes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch

from wgankit.errors import DataError

FLOAT = 4
"""Bytes of a number in training."""

BLOCK = 1 << 27
"""Numbers of a tensor from which networks work through pairs of nodes, or graphs, in blocks of that
size: half a GiB each.  In training a block of pairs is computed twice instead of being kept."""

HELD = 1.25
"""Times as much memory as tensors take, in a process whose allocator keeps what it has freed."""

TRACED = 1.25
"""Times as much memory as steps take as they are written, where they are traced or compiled."""


class Sizes(NamedTuple):
    """What the memory of a step depends on.

    Arguments:
        nodes: N, of the largest graph.
        labels: L, edge labels, "nothing" included.
        node_numbers: A, real numbers of a node.
        edge_numbers: C, real numbers of an edge.
        batch: graphs in a batch.
        n_critic: updates of the critic, for which points are made at once.
        width: channels of the networks.
        layers: of the critic.
        steps: length of the critic's walks.
        graphs: in the data set.
        judged: graphs on each side of an exact transport.
    """

    nodes: int
    labels: int
    node_numbers: int
    edge_numbers: int
    batch: int
    n_critic: int
    width: int
    layers: int
    steps: int
    graphs: int = 0
    judged: int = 0


def stored_bytes(count: int, size: int, node_numbers: int = 0, edge_numbers: int = 0) -> int:
    """Return how many bytes a data set takes as arrays (see `encode_graphs`).

    Arguments:
        count: graphs.
        size: N, nodes of the largest.
        node_numbers: A, real numbers of a node.
        edge_numbers: C, real numbers of an edge.
    """
    return count * (size * (1 + FLOAT * node_numbers) + size**2 * (1 + FLOAT * edge_numbers))


def step_bytes(sizes: Sizes) -> float:
    """Return about how many bytes of tensors a step takes at most, beside data and parameters.

    For the attention generator and the critic of messages.  Factors are fitted to what torch's
    profiler counted for single parts of a step, from 100 to 200 nodes; `python -m
    benchmarks.graph_growth` compares the whole with what processes take.
    """
    return FLOAT * max(_making(sizes), _criticising(sizes), _improving(sizes))


def _making(s: Sizes) -> float:
    """Return how many numbers it takes to make real and generated points of all updates."""
    graphs = s.batch * s.n_critic
    square = graphs * s.nodes**2
    pairs = 6 * min(BLOCK, square * s.width / 2)
    return max(pairs + 2.5 * square, square * (3.2 + 5 * s.labels + s.edge_numbers))


def _criticising(s: Sizes) -> float:
    """Return how many numbers an update of the critic takes, with the points made before."""
    relations = s.labels - 1 + s.edge_numbers
    each = 15 + 3 * s.steps + 9 * relations + 8 * s.edge_numbers
    each += 9 * (s.node_numbers + 1) if s.node_numbers else 0
    nodes = s.nodes * s.width * (37 + 30 * s.layers + 6 * relations)
    points = s.n_critic * (2 * s.labels + 2 * s.edge_numbers)
    return s.batch * (s.nodes**2 * (each + points) + nodes)


def _improving(s: Sizes) -> float:
    """Return how many numbers an update of the generator takes."""
    square = s.batch * s.nodes**2
    pairs = square * s.width / 2
    nodes = 42 * s.batch * s.nodes * s.width
    if pairs <= BLOCK:
        return pairs * (10 if s.edge_numbers else 8) + 3.5 * square + nodes
    each = 25 + 4.5 * s.labels + 3 * s.node_numbers + 12 * s.edge_numbers
    return 6 * BLOCK + square * each + nodes


def judging_bytes(sizes: Sizes) -> float:
    """Return about how many bytes of tensors the judgement of samples takes at most."""
    square = sizes.judged * sizes.nodes**2
    walks = 2 * min(BLOCK, 2 * square * sizes.steps)
    return FLOAT * (square * 9 * (sizes.labels + sizes.edge_numbers) + walks)


def training_bytes(sizes: Sizes) -> float:
    """Return about how many bytes a training takes at most: data twice, and a step or a judgement.

    The data are there as a whole and as the part that is trained on.
    """
    stored = stored_bytes(sizes.graphs, sizes.nodes, sizes.node_numbers, sizes.edge_numbers)
    return 2 * stored + HELD * max(step_bytes(sizes), judging_bytes(sizes))


def available_bytes(device: torch.device | str = "cpu") -> int | None:
    """Return how many bytes are free on a device, or None where nobody tells.

    On the CPU that is what Linux calls available, or what the control group leaves if that is less.
    """
    if torch.device(device).type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    known = [limit for limit in (_of_machine(), _of_group()) if limit is not None]
    return min(known) if known else None


def _of_machine() -> int | None:
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
    except OSError:
        return None
    found = [line.split()[1] for line in lines if line.startswith("MemAvailable:")]
    return int(found[0]) * 1024 if found else None


def _of_group(folder: Path = Path("/sys/fs/cgroup")) -> int | None:
    for names in (
        ("memory.max", "memory.current"),
        ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes"),
    ):
        try:
            limit, used = ((folder / name).read_text().strip() for name in names)
        except OSError:
            continue
        if limit.isdecimal():
            return max(0, int(limit) - int(used))
    return None


# Refusing -----------------------------------------------------------------------------------------


def check_stored(count: int, vocabulary: Mapping[str, Any], sizes: Sequence[int]) -> None:
    """Raise `DataError` if a data set would not fit into memory as arrays.

    Arguments:
        count: graphs.
        vocabulary: with "size", and what numbers there are.
        sizes: nodes of each graph, in ascending order.
    """
    numbers = numbers_of(vocabulary)
    needed, free = stored_bytes(count, vocabulary["size"], *numbers), available_bytes()
    if free is None or needed <= free:
        return
    fitting = [
        size for place, size in enumerate(sizes, 1) if stored_bytes(place, size, *numbers) <= free
    ]
    advice = "give fewer graphs"
    if fitting:
        advice += f", or leave out those of more than {fitting[-1]} nodes: largest={fitting[-1]}"
    raise DataError(
        f"{count:,} graphs of up to {vocabulary['size']:,} nodes take {as_text(needed)} as arrays "
        f"over all pairs of nodes, and {as_text(free)} are free; {advice}"
    )


def check_training(
    count: int,
    vocabulary: Mapping[str, Any],
    settings: Mapping[str, Any],
    device: torch.device | str,
) -> None:
    """Raise `DataError` if training would not fit into memory, about.

    Arguments:
        count: graphs in the data set.
        vocabulary: with "size", "sizes", "edges", and what numbers there are.
        settings: of the recipe, `settings["model"]` with all its sizes.
        device: where training takes place.
    """
    sizes, free = sizes_of(count, vocabulary, settings), available_bytes(device)
    if free is None:
        return
    factor = 1.0 if settings["compile"] is False else TRACED

    def needed(**other: int) -> float:
        return factor * training_bytes(sizes._replace(**other))

    if needed() <= free:
        return
    raise DataError(
        f"training on graphs of up to {sizes.nodes:,} nodes in batches of {sizes.batch} takes "
        f"about {as_text(needed())} of memory, and {as_text(free)} are free on {device}; "
        f"{_advice(needed, free, sizes, vocabulary['sizes'])}"
    )


def check_latent(
    size: int, kinds: tuple[int, int], settings: Mapping[str, Any], device: torch.device | str
) -> None:
    """Raise `DataError` if an autoencoder of graphs would not fit into memory, about.

    Arguments:
        size: N, nodes of the largest graph.
        kinds: K and L, how many labels there are, "nothing" included.
        settings: as `wgankit_graphs.autoencoder.AUTOENCODER`.
        device: where training takes place.
    """
    free = available_bytes(device)
    if free is None:
        return

    def needed(nodes: int) -> float:
        labels = nodes * kinds[0] + nodes * (nodes - 1) // 2 * kinds[1]
        # The first layer and the last: weights, their gradients and two moments each; and what a
        # batch says of all labels, several times.
        return float(FLOAT * labels * (4 * 2 * settings["width"] + 8 * settings["batch"]))

    if needed(size) <= free:
        return
    largest = _most(size, lambda some: needed(some) <= free)
    raise DataError(
        f"an autoencoder of graphs of up to {size:,} nodes takes about {as_text(needed(size))} of "
        f"memory, and {as_text(free)} are free on {device}; try only graphs of up to {largest} "
        f"nodes (largest={largest}), or the recipe 'graphs'"
    )


def sizes_of(count: int, vocabulary: Mapping[str, Any], settings: Mapping[str, Any]) -> Sizes:
    """Return what the memory of a training depends on (see `check_training`)."""
    model = settings["model"]
    return Sizes(
        vocabulary["size"],
        len(vocabulary["edges"]) + 1,
        *numbers_of(vocabulary),
        settings["batch"],
        settings["n_critic"],
        model["width"],
        model["layers"],
        model["steps"],
        graphs=count,
        judged=min(500, round(count * settings["held_out"])),
    )


def _advice(
    needed: Callable[..., float], free: float, sizes: Sizes, histogram: Sequence[int]
) -> str:
    """Return which settings would fit, of those that are easily changed."""
    ways = []
    batch = _most(sizes.batch, lambda some: needed(batch=some) <= free)
    if batch:
        ways.append(f"smaller batches (batch={batch})")
    width = _most(sizes.width, lambda some: needed(width=some) <= free) // 8 * 8
    if width >= 16:
        ways.append(f'narrower networks (model={{"width": {width}}})')
    largest = _most(
        sizes.nodes,
        lambda some: needed(nodes=some, graphs=sum(histogram[: some + 1])) <= free,
    )
    left = sum(histogram[: largest + 1])
    if left:
        ways.append(f"only the {left:,} graphs of up to {largest} nodes (largest={largest})")
    return "try " + ", or ".join(ways) if ways else "a machine with more memory is wanted"


def _most(top: int, fits: Callable[[int], bool]) -> int:
    """Return the largest number in 0, ..., top that fits, where smaller ones fit as well."""
    low = 0
    while low < top:
        middle = (low + top + 1) // 2
        low, top = (middle, top) if fits(middle) else (low, middle - 1)
    return low


def numbers_of(vocabulary: Mapping[str, Any]) -> tuple[int, int]:
    """Return how many real numbers a node and an edge have."""
    return len(vocabulary.get("node_numbers", ())), len(vocabulary.get("edge_numbers", ()))


def as_text(count: float) -> str:
    """Return a number of bytes as people read it."""
    for unit, size in (("GiB", 2**30), ("MiB", 2**20)):
        if count >= size:
            return f"{count / size:,.1f} {unit}"
    return f"{count / 1024:,.1f} KiB"
