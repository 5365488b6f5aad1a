"""Laws of randomness: the key alone decides, examples are drawn independently, `prob` is the rate, no key twice."""

from typing import Any

import jax
import numpy as np

from laws import programs
from laws.operations import Operation, pictures

SIGMAS = 5.0
KEYS = 1024


def equal(one: Any, other: Any) -> bool:
    """Returns whether two pytrees hold the same bits."""
    pairs = zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True)
    return all(np.asarray(a).tobytes() == np.asarray(b).tobytes() for a, b in pairs)


def key_alone_decides(operation: Operation) -> None:
    """The same key gives the same result, other keys give others, and no host generator decides."""
    images = pictures((3, 8, 12, 3))
    host = str(np.random.get_state())  # noqa: NPY002
    key = jax.random.key(3)
    one, other = (operation(key, images, **operation.even_coin) for _ in range(2))
    assert equal(one, other), "the same key gave another result"
    assert host == str(np.random.get_state()), "numpy's global generator was used"  # noqa: NPY002
    numbers, _ = programs.described(operation, jax.random.split(jax.random.key(5), KEYS), 0.5)
    same = bool((numbers == numbers[:1]).all())
    assert same != operation.random, "all keys gave one result" if same else "the key matters: not DRAW_NOTHING"


def features(operation: Operation) -> np.ndarray:
    """Returns `[N, 3, F]`: numbers that tell apart what three identical examples became under each of N keys."""
    keys = jax.random.split(jax.random.key(5), KEYS)
    linear = np.asarray(programs.described(operation, keys, 0.5)[0], np.float64)
    # The squares see a shared coin or size even where a sign is drawn for each example.
    return np.concatenate([linear, (linear - linear.mean((0, 1))) ** 2], axis=2)


def examples_are_independent(operation: Operation) -> None:
    """Identical examples of a batch get draws of their own, alike in distribution and uncorrelated."""
    found = features(operation)
    found = found[:, :, found.std(0).max(0) > 1e-5]
    assert found.shape[2] > 0, "nothing in the output varies"
    mean, scale = found.mean(0), np.sqrt(found.var(0).mean(0))
    centered = (found - mean) / scale
    for one, other in ((0, 1), (0, 2), (1, 2)):
        shift = (np.abs(mean[one] - mean[other]) / scale).max()
        assert shift < SIGMAS * (2 / KEYS) ** 0.5, f"examples {one} and {other} are treated differently: {shift:.2f}"
        correlation = np.abs((centered[:, one] * centered[:, other]).mean(0)).max()
        assert correlation < SIGMAS / KEYS**0.5, f"examples {one} and {other} share a draw: {correlation:.2f}"


def prob_is_the_rate(operation: Operation) -> None:
    """The share of changed examples is binomial around `prob`, and exact at 0 and 1."""
    for index, prob in enumerate((0.0, 0.2, 0.5, 1.0)):
        changed = programs.described(operation, jax.random.split(jax.random.key(index), KEYS), prob)[1]
        bound = SIGMAS * (prob * (1 - prob) / changed.size) ** 0.5
        assert abs(changed.mean() - prob) <= bound, f"prob={prob} changed {changed.mean():.3f} of the examples"


def no_key_is_used_twice(operation: Operation) -> None:
    """`jax.debug_key_reuse` stays silent, and sees the key consumed."""
    try:
        _, consumed = programs.checked_for_key_reuse(operation)
    except jax.errors.KeyReuseError as error:
        raise AssertionError(f"{operation.name} uses a key twice: {error}") from error
    assert not operation.random or consumed, f"{operation.name} leaves its key to be used again"
