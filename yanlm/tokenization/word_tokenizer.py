"""A tokenizer of whole words, for texts with few different words, such as the built-in tasks: every word is a single
token."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from moefm.checks import check_count
from yanlm.data.rows import MASKS
from yanlm.tokenization.texts import checked_texts
from yanlm.tokenization.tokenizer import wrapped

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

UNKNOWN = "<|unknown|>"


def train_word_tokenizer(texts: Iterable[str], vocab_size: int = 4096) -> PreTrainedTokenizerFast:
    """Take the most frequent words of ``texts``, separated by white space, as tokens; all others are ``<|unknown|>``.

    Decoding puts one space between words, so texts come back with single spaces. A text with other words cannot be
    written with it; use byte-level BPE for those (:func:`yanlm.tokenization.tokenizer.train_tokenizer`).

    Args:
        texts: Any number of strings; read once. Masks in them do not count as words.
        vocab_size: Most tokens, unknown, padding and mask included.

    Raises:
        ValueError: There is no word, or ``vocab_size`` has no room for one.
        TypeError: ``texts`` is a single string, or one of them is not a string.

    Example:
        >>> from yanlm.tokenization.tokenizer import decode, encode
        >>> tokenizer = train_word_tokenizer(["the cat sat on the mat"])
        >>> len(tokenizer), decode(tokenizer, encode(tokenizer, "the mat"))
        (8, 'the mat')
    """
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers

    check_count("vocab_size", vocab_size, 4)
    texts = checked_texts(texts)
    tokenizer = Tokenizer(models.WordLevel(unk_token=UNKNOWN))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    trainer = trainers.WordLevelTrainer(vocab_size=vocab_size - 2, special_tokens=[UNKNOWN], show_progress=False)
    tokenizer.train_from_iterator((MASKS.sub(" ", text) for text in texts), trainer)
    if tokenizer.get_vocab_size() < 2:
        raise ValueError("texts holds no word to train a tokenizer on; give at least one string that is not empty")
    return wrapped(tokenizer, unk_token=UNKNOWN)
