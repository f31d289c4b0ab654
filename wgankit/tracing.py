"""A function of tensors as a graph of operations, both derivatives included.

The function is run once on tensors without numbers, and what it does is written down below the
level at which derivatives are taken.  So a gradient of a gradient is operations like any others,
whatever computes it, and nothing has to understand the Python that led there.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any, NamedTuple, final

import torch
from torch import Tensor, fx, nn
from torch.func import functional_call
from torch.utils import _pytree as pytree

from wgankit.simpler import let_strides_differ

Draw = Callable[[], Tensor]

FILLS = {"bernoulli_", "cauchy_", "exponential_", "geometric_", "log_normal_", "normal_",
         "random_", "uniform_"}  # fmt: skip
"""Operations that fill a tensor at random, whatever it held."""


class Untraceable(Exception):
    """A function that cannot be written down as one graph; the message says why."""


@final
class Networks(nn.Module):
    """Networks side by side, with a function that calls them as its forward.

    Arguments:
        function: calls the networks.
        parts: the networks, each under a name.
    """

    def __init__(self, function: Callable[..., Any], parts: dict[str, nn.Module]) -> None:
        super().__init__()
        self.function = function
        for name, part in parts.items():
            self.add_module(name, part)

    def forward(self, *arguments: Any) -> Any:
        """Call the function."""
        return self.function(*arguments)

    def tensors(self) -> dict[str, Tensor]:
        """Return all parameters and buffers by name, parameters without their gradients."""
        named = {name: one.detach() for name, one in self.named_parameters()}
        return named | dict(self.named_buffers())


class Traced(NamedTuple):
    """What a function does.

    Arguments:
        graph: its operations; inputs are the networks' tensors, then the arguments' tensors,
            then as many random tensors as there are draws.
        draws: the function's random numbers, in its order, each drawn by the operation it used.
        form: what the graph's flat results are built into.
    """

    graph: fx.GraphModule
    draws: list[Draw]
    form: Any


def trace(
    networks: Networks,
    arguments: tuple[Any, ...],
    then: Callable[[dict[str, Tensor], Any, tuple[Any, ...]], Any],
) -> Traced:
    """Return what `then` does with what networks make of arguments.

    Arguments:
        networks: whose parameters and buffers are inputs of the graph.
        arguments: (nested tuples of) tensors, of the shapes that the graph will be run on; all
            but the last go to the networks.
        then: (parameters and buffers, results, last argument) -> results of the graph; may change
            the tensors it is given in place.

    Raises:
        Untraceable: if the function asks for a number, or draws numbers that depend on data.
    """
    from torch.fx.experimental.proxy_tensor import make_fx

    named = networks.tensors()
    trainable = {name for name, one in networks.named_parameters() if one.requires_grad}
    inputs, layout = pytree.tree_flatten(arguments)
    forms: list[Any] = []

    def flat(*tensors: Tensor) -> list[Any]:
        own = dict(zip(named, tensors, strict=False))
        *given, last = pytree.tree_unflatten(list(tensors[len(own) :]), layout)
        live = {
            name: one.detach().requires_grad_() if name in trainable else one
            for name, one in own.items()
        }
        results = then(own, functional_call(networks, live, tuple(given)), last)
        parts, form = pytree.tree_flatten(results)
        forms.append(form)
        return parts

    graph = make_fx(flat, tracing_mode="fake", _allow_non_fake_inputs=True)(
        *named.values(), *inputs
    )
    draws = lift_draws(graph)
    graph.graph.eliminate_dead_code()
    let_strides_differ(graph.graph)
    graph.recompile()
    return Traced(graph, draws, forms[-1])


def lift_draws(graph: fx.GraphModule) -> list[Draw]:
    """Make random numbers inputs of a graph, and return how to draw them.

    Compiled code then sees the same numbers as the function as written, from the same stream.
    """
    last = [node for node in graph.graph.nodes if node.op == "placeholder"][-1]
    draws: list[Draw] = []
    for node in list(graph.graph.nodes):
        if not is_random(node):
            continue
        draws.append(draw_of(node))
        with graph.graph.inserting_after(last):
            last = graph.graph.placeholder(f"drawn_{len(draws)}")
        last.meta = dict(node.meta)
        node.replace_all_uses_with(last)
        graph.graph.erase_node(node)
    return draws


def is_random(node: fx.Node) -> bool:
    """Return whether an operation draws random numbers."""
    tags = getattr(node.target, "tags", ())
    if node.op != "call_function" or torch.Tag.nondeterministic_seeded not in tags:
        return False
    # Attention counts as random for the dropout that it could have.
    names = [one.name for one in node.target._schema.arguments]  # type: ignore[union-attr]
    given = dict(zip(names, node.args, strict=False)) | dict(node.kwargs)
    return not ("dropout_p" in names and given.get("dropout_p", 0.0) == 0.0)


def draw_of(node: fx.Node) -> Draw:
    """Return how to draw what a random operation draws.

    Raises:
        Untraceable: if that depends on anything but shapes.
    """
    operation, arguments, settings = node.target, list(node.args), dict(node.kwargs)
    name = operation._schema.name.split("::")[-1]  # type: ignore[union-attr]
    like: Tensor | None = None
    if arguments and isinstance(arguments[0], fx.Node) and replaceable(node, name):
        like = arguments[0].meta["val"]
        arguments = arguments[1:]
    if any(isinstance(one, fx.Node) for one in [*arguments, *settings.values()]):
        raise Untraceable(f"its random numbers ({name}) depend on what it computes")
    run: Callable[..., Tensor] = operation  # type: ignore[assignment]
    if like is None:
        return lambda: run(*arguments, **settings)
    shape, stride = tuple(like.shape), like.stride()
    kind = {"dtype": like.dtype, "device": like.device}

    def draw() -> Tensor:
        empty = torch.empty_strided(shape, stride, **kind)  # type: ignore[arg-type]
        return run(empty, *arguments, **settings)

    return draw


def replaceable(node: fx.Node, name: str) -> bool:
    """Return whether only the shape of a random operation's first argument matters."""
    if name.endswith("_like"):
        return True
    first = node.args[0]
    # A tensor that is filled must not be looked at under its other names.
    return name in FILLS and isinstance(first, fx.Node) and set(first.users) == {node}


def length(graph: fx.GraphModule) -> int:
    """Return how many operations a graph has."""
    calls = [node for node in graph.graph.nodes if node.op == "call_function"]
    return sum(node.target is not operator.getitem for node in calls)
