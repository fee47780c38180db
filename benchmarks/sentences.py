"""Whole sentences of stories, written by every method: how close to the one that was there, how like real ones.

    python benchmarks/sentences.py cut stories/train.jsonl.gz stories/test.jsonl.gz --out runs/sentences
    yanlm train --data runs/sentences/train.jsonl --minutes 10 --baseline mlm --out runs/one-pass   # and the others
    python benchmarks/sentences.py compare runs/sentences "one pass=runs/one-pass" flow=runs/flow

``cut`` makes passages of 24 to 60 words. Half of them stay whole; in the others a sentence is masked, so that every
method learns masked words and whole sentences. ``compare`` prints for every method and number of passes: F1 with the
sentence that was there; the energy distance between vectors of written sentences and of real ones from other places
(latent semantic analysis of words and pairs of words, fitted to the training sentences); and self-BLEU over all
sentences. The lengths are given. Prints the tables of docs/results/agreement.md.
"""

from __future__ import annotations

import argparse
import gzip
import json
import random
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from scipy.spatial.distance import cdist
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import Normalizer

from yanlm.evaluation.evaluator import evaluate_task
from yanlm.studies.tools.models import Named, load_named
from yanlm.tasks.metrics import self_bleu
from yanlm.tasks.sentences import sentence_spans

WORDS = (24, 60)
SENTENCE = (4, 16)
"""Words of a passage and of a sentence that is masked."""
DRAWN = {"temperature": 1.0}


def passages(text: str) -> Iterator[list[str]]:
    """Sentences of a text in groups of three or more, together as long as a passage."""
    group: list[str] = []
    for start, end in sentence_spans(text):
        group.append(text[start:end])
        count = sum(len(sentence.split()) for sentence in group)
        if count > WORDS[1]:
            group = []
        elif count >= WORDS[0] and len(group) >= 3:
            yield group
            group = []


def rows(texts: Iterable[str], draw: random.Random) -> Iterator[tuple[dict[str, str], dict[str, str]]]:
    """Of every passage a row with its text, and one with a sentence masked."""
    for text in texts:
        for group in passages(text):
            inner = [i for i, s in enumerate(group) if 0 < i < len(group) - 1 and len(s.split()) in range(*SENTENCE)]
            if inner:
                at = draw.choice(inner)
                masked = " ".join([*group[:at], "<mask>", *group[at + 1 :]])
                yield {"text": " ".join(group)}, {"source": masked, "target": group[at]}


def cut(train: Path, test: Path, out: Path) -> None:
    """Write the files: texts and sentences to learn from, and of other books to be judged by."""
    out.mkdir(parents=True, exist_ok=True)
    for name, path in (("train", train), ("test", test)):
        with gzip.open(path, "rt", encoding="utf-8") as file:
            pairs = list(rows((json.loads(line)["text"] for line in file), random.Random(0)))
        for kind, place in (("texts", 0), ("sentences", 1)):
            own = [pair[place] for i, pair in enumerate(pairs) if name == "test" or i % 2 == place]
            (out / f"{name}-{kind}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in own), encoding="utf-8")
        print(f"{name}: {len(pairs)} passages")


def read(path: Path) -> list[dict[str, Any]]:
    """Rows of a file."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def ways(named: Named) -> dict[str, dict[str, Any]]:
    """How a model writes, by name."""
    if named.can.denoises:
        diffusion = {"sampler": "diffusion", **DRAWN}
        return {
            "": {},
            ", perturb 1": {"perturb": 1.0},
            ", perturb 2": {"perturb": 2.0},
            ", rereading": {"reread": True},
            ", rereading, perturb 1": {"reread": True, "perturb": 1.0},
            ", as masked diffusion": diffusion | {"order": "confidence"},
        }
    if named.can.order and named.can.refine:
        return {", random order": {"order": "random", **DRAWN}, ", by confidence": {"order": "confidence", **DRAWN}}
    return {"": DRAWN}


def energy(x: np.ndarray, y: np.ndarray) -> float:
    """The energy distance between two sets of vectors."""
    between, inside_x, inside_y = (float(cdist(a, b).mean()) for a, b in ((x, y), (x, x), (y, y)))
    return 2 * between - inside_x - inside_y


def compare(folder: Path, models: Sequence[str], steps: Sequence[int], count: int) -> None:
    """Print the table."""
    learned = [row["target"] for row in read(folder / "train-sentences.jsonl")]
    test = read(folder / "test-sentences.jsonl")
    asked, others = test[:count], [row["target"] for row in test[count : 3 * count]]
    words = TfidfVectorizer(ngram_range=(1, 2), min_df=3, sublinear_tf=True, token_pattern=r"\w+|[^\w\s]")
    encoder = make_pipeline(words, TruncatedSVD(64, random_state=0), Normalizer()).fit(learned)
    real = encoder.transform(others)
    print("| | passes | F1 | distance | self-BLEU |\n|---|---|---|---|---|")

    def line(name: str, passes: float, f1: float, texts: list[str]) -> None:
        apart = energy(encoder.transform(texts), real)
        print(f"| {name} | {passes:g} | {f1:.3f} | {apart:.4f} | {self_bleu(texts[:200]):.3f} |", flush=True)

    line("the sentences that were there", 0, 1.0, [row["target"] for row in asked])
    for named in load_named(models):
        assert named.builder is not None
        for way, options in ways(named).items():
            own = steps if named.can.refine else [1]
            result = evaluate_task(named.model, named.builder, [], asked, "sentence", steps=own, **options)
            for at in own:
                texts = [entry["prediction"] for entry in result.predictions if entry["steps"] == at]
                scores = result.report["by_steps"][str(at)]
                line(named.label + way, scores.get("nfe", at), scores["f1"], texts)


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    cutting = commands.add_parser("cut")
    cutting.add_argument("train", type=Path)
    cutting.add_argument("test", type=Path)
    cutting.add_argument("--out", type=Path, required=True)
    comparing = commands.add_parser("compare")
    comparing.add_argument("folder", type=Path)
    comparing.add_argument("models", nargs="+", help="LABEL=DIR")
    comparing.add_argument("--steps", default="1,2,4")
    comparing.add_argument("--rows", type=int, default=400)
    given = parser.parse_args()
    if given.command == "cut":
        cut(given.train, given.test, given.out)
    else:
        compare(given.folder, given.models, [int(at) for at in given.steps.split(",")], given.rows)


if __name__ == "__main__":
    main()
