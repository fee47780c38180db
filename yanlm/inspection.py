"""What the latent space of a model looks like: the paper's Fig. 3 in numbers, for any checkpoint."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from moefm import mmd2, scale_penalty
from moefm._checks import check_count
from moefm.regularizers import BANDWIDTHS
from yanlm.data import load_corpus
from yanlm.folders import load_model, model_folder
from yanlm.masking import Masking
from yanlm.noise import generators, row_seed
from yanlm.readers import DataError
from yanlm.tasks import Builder, Example
from yanlm.tokenization import decode, load_tokenizer

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

    from yanlm.modeling import YanModel

NOISE_LEVELS = (0.0, 0.1, 0.2, 0.3, 0.5, 0.75, 1.0, 1.5)
"""Standard deviations of the noise under which latents are decoded."""

LEAST = 50
"""Fewest latents that say anything about their distribution."""

_POINTS = 2000  # that MMD is estimated from, as many as the paper takes in training
_OFTEN = 5  # occurrences from which a token counts for the variance between tokens
_ROWS, _TOKENS, _NOISE, _NORMAL, _REFERENCE = range(5)  # independent streams of random numbers
_SPARE = 4  # texts are read until they hold this many times the tokens that are looked at


@dataclass(frozen=True)
class Inspection:
    """What :func:`inspect_latents` found.

    Attributes:
        numbers: JSON-able; see :func:`inspect_latents`.
        coordinates: Latents on their first two principal components, ``(n, 2)``.
        ids: Their tokens, ``(n,)``.
        frequent: The most frequent tokens among them, with what they look like in print.
    """

    numbers: dict[str, Any]
    coordinates: Tensor = field(repr=False)
    ids: Tensor = field(repr=False)
    frequent: list[tuple[int, str]]


def inspect_latents(
    model: YanModel,
    tokenizer: PreTrainedTokenizerFast | Builder,
    rows: Sequence[Mapping[str, Any]],
    *,
    tokens: int = 4000,
    top: int = 8,
    noise_levels: Sequence[float] = NOISE_LEVELS,
    seed: int = 0,
) -> Inspection:
    """Encode clean texts and measure the distribution of their latents.

    The numbers are those of :func:`geometry`, and ``tokens`` (how many latents), ``dim``, ``types`` (different tokens
    among them), ``reconstruction`` (share of tokens decoded right from their own latent), ``accuracy_under_noise``
    (the same for ``z + s eps``, by s), ``half_noise`` (the s at which half of them are still right, or None), the
    ``spectrum`` (shares of the variance by component), ``bandwidths``, ``frequent`` and ``normal``: the geometry of as
    many standard normal draws, which is what an isotropic latent space would show and how precise the estimates are.

    Args:
        model: Any :class:`yanlm.modeling.YanModel`.
        tokenizer: The model's tokenizer, or a builder that has it.
        rows: Held-out rows.
        tokens: Most latents to look at, drawn from all of them.
        top: Number of frequent tokens to tell apart.
        noise_levels: Standard deviations s.
        seed: Of the draws.

    Raises:
        ValueError: The rows hold fewer than 50 tokens, an option is out of range, or latents are not finite.

    Example:
        >>> from yanlm.config import YanConfig
        >>> from yanlm.modeling import YanModel
        >>> from yanlm.tokenization import train_tokenizer
        >>> tokenizer = train_tokenizer(["a small text"], 260)
        >>> model = YanModel(YanConfig(vocab_size=262, pad_token_id=260, mask_token_id=261, d_model=16, num_heads=2))
        >>> found = inspect_latents(model, tokenizer, [{"text": "a small text " * 9}])
        >>> found.numbers["tokens"], len(found.numbers["spectrum"]), found.frequent[0][1]
        (117, 16, '␣')
    """
    check_count("tokens", tokens, LEAST)
    check_count("top", top, minimum=0)
    levels = _levels(noise_levels)
    words = tokenizer.tokenizer if isinstance(tokenizer, Builder) else tokenizer
    builder = Builder(words, max_length=model.config.max_length, masking=Masking(clean=1.0))
    examples = _clean(builder, rows, _SPARE * tokens, seed)
    was_training = model.training
    model.eval()
    try:
        z, ids, reconstruction = _latents(model, builder, examples, tokens, seed)
        under_noise = _under_noise(model, z, ids, levels, seed)
    finally:
        model.train(was_training)
    if not z.isfinite().all():
        raise ValueError("the latents of the model are not finite: its weights are damaged, or training diverged")
    spectrum, axes = principal_components(z)
    counts = Counter(ids.tolist())
    frequent = [(token, token_text(words, token)) for token, _ in counts.most_common(top)]
    normal = torch.randn(z.shape, generator=_generator(seed, _NORMAL))
    numbers = {
        "tokens": len(z),
        "dim": z.shape[1],
        "types": len(counts),
        "reconstruction": reconstruction,
        **geometry(z, ids, seed=seed),
        "accuracy_under_noise": under_noise,
        "half_noise": _crossing(levels, list(under_noise.values())),
        "normal": geometry(normal, ids, seed=seed),
        "bandwidths": {"mmd2": list(BANDWIDTHS), "mmd2_wide": list(wide_bandwidths(z.shape[1]))},
        "frequent": [text for _, text in frequent],
        "spectrum": [round(share, 6) for share in spectrum.tolist()],
    }
    return Inspection(numbers, (z.double() - z.double().mean(0)) @ axes[:, :2], ids, frequent)


def geometry(z: Tensor, ids: Tensor, *, seed: int = 0) -> dict[str, Any]:
    r"""Shape of a cloud of latents ``(n, d)`` whose tokens are ``ids`` ``(n,)``.

    With the eigenvalues :math:`\lambda` of their covariance:

    - ``first_two``: share of the variance in the first two principal components (Fig. 3 of the paper).
    - ``participation``: :math:`(\sum \lambda)^2 / (d \sum \lambda^2)`, from 1/d (a line) to 1 (all directions alike).
    - ``isoscore``: of Rudman et al. (2022), the same from 0 to 1: :math:`(d \cdot participation - 1) / (d - 1)`.
    - ``cosine``: mean over all pairs of different latents (Ethayarajh, 2019); 0 if directions are uniform.
    - ``offset``: share of the mean square that is the mean: what all latents have in common.
    - ``mean_square``: :math:`E|z|^2 / d`, 1 for a standard normal.
    - ``mmd2``: squared MMD to a standard normal with the paper's bandwidths, and ``mmd2_wide`` with
      :func:`wide_bandwidths`, which see points that are as far apart as normal ones are in d dimensions.
    - ``token_variance``: share of the variance that lies between tokens, not between occurrences of one token, over
      the tokens that occur at least five times; None if there is none.

    Raises:
        ValueError: There are fewer than two latents.

    Example:
        >>> z = torch.randn(500, 16, generator=torch.Generator().manual_seed(0))
        >>> z[:, 8:] = 0
        >>> shape = geometry(z, torch.zeros(500, dtype=torch.long))
        >>> round(shape["participation"], 1), round(shape["mean_square"], 1)
        (0.5, 0.5)
    """
    n, d = z.shape
    if n < 2:
        raise ValueError(f"z must hold at least two latents, got {n}")
    points = z.double()
    spectrum, _ = principal_components(z)
    participation = float(spectrum.sum().square() / spectrum.square().sum().clamp_min(1e-30)) / d
    directions = torch.nn.functional.normalize(points, dim=-1)
    few = z[:: -(-n // _POINTS)]
    normal = torch.randn(few.shape, generator=_generator(seed, _REFERENCE))
    return {
        "first_two": float(spectrum[:2].sum()),
        "participation": participation,
        "isoscore": max(0.0, (d * participation - 1) / max(1, d - 1)),
        "cosine": float((directions.sum(0).square().sum() - directions.square().sum()) / (n * (n - 1))),
        "offset": float(points.mean(0).square().mean() / points.square().mean().clamp_min(1e-30)),
        "mean_square": float(scale_penalty(points)),
        "mmd2": float(mmd2(few, normal)),
        "mmd2_wide": float(mmd2(few, normal, wide_bandwidths(d))),
        "token_variance": token_variance(z, ids),
    }


def wide_bandwidths(dim: int) -> tuple[float, ...]:
    r"""The paper's bandwidths times :math:`\sqrt d`.

    Two standard normal points are about :math:`\sqrt{2d}` apart, 16 in 128 dimensions, where the paper's widest kernel
    (s = 5) has fallen to .006: times :math:`\sqrt d`, kernels keep their ratio to that distance in every dimension.

    Example:
        >>> wide_bandwidths(100)
        (2.0, 5.0, 10.0, 20.0, 50.0)
    """
    return tuple(s * math.sqrt(dim) for s in BANDWIDTHS)


def principal_components(z: Tensor) -> tuple[Tensor, Tensor]:
    """Shares of the variance ``(d,)``, largest first, and their directions ``(d, d)``, a column each, in float64.

    Of the two signs of a direction, the one whose largest coordinate is positive.
    """
    centred = z.double() - z.double().mean(0)
    values, axes = torch.linalg.eigh(centred.T @ centred / max(1, len(z) - 1))
    values, axes = values.flip(0).clamp_min(0), axes.flip(1)
    largest = axes.gather(0, axes.abs().argmax(0, keepdim=True))
    return values / values.sum().clamp_min(1e-30), axes * largest.sign()


def token_variance(z: Tensor, ids: Tensor) -> float | None:
    """Share of the variance that lies between the means of tokens; see :func:`geometry`.

    Example:
        >>> token_variance(torch.tensor([[0.0], [2.0]]).repeat(5, 1), torch.tensor([7, 9]).repeat(5))
        1.0
    """
    _, types, counts = ids.unique(return_inverse=True, return_counts=True)
    often = counts[types] >= _OFTEN
    if not often.any():
        return None
    _, types, counts = ids[often].unique(return_inverse=True, return_counts=True)
    points = z[often].double()
    points = points - points.mean(0)
    means = points.new_zeros(len(counts), z.shape[1]).index_add(0, types, points) / counts.unsqueeze(-1)
    between = (counts.unsqueeze(-1) * means.square()).sum()
    return float(between / points.square().sum().clamp_min(1e-30))


def token_text(tokenizer: PreTrainedTokenizerFast, token: int) -> str:
    """A token in print: spaces, line ends and tabs are visible, and what is no character is its number.

    Example:
        >>> from yanlm.tokenization import train_tokenizer
        >>> tokenizer = train_tokenizer(["of of of"], 260)
        >>> [token_text(tokenizer, token) for token in (220, 198, 257, 255)]
        ['␣', '\\\\n', '␣of', '#255']
    """
    text = decode(tokenizer, [token]).replace(" ", "␣").replace("\n", "\\n").replace("\t", "\\t").replace("\r", "\\r")
    return text if text.isprintable() and text and "\ufffd" not in text else f"#{token}"


def inspect_folder(
    folder: str | Path,
    *,
    data: Sequence[str] | None = None,
    text_column: str | None = None,
    out: Path | None = None,
    rows: int = 300,
    tokens: int = 4000,
    seed: int = 0,
    device: str = "cpu",
) -> dict[str, Any]:
    """Inspect the model of a folder on held-out rows; write ``latents.png`` and ``latents.json``.

    Args:
        folder: What ``yanlm train`` wrote, or one stage of it.
        data: Specs of :func:`yanlm.data.load_corpus`; by default those the model was trained on.
        text_column: Name of the text's column in files, where ``data`` is given.
        out: Where the files go; ``FOLDER/inspect`` by default.
        rows: Most held-out rows.
        tokens: Most latents.
        seed: Of the draws.
        device: Where the model runs.

    Returns:
        What ``latents.json`` holds: ``model``, ``data``, the numbers of :func:`inspect_latents`, and ``files``.

    Raises:
        ValueError: There is no model, no data, or too little of it, or the files cannot be written.
    """
    from yanlm.figures import latent_figure

    check_count("rows", rows)
    where = model_folder(folder)
    out = Path(folder) / "inspect" if out is None else Path(out)
    options = _data_options(where) if data is None else {"specs": list(data), "text_column": text_column}
    try:
        corpus = load_corpus(**options)
    except DataError as error:
        hint = "; this is what the model was trained on, --data names other texts" if data is None else ""
        raise ValueError(f"{error}{hint}") from None
    held_out = (corpus.test or corpus.validation)[:rows]
    model = load_model(where, device)
    found = inspect_latents(model, load_tokenizer(where), held_out, tokens=tokens, seed=seed)
    name = "/".join(where.resolve().parts[-2:] if where.name in ("stage1", "stage2") else where.resolve().parts[-1:])
    files = {"figure": out / "latents.png", "numbers": out / "latents.json"}
    document = {
        "model": str(where),
        "data": options["specs"],
        **found.numbers,
        "files": {kind: str(path) for kind, path in files.items()},
    }
    try:
        out.mkdir(parents=True, exist_ok=True)
        latent_figure({name: found}).savefig(files["figure"], dpi=120)
        files["numbers"].write_text(json.dumps(document, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    except OSError as error:
        raise ValueError(f"cannot write to {out}: {error.strerror or error}; choose another --out") from None
    return document


def _data_options(where: Path) -> dict[str, Any]:
    """What the model of a folder was trained on, as :func:`yanlm.data.load_corpus` takes it."""
    try:
        settings = json.loads((where / "run.json").read_text(encoding="utf-8"))["settings"]
        return {"specs": settings["data"], "weights": settings["weights"], "text_column": settings["text_column"]}
    except (OSError, ValueError, LookupError, TypeError):
        raise ValueError(f"{where} has no run.json that names its data; say what to read with --data") from None


def _generator(seed: int, stream: int) -> torch.Generator:
    """Draws that nothing else shares: seeded with a plain 0, the noise would repeat the draws of a model's weights."""
    return generators([seed], stream)[0]


