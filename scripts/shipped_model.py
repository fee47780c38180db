"""Make the model that comes with the package again, yanlm/shipped/, from texts that are free.

    python scripts/shipped_model.py DATA --out runs/shipped

DATA holds a folder for each of the sets below, with train.jsonl.gz in it and, for stories, validation.jsonl.gz and
test.jsonl.gz. The texts are cut into runs of whole sentences. There are seventeen trainings, each of which begins from
the one before. The first keeps its learning rate. In the second it falls to zero. In the third, which is short, the
length head learns how many tokens stand behind a mask. Then, with Muon and batches twice as large, all three come twice
more, and the second and third four more times, at the end with shorter runs. --minutes sets how long each takes. The
weights are stored in 16 bits. Run the script again after an interruption: it goes on from the last checkpoint.
"""

from __future__ import annotations

import argparse
import gzip
import json
import math
import random
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch

import yanlm
from yanlm.files import write_json
from yanlm.modeling.generation_config import YanGenerationConfig
from yanlm.modeling.io import SHIPPED
from yanlm.runs.listener import Listener
from yanlm.tasks.sentences import sentence_runs

SETS = ("stories", "fairytale_stories", "tinystories", "sherlock")
HELD_OUT = ("stories",)
"""Whose other splits are held out: whole books."""


def evenly(draw: random.Random) -> int:
    """Words after which a run ends with its sentence: each number as often as the others."""
    return draw.randint(16, 80)


def briefly(draw: random.Random) -> int:
    """The same with more short runs, many of them a single sentence, as people write them: uniform in the logarithm."""
    return round(math.exp(draw.uniform(math.log(4), math.log(80))))


FEWEST = 4
"""Words of a run; shorter ones are what is left of a text."""

SETTINGS: dict[str, Any] = {
    "preset": "tiny",
    "tokenizer": "bpe:8192",
    "precision": "bf16",
    "log_every": 50,
    "sample_every": 1000,
    "save_every": 400,
    "model": {
        "denoiser": "encoder",
        "d_model": 192,
        "num_heads": 6,
        "encoder_layers": 6,
        "conv": 9,
        "max_length": 128,
        "num_experts": 4,
        "experts": "heads",
        "scope": "token",
    },
    "denoising": {"plain": 0.9, "reveal": 0.05, "length": 0.0},
    "recipe1": {
        "batch_size": 32,
        "bucket": 32,
        "lr": 0.002,
        "warmup": 300,
        "schedule": "constant",
        "masking": {"rate": [0.1, 0.45], "spans": [1, 1, 1, 2, 3], "tail": 0.05},
    },
}
SETTLE: dict[str, Any] = {
    "denoising": {"plain": 0.75, "reveal": 0.1},
    "recipe1": {
        "schedule": "cosine",
        "warmup": 50,
        "masking": {"rate": [0.1, 0.35], "spans": [1, 1, 1, 2, 3], "tail": 0.1},
    },
}
LENGTHS: dict[str, Any] = {
    "denoising": {"plain": 0.75, "reveal": 0.1, "length": 1.0},
    "recipe1": {**SETTLE["recipe1"], "lr": 0.0003},
}
SETTLE_PLAIN: dict[str, Any] = {
    "denoising": {"plain": 0.85, "reveal": 0.05},
    "recipe1": {**SETTLE["recipe1"], "masking": {**SETTLE["recipe1"]["masking"], "tail": 0.05}},
}
SLOWLY: dict[str, Any] = {**SETTLE_PLAIN, "recipe1": {**SETTLE_PLAIN["recipe1"], "lr": 0.001}}
MORE: dict[str, Any] = {
    "recipe1": {"warmup": 100, "masking": {"rate": [0.1, 0.4], "spans": [1, 1, 1, 2, 3], "tail": 0.05}},
}


def with_muon(changes: dict[str, Any], seed: int) -> dict[str, Any]:
    """The same with Muon, larger batches and other draws."""
    return {**changes, "recipe1": {**changes["recipe1"], "optimizer": "muon", "batch_size": 64}, "seed": seed}


