"""DenseNet against published sizes and a forward pass written in NumPy from the paper; what a caller replaces there."""

import functools
import re
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from reference import KEY, Noted, averaged, convolved, normalized, random_variables, relu, windows

from jaxaug.models import Network, create_model
from jaxaug.models.densenet import DenseLayer, dense_trunk, densenet_bc
from jaxaug.models.layer_factory import LayerFactory
from jaxaug.models.trunk import ImageNetStem

SMALL, LARGE = (2, 9, 6, 3), (2, 19, 16, 3)
BLOCKS = (2, 1, 2)


def large(*blocks: int, **options: Any) -> Network:
    """Returns a network with the stem of large images, small enough to run."""
    trunk = dense_trunk(LayerFactory(**options), stem=ImageNetStem, growth=3, blocks=blocks or BLOCKS, total_stride=16)
    return Network("large", 3, trunk)


def shapes(model: nn.Module, shape: tuple[int, ...], **options: Any) -> tuple[Any, Any]:
    """Returns shapes of the variables and of the result."""
    images = jax.ShapeDtypeStruct(shape, jnp.float32)
    variables = jax.eval_shape(model.init, KEY, images)
    return variables, jax.eval_shape(functools.partial(model.apply, **options), variables, images)


def activated(x: np.ndarray, params: Any, stats: Any, name: str) -> np.ndarray:
    return relu(normalized(x, params[name], stats[name]))


def reference_logits(variables: Any, images: jax.Array, blocks: tuple[int, ...]) -> np.ndarray:
    """Returns stem, dense blocks, transitions, ending and classifier in float64; layers from the blocks' sizes."""
    tree = jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), variables)
    params, stats = tree["params"]["trunk"], tree["batch_stats"]["trunk"]
    x = np.asarray(images, np.float64)
    if "bn" in params["stem"]:
        x = activated(convolved(x, params["stem"]["conv"]["kernel"], 2), params["stem"], stats["stem"], "bn")
        x = windows(x, 3, 2, 1, -np.inf).max((-2, -1))
    else:
        x = convolved(x, params["stem"]["conv"]["kernel"], 1)
    for block, count in enumerate(blocks, start=1):
        if block > 1:
            name = f"transition{block - 1}"
            x = convolved(activated(x, params[name], stats[name], "bn"), params[name]["conv"]["kernel"], 1)
            x = averaged(x)
        for layer in range(1, count + 1):
            name = f"block{block}_layer{layer}"
            narrow = convolved(activated(x, params[name], stats[name], "bn1"), params[name]["conv1"]["kernel"], 1)
            new = convolved(activated(narrow, params[name], stats[name], "bn2"), params[name]["conv2"]["kernel"], 1)
            x = np.concatenate([x, new], -1)
    dense = tree["params"]["classifier"]
    features = activated(x, params["final"], stats["final"], "bn")
    return features.mean((1, 2)) @ dense["kernel"] + dense["bias"]


@pytest.mark.parametrize(
    ("model", "shape", "blocks"),
    [(create_model("densenet_bc_16_3", 5), SMALL, (2, 2, 2)), (large(), LARGE, BLOCKS)],
    ids=["small", "large"],
)
def test_network_is_the_numpy_network(model: Network, shape: tuple[int, ...], blocks: tuple[int, ...]) -> None:
    variables, images = random_variables(model, jnp.zeros(shape)), jax.random.normal(jax.random.key(1), shape)
    logits: Any = jax.jit(model.apply)(variables, images)
    np.testing.assert_allclose(logits, reference_logits(variables, images, blocks), rtol=1e-3, atol=1e-3)


def test_transition_keeps_half_of_an_odd_number_of_channels() -> None:
    params = shapes(create_model("densenet_bc_10_3", 3), SMALL)[0]["params"]["trunk"]
    kept = [params[f"transition{i}"]["conv"]["kernel"].shape[2:] for i in (1, 2)]
    assert kept == [(6 + 3, 4), (4 + 3, 3)]
    assert params["block1_layer1"]["conv1"]["kernel"].shape == (1, 1, 6, 4 * 3)
    assert params["final"]["bn"]["scale"].shape == (3 + 3,)


