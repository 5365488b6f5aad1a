"""The page beside a sheet of maps: what they measure, averaged over many images."""

import textwrap
from collections.abc import Sequence

import numpy as np
import scipy.stats

from experiments.figures.attention_maps import Trained
from experiments.studies.markdown import markdown_table
from experiments.studies.statistics import mean_text
from jaxaug.data import Split

HEADER = ("run", "right, %", "entropy of the maps", "area of the maps", "maps without evidence")


def row(title: Sequence[str], results: dict[str, np.ndarray], labels: np.ndarray) -> list[str]:
    """Returns what the table says of a run: means over images, with their standard errors."""
    right = 100 * (results["probability"].argmax(axis=-1) == labels).mean()
    entropy, area = (mean_text(results[name], scipy.stats.sem, digits=3) for name in ("entropy", "area"))
    return [", ".join(title), f"{right:.1f}", entropy, area, str(np.count_nonzero(results["area"] == 0))]


def table(rows: Sequence[Sequence[str]]) -> str:
    """Returns the Markdown table."""
    return markdown_table(HEADER, rows)


def notes(networks: Sequence[Trained], split: Split, measured: np.ndarray) -> list[str]:
    """Returns a sentence for whatever is not as it might be thought."""
    found = [f"{n.run.shortfall}; its weights are of step {n.saved.step}." for n in networks if n.run.shortfall]
    all_classes, classes = (len(np.unique(labels)) for labels in (split.labels, split.labels[measured]))
    if classes < all_classes:
        found.append(f"The images measured are of {classes} of {all_classes} classes; a larger --measured takes more.")
    return found


def page(
    networks: Sequence[Trained], rows: Sequence[Sequence[str]], *, maps: str, images: str, said: str, picture: str,
    command: str,
) -> str:  # fmt: skip
    """Returns the Markdown page.

    Args:
      networks: those of the runs.
      rows: of the table.
      maps: which they are.
      images: which were measured.
      said: notes.
      picture: name of the file.
      command: that made the page.
    """
    height, width, _ = networks[0].dataset.shape
    listed = [f"- {row[0]}: {n.run.path}, step {n.saved.step}" for n, row in zip(networks, rows, strict=True)]
    about = (
        f"{maps}, measured on {images}, resized to the images, {height} x {width}. The entropy is 0 for a map of a "
        "single pixel and 1 for an even one; the area is the share of the pixels above 20 % of the map's maximum. "
        "Mean ± standard error over images, which says nothing of what other seeds would give. A map without evidence "
        "for its class has no positive value; it counts as entropy 1 and area 0."
    )
    return f"""# What runs on {networks[0].dataset.name} look at

{textwrap.fill(about, 120)}

{table(rows)}

{said}![Images and maps]({picture})

{chr(10).join(listed)}

```sh
{command}
```
"""
