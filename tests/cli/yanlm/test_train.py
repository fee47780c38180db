"""yanlm train: what it prints is harmless; how it begins, fails, goes on with other settings and from elsewhere."""

import gzip
import json
import os
import shlex
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from yanlm.config import AUTOREGRESSIVE, BASELINES
from yanlm.data.sources import BUILTIN
from yanlm.runs.claim import claimed

TOML = """tokenizer = "bpe:300"
steps1 = 1
steps2 = 1
eval_rows = 5
[model]
d_model = 16
num_heads = 2
encoder_layers = 1
flow_layers = 1
cross_layers = [0]
max_length = 48
"""

TEXTS = "\n".join(f"This is text number {i} of some eighty ." for i in range(80))

STEPS = ("--steps1", "3", "--steps2", "3")
FILES = {"stage1", "stage2", "tokenizer", "run.json", "losses.png", "samples.txt"}


@pytest.fixture
def yanlm(yanlm, small_toml):
    Path("small.toml").write_text(small_toml)
    return yanlm


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


def test_a_model_remembers_the_longest_span_of_its_training(trained):
    config = json.loads((trained[0] / "stage2" / "config.json").read_text())
    assert config["longest_span"] == 1, "answers of one token"


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
    assert yanlm("generate", "--model", "b", "--length", 1, "x <mask>")[0] == 0


def test_own_text_and_the_mamba_backbone(yanlm):
    lines = [f"the {w} sat near the {v} house ." for w in ("cat", "dog", "hen") for v in ("red", "old", "small", "new")]
    Path("own.txt").write_text("\n".join(lines))
    args = ("--data", "own.txt", "--backbone", "mamba", "--objective", "consistent", "--ce", "unrolled", "--experts", 2)
    code, _, err = yanlm("train", "--config", "small.toml", *args, *STEPS, "--out", "m")
    assert code == 0, err
    record = json.loads(Path("m/run.json").read_text())
    assert record["settings"]["model"]["backbone"] == "mamba" and len(record["report"]["experts"]) == 2
    assert {"copy_source", "unigram"} == set(record["report"]["baselines"])


def test_a_flow_whose_encoder_denoises(yanlm):
    Path("settings.toml").write_text(Path("small.toml").read_text() + "[denoising]\nplain = 0.5\n")
    text = Path("settings.toml").read_text()
    recipe = "[recipe2]\nbatch_size = 4\nwarmup = 2\n"
    assert recipe in text
    Path("settings.toml").write_text(text.replace(recipe, "").replace("[model]", '[model]\ndenoiser = "encoder"'))
    code, out, err = yanlm("train", "--config", "settings.toml", "--steps1", 3, "--lr", 0.002, "--out", "run")
    assert code == 0, err
    assert "flow, denoised by its encoder" in err and "one pass" in err
    assert "plain, cross-entropy of masked words in one pass" in err
    assert "autoencoder" not in err and "stage1/" in out and "stage2" not in out
    record = json.loads(Path("run/run.json").read_text())
    assert record["settings"]["denoising"]["plain"] == 0.5 and record["settings"]["recipe1"]["lr"] == 0.002
    lines = [json.loads(line) for line in Path("run/stage1/log.jsonl").read_text().splitlines()]
    assert all(list(line["parts"]) == ["plain", "denoise", "length"] for line in lines)
    code, out, err = yanlm("info", "--model", "run")
    assert code == 0 and "latent_dim" in out and "flow_layers" not in out
    code, out, err = yanlm("inspect", "--model", "run", "--out", "seen")
    assert code == 0 and "times of 4 steps" in out and "seen/information.png" in out, err
    code, _, err = yanlm("train", "--resume", "run", "--steps2", 3)
    assert code == 2 and "has one stage" in err
    again = ("train", "--config", "settings.toml", "--steps1", 1)
    code, _, err = yanlm(*again, "--init", "run", "--denoiser", "encoder", "--out", "more")
    assert code == 0, err
    code, _, err = yanlm(*again, "--backbone", "mamba", "--experts", 1, "--out", "mamba")
    assert code == 0, err


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
    code, out, err = yanlm("generate", "--model", "run", "Mary went to the <mask> .", "--length", 1)
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


