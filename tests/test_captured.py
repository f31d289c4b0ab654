"""A captured step: what it reads and writes, on a graph that stands in for a GPU's."""

from contextlib import contextmanager
from functools import partial

import pytest
import torch

from wgankit import Normal, Normed, Perceptron, RunError, captured, train
from wgankit.captured import WARM_UP, Captured, can_be_captured
from wgankit.errors import CompileWarning

CPU = torch.device("cpu")
COLD = WARM_UP + 1
"""Steps before the first graph: those that warm memory, and one that is watched."""


class _Graph:
    """Replays as a captured graph does: same inputs' memory, same results' memory."""

    def __init__(self):
        self.body, self.results = None, None

    def replay(self):
        for kept, new in zip(flat(self.results), flat(self.body())):
            kept.copy_(new)


def flat(results):
    if isinstance(results, torch.Tensor):
        return [results]
    return [one for part in results for one in flat(part)]


class _Stream:
    def wait_stream(self, other):
        return


@pytest.fixture
def stand_in(monkeypatch):
    """A GPU's graphs, where capturing notes the body and replaying runs it."""

    @contextmanager
    def nothing(*arguments, capture_error_mode="thread_local", **settings):
        # Other modes end where batches are fetched, and memory pinned, in another thread.
        assert capture_error_mode == "thread_local"
        yield

    monkeypatch.setattr(torch.cuda, "Stream", _Stream)
    monkeypatch.setattr(torch.cuda, "current_stream", _Stream)
    monkeypatch.setattr(torch.cuda, "stream", nothing)
    monkeypatch.setattr(torch.cuda, "graph", partial(nothing, capture_error_mode="global"))
    monkeypatch.setattr(torch.cuda, "CUDAGraph", _Graph)
    true_capture = Captured._capture

    def capture(self, stored, beside):
        body, self.body = self.body, lambda stored, beside: dummy(body, stored)
        true_capture(self, stored, beside)
        self.body = body
        self.graph.body = lambda: body(self.stored, self.beside)
        self.graph.results = self.results

    def dummy(body, stored):
        """Shapes of the results, as capturing runs nothing."""
        return self_shapes(body, stored)

    shapes = {}

    def self_shapes(body, stored):
        return shapes[body]

    monkeypatch.setattr(Captured, "_capture", capture)
    return shapes


def test_replays_see_new_points_and_return_copies(stand_in):
    total = torch.zeros(())

    def body(stored, beside):
        total.add_(stored.sum())
        return stored * 2, (total.clone(), beside[0] if beside else total * 0)

    stand_in[body] = (torch.empty(3), (torch.empty(()), torch.empty(())))
    step = Captured(body, CPU)
    kept, sums = [], 0.0
    for number in range(COLD + 4):
        stored = torch.full((3,), float(number))
        doubled, (now, _) = step(stored, None)
        sums += 3 * number
        kept.append(doubled)
        assert float(now) == sums
    assert step.graph is not None
    assert [float(one[0]) for one in kept] == [2.0 * number for number in range(COLD + 4)]


def test_looking_again_does_one_step_without_the_graph_and_captures_anew(stand_in):
    seen = []

    def body(stored, beside):
        seen.append(torch.is_tensor(stored))
        return (stored.clone(),)

    stand_in[body] = (torch.empty(1),)
    step = Captured(body, CPU)
    for _ in range(COLD + 1):
        step(torch.ones(1), None)
    first = step.graph
    step.look_again()
    step(torch.ones(1), None)
    assert step.graph is None
    step(torch.ones(1), None)
    assert step.graph is not None
    assert step.graph is not first


@pytest.mark.parametrize(
    ("way", "told"),
    [
        (lambda x: x * x.sum().item(), "_local_scalar_dense asks"),
        (lambda x: x[x > 0], "index asks"),
        (lambda x: x.where(x > 0, x.unique()[0]), "unique"),
        (lambda x: x * torch.tensor([2.0, 2.0]), "torch.tensor copies"),
        (lambda x: x * torch.as_tensor(2.0), "torch.as_tensor copies"),
        (lambda x: x * x.new_tensor([2.0, 2.0]), "new_tensor copies"),
    ],
)
def test_steps_in_which_the_host_takes_part_are_not_captured(stand_in, way, told):
    """A graph would repeat the numbers of the step that was captured."""

    def body(stored, beside):
        return (way(stored),)

    stored = torch.tensor([1.0, 3.0])
    wanted, step = way(stored), Captured(body, CPU)
    with pytest.warns(CompileWarning, match=f"not captured .*{told}.*capture=False"):
        found = [step(stored, None)[0] for _ in range(COLD)]
    found += [step(stored, None)[0] for _ in range(3)]
    assert step.graph is None
    assert all(torch.equal(one, wanted) for one in found)


