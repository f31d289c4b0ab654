"""Critics against laws whose best critic is known, beside the published solvers.

    python -m benchmarks.korotin [--quick] [--check] [--json FILE]
                                 [--rows 16,4 64,64] [--seeds 3] [--critics network mcshane]

The recipe, the metrics and the published columns are those of Korotin, Kolesov and Burnaev,
"Kantorovich Strikes Back! Wasserstein GANs for Optimal Transport?" (NeurIPS 2022, datasets and
benchmarks).  Their instances are stored centres; ours are drawn from seeds by the same recipe, so
rows compare like with like in law, not instance by instance.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

import wgankit
from benchmarks.command import Missed, finish, parser, tell_header
from benchmarks.korotin_problem import Korotin, Score, score
from wgankit.constraint import ByConstruction, Constraint
from wgankit.critic import fit_critic
from wgankit.lifted import Lifted, SoftMaxima
from wgankit.lipschitz import NormBounded
from wgankit.muon import Muon
from wgankit.space import Points, join, leaves, pick

SPACE = wgankit.Normed(2)


@dataclass(frozen=True)
class Published:
    """The published figures of a row.

    Arguments:
        best_cosine: largest cosine of any solver.
        best_l2: smallest L2 of any solver.
        by: which solver has the best cosine.
        steps: its updates of batch 1024.
        columns: cosine, L2 of WGAN-GP, WGAN-LP and SO (GroupSort).
    """

    best_cosine: float
    best_l2: float
    by: str
    steps: int
    columns: dict[str, tuple[float, float]]


def _columns(*pairs: tuple[float, float]) -> dict[str, tuple[float, float]]:
    return dict(zip(("GP", "LP", "SO"), pairs, strict=True))


# The table of Korotin et al.; there is none for 128 dimensions and 64 funnels.
PUBLISHED: dict[tuple[int, int], Published | None] = {
    (2, 4): Published(
        0.859, 0.069, "QP", 25_000, _columns((0.845, 0.087), (0.818, 0.171), (0.773, 0.213))
    ),
    (2, 64): Published(
        0.717, 0.340, "DOT", 25_000, _columns((0.355, 1.08), (0.676, 0.340), (0.661, 0.454))
    ),
    (16, 4): Published(
        0.971, 0.059, "SO", 25_000, _columns((0.964, 0.091), (0.964, 0.089), (0.971, 0.059))
    ),
    (16, 64): Published(
        0.785, 0.457, "GP", 60_000, _columns((0.785, 0.461), (0.783, 0.457), (0.569, 0.774))
    ),
    (64, 4): Published(
        0.959, 0.083, "SO", 25_000, _columns((0.918, 0.182), (0.922, 0.173), (0.959, 0.083))
    ),
    (64, 64): Published(
        0.834, 0.311, "SO", 25_000, _columns((0.606, 0.818), (0.598, 0.834), (0.834, 0.311))
    ),
    (128, 4): Published(
        0.931, 0.130, "SO", 25_000, _columns((0.923, 0.170), (0.926, 0.161), (0.931, 0.130))
    ),
    (128, 64): None,
    (128, 256): Published(
        0.612, 0.774, "SO", 25_000, _columns((0.562, 0.894), (0.563, 0.902), (0.612, 0.774))
    ),
}


@dataclass(frozen=True)
class Budget:
    """How long a critic is trained.

    Arguments:
        steps: updates.
        batch: points of each law for each update.
    """

    steps: int
    batch: int


@dataclass(frozen=True)
class Method:
    """A critic with what trains it.

    Arguments:
        critic: problem -> network.
        optimizer: network -> optimiser.
        penalty: what keeps the critic 1-Lipschitz.
        budget: D -> how long.
        instances: on how many instances it is run.
        counts: whether it stands for the aim of the benchmark (it knows no form of the truth).
    """

    critic: Callable[[Korotin], nn.Module]
    optimizer: Callable[[nn.Module], torch.optim.Optimizer]
    penalty: Constraint
    budget: Callable[[int], Budget]
    instances: int
    counts: bool


def dense(inputs: int, widths: Sequence[int], activation: Callable[[], nn.Module]) -> nn.Module:
    """Return dense layers with an activation between them, scores `(B,)` out."""
    layers: list[nn.Module] = []
    for before, after in pairwise([inputs, *widths]):
        layers += [nn.Linear(before, after), activation()]
    return nn.Sequential(*layers, nn.Linear(widths[-1], 1), nn.Flatten(0))


def smooth(critic: nn.Module) -> bool:
    """Return whether a critic has no rectifiers."""
    return not any(isinstance(layer, nn.ReLU) for layer in critic.modules())


def at_either(real: Points, fake: Points) -> tuple[Points, Points, Tensor]:
    """Take slopes at one half of the real points and at one half of the generated ones.

    Real points are where the metrics look; the generated law fills the cube, so nothing between
    them is left free.
    """
    count = len(leaves(real)[0]) // 2
    half = slice(0, count)
    points = join(pick(real, half), pick(fake, half))
    return points, points, torch.zeros(2 * count)


def as_published(problem: Korotin) -> nn.Module:
    """Return the published critic: two hidden layers of max(2 D, 128) rectifiers."""
    width = max(2 * problem.dimension, 128)
    return dense(problem.dimension, [width, width], nn.ReLU)


def network(problem: Korotin) -> nn.Module:
    """Return our critic: dense layers of (x, |x|^2).

    Rectifiers in the plane, where half of the real points stand at the tips of funnels; smooth
    activations above it.
    """
    kind = nn.ReLU if problem.dimension < 8 else nn.SiLU
    return Lifted(dense(problem.dimension + 1, [128, 128, 128], kind), problem.fake(1024))


def soft_maxima(problem: Korotin) -> nn.Module:
    """Return a difference of soft maxima of linear forms of (x, |x|^2)."""
    return Lifted(SoftMaxima(problem.dimension + 1), problem.fake(1024))


def norm_bounded(problem: Korotin) -> nn.Module:
    """Return a critic that is 1-Lipschitz by construction."""
    return NormBounded(problem.dimension, width=128, depth=4)


def cones(problem: Korotin) -> nn.Module:
    """Return an envelope of cones, which has the form of the truth: a reference, not a rival."""
    return wgankit.McShane(SPACE, problem.fake(512))


METHODS: dict[str, Method] = {
    "wgan-gp": Method(
        as_published,
        lambda critic: torch.optim.Adam(critic.parameters(), lr=1e-3, betas=(0.0, 0.9)),
        wgankit.Penalty(weight=10.0, shape=wgankit.two_sided, relative=False),
        lambda dimension: Budget(2_000, 256),
        instances=1,
        counts=False,
    ),
    "network": Method(
        network,
        lambda critic: Muon(critic, rate=0.02 if smooth(critic) else 0.007),
        wgankit.Penalty(weight=10.0, where=at_either),
        lambda dimension: Budget(2_500 if dimension >= 8 else 5_000, 256),
        instances=3,
        counts=True,
    ),
    "soft-maxima": Method(
        soft_maxima,
        lambda critic: torch.optim.Adam(critic.parameters(), lr=0.01, betas=(0.9, 0.99)),
        wgankit.Penalty(weight=10.0, where=at_either),
        lambda dimension: Budget(1_500, 256),
        instances=3,
        counts=True,
    ),
    "norm-bounded": Method(
        norm_bounded,
        lambda critic: Muon(critic, rate=0.01),
        ByConstruction(),
        lambda dimension: Budget(1_000, 256),
        instances=1,
        counts=True,
    ),
    "mcshane": Method(
        cones,
        lambda critic: torch.optim.Adam(critic.parameters(), lr=0.1, betas=(0.9, 0.99)),
        ByConstruction(),
        lambda dimension: Budget(1_000, 256),
        instances=1,
        counts=False,
    ),
}


class Work(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts floating-point operations of products, inverses and distances, forth and back."""

    total = 0.0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        out = func(*args, **(kwargs or {}))
        kind = func._overloadpacket
        if kind in flop_registry:
            self.total += flop_registry[kind](*args, **(kwargs or {}), out_val=out)
        elif kind is torch.ops.aten.linalg_inv_ex:
            self.total += 2 * args[0].shape[-1] ** 3
        elif kind is torch.ops.aten._cdist_forward:
            self.total += 3 * args[0].shape[-2] * args[1].shape[-2] * args[0].shape[-1]
        return out


