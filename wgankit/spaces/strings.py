"""Strings under the Levenshtein distance."""

from __future__ import annotations

from typing import NamedTuple, final

import torch
from torch import Tensor

from wgankit.errors import DataError, SettingError, ShapeError
from wgankit.space import MetricSpace, Points, leaves, pairwise


@final
class Strings(MetricSpace):
    """Strings of letters 1..letters; d counts letters inserted, deleted or replaced (Levenshtein).

    Points are integer tensors `(B, L)`: a string of at most L letters, then zeros, which stand for
    nothing.  A critic is 1-Lipschitz if and only if no single edit changes it by more than 1,
    so slopes are taken across single edits.

    Arguments:
        letters: how many letters there are, at least 2.

    A zero inside a string, or a number that is no letter, is a `DataError` on the processor, where
    looking costs nothing; on a GPU it would make every call wait, so call `check(data)` there once.

    Distances take L steps over the whole batch (Wagner and Fischer's table, row by row).
    """

    def __init__(self, letters: int) -> None:
        if letters < 2:
            raise SettingError(f"strings need at least 2 letters; got letters={letters}")
        self.letters = int(letters)

    def check(self, points: Points) -> None:
        """Raise `DataError` unless every point is letters 1..letters followed by zeros."""
        given = leaves(points)[0]
        late = (given[:, 1:] != 0) & (given[:, :-1] == 0)
        unknown = (given < 0) | (given > self.letters)
        if bool(late.any() | unknown.any()):
            wrong = late.any(1) | unknown.any(1)
            place = int(wrong.nonzero()[0])
            raise DataError(
                f"{int(wrong.sum())} of {len(given)} points are not strings, the first of them "
                f"point {place}, {given[place].tolist()}: letters are numbers 1..{self.letters}, "
                "and zeros stand only behind the last letter"
            )

    def _rows(self, points: Points) -> Tensor:
        given = leaves(points)[0]
        if given.is_floating_point() or given.is_complex() or given.dim() != 2:
            raise ShapeError(
                f"points of Strings are integers (B, L), zeros behind the last letter; got shape "
                f"{tuple(given.shape)} of {given.dtype}"
            )
        if given.device.type == "cpu":
            self.check(given)
        return given.long()

    def distance(self, x: Points, y: Points) -> Tensor:
        """Return the least number of insertions, deletions and replacements, `(B,)`."""
        a, b = self._rows(x), self._rows(y)
        ends = (a > 0).sum(1)
        last = row = _first_row(b)
        for place in range(a.shape[1]):
            row = _next_row(row, a[:, place], b)
            last = torch.where((ends == place + 1)[:, None], row, last)
        found = last.gather(1, (b > 0).sum(1, keepdim=True))[:, 0]
        return found.to(torch.get_default_dtype())

    def segment(self, x: Points, y: Points, t: Tensor) -> tuple[Points, Points]:
        """Return the two ends of one edit of a shortest script from x to y, near fraction t.

        The script is a random one of the shortest, in a random order in which deletions come before
        insertions, so that no string on the way is longer than x and y.  Where x = y a
        random letter is replaced by another (the empty string gets a letter).
        """
        a, b = self._rows(x), self._rows(y)
        columns = _alignment(a, b)
        edit = columns.before != columns.after
        count = edit.sum(1, keepdim=True)
        order = _order(columns, edit)
        step = (count * t.to(order)[:, None]).long().minimum(count - 1).clamp_min(0)
        now = order.sort(1).values.gather(1, step)
        u, v = (
            _close_up(torch.where(done, columns.after, columns.before), a.shape[1])
            for done in (edit & (order < now), edit & (order <= now))
        )
        form = leaves(x)[0].dtype
        return u.to(form), torch.where(count > 0, v, self._replaced(a)).to(form)

    def _replaced(self, a: Tensor) -> Tensor:
        """Return the strings with a random letter replaced by another one."""
        length = (a > 0).sum(1, keepdim=True)
        place = (torch.rand(length.shape, device=a.device) * length).long()
        old = a.gather(1, place)
        shift = torch.randint(1, self.letters, old.shape, device=a.device)
        return a.scatter(1, place, (old - 1 + shift) % self.letters + 1)


def _first_row(b: Tensor) -> Tensor:
    """Return distances `(B, L + 1)` from the empty string to the beginnings of b."""
    return torch.arange(b.shape[1] + 1, device=b.device).expand(len(b), -1)


def _next_row(row: Tensor, letter: Tensor, b: Tensor) -> Tensor:
    """Return the distances to the beginnings of b after one more letter.

    Deleting and replacing look one row back.  Inserting looks along the row itself: the least of
    row[k] + (j - k) over k <= j is a running minimum of row[k] - k.
    """
    replaced = row[:, :-1] + (letter[:, None] != b)
    best = torch.cat([row[:, :1], torch.minimum(row[:, 1:], replaced - 1)], 1) + 1
    along = torch.arange(row.shape[1], device=row.device)
    return torch.cummin(best - along, 1).values + along


