"""What noisy vectors say of their tokens: how a pass of an encoder that denoises reads a slot."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from moefm.paths import expand_time
from yanlm.nn.blocks import NEVER
from yanlm.nn.flow import SHORTEST

GUMBEL = math.pi / math.sqrt(6)
"""Standard deviation of a Gumbel variable."""


def first_time(perturb: float, width: int) -> float:
    """The time t_0 as of which noise of ``width`` numbers is read at t = 0 (:func:`reading`).

    Example:
        >>> first_time(0.0, 64), round(first_time(1.0, 64), 3)
        (0.0, 0.138)
    """
    hint = perturb * GUMBEL / math.sqrt(width)
    return hint / (1 + hint)


def reading(z: Tensor, t: Tensor, perturb: float) -> tuple[Tensor, Tensor]:
    r"""State and time that a pass reads at states z ``(B, M, e)`` and times t ``()`` or ``(B,)``: noise is a hint.

    A trained network gives the marginals at t = 0, whatever the noise is. Then nothing decides between two right
    answers. So noise :math:`z_0` is treated as the state :math:`(1 - t_0) z_0` of a later time :math:`t_0`. It then
    changes the log-probability of a token v by

    .. math:: \frac{t_0}{(1 - t_0)^2}\, e_v \cdot (1 - t_0) z_0 = \frac{t_0}{1 - t_0}\, e_v \cdot z_0,

    a normal variable of standard deviation :math:`\sqrt{e}\, t_0 / (1 - t_0)`, and the pass looks for the most
    probable answer after that: *perturb and MAP* (Papandreou and Yuille 2011). With a Gumbel variable for every answer
    this would be a sample, so ``perturb`` counts in standard deviations of a Gumbel variable. With 0, and at later
    times, a pass reads z at t.

    Example:
        >>> state, time = reading(torch.ones(1, 2, 64), torch.tensor(0.0), 1.0)
        >>> state.mean(), time
        (tensor(0.8618), tensor(0.1382))
    """
    first = first_time(perturb, z.shape[-1])
    return expand_time(torch.where(t == 0, 1 - first, 1.0), z) * z, torch.where(t == 0, first, t)


def mean_vectors(z: Tensor, t: Tensor, codebook: Tensor) -> Tensor:
    r"""Mean vectors ``(B, M, e)`` of the tokens that states z ``(B, M, e)``, t ``()`` or ``(B,)``, may stand for.

    .. math:: E[e_y \mid z_t] = \sum_v \mathrm{softmax}_v \Bigl(\frac{t}{(1 - t)^2}\, e_v \cdot z_t\Bigr) e_v

    if all tokens are equally probable; ``codebook`` are their vectors ``(V, e)``, all of one length. (A token whose
    vector is 0 has none yet, and does not count.) This is all that z_t says of its token, without the noise that
    concerns none, and it looks like the tokens that the encoder knows. So the network does not have to learn how to
    weigh z_t at every time.

    Example:
        >>> mean_vectors(torch.tensor([[[3.0, 0.0]]]), torch.tensor(0.5), torch.eye(2))
        tensor([[[0.9975, 0.0025]]])
    """
    at = expand_time(t, z)
    weight = at / (1 - at).clamp_min(SHORTEST).square()
    known = torch.where(codebook.any(-1), 0.0, NEVER).to(codebook)
    logits = torch.nn.functional.linear((weight * z).to(codebook), codebook, known)
    return logits.softmax(-1) @ codebook
