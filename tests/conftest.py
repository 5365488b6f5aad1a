"""Every test runs with jax's strict promotion rules, and jaxtyping's annotations checked by beartype."""

import importlib.metadata
import os
import pathlib

# Two workers share two cores: one BLAS thread each keeps them out of each other's way.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("JAX_PLATFORMS", "cpu")
# Compiling is what the tests, and the commands that they call, spend their time on: half of it is optimization.
os.environ.setdefault("JAX_DISABLE_MOST_OPTIMIZATIONS", "true")
# Half of the rest is in how XLA emits the code of programs as small as these. (It ends a process whose flags it does
# not know, and later versions do not know the first.)
os.environ.setdefault(
    "XLA_FLAGS",
    "--xla_cpu_use_fusion_emitters=false --xla_cpu_parallel_codegen_split_count=1"
    if importlib.metadata.version("jaxlib").startswith("0.10.")
    else "",
)
# Many tests compile what one before them did: every worker keeps what it and the commands that it starts compiled, also
# for the next time. (Two workers that share a directory would read what the other has half written.)
os.environ["JAX_COMPILATION_CACHE_DIR"] = str(
    pathlib.Path(__file__).parent.parent / ".pytest_cache/compiled" / os.environ.get("PYTEST_XDIST_WORKER", "main")
)
os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"
os.environ["JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES"] = "-1"
# A command that a test kills may leave half a program behind, which the next one compiles again; one whose disk is full
# keeps nothing.
os.environ["PYTHONWARNINGS"] = ",".join(
    f"ignore:Error {doing} persistent compilation cache entry" for doing in ("reading", "writing")
)

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

install_import_hook("jaxaug", "beartype.beartype")
