"""ResNet: published sizes, a forward pass in NumPy, and the places of regularizers, poolings and convolutions."""

import re
import warnings
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from reference import (
    KEY,
    Absolute,
    Average,
    absolute,
    features_of,
    gradients,
    random_variables,
    reference_features,
)

from jaxaug.models import MaxPool, Network, create_model
from jaxaug.models.layer_factory import HE_NORMAL_OUT, LayerFactory
from jaxaug.models.residual_block import BlockSpec, ResidualBlock
from jaxaug.models.resnet import cifar_resnet
from jaxaug.models.trunk import ImageNetStem, LayeredTrunk, Relu, layer, residual_trunk

BLOCKS = {"basic": (1, 2, 1, 1), "bottleneck": (1, 1, 2, 1), "small": (1, 1, 1)}
IMAGES = {
    form: jax.random.normal(jax.random.key(1), (2, *sides, 3))
    for form, sides in {"basic": (37, 32), "bottleneck": (32, 35), "small": (9, 6)}.items()
}


def tiny_trunk(form: str, factory: LayerFactory, *, final_relu: bool = True) -> LayeredTrunk:
    if form == "small":
        return cifar_resnet(factory, depth=8, final_relu=final_relu)
    spec = BlockSpec(final_relu=final_relu)
    inner = (2, 3, 4, 5) if form == "bottleneck" else 4 * (None,)
    sizes = zip(BLOCKS[form], (4, 6, 8, 10), inner, strict=True)
    return residual_trunk(
        factory,
        stem=layer("stem", ImageNetStem, channels=4),
        stem_stride=4,
        block=ResidualBlock,
        stages=[count * [{"channels": c, "inner": i, "spec": spec}] for count, c, i in sizes],
        ending=None if final_relu else layer("final", Relu),
        kernel_init=HE_NORMAL_OUT,
    )


def tiny(form: str, *, final_relu: bool = True, **parts: Any) -> Network:
    return Network("tiny", 3, tiny_trunk(form, LayerFactory(**parts), final_relu=final_relu))


def size(model: nn.Module, side: int) -> int:
    params = jax.eval_shape(model.init, KEY, jnp.zeros((1, side, side, 3)))["params"]
    return sum(leaf.size for leaf in jax.tree.leaves(params))


@pytest.mark.parametrize(
    ("name", "published"),  # what torchvision lists, but for the first: (1, 1, 1, 1) in place of (2, 2, 2, 2)
    [
        ("resnet10", 11_689_512 - 73_984 - 295_424 - 1_180_672 - 4_720_640),
        ("resnet18", 11_689_512),
        ("resnet34", 21_797_672),
        ("resnet50", 25_557_032),
        ("resnet101", 44_549_160),
        ("resnet152", 60_192_808),
        ("wide_resnet50_2", 68_883_240),
    ],
)
def test_large_network_has_the_published_number_of_parameters(name: str, published: int) -> None:
    assert size(create_model(name, 1000), 32) == published


def test_ten_layers_are_those_of_work_on_long_tails() -> None:
    assert size(create_model("resnet10", 1000), 32) == 5_418_792


@pytest.mark.parametrize(
    ("depth", "with_projections"),  # listed for shortcuts by projection, 2,752 parameters that zero padding saves
    [(20, 272_474), (32, None), (44, None), (56, 855_770), (110, 1_730_714)],
)
def test_small_network_has_the_parameters_of_its_formula(depth: int, with_projections: int | None) -> None:
    n = (depth - 2) // 6
    inputs_and_outputs = 3 * 16 + 16 * 32 + 32 * 64 + 2 * n * 16**2 + (2 * n - 1) * (32**2 + 64**2)
    normalized_channels = 16 + 2 * n * (16 + 32 + 64)
    expected = 9 * inputs_and_outputs + 2 * normalized_channels + (64 + 1) * 10
    assert size(create_model(f"resnet{depth}", 10), 8) == expected
    projections = 16 * 32 + 32 * 64 + 2 * (32 + 64)
    assert with_projections in (None, expected + projections)


