"""What holds for every network: shapes, dtypes, the split into features and head, training and inference."""

import functools
import re
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxaug.models import create_model

KEY = jax.random.key(0)
SMALL = ("mlp", "cnn", "wrn_10_1")
STRIDES = {"cnn": 4, "wrn_10_1": 4, "preact_resnet18": 8}


IMAGES = jax.random.normal(jax.random.key(1), (4, 8, 8, 3))


@functools.cache
def variables_of(name: str, dtype: Any = jnp.float32) -> Any:
    return jax.jit(create_model(name, 5, dtype=dtype).init)(KEY, IMAGES)


def perturbed(variables: Any) -> Any:
    """Returns variables of which none is 0 or 1, so that no layer is an identity by chance."""
    rng = np.random.default_rng(2)
    return jax.tree.map(lambda leaf: leaf + rng.uniform(-0.05, 0.05, leaf.shape).astype(np.float32), variables)


def applied(model: nn.Module, variables: Any, inputs: jax.Array, **options: Any) -> Any:
    """Returns what the network returns, without the state that training updates."""
    return model.apply(variables, inputs, mutable=["batch_stats"], **options)[0]


@pytest.mark.parametrize("train", [False, True])
@pytest.mark.parametrize("name", SMALL)
def test_head_of_features_is_the_network(name: str, train: bool) -> None:
    model, variables = create_model(name, 5), perturbed(variables_of(name))
    logits = applied(model, variables, IMAGES, train=train)
    features = applied(model, variables, IMAGES, train=train, method="features")
    assert logits.shape == (4, 5)
    np.testing.assert_array_equal(applied(model, variables, features, train=train, method="head"), logits)


@pytest.mark.parametrize("name", SMALL)
def test_head_is_the_mean_then_a_dense_layer(name: str) -> None:
    model, variables = create_model(name, 5), perturbed(variables_of(name))
    features = applied(model, variables, IMAGES, method="features")
    assert features.min() == 0  # the last ReLU belongs to the features
    pooled = np.asarray(features) if name == "mlp" else np.asarray(features).mean((1, 2))
    dense = variables["params"]["classifier"]
    expected = pooled @ np.asarray(dense["kernel"]) + np.asarray(dense["bias"])
    np.testing.assert_allclose(applied(model, variables, features, method="head"), expected, rtol=1e-4, atol=1e-5)


@settings(deadline=None, max_examples=10)
@given(st.sampled_from(sorted(STRIDES)), st.integers(1, 5), st.integers(8, 40), st.integers(8, 40), st.integers(1, 4))
def test_features_are_the_images_over_the_total_stride(name: str, b: int, h: int, w: int, c: int) -> None:
    def reduced(size: int) -> int:
        # Padded convolutions round up at every stride of 2, and poolings round down.
        return size // 4 if name == "cnn" else -(-size // STRIDES[name])

    model, images = create_model(name, 3), jax.ShapeDtypeStruct((b, h, w, c), jnp.float32)
    variables = jax.eval_shape(model.init, KEY, images)
    features = jax.eval_shape(lambda v, x: model.apply(v, x, method="features"), variables, images)
    assert features.shape[:3] == (b, reduced(h), reduced(w))
    assert features.shape[3] == {"cnn": 64, "wrn_10_1": 64, "preact_resnet18": 512}[name]
    assert jax.eval_shape(model.apply, variables, images).shape == (b, 3)


def test_smallest_image_has_the_total_stride() -> None:
    for name, stride in STRIDES.items():
        model = create_model(name, 3)
        smallest = jax.ShapeDtypeStruct((1, stride, stride + 1, 3), jnp.float32)
        variables = jax.eval_shape(model.init, KEY, smallest)
        assert jax.eval_shape(model.apply, variables, smallest).shape == (1, 3)


def test_mlp_takes_vectors_and_flattens_images() -> None:
    model, variables = create_model("mlp", 5), variables_of("mlp")
    vectors = applied(model, variables, IMAGES.reshape(4, -1))
    np.testing.assert_array_equal(applied(model, variables, IMAGES), vectors)
    assert applied(model, variables, IMAGES, method="features").shape == (4, 100)


