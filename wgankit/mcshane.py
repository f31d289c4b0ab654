"""Critics that are 1-Lipschitz in any metric space, by construction."""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor, nn

from wgankit.errors import SettingError
from wgankit.space import MetricSpace, Points, batch_size, leaves, pairwise, pick, rebuild


@final
class McShane(nn.Module):
    """f(x) = max_i h_i - d(x, a_i), or min_i h_i + d(x, a_i): an envelope of cones.

    1-Lipschitz for any parameters, in any space, because each cone is; every 1-Lipschitz function
    is one of these, with enough anchors (McShane, 1934; Whitney, 1934).  It needs no penalty
    (`ByConstruction()`), so its gap is a lower bound of W1 between the batches at hand.  It is
    exact between finite laws with anchors at the points of one of them, at home in low dimension
    and discrete spaces, and no replacement of a network in high dimension.

    Arguments:
        space: the metric space.
        anchors: a batch of points where the cones stand; copied.  Real numbers are trained,
            integers stay.
        heights: `(n,)`; 0 by default.
        envelope: "upper" puts peaks at the anchors (place them at real points, where the critic
            is high), "lower" funnels (place them at generated points).
    """

    def __init__(
        self,
        space: MetricSpace,
        anchors: Points,
        heights: Tensor | None = None,
        *,
        envelope: str = "upper",
    ) -> None:
        super().__init__()
        count = batch_size(anchors)
        if envelope not in ("upper", "lower"):
            raise SettingError(f'envelope is "upper" or "lower"; got {envelope!r}')
        if heights is not None and heights.shape != (count,):
            raise SettingError(
                f"{count} anchors need {count} heights; got shape {tuple(heights.shape)}"
            )
        self.space, self.sign = space, 1.0 if envelope == "upper" else -1.0
        self.form = rebuild(anchors, (part[:0] for part in leaves(anchors)))
        self.parts = nn.ParameterList(
            nn.Parameter(part.detach().clone(), requires_grad=part.is_floating_point())
            for part in leaves(anchors)
        )
        start = next((part for part in leaves(anchors) if part.is_floating_point()), torch.zeros(1))
        given = start.new_zeros(count) if heights is None else heights.detach().clone()
        self.heights = nn.Parameter(given)

    @property
    def anchors(self) -> Points:
        """The anchors, in the form they were given."""
        return rebuild(self.form, self.parts)

    def forward(self, points: Points) -> Tensor:
        """Return `(B,)`."""
        # Only the active cone of each point takes part in the gradient, so all others are found
        # without one, and in whatever way the space does it fastest.
        with torch.no_grad():
            table = pairwise(self.space, points, self.anchors)
            active = (self.sign * self.heights - table).argmax(1)
        distance = self.space.distance(points, pick(self.anchors, active))
        return self.heights[active] - self.sign * distance
