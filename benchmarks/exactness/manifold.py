"""Thin data and pictures: what a metric tells the generator, what blurs, what patches measure."""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import Tensor, nn

import wgankit
from benchmarks.exactness.catalogue import Line, at_least, at_most, experiment, holds, near
from benchmarks.mode_problems import cosine
from wgankit import exact
from wgankit.spaces.quadratic import Quadratic

OFFSET = 2.0


def tangential_share(height: float, eps: float, steps: int = 400) -> tuple[float, wgankit.Estimate]:
    """Return the tangential share of a fitted critic's slope at generated points, and its report.

    Real points lie on a line, generated ones beside it at `height`, moved along it by `OFFSET`; a
    unit of length across the line counts `eps`.
    """
    space = Quadratic(torch.diag(torch.tensor([1.0, eps**2])))
    critic = wgankit.Perceptron(2, width=64, depth=2)

    def real(count: int) -> Tensor:
        return torch.stack([OFFSET + torch.rand(count), torch.zeros(count)], 1)

    def fake(count: int) -> Tensor:
        return torch.stack([torch.rand(count), torch.full((count,), height)], 1)

    report = wgankit.fit_critic(critic, real, fake, space=space, steps=steps, pairs=128, rate=5e-3)
    points = fake(1_000).requires_grad_()
    (gradient,) = torch.autograd.grad(critic(points).sum(), points)
    along = gradient * torch.tensor([1.0, 0.0])
    share = space.dual_norm(points, along) / space.dual_norm(points, gradient)
    return float(share.mean()), report


@experiment("27", "Manifold dilemma: how much of the slope leads along the data", quick=True)
def manifold_dilemma(quick: bool) -> Iterator[Line]:
    for eps in (1.0, 0.1):
        for height in (0.5, 2.0, 8.0):
            share, report = tangential_share(height, eps)
            distance = math.hypot(OFFSET, eps * height)
            said = f"eps {eps:g}, height {height:g}"
            yield near(f"{said}: tangential share", OFFSET / distance, share, absolute=0.02)
            yield near(f"{said}: W1", distance, float(report.w1), relative=0.02)


HALF = 0.5


def sharp_pairs(count: int) -> tuple[Tensor, Tensor]:
    """Return pictures of two pixels (y + s, y - s), s = -1/2 or 1/2, and their blurred y."""
    blurred = 2 * torch.rand(count, 1) - 1
    sign = HALF * (2.0 * torch.randint(2, (count, 1)) - 1)
    return torch.cat([blurred + sign, blurred - sign], 1), blurred


class Blurred(wgankit.Latent):
    """A blurred pixel, as the data's, and a normal number."""

    def sample(self, count: int, device: torch.device | str) -> tuple[Tensor, Tensor]:
        return 2 * torch.rand(count, 1, device=device) - 1, torch.randn(count, 1, device=device)


