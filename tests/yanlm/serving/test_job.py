"""What can be filled together."""

from __future__ import annotations

from yanlm.generation.options import GenerationOptions
from yanlm.serving.job import Job


def test_jobs_go_together_where_all_but_text_and_seed_is_the_same() -> None:
    first = Job("a", 0, "auto", GenerationOptions(samples=2, candidates=3))
    assert first.results == 6
    assert first.goes_with(Job("b", 9, "auto", GenerationOptions(samples=2, candidates=3)))
    for other in (
        first._replace(length=2),
        first._replace(watching=True),
        first._replace(options=GenerationOptions(samples=2)),
    ):
        assert not first.goes_with(other)
