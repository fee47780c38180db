"""How a column of a table becomes one coordinate of a flow, and back, with the change of its density.

Each kind has four methods: ``fit`` measures it, ``encode`` gives numbers of about unit variance, ``decode`` brings them
back, and ``log_scale`` is what to add to a log-density to express it in the column's own units.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

Values = NDArray[Any]
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Number:
    r"""A column of floating-point numbers: :math:`z = (x - \mu) / s`.

    Example:
        >>> column = Number.fit(np.array([1.0, 3.0]), np.ones(2))
        >>> column.encode(np.array([1.0, 2.0, 3.0]), np.random.RandomState(0))
        array([-1.,  0.,  1.])
    """

    kind: ClassVar[str] = "number"
    mean: float
    std: float

    @classmethod
    def fit(cls, values: Values, weight: Floats) -> Number:
        """Weighted mean and standard deviation."""
        return cls(*_moments(values.astype(np.float64), weight))

    def encode(self, values: Values, random: np.random.RandomState | None) -> Floats:
        """Standardize."""
        return (values.astype(np.float64) - self.mean) / self.std

    def decode(self, z: Floats) -> Values:
        """Back to the column's unit."""
        return self.mean + self.std * z

    def log_scale(self, values: Values) -> Floats:
        """Minus log s."""
        return np.full(len(values), -math.log(self.std))


@dataclass(frozen=True)
class Integer:
    r"""A column of integers, each spread evenly over its unit interval: :math:`z = (x + u - 1/2 - \mu) / s`.

    Samples are rounded and stay within what was seen. The density at an integer, over an interval of length 1, stands
    for its probability.
    """

    kind: ClassVar[str] = "integer"
    mean: float
    std: float
    low: int
    high: int

    @classmethod
    def fit(cls, values: Values, weight: Floats) -> Integer:
        """Moments, the spreading included, and the range."""
        mean, std = _moments(values.astype(np.float64), weight)
        return cls(mean, math.sqrt(std**2 + 1 / 12), int(values.min()), int(values.max()))

    def encode(self, values: Values, random: np.random.RandomState | None) -> Floats:
        """Spread and standardize; without ``random`` the middle of the interval."""
        spread = 0.0 if random is None else random.uniform(-0.5, 0.5, len(values))
        return (values.astype(np.float64) + spread - self.mean) / self.std

    def decode(self, z: Floats) -> Values:
        """The nearest integer in the range."""
        nearest = np.clip(np.rint(self.mean + self.std * z), self.low, self.high)  # as floats, which may be rounded
        return np.clip(nearest.astype(np.int64), self.low, self.high)

    def log_scale(self, values: Values) -> Floats:
        """Minus log s."""
        return np.full(len(values), -math.log(self.std))


@dataclass(frozen=True)
class Category:
    r"""A column of labels. Each has an interval of (0, 1) of the length of its share :math:`f_c`; :math:`z =
    \Phi^{-1}(u)`.

    With u drawn uniformly from the label's interval, z is standard normal, however many labels there are. A point z
    stands for the label of the interval that it falls into. At the middle of the interval :math:`f_c\, p(z) /
    \varphi(z)` is close to the probability of the label.

    Example:
        >>> column = Category.fit(np.array(["no", "yes", "no", "no"], dtype=object), np.ones(4))
        >>> column.levels, column.decode(np.array([-1.0, 2.0])).tolist()
        (['no', 'yes'], ['no', 'yes'])
    """

    kind: ClassVar[str] = "category"
    levels: list[Any]
    shares: list[float]

    @classmethod
    def fit(cls, values: Values, weight: Floats) -> Category:
        """The labels in order and their shares."""
        levels, index = np.unique(values, return_inverse=True)
        shares = np.bincount(index, weight) / weight.sum()
        return cls(levels.tolist(), shares.tolist())

    def codes(self, values: Values) -> NDArray[np.int64]:
        """Position of every label among the levels.

        Raises:
            ValueError: A label was not among those of ``fit``.
        """
        position = {level: code for code, level in enumerate(self.levels)}
        unseen = [(row, value) for row, value in enumerate(values.tolist()) if value not in position]
        if unseen:
            shown = ", ".join(map(str, self.levels[:8])) + (", ..." if len(self.levels) > 8 else "")
            raise ValueError(f"must hold labels seen in fit ({shown}), got {unseen[0][1]!r} in row {unseen[0][0]}")
        return np.array([position[value] for value in values.tolist()], dtype=np.int64)

    def encode(self, values: Values, random: np.random.RandomState | None) -> Floats:
        """A normal quantile within the label's interval; without ``random`` that of its middle."""
        from scipy.special import ndtri

        codes = self.codes(values)
        place = 0.5 if random is None else random.uniform(1e-6, 1 - 1e-6, len(values))
        shares = np.array(self.shares)
        u = (np.cumsum(shares) - shares)[codes] + place * shares[codes]
        return np.asarray(ndtri(np.clip(u, np.finfo(float).tiny, np.nextafter(1, 0))))  # 1 for a vanishing last share

    def decode(self, z: Floats) -> Values:
        """The label of the interval that each point falls into."""
        from scipy.special import ndtr

        ends = np.cumsum(self.shares)[:-1]
        return np.array(self.levels, dtype=object)[np.searchsorted(ends, ndtr(z), side="right")]

    def log_scale(self, values: Values) -> Floats:
        """The logarithm of the label's share minus the normal log-density at the middle of its interval."""
        z = self.encode(values, None)
        return np.log(np.array(self.shares)[self.codes(values)]) + 0.5 * (z**2 + math.log(2 * math.pi))


