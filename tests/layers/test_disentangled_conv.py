"""Disentangled convolution against nn.Conv, and against one convolution by the composed kernel."""

from typing import Any, cast

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import traverse_util
from hypothesis import given, settings
from hypothesis import strategies as st
from laws.interface import annotations_unchecked
from scipy import signal
from whole import compiled

from jaxaug import DisentangledConv, gaussian_kernel
from jaxaug.training import make_optimizer

KEY = jax.random.key(0)


def normal(seed: int, shape: tuple[int, ...] = (2, 7, 6, 4)) -> jax.Array:
    return jnp.asarray(np.random.default_rng(seed).normal(size=shape), jnp.float32)


LAYOUTS: list[dict[str, Any]] = [
    {"kernel_size": (3, 3)},
    {"kernel_size": (3, 3), "strides": (2, 2), "padding": ((1, 1), (1, 1))},
    {"kernel_size": (2, 4), "strides": (2, 1)},
    {"kernel_size": (3, 2), "padding": "VALID", "use_bias": False},
    {"kernel_size": (3, 3), "kernel_dilation": 2, "padding": 2},
    {"kernel_size": (3, 3), "feature_group_count": 4},
    {"kernel_size": (1, 3), "feature_group_count": 2, "strides": 2, "padding": [0, (2, 1)]},
    {"kernel_size": (3, 3), "padding": "CIRCULAR"},
    {"kernel_size": (3, 3), "padding": "REFLECT", "strides": (1, 2)},
    {"kernel_size": (3, 3), "padding": "SAME_LOWER", "strides": None},
]


def layer_and_variables(layout: dict[str, Any], x: jax.Array, **options: Any) -> tuple[Any, Any]:
    layer: Any = DisentangledConv(8, **layout, **options)
    variables: Any = compiled(layer.init)(KEY, x)
    if "sigma" in variables["params"] and variables["params"]["sigma"].ndim:
        variables["params"]["sigma"] = jnp.asarray(np.linspace(0.5, 1.5, x.shape[-1], dtype=np.float32))
    return layer, variables


@pytest.mark.parametrize("layout", LAYOUTS, ids=str)
def test_without_width_it_is_nn_conv(layout: dict[str, Any]):
    x = normal(0)
    usual: Any = nn.Conv(8, **layout)
    variables = compiled(usual.init)(KEY, x)
    expected = compiled(usual.apply)(variables, x)
    for radius, sigma in ((0, 3.0), (2, 1e-6)):
        params = {**variables["params"], "sigma": jnp.array(sigma)}
        y: Any = compiled(DisentangledConv(8, **layout, radius=radius).apply)({"params": params}, x)
        np.testing.assert_allclose(y, expected, atol=1e-5)


@pytest.mark.parametrize("number", range(len(LAYOUTS)))
def test_folded_it_is_the_same(number: int):
    x, layout, per_channel = normal(1), LAYOUTS[number], number % 2 == 1
    layer, variables = layer_and_variables(layout, x, per_channel=per_channel)
    folded = DisentangledConv(8, **layout, per_channel=per_channel, fold=True)

    def outcome(layer: Any) -> Any:
        def loss(variables: Any) -> tuple[jax.Array, jax.Array]:
            y = layer.apply(variables, x)
            return jnp.sum(jnp.sin(y)), y

        (_, y), gradient = jax.jit(jax.value_and_grad(loss, has_aux=True))(variables)
        return y, gradient

    (y, gradient), (expected, its_gradient) = outcome(layer), outcome(folded)
    np.testing.assert_allclose(y, expected, atol=1e-5)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-3), gradient, its_gradient)


