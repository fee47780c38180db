"""Numbers that are not finite: where they are checked, and the error that names them.

On the CPU every check costs a pass over the values. On an accelerator it would wait for the device, so hot loops do not
check there: :class:`moefm.drawing.Router` turns what it cannot check into NaN, which shows in the samples or the loss.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor


class NotFiniteError(ValueError):
    """Numbers that have to be finite are NaN or infinite. In a training this means divergence."""


def can_look(values: Tensor) -> bool:
    """Whether the values can be checked at no cost: on the CPU, and not traced."""
    return values.device.type == "cpu" and not traced()


def traced() -> bool:
    """Whether ``torch.compile``, ``torch.func`` or a CUDA graph is recording, which allows no look at any value."""
    return torch.compiler.is_compiling() or capturing() or torch._C._functorch.peek_interpreter_stack() is not None


def capturing() -> bool:
    """Whether a CUDA graph is being captured: nothing may wait for the device, nor be copied to or from it."""
    return torch.cuda.is_initialized() and torch.cuda.is_current_stream_capturing()


def check_finite(name: str, values: Tensor, mask: Tensor | None = None, *, t: Tensor | None = None) -> None:
    """Raise unless all rows ``(*batch, D)``, of time ``t``, are finite; positions outside ``mask`` do not count.

    Raises:
        NotFiniteError: It names the first row at fault.

    Example:
        >>> check_finite("z1", torch.tensor([[0.0], [float("nan")]]))
        Traceback (most recent call last):
        moefm.finite.NotFiniteError: z1 must be finite, got nan in row 1
    """
    finite = values.isfinite()
    if bool(finite.all()):
        return
    bad = ~finite.all(-1) if mask is None else ~finite.all(-1) & mask
    if bool(bad.any()):
        row = values[bad][0]
        when = "" if t is None else f" at t = {t.item():g}"
        raise NotFiniteError(f"{name} must be finite, got {row[~row.isfinite()][0].item():g}{_place(bad)}{when}")


def check_logits(logits: Tensor, mask: Tensor | None = None, *, nan_passes: bool = False) -> None:
    """Raise if gate logits ``(*batch, K)`` are not a distribution: NaN, ``+inf``, or ``-inf`` for all experts.

    This is checked only on the CPU, and not while something traces. Losses let NaN pass, since a loss of NaN is what
    stops a training.

    Raises:
        NotFiniteError: It names the first row at fault.

    Example:
        >>> check_logits(torch.tensor([[0.0, -torch.inf], [torch.inf, 0.0]]))
        Traceback (most recent call last):
        moefm.finite.NotFiniteError: gate logits must be finite, or -inf for a probability of 0, got inf in row 1
    """
    if not can_look(logits):
        return
    if math.isfinite(logits.detach().sum()):  # one number instead of a look at each
        return
    top = logits.detach().amax(-1)
    bad = top.isinf() if nan_passes else ~top.isfinite()
    if mask is not None:
        bad = bad & mask
    if bool(bad.any()):
        value = top[bad][0].item()
        if value == -torch.inf:
            wanted, given = "leave an expert (-inf is a probability of 0)", "only -inf"
        else:
            wanted, given = "be finite, or -inf for a probability of 0", f"{value:g}"
        raise NotFiniteError(f"gate logits must {wanted}, got {given}{_place(bad)}")


def _place(bad: Tensor) -> str:
    """Where the first True of ``bad`` ``(*batch,)`` is, in words."""
    if bad.ndim == 0:
        return ""
    place = tuple(bad.nonzero()[0].tolist())
    return f" in row {place[0]}" if len(place) == 1 else f" at {place}"
