"""yanlm evaluate, end to end on a tiny model that was never trained."""

import json
from functools import partial
from pathlib import Path

import pytest
import torch

from yanlm.config import YanConfig
from yanlm.data.builtin.rooms import rooms_rows
from yanlm.modeling.io import save_model
from yanlm.modeling.yan import YanModel
from yanlm.tokenization.tokenizer import train_tokenizer

SIZES = {"d_model": 16, "num_heads": 2, "encoder_layers": 1, "flow_layers": 1, "cross_layers": [0], "max_length": 96}
QUICK = ("--steps", "1,2", "--seeds", "2")


def folder_of(folder, **options):
    tokenizer = train_tokenizer([" ".join(row.values()) for row in rooms_rows("train", 50)], 400)
    ids = {"vocab_size": len(tokenizer), "pad_token_id": tokenizer.pad_token_id}
    with torch.random.fork_rng([]):
        torch.manual_seed(0)
        model = YanModel(YanConfig(**SIZES, **ids, mask_token_id=tokenizer.mask_token_id, **options))
    save_model(folder, model, tokenizer)
    return folder


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return folder_of(tmp_path_factory.mktemp("models") / "flow")


@pytest.fixture
def evaluate(yanlm):
    """Run the command in a folder with data of its own; returns exit code, standard output and standard error."""
    rows = rooms_rows("train", 60)
    for name, made in {
        "rooms.jsonl": [row | {"task": f"qa{i % 3}"} for i, row in enumerate(rows)],
        "labels.jsonl": [{"about": row["context"], "where": row["answer"]} for row in rows],
        "texts.jsonl": [{"text": row["context"]} for row in rows],
    }.items():
        Path(name).write_text("\n".join(map(json.dumps, made)))
    return partial(yanlm, "evaluate")


def test_questions(evaluate, model):
    out = Path("out")
    code, printed, err = evaluate("--model", model, "--task", "qa", "--data", "rooms.jsonl", *QUICK, "--out", out)
    assert code == 0, err
    assert str(out / "report.json") in printed and str(out / "predictions.jsonl") in printed
    assert "last mentioned" in err and "flow, T = 2" in err and "length only" in err
    report = json.loads((out / "report.json").read_text())
    assert report["task"] == "qa" and report["seeds"] == [0, 1] and set(report["by_steps"]) == {"1", "2"}
    assert report["split"] == "test" and len(report["fingerprint"]) == 64
    lines = [json.loads(line) for line in (out / "predictions.jsonl").read_text().splitlines()]
    assert len(lines) == report["n"] * 2 * 2


def test_a_held_out_file_is_evaluated_whole(evaluate, model):
    rows = rooms_rows("train", 12)
    for name, part in {"train": rows[:4], "dev": rows[4:7], "test": rows[7:]}.items():
        Path(f"{name}.jsonl").write_text("\n".join(map(json.dumps, part)))
    args = ("--model", model, "--task", "qa", "--steps", 1, "--seeds", 1, "--json", "--data")
    for name, split, count in (("train", "test", 5), ("test", "test", 5), ("dev", "validation", 3)):
        code, printed, err = evaluate(*args, f"{name}.jsonl")
        report = json.loads(printed)
        assert code == 0, err
        assert (report["split"], report["n"]) == (split, count) and "retrieval" in report["baselines"]
        assert ("evaluated whole" in err) == (name != "train")
    code, _, err = evaluate(*args, "test.jsonl", "--data", "rooms.jsonl")
    assert code == 2 and "--data" in err and "train" in err


def test_json_alone_and_the_default_folder(evaluate, model):
    args = ("--model", model, "--task", "infill", "--data", "texts.jsonl", "--limit", 2, "--samples", 2, "--steps", 1)
    code, printed, err = evaluate(*args, "--json")
    report = json.loads(printed)
    assert code == 0, err
    assert report["n"] == 2 and report["samples"] == 2 and report["by_steps"]["1"]["unique"] <= 1
    assert report["files"]["report"] == str(model / "evaluation" / "infill-texts.jsonl" / "report.json")
    assert json.loads(Path(report["files"]["report"]).read_text()) == report
    code, printed, err = evaluate(*args)
    assert code == 0 and "self bleu" in err and "<mask>" in err


def test_reread(evaluate, model):
    args = ("--model", model, "--task", "sentence", "--data", "sentences.txt", "--steps", "1,2", "--seeds", 1)
    Path("sentences.txt").write_text("\n\n".join(f"The first {i}. A second one. The third." for i in range(50)))
    code, printed, err = evaluate(*args, "--reread", "--temperature", 0.7, "--order", "margin", "--json")
    report = json.loads(printed)
    assert code == 0, err
    assert report["reread"] and report["temperature"] == 0.7 and report["order"] == "margin"
    assert report["by_steps"]["2"]["nfe"] == 2
    assert {"copy_source", "unigram", "neighbour", "frequent_words"} == report["baselines"].keys()
    assert "reread" in evaluate(*args, "--reread")[2] and "reread" not in evaluate(*args)[2]


