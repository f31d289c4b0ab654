"""Conditions, groups and clients: which distance a conditional, fair or federated game measures."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import numpy as np
import torch
from torch import Tensor, nn

import wgankit
from benchmarks.exactness.catalogue import Line, at_least, at_most, experiment, holds, near
from benchmarks.minimise import minimise
from wgankit.space import Points, SmoothSpace, leaves


class EachCondition(SmoothSpace):
    """Points (x, c) that cannot change their condition c: a critic is 1-Lipschitz in x alone."""

    def __init__(self, space: SmoothSpace) -> None:
        self.space = space

    def distance(self, x: Points, y: Points) -> Tensor:
        (a, c), (b, e) = leaves(x), leaves(y)
        apart = (c != e).flatten(1).any(1)
        return self.space.distance(a, b).masked_fill(apart, math.inf)

    def interpolate(self, x: Points, y: Points, t: Tensor) -> Points:
        (a, c), (b, _) = leaves(x), leaves(y)
        return leaves(self.space.interpolate(a, b, t))[0], c

    def dual_norm(self, x: Points, gradient: Points) -> Tensor:
        return self.space.dual_norm(leaves(x)[0], leaves(gradient)[0])


class Joint(nn.Module):
    """A critic of points (x, c)."""

    def __init__(self) -> None:
        super().__init__()
        self.scores = wgankit.Perceptron(2, width=64, depth=2)

    def forward(self, points: Points) -> Tensor:
        found: Tensor = self.scores(torch.cat(leaves(points), 1))
        return found


def in_turn(*points: Tensor) -> Callable[[int], Points]:
    """Return a sampler that gives the points one after another, so that two of them keep step."""
    return lambda count: tuple(part[torch.arange(count) % len(part)] for part in points)


# 23 -------------------------------------------------------------------------------------------

CONDITIONS = torch.tensor([[0.0], [1.0]])
REAL = (torch.tensor([[0.0], [1.0]]), CONDITIONS)
FAKE = (torch.tensor([[1.0], [0.0]]), CONDITIONS)


@experiment("23", "A generator that swaps two conditions: per condition, and on the product")
def conditional(quick: bool) -> Iterator[Line]:
    steps = 300 if quick else 1_000
    normed = wgankit.Normed()
    each = [wgankit.exact.w1(normed, REAL[0][c : c + 1], FAKE[0][c : c + 1]) for c in (0, 1)]
    yield near("per condition: E_c W by exact transport", 1.0, sum(each) / 2, absolute=1e-6)
    torch.manual_seed(0)
    report = wgankit.fit_critic(
        Joint(), in_turn(*REAL), in_turn(*FAKE), space=EachCondition(normed), steps=steps
    )
    yield near("per condition: trained critic, debiased", 1.0, float(report.w1), relative=0.02)
    marginal = wgankit.exact.w1(normed, REAL[0], FAKE[0])
    yield near("without the conditions (beta = 0)", 0.0, marginal, absolute=1e-6)
    for beta in (0.5, 4.0):
        product = wgankit.Product(normed, normed, p=1, weights=[1, beta])
        exact = wgankit.exact.w1(product, REAL, FAKE)
        yield near(f"product, beta={beta}: exact transport", min(1.0, beta), exact, absolute=1e-6)
        torch.manual_seed(0)
        report = wgankit.fit_critic(Joint(), REAL, FAKE, space=product, steps=steps)
        what = f"product, beta={beta}: trained critic, debiased"
        yield near(what, min(1.0, beta), float(report.w1), relative=0.02)


# 24 -------------------------------------------------------------------------------------------


class Bilinear(nn.Module):
    """f(x, c) = (w0 + w1 c) x."""

    def __init__(self) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.zeros(2))

    def forward(self, points: Points) -> Tensor:
        x, c = leaves(points)
        return ((self.w[0] + self.w[1] * c) * x)[:, 0]


@experiment("24", "A penalty on the condition in a bilinear critic", quick=True)
def bilinear(quick: bool) -> Iterator[Line]:
    shift, turn, weight, count = 0.8, 0.5, 1.3, 200_000
    for beta in (2.0, 0.5):
        c = torch.randint(0, 2, (count, 1)) * 2.0 - 1
        fake = torch.randn(count, 1)
        real = torch.randn(count, 1) + shift + turn * c
        space = wgankit.Product(wgankit.Normed(), wgankit.Normed(), p=2, weights=[1, beta])
        penalty = wgankit.Penalty(shape=wgankit.zero_centred, where=wgankit.at_fake)
        critic = Bilinear()

        def loss(
            critic: nn.Module = critic,
            real: Points = (real, c),
            fake: Points = (fake, c),
            space: SmoothSpace = space,
            penalty: wgankit.Penalty = penalty,
        ) -> Tensor:
            gap: Tensor = critic(real).mean() - critic(fake).mean()
            return weight * penalty.value(space, critic, real, fake) - gap

        minimise(critic.parameters(), loss)
        # On the product with p = 2 the squared slope is f_x^2 + f_c^2 / beta^2; here E x^2 = 1.
        exact = shift / (2 * weight), turn / (2 * (weight + weight / beta**2))
        for name, value, reached in zip(("w0", "w1"), exact, critic.w.tolist(), strict=True):
            yield near(f"beta={beta}: {name}", value, reached, relative=0.01)


# 25 -------------------------------------------------------------------------------------------


class Multiplied(nn.Module):
    """A shared critic with a multiplier for each group: f(x, k) = s m_k x."""

    def __init__(self, multipliers: Tensor) -> None:
        super().__init__()
        self.multipliers = multipliers
        self.shared = nn.Parameter(torch.tensor(0.1))

    def forward(self, points: Points) -> Tensor:
        x, k = leaves(points)
        return self.shared * self.multipliers[k[:, 0].long()] * x[:, 0]


def group(points: Points) -> Tensor:
    return leaves(points)[1][:, 0].long()


@experiment("25", "Class multipliers: one penalty for all, and one for the worst group", quick=True)
def multipliers(quick: bool) -> Iterator[Line]:
    space, m = EachCondition(wgankit.Normed()), torch.tensor([1.0, 3.0])
    k = torch.tensor([[0.0]] * 9 + [[1.0]])
    real, fake = (torch.ones(10, 1), k), (torch.zeros(10, 1), k)

    def fitted(penalty: wgankit.Penalty) -> Tensor:
        """Return the slopes in the two groups, `(2,)`."""
        critic = Multiplied(m)
        wgankit.fit_critic(
            critic,
            in_turn(*real),
            in_turn(*fake),
            space=space,
            penalty=penalty,
            pairs=100,
            rate=0.03,
            steps=600,
        )
        return (critic.shared * m).detach()

    # With gap 1.2 s the two-sided optimum is the penalty's own, 2/3, plus 1.2 / (3.6 lambda).
    pooled = fitted(wgankit.Penalty(1e4, shape=wgankit.two_sided, relative=False))
    yield near("pooled two-sided: slope of the majority", 2 / 3, float(pooled[0]), absolute=1e-3)
    yield near("pooled two-sided: slope of the minority", 2.0, float(pooled[1]), absolute=1e-3)
    pooled = fitted(wgankit.Penalty(10.0, relative=False))
    yield near("pooled one-sided, lambda=10: minority", 1.2, float(pooled[1]), absolute=1e-3)
    for over, exact in (("mean", 1.04), ("worst", 1.02)):
        found = fitted(wgankit.Penalty(10.0, relative=False, groups=group, over=over))
        what = f"one-sided, {over} of the groups, lambda=10: steepest group"
        yield near(what, exact, float(found.max()), absolute=1e-3)
    found = fitted(wgankit.Penalty(11.0, relative=False, groups=group, over="worst"))
    yield at_most("worst group, lambda=11: steepest group", 1.02, float(found.max()))


# 26 -------------------------------------------------------------------------------------------


def barycentre(
    space: wgankit.MetricSpace, points: Points, laws: Tensor, weights: Tensor
) -> tuple[np.ndarray, float]:
    """Return the law G on the points that minimises sum_k w_k W(P_k, G), and that minimum."""
    import ot

    cost = wgankit.pairwise(space, points, points).double().numpy()
    cost = cost / cost.max()  # where the solver's tolerances are meant to be
    law = ot.lp.barycenter(laws.T.double().numpy(), cost, weights.double().numpy(), solver="highs")
    return law, to_clients(space, points, laws, weights, torch.as_tensor(law))


def to_clients(
    space: wgankit.MetricSpace, points: Points, laws: Tensor, weights: Tensor, law: Tensor
) -> float:
    """Return sum_k w_k W(P_k, G) by exact transport."""
    each = [wgankit.exact.w1(space, points, points, x_weights=p, y_weights=law) for p in laws]
    return sum(float(w) * value for w, value in zip(weights, each, strict=True))


@experiment(
    "26", "Clients: the mean of their distances, and the distance to their mixture", quick=True
)
def clients(quick: bool) -> Iterator[Line]:
    line, space = torch.linspace(0, 10, 21)[:, None].double(), wgankit.Normed()
    laws = torch.zeros(2, 21, dtype=torch.float64)
    laws[0, 0] = laws[1, -1] = 1.0
    uneven, even = (torch.tensor(w, dtype=torch.float64) for w in ([0.9, 0.1], [0.5, 0.5]))
    law, least = barycentre(space, line, laws, uneven)
    yield near("clients at 0 (.9) and 10 (.1): mass of the best G at 0", 1.0, law[0], absolute=1e-6)
    yield near("- its mean distance to the clients", 1.0, least, absolute=1e-6)
    spread = [
        to_clients(space, line, laws, even, torch.rand(21, dtype=torch.float64)) for _ in range(20)
    ]
    yield near(
        "equal weights: mean distance of any G, least of 20", 5.0, min(spread), absolute=1e-6
    )
    yield near("- largest of 20", 5.0, max(spread), absolute=1e-6)
    for weights in (uneven, even):
        mixture = weights @ laws
        law, least = barycentre(space, line, mixture[None], torch.ones(1, dtype=torch.float64))
        said = f"one critic on the mixture {weights.tolist()}"
        yield near(f"{said}: mass at 0", float(weights[0]), law[0], absolute=1e-6)
        yield near("- its distance", 0.0, least, absolute=1e-6)
    yield from _majority()


def _majority() -> Iterator[Line]:
    """Clients of any kind in the plane: weight 1/2 or more wins alone."""
    torch.manual_seed(0)
    points, space = torch.rand(15, 2, dtype=torch.float64), wgankit.Normed(p=1)
    laws = torch.rand(3, 15, dtype=torch.float64).softmax(1) ** 2
    laws /= laws.sum(1, keepdim=True)
    for heaviest in (0.5, 0.6):
        rest = (1 - heaviest) / 2
        weights = torch.tensor([heaviest, rest, rest], dtype=torch.float64)
        _, least = barycentre(space, points, laws, weights)
        alone = to_clients(space, points, laws, weights, laws[0])
        yield near(f"3 random clients, weight {heaviest}: its own law", alone, least, absolute=1e-6)


# Parts of 26 ----------------------------------------------------------------------------------


@experiment("26b", "Two groups, 95 to 5: the generator's shares are the weights")
def shares(quick: bool) -> Iterator[Line]:
    count, steps, space = 4_000, 1_500, wgankit.Normed()
    member = torch.arange(count) < count // 20
    data = (torch.where(member, 2.0, -2.0) + 0.1 * torch.randn(count))[:, None]
    minor: list[float] = []
    for share in (0.5,) if quick else (0.05, 0.5):
        torch.manual_seed(0)
        masses = torch.where(member, share / 0.05, (1 - share) / 0.95)
        training = wgankit.train(
            wgankit.Perceptron(1, 1, width=64, depth=2),
            wgankit.Perceptron(1, width=64, depth=2),
            data[torch.multinomial(masses, count, replacement=True)],
            space=space,
            latent=wgankit.Uniform(1),
            steps=steps,
            batch=256,
            n_critic=3,
            generator_rate=3e-3,
            critic_rate=5e-3,
            ema=0.98,
            schedule=lambda step: 0.5 + 0.5 * math.cos(math.pi * step / steps),
        )
        for _ in training:
            pass
        with torch.no_grad():
            made = training.average(wgankit.Uniform(1).sample(20_000, "cpu"))
        theirs = made[:, 0] > 0
        found = float(theirs.float().mean())
        yield near(f"minority of weight {share}: its share", share, found, absolute=0.02)
        major = wgankit.exact.w1(space, data[~member][:500], made[~theirs][:500])
        yield at_most("- W1 within the majority, groups 4 apart", 0.2, major, exact=0.0)
        minor.append(wgankit.exact.w1(space, data[member], made[theirs][:500]))
    yield at_most("- W1 within the minority", 0.2, minor[-1], exact=0.0)
    if not quick:
        # Its mass comes soon enough, but points on the way to so few of them are most of it.
        yield at_most("- as a share of that at weight 0.05", 0.5, minor[-1] / minor[0])


@experiment("26c", "A reward for being sure of the group removes the minority", quick=True)
def collapse(quick: bool) -> Iterator[Line]:
    minority, space = 0.05, wgankit.Normed()
    groups = torch.tensor([[0.0], [1.0]], dtype=torch.float64)
    grid = torch.linspace(0, minority, 51, dtype=torch.float64)
    entropy = torch.special.entr(grid) + torch.special.entr(1 - grid)

    def distance(share: Tensor) -> float:
        real, fake = (torch.stack([1 - s, s]) for s in (torch.tensor(minority).double(), share))
        return wgankit.exact.w1(space, groups, groups, x_weights=real, y_weights=fake)

    distances = torch.tensor([distance(share) for share in grid], dtype=torch.float64)
    for weight in (1.0, 3.0):
        alphas = torch.arange(0, 1.2, 5e-4, dtype=torch.float64)
        best = grid[(weight * distances + alphas[:, None] * entropy).argmin(1)]
        exact = weight * minority / float(entropy[-1])
        seen = float(alphas[best < minority].min())
        yield near(
            f"transport counted {weight:g} times: critical alpha", exact, seen, absolute=1e-3
        )
        kept, lost = best[best > 0], best[best < minority]
        met = bool((kept == minority).all() and (lost == 0).all())
        yield holds("- all or nothing: the best share is 0 or .05", met)


@experiment("26d", "Clients' gradients add up to the gradient of the pooled data", quick=True)
def gradients(quick: bool) -> Iterator[Line]:
    torch.manual_seed(0)
    critic = wgankit.Perceptron(2, width=32, depth=2).double()
    sizes = (300, 100, 20)
    real = torch.cat([torch.randn(n, 2).double() + 3 * k for k, n in enumerate(sizes)])
    fake, t = torch.randn(sum(sizes), 2).double(), torch.rand(sum(sizes)).double()
    parameters = list(critic.parameters())
    start = nn.utils.parameters_to_vector(parameters).detach().clone()

    def gradient(part: slice) -> Tensor:
        penalty = wgankit.Penalty(where=lambda x, y: (x, y, t[part]))
        x, y = real[part], fake[part]
        loss = wgankit.Wasserstein().critic(critic(x), critic(y))
        loss = loss + 10 * penalty.value(wgankit.Normed(), critic, x, y)
        found = torch.autograd.grad(loss, parameters, allow_unused=True, materialize_grads=True)
        return nn.utils.parameters_to_vector(found)

    def after(part: slice, steps: int) -> Tensor:
        nn.utils.vector_to_parameters(start.clone(), parameters)
        for _ in range(steps):
            moved = nn.utils.parameters_to_vector(parameters) - 0.01 * gradient(part)
            nn.utils.vector_to_parameters(moved.detach(), parameters)
        return nn.utils.parameters_to_vector(parameters).detach()

    ends = np.cumsum(sizes)
    parts = [slice(int(end) - n, int(end)) for n, end in zip(sizes, ends, strict=True)]
    everyone = slice(0, sum(sizes))
    for steps in (1, 5):
        pooled = after(everyone, steps) - start
        averaged = sum(
            n / sum(sizes) * (after(part, steps) - start)
            for n, part in zip(sizes, parts, strict=True)
        )
        apart = float((averaged - pooled).norm() / pooled.norm())
        if steps == 1:
            yield at_most(
                "one local step: averaged against pooled, relative", 1e-6, apart, exact=0.0
            )
        else:
            yield at_least(f"{steps} local steps: drift of the average, relative", 1e-3, apart)
