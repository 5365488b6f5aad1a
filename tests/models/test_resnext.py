"""ResNeXt: published sizes, a forward pass in NumPy, and blocks of two residual branches."""

import re
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from laws.interface import annotations_unchecked
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
from jaxaug.models.layer_factory import LayerFactory
from jaxaug.models.resnext import resnext

BLOCKS = (1, 2, 1)
IMAGES = jax.random.normal(jax.random.key(1), (2, 7, 6, 3))


def tiny(parts: LayerFactory | None = None, *, blocks: Any = BLOCKS, small: bool = True, **options: Any) -> Network:
    trunk = resnext(parts or LayerFactory(), blocks=blocks, cardinality=3, width=2, small=small, **options)
    return Network("tiny", 3, trunk)


def size(model: nn.Module, side: int) -> int:
    params = jax.eval_shape(model.init, KEY, jnp.zeros((1, side, side, 3)))["params"]
    return sum(leaf.size for leaf in jax.tree.leaves(params))


def formula(
    blocks: tuple[int, ...], cardinality: int, width: int, stem: int, classes: int = 10, branches: int = 1
) -> int:
    """Returns the number of parameters: convolutions, two of each normalized channel, and the head."""
    total, inputs = 3 * stem**2 * 64 + 2 * 64, 64
    for stage, count in enumerate(blocks):
        inner, outputs = cardinality * width * 2**stage, 256 * 2**stage
        total += inputs * outputs + 2 * outputs  # the projection
        for _ in range(count):
            grouped = 9 * inner * (inner // cardinality)
            convolutions = inputs * inner + grouped + inner * outputs
            total += branches * (convolutions + 2 * (inner + inner + outputs))
            inputs = outputs
    return total + (inputs + 1) * classes


@pytest.mark.parametrize(
    ("name", "published"),  # what torchvision lists, and for 152 layers the formula
    [
        ("resnext50_32x4d", 25_028_904),
        ("resnext101_32x4d", 44_177_704),
        ("resnext101_32x8d", 88_791_336),
        ("resnext101_64x4d", 83_455_272),
        ("resnext152_32x4d", 59_951_400),
    ],
)
def test_large_network_has_the_published_number_of_parameters(name: str, published: int) -> None:
    depth, cardinality, width = (int(number) for number in re.findall(r"\d+", name))
    blocks = {50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3)}[depth]
    assert formula(blocks, cardinality, width, stem=7, classes=1000) == published
    assert size(create_model(name, 1000), 32) == published


@pytest.mark.parametrize(
    ("name", "millions"),  # table 7 of the paper
    [("resnext29_8x64d", 34.4), ("resnext29_16x64d", 68.1)],
)
def test_small_network_has_the_published_number_of_parameters(name: str, millions: float) -> None:
    _, cardinality, width = (int(number) for number in re.findall(r"\d+", name))
    expected = formula((3, 3, 3), cardinality, width, stem=3, classes=10)
    assert size(create_model(name, 10), 8) == expected
    assert abs(expected / 1e6 - millions) < 0.1


@pytest.mark.parametrize("branch_merge", ["A", "B"])
def test_second_branch_has_the_whole_structure_of_the_first(branch_merge: str) -> None:
    expected = formula((3, 3, 3), 2, 4, stem=3, classes=10, branches=2)
    assert size(create_model("resnext29_2x4d", 10, branches=2, branch_merge=branch_merge), 8) == expected
    params = jax.eval_shape(tiny(branches=2, branch_merge=branch_merge).init, KEY, IMAGES)["params"]["trunk"]
    assert set(params["stage2_block1"]) == {"branch1", "branch2", "shortcut"}
    assert params["stage2_block1"]["branch1"] == params["stage2_block1"]["branch2"]


@pytest.mark.parametrize(
    ("branches", "branch_merge", "final_relu", "pooling"),
    [
        (1, "A", True, False),
        (1, "B", False, True),
        (2, "A", True, True),
        (2, "A", False, False),
        (2, "B", True, False),
        (2, "B", False, False),
    ],
)
def test_small_network_is_the_numpy_network(branches: int, branch_merge: str, final_relu: bool, pooling: bool) -> None:
    parts = LayerFactory(regularizer=Absolute, pool=Average if pooling else None)
    model = tiny(parts, branches=branches, branch_merge=branch_merge, final_relu=final_relu)
    variables = random_variables(model, IMAGES)
    assert variables["params"]["trunk"]["stage2_block1"]["branch1"]["conv2"]["kernel"].shape == (3, 3, 4, 12)
    features = reference_features(
        variables,
        IMAGES,
        BLOCKS,
        large=False,
        final_relu=final_relu,
        pooling=pooling,
        regularized=absolute,
        joining=branch_merge,
    )
    np.testing.assert_allclose(features_of(model, variables, IMAGES), features, rtol=1e-3, atol=1e-3)


