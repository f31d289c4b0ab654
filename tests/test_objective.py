"""Objectives against their definitions, and in the loop."""

import math

import pytest
import torch

from wgankit import (
    JensenShannon,
    Normed,
    Penalty,
    Perceptron,
    Relativistic,
    Unconstrained,
    Wasserstein,
    at_both,
    train,
    zero_centred,
)

REAL = torch.tensor([2.0, -1.0], dtype=torch.float64)
FAKE = torch.tensor([0.5, 1.0], dtype=torch.float64)


def never():
    raise AssertionError("this objective does not look at real points")


def sigmoid(x):
    return 1 / (1 + math.exp(-x))


def test_wasserstein():
    assert Wasserstein().critic(REAL, FAKE).item() == pytest.approx(0.75 - 0.5)
    assert Wasserstein().generator(FAKE, never).item() == pytest.approx(-0.75)


def test_jensen_shannon_is_the_classical_game():
    real = sum(-math.log(sigmoid(x)) for x in REAL.tolist()) / 2
    fake = sum(-math.log(1 - sigmoid(x)) for x in FAKE.tolist()) / 2
    assert JensenShannon().critic(REAL, FAKE).item() == pytest.approx(real + fake)
    plain = sum(-math.log(sigmoid(x)) for x in FAKE.tolist()) / 2
    assert JensenShannon().generator(FAKE, never).item() == pytest.approx(plain)
    assert JensenShannon(saturating=True).generator(FAKE, never).item() == pytest.approx(-fake)


def test_best_critic_of_the_classical_game_measures_jensen_shannon():
    """At f = log(p/q) the critic's loss is 2 log 2 - 2 JS (Goodfellow et al., theorem 1)."""
    p = torch.tensor([0.5, 0.3, 0.2], dtype=torch.float64)
    q = torch.tensor([0.1, 0.6, 0.3], dtype=torch.float64)
    places = torch.arange(3)
    real = torch.repeat_interleave(places, (p * 10).round().long())
    fake = torch.repeat_interleave(places, (q * 10).round().long())
    score = (p / q).log()
    middle = (p + q) / 2
    js = ((p * (p / middle).log()).sum() + (q * (q / middle).log()).sum()) / 2
    loss = JensenShannon().critic(score[real], score[fake])
    assert loss.item() == pytest.approx(2 * math.log(2) - 2 * js.item(), abs=1e-12)


@pytest.mark.parametrize("steepness", [1.0, 10.0, 100.0])
def test_vanishing_and_exploding_gradients_of_a_perfect_discriminator(steepness):
    """Two points b apart, f = k (b/2 - x): gradient at the fake k/(1+e^{kb/2}), k, and 1."""
    fake = torch.tensor([2.0], dtype=torch.float64, requires_grad=True)
    score = steepness * (1.0 - fake)
    found = {}
    for name, objective in (
        ("saturating", JensenShannon(saturating=True)),
        ("plain", JensenShannon()),
        ("wasserstein", Wasserstein()),
    ):
        (gradient,) = torch.autograd.grad(
            objective.generator(score, never), fake, retain_graph=True
        )
        found[name] = gradient.item()
    assert found["saturating"] == pytest.approx(steepness / (1 + math.exp(steepness)), rel=1e-6)
    assert found["plain"] == pytest.approx(steepness / (1 + math.exp(-steepness)), rel=1e-6)
    assert found["wasserstein"] == pytest.approx(steepness, rel=1e-6)


def test_relativistic_compares_pairs_and_a_constant_changes_nothing():
    pairs = [math.log(1 + math.exp(f - r)) for r, f in zip(REAL.tolist(), FAKE.tolist())]
    assert Relativistic().critic(REAL, FAKE).item() == pytest.approx(sum(pairs) / 2)
    assert Relativistic().critic(REAL + 5, FAKE + 5).item() == pytest.approx(sum(pairs) / 2)
    other = [math.log(1 + math.exp(r - f)) for r, f in zip(REAL.tolist(), FAKE.tolist())]
    loss = Relativistic().generator(FAKE, lambda: REAL)
    assert loss.item() == pytest.approx(sum(other) / 2)


@pytest.mark.parametrize(
    "changed",
    [
        {"objective": JensenShannon(), "penalty": Unconstrained()},
        {
            "objective": Relativistic(),
            "penalty": Penalty(1.0, where=at_both, shape=zero_centred, relative=False),
        },
    ],
    ids=["classical", "relativistic"],
)
def test_other_games_are_one_argument_and_move_the_generator_to_the_data(changed):
    """A generator of single points, 3 away from the data: it comes to within .5 of them."""
    torch.manual_seed(0)
    real = torch.randn(256, 2) * 0.1 + torch.tensor([3.0, 0.0])
    generator = Perceptron(2, 2, width=16, depth=1)
    training = train(
        generator, Perceptron(2, width=32, depth=2), real, space=Normed(), steps=400, batch=64,
        n_critic=1, generator_rate=2e-3, critic_rate=2e-3, betas=(0.0, 0.9), ema=0.9,
        device="cpu", **changed,
    )  # fmt: skip
    for step in training:
        assert math.isfinite(step.generator_loss.item())
    with torch.no_grad():
        mean = training.average(torch.randn(512, 2)).mean(0)
    assert (mean - torch.tensor([3.0, 0.0])).norm() < 0.5
