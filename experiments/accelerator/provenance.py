"""What the figures of a line depend on besides the code: versions, commit, device, command."""

import datetime
import importlib.metadata
import os
import platform
import sys
from typing import Any

import jax

from experiments.run.provenance import git_revision
from jaxaug.training import cpu_count

_PACKAGES = ("jax", "jaxlib", "flax", "optax")


def device_kind() -> str:
    """Returns what the default device is, as "NVIDIA H100 80GB HBM3" or "cpu"."""
    return jax.devices()[0].device_kind


def versions() -> dict[str, str]:
    """Returns the versions of what is used, torch's only once it has been imported."""
    names = (*_PACKAGES, *(name for name in ("torch",) if name in sys.modules))
    return {"python": platform.python_version(), **{name: importlib.metadata.version(name) for name in names}}


def git_commit() -> str | None:
    """Returns the commit: of the variable GIT_COMMIT, else of the checkout, None if there is neither."""
    return os.environ.get("GIT_COMMIT") or git_revision()


def provenance(command: str) -> dict[str, Any]:
    """Returns what is the same in all lines of a process but the versions of torch and the time."""
    return {"device_kind": device_kind(), "cpus": cpu_count(), "git_commit": git_commit(),
            "command": command}  # fmt: skip


def utc_now() -> str:
    """Returns the time as "2026-01-31T23:59:59Z"."""
    return datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
