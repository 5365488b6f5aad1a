"""CAM and Grad-CAM against sums in NumPy, derivatives by differences, and each other."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from laws.interface import annotations_unchecked

from jaxaug.explain import cam, grad_cam
from jaxaug.models import create_model

CLASSES = jnp.array([2, 0, 1])


def normal(*shape: int, seed: int = 0, dtype: Any = jnp.float32) -> jax.Array:
    return jnp.asarray(np.random.default_rng(seed).normal(size=shape), dtype)


FEATURES, KERNEL = normal(3, 4, 5, 6), normal(6, 3, seed=1)


def smooth_head(np_or_jnp: Any, features: Any, kernel: Any) -> Any:
    """Returns logits that depend on each position in a way of its own."""
    return np_or_jnp.tanh(features * features[:, ::-1]).mean((1, 2)) @ kernel


def test_cam_is_the_weighted_sum() -> None:
    features, kernel = np.asarray(FEATURES, np.float64), np.asarray(KERNEL, np.float64)
    truth = [sum(kernel[k, c] * maps[..., k] for k in range(6)) for maps, c in zip(features, CLASSES, strict=True)]
    np.testing.assert_allclose(cam(FEATURES, KERNEL, CLASSES), truth, rtol=1e-5, atol=1e-6)


def test_mean_of_the_map_and_the_bias_is_the_logit() -> None:
    logits = FEATURES.mean((1, 2)) @ KERNEL
    chosen = logits[jnp.arange(3), CLASSES]
    np.testing.assert_allclose(cam(FEATURES, KERNEL, CLASSES).mean((1, 2)), chosen, rtol=1e-4, atol=1e-6)


def test_weights_of_grad_cam_are_mean_differences() -> None:
    kernel, step = np.asarray(KERNEL, np.float64), 1e-5
    features = np.asarray(FEATURES, np.float64)
    weights = np.zeros((3, 6))
    for place in np.ndindex(4, 5, 6):
        moved = [features.copy(), features.copy()]
        for sign, copy in zip((1, -1), moved, strict=True):
            copy[:, *place] += sign * step
        more, less = (smooth_head(np, copy, kernel)[np.arange(3), np.asarray(CLASSES)] for copy in moved)
        weights[:, place[2]] += (more - less) / (2 * step) / 20
    truth = np.maximum(np.einsum("bhwc,bc->bhw", features, weights), 0)
    assert 0.1 < (truth > 0).mean() < 0.9
    found = grad_cam(lambda a: smooth_head(jnp, a, KERNEL), FEATURES, CLASSES)
    np.testing.assert_allclose(found, truth, rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("shape", [(3, 4, 5, 6), (1, 7, 2, 6), (1, 1, 1, 6)])
def test_after_pooling_and_a_classifier_grad_cam_is_cam(shape: tuple[int, ...]) -> None:
    features, classes = normal(*shape), CLASSES[: shape[0]]
    expected = jnp.maximum(cam(features, KERNEL, classes), 0) / (shape[1] * shape[2])
    found = grad_cam(lambda a: a.mean((1, 2)) @ KERNEL + 3.0, features, classes)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)


def test_on_a_network_of_the_library() -> None:
    model = create_model("wrn_10_1", 3)
    images = normal(2, 8, 12, 3)
    variables: Any = model.init(jax.random.key(0), images)

    @jax.jit
    def both(images: jax.Array, classes: jax.Array) -> tuple[jax.Array, jax.Array]:
        features: Any = model.apply(variables, images, method="features")
        head: Any = functools.partial(model.apply, variables, method="head")
        return cam(features, variables["params"]["classifier"]["kernel"], classes), grad_cam(head, features, classes)

    plain, weighted = both(images, CLASSES[:2])
    assert plain.shape == (2, 2, 3)
    np.testing.assert_allclose(weighted, jnp.maximum(plain, 0) / 6, rtol=1e-4, atol=1e-6)


def test_examples_do_not_see_each_other() -> None:
    for explain in (
        lambda features, classes: cam(features, KERNEL, classes),
        lambda features, classes: grad_cam(lambda a: smooth_head(jnp, a, KERNEL), features, classes),
    ):
        together = explain(FEATURES, CLASSES)
        alone = jnp.concatenate([explain(FEATURES[i : i + 1], CLASSES[i : i + 1]) for i in range(3)])
        np.testing.assert_allclose(together, alone, rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(jax.jit(explain)(FEATURES, CLASSES), together, rtol=1e-4, atol=1e-6)
        mapped = jax.vmap(explain, in_axes=(None, 0))(FEATURES, jnp.stack([CLASSES, CLASSES[::-1]]))
        np.testing.assert_allclose(mapped[0], together, rtol=1e-4, atol=1e-6)
        np.testing.assert_allclose(mapped[1], explain(FEATURES, CLASSES[::-1]), rtol=1e-4, atol=1e-6)


def test_half_precision_sums_in_single() -> None:
    half = FEATURES.astype(jnp.bfloat16)
    found = cam(half, KERNEL, CLASSES)
    assert found.dtype == jnp.bfloat16
    np.testing.assert_array_equal(found, cam(half.astype(jnp.float32), KERNEL, CLASSES).astype(jnp.bfloat16))

    def head(a: jax.Array) -> jax.Array:
        return a.astype(jnp.float32).mean((1, 2)) @ KERNEL

    seen = grad_cam(head, half, CLASSES)
    assert seen.dtype == jnp.bfloat16
    np.testing.assert_allclose(
        seen.astype(jnp.float32), grad_cam(head, half.astype(jnp.float32), CLASSES), rtol=0.02, atol=2e-3
    )


def test_traced_class_out_of_range_gives_zeros() -> None:
    maps = [
        jax.jit(lambda c: cam(FEATURES, KERNEL, c))(jnp.array([3, -1, 0])),
        jax.jit(lambda c: grad_cam(lambda a: a.mean((1, 2)) @ KERNEL, FEATURES, c))(jnp.array([3, -1, 0])),
    ]
    for found in maps:
        np.testing.assert_array_equal(found[:2], jnp.zeros((2, 4, 5)))
        assert found[2].any()


BAD = [
    ({"classes": jnp.array([0, 1, 3])}, r"takes classes in \[0, 2\]; got 3\."),
    ({"classes": jnp.array([0, -1, 1])}, r"takes classes in \[0, 2\]; got -1\."),
    (
        {"classes": jnp.eye(3)},
        r"one class per example, an integer \[B\]; got float32\[3, 3\]\. For soft labels, choose",
    ),
    ({"classes": jnp.zeros(3)}, r"an integer \[B\]; got float32\[3\]"),
    ({"classes": [0, 1, 2]}, r"an integer \[B\]; got list"),
    ({"classes": jnp.array([0, 1])}, r"one class per example, an integer \[3\]; got int32\[2\]\."),
    ({"classes": jnp.array(0)}, r"an integer \[3\]; got int32\[\]\."),
    ({"features": FEATURES[0]}, r"takes features \[B, h, w, C\]; got float32\[4, 5, 6\]\."),
    ({"features": FEATURES.astype(jnp.int32)}, "of a floating-point dtype; got int32"),
    ({"features": FEATURES[:, :0]}, "no empty axis"),
]


@pytest.mark.parametrize(("given", "sentence"), BAD)
def test_bad_arguments_get_one_sentence(given: dict[str, Any], sentence: str) -> None:
    arguments: Any = {"features": FEATURES, "classes": CLASSES, **given}
    with annotations_unchecked():
        with pytest.raises((ValueError, TypeError), match=f"^cam .*{sentence}"):
            cam(arguments["features"], KERNEL, arguments["classes"])
        with pytest.raises((ValueError, TypeError), match=f"^grad_cam .*{sentence}"):
            grad_cam(lambda a: a.mean((1, 2)) @ KERNEL, arguments["features"], arguments["classes"])


def test_bad_networks_get_one_sentence() -> None:
    with annotations_unchecked():
        with pytest.raises(
            ValueError, match=r"^cam takes features and a kernel with the same number of channels; got feat"
        ):
            cam(FEATURES, KERNEL[:5], CLASSES)
        with pytest.raises(ValueError, match=r"^cam takes the kernel of the classifier \[C, K\]; got float32\[6\]"):
            cam(FEATURES, KERNEL[:, 0], CLASSES)
        with pytest.raises(ValueError, match=r"^grad_cam takes a network with logits \[B, K\]; got float32\[3\]"):
            grad_cam(lambda a: a.mean((1, 2, 3)), FEATURES, CLASSES)
        with pytest.raises(ValueError, match=r"^grad_cam takes a network with one row of logits per example; got 3"):
            grad_cam(lambda a: a.mean((1, 2))[:2], FEATURES, CLASSES)