@pytest.mark.parametrize("final_relu", [True, False], ids=["relu", "erased"])
@pytest.mark.parametrize("pooling", [False, True], ids=["strided", "pooled"])
@pytest.mark.parametrize("form", list(BLOCKS))
def test_network_is_the_numpy_network(form: str, pooling: bool, final_relu: bool) -> None:
    model = tiny(form, final_relu=final_relu, regularizer=Absolute, pool=Average if pooling else None)
    images = IMAGES[form]
    variables = random_variables(model, images)
    features = reference_features(
        variables,
        images,
        BLOCKS[form],
        large=form != "small",
        final_relu=final_relu,
        pooling=pooling,
        regularized=absolute,
    )
    np.testing.assert_allclose(features_of(model, variables, images), features, rtol=1e-3, atol=1e-3)
    assert (features > 0).any()


def test_without_a_regularizer_the_branch_itself_is_added() -> None:
    model, images = tiny("small"), IMAGES["small"]
    variables = random_variables(model, images)
    features = reference_features(variables, images, BLOCKS["small"], large=False)
    np.testing.assert_allclose(features_of(model, variables, images), features, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("pool", [None, MaxPool], ids=["strided", "pooled"])
@pytest.mark.parametrize(
    ("name", "stride", "channels"), [("resnet10", 32, 512), ("resnet50", 32, 2048), ("resnet20", 4, 64)]
)
def test_smallest_image_has_the_total_stride(name: str, stride: int, channels: int, pool: Any) -> None:
    model = create_model(name, 3, pool=pool)
    variables = jax.eval_shape(model.init, KEY, jnp.zeros((1, stride, stride, 3)))
    for h, w in ((stride, stride), (stride, 3 * stride), (2 * stride + 1, stride + 3)):
        images = jax.ShapeDtypeStruct((2, h, w, 3), jnp.float32)
        features = jax.eval_shape(lambda v, x: model.apply(v, x, method="features"), variables, images)
        rounded = (h // stride, w // stride) if pool else (-(-h // stride), -(-w // stride))
        assert features.shape == (2, *rounded, channels)
    too_small = jnp.zeros((1, stride, stride - 1, 3))
    with pytest.raises(ValueError, match=re.escape(f"{name} takes images of at least {stride} x {stride} pixels")):
        model.init(KEY, too_small)


class NotedPool(nn.Module):
    notes: Any
    given: Any

    def __call__(self, x: jax.Array, *, deterministic: bool) -> jax.Array:
        self.notes((dict(self.given), x.shape, deterministic))
        pooled: Any = MaxPool(**dict(self.given), parent=None).apply({}, x)
        return pooled


@pytest.mark.parametrize("train", [False, True])
@pytest.mark.parametrize("name", ["resnet18", "resnet20"])
def test_places_of_a_pool(name: str, train: bool) -> None:
    notes: list[Any] = []
    model = create_model(name, 3, pool=lambda **given: NotedPool(notes.append, tuple(given.items())))
    images = jnp.zeros((2, 64, 32, 3))
    variables = jax.eval_shape(model.init, KEY, images)
    notes.clear()
    jax.eval_shape(lambda v: model.apply(v, images, train=train, mutable=["batch_stats"]), variables)
    halves = {"window": (2, 2), "strides": (2, 2)}
    overlap = {"window": (3, 3), "strides": (2, 2), "padding": ((1, 1), (1, 1))}
    expected = {
        "resnet18": [
            (halves, (2, 64, 32, 64)),
            (overlap, (2, 32, 16, 64)),
            (halves, (2, 16, 8, 128)),
            (halves, (2, 8, 4, 256)),
            (halves, (2, 4, 2, 512)),
        ],
        "resnet20": [(halves, (2, 64, 32, 32)), (halves, (2, 32, 16, 64))],
    }[name]
    assert notes == [(given, shape, not train) for given, shape in expected]


def noted_conv(notes: list[Any]) -> Any:
    def conv(features: int, kernel_size: tuple[int, int], **options: Any) -> nn.Module:
        notes.append((features, kernel_size[0], options["strides"][0], options["padding"][0][0]))
        assert options["use_bias"] is False
        assert "feature_group_count" not in options
        return nn.Conv(features, kernel_size, **options)

    return conv


def test_conv_replaces_every_spatial_convolution() -> None:
    for pool, stride in ((None, 2), (MaxPool, 1)):
        notes: list[Any] = []
        model = tiny("bottleneck", conv=noted_conv(notes), pool=pool)
        jax.eval_shape(model.init, KEY, IMAGES["bottleneck"])
        inner = [(2, 1), (3, stride), (4, stride), (4, 1), (5, stride)]
        assert notes == [(4, 7, stride, 3), *((channels, 3, strides, 1) for channels, strides in inner)]
    notes = []
    jax.eval_shape(tiny("small", conv=noted_conv(notes)).init, KEY, IMAGES["small"])
    convolutions = [(16, 1), (16, 1), (16, 1), (32, 2), (32, 1), (64, 2), (64, 1)]
    assert notes == [(channels, 3, stride, 1) for channels, stride in convolutions]


def test_shortcuts_have_parameters_only_where_they_project() -> None:
    params = jax.eval_shape(tiny("basic").init, KEY, IMAGES["basic"])["params"]["trunk"]
    assert set(params["stage1_block1"]) == {"branch1"}
    assert set(params["stage2_block1"]) == {"branch1", "shortcut"}
    assert set(params["stage2_block2"]) == {"branch1"}
    assert set(params["stage2_block1"]["branch1"]) == {"conv1", "bn1", "conv2", "bn2"}
    params = jax.eval_shape(tiny("small").init, KEY, IMAGES["small"])["params"]["trunk"]
    assert set(params["stage2_block1"]) == {"branch1"}


def test_erasing_the_relus_keeps_the_parameters() -> None:
    images = IMAGES["small"]
    variables = [jax.eval_shape(tiny("small", final_relu=relu).init, KEY, images) for relu in (True, False)]
    assert variables[0] == variables[1]


class Diverging(Absolute):
    suits_final_relu = False


def test_only_a_relu_after_the_addition_warns_of_a_regularizer() -> None:
    with pytest.warns(UserWarning, match="resnet20 has a ReLU after the addition"):
        create_model("resnet20", 3, regularizer=Diverging)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        create_model("resnet20", 3, regularizer=Diverging, final_relu=False)
        create_model("resnet20", 3, regularizer=Absolute)


def test_recomputing_layers_keeps_the_gradients_which_reach_every_parameter() -> None:
    images = IMAGES["small"]
    variables = random_variables(tiny("small", final_relu=False), images)
    kept, recomputed = (
        gradients(tiny("small", final_relu=False, remat=remat), variables, images) for remat in (False, True)
    )
    for path, gradient in jax.tree_util.tree_leaves_with_path(kept):
        assert np.isfinite(gradient).all(), path
        assert (gradient != 0).any(), path
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-4), kept, recomputed)


