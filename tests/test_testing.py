"""The laws: kept by what is right, and each broken by one thing that is wrong on purpose."""

from typing import NamedTuple

import pytest
import torch
from torch import Tensor, nn

from wgankit.errors import SettingError
from wgankit.latent import Latent, Normal
from wgankit.penalty import Penalty, Shape, at_fake, at_real
from wgankit.space import MetricSpace, SmoothSpace, conjugate, safe_norm, spread, straight
from wgankit.spaces import Normed, OneHot, Product
from wgankit.testing import (
    check_critic,
    check_generator,
    check_metric_space,
    check_penalty_laws,
    check_plugin,
    check_smooth_space,
    fake_plugin,
)


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)


def broken(law):
    return pytest.raises(AssertionError, match="law broken: .*" + law)


def words(count=12, length=7):
    return torch.randint(0, 4, (count, length))


def directions(count=12):
    return nn.functional.normalize(torch.randn(count, 3), dim=1)


class Hamming(MetricSpace):
    def distance(self, x, y):
        return (x != y).sum(-1).float()


class HammingPath(Hamming):
    """Segments change one letter of those that differ, in a random order."""

    def flips(self, x, y, t):
        draws = torch.where(x != y, torch.rand(x.shape), 2.0)
        order = draws.argsort(-1).argsort(-1)
        last = (self.distance(x, y) - 1).clamp_min(0)
        return order, (t * (last + 1)).floor().minimum(last)[:, None]

    def segment(self, x, y, t):
        order, done = self.flips(x, y, t)
        return torch.where(order < done, y, x), torch.where((order <= done) & (x != y), y, x)


class Circle(MetricSpace):
    """Angles; a metric whose balls wrap around."""

    def distance(self, x, y):
        turn = (x - y).abs() % 1.0
        return torch.minimum(turn, 1 - turn)


class GreatCircles(SmoothSpace):
    """The unit sphere under the angle, written with atan2 so that nothing is NaN."""

    def distance(self, x, y):
        apart = safe_norm(x - y)
        return 2 * torch.atan2(apart, safe_norm(x + y))

    def interpolate(self, x, y, t):
        angle = self.distance(x, y)
        small = angle < 1e-6
        whole = torch.where(small, torch.ones_like(angle), angle)
        a = torch.where(small, 1 - t, ((1 - t) * whole).sin() / whole.sin())
        b = torch.where(small, t, (t * whole).sin() / whole.sin())
        return a[:, None] * x + b[:, None] * y

    def dual_norm(self, x, gradient):
        return safe_norm(gradient - (gradient * x).sum(1, keepdim=True) * x)


# What is right passes -------------------------------------------------------------------------

RIGHT = {
    "Euclidean": (Normed(2), lambda: torch.randn(12, 5)),
    "one axis": (Normed(2), lambda: torch.randn(12, 1)),
    "pictures": (Normed(2, scale=255.0), lambda: torch.randn(12, 3, 4, 4)),
    "l1": (Normed(1), lambda: torch.randn(12, 5)),
    "l3": (Normed(3), lambda: torch.randn(12, 5)),
    "maximum": (Normed(float("inf")), lambda: torch.randn(12, 5)),
    "soft labels": (OneHot(2.0), lambda: torch.randn(12, 4, 5).softmax(-1)),
    "hard labels": (OneHot(), lambda: torch.eye(4)[words()]),
    "product": (
        Product(OneHot(), Normed(2), p=2, weights=[1, 3]),
        lambda: (torch.randn(12, 4, 5).softmax(-1), torch.randn(12, 3)),
    ),
    "sphere": (GreatCircles(), directions),
    "Hamming": (Hamming(), words),
    "Hamming path": (HammingPath(), words),
    "circle": (Circle(), lambda: torch.rand(12)),
}


@pytest.mark.parametrize("case", RIGHT)
def test_true_spaces_keep_every_law(case):
    space, draw = RIGHT[case]
    points = draw()
    before = torch.get_rng_state()
    check_metric_space(space, points)
    check_penalty_laws(space, points)
    if isinstance(space, SmoothSpace):
        check_smooth_space(space, points)
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.parametrize("where", [at_real, at_fake])
def test_penalties_at_single_points_keep_the_laws(where):
    check_penalty_laws(Normed(2), torch.randn(12, 5), penalty=Penalty(where=where))