def test_a_label_that_is_cut_ends_before_training(yanlm, small_toml):
    rows = [{"text": f"a {i}", "label": ("good", "Sci/Tech 123")[i % 2]} for i in range(60)]
    Path("labels.jsonl").write_text("\n".join(map(json.dumps, rows)))
    Path("cut.toml").write_text(small_toml.replace("[model]", "[model]\npad_to = 2"))
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


def curve(folder, stage):
    """Losses by step, without what differs between two runs: the time they took."""
    lines = (folder / f"stage{stage}" / "log.jsonl").read_text().splitlines()
    return {one["step"]: (one["loss"], one["parts"]) for one in map(json.loads, lines)}


def test_a_killed_run_goes_on_as_if_nothing_had_happened(tmp_path):
    (tmp_path / "texts.txt").write_text(TEXTS)
    (tmp_path / "small.toml").write_text('data = ["texts.txt"]\nsave_every = 4\nlog_every = 1\n' + TOML)
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


def test_two_processes_give_the_losses_of_one(yanlm, tmp_path, small_toml):
    (tmp_path / "small.toml").write_text("log_every = 1\n" + small_toml + "[stage1]\nmmd_tokens = 16\n")
    train = ["train", "--config", "small.toml", "--steps1", "4", "--steps2", "4", "--device", "cpu", "--out"]
    code, _, err = yanlm(*train, "one")
    assert code == 0, err
    launch = ["-m", "accelerate.commands.launch", "--cpu", "--num_processes", "2", "--num_machines", "1"]
    launch += ["--mixed_precision", "no", "--dynamo_backend", "no", "-m", "moefm_cli.yanlm.app"]
    two = subprocess.run([sys.executable, *launch, *train, "two"], cwd=tmp_path, capture_output=True, text=True)
    assert two.returncode == 0, two.stderr
    for stage in (1, 2):
        alone, shared = (curve(tmp_path / name, stage) for name in ("one", "two"))
        assert alone.keys() == shared.keys() and len(alone) == 4
        for step, (loss, parts) in alone.items():
            assert shared[step][0] == pytest.approx(loss, rel=1e-5)
            assert shared[step][1] == pytest.approx(parts, rel=1e-4, abs=1e-5)


def test_data_is_text_on_the_screen_in_the_samples_and_in_the_offered_command(yanlm):
    line = "We paid $(touch RAN) or `touch RAN` for number {} and, \x1b[31min red\x1b]0;title\x07 letters"
    line += ", 'here' and \"there\""
    Path("odd.txt").write_text("\n".join(line.format(i) for i in range(80)))
    Path("small.toml").write_text(TOML)
    code, out, err = yanlm("train", "--config", "small.toml", "--data", "odd.txt", "--out", "a run", "--device", "cpu")
    samples = Path("a run/samples.txt").read_text()
    assert code == 0, err
    assert "\x1b" not in out + err + samples and "\\x1b[31min" in samples
    [offered] = [line.removeprefix("try:") for line in out.splitlines() if line.startswith("try:")]
    words = shlex.split(offered)
    assert words[:4] == ["yanlm", "generate", "--model", "a run"] and "<mask>" in words[4].split() and len(words) == 5
    assert next(word for word in words[4].split() if word != "<mask>") in line.split()
    subprocess.run(["bash", "-c", f"yanlm() {{ :; }}; {offered}"], check=True)
    assert not Path("RAN").exists()
    assert json.loads(Path("a run/run.json").read_text())["report"]["examples"]


def test_a_published_folder_that_is_not_there_is_named(yanlm):
    code, out, err = yanlm("train", "--baseline", "gpt2", "--init-from", "nowhere", "--data", "builtin:rooms")
    assert (code, out) == (2, "") and err.splitlines()[-1].startswith("error: --init-from ")
    assert "nowhere is no folder; give that of a published GPT-2 or BART" in err
    code, out, err = yanlm("train", "--init-from", "nowhere")
    assert code == 2 and "--init-from goes with --baseline gpt2 or bart" in err


