"""Vectors under a quadratic form: Mahalanobis distances, weighted axes."""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor

from wgankit.errors import SettingError, ShapeError
from wgankit.space import Points, SmoothSpace, leaves, pairwise, safe_norm, straight


@final
class Quadratic(SmoothSpace):
    """Arrays `(B, ...)` of n numbers each, with d(x, y) = sqrt((x - y)' A (x - y)).

    With A the inverse of a covariance it is the Mahalanobis distance; with A = diag(1, e^2) and a
    small e, leaving the first axis is cheap, and the best critic points along it.

    Arguments:
        matrix: A, symmetric and positive definite, `(n, n)`.

    Raises:
        SettingError: if A is not square, not symmetric, or not positive definite.

    The dual norm is sqrt(g' A^-1 g).  Both are Euclidean norms after a Cholesky factor L of A,
    kept in float64: d = |L' (x - y)|, and the dual norm is |L^-1 g|.
    """

    def __init__(self, matrix: Tensor) -> None:
        given = torch.as_tensor(matrix).detach().double()
        if given.dim() != 2 or given.shape[0] != given.shape[1] or not len(given):
            raise SettingError(
                f"a quadratic form needs a square matrix (n, n); got shape {tuple(given.shape)}"
            )
        if not torch.allclose(given, given.T, rtol=1e-6, atol=1e-12 * float(given.abs().max())):
            raise SettingError("a quadratic form needs a symmetric matrix: (A + A.T) / 2 is one")
        factor, failed = torch.linalg.cholesky_ex((given + given.T) / 2)
        if int(failed) or not bool(torch.isfinite(factor).all()):
            smallest = float(torch.linalg.eigvalsh(given).min()) if given.isfinite().all() else None
            raise SettingError(
                f"a quadratic form needs a positive definite matrix; the smallest eigenvalue is "
                f"{smallest}; add a multiple of the identity: A + 1e-3 * torch.eye({len(given)})"
            )
        self.matrix = given
        one = torch.eye(len(given), dtype=given.dtype, device=given.device)
        self._exact = factor, torch.linalg.solve_triangular(factor, one, upper=False).T.contiguous()
        self._near = self._exact

    @torch.inference_mode(False)
    def _factors(self, like: Tensor) -> tuple[Tensor, Tensor]:
        """Return L and L'^-1 where and as the points are."""
        if self._near[0].device != like.device or self._near[0].dtype != like.dtype:
            self._near = self._exact[0].to(like), self._exact[1].to(like)
        return self._near

    def _rows(self, points: Points) -> Tensor:
        rows = leaves(points)[0]
        rows = rows.reshape(len(rows), -1)
        if rows.shape[1] != len(self.matrix):
            raise ShapeError(
                f"a form on {len(self.matrix)} numbers measures points (B, {len(self.matrix)}); "
                f"got {rows.shape[1]} numbers each"
            )
        return rows

    def distance(self, x: Points, y: Points) -> Tensor:
        """Return |L' (x - y)|, `(B,)`."""
        apart = self._rows(x) - self._rows(y)
        return safe_norm(apart @ self._factors(apart)[0])

    def interpolate(self, x: Points, y: Points, t: Tensor) -> Points:
        """Return (1 - t) x + t y."""
        return straight(x, y, t)

    def dual_norm(self, x: Points, gradient: Points) -> Tensor:
        """Return |L^-1 gradient|, `(B,)`."""
        rows = self._rows(gradient)
        return safe_norm(rows @ self._factors(rows)[1])


@pairwise.register(Quadratic)
def _table(space: Quadratic, x: Points, y: Points, block: int = 65_536) -> Tensor:
    left, right = space._rows(x), space._rows(y)
    # Seen from one of the points, so that a cloud far from the origin keeps its digits.
    factor, origin = space._factors(left)[0], left[:1].detach()
    left, right = (left - origin) @ factor, (right - origin) @ factor
    return torch.cdist(left, right, compute_mode="donot_use_mm_for_euclid_dist")
