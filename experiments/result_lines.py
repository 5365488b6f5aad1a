"""The lines of a table of results: JSONL, one finished row each, and on what it ran."""

import json
import pathlib
from typing import Any

from experiments.run_directory import replace_text


def lines_of(path: pathlib.Path) -> list[dict[str, Any]]:
    """Returns the lines of a JSONL file, none if it is not there."""
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def write_lines(path: pathlib.Path, lines: list[dict[str, Any]]) -> None:
    """Writes the lines, so that at every moment the file holds the old ones or the new ones."""
    path.parent.mkdir(parents=True, exist_ok=True)
    replace_text(path, "".join(json.dumps(line) + "\n" for line in lines))


def machine(environment: dict[str, Any]) -> dict[str, Any]:
    """Returns what a line says of the environment that it was made in."""
    return {name: environment[name] for name in ("versions", "python", "devices", "cpus", "git_revision")}
