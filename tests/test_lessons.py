"""Lessons before the game: kept, told, gone on with, and random numbers of their own."""

import pytest
import torch

from wgankit import RunError, SettingError
from wgankit import state as states
from wgankit.lessons import Lesson, attend, stamp_of
from wgankit.progress import Teller

CPU = torch.device("cpu")


class Walk(Lesson[float]):
    """A sum of random numbers, which is killed at some step."""

    def __init__(self, steps=6, killed_at=None):
        self.index, self.steps, self.device = 0, steps, CPU
        self.killed_at = killed_at
        self.place = 0.0
        self.randomness = states.Randomness(0, CPU)

    def __next__(self):
        if self.index >= self.steps:
            raise StopIteration
        if self.index == self.killed_at:
            raise KeyboardInterrupt
        with self.randomness.used():
            self.place += float(torch.rand(()))
        self.index += 1
        return self.place

    def state_dict(self):
        return {"index": self.index, "place": self.place, "rng": self.randomness.state}

    def load_state_dict(self, state):
        self.index, self.place = state["index"], state["place"]
        self.randomness.state = state["rng"]


class Listener(Teller):
    """Keeps what it is told."""

    def __init__(self):
        self.heard = []

    def say(self, line):
        self.heard.append(line)

    def start(self, title, done, steps):
        self.heard.append((title, done, steps))

    def advance(self, done, row):
        self.heard.append(done)

    def note(self, words):
        self.heard.append(words)

    def stop(self):
        self.heard.append("stopped")


def words(place):
    if place > 1e6:
        raise RunError("the walk went too far")
    return f"at {place:.2f}"


def test_a_killed_lesson_goes_on_and_ends_as_if_it_never_had_been(tmp_path):
    path = tmp_path / "deep" / "walk.pt"
    whole, killed, again = Walk(), Walk(killed_at=4), Walk()
    attend(whole, words, title="walk", stamp="a")
    with pytest.raises(KeyboardInterrupt):
        attend(killed, words, title="walk", stamp="a", path=path, save_every=0.0)
    listener = Listener()
    attend(again, words, title="walk", stamp="a", path=path, teller=listener)
    assert again.place == whole.place
    assert listener.heard == [
        f"walk on cpu: step 4 of 6, kept in {path}", ("walk", 4, 6), 5, 6, "stopped",
    ]  # fmt: skip
    done = Walk(killed_at=6)
    attend(done, words, title="walk", stamp="a", path=path)
    assert done.place == whole.place


def test_people_are_told_how_it_goes(monkeypatch):
    monkeypatch.setattr("wgankit.lessons.TELL_EVERY", -1.0)
    listener = Listener()
    attend(Walk(steps=1), words, title="walk", stamp="a", teller=listener)
    assert any(str(one).startswith("1 of 1: at 0.") for one in listener.heard)


def test_what_is_of_something_else_is_refused(tmp_path):
    path = tmp_path / "walk.pt"
    attend(Walk(), words, title="walk", stamp="a", path=path)
    with pytest.raises(SettingError, match=r"walk\.pt, kept while the walk was.*--out FOLDER"):
        attend(Walk(), words, title="walk", stamp="b", path=path)


@pytest.mark.parametrize("save_every", [0.0, 60.0])
def test_a_lesson_that_diverged_is_never_kept(tmp_path, save_every):
    path = tmp_path / "walk.pt"
    far = Walk()
    far.place = 2e6
    with pytest.raises(RunError, match="too far"):
        attend(far, words, title="walk", stamp="a", path=path, save_every=save_every)
    assert not path.exists()


def test_random_numbers_of_ones_own():
    with states.seeded(5):
        wanted = torch.rand(4)
    own = states.Randomness(5, CPU)
    torch.manual_seed(1)
    before = torch.get_rng_state()
    found = []
    for _ in range(2):
        with own.used():
            found.append(torch.rand(2))
        assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(torch.cat(found), wanted)
    kept = own.state["cpu"].clone()

    def break_off():
        with own.used():
            torch.rand(3)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        break_off()
    assert torch.equal(own.state["cpu"], kept)
    assert torch.equal(torch.get_rng_state(), before)


def test_stamps_differ_where_anything_does():
    data = [torch.arange(6, dtype=torch.uint8)]
    stamps = {
        stamp_of(data, {"a": 1}),
        stamp_of(data, {"a": 2}),
        stamp_of([data[0].view(2, 3)], {"a": 1}),
        stamp_of([data[0].view(torch.int8)], {"a": 1}),
        stamp_of([data[0] + 1], {"a": 1}),
        stamp_of([data[0], data[0]], {"a": 1}),
    }
    assert len(stamps) == 6
    assert stamp_of([data[0].clone()], {"a": 1}) in stamps
