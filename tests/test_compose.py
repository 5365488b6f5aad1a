"""The combinators: order, one coin for all leaves of an example, rates, and what a batch keeps."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from jaxaug.augment import flip_left_right, gaussian_noise
from jaxaug.compose import chain, on_images, on_pairs, one_of, sometimes
from jaxaug.mix import mixup, ricap

KEY = jax.random.key(0)
COUNT = 4096


def batch(count: int = 6) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    return {
        "image": np.asarray(rng.uniform(0.1, 0.9, (count, 4, 5, 3)), np.float32),
        "label": np.eye(count, 7, dtype=np.float32),
        "index": np.arange(count, dtype=np.int32),
    }


def zeros(count: int = COUNT) -> np.ndarray:
    return np.zeros(count, np.float32)


def applied(augmentation: Any, x: Any, key: jax.Array = KEY) -> Any:
    """Returns what the augmentation makes of x, compiled as a whole, as NumPy arrays."""
    return jax.tree.map(np.asarray, jax.jit(augmentation)(key, x))


def added(amount: float) -> Any:
    """Returns the augmentation that adds a number to every leaf."""
    return lambda key, x: jax.tree.map(lambda leaf: leaf + jnp.asarray(amount, leaf.dtype), x)


def assert_same_bits(one: Any, other: Any) -> None:
    assert jax.tree.structure(one) == jax.tree.structure(other)
    for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True):
        assert a.dtype == b.dtype
        np.testing.assert_array_equal(a, b)


def noisy(key: jax.Array, x: jax.Array) -> jax.Array:
    return gaussian_noise(key, x, stddev=1.0)


def test_chain_applies_in_the_order_given() -> None:
    double = lambda key, x: 2 * x  # noqa: E731
    np.testing.assert_array_equal(applied(chain(added(1), double), zeros(3) + 1), [4, 4, 4])
    np.testing.assert_array_equal(applied(chain(double, added(1)), zeros(3) + 1), [3, 3, 3])


def test_chain_of_nothing_is_the_identity() -> None:
    assert_same_bits(applied(chain(), batch()), batch())


def test_members_of_a_chain_draw_independently() -> None:
    def recorded(key: jax.Array, x: list[jax.Array]) -> list[jax.Array]:
        return [*x, jax.random.normal(key, (COUNT,))]

    correlation = np.corrcoef(np.stack(applied(chain(recorded, recorded, recorded), []))) - np.eye(3)
    assert np.abs(correlation).max() < 5 / COUNT**0.5


def test_chain_nests() -> None:
    flat = applied(chain(added(1), added(2), added(3)), batch())
    assert_same_bits(applied(chain(chain(added(1), added(2)), chain(added(3))), batch()), flat)


def test_sometimes_never_is_the_identity_bit_for_bit() -> None:
    ruined = lambda key, x: jax.tree.map(lambda leaf: leaf / jnp.zeros_like(leaf) - leaf, x)  # noqa: E731
    floats = {name: value for name, value in batch().items() if name != "index"}
    assert_same_bits(applied(sometimes(ruined, 0.0), floats), floats)


def test_sometimes_always_is_the_augmentation() -> None:
    assert_same_bits(applied(sometimes(added(1), 1.0), batch()), applied(added(1), batch()))


def test_sometimes_throws_one_coin_for_all_leaves_of_an_example() -> None:
    given = batch(64)
    result = applied(sometimes(added(1), 0.5), given)
    changed = [(result[name] != given[name]).reshape(64, -1) for name in given]
    coins = np.stack([c.any(1) for c in changed])
    np.testing.assert_array_equal(coins, np.stack([c.all(1) for c in changed]))
    np.testing.assert_array_equal(coins, np.broadcast_to(coins[:1], coins.shape))
    assert 0 < coins[0].sum() < 64


@pytest.mark.parametrize("prob", [0.1, 0.5, 0.9])
def test_sometimes_happens_at_its_rate_and_independently(prob: float) -> None:
    coins = np.asarray(SOMETIMES(KEY, zeros(), prob))
    assert abs(coins.mean() - prob) < 5 * (prob * (1 - prob) / COUNT) ** 0.5
    pairs = np.bincount((2 * coins[::2] + coins[1::2]).astype(int), minlength=4)
    law = np.outer([1 - prob, prob], [1 - prob, prob]).ravel()
    assert stats.chisquare(pairs, law * COUNT / 2).pvalue > 1e-6


def test_coin_of_sometimes_is_independent_of_what_it_applies() -> None:
    result = applied(sometimes(noisy, 0.5), zeros())
    noise = result[result != 0]
    assert stats.kstest(noise, "norm").pvalue > 1e-6


def test_sometimes_in_sometimes_multiplies_the_rates() -> None:
    coins = applied(sometimes(sometimes(added(1), 0.5), 0.5), zeros())
    assert abs(coins.mean() - 0.25) < 5 * (0.25 * 0.75 / COUNT) ** 0.5


def test_prob_of_sometimes_may_be_traced() -> None:
    traced = jax.jit(jax.vmap(lambda prob: sometimes(added(1), prob)(KEY, jnp.asarray(zeros(64)))))(
        np.asarray([0.0, 0.3, 1.0], np.float32)
    )
    for prob, result in zip((0.0, 0.3, 1.0), np.asarray(traced), strict=True):
        np.testing.assert_array_equal(result, applied(sometimes(added(1), prob), zeros(64)))


def test_infinite_candidate_leaves_the_gradient_of_the_others_alone() -> None:
    gradient = jax.jit(jax.grad(lambda x: sometimes(lambda key, y: y * 3, 0.5)(KEY, x).sum()))(zeros(64) + 1)
    assert set(np.asarray(gradient).tolist()) == {1.0, 3.0}


SOMETIMES = jax.jit(lambda key, x, prob: sometimes(added(1), prob)(key, x))
MEMBERS = (added(1), added(2), added(3))


@pytest.mark.parametrize("weights", [None, (1.0, 1.0, 1.0), (0.2, 0.5, 0.3), [1.0, 8.0, 3.0]])
def test_one_of_chooses_by_the_weights(weights: Any) -> None:
    choice = applied(one_of(*MEMBERS, weights=weights), zeros()).astype(int)
    law = np.ones(3) if weights is None else np.asarray(weights, float)
    assert stats.chisquare(np.bincount(choice - 1, minlength=3), COUNT * law / law.sum()).pvalue > 1e-6


def test_one_of_chooses_for_each_example_independently() -> None:
    choice = applied(one_of(*MEMBERS), zeros()).astype(int) - 1
    pairs = np.bincount(3 * choice[::2] + choice[1::2], minlength=9)
    assert stats.chisquare(pairs).pvalue > 1e-6


def test_one_of_makes_one_choice_for_all_leaves_of_an_example() -> None:
    given = batch(64)
    result = applied(one_of(*MEMBERS), given)
    for name, leaf in result.items():
        moved = (leaf - given[name]).reshape(64, -1)
        np.testing.assert_allclose(moved, np.broadcast_to(moved[:, :1], moved.shape), atol=1e-6)
        np.testing.assert_allclose(moved[:, 0], result["index"] - given["index"], atol=1e-6)


def test_weight_zero_is_never_chosen() -> None:
    choice = applied(one_of(*MEMBERS, weights=(1.0, 0.0, 1.0)), zeros())
    assert set(choice.tolist()) == {1.0, 3.0}


def test_one_of_one_is_that_one() -> None:
    assert_same_bits(applied(one_of(added(1)), batch()), applied(added(1), batch()))


def test_members_of_one_of_draw_independently_of_the_choice() -> None:
    result = applied(one_of(noisy, lambda key, x: noisy(key, x) + 100.0), zeros())
    for noise in (result[result < 50], result[result > 50] - 100):
        assert stats.kstest(noise, "norm").pvalue > 1e-6


def test_weights_of_one_of_may_be_traced() -> None:
    grid = np.asarray([[1.0, 0.0, 0.0], [0.2, 0.3, 0.5]], np.float32)
    traced = jax.jit(jax.vmap(lambda weights: one_of(*MEMBERS, weights=weights)(KEY, jnp.asarray(zeros(64)))))(grid)
    for weights, result in zip(grid, np.asarray(traced), strict=True):
        np.testing.assert_array_equal(result, applied(one_of(*MEMBERS, weights=weights), zeros(64)))


def test_on_images_replaces_the_image_and_nothing_else() -> None:
    given = batch()
    kept = dict(given)
    result = jax.jit(lambda key: on_images(flip_left_right, prob=1.0)(key, given))(KEY)
    np.testing.assert_array_equal(result["image"], given["image"][:, :, ::-1])
    assert_same_bits({**result, "image": given["image"]}, given)
    # The caller's dict is the caller's.
    assert all(given[name] is kept[name] for name in kept)


def test_on_pairs_replaces_image_and_label_and_nothing_else() -> None:
    given = batch()
    kept = dict(given)
    result = jax.jit(lambda key: on_pairs(mixup, alpha=2.0)(key, given))(KEY)
    images, labels = jax.jit(lambda key: mixup(key, given["image"], given["label"], alpha=2.0))(KEY)
    assert_same_bits(result, {**given, "image": images, "label": labels})
    assert all(given[name] is kept[name] for name in kept)


def test_sometimes_keeps_image_and_label_of_a_mix_together() -> None:
    given = batch(7)
    given = {**given, "image": np.broadcast_to(given["label"][:, None, None, :], (7, 4, 6, 7))}
    result = applied(sometimes(on_pairs(ricap, beta=1.0), 0.5), given, jax.random.key(1))
    share = result["image"].mean((1, 2))
    np.testing.assert_allclose(result["label"], share, atol=1e-6)
    mixed = (share < 1).all(1)
    assert 0 < mixed.sum() < 7


def test_everything_composes_under_jit_vmap_and_scan() -> None:
    augment = chain(
        on_images(flip_left_right),
        sometimes(on_images(gaussian_noise, stddev=0.1), 0.5),
        one_of(on_pairs(mixup), on_images(flip_left_right, prob=1.0), weights=(1.0, 2.0)),
    )
    keys, given = jax.random.split(KEY, 2), jax.tree.map(jnp.asarray, batch())
    mapped = jax.jit(jax.vmap(augment, (0, None)))(keys, given)
    scanned = jax.jit(lambda keys: jax.lax.scan(lambda carry, key: (carry, augment(key, given)), None, keys)[1])(keys)
    for index, key in enumerate(keys):
        eager = augment(key, given)
        for name in given:
            np.testing.assert_allclose(mapped[name][index], eager[name], atol=1e-6)
            np.testing.assert_allclose(scanned[name][index], eager[name], atol=1e-6)
