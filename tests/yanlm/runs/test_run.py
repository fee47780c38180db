"""A run from beginning to end: its files, what its listener hears, and a report."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from yanlm.data.corpus import corpus_of
from yanlm.data.sources import Source
from yanlm.modeling.io import load_model
from yanlm.runs.listener import Listener
from yanlm.runs.resuming import resumed
from yanlm.runs.run import train
from yanlm.runs.settings import RunSettings, from_dict, resolve
from yanlm.runs.validation import report

SMALL = {"d_model": 16, "num_heads": 2, "encoder_layers": 1, "flow_layers": 1, "cross_layers": [0], "max_length": 48}
BATCHES = {"recipe1": {"batch_size": 4}, "recipe2": {"batch_size": 4}}
FILES = {"stage1", "stage2", "tokenizer", "run.json", "losses.png", "samples.txt"}


class Heard(Listener):
    """Keeps what it hears: notes, and the kind of everything else."""

    def __init__(self) -> None:
        self.notes: list[str] = []
        self.kinds: list[tuple[str, int]] = []

    def note(self, text: str) -> None:
        self.notes.append(text)

    def stage(self, stage: int, model: Any, settings: RunSettings) -> None:
        self.kinds.append(("stage", stage))

    def log(self, stage: int, record: dict[str, Any]) -> None:
        self.kinds.append(("log", stage))

    def sample(self, stage: int, step: int, example: dict[str, str]) -> None:
        self.kinds.append(("sample", stage))


@pytest.fixture
def small(tmp_path: Path) -> RunSettings:
    """Settings of two steps a stage on texts of their own."""
    data = tmp_path / "own.txt"
    data.write_text("\n".join(f"the cat number {i} sat near the old house ." for i in range(60)))
    steps = {"steps1": 2, "steps2": 2, "log_every": 1, "eval_rows": 4}
    return resolve({"data": [str(data)], "tokenizer": "bpe:300", "model": SMALL, **BATCHES, **steps})


def test_a_run_writes_what_it_returns_and_is_heard(small: RunSettings, tmp_path: Path) -> None:
    heard, out = Heard(), tmp_path / "run"
    record = train(small, str(out), device="cpu", command="by hand", listener=heard)
    assert record is not None and json.loads((out / "run.json").read_text()) == json.loads(json.dumps(record))
    assert {path.name for path in out.iterdir()} == FILES and record["command"] == "by hand"
    way = json.loads((out / "stage2" / "generation_config.json").read_text())
    assert record["report"]["way"] == {name: way[name] for name in ("sampler", "steps")}
    assert {stage: entry["steps"] for stage, entry in record["stages"].items()} == {"1": 2, "2": 2}
    assert record["report"]["by_steps"] and "one_pass" in record["report"]["stage1"]
    assert [kind for kind in heard.kinds if kind[0] != "sample"] == [
        (kind, stage) for stage in (1, 2) for kind in ("stage", "log", "log")
    ]
    weights = (out / "stage1" / "model.safetensors").read_bytes()
    again = train(small, out, device="cpu", resume=True, listener=heard)
    assert again is not None and again["report"] == record["report"]
    assert heard.notes[-2:] == ["stage 1 is finished already", "stage 2 is finished already"]
    assert (out / "stage1" / "model.safetensors").read_bytes() == weights
    with pytest.raises(ValueError, match="resume"):
        train(small, out, device="cpu")


def test_a_finished_run_keeps_its_length_and_rate(small: RunSettings, tmp_path: Path) -> None:
    out = tmp_path / "run"
    train(small, out, device="cpu")
    before = (out / "run.json").read_text()
    for changes, named in (({"steps2": 5}, "length"), ({"lr": 0.5}, r"rate \(--lr\)"), ({"minutes": 1.0}, "length")):
        with pytest.raises(ValueError, match=f"another {named}.* changes nothing: .* --init"):
            train(resumed(small, changes), out, device="cpu", resume=True)
    assert (out / "run.json").read_text() == before
    record = train(resumed(small, {"eval_rows": 3}), out, device="cpu", resume=True)
    assert record is not None and record["report"]["rows"] == 3
    assert record["changed"][0]["settings"] == {"eval_rows": {"from": 4, "to": 3}}
    with Path(small.data[0]).open("a") as data:
        data.write("\nthe dog number 61 ran .")
    with pytest.raises(ValueError, match="data changed"):
        train(small, out, device="cpu", resume=True)
    assert json.loads((out / "run.json").read_text()) == json.loads(json.dumps(record))


def test_changes_are_written_down_when_the_run_goes_on(small: RunSettings, tmp_path: Path) -> None:
    out, data = tmp_path / "run", Path(small.data[0])
    with pytest.raises(SystemExit):
        train(dataclasses.replace(small, steps1=4, save_every=1), out, device="cpu", listener=Killed(2))
    saved, text = from_dict(json.loads((out / "run.json").read_text())["settings"]), data.read_text()
    data.write_text(text + "\nthe dog number 61 ran .")
    with pytest.raises(ValueError, match="data changed since the run in "):
        train(resumed(saved, {"lr": 0.5}), out, device="cpu", resume=True)
    assert "changed" not in json.loads((out / "run.json").read_text())
    data.write_text(text)
    with pytest.raises(SystemExit):
        train(resumed(saved, {"lr": 0.25}), out, device="cpu", resume=True, listener=Killed(3))
    record = json.loads((out / "run.json").read_text())
    assert record["settings"]["recipe1"]["lr"] == 0.25 and len(record["changed"]) == 1


ENCODER = {"denoiser": "encoder", "num_experts": 2, "scope": "sentence", "experts": "source", "latent_dim": 4}


class Killed(Listener):
    """Ends the process, as far as the run can tell, when it hears of a step."""

    def __init__(self, step: int) -> None:
        self.at = step

    def log(self, stage: int, record: dict[str, Any]) -> None:
        if record["step"] == self.at:
            raise SystemExit(137)


def test_a_flow_whose_encoder_denoises_goes_on_to_the_last_bit(tmp_path: Path) -> None:
    data = tmp_path / "own.txt"
    data.write_text("\n".join(f"the cat number {i} sat near the old house ." for i in range(60)))
    steps = {"steps1": 9, "log_every": 1, "save_every": 2, "eval_rows": 4}
    settings = resolve(
        {"data": [str(data)], "tokenizer": "bpe:300", "model": SMALL | ENCODER, "recipe1": {"batch_size": 4}, **steps}
    )
    whole = train(settings, tmp_path / "whole", device="cpu")
    assert whole is not None and {path.name for path in (tmp_path / "whole").iterdir()} == FILES - {"stage2"}
    with pytest.raises(SystemExit):
        train(settings, tmp_path / "killed", device="cpu", listener=Killed(5))
    again = train(settings, tmp_path / "killed", device="cpu", resume=True)
    assert again is not None and again["report"] == whole["report"]
    weights = [load_file(tmp_path / name / "stage1" / "model.safetensors") for name in ("whole", "killed")]
    assert weights[0].keys() == weights[1].keys()
    assert all(torch.equal(tensor, weights[1][name]) for name, tensor in weights[0].items())
    assert weights[0]["flow.information.counts"].sum() > 9, "times are measured, and what was measured is kept"
    model = load_model(tmp_path / "killed")
    assert model.config.sentence_ends and model.can.denoises and model.config.stage == 1


def test_rows_that_were_read_are_not_read_again(small: RunSettings, tmp_path: Path) -> None:
    rows = [{"text": f"the dog number {i} ran to the river ."} for i in range(30)]
    corpus = corpus_of("given", [Source("given", rows, rows[:3], rows[:2])], (1.0,))
    Path(small.data[0]).unlink()
    record = train(dataclasses.replace(small, stage="1", steps2=None), tmp_path / "run", device="cpu", corpus=corpus)
    assert record is not None and record["data"]["name"] == "given" and list(record["stages"]) == ["1"]


def test_texts_are_repeated_up_to_the_rows_of_a_report(make_model: Callable[..., Any], tokenizer: Any) -> None:
    seen = [{"text": "the cat sat on the mat"}, {"text": "the dog ran to the red house"}] * 2
    texts = corpus_of("texts", [Source("texts", seen, seen[:3], seen[:2])], (1.0,))
    for options, rows in (({"eval_rows": 5}, 5), ({"eval_rows": 400, "task": "infill"}, 300)):
        model, flow = make_model(), rows == 5
        assert (
            report(resolve({"steps1": 1, "steps2": 1, **options}), model, tokenizer, texts, flow=flow)["rows"] == rows
        )


def test_settings_that_were_not_resolved_are_refused(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match=r"settings must be what yanlm\.resolve makes of them, got a dict"):
        train({"data": ["builtin:codes"]}, tmp_path / "run")  # type: ignore[arg-type]
    assert not (tmp_path / "run").exists()
