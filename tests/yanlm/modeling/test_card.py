"""The model card: written beside every model, kept when it is loaded and saved, uploaded with it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from huggingface_hub import HfApi, ModelCard
from transformers import AutoModel, modeling_utils
from transformers.utils import hub as transformers_hub

from yanlm.modeling.card import CARD_FILE, model_card
from yanlm.modeling.io import save_model

RECORD: dict[str, Any] = {
    "command": "yanlm train --data builtin:rooms --minutes 3",
    "settings": {"preset": "tiny", "seed": 7, "tokenizer": "bpe:512"},
    "versions": {"moefm": "0.1.0", "torch": "2.13.0"},
    "data": {"name": "builtin:rooms", "rows": 4000, "fingerprint": "abcdef0123456789ff"},
    "stages": {"1": {"steps": 100, "tokens": 5000, "seconds": 90.0}},
    "report": {
        "rows": 300,
        "masked_tokens": 1200,
        "baselines": {"copy_source": {"masked_accuracy": 0.0}},
        "by_steps": {"3": {"masked_accuracy": 0.25, "exact_match": 0.125}},
    },
}


def test_the_card_says_what_the_run_did(make_model: Callable[..., Any]) -> None:
    card = model_card(make_model(longest_span=9).config, RECORD, "runs/a")
    for words in (
        *("builtin:rooms --minutes 3", "4,000 rows", "abcdef0123456789", "seed 7", "100 steps", "1.5 minutes"),
        *("300 held-out rows", "| model, 3 steps | 0.250 | 0.125 |", "| copy source | 0.000 |  |", "than 9 tokens"),
        *("## Limits", "## Licence", 'Writer.load("runs/a")', "torch 2.13.0"),
    ):
        assert words in card, words
    assert yaml.safe_load(card.split("---\n")[1])["library_name"] == "transformers"
    bare = model_card(make_model().config)
    assert "## Numbers" not in bare and "## Training" not in bare and "## Licence" in bare


def test_a_saved_model_has_one_and_keeps_it(make_model: Callable[..., Any], tokenizer: Any, tmp_path: Path) -> None:
    save_model(tmp_path / "a", make_model(), tokenizer, RECORD)
    text = (tmp_path / "a" / CARD_FILE).read_text()
    assert "seed 7" in text
    loaded = AutoModel.from_pretrained(tmp_path / "a")
    loaded.save_pretrained(tmp_path / "b")
    assert (tmp_path / "b" / CARD_FILE).read_text() == text
    save_model(tmp_path / "c", loaded, tokenizer)
    assert (tmp_path / "c" / CARD_FILE).read_text() == text


@pytest.mark.parametrize("way", ["push_to_hub", "save_pretrained"])
def test_it_is_uploaded_in_place_of_the_one_that_transformers_makes_up(
    make_model: Callable[..., Any], tokenizer: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    commits: list[dict[str, str]] = []

    def commit(api: HfApi, *, operations: Any, **_: Any) -> None:
        read = {one.path_in_repo: Path(one.path_or_fileobj) for one in operations}
        commits.append({name: path.read_text() for name, path in read.items() if name.endswith((".md", ".json"))})

    def create(api: HfApi, repo_id: str, **_: Any) -> Any:
        return SimpleNamespace(repo_id=repo_id)

    for hub in (modeling_utils, transformers_hub):
        monkeypatch.setattr(hub, "create_and_tag_model_card", lambda *_, **__: ModelCard("made up"))
    monkeypatch.setattr(HfApi, "create_repo", create)
    monkeypatch.setattr(HfApi, "create_commit", commit)
    save_model(tmp_path / "a", make_model(), tokenizer, RECORD)
    model = AutoModel.from_pretrained(tmp_path / "a")
    if way == "push_to_hub":
        model.push_to_hub("me/model", token="t", private=True)
    else:
        model.save_pretrained(tmp_path / "b", push_to_hub=True, repo_id="me/model")
    [uploaded] = commits
    assert "seed 7" in uploaded[CARD_FILE] and "config.json" in uploaded
