"""A network cut in two at a layer: both halves make the whole, and gradients are those of a perturbation."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxaug.explain import effective_receptive_field, features_and_head, grad_cam
from jaxaug.models import create_model

IMAGES = jnp.asarray(np.random.default_rng(0).normal(size=(2, 6, 4, 3)), jnp.float32)
CLASSES = jnp.array([1, 0])


class Shortcut(nn.Module):
    """A convolution that a shortcut passes by, and whose output is read twice and can be perturbed."""

    @nn.compact
    def __call__(self, x: jax.Array) -> Any:
        a = self.perturb("after_conv", nn.Conv(5, (3, 3), name="conv")(x))
        both = jnp.tanh(a) * a.mean(axis=(1, 2), keepdims=True) + x.sum(axis=-1, keepdims=True)
        return nn.Dense(2, name="classifier")(both.mean(axis=(1, 2)))


def test_gradient_is_that_of_a_perturbation() -> None:
    net = Shortcut()
    variables = net.init(jax.random.key(0), IMAGES)
    params = {"params": variables["params"]}

    def perturbed(perturbations: Any) -> Any:
        return net.apply({**params, "perturbations": perturbations}, IMAGES)

    truth = jax.grad(lambda p: perturbed(p)[jnp.arange(2), CLASSES].sum())(variables["perturbations"])["after_conv"]
    features, head = features_and_head(net, params, IMAGES, "conv")
    conv: Any = nn.Conv(5, (3, 3)).apply({"params": params["params"]["conv"]}, IMAGES)
    np.testing.assert_array_equal(features, conv)
    logits: Any = net.apply(params, IMAGES)
    np.testing.assert_allclose(head(features), logits, rtol=1e-6)
    np.testing.assert_allclose(
        jax.grad(lambda a: head(a)[jnp.arange(2), CLASSES].sum())(features), truth, rtol=1e-5, atol=1e-7
    )


def test_layers_of_a_network_of_the_library() -> None:
    model = create_model("wrn_10_1", 3, remat=True)
    images = jnp.concatenate([IMAGES, 2 * IMAGES], axis=1)[:, :8]
    variables = model.init(jax.random.key(0), images)

    @jax.jit
    def explained(images: jax.Array) -> Any:
        halves = [
            features_and_head(model, variables, images, layer)
            for layer in ("trunk", "trunk/stage2_block1", "trunk/stage3_block1/conv1")
        ]
        joined = [head(features) for features, head in halves]
        logits = model.apply(variables, images)
        return joined, logits, [grad_cam(head, features, CLASSES) for features, head in halves]

    joined, logits, maps = explained(images)
    for found in joined:
        np.testing.assert_allclose(found, logits, rtol=1e-4, atol=1e-6)
    assert [found.shape for found in maps] == [(2, 2, 1), (2, 4, 2), (2, 2, 1)]
    features: Any = model.apply(variables, images, method="features")
    trunk, _ = features_and_head(model, variables, images, "trunk")
    np.testing.assert_allclose(trunk, features, rtol=1e-5, atol=1e-6)


def test_receptive_field_of_an_inner_layer() -> None:
    net = Shortcut()
    params = {"params": net.init(jax.random.key(0), IMAGES)["params"]}
    field = effective_receptive_field(lambda x: features_and_head(net, params, x, "conv")[0], IMAGES)
    kernel = np.asarray(params["params"]["conv"]["kernel"]).sum(-1)
    truth = np.zeros((6, 4))
    truth[2:5, 1:4] = np.abs(kernel).sum(-1)
    np.testing.assert_allclose(field, truth, rtol=1e-5, atol=1e-6)


class Odd(nn.Module):
    """A layer that is called twice, and one that returns two arrays."""

    @nn.compact
    def __call__(self, x: jax.Array) -> Any:
        class Pair(nn.Module):
            def __call__(self, x: jax.Array) -> Any:
                return x, x

        twice = nn.Dense(3, name="twice")
        return Pair(name="pair")(twice(twice(x)))[0]


@pytest.mark.parametrize(
    ("layer", "sentence"),
    [
        ("twise", r"^unknown layer of Odd 'twise'; did you mean 'twice'\?$"),
        ("q", r"^unknown layer of Odd 'q'; known: pair, twice\.$"),
        ("twice", r"^features_and_head takes a layer that is called once; 'twice' is called 2 times\.$"),
        ("pair", r"^features_and_head takes a layer that returns one array; 'pair' returns tuple\.$"),
    ],
)
def test_bad_layers_get_one_sentence(layer: str, sentence: str) -> None:
    variables = Odd().init(jax.random.key(0), jnp.ones((1, 3)))
    with pytest.raises(ValueError, match=sentence):
        features_and_head(Odd(), variables, jnp.ones((1, 3)), layer)
