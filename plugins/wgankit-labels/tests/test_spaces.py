"""Conditions as geometry: what a critic may do in the point and in the condition, exactly."""

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog

import wgankit
from wgankit import SettingError
from wgankit.testing import (
    check_funnels,
    check_metric_space,
    check_penalty_laws,
    check_smooth_space,
)
from wgankit_labels import Alike, Conditional, EachCondition, Vectors, conditional_w1, split

SMOOTH = [wgankit.Normed(p) for p in (1, 2, float("inf"))] + [wgankit.OneHot(p=2)]
SEEDS = st.integers(0, 10_000)
FEW = settings(max_examples=15, deadline=None)


def labels(count, classes=3):
    return torch.nn.functional.one_hot(torch.arange(count) % classes, classes).float()


def points_of(space, count=12):
    if isinstance(space, wgankit.Hamming):
        return torch.randint(3, (count, 5))
    if isinstance(space, wgankit.OneHot):
        return torch.rand(count, 4, 3).softmax(-1)
    return torch.randn(count, 4)


class Scores(torch.nn.Module):
    """A random smooth critic f(x, c) of float points, plus any function of the condition."""

    def __init__(self, alone=None):
        super().__init__()
        torch.manual_seed(1)
        self.weights = torch.randn(64)
        self.alone = alone

    def forward(self, points):
        x, c = split(points)
        flat = torch.cat([x.flatten(1).float(), c.flatten(1)], 1)
        mixed = flat[:, :, None] * flat[:, None, :]
        scores = (mixed.flatten(1) @ self.weights.repeat(9)[: flat.shape[1] ** 2]).sin()
        return scores if self.alone is None else scores + self.alone(c)


