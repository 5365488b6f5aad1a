"""The same operations in other libraries, one function per operation and library.

Each takes a batch (float32 images in [0, 1], one-hot labels) and returns a call that augments it once. A library is
listed only for the operations that it has. The extra `bench` installs them; PyTorch and torchvision are optional.
"""

# pyright: reportMissingImports=false
# These libraries are installed only for benchmarks.

import importlib.util
import os
from collections.abc import Callable
from typing import Any

import numpy as np

from experiments.benchmark import torch_peers
from experiments.benchmark.torch_batched import DEGREES, HOLE, HUE, JITTER, PADDING
from experiments.benchmark.torch_peers import Call, Maker


def peers() -> dict[str, dict[str, Maker]]:
    """Returns the makers of calls by operation and library, for the installed libraries."""
    makers: dict[str, dict[str, Maker]] = {}
    for library, needs, table in (
        ("jnp", "jax", _jnp),
        ("dm_pix", "dm_pix", _dm_pix),
        ("augmax", "augmax", _augmax),
        ("keras", "keras", _keras),
        ("kornia", "kornia", torch_peers.kornia),
        ("timm", "timm", torch_peers.timm),
        ("torchvision", "torchvision", torch_peers.torchvision),
        ("torch", "torch", torch_peers.torch),
    ):
        if importlib.util.find_spec(needs) is not None:
            for operation, maker in table().items():
                makers.setdefault(operation, {})[library] = maker
    return makers


def _jitted(function: Callable[[Any, Any], Any], example_by_example: bool = True) -> Maker:
    """Returns a maker for a JAX function `(key, image)`, vmapped over the batch with one key per image."""

    def make(images: np.ndarray, labels: np.ndarray) -> Call:
        import jax
        import jax.numpy as jnp

        x, key = jnp.asarray(images), jax.random.key(0)

        def over_batch(key: Any, x: Any) -> Any:
            return jax.vmap(function)(jax.random.split(key, x.shape[0]), x) if example_by_example else function(key, x)

        compiled = jax.jit(over_batch)
        return lambda: compiled(key, x)

    return make


def _jnp() -> dict[str, Maker]:
    """A straightforward RICAP: indices from its definition, and one gather."""
    import jax
    import jax.numpy as jnp

    def ricap(key: Any, x: Any) -> Any:
        n, h, w, _ = x.shape
        boundary_key, offset_key, *source_keys = jax.random.split(key, 6)
        extent = jnp.array([h, w])
        boundary = jnp.round(jax.random.beta(boundary_key, 0.3, 0.3, (n, 2)) * extent).astype(jnp.int32)
        top, left = boundary[:, 0], boundary[:, 1]
        heights, widths = jnp.stack([top, top, h - top, h - top], 1), jnp.stack([left, w - left, left, w - left], 1)
        offset = jax.random.randint(offset_key, (n, 4, 2), 0, extent - jnp.stack([heights, widths], 2) + 1)
        source = jnp.stack([jax.random.permutation(k, n) for k in source_keys], 1)
        i, j = jnp.arange(h)[None, :, None], jnp.arange(w)[None, None, :]
        below, right = i >= top[:, None, None], j >= left[:, None, None]
        patch, rows = 2 * below + right, jnp.arange(n)[:, None, None]
        row = offset[rows, patch, 0] + i - jnp.where(below, top[:, None, None], 0)
        column = offset[rows, patch, 1] + j - jnp.where(right, left[:, None, None], 0)
        return x[source[rows, patch], row, column]

    return {"ricap": _jitted(ricap, example_by_example=False)}


def _dm_pix() -> dict[str, Maker]:
    import dm_pix as pix
    import jax
    import jax.numpy as jnp

    def crop(key: Any, image: Any) -> Any:
        padded = jnp.pad(image, ((PADDING, PADDING), (PADDING, PADDING), (0, 0)))
        return pix.random_crop(key, padded, image.shape)

    def rotate(key: Any, image: Any) -> Any:
        angle = jax.random.uniform(key, (), minval=-DEGREES, maxval=DEGREES)
        return pix.rotate(image, jnp.deg2rad(angle), order=1, mode="constant")

    def jitter(key: Any, image: Any) -> Any:
        a, b, c, d = jax.random.split(key, 4)
        image = pix.random_brightness(a, image, JITTER)
        image = pix.random_contrast(b, image, 1 - JITTER, 1 + JITTER)
        image = pix.random_saturation(c, image, 1 - JITTER, 1 + JITTER)
        return jnp.clip(pix.random_hue(d, image, HUE), 0, 1)

    return {
        "flip": _jitted(pix.random_flip_left_right),
        "crop": _jitted(crop),
        "rotate": _jitted(rotate),
        "color jitter": _jitted(jitter),
    }


def _augmax() -> dict[str, Maker]:
    import augmax

    def of(*operations: Any) -> Maker:
        return _jitted(augmax.Chain(*operations))

    return {
        "flip": of(augmax.HorizontalFlip()),
        "rotate": of(augmax.Rotate((-DEGREES, DEGREES))),
        "color jitter": of(augmax.ColorJitter(brightness=JITTER, contrast=JITTER, saturation=JITTER, hue=HUE)),
    }


def _keras() -> dict[str, Maker]:
    os.environ.setdefault("KERAS_BACKEND", "jax")
    import keras

    def of(name: str, pairs: bool = False, **options: Any) -> Maker:
        def make(images: np.ndarray, labels: np.ndarray) -> Call:
            import jax
            import jax.numpy as jnp

            layer = getattr(keras.layers, name)(**options)
            x: Any = {"images": jnp.asarray(images), "labels": jnp.asarray(labels)} if pairs else jnp.asarray(images)
            layer(x, training=True)
            state = [v.value for v in layer.non_trainable_variables]
            compiled = jax.jit(lambda state, x: layer.stateless_call([], state, x, training=True)[0])
            return lambda: compiled(state, x)

        return make

    side = (HOLE, HOLE)
    return {
        "flip": of("RandomFlip", mode="horizontal"),
        "cutout": of("RandomErasing", factor=1.0, scale=(0.25, 0.25), value_range=(0, 1), fill_value=0.0),
        "rotate": of("RandomRotation", factor=DEGREES / 360, fill_mode="constant"),
        "resized crop": of("RandomZoom", height_factor=side, width_factor=side),
        "color jitter": of(
            "RandomColorJitter",
            value_range=(0, 1),
            brightness_factor=JITTER,
            contrast_factor=JITTER,
            saturation_factor=(0.3, 0.7),
            hue_factor=HUE,
        ),
        "mixup": of("MixUp", pairs=True, alpha=1.0),
        "cutmix": of("CutMix", pairs=True),
        "rand_augment": of("RandAugment", value_range=(0, 1), num_ops=2),
    }
