"""Strings to points of a sphere and back, and a training that a kill does not undo."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from wgankit import RunError, SettingError
from wgankit.progress import Silent, Teller
from wgankit_molecules import autoencoder_training as training
from wgankit_molecules.autoencoder import (
    Autoencoder,
    autoencoder_from,
    decode_points,
    encode_rows,
    reconstruction,
    surprise_of,
)
from wgankit_molecules.autoencoder_training import Schooling, shuffled, train_autoencoder
from wgankit_molecules.data import qm9_10k
from wgankit_molecules.tokens import encode_tokens, lengths

SMALL = {
    "latent": 6,
    "encoder": 8,
    "decoder": 10,
    "questions": 2,
    "epochs": 3,
    "batch": 8,
    "noise": 0.1,
    "precision": "32-true",
}


@pytest.fixture(scope="module")
def rows():
    return encode_tokens(qm9_10k()[:40]).points


def fresh(rows, **more):
    torch.manual_seed(0)
    return Autoencoder(int(rows.max()), rows.shape[1], SMALL | more).eval()


def test_points_lie_on_the_sphere_and_do_not_know_their_company(rows):
    made = fresh(rows)
    together = encode_rows(made, rows)
    torch.testing.assert_close(together.norm(dim=1), torch.full((40,), math.sqrt(6)))
    for place in range(0, 40, 7):
        tight = rows[place : place + 1, : int(lengths(rows)[place])]
        with torch.no_grad():
            torch.testing.assert_close(made.encode(tight)[0], together[place])


@pytest.mark.parametrize("layers", [1, 2])
def test_decoding_step_by_step_is_the_likeliest_continuation(rows, layers):
    """Against a loop that reads the whole beginning again for each token."""
    made = fresh(rows, layers=layers)
    points = encode_rows(made, rows[:6])
    found = made.decode(points * 3)  # only directions matter
    for point, row in zip(points, found, strict=True):
        text = [made.decoder.begin]
        state = made.decoder.state(point[None])
        while len(text) <= made.length:
            with torch.no_grad():
                scores, _ = made.decoder(point[None], torch.tensor([text]), state)
            text.append(int(scores[0, -1].argmax()))
            if text[-1] == 0:
                break
        wanted = text[1:] + [0] * made.length
        assert row.tolist() == wanted[: made.length]


@settings(deadline=None, max_examples=30)
@given(st.integers(1, 5), st.integers(1, 6), st.integers(0, 10_000))
def test_surprise_is_the_sum_of_logarithms(count, width, seed):
    torch.manual_seed(seed)
    scores = torch.randn(count, width, 7, dtype=torch.float64)
    wanted = torch.randint(7, (count, width))
    counted = torch.rand(count, width) < 0.7
    expected = sum(
        -math.log(float(scores[i, j].softmax(0)[wanted[i, j]]))
        for i in range(count)
        for j in range(width)
        if counted[i, j]
    )
    found = float(surprise_of(scores, wanted, counted))
    assert found == pytest.approx(expected / count, rel=1e-4, abs=1e-6)


def test_a_lesson_counts_the_end_once_and_whatever_stands_behind_it_never(rows):
    """With all scores equal the surprise of a string of m tokens is (m + 1) log of the choices."""
    made = fresh(rows, noise=0.0, forget=0.0, sketch=0.0)
    torch.nn.init.zeros_(made.decoder.out.weight)
    torch.nn.init.zeros_(made.decoder.out.bias)
    choices = int(rows.max()) + 1
    whole = lengths(rows) < rows.shape[1]  # the longest strings have no place for their end
    wanted = float((lengths(rows) + whole).float().mean()) * math.log(choices)
    assert float(made(rows).surprise) == pytest.approx(wanted, rel=1e-5)
    cut = rows[lengths(rows) <= 10]
    assert float(made(cut).surprise) == pytest.approx(float(made(cut[:, :10]).surprise), rel=1e-5)


def test_it_learns_a_few_strings_by_heart():
    rows = encode_tokens(["CCO", "CCN", "c1ccccc1", "CC(=O)O", "OCC", "CC#N"]).points
    more = {"encoder": 24, "decoder": 32, "latent": 16, "epochs": 250, "warm_up": 10, "rate": 5e-3}
    made = train_autoencoder(rows, int(rows.max()), SMALL | more)
    assert reconstruction(made, rows) == 1.0
    assert reconstruction(made, rows, noise=0.1) == 1.0
    again = autoencoder_from(
        {"tokens": "x" * int(rows.max()), "length": rows.shape[1], "autoencoder": made.settings},
        made.state_dict(),
    )
    assert torch.equal(decode_points(again, encode_rows(again, rows)), rows)


@settings(deadline=None, max_examples=30)
@given(
    st.lists(st.integers(1, 30), min_size=1, max_size=300), st.integers(1, 20), st.integers(0, 9)
)
def test_an_epoch_takes_each_string_once_in_full_batches(widths, batch, seed):
    batch = min(batch, len(widths))
    batches = shuffled(torch.tensor(widths), batch, seed)
    assert len(batches) == len(widths) // batch
    assert all(len(some) == batch for some in batches)
    places = torch.cat(batches).tolist()
    assert len(set(places)) == len(places)


def test_batches_hold_strings_of_about_one_length():
    widths = torch.randint(1, 60, (5_000,), generator=torch.Generator().manual_seed(0))
    spread = [int(widths[some].max() - widths[some].min()) for some in shuffled(widths, 50, 0)]
    assert sum(spread) / len(spread) < 2


class Impatient(Teller):
    """Stops a training after some steps, as a kill would."""

    def __init__(self, after):
        self.after = after

    def say(self, line):
        pass

    def start(self, title, done, steps):
        pass

    def advance(self, done, row):
        if done >= self.after:
            raise KeyboardInterrupt


def test_a_killed_training_goes_on_bit_for_bit(rows, tmp_path):
    tokens = int(rows.max())
    whole = train_autoencoder(rows, tokens, SMALL, seed=3).state_dict()
    # 15 steps in all; stopped within the second epoch and within the third, saved at each step.
    for after in (7, 13):
        with pytest.raises(KeyboardInterrupt):
            train_autoencoder(
                rows, tokens, SMALL, seed=3, folder=tmp_path, teller=Impatient(after), save_every=0
            )
        saved = torch.load(tmp_path / "autoencoder.pt", weights_only=True)["schooling"]
        assert saved["index"] == after - 1
    torch.rand(5)  # the caller's own numbers have no part in it
    parts = train_autoencoder(rows, tokens, SMALL, seed=3, folder=tmp_path).state_dict()
    assert all(torch.equal(parts[name], whole[name]) for name in whole)
    finished = train_autoencoder(rows, tokens, SMALL, seed=3, folder=tmp_path, teller=Impatient(0))
    assert all(torch.equal(finished.state_dict()[name], whole[name]) for name in whole)


@pytest.mark.parametrize("change", ["rows", "settings", "seed"])
def test_a_folder_of_another_training_is_refused(rows, tmp_path, change):
    train_autoencoder(rows, 20, SMALL | {"epochs": 1}, folder=tmp_path)
    other = {
        "rows": (rows[1:], SMALL | {"epochs": 1}, 0),
        "settings": (rows, SMALL | {"epochs": 2}, 0),
        "seed": (rows, SMALL | {"epochs": 1}, 1),
    }[change]
    with pytest.raises(SettingError, match="other molecules, settings or seed"):
        train_autoencoder(other[0], 20, other[1], seed=other[2], folder=tmp_path)


def test_a_training_that_diverges_says_so_and_keeps_nothing(rows, tmp_path):
    wild = SMALL | {"rate": 1e30, "warm_up": 1}
    with pytest.raises(RunError, match="diverged"):
        train_autoencoder(rows, 20, wild, folder=tmp_path)
    assert not (tmp_path / "autoencoder.pt").exists()


def test_rates_grow_and_then_fall(rows):
    made = fresh(rows, warm_up=4, epochs=10)
    school = Schooling(made, rows, seed=0, device=torch.device("cpu"))
    seen = []
    for index in range(school.steps):
        school.index = index
        seen.append(school._factor())
    assert seen.index(max(seen)) == 3
    assert seen[-1] == pytest.approx(max(training.LOWEST, 1 / school.steps))


@pytest.mark.parametrize(
    ("wrong", "match"),
    [
        ({"layer": 3}, "no setting 'layer'"),
        ({"latent": 1}, "at least 2"),
        ({"decoder": 0}, "at least 1"),
        ({"forget": 1.0}, "share in"),
        ({"noise": -1}, ">= 0"),
        ({"precision": "16"}, "precision is one of"),
    ],
)
def test_settings_that_cannot_work_are_named(wrong, match):
    with pytest.raises(SettingError, match=match):
        Autoencoder(5, 9, wrong)


def test_silence_is_kept(rows, capsys):
    train_autoencoder(rows, 20, SMALL | {"epochs": 1}, teller=Silent())
    assert capsys.readouterr() == ("", "")
