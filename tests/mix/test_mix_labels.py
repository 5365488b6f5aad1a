"""mix_labels against a sum over the parts."""

import jax.numpy as jnp
import numpy as np
import pytest
from laws.interface import annotations_unchecked
from whole import compiled

from jaxaug import mix

mix_labels = compiled(mix.mix_labels)


def parts(batch: int, count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns source `[B, P]`, weight `[B, P]` and soft labels `[B, 3]`."""
    rng = np.random.default_rng(0)
    source = rng.integers(0, batch, (batch, count)).astype(np.int32)
    weight, labels = rng.dirichlet(np.ones(count), batch), rng.dirichlet(np.ones(3), batch)
    return source, weight.astype(np.float32), labels.astype(np.float32)


@pytest.mark.parametrize("count", [1, 2, 4, 5])
def test_label_is_the_weighted_sum_over_any_number_of_parts(count: int) -> None:
    source, weight, labels = parts(6, count)
    expected = np.zeros((6, 3))
    for b in range(6):
        for part in range(count):
            expected[b] += weight[b, part] * labels[source[b, part]]
    found = np.asarray(mix_labels(source, weight, labels))
    np.testing.assert_allclose(found, expected, atol=1e-6)
    np.testing.assert_allclose(found.sum(1), 1, atol=1e-6)


def test_weights_of_one_source_add_up() -> None:
    found = mix_labels(np.zeros((1, 4), np.int32), np.full((1, 4), 0.25, np.float32), np.asarray([[0, 1]], np.float32))
    np.testing.assert_array_equal(found, [[0, 1]])


def test_half_precision_is_the_rounded_sum() -> None:
    source, weight, labels = parts(6, 4)
    labels = labels.astype(jnp.bfloat16)
    found = mix_labels(source, weight, labels)
    full = np.asarray(mix_labels(source, weight, labels.astype(np.float32)))
    assert found.dtype == jnp.bfloat16
    np.testing.assert_array_equal(found, full.astype(jnp.bfloat16))


@pytest.mark.parametrize(
    ("source", "weight", "labels"),
    [((2, 4), (2, 3), (2, 5)), ((2, 4), (3, 4), (2, 5)), ((2, 4), (2, 4), (3, 5)), ((2, 4), (2, 4), (2,))],
)
def test_shapes_that_disagree_are_refused(
    source: tuple[int, ...], weight: tuple[int, ...], labels: tuple[int, ...]
) -> None:
    with annotations_unchecked(), pytest.raises(ValueError, match="mix_labels takes source"):
        mix.mix_labels(jnp.zeros(source, jnp.int32), jnp.ones(weight), jnp.ones(labels))
