"""Every test runs with jax's strict promotion rules, and jaxtyping's annotations checked by beartype."""

import os
import pathlib
from collections.abc import Iterator

# Two workers share two cores: one BLAS thread each keeps them out of each other's way.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("JAX_PLATFORMS", "cpu")

import jax
import pytest
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

# These compile many small programs and run each a few times.
_QUICK = {"training", "experiments", "sampling", "search"}


@pytest.fixture(scope="module")
def quick_compilation() -> Iterator[None]:
    """Compiles twice as fast what need not be fast."""
    before = jax.config.read("jax_disable_most_optimizations")
    jax.config.update("jax_disable_most_optimizations", True)
    yield
    jax.config.update("jax_disable_most_optimizations", before)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Compiles quickly in the folders where it pays."""
    for item in items:
        if item.path.parent.name in _QUICK and item.path.parent.parent.name == "tests":
            item.add_marker(pytest.mark.usefixtures("quick_compilation"))
