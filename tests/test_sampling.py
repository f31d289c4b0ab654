"""Sampling: the same objects whatever decodes them, in order, few in memory, no process left."""

import gc
import itertools
import json
import math
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from clouds import Clouds
from torch import nn

import wgankit
from wgankit import DataError, Domain, RunError, SettingError, decoding, sampling, writing
from wgankit.decoding import Decoder, decoded, worthwhile
from wgankit.errors import CompileWarning
from wgankit.latent import Normal
from wgankit.sampling import CheckedNetwork, arriving, difference, even, generate
from wgankit.writing import joint, written

HERE = str(Path(__file__).parent)

ODD = """
import os, signal, time
from pathlib import Path
from clouds import Clouds
from wgankit import DataError

def here(vocabulary):
    return os.getpid() == vocabulary["pid"]

class Traced(Clouds):
    "Objects are the process that decoded them; says something on the way."
    def decode(self, points, vocabulary):
        print("decoding")
        return [os.getpid()] * len(points)

class Refusing(Clouds):
    def decode(self, points, vocabulary):
        if float(points[0, 0]) == vocabulary["refused"]:
            raise DataError(f"batch {points[0, 0]:g} cannot be read")
        return super().decode(points, vocabulary)

class Peculiar(Exception):
    def __init__(self, one, two):
        super().__init__(f"{one} and {two}")

class Unpicklable(Clouds):
    def decode(self, points, vocabulary):
        raise Peculiar(1, 2)

class Dying(Clouds):
    def decode(self, points, vocabulary):
        if not here(vocabulary) and float(points[0, 0]) == 1:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().decode(points, vocabulary)

class Waiting(Clouds):
    "A batch is decoded only once the next one has been made."
    def decode(self, points, vocabulary):
        later = Path(vocabulary["folder"], str(int(points[0, 0]) + 1))
        deadline = time.monotonic() + 60
        while not later.exists():
            if time.monotonic() > deadline:
                raise DataError("the next batch was not made meanwhile")
            time.sleep(0.005)
        return super().decode(points, vocabulary)

class Slow(Traced):
    def decode(self, points, vocabulary):
        if float(points[0, 0]) == 1:
            time.sleep(1000)
        return super().decode(points, vocabulary)
"""


@pytest.fixture
def odd(tmp_path_factory, monkeypatch):
    """Domains that misbehave, in a module that other processes can import."""
    folder = tmp_path_factory.mktemp("odd")
    (folder / "odd_domains.py").write_text(ODD)
    monkeypatch.syspath_prepend(folder)
    import odd_domains

    yield odd_domains
    sys.modules.pop("odd_domains", None)


@pytest.fixture
def trained(clouds, tmp_path):
    return wgankit.recipe("clouds").fit(
        "square", out=tmp_path / "run", device="cpu", progress=False, steps=2, evaluate_on=10
    )


def numbered(count, size=3):
    """Batches whose points all carry the number of their batch."""
    for number in range(count):
        yield torch.full((size, 2), float(number))


def decode(domain, points, workers, vocabulary=None):
    return decoded(
        iter(points), Decoder(domain, vocabulary or {}), workers=workers, batches=math.inf
    )


def alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    # A process that ended and that nobody asked after is still listed.
    return "Z" not in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


def gone(pid, seconds=30):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            if not alive(pid):
                return True
        except FileNotFoundError:
            return True
        time.sleep(0.05)
    return False


# ---- the same objects --------------------------------------------------------------------------


def test_objects_do_not_depend_on_workers(trained):
    """Three full batches and a partial one, decoded here and by two processes in turn."""
    wanted = trained.domain.decode(trained.sample_points(70, seed=3, batch=20), {})
    for workers in (0, 2):
        found = list(trained.stream(70, seed=3, batch=20, workers=workers))
        assert found == wanted
    assert trained.sample(70, seed=3, batch=20) == wanted
    endless = trained.stream(seed=3, batch=20, workers=0)
    assert list(itertools.islice(endless, 60)) == wanted[:60]


def test_batches_are_drawn_one_after_another_from_the_seed(trained):
    """The reference: one seed, then latents and a pass of the network for each batch."""
    model = trained._built()
    generator = trained._trained().eval()
    with torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(11)
        parts = [generator(model.latent.sample(size, "cpu")) for size in (500, 500, 234)]
    assert torch.equal(trained.sample_points(1234, seed=11, device="cpu"), torch.cat(parts))


