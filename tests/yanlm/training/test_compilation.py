"""Compiled blocks compute what plain ones do, and keep their names."""

from __future__ import annotations

import copy

import pytest
import torch
from stages import train

from yanlm.config import YanConfig
from yanlm.modeling.yan import YanModel
from yanlm.training.compilation import compile_blocks


def batch(rows: int, length: int) -> dict[str, torch.Tensor]:
    ids = torch.randint(20, (rows, length), generator=torch.Generator().manual_seed(length))
    mask = torch.arange(length) < torch.tensor([length - row % 3 for row in range(rows)]).unsqueeze(1)
    slots = torch.tensor([[1, 2]]).expand(rows, 2)
    source = ids.scatter(1, slots, 23)
    whole = torch.ones(rows, 2, dtype=torch.bool)
    return {"source_ids": source, "target_ids": ids, "target_mask": mask, "slots": slots, "slot_mask": whole}


def test_compiled_blocks_give_the_same_loss_and_gradients() -> None:
    config = YanConfig(vocab_size=24, d_model=16, num_heads=2, pad_token_id=22, mask_token_id=23, conv=3)
    torch.manual_seed(0)
    plain = YanModel(config)
    plain.prepare_stage(1)
    compiled = copy.deepcopy(plain)
    assert compile_blocks(compiled, backend="aot_eager") == config.encoder_layers + config.flow_layers
    assert compiled.state_dict().keys() == plain.state_dict().keys()
    for rows, length in ((3, 7), (2, 9)):
        losses = []
        for model in (plain, compiled):
            model.zero_grad()
            loss = model(**batch(rows, length), stage=1, seeds=list(range(rows))).loss
            loss.backward()
            losses.append(loss)
        torch.testing.assert_close(losses[1], losses[0], rtol=1e-5, atol=1e-6)
        for ours, theirs in zip(compiled.encoder.parameters(), plain.encoder.parameters(), strict=True):
            torch.testing.assert_close(ours.grad, theirs.grad, rtol=1e-4, atol=1e-6)


def test_a_model_without_named_blocks_is_refused(tmp_path) -> None:
    with pytest.raises(ValueError, match="compile is for models that name their blocks, and StandIn does not"):
        train(tmp_path, steps=1, compile=True)
