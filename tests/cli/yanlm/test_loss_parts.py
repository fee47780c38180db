"""The parts of a loss have an explanation, whatever is trained."""

import json

import pytest

from moefm_cli.yanlm.loss_parts import PARTS, explained
from yanlm.training.log import read_log


@pytest.mark.parametrize(
    "options",
    [
        (),
        ("--baseline", "gpt2"),
        ("--baseline", "mdlm"),
        ("--denoiser", "encoder"),
        ("--ce", "mixture", "--objective", "consistent"),
        ("--ce", "posterior"),
    ],
    ids=" ".join,
)
def test_every_part_of_a_training_has_an_explanation(yanlm, small_toml, options, tmp_path):
    text = small_toml if "--denoiser" not in options else small_toml.partition("[recipe2]")[0]
    (tmp_path / "small.toml").write_text(text)
    one = options and options[0] in ("--baseline", "--denoiser")
    steps = ("--steps1", "1") if one else ("--steps1", "1", "--steps2", "1")
    code, out, err = yanlm("train", "--config", "small.toml", "--json", *steps, *options)
    assert code == 0, err
    names = set()
    for stage in json.loads(out)["stages"]:
        for record in read_log(tmp_path / "runs" / "yanlm" / f"stage{stage}" / "log.jsonl"):
            names |= set(record["parts"])
    assert names and {name for name in names if not name.startswith("stage1_")} <= set(PARTS)
    assert err.count("parts of the loss: ") == (1 if one else 2)


def test_names_nobody_knows_are_left_out():
    assert explained(["ce", "own_part"]) == "parts of the loss: ce, cross-entropy of the words, a mean over tokens"
    assert explained(["own_part"]) == ""
