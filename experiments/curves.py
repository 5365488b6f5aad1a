"""The picture of a run."""

import pathlib

from jaxaug.training.loop import Record


def draw_curves(records: list[Record], path: pathlib.Path) -> None:
    """Draws loss and accuracy over the epochs to a PNG."""
    # The figure classes, not pyplot: no window system is asked for, and no global state is left behind.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3.5), layout="constrained")
    for axes, name in zip(figure.subplots(1, 2), ("loss", "accuracy"), strict=True):
        for split in ("train", "validation", "test"):
            points = [(r["epoch"], r[f"{split}_{name}"]) for r in records if r.get(f"{split}_{name}") is not None]
            if points:
                label = "train (as augmented)" if split == "train" else split
                axes.plot(*zip(*points, strict=True), label=label, marker="." if len(points) < 40 else None)
        axes.set_xlabel("epoch")
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.set_ylabel(name)
        axes.grid(alpha=0.3)
        axes.legend()
    FigureCanvasAgg(figure).print_png(str(path))
