"""Table 1: every task and data set, the flow and every baseline, trained alike for the same time, over seeds."""

from __future__ import annotations

import shutil
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from moefm._checks import check_positive
from yanlm.baseline import BASELINES
from yanlm.finetuning import finetune_settings
from yanlm.runs import train
from yanlm.settings import resolve
from yanlm.studies.common import Json, Say, Study, integers, markdown, spread
from yanlm.studies.variants import laid_over
from yanlm.task_rows import check_task
from yanlm.task_scores import MAIN

if TYPE_CHECKING:
    from matplotlib.figure import Figure

METHODS = ("flow", "vfm", *BASELINES)
FLOWS = ("flow", "vfm")
ONE_PASS = "one pass"
_QUIET = 10**9


def table_study(
    out: Path,
    sets: Sequence[str],
    *,
    methods: Sequence[str] = METHODS,
    text: Sequence[str] = (),
    first: float = 4.0,
    second: float = 2.0,
    seeds: Sequence[int] = (0, 1, 2),
    steps: Sequence[int] = (1, 2, 3, 4, 8),
    rows: int = 1000,
    options: Mapping[str, Any] | None = None,
    device: str = "cpu",
    page: Path | None = None,
    command: str = "",
    say: Say | None = None,
) -> Json:
    """Train every method on every set with every seed: first as ``yanlm train``, then as ``yanlm finetune``.

    A method is trained for ``first`` minutes on the texts of a set, or on ``text``, once for all sets, and fine-tuned
    on the task for ``second`` minutes, with early stopping. Test rows, masks and minutes are the same for all methods.

    Args:
        out: Folder of the study.
        sets: What to do on what: ``TASK=SPEC``, a task of :data:`yanlm.task_rows.TASKS` and data that has it.
        methods: ``flow``, ``vfm`` (the flow with one expert), ``mlm``, ``mdlm``, ``gpt2``, ``bart``.
        text: Specs of the texts that models begin with; if there are none, each begins with its own set.
        first: Minutes of that, or steps of each stage where ``options`` has ``steps``.
        second: Minutes of fine-tuning, likewise.
        seeds: Of weights, training and noise.
        steps: Numbers of steps T; 1 is always among them.
        rows: Most test rows.
        options: Settings that all models share (:func:`yanlm.settings.resolve`); beside these ``finetune``, what
            changes in the fine-tuning (:func:`yanlm.finetuning.finetune_settings`), and ``steps``.
        device: Where models are trained.
        page: Another place for the page.
        command: As it was typed.
        say: Hears how it goes.

    Raises:
        ValueError: A set, a method or an option is wrong.
    """
    asked = [_parted(one) for one in sets]
    if not asked:
        raise ValueError("no set named; give --set TASK=SPEC, as --set qa=builtin:rooms")
    if unknown := [name for name in methods if name not in METHODS]:
        raise ValueError(f"methods must be among {', '.join(METHODS)}, got {unknown[0]!r}")
    counted, drawn = integers("steps", [1, *steps]), integers("seeds", seeds, 0)
    for name, value in (("first", first), ("second", second)):
        check_positive(name, value)
    shared = dict(options or {})
    settings = {"text": list(text), "first": first, "second": second, "steps": counted, "rows": rows, "options": shared}
    study = Study(out, "table", settings, command=command, say=say)
    trainer = _Trainer(out, shared, list(text), first, second, rows, counted, device)
    found: dict[str, dict[str, list[Json]]] = {}
    for seed in drawn:
        for task, spec in asked:
            for method in methods:

                def one(task: str = task, spec: str = spec, method: str = method, seed: int = seed) -> Json:
                    return trainer.result(task, spec, method, seed)

                runs = found.setdefault(f"{task}={spec}", {}).setdefault(method, [])
                runs.append(study.piece(f"{task}={spec}, {method}, seed {seed}", one))
    summary = {name: _summary(name.partition("=")[0], runs, counted) for name, runs in found.items()}
    begun = f"on {', '.join(text)}" if text else "on its own set"
    length = f"{first:g} + {second:g} minutes" if "steps" not in shared else f"steps of {shared['steps']}"
    words = (
        f"Every model trained {length}, {begun} and then on the task; {len(drawn)} seed{'s' * (len(drawn) > 1)}: "
        "median and range. A flow's *one pass* is its decoder on its encoder's own states; *guess* is the best that "
        "takes no neural network. Masked diffusion takes as many steps as the longest flow."
    )
    tables = {"Scores": _table(summary), "What was trained": _sizes(found)}
    return study.finish("Tasks", words, tables, table_figure(summary), summary, page)


