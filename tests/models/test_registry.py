"""Names, sizes and options of networks, and what is refused."""

import re
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import pytest
from laws.interface import annotations_unchecked

from jaxaug.models import create_model
from jaxaug.models.families import FAMILIES

KEY = jax.random.key(0)
IMAGES = jnp.zeros((1, 8, 8, 3))


def parameters(name: str, num_classes: int = 10, images: jax.Array = IMAGES, **options: Any) -> dict[str, Any]:
    return jax.eval_shape(create_model(name, num_classes, **options).init, KEY, images)["params"]


def count(name: str, num_classes: int = 10, images: jax.Array = IMAGES, **options: Any) -> int:
    return sum(leaf.size for leaf in jax.tree.leaves(parameters(name, num_classes, images, **options)))


def test_deeper_preact_resnet_adds_basic_blocks() -> None:
    def block(channels: int) -> int:
        return 2 * 9 * channels**2 + 4 * channels

    added = 1 * block(64) + 2 * block(128) + 4 * block(256) + 1 * block(512)
    assert count("preact_resnet34") == count("preact_resnet18") + added


def test_hidden_and_width_set_the_size() -> None:
    assert count("mlp", images=jnp.zeros((1, 5)), hidden=(7, 3)) == (5 + 1) * 7 + (7 + 1) * 3 + (3 + 1) * 10
    assert count("mlp", images=jnp.zeros((1, 5)), hidden=()) == (5 + 1) * 10
    convolutions = 9 * (1 * 6 + 6 * 6 + 6 * 12 + 12 * 12)
    assert count("cnn", images=jnp.zeros((1, 8, 8, 1)), width=6) == convolutions + 2 * 36 + (12 + 1) * 10


def test_classes_add_a_row_of_weights_and_a_bias() -> None:
    assert count("wrn_10_1", 11) == count("wrn_10_1", 10) + 64 + 1


def test_parameters_have_readable_names() -> None:
    trunk = parameters("wrn_16_1")["trunk"]
    blocks = [f"stage{stage}_block{block}" for stage in (1, 2, 3) for block in (1, 2)]
    assert set(trunk) == {"stem", "final", *blocks}
    assert set(trunk["stage1_block1"]) == {"bn1", "conv1", "bn2", "conv2"}
    assert set(trunk["stage2_block1"]) == {"bn1", "conv1", "bn2", "conv2", "shortcut"}
    assert set(trunk["stage2_block2"]) == {"bn1", "conv1", "bn2", "conv2"}
    assert set(parameters("cnn")["trunk"]) == {f"{layer}{i}" for layer in ("conv", "bn") for i in (1, 2, 3, 4)}
    assert set(parameters("mlp")["trunk"]) == {"dense1", "dense2"}
    assert set(parameters("mlp")) == {"trunk", "classifier"}


def test_equal_calls_make_equal_modules() -> None:
    assert create_model("wrn_10_1", 10) == create_model("wrn_10_1", 10)
    assert hash(create_model("wrn_10_1", 10)) == hash(create_model("wrn_10_1", 10))
    assert create_model("wrn_10_1", 10) != create_model("wrn_10_1", 10, dtype=jnp.bfloat16)
    assert create_model("wrn_10_1", 10) != create_model("wrn_10_1", 10, dropout=0.1)


@pytest.mark.parametrize("name", ["cnn", "mlp", "wrn_10_1", "resnet20", "vgg16_mod"])
def test_network_is_whole_inside_another_module(name: str) -> None:
    class Outer(nn.Module):
        @nn.compact
        def __call__(self, images: jax.Array) -> jax.Array:
            return create_model(name, 10)(images)

    images = jnp.zeros((1, 16, 16, 3))
    inner = parameters(name, images=images)
    assert jax.eval_shape(Outer().init, KEY, images)["params"] == {"Network_0": inner}


