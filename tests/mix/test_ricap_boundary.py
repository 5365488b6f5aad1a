import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats
from laws.interface import annotations_unchecked
from whole import compiled

from jaxaug import mix

ricap, ricap_plan = compiled(mix.ricap), compiled(mix.ricap_plan)
SHAPE = (4000, 100, 60, 3)
KEY = jax.random.key(0)


def fractions(**options):
    boundary = np.asarray(ricap_plan(KEY, SHAPE, **options).boundary)
    return (boundary / [100, 60]).T


def assert_uniform(values, low, high, side):
    """Up to the rounding to whole pixels."""
    distance = scipy.stats.kstest(values, scipy.stats.uniform(low, high - low).cdf).statistic
    assert distance < 2 / len(values) ** 0.5 + 0.6 / (side * (high - low))


def test_anywhere_is_uniform():
    for values, side in zip(fractions(boundary="anywhere"), (100, 60), strict=True):
        assert_uniform(values, 0, 1, side)


@pytest.mark.parametrize("reach", [0.2, 0.5, 1.0])
def test_center_is_uniform_around_the_middle(reach):
    for values, side in zip(fractions(boundary="center", reach=reach), (100, 60), strict=True):
        assert_uniform(values, 0.5 - reach / 2, 0.5 + reach / 2, side)


@pytest.mark.parametrize("reach", [0.2, 0.5, 0.874])
def test_corner_is_uniform_near_both_ends_and_all_four_corners_are_equally_likely(reach):
    h, w = fractions(boundary="corner", reach=reach)
    for values, side in ((h, 100), (w, 60)):
        assert_uniform(values[values < 0.5], 0, reach / 2, side)
        assert_uniform(values[values > 0.5], 1 - reach / 2, 1, side)
    counts = np.histogram2d(h, w, bins=[[0, 0.5, 1], [0, 0.5, 1]])[0].ravel()
    assert scipy.stats.chisquare(counts).pvalue > 1e-4


def test_corner_keeps_most_of_one_image():
    plans = {law: ricap_plan(KEY, SHAPE, boundary=law, reach=0.5) for law in ("corner", "center")}
    largest = {law: np.asarray(plan.weight).max(1).mean() for law, plan in plans.items()}
    assert largest["corner"] > 0.7 > largest["center"]


def test_the_default_is_the_beta_law():
    np.testing.assert_array_equal(
        ricap_plan(KEY, SHAPE).boundary, ricap_plan(KEY, SHAPE, boundary="beta", beta=0.3, reach=0.1).boundary
    )


def test_ricap_uses_the_plan_of_the_same_law():
    images = np.broadcast_to(np.arange(6, dtype=np.float32)[:, None, None, None], (6, 10, 8, 1))
    for law in ("anywhere", "center", "corner"):
        options = {"boundary": law, "reach": 0.4}
        plan = ricap_plan(KEY, images.shape, **options)
        patched, labels = ricap(KEY, images, np.eye(6, dtype=np.float32), **options)
        expected = np.zeros((6, 6))
        np.add.at(expected, (np.arange(6)[:, None], np.asarray(plan.source)), np.asarray(plan.weight))
        np.testing.assert_allclose(labels, expected, atol=1e-6)
        shares = [[(np.asarray(patched)[n] == k).mean() for k in range(6)] for n in range(6)]
        np.testing.assert_allclose(shares, expected, atol=1e-6)


def test_the_reach_may_be_traced():
    run = jax.jit(jax.vmap(lambda reach: ricap_plan(KEY, SHAPE, boundary="center", reach=reach)))
    plans = run(np.asarray([0.2, 0.9], np.float32))
    static = jax.jit(mix.ricap_plan, static_argnums=1, static_argnames=("boundary", "reach"))
    for n, reach in enumerate((0.2, 0.9)):
        np.testing.assert_array_equal(plans.boundary[n], static(KEY, SHAPE, boundary="center", reach=reach).boundary)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"boundary": "middle"}, "one of 'beta', 'anywhere', 'center', 'corner' for boundary; got 'middle'"),
        ({"boundary": "corner", "reach": 0.0}, r"takes reach in \(0, 1\]; got 0\.0"),
        ({"boundary": "center", "reach": 1.5}, r"takes reach in \(0, 1\]; got 1\.5"),
    ],
)
def test_bad_options_get_one_sentence(options, message):
    with annotations_unchecked():
        with pytest.raises(ValueError, match=f"ricap_plan .*{message}"):
            mix.ricap_plan(KEY, SHAPE, **options)
        with pytest.raises(ValueError, match=f"ricap .*{message}"):
            mix.ricap(KEY, jnp.ones((2, 4, 4, 1)), jnp.eye(2), **options)
