"""The encoder as the flow's denoiser: slots carry noisy token vectors, and one pass predicts the tokens."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import torch
from torch import Tensor, nn

from moefm import Gate, InformationTime, MixtureField
from moefm.numeric import wide
from moefm.paths import expand_time
from yanlm.config import YanConfig
from yanlm.nn.autoencoder import Encoder
from yanlm.nn.condition import pool
from yanlm.nn.cross_entropy import token_cross_entropy
from yanlm.nn.flow import SHORTEST, Experts, TimeEmbedding
from yanlm.nn.noise import mean_vectors, reading
from yanlm.nn.places import Places
from yanlm.nn.slots import gather_tokens
from yanlm.nn.versions import Versions

LAST = 0.25
"""Share of a sampler's last step to the others, in information time."""
SMALLEST = 1e-8
"""Variance of the numbers of a vector below which it counts as 0."""


class Features(NamedTuple):
    """One evaluation of the blocks that all experts share."""

    states: Tensor  # (B, S, d)
    z: Tensor  # (B, M, e)
    remaining: Tensor  # 1 - t, (B, M, 1)
    places: Places


class EncoderFlow(MixtureField):
    r"""The mixture field of token vectors whose denoiser is the encoder.

    Every token v has a vector :math:`e_v` of e numbers with mean 0 and variance 1. A slot whose token is y carries
    :math:`z_t = t e_y + (1 - t) z_0`: the embedding of the mask, plus :math:`W z_t`, plus the time's embedding, goes
    through the encoder, and the decoder says :math:`p(v \mid z_t, x)`. (With ``slot_input="mean"`` the encoder is shown
    the mean vector of the tokens that z_t may stand for, :func:`yanlm.nn.noise.mean_vectors`, in place of z_t.) From

    .. math:: \hat z_1 = \sum_v p(v \mid z_t, x)\, e_v, \qquad u(z_t, t) = (\hat z_1 - z_t) / (1 - t)

    follows the velocity, so that an Euler step is a step of DDIM. The source stays clean, and what the encoder knows
    about given words also applies to words seen through noise. An evaluation of the field is a pass of the encoder.

    Experts are heads on the decoder's features (``experts="heads"``), or marks added to the slots before block
    ``expert_layer`` of the encoder, so that the blocks after it can look things up for an expert. The gate reads the
    state at that block, so an evaluation is one pass, whatever K is. In a continuum of experts the mark depends on a
    number in [0, 1], of which K are drawn, all equally likely.

    Not in the paper.

    Args:
        config: Sizes, K, and where experts sit.
    """

    def __init__(self, config: YanConfig) -> None:
        super().__init__()
        self.config = config
        d, self.num_experts = config.d_model, config.num_experts
        self.layer = config.encoder_layers
        self.dim = config.latent_dim or d
        self.vectors = nn.Embedding(config.vocab_size, self.dim) if config.latent_dim else None
        self.inputs = nn.Linear(self.dim, d, bias=False)
        if self.vectors is None:  # as large as embeddings: what is clear looks like its token
            with torch.no_grad():
                nn.init.eye_(self.inputs.weight).mul_(d**-0.5)
        self.time = nn.Sequential(TimeEmbedding(config.d_time), nn.Linear(config.d_time, d))
        self.information = InformationTime()
        self.head_layers: Experts | None = None
        self.marks: nn.Parameter | None = None
        self.line: nn.Sequential | None = None
        if config.experts == "continuum":
            self.line = nn.Sequential(TimeEmbedding(config.d_time), nn.Linear(config.d_time, d))
        elif config.experts == "source" and self.num_experts > 1:
            self.marks = nn.Parameter(torch.randn(self.num_experts, d) * d**-0.5)  # as large as embeddings
        elif self.num_experts > 1:
            self.head_layers = Experts(self.num_experts, d, 2)  # narrow: they correct what is shared
        if self.marks is not None or self.line is not None:
            self.layer = config.expert_layer
        gated = self.num_experts > 1 and self.line is None
        self.gating = Gate(2 * d, self.num_experts, hidden=d) if gated else None

    def times(self, steps: int) -> Tensor:
        """A sampler's times ``(steps + 1,)``: equal steps of information, except for a shorter last one.

        The last step lands on what is predicted at its beginning, so what is unknown there stays undecided.
        """
        return self.information.grid(steps, last=LAST)

    def codebook(self, encoder: Encoder) -> Tensor:
        """Vectors of all tokens ``(V, e)``, each of mean 0 and variance 1, or 0 if a token has none yet."""
        w = wide((encoder.embedding if self.vectors is None else self.vectors).weight)
        centred = w - w.mean(-1, keepdim=True)
        variance = centred.square().mean(-1, keepdim=True)
        return centred * torch.where(variance > SMALLEST, variance, 1.0).rsqrt()  # where it is 0, gradients are finite

    def token_vectors(self, cond: Places) -> Tensor:
        """The codebook that ``cond`` holds, or a new one."""
        return self.codebook(cond.encoder) if cond.codebook is None else cond.codebook

    def with_codebook(self, cond: Places) -> Places:
        """``cond`` with its codebook, so that several passes compute it once."""
        return replace(cond, codebook=self.token_vectors(cond))

    def trunk(self, z: Tensor, t: Tensor | float, cond: Places | None = None, perturb: float | None = None) -> Features:
        """The blocks that experts share, at states ``(B, M, e)``, read by ``perturb`` (:func:`yanlm.nn.noise.reading`).

        ``None`` takes the model's own.
        """
        if cond is None:
            raise ValueError("cond must be given: YanNetwork.places(...) makes it")
        t = torch.as_tensor(t, device=z.device, dtype=torch.float32)
        seen, at = reading(z, t, self.config.perturb if perturb is None else perturb)
        time = self.time(at.reshape(*at.shape, *(1,) * (2 - at.ndim), 1))  # (1, 1, d) where one time serves all
        if self.config.slot_input == "mean":
            seen = mean_vectors(seen, at, self.token_vectors(cond))
        x = cond.embedded + cond.placed(self.inputs(seen.to(self.inputs.weight.dtype)) + time)
        states = cond.encoder.through(x, cond.source_mask, 0, self.layer)
        return Features(states, z, 1 - expand_time(t, z), cond)

    def plain(self, cond: Places) -> Tensor:
        """Features for the output map at slots without noise and without an expert, ``(B, M, d)``: one pass."""
        states = cond.encoder.through(cond.embedded, cond.source_mask)
        return self._read(states, cond)

    def _read(self, states: Tensor, cond: Places) -> Tensor:
        states = cond.encoder.finish(states, cond.source_mask)
        return cond.decoder.features(gather_tokens(states, cond.slots))

    def _marks(self, cond: Places) -> Tensor | None:
        """Marks of all experts, ``(K, d)``, or ``(B, M, K, d)`` where they follow a number."""
        if self.line is None:
            return self.marks
        if cond.points is None:
            raise ValueError("cond must have points, drawn from [0, 1] for every slot: YanNetwork.places(...) does")
        marks: Tensor = self.line(cond.points.unsqueeze(-1))
        return marks

    def all_features(self, features: Features) -> Tensor:
        """Features for the output map under every expert, ``(B, M, K, d)``."""
        cond, experts = features.places, self.num_experts
        marks = self._marks(cond)
        if marks is None:
            read = self._read(features.states, cond)
            shared = read.unsqueeze(-2)
            return shared if self.head_layers is None else shared + self.head_layers.shared(read)
        return self._read_marked(features, marks.expand(*cond.slots.shape, experts, -1))

    def one_feature(self, features: Features, index: Tensor) -> Tensor:
        """The same under expert ``index`` ``(B, M)`` only, ``(B, M, d)``."""
        cond = features.places
        marks = self._marks(cond)
        if marks is None:
            read = self._read(features.states, cond)
            return read if self.head_layers is None else read + self.head_layers.chosen(read, index)
        own = marks.expand(*index.shape, -1, -1)
        return self._read_marked(features, own.take_along_dim(index[..., None, None], -2)).squeeze(-2)

    def _read_marked(self, features: Features, marks: Tensor) -> Tensor:
        """What the vocabulary's map reads at slots with ``marks`` ``(B, M, K, d)`` added, ``(B, M, K, d)``."""
        cond, count, layer = features.places, marks.shape[-2], self.layer
        marks = marks.transpose(1, 2)
        if cond.encoder.reads_in_order:  # a recurrence passes through what stands between: every version is a text
            many = cond.repeated(count)
            states = features.states.repeat_interleave(count, 0) + many.placed(marks.flatten(0, 1))
            read = self._read(cond.encoder.through(states, many.source_mask, layer), many)
            return read.unflatten(0, (-1, count)).transpose(1, 2)
        versions = Versions(cond.source_mask, cond.slots, cond.mask, count, cond.embedded.shape[1])
        here = gather_tokens(features.states, cond.slots).unsqueeze(1) + marks
        states = cond.encoder.through_versions(features.states, here, versions, layer)
        return cond.decoder.features(cond.encoder.norm(states)).transpose(1, 2)

    def gate_logits(self, features: Features) -> Tensor:
        """Routing logits ``(B, M, K)``, read off the slots' states where experts enter, and the source's mean."""
        states, cond = features.states, features.places
        if self.gating is None:
            return states.new_zeros(*cond.slots.shape, self.num_experts)
        here = gather_tokens(states, cond.slots)
        seen = torch.cat([here, pool(states, cond.source_mask).expand_as(here)], -1)
        return self.gating(nn.functional.layer_norm(seen, seen.shape[-1:]))

    def losses(self, features: Tensor, labels: Tensor, cond: Places) -> Tensor:
        """Cross-entropy of ``labels`` ``(B, M)`` from features ``(B, M, d)`` or ``(B, M, K, d)``, without the d."""
        head = cond.decoder.head
        labels = labels if features.ndim == 3 else labels.unsqueeze(-1).expand(features.shape[:-1])
        losses = token_cross_entropy(features.flatten(0, -2), head.weight, head.bias, labels.flatten())
        return losses.unflatten(0, labels.shape)

    def probabilities(self, features: Tensor, cond: Places) -> Tensor:
        """Probabilities of all tokens from features ``(*, d)``: float32 ``(*, V)``."""
        return wide(cond.decoder.head(features)).softmax(-1)

    def _velocity(self, read: Tensor, features: Features) -> Tensor:
        r"""The velocity that leads to :math:`\hat z_1`."""
        z, remaining = features.z, features.remaining.clamp_min(SHORTEST)
        if read.ndim > z.ndim:
            z, remaining = z.unsqueeze(-2), remaining.unsqueeze(-2)
        end = self.probabilities(read, features.places) @ self.token_vectors(features.places)
        return (end.to(z.dtype) - z) / remaining

    def heads(self, features: Features) -> Tensor:
        """Velocities of all experts, ``(B, M, K, e)``."""
        return self._velocity(self.all_features(features), features)

    def head(self, features: Features, index: Tensor) -> Tensor:
        """Velocity of expert ``index`` ``(B, M)`` only, ``(B, M, e)``."""
        return self._velocity(self.one_feature(features, index), features)


class TokenReader:
    """An :class:`EncoderFlow` whose experts give probabilities of tokens instead of velocities, for routing policies.

    Args:
        flow: The field.
    """

    def __init__(self, flow: EncoderFlow) -> None:
        self.flow = flow

    def heads(self, features: Features) -> Tensor:
        """Probabilities under every expert, ``(B, M, K, V)``."""
        return self.flow.probabilities(self.flow.all_features(features), features.places)

    def head(self, features: Features, index: Tensor) -> Tensor:
        """Probabilities under expert ``index`` ``(B, M)``, ``(B, M, V)``."""
        return self.flow.probabilities(self.flow.one_feature(features, index), features.places)

    def gate_logits(self, features: Features) -> Tensor:
        """Routing logits ``(B, M, K)``."""
        return self.flow.gate_logits(features)
