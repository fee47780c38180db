"""``yanlm generate``: fill the masks of texts."""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from moefm_cli.common import Device, Json, UsageError, err, need_extra, pick_device, print_json, show
from moefm_cli.max_bytes import MaxBytes
from moefm_cli.yanlm.generation_options import CANDIDATES, ORDER, PERTURB, SAMPLER, TEMPERATURE, Precision, check_counts
from moefm_cli.yanlm.shown import chance_lines, check_shown, token_chances

if TYPE_CHECKING:
    from yanlm.generation.options import GenerationOptions
    from yanlm.writer import Writer, Written

HELP = """Fill all <mask> of a text at once, in a few steps.

\b
yanlm generate "Once upon a time there was a little <mask> who lived in the <mask> ."
yanlm generate --model runs/yanlm "The <mask> statement is used to <mask> names ."
yanlm generate --model runs/yanlm "A text without a mask is continued"
yanlm generate --model runs/yanlm --samples 4 --z0-scale 1.5 "The <mask> ."
yanlm generate --model runs/yanlm --steps 4 --reread --length 12 "It was <mask> ."
yanlm generate --model runs/encoder --steps 2 --candidates 4 "<mask> is in the <mask> ."
yanlm generate --show probabilities "The little <mask> was <mask> ."
yanlm generate --model runs/yanlm --trace dog.html "The <mask> ran to the <mask> ."
cat texts.txt | yanlm generate --model runs/yanlm - --json
"""


def generate(
    model: Annotated[
        Path | None,
        typer.Option(help="Folder of a run, or of one of its stages. Default: the model in the package, for stories."),
    ] = None,
    text: Annotated[
        str | None, typer.Argument(help="Text with <mask>, or - to read one text per line from standard input.")
    ] = None,
    file: Annotated[Path | None, typer.Option(help="File with one text per line.")] = None,
    steps: Annotated[int | None, typer.Option(help="Steps T, or passes. Default: the model's own, or 3.")] = None,
    samples: Annotated[int, typer.Option(help="Results for each text.")] = 1,
    length: Annotated[str, typer.Option(help="Tokens for each mask: auto (predicted), source, or a number.")] = "auto",
    z0_scale: Annotated[
        float | None, typer.Option(help="Scale of the noise, 1 by default: lower is less diverse.")
    ] = None,
    reread: Annotated[
        bool | None, typer.Option(help="Reread what was written after each step, so that the words of a span agree.")
    ] = None,
    temperature: Annotated[float | None, TEMPERATURE] = None,
    order: Annotated[str | None, ORDER] = None,
    candidates: Annotated[int | None, CANDIDATES] = None,
    perturb: Annotated[float | None, PERTURB] = None,
    sampler: Annotated[str | None, SAMPLER] = None,
    routing: Annotated[
        str | None, typer.Option(help="frozen (the default), greedy, resampled, mean or argmax.")
    ] = None,
    batch_size: Annotated[int, typer.Option(help="Texts generated together.")] = 32,
    seed: Annotated[int, typer.Option(help="Seed of all random numbers.")] = 0,
    trace: Annotated[
        Path | None, typer.Option(help="Write a page to this file that shows step by step how the text is filled.")
    ] = None,
    shown: Annotated[
        str | None, typer.Option("--show", help="probabilities: that of each written token, with alternatives.")
    ] = None,
    precision: Precision = "float32",
    device: Device = "auto",
    max_bytes: MaxBytes = None,
    json_: Json = False,
) -> None:
    """Read texts, fill them, print them."""
    need_extra()
    check_counts({"steps": steps, "samples": samples, "candidates": candidates, "batch_size": batch_size})
    texts, tokens = _texts(text, file), _length(length)
    check_shown(shown)
    if shown is not None and trace is not None:
        raise UsageError("the page of --trace shows probabilities, too: leave out --show")
    from yanlm.modeling.io import model_folder

    folder = model_folder(model)  # mistakes are told before torch is loaded
    if trace is not None:
        _check_page(trace, len(texts))
    from yanlm.generation.options import generation_options
    from yanlm.modeling.folder_options import folder_options
    from yanlm.tokenization.coverage import coverage_note
    from yanlm.writer import Writer

    named: dict[str, Any] = {
        "steps": steps,
        "routing": routing,
        "z0_scale": z0_scale,
        "reread": reread,
        "temperature": temperature,
        "order": order,
        "candidates": candidates,
        "perturb": perturb,
        "sampler": sampler,
    }
    named = {"samples": samples} | {name: value for name, value in named.items() if value is not None}
    options = generation_options(None, named, folder_options(folder))
    writer = Writer.load(model, pick_device(device), writing=True, precision=precision)
    if note := coverage_note(writer.tokenizer, texts):
        err.print(f"note: {note}", style="dim", markup=False)
    began = time.perf_counter()
    how: dict[str, Any] = {"length": tokens, "seed": seed, "batch_size": batch_size, "options": options}
    chances: list[Any] = [None] * len(texts)
    html = ""
    if shown is not None:
        watched = writer.watch(texts, **how)
        outputs = [output for output, _ in watched]
        chances = [token_chances(seen, writer.tokenizer) for _, seen in watched]
    elif trace is None:
        outputs = writer.write(texts, **how)
    else:
        output, html = _traced(writer, folder, model, texts[0], length=tokens, seed=seed, options=options)
        outputs = [output]
    rate = samples * sum(output.tokens for output in outputs) / (time.perf_counter() - began)
    nfe = max(output.nfe for output in outputs)
    if json_:
        more = [{} if own is None else {"probabilities": own} for own in chances]
        written = [asdict(output) | own for output, own in zip(outputs, more, strict=True)]
        print_json({"outputs": written, "steps": options.steps, "nfe": nfe, "tokens_per_second": round(rate, 1)})
    else:
        for output, own in zip(outputs, chances, strict=True):
            for number, sample in enumerate(output.samples):
                show("\n".join([sample, *([] if own is None else chance_lines(own[number]))]))
        if note := _alike(writer, [output.samples for output in outputs], options):
            err.print(f"note: {note}", style="dim", soft_wrap=True)
        err.print(f"{nfe} {'pass' if nfe == 1 else 'passes'}, {rate:,.0f} tokens/s", style="dim")
    if trace is not None:
        _write_page(trace, html)


