"""Headings fit their figure, whatever the name of the file."""

import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from moefm_toy.headings import head


@pytest.mark.parametrize("name", ["moons", "$x_$", "n" * 70, "a long name of " * 9, "\x1b[31m"])
@pytest.mark.parametrize("width", [5.0, 10.0])
def test_a_heading_is_no_wider_than_its_figure(name: str, width: float) -> None:
    figure = Figure(figsize=(width, 4), dpi=100, layout="constrained")
    canvas = FigureCanvasAgg(figure)
    head(figure, f"{name}: data grey, samples coloured by expert; noise floor of W2 0.151")
    canvas.draw()
    box = figure.texts[0].get_window_extent()
    assert 0 <= box.x0 and box.x1 <= 100 * width
    assert figure.get_suptitle().replace("\n", " ").isprintable()
