"""ShakeDrop against its equation: both coefficients, the gate that they share, and what is drawn together."""

import functools
import os
import subprocess
import sys
import textwrap
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

from jaxaug.layers import ShakeDrop, shake_drop, shake_drop_expected
from jaxaug.layers.levels import draw_shape
from jaxaug.models import create_model

KEY = jax.random.key(0)
SHAPE = (3, 2, 4, 2)
LEVELS = ("batch", "example", "channel", "pixel")
SIGMAS = 5.0


@functools.cache
def compiled(shape: tuple[int, ...], dtype: Any = jnp.float32, **options: Any) -> Callable[..., Any]:
    """Returns what gives a shaken branch, and the gradient for a cotangent, under numbers that are traced."""

    def both(key: jax.Array, x: jax.Array, cotangent: jax.Array, **numbers: Any) -> Any:
        y, vjp = jax.vjp(lambda x: shake_drop(key, x, **numbers, **options), x)
        return y, vjp(cotangent)[0]

    run = jax.jit(both)
    ones = jnp.ones(shape, dtype)

    def call(key: jax.Array, x: jax.Array = ones, cotangent: jax.Array = ones, keep_prob: Any = 0.5, **numbers: Any):
        return tuple(np.asarray(out) for out in run(key, x, cotangent, keep_prob=keep_prob, **numbers))

    return call


def normal(seed: int, shape: tuple[int, ...] = SHAPE) -> jax.Array:
    return jnp.asarray(np.random.default_rng(seed).normal(size=shape), jnp.float32)


def close(mean: float, expected: float, deviation: float, count: int) -> bool:
    return abs(mean - expected) <= SIGMAS * deviation / count**0.5 + 1e-6


@pytest.mark.parametrize(
    ("keep_prob", "alpha", "beta"),
    [
        (0.5, (-1.0, 1.0), (0.0, 1.0)),
        (0.9, (0.0, 1.0), (0.0, 1.0)),
        (0.2, (0.5, 3.0), (-2.0, 0.0)),
        (0.0, (-1.0, 1.0), (0.0, 1.0)),
    ],
)
def test_coefficients_follow_their_laws(keep_prob: float, alpha: Any, beta: Any) -> None:
    count = 20_000
    forward, backward = compiled((count, 1))(KEY, keep_prob=keep_prob, alpha=alpha, beta=beta)
    forward, backward = forward[:, 0].astype(np.float64), backward[:, 0].astype(np.float64)
    kept = forward == 1
    np.testing.assert_array_equal(kept, backward == 1)
    assert close(kept.mean(), keep_prob, (keep_prob * (1 - keep_prob)) ** 0.5, count)
    for coefficient, (low, high) in ((forward, alpha), (backward, beta)):
        dropped = coefficient[~kept]
        assert dropped.min() >= low
        assert dropped.max() < high
        assert stats.kstest(dropped, stats.uniform(low, high - low).cdf).pvalue > 1e-6
        mean = keep_prob + (1 - keep_prob) * (low + high) / 2
        square = keep_prob + (1 - keep_prob) * (low * low + low * high + high * high) / 3
        assert close(coefficient.mean(), mean, (square - mean**2) ** 0.5, count)
        assert close((coefficient**2).mean(), square, (coefficient**2).std(), count)
    assert abs(np.corrcoef(forward[~kept], backward[~kept])[0, 1]) < SIGMAS / (~kept).sum() ** 0.5
    # What inference takes is the mean of training.
    expected = shake_drop_expected(jnp.ones((1, 1)), keep_prob=keep_prob, alpha=alpha)
    assert close(forward.mean(), expected.item(), forward.std(), count)


