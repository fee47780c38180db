"""The latent flow: padding changes nothing, and one head is that of all heads."""

from __future__ import annotations

from collections.abc import Callable

import torch
from toys import trimmed

from yanlm.modeling.yan import YanModel

Make = Callable[..., YanModel]


def test_padding_never_changes_a_velocity_or_a_gate(model: YanModel, batch: dict[str, torch.Tensor]) -> None:
    def evaluate(part: dict[str, torch.Tensor], z: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        states = model.encode(part["source_ids"], part["source_mask"])
        cond = model.flow.condition(states, part["source_mask"], part["slots"], part["slot_mask"], model.positions)
        return model.flow(z, 0.3, cond)

    z = torch.randn(*batch["slots"].shape, 16, generator=torch.Generator().manual_seed(0))
    velocities, logits = evaluate(batch, z)
    assert velocities.shape == (*batch["slots"].shape, model.config.num_experts, 16)
    for row in range(3):
        one = trimmed(batch, row)
        count = one["slots"].shape[1]
        alone, gate = evaluate(one, z[row : row + 1, :count])
        torch.testing.assert_close(velocities[row : row + 1, :count], alone, atol=5e-6, rtol=1e-4)
        torch.testing.assert_close(logits[row : row + 1, :count], gate, atol=5e-6, rtol=1e-4)


def test_one_head_is_that_of_all_heads(model: YanModel, batch: dict[str, torch.Tensor]) -> None:
    states = model.encode(batch["source_ids"], batch["source_mask"])
    cond = model.flow.condition(states, batch["source_mask"], batch["slots"], batch["slot_mask"], model.positions)
    features = model.flow.trunk(torch.randn(*batch["slots"].shape, 16), torch.tensor([0.0, 0.5, 0.9]), cond)
    index = torch.randint(model.config.num_experts, batch["slots"].shape)
    if model.config.scope == "sequence":  # one expert a text
        index = index[:, :1].expand_as(index)
    chosen = model.flow.heads(features).take_along_dim(index[..., None, None], -2).squeeze(-2)
    torch.testing.assert_close(model.flow.head(features, index), chosen, atol=1e-5, rtol=1e-4)


def test_one_map_makes_the_modulations_of_all_norms(model: YanModel, batch: dict[str, torch.Tensor]) -> None:
    """Without gradients; with them, or where a map is more than its weights, every norm has its own."""
    ids, mask, slots, slot_mask = (batch[name] for name in ("source_ids", "source_mask", "slots", "slot_mask"))
    calls: list[int] = []
    z, index = torch.randn(*slots.shape, model.config.d_model), torch.zeros_like(slots)

    def velocity() -> torch.Tensor:
        cond = model.condition(model.encode(ids, mask), ids, mask, slots, slot_mask)
        return model.flow.head(model.flow.trunk(z, 0.3, cond), index)[slot_mask]

    wanted = velocity()
    with torch.no_grad():
        together = velocity()
        handle = model.flow.norm.modulation.register_forward_hook(lambda *_: calls.append(1))  # type: ignore[union-attr]
        apart = velocity()
        handle.remove()
    torch.testing.assert_close(together, wanted, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(apart, wanted, atol=1e-5, rtol=1e-4)
    assert calls == [1]
    assert torch.autograd.grad(wanted.sum(), model.flow.norm.modulation.weight)[0].abs().max() > 0  # type: ignore[union-attr]
    with torch.no_grad():
        cond = model.condition(model.encode(ids, mask), ids, mask, slots, slot_mask)
    late = model.flow.head(model.flow.trunk(z, 0.3, cond), index)[slot_mask].sum()
    assert torch.autograd.grad(late, model.flow.norm.modulation.weight)[0].abs().max() > 0  # type: ignore[union-attr]
