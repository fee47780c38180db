"""A device that cannot be looked at, in place of a GPU: what would wait for one, or copy to or from it, raises."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

import moefm.experts
import moefm.finite

FAR = "meta"


class _Apart(TorchDispatchMode):
    """No operation has anything to do with another device."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        for x in tree_leaves((args, kwargs, out)):
            if isinstance(x, torch.Tensor) and x.device.type != FAR:
                raise AssertionError(f"{func} touched the host")
        return out


@contextlib.contextmanager
def recording(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """As if a CUDA graph were captured."""
    with monkeypatch.context() as patch, _Apart(), torch.no_grad():
        for module in (moefm.finite, moefm.experts):
            patch.setattr(module, "capturing", lambda: True)
        patch.setattr(torch, "is_autocast_enabled", lambda *_: False)  # which does not know the device
        patch.setattr(torch, "autocast", lambda *_, **__: contextlib.nullcontext())
        yield


def far(x: torch.Tensor | None) -> torch.Tensor | None:
    return None if x is None else torch.empty_like(x, device=FAR)


def moved(model: Any) -> Any:
    """The model, on that device from here on."""
    for module in model.modules():
        for name, parameter in module._parameters.items():
            module._parameters[name] = (
                None if parameter is None else nn.Parameter(torch.empty_like(parameter, device=FAR))
            )
        for name, buffer in module._buffers.items():
            module._buffers[name] = far(buffer)
    return model
