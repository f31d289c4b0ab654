"""Groups: shares of a batch, bounds of slopes, and figures for each group."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import wgankit
from wgankit import DataError, Penalty, SettingError
from wgankit_labels import (
    ConditionedCritic,
    ConditionedGenerator,
    ConditionedLatent,
    EachCondition,
    GroupSampler,
    by_group,
    conditional_w1,
    coverage,
    nearest_class,
)

SEEDS = st.integers(0, 10_000)


def group(points):
    return points[1][:, 0].long()


# Shares ---------------------------------------------------------------------------------------


@given(seed=SEEDS, minor=st.integers(1, 20), share=st.floats(0.1, 0.9))
@settings(max_examples=20, deadline=None)
def test_an_epoch_draws_each_group_by_its_share(seed, minor, share):
    torch.manual_seed(seed)
    groups = torch.cat([torch.zeros(100), torch.ones(minor)]).long()[torch.randperm(100 + minor)]
    points = (torch.arange(len(groups)), groups[:, None])
    sampler = GroupSampler(points, groups, [1 - share, share])
    which, drawn = sampler(sampler.places[torch.randperm(len(groups))])
    assert abs(float((drawn == 1).sum()) - share * len(groups)) <= 1
    assert torch.equal(groups[which], drawn[:, 0])


def test_every_point_of_a_group_is_drawn_alike():
    torch.manual_seed(0)
    groups = torch.tensor([0] * 95 + [1] * 5)
    sampler = GroupSampler(torch.arange(100), groups)
    counts = torch.zeros(100)
    for _ in range(400):
        counts += sampler(sampler.places).bincount(minlength=100)
    assert counts[95:] / 400 == pytest.approx(torch.full((5,), 10.0), rel=0.1)
    assert counts[:95] / 400 == pytest.approx(torch.full((95,), 50 / 95), rel=0.3)


def test_training_sees_the_shares():
    torch.manual_seed(0)
    k = torch.tensor([0.0] * 190 + [1.0] * 10)[:, None]
    sampler = GroupSampler((torch.randn(200, 2), k), k[:, 0].long())
    latent = ConditionedLatent(wgankit.Normal(3), k)
    training = wgankit.train(
        ConditionedGenerator(wgankit.Perceptron(3, 2, width=4), wgankit.Normal(3), 1),
        ConditionedCritic(wgankit.Perceptron(2, width=4), 1),
        sampler.places,
        prepare=sampler,
        space=EachCondition(wgankit.Normed()),
        latent=latent,
        penalty=Penalty(groups=group, over="worst"),
        batch=40,
        n_critic=1,
        device="cpu",
    )
    seen = torch.cat([next(training).real[1] for _ in range(30)])
    assert float(seen.mean()) == pytest.approx(0.5, abs=0.03)


def test_favour_gives_the_worst_group_all_in_the_end():
    sampler = GroupSampler(torch.arange(6), torch.tensor([0, 0, 0, 1, 1, 2]))
    for _ in range(300):
        sampler.favour(torch.tensor([1.0, 1.5, 0.5]), rate=0.1)
    assert sampler.shares.tolist() == pytest.approx([0, 1, 0], abs=1e-6)
    sampler.favour(torch.tensor([1.0, 1.5, 0.5]), least=0.1)
    assert sampler.shares.tolist() == pytest.approx([0.1, 0.8, 0.1], abs=1e-6)


def test_favour_follows_the_formula():
    sampler = GroupSampler(torch.arange(3), torch.tensor([0, 0, 1]), [0.7, 0.3])
    sampler.favour(torch.tensor([1.0, 3.0]), rate=0.2)
    wanted = np.array([0.7 * math.exp(0.2), 0.3 * math.exp(0.6)])
    assert sampler.shares.tolist() == pytest.approx(wanted / wanted.sum())


@pytest.mark.parametrize(
    ("groups", "shares", "error", "words"),
    [
        ([0, 2, 2], None, DataError, r"\[1, 0, 2\] members"),
        ([0, 1], None, DataError, "3 points"),
        ([0, 1, 1], [1.0], SettingError, "2 groups need as many shares"),
        ([0, 1, 1], [1.0, 0.0], SettingError, "shares > 0"),
    ],
)
def test_groups_without_members_or_shares_are_refused(groups, shares, error, words):
    with pytest.raises(error, match=words):
        GroupSampler(torch.arange(3), torch.tensor(groups), shares)


# Slopes ---------------------------------------------------------------------------------------


class Multiplied(nn.Module):
    """A critic shared by two classes with a multiplier each: f(x, k) = s m_k x."""

    def __init__(self):
        super().__init__()
        self.multipliers = torch.tensor([1.0, 3.0], dtype=torch.float64)
        self.shared = nn.Parameter(torch.tensor(0.1, dtype=torch.float64))

    def forward(self, points):
        return self.shared * self.multipliers[group(points)] * points[0][:, 0]


def best_slopes(penalty):
    """Slopes of the two classes (9 in 10 and 1 in 10 of the data), at the penalty's optimum."""
    k = torch.tensor([[0.0]] * 9 + [[1.0]])
    one, none = torch.ones(10, 1).double(), torch.zeros(10, 1).double()
    space, critic = EachCondition(wgankit.Normed()), Multiplied()
    solver = torch.optim.LBFGS(
        critic.parameters(), max_iter=100, tolerance_grad=1e-10, line_search_fn="strong_wolfe"
    )

    def loss():
        solver.zero_grad()
        gap = (critic((one, k)) - critic((none, k))).mean()
        value = penalty.weight * penalty.value(space, critic, (one, k), (none, k)) - gap
        value.backward()
        return float(value.detach())

    solver.step(loss)
    return (critic.shared * critic.multipliers).tolist()


