"""Strings of tokens as points of a sphere, and back: a recurrent autoencoder.

The encoder reads a string forwards and backwards and looks at it through several learnt questions;
what it finds is put on a sphere of radius sqrt(n) in n dimensions, so that a coordinate is 1 in the
root mean square.  The decoder is a language model of tokens that is told the point.  In training
the point is moved by noise, so that what lies within the noise of a point decodes alike: distances
on the sphere then mean something to whoever makes points there.

How far a point was moved, its level, is drawn anew for each string, and the decoder is told it.  At
level 0 it gives strings back.  At a level above, it is a language model p(string | moved point,
level): with points drawn from the law of moved points, and tokens drawn from what it says, strings
come out in the data's own law if it has learnt that exactly.

Gated recurrent units were taken because a step of training costs far less with them on a CPU than
with attention, and on a GPU no more than a few milliseconds; figures are in docs/latent.md.

    K. Cho et al., "Learning phrase representations using RNN encoder-decoder for statistical
    machine translation", EMNLP 2014.
    R. Gomez-Bombarelli et al., "Automatic chemical design using a data-driven continuous
    representation of molecules", ACS Central Science 4, 268 (2018).
    O. Prykhodko et al., "A de novo molecular generation method using latent vector based
    generative adversarial network", J. Cheminformatics 11, 74 (2019).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple, cast, final

import torch
from torch import Tensor, nn
from torch.nn import functional

from wgankit.errors import RunError, SettingError
from wgankit.latent_networks import moved, onto_sphere
from wgankit_molecules.drawing import drawn, uniform_numbers
from wgankit_molecules.precision import PRECISIONS, in_bfloat16
from wgankit_molecules.tokens import END, lengths

AUTOENCODER: dict[str, Any] = {
    "latent": 128,
    "encoder": 192,
    "decoder": 384,
    "layers": 1,
    "questions": 8,
    "highest": 4.0,
    "clear": 0.2,
    "top": 0.0,
    "forget": 0.0,
    "sketch": 0.3,
    "epochs": 10,
    "batch": 128,
    "rate": 2e-3,
    "decay": 0.01,
    "warm_up": 100,
    "precision": "auto",
}
"""Settings of an autoencoder.

`latent` is n; `encoder` and `decoder` are widths, `layers` those of the decoder; `highest` is the
highest level that points are moved by in training, `clear` the share of strings whose points stay
where they are and `top` the share of those that are moved as far as that; `forget` is the share of
tokens that the decoder is not shown in training, so that it asks the point; `sketch` the weight of
a second, parallel guess of all tokens from the point, which teaches the encoder from the first step
on; `epochs` may be a fraction; `precision` is "bf16-mixed", "32-true" or "auto", whichever of them
multiplies faster where it is trained.
"""

SKETCH = 512
"""Width of the parallel guess."""

TOLD = 512
"""Numbers that the decoder is told of a point and its level."""

HEARD = 128
"""Numbers that a recurrent layer of the decoder takes at each token, at most.

There are few tokens, so that a layer as wide as its state would multiply mostly to no end.
"""

SPELT = 32
"""Numbers that a token is for the encoder, at most."""

WAVES = 4
"""Waves of the angle that a level is told by."""

BLOCK = 256
"""Points that are decoded together, the last ones filled up to as many.

