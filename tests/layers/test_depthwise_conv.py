"""Depthwise convolution against XLA's own, its gradients too, and what is handed on to it."""

import functools
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxaug import DisentangledConv, create_model
from jaxaug.layers.depthwise_conv import conv_general_dilated

NUMBERS = {1: ("NHC", "HIO", "NHC"), 2: ("NHWC", "HWIO", "NHWC"), 3: ("NHWDC", "HWDIO", "NHWDC")}


def normal(seed: int, shape: tuple[int, ...], dtype: Any = jnp.float32) -> jax.Array:
    return jnp.asarray(np.random.default_rng(seed).normal(size=shape), dtype)


def as_of_xla(x: jax.Array, kernel: jax.Array, strides: Any, padding: Any, **options: Any) -> None:
    """Checks the values and both gradients against those of `jax.lax.conv_general_dilated`."""
    options = {"dimension_numbers": NUMBERS[x.ndim - 2], "feature_group_count": x.shape[-1], **options}
    options = {"window_strides": strides, "padding": padding, **options}

    @jax.jit
    def both(x: jax.Array, kernel: jax.Array) -> Any:
        theirs, to_theirs = jax.vjp(functools.partial(jax.lax.conv_general_dilated, **options), x, kernel)
        ours, to_ours = jax.vjp(functools.partial(conv_general_dilated, **options), x, kernel)
        cotangent = normal(2, theirs.shape)
        return (ours, to_ours(cotangent)), (theirs, to_theirs(cotangent))

    (ours, gradients), (theirs, their_gradients) = both(x, kernel)
    assert ours.dtype == theirs.dtype
    np.testing.assert_allclose(ours, theirs, atol=1e-5)
    for one, other in zip(gradients, their_gradients, strict=True):
        assert one.shape == other.shape
        np.testing.assert_allclose(one, other, atol=3e-5)


@settings(max_examples=25, deadline=None)
@given(data=st.data(), rank=st.integers(1, 3), batch=st.integers(0, 3), channels=st.integers(2, 4))
def test_every_window_stride_dilation_and_padding(data: st.DataObject, rank: int, batch: int, channels: int):
    def drawn(low: int, high: int) -> tuple[int, ...]:
        return data.draw(st.tuples(*rank * (st.integers(low, high),)))

    x = normal(0, (batch, *drawn(3, 6), channels))
    kernel = normal(1, (*drawn(1, 3), 1, channels))
    pads = tuple(zip(drawn(0, 2), drawn(0, 2), strict=True))
    padding = data.draw(st.sampled_from(("SAME", "VALID", "SAME_LOWER", pads)))
    as_of_xla(x, kernel, drawn(1, 3), padding, rhs_dilation=drawn(1, 2))


@pytest.mark.parametrize(
    "case",
    [
        {"kernel": (3, 3, 1, 8)},  # two outputs of each channel
        {"kernel": (3, 3, 2, 4), "feature_group_count": 2},
        {"lhs_dilation": (2, 1)},
        {"kernel": (8, 8, 1, 4), "padding": "SAME"},
        {"x": (2, 4, 6, 5), "kernel": (4, 1, 3, 3), "dimension_numbers": ("NCHW", "OIHW", "NCHW"), "channels": 4},
        {"x": (2, 6, 5, 1), "kernel": (3, 3, 1, 1)},
    ],
)
def test_what_it_is_not_made_for_is_handed_on(case: dict[str, Any]):
    x = normal(0, case.pop("x", (2, 6, 5, 4)))
    kernel = normal(1, case.pop("kernel", (3, 3, 1, 4)))
    case = {"feature_group_count": case.pop("channels", x.shape[-1]), **case}
    as_of_xla(x, kernel, (1, 1), case.pop("padding", ((1, 1), (1, 1))), **case)


def test_a_window_wider_than_the_map_sees_nothing():
    as_of_xla(normal(0, (2, 2, 5, 3)), normal(1, (3, 3, 1, 3)), (1, 2), "VALID")
    as_of_xla(normal(0, (2, 1, 5, 3)), normal(1, (3, 1, 1, 3)), (1, 1), "VALID")


def test_bfloat16_is_rounded_once():
    x, kernel = normal(0, (2, 8, 8, 4), jnp.bfloat16), normal(1, (3, 3, 1, 4), jnp.bfloat16)
    conv = nn.Conv(
        4, (3, 3), feature_group_count=4, use_bias=False, dtype=jnp.bfloat16, conv_general_dilated=conv_general_dilated
    )
    y = jax.jit(conv.apply)({"params": {"kernel": kernel}}, x)
    wide = np.pad(np.asarray(x, np.float64), ((0, 0), (1, 1), (1, 1), (0, 0)))
    exact = sum(wide[:, i : i + 8, j : j + 8] * np.asarray(kernel, np.float64)[i, j, 0] for i, j in np.ndindex(3, 3))
    assert isinstance(y, jax.Array)
    assert y.dtype == jnp.bfloat16
    np.testing.assert_allclose(np.asarray(y, np.float64), exact, rtol=2**-8, atol=1e-6)


def loss(x: jax.Array, kernel: jax.Array, conv: Any = conv_general_dilated) -> jax.Array:
    y = conv(x, kernel, (2, 1), "SAME", dimension_numbers=NUMBERS[2], feature_group_count=3)
    return jnp.sin(y).sum()


def test_under_vmap_and_remat():
    x, kernels = normal(0, (4, 2, 5, 5, 3)), normal(1, (4, 3, 3, 1, 3))
    slopes = jax.jit(jax.vmap(jax.grad(jax.checkpoint(loss), argnums=(0, 1))))(x, kernels)
    usual = jax.jit(jax.grad(functools.partial(loss, conv=jax.lax.conv_general_dilated), argnums=(0, 1)))
    for i in range(4):
        expected = usual(x[i], kernels[i])
        jax.tree.map(lambda s, e, i=i: np.testing.assert_allclose(s[i], e, atol=1e-5), slopes, expected)


def test_the_gradient_of_a_gradient():
    x, kernel, along = normal(0, (2, 5, 5, 3)), normal(1, (3, 3, 1, 3)), normal(2, (3, 3, 1, 3))

    def curvature(conv: Any) -> jax.Array:
        slope = jax.grad(functools.partial(loss, conv=conv), argnums=1)
        return jax.jit(jax.grad(lambda k: jnp.vdot(slope(x, k), along)))(kernel)

    np.testing.assert_allclose(curvature(conv_general_dilated), curvature(jax.lax.conv_general_dilated), atol=1e-4)


@pytest.mark.parametrize(("platform", "convolutions"), [("cpu", 0), ("cuda", 1), ("tpu", 1)])
def test_only_a_cpu_adds_shifted_slices(platform: str, convolutions: int):
    x, kernel = normal(0, (2, 5, 5, 3)), normal(1, (3, 3, 1, 3))
    program = jax.export.export(jax.jit(loss), platforms=[platform])(x, kernel).mlir_module()
    assert program.count("stablehlo.convolution") == convolutions


@pytest.mark.parametrize(
    ("layer", "options"),
    [
        (create_model("mobilenet", 3, width=0.0625, total_stride=4), {"train": False}),
        (DisentangledConv(4, (3, 3), feature_group_count=4), {}),
    ],
)
def test_layers_of_networks_are_the_fast_ones(layer: nn.Module, options: dict[str, Any]):
    def y(key: jax.Array) -> Any:
        return layer.init_with_output(key, jnp.ones((1, 8, 8, 4)), **options)[0]

    program = jax.jit(y).lower(jax.random.key(0)).as_text()
    assert "feature_group_count = 4" not in program
