"""A domain of its own for the tests of recipes: points of the plane, written as "x y"."""

from pathlib import Path

import torch

from wgankit import DataError, Domain, Encoded, Model, Normal, Normed, Perceptron, Reading


class Clouds(Domain):
    objects = "points"
    defaults = {  # noqa: RUF012
        "steps": 40,
        "batch": 16,
        "n_critic": 2,
        "rate": 1e-3,
        "evaluate_on": 100,
        "evaluate_every": 20,
        "read_every": 4,
        "held_out": 0.25,
    }

    def encode(self, objects, vocabulary=None, *, largest=None):
        kept = [i for i, point in enumerate(objects) if len(point) == 2]
        skipped = {"not two numbers": len(objects) - len(kept)}
        points = torch.tensor([objects[i] for i in kept], dtype=torch.float32)
        if vocabulary is None:
            vocabulary = {"centre": points.mean(0).tolist()}
        from collections import Counter

        return Encoded(points, vocabulary, kept, +Counter(skipped))

    def decode(self, points, vocabulary):
        return [tuple(point) for point in points.tolist()]

    def build(self, vocabulary, settings):
        width = settings["model"].get("width", 16)
        return Model(Normed(), Normal(2), Perceptron(2, 2, width=width), Perceptron(2, width=width))

    def read(self, path: Path):
        lines = path.read_text().split("\n")
        return Reading([tuple(map(float, line.split())) for line in lines if line])

    def write(self, objects, path: Path):
        path.write_text("".join(f"{x} {y}\n" for x, y in objects))

    def evaluate(self, objects, training, held_out):
        if not held_out:
            raise DataError("no points were held out")
        mean = [sum(axis) / len(objects) for axis in zip(*objects)]
        return {"mean_x": mean[0], "mean_y": mean[1]}

    def picture(self, objects):
        dots = "".join(f'<circle cx="{x}" cy="{y}" r="1"/>' for x, y in objects)
        return f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="-9 -9 18 18">{dots}</svg>'


class Scaled(Clouds):
    """Points in another unit, which the vocabulary remembers."""

    def __init__(self, *, unit=1.0):
        self.unit = unit

    def encode(self, objects, vocabulary=None, *, largest=None):
        found = super().encode(objects, vocabulary, largest=largest)
        kept = {**found.vocabulary, "unit": found.vocabulary.get("unit", self.unit)}
        return Encoded(found.points / kept["unit"], kept, found.kept, found.skipped)

    def decode(self, points, vocabulary):
        return super().decode(points * vocabulary["unit"], vocabulary)
