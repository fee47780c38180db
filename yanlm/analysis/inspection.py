"""What the latent space of a model looks like: the paper's Fig. 3 in numbers, for any checkpoint."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from moefm.checks import check_count
from moefm.regularizers import BANDWIDTHS
from yanlm.analysis.figures import latent_figure
from yanlm.analysis.geometry import geometry, principal_components, wide_bandwidths
from yanlm.analysis.information import information_figure, information_numbers
from yanlm.analysis.latents import (
    LEAST,
    NOISE_LEVELS,
    NORMAL,
    Inspection,
    accuracy_under_noise,
    checked_levels,
    clean_examples,
    crossing,
    draw_latents,
    generator,
)
from yanlm.data.corpus import load_corpus
from yanlm.data.rows import DataError
from yanlm.evaluation.portions import sample
from yanlm.figures import printed
from yanlm.files import replacing, write_json, writing_to
from yanlm.modeling.io import load_model, model_folder
from yanlm.tokenization.examples import Builder
from yanlm.tokenization.masking import Masking
from yanlm.tokenization.texts import BROKEN
from yanlm.tokenization.tokenizer import decode, load_tokenizer

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

    from yanlm.modeling.yan import YanModel

_SPARE = 4  # texts are read until they hold this many times the tokens that are looked at


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
        model: Any :class:`yanlm.modeling.yan.YanModel`.
        tokenizer: The model's tokenizer, or a builder that has it.
        rows: Held-out rows.
        tokens: Largest number of latents, drawn from all of them.
        top: Number of frequent tokens to distinguish.
        noise_levels: Standard deviations s.
        seed: Seed of the draws.

    Raises:
        ValueError: The rows hold fewer than 50 tokens, an option is out of range, or latents are not finite.

    Example:
        >>> from yanlm.config import YanConfig
        >>> from yanlm.modeling.yan import YanModel
        >>> from yanlm.tokenization.tokenizer import train_tokenizer
        >>> tokenizer = train_tokenizer(["a small text"], 260)
        >>> model = YanModel(YanConfig(vocab_size=262, pad_token_id=260, mask_token_id=261, d_model=16, num_heads=2))
        >>> inspection = inspect_latents(model, tokenizer, [{"text": "a small text " * 9}])
        >>> inspection.numbers["tokens"], len(inspection.numbers["spectrum"]), inspection.frequent[0][1]
        (117, 16, '␣')
    """
    check_count("tokens", tokens, LEAST)
    check_count("top", top, minimum=0)
    levels = checked_levels(noise_levels)
    words = tokenizer.tokenizer if isinstance(tokenizer, Builder) else tokenizer
    builder = Builder(words, max_length=model.config.max_length, masking=Masking(clean=1.0))
    examples = clean_examples(builder, rows, _SPARE * tokens, seed)
    was_training = model.training
    model.eval()
    try:
        z, ids, reconstruction = draw_latents(model, builder, examples, tokens, seed)
        under_noise = accuracy_under_noise(model, z, ids, levels, seed)
    finally:
        model.train(was_training)
    if not z.isfinite().all():
        raise ValueError("the latents of the model are not finite: its weights are damaged, or training diverged")
    spectrum, axes = principal_components(z)
    counts = Counter(ids.tolist())
    frequent = [(token, token_text(words, token)) for token, _ in counts.most_common(top)]
    normal = torch.randn(z.shape, generator=generator(seed, NORMAL))
    numbers = {
        "tokens": len(z),
        "dim": z.shape[1],
        "types": len(counts),
        "reconstruction": reconstruction,
        **geometry(z, ids, seed=seed),
        "accuracy_under_noise": under_noise,
        "half_noise": crossing(levels, list(under_noise.values())),
        "normal": geometry(normal, ids, seed=seed),
        "bandwidths": {"mmd2": list(BANDWIDTHS), "mmd2_wide": list(wide_bandwidths(z.shape[1]))},
        "frequent": [text for _, text in frequent],
        "spectrum": [round(share, 6) for share in spectrum.tolist()],
    }
    return Inspection(numbers, (z.double() - z.double().mean(0)) @ axes[:, :2], ids, frequent)


