"""Strings to points of a sphere and back, and a training that a kill does not undo."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chisquare, kstest

from wgankit import RunError, SettingError
from wgankit.latent_networks import moved
from wgankit.progress import Silent, Teller
from wgankit_molecules import autoencoder_training as training
from wgankit_molecules import precision
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
from wgankit_molecules.drawing import drawn, uniform_numbers
from wgankit_molecules.tokens import encode_tokens, lengths

SMALL = {
    "latent": 6,
    "encoder": 8,
    "decoder": 10,
    "questions": 2,
    "epochs": 3,
    "batch": 8,
    "highest": 0.1,
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


def continued(made, point, level, choose):
    """Return a row by a loop that reads the whole beginning again for each token."""
    told = made.ear(point[None], torch.tensor([level]))
    text = [made.decoder.begin]
    while len(text) <= made.length:
        scores, _ = made.decoder(told, torch.tensor([text]), made.decoder.state(told))
        text.append(choose(len(text) - 1, scores[0, -1]))
        if text[-1] == 0:
            break
    return (text[1:] + [0] * made.length)[: made.length]


@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("level", [0.0, 0.7])
@torch.no_grad()
def test_decoding_step_by_step_is_the_likeliest_continuation(rows, layers, level):
    made = fresh(rows, layers=layers)
    points = encode_rows(made, rows[:6])
    found = made.decode(points * 3, level=level)  # only directions matter
    for point, row in zip(points, found, strict=True):
        assert row.tolist() == continued(made, point, level, lambda _, s: int(s.argmax()))
    assert torch.equal(found, made.decode(points, level=level, temperature=1e-7))


@pytest.mark.parametrize("temperature", [0.6, 1.0])
@torch.no_grad()
def test_drawn_tokens_are_where_the_summed_probabilities_pass_the_points_numbers(rows, temperature):
    made = fresh(rows)
    points = encode_rows(made, rows[:20])
    found = made.decode(points, level=0.5, temperature=temperature, seed=3)
    chances = uniform_numbers(points, made.length, seed=3).double().numpy()
    for point, row, chance in zip(points, found, chances, strict=True):

        def choose(place, scores, chance=chance):
            sums = (scores / temperature).softmax(0).double().cumsum(0).numpy()
            return int(np.searchsorted(sums, chance[place], side="right"))

        assert row.tolist() == continued(made, point, 0.5, choose)


@settings(deadline=None, max_examples=30)
@given(st.integers(2, 30), st.integers(0, 10_000))
def test_evenly_spread_chances_draw_each_token_as_often_as_it_is_likely(choices, seed):
    torch.manual_seed(seed)
    scores = 2 * torch.randn(choices)
    chances = (torch.arange(10_000) + 0.5) / 10_000
    shares = drawn(scores.expand(10_000, -1), chances).bincount(minlength=choices) / 10_000
    torch.testing.assert_close(shares, scores.softmax(0), atol=1.1e-4, rtol=0)


def test_numbers_of_points_are_uniform_and_of_no_kin():
    torch.manual_seed(0)
    points = torch.randn(4_000, 6)
    found = uniform_numbers(points, 8)
    assert float(found.min()) >= 0
    assert float(found.max()) < 1
    assert kstest(found.flatten().numpy(), "uniform").pvalue > 0.01
    other = uniform_numbers(points, 8, seed=1)
    beside = torch.cat([found, other], 1)
    kin = torch.corrcoef(beside.T) - torch.eye(16)
    assert float(kin.abs().max()) < 5 / math.sqrt(4_000)
    neighbours = torch.corrcoef(torch.stack([found[:-1].flatten(), found[1:].flatten()]))
    assert abs(float(neighbours[0, 1])) < 5 / math.sqrt(32_000)


def test_numbers_of_points_know_neither_company_nor_last_bits():
    torch.manual_seed(0)
    points = torch.randn(500, 128)
    found = uniform_numbers(points, 20)
    order = torch.randperm(500)
    assert torch.equal(uniform_numbers(points[order], 20), found[order])
    assert torch.equal(uniform_numbers(points[7:8], 30)[:, :20], found[7:8])
    near = uniform_numbers(points * (1 + torch.finfo(torch.float32).eps), 20)
    assert float((near == found).all(1).float().mean()) > 0.99


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_a_point_says_the_same_whatever_else_is_decoded(rows, temperature):
    made = fresh(rows)
    torch.manual_seed(0)
    points = torch.randn(600, 6)
    how = {"level": 0.8, "temperature": temperature, "seed": 5}
    together = decode_points(made, points, **how)
    order = torch.randperm(600)
    assert torch.equal(decode_points(made, points[order], **how), together[order])
    assert torch.equal(decode_points(made, points[300:307], **how), together[300:307])
    assert len(decode_points(made, points[:0], **how)) == 0


@torch.no_grad()
def test_a_point_says_strings_in_the_decoders_law(rows):
    """Over many seeds, the first two tokens come as often as the decoder says (chi-square)."""
    made = fresh(rows)
    point = encode_rows(made, rows[:1])
    made.length, count = 2, 3_000
    said = torch.cat(
        [made.decode(point, level=0.4, temperature=1.0, seed=seed) for seed in range(count)]
    )
    told = made.ear(point, torch.tensor([0.4]))
    first = made.decoder(told, torch.tensor([[made.decoder.begin]]), made.decoder.state(told))[0]
    law = first[0, 0].softmax(0)
    choices = len(law)
    pairs = []
    for token in range(choices):
        shown = torch.tensor([[made.decoder.begin, token]])
        scores, _ = made.decoder(told, shown, made.decoder.state(told))
        then = scores[0, 1].softmax(0) if token else torch.eye(choices)[0]
        pairs.append(law[token] * then)
    wanted = torch.stack(pairs).flatten().double().numpy() * count
    places = said[:, 0].long() * choices + said[:, 1].long()
    seen = places.bincount(minlength=choices**2).numpy()
    common = wanted > 5
    seen = [*seen[common], seen[~common].sum()]
    wanted = [*wanted[common], wanted[~common].sum()]
    assert chisquare(seen, np.array(wanted) * sum(seen) / sum(wanted)).pvalue > 0.01


def test_levels_are_uniform_in_their_angle_and_some_are_nothing(rows):
    made = fresh(rows, highest=3.0, clear=0.25)
    torch.manual_seed(0)
    levels = made.levels(20_000)
    assert float((levels == 0).float().mean()) == pytest.approx(0.25, abs=0.015)
    angles = levels[levels > 0].atan() / math.atan(3.0)
    assert kstest(angles.numpy(), "uniform").pvalue > 0.01


def test_a_share_of_the_strings_is_moved_as_far_as_any(rows):
    made = fresh(rows, highest=3.0, clear=0.25, top=0.5)
    torch.manual_seed(0)
    levels = made.levels(20_000)
    top = levels.isclose(torch.tensor(3.0))
    assert float((levels == 0).float().mean()) == pytest.approx(0.25, abs=0.015)
    assert float(top.float().mean()) == pytest.approx(0.5, abs=0.015)
    angles = levels[(levels > 0) & ~top].atan() / math.atan(3.0)
    assert kstest(angles.numpy(), "uniform").pvalue > 0.01


@torch.no_grad()
@pytest.mark.parametrize(("quicker", "same"), [(True, "bf16-mixed"), (False, "32-true")])
def test_the_quicker_precision_is_taken_unless_one_is_named(rows, monkeypatch, quicker, same):
    monkeypatch.setattr(precision, "bfloat16_is_quicker", lambda kind: quicker)
    points = {name: fresh(rows, precision=name).encode(rows) for name in precision.PRECISIONS}
    assert torch.equal(points["auto"], points[same])
    assert not torch.equal(points["bf16-mixed"], points["32-true"])


@pytest.mark.parametrize(("low", "quicker"), [(0.5, True), (0.9, False), (2.0, False)])
def test_bfloat16_is_taken_where_it_is_clearly_quicker(monkeypatch, low, quicker):
    def seconds(way, a, b):
        return low if a.dtype == b.dtype == torch.bfloat16 else 1.0

    monkeypatch.setattr(precision, "seconds_of", seconds)
    found = precision.bfloat16_is_quicker.__wrapped__
    assert found("cpu") is quicker
    assert not found("mps")


def test_points_are_moved_each_by_its_own_level():
    torch.manual_seed(0)
    points = math.sqrt(200) * torch.nn.functional.normalize(torch.randn(3_000, 200), dim=1)
    levels = torch.tensor([0.0, 0.5, 2.0]).repeat(1_000)
    found = moved(points, levels)
    assert torch.equal(found[levels == 0], points[levels == 0])
    torch.testing.assert_close(found.norm(dim=1), points.norm(dim=1))
    cosines = (found * points).mean(1)
    for level in (0.5, 2.0):
        # The tangential part of the noise has n - 1 coordinates, the radial one moves little.
        tangent = (1 / cosines[levels == level].square() - 1).median()
        assert float(tangent) == pytest.approx(level**2, rel=0.05)


@torch.no_grad()
def test_at_level_0_a_lesson_is_of_the_points_themselves(rows):
    """Against the surprise written out, with nothing moved, forgotten or sketched."""
    for more in ({"highest": 0.0}, {"highest": 9.0, "clear": 1.0}):
        made = fresh(rows, sketch=0.0, **more)
        wanted = torch.nn.functional.pad(rows.long(), (0, 1))
        told = made.ear(encode_rows(made, rows), torch.zeros(40))
        shown = torch.nn.functional.pad(wanted[:, :-1], (1, 0), value=made.decoder.begin)
        scores, _ = made.decoder(told, shown, made.decoder.state(told))
        counted = torch.arange(rows.shape[1] + 1) <= lengths(rows)[:, None]
        counted[:, -1] = False  # a row of full length has no place for its end
        expected = surprise_of(scores[:, :-1], wanted[:, :-1], counted[:, :-1])
        torch.testing.assert_close(made(rows).surprise, expected)


def test_a_lesson_teaches_what_is_made_of_the_level(rows):
    """And tells it: the same moved points at another level say other things."""
    made = fresh(rows, highest=2.0, clear=0.0).train()
    made(rows).loss.backward()
    taught = made.ear.hear.weight.grad
    assert taught is not None
    assert bool((taught[:, 6:].abs().sum(0) > 0).all())
    points = encode_rows(made, rows)
    low, high = (made.ear(points, torch.full((40,), level)) for level in (0.0, 2.0))
    assert not torch.allclose(low, high)


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
    made = fresh(rows, highest=0.0, sketch=0.0)
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
    assert reconstruction(made, rows, level=0.1) == 1.0
    assert reconstruction(made, rows, level=0.1, temperature=0.1) == 1.0
    again = autoencoder_from(
        {"tokens": "x" * int(rows.max()), "length": rows.shape[1], "autoencoder": made.settings},
        made.state_dict(),
    )
    assert torch.equal(decode_points(again, encode_rows(again, rows)), rows)


def test_weights_of_another_autoencoder_are_refused(rows):
    made = fresh(rows)
    state = {name: one for name, one in made.state_dict().items() if "ear" not in name}
    vocabulary = {"tokens": "x" * int(rows.max()), "length": made.length}
    with pytest.raises(RunError, match="not of the autoencoder"):
        autoencoder_from(vocabulary | {"autoencoder": made.settings}, state)


@settings(deadline=None, max_examples=30)
@given(
    st.lists(st.integers(1, 30), min_size=1, max_size=300), st.integers(1, 20), st.integers(0, 9),
    st.integers(-3, 40),
)  # fmt: skip
def test_an_epoch_takes_each_string_once_in_full_batches(widths, batch, seed, count):
    batch = min(batch, len(widths))
    batches = shuffled(torch.tensor(widths), batch, seed, count)
    assert len(batches) == len(widths) // batch
    assert all(len(some) == batch for some in batches)
    places = torch.cat(batches).tolist()
    assert len(set(places)) == len(places)


def test_batches_hold_strings_of_about_one_length():
    widths = torch.randint(1, 60, (5_000,), generator=torch.Generator().manual_seed(0))
    batches = shuffled(widths, 50, 0, 60)
    spread = [int(widths[some].max() - widths[some].min()) for some in batches]
    assert sum(spread[:60]) / 60 < 2
    assert min(spread[60:]) > 40
    assert len(spread) == 100


def test_the_last_fifth_of_the_batches_is_mixed():
    rows = torch.ones(1_000, 20, dtype=torch.uint8)
    for row, width in zip(rows, torch.randint(1, 21, (1_000,)).tolist(), strict=True):
        row[width:] = 0
    made = Autoencoder(3, 20, SMALL | {"batch": 20, "epochs": 2.5})
    schooling = Schooling(made, rows, seed=0, device=torch.device("cpu"))
    assert schooling.steps == 125
    spread = []
    for schooling.index in range(125):
        widths = schooling.widths[schooling._places()]
        spread.append(int(widths.max() - widths.min()))
    assert max(spread[:100]) < 8
    assert min(spread[100:]) > 8


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
        saved = torch.load(tmp_path / "autoencoder.pt", weights_only=True)["lesson"]
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
    with pytest.raises(
        SettingError, match="the autoencoder was under way, is of other data, settings or seed"
    ):
        train_autoencoder(other[0], 20, other[1], seed=other[2], folder=tmp_path)


def test_a_training_that_diverges_says_so_and_keeps_nothing(rows, tmp_path):
    wild = SMALL | {"rate": 1e30, "warm_up": 1}
    with pytest.raises(RunError, match="diverged"):
        train_autoencoder(rows, 20, wild, folder=tmp_path)
    assert not (tmp_path / "autoencoder.pt").exists()


def test_rates_grow_and_then_fall(rows):
    made = fresh(rows, warm_up=4, epochs=9.6)
    school = Schooling(made, rows, seed=0, device=torch.device("cpu"))
    assert school.steps == 48  # 5 batches of 8 an epoch
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
        ({"forget": 1.5}, "share in"),
        ({"clear": -0.1}, "share in"),
        ({"highest": -1}, ">= 0"),
        ({"epochs": 0}, "> 0"),
        ({"precision": "16"}, "is one of auto, 32-true, bf16-mixed; got '16'"),
        ({"top": 1.1}, "share in"),
        ({"top": 0.6, "clear": 0.5}, "together at most 1"),
    ],
)
def test_settings_that_cannot_work_are_named(wrong, match):
    with pytest.raises(SettingError, match=match):
        Autoencoder(5, 9, wrong)


def test_silence_is_kept(rows, capsys):
    train_autoencoder(rows, 20, SMALL | {"epochs": 1}, teller=Silent())
    assert capsys.readouterr() == ("", "")


def test_long_strings_are_not_forgotten_for_their_large_gradients():
    """Three strings of ten are long; batches are of one length, and may not be clipped unlike."""
    torch.manual_seed(0)
    rows = torch.randint(1, 4, (4_096, 16), dtype=torch.uint8)
    long = torch.rand(len(rows)) < 0.3
    rows[~long, 4:] = 0
    # At level 50 points say nothing, and the decoder has to know how many strings are long.
    settings = {
        "latent": 4, "encoder": 8, "decoder": 16, "batch": 32, "epochs": 4, "rate": 5e-3,
        "warm_up": 20, "clear": 0.0, "highest": 50.0, "precision": "32-true",
    }  # fmt: skip
    trained = train_autoencoder(rows, 3, settings, seed=0)
    said = trained.decode(torch.randn(4_000, 4), level=50.0, temperature=1.0)
    assert (lengths(said) > 8).float().mean().item() == pytest.approx(0.3, abs=0.08)
