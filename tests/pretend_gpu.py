"""A GPU that is not there: tensors that say they are on ``cuda``, and are computed by the CPU.

Code for a GPU has faults that a CPU hides: a tensor on the wrong device, or a value that the host reads while kernels
are recorded. Here they raise what a GPU raises. Recordings are replayed call by call into the memory that they were
made with, so what the host decided stays decided.

A tensor is known by its storage, so a view is where its base is. Gradients inside torch's engine have no known home.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.multiprocessing.reductions import StorageWeakRef
from torch.overrides import TorchFunctionMode
from torch.utils import _pytree as pytree

CPU, CUDA = torch.device("cpu"), torch.device("cuda", 0)
READS = (
    *("item", "tolist", "__bool__", "__int__", "__float__", "__index__", "__contains__", "nonzero", "argwhere"),
    *("masked_select", "equal", "allclose", "unique", "unique_consecutive", "is_nonzero", "bincount"),
)
"""Functions for which the host waits, because it needs a value or a size."""
ANYWHERE = ("copy_", "__set__", "set_", "_has_compatible_shallow_copy_type")
"""Functions whose tensors may be on different devices."""
MAKES = ("tensor", "as_tensor", "asarray", "new_tensor")
"""Functions that copy numbers of Python to the device."""


class PretendGPU(TorchFunctionMode):
    """All calls of torch inside ``with`` keep to the rules of a GPU.

    Attributes:
        tape: The calls of the recording that is being made.
        before: Tensors that these calls changed, and what they held: a recording computes nothing.
        replaying: Whether a recording is computed again, which needs no rules.
    """

    def __init__(self) -> None:
        super().__init__()
        self._homes: dict[int, tuple[StorageWeakRef, torch.device]] = {}
        self.tape: list[tuple[Any, ...]] | None = None
        self.before: list[tuple[Tensor, Tensor]] = []
        self.replaying = False

    def home(self, x: Any) -> torch.device | None:
        """The device of a tensor; None if it is not known."""
        try:
            known = self._homes.get(x.untyped_storage()._cdata)
        except (AttributeError, NotImplementedError, RuntimeError):  # no tensor, or one inside vmap or jvp
            return None
        return None if known is None or known[0].expired() else known[1]

    def put(self, x: Tensor, device: torch.device) -> Tensor:
        """Remember on which device a tensor is."""
        with contextlib.suppress(NotImplementedError, RuntimeError):
            self._homes[x.untyped_storage()._cdata] = (StorageWeakRef(x.untyped_storage()), device)
        if len(self._homes) > 50_000:
            self._homes = {key: known for key, known in self._homes.items() if not known[0].expired()}
        return x

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        if self.replaying:
            return func(*args, **kwargs)
        name, owner = getattr(func, "__name__", ""), getattr(getattr(func, "__self__", None), "__name__", "")
        if name == "__get__" and owner == "device":
            return self.home(args[0]) or func(*args)
        if name == "__get__" and owner in ("is_cuda", "is_cpu"):
            return (self.home(args[0]) == CUDA) == (owner == "is_cuda")
        if name in ("to", "cpu", "cuda") and isinstance(args[0], Tensor):
            return self._moved(name, *args, **kwargs)
        here = self._place(name, args, kwargs)
        if self.tape is not None and (name == "__setitem__" or (name.endswith("_") and not name.startswith("_"))):
            self.before.append((args[0], args[0].clone()))
        result = func(*args, **kwargs)
        made = [x for x in pytree.tree_leaves(result) if isinstance(x, Tensor)]
        for x in made if here is not None and name != "__set__" else ():
            self.put(x, here)
        if name == "__set__" and owner == "data" and (there := self.home(args[1])) is not None:
            self.put(args[0], there)
        if self.tape is not None and name != "__get__" and (made or name == "__setitem__"):
            self.tape.append((func, args, kwargs, result))
        return result

    def _place(self, name: str, args: Any, kwargs: dict[str, Any]) -> torch.device | None:
        """Where the result of a call will be, after checking what a GPU would."""
        tensors = [x for x in pytree.tree_leaves((args, kwargs)) if isinstance(x, Tensor)]
        here = self._meet(name, tensors)
        if here == CUDA and name in READS:
            self._read(name)
        if here == CUDA and name in ("numpy", "__array__"):
            raise TypeError("can't convert cuda:0 device type tensor to numpy")
        if here == CUDA and name in ("__getitem__", "__setitem__"):
            for part in args[1] if isinstance(args[1], tuple) else (args[1],):
                if isinstance(part, list) or (
                    isinstance(part, Tensor) and (part.dtype is torch.bool or self.home(part) != CUDA)
                ):
                    self._read("indexing with a mask, a list, or a tensor of the CPU")
        if (asked := kwargs.get("device")) is not None:
            kwargs["device"], here = "cpu", CUDA if torch.device(asked).type == "cuda" else CPU
            if here == CUDA and name in MAKES and self.home(args[0]) != CUDA:
                self._read(name)
        elif here is None and not tensors and name != "__get__":
            here = CPU
        generator = kwargs.get("generator")
        if generator is not None and here is not None and generator.device.type != here.type:
            raise RuntimeError(
                f"Expected a {here.type!r} device type for generator but found {generator.device.type!r}"
            )
        if generator is not None and self.tape is not None:
            raise RuntimeError("a recording draws from a generator that is not registered with it")
        return here

    def _meet(self, name: str, tensors: list[Tensor]) -> torch.device | None:
        homes = [self.home(x) for x in tensors]
        if name in ANYWHERE or (name in ("__getitem__", "__setitem__", "index_put_", "index_put") and homes[0] == CUDA):
            return homes[0]
        if CUDA not in homes:
            return CPU if CPU in homes else None
        if any(home == CPU and x.dim() > 0 for x, home in zip(tensors, homes, strict=True)):
            found = [(tuple(x.shape), str(home)) for x, home in zip(tensors, homes, strict=True)]
            raise RuntimeError(f"Expected all tensors to be on the same device: {name} of {found}")
        return CUDA

    def _moved(self, name: str, x: Tensor, *args: Any, copy: bool = False, other: Any = None, **kwargs: Any) -> Tensor:
        """``to``, ``cpu`` and ``cuda``."""
        if args and isinstance(args[0], Tensor):
            other = args[0]
        if other is not None:
            there, dtype = self.home(other), other.dtype
        elif name == "to":
            there, dtype, *_ = torch._C._nn._parse_to(*args, **kwargs)
        else:
            there, dtype = CPU if name == "cpu" else CUDA, None
        there, home = CUDA if there is not None and there.type == "cuda" else there, self.home(x)
        moves = there is not None and there != home and CUDA in (there, home)
        if moves:
            self._read(f"{name} from {home} to {there}")
        moved = x.to(dtype=dtype, copy=copy or (moves and dtype in (None, x.dtype)))
        if (now := there or home) is not None:
            self.put(moved, now)
        if self.tape is not None and moved is not x:
            self.tape.append((Tensor.to, (x,), {"dtype": dtype or x.dtype}, moved))
        return moved

    def _read(self, what: str) -> None:
        if self.tape is not None:
            raise RuntimeError(f"operation not permitted when stream is capturing: {what}")


class Generator(torch.Generator):
    """A generator that says it is on a GPU."""

    def __new__(cls, device: Any = "cpu") -> Generator:
        return super().__new__(cls, "cpu")

    def __init__(self, device: Any = "cpu") -> None:
        self._device = CUDA if torch.device(device).type == "cuda" else CPU

    @property
    def device(self) -> torch.device:  # type: ignore[override]
        """Where it says it is."""
        return self._device


class Graph:
    """A recording: its calls, computed again into the memory that they were recorded with."""

    tape: list[tuple[Any, ...]]
    mode: PretendGPU

    def replay(self) -> None:
        """Compute all calls again."""
        self.mode.replaying = True
        try:
            with torch.no_grad():
                for func, args, kwargs, result in self.tape:
                    again = pytree.tree_leaves(func(*args, **kwargs))
                    for old, new in zip(pytree.tree_leaves(result), again, strict=True):
                        if isinstance(old, Tensor) and old.data_ptr() != new.data_ptr():
                            old.copy_(new)
        finally:
            self.mode.replaying = False


class Stream:
    """A stream or an event; there is nothing to wait for."""

    def __init__(self, mode: PretendGPU | None = None) -> None:
        self._mode = mode

    def is_capturing(self) -> bool:
        """Whether kernels are recorded."""
        return self._mode is not None and self._mode.tape is not None

    def __getattr__(self, name: str) -> Any:
        return lambda *args, **kwargs: None


@contextlib.contextmanager
def pretend_gpu() -> Iterator[PretendGPU]:
    """Inside, tensors can be on ``cuda``."""
    mode = PretendGPU()

    @contextlib.contextmanager
    def recorded(graph: Graph, **_: Any) -> Iterator[None]:
        mode.tape, mode.before, graph.mode = [], [], mode
        graph.tape = mode.tape
        try:
            yield
        finally:
            mode.tape = None
            for x, old in reversed(mode.before):
                x.data.copy_(old)

    with pytest.MonkeyPatch.context() as patch:
        for true in ("is_available", "is_initialized", "is_bf16_supported"):
            patch.setattr(torch.cuda, true, lambda *_, **__: True)
        for nothing in ("set_device", "synchronize", "empty_cache", "set_rng_state", "manual_seed_all", "manual_seed"):
            patch.setattr(torch.cuda, nothing, lambda *_, **__: None)
        for number, value in {
            "memory_reserved": 0,
            "graph_pool_handle": 0,
            "current_device": 0,
            "device_count": 1,
        }.items():
            patch.setattr(torch.cuda, number, lambda *_, value=value: value)
        patch.setattr(torch.cuda, "get_rng_state", lambda *_: torch.zeros(16, dtype=torch.uint8))
        patch.setattr(torch.cuda, "get_device_name", lambda *_: "pretended")
        patch.setattr(torch.cuda, "get_device_capability", lambda *_: (9, 0))
        patch.setattr(torch.cuda, "is_current_stream_capturing", lambda: mode.tape is not None)
        patch.setattr(torch.cuda, "current_stream", lambda *_: Stream(mode))
        for context in ("device", "stream"):
            patch.setattr(torch.cuda, context, lambda *_: contextlib.nullcontext())
        for name, value in {"Stream": Stream, "Event": Stream, "CUDAGraph": Graph, "graph": recorded}.items():
            patch.setattr(torch.cuda, name, value)
        patch.setattr(torch, "Generator", Generator)
        patch.setattr(torch.Tensor, "pin_memory", lambda self, *_: self)
        patch.setattr(torch.accelerator, "is_available", lambda *_: True)
        patch.setattr(torch.accelerator, "current_accelerator", lambda *_, **__: torch.device("cuda"))
        patch.setattr(torch.accelerator, "current_stream", lambda *_: Stream(mode))
        with mode:
            yield mode
