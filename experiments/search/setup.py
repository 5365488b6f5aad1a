"""What a search is run on: the data, the network and how it is trained, as a config."""

import dataclasses
import pathlib
from typing import Annotated, Any

import tyro

from experiments.run.build import built_augmentation, built_model, built_optimizer, normalization, whole_dataset
from experiments.run.config import Config, DataConfig, OptimizerConfig
from experiments.run.policy import Policy
from jaxaug import data
from jaxaug.compose import Augmentation
from jaxaug.data import Dataset

MLP_DATA = ("digits", "breast_cancer", "wine", "iris")


@dataclasses.dataclass(frozen=True)
class Recipe:
    """The options of a search that make its config."""

    name: Annotated[str, tyro.conf.Positional] = "digits"
    """digits, breast_cancer, wine, iris, any TFDS name, folder:PATH, or synthetic:HxWxC[,classes,n]."""
    data_dir: pathlib.Path | None = None
    """Where TFDS sets are."""
    examples: int | None = None
    """Use a class-balanced subset of this many examples, including those for validation."""
    side: int | None = None
    """Images are averaged down to this side."""
    validation: float = 0.2
    """Share of the training split that is held out for affinity."""
    model: str | None = None
    """A name of jaxaug.create_model; None takes mlp for digits and feature vectors, and cnn for other images."""
    epochs: int = 30
    """Length of a full training."""
    batch_size: int = 64
    """Examples in a step."""
    learning_rate: float = 0.05
    """Peak of the cosine."""

    def config(self) -> Config:
        """Returns the config."""
        return Config(
            data=DataConfig(
                name=self.name,
                data_dir=self.data_dir,
                num_examples=self.examples,
                downsample=self.side,
                validation=self.validation,
            ),
            model=self.model or ("mlp" if self.name in MLP_DATA else "cnn"),
            optimizer=OptimizerConfig(learning_rate=self.learning_rate),
            epochs=self.epochs,
            batch_size=self.batch_size,
        )


def searched_dataset(config: Config) -> Dataset:
    """Returns the dataset with a validation split, which is part of the config's number of examples."""
    dataset = whole_dataset(config)
    if config.data.num_examples is not None:
        dataset = data.subset(dataset, config.data.num_examples)
    return data.with_validation(dataset, config.data.validation)


def made(policy: Policy, dataset: Dataset) -> Augmentation:
    """Returns the augmentation that a policy names."""
    return built_augmentation(Config(augment=policy.augment, mix=policy.mix), dataset)


def parts(config: Config, dataset: Dataset) -> dict[str, Any]:
    """Returns model, optimizer and normalization."""
    return {
        "model": built_model(config, dataset.num_classes),
        "optimizer": built_optimizer(config, len(dataset.train.labels)),
        "normalize": normalization(dataset),
    }
