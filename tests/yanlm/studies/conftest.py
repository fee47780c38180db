"""Folders of models of every method with random weights, texts, and what every study leaves in its folder."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from yanlm.config import YanConfig
from yanlm.modeling.build import baseline_config, fresh_model
from yanlm.modeling.io import save_model
from yanlm.runs.settings import RunSettings
from yanlm.studies.tools import training
from yanlm.tokenization.tokenizer import train_tokenizer

WORDS = """the cat sat on the mat and the dog ran to the red house near a small river in the old town""".split()  # noqa: SIM905
TEXTS = [f"{i} " + " ".join(WORDS[i % 7 :: 1 + i % 3] * 3) + " ." for i in range(240)]
SMALL = {"d_model": 16, "num_heads": 2, "encoder_layers": 2, "flow_layers": 2, "max_length": 48, "d_time": 8}


@pytest.fixture(scope="session")
def toys(tmp_path_factory: Any) -> Path:
    """Folders of models of every method with random weights, and texts."""
    root: Path = tmp_path_factory.mktemp("toys")
    tokenizer = train_tokenizer(TEXTS, 320)
    ids = {"vocab_size": len(tokenizer), "pad_token_id": tokenizer.pad_token_id}
    flow = YanConfig(**SMALL, **ids, mask_token_id=tokenizer.mask_token_id, stage=2)
    for method in ("flow", "gpt2", "mdlm", "mlm"):
        config = flow if method == "flow" else baseline_config(method, flow)
        config.stage = 2 if method == "flow" else 1
        save_model(root / method, fresh_model(config, 0), tokenizer)
    denoises = YanConfig(**flow.to_diff_dict() | {"denoiser": "encoder", "num_experts": 2, "stage": 1})
    save_model(root / "encoder", fresh_model(denoises, 0), tokenizer)
    (root / "own.txt").write_text("\n".join(TEXTS))
    return root


@pytest.fixture(scope="session")
def small() -> dict[str, Any]:
    """Settings of trainings that take no time."""
    model = SMALL | {"cross_layers": [0]}
    batches = {"recipe1": {"batch_size": 2}, "recipe2": {"batch_size": 2}}
    return {"tokenizer": "bpe:300", "model": model, **batches}


@pytest.fixture
def trainings(monkeypatch: pytest.MonkeyPatch) -> list[RunSettings]:
    """Settings of every training from here on."""
    heard: list[RunSettings] = []
    train = training.train

    def heard_train(settings: RunSettings, folder: Path, **options: Any) -> Any:
        heard.append(settings)
        return train(settings, folder, **options)

    monkeypatch.setattr(training, "train", heard_train)
    return heard


@pytest.fixture
def whole() -> Callable[[dict[str, Any], Path], bool]:
    """Whether the files are there, the page shows the figure, and the JSON is what was returned."""
    return _whole


def _whole(document: dict[str, Any], out: Path) -> bool:
    kept = json.loads((out / "results.json").read_text())
    page, figure = Path(document["files"]["page"]), Path(document["files"]["figure"])
    assert f"]({figure.name})" in page.read_text() and "|---" in page.read_text()
    assert figure.read_bytes()[:4] == b"\x89PNG" and figure.stat().st_size > 5000
    return bool(kept == {name: value for name, value in json.loads(json.dumps(document)).items() if name != "files"})
