"""Figures of latents: clouds, spectra, decoding under noise. Returns a matplotlib Figure; nothing is shown."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from textwrap import fill
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator, PercentFormatter

from yanlm.analysis.latents import Inspection
from yanlm.figures import COLOURS, WIDTH, printed

OTHERS = "#c9c9c9"
_NUMBERS: tuple[tuple[str, str, str], ...] = (
    ("first two\ncomponents", "first_two", ".1%"),
    ("participation\nratio / d", "participation", ".3f"),
    ("cosine of\ntwo latents", "cosine", ".3f"),
    ("common\noffset", "offset", ".1%"),
    ("mean\nsquare", "mean_square", ".3f"),
    ("MMD²,\npaper's s", "mmd2", "#.2g"),
    ("MMD²,\ns times √d", "mmd2_wide", "#.2g"),
    ("between\ntokens", "token_variance", ".1%"),
    ("recon-\nstruction", "reconstruction", ".2%"),
)


def latent_figure(inspections: Mapping[str, Inspection]) -> Figure:
    """The paper's Fig. 3: latents on their first two principal components, coloured by frequent tokens.

    Below, or beside one or two panels, the spectrum and decoding under noise, and a table of the numbers.

    Args:
        inspections: By name; all panels have the same axes.

    Raises:
        ValueError: There is none.
    """
    if not inspections:
        raise ValueError("inspections must hold at least one, got none")
    count = len(inspections)
    columns = count + 2 if count <= 2 else 3 if count in (3, 5, 6) else 4
    rows = -(-count // columns)
    beside = count <= 2  # the curves stand in the row of the clouds
    wide = WIDTH / columns
    heights = [rows * (wide + 0.55) + 0.55, *([] if beside else [3.0]), 0.75 + 0.3 * (count + 1)]
    figure = Figure(figsize=(WIDTH, sum(heights)), layout="constrained")
    parts = figure.subfigures(len(heights), 1, squeeze=False, height_ratios=heights)[:, 0]
    panels = parts[0].subplots(rows, columns, squeeze=False).ravel()
    _clouds(parts[0], panels[:count], inspections)
    for ax in panels[count + 2 * beside :]:
        ax.axis("off")
    spectrum, noise = panels[count:] if beside else parts[1].subplots(1, 2)
    _spectra(spectrum, inspections)
    _under_noise(noise, inspections)
    for ax in (spectrum, noise) if beside else ():
        ax.set_box_aspect(1)  # like the clouds
    spectrum.legend(handles=spectrum.lines[count:] if beside else None, fontsize=8, frameon=False)
    if beside and count > 1:
        noise.legend(fontsize=8, frameon=False)
    _table(parts[-1].subplots(), inspections)
    return figure


def _lettered(names: Sequence[str]) -> list[str]:
    """``(a) name``, if there are several."""
    texts = [printed(name if len(name) <= 40 else f"{name[:39]}…") for name in names]
    return [f"({chr(97 + i)}) {text}" for i, text in enumerate(texts)] if len(names) > 1 else texts


def _clouds(part: SubFigure, panels: Sequence[Axes], inspections: Mapping[str, Inspection]) -> None:
    clouds = [np.asarray(inspection.coordinates) for inspection in inspections.values()]
    reach = 1.05 * max(float(np.abs(cloud).max()) for cloud in clouds) or 1.0
    shown = list(dict.fromkeys(text for inspection in inspections.values() for _, text in inspection.frequent))
    colours = dict(zip(shown, token_colours(len(shown)), strict=True))
    size = max(2.0, min(9.0, 9000 / max(map(len, clouds))))
    names = _lettered(list(inspections))
    for ax, name, inspection, cloud in zip(panels, names, inspections.values(), clouds, strict=True):
        ids = np.asarray(inspection.ids)
        other = ~np.isin(ids, [token for token, _ in inspection.frequent])
        ax.scatter(cloud[other, 0], cloud[other, 1], s=size, c=OTHERS, linewidths=0)
        for token, text in inspection.frequent:
            x, y = cloud[ids == token].T
            ax.scatter(x, y, s=1.6 * size, color=colours[text], linewidths=0)
        ax.set_xlim(-reach, reach)
        ax.set_ylim(-reach, reach)
        ax.set_aspect("equal")
        ax.xaxis.set_major_locator(MaxNLocator(5))
        ax.yaxis.set_major_locator(MaxNLocator(5))
        ax.tick_params(labelsize=8)
        ax.set_title(f"{fill(name, 30)}\n({inspection.numbers['first_two']:.1%})", fontsize=9.5)
        ax.set_xlabel("component 1", fontsize=8.5)
        first = ax.get_subplotspec()
        if first is None or first.is_first_col():
            ax.set_ylabel("component 2", fontsize=8.5)
        else:
            ax.tick_params(labelleft=False)
    dots = [Line2D([], [], color=colours[text], label=printed(text), marker="o", linestyle="") for text in shown]
    if dots:
        dots.append(Line2D([], [], color=OTHERS, label="others", marker="o", linestyle=""))
        part.legend(
            handles=dots, loc="outside lower center", ncols=min(len(dots), 12), fontsize=9, markerscale=0.8,
            frameon=False, handletextpad=0.1, columnspacing=1.2,
        )  # fmt: skip


def token_colours(count: int) -> list[Any]:
    """Colours of tokens, none of them grey."""
    if count <= len(COLOURS):
        return list(COLOURS[:count])
    return [colormaps["turbo"](i / (count - 1)) for i in range(count)]


def _spectra(ax: Axes, inspections: Mapping[str, Inspection]) -> None:
    for colour, label, inspection in _styles(inspections):
        shares = np.cumsum(inspection.numbers["spectrum"])
        ax.plot(np.arange(1, len(shares) + 1), shares, color=colour, label=label, linewidth=1.5)
    widest = max(inspection.numbers["dim"] for inspection in inspections.values())
    even = np.arange(1, widest + 1)
    ax.plot(even, even / widest, color="#777777", linestyle=":", linewidth=1.2, label="all directions alike")
    ax.set_xscale("log")
    ticks = [2**i for i in range(int(math.log2(widest)) + 1)][:: 2 if widest > 64 else 1]
    ax.set_xticks(ticks, [str(tick) for tick in ticks])
    ax.minorticks_off()
    ax.set_ylim(0, 1.02)
    ax.yaxis.set_major_formatter(PercentFormatter(1.0))
    ax.tick_params(labelsize=8)
    ax.set_xlabel("principal components", fontsize=8.5)
    ax.set_title("variance explained", fontsize=9.5)
    ax.grid(alpha=0.25)


def _under_noise(ax: Axes, inspections: Mapping[str, Inspection]) -> None:
    for colour, label, inspection in _styles(inspections):
        levels = [float(level) for level in inspection.numbers["accuracy_under_noise"]]
        ax.plot(levels, list(inspection.numbers["accuracy_under_noise"].values()), "o-", color=colour, label=label,
                linewidth=1.5, markersize=3.5)  # fmt: skip
    ax.set_ylim(0, 1.02)
    ax.yaxis.set_major_formatter(PercentFormatter(1.0))
    ax.tick_params(labelsize=8)
    ax.set_xlabel("standard deviation of the noise", fontsize=8.5)
    ax.set_title("tokens right under noise", fontsize=9.5)
    ax.grid(alpha=0.25)


def _styles(inspections: Mapping[str, Inspection]) -> list[tuple[str, str, Inspection]]:
    """Colour and label of every curve."""
    named = zip(_lettered(list(inspections)), inspections.values(), strict=True)
    return [(COLOURS[i % len(COLOURS)], name, inspection) for i, (name, inspection) in enumerate(named)]


def _table(ax: Axes, inspections: Mapping[str, Inspection]) -> None:
    ax.axis("off")
    first = next(iter(inspections.values()))
    rows = {name: inspection.numbers for name, inspection in inspections.items()} | {"N(0, I)": first.numbers["normal"]}
    cells = [[_cell(numbers.get(key), form) for _, key, form in _NUMBERS] for numbers in rows.values()]
    names = [*_lettered(list(inspections)), "N(0, I), as many"]
    heads = [head for head, _, _ in _NUMBERS]
    longest = max(len(name) for name in names)
    left = 0.01 + 0.0075 * longest
    step = (1 - left) / len(heads)
    tall = 1 / (len(rows) + 1.6)
    ax.set_xlim(0, 1)
    ax.set_ylim(0, 1)
    for column, head in enumerate(heads):
        ax.text(left + (column + 1) * step, 1 - 0.8 * tall, head, ha="right", va="center", fontsize=8, color="#444444")
    ax.plot([0, 1], [1 - 1.6 * tall] * 2, color="#999999", linewidth=0.8)
    for row, (name, line) in enumerate(zip(names, cells, strict=True)):
        y = 1 - (row + 2.1) * tall
        colour = "#777777" if row == len(names) - 1 else "black"
        ax.text(0, y, name, ha="left", va="center", fontsize=9, color=colour)
        for column, text in enumerate(line):
            ax.text(left + (column + 1) * step, y, text, ha="right", va="center", fontsize=9, color=colour)


def _cell(value: float | None, form: str) -> str:
    if value is None:
        return "–"
    text = format(value, form)
    return text.replace("-", "−") if float(text.rstrip("%")) else text.lstrip("-")  # no minus zero