def _traced(writer: Writer, folder: Path, model: Path | None, text: str, **how: Any) -> tuple[Written, str]:
    """Fill a text, and make the page that shows it."""
    from yanlm.serving.limits import Limits
    from yanlm.serving.served import Served, model_name
    from yanlm.serving.trace_file import traced

    return traced(Served(writer, model_name(folder), Limits(), model), text, **how)


def _check_page(file: Path, texts: int) -> None:
    """Find out whether there can be a page before the model works for it."""
    from yanlm.files import writing_to

    if texts > 1:
        raise UsageError(f"--trace shows one text, got {texts}; give one")
    with writing_to(file.parent, "--trace"):
        if file.exists() and not file.is_file():
            raise UsageError(f"--trace must name a file, and {file} is none; give another name")
        with tempfile.TemporaryFile(dir=file.parent):
            pass


def _write_page(file: Path, html: str) -> None:
    from yanlm.files import write_text, writing_to

    with writing_to(file.parent, "--trace"):
        write_text(file, html)
    err.print(f"the page: {file}", style="dim")


def _alike(writer: Writer, samples: Sequence[Sequence[str]], options: GenerationOptions) -> str | None:
    """What to change where the samples of a text are all the same; ``None`` where they are not."""
    from yanlm.generation.variety import are_alike, for_variety

    count, alike = len(samples), sum(map(are_alike, samples))
    if not alike:
        return None
    proposed = for_variety(writer.model.can, options)
    named = {f"--{name.replace('_', '-')}": "" if value is True else f" {value:g}" for name, value in proposed.items()}
    of_texts = "" if count == 1 else f" of {alike} of the {count} texts"
    add = " ".join(option + value for option, value in named.items())
    return f"all samples{of_texts} are alike; for others add {add}"


def _texts(text: str | None, file: Path | None) -> list[str]:
    """One text from the command line, or one a line from a file or standard input."""
    from moefm.plain_text import lines
    from moefm.reading import TooLargeError, read_bytes, read_stream

    if (text is None) == (file is None):
        raise UsageError("give one TEXT, or --file FILE, or - to read standard input")
    if text != "-" and file is None:
        given = [_decoded(str(text).encode("utf-8", "surrogateescape"), "TEXT")]  # a terminal of ASCII hands over bytes
    else:
        named = "standard input" if file is None else f"--file {file}"
        try:
            content = read_stream(sys.stdin.buffer) if file is None else read_bytes(file)
        except OSError as error:
            raise UsageError(f"{named} cannot be read: {error.strerror or error}; check the path") from None
        except TooLargeError as error:
            raise UsageError(f"{named}: {error}") from None
        given = lines(_decoded(content, named))
    texts = [line for line in given if line.strip()]
    if not texts:
        raise UsageError("there is no text; give one, with <mask> where something is wanted")
    return texts


def _decoded(content: bytes, name: str) -> str:
    """Text in UTF-8, without the mark that some editors write first, as training reads it."""
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UsageError(f"{name} is not UTF-8: {error}") from None


def _length(value: str) -> str | int:
    if value in ("auto", "source"):
        return value
    if value.isdecimal() and int(value) > 0:
        return int(value)
    raise UsageError(f"--length must be auto, source or a number of tokens, got {value!r}")
