"""What yanlm train says at the end."""

from pathlib import Path
from typing import Any

import pytest

from moefm_cli.yanlm.training_report import below_baseline, longer_command, show_report
from yanlm.runs.settings import resolve

MASK = {"before": "A cat sat on", "written": " a", "truth": " the", "after": " mat ."}


def test_the_report_is_a_table_of_methods_and_a_command_to_go_on_with(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("some run/stage2").mkdir(parents=True)
    scores = {"masked_accuracy": 0.5, "masked_accuracy_ci95": [0.4, 0.6], "exact_match": 0.25}
    report = {
        "examples": [{"source": "A cat sat on <mask> mat .", "filled": "A cat sat on a mat .", "masks": [MASK]}],
        "baselines": {"copy_source": {"masked_accuracy": 0.125}},
        "by_steps": {"1": scores, "8": scores},
        "stage1": {"one_pass": {"masked_accuracy": 0.75}},
        "rows": 2,
        "of": 300,
        "masked_tokens": 9,
        "experts": [0.5, 0.5],
        "effective_experts": 2.0,
        "reconstruction": 1.0,
    }
    show_report(report, Path("some run"))
    out, err = capsys.readouterr()
    for words in (
        "copy source",
        "one pass, stage 1",
        "flow, T = 8",
        "0.750",
        "0.50 0.50",
        "1.0000 of the tokens",
        "0.500 ±.10",
    ):
        assert words in err, words
    assert "ROUGE" not in err, "a column that nobody has"
    assert "2 of 300 held-out rows" in err and "yanlm train --resume 'some run' --eval-rows 300" in err
    assert "samples.txt, stage2/" in out and "yanlm generate --model 'some run' 'cat sat on <mask> mat .'" in out
    assert "A cat sat on [a] mat .   right: the" in err and "train longer" not in err
    report["baselines"]["unigram"] = {"masked_accuracy": 0.5}
    show_report(report, Path("some run"), "yanlm train --minutes 12")
    told = "note: .500 of the masked tokens right, where unigram has .500; train longer: yanlm train --minutes 12"
    assert told in capsys.readouterr().err


@pytest.mark.parametrize(
    ("own", "known", "told"),
    [
        ({"masked_accuracy": 0.2}, {"masked_accuracy": 0.1}, None),
        ({"masked_accuracy": 0.1}, {"masked_accuracy": 0.2}, ".100 of the masked tokens right, where n gram has .200"),
        ({"exact_match": 0.0}, {"exact_match": 1.0}, ".000 of the rows all right, where n gram has 1.000"),
        ({"masked_accuracy": 0.1}, {"rouge1": 0.2}, None),
    ],
)
def test_a_model_that_learned_too_little_is_told_so(own: Any, known: Any, told: str | None) -> None:
    assert below_baseline({"baselines": {"n_gram": known, "other": {}}, "by_steps": {"1": own, "3": own}}) == told
    assert below_baseline({"baselines": {"n_gram": known}}) is None


@pytest.mark.parametrize(
    ("command", "options", "longer"),
    [
        ("yanlm train", {"minutes": 6}, "yanlm train --minutes 24"),
        ("yanlm train --minutes=.5 --out 'a b' --seed 1", {"minutes": 0.5}, "yanlm train --seed 1 --minutes 2"),
        (
            "yanlm train --steps1 5 --steps2 7 --data 'x y.txt'",
            {"steps1": 5, "steps2": 7},
            "yanlm train --data 'x y.txt' --steps1 20 --steps2 28",
        ),
        ("yanlm train --baseline gpt2 --steps1 5", {"baseline": "gpt2", "steps1": 5}, None),
    ],
)
def test_a_longer_training_is_the_same_command(command: str, options: dict[str, Any], longer: str | None) -> None:
    assert longer_command(command, resolve(options)) == (longer or "yanlm train --baseline gpt2 --steps1 20")
