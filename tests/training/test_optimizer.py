import math

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from laws.interface import annotations_unchecked

from jaxaug import create_model
from jaxaug.training import make_optimizer, make_schedule
from jaxaug.training.optimizer import decay_mask


def reference_rate(
    kind, step, *, learning_rate, epochs, steps_per_epoch, milestones=(), factor=0.1, warmup_epochs=0.0
) -> float:
    """The docstring's formula, one step at a time in double precision."""
    rate = learning_rate
    if kind == "step":
        for milestone in milestones:
            if step >= round(milestone * steps_per_epoch):
                rate *= factor
    elif kind == "cosine":
        warmup = warmup_epochs * steps_per_epoch
        done = min(max((step - warmup) / (epochs * steps_per_epoch - warmup), 0.0), 1.0)
        rate *= 0.5 * (1.0 + math.cos(math.pi * done))
    if warmup_epochs:
        rate *= min((step + 1) / (warmup_epochs * steps_per_epoch), 1.0)
    return rate


@pytest.mark.parametrize("kind", ["step", "cosine", "constant"])
@pytest.mark.parametrize("warmup_epochs", [0.0, 0.5, 3.0])
def test_every_step_has_the_rate_of_the_formula(kind, warmup_epochs):
    options = {"learning_rate": 0.4, "epochs": 20, "steps_per_epoch": 7, "warmup_epochs": warmup_epochs}
    if kind == "step":
        options |= {"milestones": (6.0, 12.0, 16.0), "factor": 0.2}
    steps = range(20 * 7 + 10)
    rates = jax.vmap(make_schedule(kind, **options))(jnp.arange(len(steps), dtype=jnp.int32))
    assert rates.dtype == jnp.float32
    expected = [reference_rate(kind, step, **options) for step in steps]
    np.testing.assert_allclose(rates, expected, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("steps_per_epoch", [1, 3, 391, 10_001])
def test_a_milestone_falls_on_the_first_step_of_the_epoch_after_it(steps_per_epoch):
    rate = jax.jit(
        make_schedule(
            "step", learning_rate=0.1, epochs=200, steps_per_epoch=steps_per_epoch, milestones=(60.0, 120.0), factor=0.2
        )
    )
    for milestone, before, after in ((60, 0.1, 0.02), (120, 0.02, 0.004)):
        boundary = milestone * steps_per_epoch
        np.testing.assert_allclose(rate(jnp.int32(boundary - 1)), before, rtol=1e-6)
        np.testing.assert_allclose(rate(jnp.int32(boundary)), after, rtol=1e-6)


def test_the_order_of_milestones_does_not_matter():
    options = {"learning_rate": 1.0, "epochs": 10, "steps_per_epoch": 2}
    steps = jnp.arange(20, dtype=jnp.int32)
    ascending = jax.vmap(make_schedule("step", milestones=(2.0, 5.0), **options))(steps)
    descending = jax.vmap(make_schedule("step", milestones=(5.0, 2.0), **options))(steps)
    np.testing.assert_array_equal(ascending, descending)


def test_cosine_starts_at_the_peak_is_half_in_the_middle_and_ends_at_zero():
    rate = make_schedule("cosine", learning_rate=0.1, epochs=10, steps_per_epoch=10)
    rates = [float(rate(jnp.int32(step))) for step in (0, 50, 100, 1000)]
    np.testing.assert_allclose(rates, [0.1, 0.05, 0.0, 0.0], atol=1e-8)


def test_the_rate_is_the_same_for_python_and_traced_steps():
    rate = make_schedule(learning_rate=0.3, epochs=5, steps_per_epoch=4, warmup_epochs=1.0)
    eager = [float(rate(step)) for step in range(20)]
    traced = jax.jit(jax.vmap(rate))(jnp.arange(20, dtype=jnp.int32))
    np.testing.assert_allclose(traced, eager, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"kind": "linear"}, "one of 'step', 'cosine', 'constant' for kind; got 'linear'"),
        ({"learning_rate": 0.0}, "learning_rate in"),
        ({"learning_rate": float("nan")}, "learning_rate in"),
        ({"epochs": 0}, "epochs in"),
        ({"steps_per_epoch": 0}, "steps_per_epoch in"),
        ({"factor": -1.0}, "factor in"),
        ({"warmup_epochs": -1.0}, "warmup_epochs in"),
    ],
)
def test_a_schedule_refuses_what_is_out_of_range(wrong, message):
    with annotations_unchecked(), pytest.raises(ValueError, match=message):
        make_schedule(**({"learning_rate": 0.1, "epochs": 1, "steps_per_epoch": 1} | wrong))


