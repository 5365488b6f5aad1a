"""The page and the sheets of maps that are made of the finished arms of `experiments.studies.attention`."""

import pathlib
from typing import Any

import jax.numpy as jnp
import numpy as np

from experiments.figures.attention_maps import over_images
from experiments.figures.attention_sheet import Cell, draw_sheet, image_cells, map_cells
from experiments.run.directory import environment_in_words
from experiments.studies.jsonl import error_percent, mean_text, paired_texts, sample_deviation
from experiments.studies.markdown import markdown_table
from jaxaug.data import Dataset
from jaxaug.explain import overlay

Lines = list[dict[str, Any]]


def table(lines: Lines, of: str) -> str:
    """Returns how spread out the maps of each arm are, and how far the receptive field reaches beside Grad-CAM."""
    header = ["trained with", "test error, %", "entropy", "difference to the first", "p", "area", "difference", "p"]
    header += ["spread of the receptive field, pixels"] * (of == "grad_cam")
    rows = []
    for line in lines:
        cells = [line["arm"], mean_text(error_percent(line), sample_deviation)]
        for what in ("entropy", "area"):
            values, base = np.array(line[of][what]), np.array(lines[0][of][what])
            cells += [mean_text(values, sample_deviation, digits=3)]
            cells += ["-", "-"] if line is lines[0] else paired_texts(values, base, sample_deviation, digits=3)
        cells += [mean_text(np.array(line["spreads"]), sample_deviation)] * (of == "grad_cam")
        rows.append(cells)
    return markdown_table(header, rows)


def page(lines: Lines, sheets: dict[str, pathlib.Path]) -> str:
    """Returns the Markdown page."""
    first = lines[0]
    return f"""# Where networks look after erasing, mixing and blurring

Written by `python -m experiments.studies.attention --data-dir DIR` from the lines of [attention.jsonl](attention.jsonl):
{first["model"]} on {first["examples"]:,} training images of CIFAR-10, {first["epochs"]} epochs. Maps of the label of
{first["measured"]:,} test images, resized to the images. Entropy is 0 for a map of a single pixel and 1 for an even
one, area is the share of the pixels above 20 % of the map's maximum. Mean ± sample deviation over {first["seeds"]}
seeds, which fix images, weights and order, of means over images; differences seed by seed, with the p value of the
paired t test (unadjusted). All are trained with crop and flip, and with plain convolutions unless it says disentangled.

## Class activation maps of the last features

{table(lines, "cam")}

![Images and class activation maps of each network]({sheets["cam"].name})

## Grad-CAM and receptive field of {first["layer"]}

The field is the gradient of the central feature with respect to the image, averaged over test images; its spread is the
mean of its standard deviations along height and width.

{table(lines, "grad_cam")}

![Images, Grad-CAM of each network and, below, its receptive field]({sheets["grad_cam"].name})

Maps shown are those of the first seed. SGD with Nesterov momentum 0.9, cosine rate from 0.1, weight decay 5e-4 on
kernels, batch 128.

```sh
{chr(10).join(sorted({line["command"] for line in lines}))}
```

{"; ".join(sorted({environment_in_words(line) for line in lines}))}.
"""


def draw(lines: Lines, dataset: Dataset, sheets: dict[str, pathlib.Path]) -> None:
    """Draws a sheet of maps for each method: a row for each image, a column for each arm."""
    index = np.array(lines[0]["shown"])
    images, labels = dataset.test.images[index], dataset.test.labels[index]
    pictures = jnp.asarray(images, jnp.float32) / 255.0
    shown = image_cells(dataset.test, "test", index, dataset.class_names)
    for of, path in sheets.items():
        columns = [shown]
        for line in lines:
            found = over_images(pictures, jnp.asarray(line[of]["maps"], jnp.float32))
            results = {name: np.asarray(values) for name, values in found.items()}
            results |= {"class": labels, "probability": np.array(line["probabilities"])}
            columns.append(map_cells(results, labels, dataset.class_names))
        rows = list(zip(*columns, strict=True))
        footer = "Yellow: the maximum of the map, violet: 0 or less. Box: the largest part above 20 % of the maximum."
        if of == "grad_cam":
            rows.append(tuple(field_cells(lines)))
            footer += " Last row: root of the mean gradient of the layer's central feature."
        draw_sheet([["image"], *([line["arm"]] for line in lines)], rows, footer, path)


def field_cells(lines: Lines) -> list[Cell]:
    """Returns a row of receptive fields, below the images."""
    cells = [Cell(np.ones((1, 1, 3)), "receptive field")]
    for line in lines:
        field = jnp.sqrt(jnp.asarray(line["field"], jnp.float32))[None]
        picture = overlay(jnp.zeros((*field.shape, 1)), field, strength=1.0)[0]
        cells.append(Cell(np.asarray(picture), f"spread {np.mean(line['spreads']):.2f} pixels"))
    return cells
