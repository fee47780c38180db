"""Generation as the paper describes it, written plainly: what our own generation must equal, and be measured against.

Float32 throughout. The gate has an evaluation of the trunk to itself; every step computes all K heads and keeps one,
and projects the source's keys and values anew; attention writes down its whole matrix of weights; a Mamba layer goes
token by token; the decoder computes the logits of every word at every slot. Weights and random numbers are those of a
:class:`yanlm.YanModel`, whose tokens it reproduces::

    yanlm bench --preset paper-transformer --lengths 64,512 --against reference

For measuring and testing alone. Users call ``model.generate``.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from moefm.generators import fork
from moefm.scope import group_mean, share_first
from yanlm.generation.result import Generation
from yanlm.nn.slots import slot_groups
from yanlm.seeding import EXPERT, NOISE, row_normal, sample_streams

SHORTEST = 0.02  # least 1 - t by which a predicted z1 is turned into a velocity


class Reference:
    """The same model, generated from slowly.

    Args:
        model: A flow with heads on a shared trunk, the paper's; any backbone, form, scope and prediction.

    Raises:
        ValueError: The model is of another kind.
    """

    def __init__(self, model: Any) -> None:
        config = model.config
        if config.method != "flow" or config.denoiser != "trunk" or config.experts != "heads":
            raise ValueError(
                "the reference generates from a flow with denoiser='trunk' and experts='heads', "
                f"got method {config.method!r}, denoiser {config.denoiser!r}, experts {config.experts!r}"
            )
        self.model, self.config, self.device = model.float().eval(), config, model.device
        self.flow, self.can = model.flow, model.can

    def parameters(self) -> Iterator[nn.Parameter]:
        """Weights, for whoever counts them."""
        return self.model.parameters()

    @torch.no_grad()
    def generate(
        self,
        source_ids: Tensor,
        *,
        slots: Tensor,
        seeds: Sequence[int],
        source_mask: Tensor | None = None,
        slot_mask: Tensor | None = None,
        wanted: Tensor | None = None,
        steps: int = 3,
        routing: str = "frozen",
    ) -> Generation:
        """Fill slots ``(B, M)`` of a source ``(B, S)`` by Euler steps; arguments are those of ``YanModel.generate``."""
        sources = torch.ones_like(source_ids, dtype=torch.bool) if source_mask is None else source_mask
        places = torch.ones_like(slots, dtype=torch.bool) if slot_mask is None else slot_mask
        states = self.encode(source_ids, sources)
        flow = _Flow(self.model, states, sources, slots, places)
        noise, draws = (sample_streams(seeds, 1, salt) for salt in (NOISE, EXPERT))
        z = row_normal(noise, places, self.config.d_model).to(states)
        expert = None
        if routing in ("frozen", "greedy"):  # the gate's own evaluation, at t = 0
            logits = flow.gate(z, 0.0)
            expert = logits.argmax(-1) if routing == "greedy" else flow.draw(logits, draws)
        for step in range(steps):
            t = step / steps
            velocities = flow.velocities(z, t)  # of all experts, (B, M, K, d)
            logits = None if routing in ("frozen", "greedy") else flow.gate(z, t)
            if routing == "mean":
                z = z + (logits.softmax(-1).unsqueeze(-1) * velocities).sum(-2) / steps
                continue
            if routing == "resampled":
                expert = flow.draw(logits, draws)
            elif routing == "argmax":
                expert = logits.argmax(-1)
            z = z + velocities.gather(-2, expert[..., None, None].expand_as(velocities[..., :1, :])).squeeze(-2) / steps
        decoder = self.model.decoder
        logits = decoder.head(z + decoder.ffn(z))  # (B, M, V)
        held = places if wanted is None else wanted  # computed for all of them
        tokens = logits.argmax(-1).masked_fill(~held, self.config.pad_token_id or 0)
        return Generation(tokens.unsqueeze(1), None if routing == "mean" else expert.unsqueeze(1), steps)

    def encode(self, ids: Tensor, mask: Tensor) -> Tensor:
        """States of the source ``(B, S, d)``."""
        encoder, at = self.model.encoder, torch.arange(ids.shape[1], device=ids.device)
        x = encoder.embedding(ids)
        if self.model.positions is not None:
            x = x + self.model.positions.table[at]
        for block in encoder.blocks:
            x = _block(block, x, mask, at if encoder.is_rotary else None)
        return encoder.norm(x) * mask.unsqueeze(-1)


class _Flow:
    """The flow over the slots of a source that was read."""

    def __init__(self, model: Any, states: Tensor, source_mask: Tensor, slots: Tensor, mask: Tensor) -> None:
        self.flow, self.states, self.source_mask, self.mask = model.flow, states, source_mask, mask
        self.at = slots if self.flow.is_rotary else None
        self.scope = slot_groups(slots, self.flow.scope)
        self.pooled = states.sum(1, keepdim=True) / source_mask.sum(1).clamp_min(1)[:, None, None]
        self.start = model.positions.table[slots] if model.positions is not None else 0.0
        self.guess: Tensor | None = None
        if self.flow.align is not None:
            self.guess = states.gather(1, slots.unsqueeze(-1).expand(-1, -1, states.shape[-1]))
            self.start = self.start + self.flow.align(self.guess)

    def trunk(self, z: Tensor, t: float) -> tuple[Tensor, Tensor]:
        """Last states ``(B, M, d)`` and the embedded time ``(d_time,)``."""
        time, flow = self.flow.time, self.flow
        index = torch.arange(time.frequencies, device=z.device)
        angle = 1000 * torch.tensor(t, device=z.device) * 10000.0 ** (-index / time.frequencies)
        embedded = F.gelu(time.linear(torch.cat([angle.sin(), angle.cos()])))
        x = flow.inputs(z) + self.start
        for block in flow.blocks:
            x = _block(block, x, self.mask, self.at, embedded, self.states, self.source_mask)
        return _norm(x, flow.norm, embedded), embedded

    def gate(self, z: Tensor, t: float) -> Tensor:
        """Logits of the experts ``(B, M, K)``, equal within a group of slots."""
        hidden, time = self.trunk(z, t)
        if self.flow.gating is None:
            return hidden.new_zeros(*hidden.shape[:-1], 1)
        seen = [hidden, self.pooled.expand_as(hidden), time.expand(*hidden.shape[:-1], -1)]
        gating = self.flow.gating
        logits = gating.last(F.silu(gating.first(torch.cat(seen, -1)))) / gating.temperature
        return group_mean(logits, self.scope, self.mask)

    def draw(self, logits: Tensor, streams: Sequence[torch.Generator]) -> Tensor:
        """Experts ``(B, M)``, a uniform number for each group of slots."""
        numbers = torch.stack([torch.rand(logits.shape[1], generator=fork(stream)) for stream in streams])
        below = logits.softmax(-1).cumsum(-1)[..., :-1] <= share_first(numbers.to(logits), self.scope).unsqueeze(-1)
        return below.sum(-1)

    def velocities(self, z: Tensor, t: float) -> Tensor:
        """Of all experts, ``(B, M, K, d)``."""
        hidden, _ = self.trunk(z, t)
        first, last = self.flow.head_layers.first, self.flow.head_layers.last
        outputs = []
        for expert in range(self.flow.num_experts):
            inner = F.gelu(F.linear(hidden, first.weight[expert], first.bias[expert]))
            outputs.append(F.linear(inner, last.weight[expert], last.bias[expert]))
        output = torch.stack(outputs, -2)
        if not self.flow.predicts_data:
            return output
        start = z if self.guess is None else z - self.guess
        return (output - start.unsqueeze(-2)) / max(1 - t, SHORTEST)


def _block(
    block: Any,
    x: Tensor,
    mask: Tensor,
    at: Tensor | None,
    time: Tensor | None = None,
    states: Tensor | None = None,
    states_mask: Tensor | None = None,
) -> Tensor:
    """Mixer, cross-attention, feed-forward layer, each on a norm and added to what it reads."""
    y = _norm(x, block.mixer_norm, time)
    x = x + (_both_ways(y, block.mixer, mask) if hasattr(block.mixer, "forward_mixer") else _self(y, block, mask, at))
    if block.cross is not None:
        cross, y = block.cross, _norm(x, block.cross_norm, time)
        k, v = cross.kv(states).chunk(2, -1)
        places = None if at is None else torch.arange(k.shape[1], device=k.device)
        x = x + cross.out(_attention(cross.q(y), k, v, cross.heads, states_mask, at, places))
    return x + block.ffn(_norm(x, block.ffn_norm, time))


def _self(x: Tensor, block: Any, mask: Tensor, at: Tensor | None) -> Tensor:
    layer = block.mixer
    if layer.conv is not None:
        x = _neighbours(x, layer.conv.weight, mask)
    return layer.out(_attention(*layer.qkv(x).chunk(3, -1), layer.heads, mask, at, at))


def _attention(
    q: Tensor, k: Tensor, v: Tensor, heads: int, mask: Tensor, at: Tensor | None, places: Tensor | None
) -> Tensor:
    """Every query's weight for every key, written down; a row without keys gives zeros."""
    q, k, v = (x.unflatten(-1, (heads, -1)).transpose(1, 2) for x in (q, k, v))
    if at is not None and places is not None:
        q, k = _turned(q, at), _turned(k, places)
    scores = q @ k.transpose(-1, -2) / q.shape[-1] ** 0.5
    weights = scores.masked_fill(~mask[:, None, None, :], -torch.inf).softmax(-1).nan_to_num(0)
    return (weights @ v).transpose(1, 2).flatten(-2)


