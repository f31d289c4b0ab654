"""Several processes: their mean gradient is that of one process on all their points."""

import os
import subprocess
import sys
import textwrap

import pytest
import torch
from torch import nn

from wgankit import Normed, Penalty, Perceptron, SettingError, Wasserstein, train
from wgankit.compiled import relative_error
from wgankit.loss import CriticLoss
from wgankit.processes import Processes

WORKER = """
import atexit, sys, torch
from lightning_fabric import Fabric
import wgankit
from wgankit import Normal, Normed, Penalty, Perceptron
from wgankit.processes import Processes
from wgankit.loss import CriticLoss

fabric = Fabric(accelerator="cpu", devices=2, strategy="ddp")
fabric.launch()
torch.set_num_threads(1)
folder, relative, resume = sys.argv[1], sys.argv[2] == "relative", sys.argv[3] == "resume"

# What is registered first is called last.
def note():
    left = not torch.distributed.is_initialized()
    open(f"{folder}/left-{processes.rank}", "w").write(str(left))

atexit.register(note)

# The gradient on half of the points each.
torch.manual_seed(0)
critic = Perceptron(2, width=16).double()
real, fake = torch.randn(32, 2).double() + 3, torch.randn(32, 2).double()
t = torch.rand(32).double()
processes = Processes(fabric)
mine = slice(16 * processes.rank, 16 * processes.rank + 16)
penalty = Penalty(relative=relative, where=lambda x, y: (x, y, t[mine]))
loss = CriticLoss(critic, Normed(), penalty, wgankit.Wasserstein(), processes.mean_of)
scales, grads = [torch.tensor(float("nan")).double()], []
for _ in range(2):
    value, seen = loss(real[mine], fake[mine], scales[-1])
    scales.append(seen.scale)
    found = torch.autograd.grad(value, list(critic.parameters()), allow_unused=True)
    grads.append(processes.mean(list(found)))

# A training of both.
def make():
    torch.manual_seed(processes.rank)  # which differs, and must not matter
    return wgankit.train(
        Perceptron(3, 2, width=8), Perceptron(2, width=8), torch.arange(200.0).view(100, 2) / 50,
        space=Normed(), latent=Normal(3), batch=10, n_critic=2, fabric=fabric,
        resume=f"{folder}/state.pt" if resume else None,
    )

training = make()
rows = [next(training).estimate.row() for _ in range(3)]
state = training.state_dict()
if processes.rank == 0 and not resume:
    wgankit.state.save(state, f"{folder}/state.pt")
rows += [next(training).estimate.row() for _ in range(3)]
torch.save(
    {"grads": grads, "scales": scales, "rows": rows,
     "critic": training.critic.state_dict(), "average": training.average.state_dict()},
    f"{folder}/{sys.argv[3]}-{processes.rank}.pt",
)
processes.wait()
"""


def together(folder, kind, name="first"):
    """Run the worker in two processes and return what each of them kept."""
    script = folder / "worker.py"
    script.write_text(textwrap.dedent(WORKER))
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("LOCAL_", "MASTER_"))}
    done = subprocess.run(
        [sys.executable, str(script), str(folder), kind, name],
        env={**environment, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return [torch.load(folder / f"{name}-{rank}.pt") for rank in range(2)]


@pytest.fixture(scope="module", params=["relative", "absolute"])
def pair(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("pair")
    return request.param, folder, together(folder, request.param)


def test_mean_gradient_is_that_of_one_process_on_all_points(pair):
    """Of the penalised loss, second derivative and running weight included."""
    kind, _, (one, other) = pair
    torch.manual_seed(0)
    critic = Perceptron(2, width=16).double()
    real, fake = torch.randn(32, 2).double() + 3, torch.randn(32, 2).double()
    t = torch.rand(32).double()
    penalty = Penalty(relative=kind == "relative", where=lambda x, y: (x, y, t))
    loss = CriticLoss(critic, Normed(), penalty, Wasserstein())
    scale = torch.tensor(float("nan")).double()
    for turn in range(2):
        value, seen = loss(real, fake, scale)
        wanted = torch.autograd.grad(value, list(critic.parameters()), allow_unused=True)
        assert relative_error(one["grads"][turn], list(wanted)) < 1e-10
        assert relative_error(other["grads"][turn], list(wanted)) < 1e-10
        scale = seen.scale
        if kind == "relative":
            assert torch.allclose(one["scales"][turn + 1], scale)


def test_processes_leave_their_group_before_the_interpreter_ends(pair):
    """Of a user's own Fabric, too: threads of a group that is left behind abort the process."""
    _, folder, _ = pair
    assert [(folder / f"left-{rank}").read_text() for rank in range(2)] == ["True", "True"]


def test_networks_stay_the_same_in_all_processes(pair):
    _, _, (one, other) = pair
    for network in ("critic", "average"):
        for name, value in one[network].items():
            assert torch.equal(value, other[network][name]), (network, name)
    assert one["rows"] != other["rows"], "each sees points of its own"


def test_several_processes_resume_bit_for_bit(pair):
    kind, folder, (one, other) = pair
    again, beside = together(folder, kind, "resume")
    assert again["rows"][:3] == one["rows"][3:]
    assert beside["rows"][:3] == other["rows"][3:]
    with pytest.raises(wgankit_error(), match="of 2 processes"):
        train(
            Perceptron(3, 2, width=8),
            Perceptron(2, width=8),
            torch.randn(100, 2),
            space=Normed(),
            batch=10,
            device="cpu",
            resume=folder / "state.pt",
        )


def wgankit_error():
    from wgankit import RunError

    return RunError


def test_a_strategy_that_does_more_is_refused():
    class Strategy:
        pass

    class Odd:
        strategy = Strategy()

    with pytest.raises(SettingError, match="ddp"):
        Processes(Odd())


def test_a_fabric_that_is_not_launched_is_refused():
    from lightning_fabric import Fabric

    fabric = Fabric(accelerator="cpu", devices=2, strategy="ddp")
    with pytest.raises(SettingError, match="launch"):
        train(Perceptron(3, 2), nn.Linear(2, 1), torch.randn(10, 2), space=Normed(), fabric=fabric)
