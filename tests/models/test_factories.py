"""Layers handed to a network: what their factories are given, where they are called, and in which mode."""

import functools
from collections.abc import Callable
from typing import Any

import flax.errors
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from jaxaug.layers import DisentangledConv, GaussianPool, RotatedDense, linear_decay
from jaxaug.models import AveragePool, MaxPool, create_model
from jaxaug.models.layer_factory import HE_NORMAL, HE_NORMAL_OUT

KEY = jax.random.key(0)
IMAGES = jax.random.normal(jax.random.key(1), (2, 8, 8, 3))


@functools.cache
def variables_of(name: str) -> Any:
    return jax.jit(create_model(name, 3).init)(KEY, IMAGES)


def applied(model: nn.Module, variables: Any, inputs: jax.Array, **options: Any) -> Any:
    """Returns what the network returns, without the state that training updates."""
    return model.apply(variables, inputs, mutable=["batch_stats"], **options)[0]


def shape_of(model: nn.Module, **options: Any) -> Any:
    """Returns shape and dtype of what the network would return."""
    variables = jax.eval_shape(model.init, KEY, IMAGES)
    return jax.eval_shape(functools.partial(applied, model, **options), variables, IMAGES)


class Noted(nn.Module):
    """Applies a function, and notes every call: arguments of the factory, mode, and the array's shape and dtype."""

    function: Callable[[jax.Array], jax.Array]
    notes: Callable[[Any], None]
    given: Any

    def __call__(self, x: jax.Array, *, deterministic: bool) -> jax.Array:
        self.notes({**dict(self.given), "deterministic": deterministic, "shape": x.shape, "dtype": x.dtype})
        return self.function(x)


def noted(notes: list[Any], function: Callable[[jax.Array], jax.Array]) -> Callable[..., nn.Module]:
    return lambda *given, **named: Noted(function, notes.append, (*enumerate(given), *named.items()))


@pytest.mark.parametrize("train", [False, True])
def test_regularizer_gets_the_decaying_keep_probability(train: bool) -> None:
    notes: list[Any] = []
    model = create_model("wrn_16_1", 3, regularizer=noted(notes, lambda x: x), dtype=jnp.bfloat16)
    shape_of(model, train=train)
    notes = notes[6:]  # without those of the initialization
    shapes = [(2, 8, 8, 16)] * 2 + [(2, 4, 4, 32)] * 2 + [(2, 2, 2, 64)] * 2
    assert [note["shape"] for note in notes] == shapes
    np.testing.assert_array_equal([note["keep_prob"] for note in notes], linear_decay(6))
    assert {note["deterministic"] for note in notes} == {not train}
    assert {note["dtype"] for note in notes} == {jnp.dtype(jnp.bfloat16)}
    assert set(notes[0]) == {"keep_prob", "deterministic", "shape", "dtype"}


def test_keep_probability_is_a_python_number_under_jit() -> None:
    notes: list[Any] = []
    model = create_model("preact_resnet18", 3, regularizer=noted(notes, lambda x: x))
    jax.eval_shape(jax.jit(model.init), KEY, IMAGES)
    assert [type(note["keep_prob"]) for note in notes] == [float] * 8
    np.testing.assert_allclose([note["keep_prob"] for note in notes], 1 - np.arange(1, 9) / 16)


def test_regularizer_acts_on_the_branch_before_the_addition() -> None:
    """With every branch dropped, what is left of a network is its stem, shortcuts and last normalization."""
    model, variables = create_model("wrn_16_1", 3, regularizer=noted([], jnp.zeros_like)), variables_of("wrn_16_1")
    features = applied(model, variables, IMAGES, method="features")

    def normalized(x: Any) -> Any:
        return np.maximum(x / np.sqrt(1 + 1e-5), 0)  # fresh statistics: mean 0, variance 1

    trunk = variables["params"]["trunk"]
    x = nn.Conv(16, (3, 3), use_bias=False).apply({"params": trunk["stem"]["conv"]}, IMAGES)
    for stage in ("stage2_block1", "stage3_block1"):
        x = normalized(x)[:, ::2, ::2] @ np.asarray(trunk[stage]["shortcut"]["kernel"])[0, 0]
    np.testing.assert_allclose(features, normalized(x), rtol=1e-4, atol=1e-5)


