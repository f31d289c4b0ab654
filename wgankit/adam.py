"""Adam written out in operations on its own state, so that it can be compiled with a gradient."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, final

import torch
from torch import Tensor, nn


def adam(
    network: nn.Module, rate: float, betas: tuple[float, float], device: torch.device
) -> torch.optim.Optimizer:
    """Return the fused Adam of a network (4 times as fast as the default on a CPU).

    On a GPU its learning rate is a number on the device, as capturing wants it.
    """
    momenta = (float(betas[0]), float(betas[1]))
    if device.type != "cuda":
        return torch.optim.Adam(network.parameters(), lr=float(rate), betas=momenta, fused=True)
    here = torch.tensor(float(rate), device=device)
    return torch.optim.Adam(
        network.parameters(), lr=here, betas=momenta, fused=True, capturable=True
    )


class Moments(NamedTuple):
    """The state of Adam.

    Arguments:
        counts: updates so far, a scalar for each parameter.
        means: running means of the gradients.
        squares: running means of their squares.
    """

    counts: list[Tensor]
    means: list[Tensor]
    squares: list[Tensor]


@final
class WrittenAdam:
    """The update of a `torch.optim.Adam`, on that optimiser's own state.

    Source: Kingma and Ba (2015), algorithm 1.

    Arguments:
        optimizer: an Adam that `can_be_written`.
    """

    def __init__(self, optimizer: torch.optim.Optimizer) -> None:
        self.optimizer = optimizer
        (group,) = optimizer.param_groups
        self.parameters: list[Tensor] = [one for one in group["params"] if one.requires_grad]
        self.betas, self.epsilon = group["betas"], group["eps"]
        self.kept: Moments | None = None
        for one in self.parameters:
            begin(optimizer.state[one], one)

    def moments(self) -> Moments:
        """Return the optimiser's state in the parameters' order; the same lists while it stays."""
        first = self.optimizer.state[self.parameters[0]]
        if self.kept is None or first["exp_avg"] is not self.kept.means[0]:
            states = [self.optimizer.state[one] for one in self.parameters]
            self.kept = Moments(*([state[name] for state in states] for name in KEYS))
        return self.kept

    @torch.no_grad()
    def step(self, gradients: Sequence[Tensor | None]) -> None:
        """Move the optimiser's parameters as its own `step` does, to the last digit.

        The same fused operation, without the search for what to do that comes before it each time
        and takes longer than the update of a small network.
        """
        moments = self.moments()
        known = [one for one in gradients if one is not None]
        rows = [list(row) for row in (self.parameters, *moments)]
        if len(known) < len(gradients):
            wanted = [place for place, one in enumerate(gradients) if one is not None]
            rows = [[row[place] for place in wanted] for row in rows]
        parameters, counts, means, squares = rows
        torch._foreach_add_(counts, 1)
        (group,) = self.optimizer.param_groups
        torch._fused_adam_(
            parameters,
            known,
            means,
            squares,
            [],
            counts,
            lr=group["lr"],
            beta1=self.betas[0],
            beta2=self.betas[1],
            weight_decay=0.0,
            eps=self.epsilon,
            amsgrad=False,
            maximize=False,
        )

    @torch.no_grad()
    def update(
        self,
        parameters: Sequence[Tensor],
        gradients: Sequence[Tensor | None],
        moments: Moments,
        rate: Tensor,
    ) -> None:
        """Move parameters and moments, in place."""
        first, second = self.betas
        for one, gradient, count, mean, square in zip(parameters, gradients, *moments, strict=True):
            if gradient is None:
                continue
            count.add_(1)
            past = count.double()  # powers near 1 lose their difference from 1 in less
            mean.lerp_(gradient, 1 - first)
            square.mul_(second).addcmul_(gradient, gradient, value=1 - second)
            length = (square.sqrt() / (1 - second**past).sqrt()).add(self.epsilon)
            one.sub_((rate / (1 - first**past)) * mean / length)


KEYS = ("step", "exp_avg", "exp_avg_sq")


def begin(state: dict[str, Any], parameter: Tensor) -> None:
    """Give a parameter the state that Adam begins with, unless it has one."""
    if state:
        return
    state["step"] = torch.zeros((), dtype=torch.float32, device=parameter.device)
    state["exp_avg"] = torch.zeros_like(parameter, memory_format=torch.preserve_format)
    state["exp_avg_sq"] = torch.zeros_like(parameter, memory_format=torch.preserve_format)


def can_be_written(optimizer: torch.optim.Optimizer) -> bool:
    """Return whether an optimiser is the Adam of the paper, with one group and nothing added."""
    if type(optimizer) is not torch.optim.Adam or len(optimizer.param_groups) != 1:
        return False
    group = optimizer.param_groups[0]
    added = ("amsgrad", "maximize", "weight_decay", "differentiable", "decoupled_weight_decay")
    hooked = optimizer._optimizer_step_pre_hooks or optimizer._optimizer_step_post_hooks
    return not (hooked or any(group.get(name) for name in added)) and bool(group["fused"])