@pytest.fixture
def small(yanlm):
    """The command, with a file of settings and texts in its folder."""
    Path("small.toml").write_text("log_every = 1\n" + TOML)
    Path("texts.txt").write_text(TEXTS)

    def run(*args, **keywords):
        return yanlm("train", "--device", "cpu", *args, **keywords)

    return run


BEGIN = ("--config", "small.toml", "--data", "texts.txt", "--out", "r")


def reopened(folder):
    """As if it had been killed before stage 2 was written down as done."""
    record = json.loads((folder / "run.json").read_text())
    del record["stages"]["2"], record["report"]
    (folder / "run.json").write_text(json.dumps(record))
    (folder / "stage2" / "model.safetensors").unlink()


def weights(folder):
    return (folder / "stage2" / "model.safetensors").read_bytes()


def test_a_run_that_diverged_goes_on_by_the_command_that_is_offered(small):
    Path("steep.toml").write_text(TOML.replace("steps1 = 1", "steps1 = 4\nsave_every = 1") + "[recipe1]\nlr = 1e30\n")
    code, _, err = small("--config", "steep.toml", "--data", "texts.txt", "--out", "r")
    [error] = [line for line in err.splitlines() if line.startswith("error:")]
    assert code == 1 and "yanlm train --resume r --lr RATE" in error and "Traceback" not in err
    code, _, err = small("--resume", "r", "--lr", "0.001", "--save-every", "3")
    assert code == 0, err
    record = json.loads(Path("r/run.json").read_text())
    assert record["settings"]["recipe1"]["lr"] == record["settings"]["recipe2"]["lr"] == 0.001
    [change] = record["changed"]
    assert change["command"] == "yanlm train --device cpu --resume r --lr 0.001 --save-every 3"
    assert change["settings"]["recipe1.lr"] == {"from": 1e30, "to": 0.001}
    assert change["settings"]["save_every"] == {"from": 1, "to": 3}
    lines = [json.loads(line) for line in Path("r/stage1/log.jsonl").read_text().splitlines()]
    assert lines[-1]["step"] == 4 and all(line["lr"] <= 0.001 for line in lines)


STARTS = {
    "no data": ("--data", "text.txt"),
    "no tokenizer": ("--tokenizer", "no/such/tokenizer.json"),
    "a small tokenizer": ("--tokenizer", "bpe:5"),
    "no model to begin from": ("--init", "nowhere"),
    "another length": ("--minutes", "0"),
    "stage 2 alone": ("--stage", "2"),
}


@pytest.mark.parametrize("name", STARTS)
def test_a_start_that_fails_leaves_nothing(small, name):
    before = sorted(Path().iterdir())
    given = {**dict(zip(BEGIN[::2], BEGIN[1::2], strict=True)), STARTS[name][0]: STARTS[name][1]}
    code, out, err = small(*(word for option in given.items() for word in option))
    assert code == 2 and out == "" and err.count("error:") == 1
    assert sorted(Path().iterdir()) == before


def test_the_name_corrected_the_command_just_runs(small):
    assert small(*BEGIN[:2], "--data", "text.txt", *BEGIN[4:])[0] == 2
    Path("r").mkdir()
    Path("r/run.json").write_text('{"settings": {}}')  # of a run that was killed before its first step
    assert small(*BEGIN)[0] == 0
    code, _, err = small(*BEGIN)
    assert code == 2 and "holds a run already" in err


def test_a_run_goes_on_from_another_folder(small, monkeypatch):
    assert small(*BEGIN)[0] == 0
    whole = weights(Path("r"))
    reopened(Path("r"))
    Path("elsewhere").mkdir()
    monkeypatch.chdir("elsewhere")
    code, _, err = small("--resume", "../r")
    assert code == 0, err
    assert weights(Path("../r")) == whole


