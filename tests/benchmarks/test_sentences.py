"""Passages with a sentence masked, the ways a model writes it, and the distance between sets of sentences."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest

from yanlm.generation.capabilities import CAPABILITIES, DENOISING


@pytest.fixture(scope="module")
def sentences(benchmark_file: ModuleType) -> ModuleType:
    return benchmark_file


def test_a_passage_is_learned_either_whole_or_with_a_sentence_masked(sentences: ModuleType, tmp_path: Path) -> None:
    texts = [f"The king number {i} sat down. He was very old and tired. " * 6 for i in range(5)]
    for name in ("train", "test"):
        with gzip.open(tmp_path / f"{name}.jsonl.gz", "wt", encoding="utf-8") as file:
            file.writelines(json.dumps({"text": text}) + "\n" for text in texts)
    sentences.cut(tmp_path / "train.jsonl.gz", tmp_path / "test.jsonl.gz", tmp_path)
    kinds = {(name, kind): sentences.read(tmp_path / f"{name}-{kind}.jsonl")
             for name in ("train", "test") for kind in ("texts", "sentences")}  # fmt: skip
    whole = [row["text"] for row in kinds["test", "texts"]]
    filled = [row["source"].replace("<mask>", row["target"]) for row in kinds["test", "sentences"]]
    assert filled == whole and len(whole) == 15
    assert len(kinds["train", "texts"]) + len(kinds["train", "sentences"]) == len(whole)


def test_every_way_of_writing_is_one_the_model_can(sentences: ModuleType) -> None:
    ways = {name: list(sentences.ways(SimpleNamespace(can=can))) for name, can in CAPABILITIES.items()}
    assert ways["gpt2"] == ways["mlm"] == [""] and len(ways["mdlm"]) == 2
    assert len(sentences.ways(SimpleNamespace(can=DENOISING))) == 6


def test_the_distance_is_zero_for_the_same_set_and_grows_with_a_shift(sentences: ModuleType) -> None:
    points = np.random.default_rng(0).normal(size=(50, 3))
    assert sentences.energy(points, points) == pytest.approx(0)
    assert 0 < sentences.energy(points, points + 0.5) < sentences.energy(points, points + 2)
