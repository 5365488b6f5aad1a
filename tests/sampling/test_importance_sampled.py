"""Importance-sampled, hardest and repeated copies against their laws."""

from typing import Any, NoReturn

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from laws.interface import annotations_unchecked

from jaxaug.augment import gaussian_noise
from jaxaug.compose import chain, on_images, on_pairs
from jaxaug.mix import mixup
from jaxaug.sampling import Strategy, batch_augmented, importance_sampled, importance_weights, max_loss

KEY = jax.random.key(0)
MIXED = chain(on_images(gaussian_noise, stddev=0.1), on_pairs(mixup))
KINDS = ("loss", "one_minus_prob", "softmax", "uniform")


def batch() -> dict[str, jax.Array]:
    images = np.float32(np.random.default_rng(1).uniform(size=(5, 6, 4, 3)))
    given = {"image": images, "label": np.eye(5, dtype=np.float32), "index": np.arange(5, dtype=np.int32)}
    return jax.tree.map(jnp.asarray, given)


def selected(strategy: Strategy, state: Any, batch: Any, score: Any, key: jax.Array = KEY) -> Any:
    """Returns what the strategy selects, in one program."""
    return jax.jit(lambda key, state, batch: strategy.select(key, state, batch, score))(key, state, batch)


def copies_of(size: int) -> dict[str, np.ndarray]:
    """Returns a batch whose augmentation is `from_table`'s."""
    return {"index": np.arange(size, dtype=np.int32), "copy": np.zeros(size, np.int32)}


def brightness(batch: dict[str, Any]) -> jax.Array:
    return batch["image"].mean((1, 2, 3))


def unused(batch: dict[str, Any]) -> NoReturn:
    raise AssertionError("nothing is scored here")


def from_table(table: np.ndarray) -> tuple[Any, Any]:
    """Returns an augmentation whose copy j of example i has the loss table[j, i], and the score that reads it.

    The copy's number is what a key says, and the keys of M copies are not known here: each is one of the rows, drawn
    uniformly, so laws are stated of what was drawn.
    """

    def augment(key: jax.Array, batch: dict[str, Any]) -> dict[str, Any]:
        size = batch["index"].shape[0]
        return {**batch, "copy": jax.random.randint(key, (size,), 0, table.shape[0])}

    def score(batch: dict[str, Any]) -> jax.Array:
        return jnp.asarray(table)[batch["copy"], batch["index"]]

    return augment, score


@pytest.mark.parametrize("importance", KINDS)
@pytest.mark.parametrize("scan", [False, True], ids=["at_once", "scan"])
def test_copies_are_drawn_with_their_weights(importance: Any, scan: bool) -> None:
    """With M copies of losses from two values, the share of the larger follows from q by its expectation."""
    table = np.asarray([[0.2], [1.8]], np.float32)
    augment, score = from_table(np.tile(table, (1, 40_000)))
    strategy = importance_sampled(augment, num_candidates=2, importance=importance, temperature=0.5, scan=scan)
    out, _, metrics = selected(strategy, (), copies_of(40_000), score)
    share = np.asarray(out["copy"]).mean()
    q = float(importance_weights(jnp.asarray(table), importance=importance, temperature=0.5)[1, 0])
    expected = 1 / 4 + q / 2  # both large; one of them
    assert share == pytest.approx(expected, abs=4 * np.sqrt(expected * (1 - expected) / 40_000))
    np.testing.assert_allclose(metrics["drawn_loss"], 0.2 + 1.6 * share, rtol=1e-4)
    np.testing.assert_allclose(metrics["candidate_loss"], 1.0, atol=0.02)


def test_examples_are_drawn_independently() -> None:
    augment, score = from_table(np.ones((2, 2), np.float32))
    strategy = importance_sampled(augment, num_candidates=2)
    keys = jax.random.split(KEY, 4000)
    run = jax.jit(jax.vmap(lambda k: strategy.select(k, (), copies_of(2), score)[0]["copy"]))
    drawn = np.asarray(run(keys))
    assert abs(np.corrcoef(drawn.T)[0, 1]) < 4 / np.sqrt(4000)
    np.testing.assert_allclose(drawn.mean(axis=0), 0.5, atol=4 * 0.5 / np.sqrt(4000))


