"""The toy data sets behind one dataclass: six shapes in the plane, two real sets, the user's own files.

`load_dataset("moons")` or `load_dataset("my_points.csv")` gives a :class:`Dataset`, which draws training and
held-out points of about unit scale. All randomness comes from the `torch.Generator` that is passed in.
"""

from __future__ import annotations

import difflib
import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from moefm.checks import check_count
from moefm_toy.codes import DIM, HIDDEN, WORDS, draw_codes
from moefm_toy.finite import Scaled, digits, iris, standardised, usable_points
from moefm_toy.settings import METHODS
from moefm_toy.shapes import SHAPES, Sampler

DIGITS_DIM = 8
FILE_EXPERTS = 8
"""K for a user's file, whose number of modes is unknown: too many experts cost little, too few cost much."""


@dataclass(frozen=True)
class Dataset:
    """Points of about unit scale to train on and to compare with.

    Attributes:
        name: Its registered name, or the file's name without extension.
        description: One line for people.
        dim: The dimension D of a point.
        experts: A sensible number of experts K, at least the number of modes.
        draw: `draw(n, generator)` gives n training points, float32 `(n, D)`, on the generator's device.
            A finite set draws its rows with replacement, so that points are independent here as well.
        draw_distinct: The same without replacement, n <= max_train: use it to compare clouds of points.
        draw_test: The same for held-out points; a finite set draws them without replacement, n <= max_test.
        inverse: Takes `(*batch, D)` back to the original units, float64 `(*batch, P)` on the CPU; P is D, except for
            digits, which have P = 64 pixels with grey levels 0-16.
        max_train: How many training points exist, None for any number.
        max_test: How many held-out points exist, None for any number.
        methods: The methods that are compared on it by default.
        hidden: Default width of VFM's layers on it.
        columns: Names of the D coordinates; none if they are just places in the plane.
        digest: A hash of the training points of finite data; shapes have none.

    Example:
        >>> moons = load_dataset("moons")
        >>> points = moons.draw(256, torch.Generator().manual_seed(0))
        >>> points.shape, points.dtype, moons.experts
        (torch.Size([256, 2]), torch.float32, 8)
    """

    name: str
    description: str
    dim: int
    experts: int
    draw: Sampler = field(repr=False)
    draw_distinct: Sampler = field(repr=False)
    draw_test: Sampler = field(repr=False)
    inverse: Callable[[Tensor], Tensor] = field(repr=False)
    max_train: int | None = None
    max_test: int | None = None
    methods: tuple[str, ...] = METHODS
    hidden: int = 128
    columns: tuple[str, ...] = ()
    digest: str | None = None


@dataclass(frozen=True)
class DatasetInfo:
    """What is known of a data set without loading it; `points` is None if they never run out."""

    name: str
    description: str
    dim: int
    experts: int
    points: int | None


def list_datasets() -> list[DatasetInfo]:
    """The registered data sets, in a fixed order; loads none of them.

    Example:
        >>> [info.name for info in list_datasets()]
        ['moons', 'grid', 'checkerboard', 'spirals', 'pinwheel', 'rings', 'codes', 'digits', 'iris']
    """
    shapes = [DatasetInfo(name, text, 2, k, None) for name, (text, k, _) in SHAPES.items()]
    real = [DatasetInfo(name, *facts) for name, facts in _REAL.items()]
    return [*shapes, DatasetInfo("codes", CODES, DIM, WORDS, None), *real]


def load_dataset(name_or_path: str | os.PathLike[str], *, dim: int | None = None, seed: int = 0) -> Dataset:
    """A registered data set by name, or the points of a .npy, .npz, .csv or .parquet file.

    Real data and files are shuffled once and split, 80% to train on and 20% held out; the constants that
    bring them to unit scale come from the training part alone. Every column of a file (and of iris) is
    standardised, z = (x - mean) / std, with std taken as 1 for a constant column; a file gets K = 8 experts.
    A row that a file repeats keeps its weight, so its copies may lie in both parts. Shapes use no `seed`.

    Args:
        name_or_path: A name of `list_datasets()`, or a file (see `moefm_toy.readers.read_points`). A name wins
            over a file of the same name; write `./name` or give a `Path` for the file.
        dim: For digits only: how many principal components, 2-16 (8 if not given).
        seed: Shuffles finite data before the split. Keep it fixed, or runs hold out different points.

    Returns:
        The data set.

    Raises:
        ValueError: An unknown name; `dim` for another set than digits or not 2-16; a `seed` that is no
            integer of at least 0.
        TypeError: `name_or_path` is neither a string nor a path.
        DataError: A `ValueError` for a file that cannot be used or has fewer than 10 distinct points.

    Example:
        >>> load_dataset("digits", dim=2).inverse(torch.zeros(5, 2)).shape
        torch.Size([5, 64])
        >>> load_dataset("mons")
        Traceback (most recent call last):
        ...
        ValueError: dataset 'mons' is unknown, did you mean 'moons'? Known are moons, grid, checkerboard, \
spirals, pinwheel, rings, codes, digits, iris; a path to a .npy, .npz, .csv or .parquet file is accepted too.
    """
    if not isinstance(name_or_path, (str, os.PathLike)):
        raise TypeError(f"dataset must be a name or a path, got {name_or_path!r}")
    check_count("seed", seed, minimum=0)
    if name_or_path == "digits":
        return _digits(DIGITS_DIM if dim is None else dim, seed)
    if dim is not None:
        raise ValueError(f"dim is accepted for digits only, got {dim!r} for {str(name_or_path)!r}")
    if name_or_path == "iris":
        return _iris(seed)
    if name_or_path == "codes":
        return _codes()
    if isinstance(name_or_path, str):
        if name_or_path in SHAPES:
            return _shape(name_or_path)
        if not _looks_like_path(name_or_path):
            raise ValueError(_unknown(name_or_path))
    return _file(Path(name_or_path), seed)