def step_flops(problem: Korotin, method: Method, batch: int) -> float:
    """Return floating-point operations of one update: its products, solves and distances."""
    both = [_counted(problem, method, Budget(steps, batch)) for steps in (1, 2)]
    return both[1] - both[0]


def _counted(problem: Korotin, method: Method, budget: Budget) -> float:
    work = Work()  # type: ignore[no-untyped-call]
    with work:
        fitted(problem, method, budget, seed=0)
    return float(work.total)


def published_flops(problem: Korotin, steps: int) -> float:
    """Return the work of a published solver: the published critic's steps of batch 1024.

    Counted with the gradient penalty for the 60000 steps of GP and LP, and with the gap alone,
    which leaves something out, for the others.
    """
    penalised = METHODS["wgan-gp"]
    alone = Method(
        as_published, penalised.optimizer, ByConstruction(), penalised.budget, 1, counts=False
    )
    return steps * step_flops(problem, penalised if steps == 60_000 else alone, 1024)


def fitted(
    problem: Korotin, method: Method, budget: Budget, seed: int
) -> tuple[nn.Module, wgankit.Estimate]:
    """Return a critic trained on fresh samples at every step, and its report."""
    torch.manual_seed(seed)
    critic = method.critic(problem)
    report = fit_critic(
        critic,
        problem.real,
        problem.fake,
        space=SPACE,
        penalty=method.penalty,
        steps=budget.steps,
        pairs=budget.batch,
        optimizer=method.optimizer(critic),
        seed=seed,
    )
    return critic, report


@dataclass(frozen=True)
class Run:
    """One training: of what, on which instance, and what came out.

    Arguments:
        dimension: D.
        anchors: N.
        critic: name of the method.
        seed: of the instance and of the training.
        score: the figures of Korotin et al.
        debiased: the critic's own estimate of W1, over the exact one.
        seconds: of processor time.
        flops: floating-point operations.
    """

    dimension: int
    anchors: int
    critic: str
    seed: int
    score: Score
    debiased: float
    seconds: float
    flops: float