def test_a_stream_and_its_caller_do_not_share_random_numbers(trained):
    wanted = trained.sample(60, seed=3, batch=20)
    torch.manual_seed(5)
    numbers = torch.rand(3)
    torch.manual_seed(5)
    stream = trained.stream(60, seed=3, batch=20, workers=0)
    found, mine = [], []
    for _ in range(3):
        mine.append(torch.rand(()))
        found += itertools.islice(stream, 20)
    assert found == wanted
    assert torch.equal(torch.stack(mine), numbers)


def test_without_a_seed_torch_decides(trained):
    torch.manual_seed(0)
    one, two = trained.sample(5), trained.sample(5)
    torch.manual_seed(0)
    assert trained.sample(5) == one != two


def test_a_stream_keeps_the_generator_that_it_began_with(trained):
    wanted = trained.sample(40, seed=3, batch=20)
    stream = trained.stream(40, seed=3, batch=20, workers=0)
    found = list(itertools.islice(stream, 20))
    for parameter in trained._built().generator.parameters():
        parameter.data.zero_()
    assert found + list(stream) == wanted


class Recording(nn.Module):
    """A linear map that writes down the size of every batch."""

    def __init__(self):
        super().__init__()
        self.map = nn.Linear(4, 6, bias=False)
        self.sizes = []

    def forward(self, z):
        self.sizes.append(len(z))
        return self.map(z)


def test_passes_are_small_enough_for_the_cache_and_make_the_same_points(monkeypatch):
    monkeypatch.setattr(sampling, "PASS", 60)
    network = Recording().eval()
    settings = {"count": 65, "batch": 25, "seed": 0}
    small = torch.cat(list(generate(network, Normal(4), numbers=6, **settings)))
    assert network.sizes == [9, 9, 7, 9, 9, 7, 9, 6]
    whole = torch.cat(list(generate(network, Normal(4), numbers=1, **settings)))
    assert network.sizes[8:] == [25, 25, 15]
    assert torch.allclose(small, whole, atol=1e-6)


@pytest.mark.parametrize(("size", "largest", "step"), [(500, 119, 100), (7, 10, 7), (9, 4, 3)])
def test_passes_share_a_batch_evenly(size, largest, step):
    assert even(size, largest) == step <= largest


# ---- memory, order, overlap --------------------------------------------------------------------


@pytest.mark.parametrize("workers", [0, 1])
def test_few_batches_are_made_ahead(workers):
    made = []

    def points():
        for batch in numbered(12):
            made.append(1)
            yield batch

    for index, (x, _) in enumerate(decode(Clouds(), points(), workers)):
        batch = index // 3
        assert x == batch
        assert len(made) <= batch + 1 + workers
    assert len(made) == 12


def test_a_batch_on_its_way_from_a_device_is_one_more():
    made = []

    def points():
        for batch in numbered(5):
            made.append(1)
            yield batch

    for index, batch in enumerate(arriving(points(), ahead=1)):
        assert float(batch[0, 0]) == index
        assert len(made) == min(index + 2, 5)


def test_the_network_goes_on_while_workers_decode(odd, tmp_path):
    """Each batch is decoded only once the next is made, so without overlap nothing would be."""

    def points():
        for number, batch in enumerate(numbered(6)):
            (tmp_path / str(number)).touch()
            yield batch
        (tmp_path / "6").touch()

    found = decode(odd.Waiting(), points(), 1, {"folder": str(tmp_path)})
    assert [x for x, _ in found] == [float(i) for i in range(6) for _ in range(3)]


def test_what_a_domain_prints_does_not_disturb(odd, capfd):
    pids = set(decode(odd.Traced(), numbered(4), 1))
    assert len(pids) == 1
    assert os.getpid() not in pids
    assert all(map(gone, pids))
    said = capfd.readouterr()
    assert said.out == ""
    assert said.err.count("decoding") == 4


@pytest.mark.parametrize("before", [True, False])
def test_the_garbage_collector_rests_only_while_objects_are_made(before, odd):
    class Looking(Clouds):
        def decode(self, points, vocabulary):
            assert not gc.isenabled()
            return super().decode(points, vocabulary)

    was = gc.isenabled()
    (gc.enable if before else gc.disable)()
    try:
        for _ in decode(Looking(), numbered(2), 0):
            assert gc.isenabled() == before
        with pytest.raises(DataError):
            list(decode(odd.Refusing(), numbered(8), 0, {"refused": 4.0}))
        assert gc.isenabled() == before
    finally:
        (gc.enable if was else gc.disable)()


