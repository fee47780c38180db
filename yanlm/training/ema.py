"""A moving average of the trained weights, and the two ways to see a tensor that is spread over processes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn


def local(tensor: Tensor) -> Tensor:
    """The part of ``tensor`` that lies on this process: all of it unless it is sharded."""
    return tensor.to_local() if hasattr(tensor, "to_local") else tensor


def whole(tensor: Tensor) -> Tensor:
    """All of ``tensor``, on the CPU; when it is sharded every process must call this."""
    return (tensor.full_tensor() if hasattr(tensor, "full_tensor") else tensor).detach().cpu()


def assign(target: Tensor, value: Tensor) -> None:
    """Copy a whole ``value`` into ``target``, into this process's part of it when it is sharded."""
    from torch.distributed.tensor import DTensor, distribute_tensor

    if isinstance(target, DTensor):
        value = distribute_tensor(value.to(target.device), target.device_mesh, target.placements)
    with torch.no_grad():
        target.copy_(value)


class MovingAverage:
    """Exponential moving average of the trainable parameters, in float32.

    After n updates the decay is ``min(decay, (1 + n) / (10 + n))``. So the average forgets the first weights quickly
    and is useful in short runs too.

    Example:
        >>> layer = nn.Linear(1, 1)
        >>> average = MovingAverage(layer, decay=0.5)
        >>> _ = layer.weight.data.add_(1.0)
        >>> average.update()
        >>> bool(average.values["weight"] < layer.weight)
        True
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.decay = decay
        self.updates = 0
        self.parameters = {name: p for name, p in model.named_parameters() if p.requires_grad}
        self.values = {name: p.detach().clone().float() for name, p in self.parameters.items()}

    @torch.no_grad()
    def update(self) -> None:
        """Move the average towards the weights."""
        self.updates += 1
        decay = min(self.decay, (1 + self.updates) / (10 + self.updates))
        values = [local(value) for value in self.values.values()]
        weights = [local(p.detach()).float() for p in self.parameters.values()]
        torch._foreach_lerp_(values, weights, 1 - decay)

    @torch.no_grad()
    def copy_to_model(self) -> None:
        """Give the model the averaged weights."""
        for name, parameter in self.parameters.items():
            parameter.copy_(self.values[name])

    @contextmanager
    def in_use(self) -> Iterator[None]:
        """Inside the context the model has the averaged weights, afterwards its own again."""
        own = {name: p.detach().clone() for name, p in self.parameters.items()}
        self.copy_to_model()
        try:
            yield
        finally:
            with torch.no_grad():
                for name, parameter in self.parameters.items():
                    parameter.copy_(own[name])

    def state_dict(self) -> dict[str, Tensor]:
        """The averages, whole and on the CPU."""
        return {name: whole(value) for name, value in self.values.items()}

    def load_state_dict(self, state: Mapping[str, Tensor], updates: int) -> None:
        """Restore averages and their number of updates. If there are none, start with the weights."""
        self.updates = updates
        for name, value in self.values.items():
            if name in state:
                assign(value, state[name])
            else:
                value.copy_(self.parameters[name].detach())
