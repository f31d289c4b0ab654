"""The recipe `molecules:latent`: an autoencoder first, then a game among its points."""

import math
from pathlib import Path

import pytest
import torch
from rdkit import Chem
from typer.testing import CliRunner

import wgankit
from wgankit import DataError, RunError, SettingError, cli, report
from wgankit import settings as recipe_settings
from wgankit.domain import Workshop
from wgankit.latent_networks import (
    Blur,
    LatentCritic,
    LatentGenerator,
    law_of,
    moved,
)
from wgankit.objective import Relativistic
from wgankit.progress import Silent
from wgankit.space import pick
from wgankit.testing import check_critic, check_generator
from wgankit_molecules import autoencoder_training, chemistry
from wgankit_molecules.autoencoder import decode_points
from wgankit_molecules.data import qm9_10k
from wgankit_molecules.latent import LatentMolecules, canonical_strings
from wgankit_molecules.tokens import decode_tokens

AUTOENCODER = {
    "latent": 6,
    "encoder": 8,
    "decoder": 10,
    "questions": 2,
    "epochs": 2,
    "batch": 8,
    "precision": "32-true",
}
MODEL = {"inputs": 5, "width": 16, "depth": 1, "level": 0.5, "temperature": 1.0,
         "autoencoder": AUTOENCODER}  # fmt: skip
QUICK = {
    "steps": 3,
    "batch": 8,
    "held_out": 0.2,
    "evaluate_on": 20,
    "evaluate_every": 100,
    "device": "cpu",
    "progress": False,
    "model": MODEL,
}


@pytest.fixture(scope="module")
def smiles():
    return qm9_10k()[:60]


@pytest.fixture
def no_reports(monkeypatch):
    """Pages take longer than all the rest of a run of three steps."""
    monkeypatch.setattr(report, "write_report", lambda *arguments, **more: None)


