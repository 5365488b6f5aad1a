"""Plain, blurred and disentangled convolution in one small ResNet: errors, widths and receptive fields."""

import functools
from typing import Any

import flax.linen as nn
import jax.numpy as jnp
import numpy as np
from flax import traverse_util
from jax.typing import ArrayLike

from experiments.figures.attention_maps import make_field, spread_evenly
from experiments.studies.priors.runs import Budget, time_ratios, trained, untrained
from jaxaug import DisentangledConv, create_model
from jaxaug.data import Dataset
from jaxaug.explain import receptive_field_spread
from jaxaug.models import ModuleDef

NETWORK = "resnet20"
LAYER = "trunk/stage2_block1"
IMAGES = 256


def arms() -> dict[str, ModuleDef | None]:
    """Returns every convolution that is compared."""
    return {
        "plain": None,
        "fixed blur": functools.partial(DisentangledConv, learn_sigma=False),
        "disentangled": DisentangledConv,
        "disentangled, a sigma per channel": functools.partial(DisentangledConv, per_channel=True),
    }


def models(num_classes: int) -> dict[str, nn.Module]:
    """Returns the network with every convolution, by name."""
    return {name: create_model(NETWORK, num_classes, conv=conv) for name, conv in arms().items()}


def learned_sigmas(params: Any) -> dict[str, float]:
    """Returns the width of every layer in the order of the network, the mean where channels have their own."""
    leaves: Any = traverse_util.flatten_dict(params["trunk"])
    found = {"/".join(path[:-1]): float(jnp.abs(leaf).mean()) for path, leaf in leaves.items() if path[-1] == "sigma"}
    return dict(sorted(found.items(), key=lambda item: (item[0] != "stem/conv", item[0])))


def spread(field: ArrayLike) -> float:
    """Returns the spread of a receptive field in pixels, the mean of both axes."""
    return np.asarray(receptive_field_spread(jnp.asarray(field))).mean().item()


def row(arm: str, datasets: list[Dataset], budget: Budget) -> dict[str, Any]:
    """Returns accuracies, widths and receptive fields of one convolution, seed by seed."""
    model = models(datasets[0].num_classes)[arm]
    states, records = trained(model, datasets, budget)
    test = datasets[0].test
    images = test.images[spread_evenly(IMAGES, len(test.labels))] / np.float32(255)
    field = make_field(model, datasets[0], LAYER)
    fields = [np.asarray(field(state.inference_variables, images)) for state in states]
    first = [field(state.inference_variables, images) for state in untrained(model, datasets)]
    mean = np.mean([f / f.max() for f in fields], axis=0)
    return {
        "accuracies": [record["test_accuracy"] for record in records],
        "sigmas": [learned_sigmas(state.params) for state in states],
        "initial spreads": [spread(f) for f in first],
        "spreads": [spread(f) for f in fields],
        "field": np.round(mean, 4).tolist(),
    }


def ratios(dataset: Dataset, turns: int) -> dict[str, float]:
    """Returns the time of a step with each convolution to that of the plain one."""
    return time_ratios(models(dataset.num_classes), dataset, turns)
