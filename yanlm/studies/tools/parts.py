"""Where the time of a generation goes: encoder, source keys, trunk, experts, head, each alone and by hand."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from yanlm.generation.recorded_decoding import cuda_graph
from yanlm.studies.tools.flops import count_flops
from yanlm.studies.tools.study import Json
from yanlm.studies.tools.timing import seconds_of


class Parts:
    """The parts of a generation by a flow with a trunk, each as a call that can be timed.

    Args:
        model: The flow.
        source_ids: ``(B, S)``.
        slots: ``(B, M)``.
        steps: T.
        wanted: ``(B, M)``, True = a slot whose word is wanted; all are, if it is not given.

    Example:
        >>> from yanlm.studies.tools.models import fresh_models
        >>> from yanlm.studies.tools.timing import question
        >>> model = fresh_models("tiny", ["flow"], 16)[0].model
        >>> list(Parts(model, **question(model.config, 8, 1.0, 0), steps=3).calls)
        ['encoder', 'source_keys', 'trunk_per_step', 'gate', 'experts_per_step', 'head']
    """

    @torch.no_grad()
    def __init__(self, model: Any, source_ids: Tensor, slots: Tensor, steps: int, wanted: Tensor | None = None) -> None:
        self.model, self.steps, flow = model, steps, model.flow
        states = model.encode(source_ids)
        cond = model.condition(states, source_ids, None, slots, None)
        z = torch.randn(*slots.shape, states.shape[-1], device=states.device, dtype=states.dtype)
        read = z if wanted is None else z[wanted]
        features = flow.trunk(z, 0.0, cond)
        experts = torch.arange(slots.numel(), device=slots.device).view_as(slots) % flow.num_experts
        if flow.scope != "token":
            experts = experts[:, :1].expand_as(slots)
        self.calls: dict[str, Callable[[], Any]] = {
            "encoder": lambda: model.encode(source_ids),
            "source_keys": lambda: model.condition(states, source_ids, None, slots, None),
            "trunk_per_step": lambda: flow.trunk(z, 0.0, cond),
            "gate": lambda: flow.gate_logits(features),
            "experts_per_step": lambda: flow.head(features, experts),
            "head": lambda: model.decoder.best(read),
        }

    def times(self, name: str) -> int:
        """How often a generation does this part."""
        return self.steps if name.endswith("_per_step") else 1

    @torch.no_grad()
    def seconds(self, clock: str, repeats: int) -> dict[str, float]:
        """Seconds of each part, done once; medians. On a GPU parts are recorded, as a whole generation is."""
        calls = self.calls
        if self.model.device.type == "cuda":
            calls = {name: _recorded(call) for name, call in calls.items()}
        seconds = seconds_of(calls, self.model.device, clock, repeats)
        return {name: statistics.median(own) for name, own in seconds.items()}

    def work(self) -> Json:
        """Matrix products and bytes of weights of a whole generation.

        Returns:
            ``tflop``, 10^12 multiplications and additions in matrix products and attention, and ``weights_gb``, bytes
            of weights that are read, those of a step at every step.
        """
        with torch.no_grad():
            flops = {name: count_flops(call) * self.times(name) for name, call in self.calls.items()}
        model, flow = self.model, self.model.flow
        size = {
            "encoder": weight_bytes(model.encoder.blocks),
            "steps": self.steps * (weight_bytes(flow) - weight_bytes(flow.gating)),
            "gate": weight_bytes(flow.gating),
            "head": weight_bytes(model.decoder),
        }
        return {"tflop": sum(flops.values()) / 1e12, "weights_gb": sum(size.values()) / 1e9}


def _recorded(call: Callable[[], Any]) -> Callable[[], Any]:
    """A recording of the call, or the call itself if it cannot be recorded."""
    call()  # libraries choose their kernels
    try:
        return cuda_graph(call)
    except RuntimeError:
        return call


def weight_bytes(module: nn.Module | None) -> int:
    """Bytes of a module's parameters."""
    return 0 if module is None else sum(p.numel() * p.element_size() for p in module.parameters())


def shares(work: Mapping[str, float], seconds: float, rates: Mapping[str, float]) -> Json:
    """Work as shares of what the machine can do.

    Args:
        work: ``tflop`` and ``weights_gb``.
        seconds: That it took.
        rates: ``matrix_tflops`` and ``copy_gb_per_s``.

    Example:
        >>> rates = {"matrix_tflops": 4.0, "copy_gb_per_s": 10.0}
        >>> shares({"tflop": 1.0, "weights_gb": 2.0}, 0.5, rates)["share_of_matrix_rate"]
        0.5
    """
    arithmetic, reading = work["tflop"] / rates["matrix_tflops"], work["weights_gb"] / rates["copy_gb_per_s"]
    return {
        **work,
        "least_seconds": max(arithmetic, reading),
        "share_of_matrix_rate": arithmetic / seconds,
        "share_of_copy_rate": reading / seconds,
    }
