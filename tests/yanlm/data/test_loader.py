"""Batches: functions of seed and step, the same for any number of processes, exact after a restart."""

import itertools
import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from yanlm.data import loader
from yanlm.data.corpus import Corpus, Source, corpus_of, load_corpus
from yanlm.data.loader import RowStream
from yanlm.data.row_keys import row_key
from yanlm.data.rows import DataError, Row


def memory(*sizes: int, weights: tuple[float, ...] = ()) -> Corpus:
    sources = tuple(
        Source(f"s{k}", [{"text": f"{k} {n}"} for n in range(size)], [], []) for k, size in enumerate(sizes)
    )
    shares = weights or tuple(size / sum(sizes) for size in sizes)
    return Corpus("m", sources, shares, [], [], "text", [])


def taken(stream: RowStream, steps: int) -> list[list[tuple[int, Row]]]:
    return [next(stream) for _ in range(steps)]


def restored(stream: RowStream, *, rank: int = 0, world: int = 1) -> RowStream:
    other = RowStream(stream.corpus, stream.batch_size, seed=stream.seed, rank=rank, world=world, bucket=stream.bucket)
    text = json.dumps(stream.state_dict())
    assert len(text) < 4000
    other.load_state_dict(json.loads(text))
    return other


corpora = st.lists(st.integers(1, 30), min_size=1, max_size=3).map(lambda sizes: memory(*sizes))


class TestMemory:
    @given(corpora, st.integers(1, 12), st.integers(-3, 2**40), st.integers(0, 12), st.integers(1, 8))
    def test_restored_equals_uninterrupted(self, corpus: Corpus, size: int, seed: int, before: int, after: int) -> None:
        stream = RowStream(corpus, size, seed=seed)
        taken(stream, before)
        again = restored(stream)
        assert again.step == before
        assert taken(again, after) == taken(stream, after)
        assert again.state_dict() == stream.state_dict()

    @given(corpora, st.integers(1, 4), st.integers(1, 4), st.integers(0, 9), st.integers(1, 6))
    def test_ranks_share_the_batch(self, corpus: Corpus, each: int, world: int, seed: int, steps: int) -> None:
        whole = taken(RowStream(corpus, each * world, seed=seed), steps)
        parts = [taken(RowStream(corpus, each * world, seed=seed, rank=r, world=world), steps) for r in range(world)]
        for step in range(steps):
            assert [pair for part in parts for pair in part[step]] == whole[step]
            assert [index for index, _ in whole[step]] == list(range(each * world))

    def test_resumes_with_another_number_of_processes(self) -> None:
        stream = RowStream(memory(7, 5), 6, seed=1)
        taken(stream, 4)
        parts = [taken(restored(stream, rank=rank, world=3), 5) for rank in range(3)]
        assert [list(itertools.chain(*step)) for step in zip(*parts, strict=True)] == taken(stream, 5)

    @given(st.integers(1, 40), st.integers(1, 9), st.integers(0, 5))
    def test_each_pass_holds_every_row_once(self, rows: int, size: int, seed: int) -> None:
        drawn = [row["text"] for batch in taken(RowStream(memory(rows), size, seed=seed), 2 * rows) for _, row in batch]
        for start in range(0, len(drawn) - rows + 1, rows):
            assert len(set(drawn[start : start + rows])) == rows

    def test_passes_and_seeds_differ(self) -> None:
        one, two, other = taken(RowStream(memory(50), 50, seed=0), 2) + taken(RowStream(memory(50), 50, seed=1), 1)
        assert one != two and one != other

    def test_weights(self) -> None:
        stream = RowStream(memory(10, 1000, 10, weights=(0.7, 0.2, 0.1)), 50, seed=0)
        counts = Counter(row["text"][0] for batch in taken(stream, 100) for _, row in batch)
        assert [round(counts[source] / 5000, 1) for source in "012"] == [0.7, 0.2, 0.1]

    def test_it_is_the_same_everywhere(self) -> None:
        drawn = [row["text"] for _, row in next(RowStream(memory(100, 100), 8, seed=5))]
        assert drawn == ["1 91", "1 6", "1 26", "0 29", "0 49", "0 91", "0 4", "0 84"]

    def test_errors(self) -> None:
        corpus = memory(5)
        for size, world in ((3, 2), (0, 1), (-2, 2), (4, 0)):
            with pytest.raises(ValueError, match=r"batch_size must be a positive multiple of world \(\d\), got"):
                RowStream(corpus, size, seed=0, world=world)
        with pytest.raises(ValueError, match="rank must be from 0 to world - 1 = 1, got 2"):
            RowStream(corpus, 4, seed=0, rank=2, world=2)

    @pytest.mark.parametrize(
        ("name", "value", "hint"),
        [("fingerprint", "g", "same data"), ("batch_size", 8, "same batch size"), ("seed", 1, "same seed")],
    )
    def test_foreign_states_are_refused(self, name: str, value: Any, hint: str) -> None:
        stream = RowStream(memory(5), 4, seed=0)
        with pytest.raises(ValueError, match=f"state: {name} is {value}, expected .*{hint}"):
            stream.load_state_dict({**stream.state_dict(), name: value})


