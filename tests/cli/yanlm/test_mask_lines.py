"""Masks as lines: brackets in one column, one line for each, cut at the sides."""

from moefm_cli.yanlm.mask_lines import MOST, SIDE, mask_lines


def mask(before, written, truth, after):
    return {"before": before, "written": written, "truth": truth, "after": after}


def test_brackets_stand_in_one_column_and_long_texts_are_cut_at_both_sides():
    masks = [
        mask("word " * 40 + "end", " here", " here", " and" * 40),
        mask("A", " b", " c", ""),
        mask("pre", "fix", "cise", "ed\nthe next line"),
    ]
    lines = mask_lines(masks).plain.splitlines()
    assert len(lines) == 3
    assert {line.index("[") for line in lines} == {SIDE}
    assert lines[0].startswith("…") and lines[0].endswith("…") and "right:" not in lines[0]
    assert lines[1].strip() == "A [b]   right: c"
    assert lines[2].strip() == "pre[fix]ed the next line   right: cise"


def test_no_more_than_a_few_masks_are_shown():
    assert len(mask_lines([mask("a", " b", " b", " c")] * 9).plain.splitlines()) == MOST
    assert mask_lines([]).plain == ""
