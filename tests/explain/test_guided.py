"""Guided backpropagation against its rule, written out in NumPy and by other ReLUs in the same network."""

import functools
from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from laws.interface import annotations_unchecked

from jaxaug.explain import grad_cam, guided_grad_cam, guided_gradients
from jaxaug.models import create_model

RNG = np.random.default_rng(0)
FIRST, SECOND, THIRD = RNG.normal(size=(7, 9)), RNG.normal(size=(9, 8)), RNG.normal(size=(8, 3))
X = RNG.normal(size=(4, 7))
CLASSES = jnp.array([2, 0, 1, 1])
WEIGHTS = [jnp.asarray(w, jnp.float32) for w in (FIRST, SECOND, THIRD)]
INPUT = jnp.asarray(X, jnp.float32)


def by_hand() -> np.ndarray:
    """Returns R^0 of two hidden layers, by the rule of the paper, in float64."""
    hidden = X @ FIRST
    deeper = np.maximum(hidden, 0) @ SECOND
    r = THIRD.T[np.asarray(CLASSES)]
    r = (deeper > 0) * (r > 0) * r
    r = r @ SECOND.T
    r = (hidden > 0) * (r > 0) * r
    return r @ FIRST.T


def perceptron(relu: Callable[[jax.Array], jax.Array], x: jax.Array) -> jax.Array:
    first, second, third = (w.astype(x.dtype) for w in WEIGHTS)
    return relu(relu(x @ first) @ second) @ third


RELUS: dict[str, Callable[[jax.Array], jax.Array]] = {
    "jax.nn": jax.nn.relu,
    "linen": nn.relu,
    "maximum": lambda x: jnp.maximum(x, 0),
    "maximum from the left": lambda x: jnp.maximum(0.0, x),
    "jit": jax.jit(jax.nn.relu),
    "jit in jit": jax.jit(lambda x: 1.0 * jax.jit(jax.nn.relu)(x)),
    "remat": jax.checkpoint(lambda x: jax.nn.relu(x)),  # type: ignore[reportPrivateImportUsage]
    "relu6": lambda x: 100 * jax.nn.relu6(x / 100),
}


@pytest.mark.parametrize("name", RELUS)
def test_rule_whoever_makes_the_relu(name: str) -> None:
    f = functools.partial(perceptron, RELUS[name])
    np.testing.assert_allclose(guided_gradients(f, INPUT, CLASSES), by_hand(), rtol=1e-4, atol=1e-5)
    assert not np.allclose(by_hand(), jax.grad(lambda x: f(x)[jnp.arange(4), CLASSES].sum())(INPUT), atol=0.1)