@pytest.fixture(scope="module")
def trained(smiles, tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "run"
    return wgankit.recipe("molecules:latent").fit(smiles, out=out, **QUICK)


def test_objects_come_back_as_they_were_whatever_the_autoencoder_says(trained, smiles):
    assert len(trained.held_out_objects) == 12
    parts = trained.training_objects + trained.held_out_objects
    assert sorted(parts) == sorted(map(chemistry.canonical, smiles))


def test_loaded_run_samples_alike_in_any_process(trained):
    drawn = trained.sample(30, seed=3, batch=10)
    again = wgankit.load(trained.folder.path)
    assert again.sample(30, seed=3, batch=10) == drawn
    assert again.sample(30, seed=3, batch=10, workers=1) == drawn
    assert all(isinstance(each, str) for each in drawn)


def test_a_copied_run_carries_its_autoencoder_along(trained, tmp_path):
    where = trained.save(tmp_path / "copy")
    assert wgankit.load(where).sample(5, seed=1) == trained.sample(5, seed=1)


def test_samples_are_decoded_points_of_the_sphere(trained):
    points = trained.sample_points(40, seed=2)
    torch.testing.assert_close(points.norm(dim=1), torch.full((40,), math.sqrt(6)))
    decode = trained.domain.decode
    assert decode(points * 7, trained.vocabulary) == decode(points, trained.vocabulary)


def test_stored_points_are_what_the_encoder_says(trained):
    stored, rows = trained.points("training")
    autoencoder = trained.domain._autoencoder(trained.vocabulary)
    with torch.no_grad():
        found = autoencoder.encode(rows)
    torch.testing.assert_close(stored.float(), found, atol=2e-3, rtol=0)
    still = trained.domain.build(trained.vocabulary, {"model": MODEL | {"level": 0.0}})
    assert torch.equal(still.prepare((stored, rows)), stored.float())


def test_the_game_is_about_points_that_are_moved_afresh_at_every_look(trained):
    stored = trained.points("training")
    torch.manual_seed(0)
    one, other = trained.prepared(stored), trained.prepared(stored)
    assert not torch.equal(one, other)
    torch.testing.assert_close(one.norm(dim=1), torch.full((48,), math.sqrt(6)))
    torch.manual_seed(0)
    assert torch.equal(moved(stored[0].float(), MODEL["level"]), one)


def test_the_generator_begins_at_the_law_of_moved_points(trained):
    state = trained.vocabulary["learnt"]
    found = state["law.factor"] @ state["law.factor"].T
    many = torch.cat([trained.prepared(trained.points("training")) for _ in range(400)])
    # One draw of 48 points against 400 of them, in units of the mean spread.
    spread = float(torch.cov(many.T).diagonal().mean())
    assert float((found - torch.cov(many.T)).abs().max()) < spread
    assert float((state["law.centre"] - many.mean(0)).abs().max()) < 4 * (spread / 48) ** 0.5


def test_level_and_temperature_are_remembered_and_obeyed(trained):
    vocabulary = trained.vocabulary
    assert (vocabulary["level"], vocabulary["temperature"]) == (0.5, 1.0)
    points = trained.sample_points(40, seed=2)
    autoencoder = trained.domain._autoencoder(vocabulary)
    for how in ({"level": 0.5, "temperature": 1.0}, {"level": 0.0, "temperature": 0.0}):
        rows = decode_points(autoencoder, points, **how)
        wanted = decode_tokens(rows, vocabulary)
        assert trained.domain.decode(points, vocabulary | how) == wanted


def test_a_seed_draws_the_same_whatever_the_batch(smiles, tmp_path, no_reports):
    """Torch draws normal numbers by sixteen, so with that many a latent they do not change."""
    settings = QUICK | {"model": MODEL | {"inputs": 16}}
    made = wgankit.recipe("molecules:latent").fit(smiles, out=tmp_path / "run", **settings)
    drawn = made.sample(90, seed=4)
    assert made.sample(90, seed=4, batch=7) == drawn
    assert made.sample(90, seed=4, batch=40, workers=1) == drawn
    assert made.sample(90, seed=5) != drawn


def test_a_game_goes_on_bit_for_bit(smiles, tmp_path, no_reports):
    """Points are moved by the training's own random numbers, which its state holds."""
    short = QUICK | {"schedule": "constant"}
    long = short | {"steps": 6}
    whole = wgankit.recipe("molecules:latent").fit(smiles, out=tmp_path / "whole", **long)
    part = wgankit.recipe("molecules:latent").fit(smiles, out=tmp_path / "part", **short)
    torch.rand(7)
    part = wgankit.load(part.folder.path).fit(steps=6, device="cpu", progress=False)
    one, other = (torch.load(run.folder.last, weights_only=True) for run in (whole, part))
    for name, weights in one["training"]["average"].items():
        assert torch.equal(weights, other["training"]["average"][name])


def test_the_autoencoder_sees_nothing_that_is_held_out(smiles, tmp_path, monkeypatch, no_reports):
    seen = []
    train = autoencoder_training.train_autoencoder

    def watch(rows, *arguments, **more):
        seen.append(rows)
        return train(rows, *arguments, **more)

    monkeypatch.setattr(autoencoder_training, "train_autoencoder", watch)
    recipe = wgankit.recipe("molecules:latent").fit(smiles, out=tmp_path / "run", **QUICK)
    _, rows = recipe.points("training")
    assert len(seen) == 1
    assert torch.equal(seen[0], rows)


def test_killed_while_the_autoencoder_learns_it_goes_on(smiles, tmp_path, monkeypatch, no_reports):
    whole = wgankit.recipe("molecules:latent").fit(smiles, out=tmp_path / "whole", **QUICK)
    step = autoencoder_training.Schooling.__next__
    done = []

    def stop(self):
        if self.index == 7:
            raise KeyboardInterrupt
        done.append(self.index)
        return step(self)

    def fit():
        wgankit.recipe("molecules:latent").fit(smiles, out=tmp_path / "parts", **QUICK)

    defaults = autoencoder_training.train_autoencoder.__kwdefaults__
    monkeypatch.setitem(defaults, "save_every", 0.0)
    with monkeypatch.context() as patched:
        patched.setattr(autoencoder_training.Schooling, "__next__", stop)
        with pytest.raises(KeyboardInterrupt):
            fit()
    assert done == list(range(7))
    assert not (tmp_path / "parts" / "config.json").exists()
    with monkeypatch.context() as patched:
        patched.setattr(
            autoencoder_training.Schooling,
            "__next__",
            lambda self: (done.append(self.index), step(self))[1],
        )
        fit()
    assert done == list(range(13))  # the last one finds nothing to do
    parts = wgankit.load(tmp_path / "parts")
    state = whole.vocabulary["learnt"]
    assert all(torch.equal(parts.vocabulary["learnt"][name], state[name]) for name in state)
    assert parts.sample(9, seed=1) == whole.sample(9, seed=1)
    assert not (tmp_path / "parts" / "workshop").exists()


def test_a_folder_with_a_run_is_refused_before_anything_is_learnt(trained, smiles, monkeypatch):
    monkeypatch.setattr(LatentMolecules, "learn", None)
    with pytest.raises(RunError, match="holds a run already"):
        wgankit.recipe("molecules:latent").fit(smiles, out=trained.folder.path, **QUICK)


def test_domains_that_learn_nothing_store_what_they_encode():
    from wgankit_molecules.recipe import Molecules

    domain = Molecules()
    encoded = domain.encode(["CCO", "CC"])
    workshop = Workshop(Path("nowhere"), {"model": {}}, torch.device("cpu"), Silent())
    learnt = domain.learn(encoded, torch.tensor([0]), workshop)
    assert learnt.points is encoded.points
    assert learnt.vocabulary is encoded.vocabulary
    assert not learnt.state


def test_strings_are_canonical_and_what_is_refused_is_counted():
    given = [
        "OCC", "C[C@H](N)O", "F/C=C/F", "[13CH4]", "C.C", "C1CC", "", 7, "CN(C)(C)C",
        Chem.MolFromSmiles("NCC"),
    ]  # fmt: skip
    strings, kept, skipped = canonical_strings(given)
    assert kept == [0, 1, 2, 9]
    assert strings == [chemistry.canonical(given[place]) for place in kept]
    assert not any(set(text) & set("@/\\") for text in strings)
    assert sum(skipped.values()) == 6
    assert {chemistry.ISOTOPE, chemistry.FRAGMENTS, chemistry.NO_ATOMS} <= set(skipped)


def test_nothing_that_can_be_used_is_one_clear_error(tmp_path):
    with pytest.raises(DataError, match="none of the 2 molecules"):
        wgankit.recipe("molecules:latent").fit(["x", "C.C"], out=tmp_path / "run", **QUICK)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("model", "match"),
    [
        ({"wide": 3}, "no setting wide"),
        ({"space": "torus"}, "sphere or normed"),
        ({"level": -0.1}, "model.level is a number >= 0"),
        ({"temperature": "warm"}, "model.temperature is a number >= 0"),
        ({"autoencoder": 5}, "model.autoencoder holds settings"),
        ({"autoencoder": {"depth": 5}}, "no setting 'depth'"),
    ],
)
def test_wrong_settings_are_said_before_the_autoencoder_is_trained(tmp_path, smiles, model, match):
    with pytest.raises(SettingError, match=match):
        wgankit.recipe("molecules:latent").fit(
            smiles, out=tmp_path / "run", **(QUICK | {"model": model})
        )
    assert not (tmp_path / "run").exists()


