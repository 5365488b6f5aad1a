"""The findings of all runs in one directory: JSON lines, each on the disk as soon as it is known."""

import json
import os
import pathlib
import threading
from collections.abc import Iterable
from typing import Any

Line = dict[str, Any]
Name = tuple[str, str, str, str]
"""Stage, name, scale and device kind: what makes two lines findings of the same item."""


class Findings:
    """The lines of a file, and the lines that are appended to it.

    Args:
      path: the file; a line at its end that a killed run wrote by halves is removed.
    """

    def __init__(self, path: pathlib.Path):
        self._path = path
        self._lock = threading.Lock()
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.exists():
            whole, _, _ = path.read_bytes().rpartition(b"\n")
            os.truncate(path, len(whole) + 1 if whole else 0)
        self.lines = read_lines(path)
        self._running = path.with_name("running.json")

    def append(self, line: Line) -> None:
        """Writes a line and sees it onto the disk."""
        text = json.dumps(line) + "\n"
        with self._lock, self._path.open("a") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
            self.lines.append(line)

    def begin(self, line: Line) -> None:
        """Notes that an item begins: if the process dies, the note stays."""
        self._running.write_text(json.dumps(line))

    def end(self, line: Line) -> None:
        """Writes the line of the item that began."""
        self.append(line)
        self._running.unlink(missing_ok=True)

    def died(self) -> Line | None:
        """Returns the line of the item during which an earlier process died, and forgets it; None if there is none."""
        try:
            return json.loads(self._running.read_text())
        except (FileNotFoundError, json.JSONDecodeError):
            return None
        finally:
            self._running.unlink(missing_ok=True)

    def close(self) -> None:
        """Waits until no line is being written, and lets nobody write another: for a process that is told to stop."""
        self._lock.acquire()
        self._running.unlink(missing_ok=True)


def read_lines(path: pathlib.Path) -> list[Line]:
    """Returns the lines of a file, without one at its end that was written by halves; none if there is no file."""
    if not path.exists():
        return []
    whole, _, _ = path.read_text().rpartition("\n")
    return [json.loads(line) for line in whole.splitlines()]


def name_of(line: Line) -> Name:
    """Returns what a line is a finding of."""
    return line["stage"], line["name"], line["scale"], line["device_kind"]


def is_finished(line: Line) -> bool:
    """Returns whether the item of a line need not run again."""
    return "error" not in line


def latest(lines: Iterable[Line]) -> dict[Name, Line]:
    """Returns one line per item, in the order of their first lines: the last finished one, else the last failure."""
    chosen: dict[Name, Line] = {}
    for line in lines:
        name = name_of(line)
        if is_finished(line) or name not in chosen or not is_finished(chosen[name]):
            chosen[name] = line
    return chosen
