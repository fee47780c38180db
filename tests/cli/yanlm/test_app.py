"""The yanlm command: its small commands, and mistakes in all of them."""

import json
import subprocess
import sys
from pathlib import Path

import pytest


def test_inspect(yanlm, trained):
    code, out, _ = yanlm("inspect", "--model", trained[0], "--out", "seen", "--json")
    assert code == 0
    assert json.loads(out)["files"] and list(Path("seen").glob("*.png"))
    rows = [json.dumps({"body": f"the cat {i} sat on the mat and the dog ran ."}) for i in range(900)]
    Path("own.jsonl").write_text("\n".join(rows))
    given = ("inspect", "--model", trained[0], "--out", "other", "--text-column", "body")
    code, out, err = yanlm(*given, "--data", "own.jsonl", "--json")
    assert code == 0 and json.loads(out)["data"] == ["own.jsonl"], err
    code, _, err = yanlm(*given)
    assert code == 2 and "--text-column goes with" in err


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
    assert code == 0 and json.loads(out)["mamba"]["in_use"] in ("built-in", "triton", "mamba-ssm")
    assert "mamba" in yanlm("doctor")[1]


@pytest.mark.parametrize(("value", "offline"), [("0", False), ("1", True)])
def test_doctor_reads_a_0_as_online(yanlm, monkeypatch, value, offline):
    monkeypatch.setenv("HF_HUB_OFFLINE", value)
    assert json.loads(yanlm("doctor", "--json")[1])["offline"] is offline


MISTAKES = {
    "no such data": (("train", "--data", "nowhere.txt"), "nowhere.txt"),
    "unknown builtin": (("train", "--data", "builtin:cats"), "builtin:rooms"),
    "unknown preset": (("train", "--preset", "huge"), "--preset must be one of"),
    "both lengths": (("train", "--minutes", "1", "--steps1", "2"), "minutes"),
    "one stage": (("train", "--steps1", "2"), "steps2"),
    "bad objective": (("train", "--objective", "vfm"), "--objective must be one of"),
    "bad ce": (("train", "--ce", "none"), "--ce must be one of"),
    "bad experts": (("train", "--experts", "0"), "--experts must be"),
    "bad seed": (("train", "--seed", "-1"), "--seed must be"),
    "bad bucket": (("train", "--bucket", "0"), "--bucket must be"),
    "stage 2 without stage 1": (("train", "--stage", "2", "--minutes", "1"), "stage 1"),
    "resume nothing": (("train", "--resume", "nowhere"), "run.json"),
    "resume with options": (("train", "--resume", "nowhere", "--lr", "1"), "--resume"),
    "no config": (("train", "--config", "none.toml"), "none.toml"),
    "bad config": (("train", "--config", "bad.toml"), "bad.toml"),
    "unknown setting": (("train", "--config", "unknown.toml"), "colour"),
    "unknown option": (("train", "--colour", "red"), "--colour"),
    "hub without network": (("train", "--data", "hf:some/set"), "HF_HUB_OFFLINE"),
    "no model": (("generate", "--model", "nowhere", "x <mask>"), "nowhere"),
    "bad precision": (("generate", "--precision", "half", "a <mask>"), "--precision must be one of float32, bfloat16"),
    "bad precision to serve": (("serve", "--precision", "half"), "--precision must be one of float32, bfloat16"),
    "bad device": (("train", "--device", "tpu"), "--device"),
    "info of both": (("info", "--preset", "tiny", "--model", "x"), "not both"),
    "info unknown": (("info", "--preset", "x"), "--preset must be one of"),
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


LIGHT = {
    "help": ("--help",),
    "help of a command": ("train", "--help"),
    "info": ("info", "--preset", "base"),
    "unknown option": ("train", "--colour", "red"),
    "unknown preset": ("train", "--preset", "huge"),
    "both lengths": ("train", "--minutes", "1", "--steps1", "2"),
    "no model": ("generate", "--model", "nowhere", "x <mask>"),
    "no text": ("generate", "--model", "nowhere"),
}


@pytest.mark.parametrize("name", LIGHT)
def test_what_computes_nothing_loads_nothing_heavy(name, tmp_path):
    code = (
        f"import sys\nsys.argv = ['yanlm', *{LIGHT[name]!r}]\nfrom moefm_cli.yanlm.app import main\n"
        "try: main()\nexcept SystemExit as stop: print('code', stop.code, file=sys.stderr)\n"
        "heavy = {'torch', 'transformers', 'accelerate', 'datasets', 'matplotlib'} & set(sys.modules)\n"
        "print('loaded', sorted(heavy), file=sys.stderr)"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path)
    *_, code, loaded = run.stderr.splitlines()
    assert loaded == "loaded []", run.stderr
    assert code == ("code 0" if name in ("help", "help of a command", "info") else "code 2"), run.stderr
