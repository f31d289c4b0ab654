"""Training of an autoencoder of tokens, which a kill does not undo."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple, final

import torch
from torch import Tensor, nn

from wgankit import state as states
from wgankit.errors import RunError
from wgankit.lessons import SAVE_EVERY, Lesson, attend, stamp_of
from wgankit.progress import Teller
from wgankit_molecules.autoencoder import Autoencoder, Marks
from wgankit_molecules.tokens import lengths

CLIP = 30.0
"""Largest norm of a step's gradient.

Far above what is usual: batches are of strings of about one length, and long ones have the larger
gradients, so that a clip that acts all the time counts long strings for less than they are, and
strings come out too short.
"""

LOWEST = 0.02
"""Share of the rate at the end."""

POOL = 50
"""Batches among which strings are sorted by length, so that little of a batch is empty."""

MIXED = 0.2
"""Share of the steps, the last ones, whose batches are not sorted.

Adam divides by the recent size of gradients, and so makes less of those that are seldom and large.
That a string ends after so many tokens is learnt from a few batches where all strings do, and the
law of lengths comes out wrong by half a token.  Mixed batches cost a quarter more time.
"""

FORMAT = 2
"""Number of the state's layout."""


class Taught(NamedTuple):
    """One step; its figures are tensors on the device.

    Arguments:
        done: steps.
        marks: of the last one.
    """

    done: int
    marks: Marks