class Jitter(nn.Module):
    """Multiplies a branch by a random number in training."""

    keep_prob: float

    @nn.compact
    def __call__(self, x: jax.Array, deterministic: bool) -> jax.Array:
        return x if deterministic else x * jax.random.uniform(self.make_rng("dropout"), (x.shape[0], 1, 1, 1))


def test_noise_of_a_regularizer_needs_a_key_in_training_alone() -> None:
    model, variables = create_model("wrn_10_1", 3, regularizer=Jitter), variables_of("wrn_10_1")

    def logits(seed: int) -> jax.Array:
        rngs = {"dropout": jax.random.key(seed)}
        return applied(model, variables, IMAGES, train=True, rngs=rngs)

    inferred: Any = model.apply(variables, IMAGES)
    assert inferred.shape == (2, 3)
    np.testing.assert_array_equal(logits(3), logits(3))
    assert (logits(3) != logits(4)).all()
    with pytest.raises(flax.errors.InvalidRngError):
        applied(model, variables, IMAGES, train=True)


def noted_conv(notes: list[Any]) -> Callable[..., nn.Module]:
    def conv(features: int, kernel_size: tuple[int, int], **options: Any) -> nn.Module:
        notes.append({"features": features, "kernel_size": kernel_size, **options})
        return nn.Conv(features, kernel_size, **options)

    return conv


def test_conv_replaces_every_spatial_convolution_of_a_residual_network() -> None:
    notes: list[Any] = []
    model, usual = create_model("wrn_16_1", 3, conv=noted_conv(notes)), create_model("wrn_16_1", 3)
    variables = variables_of("wrn_16_1")
    logits = applied(model, variables, IMAGES)
    np.testing.assert_array_equal(logits, applied(usual, variables, IMAGES))
    channels = [16, *4 * [16], *4 * [32], *4 * [64]]
    strides = [1, *(1, 1, 1, 1), *(2, 1, 1, 1), *(2, 1, 1, 1)]
    assert [note["features"] for note in notes] == channels
    assert [note["strides"] for note in notes] == [(stride, stride) for stride in strides]
    for note in notes:
        assert note["kernel_size"] == (3, 3)
        assert note["padding"] == ((1, 1), (1, 1))
        assert note["use_bias"] is False
        assert note["dtype"] == jnp.float32


def test_conv_of_another_kind_keeps_the_names() -> None:
    class Grouped(nn.Module):
        """Two parameters where the usual layer has one."""

        features: int
        kernel_size: tuple[int, int]
        strides: tuple[int, int]
        padding: Any
        use_bias: bool
        dtype: Any

        @nn.compact
        def __call__(self, x: jax.Array) -> jax.Array:
            sigma = self.param("sigma", nn.initializers.ones, ())
            conv = nn.Conv(self.features, self.kernel_size, self.strides, self.padding, use_bias=self.use_bias)
            return sigma * conv(x)

    params = jax.eval_shape(create_model("wrn_10_1", 3, conv=Grouped).init, KEY, IMAGES)["params"]["trunk"]
    assert set(params["stage2_block1"]) == {"bn1", "conv1", "bn2", "conv2", "shortcut"}
    assert set(params["stage2_block1"]["conv2"]) == {"sigma", "Conv_0"}
    assert set(params["stage2_block1"]["shortcut"]) == {"kernel"}
    assert "sigma" in params["stem"]["conv"]


