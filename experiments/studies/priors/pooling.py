"""Poolings in one small ResNet and one small MobileNet."""

import functools
from typing import Any

import flax.linen as nn

from experiments.studies.priors.runs import Budget, time_ratios, trained
from jaxaug import GaussianPool, MaxEntropyPool, create_model
from jaxaug.data import Dataset
from jaxaug.models import AveragePool, MaxPool, ModuleDef

NETWORKS: dict[str, dict[str, Any]] = {
    "resnet20": {},
    "mobilenet": {"width": 0.25, "total_stride": 8},
}


def arms() -> dict[str, ModuleDef | None]:
    """Returns every pooling that is compared; without one the convolutions have the strides."""
    fixed = functools.partial(GaussianPool, parameters="fixed")
    return {
        "strided convolution": None,
        "maximum": MaxPool,
        "average": AveragePool,
        "Gaussian, fixed": functools.partial(fixed, prior="gaussian"),
        "half-Gaussian, fixed": functools.partial(fixed, prior="half"),
        "iSP-Gaussian, fixed": fixed,
        "iSP-Gaussian, learned": functools.partial(GaussianPool, parameters="learned"),
        "iSP-Gaussian, adaptive": GaussianPool,
        "maximum entropy, adaptive": MaxEntropyPool,
    }


def models(network: str, num_classes: int) -> dict[str, nn.Module]:
    """Returns the network with every pooling, by name."""
    options = NETWORKS[network]
    return {name: create_model(network, num_classes, pool=pool, **options) for name, pool in arms().items()}


def row(network: str, arm: str, datasets: list[Dataset], budget: Budget) -> dict[str, Any]:
    """Returns the accuracies of one pooling, seed by seed."""
    model = models(network, datasets[0].num_classes)[arm]
    return {"accuracies": [record["test_accuracy"] for record in trained(model, datasets, budget)[1]]}


def ratios(network: str, dataset: Dataset, turns: int) -> dict[str, float]:
    """Returns the time of a step with each pooling to that of the strided network."""
    return time_ratios(models(network, dataset.num_classes), dataset, turns)