def test_double_precision_is_kept():
    points = torch.randn(12, 5, dtype=torch.float64)
    check_metric_space(Normed(2), points, tolerance=1e-12)
    check_smooth_space(Normed(2), points, tolerance=1e-12)


# Metric spaces --------------------------------------------------------------------------------


def metric(distance):
    """A metric space from a function (x, y) -> (B,)."""
    return type("Given", (MetricSpace,), {"distance": lambda self, x, y: distance(x, y)})()


def euclid(x, y):
    return safe_norm(x - y)


WRONG_METRICS = {
    "signed": (lambda x, y: (x - y)[:, 0], "non-negativity"),
    "offset": (lambda x, y: euclid(x, y) + 0.01, "identity"),
    "asymmetric": (lambda x, y: (x - y).clamp_min(0).sum(1), "symmetry"),
    "squared": (lambda x, y: euclid(x, y).square(), "triangle inequality"),
    "NaN at equal points": (lambda x, y: (x - y).norm(dim=1).log().exp() / euclid(x, y), "finite"),
    "infinite": (lambda x, y: torch.where(euclid(x, y) > 3, torch.inf, euclid(x, y)), "finite"),
    "one norm over the batch": (
        lambda x, y: euclid(x, y) / (1 + euclid(x, y).max()),
        "does not depend on the other pairs",
    ),
    "normalised by the first pair": (
        lambda x, y: euclid(x, y) + 0.1 * euclid(x, y)[0] * (euclid(x, y) > 0),
        "does not depend on the other pairs",
    ),
    "a matrix": (lambda x, y: torch.cdist(x, y), "one number for each pair"),
    "a column": (lambda x, y: euclid(x, y)[:, None], "one number for each pair"),
    "a scalar": (lambda x, y: (x - y).norm(), "one number for each pair"),
    "integers": (lambda x, y: euclid(x, y).long(), "one number for each pair"),
    "not a tensor": (lambda x, y: 3.0, "one number for each pair"),
}


@pytest.mark.parametrize("case", WRONG_METRICS)
def test_a_wrong_distance_breaks_the_law_it_should(case):
    distance, law = WRONG_METRICS[case]
    with broken(law):
        check_metric_space(metric(distance), torch.randn(12, 4))


def test_a_clamp_before_acos_is_found():
    def clamped(x, y):
        return (x * y).sum(1).clamp(-1 + 1e-4, 1 - 1e-4).acos()

    assert float(clamped(*[directions(1)] * 2)) == pytest.approx(0.014, abs=2e-4)
    with broken(r"identity.*by 0.0141 where"):
        check_metric_space(metric(clamped), directions())


def test_the_message_names_the_points_and_the_amount():
    table = torch.tensor([[0.0, 1, 1, 1], [1, 0, 1, 1], [1, 1, 0, 5], [1, 1, 5, 0]])
    with pytest.raises(AssertionError) as caught:
        check_metric_space(metric(lambda x, y: table[x, y]), torch.arange(4))
    said = str(caught.value)
    assert "triangle inequality, d(x, z) <= d(x, y) + d(y, z)" in said
    assert "worst at points (x, y, z) = (2, 0, 3), by 3 where" in said
    assert "(4 of 64 fail)" in said


def test_points_that_say_nothing_are_refused():
    with pytest.raises(SettingError, match="at least 3"):
        check_metric_space(Normed(2), torch.randn(2, 4))
    with pytest.raises(SettingError, match="distinct"):
        check_metric_space(Normed(2), torch.zeros(5, 4))


class Detour(HammingPath):
    """Flips letters on which both agree, too."""

    def segment(self, x, y, t):
        order, done = self.flips(x, y, t)
        return torch.where(order < done, y, x), torch.where(order <= done, y, (x + 1) % 4)


class Standstill(HammingPath):
    def segment(self, x, y, t):
        u, _ = super().segment(x, y, t)
        return u, u


class Ends(HammingPath):
    def segment(self, x, y, t):
        u, v = super().segment(x, y, t)
        return u[:, :3], v


class Doubled(Hamming):
    def slope(self, critic, x, y, t):
        return 2 * super().slope(critic, x, y, t)


