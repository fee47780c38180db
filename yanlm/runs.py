"""A whole training run: data, tokenizer, both stages, and an honest report at the end."""

from __future__ import annotations

import json
import platform
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from yanlm.config import YanConfig
from yanlm.data import Corpus, load_corpus
from yanlm.evaluation import evaluate, repeated
from yanlm.folders import load_model, model_folder, save_model
from yanlm.masking import Masking
from yanlm.modeling import YanModel
from yanlm.noise import row_seed
from yanlm.presets import Recipe
from yanlm.settings import RunSettings
from yanlm.stream import RowStream
from yanlm.tasks import Builder
from yanlm.tokenization import load_tokenizer, train_tokenizer
from yanlm.training import TrainSettings, make_accelerator, train_stage

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

RUN_FILE = "run.json"


class Listener:
    """Hears how a run goes; subclass it to show that. Only the main process calls it."""

    def note(self, text: str) -> None:
        """Something the user should know."""

    def stage(self, stage: int, model: YanModel, settings: RunSettings) -> None:
        """A stage begins."""

    def log(self, stage: int, record: dict[str, Any]) -> None:
        """A line of the log."""

    def sample(self, stage: int, step: int, example: dict[str, str]) -> None:
        """A held-out text as the model fills it now."""


class BatchDraw:
    """Batches of one stage: rows of the corpus, masked and collated, with the rows' seeds."""

    def __init__(self, stream: RowStream, builder: Builder, seed: int, with_lengths: bool) -> None:
        self.stream, self.builder, self.seed, self.with_lengths = stream, builder, seed, with_lengths

    def next(self) -> tuple[dict[str, torch.Tensor], list[int]]:
        """The next batch of this process and its rows' seeds."""
        step = self.stream.step
        indexed = next(self.stream)
        seeds = [row_seed(self.seed, step, index) for index, _ in indexed]
        return self.builder.batch([row for _, row in indexed], seeds, with_lengths=self.with_lengths), seeds

    def state_dict(self) -> Any:
        """Where the stream stands."""
        return self.stream.state_dict()

    def load_state_dict(self, state: Any) -> None:
        """Go on from there."""
        self.stream.load_state_dict(state)


def train(
    settings: RunSettings,
    out: Path,
    *,
    resume: bool = False,
    device: str = "auto",
    command: str | None = None,
    listener: Listener | None = None,
) -> dict[str, Any] | None:
    """Train as ``settings`` say, into the folder ``out``; return what ``run.json`` then holds.

    ``out`` gets ``stage1`` and ``stage2`` (loadable models, their logs and checkpoints), ``tokenizer``, ``run.json``,
    ``losses.png`` and ``samples.txt``. Processes other than the first return ``None``.

    Raises:
        ValueError: A setting or the data is wrong, or ``out`` holds a run and ``resume`` is not set.
    """
    from yanlm.figures import loss_figure

    accelerator = make_accelerator(settings.precision, device)
    main = accelerator.is_main_process
    hear = (listener or Listener()) if main else Listener()
    began = time.time()
    if main:
        _claim(out, settings, resume, command)
    accelerator.wait_for_everyone()
    corpus = load_corpus(
        settings.data, weights=settings.weights, text_column=settings.text_column, seed=0, on_note=hear.note
    )
    if main and not (out / "tokenizer" / "tokenizer.json").is_file():
        make_tokenizer(settings, corpus).save_pretrained(out / "tokenizer")
    accelerator.wait_for_everyone()
    tokenizer = load_tokenizer(out / "tokenizer")
    record = json.loads((out / RUN_FILE).read_text(encoding="utf-8"))
    record["data"] = _describe(corpus)
    stages: dict[str, Any] = record.setdefault("stages", {})
    for stage in settings.stages:
        folder = out / f"stage{stage}"
        if (folder / "model.safetensors").is_file() and str(stage) in stages:
            hear.note(f"stage {stage} is finished already")
            continue
        model = _model(settings, stage, out, tokenizer)
        hear.stage(stage, model, settings)
        result = _train_stage(model, stage, settings, corpus, tokenizer, folder, accelerator, hear, resume)
        if main:
            stages[str(stage)] = {"steps": result.steps, "seconds": round(result.seconds, 1), "tokens": result.tokens}
            _write_json(out / RUN_FILE, record)
            model.config.stage = stage
            save_model(folder, model, tokenizer, record)
        accelerator.wait_for_everyone()
    if not main:
        return None
    last = settings.stages[-1]
    model = load_model(out / f"stage{last}", str(accelerator.device))
    held_out = corpus.test or corpus.validation
    record["report"] = report(settings, model, tokenizer, corpus, repeated(held_out, settings.eval_rows))
    record["seconds"] = round(record.get("seconds", 0.0) + time.time() - began, 1)
    _write_json(out / RUN_FILE, record)
    _write_json(out / f"stage{last}" / RUN_FILE, record)
    logs = {stage: out / f"stage{stage}" / "log.jsonl" for stage in (1, 2)}
    loss_figure({stage: _read_log(path) for stage, path in logs.items() if path.is_file()}).savefig(
        out / "losses.png", dpi=120
    )
    (out / "samples.txt").write_text(samples_text(record["report"]), encoding="utf-8")
    return record