def test_a_step_that_cannot_be_captured_says_so(stand_in, monkeypatch):
    @contextmanager
    def refused(*arguments, **settings):
        raise RuntimeError("operation not permitted when stream is capturing\nmore")
        yield

    monkeypatch.setattr(torch.cuda, "graph", refused)
    step = Captured(lambda stored, beside: (stored.clone(),), CPU)
    for _ in range(COLD):
        step(torch.ones(1), None)
    with pytest.raises(RunError, match="not permitted when stream is capturing; say capture=False"):
        step(torch.ones(1), None)


def test_only_optimisers_that_step_without_the_host_are_captured():
    network = Perceptron(2, width=4)
    plain = torch.optim.Adam(network.parameters(), fused=True)
    capturable = torch.optim.SGD(network.parameters(), 0.1)
    capturable.param_groups[0]["capturable"] = True
    assert not can_be_captured(plain, capturable)
    assert can_be_captured(capturable)


def test_a_step_depends_on_nothing_but_its_batches_and_tensors_that_stay(monkeypatch):
    """So that a graph may repeat it: the tensors it writes are the same ones every time."""
    torch.manual_seed(0)
    training = train(
        Perceptron(3, 2, width=8),
        Perceptron(2, width=8),
        torch.randn(50, 2) + 3,
        space=Normed(),
        latent=Normal(3),
        batch=8,
        n_critic=2,
        device="cpu",
        compile=False,
    )
    next(training)
    state = training.critic_optimizer.state
    places = {
        "scale": training.scale.data_ptr(),
        "share": training.averaging.share.data_ptr(),
        **{f"p{i}": p.data_ptr() for i, p in enumerate(training.critic.parameters())},
        **{f"m{i}": state[p]["exp_avg"].data_ptr() for i, p in enumerate(state)},
    }
    next(training)
    assert places["scale"] == training.scale.data_ptr()
    assert places["share"] == training.averaging.share.data_ptr()
    for i, p in enumerate(training.critic.parameters()):
        assert places[f"p{i}"] == p.data_ptr()
    for i, p in enumerate(state):
        assert places[f"m{i}"] == state[p]["exp_avg"].data_ptr()
    assert captured.WARM_UP >= 3


def training_on(device, critic=None, **settings):
    """Return a training that has not begun, always the same one."""
    torch.manual_seed(0)
    return train(
        Perceptron(3, 2, width=16),
        critic or Perceptron(2, width=16),
        torch.randn(500, 2) + 3,
        space=Normed(),
        latent=Normal(3),
        batch=32,
        device=device,
        compile=False,
        **settings,
    )


def agree(found, wanted):
    """Compare the figures of steps."""
    for one, other in zip(found, wanted, strict=True):
        assert one == pytest.approx(other, rel=1e-4, abs=1e-6)


@pytest.mark.gpu
def test_captured_steps_are_those_as_written():
    """On a GPU: the same figures, step by step, captured or not."""

    def rows(capture):
        training = training_on("cuda", capture=capture)
        return [next(training).estimate.row() for _ in range(12)]

    agree(rows(True), rows(False))


@pytest.mark.gpu
@pytest.mark.parametrize("saved_on", ["cuda", "cpu"])
def test_captured_steps_go_on_from_a_state(saved_on, tmp_path):
    """On a GPU: a state of either device goes on captured as it does uncaptured, rates included."""
    settings = {"schedule": lambda step: 1 / (1 + step)}
    first = training_on(saved_on, **settings)
    for _ in range(6):
        next(first)
    first.save(tmp_path / "state.pt")

    def rows(capture):
        again = training_on("cuda", capture=capture, **settings)
        for _ in range(6):  # so that there is a graph, whose tensors the state must reach
            next(again)
        again.load(tmp_path / "state.pt")
        return [next(again).estimate.row() for _ in range(12)]

    agree(rows(True), rows(False))


class Asking(torch.nn.Module):
    """A critic that asks for a number."""

    def __init__(self):
        super().__init__()
        self.network = Perceptron(2, width=8)

    def forward(self, points):
        return self.network(points) * (1 + 0 * points.detach().sum().item())


@pytest.mark.gpu
def test_a_network_that_asks_for_numbers_is_trained_uncaptured():
    """On a GPU: with a warning, and to the same figures."""

    def rows(capture):
        torch.manual_seed(1)
        training = training_on("cuda", Asking(), capture=capture)
        return [next(training).estimate.row() for _ in range(8)]

    with pytest.warns(CompileWarning, match="asks the device for a number"):
        found = rows("auto")
    agree(found, rows(False))