class Halved(Hamming):
    def slope(self, critic, x, y, t):
        return super().slope(critic, x, y, t) / 2


class Divides(Hamming):
    def slope(self, critic, x, y, t):
        return (critic(x) - critic(y)).abs() / self.distance(x, y)


class OverTheBatch(SmoothSpace):
    """The norm of all gradients of the batch in one: the penalty grows with the batch."""

    distance = Normed.distance
    interpolate = Normed.interpolate
    p, scale = 2.0, 1.0

    def dual_norm(self, x, gradient):
        return gradient.norm().expand(len(gradient))


@pytest.mark.parametrize(
    ("space", "law"),
    [
        (Detour(), "on a shortest path"),
        (Standstill(), "has a length"),
        (Ends(), "points of the space"),
        (Doubled(), r"slope of d\(., x0\) is at most 1"),
        (Halved(), r"slope of 3 d\(., x0\) reaches 3; the largest is 1.5"),
        (Divides(), "slopes are finite"),
    ],
)
def test_wrong_segments_and_slopes_are_found(space, law):
    with broken(law):
        check_metric_space(space, words())


# Smooth spaces --------------------------------------------------------------------------------


class Line(SmoothSpace):
    """A normed space whose parts can be replaced by wrong ones."""

    def __init__(self, p=2.0):
        self.p = p

    def distance(self, x, y):
        return safe_norm(x - y, self.p)

    def interpolate(self, x, y, t):
        return straight(x, y, t)

    def dual_norm(self, x, gradient):
        return safe_norm(gradient, conjugate(self.p))


def test_the_line_is_right():
    for p in (1, 2, float("inf")):
        check_smooth_space(Line(p), torch.randn(12, 8))


class Eased(Line):
    def interpolate(self, x, y, t):
        return straight(x, y, t * t * (3 - 2 * t))


class Bent(Line):
    def interpolate(self, x, y, t):
        return straight(x, y, t) + 0.1 * spread(t * (1 - t), x)


def swing(vectors, angle):
    a, b = vectors[:, 0], vectors[:, 1]
    turned = a * angle.cos() - b * angle.sin(), a * angle.sin() + b * angle.cos()
    return torch.cat([torch.stack(turned, 1), vectors[:, 2:]], 1)


class SwungFromStart(Line):
    """Right distances from x along a curve that is not a geodesic."""

    def interpolate(self, x, y, t):
        return x + t[:, None] * swing(y - x, t * (1 - t))


class SwungFromEnd(Line):
    def interpolate(self, x, y, t):
        return y + (1 - t)[:, None] * swing(x - y, t * (1 - t))


class SameNorm(Line):
    """Forgets to take the conjugate exponent."""

    def dual_norm(self, x, gradient):
        return safe_norm(gradient, self.p)


class Squared(Line):
    def dual_norm(self, x, gradient):
        return super().dual_norm(x, gradient).square()


class OneWay(Line):
    def dual_norm(self, x, gradient):
        return super().dual_norm(x, gradient.clamp_min(0))


class Quasinorm(Line):
    def dual_norm(self, x, gradient):
        return gradient.abs().sqrt().sum(1).square() / gradient.shape[1]


class RootAtZero(Line):
    def distance(self, x, y):
        return (x - y).square().sum(1).sqrt()


class RootOfGradient(Line):
    def dual_norm(self, x, gradient):
        return gradient.square().sum(1).sqrt()


class SharpSlope(Line):
    """Right slopes whose derivative by the critic's parameters is infinite."""

    def slope(self, critic, x, y, t):
        slopes = super().slope(critic, x, y, t)
        return slopes.detach() + (slopes - slopes.detach()).abs().sqrt()


@pytest.mark.parametrize(
    ("space", "law"),
    [
        (SharpSlope(), "the penalty's gradient is finite at x = y"),
        (Eased(), "interpolate is a geodesic"),
        (Bent(), "interpolate is a geodesic"),
        (SwungFromStart(), r"interpolate is a geodesic, d\(z_t, y\) ="),
        (SwungFromEnd(), r"interpolate is a geodesic, d\(x, z_t\) ="),
        (SameNorm(float("inf")), "the dual norm bounds slopes"),
        (Squared(), "homogeneous"),
        (OneWay(), "homogeneous"),
        (Quasinorm(), r"\|g \+ h\| <= \|g\| \+ \|h\|"),
        (RootAtZero(), "the gradient of d.x, y. is finite"),
        (RootOfGradient(), "finite where the critic is flat"),
        (Hamming(), "a smooth space is a SmoothSpace"),
    ],
)
def test_wrong_smooth_spaces_are_found(space, law):
    with broken(law):
        check_smooth_space(space, torch.randn(12, 8))


