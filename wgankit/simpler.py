"""Traced graphs with what need not be done left out, for code that no compiler sees.

What is traced below the level of derivatives says much that is known before: ones that gradients
begin with, divisions by 1, matrices turned round twice, the same number computed for the forward
and the backward pass.  Compilers find all of this; run operation by operation, each costs a few
microseconds.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, fx

aten = torch.ops.aten

SAME = {aten.detach.default, aten.alias.default, aten.lift_fresh_copy.default}
"""Operations that return what they are given, where nothing is changed in place."""

NEUTRAL: dict[Any, float] = {
    aten.mul.Tensor: 1.0,
    aten.mul.Scalar: 1.0,
    aten.div.Tensor: 1.0,
    aten.div.Scalar: 1.0,
    aten.pow.Tensor_Scalar: 1.0,
    aten.add.Tensor: 0.0,
    aten.sub.Tensor: 0.0,
}
"""Numbers with which an operation returns its first argument."""

BY_SHAPE = {
    aten.ones_like.default, aten.zeros_like.default, aten.full_like.default,
    aten.new_ones.default, aten.new_zeros.default, aten.new_full.default,
}  # fmt: skip
"""Operations that look at nothing of a tensor but its shape and type."""

KEPT = 2**16
"""Numbers that a constant has at most."""


def simplified(graph: fx.GraphModule) -> fx.GraphModule:
    """Return a graph with the same results in fewer operations.

    Arguments:
        graph: traced, with the values of its nodes.
    """
    graph = copied(graph)
    moving = moving_nodes(graph.graph)
    compute_once(graph.graph, moving)
    for node in graph.graph.nodes:
        if not moving.intersection([node, *node.all_input_nodes]):
            simplify(node)
    graph.graph.eliminate_dead_code()
    fold_constants(graph, moving)
    # What was made simple, or quick before, may lie otherwise than what was traced.
    let_strides_differ(graph.graph)
    keep_results_apart(graph.graph)
    graph.graph.lint()
    graph.recompile()
    return graph


def let_strides_differ(graph: fx.Graph) -> None:
    """Let views copy where a tensor lies otherwise than it did when it was traced.

    With one channel, or pictures of one pixel, several strides mean the same, and operations on
    tensors without numbers choose others than those with.
    """
    moving = moving_nodes(graph)
    for node in graph.nodes:
        if node.target is aten.view.default and node not in moving:
            node.target = aten.reshape.default


def copied(graph: fx.GraphModule) -> fx.GraphModule:
    """Return a copy of a graph, its output and its constants included."""
    new = fx.Graph()
    places: dict[fx.Node, fx.Node] = {}
    new.output(new.graph_copy(graph.graph, places))
    found = fx.GraphModule(graph, new)
    for name, value in graph.named_buffers():
        found.register_buffer(name, value)
    return found


def moving_nodes(graph: fx.Graph) -> set[fx.Node]:
    """Return the nodes whose memory some operation of the graph changes.

    For these, and for what looks at them, it matters when something is computed.
    """
    roots = {source_of(one) for node in graph.nodes for one in changed_by(node)}
    return {node for node in graph.nodes if source_of(node) in roots}


def changes_something(node: fx.Node) -> bool:
    """Return whether an operation changes a tensor in place."""
    schema = getattr(node.target, "_schema", None)
    return bool(schema is not None and schema.is_mutable)


def changed_by(node: fx.Node) -> list[fx.Node]:
    """Return the nodes that an operation changes in place."""
    if not changes_something(node):
        return []
    written = {one.name for one in node.target._schema.arguments if one.is_write}  # type: ignore[union-attr]
    names = [one.name for one in node.target._schema.arguments]  # type: ignore[union-attr]
    given = dict(zip(names, node.args, strict=False)) | dict(node.kwargs)
    parts = [part for name, one in given.items() if name in written for part in as_row(one)]
    return [part for part in parts if isinstance(part, fx.Node)]


def as_row(value: Any) -> list[Any]:
    """Return the items of a list, or one value as a list."""
    return list(value) if isinstance(value, list | tuple) else [value]


def compute_once(graph: fx.Graph, moving: set[fx.Node]) -> None:
    """Let operations that are there twice be done once."""
    seen: dict[Any, fx.Node] = {}
    for node in graph.nodes:
        fresh = node.op != "call_function" or is_random(node) or changes_something(node)
        if fresh or moving.intersection([node, *node.all_input_nodes]):
            continue
        name = (node.target, repr(node.args), repr(node.kwargs))
        first = seen.setdefault(name, node)
        if first is not node:
            node.replace_all_uses_with(first)


def simplify(node: fx.Node) -> None:
    """Let others use something cheaper than this node, if there is such."""
    for rule in RULES:
        instead = rule(node)
        if instead is not None:
            node.replace_all_uses_with(instead)
            return


def unchanged(node: fx.Node) -> fx.Node | None:
    """Return an operation's first argument if that is also its result."""
    if node.op != "call_function" or not node.args or not isinstance(node.args[0], fx.Node):
        return None
    first = node.args[0]
    neutral = node.target in NEUTRAL and node.args[1:] == (NEUTRAL[node.target],)
    if not (neutral or node.target in SAME) or node.kwargs:
        return None
    return first if alike(value_of(first), value_of(node)) else None


def turned_twice(node: fx.Node) -> fx.Node | None:
    """Return the matrix that is turned round and back."""
    if node.target is not aten.t.default:
        return None
    inner = node.args[0]
    return inner.args[0] if isinstance(inner, fx.Node) and inner.target is node.target else None  # type: ignore[return-value]


