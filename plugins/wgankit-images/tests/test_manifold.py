"""Where a manifold-aware penalty looks, and that it still bounds the critic."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import wgankit
from wgankit import Normed, Penalty, SettingError
from wgankit_images import AlongData, Given, InLatent
from wgankit_images.manifold import along_data

SPACE = Normed()


def clouds(seed, count=20, size=3):
    torch.manual_seed(seed)
    return torch.randn(count, size), 5 + torch.randn(count, size)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 5))
def test_partners_are_among_the_nearest_other_points(seed, neighbours):
    real, _ = clouds(seed)
    beside = AlongData(SPACE, 1.0, neighbours).beside(real)
    for point, partner in zip(real, beside):
        away = (real - point).norm(dim=1).sort().values
        assert 0 < float((partner - point).norm()) <= float(away[neighbours]) + 1e-6


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from([0.0, 0.25, 0.5, 1.0]))
def test_a_share_of_the_ways_is_along_the_data_and_the_rest_straight(seed, share):
    real, fake = clouds(seed)
    x, y, t = AlongData(SPACE, share)(real, fake)
    straight = (y == fake).all(1)
    assert torch.equal(x, real)
    assert int((~straight).sum()) == round(20 * share)
    assert bool(((t >= 0) & (t < 1)).all())
    among = (y[~straight, None] == real[None]).all(2).any(1)
    assert bool(among.all())


def test_neighbours_of_pairs_are_near_by_their_pictures():
    real, fake = ((torch.randn(9, 1, 4, 4), torch.randn(9, 1, 2, 2)) for _ in range(2))
    space = Given(Normed())
    _, y, _ = AlongData(space, 1.0, 1)(real, fake)
    table = torch.cdist(real[0].flatten(1), real[0].flatten(1)) + 1e9 * torch.eye(9)
    nearest = table.argmin(1)
    assert torch.equal(y[0], real[0][nearest])
    assert torch.equal(y[1], real[1][nearest])


def test_ways_through_codes_stay_on_what_the_decoder_makes():
    plane = torch.linalg.qr(torch.randn(5, 2))[0]
    where = InLatent(lambda x: x @ plane, lambda z: z @ plane.T, share=0.5)
    real, fake = torch.randn(12, 5), torch.randn(12, 5)
    x, y, t = where(real, fake)
    assert torch.equal(x[6:], real[6:])
    assert torch.equal(y[6:], fake[6:])
    on = SPACE.interpolate(x, y, t)[:6]
    assert torch.allclose(on @ plane @ plane.T, on, atol=1e-5)
    # On the straight way between the two projections, at the drawn fraction.
    wanted = torch.lerp(real[:6] @ plane, fake[:6] @ plane, t[:6, None]) @ plane.T
    assert torch.allclose(on, wanted, atol=1e-5)


@pytest.mark.parametrize("share", [0.25, 0.75])
def test_penalties_along_the_data_still_find_w1(share):
    """A translation: W1 is its length, and the critic's slope is 1 in the direction of it."""
    torch.manual_seed(0)
    real = torch.randn(400, 4)
    move = torch.tensor([2.0, 1.0, 0.0, 2.0])
    report = wgankit.fit_critic(
        wgankit.Perceptron(4, width=32, depth=2),
        real,
        real + move,
        space=SPACE,
        penalty=Penalty(weight=10.0, where=AlongData(SPACE, share)),
        steps=200,
        pairs=64,
        rate=5e-3,
    )
    assert float(report.w1) == pytest.approx(3.0, rel=0.05)


def test_what_is_no_share_is_refused():
    with pytest.raises(SettingError, match="share"):
        AlongData(SPACE, 1.5)
    with pytest.raises(SettingError, match="share"):
        InLatent(torch.clone, torch.clone, -0.1)
    with pytest.raises(SettingError, match="at least 1"):
        AlongData(SPACE, neighbours=0)
    with pytest.raises(SettingError, match="more points"):
        AlongData(SPACE, neighbours=5)(*clouds(0, 5))


def test_the_penalty_by_name_is_one_sided_and_half_along_the_data():
    penalty = along_data()
    x, y, _ = penalty.where(*clouds(1))
    assert penalty.shape is wgankit.one_sided
    assert np.count_nonzero((y != clouds(1)[1]).any(1)) == 10
    assert len(x) == 20
