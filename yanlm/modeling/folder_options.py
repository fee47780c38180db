"""How the model of a folder fills texts by default: its ``generation_config.json``.

transformers reads and writes this file, too (:class:`yanlm.modeling.generation_config.YanGenerationConfig`); a program
that only writes texts does not wait for its import.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

from yanlm.generation.options import DEFAULTS, GenerationOptions

OPTIONS_FILE = "generation_config.json"
OPTIONS = ("steps", "temperature", "z0_scale", "routing", "reread", "order", "candidates", "perturb", "sampler")
"""Options of :class:`yanlm.generation.options.GenerationOptions` that the file holds under their own names."""
OTHERS = ("max_new_tokens", "num_return_sequences", "return_dict_in_generate", "seed")
"""Other keys that it may hold, for transformers."""
TOKENS = ("bos_token_id", "pad_token_id", "eos_token_id")
METADATA = ("_commit_hash", "_from_model_config", "transformers_version")


def folder_options(folder: Path) -> GenerationOptions:
    """Options of generation in a model folder; the package's own if it has none.

    Raises:
        ValueError: The file is damaged, or an option in it is unknown or out of range.

    Example:
        >>> from yanlm.modeling.io import SHIPPED
        >>> folder_options(SHIPPED).samples
        1
    """
    try:
        named = json.loads((folder / OPTIONS_FILE).read_text(encoding="utf-8"))
        if not isinstance(named, dict):
            raise ValueError("it holds no table")
        check_known(name for name in named if name not in (*TOKENS, *METADATA))
        return GenerationOptions(**{name: named[name] for name in OPTIONS if name in named})
    except FileNotFoundError:
        return DEFAULTS
    except (OSError, ValueError, TypeError, RecursionError) as error:
        raise ValueError(f"{folder / OPTIONS_FILE} cannot be used: {error}; mend it, or remove it") from None


def check_known(names: Iterable[str]) -> None:
    """Refuse unknown options.

    Raises:
        ValueError: There is one.
    """
    known = sorted([*OPTIONS, *OTHERS])
    if unknown := ", ".join(name for name in names if name not in known):
        raise ValueError(f"generate has no option {unknown}; its options are {', '.join(known)}")