class _Trainer:
    """Trains and evaluates; models that all sets begin from are kept in ``OUT/begun``."""

    def __init__(
        self,
        out: Path,
        shared: Json,
        text: list[str],
        first: float,
        second: float,
        rows: int,
        steps: Sequence[int],
        device: str,
    ) -> None:
        self.out, self.text, self.rows, self.steps, self.device = out, text, rows, steps, device
        self.count = shared.get("steps")
        self.shared = {name: value for name, value in shared.items() if name not in ("steps", "finetune")}
        self.finetune = dict(shared.get("finetune", {}))
        self.minutes = (first, second)

    def result(self, task: str, spec: str, method: str, seed: int) -> Json:
        """What a method reaches on a set, and what went into it."""
        name = f"{method}-seed{seed}"
        begun = self.out / "begun" / name if self.text else self.out / "run" / "first"
        if not self.text or not (begun / "done").is_file():
            self._begin(method, seed, self.text or [spec], begun)
        chosen = {
            "save_every": _QUIET,
            "sample_every": _QUIET,
            "eval_rows": self.rows,
            "seed": seed,
            **({"steps": self.count} if self.count else {"minutes": self.minutes[1]}),
            **self.finetune,
        }
        folder = self.out / "run" / "second"
        shutil.rmtree(folder, ignore_errors=True)
        record = train(finetune_settings(begun, task, [spec], chosen), folder, device=self.device)
        assert record is not None  # a single process
        report = record["evaluation"]
        kept = {key: report[key] for key in ("data", "n", "by_steps", "one_pass", "baselines") if key in report}
        tuned = next(iter(record["stages"].values()))
        size = _parameters(folder)
        shutil.rmtree(self.out / "run")
        return kept | {"parameters": size, "steps": tuned["steps"], "tokens": tuned["tokens"]}

    def _begin(self, method: str, seed: int, data: list[str], folder: Path) -> None:
        shutil.rmtree(folder, ignore_errors=True)
        kind = {} if method == "flow" else {"baseline": method}
        stages = (1,) if method in BASELINES else (1, 2)
        length: Json = {"minutes": self.minutes[0]}
        if self.count:
            length = {f"steps{stage}": self.count for stage in stages}
        quiet = {"save_every": _QUIET, "sample_every": _QUIET, "eval_rows": 20}
        options = laid_over(self.shared, kind | length | quiet | {"seed": seed, "data": data})
        train(resolve(options), folder, device=self.device)
        (folder / "done").touch()


def _parameters(folder: Path) -> int:
    from yanlm.folders import load_model, model_folder
    from yanlm.studies.models import size_of

    return size_of(load_model(model_folder(folder)))


def _short(spec: str) -> str:
    """A set by the folder that holds its three files, or by its file."""
    path = Path(spec)
    return path.parent.name if path.name.startswith("train.") and path.parent.name else path.name


def _parted(text: str) -> tuple[str, str]:
    task, mark, spec = text.partition("=")
    if not mark or not spec:
        raise ValueError(f"--set must be TASK=SPEC, as qa=builtin:rooms, got {text!r}")
    return check_task(task), spec


