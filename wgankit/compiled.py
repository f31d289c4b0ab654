"""Parts of a step as traced code, believed after they agreed with what is written.

A part is traced once.  What comes out is either given to a compiler, which takes its time, or
repeated operation by operation, which is quicker than what is written because derivatives are taken
once and what need not be done is left out.
"""

from __future__ import annotations

import os
import shutil
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple, cast, final

import torch
from torch import Tensor, fx, nn
from torch.utils import _pytree as pytree

from wgankit.errors import CompileWarning
from wgankit.joint import joined
from wgankit.quicker import apart, call_products_directly, quickened
from wgankit.simpler import simplified
from wgankit.state import read_rng, set_rng
from wgankit.tracing import Draw, Networks, trace

WORTHWHILE = 20_000
"""Critic updates from which `compile="auto"` compiles.

Compiling costs 20 seconds to 2 minutes and saves .5 to 10 milliseconds of a traced update, so that
it has paid after 9,000 to 33,000 updates (`python -m benchmarks.step`; docs/speed.md).
"""

WORTH_TRACING = 2_000
"""Critic updates from which `compile="auto"` traces on a CPU: 1 to 4 seconds, and 3 to 50 % of an
update's time saved."""

ROUNDING = {torch.float64: 1e-10}
"""Relative errors that need no explanation, by type; 1e-5 for all others."""

SINGLE = torch.finfo(torch.float32).eps

PLACES = 4
"""At how many places code is compared before it is refused."""

JUMP = 1e-3
"""Relative error that is allowed at every place where activations jump: so many units that some
change sides at each of them."""

JUMPS = {torch.ops.aten.relu.default, torch.ops.aten.leaky_relu.default}
"""Operations whose derivative jumps."""

CHANGES = 3
"""How often networks may change what they do before their code is no longer believed."""

Then = Callable[[dict[str, Tensor], Any, tuple[Any, ...]], Any]
Make = Callable[[fx.GraphModule, list[Tensor]], Callable[..., Any]]


class Way(NamedTuple):
    """A way to run what was traced.

    Arguments:
        doing: what is being done to a part at first, in messages.
        done: what it is then.
        make: (graph, inputs) -> what to call.
        inside: whether an optimiser is better off among what is traced than on its own.
    """

    doing: str
    done: str
    make: Make
    inside: bool


@final
class Part:
    """A function of tensors that is compiled at its first call, or stays as written.

    Arguments:
        name: what to call it in messages.
        written: the function; its first result is what has to agree.
        networks: the networks it calls.
        then: what to do with its results, such as an update in place: (the networks' tensors,
            results, last argument) -> results.
        device: where it runs.
        way: to run it.
    """

    def __init__(
        self,
        name: str,
        written: Callable[..., tuple[Any, ...]],
        networks: Networks,
        then: Then,
        device: torch.device,
        way: Way,
    ) -> None:
        self.name, self.written, self.networks, self.then = name, written, networks, then
        self.device, self.way = device, way
        self.changes, self.late = 0, False
        self.code: Code | None = None
        self.refused = ""
        self.due = False
        self.seconds = 0.0

    def __call__(self, arguments: tuple[Any, ...], last: tuple[Any, ...]) -> list[Any] | None:
        """Return the tensors of the results after `then`, in a row; None where it is not compiled.

        Arguments:
            arguments: of the function as written.
            last: tensors that only `then` sees, always the same ones.
        """
        if self.refused:
            return None
        if self.code is None:
            self._compile(arguments, last)
        elif self.due and self.objection(arguments, last):
            self._change(arguments, last)
        self.due = False
        if self.code is None:
            return None
        return self.code(self.code.inputs(arguments, last), [draw() for draw in self.code.draws])

    def _compile(self, arguments: tuple[Any, ...], last: tuple[Any, ...]) -> None:
        begun = time.monotonic()
        try:
            self.code = Code(self.networks, arguments, last, self.then, self.way.make)
            self.refused = self.objection(arguments, last)
        except Exception as error:
            self.refused = reason(error)
        self.seconds += time.monotonic() - begun
        if self.refused:
            self.code = None
            warn(f"{self.name} is not {self.way.done}, and runs as written: {self.refused}")

    def _change(self, arguments: tuple[Any, ...], last: tuple[Any, ...]) -> None:
        """Follow a change of what the networks do, unless there were many."""
        self.changes += 1
        if self.changes > CHANGES:
            self.code, self.refused = None, "what its networks do changes under way"
            warn(
                f"{self.name} runs as written from here, because {self.refused}; say compile=False "
                "where settings of a network change while it is trained"
            )
            return
        if self.late:
            warn(
                f"{self.name} is {self.way.done} anew: what its networks do was changed some steps "
                "ago, and nothing but a comparison told; keep settings that change as numbers of a "
                "module, which are looked at before every step, or say compile=False"
            )
        self._compile(arguments, last)

    def objection(self, arguments: tuple[Any, ...], last: tuple[Any, ...]) -> str:
        """Return why the compiled code is not to be believed, or ""; nothing is changed."""
        code = cast(Code, self.code)
        with untouched(self.networks, self.device):
            wanted = self.written(*arguments)
            after = read_rng(self.device)
        with untouched(self.networks, self.device):
            drawn = [draw() for draw in code.draws]
            if not all(
                torch.equal(one, after[name]) for name, one in read_rng(self.device).items()
            ):
                return "its random numbers come in another order"
        inputs = [*code.inputs(arguments, last), *drawn]
        allowed = allowance(wanted[0], code.precision)
        error = relative_error(code.built(code.as_traced(inputs))[0], wanted[0])
        if not error <= allowed:
            return f"what was traced {differs(error, allowed)}"
        errors = [code.error(inputs)]
        source = torch.Generator(self.device).manual_seed(0)
        # One unit of a rectifier that changes sides by rounding alone moves the gradient by more
        # than rounding does, so wrong code is what is wrong everywhere.
        while min(errors) > allowed and len(errors) < PLACES:
            errors.append(code.error([shaken(one, source) for one in inputs]))
        if min(errors) <= allowed or (code.jumps and max(errors) <= JUMP):
            return ""
        return f"its compiled result {differs(min(errors), allowed)}"


