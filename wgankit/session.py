"""One sitting of a run: train, read, evaluate, save, report, until done or told to stop."""

from __future__ import annotations

import math
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, final

import torch
from torch import Tensor

from wgankit import exact
from wgankit import state as states
from wgankit.audits import doubts
from wgankit.domain import describe_skips
from wgankit.errors import RunError
from wgankit.latent import Conditioned
from wgankit.progress import Teller, clock
from wgankit.space import Points, batch_size, pick, to_device
from wgankit.training import Step, Training

if TYPE_CHECKING:
    from lightning_fabric import Fabric

    from wgankit.recipes import Recipe

SAVE_EVERY = 60.0
"""Seconds between saves: what a kill can cost at most."""

TRANSPORT = 500
"""Points on each side of an exact transport, of which the floor is made alike."""


class Stopped(KeyboardInterrupt):
    """A run that was told to stop, after its state was saved.

    Arguments:
        signal_number: the signal that told it.
    """

    def __init__(self, signal_number: int) -> None:
        super().__init__(signal_number)
        self.signal_number = signal_number


@final
class Session:
    """Trains a recipe's run from where it stands to its last step.

    Arguments:
        recipe: a recipe with a run folder.
        fabric: launched; of its processes the first one evaluates, writes and reports.
        teller: who reports.
    """

    def __init__(self, recipe: Recipe, *, fabric: Fabric, teller: Teller) -> None:
        self.recipe, self.teller = recipe, teller
        self.folder = recipe._require_run()
        self.settings = recipe.config["settings"]
        self.training: Training = recipe.training(fabric=fabric)
        self.processes = self.training.processes
        self.first = self.processes.rank == 0
        self.seconds, self.best = 0.0, math.inf
        self.history: list[dict[str, Any]] = []
        self.saved_at = time.monotonic()
        self.told_to_stop = 0
        self.told_seconds = 0.0
        every = self.settings["evaluate_every"] or max(1, self.settings["steps"] // 10)
        self.evaluate_every = int(every)
        self.processes.wait()
        self.begins = not self.folder.last.is_file()
        if not self.begins:
            self._restore()
        elif self.first:
            # A kill before the first save may have left a reading behind.
            self.folder.forget_after(-1)

    # ---- the loop -------------------------------------------------------------------------------

    def run(self) -> Recipe:
        """Train to the end; returns the recipe.

        Raises:
            Stopped: when told to stop by a signal; the state is saved.
            RunError: when figures are no longer finite; the last good state stays.
        """
        steps = self.settings["steps"]
        self.teller.say(
            f"{self.recipe.name} on {self.training.device}: step {self.training.index:,} of "
            f"{steps:,}, {self.folder.path}"
        )
        self.teller.start(self.recipe.name.split(":")[-1], self.training.index, steps)
        self.recipe._present = self.training.average
        try:
            with self._listening():
                self._loop()
        finally:
            self.recipe._present = None
            self.teller.stop()
        self._tell_end()
        return self.recipe

    def _loop(self) -> None:
        if self.begins:
            self._evaluate({"step": 0, "seconds": 0.0})
        started = time.monotonic() - self.seconds
        self.teller.note(self.training.execution.doing)
        for step in self.training:
            self._tell_compiled()
            self.seconds = time.monotonic() - started
            row = self._read(step) if self._to_read(step) else {}
            self.teller.advance(step.index, row)
            if self._to_evaluate(step):
                self._evaluate(row)
                started = time.monotonic() - self.seconds
            elif row:
                self._keep(row)
            if self._is_told(bool(row)):
                self._stop(step)
            # Only after a reading, which has found the figures finite: a state that diverged must
            # not take the place of a good one.
            if row and self.processes.first_says(time.monotonic() - self.saved_at > SAVE_EVERY):
                self._save()
                self._report("running")
        self._save()
        self._report("finished")

    def _is_told(self, read: bool) -> int:
        """Return the signal to stop by; several processes ask the first one, at readings."""
        if self.processes.alone:
            return self.told_to_stop
        if read:
            self.told_to_stop = self.processes.first_says(self.told_to_stop)
        return self.told_to_stop if read else 0

    def _tell_compiled(self) -> None:
        """Say once how long tracing or compiling took."""
        seconds = self.training.execution.seconds
        if seconds > self.told_seconds:
            self.told_seconds = seconds
            self.teller.note("")
            self.teller.say(f"{self.training.execution.done} in {clock(seconds)}")

    def _to_evaluate(self, step: Step) -> bool:
        return step.index % self.evaluate_every == 0 or step.index == self.settings["steps"]

    def _to_read(self, step: Step) -> bool:
        return step.index % self.settings["read_every"] == 0 or self._to_evaluate(step)

    def _read(self, step: Step) -> dict[str, Any]:
        figures = step.estimate.row()
        if not all(map(math.isfinite, figures.values())):
            raise RunError(
                f"the run diverged: figures at step {step.index} are not finite; the state saved "
                f"last is in {self.folder.last}; begin again with a lower rate or another seed"
            )
        return {"step": step.index, "seconds": round(self.seconds, 3), **figures}

    def _keep(self, row: dict[str, Any]) -> None:
        if self.first:
            self.history.append(row)
            self.folder.append(row)

    # ---- judging --------------------------------------------------------------------------------

    def _evaluate(self, row: dict[str, Any]) -> None:
        """Judge samples of the averaged generator, keep the best, save and report."""
        if self.first:
            self._judge(row)
        self._save()
        self._report("running")

    def _judge(self, row: dict[str, Any]) -> None:
        metrics = {**self._metrics(self._seed()), **self._figures(float(row.get("weight", 1.0)))}
        row = {**row, **self._distances(), "metrics": metrics}
        self._keep(row)
        score = self._score(row)
        if score < self.best:
            self.best = score
            states.save({"average": self.training.average.state_dict()}, self.folder.best)

    def _seed(self) -> int:
        # Another seed at every evaluation, so that the best is not the luck of one draw; made of
        # the step alone, so that a resumed run draws the same.
        return 1_000_003 + self.training.index

    def _metrics(self, seed: int) -> dict[str, float]:
        count = self.settings["evaluate_on"]
        return self.recipe.evaluate(count, seed=seed)

    def _figures(self, weight: float) -> dict[str, float]:
        """Return what the model tells of its critic at held-out points, with lambda as it is."""
        model, training = self.recipe._built(), self.training
        latent, held_out = model.latent, self.recipe.points("held_out")
        if model.figures is None or not isinstance(latent, Conditioned) or not batch_size(held_out):
            return {}
        some = self.recipe.prepared(pick(held_out, slice(0, TRANSPORT)))
        real = to_device(some, training.device)
        training.critic.eval()
        try:
            with states.seeded(self._seed(), training.device):
                with torch.no_grad():
                    fake = training.average(latent.beside(real))
                return model.figures(training.critic, real, fake, weight)
        finally:
            training.critic.train()

    def _distances(self) -> dict[str, float]:
        """Return exact W1 from held-out points to samples, what the critic proves of it, its floor.

        The floor is exact W1 from the held-out points to training points.
        """
        held_out = self.recipe.points("held_out")
        count = min(TRANSPORT, batch_size(held_out), batch_size(self.recipe.points("training")))
        if count < 2:
            return {}
        model = self.recipe._built()
        align = self.recipe.domain.align
        wanted = align(self.recipe.prepared(pick(held_out, slice(0, count))))
        samples = align(self.recipe.sample_points(count, seed=self._seed()))
        return {
            "exact_w1": exact.w1(model.space, wanted, samples),
            "exact_w1_floor": self._floor(wanted, count),
            "certified": self._certified(wanted, samples),
        }

    def _certified(self, wanted: Points, samples: Points) -> float:
        """Return the lower bound of exact W1 that the present critic proves."""
        training = self.training
        device = training.device

        def scores(points: Points) -> Tensor:
            parts = [
                training.critic(to_device(pick(points, slice(start, start + TRANSPORT)), device))
                for start in range(0, batch_size(points), TRANSPORT)
            ]
            return torch.cat(parts).cpu()

        training.critic.eval()
        try:
            return exact.certified(training.space, scores, wanted, samples)
        finally:
            training.critic.train()

    def _floor(self, wanted: Points, count: int) -> float:
        known = [row["exact_w1_floor"] for row in self.history if "exact_w1_floor" in row]
        if known:
            return float(known[0])
        real = self.recipe.prepared(pick(self.recipe.points("training"), slice(0, count)))
        return exact.w1(self.recipe._built().space, wanted, self.recipe.domain.align(real))

    def _score(self, row: dict[str, Any]) -> float:
        """Return how bad the generator is by the setting `best`; lower is better."""
        if self.settings["best"] is None:
            return float(row.get("exact_w1", 0.0))
        name, direction = self.settings["best"]
        value = row["metrics"].get(name, math.nan)
        if math.isnan(value):
            return math.inf
        return float(value if direction == "lowest" else -value)

    # ---- keeping --------------------------------------------------------------------------------

    def _save(self) -> None:
        extras = {"seconds": self.seconds, "best": self.best}
        state = {"training": self.training.state_dict(), "session": extras}
        if self.first:
            states.save(state, self.folder.last)
        self.saved_at = time.monotonic()

    def _restore(self) -> None:
        state = states.load(self.folder.last)
        self.training.load_state_dict(state["training"])
        self.seconds, self.best = state["session"]["seconds"], state["session"]["best"]
        if self.first:
            self.history = self.folder.forget_after(self.training.index)

    def _report(self, status: str) -> None:
        from wgankit.report import write_report

        if not self.first:
            return
        judged = [row["metrics"] for row in self.history if row.get("metrics")]
        recipe = self.recipe
        skipped = describe_skips(
            recipe.config["skipped"], recipe.config["objects"], recipe.domain.objects
        )
        write_report(
            self.folder.report,
            title=f"{recipe.name} on {recipe.config['source']}",
            settings=self.settings,
            history=self.history,
            metrics=judged[-1] if judged else {},
            picture=recipe.domain.picture(recipe.sample(24, seed=self._seed())),
            notes=[line for line in (skipped, *self.fall(), *self.doubts()) if line],
            status=f"{status}: step {self.training.index:,} of {self.settings['steps']:,}",
        )

    def fall(self) -> list[str]:
        """Return a line that says how far exact W1 to held-out points fell."""
        seen = [row for row in self.history if "exact_w1" in row]
        if len(seen) < 2:
            return []
        first, last, floor = seen[0]["exact_w1"], seen[-1]["exact_w1"], seen[-1]["exact_w1_floor"]
        line = (
            f"exact W1 to held-out {self.recipe.domain.objects}: {first:.3f} at step "
            f"{seen[0]['step']:,}, {last:.3f} at step {seen[-1]['step']:,}; two real samples of "
            f"that size are {floor:.3f} apart"
        )
        if first > last > floor:
            line += f", so the excess fell by a factor of {(first - floor) / (last - floor):.3g}"
        return [line]

    def doubts(self) -> list[str]:
        """Return why the critic's last estimate of W1 is not to be believed, if anything says so.

        Under noise the estimate is of other laws than exact transport, so only its residual counts.
        """
        judged = [row for row in self.history if "certified" in row and "w1" in row]
        if not judged:
            return []
        last, alike = judged[-1], self.training.noise is None
        found = doubts(
            last["w1"],
            last["residual"],
            certified=last["certified"] if alike else None,
            exact=last["exact_w1"] if alike else None,
        )
        return [f"doubt: {one}" for one in found]

    # ---- stopping -------------------------------------------------------------------------------

    @contextmanager
    def _listening(self) -> Iterator[None]:
        """Take Ctrl-C and SIGTERM as a wish to stop after this step; the second one is at once."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

        def listen(number: int, frame: Any) -> None:
            self.told_to_stop = number
            for each, handler in before.items():
                signal.signal(each, handler)

        for number in before:
            signal.signal(number, listen)
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _stop(self, step: Step) -> None:
        self._read(step)
        self._save()
        self._report("stopped")
        self.teller.stop()
        self.teller.say(
            f"stopped at step {self.training.index:,}, state saved; go on with: "
            f"wgankit resume {self.folder.path}"
        )
        raise Stopped(self.told_to_stop)

    def _tell_end(self) -> None:
        if not self.first:
            return
        for line in self.fall():
            self.teller.say(line)
        self.teller.say(
            f"{self.training.index:,} steps in {clock(self.seconds)}; report: {self.folder.report}"
        )