def _levels(noise_levels: Sequence[float]) -> list[float]:
    levels = sorted({float(level) for level in noise_levels})
    if not levels or not all(0 <= level < math.inf for level in levels):
        raise ValueError(f"noise_levels must be finite numbers of at least 0, got {list(noise_levels)}")
    return levels


def _clean(builder: Builder, rows: Sequence[Mapping[str, Any]], enough: int, seed: int) -> list[Example]:
    """Whole texts, in an order drawn with the seed, until there are ``enough`` tokens."""
    examples, total = [], 0
    for i in torch.randperm(len(rows), generator=_generator(seed, _ROWS)).tolist():
        if total >= enough:
            break
        examples.append(builder.example(rows[i], row_seed(seed, 0, i)))
        total += len(examples[-1].target)
    if total < LEAST:
        raise ValueError(f"rows must hold at least {LEAST} tokens, got {total} in {len(rows)} rows; give more text")
    return examples


@torch.no_grad()
def _latents(
    model: YanModel, builder: Builder, examples: Sequence[Example], tokens: int, seed: int, size: int = 32
) -> tuple[Tensor, Tensor, float]:
    """Latents ``(n, d)`` of drawn tokens ``(n,)``, and the share of all tokens that decode to themselves."""
    total = sum(len(example.target) for example in examples)
    drawn = torch.randperm(total, generator=_generator(seed, _TOKENS))[:tokens]
    keep = torch.zeros(total, dtype=torch.bool).index_fill(0, drawn, True)
    states, kept, right, at = [], [], 0, 0
    for start in range(0, len(examples), size):
        batch = builder.collate(examples[start : start + size])
        ids, mask = batch["target_ids"].to(model.device), batch["target_mask"].to(model.device)
        z, ids = model.encode(ids, mask)[mask], ids[mask]
        right += int((model.decoder.tokens(z) == ids).sum())
        here = keep[at : at + len(z)].to(model.device)
        states.append(z[here].float().cpu())
        kept.append(ids[here].cpu())
        at += len(z)
    return torch.cat(states), torch.cat(kept), right / total


@torch.no_grad()
def _under_noise(model: YanModel, z: Tensor, ids: Tensor, levels: Sequence[float], seed: int) -> dict[str, float]:
    """Share of tokens decoded right from ``z + s eps``, by s; eps is the same for every s."""
    noise = torch.randn(z.shape, generator=_generator(seed, _NOISE))
    noisy = ((z + level * noise).to(model.device, model.dtype) for level in levels)
    found = [model.decoder.tokens(latents).cpu() for latents in noisy]
    return {f"{s:g}": float((guess == ids).double().mean()) for s, guess in zip(levels, found, strict=True)}


def _crossing(levels: Sequence[float], accuracy: Sequence[float], height: float = 0.5) -> float | None:
    """Level at which the accuracy falls to ``height``, linear between two levels; None if it never does."""
    for (s0, a0), (s1, a1) in pairwise(zip(levels, accuracy, strict=True)):
        if a0 >= height > a1:
            return s0 + (s1 - s0) * (a0 - height) / (a0 - a1)
    return None
