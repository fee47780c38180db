"""A small training loop: warm-up and cosine, EMA, callbacks, and a stop at the first sign of divergence."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from dataclasses import field as dataclass_field

import torch
from torch import Generator, Tensor
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from moefm.batches import Draw, open_data
from moefm.checks import check_choice, check_count, check_positive
from moefm.couplings import Coupling, conditional_coupling
from moefm.fields import MixtureField
from moefm.finite import NotFiniteError
from moefm.generators import fresh
from moefm.information import InformationTime, information_of
from moefm.inputs import as_tensor, check_instance, check_trainable
from moefm.losses import Loss
from moefm.numeric import clean
from moefm.objectives import MoEFM
from moefm.progress import progress_bar

Callback = Callable[[int, Loss], None]


class DivergedError(RuntimeError):
    """Training produced a loss or weights that are not finite; the field holds the last good state.

    Example:
        >>> from moefm import MLPMixtureField
        >>> field = MLPMixtureField(2, 4, hidden=16)
        >>> try:
        ...     fit(field, torch.randn(100, 2), steps=50, lr=1e30, warmup=0)
        ... except DivergedError:
        ...     print(all(bool(parameter.isfinite().all()) for parameter in field.parameters()))
        True
    """


@dataclass(frozen=True)
class FitResult:
    """What :func:`fit` measured.

    Attributes:
        losses: ``(step, total)`` pairs, one every ``log_every`` steps.
        steps: Steps done.
        seconds: Wall-clock time.

    Example:
        >>> from moefm import MLPMixtureField
        >>> result = fit(MLPMixtureField(2, 4, hidden=16), torch.randn(100, 2), steps=5, log_every=2)
        >>> isinstance(result, FitResult), [step for step, loss in result.losses]
        (True, [1, 2, 4, 5])
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
        return 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))

    return factor


def warmup_constant(steps: int, warmup: int) -> Callable[[int], float]:
    """Learning-rate factor: linear over ``warmup`` steps, then 1 (the paper's B.3)."""
    return lambda step: min(1.0, (step + 1) / max(1, warmup))


SCHEDULES = {"cosine": warmup_cosine, "constant": warmup_constant}


