"""Networks of the autoregressive baselines: GPT-2 and BART of transformers, as small as the models beside them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

from torch import Tensor, nn
from transformers import PreTrainedModel

from yanlm.config import ARConfig, check_new_size
from yanlm.nn.ar_layout import Prefix, prefixes
from yanlm.seeding import kept
from yanlm.tokenization.collation import padded


class ARNetwork(PreTrainedModel):
    """Network of :class:`yanlm.modeling.autoregressive.ARModel`, and how it reads a text; no loss and no generation.

    Attributes:
        net: GPT-2 or BART of transformers.
        has_encoder: Whether an encoder of its own reads the source.
    """

    config_class = ARConfig
    base_model_prefix = "net"
    main_input_name = "source_ids"
    supports_gradient_checkpointing = True
    _supports_sdpa = True

    def __init__(self, config: ARConfig) -> None:
        super().__init__(config)
        self.net: Any = _gpt2(config) if config.method == "gpt2" else _bart(config)
        self.has_encoder = bool(self.net.config.is_encoder_decoder)
        self.post_init()

    def _init_weights(self, module: nn.Module) -> None:
        """Nothing: the network initializes itself."""

    def get_input_embeddings(self) -> nn.Module:
        """Return the token embedding."""
        return cast(nn.Module, self.net.get_input_embeddings())

    def set_input_embeddings(self, value: nn.Module) -> None:
        """Replace the token embedding."""
        self.net.set_input_embeddings(value)

    def get_output_embeddings(self) -> nn.Module:
        """Return the map to the vocabulary."""
        return cast(nn.Module, self.net.lm_head)

    def set_output_embeddings(self, value: nn.Module) -> None:
        """Replace the map to the vocabulary."""
        self.net.lm_head = value

    def resize_token_embeddings(self, new_num_tokens: int | None = None, *args: Any, **kwargs: Any) -> nn.Embedding:
        """Give the network another number of tokens, as :meth:`transformers.PreTrainedModel.resize_token_embeddings`.

        Raises:
            ValueError: Padding or mask would have no place any more.
        """
        check_new_size(self.config, new_num_tokens)
        embedding = cast(nn.Embedding, self.net.resize_token_embeddings(new_num_tokens, *args, **kwargs))
        self.config.vocab_size = embedding.num_embeddings
        return embedding

    def read(
        self, source_ids: Tensor, slots: Tensor, source_mask: Tensor | None = None, slot_mask: Tensor | None = None
    ) -> list[Prefix]:
        """Prefix of every row, :func:`yanlm.nn.ar_layout.prefixes`.

        Raises:
            ValueError: A source is longer than the model takes.
        """
        if source_ids.shape[1] > self.config.max_length:
            raise ValueError(
                f"source_ids must hold at most max_length={self.config.max_length} tokens a row, "
                f"got {source_ids.shape[1]}"
            )
        return prefixes(source_ids, slots, source_mask, slot_mask)

    def states(self, before: Sequence[Prefix], answers: Sequence[list[int]]) -> Tensor:
        """States ``(N, d)`` from which every token of every answer is predicted, row after row."""
        return self.answer_states(before, answers)[0]

    def answer_states(
        self,
        before: Sequence[Prefix],
        answers: Sequence[list[int]],
        share: float = 0,
        seeds: Sequence[int] | None = None,
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """States of the answers' tokens, and those of a ``share`` of the sources' tokens, with these tokens."""
        pad, mask = self.config.pad_token_id, self.config.mask_token_id
        written = [[mask, *ids[:-1]] for ids in answers]  # each token is read off the one before it
        wanted = [[bool(ids)] * len(own) for ids, own in zip(answers, written, strict=True)]
        if self.has_encoder:
            ids, seen = padded([prefix.ids for prefix in before], pad, self.device)
            own, held = padded(written, pad, self.device)
            out = self.net.model(ids, seen, decoder_input_ids=own, decoder_attention_mask=held, use_cache=False)
            states = out.last_hidden_state
            return states[self._where(wanted)], (states[:0, 0], ids[:0, 0])
        ids, seen = padded([prefix.ids + own for prefix, own in zip(before, written, strict=True)], pad, self.device)
        states = self.net.transformer(ids, attention_mask=seen, use_cache=False).last_hidden_state
        read = self._where([[id != mask for id in prefix.ids[1:]] for prefix in before], ids.shape[1])
        read &= kept(read, share, range(len(before)) if seeds is None else seeds)
        wanted = [[False] * len(prefix.ids) + here for prefix, here in zip(before, wanted, strict=True)]
        return states[self._where(wanted)], (states[read], ids.roll(-1, 1)[read])

    def _where(self, rows: Sequence[Sequence[bool]], width: int = 0) -> Tensor:
        """Rows of booleans as a mask, at least ``width`` columns wide."""
        mask = padded(rows, False, self.device)[0]
        return nn.functional.pad(mask, (0, max(0, width - mask.shape[1])))


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
