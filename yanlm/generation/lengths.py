"""How many tokens stand behind a single mask: predicted by the length head, or found by a model as it writes."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch

from yanlm.generation.autoregressive import write_free
from yanlm.tokenization.collation import Example, Ids, call_cost, together
from yanlm.tokenization.examples import Builder
from yanlm.tokenization.masking import span_lengths

if TYPE_CHECKING:
    from yanlm.nn.ar_network import ARNetwork
    from yanlm.nn.network import YanNetwork


@torch.no_grad()
def predicted_lengths(
    model: YanNetwork, builder: Builder, sources: Sequence[Ids], batch_size: int = 50
) -> list[list[int]]:
    """Most probable number of tokens behind each single mask, from the encoder's state there."""
    examples = [Example(source, source, [], []) for source in sources]
    lengths: dict[int, list[int]] = {}
    for rows in together(examples, batch_size, call_cost(model.config.d_model, model.device.type)):
        batch = builder.collate([examples[i] for i in rows])
        ids, mask = batch["source_ids"].to(model.device), batch["source_mask"].to(model.device)
        best = (model.length_head(model.encode(ids, mask)).argmax(-1) + 1).tolist()
        for i, row in zip(rows, best, strict=True):
            lengths[i] = [n for n, token in zip(row, sources[i], strict=False) if token == builder.mask]
    return [lengths[i] for i in range(len(sources))]


def written_lengths(model: ARNetwork, examples: Sequence[Example]) -> list[list[int]]:
    """Number of tokens that a model writes for each single mask of the examples, greedily.

    Masks without a word between them share what it writes for all of them.
    """
    lengths = []
    for example in examples:
        ids = torch.tensor([example.source], device=model.device)
        [spans] = write_free(model, ids, slots=torch.tensor([example.slots], device=ids.device))
        lengths.append(shared_lengths(example.slots, [len(span) for span in spans]))
    return lengths


def shared_lengths(masks: Sequence[int], lengths: Sequence[int]) -> list[int]:
    """Tokens behind each mask, if every run of adjacent masks has a length; the first ones get one more if needed.

    Example:
        >>> shared_lengths([1, 2, 5], [5, 4])
        [3, 2, 4]
    """
    shares = []
    for count, length in zip(span_lengths(masks), lengths, strict=True):
        share, more = divmod(max(length, count), count)
        shares += [share + (i < more) for i in range(count)]
    return shares


def capped(lengths: list[list[int]], most: int, depth: int = 5) -> list[list[int]]:
    """Numbers of tokens behind the masks of each text, limited to what the model was trained on, with a warning.

    Args:
        lengths: The wanted numbers.
        most: Largest number in training; 0 if unknown, and then nothing is cut.
        depth: Calls up to the one that the warning names.

    Example:
        >>> capped([[2, 1]], most=3), capped([[20]], most=0)
        ([[2, 1]], [[20]])
    """
    wanted = max((n for row in lengths for n in row), default=0)
    if not most or wanted <= most:
        return lengths
    warnings.warn(
        f"the model never saw more than {most} tokens behind a mask, so {most} are written in place of {wanted}; "
        "more masks give more room",
        stacklevel=depth,
    )
    return [[min(n, most) for n in row] for row in lengths]
