"""Layers and residual networks in NumPy, from the papers, in float64: the truth that networks are held against."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

KEY = jax.random.key(0)


def random_variables(model: nn.Module, images: Any, seed: int = 0) -> Any:
    """Returns variables drawn afresh, so that scales, biases and statistics matter too."""
    rng = np.random.default_rng(seed)

    def drawn(path: Any, leaf: jax.Array) -> jax.Array:
        kind = path[-1].key
        if kind == "kernel":
            values = rng.normal(size=leaf.shape) * np.sqrt(2 / np.prod(leaf.shape[:-1]))
        else:
            values = rng.uniform(0.5, 2, leaf.shape) if kind in ("scale", "var") else rng.normal(size=leaf.shape) / 3
        return jnp.asarray(values.astype(np.float32))

    return jax.tree_util.tree_map_with_path(drawn, jax.eval_shape(model.init, KEY, images))


def features_of(model: nn.Module, variables: Any, images: jax.Array) -> Any:
    return jax.jit(lambda v, x: model.apply(v, x, method="features"))(variables, images)


def gradients(model: nn.Module, variables: Any, images: jax.Array) -> Any:
    """Returns those of a training step's loss."""

    def loss(params: Any) -> jax.Array:
        logits: Any = model.apply({**variables, "params": params}, images, train=True, mutable=["batch_stats"])[0]
        return -jax.nn.log_softmax(logits)[:, 0].mean()

    return jax.jit(jax.grad(loss))(variables["params"])


def relu(x: np.ndarray) -> np.ndarray:
    return np.maximum(x, 0)


def windows(x: np.ndarray, size: int, stride: int, edge: int, fill: float) -> np.ndarray:
    """Returns `[B, h, w, C, size, size]`."""
    padded = np.pad(x, ((0, 0), (edge, edge), (edge, edge), (0, 0)), constant_values=fill)
    return sliding_window_view(padded, (size, size), axis=(1, 2))[:, ::stride, ::stride]


def convolved(x: np.ndarray, kernel: np.ndarray, stride: int) -> np.ndarray:
    """Returns the convolution, as many groups as the kernel's input channels leave."""
    size, depth = kernel.shape[0], kernel.shape[2]
    groups = x.shape[-1] // depth
    own = kernel.shape[3] // groups
    patches = windows(x, size, stride, size // 2, 0.0)
    parts = [
        np.einsum(
            "bhwcij,ijck->bhwk", patches[..., g * depth : (g + 1) * depth, :, :], kernel[..., g * own : (g + 1) * own]
        )
        for g in range(groups)
    ]
    return np.concatenate(parts, axis=-1)


def averaged(x: np.ndarray, size: int = 2, edge: int = 0) -> np.ndarray:
    return windows(x, size, 2, edge, 0.0).mean((-2, -1))


def normalized(x: np.ndarray, params: Any, stats: Any) -> np.ndarray:
    return (x - stats["mean"]) / np.sqrt(stats["var"] + 1e-5) * params["scale"] + params["bias"]


def residual(x: np.ndarray, params: Any, stats: Any, stride: int) -> np.ndarray:
    """Returns F(x): 3 x 3, 3 x 3 with the stride in the first, or 1 x 1, 3 x 3, 1 x 1 with the stride in the 3 x 3."""
    count = sum(name.startswith("conv") for name in params)
    strided = {2: 1, 3: 2}[count]
    for i in range(1, count + 1):
        x = convolved(x, params[f"conv{i}"]["kernel"], stride if i == strided else 1)
        x = normalized(x, params[f"bn{i}"], stats[f"bn{i}"])
        x = relu(x) if i < count else x
    return x


def shortcut(x: np.ndarray, params: Any, stats: Any, stride: int, channels: int) -> np.ndarray:
    if "shortcut" in params:
        x = convolved(x, params["shortcut"]["conv"]["kernel"], stride)
        return normalized(x, params["shortcut"]["bn"], stats["shortcut"]["bn"])
    x = x[:, ::stride, ::stride]
    return np.concatenate([x, np.zeros((*x.shape[:-1], channels - x.shape[-1]))], axis=-1)


def reference_features(
    variables: Any,
    images: Any,
    blocks: Sequence[int],
    *,
    large: bool,
    final_relu: bool = True,
    pooling: bool = False,
    regularized: Callable[[np.ndarray, float], np.ndarray] = lambda branch, _: branch,
    joining: str = "A",
) -> np.ndarray:
    """Returns the features; keep probabilities fall in equal steps to 1/2, `pooling` is that by `Average`."""
    tree = jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), variables)
    params, stats = tree["params"]["trunk"], tree["batch_stats"]["trunk"]
    x = np.asarray(images, np.float64)
    x = convolved(x, params["stem"]["conv"]["kernel"], 2 if large and not pooling else 1)
    x = relu(normalized(x, params["stem"]["bn"], stats["stem"]["bn"]))
    if large:
        x = averaged(averaged(x), size=3, edge=1) if pooling else windows(x, 3, 2, 1, -np.inf).max((-2, -1))
    number = 0
    for stage, count in enumerate(blocks, start=1):
        for i in range(1, count + 1):
            number += 1
            keep_prob = 1 - 0.5 * number / sum(blocks)
            down = stage > 1 and i == 1
            stride = 2 if down and not pooling else 1
            block, running = params[f"stage{stage}_block{i}"], stats[f"stage{stage}_block{i}"]
            names = [name for name in block if name.startswith("branch")]
            branches = [residual(x, block[name], running[name], stride) for name in names]
            branches = [sum(branches[1:], branches[0])] if joining == "A" else branches
            y = shortcut(x, block, running, stride, branches[0].shape[-1])
            for branch in branches:
                y = y + regularized(branch, keep_prob)
            x = relu(y) if final_relu else y
            x = averaged(x) if down and pooling else x
    return relu(x)


class Average(nn.Module):
    """A caller's pooling that does not commute with ReLU, so that its place shows; padding counts as zeros."""

    window: tuple[int, int]
    strides: tuple[int, int]
    padding: Any = ((0, 0), (0, 0))

    def __call__(self, x: jax.Array, *, deterministic: bool) -> jax.Array:
        summed = jax.lax.reduce_window(x, 0.0, jax.lax.add, (1, *self.window, 1), (1, *self.strides, 1), self._pads())
        return summed / math.prod(self.window)

    def _pads(self) -> Any:
        return ((0, 0), *self.padding, (0, 0))


class Noted(nn.Module):
    """Notes options, mode and shape of each call of a pooling by its corners."""

    notes: Callable[[Any], None]
    options: Any

    def __call__(self, x: jax.Array, *, deterministic: bool) -> jax.Array:
        self.notes((dict(self.options), deterministic, x.shape))
        return x[:, ::2, ::2]


class Absolute(nn.Module):
    """A regularizer that is not linear, so that its place shows: keep_prob |branch|."""

    keep_prob: float

    def __call__(self, x: jax.Array, *, deterministic: bool) -> jax.Array:
        return self.keep_prob * abs(x)


def absolute(branch: np.ndarray, keep_prob: float) -> np.ndarray:
    return keep_prob * abs(branch)
