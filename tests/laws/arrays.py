"""Laws of arrays: shape and dtype, the same numbers however a function is run, numbers that may be traced."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from laws import programs
from laws.interface import annotations_unchecked
from laws.operations import ANY_RANK, RGB_ONLY, Operation, pictures
from laws.programs import IMAGES, KEY

DTYPES = (jnp.float32, jnp.bfloat16, jnp.float16)


def assert_close(actual: Any, expected: Any, what: str) -> None:
    """Asserts equality up to rounding, leaf by leaf."""
    for one, other in zip(jax.tree.leaves(actual), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5, rtol=1e-5, err_msg=what)


def shape_and_dtype_are_kept(operation: Operation) -> None:
    """Any batch, H other than W, one channel or three, three dtypes; labels keep their own dtype."""
    plain = [((1, 8, 12, 3), dtype) for dtype in DTYPES]
    plain += [((5, 12, 8, channels(operation)), jnp.bfloat16), ((2, 9, 9, 3), jnp.float16)]
    if operation.name in ANY_RANK:
        plain += [(shape, dtype) for shape in ((3, 7), (3, 2, 2, 2, 2)) for dtype in DTYPES]
    for variant in operation.variants:
        # What a switch turns on keeps to the rule at the edges of it: one example, one channel, half precision.
        for shape, dtype in plain if not variant else plain[1:4]:
            given = [jax.ShapeDtypeStruct(shape, dtype)]
            given += [jax.ShapeDtypeStruct((shape[0], 4), jnp.bfloat16)] if operation.mixes else []
            result = jax.eval_shape(bound(operation, variant), KEY, *given)
            found = [(x.shape, x.dtype) for x in jax.tree.leaves(result)]
            expected = [(x.shape, x.dtype) for x in given]
            assert found == expected, f"{operation.name}({variant}) turns {expected} into {found}"


def channels(operation: Operation) -> int:
    """Returns the fewest channels that the operation takes."""
    return 3 if operation.name in RGB_ONLY else 1


def bound(operation: Operation, options: dict[str, Any]) -> Callable[..., Any]:
    """Returns the function itself with its options filled in."""
    return lambda *arrays: operation.function(*arrays, **{**operation.settings, **options})


def one_example_in_half_precision_is_finite(operation: Operation) -> None:
    """A batch of one, of one channel, in bfloat16 and with every number traced, gives finite numbers of that dtype."""
    images = pictures((1, 12, 8, channels(operation)), jnp.bfloat16)
    numbers = jax.tree.map(np.float32, operation.numbers)
    result = jax.jit(lambda key, numbers: operation(key, images, **numbers))(KEY, numbers)
    leaves = jax.tree.leaves(result)
    assert leaves[0].dtype == jnp.bfloat16, f"{operation.name} turns bfloat16 into {leaves[0].dtype}"
    finite = all(np.isfinite(np.asarray(leaf, np.float32)).all() for leaf in leaves)
    assert finite, f"{operation.name} is not finite in bfloat16"


def numbers_are_the_same_however_run(operation: Operation) -> None:
    """jit, and jit of scan of vmap, give the eager numbers up to rounding; so do NumPy's arrays."""
    keys, compiled = programs.over_values(operation)
    for step in range(2):
        found = jax.tree.map(lambda leaf: leaf[step, 0], compiled)  # noqa: B023
        assert_close(found, operation(keys[step, 0], IMAGES[step, 0], **operation.even_coin), operation.name)
    eager = operation(KEY, IMAGES[0, 0])
    assert_close(programs.checked_for_key_reuse(operation)[0], eager, operation.name)
    with annotations_unchecked():
        assert_close(operation(KEY, np.asarray(IMAGES[0, 0])), eager, operation.name)


def numbers_may_be_traced(operation: Operation) -> None:
    """vmap over two values of all numeric options gives what each value gives when it is static."""
    keys, compiled = programs.over_values(operation)
    for index, numbers in enumerate(programs.values(operation)):
        found = jax.tree.map(lambda leaf: leaf[0, index], compiled)  # noqa: B023
        static = operation(keys[0, index], IMAGES[0, index], **numbers)
        assert_close(found, static, f"{operation.name}({numbers}) traced")
