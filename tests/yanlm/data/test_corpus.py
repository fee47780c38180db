"""What --data names: specs, weights, held-out rows, notes, and what happens without a network."""

import gzip
import http.server
import io
import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from yanlm.data import hub
from yanlm.data.connection import reachable
from yanlm.data.corpus import Corpus, load_corpus
from yanlm.data.hub import NoNetworkError
from yanlm.data.rows import DataError, Row
from yanlm.data.splits import row_key, split_rows


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    content = "".join(json.dumps(row) + "\n" for row in rows).encode()
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
    return path


def numbered(n: int, name: str = "") -> list[Row]:
    return [{"text": f"{name} text number {k}".strip()} for k in range(n)]


def load(*specs: object, **options: Any) -> tuple[Corpus, list[str]]:
    notes: list[str] = []
    corpus = load_corpus([str(spec) for spec in specs], on_note=notes.append, **options)
    assert all("\n" not in note for note in notes)
    return corpus, notes


def fault(*specs: object, **options: Any) -> str:
    with pytest.raises(DataError) as caught:
        load_corpus([str(spec) for spec in specs], **options)
    message = str(caught.value)
    assert isinstance(caught.value, ValueError) and "\n" not in message
    return message


class TestSpecs:
    def test_builtin(self) -> None:
        pydoc, notes = load("builtin:pydoc")
        assert pydoc.kind == "text" and pydoc.rows and pydoc.validation and pydoc.test and notes == []
        rooms, _ = load("builtin:rooms")
        assert rooms.kind == "qa" and rooms.name == "builtin:rooms" and rooms.weights == (1.0,)

    def test_a_path_that_exists_wins(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)
        for name in ("builtin:rooms.txt", "notes@0.5.txt", "hf:x.txt"):
            Path(name).write_text("a\nb\nc\n")
            assert load(name)[0].kind == "text"
        Path("paper").write_text("a\nb\nc\n")
        assert (
            fault("paper")
            == "paper: has no extension; accepted are .txt, .jsonl, .csv (each also with .gz) and .parquet"
        )
        Path("builtin:rooms").mkdir()
        assert "is a folder" in fault("builtin:rooms")

    def test_home(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("HOME", str(tmp_path))
        write(tmp_path / "a.jsonl", numbered(5))
        assert load("~/a.jsonl@2")[0].rows

    @pytest.mark.parametrize(
        ("specs", "options", "fragments"),
        [
            ([], {}, ["no data named", "builtin:rooms"]),
            (
                ["builtin:books"],
                {},
                ["builtin:books: no such built-in", "builtin:rooms, builtin:statements, builtin:lookups"],
            ),
            (["rooms"], {}, ["rooms: no such file", "builtin:rooms", "hf:NAME"]),
            (["a.jsonl"], {}, ["a.jsonl: does not exist"]),
            (["hf:"], {}, ["write hf:NAME"]),
            (["hf:a:b:c:d"], {}, ["write hf:NAME"]),
            (["builtin:rooms@much"], {}, ["'much' is no weight", "SPEC@0.75"]),
            (["builtin:rooms@"], {}, ["'' is no weight"]),
            (["builtin:rooms@0"], {}, ["weight must be a positive number, got 0"]),
            (["builtin:rooms@-1"], {}, ["positive"]),
            (["builtin:rooms@nan"], {}, ["positive", "nan"]),
            (["builtin:rooms@inf"], {}, ["positive"]),
            (["builtin:rooms@1", "builtin:pydoc"], {}, ["builtin:pydoc: has no weight", "builtin:pydoc@WEIGHT"]),
            (["builtin:rooms"], {"weights": [1, 2]}, ["one for each of the 1 specs, got 2"]),
            (["builtin:rooms@1"], {"weights": [1]}, ["given twice"]),
        ],
    )
    def test_errors(self, specs: list[str], options: dict[str, Any], fragments: list[str]) -> None:
        message = fault(*specs, **options)
        for fragment in fragments:
            assert fragment in message


class TestMixtures:
    def test_weights(self, tmp_path: Path) -> None:
        a, b = write(tmp_path / "a.jsonl", numbered(300, "a")), write(tmp_path / "b.jsonl", numbered(100, "b"))
        by_size, notes = load(a, b)
        sizes = [len(source.rows or []) for source in by_size.sources]
        assert by_size.weights == tuple(size / sum(sizes) for size in sizes)
        assert any(note.startswith("rows are drawn from") for note in notes)
        assert load(f"{a}@3", f"{b}@1")[0].weights == load(a, b, weights=[0.75, 0.25])[0].weights == (0.75, 0.25)
        assert by_size.rows and len(by_size.rows) == sum(sizes)
        assert len(by_size.validation) == sum(len(source.validation) for source in by_size.sources)

    def test_kinds(self, tmp_path: Path) -> None:
        a = write(tmp_path / "a.jsonl", numbered(30))
        b = write(tmp_path / "b.jsonl", [{**row, "label": "x"} for row in numbered(30)])
        c = write(tmp_path / "c.jsonl", [{"source": row["text"], "target": "t"} for row in numbered(30)])
        assert [load(path)[0].kind for path in (a, b, c)] == ["text", "classify", "seq2seq"]
        assert load(a, b)[0].kind == "mixed"

    def test_fingerprint(self, tmp_path: Path) -> None:
        a = write(tmp_path / "a.jsonl", numbered(30))
        b = write(tmp_path / "b.jsonl.gz", numbered(30))
        c = write(tmp_path / "c.jsonl", numbered(31))
        prints = [load(path)[0].fingerprint for path in (a, b, c)]
        assert prints[0] == prints[1] != prints[2] and len(prints[0]) == 64
        assert load(f"{a}@1", f"{c}@1")[0].fingerprint != load(f"{a}@1", f"{c}@2")[0].fingerprint

    def test_the_fingerprint_is_computed_when_asked_for_and_once(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        from yanlm.data import corpus as module

        computed, original = [], module._fingerprint
        monkeypatch.setattr(module, "_fingerprint", lambda *given: computed.append(1) or original(*given))
        corpus = load(write(tmp_path / "a.jsonl", numbered(30)))[0]
        assert not computed
        assert corpus.fingerprint == corpus.fingerprint and len(computed) == 1

    def test_references_are_for_evaluation_alone(self, tmp_path: Path) -> None:
        rows = [{"context": f"c{n}", "question": "q", "answer": "a"} for n in range(30)]
        known = [{**row, "answers": ["b", "a"], "task": 1} for row in rows]
        a, b = write(tmp_path / "a.jsonl", rows), write(tmp_path / "b.jsonl", known)
        plain, more = load(a)[0], load(b)[0]
        assert more.test == [{**row, "answers": ["a", "b"], "task": "1"} for row in plain.test]
        assert more.fingerprint == plain.fingerprint and more.kind == "qa"
        write(tmp_path / "train.jsonl", known)
        write(tmp_path / "test.jsonl", rows[:4])
        assert any("4 of its 4 rows are training rows too" in note for note in load(tmp_path / "train.jsonl")[1])

    def test_fields_of_other_names(self, tmp_path: Path) -> None:
        a = write(tmp_path / "a.jsonl", [{"body": row["text"], "tag": "t"} for row in numbered(30)])
        assert load(a, source_field="body")[0].rows == load(a, text_column="body")[0].rows
        assert load(a, source_field="body", target_field="tag")[0].kind == "seq2seq"
        assert load(a, text_column="body", target_field="tag")[0].kind == "seq2seq"
        assert "has no field 'no' (fields there: body, tag)" in fault(a, source_field="body", target_field="no")
        assert "give --source-field as well" in fault(a, target_field="tag")
        assert "give one of --text-column and --source-field" in fault(a, source_field="body", text_column="body")
        assert "--target-field must name another field" in fault(a, source_field="body", target_field="body")


class TestSplits:
    def test_siblings(self, tmp_path: Path) -> None:
        path = write(tmp_path / "train.jsonl.gz", numbered(20))
        write(tmp_path / "dev.jsonl.gz", numbered(4, "dev"))
        write(tmp_path / "test.jsonl.gz", [*numbered(3, "test"), {"text": "text number 7"}])
        write(tmp_path / "validation.jsonl", numbered(9, "not this one"))
        corpus, notes = load(path)
        assert [len(part) for part in (corpus.rows or [], corpus.validation, corpus.test)] == [20, 4, 4]
        assert f"{path}: validation rows are those of dev.jsonl.gz (4)" in notes
        assert f"{tmp_path / 'test.jsonl.gz'}: 1 of its 4 rows are training rows too" in notes

    def test_one_sibling(self, tmp_path: Path) -> None:
        path = write(tmp_path / "train.jsonl", numbered(400))
        write(tmp_path / "test.jsonl", numbered(4, "test"))
        corpus, notes = load(path)
        assert len(corpus.test) == 4 and 5 < len(corpus.validation) < 40
        assert len(corpus.rows or []) + len(corpus.validation) == 400
        assert f"kept {len(corpus.validation)} rows for validation, by a hash" in notes[-1]

    def test_broken_sibling(self, tmp_path: Path) -> None:
        path = write(tmp_path / "train.jsonl", numbered(20))
        (tmp_path / "test.jsonl").write_text("")
        assert "test.jsonl: is empty" in fault(path)

    @given(st.lists(st.integers(0, 60), min_size=3, max_size=300))
    def test_by_hash(self, numbers: list[int]) -> None:
        rows = [{"text": f"Row {n}" if k % 2 else f"row   {n}"} for k, n in enumerate(numbers)]
        if len(set(numbers)) < 3:
            with pytest.raises(DataError, match=r"x: holds \d different rows?; .* give at least 3"):
                split_rows("x", rows)
            return
        parts = split_rows("x", rows)
        assert sorted(row["text"] for part in parts for row in part) == sorted(row["text"] for row in rows)
        keys = [{row_key(row) for row in part} for part in parts]
        assert all(keys) and not keys[0] & keys[1] and not keys[0] & keys[2] and not keys[1] & keys[2]
        assert split_rows("x", rows[::-1])[2] == parts[2][::-1]

    def test_shares(self) -> None:
        _, validation, test = split_rows("x", numbered(5000))
        assert 200 < len(validation) < 300 and 200 < len(test) < 300
        again = split_rows("x", numbered(5500))
        assert {row["text"] for row in test} <= {row["text"] for row in again[2]}  # more rows move none

    def test_questions_on_one_context_stay_together(self) -> None:
        rows = [{"context": f"c{k % 40}", "question": f"q{k}", "answer": "a"} for k in range(400)]
        contexts = [{row["context"] for row in part} for part in split_rows("x", rows)]
        assert not contexts[0] & contexts[1] and not contexts[0] & contexts[2] and sum(map(len, contexts)) == 40
        parts = split_rows("x", [{**row, "context": "the only one"} for row in rows])
        assert all(parts) and len(parts[0]) > 300

    def test_too_few(self, tmp_path: Path) -> None:
        path = tmp_path / "a.txt"
        path.write_text("One line of text.")
        assert "holds 1 different row; training, validation and test need one each: give at least 3" in fault(path)
        path.write_text("a\nb\nc\n")
        assert [len(part) for part in (lambda c: (c.rows, c.validation, c.test))(load(path)[0])] == [1, 1, 1]

    def test_skipped_lines_are_told(self, tmp_path: Path) -> None:
        path = tmp_path / "a.jsonl"
        path.write_text("".join(json.dumps(row) + "\noops\n" for row in numbered(9)))
        corpus, notes = load(path)
        assert len(corpus.skipped) == 9 and corpus.skipped[0].startswith(f"{path}:2: not JSON")
        told = next(note for note in notes if "skipped" in note)
        assert told.startswith(f"{path}: skipped 9 of 18, by line: 2: not JSON") and told.endswith("; and 6 more")
        assert told.count("not JSON") == 3

    def test_cut_files_are_told(self, tmp_path: Path) -> None:
        rows = [{"text": f"{n} {n * 7919 % 104729}"} for n in range(3000)]
        path = write(tmp_path / "a.jsonl.gz", rows)
        path.write_bytes(path.read_bytes()[:-2000])
        assert "ends early" in load(path)[1][0]


class TestHub:
    """With a stand-in for the hub: the libraries are real, the network is not."""

    @pytest.fixture
    def served(self, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
        """What load_dataset gives by name, and the calls it got."""
        datasets = pytest.importorskip("datasets")
        served: dict[str, Any] = {"calls": []}

        def load_dataset(name: str, config: str | None = None, *, streaming: bool) -> Any:
            served["calls"].append((name, config, streaming))
            if name not in served:
                raise datasets.exceptions.DatasetNotFoundError(f"Dataset '{name}' doesn't exist\non the Hub")
            splits = {
                split: datasets.IterableDataset.from_generator(iter_rows, gen_kwargs={"rows": rows})
                for split, rows in served[name].items()
            }
            return datasets.IterableDatasetDict(splits)

        monkeypatch.setattr(datasets, "load_dataset", load_dataset)
        monkeypatch.setattr(hub, "reachable", lambda address: True)
        monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
        return served

    def test_stream(self, served: dict[str, Any]) -> None:
        served["a/b"] = {"train": [*numbered(2500), {"text": " "}, {"text": "text number 7", "extra": 3}]}
        corpus, notes = load("hf:a/b")
        assert corpus.rows is None and corpus.kind == "text" and served["calls"] == [("a/b", None, True)]
        assert (corpus.validation, corpus.test) == (numbered(400)[:200], numbered(400)[200:])
        assert corpus.sources[0].held == {row_key(row) for row in numbered(400)}
        kept = "kept 200 rows for validation, 200 rows for test"
        assert notes == [f"hf:a/b: a stream, shuffled 2,000 rows at a time; {kept}"]
        served["a/c"] = served["a/b"]
        assert load("hf:a/b")[0].fingerprint == corpus.fingerprint != load("hf:a/c")[0].fingerprint

    def test_own_splits(self, served: dict[str, Any]) -> None:
        served["a/b"] = {"train": numbered(2500), "dev": numbered(700, "dev"), "test": numbered(20, "test")}
        corpus, _ = load("hf:a/b:en")
        assert (corpus.validation, corpus.test) == (numbered(200, "dev"), numbered(20, "test"))
        assert served["calls"] == [("a/b", "en", True)]
        corpus, _ = load("hf:a/b:en:dev")
        assert corpus.sources[0].rows is not None and corpus.rows and len(corpus.rows) > 500

    def test_small_streams_are_read_whole(self, served: dict[str, Any]) -> None:
        served["a/b"] = {"train": numbered(300)}
        corpus, notes = load("hf:a/b:train")
        assert corpus.rows and len(corpus.rows) + len(corpus.validation) + len(corpus.test) == 300
        assert "by a hash" in notes[0]

    def test_columns(self, served: dict[str, Any]) -> None:
        served["a/b"] = {"train": [{"body": row["text"]} for row in numbered(30)]}
        assert load("hf:a/b", text_column="body")[0].kind == "text"
        assert "hf:a/b: 30 of the first 30 rows" in fault("hf:a/b")
        assert "fields there: body); name the text's field with --text-column" in fault("hf:a/b")

    def test_paper(self, served: dict[str, Any]) -> None:
        for name, _, _ in hub.PAPER:
            served[name] = {"train": numbered(2100, name)}
        corpus, notes = load("paper")
        assert corpus.weights == (0.75, 0.25) and corpus.rows is None
        assert [call[:2] for call in served["calls"]] == [
            ("HuggingFaceFW/finewiki", "en"),
            ("HuggingFaceFW/fineweb-edu", "sample-10BT"),
        ]
        assert "finewiki:en 0.75, hf:HuggingFaceFW/fineweb-edu:sample-10BT 0.25" in notes[-1]
        mixed, _ = load("paper@3", "builtin:pydoc@1")
        assert mixed.weights == (0.5625, 0.1875, 0.25)

    def test_errors(self, served: dict[str, Any]) -> None:
        served["a/b"] = {"train": numbered(30), "test": numbered(30)}
        assert "hf:a/x: cannot be opened (Dataset 'a/x' doesn't exist on the Hub); check its name" in fault("hf:a/x")
        assert "hf:a/b:en:dev: has no split 'dev'; it has train, test" in fault("hf:a/b:en:dev")
        served["a/b"] = {"train": []}
        assert "holds no row" in fault("hf:a/b")
        served["a/b"] = {"train": [None]}
        assert "hf:a/b: cannot be read" in fault("hf:a/b")

    def test_class_names(self, tmp_path: Path) -> None:
        datasets = pytest.importorskip("datasets")
        features = datasets.Features(
            {"text": datasets.Value("string"), "label": datasets.ClassLabel(names=["no", "yes"])}
        )
        made = datasets.Dataset.from_list([{**row, "label": k % 2} for k, row in enumerate(numbered(30))], features)
        made.save_to_disk(tmp_path / "one")
        datasets.DatasetDict({"train": made, "test": made}).save_to_disk(tmp_path / "two")
        one, two = load(f"hf:{tmp_path / 'one'}")[0], load(f"hf:{tmp_path / 'two'}")[0]
        assert one.kind == "classify" and {row["label"] for row in one.rows or []} == {"no", "yes"}
        assert len(two.test) == 30

    def test_folder_of_files(self, tmp_path: Path) -> None:
        pytest.importorskip("datasets")
        write(tmp_path / "train.jsonl", numbered(50))
        write(tmp_path / "test.jsonl", numbered(5, "test"))
        corpus, _ = load(f"hf:{tmp_path}")
        assert corpus.test == numbered(5, "test") and corpus.rows


def iter_rows(rows: list[Any]) -> Iterator[Any]:
    yield from rows


class _Hub(http.server.BaseHTTPRequestHandler):
    """A hub, or a proxy to one, that answers everything with one status."""

    status = 200

    def do_HEAD(self) -> None:
        self.send_response(self.status)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[str]:
    made = http.server.HTTPServer(("127.0.0.1", 0), _Hub)
    threading.Thread(target=made.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{made.server_port}"
    made.shutdown()
    made.server_close()


class TestNetwork:
    @pytest.fixture(autouse=True)
    def plain(self, monkeypatch: pytest.MonkeyPatch) -> None:
        for name in list(os.environ):
            if name.lower().endswith("_proxy") or name.startswith("HF_"):
                monkeypatch.delenv(name)

    @pytest.mark.parametrize("spec", ["hf:a/b:en", "paper"])
    def test_no_network(self, monkeypatch: pytest.MonkeyPatch, spec: str) -> None:
        monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
        message = fault(spec)
        for part in ("there is no network", "127.0.0.1:9", "local file", "builtin:rooms", "HF_HUB_OFFLINE=1"):
            assert part in message
        with pytest.raises(ConnectionError):
            load_corpus(spec)

    def test_offline(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("HF_HUB_OFFLINE", "1")
        pytest.importorskip("datasets")
        message = fault("hf:nobody/nothing")
        assert "hf:nobody/nothing: HF_HUB_OFFLINE is set and the cache does not hold it; use a local file" in message
        with pytest.raises(NoNetworkError):
            load_corpus("hf:nobody/nothing")

    def test_a_hub_that_does_not_answer(self) -> None:
        with socket.create_server(("127.0.0.1", 0), backlog=0) as silent:
            address = f"http://127.0.0.1:{silent.getsockname()[1]}"
            assert reachable(address)  # it takes the connection, which is all that is asked

    def test_names_that_are_slow_to_look_up(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(socket, "create_connection", lambda *_: time.sleep(1) or io.BytesIO())
        assert not reachable("https://hub.invalid", 0.1)

    def test_direct_and_through_a_proxy(self, server: str, monkeypatch: pytest.MonkeyPatch) -> None:
        assert reachable(server)
        monkeypatch.setenv("http_proxy", server)
        assert reachable("http://hub.invalid")
        monkeypatch.setattr(_Hub, "status", 404)  # the hub's word, not the proxy's
        assert reachable("http://hub.invalid")
        monkeypatch.setattr(_Hub, "status", 503)
        assert not reachable("http://hub.invalid")
        monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
        assert not reachable("http://hub.invalid")
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        assert reachable(server)
        monkeypatch.setenv("all_proxy", server.replace("http", "socks5"))
        assert reachable("https://hub.invalid")


def test_importing_loads_nothing_heavy() -> None:
    heavy = "{'torch', 'datasets', 'transformers', 'pyarrow', 'pandas'}"
    code = (
        f"import sys, yanlm.data.corpus; sys.exit(str({heavy} & set(sys.modules)) if {heavy} & set(sys.modules) else 0)"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, check=False).returncode == 0
