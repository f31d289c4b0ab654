"""Laws with a known W1 and a known best critic in any dimension (Korotin et al., NeurIPS 2022)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

HALF = 2.5
POWER = 8


class Korotin:
    """A uniform law on a cube, and the law it becomes when points slide towards their anchors.

    Arguments:
        dimension: of the space.
        anchors: how many funnels.
        seed: of the anchors and their offsets.

    The potential u(x) = min_n |x - a_n| + b_n falls with slope 1 towards the active anchor.  Each
    point y of the cube [-2.5, 2.5]^D slides down its ray to x, a fraction t^8 of the way to where
    the ray leaves its funnel or the cube, if y stands at fraction t.  So W1 = E |x - y| =
    E u(y) - E u(x), and -u is a best critic between the law of x ("real") and that of y ("fake").
    """

    def __init__(self, dimension: int, anchors: int, seed: int) -> None:
        # Far from the seeds of training: the same stream would start networks at the anchors.
        made = torch.Generator().manual_seed(1_000_000 + seed)
        self.dimension = dimension
        self.anchors = HALF * (2 * torch.rand(anchors, dimension, generator=made) - 1)
        self.offsets = 0.1 * torch.randn(anchors, generator=made)
        self.apart = torch.cdist(self.anchors, self.anchors).square()

    def fake(self, count: int) -> Tensor:
        """Return points y of the cube, `(count, D)`."""
        return HALF * (2 * torch.rand(count, self.dimension) - 1)

    def real(self, count: int) -> Tensor:
        """Return points x, independent of those of `fake`."""
        return self.slide(self.fake(count))

    def potential(self, x: Tensor) -> Tensor:
        """Return u, `(B,)`."""
        return self._cones(x).amin(1)

    def best_gradient(self, x: Tensor) -> Tensor:
        """Return the gradient of the critic -u, `(B, D)`."""
        away = self.anchors[self._cones(x).argmin(1)] - x
        return nn.functional.normalize(away, dim=1)

    def slide(self, y: Tensor) -> Tensor:
        """Return where points of the cube go."""
        active = self._cones(y).argmin(1)
        low = self.anchors[active]
        length = torch.linalg.vector_norm(y - low, dim=1)
        ray = (y - low) / length[:, None]
        whole = torch.minimum(self._leaves_funnel(active, ray), _leaves_cube(low, ray))
        whole = torch.maximum(whole, length)
        moved: Tensor = low + ((length / whole) ** POWER * whole)[:, None] * ray
        return moved

    def w1(self, count: int = 131_072, seed: int = 1) -> float:
        """Return E |x - y| over that many points."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            # In parts, because a point meets every funnel.
            parts = [self.fake(min(count, 4096)) for _ in range(max(1, count // 4096))]
        moved = [torch.linalg.vector_norm(y - self.slide(y), dim=1).mean() for y in parts]
        return float(torch.stack(moved).mean())

    def _cones(self, x: Tensor) -> Tensor:
        exact = "donot_use_mm_for_euclid_dist"
        return torch.cdist(x, self.anchors, compute_mode=exact) + self.offsets

    def _leaves_funnel(self, active: Tensor, ray: Tensor) -> Tensor:
        # |a + s v - a'| + b' = s + b, solved for s, the least over all other funnels.
        higher = self.offsets[active][:, None] - self.offsets
        along = (self.anchors[active] * ray).sum(1, keepdim=True) - ray @ self.anchors.T
        slower = 2 * (higher - along)
        meets = (self.apart[active] - higher.square()) / slower.clamp_min(1e-9)
        never = (slower <= 1e-9) | (torch.arange(len(self.offsets)) == active[:, None])
        return torch.where(never, torch.inf, meets).amin(1)


def _leaves_cube(low: Tensor, ray: Tensor) -> Tensor:
    walls = torch.where(ray > 0, HALF - low, -HALF - low)
    return (walls / ray).amin(1)


@dataclass(frozen=True)
class Score:
    """How good a critic is.

    Arguments:
        cosine: mean cosine between its gradient and the best critic's, at real points.
        l2: mean squared distance between the two gradients.
        gap: D, over the exact W1.
    """

    cosine: float
    l2: float
    gap: float


def score(problem: Korotin, critic: nn.Module, seed: int, count: int = 4096) -> Score:
    """Return the figures of Korotin et al. at fresh points."""
    with torch.random.fork_rng(devices=[]):
        # Never the stream of the training, whose points the critic has seen.
        torch.manual_seed(2_000_000 + seed)
        x, y = problem.real(count), problem.fake(count)
    x.requires_grad_()
    scores = critic(x)
    (found,) = torch.autograd.grad(scores.sum(), x)
    best = problem.best_gradient(x.detach())
    with torch.no_grad():
        gap = scores.mean() - critic(y).mean()
    return Score(
        cosine=float(nn.functional.cosine_similarity(found, best).mean()),
        l2=float((found - best).square().sum(1).mean()),
        gap=float(gap) / problem.w1(),
    )
