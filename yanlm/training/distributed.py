"""One model on one or many processes: wrapping it, agreeing on numbers, and its whole state as named tensors."""

from __future__ import annotations

import copy
import os
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import torch
from torch import Tensor, nn
from torch.distributed.checkpoint.state_dict import (
    StateDictOptions,
    get_model_state_dict,
    get_optimizer_state_dict,
    set_model_state_dict,
    set_optimizer_state_dict,
)

from yanlm.training.checkpoints import CheckpointError

if TYPE_CHECKING:
    from accelerate import Accelerator

T = TypeVar("T")


class Processes:
    """Small messages between the processes of a run, over the CPU so that no device has to wait for them."""

    def __init__(self, accelerator: Accelerator) -> None:
        self.count, self.rank = accelerator.num_processes, accelerator.process_index
        self.main = accelerator.is_main_process
        self._group: Any = None
        if self.count > 1 and torch.distributed.get_backend() != "gloo":
            self._group = torch.distributed.new_group(backend="gloo")

    def sum(self, numbers: Sequence[float]) -> list[float]:
        """Sums over the processes, the same on each."""
        if self.count == 1:
            return list(numbers)
        total = torch.tensor(numbers, dtype=torch.float64)
        torch.distributed.all_reduce(total, group=self._group)
        return total.tolist()

    def any(self, flag: bool) -> bool:
        """Whether any process says so."""
        return self.sum([float(flag)])[0] > 0

    def from_main(self, value: T) -> T:
        """The main process's value, everywhere."""
        if self.count == 1:
            return value
        box = [value]
        torch.distributed.broadcast_object_list(box, src=0, group=self._group)
        return box[0]

    def gather(self, value: T) -> list[T]:
        """The values of all processes, in their order."""
        if self.count == 1:
            return [value]
        box: list[Any] = [None] * self.count
        torch.distributed.all_gather_object(box, value, group=self._group)
        return box

    def on_main(self, work: Callable[[], object]) -> None:
        """Do ``work`` on the main process; its :class:`CheckpointError` is raised on all."""
        error: CheckpointError | None = None
        if self.main:
            try:
                work()
            except CheckpointError as caught:
                error = caught
        message = self.from_main(None if error is None else str(error))
        if message is not None:
            raise error or CheckpointError(message)


def wrap(model: nn.Module, accelerator: Accelerator) -> tuple[nn.Module, nn.Module]:
    """``(wrapped, bare)``: what to call, and the module within whose parameters are trained.

    With FSDP ``bare`` is a sharded copy and ``model`` stays whole. The sharding is done here, not by
    ``accelerate.prepare``, which refuses CPU processes and gathers embedding and head apart from the rest, though a
    tied head and keys read ahead of their block use weights out of turn. One unit gathers all weights for a step;
    gradients, AdamW's moments and the averages stay sharded.
    """
    asked = os.environ.get("ACCELERATE_USE_FSDP", "false").lower() == "true"
    sharded = asked or str(accelerator.distributed_type.value) == "FSDP"
    if not (sharded and accelerator.num_processes > 1):
        return accelerator.prepare_model(model), model
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard

    bare = copy.deepcopy(model)
    fully_shard(bare, mesh=init_device_mesh(accelerator.device.type, (accelerator.num_processes,)))
    for buffer in bare.buffers():
        buffer.data = buffer.data.to(accelerator.device)
    return bare, bare


def unwrap(model: nn.Module, accelerator: Accelerator) -> None:
    """Undo :func:`wrap`: the model is its caller's again, without gradients and in evaluation mode."""
    accelerator.free_memory()
    for name in ("forward", "_original_forward", "_is_accelerate_prepared"):  # what wrapping has left on the model
        vars(model).pop(name, None)
    model.zero_grad(set_to_none=True)
    model.eval()


