"""Keys of a config.json: those of every Hugging Face model, those of other models, and limits of their values."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

from transformers import GenerationConfig

from moefm.checks import check_count

MOST = {"max_length": 2**20, "pad_to": 4096, "num_labels": 10_000}
"""Largest values of options that are not the size of any weight."""
_KEPT = frozenset(
    {
        *("architectures", "auto_map", "chunk_size_feed_forward", "dtype", "id2label", "is_encoder_decoder"),
        *("label2id", "model_type", "name_or_path", "num_labels", "output_attentions", "output_hidden_states"),
        *("problem_type", "return_dict", "torch_dtype", "transformers_version"),
    }
)
"""Keys of every Hugging Face configuration."""
_OF_OTHERS = frozenset(
    {
        *("add_cross_attention", "cross_attention_hidden_size", "finetuning_task", "gradient_checkpointing"),
        *("initializer_range", "is_decoder", "layer_norm_eps", "max_position_embeddings", "prefix", "pruned_heads"),
        *("quantization_config", "rms_norm_eps", "rope_parameters", "rope_scaling", "rope_theta", "sep_token_id"),
        *("task_specific_params", "tf_legacy_loss", "tie_encoder_decoder", "tokenizer_class", "torchscript"),
        *("unk_token_id", "use_bfloat16", "use_return_dict", *GenerationConfig().to_dict()),
    }
)
"""Keys that Hugging Face writes for other models, and that change nothing here."""
_CODE = frozenset({"attn_implementation", "experts_implementation"})
_DTYPES = ("bfloat16", "float16", "float32", "float64")


def check_options(config: Any, options: Mapping[str, Any]) -> None:
    """Refuse unknown options, since a misspelt one would go unnoticed, and numbers that are far too large.

    Raises:
        ValueError: There is one.
    """
    unknown = [name for name in options if name not in _KEPT | _OF_OTHERS | _CODE and not name.startswith("_")]
    if unknown:
        raise ValueError(f"{type(config).__name__} has no option {', '.join(sorted(unknown))}")
    for name, most in MOST.items():
        value = options.get(name, 0 if name == "num_labels" else getattr(config, name))
        if check_count(name, value, minimum=0) > most:
            raise ValueError(f"{name} must be at most {most}, got {value}")
    for name in ("vocab_size", "d_model", "num_heads", "ffn_mult", "max_length"):
        check_count(name, getattr(config, name))
    for name in ("stage", "longest_span", "pad_token_id", "mask_token_id"):
        if (value := getattr(config, name)) is not None or name in ("stage", "longest_span"):
            check_count(name, value, minimum=0)
    if not (isinstance(config.dropout, int | float) and 0 <= config.dropout < 1):
        raise ValueError(f"dropout must lie in [0, 1), got {config.dropout!r}")
    if config.pad_to >= config.max_length:
        raise ValueError(f"pad_to must be below max_length={config.max_length}, got {config.pad_to}")


def known_options(kind: Any, values: Mapping[str, Any]) -> dict[str, Any]:
    """The options of a kind in a config.json; unknown keys are left out with a warning.

    Raises:
        ValueError: One chooses code to run, or is of another type.
    """
    for name, value in values.items():
        if name.strip("_").removesuffix("_internal") in _CODE and value is not None:
            raise ValueError(f"{name} chooses code to run, and is refused in a config.json; remove it")
        if name.endswith("dtype") and value is not None and value not in _DTYPES:
            raise ValueError(f"{name} must be one of {', '.join(_DTYPES)}, got {value!r:.60}")
        if name in ("id2label", "label2id") and not isinstance(value, dict | None):
            raise ValueError(f"{name} must be a table, got {value!r:.60}")
    own = {*kind.__annotations__, *kind.attribute_map, *_KEPT} - {"attribute_map"}
    if unknown := [name for name in values if name not in own | _OF_OTHERS and not name.startswith("_")]:
        warnings.warn(f"config.json: {kind.__name__} does not know {', '.join(sorted(unknown))}", stacklevel=3)
    return {name: value for name, value in values.items() if name in own}


def check_experts(config: Any) -> None:
    """Check that the place of the experts fits the denoiser.

    Raises:
        ValueError: The options do not go together.
    """
    scope, experts = config.scope, config.experts
    if config.denoiser == "trunk":
        if experts == "continuum" or scope == "sentence":
            name, value = ("experts", experts) if experts == "continuum" else ("scope", scope)
            raise ValueError(f"{name}={value!r} needs denoiser='encoder'")
        if experts != "heads" and scope != "sequence":
            raise ValueError(
                f"experts={experts!r} needs scope='sequence': slots that attend to one another share a trunk, "
                f"got scope={scope!r}"
            )
        return
    if experts == "trunk":
        raise ValueError("experts='trunk' needs denoiser='trunk': give heads, source or continuum")
    if config.method == "flow" and config.form != "slots":
        raise ValueError(f"denoiser='encoder' needs form='slots', got {config.form!r}")
    if check_count("expert_layer", config.expert_layer, minimum=0) > config.encoder_layers:
        raise ValueError(f"expert_layer must lie in 0 .. {config.encoder_layers}, got {config.expert_layer}")
