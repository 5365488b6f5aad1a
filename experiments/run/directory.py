"""The directory of a run: what it is, what it measured, what it ran on, and its checkpoints."""

import contextlib
import dataclasses
import hashlib
import importlib.metadata
import json
import os
import pathlib
import platform
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import jax
import numpy as np

from experiments.run.config import Config, as_json, from_json
from experiments.run.distributed import by_the_first
from experiments.run.lock import LOCK
from jaxaug.checks import one_line
from jaxaug.training import Record, cpu_count


@dataclasses.dataclass(frozen=True)
class RunDirectory:
    """Paths of a run, and the files that are written there."""

    path: pathlib.Path

    @property
    def checkpoints(self) -> pathlib.Path:
        """Where the checkpoints lie."""
        return self.path / "checkpoints"

    @property
    def metrics(self) -> pathlib.Path:
        """One JSON object per epoch."""
        return self.path / "metrics.jsonl"

    @property
    def summary(self) -> pathlib.Path:
        """The result of a run that has ended."""
        return self.path / "summary.json"

    def config(self) -> dict[str, Any]:
        """Returns the config as the run was begun with, to the entry: a later version may have more of them."""
        data = json.loads((self.path / "config.json").read_text())
        del data["name"]
        return data

    def records(self) -> list[Record]:
        """Returns the epochs written so far; a line that was cut off while it was written ends the list."""
        if not self.metrics.exists():
            return []
        records: list[Record] = []
        for line in self.metrics.read_text().splitlines():
            try:
                records.append(json.loads(line))
            except json.JSONDecodeError:
                break
        return records

    @by_the_first
    def write_records(self, records: list[Record]) -> None:
        """Replaces the epochs by these, in one step."""
        replace_text(self.metrics, "".join(json.dumps(record) + "\n" for record in records))

    @by_the_first
    def append_record(self, record: Record) -> None:
        """Adds an epoch, and sees it onto the disk before a checkpoint claims it."""
        with written(self.metrics), self.metrics.open("a") as file:
            file.write(json.dumps(record) + "\n")
            file.flush()
            os.fsync(file.fileno())

    def write_summary(self, params: Any) -> dict[str, Any]:
        """Writes and returns the result of the run."""
        records = self.records()
        tested = [record for record in records if record["test_accuracy"] is not None]
        best = max(tested, key=lambda record: record["test_accuracy"])
        summary = {
            "last_test_accuracy": tested[-1]["test_accuracy"],
            "best_test_accuracy": best["test_accuracy"],
            "best_epoch": best["epoch"],
            "epochs": records[-1]["epoch"],
            "steps": records[-1]["step"],
            "seconds": sum(record["seconds"] for record in records),
            "params_sha256": params_sha256(params),
        }
        replace_text(self.summary, json.dumps(summary, indent=2) + "\n")
        return summary


def check_unused(path: pathlib.Path) -> None:
    """Raises `ValueError` if the path holds anything, so that no run is overwritten."""
    if path.exists() and (not path.is_dir() or any(file.name != LOCK for file in path.iterdir())):
        again = f", or continue it with --resume {path}" if (path / "config.json").exists() else ""
        raise ValueError(f"{path} exists and is not empty; name another directory with --run-dir{again}.")


@by_the_first
def write_down(path: pathlib.Path, name: str, config: Config) -> None:
    """Writes down, in its directory, what a new run is."""
    check_unused(path)
    replace_text(path / "environment.json", json.dumps(environment(), indent=2) + "\n")
    replace_text(path / "config.json", json.dumps({"name": name, **as_json(config)}, indent=2) + "\n")


def stored_run(path: pathlib.Path) -> tuple[RunDirectory, str, Config]:
    """Returns the run in a directory, the name of its config, and the config."""
    file = path / "config.json"
    shown = one_line(str(file), limit=500)
    try:
        data = json.loads(file.read_text())
        if not isinstance(data, dict) or not isinstance(name := data.pop("name", None), str):
            raise ValueError("it names no config.")
        return RunDirectory(path), name, from_json(data)
    except (FileNotFoundError, NotADirectoryError):
        raise ValueError(f"{one_line(str(path), limit=500)} holds no run: there is no {shown}.") from None
    except (OSError, RecursionError, ValueError) as error:
        raise ValueError(f"{shown} cannot be read: {one_line(str(error), limit=500)}") from None


def default_path(name: str) -> pathlib.Path:
    """Returns `runs/<config>-<time>`, with a number behind it where two runs begin in the same second."""
    base = pathlib.Path("runs") / f"{name}-{time.strftime('%Y%m%d-%H%M%S')}"
    path, count = base, 1
    while path.exists():
        count += 1
        path = base.with_name(f"{base.name}-{count}")
    return path


def params_sha256(params: Any) -> str:
    """Returns a digest of names, shapes, dtypes and bits of all parameters."""
    digest = hashlib.sha256()
    for path, leaf in jax.tree_util.tree_leaves_with_path(jax.device_get(params)):
        array = np.ascontiguousarray(leaf)
        digest.update(f"{jax.tree_util.keystr(path)} {array.dtype} {array.shape}".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()


def environment() -> dict[str, Any]:
    """Returns what a run's numbers depend on beside its config."""
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
    """Returns the commit of the code, with "+changes" where the working tree differs; None outside a checkout."""
    root = pathlib.Path(__file__).parent
    try:
        commit = subprocess.run(["git", "rev-parse", "HEAD"], cwd=root, capture_output=True, text=True, check=True)
        status = subprocess.run(
            ["git", "status", "--porcelain", "--untracked-files=no"],
            cwd=root,
            capture_output=True,
            text=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return commit.stdout.strip() + ("+changes" if status.stdout.strip() else "")


def replace_text(path: pathlib.Path, text: str) -> None:
    """Writes a file so that at any moment the old or the new one is there, whole."""
    temporary = path.with_name(f".{path.name}.tmp")
    with written(path):
        try:
            with temporary.open("w") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
        except OSError:
            with contextlib.suppress(OSError):
                temporary.unlink()
            raise


@contextlib.contextmanager
def written(path: pathlib.Path) -> Iterator[None]:
    """Says of an error in writing which file it was."""
    try:
        yield
    except OSError as error:
        raise OSError(f"{path} could not be written: {error.strerror}.") from error
