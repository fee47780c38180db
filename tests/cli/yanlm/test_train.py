"""What yanlm train prints: the command it offers is harmless, and begins at a word; data moves no cursor."""

import json
import shlex
import subprocess
from pathlib import Path

import pytest

from moefm_cli.yanlm.train import opening

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
    assert words[:4] == ["yanlm", "generate", "--model", "a run"] and words[4].endswith("<mask>") and len(words) == 5
    assert words[4].split()[0] in line.split()
    subprocess.run(["bash", "-c", f"yanlm() {{ :; }}; {offered}"], check=True)
    assert not Path("RAN").exists()
    assert json.loads(Path("a run/run.json").read_text())["report"]["examples"]


@pytest.mark.parametrize(
    ("text", "start"),
    [
        ("ox jumped over the lazy dog", "jumped over the lazy"),
        ("ing <mask>ed over -- the lazy dog", "over -- the lazy"),
        ("one --two (three) four five six", "four five"),
        ("red \x1b[31m letters are here now", "letters are here"),
        ("word", "word"),
        ("\u6771\u4eac\u306f\u5927\u304d\u3044", "\u6771\u4eac\u306f\u5927\u304d\u3044"),
        ("--help", ""),
        ("--a --b", ""),
        ("", ""),
        ("a " + "long " * 40, "long " * 11 + "long"),
    ],
)
def test_an_opening_begins_and_ends_at_a_word(text, start):
    assert opening(text) == start


def test_a_published_folder_that_is_not_there_is_named(yanlm):
    code, out, err = yanlm("train", "--baseline", "gpt2", "--init-from", "nowhere", "--data", "builtin:rooms")
    assert (code, out) == (2, "") and err.splitlines()[-1].startswith("error: --init-from ")
    assert "nowhere is no folder; give that of a published GPT-2 or BART" in err
    code, out, err = yanlm("train", "--init-from", "nowhere")
    assert code == 2 and "--init-from goes with --baseline gpt2 or bart" in err