def fit(
    field: MixtureField,
    data: Tensor | Draw,
    objective: Callable[..., Loss] | None = None,
    *,
    steps: int = 3000,
    batch_size: int = 256,
    lr: float = 2e-3,
    warmup: int = 100,
    schedule: str = "cosine",
    weight_decay: float = 0.0,
    ema: float | None = None,
    clip: float | None = None,
    coupling: str | Coupling = "independent",
    cond: Tensor | None = None,
    mask: Tensor | None = None,
    weight: Tensor | None = None,
    generator: Generator | None = None,
    callback: Callback | None = None,
    log_every: int = 50,
    progress: bool = False,
) -> FitResult:
    """Train ``field`` in place on ``data``.

    If the objective's time is a :class:`moefm.InformationTime`, it is measured here and a copy is stored as
    ``field.time_change``. Give it to ``sample``.

    Args:
        field: The field, on the device to train on.
        data: Rows ``(N, ..., D)``, a tensor or an array, or a function ``(n, generator) -> (n, ..., D)`` that draws
            fresh ones. Scale it to about unit variance: it is paired with standard normal noise.
        objective: :class:`VFM`, :class:`MoEFM` (default), :class:`ConsistentMoEFM`, or any function called in the same
            way.
        steps: Optimizer steps.
        batch_size: Pairs in a step.
        lr: Peak learning rate of AdamW.
        warmup: Steps of linear warm-up.
        schedule: ``cosine`` or ``constant`` after the warm-up.
        weight_decay: Weight decay of AdamW.
        ema: Decay of a moving average of the weights, which becomes the field's weights at the end; ``None`` for none.
        clip: Largest gradient norm, or ``None``.
        coupling: Pairs noise with data: ``independent``, ``ot`` (among rows of the same ``cond``, if given), or a
            function, see :mod:`moefm.couplings`.
        cond: Condition of every row of ``data``: vectors ``(N, C)``, or labels ``(N,)`` for a field with classes.
        mask: Boolean ``(N, ...)`` for data ``(N, ..., D)``: positions that count, for instance all but the padding.
        weight: Weight of every row of ``data`` ``(N,)``: rows are drawn in proportion to it.
        generator: Source of all randomness here.
        callback: Called as ``callback(step, loss)`` after every step; raise to stop.
        log_every: How often the loss is recorded and checked.
        progress: Show a bar with the time left and the loss on stderr; needs rich.

    Raises:
        ValueError: An argument is out of range.
        TypeError: An argument has the wrong type.
        DivergedError: The loss or the weights became NaN or infinite; the field is set back to the last good state.

    Warns:
        UserWarning: The data is more than five times larger or smaller than the noise.

    Example:
        >>> from moefm import MLPMixtureField
        >>> result = fit(MLPMixtureField(2, 4, hidden=16), torch.randn(100, 2), steps=5)
        >>> result.steps
        5
    """
    steps, log_every = check_count("steps", steps), check_count("log_every", log_every)
    batch_size, warmup = check_count("batch_size", batch_size), check_count("warmup", warmup, minimum=0)
    lr = check_positive("lr", lr)
    check_choice("schedule", schedule, SCHEDULES)
    clip = None if clip is None else check_positive("clip", clip)
    if ema is not None and not check_positive("ema", ema) < 1:
        raise ValueError(f"ema must lie in (0, 1) or be None, got {ema!r}")
    check_trainable(field)
    objective = _objective(objective)
    generator = fresh(generator)
    parameters = list(field.parameters())
    device = parameters[0].device
    information = information_of(getattr(objective, "time", None))
    if information is not None:
        field.time_change = information.to(device)
    cond = None if cond is None else as_tensor("cond", cond)
    couple = conditional_coupling(coupling, cond)
    draw = open_data(data, cond, mask, field, device, weight)
    optimizer = _adamw(field, lr, weight_decay)
    factor = SCHEDULES[schedule](steps, warmup)
    average = AveragedModel(field, multi_avg_fn=get_ema_multi_avg_fn(ema)) if ema else None
    good = _snapshot(field)
    losses: list[tuple[int, float]] = []
    start = time.perf_counter()
    field.train()
    with progress_bar("fit", steps, progress) as advance:
        for step in range(1, steps + 1):
            z1, c, m = draw(batch_size, generator)
            z0 = torch.randn(z1.shape, generator=generator, device=generator.device).to(z1)
            z0, z1 = couple(z0, clean(z1, m), c)
            try:
                loss = objective(field, z0, z1, cond=c, mask=m, generator=generator)
            except NotFiniteError as error:
                if step == 1:  # before any weight moved: the field or the data is at fault
                    raise
                raise _diverged(field, good, f"{error} by step {step}", lr) from None
            for parameter in parameters:  # zero_grad does this too, at 3% of the step of a small field
                parameter.grad = None
            loss.total.backward()
            if clip is not None:
                torch.nn.utils.clip_grad_norm_(parameters, clip)
            if step % log_every == 0 or step == 1 or step == steps:
                # Looked at before the weights move, so that the snapshot is of weights that gave a finite loss.
                value = loss.total.item()
                if not math.isfinite(value):
                    raise _diverged(field, good, f"loss became {value} by step {step}", lr)
                losses.append((step, value))
                good = _snapshot(field)
            optimizer.param_groups[0]["lr"] = lr * factor(step - 1)
            optimizer.step()
            if average is not None:
                average.update_parameters(field)
            if callback is not None:
                callback(step, loss)
            advance(f"loss {losses[-1][1]:.4g}")
    if not all(bool(parameter.isfinite().all()) for parameter in field.parameters()):
        raise _diverged(field, good, f"weights were not finite after step {steps}", lr)
    _finish(field, average, information)
    return FitResult(steps, time.perf_counter() - start, losses)


def _finish(field: MixtureField, average: AveragedModel | None, information: InformationTime | None) -> None:
    if average is not None:
        field.load_state_dict(average.module.state_dict())
    if information is not None:
        field.time_change = copy.deepcopy(information)  # the objective may go on to measure another field
    field.eval()


def _objective(objective: Callable[..., Loss] | None) -> Callable[..., Loss]:
    check_instance("objective", objective)
    if objective is not None and not callable(objective):
        raise TypeError(f"objective must be an Objective such as MoEFM(), got {objective!r}")
    return MoEFM() if objective is None else objective


def _adamw(field: MixtureField, lr: float, weight_decay: float) -> torch.optim.AdamW:
    """AdamW in one kernel if the device has it. For small fields on a CPU this takes a quarter of the time."""
    parameters = list(field.parameters())
    fused = all(p.device.type in ("cpu", "cuda") and p.is_floating_point() for p in parameters)
    return torch.optim.AdamW(parameters, lr=lr, weight_decay=weight_decay, fused=fused)


def _diverged(field: MixtureField, good: dict[str, Tensor], what: str, lr: float) -> DivergedError:
    field.load_state_dict(good)
    return DivergedError(f"{what}: the field is back at its last good state; lower lr ({lr}) or raise sigma")


def _snapshot(field: MixtureField) -> dict[str, Tensor]:
    return {name: value.detach().clone() for name, value in field.state_dict().items()}
