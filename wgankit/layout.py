"""Where the channels of pictures lie: a CPU is quicker at convolutions when they lie last."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

CONVOLUTIONS = (nn.Conv2d, nn.ConvTranspose2d)


def let_channels_lie_last(networks: list[nn.Module], trial: Callable[[], object]) -> None:
    """Lay out the weights of networks' convolutions so that what they return has channels last.

    Shapes and numbers stay as they are, and only strides change.  Networks that depend on strides,
    by `x.view(len(x), -1)` after a convolution, say, fail in the trial and are left alone.

    Arguments:
        networks: on a CPU; others are left alone.
        trial: runs all that training will run.
    """
    weights = [weight for network in networks for weight in convolution_weights(network)]
    if not weights or any(weight.device.type != "cpu" for weight in weights):
        return
    lay_out(weights, torch.channels_last)
    try:
        trial()
    except RuntimeError:
        lay_out(weights, torch.contiguous_format)


def convolution_weights(network: nn.Module) -> list[nn.Parameter]:
    """Return the weights of a network's two-dimensional convolutions."""
    layers = [one for one in network.modules() if isinstance(one, CONVOLUTIONS)]
    plain = [one.weight for one in layers if not parametrize.is_parametrized(one, "weight")]
    return [weight for weight in plain if isinstance(weight, nn.Parameter)]


def lay_out(weights: list[nn.Parameter], form: torch.memory_format) -> None:
    """Give parameters other strides; they stay the same objects."""
    for weight in weights:
        weight.data = weight.data.contiguous(memory_format=form)


def laid_out_as(tensor: Tensor, like: Tensor) -> Tensor:
    """Return a tensor with the strides of another one of its shape."""
    if tensor.shape != like.shape or tensor.stride() == like.stride():
        return tensor
    return torch.empty_like(like, dtype=tensor.dtype).copy_(tensor)


def lay_out_state(optimizer: torch.optim.Optimizer) -> None:
    """Give an optimiser's state the strides of its parameters, whatever those it was saved with."""
    for parameter, state in optimizer.state.items():
        for name, kept in state.items():
            if isinstance(kept, Tensor):
                state[name] = laid_out_as(kept, parameter)
