"""yanlm finetune, end to end on tiny models: every kind, early stopping, resume, a user's mistakes."""

import json
from functools import partial
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from yanlm.config import YanConfig
from yanlm.data.builtin.rooms import rooms_rows
from yanlm.modeling.autoregressive import ARModel
from yanlm.modeling.build import baseline_config
from yanlm.modeling.io import save_model
from yanlm.modeling.yan import YanModel
from yanlm.tokenization.tokenizer import train_tokenizer

SIZES = {"d_model": 16, "num_heads": 2, "encoder_layers": 1, "flow_layers": 1, "cross_layers": [0], "max_length": 96}
QUICK = ("--steps", "4", "--check-every", "2", "--check-rows", "5", "--eval-rows", "6", "--batch-size", "4")


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """A flow and two baselines, never trained."""
    root = tmp_path_factory.mktemp("models")
    tokenizer = train_tokenizer([" ".join(row.values()) for row in rooms_rows("train", 50)], 400)
    ids = {"vocab_size": len(tokenizer), "pad_token_id": tokenizer.pad_token_id}
    flow = YanConfig(**SIZES, **ids, mask_token_id=tokenizer.mask_token_id, stage=2)
    kinds = {"flow": flow, "mlm": baseline_config("mlm", flow), "gpt2": baseline_config("gpt2", flow)}
    for name, config in kinds.items():
        with torch.random.fork_rng([]):
            torch.manual_seed(0)
            save_model(root / name, ARModel(config) if name == "gpt2" else YanModel(config), tokenizer)
    return root


@pytest.fixture
def finetune(yanlm):
    """Run the command in a folder with data of its own; returns exit code, standard output and standard error."""
    rows = rooms_rows("train", 200)
    for name, made in {
        "rooms.jsonl": rows,
        "labels.jsonl": [{"about": row["context"], "where": row["answer"]} for row in rows],
        "texts.jsonl": [{"text": row["context"]} for row in rows],
    }.items():
        Path(name).write_text("\n".join(map(json.dumps, made)))
    return partial(yanlm, "finetune")


def weights(folder):
    return load_file(next(Path(folder).glob("stage*/model.safetensors")))


def test_two_seeds_with_everything_written(finetune, models):
    code, printed, err = finetune(
        "--model", models / "flow", "--task", "qa", "--data", "rooms.jsonl",
        *QUICK, "--seeds", 2, "--out", "out", "--json",
    )  # fmt: skip
    assert code == 0, err
    summary = json.loads(printed)
    assert summary == json.loads(Path("out/finetune.json").read_text())
    assert summary["runs"] == 2 and summary["task"] == "qa" and summary["n"] == 6
    assert list(summary["by_steps"]) == ["1", "2", "3", "4", "8"]
    assert summary["by_steps"]["3"]["exact_match_range"][0] <= summary["by_steps"]["3"]["exact_match"]
    assert {"majority", "last_mentioned", "retrieval"} <= summary["baselines"].keys()
    assert "validation, step 2: exact match" in err
    lines = Path("out/seed-1/predictions.jsonl").read_text().splitlines()
    assert len(lines) == 6 * 5 and all("prediction" in json.loads(line) for line in lines)
    assert any(not torch.equal(a, b) for a, b in zip(*(weights(f"out/seed-{n}").values() for n in (0, 1)), strict=True))


def test_own_fields_and_padded_labels(finetune, models):
    code, printed, err = finetune(
        "--model", models / "flow", "--task", "classify", "--data", "labels.jsonl", *QUICK,
        "--source-field", "about", "--target-field", "where", "--out", "out", "--json",
    )  # fmt: skip
    assert code == 0, err
    summary = json.loads(printed)
    assert summary["length"] == "padding" and not summary["length_leaks"]
    assert json.loads(Path("out/seed-0/stage2/config.json").read_text())["pad_to"] >= 1


@pytest.mark.parametrize("task", ["infill", "sentence", "completion"])
def test_a_baseline_on_texts(finetune, models, task):
    code, printed, err = finetune(
        "--model", models / "mlm", "--task", task, "--data", "texts.jsonl", *QUICK, "--out", "out", "--json"
    )
    assert code == 0, err
    assert json.loads(printed)["model"]["method"] == "mlm"


