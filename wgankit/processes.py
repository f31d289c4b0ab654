"""Several processes that train one model, each on batches of its own."""

from __future__ import annotations

import atexit
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, final

import torch
from torch import Tensor, nn

from wgankit.errors import SettingError
from wgankit.layout import laid_out_as

if TYPE_CHECKING:
    from lightning_fabric import Fabric


def launch(device: str, devices: int) -> Fabric:
    """Return a Fabric on this many devices; several are several processes from here on.

    Each of them runs the caller's script from its beginning, and has reached this line when the
    call returns.

    Raises:
        SettingError: if the machine has fewer, or the number makes no sense.
    """
    from lightning_fabric import Fabric

    if devices < 1:
        raise SettingError(f"devices is a whole number of at least 1; got {devices}")
    if device in ("auto", "gpu", "cuda") and torch.cuda.is_available():
        present = torch.cuda.device_count()
        if devices > present:
            raise SettingError(f"devices={devices} asks for more GPUs than there are ({present})")
    fabric = Fabric(accelerator=device, devices=devices, strategy="ddp" if devices > 1 else "auto")
    fabric.launch()
    end_at_exit()
    return fabric


def end_at_exit() -> None:
    """Take leave of other processes at the end; their threads would outlive the interpreter."""
    atexit.unregister(end)
    atexit.register(end)


def end() -> None:
    """Take leave of the other processes, if there are any."""
    if several():
        torch.distributed.destroy_process_group()


def is_first() -> bool:
    """Return whether this is the process that writes: the only one, or the first of several."""
    return not several() or torch.distributed.get_rank() == 0


def several() -> bool:
    """Return whether this process is one of a group."""
    return torch.distributed.is_available() and torch.distributed.is_initialized()


@final
class Processes:
    """The processes of a Fabric, among which means are taken.

    Gradients are averaged as numbers after both derivatives are taken, so that nothing has to be
    wrapped around a network and a gradient penalty is like any other loss.

    Arguments:
        fabric: launched, if it has several processes.

    Raises:
        SettingError: if its strategy does more than to share gradients.
    """

    def __init__(self, fabric: Fabric) -> None:
        from lightning_fabric.strategies.ddp import DDPStrategy
        from lightning_fabric.strategies.single_device import SingleDeviceStrategy

        if not isinstance(fabric.strategy, DDPStrategy | SingleDeviceStrategy):
            raise SettingError(
                'training runs on one device or with strategy="ddp"; got '
                f"{type(fabric.strategy).__name__}"
            )
        self.fabric = fabric
        self.count, self.rank = fabric.world_size, fabric.global_rank
        if self.count > 1 and not torch.distributed.is_initialized():
            raise SettingError(
                f"this Fabric has {self.count} processes and is not launched; "
                "call fabric.launch() before wgankit.train"
            )
        end_at_exit()

    @property
    def alone(self) -> bool:
        """Whether there is one process only."""
        return self.count == 1

    @torch.no_grad()
    def mean(self, tensors: Sequence[Tensor | None]) -> list[Tensor | None]:
        """Return the means of tensors over the processes, all in one message.

        None stands for no gradient, in all processes alike.
        """
        if self.alone:
            return list(tensors)
        known = [one for one in tensors if one is not None]
        if not known:
            return list(tensors)
        flat = torch.cat([one.reshape(-1) for one in known])
        torch.distributed.all_reduce(flat)
        parts = torch.split(flat / self.count, [one.numel() for one in known])
        pairs = zip(parts, known, strict=True)
        means = (laid_out_as(part.view(one.shape), one) for part, one in pairs)
        return [None if one is None else next(means) for one in tensors]

    def mean_of(self, number: Tensor) -> Tensor:
        """Return the mean of one tensor over the processes."""
        (found,) = self.mean([number])
        return number if found is None else found

    @torch.no_grad()
    def agree(self, *networks: nn.Module) -> None:
        """Give every process the first one's parameters and buffers."""
        if self.alone:
            return
        for network in networks:
            for one in (*network.parameters(), *network.buffers()):
                torch.distributed.broadcast(one.data, 0)

    def gather(self, numbers: Tensor) -> list[Tensor]:
        """Return every process's tensor (of one shape), in the order of their ranks."""
        if self.alone:
            return [numbers]
        here = numbers.to(self.fabric.device)
        parts = [torch.empty_like(here) for _ in range(self.count)]
        torch.distributed.all_gather(parts, here)
        return [part.cpu() for part in parts]

    def wait(self) -> None:
        """Wait until every process is here."""
        if not self.alone:
            torch.distributed.barrier()

    def first_says(self, value: Any) -> Any:
        """Return what the first process passes, in every process."""
        return value if self.alone else self.fabric.broadcast(value)
