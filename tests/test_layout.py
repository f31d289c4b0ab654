"""Where channels lie changes no number: not the networks', not the optimisers'."""

import copy

import pytest
import torch
from torch import nn

import wgankit
from wgankit import Normal, Normed
from wgankit.layout import convolution_weights


class Viewing(nn.Module):
    """Depends on strides: its convolution's result must be contiguous."""

    def __init__(self):
        super().__init__()
        self.first, self.last = nn.Conv2d(2, 4, 4, 2, 1), nn.Linear(4 * 4 * 4, 1)

    def forward(self, x):
        return self.last(self.first(x).relu().view(len(x), -1)).squeeze(1)


def networks(flatten=None):
    torch.manual_seed(0)
    generator = nn.Sequential(
        nn.Linear(5, 4 * 4 * 4),
        nn.Unflatten(1, (4, 4, 4)),
        nn.ReLU(),
        nn.ConvTranspose2d(4, 2, 4, 2, 1),
    )
    body = nn.Sequential(nn.Conv2d(2, 6, 4, 2, 1), nn.LeakyReLU(0.2), nn.Conv2d(6, 8, 3, 1, 1))
    critic = nn.Sequential(body, nn.Tanh(), nn.Flatten(), nn.Linear(128, 1), nn.Flatten(0))
    return generator.double(), (flatten or critic).double()


def pictures():
    torch.manual_seed(1)
    return torch.randn(64, 2, 8, 8, dtype=torch.float64)


def trained(generator, critic, **settings):
    given = {"batch": 16, "n_critic": 2, "critic_rate": 1e-2, "generator_rate": 1e-2}
    training = wgankit.train(
        generator, critic, pictures(), space=Normed(), latent=Doubles(5), **(given | settings)
    )
    for _ in range(4):
        next(training)
    return training


class Doubles(Normal):
    def sample(self, count, device):
        return super().sample(count, device).double()


def plain_adam(network):
    return torch.optim.Adam(network.parameters(), lr=1e-2, betas=(0.0, 0.9), fused=False)


def apart(one, other):
    pairs = zip(one.parameters(), other.parameters(), strict=True)
    return max(float((a - b).detach().abs().max()) for a, b in pairs)


def test_fused_adam_gets_gradients_in_the_order_of_memory_it_reads():
    """torch's fused Adam takes numbers in the order they lie in: other strides, other updates."""
    fused = trained(*networks())
    generator, critic = networks()
    plain = trained(
        generator,
        critic,
        critic_optimizer=plain_adam(critic),
        generator_optimizer=plain_adam(generator),
    )
    assert apart(fused.critic, plain.critic) < 1e-9
    assert apart(fused.generator, plain.generator) < 1e-9


def test_gradients_have_their_parameters_strides():
    training = trained(*networks())
    for network in (training.generator, training.critic):
        assert all(one.grad.stride() == one.stride() for one in network.parameters())


def test_channels_lie_last_where_networks_can_run_so():
    training = trained(*networks())
    for network in (training.generator, training.critic, training.average):
        weights = convolution_weights(network)
        assert weights
        assert all(one.is_contiguous(memory_format=torch.channels_last) for one in weights)
    made = training.average(torch.randn(3, 5, dtype=torch.float64))
    assert made.is_contiguous(memory_format=torch.channels_last)


def test_networks_that_depend_on_strides_are_left_alone():
    training = trained(*networks(Viewing()))
    for network in (training.generator, training.critic, training.average):
        assert all(one.is_contiguous() for one in convolution_weights(network))


def test_the_trial_leaves_random_numbers_and_running_averages_where_they_were():
    def batch_normalised():
        generator, critic = networks()
        generator.insert(2, nn.BatchNorm2d(4).double())
        return generator, critic

    generator, critic = batch_normalised()
    before = copy.deepcopy(generator[2].running_mean)
    training = wgankit.train(generator, critic, pictures(), space=Normed(), latent=Doubles(5))
    # The checks before training run the averaged generator, in evaluation.
    assert torch.equal(training.generator[2].running_mean, before)

    viewing = trained(*networks(Viewing())).randomness.state
    lying = trained(*networks()).randomness.state
    assert all(torch.equal(viewing[name], lying[name]) for name in viewing)


@pytest.mark.parametrize("form", [torch.contiguous_format, torch.channels_last])
def test_states_resume_whatever_strides_they_were_saved_with(form, tmp_path):
    training = trained(*networks())
    state = copy.deepcopy(training.state_dict())
    for optimizer in (state["generator_optimizer"], state["critic_optimizer"]):
        for kept in optimizer["state"].values():
            for name in ("exp_avg", "exp_avg_sq"):
                if kept[name].dim() == 4:
                    kept[name] = kept[name].contiguous(memory_format=form)
    torch.save(state, tmp_path / "state")
    resumed = wgankit.train(
        *networks(), pictures(), space=Normed(), latent=Doubles(5), batch=16, n_critic=2,
        critic_rate=1e-2, generator_rate=1e-2,
    )  # fmt: skip
    resumed.load_state_dict(torch.load(tmp_path / "state", weights_only=True))
    for one in (training, resumed):
        for _ in range(3):
            next(one)
    assert apart(training.critic, resumed.critic) == 0
    assert apart(training.generator, resumed.generator) == 0