def test_a_dual_norm_that_is_too_large_is_found_by_the_slope_of_the_distance():
    with broken(r"slope of d\(., x0\) is at most 1"):
        check_metric_space(SameNorm(1), torch.randn(12, 8))


# Penalties ------------------------------------------------------------------------------------


def test_a_norm_over_the_batch_breaks_the_penaltys_laws():
    with broken(r"the penalty of d\(., x0\) is 0"):
        check_penalty_laws(OverTheBatch(), torch.randn(12, 5))


class Summed(Shape):
    """Punishes by the sum over the batch, so that the mean is that sum."""

    def __call__(self, slope: Tensor) -> Tensor:
        return (slope - 1).clamp_min(0).square().sum().expand_as(slope)

    def w1(self, gap: Tensor, penalty: Tensor, weight: Tensor, steepest: Tensor) -> Tensor:
        return gap


class Lenient(Summed):
    def __call__(self, slope: Tensor) -> Tensor:
        return (slope - 4).clamp_min(0)


class Everything(Summed):
    def __call__(self, slope: Tensor) -> Tensor:
        return slope.square()


@pytest.mark.parametrize("space", [Normed(2), HammingPath(), Hamming()])
@pytest.mark.parametrize(
    ("shape", "law"),
    [
        (Summed(), "repeated 2 times"),
        (Lenient(), r"the penalty of 3 d\(., x0\) is positive"),
        (Everything(), r"the penalty of d\(., x0\) is 0"),
    ],
)
def test_wrong_penalties_are_found(space, shape, law):
    points = words().float() if isinstance(space, SmoothSpace) else words()
    with broken(law):
        check_penalty_laws(space, points, penalty=Penalty(shape=shape))


# Critics --------------------------------------------------------------------------------------


class Critic(nn.Module):
    """A right critic; subclasses spoil it."""

    def __init__(self, middle=None):
        super().__init__()
        layers = [nn.Linear(5, 16), middle or nn.Identity(), nn.LeakyReLU(0.2), nn.Linear(16, 1)]
        self.layers = nn.Sequential(*layers)

    def forward(self, x):
        return self.layers(x).squeeze(1)


@pytest.mark.parametrize("space", [None, Normed(2), metric(euclid)])
@pytest.mark.parametrize("middle", [nn.Identity(), nn.LayerNorm(16), nn.Dropout(0.3)])
def test_right_critics_pass_and_are_left_alone(middle, space):
    critic = Critic(
        nn.Sequential(nn.utils.parametrizations.spectral_norm(nn.Linear(16, 16)), middle)
    )
    before = {name: value.clone() for name, value in critic.state_dict().items()}
    check_critic(critic, torch.randn(12, 5), space=space)
    assert all(module.training for module in critic.modules())
    assert all(p.grad is None for p in critic.parameters())
    assert all(torch.equal(before[name], value) for name, value in critic.state_dict().items())


class FirstOnly(Critic):
    def forward(self, x):
        return super().forward(x[:1]).expand(len(x))


class Averaging(Critic):
    def forward(self, x):
        scores = super().forward(x)
        return scores - scores.mean()


class Constant(Critic):
    def forward(self, x):
        return super().forward(torch.ones_like(x))


class BySize(Critic):
    def forward(self, x):
        return super().forward(x) / len(x) ** 0.5


class OnlyPairs(Critic):
    def forward(self, x):
        return super().forward(x).view(-1, 2).flip(1).flip(1).flatten()


class Exploding(Critic):
    def forward(self, x):
        return super().forward(x) / 0.0


class Unused(Critic):
    def __init__(self):
        super().__init__()
        self.spare = nn.Linear(5, 5)


class Cut(Critic):
    """The scores reach the first layer, their slopes do not."""

    def forward(self, x):
        return super().forward(x.detach()) + x.sum(1)