def test_it_is_one_convolution_by_the_composed_kernel():
    x = normal(2, (1, 9, 8, 1))
    layer: Any = DisentangledConv(1, (3, 3), sigma=0.9, radius=2, use_bias=False)
    variables = compiled(layer.init)(KEY, x)
    kernel = np.asarray(variables["params"]["kernel"], np.float64)[:, :, 0, 0]
    gaussian = np.asarray(gaussian_kernel(0.9, radius=2), np.float64)
    composed = signal.convolve2d(kernel, np.outer(gaussian, gaussian))
    expected = signal.correlate2d(np.asarray(x, np.float64)[0, :, :, 0], composed, mode="same")
    np.testing.assert_allclose(compiled(layer.apply)(variables, x)[0, :, :, 0], expected, atol=1e-5)
    # Widths add: the second moment of the composed kernel, about its mean, is the sum of both.
    positions, taps = np.arange(7) - 3.0, np.arange(3) - 1.0

    def variance(weights: np.ndarray, at: np.ndarray) -> float:
        mean = (weights * at).sum() / weights.sum()
        return float((weights * (at - mean) ** 2).sum() / weights.sum())

    ours, structure = composed.sum(axis=1), kernel.sum(axis=1)
    wide = variance(gaussian, np.arange(5) - 2.0)
    assert variance(ours, positions) == pytest.approx(variance(structure, taps) + wide, rel=1e-6)


@settings(max_examples=8, deadline=None)
@given(layout=st.sampled_from(LAYOUTS), shape=st.tuples(st.integers(5, 8), st.integers(5, 8)), bf16=st.booleans())
def test_shape_and_dtype_are_those_of_nn_conv(layout: dict[str, Any], shape: tuple[int, int], bf16: bool):
    x = jnp.ones((2, *shape, 4), jnp.bfloat16 if bf16 else jnp.float32)

    def outcome(layer: nn.Module) -> Any:
        return jax.eval_shape(lambda: layer.init_with_output(KEY, x)[0])

    for dtype in (jnp.bfloat16,) if bf16 else (None, jnp.bfloat16):
        ours, usual = DisentangledConv(8, **layout, dtype=dtype), nn.Conv(8, **layout, dtype=dtype)
        assert (outcome(ours).shape, outcome(ours).dtype) == (outcome(usual).shape, outcome(usual).dtype)


@pytest.mark.parametrize("shape", [(5, 4), (2, 3, 6, 4), (1, 4, 4, 4, 4), (6, 4)])
def test_any_number_of_spatial_and_batch_axes(shape: tuple[int, ...]):
    x = normal(3, shape)
    for rank in range(1, min(3, len(shape) - 1) + 1):
        usual: Any = nn.Conv(3, (3,) * rank)
        variables = compiled(usual.init)(KEY, x)
        params = {**variables["params"], "sigma": jnp.array(1e-6)}
        y: Any = compiled(DisentangledConv(3, (3,) * rank).apply)({"params": params}, x)
        np.testing.assert_allclose(y, compiled(usual.apply)(variables, x), atol=1e-5)


def test_causal_padding_of_one_axis():
    x = normal(4, (2, 6, 3))
    usual: Any = nn.Conv(3, 3, padding="CAUSAL")
    variables = compiled(usual.init)(KEY, x)
    params = {**variables["params"], "sigma": jnp.array(1e-6)}
    y: Any = compiled(DisentangledConv(3, 3, padding="CAUSAL").apply)({"params": params}, x)
    np.testing.assert_allclose(y, compiled(usual.apply)(variables, x), atol=1e-5)


def test_the_blur_comes_before_the_stride():
    # The finest checkerboard is invisible to a wide Gaussian, whichever pixels a stride picks.
    x = jnp.asarray(np.indices((12, 12)).sum(axis=0) % 2 * 2.0 - 1.0, jnp.float32)[None, :, :, None]
    layer: Any = DisentangledConv(4, (1, 1), strides=(2, 2), padding="VALID", sigma=2.0, radius=4)
    y = compiled(layer.apply)(compiled(layer.init)(KEY, x), x)
    assert float(jnp.abs(y[:, 2:-2, 2:-2]).max()) < 1e-2