Params = dict[str, dict[str, np.ndarray]]


def random_tree(seed: int) -> Params:
    rng = np.random.default_rng(seed)
    return {"dense": {"kernel": rng.standard_normal((3, 2)), "bias": rng.standard_normal(2)}}


def flat(params: Params) -> dict[str, np.ndarray]:
    return params["dense"]


def clipped(gradient: dict[str, np.ndarray], clip_norm: float | None) -> dict[str, np.ndarray]:
    norm = math.sqrt(sum((g**2).sum() for g in gradient.values()))
    scale = 1.0 if clip_norm is None else min(1.0, clip_norm / norm)
    return {name: g * scale for name, g in gradient.items()}


def sgd_path(rates, *, momentum, nesterov, weight_decay, decayed, clip_norm) -> list[dict[str, np.ndarray]]:
    """Parameters after every step of torch.optim.SGD's algorithm, in double precision."""
    params, velocity = flat(random_tree(0)), {}
    path = []
    for step, rate in enumerate(rates):
        gradient = clipped(flat(random_tree(step + 1)), clip_norm)
        for name in params:
            g = gradient[name]
            if decayed == "all" or name == "kernel":
                g = g + weight_decay * params[name]
            velocity[name] = g if step == 0 else momentum * velocity[name] + g
            direction = g + momentum * velocity[name] if nesterov else velocity[name]
            params = {**params, name: params[name] - rate * direction}
        path.append(params)
    return path


def adamw_path(rates, *, weight_decay, decayed, clip_norm, b1=0.9, b2=0.999, eps=1e-8):
    """Parameters after every step of AdamW (Loshchilov and Hutter, algorithm 2), in double precision."""
    params = flat(random_tree(0))
    first = {name: np.zeros_like(p) for name, p in params.items()}
    second = dict(first)
    path = []
    for step, rate in enumerate(rates):
        gradient = clipped(flat(random_tree(step + 1)), clip_norm)
        for name in params:
            first[name] = b1 * first[name] + (1 - b1) * gradient[name]
            second[name] = b2 * second[name] + (1 - b2) * gradient[name] ** 2
            mean, variance = first[name] / (1 - b1 ** (step + 1)), second[name] / (1 - b2 ** (step + 1))
            decay = weight_decay * params[name] if decayed == "all" or name == "kernel" else 0.0
            params = {**params, name: params[name] - rate * (mean / (np.sqrt(variance) + eps) + decay)}
        path.append(params)
    return path


def optimizer_path(optimizer: optax.GradientTransformation, steps: int) -> list[dict[str, np.ndarray]]:
    float32 = lambda tree: jax.tree.map(lambda x: jnp.asarray(x, jnp.float32), tree)  # noqa: E731
    params = float32(random_tree(0))
    state, path = optimizer.init(params), []
    for step in range(steps):
        updates, state = optimizer.update(float32(random_tree(step + 1)), state, params)
        params = optax.apply_updates(params, updates)
        path.append(flat(jax.tree.map(np.asarray, params)))
    return path


