"""SMILES strings as rows of small numbers, and back; nothing here needs rdkit.

A token is an atom, a bracket atom, a bond, a parenthesis or a ring number.  The tokens of a set of
molecules are learnt from it, so a row of numbers and the list of tokens are all that a machine
without chemistry has to have in order to train on molecules.
"""

from __future__ import annotations

import re
import zlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from wgankit.domain import Encoded, Vocabulary
from wgankit.errors import DataError

Rows = NDArray[np.uint8]

END = 0
"""Number of what follows the last token of a string, to the end of its row."""

LONGEST = 128
"""Tokens of the longest string that is taken unless told otherwise."""

MOST_TOKENS = 254
"""Tokens that a vocabulary can hold: a number is a byte, and decoders begin with one of their own.
"""

NOT_A_STRING = "not a string"
NOT_TOKENS = "characters that are no SMILES tokens"
EMPTY = "an empty string"
UNKNOWN_TOKEN = "a token that the vocabulary lacks"

_TOKEN = re.compile(r"\[[^\[\]]+\]|Br|Cl|[BCNOPSFI]|[bcnops]|%\d\d|%\(\d+\)|\d|[-=#$:~*./\\()>@+]")


def split(smiles: str) -> list[str]:
    """Return the tokens of a SMILES string, in order; an empty list if it is none of tokens.

    Joined, they are the string again.
    """
    found = _TOKEN.findall(smiles)
    return found if sum(map(len, found)) == len(smiles) else []


def encode_tokens(
    smiles: Sequence[object],
    vocabulary: Vocabulary | None = None,
    *,
    largest: int | None = None,
    rarest: int = 1,
) -> Encoded:
    """Turn SMILES strings into rows of numbers, learning the vocabulary unless one is given.

    Arguments:
        smiles: strings, taken as they are written.
        vocabulary: what an earlier call returned; strings that do not fit into it are skipped.
        largest: strings of more tokens are skipped; `LONGEST` if neither this nor a vocabulary is
            given.
        rarest: a token must occur in at least this many of the strings to enter a new vocabulary;
            strings with rarer tokens are skipped.

    Returns:
        Rows uint8 `(n, length)` on the CPU: 1 and up for the vocabulary's "tokens" in their order,
        then `END`.  The vocabulary holds "tokens" (the commonest first), "counts" (how often each
        one occurs) and "length" (of the rows: the longest string's tokens).

    Raises:
        DataError: no string is left, or there are more than 254 tokens.
    """
    limit = largest or LONGEST
    if vocabulary is not None:
        limit = min(largest or vocabulary["length"], vocabulary["length"])
    spelt, kept, skipped = _spelt(smiles, limit)
    known = set(vocabulary["tokens"]) if vocabulary else _common(spelt, rarest)
    fitting = [known.issuperset(tokens) for tokens in spelt]
    left_out = len(fitting) - sum(fitting)
    if left_out:
        skipped[UNKNOWN_TOKEN] += left_out
    chosen = [tokens for tokens, fits in zip(spelt, fitting, strict=True) if fits]
    if not chosen:
        raise DataError(_nothing_left(len(smiles), skipped))
    vocabulary = vocabulary or _learn(chosen)
    places = [place for place, fits in zip(kept, fitting, strict=True) if fits]
    return Encoded(torch.from_numpy(_rows(chosen, vocabulary)), vocabulary, places, skipped)


def _spelt(
    smiles: Iterable[object], limit: int
) -> tuple[list[tuple[str, ...]], list[int], Counter[str]]:
    spelt: list[tuple[str, ...]] = []
    kept: list[int] = []
    skipped: Counter[str] = Counter()
    for place, text in enumerate(smiles):
        tokens = split(text) if isinstance(text, str) else []
        if tokens and len(tokens) <= limit:
            spelt.append(tuple(tokens))
            kept.append(place)
        elif tokens:
            skipped[f"more than {limit} tokens"] += 1
        elif not isinstance(text, str):
            skipped[NOT_A_STRING] += 1
        else:
            skipped[NOT_TOKENS if text else EMPTY] += 1
    return spelt, kept, skipped


def _common(spelt: Iterable[tuple[str, ...]], rarest: int) -> set[str]:
    spread = Counter(token for tokens in spelt for token in set(tokens))
    return {token for token, count in spread.items() if count >= rarest}


def _learn(spelt: Sequence[tuple[str, ...]]) -> Vocabulary:
    counts = Counter(token for tokens in spelt for token in tokens)
    if len(counts) > MOST_TOKENS:
        raise DataError(
            f"the strings have {len(counts)} different tokens, and at most {MOST_TOKENS} are "
            "possible; leave out the rare ones with rarest=..."
        )
    tokens = sorted(counts, key=lambda token: (-counts[token], token))
    return {
        "tokens": tokens,
        "counts": [counts[token] for token in tokens],
        "length": max(map(len, spelt)),
    }


def _rows(spelt: Sequence[tuple[str, ...]], vocabulary: Vocabulary) -> Rows:
    number = {token: place for place, token in enumerate(vocabulary["tokens"], start=1)}
    rows = np.full((len(spelt), vocabulary["length"]), END, np.uint8)
    lengths = np.fromiter(map(len, spelt), np.int64, len(spelt))
    inside = np.arange(rows.shape[1]) < lengths[:, None]
    every = (number[token] for tokens in spelt for token in tokens)
    rows[inside] = np.fromiter(every, np.uint8, int(lengths.sum()))
    return rows


def _nothing_left(given: int, skipped: Mapping[str, int]) -> str:
    reasons = "; ".join(f"{count} {reason}" for reason, count in sorted(skipped.items()))
    return (
        f"none of the {given} strings can be used ({reasons or 'the list is empty'}); "
        "give SMILES strings, such as 'c1ccccc1O'"
    )


def decode_tokens(rows: Tensor, vocabulary: Vocabulary) -> list[str]:
    """Return the strings of rows `(n, length)` of numbers; each ends at its first `END`."""
    table = ["", *vocabulary["tokens"]]
    content = rows.to("cpu", torch.uint8).numpy()
    return ["".join([table[number] for number in _cut(row.tobytes())]) for row in content]


def _cut(row: bytes) -> bytes:
    return row.split(b"\0", 1)[0]


def lengths(rows: Tensor) -> Tensor:
    """Return how many tokens rows `(n, length)` have before their first `END`, `(n,)`."""
    return (rows == END).cumsum(1).eq(0).sum(1)


def packed(rows: Tensor) -> bytes:
    """Return rows of numbers as few bytes, for a file or the way to another machine."""
    length = rows.shape[1].to_bytes(2, "big")
    return length + zlib.compress(rows.contiguous().numpy().tobytes(), 9)


def unpacked(content: bytes) -> Tensor:
    """Return the rows that `packed` packed.

    Raises:
        DataError: the bytes are damaged.
    """
    try:
        numbers = np.frombuffer(zlib.decompress(content[2:]), np.uint8)
        return torch.from_numpy(numbers.reshape(-1, int.from_bytes(content[:2], "big")).copy())
    except (zlib.error, ValueError) as error:
        raise DataError(f"these are no packed tokens: {error}") from error
