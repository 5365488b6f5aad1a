"""Gaussian-based pooling against its equations: moments of the draws, what shares one, inference, the module."""

import functools
import math
from typing import Any, cast

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from hypothesis import given, settings
from hypothesis import strategies as st
from laws.interface import annotations_unchecked
from layer_reference import gradients_checked, pooled
from scipy import integrate, stats
from whole import compiled

import jaxaug
from jaxaug import GaussianPool

gaussian_pool, local_statistics = compiled(jaxaug.gaussian_pool), compiled(jaxaug.local_statistics)
KEY = jax.random.key(0)
PRIORS = ("isp", "half", "gaussian")


def normal(seed: int, shape: tuple[int, ...] = (2, 4, 6, 3)) -> jax.Array:
    return jnp.asarray(np.random.default_rng(seed).normal(size=shape), jnp.float32)


def eta_of(noise: Any, prior: str, mu: float, sigma: float) -> Any:
    """Returns η of standard normal noise, by the equations."""
    if prior == "gaussian":
        return mu + sigma * noise
    return mu + sigma * abs(noise) if prior == "half" else np.logaddexp(0.0, mu + sigma * noise)


@functools.cache
def many_etas(prior: str, noise_level: str, mu: float, sigma: float) -> np.ndarray:
    """Returns η of 4000 examples, 2 x 2 positions and 3 channels, recovered from the output."""
    x = np.broadcast_to(np.asarray([[0, 2, 0, 2]] * 4, np.float32)[None, :, :, None], (4000, 4, 4, 3))
    y = gaussian_pool(KEY, x, mu, sigma, prior=prior, noise_level=noise_level)  # pyright: ignore[reportArgumentType]
    return np.asarray(y, np.float64) - 1.0  # mean 1, deviation 1


@pytest.mark.parametrize("prior", PRIORS)
def test_eta_has_the_distribution_of_its_prior(prior: str):
    etas = many_etas(prior, "channel", 0.3, 0.8)[:, 0, 0, :].ravel()
    noise = np.random.default_rng(0).normal(size=200_000)
    assert cast(Any, stats.ks_2samp(etas, eta_of(noise, prior, 0.3, 0.8))).pvalue > 1e-4
    assert (etas.min() > 0) == (prior != "gaussian")


def test_the_inverse_softplus_of_eta_is_gaussian():
    etas = many_etas("isp", "channel", 0.3, 0.8)[:, 0, 0, :].ravel()
    assert stats.kstest((np.log(np.expm1(etas)) - 0.3) / 0.8, "norm").pvalue > 1e-4


@pytest.mark.parametrize("level", ["channel", "position"])
def test_a_level_names_what_shares_a_draw(level: str):
    etas = many_etas("gaussian", level, 0.0, 1.0)
    across = [np.corrcoef(etas[:, 0, 0, 0], other)[0, 1] for other in (etas[:, 1, 1, 0], etas[:, 0, 1, 0])]
    if level == "channel":
        np.testing.assert_allclose(across, 1.0, atol=1e-5)
    else:
        assert max(map(abs, across)) < 5 / math.sqrt(4000)
    assert abs(np.corrcoef(etas[:, 0, 0, 0], etas[:, 0, 0, 1])[0, 1]) < 5 / math.sqrt(4000)  # channels
    assert abs(np.corrcoef(etas[1:, 0, 0, 0], etas[:-1, 0, 0, 0])[0, 1]) < 5 / math.sqrt(4000)  # examples


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 99), prior=st.sampled_from(PRIORS), mu=st.floats(-3, 3), sigma=st.floats(0, 3))
def test_inference_is_the_published_closed_form(seed: int, prior: Any, mu: float, sigma: float):
    x = normal(seed)
    y = gaussian_pool(None, x, mu, sigma, prior=prior, deterministic=True)
    eta = {"gaussian": mu, "half": mu + sigma * math.sqrt(2 / math.pi), "isp": np.logaddexp(0, mu)}[prior]
    expected = pooled(x, lambda p: p.mean(1) + eta * np.sqrt(np.maximum(p.var(1), 1e-6)), (2, 2))
    np.testing.assert_allclose(y, expected, atol=2e-5)


@pytest.mark.parametrize(("mu", "sigma"), [(0.0, 1.0), (-2.0, 0.5), (1.0, 3.0)])
def test_inference_by_the_mean_is_the_expectation_of_training(mu: float, sigma: float):
    x = normal(0)
    mean, std = local_statistics(x)
    y = gaussian_pool(None, x, mu, sigma, deterministic=True, inference="mean")

    def weighted(e: float) -> float:
        return float(np.logaddexp(0, mu + sigma * e) * stats.norm.pdf(e))

    expected = integrate.quad(weighted, -12, 12)[0]
    np.testing.assert_allclose((y - mean) / std, np.full(mean.shape, expected), rtol=1e-4)


@pytest.mark.parametrize("prior", ["half", "gaussian"])
def test_the_mean_is_what_is_published_of_the_other_priors(prior: Any):
    options: dict[str, Any] = {"prior": prior, "deterministic": True}
    published = gaussian_pool(None, normal(0), 0.3, 0.7, **options)
    np.testing.assert_array_equal(published, gaussian_pool(None, normal(0), 0.3, 0.7, inference="mean", **options))


