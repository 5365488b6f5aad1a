"""Rotation regularization and logit adjustment on a long tail, with and without a second stage."""

import functools
from typing import Any

import numpy as np

from experiments.studies.priors.runs import Budget, trained
from jaxaug import RotatedDense, create_model
from jaxaug.data import Dataset
from jaxaug.training import log_prior

NETWORK = "resnet20"
# What `trained` is told, beside the head.
ARMS = {
    "plain": (False, False),
    "rotated": (True, False),
    "logit adjustment": (False, True),
    "rotated, logit adjustment": (True, True),
}
SHOTS = ("accuracy", "many_shot", "medium_shot", "few_shot")


def row(arm: str, datasets: list[Dataset], first: Budget, second: Budget) -> dict[str, Any]:
    """Returns the accuracies of both stages, as a whole and by shots, seed by seed.

    The second stage trains a plain classifier on frozen features, every class equally often.
    """
    rotated, adjusted = ARMS[arm]
    classes = datasets[0].num_classes
    plain = create_model(NETWORK, classes)
    # D of the noise as the author's code has it, the smaller of 64 features and the classes.
    head = functools.partial(RotatedDense, dimension=min(64, classes)) if rotated else None
    # Every seed has the same counts, of other examples.
    prior = log_prior(np.bincount(datasets[0].train.labels, minlength=classes)) if adjusted else None
    states, records = trained(create_model(NETWORK, classes, head=head), datasets, first, logit_adjustment=prior)
    stages = {
        "first stage": records,
        "second stage": trained(plain, datasets, second, features_of=states)[1],
    }
    return {
        stage: {name: [record.get(f"test_{name}") for record in records] for name in SHOTS}
        for stage, records in stages.items()
    }
