"""What passes between the host and a device while something runs: a captured graph repeats none."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import ExitStack
from typing import Any, final

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils import _pytree as pytree
from torch.utils._python_dispatch import TorchDispatchMode

aten = torch.ops.aten

COPIES = {aten._to_copy.default, aten.copy_.default}
"""Operations that may carry a tensor of any size elsewhere."""

BY_INDEX = {aten.index.Tensor, aten.index_put.default, aten.index_put_.default}
"""Operations that ask for a number only where a mask says what is looked at."""

ASKING = {torch.Tag.data_dependent_output, torch.Tag.dynamic_output_shape}
"""Tags of operations that ask the device for a number."""

MASKS = (torch.bool, torch.uint8)

MAKERS: set[Callable[..., Any]] = {
    torch.tensor, torch.as_tensor, torch.asarray, torch.from_numpy, Tensor.new_tensor,
}  # fmt: skip
"""Functions that carry numbers of the host to a device, which operations do not show."""


@final
class Crossings:
    """Notes, inside a block, what crosses between the host and a device.

    Arguments:
        device: "cuda"; or "meta", on which nothing is computed, to look without a GPU.

    `seen` holds a few words about each crossing.  Tensors of one number that lie on the host are
    let pass where they are computed with: they travel with the operation, as constants.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.seen: list[str] = []

    def __enter__(self) -> Crossings:
        self.modes = ExitStack()
        self.modes.enter_context(_Functions(self))
        self.modes.enter_context(_Operations(self))
        return self

    def __exit__(self, *error: Any) -> None:
        self.modes.close()

    def here(self, value: Any) -> bool:
        """Return whether something is a tensor on the device."""
        return isinstance(value, Tensor) and value.device.type == self.device.type


@final
class _Operations(TorchDispatchMode):
    """Looks at operations below the level of derivatives."""

    def __init__(self, crossings: Crossings) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.crossings = crossings

    def __torch_dispatch__(
        self, function: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        """Run an operation, and note what crosses."""
        found = function(*args, **(kwargs or {}))
        given = [one for one in pytree.tree_leaves((args, kwargs)) if isinstance(one, Tensor)]
        if any(map(self.crossings.here, given)) and asks(function, given):
            self.crossings.seen.append(f"{function.overloadpacket} asks the device for a number")
        made = [one for one in pytree.tree_leaves(found) if isinstance(one, Tensor)]
        large = [one for one in (*given, *made) if one.dim() or function in COPIES]
        there = [self.crossings.here(one) for one in large]
        if any(there) and not all(there):
            self.crossings.seen.append(f"{function.overloadpacket} copies between both")
        return found


def asks(function: Any, given: Iterable[Tensor]) -> bool:
    """Return whether an operation needs a number of the device before it can go on."""
    if function in BY_INDEX:
        return any(one.dtype in MASKS for one in list(given)[1:])
    return bool(ASKING.intersection(function.tags))


@final
class _Functions(TorchFunctionMode):
    """Looks at functions that make tensors of numbers."""

    def __init__(self, crossings: Crossings) -> None:
        super().__init__()
        self.crossings = crossings

    def __torch_function__(
        self,
        function: Callable[..., Any],
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """Run a function, and note what crosses."""
        found = function(*args, **(kwargs or {}))
        if function in MAKERS and self.crossings.here(found):
            source = args[0] if args else None
            if function is Tensor.new_tensor or not self.crossings.here(source):
                self.crossings.seen.append(f"torch.{function.__name__} copies between both")
        return found
