"""Shows what runs look at: `python -m experiments.explain RUN [RUN ...] --of label` draws maps of a class over images.

The sheet has a row for each image and a column for each run. Beside it a page has the entropy and the area of the maps,
averaged over many images, since a sheet shows a few.
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
from experiments.figures.attention_maps import Method, Trained, explained, make_explain, spread_evenly, trained
from experiments.figures.attention_sheet import draw_sheet, image_cells, map_cells
from experiments.run.console import exit_status
from experiments.run.directory import replace_text
from experiments.run.load_runs import StoredRun, differing_options, load_runs
from experiments.train import warnings_as_notes
from jaxaug.checks import check_size
from jaxaug.data import Split

NAMES = {"cam": "CAM", "grad_cam": "Grad-CAM", "guided_grad_cam": "Guided Grad-CAM"}
IMAGES = 8


@dataclasses.dataclass(frozen=True)
class Command:
    """What is shown and measured, and where to."""

    of: str
    """The class that is explained: predicted (by each network itself), label, or the name of a class."""
    runs: tyro.conf.Positional[tuple[pathlib.Path, ...]] = ()
    """Directories of runs of experiments.train, on one dataset of images."""
    images: int | None = None
    """How many images are shown, spread evenly over the split; 8 by default."""
    indices: tuple[int, ...] = ()
    """Places in the split of the images that are shown, in place of --images."""
    split: Literal["train", "validation", "test"] = "test"
    """Where the images are from."""
    method: Method = "cam"
    """How maps are made: cam is of the last features, the others of any --layer."""
    layer: str | None = None
    """Layer at which gradients are taken, as trunk/stage2_block1; what the classifier pools by default."""
    measured: int = 1000
    """How many images, spread evenly over the split, entropy and area are averaged over."""
    data_dir: pathlib.Path | None = None
    """Where TFDS sets lie, if not where the runs had them."""
    output: pathlib.Path = pathlib.Path("explain.png")
    """PNG of the sheet; the page is written beside it, as .md."""


def titles(runs: Sequence[StoredRun]) -> list[list[str]]:
    """Returns what tells each run from the others: the options in which they differ, or else their names."""
    differing = differing_options(runs)
    told_apart = len(runs) > 1 and len(set(map(tuple, differing))) == len(runs)
    return differing if told_apart else [[run.path.resolve().name] for run in runs]


def common_split(networks: Sequence[Trained], name: str) -> Split:
    """Returns the split of that name, which all runs have to share."""
    first = networks[0]
    for network in networks:
        splits = network.dataset.splits
        if name not in splits:
            raise ValueError(f"--split takes one of {', '.join(splits)} for {network.run.path}; got {name}.")
        if not all(map(np.array_equal, splits[name], first.dataset.splits[name])):
            raise ValueError(
                f"runs with the same images in their {name} split are expected; those of {first.run.path} and "
                f"{network.run.path} are not."
            )
    return first.dataset.splits[name]


def shown(command: Command, size: int) -> np.ndarray:
    """Returns the places of the images on the sheet."""
    if not command.indices:
        count = IMAGES if command.images is None else command.images
        check_size("experiments.explain", "--images", count, 1)
        return spread_evenly(count, size)
    if command.images is not None:
        raise ValueError(f"either --images or --indices is expected; got {command.images} and {command.indices}.")
    for index in command.indices:
        if not 0 <= index < size:
            raise ValueError(f"--indices takes places in [0, {size - 1}] of this split; got {index}.")
    return np.array(command.indices)


def maps_in_words(command: Command) -> str:
    """Returns which maps they are, as a phrase."""
    of = {"predicted": "the class that each network predicts", "label": "the label"}.get(command.of)
    at = f" at {command.layer}" if command.layer else ""
    return f"{NAMES[command.method]}{at} of {of or f'the class {command.of}'}"


def run(command: Command, arguments: Sequence[str]) -> None:
    """Writes sheet and page, and prints the table."""
    check_size("experiments.explain", "--measured", command.measured, 2)
    runs = load_runs(command.runs)
    place = {} if command.data_dir is None else {"data_dir": command.data_dir}
    with warnings_as_notes():
        networks = [trained(run, dataclasses.replace(run.config.data, **place)) for run in runs]
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
            numbers = explained(explain, variables, split, measured, ("entropy", "area", "probability"))
        except (ValueError, TypeError) as error:
            raise ValueError(f"{network.run.path} cannot be explained in this way: {error}") from None
        rows.append(attention_report.row(head, numbers, split.labels[measured]))
        results = explained(explain, variables, split, index, ("picture", "box", "class", "probability", "area"))
        columns.append(map_cells(results, split.labels[index], names))

    maps = maps_in_words(command)
    footer = f"{maps}. Yellow: its maximum, violet: 0 or less. Box: the largest part above 20 % of the maximum."
    draw_sheet([["image"], *heads], list(zip(*columns, strict=True)), footer, command.output)
    notes = attention_report.notes(networks, split, measured)
    text = attention_report.page(
        networks,
        rows,
        maps=maps,
        images=f"{len(measured):,} of the {size:,} images of the {command.split} split, spread evenly",
        said="".join(f"{note}\n\n" for note in notes),
        picture=command.output.name,
        command=f"python -m experiments.explain {shlex.join(arguments)}",
    )
    replace_text(command.output.with_suffix(".md"), text)
    print("\n".join([attention_report.table(rows), *notes]))
    print(f"{command.output} has {len(index)} images, {command.output.with_suffix('.md')} the numbers.")


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line; a mistake in it is one sentence and exit status 2."""
    arguments = sys.argv[1:] if arguments is None else arguments
    command = tyro.cli(Command, prog="python -m experiments.explain", description=__doc__, args=list(arguments))
    return exit_status(lambda: run(command, arguments), ValueError, TypeError, OSError)


if __name__ == "__main__":
    sys.exit(main())
