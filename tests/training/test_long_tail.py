"""Balanced order, class prior, logit adjustment and accuracy by shots."""

import dataclasses
import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import scipy.special
from laws.interface import annotations_unchecked
from resumption import Stopper, bits

from jaxaug import never
from jaxaug.data import Dataset, Split
from jaxaug.sampling import Strategy
from jaxaug.training import (
    InMemoryRunner,
    class_balanced_order,
    device_split,
    epoch_order,
    fit,
    init_state,
    log_prior,
    make_eval_step,
    make_train_step,
    shots,
)
from jaxaug.training.evaluation import InMemoryEvaluator
from jaxaug.training.long_tail import accuracies_by_shots

EPOCHS = 600
CASES = {
    "a long tail": [9, 4, 2, 1],
    "a class without examples": [5, 0, 3, 0, 2],
    "one class": [0, 6, 0],
    "more classes than fit": [1, 1, 1, 1, 3],
}


@functools.cache
def case(name: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns labels, counts and the orders of many epochs."""
    counts = np.array(CASES[name])
    labels = np.random.default_rng(0).permutation(np.repeat(np.arange(len(counts)), counts)).astype(np.int32)
    orders = jax.jit(
        jax.vmap(lambda epoch: class_balanced_order(jax.random.key(3), epoch, jnp.asarray(labels), len(counts)))
    )(jnp.arange(EPOCHS, dtype=jnp.int32))
    assert orders.dtype == jnp.int32
    assert orders.shape == (EPOCHS, len(labels))
    return labels, counts, np.asarray(orders)


@pytest.mark.parametrize("name", CASES)
def test_every_class_and_every_member_of_a_class_appears_equally_often_up_to_one(name):
    labels, counts, orders = case(name)
    present = np.flatnonzero(counts)
    for order in orders[:100]:
        drawn = np.bincount(labels[order], minlength=len(counts))
        assert set(drawn[present]) <= {len(labels) // len(present), -(-len(labels) // len(present))}
        assert drawn.sum() == drawn[present].sum() == len(labels)
        uses = np.bincount(order, minlength=len(labels))
        for k in present:
            assert np.ptp(uses[labels == k]) <= 1  # no member twice before all were once


def within(rate, expected, n):
    """Five standard errors of a mean of n draws that are 0 or 1."""
    return np.abs(rate - expected).max() <= 5 * np.sqrt(max(expected * (1 - expected), 1e-9) / n)


def test_classes_places_and_members_are_drawn_at_equal_rates():
    labels, _, orders = case("a class without examples")  # 10 draws for 3 classes: 3 or 4
    drawn = np.stack([np.bincount(labels[order], minlength=5) for order in orders])[:, [0, 2, 4]]
    assert within((drawn == 4).mean(axis=0), 1 / 3, EPOCHS)
    for k in (0, 2, 4):
        assert within((labels[orders] == k).mean(axis=0), 1 / 3, EPOCHS)
    # Class 0 has 5 members for 3 or 4 draws: each is used in (3 * 2 + 4) / 3 / 5 of the epochs.
    used = (orders[:, :, None] == np.flatnonzero(labels == 0)).any(axis=1)
    assert within(used.mean(axis=0), 2 / 3, EPOCHS)


def test_two_epochs_share_members_as_independent_draws_do():
    labels, _, orders = case("a long tail")  # 4 of the 9 members of class 0, of 16 draws
    chosen = (orders[:, :, None] == np.flatnonzero(labels == 0)).any(axis=1)
    assert (chosen.sum(axis=1) == 4).all()
    shared = (chosen[1:] & chosen[:-1]).sum(axis=1)
    spread = np.sqrt(4 * (4 / 9) * (5 / 9) * (5 / 8))  # hypergeometric
    assert abs(shared.mean() - 16 / 9) < 5 * spread / np.sqrt(EPOCHS - 1)
    assert len({tuple(order) for order in orders}) == EPOCHS


def test_the_balanced_order_follows_from_key_and_epoch_and_is_the_same_under_jit():
    labels, counts, orders = case("a long tail")
    for epoch in (0, 5):
        alone = class_balanced_order(jax.random.key(3), jnp.int32(epoch), jnp.asarray(labels), len(counts))
        np.testing.assert_array_equal(alone, orders[epoch])
    other = class_balanced_order(jax.random.key(4), jnp.int32(0), jnp.asarray(labels), len(counts))
    assert (np.asarray(other) != orders[0]).any()


def test_the_shuffled_order_is_pinned():
    np.testing.assert_array_equal(epoch_order(jax.random.key(0), jnp.int32(3), 9), PINNED)


PINNED = [1, 8, 4, 7, 3, 2, 0, 6, 5]


class Linear(nn.Module):
    """Logits x W."""

    @nn.compact
    def __call__(self, x, *, train=False):
        return nn.Dense(3, use_bias=False)(x)


def counting() -> Strategy:
    """Counts how often each example was trained on, and keeps its last loss."""
    return Strategy(
        init=lambda n: (jnp.zeros(n, jnp.int32), jnp.zeros(n)),
        select=lambda key, state, batch, score: (batch, state, {"score": jnp.mean(score(batch))}),
        observe=lambda state, batch, losses: (
            state[0].at[batch["index"]].add(1),
            state[1].at[batch["index"]].set(losses),
        ),
    )


def long_tail() -> Dataset:
    rng = np.random.default_rng(1)
    counts = {"train": (101, 30, 5), "test": (6, 4, 5), "validation": (5, 2, 0)}

    def split(counts):
        labels = rng.permutation(np.repeat(np.arange(3), counts)).astype(np.int32)
        return Split(rng.standard_normal((len(labels), 4)).astype(np.float32), labels)

    parts = {name: split(c) for name, c in counts.items()}
    return Dataset("tail", parts["train"], parts["test"], ("a", "b", "c"), validation=parts["validation"])


TAIL, OPTIMIZER, COUNTING = long_tail(), optax.sgd(0.1, momentum=0.9), counting()
STEP, EVAL = make_train_step(Linear(), OPTIMIZER, COUNTING), make_eval_step(Linear())


def start(strategy: Strategy = COUNTING, num_examples: int = 136):
    return init_state(jax.random.key(0), Linear(), OPTIMIZER, strategy, shape=(4,), num_examples=num_examples)


def test_a_class_balanced_run_trains_on_its_orders_and_resumes_to_the_same_bits():
    options = {"epochs": 2, "batch_size": 40, "sampling": "class_balanced", "engine": "loop"}
    whole, records = fit(start(), STEP, EVAL, TAIL, **options)
    labels = jnp.asarray(TAIL.train.labels)
    orders = [class_balanced_order(whole.key, jnp.int32(epoch), labels, 3) for epoch in range(2)]
    seen = np.bincount(np.concatenate(orders), minlength=136)
    np.testing.assert_array_equal(whole.strategy_state[0], seen)
    assert {seen[TAIL.train.labels == k].sum() for k in range(3)} <= {90, 91, 92}
    hooks = Stopper(6)  # in the second epoch
    _, first = fit(start(), STEP, EVAL, TAIL, hooks=hooks, **options)
    assert hooks.kept is not None
    state, totals = hooks.kept
    state, rest = fit(state, STEP, EVAL, TAIL, totals=totals, **options)
    assert bits(state) == bits(whole)
    clock = ("seconds", "examples_per_second")
    assert [{k: v for k, v in r.items() if k not in clock} for r in first + rest] == [
        {k: v for k, v in r.items() if k not in clock} for r in records
    ]
    # Accuracy by shots, by the definition; the last class is not in the validation split.
    logits = {name: np.asarray(Linear().apply(state.variables, split.images)) for name, split in TAIL.splits.items()}
    rates = {
        (name, k): (logits[name][split.labels == k].argmax(axis=1) == k).mean()
        for name, split in TAIL.splits.items()
        for k in set(split.labels)
    }
    for k, shot in enumerate(("many", "medium", "few")):
        assert records[-1][f"test_{shot}_shot"] == pytest.approx(rates["test", k])
        expected = None if shot == "few" else pytest.approx(rates["validation", k])
        assert records[-1][f"validation_{shot}_shot"] == expected


def test_records_have_no_shots_where_all_classes_are_of_one_group_and_none_where_not_evaluated():
    part = TAIL.train.labels < 5
    few = Dataset("few", Split(TAIL.train.images[:15], TAIL.train.labels[:15]), TAIL.test, TAIL.class_names)
    assert part.all()
    _, records = fit(start(num_examples=15), STEP, EVAL, few, epochs=1, batch_size=15)
    assert not any("shot" in name for name in records[0])
    _, records = fit(start(), STEP, EVAL, TAIL, epochs=2, batch_size=136, eval_every=2)
    assert records[0]["test_few_shot"] is None
    assert records[1]["test_few_shot"] is not None


def test_an_unknown_sampling_is_refused():
    with annotations_unchecked(), pytest.raises(ValueError, match="'shuffled', 'class_balanced' for sampling; got 'x'"):
        InMemoryRunner(STEP, start(), device_split(TAIL.train), batch_size=4, num_classes=3, sampling="x")  # pyright: ignore


@pytest.mark.parametrize("batch_size", [4, 15])
def test_an_evaluation_by_classes_counts_every_example_once_and_leaves_the_means_alone(batch_size):
    data, state = device_split(TAIL.test), start()
    plain = InMemoryEvaluator(EVAL, data, batch_size=batch_size, num_classes=3).means(state)
    groups = ("many", "few", "few")
    means = InMemoryEvaluator(EVAL, data, batch_size=batch_size, num_classes=3, groups=groups).means(state)
    assert {name: means[name] for name in plain} == plain
    logits = np.asarray(Linear().apply(state.variables, TAIL.test.images))
    hits = logits.argmax(axis=1) == TAIL.test.labels
    rates = [hits[TAIL.test.labels == k].mean() for k in range(3)]
    assert means["many_shot"] == pytest.approx(rates[0])
    assert means["few_shot"] == pytest.approx((rates[1] + rates[2]) / 2)
    assert set(means) == {*plain, "many_shot", "few_shot"}


def test_the_groups_are_those_of_the_paper():
    assert shots([1000, 101, 100, 20, 19, 0]) == ("many", "many", "medium", "medium", "few", "few")
    assert accuracies_by_shots([3, 0], [4, 0], ("many", "few")) == {"many_shot": 0.75, "few_shot": None}


def test_the_log_prior_is_the_log_of_the_shares():
    counts = np.array([5000, 17, 1])
    np.testing.assert_allclose(log_prior(counts), np.log(counts / 5018), rtol=1e-6)
    np.testing.assert_allclose(jax.nn.logsumexp(log_prior(counts)), 0, atol=1e-6)
    assert log_prior(counts).dtype == jnp.float32
    np.testing.assert_array_equal(log_prior([1e8, 1.0])[1], np.float32(np.log(1 / (1e8 + 1))))


@pytest.mark.parametrize(
    ("counts", "sentence"),
    [
        ([3, 0, 2], "at least one example of every class; got 0 of class 1"),
        ([3.0, np.nan], "got nan of class 1"),
        ([[1, 2]], r"counts \[K\], one for each class; got int64\[1, 2\]"),
        ([], "counts"),
        (["a"], "counts"),
    ],
)
def test_a_prior_that_has_no_log_is_refused_in_one_sentence(counts, sentence):
    with pytest.raises(ValueError, match=sentence):
        log_prior(counts)


ADJUSTMENT = np.array([0.5, -2.0, 0.1], np.float32)


def tail_batch():
    rng = np.random.default_rng(2)
    label = rng.dirichlet(np.ones(3), 6).astype(np.float32)
    return {"image": rng.standard_normal((6, 4)).astype(np.float32), "label": label, "index": np.arange(6)}


def test_an_adjusted_step_follows_the_gradient_of_shifted_logits_and_nothing_else_is_shifted():
    batch, smoothing = jax.tree.map(jnp.asarray, tail_batch()), 0.1
    optimizer = optax.sgd(0.1)
    step = make_train_step(
        Linear(), optimizer, COUNTING, label_smoothing=smoothing, logit_adjustment=jnp.asarray(ADJUSTMENT)
    )
    state = init_state(jax.random.key(0), Linear(), optimizer, COUNTING, shape=(4,), num_examples=6)
    weights = np.asarray(state.params["Dense_0"]["kernel"], np.float64)
    x, label = np.asarray(batch["image"], np.float64), np.asarray(batch["label"], np.float64)
    soft = (1 - smoothing) * label + smoothing / 3
    shifted, plain = x @ weights + ADJUSTMENT, x @ weights
    after, metrics = jax.jit(step)(state, batch)
    expected = weights - 0.1 * x.T @ (scipy.special.softmax(shifted, axis=1) - soft) / 6
    np.testing.assert_allclose(after.params["Dense_0"]["kernel"], expected, rtol=1e-5, atol=1e-6)
    loss = -(soft * scipy.special.log_softmax(shifted, axis=1)).sum(axis=1)
    np.testing.assert_allclose(metrics["loss"], loss.mean(), rtol=1e-5)
    np.testing.assert_allclose(metrics["accuracy"], label[np.arange(6), plain.argmax(axis=1)].mean(), rtol=1e-6)
    own = -(label * scipy.special.log_softmax(plain, axis=1)).sum(axis=1)
    np.testing.assert_allclose(metrics["score"], own.mean(), rtol=1e-5)
    np.testing.assert_allclose(after.strategy_state[1], own, rtol=1e-5)


def test_adjusting_by_zeros_is_adjusting_by_nothing():
    batch, zeros = (
        jax.tree.map(jnp.asarray, tail_batch()),
        make_train_step(Linear(), OPTIMIZER, COUNTING, logit_adjustment=np.zeros(3, np.float32)),
    )
    (one, metrics), (other, others) = jax.jit(zeros)(start(), batch), jax.jit(STEP)(start(), batch)
    assert bits(one) == bits(other)
    assert {k: float(v) for k, v in metrics.items()} == {k: float(v) for k, v in others.items()}


def test_log_likelihoods_of_the_classes_are_where_adjusted_training_rests():
    """At z_k(x) = log p(x | k) the gradient vanishes: the arg max is then the best for the mean of the class errors."""
    joint = np.array([[60, 30, 10], [1, 2, 7], [4, 4, 2]])  # examples [k, x]
    k, x = (np.repeat(a.ravel(), joint.ravel()) for a in np.indices(joint.shape))
    batch = {"image": jnp.eye(3)[x], "label": jnp.eye(3)[k], "index": jnp.arange(len(x))}
    likelihood = np.log(joint / joint.sum(axis=1, keepdims=True)).T.astype(np.float32)
    optimizer = optax.sgd(1.0)
    state = init_state(jax.random.key(0), Linear(), optimizer, never(), shape=(3,), num_examples=len(x))
    state = dataclasses.replace(state, params={"Dense_0": {"kernel": jnp.asarray(likelihood)}})
    adjusted = make_train_step(Linear(), optimizer, never(), logit_adjustment=log_prior(joint.sum(axis=1)))
    np.testing.assert_allclose(adjusted(state, batch)[0].params["Dense_0"]["kernel"], likelihood, atol=1e-6)
    moved = make_train_step(Linear(), optimizer, never())(state, batch)[0].params["Dense_0"]["kernel"]
    assert np.abs(moved - likelihood).max() > 0.05


@pytest.mark.parametrize(
    ("adjustment", "error", "sentence"),
    [
        (
            np.zeros(4, np.float32),
            ValueError,
            r"for each class; got float32\[4\] for logits float32\[6, 3\]",
        ),
        (np.zeros((1, 3), np.float32), ValueError, r"logit_adjustment \[K\]; got float32\[1, 3\]"),
        (np.array([0.0, -np.inf, 0.0], np.float32), ValueError, "finite numbers for logit_adjustment; got"),
        (np.zeros(3, np.int32), TypeError, "floating-point"),
    ],
)
def test_an_adjustment_that_does_not_fit_is_refused_in_one_sentence(adjustment, error, sentence):
    with pytest.raises(error, match=sentence):
        make_train_step(Linear(), OPTIMIZER, COUNTING, logit_adjustment=adjustment)(
            start(), jax.tree.map(jnp.asarray, tail_batch())
        )
