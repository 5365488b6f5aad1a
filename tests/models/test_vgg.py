"""VGG against published sizes and a forward pass written in NumPy from the paper; what a caller replaces there."""

import functools
import re
from typing import Any

import flax.errors
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from reference import KEY, Noted, normalized, random_variables

from jaxaug.models import Network, create_model
from jaxaug.models.layer_factory import LayerFactory
from jaxaug.models.vgg import FullyConnected, vgg, vgg_mod

SHAPE = (2, 96, 65, 3)
IMAGES = jax.random.normal(jax.random.key(1), SHAPE)
BLOCKS, CHANNELS, HIDDEN = (1, 2, 1, 1, 1), (2, 3, 4, 5, 6), 32
CONVOLUTIONS = ("conv1_1", "pool1", "conv2_1", "conv2_2", "pool2", "conv3_1", "pool3", "conv4_1", "pool4", "conv5_1")
# Biases of convolutions, which published networks with BN have although it cancels them.
BIASES = {"vgg13": 2 * (64 + 128 + 256 + 512 + 512), "vgg16": 2 * (64 + 128) + 3 * (256 + 512 + 512)}


def tiny(*, head_size: int = 2, dropout: float = 0.0, batch_norm: bool = True, **parts: Any) -> Network:
    trunk = vgg(
        LayerFactory(**parts),
        blocks=BLOCKS,
        head_size=head_size,
        dropout=dropout,
        batch_norm=batch_norm,
        channels=CHANNELS,
        hidden=HIDDEN,
    )
    return Network("tiny", 3, trunk)


def tiny_mod(**parts: Any) -> Network:
    return Network("tiny", 3, vgg_mod(LayerFactory(**parts), blocks=BLOCKS, channels=CHANNELS, hidden=HIDDEN))


def shapes(model: nn.Module, shape: tuple[int, ...] = SHAPE, **options: Any) -> tuple[Any, Any]:
    """Returns shapes of the variables and of the result."""
    images = jax.ShapeDtypeStruct(shape, jnp.float32)
    variables = jax.eval_shape(model.init, KEY, images)
    return variables, jax.eval_shape(functools.partial(model.apply, **options), variables, images)


def count(name: str, num_classes: int, side: int, **options: Any) -> int:
    params = shapes(create_model(name, num_classes, **options), (1, side, side, 3))[0]["params"]
    return sum(leaf.size for leaf in jax.tree.leaves(params))


@pytest.mark.parametrize(
    ("name", "without", "with_norm"),
    [("vgg13", 133_047_848, 133_053_736), ("vgg16", 138_357_544, 138_365_992)],  # torchvision; paper: 133M, 138M
)
def test_network_has_the_published_number_of_parameters(name: str, without: int, with_norm: int) -> None:
    assert count(name, 1000, 224, batch_norm=False) == without
    assert count(name, 1000, 224) == with_norm - BIASES[name]


def test_mod_ends_in_a_pointwise_convolution() -> None:
    whole, connected = count("vgg16", 1000, 224), (49 * 512 + 1) * 4096 + (4096 + 1) * 4096
    assert count("vgg16_mod", 1000, 224) == whole - connected + (512 + 2) * 4096
    assert shapes(create_model("vgg16_mod", 3), (1, 224, 160, 3), method="features")[1].shape == (1, 14, 10, 4096)
    assert shapes(create_model("vgg16_mod", 3), (1, 16, 17, 3), method="features")[1].shape == (1, 1, 1, 4096)


@pytest.mark.parametrize(
    ("head_size", "shape", "features"),
    [
        (7, (1, 224, 224), (1, 1, 1, 4096)),
        (7, (2, 256, 320), (2, 2, 4, 4096)),
        (1, (3, 32, 33), (3, 1, 1, 4096)),
        (2, (1, 64, 96), (1, 1, 2, 4096)),
    ],
)
def test_features_are_windows_of_the_last_map(
    head_size: int, shape: tuple[int, ...], features: tuple[int, ...]
) -> None:
    model = create_model("vgg13", 3, head_size=head_size)
    assert shapes(model, (*shape, 3), method="features")[1].shape == features