def assert_same_path(given, expected):
    for step, (left, right) in enumerate(zip(given, expected, strict=True)):
        for name in right:
            np.testing.assert_allclose(left[name], right[name], rtol=1e-4, atol=1e-5, err_msg=f"{name}, step {step}")


@pytest.mark.parametrize("clip_norm", [None, 1.0])
@pytest.mark.parametrize(("weight_decay", "decayed"), [(0.0, "kernels"), (0.3, "kernels"), (0.3, "all")])
@pytest.mark.parametrize(("momentum", "nesterov"), [(0.0, True), (0.9, False), (0.9, True)])
def test_sgd_takes_the_steps_of_torch(momentum, nesterov, weight_decay, decayed, clip_norm):
    options = {"momentum": momentum, "nesterov": nesterov, "weight_decay": weight_decay, "decayed": decayed}
    options["clip_norm"] = clip_norm
    optimizer = make_optimizer("sgd", learning_rate=0.1, **options)
    assert_same_path(optimizer_path(optimizer, 5), sgd_path([0.1] * 5, **options))


@pytest.mark.parametrize(("decayed", "clip_norm"), [("kernels", None), ("all", None), ("kernels", 1.0)])
def test_adam_takes_the_steps_of_adamw_with_decoupled_decay(decayed, clip_norm):
    options = {"weight_decay": 0.3, "decayed": decayed, "clip_norm": clip_norm}
    optimizer = make_optimizer("adam", learning_rate=0.05, **options)
    with jax.numpy_dtype_promotion("standard"):  # optax raises a Python float to an integer count
        path = optimizer_path(optimizer, 5)
    assert_same_path(path, adamw_path([0.05] * 5, **options))


def test_the_first_step_of_an_optimizer_takes_the_rate_of_step_zero():
    options = {"learning_rate": 0.1, "epochs": 3, "steps_per_epoch": 2, "milestones": (1.0, 2.0)}
    optimizer = make_optimizer(learning_rate=make_schedule("step", **options), weight_decay=0.1)
    rates = [reference_rate("step", step, **options) for step in range(6)]
    expected = sgd_path(rates, momentum=0.9, nesterov=True, weight_decay=0.1, decayed="kernels", clip_norm=None)
    assert_same_path(optimizer_path(optimizer, 6), expected)


@pytest.mark.parametrize("name", ["wrn_10_1", "mlp"])
def test_the_decay_mask_is_true_at_the_kernels_of_a_network_and_nowhere_else(name):
    model = create_model(name, 10)
    shapes = jax.eval_shape(lambda key: model.init(key, jnp.zeros((1, 8, 8, 3))), jax.random.key(0))
    mask = decay_mask(shapes["params"])
    assert jax.tree.structure(mask) == jax.tree.structure(shapes["params"])
    for (path, masked), array in zip(
        jax.tree_util.tree_leaves_with_path(mask), jax.tree.leaves(shapes["params"]), strict=True
    ):
        # Kernels are the only parameters of these networks with two or more axes.
        assert masked == (array.ndim >= 2), path
    assert any(jax.tree.leaves(mask))


def test_all_or_kernels_makes_no_difference_without_decay():
    left = optimizer_path(make_optimizer(learning_rate=0.1, decayed="all"), 3)
    assert_same_path(left, optimizer_path(make_optimizer(learning_rate=0.1), 3))


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"kind": "rmsprop"}, "one of 'sgd', 'adam' for kind; got 'rmsprop'"),
        ({"decayed": "biases"}, "for decayed; got 'biases'"),
        ({"momentum": -0.1}, "momentum in"),
        ({"momentum": 1.5}, "momentum in"),
        ({"weight_decay": -1.0}, "weight_decay in"),
        ({"clip_norm": 0.0}, "clip_norm in"),
    ],
)
def test_an_optimizer_refuses_what_is_out_of_range(wrong, message):
    with annotations_unchecked(), pytest.raises(ValueError, match=message):
        make_optimizer(**({"learning_rate": 0.1} | wrong))
