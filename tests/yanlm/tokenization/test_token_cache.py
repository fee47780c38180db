"""The cache of ids changes nothing but the time."""

from yanlm.tokenization import token_cache
from yanlm.tokenization.examples import Builder
from yanlm.tokenization.pieces import encode_piece
from yanlm.tokenization.tokenizer import train_tokenizer

TOKENIZER = train_tokenizer(["Mary went to the kitchen. John went to the garden."] * 3, vocab_size=300)
QA = {"context": "Mary went to the kitchen.", "question": "Where is Mary?", "answer": "the kitchen"}
ROWS = [{"text": "Mary went to the kitchen. John went to the garden."}, QA, {"source": "Mary went", "target": "home"}]


def builder():
    return Builder(TOKENIZER, max_length=32)


def test_the_cache_is_bounded_and_changes_nothing(monkeypatch):
    monkeypatch.setattr(token_cache, "MOST_BYTES", 80)
    small = builder()
    for _ in range(2):
        for seed, row in enumerate(ROWS * 3):
            assert small.example(row, seed) == builder().example(row, seed)
    assert sum(map(len, small._cache._known.values())) == small._cache.size <= 40


def test_a_repeated_row_is_read_once(monkeypatch):
    build, calls = builder(), []
    monkeypatch.setattr(
        token_cache, "encode_piece", lambda *_, **options: calls.append(_) or encode_piece(*_, **options)
    )
    for seed in range(5):
        build.example(QA, seed)
    assert len(calls) == 3