class _Columns(NamedTuple):
    """Two strings one over the other, `(B, 2 L)` each: 0 over a letter is an insertion."""

    before: Tensor
    after: Tensor


_PAIR, _DELETE, _INSERT = 1, 2, 4


def _alignment(a: Tensor, b: Tensor) -> _Columns:
    """Return a random one of the alignments with the fewest edits."""
    wide = a.shape[1] + 1
    ways = _ways(a, b).flatten(1)
    i, j = (a > 0).sum(1, keepdim=True), (b > 0).sum(1, keepdim=True)
    liked = torch.randint(8, (len(a), 2 * (wide - 1)), device=a.device, dtype=ways.dtype)
    before, after = [], []
    # From the ends of both strings to their beginnings, on a way that is liked where there is one.
    for wanted in torch.split(liked, 1, dim=1):
        way = ways.gather(1, i * wide + j)
        way = torch.where((way & wanted) > 0, way & wanted, way)
        pair, delete = (way & _PAIR) > 0, (way & _DELETE) > 0
        up, left = pair | delete, pair | ((way > 0) & ~delete)
        before.append(a.gather(1, (i - 1).clamp_min(0)) * up)
        after.append(b.gather(1, (j - 1).clamp_min(0)) * left)
        i, j = i - up.long(), j - left.long()
    return _Columns(torch.cat(before[::-1], 1), torch.cat(after[::-1], 1))


def _ways(a: Tensor, b: Tensor) -> Tensor:
    """Return the last steps of shortest scripts between all beginnings, `(B, L + 1, L + 1)`.

    Each number is the sum of those of `_PAIR` (two letters, equal or not), `_DELETE` and `_INSERT`
    that may come last; it is 0 between empty strings.
    """
    rows = [_first_row(b)]
    for place in range(a.shape[1]):
        rows.append(_next_row(rows[-1], a[:, place], b))
    table = torch.stack(rows, 1)
    ways = torch.zeros_like(table, dtype=torch.uint8)
    differ = a[:, :, None] != b[:, None, :]
    ways[:, 1:, 1:] += _PAIR * (table[:, :-1, :-1] + differ == table[:, 1:, 1:])
    ways[:, 1:] += _DELETE * (table[:, :-1] + 1 == table[:, 1:])
    ways[:, :, 1:] += _INSERT * (table[:, :, :-1] + 1 == table[:, :, 1:])
    return ways


def _order(columns: _Columns, edit: Tensor) -> Tensor:
    """Return numbers that grow in the order of the edits; what is no edit comes last."""
    draw = torch.rand(edit.shape, device=edit.device, dtype=torch.float64)
    inserts, deletes = columns.before == 0, columns.after == 0
    replaces = edit & ~inserts & ~deletes
    return torch.where(replaces, 2 * draw, draw + (inserts & edit)) + 3 * ~edit


def _close_up(letters: Tensor, width: int) -> Tensor:
    """Move the zeros behind the letters and cut to a width."""
    order = torch.argsort((letters == 0).byte(), dim=1, stable=True)
    return letters.gather(1, order)[:, :width].contiguous()


@pairwise.register(Strings)
def _table(space: Strings, x: Points, y: Points, block: int = 65_536) -> Tensor:
    a, b = space._rows(x), space._rows(y)
    if a.shape[1] > 63:
        table: Tensor = pairwise.dispatch(MetricSpace)(space, x, y, block)
        return table
    rows = max(1, block // max(len(b), 1))
    parts = [_by_bits(some, b, space.letters) for some in torch.split(a, rows)]
    return torch.cat(parts).to(torch.get_default_dtype())


def _by_bits(a: Tensor, b: Tensor, letters: int) -> Tensor:
    """Return the table `(n, m)` of distances between strings of at most 63 letters.

    The bits of one integer hold the differences of a whole column of Wagner and Fischer's table
    (Myers, Journal of the ACM 46, 1999, as Hyyro, 2003, writes it for the Levenshtein distance).
    """
    long_a, long_b = (a > 0).sum(1, keepdim=True), (b > 0).sum(1)
    bits = 1 << torch.arange(a.shape[1], device=a.device)
    where = torch.stack([((a == letter) * bits).sum(1) for letter in range(letters + 1)], 1)
    last = 1 << (long_a - 1).clamp_min(0)
    score = long_a.repeat(1, len(b))
    up, down = torch.full_like(score, -1), torch.zeros_like(score)
    for place in range(b.shape[1]):
        same = where[:, b[:, place]]
        level = (((same & up) + up) ^ up) | same
        more, less = down | ~(level | up), up & level
        change = ((more & last) != 0).long() - ((less & last) != 0).long()
        score += change * (long_b > place)
        more, less = (more << 1) | 1, less << 1
        up, down = less | ~(same | down | more), more & (same | down)
    return torch.where(long_a == 0, long_b, score)
