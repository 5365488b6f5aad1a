"""What strategies are handed as scores, and what a training step does with them."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxaug import create_model, importance_sampled, self_paced
from jaxaug.augment import gaussian_noise
from jaxaug.compose import on_images
from jaxaug.sampling import Strategy, always, batch_augmented, slow_start
from jaxaug.training import Scorer, init_state, make_train_step, network_scorer, proxy_scorer, score_every
from jaxaug.training.losses import cross_entropy

KEY = jax.random.key(0)
NOISE = on_images(gaussian_noise, stddev=0.5)


class Small(nn.Module):
    """A convolution, batch normalization and dropout."""

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool = False) -> jax.Array:
        x = nn.Conv(4, (3, 3))(x)
        x = nn.relu(nn.BatchNorm(use_running_average=not train)(x))
        x = nn.Dropout(0.5, deterministic=not train)(x)
        return nn.Dense(3)(x.mean(axis=(1, 2)))


def batch() -> dict[str, jax.Array]:
    images = jax.random.uniform(jax.random.key(1), (6, 8, 8, 2))
    return {"image": images, "label": jax.nn.one_hot(jnp.arange(6) % 3, 3), "index": jnp.arange(6) + 2}


def start(strategy: Strategy, scorer: Scorer | None = None) -> tuple[Any, Any]:
    """Returns a compiled step, and its first state."""
    model, optimizer = Small(), optax.sgd(0.1)
    state = init_state(KEY, model, optimizer, strategy, shape=(8, 8, 2), num_examples=10, scorer=scorer)
    return jax.jit(make_train_step(model, optimizer, strategy, scorer=scorer)), state


def exact(state: Any, batch: dict[str, jax.Array]) -> jax.Array:
    logits = Small().apply(state.variables, batch["image"], train=False)
    assert isinstance(logits, jax.Array)
    return cross_entropy(logits, batch["label"])


def same(one: Any, other: Any) -> bool:
    return all(
        np.array_equal(a, b) for a, b in zip(jax.tree.leaves(one.params), jax.tree.leaves(other.params), strict=True)
    )


def test_score_is_the_clean_loss_in_inference_mode() -> None:
    seen: list[jax.Array] = []

    def select(key: Any, state: Any, batch: Any, score: Any) -> Any:
        seen.append(score(batch))
        return batch, state, {}

    strategy = Strategy(lambda n: (), select, lambda state, batch, losses: state)
    model, optimizer = Small(), optax.sgd(0.1)
    state = init_state(KEY, model, optimizer, strategy, shape=(8, 8, 2), num_examples=10)
    make_train_step(model, optimizer, strategy)(state, batch())
    np.testing.assert_allclose(seen[0], exact(state, batch()), rtol=1e-5)


def test_scoring_touches_neither_statistics_nor_noise() -> None:
    """A strategy that scores and augments nobody trains as one that does not score."""
    step, state = start(self_paced(NOISE, threshold=jnp.inf))
    plain, first = start(always(lambda key, batch: batch))
    scored, _ = step(state, batch())
    unscored, _ = plain(first, batch())
    assert same(scored, unscored)
    for a, b in zip(jax.tree.leaves(scored.batch_stats), jax.tree.leaves(unscored.batch_stats), strict=True):
        np.testing.assert_array_equal(a, b)


def test_threshold_zero_trains_as_plain_augmentation() -> None:
    step, state = start(self_paced(NOISE, threshold=0.0))
    plain, first = start(always(NOISE))
    assert same(step(state, batch())[0], plain(first, batch())[0])


def test_stored_losses_are_the_training_losses() -> None:
    step, state = start(self_paced(NOISE, threshold=0.0, score="stored"))
    state, metrics = step(state, batch())
    table = np.asarray(state.strategy_state.losses)
    assert np.isinf(table[[0, 1, 8, 9]]).all()
    np.testing.assert_allclose(table[2:8].mean(), metrics["loss"], rtol=1e-5)


@pytest.mark.parametrize(
    "strategy",
    [
        self_paced(NOISE, threshold=1.1),
        self_paced(NOISE, threshold=1.1, score="stored"),
        importance_sampled(NOISE, unbiased=True),
        importance_sampled(NOISE, scan=True),
        batch_augmented(NOISE),
        slow_start(importance_sampled(NOISE), steps=3),
    ],
    ids=["current", "stored", "unbiased", "scan", "copies", "slow start"],
)
def test_population_under_vmap_trains_as_one_by_one(strategy: Strategy) -> None:
    model, optimizer = Small(), optax.sgd(0.1)
    step = make_train_step(model, optimizer, strategy)
    states = [
        init_state(jax.random.key(s), model, optimizer, strategy, shape=(8, 8, 2), num_examples=10) for s in range(2)
    ]
    together = jax.tree.map(lambda *leaves: jnp.stack(leaves), *states)
    many, one = jax.jit(jax.vmap(step, (0, None))), jax.jit(step)
    for _ in range(2):
        together, _ = many(together, batch())
        states = [one(state, batch())[0] for state in states]
    alone = jax.tree.map(lambda *leaves: jnp.stack(leaves), *states)
    for a, b in zip(jax.tree.leaves(together.params), jax.tree.leaves(alone.params), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5)


def test_losses_that_are_nan_stop_the_step() -> None:
    """Also where the batch that is trained on is sound."""
    broken = Scorer(lambda *_: (), lambda state, variables, batch: jnp.full(6, jnp.nan), lambda state, *_: state)
    step, state = start(self_paced(NOISE, threshold=1.0), broken)
    assert not step(state, batch())[1]["finite"]


@pytest.mark.parametrize("side", [1, 2, 4])
def test_resolution_averages_pixels(side: int) -> None:
    _, state = start(always(NOISE))
    scores = network_scorer(Small(), resolution=side).score((), state.variables, batch())
    images = np.asarray(batch()["image"]).reshape(6, 8 // side, side, 8 // side, side, 2).mean((2, 4))
    np.testing.assert_allclose(scores, exact(state, {**batch(), "image": jnp.asarray(images)}), rtol=1e-5)


def test_another_arithmetic_takes_the_same_variables() -> None:
    variables = create_model("cnn", 3).init(KEY, batch()["image"])
    scores, halves = (
        network_scorer(create_model("cnn", 3, dtype=dtype)).score((), variables, batch())
        for dtype in (jnp.float32, jnp.bfloat16)
    )
    np.testing.assert_allclose(halves, scores, rtol=0.05)
    assert not np.array_equal(halves, scores)


def test_proxy_learns_along() -> None:
    scorer = proxy_scorer(create_model("mlp", 3), optax.sgd(0.3))
    step, state = start(importance_sampled(NOISE, num_candidates=2), scorer)
    before = scorer.score(state.score_state, state.variables, batch()).mean()
    for _ in range(30):
        state, metrics = step(state, batch())
        assert metrics["finite"]
    assert scorer.score(state.score_state, state.variables, batch()).mean() < before
    assert int(state.score_state.step) == 30


def test_between_scored_steps_the_last_losses_are_recalled() -> None:
    inner = Scorer(lambda *_: (), lambda state, variables, batch: batch["fresh"], lambda state, *_: state)
    scorer = score_every(inner, 3)
    state = scorer.init(KEY, (2,), 5)
    seen = []
    for t in range(5):
        given = {"index": jnp.array([1, 4]), "fresh": jnp.full(2, 10.0 * t)}
        seen.append(scorer.score(state, None, given).tolist())
        state = scorer.observe(state, given, jnp.array([t + 0.25, t + 0.5]))
    assert seen == [[0, 0], [0.25, 0.5], [1.25, 1.5], [30, 30], [3.25, 3.5]]
    unseen = scorer.score(state, None, {"index": jnp.array([0, 4]), "fresh": jnp.zeros(2)})
    assert unseen.tolist() == [np.inf, 4.5]


def test_bad_resolution_is_refused() -> None:
    with pytest.raises(ValueError, match="resolution of at least 1; got 0"):
        network_scorer(Small(), resolution=0)
    with pytest.raises(ValueError, match="whose sides 3 divides; got \\[6, 8, 8, 2\\]"):
        network_scorer(Small(), resolution=3).score((), {}, batch())
    with pytest.raises(ValueError, match="steps of at least 1; got 0"):
        score_every(network_scorer(Small()), 0)
