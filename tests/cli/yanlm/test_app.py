"""The yanlm command, end to end."""

import gzip
import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

from yanlm.config import AUTOREGRESSIVE, BASELINES

SMALL = """
minutes = 1.0
data = ["builtin:rooms"]
eval_rows = 20
tokenizer = "bpe:400"
[model]
d_model = 16
num_heads = 2
encoder_layers = 1
flow_layers = 1
cross_layers = [0]
max_length = 96
[recipe1]
batch_size = 4
bucket = 2
warmup = 2
[recipe2]
batch_size = 4
warmup = 2
"""
STEPS = ("--steps1", "3", "--steps2", "3")
FILES = {"stage1", "stage2", "tokenizer", "run.json", "losses.png", "samples.txt"}


@pytest.fixture
def yanlm(yanlm):
    Path("small.toml").write_text(SMALL)
    return yanlm


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A run of three steps a stage."""
    folder = tmp_path_factory.mktemp("trained")
    (folder / "small.toml").write_text(SMALL)
    command = [sys.executable, "-m", "moefm_cli.yanlm.app", "train", "--config", "small.toml", *STEPS, "--json"]
    run = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    return folder / "runs" / "yanlm", json.loads(run.stdout)


def test_train_writes_everything(trained):
    folder, record = trained
    assert {path.name for path in folder.iterdir()} == FILES
    assert json.loads((folder / "run.json").read_text()) == record
    for stage in ("stage1", "stage2"):
        assert {"config.json", "model.safetensors", "tokenizer.json", "run.json", "log.jsonl"} <= {
            path.name for path in (folder / stage).iterdir()
        }


def test_run_json_says_what_was_done_and_learned(trained):
    _, record = trained
    assert record["command"].startswith("yanlm train --config small.toml")
    assert record["data"]["kind"] == "qa" and len(record["data"]["fingerprint"]) == 64
    assert {stage: one["steps"] for stage, one in record["stages"].items()} == {"1": 3, "2": 3}
    report = record["report"]
    assert set(report["by_steps"]) == {"1", "2", "3", "8"}
    assert {"majority", "last_mentioned"} == set(report["baselines"])
    assert len(report["examples"]) == 5


def test_more_data_than_the_cap(yanlm, monkeypatch):
    monkeypatch.setenv("MOEFM_MAX_BYTES", "64K")  # put back afterwards, for the option sets it
    member = gzip.compress(b'{"text": "Mary went home."}\n' * 1000)
    Path("big.jsonl.gz").write_bytes(member * 10)
    args = ("train", "--config", "small.toml", "--data", "big.jsonl.gz", *STEPS)
    for option in ((), ("--max-bytes", "100K")):
        code, out, err = yanlm(*args, *option)
        assert code == 2 and out == "" and not list(Path().rglob("stage1"))
        assert err.count("error: big.jsonl.gz: unpacks to more than") == 1 and "raise the cap with --max-bytes" in err
    code, _, err = yanlm(*args, "--max-bytes", "lots")
    assert code == 2 and "error: --max-bytes: a size must be a positive number of bytes" in err


def test_inspect(yanlm, trained):
    code, out, _ = yanlm("inspect", "--model", trained[0], "--out", "seen", "--json")
    assert code == 0
    assert json.loads(out)["files"] and list(Path("seen").glob("*.png"))


@pytest.mark.parametrize("preset", ["tiny", "paper-transformer"])
def test_info(yanlm, preset):
    code, out, _ = yanlm("info", "--preset", preset, "--json")
    facts = json.loads(out)
    assert code == 0 and facts["preset"] == preset and facts["parameters"]["total"] > 1e6


def test_info_of_a_trained_model(yanlm, trained):
    code, out, _ = yanlm("info", "--model", trained[0])
    assert code == 0 and "total" in out


def test_doctor(yanlm):
    code, out, _ = yanlm("doctor", "--json")
    assert code == 0 and json.loads(out)["mamba"]["in_use"] in ("built-in", "mamba-ssm")
    assert "mamba" in yanlm("doctor")[1]


def test_a_finished_run_is_left_alone(yanlm, trained):
    folder, record = trained
    code, out, _ = yanlm("train", "--resume", folder, "--json")
    again = json.loads(out)
    assert code == 0
    assert again["stages"] == record["stages"] and again["report"] == record["report"]


def test_stage_1_alone_and_stage_2_from_it(yanlm):
    code, _, err = yanlm("train", "--config", "small.toml", "--stage", "1", "--steps1", 2, "--out", "a")
    assert code == 0, err
    assert "by_steps" not in json.loads(Path("a/run.json").read_text())["report"]
    code, _, err = yanlm("generate", "--model", "a", "x <mask>")
    assert code == 2 and "stage 1" in err
    code, _, err = yanlm("train", "--config", "small.toml", "--stage", "2", "--steps2", 2, "--init", "a", "--out", "b")
    assert code == 0, err
    assert yanlm("generate", "--model", "b", "x <mask>")[0] == 0


def test_own_text_and_the_mamba_backbone(yanlm):
    lines = [f"the {w} sat near the {v} house ." for w in ("cat", "dog", "hen") for v in ("red", "old", "small", "new")]
    Path("own.txt").write_text("\n".join(lines))
    args = ("--data", "own.txt", "--backbone", "mamba", "--objective", "consistent", "--ce", "unrolled", "--experts", 2)
    code, _, err = yanlm("train", "--config", "small.toml", *args, *STEPS, "--out", "m")
    assert code == 0, err
    record = json.loads(Path("m/run.json").read_text())
    assert record["settings"]["model"]["backbone"] == "mamba" and len(record["report"]["experts"]) == 2
    assert {"copy_source", "unigram"} == set(record["report"]["baselines"])


@pytest.mark.parametrize("name", BASELINES)
def test_the_command_trains_baselines(yanlm, name):
    train = ("train", "--config", "small.toml", "--baseline", name, "--steps1", 3, "--out", "run")
    code, out, err = yanlm(*train)
    assert code == 0, err
    assert f"baseline: {name}" in err and "stage 2" not in err and "stage2/" not in out
    assert (f"{name}, token by token" if name in AUTOREGRESSIVE else f"{name}, T = 3") in err
    assert {p.name for p in Path("run").iterdir()} == {"stage1", "tokenizer", "run.json", "losses.png", "samples.txt"}
    record = json.loads(Path("run/run.json").read_text())
    assert record["settings"]["baseline"] == name and record["stages"]["1"]["steps"] == 3
    assert json.loads(Path("run/stage1/config.json").read_text())["stage"] == 1
    code, out, err = yanlm("generate", "--model", "run", "Mary went to the <mask> .", "--length", 2)
    assert code == 0 and out.startswith("Mary went to the"), err
    code, out, _ = yanlm("info", "--model", "run", "--json")
    assert code == 0 and json.loads(out)["config"]["method"] == name
    code, _, err = yanlm("train", "--resume", "run")
    assert code == 0 and "finished already" in err
    if name == "gpt2":
        code, _, err = yanlm("inspect", "--model", "run")
        assert code == 2 and "no latents" in err
        code, _, err = yanlm(*train[:-1], "other", "--objective", "consistent")
        assert code == 2 and "leave out objective" in err


MISTAKES = {
    "no such data": (("train", "--data", "nowhere.txt"), "nowhere.txt"),
    "unknown builtin": (("train", "--data", "builtin:cats"), "builtin:rooms"),
    "unknown preset": (("train", "--preset", "huge"), "preset must be one of"),
    "both lengths": (("train", "--minutes", "1", "--steps1", "2"), "minutes"),
    "one stage": (("train", "--steps1", "2"), "steps2"),
    "bad objective": (("train", "--objective", "vfm"), "objective must be one of"),
    "bad ce": (("train", "--ce", "none"), "ce must be one of"),
    "bad experts": (("train", "--experts", "0"), "num_experts"),
    "bad seed": (("train", "--seed", "-1"), "seed"),
    "bad bucket": (("train", "--bucket", "0"), "bucket"),
    "stage 2 without stage 1": (("train", "--stage", "2", "--minutes", "1"), "stage 1"),
    "resume nothing": (("train", "--resume", "nowhere"), "run.json"),
    "resume with options": (("train", "--resume", "nowhere", "--lr", "1"), "--resume"),
    "no config": (("train", "--config", "none.toml"), "none.toml"),
    "bad config": (("train", "--config", "bad.toml"), "bad.toml"),
    "unknown setting": (("train", "--config", "unknown.toml"), "colour"),
    "unknown option": (("train", "--colour", "red"), "--colour"),
    "hub without network": (("train", "--data", "hf:some/set"), "HF_HUB_OFFLINE"),
    "no model": (("generate", "--model", "nowhere", "x <mask>"), "nowhere"),
    "bad device": (("train", "--device", "tpu"), "--device"),
    "info of both": (("info", "--preset", "tiny", "--model", "x"), "not both"),
    "info unknown": (("info", "--preset", "x"), "preset must be one of"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_mistakes_end_in_one_line_and_code_2(yanlm, name):
    Path("bad.toml").write_text("minutes = = 3")
    Path("unknown.toml").write_text('colour = "red"')
    args, message = MISTAKES[name]
    code, out, err = yanlm(*args)
    assert code == 2, err
    assert out == "" and message in err and "Traceback" not in err
    assert sum(line.startswith("error:") for line in err.splitlines()) == 1


def test_a_label_that_is_cut_ends_before_training(yanlm):
    rows = [{"text": f"a {i}", "label": ("good", "Sci/Tech 123")[i % 2]} for i in range(60)]
    Path("labels.jsonl").write_text("\n".join(map(json.dumps, rows)))
    Path("cut.toml").write_text(SMALL.replace("[model]", "[model]\npad_to = 2"))
    code, _, err = yanlm("train", "--config", "cut.toml", "--data", "labels.jsonl", *STEPS)
    assert code == 2 and "pad_to = 2 cuts the label 'Sci/Tech 123'" in err and "set pad_to = " in err


def test_a_run_is_never_overwritten(yanlm):
    args = ("train", "--config", "small.toml", "--stage", "1", "--steps1", 1)
    assert yanlm(*args)[0] == yanlm(*args)[0] == 0
    assert Path("runs/yanlm/run.json").is_file() and Path("runs/yanlm-2/run.json").is_file()
    code, _, err = yanlm(*args, "--out", "runs/yanlm")
    assert code == 2 and "--resume runs/yanlm" in err


def test_a_folder_that_cannot_be_written(yanlm):
    Path("file").write_text("")
    code, _, err = yanlm("train", "--config", "small.toml", "--steps1", 1, "--steps2", 1, "--out", "file/run")
    assert code == 2 and "--out" in err


def test_help_is_quick_and_imports_nothing_heavy():
    code = "import sys, moefm_cli.yanlm.app; print(sorted({'torch', 'transformers', 'datasets'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "[]"


def curve(folder, stage):
    """Losses by step, without what differs between two runs: the time they took."""
    lines = (folder / f"stage{stage}" / "log.jsonl").read_text().splitlines()
    return {one["step"]: (one["loss"], one["parts"]) for one in map(json.loads, lines)}


def test_a_killed_run_goes_on_as_if_nothing_had_happened(tmp_path):
    (tmp_path / "small.toml").write_text("save_every = 4\nlog_every = 1\n" + SMALL)
    command = [sys.executable, "-m", "moefm_cli.yanlm.app", "train"]
    args = ["--config", "small.toml", "--steps1", "12", "--steps2", "12", "--out"]
    quiet = {"cwd": tmp_path, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    assert subprocess.run([*command, *args, "whole"], **quiet).returncode == 0
    process = subprocess.Popen([*command, *args, "killed"], **quiet)
    log = tmp_path / "killed" / "stage2" / "log.jsonl"
    while process.poll() is None and (not log.is_file() or len(log.read_text().splitlines()) < 6):
        time.sleep(0.005)
    process.kill()
    process.wait()
    assert not (tmp_path / "killed" / "stage2" / "model.safetensors").exists(), "it was finished before it was killed"
    assert subprocess.run([*command, "--resume", "killed"], **quiet).returncode == 0
    for stage in (1, 2):
        whole, killed = (curve(tmp_path / name, stage) for name in ("whole", "killed"))
        assert whole.keys() == killed.keys() and len(whole) == 12
        for step, (loss, parts) in whole.items():
            assert killed[step][0] == pytest.approx(loss, abs=1e-6)
            assert killed[step][1] == pytest.approx(parts, abs=1e-6)
    whole, killed = (json.loads((tmp_path / name / "run.json").read_text())["report"] for name in ("whole", "killed"))
    assert whole == killed


def test_two_processes_give_the_losses_of_one(tmp_path):
    (tmp_path / "small.toml").write_text("log_every = 1\n" + SMALL + "[stage1]\nmmd_tokens = 16\n")
    train = [
        "moefm_cli.yanlm.app",
        "train",
        "--config",
        "small.toml",
        "--steps1",
        "4",
        "--steps2",
        "4",
        "--device",
        "cpu",
    ]
    one = subprocess.run([sys.executable, "-m", *train, "--out", "one"], cwd=tmp_path, capture_output=True, text=True)
    assert one.returncode == 0, one.stderr
    launch = ["-m", "accelerate.commands.launch", "--cpu", "--num_processes", "2", "--num_machines", "1"]
    launch += ["--mixed_precision", "no", "--dynamo_backend", "no", "-m"]
    shared = [sys.executable, *launch, *train, "--out", "two"]
    two = subprocess.run(shared, cwd=tmp_path, capture_output=True, text=True)
    assert two.returncode == 0, two.stderr
    for stage in (1, 2):
        alone, shared = (curve(tmp_path / name, stage) for name in ("one", "two"))
        assert alone.keys() == shared.keys() and len(alone) == 4
        for step, (loss, parts) in alone.items():
            assert shared[step][0] == pytest.approx(loss, rel=1e-5)
            assert shared[step][1] == pytest.approx(parts, rel=1e-4, abs=1e-5)