@pytest.mark.parametrize(
    ("gate_level", "noise_level"),
    [("batch", "batch"), ("batch", "pixel"), ("example", "batch"), ("example", "example"), ("example", "channel")],
)
def test_kept_is_exact_and_dropped_is_a_multiple(gate_level: Any, noise_level: Any) -> None:
    run = compiled(SHAPE, gate_level=gate_level, noise_level=noise_level)
    x, cotangent = normal(1), normal(2)
    seen = []
    for key in jax.random.split(KEY, 8):
        forward, backward = run(key)
        y, gradient = run(key, x, cotangent)
        np.testing.assert_array_equal(y, np.asarray(x) * forward)
        np.testing.assert_array_equal(gradient, np.asarray(cotangent) * backward)
        kept = (forward == 1).all((1, 2, 3))
        np.testing.assert_array_equal(kept, (forward == 1).any((1, 2, 3)))
        np.testing.assert_array_equal(y[kept], x[kept])
        np.testing.assert_array_equal(gradient[kept], cotangent[kept])
        seen.append(kept)
    shared = {len(set(kept)) for kept in np.asarray(seen).tolist()} == {1}
    assert shared == (gate_level == "batch")
    assert 0 < np.mean(seen) < 1


@pytest.mark.parametrize(
    ("shape", "level"), [*((SHAPE, level) for level in LEVELS), ((5, 3), "example"), ((5, 3), "channel")]
)
def test_a_level_shares_its_draws_and_no_others(shape: tuple[int, ...], level: Any) -> None:
    for coefficient in compiled(shape, noise_level=level)(KEY, keep_prob=0.0):
        drawn = draw_shape(level, shape)
        one_of_each = coefficient[tuple(slice(0, length) for length in drawn)]
        np.testing.assert_array_equal(coefficient, np.broadcast_to(one_of_each, shape))
        assert np.unique(one_of_each).size == one_of_each.size


def test_shapes_of_the_levels() -> None:
    shapes = [draw_shape(level, (8, 5, 4, 3)) for level in LEVELS]
    assert shapes == [(1, 1, 1, 1), (8, 1, 1, 1), (8, 1, 1, 3), (8, 5, 4, 3)]
    assert [draw_shape(level, (8, 3)) for level in LEVELS] == [(1, 1), (8, 1), (8, 3), (8, 3)]


def test_draws_are_independent_of_each_other() -> None:
    count = 3000

    @jax.jit
    @jax.vmap
    def coefficients(key: jax.Array) -> jax.Array:
        y, vjp = jax.vjp(lambda x: shake_drop(key, x, keep_prob=0.5, noise_level="pixel"), jnp.ones((2, 2, 2)))
        gate = (y == 1)[:, 0, 0].astype(y.dtype)
        # Given the gates, which the coefficients share, each is uniform: a kept one says nothing and counts as zero.
        forward, backward = (
            jnp.where(y == 1, 0.0, c - mean).ravel() for c, mean in ((y, 0.0), (vjp(y * 0 + 1)[0], 0.5))
        )
        return jnp.concatenate([gate, forward, backward])

    found = np.asarray(coefficients(jax.random.split(KEY, count)), np.float64)
    correlation = np.corrcoef(found.T) - np.eye(found.shape[1])
    assert np.abs(correlation).max() < SIGMAS / count**0.5


def test_special_cases() -> None:
    x = normal(0)

    def shaken(**options: Any) -> Any:
        y, vjp = jax.vjp(lambda x: shake_drop(KEY, x, **{"keep_prob": 0.5, **options}), x)
        return y, vjp(jnp.ones_like(x))[0]

    for options in ({"alpha": (1, 1), "beta": (1, 1)}, {"keep_prob": 1}):
        y, gradient = shaken(**options)
        np.testing.assert_array_equal(y, x)
        np.testing.assert_array_equal(gradient, 1)
    y, gradient = shaken(alpha=(0, 0), beta=(0, 0))
    for example, source, share in zip(y, x, gradient, strict=True):
        assert np.unique(share).tolist() in ([0], [1])
        np.testing.assert_array_equal(example, source * share[0, 0, 0])
    y, gradient = shaken(alpha=(0.0, 0.0), noise_level="pixel", keep_prob=0.0)
    np.testing.assert_array_equal(y, 0)
    assert np.unique(gradient).size == x.size


