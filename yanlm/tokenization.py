"""Tokenizers: one trained on the user's text, any fast Hugging Face tokenizer, LLaMA-3; all with padding and mask."""

from __future__ import annotations

import base64
import binascii
import re
import threading
from collections.abc import Iterable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from moefm._checks import check_count

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

PADDING, MASK = "<|padding|>", "<|mask|>"
MASKS = re.compile(r"<mask>|<\|mask\|>")
"""What stands for a mask in the text of a user."""

_BYTES = 256
_LLAMA3_WORDS = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_LLAMA3_SPECIAL = {0: "begin_of_text", 1: "end_of_text", 6: "start_header_id", 7: "end_header_id", 9: "eot_id"}
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
    if isinstance(texts, str | bytes):
        raise TypeError("texts must be a list or iterator of strings, got a single string; put it into a list")
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

    def checked() -> Iterator[str]:
        nonlocal seen
        for index, text in enumerate(texts):
            if not isinstance(text, str):
                raise TypeError(f"texts must hold strings, got {type(text).__name__} at position {index}")
            seen = seen or bool(text.strip())
            yield _well_formed(text)

    tokenizer.train_from_iterator(checked(), trainer)
    if not seen:
        raise ValueError("texts holds no text to train a tokenizer on; give at least one string that is not empty")
    return _wrap(tokenizer)


