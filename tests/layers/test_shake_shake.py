"""Shake-Shake against its equation: the weights of both directions, their levels, and inference."""

import functools
from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from hypothesis import given, settings
from hypothesis import strategies as st
from jax.test_util import check_grads
from laws.interface import annotations_unchecked
from scipy import stats

from jaxaug.layers import ShakeShake, shake_shake
from jaxaug.layers.levels import draw_shape

KEY = jax.random.key(0)
SHAPE = (3, 2, 4, 2)
LEVELS = ("batch", "example", "channel", "pixel")
SIGMAS = 5.0


def normal(seed: int, shape: tuple[int, ...] = SHAPE) -> jax.Array:
    return jnp.asarray(np.random.default_rng(seed).normal(size=shape), jnp.float32)


@functools.cache
def compiled(**options: Any) -> Callable[..., Any]:
    """Returns what gives the sum of two branches, and both gradients for a cotangent."""

    @jax.jit
    def run(key: jax.Array, a: jax.Array, b: jax.Array, cotangent: jax.Array) -> Any:
        y, vjp = jax.vjp(lambda a, b: shake_shake(key, a, b, **options), a, b)
        return y, *vjp(cotangent)

    return lambda *arrays: tuple(np.asarray(out) for out in run(*arrays))


def weights(key: jax.Array, shape: tuple[int, ...], **options: Any) -> tuple[np.ndarray, np.ndarray]:
    """Returns α and β, read off the branches 1 and 0 under a cotangent of 1."""
    ones = jnp.ones(shape)
    alpha, beta, rest = compiled(**options)(key, ones, 0 * ones, ones)
    np.testing.assert_allclose(beta + rest, 1, rtol=1e-6)
    return alpha, beta


def test_weights_are_uniform_and_independent() -> None:
    count = 20_000
    alpha, beta = (weight[:, 0].astype(np.float64) for weight in weights(KEY, (count, 1)))
    for weight in (alpha, beta):
        assert stats.kstest(weight, stats.uniform.cdf).pvalue > 1e-6
        assert abs(np.corrcoef(weight[1:], weight[:-1])[0, 1]) < SIGMAS / count**0.5
    assert abs(np.corrcoef(alpha, beta)[0, 1]) < SIGMAS / count**0.5
    # What inference takes is the mean of training.
    inferred: Any = ShakeShake().apply({}, jnp.ones((1, 1)), jnp.zeros((1, 1)), deterministic=True)
    assert inferred == 0.5
    assert abs(alpha.mean() - 0.5) < SIGMAS * (1 / 12 / count) ** 0.5


