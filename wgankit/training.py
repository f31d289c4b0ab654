"""The loop: an iterator of steps over any generator, critic and data.

One step is `n_critic` updates of the critic and one of the generator.  Nothing in it asks the
device for a number: figures stay tensors until somebody reads them.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, final

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from wgankit import state as states
from wgankit.adam import adam
from wgankit.batches import Batches
from wgankit.captured import Body, Captured, can_be_captured
from wgankit.compiled import untouched
from wgankit.constraint import Constraint, Unconstrained
from wgankit.errors import RunError, SettingError, ShapeError
from wgankit.estimates import Estimate, figures
from wgankit.execution import AsWritten, Average, Player, execution_of
from wgankit.iteration import Iteration, Network, precision_named
from wgankit.latent import Latent, Normal
from wgankit.layout import lay_out_state, let_channels_lie_last
from wgankit.loss import CriticLoss, Seen
from wgankit.objective import Objective, Wasserstein
from wgankit.penalty import Penalty, check_constraint
from wgankit.processes import Processes
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

if TYPE_CHECKING:
    from lightning_fabric import Fabric

FORMAT = 2
"""Number of the state's layout; a state with another number is refused."""


LOOK_AGAIN = 1_000
"""Steps after which traced and captured code is compared with what the networks do now: one whose
settings were changed meanwhile must not go on as it was.  Before that, when the number of steps has
doubled, because what changes all the time has changed by then; where steps are captured always so,
because they are short, and to capture them anew takes as long as hundreds of them."""

