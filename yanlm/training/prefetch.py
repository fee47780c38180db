"""Reading one step ahead in a thread, while this step trains."""

from __future__ import annotations

import contextlib
import copy
import queue
import threading
from typing import Any, Protocol

from yanlm.tokenization.collation import Batch

MicroBatch = tuple[Batch, list[int]]


class Draw(Protocol):
    """A source of batches: endless, with a position that can be saved and restored."""

    def next(self) -> MicroBatch:
        """This process's next micro-batch, tensors on the CPU, and the seeds of its rows."""
        ...

    def state_dict(self) -> Any:
        """Where it stands, as JSON would hold it."""
        ...

    def load_state_dict(self, state: Any) -> None:
        """Go on from there."""
        ...


class Ahead:
    """The micro-batches of each step in turn, with the state of the draw right after them.

    That state, not the draw's own, belongs in a checkpoint: the draw has already moved on.
    """

    def __init__(self, draw: Draw, accumulate: int, pin: bool) -> None:
        self._draw, self._accumulate, self._pin = draw, accumulate, pin
        self._ready: queue.Queue[Any] = queue.Queue(maxsize=1)
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._read, name="yanlm-batches", daemon=True)
        self._thread.start()

    def take(self) -> tuple[list[MicroBatch], Any]:
        """The next step's micro-batches and the draw's state after them; errors of the draw are raised here."""
        item = self._ready.get()
        if isinstance(item, BaseException):
            raise item
        batches, state = item
        return batches, state

    def close(self) -> None:
        """Stop reading; the draw is free again afterwards."""
        self._closed.set()
        with contextlib.suppress(queue.Empty):
            self._ready.get_nowait()  # the thread may wait for room
        self._thread.join(timeout=5)

    def _read(self) -> None:
        try:
            while not self._closed.is_set():
                batches = [self._next() for _ in range(self._accumulate)]
                self._put((batches, copy.deepcopy(self._draw.state_dict())))
        except StopIteration:
            self._put(RuntimeError("the draw of batches came to an end: it must be endless"))
        except BaseException as error:
            self._put(error)

    def _next(self) -> MicroBatch:
        batch, seeds = self._draw.next()
        return {name: x.pin_memory() if self._pin else x for name, x in batch.items()}, seeds

    def _put(self, item: object) -> None:
        while not self._closed.is_set():
            try:
                return self._ready.put(item, timeout=0.1)
            except queue.Full:
                continue
