"""The latent flow: a trunk of time-modulated blocks over noisy latents, K expert heads and a gate for every token."""

from __future__ import annotations

import math
from typing import NamedTuple, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from moefm import Gate, MixtureField
from moefm.experts import Dispatch, ExpertLinear, check_index
from moefm.paths import expand_time
from yanlm.config import YanConfig
from yanlm.nn.autoencoder import Positions
from yanlm.nn.blocks import Block, rotary
from yanlm.nn.condition import Condition, pool
from yanlm.nn.norms import Change, Modulations, Norm
from yanlm.nn.slots import gather_tokens, slot_groups

SHORTEST = 0.02
"""Least 1 - t by which a predicted z1 is turned into a velocity; Euler grids of up to 50 steps never meet it."""


class Features(NamedTuple):
    """One evaluation of the trunk: everything that heads and gate read."""

    hidden: Tensor  # (B, M, d); where experts modulate the trunk, its input
    gate: Tensor  # (B, M, 2 d + d_time)
    z: Tensor  # (B, M, d)
    remaining: Tensor  # 1 - t, (B, M, 1)
    time: Tensor  # (1 or B, 1, d_time)
    cond: Condition


class TimeEmbedding(nn.Module):
    """Sinusoids of t, a linear layer, GELU."""

    def __init__(self, width: int, frequencies: int = 64) -> None:
        super().__init__()
        self.frequencies = frequencies
        self.linear = nn.Linear(2 * frequencies, width)

    def forward(self, t: Tensor) -> Tensor:
        """Embed times ``(*, 1)`` as ``(*, width)``."""
        rates = torch.exp(-math.log(1e4) * torch.arange(self.frequencies, device=t.device) / self.frequencies)
        angle = 1000 * t.float() * rates
        return F.gelu(self.linear(torch.cat([angle.sin(), angle.cos()], -1).to(self.linear.weight.dtype)))


class Experts(nn.Module):
    """K feed-forward heads d to d on the shared trunk."""

    def __init__(self, num_experts: int, width: int, mult: int) -> None:
        super().__init__()
        self.first = ExpertLinear(num_experts, width, mult * width)
        self.last = ExpertLinear(num_experts, mult * width, width)
        with torch.no_grad():  # first predictions are small, whatever they are added to
            for parameter in self.last.parameters():
                parameter.mul_(0.3)

    def forward(self, hidden: Tensor) -> Tensor:
        """Outputs of all experts ``(*, K, d)``, each for its own state ``(*, K, d)``."""
        out: Tensor = self.last(F.gelu(self.first(hidden)))
        return out

    def shared(self, hidden: Tensor) -> Tensor:
        """Outputs of all experts ``(*, K, d)`` of one state ``(*, d)``."""
        out: Tensor = self.last(F.gelu(self.first.shared(hidden)))
        return out

    def chosen(self, hidden: Tensor, index: Tensor) -> Tensor:
        """Output of expert ``index`` ``(*,)`` only, ``(*, d)``."""
        check_index("index", index, hidden.shape[:-1], len(self.first.weight))
        dispatch = Dispatch(index.flatten().long(), len(self.first.weight))
        rows = dispatch.gather(hidden.reshape(-1, hidden.shape[-1]))
        rows = self.last.sorted(F.gelu(self.first.sorted(rows, dispatch)), dispatch)
        return dispatch.scatter(rows).reshape(hidden.shape)


