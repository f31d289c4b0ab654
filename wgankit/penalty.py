"""What keeps a critic 1-Lipschitz: a penalty on its slopes.

A penalty is three independent choices: where slopes are taken, what shape of slope is punished,
and how much it weighs.  The space alone decides what a slope is, so the gradient penalty of
Gulrajani et al. (2017) and the discrete gradient penalty along shortest paths are the same lines.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias, final

import torch
from torch import Tensor

from wgankit.constraint import Constraint, Unconstrained
from wgankit.constraint import between as between
from wgankit.errors import SettingError
from wgankit.objective import Objective, Wasserstein
from wgankit.space import Critic, MetricSpace, Points, join, leaves

Where: TypeAlias = Callable[[Points, Points], tuple[Points, Points, Tensor]]
Groups: TypeAlias = Callable[[Points], Tensor]


def at_real(real: Points, fake: Points) -> tuple[Points, Points, Tensor]:
    """Take slopes at the real points (R1; Mescheder et al., 2018)."""
    first = leaves(real)[0]
    return real, real, torch.zeros(len(first), device=first.device)


def at_fake(real: Points, fake: Points) -> tuple[Points, Points, Tensor]:
    """Take slopes at the generated points (R2)."""
    first = leaves(fake)[0]
    return fake, fake, torch.zeros(len(first), device=first.device)


def at_both(real: Points, fake: Points) -> tuple[Points, Points, Tensor]:
    """Take slopes at the real and at the generated points (R1 and R2 together)."""
    both = join(real, fake)
    first = leaves(both)[0]
    return both, both, torch.zeros(len(first), device=first.device)


class Shape(ABC):
    """How a slope s >= 0 is punished, and what the optimum of that penalty says of W1."""

    @abstractmethod
    def __call__(self, slope: Tensor) -> Tensor:
        """Return the punishment of each slope, elementwise."""

    @abstractmethod
    def w1(self, gap: Tensor, penalty: Tensor, weight: Tensor, steepest: Tensor) -> Tensor:
        """Return the estimate of W1 from a critic's gap D, penalty R, weight and largest slope."""

    def scaled(self, slope: Tensor) -> Tensor:
        """Return s phi'(s), elementwise: how the punishment grows as the critic is scaled up."""
        with torch.enable_grad():
            inputs = slope.detach().requires_grad_()
            (derivative,) = torch.autograd.grad(self(inputs).sum(), inputs)
        return derivative * slope


@final
class OneSided(Shape):
    """(s - 1)_+^2: slopes below 1 are free (WGAN-LP; Petzka et al., 2018)."""

    def __call__(self, slope: Tensor) -> Tensor:
        """Return (s - 1)_+^2."""
        return (slope - 1).clamp_min(0).square()

    def w1(self, gap: Tensor, penalty: Tensor, weight: Tensor, steepest: Tensor) -> Tensor:
        """Return D - 2 lambda R: at the optimum the congestion cost of D cancels.

        The optimal penalised critic computes a congested transport (Milne and Nachman, 2022) whose
        flow w has D = int |w| + I/(2 lambda) and R = I/(4 lambda^2).
        """
        return gap - 2 * weight * penalty

    def scaled(self, slope: Tensor) -> Tensor:
        """Return 2 (s - 1)_+ s."""
        return 2 * (slope - 1).clamp_min(0) * slope


@final
class TwoSided(Shape):
    """(s - 1)^2: slope 1 is wanted everywhere (WGAN-GP; Gulrajani et al., 2017).

    Biased wherever the best critic is flatter than 1: on a triangle graph, whose three edges cannot
    all have slope 1, its gap tends to 4/3 or 2/3 of W1, depending on where training starts.
    Offered because published results use it.
    """

    def __call__(self, slope: Tensor) -> Tensor:
        """Return (s - 1)^2."""
        return (slope - 1).square()

    def w1(self, gap: Tensor, penalty: Tensor, weight: Tensor, steepest: Tensor) -> Tensor:
        """Return D - 2 lambda R, too small where the best critic is flatter than 1."""
        return gap - 2 * weight * penalty

    def scaled(self, slope: Tensor) -> Tensor:
        """Return 2 (s - 1) s."""
        return 2 * (slope - 1) * slope


@final
class ZeroCentred(Shape):
    """s^2: every slope is punished (R1, R2; Mescheder et al., 2018), for local convergence."""

    def __call__(self, slope: Tensor) -> Tensor:
        """Return s^2."""
        return slope.square()

    def w1(self, gap: Tensor, penalty: Tensor, weight: Tensor, steepest: Tensor) -> Tensor:
        """Return D / (largest slope), a lower bound: the gap itself has no scale here."""
        return gap / steepest.clamp_min(torch.finfo(steepest.dtype).tiny)

    def scaled(self, slope: Tensor) -> Tensor:
        """Return 2 s^2."""
        return 2 * slope.square()


one_sided = OneSided()
two_sided = TwoSided()
zero_centred = ZeroCentred()


