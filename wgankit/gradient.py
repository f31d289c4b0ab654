"""Gradients of the critic's loss: as written, or compiled into one piece of code.

A penalised critic needs the gradient of a gradient.  Compilers take that only if both are in one
graph, so the compiled form is a function of tensors alone: what is random is drawn outside, and
gradients come out as numbers.  It is believed after it has agreed once with what is written.
"""

from __future__ import annotations

import os
import shutil
import types
import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any, NamedTuple, final

import torch
from torch import Tensor, nn

from wgankit.constraint import Constraint
from wgankit.errors import CompileWarning, SettingError
from wgankit.objective import Objective
from wgankit.penalty import Penalty
from wgankit.rectifiers import MaskedRectifiers
from wgankit.space import MetricSpace, Points, SmoothSpace, join
from wgankit.state import read_rng, set_rng
from wgankit.weight import RunningWeight

WORTHWHILE = 20_000
"""Critic updates from which `compile="auto"` compiles.

Compiling costs 6 to 90 seconds of a CPU's time and saves about 1 to 3 milliseconds of an update of
a small critic, so that shorter runs lose by it.
"""

Place = tuple[Points, Points, Tensor]
"""Where slopes are taken: (x, y, t) as `MetricSpace.slope` wants them."""


class Seen(NamedTuple):
    """What an update of the critic saw; nothing of it leads back to the critic's parameters.

    Arguments:
        gap: D.
        slopes: `(S,)`, where the constraint took them.
        cost: R of these slopes.
        weight: lambda of this batch, in units of distance.
        scale: the running estimate of W1 for the next batch.
    """

    gap: Tensor
    slopes: Tensor
    cost: Tensor
    weight: Tensor
    scale: Tensor


@final
@dataclass(frozen=True)
class CriticLoss:
    """What a critic minimises, as a function of tensors.

    Arguments:
        critic: the critic.
        space: the metric space.
        constraint: what keeps the critic 1-Lipschitz.
        objective: what it plays for.
    """

    critic: nn.Module
    space: MetricSpace
    constraint: Constraint
    objective: Objective

    def __call__(
        self,
        real: Points,
        fake: Points,
        scale: Tensor,
        place: Place | None = None,
        masks: MaskedRectifiers | None = None,
    ) -> tuple[Tensor, Seen]:
        """Return the loss and what it saw.

        Arguments:
            real: real points.
            fake: as many generated points.
            scale: the running estimate of W1.
            place: where to take slopes; by default the constraint draws it.
            masks: a block to take slopes in.
        """
        # Real and fake share a pass; the penalty has its own, because a second derivative
        # through a joint pass would run over all three batches.
        at_real, at_fake = self.critic(join(real, fake)).chunk(2)
        with masks or nullcontext():
            if place is None:
                slopes = self.constraint.slopes(self.space, self.critic, real, fake)
            else:
                slopes = self.space.slope(self.critic, *place)
        running = RunningWeight(self.space, self.constraint, scale)
        weight = running.now(real, fake)
        cost = self.constraint.cost(slopes, real)
        loss = self.objective.critic(at_real, at_fake) + weight * cost
        with torch.no_grad():
            gap = at_real.detach().mean() - at_fake.detach().mean()
            slopes, cost = slopes.detach(), cost.detach()
            if running.relative:
                running.follow(self.constraint.w1(gap, cost, slopes, weight))
        return loss, Seen(gap, slopes, cost, weight, running.scale)

    @property
    def differentiates_twice(self) -> bool:
        """Whether slopes are gradients that the loss is differentiated through."""
        return isinstance(self.space, SmoothSpace) and isinstance(self.constraint, Penalty)


class CriticGradient(ABC):
    """A way to the gradients of a critic's loss."""

    @abstractmethod
    def __call__(self, real: Points, fake: Points, scale: Tensor) -> Seen:
        """Put the gradients into the critic's parameters, in place of those that were there.

        Arguments:
            real: real points.
            fake: as many generated points.
            scale: the running estimate of W1, a scalar; NaN before the first batch.
        """


