"""New models: from a configuration, as a baseline of another, with another flow or without one."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import count, cycle
from typing import TYPE_CHECKING, Any

import torch

from yanlm.config import MASKED, ARConfig, YanConfig
from yanlm.modeling.autoregressive import ARModel
from yanlm.modeling.description import FLOW_SETTINGS, count_parameters, options_without_effect
from yanlm.modeling.ensemble import Ensemble
from yanlm.modeling.yan import YanModel
from yanlm.tokenization.examples import Builder
from yanlm.tokenization.masking import Masking

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast


def baseline_config(name: str, flow: YanConfig) -> Any:
    """Configuration of a baseline for comparison with a model with a flow.

    ``mlm`` and ``mdlm`` have the same number of blocks, all in the encoder, and no experts. ``gpt2`` and ``bart`` have
    its width, and the number of layers that brings them closest to its number of parameters.
    """
    own = _without_options_of_flow(flow)
    if name in MASKED:
        layers = flow.encoder_layers + (flow.flow_layers if flow.denoiser == "trunk" else 0)
        return YanConfig(**(own | {"method": name, "encoder_layers": layers}))
    with torch.device("meta"):
        target = count_parameters(YanModel(flow))["total"]
    names = ("vocab_size", "d_model", "num_heads", "ffn_mult", "dropout", "max_length", "pad_to")
    sizes = {n: getattr(flow, n) for n in (*names, "pad_token_id", "mask_token_id")}
    return ARConfig(**sizes, method=name, layers=matched_layers(target, method=name, **sizes))


def without_flow(model: Any) -> Any:
    """The one-pass masked model that a flow is built on: a copy of its encoder and decoder, of the method ``mlm``.

    It shows what the flow adds, because it fills the same slots with the same weights. For an ensemble the result is an
    ensemble too.

    Raises:
        ValueError: The model has no flow, or is of the separate form.
    """
    if isinstance(model, Ensemble):
        return Ensemble([without_flow(member) for member in model.models])
    if not model.can.one_pass:
        raise ValueError(f"model must be a flow of form='slots', got {model.config.method!r}, {model.config.form!r}")
    alone = fresh_model(YanConfig(**(_without_options_of_flow(model.config) | {"method": "mlm"})), 0)
    alone.load_state_dict({name: x for name, x in model.state_dict().items() if not name.startswith("flow.")})
    alone.to(device=model.device, dtype=model.dtype)
    return alone.train(model.training)


def _without_options_of_flow(flow: Any) -> dict[str, Any]:
    return {n: v for n, v in flow.to_diff_dict().items() if n not in FLOW_SETTINGS or n == "pad_to"}


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


def with_flow(model: YanModel, options: Mapping[str, Any], seed: int) -> YanModel:
    """A trained model, with a new flow if the options ask for a different one.

    Args:
        model: A model with a flow.
        options: Options of :class:`yanlm.YanConfig`; only those of :data:`FLOW_SETTINGS` matter.
        seed: Seed of the new flow's weights.
    """
    wanted, config = {name: options[name] for name in FLOW_SETTINGS if name in options}, model.config
    config.pad_to = wanted.pop("pad_to", config.pad_to)  # of the data; it has no weights
    config.perturb = wanted.pop("perturb", config.perturb)  # nor has this
    idle = options_without_effect(config) if wanted.get("denoiser", config.denoiser) == config.denoiser else ()
    if all(getattr(config, name) == value for name, value in wanted.items() if name not in idle):
        return model
    changed = fresh_model(YanConfig(**(config.to_dict() | wanted)), seed)
    for name in ("encoder", "decoder", "positions"):
        if getattr(model, name) is not None:
            getattr(changed, name).load_state_dict(getattr(model, name).state_dict())
    return changed


def fresh_model(config: Any, seed: int) -> Any:
    """A model of the configuration, its weights drawn with the seed; torch's global generator stays where it was."""
    with torch.random.fork_rng([]):
        torch.manual_seed(seed)
        if isinstance(config, YanConfig):
            return YanModel(config)
        return ARModel(config)


def make_builder(model: YanModel, tokenizer: PreTrainedTokenizerFast, masking: Masking, stage: int = 2) -> Builder:
    """The builder of the examples of a stage, as the model takes them."""
    config = model.config
    form = config.form if stage == 2 else "slots"  # the autoencoder always decodes the text that it encodes
    padding: dict[str, Any] = {"lengths": "padding", "pad_to": config.pad_to} if config.pad_to else {}
    return Builder(tokenizer, form=form, max_length=config.max_length, masking=masking, **padding)
