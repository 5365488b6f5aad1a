"""Every public function on the accelerator against the CPU of the same machine, under the same keys."""

import concurrent.futures
from collections.abc import Callable
from types import ModuleType
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from experiments.accelerator.check.cases import EXACT, Inputs, cases, inputs
from experiments.accelerator.item import ItemError, Scale

DTYPES = {"float32": jnp.float32, "bfloat16": jnp.bfloat16}

# Of the largest magnitude of the CPU's array, or of 1. In float32 that is some hundred roundings, in bfloat16 four.
TOLERANCES = {"float32": 3e-5, "bfloat16": 2**-6}

# The share of entries that may be beyond: where rounding decides, as at the border of a rotated image.
SHARE_BEYOND = 1e-3

_SIZES = {"full": {"batch": 32, "size": (32, 32)}, "tiny": {"batch": 3, "size": (8, 12)}}

# The reference need not be fast, and compiles in half the time.
_CPU_OPTIONS = {"xla_backend_optimization_level": "0", "xla_llvm_disable_expensive_passes": True}


def compared_functions(package: ModuleType, scale: Scale) -> dict[str, Any]:
    """Returns the largest deviation of each function of a package in each dtype, from one program per dtype and device.

    Products of matrices are computed in full float32 on both sides, not in the TF32 of a GPU's default.

    Raises:
      ItemError: an integer differs, a function that only moves pixels differs, or too many entries are beyond the
        tolerance; the deviations are in its result.
    """
    tried = cases(package)

    def program(key: jax.Array, given: Inputs) -> dict[str, Any]:
        return {case.name: case.call(key, given) for case in tried}

    host = {name: inputs(dtype, **_SIZES[scale]) for name, dtype in DTYPES.items()}
    devices = {"accelerator": jax.devices()[0], "cpu": jax.devices("cpu")[0]}
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        outputs = {
            (where, name): pool.submit(outputs_on, device, program, host[name], _CPU_OPTIONS if where == "cpu" else {})
            for name in DTYPES
            for where, device in devices.items()
        }
    functions: dict[str, dict[str, float]] = {case.name: {} for case in tried}
    faults = []
    for dtype, tolerance in TOLERANCES.items():
        found, expected = (outputs[where, dtype].result() for where in ("accelerator", "cpu"))
        for case in tried:
            deviation, beyond = differences(found[case.name], expected[case.name], tolerance)
            functions[case.name] |= {dtype: deviation, **({f"share beyond, {dtype}": beyond} if beyond else {})}
            if deviation > 0 if case.name in EXACT else beyond > SHARE_BEYOND:
                faults.append(f"{case.name} in {dtype} (deviation {deviation:.2g}, {beyond:.2%} of entries beyond)")
    result = {
        "count": len(tried),
        **{f"largest {d}": max((found[d] for found in functions.values()), default=0.0) for d in DTYPES},
        "functions": functions,
    }
    if faults:
        raise ItemError(f"The accelerator and the CPU differ: {'; '.join(faults)}.", result)
    return result


def outputs_on(device: Any, program: Callable[..., Any], host: dict[str, Any], options: dict[str, Any]) -> Any:
    """Returns what the program gives on a device, as arrays of the host."""
    with jax.default_matmul_precision("highest"), jax.default_device(device):
        arguments = jax.device_put((jax.random.key(7), host), device)
        compiled = jax.jit(program).lower(*arguments).compile(compiler_options=options)
        return jax.device_get(compiled(*arguments))


def differences(found: Any, expected: Any, tolerance: float) -> tuple[float, float]:
    """Returns the largest deviation, relative to the largest magnitude or 1, and the share of entries beyond it.

    Of arrays of integers every difference is beyond, and so is a NaN or infinity that the CPU does not have.
    """
    deviations, beyond, entries = [0.0], 0, 0
    for one, other in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        whole = not jnp.issubdtype(other.dtype, jnp.floating)
        one, other = np.asarray(one, np.float64), np.asarray(other, np.float64)
        scale = max(1.0, float(np.abs(other[np.isfinite(other)]).max(initial=0.0)))
        with np.errstate(invalid="ignore"):
            distance = np.where(one == other, 0.0, np.abs(one - other) / scale)
        distance[np.isnan(one) & np.isnan(other)] = 0.0
        distance[np.isnan(distance)] = np.inf
        if whole and distance.any():
            return float(distance.max()), 1.0
        deviations.append(float(distance.max(initial=0.0)))
        beyond += int((distance > tolerance).sum())
        entries += distance.size
    return max(deviations), beyond / max(entries, 1)
