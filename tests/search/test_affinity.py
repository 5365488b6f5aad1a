"""Affinity against NumPy, its limits, and mixed labels."""

import subprocess
import sys
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from laws.interface import annotations_unchecked

from jaxaug import chain, gaussian_noise, on_images, on_pairs
from jaxaug.compose import Augmentation
from jaxaug.mix import cutmix, mixup, ricap
from jaxaug.search import affinity

KEY = jax.random.key(3)
CLASSES = 5


def predict(images: jax.Array) -> jax.Array:
    """A fixed linear network, the same for every shape of an image."""
    x = images.reshape(images.shape[0], -1).astype(jnp.float32)
    return x @ np.sin(np.arange(x.shape[1] * CLASSES, dtype=np.float32)).reshape(-1, CLASSES)


def data(batch: int, *, right: float = 0.8, size: tuple[int, int] = (6, 5)) -> tuple[jax.Array, jax.Array]:
    """Returns images and one-hot labels, about a share of which the network predicts."""
    rng = np.random.default_rng(batch)
    images = jnp.asarray(rng.standard_normal((batch, *size, 1)).astype(np.float32))
    known = np.argmax(predict(images), axis=1)
    classes = np.where(rng.random(batch) < right, known, rng.integers(0, CLASSES, batch))
    classes[0] = known[0]  # never an accuracy of 0
    return images, jnp.asarray(np.eye(CLASSES, dtype=np.float32)[classes])


def accuracy(batch: dict[str, Any]) -> float:
    """Returns the weighted accuracy, in NumPy."""
    logits, labels = np.asarray(predict(batch["image"])), np.asarray(batch["label"], np.float64)
    return float(np.mean([label[np.argmax(row)] for row, label in zip(logits, labels, strict=True)]))


noise = on_images(gaussian_noise, stddev=1.0)
AUGMENTS = {
    "noise": noise,
    "mixup": on_pairs(mixup),
    "cutmix": on_pairs(cutmix),
    "ricap": on_pairs(ricap),
    "noise then ricap": chain(noise, on_pairs(ricap)),
}


@pytest.mark.parametrize("name", AUGMENTS)
def test_it_is_the_ratio_or_difference_of_two_weighted_accuracies(name: str) -> None:
    images, labels = data(50)
    batch = {"image": images, "label": labels}

    @jax.jit
    def measured(key: jax.Array) -> tuple[Any, jax.Array, jax.Array]:
        ratio = affinity(predict, AUGMENTS[name], key, images, labels)
        return (
            AUGMENTS[name](key, batch),
            ratio,
            affinity(predict, AUGMENTS[name], key, images, labels, kind="difference"),
        )

    mixed, ratio, difference = measured(KEY)
    augmented, clean = accuracy(mixed), accuracy(batch)
    assert 0 < augmented < clean < 1
    np.testing.assert_allclose(ratio, augmented / clean, rtol=1e-5)
    np.testing.assert_allclose(difference, augmented - clean, atol=1e-6)


def test_a_pair_counts_by_the_weights_of_its_parts() -> None:
    # Four images of class 0 or 1, all predicted as class 0; every pair is mixed 3 : 1.
    def mix(key: jax.Array, images: jax.Array, labels: jax.Array) -> tuple[jax.Array, jax.Array]:
        return images, 0.75 * labels + 0.25 * labels[::-1]

    labels = jnp.eye(2)[jnp.array([0, 0, 0, 1])]
    value = affinity(
        lambda x: jnp.stack([x[:, 0], -x[:, 0]], axis=1), on_pairs(mix), KEY, jnp.ones((4, 3)), labels, kind="ratio"
    )
    np.testing.assert_allclose(value, np.mean([0.75, 1.0, 1.0, 0.25]) / 0.75)


