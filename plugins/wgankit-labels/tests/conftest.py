"""What the tests of this plugin share: points of the plane as a domain; pages without charts."""

import importlib.metadata
import math
import sys

import pytest
import torch

from wgankit import plugins
from wgankit.testing import fake_plugin

CLOUDS = """
import collections, dataclasses, math
import wgankit
WGANKIT_API = 1

@wgankit.hookimpl
def wgankit_recipes():
    yield wgankit.RecipeSpec(name="clouds", factory="cloud_plugin:Clouds", summary="points")
    yield wgankit.RecipeSpec(name="centred", factory="cloud_plugin:Centred", summary="points")

def radius(objects):
    return [None if p == (9.0, 9.0) else math.hypot(*p) for p in objects]

class Clouds(wgankit.Domain):
    objects = "points"
    defaults = {"steps": 3, "batch": 8, "n_critic": 1, "evaluate_on": 40, "evaluate_every": 50,
                "held_out": 0.25, "model": {"width": 16}}
    measures = {"radius": "cloud_plugin:radius"}

    def encode(self, objects, vocabulary=None, *, largest=None):
        import torch
        kept = [k for k, one in enumerate(objects) if len(one) == 2]
        lost = collections.Counter({"no point": len(objects) - len(kept)})
        points = torch.tensor([objects[k] for k in kept]).float().view(-1, 2)
        return wgankit.Encoded(points, vocabulary or {"seen": len(kept)}, kept, +lost)

    def decode(self, points, vocabulary):
        return [tuple(one) for one in points.tolist()]

    def build(self, vocabulary, settings):
        assert set(settings["model"]) == {"width"}
        width = settings["model"]["width"]
        return wgankit.Model(wgankit.Normed(), wgankit.Normal(2),
                             wgankit.Perceptron(2, 2, width=width),
                             wgankit.Perceptron(2, width=width))

    def read(self, path):
        lines = [line.split(",")[:2] for line in path.read_text().split("\\n") if line]
        lines = [line for line in lines if line[0] != "x"]
        return wgankit.Reading([tuple(map(float, line)) for line in lines])

    def write(self, objects, path):
        path.write_text("".join(f"{x},{y}\\n" for x, y in objects))

    def evaluate(self, objects, training, held_out):
        return {"mean_x": sum(x for x, _ in objects) / len(objects)}

    def picture(self, objects):
        return f'<svg xmlns="http://www.w3.org/2000/svg"><text>{objects[0][0]:.3f}</text></svg>'

class Centred(Clouds):
    # Points are stored as what they are apart from their mean, which is learnt.
    def encode(self, objects, vocabulary=None, *, largest=None):
        found = super().encode(objects, vocabulary, largest=largest)
        if vocabulary and "learnt" in vocabulary:
            found = dataclasses.replace(found, points=found.points - vocabulary["learnt"]["mean"])
        return found

    def learn(self, encoded, training, workshop):
        assert set(workshop.settings["model"]) == {"width"}
        mean = encoded.points[training].mean(0)
        seen = {"seen": len(training)}
        return wgankit.Learnt(encoded.points - mean, seen, {"mean": mean})

    def decode(self, points, vocabulary):
        return super().decode(points + vocabulary["learnt"]["mean"], vocabulary)

    def build(self, vocabulary, settings):
        vocabulary["learnt"]["mean"]
        return super().build(vocabulary, settings)
"""


@pytest.fixture(scope="module", autouse=True)
def no_charts():
    """Report pages without their charts, which are the core's and take most of a short run."""
    patch = pytest.MonkeyPatch()
    patch.setattr("wgankit.report.chart", lambda *args, **kwargs: "")
    yield
    patch.undo()


@pytest.fixture(scope="module")
def clouds(tmp_path_factory):
    """A registry with the recipes `clouds` and `conditioned`."""
    folder = tmp_path_factory.mktemp("site")
    monkeypatch = pytest.MonkeyPatch()
    monkeypatch.syspath_prepend(folder)
    found = fake_plugin(folder, distribution="cloud-plugin", code=CLOUDS)
    ours = [
        one
        for one in importlib.metadata.entry_points(group="wgankit")
        if one.value == "wgankit_labels"
    ]
    registry = plugins.Registry(entry_points=[*found, *ours])
    monkeypatch.setattr(plugins, "registry", lambda: registry)
    yield registry
    monkeypatch.undo()
    sys.modules.pop("cloud_plugin", None)


@pytest.fixture(scope="session")
def points():
    """Makes labelled points: three arcs, named by their colour."""

    def make(count=60):
        torch.manual_seed(0)
        angles = torch.rand(count).tolist()
        colours = ["red", "green", "blue"]
        return [
            ((math.cos(a) * (1 + k % 3), math.sin(a) * (1 + k % 3)), {"colour": colours[k % 3]})
            for k, a in enumerate(angles)
        ]

    return make


@pytest.fixture(scope="module")
def coloured(clouds, points, tmp_path_factory):
    """A recipe trained for some steps on points of three colours."""
    from wgankit_labels import conditioned

    out = tmp_path_factory.mktemp("coloured") / "run"
    settings = {"device": "cpu", "progress": False}
    return conditioned("clouds", "colour").fit(points(), out=out, **settings)
