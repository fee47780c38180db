"""Semantic scores by a sentence encoder: how far texts are from each other and from references."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from moefm.checks import check_count
from yanlm.evaluation.bert_layers import baseline_f1, default_layer
from yanlm.evaluation.sentence_encoder import SentenceEncoder
from yanlm.tasks.metrics import check_pairs, check_texts


def sem_dist(groups: Sequence[Sequence[str]], encoder: SentenceEncoder) -> float:
    """Semantic diversity: the mean over groups of the mean of 1 - cos(e_i, e_j) over all pairs of a group's texts.

    Args:
        groups: The samples of each prompt; groups of fewer than two texts are left out.
        encoder: What gives the embeddings e.

    Raises:
        ValueError: No group has two texts, or ``groups`` is one list of texts.

    Example:
        >>> class Axes:  # stands in for an encoder: texts that differ are at right angles
        ...     def embed(self, texts):
        ...         return torch.stack([torch.eye(2)[int(text == "no")] for text in texts])
        >>> sem_dist([["yes", "no"], ["yes", "yes"], ["no"]], Axes())
        0.5
    """
    if not (usable := [group for group in (check_texts("groups", group) for group in groups) if len(group) > 1]):
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


class BertScore:
    """BERTScore F1 by a layer of an encoder, without idf weights, as the package bert-score computes it.

    Each token is matched with the most similar one of the other text: P = mean_i max_j cos(p_i, r_j), R the same with
    the roles exchanged, F1 = 2 P R / (P + R). The tokens that begin and end a text, such as [CLS] and [SEP], can be
    matched with, but are not counted among the i. A text without any other token scores 0. Rescaled is
    (F1 - b) / (1 - b), where b is what unrelated texts score.

    Args:
        encoder: An encoder, or its folder.
        layer: Whose states are compared, 0 for the embeddings. If not given, the package's choice for the encoders that
            it knows (:func:`yanlm.evaluation.bert_layers.default_layer`), else the last.
        baseline: b, or a table of the package (``rescale_baseline/en/roberta-large.tsv``) with b for each layer. If not
            given, nothing is rescaled.

    Raises:
        ValueError: The folder holds no encoder, there is no such layer, or b is missing or not below 1.

    Attributes:
        settings: ``encoder``, ``layer`` and ``baseline`` for a report.
    """

    def __init__(
        self,
        encoder: SentenceEncoder | str | Path,
        layer: int | None = None,
        baseline: float | str | Path | None = None,
    ) -> None:
        self.encoder = SentenceEncoder(encoder) if isinstance(encoder, str | Path) else encoder
        layers = self.encoder.layers
        self.layer = default_layer(self.encoder.names, layers) if layer is None else check_count("layer", layer, 0)
        if self.layer > layers:
            raise ValueError(f"layer must be 0 to {layers}, as many as the encoder has, got {layer}")
        self.baseline = None if baseline is None else baseline_f1(baseline, self.layer)
        self.settings = {"encoder": self.encoder.names[0], "layer": self.layer, "baseline": self.baseline}

    def __call__(
        self, predictions: Sequence[str], references: Sequence[str | Sequence[str]], batch_size: int = 64
    ) -> list[float]:
        """Scores of N predictions, each with its reference or the best of its references.

        Raises:
            ValueError: There is not one reference, or a list of at least one, for each prediction.
            TypeError: One of them is no text.
        """
        check_count("batch_size", batch_size)
        texts = check_texts("predictions", predictions)
        groups = _groups(references)
        check_pairs(texts, groups)
        scores: list[list[float]] = [[] for _ in texts]
        pairs = [(i, text, reference) for i, text in enumerate(texts) for reference in groups[i]]
        for start in range(0, len(pairs), batch_size):
            owners, left, right = zip(*pairs[start : start + batch_size], strict=True)
            for i, score in zip(owners, self._f1(left, right), strict=True):
                scores[i].append(score)
        b = self.baseline or 0.0
        return [(max(several) - b) / (1 - b) for several in scores]

    def _f1(self, predictions: Sequence[str], references: Sequence[str]) -> list[float]:
        """F1 of pairs without rescaling.

        Padding is a token with cosine 0 to all others, as in the package. It only matters to a token that is unlike
        every token of the other text, and only if a longer pair is in the batch.
        """
        (p, p_counts), (r, r_counts) = self._tokens(predictions), self._tokens(references)
        cosines = p @ r.mT
        precision = (cosines.amax(2) * p_counts).sum(1) / p_counts.sum(1)  # 0 / 0 without a token that counts
        recall = (cosines.amax(1) * r_counts).sum(1) / r_counts.sum(1)
        f1 = 2 * precision * recall / (precision + recall)
        return list(f1.masked_fill(f1.isnan(), 0.0).tolist())

    def _tokens(self, texts: Sequence[str]) -> tuple[Tensor, Tensor]:
        """States of length 1 with zeros for padding (N, L, d), and which of them count (N, L)."""
        encoder, tokenizer = self.encoder, self.encoder.tokenizer
        space = " " if encoder.model.config.model_type in ("roberta", "gpt2") else ""  # a first word is like any other
        stripped = [f"{space}{text.strip()}" if text.strip() else "" for text in texts]
        states, ids, mask = encoder.states(stripped, layer=self.layer, length=encoder.longest)
        ends = [id for id in (tokenizer.cls_token_id, tokenizer.sep_token_id) if id is not None]
        counts = mask & ~torch.isin(ids, torch.tensor(ends, dtype=ids.dtype, device=ids.device))
        return nn.functional.normalize(states, dim=-1) * mask[..., None], counts


def load_bert_score(
    encoder: str | Path | None,
    layer: int | None = None,
    baseline: float | str | Path | None = None,
    *,
    device: str = "cpu",
    used: bool = True,
) -> BertScore | None:
    """BERTScore with the encoder in a folder, or ``None`` without a folder.

    Raises:
        ValueError: A layer or a baseline is given without an encoder, or where BERTScore is not ``used``.
    """
    if (layer is not None or baseline is not None) and (encoder is None or not used):
        why = "BERTScore needs an encoder" if used else "labels have no BERTScore"
        raise ValueError(f"bert_layer and bert_baseline are options of BERTScore, and {why}; leave them out")
    return None if encoder is None else BertScore(SentenceEncoder(encoder, device), layer, baseline)


def bert_score(
    predictions: Sequence[str],
    references: Sequence[str | Sequence[str]],
    encoder: SentenceEncoder | str | Path,
    batch_size: int = 64,
    *,
    layer: int | None = None,
    baseline: float | str | Path | None = None,
) -> list[float]:
    """BERTScore F1 of every prediction with its reference, or the best of several: :class:`BertScore`.

    Raises:
        ValueError: There is not one reference, or a list of at least one, for each prediction, or an option is wrong.
        TypeError: One of them is no text.
    """
    return BertScore(encoder, layer, baseline)(predictions, references, batch_size)


def _groups(references: Sequence[str | Sequence[str]]) -> list[list[str]]:
    """The references of each prediction as a list."""
    if isinstance(references, str):
        check_texts("references", references)
    groups = [[group] if isinstance(group, str) else check_texts("references", group) for group in references]
    if not all(groups):
        raise ValueError(f"references must hold at least one text for each prediction, got none at {groups.index([])}")
    return groups
