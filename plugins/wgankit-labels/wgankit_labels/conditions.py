"""Conditions by name: classes, numbers and vectors, as the columns of one tensor and back."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, ClassVar, final

import torch
from torch import Tensor

from wgankit.errors import DataError, SettingError
from wgankit.space import Points
from wgankit_labels.points import rows, split
from wgankit_labels.spaces import Vectors

Values = Mapping[str, Any]
"""A value for each condition, by name."""

MOST_CLASSES = 20
"""Whole numbers of at most so many different values are classes, unless told otherwise."""

ROUNDING = 1e-6
"""Share of a range by which rounding may bring a number out of it."""


class Unfit(ValueError):
    """A value that a condition cannot take; the message says why, without the value."""


class Condition(ABC):
    """One condition: its values as columns of numbers."""

    kind: ClassVar[str]
    name: str

    @property
    @abstractmethod
    def width(self) -> int:
        """How many columns it takes."""

    @abstractmethod
    def columns(self, value: Any) -> list[float]:
        """Return a value's columns.

        Raises:
            Unfit: the condition does not take this value.
        """

    @abstractmethod
    def value(self, columns: Sequence[float]) -> Any:
        """Return the value that columns stand for."""

    @abstractmethod
    def range(self) -> str:
        """Return which values there are, in words."""

    def plain(self) -> dict[str, Any]:
        """Return plain data from which `from_plain` makes the condition again."""
        return {"kind": self.kind, **asdict(self)}  # type: ignore[call-overload]


@final
@dataclass(frozen=True)
class ClassCondition(Condition):
    """One of several classes, one-hot.

    Arguments:
        name: of the condition.
        classes: the classes, in the order of their columns.
    """

    kind: ClassVar[str] = "class"
    name: str
    classes: tuple[Any, ...]

    @property
    def width(self) -> int:
        """How many classes there are."""
        return len(self.classes)

    def columns(self, value: Any) -> list[float]:
        """Return 1 in the column of the class, 0 elsewhere."""
        known = _class_of(value)
        if known not in self.classes:
            # From a command or a table every value comes as text.
            known = next((one for one in self.classes if str(one) == str(value)), known)
        if known not in self.classes:
            raise Unfit(f"unknown class of {self.name}")
        return [float(known == one) for one in self.classes]

    def value(self, columns: Sequence[float]) -> Any:
        """Return the likeliest class."""
        return self.classes[max(range(len(columns)), key=columns.__getitem__)]

    def range(self) -> str:
        """Return the classes."""
        return f"one of {', '.join(map(str, self.classes))}"


@final
@dataclass(frozen=True)
class NumberCondition(Condition):
    """A number, as its distance from the mean in standard deviations.

    Arguments:
        name: of the condition.
        mean: over the data.
        deviation: the standard deviation over the data, > 0.
        low: the smallest number in the data.
        high: the largest.
    """

    kind: ClassVar[str] = "number"
    name: str
    mean: float
    deviation: float
    low: float
    high: float

    @property
    def width(self) -> int:
        """One."""
        return 1

    def columns(self, value: Any) -> list[float]:
        """Return (value - mean) / deviation."""
        number = _number(value, self.name)
        spare = ROUNDING * (self.high - self.low)
        if not self.low - spare <= number <= self.high + spare:
            raise Unfit(f"{self.name} outside of what was trained on")
        return [(number - self.mean) / self.deviation]

    def value(self, columns: Sequence[float]) -> float:
        """Return mean + deviation * column."""
        return self.mean + self.deviation * columns[0]

    def range(self) -> str:
        """Return the smallest and the largest number."""
        return f"a number from {self.low:.6g} to {self.high:.6g}"


@final
@dataclass(frozen=True)
class VectorCondition(Condition):
    """A vector, centred and divided by one number: its coordinates keep their proportions.

    Arguments:
        name: of the condition.
        mean: of each coordinate over the data.
        deviation: the root of the mean variance of the coordinates, > 0.
    """

    kind: ClassVar[str] = "vector"
    name: str
    mean: tuple[float, ...]
    deviation: float

    @property
    def width(self) -> int:
        """How many coordinates it has."""
        return len(self.mean)

    def columns(self, value: Any) -> list[float]:
        """Return (value - mean) / deviation."""
        vector = _vector(value, self.name)
        if len(vector) != self.width:
            raise Unfit(f"{self.name} of another length than {self.width}")
        return [(one - m) / self.deviation for one, m in zip(vector, self.mean, strict=True)]

    def value(self, columns: Sequence[float]) -> list[float]:
        """Return mean + deviation * columns."""
        return [m + self.deviation * one for one, m in zip(columns, self.mean, strict=True)]

    def range(self) -> str:
        """Return its length."""
        return f"a list of {self.width} numbers"


KINDS: dict[str, type[ClassCondition | NumberCondition | VectorCondition]] = {
    "class": ClassCondition,
    "number": NumberCondition,
    "vector": VectorCondition,
}


def from_plain(plain: Mapping[str, Any]) -> Condition:
    """Return the condition that `Condition.plain` described."""
    fields: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in plain.items()
        if name != "kind"
    }
    return KINDS[plain["kind"]](**fields)


# Values ---------------------------------------------------------------------------------------


def missing(value: Any) -> bool:
    """Return whether there is no value: None, an empty text, NaN."""
    return value is None or value == "" or (isinstance(value, float) and math.isnan(value))


def _class_of(value: Any) -> Any:
    """Return a class as plain data: a text, a truth value, or a number (whole ones as such)."""
    if isinstance(value, str | bool):
        return value
    number = value.item() if hasattr(value, "item") else value
    if isinstance(number, float) and number.is_integer():
        return int(number)
    return number if isinstance(number, str | bool | int | float) else str(number)


def _number(value: Any, name: str) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError):
        raise Unfit(f"{name} is not a number") from None
    if not math.isfinite(number):
        raise Unfit(f"{name} is not a finite number")
    return number


def _vector(value: Any, name: str) -> list[float]:
    if isinstance(value, str):
        value = value.replace(",", " ").split()
    try:
        return [_number(one, name) for one in value]
    except TypeError:
        raise Unfit(f"{name} is not a list of numbers") from None


def learn(name: str, kind: str | None, values: Sequence[Any]) -> Condition:
    """Return the condition that values of a data set are of.

    Arguments:
        name: of the condition.
        kind: "class", "number", "vector"; None guesses by `kind_of`.
        values: one for each object, none of them missing.

    Raises:
        DataError: there are no values, only one class or number, or vectors of several lengths.
    """
    kind = kind or kind_of(values)
    if kind not in KINDS:
        raise SettingError(f"{name} is a {', a '.join(KINDS)}; got the kind {kind!r}")
    if kind == "class":
        return _classes(name, values)
    fits = [vector for value in values if (vector := _fitting(value, name, kind))]
    if len({len(vector) for vector in fits}) > 1:
        lengths = sorted({len(vector) for vector in fits})
        raise DataError(f"the vectors {name} have several lengths: {lengths}; give one length")
    if not fits:
        raise DataError(f"none of {len(values)} values of {name} is a {kind}")
    table = torch.tensor(fits, dtype=torch.float64)
    deviation = float(table.var(0, correction=0).mean().sqrt())
    if not deviation > 0:
        raise DataError(f"all {len(fits)} values of {name} are alike; it is no condition")
    if kind == "number":
        low, high = float(table.min()), float(table.max())
        return NumberCondition(name, float(table.mean()), deviation, low, high)
    return VectorCondition(name, tuple(table.mean(0).tolist()), deviation)


def _classes(name: str, values: Sequence[Any]) -> ClassCondition:
    classes = {_class_of(value) for value in values}
    if len(classes) < 2:
        raise DataError(f"{name} needs at least two classes; got {sorted(map(str, classes))}")
    # Numbers before texts, each in their own order, so that data in another order gives the same.
    order = sorted(
        classes, key=lambda one: (isinstance(one, str), one if isinstance(one, str) else 0, one)
    )
    return ClassCondition(name, tuple(order))


def _fitting(value: Any, name: str, kind: str) -> list[float]:
    """Return a value's numbers; empty if it is not of the kind, which is counted when encoded."""
    try:
        return [_number(value, name)] if kind == "number" else _vector(value, name)
    except Unfit:
        return []


