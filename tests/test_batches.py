"""Batches: each point once an epoch, the same wherever the data lies, and shared by processes."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from wgankit import DataError, batches
from wgankit.batches import Batches


def points(count):
    return torch.arange(count), torch.arange(count).float().view(-1, 1) * 10


def streamed(*arguments, **settings):
    """Batches that are fetched in the background, as where the data does not fit the device."""
    made = Batches(*arguments, **settings)
    made.resident, made.fetcher = False, batches.ThreadPoolExecutor(1)
    return made


@settings(deadline=None, max_examples=40)
@given(
    count=st.integers(1, 40),
    size=st.integers(1, 10),
    processes=st.integers(1, 3),
    seed=st.integers(0, 2**40),
)
def test_an_epoch_holds_every_point_at_most_once_among_all_processes(count, size, processes, seed):
    turns = count // (size * processes)
    if not turns:
        return
    ranks = [
        Batches(points(count), size, seed=seed, rank=rank, processes=processes)
        for rank in range(processes)
    ]
    for _ in range(3):
        seen = torch.cat([each.draw()[0] for _ in range(turns) for each in ranks])
        assert len(seen) == len(seen.unique()) == turns * size * processes


def test_orders_differ_between_epochs_and_seeds():
    first = Batches(points(50), 50, seed=0)
    orders = [first.draw()[0] for _ in range(3)] + [Batches(points(50), 50, seed=1).draw()[0]]
    for i, one in enumerate(orders):
        assert all(not torch.equal(one, other) for other in orders[:i])


@settings(deadline=None, max_examples=30)
@given(st.lists(st.integers(1, 4), min_size=1, max_size=12))
def test_fetching_ahead_changes_nothing(numbers):
    """Whatever number of batches is asked for next, epoch ends included."""
    here, there = Batches(points(11), 3, seed=5), streamed(points(11), 3, seed=5)
    for number in numbers:
        wanted, found = here.draw(number), there.draw(number)
        assert all(torch.equal(a, b) for a, b in zip(wanted, found))
        assert here.state_dict() == there.state_dict()


def test_fetching_goes_on_in_the_background():
    made = streamed(points(100), 5)
    made.draw(2)
    place, future = made.ahead
    assert place == (0, 10, 2)
    coming = future.result()
    assert torch.equal(made.draw(2)[0], coming[0])


@pytest.mark.parametrize("make", [Batches, streamed])
def test_a_place_in_an_epoch_is_two_numbers_and_a_seed(make):
    first = make(points(23), 4, seed=9)
    for _ in range(7):
        first.draw()
    state = first.state_dict()
    assert state == {"epoch": 1, "place": 8, "seed": 9}
    wanted = [first.draw()[0] for _ in range(9)]
    again = make(points(23), 4, seed=1)
    again.load_state_dict(state)
    assert all(torch.equal(a, again.draw()[0]) for a in wanted)


def test_data_in_a_file_is_read_as_it_is_drawn(tmp_path):
    import numpy as np

    kept = np.memmap(tmp_path / "data", dtype=np.float32, mode="w+", shape=(1000, 3))
    kept[:] = np.arange(3000, dtype=np.float32).reshape(1000, 3)
    kept.flush()
    mapped = torch.from_file(str(tmp_path / "data"), size=3000).view(1000, 3)
    for make in (Batches, streamed):
        made = make(mapped, 10)
        assert made.points.data_ptr() == mapped.data_ptr()
        rows = made.draw(5)
        assert torch.equal(rows[:, 1], rows[:, 0] + 1)
        assert len(rows[:, 0].unique()) == 50


def test_too_little_data_is_refused_with_the_batch_that_would_do():
    with pytest.raises(DataError, match="batch=7"):
        Batches(points(7), 8)
    with pytest.raises(DataError, match=r"each of 2 processes.*batch=3"):
        Batches(points(7), 4, processes=2)
