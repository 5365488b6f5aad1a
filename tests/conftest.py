"""Every test runs with jax's strict promotion rules, and jaxtyping's annotations checked by beartype."""

import os

# Two workers share two cores: one BLAS thread each keeps them out of each other's way.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("JAX_PLATFORMS", "cpu")

import jax
from jaxtyping import install_import_hook

jax.config.update("jax_numpy_dtype_promotion", "strict")
jax.config.update("jax_numpy_rank_promotion", "raise")

install_import_hook("jaxaug", "beartype.beartype")