def test_mlp_without_hidden_layers_is_logistic_regression() -> None:
    model, vectors = create_model("mlp", 5, hidden=()), IMAGES.reshape(4, -1)
    variables: Any = model.init(KEY, vectors)
    assert (variables["params"]["classifier"]["bias"] == 0).all()
    expected = np.asarray(vectors) @ np.asarray(variables["params"]["classifier"]["kernel"])
    np.testing.assert_allclose(applied(model, variables, vectors), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("train", [False, True])
@pytest.mark.parametrize("name", ["cnn", "wrn_10_1"])
def test_single_odd_image_gives_finite_logits(name: str, train: bool) -> None:
    logits = applied(create_model(name, 5), variables_of(name), IMAGES[:1, :5, :7], train=train)
    assert logits.shape == (1, 5)
    assert np.isfinite(logits).all()


@pytest.mark.parametrize("name", ["cnn", "wrn_10_1"])
def test_inference_treats_each_example_alone(name: str) -> None:
    model, variables = create_model(name, 5), perturbed(variables_of(name))
    together = applied(model, variables, IMAGES)
    alone = [applied(model, variables, IMAGES[i : i + 1])[0] for i in range(4)]
    np.testing.assert_allclose(together, alone, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", ["cnn", "wrn_10_1"])
def test_only_training_updates_batch_statistics(name: str) -> None:
    model, variables = create_model(name, 5), variables_of(name)
    _, kept = model.apply(variables, IMAGES, mutable=["batch_stats"])
    jax.tree.map(np.testing.assert_array_equal, kept["batch_stats"], variables["batch_stats"])
    _, updated = model.apply(variables, IMAGES, train=True, mutable=["batch_stats"])
    assert jax.tree.structure(updated["batch_stats"]) == jax.tree.structure(variables["batch_stats"])
    for before, after in zip(*map(jax.tree.leaves, (variables["batch_stats"], updated["batch_stats"])), strict=True):
        assert (before != after).all()


def test_running_statistics_move_a_tenth_of_the_way_to_the_batch() -> None:
    options: Any = {"capture_intermediates": lambda module, _: module.name == "conv1"}
    mutable = ["batch_stats", "intermediates"]
    state: Any = create_model("cnn", 5).apply(variables_of("cnn"), IMAGES, train=True, mutable=mutable, **options)[1]
    normalized = np.asarray(state["intermediates"]["trunk"]["conv1"]["__call__"][0], np.float64)
    running = state["batch_stats"]["trunk"]["bn1"]
    np.testing.assert_allclose(running["mean"], 0.1 * normalized.mean((0, 1, 2)), rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(running["var"], 0.9 + 0.1 * normalized.var((0, 1, 2)), rtol=1e-4)


@pytest.mark.parametrize("name", SMALL)
def test_gradient_reaches_every_parameter(name: str) -> None:
    model, variables = create_model(name, 5), variables_of(name)

    def loss(params: Any) -> jax.Array:
        logits = applied(model, {**variables, "params": params}, IMAGES, train=True)
        return -jax.nn.log_softmax(logits)[:, 0].mean()

    for path, gradient in jax.tree_util.tree_leaves_with_path(jax.jit(jax.grad(loss))(variables["params"])):
        assert np.isfinite(gradient).all(), path
        assert (gradient != 0).any(), path


@pytest.mark.parametrize(("name", "train"), [("mlp", True), ("cnn", False), ("wrn_10_1", True)])
def test_half_precision_computes_but_does_not_store(name: str, train: bool) -> None:
    half, variables = create_model(name, 5, dtype=jnp.bfloat16), variables_of(name, jnp.bfloat16)
    assert {leaf.dtype for leaf in jax.tree.leaves(variables)} == {jnp.dtype(jnp.float32)}
    jax.tree.map(np.testing.assert_array_equal, variables, variables_of(name))

    assert applied(half, variables, IMAGES, train=train, method="features").dtype == jnp.bfloat16
    logits, state = half.apply(variables, IMAGES, train=train, mutable=["batch_stats"])
    assert logits.dtype == jnp.float32
    assert all(leaf.dtype == jnp.float32 for leaf in jax.tree.leaves(state))
    expected = applied(create_model(name, 5), variables, IMAGES, train=train)
    # bfloat16 keeps 8 bits: rounding of 2^-9 in each of some ten layers.
    error = np.linalg.norm(logits - expected) / np.linalg.norm(expected)
    assert 0 < error < 0.05


@pytest.mark.parametrize("name", SMALL)
def test_half_precision_images_are_taken_at_full_precision(name: str) -> None:
    model, variables, images = create_model(name, 5), variables_of(name), IMAGES.astype(jnp.bfloat16)
    full = applied(model, variables, images.astype(jnp.float32))
    np.testing.assert_array_equal(applied(model, variables, images), full)


@pytest.mark.parametrize("name", SMALL)
def test_compiled_and_eager_networks_agree(name: str) -> None:
    model, variables = create_model(name, 5), variables_of(name)
    compiled: Any = jax.jit(model.apply)(variables, IMAGES)
    np.testing.assert_allclose(compiled, applied(model, variables, IMAGES), rtol=1e-4, atol=1e-5)


def test_population_of_networks_is_a_vmap() -> None:
    model, images = create_model("mlp", 5), IMAGES
    population: Any = jax.vmap(lambda key: model.init(key, images))(jax.random.split(KEY, 3))
    logits: Any = jax.vmap(model.apply, in_axes=(0, None))(population, images)
    alone = [applied(model, jax.tree.map(lambda leaf, i=i: leaf[i], population), images) for i in range(3)]
    assert (logits[0] != logits[1]).all()
    np.testing.assert_allclose(logits, alone, rtol=1e-5, atol=1e-6)


def test_convolutions_start_with_the_normal_law_of_he() -> None:
    kernel = np.asarray(variables_of("wrn_10_1")["params"]["trunk"]["stage3_block1"]["conv2"]["kernel"])
    scaled = kernel / np.sqrt(2 / (3 * 3 * 64))
    assert abs(scaled.mean()) < 5 / np.sqrt(kernel.size)
    assert abs(scaled.std() - 1) < 5 / np.sqrt(2 * kernel.size)
    assert abs(np.mean(scaled**4) - 3) < 0.1  # that of a truncated normal law would be smaller


@pytest.mark.parametrize("run", [lambda f: f, jax.jit], ids=["eager", "jit"])
@pytest.mark.parametrize(
    ("name", "shape", "message"),
    [
        ("wrn_10_1", (4, 8), "wrn_10_1 takes images [B, H, W, C]; got float32[4, 8]."),
        ("cnn", (8, 8, 1), "cnn takes images [B, H, W, C]; got float32[8, 8, 1]."),
        ("cnn", (0, 8, 8, 1), "cnn takes images [B, H, W, C] with no empty axis; got float32[0, 8, 8, 1]."),
        ("cnn", (2, 3, 8, 1), "cnn takes images of at least 4 x 4 pixels, its total stride; got float32[2, 3, 8, 1]."),
        ("wrn_10_1", (2, 8, 3, 1), "wrn_10_1 takes images of at least 4 x 4 pixels"),
        ("preact_resnet18", (2, 8, 7, 1), "preact_resnet18 takes images of at least 8 x 8 pixels"),
        ("mlp", (7,), "mlp takes a batch of inputs [B, ...]; got float32[7]."),
    ],
)
def test_wrong_shape_is_refused(run: Any, name: str, shape: tuple[int, ...], message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        run(create_model(name, 3).init)(KEY, jnp.zeros(shape))


@pytest.mark.parametrize("name", SMALL)
def test_integer_images_are_refused(name: str) -> None:
    with pytest.raises(TypeError, match=rf"{name} takes .* of a floating-point dtype; got uint8\[2, 8, 8, 1\]"):
        create_model(name, 3).init(KEY, jnp.zeros((2, 8, 8, 1), jnp.uint8))


@pytest.mark.parametrize(("name", "shape"), [("wrn_10_1", (2, 64)), ("mlp", (2, 1, 1, 100))])
def test_head_refuses_features_of_another_rank(name: str, shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=f"the head of {name} takes features"):
        create_model(name, 3).init(KEY, jnp.zeros(shape), method="head")
