"""Graphs generated in one pass, by published protocols: `benchmarks.graphs`.

    python -m benchmarks.graphs --data FOLDER
    python -m benchmarks.graphs --data FOLDER --train sbm

FOLDER holds planar_graphs.npz, tree_graphs.npz and sbm_graphs.npz with their published splits (see
docs/graphs.md).  Every table has the rows training set and perfect sampler, which is the process
that made the set, seeded differently; and ours, where the folder of `--runs` holds a run of that
name, which `--train` makes.  V.U.N. of block models stands in one column for each test of validity:
graph-tool's is the published one.
"""

from __future__ import annotations

import copy
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

import wgankit
from benchmarks.command import Missed, finish, parser, tell_header
from benchmarks.graph_laws import PLANTED_BLOCKS, PLANTED_NODES, block_figures, tree_figures
from wgankit import state as states
from wgankit.settings import schedule_named
from wgankit_graphs import PairLatent, published
from wgankit_graphs.blocks import BlockGenerator
from wgankit_graphs.choices import Choices, OneTurn
from wgankit_graphs.metrics import STATISTICS, describe, distance, vun_of
from wgankit_graphs.plane import PlaneGenerator
from wgankit_graphs.sizes import BySize
from wgankit_graphs.surroundings import Described, SetCritic, Surroundings
from wgankit_graphs.trees import TreeGenerator

TREES = ("tree", "lobster")
"""Sets whose graphs are trees."""

SETS = ("planar", "tree", "lobster", "sbm", "community")

REFERENCES = {
    "planar": (0.0002, 0.0310, 0.0005, 0.0038),
    "tree": (0.0001, 0.0000, 0.0000, 0.0074),
    "sbm": (0.0008, 0.0332, 0.0255, 0.0027),
}
"""Published distances of training to test graphs: degree, clustering, orbit, spectrum."""

PUBLISHED_COSTS = {
    "DiGress, one H100": (13.0, 60.0),
    "DeFoG, one A100": (6.3, 90.0),
    "AutoGraph, one H100": (0.14, 92.5),
}
"""Seconds for a block model and V.U.N. in percent by graph-tool, as published: DeFoG's from tables
1 and 4 of its paper (0.07 hours for 40 graphs); AutoGraph's as others quote it; DiGress's V.U.N.
from its paper, its seconds 93 times those of AutoGraph, as AutoGraph's authors say."""

TARGETS = {"planar": 0.6, "sbm": 0.859, "tree": 0.97, "lobster": 0.91}
"""V.U.N. of 1,024 graphs of ours."""

GENERATORS: dict[str, dict[str, Any]] = {
    "planar": {"generator": "plane"},
    "sbm": {"generator": "blocks", "blocks": 8},
    "tree": {"generator": "tree", "blocks": 3},
    "lobster": {"generator": "tree", "blocks": 3},
    "community": {"generator": "blocks", "blocks": 4},
}
"""Of the recipe `graphs`, for each set."""

NUMBERS = {
    "planar": "faces",
    "sbm": "companies",
    "tree": "twigs",
    "lobster": "twigs",
    "community": "communities",
}
"""What the critics see of the nodes."""


@dataclass(frozen=True)
class Size:
    """How much is measured.

    Arguments:
        small: batches of 40 graphs.
        large: graphs of the large sample.
        graph_tool: how many of the large sample graph-tool judges; with 0, the batches of 40 stand
            for a large sample, since it is slow.
    """

    small: int = 5
    large: int = 1_024
    graph_tool: int = 0


QUICK = Size(small=1, large=128)


# ---- training ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Training:
    """How a generator is trained.

    Arguments:
        steps: of the generator, over which both rates fall to 0.
        rate: of the generator; the critic's is 1e-3.
        n_critic: updates of the critic for each of the generator.
        batch: graphs.
        ema: what is left of the average at each step.
        seed: of everything drawn.
        every: how many steps lie between averages that may be kept, late.
        late: share of the steps after which averages may be kept.
    """

    steps: int
    rate: float = 2e-4
    n_critic: int = 5
    batch: int = 16
    ema: float = 0.99
    seed: int = 0
    every: int = 100
    late: float = 0.75


TRAININGS = {
    "planar": Training(400, rate=1e-3, n_critic=3, ema=0.98, every=50, late=0.5),
    "sbm": Training(2_000, n_critic=3),
    "tree": Training(400, rate=1e-3, late=0.5),
    "lobster": Training(1_000, rate=1e-3, late=0.5),
    "community": Training(600, n_critic=3),
}
"""How each set is trained."""