class TestBuckets:
    @given(corpora, st.integers(1, 6), st.integers(2, 5), st.integers(0, 2**40), st.integers(0, 12), st.integers(1, 8))
    def test_restored_equals_uninterrupted(
        self, corpus: Corpus, size: int, bucket: int, seed: int, before: int, after: int
    ) -> None:
        stream = RowStream(corpus, size, seed=seed, bucket=bucket)
        taken(stream, before)
        again = restored(stream)
        assert taken(again, after) == taken(stream, after)
        assert again.state_dict() == stream.state_dict()

    @given(corpora, st.integers(1, 6), st.integers(2, 5), st.integers(0, 9))
    def test_holds_what_is_drawn_without_it(self, corpus: Corpus, size: int, bucket: int, seed: int) -> None:
        plain, sorted_ = (taken(RowStream(corpus, size, seed=seed, bucket=b), 2 * bucket) for b in (1, bucket))
        for first in (0, bucket):
            rows = [
                Counter(row["text"] for batch in some[first : first + bucket] for _, row in batch)
                for some in (plain, sorted_)
            ]
            assert rows[0] == rows[1]

    @given(corpora, st.integers(1, 4), st.integers(1, 3), st.integers(2, 4), st.integers(0, 9))
    def test_ranks_share_the_batch(self, corpus: Corpus, each: int, world: int, bucket: int, seed: int) -> None:
        size, steps = each * world, 2 * bucket + 1
        whole = taken(RowStream(corpus, size, seed=seed, bucket=bucket), steps)
        ranks = [RowStream(corpus, size, seed=seed, rank=r, world=world, bucket=bucket) for r in range(world)]
        parts = [taken(stream, steps) for stream in ranks]
        assert [[pair for part in parts for pair in part[step]] for step in range(steps)] == whole

    def test_rows_of_a_batch_are_of_like_length(self) -> None:
        rows: list[Row] = [{"text": "x" * length} for length in range(1, 81)]
        corpus = Corpus("m", (Source("s", rows, [], []),), (1.0,), [], [], "text", [])
        batches = [
            [len(row["text"]) for _, row in batch] for batch in taken(RowStream(corpus, 8, seed=0, bucket=10), 20)
        ]
        assert all(max(batch) - min(batch) == 7 for batch in batches)
        order = [batch[0] for batch in batches[:10]]
        assert order != sorted(order) and order != [batch[0] for batch in batches[10:]]

    def test_a_length_of_ones_own(self) -> None:
        corpus = memory(40)
        rows = {row["text"]: k for k, row in enumerate(corpus.sources[0].rows or [])}
        stream = RowStream(corpus, 4, seed=0, bucket=10)
        stream.length = lambda row: -rows[row["text"]]
        places = [[rows[row["text"]] for _, row in batch] for batch in taken(stream, 10)]
        assert all(max(batch) - min(batch) == 3 for batch in places)

    def test_rows_of_one_length_stay_as_they_were_drawn(self) -> None:
        rows: list[Row] = [{"text": f"{number:03}"} for number in range(50)]
        one_length = corpus_of("numbers", [Source("numbers", rows, rows[:1], rows[:1])], (1.0,))
        plain, sorted_ = (taken(RowStream(one_length, 4, seed=0, bucket=b), 20) for b in (1, 5))
        assert plain == sorted_

    def test_errors(self, hub_corpus: Corpus) -> None:
        with pytest.raises(ValueError, match="bucket must be"):
            RowStream(memory(5), 4, seed=0, bucket=0)
        with pytest.raises(ValueError, match=r"bucket must be 1 with the stream .*, got 4"):
            RowStream(hub_corpus, 4, seed=0, bucket=4)
        state = RowStream(memory(5), 4, seed=0, bucket=2).state_dict()
        with pytest.raises(ValueError, match="state: bucket is 2, expected None: resume with the same bucket"):
            RowStream(memory(5), 4, seed=0).load_state_dict(state)


