"""Every plugin's networks are traced whole, and their steps stay on a device.

Each part of a step is compared with what is written before it is believed (test_compiled.py), so
what has to be shown here is that nothing was refused, and that no seed's numbers come otherwise.
"""

import warnings

import networkx
import pytest
import torch

import wgankit
from wgankit.compiled import relative_error
from wgankit.errors import CompileWarning
from wgankit.testing import check_steps

SMALL = {"steps": 1, "batch": 8, "evaluate_on": 8, "device": "cpu", "progress": False}


def random_graphs():
    return [networkx.gnp_random_graph(7, 0.4, seed=seed) for seed in range(24)]


def random_trees():
    return [networkx.random_labeled_tree(7, seed=seed) for seed in range(24)]


def trainings(name, objects, out, **settings):
    """Return two trainings of a recipe, as written and traced."""
    recipe = wgankit.recipe(name).fit(objects, out=out, compile=False, **{**SMALL, **settings})
    found = []
    for compile in (False, "trace"):
        recipe = wgankit.load(out)
        recipe.config["settings"].update(steps=3, compile=compile)
        found.append(recipe.training(device="cpu"))
    return found


LATENT = {"model": {"autoencoder": {"latent": 8, "encoder": 8, "decoder": 8, "epochs": 0.01}}}
OF_GRAPHS = {"model": {"width": 16, "autoencoder": {"latent": 8, "width": 16, "steps": 5}}}

PLANE = {"model": {"generator": "plane", "places_steps": 5}}


@pytest.mark.parametrize(
    ("name", "objects", "settings"),
    [
        ("graphs", random_graphs, {}),
        ("graphs", random_graphs, {"model": {"labels": "gumbel"}}),
        ("graphs", random_graphs, {"model": {"generator": "blocks"}}),
        ("graphs", random_trees, {"model": {"generator": "tree"}}),
        ("graphs", random_trees, PLANE),
        ("images", lambda: "digits", {}),
        ("images:superres", lambda: "digits", {}),
        ("molecules", lambda: "qm9-10k", {}),
        ("graphs:latent", random_graphs, OF_GRAPHS),
    ],
    ids=[
        "graphs",
        "gumbel",
        "blocks",
        "trees",
        "planes",
        "pictures",
        "superres",
        "molecules",
        "points",
    ],
)
def test_networks_of_plugins_are_traced(name, objects, settings, tmp_path):
    pytest.importorskip(f"wgankit_{name.split(':')[0]}")
    one, other = trainings(name, objects(), tmp_path / "run", **settings)
    with warnings.catch_warnings():
        warnings.simplefilter("error", CompileWarning)
        wanted, found = next(one), next(other)
    assert {part.name: part.refused for part in other.execution.parts} == dict.fromkeys(
        ("drawing points", "the critic's update", "the generator's update"), ""
    )
    assert torch.equal(one.randomness.state["cpu"], other.randomness.state["cpu"])
    gradients = [[p.grad for p in side.players[1].parameters] for side in (one, other)]
    assert relative_error(*gradients) < 1e-3
    assert float(found.w1) == pytest.approx(float(wanted.w1), rel=1e-2, abs=1e-4)


@pytest.mark.parametrize(
    ("name", "objects", "settings"),
    [
        ("graphs", random_graphs, {}),
        ("graphs", random_graphs, {"model": {"labels": "gumbel"}}),
        ("graphs", random_graphs, {"model": {"generator": "blocks", "critic": "walks"}}),
        ("graphs", random_trees, {"model": {"generator": "tree"}}),
        ("graphs", random_trees, PLANE),
        ("images", lambda: "digits", {}),
        ("images:superres", lambda: "digits", {}),
        ("molecules", lambda: "qm9-10k", {}),
        ("molecules:latent", lambda: "qm9-10k", LATENT),
        ("molecules:latent-graphs", lambda: "qm9-10k", OF_GRAPHS),
    ],
    ids=[
        "graphs",
        "gumbel",
        "blocks",
        "trees",
        "planes",
        "pictures",
        "superres",
        "molecules",
        "latent",
        "latent graphs",
    ],
)
def test_steps_carry_nothing_to_the_device(name, objects, settings, tmp_path):
    pytest.importorskip(f"wgankit_{name.split(':')[0]}")
    objects = objects()
    out = tmp_path / "run"
    recipe = wgankit.recipe(name).fit(objects, out=out, compile=False, **{**SMALL, **settings})
    check_steps(recipe.training(device="cpu"))
