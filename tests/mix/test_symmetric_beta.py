import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from jaxaug.mix.symmetric_beta import symmetric_beta

DRAWN = jax.jit(symmetric_beta, static_argnums=2)
KEY = jax.random.key(0)
CONCENTRATIONS = [0.01, 0.05, 0.1, 0.3, 0.5, 1.0, 2.0, 10.0, 1000.0, 1e4]


@pytest.mark.parametrize("a", CONCENTRATIONS)
def test_the_law_is_beta(a):
    x = np.asarray(DRAWN(KEY, a, (200_000,)), np.float64)
    assert np.isfinite(x).all()
    assert x.min() >= 0
    assert x.max() <= 1
    # Below one half alone, since float32 cannot come as near to 1 as to 0; there the law is that of the folded half.
    low = np.where(x < 0.5, x, 1 - x)[x < 0.5]
    smallest = 1e-30  # what float32 can tell from 0
    low = low[low > smallest]
    mass = scipy.stats.beta(a, a).cdf(smallest)
    assert scipy.stats.kstest(low, lambda v: (scipy.stats.beta(a, a).cdf(v) - mass) / (0.5 - mass)).pvalue > 1e-4


@pytest.mark.parametrize("a", CONCENTRATIONS)
def test_mean_variance_and_symmetry(a):
    x = np.asarray(DRAWN(jax.random.key(1), a, (200_000,)), np.float64)
    variance = 1 / (4 * (2 * a + 1))
    assert abs(x.mean() - 0.5) < 5 * (variance / len(x)) ** 0.5
    kurtosis = 3 - 6 / (2 * a + 3)
    assert abs(x.var() / variance - 1) < 5 * ((kurtosis - 1) / len(x)) ** 0.5
    assert abs((x < 0.5).mean() - 0.5) < 5 * 0.5 / len(x) ** 0.5


def test_draws_are_independent():
    x = np.asarray(DRAWN(jax.random.key(2), 0.3, (100_000, 2)))
    assert abs(np.corrcoef(x.T)[0, 1]) < 5 / 100_000**0.5
    spread = np.square(x - 0.5)
    assert abs(np.corrcoef(spread.T)[0, 1]) < 5 / 100_000**0.5


def test_the_concentration_may_differ_between_draws():
    a = np.asarray([0.1, 1.0, 50.0], np.float32)
    run = jax.jit(jax.vmap(lambda a, key: symmetric_beta(key, a, (20_000,))))
    x = np.asarray(run(a, jax.random.split(KEY, 3)))
    np.testing.assert_allclose(x.var(1), 1 / (4 * (2 * np.asarray(a) + 1)), rtol=0.05)


def test_it_can_be_differentiated_in_the_concentration():
    """The draws are a smooth function of it; their spread falls."""

    @jax.jit
    @jax.value_and_grad
    def spread_and_slope(a):
        return jnp.mean(jnp.abs(symmetric_beta(KEY, a, (1000,)) - 0.5))

    step = 1e-2
    slope = spread_and_slope(1.0)[1]
    spread = [spread_and_slope(a)[0] for a in (1 - step, 1 + step)]
    np.testing.assert_allclose(slope, (spread[1] - spread[0]) / (2 * step), rtol=0.01)
