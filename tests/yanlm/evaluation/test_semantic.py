"""Distances against loops over single texts, BERTScore against the package bert-score and values that it gave."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_encoders import make_encoder

from yanlm.evaluation.semantic import BertScore, bert_score, sem_dist
from yanlm.evaluation.sentence_encoder import SentenceEncoder

TEXTS = ["the cat sat on the mat .", "dogs ran", "the red house", "", "cat", "the old dog ran to the red house ."]
PREDICTIONS = [
    "the cat", "the dog ran to the old house .", "red", "dogs", "", "cat", " the cat ", "the zebra [SEP] cat",
    "the cat sat on the old red mat . the cat sat on the old red mat .",
]  # fmt: skip
REFERENCES = [
    "the old red cat sat .", "the dog ran", "red house", "cats sat on the old red mat .", "cat", "", "cat", "[CLS] dog",
    "the dog ran to the old red house . the dog sat on the red mat .",
]  # fmt: skip
SEVERAL = [["the dog", "the old red cat sat .", "cats"], ["the dog ran"]]

# bert-score 0.3.13 with transformers 4.52, by layer
EXPECTED = {
    "bert": [
        [0.731365, 0.889877, 0.853333, 0.728569, 0.0, 0.0, 0.721748, 0.624614, 0.891470],
        [0.907281, 0.870132, 0.903763, 0.903698, 0.0, 0.0, 0.922626, 0.529741, 0.943332],
        [0.820778, 0.939053, 0.815439, 0.943236, 0.0, 0.0, 0.931167, 0.909696, 0.891540],
        [0.826724, 0.877549, 0.951948, 0.936365, 0.0, 0.0, 0.982860, 0.974716, 0.836338],
    ],
    "roberta": [
        [0.681681, 0.829503, 0.857947, 0.642496, 0.0, 0.0, 0.612597, 0.684581, 0.788885],
        [0.823603, 0.879201, 0.873949, 0.744603, 0.0, 0.0, 0.477844, 0.799059, 0.904397],
        [0.923321, 0.973585, 0.888368, 0.869799, 0.0, 0.0, 0.811960, 0.878805, 0.976539],
        [0.972732, 0.993781, 0.874809, 0.853346, 0.0, 0.0, 0.970433, 0.980122, 0.985517],
    ],
}
TABLE = "LAYER,P,R,F\n0,0.1,0.2,0.3\n1,0.3,0.4,0.5\n2,0.5,0.6,0.8\n3,0.7,0.8,0.9\n"
RESCALED = {"bert": [0.588339, 0.695265], "roberta": [0.616605, 0.867926]}  # layer 2, the best of SEVERAL


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return {kind: make_encoder(tmp_path_factory.mktemp("encoders") / kind, kind) for kind in ("bert", "roberta")}


@pytest.fixture(scope="module")
def encoder(folders: dict[str, Path]) -> SentenceEncoder:
    return SentenceEncoder(folders["bert"])


class TestDistance:
    def test_against_a_double_loop(self, encoder: SentenceEncoder) -> None:
        groups = [TEXTS[:3], ["alone"], [], TEXTS[3:], ["cat", "cat"]]
        means = []
        for group in (group for group in groups if len(group) > 1):
            e = encoder.embed(group).double()
            pairs = [(i, j) for i in range(len(group)) for j in range(i)]
            means.append(sum(1 - float(e[i] @ e[j]) for i, j in pairs) / len(pairs))
        assert sem_dist(groups, encoder) == pytest.approx(sum(means) / len(means), abs=1e-6)

    def test_equal_texts_have_none(self, encoder: SentenceEncoder) -> None:
        assert 0 <= sem_dist([["the cat sat"] * 3], encoder) < 1e-6

    @pytest.mark.parametrize("groups", [[], [["one"]], [[], ["one"]]])
    def test_no_pair(self, groups: list[list[str]], encoder: SentenceEncoder) -> None:
        with pytest.raises(ValueError, match="at least one group of two"):
            sem_dist(groups, encoder)

    @pytest.mark.parametrize("groups", ["yes no", ["yes", "no"]])
    def test_groups_must_be_lists_of_texts(self, groups: Any, encoder: SentenceEncoder) -> None:
        with pytest.raises(ValueError, match="groups must be a list of texts, got one str"):
            sem_dist(groups, encoder)


class TestThePackage:
    @pytest.mark.parametrize("layer", range(4))
    @pytest.mark.parametrize("kind", ["bert", "roberta"])
    def test_its_values(self, folders: dict[str, Path], kind: str, layer: int) -> None:
        scores = bert_score(PREDICTIONS, REFERENCES, folders[kind], layer=layer)
        assert scores == pytest.approx(EXPECTED[kind][layer], abs=1e-5)

    @pytest.mark.parametrize("kind", ["bert", "roberta"])
    def test_its_values_with_several_references_and_a_baseline(
        self, folders: dict[str, Path], tmp_path: Path, kind: str
    ) -> None:
        table = tmp_path / "table.tsv"
        table.write_text(TABLE)
        for baseline in (table, 0.8, "0.8"):
            scores = bert_score(PREDICTIONS[:2], SEVERAL, folders[kind], layer=2, baseline=baseline)
            assert scores == pytest.approx(RESCALED[kind], abs=1e-5)

    def test_side_by_side(self, folders: dict[str, Path]) -> None:
        package = pytest.importorskip("bert_score")
        some = [i for i, pair in enumerate(zip(PREDICTIONS, REFERENCES, strict=True)) if all(pair)]  # empty texts fail
        texts, references = ([all[i] for i in some] for all in (PREDICTIONS, REFERENCES))  # with transformers 5
        for layer in range(4):
            scorer = package.BERTScorer(model_type=str(folders["bert"]), num_layers=layer, device="cpu")
            expected = scorer.score(texts, references)[2].tolist()
            assert bert_score(texts, references, folders["bert"], layer=layer) == pytest.approx(expected, abs=1e-5)


class TestLaws:
    def test_the_best_reference_counts(self, folders: dict[str, Path]) -> None:
        score = BertScore(folders["bert"])
        alone = [score(["the cat"], [reference])[0] for reference in SEVERAL[0]]
        assert score(["the cat"], [SEVERAL[0]]) == pytest.approx([max(alone)])
        assert score(["the cat"], [[*SEVERAL[0], "the cat"]]) == pytest.approx([1])
        assert score([], []) == []

    def test_a_baseline_is_0_and_equal_texts_are_1(self, folders: dict[str, Path]) -> None:
        [raw] = bert_score(["the cat"], ["red house"], folders["bert"])
        below, alike = bert_score(["the cat", "dogs"], ["red house", "dogs"], folders["bert"], baseline=raw)
        assert below == pytest.approx(0, abs=1e-6) and alike == pytest.approx(1)
        assert bert_score([""], ["cat"], folders["bert"], baseline=0.5) == [-1.0]  # the paper has scores below 0

    def test_ends_are_candidates_but_do_not_count(self, folders: dict[str, Path]) -> None:
        encoder = SentenceEncoder(folders["bert"])
        (p, r), ids, _ = encoder.states(["red", "dog cat"])
        assert [len(row[row > 0]) for row in ids] == [3, 4]  # with [CLS] and [SEP]
        cosines = torch.nn.functional.cosine_similarity(p[:3, None], r[None], dim=-1)
        precision, recall = cosines.amax(1)[1], cosines.amax(0)[1:3].mean()
        f1 = 2 * precision * recall / (precision + recall)
        assert bert_score(["red"], ["dog cat"], encoder) == pytest.approx([float(f1)], abs=1e-5)

    def test_the_last_layer_of_an_encoder_that_the_package_does_not_know(self, folders: dict[str, Path]) -> None:
        expected = {"encoder": str(folders["bert"]), "layer": 3, "baseline": None}
        assert BertScore(folders["bert"]).settings == expected

    @pytest.mark.parametrize("layer", [-1, 4, 1.5, True])
    def test_layers_that_do_not_exist(self, folders: dict[str, Path], layer: Any) -> None:
        with pytest.raises(ValueError, match="layer must be"):
            BertScore(folders["bert"], layer)


@pytest.mark.parametrize(
    ("predictions", "references", "fault"),
    [
        (["a", "b"], ["a"], "one text for each prediction, got 1 for 2"),
        ("a", ["a"], "predictions must be a list of texts, got one str; put it into a list"),
        (["a"], "a", "references must be a list of texts, got one str; put it into a list"),
        (["a", "b"], ["a", []], "references must hold at least one text for each prediction, got none at 1"),
        (["a"], [3], "references must be a list of texts, got 3"),
    ],
)
def test_wrong_lists(folders: dict[str, Path], predictions: Any, references: Any, fault: str) -> None:
    with pytest.raises(ValueError, match=fault):
        bert_score(predictions, references, folders["bert"])


@pytest.mark.parametrize("texts", [[None], ["a", 1.5], [b"a"]])
def test_members_that_are_no_texts(folders: dict[str, Path], texts: Any) -> None:
    with pytest.raises(TypeError, match="must hold texts"):
        bert_score(texts, ["a"] * len(texts), folders["bert"])
