"""What squared errors alone teach: the baseline of restored pictures, and figures beside it.

A network of the recipes' default sizes, without noise, learns to come near the true picture.  It
wins by PSNR and it blurs, because the nearest picture to all that could be true is their mean.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict, defaultdict
from collections.abc import Sequence
from itertools import combinations

import numpy as np
import torch
from torch import Tensor, nn

from wgankit.state import seeded
from wgankit_images.aside import known
from wgankit_images.encoding import Pair, Picture, from_bytes, stack
from wgankit_images.metrics import compare, psnr
from wgankit_images.networks import halved
from wgankit_images.spaces import to_bytes, to_numbers
from wgankit_images.translation import Translator, enlarged

STEPS, BATCH, RATE = 150, 32, 2e-3
"""How it is trained: more steps on a few hundred pictures raise the error on others."""

KEPT = 4
"""How many trained networks a process keeps."""


def shrunk(pictures: Sequence[Picture], factor: int) -> list[Pair]:
    """Return pictures as pairs with what they are when averaged down."""
    pixels = stack(pictures)
    small = from_bytes(halved(pixels, factor).round().to(torch.uint8))
    return [Pair(*both) for both in zip(small, pictures, strict=True)]


def train_squares(
    given: Tensor, pictures: Tensor, *, seed: int = 0, steps: int = STEPS
) -> nn.Module:
    """Return a network (given, ) -> (picture, given) with the least squared error it learns.

    Arguments:
        given: `(N, G, s, s)` in [-1, 1].
        pictures: `(N, C, S, S)` in [-1, 1].
        seed: of all that is drawn; the same pictures and seed give the same network.
        steps: updates.

    Turned and mirrored copies of the pictures are drawn as often as the pictures.
    """
    factor = pictures.shape[-1] // given.shape[-1]
    with seeded(seed), torch.enable_grad():
        network = Translator(
            pictures.shape[-1],
            pictures.shape[1],
            given=given.shape[1],
            factor=factor,
            noise=0,
            consistent=factor > 1,
        )
        optimizer = torch.optim.Adam(network.parameters(), lr=RATE)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
        for _ in range(steps):
            index = torch.randint(len(pictures), (min(BATCH, len(pictures)),))
            quarters, mirrored = torch.randint(4, ()).item(), torch.randint(2, ()).item()
            some, wanted = (_turned(each[index], quarters, mirrored) for each in (given, pictures))
            loss = (network((some,))[0] - wanted).square().mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    return network.eval().requires_grad_(False)


def _turned(pictures: Tensor, quarters: float, mirrored: float) -> Tensor:
    turned = pictures.rot90(int(quarters), (2, 3))
    return turned.flip(3) if mirrored else turned


_known: OrderedDict[str, nn.Module] = OrderedDict()


def squares_of(given: Tensor, pictures: Tensor) -> nn.Module:
    """Return the network that squared errors teach, from memory where it was taught before."""
    key = hashlib.sha256(given.numpy().tobytes() + pictures.numpy().tobytes()).hexdigest()
    if key not in _known:
        _known[key] = train_squares(given, pictures)
        while len(_known) > KEPT:
            _known.popitem(last=False)
    _known.move_to_end(key)
    return _known[key]


@torch.no_grad()
def by_squares(given: Tensor, training: Sequence[Pair]) -> Tensor:
    """Return what the network that squared errors teach makes of given pictures.

    Arguments:
        given: bytes `(N, G, s, s)`.
        training: pairs to learn from.

    Returns:
        Bytes `(N, C, S, S)`.
    """
    small, pictures = stack([each.given for each in training]), stack(_made(training))
    network = squares_of(small / 127.5 - 1, pictures / 127.5 - 1)
    return to_bytes(network((to_numbers(given),))[0])


def _made(pairs: Sequence[Pair]) -> list[Picture]:
    return [each.picture for each in pairs]


def judge_restored(
    objects: Sequence[Pair], training: Sequence[Pair], held_out: Sequence[Picture]
) -> dict[str, float]:
    """Return figures of restored pictures; `_squares` marks those of the least-squares network.

    Arguments:
        objects: restored pictures.
        training: pairs (given, picture) that were trained on.
        held_out: real pictures.

    Returns:
        "psnr" in dB, where the truth is known; "consistency", how far in grey levels a picture
        averaged down is from the given one, where that is smaller; "variety", how far in grey
        levels pictures made from the same one are apart; and the figures of
        `wgankit_images.metrics.compare`.
    """
    found = _errors(objects, training)
    found["variety"] = variety(objects)
    if objects[0].given.shape[0] < objects[0].picture.shape[0]:
        found["consistency"] = inconsistency(objects)
    if not len(held_out):
        return found
    learnt, made = stack(_made(training)), stack(_made(objects))
    blurred = by_squares(stack([each.given for each in objects]), training).float()
    theirs = compare(blurred, stack(held_out), learnt)
    found |= compare(made, stack(held_out), learnt)
    found |= {f"{name}_squares": theirs[name] for name in ("fid", "spectrum") if name in theirs}
    return found


def _errors(objects: Sequence[Pair], training: Sequence[Pair]) -> dict[str, float]:
    given, made, truths = known(objects)
    if not truths:
        return {}
    truth, small = stack(truths), stack(given)
    found = {"psnr": psnr(stack(made), truth), "psnr_squares": 0.0}
    found["psnr_squares"] = psnr(by_squares(small, training).float(), truth)
    factor = truth.shape[-1] // small.shape[-1]
    if factor > 1:
        found["psnr_bicubic"] = psnr(enlarged(small, factor).round().clamp(0, 255), truth)
    return found


def inconsistency(objects: Sequence[Pair]) -> float:
    """Return how far, in grey levels, pictures averaged down are from the given ones."""
    made, given = stack(_made(objects)), stack([each.given for each in objects])
    return float((halved(made, made.shape[-1] // given.shape[-1]) - given).abs().mean())


def variety(objects: Sequence[Pair]) -> float:
    """Return the root mean square, in grey levels, between pictures made from the same one."""
    alike: dict[bytes, list[Picture]] = defaultdict(list)
    for each in objects:
        alike[each.given.tobytes()].append(each.picture)
    squares = [
        np.square(one.astype(float) - other).mean()
        for group in alike.values()
        for one, other in combinations(group[:4], 2)
    ]
    return float(np.sqrt(np.mean(squares))) if squares else 0.0
