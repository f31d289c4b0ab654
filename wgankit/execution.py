"""How a step is carried out: operation by operation, compiled, captured on a GPU."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, cast, final

import torch
from torch import Tensor, nn

from wgankit.adam import WrittenAdam, can_be_written
from wgankit.compiled import (
    COMPILED,
    TRACED,
    Part,
    Way,
    worth_compiling,
    worth_tracing,
)
from wgankit.errors import SettingError
from wgankit.iteration import Gradients, Iteration
from wgankit.layout import laid_out_as
from wgankit.loss import Seen
from wgankit.processes import Processes
from wgankit.rectifiers import MaskedRectifiers
from wgankit.space import Points
from wgankit.tracing import Networks

OF_DEVICE = ("capturable", "fused", "foreach")
"""Settings of optimisers that say how a device steps, and nothing about where to."""


@final
class Player:
    """A network with its optimiser.

    Arguments:
        network: the network.
        optimizer: of its parameters.
        processes: among which gradients are averaged.
    """

    def __init__(
        self, network: nn.Module, optimizer: torch.optim.Optimizer, processes: Processes
    ) -> None:
        self.network, self.optimizer, self.processes = network, optimizer, processes
        self.parameters = [one for one in network.parameters() if one.requires_grad]
        self.adam = written_adam(optimizer, self.parameters)
        self.rates = [float(group["lr"]) for group in optimizer.param_groups]
        self.factor, self.known = 1.0, math.nan
        device = self.parameters[0].device if self.parameters else torch.device("cpu")
        self.copied = torch.zeros((), dtype=torch.float64, device=device)

    def set_rates(self, factor: float) -> None:
        """Let learning rates be this many times what they were at the beginning."""
        if factor == self.factor:
            return
        self.factor = factor
        for group, rate in zip(self.optimizer.param_groups, self.rates, strict=True):
            if isinstance(group["lr"], Tensor):  # which a captured graph reads
                group["lr"].fill_(rate * factor)
            else:
                group["lr"] = rate * factor

    def take_up(self, state: dict[str, Any], factor: float) -> None:
        """Go on with an optimiser's saved state, wherever it was saved.

        Arguments:
            state: of the optimiser.
            factor: by which its learning rates had been set.
        """
        # A saved group says how its own device wants to step, and brings a rate of its own, where a
        # captured graph reads the tensor that is here.
        groups = self.optimizer.param_groups
        kept = [{name: one[name] for name in (*OF_DEVICE, "lr") if name in one} for one in groups]
        self.optimizer.load_state_dict(state)
        for group, here in zip(self.optimizer.param_groups, kept, strict=True):
            saved = float(group["lr"])
            group.update(here)
            if isinstance(here["lr"], Tensor):
                here["lr"].fill_(saved)
            else:
                group["lr"] = saved
        self.factor = factor

    def rate(self) -> Tensor:
        """Return the learning rate of the first group in a tensor, always the same one."""
        rate = self.optimizer.param_groups[0]["lr"]
        if isinstance(rate, Tensor):
            return rate
        if rate != self.known:
            self.known = rate
            self.copied.fill_(rate)
        return self.copied

    def update(self, gradients: Gradients) -> None:
        """Move the parameters."""
        # Second derivatives of convolutions and traced code give gradients in other strides, and
        # fused optimisers go through memory without looking at them.
        gradients = self.processes.mean(laid_out(gradients, self.parameters))
        self.show(gradients)
        if self.adam:
            self.adam.step(gradients)
        else:
            self.optimizer.step()

    def show(self, gradients: Gradients) -> None:
        """Put gradients where people look for them."""
        for parameter, gradient in zip(self.parameters, gradients, strict=True):
            parameter.grad = gradient


def laid_out(gradients: Gradients, parameters: Sequence[Tensor]) -> Gradients:
    """Return gradients in the strides of their parameters."""
    return [
        None if one is None else laid_out_as(one, parameter)
        for one, parameter in zip(gradients, parameters, strict=True)
    ]


@final
class Average:
    """A copy of a network whose parameters follow slowly.

    Arguments:
        network: the copy.
        follows: the network that it follows.
    """

    def __init__(self, network: nn.Module, follows: nn.Module) -> None:
        self.network = network
        self.mine: list[Tensor] = list(network.parameters())
        self.present: list[Tensor] = list(follows.parameters())
        self.buffers = list(zip(network.buffers(), follows.buffers(), strict=True))
        device = self.mine[0].device if self.mine else torch.device("cpu")
        self.share, self.number = torch.ones((), dtype=torch.float64, device=device), 1.0

    def set_share(self, share: float) -> None:
        """Say how much of the way to go each time."""
        self.number = share
        self.share.fill_(share)

    @torch.no_grad()
    def follow(self) -> None:
        """Go that share of the way."""
        if self.share.device.type == "cpu":
            torch._foreach_lerp_(self.mine, self.present, self.number)
        else:  # where the share must stay on the device
            for mine, new in zip(self.mine, self.present, strict=True):
                mine.add_((new - mine) * self.share)
        for kept, new in self.buffers:
            kept.copy_(new)

    def written(self, own: dict[str, Tensor], share: Tensor) -> None:
        """Follow among traced tensors, the copy's under "average." and the other's "generator."."""
        for name, _ in self.network.named_parameters():
            mine = own[f"average.{name}"]
            mine.add_((own[f"generator.{name}"] - mine) * share)
        for name, _ in self.network.named_buffers():
            own[f"average.{name}"].copy_(own[f"generator.{name}"])


class Execution(ABC):
    """A way to carry out the parts of a step."""

    seconds = 0.0
    """Spent on tracing and compiling."""

    doing, done = "", ""
    """What these seconds are spent on, and were, as "tracing" and "traced"."""

    def look_again(self) -> None:
        """Find out, at the next step, whether the networks still do what they did."""
        return

    @abstractmethod
    def points(self, stored: Points) -> tuple[Points, Points]:
        """Return real points and as many generated ones (see `Iteration.points`)."""

    @abstractmethod
    def criticise(self, real: Points, fake: Points, scale: Tensor) -> Seen:
        """Update the critic."""

    @abstractmethod
    def improve(self, stored: Points | None) -> Tensor:
        """Update the generator and its average; returns the generator's loss."""


