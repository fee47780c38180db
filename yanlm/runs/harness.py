"""A model of ours in lm-evaluation-harness: ``python -m yanlm.runs.harness --model yanlm --model_args ...``."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch

from moefm.installation import install
from yanlm.generation.options import GenerationOptions, generation_options
from yanlm.seeding import row_seed
from yanlm.tokenization.collation import Ids
from yanlm.tokenization.pieces import encode_piece
from yanlm.tokenization.prompts import encode_with_masks, laid_out
from yanlm.tokenization.tokenizer import encode, mask_id
from yanlm.writer import Writer

if TYPE_CHECKING:
    from collections.abc import Callable

try:
    from lm_eval.api.model import LM
    from lm_eval.api.registry import register_model
except ImportError:  # the extra is not installed: the class is there, and says so when it is made
    LM = object

    def register_model(*names: str) -> Callable[[type], type]:
        """Nothing to register with."""
        return lambda kind: kind


SPAN = 16
"""Tokens of a text that are predicted together, unless the model says how many it was trained on."""


@register_model("yanlm")
class YanLM(LM):  # type: ignore[misc]
    r"""What lm-evaluation-harness asks of a model.

    The probability of a continuation y of M tokens after a context x is that of M slots behind the text,

    .. math:: p(y \mid x) = E_{z_0, k} \prod_m p(y_m \mid x, z_0, k)

    over noise and experts. ``samples`` of them give an unbiased estimate of it. Its logarithm, which is returned, is in
    expectation a lower bound of :math:`\log p(y \mid x)` (Jensen), and more samples bring it closer. For ``gpt2`` and
    ``bart`` it is exact. For ``mlm``, ``mdlm`` and ``sampler=diffusion`` it is the exact probability of one pass.

    What is written (``generate_until``) takes all options of the model's ``generation_config.json``, a likelihood its
    steps, sampler, routing and scale of the noise.

    Args:
        model: Folder of a model, or none for the one in the package.
        steps: Steps T; by default the model's own, or 3.
        sampler: ``flow`` or ``diffusion``; by default the model's own.
        samples: Draws of noise and experts for each likelihood.
        seed: Of them.
        batch_size: Rows of a pass; ``gpt2`` and ``bart`` take one.
        device: Where the model goes; ``cuda``, which the harness passes by default, is ``cpu`` where there is no GPU.
        options: Further arguments of the harness; ignored.

    Raises:
        ValueError: lm-eval is not installed, or there is no model.
    """

    def __init__(
        self,
        model: str | None = None,
        steps: int | None = None,
        sampler: str | None = None,
        samples: int = 16,
        seed: int = 0,
        batch_size: int | str = 32,
        device: str | None = None,
        **options: Any,
    ) -> None:
        if LM is object:
            raise ValueError(f"yanlm in lm-evaluation-harness needs lm-eval: {install('lm-eval')}")
        super().__init__()
        no_gpu = (device or "cpu").startswith("cuda") and not torch.cuda.is_available()  # the harness's own default
        self.writer = Writer.load(model, "cpu" if no_gpu else device or "cpu", writing=True)
        can, named = self.writer.model.can, {"steps": None if steps is None else int(steps), "sampler": sampler}
        named = {name: value for name, value in named.items() if value is not None}
        self.options = generation_options(None, named, self.writer.model.defaults)
        likely = {name: getattr(self.options, name) for name in ("steps", "sampler", "routing", "z0_scale")}
        draws = can.noise and self.options.sampler == "flow"
        self.likelihood = GenerationOptions(**likely, samples=int(samples) if draws else 1)
        self.seed, self.batch = int(seed), int(batch_size) if str(batch_size).isdecimal() else 32
        if can.lengths:  # token by token every row would read the continuations of all
            self.batch = 1

    def loglikelihood(self, requests: Sequence[Any]) -> list[tuple[float, bool]]:
        """Log-probability of each continuation, and whether the model would write it."""
        tokenizer, pairs = self.writer.tokenizer, []
        for context, continuation in (request.args for request in requests):
            space = " " if context[-1:].isspace() or continuation[:1].isspace() or not context else ""
            known = encode_with_masks(tokenizer, f"{context.rstrip()} <mask>" if context.strip() else "<mask>")[:-1]
            pairs.append((known, encode_piece(tokenizer, space + continuation.strip())))
        return self._scores(pairs)

    def loglikelihood_rolling(self, requests: Sequence[Any]) -> list[float]:
        """Log-probability of each text, span after span, each given what comes before it."""
        span, totals = self.writer.model.config.longest_span or SPAN, []
        for (text,) in (request.args for request in requests):
            ids = encode(self.writer.tokenizer, text)
            parts = [(ids[:start], ids[start : start + span]) for start in range(0, len(ids), span)]
            totals.append(sum(score for score, _ in self._scores(parts)))
        return totals

    def generate_until(self, requests: Sequence[Any]) -> list[str]:
        """One span behind each context, of the length that the model predicts, up to the first stop."""
        written = []
        for context, how in (request.args for request in requests):
            [out] = self.writer.write(context, seed=self.seed, options=self.options)
            most = int(how.get("max_gen_toks", out.tokens))
            if out.tokens > most:
                [out] = self.writer.write(context, seed=self.seed, length=most, options=self.options)
            text, until = out.fills[0][-1], how.get("until") or []
            for stop in [until] if isinstance(until, str) else until:
                text = text.split(stop)[0] if stop else text
            written.append(text)
        return written

    def _scores(self, pairs: Sequence[tuple[Ids, Ids]]) -> list[tuple[float, bool]]:
        """Scores of pairs of known tokens and tokens behind them, together where as many slots are filled."""
        scores: dict[int, tuple[float, bool]] = {i: (0.0, True) for i, (_, ids) in enumerate(pairs) if not ids}
        width = {i: len(self._padded(ids)) for i, (_, ids) in enumerate(pairs) if ids}
        for slots in sorted(set(width.values())):
            rows = [i for i, own in width.items() if own == slots]
            for start in range(0, len(rows), self.batch):
                part = rows[start : start + self.batch]
                scores |= dict(zip(part, self._batch([pairs[i] for i in part], part), strict=True))
        return [scores[i] for i in range(len(pairs))]

    def _padded(self, ids: Ids) -> Ids:
        """The tokens of an answer as the model was trained to end it."""
        return list(ids) + [self.writer.builder.pad] * max(0, self.writer.model.config.pad_to - len(ids))

    @torch.no_grad()
    def _batch(self, pairs: Sequence[tuple[Ids, Ids]], places: Sequence[int]) -> list[tuple[float, bool]]:
        model, builder = self.writer.model, self.writer.builder
        wanted = torch.tensor([self._padded(ids) for _, ids in pairs], device=model.device)
        mask, slots = mask_id(self.writer.tokenizer), wanted.shape[1]
        room = model.config.max_length - slots
        if room < 0:
            raise ValueError(f"a continuation has {slots} tokens, and the model takes {model.config.max_length}")
        layout: dict[str, Any] = {"form": builder.form, "max_length": model.config.max_length, "appended": True}
        ends = [[*known[max(0, len(known) - room) :], mask] for known, _ in pairs]
        examples = [laid_out(ids, [slots], mask, **layout) for ids in ends]
        batch = {name: tensor.to(model.device) for name, tensor in builder.collate(examples).items()}
        how = {name: batch[name] for name in ("slots", "source_mask", "slot_mask")}
        seeds = [row_seed(self.seed, 0, place) for place in places]
        scores = model.generate(batch["source_ids"], **how, choices=wanted, options=self.likelihood, seeds=seeds).scores
        own = scores.diagonal(dim1=0, dim2=2).double()  # (samples, B): of each row its own continuation
        total = (own.logsumexp(0) - math.log(len(own))).tolist()
        written = model.generate(batch["source_ids"], **how, options=self.options, seeds=seeds).tokens[:, 0]
        return list(zip(total, (written == wanted).all(1).tolist(), strict=True))


if __name__ == "__main__":
    from lm_eval.__main__ import cli_evaluate

    cli_evaluate()
