"""Attention maps of trained networks and their statistics, in one compiled program per network."""

import dataclasses
import functools
from collections.abc import Callable, Sequence
from typing import Any, Literal, cast

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from experiments.run.build import build_dataset, build_model, normalization
from experiments.run.config import Config, DataConfig
from experiments.run.load_runs import StoredRun
from jaxaug.checks import nearest
from jaxaug.data import Dataset, Split
from jaxaug.explain import (
    bounding_box,
    cam,
    effective_receptive_field,
    features_and_head,
    grad_cam,
    guided_gradients,
    map_area,
    map_entropy,
    overlay,
)
from jaxaug.models import Network
from jaxaug.training import HEAD, DeviceSplit, SavedVariables, abstract_variables, gathered_batch, load_variables

Method = Literal["cam", "grad_cam", "guided_grad_cam"]
Explain = Callable[..., dict[str, jax.Array]]
BATCH_SIZE = 64


@dataclasses.dataclass(frozen=True)
class TrainedNetwork:
    """The trained network of a run, with its dataset."""

    run: StoredRun
    dataset: Dataset
    model: Network
    saved: SavedVariables


def load_network(run: StoredRun, data: DataConfig) -> TrainedNetwork:
    """Returns the network of a run; `data` may differ from the run's only in the directory of the dataset."""
    config = run.config
    # Only subsets depend on the seed: without one, all runs share the dataset.
    seeded = data.num_examples is not None or data.imbalance is not None
    dataset = _dataset(data, config.seed if seeded else 0)
    if len(dataset.shape) != 3:
        raise ValueError(f"expected runs on images; {run.path} is on {dataset.name}, which has none.")
    model = cast(Network, build_model(config, dataset.num_classes))
    if model.trunk.total_stride is None:
        raise ValueError(f"expected networks with feature maps; {run.path} has {config.model}, which has none.")
    try:
        saved = load_variables(run.directory.checkpoints, abstract_variables(model, dataset.shape))
    except (FileNotFoundError, ValueError) as error:
        raise ValueError(f"expected a run with a checkpoint; for {run.path}, {error}") from None
    return TrainedNetwork(run, dataset, model, saved)


@functools.lru_cache(maxsize=2)
def _dataset(data: DataConfig, seed: int) -> Dataset:
    return build_dataset(Config(data=data, seed=seed))


def named_class(of: str, names: Sequence[str]) -> int | None:
    """Returns the index of the class that --of names, None for "predicted" and "label"."""
    if of not in ("predicted", "label", *names):
        raise ValueError(nearest(of, ["predicted", "label", *names], "class"))
    return names.index(of) if of in names else None


def make_explain(network: Network, dataset: Dataset, *, method: Method, layer: str | None, of: str) -> Explain:
    """Returns the compiled function that computes maps, overlays, boxes and statistics of a batch.

    Args:
      network: a model for the dataset.
      dataset: gives normalization and class names.
      method: guided_grad_cam returns the sum over colors of the gradient's absolute values.
      layer: gradients are taken at its output; None is the classifier's input.
      of: the class to explain: "predicted", "label" or its name.

    Returns:
      `f(variables, images in [0, 1], labels) -> {"map": [B, h, w], "class": [B], "probability": [B, K], "picture":
      [B, H, W, 3], "box": [B, 4], "entropy": [B], "area": [B]}`, the last four from `over_images`.
    """
    if layer is not None and method == "cam":
        raise ValueError(
            f"--layer applies to grad_cam and guided_grad_cam, not to cam; got {layer!r}. Remove it or change --method."
        )
    named, normalize = named_class(of, dataset.class_names), normalization(dataset)
    # Linen types `apply` as returning a result or a pair; here it is always a result.
    apply = cast(Callable[..., Any], functools.partial(network.apply, train=False))

    def logits_of(variables: Any, images: jax.Array) -> jax.Array:
        return apply(variables, normalize(images))

    def maps_of(variables: Any, images: jax.Array, classes: jax.Array) -> jax.Array:
        inputs = normalize(images)
        if layer is None:
            features = apply(variables, inputs, method="features")
            head = functools.partial(apply, variables, method="head")
        else:
            features, head = features_and_head(network, variables, inputs, layer, train=False)
        if method == "cam":
            return cam(features, variables["params"][HEAD]["kernel"], classes)
        maps = grad_cam(head, features, classes).astype(jnp.float32)
        if method == "grad_cam":
            return maps
        # Of the whole network: shortcuts may bypass the layer.
        guided = guided_gradients(functools.partial(logits_of, variables), images, classes)
        return jnp.abs(guided).sum(axis=-1) * jax.image.resize(maps, images.shape[:3], "bilinear")

    @jax.jit
    def explain(variables: Any, images: jax.Array, labels: jax.Array) -> dict[str, jax.Array]:
        logits = logits_of(variables, images)
        given = labels if named is None else jnp.full_like(labels, named)
        classes = jnp.argmax(logits, axis=-1).astype(labels.dtype) if of == "predicted" else given
        maps = maps_of(variables, images, classes).astype(jnp.float32)
        return {"map": maps, "class": classes, "probability": jax.nn.softmax(logits), **over_images(images, maps)}

    return explain


def over_images(images: jax.Array, maps: jax.Array) -> dict[str, jax.Array]:
    """Returns overlay, box, entropy and area of maps `[B, h, w]`, resized to the images `[B, H, W, C]`."""
    maps = jax.image.resize(maps, images.shape[:3], "bilinear")
    return {
        "picture": overlay(images, maps),
        "box": bounding_box(maps),
        "entropy": map_entropy(maps),
        "area": map_area(maps),
    }


def make_field(network: nn.Module, dataset: Dataset, layer: str) -> Callable[[Any, ArrayLike], jax.Array]:
    """Returns the compiled function `f(variables, images in [0, 1])` of the effective receptive field of a layer."""
    normalize = normalization(dataset)

    # The weights are arguments: as constants, XLA would spend minutes on folding the whole backward pass.
    @jax.jit
    def field(variables: Any, images: ArrayLike) -> jax.Array:
        def features(x: jax.Array) -> jax.Array:
            return features_and_head(network, variables, x, layer, train=False)[0]

        return effective_receptive_field(features, normalize(jnp.asarray(images)))

    return field


def spread_evenly(count: int, size: int) -> np.ndarray:
    """Returns at most `count` evenly spaced indices below `size`, since a split may be sorted by class."""
    count = min(count, size)
    return np.arange(count) * size // count


def explain_images(
    explain: Explain, variables: Any, split: Split, index: np.ndarray, wanted: Sequence[str]
) -> dict[str, np.ndarray]:
    """Returns the `wanted` results of `explain` for the images in `index`."""
    parts: list[dict[str, np.ndarray]] = []
    for start in range(0, len(index), BATCH_SIZE):
        chosen = index[start : start + BATCH_SIZE]
        # The last batch is padded with its last image, so that all batches share one compiled program.
        padded = np.pad(chosen, (0, BATCH_SIZE - len(chosen)), mode="edge")
        data = DeviceSplit(jnp.asarray(split.images[padded]), jnp.asarray(split.labels[padded]))
        batch = gathered_batch(data, jnp.arange(BATCH_SIZE), 1)
        results = explain(variables, batch["image"], data.labels)
        parts.append({name: np.asarray(results[name])[: len(chosen)] for name in wanted})
    return {name: np.concatenate([part[name] for part in parts]) for name in wanted}
