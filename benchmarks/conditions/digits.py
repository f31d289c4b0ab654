"""Handwritten digits, and generators of them under a class."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

import wgankit
from wgankit import Penalty
from wgankit.errors import MissingPackageError
from wgankit.settings import schedule_named
from wgankit.space import Points
from wgankit_labels import (
    ConditionedCritic,
    ConditionedGenerator,
    ConditionedLatent,
    EachCondition,
    GroupSampler,
    beside,
    split,
)


@dataclass(frozen=True)
class Digits:
    """Pictures of handwritten digits, 8 x 8, as vectors with entries in [0, 1]."""

    pictures: Tensor
    digits: Tensor

    def shuffled(self, seed: int) -> Digits:
        """Return them in another order."""
        order = torch.randperm(len(self.digits), generator=torch.Generator().manual_seed(seed))
        return Digits(self.pictures[order], self.digits[order])

    def __getitem__(self, index: Any) -> Digits:
        return Digits(self.pictures[index], self.digits[index])

    def points(self, classes: int) -> Points:
        """Return the pictures with their digits, one-hot."""
        return beside(self.pictures, nn.functional.one_hot(self.digits, classes).float())


def digits() -> Digits:
    """Return the 1,797 digits that come with scikit-learn."""
    try:
        found = importlib.import_module("sklearn.datasets").load_digits()
    except ImportError as error:
        raise MissingPackageError(
            "the digits come with scikit-learn: pip install scikit-learn"
        ) from error
    return Digits(torch.tensor(found.data / 16).float(), torch.tensor(found.target).long())


class Ink(nn.Module):
    """Latent vectors -> pictures with entries in [0, 1]."""

    def __init__(self) -> None:
        super().__init__()
        self.network = wgankit.Perceptron(32, 64, width=128, depth=2)

    def forward(self, latents: Tensor) -> Tensor:
        return torch.sigmoid(self.network(latents))


@dataclass(frozen=True)
class Painter:
    """A generator of pictures under a class, and the critic it was trained against.

    Arguments:
        generator: latents with classes -> pictures with classes.
        latent: the law of its latents.
        critic: the critic.
        weight: the last lambda of its penalty.
    """

    generator: nn.Module
    latent: ConditionedLatent
    critic: nn.Module
    weight: float

    @torch.no_grad()
    def beside(self, real: Points) -> Points:
        """Return a generated picture for each real one, of its class."""
        made: Points = self.generator(self.latent.beside(real))
        return made


def painter(
    data: Points,
    *,
    steps: int,
    seed: int,
    sampler: GroupSampler | None = None,
    penalty: Penalty | None = None,
    watch: Callable[[int, wgankit.Training], None] | None = None,
) -> Painter:
    """Return a generator trained on pictures with classes.

    Arguments:
        data: the pictures with one-hot classes.
        steps: of the generator.
        seed: of everything.
        sampler: draws the batches, in shares of its own.
        penalty: one-sided, in the mean over all points, by default.
        watch: called with the step and the training after each.
    """
    torch.manual_seed(seed)
    classes, latent = split(data)[1], wgankit.Normal(32)
    law, size = ConditionedLatent(latent, classes), classes.shape[1]
    training = wgankit.train(
        ConditionedGenerator(Ink(), latent, size),
        ConditionedCritic(wgankit.Perceptron(64, width=128, depth=2), size),
        sampler.places if sampler else data,
        prepare=sampler,
        space=EachCondition(wgankit.Normed()),
        latent=law,
        penalty=penalty,
        steps=steps,
        batch=64,
        n_critic=2,
        generator_rate=2e-3,
        critic_rate=4e-3,
        ema=0.995,
        schedule=schedule_named("linear", steps),
        seed=seed,
        device="cpu",
    )
    for step in training:
        if watch:
            watch(step.index, training)
    return Painter(training.average.eval(), law, training.critic, float(step.estimate.weight))
