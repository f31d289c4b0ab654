"""Pictures under their labels: agreement of a classifier that knows the real ones."""

from __future__ import annotations

import time
from collections.abc import Iterator

import torch

import wgankit
from benchmarks.conditions.digits import digits, painter
from benchmarks.conditions.rows import Row, least, tell
from wgankit_labels import conditional_w1, nearest_class


def pictures(quick: bool) -> Iterator[Row]:
    """Digits under their labels: does a classifier that knows the real ones agree?"""
    begun, steps, space = time.monotonic(), (600 if quick else 2_000), wgankit.Normed()
    every = digits().shuffled(0)
    train, held = every[:1_300], every[1_300:]
    made = painter(train.points(10), steps=steps, seed=0).beside(held.points(10))
    says = [
        nearest_class(space, train.pictures, train.digits, some)
        for some in (made[0], held.pictures)
    ]
    agree, floor = (float((one == held.digits).float().mean()) for one in says)
    apart = conditional_w1(space, held.points(10), made)
    # As many training pictures of each digit as there are held out.
    rows = [(train.digits == k).nonzero()[: int((held.digits == k).sum()), 0] for k in range(10)]
    spread = conditional_w1(space, held.points(10), train[torch.cat(rows)].points(10))
    tell("digits", begun)
    figures = {"agreement": agree, "of real ones": floor, "W1 within digits": apart, "real": spread}
    targets = {"agreement": least(0.85)} if quick else {"agreement": least(0.95)}
    yield Row("digits under their labels", figures, targets)