@pytest.mark.parametrize("importance", ["loss", "softmax"])
def test_correction_restores_the_plain_expectation(importance: Any) -> None:
    """E[f(drawn) / (M q)] is the mean of f over the copies, for an f that has nothing to do with the loss."""
    table = np.tile(np.asarray([[0.5], [3.0], [1.0]], np.float32), (1, 60_000))
    augment, score = from_table(table)
    strategy = importance_sampled(augment, num_candidates=3, importance=importance, unbiased=True)
    out, _, _ = selected(strategy, (), copies_of(60_000), score)
    weighted = np.asarray([4.0, -1.0, 2.0], np.float32)[out["copy"]] * np.asarray(out["weight"])
    assert weighted.mean() == pytest.approx(5 / 3, abs=4 * weighted.std() / np.sqrt(60_000))
    weight = np.asarray(out["weight"])
    assert weight.mean() == pytest.approx(1.0, abs=4 * weight.std() / np.sqrt(60_000))


def test_correction_multiplies_a_weight_that_is_there() -> None:
    strategy = importance_sampled(on_images(gaussian_noise, stddev=1.0), unbiased=True)
    plain, _, _ = selected(strategy, (), batch(), brightness)
    twice, _, _ = selected(strategy, (), {**batch(), "weight": np.full(5, 2, np.float32)}, brightness)
    np.testing.assert_allclose(twice["weight"], 2 * plain["weight"], rtol=1e-6)


def test_uniform_weights_are_one() -> None:
    strategy = importance_sampled(on_images(gaussian_noise, stddev=1.0), importance="uniform", unbiased=True)
    out, _, _ = selected(strategy, (), batch(), brightness)
    np.testing.assert_allclose(out["weight"], 1.0, rtol=1e-6)


@pytest.mark.parametrize("make", [importance_sampled, max_loss])
@pytest.mark.parametrize("num_candidates", [1, 3])
def test_scan_draws_the_same_copies(make: Any, num_candidates: int) -> None:
    at_once, in_turn = (
        selected(make(MIXED, num_candidates=num_candidates, scan=scan), (), batch(), brightness)[::2]
        for scan in (False, True)
    )
    for one, other in zip(jax.tree.leaves(at_once), jax.tree.leaves(in_turn), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-6)


@pytest.mark.parametrize("make", [importance_sampled, max_loss])
def test_what_comes_back_is_a_copy_with_its_own_label(make: Any) -> None:
    copies: list[Any] = []

    def recorded(key: jax.Array, batch: dict[str, Any]) -> dict[str, Any]:
        copies.append(MIXED(key, batch))
        return copies[-1]

    out, _, _ = make(recorded, num_candidates=4).select(KEY, (), batch(), brightness)
    assert len(copies) == 4
    for i in range(5):
        same = [
            all(np.array_equal(copy[name][i], out[name][i]) for name in ("image", "label", "index")) for copy in copies
        ]
        assert sum(same) == 1


def test_max_loss_takes_the_largest() -> None:
    copies: list[Any] = []

    def recorded(key: jax.Array, batch: dict[str, Any]) -> dict[str, Any]:
        copies.append(on_images(gaussian_noise, stddev=1.0)(key, batch))
        return copies[-1]

    out, _, metrics = max_loss(recorded, num_candidates=5).select(KEY, (), batch(), brightness)
    losses = np.stack([brightness(copy) for copy in copies])
    np.testing.assert_array_equal(brightness(out), losses.max(axis=0))
    np.testing.assert_allclose(metrics["drawn_loss"], losses.max(axis=0).mean(), rtol=1e-6)
    np.testing.assert_allclose(metrics["candidate_loss"], losses.mean(), rtol=1e-5)


