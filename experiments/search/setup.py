"""On what a search is run: the data, the network and how it is trained."""

import dataclasses
import pathlib
from typing import Annotated, Any

import tyro

from experiments.run.build import built_augmentation, normalization
from experiments.run.config import Config
from experiments.run.policy import Policy
from experiments.studies.downsample import downsample
from jaxaug import create_model, data
from jaxaug.compose import Augmentation
from jaxaug.data import Dataset
from jaxaug.training import make_optimizer, make_schedule


@dataclasses.dataclass(frozen=True)
class Training:
    """How networks are trained."""

    model: str | None = None
    """A name of jaxaug.create_model; None takes mlp for digits and feature vectors, and cnn for other images."""
    epochs: int = 30
    """Length of a full training."""
    batch_size: int = 64
    """Examples in a step."""
    learning_rate: float = 0.05
    """Peak of the cosine."""


@dataclasses.dataclass(frozen=True)
class Source:
    """The data."""

    name: Annotated[str, tyro.conf.Positional] = "digits"
    """digits, breast_cancer, wine, iris, any TFDS name, folder:PATH, or synthetic:HxWxC[,classes,n]."""
    data_dir: pathlib.Path | None = None
    """Where TFDS sets lie."""
    examples: int | None = None
    """Use a class-balanced subset of this many examples, those for validation included."""
    side: int | None = None
    """Images are averaged down to this side."""
    validation: float = 0.2
    """Share of the training split that is held out for affinity."""


def loaded(source: Source) -> Dataset:
    """Returns the dataset with a validation split."""
    dataset = data.load(source.name, data_dir=source.data_dir)
    if source.side is not None:
        dataset = downsample(dataset, source.side)
    if source.examples is not None:
        dataset = data.subset(dataset, source.examples)
    return data.with_validation(dataset, source.validation)


def made(policy: Policy, dataset: Dataset) -> Augmentation:
    """Returns the augmentation that a policy names."""
    return built_augmentation(Config(augment=policy.augment, mix=policy.mix), dataset)


def parts(training: Training, dataset: Dataset) -> dict[str, Any]:
    """Returns model, optimizer and normalization."""
    small = len(dataset.shape) == 1 or dataset.name == "digits"
    steps = -(-len(dataset.train.labels) // training.batch_size)
    schedule = make_schedule(
        "cosine", learning_rate=training.learning_rate, epochs=training.epochs, steps_per_epoch=steps
    )
    return {
        "model": create_model(training.model or ("mlp" if small else "cnn"), dataset.num_classes),
        "optimizer": make_optimizer("sgd", learning_rate=schedule, weight_decay=5e-4),
        "normalize": normalization(dataset),
    }