def _claim(out: Path, settings: RunSettings, resume: bool, command: str | None) -> None:
    """Write ``run.json`` before anything is trained, so that a run that dies can be resumed from its folder alone."""
    if (out / RUN_FILE).exists() and not resume:
        raise ValueError(f"{out} holds a run already; go on with it: --resume {out}, or choose another --out")
    try:
        out.mkdir(parents=True, exist_ok=True)
        if not resume:
            _write_json(out / RUN_FILE, _head(settings, command))
    except OSError as error:
        raise ValueError(f"cannot write to {out}: {error.strerror or error}; choose another --out") from None


def _head(settings: RunSettings, command: str | None) -> dict[str, Any]:
    import transformers

    import moefm

    return {
        "command": command or " ".join(["yanlm", *sys.argv[1:]]),
        "settings": settings.to_dict(),
        "versions": {
            "moefm": moefm.__version__,
            "torch": torch.__version__,
            "transformers": transformers.__version__,
            "python": platform.python_version(),
        },
        "hardware": {
            "machine": platform.machine(),
            "threads": torch.get_num_threads(),
            "cuda": [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())],
        },
    }


def _write_json(path: Path, document: dict[str, Any]) -> None:
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    partial.replace(path)


def _read_log(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]


def _describe(corpus: Corpus) -> dict[str, Any]:
    rows = corpus.rows
    return {
        "name": corpus.name,
        "kind": corpus.kind,
        "rows": None if rows is None else len(rows),
        "validation": len(corpus.validation),
        "test": len(corpus.test),
        "skipped": len(corpus.skipped),
        "fingerprint": corpus.fingerprint,
    }


def make_tokenizer(settings: RunSettings, corpus: Corpus) -> PreTrainedTokenizerFast:
    """The tokenizer that the settings ask for: trained on the corpus, or loaded."""
    if settings.init is not None:
        return load_tokenizer(model_folder(settings.init))
    if not settings.tokenizer.startswith("bpe:"):
        return load_tokenizer(settings.tokenizer)
    size = settings.tokenizer.removeprefix("bpe:")
    if not size.isdigit():
        raise ValueError(f"tokenizer must be bpe:SIZE, a folder, a file or a name, got {settings.tokenizer!r}")
    if corpus.rows is None:
        stream = RowStream(corpus, 1000, seed=settings.seed)
        rows = [row for _ in range(20) for _, row in next(stream)]
    else:
        rows = corpus.rows[:200_000]
    return train_tokenizer((" ".join(map(str, row.values())) for row in rows), int(size))


FLOW_OPTIONS = (
    "num_experts",
    "sigma",
    "prediction",
    "flow_layers",
    "cross_layers",
    "align",
    "form",
    "d_time",
    "pad_to",
)
"""Options of the model that leave its autoencoder as it is."""


def _fresh(config: YanConfig, seed: int) -> YanModel:
    with torch.random.fork_rng([]):
        torch.manual_seed(seed)
        return YanModel(config)


def with_flow(model: YanModel, settings: RunSettings) -> YanModel:
    """A trained model, with a new flow where the settings ask for another one than it has."""
    wanted = {name: settings.model[name] for name in FLOW_OPTIONS if name in settings.model}
    if all(getattr(model.config, name) == value for name, value in wanted.items()):
        return model
    changed = _fresh(YanConfig(**(model.config.to_dict() | wanted)), settings.seed)
    for name in ("encoder", "decoder", "positions"):
        if getattr(model, name) is not None:
            getattr(changed, name).load_state_dict(getattr(model, name).state_dict())
    return changed


