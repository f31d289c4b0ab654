"""Networks that are 1-Lipschitz by construction."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from wgankit import ByConstruction, Normed, SettingError, exact
from wgankit.critic import fit_critic
from wgankit.lipschitz import GroupSort, Isometry, NormBounded
from wgankit.testing import check_critic


def shaken(critic, size, seed):
    """Give all parameters a random turn, as an optimiser with a wild rate would."""
    torch.manual_seed(seed)
    with torch.no_grad():
        for parameter in critic.parameters():
            parameter.add_(size * torch.randn_like(parameter))
    return critic


def steepest(critic, points, rounds=30):
    """Return the largest slope found by gradient ascent on the slope of the line x, x + v."""
    x, v = points, torch.randn_like(points)
    for _ in range(rounds):
        y = (x + v).requires_grad_()
        (towards,) = torch.autograd.grad(critic(y).sum(), y)
        v = 0.5 * torch.nn.functional.normalize(towards.flatten(1), dim=1).view_as(x)
    ends = (critic(x + v) - critic(x)).detach().abs()
    return float((ends / v.flatten(1).norm(dim=1)).max())


@settings(deadline=None, max_examples=30)
@given(
    inputs=st.sampled_from([1, 2, 5, 24]),
    width=st.sampled_from([8, 12]),
    depth=st.integers(1, 3),
    group=st.sampled_from([2, 4]),
    scale=st.sampled_from([0.5, 1.0, 40.0]),
    size=st.sampled_from([0.0, 0.3, 3.0, 100.0]),
    training=st.booleans(),
    seed=st.integers(0, 999),
)
def test_no_pair_is_steeper_than_1(inputs, width, depth, group, scale, size, training, seed):
    critic = NormBounded(inputs, width=width, depth=depth, group=group, scale=scale).double()
    shaken(critic, size, seed).train(training)
    space = Normed(2, scale=scale)
    x, y = torch.randn(2, 64, inputs, dtype=torch.float64) * 3
    for other in (y, x + 1e-3 * y):
        rise = (critic(x) - critic(other)).abs()
        assert (rise <= space.distance(x, other) * (1 + 1e-9) + 1e-12).all()


@pytest.mark.parametrize("group", [2, 16])
@pytest.mark.parametrize("size", [0.0, 0.1, 1.0])
def test_single_precision_keeps_the_bound(group, size):
    """No power iteration on the weights, and no ascent on the slope, finds more than 1 + 1e-5."""
    critic = shaken(NormBounded(24, width=32, depth=3, group=group), size, 0)
    for layer in critic.modules():
        if isinstance(layer, Isometry):
            values = torch.linalg.svdvals(layer.weight.detach().double())
            assert values.max() <= 1 + 1e-5
            assert values.min() >= 1 - 1e-5
    assert steepest(critic, torch.randn(64, 24)) <= 1 + 1e-5


def test_gradients_keep_their_norm_where_no_layer_narrows():
    """Orthogonal weights and sorting: the slope is exactly 1 while widths equal the inputs."""
    critic = shaken(NormBounded(16, width=16, depth=3), 0.5, 1)
    x = torch.randn(50, 16, requires_grad=True)
    (slope,) = torch.autograd.grad(critic(x).sum(), x)
    assert torch.allclose(slope.norm(dim=1), torch.ones(50), atol=1e-5)


def test_sorting_is_sorting_within_groups():
    values = torch.randn(7, 12)
    pairs = GroupSort(2)(values)
    wanted = torch.stack([values[:, :6], values[:, 6:]]).sort(0).values
    assert torch.equal(pairs, torch.cat([wanted[0], wanted[1]], 1))
    assert torch.equal(GroupSort(12)(values), values.sort(1).values)
    fours = GroupSort(4)(values)
    assert torch.equal(fours[:, 4:8], values[:, 4:8].sort(1).values)


def test_shapes_of_pictures_and_the_laws_of_critics():
    critic = NormBounded(27, width=16, depth=2)
    check_critic(critic, torch.randn(6, 3, 3, 3))


def test_it_learns_an_exact_distance_from_below():
    """Two shifted clouds: W1 is the shift, the trained slope is 1, the gap never exceeds W1."""
    torch.manual_seed(0)
    fake = torch.randn(64, 3)
    shift = torch.tensor([2.0, -1.0, 0.5])
    real = fake + shift
    critic = NormBounded(3, width=16, depth=2)
    told = fit_critic(
        critic, real, fake, space=Normed(2), penalty=ByConstruction(), steps=120, rate=2e-2
    )
    w1 = exact.w1(Normed(2), real, fake)
    assert w1 == pytest.approx(float(shift.norm()), rel=1e-5)
    assert 0.99 * w1 <= float(told.gap) <= w1 * (1 + 1e-5)
    x = real.clone().requires_grad_()
    (slope,) = torch.autograd.grad(critic(x).sum(), x)
    assert float(slope.norm(dim=1).mean()) >= 0.99


@pytest.mark.parametrize(
    "given_",
    [{"width": 9}, {"group": 1}, {"group": 3, "width": 8}, {"scale": 0.0}, {"depth": 0}],
)
def test_settings_without_meaning_are_refused(given_):
    with pytest.raises(SettingError):
        NormBounded(4, **given_)