def test_smallest_image_has_the_total_stride() -> None:
    assert shapes(create_model("densenet121", 3), (1, 32, 33, 3), method="features")[1].shape == (1, 1, 1, 1024)
    assert shapes(create_model("densenet_bc_10_3", 3), (1, 4, 5, 3), method="features")[1].shape == (1, 1, 1, 6)


@pytest.mark.parametrize("train", [False, True])
def test_pool_replaces_the_poolings_of_stem_and_transitions(train: bool) -> None:
    notes: list[Any] = []
    model = large(pool=lambda **options: Noted(notes.append, tuple(options.items())))
    variables, _ = shapes(model, (2, 32, 16, 3))
    notes.clear()
    images = jax.ShapeDtypeStruct((2, 32, 16, 3), jnp.float32)
    jax.eval_shape(functools.partial(model.apply, train=train, mutable=["batch_stats"]), variables, images)
    tiles = {"window": (2, 2), "strides": (2, 2)}
    assert notes == [
        (tiles, not train, (2, 32, 16, 6)),
        ({"window": (3, 3), "strides": (2, 2), "padding": ((1, 1), (1, 1))}, not train, (2, 16, 8, 6)),
        (tiles, not train, (2, 8, 4, 6)),
        (tiles, not train, (2, 4, 2, 4)),
    ]


def test_conv_replaces_stem_and_last_convolution_of_every_layer() -> None:
    notes: list[Any] = []

    def conv(features: int, kernel_size: tuple[int, int], **options: Any) -> nn.Module:
        notes.append((features, kernel_size[0], options["strides"][0], options["padding"][0], options["use_bias"]))
        return nn.Conv(features, kernel_size, **options)

    variables = jax.eval_shape(large(conv=conv).init, KEY, jax.ShapeDtypeStruct(LARGE, jnp.float32))
    assert notes == [(6, 7, 2, (3, 3), False), *(5 * [(3, 3, 1, (1, 1), False)])]
    assert variables == shapes(large(), LARGE)[0]


@pytest.mark.parametrize("train", [False, True])
def test_half_precision_computes_and_logits_are_full(train: bool) -> None:
    model = large(dtype=jnp.dtype(jnp.bfloat16))
    options: Any = {"train": train, "mutable": ["batch_stats"]}
    assert shapes(model, LARGE, method="features", **options)[1][0].dtype == jnp.bfloat16
    assert shapes(model, LARGE, **options)[1][0].dtype == jnp.float32


def test_remat_keeps_gradients() -> None:
    images = jax.random.normal(jax.random.key(1), LARGE)
    variables = random_variables(large(1, 1), jnp.zeros(LARGE))

    def gradient(remat: bool) -> Any:
        def loss(params: Any) -> jax.Array:
            inputs = {**variables, "params": params}
            logits, _ = large(1, 1, remat=remat).apply(inputs, images, train=True, mutable=["batch_stats"])
            return jnp.sum(logits**2)

        return jax.jit(jax.grad(loss))(variables["params"])

    # A convolution before BN of a channel of its own has gradients near 0, sums of greater terms.
    kept, computed = gradient(False), gradient(True)
    jax.tree.map(functools.partial(np.testing.assert_allclose, rtol=1e-3, atol=1e-3), computed, kept)
    assert all((leaf != 0).any() and np.isfinite(leaf).all() for leaf in jax.tree.leaves(kept))


def test_convolutions_start_with_the_normal_law_of_the_fan_out() -> None:
    layer = DenseLayer(densenet_bc(LayerFactory(), depth=10, growth=24).factory, 24)
    kernel = np.asarray(layer.init(KEY, jnp.zeros((1, 1, 1, 4)), train=False)["params"]["conv2"]["kernel"])
    assert abs(kernel.std() / np.sqrt(2 / (9 * 24)) - 1) < 5 / np.sqrt(2 * kernel.size)


@pytest.mark.parametrize("depth", [4, 11, 99])
def test_depth_off_the_formula_is_refused(depth: int) -> None:
    with pytest.raises(ValueError, match=re.escape("takes a depth of 6n + 4") + rf".*; got {depth}\."):
        create_model(f"densenet_bc_{depth}_12", 10)


def test_regularizer_is_refused() -> None:
    with pytest.raises(ValueError, match="densenet121 has no residual branch for a regularizer to act on"):
        create_model("densenet121", 10, regularizer=nn.Dropout)
