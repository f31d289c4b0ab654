"""Recipes: a domain with networks and settings, from objects to a trained generator and back.

`wgankit.recipe("molecules").fit("my.smi", out="runs/first")` is the whole of it for most people.
"""

from __future__ import annotations

import copy
import inspect
import math
import shutil
from collections import Counter
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast, final

import torch

from wgankit import __version__
from wgankit import state as states
from wgankit.decoding import Decoder, decoded
from wgankit.domain import (
    LEARNT,
    Domain,
    Encoded,
    Learnt,
    Model,
    Vocabulary,
    Workshop,
    describe_skips,
)
from wgankit.errors import DataError, MissingPackageError, RunError, SettingError
from wgankit.processes import Processes, launch
from wgankit.run import RunFolder
from wgankit.sampling import BATCH, check_stream, generate
from wgankit.settings import DEFAULTS, check_settings, merge, split, training_of
from wgankit.space import Points, batch_size, join, leaves, pick
from wgankit.training import Training

if TYPE_CHECKING:
    from lightning_fabric import Fabric
    from torch import Tensor, nn

    from wgankit.progress import Teller


class Metrics(dict[str, float]):
    """Metrics by name, which print as a table."""

    def __str__(self) -> str:
        width = max((len(name) for name in self), default=0)
        lines = []
        for name, value in self.items():
            if name.endswith("_floor"):
                continue
            beside = f"   (floor {self[f'{name}_floor']:.4g})" if f"{name}_floor" in self else ""
            lines.append(f"{name:<{width}}  {value:.4g}{beside}")
        return "\n".join(lines)


