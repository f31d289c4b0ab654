"""The loop: an iterator of steps over any generator, critic and data.

One step is `n_critic` updates of the critic and one of the generator.  Nothing in it asks the
device for a number: figures stay tensors until somebody reads them.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, final

import torch
from torch import Tensor, nn

from wgankit import state as states
from wgankit.batches import Batches
from wgankit.constraint import Constraint, Unconstrained
from wgankit.errors import RunError, SettingError, ShapeError
from wgankit.estimates import Estimate, figures
from wgankit.gradient import CriticLoss, EagerGradient, Seen, critic_gradient
from wgankit.latent import Conditioned, Latent, Normal
from wgankit.objective import Objective, Wasserstein
from wgankit.penalty import Penalty, check_constraint
from wgankit.separate import check_separate
from wgankit.space import (
    MetricSpace,
    Points,
    batch_size,
    check_finite,
    check_points,
    join,
    leaves,
    on_leaves,
    pick,
    to_device,
)
from wgankit.weight import RunningWeight

if TYPE_CHECKING:
    from lightning_fabric import Fabric

FORMAT = 1
"""Number of the state's layout; a state with another number is refused."""


@final
@dataclass(frozen=True)
class Step:
    """What one step did; figures are scalar tensors on the device.

    A step holds on to a batch, so keep its figures (`estimate.row()`) rather than many steps.

    Arguments:
        index: how many steps are done, this one included.
        generator_loss: the objective's generator loss.
        constraint: what keeps the critic 1-Lipschitz.
        real: the real points of the critic's last update of the step.
        seen: what that update saw.
    """

    index: int
    generator_loss: Tensor
    constraint: Constraint
    real: Points
    seen: Seen

    @cached_property
    def estimate(self) -> Estimate:
        """The critic's report on its last update of the step, made up when somebody asks."""
        gap, slopes, weight = self.seen.gap, self.seen.slopes, self.seen.weight
        return figures(gap, slopes, self.constraint, weight, self.real)

    @property
    def w1(self) -> Tensor:
        """The estimate of W1, in units of distance."""
        return self.estimate.w1

    @property
    def gap(self) -> Tensor:
        """The raw gap D of the critic."""
        return self.estimate.gap

    @property
    def penalty(self) -> Tensor:
        """The penalty R without its weight."""
        return self.estimate.penalty

    @property
    def steepest(self) -> Tensor:
        """The largest slope seen."""
        return self.estimate.steepest


def constant(step: int) -> float:
    """Return 1: learning rates stay as they are."""
    return 1.0


def adam(network: nn.Module, rate: float, betas: tuple[float, float]) -> torch.optim.Optimizer:
    """Return the fused Adam of a network (4 times as fast as the default on a CPU)."""
    momenta = (float(betas[0]), float(betas[1]))
    return torch.optim.Adam(network.parameters(), lr=float(rate), betas=momenta, fused=True)


