"""Rectifiers whose second derivative, which is 0, is not computed."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, final

import torch
from torch import Tensor
from torch.nn import functional
from torch.overrides import TorchFunctionMode

LARGE = 65_536
"""Numbers from which a mask is faster than a rectifier when nothing is compiled (on a CPU)."""


@final
class MaskedRectifiers(TorchFunctionMode):
    """Inside the block, relu(x) and leaky_relu(x) are x times a constant mask.

    Values and gradients are the same.  The second derivative is 0 either way, but a stock rectifier
    hands on a tensor of zeros, which is then multiplied by all weights of the layers before:
    2 of the 12 forward passes that the gradient of a gradient penalty costs.

    Where rectifiers are small and run one by one on a CPU they are left alone, being faster there;
    on other devices they are masked only when compiled.

    `used` tells whether any was masked: entering the block in vain costs time as well.

    Arguments:
        always: mask all of them, for code that will be compiled.
    """

    def __init__(self, always: bool = False) -> None:
        super().__init__()
        self.always = always
        self.used = False

    def __torch_function__(
        self,
        function: Callable[..., Any],
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """Run a function of torch, or the masked form of a rectifier."""
        kwargs = kwargs or {}
        if function in SLOPES and self._pays(args[0] if args else None, kwargs):
            self.used = True
            return masked(*args, below=SLOPES[function], **kwargs)
        return function(*args, **kwargs)

    def _pays(self, inputs: Tensor | None, settings: dict[str, Any]) -> bool:
        """Return whether to mask: never in place, for the input is needed."""
        if inputs is None or settings.get("inplace"):
            return False
        return self.always or (inputs.device.type == "cpu" and inputs.numel() >= LARGE)


SLOPES: dict[Callable[..., Any], float] = {
    functional.leaky_relu: 0.01,
    functional.relu: 0.0,
    torch.relu: 0.0,
    Tensor.relu: 0.0,
}
"""Rectifiers, and their slope below 0 where none is given."""


def masked(
    inputs: Tensor,
    negative_slope: float | None = None,
    inplace: bool = False,
    *,
    below: float,
) -> Tensor:
    """Return the inputs times 1 where they are above 0, and times the slope elsewhere."""
    slope = below if negative_slope is None else float(negative_slope)
    one = inputs.new_ones(())  # of the inputs' precision, which two plain numbers would not have
    return inputs * torch.where(inputs.detach() > 0, one, slope)