@final
class AsWritten(Execution):
    """Operation by operation: the reference.

    Arguments:
        iteration: the mathematics.
        generator: with its optimiser.
        critic: with its optimiser.
        average: of the generator.
    """

    def __init__(
        self, iteration: Iteration, generator: Player, critic: Player, average: Average
    ) -> None:
        self.iteration, self.average = iteration, average
        self.generator, self.critic = generator, critic

    def points(self, stored: Points) -> tuple[Points, Points]:
        """Draw."""
        return self.iteration.points(stored)

    def criticise(self, real: Points, fake: Points, scale: Tensor) -> Seen:
        """Take both derivatives, and step."""
        gradients, seen = self.iteration.criticise(real, fake, scale)
        self.critic.update(gradients)
        return seen

    def improve(self, stored: Points | None) -> Tensor:
        """Go back through critic and generator, and step."""
        gradients, loss = self.iteration.improve(stored)
        self.generator.update(gradients)
        self.average.follow()
        return loss


class Update(ABC):
    """Where a network's optimiser runs when gradients are compiled."""

    @abstractmethod
    def then(self, own: dict[str, Tensor], results: Any, last: tuple[Any, ...]) -> Any:
        """Be traced behind the gradients (see `Part`)."""

    @abstractmethod
    def last(self) -> tuple[Any, ...]:
        """Return the tensors that `then` needs, the same tuple while they are the same."""

    @abstractmethod
    def finish(self, gradients: Gradients) -> None:
        """Do the rest of the update."""


