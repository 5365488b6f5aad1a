"""The two strategies that look at nothing, and the form that all strategies share."""

from typing import Any, NoReturn

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from laws.interface import annotations_unchecked

from jaxaug.augment import gaussian_noise
from jaxaug.compose import on_images
from jaxaug.sampling import Strategy, always, never

KEY = jax.random.key(0)
AUGMENT = on_images(gaussian_noise, stddev=1.0)


def batch() -> dict[str, jax.Array]:
    return {"image": jnp.ones((3, 4, 4, 1)), "label": jnp.eye(3), "index": jnp.arange(3)}


def unused(batch: dict[str, Any]) -> NoReturn:
    raise AssertionError("a strategy that looks at nothing asked for scores")


def assert_same(one: dict[str, jax.Array], other: dict[str, jax.Array]) -> None:
    assert one.keys() == other.keys()
    for name in one:
        np.testing.assert_array_equal(one[name], other[name])


def test_always_hands_the_key_and_the_batch_to_the_augmentation() -> None:
    strategy = always(AUGMENT)
    selected, _, metrics = strategy.select(KEY, strategy.init(10), batch(), unused)
    assert_same(selected, AUGMENT(KEY, batch()))
    assert float(metrics["augmented"]) == 1.0


def test_never_returns_the_batch_as_it_is() -> None:
    strategy = never()
    selected, _, metrics = strategy.select(KEY, strategy.init(10), batch(), unused)
    assert_same(selected, batch())
    assert float(metrics["augmented"]) == 0.0


@pytest.mark.parametrize("strategy", [always(AUGMENT), never()], ids=["always", "never"])
def test_strategy_runs_inside_a_compiled_loop(strategy: Strategy) -> None:
    @jax.jit
    def epoch(state: Any, keys: jax.Array) -> tuple[Any, tuple[jax.Array, jax.Array]]:
        def step(state: Any, key: jax.Array) -> tuple[Any, tuple[jax.Array, jax.Array]]:
            selected, state, metrics = strategy.select(key, state, batch(), unused)
            losses = selected["image"].mean((1, 2, 3))
            return strategy.observe(state, selected, losses), (losses, metrics["augmented"])

        return jax.lax.scan(step, state, keys)

    state, (losses, share) = epoch(strategy.init(3), jax.random.split(KEY, 4))
    assert jax.tree.structure(state) == jax.tree.structure(strategy.init(3))
    assert losses.shape == (4, 3)
    assert share.dtype == jnp.float32
    assert len(np.unique(share)) == 1


def test_form_is_init_select_observe() -> None:
    assert Strategy._fields == ("init", "select", "observe")


def test_what_cannot_be_called_is_refused() -> None:
    with annotations_unchecked(), pytest.raises(TypeError, match="always takes an augmentation"):
        always("flip")  # pyright: ignore[reportArgumentType]