def _looks_like_path(text: str) -> bool:
    return bool(text.strip()) and bool(Path(text).suffix or len(Path(text).parts) > 1 or os.path.exists(text))


def _unknown(name: str) -> str:
    known = [*SHAPES, "codes", *_REAL]
    close = difflib.get_close_matches(name.lower(), known, n=1)
    hint = f"unknown, did you mean '{close[0]}'?" if close else "unknown."
    return (
        f"dataset {name!r} is {hint} Known are {', '.join(known)}; "
        "a path to a .npy, .npz, .csv or .parquet file is accepted too."
    )


def _checked(sampler: Sampler) -> Sampler:
    """The sampler with checks of its arguments, the same for every data set."""

    def draw(n: int, generator: torch.Generator) -> Tensor:
        check_count("n", n)
        if not isinstance(generator, torch.Generator):
            raise TypeError(f"generator must be a torch.Generator, got {generator!r}")
        return sampler(n, generator)

    return draw


def _shape(name: str) -> Dataset:
    description, experts, sampler = SHAPES[name]
    draw = _checked(sampler)
    return Dataset(name, description, 2, experts, draw, draw, draw, _unchanged)


CODES = f"{WORDS} code words with a little noise in {DIM} dimensions"


def _codes() -> Dataset:
    draw, methods = _checked(draw_codes), ("vfm", "vfm-information")
    return Dataset("codes", CODES, DIM, WORDS, draw, draw, draw, _unchanged, methods=methods, hidden=HIDDEN)


def _unchanged(points: Tensor) -> Tensor:
    return points.cpu().double()


# Finite data: real sets and the user's files.

# Name -> description, dimension, K, number of points. A digit is written in several ways, and K = 30 came out better
# than 10 at every step count; the species of iris are one mode each.
_REAL: dict[str, tuple[str, int, int, int]] = {
    "digits": ("scikit-learn's 8 x 8 images of digits by PCA to 2-16 dimensions", DIGITS_DIM, 30, 1797),
    "iris": ("four measurements of 150 iris flowers, standardised", 4, 3, 150),
}


def _digits(dim: int, seed: int) -> Dataset:
    description, _, experts, _ = _REAL["digits"]
    return _finite("digits", description, experts, digits(dim, seed))


def _iris(seed: int) -> Dataset:
    description, _, experts, _ = _REAL["iris"]
    return _finite("iris", description, experts, iris(seed))


def _file(path: Path, seed: int) -> Dataset:
    named = usable_points(path)
    description = f"{len(named.points)} points of dimension {named.points.shape[1]} from {path.name}"
    return _finite(path.stem, description, FILE_EXPERTS, standardised(named, seed))


def _finite(name: str, description: str, experts: int, scaled: Scaled) -> Dataset:
    rows, held_out = torch.from_numpy(scaled.train).float(), torch.from_numpy(scaled.test).float()

    def draw(n: int, generator: torch.Generator) -> Tensor:
        index = torch.randint(len(rows), (n,), generator=generator, device=generator.device)
        return rows[index.cpu()].to(generator.device)

    def without_replacement(points: Tensor, part: str) -> Sampler:
        def draw_some(n: int, generator: torch.Generator) -> Tensor:
            if n > len(points):
                raise ValueError(f"n must be at most {len(points)}, the {part} points of {name}, got {n}")
            order = torch.randperm(len(points), generator=generator, device=generator.device)
            return points[order[:n].cpu()].to(generator.device)

        return _checked(draw_some)

    return Dataset(
        name,
        description,
        rows.shape[1],
        experts,
        _checked(draw),
        without_replacement(rows, "training"),
        without_replacement(held_out, "held-out"),
        scaled.inverse,
        len(rows),
        len(held_out),
        columns=scaled.columns,
        digest=hashlib.blake2b(rows.numpy().tobytes(), digest_size=8).hexdigest(),
    )
