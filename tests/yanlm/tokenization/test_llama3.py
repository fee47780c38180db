"""The tokenizer of LLaMA-3 from the file it comes in."""

import base64

import pytest

from yanlm.tokenization import llama3
from yanlm.tokenization.tokenizer import decode, encode, load_tokenizer, mask_id, pad_id, train_tokenizer


def tiktoken_file(folder):
    tokens = [bytes([byte]) for byte in range(256)] + [b" t", b"he", b" the", b"\xc3\xa4"]
    lines = [f"{base64.b64encode(token).decode()} {rank}" for rank, token in enumerate(tokens)]
    path = folder / "tokenizer.model"
    path.write_text("\n".join(lines) + "\n")
    return path


def test_llama3_files_load_from_a_folder_or_a_file(tmp_path):
    path = tiktoken_file(tmp_path)
    for source in (tmp_path, path):
        loaded = load_tokenizer(source)
        assert (pad_id(loaded), mask_id(loaded), len(loaded)) == (516, 517, 518)  # 260 tokens, 256 special ones
        assert encode(loaded, "he the ä") == [257, 258, 32, 259]
        assert decode(loaded, encode(loaded, " théß\n\n 1234 'S")) == " théß\n\n 1234 'S"
        assert loaded.convert_tokens_to_ids("<|begin_of_text|>") == 260
        assert loaded.convert_tokens_to_ids("<|reserved_special_token_250|>") == 515


def test_llama3_by_name_finds_the_package(tmp_path, monkeypatch):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(llama3, "find_spec", lambda name: None)
        with pytest.raises(ValueError, match="pip install --no-deps llama-models"):
            load_tokenizer("llama3")
    (tmp_path / "llama_models" / "llama3").mkdir(parents=True)
    (tmp_path / "llama_models" / "__init__.py").touch()
    tiktoken_file(tmp_path / "llama_models" / "llama3")
    monkeypatch.syspath_prepend(tmp_path)
    assert len(load_tokenizer("llama3")) == 518


@pytest.mark.skipif(llama3.find_spec("llama_models") is None, reason="llama-models is not installed")
def test_llama3_is_the_papers():
    loaded = load_tokenizer("llama3")
    assert (pad_id(loaded), mask_id(loaded), len(loaded)) == (128256, 128257, 128258)
    assert encode(loaded, "Hello world!") == [9906, 1917, 0]


@pytest.mark.parametrize("unit", ["a", " ", "\n", "\r\n", "1", "'", "'s", ".", " \n", "é", "猫", "\u3000", "😀"])
def test_patterns_of_words_read_long_runs(tmp_path, unit):
    trained = train_tokenizer(["the cat sat   on\n\n 123 mats"], 300)
    for tokenizer in (trained, load_tokenizer(tiktoken_file(tmp_path))):
        text = unit * (100_000 // len(unit)) + "x"
        assert decode(tokenizer, encode(tokenizer, text)) == text
