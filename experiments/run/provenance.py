"""What produced a result: command, versions, devices and revision."""

import importlib.metadata
import pathlib
import platform
import subprocess
import sys
from typing import Any

import jax

from jaxaug.training import cpu_count


def environment() -> dict[str, Any]:
    """Returns what a run's numbers depend on in addition to its config."""
    packages = ("jaxaug", "jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "numpy")
    return {
        "command": [pathlib.Path(sys.executable).name, *sys.argv],
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cpus": cpu_count(),
        "backend": jax.default_backend(),
        "devices": [device.device_kind for device in jax.devices()],
        "versions": {name: importlib.metadata.version(name) for name in packages},
        "git_revision": git_revision(),
    }


def environment_in_words(environment: dict[str, Any]) -> str:
    """Returns versions, device and revision of an environment as a phrase."""
    versions = ", ".join(f"{name} {version}" for name, version in environment["versions"].items())
    revision, cores = environment["git_revision"], environment["cpus"]
    return (
        f"Python {environment['python']}, {versions}, on {', '.join(environment['devices'])} "
        f"({cores} core{'s' * (cores != 1)}), {f'revision {revision[:7]}' if revision else 'no revision'}"
    )


def git_revision() -> str | None:
    """Returns the commit of the code, with "+changes" if the working tree differs; None outside a checkout."""

    def git(*arguments: str) -> str:
        root = pathlib.Path(__file__).parent
        return subprocess.run(["git", *arguments], cwd=root, capture_output=True, text=True, check=True).stdout.strip()

    try:
        commit, changes = git("rev-parse", "HEAD"), git("status", "--porcelain", "--untracked-files=no")
    except (OSError, subprocess.CalledProcessError):
        return None
    return commit + ("+changes" if changes else "")