def float64(tree: Any) -> Any:
    return jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), tree)


def pooled(x: np.ndarray) -> np.ndarray:
    h, w = x.shape[1] // 2 * 2, x.shape[2] // 2 * 2
    corners = [x[:, i:h:2, j:w:2] for i in (0, 1) for j in (0, 1)]
    return np.max(corners, axis=0)


def reference_stages(variables: Any, layers: tuple[str, ...]) -> np.ndarray:
    """Returns the last map of the convolutions, with BN where there are statistics and biases where there are some."""
    params, stats = variables["params"]["trunk"], variables.get("batch_stats", {}).get("trunk", {})
    x = np.asarray(IMAGES, np.float64)
    for name in layers:
        if name.startswith("pool"):
            x = pooled(x)
            continue
        padded = np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
        windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(1, 2))
        x = np.einsum("bhwcpq,pqcd->bhwd", windows, params[name]["conv"]["kernel"], optimize=True)
        x = normalized(x, params[name]["bn"], stats[name]["bn"]) if name in stats else x + params[name]["conv"]["bias"]
        x = np.maximum(x, 0)
    return x


@pytest.mark.parametrize("batch_norm", [True, False])
def test_network_is_the_numpy_network(batch_norm: bool) -> None:
    """Over a map of 3 x 2, the fully connected layers act on each of two windows, and logits are averaged."""
    model = tiny(batch_norm=batch_norm)
    drawn = random_variables(model, IMAGES)
    variables = float64(drawn)
    x = reference_stages(variables, (*CONVOLUTIONS, "pool5"))
    assert x.shape == (2, 3, 2, 6)
    dense6, dense7 = (variables["params"]["trunk"][name]["dense"] for name in ("fc6", "fc7"))
    logits = []
    for row in (0, 1):
        hidden = x[:, row : row + 2].reshape(2, -1) @ dense6["kernel"].reshape(-1, HIDDEN) + dense6["bias"]
        hidden = np.maximum(hidden, 0) @ dense7["kernel"][0, 0] + dense7["bias"]
        classifier = variables["params"]["classifier"]
        logits.append(np.maximum(hidden, 0) @ classifier["kernel"] + classifier["bias"])
    computed: Any = jax.jit(model.apply)(drawn, IMAGES)
    np.testing.assert_allclose(computed, np.mean(logits, axis=0), rtol=1e-3, atol=1e-3)


def test_mod_is_the_numpy_network() -> None:
    drawn = random_variables(tiny_mod(), IMAGES)
    variables = float64(drawn)
    params, stats = (variables[kind]["trunk"]["conv6"] for kind in ("params", "batch_stats"))
    x = reference_stages(variables, CONVOLUTIONS) @ params["conv"]["kernel"][0, 0]
    x = np.maximum(normalized(x, params["bn"], stats["bn"]), 0)
    dense = variables["params"]["classifier"]
    computed: Any = jax.jit(tiny_mod().apply)(drawn, IMAGES)
    expected = x.mean((1, 2)) @ dense["kernel"] + dense["bias"]
    np.testing.assert_allclose(computed, expected, rtol=1e-3, atol=1e-3)


def test_dropout_follows_each_fully_connected_layer_at_its_rate() -> None:
    layer = FullyConnected(LayerFactory(), 200, 1, 0.3)
    x = jax.random.normal(KEY, (20, 1, 1, 5))
    variables = layer.init(KEY, x, train=False)
    inferred: Any = layer.apply(variables, x, train=False)
    trained: Any = layer.apply(variables, x, train=True, rngs={"dropout": jax.random.key(1)})
    positive = np.asarray(inferred > 0)
    kept = np.asarray(trained > 0)
    np.testing.assert_allclose(trained[kept], inferred[kept] / 0.7, rtol=1e-5)
    assert abs(1 - kept.sum() / positive.sum() - 0.3) < 5 * np.sqrt(0.3 * 0.7 / positive.sum())
    with pytest.raises(flax.errors.InvalidRngError):
        layer.apply(variables, x, train=True)


