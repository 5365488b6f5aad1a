"""A run that is stopped inside an epoch, as a signal stops one."""

import jax
import jax.numpy as jnp

from jaxaug.training import Hooks


class Stopper(Hooks):
    """Stops after a number of programs, and keeps what a checkpoint would."""

    def __init__(self, programs):
        self.left, self.kept = programs, None

    def should_stop(self):
        self.left -= 1
        return self.left < 0

    def on_stop(self, state, sums):
        self.kept = jax.tree.map(jnp.copy, (state, sums))
