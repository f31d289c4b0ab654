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
        self.matrix = torch.as_tensor(matrix).detach().double()
        factor = _cholesky(self.matrix)
        one = torch.eye(len(factor), dtype=factor.dtype, device=factor.device)
        inverse = torch.linalg.solve_triangular(factor, one, upper=False)
        self._exact = factor, inverse.T.contiguous()
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


def _cholesky(matrix: Tensor) -> Tensor:
    """Return L with L L' = A, or say what keeps A from being a quadratic form."""
    if matrix.dim() != 2 or matrix.shape[0] != matrix.shape[1] or not len(matrix):
        raise SettingError(
            f"a quadratic form needs a square matrix (n, n); got shape {tuple(matrix.shape)}"
        )
    largest = float(matrix.abs().max())
    if not largest < float("inf"):
        raise SettingError("a quadratic form needs a matrix of finite numbers")
    if float((matrix - matrix.T).abs().max()) > 1e-6 * largest:
        raise SettingError("a quadratic form needs a symmetric matrix: (A + A.T) / 2 is one")
    factor: Tensor
    factor, failed = torch.linalg.cholesky_ex((matrix + matrix.T) / 2)
    if int(failed):
        smallest = float(torch.linalg.eigvalsh(matrix).min())
        raise SettingError(
            f"a quadratic form needs a positive definite matrix, and the smallest eigenvalue is "
            f"{smallest:.3g}; add some of the identity: A + 1e-3 * torch.eye({len(matrix)})"
        )
    return factor


@pairwise.register(Quadratic)
def _table(space: Quadratic, x: Points, y: Points, block: int = 65_536) -> Tensor:
    left, right = space._rows(x), space._rows(y)
    # Seen from one of the points, so that a cloud far from the origin keeps its digits.
    factor, origin = space._factors(left)[0], left[:1].detach()
    left, right = (left - origin) @ factor, (right - origin) @ factor
    return torch.cdist(left, right, compute_mode="donot_use_mm_for_euclid_dist")
