"""What the tests of resumed runs share."""

import jax
import jax.numpy as jnp
import numpy as np

from jaxaug.training import Hooks


class Stopper(Hooks):
    """Stops after a number of programs, and keeps what a checkpoint would."""

    def __init__(self, programs):
        self.left, self.kept = programs, None

    def should_stop(self):
        self.left -= 1
        return self.left < 0

    def on_stop(self, state, totals):
        self.kept = jax.tree.map(jnp.copy, (state, totals))


def bits(state):
    """Returns dtype, shape and bytes of every leaf of a state."""
    leaves = [
        np.asarray(jax.random.key_data(x) if jnp.issubdtype(x.dtype, jax.dtypes.prng_key) else x)
        for x in jax.tree.leaves(state)
    ]
    return [(x.dtype, x.shape, x.tobytes()) for x in leaves]