class Rooted(nn.Module):
    """A score whose second derivative is infinite at the origin."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(5, 1))

    def forward(self, x):
        return (x.square() @ self.weight.square()).sqrt().squeeze(1)


class Column(Critic):
    def forward(self, x):
        return self.layers(x)


@pytest.mark.parametrize(
    ("critic", "law"),
    [
        (
            Critic(nn.BatchNorm1d(16)),
            "depends on no other point of the batch .is there a BatchNorm",
        ),
        (FirstOnly(), "depends on its own point; worst at point 1"),
        (Averaging(), "depends on no other point"),
        (Constant(), "depends on its own point"),
        (BySize(), "does not depend on the size of the batch"),
        (OnlyPairs(), "takes batches of any size"),
        (Exploding(), "scores are finite"),
        (Unused(), "scores' gradient reaches parameter 'spare.weight'"),
        (Cut(), "penalty's gradient reaches parameter 'layers.0.weight'"),
        (Column(), "one score for each point"),
    ],
)
def test_wrong_critics_are_found(critic, law):
    with broken(law):
        check_critic(critic, torch.randn(12, 5))


def test_a_parameter_may_be_exempt():
    check_critic(Unused(), torch.randn(12, 5), exempt=["spare.weight", "spare.bias"])


def test_a_nan_in_the_second_derivative_is_found():
    points = torch.randn(12, 5)
    check_critic(Rooted(), points)
    points[0] = 0
    with broken("gradient reaches parameter 'weight'; it is NaN"):
        check_critic(Rooted(), points)


def test_slopes_that_are_nan_at_equal_points_are_found():
    with broken("penalty's gradient reaches parameter '.*'; it is NaN"):
        check_critic(Critic(), torch.randn(12, 5), space=Divides())


def test_critics_of_integers_need_a_space():
    class Table(nn.Module):
        def __init__(self):
            super().__init__()
            self.embed = nn.Embedding(4, 8)
            self.last = nn.Linear(8, 1)

        def forward(self, x):
            return self.last(self.embed(x).tanh().sum(1)).squeeze(1)

    with pytest.raises(SettingError, match="space="):
        check_critic(Table(), words())
    check_critic(Table(), words(), space=HammingPath())


# Generators -----------------------------------------------------------------------------------


class Pair(NamedTuple):
    labels: Tensor
    numbers: Tensor


PAIRS = Product(OneHot(), Normed(2))


class Generator(nn.Module):
    """A right generator; subclasses spoil it."""

    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(6, 16), nn.BatchNorm1d(16), nn.ReLU())
        self.labels = nn.Linear(16, 12)
        self.numbers = nn.Linear(16, 3)

    def soft(self, h):
        return self.labels(h).view(-1, 4, 3).softmax(-1)

    def forward(self, z):
        h = self.body(z)
        return Pair(self.soft(h), self.numbers(h))


class Gumbel(Generator):
    """Random in training, determined in eval mode."""

    def soft(self, h):
        logits = self.labels(h).view(-1, 4, 3)
        return nn.functional.gumbel_softmax(logits) if self.training else logits.softmax(-1)


def test_right_generators_pass_and_are_left_alone():
    for generator in (Generator(), Gumbel().eval()):
        training = generator.training
        before = {name: value.clone() for name, value in generator.state_dict().items()}
        check_generator(generator, Normal(6), PAIRS)
        assert generator.training is training
        after = generator.state_dict()
        assert all(torch.equal(before[name], after[name]) for name in before)


class DeadHead(Generator):
    """Puts something real in the place of a head's output."""

    def forward(self, z):
        return super().forward(z)._replace(labels=torch.full((len(z), 4, 3), 1 / 3))


class Hardened(Generator):
    def soft(self, h):
        return nn.functional.one_hot(super().soft(h).argmax(-1), 3).float()


class DetachedBody(Generator):
    def forward(self, z):
        h = self.body(z).detach()
        return Pair(self.soft(h), self.numbers(h))


class Noisy(Generator):
    def forward(self, z):
        points = super().forward(z)
        return points._replace(numbers=points.numbers + torch.randn(3))