@pytest.fixture
def hub_folder(tmp_path: Path) -> Path:
    """Four files of 600 rows each: a data set of several shards."""
    pytest.importorskip("datasets")
    for shard in range(4):
        rows = [json.dumps({"text": f"{shard} {n}", "n": n}) for n in range(600)]
        (tmp_path / f"part{shard}.jsonl").write_text("\n".join(rows) + "\n")
    return tmp_path


@pytest.fixture
def hub_corpus(hub_folder: Path) -> Corpus:
    return load_corpus(f"hf:{hub_folder}")


@pytest.fixture(scope="module")
def small_stream() -> Corpus:
    """A stream of 70 rows in records of one to three rows."""
    datasets = pytest.importorskip("datasets")
    records = [
        {"story": {"text": [f"{n} {k} ?" for k in range(n % 3 + 1)], "answer": ["a"] * (n % 3 + 1)}} for n in range(35)
    ]
    stream = datasets.Dataset.from_list(records).to_iterable_dataset(num_shards=3)
    return Corpus("s", (Source("s", None, [], [], stream=stream),), (1.0,), [], [], "qa", [])


class TestHub:
    @pytest.mark.parametrize("world", [1, 2, 3])
    @pytest.mark.parametrize("before", [0, 1, 40, 110])
    def test_restored_equals_uninterrupted(self, hub_corpus: Corpus, world: int, before: int) -> None:
        for rank in range(world):
            stream = RowStream(hub_corpus, 24, seed=0, rank=rank, world=world)
            taken(stream, before)
            again = restored(stream, rank=rank, world=world)
            assert taken(again, 30) == taken(stream, 30)
            third = restored(again, rank=rank, world=world)  # a run may be killed more than once
            assert taken(third, 30) == taken(again, 30) == taken(stream, 30)

    @pytest.mark.parametrize("together", [300, 2000])
    def test_one_process_reads_block_by_block_and_again(
        self, hub_corpus: Corpus, monkeypatch: pytest.MonkeyPatch, together: int
    ) -> None:
        monkeypatch.setattr(loader, "SHUFFLED", together)

        def drawn(seed: int) -> list[str]:
            return [row["text"] for batch in taken(RowStream(hub_corpus, 100, seed=seed), 40) for _, row in batch]

        expected = [f"{shard} {n}" for shard in range(4) for n in range(600)][400:]
        first, second = drawn(0)[:2000], drawn(0)[2000:]
        for start in range(0, 2000, together):
            block = expected[start : start + together]
            assert sorted(first[start : start + together]) == sorted(second[start : start + together]) == sorted(block)
            assert first[start : start + together] not in (block, second[start : start + together])
        assert drawn(0)[:2000] == first != drawn(1)[:2000]

    @given(st.integers(1, 90), st.integers(0, 150), st.integers(1, 40), st.integers(0, 3))
    def test_blocks_of_any_size_resume_anywhere(
        self, small_stream: Corpus, together: int, before: int, after: int, seed: int
    ) -> None:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(loader, "SHUFFLED", together)
            stream = RowStream(small_stream, 3, seed=seed)
            taken(stream, before)
            again = restored(stream)
            assert taken(again, after) == taken(stream, after)
            assert again.state_dict() == stream.state_dict()
            assert taken(restored(again), 9) == taken(stream, 9)

    @pytest.mark.parametrize("world", [2, 3, 4])
    def test_ranks_read_every_row_once_and_none_held_out(self, hub_corpus: Corpus, world: int) -> None:
        held = {row_key(row) for row in hub_corpus.validation + hub_corpus.test}
        streams = [RowStream(hub_corpus, world, seed=0, rank=rank, world=world) for rank in range(world)]
        seen: Counter[str] = Counter()
        for stream in streams:  # one after the other, and the positions of one are nothing to the others
            while stream._cursors[0] is not None and stream._cursors[0].passes == 0:
                seen.update(row["text"] for _, row in next(stream))
            assert not any(row_key({"text": text}) in held for text in seen)
        assert len(seen) == 2000 and sum(seen.values()) == 2000 + world

    def test_streams_side_by_side(self, hub_corpus: Corpus) -> None:
        one, two = (RowStream(hub_corpus, 10, seed=0) for _ in range(2))
        alone = taken(RowStream(hub_corpus, 10, seed=0), 6)
        assert [next(stream) for _ in range(6) for stream in (one, two)] == [b for b in alone for _ in range(2)]

    def test_mixed_with_memory(self, hub_folder: Path, tmp_path: Path) -> None:
        (tmp_path / "own.csv").write_text("text\n" + "".join(f"own {n}\n" for n in range(50)))
        corpus = load_corpus([f"hf:{hub_folder}@0.75", f"{tmp_path / 'own.csv'}@0.25"])
        assert corpus.rows is None and corpus.weights == (0.75, 0.25)
        stream = RowStream(corpus, 40, seed=0, rank=1, world=2)
        drawn = [row["text"] for batch in taken(stream, 20) for _, row in batch]
        assert 0.15 < sum(text.startswith("own") for text in drawn) / len(drawn) < 0.35
        assert taken(restored(stream, rank=1, world=2), 9) == taken(stream, 9)

    def test_other_processes_are_refused(self, hub_corpus: Corpus) -> None:
        state = RowStream(hub_corpus, 4, seed=0, rank=1, world=2).state_dict()
        with pytest.raises(ValueError, match=r"world is 2, expected 4: .* as many processes"):
            RowStream(hub_corpus, 4, seed=0, world=4).load_state_dict(state)
        with pytest.raises(ValueError, match="rank is 1, expected 0"):
            RowStream(hub_corpus, 4, seed=0, world=2).load_state_dict(state)

    def test_a_stream_that_breaks_off(self) -> None:
        datasets = pytest.importorskip("datasets")

        def records(broken: bool) -> Any:
            yield {"text": "a"}
            if broken:
                raise OSError("connection\nlost")

        for broken, message in (
            (True, r"s: the stream broke off \(connection lost\)"),
            (False, "s: process 1 of 2 finds"),
        ):
            stream = datasets.IterableDataset.from_generator(records, gen_kwargs={"broken": broken})
            corpus = Corpus("s", (Source("s", None, [], [], stream=stream),), (1.0,), [], [], "text", [])
            with pytest.raises(DataError, match=message):
                taken(RowStream(corpus, 2, seed=0, rank=int(not broken), world=1 + (not broken)), 3)
