"""Parts of a step as compiled code, believed after they agreed with what is written."""

from __future__ import annotations

import os
import shutil
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, cast, final

import torch
from torch import Tensor, fx
from torch.utils import _pytree as pytree

from wgankit.errors import CompileWarning
from wgankit.state import read_rng, set_rng
from wgankit.tracing import Draw, Networks, trace

WORTHWHILE = 20_000
"""Critic updates from which `compile="auto"` compiles.

Compiling costs 30 to 150 seconds of a CPU's time and saves about 1 to 10 milliseconds of an update,
so that shorter runs lose by it.
"""

ROUNDING = {torch.float64: 1e-10}
"""Relative errors that need no explanation, by type; 1e-5 for all others."""

Then = Callable[[dict[str, Tensor], Any, tuple[Any, ...]], Any]


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
    """

    def __init__(
        self,
        name: str,
        written: Callable[..., tuple[Any, ...]],
        networks: Networks,
        then: Then,
        device: torch.device,
    ) -> None:
        self.name, self.written, self.networks, self.then = name, written, networks, then
        self.device = device
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
        if self.code is None or (self.due and self.objection(arguments, last)):
            self._compile(arguments, last)
        self.due = False
        if self.code is None:
            return None
        return self.code(self.code.inputs(arguments, last), [draw() for draw in self.code.draws])

    def _compile(self, arguments: tuple[Any, ...], last: tuple[Any, ...]) -> None:
        begun = time.monotonic()
        try:
            self.code = Code(self.networks, arguments, last, self.then)
            self.refused = self.objection(arguments, last)
        except Exception as error:
            self.refused = f"{type(error).__name__}: {first_line(error)}"
        self.seconds += time.monotonic() - begun
        if self.refused:
            self.code = None
            warnings.warn(
                f"{self.name} is not compiled, and runs as written: {self.refused}",
                CompileWarning,
                stacklevel=2,
            )

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
        inputs = [one.clone() for one in code.inputs(arguments, last)]
        found = code.built(code(inputs, drawn))
        error, allowed = relative_error(found[0], wanted[0]), allowance(wanted[0])
        if error <= allowed or error <= 2 * self._rounding(arguments, last, drawn, wanted[0]):
            return ""
        return (
            f"its compiled result differs from the one as written by {error:.1e} of its size, and "
            f"{allowed:.0e} is allowed"
        )

    def _rounding(
        self,
        arguments: tuple[Any, ...],
        last: tuple[Any, ...],
        drawn: Sequence[Tensor],
        wanted: Any,
    ) -> float:
        """Return by how much what is written differs from itself in double precision."""
        code = cast(Code, self.code)
        inputs = [one.clone() for one in code.inputs(arguments, last)]
        try:
            exact = code.in_double(inputs, drawn)
        except Exception:
            return 0.0
        found = relative_error(wanted, exact[0])
        return found if found < 0.05 else 0.0


@final
class Code:
    """A function's compiled code and what it runs on.

    Arguments:
        networks: whose function it is.
        arguments: of the function, of the shapes that it will be run on.
        last: tensors for `then`.
        then: what is done with the function's results.
    """

    def __init__(
        self, networks: Networks, arguments: tuple[Any, ...], last: tuple[Any, ...], then: Then
    ) -> None:
        self.own = list(networks.tensors().values())
        self.last: tuple[Any, ...] = ()
        self.tail: list[Tensor] = []
        traced = trace(networks, (*arguments, last), then)
        self.graph, self.draws, self.form = traced
        inputs = [one.detach() for one in self.inputs(arguments, last)]
        self.run = compiled(self.graph, inputs, self.draws)

    def inputs(self, arguments: tuple[Any, ...], last: tuple[Any, ...]) -> list[Tensor]:
        """Return the tensors that the graph runs on, in its order."""
        if last is not self.last:
            self.last, self.tail = last, pytree.tree_leaves(last)
        given = [part for one in arguments for part in (one if isinstance(one, tuple) else (one,))]
        return [*self.own, *given, *self.tail]

    def __call__(self, inputs: list[Tensor], drawn: Sequence[Tensor]) -> list[Any]:
        """Return the tensors of the results in a row."""
        return list(self.run(*inputs, *drawn))

    def built(self, row: list[Any]) -> Any:
        """Return the results as the function builds them."""
        return pytree.tree_unflatten(row, self.form)

    def in_double(self, inputs: list[Tensor], drawn: Sequence[Tensor]) -> Any:
        """Return the results in double precision, operation by operation."""
        wide = [one.double() if one.is_floating_point() else one for one in (*inputs, *drawn)]
        return pytree.tree_unflatten(Double(self.graph).run(*wide), self.form)


def compiled(graph: fx.GraphModule, inputs: list[Tensor], draws: list[Draw]) -> Callable[..., Any]:
    """Return compiled code for a graph; the one place that calls the compiler."""
    import torch._inductor

    stream = {one.device for one in inputs}
    with torch.no_grad():
        states = [read_rng(device) for device in stream]
        drawn = [draw() for draw in draws]
        for device, state in zip(stream, states, strict=True):
            set_rng(state, device)
        run = torch._inductor.compile(graph, [*inputs, *drawn])

    def quietly(*tensors: Tensor) -> Any:
        with torch.no_grad():
            return run(*tensors)

    return quietly


class Double(fx.Interpreter):
    """Runs a graph with every float in double precision."""

    def call_function(self, target: Any, args: Any, kwargs: Any) -> Any:
        """Run an operation, asked for doubles where it was asked for less."""
        args, kwargs = pytree.tree_map(widened, (args, kwargs))
        return super().call_function(target, args, kwargs)

    def get_attr(self, target: Any, args: Any, kwargs: Any) -> Any:
        """Return a constant."""
        value = super().get_attr(target, args, kwargs)
        narrow = isinstance(value, Tensor) and value.is_floating_point()
        return value.double() if narrow else value


def widened(value: Any) -> Any:
    """Return float64 for a narrower type."""
    return torch.float64 if value in (torch.float32, torch.bfloat16, torch.float16) else value


def first_line(error: Exception) -> str:
    """Return the first line of an error's message that says something."""
    lines = [line.strip() for line in str(error).splitlines()]
    return next((line for line in lines if line), "no message")


@contextmanager
def untouched(networks: Networks, device: torch.device) -> Iterator[None]:
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


def allowance(results: Any) -> float:
    """Return the relative error that rounding explains."""
    kinds = {one.dtype for one in pytree.tree_leaves(results) if one is not None}
    return max((ROUNDING.get(kind, 1e-5) for kind in kinds if kind.is_floating_point), default=0.0)


def worth_compiling(updates: int | None, device: torch.device) -> bool:
    """Return whether a run of so many critic updates gains by compilation, as far as is known."""
    if updates is None or updates < WORTHWHILE:
        return False
    if device.type == "cpu":
        return any(map(shutil.which, (os.environ.get("CXX", "c++"), "g++", "clang++")))
    return device.type == "cuda"