def test_constant_alpha_is_the_same_traced() -> None:
    for options in ({"alpha": (0.3, 0.3)}, {"alpha": (jnp.float32(0.3), jnp.float32(0.3))}):
        y = jax.jit(functools.partial(shake_drop, keep_prob=0.5, noise_level="pixel", **options))(KEY, normal(0))
        traced, _ = compiled(SHAPE, noise_level="pixel")(KEY, normal(0), alpha=(0.3, 0.3))
        np.testing.assert_array_equal(y, traced)


def test_true_gradient_is_that_of_what_was_computed() -> None:
    for level in LEVELS:
        forward, backward = compiled(SHAPE, noise_level=level, true_gradient=True)(KEY, keep_prob=0.3)
        np.testing.assert_array_equal(forward, backward)
        np.testing.assert_array_equal(forward, compiled(SHAPE, noise_level=level)(KEY, keep_prob=0.3)[0])

    def smooth(x: Any) -> jax.Array:
        y = shake_drop(KEY, jnp.asarray(x), keep_prob=0.3, noise_level="channel", true_gradient=True)
        return jnp.sin(y).sum()

    check_grads(jax.jit(smooth), (normal(0),), order=1, atol=0.02, rtol=0.02)


def test_gradient_through_layers_is_the_product_of_their_coefficients() -> None:
    """Three residual blocks of one weight each: dL/dw_l = Σ β_l x_l Π_{m > l} (1 + β_m w_m)."""
    x, weights, keys = normal(0, (4, 3)), jnp.array([0.5, -1.0, 2.0]), jax.random.split(KEY, 3)

    def loss(weights: jax.Array) -> jax.Array:
        out = x
        for layer in range(3):
            out = out + shake_drop(keys[layer], weights[layer] * out, keep_prob=0.5)
        return out.sum()

    pairs = [compiled((4, 3))(key) for key in keys]
    out, inputs = np.asarray(x), []
    for (forward, _), weight in zip(pairs, weights.tolist(), strict=True):
        inputs.append(out)
        out = out * (1 + forward * weight)
    share, expected = np.ones_like(out), []
    for (_, backward), weight, entered in reversed(list(zip(pairs, weights.tolist(), inputs, strict=True))):
        expected.append((share * backward * entered).sum())
        share = share * (1 + backward * weight)
    for run in (loss, jax.checkpoint(loss)):
        value, gradient = jax.jit(jax.value_and_grad(run))(weights)
        np.testing.assert_allclose(value, out.sum(), rtol=1e-4)
        np.testing.assert_allclose(gradient, expected[::-1], rtol=1e-4)


@pytest.mark.parametrize("level", ["example", "pixel"])
def test_numbers_are_the_same_however_run(level: Any) -> None:
    x, keys, probs = normal(0), jax.random.split(KEY, 4), jnp.array([0.0, 0.3, 0.7, 1.0])

    def both(key: jax.Array, keep_prob: jax.Array) -> Any:
        return jax.value_and_grad(
            lambda x: (shake_drop(key, x, keep_prob=keep_prob, noise_level=level) ** 2).sum(), argnums=0
        )(x)

    expected = [both(key, prob) for key, prob in zip(keys, probs, strict=True)]
    expected = jax.tree.map(lambda *leaves: jnp.stack(leaves), *expected)
    for run in (
        jax.vmap(both),
        lambda keys, probs: jax.lax.scan(lambda _, xs: (None, both(*xs)), None, (keys, probs))[1],
    ):
        jax.tree.map(functools.partial(np.testing.assert_allclose, rtol=1e-5), jax.jit(run)(keys, probs), expected)
    over_probs = jax.vmap(both, (None, 0))(keys[1], probs)
    np.testing.assert_allclose(over_probs[1][1], expected[1][1], rtol=1e-5)


