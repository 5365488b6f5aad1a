"""Pre-activation networks against a forward pass written in NumPy from the papers, and their dropout."""

from typing import Any

import flax.errors
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from reference import convolved, normalized, random_variables, relu

from jaxaug.models import create_model
from jaxaug.models.layer_factory import LayerFactory
from jaxaug.models.preact_blocks import PreActBlock
from jaxaug.models.trunk import ConvStem, NormRelu, layer, residual_trunk


def applied(model: nn.Module, variables: Any, images: jax.Array, **options: Any) -> Any:
    return model.apply(variables, images, **options)


def activated(x: np.ndarray, params: Any, stats: Any) -> np.ndarray:
    return relu(normalized(x, params, stats))


def reference_features(variables: Any, images: np.ndarray, strides: dict[str, int]) -> np.ndarray:
    """Returns stem, blocks and last activation, in float64; `strides` maps the blocks, in order, to their strides."""
    tree = jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), variables)
    params, stats = tree["params"]["trunk"], tree["batch_stats"]["trunk"]
    x = convolved(images.astype(np.float64), params["stem"]["conv"]["kernel"], 1)
    for name, stride in strides.items():
        block, running = params[name], stats[name]
        first = activated(x, block["bn1"], running["bn1"])
        second = activated(convolved(first, block["conv1"]["kernel"], stride), block["bn2"], running["bn2"])
        residual = convolved(second, block["conv2"]["kernel"], 1)
        x = residual + (convolved(first, block["shortcut"]["kernel"], stride) if "shortcut" in block else x)
    return activated(x, params["final"]["bn"], stats["final"]["bn"])


@pytest.mark.parametrize("shape", [(2, 8, 8, 3), (1, 9, 6, 1)])
def test_wide_network_is_the_numpy_network(shape: tuple[int, ...]) -> None:
    strides = {"stage1_block1": 1, "stage1_block2": 1, "stage2_block1": 2, "stage2_block2": 1}
    strides |= {"stage3_block1": 2, "stage3_block2": 1}
    model, images = create_model("wrn_16_1", 5), jax.random.normal(jax.random.key(1), shape)
    variables = random_variables(model, images)
    features = reference_features(variables, np.asarray(images), strides)
    np.testing.assert_allclose(applied(model, variables, images, method="features"), features, rtol=1e-3, atol=1e-3)
    dense = variables["params"]["classifier"]
    logits = features.mean((1, 2)) @ np.asarray(dense["kernel"]) + np.asarray(dense["bias"])
    np.testing.assert_allclose(applied(model, variables, images), logits, rtol=1e-3, atol=1e-3)


def test_preact_network_of_four_stages_is_the_numpy_network() -> None:
    narrow = residual_trunk(
        LayerFactory(),
        stem=layer("stem", ConvStem, channels=4),
        block=PreActBlock,
        stages=[count * [{"channels": channels}] for count, channels in ((1, 4), (2, 6), (1, 8), (1, 10))],
        ending=layer("final", NormRelu),
    )

    class Narrow(nn.Module):
        @nn.compact
        def __call__(self, images: jax.Array) -> jax.Array:
            return narrow.clone(parent=self, name="trunk")(images, train=False)

    strides = {"stage1_block1": 1, "stage2_block1": 2, "stage2_block2": 1, "stage3_block1": 2, "stage4_block1": 2}
    model, images = Narrow(), jax.random.normal(jax.random.key(1), (2, 16, 11, 3))
    variables = random_variables(model, images)
    features = reference_features(variables, np.asarray(images), strides)
    assert features.shape == (2, 2, 2, 10)
    np.testing.assert_allclose(applied(model, variables, images), features, rtol=1e-3, atol=1e-3)


def test_training_normalizes_by_the_batch() -> None:
    """A batch's own statistics, put in the place of the running ones, make inference what training was."""
    model, images = create_model("wrn_10_1", 5), jax.random.normal(jax.random.key(1), (6, 8, 8, 3))
    variables = random_variables(model, images)
    trained, updated = model.apply(variables, images, train=True, mutable=["batch_stats"])
    # new = 0.9 old + 0.1 batch
    batch = jax.tree.map(lambda new, old: 10 * new - 9 * old, updated["batch_stats"], variables["batch_stats"])
    inferred = applied(model, {**variables, "batch_stats": batch}, images)
    np.testing.assert_allclose(trained, inferred, rtol=1e-3, atol=1e-3)


def dropout_inputs_and_outputs(rate: float) -> tuple[np.ndarray, np.ndarray]:
    model, images = create_model("wrn_10_1", 3, dropout=rate), jax.random.normal(jax.random.key(1), (8, 16, 16, 3))
    options: Any = {"capture_intermediates": lambda module, _: module.name in ("bn2", "dropout")}
    _, state = model.apply(
        random_variables(model, images),
        images,
        train=True,
        rngs={"dropout": jax.random.key(2)},
        mutable=["batch_stats", "intermediates"],
        **options,
    )
    captured = state["intermediates"]["trunk"]["stage2_block1"]
    normal, dropped = (np.asarray(captured[name]["__call__"][0]) for name in ("bn2", "dropout"))
    return np.maximum(normal, 0), dropped


@pytest.mark.parametrize("rate", [0.1, 0.3, 0.7])
def test_dropout_follows_the_second_activation_at_its_rate(rate: float) -> None:
    activation, dropped = dropout_inputs_and_outputs(rate)
    positive = activation > 0
    kept = positive & (dropped != 0)
    np.testing.assert_allclose(dropped[kept], activation[kept] / (1 - rate), rtol=1e-4)
    trials = positive.sum()
    assert abs(1 - kept.sum() / trials - rate) < 5 * np.sqrt(rate * (1 - rate) / trials)
    of_example = kept.sum((1, 2, 3)) / positive.sum((1, 2, 3))
    assert len(np.unique(of_example)) > 1  # examples do not share a mask


def test_dropout_is_silent_in_inference() -> None:
    images = jax.random.normal(jax.random.key(1), (2, 8, 8, 3))
    plain, dropping = create_model("wrn_10_1", 3), create_model("wrn_10_1", 3, dropout=0.5)
    variables = random_variables(plain, images)
    np.testing.assert_array_equal(applied(dropping, variables, images), applied(plain, variables, images))


def test_dropout_needs_a_key_in_training() -> None:
    images = jnp.ones((2, 8, 8, 3))
    model = create_model("wrn_10_1", 3, dropout=0.5)
    variables = random_variables(model, images)
    with pytest.raises(flax.errors.InvalidRngError):
        model.apply(variables, images, train=True, mutable=["batch_stats"])