@final
class Code:
    """A function's compiled code and what it runs on.

    Arguments:
        networks: whose function it is.
        arguments: of the function, of the shapes that it will be run on.
        last: tensors for `then`.
        then: what is done with the function's results.
        make: what runs the graph.
    """

    def __init__(
        self, networks: Networks, arguments: tuple[Any, ...], last: tuple[Any, ...], then: Then,
        make: Make,
    ) -> None:  # fmt: skip
        self.own = list(networks.tensors().values())
        self.last: tuple[Any, ...] = ()
        self.tail: list[Tensor] = []
        traced = trace(networks, (*arguments, last), then)
        self.graph, self.draws, self.form = traced
        self.precision = precision_of(self.graph)
        self.jumps = any(node.target in JUMPS for node in self.graph.graph.nodes)
        inputs = [one.detach() for one in self.inputs(arguments, last)]
        self.run = runnable(self.graph, inputs, self.draws, make)

    def inputs(self, arguments: tuple[Any, ...], last: tuple[Any, ...]) -> list[Tensor]:
        """Return the tensors that the graph runs on, in its order."""
        if last is not self.last:
            self.last, self.tail = last, pytree.tree_leaves(last)
        given = [part for one in arguments for part in (one if isinstance(one, tuple) else (one,))]
        return [*self.own, *given, *self.tail]

    def __call__(self, inputs: list[Tensor], drawn: Sequence[Tensor]) -> list[Any]:
        """Return the tensors of the results in a row."""
        return list(self.run(*inputs, *drawn))

    def as_traced(self, inputs: list[Tensor]) -> list[Any]:
        """Return the tensors of the results, operation by operation; nothing is changed."""
        with torch.no_grad():
            return list(self.graph(*(one.clone() for one in inputs)))

    def error(self, inputs: list[Tensor]) -> float:
        """Return the relative error of the compiled code's first result; nothing is changed."""
        found = self.built(list(self.run(*(one.clone() for one in inputs))))
        return relative_error(found[0], self.built(self.as_traced(inputs))[0])

    def built(self, row: list[Any]) -> Any:
        """Return the results as the function builds them."""
        return pytree.tree_unflatten(row, self.form)


def runnable(
    graph: fx.GraphModule, inputs: list[Tensor], draws: list[Draw], make: Make
) -> Callable[..., Any]:
    """Return what runs a graph; random numbers stay as they are."""
    devices = {one.device for one in inputs}
    with torch.no_grad():
        states = [read_rng(device) for device in devices]
        drawn = [draw() for draw in draws]
        for device, state in zip(devices, states, strict=True):
            set_rng(state, device)
        run = make(graph, [*inputs, *drawn])

    def quietly(*tensors: Tensor) -> Any:
        with torch.no_grad():
            return run(*tensors)

    return quietly


def by_compiler(graph: fx.GraphModule, inputs: list[Tensor]) -> Callable[..., Any]:
    """Return a graph's compiled code; the one place that calls the compiler."""
    import torch._inductor

    call_products_directly()
    quick = apart(quickened(joined(graph, inputs), inputs), inputs)
    run: Callable[..., Any] = torch._inductor.compile(quick, list[Any](inputs))
    return run