@pytest.mark.parametrize("name", ["wrn_10_1", "resnet20"])
@pytest.mark.parametrize(
    "conv", [nn.Conv, DisentangledConv, functools.partial(DisentangledConv, radius=1), DisentangledConv(1, 1, radius=1)]
)
def test_kernels_of_another_conv_start_as_the_usual_ones(name: str, conv: Any) -> None:
    def stem(model: nn.Module) -> jax.Array:
        return jax.jit(lambda: model.init(KEY, IMAGES)["params"]["trunk"]["stem"]["conv"]["kernel"])()

    np.testing.assert_array_equal(stem(create_model(name, 3, conv=conv)), stem(create_model(name, 3)))


def test_kernels_start_as_the_caller_says() -> None:
    conv = functools.partial(DisentangledConv, kernel_init=nn.initializers.ones)
    params = jax.jit(create_model("wrn_10_1", 3, conv=conv).init)(KEY, IMAGES)["params"]
    assert (params["trunk"]["stem"]["conv"]["kernel"] == 1).all()


def test_kernels_start_as_in_he_et_al() -> None:
    shape = (3, 3, 40, 160)
    for init, fan in ((HE_NORMAL, 9 * 40), (HE_NORMAL_OUT, 9 * 160)):
        values = np.asarray(init(KEY, shape, jnp.float32)) * np.sqrt(fan / 2)
        assert values.shape == shape
        assert scipy.stats.kstest(values.ravel(), "norm").pvalue > 0.001
        assert init(KEY, (4, 2), jnp.bfloat16).dtype == jnp.bfloat16


@pytest.mark.parametrize("train", [False, True])
def test_pool_replaces_both_poolings_of_the_cnn(train: bool) -> None:
    notes: list[Any] = []
    corner = noted(notes, lambda x: x[:, ::2, ::2])
    model, usual = create_model("cnn", 3, pool=corner), create_model("cnn", 3)
    variables = variables_of("cnn")
    features = applied(model, variables, IMAGES, train=train, method="features")
    assert [note["shape"] for note in notes] == [(2, 8, 8, 32), (2, 4, 4, 64)]
    for note in notes:
        assert (note["window"], note["strides"]) == ((2, 2), (2, 2))
        assert note["deterministic"] is not train
    assert (features != applied(usual, variables, IMAGES, train=train, method="features")).any()


@pytest.mark.parametrize(
    ("window", "strides"), [((2, 2), (2, 2)), ((3, 2), (3, 2)), ((3, 3), (2, 2)), ((2, 2), (1, 2))]
)
def test_usual_pool_is_the_maximum_of_each_window(window: tuple[int, int], strides: tuple[int, int]) -> None:
    x = jax.random.normal(KEY, (2, 8, 11, 3))
    windows = np.lib.stride_tricks.sliding_window_view(np.asarray(x), window, axis=(1, 2))
    expected = windows[:, :: strides[0], :: strides[1]].max((-2, -1))
    np.testing.assert_array_equal(MaxPool(window=window, strides=strides).apply({}, x), expected)


@pytest.mark.parametrize(
    ("window", "strides", "padding"),
    [
        ((2, 2), (2, 2), ((0, 0), (0, 0))),
        ((3, 3), (2, 2), ((1, 1), (1, 1))),
        ((3, 2), (1, 2), ((0, 0), (1, 0))),
        ((2, 2), (2, 2), ((1, 1), (0, 0))),
    ],
)
def test_average_pool_is_the_mean_of_what_lies_inside(window: Any, strides: Any, padding: Any) -> None:
    x = jax.random.normal(KEY, (2, 8, 11, 3))
    wide = np.pad(np.asarray(x), ((0, 0), *padding, (0, 0)), constant_values=np.nan)
    windows = np.lib.stride_tricks.sliding_window_view(wide, window, axis=(1, 2))
    expected = np.nanmean(windows[:, :: strides[0], :: strides[1]], (-2, -1))
    pool = AveragePool(window=window, strides=strides, padding=padding)
    np.testing.assert_allclose(applied(pool, {}, x), expected, atol=1e-6)
    half = applied(pool, {}, x.astype(jnp.bfloat16))
    np.testing.assert_allclose(np.asarray(half, np.float32), expected, atol=2e-2)


