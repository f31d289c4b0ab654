"""Hard labels and strings against plain Python and breadth-first search."""

import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from wgankit import OneHot, exact, pairwise
from wgankit.errors import DataError, SettingError, ShapeError
from wgankit.space import MetricSpace
from wgankit.spaces import Hamming, Strings


def plain(row):
    return tuple(int(letter) for letter in row if letter)


def levenshtein(a, b):
    """The textbook's table, row by row."""
    row = list(range(len(b) + 1))
    for i, letter in enumerate(a, 1):
        new = [i]
        for j, other in enumerate(b, 1):
            new.append(min(row[j] + 1, new[-1] + 1, row[j - 1] + (letter != other)))
        row = new
    return row[-1]


def padded(strings, width):
    return torch.tensor([list(s) + [0] * (width - len(s)) for s in strings])


def strings_of(letters, width, *, sizes=8):
    word = st.lists(st.integers(1, letters), max_size=width)
    return st.lists(word, min_size=1, max_size=sizes).map(lambda words: padded(words, width))


# Labels ---------------------------------------------------------------------------------------


@given(seed=st.integers(0, 10_000), labels=st.integers(2, 5))
@settings(deadline=None, max_examples=20)
def test_hamming_counts_and_its_table_agrees(seed, labels):
    torch.manual_seed(seed)
    x, y = torch.randint(0, labels, (2, 7, 3, 2))
    space = Hamming(labels, weight=2.5)
    counts = [2.5 * sum(a != b for a, b in zip(p, q)) for p, q in zip(x.flatten(1), y.flatten(1))]
    assert space.distance(x, y).tolist() == [float(count) for count in counts]
    assert torch.equal(pairwise(space, x, y), pairwise.dispatch(MetricSpace)(space, x, y))


@given(seed=st.integers(0, 10_000), labels=st.integers(2, 4), kind=st.sampled_from("il"))
@settings(deadline=None, max_examples=20)
def test_steps_of_hamming_change_one_site_at_their_place_of_the_way(seed, labels, kind):
    torch.manual_seed(seed)
    form = {"i": torch.int32, "l": torch.int64}[kind]
    x, y = torch.randint(0, labels, (2, 30, 6), dtype=form)
    y[:5] = x[:5]
    t = torch.rand(30)
    space = Hamming(labels)
    u, v = space.segment(x, y, t)
    assert u.dtype == v.dtype == form
    assert (space.distance(u, v) == 1).all()
    whole = space.distance(x, y)
    apart = whole > 0
    assert ((space.distance(x, u) + 1 + space.distance(v, y)) == whole)[apart].all()
    assert (space.distance(x, u) == (t * whole).floor())[apart].all()
    assert (u[:5] == x[:5]).all(), "from a point to itself the step starts there"
    assert ((v >= 0) & (v < labels)).all()


def test_every_neighbour_and_every_order_of_flips_is_probed():
    torch.manual_seed(0)
    x = torch.zeros(400, 2, dtype=torch.long)
    t = torch.rand(400)
    _, v = Hamming(3).segment(x, x, t)
    assert {tuple(row) for row in v.tolist()} == {(0, 1), (0, 2), (1, 0), (2, 0)}
    u, v = Hamming(3).segment(x, x + 1, t)
    steps = {(tuple(a), tuple(b)) for a, b in zip(u.tolist(), v.tolist())}
    assert steps == {
        ((0, 0), (0, 1)),
        ((0, 0), (1, 0)),
        ((0, 1), (1, 1)),
        ((1, 0), (1, 1)),
    }


def test_hard_labels_have_the_w1_of_relaxed_ones():
    """W1 of product laws under Hamming is the sum of total variations, relaxed or not."""
    torch.manual_seed(0)
    p, q = torch.randn(2, 3, 3, dtype=torch.float64).softmax(-1)
    words = torch.tensor(list(itertools.product(range(3), repeat=3)))
    points = torch.nn.functional.one_hot(words, 3).double()
    masses = {
        "x_weights": (points * p).sum(-1).prod(-1),
        "y_weights": (points * q).sum(-1).prod(-1),
    }
    wanted = 0.5 * (p - q).abs().sum().item()
    assert exact.w1(Hamming(3), words, words, **masses) == pytest.approx(wanted, abs=1e-9)
    assert exact.w1(OneHot(), points, points, **masses) == pytest.approx(wanted, abs=1e-9)


# Strings --------------------------------------------------------------------------------------


@given(data=st.data(), letters=st.integers(2, 4), width=st.integers(1, 9))
@settings(deadline=None, max_examples=50)
def test_distances_are_those_of_the_textbook(data, letters, width):
    x = data.draw(strings_of(letters, width))
    y = data.draw(strings_of(letters, width))
    space = Strings(letters)
    table = [[float(levenshtein(plain(a), plain(b))) for b in y] for a in x]
    assert pairwise(space, x, y).tolist() == table
    assert pairwise.dispatch(MetricSpace)(space, x, y).tolist() == table


