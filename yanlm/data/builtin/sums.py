"""Sums of two numbers, digit by digit: ``4 7 1 + 9 8 2 = <mask> <mask> <mask> <mask> .``

The answer follows from the source, and a writer who can add needs no agreement: the factorized bound is 1. The
difficulty is in the carries. Whether a digit gets one depends on all digits to its right, and a model that is unsure of
a carry has to make several digits agree on it. If the surest digits are filled in first, some are fixed before the
carry is known.

With ``open=1`` the sum is shown, and the task is to find two numbers that add up to it. There are up to 10^digits right
answers, and the two numbers must agree digit by digit, carries included.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from yanlm.data.builtin.drawing import check_drawn, split_by_hash
from yanlm.data.builtin.puzzle import Puzzle, completed
from yanlm.data.builtin.setting import setting


@dataclass(frozen=True, kw_only=True)
class Sums(Puzzle):
    """Sums of two numbers of ``digits`` digits, leading zeros included; the sum has one digit more.

    No pair of numbers of the test split occurs in training in the same order, with ``open=1`` no sum.

    Attributes:
        digits: Number of digits of each number.
        open: With 1 the numbers are asked for, and not the sum.

    Example:
        >>> sums = Sums(digits=3)
        >>> sums.rows("test", 1)[0]
        {'source': '6 9 3 + 7 3 8 = <mask> <mask> <mask> <mask> .', 'target': ['1', '4', '3', '1']}
        >>> sums.valid("4 7 1 + 9 8 2 = 1 4 5 3 ."), Sums(digits=2, open=1).answers("0 7 0 = 3 2 + 3 8 .")
        (True, ('32',))
    """

    name: ClassVar[str] = "sums"

    digits: int = setting(4, range(2, 13))
    open: int = setting(0, (0, 1))
    train: int = setting(100_000, range(10_000_001))

    def rows(self, split: str = "train", n: int = 20000, seed: int = 0) -> list[dict[str, Any]]:
        check_drawn(split, n)
        draw = random.Random(f"sums {split} {seed}")
        rows: list[dict[str, Any]] = []
        while len(rows) < n:
            first, second = (draw.randrange(10**self.digits) for _ in range(2))
            numbers, total = [self._digits(first), self._digits(second)], self._digits(first + second, more=1)
            shown, hidden = ([total], numbers) if self.open else (numbers, [total])
            if split_by_hash("+".join(map("".join, shown))) == split:
                masks = " + ".join(" ".join(["<mask>"] * len(digits)) for digits in hidden)
                source = f"{' + '.join(map(' '.join, shown))} = {masks} ."
                rows.append({"source": source, "target": [digit for digits in hidden for digit in digits]})
        return rows

    def _digits(self, number: int, more: int = 0) -> list[str]:
        return list(str(number).zfill(self.digits + more))

    def _read(self, text: str) -> tuple[list[str | None], list[str | None]]:
        """The numbers left and right of the equals sign, None for one of the wrong length or that is no number."""
        left, _, right = text.strip().removesuffix(".").partition("=")
        lengths = (self.digits + self.open, self.digits + 1 - self.open)
        sides = zip((left, right), lengths, strict=True)
        first, second = ([_number(part.split(), length) for part in side.split("+")] for side, length in sides)
        return first, second

    def answers(self, text: str) -> tuple[str | None, ...]:
        left, right = self._read(text)
        numbers, total = (right, left) if self.open else (left, right)
        known = [number for number in numbers if number]
        if len(numbers) != 2 or len(known) != 2 or len(total) != 1 or not total[0]:
            return (None,)
        return (known[0] if self.open else total[0],) if sum(map(int, known)) == int(total[0]) else (None,)

    def _numbers(self, source: str) -> range:
        """Possible values of the first number if the sum is shown; the second has the same."""
        total = int(str(self._read(source)[0][0]))
        largest = 10**self.digits - 1
        return range(max(0, total - largest), min(total, largest) + 1)

    def choices(self, source: str) -> tuple[int, ...]:
        return (len(self._numbers(source)) if self.open else 1,)

    def chances(self, source: str) -> tuple[float, ...]:
        if not self.open:
            return (1.0,)
        numbers, total = self._numbers(source), source.split("=")[0].split()
        right = {0: 1.0}  # the probability that all digits so far are right, by the carry they leave
        for place in range(self.digits):
            shares = _shares(numbers, place)
            after = {0: 0.0, 1: 0.0}
            for carry, chance in right.items():
                for digit, share in enumerate(shares):
                    other = (int(total[-1 - place]) - digit - carry) % 10
                    after[(digit + other + carry) // 10] += chance * share * shares[other]
            right = after
        return (right[int(total[0])],)

    def draw(self, source: str, rng: random.Random) -> str:
        left, _ = self._read(source)
        if not self.open:
            return completed(source, self._digits(sum(int(str(number)) for number in left), more=1))
        first = rng.choice(self._numbers(source))
        second = int(str(left[0])) - first
        return completed(source, [*self._digits(first), *self._digits(second)])


def _number(digits: Sequence[str], length: int) -> str | None:
    good = len(digits) == length and all(len(digit) == 1 and digit in "0123456789" for digit in digits)
    return "".join(digits) if good else None


def _shares(numbers: range, place: int) -> list[float]:
    """How often each digit stands at a place, counted from the right, among all numbers of a range."""

    def below(end: int, digit: int) -> int:
        whole, rest = divmod(end, 10 ** (place + 1))
        return whole * 10**place + min(max(rest - digit * 10**place, 0), 10**place)

    return [(below(numbers.stop, digit) - below(numbers.start, digit)) / len(numbers) for digit in range(10)]
