"""The page of a sheet of attention maps: their entropy and area, averaged over many images."""

import textwrap
from collections.abc import Sequence

import numpy as np
import scipy.stats

from experiments.figures.attention_maps import TrainedNetwork
from experiments.studies.markdown import markdown_table
from experiments.studies.statistics import mean_text
from jaxaug.data import Split

HEADER = ("run", "accuracy, %", "entropy of the maps", "area of the maps", "maps without evidence")


def row(title: Sequence[str], results: dict[str, np.ndarray], labels: np.ndarray) -> list[str]:
    """Returns a run's row of the table: means over images, with their standard errors."""
    accuracy = 100 * (results["probability"].argmax(axis=-1) == labels).mean()
    entropy, area = (mean_text(results[name], scipy.stats.sem, digits=3) for name in ("entropy", "area"))
    return [", ".join(title), f"{accuracy:.1f}", entropy, area, str(np.count_nonzero(results["area"] == 0))]


def table(rows: Sequence[Sequence[str]]) -> str:
    """Returns the Markdown table."""
    return markdown_table(HEADER, rows)


def notes(networks: Sequence[TrainedNetwork], split: Split, measured: np.ndarray) -> list[str]:
    """Returns a sentence for each unfinished run, and one if classes are missing."""
    remarks = [f"{n.run.shortfall}; its weights are from step {n.saved.step}." for n in networks if n.run.shortfall]
    all_classes, classes = (len(np.unique(labels)) for labels in (split.labels, split.labels[measured]))
    if classes < all_classes:
        remarks.append(
            f"The measured images show {classes} of {all_classes} classes; increase --measured to cover more."
        )
    return remarks


def page(
    networks: Sequence[TrainedNetwork],
    rows: Sequence[Sequence[str]],
    *,
    maps: str,
    images: str,
    remarks: str,
    picture: str,
    command: str,
) -> str:
    """Returns the Markdown page.

    Args:
      networks: the networks of the runs.
      rows: rows of the table.
      maps: a phrase that names the maps.
      images: a phrase that names the measured images.
      remarks: notes, each with an empty line after it.
      picture: file name of the sheet.
      command: the command that wrote the page.
    """
    height, width, _ = networks[0].dataset.shape
    listed = [f"- {row[0]}: {n.run.path}, step {n.saved.step}" for n, row in zip(networks, rows, strict=True)]
    explanation = (
        f"{maps}, resized to {height} x {width} and measured on {images}. The entropy is 0 for a map of a single pixel "
        "and 1 for a uniform one; the area is the fraction of pixels above 20 % of the map's maximum. Mean ± standard "
        "error over images; variation over seeds is not included. A map without evidence for its class has no positive "
        "value; it counts as entropy 1 and area 0."
    )
    return f"""# Attention maps of runs on {networks[0].dataset.name}

{textwrap.fill(explanation, 120)}

{table(rows)}

{remarks}![Images and maps]({picture})

{chr(10).join(listed)}

```sh
{command}
```
"""
