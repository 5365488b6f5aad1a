"""Strategies that begin or end in the course of training."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from laws.interface import annotations_unchecked

from jaxaug.compose import Augmentation
from jaxaug.sampling import (
    Strategy,
    always,
    batch_augmented,
    importance_sampled,
    self_paced,
    slow_start,
    stop_after,
)


def add(key: jax.Array, batch: dict[str, Any]) -> dict[str, Any]:
    return {**batch, "image": batch["image"] + 1}


def changed_shares(strategy: Strategy, steps: int, size: int = 2000) -> tuple[list[float], list[float]]:
    """Returns the shares that changed and those that the metrics state, step by step, in one compiled loop."""
    batch = {"image": jnp.zeros(size), "index": jnp.arange(size)}

    def step(state: Any, key: jax.Array) -> tuple[Any, tuple[jax.Array, jax.Array]]:
        out, state, metrics = strategy.select(key, state, batch, lambda b: jnp.arange(b["image"].shape[0]) / size)
        state = strategy.observe(state, out, out["image"])
        return state, (out["image"].mean(), metrics["augmented"])

    _, (changed, stated) = jax.lax.scan(step, strategy.init(size), jax.random.split(jax.random.key(0), steps))
    return changed.tolist(), stated.tolist()


def test_slow_start_is_a_linear_ramp() -> None:
    changed, stated = changed_shares(slow_start(always(add), steps=4), 7)
    np.testing.assert_allclose(changed, [0, 0.25, 0.5, 0.75, 1, 1, 1], atol=0.05)
    assert changed[0] == 0.0
    assert changed[4:] == [1.0, 1.0, 1.0]
    np.testing.assert_allclose(stated, changed, atol=1e-6)


def test_late_off_ends() -> None:
    changed, stated = changed_shares(stop_after(always(add), steps=3), 5)
    assert changed == stated == [1.0, 1.0, 1.0, 0.0, 0.0]


def test_they_nest_around_a_strategy_with_a_state() -> None:
    strategy = stop_after(slow_start(self_paced(add, threshold=0.5, score="stored"), steps=1), steps=3)
    changed, _ = changed_shares(strategy, 5)
    # Nothing at step 0, whose loss 0 is observed: easy from then on.
    assert changed == [0.0, 0.0, 0.0, 0.0, 0.0]


@pytest.mark.parametrize("wrap", [slow_start, stop_after])
def test_copies_and_weights_keep_their_form(wrap: Any) -> None:
    batch = {"image": jnp.zeros(3), "index": jnp.arange(3)}
    strategy = wrap(batch_augmented(add, copies=2), steps=1)
    for state in (strategy.init(3), strategy.init(3)._replace(step=jnp.int32(1))):
        out, _, _ = strategy.select(jax.random.key(0), state, batch, None)
        np.testing.assert_array_equal(out["index"], [0, 1, 2, 0, 1, 2])
    strategy = wrap(importance_sampled(add, unbiased=True), steps=1)
    for state in (strategy.init(3), strategy.init(3)._replace(step=jnp.int32(1))):
        out, _, _ = strategy.select(jax.random.key(0), state, batch, lambda b: b["image"] + 1)
        np.testing.assert_allclose(out["weight"], 1.0)


def test_once_ended_nothing_is_scored() -> None:
    """The program holds the scoring inside the branch that is not taken."""
    strategy = stop_after(self_paced(add, threshold=0.5), steps=3)
    batch = {"image": jnp.zeros(3), "index": jnp.arange(3)}
    jaxpr = jax.make_jaxpr(lambda s: strategy.select(jax.random.key(0), s, batch, lambda b: jnp.sin(b["image"])))(
        strategy.init(3)
    )
    assert "sin" not in {equation.primitive.name for equation in jaxpr.eqns}
    assert " sin " in str(jaxpr)


@pytest.mark.parametrize("wrap", [slow_start, stop_after])
def test_bad_input_is_refused(wrap: Any) -> None:
    with pytest.raises(ValueError, match=f"{wrap.__name__} takes steps"):
        wrap(always(add), steps=-1)
    augment: Augmentation = add
    with annotations_unchecked(), pytest.raises(TypeError, match=f"{wrap.__name__} takes a Strategy"):
        wrap(augment, steps=3)
