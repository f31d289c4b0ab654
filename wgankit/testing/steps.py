"""Whether steps of a training stay on their device, looked at where there is no GPU."""

from __future__ import annotations

import torch

from wgankit.compiled import first_line
from wgankit.crossings import Crossings
from wgankit.space import pick, to_device
from wgankit.training import Training


def check_steps(training: Training) -> None:
    """Check that nothing passes between host and device in a step, so that a GPU can capture it.

    The step is done on torch's "meta" device, which knows shapes and computes nothing.

    Arguments:
        training: as `wgankit.train` or `Recipe.training` return it, on the CPU.  It is spent: its
            networks lie on that device afterwards.

    Raises:
        AssertionError: what a network, the space, the penalty, `prepare`, `noise`, `content` or the
            latent does asks for a number, or carries numbers to the device; it says by which
            operation.
    """
    iteration, device = training.iteration, torch.device("meta")
    stored = to_device(pick(training.batches.points, slice(0, 2 * training.batch)), device)
    training.generator.to(device)
    training.critic.to(device)
    iteration.device, scale = device, torch.full((), 1.0, device=device)

    def step() -> None:
        real, fake = iteration.points(stored)
        iteration.criticise(real, fake, scale)
        training.penalty.enforce(training.critic)
        iteration.improve(stored if iteration.looks else None)

    try:
        step()  # constants are carried there once, before anything is captured
        with Crossings(device) as crossings:
            step()
    except (RuntimeError, NotImplementedError) as error:
        raise AssertionError(
            f"a step cannot do without the numbers in its tensors: {first_line(error)}"
        ) from error
    if crossings.seen:
        raise AssertionError(f"in a step {'; '.join(dict.fromkeys(crossings.seen))}")
