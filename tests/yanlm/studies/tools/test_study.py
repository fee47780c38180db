"""The folder of a study: it goes on where it stopped, and refuses what was measured otherwise."""

from __future__ import annotations

from pathlib import Path

import pytest

from yanlm.studies.tools.study import Study


def test_a_stopped_study_goes_on(tmp_path: Path) -> None:
    study = Study(tmp_path, "steps").begin({"rows": 3, "models": {"a": "1"}})
    study.piece("one", lambda: 1)
    with pytest.raises(KeyboardInterrupt):
        study.piece("two", lambda: (_ for _ in ()).throw(KeyboardInterrupt))
    again = Study(tmp_path, "steps").begin({"rows": 3, "models": {"b": "2"}})
    assert again.piece("one", lambda: 1 / 0) == 1 and again.piece("two", lambda: 2) == 2
    assert again.settings["models"] == {"a": "1", "b": "2"}


def test_other_data_is_refused_and_more_is_taken(tmp_path: Path) -> None:
    Study(tmp_path, "steps").begin({"rows": 3, "fingerprints": {"a": "1"}}).piece("one", lambda: 1)
    more = Study(tmp_path, "steps").begin({"rows": 3, "fingerprints": {"b": "2"}})
    assert more.settings["fingerprints"] == {"a": "1", "b": "2"}
    for settings in ({"fingerprints": {"a": "2"}}, {}):
        with pytest.raises(ValueError, match="was measured with other data; choose another --out"):
            Study(tmp_path, "steps").begin({"rows": 3} | settings)


def test_another_study_or_setting_is_refused(tmp_path: Path) -> None:
    Study(tmp_path, "steps").begin({"rows": 3, "models": {"a": "1"}}).piece("one", lambda: 1)
    for name, settings, message in (
        ("lengths", {"rows": 3}, "study 'steps'"),
        ("steps", {"rows": 4, "models": {}}, "another rows"),
        ("steps", {"rows": 3, "models": {"a": "2"}}, "another models a"),
    ):
        with pytest.raises(ValueError, match=message):
            Study(tmp_path, name).begin(settings)
    (tmp_path / "results.json").write_text("[]")
    with pytest.raises(ValueError, match="damaged"):
        Study(tmp_path, "steps").begin({})


def test_places_that_cannot_be_written_are_noticed_before_anything_is_measured(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match=r"file is no folder; choose another --out"):
        Study(tmp_path / "file", "steps")
    with pytest.raises(ValueError, match=r"file is no folder; choose another --page"):
        Study(tmp_path / "out", "steps", page=tmp_path / "file" / "page.md")
    with pytest.raises(ValueError, match=r"page must be a FILE.md, got '.*page.png'"):
        Study(tmp_path / "out", "steps", page=tmp_path / "page.png")  # the page would be the figure
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_another_score_is_shown_of_what_was_measured(tmp_path: Path) -> None:
    Study(tmp_path, "steps").begin({"rows": 3, "metric": "f1"}).piece("one", lambda: 1)
    assert Study(tmp_path, "steps").begin({"rows": 3, "metric": "rougeL"}).piece("one", lambda: 1 / 0) == 1
