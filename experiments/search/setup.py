"""The dataset, network and training of a search, as a config."""

import dataclasses
import pathlib
from typing import Annotated, Any

import tyro

from experiments.run.build import build_augmentation, build_model, build_optimizer, load_dataset, normalization
from experiments.run.config import Config, DataConfig, OptimizerConfig
from experiments.run.policy import Policy
from jaxaug import data
from jaxaug.compose import Augmentation
from jaxaug.data import Dataset

MLP_DATA = ("digits", "breast_cancer", "wine", "iris")


@dataclasses.dataclass(frozen=True)
class Recipe:
    """The options of a search that determine its config."""

    name: Annotated[str, tyro.conf.Positional] = "digits"
    """digits, breast_cancer, wine, iris, any TFDS name, folder:PATH, or synthetic:HxWxC[,classes,n]."""
    data_dir: pathlib.Path | None = None
    """Directory of the TFDS datasets."""
    examples: int | None = None
    """Use a class-balanced subset of this many examples, including those for validation."""
    side: int | None = None
    """Downsample images to this side length."""
    validation: float = 0.2
    """Fraction of the training split held out to measure affinity."""
    model: str | None = None
    """A network of jaxaug.create_model; by default mlp for digits and feature vectors, cnn for other images."""
    epochs: int = 30
    """Epochs of a full training."""
    batch_size: int = 64
    """Examples per step."""
    learning_rate: float = 0.05
    """Peak learning rate of the cosine schedule."""

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


def search_dataset(config: Config) -> Dataset:
    """Returns the dataset with a validation split, which counts towards the config's number of examples."""
    dataset = load_dataset(config)
    if config.data.num_examples is not None:
        dataset = data.subset(dataset, config.data.num_examples)
    return data.with_validation(dataset, config.data.validation)


def build_policy(policy: Policy, dataset: Dataset) -> Augmentation:
    """Returns the augmentation of a policy."""
    return build_augmentation(Config(augment=policy.augment, mix=policy.mix), dataset)


def training_parts(config: Config, dataset: Dataset) -> dict[str, Any]:
    """Returns model, optimizer and normalization."""
    return {
        "model": build_model(config, dataset.num_classes),
        "optimizer": build_optimizer(config, len(dataset.train.labels)),
        "normalize": normalization(dataset),
    }