Products of matrices of one size are rounded alike, so what a point says does not depend on how many
are decoded with it.
"""


@final
class Encoder(nn.Module):
    """Rows of tokens to vectors.

    Arguments:
        tokens: how many there are, `END` not counted.
        width: of each direction.
        questions: that the string is looked at through.
        latent: numbers out.
    """

    def __init__(self, tokens: int, *, width: int, questions: int, latent: int) -> None:
        super().__init__()
        spelt = min(width, SPELT)
        self.embed = nn.Embedding(tokens + 1, spelt)
        self.forwards = nn.GRU(spelt, width, batch_first=True)
        self.backwards = nn.GRU(spelt, width, batch_first=True)
        self.ask = nn.Linear(2 * width, questions)
        self.out = nn.Linear(questions * 2 * width, latent)

    def forward(self, rows: Tensor) -> Tensor:
        """Return `(B, latent)` of rows `(B, T)`, whatever the number of `END`s behind them."""
        rows = rows.long()
        places = torch.arange(rows.shape[1], device=rows.device)
        inside = places < lengths(rows)[:, None]
        # The string read from its own last token, so that what follows it is never read before it.
        mirrored = (lengths(rows)[:, None] - 1 - places).clamp_min(0)
        there = self.forwards(self.embed(rows))[0]
        back = self.backwards(self.embed(rows.gather(1, mirrored)))[0]
        back = back.gather(1, mirrored[:, :, None].expand_as(back))
        seen = torch.cat([there, back], 2)
        asked = self.ask(seen).float().masked_fill(~inside[:, :, None], -math.inf)
        answers = asked.softmax(1).transpose(1, 2).to(seen.dtype) @ seen
        return cast(Tensor, self.out(answers.flatten(1)).float())


@final
class Ear(nn.Module):
    """Points and their levels to what a decoder is told.

    Arguments:
        latent: numbers of a point.
    """

    def __init__(self, latent: int) -> None:
        super().__init__()
        self.hear = nn.Linear(latent + 2 * WAVES, TOLD)

    def forward(self, points: Tensor, levels: Tensor) -> Tensor:
        """Return `(B, TOLD)` numbers of points `(B, n)` and levels `(B,)`.

        A point at level s has the angle atan(s) to where it was, in the mean over the noise, and
        its cosine is the share of it that can be believed.
        """
        angles = levels.atan()[:, None]
        waves = angles * 2.0 ** torch.arange(WAVES, device=points.device)
        seen = torch.cat([points * angles.cos(), waves.cos(), waves.sin()], 1)
        return functional.gelu(self.hear(seen))


@final
class Decoder(nn.Module):
    """A language model of tokens that is told something.

    Arguments:
        tokens: how many there are, `END` not counted.
        width: of the recurrent layers.
        layers: how many.
        told: numbers that it is told.
    """

    def __init__(self, tokens: int, *, width: int, layers: int, told: int = TOLD) -> None:
        super().__init__()
        self.begin = tokens + 1
        self.layers = layers
        heard = min(width, HEARD)
        self.embed = nn.Embedding(tokens + 2, heard)
        self.hear = nn.Linear(told, heard)
        self.first = nn.Linear(told, layers * width)
        self.recur = nn.GRU(heard, width, layers, batch_first=True)
        self.norm = nn.LayerNorm(width)
        self.out = nn.Linear(width, tokens + 1)

    def state(self, told: Tensor) -> Tensor:
        """Return the states `(layers, B, width)` before the first token."""
        first = self.first(told).tanh().view(len(told), self.layers, -1)
        return cast(Tensor, first.transpose(0, 1).contiguous())

    def forward(self, told: Tensor, shown: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """Return scores `(B, T, tokens + 1)` of what follows each token shown, and the new state.

        Arguments:
            told: `(B, told)`.
            shown: tokens `(B, T)`, the first of all `begin`.
            state: before them.
        """
        heard = self.embed(shown) + self.hear(told)[:, None]
        seen, state = self.recur(heard, state.to(heard.dtype))
        return self.out(self.norm(seen)), state


class Marks(NamedTuple):
    """What a batch says of an autoencoder.

    Arguments:
        loss: to minimise.
        surprise: nats for a whole string, of the decoder that is shown the tokens before.
        whole: share of strings of which every token is guessed right.
    """

    loss: Tensor
    surprise: Tensor
    whole: Tensor


@final
class Autoencoder(nn.Module):
    """Rows of tokens to points of a sphere, and back.

    Arguments:
        tokens: how many there are, `END` not counted.
        length: of the rows.
        settings: any of `AUTOENCODER`.

    Raises:
        SettingError: a setting that there is none of, or that cannot work.
    """

    def __init__(self, tokens: int, length: int, settings: Mapping[str, Any]) -> None:
        super().__init__()
        self.settings = settings_from(settings)
        chosen = self.settings
        self.length, latent = length, chosen["latent"]
        self.encoder = Encoder(
            tokens, width=chosen["encoder"], questions=chosen["questions"], latent=latent
        )
        self.ear = Ear(latent)
        self.decoder = Decoder(tokens, width=chosen["decoder"], layers=chosen["layers"])
        self.sketch = nn.Sequential(
            nn.Linear(TOLD, SKETCH), nn.GELU(), nn.Linear(SKETCH, length * (tokens + 1))
        )

    def encode(self, rows: Tensor) -> Tensor:
        """Return the points `(B, n)` of rows `(B, T)`, of length sqrt(n)."""
        with self._precision(rows.device):
            vectors = self.encoder(rows)
        return onto_sphere(vectors)

    @torch.no_grad()
    def decode(
        self, points: Tensor, *, level: float = 0.0, temperature: float = 0.0, seed: int = 0
    ) -> Tensor:
        """Return tokens one after another, rows uint8 `(B, length)`.

        Only directions matter: a point is brought to length sqrt(n) first.

        Arguments:
            points: `(B, n)`.
            level: how far the decoder shall think that they were moved.
            temperature: tokens are drawn from the softmax of scores over this; at 0 the likeliest
                are taken.
            seed: with the points, of what is drawn (see `uniform_numbers`).
        """
        points = onto_sphere(points.float())
        chances = uniform_numbers(points, self.length, seed=seed) if temperature else None
        rows = torch.full((len(points), self.length), END, dtype=torch.uint8, device=points.device)
        shown = torch.full((len(points), 1), self.decoder.begin, device=points.device)
        live = torch.ones_like(shown, dtype=torch.bool)
        told = self.ear(points, points.new_full((len(points),), level))
        state = self.decoder.state(told)
        for place in range(self.length):
            scores, state = self.decoder(told, shown, state)
            if chances is None:
                shown = scores.argmax(2) * live
            else:
                shown = drawn(scores[:, 0] / temperature, chances[:, place])[:, None] * live
            rows[:, place] = shown[:, 0].to(torch.uint8)
            live = live & (shown != END)
            # A look at every eighth token: asking the device for it costs a little each time.
            if place % 8 == 7 and not bool(live.any()):
                break
        return rows

    def forward(self, rows: Tensor) -> Marks:
        """Return what to learn from rows `(B, T)`, of which only the tail of `END`s may be cut."""
        rows = rows.long()
        wanted = functional.pad(rows, (0, 1)) if rows.shape[1] < self.length else rows
        counted = torch.arange(wanted.shape[1], device=rows.device) <= lengths(rows)[:, None]
        points = self.encode(rows)
        levels = self.levels(len(rows)).to(rows.device)
        points = moved(points, levels)
        with self._precision(rows.device):
            shown, told = self._shown(wanted), self.ear(points, levels)
            scores, _ = self.decoder(told, shown, self.decoder.state(told))
            guess = self.sketch(told).view(len(rows), self.length, -1)[:, : wanted.shape[1]]
        surprise = surprise_of(scores, wanted, counted)
        right = (scores.argmax(2) == wanted) | ~counted
        loss = surprise + self.settings["sketch"] * surprise_of(guess, wanted, counted)
        return Marks(loss, surprise.detach(), right.all(1).float().mean())

    def levels(self, count: int) -> Tensor:
        """Return levels of a batch `(count,)`: uniform in the angle, the tangent of which they are.

        A share `clear` of them is 0, and a share `top` the highest.
        """
        highest = math.atan(self.settings["highest"])
        lot = torch.rand(count)
        stay, top = lot < self.settings["clear"], lot >= 1 - self.settings["top"]
        angles = highest * torch.rand(count).masked_fill(top, 1.0)
        return torch.tan(angles).masked_fill(stay, 0.0)

    def _shown(self, wanted: Tensor) -> Tensor:
        """Return the tokens before each wanted one, some of them forgotten."""
        before = wanted[:, :-1]
        kept = torch.rand(before.shape, device=wanted.device) >= self.settings["forget"]
        return functional.pad(before * kept, (1, 0), value=self.decoder.begin)

    def _precision(self, device: torch.device) -> torch.autocast:
        low = in_bfloat16(self.settings["precision"], device)
        return torch.autocast(device.type, torch.bfloat16, enabled=low)


def surprise_of(scores: Tensor, wanted: Tensor, counted: Tensor) -> Tensor:
    """Return the mean over rows of the sum over places of -log p(wanted), a scalar.

    Arguments:
        scores: `(B, T, tokens + 1)`.
        wanted: `(B, T)`.
        counted: which places count, `(B, T)`.
    """
    each = functional.cross_entropy(
        scores.float().flatten(0, 1), wanted.flatten(), reduction="none"
    )
    return (each.view_as(counted) * counted).sum() / len(wanted)


def settings_from(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings of an autoencoder with the given ones in place of `AUTOENCODER`.

    Raises:
        SettingError: a setting that there is none of, or that cannot work.
    """
    unknown = set(given) - set(AUTOENCODER)
    if unknown:
        raise SettingError(
            f"an autoencoder has no setting {', '.join(map(repr, sorted(unknown)))}; there are "
            f"{', '.join(AUTOENCODER)}"
        )
    chosen = {**AUTOENCODER, **given}
    whole = ("latent", "encoder", "decoder", "layers", "questions", "batch", "warm_up")
    for name in whole:
        least = 2 if name == "latent" else 1
        if not isinstance(chosen[name], int) or chosen[name] < least:
            raise SettingError(
                f"{name} of an autoencoder is a whole number of at least {least}; "
                f"got {chosen[name]!r}"
            )
    for name in ("forget", "clear", "top"):
        if not 0 <= chosen[name] <= 1:
            raise SettingError(f"{name} is a share in [0, 1]; got {chosen[name]!r}")
    if chosen["clear"] + chosen["top"] > 1:
        raise SettingError(
            "clear and top are shares of the same strings, together at most 1; got "
            f"{chosen['clear']!r} and {chosen['top']!r}"
        )
    if not (chosen["highest"] >= 0 and chosen["sketch"] >= 0):
        raise SettingError("highest and sketch of an autoencoder are numbers >= 0")
    if chosen["precision"] not in PRECISIONS:
        raise SettingError(
            f"precision of an autoencoder is one of {', '.join(PRECISIONS)}; "
            f"got {chosen['precision']!r}"
        )
    if not (chosen["rate"] > 0 and chosen["epochs"] > 0):
        raise SettingError("rate and epochs of an autoencoder are numbers > 0")
    return chosen


