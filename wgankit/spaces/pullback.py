"""Latent vectors under the distance of what they decode to."""

from __future__ import annotations

from collections.abc import Callable
from typing import final

import torch
from torch import Tensor, nn

from wgankit.errors import SettingError, ShapeError
from wgankit.space import Points, SmoothSpace, leaves, pairwise, safe_norm, straight


@final
class Pullback(SmoothSpace):
    """Latent vectors `(B, k)` with d(x, y) = scale * |decoder(x) - decoder(y)|_2.

    Arguments:
        decoder: latent vectors -> arrays `(B, ...)` of at least k numbers, each from its own
            vector alone (in eval mode, if it has dropout or batch normalisation), and one-to-one
            on the points that occur.  A module is moved to where the points are.
        scale: how many units of distance one unit of the decoded numbers is, > 0.
        ridge: added to the squared length of every latent direction, >= 0; give a small one where
            the decoder flattens directions, because a slope along them is infinite.

    The dual norm is sqrt(g' (J'J + ridge)^-1 g) / scale with the decoder's Jacobian J: for a critic
    of the decoded points it is the length of that part of its gradient which is tangential to the
    decoded surface.  The Jacobian is taken as it is, without a derivative of its own.

    Two metrics meet here, and they agree for linear decoders.  Slopes are those of the length of
    paths on the decoded surface; `distance`, and W1 with it, is the straight chord between decoded
    points, which is at most that length.  A critic whose slopes are at most 1 is therefore
    1-Lipschitz for paths and may exceed 1 between the ends of a chord.  `interpolate` is
    straight in the latent, which is a shortest path only if the decoder is linear.

    Raises:
        SettingError: from `dual_norm`, if `ridge` is 0 and the Jacobian loses rank at a point, or
            shrinks a direction some 1e5 times as much as another; looking costs one wait on a GPU.
    """

    def __init__(
        self, decoder: Callable[[Tensor], Tensor], *, scale: float = 1.0, ridge: float = 0.0
    ) -> None:
        if not callable(decoder):
            raise SettingError(f"decoder is a function of latent vectors; got {decoder!r}")
        if not scale > 0:
            raise SettingError(f"scale is a number > 0; got {scale}")
        if not ridge >= 0:
            raise SettingError(f"ridge is a number >= 0, such as 1e-6; got {ridge}")
        self.decoder = decoder
        self.device: torch.device | None = None
        self.scale = float(scale)
        self.ridge = float(ridge)

    def decoded(self, points: Points) -> Tensor:
        """Return what the points decode to, as rows `(B, D)`."""
        x = _latent(points)
        self._follow(x.device)
        return self.decoder(x).flatten(1)

    def _follow(self, device: torch.device) -> None:
        if device != self.device and isinstance(self.decoder, nn.Module):
            self.decoder.to(device)
        self.device = device

    def jacobian(self, points: Points) -> Tensor:
        """Return the decoder's Jacobians `(B, D, k)`, detached."""
        x = _latent(points).detach()
        self._follow(x.device)

        def column(direction: Tensor) -> Tensor:
            change: Tensor = torch.func.jvp(self.decoder, (x,), (direction.expand_as(x),))[1]
            return change.flatten(1)

        axes = torch.eye(x.shape[1], dtype=x.dtype, device=x.device)
        columns: Tensor = torch.func.vmap(column, out_dims=-1)(axes)
        return columns.detach()

    def distance(self, x: Points, y: Points) -> Tensor:
        """Return scale * |decoder(x) - decoder(y)|, `(B,)`."""
        return safe_norm(self.decoded(x) - self.decoded(y)) * self.scale

    def interpolate(self, x: Points, y: Points, t: Tensor) -> Points:
        """Return (1 - t) x + t y."""
        return straight(x, y, t)

    def dual_norm(self, x: Points, gradient: Points) -> Tensor:
        """Return sqrt(g' (J'J + ridge)^-1 g) / scale, `(B,)`."""
        g = leaves(gradient)[0]
        factor = self._factor(self.jacobian(x)).to(g.dtype)
        solved = torch.linalg.solve_triangular(factor, g.unsqueeze(-1), upper=False)
        return safe_norm(solved) / self.scale

    def _factor(self, jacobian: Tensor) -> Tensor:
        """Return the Cholesky factors of J'J + ridge in float64: squaring J halves its digits."""
        wide = jacobian.double()
        one = torch.eye(wide.shape[2], dtype=wide.dtype, device=wide.device)
        square = wide.mT @ wide + self.ridge * one
        factor: Tensor
        factor, failed = torch.linalg.cholesky_ex(square)
        if self.ridge == 0:
            rounding = max(torch.finfo(jacobian.dtype).eps ** 2, torch.finfo(wide.dtype).eps)
            # Elimination amplifies what rounding leaves of a direction that is lost.
            least = 1e4 * len(one) * rounding * square.diagonal(dim1=1, dim2=2).amax(1)
            pivots = factor.diagonal(dim1=1, dim2=2).square().amin(1)
            _refuse_flat((failed > 0) | ~(pivots > least))
        return factor


def _refuse_flat(flat: Tensor) -> None:
    if bool(flat.any()):
        raise SettingError(
            f"the decoder flattens a direction at {int(flat.sum())} of {len(flat)} points, where "
            "a slope would be infinite; give Pullback(decoder, ridge=1e-6), or a decoder of more "
            "numbers"
        )


def _latent(points: Points) -> Tensor:
    given = leaves(points)[0]
    if given.dim() != 2:
        raise ShapeError(f"latent points are vectors (B, k); got shape {tuple(given.shape)}")
    return given


@pairwise.register(Pullback)
def _table(space: Pullback, x: Points, y: Points, block: int = 65_536) -> Tensor:
    left, right = space.decoded(x), space.decoded(y)
    return torch.cdist(left, right, compute_mode="donot_use_mm_for_euclid_dist") * space.scale