@final
class EagerGradient(CriticGradient):
    """Operation by operation, as written: the reference.

    Arguments:
        loss: the critic's loss.
        backward: takes a loss and leaves gradients in the parameters.
    """

    def __init__(self, loss: CriticLoss, backward: Callable[[Tensor], None]) -> None:
        self.loss, self.backward = loss, backward
        self.parameters = list(loss.critic.parameters())
        self.masks = MaskedRectifiers() if loss.differentiates_twice else None

    def __call__(self, real: Points, fake: Points, scale: Tensor) -> Seen:
        """Compute the loss and go back through it."""
        loss, seen = self.loss(real, fake, scale, masks=self.masks)
        # Batches keep their size, so what the first one had no use for none will have.
        if self.masks and not self.masks.used:
            self.masks = None
        for parameter in self.parameters:
            parameter.grad = None
        self.backward(loss)
        return seen


@final
class CompiledGradient(CriticGradient):
    """The same numbers up to rounding, from one compiled graph that holds both derivatives.

    Arguments:
        loss: the loss of a critic with a `Penalty`, drawing nothing at random.
    """

    def __init__(self, loss: CriticLoss) -> None:
        if not isinstance(loss.constraint, Penalty):
            raise SettingError(
                "only penalties are compiled, and the constraint is a "
                f"{type(loss.constraint).__name__}"
            )
        self.loss, self.penalty = loss, loss.constraint
        self.parameters = [p for p in loss.critic.parameters() if p.requires_grad]

        def gradients(real: Points, fake: Points, scale: Tensor, place: Place) -> Any:
            masks = MaskedRectifiers() if loss.differentiates_twice else None
            value, seen = loss(real, fake, scale, place, masks)
            found = torch.autograd.grad(value, self.parameters, allow_unused=True)
            return [None if one is None else one.detach() for one in found], tuple(seen)

        self.plain = gradients
        self.compiled = torch.compile(unshared(gradients), fullgraph=True, dynamic=False)

    def __call__(self, real: Points, fake: Points, scale: Tensor) -> Seen:
        """Draw places, and run the compiled function there."""
        found, seen = self.run(real, fake, scale, self.penalty.where(real, fake))
        for parameter, gradient in zip(self.parameters, found, strict=True):
            parameter.grad = gradient
        return Seen(*seen)

    def run(self, real: Points, fake: Points, scale: Tensor, place: Place) -> Any:
        """Return the compiled function's gradients and figures."""
        with both_derivatives():
            return self.compiled(real, fake, scale, place)