@final
class Inside(Update):
    """Adam is compiled together with the gradients, on the optimiser's own state.

    Arguments:
        player: a network.
        adam: its optimiser.
        prefix: of its network's parameters among the tensors that are traced.
        average: follows behind.
    """

    def __init__(
        self, player: Player, adam: WrittenAdam, prefix: str, average: Average | None = None
    ) -> None:
        self.player, self.average, self.adam = player, average, adam
        named = player.network.named_parameters()
        self.names = [prefix + name for name, one in named if one.requires_grad]
        self.kept: tuple[Any, ...] = ()

    def then(self, own: dict[str, Tensor], results: Any, last: tuple[Any, ...]) -> Any:
        """Update the parameters, and let their average follow."""
        gradients, figure = results
        moments, rate, share = last
        with torch.no_grad():
            self.adam.update([own[name] for name in self.names], gradients, moments, rate)
            if self.average:
                self.average.written(own, share)
        return gradients, figure

    def last(self) -> tuple[Any, ...]:
        """Return Adam's state and rate, and the average's share."""
        moments, rate = self.adam.moments(), self.player.rate()
        if not (self.kept and self.kept[0] is moments and self.kept[1] is rate):
            self.kept = (moments, rate, self.average.share if self.average else rate)
        return self.kept

    def finish(self, gradients: Gradients) -> None:
        """Show the gradients."""
        self.player.show(gradients)


@final
class Outside(Update):
    """The optimiser runs as it is, after compiled gradients.

    Arguments:
        player: a network with any optimiser.
        average: follows behind.
    """

    def __init__(self, player: Player, average: Average | None = None) -> None:
        self.player, self.average = player, average

    def then(self, own: dict[str, Tensor], results: Any, last: tuple[Any, ...]) -> Any:
        """Leave results as they are."""
        return results

    def last(self) -> tuple[Any, ...]:
        """Return nothing."""
        return ()

    def finish(self, gradients: Gradients) -> None:
        """Step, and let the average follow."""
        self.player.update(gradients)
        if self.average:
            self.average.follow()


def update_of(player: Player, prefix: str, way: Way, average: Average | None = None) -> Update:
    """Return where a network's optimiser is to run."""
    if player.adam and way.inside:
        return Inside(player, player.adam, prefix, average)
    return Outside(player, average)


def written_adam(
    optimizer: torch.optim.Optimizer, parameters: list[nn.Parameter]
) -> WrittenAdam | None:
    """Return an optimiser's update written out, if it is plain Adam on just these parameters."""
    if not parameters or not can_be_written(optimizer):
        return None
    held = [one for one in optimizer.param_groups[0]["params"] if one.requires_grad]
    return WrittenAdam(optimizer) if list(map(id, held)) == list(map(id, parameters)) else None


PLAIN = {bool, int, float, str, type(None)}


def plain_settings(held: list[dict[str, Any]]) -> list[Any]:
    """Return the numbers and words that modules hold, which are part of code that was traced."""
    return [value for one in held for value in one.values() if type(value) in PLAIN]


def as_is(own: dict[str, Tensor], results: Any, last: tuple[Any, ...]) -> Any:
    """Leave results as they are."""
    return results