@pytest.mark.parametrize("batch_size", [None, 4, 7])
def test_the_identity_shifts_nothing(batch_size: int | None) -> None:
    images, labels = data(21)
    for kind, nothing in (("ratio", 1.0), ("difference", 0.0)):
        value = affinity(predict, lambda key, x: x, KEY, images, labels, kind=kind, batch_size=batch_size)  # pyright: ignore[reportArgumentType]
        assert value == nothing
        assert (value.dtype, value.shape) == (jnp.float32, ())


@settings(max_examples=3, deadline=None)  # each shape compiles
@given(
    batch=st.integers(1, 9),
    size=st.sampled_from([(1, 1), (3, 2)]),
    batch_size=st.integers(1, 10),
    seed=st.integers(0, 2**31),
)
def test_batches_add_up_for_every_shape(batch: int, size: tuple[int, int], batch_size: int, seed: int) -> None:
    images, labels = data(batch, size=size)
    key = jax.random.key(seed)
    keys = jax.random.split(key, -(-batch // batch_size))
    starts = range(0, batch, batch_size)
    parts = [{"image": images[i : i + batch_size], "label": labels[i : i + batch_size]} for i in starts]
    augmented, value = jax.jit(
        lambda: (
            [noise(keys[i], part) for i, part in enumerate(parts)],
            affinity(predict, noise, key, images, labels, batch_size=batch_size),
        )
    )()
    expected = sum(accuracy(part) * len(part["label"]) for part in augmented) / batch
    np.testing.assert_allclose(value, expected / accuracy({"image": images, "label": labels}), rtol=1e-5)


def test_jit_and_vmap_give_the_same_numbers() -> None:
    images, labels = data(30)

    def at(stddev: jax.Array, key: jax.Array) -> jax.Array:
        return affinity(predict, on_images(gaussian_noise, stddev=stddev), key, images, labels, batch_size=8)

    stddevs, keys = jnp.array([0.0, 0.5, 3.0]), jax.random.split(KEY, 3)
    compiled = jax.jit(at)
    each = [compiled(stddevs[i], keys[i]) for i in range(3)]
    assert each[0] == 1.0 > each[2]
    np.testing.assert_allclose(at(stddevs[1], keys[1]), each[1], rtol=1e-6)
    np.testing.assert_allclose(jax.jit(jax.vmap(at))(stddevs, keys), each, rtol=1e-6)


def test_no_key_is_used_twice() -> None:
    images, labels = data(10)
    with jax.debug_key_reuse(True):
        jax.jit(lambda key: affinity(predict, noise, key, images, labels))(jax.random.key(0))
        jax.jit(lambda key: affinity(predict, noise, key, images, labels, batch_size=4))(jax.random.key(0))


@pytest.mark.parametrize("dtype", [jnp.bfloat16])
def test_narrow_dtypes_give_float32(dtype: Any) -> None:
    images, labels = data(9)
    value = jax.jit(lambda x, c: affinity(predict, on_pairs(mixup), KEY, x, c))(
        images.astype(dtype), labels.astype(dtype)
    )
    assert value.dtype == jnp.float32
    assert 0 < value < 1


def test_a_clean_accuracy_of_0_gives_the_difference_and_a_warning() -> None:
    images, labels = jnp.array([[1.0], [2.0], [-1.0]]), jnp.eye(2)[jnp.array([1, 1, 0])]

    def wrong(images: jax.Array) -> jax.Array:
        return jnp.concatenate([images, -images], axis=1)

    def turned(key: jax.Array, batch: dict[str, Any]) -> dict[str, Any]:
        return {**batch, "image": batch["image"] - 1.5}

    with pytest.warns(UserWarning, match="affinity takes a clean accuracy above 0 for a ratio; got 0 and returns"):
        value = affinity(wrong, turned, KEY, images, labels)
    np.testing.assert_allclose(value, 1 / 3, rtol=1e-6)
    # Traced, the same number and no warning, which would be an error here.
    np.testing.assert_allclose(jax.jit(lambda x: affinity(wrong, turned, KEY, x, labels))(images), value, rtol=1e-6)
    affinity(wrong, turned, KEY, images, labels, kind="difference")


@pytest.mark.parametrize("batch_size", [None, 2])
def test_a_network_that_says_nan_has_no_affinity(batch_size: int | None) -> None:
    images, labels = data(5)

    def broken(key: jax.Array, images: jax.Array) -> jax.Array:
        return images.at[0, 0, 0, 0].set(jnp.nan)

    assert jnp.isnan(affinity(predict, on_images(broken), KEY, images, labels, batch_size=batch_size))


def first_half(key: jax.Array, x: Any) -> Any:
    return {**x, "image": x["image"][:, :2]}


def repeated(key: jax.Array, x: Any) -> Any:
    return jax.tree.map(lambda leaf: jnp.concatenate([leaf, leaf]), x)


@pytest.mark.parametrize(
    ("changes", "error", "sentence"),
    [
        ({"kind": "quotient"}, ValueError, "one of 'ratio', 'difference' for kind; got 'quotient'"),
        ({"batch_size": 0}, ValueError, "batch_size of at least 1; got 0"),
        ({"batch_size": 2.0}, TypeError, "a Python integer for batch_size"),
        ({"labels": jnp.array([1, 0, 2])}, TypeError, r"labels \[B, K\] of a floating-point dtype; got int32\[3\]"),
        ({"labels": jnp.ones(3)}, ValueError, r"labels \[B, K\]; got float32\[3\]"),
        ({"labels": jnp.ones((2, 5))}, ValueError, "3 inputs and labels"),
        (
            {"labels": jnp.ones((3, 4))},
            ValueError,
            r"with the shape of the labels, \[3, 4\]; got float32\[3, 5\]",
        ),
        ({"images": jnp.ones((3, 4), jnp.uint8)}, TypeError, r"images \[B, ...\] of a floating-point dtype"),
        ({"images": jnp.ones((0, 4)), "labels": jnp.ones((0, 5))}, ValueError, "no empty axis"),
        ({"augment": first_half}, ValueError, r"changes image from float32\[3, 4\] to float32\[3, 2\]"),
        ({"augment": repeated}, ValueError, r"changes image from float32\[3, 4\] to float32\[6, 4\]"),
        ({"augment": lambda key, x: x["image"]}, TypeError, "a batch dict with 'image' and 'label'"),
        (
            {"augment": "flip"},
            TypeError,
            r"functions images -> logits and \(key, batch\) -> batch; got function and str",
        ),
        ({"predict": lambda x: None}, ValueError, "got NoneType"),
        ({"key": 0}, TypeError, "one typed key"),
    ],
)
def test_bad_input_is_refused_with_a_sentence(changes: dict[str, Any], error: Any, sentence: str) -> None:
    identity: Augmentation = lambda key, x: x  # noqa: E731
    given: dict[str, Any] = {
        "predict": predict,
        "augment": identity,
        "key": KEY,
        "images": jnp.ones((3, 4)),
        "labels": jnp.ones((3, 5)),
    }
    with annotations_unchecked(), pytest.raises(error, match=sentence):
        affinity(**{**given, **changes})


def test_a_first_call_inside_jit_leaves_no_tracer_in_what_it_imports() -> None:
    program = """
import sys, jax, jax.numpy as jnp, jaxaug
assert "jaxaug.training" not in sys.modules
f = lambda x: jaxaug.affinity(lambda x: x, lambda key, batch: batch, jax.random.key(0), x, x)
assert jax.jit(f)(jnp.eye(3)) == 1.0
globals_of_all = [list(getattr(module, "__dict__", {}).values()) for module in list(sys.modules.values())]
assert not any(isinstance(value, jax.core.Tracer) for values in globals_of_all for value in values)
"""
    subprocess.run([sys.executable, "-c", program], check=True, timeout=120)
