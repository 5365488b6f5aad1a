from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import scipy.special

from jaxaug import never
from jaxaug.sampling import Strategy, always
from jaxaug.training import init_state, make_eval_step, make_optimizer, make_train_step

Batch = dict[str, jax.Array]
BATCH, FEATURES, CLASSES = 6, 5, 3


class Linear(nn.Module):
    """Logits x W: the gradient is known in closed form."""

    @nn.compact
    def __call__(self, x, *, train=False):
        return nn.Dense(CLASSES, use_bias=False)(x)


class Noisy(nn.Module):
    """A convolution, batch normalization and dropout: all that a step has to carry."""

    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x, *, train=False):
        x = nn.Conv(4, (3, 3), dtype=self.dtype)(x)
        x = nn.relu(nn.BatchNorm(use_running_average=not train, dtype=self.dtype)(x))
        x = nn.Dropout(0.5, deterministic=not train)(x)
        return nn.Dense(CLASSES)(x.mean(axis=(1, 2)).astype(jnp.float32))


def vectors(seed: int = 0, batch: int = BATCH) -> Batch:
    rng = np.random.default_rng(seed)
    return {
        "image": jnp.asarray(rng.standard_normal((batch, FEATURES)), jnp.float32),
        "label": jnp.asarray(rng.dirichlet(np.ones(CLASSES), batch), jnp.float32),
        "index": jnp.arange(batch, dtype=jnp.int32),
    }


def pictures(seed: int = 0) -> Batch:
    images = jax.random.uniform(jax.random.key(seed), (BATCH, 6, 6, 2))
    return {**vectors(seed), "image": images}


def linear_start(strategy: Strategy | None = None, average: bool = False, optimizer: Any = None) -> Any:
    return init_state(
        jax.random.key(0),
        Linear(),
        optimizer or optax.sgd(0.1),
        strategy or never(),
        shape=(FEATURES,),
        num_examples=BATCH,
        average=average,
    )


def noisy_start(model: nn.Module, optimizer: optax.GradientTransformation, average: bool = False) -> Any:
    return init_state(
        jax.random.key(3), model, optimizer, never(), shape=(6, 6, 2), num_examples=BATCH, average=average
    )


@pytest.fixture(scope="module")
def noisy():
    """A compiled step of the noisy network, and a maker of its first state."""
    model, optimizer = Noisy(), make_optimizer(learning_rate=0.1, weight_decay=1e-3)
    step = jax.jit(make_train_step(model, optimizer, never(), average_decay=0.9))
    return model, step, noisy_start(model, optimizer, average=True)


def linear_weights(state: Any) -> np.ndarray:
    return np.asarray(state.params["Dense_0"]["kernel"], np.float64)


def cross_entropies(weights: np.ndarray, batch: Batch, labels: np.ndarray | None = None) -> np.ndarray:
    logits = np.asarray(batch["image"], np.float64) @ weights
    labels = np.asarray(batch["label"], np.float64) if labels is None else labels
    return -(labels * scipy.special.log_softmax(logits, axis=1)).sum(axis=1)


