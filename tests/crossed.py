"""Steps on a device that computes nothing, to see what they would carry to a GPU."""

import torch

import wgankit
from wgankit.crossings import Crossings


def crossings(training):
    """Return what a step of a training would carry to a device, on one that computes nothing."""
    iteration = training.iteration
    stored = wgankit.space.pick(training.batches.points, slice(0, 2 * training.batch))
    stored = wgankit.space.to_device(stored, torch.device("meta"))
    training.generator.to("meta")
    training.critic.to("meta")
    iteration.device, scale = torch.device("meta"), torch.full((), 1.0, device="meta")

    def step():
        real, fake = iteration.points(stored)
        iteration.criticise(real, fake, scale)
        training.penalty.enforce(training.critic)
        iteration.improve(stored if iteration.looks else None)

    step()  # constants are carried there once, before anything is captured
    with Crossings(iteration.device) as crossed:
        step()
    return crossed.seen
