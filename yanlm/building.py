"""What a stage is built from: the tokenizer, the model it begins with, and what makes its examples."""

from __future__ import annotations

from itertools import count, cycle
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from yanlm.autoregressive import ARModel
from yanlm.config import MASKED, ARConfig, YanConfig
from yanlm.data.corpus import Corpus
from yanlm.data.loader import RowStream
from yanlm.data.rows import kind_of, words_of
from yanlm.ensemble import Ensemble
from yanlm.folders import load_model, model_folder
from yanlm.modeling import YanModel
from yanlm.presets import count_parameters
from yanlm.settings import RunSettings
from yanlm.tokenization.examples import Builder
from yanlm.tokenization.masking import Masking
from yanlm.tokenization.tokenizer import encode, load_tokenizer, train_tokenizer

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

FLOW_OPTIONS = (
    "num_experts",
    "scope",
    "experts",
    "sigma",
    "prediction",
    "flow_layers",
    "cross_layers",
    "align",
    "form",
    "d_time",
    "pad_to",
)
"""Options of the model that leave its autoencoder as it is."""


def make_tokenizer(settings: RunSettings, corpus: Corpus) -> PreTrainedTokenizerFast:
    """The tokenizer that the settings ask for: trained on the corpus, or loaded."""
    if settings.init is not None:
        return load_tokenizer(model_folder(settings.init))
    if not settings.tokenizer.startswith("bpe:"):
        return load_tokenizer(settings.tokenizer)
    size = settings.tokenizer.removeprefix("bpe:")
    if not size.isdigit():
        raise ValueError(f"tokenizer must be bpe:SIZE, a folder, a file or a name, got {settings.tokenizer!r}")
    if corpus.rows is None:
        stream = RowStream(corpus, 1000, seed=settings.seed)
        rows = [row for _ in range(20) for _, row in next(stream)]
    else:
        rows = corpus.rows[:200_000]
    return train_tokenizer(map(words_of, rows), int(size))


def check_labels(settings: RunSettings, corpus: Corpus, tokenizer: PreTrainedTokenizerFast) -> None:
    """Check that ``pad_to`` leaves every label whole: one that is cut could never be right.

    Raises:
        ValueError: A label has more tokens.
    """
    slots = settings.model.get("pad_to")
    labels = {str(row["label"]).strip() for row in corpus.rows or [] if slots and kind_of(row) == "classify"}
    lengths = {label: len(encode(tokenizer, f" {label}")) for label in sorted(labels)}
    longest = max(lengths, key=lambda label: lengths[label], default=None)
    if slots and longest is not None and lengths[longest] > slots:
        raise ValueError(
            f"pad_to = {slots} cuts the label {longest!r}, which has {lengths[longest]} tokens with this tokenizer: "
            f"set pad_to = {lengths[longest]} or more"
        )


def stage_model(settings: RunSettings, stage: int, out: Path, tokenizer: PreTrainedTokenizerFast) -> Any:
    """A fresh model, or the one that the stage begins from.

    Raises:
        ValueError: It is stage 2, and there is no model of stage 1, or ``init`` holds a model of another kind.
    """
    own = out / "stage1"
    if stage == 2 and (own / "model.safetensors").is_file():
        model = load_model(own)
    elif settings.init is not None:
        model = _initial(settings)
    elif stage == 2:
        raise ValueError(f"stage 2 needs a trained stage 1: run --stage both, or give --init DIR (there is no {own})")
    else:
        ids = {
            "vocab_size": len(tokenizer),
            "pad_token_id": tokenizer.pad_token_id,
            "mask_token_id": tokenizer.mask_token_id,
        }
        config = YanConfig(**(settings.model | ids))
        model = _fresh(
            config if settings.baseline is None else baseline_config(settings.baseline, config), settings.seed
        )
    model.stage1, model.stage2 = settings.stage1, settings.stage2
    return model


def baseline_config(name: str, flow: YanConfig) -> Any:
    """Configuration of a baseline that stands beside a model with a flow.

    ``mlm`` and ``mdlm`` have as many blocks, all in the encoder, and no experts; ``gpt2`` and ``bart`` have its width
    and as many layers as bring them closest to its number of parameters.
    """
    own = _without_options_of_flow(flow)
    if name in MASKED:
        layers = flow.encoder_layers + flow.flow_layers
        return YanConfig(**(own | {"method": name, "encoder_layers": layers}))
    with torch.device("meta"):
        target = count_parameters(YanModel(flow))["total"]
    names = ("vocab_size", "d_model", "num_heads", "ffn_mult", "dropout", "max_length", "pad_to")
    sizes = {n: getattr(flow, n) for n in (*names, "pad_token_id", "mask_token_id")}
    return ARConfig(**sizes, method=name, layers=matched_layers(target, method=name, **sizes))