def test_a_table_is_shown(finetune, models):
    code, printed, err = finetune("--model", models / "mlm", "--task", "qa", "--data", "rooms.jsonl", *QUICK)
    assert code == 0 and "majority" in err and "mlm, T = 1" in err and "finetune-qa" in printed


def test_stopped_and_resumed_is_as_never_stopped(finetune, models, monkeypatch):
    command = ("--model", models / "flow", "--task", "qa", "--data", "rooms.jsonl", *QUICK, "--seeds", 2)
    assert finetune(*command, "--out", "straight")[0] == 0
    import yanlm.runs.validation as module

    original, calls = module.evaluate_task, []

    def stop(*args, **kwargs):
        calls.append(1)
        if len(calls) == 5:  # in the second seed's first look: two looks and a report come before
            raise KeyboardInterrupt
        return original(*args, **kwargs)

    monkeypatch.setattr(module, "evaluate_task", stop)
    code, _, err = finetune(*command, "--out", "stopped")
    assert code == 130 and "yanlm finetune --resume stopped" in err
    monkeypatch.setattr(module, "evaluate_task", original)
    assert finetune("--resume", "stopped")[0] == 0
    for seed in (0, 1):
        straight, stopped = weights(f"straight/seed-{seed}"), weights(f"stopped/seed-{seed}")
        assert all(torch.allclose(straight[name], stopped[name], atol=1e-6) for name in straight)


@pytest.mark.parametrize(
    ("args", "words"),
    [
        ((), "--model"),
        (("--model", "nowhere", "--task", "qa", "--data", "rooms.jsonl"), "no folder"),
        (("--task", "translate", "--data", "rooms.jsonl"), "task must be one of"),
        (("--task", "classify", "--data", "texts.jsonl"), "--source-field"),
        (("--task", "qa", "--data", "missing.jsonl"), "missing.jsonl"),
        (("--task", "qa", "--data", "rooms.jsonl", "--seeds", "0"), "seeds"),
        (("--task", "qa", "--data", "rooms.jsonl", "--steps", "4", "--minutes", "1"), "not both"),
        (("--task", "qa", "--data", "rooms.jsonl", "--pad-to", "96"), "max_length"),
        (("--resume", "nowhere"), "--resume nowhere"),
    ],
)
def test_mistakes_end_in_one_line(finetune, models, args, words):
    if args and "--model" not in args and "--resume" not in args:
        args = ("--model", models / "flow", *args)
    code, printed, err = finetune(*args, *(() if "--resume" in args else ("--out", "out")))
    assert code == 2 and not printed
    last = err.strip().splitlines()[-1]
    assert last.startswith("error:") and words in last


def test_an_old_fine_tuning_is_not_overwritten(finetune, models):
    command = ("--model", models / "flow", "--task", "qa", "--data", "rooms.jsonl", *QUICK, "--out", "out")
    assert finetune(*command)[0] == 0
    code, _, err = finetune(*command)
    assert code == 2 and "--resume out" in err


def test_gpt2_is_tuned_on_answers_alone_unless_told_otherwise(models):
    from yanlm.runs.finetuning import finetune_settings

    plain = finetune_settings(models / "gpt2", "qa", ["builtin:rooms"], {})
    assert plain.stage1.known == 0.0
    more = finetune_settings(models / "gpt2", "qa", ["builtin:rooms"], {"stage1": {"known": 0.5}})
    assert more.stage1.known == 0.5
    assert finetune_settings(models / "mlm", "qa", ["builtin:rooms"], {}).stage1.known == 1.0


def test_a_recipe_may_mask_more_than_the_answer(models):
    from yanlm.runs.finetuning import finetune_settings

    for kind, recipe in (("flow", "recipe2"), ("mlm", "recipe1")):
        plain = finetune_settings(models / kind, "qa", ["builtin:rooms"], {})
        assert getattr(plain, recipe).masking.context == 0.0
        more = {"recipe": {"masking": {"context": 0.5, "context_rate": (0.1, 0.2)}}}
        masking = getattr(finetune_settings(models / kind, "qa", ["builtin:rooms"], more), recipe).masking
        assert (masking.context, masking.context_rate, masking.clean, masking.tail) == (0.5, (0.1, 0.2), 0.0, 0.0)
