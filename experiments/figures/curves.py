"""Training curves of one run, or of groups of runs as mean and standard deviation."""

import dataclasses
import pathlib
import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from jaxaug.training import Record

PANEL = (4.5, 3.5)  # inches, with one row of the legend
_STYLES = ("-", "--", "-.", ":")  # in addition to colors, for readers who cannot tell them apart


@dataclasses.dataclass(frozen=True)
class Curve:
    """A metric of runs over the same epochs."""

    label: str
    epochs: Sequence[int]
    values: np.ndarray  # [runs, epochs]


def draw_curves(records: list[Record], path: pathlib.Path) -> None:
    """Draws loss and accuracy of a run over its epochs to a PNG."""
    panels: dict[str, list[Curve]] = {"loss": [], "accuracy": []}
    for name, curves in panels.items():
        for split in ("train", "validation", "test"):
            points = {r["epoch"]: r[f"{split}_{name}"] for r in records if r.get(f"{split}_{name}") is not None}
            if points:
                label = "train (as augmented)" if split == "train" else split
                curves.append(Curve(label, list(points), np.array([list(points.values())])))
    draw_panels(panels, path)


def draw_panels(panels: Mapping[str, Sequence[Curve]], path: pathlib.Path, *, logarithmic: bool = False) -> None:
    """Draws one panel for each quantity to a PNG: means over runs, with bands of one sample standard deviation.

    With `logarithmic`, a quantity that spans a factor of 3 or more has a logarithmic axis.
    """
    # The figure classes instead of pyplot: no window system and no global state.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    labels = list(dict.fromkeys(curve.label for curves in panels.values() for curve in curves))
    width = PANEL[0] * len(panels)
    letters = int(11 * width)  # in a line of the legend
    columns = max(1, min(len(labels), letters // (max(map(len, labels)) + 8)))
    texts = [textwrap.fill(label, letters - 8) for label in labels]
    lines = sum(1 + text.count("\n") for text in texts) if columns == 1 else -(-len(labels) // columns)
    figure = Figure(figsize=(width, PANEL[1] + 0.22 * (lines - 1)), layout="constrained")
    drawn = {}
    for axes, (quantity, curves) in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels.items(), strict=True):
        axes.set_xlabel("epoch")
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.set_ylabel(quantity)
        axes.grid(alpha=0.3)
        floor = _set_logarithmic(axes, curves) if logarithmic else -np.inf
        for curve in curves:
            place, (mean, std) = labels.index(curve.label), _mean_and_std(curve)
            color, style = f"C{place}", _STYLES[place % len(_STYLES)]
            marker = "." if len(curve.epochs) < 40 else None
            (drawn[curve.label],) = axes.plot(curve.epochs, mean, color=color, linestyle=style, marker=marker)
            if len(curve.values) > 1:
                low = np.maximum(mean - std, floor)
                axes.fill_between(curve.epochs, low, mean + std, color=color, alpha=0.2, linewidth=0)
    figure.legend([drawn[label] for label in labels], texts, loc="outside lower center", ncols=columns)
    FigureCanvasAgg(figure).print_png(str(path))


def _mean_and_std(curve: Curve) -> tuple[np.ndarray, np.ndarray]:
    """Returns mean and sample standard deviation over runs for each epoch; the latter is 0 for a single run."""
    several = len(curve.values) > 1
    return curve.values.mean(axis=0), curve.values.std(axis=0, ddof=1) if several else np.zeros(len(curve.epochs))


def _set_logarithmic(axes: Any, curves: Sequence[Curve]) -> float:
    """Makes the axis logarithmic if the means span a factor of 3 or more, and returns its lower limit."""
    from matplotlib.ticker import LogLocator, NullLocator

    parts = [_mean_and_std(curve) for curve in curves]
    least, highest = (function(np.concatenate([mean for mean, _ in parts])) for function in (np.min, np.max))
    if not 0 < 3 * least <= highest:
        return -np.inf
    least, top = least / 1.3, 1.1 * max((mean + std).max() for mean, std in parts)
    axes.set_yscale("log")
    axes.set_ylim(least, top)
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 3, 5, 7) if top < 300 * least else (1, 3)))
    axes.yaxis.set_major_formatter("{x:g}")
    axes.yaxis.set_minor_locator(NullLocator())
    return float(least)