def test_gradient_of_the_numbers_is_zero() -> None:
    def loss(keep_prob: jax.Array, low: jax.Array, high: jax.Array) -> jax.Array:
        return shake_drop(KEY, normal(0), keep_prob=keep_prob, alpha=(low, 1.0), beta=(0.0, high)).sum()

    numbers = jnp.array([0.1, 0.5, 0.9])
    gradients = jax.vmap(jax.grad(loss, argnums=(0, 1, 2)), (0, None, None))(numbers, jnp.float32(-1), jnp.float32(1))
    for gradient in gradients:
        np.testing.assert_array_equal(gradient, [0, 0, 0])


def test_expectation_is_a_differentiable_product() -> None:
    x, options = normal(0), {"keep_prob": 0.25, "alpha": (0.0, 1.0)}
    y, vjp = jax.vjp(lambda x: shake_drop_expected(x, **options), x)
    np.testing.assert_allclose(y, 0.625 * x, rtol=1e-6)
    np.testing.assert_allclose(vjp(x)[0], 0.625 * x, rtol=1e-6)
    np.testing.assert_array_equal(shake_drop_expected(x, keep_prob=0.5), 0.5 * x)
    slope = jax.grad(lambda p: shake_drop_expected(jnp.ones((1, 1)), keep_prob=p, alpha=(0.0, 1.0)).sum())(0.3)
    assert slope == 0.5


@settings(deadline=None, max_examples=25)
@given(
    shape=st.lists(st.integers(1, 5), min_size=2, max_size=5).map(tuple),
    dtype=st.sampled_from([jnp.float32, jnp.bfloat16, jnp.float16]),
    gate_level=st.sampled_from(["batch", "example"]),
    level=st.sampled_from(LEVELS),
    true=st.booleans(),
)
def test_shape_and_dtype_are_kept(shape: Any, dtype: Any, gate_level: Any, level: Any, true: bool) -> None:
    def every(key: jax.Array, x: jax.Array) -> Any:
        options: Any = {"gate_level": gate_level, "noise_level": level, "true_gradient": true}
        y, vjp = jax.vjp(lambda x: shake_drop(key, x, keep_prob=0.5, **options), x)
        return y, *vjp(y), shake_drop_expected(x, keep_prob=0.5)

    x = jax.ShapeDtypeStruct(shape, dtype)
    assert {(out.shape, out.dtype) for out in jax.eval_shape(every, KEY, x)} == {(shape, jnp.dtype(dtype))}


def test_half_precision_takes_the_rounded_coefficients() -> None:
    for full, half in zip(compiled(SHAPE)(KEY), compiled(SHAPE, jnp.bfloat16)(KEY), strict=True):
        np.testing.assert_array_equal(half, full.astype(jnp.bfloat16))


def test_backward_pass_keeps_nothing_of_the_size_of_the_branch() -> None:
    x = jnp.ones((8, 16, 16, 4))
    _, vjp = jax.vjp(lambda x: shake_drop(KEY, x, keep_prob=0.5, noise_level="pixel"), x)
    assert sum(leaf.size for leaf in jax.tree.leaves(vjp)) < 16


@pytest.mark.parametrize("level", ["example", "pixel"])
def test_no_key_is_used_twice(level: Any) -> None:
    def loss(key: jax.Array, x: jax.Array) -> jax.Array:
        return shake_drop(key, x, keep_prob=0.5, noise_level=level).sum()

    with jax.debug_key_reuse(True):
        for run in (jax.grad(loss, argnums=1), jax.jit(jax.grad(loss, argnums=1))):
            key = jax.random.key(0)
            run(key, jnp.ones((2, 3)))
            with pytest.raises(jax.errors.KeyReuseError):
                jax.random.bits(key)


