"""What trainings share: seeds, learning rates that decay, and L-BFGS for a few parameters."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

SEEDS = range(3)


def linear(steps: int) -> Callable[[int], float]:
    """Return full learning rates for the first half, then down to a twentieth."""
    return lambda step: max(0.05, min(1.0, 2 * (1 - step / steps)))


def best(critic: nn.Module, loss: Callable[[], Tensor]) -> None:
    """Minimise a smooth loss over a few parameters, to the end."""
    solver = torch.optim.LBFGS(
        critic.parameters(), max_iter=300, tolerance_grad=1e-10, line_search_fn="strong_wolfe"
    )

    def evaluate() -> float:
        solver.zero_grad()
        value = loss()
        value.backward()  # type: ignore[no-untyped-call]
        return float(value.detach())

    solver.step(evaluate)  # type: ignore[no-untyped-call]
