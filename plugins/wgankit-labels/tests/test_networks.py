"""Generators and critics of other domains hear the condition, and keep what they promised."""

import pytest
import torch
from torch import nn

import wgankit
from wgankit import SettingError, ShapeError
from wgankit.testing import check_critic, check_generator
from wgankit_labels import (
    Conditional,
    ConditionedCritic,
    ConditionedGenerator,
    ConditionedLatent,
    EachCondition,
    MixtureCritic,
    beside,
    conditional_w1,
    split,
)
from wgankit_labels.networks import normal_parts

CONDITIONS = torch.eye(3)


class Picture(nn.Module):
    """A convolutional critic of 6 x 6 pictures."""

    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(1, 4, 3), nn.SiLU(), nn.Flatten(), nn.Linear(64, 8), nn.SiLU()
        )
        self.last = nn.Linear(8, 1)

    def forward(self, points):
        return self.last(self.layers(points)).squeeze(-1)


def smooth():
    return wgankit.Perceptron(4, width=8, depth=2, activation=nn.SiLU)


def critic_of(kind):
    if kind == "mixture":
        return MixtureCritic([smooth() for _ in range(2)], 3)
    return ConditionedCritic(smooth(), 3, by=kind)


KINDS = ["concatenation", "projection", "mixture"]


def shifts_scores(name):
    """Whether a weight only adds a function of the condition, of which slopes know nothing."""
    return ".alone." in name or name == "critic.layers.5.shift.weight"


@pytest.mark.parametrize("kind", KINDS)
def test_critics_keep_the_laws_of_critics(kind):
    torch.manual_seed(0)
    points = (torch.randn(8, 4), torch.randn(8, 3))
    critic = critic_of(kind)
    free = [name for name, _ in critic.named_parameters() if shifts_scores(name)]
    # So heavy that slopes in the point are the larger ones.
    check_critic(critic, points, space=Conditional(wgankit.Normed(), weight=1e3), exempt=free)


def test_a_critic_of_pictures_keeps_them_too():
    torch.manual_seed(0)
    points = (torch.randn(8, 1, 6, 6), torch.randn(8, 3))
    space = Conditional(wgankit.Normed(), weight=1e3)
    check_critic(
        ConditionedCritic(Picture(), 3), points, space=space, exempt=["critic.last.shift.weight"]
    )


def test_generators_keep_the_laws_of_generators():
    torch.manual_seed(0)
    latent = wgankit.Normal(5)
    generator = ConditionedGenerator(wgankit.Perceptron(5, 4, width=8), latent, 3)
    check_generator(
        generator,
        ConditionedLatent(latent, CONDITIONS),
        EachCondition(wgankit.Normed(), price=1.0),
        exempt=("1",),  # the condition itself, which is handed on
    )


@pytest.mark.parametrize("kind", KINDS)
def test_scores_depend_on_the_condition_and_on_nothing_told_before(kind):
    torch.manual_seed(0)
    critic, x = critic_of(kind), torch.randn(6, 4)
    one, other = CONDITIONS[:1].expand(6, 3), CONDITIONS[1:2].expand(6, 3)
    first = critic((x, one))
    assert not torch.allclose(first, critic((x, other)))
    assert torch.equal(first, critic((x, one)))
    if kind != "mixture":
        with pytest.raises(ShapeError, match="belongs to a ConditionedCritic"):
            critic.critic(x)


def test_concatenation_is_the_condition_among_the_inputs():
    """For one hidden layer with nothing told to the last: the layer on [x, c] with [W, U]."""
    torch.manual_seed(0)
    plain = wgankit.Perceptron(4, width=8, depth=1)
    critic = ConditionedCritic(plain, 3)
    x, c = torch.randn(6, 4), torch.randn(6, 3)
    first, last = (layer for layer in critic.modules() if hasattr(layer, "shift"))
    nn.init.zeros_(last.shift.weight)
    both = nn.Linear(7, 8)
    with torch.no_grad():
        both.weight.copy_(torch.cat([first.layer.weight, first.shift.weight], 1))
        both.bias.copy_(first.layer.bias)
    wanted = last.layer(nn.functional.leaky_relu(both(torch.cat([x, c], 1)), 0.2))[:, 0]
    assert torch.allclose(critic((x, c)), wanted, atol=1e-6)