@pytest.mark.parametrize("per_channel", [False, True])
def test_sigma_has_the_gradient_of_finite_differences(per_channel: bool):
    x = normal(5)
    layer, variables = layer_and_variables({"kernel_size": (3, 3), "strides": 2}, x, per_channel=per_channel)
    assert variables["params"]["sigma"].shape == ((4,) if per_channel else ())

    def loss(sigma: jax.Array) -> jax.Array:
        return jnp.sum(compiled(layer.apply)({"params": {**variables["params"], "sigma": sigma}}, x) ** 2)

    sigma = variables["params"]["sigma"]
    gradient = jax.jit(jax.grad(loss))(sigma)
    for entry in np.ndindex(sigma.shape):
        step = np.zeros(sigma.shape, np.float32)
        step[entry] = 1e-2
        numeric = (loss(sigma + step) - loss(sigma - step)) / 2e-2
        assert float(gradient[entry]) == pytest.approx(float(numeric), rel=2e-2)
        assert abs(float(gradient[entry])) > 1e-2


def test_sigma_does_not_decay():
    x = normal(6)
    _, variables = layer_and_variables({"kernel_size": (3, 3)}, x)
    optimizer = make_optimizer(learning_rate=1.0, momentum=0.0, weight_decay=0.1)
    params: Any = variables["params"]
    updates, _ = optimizer.update(jax.tree.map(jnp.zeros_like, params), optimizer.init(params), params)
    leaves: Any = traverse_util.flatten_dict(cast(Any, updates)).items()
    decayed = {path[-1] for path, update in leaves if float(abs(update).max()) > 0}
    assert decayed == {"kernel"}


def test_a_fixed_blur_has_no_parameter_and_a_sign_no_meaning():
    x = normal(7)
    learned, variables = layer_and_variables({"kernel_size": (3, 3)}, x)
    fixed: Any = DisentangledConv(8, (3, 3), learn_sigma=False)
    params = dict(variables["params"])
    sigma = params.pop("sigma")
    assert set(compiled(fixed.init)(KEY, x)["params"]) == {"kernel", "bias"}
    np.testing.assert_allclose(
        compiled(fixed.apply)({"params": params}, x), compiled(learned.apply)(variables, x), atol=1e-6
    )
    np.testing.assert_array_equal(
        compiled(learned.apply)({"params": {**params, "sigma": -sigma}}, x), compiled(learned.apply)(variables, x)
    )
    at_zero = jax.jit(jax.grad(lambda s: learned.apply({"params": {**params, "sigma": s}}, x).sum()))(0.0)
    assert np.isfinite(at_zero)


@pytest.mark.parametrize(
    ("options", "x", "error", "said"),
    [
        ({"sigma": 0.0}, jnp.ones((1, 4, 4, 2)), ValueError, r"sigma in \(0, inf\); got 0"),
        ({"radius": -1}, jnp.ones((1, 4, 4, 2)), ValueError, "radius of at least 0"),
        (
            {"feature_group_count": 3},
            jnp.ones((1, 4, 4, 2)),
            ValueError,
            "by feature_group_count=3; got 2 channels",
        ),
        ({"strides": (1, 1, 1)}, jnp.ones((1, 4, 4, 2)), ValueError, "2 numbers for strides"),
        ({"kernel_dilation": 0}, jnp.ones((1, 4, 4, 2)), ValueError, "kernel_dilation of at least 1"),
        ({"padding": "same"}, jnp.ones((1, 4, 4, 2)), ValueError, "'SAME', 'VALID'"),
        ({"padding": [(1, 1)]}, jnp.ones((1, 4, 4, 2)), ValueError, "each of 2 axes"),
        ({"padding": -1}, jnp.ones((1, 4, 4, 2)), ValueError, "padding of at least 0"),
        ({}, jnp.ones((4, 2)), ValueError, "2 spatial axes and channels"),
        ({}, jnp.ones((1, 4, 4, 2), jnp.int32), TypeError, "floating-point"),
    ],
)
def test_bad_input_gets_a_sentence(options: dict[str, Any], x: jax.Array, error: type[Exception], said: str):
    with annotations_unchecked(), pytest.raises(error, match=said):
        DisentangledConv(6, (3, 3), **options).init(KEY, x)
