"""Files of JSON lines."""

import json
import pathlib
from typing import Any

from experiments.run.directory import replace_text


def read_jsonl(path: pathlib.Path) -> list[dict[str, Any]]:
    """Returns the lines of a JSONL file, none if it does not exist."""
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def write_jsonl(path: pathlib.Path, lines: list[dict[str, Any]]) -> None:
    """Writes the lines; at any moment the file has either the old ones or the new ones."""
    path.parent.mkdir(parents=True, exist_ok=True)
    replace_text(path, "".join(json.dumps(line) + "\n" for line in lines))
