"""What ``yanlm train`` says at the end: a table of methods, examples, and a command to go on with."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

from rich.table import Table

from moefm_cli.common import err, labelled, show
from moefm_cli.yanlm.eval_rows import score_cell
from yanlm.files import pasted, printable


def show_report(report: dict[str, Any], folder: Path) -> None:
    """A table of methods by measure, five examples, and where the files are."""
    for example in report["examples"]:
        err.print(labelled([("masked", example["source"]), ("filled", example["filled"])]), soft_wrap=True)
    names = {"masked_accuracy": "masked", "exact_match": "exact", "copied_accuracy": "copied"}
    rows: dict[str, dict[str, Any]] = dict(report["baselines"])
    if one_pass := report.get("stage1", {}).get("one_pass"):
        rows["one pass, stage 1"] = one_pass
    if "one_pass" in report:
        rows["one pass"] = report["one_pass"]
    method = report.get("method", "flow")
    for steps, scores in report.get("by_steps", {}).items():
        rows[f"{method}, T = {steps}" if steps.isdigit() else f"{method}, token by token"] = scores
    columns = {**names, "rouge1": "ROUGE-1", "rougeL": "ROUGE-L"}
    columns = {score: name for score, name in columns.items() if any(score in scores for scores in rows.values())}
    share = f"{report['rows']:,} of {report['of']:,}" if report["rows"] < report["of"] else f"{report['rows']:,}"
    title = f"{share} held-out rows, {report['masked_tokens']} masked tokens: share of them right, of rows"
    title += " with all right, of known tokens kept; ± half of the 95% interval over rows"
    table = Table(title=title, title_justify="left")
    table.add_column("", no_wrap=True)
    for name in columns.values():
        table.add_column(name, justify="right")
    for label, scores in rows.items():
        table.add_row(label.replace("_", " "), *(score_cell(scores, column) for column in columns))
    err.print(table)
    if report["rows"] < report["of"]:
        more = f"yanlm train --resume {pasted(folder)} --eval-rows {report['of']}"
        err.print(f"note: as many rows as a quarter of the training time allows; more: {more}", soft_wrap=True)
    if "experts" in report:
        shares = " ".join(f"{share:.2f}" for share in report["experts"])
        err.print(f"experts    {shares}  ({report['effective_experts']:.1f} in effect)")
    if "reconstruction" in report:
        share = report["reconstruction"]
        err.print(f"stage 1    {share:.4f} of the tokens of whole texts survive encoding and decoding")
    show(f"model:   {folder}")
    stages = [f"{name}/" for name in ("stage1", "stage2") if (folder / name).is_dir()]
    show(f"more:    {folder}/{', '.join(['run.json', 'losses.png', 'samples.txt', *stages])}")
    if "by_steps" in report:
        prompt = f"{opening(report['examples'][0]['source'])} <mask>".strip()
        show(f"try:     {shlex.join(['yanlm', 'generate', '--model', str(folder), prompt])}")


def opening(text: str, most: int = 60) -> str:
    """Whole words from near the beginning of a masked text, for a command to paste.

    The first word is left out, since a text that was cropped begins inside one, and so are words that a terminal would
    not show as they are.
    """
    words = [word for word in text.split() if word == printable(word)]
    start = next((at for at, word in enumerate(words) if at and word[0].isalnum()), None)
    if start is None:  # a script without spaces, or nothing to begin with
        return words[0][:most] if words and words[0][0].isalnum() else ""
    return " ".join(words[start:])[: most + 1].rpartition(" ")[0] or words[start][:most]