@pytest.mark.parametrize(
    ("settings_of", "wanted"),
    [
        # One two-sided penalty: s = sum p m / sum p m^2 = 2/3, and the minority is twice too steep.
        ({"weight": 1e5, "shape": wgankit.two_sided}, [2 / 3, 2.0]),
        ({"weight": 10.0}, [0.4, 1.2]),
        ({"weight": 10.0, "groups": group, "over": "mean"}, [1.04 / 3, 1.04]),
        ({"weight": 10.0, "groups": group, "over": "worst"}, [1.02 / 3, 1.02]),
    ],
)
def test_one_penalty_does_not_bound_classes_with_multipliers(settings_of, wanted):
    """Closed forms: the mean gap is 1.2 s, so a penalty's share of the minority is what counts."""
    found = best_slopes(Penalty(relative=False, **settings_of))
    assert found == pytest.approx(wanted, rel=1e-4)


# Figures --------------------------------------------------------------------------------------


@given(seed=SEEDS, nearest=st.integers(1, 4))
@settings(max_examples=15, deadline=None)
def test_coverage_is_what_counting_gives(seed, nearest):
    rng = np.random.default_rng(seed)
    real, fake = rng.normal(size=(9, 2)), rng.normal(size=(7, 2)) * 0.7
    hits = 0
    for k, one in enumerate(real):
        others = sorted(math.dist(one, other) for j, other in enumerate(real) if j != k)
        hits += min(math.dist(one, other) for other in fake) <= others[nearest - 1]
    found = coverage(wgankit.Normed(), torch.tensor(real), torch.tensor(fake), nearest=nearest)
    assert found == pytest.approx(hits / 9)


def test_coverage_sees_a_mode_that_is_missing():
    torch.manual_seed(0)
    real = torch.cat([torch.randn(50, 2), torch.randn(50, 2) + 20])
    assert coverage(wgankit.Normed(), real, torch.randn(100, 2)) <= 0.5
    assert coverage(wgankit.Normed(), real, real.roll(7, 0)) == 1.0
    assert math.isnan(coverage(wgankit.Normed(), real[:1], real))


@given(seed=SEEDS)
@settings(max_examples=10, deadline=None)
def test_the_nearest_class_is_that_of_most_neighbours(seed):
    rng = np.random.default_rng(seed)
    known, judged = rng.normal(size=(20, 2)), rng.normal(size=(8, 2))
    classes = rng.integers(0, 3, 20)
    found = nearest_class(
        wgankit.Normed(), torch.tensor(known), torch.tensor(classes), torch.tensor(judged)
    )
    for one, said in zip(judged, found.tolist()):
        near = classes[np.argsort(np.linalg.norm(known - one, axis=1))[:5]]
        votes = np.bincount(near, minlength=3)
        assert votes[said] == votes.max()


def test_figures_of_groups_are_those_of_their_points():
    torch.manual_seed(0)
    k = torch.tensor([0.0] * 12 + [1.0] * 8)[torch.randperm(20)][:, None]
    real, fake = (torch.randn(20, 2), k), (torch.randn(20, 2) + 3 * k, k)
    critic = ConditionedCritic(wgankit.Perceptron(2, width=16, depth=2), 1)
    space = EachCondition(wgankit.Normed())
    found = by_group(space, critic, real, fake, group)
    assert [found[number].count for number in (0, 1)] == [12, 8]
    for number, one in found.items():
        mine = k[:, 0] == number
        x, y = real[0][mine], fake[0][mine]
        assert one.exact == pytest.approx(wgankit.exact.w1(wgankit.Normed(), x, y))
        assert one.coverage == coverage(wgankit.Normed(), x, y)
        gap = critic((x, k[mine])).mean() - critic((y, k[mine])).mean()
        assert one.estimate.gap == pytest.approx(float(gap.detach()), abs=1e-6)
    mean = sum(one.count * one.exact for one in found.values()) / 20
    assert mean == pytest.approx(conditional_w1(wgankit.Normed(), real, fake))
    assert {"w1", "steepest", "coverage", "exact_w1", "count"} <= set(found[0].row())
    with pytest.raises(DataError, match="20 real and 19 generated"):
        by_group(space, critic, real, tuple(part[1:] for part in fake), group)


def test_a_condition_without_generated_points_is_refused():
    x, c = torch.randn(4, 2), torch.tensor([[0.0], [0.0], [1.0], [2.0]])
    with pytest.raises(DataError, match="1 real points have a condition"):
        conditional_w1(wgankit.Normed(), (x, c), (x[:3], c[:3]))
