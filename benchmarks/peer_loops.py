"""Training loops of other toolkits, each run in the toolkit's own environment, turn by turn.

`python -m benchmarks.peers` starts `PYTHON benchmarks/peer_loops.py NAME SETTINGS` with the Python
that has the toolkit.  A line of JSON says when it is ready; then each line read is a number of
iterations, and the line written in answer the CPU seconds of the process that they took.

Every toolkit trains through its own public entry point.  What it iterates over stops between two
batches until the next turn, so that loops of several processes can take turns.  Batches are made
by indexing a tensor where the toolkit lets its user make them, which costs it next to nothing.
Nothing of wgankit is imported, and torch only in functions.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import os
import sys
import tempfile
import time
import types
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import IO, Any

RATE, BETAS, WEIGHT = 1e-4, (0.0, 0.9), 10.0


@dataclass(frozen=True)
class Settings:
    """A problem, as every toolkit gets it.

    Arguments:
        width: of the perceptrons; 0 asks for MolGAN's networks on graphs.
        latent: numbers of a latent vector.
        batch: points in a batch.
        n_critic: updates of the critic for each of the generator.
        points: in the data set.
    """

    width: int
    latent: int
    batch: int
    n_critic: int
    points: int = 4096


# ---- problems -----------------------------------------------------------------------------------


def perceptron(inputs: int, outputs: int, width: int) -> Any:
    """Return three hidden layers and a linear one (`torch.nn.Sequential`)."""
    from torch import nn

    layers: list[Any] = []
    for before, after in pairwise([inputs, width, width, width]):
        layers += [nn.Linear(before, after), nn.LeakyReLU(0.2)]
    return nn.Sequential(*layers, nn.Linear(width, outputs))


def plane(count: int) -> Any:
    """Return normal points of the plane around (3, 3)."""
    import torch

    return torch.randn(count, 2) + 3


def molecules(count: int, nodes: int = 9, kinds: int = 5, bonds: int = 5) -> tuple[Any, Any]:
    """Return random one-hot atoms `(count, N, kinds)` and symmetric bonds `(count, N, N, bonds)`.

    Time does not depend on what the graphs are.
    """
    import torch

    atoms = torch.eye(kinds)[torch.randint(kinds, (count, nodes))]
    low = torch.randint(bonds, (count, nodes, nodes)).triu(1)
    return atoms, torch.eye(bonds)[low + low.transpose(1, 2)]


# ---- turns --------------------------------------------------------------------------------------


class Turns:
    """Lets a loop go on batch by batch while it has its turn, and tells how long turns took.

    Arguments:
        batches: that the loop asks for in one iteration.
        orders: a line for each turn, the number of its iterations.
        answers: where seconds are written, as JSON.
        introduction: written once, at the first batch.
    """

    def __init__(
        self, batches: int, orders: IO[str], answers: IO[str], introduction: dict[str, Any]
    ) -> None:
        self.batches, self.orders, self.answers = batches, orders, answers
        self.answer: dict[str, Any] = introduction
        self.left = 0
        self.begun: float | None = None

    def wait(self) -> None:
        """Return when one more batch may be given away; ends the process with its orders."""
        if self.left == 0:
            if self.begun is not None:
                self.answer = {"seconds": time.process_time() - self.begun}
            print(json.dumps(self.answer), file=self.answers, flush=True)
            order = self.orders.readline()
            if not order.strip():
                # A toolkit may catch SystemExit, or go on after its data end.
                os._exit(0)
            self.left = int(order) * self.batches
            self.begun = time.process_time()
        self.left -= 1


def own_output() -> IO[str]:
    """Return the standard output; whatever prints from now on prints where errors go."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    return answers


def places(count: int, batch: int, turns: Turns) -> Iterator[Any]:
    """Yield the places of batches, in random order, epoch after epoch without end."""
    import torch

    while True:
        order = torch.randperm(count)
        for start in range(0, count - batch + 1, batch):
            turns.wait()
            yield order[start : start + batch]


def shapes(*networks: Any) -> list[list[list[int]]]:
    """Return the sorted shapes of each network's parameters: what makes two networks the same."""
    return [sorted(list(one.shape) for one in network.parameters()) for network in networks]


Begin = Callable[..., Turns]
"""Called with a version, generator and critic when a toolkit is about to train."""