def test_what_cannot_change_is_refused_by_name(small):
    code, _, err = small("--resume", "r", "--batch-size", "4", "--preset", "tiny", "--lr", "0.1")
    assert code == 2 and "--batch-size" in err and "--preset" in err and "--lr" in err
    assert err.startswith("error: --batch-size, --preset cannot change in a run that goes on")


def test_two_processes_do_not_share_a_run(small):
    Path("r").mkdir()
    Path("r/run.json").write_text("{}")
    with claimed(Path("r"), resume=True):
        for options in (("--resume", "r"), BEGIN):
            code, out, err = small(*options)
            assert code == 2 and out == "" and err.count("error:") == 1
        assert "another process is training in r" in err


FORMS = ["", "[]", "{}", '{"settings": []}', '{"settings": {"lr": 1}}', '{"stages": 1, "settings": {}}']


@pytest.mark.parametrize("text", FORMS)
def test_a_record_of_another_form_is_one_line(small, text):
    Path("r").mkdir()
    Path("r/run.json").write_text(text)
    code, out, err = small("--resume", "r")
    assert code == 2 and out == "" and err.startswith("error: --resume r: ") and err.count("\n") == 1
    assert os.listdir("r") == ["run.json"]


def test_a_model_of_stage_1_that_was_damaged_is_made_again(small):
    assert small(*BEGIN)[0] == 0
    whole = weights(Path("r"))
    reopened(Path("r"))
    file = Path("r/stage1/model.safetensors")
    raw = bytearray(file.read_bytes())
    raw[-100] ^= 64
    file.write_bytes(raw)
    code, _, err = small("--resume", "r")
    assert code == 0 and "is not as it was written: it is made again" in err
    assert weights(Path("r")) == whole


@pytest.mark.parametrize("harm", ["flipped", "gone", "foreign"])
def test_a_tokenizer_that_was_damaged_is_made_again(small, harm):
    assert small(*BEGIN)[0] == 0
    whole, file = weights(Path("r")), Path("r/tokenizer/tokenizer.json")
    text = file.read_text()
    reopened(Path("r"))
    file.unlink() if harm == "gone" else file.write_text(text.replace("number", "numben", 1) + " ")
    if harm == "foreign":  # nor can it be made again: the texts are others
        Path("texts.txt").write_text(Path("texts.txt").read_text().replace("eighty", "ninety"))
    code, _, err = small("--resume", "r")
    if harm == "foreign":
        assert code == 2 and "cannot be made again as it was" in err and err.count("error:") == 1
    else:
        assert code == 0 and file.read_text() == text and weights(Path("r")) == whole


def test_a_log_with_a_broken_line_is_no_obstacle(small):
    assert small(*BEGIN)[0] == 0
    reopened(Path("r"))
    for stage in (1, 2):
        with Path(f"r/stage{stage}/log.jsonl").open("ab") as file:
            file.write(b"\x00\xff\n{\n")
    code, _, err = small("--resume", "r")
    assert code == 0, err


def test_where_no_checkpoint_loads_it_is_one_line(small):
    assert small(*BEGIN)[0] == 0
    reopened(Path("r"))
    for file in Path("r/stage2/state").glob("*/model.safetensors"):
        file.write_bytes(file.read_bytes()[:-1])
    code, _, err = small("--resume", "r")
    assert code == 2 and "cannot read the checkpoint" in err and "stage2/state" in err and err.count("error:") == 1
    shutil.rmtree("r/stage2/state")
    assert small("--resume", "r")[0] == 0


def test_options_win_over_the_file(small):
    Path("small.toml").write_text('preset = "small"\n' + TOML.replace("steps1 = 1\nsteps2 = 1\n", "minutes = 1\n"))
    code, _, err = small(*BEGIN, "--preset", "tiny", "--steps1", "1", "--steps2", "1")
    assert code == 0, err
    settings = json.loads(Path("r/run.json").read_text())["settings"]
    assert settings["preset"] == "tiny" and settings["minutes"] is None and settings["steps1"] == 1


def test_help_names_every_built_in_corpus(yanlm):
    _, text, _ = yanlm("train", "--help")
    assert "builtin:pydoc" in text and all(name in text for name in BUILTIN)