def test_projection_is_the_formula():
    """(w + V(c))'h(x) + u(c), with h what the last layer saw before."""
    torch.manual_seed(0)
    critic = ConditionedCritic(Picture(), 3, by="projection")
    x, c = torch.randn(6, 1, 6, 6), torch.randn(6, 3)
    last = critic.critic.last
    h = critic.critic.layers(x)
    wanted = ((last.layer.weight + last.weights(c)) * h).sum(1) + last.layer.bias
    wanted = wanted + last.alone(c)[:, 0]
    assert torch.allclose(critic((x, c)), wanted, atol=1e-5)


def test_a_critic_that_cannot_be_steep_stays_so_at_every_condition():
    """Orthogonal layers and rectifiers: 1-Lipschitz; told a condition, still, at each of them."""
    torch.manual_seed(0)
    layers = [nn.Linear(16, 16), nn.ReLU(), nn.Linear(16, 16), nn.ReLU(), nn.Linear(16, 1)]
    for layer in layers[::2]:
        nn.init.orthogonal_(layer.weight)
    network = nn.Sequential(*layers, nn.Flatten(0))
    critic = ConditionedCritic(network, 2)
    for layer in critic.modules():
        if hasattr(layer, "shift"):
            nn.init.normal_(layer.shift.weight, std=20.0)
    x, y, c = torch.randn(500, 16), torch.randn(500, 16), torch.randn(500, 2)
    rise = (critic((x, c)) - critic((y, c))).abs()
    assert (rise <= (x - y).norm(dim=1) * (1 + 1e-5)).all()
    assert (critic((x, c)) - critic((x, -c))).abs().max() > 100


