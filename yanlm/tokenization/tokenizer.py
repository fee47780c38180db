"""Tokenizers: one trained on the user's text, any fast Hugging Face tokenizer, LLaMA-3; all with padding and mask."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from moefm.checks import check_count
from yanlm.data.connection import serving
from yanlm.tokenization.foreign import check_ids, first_line, no_panic, read_tokenizer_json
from yanlm.tokenization.llama3 import is_llama3, llama3_file, read_llama3
from yanlm.tokenization.texts import checked_texts, well_formed

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

PADDING, MASK = "<|padding|>", "<|mask|>"

_BYTES = 256
_REMEDY = "give a folder or tokenizer.json on this machine, or train one on your text (train_tokenizer)"


def train_tokenizer(texts: Iterable[str], vocab_size: int = 4096) -> PreTrainedTokenizerFast:
    """Train a byte-level BPE on ``texts``; the same texts always give the same tokenizer.

    Words keep the space before them, so decoding gives the text back exactly, whatever its script. The two highest ids
    are ``<|padding|>`` and ``<|mask|>``, as in appendix B.3.

    Args:
        texts: Any number of strings; read once.
        vocab_size: Most tokens, padding and mask included. Little text gives fewer: only pairs seen twice are merged.

    Raises:
        ValueError: There is no text, or ``vocab_size`` has no room for the 256 bytes, padding and mask.
        TypeError: ``texts`` is a single string, or one of them is not a string.

    Example:
        >>> tokenizer = train_tokenizer(["the cat sat on the mat"] * 2, vocab_size=270)
        >>> decode(tokenizer, encode(tokenizer, " the cat  sat — déjà vu"))
        ' the cat  sat — déjà vu'
    """
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    check_count("vocab_size", vocab_size, _BYTES + 2)
    texts = checked_texts(texts)
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size - 2,
        min_frequency=2,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    seen = False

    def watched() -> Iterator[str]:
        nonlocal seen
        for text in texts:
            seen = seen or bool(text.strip())
            yield text

    tokenizer.train_from_iterator(watched(), trainer)
    if not seen:
        raise ValueError("texts holds no text to train a tokenizer on; give at least one string that is not empty")
    return wrapped(tokenizer)


def load_tokenizer(name_or_path: str | Path) -> PreTrainedTokenizerFast:
    """Load a fast tokenizer and give it ``<|padding|>`` and ``<|mask|>``, each with an id of its own if it lacks them.

    Args:
        name_or_path: A folder, a ``tokenizer.json``, LLaMA-3's ``tokenizer.model``, a name on the Hugging Face hub, or
            ``"llama3"`` for the file in the package llama-models, if that is installed.

    Raises:
        ValueError: Nothing is found there, the hub cannot be reached, or the tokenizer has no fast form.

    Example:
        >>> load_tokenizer("no/such/folder/tokenizer.json")
        Traceback (most recent call last):
            ...
        ValueError: tokenizer 'no/such/folder/tokenizer.json' is not on this machine; give a folder or ...
    """
    name = str(name_or_path)
    if not name.strip():
        raise ValueError(f"tokenizer must be a folder, a file or a name, got {name!r}; {_REMEDY}")
    path = Path(name).expanduser()
    if name == "llama3" and not path.exists():
        return _from_model(llama3_file())
    if path.is_file():
        return _from_model(path) if path.suffix == ".model" else wrapped(read_tokenizer_json(path))
    if path.is_dir():
        return _from_folder(path)
    if name.count("/") > 1 or path.suffix in {".json", ".model"} or name.startswith((".", "/", "~")):
        raise ValueError(f"tokenizer {name!r} is not on this machine; {_REMEDY}")
    return _from_hub(name)


def encode(tokenizer: PreTrainedTokenizerFast, text: str) -> list[int]:
    """Ids of ``text`` and nothing else: nothing is added, and what looks like a special token is read as plain text.

    Half of a surrogate pair, which is no character, becomes U+FFFD.

    Example:
        >>> tokenizer = train_tokenizer(["a b a b"], 258)
        >>> len(encode(tokenizer, "<|mask|>"))
        8
    """
    return list(_read(tokenizer, text)["input_ids"])


def encode_with_places(tokenizer: PreTrainedTokenizerFast, text: str) -> tuple[list[int], list[tuple[int, int]]]:
    """Ids as :func:`encode` gives them, and the characters of the text that each stands for, first and last + 1."""
    encoding = _read(tokenizer, text, return_offsets_mapping=True)
    return list(encoding["input_ids"]), [(int(first), int(last)) for first, last in encoding["offset_mapping"]]


def _read(tokenizer: PreTrainedTokenizerFast, text: str, **options: Any) -> Any:
    options |= {"add_special_tokens": False, "split_special_tokens": True, "verbose": False}
    with no_panic():
        return tokenizer(well_formed(text), **options)


def decode(tokenizer: PreTrainedTokenizerFast, ids: Iterable[int]) -> str:
    """Text of ``ids`` with its exact spacing; special tokens are left out."""
    with no_panic():
        return str(tokenizer.decode(list(ids), skip_special_tokens=True, clean_up_tokenization_spaces=False))


def mask_id(tokenizer: PreTrainedTokenizerFast) -> int:
    """Id of the mask.

    Raises:
        ValueError: The tokenizer has none.
    """
    return _special(tokenizer, "mask")


def pad_id(tokenizer: PreTrainedTokenizerFast) -> int:
    """Id of the padding.

    Raises:
        ValueError: The tokenizer has none.
    """
    return _special(tokenizer, "pad")


def _special(tokenizer: PreTrainedTokenizerFast, name: str) -> int:
    id = getattr(tokenizer, f"{name}_token_id", None)
    if not isinstance(id, int):
        raise ValueError(f"tokenizer has no {name} token; load it with yanlm.tokenization.tokenizer.load_tokenizer")
    return id


def wrapped(tokenizer: Any, **tokens: str) -> PreTrainedTokenizerFast:
    """Make a tokenizer of transformers from one of tokenizers, with padding and mask; ``tokens`` as it names them."""
    from transformers import PreTrainedTokenizerFast

    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, clean_up_tokenization_spaces=False, **tokens)
    return _with_special(fast)


def _with_special(tokenizer: PreTrainedTokenizerFast) -> PreTrainedTokenizerFast:
    # First padding, then mask: the order decides the ids (LLaMA-3: 128256 and 128257).
    tokenizer.add_special_tokens({"pad_token": PADDING, "mask_token": MASK})
    tokenizer.model_max_length = 10**30  # the model says how long a text may be
    return check_ids(tokenizer)


def _from_model(path: Path) -> PreTrainedTokenizerFast:
    if not is_llama3(path):
        raise ValueError(
            f"{path} has no fast form (it is not LLaMA-3's, lines of base64 and rank; a SentencePiece model becomes a "
            f"tokenizer.json where the package sentencepiece is installed); {_REMEDY}"
        )
    return wrapped(read_llama3(path))


def _from_folder(folder: Path) -> PreTrainedTokenizerFast:
    from transformers import PreTrainedTokenizerFast

    model = folder / "tokenizer.model"
    if (folder / "tokenizer.json").exists():
        read_tokenizer_json(folder / "tokenizer.json")  # for a clearer error
        try:
            with no_panic():
                return _with_special(PreTrainedTokenizerFast.from_pretrained(folder, local_files_only=True))
        except Exception as error:  # of many kinds, from JSON of another form to a token that is a number
            raise ValueError(f"the tokenizer in {folder} does not load: {first_line(error)}") from None
    if model.exists() and (is_llama3(model) or find_spec("sentencepiece") is None):
        return _from_model(model)
    tokenizer = _auto(str(folder))
    if isinstance(tokenizer, str):
        raise ValueError(f"folder {str(folder)!r} holds no tokenizer that loads ({tokenizer}); {_REMEDY}")
    return tokenizer


def _from_hub(name: str) -> PreTrainedTokenizerFast:
    from huggingface_hub import constants

    tokenizer = _auto(name)
    if not isinstance(tokenizer, str):
        return tokenizer
    absent = f"tokenizer {name!r} is neither a folder nor in the local cache, and"
    if constants.HF_HUB_OFFLINE:
        raise ValueError(f"{absent} HF_HUB_OFFLINE forbids to download it; {_REMEDY}")
    if not serving(constants.ENDPOINT):
        raise ValueError(f"{absent} {constants.ENDPOINT} cannot be reached; {_REMEDY}")
    tokenizer = _auto(name, local=False)
    if isinstance(tokenizer, str):
        raise ValueError(f"{absent} {constants.ENDPOINT} gave none that loads ({tokenizer}); {_REMEDY}")
    return tokenizer


def _auto(name: str, local: bool = True) -> PreTrainedTokenizerFast | str:
    """Load with transformers, or say why not; ``local`` never touches the network."""
    from transformers import AutoTokenizer, PreTrainedTokenizerFast

    try:
        tokenizer = AutoTokenizer.from_pretrained(name, use_fast=True, local_files_only=local, trust_remote_code=False)
    except Exception as error:  # of many kinds, from a missing file to a missing package
        return first_line(error)
    if not isinstance(tokenizer, PreTrainedTokenizerFast):
        raise ValueError(
            f"tokenizer {name!r} is a {type(tokenizer).__name__}, which has no fast form (tokenizer.json); {_REMEDY}"
        )
    return _with_special(tokenizer)


def check_pair(tokenizer: PreTrainedTokenizerFast, config: Any) -> None:
    """Check that a tokenizer can be that of a model of this configuration.

    Raises:
        ValueError: It has more tokens than the model, or another mask or padding.
    """
    told = []
    if len(tokenizer) > config.vocab_size:
        told.append(f"the tokenizer has {len(tokenizer)} tokens and the model {config.vocab_size}")
    for name in ("mask_token_id", "pad_token_id"):
        given, own = getattr(tokenizer, name), getattr(config, name)
        if own is not None and given != own:
            told.append(f"{name} is {given} in the tokenizer and {own} in the model")
    if told:
        raise ValueError(f"{told[0]}: they do not belong together")
