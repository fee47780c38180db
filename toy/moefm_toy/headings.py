"""The heading of a figure, in as many lines as its width needs."""

from __future__ import annotations

import textwrap

from matplotlib.figure import Figure

from moefm.plain_text import printable

LETTERS = 9.5
"""Letters of the heading's size that fit into an inch."""


def head(figure: Figure, text: str) -> None:
    """Put a text above a figure. A file name in it is not read as a formula, and may be long.

    Example:
        >>> figure = Figure(figsize=(2, 2))
        >>> head(figure, "moons: data grey, samples coloured by expert")
        >>> figure.get_suptitle()
        'moons: data grey,\\nsamples coloured by\\nexpert'
    """
    lines = textwrap.wrap(printable(text), int(LETTERS * figure.get_figwidth()))
    figure.suptitle("\n".join(lines), fontsize=11, parse_math=False)
