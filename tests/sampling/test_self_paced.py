"""Self-paced augmentation against its rule, written out in NumPy."""

import math
from typing import Any, NoReturn

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from laws.interface import annotations_unchecked

from jaxaug.augment import gaussian_noise
from jaxaug.compose import on_images, on_pairs
from jaxaug.mix import mixup, ricap
from jaxaug.sampling import Strategy, quantile, self_paced

KEY = jax.random.key(0)
NOISE = on_images(gaussian_noise, stddev=1.0)
MIXED = on_pairs(mixup, alpha=1.0)
LOSSES = np.array([0.1, 0.5, 0.5, 2.0, 3.0], np.float32)


def batch() -> dict[str, jax.Array]:
    images = np.float32(np.random.default_rng(1).uniform(size=(5, 6, 4, 3)))
    given = {"image": images, "label": np.eye(5, dtype=np.float32), "index": np.array([7, 3, 0, 9, 4], np.int32)}
    return jax.tree.map(jnp.asarray, given)


def score(batch: dict[str, Any]) -> jax.Array:
    """Returns LOSSES by the example's index, so that they follow an example through any batch."""
    table = np.zeros(10, np.float32)
    table[[7, 3, 0, 9, 4]] = LOSSES
    return jnp.asarray(table)[batch["index"]]


def unused(batch: dict[str, Any]) -> NoReturn:
    raise AssertionError("stored losses need no pass")


def changed(out: dict[str, jax.Array], given: dict[str, jax.Array]) -> np.ndarray:
    return (np.asarray(out["image"]) != np.asarray(given["image"])).any((1, 2, 3))


def chosen_by(strategy: Strategy) -> tuple[np.ndarray, float]:
    out, _, metrics = selected(strategy, strategy.init(10))
    return changed(out, batch()), float(metrics["augmented"])


def selected(strategy: Strategy, state: Any) -> Any:
    """Returns what the strategy selects, in one program."""
    return jax.jit(lambda state: strategy.select(KEY, state, batch(), score))(state)


@pytest.mark.parametrize(
    ("threshold", "direction", "expected"),
    [
        (0.0, "above", [1, 1, 1, 1, 1]),
        (0.0, "below", [0, 0, 0, 0, 0]),
        (0.5, "above", [0, 1, 1, 1, 1]),
        (0.5, "below", [1, 0, 0, 0, 0]),
        (2.5, "above", [0, 0, 0, 0, 1]),
        (2.5, "below", [1, 1, 1, 1, 0]),
        (math.inf, "above", [0, 0, 0, 0, 0]),
        (math.inf, "below", [1, 1, 1, 1, 1]),
    ],
)
def test_threshold_decides_example_by_example(threshold: float, direction: Any, expected: list[int]) -> None:
    chosen, share = chosen_by(self_paced(NOISE, threshold=threshold, direction=direction))
    np.testing.assert_array_equal(chosen, np.array(expected, bool))
    assert share == pytest.approx(np.mean(expected))


@pytest.mark.parametrize("mix", [MIXED, on_pairs(ricap)], ids=["mixup", "ricap"])
def test_what_is_not_augmented_keeps_image_and_label_bit_for_bit(mix: Any) -> None:
    strategy = self_paced(mix, threshold=1.0)
    out, _, _ = selected(strategy, strategy.init(10))
    augmented = jax.jit(mix)(KEY, batch())
    for name in ("image", "label"):
        np.testing.assert_array_equal(out[name][:3], batch()[name][:3])
        np.testing.assert_array_equal(out[name][3:], augmented[name][3:])
    np.testing.assert_array_equal(out["index"], batch()["index"])


NUMBERS = st.floats(0, 100, width=32, allow_subnormal=False)  # XLA takes subnormal numbers for zeros on a CPU


