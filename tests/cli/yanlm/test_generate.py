"""yanlm generate, end to end on a tiny model that was never trained."""

import errno
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from yanlm.config import YanConfig
from yanlm.data.builtin.rooms import rooms_rows
from yanlm.modeling.io import save_model
from yanlm.modeling.yan import YanModel
from yanlm.tokenization.tokenizer import train_tokenizer
from yanlm.writer import Writer

SIZES = {"d_model": 16, "num_heads": 2, "encoder_layers": 1, "flow_layers": 1, "cross_layers": [0], "max_length": 96}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Folder of a run."""
    folder = tmp_path_factory.mktemp("run")
    tokenizer = train_tokenizer([" ".join(row.values()) for row in rooms_rows("train", 50)], 400)
    ids = {"vocab_size": len(tokenizer), "pad_token_id": tokenizer.pad_token_id}
    with torch.random.fork_rng([]):
        torch.manual_seed(0)
        model = YanModel(YanConfig(**SIZES, **ids, mask_token_id=tokenizer.mask_token_id, stage=2))
    save_model(folder / "stage2", model, tokenizer)
    return folder


def test_generate_in_bfloat16(yanlm, run):
    half = ("--length", "1", "--precision", "bfloat16")
    code, out, _ = yanlm("generate", "--model", run, "Mary went to the <mask> .", *half)
    assert code == 0
    assert out.startswith("Mary went to the") and out.strip().endswith(".")
    writer = Writer.load(run, writing=True, precision="bfloat16")
    assert writer.model.dtype == torch.bfloat16 != Writer.load(run, writing=True).model.dtype
    with pytest.raises(ValueError, match="precision must be one of bfloat16, float32, got 'half'"):
        Writer.load(run, precision="half")


def test_generate_fills_masks(yanlm, run):
    code, out, err = yanlm("generate", "--model", run, "Mary went to the <mask> .", "--length", "1")
    assert code == 0
    assert out.startswith("Mary went to the") and out.strip().endswith(".")
    assert "3 passes, " in err and " tokens/s" in err


def test_generate_without_a_model_takes_the_one_in_the_package(yanlm):
    code, out, _ = yanlm("generate", "He put his hand <mask> his pocket.", "--length", "1")
    assert code == 0 and out.startswith("He put his hand ") and out.strip().endswith(" his pocket.")


def test_generate_reads_what_it_wrote(yanlm, run):
    args = ("generate", "--model", run, "Mary <mask> the", "--length", "4", "--reread", "--steps", "2")
    code, out, err = yanlm(*args, "--temperature", "0.7", "--samples", "3")
    assert code == 0 and len(out.splitlines()) == 3 and all(line.startswith("Mary") for line in out.splitlines())
    assert yanlm(*args, "--order", "random")[0] == 0
    assert "2 passes" in err and yanlm(*args)[1] == yanlm(*args)[1] != ""


def test_samples_that_are_all_alike_say_so_and_what_to_change(yanlm, run):
    args = ("generate", "--model", run, "Mary went to the <mask> .", "--length", "1", "--samples", "3")
    code, out, err = yanlm(*args, "--z0-scale", "1e-6")
    assert code == 0 and len(set(out.splitlines())) == 1
    assert "note: all samples are alike; for others add --z0-scale 1\n" in err
    code, out, err = yanlm(*args, "--reread", "--temperature", "3")
    assert code == 0 and len(set(out.splitlines())) > 1 and "alike" not in err
    Path("texts.txt").write_text("Mary <mask> .\nMary went <mask> .\n")
    _, _, err = yanlm("generate", "--model", run, "--file", "texts.txt", *args[4:], "--z0-scale", "1e-6")
    assert "note: all samples of 2 of the 2 texts are alike" in err


@pytest.mark.parametrize("options", [(), ("--reread", "--temperature", "0.5"), ("--samples", "2")], ids=" ".join)
def test_probabilities_of_what_was_written_and_of_what_else_might_have_been(yanlm, run, options):
    args = ("generate", "--model", run, "Mary <mask> the <mask> .", "--length", "2", *options)
    code, out, err = yanlm(*args, "--show", "probabilities")
    assert code == 0, err
    plain = yanlm(*args)[1].splitlines()
    lines = out.splitlines()
    assert [line for line in lines if not re.match(r" +[\d.]+%", line)] == plain, "the texts are the same"
    assert sum(bool(re.match(r" +[\d.]+%  .*   else .*%", line)) for line in lines) == 4 * len(plain)
    [output] = json.loads(yanlm(*args, "--show", "probabilities", "--json")[1])["outputs"]
    for sample, fills in zip(output["probabilities"], output["fills"], strict=True):
        assert len(sample) == 4 and all(0 < slot["probability"] <= 1 for slot in sample)
        assert "".join(slot["token"] for slot in sample[:2]).strip() == fills[0]
        for slot in sample:
            assert len(slot["alternatives"]) == 3
            assert slot["probability"] + sum(own for _, own in slot["alternatives"]) <= 1.001


def test_what_is_shown_is_known(yanlm, run):
    args = ("generate", "--model", run, "Mary <mask> .")
    for more, told in ((("--show", "all"), "--show must be"), (("--show", "probabilities", "--trace", "x"), "--trace")):
        code, out, err = yanlm(*args, *more)
        assert (code, out) == (2, "") and told in err


def test_generate_json(yanlm, run):
    args = ("generate", "--model", run / "stage2", "-", "--json", "--samples", "2", "--steps", "2")
    code, out, _ = yanlm(*args, stdin=b"Mary is in the <mask> .\n\nWhere is Mary ?\n")
    document = json.loads(out)
    assert code == 0
    assert (document["steps"], document["nfe"]) == (2, 2) and document["tokens_per_second"] > 0
    assert [one["source"] for one in document["outputs"]] == ["Mary is in the <mask> .", "Where is Mary ?"]
    assert all(len(one["samples"]) == 2 and one["text"] == one["samples"][0] for one in document["outputs"])
    assert json.loads(yanlm(*args, stdin=b"Mary is in the <mask> .")[1])["outputs"] == document["outputs"][:1]


def test_generate_reads_a_file(yanlm, run):
    Path("texts.txt").write_text("a <mask>\nb <mask>\n")
    code, out, _ = yanlm("generate", "--model", run, "--file", "texts.txt", "--length", "1")
    assert code == 0 and len(out.splitlines()) == 2


def test_a_flow_whose_encoder_denoises_writes_in_three_ways(yanlm, models):
    args = ("generate", "--model", models / "encoder", "Mary <mask> the", "--length", "4", "--steps", "2", "--json")
    passes = {
        (): 2,
        ("--temperature", "0.7"): 2,
        ("--candidates", "3"): 9,
        ("--sampler", "diffusion", "--order", "random"): 2,
        ("--reread", "--order", "margin"): 2,
    }
    for options, nfe in passes.items():
        code, out, err = yanlm(*args, *options)
        assert code == 0, err
        assert json.loads(out)["nfe"] == nfe and json.loads(out)["outputs"][0]["text"].startswith("Mary")
    assert yanlm(*args, "--sampler", "diffusion")[1] != yanlm(*args)[1]


def test_the_way_of_writing_is_what_is_asked_else_the_models_else_the_packages(yanlm, models):
    shutil.copytree(models / "encoder", "own")
    Path("own", "generation_config.json").write_text('{"sampler": "diffusion", "steps": 2}')
    args = ("generate", "Mary <mask> the", "--length", "4", "--json", "--model")
    ways = {
        ("own",): (2, 2),
        ("own", "--steps", "4"): (4, 4),
        ("own", "--sampler", "flow"): (3, 3),
        ("own", "--candidates", "2"): (3, 8),
        ("own", "--reread", "--steps", "2"): (2, 2),
        (models / "encoder",): (3, 3),
    }
    for given, wanted in ways.items():
        code, out, err = yanlm(*args, *given)
        assert code == 0, err
        assert (json.loads(out)["steps"], json.loads(out)["nfe"]) == wanted
    assert yanlm(*args, "own", "--sampler", "diffusion", "--reread")[0] == 2
    Path("own", "generation_config.json").write_text('{"steps": "many"}')
    code, out, err = yanlm(*args, "own")
    assert (code, out) == (2, "") and "generation_config.json cannot be used: steps must be" in err
    assert err.count("\n") == 1


GENERATE_MISTAKES = {
    "no text": ((), "TEXT"),
    "empty": ((" ",), "no text"),
    "two sources": (("x <mask>", "--file", "y"), "--file"),
    "no file": (("--file", "none.txt"), "none.txt"),
    "steps": (("x <mask>", "--steps", "0"), "--steps"),
    "length": (("x <mask>", "--length", "long"), "--length"),
    "routing": (("x <mask>", "--routing", "best"), "routing"),
    "scale": (("x <mask>", "--z0-scale", "0"), "--z0-scale must"),
    "temperature without reread": (("x <mask>", "--temperature", "1"), "--temperature goes with --reread"),
    "order": (("x <mask>", "--reread", "--order", "last"), "order must be one of"),
    "order without reread": (("x <mask>", "--order", "margin"), "order goes with"),
    "negative temperature": (("x <mask>", "--reread", "--temperature", "-1"), "temperature"),
    "too long": (("word " * 200 + "<mask>",), "text 1"),
    "too many tokens": (("a <mask> <mask>", "--length", "90"), "shorten it, or ask for fewer tokens: --length 47\n"),
}


@pytest.mark.parametrize("name", GENERATE_MISTAKES)
def test_mistakes_in_generate(yanlm, run, name):
    args, message = GENERATE_MISTAKES[name]
    code, out, err = yanlm("generate", "--model", run, *args)
    assert (code, out) == (2, "") and message in err


def test_standard_input_must_be_text(yanlm, run):
    code, _, err = yanlm("generate", "--model", run, "-", stdin=b"\xff\xfe")
    assert code == 2 and "UTF-8" in err


def test_more_text_than_the_cap(yanlm, run, monkeypatch):
    monkeypatch.setenv("MOEFM_MAX_BYTES", "")  # put back afterwards, for the option sets it
    Path("texts.txt").write_text("Mary <mask> .\n")
    args = ("generate", "--model", run, "--max-bytes", "9")
    for name, (code, out, err) in {
        "standard input": yanlm(*args, "-", stdin=b"Mary <mask> .\n"),
        "--file texts.txt": yanlm(*args, "--file", "texts.txt"),
    }.items():
        assert (code, out) == (2, "") and f"error: {name}: holds more than 9 bytes" in err


def test_lines_end_where_the_reader_of_training_files_ends_them(yanlm, run):
    texts = "\ufeffMary <mask>\r\nJohn \u2028 <mask>\rAnn \x85 <mask>\n"
    wanted = ["Mary <mask>", "John \u2028 <mask>", "Ann \x85 <mask>"]
    Path("texts.txt").write_bytes(texts.encode())
    args = ("generate", "--model", run, "--length", "1", "--json")
    for code, out, _ in (yanlm(*args, "--file", "texts.txt"), yanlm(*args, "-", stdin=texts.encode())):
        assert code == 0 and [output["source"] for output in json.loads(out)["outputs"]] == wanted


def test_a_text_of_several_lines_is_one_text(yanlm, run):
    _, out, _ = yanlm("generate", "--model", run, "--length", "1", "--json", "Mary went\nto the <mask> .")
    assert [output["source"] for output in json.loads(out)["outputs"]] == ["Mary went\nto the <mask> ."]


@pytest.mark.parametrize("locale", [{"PYTHONIOENCODING": "ascii"}, {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0"}])
def test_no_result_is_lost_to_a_terminal_of_ascii(run, locale):
    command = [sys.executable, "-m", "moefm_cli.yanlm.app", "generate", "--model", str(run), "--length", "1"]
    process = subprocess.run(
        [*command, "Zo\u00e9 <mask> ."], env=os.environ | {"PYTHONUTF8": "0"} | locale, capture_output=True
    )
    assert process.returncode == 0, process.stderr
    assert process.stdout.startswith(rb"Zo\xe9") and process.stdout.isascii()


def test_damaged_weights_end_in_one_line(yanlm, run):
    damaged = Path("damaged")
    shutil.copytree(run / "stage2", damaged)
    tensors = load_file(damaged / "model.safetensors")
    tensors["encoder.embedding.weight"][5, 3] = float("nan")
    save_file(tensors, damaged / "model.safetensors", metadata={"format": "pt"})
    code, out, err = yanlm("generate", "--model", damaged, "Mary <mask>")
    assert (code, out) == (2, "") and "not finite, in encoder.embedding.weight" in err and err.count("\n") == 1
    tensors["encoder.embedding.weight"][5, 3] = 0
    tensors["encoder.embedding.weight"] *= 1e38
    save_file(tensors, damaged / "model.safetensors", metadata={"format": "pt"})
    code, out, err = yanlm("generate", "--model", damaged, "Mary <mask>", "--length", "2")
    assert (code, out) == (2, "") and "computed numbers that are not finite" in err and err.count("\n") == 1


def test_a_trace_is_a_page_of_one_text(yanlm, models):
    args = ("generate", "--model", models / "encoder", "Mary <mask> the <mask>", "--length", "2", "--samples", "2")
    plain = yanlm(*args)
    code, out, err = yanlm(*args, "--trace", "pages/mary.html")
    assert (code, out) == (0, plain[1]) and "pages/mary.html" in err
    html = Path("pages/mary.html").read_text()
    assert '"source": "Mary \\u003cmask\\u003e the \\u003cmask\\u003e"' in html and "connect-src 'none'" in html
    assert [path.name for path in Path("pages").iterdir()] == ["mary.html"]
    Path("texts.txt").write_text("a <mask>\nb <mask>\n")
    code, out, err = yanlm("generate", "--model", models / "encoder", "--file", "texts.txt", "--trace", "x.html")
    assert (code, out) == (2, "") and "--trace shows one text, got 2" in err
    assert yanlm(*args, "--trace", "texts.txt/x.html")[0] == 2


def test_the_command_on_the_page_writes_the_same_text(yanlm, models):
    asked = ("--routing", "greedy", "--perturb", "1", "--z0-scale", "1.5", "--temperature", "0.5", "--seed", "7")
    args = ("--model", models / "encoder", "--length", "3", "--trace", "t.html", *asked, "- <mask> 'the' <mask>")
    code, out, err = yanlm("generate", *args[:-1], "--", args[-1])
    assert code == 0, err
    data = re.search(r'id="data">(.*?)</script>', Path("t.html").read_text())
    again = yanlm(*shlex.split(json.loads(data[1])["trace"]["command"])[1:])
    assert again[:2] == (0, out)


def test_a_page_that_cannot_be_written_loses_no_text(yanlm, models, monkeypatch):
    args = ("generate", "--model", models / "encoder", "Mary <mask>", "--length", "1", "--trace")
    Path("file").touch()
    for wrong in (".", "file/x.html", "/proc/nope/x.html", os.devnull):
        code, out, err = yanlm(*args, wrong)
        assert (code, out) == (2, "") and "--trace" in err and "--out" not in err and err.count("\n") == 1

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("yanlm.files.finish", full)
    code, out, err = yanlm(*args, "x.html")
    assert code == 2 and out.startswith("Mary") and "No space left on device; choose another --trace" in err
