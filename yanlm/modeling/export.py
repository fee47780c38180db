"""Encoder and flow as programs of ``torch.export``, for any number of texts, tokens and slots."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram

if TYPE_CHECKING:
    from yanlm.nn.network import YanNetwork


class EncoderProgram(nn.Module):
    """Tokens ``(B, S)`` and their mask to states ``(B, S, d)``."""

    def __init__(self, model: YanNetwork) -> None:
        super().__init__()
        self.model = model

    def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
        """Encode."""
        return self.model.encode(ids, mask)


class FlowProgram(nn.Module):
    """What one evaluation of a flow behind its encoder gives."""

    def __init__(self, model: YanNetwork) -> None:
        super().__init__()
        self.model = model

    def forward(
        self, z: Tensor, t: Tensor, states: Tensor, ids: Tensor, mask: Tensor, slots: Tensor, slot_mask: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Velocities of all experts ``(B, M, K, d)`` and logits of the gate ``(B, M, K)``.

        Args:
            z: Latents at the slots ``(B, M, d)``.
            t: Times ``(B,)``.
            states: What the encoder's program gives ``(B, S, d)``.
            ids: Tokens ``(B, S)``.
            mask: ``(B, S)``, True = a token.
            slots: Positions ``(B, M)``.
            slot_mask: ``(B, M)``, True = a slot.
        """
        cond = self.model.condition(states, ids, mask, slots, slot_mask)
        features = self.model.flow.trunk(z, t, cond)
        return self.model.flow.heads(features), self.model.flow.gate_logits(features)


def export_encoder(model: YanNetwork) -> ExportedProgram:
    """The encoder: ``ids`` and ``mask`` ``(B, S)`` to states ``(B, S, d)``.

    Raises:
        ValueError: The model has the Mamba backbone.

    Example:
        >>> from yanlm import YanConfig, YanModel
        >>> model = YanModel(YanConfig(vocab_size=50, d_model=16, num_heads=2, pad_token_id=48, mask_token_id=49))
        >>> program = export_encoder(model.eval())
        >>> program.module()(torch.tensor([[5, 49, 7]]), torch.ones(1, 3, dtype=torch.bool)).shape
        torch.Size([1, 3, 16])
    """
    _check_backbone(model)
    ids, mask, *_ = _sample(model)
    shape = {0: Dim("texts", max=4096), 1: Dim("tokens", max=model.config.max_length)}
    return torch.export.export(EncoderProgram(model), (ids, mask), dynamic_shapes=(shape, shape))


def export_flow(model: YanNetwork) -> ExportedProgram:
    """One evaluation of the flow, as :class:`FlowProgram`.

    Raises:
        ValueError: The model has no flow behind its encoder, or the Mamba backbone.
    """
    if model.flow is None or model.config.denoiser == "encoder":
        raise ValueError("export_flow needs a flow behind its encoder; of other models export the encoder")
    _check_backbone(model)
    ids, mask, slots, slot_mask = _sample(model)
    states = model.encode(ids, mask)
    z = torch.zeros(*slots.shape, model.config.d_model, dtype=states.dtype, device=states.device)
    texts, tokens = Dim("texts", max=4096), Dim("tokens", max=model.config.max_length)
    source, places = {0: texts, 1: tokens}, {0: texts, 1: Dim("slots", max=model.config.max_length)}
    shapes = (places, {0: texts}, source, source, source, places, places)
    given = (z, z.new_full((len(z),), 0.25), states, ids, mask, slots, slot_mask)
    return torch.export.export(FlowProgram(model), given, dynamic_shapes=shapes)


def _check_backbone(model: YanNetwork) -> None:
    if model.config.backbone == "mamba":
        raise ValueError("backbone must be transformer: the scan of mamba is cut into pieces that depend on the shapes")


def _sample(model: YanNetwork) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Two texts of seven tokens and three slots: a program is traced once and takes other numbers."""
    ids = torch.zeros(2, 7, dtype=torch.long, device=model.device)
    slots = torch.tensor([[1, 3, 4]] * 2, device=model.device)
    return ids, torch.ones_like(ids, dtype=torch.bool), slots, torch.ones_like(slots, dtype=torch.bool)