@final
class Schooling(Lesson[Taught]):
    """A training of an autoencoder under way: iterate for steps; its state saves and resumes.

    Arguments:
        autoencoder: what is trained.
        rows: tokens uint8 `(N, length)`.
        seed: of the batches, the noise and what is forgotten.
        device: where it is trained.

    The number of steps is that of the settings' epochs in batches that are full; rates grow over
    the warm-up and then fall linearly.  A step depends on nothing but the state before it.
    """

    def __init__(
        self, autoencoder: Autoencoder, rows: Tensor, *, seed: int, device: torch.device
    ) -> None:
        chosen = autoencoder.settings
        self.autoencoder = autoencoder.to(device).train()
        self.rows, self.device, self.seed = rows.to(device), device, seed
        self.widths = lengths(rows)
        self.batch: int = min(chosen["batch"], len(rows))
        self.each: int = len(rows) // self.batch
        self.steps: int = max(1, round(self.each * chosen["epochs"]))
        self.index = 0
        self.optimizer = torch.optim.AdamW(
            autoencoder.parameters(), chosen["rate"], betas=(0.9, 0.98),
            weight_decay=chosen["decay"], fused=True,
        )  # fmt: skip
        self.order: list[Tensor] = []
        self.randomness = states.Randomness(seed, device)

    def __next__(self) -> Taught:
        """Do one step, on random numbers of this training's own."""
        if self.index >= self.steps:
            raise StopIteration
        places = self._places()
        width = max(1, int(self.widths[places].max()))
        rows = self.rows[places.to(self.device, non_blocking=True), :width]
        for group in self.optimizer.param_groups:
            group["lr"] = self.autoencoder.settings["rate"] * self._factor()
        with self.randomness.used():
            marks = self.autoencoder(rows)
        self.optimizer.zero_grad()
        marks.loss.backward()
        nn.utils.clip_grad_norm_(self.autoencoder.parameters(), CLIP)
        self.optimizer.step()
        self.index += 1
        return Taught(self.index, Marks(marks.loss.detach(), *marks[1:]))

    def _places(self) -> Tensor:
        """Return which rows the next batch holds."""
        epoch, place = divmod(self.index, self.each)
        if place == 0 or not self.order:
            self.order = self._order(epoch)
        return self.order[place]

    def _order(self, epoch: int) -> list[Tensor]:
        sorted_steps = self.steps - round(MIXED * self.steps)
        return shuffled(
            self.widths, self.batch, self.seed + epoch, sorted_steps - epoch * self.each
        )

    def _factor(self) -> float:
        warm_up: int = self.autoencoder.settings["warm_up"]
        grown = (self.index + 1) / warm_up
        return min(1.0, grown) * max(LOWEST, 1 - self.index / self.steps)

    def state_dict(self) -> dict[str, Any]:
        """Return all that the next step depends on, the rows not included."""
        return {
            "format": FORMAT,
            "index": self.index,
            "autoencoder": self.autoencoder.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "rng": self.randomness.state,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a state of a training with the same rows and settings.

        Raises:
            RunError: a state of another layout, or of other networks.
        """
        if state.get("format") != FORMAT:
            raise RunError(
                f"this state of an autoencoder has layout {state.get('format')}, and {FORMAT} is "
                "wanted; go on with the version that wrote it, or begin anew"
            )
        try:
            self.autoencoder.load_state_dict(state["autoencoder"])
        except RuntimeError as error:
            raise RunError(f"the state belongs to another autoencoder: {error}") from error
        self.optimizer.load_state_dict(state["optimizer"])
        self.index, self.randomness.state, self.order = state["index"], state["rng"], []
        if self.index % self.each:
            self.order = self._order(self.index // self.each)


def shuffled(widths: Tensor, batch: int, seed: int, count: int) -> list[Tensor]:
    """Return an epoch's batches, each full: some of strings of about one length, the others mixed.

    Arguments:
        widths: tokens of each string, `(N,)`.
        batch: strings in a batch, at most N.
        seed: of the order.
        count: how many of the batches, the first ones, are of about one length; all if there are
            fewer, none if it is less than 1.
    """
    source = torch.Generator().manual_seed(seed)
    everyone = torch.randperm(len(widths), generator=source)
    everyone = everyone[: len(widths) // batch * batch]
    batches = [
        some
        for pool in torch.split(everyone, POOL * batch)
        for some in torch.split(pool[widths[pool].argsort(stable=True)], batch)
    ]
    order = torch.randperm(len(batches), generator=source).tolist()
    first, rest = order[: max(0, count)], order[max(0, count) :]
    mixed: list[Tensor] = []
    if rest:
        left = torch.cat([batches[place] for place in rest])
        mixed = list(torch.split(left[torch.randperm(len(left), generator=source)], batch))
    return [batches[place] for place in first] + mixed


def train_autoencoder(
    rows: Tensor,
    tokens: int,
    settings: Mapping[str, Any],
    *,
    seed: int = 0,
    device: torch.device | str = "cpu",
    folder: Path | None = None,
    teller: Teller | None = None,
    save_every: float = SAVE_EVERY,
) -> Autoencoder:
    """Return an autoencoder trained on rows of tokens, going on where a kill stopped it.

    Arguments:
        rows: uint8 `(N, length)`.
        tokens: how many there are, `END` not counted.
        settings: any of `wgankit_molecules.autoencoder.AUTOENCODER`.
        seed: of networks, batches and noise.
        device: where it is trained.
        folder: where its state is kept, in `autoencoder.pt`; nothing is kept if there is none.
        teller: who reports.
        save_every: seconds between saves.

    Returns:
        The autoencoder on the device, in evaluation mode, without gradients.

    Raises:
        SettingError: the folder holds the state of other rows, settings or seed.
        RunError: the loss is no longer finite, or the state cannot be written.
    """
    device = torch.device(device)
    with states.seeded(seed):
        autoencoder = Autoencoder(tokens, rows.shape[1], settings)
    attend(
        Schooling(autoencoder, rows, seed=seed, device=device),
        words,
        title="autoencoder",
        stamp=stamp_of([rows], [tokens, dict(autoencoder.settings), seed]),
        path=folder / "autoencoder.pt" if folder else None,
        teller=teller,
        save_every=save_every,
    )
    return autoencoder.eval().requires_grad_(False)


def words(taught: Taught) -> str:
    """Return a line about a step.

    Raises:
        RunError: its loss is not finite.
    """
    surprise, whole = float(taught.marks.surprise), float(taught.marks.whole)
    if not surprise < float("inf"):
        raise RunError(
            f"the autoencoder diverged: its loss at step {taught.done:,} is not finite; begin "
            "again with a lower rate: --set model.autoencoder.rate=1e-3"
        )
    return f"{surprise:.3g} nats a string, {whole:.1%} of them guessed whole"
