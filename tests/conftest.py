import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

PLUGIN = """
import wgankit
WGANKIT_API = 1

@wgankit.hookimpl
def wgankit_recipes():
    yield wgankit.RecipeSpec(name="clouds", factory="clouds:Clouds", summary="points of the plane")
    yield wgankit.RecipeSpec(name="scaled", factory="clouds:Scaled", summary="in another unit")

@wgankit.hookimpl
def wgankit_datasets():
    yield wgankit.DatasetSpec(
        name="square", factory="cloud_plugin:square", summary="a square", recipe="clouds",
        size=64, licence="CC0-1.0",
    )

@wgankit.hookimpl
def wgankit_models():
    yield wgankit.ModelSpec(
        name="trained", factory="cloud_plugin:trained", summary="a square, learnt",
        recipe="clouds", licence="CC0-1.0",
    )

def trained():
    import os
    return os.environ["TRAINED_CLOUDS"]

def square():
    return [(3 + i % 8 / 8, 2 + i // 8 / 8) for i in range(64)]
"""


@pytest.fixture
def clouds(tmp_path_factory, monkeypatch):
    """A registry whose only plugin has the recipe `clouds` and the data set `square`."""
    from wgankit import plugins
    from wgankit.testing import fake_plugin

    folder = tmp_path_factory.mktemp("site")
    monkeypatch.syspath_prepend(folder)
    found = fake_plugin(folder, distribution="cloud-plugin", code=PLUGIN)
    registry = plugins.Registry(entry_points=found)
    monkeypatch.setattr(plugins, "registry", lambda: registry)
    yield registry
    sys.modules.pop("cloud_plugin", None)
