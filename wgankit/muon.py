"""An optimiser that fits critics in a fraction of Adam's steps."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, final

import torch
from torch import Tensor, nn

from wgankit.errors import SettingError

_QUINTIC = (3.4445, -4.7750, 2.0315)


def orthogonalised(matrix: Tensor, steps: int = 5) -> Tensor:
    """Return about U V^T of a matrix U S V^T: all its singular values moved near 1.

    Newton-Schulz iteration with the quintic of Jordan et al. (2024), whose singular values end in
    about [0.7, 1.2]; matrix products only.
    """
    first, third, fifth = _QUINTIC
    turned = matrix.T if matrix.shape[0] > matrix.shape[1] else matrix
    found: Tensor = turned / turned.norm().clamp_min(torch.finfo(matrix.dtype).tiny)
    for _ in range(steps):
        gram = found @ found.T
        found = first * found + (third * gram + fifth * gram @ gram) @ found
    return found.T if matrix.shape[0] > matrix.shape[1] else found


@final
class Muon(torch.optim.Optimizer):
    """Momentum whose update of each weight matrix is orthogonalised (Jordan et al., 2024).

    Every direction of a weight matrix then moves at the same rate, where gradients of a critic
    have few large singular values and many small ones that matter.  Biases, and matrices with
    a side of 1, are left to Adam.  (`torch.optim.Muon` takes matrices only, and iterates in
    bfloat16.)

    Arguments:
        network: whose parameters are optimised.
        rate: size of the update of a matrix, in units of its singular values.
        momentum: of the matrices.
        plain_rate: learning rate of Adam for all else.
        betas: momenta of Adam.

    Raises:
        SettingError: if the network has no parameters, or a rate is not above 0.
    """

    def __init__(
        self,
        network: nn.Module,
        *,
        rate: float = 0.02,
        momentum: float = 0.95,
        plain_rate: float = 2e-3,
        betas: tuple[float, float] = (0.9, 0.99),
    ) -> None:
        if not (rate > 0 and plain_rate > 0):
            raise SettingError(f"rates are numbers > 0; got {rate} and {plain_rate}")
        trained = [one for one in network.parameters() if one.requires_grad]
        if not trained:
            raise SettingError("the network has no parameters to train")
        matrices = [one for one in trained if one.dim() == 2 and min(one.shape) > 1]
        chosen = {id(one) for one in matrices}
        others = [one for one in trained if id(one) not in chosen]
        groups = [
            {"params": matrices, "lr": rate, "momentum": momentum, "matrices": True},
            {"params": others, "lr": plain_rate, "betas": betas, "matrices": False},
        ]
        super().__init__([group for group in groups if group["params"]], {})

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Update all parameters once."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            move = self._turn if group["matrices"] else self._adam
            for parameter in group["params"]:
                if parameter.grad is not None:
                    parameter.sub_(move(parameter.grad, group, self.state[parameter]))
        return loss

    def _turn(self, gradient: Tensor, group: dict[str, Any], state: dict[str, Any]) -> Tensor:
        if not state:
            state["mean"] = torch.zeros_like(gradient)
        state["mean"].lerp_(gradient, 1 - group["momentum"])
        ahead = gradient.lerp(state["mean"], group["momentum"])
        # A tall matrix needs larger entries to change its outputs as much as a square one does.
        size = max(1.0, gradient.shape[0] / gradient.shape[1]) ** 0.5
        move: Tensor = orthogonalised(ahead) * (group["lr"] * size)
        return move

    def _adam(self, gradient: Tensor, group: dict[str, Any], state: dict[str, Any]) -> Tensor:
        if not state:
            state["count"] = torch.zeros((), device=gradient.device)
            state["mean"], state["square"] = (torch.zeros_like(gradient) for _ in range(2))
        first, second = group["betas"]
        state["count"] += 1
        state["mean"].lerp_(gradient, 1 - first)
        state["square"].lerp_(gradient.square(), 1 - second)
        mean = state["mean"] / (1 - first ** state["count"])
        square = state["square"] / (1 - second ** state["count"])
        move: Tensor = mean / (square.sqrt() + 1e-8) * group["lr"]
        return move