def test_without_sigma_training_is_inference():
    x = normal(1)
    for prior in PRIORS:
        y = gaussian_pool(KEY, x, 0.4, 0.0, prior=prior)
        np.testing.assert_allclose(y, gaussian_pool(None, x, 0.4, 0.0, prior=prior, deterministic=True), atol=1e-6)


def test_mu_far_below_zero_is_average_pooling():
    x = normal(2)
    np.testing.assert_allclose(gaussian_pool(KEY, x, -80.0, 1.0), local_statistics(x)[0], atol=1e-6)


def test_parameters_may_be_a_number_one_per_channel_or_one_per_example_and_channel():
    x = normal(3)
    numbers = gaussian_pool(KEY, x, 0.5, 0.25)
    for shape in ((3,), (2, 1, 1, 3)):
        np.testing.assert_array_equal(gaussian_pool(KEY, x, jnp.full(shape, 0.5), jnp.full(shape, 0.25)), numbers)
    mu = normal(4, (2, 1, 1, 3))
    y = gaussian_pool(None, x, mu, 1.0, deterministic=True)
    for example in range(2):
        alone = gaussian_pool(None, x[example : example + 1], mu[example, 0, 0], 1.0, deterministic=True)
        np.testing.assert_allclose(y[example : example + 1], alone, atol=1e-6)


def test_gradients_are_those_of_finite_differences_and_of_the_closed_form():
    x, mu, sigma = normal(5, (2, 2, 2, 2)), normal(6, (2,)), jnp.array([0.5, 0.9])
    run = functools.partial(gaussian_pool, KEY)
    gradients_checked(run, (x, mu, sigma), modes=["rev"], atol=1e-2, rtol=1e-2)
    mean, std = local_statistics(x)
    eta = (run(x, mu, sigma) - mean) / std
    gradient = jax.jit(jax.grad(lambda x: run(x, mu, sigma).sum()))(x)
    np.testing.assert_allclose(gradient, 0.25 * (1 + eta * (x - mean) / std), atol=1e-5)


def test_jit_vmap_and_traced_numbers_give_the_same():
    x, mus = normal(7), jnp.array([-1.0, 0.0, 2.0])
    each = np.stack([gaussian_pool(KEY, x, mu, 0.5) for mu in mus])
    np.testing.assert_allclose(jax.jit(jax.vmap(lambda mu: gaussian_pool(KEY, x, mu, 0.5)))(mus), each, atol=1e-6)


def test_bfloat16_stays():
    x = normal(8).astype(jnp.bfloat16)
    y = gaussian_pool(KEY, x, 0.0, 1.0)
    assert y.dtype == jnp.bfloat16
    exact = gaussian_pool(KEY, x.astype(jnp.float32), 0.0, 1.0)
    np.testing.assert_allclose(np.asarray(y, np.float32), exact, rtol=2**-7, atol=1e-3)


def test_no_key_is_used_twice():
    with jax.debug_key_reuse(True):
        jaxaug.gaussian_pool(jax.random.key(3), normal(0), 0.0, 1.0)


@pytest.mark.parametrize(
    ("arguments", "options", "error", "said"),
    [
        ((None, jnp.ones((1, 2, 2, 1)), 0.0, 1.0), {}, TypeError, "typed key"),
        ((KEY, jnp.ones((1, 2, 2, 1)), 0.0, -1.0), {}, ValueError, "sigma in .0, inf.; got -1"),
        ((KEY, jnp.ones((1, 2, 2, 2)), 0.0, jnp.array([1.0, -2.0])), {}, ValueError, "got -2"),
        ((KEY, jnp.ones((1, 2, 2, 2)), jnp.ones(3), 1.0), {}, ValueError, r"a number, \[2\] or \[1, 1, 1, 2\] for mu"),
        ((KEY, jnp.ones((1, 1, 2, 1)), 0.0, 1.0), {}, ValueError, "no larger than the padded height"),
        ((KEY, jnp.ones((1, 2, 2, 1), jnp.int32), 0.0, 1.0), {}, TypeError, "floating-point"),
        ((KEY, jnp.ones((1, 2, 2, 1)), 0.0, 1.0), {"prior": "normal"}, ValueError, "'isp', 'half', 'gaussian'"),
        ((KEY, jnp.ones((1, 2, 2, 1)), 0.0, 1.0), {"noise_level": "batch"}, ValueError, "'channel', 'position'"),
        ((KEY, jnp.ones((1, 2, 2, 1)), 0.0, 1.0), {"inference": "mode"}, ValueError, "'published', 'mean'"),
    ],
)
def test_bad_input_gets_a_sentence(arguments: Any, options: dict[str, Any], error: type[Exception], said: str):
    with annotations_unchecked(), pytest.raises(error, match=said):
        jaxaug.gaussian_pool(*arguments, **options)


# The module.