def without_flow(model: Any) -> Any:
    """The one-pass masked model that a flow is built on: a copy of its encoder and decoder, of the method ``mlm``.

    It answers what the flow adds, for it fills the same slots with the same weights. Of an ensemble it is another one.

    Raises:
        ValueError: The model has no flow, or is of the separate form.
    """
    if isinstance(model, Ensemble):
        return Ensemble([without_flow(one) for one in model.models])
    if model.config.method != "flow" or model.config.form != "slots":
        raise ValueError(f"model must be a flow of form='slots', got {model.config.method!r}, {model.config.form!r}")
    alone = _fresh(YanConfig(**(_without_options_of_flow(model.config) | {"method": "mlm"})), 0)
    alone.load_state_dict({name: x for name, x in model.state_dict().items() if not name.startswith("flow.")})
    alone.to(device=model.device, dtype=model.dtype)
    return alone.train(model.training)


def _without_options_of_flow(flow: Any) -> dict[str, Any]:
    return {n: v for n, v in flow.to_diff_dict().items() if n not in FLOW_OPTIONS or n == "pad_to"}


def matched_layers(target: int, *, method: str, **sizes: Any) -> int:
    """Number of layers that brings the parameters of a baseline closest to ``target``.

    Args:
        target: Parameters wanted.
        method: ``gpt2`` or ``bart``.
        sizes: Other options of :class:`ARConfig`.

    Example:
        >>> matched_layers(1_000_000, method="gpt2", vocab_size=512, pad_token_id=510, mask_token_id=511)
        4
    """
    least = 2 if method == "bart" else 1
    first = []
    for layers in range(least, least + 3):
        with torch.device("meta"):
            model = ARModel(ARConfig(method=method, layers=layers, **sizes))
        first.append(sum(p.numel() for p in model.parameters()))
    total, best = first[0], (abs(first[0] - target), least)
    grows = cycle([first[1] - first[0], first[2] - first[1]])  # of bart the encoder and the decoder in turn
    for layers, more in zip(count(least + 1), grows, strict=False):
        total += more
        best = min(best, (abs(total - target), layers))
        if total >= target:
            break
    return best[1]


def _initial(settings: RunSettings) -> Any:
    """The model of ``--init``, which has to be of the kind that is trained."""
    model = load_model(model_folder(str(settings.init)))
    method, wanted = model.config.method, settings.baseline or "flow"
    if method != wanted:
        raise ValueError(f"--init {settings.init} holds a model of kind {method}, and {wanted} is to be trained")
    if method == "flow":
        return with_flow(model, settings)
    model.config.pad_to = settings.model.get("pad_to", model.config.pad_to)
    return model


def with_flow(model: YanModel, settings: RunSettings) -> YanModel:
    """A trained model, with a new flow where the settings ask for another one than it has."""
    wanted = {name: settings.model[name] for name in FLOW_OPTIONS if name in settings.model}
    model.config.pad_to = wanted.pop("pad_to", model.config.pad_to)  # of the data; it has no weights
    if all(getattr(model.config, name) == value for name, value in wanted.items()):
        return model
    changed = _fresh(YanConfig(**(model.config.to_dict() | wanted)), settings.seed)
    for name in ("encoder", "decoder", "positions"):
        if getattr(model, name) is not None:
            getattr(changed, name).load_state_dict(getattr(model, name).state_dict())
    return changed


def _fresh(config: Any, seed: int) -> Any:
    with torch.random.fork_rng([]):
        torch.manual_seed(seed)
        if isinstance(config, YanConfig):
            return YanModel(config)
        return ARModel(config)


def make_builder(model: YanModel, tokenizer: PreTrainedTokenizerFast, masking: Masking, stage: int = 2) -> Builder:
    """What makes the examples of a stage, as the model takes them."""
    config = model.config
    form = config.form if stage == 2 else "slots"  # the autoencoder always decodes the text that it encodes
    padding = {"lengths": "padding", "pad_to": config.pad_to} if config.pad_to else {}
    return Builder(tokenizer, form=form, max_length=config.max_length, masking=masking, **padding)