def load_tokenizer(name_or_path: str | Path) -> PreTrainedTokenizerFast:
    """Load a fast tokenizer and give it ``<|padding|>`` and ``<|mask|>``, each with an id of its own if it lacks them.

    Args:
        name_or_path: A folder, a ``tokenizer.json``, LLaMA-3's ``tokenizer.model``, a name on the Hugging Face hub, or
            ``"llama3"`` for the file in the package llama-models, where that is installed.

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
        return _wrap(_tiktoken(_llama3_file()))
    if path.is_file():
        return _wrap(_tiktoken(path)) if path.suffix == ".model" else _wrap(_read_json(path))
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
    ids = tokenizer(_well_formed(text), add_special_tokens=False, split_special_tokens=True, verbose=False)["input_ids"]
    return list(ids)


def encode_with_masks(tokenizer: PreTrainedTokenizerFast, text: str) -> list[int]:
    """Ids of ``text`` with the mask's id for every ``<mask>`` or ``<|mask|>`` in it.

    One space before a mask belongs to the masked word, since words carry the space before them.

    Example:
        >>> tokenizer = train_tokenizer(["a b a b"], 258)
        >>> ids = encode_with_masks(tokenizer, "the <mask> sat")
        >>> [i for i, id in enumerate(ids) if id == tokenizer.mask_token_id], decode(tokenizer, ids)
        ([3], 'the sat')
    """
    first, *others = (encode(tokenizer, part) if part else [] for part in split_at_masks(text))
    return [*first, *(id for part in others for id in (mask_id(tokenizer), *part))]


def split_at_masks(text: str) -> list[str]:
    """Parts of ``text`` between its masks, each but the last without one space before the mask.

    Example:
        >>> split_at_masks(" the <mask> sat.")
        [' the', ' sat.']
    """
    *before, last = MASKS.split(text)
    return [*(part.removesuffix(" ") for part in before), last]


def decode(tokenizer: PreTrainedTokenizerFast, ids: Iterable[int]) -> str:
    """Text of ``ids`` with its exact spacing; special tokens are left out."""
    text = tokenizer.decode(list(ids), skip_special_tokens=True, clean_up_tokenization_spaces=False)
    return str(text)


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
        raise ValueError(f"tokenizer has no {name} token; load it with yanlm.tokenization.load_tokenizer")
    return id


def _well_formed(text: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text


def _wrap(tokenizer: Any) -> PreTrainedTokenizerFast:
    """Make a tokenizer of transformers from one of tokenizers."""
    from transformers import PreTrainedTokenizerFast

    return _with_special(PreTrainedTokenizerFast(tokenizer_object=tokenizer, clean_up_tokenization_spaces=False))


def _with_special(tokenizer: PreTrainedTokenizerFast) -> PreTrainedTokenizerFast:
    # First padding, then mask: the order decides the ids (LLaMA-3: 128256 and 128257).
    tokenizer.add_special_tokens({"pad_token": PADDING, "mask_token": MASK})
    return tokenizer


def _read_json(path: Path) -> Any:
    from tokenizers import Tokenizer

    try:
        return Tokenizer.from_file(str(path))
    except Exception as error:  # tokenizers raises bare exceptions
        raise ValueError(f"{path} is not a tokenizer.json that tokenizers can read: {error}") from None


def _from_folder(folder: Path) -> PreTrainedTokenizerFast:
    from transformers import PreTrainedTokenizerFast

    model = folder / "tokenizer.model"
    if (folder / "tokenizer.json").exists():
        _read_json(folder / "tokenizer.json")  # for its clearer error
        return _with_special(PreTrainedTokenizerFast.from_pretrained(folder, local_files_only=True))
    if model.exists() and (_is_tiktoken(model) or find_spec("sentencepiece") is None):
        return _wrap(_tiktoken(model))
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
    if not _reachable(constants.ENDPOINT):
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
        return next(iter(str(error).splitlines()), type(error).__name__)
    if not isinstance(tokenizer, PreTrainedTokenizerFast):
        raise ValueError(
            f"tokenizer {name!r} is a {type(tokenizer).__name__}, which has no fast form (tokenizer.json); {_REMEDY}"
        )
    return _with_special(tokenizer)


def _reachable(endpoint: str, seconds: float = 3.0) -> bool:
    """Whether the hub answers within ``seconds``; in a thread, because looking a name up knows no timeout."""
    from huggingface_hub import get_session

    answered = threading.Event()

    def ask() -> None:
        try:
            status = get_session().head(endpoint, timeout=seconds).status_code
        except Exception:  # whatever goes wrong, it cannot be reached
            return
        if status not in (403, 407) and status < 500:  # else a proxy answered in its place
            answered.set()

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(seconds)
    return answered.is_set()


def _llama3_file() -> Path:
    spec = find_spec("llama_models")
    for folder in (spec.submodule_search_locations or []) if spec else []:
        path = Path(folder, "llama3", "tokenizer.model")
        if path.exists():
            return path
    raise ValueError(
        "tokenizer 'llama3' is not on this machine; pip install --no-deps llama-models==0.3.0 (Llama 3 Community "
        "License), or give the folder or the tokenizer.model of LLaMA-3"
    )


def _is_tiktoken(path: Path) -> bool:
    with path.open("rb") as file:
        return re.fullmatch(rb"[A-Za-z0-9+/]+=* \d+\s*", file.readline(200)) is not None


def _tiktoken(path: Path) -> Any:
    """LLaMA-3's tokenizer from its file: a line for each token, its bytes in base64 and its rank."""
    from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers

    if not _is_tiktoken(path):
        raise ValueError(
            f"{path} has no fast form (it is not LLaMA-3's, lines of base64 and rank; a SentencePiece model becomes a "
            f"tokenizer.json where the package sentencepiece is installed); {_REMEDY}"
        )
    try:
        lines = [line.split() for line in path.read_bytes().splitlines() if line.strip()]
        ranks = {base64.b64decode(token, validate=True): int(rank) for token, rank in lines}
    except (ValueError, binascii.Error):
        raise ValueError(f"{path} is damaged: each line must hold a token in base64 and its rank") from None
    letters = _byte_letters()
    spelled = {token: "".join(letters[byte] for byte in token) for token in ranks}
    merges = []
    for token in sorted(ranks, key=ranks.__getitem__):
        halves = [(token[:cut], token[cut:]) for cut in range(1, len(token))]
        known = [(a, b) for a, b in halves if a in ranks and b in ranks]
        merges += [(spelled[a], spelled[b]) for a, b in sorted(known, key=lambda ab: (ranks[ab[0]], ranks[ab[1]]))]
    vocabulary = {spelled[token]: rank for token, rank in ranks.items()}
    tokenizer = Tokenizer(models.BPE(vocabulary, merges, fuse_unk=False, ignore_merges=True))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(_LLAMA3_WORDS), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    reserved = (f"reserved_special_token_{n}" for n in range(256))
    names = [_LLAMA3_SPECIAL.get(n) or next(reserved) for n in range(256)]
    tokenizer.add_special_tokens([AddedToken(f"<|{name}|>", normalized=False, special=True) for name in names])
    return tokenizer


def _byte_letters() -> list[str]:
    """The letter that byte-level BPE writes for each byte: printable ones for themselves, the others from 256 on."""
    printable = {*range(33, 127), *range(161, 173), *range(174, 256)}
    others = iter(range(256, 512))
    return [chr(byte) if byte in printable else chr(next(others)) for byte in range(256)]