def training(layer: Any, x: jax.Array, key: jax.Array = KEY) -> tuple[Any, jax.Array, Any]:
    """Returns the layer's first variables, and what a training pass gives and leaves behind."""
    variables = compiled(layer.init)(KEY, x, deterministic=True)
    y, changed = compiled(layer.apply)(
        variables, x, deterministic=False, rngs={"dropout": key}, mutable=["batch_stats"]
    )
    return variables, y, changed


def test_fixed_and_learned_parameters_begin_as_the_function():
    x = normal(0)
    expected = gaussian_pool(None, x, 0.5, 2.0, prior="half", deterministic=True)
    for source in ("fixed", "learned"):
        layer: Any = GaussianPool(prior="half", parameters=cast(Any, source), mu=0.5, sigma=2.0)
        variables = compiled(layer.init)(KEY, x, deterministic=True)
        assert set(variables.get("params", {})) == ({"mu", "sigma"} if source == "learned" else set())
        np.testing.assert_allclose(compiled(layer.apply)(variables, x, deterministic=True), expected, atol=1e-6)


def test_adaptive_parameters_are_those_of_the_published_network():
    x = normal(1, (5, 4, 4, 6))
    layer: Any = GaussianPool(prior="gaussian")
    variables = compiled(layer.init)(KEY, x, deterministic=True)
    guide = jax.tree.map(lambda a: np.asarray(a, np.float64), variables["params"]["guide"])
    assert guide["hidden"]["kernel"].shape == (6, 3)

    def normalized(y: np.ndarray) -> np.ndarray:
        return (y - y.mean(0)) / np.sqrt(y.var(0) + 1e-5)

    hidden = np.maximum(normalized(np.asarray(x, np.float64).mean((1, 2)) @ guide["hidden"]["kernel"]), 0)
    mu = normalized(hidden @ guide["number1"]["kernel"])[:, None, None]
    sigma = 1 / (1 + np.exp(-normalized(hidden @ guide["number2"]["kernel"])[:, None, None]))
    _, y, changed = training(layer, x)
    key = layer.apply(variables, rngs={"dropout": KEY}, method=lambda module: module.make_rng("dropout"))
    expected = gaussian_pool(key, x, jnp.asarray(mu, jnp.float32), jnp.asarray(sigma, jnp.float32), prior="gaussian")
    np.testing.assert_allclose(y, expected, atol=1e-4)
    assert set(changed["batch_stats"]["guide"]) == {"hidden_bn", "number1_bn", "number2_bn"}


def test_inference_needs_no_key_and_leaves_each_example_alone():
    x = normal(2, (4, 4, 4, 3))
    layer: Any = GaussianPool()
    variables, _, changed = training(layer, x)
    variables = {**variables, **changed}
    together, alone = (compiled(layer.apply)(variables, inputs, deterministic=True) for inputs in (x, x[1:2]))
    np.testing.assert_allclose(together[1:2], alone, atol=1e-6)


def test_every_parameter_gets_a_gradient():
    x = normal(3, (4, 4, 4, 6))
    for source in ("learned", "adaptive"):
        layer: Any = GaussianPool(parameters=cast(Any, source))
        variables = compiled(layer.init)(KEY, x, deterministic=True)

        def loss(params: Any, layer: Any = layer, variables: Any = variables) -> jax.Array:
            rngs = {"dropout": jax.random.key(1)}
            every = {**variables, "params": params}
            y, _ = layer.apply(every, x, deterministic=False, rngs=rngs, mutable=["batch_stats"])
            return jnp.sum(y**2)

        gradients = jax.jit(jax.grad(loss))(variables["params"])
        for path, gradient in jax.tree_util.tree_leaves_with_path(gradients):
            # A bias before a normalization changes nothing.
            dead = path[-1].key == "bias" and not path[-2].key.endswith("bn")
            assert dead or float(jnp.abs(gradient).max()) > 1e-4, path


def test_a_batch_of_one_cannot_be_normalized():
    layer = GaussianPool()
    variables = layer.init(KEY, jnp.ones((1, 2, 2, 2)), deterministic=False)
    with pytest.raises(ValueError, match="batch of at least 2 in training"):
        layer.apply(
            variables, jnp.ones((1, 2, 2, 2)), deterministic=False, rngs={"dropout": KEY}, mutable=["batch_stats"]
        )
    layer.apply(variables, jnp.ones((1, 2, 2, 2)), deterministic=True)


def test_training_without_a_key_says_how_to_pass_one():
    with pytest.raises(ValueError, match=r"GaussianPool draws noise in training: pass rngs=\{'dropout': key\}"):
        GaussianPool(parameters="fixed").apply({}, jnp.ones((1, 2, 2, 1)), deterministic=False)


def test_an_unknown_source_is_named():
    with annotations_unchecked(), pytest.raises(ValueError, match="'adaptive', 'learned', 'fixed'"):
        GaussianPool(parameters="learn").apply({}, jnp.ones((1, 2, 2, 1)), deterministic=True)  # pyright: ignore


def test_nnx_can_wrap_it():
    layer = nnx.bridge.ToNNX(GaussianPool(parameters="fixed"), rngs=nnx.Rngs(dropout=0))
    assert layer(normal(0), deterministic=False).shape == (2, 2, 3, 3)
