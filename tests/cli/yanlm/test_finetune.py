"""yanlm finetune, end to end on tiny models: every kind, early stopping, resume, a user's mistakes."""

import json
import shutil
from functools import partial
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from yanlm.data.builtin.rooms import rooms_rows

QUICK = ("--steps", "4", "--check-every", "2", "--check-rows", "5", "--eval-rows", "6", "--batch-size", "4")


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


def test_a_flow_whose_encoder_denoises(finetune, models):
    command = ("--model", models / "encoder", "--task", "qa", "--data", "rooms.jsonl", *QUICK)
    code, printed, err = finetune(*command, "--out", "out", "--json")
    assert code == 0 and "flow, denoised by its encoder" in err, err
    summary = json.loads(printed)
    assert list(summary["by_steps"]) == ["1", "2", "3", "4", "8"] and "one_pass" in summary
    assert [path.name for path in Path("out/seed-0").glob("stage*")] == ["stage1"]
    config = json.loads(Path("out/seed-0/stage1/config.json").read_text())
    assert (config["denoiser"], config["experts"], config["num_experts"]) == ("encoder", "source", 2)
    before = Path("out/plan.json").read_text(), Path("out/seed-0/run.json").read_text()
    code, _, err = finetune("--resume", "out", "--steps", 6)
    assert code == 2 and "another length (--minutes or steps) changes nothing" in err and "--model out/seed-0" in err
    assert before == (Path("out/plan.json").read_text(), Path("out/seed-0/run.json").read_text())
    code, _, err = finetune(*command, "--out", "more", "--experts", 3)
    assert code == 0, err
    assert json.loads(Path("more/seed-0/stage1/config.json").read_text())["num_experts"] == 3


def test_a_sample_and_then_all_test_rows(finetune, models):
    quick = ("--steps", 4, "--check-every", 4, "--check-rows", 2, "--batch-size", 4)
    Path("test.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rooms_rows("test", 600)))
    Path("rooms.jsonl").rename("train.jsonl")
    command = ("--model", models / "mlm", "--task", "qa", "--data", "train.jsonl", *quick, "--out", "out")
    code, _, err = finetune(*command)
    assert code == 0 and " of 600 test rows, ±" in err and "--resume out --eval-rows all" in err, err
    assert json.loads(Path("out/seed-0/run.json").read_text())["settings"]["eval_rows"] is None
    code, _, err = finetune("--resume", "out", "--eval-rows", "all")
    assert code == 0 and "all 600 test rows" in err and "finished already" in err and "--eval-rows all" not in err, err
    code, _, err = finetune("--resume", "out", "--eval-rows", "no")
    assert code == 2 and "--eval-rows must be a positive number or all" in err


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
        (("--task", "qa", "--data", "rooms.jsonl", "--seeds", "0"), "--seeds must be at least 1"),
        (("--task", "qa", "--data", "rooms.jsonl", "--steps", "0"), "--steps must be at least 1, got 0"),
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


def test_the_data_is_read_once_for_all_seeds_and_the_labels(finetune, models, monkeypatch):
    import yanlm.tasks.rows as module

    read, original = [], module.read_sources

    def watched(specs, **options):
        read.append(specs)
        return original(specs, **options)

    monkeypatch.setattr(module, "read_sources", watched)
    code, _, err = finetune(
        "--model", models / "flow", "--task", "classify", "--data", "labels.jsonl", *QUICK, "--seeds", 2,
        "--source-field", "about", "--target-field", "where", "--out", "out",
    )  # fmt: skip
    assert code == 0, err
    assert len(read) == 1
    assert json.loads(Path("out/plan.json").read_text())["settings"]["model"]["pad_to"] >= 1


def test_it_goes_on_from_another_folder_at_another_rate(finetune, models, monkeypatch):
    shutil.copytree(models / "flow", "model")
    code, _, err = finetune(
        "--model", "model", "--task", "qa", "--data", "rooms.jsonl", *QUICK, "--lr", 1e30, "--out", "out"
    )
    assert code == 1 and "yanlm finetune --resume out --lr RATE" in err
    Path("elsewhere").mkdir()
    monkeypatch.chdir("elsewhere")
    code, _, err = finetune("--resume", "../out", "--lr", "0.001", "--steps", 6)
    assert code == 0, err
    plan, run = (json.loads(Path(f"../out/{name}").read_text()) for name in ("plan.json", "seed-0/run.json"))
    for record in (plan, run):
        assert record["settings"]["recipe2"]["lr"] == 0.001 and record["settings"]["steps2"] == 6
        assert record["changed"][0]["settings"]["recipe2.lr"] == {"from": 1e30, "to": 0.001}
    assert run["stages"]["2"]["steps"] == 6
    code, _, err = finetune("--resume", "../out", "--seeds", 2, "--task", "qa")
    assert code == 2 and "--seeds, --task cannot change" in err