@final
class Training(Iterator[Step]):
    """A training under way: iterate over it for steps; its state saves and resumes.

    Made by `wgankit.train`, whose arguments it takes.  `average` is the generator with averaged
    weights, the one to sample from.
    """

    def __init__(
        self,
        generator: nn.Module,
        critic: nn.Module,
        data: Points,
        *,
        space: MetricSpace,
        latent: Latent,
        penalty: Constraint,
        objective: Objective,
        steps: int | None,
        batch: int,
        n_critic: int,
        generator_optimizer: torch.optim.Optimizer,
        critic_optimizer: torch.optim.Optimizer,
        schedule: Callable[[int], float],
        ema: float,
        prepare: Callable[[Points], Points] | None,
        noise: Callable[[Points], Points] | None,
        content: Callable[[Points, Points], Tensor] | None,
        seed: int,
        fabric: Fabric,
        compile: bool | str,
    ) -> None:
        self.space, self.latent, self.penalty, self.objective = space, latent, penalty, objective
        self.steps, self.batch, self.n_critic, self.ema = steps, batch, n_critic, ema
        self.schedule, self.prepare, self.noise, self.content = schedule, prepare, noise, content
        self.fabric = fabric
        self.device = fabric.device
        self.average = copy.deepcopy(generator).to(self.device).requires_grad_(False).eval()
        self.generator, self.generator_optimizer = fabric.setup(generator, generator_optimizer)
        self.critic, self.critic_optimizer = fabric.setup(critic, critic_optimizer)
        plain = passes_through(fabric)
        self.score = self.critic.module if plain else self.critic
        self.make = self.generator.module if plain else self.generator
        self.improve = critic_gradient(
            EagerGradient(CriticLoss(self.score, space, penalty, objective), fabric.backward),
            compile,
            updates=None if steps is None else steps * n_critic,
            device=self.device,
            plain=plain,
        )
        self.rates = [
            [group["lr"] for group in optimizer.param_groups]
            for optimizer in (self.generator_optimizer, self.critic_optimizer)
        ]
        self.index = 0
        with states.seeded(seed, self.device):
            self.batches = Batches(to_device(data, self.device), batch)
            self.weight = RunningWeight(space, penalty, self.device)
            self._check()
            self.rng = states.read_rng(self.device)

    # ---- iterating ----------------------------------------------------------------------------

    def __next__(self) -> Step:
        """Do one step, on random numbers of this training's own."""
        if self.steps is not None and self.index >= self.steps:
            raise StopIteration
        with self._own_random_numbers():
            self._set_rates()
            real, seen = self._improve_critic()
            loss = self._improve_generator()
        self.index += 1
        return Step(self.index, loss, self.penalty, real, seen)

    def _improve_critic(self) -> tuple[Points, Seen]:
        """Update the critic n_critic times, on points that were all drawn at once."""
        points = self._draw(self.n_critic)
        with torch.no_grad():
            fakes = self._disturb(self.make(self._latents(points)))
            reals = self._disturb(points)
        for turn in range(self.n_critic):
            rows = slice(turn * self.batch, (turn + 1) * self.batch)
            real = pick(reals, rows)
            seen = self._critic_update(real, pick(fakes, rows))
        return real, seen

    def _critic_update(self, real: Points, fake: Points) -> Seen:
        seen = self.improve(real, fake, self.weight.scale)
        self.critic_optimizer.step()
        self.penalty.enforce(self.critic)
        self.weight.scale = seen.scale
        return seen

    def _improve_generator(self) -> Tensor:
        beside = self._draw() if self.content or isinstance(self.latent, Conditioned) else None
        self.critic.requires_grad_(False)
        made = self.make(self._latents(beside))
        loss = self.objective.generator(
            self.score(self._disturb(made)),
            lambda: self.score(self._disturb(self._draw() if beside is None else beside)),
        )
        if self.content and beside is not None:
            loss = loss + self.content(made, beside)
        self.generator_optimizer.zero_grad(set_to_none=True)
        self.fabric.backward(loss)
        self.critic.requires_grad_(True)
        self.generator_optimizer.step()
        self._average()
        return loss.detach()

    @torch.no_grad()
    def _average(self) -> None:
        """Move the averaged generator towards the present one; slowly only after a warm-up."""
        decay = min(self.ema, (1 + self.index) / (10 + self.index))
        mine: list[Tensor] = list(self.average.parameters())
        present: list[Tensor] = list(self.generator.parameters())
        torch._foreach_lerp_(mine, present, 1 - decay)
        for kept, new in zip(self.average.buffers(), self.generator.buffers(), strict=True):
            kept.copy_(new)

    def _draw(self, batches: int = 1) -> Points:
        stored = self.batches.draw(batches)
        return self.prepare(stored) if self.prepare else stored

    def _latents(self, real: Points | None) -> Points:
        """Return latents for as many points (or a batch), beside these where conditions count."""
        if isinstance(self.latent, Conditioned) and real is not None:
            return self.latent.beside(real)
        return self.latent.sample(self.batch if real is None else batch_size(real), self.device)

    def _disturb(self, points: Points) -> Points:
        return self.noise(points) if self.noise else points

    # ---- state ----------------------------------------------------------------------------------

    def state_dict(self) -> dict[str, Any]:
        """Return all that the next step depends on."""
        return {
            "format": FORMAT,
            "index": self.index,
            "generator": self.generator.state_dict(),
            "critic": self.critic.state_dict(),
            "average": self.average.state_dict(),
            "generator_optimizer": self.generator_optimizer.state_dict(),
            "critic_optimizer": self.critic_optimizer.state_dict(),
            "batches": self.batches.state_dict(),
            "scale": self.weight.scale,
            "rng": self.rng,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a state of a training with the same networks and settings."""
        if state.get("format") != FORMAT:
            raise RunError(
                f"this state has layout {state.get('format')}, and this version of wgankit "
                f"reads layout {FORMAT}; go on with the version that wrote it"
            )
        try:
            for name in ("generator", "critic", "average"):
                getattr(self, name).load_state_dict(state[name])
        except RuntimeError as error:
            raise RunError(f"the state belongs to other networks: {error}") from error
        self.generator_optimizer.load_state_dict(state["generator_optimizer"])
        self.critic_optimizer.load_state_dict(state["critic_optimizer"])
        self.batches.load_state_dict(state["batches"])
        self.index = state["index"]
        self.weight.scale = state["scale"].to(self.device)
        self.rng = state["rng"]

    def save(self, path: Path | str) -> None:
        """Write the state to a file, atomically."""
        states.save(self.state_dict(), path)

    def load(self, path: Path | str) -> None:
        """Go on from a saved state: the next steps are those of a run that never stopped."""
        self.load_state_dict(states.load(path))

    # ---- the rest -------------------------------------------------------------------------------

    @contextmanager
    def _own_random_numbers(self) -> Iterator[None]:
        """Let a step draw from this training's own stream, whatever its caller draws."""
        callers = states.read_rng(self.device)
        states.set_rng(self.rng, self.device)
        try:
            yield
            self.rng = states.read_rng(self.device)
        finally:
            states.set_rng(callers, self.device)

    def _set_rates(self) -> None:
        factor = self.schedule(self.index)
        optimizers = (self.generator_optimizer, self.critic_optimizer)
        for optimizer, rates in zip(optimizers, self.rates, strict=True):
            for group, rate in zip(optimizer.param_groups, rates, strict=True):
                group["lr"] = rate * factor

    @torch.no_grad()
    def _check(self) -> None:
        """Run everything once on two points: misfits are named before hours of training."""
        stored = pick(self.batches.points, slice(0, 2))
        real = self.prepare(stored) if self.prepare else stored
        check_finite(self.batches.points, "data")
        check_points(self.space, real, "data")
        check_constraint(self.space, self.penalty, self.objective)
        fake = self.average(self._latents(real))
        check_fake(real, fake)
        points = join(self._disturb(real), self._disturb(fake))
        scores = self.critic(points)
        if scores.shape != (2 * batch_size(real),):
            raise ShapeError(
                "the critic must return one score for each point, "
                f"shape ({2 * batch_size(real)},); got {tuple(scores.shape)}"
                + ("; end its forward with .squeeze(-1)" if scores.dim() == 2 else "")
            )
        if not isinstance(self.penalty, Unconstrained):
            check_separate(self.critic, points)


def passes_through(fabric: Fabric) -> bool:
    """Return whether Fabric does nothing around a network's forward: one process and precision."""
    from lightning_fabric.plugins.precision import Precision
    from lightning_fabric.strategies.single_device import SingleDeviceStrategy

    strategy = fabric.strategy
    return type(strategy) is SingleDeviceStrategy and type(strategy.precision) is Precision


def latent_of(generator: nn.Module) -> Latent:
    """Return normal vectors as long as the generator's first linear layer wants them.

    Raises:
        SettingError: if the generator has no linear layer to ask.
    """
    for layer in generator.modules():
        if isinstance(layer, nn.Linear):
            return Normal(layer.in_features)
    raise SettingError(
        "the generator has no linear layer that tells the length of its latent vectors; "
        "say it: train(..., latent=wgankit.Normal(64))"
    )


def check_fake(real: Points, fake: Points) -> None:
    """Raise `ShapeError` unless generated points look like real ones."""
    mine = [(tuple(part.shape), str(part.dtype)) for part in leaves(fake)]
    wanted = [(tuple(part.shape), str(part.dtype)) for part in leaves(real)]
    if mine != wanted:
        raise ShapeError(
            f"the generator must return points like the data's: {wanted}; it returned {mine}"
        )
    finite = [bool(torch.isfinite(part).all()) for part in leaves(fake)]
    if not all(finite):
        raise ShapeError("the generator returns NaN or infinite numbers before any training")


def train(
    generator: nn.Module,
    critic: nn.Module,
    data: Points,
    *,
    space: MetricSpace,
    latent: Latent | None = None,
    penalty: Constraint | None = None,
    objective: Objective | None = None,
    steps: int | None = None,
    batch: int = 64,
    n_critic: int = 5,
    generator_rate: float = 1e-4,
    critic_rate: float = 1e-4,
    betas: tuple[float, float] = (0.0, 0.9),
    generator_optimizer: torch.optim.Optimizer | None = None,
    critic_optimizer: torch.optim.Optimizer | None = None,
    schedule: Callable[[int], float] = constant,
    ema: float = 0.999,
    prepare: Callable[[Points], Points] | None = None,
    noise: Callable[[Points], Points] | None = None,
    content: Callable[[Points, Points], Tensor] | None = None,
    seed: int = 0,
    device: str = "auto",
    precision: str = "32-true",
    fabric: Fabric | None = None,
    resume: Path | str | None = None,
    compile: bool | str = False,
) -> Training:
    """Train a generator against a critic; returns an iterator of steps.

    Arguments:
        generator: latent batch -> batch of points.
        critic: batch of points -> scores `(B,)`; each score depends on its own point only.
        data: the real points, as one batch; it is moved to the device whole.
        space: the metric space of the points.
        latent: the law of the generator's input, such as `Normal(64)`; by default normal vectors
            as long as the generator's first linear layer wants them.
        penalty: what keeps the critic 1-Lipschitz: a `Penalty` (the default), or another
            `Constraint`: `ByConstruction()` for critics that cannot be steeper, `Clipping(0.01)`,
            `Unconstrained()` for the classical game.
        objective: `Wasserstein()` by default; `JensenShannon()`, `Relativistic()`, or your own.
        steps: where to end (counted from the very beginning, also after a resume); None goes on
            until the caller breaks out of the loop.
        batch: points in a batch.
        n_critic: critic updates for each generator update.
        generator_rate: learning rate of the generator's Adam, unless an optimiser is given.
        critic_rate: learning rate of the critic's.
        betas: their momenta.
        generator_optimizer: an optimiser of the generator's parameters, to replace Adam.
        critic_optimizer: an optimiser of the critic's parameters.
        schedule: factor on the learning rates at each step.
        ema: decay of the averaged generator `Training.average`, in [0, 1).
        prepare: stored batch -> batch of points, run on the device for every batch.
        noise: a random map that real and generated points alike pass before the critic sees them
            (instance noise; Sonderby et al., 2017), differentiable.  One that brings no two points
            further apart never increases W1, and `Step.w1` is then of the disturbed laws.
        content: (generated points, real points) -> a scalar that the generator minimises besides
            the objective's loss, such as the squared error of a restored picture; the real points
            are those that a `Conditioned` latent was drawn beside.
        seed: of batches, latents and penalty points; the networks are initialised by the caller.
        device: "auto", "cpu", "cuda", ...: whatever Lightning Fabric calls an accelerator.
        precision: Fabric's name of a precision.
        fabric: a Fabric of your own, which replaces `device` and `precision`.
        resume: a file that `Training.save` wrote; the steps go on as if never stopped.
        compile: True compiles the critic's update (6 to 90 seconds of CPU time once, then small
            critics are about twice as fast and large ones a little); "auto" does so in runs of
            at least `wgankit.gradient.WORTHWHILE` critic updates where a C++ compiler (on a GPU:
            Triton) is at hand.  What cannot be compiled, draws random numbers (dropout), has
            another constraint than a `Penalty`, or disagrees with the update as written on the
            first batch runs as written, with a `CompileWarning`.  Off by default: compiled figures
            differ from others in their last digits, and from one machine to another.

    Returns:
        A `Training`: iterate over it; `.average` is the generator to sample from; `.save(path)`.
    """
    from lightning_fabric import Fabric

    if batch < 1 or n_critic < 1:
        raise SettingError(f"batch and n_critic are at least 1; got {batch} and {n_critic}")
    if not 0 <= ema < 1:
        raise SettingError(f"ema is a decay in [0, 1), such as 0.999; got {ema}")
    training = Training(
        generator,
        critic,
        on_leaves(torch.Tensor.contiguous, data),
        space=space,
        latent=latent or latent_of(generator),
        penalty=penalty or Penalty(),
        objective=objective or Wasserstein(),
        steps=steps,
        batch=batch,
        n_critic=n_critic,
        generator_optimizer=generator_optimizer or adam(generator, generator_rate, betas),
        critic_optimizer=critic_optimizer or adam(critic, critic_rate, betas),
        schedule=schedule,
        ema=ema,
        prepare=prepare,
        noise=noise,
        content=content,
        seed=seed,
        fabric=fabric or Fabric(accelerator=device, devices=1, precision=precision),  # type: ignore[arg-type]
        compile=compile,
    )
    if resume is not None:
        training.load(resume)
    return training