@final
class Recipe:
    """Trains and samples a generator of one domain's objects.

    Got from `wgankit.recipe(name)`, or `wgankit.load(folder)` for a run that exists.

    Arguments:
        domain: what the objects are.
        name: under which the recipe is registered; runs remember it.
    """

    def __init__(self, domain: Domain, name: str) -> None:
        self.domain = domain
        self.name = name
        self.folder: RunFolder | None = None
        self.carried = ""
        self.config: dict[str, Any] = {}
        self.model: Model | None = None
        self._data: dict[str, Any] = {}
        self._objects: dict[str, list[Any]] = {}
        self._present: nn.Module | None = None
        self._loaded: tuple[str, int] | None = None

    def __repr__(self) -> str:
        where = f", trained in {self.folder.path}" if self.folder else ""
        return f"Recipe({self.name!r}{where})"

    @property
    def defaults(self) -> dict[str, Any]:
        """Settings of this recipe when nothing else is said."""
        return merge(DEFAULTS, self.domain.defaults)

    # ---- training -------------------------------------------------------------------------------

    def fit(
        self,
        source: str | Path | Sequence[Any] | None = None,
        *,
        out: str | Path | None = None,
        device: str = "auto",
        devices: int = 1,
        progress: bool = True,
        **settings: Any,
    ) -> Recipe:
        """Train on objects until the settings' number of steps is done.

        Arguments:
            source: a file or folder, the name of a data set, or a list of objects; left out, a
                recipe from `wgankit.load` goes on with its own run.
            out: the run folder to make; by default `runs/NAME-1`, `runs/NAME-2`, ...
            device: "auto", "cpu", "cuda", ...
            devices: how many of them; with several, each runs the caller's script in a process of
                its own, on batches of its own (`batch` is that of each), and the first one writes.
            progress: show a bar.
            settings: any of `defaults`: steps, batch, rate, penalty={...}, model={...}, ...

        Returns:
            This recipe, trained.  It can sample, evaluate and save.

        Raises:
            DataError, SettingError, RunError: before anything is written.
            KeyboardInterrupt: on Ctrl-C, with the state saved; `wgankit.load(out).fit()` goes on.
        """
        from wgankit.session import Session

        if source is None:
            return self._go_on(device=device, devices=devices, progress=progress, **settings)
        chosen = merge(self.defaults, settings)
        check_settings(chosen)
        fabric = launch(device, devices)
        processes = Processes(fabric)
        teller = tell(progress and processes.rank == 0)
        objects, origin, unread = self._objects_of(source)
        encoded = self._encode(objects, chosen, unread, teller)
        folder = RunFolder(processes.first_says(str(out or next_folder(self.name))))
        workshop = Workshop(folder.path / "workshop", chosen, fabric.device, teller)
        self._begin(folder, encoded, origin, workshop, processes)
        return Session(self, fabric=fabric, teller=teller).run()

    def _go_on(self, *, device: str, devices: int, progress: bool, **settings: Any) -> Recipe:
        from wgankit.session import Session

        if self.folder is None:
            raise DataError(
                f"nothing to train on: recipe.fit(FILE or list of {self.domain.objects}), "
                "or wgankit.load(FOLDER).fit() to go on with a run"
            )
        if self.carried:
            raise RunError(
                f"model {self.carried} belongs to an installed package and stays as it is; copy "
                "it and go on with the copy: recipe.save(FOLDER), wgankit.load(FOLDER).fit()"
            )
        if set(settings) - {"steps"}:
            raise SettingError(
                "a run goes on with the settings it began with; only steps may change; "
                f"got {', '.join(sorted(set(settings) - {'steps'}))}"
            )
        fabric = launch(device, devices)
        first = fabric.global_rank == 0
        if settings.get("steps"):
            self.config["settings"]["steps"] = int(settings["steps"])
            if first:
                self.folder.write_config(self.config)
        return Session(self, fabric=fabric, teller=tell(progress and first)).run()

    def _objects_of(
        self, source: str | Path | Sequence[Any]
    ) -> tuple[Sequence[Any], str, Counter[str]]:
        """Return objects, where they came from, and what could not be read."""
        if not isinstance(source, str | Path):
            return source, f"a list of {len(source):,} {self.domain.objects}", Counter()
        if Path(source).exists():
            reading = self.domain.read(Path(source))
            return reading.objects, str(source), reading.skipped
        from wgankit.plugins import registry

        datasets = registry().datasets
        if str(source) in datasets:
            return datasets.load(str(source))(), f"data set {source}", Counter()
        raise DataError(
            f"{str(source)!r} is neither a file nor a data set; data sets are "
            f"{', '.join(sorted(datasets)) or 'none'}"
        )

    def _encode(
        self,
        objects: Sequence[Any],
        settings: Mapping[str, Any],
        unread: Counter[str],
        teller: Teller,
    ) -> Encoded:
        if not len(objects):
            raise DataError(f"there are no {self.domain.objects} in the data")
        encoded = self.domain.encode(objects, largest=settings["largest"])
        skipped = encoded.skipped + unread
        kept = batch_size(encoded.points)
        teller.say(f"{kept:,} {self.domain.objects} to train on and to hold out")
        if skipped:
            teller.say(describe_skips(skipped, kept, self.domain.objects))
        return Encoded(encoded.points, encoded.vocabulary, encoded.kept, skipped)

    def _begin(
        self,
        folder: RunFolder,
        encoded: Encoded,
        origin: str,
        workshop: Workshop,
        processes: Processes,
    ) -> None:
        settings = workshop.settings
        held_out, training = split(batch_size(encoded.points), settings, self.domain.objects)
        learnt = self._learn(folder, encoded, training, workshop, processes)
        config = {
            "wgankit": __version__,
            "recipe": self.name,
            "source": origin,
            "settings": settings,
            "vocabulary": learnt.vocabulary,
            "skipped": dict(encoded.skipped),
            "objects": len(training) + len(held_out),
            "held_out": len(held_out),
        }
        points = learnt.points
        data = {
            "points": tuple(points) if isinstance(points, tuple) else points,
            "training": training,
            "held_out": held_out,
        } | ({LEARNT: learnt.state} if learnt.state else {})
        # Networks are built before anything is written, so that a wrong size leaves no folder.
        self._adopt(folder, config, data)
        if processes.rank == 0:
            folder.create(config, data)
            shutil.rmtree(workshop.folder, ignore_errors=True)

    def _learn(
        self,
        folder: RunFolder,
        encoded: Encoded,
        training: Tensor,
        workshop: Workshop,
        processes: Processes,
    ) -> Learnt:
        """Let the domain learn what it needs, the first process before the others."""
        if processes.first_says(folder.exists()):
            raise RunError(
                f"{folder.path} holds a run already; go on with it: wgankit resume {folder.path}, "
                "or choose another folder: --out FOLDER"
            )
        if processes.rank:
            processes.wait()
        learnt = self.domain.learn(encoded, training, workshop)
        if not processes.rank:
            processes.wait()
        # Nobody may tidy up the workshop before the last one has left it.
        processes.wait()
        return learnt

    def _adopt(self, folder: RunFolder, config: dict[str, Any], data: dict[str, Any]) -> None:
        """Take a run as this recipe's own, and build its networks."""
        # Runs of before do not name what has become a setting since.
        settings = {**DEFAULTS, **config["settings"]}
        config = {**config, "settings": settings}
        with states.seeded(settings["seed"]):
            self.model = self.domain.build(whole(config["vocabulary"], data), settings)
        self.folder, self.config, self._data = folder, config, data
        self._objects = {}

    # ---- what was learnt ------------------------------------------------------------------------

    @property
    def vocabulary(self) -> Vocabulary:
        """What `Domain.decode` and `Domain.build` know, what the domain learnt included."""
        self._require_run()
        return whole(self.config["vocabulary"], self._data)

    def stream(
        self,
        count: int | None = None,
        *,
        seed: int | None = None,
        device: str = "auto",
        batch: int = BATCH,
        workers: int | str = "auto",
        compile: bool | str = False,
        given: Mapping[str, Any] | None = None,
    ) -> Generator[Any, None, None]:
        """Return an iterator of new objects, of which a few batches are in memory at a time.

        Arguments:
            count: how many; None for no end.
            seed: draw the same objects again (with the same count and batch, whatever workers);
                None draws from torch's random numbers.
            device: where the network runs.
            batch: how many latents are drawn at a time.
            workers: processes that decode points while the network makes the next; 0 decodes in
                this process; "auto" starts some where that is seen to save time.
            compile: True compiles the generator, "auto" does for a large count; where two labels
                are equally likely, another one may come out (see `wgankit.sampling`).
            given: values of conditions by name, for a recipe that was trained with some.

        The generator is taken as it is now: training that goes on does not change a stream.  An
        iterator that is not used up ends its workers with `close()`, or when it is forgotten.
        """
        check_stream(count=count, batch=batch, workers=workers, compile=compile)
        generator = copy.deepcopy(self.generator(device))
        points = self._points(generator, count, seed, batch, compile, given)
        decoder = Decoder(self.domain, self.vocabulary)
        batches = math.inf if count is None else math.ceil(count / batch)
        return decoded(points, decoder, workers=workers, batches=batches)

    def sample(
        self,
        count: int,
        *,
        seed: int | None = None,
        device: str = "auto",
        batch: int = BATCH,
        workers: int | str = "auto",
        compile: bool | str = False,
        given: Mapping[str, Any] | None = None,
    ) -> list[Any]:
        """Return new objects from the trained generator, one network pass each.

        Arguments:
            count: how many.
            seed, device, batch, workers, compile, given: see `stream`, which yields the same.

        Objects come as they are, invalid ones included, so that validity can be measured.
        """
        return list(
            self.stream(
                count,
                seed=seed,
                device=device,
                batch=batch,
                workers=workers,
                compile=compile,
                given=given,
            )
        )

    def sample_points(
        self,
        count: int,
        *,
        seed: int | None = None,
        device: str = "auto",
        batch: int = BATCH,
        compile: bool | str = False,
        given: Mapping[str, Any] | None = None,
    ) -> Points:
        """Return new points of the space on the CPU (see `sample`)."""
        check_stream(count=count, batch=batch, workers=0, compile=compile)
        return join(*self._points(self.generator(device), count, seed, batch, compile, given))

    def generator(self, device: str = "auto") -> nn.Module:
        """Return the network that samples, in evaluation mode.

        Its weights are those of the best checkpoint, or of the last if there is no best one.
        `model.generator` is the same network, but holds them only once something was sampled.

        Arguments:
            device: "auto", "cpu", "cuda", ...

        Raises:
            RunError: nothing was trained yet.
        """
        return self._present or self._trained().to(pick_device(device)).eval()

    def _points(
        self,
        generator: nn.Module,
        count: int | None,
        seed: int | None,
        batch: int,
        compile: bool | str,
        given: Mapping[str, Any] | None,
    ) -> Iterator[Points]:
        latent = self._built().latent
        if given:
            latent = self.domain.given(latent, self.vocabulary, given)
        one = self.prepared(pick(self._data["points"], slice(0, 1)))
        return generate(
            generator,
            latent,
            count=count,
            batch=batch,
            seed=int(torch.randint(2**31, ())) if seed is None else seed,
            numbers=sum(part.numel() for part in leaves(one)),
            compile=compile,
        )

    def evaluate(self, objects: Sequence[Any] | int = 1_000, *, seed: int = 1) -> Metrics:
        """Return the domain's metrics of objects, against the run's training and held-out data.

        Arguments:
            objects: objects to judge, or how many to sample for it.
            seed: of the sampling.
        """
        self._require_run()
        judged = self.sample(objects, seed=seed) if isinstance(objects, int) else objects
        if not len(judged):
            raise DataError(f"there are no {self.domain.objects} to evaluate")
        return Metrics(self.domain.evaluate(judged, self.training_objects, self.held_out_objects))

    @property
    def training_objects(self) -> list[Any]:
        """The objects trained on, as the points say them."""
        return self._decoded("training")

    @property
    def held_out_objects(self) -> list[Any]:
        """The objects never trained on."""
        return self._decoded("held_out")

    def _decoded(self, part: str) -> list[Any]:
        if part not in self._objects:
            points = self.points(part)
            vocabulary = self.vocabulary
            self._objects[part] = (
                self.domain.decode(points, vocabulary) if batch_size(points) else []
            )
        return self._objects[part]

    def points(self, part: str = "training") -> Points:
        """Return the stored points that are trained on ("training") or "held_out"."""
        self._require_run()
        return pick(self._data["points"], self._data[part])

    def prepared(self, points: Points) -> Points:
        """Return stored points as points of the space."""
        return self._built().prepare(points)

    def training(self, *, device: str = "auto", fabric: Fabric | None = None) -> Training:
        """Return the run's training at its beginning, for loops of one's own.

        Arguments:
            device: "auto", "cpu", "cuda", ...
            fabric: a launched Fabric, which replaces `device`.
        """
        self._require_run()
        model, settings = self._built(), self.config["settings"]
        # Sampling leaves the generator in evaluation mode, where it may return other points.
        model.generator.train()
        return training_of(model, self.points("training"), settings, device=device, fabric=fabric)

    def save(self, path: str | Path) -> Path:
        """Copy the trained run into another folder, from which `wgankit.load` reads it."""
        source = self._require_run()
        target = RunFolder(path)
        if target.exists():
            raise RunError(f"{target.path} holds a run already; choose another folder")
        shutil.copytree(source.path, target.path, dirs_exist_ok=True)
        return target.path

    def _trained(self) -> nn.Module:
        """Return the generator with the weights of the best (or else the last) checkpoint."""
        model, folder = self._built(), self._require_run()
        path = folder.best if folder.best.is_file() else folder.last
        if not path.is_file():
            raise RunError(
                f"{folder.path} has no checkpoint yet; train it: wgankit resume {folder.path}"
            )
        stamp = (str(path), path.stat().st_mtime_ns)
        if self._loaded != stamp:
            state = states.load(path)
            model.generator.load_state_dict(state.get("training", state)["average"])
            self._loaded = stamp
        return model.generator

    def _built(self) -> Model:
        self._require_run()
        return cast(Model, self.model)

    def _require_run(self) -> RunFolder:
        if self.folder is None:
            raise RunError(
                f"this recipe is not trained yet: recipe.fit(FILE or list of {self.domain.objects})"
                ", or wgankit.load(FOLDER)"
            )
        return self.folder


