"""A tiny model looked at through a folder: numbers, draws, files and errors."""

import json

import pytest
import torch
from inspected import ROWS, TEXTS, tiny

from yanlm.analysis.inspection import inspect_folder, inspect_latents, token_text
from yanlm.analysis.latents import LEAST
from yanlm.modeling.io import save_model
from yanlm.runs.settings import resolve
from yanlm.tokenization.examples import Builder
from yanlm.tokenization.tokenizer import encode


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"positions": "learned", "max_length": 20},
        {"backbone": "mamba"},
        {"backbone": "mamba", "positions": "learned", "tie_word_embeddings": False},
        {"form": "separate", "align": False, "positions": "learned"},
    ],
)
def test_any_model(tokenizer, options):
    model = tiny(tokenizer, **options)
    model.train()
    found = inspect_latents(model, tokenizer, ROWS, tokens=200, top=3)
    assert model.training
    numbers = found.numbers
    assert numbers["tokens"] == len(found.ids) == len(found.coordinates) == 200
    assert numbers["dim"] == 16 == len(numbers["spectrum"])
    assert sum(numbers["spectrum"]) == pytest.approx(1, abs=1e-4)
    assert found.coordinates.mean(0) == pytest.approx([0, 0], abs=1e-9)
    assert numbers["mean_square"] == pytest.approx(1, abs=0.01)  # the encoder's LayerNorm, untrained
    assert numbers["normal"]["participation"] > 0.85
    assert len(numbers["frequent"]) == 3
    assert json.loads(json.dumps(numbers, allow_nan=False)) == numbers


def test_draws_follow_from_the_seed_and_a_builder_serves_too(tokenizer):
    model = tiny(tokenizer)
    one = inspect_latents(model, tokenizer, ROWS, tokens=100, seed=1)
    again = inspect_latents(model, Builder(tokenizer, max_length=64), ROWS, tokens=100, seed=1)
    other = inspect_latents(model, tokenizer, ROWS, tokens=100, seed=2)
    assert one.numbers == again.numbers
    assert torch.equal(one.coordinates, again.coordinates)
    assert one.numbers["cosine"] != other.numbers["cosine"]


def test_questions_are_whole_texts(tokenizer):
    row = {"context": "the cat sat on the mat", "question": "the cat?", "answer": "mat"}
    length = len(encode(tokenizer, "the cat sat on the mat the cat? mat"))
    found = inspect_latents(tiny(tokenizer), tokenizer, [row] * 20)
    assert found.numbers["tokens"] == 20 * length


def test_tokens_in_print(tokenizer):
    assert token_text(tokenizer, encode(tokenizer, "\n")[0]) == "\\n"
    assert token_text(tokenizer, encode(tokenizer, "é")[0]).startswith("#")  # half a character
    assert token_text(tokenizer, tokenizer.mask_token_id).startswith("#")


@pytest.fixture
def run(tokenizer, tmp_path):
    """A run's folder with an untrained model of stage 1, and the text it would have been trained on."""
    data = tmp_path / "some.txt"
    data.write_text("\n\n".join(TEXTS), encoding="utf-8")
    settings = resolve({"data": str(data), "stage": "1", "steps1": 1}).to_dict()
    save_model(tmp_path / "run" / "stage1", tiny(tokenizer), tokenizer, {"settings": settings})
    return tmp_path / "run"


def test_folder(run):
    found = inspect_folder(run, tokens=LEAST)
    assert found["files"]["figure"] == str(run / "inspect" / "latents.png")
    assert (run / "inspect" / "latents.png").stat().st_size > 10_000
    assert json.loads((run / "inspect" / "latents.json").read_text(encoding="utf-8")) == found
    assert found["model"] == str(run / "stage1")
    assert found["data"] == [str(run.parent / "some.txt")]
    assert found["tokens"] == LEAST


def test_where_a_flow_decides_whose_encoder_denoises(run, tokenizer):
    assert "information" not in inspect_folder(run, tokens=LEAST)["files"]
    model = tiny(tokenizer, denoiser="encoder", latent_dim=4)
    t = torch.linspace(0, 1, 100)
    model.denoiser.information.observe(t, (1 - 4 * t).clamp_min(0))
    settings = json.loads((run / "stage1" / "run.json").read_text())
    save_model(run / "stage1", model, tokenizer, settings)
    found = inspect_folder(run, tokens=LEAST)
    assert (run / "inspect" / "information.png").stat().st_size > 10_000
    assert found["files"]["information"] == str(run / "inspect" / "information.png")
    kept = json.loads((run / "inspect" / "latents.json").read_text(encoding="utf-8"))["information"]
    assert kept == found["information"] and set(kept) == {"times", "errors", "grid"} and set(kept["grid"]) == {*"248"}
    assert kept["grid"]["4"] == pytest.approx(model.denoiser.times(4).tolist(), abs=1e-6)


def test_folder_with_other_data_and_place(run, tmp_path):
    other = tmp_path / "train.jsonl"
    other.write_text("\n".join(json.dumps({"words": text}) for text in TEXTS), encoding="utf-8")
    (run / "stage1" / "run.json").unlink()
    found = inspect_folder(run / "stage1", data=[str(other)], text_column="words", out=tmp_path / "seen", tokens=LEAST)
    assert found["data"] == [str(other)]
    assert (tmp_path / "seen" / "latents.json").is_file()


def test_the_runs_own_data_with_the_names_of_its_fields(run, tmp_path):
    lines = [json.dumps({"words": text, "topic": "x"}) for text in TEXTS]
    (tmp_path / "own.jsonl").write_text("\n".join(lines), encoding="utf-8")
    for fields in ({"source_field": "words"}, {"source_field": "words", "target_field": "topic"}):
        settings = resolve({"data": str(tmp_path / "own.jsonl"), "stage": "1", "steps1": 1, "task": "infill"} | fields)
        (run / "stage1" / "run.json").write_text(json.dumps({"settings": settings.to_dict()}), encoding="utf-8")
        assert inspect_folder(run, tokens=LEAST)["data"] == [str(tmp_path / "own.jsonl")]


def test_folder_errors_say_what_to_do(run, tmp_path):
    with pytest.raises(ValueError, match="text_column goes with data"):
        inspect_folder(run, text_column="words")
    with pytest.raises(ValueError, match="yanlm train"):
        inspect_folder(tmp_path / "absent")
    with pytest.raises(ValueError, match=r"cannot write to .*; choose another --out"):
        inspect_folder(run, out=tmp_path / "some.txt", tokens=LEAST)
    (tmp_path / "some.txt").unlink()
    with pytest.raises(ValueError, match=r"some.txt.*--data"):
        inspect_folder(run)
    (run / "stage1" / "run.json").write_text("{}", encoding="utf-8")
    with pytest.raises(ValueError, match=r"no run.json that names its data; .*--data"):
        inspect_folder(run)