@settings(max_examples=30, deadline=None)
@given(
    losses=st.lists(NUMBERS, min_size=1, max_size=9),
    tau=NUMBERS,
    direction=st.sampled_from(["above", "below"]),
)
def test_rule_holds_for_any_losses(losses: list[float], tau: float, direction: Any) -> None:
    strategy = self_paced(lambda key, x: {"image": x["image"] + 1}, threshold=tau, direction=direction)
    values = np.asarray(losses, np.float32)
    given = {"image": jnp.asarray(np.zeros(len(losses), np.float32))}
    out, _, metrics = strategy.select(KEY, strategy.init(1), given, lambda b: jnp.asarray(values))
    expected = values >= np.float32(tau)
    np.testing.assert_array_equal(out["image"], expected if direction == "above" else ~expected)
    np.testing.assert_allclose(metrics["augmented"], np.mean(out["image"]), rtol=1e-6)


def test_shares_by_class_sum_to_the_share() -> None:
    labels = jnp.asarray(np.eye(3, dtype=np.float32)[[0, 1, 1, 2, 2]])
    strategy = self_paced(NOISE, threshold=0.5)
    _, _, metrics = strategy.select(KEY, strategy.init(10), {**batch(), "label": labels}, score)
    np.testing.assert_allclose(metrics["augmented_by_class"], [0.0, 0.4, 0.4])
    np.testing.assert_allclose(metrics["augmented_by_class"].sum(), metrics["augmented"], rtol=1e-6)


def test_stored_losses_are_those_last_observed() -> None:
    strategy = self_paced(NOISE, threshold=1.0, score="stored")
    state = strategy.init(10)
    out, state, metrics = strategy.select(KEY, state, batch(), unused)
    assert changed(out, batch()).all()
    assert float(metrics["augmented"]) == 1.0
    state = strategy.observe(state, out, jnp.asarray(LOSSES))
    out, state, _ = strategy.select(KEY, state, batch(), unused)
    np.testing.assert_array_equal(changed(out, batch()), LOSSES >= 1.0)
    other = {**batch(), "index": jnp.array([7, 1, 2, 9, 5])}  # 1, 2 and 5 were never seen
    out, _, _ = strategy.select(KEY, state, other, unused)
    np.testing.assert_array_equal(changed(out, other), [False, True, True, True, True])


@pytest.mark.parametrize("threshold", [0.0, 1e30, math.inf])
def test_never_seen_is_infinitely_hard(threshold: float) -> None:
    below = self_paced(NOISE, threshold=threshold, direction="below", score="stored")
    out, _, _ = below.select(KEY, below.init(10), batch(), unused)
    assert not changed(out, batch()).any()
    above = self_paced(NOISE, threshold=threshold, score="stored")
    out, _, _ = above.select(KEY, above.init(10), batch(), unused)
    assert changed(out, batch()).all()


@pytest.mark.parametrize("q", [0.0, 0.2, 0.5, 0.6, 1.0])
@pytest.mark.parametrize("size", [1, 2, 5, 10])
def test_quantile_splits_the_batch(q: float, size: int) -> None:
    losses = jnp.asarray(np.float32(np.random.default_rng(2).uniform(size=size)))
    given = {"image": jnp.asarray(np.zeros(size, np.float32))}
    direction: Any
    for direction, expected in (("below", round(q * size)), ("above", size - round(q * size))):
        strategy = self_paced(lambda key, x: {"image": x["image"] + 1}, threshold=quantile(q), direction=direction)
        out, _, _ = strategy.select(KEY, strategy.init(1), given, lambda b: losses)
        assert np.asarray(out["image"]).sum() == expected


def test_threshold_may_be_a_schedule_of_the_step() -> None:
    strategy = self_paced(NOISE, threshold=lambda step: 1.0 + step.astype(jnp.float32))  # 1, 2, 3, 4
    state, shares = strategy.init(10), []
    for _ in range(4):
        _, state, metrics = strategy.select(KEY, state, batch(), score)
        shares.append(float(metrics["augmented"]))
    np.testing.assert_allclose(shares, [0.4, 0.4, 0.2, 0.0], rtol=1e-6)


def test_thresholds_are_traced_by_vmap() -> None:
    def share(threshold: jax.Array) -> jax.Array:
        strategy = self_paced(NOISE, threshold=threshold)
        return strategy.select(KEY, strategy.init(10), batch(), score)[2]["augmented"]

    shares = jax.jit(jax.vmap(share))(np.asarray([0.0, 0.5, 1.0, 2.5, 9.0], np.float32))
    np.testing.assert_allclose(shares, [1.0, 0.8, 0.4, 0.2, 0.0], rtol=1e-6)


