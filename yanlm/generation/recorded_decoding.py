"""Writing token by token on a GPU: keys and values of a fixed size, and one recorded graph of kernels for every token.

Without it a GPU waits for the host at every kernel of every layer, and comparisons with a model that writes all its
words at once would flatter that model.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import torch
from torch import Tensor
from transformers import DynamicCache, EncoderDecoderCache, StaticCache

if TYPE_CHECKING:
    from yanlm.nn.ar_network import ARNetwork

T = TypeVar("T")
Step = Callable[[], Tensor]
AHEAD = 2
"""Tokens that are written before the recording, while libraries choose their kernels."""


class RecordedDecoder:
    """A decoder whose every step has the same shapes and writes into the same memory.

    Args:
        model: GPT-2 or BART.
        ids: Prefixes ``(B, P)``; padded on the left for GPT-2, on the right for BART, whose encoder reads them.
        seen: ``(B, P)``, True = a token.
        encoded: What BART's encoder made of them.
        most: Tokens that will be written.
        record: Turns a step into a recording of it, :func:`cuda_graph`.
    """

    def __init__(
        self, model: ARNetwork, ids: Tensor, seen: Tensor, encoded: Any, most: int, record: Callable[[Step], Step]
    ) -> None:
        self.net, self.seen, self.encoded, self.record = model.net, seen, encoded, record
        self.prefix = ids[:, :0] if model.has_encoder else ids
        before = self.prefix.shape[1]
        config = self.net.config
        self.cache: Any = StaticCache(config=config, max_cache_len=before + most)
        if model.has_encoder:
            self.cache = EncoderDecoderCache(self.cache, DynamicCache(config=config))
        self.visible = torch.zeros(len(ids), before + most, dtype=torch.bool, device=ids.device)
        self.visible[:, :before] = seen[:, :before] if before else False
        self.at = torch.tensor([before], device=ids.device)
        self.token = torch.zeros(len(ids), 1, dtype=torch.long, device=ids.device)
        self.run: Step = self._step
        self.written = 0

    def __call__(self, tokens: Tensor) -> Tensor:
        """Append a token to every row ``(B,)``; logits of the next one ``(B, V)``, which the next call writes over."""
        self.token.copy_(tokens.unsqueeze(1))
        self.written += 1
        if self.written == 1 and self.prefix.shape[1]:
            return self._first()
        if self.written == 1 + AHEAD:
            self.run = self.record(self._step)
        return self.run()

    def _first(self) -> Tensor:
        """Read the prefix and the first token."""
        ids = torch.cat([self.prefix, self.token], 1)
        self._show()
        here = torch.arange(ids.shape[1], device=ids.device).unsqueeze(1)
        there = torch.arange(self.visible.shape[1], device=ids.device)
        mask = (self.visible.unsqueeze(1) & (there <= here)) | (there == here)  # padding sees itself, not nothing
        at = (self.visible[:, : ids.shape[1]].cumsum(1) - 1).clamp_min(0)
        return self._logits(self._decode(ids, mask.unsqueeze(1), at))

    def _step(self) -> Tensor:
        self._show()
        return self._logits(self._decode(self.token, self.visible[:, None, None], self.visible.sum(1, True) - 1))

    def _show(self) -> None:
        """From now on the place of the new token is seen."""
        self.visible.index_fill_(1, self.at, True)
        self.at.add_(1)

    def _decode(self, ids: Tensor, mask: Tensor, at: Tensor) -> Any:
        if self.encoded is None:
            return self.net.transformer(
                ids, attention_mask=mask, position_ids=at, past_key_values=self.cache, use_cache=True
            )
        return self.net.model.decoder(
            ids, attention_mask=mask, encoder_hidden_states=self.encoded.last_hidden_state,
            encoder_attention_mask=self.seen[:, None, None], past_key_values=self.cache, use_cache=True,
        )  # fmt: skip

    def _logits(self, out: Any) -> Tensor:
        logits: Tensor = self.net.lm_head(out.last_hidden_state[:, -1])
        return logits


def cuda_graph(step: Callable[[], T]) -> Callable[[], T]:
    """Record a step as a CUDA graph; the recording writes its result into the same tensors every time."""
    graph = torch.cuda.CUDAGraph()
    torch.cuda.synchronize()
    with torch.cuda.graph(graph, capture_error_mode="thread_local"):
        result = step()

    def replay() -> T:
        graph.replay()
        return result

    return replay
