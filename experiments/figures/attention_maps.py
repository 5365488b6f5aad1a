"""Maps of what a run's network looks at, and numbers of them, batch by batch in one compiled program."""

import dataclasses
import functools
from collections.abc import Callable, Sequence
from typing import Any, Literal, cast

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from experiments.run.build import built_dataset, built_model, normalization
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
class Trained:
    """A run's network as it is after training, on its own data."""

    run: StoredRun
    dataset: Dataset
    model: Network
    saved: SavedVariables


def trained(run: StoredRun, data: DataConfig) -> Trained:
    """Returns the network of a run, its data read as `data` says, of which only the place may differ."""
    config = run.config
    # Only a part of the training split follows from the seed: without one, all runs share the dataset.
    seeded = data.num_examples is not None or data.imbalance is not None
    dataset = _dataset(data, config.seed if seeded else 0)
    if len(dataset.shape) != 3:
        raise ValueError(f"runs on images are expected; {run.path} is on {dataset.name}, which has none.")
    model = cast(Network, built_model(config, dataset.num_classes))
    if model.trunk.total_stride is None:
        raise ValueError(f"networks with maps of features are expected; {run.path} has {config.model}, without any.")
    try:
        saved = load_variables(run.directory.checkpoints, abstract_variables(model, dataset.shape))
    except (FileNotFoundError, ValueError) as error:
        raise ValueError(f"a run with a checkpoint is expected; of {run.path}, {error}") from None
    return Trained(run, dataset, model, saved)


@functools.lru_cache(maxsize=2)
def _dataset(data: DataConfig, seed: int) -> Dataset:
    return built_dataset(Config(data=data, seed=seed))


def named_class(of: str, names: Sequence[str]) -> int | None:
    """Returns the class that --of names, None where it is "predicted" or "label"."""
    if of not in ("predicted", "label", *names):
        raise ValueError(nearest(of, ["predicted", "label", *names], "class"))
    return names.index(of) if of in names else None


def make_explain(network: Network, dataset: Dataset, *, method: Method, layer: str | None, of: str) -> Explain:
    """Returns the compiled function of a batch: images with maps over them, boxes, classes and numbers.

    Args:
      network: a model on the dataset.
      dataset: what its images are normalized by, and the names of its classes.
      method: guided_grad_cam gives the sum over colors of the gradient's absolute values.
      layer: whose output the gradients are taken at; None is what the classifier pools.
      of: the class that is explained, "predicted", "label" or its name.

    Returns:
      `f(variables, images in [0, 1], labels) -> {"map": [B, h, w], "class": [B], "probability": [B, K], "picture":
      [B, H, W, 3], "box": [B, 4], "entropy": [B], "area": [B]}`, the last four as of `over_images`.
    """
    if layer is not None and method == "cam":
        raise ValueError(f"--layer is for grad_cam and guided_grad_cam, cam is of the last features; got {layer!r}.")
    named, normalize = named_class(of, dataset.class_names), normalization(dataset)
    # The networks' one result, where Linen's types know of two.
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
        # Of the whole network, not of a composition through the layer, which shortcuts may pass by.
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
    """Returns what maps `[B, h, w]`, resized to the images `[B, H, W, C]`, are drawn as and measured by."""
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

    # The weights are no constants of the program: XLA would fold a whole backward pass of constants, for minutes.
    @jax.jit
    def field(variables: Any, images: ArrayLike) -> jax.Array:
        def features(x: jax.Array) -> jax.Array:
            return features_and_head(network, variables, x, layer, train=False)[0]

        return effective_receptive_field(features, normalize(jnp.asarray(images)))

    return field


def spread_evenly(count: int, size: int) -> np.ndarray:
    """Returns `count` places of `size`, all of them where there are no more: a split may be sorted by class."""
    count = min(count, size)
    return np.arange(count) * size // count


def explained(
    explain: Explain, variables: Any, split: Split, index: np.ndarray, wanted: Sequence[str]
) -> dict[str, np.ndarray]:
    """Returns what is wanted of the function's results, for the images in `index`."""
    parts: list[dict[str, np.ndarray]] = []
    for start in range(0, len(index), BATCH_SIZE):
        chosen = index[start : start + BATCH_SIZE]
        # Batches of one size, so that one program serves all: the last image stands in for what is missing.
        padded = np.pad(chosen, (0, BATCH_SIZE - len(chosen)), mode="edge")
        data = DeviceSplit(jnp.asarray(split.images[padded]), jnp.asarray(split.labels[padded]))
        batch = gathered_batch(data, jnp.arange(BATCH_SIZE), 1)
        results = explain(variables, batch["image"], data.labels)
        parts.append({name: np.asarray(results[name])[: len(chosen)] for name in wanted})
    return {name: np.concatenate([part[name] for part in parts]) for name in wanted}
