"""Laws of arrays: shape and dtype, the same numbers however a function is run, numbers that may be traced."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from laws.interface import annotations_unchecked
from laws.operations import ANY_RANK, RGB_ONLY, Operation, lower_value, pictures

DTYPES = (jnp.float32, jnp.bfloat16, jnp.float16)
KEY = jax.random.key(17)


def assert_close(actual: Any, expected: Any, what: str) -> None:
    """Asserts equality up to rounding, leaf by leaf."""
    for one, other in zip(jax.tree.leaves(actual), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5, rtol=1e-5, err_msg=what)


def shape_and_dtype_are_kept(operation: Operation) -> None:
    """Any batch, H other than W, one channel or three, three dtypes; labels keep their own dtype."""
    shapes = [(1, 8, 12, 3), (5, 12, 8, 3 if operation.name in RGB_ONLY else 1), (2, 9, 9, 3)]
    shapes += [(3, 7), (3, 2, 2, 2, 2)] if operation.name in ANY_RANK else []
    for shape in shapes:
        for dtype in DTYPES:
            given = [jax.ShapeDtypeStruct(shape, dtype)]
            given += [jax.ShapeDtypeStruct((shape[0], 4), jnp.bfloat16)] if operation.mixes else []
            for variant in operation.variants:
                result = jax.eval_shape(bound(operation, variant), KEY, *given)
                found = [(x.shape, x.dtype) for x in jax.tree.leaves(result)]
                expected = [(x.shape, x.dtype) for x in given]
                assert found == expected, f"{operation.name}({variant}) turns {expected} into {found}"


def bound(operation: Operation, options: dict[str, Any]) -> Callable[..., Any]:
    """Returns the function itself with its options filled in."""
    return lambda *arrays: operation.function(*arrays, **{**operation.settings, **options})


def one_example_in_half_precision_is_finite(operation: Operation) -> None:
    """A batch of one, of one channel, in bfloat16 and with every number traced, gives finite numbers of that dtype."""
    images = pictures((1, 12, 8, 3 if operation.name in RGB_ONLY else 1), jnp.bfloat16)
    numbers = jax.tree.map(jnp.float32, operation.numbers)
    result = jax.jit(lambda key, numbers: operation(key, images, **numbers))(KEY, numbers)
    leaves = jax.tree.leaves(result)
    assert leaves[0].dtype == jnp.bfloat16, f"{operation.name} turns bfloat16 into {leaves[0].dtype}"
    assert all(bool(jnp.isfinite(leaf).all()) for leaf in leaves), f"{operation.name} is not finite in bfloat16"


def numbers_are_the_same_however_run(operation: Operation) -> None:
    """jit of scan of vmap, over keys and images, gives the eager numbers up to rounding; so do NumPy's arrays."""
    keys, images = jax.random.split(KEY, (2, 2)), pictures((2, 2, 3, 8, 12, 3))

    def run(key: Any, images: Any) -> Any:
        return operation(key, images, **operation.even_coin)

    def step(carry: Any, pair: Any) -> Any:
        return carry, jax.vmap(run)(*pair)

    compiled = jax.jit(lambda keys, images: jax.lax.scan(step, None, (keys, images))[1])(keys, images)
    for place in ((0, 0), (0, 1), (1, 0)):
        found = jax.tree.map(lambda leaf: leaf[place], compiled)  # noqa: B023
        assert_close(found, run(keys[place], images[place]), operation.name)
    with annotations_unchecked():
        assert_close(run(keys[0, 0], np.asarray(images[0, 0])), run(keys[0, 0], images[0, 0]), operation.name)


def numbers_may_be_traced(operation: Operation) -> None:
    """vmap over a grid of all numeric options gives what each value gives when it is static."""
    first = {**operation.numbers, **operation.even_coin}
    grid = [first, {name: lower_value(value) for name, value in first.items()}]
    images = pictures((3, 8, 12, 3))
    stacked = jax.tree.map(lambda *values: jnp.float32(values), *grid)
    traced = jax.jit(jax.vmap(lambda numbers: operation(KEY, images, **numbers)))(stacked)
    for index, numbers in enumerate(grid):
        found = jax.tree.map(lambda leaf: leaf[index], traced)  # noqa: B023
        assert_close(found, operation(KEY, images, **numbers), f"{operation.name}({numbers}) traced")