def test_large_network_is_the_numpy_network() -> None:
    model, images = tiny(small=False), jax.random.normal(KEY, (1, 32, 17, 3))
    variables = random_variables(model, images)
    features = reference_features(variables, images, BLOCKS, large=True)
    np.testing.assert_allclose(features_of(model, variables, images), features, rtol=1e-3, atol=1e-3)


class Drawn(nn.Module):
    """Sows the number it draws beside its keep probability."""

    keep_prob: float

    def __call__(self, x: jax.Array, *, deterministic: bool) -> jax.Array:
        if not deterministic:
            self.sow("drawn", "both", jnp.array([self.keep_prob, jax.random.uniform(self.make_rng("dropout"), ())]))
        return x


@pytest.mark.parametrize(("branch_merge", "each"), [("A", 1), ("B", 2)])
def test_each_regularizer_draws_for_itself(branch_merge: str, each: int) -> None:
    model = tiny(LayerFactory(regularizer=Drawn), branches=2, branch_merge=branch_merge)
    options: Any = {"train": True, "mutable": ["batch_stats", "drawn"], "rngs": {"dropout": KEY}}
    state: Any = jax.jit(lambda v: model.apply(v, IMAGES, **options)[1])(random_variables(model, IMAGES))
    # Leaves come in the order of the blocks' names.
    keep_probs, draws = np.array(jax.tree.leaves(state["drawn"])).T
    np.testing.assert_allclose(keep_probs, np.repeat([0.875, 0.75, 0.625, 0.5], each))
    assert len(set(draws)) == 4 * each


def test_places_of_a_pool_and_of_a_conv() -> None:
    pools, convs = [], []

    def pool(**given: Any) -> nn.Module:
        pools.append(given)
        return MaxPool(**given)

    def conv(features: int, kernel_size: tuple[int, int], **options: Any) -> nn.Module:
        convs.append((features, kernel_size, options["strides"], options.get("feature_group_count", 1)))
        return nn.Conv(features, kernel_size, **options)

    model = create_model("resnext50_4x2d", 3, pool=pool, conv=conv)
    images = jnp.zeros((1, 32, 64, 3))
    assert jax.eval_shape(model.init_with_output, KEY, images)[0].shape == (1, 3)
    assert [given["window"] for given in pools] == [(2, 2), (3, 3), (2, 2), (2, 2), (2, 2)]
    inner = np.repeat([8, 16, 32, 64], (3, 4, 6, 3))
    assert convs == [(64, (7, 7), (1, 1), 1), *((channels, (3, 3), (1, 1), 4) for channels in inner)]


def test_recomputing_layers_keeps_the_gradients_which_reach_every_parameter() -> None:
    def model(**parts: Any) -> Network:
        return tiny(LayerFactory(**parts), blocks=(1, 1), small=False, branches=2, branch_merge="B")

    images = jax.random.normal(KEY, (4, 16, 20, 3))
    variables = random_variables(model(), images)
    kept, recomputed = (
        gradients(model(regularizer=Absolute, remat=remat), variables, images) for remat in (False, True)
    )
    for path, gradient in jax.tree_util.tree_leaves_with_path(kept):
        assert np.isfinite(gradient).all(), path
        assert (gradient != 0).any(), path
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-4), kept, recomputed)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"branches": 3}, "resnext takes branches of 1 or 2; got 3."),
        ({"branches": 0}, "resnext takes branches of 1 or 2; got 0."),
        ({"branch_merge": "C"}, "resnext takes one of 'A', 'B' for branch_merge; got 'C'."),
    ],
)
def test_option_out_of_range_is_refused(options: dict[str, Any], message: str) -> None:
    with annotations_unchecked(), pytest.raises(ValueError, match=re.escape(message)):
        create_model("resnext29_8x64d", 10, **options)


def test_unknown_option_names_those_accepted() -> None:
    with pytest.raises(TypeError, match=re.escape("its options are branches, branch_merge, final_relu.")):
        create_model("resnext29_8x64d", 10, dropout=0.1)
