"""Where networks look after erasing, mixing and blurring: class activation maps, Grad-CAM and receptive fields."""

import pathlib
import shlex
import sys
import time
from typing import Any, cast

import jax.numpy as jnp
import numpy as np

from experiments.figures.attention_maps import (
    Method,
    explain_images,
    make_explain,
    make_field,
    over_images,
    spread_evenly,
)
from experiments.figures.attention_sheet import Cell, draw_sheet, image_cells, map_cells
from experiments.studies.papers.scales import SMALL
from experiments.studies.recipe import job_config, parsed_config, resolve
from experiments.studies.report import metric
from experiments.studies.study import Arm, Block, DataPaths, Job, Lines, Measured, ScaleOverrides, Study
from experiments.studies.train_population import errors, train_population, whole_of
from jaxaug.explain import overlay, receptive_field_spread
from jaxaug.models import Network

LAYERS: dict[Method, str | None] = {"cam": None, "grad_cam": "trunk/stage2_block1"}
"""Whose output each method explains; None is what the classifier pools."""
FIELD_IMAGES = 256
MEASURED = 2000  # test images that the numbers are averaged over
SHOWN = 6  # test images on the sheets


def measure_attention(job: Job) -> Measured:
    """Returns errors, entropies and areas of the maps and spreads of the fields by seed, and the first seed's maps."""
    job.announce(f"{job.seeds} seeds together")
    config, began = job_config(job), time.monotonic()
    trained = train_population(config, range(job.seeds))
    seconds, states, dataset = time.monotonic() - began, trained.finite_states, trained.dataset
    model, size = cast(Network, trained.parts.model), len(dataset.test.labels)
    measured, shown = spread_evenly(MEASURED, size), spread_evenly(SHOWN, size)
    metrics: dict[str, Any] = {"shown": shown.tolist()}
    for method, layer in LAYERS.items():
        explain = make_explain(model, dataset, method=method, layer=layer, of="label")
        for state in states:
            numbers = explain_images(explain, state.inference_variables, dataset.test, measured, ("entropy", "area"))
            for name, values in numbers.items():
                metrics.setdefault(f"{method}_{name}", []).append(values.mean().item())
        of_shown = explain_images(explain, states[0].inference_variables, dataset.test, shown, ("map", "probability"))
        metrics[f"{method}_maps"] = np.round(of_shown["map"], 4).tolist()
        metrics["probabilities"] = np.round(of_shown["probability"], 4).tolist()
    images = dataset.test.images[spread_evenly(FIELD_IMAGES, size)] / np.float32(255)
    field = make_field(model, dataset, cast(str, LAYERS["grad_cam"]))
    fields = [field(state.inference_variables, images) for state in states]
    metrics["field_spread"] = [receptive_field_spread(each).mean().item() for each in fields]
    metrics["field"] = np.round(np.mean([each / each.max() for each in fields], axis=0), 4).tolist()
    return Measured(errors(trained.records, config), metrics, [seconds])


def draw_maps(lines: Lines, path: pathlib.Path, paths: DataPaths) -> None:
    """Draws a sheet of maps of the method that the file is named for: a row for each image, a column for each arm."""
    method, first = path.stem, lines[0]
    lines = [line for line in lines if line["scale"] == first["scale"]]
    try:
        dataset = whole_of(parsed_config(tuple(resolve(shlex.split(first["command"])[3:], paths))))
    except (FileNotFoundError, ValueError) as error:
        print(f"note: {path} is not drawn again, because the images are missing: {error}", file=sys.stderr)
        return
    index = np.array(first["metrics"]["shown"])
    images, labels = dataset.test.images[index], dataset.test.labels[index]
    pictures = jnp.asarray(images, jnp.float32) / 255.0
    columns = [image_cells(dataset.test, "test", index, dataset.class_names)]
    for line in lines:
        drawn = over_images(pictures, jnp.asarray(line["metrics"][f"{method}_maps"], jnp.float32))
        results = {name: np.asarray(values) for name, values in drawn.items()}
        results |= {"class": labels, "probability": np.array(line["metrics"]["probabilities"])}
        columns.append(map_cells(results, labels, dataset.class_names))
    rows = list(zip(*columns, strict=True))
    footer = "Yellow: the maximum of the map, violet: 0 or less. Box: the largest part above 20 % of the maximum."
    if method == "grad_cam":
        rows.append(tuple(field_cells(lines)))
        footer += " Last row: root of the mean gradient of the layer's central feature."
    draw_sheet([["image"], *([line["arm"]] for line in lines)], rows, footer, path)


def field_cells(lines: Lines) -> list[Cell]:
    """Returns a row of receptive fields, below the images."""
    cells = [Cell(np.ones((1, 1, 3)), "receptive field")]
    for line in lines:
        field = jnp.sqrt(jnp.asarray(line["metrics"]["field"], jnp.float32))[None]
        picture = overlay(jnp.zeros((*field.shape, 1)), field, strength=1.0)[0]
        cells.append(Cell(np.asarray(picture), f"spread {np.mean(line['metrics']['field_spread']):.2f} pixels"))
    return cells


ATTENTION = Study(
    "attention",
    "Where networks look after erasing, mixing and blurring",
    "Does a network that is trained with erased or mixed images look at more of the object?",
    "the argument of Takahashi, Matsubara, Uehara, IEEE TCSVT 30(9), 2020, who show pictures",
    (
        Block(
            "CIFAR-10",
            "cifar10-small",
            (
                Arm("crop and flip"),
                Arm("cutout", augment=("cutout(size=16)",)),
                Arm("mixup", ("--mix", "mixup(alpha=1.0)")),
                Arm("RICAP", ("--mix", "ricap(beta=0.3)")),
                Arm("disentangled convolution", ("--conv", "DisentangledConv")),
            ),
            measure=measure_attention,
            columns=(
                metric("cam_entropy", "CAM: entropy", digits=3, compared=True),
                metric("cam_area", "CAM: area", digits=3, compared=True),
                metric("grad_cam_entropy", "Grad-CAM: entropy", digits=3, compared=True),
                metric("grad_cam_area", "Grad-CAM: area", digits=3, compared=True),
                metric("field_spread", "spread of the receptive field, pixels"),
            ),
        ),
    ),
    {
        "cpu": ScaleOverrides(
            options=(
                *("--model", "wrn_10_1", "--data.num-examples", "5000", "--epochs", "15", "--batch-size", "128"),
                *(*SMALL, "--optimizer.learning-rate", "0.1"),
            ),
            setup="WRN-10-1 on 5,000 training images of CIFAR-10, 15 epochs of a cosine schedule",
        )
    },
    notes="Maps of the label of 2,000 test images, resized to the images, averaged over images: class activation "
    "maps (CAM) of the last features, and Grad-CAM and receptive field of trunk/stage2_block1. The entropy is "
    "0 for a map of a single pixel and 1 for an even one; the area is the share of the pixels above 20 % of "
    "the map's maximum; in brackets is the difference to the first arm. The field is the gradient of the "
    "central feature with respect to the image; its spread is the mean of its standard deviations along height "
    "and width. The maps shown are those of the first seed.",
    pictures={"cam.png": draw_maps, "grad_cam.png": draw_maps},
)

STUDIES = (ATTENTION,)