def test_question_mark_lists_all_models() -> None:
    with pytest.raises(ValueError, match=r"^known models: cnn, densenet121, .*, wrn_<depth>_<width>\.$") as error:
        create_model("?", 10)
    assert all(name in str(error.value) for name in FAMILIES)


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("wrn28_10", "did you mean 'wrn_28_10'?"),
        ("preact_resnet_18", "did you mean 'preact_resnet18'?"),
        ("cn", "did you mean 'cnn'?"),
        ("wrn_28_10x", "did you mean 'wrn_28_10'?"),
        ("wrn_28_0", "did you mean 'wrn_28_10'?"),
        ("resnet111", "did you mean 'resnet110'?"),
        ("densenet_121", "did you mean 'densenet121'?"),
        ("zzz", "known: cnn, densenet121, "),
    ],
)
def test_unknown_name_gets_a_hint(name: str, hint: str) -> None:
    with pytest.raises(ValueError, match=re.escape(f"unknown model {name!r}; {hint}")):
        create_model(name, 10)


@pytest.mark.parametrize("depth", [4, 18, 27])
def test_depth_off_the_formula_is_refused(depth: int) -> None:
    with pytest.raises(ValueError, match=rf"takes a depth of 6n \+ 4 .*; got {depth}\."):
        create_model(f"wrn_{depth}_2", 10)


@pytest.mark.parametrize("num_classes", [1, 0, -3])
def test_fewer_than_two_classes_are_refused(num_classes: int) -> None:
    with pytest.raises(ValueError, match=f"create_model takes num_classes of at least 2; got {num_classes}"):
        create_model("cnn", num_classes)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("wrn_16_1", {"droput": 0.3}, "wrn_16_1 has no option 'droput'; its options are dropout."),
        ("wrn_16_1", {"depth": 22}, "wrn_16_1 has no option 'depth'; its options are dropout."),
        ("preact_resnet18", {"blocks": (1, 1, 1, 1)}, "preact_resnet18 has no option 'blocks'; it has none."),
        ("cnn", {"hidden": (3,)}, "cnn has no option 'hidden'; its options are width."),
        ("mlp", {"width": 3}, "mlp has no option 'width'; its options are hidden."),
    ],
)
def test_unknown_option_names_those_accepted(name: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(TypeError, match=re.escape(message)):
        create_model(name, 10, **options)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("wrn_16_1", {"dropout": 1.5}, "takes dropout in [0, 1]; got 1.5."),
        ("wrn_16_1", {"dropout": -0.1}, "takes dropout in [0, 1]; got -0.1."),
        ("cnn", {"width": 0}, "cnn takes width of at least 1; got 0."),
        ("mlp", {"hidden": (5, 0)}, "mlp takes the widths in hidden of at least 1; got 0."),
    ],
)
def test_option_out_of_range_is_refused(name: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        create_model(name, 10, **options)


def unused(*_: Any, **__: Any) -> nn.Module:
    raise AssertionError("a refused factory was called")


@pytest.mark.parametrize(
    ("name", "part", "message"),
    [
        ("cnn", "regularizer", "cnn has no residual branch for a regularizer to act on; leave out regularizer."),
        ("mlp", "regularizer", "mlp has no residual branch for a regularizer to act on; leave out regularizer."),
        ("mlp", "pool", "mlp has no max pooling for a pool to replace; leave out pool."),
        ("wrn_16_1", "pool", "wrn_16_1 has no max pooling for a pool to replace; leave out pool."),
        ("preact_resnet18", "pool", "preact_resnet18 has no max pooling for a pool to replace; leave out pool."),
        ("mlp", "conv", "mlp has no spatial convolution for a conv to replace; leave out conv."),
    ],
)
def test_factory_without_a_place_is_refused(name: str, part: str, message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        create_model(name, 10, **{part: unused})  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize("part", ["regularizer", "pool", "conv", "head"])
def test_what_is_neither_factory_nor_pattern_is_refused(part: str) -> None:
    with (
        annotations_unchecked(),
        pytest.raises(TypeError, match=f"or a function that makes one for {part}; got int"),
    ):
        create_model("wrn_16_1", 10, **{part: 3})  # pyright: ignore[reportArgumentType]
    with pytest.raises(TypeError, match=rf"or a module with .*, for {part}; got Dropout without"):
        create_model("wrn_16_1", 10, **{part: nn.Dropout(0.5)})  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize("dtype", [jnp.int32, jnp.uint8, jnp.complex64])
def test_dtype_that_is_not_floating_is_refused(dtype: Any) -> None:
    with pytest.raises(TypeError, match="create_model takes a floating-point dtype"):
        create_model("cnn", 10, dtype=dtype)
