"""Published GPT-2 and BART: a local Hugging Face folder becomes a baseline that can be trained further."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from yanlm.config import ARConfig
from yanlm.modeling.autoregressive import ARModel
from yanlm.modeling.io import WEIGHTS_FILE, quiet
from yanlm.modeling.weights import check_finite

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

ALIKE: dict[str, dict[str, Any]] = {
    "gpt2": {
        "activation_function": "gelu_new",
        "layer_norm_epsilon": 1e-5,
        "scale_attn_weights": True,
        "scale_attn_by_inverse_layer_idx": False,
        "add_cross_attention": False,
        "tie_word_embeddings": True,
    },
    "bart": {"activation_function": "gelu", "scale_embedding": False, "tie_word_embeddings": True},
}
"""What a published network has to have in common with those of :class:`ARModel`, apart from its sizes."""

_LAYER = re.compile(r"(?:^|\.)(h|encoder\.layers|decoder\.layers)\.(\d{1,6})\.")


def load_pretrained(
    folder: str | Path, tokenizer: PreTrainedTokenizerFast, method: str, *, pad_to: int = 0, seed: int = 0
) -> ARModel:
    """A baseline with the sizes and weights of a published GPT-2 or BART, and places for padding and mask.

    Args:
        folder: Folder with ``config.json`` and ``model.safetensors``, as ``save_pretrained`` writes them.
        tokenizer: The folder's own, with padding and mask (:func:`yanlm.tokenization.tokenizer.load_tokenizer`).
        method: ``gpt2`` or ``bart``.
        pad_to: Slots of every answer, 0 for as many as it has tokens.
        seed: Seed of the embeddings of tokens that the published model lacks, drawn around the mean of the others.

    Raises:
        ValueError: The folder holds something else, or a network with a different structure.
    """
    folder = Path(folder)
    published = _published_config(folder, method)
    config = ARConfig(
        **_sizes(folder, published),
        method=method,
        vocab_size=len(tokenizer),
        pad_token_id=tokenizer.pad_token_id,
        mask_token_id=tokenizer.mask_token_id,
        pad_to=pad_to,
    )
    _check_header(folder, published)
    net = _published_network(folder, method)
    with torch.random.fork_rng([]), quiet():
        torch.manual_seed(seed)
        net.resize_token_embeddings(len(tokenizer))
        model = ARModel(config)
    own = model.net.state_dict()
    weights = {name: tensor[: len(own[name])] for name, tensor in net.state_dict().items()}  # positions may be more
    model.net.load_state_dict(weights)
    check_finite(folder, model)
    return model


def _published_config(folder: Path, method: str) -> Any:
    from transformers import AutoConfig

    for name in ("config.json", WEIGHTS_FILE):
        if not (folder / name).is_file():
            raise ValueError(
                f"--init-from {folder} holds no {name}; give a folder as save_pretrained of transformers writes it "
                "(weights as safetensors: pickles are never read)"
            )
    try:
        config = AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    except Exception as error:  # damaged files fail in many ways, and every one is the user's to repair
        raise ValueError(f"--init-from {folder}: config.json cannot be used: {str(error).splitlines()[0]}") from None
    if config.model_type != method:
        raise ValueError(
            f"--init-from {folder} holds a model of type {config.model_type!r}, and --baseline is {method}; "
            "gpt2 and bart can be taken up"
        )
    for name, wanted in ALIKE[method].items():
        if getattr(config, name) != wanted:
            raise ValueError(
                f"--init-from {folder} has {name} = {getattr(config, name)!r}, and the baseline {method} {wanted!r}; "
                "give a model that is built like it"
            )
    return config


def _sizes(folder: Path, config: Any) -> dict[str, Any]:
    """Sizes as options of :class:`ARConfig`."""
    if config.model_type == "gpt2":
        width, inner, dropout = config.n_embd, config.n_inner or 4 * config.n_embd, config.resid_pdrop
        sizes = {"num_heads": config.n_head, "layers": config.n_layer, "max_length": (config.n_positions - 2) // 2}
    else:
        width, inner, dropout = config.d_model, config.encoder_ffn_dim, config.dropout
        layers, more = config.encoder_layers + config.decoder_layers, config.encoder_layers - config.decoder_layers
        both_sides = {
            "attention heads": config.encoder_attention_heads - config.decoder_attention_heads,
            "widths of feed-forward layers": config.encoder_ffn_dim - config.decoder_ffn_dim,
            "layers": more if more != 1 else 0,
        }
        for name, difference in both_sides.items():
            if difference:
                raise ValueError(
                    f"--init-from {folder} has encoder and decoder of different {name}; give another model"
                )
        max_length = config.max_position_embeddings - 2
        sizes = {"num_heads": config.encoder_attention_heads, "layers": layers, "max_length": max_length}
    if inner % width:
        raise ValueError(f"--init-from {folder} has feed-forward layers {inner} wide, no multiple of its width {width}")
    return {"d_model": width, "ffn_mult": inner // width, "dropout": dropout, **sizes}


def _check_header(folder: Path, config: Any) -> None:
    """Compare config.json with the names and shapes in the weights' file, before anything that large is built.

    Raises:
        ValueError: They do not fit together.
    """
    from safetensors import safe_open

    layers: dict[str, int] = {}
    embeddings: set[tuple[int, ...]] = set()
    try:
        with safe_open(folder / WEIGHTS_FILE, "pt") as file:
            for name in file.keys():  # noqa: SIM118 (a safe_open is no mapping)
                if match := _LAYER.search(name):
                    layers[match[1]] = max(layers.get(match[1], 0), int(match[2]) + 1)
                if name.endswith(("wte.weight", "shared.weight", "embed_tokens.weight")):
                    embeddings.add(tuple(file.get_slice(name).get_shape()))
    except Exception as error:  # safetensors raises its own and others
        raise ValueError(f"--init-from {folder}: {WEIGHTS_FILE} cannot be read: {error}") from None
    _compare(folder, layers, embeddings, config)


def _compare(folder: Path, layers: Mapping[str, int], embeddings: set[tuple[int, ...]], config: Any) -> None:
    told = {"encoder.layers": "encoder_layers", "decoder.layers": "decoder_layers"}
    wanted = {"h": config.n_layer} if config.model_type == "gpt2" else {k: getattr(config, v) for k, v in told.items()}
    shape = (config.vocab_size, config.n_embd if config.model_type == "gpt2" else config.d_model)
    if dict(layers) != wanted or embeddings != {shape}:
        held = f"{dict(sorted(layers.items()))} layers and embeddings {sorted(embeddings)}"
        raise ValueError(
            f"--init-from {folder}: config.json and {WEIGHTS_FILE} do not fit together: {wanted} layers and embeddings "
            f"{shape} in the one, {held} in the other"
        )


def _published_network(folder: Path, method: str) -> Any:
    from transformers import BartForConditionalGeneration, GPT2LMHeadModel

    kind: Any = GPT2LMHeadModel if method == "gpt2" else BartForConditionalGeneration
    options: Any = {"local_files_only": True, "use_safetensors": True, "output_loading_info": True}
    try:
        with quiet(), torch.random.fork_rng([]):
            net, info = kind.from_pretrained(folder, dtype=torch.float32, **options)
    except Exception as error:
        raise ValueError(f"--init-from {folder}: cannot be loaded: {str(error).splitlines()[0]}") from None
    if missing := sorted(info["missing_keys"]):
        raise ValueError(f"--init-from {folder}: {WEIGHTS_FILE} lacks {', '.join(missing[:3])}; it is not whole")
    return net