@torch.no_grad()
def encode_rows(autoencoder: Autoencoder, rows: Tensor, *, batch: int = 1_024) -> Tensor:
    """Return the points `(N, n)` of rows `(N, T)`, on the CPU.

    Arguments:
        autoencoder: on any device.
        rows: on the CPU.
        batch: how many are encoded at once.
    """
    device = next(autoencoder.parameters()).device
    order = lengths(rows).argsort(stable=True)
    found = torch.empty(len(rows), autoencoder.settings["latent"])
    for places in torch.split(order, batch):
        some = rows[places]
        widest = max(1, int(lengths(some).max()))
        found[places] = autoencoder.encode(some[:, :widest].to(device)).cpu()
    return found


def decode_points(
    autoencoder: Autoencoder,
    points: Tensor,
    *,
    level: float = 0.0,
    temperature: float = 0.0,
    seed: int = 0,
) -> Tensor:
    """Return the rows uint8 `(N, length)` of points `(N, n)`, on the CPU.

    Arguments:
        autoencoder: on any device.
        points: on any device.
        level, temperature, seed: see `Autoencoder.decode`.
    """
    device = next(autoencoder.parameters()).device
    found = torch.zeros(len(points), autoencoder.length, dtype=torch.uint8)
    for start in range(0, len(points), BLOCK):
        some = points[start : start + BLOCK].to(device)
        full = functional.pad(some, (0, 0, 0, BLOCK - len(some)), value=1.0)
        rows = autoencoder.decode(full, level=level, temperature=temperature, seed=seed)
        found[start : start + BLOCK] = rows[: len(some)].cpu()
    return found