# ---- toolkits -----------------------------------------------------------------------------------


def declare_operators() -> None:
    """Declare two operators of torchvision, whose own are missing beside a torch without CUDA."""
    import torch

    library: Any = torch.library.Library("torchvision", "DEF")  # type: ignore[no-untyped-call]
    for name in ("nms", "qnms"):
        library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    globals()["library"] = library  # operators go when their library is collected


def torchgan(settings: Settings, begin: Begin) -> None:
    """Train by torchgan's `Trainer` with its three Wasserstein losses."""
    declare_operators()
    import torch
    from torchgan import losses, models  # type: ignore[import-not-found, unused-ignore]
    from torchgan.trainer import Trainer  # type: ignore[import-not-found, unused-ignore]

    class Generator(models.Generator):  # type: ignore[misc, unused-ignore]
        def __init__(self) -> None:
            super().__init__(settings.latent)
            self.body = perceptron(settings.latent, 2, settings.width)

        def forward(self, z: Any) -> Any:
            return self.body(z)

    class Critic(models.Discriminator):  # type: ignore[misc, unused-ignore]
        def __init__(self) -> None:
            super().__init__(2)
            self.body = perceptron(2, 1, settings.width)

        def forward(self, points: Any) -> Any:
            return self.body(points).squeeze(-1)

    class Loader:
        batch_size = settings.batch

        def __iter__(self) -> Iterator[Any]:
            data = plane(settings.points)
            return (data[rows] for rows in places(len(data), settings.batch, turns))

    adam = {"name": torch.optim.Adam, "args": {"lr": RATE, "betas": BETAS}}
    trainer = Trainer(
        {
            "generator": {"name": Generator, "optimizer": adam},
            "discriminator": {"name": Critic, "optimizer": adam},
        },
        [
            losses.WassersteinGeneratorLoss(),
            losses.WassersteinDiscriminatorLoss(),
            losses.WassersteinGradientPenalty(lambd=WEIGHT),
        ],
        device=torch.device("cpu"),
        ncritic=settings.n_critic,
        epochs=1,
    )
    # Its counter of critic steps goes up by two a batch (critic, penalty), from 0, so the
    # generator has its turn every n_critic batches for an odd n_critic.
    turns = begin("torchgan", trainer.generator, trainer.discriminator, settings.n_critic)
    trainer(Loader())


def deepchem(settings: Settings, begin: Begin) -> None:
    """Train by `BasicMolGANModel.fit_gan`."""
    import torch
    from deepchem.models.optimizers import Adam  # type: ignore[import-not-found, unused-ignore]
    from deepchem.models.torch_models import (  # type: ignore[import-not-found, unused-ignore]
        BasicMolGANModel,
    )

    gan = BasicMolGANModel(
        embedding_dim=settings.latent,
        batch_size=settings.batch,
        gradient_penalty=WEIGHT,
        optimizer=Adam(learning_rate=RATE, beta1=BETAS[0], beta2=BETAS[1]),
        device=torch.device("cpu"),
    )
    atoms, bonds = molecules(settings.points)
    turns = begin("deepchem", gan.generators[0], gan.discriminators[0], settings.n_critic)
    gan.fit_gan(
        (
            {gan.data_inputs[0]: bonds[rows], gan.data_inputs[1]: atoms[rows]}
            for rows in places(len(atoms), settings.batch, turns)
        ),
        generator_steps=1 / settings.n_critic,
        checkpoint_interval=0,
    )


def vegans(settings: Settings, begin: Begin) -> None:
    """Train by `WassersteinGANGP.fit`, with two repairs without which it does not."""
    declare_operators()
    import torch
    from torch.utils.data import DataLoader
    from torch.utils.data.dataloader import _BaseDataLoaderIter
    from vegans.GAN import WassersteinGANGP  # type: ignore[import-not-found, unused-ignore]

    # It calls .next(), which iterators of today's torch no longer have.
    _BaseDataLoaderIter.next = _BaseDataLoaderIter.__next__  # type: ignore[attr-defined]
    adam = {"lr": RATE, "betas": BETAS}
    gan = WassersteinGANGP(
        perceptron(settings.latent, 2, settings.width),
        perceptron(2, 1, settings.width),
        x_dim=2,
        z_dim=settings.latent,
        optim=torch.optim.Adam,
        optim_kwargs={"Generator": adam, "Adversary": adam},
        lmbda_grad=WEIGHT,
        device="cpu",
        folder=None,
    )
    # Its own version puts 1 in place of whatever numbers `fit` is given.
    gan._create_steps = lambda steps: steps

    class Places:
        def __len__(self) -> int:
            return 10**9

        def __iter__(self) -> Iterator[Any]:
            return places(settings.points, settings.batch, turns)

    turns = begin("vegans", gan.generator, gan.adversary, 1)
    gan.fit(
        DataLoader(plane(settings.points), batch_size=None, sampler=Places()),
        epochs=1,
        batch_size=settings.batch,
        steps={"Generator": 1, "Adversary": settings.n_critic},
        print_every=None,
        save_losses_every=None,
    )


