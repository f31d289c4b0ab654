"""Minima of smooth losses of a few parameters, to the end."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn


def minimise(parameters: Iterable[nn.Parameter], loss: Callable[[], Tensor]) -> None:
    """Change parameters to where a smooth loss of them is least, by L-BFGS."""
    solver = torch.optim.LBFGS(
        parameters, max_iter=300, tolerance_grad=1e-10, line_search_fn="strong_wolfe"
    )

    def evaluate() -> float:
        solver.zero_grad()
        value = loss()
        value.backward()  # type: ignore[no-untyped-call]
        return float(value.detach())

    solver.step(evaluate)  # type: ignore[no-untyped-call]