def test_the_game_can_be_another_by_name(smiles, tmp_path, no_reports, monkeypatch):
    played = []

    def watch(*arguments, **more):
        played.append(more["objective"])
        return train(*arguments, **more)

    train = recipe_settings.train
    monkeypatch.setattr(recipe_settings, "train", watch)
    zero = {"weight": 1.0, "where": "at-both", "shape": "zero-centred", "relative": False}
    other = QUICK | {"objective": "relativistic", "penalty": zero}
    wgankit.recipe("molecules:latent").fit(smiles, out=tmp_path / "run", **other)
    assert isinstance(played[-1], Relativistic)
    with pytest.raises(SettingError, match=r"wasserstein, relativistic.*got 'best'"):
        wgankit.recipe("molecules:latent").fit(smiles, out=tmp_path / "b", objective="best")


@pytest.mark.parametrize("space", ["sphere", "normed"])
def test_networks_keep_the_laws(trained, space):
    settings = {"model": MODEL | {"space": space, "depth": 2}}
    model = trained.domain.build(trained.vocabulary, settings)
    points = trained.prepared(trained.points("training"))
    check_critic(model.critic, points, space=model.space)
    # On a sphere two points differ by the rounding of their lengths alone.
    check_generator(model.generator, model.latent, model.space, tolerance=1e-3)


