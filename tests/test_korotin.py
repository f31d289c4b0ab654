"""The benchmark's problems have the W1 and the best critic that they claim."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from benchmarks.korotin import METHODS, PUBLISHED, Budget, Published, Run, missed, step_flops
from benchmarks.korotin_problem import HALF, Korotin, Score, score
from wgankit import Normed, exact

problems = st.builds(
    Korotin, st.sampled_from([1, 2, 3, 16]), st.sampled_from([1, 4, 20]), st.integers(0, 50)
)


class Best(nn.Module):
    """The best critic -u, times a factor."""

    def __init__(self, problem, factor=1.0):
        super().__init__()
        self.problem, self.factor = problem, factor

    def forward(self, x):
        return -self.factor * self.problem.potential(x)


@settings(deadline=None, max_examples=30)
@given(problem=problems)
def test_the_cost_of_the_slide_is_the_gap_of_the_potential(problem):
    """Primal cost = dual value at each point, so both are optimal; points stay in the cube."""
    torch.manual_seed(0)
    y = problem.fake(200)
    x = problem.slide(y)
    assert torch.allclose(
        problem.potential(y) - problem.potential(x), (y - x).norm(dim=1), atol=3e-5
    )
    assert float(x.abs().max()) <= HALF + 1e-5


@settings(deadline=None, max_examples=10)
@given(problem=problems)
def test_pot_finds_no_cheaper_transport(problem):
    torch.manual_seed(1)
    y = problem.fake(60)
    x = problem.slide(y)
    assert exact.w1(Normed(2), x, y) == pytest.approx(float((y - x).norm(dim=1).mean()), rel=1e-4)


def test_the_best_critic_has_the_best_score_and_others_have_not():
    problem = Korotin(4, 6, 3)
    best = score(problem, Best(problem), 0)
    assert best.cosine == pytest.approx(1, abs=1e-5)
    assert best.l2 == pytest.approx(0, abs=1e-5)
    assert best.gap == pytest.approx(1, abs=0.05)
    turned = score(problem, Best(problem, -2.0), 0)
    assert turned.cosine == pytest.approx(-1, abs=1e-5)
    assert turned.l2 == pytest.approx(9, abs=1e-3)
    assert turned.gap == pytest.approx(-2 * best.gap, rel=1e-4)


def test_neither_training_nor_scoring_draws_from_the_anchors_stream():
    """A shared seed would start networks, or place samples, at the anchors."""
    problem = Korotin(2, 64, 7)
    torch.manual_seed(7)
    assert not torch.isin(problem.fake(64), problem.anchors).any()


def test_work_is_counted_as_by_hand():
    """The gap: 2 B rows forth, back to the weights and to all but the inputs.  The slopes: B rows
    forth, back, and both again on the way to the weights."""
    problem = Korotin(16, 4, 0)
    method = METHODS["wgan-gp"]
    products = 16 * 128 + 128 * 128 + 128
    once = 2 * products * 64
    gap_alone = 2 * (3 * once - 2 * 16 * 128 * 64)
    counted = step_flops(problem, method, 64)
    assert gap_alone + 4 * once <= counted <= gap_alone + 6.5 * once
    assert step_flops(problem, method, 128) == pytest.approx(2 * counted, rel=1e-6)


def _run(row, name, cosine, l2):
    return Run(*row, name, 0, Score(cosine, l2, 1.0), 1.0, 1.0, 1.0)


def test_a_row_is_missed_unless_one_critic_that_counts_is_better_in_both():
    row = (16, 4)
    known = PUBLISHED[row]
    assert isinstance(known, Published)
    better = _run(row, "network", known.best_cosine + 0.01, known.best_l2 - 0.01)
    worse = _run(row, "network", known.best_cosine - 0.01, known.best_l2 + 0.01)
    cones = _run(row, "mcshane", 1.0, 0.0)
    assert missed([better]) == []
    assert len(missed([worse, cones])) == 2
    assert missed([worse, better.__class__(**{**vars(better), "critic": "norm-bounded"})]) == []


def test_budgets_are_within_the_published_compute():
    for (dimension, anchors), known in PUBLISHED.items():
        if known is not None:
            problem = Korotin(dimension, anchors, 0)
            budget = METHODS["network"].budget(dimension)
            assert isinstance(budget, Budget)
            asked = 1024 * known.steps * step_flops(problem, METHODS["wgan-gp"], 8) / 8
            assert budget.steps * step_flops(problem, METHODS["network"], budget.batch) < asked