def test_strings_too_long_for_the_bits_of_a_number():
    torch.manual_seed(0)
    for width in (62, 63, 64, 70):
        x, y = torch.randint(1, 3, (2, 3, width))
        table = [[float(levenshtein(plain(a), plain(b))) for b in y] for a in x]
        assert pairwise(Strings(2), x, y).tolist() == table


def edits(word, longest):
    """All strings that one edit makes of a binary string."""
    for i in range(len(word)):
        yield word[:i] + word[i + 1 :]
        yield (*word[:i], 3 - word[i], *word[i + 1 :])
    if len(word) < longest:
        for i, letter in itertools.product(range(len(word) + 1), (1, 2)):
            yield (*word[:i], letter, *word[i:])


def test_levenshtein_is_the_shortest_path_over_single_edits():
    """All binary strings of at most 4 letters, by breadth-first search."""
    words = [w for size in range(5) for w in itertools.product((1, 2), repeat=size)]
    place = {word: index for index, word in enumerate(words)}
    steps = torch.full((len(words), len(words)), torch.inf)
    for start in words:
        steps[place[start], place[start]] = 0
        reached, front = {start}, [start]
        for distance in itertools.count(1):
            front = {w for word in front for w in edits(word, 4)} - reached
            if not front:
                break
            reached |= front
            for word in front:
                steps[place[start], place[word]] = distance
    points = padded(words, 4)
    assert torch.equal(pairwise(Strings(2), points, points), steps)


@given(data=st.data(), letters=st.integers(2, 4), width=st.integers(1, 8), seed=st.integers(0, 99))
@settings(deadline=None, max_examples=50)
def test_steps_between_strings_are_one_edit_of_a_shortest_script(data, letters, width, seed):
    x = data.draw(strings_of(letters, width))
    y = data.draw(strings_of(letters, width, sizes=1)).expand_as(x)
    torch.manual_seed(seed)
    t = torch.rand(len(x))
    space = Strings(letters)
    u, v = space.segment(x, y, t)
    assert u.shape == v.shape == x.shape
    space.check(u)
    space.check(v)
    for a, b, c, d, share in zip(x, u, v, y, t.tolist()):
        whole = levenshtein(plain(a), plain(d))
        assert levenshtein(plain(b), plain(c)) == 1
        if whole:
            start = levenshtein(plain(a), plain(b))
            assert start == int(torch.tensor(share) * whole)
            assert start + 1 + levenshtein(plain(c), plain(d)) == whole
        else:
            assert plain(b) == plain(a)
            assert len(plain(c)) == max(1, len(plain(a)))


def test_every_shortest_script_is_probed():
    """From 12 to 21 lead two replacements, or a deletion and an insertion of either letter."""
    torch.manual_seed(0)
    x, y = padded([(1, 2)] * 600, 2), padded([(2, 1)] * 600, 2)
    u, v = Strings(2).segment(x, y, torch.rand(600))
    seen = {(plain(a), plain(b)) for a, b in zip(u, v)}
    assert seen == {
        ((1, 2), (2, 2)),
        ((2, 2), (2, 1)),
        ((1, 2), (1, 1)),
        ((1, 1), (2, 1)),
        ((1, 2), (2,)),
        ((2,), (2, 1)),
        ((1, 2), (1,)),
        ((1,), (2, 1)),
    }


def test_what_is_no_string_is_named():
    good, bad = torch.tensor([[1, 2, 0], [2, 0, 0]]), torch.tensor([[1, 2, 0], [2, 0, 1]])
    Strings(2).check(good)
    with pytest.raises(DataError, match=r"1 of 2 points are not strings.*point 1, \[2, 0, 1\]"):
        Strings(2).distance(good, bad)
    with pytest.raises(DataError, match=r"letters are numbers 1\.\.2"):
        pairwise(Strings(2), good, good + 2)
    with pytest.raises(DataError, match="point 0"):
        Strings(2).segment(good - 1, good, torch.rand(2))


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Hamming(1), "labels"),
        (lambda: Hamming(3, weight=0.0), "weight"),
        (lambda: Strings(1), "at least 2 letters"),
        (lambda: Hamming(3).distance(torch.rand(2, 3), torch.rand(2, 3)), "OneHot"),
        (lambda: Strings(3).distance(torch.rand(2, 3), torch.rand(2, 3)), "integers"),
    ],
)
def test_discrete_spaces_without_meaning_are_refused(make, words):
    with pytest.raises((SettingError, ShapeError), match=words):
        make()