def rectified(node: fx.Node) -> fx.Node | None:
    """Return a rectifier, or its derivative, in the place of a product with its mask.

    The mask was there so that nobody takes the second derivative of a rectifier; now that it is
    not taken, the rectifier itself is one operation where the mask is three.
    """
    if node.target is not aten.mul.Tensor or node.kwargs:
        return None
    first, second = node.args
    for value, mask in ((first, second), (second, first)):
        found = rectifier(value, mask) if isinstance(value, fx.Node) else None
        if found is not None and alike(value_of(node), value_of(found[0])):
            below, slope = found
            with node.graph.inserting_before(node):
                if below is value:
                    new = node.graph.call_function(aten.leaky_relu.default, (value, slope))
                else:
                    arguments = (value, below, slope, False)
                    new = node.graph.call_function(aten.leaky_relu_backward.default, arguments)
            new.meta = dict(node.meta)
            return new
    return None


def rectifier(value: fx.Node, mask: Any) -> tuple[fx.Node, float] | None:
    """Return what a mask `where(x > 0, 1, slope)` was made of: x and the slope."""
    if not isinstance(mask, fx.Node) or mask.target is not aten.where.self:
        return None
    above, one, slope = mask.args
    test = isinstance(above, fx.Node) and above.target is aten.gt.Scalar and above.args[1] == 0
    if not test or number_of(one) != 1.0:
        return None
    number = number_of(slope)
    return None if number is None else (above.args[0], number)  # type: ignore[union-attr, return-value]


def number_of(node: Any) -> float | None:
    """Return the number that a scalar tensor is filled with, if that is known."""
    if not isinstance(node, fx.Node) or value_of(node) is None or value_of(node).dim():
        return None
    if node.target is aten.scalar_tensor.default:
        return float(node.args[0])  # type: ignore[arg-type]
    return 1.0 if node.target in (aten.new_ones.default, aten.ones_like.default) else None


RULES: tuple[Callable[[fx.Node], fx.Node | None], ...] = (unchanged, turned_twice, rectified)


def fold_constants(graph: fx.GraphModule, moving: set[fx.Node]) -> None:
    """Compute beforehand what depends on no input."""
    known: dict[fx.Node, Tensor] = {}
    for node in graph.graph.nodes:
        value = None if node in moving else constant(node, known)
        if value is not None:
            known[node] = value
    for place, (node, value) in enumerate(known.items()):
        if all(user in known for user in node.users):
            continue
        graph.register_buffer(f"constant_{place}", value)
        with graph.graph.inserting_before(node):
            held = graph.graph.get_attr(f"constant_{place}")
        held.meta = dict(node.meta)
        node.replace_all_uses_with(held)
    for node in reversed(known):
        graph.graph.erase_node(node)


def constant(node: fx.Node, known: dict[fx.Node, Tensor]) -> Tensor | None:
    """Return what an operation computes if all that it looks at is known."""
    value = value_of(node)
    if node.op != "call_function" or value is None or value.numel() > KEPT or is_random(node):
        return None
    if node.target in BY_SHAPE:
        like = node.args[0].meta["val"]  # type: ignore[union-attr]
        empty = torch.empty_strided(like.shape, like.stride(), dtype=like.dtype, device=like.device)
        found: Tensor = node.target(empty, *node.args[1:], **node.kwargs)
        return found
    if any(one not in known for one in node.all_input_nodes):
        return None
    arguments, settings = fx.map_arg((node.args, node.kwargs), lambda one: known[one])
    return node.target(*arguments, **settings)  # type: ignore[operator, no-any-return]


def is_random(node: fx.Node) -> bool:
    """Return whether an operation may return something else next time."""
    tags = getattr(node.target, "tags", ())
    return torch.Tag.nondeterministic_seeded in tags or "empty" in str(node.target)


def keep_results_apart(graph: fx.Graph) -> None:
    """Copy results that share memory with each other, with inputs or with constants.

    Whoever gets them may change them.
    """
    output = next(node for node in graph.nodes if node.op == "output")
    seen: set[fx.Node] = set()
    results = list(output.args[0])
    for place, node in enumerate(results):
        if not isinstance(node, fx.Node):
            continue
        root = source_of(node)
        if root in seen or root.op != "call_function":
            with graph.inserting_before(output):
                results[place] = graph.call_function(aten.clone.default, (node,))
                results[place].meta = dict(node.meta)
        seen.add(root)
    output.args = (results,)


def source_of(node: fx.Node) -> fx.Node:
    """Return the node whose memory a result lies in."""
    while node.op == "call_function" and is_view(node):
        node = node.args[0]  # type: ignore[assignment]
    return node


def is_view(node: fx.Node) -> bool:
    """Return whether an operation may return a part of its first argument's memory."""
    schema = getattr(node.target, "_schema", None)
    if schema is None:  # an item of several results
        return isinstance(node.args[0], fx.Node) and is_view(node.args[0])
    aliased = any(one.alias_info is not None for one in schema.returns)
    return aliased or "reshape" in schema.name


def value_of(node: fx.Node) -> Any:
    """Return the tensor without numbers that a node had when it was traced, if it is one tensor."""
    value = node.meta.get("val")
    return value if isinstance(value, Tensor) else None


def alike(one: Tensor | None, other: Tensor | None) -> bool:
    """Return whether two tensors differ in nothing but their numbers."""
    if one is None or other is None:
        return False
    return (one.shape, one.dtype, one.stride()) == (other.shape, other.dtype, other.stride())
