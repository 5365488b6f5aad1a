"""A sheet of attention maps: a row for each image, a column for each run, a caption below each picture."""

import dataclasses
import pathlib
import textwrap
from collections.abc import Sequence

import numpy as np

from jaxaug.data import Split

SIDE, LINE = 1.45, 0.15  # inches
LETTERS = 24  # per line of a caption


@dataclasses.dataclass(frozen=True)
class Cell:
    """A picture with its caption."""

    picture: np.ndarray  # [H, W, 3] in [0, 1]
    caption: str
    correct: bool | None = None  # styles the caption
    box: Sequence[int] = (0, 0, 0, 0)  # top, left, bottom, right, the last two exclusive; not drawn if empty


def draw_sheet(
    titles: Sequence[Sequence[str]], rows: Sequence[Sequence[Cell]], footer: str, path: pathlib.Path
) -> None:
    """Draws the rows to a PNG, with a title of one or more lines above each column, and a footer."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine
    from matplotlib.patches import Rectangle

    heads = ["\n".join(textwrap.fill(part, LETTERS) for part in title) for title in titles]
    feet = textwrap.fill(footer, int(len(titles) * 1.15 * LETTERS))
    below = max(cell.caption.count("\n") for row in rows for cell in row) + 1
    height, width = rows[0][0].picture.shape[:2]
    inches = (
        (SIDE + 0.12) * len(titles) + 0.1,
        (
            (SIDE * height / width + LINE * (below + 0.6)) * len(rows)
            + LINE * (max(map(_lines, heads)) + _lines(feet) + 1.5)
        ),
    )
    figure = Figure(figsize=inches, dpi=110, layout=ConstrainedLayoutEngine(w_pad=0.03, h_pad=0.03))
    grid = figure.subplots(len(rows), len(titles), squeeze=False)
    for line, row in zip(grid, rows, strict=True):
        for axes, cell in zip(line, row, strict=True):
            axes.imshow(cell.picture, interpolation="nearest", vmin=0, vmax=1)
            axes.set_xticks([])
            axes.set_yticks([])
            color = {None: "black", True: "#00601c", False: "#b00020"}[cell.correct]
            weight = "bold" if cell.correct is False else "normal"
            axes.set_xlabel(cell.caption, fontsize=7.5, color=color, weight=weight, labelpad=2)
            top, left, bottom, right = cell.box
            for edge, thickness in (("black", 3.0), ("white", 1.2)) if bottom > top else ():
                corner, size = (left - 0.5, top - 0.5), (right - left, bottom - top)
                axes.add_patch(Rectangle(corner, *size, fill=False, edgecolor=edge, linewidth=thickness))
    for axes, head in zip(grid[0], heads, strict=True):
        axes.set_title(head, fontsize=7.5)
    figure.supxlabel(feet, fontsize=7.5)
    path.parent.mkdir(parents=True, exist_ok=True)
    FigureCanvasAgg(figure).print_png(str(path))


def _lines(text: str) -> int:
    return text.count("\n") + 1


def image_cells(split: Split, name: str, index: np.ndarray, class_names: tuple[str, ...]) -> list[Cell]:
    """Returns the column of the images themselves, with their labels and their indices in the split."""
    pictures = np.broadcast_to(split.images[index] / np.float32(255), (len(index), *split.images.shape[1:3], 3))
    captions = [
        f"{short(class_names[label])} ({name} {i})" for label, i in zip(split.labels[index], index, strict=True)
    ]
    return [Cell(*pair) for pair in zip(pictures, captions, strict=True)]


def map_cells(results: dict[str, np.ndarray], labels: np.ndarray, class_names: tuple[str, ...]) -> list[Cell]:
    """Returns the column of a run: its maps over the images, and its predictions."""
    cells = []
    for i, probability in enumerate(results["probability"]):
        explained, predicted = results["class"][i], probability.argmax()
        correct = bool(predicted == labels[i])
        caption = f"{short(class_names[predicted])} ({probability[predicted]:.2f}), {'correct' if correct else 'wrong'}"
        if explained != predicted:
            caption += f"\nmap of {short(class_names[explained])} ({probability[explained]:.2f})"
        if results["area"][i] == 0:
            caption += "\nno evidence"
        cells.append(Cell(results["picture"][i], caption, correct, results["box"][i].tolist()))
    return cells


def short(name: str) -> str:
    """Returns a name that fits below a picture."""
    return name if len(name) <= 14 else name[:13] + "…"
