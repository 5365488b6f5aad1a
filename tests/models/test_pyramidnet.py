"""PyramidNet: published sizes, a forward pass in NumPy, what factories are given, and what is refused."""

import functools
import re
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from reference import KEY, Absolute, absolute, convolved, normalized, random_variables, relu

from jaxaug.models import Network, create_model
from jaxaug.models.pyramidnet import PyramidBlock, PyramidBottleneck, padded_identity, pyramid_channels

# Six basic blocks of 17 to 23 channels, and three bottlenecks of 17 to 21; the sides are odd at one stride or another.
TINY: dict[str, dict[str, Any]] = {"pyramidnet14_7": {}, "pyramidnet11_5": {"bottleneck": True}}
IMAGES = jax.random.normal(jax.random.key(1), (3, 7, 10, 3))


def tiny(name: str, **options: Any) -> Any:
    return create_model(name, 3, **TINY[name], **options)


@functools.cache
def variables_of(name: str) -> Any:
    return random_variables(tiny(name), IMAGES)


@pytest.mark.parametrize(
    ("depth", "per_block", "alpha", "outputs"),  # what the authors' tables call output feature dimension
    [
        (110, 6, 48, 64),
        (110, 6, 84, 100),
        (110, 6, 270, 286),
        (164, 9, 48, 256),
        (164, 9, 270, 1144),
        (200, 9, 240, 1024),
        (236, 9, 220, 944),
        (272, 9, 200, 864),
    ],
)
def test_last_block_has_the_published_channels(depth: int, per_block: int, alpha: int, outputs: int) -> None:
    factor = 1 if per_block == 6 else 4
    assert factor * pyramid_channels(3 * (depth - 2) // per_block, alpha)[-1] == outputs


def test_channels_grow_by_equal_steps_rounded_down() -> None:
    assert pyramid_channels(54, 270) == [16 + 5 * block for block in range(1, 55)]
    assert pyramid_channels(6, 7) == [17, 18, 19, 20, 21, 23]  # 1.17, 2.33, 3.5, 4.67, 5.83 and 7 more
    assert pyramid_channels(3, 5) == [17, 19, 21]


def averaged(x: np.ndarray, channels: int, stride: int) -> np.ndarray:
    """Returns the shortcut: means over the pixels that are there, zeros as new channels."""
    b, h, w, c = x.shape
    out = np.zeros((b, -(-h // stride), -(-w // stride), channels))
    for i in range(out.shape[1]):
        for j in range(out.shape[2]):
            out[:, i, j, :c] = x[:, stride * i : stride * (i + 1), stride * j : stride * (j + 1)].mean((1, 2))
    return out


def reference_features(variables: Any, images: Any, num_blocks: int, *, regularized: Any) -> np.ndarray:
    tree = jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), variables)
    params, stats = tree["params"]["trunk"], tree["batch_stats"]["trunk"]
    x = convolved(np.asarray(images, np.float64), params["stem"]["conv"]["kernel"], 1)
    x = normalized(x, params["stem"]["bn"], stats["stem"]["bn"])
    for number in range(num_blocks):
        stage, place = divmod(number, num_blocks // 3)
        name = f"stage{stage + 1}_block{place + 1}"
        block, running = params[name], stats[name]
        stride = 2 if stage and not place else 1
        convolutions = sum(key.startswith("conv") for key in block)
        branch = normalized(x, block["bn1"], running["bn1"])
        for i in range(1, convolutions + 1):
            spatial = 1 if convolutions == 2 else 2  # which has the stride
            branch = convolved(branch, block[f"conv{i}"]["kernel"], stride if i == spatial else 1)
            branch = normalized(branch, block[f"bn{i + 1}"], running[f"bn{i + 1}"])
            branch = relu(branch) if i < convolutions else branch
        x = averaged(x, branch.shape[-1], stride) + regularized(branch, 1 - 0.5 * (number + 1) / num_blocks)
    return relu(normalized(x, params["final"]["bn"], stats["final"]["bn"]))


@pytest.mark.parametrize("factory", [None, Absolute], ids=["plain", "regularized"])
@pytest.mark.parametrize(("name", "num_blocks", "channels"), [("pyramidnet14_7", 6, 23), ("pyramidnet11_5", 3, 84)])
def test_network_is_the_numpy_network(name: str, num_blocks: int, channels: int, factory: Any) -> None:
    regularized = absolute if factory else lambda branch, _: branch
    expected = reference_features(variables_of(name), IMAGES, num_blocks, regularized=regularized)
    assert expected.shape == (3, 2, 3, channels)
    model = tiny(name, regularizer=factory)
    features = jax.jit(functools.partial(model.apply, method="features"))(variables_of(name), IMAGES)
    np.testing.assert_allclose(features, expected, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
@pytest.mark.parametrize("shape", [(2, 4, 6, 3), (1, 5, 1, 2)])
def test_shortcut_averages_the_pixels_that_are_there(shape: tuple[int, ...], dtype: Any) -> None:
    x = jax.random.normal(KEY, shape, dtype)
    result = padded_identity(x, stride=2, channels=5)
    assert result.dtype == dtype
    expected = averaged(np.asarray(x, np.float64), 5, 2)
    np.testing.assert_allclose(np.asarray(result, np.float64), expected, rtol=1e-2 if dtype == jnp.bfloat16 else 1e-5)
    np.testing.assert_array_equal(padded_identity(x, stride=1, channels=x.shape[-1]), x)


def test_spatial_convolutions_and_branches_go_through_the_factories() -> None:
    notes: list[Any] = []

    def conv(features: int, kernel_size: tuple[int, int], *, strides: tuple[int, int], **options: Any) -> nn.Module:
        assert (kernel_size, options["padding"], options["use_bias"]) == ((3, 3), ((1, 1), (1, 1)), False)
        notes.append((features, strides[0]))
        return nn.Conv(features, kernel_size, strides, **options)

    def regularizer(*, keep_prob: float) -> nn.Module:
        notes.append(keep_prob)
        return Absolute(keep_prob)

    def called(name: str) -> list[Any]:
        notes.clear()
        jax.eval_shape(tiny(name, conv=conv, regularizer=regularizer).init, KEY, IMAGES)
        return notes

    sizes = [(17, 1), (18, 1), (19, 2), (20, 1), (21, 2), (23, 1)]
    keep_probs = [1 - block / 12 for block in range(1, 7)]
    blocks = [
        note
        for (size, stride), keep in zip(sizes, keep_probs, strict=True)
        for note in ((size, stride), (size, 1), keep)
    ]
    flat = [value for note in [(16, 1), *blocks] for value in np.ravel(note)]
    np.testing.assert_allclose(
        [value for note in called("pyramidnet14_7") for value in np.ravel(note)], flat, rtol=1e-6
    )

    convolutions = [note for note in called("pyramidnet11_5") if isinstance(note, tuple)]
    assert convolutions == [(16, 1), (17, 1), (19, 2), (21, 2)]  # one in each bottleneck


def test_trunk_tells_its_stride_and_slots() -> None:
    trunk = tiny("pyramidnet14_7").trunk
    assert (trunk.total_stride, trunk.final_relu) == (4, False)
    assert trunk.slots == {"regularizer", "conv"}
    with pytest.raises(ValueError, match="pyramidnet14_7 has no max pooling"):
        tiny("pyramidnet14_7", pool=nn.max_pool)


def gradients(model: Any, variables: Any) -> Any:
    def loss(params: Any) -> jax.Array:
        logits, _ = model.apply({**variables, "params": params}, IMAGES, train=True, mutable=["batch_stats"])
        return -jax.nn.log_softmax(logits)[:, 0].mean()

    return jax.jit(jax.grad(loss))(variables["params"])


def test_recomputed_gradients_are_those_that_were_kept() -> None:
    def short(*, remat: bool) -> Network:
        trunk = tiny("pyramidnet11_5", remat=remat).trunk
        stem, _, strided, _, ending = trunk.layers
        return Network("short", 3, trunk.clone(layers=(stem, strided, ending)))

    variables = random_variables(short(remat=False), IMAGES)
    kept, recomputed = (gradients(short(remat=remat), variables) for remat in (False, True))
    for path, gradient in jax.tree_util.tree_leaves_with_path(kept):
        assert np.isfinite(gradient).all(), path
        assert (gradient != 0).any(), path
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-4), kept, recomputed)


def test_half_precision_stays_close() -> None:
    model, half = tiny("pyramidnet11_5"), tiny("pyramidnet11_5", dtype=jnp.bfloat16)
    variables = variables_of("pyramidnet11_5")
    features: Any = jax.jit(functools.partial(half.apply, method="features"))(variables, IMAGES)
    assert features.dtype == jnp.bfloat16
    expected: Any = jax.jit(functools.partial(model.apply, method="features"))(variables, IMAGES)
    error = np.linalg.norm(features.astype(jnp.float32) - expected) / np.linalg.norm(expected)
    assert 0 < error < 0.05


def test_convolutions_start_from_the_normal_law_of_the_outputs() -> None:
    factory = tiny("pyramidnet14_7").trunk.factory
    for conv, fan_out in ((factory.spatial_conv(84), 9 * 84), (factory.pointwise_conv(84), 84)):
        variables: Any = conv.init(KEY, jnp.zeros((1, 2, 2, 21)))
        kernel = np.asarray(variables["params"]["kernel"])
        assert abs(kernel.std() / np.sqrt(2 / fan_out) - 1) < 5 / np.sqrt(2 * kernel.size)


def test_kind_of_block_follows_the_depth_or_the_caller() -> None:
    def kinds(name: str, **options: Any) -> list[Any]:
        trunk: Any = create_model(name, 3, **options).trunk
        return [layer.module for layer in trunk.layers[1:-1]]

    assert kinds("pyramidnet20_4") == 9 * [PyramidBlock]  # 20 is both 6n + 2 and 9n + 2
    assert kinds("pyramidnet20_4", bottleneck=True) == 6 * [PyramidBottleneck]
    assert kinds("pyramidnet110_4") == 54 * [PyramidBlock]
    assert kinds("pyramidnet164_4") == 54 * [PyramidBottleneck]
    assert kinds("pyramidnet164_4", bottleneck=False) == 81 * [PyramidBlock]


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("pyramidnet100_270", {}, "takes a depth of 6n + 2 (..., 110) with basic blocks; got 100."),
        ("pyramidnet2_270", {}, "takes a depth of 6n + 2 (..., 110) with basic blocks; got 2."),
        ("pyramidnet1_270", {}, "takes a depth of 6n + 2 (..., 110) with basic blocks; got 1."),
        ("pyramidnet170_4", {}, "takes a depth of 9n + 2 (..., 164, 200, 236, 272) with bottlenecks; got 170."),
        ("pyramidnet14_4", {"bottleneck": True}, "with bottlenecks; got 14."),
    ],
)
def test_depth_off_the_formula_is_refused(name: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        create_model(name, 10, **options)