def whole(vocabulary: Vocabulary, data: Mapping[str, Any]) -> Vocabulary:
    """Return a vocabulary with the tensors that are kept among a run's data, if any."""
    return {**vocabulary, LEARNT: data[LEARNT]} if LEARNT in data else vocabulary


def next_folder(name: str) -> Path:
    """Return the first of runs/NAME-1, runs/NAME-2, ... that is free."""
    stem = name.split(":")[-1]
    number = 1
    while Path("runs", f"{stem}-{number}").exists():
        number += 1
    return Path("runs", f"{stem}-{number}")


def pick_device(name: str) -> torch.device:
    """Return the device that "auto" or a device's name stands for."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        return torch.device({"gpu": "cuda"}.get(name, name))
    except RuntimeError as error:
        raise SettingError(f"device is auto, cpu, cuda, ...; got {name!r}") from error


def tell(progress: bool) -> Teller:
    """Return who reports on a run: a bar on the terminal, or nobody."""
    from wgankit.progress import Silent, Terminal

    return Terminal() if progress else Silent()


CONDITIONED = "conditioned"
"""Name of the recipe that runs others under conditions; its factory takes (name, conditions)."""


def recipe(name: str, *, conditions: Sequence[str] = (), **options: Any) -> Recipe:
    """Return a recipe by the name under which a plugin registers it, such as "molecules".

    Arguments:
        name: of the recipe.
        conditions: names of labels or properties that its objects are generated by, such as "qed"
            (needs wgankit-labels).
        options: what the recipe's domain is told about its objects, such as
            `node_numbers=["x", "y"]` for graphs.

    Raises:
        UnknownNameError: if no installed plugin has a recipe of that name.
        SettingError: if the domain knows no such option, or is run under conditions, which pass
            none on.
        MissingPackageError: if no installed plugin runs recipes under conditions.
    """
    from wgankit.plugins import registry

    recipes = registry().recipes
    if not conditions:
        return Recipe(told(recipes.load(name), name, options), recipes.full_name(name))
    if options:
        raise SettingError(
            f"conditions and {', '.join(options)} cannot be given together; leave one of them out"
        )
    if CONDITIONED not in recipes:
        raise MissingPackageError(
            f"conditions ({', '.join(conditions)}) need wgankit-labels: pip install wgankit-labels"
        )
    return Recipe(recipes.load(CONDITIONED)(name, conditions), recipes.full_name(CONDITIONED))


def told(factory: Callable[..., Domain], name: str, options: Mapping[str, Any]) -> Domain:
    """Return a recipe's domain, told these options."""
    known = inspect.signature(factory).parameters
    unknown = [option for option in options if option not in known]
    if unknown:
        raise SettingError(
            f"recipe {name} has no option {', '.join(unknown)}; it has "
            f"{', '.join(known) or 'none'}; settings of its training belong to fit(...)"
        )
    domain: Domain = factory(**options)
    return domain


def load(path: str | Path) -> Recipe:
    """Return the recipe of a run folder, ready to sample, evaluate, or go on with `fit()`.

    Arguments:
        path: a run folder, or the name of a model that a plugin brings (`wgankit.plugins`).

    Raises:
        RunError: if the folder holds no run.
    """
    from wgankit.plugins import registry

    folder, models = RunFolder(path), registry().models
    carried = str(path) if not folder.exists() and str(path) in models else ""
    if carried:
        folder = RunFolder(models.load(carried)())
    config = folder.read_config()
    loaded = recipe(config["recipe"])
    loaded.carried = carried
    loaded._adopt(folder, config, states.load(folder.data))
    return loaded
