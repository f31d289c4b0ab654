"""Laws with separate modes, what is counted on their samples, and the runs compared on them."""

from __future__ import annotations

import functools
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import torch
from torch import Tensor

import wgankit
from wgankit import exact
from wgankit.state import seeded

PROTOCOL = 2_500
"""Samples evaluated, as in the experiments of PacGAN (Lin et al., 2018, section 4.1)."""

SIZE, DRAWS = 1_000, 48
"""Points on each side of a W1 of samples, and how many such W1 are averaged.

Shares of modes vary from draw to draw, and W1 with them: this many draws leave 4 % of noise.
"""


@dataclass(frozen=True)
class Modes:
    """Equal round normals in the plane.

    Arguments:
        name: what tables call it.
        centres: of the modes, `(K, 2)`.
        spread: standard deviation of each along each axis.
    """

    name: str
    centres: Tensor
    spread: float

    def draw(self, count: int) -> Tensor:
        """Return points of the law, `(count, 2)`."""
        centres = self.centres[torch.randint(len(self.centres), (count,))]
        return centres + self.spread * torch.randn(count, 2)

    @property
    def floor(self) -> float:
        """Mean W1 between two samples of the law, of `SIZE` points each."""
        return floor(self.draw, SIZE)


def grid() -> Modes:
    """Return 25 modes of spread 0.05, two apart, on a square grid (PacGAN's 2D-grid)."""
    axis = torch.arange(-4.0, 5.0, 2.0)
    return Modes("grid of 25", torch.cartesian_prod(axis, axis), 0.05)


def ring() -> Modes:
    """Return 8 modes of spread 0.01 on the unit circle (PacGAN's 2D-ring)."""
    angle = torch.arange(8) * (math.pi / 4)
    return Modes("ring of 8", torch.stack([angle.cos(), angle.sin()], 1), 0.01)


LINES = torch.arange(-4.0, 5.0, 2.0)


def draw_lines(count: int) -> Tensor:
    """Return points `(count, 2)` on five parallel lines of length 2, two apart."""
    across = LINES[torch.randint(len(LINES), (count,))]
    return torch.stack([across, 2 * torch.rand(count) - 1], 1)


def nearest_shares(points: Tensor, centres: Tensor) -> Tensor:
    """Return the share of points to which each centre `(K, n)` is the nearest, `(K,)`."""
    nearest = torch.cdist(points, centres).argmin(1)
    return torch.bincount(nearest, minlength=len(centres)) / len(points)


def lines_covered(points: Tensor) -> tuple[int, Tensor]:
    """Return how many lines get at least half of their due of one fifth, and all shares `(5,)`."""
    shares = nearest_shares(points[:, :1], LINES[:, None])
    return int((shares >= 0.5 / len(LINES)).sum()), shares


@dataclass(frozen=True)
class Coverage:
    """What the PacGAN protocol counts on a sample.

    Arguments:
        modes: how many modes have a hit, a point within 3 standard deviations.
        quality: share of points that are hits.  Of the law itself 1 - exp(-9/2) = 0.989 are.
        kl: Kullback-Leibler divergence of the modes' shares among the hits from equal shares, in
            nats; of K modes seen in n hits of the law itself about (K - 1) / (2 n).
    """

    modes: int
    quality: float
    kl: float


def coverage(problem: Modes, points: Tensor) -> Coverage:
    """Count modes, hits and balance of a sample `(n, 2)`; without a hit, kl is infinite."""
    distance, nearest = torch.cdist(points, problem.centres).min(1)
    hit = distance <= 3 * problem.spread
    counts = torch.bincount(nearest[hit], minlength=len(problem.centres)).double()
    if not bool(hit.any()):
        return Coverage(0, 0.0, math.inf)
    shares = counts[counts > 0] / counts.sum()
    kl = float((shares * (shares * len(counts)).log()).sum())
    return Coverage(int((counts > 0).sum()), float(hit.float().mean()), max(kl, 0.0))


@dataclass(frozen=True)
class Outcome:
    """A trained generator's figures.

    Arguments:
        coverage: by the protocol.
        w1: mean exact W1 between samples of the generator and of the law.
        floor: mean exact W1 between two such samples of the law.
        points: the sample evaluated by the protocol.
        seconds: processor time of the training alone.
    """

    coverage: Coverage
    w1: float
    floor: float
    points: Tensor
    seconds: float


Sampler = Callable[[int], Tensor]


def mean_w1(law: Sampler, generated: Sampler, *, size: int, draws: int) -> float:
    """Return exact W1 between `size` points of each of two laws, the mean over `draws` draws."""
    plane = wgankit.Normed()
    return sum(exact.w1(plane, law(size), generated(size)) for _ in range(draws)) / draws


@functools.cache
def floor(law: Sampler, size: int) -> float:
    """Return what sampling alone costs: `exact.floor` of a law, the mean over `DRAWS` draws.

    One draw varies by a third of itself, so it is measured once and well, from a seed of its own.
    """
    with seeded(0):
        plane = wgankit.Normed()
        return sum(exact.floor(plane, law(2 * size)) for _ in range(DRAWS)) / DRAWS


