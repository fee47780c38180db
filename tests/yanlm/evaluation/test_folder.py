"""Model folders on data: what is read, which rows are taken, what is written."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from yanlm.evaluation.folder import evaluate_folder, sets_of, slug
from yanlm.evaluation.predictions import read_predictions
from yanlm.modeling.io import save_model

TEXTS = [f"{word} cat sat on the mat ." for word in ("the", "old", "red", "small")]


@pytest.fixture
def folder(make_model: Callable[..., Any], tokenizer: Any, tmp_path: Path) -> Path:
    save_model(tmp_path / "model", make_model(), tokenizer)
    return tmp_path / "model"


@pytest.fixture
def data(tmp_path: Path) -> Path:
    for name in ("train", "validation", "test"):
        rows = "".join(json.dumps({"text": f"{name} {text}"}) + "\n" for text in TEXTS)
        (tmp_path / f"{name}.jsonl").write_text(rows)
    return tmp_path / "train.jsonl"


def test_a_folder_on_data(folder: Path, data: Path) -> None:
    notes: list[str] = []
    result = evaluate_folder(folder, str(data), "completion", steps=[1], limit=3, command="as typed", say=notes.append)
    report = result.report
    out = folder / "evaluation" / f"completion-{data.parent.name}-train.jsonl"
    assert json.loads((out / "report.json").read_text(encoding="utf-8")) == report
    assert read_predictions(out / "predictions.jsonl") == result.predictions and len(result.predictions) == 3
    assert list(report)[:2] == ["command", "task"] and report["command"] == "as typed"
    assert (report["split"], report["n"], report["folder"], report["data"]) == ("test", 3, str(folder), str(data))
    assert report["files"] == {"report": str(out / "report.json"), "predictions": str(out / "predictions.jsonl")}
    assert len(report["fingerprint"]) == 64 and notes
    assert sorted(path.name for path in out.iterdir()) == ["predictions.jsonl", "report.json"]


def test_another_split_and_folder(folder: Path, data: Path, tmp_path: Path) -> None:
    out = tmp_path / "a" / "b"
    report = evaluate_folder([folder], [str(data)], "infill", split="validation", out=out, steps=[1]).report
    assert report["split"] == "validation" and report["n"] == 4 and (out / "report.json").is_file()


def test_a_held_out_file_is_named_as_it_was_given(folder: Path, data: Path) -> None:
    test = str(data.with_stem("test"))
    report = evaluate_folder(folder, test, "completion", steps=[1]).report
    assert report["data"] == test and report["split"] == "test"


def test_half_precision(folder: Path, data: Path) -> None:
    full, half = (
        evaluate_folder(folder, str(data), "infill", steps=[1], precision=precision).report
        for precision in ("float32", "bfloat16")
    )
    assert (full["precision"], half["precision"]) == ("float32", "bfloat16")
    assert half["files"]["report"] == full["files"]["report"].replace("/report.json", "-bfloat16/report.json")
    with pytest.raises(ValueError, match="precision must be one of"):
        evaluate_folder(folder, str(data), "infill", precision="int8")


def test_held_out_files_name_their_split(data: Path) -> None:
    notes: list[str] = []
    test, validation = (str(data.with_stem(name)) for name in ("test", "validation"))
    files = [str(data), "builtin:rooms"]
    assert sets_of(files, "validation", notes.append) == (files, "validation")
    assert not notes
    assert sets_of([validation], "test", notes.append) == ([str(data)], "validation")
    assert notes == [f"{validation}: evaluated whole; what baselines learn from is train.jsonl beside it"]
    with pytest.raises(ValueError, match="another split than --split validation"):
        sets_of([test], "validation", notes.append)
    for mixed in ([test, "builtin:rooms"], [test, validation]):
        with pytest.raises(ValueError, match="--data names held-out files beside other data"):
            sets_of(mixed, "test", notes.append)


def test_a_limit_takes_a_random_part_of_the_whole_evaluation(folder: Path, tmp_path: Path) -> None:
    rows = [{"text": f"the cat number {i} sat", "label": ("bad", "good")[i % 2]} for i in range(40)]
    for name in ("train", "test"):
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    given: dict[str, Any] = {"steps": [1], "out": tmp_path / "out"}
    part, whole = (
        evaluate_folder(folder, str(tmp_path / "test.jsonl"), "classify", limit=limit, **given) for limit in (20, None)
    )
    assert (part.report["n"], part.report["rows"], whole.report["n"]) == (20, 40, 40)
    assert all(prediction in whole.predictions for prediction in part.predictions)
    assert len({prediction["reference"] for prediction in part.predictions}) == 2


def test_names_of_data(data: Path) -> None:
    own = data.with_name("news.jsonl")
    own.write_text("")
    assert slug([str(data), str(own)]) == f"{data.parent.name}-train.jsonl-news.jsonl"
    assert slug(["hf:a/b", "builtin:rooms"]) == "hf-a-b-builtin-rooms"
    assert slug(["//"]) == "data"
    many = [f"hf:{'д' * 60}/{place}" for place in range(9)]
    assert len(slug(many).encode()) < 200 and slug(many) != slug(many[::-1])  # a folder's name ends at 255 bytes


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"split": "train"}, "split must be one of test, validation, got 'train'; correct --split"),
        ({"limit": 0}, "limit must be an integer of at least 1, got 0"),
        ({"task": "poem"}, "task must be one of infill"),
        ({"folders": []}, "at least one model folder"),
        ({"folders": "nowhere"}, "nowhere"),
        ({"specs": "none.jsonl"}, "none.jsonl"),
        ({"encoder": "nowhere"}, "encoder nowhere is no folder"),
        ({"samples": 0}, "samples must be"),
    ],
)
def test_mistakes_write_nothing(
    folder: Path, data: Path, tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    given: dict[str, Any] = {
        "folders": folder,
        "specs": str(data),
        "task": "infill",
        "out": tmp_path / "out",
        **changes,
    }
    with pytest.raises(ValueError, match=message) as caught:
        evaluate_folder(given.pop("folders"), given.pop("specs"), given.pop("task"), **{"steps": [1], **given})
    assert "\n" not in str(caught.value) and not (tmp_path / "out").exists()


def test_a_folder_that_cannot_be_written(folder: Path, data: Path) -> None:
    with pytest.raises(ValueError, match=r"cannot write to .*: .*train.jsonl is no folder; choose another --out"):
        evaluate_folder(folder, str(data), "infill", out=data / "x", steps=[1])


def test_the_validation_rows_have_a_folder_of_their_own(folder: Path, data: Path) -> None:
    reports = [evaluate_folder(folder, str(data), "infill", split=s, steps=[1]).report for s in ("test", "validation")]
    assert [json.loads(Path(report["files"]["report"]).read_text())["split"] for report in reports] == [
        "test",
        "validation",
    ]