def reconstruction(
    autoencoder: Autoencoder, rows: Tensor, *, level: float = 0.0, temperature: float = 0.0
) -> float:
    """Return the share of rows that come back exactly.

    Arguments:
        autoencoder: a trained one.
        rows: uint8 `(N, length)`, N at least 1.
        level: that their points are moved by on the way, with torch's random numbers, and that the
            decoder is told.
        temperature: see `Autoencoder.decode`.
    """
    points = moved(encode_rows(autoencoder, rows), level)
    said = decode_points(autoencoder, points, level=level, temperature=temperature)
    return float((said == rows).all(1).float().mean())


def autoencoder_from(vocabulary: Mapping[str, Any], state: Mapping[str, Tensor]) -> Autoencoder:
    """Return a trained autoencoder, on a GPU if there is one, ready to encode and decode.

    Arguments:
        vocabulary: with "tokens", "length" and "autoencoder", its settings.
        state: its weights by name, in any precision.

    Raises:
        RunError: the weights are those of another autoencoder, such as one without levels.
    """
    made = Autoencoder(len(vocabulary["tokens"]), vocabulary["length"], vocabulary["autoencoder"])
    try:
        made.load_state_dict(dict(state))
    except RuntimeError as error:
        raise RunError(
            f"these weights are not of the autoencoder that is described beside them: {error}; "
            "train the run again, or use the version of wgankit that made it"
        ) from error
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return made.to(device).eval().requires_grad_(False)
