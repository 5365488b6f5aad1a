"""Laws of operations that mix labels: weights are shares of pixels, soft labels stay soft, rows keep their sum."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from laws.operations import Operation

CLASSES = 7
SOFT = np.random.default_rng(2).dirichlet(np.ones(CLASSES), CLASSES)


@functools.cache
def mixed(operation: Operation, variant: tuple[tuple[str, Any], ...]) -> tuple[np.ndarray, np.ndarray]:
    """Returns, over keys, images `[N, B, H, W, C]` and labels `[N, 3, B, K]`: one-hot, soft, and soft times 3.

    The image of class k is one-hot in channel k at every pixel, so that the pixels tell their sources.
    """
    images = np.float32(np.broadcast_to(np.eye(CLASSES)[:, None, None, :], (CLASSES, 8, 12, CLASSES)))
    labels = np.asarray([np.eye(CLASSES), SOFT, 3 * SOFT], np.float32)

    def run(key: jax.Array, labels: jax.Array) -> Any:
        return operation.function(key, jnp.asarray(images), labels, **{**operation.settings, **dict(variant)})

    over_labels = jax.vmap(run, (None, 0), (None, 0))
    keys = jax.random.split(jax.random.key(11), 16)
    patched, weighed = jax.jit(jax.vmap(over_labels, (0, None)))(keys, labels)
    return np.asarray(patched, np.float64), np.asarray(weighed, np.float64)


def label_weight_is_the_share_of_pixels(operation: Operation) -> None:
    """An image's share of the pixels and its share of the label agree exactly."""
    for variant in [{}, *(v for v in operation.variants if "per_example" in v)]:
        images, labels = mixed(operation, tuple(variant.items()))
        share = images.mean((2, 3))
        assert (share.max(2) < 1).any(), "no image was mixed"
        np.testing.assert_allclose(labels[:, 0], share, atol=1e-6, err_msg=f"{operation.name}({variant})")


def soft_labels_are_weighed_as_one_hot_ones(operation: Operation) -> None:
    """The same key mixes soft labels with the weights that one-hot labels show; rows keep their sum."""
    for variant in operation.variants:
        weight, soft, tripled = np.moveaxis(mixed(operation, tuple(variant.items()))[1], 1, 0)
        assert (weight >= 0).all(), "a weight is negative"
        np.testing.assert_allclose(weight.sum(2), 1, atol=1e-6, err_msg="weights do not sum to 1")
        np.testing.assert_allclose(soft, weight @ SOFT, atol=1e-6, err_msg="soft labels are weighed otherwise")
        np.testing.assert_allclose(tripled, 3 * soft, atol=1e-5, err_msg="rows do not keep their sum")