def test_all_zero_losses_draw_uniformly() -> None:
    augment, _ = from_table(np.zeros((2, 1), np.float32))
    strategy = importance_sampled(augment, num_candidates=3)
    out, _, _ = selected(strategy, (), copies_of(20_000), lambda b: jnp.zeros(b["copy"].shape[0]))
    assert np.asarray(out["copy"]).mean() == pytest.approx(0.5, abs=4 * 0.5 / np.sqrt(20_000))


def test_any_pytree_is_a_batch() -> None:
    strategy = importance_sampled(lambda key, x: (x[0] + jax.random.normal(key, x[0].shape), x[1]), num_candidates=3)
    given = np.zeros(6, np.float32), np.arange(6, dtype=np.int32)
    (first, second), _, _ = selected(strategy, (), given, lambda x: jnp.abs(x[0]))
    assert first.shape == (6,)
    np.testing.assert_array_equal(second, np.arange(6))


@pytest.mark.parametrize("scan", [False, True], ids=["at_once", "scan"])
def test_score_sees_all_copies_at_once_or_one_at_a_time(scan: bool) -> None:
    sizes: set[int] = set()

    def score(batch: dict[str, Any]) -> jax.Array:
        sizes.add(batch["image"].shape[0])
        return brightness(batch)

    strategy = importance_sampled(MIXED, num_candidates=4, scan=scan)
    jax.eval_shape(lambda b: strategy.select(KEY, (), b, score), batch())
    assert sizes == ({5} if scan else {20})


@pytest.mark.parametrize("make", [importance_sampled, max_loss])
def test_a_share_scores_the_examples_that_were_hardest(make: Any) -> None:
    scored: list[np.ndarray] = []

    def score(batch: dict[str, Any]) -> jax.Array:
        scored.append(np.asarray(batch["index"]))
        return brightness(batch)

    strategy = make(on_images(gaussian_noise, stddev=1.0), num_candidates=3, scored=0.4)
    state = strategy.observe(strategy.init(5), batch(), jnp.array([0.5, 3.0, 0.1, 2.0, 1.0]))
    out, _, _ = strategy.select(KEY, state, batch(), score)
    np.testing.assert_array_equal(scored[0], [1, 3] * 3)
    np.testing.assert_array_equal(out["index"], batch()["index"])
    assert (out["image"] != batch()["image"]).any((1, 2, 3)).all()
    state = strategy.observe(strategy.init(5), {**batch(), "index": jnp.array([1, 3, 0, 0, 0])}, jnp.ones(5))
    strategy.select(KEY, state, batch(), score)
    np.testing.assert_array_equal(scored[1], [2, 4] * 3)  # never seen


def test_a_share_draws_the_others_once() -> None:
    """The mean loss of the draw is the plain mean where nothing was scored, and the largest where max_loss did."""
    table = np.tile(np.asarray([[0.0], [1.0]], np.float32), (1, 40_000))
    augment, score = from_table(table)
    strategy = max_loss(augment, num_candidates=2, scored=0.5)
    given = copies_of(40_000)
    observed = jax.jit(strategy.observe)(strategy.init(40_000), given, np.arange(40_000, dtype=np.float32))
    out, _, metrics = selected(strategy, observed, given, score)
    easy, hard = np.split(np.asarray(out["copy"]), 2)
    assert easy.mean() == pytest.approx(0.5, abs=4 * 0.5 / np.sqrt(20_000))
    assert hard.mean() == pytest.approx(0.75, abs=4 * 0.5 / np.sqrt(20_000))
    assert float(metrics["drawn_loss"]) == pytest.approx(hard.mean(), abs=1e-5)


