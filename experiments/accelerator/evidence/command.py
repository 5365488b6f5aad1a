"""The command line of `experiments.train` that trains a config, built without tyro."""

import dataclasses
import shlex
from collections.abc import Iterator
from typing import Any

from experiments.configs import named_config
from experiments.run.config import Config


def train_command(name: str, config: Config) -> str:
    """Returns the command line that trains `config`, as changes to the named config."""
    return shlex.join(["python", "-m", "experiments.train", *train_arguments(name, config)])


def train_arguments(name: str, config: Config) -> list[str]:
    """Returns the arguments of `experiments.train` that turn the named config into `config`."""
    return [name, *_changes(named_config(name), config)]


def _changes(base: Any, config: Any, prefix: str = "") -> Iterator[str]:
    for field in dataclasses.fields(config):
        before, value = getattr(base, field.name), getattr(config, field.name)
        if dataclasses.is_dataclass(value):
            yield from _changes(before, value, f"{prefix}{field.name}.")
        elif value != before:
            yield from _option(prefix, field.name.replace("_", "-"), value)


def _option(prefix: str, name: str, value: Any) -> list[str]:
    if isinstance(value, bool):
        return [f"--{prefix}{'' if value else 'no-'}{name}"]
    return [f"--{prefix}{name}", *map(str, value if isinstance(value, tuple) else (value,))]
