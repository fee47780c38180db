"""A small training loop: warm-up and cosine, EMA, callbacks, and a stop at the first sign of divergence."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from dataclasses import field as dataclass_field

import torch
from torch import Generator, Tensor
from torch.optim.lr_scheduler import LambdaLR
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from moefm.checks import check_choice, check_count, check_mask, check_positive
from moefm.couplings import Coupling, independent
from moefm.fields import MixtureField
from moefm.generators import fresh
from moefm.losses import Loss
from moefm.numeric import clean
from moefm.objectives import MoEFM, Objective

Draw = Callable[[int, Generator], Tensor]
Callback = Callable[[int, Loss], None]


class DivergedError(RuntimeError):
    """Training produced a loss or weights that are not finite; the field holds the last good state."""


@dataclass(frozen=True)
class FitResult:
    """What :func:`fit` measured.

    Attributes:
        losses: ``(step, total)`` pairs, one every ``log_every`` steps.
        steps: Steps done.
        seconds: Wall-clock time.
    """

    steps: int
    seconds: float
    losses: Sequence[tuple[int, float]] = dataclass_field(repr=False)


def warmup_cosine(steps: int, warmup: int) -> Callable[[int], float]:
    """Learning-rate factor: linear over ``warmup`` steps, then half a cosine to 0.

    Example:
        >>> factor = warmup_cosine(steps=100, warmup=10)
        >>> factor(0), factor(9), round(factor(55), 3)
        (0.1, 1.0, 0.5)
    """

    def factor(step: int) -> float:
        if step < warmup:
            return (step + 1) / warmup
        progress = (step - warmup) / max(1, steps - warmup)
        return 0.5 * (1 + float(torch.cos(torch.tensor(torch.pi * min(1.0, progress)))))

    return factor


def warmup_constant(steps: int, warmup: int) -> Callable[[int], float]:
    """Learning-rate factor: linear over ``warmup`` steps, then 1 (the paper's B.3)."""
    return lambda step: min(1.0, (step + 1) / max(1, warmup))


SCHEDULES = {"cosine": warmup_cosine, "constant": warmup_constant}


Batch = tuple[Tensor, Tensor | None, Tensor | None]


def _batches(
    data: Tensor | Draw, cond: Tensor | None, mask: Tensor | None, size: int, generator: Generator, device: torch.device
) -> Iterator[Batch]:
    """Endless batches of data, condition and mask: rows drawn with replacement, or fresh draws from a function."""
    if callable(data):
        if cond is not None or mask is not None:
            raise ValueError("cond and mask need data as a tensor: fresh draws cannot be matched with their rows")
        while True:
            yield data(size, generator).to(device), None, None
    if not isinstance(data, Tensor):
        raise TypeError(f"data must be a tensor or a function that draws one, got {type(data).__name__}")
    if data.ndim < 2 or len(data) == 0 or not data.dtype.is_floating_point:
        raise ValueError(f"data must be floating-point rows (N, ..., D), got {tuple(data.shape)} of {data.dtype}")
    check_mask(mask, tuple(data.shape[:-1]))
    if not bool((data if mask is None else data[mask]).isfinite().all()):
        raise ValueError("data must be finite: it holds NaN or infinity")
    if cond is not None and len(cond) != len(data):
        raise ValueError(f"cond must have one row for each of the {len(data)} rows of data, got {len(cond)}")
    while True:
        rows = torch.randint(len(data), (size,), generator=generator, device=generator.device)
        z1, c, m = (None if x is None else x[rows.to(x.device)].to(device) for x in (data, cond, mask))
        assert z1 is not None
        yield z1, c, m


def fit(
    field: MixtureField,
    data: Tensor | Draw,
    objective: Objective | None = None,
    *,
    steps: int = 3000,
    batch_size: int = 256,
    lr: float = 2e-3,
    warmup: int = 100,
    schedule: str = "cosine",
    weight_decay: float = 0.0,
    ema: float | None = None,
    clip: float | None = None,
    coupling: Coupling = independent,
    cond: Tensor | None = None,
    mask: Tensor | None = None,
    generator: Generator | None = None,
    callback: Callback | None = None,
    log_every: int = 50,
) -> FitResult:
    """Train ``field`` in place on ``data``.

    Args:
        field: The field, on the device it shall train on.
        data: Rows ``(N, ..., D)``, or a function ``(n, generator) -> (n, ..., D)`` that draws fresh ones. Scale it to
            unit variance or so: the noise it is paired with is standard normal.
        objective: :class:`VFM`, :class:`MoEFM` (default) or :class:`ConsistentMoEFM`.
        steps: Optimizer steps.
        batch_size: Pairs a step.
        lr: Peak learning rate of AdamW.
        warmup: Steps of linear warm-up.
        schedule: ``cosine`` or ``constant`` after the warm-up.
        weight_decay: Of AdamW.
        ema: Decay of an exponential moving average of the weights, which the field ends with; ``None`` for none.
        clip: Largest gradient norm, or ``None``.
        coupling: Pairs noise with data, see :mod:`moefm.couplings`.
        cond: Condition of every row of ``data``, ``(N, C)``.
        mask: Boolean ``(N, ...)`` for data ``(N, ..., D)``: positions that count, for instance all but the padding.
        generator: Source of all randomness here.
        callback: Called as ``callback(step, loss)`` after every step; raise to stop.
        log_every: How often the loss is recorded and checked.

    Raises:
        ValueError: An argument is out of range.
        DivergedError: The loss or the weights became NaN or infinite; the field is set back to the last good state.

    Example:
        >>> from moefm import MLPMixtureField
        >>> result = fit(MLPMixtureField(2, 4, hidden=16), torch.randn(100, 2), steps=5)
        >>> result.steps
        5
    """
    check_count("steps", steps)
    check_count("batch_size", batch_size)
    check_count("warmup", warmup, minimum=0)
    check_count("log_every", log_every)
    check_positive("lr", lr)
    check_choice("schedule", schedule, SCHEDULES)
    if clip is not None:
        check_positive("clip", clip)
    if ema is not None and not 0 < ema < 1:
        raise ValueError(f"ema must lie in (0, 1) or be None, got {ema!r}")
    objective = MoEFM() if objective is None else objective
    generator = fresh(generator)
    device = next(field.parameters()).device
    batches = _batches(data, cond, mask, batch_size, generator, device)
    optimizer = torch.optim.AdamW(field.parameters(), lr=lr, weight_decay=weight_decay)
    scheduler = LambdaLR(optimizer, SCHEDULES[schedule](steps, warmup))
    average = AveragedModel(field, multi_avg_fn=get_ema_multi_avg_fn(ema)) if ema else None
    good = _snapshot(field)
    losses: list[tuple[int, float]] = []
    start = time.perf_counter()
    field.train()
    for step in range(1, steps + 1):
        z1, c, m = next(batches)
        z0 = torch.randn(z1.shape, generator=generator, device=generator.device).to(z1)
        z0, z1 = coupling(z0, clean(z1, m))
        loss = objective(field, z0, z1, cond=c, mask=m, generator=generator)
        optimizer.zero_grad(set_to_none=True)
        loss.total.backward()
        if clip is not None:
            torch.nn.utils.clip_grad_norm_(field.parameters(), clip)
        if step % log_every == 0 or step == 1 or step == steps:
            # Looked at before the weights move, so that the snapshot is of weights that gave a finite loss.
            value = loss.total.item()
            if not math.isfinite(value):
                raise _diverged(field, good, f"loss became {value} by step {step}", lr)
            losses.append((step, value))
            good = _snapshot(field)
        optimizer.step()
        scheduler.step()
        if average is not None:
            average.update_parameters(field)
        if callback is not None:
            callback(step, loss)
    if not all(bool(parameter.isfinite().all()) for parameter in field.parameters()):
        raise _diverged(field, good, f"weights were not finite after step {steps}", lr)
    if average is not None:
        field.load_state_dict(average.module.state_dict())
    field.eval()
    return FitResult(steps, time.perf_counter() - start, losses)


def _diverged(field: MixtureField, good: dict[str, Tensor], what: str, lr: float) -> DivergedError:
    field.load_state_dict(good)
    return DivergedError(f"{what}: the field is back at its last good state; lower lr ({lr}) or raise sigma")


def _snapshot(field: MixtureField) -> dict[str, Tensor]:
    return {name: value.detach().clone() for name, value in field.state_dict().items()}