def test_a_share_is_weighed_alone() -> None:
    strategy = importance_sampled(
        on_images(gaussian_noise, stddev=1.0), num_candidates=3, scored=0.4, unbiased=True, scan=True
    )
    state = strategy.observe(strategy.init(5), batch(), jnp.array([0.5, 3.0, 0.1, 2.0, 1.0]))
    out, _, _ = selected(strategy, state, batch(), lambda b: jnp.abs(brightness(b)))
    np.testing.assert_array_equal(np.asarray(out["weight"])[[0, 2, 4]], 1.0)
    assert (np.asarray(out["weight"])[[1, 3]] != 1.0).all()


def test_a_share_mixes_with_partners_of_the_whole_batch() -> None:
    strategy = max_loss(on_pairs(mixup), num_candidates=2, scored=0.2)
    partners = np.zeros(5)
    state = strategy.init(5)
    run = jax.jit(lambda key: strategy.select(key, state, batch(), brightness)[0]["label"][0])
    for seed in range(20):
        partners += np.asarray(run(jax.random.key(seed)))
    assert (partners > 0).all()


def test_a_share_needs_an_index() -> None:
    strategy = importance_sampled(MIXED, scored=0.5)
    without = {name: leaf for name, leaf in batch().items() if name != "index"}
    with pytest.raises(TypeError, match="importance_sampled takes a batch dict with 'index'"):
        strategy.select(KEY, strategy.init(5), without, brightness)
    for bad in (0.0, 1.5):
        with pytest.raises(ValueError, match=r"scored in \(0, 1\]"):
            importance_sampled(MIXED, scored=bad)


def test_no_gradient_flows_through_the_choice() -> None:
    def objective(weight: jax.Array) -> jax.Array:
        strategy = importance_sampled(on_images(gaussian_noise, stddev=1.0), unbiased=True)
        out, _, _ = strategy.select(KEY, (), batch(), lambda b: jnp.abs(weight * brightness(b)))
        return out["image"].sum() + out["weight"].sum()

    assert float(jax.jit(jax.grad(objective))(np.float32(2.0))) == 0.0


def test_losses_that_are_nan_show_in_the_metrics() -> None:
    strategy = importance_sampled(MIXED)
    _, _, metrics = selected(strategy, (), batch(), lambda b: jnp.full(20, jnp.nan))
    assert np.isnan(metrics["drawn_loss"])
    assert np.isnan(metrics["candidate_loss"])


@pytest.mark.parametrize("copies", [1, 2, 3])
def test_batch_augmented_stacks_copies_labels_and_indices(copies: int) -> None:
    out, _, metrics = selected(batch_augmented(MIXED, copies=copies), (), batch(), unused)
    assert out["image"].shape == (5 * copies, 6, 4, 3)
    assert out["label"].shape == (5 * copies, 5)
    np.testing.assert_array_equal(out["index"], np.tile(np.arange(5), copies))
    assert float(metrics["augmented"]) == 1.0
    images = np.asarray(out["image"]).reshape(copies, 5, -1)
    assert all((images[j] != images[0]).any() for j in range(1, copies))


def test_bad_options_are_refused() -> None:
    with pytest.raises(ValueError, match="importance_sampled takes num_candidates of at least 1; got 0"):
        importance_sampled(MIXED, num_candidates=0)
    with pytest.raises(ValueError, match="max_loss takes num_candidates of at least 1; got -1"):
        max_loss(MIXED, num_candidates=-1)
    with pytest.raises(ValueError, match="batch_augmented takes copies of at least 1; got 0"):
        batch_augmented(MIXED, copies=0)
    with annotations_unchecked():
        with pytest.raises(TypeError, match="num_candidates, which fixes a shape"):
            importance_sampled(MIXED, num_candidates=2.0)  # pyright: ignore[reportArgumentType]
        with pytest.raises(ValueError, match="one of 'loss'"):
            importance_sampled(MIXED, importance="entropy")  # pyright: ignore[reportArgumentType]
        with pytest.raises(TypeError, match="max_loss takes an augmentation"):
            max_loss(None)  # pyright: ignore[reportArgumentType]
    with pytest.raises(ValueError, match="temperature"):
        importance_sampled(MIXED, importance="softmax", temperature=-1.0)