def one_by_one(graph: fx.GraphModule, inputs: list[Tensor]) -> Callable[..., Any]:
    """Return a graph's operations in a row, without those that need not be done."""
    return simplified(quickened(graph, inputs))


COMPILED = Way("compiling", "compiled", by_compiler, inside=True)
TRACED = Way("tracing", "traced", one_by_one, inside=False)


def warn(message: str) -> None:
    """Say that something is not carried out as was asked."""
    warnings.warn(message, CompileWarning, stacklevel=4)


def precision_of(graph: fx.GraphModule) -> float:
    """Return the relative size of a rounding error in the coarsest type on the way."""
    values = [node.meta.get("val") for node in graph.graph.nodes]
    kinds = {one.dtype for one in values if isinstance(one, Tensor)}
    return max((torch.finfo(kind).eps for kind in kinds if kind.is_floating_point), default=0.0)


def shaken(tensor: Tensor, source: torch.Generator) -> Tensor:
    """Return a copy whose numbers differ by about a thousandth."""
    if not tensor.is_floating_point():
        return tensor
    noise = torch.randn(tensor.shape, generator=source, device=tensor.device, dtype=tensor.dtype)
    return tensor * (1 + 1e-3 * noise)


def differs(error: float, allowed: float) -> str:
    """Return how to tell that a result is not the one that is wanted."""
    return (
        f"differs from the one as written by {error:.1e} of its size, and {allowed:.0e} is allowed"
    )


def reason(error: Exception) -> str:
    """Return why something could not be traced or compiled, as people say it."""
    if type(error).__name__ in UNDECIDED:
        return (
            "what it does depends on the numbers in its tensors, as in x[x > 0] or in an `if`; "
            "only time is lost, and torch.where in their place would win it back"
        )
    return f"{type(error).__name__}: {first_line(error)}"


UNDECIDED = {
    "DataDependentOutputException",
    "DynamicOutputShapeException",
    "GuardOnDataDependentSymNode",
}
"""Errors of tracing that mean that values decide about operations or shapes."""


def first_line(error: Exception) -> str:
    """Return the first line of an error's message that says something."""
    lines = [line.strip() for line in str(error).splitlines()]
    return next((line for line in lines if line), "no message")


@contextmanager
def untouched(networks: nn.Module, device: torch.device) -> Iterator[None]:
    """Leave random numbers and the networks' buffers as they were before the block."""
    rng = read_rng(device)
    buffers = [(buffer, buffer.clone()) for buffer in networks.buffers()]
    try:
        yield
    finally:
        set_rng(rng, device)
        restore(buffers)


@torch.no_grad()
def restore(buffers: list[tuple[Tensor, Tensor]]) -> None:
    """Give buffers the values that were kept beside them."""
    for buffer, kept in buffers:
        buffer.copy_(kept)


def relative_error(found: Any, wanted: Any) -> float:
    """Return |found - wanted| / |wanted| over all tensors of two alike structures together."""
    apart, length = torch.zeros(2, dtype=torch.float64).unbind()
    pairs = zip(pytree.tree_leaves(found), pytree.tree_leaves(wanted), strict=True)
    for one, other in pairs:
        length = length + square(other)
        if one is None or other is None:
            apart = apart + square(one) + square(other)
        else:
            apart = apart + square(one.double() - other.double())
    return float((apart / length.clamp_min(1e-300)).sqrt())


def square(tensor: Tensor | None) -> Tensor:
    """Return the sum of squares, on the host."""
    if tensor is None:
        return torch.zeros((), dtype=torch.float64)
    return tensor.double().square().sum().cpu()


def allowance(results: Any, precision: float) -> float:
    """Return the relative error that rounding explains.

    Arguments:
        results: tensors.
        precision: relative size of a rounding error in the coarsest type on the way to them.
    """
    kinds = {one.dtype for one in pytree.tree_leaves(results) if one is not None}
    allowed = max((ROUNDING.get(kind, 1e-5) for kind in kinds if kind.is_floating_point), default=0)
    return max(allowed, 4 * precision) if precision > SINGLE else allowed


def worth_tracing(updates: int | None, device: torch.device) -> bool:
    """Return whether a run of so many critic updates gains by tracing without a compiler."""
    return device.type == "cpu" and updates is not None and updates >= WORTH_TRACING


def worth_compiling(updates: int | None, device: torch.device) -> bool:
    """Return whether a run of so many critic updates gains by compilation, as far as is known."""
    if updates is None or updates < WORTHWHILE:
        return False
    if device.type == "cpu":
        return any(map(shutil.which, (os.environ.get("CXX", "c++"), "g++", "clang++")))
    return device.type == "cuda"
