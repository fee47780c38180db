"""The model that comes with the package: single words of unseen books, and twenty sentences.

    python benchmarks/shipped.py words stories/test.jsonl.gz shipped "five minutes=runs/five"
    python benchmarks/shipped.py sentences

``words`` masks about one word in ten of passages from books that no model was trained on, never two beside each other,
and prints the share of the masked tokens and of the words that are right, for further models with the difference to
the first one on the same passages and its 95% interval. A word has as many slots as it has tokens.
``sentences`` fills twenty fixed sentences. Prints the tables of docs/yanlm/shipped.md.
"""

from __future__ import annotations

import argparse
import gzip
import json
import random
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch

from yanlm import Writer
from yanlm.tasks.metrics import bootstrap
from yanlm.tasks.sentences import sentence_runs

Count = tuple[int, int]
"""Right ones of a row, and all."""

WORD = re.compile(r"[A-Za-z]+(?:'[a-z]+)?")
RATE = 0.1
PASSAGE = (40, 70)
"""Words after which a passage ends with its sentence, and the most of one: few are too long for a model."""

WAYS: dict[str, dict[str, Any]] = {
    "one pass": {"sampler": "diffusion", "steps": 1},
    "flow, T = 1": {"steps": 1},
    "flow, T = 3": {"steps": 3},
}

SENTENCES = (
    "Once upon a time there was a little <mask> who lived in the <mask> .",
    "The king and the <mask> had a beautiful daughter.",
    "She opened the <mask> and looked out into the garden.",
    "He put on his hat and <mask> and went out.",
    "The old man sat down by the <mask> and lit his pipe.",
    "It was a dark and stormy <mask>.",
    '"I am very hungry," said the boy. "Give me some <mask>."',
    "The horse ran down the <mask> as fast as it could.",
    "The ship sailed across the <mask> for many days.",
    "He took the letter and <mask> it twice.",
    "The sun was <mask> and the birds were singing.",
    '"Where are you <mask>?" asked the girl.',
    "She had blue eyes and long golden <mask>.",
    "The dog began to <mask> at the stranger.",
    "They had been <mask> for ten years and had no children.",
    "The door was locked, and he had lost the <mask>.",
    "In the winter the ground was covered with <mask>.",
    "He was so tired that he fell <mask> at once.",
    "The mother kissed her <mask> and said good night.",
    "The soldier drew his <mask> and ran at the enemy.",
)


def passages(path: Path) -> Iterator[str]:
    """Runs of sentences of the texts in a file, each about as long as a passage."""
    with gzip.open(path, "rt", encoding="utf-8") as file:
        for line in file:
            runs = sentence_runs(json.loads(line)["text"], lambda: PASSAGE[0])
            yield from (run for run, words in runs if PASSAGE[0] <= words <= PASSAGE[1])


def masked(text: str, draw: random.Random) -> dict[str, Any]:
    """A row with about a tenth of the words masked, one at least."""
    words = list(WORD.finditer(text))
    chosen = [i for i in range(len(words)) if draw.random() < RATE] or [draw.randrange(len(words))]
    apart = [words[i] for i in chosen if i - 1 not in chosen]
    source, at = "", 0
    for word in apart:
        source, at = f"{source}{text[at : word.start()]}<mask>", word.end()
    return {"source": source + text[at:], "target": [word[0] for word in apart]}


@torch.no_grad()
def right(writer: Writer, rows: Sequence[dict[str, Any]], options: dict[str, Any]) -> dict[str, list[Count]]:
    """Of every row how many of the masked tokens and of the masked words are right."""
    tokens: list[Count] = []
    words: list[Count] = []
    for first in range(0, len(rows), 50):
        examples = [writer.builder.example(row, 0) for row in rows[first : first + 50]]
        batch = writer.builder.collate(examples)
        where = {name: batch[name] for name in ("slots", "source_mask", "slot_mask")}
        seeds = range(first, first + len(examples))
        written = writer.model.generate(batch["source_ids"], **where, seeds=seeds, **options).tokens[:, 0]
        hits = written == batch["target_ids"].gather(1, batch["slots"])
        for example, row in zip(examples, hits.tolist(), strict=True):
            row, at, whole = row[: len(example.slots)], 0, 0
            for length in example.spans:
                whole += all(row[at : at + length])
                at += length
            tokens.append((sum(row), len(row)))
            words.append((whole, len(example.spans)))
    return {"tokens": tokens, "words": words}


def fits(writer: Writer, row: dict[str, Any]) -> bool:
    """Whether a model takes a row of this length; it may leave out words before the first mask, but no mask."""
    try:
        writer.builder.example(row, 0)
    except ValueError:
        return False
    return True


def against(counts: Sequence[Count], first: Sequence[Count]) -> str:
    """The difference to the first model's share on the same rows, with its interval; nothing if tokens differ."""
    if [total for _, total in counts] != [total for _, total in first]:
        return ""
    pairs = [(hits - before, total) for (hits, total), (before, _) in zip(counts, first, strict=True)]
    mean, size = share(pairs), sum(total for _, total in pairs) / len(pairs)
    low, high = bootstrap([mean + (difference - mean * total) / size for difference, total in pairs])
    return f" ({mean:+.3f}, {low:+.3f} to {high:+.3f})"


def share(counts: Sequence[Count]) -> float:
    """What is right of everything."""
    return sum(hits for hits, _ in counts) / sum(total for _, total in counts)


def compare(path: Path, models: Sequence[str], count: int) -> None:
    """Print the table of models and ways of writing."""
    texts = [text for text in passages(path) if WORD.search(text)]
    draw = random.Random(0)
    rows = [masked(text, draw) for text in draw.sample(texts, min(count, len(texts)))]
    writers = [(name, Writer.load(folder or None)) for name, _, folder in (model.partition("=") for model in models)]
    rows = [row for row in rows if all(fits(writer, row) for _, writer in writers)]
    print(f"{len(rows)} passages, {sum(len(row['target']) for row in rows)} masked words")
    print("| model | way | tokens right | words right |\n|---|---|---:|---:|")
    first: dict[str, dict[str, list[Count]]] = {}
    for name, writer in writers:
        for way, options in WAYS.items():
            if not writer.model.can.denoises and "sampler" in options:
                continue
            counts = right(writer, rows, options)
            cells = [
                f"{share(own):.3f}{against(own, first[way][unit]) if way in first else ''}"
                for unit, own in counts.items()
            ]
            first.setdefault(way, counts)
            print(f"| {name} | {way} | {' | '.join(cells)} |", flush=True)


def fill() -> None:
    """Print the twenty sentences as they are filled."""
    for source, written in zip(SENTENCES, Writer.load().write(SENTENCES, length=1, **WAYS["one pass"]), strict=True):
        print(f"| {source} | {', '.join(fill.strip() for fill in written.fills[0])} |")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    words = commands.add_parser("words", help="single words of unseen books")
    words.add_argument("data", type=Path, help="stories/test.jsonl.gz")
    words.add_argument("models", nargs="*", metavar="NAME=FOLDER", default=["shipped"], help="shipped, or others")
    words.add_argument("--count", type=int, default=600, help="passages")
    commands.add_parser("sentences", help="twenty fixed sentences")
    given = parser.parse_args()
    if given.command == "words":
        compare(given.data, given.models, given.count)
    else:
        fill()
