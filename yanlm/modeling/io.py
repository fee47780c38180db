"""Model folders: what ``yanlm train`` writes and every other command reads."""

from __future__ import annotations

import json
import logging
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from moefm.checks import check_choice
from yanlm.files import filling, pasted, write_json

if TYPE_CHECKING:
    from collections.abc import Iterator

    from transformers import PreTrainedTokenizerFast

WEIGHTS_FILE = "model.safetensors"
INDEX_FILE = "model.safetensors.index.json"
"""Says which weight is in which file, where there are several."""
MOST_CONFIG = 2**20


SHIPPED = Path(__file__).parents[1] / "shipped"
"""The model that comes with the package: it fills English sentences of stories. Its README.md says how it was made."""


def model_folder(folder: str | Path | None = None) -> Path:
    """Folder that holds the model: ``folder`` itself, or its ``stage2``, or its ``stage1``; ``None`` for the shipped.

    Raises:
        ValueError: There is none. The message lists runs inside it, such as the seeds of a fine-tuning.
    """
    root = SHIPPED if folder is None else Path(folder)
    if holder := _model_in(root):
        return holder
    if not root.exists():
        raise ValueError(f"no folder {root}; train a model first: yanlm train --out {pasted(root)}")
    if inside := sorted(str(path) for path in root.glob("*/") if _model_in(path)):
        shown = ", ".join(inside[:3]) + ", …" * (len(inside) > 3)
        raise ValueError(f"{root} holds runs, not a model; name one of them: {shown}")
    raise ValueError(f"{root} holds no model (config.json and model.safetensors); yanlm train --out DIR makes one")


def _model_in(root: Path) -> Path | None:
    """The first of a folder and its stages, last before first, that holds a model."""
    for candidate in (root, root / "stage2", root / "stage1"):
        if (candidate / "config.json").is_file() and any((candidate / f).is_file() for f in (WEIGHTS_FILE, INDEX_FILE)):
            return candidate
    return None


def weight_files(folder: Path) -> list[Path]:
    """The files of a model's weights: one, or several that an index names, as transformers saves large models.

    Raises:
        ValueError: The index is damaged, or names a file outside the folder.
    """
    if (folder / WEIGHTS_FILE).is_file():
        return [folder / WEIGHTS_FILE]
    try:
        names = set(json.loads((folder / INDEX_FILE).read_text(encoding="utf-8"))["weight_map"].values())
        if any(Path(name).name != name for name in names):
            raise ValueError("it names a file outside the folder")
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise ValueError(f"{INDEX_FILE} is damaged: {error}") from None
    return [folder / name for name in sorted(names)]


@contextmanager
def quiet() -> Iterator[None]:
    """Hide the loading bars of Hugging Face: these models load very quickly."""
    from transformers.utils import logging as hf

    level, bars = hf.get_verbosity(), hf.is_progress_bar_enabled()
    hf.set_verbosity(logging.ERROR)
    hf.disable_progress_bar()
    try:
        yield
    finally:
        hf.set_verbosity(level)
        if bars:
            hf.enable_progress_bar()


def save_model(
    folder: str | Path, model: Any, tokenizer: PreTrainedTokenizerFast, run: dict[str, Any] | None = None
) -> None:
    """Write config.json, model.safetensors, the card, the tokenizer, and ``run.json`` if given; weights last.

    Args:
        folder: Created if it does not exist. What it held stays until all is written.
        model: A ``YanModel`` or an ``ARModel``.
        tokenizer: Its tokenizer.
        run: Record of the training.

    Example:
        >>> import tempfile
        >>> from yanlm import YanConfig, YanModel, train_tokenizer
        >>> config = YanConfig(vocab_size=262, pad_token_id=260, mask_token_id=261, d_model=16, num_heads=2)
        >>> folder = Path(tempfile.mkdtemp()) / "model"
        >>> save_model(folder, YanModel(config), train_tokenizer(["a small text"], 260))
        >>> (folder / "config.json").is_file(), (folder / "model.safetensors").is_file()
        (True, True)
    """
    from yanlm.modeling.card import model_card

    folder = Path(folder)
    if run is not None or getattr(model, "card", None) is None:
        model.card = model_card(model.config, run, folder.name)
    with filling(folder, last=WEIGHTS_FILE) as beside, quiet():
        model.save_pretrained(beside)
        tokenizer.save_pretrained(beside)
        if run is not None:
            write_json(beside / "run.json", run)