def cosine(steps: int) -> Callable[[int], float]:
    """Return the factor on the rates at each of `steps` steps, from 1 to 0."""
    return lambda index: 0.5 * (1 + math.cos(math.pi * index / steps))


def sampler(training: wgankit.Training) -> Sampler:
    """Return the averaged generator of a training as count -> points."""

    @torch.no_grad()
    def sample(count: int) -> Tensor:
        points: Tensor = training.average(training.latent.sample(count, "cpu"))
        return points

    return sample


APART = {"grid of 25": 60.0, "ring of 8": 100.0}
"""Width of the codes' places at the start in noise lengths: about mode distance / mode spread."""

PLACE_RATE = {"grid of 25": 0.2 / 60, "ring of 8": 2.0 / 100}
"""Learning rate of the places, in units of their width."""


Made: TypeAlias = tuple[wgankit.Latent, torch.nn.Module, torch.optim.Optimizer]
"""A latent, its generator, and the generator's optimiser."""


def mixture(problem: Modes) -> Made:
    """Return a latent of 100 codes, its generator and its optimiser.

    Places have further to go than weights, so they get a larger rate.
    """
    apart = APART[problem.name]
    latent = wgankit.MixtureLatent(100, 16)
    network = wgankit.Perceptron(16, 2, width=64, depth=2)
    generator = wgankit.MixtureGenerator(latent, network, apart=apart)
    places: dict[str, Any] = {
        "params": generator.places.parameters(),
        "lr": PLACE_RATE[problem.name],
    }
    rest = {"params": network.parameters(), "lr": 1e-3}
    optimizer = torch.optim.Adam([places, rest], betas=(0.0, 0.9))
    return latent, generator, optimizer


def ordinary(problem: Modes) -> Made:
    """Return the same network under the usual normal latent."""
    network = wgankit.Perceptron(16, 2, width=64, depth=2)
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-3, betas=(0.0, 0.9))
    return wgankit.Normal(16), network, optimizer


def cover(problem: Modes, *, by: Callable[[Modes], Made], steps: int, seed: int) -> Outcome:
    """Train a generator on a problem and evaluate it.

    Arguments:
        problem: the law.
        by: `mixture` or `ordinary`.
        steps: generator updates, each after three of the critic.
        seed: of everything.
    """
    with seeded(seed):
        latent, generator, optimizer = by(problem)
        critic = wgankit.Perceptron(2)
        data = problem.draw(100_000)
        start = time.process_time()
        training = wgankit.train(
            generator,
            critic,
            data,
            space=wgankit.Normed(),
            latent=latent,
            penalty=wgankit.Penalty(weight=3.0),
            steps=steps,
            batch=256,
            n_critic=3,
            generator_optimizer=optimizer,
            critic_rate=2e-3,
            schedule=cosine(steps),
            ema=0.99,
            seed=seed,
            device="cpu",
        )
        for _ in training:
            pass
        seconds = time.process_time() - start
        sample = sampler(training)
        points = sample(PROTOCOL)
        w1 = mean_w1(problem.draw, sample, size=SIZE, draws=DRAWS)
    return Outcome(coverage(problem, points), w1, problem.floor, points, seconds)


def share_on_lines(points: Tensor) -> float:
    """Return the share of points within a quarter of a line; 0.25 if spread evenly between them."""
    return float(((points[:, :1] - LINES).abs().amin(1) <= 0.25).float().mean())


@dataclass(frozen=True)
class LinesOutcome:
    """A generator of parallel lines.

    Arguments:
        covered: lines that get half of their due or more.
        shares: share of points to which each line is the nearest.
        on_lines: share of points within a quarter of a line.
        w1: mean exact W1 to the law.
        floor: mean exact W1 between two samples of the law.
    """

    covered: int
    shares: Tensor
    on_lines: float
    w1: float
    floor: float


def learn_lines(*, seed: int, **game: Any) -> LinesOutcome:
    """Train a generator of the five lines.

    Arguments:
        seed: of everything.
        game: what `wgankit.train` is told of the game, such as `objective` and `penalty`; all else
            is the same for every game.
    """
    steps, rate = 900, 1e-2
    with seeded(seed):
        generator = wgankit.Perceptron(2, 2, width=64)
        critic = wgankit.Perceptron(2, width=64)
        training = wgankit.train(
            generator,
            critic,
            draw_lines(50_000),
            space=wgankit.Normed(),
            steps=steps,
            generator_rate=rate,
            critic_rate=rate,
            schedule=cosine(steps),
            ema=0.99,
            seed=seed,
            device="cpu",
            **game,
        )
        for _ in training:
            pass
        sample = sampler(training)
        points = sample(2_000)
        covered, shares = lines_covered(points)
        w1 = mean_w1(draw_lines, sample, size=SIZE, draws=DRAWS)
    on_lines = share_on_lines(points)
    return LinesOutcome(covered, shares, on_lines, w1, floor(draw_lines, SIZE))
