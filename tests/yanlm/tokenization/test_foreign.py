"""Tokenizer files of somebody else: what is wrong with them is one line, and no pattern takes forever."""

import json
from pathlib import Path

import pytest

from yanlm.tokenization import foreign
from yanlm.tokenization.foreign import explodes, no_panic, read_tokenizer_json
from yanlm.tokenization.tokenizer import decode, encode, load_tokenizer, train_tokenizer


@pytest.fixture
def folder(tmp_path):
    train_tokenizer(["a small text of the sea"] * 2, 300).save_pretrained(tmp_path)
    return tmp_path


def changed(folder: Path, name: str, where: tuple, value) -> Path:
    document = part = json.loads((folder / name).read_text())
    for key in where[:-1]:
        part = part[key]
    if where:
        part[where[-1]] = value
    (folder / name).write_text(json.dumps(document if where else value))
    return folder


@pytest.mark.parametrize(
    ("name", "where", "value", "message"),
    [
        ("tokenizer.json", ("model", "vocab", "E"), 299999, "token 'E' the number 299999 beyond them"),
        ("tokenizer.json", ("model", "vocab"), [1, 2], "is not a tokenizer.json"),
        ("tokenizer.json", ("model",), [], "is not a tokenizer.json"),
        ("tokenizer.json", (), [], "is not a tokenizer.json"),
        ("tokenizer.json", ("added_tokens",), {}, "is not a tokenizer.json"),
        ("tokenizer.json", ("model", "continuing_subword_prefix"), "<|mask|>", "is not a tokenizer.json"),
        (
            "tokenizer.json",
            ("pre_tokenizer",),
            {"type": "Split", "pattern": {"Regex": "(e+)+$"}, "behavior": "Isolated", "invert": False},
            r"its pattern '\(e\+\)\+\$' repeats what repeats itself",
        ),
        ("tokenizer_config.json", ("mask_token",), 5, "does not load: .*mask_token"),
        ("tokenizer_config.json", ("mask_token",), ["<mask>"], "does not load"),
        ("tokenizer_config.json", (), [], "does not load"),
        ("tokenizer_config.json", ("added_tokens_decoder",), [1], "does not load"),
    ],
)
def test_what_is_wrong_is_one_line(folder, name, where, value, message):
    with pytest.raises(ValueError, match=message) as caught:
        load_tokenizer(changed(folder, name, where, value))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("length", [5, "5", [], {"a": 1}])
def test_lengths_are_the_model_s_to_say(folder, length):
    tokenizer = load_tokenizer(changed(folder, "tokenizer_config.json", ("model_max_length",), length))
    text = "a small text " * 9
    assert decode(tokenizer, encode(tokenizer, text)) == text


@pytest.mark.parametrize("name", ["tokenizer.json", "tokenizer_config.json"])
def test_torn_files_are_one_line(folder, name):
    content = (folder / name).read_bytes()
    for size in (0, 1, len(content) // 2, len(content) - 2):
        (folder / name).write_bytes(content[:size])
        with pytest.raises(ValueError) as caught:
            load_tokenizer(folder)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("pattern", "wanted"),
    [
        (r"(e+)+$", True),
        (r"(?:\s*a)*b", True),
        (r"((ab)+c?)*", True),
        (r"([a-z]{2,})+", True),
        (r"(e+)++$", False),  # possessive
        (r"(ab)+c*", False),
        (r"\(e+\)+", False),
        (r"[(e+]+)+", False),
        (r" ?[^(\s|[.,!?…。，、।۔،])]+", False),
        (  # of GPT-2, LLaMA-3 and GPT-4o
            r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+",
            False,
        ),
        (
            r"(?i:'s|'t|'re|'ve|'m|'ll)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+",
            False,
        ),
        (
            r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t)?|\p{N}{1,3}",
            False,
        ),
        ("[", False),
        (")+(", False),
    ],
)
def test_patterns_that_explode(pattern, wanted):
    assert explodes(pattern) == wanted


def test_a_file_beyond_all_use_is_not_read(folder, monkeypatch):
    monkeypatch.setattr(foreign, "MOST_BYTES", 100)
    with pytest.raises(ValueError, match=r"tokenizer.json is not .*: it has more than 100 bytes"):
        read_tokenizer_json(folder / "tokenizer.json")


def test_only_failures_inside_the_library_become_errors_of_the_file():
    class PanicException(BaseException):
        pass

    def fail(error):
        with no_panic():
            raise error

    with pytest.raises(ValueError, match="its files may be damaged: index out of range"):
        fail(PanicException("index out of range\nand more"))
    with pytest.raises(KeyboardInterrupt):
        fail(KeyboardInterrupt())