def _model(settings: RunSettings, stage: int, out: Path, tokenizer: PreTrainedTokenizerFast) -> YanModel:
    """A fresh model, or the one that the stage begins from."""
    own = out / "stage1"
    if stage == 2 and (own / "model.safetensors").is_file():
        model = load_model(own)
    elif settings.init is not None:
        model = with_flow(load_model(model_folder(settings.init)), settings)
    elif stage == 2:
        raise ValueError(f"stage 2 needs a trained stage 1: run --stage both, or give --init DIR (there is no {own})")
    else:
        ids = {
            "vocab_size": len(tokenizer),
            "pad_token_id": tokenizer.pad_token_id,
            "mask_token_id": tokenizer.mask_token_id,
        }
        model = _fresh(YanConfig(**(settings.model | ids)), settings.seed)
    model.stage1, model.stage2 = settings.stage1, settings.stage2
    return model


def _builder(model: YanModel, tokenizer: PreTrainedTokenizerFast, masking: Masking, stage: int = 2) -> Builder:
    config = model.config
    form = config.form if stage == 2 else "slots"  # the autoencoder always decodes the text that it encodes
    padding = {"lengths": "padding", "pad_to": config.pad_to} if config.pad_to else {}
    return Builder(tokenizer, form=form, max_length=config.max_length, masking=masking, **padding)


def _train_stage(
    model: YanModel,
    stage: int,
    settings: RunSettings,
    corpus: Corpus,
    tokenizer: PreTrainedTokenizerFast,
    folder: Path,
    accelerator: Any,
    hear: Listener,
    resume: bool,
) -> Any:
    recipe = settings.recipe1 if stage == 1 else settings.recipe2
    stream = RowStream(
        corpus,
        recipe.batch_size // settings.accumulate,
        seed=settings.seed,
        rank=accelerator.process_index,
        world=accelerator.num_processes,
    )
    builder = _builder(model, tokenizer, recipe.masking, stage)
    draw = BatchDraw(stream, builder, row_seed(settings.seed, stage, 0), with_lengths=stage == 2)
    shown = (corpus.validation or corpus.test)[:1]
    watch = _builder(model, tokenizer, Masking())

    def on_sample(current: YanModel, step: int) -> None:
        seen = evaluate(current, watch, [], shown, steps=(3,), flow=stage == 2, examples=1)
        hear.sample(stage, step, seen["examples"][0])

    return train_stage(
        model,
        stage,
        draw,
        train_settings(settings, stage, recipe),
        folder,
        accelerator=accelerator,
        resume=resume,
        on_log=lambda record: hear.log(stage, record),
        on_sample=on_sample if shown else None,
    )


def train_settings(settings: RunSettings, stage: int, recipe: Recipe) -> TrainSettings:
    """What the training loop needs to know of one stage."""
    return TrainSettings(
        steps=settings.steps1 if stage == 1 else settings.steps2,
        minutes=settings.stage_minutes(stage),
        batch_size=recipe.batch_size,
        accumulate=settings.accumulate,
        lr=recipe.lr,
        weight_decay=recipe.weight_decay,
        decay_all=recipe.decay_all,
        warmup=recipe.warmup,
        schedule=recipe.schedule,
        clip=recipe.clip,
        ema=recipe.ema,
        save_every=settings.save_every,
        log_every=settings.log_every,
        sample_every=settings.sample_every,
        seed=settings.seed,
        precision=settings.precision,
    )


def report(
    settings: RunSettings, model: YanModel, tokenizer: PreTrainedTokenizerFast, corpus: Corpus, rows: list[Any]
) -> dict[str, Any]:
    """What the model learned, on held-out rows masked as in the paper (5 to 10% in spans of 1 to 3)."""
    builder = _builder(model, tokenizer, Masking())
    train_rows = corpus.rows if corpus.rows is not None else corpus.validation
    return evaluate(model, builder, train_rows, rows, flow=settings.stages[-1] == 2)


def samples_text(report: dict[str, Any]) -> str:
    """Filled examples, for people."""
    blocks = [
        f"source  {one['source']}\nfilled  {one['filled']}\ntruth   {one['truth']}\n" for one in report["examples"]
    ]
    return "\n".join(blocks)
