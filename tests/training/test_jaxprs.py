"""Operations counted in a jaxpr against their formulas, and against what XLA counts for a network."""

import jax
import jax.numpy as jnp
import pytest

from jaxaug import create_model
from jaxaug.training.jaxprs import count_flops

A, B = jnp.ones((3, 5)), jnp.ones((5, 7))
IMAGES = jnp.ones((2, 8, 6, 4))


def flops(function, *arguments) -> float:
    return count_flops(jax.make_jaxpr(function)(*arguments).jaxpr)


def convolved(kernel, groups=1, stride=1):
    return jax.lax.conv_general_dilated(
        IMAGES, kernel, (stride, stride), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"), feature_group_count=groups
    )


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (lambda: A @ B, 2 * 3 * 5 * 7),
        (lambda: jnp.einsum("bij,bjk->bik", jnp.ones((4, 2, 3)), jnp.ones((4, 3, 6))), 2 * 4 * 2 * 3 * 6),
        (lambda: convolved(jnp.ones((3, 3, 4, 10))), 2 * (2 * 8 * 6 * 10) * 3 * 3 * 4),
        (lambda: convolved(jnp.ones((3, 3, 4, 10)), stride=2), 2 * (2 * 4 * 3 * 10) * 3 * 3 * 4),
        (lambda: convolved(jnp.ones((3, 3, 1, 8)), groups=4), 2 * (2 * 8 * 6 * 8) * 3 * 3),
        (lambda: jax.jit(lambda: A @ B)(), 2 * 3 * 5 * 7),
        (lambda: jax.lax.scan(lambda c, _: (c + jnp.sum(A @ B), None), 0.0, length=11)[0], 11 * 2 * 3 * 5 * 7),
        (lambda: jax.lax.cond(A[0, 0] > 0, lambda: A @ B, lambda: jnp.zeros((3, 7))), 2 * 3 * 5 * 7),
        (lambda: A + 1.0, 0),
    ],
)
def test_the_count_is_the_formula(function, expected):
    assert flops(function) == expected


def test_the_count_of_a_network_is_that_of_xla_without_its_small_operations():
    model = create_model("resnet20", 10)
    variables = jax.eval_shape(model.init, jax.random.key(0), jnp.ones((1, 16, 16, 3)))

    def logits(variables):
        return model.apply(variables, jnp.ones((8, 16, 16, 3)), train=False)

    counted = (jax.jit(logits).lower(variables).cost_analysis() or {})["flops"]
    # XLA leaves out the products with the zeros of the padding, and adds normalization and activation.
    assert 0.95 < flops(logits, variables) / counted < 1.35
