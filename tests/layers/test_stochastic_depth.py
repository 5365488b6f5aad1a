"""Stochastic depth: the rate of the gate, what it keeps, and the factor of inference."""

import functools
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from hypothesis import given, settings
from hypothesis import strategies as st
from laws.interface import annotations_unchecked

from jaxaug.layers import StochasticDepth, stochastic_depth
from jaxaug.models import create_model

KEY = jax.random.key(0)
X = jnp.asarray(np.random.default_rng(0).normal(size=(4, 2, 3, 2)), jnp.float32)
SIGMAS = 5.0


def test_gate_has_the_rate_and_inference_the_mean() -> None:
    count = 4096
    keep_probs = jnp.array([0.0, 0.2, 0.9, 1.0])
    run = jax.jit(jax.vmap(lambda p: stochastic_depth(KEY, jnp.ones((count, 1)), keep_prob=p)[:, 0]))
    for keep_prob, gates in zip(keep_probs.tolist(), np.asarray(run(keep_probs)), strict=True):
        assert set(np.unique(gates).tolist()) <= {0.0, 1.0}
        assert abs(gates.mean() - keep_prob) <= SIGMAS * (keep_prob * (1 - keep_prob) / count) ** 0.5 + 1e-6
        inferred: Any = StochasticDepth(keep_prob).apply({}, X, deterministic=True)
        np.testing.assert_allclose(inferred, keep_prob * X, rtol=1e-6)


@pytest.mark.parametrize("level", ["batch", "example"])
def test_kept_is_exact_and_dropped_is_zero_with_its_gradient(level: Any) -> None:
    @jax.jit
    def run(key: jax.Array) -> Any:
        y, vjp = jax.vjp(lambda x: stochastic_depth(key, x, keep_prob=0.5, level=level), X)
        return y, vjp(jnp.asarray(np.cos(X)))[0]

    seen = []
    for key in jax.random.split(KEY, 16):
        y, gradient = run(key)
        kept = np.any(np.asarray(y) != 0, axis=(1, 2, 3), keepdims=True)
        np.testing.assert_array_equal(y, np.asarray(X) * kept)
        np.testing.assert_array_equal(gradient, np.cos(X) * kept)
        seen.append(kept.ravel())
    shared = {len(set(kept)) for kept in np.asarray(seen).tolist()} == {1}
    assert shared == (level == "batch")
    assert 0 < np.mean(seen) < 1


def test_numbers_are_the_same_however_run() -> None:
    keys = jax.random.split(KEY, 3)

    def gradient(key: jax.Array) -> Any:
        return jax.grad(lambda x: (stochastic_depth(key, x, keep_prob=0.5) ** 2).sum())(X)

    def remade(key: jax.Array) -> Any:
        layer = jax.checkpoint(lambda key, x: stochastic_depth(key, x, keep_prob=0.5))
        return jax.grad(lambda x: (layer(key, x) ** 2).sum())(X)

    expected = np.stack([gradient(key) for key in keys])
    for run in (jax.vmap(gradient), jax.vmap(remade), lambda keys: jax.lax.map(gradient, keys)):
        np.testing.assert_allclose(jax.jit(run)(keys), expected, rtol=1e-6)


@settings(deadline=None, max_examples=20)
@given(
    shape=st.lists(st.integers(1, 5), min_size=2, max_size=5).map(tuple),
    dtype=st.sampled_from([jnp.float32, jnp.bfloat16, jnp.float16]),
    level=st.sampled_from(["batch", "example"]),
)
def test_shape_and_dtype_are_kept(shape: Any, dtype: Any, level: Any) -> None:
    def every(key: jax.Array, x: jax.Array) -> Any:
        y, vjp = jax.vjp(lambda x: stochastic_depth(key, x, keep_prob=0.5, level=level), x)
        return y, *vjp(y), StochasticDepth(0.5).apply({}, x, deterministic=True)

    x = jax.ShapeDtypeStruct(shape, dtype)
    assert {(out.shape, out.dtype) for out in jax.eval_shape(every, KEY, x)} == {(shape, jnp.dtype(dtype))}


def test_no_key_is_used_twice() -> None:
    with jax.debug_key_reuse(True):
        key = jax.random.key(0)
        jax.jit(jax.grad(lambda x, key: stochastic_depth(key, x, keep_prob=0.5).sum()))(X, key)
        with pytest.raises(jax.errors.KeyReuseError):
            jax.random.bits(key)


class OneKey(nn.Module):
    """Returns the key that a module at the top draws."""

    def __call__(self, collection: str) -> jax.Array:
        return self.make_rng(collection)


def test_module_is_its_function() -> None:
    module = StochasticDepth(keep_prob=0.5, level="batch", rng_collection="depth")
    for seed in range(4):
        rngs = {"depth": jax.random.key(seed)}
        drawn: Any = OneKey().apply({}, "depth", rngs=rngs)
        dropped = module.apply({}, X, deterministic=False, rngs=rngs)
        np.testing.assert_array_equal(dropped, stochastic_depth(drawn, X, keep_prob=0.5, level="batch"))
    assert module.init(KEY, X, deterministic=False) == {}
    with pytest.raises(ValueError, match=r"^StochasticDepth draws noise in training: pass rngs=\{'depth': key\}"):
        module.apply({}, X, deterministic=False)


def test_module_in_a_network_and_in_nnx() -> None:
    images = jax.ShapeDtypeStruct((2, 8, 8, 3), jnp.float32)
    model = create_model("wrn_10_1", 3, regularizer=StochasticDepth)
    variables = jax.eval_shape(model.init, KEY, images)
    assert jax.eval_shape(model.apply, variables, images).shape == (2, 3)
    wrapped, x = nnx.bridge.ToNNX(StochasticDepth(0.5), rngs=nnx.Rngs(dropout=0)), jnp.ones((64, 1))
    one, other = (wrapped(x, deterministic=False) for _ in range(2))
    assert (one != other).any()
    np.testing.assert_array_equal(wrapped(x, deterministic=True), 0.5 * x)


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"keep_prob": 1.5}, r"takes keep_prob in \[0, 1\]; got 1.5"),
        ({"keep_prob": "half"}, "takes a number for keep_prob; got 'half'"),
        ({"level": "pixel"}, "takes one of 'batch', 'example' for level; got 'pixel'"),
        ({"x": jnp.ones((2, 3), jnp.int32)}, "of a floating-point dtype"),
        ({"x": jnp.ones(2)}, r"takes a branch \[B, ..., C\]; got float32\[2\]"),
        ({"key": jnp.zeros(2, jnp.uint32)}, "takes one typed key"),
    ],
)
def test_bad_arguments_get_one_sentence(given: dict[str, Any], sentence: str) -> None:
    options: dict[str, Any] = {"key": KEY, "x": X, "keep_prob": 0.5, **given}
    key, x = options.pop("key"), options.pop("x")
    run = functools.partial(stochastic_depth, **options)
    for either in (run, jax.jit(run)):
        with annotations_unchecked(), pytest.raises((ValueError, TypeError), match=f"^stochastic_depth .*{sentence}"):
            either(key, x)
