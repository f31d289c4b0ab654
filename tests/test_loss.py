"""The critic's loss and its gradient, operation by operation."""

import pytest
import torch
from torch import nn
from torch.nn import functional
from torch.utils._python_dispatch import TorchDispatchMode

from wgankit import Normed, Penalty, Perceptron, Wasserstein, rectifiers
from wgankit.compiled import relative_error
from wgankit.loss import CriticLoss
from wgankit.penalty import two_sided
from wgankit.rectifiers import MaskedRectifiers


def critic_of(width=16):
    torch.manual_seed(0)
    critic = Perceptron(2, width=width).double()
    with torch.no_grad():
        for parameter in critic.parameters():
            parameter.mul_(2.5)  # steep enough that every penalty has something to punish
    return critic


def batch():
    torch.manual_seed(1)
    both = torch.randn(2, 32, 2, dtype=torch.float64)
    return both[0] + 3, both[1]


def gradients(critic, penalty, masks=None):
    loss = CriticLoss(critic, Normed(), penalty, Wasserstein())
    value, seen = loss(*batch(), torch.tensor(2.0, dtype=torch.float64), masks)
    return list(torch.autograd.grad(value, list(critic.parameters()), allow_unused=True)), seen


def test_gradient_is_that_of_the_textbook_penalty():
    """Gulrajani et al. (2017), algorithm 1, with lambda = 7, worked out beside it."""
    critic = critic_of()
    found, seen = gradients(critic, Penalty(7.0, shape=two_sided, relative=False))
    real, fake = batch()
    t = torch.rand(32).double()[:, None]  # the stream goes on behind the batch
    x = (real + t * (fake - real)).requires_grad_()
    (slope,) = torch.autograd.grad(critic(x).sum(), x, create_graph=True)
    punished = ((slope.norm(dim=1) - 1) ** 2).mean()
    value = critic(fake).mean() - critic(real).mean() + 7 * punished
    wanted = torch.autograd.grad(value, list(critic.parameters()), allow_unused=True)
    assert relative_error(found, list(wanted)) < 1e-7  # t is drawn in float32
    assert seen.cost.item() == pytest.approx(punished.item())
    assert not any(one.requires_grad for one in seen)


# Rectifiers without zeros -----------------------------------------------------------------------


class _Products(TorchDispatchMode):
    def __init__(self):
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        self.count += function in (torch.ops.aten.mm.default, torch.ops.aten.addmm.default)
        return function(*args, **(kwargs or {}))


@pytest.mark.parametrize("layer", [nn.LeakyReLU(0.2), nn.LeakyReLU(), nn.ReLU()])
def test_masked_rectifiers_give_the_same_gradients_with_fewer_products(layer, monkeypatch):
    torch.manual_seed(0)
    widths = [nn.Linear(2, 16), layer, nn.Linear(16, 16), layer, nn.Linear(16, 1), nn.Flatten(0)]
    critic = nn.Sequential(*widths).double()
    penalty = Penalty(shape=two_sided)
    with _Products() as plain:
        wanted, _ = gradients(critic, penalty, MaskedRectifiers())
    monkeypatch.setattr(rectifiers, "LARGE", 0)
    with _Products() as masked:
        found, _ = gradients(critic, penalty, MaskedRectifiers())
    assert all(torch.equal(a, b) for a, b in zip(found, wanted) if b is not None)
    assert masked.count < plain.count


def test_rectifiers_that_work_in_place_are_left_alone(monkeypatch):
    monkeypatch.setattr(rectifiers, "LARGE", 0)
    x = torch.tensor([-1.0, 2.0])
    with MaskedRectifiers():
        assert functional.relu(x.clone()).tolist() == [0, 2]
        assert functional.leaky_relu(x.clone(), negative_slope=0.5).tolist() == [-0.5, 2]
        functional.relu(x, inplace=True)
    assert x.tolist() == [0, 2]
