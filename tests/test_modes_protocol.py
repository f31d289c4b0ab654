"""The protocol that counts modes, on samples made by hand."""

import math

import pytest
import torch

from benchmarks.mode_problems import (
    coverage,
    draw_lines,
    floor,
    grid,
    lines_covered,
    mean_w1,
    nearest_shares,
    ring,
    share_on_lines,
)


def test_the_published_problems():
    assert grid().centres.shape == (25, 2)
    assert {tuple(point) for point in grid().centres.tolist()} >= {(-4, -4), (0, 2), (4, 4)}
    assert grid().spread == 0.05
    assert torch.allclose(ring().centres.norm(dim=1), torch.ones(8))
    assert ring().spread == 0.01


def test_one_hit_counts_a_mode_and_a_miss_does_not():
    problem = grid()
    out = 3.01 * problem.spread
    points = torch.tensor([[-4.0, -4.0], [4.0 + 0.1, 4.0], [0.0, out], [1.0, 1.0]])
    seen = coverage(problem, points)
    assert seen.modes == 2
    assert seen.quality == pytest.approx(2 / 4)


def test_a_hit_is_within_three_standard_deviations_whatever_the_way():
    problem = grid()
    diagonal = 3 * problem.spread / math.sqrt(2)
    inside = torch.tensor([[0.99 * diagonal, 0.99 * diagonal]])
    outside = torch.tensor([[1.01 * diagonal, 1.01 * diagonal]])
    assert coverage(problem, inside).quality == 1
    assert coverage(problem, outside).quality == 0


def test_kl_of_shares_by_hand():
    problem = ring()
    each = problem.centres
    assert coverage(problem, each).kl == pytest.approx(0, abs=1e-12)
    assert coverage(problem, each[:1]).kl == pytest.approx(math.log(8))
    assert coverage(problem, each[:4]).kl == pytest.approx(math.log(2))
    uneven = torch.cat([each[:1], each[:1], each[:1], each[1:2]])
    by_hand = 0.75 * math.log(0.75 * 8) + 0.25 * math.log(0.25 * 8)
    assert coverage(problem, uneven).kl == pytest.approx(by_hand)


def test_misses_do_not_move_the_shares():
    problem = ring()
    astray = torch.full((100, 2), 0.4)
    with_misses = coverage(problem, torch.cat([problem.centres, astray]))
    assert with_misses.kl == pytest.approx(0, abs=1e-12)
    assert with_misses.quality == pytest.approx(8 / 108)


def test_no_hit_at_all():
    seen = coverage(ring(), torch.zeros(5, 2))
    assert (seen.modes, seen.quality, seen.kl) == (0, 0.0, math.inf)


@pytest.mark.parametrize("problem", [grid(), ring()], ids=lambda problem: problem.name)
def test_the_law_itself_reaches_what_theory_says(problem):
    torch.manual_seed(0)
    count = 50_000
    seen = coverage(problem, problem.draw(count))
    modes = len(problem.centres)
    inside = 1 - math.exp(-9 / 2)
    assert seen.modes == modes
    assert seen.quality == pytest.approx(inside, abs=5 * math.sqrt(inside * (1 - inside) / count))
    # 2 n KL is close to chi-squared with K - 1 degrees of freedom.
    assert 2 * count * seen.kl < modes - 1 + 6 * math.sqrt(2 * (modes - 1))


def test_lines_by_hand():
    across = torch.tensor([-4.0] * 5 + [-2.2] * 4 + [0.9] * 1 + [2.0] * 0 + [7.0] * 10)
    points = torch.stack([across, torch.zeros(20)], 1)
    covered, shares = lines_covered(points)
    assert shares.tolist() == pytest.approx([0.25, 0.2, 0.05, 0, 0.5])
    assert covered == 3  # one twentieth is below half of the due
    torch.manual_seed(0)
    assert lines_covered(draw_lines(2_000))[0] == 5


def test_points_on_lines_by_hand():
    across = torch.tensor([-4.2, -3.7, 0.0, 1.0, 2.25, 9.0])
    assert share_on_lines(torch.stack([across, across], 1)) == pytest.approx(3 / 6)
    even = torch.linspace(-5, 5, 100_001)
    assert share_on_lines(torch.stack([even, even], 1)) == pytest.approx(0.25, abs=1e-3)


def test_nearest_shares_add_up():
    torch.manual_seed(0)
    shares = nearest_shares(torch.randn(40, 2), torch.randn(6, 2))
    assert float(shares.sum()) == pytest.approx(1)


def still(count: int) -> torch.Tensor:
    return torch.tensor([[0.0, 0.0], [10.0, 0.0]]).repeat(count // 2, 1)


def test_w1_and_floor_of_laws_that_are_known():
    shifted = lambda count: still(count) + torch.tensor([3.0, 4.0])  # noqa: E731
    assert mean_w1(still, shifted, size=6, draws=2) == pytest.approx(5)
    assert floor(still, 6) == pytest.approx(0)


def test_a_floor_is_measured_once_and_leaves_random_numbers_alone():
    law = ring().draw
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    first = floor(law, 10)
    assert torch.equal(torch.rand(3), expected)
    assert floor(law, 10) == first > 0
