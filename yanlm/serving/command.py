"""A request as the command that writes the same text."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Any

from yanlm.generation.options import generation_options
from yanlm.modeling.folder_options import OPTIONS

if TYPE_CHECKING:
    from yanlm.serving.job import Job
    from yanlm.serving.served import Served


def command_of(served: Served, job: Job) -> str:
    """The ``yanlm generate`` of a job, with the model and all options that are not the model's defaults."""
    model, own = served.writer.model, job.options
    asked = generation_options(None, {"sampler": own.sampler}, model.defaults)
    always = ("steps", "sampler") if model.can.denoises else ("steps",)
    given: dict[str, Any] = {} if served.folder is None else {"model": served.folder}
    given |= {"seed": job.seed, "length": job.length, "samples": own.samples}
    for name in dict.fromkeys([*always, *OPTIONS]):
        if name in always or getattr(own, name) != getattr(asked, name):
            given[name] = getattr(own, name)
    if (precision := str(model.dtype).removeprefix("torch.")) != "float32":
        given["precision"] = precision
    options = [word for name, value in given.items() for word in words(name, value)]
    return shlex.join(["yanlm", "generate", *options, *(["--"] if job.text.startswith("-") else []), job.text])


def words(name: str, value: Any) -> list[str]:
    """An option as the words of a command.

    Example:
        >>> words("z0_scale", 1.5), words("reread", False), words("temperature", 0.0)
        (['--z0-scale', '1.5'], ['--no-reread'], ['--temperature', '0'])
    """
    dashed = name.replace("_", "-")
    if isinstance(value, bool):
        return [f"--{dashed}" if value else f"--no-{dashed}"]
    return [f"--{dashed}", str(value).removesuffix(".0")]