class Collapsed(Generator):
    def forward(self, z):
        return super().forward(torch.ones_like(z) + torch.arange(len(z))[:, None])


class Counting(Generator):
    """Noise from elsewhere, which no seed governs."""

    calls = 0

    def forward(self, z):
        self.calls += 1
        points = super().forward(z)
        return points._replace(numbers=points.numbers + self.calls)


class TooMany(Generator):
    def forward(self, z):
        return super().forward(torch.cat([z, z]))


class Relative(Generator):
    def forward(self, z):
        points = super().forward(z)
        return points._replace(numbers=points.numbers - points.numbers.mean(0))


class Blown(Generator):
    def forward(self, z):
        points = super().forward(z)
        return points._replace(numbers=points.numbers / 0)


@pytest.mark.parametrize(
    ("generator", "law"),
    [
        (DeadHead(), r"output labels receives a gradient; .*\(dead head\)"),
        (Hardened(), r"output labels receives a gradient; .*\(dead head\)"),
        (DetachedBody(), "gradient reaches parameter 'body.0.weight'"),
        (Noisy(), "determined by its latent"),
        (Collapsed(), "points depend on their latents"),
        (Counting(), "reproducible under"),
        (TooMany(), "one point for each latent"),
        (Relative(), "does not depend on the others of its batch"),
        (Blown(), "output numbers is finite"),
    ],
)
def test_wrong_generators_are_found(generator, law):
    with broken(law):
        check_generator(generator, Normal(6), PAIRS)


def test_heads_and_parameters_may_be_exempt():
    exempt = ["labels", "labels.weight", "labels.bias"]
    check_generator(DeadHead(), Normal(6), PAIRS, exempt=exempt)


def test_latents_and_points_may_be_tuples():
    class Two(Latent):
        def sample(self, count, device):
            return torch.randn(count, 2, device=device), torch.randn(count, 4, device=device)

    class Joined(Generator):
        def forward(self, z):
            return tuple(super().forward(torch.cat(z, 1)))

    check_generator(Joined(), Two(), PAIRS)


def test_points_that_the_space_cannot_measure_are_found():
    class Square(SmoothSpace):
        interpolate, dual_norm = Line.interpolate, Line.dual_norm

        def distance(self, x, y):
            return x.log().sum(1) - y.log().sum(1)

    with broken("the space measures generated points"):
        check_generator(nn.Linear(6, 3), Normal(6), Square())


# Plugins --------------------------------------------------------------------------------------

PLUGIN = """
import wgankit
WGANKIT_API = 1

@wgankit.hookimpl
def wgankit_spaces():
    yield wgankit.SpaceSpec(name="x", factory="{module}.space:Space", summary="A thing")
"""


@pytest.fixture
def plugin(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)

    def write(name, code=PLUGIN, space="import torch\nclass Space: pass\n"):
        files = {f"{name}/space.py": space}
        fake_plugin(tmp_path, distribution=name, code=code.format(module=name), files=files)
        return name

    return write


def test_a_right_plugin_passes(plugin):
    check_plugin(plugin("right_plugin"))
    import right_plugin

    check_plugin(right_plugin)


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("import torch\n" + PLUGIN, "light; .*imports torch, numpy"),
        ("import networkx\n" + PLUGIN, "light; .*imports .*networkx"),
        ("import not_there\n", "can be imported; .*not_there"),
        (PLUGIN.replace("API = 1", "API = 2"), "speaks plugin API 2"),
        (PLUGIN.replace("wgankit_spaces", "wgankit_space"), "unknown hook wgankit_space "),
        (PLUGIN.replace('"x"', '"X Y"'), "lower-case"),
        (PLUGIN.replace("A thing", " "), "summaries say something; that of space 'x'"),
        (PLUGIN.replace(":Space", ":Spice"), "importable; .*has no 'Spice'"),
        ("WGANKIT_API = 1\n", "adds something"),
    ],
)
def test_wrong_plugins_are_found(plugin, code, said, request):
    name = f"wrong_plugin_{abs(hash(request.node.name))}"
    with broken(said):
        check_plugin(plugin(name, code))


def test_a_package_that_is_missing_is_found(plugin):
    with broken("importable; .*'not_there', which is not installed"):
        check_plugin(plugin("missing_plugin", space="import not_there\n"))
