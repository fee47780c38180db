"""The records of known data sets, under any name and in files, give the rows of their task."""

import csv
import itertools
import json
from pathlib import Path
from typing import Any

import pytest

from yanlm.data.corpus import Corpus, load_corpus
from yanlm.data.hub_records import known, outcomes, rows_of
from yanlm.data.loader import RowStream
from yanlm.data.rows import DataError, Row
from yanlm.tasks.rows import load_task

LINES = [
    ("Mary moved to the bathroom.", ""),
    ("John went to the hallway.", ""),
    ("Where is Mary? ", "bathroom"),
    ("Mary went to the garden.", ""),
    ("Where is Mary? ", "garden"),
]
STORY = {
    "id": [str(n + 1) for n in range(5)],
    "type": [int(bool(answer)) for _, answer in LINES],
    "text": [text for text, _ in LINES],
    "supporting_ids": [["1"] if answer else [] for _, answer in LINES],
    "answer": [answer for _, answer in LINES],
}
ASKED: list[Row] = [
    {
        "context": "Mary moved to the bathroom. John went to the hallway.",
        "question": "Where is Mary?",
        "answer": "bathroom",
    },
    {
        "context": "Mary moved to the bathroom. John went to the hallway. Mary went to the garden.",
        "question": "Where is Mary?",
        "answer": "garden",
    },
]
NARRATIVE = {
    "document": {
        "id": "x",
        "kind": "movie",
        "summary": {"text": " A man\n dies.\n", "tokens": ["A"]},
        "text": "<html>",
    },
    "question": {"text": "Who dies?", "tokens": ["Who"]},
    "answers": [{"text": "A man", "tokens": []}, {"text": "a man.", "tokens": []}],
}


def stories(n: int, name: str = "") -> list[dict[str, Any]]:
    return [{"story": {**STORY, "text": [f"{name}{k} {text}" for text in STORY["text"]]}} for k in range(n)]


def narratives(n: int) -> list[dict[str, Any]]:
    return [{**NARRATIVE, "document": {"summary": {"text": f"{k}: a man dies."}}} for k in range(n)]


RECORDS: list[tuple[str, dict[str, Any], list[Row]]] = [
    (
        "squad",
        {
            "id": "1",
            "title": "t",
            "context": "c",
            "question": "q",
            "answers": {"text": ["a", "b", "a"], "answer_start": [0]},
        },
        [{"context": "c", "question": "q", "answer": "a", "answers": ["a", "b"]}],
    ),
    ("ag_news", {"text": "Oil fell.", "label": 2}, [{"text": "Oil fell.", "label": "2"}]),
    (
        "SetFit",
        {"text": "Oil fell.", "label": 2, "label_text": "Business"},
        [{"text": "Oil fell.", "label": "Business"}],
    ),
    (
        "dbpedia_14",
        {"label": "Plant", "title": "Rosa", "content": " A rose. "},
        [{"text": "Rosa. A rose.", "label": "Plant"}],
    ),
    ("sst2", {"idx": 3, "sentence": "dull ", "label": "negative"}, [{"text": "dull", "label": "negative"}]),
    ("sst2", {"idx": 3, "sentence": "dull ", "label": -1}, []),
    (
        "narrativeqa",
        NARRATIVE,
        [{"context": "A man dies.", "question": "Who dies?", "answer": "A man", "answers": ["A man", "a man."]}],
    ),
    (
        "narrativeqa",
        {**NARRATIVE, "answers": {"text": ["he"], "tokens": [["he"]]}},
        [{"context": "A man dies.", "question": "Who dies?", "answer": "he", "answers": ["he"]}],
    ),
    ("babi_qa", {"story": STORY}, ASKED),
    (
        "babi_qa",
        {"story": [dict(zip(STORY, line, strict=True)) for line in zip(*STORY.values(), strict=True)]},
        ASKED,
    ),
    (
        "Muennighoff/babi",
        {"passage": "Mary left.\nShe ran.\n", "question": "Who left?", "answer": "Mary", "task": 1},
        [{"context": "Mary left. She ran.", "question": "Who left?", "answer": "Mary", "task": "1"}],
    ),
    ("SimpleStories", {"story": "Once.\nTwice.", "topic": "x"}, [{"text": "Once.\nTwice."}]),
    ("TinyStories", {"text": "\nOnce.\n\nTwice."}, [{"text": "Once.\n\nTwice."}]),
    (
        "ROCStories",
        {"storyid": "1", "storytitle": "t", **{f"sentence{n}": f"Day {n}. " for n in range(1, 6)}},
        [{"text": "Day 1. Day 2. Day 3. Day 4. Day 5."}],
    ),
    ("Ximing/ROCStories", {"prompt": "One day.", "continuation": " Two days."}, [{"text": "One day. Two days."}]),
    ("a text first", {"text": "a", "story": "b", "sentence": "c"}, [{"text": "a"}]),
]