@dataclass(frozen=True)
class Constant:
    """A column of one value: no coordinate; samples repeat it, and another value has density 0."""

    kind: ClassVar[str] = "constant"
    value: Any

    def decode(self, z: Floats) -> Values:
        """The value, for as many rows as ``z`` has."""
        return np.array([self.value] * len(z))

    def log_scale(self, values: Values) -> Floats:
        """0 for the known value, else minus infinity."""
        return np.where(values == self.value, 0.0, -np.inf)


FEW_LABELS = 20
"""Up to this many labels are accepted even if hardly two rows share one."""

SPACINGS = 8
"""Integers have to spread over this many steps of float64, in which they are computed."""

Column = Number | Integer | Category | Constant
KINDS: dict[str, type[Column]] = {kind.kind: kind for kind in (Number, Integer, Category, Constant)}


def fit_column(values: Values, weight: Floats) -> Column:
    """The column of these values: constant, or as its dtype says (float, integer, else labels).

    Example:
        >>> fit_column(np.array([4, 4]), np.ones(2))
        Constant(value=4)
    """
    counted = values[weight > 0]
    if all(value == counted[0] for value in counted):
        return Constant(counted[:1].tolist()[0])
    weight = weight[weight > 0]
    if values.dtype.kind == "f":
        return Number.fit(counted, weight)
    return Integer.fit(counted, weight) if values.dtype.kind == "i" else Category.fit(counted, weight)


def fit_named(name: str, values: Values, weight: Floats) -> Column:
    """The column of these values, as :func:`fit_column`, unless no flow can learn it.

    Raises:
        ValueError: Texts are different in most rows, or the spread of numbers overflows or vanishes.

    Example:
        >>> fit_named("id", np.array([f"user {i}" for i in range(60)], dtype=object), np.ones(60))
        Traceback (most recent call last):
        ValueError: column 'id' holds 60 different texts in 60 rows, such as 'user 0': leave it out, ...
    """
    with np.errstate(over="ignore", invalid="ignore"):
        column = fit_column(values, weight)
    if isinstance(column, Category) and len(column.levels) > max(FEW_LABELS, len(values) / 2):
        raise ValueError(
            f"column {name!r} holds {len(column.levels)} different texts in {len(values)} rows, such as "
            f"{column.levels[0]!r}: leave it out, or give labels that rows share (or numbers throughout)"
        )
    if isinstance(column, Number | Integer) and not (math.isfinite(column.mean) and 0 < column.std < math.inf):
        raise ValueError(f"column {name!r} has numbers too large or too close to tell apart: rescale it")
    if isinstance(column, Integer) and column.std < SPACINGS * np.spacing(abs(column.mean)):
        raise ValueError(f"column {name!r} has integers too large to tell apart: subtract the least, or leave it out")
    return column


def _moments(values: Floats, weight: Floats) -> tuple[float, float]:
    mean = float(np.average(values, weights=weight))
    return mean, math.sqrt(float(np.average((values - mean) ** 2, weights=weight)))


def to_config(columns: Sequence[Column]) -> list[dict[str, Any]]:
    """Columns as JSON holds them."""
    return [{"kind": column.kind, **asdict(column)} for column in columns]


def from_config(config: Sequence[dict[str, Any]]) -> list[Column]:
    """Columns as :func:`to_config` wrote them.

    Raises:
        ValueError: A kind is unknown.

    Example:
        >>> from_config(to_config([Constant(3), Number(0.0, 2.0)]))
        [Constant(value=3), Number(mean=0.0, std=2.0)]
    """
    unknown = [item["kind"] for item in config if item["kind"] not in KINDS]
    if unknown:
        raise ValueError(f"a column of kind {unknown[0]!r}, of another version of moefm")
    return [KINDS[item["kind"]](**{k: v for k, v in item.items() if k != "kind"}) for item in config]
