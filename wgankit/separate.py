"""Critics score each point on its own, or their slopes mean nothing."""

from __future__ import annotations

import torch
from torch import nn
from torch.func import functional_call

from wgankit.errors import SettingError
from wgankit.space import Points, batch_size, leaves, pick
from wgankit.state import seeded


@torch.no_grad()
def check_separate(critic: nn.Module, points: Points) -> None:
    """Raise `SettingError` if a critic's score of one point depends on the others of its batch.

    Found by running the critic as it will be trained: one point of the batch is replaced, and the
    scores of the others must stay.  Buffers and random numbers are left as they were.
    """
    count = batch_size(points)
    first = leaves(points)[0]
    others = torch.arange(count, device=first.device)
    others[-1] = 0
    scores = []
    for batch in (points, pick(points, others)):
        buffers = {name: buffer.clone() for name, buffer in critic.named_buffers()}
        with seeded(0, first.device):
            scores.append(functional_call(critic, buffers, (batch,))[:-1])
    change = (scores[0] - scores[1]).abs().amax()
    if bool(change > 1e-3 * scores[0].abs().amax().clamp_min(1e-30)):
        raise SettingError(
            "the critic's score of a point depends on the other points of the batch (is there a "
            "BatchNorm in it?), so its slope at a point has no meaning; use LayerNorm, or "
            "no normalisation, in critics"
        )