RANKS_APART = 1_000_003
"""Between the seeds of processes that train together."""


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
        generator_optimizer: Optimizer | None,
        critic_optimizer: Optimizer | None,
        rates: tuple[float, float],
        betas: tuple[float, float],
        schedule: Callable[[int], float],
        ema: float,
        prepare: Callable[[Points], Points] | None,
        noise: Callable[[Points], Points] | None,
        content: Callable[[Points, Points], Tensor] | None,
        seed: int,
        fabric: Fabric,
        precision: str,
        compile: bool | str,
        capture: bool | str,
    ) -> None:
        self.space, self.latent, self.penalty, self.objective = space, latent, penalty, objective
        self.steps, self.batch, self.n_critic, self.ema = steps, batch, n_critic, ema
        self.schedule, self.prepare, self.noise = schedule, prepare, noise
        self.device, self.processes = fabric.device, Processes(fabric)
        self.average = copy.deepcopy(generator).to(self.device).requires_grad_(False).eval()
        self.generator, self.critic = generator.to(self.device), critic.to(self.device)
        self.processes.agree(self.average, self.generator, self.critic)
        self.generator_optimizer = generator_optimizer or adam(
            generator, rates[0], betas, self.device
        )
        self.critic_optimizer = critic_optimizer or adam(critic, rates[1], betas, self.device)
        low = precision_named(precision)
        score, make = Network(self.critic, low), Network(self.generator, low)
        mean = None if self.processes.alone else self.processes.mean_of
        self.iteration = Iteration(
            make, score, CriticLoss(score, space, penalty, objective, mean), objective,
            latent, prepare, noise, content, batch, self.device,
        )  # fmt: skip
        self.players = (
            Player(self.generator, self.generator_optimizer, self.processes),
            Player(self.critic, self.critic_optimizer, self.processes),
        )
        self.averaging = Average(self.average, self.generator)
        self.execution = execution_of(
            AsWritten(self.iteration, *self.players, self.averaging),
            compile,
            updates=None if steps is None else steps * n_critic,
            processes=self.processes,
        )
        self.captured = captured_if(capture, self._step, self)
        self.index = 0
        self.scale = torch.full((), float("nan"), device=self.device)
        rank, count = self.processes.rank, self.processes.count
        self.batches = Batches(
            data, batch, device=self.device, seed=seed, rank=rank, processes=count
        )
        self.randomness = states.Randomness(seed + rank * RANKS_APART, self.device)
        with self.randomness.used():
            self._check()
            self._lay_out()

    # ---- iterating ----------------------------------------------------------------------------

    def __next__(self) -> Step:
        """Do one step, on random numbers of this training's own."""
        if self.steps is not None and self.index >= self.steps:
            raise StopIteration
        if self.index and self._is_due():
            self._look_again()
        with self.randomness.used():
            self._set_rates()
            stored = self.batches.draw(self.n_critic)
            beside = self.batches.draw() if self.iteration.looks else None
            real, seen, loss = (self.captured or self._step)(stored, beside)
        self.index += 1
        return Step(self.index, loss, self.penalty, real, seen)

    def _step(self, stored: Points, beside: Points | None) -> tuple[Points, Seen, Tensor]:
        """Update the critic n_critic times on points that were all drawn at once; then play."""
        reals, fakes = self.execution.points(stored)
        for turn in range(self.n_critic):
            rows = slice(turn * self.batch, (turn + 1) * self.batch)
            real, fake = pick(reals, rows), pick(fakes, rows)
            seen = self.execution.criticise(real, fake, self.scale)
            self.penalty.enforce(self.critic)
            self.scale.copy_(seen.scale)
        return real, seen, self.execution.improve(beside)

    def _set_rates(self) -> None:
        factor = self.schedule(self.index)
        for player in self.players:
            player.set_rates(factor)
        # The averaged generator follows slowly only after a warm-up.
        decay = min(self.ema, (1 + self.index) / (10 + self.index))
        self.averaging.set_share(1 - decay)

    def _is_due(self) -> bool:
        """Return whether traced or captured code is to be compared with what is written."""
        captured = self.captured and not self.captured.refused
        if captured or self.index < LOOK_AGAIN:
            return self.index & (self.index - 1) == 0
        return self.index % LOOK_AGAIN == 0

    def _look_again(self) -> None:
        """Let compiled and captured code be compared with what the networks do now."""
        self.execution.look_again()
        if self.captured:
            self.captured.look_again()

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
            "factor": self.players[0].factor,
            "batches": self.batches.state_dict(),
            "scale": self.scale,
            "rng": {
                name: self.processes.gather(one) for name, one in self.randomness.state.items()
            },
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
        # Without a factor, as in states of before, the next step sets its own.
        factor = state.get("factor", math.nan)
        for name, player in zip(("generator", "critic"), self.players, strict=True):
            player.take_up(state[f"{name}_optimizer"], factor)
        self._lay_out_states()
        if self.captured:  # whose graph goes on with the tensors of before
            self.captured.look_again()
        self.batches.load_state_dict(state["batches"])
        self.index = state["index"]
        self.scale.copy_(state["scale"])
        # A device that the state was not on keeps the stream that the seed gave it.
        known = {name: self._own(streams) for name, streams in state["rng"].items()}
        own = self.randomness.state
        self.randomness.state = {name: known.get(name, one) for name, one in own.items()}

    def save(self, path: Path | str) -> None:
        """Write the state to a file, atomically."""
        states.save(self.state_dict(), path)

    def load(self, path: Path | str) -> None:
        """Go on from a saved state: the next steps are those of a run that never stopped."""
        self.load_state_dict(states.load(path))

    # ---- the rest -------------------------------------------------------------------------------

    def _own(self, streams: list[Tensor]) -> Tensor:
        """Return this process's part of what all processes saved."""
        if len(streams) != self.processes.count:
            raise RunError(
                f"the state is of {len(streams)} processes, and there are {self.processes.count} "
                f"now; go on with devices={len(streams)}"
            )
        return streams[self.processes.rank]

    def _lay_out(self) -> None:
        """Let channels lie last where networks convolve on a CPU; random numbers stay."""
        networks = [self.generator, self.critic, self.average]

        def trial() -> None:
            stored = self._two()
            real, fake = self.iteration.points(stored)
            self.iteration.criticise(real, fake, self.scale)
            self.iteration.improve(stored if self.iteration.looks else None)

        masks, self.iteration.masks = self.iteration.masks, None
        with untouched(nn.ModuleList(networks), self.device):
            let_channels_lie_last(networks, trial)
        self.iteration.masks = masks
        self._lay_out_states()

    def _lay_out_states(self) -> None:
        lay_out_state(self.generator_optimizer)
        lay_out_state(self.critic_optimizer)

    def _two(self) -> Points:
        """Return two stored points."""
        return to_device(pick(self.batches.points, slice(0, 2)), self.device)

    @torch.no_grad()
    def _check(self) -> None:
        """Run everything once on two points: misfits are named before hours of training."""
        real = self.iteration.prepared(self._two())
        check_finite(self.batches.points, "data")
        check_points(self.space, real, "data")
        check_constraint(self.space, self.penalty, self.objective)
        fake = self.average(self.iteration.latents(real))
        check_fake(real, fake)
        check_reach(self.space, real, fake)
        points = join(self.iteration.disturbed(real), self.iteration.disturbed(fake))
        scores = self.critic(points)
        if scores.shape != (2 * batch_size(real),):
            raise ShapeError(
                "the critic must return one score for each point, "
                f"shape ({2 * batch_size(real)},); got {tuple(scores.shape)}"
                + ("; end its forward with .squeeze(-1)" if scores.dim() == 2 else "")
            )
        if not isinstance(self.penalty, Unconstrained):
            check_separate(self.critic, points)


