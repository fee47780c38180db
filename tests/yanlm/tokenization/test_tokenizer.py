import json
import os
import socket
import subprocess
import sys
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, pre_tokenizers

from yanlm.tokenization import tokenizer as tokenization
from yanlm.tokenization.prompts import encode_with_masks
from yanlm.tokenization.tokenizer import MASK, PADDING, decode, encode, load_tokenizer, mask_id, pad_id, train_tokenizer

CORPUS = [
    "The cat sat on the mat.",
    "The dog sat on the log, and the cat on the dog.",
    "  two  spaces\nand lines\n",
] * 3
TOKENIZER = train_tokenizer(CORPUS, vocab_size=320)


def serialized(tokenizer):
    return tokenizer.backend_tokenizer.to_str()


# Training


def test_padding_and_mask_are_the_two_highest_ids():
    assert len(TOKENIZER) <= 320
    assert (pad_id(TOKENIZER), mask_id(TOKENIZER)) == (len(TOKENIZER) - 2, len(TOKENIZER) - 1)
    assert TOKENIZER.pad_token == PADDING and TOKENIZER.mask_token == MASK
    assert len(train_tokenizer(CORPUS, vocab_size=258)) == 258


def test_training_is_deterministic_and_takes_an_iterator():
    assert serialized(train_tokenizer(iter(CORPUS), vocab_size=320)) == serialized(TOKENIZER)


def test_training_learns_words_with_their_space():
    assert [decode(TOKENIZER, [id]) for id in encode(TOKENIZER, "The cat sat")] == ["The", " cat", " sat"]


@pytest.mark.parametrize("texts", [[], [""], ["  ", "\n"]])
def test_training_needs_text(texts):
    with pytest.raises(ValueError, match="texts holds no text"):
        train_tokenizer(texts)


@pytest.mark.parametrize("vocab_size", [0, 257, 300.0, True])
def test_training_needs_room_for_all_bytes(vocab_size):
    with pytest.raises(ValueError, match="vocab_size must be an integer of at least 258"):
        train_tokenizer(CORPUS, vocab_size)


def test_training_takes_strings_only():
    with pytest.raises(TypeError, match="single string"):
        train_tokenizer("The cat")
    with pytest.raises(TypeError, match="got int at position 1"):
        train_tokenizer(["a", 3])


def test_errors_of_the_users_iterator_come_through():
    def broken():
        yield "a"
        raise OSError("line 2")

    with pytest.raises(OSError, match="line 2"):
        train_tokenizer(broken())


# Encoding and decoding


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_decoding_gives_the_text_back(text):
    assert decode(TOKENIZER, encode(TOKENIZER, text)) == text


@pytest.mark.parametrize(
    "text",
    ["", " ", "\n\n", " a , b .", "do n't  ", "日本語 e\u0301 👩‍👩‍👧", "\x00\x7f\ufeff", "<|mask|> <mask> <|padding|>"],
)
def test_decoding_gives_hard_texts_back(text):
    ids = encode(TOKENIZER, text)
    assert decode(TOKENIZER, ids) == text
    assert max(ids, default=0) < pad_id(TOKENIZER)


def test_half_a_surrogate_pair_does_no_harm():
    assert decode(TOKENIZER, encode(TOKENIZER, "a\ud83db")) == "a\ufffdb"
    assert len(train_tokenizer(["a\ud83db"], 258)) == 258


def test_decoding_leaves_special_tokens_out():
    ids = [*encode(TOKENIZER, "The cat"), mask_id(TOKENIZER), *encode(TOKENIZER, " sat"), pad_id(TOKENIZER)]
    assert decode(TOKENIZER, ids) == "The cat sat"


# Loading


def test_a_saved_folder_loads_unchanged(tmp_path):
    TOKENIZER.save_pretrained(tmp_path)
    (tmp_path / "config.json").write_text('{"model_type": "unheard-of"}')  # as beside a model
    for source in (tmp_path, str(tmp_path), tmp_path / "tokenizer.json"):
        loaded = load_tokenizer(source)
        assert len(loaded) == len(TOKENIZER)
        assert (pad_id(loaded), mask_id(loaded)) == (pad_id(TOKENIZER), mask_id(TOKENIZER))
        assert encode(loaded, " The cat  sät.") == encode(TOKENIZER, " The cat  sät.")