def linear_gradient(weights: np.ndarray, batch: Batch, labels: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """d/dW of mean_i w_i CE_i = x^T (w (softmax - c)) / B."""
    x = np.asarray(batch["image"], np.float64)
    return x.T @ (weight[:, None] * (scipy.special.softmax(x @ weights, axis=1) - labels)) / len(x)


def leaves(tree: Any) -> list[np.ndarray]:
    return [
        np.asarray(jax.random.key_data(x) if jnp.issubdtype(x.dtype, jax.dtypes.prng_key) else x)
        for x in jax.tree.leaves(tree)
    ]


def same_bits(left: Any, right: Any) -> bool:
    pairs = zip(leaves(left), leaves(right), strict=True)
    return all(a.dtype == b.dtype and a.tobytes() == b.tobytes() for a, b in pairs)


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
@pytest.mark.parametrize("weighted", [False, True])
def test_a_step_follows_the_gradient_in_closed_form(smoothing, weighted):
    batch = vectors()
    weight = np.linspace(0.0, 2.0, BATCH) if weighted else np.ones(BATCH)
    if weighted:
        batch = {**batch, "weight": jnp.asarray(weight, jnp.float32)}
    state = linear_start()
    before = linear_weights(state)
    labels = (1 - smoothing) * np.asarray(batch["label"], np.float64) + smoothing / CLASSES
    state, metrics = jax.jit(make_train_step(Linear(), optax.sgd(0.1), never(), label_smoothing=smoothing))(
        state, batch
    )
    expected = before - 0.1 * linear_gradient(before, batch, labels, weight)
    np.testing.assert_allclose(linear_weights(state), expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(metrics["loss"], (weight * cross_entropies(before, batch, labels)).mean(), rtol=1e-5)
    assert int(state.step) == 1


def test_the_metrics_of_soft_labels_are_the_label_mass_at_the_largest_logits():
    batch, state = vectors(), linear_start()
    best = (np.asarray(batch["image"]) @ linear_weights(state)).argmax(axis=1)
    expected = np.asarray(batch["label"])[np.arange(BATCH), best].mean()
    _, metrics = make_train_step(Linear(), optax.sgd(0.1), never())(state, batch)
    np.testing.assert_allclose(metrics["accuracy"], expected, rtol=1e-6)
    np.testing.assert_allclose(metrics["top5"], 1.0, rtol=1e-6)
    assert set(metrics) == {"loss", "accuracy", "top5", "finite", "augmented"}
    assert all(value.shape == () for value in metrics.values())


def test_augmentations_see_images_that_are_not_normalized():
    def double(key, batch):
        return {**batch, "image": 2.0 * batch["image"]}

    batch, state = vectors(), linear_start()
    before = linear_weights(state)
    step = make_train_step(Linear(), optax.sgd(0.1), always(double), normalize=lambda x: x - 1.0)
    _, metrics = step(state, batch)
    seen = {**batch, "image": 2.0 * batch["image"] - 1.0}
    np.testing.assert_allclose(metrics["loss"], cross_entropies(before, seen).mean(), rtol=1e-5)


@pytest.mark.parametrize(
    "broken",
    [
        lambda b: {**b, "image": b["image"].at[2, 1].set(jnp.nan)},
        lambda b: {**b, "image": b["image"].at[2, 1].set(jnp.inf)},
        lambda b: {**b, "label": b["label"].at[0, 0].set(jnp.nan)},
        lambda b: {**b, "weight": jnp.full(BATCH, jnp.inf, jnp.float32)},
    ],
)
def test_finite_is_false_where_the_loss_is_not_finite(broken):
    step = jax.jit(make_train_step(Linear(), optax.sgd(0.1), never()))
    assert bool(step(linear_start(), vectors())[1]["finite"])
    assert not bool(step(linear_start(), broken(vectors()))[1]["finite"])


@pytest.mark.parametrize("kind", ["sgd", "adam"])
@pytest.mark.parametrize("clip_norm", [None, 1.0])
def test_finite_is_false_where_only_the_gradient_is_not_finite(kind, clip_norm):
    class RootAtZero(nn.Module):
        """Its value is finite at zero, its derivative is not."""

        @nn.compact
        def __call__(self, x, *, train=False):
            return nn.Dense(CLASSES)(x) + jnp.sqrt(self.param("zero", nn.initializers.zeros, ()))

    optimizer = make_optimizer(kind, learning_rate=0.1, clip_norm=clip_norm)
    state = init_state(jax.random.key(0), RootAtZero(), optimizer, never(), shape=(FEATURES,), num_examples=BATCH)
    # The gradient of the root is infinite times a sum that is zero up to rounding: NaN or infinite.
    with jax.numpy_dtype_promotion("standard"):
        _, metrics = make_train_step(RootAtZero(), optimizer, never())(state, vectors())
    assert np.isfinite(metrics["loss"])
    assert not bool(metrics["finite"])


def test_the_average_follows_its_formula_from_the_first_weights():
    state = linear_start(average=True)
    step = jax.jit(make_train_step(Linear(), optax.sgd(0.5), never(), average_decay=0.2))
    average = linear_weights(state)
    for t in range(1, 6):
        state, _ = step(state, vectors(t))
        decay = min(0.2, t / (t + 10))  # 1/11, 2/12, then 0.2
        average = decay * average + (1 - decay) * linear_weights(state)
        np.testing.assert_allclose(state.average["params"]["Dense_0"]["kernel"], average, rtol=1e-5, atol=1e-7)


def test_the_average_holds_batch_statistics_and_inference_uses_it(noisy):
    model, step, state = noisy
    state, _ = step(state, pictures())
    state, _ = step(state, pictures(1))
    assert not same_bits(state.average["batch_stats"], state.batch_stats)
    logits = model.apply(state.average, pictures(2)["image"], train=False)
    expected = -(np.asarray(pictures(2)["label"]) * scipy.special.log_softmax(np.asarray(logits), axis=1)).sum(axis=1)
    metrics = make_eval_step(model)(state, pictures(2))
    np.testing.assert_allclose(metrics["loss"], expected, rtol=1e-5)
    assert {name: value.shape for name, value in metrics.items()} == dict.fromkeys(
        ("loss", "accuracy", "top5"), (BATCH,)
    )


def test_training_moves_the_batch_statistics_towards_those_of_the_batch(noisy):
    _, step, state = noisy
    convolved = nn.Conv(4, (3, 3)).apply({"params": state.params["Conv_0"]}, pictures()["image"])
    mean = np.asarray(convolved).mean(axis=(0, 1, 2))
    moved, _ = step(state, pictures())
    np.testing.assert_allclose(moved.batch_stats["BatchNorm_0"]["mean"], 0.99 * 0.0 + 0.01 * mean, rtol=1e-4, atol=1e-7)


def scoring(record: bool = True) -> Strategy:
    """Scores the batch and its negative, keeps both tables, and trains on what came."""

    def select(key, state, batch, score):
        both = jax.vmap(lambda sign: score({**batch, "image": sign * batch["image"]}))(jnp.array([1.0, -1.0]))
        scores = both if record else jnp.zeros_like(both)
        return batch, {**state, "scores": scores}, {"augmented": jnp.float32(0.0)}

    return Strategy(
        init=lambda n: {"scores": jnp.zeros((2, n)), "losses": jnp.zeros(n)},
        select=select,
        observe=lambda state, batch, losses: {**state, "losses": state["losses"].at[batch["index"]].set(losses)},
    )


def test_scores_are_inference_losses_under_the_weights_before_the_step():
    model, optimizer = Noisy(), optax.sgd(0.1)
    state = init_state(
        jax.random.key(3), model, optimizer, scoring(), shape=(6, 6, 2), num_examples=BATCH, average=False
    )
    batch = pictures()
    expected = [make_eval_step(model)(state, {**batch, "image": sign * batch["image"]})["loss"] for sign in (1.0, -1.0)]
    moved, _ = jax.jit(make_train_step(model, optimizer, scoring()))(state, batch)
    np.testing.assert_allclose(moved.strategy_state["scores"], np.stack(expected), rtol=1e-5)
    # The same step without a score ends in the same weights and batch statistics: scoring leaves no trace.
    unscored, _ = jax.jit(make_train_step(model, optimizer, scoring(record=False)))(state, batch)
    assert same_bits((moved.params, moved.batch_stats), (unscored.params, unscored.batch_stats))


def test_observe_gets_the_loss_of_every_example_without_its_weight():
    base = scoring()

    def select(key, state, batch, score):
        batch = {**batch, "weight": jnp.linspace(0.0, 1.0, BATCH)}
        return batch, state, {"augmented": jnp.float32(0.0)}

    strategy = base._replace(select=select)
    state = linear_start(strategy)
    batch = {**vectors(), "index": jnp.array([5, 4, 3, 2, 1, 0], jnp.int32)}
    expected = cross_entropies(linear_weights(state), batch)
    state, _ = make_train_step(Linear(), optax.sgd(0.1), strategy)(state, batch)
    np.testing.assert_allclose(state.strategy_state["losses"][::-1], expected, rtol=1e-5)


def test_no_gradient_flows_through_a_score():
    """A weight made of the scores is a constant of the objective."""

    def select(key, state, batch, score):
        return {**batch, "weight": score(batch)}, state, {"augmented": jnp.float32(0.0)}

    strategy = never()._replace(select=select)
    batch, state = vectors(), linear_start()
    before = linear_weights(state)
    labels = np.asarray(batch["label"], np.float64)
    expected = before - 0.1 * linear_gradient(before, batch, labels, cross_entropies(before, batch))
    moved, _ = jax.jit(make_train_step(Linear(), optax.sgd(0.1), strategy))(state, batch)
    np.testing.assert_allclose(linear_weights(moved), expected, rtol=1e-5, atol=1e-6)


def test_the_strategy_meets_a_new_key_at_every_step_that_follows_from_key_and_step():
    def select(key, state, batch, score):
        return batch, jax.random.key_data(key), {"augmented": jnp.float32(0.0)}

    strategy = Strategy(lambda n: jnp.zeros(2, jnp.uint32), select, lambda state, batch, losses: state)
    state = linear_start(strategy)
    step = jax.jit(make_train_step(Linear(), optax.sgd(0.1), strategy))
    seen = []
    for t in range(4):
        expected = jax.random.split(jax.random.fold_in(state.key, t))[0]
        state, _ = step(state, vectors())
        np.testing.assert_array_equal(state.strategy_state, jax.random.key_data(expected))
        seen.append(tuple(np.asarray(state.strategy_state).tolist()))
    assert len(set(seen)) == 4


def test_dropout_differs_between_steps_and_keys_and_follows_from_them(noisy):
    _, step, state = noisy
    losses = {}
    for t in range(4):
        for seed in range(2):
            start = state.replace(step=jnp.int32(t), key=jax.random.key(seed))
            losses[t, seed] = float(step(start, pictures())[1]["loss"])
            assert losses[t, seed] == float(step(start, pictures())[1]["loss"])
    assert len(set(losses.values())) == 8


def test_the_same_state_and_batch_give_the_same_bits(noisy):
    _, step, state = noisy
    for t in range(3):
        once, again = step(state, pictures(t)), step(state, pictures(t))
        assert same_bits(once, again)
        state = once[0]


def avals(tree: Any) -> Any:
    return jax.tree.map(lambda x: (x.shape, x.dtype, getattr(x, "weak_type", False)), tree)


@pytest.mark.parametrize("kind", ["sgd", "adam"])
def test_a_step_changes_neither_structure_nor_dtypes_nor_weak_types(kind):
    model = Noisy()
    schedule = make_optimizer(kind, learning_rate=0.1, weight_decay=0.1, clip_norm=1.0)
    state = noisy_start(model, schedule, average=True)
    train_step = make_train_step(model, schedule, never(), average_decay=0.9, label_smoothing=0.1)
    with jax.numpy_dtype_promotion("standard"):
        after, metrics = jax.eval_shape(train_step, state, pictures())
    assert jax.tree.structure(after) == jax.tree.structure(state)
    assert avals(after) == avals(state)
    assert not any(weak for _, _, weak in avals(metrics).values())


def test_a_bfloat16_network_keeps_parameters_statistics_and_losses_in_float32():
    model, optimizer = Noisy(dtype=jnp.bfloat16), make_optimizer(learning_rate=0.1)
    train_step = make_train_step(model, optimizer, never())
    with jax.numpy_dtype_promotion("standard"):  # flax normalizes in float32
        state = noisy_start(model, optimizer)
        jaxpr, (after, metrics) = jax.make_jaxpr(train_step, return_shape=True)(state, pictures())
    assert "bf16" in str(jaxpr)
    for tree in (after.params, after.batch_stats, after.opt_state):
        assert {x.dtype for x in jax.tree.leaves(tree)} == {jnp.dtype(jnp.float32)}
    assert {metrics[name].dtype for name in ("loss", "accuracy", "top5")} == {jnp.dtype(jnp.float32)}


def test_no_key_is_used_twice():
    with jax.debug_key_reuse(True):
        model, optimizer = Noisy(), optax.sgd(0.1)
        state = noisy_start(model, optimizer)
        step = jax.jit(make_train_step(model, optimizer, always(noise)))
        for t in range(2):
            state, _ = step(state, pictures(t))
    assert int(state.step) == 2


def noise(key: Any, batch: Batch) -> Batch:
    return {**batch, "image": batch["image"] + jax.random.normal(key, batch["image"].shape)}


def test_parameters_and_the_base_key_come_from_independent_keys():
    key = jax.random.key(0)
    state = linear_start()
    assert not np.array_equal(jax.random.key_data(state.key), jax.random.key_data(key))
    again = linear_start()
    assert same_bits(state, again)


@pytest.mark.parametrize("options", [{"label_smoothing": -0.1}, {"label_smoothing": 1.1}, {"average_decay": 1.5}])
def test_a_step_refuses_options_out_of_range(options):
    with pytest.raises(ValueError, match=next(iter(options))):
        make_train_step(Linear(), optax.sgd(0.1), never(), **options)


@pytest.mark.parametrize("name", ["loss", "skipped", "epoch", "step", "seconds", "test_loss"])
def test_a_strategy_cannot_report_a_metric_under_a_name_of_the_record(name):
    always_one = Strategy(
        init=lambda n: (),
        select=lambda key, state, batch, score: (batch, state, {name: jnp.float32(1.0)}),
        observe=lambda state, batch, losses: state,
    )
    step = make_train_step(Linear(), optax.sgd(0.1), always_one)
    with pytest.raises(ValueError, match=rf"cannot use .*; got {name}\. Rename"):
        step(linear_start(), vectors())


def test_a_state_wants_a_typed_key():
    with pytest.raises(TypeError, match="typed key"):
        init_state(jax.random.PRNGKey(0), Linear(), optax.sgd(0.1), never(), shape=(FEATURES,), num_examples=1)
