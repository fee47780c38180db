"""Information time: a change of time that spends training and steps where something is decided."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Generator, Tensor, nn

from moefm.checks import check_count, check_positive, check_share
from moefm.codebook import codebook_cross_entropy
from moefm.numeric import falling_fit, fill_between, interpolate, wide
from moefm.paths import UniformTime

FLAT = 1e-6
"""A curve that falls by less than this share of its height says nothing about time."""
LEAST_UNIFORM, MOST_BINS, MOST_COUNTED = 1e-3, 1000, 2**15
"""Within these bounds the time change is strictly increasing in float32, and counts fit into float16."""


class InformationTime(nn.Module):
    r"""A monotone change of time, :math:`t = F^{-1}(u)`, given by a curve of losses :math:`c(t)`.

    .. math:: F(t) = (1 - \varepsilon)\, \frac{\bar c(0) - \bar c(t)}{\bar c(0) - \bar c(1)} + \varepsilon\, t

    Here :math:`\bar c` is the non-increasing curve closest to c, and :math:`\varepsilon` is ``uniform``. The fraction
    is the share of the loss that is gone at ``t``, so equal steps of u remove equal shares of the loss. In many
    dimensions most of it falls within a short interval, where uniform time has few training points and few steps.

    The curve is the mean loss in each of ``bins`` equal bins of [0, 1]. It is measured during training
    (:meth:`observe`), given as a whole (:meth:`fit_from`), or computed from a codebook (:meth:`from_codebook`). Empty
    bins are interpolated. Without a curve, or if it does not fall, F is the identity. As the time of an
    :class:`moefm.Objective` it measures itself, unless its curve was given.

    Calling it draws training times, so it is a :class:`moefm.paths.TimeSampler`. It can also be the base of
    :class:`moefm.ZeroInflatedTime`. :meth:`grid` gives a sampler its times.

    Args:
        bins: Resolution of the curve, 2 to 1000.
        uniform: Weight of uniform time, 0.001 to 1. It keeps every time within reach, and F strictly increasing.
        learn: Whether objectives update the curve while they train a field. A curve that is given sets it to False,
            since its losses may be of another kind; :meth:`observe` works either way.

    Attributes:
        errors: The curve: mean loss in each bin ``(bins,)``.
        counts: Number of losses observed in each bin ``(bins,)``, up to 32,768; 0 marks an unknown bin.

    Raises:
        ValueError: ``bins`` or ``uniform`` is out of range.

    Example:
        >>> time = InformationTime()
        >>> time.grid(4)  # nothing is known yet: uniform
        tensor([0.0000, 0.2500, 0.5000, 0.7500, 1.0000])
        >>> t = torch.linspace(0, 1, 200)
        >>> time.fit_from(t, (1 - 5 * t).clamp_min(0)).grid(4)  # all is decided before t = 0.2
        tensor([0.0000, 0.0543, 0.1087, 0.1630, 1.0000])
    """

    errors: Tensor
    counts: Tensor

    def __init__(self, bins: int = 64, *, uniform: float = 0.1, learn: bool = True) -> None:
        super().__init__()
        self.bins = check_count("bins", bins, minimum=2)
        self.uniform = check_share("uniform", uniform)
        self.learn = bool(learn)
        if self.bins > MOST_BINS:
            raise ValueError(f"bins must be an integer from 2 to {MOST_BINS}, got {bins}")
        if self.uniform < LEAST_UNIFORM:
            raise ValueError(f"uniform must be a share from {LEAST_UNIFORM} to 1, got {uniform!r}")
        self.register_buffer("errors", torch.zeros(bins))
        self.register_buffer("counts", torch.zeros(bins))  # float, as all weights are

    @property
    def config(self) -> dict[str, Any]:
        """The arguments that rebuild this object, without its curve."""
        return {"bins": self.bins, "uniform": self.uniform, "learn": self.learn}

    def extra_repr(self) -> str:
        """What was chosen."""
        return f"bins={self.bins}, uniform={self.uniform}"

    @property
    def edges(self) -> Tensor:
        """Edges of the bins ``(bins + 1,)``, from 0 to 1."""
        return torch.linspace(0, 1, self.bins + 1, device=self.errors.device)

    @property
    def centers(self) -> Tensor:
        """Middle of each bin ``(bins,)``: the times that ``errors`` belong to."""
        return (self.edges[:-1] + self.edges[1:]) / 2

    def knots(self) -> Tensor:
        """Values of F at the edges of the bins ``(bins + 1,)``; between them F is linear."""
        edges, errors = self.edges, wide(self.errors)
        known = (self.counts > 0) & errors.isfinite()
        errors = errors.masked_fill(~known, 0)
        errors = errors / errors.abs().amax().clamp_min(torch.finfo(errors.dtype).tiny)  # differences stay finite
        falling = falling_fit(fill_between(errors, known))
        # From the middles of the bins to their edges: half-way between neighbours, continued in line at both ends.
        inner = (falling[:-1] + falling[1:]) / 2
        at_edges = torch.cat([2 * falling[:1] - inner[:1], inner, 2 * falling[-1:] - inner[-1:]])
        drop = at_edges[0] - at_edges[-1]
        share = torch.where(drop > FLAT, (at_edges[0] - at_edges) / drop.clamp_min(FLAT), edges)
        return share.lerp(edges.to(share), self.uniform)

    def cdf(self, t: Tensor) -> Tensor:
        """F at times ``(*)``; those outside [0, 1] count as its nearest end."""
        return interpolate(t, self.edges, self.knots())

    def quantile(self, u: Tensor) -> Tensor:
        """The times :math:`F^{-1}(u)` for u ``(*)``, exactly 0 and 1 at the ends.

        Example:
            >>> InformationTime().quantile(torch.tensor([0.0, 0.3, 1.0]))
            tensor([0.0000, 0.3000, 1.0000])
        """
        return interpolate(u, self.knots(), self.edges)

    def forward(
        self, shape: Sequence[int], *, generator: Generator | None = None, device: torch.device | str | None = None
    ) -> Tensor:
        """Draw times of ``shape``, distributed as F."""
        u = UniformTime()(shape, generator=generator)
        return self.quantile(u.to(self.errors.device)).to(u.device if device is None else device)

    def grid(self, steps: int, *, last: float = 1.0) -> Tensor:
        """Times ``(steps + 1,)`` of a sampler, from exactly 0 to exactly 1, each step over an equal share of F.

        The last step lands on what is predicted at its beginning, so what is unknown there stays undecided. With
        ``last`` below 1 its share is smaller than that of the others by this factor, so it begins later. In few steps
        .25 is often better.
        """
        steps, last = check_count("steps", steps), check_positive("last", check_share("last", last))
        u = torch.arange(steps + 1, device=self.errors.device) / (steps - 1 + last)
        return self.quantile(u.clamp(max=1))

    @torch.no_grad()
    def observe(self, t: Tensor, errors: Tensor, rate: float = 0.02) -> None:
        """Update the curve in place with losses ``(*)`` at times ``(*)``.

        The mean of a bin's n new losses enters with the weight 1 - (1 - rate)^n; the first losses of a bin set it.
        Losses that are not finite, and times outside [0, 1], are left out. Nothing here waits for a device.

        Args:
            t: Times ``(*)``.
            errors: A loss at each time ``(*)``; neither its scale nor a constant added to it matters.
            rate: Weight of one loss.

        Raises:
            ValueError: The shapes differ, or ``rate`` is no share.

        Example:
            >>> time = InformationTime(bins=2)
            >>> time.observe(torch.tensor([0.1, 0.2, 0.9]), torch.tensor([3.0, 5.0, 1.0]))
            >>> time.errors
            tensor([4., 1.])
        """
        rate = check_share("rate", rate)
        if t.shape != errors.shape:
            raise ValueError(f"errors must have the shape of t, {tuple(t.shape)}, got {tuple(errors.shape)}")
        count, total = self._per_bin(t, errors)
        mean = total / count.clamp_min(1)
        new = (count > 0) & mean.isfinite()
        weight = torch.where(self.counts > 0, 1 - (1 - rate) ** count, 1.0)
        old = wide(self.errors)
        self.errors.copy_(torch.where(new, old + weight * (mean - old), old))
        self.counts.add_(torch.where(new, count, 0.0)).clamp_(max=MOST_COUNTED)

    def fit_from(self, times: Tensor, errors: Tensor) -> InformationTime:
        """Set the curve to losses ``errors`` at ``times``, both ``(N,)``, and ``learn`` to False; returns itself.

        Points within one bin are averaged, and the curve is linear between those means.

        Raises:
            ValueError: The shapes differ, or no pair is finite with a time from 0 to 1.
        """
        if times.ndim != 1 or times.shape != errors.shape:
            raise ValueError(
                f"times and errors must be vectors of one length, got {tuple(times.shape)} and {tuple(errors.shape)}"
            )
        times, errors = times.detach(), errors.detach()
        count, total = self._per_bin(times, errors)
        known = count > 0
        if not bool(known.any()):
            raise ValueError("errors must be finite at one time from 0 to 1 at least, got none that is")
        at = self._per_bin(times, times.masked_fill(~errors.isfinite().to(times.device), torch.nan))[1]
        self.errors.copy_(interpolate(self.centers, (at / count)[known], (total / count)[known]))
        self.counts.copy_(count.clamp(1, MOST_COUNTED))
        self.learn = False
        return self

    def _per_bin(self, t: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """Number and sum of the finite values in each bin, both ``(bins,)`` in float32 or wider."""
        t, values = t.to(self.errors.device).flatten(), wide(values.to(self.errors.device).flatten())
        valid = values.isfinite() & (t >= 0) & (t <= 1)
        index = torch.where(valid, t * self.bins, 0).long().clamp(max=self.bins - 1)
        zeros = values.new_zeros(self.bins)
        return zeros.index_add(0, index, valid.to(zeros)), zeros.index_add(0, index, values.masked_fill(~valid, 0))

    @classmethod
    def from_codebook(
        cls,
        codebook: Tensor,
        *,
        probabilities: Tensor | None = None,
        samples: int = 1024,
        generator: Generator | None = None,
        bins: int = 64,
        uniform: float = 0.1,
    ) -> InformationTime:
        """Information time of one code word seen through noise (:func:`moefm.codebook.codebook_cross_entropy`).

        It ignores what a word's neighbours tell. A network that sees them decides earlier (:meth:`observe`).

        Args:
            codebook: The vectors of all words ``(V, D)``.
            probabilities: Probabilities of the words ``(V,)``, normalized here; ``None`` for equal ones.
            samples: Number of draws of a word and of the noise.
            generator: Source of the draws.
            bins: Resolution of the curve.
            uniform: Weight of uniform time.

        Example:
            >>> words = torch.randn(16, 64, generator=torch.Generator().manual_seed(0))
            >>> time = InformationTime.from_codebook(words, generator=torch.Generator().manual_seed(0))
            >>> time.grid(4)
            tensor([0.0000, 0.1369, 0.1966, 0.2588, 1.0000])
        """
        time = cls(bins, uniform=uniform)
        curve = codebook_cross_entropy(
            codebook, time.centers, probabilities=probabilities, samples=samples, generator=generator
        )
        return time.fit_from(time.centers, curve).to(codebook.device)


def information_of(sampler: object) -> InformationTime | None:
    """The information time behind a sampler of training times, or ``None`` if there is none.

    Example:
        >>> from moefm import UniformTime, ZeroInflatedTime
        >>> information_of(ZeroInflatedTime(0.1, InformationTime(8)))
        InformationTime(bins=8, uniform=0.1)
        >>> information_of(UniformTime())
    """
    while sampler is not None and not isinstance(sampler, InformationTime):
        sampler = getattr(sampler, "base", None)
    return sampler
