"""Requests that wait for the model, and the batches in which it answers them."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

from yanlm.generation.result import DAMAGED
from yanlm.generation.watching import Watched
from yanlm.serving.job import Answer, Job
from yanlm.serving.limits import Limits
from yanlm.serving.metrics import Metrics
from yanlm.serving.refusal import Refusal, bad
from yanlm.writer import Writer, Written


class Waiting(NamedTuple):
    """A job in the queue."""

    job: Job
    answer: asyncio.Future[Answer]
    since: float


class Batcher:
    """Fills texts one batch at a time, in its own thread. Texts that wait meanwhile share the next batch.

    A batch holds the first text in the queue and those with the same options, up to ``limits.batch`` results. A text
    depends only on its own seed, so the batch does not change it.

    Args:
        writer: Fills the texts.
        limits: Limits of queue and batch.
        metrics: Counters.
        between: Called in that thread before every batch.
    """

    def __init__(
        self, writer: Writer, limits: Limits, metrics: Metrics, between: Callable[[], None] | None = None
    ) -> None:
        self.writer, self.limits, self.metrics, self.between = writer, limits, metrics, between
        self.queue: deque[Waiting] = deque()
        self._wake = asyncio.Event()
        self._stopping = False
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="model")

    def put(self, jobs: Sequence[Job]) -> list[asyncio.Future[Answer]]:
        """Queue all jobs of a request, or none.

        Raises:
            Refusal: The queue is full, or the server stops.
        """
        if self._stopping:
            raise Refusal(503, "the server stops; ask another one, or later", headers={"Retry-After": "5"})
        if len(self.queue) + len(jobs) > self.limits.queue:
            raise Refusal(503, f"{len(self.queue)} texts wait already; try again", headers={"Retry-After": "1"})
        loop, now = asyncio.get_running_loop(), time.perf_counter()
        waiting = [Waiting(job, loop.create_future(), now) for job in jobs]
        self.queue.extend(waiting)
        self.metrics.queued(len(self.queue))
        self._wake.set()
        return [item.answer for item in waiting]

    async def run(self) -> None:
        """Answer until :meth:`stop` was called and nothing waits."""
        while True:
            batch = self._next()
            if batch:
                await self._answer(batch)
            elif self._stopping:
                return
            else:
                self._wake.clear()
                await self._wake.wait()

    def stop(self) -> None:
        """Accept nothing more; waiting texts are still answered."""
        self._stopping = True
        self._wake.set()

    def close(self) -> None:
        """End the thread, once :meth:`run` has returned."""
        self._thread.shutdown()

    def _next(self) -> list[Waiting]:
        """The jobs of the next batch, without those whose client has left."""
        batch: list[Waiting] = []
        rest: deque[Waiting] = deque()
        room = self.limits.batch
        while self.queue:
            first = self.queue.popleft()
            if first.answer.done():
                continue
            fits = not batch or (first.job.goes_with(batch[0].job) and first.job.results <= room)
            (batch if fits else rest).append(first)
            room -= first.job.results if fits else 0
        self.queue = rest
        self.metrics.queued(len(rest))
        return batch

    async def _answer(self, batch: Sequence[Waiting]) -> None:
        """Fill a batch; where that fails, each text by itself, so that one cannot spoil the others."""
        try:
            answers = await self._filled(batch)
        except Exception as error:
            if len(batch) > 1:
                for alone in batch:
                    await self._answer([alone])
            elif not batch[0].answer.done():
                batch[0].answer.set_exception(_refusal(error, batch[0].job.field))
            return
        for item, answer in zip(batch, answers, strict=True):
            if not item.answer.done():
                item.answer.set_result(answer)

    async def _filled(self, batch: Sequence[Waiting]) -> list[Answer]:
        jobs, began = [item.job for item in batch], time.perf_counter()
        filled = await asyncio.get_running_loop().run_in_executor(self._thread, self._fill, jobs)
        seconds = time.perf_counter() - began
        self.metrics.filled(len(jobs), sum(out.tokens * len(out.samples) for out, _ in filled), seconds)
        return [Answer(*pair, began - item.since, seconds, len(jobs)) for item, pair in zip(batch, filled, strict=True)]

    def _fill(self, jobs: Sequence[Job]) -> list[tuple[Written, Watched | None]]:
        """In the model's thread."""
        if self.between is not None:
            self.between()
        first, texts, seeds = jobs[0], [job.text for job in jobs], [job.seed for job in jobs]
        most = self.limits.batch
        if first.watching:
            return [
                (out, seen)
                for out, seen in self.writer.watch(
                    texts, length=first.length, seed=seeds, batch_size=most, options=first.options
                )
            ]
        written = self.writer.write(texts, length=first.length, seed=seeds, batch_size=most, options=first.options)
        return [(out, None) for out in written]


def _refusal(error: Exception, field: str) -> Exception:
    """What is said of the text in this field, which cannot be filled; a failure of ours stays what it is."""
    if not isinstance(error, ValueError):
        return error
    said = str(error).removeprefix("text 1: ")
    if field == "prompt":  # where the field for the number of tokens is OpenAI's
        said = said.replace(" length=", " max_tokens=")
    return Refusal(500, said) if said == DAMAGED else bad(field, said)
