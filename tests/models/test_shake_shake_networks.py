"""Shake-Shake networks: published sizes, a forward pass in NumPy, mixing or merging of branches, what is refused."""

import functools
import re
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from reference import KEY, Absolute, absolute, convolved, normalized, random_variables, relu, residual

from jaxaug.layers import ShakeDrop, ShakeShake
from jaxaug.models import Network, create_model
from jaxaug.models.residual_block import BranchMerge, Shake
from jaxaug.models.shake_shake import ShiftedShortcut

# One block in each stage; the sides are odd at one stride or the other.
PLAIN, RESNEXT = "shake_shake_8_2x6d", "shake_shake_11_2x2x3d"
IMAGES = jax.random.normal(jax.random.key(1), (3, 7, 10, 3))
RNGS = {"dropout": jax.random.key(5)}


@functools.cache
def variables_of(name: str) -> Any:
    return random_variables(create_model(name, 3), IMAGES)


def short(*, remat: bool = False) -> Network:
    """Returns a network of one block, with a stride, which compiles quickly."""
    trunk: Any = create_model(PLAIN, 3, remat=remat).trunk
    stem, _, strided, _, ending = trunk.layers
    return Network("short", 3, trunk.clone(layers=(stem, strided, ending)))


def features_of(model: nn.Module, variables: Any) -> Any:
    return jax.jit(functools.partial(model.apply, method="features"))(variables, IMAGES)