SHARDED = """
    import jax, jax.numpy as jnp, numpy as np
    from jax.sharding import NamedSharding, PartitionSpec
    from jaxaug.layers import shake_drop, shake_shake, stochastic_depth
    key, x = jax.random.key(0), jax.random.normal(jax.random.key(1), (4, 3, 2))
    layers = [lambda x, level=level: shake_drop(key, x, keep_prob=0.5, noise_level=level) for level in {levels}]
    layers += [lambda x, level=level: shake_shake(key, x, jnp.sin(x), level=level) for level in {levels}]
    layers += [lambda x: stochastic_depth(key, x, keep_prob=0.5)]
    @jax.jit
    def every(x):
        return [jax.value_and_grad(lambda x: (layer(x) ** 2).sum())(x) for layer in layers]
    mesh = jax.make_mesh((2,), ("data",), axis_types=(jax.sharding.AxisType.Auto,))
    sharded = jax.device_put(x, NamedSharding(mesh, PartitionSpec("data")))
    out = every(sharded)
    assert len(out[0][1].sharding.device_set) == 2
    jax.tree.map(lambda one, two: np.testing.assert_allclose(one, two, rtol=1e-5), every(x), out)
    print("the same")
"""


def test_two_devices_draw_what_one_draws() -> None:
    program = textwrap.dedent(SHARDED).format(levels=("batch", "pixel"))
    flags = f"{os.environ.get('XLA_FLAGS', '')} --xla_force_host_platform_device_count=2"
    environment = {**os.environ, "XLA_FLAGS": flags}
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=300, check=False, env=environment
    )
    assert done.stdout.strip() == "the same", done.stderr[-2000:]


class OneKey(nn.Module):
    """Returns the key that a module at the top draws."""

    def __call__(self, collection: str) -> jax.Array:
        return self.make_rng(collection)


@pytest.mark.parametrize("collection", ["dropout", "shake"])
def test_module_is_its_function(collection: str) -> None:
    options: Any = {"alpha": (0.0, 1.0), "beta": (-1.0, 0.0), "gate_level": "batch", "noise_level": "channel"}
    module, x = ShakeDrop(keep_prob=0.3, rng_collection=collection, **options), normal(0)
    drawn: Any = OneKey().apply({}, collection, rngs={collection: KEY})
    shaken = module.apply({}, x, deterministic=False, rngs={collection: KEY})
    np.testing.assert_array_equal(shaken, shake_drop(drawn, x, keep_prob=0.3, **options))
    inferred = module.apply({}, x, deterministic=True)
    np.testing.assert_array_equal(inferred, shake_drop_expected(x, keep_prob=0.3, alpha=(0.0, 1.0)))
    assert module.init(KEY, x, deterministic=False) == {}
    with pytest.raises(ValueError, match=rf"^ShakeDrop draws noise in training: pass rngs={{'{collection}': key}}"):
        module.apply({}, x, deterministic=False)


def test_module_takes_the_true_gradient() -> None:
    module = ShakeDrop(0.0, true_gradient=True)
    run: Any = functools.partial(module.apply, {}, deterministic=False, rngs={"dropout": KEY})
    y, vjp = jax.vjp(run, jnp.ones((4, 1)))
    np.testing.assert_array_equal(vjp(jnp.ones((4, 1)))[0], y)


def test_settings_of_the_paper() -> None:
    without = ShakeDrop.without_final_relu(keep_prob=0.7, noise_level="pixel", gate_level="batch")
    assert without == ShakeDrop(0.7, (-1.0, 1.0), (0.0, 1.0), "batch", "pixel")
    assert ShakeDrop.with_final_relu(keep_prob=0.7) == ShakeDrop(0.7, (0.0, 0.0), (0.0, 1.0))


def test_which_suit_a_final_relu() -> None:
    alphas: list[tuple[Any, bool]] = [((0.0, 0.0), True), ((1, 1), True), ([0, 0], True), ((jnp.float32(0), 0), True)]
    alphas += [((-1.0, 1.0), False), ((0.0, 1.0), False), ((0.5, 0.5), False)]
    for alpha, suits in alphas:
        assert ShakeDrop(0.5, alpha).suits_final_relu is suits
    assert not jax.jit(lambda low: jnp.asarray(ShakeDrop(0.5, (low, low)).suits_final_relu))(0.0)