@final
class Traced(Execution):
    """The same from traced code, repeated or compiled; what cannot be traced is as written.

    Arguments:
        written: the reference.
        way: to run what was traced.
    """

    def __init__(self, written: AsWritten, way: Way) -> None:
        self.written, self.doing, self.done = written, way.doing, way.done
        iteration, generator, critic = written.iteration, written.generator, written.critic
        device, masked = iteration.device, self._masked
        made = Networks(masked(iteration.points), {"generator": generator.network})
        scored = Networks(masked(iteration.criticise), {"critic": critic.network})
        played = Networks(
            masked(iteration.improve),
            {
                "generator": generator.network,
                "critic": critic.network,
                "average": written.average.network,
            },
        )
        self.critic = update_of(critic, "critic.", way)
        self.generator = update_of(generator, "generator.", way, written.average)
        self._points = Part("drawing points", iteration.points, made, as_is, device, way)
        self._criticise = Part(
            "the critic's update", iteration.criticise, scored, self.critic.then, device, way
        )
        self._improve = Part(
            "the generator's update", iteration.improve, played, self.generator.then, device, way
        )

        self.parts = (self._points, self._criticise, self._improve)
        self.held = [
            module.__dict__
            for network in (generator.network, critic.network)
            for module in network.modules()
        ]
        self.settings, self.looked = plain_settings(self.held), True

    @property
    def seconds(self) -> float:  # type: ignore[override]
        """Spent on tracing and compiling."""
        return sum(part.seconds for part in self.parts)

    def look_again(self) -> None:
        """Compare each part with what is written at its next call."""
        self._look_again(late=True)

    def _look_again(self, late: bool) -> None:
        self.looked = True
        for part in self.parts:
            part.due, part.late = True, late

    def points(self, stored: Points) -> tuple[Points, Points]:
        """Draw; the first thing of a step."""
        if plain_settings(self.held) != self.settings:
            self._look_again(late=False)
        found = self._points((stored,), ())
        if found is None or self._points.code is None:
            return self.written.points(stored)
        points: tuple[Points, Points] = self._points.code.built(found)
        return points

    def criticise(self, real: Points, fake: Points, scale: Tensor) -> Seen:
        """Take both derivatives and step, at once."""
        found = self._criticise((real, fake, scale), self.critic.last())
        if found is None:
            return self.written.criticise(real, fake, scale)
        figures = len(Seen._fields)
        self.critic.finish(found[:-figures])
        return Seen(*found[-figures:])

    def improve(self, stored: Points | None) -> Tensor:
        """Go back through both networks, step, and average, at once; the last thing of a step."""
        loss = self._improved(stored)
        # What modules count while they run as written is no change from outside.
        if self.looked or any(part.refused for part in self.parts):
            self.settings, self.looked = plain_settings(self.held), False
        return loss

    def _improved(self, stored: Points | None) -> Tensor:
        given = () if stored is None else (stored,)
        found = self._improve(given, self.generator.last())
        if found is None:
            return self.written.improve(stored)
        self.generator.finish(found[:-1])
        return cast(Tensor, found[-1])

    def _masked(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """Return the function with all rectifiers masked: traced, that costs nothing."""
        iteration = self.written.iteration

        def run(*arguments: Any) -> Any:
            before = iteration.masks
            if iteration.loss.differentiates_twice:
                iteration.masks = MaskedRectifiers(always=True)
            try:
                return function(*arguments)
            finally:
                iteration.masks = before

        return run


def execution_of(
    written: AsWritten, compile: bool | str, *, updates: int | None, processes: Processes
) -> Execution:
    """Return the way to carry out a step that a setting names.

    Arguments:
        written: the reference.
        compile: True; "trace", which needs no compiler; False; or "auto": the first that so many
            updates are worth (see `compiled`).
        updates: critic updates of the whole run; None where nobody knows.
        processes: that train together.

    Raises:
        SettingError: if `compile` is something else, or code is asked for in several processes.
    """
    check_compile(compile)
    if compile == "auto":
        compile = way_worth(updates, written.iteration.device) if processes.alone else False
    if compile is False:
        return written
    if not processes.alone:
        raise SettingError(
            f"compile={compile!r} needs a single process, because several average their gradients "
            'in the middle of an update; leave it out, or say compile="auto"'
        )
    return Traced(written, COMPILED if compile is True else TRACED)


def check_compile(compile: bool | str) -> None:
    """Refuse what names no way to carry out a step.

    Raises:
        SettingError: if `compile` is no setting.
    """
    if compile not in (True, False, "auto", "trace"):
        raise SettingError(f'compile is True, False, "trace" or "auto"; got {compile!r}')


def way_worth(updates: int | None, device: torch.device) -> bool | str:
    """Return what "auto" stands for."""
    if worth_compiling(updates, device):
        return True
    return "trace" if worth_tracing(updates, device) else False