def test_no_critic_of_the_sphere_outruns_its_paths(trained):
    """A score changes by at most the steepest slope on the path times its length."""
    model = trained.domain.build(trained.vocabulary, {"model": MODEL | {"depth": 2}})
    torch.manual_seed(0)
    real = trained.prepared(pick(trained.points("training"), slice(0, 20)))
    fake = model.generator(model.latent.sample(20, "cpu")).detach()
    with torch.no_grad():
        for one in model.critic.parameters():
            one *= 3
        change = (model.critic(real) - model.critic(fake)).abs()
    slopes = [model.space.slope(model.critic, real, fake, torch.full((20,), t / 200 + 1e-3))
              for t in range(200)]  # fmt: skip
    reach = torch.stack(slopes).amax(0).detach() * model.space.distance(real, fake)
    assert bool((change <= 1.01 * reach).all())
    assert float((change / reach).max()) > 0.2


def test_blur_moves_points_by_its_deviation_and_leaves_them_on_the_sphere():
    torch.manual_seed(0)
    points = LatentGenerator(8, 50, width=16, depth=1)(torch.randn(400, 8)).detach()
    blurred = Blur(0.2)(points)
    torch.testing.assert_close(blurred.norm(dim=1), points.norm(dim=1))
    angle = wgankit.Sphere().distance(points, blurred)
    # The tangential part of the noise has n - 1 coordinates, at distance sqrt(n).
    assert float(angle.tan().square().mean()) == pytest.approx(0.2**2 * 49 / 50, rel=0.1)
    flat = Blur(0.2, sphere=False)(points) - points
    assert float(flat.std()) == pytest.approx(0.2, rel=0.02)


def test_the_command_trains_and_samples(tmp_path, smiles, no_reports):
    (tmp_path / "a.smi").write_text("\n".join(smiles))
    sizes = [f"--set=model.autoencoder.{name}={value}" for name, value in AUTOENCODER.items()]
    sizes += ["--set=model.width=16", "--set=model.depth=1", "--set=evaluate_on=20"]
    out = str(tmp_path / "run")
    start = ["train", "molecules:latent", "--data", str(tmp_path / "a.smi"), "--out", out]
    done = CliRunner().invoke(cli.app, [*start, "--steps", "2", "--batch", "8", *sizes])
    assert done.exit_code == 0, done.output
    drawn = CliRunner().invoke(cli.app, ["sample", out, "-n", "7", "--seed", "1"])
    assert drawn.output.split("\n")[:7] == wgankit.load(out).sample(7, seed=1)
    more = CliRunner().invoke(cli.app, ["resume", out, "--steps", "4"])
    assert more.exit_code == 0, more.output


def test_critic_of_more_blocks_begins_no_louder():
    torch.manual_seed(0)
    points = torch.randn(500, 32)
    with torch.no_grad():
        scores = [LatentCritic(32, width=64, depth=depth)(points) for depth in (1, 8)]
    loud = [float(each.std()) for each in scores]
    assert loud[1] < 2 * loud[0]


@pytest.mark.parametrize("inputs", [7, 4])
def test_a_generator_begins_near_the_normal_law_of_the_points(inputs):
    torch.manual_seed(0)
    mixing = torch.randn(7, 7)
    points = 3 + torch.randn(4_000, 7) @ mixing.T
    law = law_of(points)
    torch.testing.assert_close(law.factor @ law.factor.T, torch.cov(points.T), rtol=0.01, atol=0.05)
    torch.testing.assert_close(law.centre, points.mean(0))
    made = LatentGenerator(inputs, 7, width=16, depth=1, sphere=False, law=law)
    with torch.no_grad():
        found = made(torch.randn(20_000, inputs))
    torch.testing.assert_close(found.mean(0), points.mean(0), rtol=0, atol=0.8)
    if inputs == 7:
        torch.testing.assert_close(torch.cov(found.T), torch.cov(points.T), rtol=0.3, atol=1.5)