# ---- when something goes wrong -----------------------------------------------------------------


@pytest.mark.parametrize("workers", [0, 1])
def test_what_decoding_raises_is_raised_here_after_the_batches_before(odd, workers):
    found = []
    with pytest.raises(DataError, match="batch 4 cannot be read") as raised:  # noqa: PT012
        for x, _ in decode(odd.Refusing(), numbered(8), workers, {"refused": 4.0}):
            found.append(x)
    assert found == [float(i) for i in range(4) for _ in range(3)]
    if workers:
        assert "in decode" in "".join(raised.value.__notes__)


def test_an_error_that_cannot_travel_is_told_in_words(odd):
    with pytest.raises(RunError, match="Peculiar in a process that decodes: 1 and 2"):
        list(decode(odd.Unpicklable(), numbered(2), 1))


def test_a_killed_worker_is_a_clear_error(odd):
    found = []
    with pytest.raises(RunError, match=r"killed by signal 9.*workers=0"):  # noqa: PT012
        for x, _ in decode(odd.Dying(), numbered(6), 1, {"pid": os.getpid()}):
            found.append(x)
    assert found == [0.0] * 3


def test_a_stream_that_is_left_ends_its_workers(odd):
    stream = decode(odd.Slow(), numbered(9), 1)
    pid = next(stream)
    assert alive(pid)
    stream.close()
    assert gone(pid, 5)


def test_a_generator_that_fails_ends_its_workers(odd):
    def points():
        yield from numbered(3)
        raise ValueError("no more")

    stream = decode(odd.Traced(), points(), 1)
    pid = next(stream)
    with pytest.raises(ValueError, match="no more"):
        list(stream)
    assert gone(pid, 5)


UNGUARDED = """
import sys
sys.path.insert(0, {here!r})
print("ran", flush=True)
import math, torch
from clouds import Clouds
from wgankit import SettingError
from wgankit.decoding import Decoder, decoded
points = [torch.full((2, 2), float(i)) for i in range(4)]
print(list(decoded(iter(points), Decoder(Clouds(), {{}}), workers=1, batches=4)))

class Mine(Clouds):
    pass

try:
    list(decoded(iter(points), Decoder(Mine(), {{}}), workers=1, batches=4))
except SettingError as error:
    print(error)
from wgankit import decoding
decoding.WORTHWHILE, decoding.usable_cores = 0.0, lambda: 4
print(len(list(decoded(iter(points), Decoder(Mine(), {{}}), workers="auto", batches=4))))
"""


