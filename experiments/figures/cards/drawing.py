"""Size, colors and helpers shared by the pictures of the method cards."""

import pathlib
from typing import Any

import numpy as np

WIDTH, DPI = 7.6, 125  # 950 pixels; text of the default size is readable even if shown at 800
SMALL = 8.5  # points, below small images
BLUE, ORANGE = "#0072B2", "#D55E00"  # from Okabe and Ito, distinct for color-blind readers


def empty_figure(height: float) -> Any:
    """Returns a figure of the common width and of this height in inches."""
    # The figure class instead of pyplot: no window system and no global state.
    from matplotlib.figure import Figure

    return Figure(figsize=(WIDTH, height), dpi=DPI, layout="constrained")


def show(axes: Any, image: np.ndarray, *, frame: str | None = None, **options: Any) -> None:
    """Draws an image without ticks, with a thick frame if a color is given."""
    axes.imshow(image, **options)
    axes.set(xticks=[], yticks=[], anchor="N")
    axes.spines[:].set(color=frame or "lightgray", linewidth=3.5 if frame else 0.8)


def save(figure: Any, path: pathlib.Path) -> None:
    """Writes a figure to a PNG."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    path.parent.mkdir(parents=True, exist_ok=True)
    FigureCanvasAgg(figure).print_png(str(path))
