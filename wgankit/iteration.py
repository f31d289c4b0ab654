"""One step of a training as functions of tensors: points, the critic's update, the generator's.

Nothing here asks the device for a number or changes a parameter, so that the same lines run
operation by operation, are traced into compiled code, and are captured on a GPU.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias, cast, final

import torch
from torch import Tensor, nn

from wgankit.errors import SettingError
from wgankit.latent import Conditioned, Latent
from wgankit.layout import laid_out_as
from wgankit.loss import CriticLoss, Seen
from wgankit.objective import Objective
from wgankit.rectifiers import MaskedRectifiers
from wgankit.space import Points, batch_size, leaves, on_leaves

Gradients: TypeAlias = list[Tensor | None]

PRECISIONS: dict[str, torch.dtype | None] = {"32-true": None, "bf16-mixed": torch.bfloat16}
"""Names of precisions: as networks and data are, or matrix products in bfloat16."""


@final
class Network:
    """A network as the step calls it: in its precision, with numbers out that can be added up.

    Arguments:
        module: the network.
        low: the type that matrix products and convolutions are computed in; None leaves it alone.
            Parameters, scores, slopes and what is made of them stay as they are.
    """

    def __init__(self, module: nn.Module, low: torch.dtype | None) -> None:
        self.module, self.low = module, low
        named = ((name, one) for name, one in module.named_parameters() if one.requires_grad)
        self.places = [place(module, name) for name, _ in named]

    def __call__(self, points: Points) -> Any:
        """Return what the network makes of a batch."""
        if self.low is None:
            return self.module(points)
        wide = torch.get_default_dtype()
        with torch.autocast(leaves(points)[0].device.type, self.low):
            out = self.module(points)
        return on_leaves(lambda part: part.to(wide) if part.dtype == self.low else part, out)

    def trainable(self) -> list[Tensor]:
        """Return the parameters that gradients are wanted of, or what stands in their places."""
        return [cast(Tensor, held[name]) for held, name in self.places]


def place(module: nn.Module, name: str) -> tuple[dict[str, nn.Parameter | None], str]:
    """Return where a module keeps the parameter of this name: a dictionary and a key of it."""
    *path, last = name.split(".")
    return module.get_submodule(".".join(path))._parameters, last


def precision_named(name: str) -> torch.dtype | None:
    """Return the type that a precision's name stands for.

    Raises:
        SettingError: if there is none of that name.
    """
    if name not in PRECISIONS:
        raise SettingError(f"precision is one of {', '.join(PRECISIONS)}; got {name!r}")
    return PRECISIONS[name]


@final
@dataclass
class Iteration:
    """The mathematics of one step.

    Arguments:
        generator: latent batch -> points.
        critic: points -> scores.
        loss: the critic's.
        objective: of the game.
        latent: the law of the generator's input.
        prepare: stored batch -> points.
        noise: what points pass before the critic sees them.
        content: what the generator minimises besides.
        batch: points in a batch.
    """

    generator: Network
    critic: Network
    loss: CriticLoss
    objective: Objective
    latent: Latent
    prepare: Callable[[Points], Points] | None
    noise: Callable[[Points], Points] | None
    content: Callable[[Points, Points], Tensor] | None
    batch: int
    device: torch.device

    def __post_init__(self) -> None:
        self.masks = MaskedRectifiers() if self.loss.differentiates_twice else None
        self.looks = bool(self.content) or isinstance(self.latent, Conditioned) or self._compares()

    @torch.no_grad()
    def points(self, stored: Points) -> tuple[Points, Points]:
        """Return real points and as many generated ones, for some updates of the critic."""
        real = self.prepared(stored)
        fake = self.generator(self.latents(real))
        # Points that lie otherwise would be copied wherever both meet.
        real = on_leaves(laid_out_as, real, fake)
        return self.disturbed(real), self.disturbed(fake)

    def criticise(self, real: Points, fake: Points, scale: Tensor) -> tuple[Gradients, Seen]:
        """Return the gradients of the critic's loss, and what was seen.

        Arguments:
            real: real points.
            fake: as many generated points.
            scale: the running estimate of W1, a scalar; NaN before the first batch.
        """
        loss, seen = self.loss(real, fake, scale, self.masks)
        # Batches keep their size, so what the first one had no use for none will have.
        if self.masks and not self.masks.used:
            self.masks = None
        return gradients(loss, self.critic.trainable()), seen

    def improve(self, stored: Points | None = None) -> tuple[Gradients, Tensor]:
        """Return the gradients of the generator's loss, and the loss.

        Arguments:
            stored: a batch of the data, if the step looks at one here.
        """
        real = None if stored is None else self.prepared(stored)
        made = self.generator(self.latents(real))

        def score_real() -> Tensor:
            if real is None:
                raise SettingError(
                    f"{type(self.objective).__name__}.generator asks for scores of real points in "
                    "some calls and not in others; let it ask always or never"
                )
            return self.scores(real)

        loss = self.objective.generator(self.scores(made), score_real)
        if self.content and real is not None:
            loss = loss + self.content(made, real)
        return gradients(loss, self.generator.trainable()), loss.detach()

    def prepared(self, stored: Points) -> Points:
        """Return a batch as points of the space."""
        return self.prepare(stored) if self.prepare else stored

    def disturbed(self, points: Points) -> Points:
        """Return points under the noise."""
        return self.noise(points) if self.noise else points

    def latents(self, real: Points | None) -> Points:
        """Return latents for as many points (or a batch), beside these where conditions count."""
        if isinstance(self.latent, Conditioned) and real is not None:
            return self.latent.beside(real)
        return self.latent.sample(self.batch if real is None else batch_size(real), self.device)

    def scores(self, points: Points) -> Tensor:
        """Return what the critic says of disturbed points."""
        return cast(Tensor, self.critic(self.disturbed(points)))

    def _compares(self) -> bool:
        """Return whether the generator's objective asks for scores of real points."""
        asked = []

        def score_real() -> Tensor:
            asked.append(True)
            return torch.zeros(2)

        self.objective.generator(torch.zeros(2), score_real)
        return bool(asked)


def gradients(loss: Tensor, parameters: list[Tensor]) -> Gradients:
    """Return a loss's gradients by parameters, None for those that it does not depend on."""
    return list(torch.autograd.grad(loss, parameters, allow_unused=True))
