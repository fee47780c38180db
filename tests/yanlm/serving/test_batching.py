"""Batches: the same texts whatever shares them, none spoiled by another, none lost at the end."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
import torch

from yanlm.generation.options import GenerationOptions
from yanlm.serving.batching import Batcher
from yanlm.serving.job import Answer, Job
from yanlm.serving.metrics import Metrics
from yanlm.serving.refusal import Refusal
from yanlm.serving.served import Served

TEXTS = ["the <mask> sat", "a small <mask> near the <mask> house in the old town .", "the dog <mask>", "<mask> ran ."]


def job(text: str, seed: int = 0, watching: bool = False, **options: Any) -> Job:
    return Job(text, seed, 2, GenerationOptions(**options), watching)


def run(served: Served, work: Callable[[Batcher], Coroutine[Any, Any, Any]], **given: Any) -> Any:
    """What ``work`` does with a batcher that runs, until all is answered."""

    async def main() -> Any:
        batcher = Batcher(served.writer, served.limits, Metrics(), **given)
        running = asyncio.create_task(batcher.run())
        try:
            return await work(batcher)
        finally:
            batcher.stop()
            await running
            batcher.close()

    return asyncio.run(main())


def together(served: Served, jobs: list[Job]) -> list[Answer]:
    async def ask(batcher: Batcher) -> Any:
        return await asyncio.gather(*batcher.put(jobs))

    return run(served, ask)


@pytest.mark.parametrize("config", [None, {}, {"method": "mdlm"}], ids=["encoder", "flow", "mdlm"])
def test_a_text_is_the_same_in_any_batch(make_served: Callable[..., Served], config: dict[str, Any] | None) -> None:
    served = make_served(config)
    jobs = [job(text, seed=seed, samples=2) for seed in range(3) for text in TEXTS]
    answers = together(served, jobs)
    assert {answer.together for answer in answers} == {12}
    for asked, answer in zip(jobs, answers, strict=True):
        [alone] = served.writer.write(asked.text, seed=asked.seed, length=2, samples=2)
        assert answer.written == alone
    watched = together(served, [one._replace(watching=True) for one in jobs])
    assert [answer.written for answer in watched] == [answer.written for answer in answers]
    assert all(answer.watched is not None for answer in watched)


def test_only_like_options_share_a_batch_and_none_is_too_large(make_served: Callable[..., Served]) -> None:
    jobs = [job(TEXTS[0], steps=1 + number % 2) for number in range(6)]
    assert [answer.together for answer in together(make_served(), jobs)] == [3] * 6
    jobs = [job(TEXTS[0], samples=2) for _ in range(5)]
    assert [answer.together for answer in together(make_served(batch=4), jobs)] == [2, 2, 2, 2, 1]


def test_one_bad_text_spoils_no_other(served: Served) -> None:
    jobs = [job(TEXTS[0]), job("word " * 99 + "<mask>")._replace(field="prompt"), job(TEXTS[2])]

    async def ask(batcher: Batcher) -> Any:
        return await asyncio.gather(*batcher.put(jobs), return_exceptions=True)

    first, second, third = run(served, ask)
    assert isinstance(second, Refusal) and second.status == 400 and second.message.startswith("the text and its slots")
    assert second.field == "prompt" and second.message.endswith("; shorten it")
    assert [first.written.source, third.written.source] == [TEXTS[0], TEXTS[2]]


def test_a_damaged_model_is_no_fault_of_the_text(served: Served) -> None:
    with torch.no_grad():
        served.writer.model.encoder.embedding.weight.fill_(float("nan"))

    async def ask(batcher: Batcher) -> Any:
        return await asyncio.gather(*batcher.put([job(TEXTS[0])]), return_exceptions=True)

    [refusal] = run(served, ask)
    assert isinstance(refusal, Refusal) and refusal.status == 500 and "not finite" in refusal.message


def test_a_full_queue_takes_nothing(make_served: Callable[..., Served]) -> None:
    async def ask(batcher: Batcher) -> None:
        waiting = batcher.put([job(TEXTS[0])] * 2)
        with pytest.raises(Refusal, match="texts wait already") as refusal:
            batcher.put([job(TEXTS[0])] * 2)
        assert refusal.value.status == 503 and refusal.value.headers["Retry-After"] == "1"
        assert len(batcher.queue) == 2
        await asyncio.gather(*waiting)

    run(make_served(queue=3), ask)


def test_what_was_asked_before_the_stop_is_answered(served: Served) -> None:
    async def ask(batcher: Batcher) -> Any:
        waiting = batcher.put([job(text, steps=1 + number) for number, text in enumerate(TEXTS)])
        batcher.stop()
        with pytest.raises(Refusal, match="stops"):
            batcher.put([job(TEXTS[0])])
        return await asyncio.gather(*waiting)

    assert [answer.written.source for answer in run(served, ask)] == TEXTS


def test_what_nobody_waits_for_is_not_begun(served: Served) -> None:
    """The model is held up while one of the waiting jobs loses its client."""
    let_go, begun, seen = threading.Event(), threading.Event(), []

    def between() -> None:
        seen.append(threading.current_thread().name)
        begun.set()
        assert let_go.wait(60)

    async def ask(batcher: Batcher) -> Any:
        [first] = batcher.put([job(TEXTS[0])])
        await asyncio.to_thread(begun.wait, 60)
        second, third = batcher.put([job(TEXTS[1], steps=2), job(TEXTS[2], steps=4)])
        second.cancel()
        let_go.set()
        await asyncio.gather(first, third)

    run(served, ask, between=between)
    assert len(seen) == 2 and seen[0].startswith("model")