def _turned(x: Tensor, at: Tensor) -> Tensor:
    """Rotary positions: pairs of numbers turned by angles that follow the position."""
    half = x.shape[-1] // 2
    rates = 10000.0 ** (-torch.arange(half, device=x.device) / half)
    angle = at.unsqueeze(-1) * rates
    angle = angle if at.ndim == 1 else angle.unsqueeze(1)
    a, b = x[..., :half], x[..., half:]
    return torch.cat([a * angle.cos() - b * angle.sin(), a * angle.sin() + b * angle.cos()], -1)


def _neighbours(x: Tensor, weight: Tensor, mask: Tensor) -> Tensor:
    """Every token and a weighted sum of those beside it."""
    x = x * mask.unsqueeze(-1)
    near = F.conv1d(x.transpose(1, 2), weight.t().unsqueeze(1), padding=len(weight) // 2, groups=x.shape[-1])
    return x + near.transpose(1, 2)


def _both_ways(x: Tensor, mixer: Any, mask: Tensor) -> Tensor:
    """Two Mambas over the tokens of each row, left to right and right to left; padding comes after all tokens."""
    at = torch.arange(x.shape[1], device=x.device).expand_as(mask)
    behind = x.shape[1] + at
    orders = (torch.where(mask, key, behind).argsort(1).unsqueeze(-1).expand_as(x) for key in (at, -at))
    sides = []
    for order, layer in zip(orders, (mixer.forward_mixer, mixer.backward_mixer), strict=True):
        sides.append(torch.zeros_like(x).scatter(1, order, _mamba(x.gather(1, order), layer)))
    return mixer.proj(torch.cat(sides, -1)) * mask.unsqueeze(-1)


def _mamba(x: Tensor, layer: Any) -> Tensor:
    """One Mamba over texts ``(B, L, d)``, one token after the other."""
    u, z = layer.in_proj(x).chunk(2, -1)
    u = F.silu(layer.conv1d(u.transpose(1, 2))[..., : x.shape[1]].transpose(1, 2))
    dt, B, C = layer.x_proj(u).split([layer.dt_rank, layer.d_state, layer.d_state], -1)
    dt, A = F.softplus(layer.dt_proj(dt)), -layer.A_log.exp()
    h, ys = x.new_zeros(len(x), *A.shape), []
    for i in range(x.shape[1]):
        h = torch.exp(dt[:, i].unsqueeze(-1) * A) * h + (dt[:, i] * u[:, i]).unsqueeze(-1) * B[:, i].unsqueeze(1)
        ys.append((h @ C[:, i].unsqueeze(-1)).squeeze(-1) + layer.D * u[:, i])
    return layer.out_proj(torch.stack(ys, 1) * F.silu(z))


def _norm(x: Tensor, norm: Any, time: Tensor | None) -> Tensor:
    if norm.modulation is None:
        return norm.norm(x)
    scale, shift = norm.modulation(time).chunk(2, -1)
    return norm.norm(x) * (1 + scale) + shift