def test_a_tokenizer_with_other_special_tokens_gets_ours(tmp_path):
    vocabulary = {"[PAD]": 0, "[UNK]": 1, "[MASK]": 2, "the": 3, "cat": 4}
    words = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    words.add_special_tokens(["[PAD]", "[UNK]", "[MASK]"])
    words.enable_truncation(2)  # of the file, must not cut the user's text
    words.save(str(tmp_path / "tokenizer.json"))
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"pad_token": "[PAD]", "mask_token": "[MASK]"}))
    loaded = load_tokenizer(tmp_path)
    assert (pad_id(loaded), mask_id(loaded), len(loaded)) == (5, 6, 7)
    assert encode_with_masks(loaded, "the cat the <mask>") == [3, 4, 3, 6]


def test_a_vocabulary_without_tokenizer_json_loads_where_transformers_can(tmp_path):
    (tmp_path / "vocab.txt").write_text("\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "the", "cat", "##s"]))
    (tmp_path / "config.json").write_text('{"model_type": "bert"}')
    assert encode_with_masks(load_tokenizer(tmp_path), "the cats <mask>") == [5, 6, 7, 9]


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({}, "holds no tokenizer that loads"),
        ({"tokenizer.json": b"{"}, "is not a tokenizer.json"),
        ({"tokenizer.json": b"\xff\xfe"}, "is not a tokenizer.json"),
        ({"tokenizer.model": b"IQ== 0\nzz\n"}, "is damaged"),
        ({"tokenizer.model": b"IQ== 0\n==== 1\n"}, "is damaged"),
        ({"tokenizer.model": b"\x0a\x0e\x00"}, "has no fast form|holds no tokenizer"),
    ],
)
def test_broken_folders_say_what_is_wrong(tmp_path, files, message):
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=message):
        load_tokenizer(tmp_path)


@pytest.mark.parametrize("name", ["./nowhere", "/no/where", "~/nowhere", "no/such/folder", "nowhere.json", "", " "])
def test_a_missing_path_says_what_to_do(name):
    with pytest.raises(ValueError, match=r"give a folder or tokenizer\.json"):
        load_tokenizer(name)


def test_a_name_on_the_hub_fails_at_once_when_offline():
    with pytest.raises(ValueError, match=r"'nobody/nothing' is neither .* HF_HUB_OFFLINE forbids .* give a folder"):
        load_tokenizer("nobody/nothing")


def test_a_hub_that_does_not_answer_is_given_up_soon():
    answers = [None, b"", b"HTTP/1.1 403 Forbidden", b"HTTP/1.1 503 Down", b"HTTP/1.1 200 OK"]
    servers = [socket.create_server(("127.0.0.1", 0)) for _ in answers]

    def serve(server, answer):
        connection, _ = server.accept()
        connection.recv(1000)
        connection.sendall(answer and answer + b"\r\nContent-Length: 0\r\n\r\n")
        connection.close()

    for server, answer in zip(servers, answers, strict=True):
        if answer is not None:
            threading.Thread(target=serve, args=(server, answer), daemon=True).start()
    # In a process of its own: HF_HUB_OFFLINE is read once, when the hub's library is imported.
    endpoints = [f"http://127.0.0.1:{server.getsockname()[1]}" for server in servers]
    code = f"from yanlm.data.connection import serving; print([serving(e, 0.5) for e in {endpoints}])"
    environment = {**os.environ, "HF_HUB_OFFLINE": "0", "NO_PROXY": "*"}
    output = subprocess.check_output([sys.executable, "-c", code], env=environment, text=True)
    for server in servers:
        server.close()
    assert output.strip() == "[False, False, False, False, True]"


def test_a_hub_out_of_reach_is_named(monkeypatch):
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(tokenization, "serving", lambda endpoint: False)
    with pytest.raises(ValueError, match=r"'nobody/nothing' .* cannot be reached; give a folder"):
        load_tokenizer("nobody/nothing")


def test_a_tokenizer_without_mask_is_refused():
    from transformers import PreTrainedTokenizerFast

    bare = PreTrainedTokenizerFast(tokenizer_object=Tokenizer(models.BPE()))
    with pytest.raises(ValueError, match="no mask token; load it with"):
        mask_id(bare)


def test_importing_loads_no_transformers():
    code = "import sys, yanlm.tokenization.tokenizer, yanlm.tokenization.examples; print('transformers' in sys.modules)"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "False"