@pytest.mark.parametrize("kind", KINDS)
def test_critics_find_w1_within_conditions(kind):
    """Three conditions in which the data lies elsewhere each time; exact transport says how far."""
    torch.manual_seed(1)
    real, fake = torch.randn(9, 4), torch.randn(9, 4)
    c = CONDITIONS.repeat(3, 1)
    exact = conditional_w1(wgankit.Normed(), (real, c), (fake, c))
    wide = {"width": 32, "depth": 2}
    if kind == "mixture":
        critic = MixtureCritic([wgankit.Perceptron(4, **wide) for _ in range(3)], 3)
    else:
        critic = ConditionedCritic(wgankit.Perceptron(4, **wide), 3, by=kind)

    def paired(points):
        """The k-th real point beside one of the fakes at its condition, all pairs in turn."""
        order = torch.arange(27)
        rows = 3 * (order % 3 if points is real else order // 3 % 3) + order // 9
        return lambda count: beside(points[rows[:27]], c[rows[:27]])

    report = wgankit.fit_critic(
        critic, paired(real), paired(fake), space=EachCondition(wgankit.Normed()), steps=300,
        rate=1e-2, pairs=27,
    )  # fmt: skip
    assert float(report.w1) == pytest.approx(exact, rel=0.06)


# Generators -----------------------------------------------------------------------------------


def test_only_noise_is_shifted():
    """Codes, masks and numbers of nodes are whole numbers, and stay what they are."""
    mixture = wgankit.MixtureLatent(5, 3)
    assert normal_parts(mixture) == (1,)
    seen = []

    class Spy(nn.Module):
        def forward(self, latents):
            seen.append(latents)
            return latents[1]

    generator = ConditionedGenerator(Spy(), mixture, 3)
    codes, noise = mixture.sample(4, "cpu")
    made = generator((codes, noise, CONDITIONS[[0, 1, 2, 0]]))
    assert torch.equal(seen[0][0], codes)
    shift = generator.shift(CONDITIONS[[0, 1, 2, 0]])
    assert torch.allclose(made[0], noise + shift)
    assert torch.equal(made[1], CONDITIONS[[0, 1, 2, 0]])


def test_a_generator_without_noise_is_refused():
    class Codes(wgankit.Latent):
        def sample(self, count, device):
            return torch.randint(5, (count, 2))

    with pytest.raises(SettingError, match="no part of the latent is noise"):
        ConditionedGenerator(nn.Identity(), Codes(), 2)


def test_graphs_keep_their_symmetries():
    """A critic of graphs stays invariant, and a generator equivariant, under renumbering."""
    graphs = pytest.importorskip("wgankit_graphs")
    torch.manual_seed(0)
    latent = graphs.GraphLatent([0, 0, 0, 1, 3], 5, per_node=4, per_graph=3)
    assert normal_parts(latent) == (0, 1)
    generator = ConditionedGenerator(
        graphs.GraphGenerator(3, 2, 5, per_node=4, per_graph=3, width=16, layers=1), latent, 3
    ).eval()
    z, order = latent.sample(6, "cpu"), torch.randperm(5)
    c = CONDITIONS.repeat(2, 1)
    moved = tuple(part[:, order] if part.shape[1] == 5 else part for part in z)
    nodes, edges, _ = generator((*z, c))
    again = generator((*moved, c))
    assert torch.allclose(again[0], nodes[:, order], atol=1e-5)
    assert torch.allclose(again[1], edges[:, order][:, :, order], atol=1e-5)
    for by in ("concatenation", "projection"):
        critic = ConditionedCritic(graphs.GraphCritic(3, 2, width=16, layers=1), 3, by=by)
        one = critic((nodes, edges, c))
        other = critic((nodes[:, order], edges[:, order][:, :, order], c))
        assert torch.allclose(one, other, atol=1e-4)
        # Zeros of the wrapped space's derivative must not become NaN through the wrapper.
        space = EachCondition(graphs.LabelledGraphs(p=2.0))
        slopes = space.slope(critic, (nodes, edges, c), (nodes, edges, c), torch.rand(6))
        assert slopes.isfinite().all()


# Latents --------------------------------------------------------------------------------------


def test_latents_beside_real_points_have_their_conditions():
    latent = ConditionedLatent(wgankit.Normal(5), CONDITIONS)
    real = (torch.randn(7, 4), torch.randn(7, 2), torch.randn(7, 3))
    noise, condition = split(latent.beside(real))
    assert noise.shape == (7, 5)
    assert torch.equal(condition, real[-1])


def test_latents_alone_have_conditions_as_often_as_the_data():
    torch.manual_seed(0)
    latent = ConditionedLatent(wgankit.Normal(2), CONDITIONS, torch.tensor([1.0, 7.0, 2.0]))
    _, condition = split(latent.sample(20_000, "cpu"))
    assert torch.allclose(condition.mean(0), torch.tensor([0.1, 0.7, 0.2]), atol=0.01)


def test_given_conditions_are_kept_and_the_rest_is_drawn_from_what_goes_with_them():
    torch.manual_seed(0)
    first = torch.rand(2_000)
    table = torch.stack([first, 3 * first + 0.01 * torch.randn(2_000)], 1)
    latent = ConditionedLatent(wgankit.Normal(2), table)
    nan = float("nan")
    _, partly = split(latent.at(torch.tensor([0.5, nan])).sample(500, "cpu"))
    _, wholly = split(latent.at(torch.tensor([0.5, 0.1])).sample(50, "cpu"))
    assert (partly[:, 0] == 0.5).all()
    assert (partly[:, 1] - 1.5).abs().max() < 0.2
    assert partly[:, 1].std() > 0.01
    assert torch.equal(wholly, torch.tensor([[0.5, 0.1]]).expand(50, 2))
    assert latent.sample(50, "cpu")[1].std() > 0.1  # of itself as it was


def test_settings_without_a_meaning_are_refused():
    with pytest.raises(SettingError, match='"concatenation" or "projection"'):
        ConditionedCritic(Picture(), 3, by="film")
    with pytest.raises(SettingError, match="no dense or convolutional layer"):
        ConditionedCritic(nn.Identity(), 3)
    with pytest.raises(SettingError, match="no dense layer with one output"):
        ConditionedCritic(nn.Linear(3, 2), 3, by="projection")
    with pytest.raises(SettingError, match="at least one critic"):
        MixtureCritic([], 3)
    with pytest.raises(SettingError, match="as many weights"):
        ConditionedLatent(wgankit.Normal(2), CONDITIONS, torch.zeros(3))


def test_points_that_are_cut_up_inside_a_critic_cannot_be_told_their_conditions():
    class Patches(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(2, 1)

        def forward(self, points):
            return self.layer(points.view(-1, 2)).view(len(points), -1).mean(1)

    points = (torch.randn(5, 4), torch.randn(5, 3))
    with pytest.raises(ShapeError, match=r"5 points have become 10 rows.*MixtureCritic"):
        ConditionedCritic(Patches(), 3)(points)
    assert MixtureCritic([Patches()], 3)(points).shape == (5,)