def load_config(folder: str | Path | None = None) -> Any:
    """The configuration of a model folder, or of its last stage, without reading the weights.

    Raises:
        ValueError: There is no model, or its config.json is damaged or of another kind.
    """
    from yanlm.config import ARConfig, YanConfig

    folder = model_folder(folder)
    kinds: dict[str, Any] = {kind.model_type: kind for kind in (YanConfig, ARConfig)}
    try:
        if (folder / "config.json").stat().st_size > MOST_CONFIG:
            raise ValueError(f"its config.json has more than {MOST_CONFIG:,} bytes")
        values = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        if not isinstance(values, dict):
            raise ValueError("its config.json holds no table")
        name = values.get("model_type")
        if not isinstance(name, str) or name not in kinds:
            raise ValueError(f"it holds a model of type {name!r}, not {' or '.join(map(repr, kinds))}")
        return kinds[name].from_dict(values)
    except Exception as error:  # damaged files fail in many ways, and every one is the user's to repair
        raise ValueError(f"cannot load the model in {folder}: {first_line(error)}") from None


def load_model(
    folder: str | Path | None = None, device: str = "cpu", *, writing: bool = False, precision: str = "float32"
) -> Any:
    """Load the model of a folder, or of its last stage: a ``YanModel``, or an ``ARModel`` if its config.json says so.

    Only JSON and safetensors are read, never a pickle.

    Args:
        folder: Folder of a run, or of a model; ``None`` for the model that comes with the package.
        device: Device of the model.
        writing: Instead of a ``YanModel`` load a :class:`yanlm.modeling.writing.WritingModel`, which only writes and
            does not import Hugging Face's base class.
        precision: Of the weights, however they are stored: ``float32``, in which every model trains, or ``bfloat16``.
            The latter is faster for large models and batches, but what is written into a text may then depend on the
            texts beside it.

    Raises:
        ValueError: There is no model, its files are damaged, they do not fit together, a weight is not finite, or torch
            has no such device here.

    Warns:
        UserWarning: The device computes in bfloat16 more slowly than in float32.

    Example:
        >>> model = load_model()  # the one that comes with the package
        >>> type(model).__name__, model.training, model.dtype
        ('YanModel', False, torch.float32)
    """
    import torch

    from moefm.inputs import check_device
    from yanlm.modeling.folder_options import folder_options
    from yanlm.modeling.weights import check_finite, check_shapes, read_shapes
    from yanlm.nn.half_precision import warn_of_slow_bfloat16

    check_device(device)
    folder = model_folder(folder)
    config = load_config(folder)
    kind, options = _kind(config, writing), folder_options(folder)
    try:
        files = weight_files(folder)
        check_shapes(kind, config, {name: shape for file in files for name, shape in read_shapes(file).items()})
        if hasattr(kind, "from_pretrained"):
            with quiet():
                model = kind.from_pretrained(folder, config=config, local_files_only=True, use_safetensors=True)
        else:
            model = kind.load(files, config)
            model.defaults = options
    except Exception as error:  # damaged files fail in many ways, and every one is the user's to repair
        raise ValueError(f"cannot load the model in {folder}: {first_line(error)}") from None
    check_finite(folder, model)
    dtypes = {"float32": torch.float32, "bfloat16": torch.bfloat16}
    if check_choice("precision", precision, dtypes) == "bfloat16":
        warn_of_slow_bfloat16(device, "use precision 'float32', unless memory is short")
    model.to(device, dtypes[precision])
    return model.eval()


def _kind(config: Any, writing: bool) -> Any:
    """Class of the model of a configuration."""
    if config.model_type == "yan-ar":
        from yanlm.modeling.autoregressive import ARModel

        return ARModel
    if writing:
        from yanlm.modeling.writing import WritingModel

        return WritingModel
    from yanlm.modeling.yan import YanModel

    return YanModel


def first_line(error: Exception) -> str:
    """What an error says, in one line."""
    return next(iter(str(error).splitlines()), type(error).__name__)