def test_half_precision_stays_close() -> None:
    model, half = (tiny("bottleneck", pool=MaxPool, dtype=dtype) for dtype in (jnp.float32, jnp.bfloat16))
    images = IMAGES["bottleneck"]
    variables = random_variables(model, images)
    features = features_of(half, variables, images)
    assert features.dtype == jnp.bfloat16
    expected = features_of(model, variables, images)
    error = np.linalg.norm(features.astype(jnp.float32) - expected) / np.linalg.norm(expected)
    assert 0 < error < 0.05


def test_convolutions_start_from_the_normal_law_of_the_outputs() -> None:
    params: Any = jax.jit(tiny("small").init)(KEY, IMAGES["small"])["params"]["trunk"]
    kernel = np.asarray(params["stage3_block1"]["branch1"]["conv1"]["kernel"])
    scaled = kernel / np.sqrt(2 / (3 * 3 * 64))  # 32 inputs, 64 outputs
    assert abs(scaled.std() - 1) < 5 / np.sqrt(2 * kernel.size)
    assert abs(np.mean(scaled**4) - 3) < 0.2  # that of a truncated normal law would be smaller
    assert (np.asarray(params["stage3_block1"]["branch1"]["bn2"]["scale"]) == 1).all()


@pytest.mark.parametrize("depth", [2, 9, 18, 50 + 1])
def test_depth_off_the_formula_is_refused(depth: int) -> None:
    with pytest.raises(ValueError, match=rf"takes a depth of 6n \+ 2 .*; got {depth}\."):
        cifar_resnet(LayerFactory(), depth=depth)