def untrained(name: str, known: published.Splits, out: Path, seed: int) -> wgankit.Recipe:
    """Return a run of the recipe `graphs` with the generator of a set, one step old."""
    return wgankit.recipe("graphs").fit(
        known.train, out=out, device="cpu", progress=False, held_out=0.0, evaluate_on=8,
        batch=8, steps=1, seed=seed, model={**GENERATORS[name], "generator_layers": 2},
    )  # fmt: skip


def trained(name: str, known: published.Splits, out: Path, by: Training) -> None:
    """Train on the 128 graphs of a set, in the space of what nodes see, and keep the run.

    Batches are of graphs of about one size, and a generated graph has the size of the real one
    beside it.  What is kept is the average that `chosen` picks.
    """
    begun = time.process_time()
    recipe = untrained(name, known, out, by.seed)
    print(f"{name}: the game begins after {time.process_time() - begun:,.0f} s", flush=True)
    model, folder = recipe.model, recipe.folder
    assert model is not None
    assert folder is not None
    assert isinstance(model.latent, PairLatent)
    real = recipe.prepared(recipe.points())
    describe_nodes = Surroundings(NUMBERS[name])
    torch.manual_seed(by.seed)
    generator = Described(model.generator.train(), describe_nodes)
    with torch.no_grad():
        data = describe_nodes.fit([real])(real)
        made = generator(model.latent.beside(real))
    critic = SetCritic(1 + describe_nodes.count)
    begun = time.process_time()
    # From a critic that knows nothing a generator learns to go astray.
    wgankit.fit_critic(critic, data, made, space=wgankit.Normed(p=2), steps=60, pairs=32)
    training = wgankit.train(
        generator,
        critic,
        data,
        space=wgankit.Normed(p=2),
        latent=model.latent,
        steps=by.steps,
        batch=by.batch,
        n_critic=by.n_critic,
        generator_rate=by.rate,
        critic_rate=1e-3,
        schedule=schedule_named("linear", by.steps),
        ema=by.ema,
        content=taught(generator, critic, model.latent),
        seed=by.seed,
        device="cpu",
        compile=False,
    )
    training.batches = BySize(data, by.batch, seed=by.seed)  # type: ignore[assignment]
    candidates: dict[int, dict[str, Any]] = {}
    for step in training:
        if step.index % by.every and step.index != by.steps:
            continue
        spent = time.process_time() - begun
        print(f"{name}: step {step.index:,}, {spent:,.0f} s, W1 {step.w1:.2f}", flush=True)
        assert isinstance(training.average, Described)
        state = copy.deepcopy(training.average.generator.state_dict())
        states.save({"average": state}, folder.best)
        if step.index > by.late * by.steps:
            candidates[step.index] = state
    states.save({"average": chosen(candidates, recipe, known)}, folder.best)


def taught(
    generator: Described, critic: SetCritic, latent: PairLatent
) -> Callable[[Any, Any], torch.Tensor] | None:
    """Return what teaches a generator by scores what slopes do not teach it, if there is any."""
    if isinstance(generator.generator, PlaneGenerator):
        return None
    choices = Choices(critic, generator, latent)
    if not isinstance(generator.generator, TreeGenerator):
        return choices
    turns = OneTurn(critic, generator.generator, generator.describe, latent)
    return lambda made, real: choices(made, real) + turns(made, real)


def chosen(
    candidates: Mapping[int, dict[str, Any]], recipe: wgankit.Recipe, known: published.Splits
) -> dict[str, Any]:
    """Return the weights whose graphs are nearest to the validation graphs.

    The four distances of 64 graphs, each over that of the training graphs, are averaged; one that
    is 0 for those is left out.  No test of validity is asked, and no test graph.
    """
    assert recipe.folder is not None
    val, train = describe(known.val), describe(known.train)
    reference = {one: distance(one, train, val) for one in STATISTICS}
    seen = {}
    for index, state in candidates.items():
        states.save({"average": state}, recipe.folder.best)
        drawn = wgankit.load(recipe.folder.path).sample(64, seed=0, device="cpu", workers=0)
        made = describe(drawn)
        far = {one: distance(one, made, val) for one in STATISTICS}
        seen[index] = float(np.mean([far[k] / r for k, r in reference.items() if r > 1e-5]))
        print(f"step {index:,}: {seen[index]:.2f} times as far from validation as training graphs")
    return candidates[min(seen, key=lambda index: seen[index])]


# ---- measuring ---------------------------------------------------------------------------------


