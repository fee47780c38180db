"""Models of a study by label."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from yanlm.studies.tools import models


def test_labels_of_models(toys: Path) -> None:
    assert list(models.named_folders([str(toys / "flow"), f"gpt={toys / 'gpt2'}"])) == ["flow", "gpt"]
    for specs, message in (
        ([], "--model"),
        ([f"a={toys / 'flow'}", f"a={toys / 'mlm'}"], "twice"),
        (["nowhere"], "nowhere"),
        (["=x"], "LABEL=DIR"),
    ):
        with pytest.raises(ValueError, match=message):
            models.named_folders(specs)


def test_equal_names_are_told_apart_by_their_folders(toys: Path, tmp_path: Path) -> None:
    for name in ("a", "b"):
        shutil.copytree(toys / "flow", tmp_path / name / "run" / "stage2")
    assert list(models.named_folders([str(tmp_path / name / "run") for name in ("a", "b")])) == ["a/run", "b/run"]
