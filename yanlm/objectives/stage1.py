"""Loss of stage 1: texts through the encoder and back, with latents kept near a standard normal, Eq. (8)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
import torch.distributed as dist
from torch import Tensor

from moefm import normal_mmd2
from moefm import scale_penalty as mean_square
from yanlm.objectives.settings import Stage1
from yanlm.objectives.token_loss import Parts, decoded_loss, token_mean
from yanlm.seeding import ENCODER, generators, kept, row_normal, row_uniform
from yanlm.tokenization.collation import Batch

if TYPE_CHECKING:
    from yanlm.nn.network import YanNetwork


def perturb(z: Tensor, mask: Tensor, largest: float, seeds: Sequence[int]) -> Tensor:
    """Latents ``(B, L, d)`` with normal noise whose standard deviation each row draws from U(0, ``largest``).

    Section 4.2. ``mask`` ``(B, L)`` says where there are tokens, ``seeds`` hold one integer a row.
    """
    sources = generators(seeds, ENCODER, z.device)
    scale = (largest * row_uniform(sources)).to(z)[:, None, None]
    noise = row_normal(sources, mask, z.shape[2]).to(z)
    return z + scale * noise


def regularizer_tokens(z: Tensor, mask: Tensor, most: int) -> Tensor:
    """Evenly spaced latents ``(n, d)`` of ``z`` ``(B, L, d)``, the same number from each row, however a batch is split.

    Tokens are where ``mask`` ``(B, L)`` is True, and ``most`` is the largest n of all processes together.
    """
    per_row = max(1, most // (len(z) * processes()))
    stride = -(-mask.sum(1, keepdim=True) // per_row)  # of a row without tokens 0, which nothing is divided by
    return z[mask & ((mask.cumsum(1) - 1) % stride.clamp_min(1) == 0)]


def processes() -> int:
    """How many processes train together."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def gather_rows(z: Tensor) -> Tensor:
    """Latents of all processes ``(n, d)``, with gradients to every process; equal counts are not required."""
    if processes() == 1:
        return z
    from torch.distributed.nn.functional import all_gather

    counts = [torch.zeros((), dtype=torch.long, device=z.device) for _ in range(processes())]
    dist.all_gather(counts, torch.tensor(len(z), device=z.device))
    longest = int(max(counts))
    padded = torch.cat([z, z.new_zeros(longest - len(z), z.shape[1])])
    return torch.cat([part[:count] for part, count in zip(all_gather(padded), counts, strict=True)])


def stage1_loss(
    model: YanNetwork,
    batch: Batch,
    settings: Stage1,
    seeds: Sequence[int],
    totals: Tensor,
    source: Tensor | None = None,
) -> tuple[Tensor, Parts]:
    """Regularized autoencoder loss, Eq. (8), on texts with mask slots. Every token is decoded, including masked ones.

    A model of the separate form decodes its targets instead, and stage 2 hands over the source it has encoded.

    Args:
        model: Its encoder and its decoder are used.
        batch: ``source_ids``, ``target_ids``, ``target_mask`` (B, L) and ``slot_mask`` (B, M).
        settings: Weights of the parts.
        seeds: One integer for each row; noise and the share of known tokens follow from it.
        totals: Numbers of target tokens and of slots ``(2,)`` that means are taken over.
        source: Encoded source ``(B, S, d)``, or ``None``.

    Returns:
        The loss, a scalar, and its detached parts by name.
    """
    labels, mask = batch["target_ids"], batch["target_mask"]
    clean = source is not None and model.config.form == "separate"
    ids = labels if clean else batch["source_ids"]
    if ids.shape != labels.shape:
        raise ValueError(
            f"stage 1 needs a batch in the slots form, got source {tuple(ids.shape)}, target {tuple(labels.shape)}"
        )
    z = model.encode(ids, mask) if source is None or clean else source
    noisy = perturb(z, mask, settings.noise, seeds) if settings.noise and model.training else z
    masked = mask & (ids == model.config.mask_token_id) & (labels != ids)
    known = mask & ~masked & kept(mask, settings.known, seeds)
    counts = model.counts(batch)
    parts: Parts = {}
    ce = token_mean(decoded_loss(model, noisy, labels, known), totals[0] if clean else totals[0] - totals[1])
    ce = ce / (settings.known or 1)
    slot = token_mean(decoded_loss(model, noisy, labels, masked), totals[1])
    parts["ce"], parts["slot_ce"] = ce, slot
    if settings.slot is None:  # one mean over all tokens
        masked_share = 0.0 if clean else totals[1] / totals[0]
        total = (1 - masked_share) * ce + masked_share * slot
    else:
        total = ce + settings.slot * slot
    if settings.mmd:
        latents = gather_rows(regularizer_tokens(z, mask, settings.mmd_tokens))
        parts["mmd"] = normal_mmd2(latents, settings.bandwidths)
        total = total + settings.mmd * parts["mmd"]
    if settings.scale:
        parts["scale"] = mean_square(z, mask) * counts[0] / totals[0]
        total = total + settings.scale * parts["scale"]
    return total, {name: part.detach() for name, part in parts.items()}