def _summary(task: str, runs: Mapping[str, list[Json]], steps: Sequence[int]) -> Json:
    """For each column the task's main score over seeds; guesses by name."""
    first = next(iter(runs.values()))[0]
    metric = MAIN[task][0]
    columns: dict[str, list[float]] = {}
    for method, results in runs.items():
        for count, label in _columns(method, steps):
            columns[label] = [one["by_steps"][count][metric] for one in results]
        if method in FLOWS and all("one_pass" in one for one in results):
            columns[f"{method}, {ONE_PASS}"] = [one["one_pass"][metric] for one in results]
    guesses = {name: one[metric] for name, one in first["baselines"].items() if metric in one}
    return {"data": _short(first["data"]), "n": first["n"], "metric": metric, "columns": columns, "guesses": guesses}


def _columns(method: str, steps: Sequence[int]) -> list[tuple[str, str]]:
    """Steps shown for a method, and the headings: a flow's fewest, 3 and most, masked diffusion's most."""
    if method in FLOWS:
        shown = sorted({steps[0], min(steps, key=lambda count: abs(count - 3)), steps[-1]})
        return [(str(count), f"{method}, T = {count}") for count in shown]
    if method == "mdlm":
        return [(str(steps[-1]), f"mdlm, T = {steps[-1]}")]
    return [("1", method)]  # in one pass, or token by token


def _table(summary: Json) -> str:
    labels = list(dict.fromkeys(label for one in summary.values() for label in one["columns"]))
    rows = []
    for name, one in summary.items():
        best = max(one["guesses"], key=one["guesses"].__getitem__, default=None)
        guess = "" if best is None else f"{one['guesses'][best]:.3f} {best.replace('_', ' ')}"
        task = name.split("=")[0]
        cells = [spread(one["columns"].get(label, [])) for label in labels]
        rows.append([f"{task}, {one['data']}", one["metric"].replace("_", " "), str(one["n"]), *cells, guess])
    return markdown(["", "score", "rows", *labels, "guess"], rows)


def _sizes(found: Mapping[str, Mapping[str, list[Json]]]) -> str:
    """Medians over sets and seeds: parameters, optimizer steps of the fine-tuning, tokens seen in it."""
    methods = list(dict.fromkeys(method for runs in found.values() for method in runs))
    rows = []
    for method in methods:
        every = [one for runs in found.values() for one in runs.get(method, [])]
        sizes = [one["parameters"] for one in every]
        tuned = [statistics.median(one[key] for one in every) for key in ("steps", "tokens")]
        rows.append([method, f"{statistics.median(sizes) / 1e6:.2g}M", f"{tuned[0]:.0f}", f"{tuned[1] / 1e3:.0f}k"])
    return markdown(["", "parameters", "steps of fine-tuning", "tokens seen in them"], rows)


def table_figure(summary: Json) -> Figure:
    """A row a set, a mark a column of the table; a line at the best guess."""
    from matplotlib.figure import Figure

    from yanlm.studies.plots import REFERENCE, style

    labels = list(dict.fromkeys(label for one in summary.values() for label in one["columns"]))
    figure = Figure(figsize=(8.5, 1.6 + 0.5 * len(summary)), layout="constrained")
    ax = figure.subplots()
    for number, label in enumerate(labels):
        colour, marker = style(number)
        shift = 0.3 * (number / max(1, len(labels) - 1) - 0.5)
        found = [(place, one["columns"].get(label)) for place, one in enumerate(summary.values())]
        points = [(statistics.median(values), place + shift) for place, values in found if values]
        ax.plot(*zip(*points, strict=True), marker, color=colour, markersize=6, alpha=0.8, linestyle="", label=label)
    for place, one in enumerate(summary.values()):
        for value in [max(one["guesses"].values(), default=None)]:
            if value is not None:
                ax.plot([value, value], [place - 0.35, place + 0.35], color=REFERENCE, linewidth=1.2)
    names = [f"{name.split('=')[0]}, {one['data']}" for name, one in summary.items()]
    ax.set_yticks(range(len(names)), names, fontsize=9)
    ax.set_ylim(len(names) - 0.5, -0.5)
    ax.set_xlabel("score, median over seeds; grey line: the best guess without a network")
    ax.grid(alpha=0.25, axis="x")
    ax.legend(fontsize=8, loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False)
    return figure
