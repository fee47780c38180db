"""The two training objectives: the regularized autoencoder, Eq. (8), and the latent flow with its decoder, Eq. (11)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from moefm import consistent_moefm_loss, gate_entropy, linear_path, load_balance, mmd2, moefm_loss, sample
from moefm import scale_penalty as mean_square
from moefm._checks import check_choice, check_count
from moefm.paths import BetaTime, TimeSampler, UniformTime, ZeroInflatedTime
from moefm.regularizers import BANDWIDTHS
from moefm.routing import draw_expert
from yanlm.flow import Condition, Features, gather_tokens
from yanlm.noise import generators, row_normal, row_uniform

if TYPE_CHECKING:
    from yanlm.modeling import YanModel

Batch = dict[str, Tensor]
Parts = dict[str, Tensor]
# Independent streams of a row's randomness, so that switching one term off leaves the draws of the others alone.
NOISE, TIME, EXPERT, ENCODER, GAUSSIAN = range(5)


def _not_negative(settings: Any, names: Sequence[str]) -> None:
    for name in names:
        value = getattr(settings, name)
        if not (isinstance(value, int | float) and 0 <= value < float("inf")):
            raise ValueError(f"{name} must be a finite number of at least 0, got {value!r}")


@dataclass(frozen=True)
class Stage1:
    r"""Settings of the autoencoder's objective, :math:`CE + \lambda_{MMD} MMD + \lambda_{Scale} Scale`, Eq. (8).

    Attributes:
        slot: Weight of the cross-entropy at masked positions, decoded from the encoder's state there.
        mmd: Weight of the maximum mean discrepancy to a standard normal.
        scale: Weight of the mean square of the latents.
        noise: Largest standard deviation of the perturbation of the latents; each text draws its own below it.
        mmd_tokens: Most latents the discrepancy is estimated from.
        bandwidths: Kernel bandwidths, appendix A.4.
    """

    slot: float = 1.0
    mmd: float = 1.0
    scale: float = 0.01
    noise: float = 0.2
    mmd_tokens: int = 1024
    bandwidths: tuple[float, ...] = BANDWIDTHS

    def __post_init__(self) -> None:
        """Check the weights."""
        _not_negative(self, ("slot", "mmd", "scale", "noise"))
        check_count("mmd_tokens", self.mmd_tokens, minimum=2)


@dataclass(frozen=True)
class Stage2:
    r"""Settings of the flow's objective, :math:`\alpha_{MoE-FM} NLL + \alpha_{CE} CE`, Eq. (11).

    Attributes:
        objective: Routing loss: the ``paper``'s Eq. (5), or ``consistent`` (:func:`moefm.consistent_moefm_loss`).
        ce: Latents that are decoded for the cross-entropy: ``unrolled`` through the whole ODE (the paper's), or
            ``onestep``, the estimate of z1 from the one evaluation at hand.
        draw: Where the cross-entropy's expert is drawn from: the ``gate``, or the ``responsibilities``.
        flow: Weight of the velocity part, per dimension: 1 means a mean square error.
        gate: Weight of the gate part.
        ce_weight: Weight of the cross-entropy.
        steps: Euler steps of the unrolled ODE.
        random_steps: Draw the number of steps from 1 to ``steps`` for every batch.
        zero_share: Share of times that are exactly 0; the rest are uniform, or Beta(a, b) with ``beta``.
        beta: Parameters (a, b) of the times, or ``None``.
        latent: Weight of the mean square error of the drawn expert's z1.
        entropy: Weight that favours a sharp routing of each token.
        balance: Weight that favours an even use of the experts.
        freeze: ``all`` of the autoencoder, ``decoder`` alone, or ``none``; what is not frozen keeps its stage 1 loss.
        length: Weight of the length head's cross-entropy, whose gradient stays inside the head.
    """

    objective: str = "paper"
    ce: str = "onestep"
    draw: str = "gate"
    flow: float = 1.0
    gate: float = 0.1
    ce_weight: float = 1.0
    steps: int = 4
    random_steps: bool = False
    zero_share: float = 0.5
    beta: tuple[float, float] | None = None
    latent: float = 0.0
    entropy: float = 0.0
    balance: float = 0.0
    freeze: str = "all"
    length: float = 1.0

    def __post_init__(self) -> None:
        """Check weights and choices."""
        check_choice("objective", self.objective, ("paper", "consistent"))
        check_choice("ce", self.ce, ("onestep", "unrolled"))
        check_choice("draw", self.draw, ("gate", "responsibilities"))
        check_choice("freeze", self.freeze, ("all", "decoder", "none"))
        _not_negative(self, ("flow", "gate", "ce_weight", "latent", "entropy", "balance", "length"))
        check_count("steps", self.steps)
        self.time  # noqa: B018 - builds the sampler, which checks the share and the exponents

    @property
    def time(self) -> TimeSampler:
        """The distribution of training times."""
        base = UniformTime() if self.beta is None else BetaTime(*self.beta)
        return ZeroInflatedTime(self.zero_share, base)


def _mean(values: Tensor, counts: Tensor, total: Tensor) -> Tensor:
    """Mean of flat per-token ``values``, as this process's part of a mean over ``total`` tokens."""
    return values.sum() / total.clamp_min(1) if len(values) else counts.sum() * 0.0


def perturb(z: Tensor, mask: Tensor, largest: float, seeds: Sequence[int]) -> Tensor:
    """Add normal noise whose standard deviation each row draws from U(0, ``largest``) (section 4.2)."""
    sources = generators(seeds, ENCODER)
    scale = (largest * row_uniform(sources)).to(z)[:, None, None]
    noise = row_normal(sources, mask.sum(1).tolist(), z.shape[1], z.shape[2]).to(z)
    return z + scale * noise


def regularizer_tokens(z: Tensor, mask: Tensor, most: int) -> Tensor:
    """Evenly spaced latents ``(n, d)``, an equal number from each row, so that they do not depend on the batch's split."""
    each = max(1, most // len(z))
    parts = [row[keep][:: max(1, -(-int(keep.sum()) // each))] for row, keep in zip(z, mask, strict=True)]
    return torch.cat(parts)


def gather_rows(z: Tensor) -> Tensor:
    """Latents of all processes ``(n, d)``, with gradients to every one; equal counts are not required."""
    import torch.distributed as dist

    if not (dist.is_available() and dist.is_initialized()) or dist.get_world_size() == 1:
        return z
    from torch.distributed.nn.functional import all_gather

    counts = [torch.zeros((), dtype=torch.long, device=z.device) for _ in range(dist.get_world_size())]
    dist.all_gather(counts, torch.tensor(len(z), device=z.device))
    longest = int(max(counts))
    padded = torch.cat([z, z.new_zeros(longest - len(z), z.shape[1])])
    return torch.cat([part[:count] for part, count in zip(all_gather(padded), counts, strict=True)])


def stage1_loss(
    model: YanModel, batch: Batch, settings: Stage1, seeds: Sequence[int], totals: Tensor, clean: bool = False
) -> tuple[Tensor, Parts]:
    """Regularized autoencoder loss, Eq. (8), on texts with mask slots: every token is decoded, the masked ones too.

    With ``clean`` the targets themselves are encoded, as a batch in the separate form needs it.
    """
    labels, mask = batch["target_ids"], batch["target_mask"]
    ids = labels if clean else batch["source_ids"]
    if ids.shape != labels.shape:
        raise ValueError(f"stage 1 needs a batch in the slots form, got source {tuple(ids.shape)}, target {tuple(labels.shape)}")
    z = model.encode(ids, mask)
    noisy = perturb(z, mask, settings.noise, seeds) if settings.noise and model.training else z
    masked = mask & (ids == model.config.mask_token_id) & (labels != ids)
    known = mask & ~masked
    counts = model.counts(batch)
    parts: Parts = {}
    ce = _mean(model.decoder.loss(noisy[known], labels[known]), z, totals[0] if clean else totals[0] - totals[1])
    slot = _mean(model.decoder.loss(noisy[masked], labels[masked]), z, totals[1])
    parts["ce"], parts["slot_ce"] = ce, slot
    total = ce + settings.slot * slot
    if settings.mmd:
        latents = gather_rows(regularizer_tokens(z, mask, settings.mmd_tokens))
        parts["mmd"] = mmd2(latents, _gaussian_like(latents), settings.bandwidths)
        total = total + settings.mmd * parts["mmd"]
    if settings.scale:
        parts["scale"] = mean_square(z, mask) * counts[0] / totals[0]
        total = total + settings.scale * parts["scale"]
    return total, {name: part.detach() for name, part in parts.items()}


def _gaussian_like(z: Tensor) -> Tensor:
    """Standard normal draws as many as ``z``: always the same ones, since they stand for the distribution itself."""
    return torch.randn(z.shape, generator=torch.Generator().manual_seed(GAUSSIAN)).to(z)


def stage2_loss(
    model: YanModel, batch: Batch, settings: Stage2, seeds: Sequence[int], totals: Tensor
) -> tuple[Tensor, Parts]:
    """Flow loss and cross-entropy, Eq. (11), at one random time per row."""
    flow, slots, slot_mask = model.flow, batch["slots"], batch["slot_mask"]
    source = model.encode(batch["source_ids"], batch["source_mask"])
    with torch.no_grad():
        z1 = gather_tokens(model.encode(batch["target_ids"], batch["target_mask"]), slots)
        z1 = z1.masked_fill(~slot_mask.unsqueeze(-1), 0)
        z0 = row_normal(generators(seeds, NOISE), slot_mask.sum(1).tolist(), *z1.shape[1:]).to(z1)
        t = torch.cat([settings.time((1,), generator=g) for g in generators(seeds, TIME)]).to(z1)
    cond = flow.condition(source, batch["source_mask"], slots, slot_mask, model.positions)
    z_t, target = linear_path(z0, z1, t)
    features = flow.trunk(z_t, t, cond)
    velocities, logits = flow.heads(features), flow.gate_logits(features)
    share = model.counts(batch)[1] / totals[1].clamp_min(1)
    (loss, flow_part, gate_part), logits, drawn_from = _routing_loss(
        model, settings, features, velocities, logits, target, z0, cond
    )
    parts: Parts = {"flow": flow_part * share, "gate": gate_part * share}
    total = loss * share

    index = draw_expert(drawn_from.detach(), generators(seeds, EXPERT)).to(z1.device)
    if settings.ce == "unrolled":
        z1_hat = _unrolled(model, settings, z0, cond, slot_mask, seeds)
    else:
        chosen = velocities.take_along_dim(index[..., None, None], -2).squeeze(-2)
        z1_hat = z_t + features.remaining * chosen
    if settings.ce_weight:
        labels = batch["target_ids"].gather(1, slots)
        parts["ce"] = _mean(model.decoder.loss(z1_hat[slot_mask], labels[slot_mask]), z1_hat, totals[1])
        total = total + settings.ce_weight * parts["ce"]
    if settings.latent:
        parts["latent"] = mean_square(z1_hat - z1, slot_mask) * share
        total = total + settings.latent * parts["latent"]
    if settings.entropy:
        parts["entropy"] = gate_entropy(logits, slot_mask) * share
        total = total + settings.entropy * parts["entropy"]
    if settings.balance:
        parts["balance"] = load_balance(logits, slot_mask) * share
        total = total + settings.balance * parts["balance"]
    if settings.freeze != "all":
        extra, more = stage1_loss(model, batch, model.stage1, seeds, totals, clean=model.config.form == "separate")
        total = total + extra
        parts |= {f"stage1_{name}": part for name, part in more.items()}
    if settings.length and "collapsed_ids" in batch:
        parts["length"] = length_loss(model, batch)
        total = total + settings.length * parts["length"]
    return total, {name: part.detach() for name, part in parts.items()}


def _routing_loss(
    model: YanModel,
    settings: Stage2,
    features: Features,
    velocities: Tensor,
    logits: Tensor,
    target: Tensor,
    z0: Tensor,
    cond: Condition,
) -> tuple[tuple[Tensor, Tensor, Tensor], Tensor, Tensor]:
    """(total, velocity, gate) of the mixture loss, the gate's logits, and what the cross-entropy's expert is drawn from.

    The velocity part is brought to one unit a dimension and the gate part keeps its own weight: in hundreds of
    dimensions the raw likelihood is of order 1e4 and would drown everything else. When experts predict z1, errors are
    those of z1, that is (1 - t) times the velocity's: bounded at t = 1.
    """
    config = model.config
    weight = features.remaining.unsqueeze(-2) if config.prediction == "data" else 1.0
    velocities = target.unsqueeze(-2) + weight * (velocities - target.unsqueeze(-2))
    if settings.objective == "paper":
        unit = 2 * config.sigma**2 / config.d_model
        loss = moefm_loss(
            velocities,
            logits,
            target,
            sigma=config.sigma,
            mask=cond.mask,
            velocity_scale=settings.flow * unit,
            gate_scale=settings.gate,
        )
        parts = loss.total, loss.velocity * unit, loss.gate
    else:  # sigma^2 NLL at 0 plus half the square error at t: the same units need other factors
        start = model.flow.trunk(z0, 0.0, cond)
        logits = model.flow.gate_logits(start)
        loss = consistent_moefm_loss(
            velocities,
            model.flow.heads(start),
            logits,
            target,
            sigma=config.sigma,
            mask=cond.mask,
            velocity_scale=settings.flow / config.d_model,
            gate_scale=settings.gate / config.sigma**2,
        )
        parts = loss.total, loss.velocity / config.d_model, loss.gate / config.sigma**2
    assert loss.responsibilities is not None
    return parts, logits, logits if settings.draw == "gate" else loss.responsibilities.clamp_min(1e-30).log()


def _unrolled(
    model: YanModel, settings: Stage2, z0: Tensor, cond: Condition, slot_mask: Tensor, seeds: Sequence[int]
) -> Tensor:
    """End of the ODE from z0 under frozen routing, with gradients through every step (section 4.2)."""
    steps = 1 + seeds[0] % settings.steps if settings.random_steps else settings.steps
    return sample(model.flow, z0, steps, cond=cond, mask=slot_mask, generator=generators(seeds, EXPERT)).z1


def length_loss(model: YanModel, batch: Batch) -> Tensor:
    """Cross-entropy of the number of tokens behind each single mask, from the encoder's state there (detached)."""
    with torch.no_grad():
        states = model.encode(batch["collapsed_ids"], batch["collapsed_mask"])
    counted = batch["span_lengths"] > 0
    at = gather_tokens(states, batch["span_positions"])[counted]
    logits = model.length_head(at).float()
    labels = batch["span_lengths"][counted].clamp_max(model.config.max_span) - 1
    return torch.nn.functional.cross_entropy(logits, labels) if len(labels) else logits.sum()