@pytest.mark.parametrize(("name", "record", "rows"), RECORDS)
def test_records_give_their_rows(name: str, record: dict[str, Any], rows: list[Row]) -> None:
    assert rows_of(record) == rows == outcomes(record)
    assert known(record)


@pytest.mark.parametrize(
    ("record", "message"),
    [
        ({"story": 3}, "field 'story' is no list of objects"),
        ({"story": ["a"]}, "field 'story' is no list of objects"),
        ({"story": {"text": ["a", None], "answer": ["", "b"]}}, "field 'question' is a null"),
        ({"story": {"text": [None, "b?"], "answer": ["", "b"]}}, "holds a null where text is expected"),
        ({**NARRATIVE, "document": {"text": "x"}}, "field 'document' is no object with the field 'summary'"),
        ({**NARRATIVE, "question": "q"}, "field 'question' is no object with the field 'text'"),
        ({**NARRATIVE, "answers": []}, "field 'answers' holds no answer"),
        ({"title": None, "content": "c", "label": 1}, "holds a null where text is expected"),
        ({"sentence": "", "label": 1, "idx": 0}, "field 'text' is blank"),
        ({f"sentence{n}": 1 for n in range(1, 6)}, "holds a number where text is expected"),
        ({"sentence": "a"}, "fields there: sentence"),
        ([], "holds a list"),
    ],
)
def test_broken_records(record: Any, message: str) -> None:
    (error,) = outcomes(record)
    assert isinstance(error, DataError) and message in str(error)


def test_named_columns_come_first() -> None:
    assert rows_of({"sentence": "a", "label": "x", "story": "b"}, "story") == [{"text": "b", "label": "x"}]
    assert rows_of({"story": "a", "title": "x"}, ("story", "title")) == [{"source": "a", "target": "x"}]


class TestFiles:
    def test_csv(self, tmp_path: Path) -> None:
        path = tmp_path / "ROCStories.csv"
        with path.open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["storyid", "storytitle", *(f"sentence{n}" for n in range(1, 6))])
            writer.writerows([[str(k), "t", *(f"Day {n}, {k}." for n in range(5))] for k in range(20)])
        corpus = load_task(str(path), "sentence")
        assert corpus.kind == "seq2seq" and corpus.test[0]["target"][:5] in ("Day 1", "Day 2", "Day 3")

    def test_jsonl_and_parquet(self, tmp_path: Path) -> None:
        path = tmp_path / "a.jsonl"
        path.write_text("".join(json.dumps(one) + "\n" for one in stories(6)))
        corpus = load_corpus(str(path))
        assert corpus.rows and len(corpus.rows) + len(corpus.validation) + len(corpus.test) == 12
        pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
        pq.write_table(pa.Table.from_pylist(narratives(5)), tmp_path / "a.parquet")
        corpus = load_corpus(str(tmp_path / "a.parquet"))
        assert corpus.test[0]["answers"] == ["A man", "a man."]


