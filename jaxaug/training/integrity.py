"""Checks that a saved state is intact and has the expected config and structure."""

import hashlib
import json
from typing import Any

import jax
import jax.numpy as jnp

from jaxaug.checks import described, one_line


def differences(given: Any, expected: Any) -> str:
    """Returns how two nested dicts differ, as in `optimizer.learning_rate is 0.2, not 0.1`; "" if they are equal."""
    left, right = _flat(given), _flat(expected)
    names = sorted(name for name in left.keys() | right.keys() if left.get(name, _MISSING) != right.get(name, _MISSING))
    parts = ((name, *(repr(side.get(name, _MISSING)) for side in (left, right))) for name in names)
    return ", ".join("{} is {}, not {}".format(*map(one_line, part)) for part in parts)


class _Missing:
    def __repr__(self) -> str:
        return "missing"


_MISSING = _Missing()


def _flat(tree: Any, prefix: str = "") -> dict[str, Any]:
    if not isinstance(tree, dict):
        return {prefix: list(tree) if isinstance(tree, tuple) else tree}
    flat: dict[str, Any] = {}
    for name, value in tree.items():
        flat |= _flat(value, f"{prefix}.{name}" if prefix else str(name))
    return flat


def structure(tree: Any) -> dict[str, str]:
    """Returns dtype and shape of each leaf, by its path."""
    return {jax.tree_util.keystr(path): described(leaf) for path, leaf in jax.tree_util.tree_leaves_with_path(tree)}


def fingerprints(tree: Any) -> dict[str, int]:
    """Returns a checksum of each leaf, by its path; a change of any one of its words changes it."""
    leaves = jax.tree_util.tree_leaves_with_path(jax.device_get(_leaf_sums(tree)))
    return {jax.tree_util.keystr(path): int(number) for path, number in leaves}


@jax.jit
def _leaf_sums(tree: Any) -> Any:
    """Returns Σ_i (2 i + 1) w_i mod 2^32 over the words of each leaf, computed on the leaf's devices.

    The factors are odd, so they have inverses mod 2^32, and a change of one word always changes the sum.
    """

    def weighted_sum(leaf: jax.Array) -> jax.Array:
        if leaf.dtype == jnp.bool_:
            leaf = leaf.astype(jnp.uint8)
        word = {1: jnp.uint8, 2: jnp.uint16}.get(leaf.dtype.itemsize, jnp.uint32)
        words = jax.lax.bitcast_convert_type(leaf, word).ravel().astype(jnp.uint32)
        return jnp.sum(words * (2 * jnp.arange(words.size, dtype=jnp.uint32) + 1), dtype=jnp.uint32)

    return jax.tree.map(weighted_sum, tree)


def sha256(data: dict[str, Any]) -> str:
    """Returns the SHA-256 digest of JSON data."""
    return hashlib.sha256(json.dumps(data, sort_keys=True).encode()).hexdigest()
