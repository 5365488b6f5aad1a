"""A run's directory: its config, environment, metrics, result and checkpoints."""

import contextlib
import dataclasses
import hashlib
import json
import os
import pathlib
import time
from collections.abc import Iterator
from typing import Any

import jax
import numpy as np

from experiments.run.config import Config, as_json, from_json
from experiments.run.distributed import primary_only
from experiments.run.lock import LOCK
from experiments.run.provenance import environment
from jaxaug.checks import one_line
from jaxaug.training import Record


@dataclasses.dataclass(frozen=True)
class RunDirectory:
    """The paths of a run, and the reading and writing of its files."""

    path: pathlib.Path

    @property
    def checkpoints(self) -> pathlib.Path:
        """The directory of the checkpoints."""
        return self.path / "checkpoints"

    @property
    def metrics(self) -> pathlib.Path:
        """One JSON object per epoch."""
        return self.path / "metrics.jsonl"

    @property
    def summary(self) -> pathlib.Path:
        """The result of a finished run."""
        return self.path / "summary.json"

    def config(self) -> dict[str, Any]:
        """Returns the config exactly as it was written; a later version of the code may have more entries."""
        data = json.loads((self.path / "config.json").read_text())
        del data["name"]
        return data

    def records(self) -> list[Record]:
        """Returns the epochs recorded so far, up to the first incomplete line."""
        if not self.metrics.exists():
            return []
        records: list[Record] = []
        for line in self.metrics.read_text().splitlines():
            try:
                records.append(json.loads(line))
            except json.JSONDecodeError:
                break
        return records

    @primary_only
    def write_records(self, records: list[Record]) -> None:
        """Replaces the recorded epochs atomically."""
        replace_text(self.metrics, "".join(json.dumps(record) + "\n" for record in records))

    @primary_only
    def append_record(self, record: Record) -> None:
        """Appends an epoch, and syncs it to disk before a checkpoint refers to it."""
        with naming_file(self.metrics), self.metrics.open("a") as file:
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


def check_empty(path: pathlib.Path) -> None:
    """Raises `ValueError` if the path exists and is not an empty directory, so that no run is overwritten."""
    if path.exists() and (not path.is_dir() or any(file.name != LOCK for file in path.iterdir())):
        resume = f", or continue the run with --resume {path}" if (path / "config.json").exists() else ""
        raise ValueError(f"{path} exists and is not empty; choose another directory with --run-dir{resume}.")


@primary_only
def write_run(path: pathlib.Path, name: str, config: Config) -> None:
    """Writes config and environment of a new run to its directory."""
    check_empty(path)
    replace_text(path / "environment.json", json.dumps(environment(), indent=2) + "\n")
    replace_text(path / "config.json", json.dumps({"name": name, **as_json(config)}, indent=2) + "\n")


def read_run(path: pathlib.Path) -> tuple[RunDirectory, str, Config]:
    """Returns the run in a directory, the name of its config, and the config."""
    file = path / "config.json"
    shown = one_line(str(file), limit=500)
    try:
        data = json.loads(file.read_text())
        if not isinstance(data, dict) or not isinstance(name := data.pop("name", None), str):
            raise ValueError("the name of the config is missing.")
        return RunDirectory(path), name, from_json(data)
    except (FileNotFoundError, NotADirectoryError):
        raise ValueError(f"{one_line(str(path), limit=500)} is not a run directory: it has no config.json.") from None
    except (OSError, RecursionError, ValueError) as error:
        raise ValueError(f"{shown} cannot be read: {one_line(str(error), limit=500)}") from None


def default_path(name: str) -> pathlib.Path:
    """Returns `runs/<config>-<time>`, with a numeric suffix if that exists."""
    base = pathlib.Path("runs") / f"{name}-{time.strftime('%Y%m%d-%H%M%S')}"
    path, count = base, 1
    while path.exists():
        count += 1
        path = base.with_name(f"{base.name}-{count}")
    return path


def params_sha256(params: Any) -> str:
    """Returns a digest of the names, shapes, dtypes and bits of all parameters."""
    digest = hashlib.sha256()
    for path, leaf in jax.tree_util.tree_leaves_with_path(jax.device_get(params)):
        array = np.ascontiguousarray(leaf)
        digest.update(f"{jax.tree_util.keystr(path)} {array.dtype} {array.shape}".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()


def replace_text(path: pathlib.Path, text: str) -> None:
    """Writes a file atomically: at any moment either the old or the new text is there."""
    temporary = path.with_name(f".{path.name}.tmp")
    with naming_file(path):
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
def naming_file(path: pathlib.Path) -> Iterator[None]:
    """Adds the name of the file to an error in writing it."""
    try:
        yield
    except OSError as error:
        raise OSError(f"{path} could not be written: {error.strerror}.") from error
