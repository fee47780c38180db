"""A description of a model: its options that matter, and the number of parameters of each part."""

from __future__ import annotations

from typing import Any

from torch.nn import Parameter

FLOW_SETTINGS = (
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
    "denoiser",
    "latent_dim",
    "slot_input",
    "perturb",
    "expert_layer",
    "sentence_ends",
    "pad_to",
)
"""Options of the model that do not change its autoencoder."""
_OF_TRUNK = ("flow_layers", "cross_layers", "prediction", "align", "sigma")
_OF_ENCODER = ("latent_dim", "slot_input", "perturb", "expert_layer", "sentence_ends")


def options_in_use(config: Any) -> dict[str, Any]:
    """Options of a configuration, as in config.json, that its model uses.

    Example:
        >>> from yanlm.config import YanConfig
        >>> "flow_layers" in options_in_use(YanConfig()), "flow_layers" in options_in_use(YanConfig(method="mlm"))
        (True, False)
    """
    idle = options_without_effect(config)
    return {name: value for name, value in config.to_diff_dict().items() if name not in idle}


def options_without_effect(config: Any) -> tuple[str, ...]:
    """Options that have no effect on a model of this configuration."""
    if config.method != "flow":
        return tuple(name for name in FLOW_SETTINGS if name != "pad_to")
    return _OF_TRUNK if config.denoiser == "encoder" else _OF_ENCODER


def count_parameters(model: Any) -> dict[str, int]:
    """Number of parameters of each part that the model has; a weight that two parts share counts once, in the first."""
    seen: set[int] = set()

    def count(*parts: Any) -> int:
        owned = [[part] if isinstance(part, Parameter) else part.parameters() for part in parts if part is not None]
        fresh = [p for parameters in owned for p in parameters if id(p) not in seen]
        seen.update(map(id, fresh))
        return sum(p.numel() for p in fresh)

    if not hasattr(model, "flow"):  # gpt2, bart
        parts = {"embedding": count(model.get_input_embeddings()), "layers": count(model)}
        return parts | {"total": sum(parts.values())}
    parts = {"embedding": count(model.encoder.embedding, model.positions), "encoder": count(model.encoder)}
    if model.flow is None:
        parts["decoder"] = count(model)  # with the length head
    else:
        flow = model.flow
        experts = (flow.head_layers, flow.marks, getattr(flow, "line", None))
        parts |= {"experts": count(*experts), "gate": count(flow.gating), "flow": count(flow)}
        parts["decoder"] = count(model.decoder)
        parts["flow"] += count(model)  # the length head
    order = ("embedding", "encoder", "flow", "experts", "gate", "decoder")
    return {name: parts[name] for name in order if name in parts} | {"total": sum(parts.values())}