class TestHub:
    """Data sets as ``save_to_disk`` writes them, with the features of those on the hub."""

    @pytest.fixture
    def saved(self, tmp_path: Path) -> Any:
        datasets = pytest.importorskip("datasets")

        def save(features: Any, **splits: list[dict[str, Any]]) -> str:
            made = {
                split: datasets.Dataset.from_list(rows, features=features and datasets.Features(features))
                for split, rows in splits.items()
            }
            datasets.DatasetDict(made).save_to_disk(tmp_path / "set")
            return f"hf:{tmp_path / 'set'}"

        return save

    def test_squad(self, saved: Any) -> None:
        datasets = pytest.importorskip("datasets")
        text = datasets.Value("string")
        answers = datasets.Sequence({"text": text, "answer_start": datasets.Value("int32")})
        rows = [
            {
                "id": str(n),
                "context": f"c{n}",
                "question": "q",
                "answers": {"text": [f"a{n}", "b"], "answer_start": [0, 1]},
            }
            for n in range(40)
        ]
        spec = saved(
            {"id": text, "context": text, "question": text, "answers": answers}, train=rows, validation=rows[:9]
        )
        corpus = load_task(spec, "qa")
        assert len(corpus.validation) == 9 and corpus.validation[3]["answers"] == ["a3", "b"]

    def test_labels_have_names_and_secret_ones_are_left_out(self, saved: Any) -> None:
        datasets = pytest.importorskip("datasets")
        features = {
            "sentence": datasets.Value("string"),
            "label": datasets.ClassLabel(names=["negative", "positive"]),
            "idx": datasets.Value("int32"),
        }

        def rows(split: str, n: int, secret: bool = False) -> list[dict[str, Any]]:
            return [{"sentence": f"{split} {k}", "label": -1 if secret else k % 2, "idx": k} for k in range(n)]

        notes: list[str] = []
        spec = saved(features, train=rows("t", 50), validation=rows("v", 8), test=rows("x", 9, secret=True))
        corpus = load_task(spec, "classify", on_note=notes.append)
        assert [row["text"] for row in corpus.test] == [f"v {k}" for k in range(8)]
        assert {row["label"] for row in corpus.test} == {"negative", "positive"} and corpus.validation
        assert f"{spec}: its test split has no labels; its validation split serves as test" in notes
        assert len(corpus.rows or []) + len(corpus.validation) == 50

        spec = saved(features, train=rows("t", 50), test=rows("x", 9, secret=True))
        assert len(load_corpus(spec).test) < 9
        spec = saved(features, train=rows("t", 50, secret=True))
        with pytest.raises(DataError, match="no record of its training split has a label"):
            load_corpus(spec)

    def test_classes_in_a_column_of_another_name(self, saved: Any) -> None:
        datasets = pytest.importorskip("datasets")
        features = {"body": datasets.Value("string"), "topic": datasets.ClassLabel(names=["Art", "Oil"])}
        spec = saved(features, train=[{"body": f"b {n}", "topic": n % 3 - 1} for n in range(60)])
        corpus = load_task(spec, "classify", source_field="body", target_field="topic")
        assert {row["label"] for row in corpus.rows or []} == {"Art", "Oil"}
        assert len(corpus.rows or []) + len(corpus.validation) + len(corpus.test) == 40
        with pytest.raises(DataError, match=r"no field 'x' \(fields there: body, topic\); correct --source-field and"):
            load_corpus(spec, source_field="x", target_field="topic")

    def test_dbpedia_narrativeqa_and_babi(self, saved: Any) -> None:
        datasets = pytest.importorskip("datasets")
        text = datasets.Value("string")
        features = {"label": datasets.ClassLabel(names=["Plant", "Film"]), "title": text, "content": text}
        rows = [{"label": n % 2, "title": f"T{n}", "content": f" C{n}."} for n in range(40)]
        assert load_task(saved(features, train=rows), "classify").test[0]["text"].startswith("T")
        corpus = load_task(saved(None, train=narratives(4), test=[NARRATIVE]), "qa")
        assert corpus.test[0]["context"] == "A man dies." and corpus.test[0]["answers"] == ["A man", "a man."]
        kinds = datasets.ClassLabel(names=["context", "question"])
        line = {"id": text, "type": kinds, "text": text, "supporting_ids": datasets.Sequence(text), "answer": text}
        spec = saved({"story": datasets.Sequence(line)}, train=stories(4), test=[{"story": STORY}])
        assert load_task(spec, "qa").test == ASKED

    def test_streams_of_stories_resume_inside_a_story(self, tmp_path: Path) -> None:
        pytest.importorskip("datasets")
        for shard in range(2):
            lines = "".join(json.dumps(one) + "\n" for one in stories(650, f"{shard} "))
            (tmp_path / f"part{shard}.jsonl").write_text(lines)
        corpus: Corpus = load_corpus(f"hf:{tmp_path}")
        assert corpus.rows is None and len(corpus.test) == 200
        for rank, steps in itertools.product(range(2), (0, 1, 2, 301)):
            stream = RowStream(corpus, 2, seed=0, rank=rank, world=2)
            for _ in range(steps):
                next(stream)
            again = RowStream(corpus, 2, seed=0, rank=rank, world=2)
            again.load_state_dict(json.loads(json.dumps(stream.state_dict())))
            assert [next(again) for _ in range(40)] == [next(stream) for _ in range(40)]
