"""The cost of strategies relative to plain augmentation: `python -m experiments.benchmark strategies`."""

import dataclasses

import jax.numpy as jnp
import tyro

from experiments.benchmark.steps import random_batch, step_call
from experiments.benchmark.timing import header, keep_freed_memory, provenance, ratio_row, seconds_in_turns
from jaxaug import chain, create_model, crop, cutout, flip_left_right, on_images
from jaxaug.sampling import Strategy, always, batch_augmented, importance_sampled, max_loss, self_paced
from jaxaug.training import Scorer, make_optimizer, network_scorer, proxy_scorer, score_every


@dataclasses.dataclass(frozen=True)
class Command:
    """What to measure, and for how long."""

    repetitions: int = 25
    """Number of turns of each contender."""
    model: str = "wrn_10_1"
    """The network."""
    batch_size: int = 128
    """Batch size."""


CLASSES = 10
AUGMENT = chain(on_images(crop), on_images(flip_left_right), on_images(cutout))


def contenders(command: Command) -> dict[str, tuple[Strategy, Scorer | None, str]]:
    """Returns strategy, scorer and goal by name."""
    model = create_model(command.model, CLASSES)
    scorers = {
        "bfloat16": network_scorer(create_model(command.model, CLASSES, dtype=jnp.bfloat16)),
        "half resolution": network_scorer(model, resolution=2),
        "a cnn of width 8 trained alongside": proxy_scorer(
            create_model("cnn", CLASSES, width=8), make_optimizer(learning_rate=0.01)
        ),
        "every 4th step": score_every(network_scorer(model), 4),
    }
    four = importance_sampled(AUGMENT, num_candidates=4)
    return {
        "self-paced, current loss": (self_paced(AUGMENT, threshold=0.5), None, "at most 1.20"),
        "self-paced, stored loss": (self_paced(AUGMENT, threshold=0.5, score="stored"), None, "at most 1.03"),
        "importance-sampled, M = 2": (importance_sampled(AUGMENT, num_candidates=2), None, "at most 1.30"),
        "importance-sampled, M = 4": (four, None, "at most 1.50"),
        "importance-sampled, M = 8": (importance_sampled(AUGMENT, num_candidates=8), None, "at most 2.4"),
        "importance-sampled, M = 4, scan": (importance_sampled(AUGMENT, scan=True), None, "at most 1.50"),
        "importance-sampled, M = 8, scan": (
            importance_sampled(AUGMENT, num_candidates=8, scan=True),
            None,
            "at most 2.4",
        ),
        **{f"importance-sampled, M = 4, scored by {name}": (four, scorer, "-") for name, scorer in scorers.items()},
        "importance-sampled, M = 4, softmax at 0.1, a quarter scored": (
            importance_sampled(AUGMENT, importance="softmax", temperature=0.1, scored=0.25),
            None,
            "at most 1.20",
        ),
        "max_loss, M = 4": (max_loss(AUGMENT, num_candidates=4), None, "-"),
        "batch_augmented, 2 copies": (batch_augmented(AUGMENT, copies=2), None, "-"),
    }


def main() -> None:
    """Measures, and prints a Markdown table."""
    command = tyro.cli(Command, description=__doc__, prog="python -m experiments.benchmark strategies")
    keep_freed_memory()
    batch = random_batch(command.batch_size, classes=CLASSES)
    strategies, model = contenders(command), create_model(command.model, CLASSES)
    calls = {name: step_call(model, strategy, scorer, batch) for name, (strategy, scorer, _) in strategies.items()}
    seconds = seconds_in_turns({"always": step_call(model, always(AUGMENT), None, batch), **calls}, command.repetitions)
    print(f"# Cost of strategies relative to plain augmentation\n\n{provenance('strategies', command.repetitions)}\n")
    print(header(f"time of a step of {command.model}, batch {command.batch_size} / with `always`"))
    for name, (_, _, goal) in strategies.items():
        print(ratio_row(name, seconds[name], seconds["always"], goal))
