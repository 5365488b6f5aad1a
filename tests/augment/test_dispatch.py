import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxaug.augment.dispatch import applied_and_selected, applied_by_choice, applied_in_blocks

FUNCTIONS = [
    lambda images, parameters: images,
    lambda images, parameters: images + parameters[:, :1, None, None],
    lambda images, parameters: images[:, ::-1] * parameters[:, 1:, None, None],
]


def arguments(seed: int, batch: int, kinds: int = 3):
    rng = np.random.default_rng(seed)
    images = rng.standard_normal((batch, 3, 2, 1)).astype(np.float32)
    return rng.integers(0, kinds, batch).astype(np.int32), images, rng.standard_normal((batch, 2)).astype(np.float32)


def expected(choice, images, parameters):
    rows = [FUNCTIONS[c](images[i : i + 1], parameters[i : i + 1]) for i, c in enumerate(choice)]
    return np.concatenate(rows)


APPLIED = jax.jit(lambda *args: applied_by_choice(FUNCTIONS, *args))
SELECTED = jax.jit(lambda *args: applied_and_selected(FUNCTIONS, *args))  # as on an accelerator


@settings(deadline=None, max_examples=30)
@given(seed=st.integers(0, 10_000), batch=st.sampled_from([1, 2, 7, 33, 100]))
def test_each_example_goes_through_its_own_function(seed, batch):
    choice, images, parameters = arguments(seed, batch)
    np.testing.assert_array_equal(APPLIED(choice, images, parameters), expected(choice, images, parameters))
    np.testing.assert_array_equal(SELECTED(choice, images, parameters), expected(choice, images, parameters))


@pytest.mark.parametrize("kind", [0, 1, 2])
def test_all_examples_may_choose_the_same(kind):
    _, images, parameters = arguments(0, 100)
    choice = np.full(100, kind, np.int32)
    np.testing.assert_array_equal(APPLIED(choice, images, parameters), expected(choice, images, parameters))


def test_eager_and_vmap_give_the_same():
    many = [arguments(seed, 7) for seed in range(3)]
    stacked = [jnp.asarray(np.stack(each)) for each in zip(*many, strict=True)]
    together = jax.vmap(APPLIED)(*stacked)
    for each, (choice, images, parameters) in zip(together, many, strict=True):
        np.testing.assert_array_equal(each, expected(choice, images, parameters))
        eager = applied_by_choice(FUNCTIONS, jnp.asarray(choice), jnp.asarray(images), jnp.asarray(parameters))
        np.testing.assert_array_equal(eager, each)


def test_a_function_is_compiled_once_however_many_examples_there_are():
    traces = []

    def traced(images, parameters):
        traces.append(images.shape)
        return images

    choice, images, parameters = arguments(1, 64, kinds=2)
    jax.jit(lambda *args: applied_in_blocks([traced, FUNCTIONS[1]], *args))(choice, images, parameters)
    assert set(traces) == {(8, 3, 2, 1)}  # 64 / (4 · 2): less than the batch
