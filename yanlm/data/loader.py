"""An endless stream of global batches, of which every process takes its slice.

For rows in memory the batch of a step is a function of the seed and the step: each pass over a source is a fresh
permutation, and the source of each row is drawn by the weights. A stream restored from its state goes on with exactly
the rows that the uninterrupted one would give.

The rows of ``bucket`` consecutive steps can be sorted by length and cut into batches, which are then shuffled, unless
all rows have one length. So a batch has little padding, and every row is still used once in each pass.
"""

from __future__ import annotations

import copy
import weakref
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from moefm.checks import check_count
from yanlm.data import hub
from yanlm.data.corpus import Corpus, Source
from yanlm.data.row_keys import row_key
from yanlm.data.rows import DataError, Row, words_of
from yanlm.data.sources import SHUFFLED

Slice = list[tuple[int, Row]]
"""The rows of one process, each with its index in the global batch."""

_ORDER, _SHUFFLE = 1, 2  # tell the orders of a bucket's batches and of a stream's rows from other draws


class RowStream(Iterator[Slice]):
    """Endless batches: rank r of W gets the rows r B/W to (r+1) B/W of each global batch of B.

    Rows in memory give the same global batch for any number of processes. From a hub stream each process reads its own
    part (``split_dataset_by_node``), ``SHUFFLED`` rows at a time in random order, and starts again at the end.

    Args:
        corpus: Source of the rows.
        batch_size: B, the rows of a global batch.
        seed: Seed of permutations and draws.
        rank: This process.
        world: How many processes there are; divides ``batch_size``.
        bucket: Steps whose rows are sorted by :attr:`length` together; 1 leaves rows as they were drawn.

    Raises:
        ValueError: The batch size is not positive or not divisible by ``world``, there is no such rank, or ``bucket``
            is not positive, or above 1 with a hub stream, because no process sees all its rows.

    Example:
        >>> from yanlm.data.corpus import load_corpus
        >>> stream = RowStream(load_corpus("builtin:rooms"), 4, seed=0, rank=1, world=2)
        >>> [index for index, row in next(stream)]
        [2, 3]
    """

    def __init__(
        self, corpus: Corpus, batch_size: int, *, seed: int, rank: int = 0, world: int = 1, bucket: int = 1
    ) -> None:
        if batch_size < 1 or world < 1 or batch_size % world:
            raise ValueError(f"batch_size must be a positive multiple of world ({world}), got {batch_size}")
        if not 0 <= rank < world:
            raise ValueError(f"rank must be from 0 to world - 1 = {world - 1}, got {rank}")
        self.bucket = check_count("bucket", bucket)
        if bucket > 1 and (streams := [source.name for source in corpus.sources if source.rows is None]):
            raise ValueError(f"bucket must be 1 with the stream {streams[0]}, got {bucket}: its rows are not in memory")
        self.corpus, self.batch_size, self.seed, self.rank, self.world = corpus, batch_size, seed, rank, world
        self.length: Callable[[Row], int] = lambda row: len(words_of(row))  # may be set: what rows are sorted by
        self.step = 0
        """How many global batches were given."""
        self._positions = [0] * len(corpus.sources)  # rows taken from each source in memory, up to the current bucket
        self._batches: list[list[Row]] = []  # of the current bucket
        self._after: list[int] = []  # positions when it is done
        self._orders: dict[int, tuple[int, NDArray[np.int64]]] = {}
        self._cursors = [None if part.rows is not None else _Cursor(part, rank, world, seed) for part in corpus.sources]
        self._bounds = np.cumsum(corpus.weights)[:-1]

    def __next__(self) -> Slice:
        mine = range(self.rank * self.batch_size // self.world, (self.rank + 1) * self.batch_size // self.world)
        if self.bucket == 1:
            batch = self._drawn(mine)
        else:
            rows = self._sorted()
            batch = [(index, rows[index]) for index in mine]
        self.step += 1
        return batch

    def _drawn(self, mine: range) -> Slice:
        """The batch of this step as it is drawn."""
        batch: Slice = []
        for index, chosen in enumerate(self._draw_sources(self.step)):
            position = self._positions[chosen]
            self._positions[chosen] += 1
            if index in mine:
                cursor = self._cursors[chosen]
                batch.append((index, self._row(chosen, position) if cursor is None else next(cursor)))
        return batch

    def _sorted(self) -> list[Row]:
        """The global batch of this step, from the sorted rows of its bucket."""
        place = self.step % self.bucket
        if not self._batches:
            self._batches = self._bucket(self.step - place)
        batch = self._batches[place]
        if place == self.bucket - 1:  # only now: a stream restored in between draws its bucket again
            self._positions, self._batches = self._after, []
        return batch

    def _bucket(self, first: int) -> list[list[Row]]:
        rows: list[Row] = []
        self._after = list(self._positions)
        for step in range(first, first + self.bucket):
            for chosen in self._draw_sources(step):
                rows.append(self._row(chosen, self._after[chosen]))
                self._after[chosen] += 1
        lengths = list(map(self.length, rows))
        order: Iterable[int] = range(self.bucket)
        if min(lengths) < max(lengths):  # otherwise batches are those of bucket = 1
            rows = [rows[i] for i in np.argsort(lengths, kind="stable")]
            order = _generator(self.seed, first, self.bucket, _ORDER).permutation(self.bucket)
        return [rows[k * self.batch_size : (k + 1) * self.batch_size] for k in order]

    def _draw_sources(self, step: int) -> list[int]:
        if len(self.corpus.sources) == 1:
            return [0] * self.batch_size
        points = _generator(self.seed, step).random(self.batch_size)
        return [int(source) for source in np.searchsorted(self._bounds, points, side="right")]

    def _row(self, chosen: int, position: int) -> Row:
        rows = self.corpus.sources[chosen].rows or []
        epoch, place = divmod(position, len(rows))
        if chosen not in self._orders or self._orders[chosen][0] != epoch:
            self._orders[chosen] = epoch, _generator(self.seed, epoch, chosen).permutation(len(rows))
        return rows[self._orders[chosen][1][place]]

    def state_dict(self) -> dict[str, Any]:
        """Where the stream stands, as numbers, strings and lists that JSON can hold.

        With a hub stream among the sources the state is this rank's; otherwise it serves any number of processes.
        """
        state: dict[str, Any] = {
            "step": self.step,
            "positions": list(self._positions),
            "batch_size": self.batch_size,
            "seed": self.seed,
            "fingerprint": self.corpus.fingerprint,
        }
        if self.bucket > 1:
            state["bucket"] = self.bucket
        if any(self._cursors):
            state |= {"rank": self.rank, "world": self.world}
            state["streams"] = [cursor.state_dict() if cursor else None for cursor in self._cursors]
        return state

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Goes to where a stream of the same corpus, batch size, bucket and seed stood.

        Raises:
            ValueError: The state is that of another corpus, batch size, bucket, seed or, with hub streams, process.
        """
        expected = self.state_dict()
        for name, why in (
            ("fingerprint", "the data changed since it was saved; resume with the same data"),
            ("batch_size", "resume with the same batch size"),
            ("bucket", "resume with the same bucket"),
            ("seed", "resume with the same seed"),
            ("world", "a hub stream resumes with as many processes as before"),
            ("rank", "each process has its own state of a hub stream"),
        ):
            if state.get(name) != expected.get(name):
                raise ValueError(f"state: {name} is {state.get(name)}, expected {expected.get(name)}: {why}")
        self.step, self._positions, self._batches = state["step"], list(state["positions"]), []
        for cursor, saved in zip(self._cursors, state.get("streams", ()), strict=False):
            if cursor is not None:
                cursor.load_state_dict(saved)


def _generator(*seeds: int) -> np.random.Generator:
    return np.random.default_rng([seed % 2**64 for seed in seeds])


class _Cursor(Iterator[Row]):
    """The rows of this process's part of a hub stream, again and again, without those that are held out.

    They are read in blocks of ``SHUFFLED`` and given in an order drawn for the block. The state is where the block
    began and how many of its rows were given, so that a restored stream reads the block again and goes on exactly.
    """

    def __init__(self, source: Source, rank: int, world: int, seed: int) -> None:
        self.source, self.rank, self.world, self.seed = source, rank, world, seed
        self.passes = 0
        self._closing = weakref.finalize(self, lambda: None)
        self._open(None)

    def _open(self, state: dict[str, Any] | None, block: int = 0) -> None:
        from datasets.distributed import split_dataset_by_node

        # a copy, since the position of a stream is kept inside the objects it is made of
        self.dataset = split_dataset_by_node(copy.deepcopy(self.source.stream), self.rank, self.world)
        if state is not None:
            self.dataset.load_state_dict(state)
        self._records = hub.stream_rows(self.dataset, self.source.columns)
        self._began, self._next = state, state
        self._block, self._given = block, 0
        self._rows: list[Row] = []
        self._closing.detach()
        self._closing = weakref.finalize(self, self._records.close)  # at exit, before the library's modules are gone

    def _read(self) -> None:
        """Read the next block, which is empty at the end of the stream."""
        if self._rows:
            self._block += 1
        rows: list[Row] = []
        self._began = self._next
        while len(rows) < SHUFFLED and (record := next(self._records, None)) is not None:
            rows += [row for row in record if not isinstance(row, DataError) and row_key(row) not in self.source.held]
        if rows:
            self._next = copy.deepcopy(self.dataset.state_dict())
        order = _generator(self.seed, self.rank, self.passes, self._block, _SHUFFLE).permutation(len(rows))
        self._rows, self._given = [rows[k] for k in order], 0

    def __next__(self) -> Row:
        try:
            if self._given == len(self._rows):
                self._read()
            if not self._rows:  # the end of a pass; the start of the next
                self.passes += 1
                self._open(None)
                self._read()
        except Exception as error:
            why = f"the stream broke off ({hub.one_line(error)})"
            raise DataError(f"{self.source.name}: {why}; check the network and resume") from error
        if not self._rows:
            raise DataError(
                f"{self.source.name}: process {self.rank} of {self.world} finds no row in it; use fewer processes"
            )
        self._given += 1
        return self._rows[self._given - 1]

    def state_dict(self) -> dict[str, Any]:
        return {"passes": self.passes, "dataset": self._began, "block": self._block, "given": self._given}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.passes = state["passes"]
        self._open(copy.deepcopy(state["dataset"]), state["block"])
        if state["given"]:  # else the block was not begun
            self._read()
            self._given = state["given"]
