"""Every test runs with jax's strict promotion rules, and jaxtyping's annotations checked by beartype."""

import os
import pathlib

# Two workers share two cores: one BLAS thread each keeps them out of each other's way.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("JAX_PLATFORMS", "cpu")
# Compiling is what the tests, and the commands that they call, spend their time on: half of it is optimization.
os.environ.setdefault("JAX_DISABLE_MOST_OPTIMIZATIONS", "true")

import jaxlib.version

# Programs this small are compiled in half the time by XLA's older emitters. (XLA ends a process whose flags it does not
# know, and later versions do not know these.)
if jaxlib.version.__version__.startswith("0.10."):
    os.environ.setdefault("XLA_FLAGS", "--xla_cpu_use_fusion_emitters=false --xla_cpu_parallel_codegen_split_count=1")

import jax
from compilations import (  # noqa: F401
    pytest_addoption,
    pytest_collection_finish,
    pytest_runtest_logreport,
    pytest_runtest_makereport,
    pytest_terminal_summary,
)
from jaxtyping import install_import_hook

jax.config.update("jax_numpy_dtype_promotion", "strict")
jax.config.update("jax_numpy_rank_promotion", "raise")

# Most of the time goes into compiling, and many tests compile what one before them did: every worker keeps what it
# compiled, also for the next time. (Two that share a directory would read what the other has half written.)
_WORKER = os.environ.get("PYTEST_XDIST_WORKER", "main")
_COMPILED = pathlib.Path(__file__).parent.parent / ".pytest_cache" / "compiled" / _WORKER
jax.config.update("jax_compilation_cache_dir", str(_COMPILED))
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)

install_import_hook("jaxaug", "beartype.beartype")
