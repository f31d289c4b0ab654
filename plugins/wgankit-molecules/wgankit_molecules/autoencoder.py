"""Strings of tokens as points of a sphere, and back: a recurrent autoencoder.

The encoder reads a string forwards and backwards and looks at it through several learnt questions;
what it finds is put on a sphere of radius sqrt(n) in n dimensions, so that a coordinate is 1 in the
root mean square.  The decoder is a language model of tokens that is told the point.  In training
the point is moved by noise, so that what lies within the noise of a point decodes alike: distances
on the sphere then mean something to whoever makes points there.

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

from wgankit.errors import SettingError
from wgankit.iteration import precision_named
from wgankit_molecules.tokens import END, lengths

AUTOENCODER: dict[str, Any] = {
    "latent": 128,
    "encoder": 192,
    "decoder": 384,
    "layers": 1,
    "questions": 8,
    "noise": 0.6,
    "forget": 0.1,
    "sketch": 0.3,
    "epochs": 10,
    "batch": 128,
    "rate": 2e-3,
    "decay": 0.01,
    "warm_up": 100,
    "precision": "bf16-mixed",
}
"""Settings of an autoencoder.

`latent` is n; `encoder` and `decoder` are widths, `layers` those of the decoder; `noise` is the
standard deviation of each coordinate in training; `forget` the share of tokens that the decoder is
not shown in training, so that it asks the point; `sketch` the weight of a second, parallel guess of
all tokens from the point, which teaches the encoder from the first step on.
"""

SKETCH = 512
"""Width of the parallel guess."""


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
        self.embed = nn.Embedding(tokens + 1, width)
        self.forwards = nn.GRU(width, width, batch_first=True)
        self.backwards = nn.GRU(width, width, batch_first=True)
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
class Decoder(nn.Module):
    """A language model of tokens that is told a point.

    Arguments:
        tokens: how many there are, `END` not counted.
        width: of the recurrent layers.
        layers: how many.
        latent: numbers of a point.
    """

    def __init__(self, tokens: int, *, width: int, layers: int, latent: int) -> None:
        super().__init__()
        self.begin = tokens + 1
        self.layers = layers
        self.embed = nn.Embedding(tokens + 2, width)
        self.hear = nn.Linear(latent, width)
        self.first = nn.Linear(latent, layers * width)
        self.recur = nn.GRU(width, width, layers, batch_first=True)
        self.norm = nn.LayerNorm(width)
        self.out = nn.Linear(width, tokens + 1)

    def state(self, points: Tensor) -> Tensor:
        """Return the states `(layers, B, width)` before the first token."""
        first = self.first(points).tanh().view(len(points), self.layers, -1)
        return cast(Tensor, first.transpose(0, 1).contiguous())

    def forward(self, points: Tensor, shown: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """Return scores `(B, T, tokens + 1)` of what follows each token shown, and the new state.

        Arguments:
            points: `(B, latent)`.
            shown: tokens `(B, T)`, the first of all `begin`.
            state: before them.
        """
        heard = self.embed(shown) + self.hear(points)[:, None]
        seen, state = self.recur(heard, state.to(heard.dtype))
        return self.out(self.norm(seen)), state


class Lesson(NamedTuple):
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
        self.decoder = Decoder(
            tokens, width=chosen["decoder"], layers=chosen["layers"], latent=latent
        )
        self.sketch = nn.Sequential(
            nn.Linear(latent, SKETCH), nn.GELU(), nn.Linear(SKETCH, length * (tokens + 1))
        )
        self.low = precision_named(chosen["precision"])

    def encode(self, rows: Tensor) -> Tensor:
        """Return the points `(B, n)` of rows `(B, T)`, of length sqrt(n)."""
        with self._precision(rows.device):
            vectors = self.encoder(rows)
        return functional.normalize(vectors, dim=1) * math.sqrt(vectors.shape[1])

    @torch.no_grad()
    def decode(self, points: Tensor) -> Tensor:
        """Return the likeliest tokens one after another, rows uint8 `(B, length)`.

        Only directions matter: a point is brought to length sqrt(n) first.
        """
        points = functional.normalize(points.float(), dim=1) * math.sqrt(points.shape[1])
        rows = torch.full((len(points), self.length), END, dtype=torch.uint8, device=points.device)
        shown = torch.full((len(points), 1), self.decoder.begin, device=points.device)
        live = torch.ones_like(shown, dtype=torch.bool)
        with self._precision(points.device):
            state = self.decoder.state(points)
            for place in range(self.length):
                scores, state = self.decoder(points, shown, state)
                shown = scores.argmax(2) * live
                rows[:, place] = shown[:, 0].to(torch.uint8)
                live = live & (shown != END)
                # A look at every eighth token: asking the device for it costs a little each time.
                if place % 8 == 7 and not bool(live.any()):
                    break
        return rows

    def forward(self, rows: Tensor) -> Lesson:
        """Return what to learn from rows `(B, T)`, of which only the tail of `END`s may be cut."""
        rows = rows.long()
        wanted = functional.pad(rows, (0, 1)) if rows.shape[1] < self.length else rows
        counted = torch.arange(wanted.shape[1], device=rows.device) <= lengths(rows)[:, None]
        points = self.encode(rows)
        points = points + self.settings["noise"] * torch.randn_like(points)
        with self._precision(rows.device):
            shown = self._shown(wanted)
            scores, _ = self.decoder(points, shown, self.decoder.state(points))
            guess = self.sketch(points).view(len(rows), self.length, -1)[:, : wanted.shape[1]]
        surprise = surprise_of(scores, wanted, counted)
        right = (scores.argmax(2) == wanted) | ~counted
        loss = surprise + self.settings["sketch"] * surprise_of(guess, wanted, counted)
        return Lesson(loss, surprise.detach(), right.all(1).float().mean())

    def _shown(self, wanted: Tensor) -> Tensor:
        """Return the tokens before each wanted one, some of them forgotten."""
        before = wanted[:, :-1]
        kept = torch.rand(before.shape, device=wanted.device) >= self.settings["forget"]
        return functional.pad(before * kept, (1, 0), value=self.decoder.begin)

    def _precision(self, device: torch.device) -> torch.autocast:
        return torch.autocast(device.type, self.low, enabled=self.low is not None)


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
    whole = ("latent", "encoder", "decoder", "layers", "questions", "epochs", "batch", "warm_up")
    for name in whole:
        least = 2 if name == "latent" else 1
        if not isinstance(chosen[name], int) or chosen[name] < least:
            raise SettingError(
                f"{name} of an autoencoder is a whole number of at least {least}; "
                f"got {chosen[name]!r}"
            )
    if not 0 <= chosen["forget"] < 1:
        raise SettingError(f"forget is a share in [0, 1); got {chosen['forget']!r}")
    if not (chosen["noise"] >= 0 and chosen["sketch"] >= 0 and chosen["rate"] > 0):
        raise SettingError("noise and sketch are numbers >= 0, and rate is one > 0")
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


def decode_points(autoencoder: Autoencoder, points: Tensor, *, batch: int = 1_024) -> Tensor:
    """Return the rows uint8 `(N, length)` of points `(N, n)`, on the CPU.

    Arguments:
        autoencoder: on any device.
        points: on any device.
        batch: how many are decoded at once.
    """
    device = next(autoencoder.parameters()).device
    parts = [autoencoder.decode(some.to(device)).cpu() for some in torch.split(points, batch)]
    return torch.cat(parts) if parts else torch.zeros(0, autoencoder.length, dtype=torch.uint8)


def reconstruction(autoencoder: Autoencoder, rows: Tensor, *, noise: float = 0.0) -> float:
    """Return the share of rows that come back exactly.

    Arguments:
        autoencoder: a trained one.
        rows: uint8 `(N, length)`, N at least 1.
        noise: standard deviation of what is added to each coordinate on the way, drawn from torch's
            random numbers.
    """
    points = encode_rows(autoencoder, rows)
    points = points + noise * torch.randn_like(points)
    return float((decode_points(autoencoder, points) == rows).all(1).float().mean())


def autoencoder_from(vocabulary: Mapping[str, Any], state: Mapping[str, Tensor]) -> Autoencoder:
    """Return a trained autoencoder, on a GPU if there is one, ready to encode and decode.

    Arguments:
        vocabulary: with "tokens", "length" and "autoencoder", its settings.
        state: its weights by name, in any precision.
    """
    made = Autoencoder(len(vocabulary["tokens"]), vocabulary["length"], vocabulary["autoencoder"])
    made.load_state_dict(dict(state))
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return made.to(device).eval().requires_grad_(False)
