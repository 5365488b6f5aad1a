"""MobileNet against published sizes and a forward pass written in NumPy from the paper; what a caller replaces."""

import functools
import itertools
import re
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from reference import KEY, Noted, normalized, random_variables, relu, windows

from jaxaug.models import Network, create_model
from jaxaug.models.layer_factory import LayerFactory
from jaxaug.models.mobilenet import mobilenet

SHAPE = (2, 11, 8, 3)
IMAGES = jax.random.normal(jax.random.key(1), SHAPE)
CHANNELS = (32, 64, 128, 128, 256, 256, *(6 * [512]), 1024, 1024)
tiny = functools.partial(create_model, "mobilenet", 3, width=1 / 16, total_stride=8)


def shapes(model: nn.Module, shape: tuple[int, ...] = SHAPE, **options: Any) -> tuple[Any, Any]:
    """Returns shapes of the variables and of the result."""
    images = jax.ShapeDtypeStruct(shape, jnp.float32)
    variables = jax.eval_shape(model.init, KEY, images)
    return variables, jax.eval_shape(functools.partial(model.apply, **options), variables, images)


def count(**options: Any) -> int:
    params = shapes(create_model("mobilenet", 1000, **options), (1, 32, 32, 3))[0]["params"]
    return sum(leaf.size for leaf in jax.tree.leaves(params))


@pytest.mark.parametrize(
    ("width", "published", "paper"),
    [(1.0, 4_231_976, 4.2), (0.75, 2_585_560, 2.6), (0.5, 1_331_592, 1.3), (0.25, 470_072, 0.5)],
)
def test_network_has_the_published_number_of_parameters(width: float, published: int, paper: float) -> None:
    assert count(width=width) == published  # exact ones by widely used code
    assert round(published / 1e6, 1) == paper  # the paper's table 6


def test_number_of_parameters_is_that_of_the_table() -> None:
    blocks = sum(9 * c + 2 * c + c * d + 2 * d for c, d in itertools.pairwise(CHANNELS))
    assert count() == 27 * 32 + 2 * 32 + blocks + 1025 * 1000


@pytest.mark.parametrize("total_stride", [1, 2, 4, 8, 16, 32])
def test_total_stride_divides_the_image_and_leaves_the_weights(total_stride: int) -> None:
    model = create_model("mobilenet", 3, total_stride=total_stride)
    variables, features = shapes(model, (1, 64, 33, 3), method="features")
    assert features.shape == (1, 64 // total_stride, -(-33 // total_stride), 1024)
    assert variables == shapes(create_model("mobilenet", 3), (1, 32, 32, 3))[0]


def test_network_is_the_numpy_network() -> None:
    tree = jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), random_variables(tiny(), IMAGES))
    params, stats = tree["params"]["trunk"], tree["batch_stats"]["trunk"]
    x = windows(np.asarray(IMAGES, np.float64), 3, 1, 1, 0.0)
    x = np.einsum("bhwcpq,pqcd->bhwd", x, params["stem"]["conv"]["kernel"])
    x = relu(normalized(x, params["stem"]["bn"], stats["stem"]["bn"]))
    for i, channels in enumerate(CHANNELS[1:], start=1):
        block, running = params[f"block{i}"], stats[f"block{i}"]
        x = windows(x, 3, 2 if i in (4, 6, 12) else 1, 1, 0.0)
        x = np.einsum("bhwcpq,pqc->bhwc", x, block["depthwise"]["kernel"][:, :, 0])
        x = relu(normalized(x, block["bn1"], running["bn1"])) @ block["pointwise"]["kernel"][0, 0]
        x = relu(normalized(x, block["bn2"], running["bn2"]))
        assert x.shape[-1] == channels // 16
    dense = tree["params"]["classifier"]
    logits: Any = jax.jit(tiny().apply)(random_variables(tiny(), IMAGES), IMAGES)
    np.testing.assert_allclose(logits, x.mean((1, 2)) @ dense["kernel"] + dense["bias"], rtol=1e-3, atol=1e-3)


