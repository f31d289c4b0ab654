"""Small products by the same matrix as one product.

The critic's pass over real and generated points and its pass over the points of the penalty
multiply by the same weights, forwards and backwards.  The penalty's derivative must not run over
the other points, so they are two passes when they are written; once both derivatives are spelled
out, products that do not wait for one another can be one, which a processor is quicker at as long
as they are small.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any, cast

import torch
from torch import Tensor, fx

from wgankit.simpler import changes_something, copied, value_of

SMALL = 2**23
"""Multiplications that a joint product has at most; larger ones gain nothing."""

NARROW = 16
"""Rows and columns that the common factor has at least."""

aten = torch.ops.aten

FILLED = {aten.ones_like.default: 1, aten.zeros_like.default: 0}
"""Operations that return one number everywhere."""

PRODUCTS: dict[Any, tuple[int, int]] = {aten.mm.default: (0, 1), aten.addmm.default: (1, 2)}
"""Operations, and the places of their factors."""


def joined(graph: fx.GraphModule, inputs: Sequence[Tensor]) -> fx.GraphModule:
    """Return a graph with the same results and, on a CPU, fewer products.

    Arguments:
        graph: traced, with the values of its nodes; it is not changed.
        inputs: tensors that it is run on.
    """
    if any(one.device.type != "cpu" for one in inputs):
        return graph
    graph = copied(graph)
    wait_for_no_shape(graph.graph)
    while pair := first_pair(pure_nodes(graph.graph)):
        join(graph.graph, *pair)
    graph.graph.lint()
    graph.recompile()
    return graph


def wait_for_no_shape(graph: fx.Graph) -> None:
    """Let ones and zeros stand alone that would wait for a tensor to learn its shape."""
    for node in graph.nodes:
        if node.target not in FILLED:
            continue
        value = value_of(node)
        with graph.inserting_before(node):
            alone = graph.call_function(
                aten.full.default,
                (list(value.shape), FILLED[node.target]),
                {"dtype": value.dtype, "device": value.device},
            )
        alone.meta["val"] = value
        node.replace_all_uses_with(alone)
        graph.erase_node(node)


def pure_nodes(graph: fx.Graph) -> list[fx.Node]:
    """Return the operations before the first that changes something, whose order is free."""
    found = []
    for node in graph.nodes:
        if changes_something(node) or node.op == "output":
            break
        found.append(node)
    return found


def first_pair(nodes: list[fx.Node]) -> tuple[fx.Node, fx.Node] | None:
    """Return two products that can be one, the earlier one first."""
    places = {node: place for place, node in enumerate(nodes)}
    before: dict[fx.Node, int] = {}
    known: dict[Any, list[fx.Node]] = {}
    for node in nodes:
        waits = 0
        for one in node.all_input_nodes:
            waits |= before[one] | 1 << places[one]
        before[node] = waits
        kind = kind_of(node)
        if kind is None:
            continue
        for other in known.setdefault(kind, []):
            if not waits >> places[other] & 1 and size(other) + size(node) <= SMALL:
                return other, node
        known[kind].append(node)
    return None


def kind_of(node: fx.Node) -> Any:
    """Return what products must share to be one, None for what is no such product."""
    if node.target not in PRODUCTS or node.kwargs:
        return None
    factor: Any = node.args[PRODUCTS[node.target][1]]
    added: Any = node.args[0] if node.target is aten.addmm.default else None
    if min(value_of(factor).shape) < NARROW or (added and value_of(added).dim() != 1):
        return None
    return node.target, added, *unturned(factor)


def unturned(factor: Any) -> tuple[fx.Node, bool]:
    """Return the matrix that a factor is, and whether it is turned round."""
    turned = False
    while factor.target is aten.t.default:
        factor, turned = factor.args[0], not turned
    return factor, turned


def size(node: fx.Node) -> int:
    """Return how many multiplications a product has."""
    return int(value_of(first_factor(node)).numel() * value_of(node).shape[1])


def first_factor(node: fx.Node) -> fx.Node:
    """Return what a product multiplies by the matrix that may be shared."""
    factor: Any = node.args[PRODUCTS[node.target][0]]
    return cast(fx.Node, factor)


def join(graph: fx.Graph, one: fx.Node, other: fx.Node) -> None:
    """Put one product in the place of two."""
    factors = [first_factor(node) for node in (one, other)]
    rows = [value_of(factor).shape[0] for factor in factors]
    with graph.inserting_after(other):
        both = graph.call_function(aten.cat.default, (factors,))
    both.meta["val"] = torch.cat([value_of(factor) for factor in factors])
    arguments = list(one.args)
    arguments[PRODUCTS[one.target][0]] = both
    with graph.inserting_after(both):
        product = graph.create_node("call_function", one.target, tuple(arguments))
    product.meta["val"] = torch.cat([value_of(one), value_of(other)])
    first = 0
    last = product
    for node, count in zip((one, other), rows, strict=True):
        with graph.inserting_after(last):
            last = graph.call_function(aten.slice.Tensor, (product, 0, first, first + count))
        last.meta["val"] = value_of(node)
        node.replace_all_uses_with(last)
        graph.erase_node(node)
        first += count
    put_in_order(graph)


def put_in_order(graph: fx.Graph) -> None:
    """Move operations behind what they need, as little as possible."""
    placed: set[fx.Node] = set()
    order: list[fx.Node] = []
    for node in list(graph.nodes):
        waiting = [node]
        while waiting:
            last = waiting[-1]
            missing = [one for one in last.all_input_nodes if one not in placed]
            if last in placed or not missing:
                waiting.pop()
                if last not in placed:
                    placed.add(last)
                    order.append(last)
            else:
                waiting.extend(missing)
    for before, after in itertools.pairwise(order):
        before.append(after)
