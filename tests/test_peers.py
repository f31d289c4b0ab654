"""What other toolkits get wrong is right here, and the benchmarks against them measure right."""

import io
import json
import sys
from contextlib import ExitStack

import pytest
import torch
from torch import nn

import wgankit
from benchmarks import growth, peer_loops, peers
from wgankit import Normal, Normed, Penalty
from wgankit.penalty import at_real, between, two_sided


def linear_critic(steepness, numbers=3):
    critic = nn.Sequential(nn.Linear(numbers, 1, bias=False), nn.Flatten(0)).double()
    with torch.no_grad():
        critic[0].weight.copy_(torch.full((1, numbers), steepness / numbers**0.5))
    return critic


# ---- penalties --------------------------------------------------------------------------------


@pytest.mark.parametrize("batch", [1, 16, 256])
def test_a_norm_over_the_batch_punishes_critics_that_are_right(batch):
    """torchgan's formula is (sqrt(B) s - 1)^2 for a critic of slope s; ours is (s - 1)^2."""
    real, fake = torch.randn(2, batch, 3, dtype=torch.float64)
    critic = linear_critic(1.0)
    points = fake.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(critic(points).sum(), points)
    theirs = (gradient.norm(2) - 1) ** 2
    assert theirs.item() == pytest.approx((batch**0.5 - 1) ** 2)
    penalty = Penalty(shape=two_sided)
    slopes = penalty.slopes(Normed(), critic, real, fake)
    assert penalty.cost(slopes, real).item() == pytest.approx(0, abs=1e-12)
    slopes = penalty.slopes(Normed(), linear_critic(3.0), real, fake)
    assert penalty.cost(slopes, real).item() == pytest.approx(4)


class SteepBetween(nn.Module):
    """Slope 3 in [1/4, 3/4], flat elsewhere: also at the data 0 and 1."""

    def forward(self, points):
        return 3 * points.squeeze(-1).clamp(0.25, 0.75)


def test_a_penalty_at_real_points_alone_sees_nothing_of_what_lies_between():
    """DeepChem's place for the penalty, against the share of fractions in [1/4, 3/4] times 2^2."""
    real, fake = torch.ones(1000, 1), torch.zeros(1000, 1)
    there = Penalty(where=at_real).slopes(Normed(), SteepBetween(), real, fake)
    assert there.max() == 0
    torch.manual_seed(0)
    _, _, fractions = between(real, fake)
    torch.manual_seed(0)
    penalty = Penalty(where=between)
    cost = penalty.cost(penalty.slopes(Normed(), SteepBetween(), real, fake), real)
    share = ((fractions > 0.25) & (fractions < 0.75)).double().mean()
    assert 0.4 < share < 0.6
    assert cost.item() == pytest.approx(4 * share.item())


# ---- the loop ---------------------------------------------------------------------------------


class Watched(nn.Module):
    """Keeps what goes through a network, and whether gradients were wanted."""

    def __init__(self, network):
        super().__init__()
        self.network, self.seen = network, []

    def forward(self, points):
        found = self.network(points)
        self.seen.append((torch.is_grad_enabled(), points.detach(), found.detach()))
        return found


def test_every_update_of_the_critic_sees_points_of_its_own_and_leaves_the_generator_alone():
    """vegans shows one batch every time, synthcity its real half; some go into the generator."""
    torch.manual_seed(0)
    generator = Watched(nn.Linear(4, 2))
    critic = Watched(nn.Sequential(nn.Linear(2, 8), nn.ReLU(), nn.Linear(8, 1), nn.Flatten(0)))
    optimizer = torch.optim.Adam(critic.parameters())
    updates = []
    optimizer.register_step_post_hook(lambda *_: updates.append(1))
    training = wgankit.train(
        generator,
        critic,
        torch.randn(64, 2),
        space=Normed(),
        latent=Normal(4),
        batch=8,
        n_critic=3,
        critic_optimizer=optimizer,
        device="cpu",
    )
    generator.seen.clear()
    critic.seen.clear()
    next(training)
    assert len(updates) == 3  # torchgan makes two for each
    assert [wanted for wanted, _, _ in generator.seen] == [False, True]
    pairs = [points for _, points, _ in critic.seen if len(points) == 16]
    assert len(pairs) == 3
    assert len(torch.cat(pairs).unique(dim=0)) == 48


# ---- networks as in DeepChem ------------------------------------------------------------------


def test_layers_for_each_bond_and_for_all_at_once_are_one_function():
    torch.manual_seed(0)
    apart, together = peers.MolGANCritic(apart=True).double(), peers.MolGANCritic().double()
    together.load_state_dict(apart.state_dict())
    points = tuple(part.double() for part in peer_loops.molecules(6))
    scores = apart(points), together(points)
    assert torch.allclose(*scores, rtol=0, atol=1e-14)
    assert scores[0].std() > 1e-6
    for one, other in zip(apart.parameters(), together.parameters()):
        first = torch.autograd.grad(scores[0].sum(), one, retain_graph=True)[0]
        second = torch.autograd.grad(scores[1].sum(), other, retain_graph=True)[0]
        assert torch.allclose(first, second, rtol=1e-9, atol=1e-14)


# ---- turns ------------------------------------------------------------------------------------


def test_a_loop_gets_as_many_batches_as_its_turns_have(monkeypatch):
    answers = io.StringIO()
    turns = peer_loops.Turns(5, io.StringIO("2\n3\n"), answers, {"version": "1"})

    class Ended(Exception):
        pass

    def end(code):
        raise Ended

    monkeypatch.setattr(peer_loops.os, "_exit", end)
    given = []
    with pytest.raises(Ended):
        given.extend(peer_loops.places(20, 6, turns))
    told = [json.loads(line) for line in answers.getvalue().splitlines()]
    assert len(given) == 5 * (2 + 3)
    assert told[0] == {"version": "1"}
    assert [list(one) for one in told[1:]] == [["seconds"], ["seconds"]]
    epoch = torch.cat(given[:3])
    assert len(epoch.unique()) == 18  # whole batches only, no point twice


LOOP = """
import sys
from benchmarks.peer_loops import Turns
turns = Turns(2, sys.stdin, sys.stdout, {})
for batch in range(7):
    turns.wait()
    sum(range(300_000))
raise ValueError("no more data")
"""


def test_a_process_tells_its_own_seconds_and_why_it_ended():
    with ExitStack() as stack:
        loop = peers.begin([sys.executable, "-c", LOOP], stack)
        assert loop.answer() == {}
        once, twice = loop(1), loop(2)
        assert 0 < once < twice
        with pytest.raises(peers.ProcessFailed, match="no more data"):
            loop(1)


# ---- growth -----------------------------------------------------------------------------------


def test_exponents_of_powers():
    sizes = [1, 2, 5, 20]
    found = growth.exponent(sizes, [3 * n**1.5 for n in sizes])
    assert (found.fitted, found.last) == (pytest.approx(1.5), pytest.approx(1.5))
    assert growth.exponent(sizes, [1, 1, 1, 4]).last == pytest.approx(1)


def test_the_largest_sum_of_tensors_is_counted_in_bytes():
    before = torch.ones(2**18)

    def act():
        first = torch.empty(3 * 2**18)  # 3 MiB
        del first
        second, third = torch.empty(2**18), torch.empty(2**18 * 4)
        return len(before) + len(second) + len(third)

    assert growth.largest_sum(act) == pytest.approx(5, abs=1e-2)
