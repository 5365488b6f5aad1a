"""Draws attention maps of runs: `python -m experiments.explain RUN [RUN ...] --of label`.

The sheet has a row for each image and a column for each run. Next to it a page reports the entropy and the area of the
maps, averaged over many images.
"""

import dataclasses
import pathlib
import shlex
import sys
from collections.abc import Sequence
from typing import Literal

import numpy as np
import tyro

from experiments.figures import attention_report
from experiments.figures.attention_maps import (
    Method,
    TrainedNetwork,
    explain_images,
    load_network,
    make_explain,
    spread_evenly,
)
from experiments.figures.attention_sheet import draw_sheet, image_cells, map_cells
from experiments.run.console import exit_status, warnings_as_notes
from experiments.run.directory import replace_text
from experiments.run.load_runs import StoredRun, differing_options, load_runs
from jaxaug.checks import check_size
from jaxaug.data import Split

NAMES = {"cam": "CAM", "grad_cam": "Grad-CAM", "guided_grad_cam": "Guided Grad-CAM"}
IMAGES = 8


@dataclasses.dataclass(frozen=True)
class Command:
    """What to explain and measure, and where to write the result."""

    of: str
    """The class to explain: predicted (by each network), label, or the name of a class."""
    runs: tyro.conf.Positional[tuple[pathlib.Path, ...]] = ()
    """Run directories of experiments.train, on the same dataset of images."""
    images: int | None = None
    """Number of images on the sheet, spread evenly over the split; 8 by default."""
    indices: tuple[int, ...] = ()
    """Indices in the split of the images on the sheet, instead of --images."""
    split: Literal["train", "validation", "test"] = "test"
    """Split that the images are from."""
    method: Method = "cam"
    """Kind of map: cam uses the last features, the others any --layer."""
    layer: str | None = None
    """Layer at which gradients are taken, such as trunk/stage2_block1; the classifier's input by default."""
    measured: int = 1000
    """Number of images, spread evenly over the split, that entropy and area are averaged over."""
    data_dir: pathlib.Path | None = None
    """Directory of the TFDS datasets, if it is not that of the runs."""
    output: pathlib.Path = pathlib.Path("explain.png")
    """PNG of the sheet; the page has the same name with .md."""


def titles(runs: Sequence[StoredRun]) -> list[list[str]]:
    """Returns the options in which the runs differ, or their names if these do not tell them apart."""
    differing = differing_options(runs)
    distinct = len(runs) > 1 and len(set(map(tuple, differing))) == len(runs)
    return differing if distinct else [[run.path.resolve().name] for run in runs]


def common_split(networks: Sequence[TrainedNetwork], name: str) -> Split:
    """Returns the split of that name, which has to be the same for all runs."""
    first = networks[0]
    for network in networks:
        splits = network.dataset.splits
        if name not in splits:
            raise ValueError(f"expected --split {' or '.join(splits)} for {network.run.path}; got {name}.")
        if not all(map(np.array_equal, splits[name], first.dataset.splits[name])):
            raise ValueError(
                f"expected runs with the same images in their {name} split; those of {first.run.path} and "
                f"{network.run.path} differ."
            )
    return first.dataset.splits[name]


def shown(command: Command, size: int) -> np.ndarray:
    """Returns the indices of the images on the sheet."""
    if not command.indices:
        count = IMAGES if command.images is None else command.images
        check_size("experiments.explain", "--images", count, 1)
        return spread_evenly(count, size)
    if command.images is not None:
        raise ValueError(f"expected either --images or --indices; got {command.images} and {command.indices}.")
    for index in command.indices:
        if not 0 <= index < size:
            raise ValueError(f"expected --indices in [0, {size - 1}] for this split; got {index}.")
    return np.array(command.indices)


def maps_in_words(command: Command) -> str:
    """Returns a phrase that names the maps."""
    target = {"predicted": "the class that each network predicts", "label": "the label"}.get(command.of)
    at = f" at {command.layer}" if command.layer else ""
    return f"{NAMES[command.method]}{at} of {target or f'the class {command.of}'}"


def run(command: Command, arguments: Sequence[str]) -> None:
    """Writes the sheet and the page, and prints the table."""
    check_size("experiments.explain", "--measured", command.measured, 2)
    runs = load_runs(command.runs)
    location = {} if command.data_dir is None else {"data_dir": command.data_dir}
    with warnings_as_notes():
        networks = [load_network(run, dataclasses.replace(run.config.data, **location)) for run in runs]
    split, names = common_split(networks, command.split), networks[0].dataset.class_names
    size = len(split.labels)
    index, measured = shown(command, size), spread_evenly(command.measured, size)

    columns, rows, heads = [image_cells(split, command.split, index, names)], [], titles(runs)
    for network, head in zip(networks, heads, strict=True):
        explain = make_explain(
            network.model, network.dataset, method=command.method, layer=command.layer, of=command.of
        )
        variables = network.saved.variables
        try:
            numbers = explain_images(explain, variables, split, measured, ("entropy", "area", "probability"))
        except (ValueError, TypeError) as error:
            raise ValueError(f"{network.run.path} cannot be explained with these options: {error}") from None
        rows.append(attention_report.row(head, numbers, split.labels[measured]))
        results = explain_images(explain, variables, split, index, ("picture", "box", "class", "probability", "area"))
        columns.append(map_cells(results, split.labels[index], names))

    maps = maps_in_words(command)
    footer = f"{maps}. Yellow: maximum, violet: 0 or less. Box: the largest region above 20 % of the maximum."
    draw_sheet([["image"], *heads], list(zip(*columns, strict=True)), footer, command.output)
    notes = attention_report.notes(networks, split, measured)
    text = attention_report.page(
        networks,
        rows,
        maps=maps,
        images=f"{len(measured):,} of the {size:,} images of the {command.split} split, spread evenly",
        remarks="".join(f"{note}\n\n" for note in notes),
        picture=command.output.name,
        command=f"python -m experiments.explain {shlex.join(arguments)}",
    )
    replace_text(command.output.with_suffix(".md"), text)
    print("\n".join([attention_report.table(rows), *notes]))
    print(f"Wrote {command.output} ({len(index)} images) and {command.output.with_suffix('.md')} (table).")


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line; a user error is printed as one sentence and returns status 2."""
    arguments = sys.argv[1:] if arguments is None else arguments
    command = tyro.cli(Command, prog="python -m experiments.explain", description=__doc__, args=list(arguments))
    return exit_status(lambda: run(command, arguments), ValueError, TypeError, OSError)


if __name__ == "__main__":
    sys.exit(main())
