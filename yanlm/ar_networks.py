"""Networks of the autoregressive baselines: GPT-2 and BART of transformers, as small as the models beside them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from yanlm.autoregressive import ARConfig


def network(config: ARConfig) -> Any:
    """A network with random weights."""
    return _gpt2(config) if config.method == "gpt2" else _bart(config)


def _spread(config: ARConfig) -> float:
    """Standard deviation of fresh weights: the 0.02 of GPT-2's and BART's width of 768, at our width."""
    return 0.02 * (768 / config.d_model) ** 0.5


def _gpt2(config: ARConfig) -> Any:
    from transformers import GPT2Config, GPT2LMHeadModel

    return GPT2LMHeadModel(
        GPT2Config(
            vocab_size=config.vocab_size,
            n_positions=2 * config.max_length + 2,  # a source of masks and tokens in turn, and all its spans
            n_embd=config.d_model,
            n_layer=config.layers,
            n_head=config.num_heads,
            n_inner=config.ffn_mult * config.d_model,
            resid_pdrop=config.dropout,
            embd_pdrop=config.dropout,
            attn_pdrop=config.dropout,
            initializer_range=_spread(config),
            bos_token_id=config.mask_token_id,
            eos_token_id=config.pad_token_id,
            pad_token_id=config.pad_token_id,
        )
    )


def _bart(config: ARConfig) -> Any:
    from transformers import BartConfig, BartForConditionalGeneration

    return BartForConditionalGeneration(
        BartConfig(
            vocab_size=config.vocab_size,
            max_position_embeddings=config.max_length + 2,
            d_model=config.d_model,
            encoder_layers=config.layers - config.layers // 2,
            decoder_layers=config.layers // 2,
            encoder_attention_heads=config.num_heads,
            decoder_attention_heads=config.num_heads,
            encoder_ffn_dim=config.ffn_mult * config.d_model,
            decoder_ffn_dim=config.ffn_mult * config.d_model,
            dropout=config.dropout,
            init_std=_spread(config),
            bos_token_id=config.mask_token_id,
            eos_token_id=config.pad_token_id,
            pad_token_id=config.pad_token_id,
            decoder_start_token_id=config.mask_token_id,
            forced_eos_token_id=None,
        )
    )