def test_pool_takes_the_place_of_the_strides_of_the_blocks() -> None:
    """A pooling that takes the corner of each window leaves the strided network."""
    notes: list[Any] = []
    model = tiny(pool=lambda **options: Noted(notes.append, tuple(options.items())))
    logits: Any = jax.jit(model.apply)(random_variables(tiny(), IMAGES), IMAGES)
    np.testing.assert_allclose(
        logits, jax.jit(tiny().apply)(random_variables(tiny(), IMAGES), IMAGES), rtol=1e-5, atol=1e-5
    )
    tiles = {"window": (2, 2), "strides": (2, 2)}
    sites = [(2, 11, 8, 8), (2, 6, 4, 16), (2, 3, 2, 32)]
    assert notes == [(tiles, True, site) for site in sites]
    notes.clear()
    shapes(model, train=True, mutable=["batch_stats"])
    assert [deterministic for _, deterministic, _ in notes[3:]] == 3 * [False]


def test_pool_leaves_the_stride_of_the_stem() -> None:
    notes: list[Any] = []
    model = create_model("mobilenet", 3, pool=lambda **options: Noted(notes.append, tuple(options.items())))
    shapes(model, (1, 64, 32, 3))
    assert [shape for *_, shape in notes[:4]] == [
        (1, 32, 16, 64),
        (1, 16, 8, 128),
        (1, 8, 4, 256),
        (1, 4, 2, 512),
    ]


def test_conv_replaces_stem_and_depthwise_convolutions() -> None:
    notes: list[Any] = []

    def conv(features: int, kernel_size: tuple[int, int], **options: Any) -> nn.Module:
        notes.append((features, options.get("feature_group_count"), options["strides"]))
        assert (kernel_size, options["padding"], options["use_bias"]) == ((3, 3), ((1, 1), (1, 1)), False)
        return nn.Conv(features, kernel_size, **options)

    model = create_model("mobilenet", 3, conv=conv)
    jax.eval_shape(model.init, KEY, jax.ShapeDtypeStruct((1, 32, 32, 3), jnp.float32))
    strides = [1, 2, 1, 2, 1, 2, 1, 1, 1, 1, 1, 2, 1]
    depthwise = [(c, c, (stride, stride)) for c, stride in zip(CHANNELS[:-1], strides, strict=True)]
    assert notes == [(32, None, (2, 2)), *depthwise]


@pytest.mark.parametrize("train", [False, True])
def test_half_precision_computes_and_logits_are_full(train: bool) -> None:
    options: Any = {"train": train, "mutable": ["batch_stats"]}
    assert shapes(tiny(dtype=jnp.bfloat16), method="features", **options)[1][0].dtype == jnp.bfloat16
    assert shapes(tiny(dtype=jnp.bfloat16), **options)[1][0].dtype == jnp.float32


def test_remat_keeps_gradients() -> None:
    def beginning(remat: bool) -> Network:
        trunk = mobilenet(LayerFactory(remat=remat), width=1 / 16, total_stride=8)
        return Network("tiny", 3, trunk.clone(layers=trunk.layers[:4], parent=None))

    variables = random_variables(beginning(False), IMAGES)

    def gradient(remat: bool) -> Any:
        def loss(params: Any) -> jax.Array:
            inputs = {**variables, "params": params}
            logits, _ = beginning(remat).apply(inputs, IMAGES, train=True, mutable=["batch_stats"])
            return jnp.mean(logits**2)

        return jax.jit(jax.grad(loss))(variables["params"])

    kept, computed = gradient(False), gradient(True)
    jax.tree.map(functools.partial(np.testing.assert_allclose, rtol=1e-3, atol=1e-3), computed, kept)
    assert all((leaf != 0).any() and np.isfinite(leaf).all() for leaf in jax.tree.leaves(kept))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"width": 0.03}, "mobilenet takes width in [0.03125, inf)"),
        ({"total_stride": 12}, "mobilenet takes a total_stride of 32, 16, 8, 4, 2 or 1; got 12."),
        ({"total_stride": 64}, "mobilenet takes a total_stride of 32, 16, 8, 4, 2 or 1; got 64."),
    ],
)
def test_option_out_of_range_is_refused(options: Any, message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        create_model("mobilenet", 10, **options)


def test_image_smaller_than_the_total_stride_is_refused() -> None:
    with pytest.raises(ValueError, match="mobilenet takes images of at least 32 x 32 pixels, its total stride"):
        shapes(create_model("mobilenet", 10), (1, 32, 31, 3))


def test_regularizer_is_refused() -> None:
    with pytest.raises(ValueError, match="mobilenet has no residual branch for a regularizer to act on"):
        create_model("mobilenet", 10, regularizer=nn.Dropout)