def test_gradient_of_the_usual_pool_goes_to_one_maximum() -> None:
    x = jnp.array([[3.0, 1.0, 5.0], [3.0, 2.0, 5.0]]).reshape(1, 2, 3, 1)
    pool = MaxPool(window=(2, 2), strides=(2, 2))
    gradient = jax.grad(lambda x: jnp.sum(applied(pool, {}, x)))(x)
    np.testing.assert_array_equal(gradient[0, :, :, 0], [[1.0, 0.0, 0.0], [0.0, 0.0, 0.0]])


def test_no_gradient_of_the_usual_pool_is_lost_where_its_input_is_computed_again() -> None:
    """What enters is rounded in one way for the maxima and may be in another for the backward pass."""
    x = jax.random.normal(KEY, (4, 8, 8, 3))
    pool = MaxPool(window=(2, 2), strides=(2, 2))
    norm = nn.BatchNorm(use_running_average=False)
    variables = norm.init(KEY, x)
    variables["params"]["scale"] = jnp.array([0.3, 1.7, 2.9])

    @jax.jit
    @jax.grad
    def gradient(shift: jax.Array) -> jax.Array:
        normal = norm.apply(variables, x, mutable=["batch_stats"])[0]
        return jnp.sum(applied(pool, {}, nn.relu(normal + shift)))

    shift = jnp.full(x.shape, 9.0)
    assert gradient(shift).sum() == 4 * 4 * 4 * 3


def test_usual_pool_passes_on_what_is_not_a_number() -> None:
    x = jnp.zeros((4, 2, 2, 1)).at[jnp.arange(4), jnp.array([0, 0, 1, 1]), jnp.array([0, 1, 0, 1]), 0].set(jnp.nan)
    assert np.isnan(applied(MaxPool(window=(2, 2), strides=(2, 2)), {}, x)).all()


@pytest.mark.parametrize("train", [False, True])
@pytest.mark.parametrize(("name", "width"), [("mlp", 100), ("cnn", 64), ("wrn_10_1", 64)])
def test_head_gets_pooled_features_and_the_mode(name: str, width: int, train: bool) -> None:
    notes: list[Any] = []
    head = noted(notes, lambda x: x[:, :3].astype(jnp.bfloat16))
    logits = shape_of(create_model(name, 3, head=head, dtype=jnp.bfloat16), train=train)
    assert notes[-1] == {0: 3, "deterministic": not train, "shape": (2, width), "dtype": jnp.float32}
    assert (logits.shape, logits.dtype) == ((2, 3), jnp.float32)


@pytest.mark.parametrize("train", [False, True])
def test_head_method_passes_the_mode_to_the_head(train: bool) -> None:
    notes: list[Any] = []
    model = create_model("cnn", 3, head=noted(notes, lambda x: x[:, :3]))
    features = jax.random.normal(KEY, (2, 2, 2, 64))
    logits = applied(model, {}, features, train=train, method="head")
    np.testing.assert_allclose(logits, np.asarray(features).mean((1, 2))[:, :3], rtol=1e-5, atol=1e-6)
    assert [note["deterministic"] for note in notes] == [not train]


def test_a_pattern_is_copied_with_what_its_place_decides() -> None:
    model, made = (
        create_model(
            "resnet20",
            3,
            pool=GaussianPool(prior="half", parameters="fixed"),
            conv=DisentangledConv(1, 1, radius=1, sigma=0.8),
            head=RotatedDense(1, degrees=30.0),
        ),
        create_model(
            "resnet20",
            3,
            pool=functools.partial(GaussianPool, prior="half", parameters="fixed"),
            conv=functools.partial(DisentangledConv, radius=1, sigma=0.8),
            head=functools.partial(RotatedDense, degrees=30.0),
        ),
    )
    variables = jax.jit(model.init)(KEY, IMAGES)
    copied, expected = (
        jax.jit(functools.partial(applied, each, train=True))(variables, IMAGES, rngs={"dropout": KEY})
        for each in (model, made)
    )
    np.testing.assert_array_equal(copied, expected)
    assert np.isfinite(expected).all()
