"""Generators and critics of other domains, taught to hear a condition.

Nothing is asked of them but that they take a batch; what they look like inside is found by looking
for their dense and convolutional layers.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from typing import Any, cast, final

import torch
from torch import Tensor, nn

from wgankit.errors import SettingError, ShapeError
from wgankit.latent import Latent
from wgankit.space import Points, leaves
from wgankit.state import seeded
from wgankit_labels.points import beside, rows, split

LOOKED_AT = 64
"""Latents that are drawn to see which of their parts are normal numbers."""


def features(condition: int, size: int, hidden: int) -> nn.Module:
    """Return a network from conditions `(B, condition)` to `(B, size)`: linear plus two layers."""
    return _Features(condition, size, hidden)


@final
class _Features(nn.Module):
    """A linear map plus a small network, so that classes and numbers are both heard at once."""

    def __init__(self, condition: int, size: int, hidden: int) -> None:
        super().__init__()
        self.linear = nn.Linear(condition, size)
        self.bent = nn.Sequential(
            nn.Linear(condition, hidden), nn.SiLU(), nn.Linear(hidden, size, bias=False)
        )
        # Conditions are one-hot or of variance 1: what comes out then varies by about 1 as well.
        nn.init.normal_(self.linear.weight)
        nn.init.zeros_(self.linear.bias)

    def forward(self, condition: Tensor) -> Tensor:
        return cast(Tensor, self.linear(condition) + self.bent(condition))


# Generators -----------------------------------------------------------------------------------


def normal_parts(latent: Latent) -> tuple[int, ...]:
    """Return the numbers of the parts of a latent that are not whole numbers: the noise.

    Codes, masks and places of nodes are whole numbers, and a shift would make nonsense of them.
    """
    with seeded(0):
        drawn = leaves(latent.sample(LOOKED_AT, "cpu"))
    return tuple(
        place
        for place, part in enumerate(drawn)
        if part.is_floating_point() and part.dim() > 1 and not torch.equal(part, part.round())
    )


@final
class ConditionedGenerator(nn.Module):
    """Any generator, told of a condition by a learned shift of its noise.

    (z, c) -> (G(z + s(c)), c).  Where the first layer on z is linear, that is the condition beside
    the latent, through a matrix of full rank; and classes whose shifts are far apart are separate
    parts of a disconnected latent.  The shift runs along the last axis of a part and is the same
    along all others, so that a generator that is equivariant under renumbering nodes stays so.

    Arguments:
        generator: latent batch -> batch of points.
        latent: the law of its latents (without conditions).
        condition: K, columns of a condition.
        parts: which parts of a latent are shifted; by default those that `normal_parts` finds.
        hidden: width of the network that makes the shifts.

    Raises:
        SettingError: if no part of the latent can be shifted.
    """

    def __init__(
        self,
        generator: nn.Module,
        latent: Latent,
        condition: int,
        *,
        parts: Sequence[int] | None = None,
        hidden: int = 64,
    ) -> None:
        super().__init__()
        self.parts = normal_parts(latent) if parts is None else tuple(parts)
        if not self.parts:
            raise SettingError(
                "no part of the latent is noise that a condition could shift; say which with "
                "parts=(0,), or give the generator a normal part"
            )
        with seeded(0):
            drawn = leaves(latent.sample(2, "cpu"))
        self.sizes = [drawn[part].shape[-1] for part in self.parts]
        self.generator = generator
        self.shift = features(condition, sum(self.sizes), hidden)

    def forward(self, latents: Points) -> Points:
        """Return points with the conditions of their latents."""
        noise, condition = split(latents)
        moved = list(leaves(noise))
        shifts = self.shift(rows(condition)).split(self.sizes, 1)
        for part, shift in zip(self.parts, shifts, strict=True):
            moved[part] = moved[part] + _over(shift, moved[part], channels=-1)
        made = self.generator(moved[0] if len(moved) == 1 else tuple(moved))
        return beside(made, condition)


def _over(shift: Tensor, like: Tensor, *, channels: int) -> Tensor:
    """Return `(B, C)` shaped so that it adds to a batch with C channels on the given axis."""
    shape = [1] * like.dim()
    shape[0], shape[channels] = shift.shape
    return shift.view(shape)


# Critics --------------------------------------------------------------------------------------


class _Told:
    """What the layers of a critic are told while it scores a batch."""

    def __init__(self) -> None:
        self.condition: Tensor | None = None


DENSE = (nn.Linear,)
CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)


def layers_of(critic: nn.Module) -> Iterator[tuple[nn.Module, str, nn.Module]]:
    """Yield the dense and convolutional layers of a network: (their parent, name there, layer)."""
    for parent in list(critic.modules()):
        for name, layer in list(parent.named_children()):
            # Subclasses may use their weights in ways of their own, as attention does.
            if type(layer) in (*DENSE, *CONVOLUTIONS):
                yield parent, name, layer


class _Layer(nn.Module, ABC):
    """In place of a layer: has all of its attributes, and is told the condition."""

    layer: nn.Module

    def __init__(self, layer: nn.Module, told: _Told) -> None:
        super().__init__()
        self.layer, self.told = layer, told

    @abstractmethod
    def forward(self, inputs: Tensor) -> Tensor:
        """Return what the layer makes of its inputs under the condition."""

    def __getattr__(self, name: str) -> Any:
        try:
            return super().__getattr__(name)
        except AttributeError:
            return getattr(super().__getattr__("layer"), name)


@final
class _Hearing(_Layer):
    """A layer whose output is shifted by the condition, the same way at every site."""

    def __init__(self, layer: nn.Module, told: _Told, condition: int) -> None:
        super().__init__(layer, told)
        self.dense = isinstance(layer, DENSE)
        size = layer.out_features if self.dense else layer.out_channels
        self.shift = nn.Linear(condition, cast(int, size), bias=False)

    def forward(self, inputs: Tensor) -> Tensor:
        out = cast(Tensor, self.layer(inputs))
        shift = self.shift(_checked(self.told, out))
        return out + _over(shift, out, channels=-1 if self.dense else 1)


@final
class _Projecting(_Layer):
    """The last layer of a critic, whose weights depend on the condition."""

    def __init__(self, layer: nn.Linear, told: _Told, condition: int, hidden: int) -> None:
        super().__init__(layer, told)
        self.weights = features(condition, layer.in_features, hidden)
        self.alone = features(condition, 1, hidden)
        with torch.no_grad():
            cast(_Features, self.weights).linear.weight.mul_(layer.in_features**-0.5)

    def forward(self, inputs: Tensor) -> Tensor:
        condition = _checked(self.told, inputs)
        if inputs.dim() != 2:
            raise ShapeError(
                "projection takes a critic whose last layer sees one vector for each point; it "
                f'sees {tuple(inputs.shape)}; use by="concatenation"'
            )
        projected = (self.weights(condition) * inputs).sum(1, keepdim=True)
        return cast(Tensor, self.layer(inputs) + projected + self.alone(condition))


def _checked(told: _Told, out: Tensor) -> Tensor:
    condition = told.condition
    if condition is None:
        raise ShapeError("this layer belongs to a ConditionedCritic; call that one")
    if len(condition) != len(out):
        raise ShapeError(
            f"inside of the critic {len(condition)} points have become {len(out)} rows, so its "
            "layers cannot be told their conditions; use MixtureCritic, which leaves critics alone"
        )
    return condition


@final
class ConditionedCritic(nn.Module):
    """A critic, told of a condition inside: f(x) becomes f(x, c).

    by="concatenation": every dense and convolutional layer also sees c, linearly, which is what c
    among its inputs would do.  Where the layers keep f 1-Lipschitz by construction it stays so in x
    for every c, because what is added does not depend on x.

    by="projection" (Miyato, Koyama, 2018, equation 3): the last layer w'h(x) becomes
    (w + V(c))'h(x) + u(c), and what lies before it is shared by all conditions.

    Layers are found by their type, exactly `Linear` or `Conv`; the critic is changed in place.  Its
    layers have to see the points of a batch on their first axis.  What cannot be told in this way
    goes into a `MixtureCritic`.

    Arguments:
        critic: batch of points -> scores `(B,)`.
        condition: K, columns of a condition.
        by: "concatenation" or "projection".
        hidden: width of the networks that make V and u.

    Raises:
        SettingError: another `by`, or a critic without such layers.
    """

    def __init__(
        self,
        critic: nn.Module,
        condition: int,
        *,
        by: str = "concatenation",
        hidden: int = 64,
    ) -> None:
        super().__init__()
        if by not in ("concatenation", "projection"):
            raise SettingError(f'by is "concatenation" or "projection"; got {by!r}')
        self.critic, self.told = critic, _Told()
        if by == "projection":
            owner, place, last = _last(critic)
            setattr(owner, place, _Projecting(last, self.told, condition, hidden))
        else:
            found = list(layers_of(critic))
            if not found:
                raise SettingError(
                    f"{type(critic).__name__} has no dense or convolutional layer that could hear "
                    "a condition; use MixtureCritic"
                )
            for parent, name, layer in found:
                setattr(parent, name, _Hearing(layer, self.told, condition))

    def forward(self, points: Points) -> Tensor:
        """Return one score for each point at its condition, `(B,)`."""
        inner, condition = split(points)
        self.told.condition = rows(condition)
        try:
            return cast(Tensor, self.critic(inner))
        finally:
            self.told.condition = None


def _last(critic: nn.Module) -> tuple[nn.Module, str, nn.Linear]:
    """Return the last dense layer with one output."""
    found = [
        (parent, name, layer)
        for parent, name, layer in layers_of(critic)
        if isinstance(layer, nn.Linear) and layer.out_features == 1
    ]
    if not found:
        raise SettingError(
            f"{type(critic).__name__} has no dense layer with one output whose inputs could be "
            'projected; use by="concatenation", or MixtureCritic'
        )
    return found[-1]


@final
class MixtureCritic(nn.Module):
    """Several critics as the features of one: f(x, c) = sum_m a_m(c) f_m(x) + a_0(c).

    Projection (Miyato, Koyama, 2018) with the critics' scores as h(x).  Nothing needs to be known
    of them; it costs as much as all of them, and f(., c) is a combination of M functions of x:
    take as many as there are classes, or a few for a number.

    Arguments:
        critics: at least one, each from points without conditions to scores `(B,)`.
        condition: K, columns of a condition.
        hidden: width of the network that makes a(c).
    """

    def __init__(self, critics: Sequence[nn.Module], condition: int, *, hidden: int = 64) -> None:
        super().__init__()
        if not critics:
            raise SettingError("a mixture needs at least one critic")
        self.critics = nn.ModuleList(critics)
        self.weights = features(condition, len(critics) + 1, hidden)

    def forward(self, points: Points) -> Tensor:
        """Return one score for each point at its condition, `(B,)`."""
        inner, condition = split(points)
        scores = torch.stack([critic(inner) for critic in self.critics], 1)
        alone, weights = self.weights(rows(condition)).split([1, len(self.critics)], 1)
        mixed: Tensor = (weights * scores).sum(1) + alone[:, 0]
        return mixed


def critic_for(
    build: Callable[[], nn.Module], condition: int, *, by: str, copies: int, hidden: int
) -> nn.Module:
    """Return the critic that settings name.

    Arguments:
        build: returns a new critic of points without conditions.
        condition: K, columns of a condition.
        by: "concatenation", "projection", or "mixture" of `copies` critics.
        copies: how many critics a mixture has.
        hidden: width of the networks on the condition.
    """
    if by == "mixture":
        return MixtureCritic([build() for _ in range(copies)], condition, hidden=hidden)
    if by not in ("concatenation", "projection"):
        raise SettingError(f"critic is concatenation, projection or mixture; got {by!r}")
    return ConditionedCritic(build(), condition, by=by, hidden=hidden)