def kind_of(values: Sequence[Any]) -> str:
    """Return the kind that values look like.

    Texts that are not all numbers, truth values, and whole numbers of at most `MOST_CLASSES`
    different values are classes; other numbers are numbers; what has a length is a vector.
    """
    first = values[0] if len(values) else ""
    if not isinstance(first, str) and hasattr(first, "__len__") and len(first) > 0:
        return "vector"
    if any(isinstance(value, bool) for value in values):
        return "class"
    try:
        numbers = {float(value) for value in values}
    except (TypeError, ValueError):
        return "class"
    few = len(numbers) <= MOST_CLASSES
    return "class" if few and all(number.is_integer() for number in numbers) else "number"


# Several conditions ---------------------------------------------------------------------------


@final
class Conditions:
    """Several conditions side by side, as the columns of one tensor.

    Arguments:
        conditions: at least one, with different names.
    """

    def __init__(self, conditions: Sequence[Condition]) -> None:
        names = [condition.name for condition in conditions]
        if not names or len(set(names)) < len(names):
            raise SettingError(f"conditions need different names, at least one; got {names}")
        self.conditions = tuple(conditions)

    @classmethod
    def from_plain(cls, plain: Sequence[Mapping[str, Any]]) -> Conditions:
        """Return the conditions that `plain` described."""
        return cls([from_plain(one) for one in plain])

    def plain(self) -> list[dict[str, Any]]:
        """Return plain data that goes into a file."""
        return [condition.plain() for condition in self.conditions]

    @property
    def names(self) -> list[str]:
        """The names, in order."""
        return [condition.name for condition in self.conditions]

    @property
    def width(self) -> int:
        """How many columns all of them take."""
        return sum(condition.width for condition in self.conditions)

    def stretches(self) -> Iterator[tuple[Condition, int, int]]:
        """Yield each condition with its first column and the one after its last."""
        start = 0
        for condition in self.conditions:
            yield condition, start, start + condition.width
            start += condition.width

    def space(self) -> Vectors:
        """Return the space of the conditions."""
        return Vectors([(a, b, isinstance(one, ClassCondition)) for one, a, b in self.stretches()])

    def __getitem__(self, name: str) -> Condition:
        return self._stretch(name)[0]

    def _stretch(self, name: str) -> tuple[Condition, int, int]:
        for found in self.stretches():
            if found[0].name == name:
                return found
        raise SettingError(f"there is no condition {name!r}; there are {', '.join(self.names)}")

    def row(self, values: Values) -> list[float]:
        """Return the columns of a value for each condition.

        Raises:
            Unfit: a value is missing, or its condition does not take it.
        """
        columns: list[float] = []
        for condition in self.conditions:
            if missing(values.get(condition.name)):
                raise Unfit(f"no value of {condition.name}")
            columns += condition.columns(values[condition.name])
        return columns

    def encode(self, objects: Sequence[Values]) -> tuple[Tensor, list[int], Counter[str]]:
        """Return columns `(n, K)`, whose they are, and how many had none, by reason."""
        table: list[list[float]] = []
        kept: list[int] = []
        skipped: Counter[str] = Counter()
        for place, values in enumerate(objects):
            try:
                table.append(self.row(values))
            except Unfit as reason:
                skipped[str(reason)] += 1
            else:
                kept.append(place)
        return torch.tensor(table, dtype=torch.float32).view(-1, self.width), kept, skipped

    def decode(self, condition: Tensor) -> list[dict[str, Any]]:
        """Return the values by name that each row of columns stands for."""
        return [
            {one.name: one.value(row[start:end]) for one, start, end in self.stretches()}
            for row in rows(condition).tolist()
        ]

    def given(self, values: Values) -> Tensor:
        """Return the columns `(K,)` of some conditions; NaN in those that are left open.

        Raises:
            SettingError: an unknown name, an unknown class, a number outside of the data's range.
        """
        columns = torch.full((self.width,), math.nan)
        for name, value in values.items():
            condition, start, end = self._stretch(name)
            try:
                columns[start:end] = torch.tensor(condition.columns(value))
            except Unfit as reason:
                raise SettingError(
                    f"{reason}: got {name}={value}, and it is {condition.range()}"
                ) from None
        return columns

    def groups(self, name: str) -> Callable[[Points], Tensor]:
        """Return the function points -> number of their class of one condition, `(B,)`.

        Raises:
            SettingError: there is no such condition, or it has no classes.
        """
        condition, start, end = self._stretch(name)
        if not isinstance(condition, ClassCondition):
            raise SettingError(f"groups are classes, and {name} is {condition.range()}")
        return lambda points: rows(split(points)[1])[:, start:end].argmax(1)