def aliases(model: nn.Module) -> dict[str, str]:
    """Names of tied parameters, each with the name under which the parameter is kept."""
    first: dict[int, str] = {}
    tied = {}
    for name, parameter in model.named_parameters(remove_duplicate=False):
        if first.setdefault(id(parameter), name) != name:
            tied[name] = first[id(parameter)]
    return tied


def snapshot(model: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, dict[str, Tensor]]:
    """Whole tensors of model and optimizer on the CPU, by name; every process calls this, the first one gets them."""
    options = StateDictOptions(full_state_dict=True, cpu_offload=True)
    tied = aliases(model)
    weights = get_model_state_dict(model, options=options)
    tensors: dict[str, dict[str, Any]] = {"model": {name: value for name, value in weights.items() if name not in tied}}
    if optimizer.state:  # asking before the first step would take a step
        state: Any = get_optimizer_state_dict(model, optimizer, options=options).get("state", {})
        tensors["optimizer"] = {f"{name}/{key}": value for name, own in state.items() for key, value in own.items()}
    return tensors


def restore(model: nn.Module, optimizer: torch.optim.Optimizer, tensors: Mapping[str, Mapping[str, Tensor]]) -> None:
    """Give model and optimizer the tensors of :func:`snapshot`, on every process.

    Raises:
        CheckpointError: They are of another model.
    """
    weights: dict[str, Any] = dict(tensors["model"])
    weights.update({name: weights[kept] for name, kept in aliases(model).items() if kept in weights})
    own = {name: tuple(value.shape) for name, value in model.state_dict().items()}
    given = {name: tuple(value.shape) for name, value in weights.items()}
    if own != given:
        names = sorted(name for name in own.keys() | given.keys() if own.get(name) != given.get(name))
        raise CheckpointError(
            f"the checkpoint is of another model: {len(names)} of {len(own)} tensors differ in name or shape, "
            f"for instance {names[0]}; resume with the settings the run was begun with"
        )
    _check_numbers(model, tensors)
    options = StateDictOptions(full_state_dict=True)
    set_model_state_dict(model, weights, options=options)
    optimizer.zero_grad(set_to_none=True)
    if "optimizer" not in tensors:
        optimizer.state.clear()
        return
    state: dict[str, Any] = {}
    for name, value in tensors["optimizer"].items():
        parameter, _, key = name.rpartition("/")
        state.setdefault(parameter, {})[key] = value
    groups = get_optimizer_state_dict(model, optimizer)["param_groups"]
    lenient = StateDictOptions(full_state_dict=True, strict=False)  # parameters without a gradient have no moments
    set_optimizer_state_dict(model, optimizer, {"state": state, "param_groups": groups}, options=lenient)
    for name, weight in model.named_parameters():
        if name not in state and weight in optimizer.state:
            del optimizer.state[weight]


def _check_numbers(model: nn.Module, tensors: Mapping[str, Mapping[str, Tensor]]) -> None:
    """Moments and averages go with the parameters, and no weight is infinite or no number."""
    shapes = {name: tuple(parameter.shape) for name, parameter in model.named_parameters()}
    moments: dict[str, set[str]] = {}
    for name, value in [*tensors.get("optimizer", {}).items(), *tensors.get("ema", {}).items()]:
        parameter, mark, key = name.rpartition("/") if name not in shapes else (name, "", "")
        if parameter not in shapes or (key != "step" and tuple(value.shape) != shapes[parameter]):
            raise CheckpointError(f"the checkpoint is of another model: {name} goes with none of its weights")
        if mark:
            moments.setdefault(parameter, set()).add(key)
    known = ({"step", "exp_avg", "exp_avg_sq"}, {"momentum_buffer"})
    if any(keys not in known for keys in moments.values()):
        raise CheckpointError("the checkpoint is of another optimizer than AdamW and Muon, or not whole")
    for part in ("model", "ema"):
        bad = [name for name, value in tensors.get(part, {}).items() if not bool(value.isfinite().all())]
        if bad:
            raise CheckpointError(f"the checkpoint holds numbers that are not finite, in {bad[0]}")
