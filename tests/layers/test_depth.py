"""The keep probabilities of residual blocks."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxaug.layers import linear_decay


@settings(deadline=None, max_examples=30)
@given(num_blocks=st.sampled_from([1, 2, 3, 9, 54, 200]), final=st.floats(0, 1))
def test_keep_probability_is_the_papers_formula(num_blocks: int, final: float) -> None:
    expected = [1 - block / num_blocks * (1 - final) for block in range(1, num_blocks + 1)]
    keep_probs = linear_decay(num_blocks, final=final)
    assert keep_probs.dtype == jnp.float32
    np.testing.assert_allclose(keep_probs, expected, atol=1e-6)


def test_last_block_has_the_final_probability() -> None:
    assert linear_decay(54)[-1] == 0.5
    assert linear_decay(1, final=0.25).tolist() == [0.25]
    assert linear_decay(3, final=1.0).tolist() == [1.0, 1.0, 1.0]


def test_final_may_be_traced() -> None:
    finals = jnp.array([0.0, 0.5, 1.0])
    decays = jax.vmap(lambda final: linear_decay(2, final=final))(finals)
    np.testing.assert_allclose(decays, [[0.5, 0.0], [0.75, 0.5], [1.0, 1.0]])


def test_no_blocks_are_refused() -> None:
    with pytest.raises(ValueError, match="linear_decay takes num_blocks of at least 1; got 0"):
        linear_decay(0)


@pytest.mark.parametrize("final", [-0.1, 1.1, float("nan")])
def test_final_outside_the_unit_interval_is_refused(final: float) -> None:
    with pytest.raises(ValueError, match=r"linear_decay takes final in \[0, 1\]"):
        linear_decay(3, final=final)
