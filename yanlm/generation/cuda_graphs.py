"""Generation on a GPU as one CUDA graph: hundreds of kernels are started at once, and the host has nothing to do."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import torch
from torch import nn

from moefm.checks import check_count
from moefm.finite import traced
from yanlm.generation.core import Filled, Given, fixed
from yanlm.generation.options import GenerationOptions
from yanlm.generation.replays import Replays, Run, rounded
from yanlm.generation.watching import Watcher

if TYPE_CHECKING:
    from yanlm.nn.network import YanNetwork

Fill = Callable[..., Filled]
SHAPES = 256
"""How many shapes may be compiled."""
WARM_UPS = 2
"""Runs before a recording, in which libraries choose their kernels and allocate what they keep."""


class CudaGraph:
    """A run that a GPU recorded: values are copied into the tensors that it was recorded with, and it is replayed.

    All graphs share their memory, since none of them has a result that the next one could write over: results are
    copied before anything else runs.

    Args:
        run: The function.
        given: An example of what it reads.
        compile: Whether ``torch.compile`` fuses its operations first, which takes a minute or so.

    Attributes:
        bytes: By how much the memory of the process grew.
    """

    def __init__(self, run: Run, given: Given, compile: bool = False) -> None:
        run = compiled(run) if compile else run
        device = given.source_ids.device
        with torch.cuda.device(device):
            here, aside = torch.cuda.current_stream(), torch.cuda.Stream()
            self._given = Given._make(None if x is None else x.clone() for x in given)
            aside.wait_stream(here)
            with torch.cuda.stream(aside):
                for _ in range(WARM_UPS):
                    run(self._given)
            here.wait_stream(aside)
            torch.cuda.empty_cache()
            before = torch.cuda.memory_reserved()
            self._graph, self._done = torch.cuda.CUDAGraph(), torch.cuda.Event()
            with torch.cuda.graph(self._graph, pool=_pool(device), capture_error_mode="thread_local"):
                self._filled = run(self._given)
            self._done.record(here)
            self.bytes = max(torch.cuda.memory_reserved() - before, 0)

    def __call__(self, given: Given) -> Filled:
        """Replay it with these values."""
        with torch.cuda.device(given.source_ids.device):
            here = torch.cuda.current_stream()
            here.wait_event(self._done)  # the last replay may have been on another stream
            for own, new in zip(self._given, given, strict=True):
                if own is not None and new is not None:
                    own.copy_(new)
            self._graph.replay()
            filled = Filled._make(x.clone() if isinstance(x, torch.Tensor) else x for x in self._filled)
            self._done.record(here)
        return filled


def compiled(run: Run, backend: str = "inductor") -> Run:
    """The run as one compiled graph of the shapes that it meets."""
    fused = torch.compile(run, fullgraph=True, dynamic=False, backend=backend)

    def call(given: Given) -> Filled:
        with torch._dynamo.config.patch(recompile_limit=SHAPES):  # every shape is compiled for itself
            return fused(given)

    return call


_POOLS: dict[torch.device, Any] = {}
_REPLAYS: WeakKeyDictionary[nn.Module, Replays] = WeakKeyDictionary()


def _pool(device: torch.device) -> Any:
    return _POOLS.setdefault(device, torch.cuda.graph_pool_handle())


def replays_of(model: nn.Module) -> Replays:
    """The recordings of a model; a copy of it has its own."""
    if model not in _REPLAYS:
        _REPLAYS[model] = Replays(CudaGraph)
    return _REPLAYS[model]


def run(
    fill: Fill,
    model: YanNetwork,
    given: Given,
    options: GenerationOptions,
    experts: Sequence[torch.Generator] | None = None,
    watcher: Watcher | None = None,
) -> Filled:
    """``fill(model, given, options, experts)``, or on a GPU its recording, unless the source is encoded already.

    A run with a watcher is not recorded.
    """
    if watcher is not None:
        return fill(model, given, options, experts, watcher)
    if given.states is not None or not can_record(model, options):
        return fill(model, given, options, experts)
    return replayed(fill, model, given, options, replays_of(model))


def can_record(model: YanNetwork, options: GenerationOptions) -> bool:
    """Whether a generation is the same work every time, by a model on one GPU that is not training."""
    return (
        model.device.type == "cuda"
        and not model.training
        and fixed(options)
        and not torch.is_autocast_enabled("cuda")
        and not hasattr(model, "hf_device_map")
        and not traced()
    )


def replayed(fill: Fill, model: YanNetwork, given: Given, options: GenerationOptions, replays: Replays) -> Filled:
    """The result of a recording of these shapes, rounded up to one of few lengths."""
    options = replace(options, seeds=None, z0_scale=1.0, device_noise=False)  # they are in the numbers given
    where = addresses(model)
    if where is None:
        return fill(model, given, options, None)
    slots, given = given.slots.shape[1], rounded(given, model.config.max_length)
    what = (fill, options, torch.is_inference_mode_enabled())  # tensors of that mode cannot be written to outside it
    filled = replays(lambda read: fill(model, read, options, None), given, what, where)
    if given.slots.shape[1] == slots:
        return filled
    assignment = None if filled.assignment is None else filled.assignment[:, :slots]
    return filled._replace(tokens=filled.tokens[:, :slots], computed=filled.computed[:, :slots], assignment=assignment)


def addresses(model: nn.Module) -> tuple[int, ...] | None:
    """Addresses of weights and buffers; ``None`` if a module has hooks, which a recording would leave out.

    It takes a sixth of the time of ``parameters()`` and ``buffers()``.
    """
    places: list[int] = []
    modules = [model]
    while modules:
        module = modules.pop()
        if module._forward_hooks or module._forward_pre_hooks:
            return None
        for tensors in (module._parameters, module._buffers):
            places += [x.data_ptr() for x in tensors.values() if x is not None]
        modules += [child for child in module._modules.values() if child is not None]
    return tuple(places)


def prepare(
    model: Any,
    shapes: Iterable[Sequence[int]],
    options: GenerationOptions,
    *,
    most: int | None = None,
    memory: int | None = None,
    compile: bool = False,
) -> int:
    """Record generations of these shapes; see :meth:`yanlm.YanModel.prepare_for_generation`."""
    wanted = [[check_count("shapes", size) for size in shape] for shape in shapes]
    for shape in wanted:
        if len(shape) != 3:
            raise ValueError(f"shapes must be numbers of texts, of tokens and of slots, three a shape, got {shape}")
    replays = replays_of(model)
    replays.limit(replays.most if most is None else most, replays.memory if memory is None else memory)
    if not can_record(model, options):
        return 0
    replays.record = partial(CudaGraph, compile=True) if compile else CudaGraph
    for rows, length, count in wanted:
        ids = torch.zeros(rows, length, dtype=torch.long, device=model.device)
        slots = torch.arange(count, device=model.device).expand(rows, -1)
        seen, held = (None if rows == 1 else torch.ones_like(x, dtype=torch.bool) for x in (ids, slots))
        for _ in range(2):
            model.generate(
                ids, slots=slots, source_mask=seen, slot_mask=held, options=replace(options, seeds=range(rows))
            )
    return len(replays)
