"""Refined magnitudes: their numbers are those of the search, and the best are where the indicator is highest."""

from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest
from laws.interface import annotations_unchecked

from jaxaug import create_model, crop, data, gaussian_noise, on_images
from jaxaug.search import refine, search
from jaxaug.training import make_optimizer

IRIS = data.with_validation(data.load("iris"), 0.2)
MODEL = create_model("mlp", 3, hidden=(5,))
OPTIMIZER = make_optimizer(learning_rate=0.05)
OPTIONS: dict[str, Any] = {"epochs": 3, "early_epochs": 1, "batch_size": 32, "seeds": (3, 4)}


def noise(stddev):
    return on_images(gaussian_noise, stddev=stddev)


def two_noises(first, second):
    return on_images(gaussian_noise, stddev=first + second)


def refined(build=noise, bounds=((0.1, 20.0),), **options):
    return refine(build, bounds, IRIS, MODEL, OPTIMIZER, **{**OPTIONS, "candidates": 5, "generations": 2, **options})


@pytest.fixture(scope="module")
def found():
    return refined(start=[4.0])


def test_numbers_are_those_of_the_search(found):
    numbers = found.magnitudes[:2, 0]
    assert numbers[0] == 4.0
    same = search({str(s): noise(s) for s in numbers}, IRIS, MODEL, OPTIMIZER, **OPTIONS, indicator="log_sum")
    np.testing.assert_allclose(found.affinity[:2], same.affinity, rtol=1e-5)
    np.testing.assert_allclose(found.diversity[:2], same.diversity, rtol=1e-4)
    np.testing.assert_allclose(found.scores[:2], same.scores, rtol=1e-4)
    assert found.clean_steps == same.clean_steps
    assert found.early_steps == 15 / 2 * same.early_steps


def test_all_is_between_the_bounds_and_the_best_is_the_best(found):
    assert found.magnitudes.shape == (15, 1)
    assert ((found.magnitudes >= 0.1) & (found.magnitudes <= 20.0)).all()
    assert found.best == tuple(found.magnitudes[np.argmax(found.scores)])
    assert found.scores.max() >= found.scores[0]


def test_the_same_seeds_give_the_same(found):
    again = refined(start=[4.0])
    np.testing.assert_array_equal(again.magnitudes, found.magnitudes)


def test_another_generation_compiles_nothing():
    traces = []

    def traced_noise(key, images, *, stddev):
        traces.append(stddev)
        return gaussian_noise(key, images, stddev=stddev)

    def traced_in(generations):
        traces.clear()
        refined(lambda s: on_images(traced_noise, stddev=s), generations=generations)
        return len(traces)

    # Each of 5 candidates is looked at once, whether it keeps shapes.
    assert traced_in(3) - traced_in(1) <= 2 * 5


def test_the_evolution_goes_uphill():
    """Diversity grows with the noise, and the affinity is left out: the best are near the highest bound."""
    found = refined(two_noises, [(0.0, 3.0), (0.0, 3.0)], indicator=lambda t, d: d, generations=4)
    assert found.magnitudes.shape == (25, 2)
    first, last = found.magnitudes[:5].sum(axis=1), found.magnitudes[-5:].sum(axis=1)
    assert last.mean() > first.mean()
    assert sum(found.best) >= first.max()


def test_a_candidate_that_fails_is_never_the_best():
    found = refined(indicator=lambda t, d: jnp.where(d > 1.5, -jnp.inf, d), generations=0)
    assert (found.scores == -np.inf).any()
    assert np.isfinite(found.scores.max())


def test_bad_input_is_said():
    with pytest.raises(ValueError, match="at least one magnitude; got none"):
        refined(bounds=())
    with pytest.raises(ValueError, match=r"low < high; got \(2.0, 1.0\)"):
        refined(bounds=[(2.0, 1.0)])
    with pytest.raises(ValueError, match="candidates"):
        refined(candidates=4)
    with pytest.raises(ValueError, match="generations"):
        refined(generations=-1)
    with pytest.raises(ValueError, match=r"a start of 1 numbers between \[0.1\] and \[20.0\]; got \[30.0\]"):
        refined(start=[30.0])
    with pytest.raises(ValueError, match="product"), annotations_unchecked():
        refined(indicator="rank_sum")
    with pytest.raises(ValueError, match="refine takes kind='ratio' for the indicator 'log_sum'"):
        refined(indicator="log_sum", kind="difference")
    with pytest.raises(ValueError, match="refine takes kind='ratio' for the indicator 'log_sum'"):
        refined(kind="difference")
    with pytest.raises(ValueError, match="refine takes at least one seed"):
        refined(seeds=())
    shrunk = on_images(lambda key, images, *, by: crop(key, images, padding=0)[:, :4], by=1.0)
    image = data.with_validation(data.load("synthetic:8x8x1,3,60"), 0.2)
    with pytest.raises(ValueError, match="refine takes candidates that keep shapes"):
        refine(lambda by: shrunk, [(0.0, 1.0)], image, MODEL, OPTIMIZER, **OPTIONS)