class LatentFlow(MixtureField):
    r"""The mixture field of token latents, conditioned on an encoded source (sections 3.2, 4.1; Fig. 1).

    States are ``(B, M, d)``, one for every slot to fill. Every slot has its own gate and expert, unless the
    configuration's ``scope`` lets a span or all slots of a text share one. In the paper experts are heads on a shared
    trunk. With ``experts="trunk"`` each also modulates the norms of the whole trunk, so that it can look for other
    things in the source, and the gate reads the trunk's input. With ``experts="source"`` each expert also makes the
    encoder read the source again, with its own mark added to the masks. What the encoder knows about given words then
    applies to the words that the expert stands for. The gate reads the source without marks.

    Args:
        config: Sizes, backbone, K, prediction.
    """

    def __init__(self, config: YanConfig) -> None:
        super().__init__()
        d, self.num_experts = config.d_model, config.num_experts
        self.head_dim = d // config.num_heads
        self.is_rotary = config.positions == "rotary"
        self.scope = config.scope
        self.predicts_data = config.prediction == "data"
        self.inputs = nn.Linear(d, d)
        self.align = nn.Linear(d, d) if config.align else None
        self.time = TimeEmbedding(config.d_time)
        cross = set(config.cross_layers)
        self.blocks = nn.ModuleList(Block(config, config.d_time, cross=i in cross) for i in range(config.flow_layers))
        self.norm = Norm(d, config.d_time)
        self.modulations = None
        self.marks = None
        if config.experts != "heads" and self.num_experts > 1:
            self.modulations = nn.Parameter(torch.randn(self.num_experts, config.d_time))
        if config.experts == "source" and self.num_experts > 1:
            self.marks = nn.Parameter(torch.randn(self.num_experts, d) * d**-0.5)  # as large as embeddings
        self.head_layers = Experts(self.num_experts, d, config.ffn_mult)
        self.gating = Gate(2 * d + config.d_time, self.num_experts, hidden=d) if self.num_experts > 1 else None

    def condition(
        self,
        states: Tensor,
        source_mask: Tensor | None,
        slots: Tensor,
        slot_mask: Tensor | None = None,
        positions: Positions | None = None,
    ) -> Condition:
        """Prepare an encoded source for the flow.

        Args:
            states: Encoding of the source ``(B, S, d)``.
            source_mask: Boolean ``(B, S)``, True = a token.
            slots: Positions of the slots in the target (and, with ``align``, in the source) ``(B, M)``.
            slot_mask: Boolean ``(B, M)``, True = a slot.
            positions: The learned position table, if the model has one.
        """
        places = torch.arange(states.shape[1], device=states.device)
        at = rotary(places, self.head_dim) if self.is_rotary else None
        readers = [cast(Block, block).cross for block in self.blocks]
        sources = tuple(cross.read(states, at) for cross in readers if cross is not None)
        guess = None if self.align is None else gather_tokens(states, slots)
        start = None if self.align is None else self.align(guess)
        if positions is not None:
            start = positions(slots) if start is None else start + positions(slots)
        own = rotary(slots, self.head_dim) if self.is_rotary else None
        groups = slot_groups(slots, self.scope)
        cond = Condition(sources, source_mask, start, guess, pool(states, source_mask), own, slot_mask, groups)
        if torch.is_grad_enabled() or self.modulations is not None:
            return cond
        norms = [norm for block in self.blocks for norm in cast(Block, block).norms]
        return cond._replace(modulations=Modulations.joined([*norms, self.norm]))

    def trunk(self, z: Tensor, t: Tensor | float, cond: Condition | None = None) -> Features:
        """One evaluation of the shared blocks at states ``(B, M, d)``."""
        if cond is None:
            raise ValueError("cond must be given: LatentFlow.condition(...) makes it")
        t = torch.as_tensor(t, device=z.device, dtype=torch.float32)
        time = self.time(t.reshape(*t.shape, *(1,) * (2 - t.ndim), 1))  # (1, 1, d_time) where one time serves all
        x = self._begin(z, cond)
        hidden = self._through(x, time, cond) if self.modulations is None else x
        seen = [hidden, cond.pooled.expand_as(x), time.expand(*x.shape[:-1], -1)]
        gate = torch.cat(seen, -1) if self.gating is not None else x
        return Features(hidden, gate, z, 1 - expand_time(t, z), time, cond)

    def _begin(self, z: Tensor, cond: Condition) -> Tensor:
        """The trunk's input."""
        x: Tensor = self.inputs(z)
        return x if cond.start is None else x + cond.start

    def _through(self, x: Tensor, time: Tensor, cond: Condition) -> Tensor:
        """Blocks and last norm."""
        sources = iter(cond.sources)
        changes: tuple[Change, ...] = ()
        if cond.modulations is not None and not torch.is_grad_enabled():
            changes = cond.modulations.at(time, x.shape[-1])
        for block in self.blocks:
            source = next(sources) if block.cross is not None else None
            count = len(cast(Block, block).norms)
            own, changes = changes[:count], changes[count:]
            x = block(x, cond.mask, cond.at, own or time, source, cond.source_mask)
        out: Tensor = self.norm(x, *(changes or (time,)))
        return out

    def _velocity(self, output: Tensor, features: Features, guess: Tensor | None) -> Tensor:
        r"""What a head means as a velocity: itself, or :math:`(\hat z_1 - z_t) / (1 - t)`.

        Where the source has a state at the slot, :math:`\hat z_1` is that state plus the head's correction: the flow
        begins at what the encoder guesses and learns what is wrong with it.
        """
        if not self.predicts_data:
            return output
        z, remaining = features.z, features.remaining.clamp_min(SHORTEST)
        if output.ndim > z.ndim:
            z, remaining = z.unsqueeze(-2), remaining.unsqueeze(-2)
        return (output - (z if guess is None else z - guess)) / remaining

    def heads(self, features: Features) -> Tensor:
        """Velocities of all experts, ``(B, M, K, d)``."""
        cond = features.cond
        if self.modulations is None:
            guess = None if cond.guess is None else cond.guess.unsqueeze(-2)
            return self._velocity(self.head_layers.shared(features.hidden), features, guess)
        rows, experts = len(features.z), self.num_experts
        cond = cond.repeated(experts) if cond.readings is None else cond.readings.every(rows)
        time = (features.time.expand(rows, -1, -1).unsqueeze(1) + self.modulations[:, None]).flatten(0, 1)
        hidden = self._through(self._begin(features.z.repeat_interleave(experts, 0), cond), time, cond)

        def apart(x: Tensor) -> Tensor:
            return x.unflatten(0, (rows, experts)).transpose(1, 2)

        guess = None if cond.guess is None else apart(cond.guess)
        return self._velocity(self.head_layers(apart(hidden)), features, guess)

    def head(self, features: Features, index: Tensor) -> Tensor:
        """Velocity of expert ``index`` ``(B, M)`` only, ``(B, M, d)``."""
        hidden, cond = features.hidden, features.cond
        if cond.readings is not None and index.numel():
            cond = cond.readings.chosen(index)  # one expert a text
            hidden = self._begin(features.z, cond)
        if self.modulations is not None:
            hidden = self._through(hidden, features.time + self.modulations[index], cond)
        return self._velocity(self.head_layers.chosen(hidden, index), features, cond.guess)

    def gate_logits(self, features: Features) -> Tensor:
        """Routing logits ``(B, M, K)`` from token, mean source and time."""
        if self.gating is None:
            return features.hidden.new_zeros(*features.hidden.shape[:-1], 1)
        return self.gating(features.gate)