def token_text(tokenizer: PreTrainedTokenizerFast, token: int) -> str:
    """A token as text: spaces, line ends and tabs are made visible; what is not a character becomes its number.

    Example:
        >>> from yanlm.tokenization.tokenizer import train_tokenizer
        >>> tokenizer = train_tokenizer(["of of of"], 260)
        >>> [token_text(tokenizer, token) for token in (220, 198, 257, 255)]
        ['␣', '\\\\n', '␣of', '#255']
    """
    text = decode(tokenizer, [token]).replace(" ", "␣").replace("\n", "\\n").replace("\t", "\\t").replace("\r", "\\r")
    return text if text.isprintable() and text and BROKEN not in text else f"#{token}"


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

    For a flow whose denoiser is the encoder also write ``information.png``, which shows where it decides.

    Args:
        folder: What ``yanlm train`` wrote, or one stage of it.
        data: Specs of :func:`yanlm.data.corpus.load_corpus`; by default those the model was trained on.
        text_column: Name of the text's column in files, where ``data`` is given.
        out: Where the files go; ``FOLDER/inspect`` by default.
        rows: Most held-out rows.
        tokens: Most latents.
        seed: Seed of the draws.
        device: Where the model runs.

    Returns:
        What ``latents.json`` holds: ``model``, ``data``, the numbers of :func:`inspect_latents`, ``information`` where
        the encoder denoises (:func:`yanlm.analysis.information.information_numbers`), and ``files``.

    Raises:
        ValueError: There is no model, no data, or too little of it, or the files cannot be written.
    """
    check_count("rows", rows)
    if data is None and text_column is not None:
        raise ValueError(
            "text_column goes with data, and the run's own has its names already: give --data, or leave it out"
        )
    where = model_folder(folder)
    out = Path(folder) / "inspect" if out is None else Path(out)
    options = _data_options(where) if data is None else {"specs": list(data), "text_column": text_column}
    try:
        corpus = load_corpus(**options)
    except DataError as error:
        hint = "; this is what the model was trained on, --data names other texts" if data is None else ""
        raise ValueError(f"{error}{hint}") from None
    held_out = sample(corpus.test or corpus.validation, rows)
    model = load_model(where, device)
    if not model.can.latents:
        raise ValueError(f"{where} holds a {model.config.method} model, which has no latents to look at")
    inspection = inspect_latents(model, load_tokenizer(where), held_out, tokens=tokens, seed=seed)
    name = "/".join(where.resolve().parts[-2:] if where.name in ("stage1", "stage2") else where.resolve().parts[-1:])
    figures, numbers = {"figure": latent_figure({name: inspection})}, dict(inspection.numbers)
    if model.can.denoises:
        time = model.denoiser.information
        figures["information"] = information_figure(time, printed(name))
        numbers["information"] = information_numbers(time)
    files = {kind: out / ("latents.png" if kind == "figure" else f"{kind}.png") for kind in figures}
    files["numbers"] = out / "latents.json"
    told = {kind: str(path) for kind, path in files.items()}
    document = {"model": str(where), "data": options["specs"], **numbers, "files": told}
    with writing_to(out):
        for kind, figure in figures.items():
            with replacing(files[kind]) as beside:
                figure.savefig(beside, dpi=120)
        write_json(files["numbers"], document, ascii=False)
    return document


def _data_options(where: Path) -> dict[str, Any]:
    """What the model of a folder was trained on, as :func:`yanlm.data.corpus.load_corpus` takes it."""
    try:
        settings = json.loads((where / "run.json").read_text(encoding="utf-8"))["settings"]
        named = {name: settings[name] for name in ("weights", "text_column")}
        named |= {name: settings.get(name) for name in ("source_field", "target_field")}  # older runs have none
        return {"specs": settings["data"], **named}
    except (OSError, ValueError, LookupError, TypeError):
        raise ValueError(f"{where} has no run.json that names its data; say what to read with --data") from None
