"""Strategies with label mixing and ShakeDrop, over two devices and in a population: the same numbers as alone."""

import os
import subprocess
import sys
import textwrap
from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxaug import ShakeDrop, chain, mixup, on_images, on_pairs
from jaxaug.augment import gaussian_noise
from jaxaug.compose import Augmentation
from jaxaug.sampling import Strategy, batch_augmented, importance_sampled, self_paced
from jaxaug.training import init_state, make_train_step

AUGMENT = chain(on_images(gaussian_noise, stddev=0.5), on_pairs(mixup))
STRATEGIES: dict[str, Callable[[Augmentation], Strategy]] = {
    "self-paced": lambda augment: self_paced(augment, threshold=1.0),
    "a quarter scored": lambda augment: importance_sampled(augment, importance="softmax", scored=0.25, unbiased=True),
    "batch_augmented": batch_augmented,
}
CLASSES, FEATURES, EXAMPLES = 3, 5, 8


class Residual(nn.Module):
    """One residual branch under ShakeDrop."""

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool = False) -> jax.Array:
        x = nn.Dense(6)(x)
        branch = ShakeDrop.without_final_relu(keep_prob=0.5)(nn.Dense(6)(nn.relu(x)), deterministic=not train)
        return nn.Dense(CLASSES)(x + branch)


def batch() -> dict[str, jax.Array]:
    rng = np.random.default_rng(0)
    return {
        "image": jnp.asarray(rng.normal(size=(EXAMPLES, FEATURES)), jnp.float32),
        "label": jax.nn.one_hot(jnp.arange(EXAMPLES) % CLASSES, CLASSES),
        "index": jnp.arange(EXAMPLES),
    }


def two_steps(name: str) -> Callable[[jax.Array, dict[str, jax.Array]], Any]:
    """Returns key, batch -> parameters, strategy state and metrics after two steps."""
    model, optimizer, strategy = Residual(), optax.sgd(0.5), STRATEGIES[name](AUGMENT)
    step = make_train_step(model, optimizer, strategy)

    def run(key: jax.Array, batch: dict[str, jax.Array]) -> Any:
        state = init_state(key, model, optimizer, strategy, shape=(FEATURES,), num_examples=EXAMPLES)
        state, _ = step(state, batch)
        state, metrics = step(state, batch)
        return state.params, state.strategy_state, metrics

    return jax.jit(run)


def assert_same(one: Any, other: Any) -> None:
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5), one, other)


@pytest.mark.parametrize("name", STRATEGIES)
def test_a_member_of_a_population_trains_as_if_alone(name: str) -> None:
    run, keys = two_steps(name), jax.random.split(jax.random.key(0), 3)
    together = jax.jit(jax.vmap(run, (0, None)))(keys, batch())
    for i, key in enumerate(keys):
        assert_same(jax.tree.map(lambda leaf, i=i: leaf[i], together), run(key, batch()))


TWO_DEVICES = """
    import jax, numpy as np
    from jax.sharding import NamedSharding, PartitionSpec
    from test_composition import STRATEGIES, assert_same, batch, two_steps

    mesh = jax.make_mesh((2,), ("data",), axis_types=(jax.sharding.AxisType.Auto,))
    sharded = jax.device_put(batch(), NamedSharding(mesh, PartitionSpec("data")))
    for name in STRATEGIES:
        run = two_steps(name)
        assert_same(run(jax.random.key(0), batch()), run(jax.random.key(0), sharded))
    print("the same on", len(sharded["image"].sharding.device_set), "devices")
"""


def test_two_devices_train_as_one() -> None:
    here = os.path.dirname(__file__)
    flags = f"{os.environ.get('XLA_FLAGS', '')} --xla_force_host_platform_device_count=2"
    environment = {**os.environ, "XLA_FLAGS": flags, "PYTHONPATH": here}
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(TWO_DEVICES)],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
        env=environment,
    )
    assert done.stdout.strip() == "the same on 2 devices", done.stderr[-2000:]
