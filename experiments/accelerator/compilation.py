"""Compiled programs that outlive the process, and the seconds spent on compiling."""

import pathlib
import threading

import jax

# Tracing is left out: the events of nested functions overlap.
_EVENTS = (
    "/jax/core/compile/jaxpr_to_mlir_module_duration",
    "/jax/core/compile/backend_compile_duration",
)


def keep_programs(directory: pathlib.Path) -> None:
    """Makes jax keep every program, and what XLA learns from autotuning on a GPU, in the directory."""
    jax.config.update("jax_compilation_cache_dir", str(directory.resolve()))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)
    jax.config.update("jax_persistent_cache_enable_xla_caches", "xla_gpu_per_fusion_autotune_cache_dir")


def compile_quickly() -> None:
    """Makes XLA leave out most of its work on programs, for a rehearsal whose speed nobody reads."""
    jax.config.update("jax_disable_most_optimizations", True)


class CompileSeconds:
    """The seconds that this process has spent on lowering and compiling, summed over threads."""

    def __init__(self) -> None:
        self.total = 0.0
        self._lock = threading.Lock()
        jax.monitoring.register_event_duration_secs_listener(self._note)

    def _note(self, event: str, duration_secs: float, **kwargs: str | int) -> None:
        if event in _EVENTS:
            with self._lock:
                self.total += duration_secs