WORDS_ALONE: dict[str, Any] = {
    **LENGTHS,
    "recipe1": {**LENGTHS["recipe1"], "masking": {**LENGTHS["recipe1"]["masking"], "spans": [1, 1, 1, 1, 2]}},
}
"""Most masks that people write stand for one word."""
PHASES: dict[str, dict[str, Any]] = {
    "long": {},
    "settle": SETTLE,
    "lengths": LENGTHS,
    "more": with_muon(MORE, 1),
    "settle2": with_muon(SETTLE, 2),
    "lengths2": with_muon(WORDS_ALONE, 3),
    "more2": with_muon(MORE, 4),
    "settle3": with_muon(SETTLE_PLAIN, 5),
    "lengths3": with_muon(WORDS_ALONE, 6),
    "settle4": with_muon(SETTLE_PLAIN, 7),
    "lengths4": with_muon(WORDS_ALONE, 8),
    "settle5": with_muon(SLOWLY, 9),
    "lengths5": with_muon(WORDS_ALONE, 10),
    "settle6": with_muon(SLOWLY, 11),
    "lengths6": with_muon(WORDS_ALONE, 12),
    "settle7": with_muon(SLOWLY, 13),
    "lengths7": with_muon(WORDS_ALONE, 14),
}
BRIEFLY = ("settle6", "lengths6", "settle7", "lengths7")
"""Trained on shorter runs."""
MINUTES = (55.0, 46.0, 5.0, 29.0, 46.0, 6.0, 52.0, 112.0, 6.0, 98.0, 6.0, 34.0, 6.0, 105.0, 6.0, 105.0, 6.0)


def cut(data: Path, out: Path, words: Callable[[random.Random], int] = evenly) -> None:
    """Write the rows of every split."""
    out.mkdir(parents=True, exist_ok=True)
    for split in ("train", "validation", "test"):
        draw, rows = random.Random(0), list[str]()
        for name in SETS if split == "train" else HELD_OUT:
            with gzip.open(data / name / f"{split}.jsonl.gz", "rt", encoding="utf-8") as file:
                texts = (json.loads(line)["text"] for line in file)
                runs = (run for text in texts for run, _ in sentence_runs(text, partial(words, draw)))
                rows += [run for run in runs if len(run.split()) >= FEWEST]
        draw.shuffle(rows)
        lines = "".join(json.dumps({"text": row}) + "\n" for row in rows)
        (out / f"{split}.jsonl").write_text(lines, encoding="utf-8")


class Printed(Listener):
    """Prints notes and the log."""

    def note(self, text: str) -> None:
        print(text, flush=True)

    def log(self, stage: int, record: dict[str, Any]) -> None:
        print(json.dumps(record), flush=True)


def train(name: str, settings: dict[str, Any], minutes: float, rows: Path, out: Path) -> dict[str, Any]:
    """Train into a folder, or go on with what is there, or return its record when it is done."""
    record = out / name / "run.json"
    if record.is_file() and "report" in (saved := json.loads(record.read_text(encoding="utf-8"))):
        return saved
    chosen = yanlm.resolve({**settings, "data": [str(rows / "train.jsonl")], "minutes": minutes})
    done = yanlm.train(chosen, out / name, resume=record.is_file(), listener=Printed())
    assert done is not None
    return done


def facts(record: dict[str, Any]) -> dict[str, Any]:
    """What of a run's record holds on any machine."""
    settings = {name: value for name, value in record["settings"].items() if name not in ("data", "init")}
    rows = {name: record["data"][name] for name in ("rows", "validation", "test")}
    return {"settings": settings, "rows": rows, **{name: record[name] for name in ("versions", "stages", "report")}}


def settings(changes: dict[str, Any]) -> dict[str, Any]:
    """The settings of a training: what all share, changed entry by entry."""
    return {
        **SETTINGS,
        **{name: {**SETTINGS[name], **new} if isinstance(new, dict) else new for name, new in changes.items()},
    }


def make(data: Path, out: Path, minutes: Sequence[float]) -> None:
    """Cut, train phase by phase, store."""
    rows, short_rows = out / "rows", out / "short-rows"
    cut(data, rows)
    cut(data, short_rows, briefly)
    records: dict[str, dict[str, Any]] = {}
    begin: dict[str, Any] = {}
    for (name, changes), length in zip(PHASES.items(), minutes, strict=True):
        texts = short_rows if name in BRIEFLY else rows
        records[name] = train(name, {**settings(changes), **begin}, length, texts, out)
        begin = {"init": str(out / name)}
    last = out / list(PHASES)[-1]
    model = yanlm.load_model(last).to(torch.bfloat16)
    model.take_card(SHIPPED)  # written by hand; its numbers come from benchmarks/shipped.py
    yanlm.save_model(SHIPPED, model, yanlm.load_tokenizer(last / "stage1"))
    YanGenerationConfig(sampler="diffusion", steps=1).save_pretrained(SHIPPED)  # more often right than the flow
    write_json(SHIPPED / "training.json", {name: facts(record) for name, record in records.items()})


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--out", type=Path, default=Path("runs/shipped"))
    parser.add_argument(
        "--minutes", type=float, nargs=len(PHASES), default=MINUTES, metavar=tuple(map(str.upper, PHASES))
    )
    asked = parser.parse_args()
    make(asked.data, asked.out, asked.minutes)
