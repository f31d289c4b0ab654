"""Networks that see |x|^2 beside x."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from wgankit import DataError, Normed, Penalty, SettingError
from wgankit.critic import fit_critic
from wgankit.lifted import Lifted, SoftMaxima
from wgankit.testing import check_critic


class Pick(nn.Module):
    """Returns one of its inputs, so that a test sees what a network is given."""

    def __init__(self, place):
        super().__init__()
        self.place = place

    def forward(self, values):
        return values[:, self.place]


def seen(place, sample, points):
    critic = Lifted(Pick(place), sample)
    nn.init.zeros_(critic.past.weight)
    nn.init.zeros_(critic.past.bias)
    return critic(points).detach()


@settings(deadline=None, max_examples=30)
@given(
    size=st.integers(1, 6),
    scale=st.floats(1e-3, 1e3),
    shift=st.floats(-5, 5),
    seed=st.integers(0, 99),
)
def test_the_sample_itself_is_seen_at_scale_1_wherever_it_lies(size, scale, shift, seed):
    torch.manual_seed(seed)
    sample = (torch.randn(50, size, dtype=torch.float64) + shift) * scale
    coordinates = torch.stack([seen(place, sample, sample) for place in range(size)], 1)
    assert torch.allclose(coordinates.mean(0), torch.zeros(size).double(), atol=1e-9)
    assert float(coordinates.square().mean()) == pytest.approx(1, rel=1e-9)
    square = seen(size, sample, sample)
    assert float(square.mean()) == pytest.approx(0, abs=1e-9)
    assert float(square.std()) == pytest.approx(1, rel=1e-9)
    # Rotations about the middle change no square, which is what makes it worth giving.
    turn, _ = torch.linalg.qr(torch.randn(size, size, dtype=torch.float64))
    turned = (sample - sample.mean(0)) @ turn + sample.mean(0)
    assert torch.allclose(seen(size, sample, turned), square, atol=1e-7)


def test_constant_inputs_do_no_harm():
    critic = Lifted(SoftMaxima(4, pieces=3), torch.ones(5, 3))
    assert torch.isfinite(critic(torch.ones(2, 3))).all()


@pytest.mark.parametrize("sharpness", [1.0, 3.0, 50.0])
def test_soft_maxima_are_between_their_hard_ones(sharpness):
    """max <= log sum exp / t <= max + log(K) / t for both, so the difference is as near."""
    torch.manual_seed(0)
    critic = SoftMaxima(3, pieces=7)
    nn.init.constant_(critic.sharpness, sharpness)
    points = torch.randn(40, 3)
    forms = points @ critic.forms.weight.T + critic.forms.bias
    hard = forms[:, :7].amax(1) - forms[:, 7:].amax(1)
    error = (critic(points) - hard).abs()
    assert error.max() <= torch.log(torch.tensor(7.0)) / sharpness + 1e-5


def test_the_laws_of_critics():
    torch.manual_seed(0)
    points = torch.randn(6, 2, 3)
    check_critic(Lifted(SoftMaxima(7), points), points)


def test_it_fits_a_norm_whose_w1_is_known():
    """N(0, I) against N(0, 4 I): best critic -|x|, W1 = sqrt(2) Gamma(11/2) / Gamma(5) in 10-D."""
    torch.manual_seed(0)
    critic = Lifted(SoftMaxima(11, pieces=16), torch.randn(256, 10))
    fit_critic(
        critic,
        lambda count: torch.randn(count, 10),
        lambda count: 2 * torch.randn(count, 10),
        space=Normed(2),
        penalty=Penalty(),
        steps=300,
        rate=1e-2,
    )
    x = torch.randn(512, 10, requires_grad=True)
    (found,) = torch.autograd.grad(critic(x).sum(), x)
    aligned = nn.functional.cosine_similarity(found, -x.detach(), dim=1)
    assert float(aligned.mean()) >= 0.97


def test_settings_without_meaning_are_refused():
    with pytest.raises(SettingError):
        SoftMaxima(3, pieces=0)
    with pytest.raises(DataError):
        Lifted(SoftMaxima(4), torch.zeros(1, 3))
    with pytest.raises(DataError):
        Lifted(SoftMaxima(4), torch.full((4, 3), float("nan")))