class Sharpen(nn.Module):
    """(blurred, noise) -> (picture, blurred): the condition is handed on to the critic."""

    def __init__(self) -> None:
        super().__init__()
        self.network = wgankit.Perceptron(2, 2, width=64, depth=2)

    def forward(self, latents: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        return self.network(torch.cat(latents, 1)), latents[0]


class JudgePair(nn.Module):
    """(picture, blurred) -> score."""

    def __init__(self) -> None:
        super().__init__()
        self.network = wgankit.Perceptron(3, width=64)

    def forward(self, points: tuple[Tensor, Tensor]) -> Tensor:
        scores: Tensor = self.network(torch.cat(points, 1))
        return scores


def sharpen_by_squares(steps: int) -> nn.Module:
    """Return the network that squared errors teach."""
    network = wgankit.Perceptron(1, 2, width=64, depth=2)
    optimizer = torch.optim.Adam(network.parameters(), lr=2e-3)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    for _ in range(steps):
        sharp, blurred = sharp_pairs(256)
        optimizer.zero_grad()
        (network(blurred) - sharp).square().mean().backward()
        optimizer.step()
        scheduler.step()
    return network


def sharpen_by_game(steps: int, seed: int) -> nn.Module:
    """Return the generator that a conditional Wasserstein game teaches.

    The condition is a part of the point, and a unit of it counts two units of the picture: the
    law of the picture moves by sqrt(2) for a unit of its condition, so that passing mass from one
    condition to another never pays, and W1 is the mean of the conditional ones.
    """
    training = wgankit.train(
        Sharpen(),
        JudgePair(),
        sharp_pairs(20_000),
        space=wgankit.Product(wgankit.Normed(), wgankit.Normed(), weights=(1.0, 2.0)),
        latent=Blurred(),
        penalty=wgankit.Penalty(weight=3.0),
        steps=steps,
        batch=128,
        n_critic=3,
        generator_rate=5e-3,
        critic_rate=5e-3,
        schedule=cosine(steps),
        ema=0.99,
        seed=seed,
        device="cpu",
    )
    for _ in training:
        pass
    return training.average


@experiment("28", "Super-resolution: squared errors blur, a Wasserstein game picks")
def super_resolution(quick: bool) -> Iterator[Line]:
    network = sharpen_by_squares(300)
    with torch.no_grad():
        made = network(sharp_pairs(4_000)[1])
    sharpness = (made[:, 0] - made[:, 1]).abs().mean()
    yield at_most("squared errors: sharpness", 0.1, float(sharpness), exact=0.0)
    for seed in range(1 if quick else 2):
        torch.manual_seed(seed)
        average = sharpen_by_game(900, seed)
        with torch.no_grad():
            made, blurred = average(Blurred().sample(4_000, "cpu"))
        apart = made[:, 0] - made[:, 1]
        error = (made.mean(1) - blurred[:, 0]).abs().mean()
        said = f"WGAN, seed {seed}"
        yield at_least(f"{said}: sharpness", 0.85, float(apart.abs().mean()), exact=1.0)
        positive = float((apart > 0).float().mean())
        yield near(f"{said}: share of positive signs", 0.5, positive, absolute=0.05)
        yield at_most(f"{said}: consistency error", 0.05, float(error), exact=0.0)


def patches(pictures: Tensor, size: int, stride: int) -> Tensor:
    """Return all patches of pictures `(B, n, n)` that wrap around, `(B, P, size^2)`."""
    wrapped = nn.functional.pad(pictures[:, None], (0, size - stride) * 2, mode="circular")
    return nn.functional.unfold(wrapped, size, stride=stride).transpose(1, 2)


class PatchCritic(nn.Module):
    """The mean over a picture's patches of a critic of patches."""

    def __init__(self, inner: nn.Module, size: int, stride: int) -> None:
        super().__init__()
        self.inner, self.size, self.stride = inner, size, stride

    def forward(self, pictures: Tensor) -> Tensor:
        pieces = patches(pictures, self.size, self.stride)
        scores: Tensor = self.inner(pieces.flatten(0, 1))
        return scores.view(pieces.shape[:2]).mean(1)


class Direction(nn.Module):
    """The 1-Lipschitz critic <x, e> with e of length 1 along the diagonal."""

    def forward(self, points: Tensor) -> Tensor:
        return points.sum(1) / math.sqrt(points.shape[1])


class Away(nn.Module):
    """The 1-Lipschitz critic |x - anchor|."""

    def __init__(self, anchor: Tensor) -> None:
        super().__init__()
        self.anchor = anchor

    def forward(self, points: Tensor) -> Tensor:
        distance: Tensor = torch.linalg.vector_norm(points - self.anchor, dim=1)
        return distance


def stripes(count: int, axis: int, period: float) -> Tensor:
    """Return pictures `(count, 12, 12)` of stripes with a random phase."""
    along = torch.arange(12.0) / period
    waves = torch.sin(2 * math.pi * (along + torch.rand(count, 1)))
    pictures = waves[:, None, :].expand(count, 12, 12)
    return pictures if axis else pictures.transpose(1, 2)


@experiment("29", "Patch critics: Lipschitz constant sqrt(k / P), W1 of the patches", quick=True)
def patch_critics(quick: bool) -> Iterator[Line]:
    space = wgankit.Normed()
    here = torch.zeros(64)
    x, y = torch.randn(64, 16, 16).double(), torch.randn(64, 16, 16).double()
    for size, stride in ((4, 4), (4, 2), (8, 2)):
        count, multiplicity = (16 // stride) ** 2, (size // stride) ** 2
        bound = math.sqrt(multiplicity / count)
        said = f"{size} x {size} patches every {stride}"
        flat = PatchCritic(Direction(), size, stride)
        attained = space.slope(flat, x, x, here).max().detach()
        yield near(f"{said}: slope attained", bound, float(attained), absolute=1e-12)
        anchor = torch.randn(size**2).double()
        cones = PatchCritic(Away(anchor), size, stride)
        steepest = space.slope(cones, x, y, here).max().detach()
        met = float(steepest) <= bound * (1 + 1e-12)
        yield holds(f"{said}: cones stay below", met, f"{float(steepest):.4f} <= {bound:.4f}")
    first, second = stripes(80, 0, 6.0), stripes(80, 1, 4.0)
    real, fake = (patches(one, 3, 3).flatten(0, 1) for one in (first, second))
    inner = wgankit.Perceptron(9, width=64, depth=2)
    report = wgankit.fit_critic(inner, real, fake, space=space, steps=600, pairs=256, rate=5e-3)
    truth = exact.w1(space, real, fake)
    yield near("stripes: W1 of patches by a critic", truth, float(report.w1), relative=0.03)
    with torch.no_grad():
        whole = PatchCritic(inner, 3, 3)
        gap = whole(first).mean() - whole(second).mean()
        parts = inner(real).mean() - inner(fake).mean()
    yield near("stripes: gap on pictures = gap on patches", float(parts), float(gap), absolute=1e-5)