@final
@dataclass(frozen=True)
class Penalty(Constraint):
    """A penalty `lambda * mean(shape(slope))` on a critic's slopes.

    Arguments:
        weight: lambda; a pure number unless `relative` is false.
        where: at which segments slopes are taken: `between`, `at_real`, `at_fake`, `at_both`, or
            any function (real, fake) -> (x, y, t).
        shape: `one_sided` (the default, unbiased as lambda grows), `two_sided`, `zero_centred`.
        relative: lambda has the unit of a distance (a critic between two points at distance d is
            too big by d / (2 lambda)), so by default it is `weight` times the running estimate
            of W1; set to False to give lambda itself, as papers do.
        groups: real points -> integer numbers `(B,)` of the group that each belongs to (and the
            generated point beside it).
        over: with groups, "mean" lets each group of a batch count the same, however small, and
            "worst" punishes the group whose mean is largest.
    """

    weight: float = 10.0
    where: Where = between
    shape: Shape = one_sided
    relative: bool = True
    groups: Groups | None = None
    over: str = "mean"

    def __post_init__(self) -> None:
        if not self.weight >= 0:
            raise SettingError(f"a penalty's weight is a number >= 0, and was given {self.weight}")
        if not isinstance(self.shape, Shape):
            raise SettingError(
                f"shape is one of wgankit.one_sided, two_sided, zero_centred or your own "
                f"wgankit.penalty.Shape, and was given {self.shape!r}"
            )
        if not callable(self.where):
            raise SettingError(
                f"where is one of wgankit.between, at_real, at_fake, at_both or a function of "
                f"(real, fake), and was given {self.where!r}"
            )
        if self.over not in ("mean", "worst"):
            raise SettingError(f'over is "mean" or "worst", and was given {self.over!r}')

    def slopes(self, space: MetricSpace, critic: Critic, real: Points, fake: Points) -> Tensor:
        """Return the critic's slopes `(S,)` where this penalty takes them."""
        return space.slope(critic, *self.where(real, fake))

    def cost(self, slopes: Tensor, real: Points) -> Tensor:
        """Return the mean punishment R (a scalar, without the weight), over the groups if any."""
        return self._mean(self.shape(slopes), slopes, real)

    def value(self, space: MetricSpace, critic: Critic, real: Points, fake: Points) -> Tensor:
        """Return R at two batches: `cost` of `slopes`."""
        return self.cost(self.slopes(space, critic, real, fake), real)

    def w1(self, gap: Tensor, cost: Tensor, slopes: Tensor, weight: Tensor) -> Tensor:
        """Return the shape's estimate of W1."""
        return self.shape.w1(gap, cost, weight, slopes.amax())

    def residual(self, gap: Tensor, slopes: Tensor, real: Points, weight: Tensor) -> Tensor:
        """Return (D - lambda E[s phi'(s)]) / D."""
        grows = weight * self._mean(self.shape.scaled(slopes), slopes, real)
        return (gap - grows) / gap.abs().clamp_min(torch.finfo(gap.dtype).tiny)

    def _mean(self, values: Tensor, slopes: Tensor, real: Points) -> Tensor:
        """Return the mean of a figure of each slope, in the groups that the penalty counts."""
        if self.groups is None:
            return values.mean()
        numbers = self.groups(real)
        if numbers.shape != (len(leaves(real)[0]),) or numbers.is_floating_point():
            raise SettingError(
                "groups returns an integer for each real point, shape (B,); it returned "
                f"{tuple(numbers.shape)} of {numbers.dtype}"
            )
        numbers = numbers.repeat(len(slopes) // len(numbers))
        # A table of who shares a group with whom, so that nothing asks the device how many there
        # are; each group's mean then stands at each of its members.
        same = (numbers[:, None] == numbers[None, :]).to(values.dtype)
        share = same / same.sum(1, keepdim=True)
        if self.over == "mean":
            once = share.diagonal()
            return (once * (share @ values)).sum() / once.sum()
        # Kept as a row: an index of one number would be asked for.
        worst = (share @ self.shape(slopes.detach())).argmax(0, keepdim=True)
        return (share[worst] @ values).squeeze(0)


def check_constraint(
    space: MetricSpace, constraint: Constraint, objective: Objective | None = None
) -> None:
    """Raise `SettingError` where a constraint would leave every critic of this space free."""
    if isinstance(constraint, Unconstrained) and isinstance(objective, Wasserstein):
        raise SettingError(
            "without a constraint the Wasserstein gap grows without end and measures nothing; "
            "give penalty=Penalty(), or objective=JensenShannon()"
        )
    if not isinstance(constraint, Penalty):
        return
    single = constraint.where in (at_real, at_fake, at_both)
    if (
        single
        and type(space).slope is MetricSpace.slope
        and (type(space).segment is MetricSpace.segment)
    ):
        raise SettingError(
            f"{type(space).__name__} has distances only, so there is no slope at a single point; "
            "take slopes between points with Penalty(where=wgankit.between), or give the space "
            "a `segment` that returns a neighbour where x = y"
        )
    if constraint.weight == 0:
        raise SettingError(
            "a penalty of weight 0 leaves the critic without any constraint, and its gap would "
            "measure nothing; give a weight > 0, such as Penalty(weight=10)"
        )


PLACES: dict[str, Where] = {
    "between": between,
    "at-real": at_real,
    "at-fake": at_fake,
    "at-both": at_both,
}
SHAPES: dict[str, Shape] = {
    "one-sided": one_sided,
    "two-sided": two_sided,
    "zero-centred": zero_centred,
}


def penalty_from(
    *,
    weight: float = 10.0,
    where: str = "between",
    shape: str = "one-sided",
    relative: bool = True,
    groups: Groups | None = None,
    over: str = "mean",
) -> Penalty:
    """Return the penalty that plain settings (a recipe, a config file) name, over groups if any."""
    for given, known, what in ((where, PLACES, "where"), (shape, SHAPES, "shape")):
        if given not in known:
            raise SettingError(f"penalty {what} is one of {', '.join(known)}; got {given!r}")
    return Penalty(weight, PLACES[where], SHAPES[shape], relative, groups, over)