class Absent:
    """Stands for what a module left out would have given."""


def leave_out(name: str, path: Sequence[str] = ()) -> None:
    """Put an empty module in a module's place, or an empty package whose modules can be read."""

    def missing(attribute: str) -> type[Absent]:
        if attribute.startswith("__"):
            raise AttributeError(attribute)
        return Absent

    module = types.ModuleType(name)
    module.__path__ = list(path)
    module.__getattr__ = missing  # type: ignore[method-assign]
    sys.modules[name] = module


def synthcity(settings: Settings, begin: Begin) -> None:
    """Train by `models.gan.GAN.fit`, without the rest of the package (it wants an older torch)."""
    import torch

    found = importlib.util.find_spec("synthcity")
    roots = (found and found.submodule_search_locations) or []
    models = "synthcity.plugins.core.models"
    networks = ("InceptionTime", "InceptionTimePlus", "OmniScaleCNN", "ResCNN", "RNN_FCN", "TCN")
    for name in ("tsai", "tsai.models", "tsai.models.XceptionTime", "tsai.models.XCM"):
        leave_out(name)
    for name in networks:
        leave_out(f"tsai.models.{name}")
    for name in (
        "synthcity.metrics",
        "synthcity.metrics.weighted_metrics",
        f"{models}.feature_encoder",
    ):
        leave_out(name)
    for name in ("synthcity.plugins", "synthcity.plugins.core", models):
        below = name.removeprefix("synthcity.").replace(".", "/")
        leave_out(name, [f"{root}/{below}" for root in roots])
    from synthcity.plugins.core.models.gan import (  # type: ignore[import-not-found, unused-ignore]
        GAN,
    )

    class Places(torch.utils.data.Sampler):  # type: ignore[type-arg]
        def __init__(self) -> None:
            pass

        def __len__(self) -> int:
            return 10**9

        def __iter__(self) -> Iterator[int]:
            for rows in places(settings.points, settings.batch, turns):
                yield from rows.tolist()

    gan = GAN(
        n_features=2,
        n_units_latent=settings.latent,
        generator_n_layers_hidden=3,
        generator_n_units_hidden=settings.width,
        generator_n_iter=1,
        generator_lr=RATE,
        generator_opt_betas=BETAS,
        generator_residual=False,
        discriminator_n_layers_hidden=3,
        discriminator_n_units_hidden=settings.width,
        discriminator_n_iter=settings.n_critic,
        discriminator_dropout=0,
        discriminator_lr=RATE,
        discriminator_opt_betas=BETAS,
        batch_size=settings.batch,
        lambda_gradient_penalty=WEIGHT,
        dataloader_sampler=Places(),
    )
    turns = begin("synthcity", gan.generator, gan.discriminator, 1)
    gan.fit(plane(settings.points).numpy())


LOOPS = {loop.__name__: loop for loop in (torchgan, deepchem, vegans, synthcity)}


def main(name: str, given: str) -> None:
    """Run a toolkit's loop in a temporary folder, for toolkits that write files."""
    answers = own_output()
    warnings.simplefilter("ignore")
    import torch

    torch.set_num_threads(1)

    def begin(distribution: str, generator: Any, critic: Any, batches: int) -> Turns:
        told = {
            "version": importlib.metadata.version(distribution),
            "torch": torch.__version__,
            "shapes": shapes(generator, critic),
        }
        return Turns(batches, sys.stdin, answers, told)

    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        LOOPS[name](Settings(**json.loads(given)), begin)


if __name__ == "__main__":
    main(*sys.argv[1:])