def batches(graphs: Sequence[Any]) -> list[Sequence[Any]]:
    """Return the graphs forty at a time."""
    return [graphs[i : i + published.BATCH] for i in range(0, len(graphs), published.BATCH)]


def row(
    name: str, draw: Callable[[int, int], list[Any]], known: published.Splits, size: Size
) -> dict[str, Any]:
    """Return the figures of one sampler; `draw` takes how many graphs and a seed."""
    few = draw(published.BATCH * size.small, 1)
    many = draw(size.large, 2)
    figures: dict[str, Any] = {"small": {}, "large": {}}
    for suffix, test in published.verdicts(name).items():
        told = [test(batch) for batch in batches(few)]
        figures["small"][suffix] = [
            vun_of(batch, known.train, valid)["vun"]
            for batch, valid in zip(batches(few), told, strict=True)
        ]
        judged: Sequence[Any] = many
        if suffix == "_graph_tool":
            judged = many[: size.graph_tool] or few
            test = test if size.graph_tool else already(told)
        seen = published.shares(judged, known.train, {suffix: test})
        figures["large"] |= {**seen, f"graphs{suffix}": len(judged)}
    return {**figures, **shape(name, many), "distances": published.distances(few, known)}


def shape(name: str, graphs: Sequence[Any]) -> dict[str, Any]:
    """Return what trees look like, under "shape"."""
    return {"shape": tree_figures(graphs)} if name in TREES else {}


def already(told: Sequence[list[bool]]) -> published.Verdict:
    """Return a test of all graphs that were judged in batches before, which asks nobody again."""
    return lambda graphs: [valid for batch in told for valid in batch]


def training_row(name: str, known: published.Splits, size: Size) -> dict[str, Any]:
    """Return what the training graphs score, which are valid and never novel."""
    train, test = describe(known.train), describe(known.test)
    shares: dict[str, float] = {}
    for suffix, valid in published.verdicts(name).items():
        judged = known.train[: 40 if size.small == 1 else 128]
        shares |= {**published.shares(judged, [], {suffix: valid}), f"graphs{suffix}": len(judged)}
    reference = {f"{one}_mmd": distance(one, train, test) for one in STATISTICS}
    return {"large": shares, **shape(name, known.train), "distances": reference}


def rate(recipe: wgankit.Recipe, count: int) -> dict[str, float]:
    """Return graphs a second of one thread's CPU time, of the network alone and with decoding."""
    recipe.sample_points(16, seed=0, device="cpu")
    begun = time.process_time()
    points = recipe.sample_points(count, seed=0, device="cpu")
    network = time.process_time() - begun
    recipe.domain.decode(points, recipe.config["vocabulary"])
    both = time.process_time() - begun
    return {"network": count / network, "decoded": count / both}


def measured(
    name: str, data: Path | None, runs: Path, size: Size, pictures: Path | None, *, alone: bool
) -> dict[str, Any]:
    """Return the rows of a set (`alone`: ours only), and write its picture if a folder is named."""
    known = published.splits(name, data)
    rows = {} if alone else references(name, known, size)
    figures: dict[str, Any] = {"rows": rows}
    if (runs / name).is_dir():
        recipe = wgankit.load(runs / name)

        def ours(count: int, seed: int) -> list[Any]:
            return recipe.sample(count, seed=seed, device="cpu", workers=0)

        rows["ours"] = row(name, ours, known, size)
        if pictures is not None:
            draw_both(name, known.train, ours(4, 3), pictures)
        figures["rate"] = rate(recipe, min(size.large, 256))
        if name == "sbm":
            figures |= law_of_blocks(recipe)
        if pictures is not None and name == "sbm":
            draw_costs(figures, pictures)
    return figures


def law_of_blocks(recipe: wgankit.Recipe) -> dict[str, Any]:
    """Return what a block generator draws by, under "blocks"; nothing of another generator."""
    generator = recipe.generator("cpu")
    if not isinstance(generator, BlockGenerator) or recipe.model is None:
        return {}
    latent = recipe.model.latent
    return {"blocks": block_figures(generator, lambda count: latent.sample(count, "cpu"))}


def references(name: str, known: published.Splits, size: Size) -> dict[str, Any]:
    """Return the rows that no run changes."""
    # Seeds that no split was made with, as far as it was made here.
    perfect = published.PROCESSES[name]
    return {
        "training set": training_row(name, known, size),
        "perfect sampler": row(name, lambda count, seed: perfect(count, 1_000 + seed), known, size),
    }


# ---- tables ------------------------------------------------------------------------------------


def percent(value: float) -> str:
    return f"{100 * value:.1f}"


