"""What ``yanlm train`` says at the end: a table of methods, examples, and a command to go on with."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.table import Table

from moefm_cli.common import err, show
from moefm_cli.yanlm.eval_rows import score_cell
from moefm_cli.yanlm.mask_lines import mask_lines
from yanlm.evaluation.windows import prompt_of
from yanlm.files import pasted

if TYPE_CHECKING:
    from yanlm.runs.settings import RunSettings


TIMES = 4
"""How many times as long to train if too little was learned: twice as long hardly shows in the scores."""


def show_report(report: dict[str, Any], folder: Path, longer: str | None = None) -> None:
    """A table of methods by measure, masks of five examples, and where the files are.

    ``longer`` is the command of a longer training, for a model that is no better than a baseline.
    """
    for example in report["examples"]:
        err.print(mask_lines(example["masks"], most=2), soft_wrap=True)
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
    texts = f" of {report['texts']:,} different texts" if "texts" in report else ""
    title = f"{share} held-out rows{texts}, {report['masked_tokens']} masked tokens: share of them right, of rows"
    title += " with all right, of known tokens kept; ± half of the 95% interval over rows"
    table = Table(title=title, title_justify="left")
    table.add_column("", no_wrap=True)
    for name in columns.values():
        table.add_column(name, justify="right")
    for label, scores in rows.items():
        table.add_row(label.replace("_", " "), *(score_cell(scores, column) for column in columns))
    err.print(table)
    if longer is not None and (beaten := below_baseline(report)):
        err.print(f"note: {beaten}; train longer: {longer}", soft_wrap=True)
    if report["rows"] < report["of"]:
        more = f"yanlm train --resume {pasted(folder)} --eval-rows {report['of']}"
        err.print(f"note: as many rows as a quarter of the training time allows; more: {more}", soft_wrap=True)
    if "experts" in report:
        shares = " ".join(f"{share:.2f}" for share in report["experts"])
        err.print(f"experts    {shares}  ({report['effective_experts']:.1f} in effect)")
    if "reconstruction" in report:
        share = report["reconstruction"]
        err.print(f"stage 1    {share:.4f} of the tokens of whole texts survive encoding and decoding")
    if way := report.get("way"):
        named = "one pass (diffusion, T = 1)" if way["sampler"] == "diffusion" else f"{method}, T = {way['steps']}"
        err.print(f"generate   {named}, unless asked otherwise (generation_config.json of the model)", soft_wrap=True)
    show(f"model:   {folder}")
    stages = [f"{name}/" for name in ("stage1", "stage2") if (folder / name).is_dir()]
    show(f"more:    {folder}/{', '.join(['run.json', 'losses.png', 'samples.txt', *stages])}")
    if "by_steps" in report:
        prompt = prompt_of(report["examples"][0]["masks"][0])
        show(f"try:     {shlex.join(['yanlm', 'generate', '--model', str(folder), prompt])}")


def below_baseline(report: dict[str, Any]) -> str | None:
    """Where a model is no better than the best baseline without a model; ``None`` if it is better everywhere.

    Example:
        >>> scores = {"masked_accuracy": 0.04}
        >>> below_baseline({"baselines": {"unigram": {"masked_accuracy": 0.05}}, "by_steps": {"3": scores}})
        '.040 of the masked tokens right, where unigram has .050'
    """
    for score, words in (("masked_accuracy", "of the masked tokens right"), ("exact_match", "of the rows all right")):
        known = {name: scores[score] for name, scores in report["baselines"].items() if score in scores}
        own = [scores[score] for scores in report.get("by_steps", {}).values() if score in scores]
        if known and own and max(own) <= max(known.values()):
            best = max(known, key=lambda name: known[name])
            shares = [f"{share:.3f}".removeprefix("0") for share in (max(own), known[best])]
            return f"{shares[0]} {words}, where {best.replace('_', ' ')} has {shares[1]}"
    return None


def longer_command(command: str, settings: RunSettings) -> str:
    """The command of a training that is :data:`TIMES` times as long, into a folder of its own.

    Example:
        >>> from yanlm.runs.settings import resolve
        >>> longer_command("yanlm train --minutes 3 --out runs/a", resolve({"minutes": 3}))
        'yanlm train --minutes 12'
    """
    words = shlex.split(command)
    for option in ("--minutes", "--steps1", "--steps2", "--out"):
        while (at := next((i for i, word in enumerate(words) if word.partition("=")[0] == option), None)) is not None:
            del words[at : at + (1 if "=" in words[at] else 2)]
    if settings.minutes is not None:
        return shlex.join([*words, "--minutes", f"{TIMES * settings.minutes:g}"])
    counts = {f"--steps{stage}": settings.steps1 if stage == 1 else settings.steps2 for stage in settings.stages}
    return shlex.join([*words, *(str(w) for option, n in counts.items() if n for w in (option, TIMES * n))])
