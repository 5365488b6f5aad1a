"""Where networks look after erasing, mixing and blurring: `python -m experiments.studies.attention --data-dir DIR`.

Every arm is one training of CIFAR-10 over several seeds. Its class activation maps, its Grad-CAM in the middle of the
network and the effective receptive field there are averaged over test images. A finished arm is one line in
results/attention.jsonl; the page beside it and the sheets of maps are made from those lines alone, and what is there
already is not run again.
"""

import dataclasses
import pathlib
import sys
from typing import Any, cast

import numpy as np
import tyro

from experiments.figures.attention_maps import Method, explained, make_explain, make_field, spread_evenly
from experiments.run.build import normalization
from experiments.run.directory import environment, replace_text
from experiments.studies.attention.page import draw, page
from experiments.studies.jsonl import machine, read_jsonl, write_jsonl
from experiments.studies.train_seeds import all_finite, train_seeds
from jaxaug import (
    DisentangledConv,
    always,
    chain,
    create_model,
    crop,
    cutout,
    data,
    flip_left_right,
    mixup,
    on_images,
    on_pairs,
    ricap,
)
from jaxaug.compose import Augmentation
from jaxaug.data import Dataset
from jaxaug.explain import receptive_field_spread
from jaxaug.models import ModuleDef, Network

STANDARD = (on_images(crop, padding=4), on_images(flip_left_right))
# What is added to crop and flip, and what the convolutions are.
ARMS: dict[str, tuple[tuple[Augmentation, ...], ModuleDef | None]] = {
    "crop and flip": ((), None),
    "cutout": ((on_images(cutout, size=16),), None),
    "mixup": ((on_pairs(mixup, alpha=1.0),), None),
    "RICAP": ((on_pairs(ricap, beta=0.3),), None),
    "disentangled convolution": ((), DisentangledConv),
}
BATCH_SIZE = 128
FIELD_IMAGES = 256


@dataclasses.dataclass(frozen=True)
class Command:
    """How much to run."""

    data_dir: pathlib.Path
    """Where the TFDS dataset cifar10 lies."""
    model: str = "wrn_10_1"
    """The network."""
    layer: str = "trunk/stage2_block1"
    """Whose features Grad-CAM and the receptive field are of."""
    examples: int = 5000
    """Training examples."""
    epochs: int = 20
    """Epochs of every network."""
    seeds: int = 3
    """Seeds of every arm."""
    measured: int = 2000
    """Test images, spread evenly, that the numbers are averaged over."""
    images: int = 6
    """Test images on the sheets, of the first seed's networks."""
    results: pathlib.Path = pathlib.Path("results/attention.jsonl")
    """One line per finished arm; page and sheets are written beside it, as .md, _cam.png and _grad_cam.png."""


def row(command: Command, full: Dataset, arm: str) -> dict[str, Any]:
    """Returns accuracies, numbers of the maps and spreads of the fields, seed by seed, and the first seed's maps."""
    added, conv = ARMS[arm]
    seeds = range(command.seeds)
    model = cast(Network, create_model(command.model, full.num_classes, conv=conv))
    states, records = train_seeds(
        [data.subset(full, command.examples, seed=seed) for seed in seeds],
        model,
        always(chain(*STANDARD, *added)),
        seeds=seeds,
        epochs=command.epochs,
        batch_size=BATCH_SIZE,
        learning_rate=0.1,
        normalize=normalization(full),
    )
    finite = all_finite(states)
    size = len(full.test.labels)
    measured, shown = spread_evenly(command.measured, size), spread_evenly(command.images, size)
    found: dict[str, Any] = {"accuracies": [seed[-1]["test_accuracy"] for seed in records], "shown": shown.tolist()}
    layers: dict[Method, str | None] = {"cam": None, "grad_cam": command.layer}
    for method, layer in layers.items():
        explain = make_explain(model, full, method=method, layer=layer, of="label")
        numbers = [explained(explain, s.inference_variables, full.test, measured, ("entropy", "area")) for s in finite]
        of_shown = explained(explain, finite[0].inference_variables, full.test, shown, ("map", "probability"))
        found[method] = {
            **{what: [each[what].mean().item() for each in numbers] for what in ("entropy", "area")},
            "maps": np.round(of_shown["map"], 4).tolist(),
        }
        found["probabilities"] = np.round(of_shown["probability"], 4).tolist()
    images = full.test.images[spread_evenly(FIELD_IMAGES, size)] / np.float32(255)
    field = make_field(model, full, command.layer)
    fields = [field(state.inference_variables, images) for state in finite]
    found["spreads"] = [receptive_field_spread(each).mean().item() for each in fields]
    found["field"] = np.round(np.mean([each / each.max() for each in fields], axis=0), 4).tolist()
    return found


def main() -> int:
    """Runs what is not yet in the results."""
    command = tyro.cli(Command, description=__doc__, prog="python -m experiments.studies.attention")
    full = data.load("cifar10", data_dir=command.data_dir)
    said = ("model", "layer", "examples", "epochs", "seeds", "measured", "images")
    about = {
        "command": "python -m experiments.studies.attention --data-dir DIR "
        + " ".join(f"--{name} {getattr(command, name)}" for name in said),
        **{name: getattr(command, name) for name in said},
        **machine(environment()),
    }
    for arm in ARMS:
        lines = read_jsonl(command.results)
        if any(line["arm"] == arm for line in lines):
            continue
        print(arm, flush=True)
        lines.append({"arm": arm, **about, **row(command, full, arm)})
        write_jsonl(command.results, lines)
        sheets = {of: command.results.with_name(f"{command.results.stem}_{of}.png") for of in ("cam", "grad_cam")}
        draw(lines, full, sheets)
        replace_text(command.results.with_suffix(".md"), page(lines, sheets))
    return 0


if __name__ == "__main__":
    sys.exit(main())