def run(row: tuple[int, int], name: str, seed: int, share: float = 1.0) -> Run:
    """Train a critic of the given name on the instance of a seed."""
    problem, method = Korotin(*row, seed), METHODS[name]
    whole = method.budget(row[0])
    budget = Budget(max(1, int(whole.steps * share)), whole.batch)
    start = time.process_time()
    critic, report = fitted(problem, method, budget, seed)
    seconds = time.process_time() - start
    flops = budget.steps * step_flops(problem, method, budget.batch)
    found = score(problem, critic, seed)
    debiased = float(report.w1) / problem.w1()
    return Run(*row, name, seed, found, debiased, seconds, flops)


def mean(values: Iterable[float]) -> float:
    """Return the mean."""
    listed = list(values)
    return sum(listed) / len(listed)


def _spread(values: Sequence[float]) -> str:
    middle = f"{mean(values):.3f}"
    return middle if len(values) == 1 else f"{middle} [{min(values):.3f}, {max(values):.3f}]"


def tell(row: tuple[int, int], name: str, runs: Sequence[Run]) -> None:
    """Print a critic's line of a row."""
    published = PUBLISHED[row]
    ratio = "-"
    if published:
        asked = published_flops(Korotin(*row, seed=0), published.steps)
        ratio = f"{runs[0].flops / asked:.3f}"
    print(
        f"  {name:13s} cos {_spread([one.score.cosine for one in runs]):22s} "
        f"L2 {_spread([one.score.l2 for one in runs]):22s} "
        f"D/W {_spread([one.score.gap for one in runs]):22s} "
        f"debiased {mean(one.debiased for one in runs):.3f}  "
        f"{mean(one.seconds for one in runs):5.1f} s  FLOPs/published {ratio}",
        flush=True,
    )


def tell_published(row: tuple[int, int]) -> None:
    """Print what is published of a row."""
    published = PUBLISHED[row]
    print(f"D={row[0]}, N={row[1]}", flush=True)
    if not published:
        print("  published: none")
        return
    columns = "  ".join(f"{key} {cos}/{l2}" for key, (cos, l2) in published.columns.items())
    print(
        f"  published cos/L2: {columns}  best {published.best_cosine}/{published.best_l2} "
        f"({published.by})"
    )


def missed(runs: Sequence[Run]) -> list[Missed]:
    """Return the rows where no critic that counts is better than everything published."""
    found: list[Missed] = []
    for row, published in PUBLISHED.items():
        some = [
            [one for one in runs if (one.dimension, one.anchors, one.critic) == (*row, name)]
            for name, method in METHODS.items()
            if method.counts
        ]
        if published and any(some):
            short: list[list[Missed]] = [_short(row, published, of) for of in some if of]
            closest = min(short, key=len)
            found += closest
    return found


def _short(row: tuple[int, int], published: Published, runs: Sequence[Run]) -> list[Missed]:
    """Return where one critic falls short of the best published figures of a row."""
    cosine = mean(one.score.cosine for one in runs)
    l2 = mean(one.score.l2 for one in runs)
    where = f"{runs[0].critic}, D={row[0]}, N={row[1]}"
    found = []
    if cosine <= published.best_cosine:
        found.append(Missed(f"{where}, cosine", f"{cosine:.4f}", f"> {published.best_cosine}"))
    if l2 >= published.best_l2:
        found.append(Missed(f"{where}, L2", f"{l2:.4f}", f"< {published.best_l2}"))
    return found


def _row(text: str) -> tuple[int, int]:
    dimension, anchors = text.split(",")
    return int(dimension), int(anchors)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark."""
    made = parser("korotin", "critics against laws whose best critic is known")
    made.add_argument("--rows", nargs="+", type=_row, help="such as 16,4 64,64")
    made.add_argument("--seeds", type=int, help="instances of each row; by critic 1 or 3, quick 1")
    made.add_argument("--critics", nargs="+", choices=list(METHODS), default=list(METHODS))
    options = made.parse_args(arguments)
    torch.set_num_threads(1)
    rows = options.rows or ([(2, 4), (16, 4)] if options.quick else list(PUBLISHED))
    unknown = [row for row in rows if row not in PUBLISHED]
    if unknown:
        made.error(f"rows are {', '.join(f'{d},{n}' for d, n in PUBLISHED)}")
    tell_header()
    runs: list[Run] = []
    for row in rows:
        tell_published(row)
        for name in options.critics:
            share = 0.5 if options.quick else 1.0
            seeds = options.seeds or (1 if options.quick else METHODS[name].instances)
            some = [run(row, name, seed, share) for seed in range(seeds)]
            tell(row, name, some)
            runs += some
    # A short run is there to be seen, not to be compared with what took hours.
    failed = [] if options.quick else missed(runs)
    return finish(options, {"runs": [asdict(one) for one in runs]}, failed)


if __name__ == "__main__":
    sys.exit(main())