def cells(one: Mapping[str, Any], suffix: str) -> Iterator[str]:
    """Yield what a row says of one test: valid, V.U.N. of batches, of the large sample."""
    large = one["large"]
    yield percent(large[f"valid{suffix}"])
    if "small" not in one:
        yield from ("-", "-")
        return
    seen = one["small"][suffix]
    yield f"{percent(float(np.mean(seen)))} ± {percent(float(np.std(seen)))}"
    low, high = large[f"vun{suffix}_low"], large[f"vun{suffix}_high"]
    yield f"{percent(large[f'vun{suffix}'])} ({percent(low)}-{percent(high)})"


def show(name: str, figures: Mapping[str, Any]) -> None:
    """Print one set's tables: one of shares for each test, and one of distances."""
    rows = figures["rows"]
    for suffix in published.verdicts(name):
        title = f"{name}{suffix.replace('_', ' ')}: percent"
        table = Table(title=title, title_justify="left")
        for column in ("graphs", "valid", "V.U.N., 40 each", "V.U.N., large sample"):
            table.add_column(column, justify="left" if column == "graphs" else "right")
        for row_name, one in rows.items():
            table.add_row(row_name, *cells(one, suffix))
        Console(width=100).print(table)
    table = Table(title=f"{name}: MMD to the test graphs, 40 graphs each", title_justify="left")
    for column in ("graphs", *STATISTICS, "ratio"):
        table.add_column(column, justify="left" if column == "graphs" else "right")
    for row_name, one in rows.items():
        seen = one["distances"]
        told = [f"{seen[f'{each}_mmd']:.4f}" for each in STATISTICS]
        table.add_row(row_name, *told, f"{seen['ratio']:.1f}" if "ratio" in seen else "1.0")
    Console(width=100).print(table)
    show_laws(name, figures)
    if "rate" in figures:
        print(
            f"{name}: {figures['rate']['network']:,.0f} graphs a second of CPU, "
            f"{figures['rate']['decoded']:,.0f} with decoding, one thread"
        )


def show_laws(name: str, figures: Mapping[str, Any]) -> None:
    """Print what trees look like, and what block models are drawn by."""
    shapes = {row: one["shape"] for row, one in figures["rows"].items() if "shape" in one}
    if shapes:
        title = f"{name}: percent of nodes, and deciles of the nodes of backbones"
        table = Table(title=title, title_justify="left")
        table.add_column("graphs")
        for column in next(iter(shapes.values())):
            table.add_column(column, justify="right")
        for row_name, shares in shapes.items():
            told = (
                f"{value:.0f}" if figure.startswith("decile") else percent(value)
                for figure, value in shares.items()
            )
            table.add_row(row_name, *told)
        Console(width=100).print(table)
    if "blocks" in figures:
        law = figures["blocks"]
        print(
            f"{name}, by the generator's own chances: edges within blocks {law['within']:.4f}, "
            f"between {law['between']:.4f}; blocks of {law['nodes']:.1f} ± {law['deviation']:.1f} "
            f"nodes; {percent(law['too many blocks'])} % of graphs with more than "
            f"{PLANTED_BLOCKS} blocks, {percent(law['all as planted'])} % with only blocks of "
            f"{PLANTED_NODES[0]} to {PLANTED_NODES[1]} nodes"
        )


def draw_both(name: str, real: Sequence[Any], ours: Sequence[Any], path: Path) -> None:
    """Write a picture of four training graphs above four of ours."""
    import matplotlib

    matplotlib.use("Agg")
    import networkx
    from matplotlib import pyplot

    figure, rows = pyplot.subplots(2, 4, figsize=(8, 4.2))
    for axes, graphs, title in zip(rows, (real, ours), ("training set", "ours"), strict=True):
        for place, graph in zip(axes, graphs, strict=False):
            at = networkx.spring_layout(graph, seed=0, iterations=80)
            networkx.draw(graph, at, ax=place, node_size=6, width=0.4, edge_color="0.6")
        axes[0].set_title(f"{name}: {title}", loc="left", fontsize=9)
    figure.tight_layout()
    path.mkdir(parents=True, exist_ok=True)
    figure.savefig(path / f"graphs-{name}.png", dpi=60)
    pyplot.close(figure)


