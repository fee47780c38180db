"""What yanlm train says at the end."""

from pathlib import Path

import pytest

from moefm_cli.yanlm.training_report import opening, show_report


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


def test_the_report_is_a_table_of_methods_and_a_command_to_go_on_with(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("some run/stage2").mkdir(parents=True)
    scores = {"masked_accuracy": 0.5, "masked_accuracy_ci95": [0.4, 0.6], "exact_match": 0.25}
    report = {
        "examples": [{"source": "a cat sat on <mask> .", "filled": "a cat sat on it ."}],
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
    assert "samples.txt, stage2/" in out and "yanlm generate --model 'some run' 'cat sat on" in out
