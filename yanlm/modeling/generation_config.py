"""How ``generate`` of transformers fills masks: its configuration, saved as ``generation_config.json``."""

from __future__ import annotations

from typing import Any

from transformers import GenerationConfig

from moefm.checks import check_count
from yanlm.generation.options import DEFAULTS, GenerationOptions
from yanlm.modeling.folder_options import METADATA, OPTIONS, TOKENS, check_known


def set_options(config: Any) -> dict[str, Any]:
    """Options that a configuration of transformers' own class sets, by name.

    Raises:
        ValueError: It is no configuration.

    Example:
        >>> set_options(GenerationConfig(max_new_tokens=4))
        {'max_new_tokens': 4}
    """
    if not isinstance(config, GenerationConfig):
        raise ValueError(f"generation_config must be a YanGenerationConfig, got {type(config).__name__}")
    named = config.to_diff_dict().items()
    return {name: value for name, value in named if name not in METADATA and value is not None}


class YanGenerationConfig(GenerationConfig):
    """What transformers' ``generate`` may be asked of a model that fills all its masks at once.

    Like other models that do not write from left to right, it leaves out the options of those that do.

    Attributes:
        steps: Steps T of a flow, turns where it rereads, passes of a masked model.
        max_new_tokens: Masks that are put behind a row that has none; by default the model's ``pad_to``, else its
            ``longest_span``, else 16.
        seed: Every row has its own randomness, from this and its place; ``None`` for another at each call.
        num_return_sequences: Results for each row.
        return_dict_in_generate: Return a :class:`yanlm.modeling.sequences.YanGenerationOutput`; False for its
            ``sequences`` alone.
        temperature, z0_scale, routing, reread, order, candidates, perturb, sampler: As in
            :class:`yanlm.generation.options.GenerationOptions`.

    Raises:
        ValueError: An option is unknown or out of range.

    Example:
        >>> config = YanGenerationConfig(steps=8, max_new_tokens=12)
        >>> config.steps, config.options().temperature
        (8, 0.0)
        >>> YanGenerationConfig(num_beams=4)
        Traceback (most recent call last):
        ValueError: generate has no option num_beams; its options are candidates, max_new_tokens, ...
    """

    def __init__(self, **kwargs: Any) -> None:  # the attributes of the parent belong to other models
        for name in OPTIONS:
            setattr(self, name, kwargs.pop(name, getattr(DEFAULTS, name)))
        self.max_new_tokens: int | None = kwargs.pop("max_new_tokens", None)
        self.seed: int | None = kwargs.pop("seed", None)
        self.num_return_sequences: int = kwargs.pop("num_return_sequences", 1)
        self.return_dict_in_generate: bool = kwargs.pop("return_dict_in_generate", True)
        for name in (*TOKENS, *METADATA):
            setattr(self, name, kwargs.pop(name, None))
        check_known(kwargs)
        self.validate()

    def validate(self, strict: Any = False, user_set_attributes: set[str] | None = None) -> None:
        """Check every value.

        Raises:
            ValueError: One is out of range.
        """
        check_count("num_return_sequences", self.num_return_sequences)
        self.options()
        if self.max_new_tokens is not None:
            check_count("max_new_tokens", self.max_new_tokens)
        if self.seed is not None:
            check_count("seed", self.seed, minimum=-(2**63))

    def options(self) -> GenerationOptions:
        """The same as options of :meth:`yanlm.YanModel.generate`, but for the seeds."""
        own = {name: getattr(self, name) for name in OPTIONS}
        return GenerationOptions(**own, samples=self.num_return_sequences)

    @classmethod
    def from_model_config(cls, *args: Any, **kwargs: Any) -> Any:
        """There is nothing of it in a model's configuration."""
        raise NotImplementedError("the configuration of a model holds no options of generation")