def shortcut(x: np.ndarray, params: Any, stats: Any, stride: int) -> np.ndarray:
    """Returns x where the channels stay; else a projection, or two paths over pixels apart by one to the upper left."""
    if "shortcut" not in params:
        return x
    kernels, running = params["shortcut"], stats["shortcut"]
    if "conv" in kernels:
        x = convolved(x, kernels["conv"]["kernel"], stride)
    else:
        b, h, w, c = x.shape
        paths = np.zeros((2, b, -(-h // stride), -(-w // stride), c))
        for i in range(paths.shape[2]):
            for j in range(paths.shape[3]):
                paths[0, :, i, j] = x[:, stride * i, stride * j]
                if i * stride > 0 and j * stride > 0:
                    paths[1, :, i, j] = x[:, stride * i - 1, stride * j - 1]
        halves = [path @ kernels[f"conv{i}"]["kernel"][0, 0] for i, path in enumerate(paths, start=1)]
        x = np.concatenate(halves, axis=-1)
    return normalized(x, kernels["bn"], running["bn"])


def reference_features(variables: Any, *, bottleneck: bool, joined: Any, final_relu: bool) -> np.ndarray:
    """Returns the features; `joined(a, b, keep_prob)` makes the residual."""
    tree = jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), variables)
    params, stats = tree["params"]["trunk"], tree["batch_stats"]["trunk"]
    x = convolved(np.asarray(IMAGES, np.float64), params["stem"]["conv"]["kernel"], 1)
    x = normalized(x, params["stem"]["bn"], stats["stem"]["bn"])
    x = relu(x) if bottleneck else x
    for stage in (1, 2, 3):
        block, running = params[f"stage{stage}_block1"], stats[f"stage{stage}_block1"]
        stride = 1 if stage == 1 else 2
        inputs = x if bottleneck else relu(x)
        a, b = (residual(inputs, block[name], running[name], stride) for name in ("branch1", "branch2"))
        x = joined(a, b, 1 - stage / 6) + shortcut(inputs, block, running, stride)
        x = relu(x) if final_relu else x
    return relu(x)


def mean(a: np.ndarray, b: np.ndarray, _: float) -> np.ndarray:
    return (a + b) / 2


@pytest.mark.parametrize(
    ("name", "final_relu", "channels"), [(PLAIN, False, 24), (RESNEXT, True, 1024), (RESNEXT, False, 1024)]
)
def test_inference_is_the_numpy_network_of_mean_branches(name: str, final_relu: bool, channels: int) -> None:
    options: dict[str, Any] = {} if name == PLAIN else {"final_relu": final_relu}
    model, variables = create_model(name, 3, **options), variables_of(name)
    assert (model.trunk.final_relu, model.trunk.total_stride) == (final_relu, 4)
    assert model.trunk.slots == {"regularizer", "pool", "conv"}
    expected = reference_features(variables, bottleneck=name == RESNEXT, joined=mean, final_relu=final_relu)
    assert expected.shape == (3, 2, 3, channels)
    np.testing.assert_allclose(features_of(model, variables), expected, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize(
    ("factory", "branch_merge", "joined"),
    [
        (None, "A", lambda a, b, _: a + b),
        (None, "B", lambda a, b, _: a + b),
        (Absolute, "A", lambda a, b, keep_prob: absolute(a + b, keep_prob)),
        (Absolute, "B", lambda a, b, keep_prob: absolute(a, keep_prob) + absolute(b, keep_prob)),
    ],
)
def test_branch_merge_puts_a_sum_and_the_regularizer_in_place_of_the_mixing(
    factory: Any, branch_merge: str, joined: Any
) -> None:
    model, variables = create_model(PLAIN, 3, regularizer=factory, branch_merge=branch_merge), variables_of(PLAIN)
    expected = reference_features(variables, bottleneck=False, joined=joined, final_relu=False)
    np.testing.assert_allclose(features_of(model, variables), expected, rtol=1e-3, atol=1e-3)


def test_second_block_of_a_stage_keeps_the_identity() -> None:
    params = jax.eval_shape(create_model("shake_shake_14_2x6d", 3).init, KEY, IMAGES)["params"]["trunk"]
    for stage in (1, 2, 3):
        assert set(params[f"stage{stage}_block1"]) == {"branch1", "branch2", "shortcut"}
        assert set(params[f"stage{stage}_block2"]) == {"branch1", "branch2"}
    of_16 = jax.eval_shape(create_model("shake_shake_8_2x16d", 3).init, KEY, IMAGES)["params"]["trunk"]
    assert "shortcut" not in of_16["stage1_block1"]  # the stem's channels already


def test_second_path_of_a_shortcut_sees_what_is_one_pixel_up_and_left() -> None:
    module = ShiftedShortcut(create_model(PLAIN, 3).trunk.factory, 2, 2)
    x = jnp.arange(1.0, 21.0).reshape(1, 4, 5, 1)
    variables: Any = module.init(KEY, x, train=False)
    variables = jax.tree.map(jnp.ones_like, variables)
    variables["batch_stats"]["bn"]["mean"] = jnp.ones(2)  # which the bias of 1 adds again
    first, second = np.moveaxis(np.asarray(module.apply(variables, x, train=False)), -1, 0)
    np.testing.assert_allclose(first[0], [[1, 3, 5], [11, 13, 15]], rtol=1e-4)
    np.testing.assert_allclose(second[0], [[0, 0, 0], [0, 7, 9]], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("train", [False, True])
@pytest.mark.parametrize("mixing", [Shake(), Shake("even", "keep", "batch"), Shake(backward="even")])
def test_branches_are_mixed_as_the_layer_mixes_them(mixing: Shake, train: bool) -> None:
    a, b = jax.random.normal(KEY, (2, 3, 2, 2, 4))

    class Alone(nn.Module):
        """Gives the layer the same path, and so the same key."""

        def setup(self) -> None:
            self.shake = ShakeShake(*mixing)

        def __call__(self, a: jax.Array, b: jax.Array, *, train: bool) -> jax.Array:
            return self.shake(a, b, deterministic=not train)

    def value_and_gradients(module: nn.Module) -> Any:
        def called(a: jax.Array, b: jax.Array) -> Any:
            return module.apply({}, a, b, train=train, rngs=RNGS if train else {})

        y, pullback = jax.vjp(called, a, b)
        return y, pullback(jnp.ones_like(y))

    jax.tree.map(
        np.testing.assert_array_equal,
        value_and_gradients(BranchMerge(shake=ShakeShake(*mixing))),
        value_and_gradients(Alone()),
    )


def test_options_reach_the_layer() -> None:
    def merge_of(name: str, **options: Any) -> Any:
        trunk: Any = create_model(name, 3, **options).trunk
        specs = {layer.fields["spec"] for layer in trunk.layers if layer.name.startswith("stage")}
        assert len(specs) == 1
        return specs.pop().merge

    assert merge_of(PLAIN) == ("shake", "shake", "example")
    assert merge_of(RESNEXT) == ("shake", "even", "example")
    assert merge_of(PLAIN, forward="even", backward="keep", level="batch") == ("even", "keep", "batch")
    assert merge_of(RESNEXT, backward="shake", level="pixel") == ("shake", "shake", "pixel")
    assert merge_of(RESNEXT, branch_merge="B") == "B"
    with pytest.warns(DeprecationWarning, match="use branch_merge"):
        assert merge_of(RESNEXT, joining="B") == "B"


def test_training_draws_from_the_key_of_the_dropout() -> None:
    model = short()
    variables = random_variables(model, IMAGES)

    @jax.jit
    def trained(seed: int) -> Any:
        rngs = {"dropout": jax.random.key(seed)}
        return model.apply(variables, IMAGES, train=True, mutable=["batch_stats"], rngs=rngs)[0]

    np.testing.assert_array_equal(trained(5), trained(5))
    assert (trained(5) != trained(6)).all()
    with pytest.raises(ValueError, match="ShakeShake draws noise in training"):
        jax.eval_shape(lambda: model.apply(variables, IMAGES, train=True, mutable=["batch_stats"]))


def test_convolutions_and_branches_go_through_the_factories() -> None:
    notes: list[Any] = []

    def conv(features: int, kernel_size: tuple[int, int], *, strides: tuple[int, int], **options: Any) -> nn.Module:
        assert (kernel_size, options["padding"], options["use_bias"]) == ((3, 3), ((1, 1), (1, 1)), False)
        notes.append((features, strides[0], options.get("feature_group_count", 1)))
        return nn.Conv(features, kernel_size, strides, **options)

    def regularizer(*, keep_prob: float) -> nn.Module:
        notes.append(round(keep_prob, 4))
        return Absolute(keep_prob)

    def called(name: str, branch_merge: str) -> tuple[list[Any], list[Any]]:
        model = create_model(name, 3, conv=conv, regularizer=regularizer, branch_merge=branch_merge)
        notes.clear()
        jax.eval_shape(model.init, KEY, IMAGES)
        return [note for note in notes if isinstance(note, tuple)], [note for note in notes if isinstance(note, float)]

    blocks = [note for size, stride in ((6, 1), (12, 2), (24, 2)) for note in 2 * [(size, stride, 1), (size, 1, 1)]]
    assert called(PLAIN, "A") == ([(16, 1, 1), *blocks], [0.8333, 0.6667, 0.5])
    assert called(PLAIN, "B")[1] == [0.8333, 0.8333, 0.6667, 0.6667, 0.5, 0.5]
    groups = [note for size, stride in ((6, 1), (12, 2), (24, 2)) for note in 2 * [(size, stride, 2)]]
    assert called(RESNEXT, "B") == ([(64, 1, 1), *groups], [0.8333, 0.8333, 0.6667, 0.6667, 0.5, 0.5])


def test_each_branch_of_type_b_has_draws_of_its_own() -> None:
    def coefficients(merge: BranchMerge) -> Any:
        ones, zeros = jnp.ones((8, 1, 1, 1)), jnp.zeros((8, 1, 1, 1))
        return [merge.apply({}, *pair, train=True, rngs=RNGS) for pair in ((ones, zeros), (zeros, ones))]

    first, second = coefficients(BranchMerge(ShakeDrop(0.0)))
    np.testing.assert_array_equal(first, second)
    first, second = coefficients(BranchMerge(ShakeDrop(0.0), ShakeDrop(0.0)))
    assert (first != second).all()


def gradients(model: Network, variables: Any) -> Any:
    def loss(params: Any) -> jax.Array:
        logits, _ = model.apply({**variables, "params": params}, IMAGES, train=True, mutable=["batch_stats"], rngs=RNGS)
        return -jax.nn.log_softmax(logits)[:, 0].mean()

    return jax.jit(jax.grad(loss))(variables["params"])


def test_recomputed_gradients_are_those_that_were_kept() -> None:
    variables = random_variables(short(), IMAGES)
    kept, recomputed = (gradients(short(remat=remat), variables) for remat in (False, True))
    for path, gradient in jax.tree_util.tree_leaves_with_path(kept):
        assert np.isfinite(gradient).all(), path
        assert (gradient != 0).any(), path
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-4), kept, recomputed)


@pytest.mark.parametrize("name", [PLAIN, RESNEXT])
def test_half_precision_stays_close(name: str) -> None:
    variables = variables_of(name)
    features = features_of(create_model(name, 3, dtype=jnp.bfloat16), variables)
    assert features.dtype == jnp.bfloat16
    expected = features_of(create_model(name, 3), variables)
    error = np.linalg.norm(features.astype(jnp.float32) - expected) / np.linalg.norm(expected)
    assert 0 < error < 0.05


@pytest.mark.parametrize("name", [PLAIN, RESNEXT])
def test_convolutions_start_from_the_normal_law_of_the_outputs(name: str) -> None:
    conv = create_model(name, 3).trunk.factory.spatial_conv(84)
    variables: Any = conv.init(KEY, jnp.zeros((1, 2, 2, 21)))
    kernel = np.asarray(variables["params"]["kernel"])
    assert abs(kernel.std() / np.sqrt(2 / (9 * 84)) - 1) < 5 / np.sqrt(2 * kernel.size)


@pytest.mark.parametrize("final_relu", [False, True])
def test_shake_drop_of_negative_alpha_is_warned_of_where_a_relu_follows(final_relu: bool) -> None:
    options: dict[str, Any] = {"regularizer": ShakeDrop, "branch_merge": "A"}
    if final_relu:
        with pytest.warns(UserWarning, match="ReLU after the addition"):
            create_model(RESNEXT, 3, **options)
    else:
        create_model(RESNEXT, 3, final_relu=False, **options)
        create_model(PLAIN, 3, **options)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("shake_shake_25_2x32d", {}, "takes a depth of 6n + 2 (8, 14, 20, 26, ...); got 25."),
        ("shake_shake_2_2x32d", {}, "takes a depth of 6n + 2 (8, 14, 20, 26, ...); got 2."),
        ("shake_shake_26_2x4x64d", {}, "takes a depth of 9n + 2 (11, 20, 29, ...); got 26."),
        ("shake_shake_2_2x4x64d", {}, "takes a depth of 9n + 2 (11, 20, 29, ...); got 2."),
        ("shake_shake_26_2x5d", {}, "takes an even width, which the two paths of a shortcut share; got 5."),
        (
            PLAIN,
            {"regularizer": Absolute},
            "branch_merge='B' to regularize each; got branch_merge=None.",
        ),
        (
            PLAIN,
            {"branch_merge": "A", "forward": "even"},
            "which replaces Shake-Shake; got branch_merge='A'.",
        ),
        (
            RESNEXT,
            {"branch_merge": "B", "backward": "shake"},
            "which replaces Shake-Shake; got branch_merge='B'.",
        ),
    ],
)
def test_what_does_not_fit_is_refused(name: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        create_model(name, 10, **options)