def test_a_script_needs_no_guard(tmp_path):
    """Workers do not run the caller's script again; a domain that lives in it stays at home."""
    script = tmp_path / "script.py"
    script.write_text(UNGUARDED.format(here=HERE))
    done = subprocess.run(
        [sys.executable, "-W", "error::RuntimeWarning", script],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    ran, objects, refusal, count = done.stdout.strip().split("\n")
    assert ran == "ran"
    assert objects == str([(float(i),) * 2 for i in range(4) for _ in range(2)])
    assert "not from a script; workers=0" in refusal
    assert count == "8"


LEFT = """
import sys, time
sys.path[:0] = [{here!r}, {odd!r}]
import torch
from odd_domains import Slow
from wgankit.decoding import Decoder, decoded
points = (torch.full((1, 2), float(i)) for i in range(9))
for pid in decoded(points, Decoder(Slow(), {{}}), workers=1, batches=9):
    print(pid, flush=True)
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_no_worker_outlives_its_caller(odd, number):
    """The worker is in the middle of a batch that takes forever."""
    code = LEFT.format(here=HERE, odd=str(Path(odd.__file__).parent))
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        # Shells let what runs in their background ignore Ctrl-C, and children inherit that.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    worker = int(process.stdout.readline())
    assert alive(worker)
    os.killpg(process.pid, number)  # as a terminal does
    _, said = process.communicate(timeout=60)
    assert process.returncode == -number, said
    assert gone(worker)
    # Ctrl-C reaches the caller alone, so there is one traceback.
    assert said.count("KeyboardInterrupt") == (number == signal.SIGINT)


# ---- how many workers --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cores", "network", "pace", "batches", "workers"),
    [
        (1, 0.1, 1.0, 1_000, 0),
        (8, 0.1, 0.35, 1_000, 4),
        (4, 0.1, 0.35, 1_000, 3),
        (8, 0.1, 0.01, 1_000_000, 1),
        (64, 1e-6, 1.0, math.inf, decoding.MOST_WORKERS),
        (8, 0.1, 1.0, decoding.WORTHWHILE - 1, 0),
    ],
)
def test_workers_keep_up_with_the_network(monkeypatch, cores, network, pace, batches, workers):
    monkeypatch.setattr(decoding, "usable_cores", lambda: cores)
    assert worthwhile(network, pace, batches) == workers


def test_auto_begins_here_and_hires_when_that_pays(odd, monkeypatch):
    monkeypatch.setattr(decoding, "usable_cores", lambda: 2)
    monkeypatch.setattr(decoding, "WORTHWHILE", 0.0)
    pids = list(decode(odd.Traced(), numbered(5), "auto"))
    assert pids[:6] == [os.getpid()] * 6
    assert len(set(pids[6:])) == 1
    assert os.getpid() not in pids[6:]
    monkeypatch.setattr(decoding, "WORTHWHILE", math.inf)
    few = decoded(numbered(5), Decoder(odd.Traced(), {}), workers="auto", batches=5)
    assert set(few) == {os.getpid()}


def test_auto_decodes_here_what_cannot_be_sent(monkeypatch):
    """A domain whose module only this process has: one line, and all of the objects."""
    monkeypatch.setattr(decoding, "usable_cores", lambda: 2)
    monkeypatch.setattr(decoding, "WORTHWHILE", 0.0)
    module = type(sys)("nowhere")
    module.Lost = type("Lost", (Clouds,), {"__module__": "nowhere"})
    monkeypatch.setitem(sys.modules, "nowhere", module)
    with pytest.warns(RuntimeWarning, match="No module named 'nowhere'"):
        found = list(decode(module.Lost(), numbered(5), "auto"))
    assert [x for x, _ in found] == [float(i) for i in range(5) for _ in range(3)]


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"count": 0}, "count is at least 1"),
        ({"batch": 0}, "batch is at least 1"),
        ({"workers": -1}, "workers is"),
        ({"workers": "many"}, "workers is"),
        ({"compile": "perhaps"}, "compile is True"),
    ],
)
def test_wrong_settings_are_refused_before_anything_is_drawn(trained, settings, words):
    with pytest.raises(SettingError, match=words):
        trained.stream(**{"count": 5, **settings})


# ---- compiled ----------------------------------------------------------------------------------


class Labels(nn.Module):
    """Hard labels of 10 sites, the likelier of two."""

    def __init__(self):
        super().__init__()
        self.map = nn.Linear(4, 20, bias=False)

    def forward(self, z):
        logits = self.map(z).view(len(z), 10, 2)
        return nn.functional.one_hot(logits.argmax(-1), 2).float()


def compiled_as(monkeypatch, change):
    """Instead of compiling: the network as written, changed; and only for one size of batch."""

    def compile(forward, *, fullgraph, dynamic):
        assert fullgraph
        assert not dynamic
        sizes = set()

        def compiled(latents):
            sizes.add(len(latents))
            assert len(sizes) == 1
            assert latents.is_contiguous()
            return change(forward(latents))

        return compiled

    monkeypatch.setattr(torch, "compile", compile)


@pytest.mark.filterwarnings("error::wgankit.errors.CompileWarning")
def test_compiled_points_are_those_of_the_seed_with_one_shape_only(monkeypatch):
    """Passes of 9 from batches of 25 and a last batch of 15: all but some are filled up and cut."""
    monkeypatch.setattr(sampling, "PASS", 60)
    compiled_as(monkeypatch, lambda points: points)
    torch.manual_seed(0)
    network = Recording().eval()
    settings = {"count": 65, "batch": 25, "seed": 0, "numbers": 6}
    wanted = torch.cat(list(generate(network, Normal(4), **settings)))
    found = torch.cat(list(generate(network, Normal(4), compile=True, **settings)))
    assert torch.allclose(found, wanted, atol=1e-6)


def flip(share):
    """Let another label come out at the first sites."""

    def change(points):
        points = points.clone()
        flat = points.view(-1, 2)
        count = round(share * len(flat))
        flat[:count] = 1 - flat[:count]
        return points

    return change


@pytest.mark.parametrize(
    ("network", "change", "objection"),
    [
        (Recording, lambda points: points * (1 + 1e-6), ""),
        (Recording, lambda points: points * (1 + 2e-4), "off by"),
        (Recording, lambda points: points.index_fill(0, torch.tensor([7]), 0.0), "off by"),
        (Recording, lambda points: points * float("nan"), "nan"),
        (Recording, lambda points: points[:, :2], r"\(2000, 2\) instead of \(2000, 6\)"),
        (Labels, flip(0.5e-4), ""),
        (Labels, flip(1e-3), "labels are others"),
        (Labels, lambda points: 1 / 0, "ZeroDivisionError: division by zero"),
    ],
)
def test_a_compiled_generator_is_believed_only_if_it_makes_the_same_points(
    monkeypatch, recwarn, network, change, objection
):
    compiled_as(monkeypatch, change)
    torch.manual_seed(0)
    written_down = network().eval()
    checked = CheckedNetwork(written_down, 2000)
    latents = torch.randn(2000, 4)
    with torch.no_grad():
        checked(latents)
    told = [str(w.message) for w in recwarn if w.category is CompileWarning]
    if objection:
        assert len(told) == 1
        assert checked.chosen is written_down
        assert re.search(objection, told[0])
    else:
        assert told == []
        assert checked.chosen is not written_down


def test_a_generator_that_draws_random_numbers_is_not_compiled(monkeypatch):
    compiled_as(monkeypatch, lambda points: points)
    network = nn.Sequential(nn.Linear(4, 3), nn.Dropout())  # not in evaluation mode
    with pytest.warns(CompileWarning, match="draws random numbers"):
        list(generate(network, Normal(4), count=9, batch=9, seed=0, compile=True))


def test_auto_compiles_large_counts_only(monkeypatch):
    asked = []
    monkeypatch.setattr(sampling, "CheckedNetwork", lambda *given: asked.append(given) or given[0])
    monkeypatch.setattr(sampling, "COMPILE_FROM", 100)
    network = Recording().eval()
    for count in (99, 100, None):
        generate(network, Normal(4), count=count, batch=10, seed=0, compile="auto")
    assert len(asked) == 1


def test_a_difference_of_labels_is_a_share_of_all():
    wanted = torch.zeros(100, 100)
    found = wanted.clone()
    found[3, 4] = 1
    assert difference(found, wanted) == ""
    found[3, 5] = 1
    assert "2.0e-04" in difference(found, wanted)


@pytest.mark.slow
def test_the_compiler_itself(trained, recwarn):
    wanted = trained.sample_points(1234, seed=3, batch=100)
    found = trained.sample_points(1234, seed=3, batch=100, compile=True)
    assert torch.allclose(found, wanted, atol=1e-5)
    assert not [w for w in recwarn if w.category is CompileWarning]


@pytest.mark.gpu
def test_points_arrive_whole_from_a_gpu():
    network = Recording().eval().cuda()
    batches = list(generate(network, Normal(4), count=5_000, batch=1_000, seed=0))
    again = list(generate(network, Normal(4), count=5_000, batch=1_000, seed=0))
    assert all(batch.device.type == "cpu" for batch in batches)
    for one, two in zip(batches, again):
        assert torch.equal(one, two)
        assert bool(one.abs().sum(1).gt(0).all())


# ---- files -------------------------------------------------------------------------------------


class Tables(Clouds):
    """Points with a heading."""

    def write(self, objects, path):
        path.write_text("x y\n" + "".join(f"{x} {y}\n" for x, y in objects))

    def read(self, path):
        heading, rest = path.read_text().split("\n", 1)
        if heading != "x y":
            raise DataError("no heading")
        lines = [tuple(map(float, line.split())) for line in rest.split("\n") if line]
        return wgankit.Reading(lines)


class Whole(Clouds):
    """Points in one piece of JSON, which nothing can be appended to."""

    def write(self, objects, path):
        path.write_text(json.dumps(objects))

    def read(self, path):
        try:
            return wgankit.Reading([tuple(point) for point in json.loads(path.read_text())])
        except ValueError as error:
            raise DataError("not JSON") from error


class Counted(Clouds):
    """Points behind their number, of which no more are read."""

    def write(self, objects, path):
        super().write(objects, path)
        path.write_text(f"{len(objects)}\n" + path.read_text())

    def read(self, path):
        count, *lines = path.read_text().split("\n")
        return wgankit.Reading([tuple(map(float, line.split())) for line in lines[: int(count)]])


class Writing(Clouds):
    """Points that can be written and not read."""

    read = Domain.read


POINTS = [(float(i), i / 7) for i in range(45)]


@pytest.mark.parametrize(
    ("domain", "heading"),
    [(Clouds(), 0), (Tables(), 4), (Whole(), None), (Counted(), None), (Writing(), None)],
)
def test_a_file_that_grew_is_the_file_written_at_once(domain, heading, tmp_path):
    path = tmp_path / "points.txt"
    assert joint(domain, POINTS[:10], path.name) == heading
    path.write_text("what was there before")
    seen = []
    for count in written(iter(POINTS), path, domain, chunk=10):
        seen.append(count)
        if heading is not None and not isinstance(domain, Writing):
            assert domain.read(path).objects == POINTS[:count]
    assert seen == [10, 20, 30, 40, 45]
    domain.write(POINTS, tmp_path / "once.txt")
    assert path.read_bytes() == (tmp_path / "once.txt").read_bytes()


@pytest.mark.parametrize("domain", [Clouds(), Tables(), Whole()])
def test_what_there_is_when_objects_stop_coming_is_written(domain, tmp_path):
    def objects():
        yield from POINTS[:25]
        raise KeyboardInterrupt

    path = tmp_path / "points.txt"
    with pytest.raises(KeyboardInterrupt):
        list(written(objects(), path, domain, chunk=10))
    assert domain.read(path).objects == POINTS[:20]


def test_a_folder_is_written_in_the_end_and_never_mixed(tmp_path):
    class Folders(Clouds):
        def write(self, objects, path):
            path.mkdir(exist_ok=True)
            for index, (x, y) in enumerate(objects):
                (path / str(index)).write_text(f"{x} {y}")

    assert list(written(iter(POINTS), tmp_path / "new", Folders(), chunk=20)) == [20, 40, 45]
    assert len(list((tmp_path / "new").iterdir())) == 45
    with pytest.raises(RunError, match="holds files already"):
        list(written(iter(POINTS), tmp_path / "new", Folders()))


class FullDisk:
    """An unbuffered file on a disk that is full after some bytes."""

    name = "points.txt"

    def __init__(self, room):
        self.content, self.room = b"1 1\n", room

    def seek(self, place, whence):
        return len(self.content)

    def write(self, more):
        part = bytes(more[: self.room])
        if not part:
            raise OSError(28, "No space left on device")
        self.content += part
        self.room -= len(part)
        return len(part)

    def truncate(self, size):
        self.content = self.content[:size]


def test_a_full_disk_keeps_whole_objects():
    file = FullDisk(6)
    with pytest.raises(RunError, match=r"cannot write points.txt: No space left"):
        writing.append(file, b"2 2\n3 3\n")
    assert file.content == b"1 1\n"
    file = FullDisk(100)
    writing.append(file, b"2 2\n3 3\n")
    assert file.content == b"1 1\n2 2\n3 3\n"


# ---- the command -------------------------------------------------------------------------------

COMMAND = """
import sys
sys.path[:0] = sys.argv[1:3]
from wgankit import plugins
from importlib.metadata import PathDistribution
from pathlib import Path
info = next(Path(sys.argv[2]).glob("*.dist-info"))
registry = plugins.Registry(entry_points=PathDistribution(info).entry_points)
plugins.registry = lambda: registry
from wgankit.cli import main
sys.argv[1:3] = []
main()
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_what_a_stopped_command_has_written_is_whole(trained, tmp_path, number):
    """However it ends, the file holds the first objects of the stream, and all lines are whole."""
    site = next(
        path for path in sys.path if list(Path(path).glob("*.dist-info")) and "site" in path
    )
    out = tmp_path / "new.txt"
    words = ["sample", trained.folder.path, "-n", 50_000_000, "--out", out, "--seed", 7]
    process = subprocess.Popen(
        [sys.executable, "-c", COMMAND, HERE, site, *map(str, words)],
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + 100
    while time.monotonic() < deadline and not (out.is_file() and out.stat().st_size > 100_000):
        time.sleep(0.01)
    process.send_signal(number)
    _, said = process.communicate(timeout=30)
    text = out.read_text()
    assert text.endswith("\n")
    lines = text.split("\n")[:-1]
    assert len(lines) % 500 == 0
    stream = trained.stream(seed=7, workers=0, device="cpu")
    assert lines == [f"{x} {y}" for x, y in itertools.islice(stream, len(lines))]
    if number != signal.SIGKILL:
        assert process.returncode == 128 + number
        assert f"{len(lines):,} of 50,000,000 points in" in said.replace("\n", " ")
