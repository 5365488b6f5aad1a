"""The cost of attention maps relative to the forward pass: `python -m experiments.benchmark explain`."""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import jax
import tyro

from experiments.benchmark.steps import random_batch
from experiments.benchmark.timing import header, keep_freed_memory, provenance, ratio_row, seconds_in_turns
from jaxaug import cam, create_model, grad_cam


@dataclasses.dataclass(frozen=True)
class Command:
    """What to measure, and for how long."""

    repetitions: int = 25
    """Number of turns of each contender."""
    model: str = "wrn_10_1"
    """A network that ends in global average pooling and a linear classifier."""
    images: int = 1000
    """Number of images to explain."""
    batch_size: int = 250
    """Images per batch."""


CLASSES = 10
GOALS = {"CAM": "at most 1.3", "Grad-CAM": "at most 3.5", "Grad-CAM at the images": "-"}


def explainers(model: Any, variables: Any) -> dict[str, Callable[[Any], Any]]:
    """Returns functions of a batch of images by name: the forward pass alone, and with maps of the predicted class."""
    features_of: Any = functools.partial(model.apply, variables, method="features")
    head: Any = functools.partial(model.apply, variables, method="head")

    def forward(images: Any) -> Any:
        return model.apply(variables, images)

    def with_cam(images: Any) -> Any:
        features = features_of(images)
        logits = head(features)
        return logits, cam(features, variables["params"]["classifier"]["kernel"], logits.argmax(axis=-1))

    def with_grad_cam(images: Any) -> Any:
        features = features_of(images)
        logits = head(features)
        return logits, grad_cam(head, features, logits.argmax(axis=-1))

    def with_grad_cam_of_images(images: Any) -> Any:
        logits = forward(images)
        return logits, grad_cam(forward, images, logits.argmax(axis=-1))

    return {
        "forward": forward,
        "CAM": with_cam,
        "Grad-CAM": with_grad_cam,
        "Grad-CAM at the images": with_grad_cam_of_images,
    }


def main() -> None:
    """Measures, and prints a Markdown table."""
    command = tyro.cli(Command, description=__doc__, prog="python -m experiments.benchmark explain")
    keep_freed_memory()
    images = random_batch(command.batch_size, classes=CLASSES)["image"]
    model = create_model(command.model, CLASSES)
    variables = model.init(jax.random.key(0), images[:1])
    batches = -(-command.images // command.batch_size)

    def call(run: Callable[[Any], Any]) -> Callable[[], Any]:
        compiled = jax.jit(run)
        return lambda: [compiled(images) for _ in range(batches)]

    calls = {name: call(run) for name, run in explainers(model, variables).items()}
    seconds = seconds_in_turns(calls, command.repetitions)
    print(f"# Cost of attention maps relative to the forward pass\n\n{provenance('explain', command.repetitions)}\n")
    print(header(f"time of {command.model} with a map for each of {command.images} images / forward pass only"))
    for name, goal in GOALS.items():
        print(ratio_row(name, seconds[name], seconds["forward"], goal))