# Slopes ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("space", [*SMOOTH, wgankit.Hamming(3)], ids=lambda s: type(s).__name__)
def test_the_slope_is_that_of_the_critic_with_its_condition_held_fixed(space):
    torch.manual_seed(0)
    x, y, c = points_of(space), points_of(space), labels(12)
    t = torch.rand(12)
    critic = Scores()
    torch.manual_seed(5)  # discrete segments draw the order of their steps
    found = EachCondition(space).slope(critic, (x, c), (y, c), t)
    torch.manual_seed(5)

    def held(batch):
        return critic((batch, torch.cat([c] * (len(batch) // len(c)))))

    assert torch.allclose(found, space.slope(held, x, y, t))


@pytest.mark.parametrize("space", [wgankit.Normed(), wgankit.Hamming(3)])
def test_between_conditions_the_point_moves_first_at_the_condition_of_x(space):
    torch.manual_seed(0)
    x, y, c = points_of(space), points_of(space), labels(12)
    t, critic, priced = torch.rand(12), Scores(), EachCondition(space, price=1.0)

    def slopes(start, end):
        torch.manual_seed(5)
        return priced.slope(critic, (x, start), (y, end), t)

    turned = c.roll(1, 0)
    assert torch.allclose(slopes(c, turned), slopes(c, c))
    assert not torch.allclose(slopes(turned, c), slopes(c, c))


@given(seed=SEEDS, size=st.floats(0, 1e4))
@FEW
def test_a_critic_is_free_in_the_condition(seed, size):
    """Adding any function of the condition, however steep, changes no slope and no penalty."""
    torch.manual_seed(seed)
    x, y, c = torch.randn(9, 4), torch.randn(9, 4), labels(9)
    heights = size * torch.randn(3)
    t = torch.rand(9)
    space = EachCondition(wgankit.Normed())
    plain, lifted = Scores(), Scores(lambda c: c @ heights)
    one, other = (space.slope(f, (x, c), (y, c), t) for f in (plain, lifted))
    assert torch.allclose(one, other, atol=1e-3 + size * 1e-6)
    flat = space.slope(lambda p: p[1] @ heights + 0 * p[0].sum(1), (x, c), (y, c), t)
    assert not flat.any()


@given(seed=SEEDS, weight=st.floats(0.05, 20))
@FEW
def test_conditional_slopes_are_the_larger_of_both(seed, weight):
    torch.manual_seed(seed)
    x, c = torch.randn(7, 3).double(), torch.randn(7, 2).double()
    g, h = torch.randn(7, 3).double(), torch.randn(7, 2).double()
    space = Conditional(wgankit.Normed(1), weight=weight)
    found = space.dual_norm((x, c), (g, h))
    wanted = torch.maximum(g.abs().amax(1), h.norm(dim=1) / weight)
    assert torch.allclose(found, wanted)


# Laws -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("space", [*SMOOTH, wgankit.Hamming(3)], ids=lambda s: type(s).__name__)
def test_conditions_with_a_price_keep_the_laws_of_a_metric(space):
    torch.manual_seed(0)
    points = (points_of(space), labels(12))
    priced = EachCondition(space, price=0.7)
    check_metric_space(priced, points)
    check_penalty_laws(EachCondition(space), (points_of(space), labels(12, 1)))


@pytest.mark.parametrize("space", SMOOTH, ids=lambda s: type(s).__name__)
def test_the_product_keeps_the_laws_of_a_smooth_space(space):
    torch.manual_seed(0)
    points = (points_of(space), torch.randn(12, 2))
    product = Conditional(space, weight=0.6)
    check_metric_space(product, points)
    check_smooth_space(product, points)
    check_penalty_laws(product, points)
    check_funnels(product, points)


def test_conditions_of_several_kinds_keep_the_laws_of_a_metric():
    torch.manual_seed(0)
    mixed = Vectors([(0, 3, True), (3, 4, False), (4, 6, False)])
    condition = torch.cat([labels(12), torch.randn(12, 3)], 1)
    check_metric_space(
        EachCondition(wgankit.Normed(), among=mixed), (torch.randn(12, 2), labels(12, 1))
    )
    alike = torch.cat([labels(12, 3)[:1].expand(12, 3), torch.randn(12, 3)], 1)
    check_smooth_space(mixed, alike)
    apart = mixed.distance(condition[:1], condition[1:2])
    numbers = (condition[0, 3] - condition[1, 3]).abs() + (
        condition[0, 4:] - condition[1, 4:]
    ).norm()
    assert torch.allclose(apart, 1 + numbers)


@pytest.mark.parametrize("make", [
    lambda: EachCondition(wgankit.Normed()),
    lambda: EachCondition(wgankit.Normed(), price=2.5),
    lambda: EachCondition(wgankit.Normed(), among=Vectors([(0, 3, True)]), price=2.5),
    lambda: Conditional(wgankit.Normed(), weight=3.0),
])  # fmt: skip
def test_tables_are_the_distances_pair_by_pair(make):
    torch.manual_seed(0)
    space, x, y = (
        make(),
        (torch.randn(6, 2), labels(6)),
        (torch.randn(5, 2), labels(5, 2).repeat(1, 2)[:, :3]),
    )
    table = wgankit.pairwise(space, x, y)
    for i, j in itertools.product(range(6), range(5)):
        one = space.distance(tuple(p[i : i + 1] for p in x), tuple(p[j : j + 1] for p in y))
        assert torch.allclose(table[i, j], one[0]) or table[i, j] == one[0] == torch.inf


# Duality: what each of them measures ----------------------------------------------------------


def dual(points, conditions, masses, allowed):
    """The largest gap of any critic with f(i) - f(j) <= allowed[i][j], by linear programming."""
    count = len(points)
    rows, limits = [], []
    for i, j in itertools.permutations(range(count), 2):
        if np.isfinite(allowed[i][j]):
            row = np.zeros(count)
            row[i], row[j] = 1, -1
            rows.append(row)
            limits.append(allowed[i][j])
    free = [(0, 0) if k == 0 else (None, None) for k in range(count)]
    found = linprog(-np.asarray(masses), A_ub=np.array(rows), b_ub=limits, bounds=free)
    return -found.fun


@given(seed=SEEDS)
@settings(max_examples=8, deadline=None)
def test_the_best_critic_of_each_condition_earns_the_mean_of_w1_within_them(seed):
    """Duality, by linear programming over all critics, against transport in each condition."""
    torch.manual_seed(seed)
    numbers = torch.tensor([0, 0, 0, 0, 1, 1, 1, 1, 1, 2, 2])
    c = torch.nn.functional.one_hot(numbers, 3).float()
    real, fake = torch.randn(11, 2), torch.randn(11, 2)
    x = torch.cat([real, fake])
    both = (x, torch.cat([c, c]))
    masses = torch.cat([torch.ones(11), -torch.ones(11)]).numpy() / 11
    allowed = wgankit.pairwise(EachCondition(wgankit.Normed()), both, both).double().numpy()
    best = 0.0
    for number in range(3):  # conditions do not bind each other, so each is a program of its own
        mine = np.flatnonzero(torch.cat([numbers, numbers]).numpy() == number)
        best += dual(x[mine], None, masses[mine], allowed[np.ix_(mine, mine)])
    found = conditional_w1(wgankit.Normed(), (real, c), (fake, c))
    assert found == pytest.approx(best, abs=1e-5)


@given(seed=SEEDS)
@settings(max_examples=8, deadline=None)
def test_w1_grows_with_the_price_up_to_the_mean_within_conditions(seed):
    torch.manual_seed(seed)
    real, fake = (torch.randn(20, 2), labels(20)), (torch.randn(20, 2), labels(20))
    within = conditional_w1(wgankit.Normed(), real, fake)
    prices = [0.01, 0.3, 1.0, 10.0]
    found = [
        wgankit.exact.w1(EachCondition(wgankit.Normed(), price=price), real, fake)
        for price in prices
    ]
    assert all(a <= b + 1e-6 for a, b in itertools.pairwise([*found, within]))
    assert found[-1] == pytest.approx(within, abs=1e-5)  # 10 is more than any way saved
    marginal = wgankit.exact.w1(wgankit.Normed(), real[0], fake[0])
    assert marginal <= found[0] <= marginal + 0.01 + 1e-6


@pytest.mark.parametrize("weight", [0.25, 0.5, 1.0, 3.0])
def test_swapped_conditions_are_as_far_apart_as_the_cheaper_way(weight):
    """Real x = c, generated x = 1 - c: W1 on the product is min(1, weight), within conditions 1."""
    c = torch.tensor([[0.0], [1.0]])
    real, fake = (c, c), (1 - c, c)
    product = Conditional(wgankit.Normed(), weight=weight)
    assert wgankit.exact.w1(product, real, fake) == pytest.approx(min(1.0, weight))
    assert conditional_w1(wgankit.Normed(), real, fake) == pytest.approx(1.0)


@given(seed=SEEDS, share=st.floats(0.05, 0.95))
@FEW
def test_shares_of_groups_weigh_the_distances_within_them(seed, share):
    """W1(sum w_k P_k, sum w_k Q_k) = sum w_k W1(P_k, Q_k): what a sampler of groups trains on."""
    torch.manual_seed(seed)
    c = torch.tensor([0, 0, 0, 0, 1, 1, 1])
    real, fake = (torch.randn(7, 2), c[:, None]), (torch.randn(7, 2), c[:, None])
    masses = torch.where(c == 0, (1 - share) / 4, share / 3)
    whole = wgankit.exact.w1(
        EachCondition(wgankit.Normed(), price=1e3), real, fake, x_weights=masses, y_weights=masses
    )
    parts = [wgankit.exact.w1(wgankit.Normed(), real[0][c == k], fake[0][c == k]) for k in (0, 1)]
    assert whole == pytest.approx((1 - share) * parts[0] + share * parts[1], abs=1e-4)


# What is refused ------------------------------------------------------------------------------


def test_fakes_at_other_conditions_are_refused_and_never_measured():
    x, c = torch.randn(3, 2), labels(3)
    space, critic, t = EachCondition(wgankit.Normed()), Scores(), torch.rand(3)
    with pytest.raises(SettingError, match="3 of 3 generated points have another condition"):
        space.slope(critic, (x, c), (x + 1, c.roll(1, 0)), t)
    space.slope(critic, (x, c), (x + 1, c), t)
    assert space.slope(critic, (x, c), (x + 1, c.roll(1, 0)), t).isnan().all()
    assert space.distance((x, c), (x, c.roll(1, 0))).isinf().all()


def test_settings_without_a_meaning_are_refused():
    with pytest.raises(SettingError, match="number > 0"):
        EachCondition(wgankit.Normed(), price=0)
    with pytest.raises(SettingError, match="finite number > 0"):
        Conditional(wgankit.Normed(), weight=float("inf"))
    with pytest.raises(SettingError, match="Hamming is not one"):
        Conditional(wgankit.Hamming(3), weight=1.0)
    with pytest.raises(wgankit.ShapeError, match="condition last"):
        split(torch.zeros(3, 2))
    assert Alike().distance(torch.tensor([1, 2]), torch.tensor([1, 3])).tolist() == [0, 1]
