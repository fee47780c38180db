"""The linear Gaussian path between noise and data, and the distributions its times are drawn from."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import torch
from torch import Generator, Tensor

from moefm.checks import check_positive, check_shape, check_share
from moefm.generators import fresh
from moefm.inputs import check_instance


class PathSample(NamedTuple):
    """A point of the path and the velocity to be learned there, both ``(*batch, D)``."""

    z_t: Tensor
    velocity: Tensor


def expand_time(t: Tensor | float, z: Tensor) -> Tensor:
    """Align a time with the leading dimensions of a state.

    Args:
        t: A number, or a tensor whose shape matches the first dimensions of ``z``, each equal or 1.
        z: State ``(*batch, D)``.

    Returns:
        The time as ``(*batch, 1)``, in the dtype and on the device of ``z``.

    Raises:
        ValueError: ``t`` has more dimensions than ``batch``, or sizes that do not match.

    Example:
        >>> expand_time(torch.tensor([0.0, 1.0]), torch.zeros(2, 5, 3)).shape
        torch.Size([2, 5, 1])
    """
    t = torch.as_tensor(t, device=z.device).to(z.dtype)
    batch = z.shape[:-1]
    if t.ndim > len(batch) or any(a not in (1, b) for a, b in zip(t.shape, batch, strict=False)):
        raise ValueError(f"t must broadcast over the leading dimensions {tuple(batch)} of z, got {tuple(t.shape)}")
    return t.reshape(*t.shape, *(1,) * (z.ndim - t.ndim)).expand(*batch, 1)


def linear_path(z0: Tensor, z1: Tensor, t: Tensor | float) -> PathSample:
    r"""Interpolate linearly between noise and data (section 2.1).

    .. math:: z_t = t z_1 + (1 - t) z_0, \qquad u^* = z_1 - z_0

    Args:
        z0: Noise ``(*batch, D)``.
        z1: Data ``(*batch, D)``.
        t: Time in [0, 1], a number or aligned with the leading dimensions.

    Raises:
        ValueError: The shapes differ, or ``t`` does not fit them.

    Example:
        >>> linear_path(torch.zeros(1, 2), torch.ones(1, 2), 0.25)
        PathSample(z_t=tensor([[0.2500, 0.2500]]), velocity=tensor([[1., 1.]]))
    """
    check_shape("z1", z1, tuple(z0.shape), "that of z0")
    t = expand_time(t, z0)
    return PathSample(t * z1 + (1 - t) * z0, z1 - z0)


class TimeSampler(Protocol):
    """Anything that draws training times: ``sampler(shape, generator=..., device=...)`` gives values in [0, 1]."""

    def __call__(
        self, shape: Sequence[int], *, generator: Generator | None = None, device: torch.device | str | None = None
    ) -> Tensor:
        """Draw times of ``shape``."""
        ...


@dataclass(frozen=True)
class UniformTime:
    """Times uniform on [0, 1), as in Eq. (1).

    Example:
        >>> UniformTime()((2,), generator=torch.Generator().manual_seed(0))
        tensor([0.4963, 0.7682])
    """

    def __call__(
        self, shape: Sequence[int], *, generator: Generator | None = None, device: torch.device | str | None = None
    ) -> Tensor:
        """Draw times of ``shape``."""
        source = fresh(generator)
        return torch.rand(tuple(shape), generator=source, device=source.device).to(device)


@dataclass(frozen=True)
class BetaTime:
    """Times from Beta(a, b): a < b favours the noise end, a > b the data end.

    Attributes:
        a: First exponent, positive.
        b: Second exponent, positive.

    Raises:
        ValueError: An exponent is not positive.

    Example:
        >>> t = BetaTime(1.0, 3.0)((1000,), generator=torch.Generator().manual_seed(0))
        >>> bool((t.mean() - 0.25).abs() < 0.02)
        True
    """

    a: float
    b: float

    def __post_init__(self) -> None:
        """Check both exponents."""
        check_positive("a", self.a)
        check_positive("b", self.b)

    def __call__(
        self, shape: Sequence[int], *, generator: Generator | None = None, device: torch.device | str | None = None
    ) -> Tensor:
        """Draw times of ``shape``."""
        source = fresh(generator)
        # Beta(a, b) = G_a / (G_a + G_b) with independent gamma variables. torch.distributions takes no generator, its
        # kernel does; float64 (which MPS lacks) keeps the ratio defined where both variables are tiny (a, b << 1).
        dtype = torch.float32 if source.device.type == "mps" else torch.float64
        shapes = torch.tensor([self.a, self.b], dtype=dtype, device=source.device).expand(*shape, 2)
        gamma = torch._standard_gamma(shapes.contiguous(), generator=source)
        return (gamma[..., 0] / gamma.sum(-1)).float().to(device)


@dataclass(frozen=True)
class LogitNormalTime:
    """Times whose logit is normal with the given mean and standard deviation.

    Attributes:
        mean: Mean of the logit.
        std: Its standard deviation, positive.

    Raises:
        ValueError: ``mean`` is not finite, or ``std`` is not positive.

    Example:
        >>> t = LogitNormalTime()((1000,), generator=torch.Generator().manual_seed(0))
        >>> bool((t.mean() - 0.5).abs() < 0.02)
        True
    """

    mean: float = 0.0
    std: float = 1.0

    def __post_init__(self) -> None:
        """Check mean and standard deviation."""
        check_positive("std", self.std)
        if not math.isfinite(self.mean):
            raise ValueError(f"mean must be finite, got {self.mean!r}")

    def __call__(
        self, shape: Sequence[int], *, generator: Generator | None = None, device: torch.device | str | None = None
    ) -> Tensor:
        """Draw times of ``shape``."""
        source = fresh(generator)
        normal = torch.randn(tuple(shape), generator=source, device=source.device)
        return torch.sigmoid(self.mean + self.std * normal).to(device)


@dataclass(frozen=True)
class ZeroInflatedTime:
    """Times from ``base``, but exactly 0 with probability ``share``: practice for the first, longest step of a sampler.

    Attributes:
        share: Probability of 0.
        base: Distribution of the other times.

    Raises:
        ValueError: ``share`` is not a number from 0 to 1.
        TypeError: ``base`` is a class, not an instance.

    Example:
        >>> t = ZeroInflatedTime(0.5)((1000,), generator=torch.Generator().manual_seed(0))
        >>> bool(((t == 0).float().mean() - 0.5).abs() < 0.05)
        True
    """

    share: float
    base: TimeSampler = UniformTime()

    def __post_init__(self) -> None:
        """Check the share."""
        check_share("share", self.share)
        check_instance("base", self.base)

    def __call__(
        self, shape: Sequence[int], *, generator: Generator | None = None, device: torch.device | str | None = None
    ) -> Tensor:
        """Draw times of ``shape``."""
        source = fresh(generator)
        t = self.base(shape, generator=source, device=device)
        at_zero = torch.rand(tuple(shape), generator=source, device=source.device).to(t.device) < self.share
        return t.masked_fill(at_zero, 0.0)