def test_module_in_a_network_and_in_nnx() -> None:
    images = jax.ShapeDtypeStruct((2, 8, 8, 3), jnp.float32)
    for factory in (ShakeDrop.without_final_relu, ShakeDrop.with_final_relu):
        model = create_model("wrn_10_1", 3, regularizer=factory)
        variables = jax.eval_shape(model.init, KEY, images)
        run: Any = functools.partial(model.apply, train=True, mutable=["batch_stats"])
        out = jax.eval_shape(lambda v, x, run=run: run(v, x, rngs={"dropout": KEY})[0], variables, images)
        assert out.shape == (2, 3)
        assert jax.eval_shape(model.apply, variables, images).shape == (2, 3)
        with pytest.raises(ValueError, match=r"^ShakeDrop draws noise"):
            jax.eval_shape(run, variables, images)
    wrapped, x = nnx.bridge.ToNNX(ShakeDrop(0.0), rngs=nnx.Rngs(dropout=0)), normal(0)
    one, other = (wrapped(x, deterministic=False) for _ in range(2))
    assert (one != other).all()
    np.testing.assert_array_equal(wrapped(x, deterministic=True), 0 * x)


BAD = [
    ({"keep_prob": 1.1}, r"takes keep_prob in \[0, 1\]; got 1.1"),
    ({"keep_prob": -0.1}, r"takes keep_prob in \[0, 1\]"),
    ({"keep_prob": float("nan")}, r"takes keep_prob in \[0, 1\]"),
    ({"keep_prob": None}, "takes a number for keep_prob; got None"),
    ({"alpha": (1.0, -1.0)}, "low <= high for alpha"),
    ({"alpha": 0.5}, r"takes a pair \(low, high\) for alpha; got 0.5"),
    ({"beta": (0.0, 0.5, 1.0)}, r"takes a pair \(low, high\) for beta"),
    ({"beta": (0.0, float("inf"))}, "takes beta in"),
    ({"gate_level": "pixel"}, "takes one of 'batch', 'example' for gate_level; got 'pixel'"),
    ({"noise_level": "image"}, "'example', 'channel', 'pixel' for noise_level; got 'image'"),
    ({"x": jnp.ones((2, 3), jnp.int32)}, r"takes a branch \[B, ..., C\] of a floating-point dtype; got int32\[2, 3\]"),
    ({"x": jnp.ones(2)}, r"takes a branch \[B, ..., C\]; got float32\[2\]"),
    ({"x": jnp.ones((2, 0))}, "no empty axis"),
    ({"key": jnp.zeros(2, jnp.uint32)}, "takes one typed key"),
    ({"key": jax.random.split(KEY, 2)}, "takes one typed key"),
]


@pytest.mark.parametrize(("given", "sentence"), BAD)
def test_bad_arguments_get_one_sentence(given: dict[str, Any], sentence: str) -> None:
    arguments: dict[str, Any] = {"key": KEY, "x": jnp.ones((2, 3)), "keep_prob": 0.5, **given}
    key, x = arguments.pop("key"), arguments.pop("x")
    for run in (shake_drop, jax.jit(functools.partial(shake_drop, **arguments))):
        with annotations_unchecked(), pytest.raises((ValueError, TypeError), match=f"^shake_drop .*{sentence}"):
            run(key, x, **(arguments if run is shake_drop else {}))
    if set(given) & {"keep_prob", "alpha", "x"}:
        options = {name: value for name, value in arguments.items() if name in ("keep_prob", "alpha")}
        with (
            annotations_unchecked(),
            pytest.raises((ValueError, TypeError), match=f"^shake_drop_expected .*{sentence}"),
        ):
            shake_drop_expected(x, **options)