@pytest.mark.parametrize("train", [False, True])
@pytest.mark.parametrize(("make", "number"), [(tiny, 5), (tiny_mod, 4)])
def test_pool_replaces_every_max_pooling(make: Any, number: int, train: bool) -> None:
    notes: list[Any] = []
    model = make(pool=lambda **options: Noted(notes.append, tuple(options.items())))
    shapes(model, (2, 64, 96, 3), train=train, mutable=["batch_stats"])
    sites = [(2, 64 // 2**i, 96 // 2**i, channels) for i, channels in enumerate(CHANNELS[:number])]
    assert notes[number:] == [({"window": (2, 2), "strides": (2, 2)}, not train, site) for site in sites]


@pytest.mark.parametrize(("make", "use_bias"), [(tiny, False), (functools.partial(tiny, batch_norm=False), True)])
def test_conv_replaces_the_convolutions_alone(make: Any, use_bias: bool) -> None:
    notes: list[Any] = []

    def conv(features: int, kernel_size: tuple[int, int], **options: Any) -> nn.Module:
        notes.append(features)
        assert (kernel_size, options["padding"]) == ((3, 3), ((1, 1), (1, 1)))
        assert (options["strides"], options["use_bias"]) == ((1, 1), use_bias)
        return nn.Conv(features, kernel_size, **options)

    variables = jax.eval_shape(make(conv=conv).init, KEY, jax.ShapeDtypeStruct(SHAPE, jnp.float32))
    assert notes == [2, 3, 3, 4, 5, 6]
    assert variables == shapes(make())[0]


@pytest.mark.parametrize("train", [False, True])
def test_half_precision_computes_and_logits_are_full(train: bool) -> None:
    model = tiny(dtype=jnp.dtype(jnp.bfloat16), batch_norm=train)
    options: Any = {"train": train, "mutable": ["batch_stats"]}
    assert shapes(model, method="features", **options)[1][0].dtype == jnp.bfloat16
    assert shapes(model, **options)[1][0].dtype == jnp.float32


def test_remat_keeps_gradients_and_draws_the_same_dropout() -> None:
    variables = random_variables(tiny(), IMAGES)

    def gradient(remat: bool) -> Any:
        def loss(params: Any) -> jax.Array:
            inputs = {**variables, "params": params}
            options: Any = {"rngs": {"dropout": jax.random.key(2)}, "mutable": ["batch_stats"]}
            logits, _ = tiny(remat=remat, dropout=0.5).apply(inputs, IMAGES, train=True, **options)
            return jnp.sum(logits**2)

        return jax.jit(jax.grad(loss))(variables["params"])

    kept, computed = gradient(False), gradient(True)
    jax.tree.map(functools.partial(np.testing.assert_allclose, rtol=1e-3, atol=1e-3), computed, kept)
    assert all((leaf != 0).any() and np.isfinite(leaf).all() for leaf in jax.tree.leaves(kept))


@pytest.mark.parametrize(
    ("options", "shape", "message"),
    [
        ({}, (2, 32, 32, 3), "vgg with head_size=7 takes images of at least 224 x 224 pixels (head_size=1: 32 x 32)"),
        ({"head_size": 2}, (2, 64, 63, 3), "its last feature map is float32[2, 2, 1, 512]."),
        ({"head_size": 1}, (2, 31, 32, 3), "vgg16 takes images of at least 32 x 32 pixels, its total stride"),
    ],
)
def test_image_too_small_for_the_head_is_refused(options: Any, shape: tuple[int, ...], message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        shapes(create_model("vgg16", 10, **options), shape)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"head_size": 0}, "vgg takes head_size of at least 1; got 0."),
        ({"dropout": 1.5}, "vgg takes dropout in [0, 1]; got 1.5."),
    ],
)
def test_option_out_of_range_is_refused(options: Any, message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        create_model("vgg16", 10, **options)


@pytest.mark.parametrize("name", ["vgg13", "vgg16_mod"])
def test_regularizer_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match=f"{name} has no residual branch for a regularizer to act on"):
        create_model(name, 10, regularizer=nn.Dropout)