def unshared(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function with code of its own.

    Compiled versions are kept with the code of a function, a few of them; several trainings in one
    process would use them up together.
    """
    code: types.CodeType = function.__code__.replace()
    return types.FunctionType(code, function.__globals__, closure=function.__closure__)


@contextmanager
def both_derivatives() -> Iterator[None]:
    """Let the compiler trace through `torch.autograd.grad`: the one place that asks for it.

    A private switch of torch 2.11 to 2.15, so its absence is told like any failed compilation.
    """
    import torch._dynamo.config as config

    before = config.trace_autograd_ops
    config.trace_autograd_ops = True
    try:
        yield
    finally:
        config.trace_autograd_ops = before


@final
class CheckedGradient(CriticGradient):
    """Compiled, if that agrees with what is written on the first batch; else eager, and says so.

    Agreement is asked for because compilation can be wrong without a word: a custom
    `torch.autograd.Function` loses its second derivative.

    Arguments:
        eager: the reference.
    """

    def __init__(self, eager: EagerGradient) -> None:
        self.eager = eager
        self.chosen: CriticGradient | None = None

    def __call__(self, real: Points, fake: Points, scale: Tensor) -> Seen:
        """Choose at the first call, then go the way chosen."""
        if self.chosen is None:
            self.chosen = self._choose(real, fake, scale)
        return self.chosen(real, fake, scale)

    def _choose(self, real: Points, fake: Points, scale: Tensor) -> CriticGradient:
        loss = self.eager.loss
        with untouched(loss.critic, scale.device):
            try:
                compiled = CompiledGradient(loss)
                objection = disagreement(compiled, real, fake, scale)
            except Exception as error:
                objection = f"{type(error).__name__}: {first_line(error)}"
        if not objection:
            return compiled
        warnings.warn(
            f"the critic's update is not compiled, and runs as written: {objection}",
            CompileWarning,
            stacklevel=2,
        )
        return self.eager


def first_line(error: Exception) -> str:
    """Return the first line of an error's message that says something."""
    lines = [line.strip() for line in str(error).splitlines()]
    return next((line for line in lines if line), "no message")


@contextmanager
def untouched(critic: nn.Module, device: torch.device) -> Iterator[None]:
    """Leave random numbers and the critic's buffers as they were before the block."""
    rng = read_rng(device)
    buffers = [(buffer, buffer.clone()) for buffer in critic.buffers()]
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


def disagreement(compiled: CompiledGradient, real: Points, fake: Points, scale: Tensor) -> str:
    """Return why compiled gradients are not to be believed, or ""."""
    place = compiled.penalty.where(real, fake)
    critic, device = compiled.loss.critic, scale.device
    before = read_rng(device)
    with untouched(critic, device):
        wanted, _ = compiled.plain(real, fake, scale, place)
        after = read_rng(device)
    if not all(torch.equal(before[name], after[name]) for name in before):
        return "the critic (has it dropout?) or the space draws random numbers in it"
    found, _ = compiled.run(real, fake, scale, place)
    error, allowed = relative_error(found, wanted), allowance(wanted)
    if error <= allowed:
        return ""
    return (
        f"its compiled gradient differs from the one as written by {error:.1e} of its length, and "
        f"{allowed:.0e} is allowed (a custom torch.autograd.Function in the critic loses its "
        "second derivative when compiled)"
    )


def relative_error(found: list[Tensor | None], wanted: list[Tensor | None]) -> float:
    """Return |found - wanted| / |wanted| over all parameters together."""
    apart, length = torch.zeros(2, dtype=torch.float64).unbind()
    for one, other in zip(found, wanted, strict=True):
        length = length + square(other)
        if one is None or other is None:
            apart = apart + square(one) + square(other)
        else:
            apart = apart + square(one - other)
    return float((apart / length.clamp_min(1e-300)).sqrt())


def square(gradient: Tensor | None) -> Tensor:
    """Return the squared length of a gradient, on the host."""
    if gradient is None:
        return torch.zeros((), dtype=torch.float64)
    return gradient.double().square().sum().cpu()


def allowance(gradients: list[Tensor | None]) -> float:
    """Return the relative error that rounding explains."""
    double = all(one is None or one.dtype == torch.float64 for one in gradients)
    return 1e-10 if double else 1e-4


def worth_compiling(updates: int | None, device: torch.device) -> bool:
    """Return whether a run of so many critic updates gains by compilation, as far as is known."""
    if updates is None or updates < WORTHWHILE:
        return False
    if device.type == "cpu":
        return any(map(shutil.which, (os.environ.get("CXX", "c++"), "g++", "clang++")))
    return device.type == "cuda"


def critic_gradient(
    eager: EagerGradient,
    compile: bool | str,
    *,
    updates: int | None,
    device: torch.device,
    plain: bool,
) -> CriticGradient:
    """Return the way to the critic's gradients that a setting names.

    Arguments:
        eager: the reference.
        compile: True, False, or "auto": for at least `WORTHWHILE` updates, where a compiler is.
        updates: critic updates of the whole run; None where nobody knows.
        device: where the batches are.
        plain: one process and one precision, so that nothing has to happen around the critic.

    Raises:
        SettingError: if `compile` is something else.
    """
    if compile not in (True, False, "auto"):
        raise SettingError(f'compile is True, False or "auto"; got {compile!r}')
    if compile == "auto":
        compile = plain and worth_compiling(updates, device)
    if not compile:
        return eager
    if not plain:
        raise SettingError(
            'compile=True needs a single process and precision="32-true"; '
            'leave it out, or say compile="auto", which compiles where that is possible'
        )
    return CheckedGradient(eager)
