"""The batches of a stage: rows of the corpus, masked and collated, as every process draws them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from yanlm.data.corpus import Corpus
from yanlm.data.loader import RowStream
from yanlm.runs.settings import RunSettings
from yanlm.seeding import row_seed
from yanlm.tokenization.examples import Builder

if TYPE_CHECKING:
    from accelerate import Accelerator


SORTED = 32
"""Steps whose rows are sorted by length together, if the recipe does not say and there is one source, in memory.

The rows of several sources stay mixed: sorted by length, a batch would hold one kind.
"""


class BatchDraw:
    """Batches of one stage, with the rows' seeds.

    Args:
        stream: The rows of every step.
        builder: Makes a batch of them.
        seed: Seed of the stage; the seeds of the rows follow from it and the step.
        with_lengths: Whether a length head is trained.
    """

    def __init__(self, stream: RowStream, builder: Builder, seed: int, with_lengths: bool) -> None:
        self.stream, self.builder, self.seed, self.with_lengths = stream, builder, seed, with_lengths

    def next(self) -> tuple[dict[str, torch.Tensor], list[int]]:
        """The next batch of this process and its rows' seeds."""
        step = self.stream.step
        indexed = next(self.stream)
        seeds = [row_seed(self.seed, step, index) for index, _ in indexed]
        return self.builder.batch([row for _, row in indexed], seeds, with_lengths=self.with_lengths), seeds

    def state_dict(self) -> Any:
        """Where the stream stands."""
        return self.stream.state_dict()

    def load_state_dict(self, state: Any) -> None:
        """Go on from there."""
        self.stream.load_state_dict(state)


def stage_draw(
    settings: RunSettings,
    stage: int,
    corpus: Corpus,
    builder: Builder,
    accelerator: Accelerator,
    with_lengths: bool,
) -> BatchDraw:
    """The draw of a stage for one of its processes."""
    recipe = settings.recipe(stage)
    alike = len(corpus.sources) == 1 and corpus.sources[0].rows is not None
    stream = RowStream(
        corpus,
        recipe.batch_size // settings.accumulate,
        seed=settings.seed,
        rank=accelerator.process_index,
        world=accelerator.num_processes,
        bucket=recipe.bucket or (SORTED if alike else 1),
    )
    stream.length = lambda row: max(map(len, builder.example(row, 0)[:2]))  # tokens: characters leave more padding
    return BatchDraw(stream, builder, row_seed(settings.seed, stage, 0), with_lengths)
