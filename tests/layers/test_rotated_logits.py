"""Rotation regularization against rotations that are really made."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from laws.interface import annotations_unchecked
from layer_reference import gradients_checked
from scipy import stats
from whole import compiled

import jaxaug
from jaxaug import RotatedDense

rotated_logits = compiled(jaxaug.rotated_logits)
KEY = jax.random.key(0)


def normal(seed: int, shape: tuple[int, ...]) -> jax.Array:
    return jnp.asarray(np.random.default_rng(seed).normal(size=shape), jnp.float32)


def many(x: jax.Array, kernel: jax.Array, count: int = 20_000, **options: Any) -> np.ndarray:
    """Returns the logits of one example, drawn many times."""
    return np.asarray(rotated_logits(KEY, np.broadcast_to(x, (count, x.shape[-1])), kernel, **options), np.float64)


@pytest.mark.parametrize("degrees", [20.0, 45.0, 90.0])
def test_moments_are_those_of_features_rotated_in_random_directions(degrees: float):
    x, kernel = normal(0, (1, 6)), normal(1, (6, 3))
    logits = many(x, kernel, degrees=degrees)
    # Rotate by hand: cos α x + sin α |x| u, with u uniform among the unit vectors orthogonal to x.
    rng, vector = np.random.default_rng(2), np.asarray(x, np.float64)[0]
    directions = rng.normal(size=(200_000, 6))
    directions -= np.outer(directions @ vector, vector) / (vector @ vector)
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    angle = np.deg2rad(degrees)
    rotated = np.cos(angle) * vector + np.sin(angle) * np.linalg.norm(vector) * directions
    expected = rotated @ np.asarray(kernel, np.float64)
    deviation = expected.std(axis=0)
    assert (abs(logits.mean(axis=0) - expected.mean(axis=0)) < 5 * deviation * (20_000**-0.5 + 200_000**-0.5)).all()
    np.testing.assert_allclose(logits.std(axis=0), deviation, rtol=0.03)
    assert all(stats.kstest((z - z.mean()) / z.std(), "norm").pvalue > 1e-4 for z in logits.T)


def test_noise_is_independent_between_classes_and_examples():
    x = normal(3, (1, 8))
    kernel = jnp.tile(normal(4, (8, 1)), (1, 2))  # two classes of the same weights
    logits = many(x, kernel)
    assert abs(np.corrcoef(logits.T)[0, 1]) < 5 / 20_000**0.5
    assert abs(np.corrcoef(logits[1:, 0], logits[:-1, 0])[0, 1]) < 5 / 20_000**0.5


def test_a_dimension_sets_the_variance():
    x, kernel = normal(5, (1, 10)), normal(6, (10, 1))
    assert many(x, kernel, dimension=2).std() / many(x, kernel).std() == pytest.approx(3.0, rel=1e-3)


def test_no_angle_is_no_change_and_a_right_angle_forgets_the_features():
    x, kernel = normal(7, (4, 5)), normal(8, (5, 3))
    np.testing.assert_allclose(rotated_logits(KEY, x, kernel, degrees=0.0), x @ kernel, atol=1e-6)
    right = rotated_logits(KEY, x, kernel, degrees=90.0)
    np.testing.assert_allclose(right, -rotated_logits(KEY, x, kernel, degrees=270.0), atol=1e-5)
    straight = rotated_logits(KEY, x, kernel, degrees=180.0)
    np.testing.assert_allclose(straight, -(x @ kernel), atol=1e-5)


def test_parallel_features_have_no_noise_and_finite_gradients():
    x = jnp.array([[1.0, 2.0, 3.0], [0.0, 0.0, 0.0]])
    kernel = 0.1 * x[:1].T
    np.testing.assert_allclose(rotated_logits(KEY, x, kernel, degrees=45.0), np.cos(np.pi / 4) * x @ kernel, atol=1e-6)
    for gradient in jax.jit(jax.grad(lambda *a: rotated_logits(KEY, *a).sum(), argnums=(0, 1)))(x, kernel):
        assert np.isfinite(gradient).all()


def test_gradients_are_those_of_finite_differences():
    x, kernel = normal(9, (3, 5)), normal(10, (5, 4))
    run = lambda x, kernel, degrees: rotated_logits(KEY, x, kernel, degrees=degrees)  # noqa: E731
    gradients_checked(run, (x, kernel, jnp.array(30.0)), modes=["fwd", "rev"], atol=1e-2, rtol=1e-2)


def test_jit_vmap_and_bfloat16():
    x, kernel, angles = normal(11, (3, 5)), normal(12, (5, 4)), jnp.array([0.0, 45.0])
    each = np.stack([rotated_logits(KEY, x, kernel, degrees=angle) for angle in angles])
    together = jax.jit(jax.vmap(lambda d: rotated_logits(KEY, x, kernel, degrees=d)))(angles)
    np.testing.assert_allclose(together, each, atol=1e-5)
    assert rotated_logits(KEY, x.astype(jnp.bfloat16), kernel.astype(jnp.bfloat16)).dtype == jnp.bfloat16


def test_the_module_is_dense_in_inference_and_the_function_in_training():
    x = normal(13, (3, 5))
    for use_bias in (False, True):
        layer: Any = RotatedDense(4, use_bias=use_bias, bias_init=nn.initializers.ones, degrees=30.0, dimension=4)
        variables = layer.init(KEY, x, deterministic=True)
        dense: Any = nn.Dense(4, use_bias=use_bias).apply(variables, x)
        np.testing.assert_allclose(layer.apply(variables, x, deterministic=True), dense, atol=1e-6)
        key = layer.apply(variables, rngs={"dropout": KEY}, method=lambda module: module.make_rng("dropout"))
        expected = rotated_logits(key, x, variables["params"]["kernel"], degrees=30.0, dimension=4) + float(use_bias)
        trained = layer.apply(variables, x, deterministic=False, rngs={"dropout": KEY})
        np.testing.assert_allclose(trained, expected, atol=1e-5)
    assert RotatedDense(2, dtype=jnp.bfloat16).init_with_output(KEY, x, deterministic=True)[0].dtype == jnp.bfloat16


@pytest.mark.parametrize(
    ("arguments", "options", "error", "said"),
    [
        ((0, jnp.ones((2, 3)), jnp.ones((3, 2))), {}, TypeError, "typed key"),
        ((KEY, jnp.ones((2, 3)), jnp.ones((4, 2))), {}, ValueError, r"got float32\[2, 3\] and float32\[4, 2\]"),
        ((KEY, jnp.ones((2, 1)), jnp.ones((1, 2))), {}, ValueError, "at least 2 features"),
        ((KEY, jnp.ones((2, 3)), jnp.ones((3, 2))), {"dimension": 1}, ValueError, "dimension of at least 2"),
        ((KEY, jnp.ones((2, 3)), jnp.ones((3, 2))), {"degrees": float("nan")}, ValueError, "degrees"),
        ((KEY, jnp.ones((2, 3, 1)), jnp.ones((3, 2))), {}, ValueError, r"features \[B, D\]"),
        ((KEY, jnp.ones((2, 3), jnp.int32), jnp.ones((3, 2))), {}, TypeError, "floating-point"),
    ],
)
def test_bad_input_gets_a_sentence(arguments: Any, options: dict[str, Any], error: type[Exception], said: str):
    with annotations_unchecked(), pytest.raises(error, match=said):
        jaxaug.rotated_logits(*arguments, **options)


def test_training_without_a_key_says_how_to_pass_one():
    layer = RotatedDense(2)
    variables = layer.init(KEY, jnp.ones((1, 3)), deterministic=True)
    with pytest.raises(ValueError, match="RotatedDense draws noise in training"):
        layer.apply(variables, jnp.ones((1, 3)), deterministic=False)