@pytest.mark.parametrize("backward", ["shake", "even", "keep"])
@pytest.mark.parametrize("forward", ["shake", "even"])
def test_sum_and_gradients_are_the_papers(forward: Any, backward: Any) -> None:
    options = {"forward": forward, "backward": backward, "level": "channel"}
    alpha, beta = weights(KEY, SHAPE, **options)
    assert (alpha == 0.5).all() == (forward == "even")
    if backward == "keep":
        np.testing.assert_array_equal(alpha, beta)
    else:
        assert (beta == 0.5).all() == (backward == "even")
        assert (alpha != beta).any() or forward == backward == "even"
    a, b, cotangent = normal(1), normal(2), normal(3)
    y, to_a, to_b = compiled(**options)(KEY, a, b, cotangent)
    np.testing.assert_allclose(y, alpha * a + (1 - alpha) * b, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(to_a, beta * cotangent, rtol=1e-6)
    np.testing.assert_allclose(to_b, (1 - beta) * cotangent, rtol=1e-5)


@pytest.mark.parametrize(
    ("shape", "level"), [*((SHAPE, level) for level in LEVELS), ((5, 3), "example"), ((5, 3), "channel")]
)
def test_a_level_shares_its_draws_and_no_others(shape: tuple[int, ...], level: Any) -> None:
    for weight in weights(KEY, shape, level=level):
        drawn = draw_shape(level, shape)
        one_of_each = weight[tuple(slice(0, length) for length in drawn)]
        np.testing.assert_array_equal(weight, np.broadcast_to(one_of_each, shape))
        assert np.unique(one_of_each).size == one_of_each.size


def test_kept_weights_have_the_gradient_of_what_was_computed() -> None:
    def smooth(a: Any, b: Any) -> jax.Array:
        return jnp.sin(shake_shake(KEY, jnp.asarray(a), jnp.asarray(b), backward="keep")).sum()

    check_grads(jax.jit(smooth), (normal(0), normal(1)), order=1, atol=0.02, rtol=0.02)


def test_numbers_are_the_same_however_run() -> None:
    a, b, keys = normal(0), normal(1), jax.random.split(KEY, 3)

    def both(key: jax.Array) -> Any:
        def loss(a: jax.Array, b: jax.Array) -> jax.Array:
            return (shake_shake(key, a, b, level="pixel") ** 2).sum()

        return jax.value_and_grad(loss, argnums=(0, 1))(a, b)

    def scanned(keys: jax.Array) -> Any:
        return jax.lax.scan(lambda _, key: (None, both(key)), None, keys)[1]

    def remade(keys: jax.Array) -> Any:
        layer = jax.checkpoint(lambda key, a, b: shake_shake(key, a, b, level="pixel"))
        run = jax.value_and_grad(lambda a, b, key: (layer(key, a, b) ** 2).sum(), argnums=(0, 1))
        return jax.vmap(run, (None, None, 0))(a, b, keys)

    expected = jax.tree.map(lambda *leaves: jnp.stack(leaves), *[both(key) for key in keys])
    for run in (jax.vmap(both), scanned, remade):
        jax.tree.map(functools.partial(np.testing.assert_allclose, rtol=1e-5), jax.jit(run)(keys), expected)


@settings(deadline=None, max_examples=25)
@given(
    shape=st.lists(st.integers(1, 5), min_size=2, max_size=5).map(tuple),
    dtype=st.sampled_from([jnp.float32, jnp.bfloat16, jnp.float16]),
    forward=st.sampled_from(["shake", "even"]),
    backward=st.sampled_from(["shake", "even", "keep"]),
    level=st.sampled_from(LEVELS),
)
def test_shape_and_dtype_are_kept(shape: Any, dtype: Any, forward: Any, backward: Any, level: Any) -> None:
    def every(key: jax.Array, x: jax.Array) -> Any:
        module = ShakeShake(forward, backward, level)
        y, vjp = jax.vjp(lambda a, b: shake_shake(key, a, b, forward=forward, backward=backward, level=level), x, x)
        return y, *vjp(y), module.apply({}, x, x, deterministic=True)

    x = jax.ShapeDtypeStruct(shape, dtype)
    assert {(out.shape, out.dtype) for out in jax.eval_shape(every, KEY, x)} == {(shape, jnp.dtype(dtype))}


def test_half_precision_is_the_rounded_result() -> None:
    half = [normal(seed).astype(jnp.bfloat16) for seed in range(3)]
    full = [x.astype(jnp.float32) for x in half]
    for one, other in zip(compiled()(KEY, *half), compiled()(KEY, *full), strict=True):
        np.testing.assert_array_equal(one, other.astype(jnp.bfloat16))


def test_backward_pass_keeps_nothing_of_the_size_of_a_branch() -> None:
    x = jnp.ones((8, 16, 16, 4))
    _, vjp = jax.vjp(lambda a, b: shake_shake(KEY, a, b, level="pixel"), x, x)
    assert sum(leaf.size for leaf in jax.tree.leaves(vjp)) < 16


@pytest.mark.parametrize("backward", ["shake", "keep"])
def test_no_key_is_used_twice(backward: Any) -> None:
    def loss(key: jax.Array, a: jax.Array, b: jax.Array) -> jax.Array:
        return shake_shake(key, a, b, backward=backward, level="pixel").sum()

    with jax.debug_key_reuse(True):
        for run in (jax.grad(loss, argnums=1), jax.jit(jax.grad(loss, argnums=1))):
            key = jax.random.key(0)
            run(key, jnp.ones((2, 3)), jnp.ones((2, 3)))
            with pytest.raises(jax.errors.KeyReuseError):
                jax.random.bits(key)


class OneKey(nn.Module):
    """Returns the key that a module at the top draws."""

    def __call__(self, collection: str) -> jax.Array:
        return self.make_rng(collection)


def test_module_is_its_function() -> None:
    options: Any = {"forward": "shake", "backward": "keep", "level": "pixel"}
    module, a, b = ShakeShake(rng_collection="shake", **options), normal(0), normal(1)
    drawn: Any = OneKey().apply({}, "shake", rngs={"shake": KEY})
    mixed = module.apply({}, a, b, deterministic=False, rngs={"shake": KEY})
    np.testing.assert_array_equal(mixed, shake_shake(drawn, a, b, **options))
    inferred: Any = module.apply({}, a, b, deterministic=True)
    np.testing.assert_allclose(inferred, (a + b) / 2, rtol=1e-6)
    assert module.init(KEY, a, b, deterministic=False) == {}
    with pytest.raises(ValueError, match=r"^ShakeShake draws noise in training: pass rngs=\{'shake': key\}"):
        module.apply({}, a, b, deterministic=False)
    with pytest.raises(ValueError, match=r"^shake_shake takes two branches of the same shape"), annotations_unchecked():
        module.apply({}, a, b[:1], deterministic=True)


def test_module_in_nnx() -> None:
    wrapped, x = nnx.bridge.ToNNX(ShakeShake(), rngs=nnx.Rngs(dropout=0)), normal(0)
    one, other = (wrapped(x, 0 * x, deterministic=False) for _ in range(2))
    assert (one != other).all()
    np.testing.assert_array_equal(wrapped(x, 0 * x, deterministic=True), x / 2)


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"forward": "keep"}, "takes one of 'shake', 'even' for forward; got 'keep'"),
        ({"backward": "same"}, "takes one of 'shake', 'even', 'keep' for backward; got 'same'"),
        ({"level": "image"}, "for level; got 'image'"),
        ({"b": jnp.ones((3, 2))}, r"two branches of the same shape and dtype; got float32\[2, 3\] and float32\[3, 2\]"),
        ({"b": jnp.ones((2, 3), jnp.bfloat16)}, "two branches of the same shape and dtype"),
        ({"a": jnp.ones((2, 3), jnp.int32)}, "of a floating-point dtype"),
        ({"b": jnp.ones(2)}, r"takes a branch \[B, ..., C\]; got float32\[2\]"),
        ({"key": jnp.zeros(2, jnp.uint32)}, "takes one typed key"),
    ],
)
def test_bad_arguments_get_one_sentence(given: dict[str, Any], sentence: str) -> None:
    options: dict[str, Any] = {"key": KEY, "a": jnp.ones((2, 3)), "b": jnp.ones((2, 3)), **given}
    arrays = [options.pop(name) for name in ("key", "a", "b")]
    run = functools.partial(shake_shake, **options)
    for either in (run, jax.jit(run)):
        with annotations_unchecked(), pytest.raises((ValueError, TypeError), match=f"^shake_shake .*{sentence}"):
            either(*arrays)