def captured_if(capture: bool | str, body: Body, training: Training) -> Captured | None:
    """Return a captured form of a step where a setting asks for one and it can be.

    Raises:
        SettingError: if the setting is something else, or asks for what cannot be.
    """
    if capture not in (True, False, "auto"):
        raise SettingError(f'capture is True, False or "auto"; got {capture!r}')
    optimizers = (training.generator_optimizer, training.critic_optimizer)
    if training.device.type != "cuda":
        reason = f"steps are captured on a GPU only, and the device is {training.device}"
    elif not training.processes.alone:
        reason = "steps of several processes are not captured"
    elif not can_be_captured(*optimizers):
        reason = "an optimiser given to train has to be capturable: Adam(..., capturable=True)"
    else:
        return Captured(body, training.device) if capture else None
    if capture is True:
        raise SettingError(f'{reason}; leave capture out, or say capture="auto"')
    return None


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


def check_reach(space: MetricSpace, real: Points, fake: Points) -> None:
    """Raise `SettingError` where no path leads from real points to the generated ones beside them.

    A penalty would have nowhere to look, and the weight of a relative one no end.
    """
    reach = space.distance(real, fake)
    if not bool(torch.isfinite(reach).all()):
        raise SettingError(
            f"{type(space).__name__} says that generated points are {reach.tolist()} from the real "
            "ones beside them; where conditions cannot change, draw latents beside real points, "
            "with a `wgankit.Conditioned` latent whose generator hands the condition on"
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
    generator_optimizer: Optimizer | None = None,
    critic_optimizer: Optimizer | None = None,
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
    compile: bool | str = "auto",
    capture: bool | str = "auto",
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
        precision: "32-true" computes in the precision of networks and data; "bf16-mixed" computes
            matrix products and convolutions of both networks in bfloat16, while parameters, scores,
            slopes and the penalty stay in float32.
        fabric: a launched Fabric of your own, which replaces `device`; with
            `Fabric(devices=2, strategy="ddp")` two processes train one model, each on batches of
            its own, and gradients are averaged.
        resume: a file that `Training.save` wrote; the steps go on as if never stopped.
        compile: True compiles points, the critic's update (both derivatives and Adam in one piece)
            and the generator's: 20 seconds to 2 minutes once, then steps take a third to nine
            tenths of their time.  "trace" takes both derivatives once, in 1 to 4 seconds, and
            repeats their operations: half to nine tenths of the time, without a compiler.  "auto"
            compiles runs of at least `wgankit.compiled.WORTHWHILE` critic updates where a C++
            compiler (on a GPU: Triton) is at hand, and traces those of at least `WORTH_TRACING` on
            a CPU.  Either is compared with what is written at its first call and now and again,
            and when a number that a module holds is changed; what cannot be traced or compiled,
            or disagrees, runs as written, with a `CompileWarning`.  Random numbers are the same
            in all ways; figures differ in their last digits, and from one machine to another.
        capture: "auto" captures the whole step as one graph on a GPU and replays it, where the
            optimisers allow that (those made here do) and nothing in a step passes between host
            and GPU (else a `CompileWarning` says what does); False never does.

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
        generator_optimizer=generator_optimizer,
        critic_optimizer=critic_optimizer,
        rates=(generator_rate, critic_rate),
        betas=betas,
        schedule=schedule,
        ema=ema,
        prepare=prepare,
        noise=noise,
        content=content,
        seed=seed,
        fabric=fabric or Fabric(accelerator=device, devices=1),
        precision=precision,
        compile=compile,
        capture=capture,
    )
    if resume is not None:
        training.load(resume)
    return training