@pytest.mark.parametrize("kind", ["current", "stored"])
def test_state_goes_through_a_compiled_loop(kind: Any) -> None:
    strategy = self_paced(NOISE, threshold=1.0, score=kind)

    @jax.jit
    def run(state: Any) -> tuple[Any, jax.Array]:
        def step(state: Any, key: jax.Array) -> tuple[Any, jax.Array]:
            out, state, metrics = strategy.select(key, state, batch(), score)
            return strategy.observe(state, out, jnp.asarray(LOSSES)), metrics["augmented"]

        return jax.lax.scan(step, state, jax.random.split(KEY, 3))

    state, shares = run(strategy.init(10))
    assert jax.tree.structure(state) == jax.tree.structure(strategy.init(10))
    np.testing.assert_allclose(shares, [1.0 if kind == "stored" else 0.4, 0.4, 0.4], rtol=1e-6)
    assert int(state.step) == 3


def test_no_gradient_flows_through_the_score() -> None:
    def objective(weight: jax.Array) -> jax.Array:
        strategy = self_paced(NOISE, threshold=quantile(0.5))
        out, _, _ = strategy.select(KEY, strategy.init(10), batch(), lambda b: weight * b["image"].mean((1, 2, 3)))
        return out["image"].sum()

    assert float(jax.jit(jax.grad(objective))(np.float32(2.0))) == 0.0


@pytest.mark.parametrize("bad", [-1, 10])
def test_index_outside_the_table(bad: int) -> None:
    strategy = self_paced(NOISE, threshold=1.0, score="stored")
    outside = {**batch(), "index": jnp.array([0, 1, bad, 2, 3])}
    with pytest.raises(ValueError, match=rf"takes an index in \[0, 10\).*got {bad}"):
        strategy.select(KEY, strategy.init(10), outside, unused)
    with pytest.raises(ValueError, match=rf"got {bad}"):
        strategy.observe(strategy.init(10), outside, jnp.asarray(LOSSES))
    # A compiled program cannot raise: its metric is NaN, and no other example's loss is overwritten.
    _, _, metrics = jax.jit(lambda b: strategy.select(KEY, strategy.init(10), b, unused))(outside)
    assert np.isnan(metrics["augmented"])
    state = jax.jit(lambda b: strategy.observe(strategy.init(10), b, jnp.asarray(LOSSES)))(outside)
    np.testing.assert_array_equal(np.isfinite(state.losses), np.arange(10) < 4)


def test_losses_that_are_nan_show_in_the_metrics() -> None:
    strategy = self_paced(NOISE, threshold=1.0)
    _, _, metrics = strategy.select(KEY, strategy.init(10), batch(), lambda b: jnp.full(5, jnp.nan))
    assert np.isnan(metrics["augmented"])


def test_missing_index_is_refused() -> None:
    strategy = self_paced(NOISE, threshold=1.0, score="stored")
    without = {name: leaf for name, leaf in batch().items() if name != "index"}
    with pytest.raises((TypeError, ValueError), match="'index'"):
        strategy.select(KEY, strategy.init(10), without, unused)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"threshold": math.nan}, ValueError, "not NaN"),
        ({"threshold": "high"}, TypeError, r"schedule step -> number or quantile\(q\).*got 'high'"),
        ({"threshold": None}, TypeError, "got None"),
        ({"threshold": 1.0, "direction": "up"}, ValueError, "'above', 'below'"),
        ({"threshold": 1.0, "score": "last"}, ValueError, "'current', 'stored'"),
    ],
)
def test_bad_options_are_refused(options: dict[str, Any], error: type[Exception], message: str) -> None:
    with annotations_unchecked(), pytest.raises(error, match=message):
        self_paced(NOISE, **options)


def test_bad_quantile_is_refused() -> None:
    with pytest.raises(ValueError, match=r"takes q in \[0, 1\]; got 1.5"):
        quantile(1.5)
    with annotations_unchecked(), pytest.raises(TypeError, match="self_paced takes an augmentation"):
        self_paced("noise", threshold=1.0)  # pyright: ignore[reportArgumentType]
