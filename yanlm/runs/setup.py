"""What a stage is built from: the tokenizer, the initial model, and the builder of its examples."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from yanlm.config import YanConfig
from yanlm.data.corpus import Corpus
from yanlm.data.loader import RowStream
from yanlm.data.rows import KINDS, kind_of, words_of
from yanlm.modeling.build import baseline_config, fresh_model, with_flow
from yanlm.modeling.io import load_model, model_folder
from yanlm.modeling.pretrained import load_pretrained
from yanlm.runs.settings import RunSettings
from yanlm.runs.spans import LOOKED_AT
from yanlm.tokenization.pieces import encode_piece
from yanlm.tokenization.specs import tokenizer_of
from yanlm.tokenization.tokenizer import load_tokenizer

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast


def make_tokenizer(settings: RunSettings, corpus: Corpus) -> PreTrainedTokenizerFast:
    """The tokenizer that the settings ask for: trained on the corpus, or loaded."""
    if settings.init is not None:
        return load_tokenizer(model_folder(settings.init))
    if settings.init_from is not None:
        if not Path(settings.init_from).is_dir():
            raise ValueError(f"--init-from {settings.init_from} is no folder; give that of a published GPT-2 or BART")
        return load_tokenizer(settings.init_from)
    return tokenizer_of(settings.tokenizer, lambda: _texts(corpus, settings.seed))


def _texts(corpus: Corpus, seed: int) -> Iterable[str]:
    """Texts that a tokenizer is trained on: the first ones of a corpus in memory, some of a stream."""
    if corpus.rows is None:
        stream = RowStream(corpus, 1000, seed=seed)
        return [words_of(row) for _ in range(20) for _, row in next(stream)]
    return map(words_of, corpus.rows[:200_000])


def check_answers(
    settings: RunSettings, corpus: Corpus, tokenizer: PreTrainedTokenizerFast, say: Callable[[str], None]
) -> None:
    """Check that ``pad_to`` does not cut any label, which could never be right; ``say`` how many other answers it cuts.

    Raises:
        ValueError: A label has more tokens.
    """
    slots, rows = settings.model.get("pad_to"), corpus.rows or []
    if not slots:
        return
    label, length = longest({str(row["label"]).strip() for row in rows if kind_of(row) == "classify"}, tokenizer)
    if length > slots:
        raise ValueError(
            f"pad_to = {slots} cuts the label {label!r}, which has {length} tokens with this tokenizer: "
            f"set pad_to = {length} or more"
        )

    answers = [row[KINDS[kind_of(row)][-1]] for row in rows[:LOOKED_AT] if kind_of(row) in ("qa", "seq2seq")]
    lengths = [len(encode_piece(tokenizer, f" {answer}")) for answer in answers if isinstance(answer, str)]
    if cut := sum(length > slots for length in lengths):
        say(f"pad_to = {slots} cuts {cut} of {len(lengths)} answers; --pad-to {max(lengths)} would hold them all")


def longest(answers: Iterable[str], tokenizer: PreTrainedTokenizerFast) -> tuple[str, int]:
    """The answer with the most tokens, and their number; an empty one with 0 where there is none."""
    lengths = {answer: len(encode_piece(tokenizer, f" {answer}")) for answer in sorted(answers)}
    return max(lengths.items(), key=lambda item: item[1], default=("", 0))


def stage_model(settings: RunSettings, stage: int, out: Path, tokenizer: PreTrainedTokenizerFast) -> Any:
    """A new model, or the one that the stage starts from.

    Raises:
        ValueError: It is stage 2, and there is no model of stage 1, or ``init`` holds a model of another kind.
    """
    own = out / "stage1"
    if stage == 2 and (own / "model.safetensors").is_file():
        model = load_model(own)
    elif settings.init is not None:
        model = _initial(settings)
    elif settings.init_from is not None:
        slots = settings.model.get("pad_to", 0)
        model = load_pretrained(settings.init_from, tokenizer, str(settings.baseline), pad_to=slots, seed=settings.seed)
    elif stage == 2:
        raise ValueError(f"stage 2 needs a trained stage 1: run --stage both, or give --init DIR (there is no {own})")
    else:
        ids = {
            "vocab_size": len(tokenizer),
            "pad_token_id": tokenizer.pad_token_id,
            "mask_token_id": tokenizer.mask_token_id,
        }
        config = YanConfig(**(settings.model | ids))
        model = fresh_model(
            config if settings.baseline is None else baseline_config(settings.baseline, config), settings.seed
        )
    model.stage1, model.stage2, model.denoising = settings.stage1, settings.stage2, settings.denoising
    if settings.denoising.taught:
        model.learn_from(_initial(settings))
    if getattr(model.config, "scope", None) == "sentence":
        model.config.sentence_ends = sentence_ends(tokenizer)
    return model


def sentence_ends(tokenizer: PreTrainedTokenizerFast) -> list[int]:
    """Ids of the tokens that are a full stop, an exclamation or a question mark, with or without a space before it."""
    tokens = tokenizer.batch_decode([[id] for id in range(len(tokenizer))])
    return [id for id, token in enumerate(tokens) if token.strip() in (".", "!", "?")]


def _initial(settings: RunSettings) -> Any:
    """The model of ``--init``, which has to be of the kind that is trained."""
    model = load_model(model_folder(str(settings.init)))
    method, wanted = model.config.method, settings.baseline or "flow"
    if method != wanted:
        raise ValueError(f"--init {settings.init} holds a model of kind {method}, and {wanted} is to be trained")
    if model.can.denoises and "denoiser" not in settings.model:
        raise ValueError(
            f"--init {settings.init} holds a flow with denoiser='encoder': give --denoiser encoder to go on "
            "with it, or --denoiser trunk for a new flow behind its encoder"
        )
    if model.can.routing:
        return with_flow(model, settings.model, settings.seed)
    model.config.pad_to = settings.model.get("pad_to", model.config.pad_to)
    return model
