"""What the pictures of the methods share: size, colors, and how an image is shown."""

import pathlib
from typing import Any

import numpy as np

WIDTH, DPI = 7.6, 125  # 950 pixels, in which text of the default size is still readable shown at 800
SMALL = 8.5  # points, beneath small images
BLUE, ORANGE = "#0072B2", "#D55E00"  # of Okabe and Ito, told apart by the color-blind


def empty_figure(height: float) -> Any:
    """Returns a figure of the common width, and of a height in inches."""
    # The figure class, not pyplot: no window system is asked for, and no global state is left behind.
    from matplotlib.figure import Figure

    return Figure(figsize=(WIDTH, height), dpi=DPI, layout="constrained")


def show(axes: Any, image: np.ndarray, *, frame: str | None = None, **options: Any) -> None:
    """Draws an image without ticks, with a broad frame where a color is given."""
    axes.imshow(image, **options)
    axes.set(xticks=[], yticks=[], anchor="N")
    axes.spines[:].set(color=frame or "lightgray", linewidth=3.5 if frame else 0.8)


def save(figure: Any, path: pathlib.Path) -> None:
    """Writes a figure to a PNG."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    path.parent.mkdir(parents=True, exist_ok=True)
    FigureCanvasAgg(figure).print_png(str(path))
