"""Data sets of the hub: a stand-in serves them, or nobody does and the message says so."""

import sys
from pathlib import Path
from typing import Any

import pytest
from corpora import fault, load, numbered, write

from yanlm.data import hub
from yanlm.data.corpus import load_corpus
from yanlm.data.hub import NoNetworkError


class TestHub:
    def test_columns(self, served: dict[str, Any]) -> None:
        served["a/b"] = {"train": [{"body": row["text"]} for row in numbered(30)]}
        assert load("hf:a/b", text_column="body")[0].kind == "text"
        assert "hf:a/b: 30 of the first 30 rows" in fault("hf:a/b")
        assert "fields there: body); name that of the text with --text-column, or" in fault("hf:a/b")

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

    def test_a_network_that_goes_away_is_not_a_data_set_that_is_missing(
        self, served: dict[str, Any], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        answers = iter([True, False])
        monkeypatch.setattr(hub, "reachable", lambda address: next(answers))
        assert "hf:a/b: the network went away" in fault("hf:a/b")

    def test_the_package_is_named_where_it_is_missing(
        self, served: dict[str, Any], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setitem(sys.modules, "datasets", None)
        assert "hf:a/b: needs the package datasets; " in fault("hf:a/b")


@pytest.mark.usefixtures("plain_network")
class TestNetwork:
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