def draw_costs(figures: Mapping[str, Any], path: Path) -> None:
    """Write a picture of V.U.N. of block models against seconds a graph, each by its machine."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    small = figures["rows"]["ours"]["small"].get("_graph_tool")
    if small is None:
        return
    ours = (1 / figures["rate"]["decoded"], 100 * float(np.mean(small)))
    figure, axes = pyplot.subplots(figsize=(6, 3.4))
    points = {**PUBLISHED_COSTS, "ours, one CPU thread": ours}
    for name, (seconds, vun) in points.items():
        mine = name.startswith("ours")
        axes.plot(seconds, vun, "o", color="tab:red" if mine else "0.4")
        axes.annotate(name, (seconds, vun), xytext=(0, 6), textcoords="offset points",
                      ha="left" if seconds < 0.1 else "center", fontsize=8)  # fmt: skip
    axes.axhline(85.9, color="0.7", linewidth=0.8)
    axes.annotate("training graphs", (0.6, 85.9), xytext=(0, -9),
                  textcoords="offset points", fontsize=7, color="0.5")  # fmt: skip
    axes.set(xscale="log", xlim=(1e-3, 60), ylim=(0, 100), xlabel="seconds a graph")
    axes.set_ylabel("V.U.N. of block models, percent")
    figure.tight_layout()
    figure.savefig(path / "graphs-cost.png", dpi=100)
    pyplot.close(figure)


def misjudged(name: str, rows: Mapping[str, Any]) -> Iterator[Missed]:
    """Yield what shows that a set is not measured as it should be."""
    seen = rows["training set"]["distances"]
    for statistic, wanted in zip(STATISTICS, REFERENCES.get(name, ()), strict=False):
        reached = seen[f"{statistic}_mmd"]
        if not abs(reached - wanted) < 1e-4:
            yield Missed(f"{name}: published {statistic}", f"{reached:.5f}", f"{wanted}")
    valid = rows["perfect sampler"]["large"].get("valid", 1.0)
    if valid < 1:
        yield Missed(f"{name}: perfect sampler, valid", percent(valid), "100.0")


def judge(sets: Mapping[str, Any], quick: bool) -> Iterator[Missed]:
    """Yield the targets that were missed."""
    for name, figures in sets.items():
        rows = figures["rows"]
        if "training set" in rows:
            yield from misjudged(name, rows)
        if quick or "ours" not in rows or name not in TARGETS:
            continue
        large = rows["ours"]["large"]
        vun = large.get("vun", large.get("vun_graph_tool"))
        if vun is not None and vun < TARGETS[name]:
            yield Missed(f"{name}: V.U.N.", percent(vun), f">= {percent(TARGETS[name])}")


def main(given: Sequence[str] | None = None) -> int:
    """Run the benchmark; return its exit code."""
    arguments = parser("graphs", "Graphs generated in one pass, by published protocols.")
    arguments.add_argument("--data", type=Path, help="folder of the published splits")
    arguments.add_argument("--runs", type=Path, default=Path("runs/graphs"), help="trained runs")
    arguments.add_argument("--sets", nargs="+", choices=SETS, default=SETS, metavar="NAME")
    arguments.add_argument("--train", nargs="+", choices=GENERATORS, default=(), metavar="NAME")
    arguments.add_argument("--pictures", type=Path, metavar="FOLDER", help="draw graphs there")
    arguments.add_argument("--ours", action="store_true", help="measure runs alone, not references")
    arguments.add_argument("--steps", type=int, help="of training; by default, each set's own")
    arguments.add_argument("--seed", type=int, default=0, help="of training")
    arguments.add_argument(
        "--graph-tool",
        type=int,
        metavar="N",
        help="graphs of the large sample that it judges, beside the batches of 40",
    )
    options = arguments.parse_args(given)
    torch.set_num_threads(1)
    tell_header()
    size = QUICK if options.quick else Size()
    size = replace(size, graph_tool=options.graph_tool or size.graph_tool)
    for name in options.train:
        known = published.splits(name, options.data)
        by = replace(TRAININGS[name], seed=options.seed)
        by = replace(by, steps=options.steps or by.steps)
        trained(name, known, options.runs / name, by)
    sets = {}
    for name in options.sets:
        if (
            name not in published.MADE
            and options.data is None
            and not os.environ.get(published.FOLDER)
        ):
            print(f"{name} is left out: no folder of the published splits; say --data FOLDER")
            continue
        sets[name] = measured(
            name, options.data, options.runs, size, options.pictures, alone=options.ours
        )
        show(name, sets[name])
        if "ours" not in sets[name]["rows"]:
            print(f"{name}: no run in {options.runs / name}; --train makes those of "
                  f"{', '.join(GENERATORS)}")  # fmt: skip
    return finish(options, {"sets": sets}, list(judge(sets, options.quick)))


if __name__ == "__main__":
    sys.exit(main())