def test_jit_and_vmap_and_half_precision() -> None:
    f = functools.partial(perceptron, jax.nn.relu)
    jitted = jax.jit(functools.partial(guided_gradients, f))
    np.testing.assert_allclose(jitted(INPUT, CLASSES), by_hand(), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(
        jax.jit(functools.partial(guided_gradients, jax.jit(f)))(INPUT, CLASSES), by_hand(), rtol=1e-4, atol=1e-5
    )
    mapped = jax.vmap(lambda x, c: guided_gradients(f, x[None], c[None])[0])(INPUT, CLASSES)
    np.testing.assert_allclose(mapped, by_hand(), rtol=1e-4, atol=1e-5)
    half = guided_gradients(f, INPUT.astype(jnp.bfloat16), CLASSES)
    assert half.dtype == jnp.bfloat16
    assert np.corrcoef(half.astype(jnp.float32).ravel(), by_hand().ravel())[0, 1] > 0.98


def test_weights_may_be_traced() -> None:
    def total(scale: jax.Array) -> jax.Array:
        return guided_gradients(lambda x: jax.nn.relu(x @ WEIGHTS[0]) @ (WEIGHTS[1] * scale), INPUT, CLASSES).sum()

    np.testing.assert_allclose(jax.jit(total)(2.0), 2 * total(jnp.float32(1)), rtol=1e-4)


def test_other_derivatives_are_kept() -> None:
    def f(x: jax.Array) -> jax.Array:
        return jax.nn.relu(jax.nn.silu(x) @ WEIGHTS[0]) @ WEIGHTS[1]

    hidden, r = np.asarray(jax.nn.silu(INPUT) @ WEIGHTS[0]), SECOND.T[np.asarray(CLASSES)]
    r = ((hidden > 0) * (r > 0) * r) @ FIRST.T
    s = 1 / (1 + np.exp(-X))
    truth = r * s * (1 + X * (1 - s))
    np.testing.assert_allclose(guided_gradients(f, INPUT, CLASSES), truth, rtol=1e-4, atol=1e-5)


def test_no_negative_gradient_of_one_layer() -> None:
    assert (guided_gradients(lambda x: jax.nn.relu(x) @ WEIGHTS[0], INPUT, CLASSES) >= 0).all()


@jax.custom_vjp
def swapped(x: jax.Array) -> jax.Array:
    return jnp.where(x > 0, x, 0.0)


swapped.defvjp(lambda x: (swapped(x), x), lambda x, g: (jnp.where((x > 0) & (g > 0), g, 0.0),))


def test_network_of_the_library(monkeypatch: pytest.MonkeyPatch) -> None:
    model = create_model("wrn_10_1", 3, remat=True)
    images = jnp.asarray(RNG.uniform(size=(2, 8, 4, 3)), jnp.float32)
    variables = model.init(jax.random.key(0), images)
    f: Any = functools.partial(model.apply, variables)
    found = jax.jit(functools.partial(guided_gradients, f))(images, CLASSES[:2])
    monkeypatch.setattr(nn, "relu", swapped)

    @jax.jit
    def reference(images: jax.Array) -> jax.Array:
        return jax.grad(lambda x: f(x)[jnp.arange(2), CLASSES[:2]].sum())(images)

    truth = reference(images)
    assert (truth != 0).any()
    np.testing.assert_allclose(found, truth, rtol=1e-3, atol=1e-6)


def test_guided_grad_cam_is_the_product() -> None:
    images = jnp.asarray(RNG.normal(size=(2, 6, 4, 1)), jnp.float32)
    kernel = jnp.asarray(RNG.normal(size=(1, 3)), jnp.float32)

    def features(x: jax.Array) -> jax.Array:
        return jax.nn.relu(x).reshape(2, 3, 2, 2, 2, 1).mean((2, 4))

    def head(a: jax.Array) -> jax.Array:
        return a.astype(jnp.float32).mean((1, 2)) @ kernel

    classes = CLASSES[:2]
    maps = grad_cam(head, features(images), classes)
    guided = guided_gradients(lambda x: head(features(x)), images, classes)
    # Twice the size, bilinear: three quarters of the nearer and a quarter of the farther, the edge repeated.
    padded = np.pad(np.asarray(maps), ((0, 0), (1, 1), (1, 1)), mode="edge")
    matrices = []
    for size in maps.shape[1:]:
        rows = np.zeros((2 * size, size + 2))
        for i in range(size):
            rows[2 * i, [i, i + 1]] = 0.25, 0.75
            rows[2 * i + 1, [i + 1, i + 2]] = 0.75, 0.25
        matrices.append(rows)
    resized = np.einsum("yh,bhw,xw->byx", matrices[0], padded, matrices[1])
    found = guided_grad_cam(features, head, images, classes)
    assert (resized > 0).any()
    np.testing.assert_allclose(found, np.asarray(guided) * resized[..., None], rtol=1e-4, atol=1e-7)
    assert guided_grad_cam(features, head, images.astype(jnp.bfloat16), classes).dtype == jnp.bfloat16


@jax.custom_jvp
def own_derivative(x: jax.Array) -> jax.Array:
    return jnp.tanh(jax.nn.relu(x))


own_derivative.defjvp(lambda primals, tangents: (own_derivative(*primals), tangents[0]))


def test_what_cannot_be_reached_is_refused() -> None:
    def scanned(x: jax.Array) -> jax.Array:
        return jax.lax.scan(lambda h, _: (jax.nn.relu(h), None), x, None, length=2)[0]

    for f, where in ((scanned, "scan"), (own_derivative, "custom_jvp_call")):
        with pytest.raises(ValueError, match=rf"^guided_gradients cannot replace a ReLU inside {where}; "):
            guided_gradients(f, INPUT, CLASSES)
    for f in (lambda x: jax.nn.gelu(x), lambda x: jnp.maximum(x, 0.1), lambda x: jnp.where(x > 0, x, 0.0)):
        with pytest.raises(ValueError, match=r"^guided_gradients takes a network with ReLUs .*; found none\."):
            guided_gradients(f, INPUT, CLASSES)


def test_bad_arguments_get_one_sentence() -> None:
    f = functools.partial(perceptron, jax.nn.relu)
    bad: list[tuple[Any, Any, str]] = [
        (INPUT, jnp.eye(4), r"takes one class per example, an integer \[B\]; got float32\[4, 4\]"),
        (INPUT, jnp.array([0, 1, 2, 3]), r"takes classes in \[0, 2\]; got 3"),
        (INPUT.astype(jnp.int32), CLASSES, "of a floating-point dtype"),
    ]
    with annotations_unchecked():
        for images, classes, sentence in bad:
            with pytest.raises((ValueError, TypeError), match=f"^guided_gradients .*{sentence}"):
                guided_gradients(f, images, classes)
        with pytest.raises(ValueError, match=r"^guided_grad_cam takes images \[B, H, W, C\]"):
            guided_grad_cam(lambda x: x, lambda x: x, INPUT, CLASSES)