def test_candidates_and_the_sampler_are_in_the_report(evaluate, models):
    args = ("--model", models / "encoder", "--task", "qa", "--data", "rooms.jsonl", "--limit", 3, "--steps", 2)
    code, _, err = evaluate(*args, "--candidates", 2, "--temperature", 0.5, "--out", "many")
    assert code == 0 and "the best of 2 candidates" in " ".join(err.split()) and "one pass" in err, err
    report = json.loads(Path("many/report.json").read_text())
    assert (report["candidates"], report["temperature"], report["sampler"]) == (2, 0.5, "flow")
    assert report["by_steps"]["2"]["nfe"] == 6
    code, _, err = evaluate(*args, "--sampler", "diffusion", "--order", "margin", "--out", "diffused")
    assert code == 0 and "masked diffusion" in " ".join(err.split()), err
    report = json.loads(Path("diffused/report.json").read_text())
    assert (report["sampler"], report["order"], report["seeds"]) == ("diffusion", "margin", [0])
    assert "routing" not in report and "candidates" not in report


def test_labels_with_other_names_on_the_validation_rows(evaluate, model):
    args = ("--model", model, "--task", "classify", "--data", "labels.jsonl", "--steps", 1, "--split", "validation")
    code, printed, err = evaluate(*args, "--source-field", "about", "--target-field", "where", "--json")
    report = json.loads(printed)
    assert code == 0, err
    assert report["split"] == "validation" and {"accuracy", "macro_f1"} <= report["by_steps"]["1"].keys()
    assert {"majority", "tfidf_logreg", "length_only"} == report["baselines"].keys()


def test_known_labels(evaluate, tmp_path):
    padded = folder_of(tmp_path / "padded", pad_to=4)
    args = ("--model", padded, "--task", "classify", "--data", "labels.jsonl", "--steps", 1, "--labels", "known")
    code, printed, err = evaluate(*args, "--source-field", "about", "--target-field", "where", "--json")
    report = json.loads(printed)
    assert code == 0, err
    assert report["labels"] == "known" and report["by_steps"]["1"]["valid_labels"] == 1


@pytest.mark.parametrize("options", [{}, {"denoiser": "encoder"}], ids=["trunk", "encoder"])
def test_models_together(evaluate, model, tmp_path, options):
    one, two = (folder_of(tmp_path / name, pad_to=4, **options) for name in "ab")
    other = folder_of(tmp_path / "c", pad_to=4, **options)
    train_tokenizer(["another text altogether, with other letters"], 300).save_pretrained(other)
    fields = ("--source-field", "about", "--target-field", "where", "--steps", 1)
    args = ("--task", "classify", "--data", "labels.jsonl", *fields, "--labels", "known")
    code, printed, err = evaluate("--model", one, "--model", two, *args)
    report = json.loads((one / "evaluation" / "classify-labels.jsonl-of-2" / "report.json").read_text())
    assert code == 0 and "2 models together" in " ".join(err.split()), err
    assert report["model"]["models"] == 2 and report["folder"] == f"{one} + {two}" and "one_pass" in report
    for folders, options, message in (
        ((one, other), args, f"{other} has another tokenizer than {one}"),
        ((one, model), args, "must have one pad_to, got [4, 0]"),
        ((one, two), args[:-2], "--labels known"),
    ):
        code, printed, err = evaluate(*(part for folder in folders for part in ("--model", folder)), *options)
        assert code == 2 and message in " ".join(err.split()) and not printed


MISTAKES = {
    "no model": (("--model", "nowhere"), "nowhere"),
    "unknown task": (("--task", "translate"), "task must be one of"),
    "no such data": (("--data", "none.jsonl"), "none.jsonl"),
    "rows of another task": (("--data", "texts.jsonl"), "context, question, answer"),
    "split": (("--split", "train"), "--split"),
    "steps": (("--steps", "1,0"), "--steps"),
    "words as steps": (("--steps", "many"), "--steps"),
    "seeds": (("--seeds", "0"), "--seeds"),
    "samples": (("--samples", "0"), "--samples"),
    "limit": (("--limit", "0"), "--limit"),
    "length": (("--length", "long"), "length must be one of"),
    "labels": (("--labels", "some"), "labels must be one of"),
    "labels of a question": (("--labels", "known"), "--labels known goes with the task classify"),
    "routing": (("--routing", "best"), "routing"),
    "scale": (("--z0-scale", "0"), "--z0-scale must"),
    "temperature": (("--temperature", "1"), "temperature"),
    "order": (("--order", "random"), "order goes with models that fill slots in turns"),
    "temperature of a reread": (("--temperature", "-1"), "temperature"),
    "encoder": (("--encoder", "nowhere"), "--encoder"),
    "layer without an encoder": (("--bert-layer", "2"), "--bert-layer and --bert-baseline"),
    "baseline without an encoder": (("--bert-baseline", "0.5"), "--bert-layer and --bert-baseline"),
    "device": (("--device", "tpu"), "--device"),
    "out": (("--out", "texts.jsonl/x"), "--out"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_mistakes_end_in_one_line_and_code_2(evaluate, model, name):
    wrong, message = MISTAKES[name]
    options = {"--model": model, "--task": "qa", "--data": "rooms.jsonl", "--steps": "1", "--seeds": "1", "--out": "o"}
    options |= dict([wrong])
    code, out, err = evaluate(*(word for pair in options.items() for word in pair))
    assert code == 2, err
    assert out == "" and message in err and "Traceback" not in err
    assert sum(line.startswith("error:") for line in err.splitlines()) == 1


def test_a_model_of_stage_1_is_refused(evaluate, tmp_path):
    folder = folder_of(tmp_path / "stage1", stage=1)
    code, _, err = evaluate("--model", folder, "--task", "qa", "--data", "rooms.jsonl")
    assert code == 2 and "stage 1 alone" in err
