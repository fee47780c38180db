"""The model of a server: its name, what it supports, and how much a request may ask for."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from yanlm.data.rows import MASKS
from yanlm.generation.options import FLOW_OPTIONS, ORDERS, SAMPLERS, GenerationOptions, generation_options
from yanlm.modeling.io import SHIPPED
from yanlm.serving.fields import Fields
from yanlm.serving.job import Job
from yanlm.serving.limits import Limits
from yanlm.serving.refusal import bad
from yanlm.tokenization.masked_text import with_masks
from yanlm.writer import Writer

ROUTINGS = ("frozen", "greedy", "resampled", "mean", "argmax")
SEEDS = 2**63 - 1


def model_name(folder: Path) -> str:
    """The name of a model: that of its folder, for a stage that of its run, and ``yanlm`` for the one in the package.

    Example:
        >>> model_name(Path("runs/yanlm/stage2")), model_name(Path("runs/tiny"))
        ('yanlm', 'tiny')
    """
    folder = folder.resolve()
    if folder == SHIPPED.resolve():
        return "yanlm"
    return folder.parent.name if folder.name in ("stage1", "stage2") else folder.name


@dataclass(frozen=True)
class Served:
    """A model behind HTTP.

    Attributes:
        writer: Fills texts.
        name: Its name.
        limits: Limits of a request.
        folder: Its folder as the user named it; ``None`` for the model in the package.
    """

    writer: Writer
    name: str
    limits: Limits
    folder: Path | None = None

    @property
    def facts(self) -> dict[str, Any]:
        """What the page has to know about it."""
        can, config, defaults = self.writer.model.can, self.writer.model.config, self.writer.model.defaults
        return {
            "name": self.name,
            "method": can.method,
            "denoises": can.denoises,
            "experts": config.num_experts if can.routing else 0,
            "steps": can.steps,
            "defaults": {name: getattr(defaults, name) for name in ("steps", "sampler", "reread", "temperature")},
            "reread": can.reread,
            "temperature": can.temperature,
            "max_length": config.max_length,
            "longest_span": config.longest_span,
            "limits": {"steps": self.limits.steps, "results": self.limits.results},
        }

    @property
    def most_tokens(self) -> int:
        """Largest number of tokens to ask for behind a mask: what the model was trained on, if that is known."""
        config = self.writer.model.config
        return int(config.longest_span or config.max_length)

    def options(self, fields: Fields, samples: str = "samples") -> GenerationOptions:
        """The generation options of a request; those that it does not name are the model's.

        Args:
            fields: Fields of the request.
            samples: The name of the field for the number of results.

        Raises:
            Refusal: A value is out of range, or the model does not take it.
        """
        most, given = self.limits, {name for name, value in fields.left.items() if value is not None}
        values: dict[str, Any] = {
            "steps": fields.integer("steps", 3, 1, most.steps),
            "samples": fields.integer(samples, 1, 1, most.results),
            "temperature": fields.number("temperature", 0.0, 0, 10),
            "z0_scale": fields.number("z0_scale", 1.0, 1e-3, 10),
            "reread": fields.flag("reread"),
            "order": fields.choice("order", "confidence", ORDERS),
            "candidates": fields.integer("candidates", 1, 1, most.results),
            "perturb": fields.number("perturb", 0.5, 0, 10),
            "sampler": fields.choice("sampler", "flow", SAMPLERS),
            "routing": fields.choice("routing", "frozen", ROUTINGS),
        }
        named = {name: value for name, value in values.items() if name in given or name == "samples"}
        try:
            options = generation_options(None, named, self.writer.model.defaults)
            self.writer.model.can.check(options)
        except ValueError as error:
            said = str(error)
            wrong = [name for name in (*FLOW_OPTIONS, "temperature", "order") if name in said]
            raise bad(min(wrong, key=said.find, default=None), said) from None
        if options.samples * options.candidates > most.results:
            raise bad(samples, f"{samples} times candidates must be at most {most.results}; ask for fewer")
        return options

    def job(
        self,
        text: str,
        seed: int,
        length: str | int,
        options: GenerationOptions,
        watching: bool = False,
        field: str = "text",
    ) -> Job:
        """The job of one text, from this field of the request.

        Raises:
            Refusal: The text would exceed the limits.
        """
        job = Job(text, seed, length, options, watching, field)
        masks, most = len(MASKS.findall(with_masks(text))), int(self.writer.model.config.max_length)
        if masks > most:  # thousands of them would be read one by one before they are refused
            raise bad(field, f"the text has {masks} masks, and the model takes {most} tokens; shorten it")
        slots = min(max(masks, 1) * self._longest(length), most) * job.results
        if slots > self.limits.slots:
            raise bad(
                field,
                f"up to {slots} tokens would be written for a text, and {self.limits.slots} is the most; "
                "ask for fewer tokens, results or candidates",
            )
        return job

    def _longest(self, length: str | int) -> int:
        """As many slots as a mask may come to."""
        config = self.writer.model.config
        if isinstance(length, int):
            return length
        return int(config.max_length if length == "source" else config.pad_to or getattr(config, "max_span", 2**31))
