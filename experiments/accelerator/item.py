"""What the accelerator is asked: options, and items that each record one finding."""

import dataclasses
from collections.abc import Callable
from typing import Any, Literal

Scale = Literal["full", "tiny"]


@dataclasses.dataclass(frozen=True)
class Options:
    """What every stage is told."""

    scale: Scale = "full"
    """"full" fills an accelerator; "tiny" rehearses every item on a CPU in seconds."""
    data: str | None = None
    """A dataset of `jaxaug.load`, such as "folder:DIR"; None leaves out the items that need images."""


@dataclasses.dataclass(frozen=True)
class Item:
    """One finding: a name, what it is expected to take, and the function that measures it."""

    stage: str
    name: str
    """Unique within the stage; a finished item is not run again."""
    seconds: float
    """Estimate on an H100, compilation included."""
    run: Callable[[], dict[str, Any]]
    """Measures, and returns what the line of the finding holds."""
    settings: dict[str, Any] = dataclasses.field(default_factory=dict)
    """Copied into the line: sizes, dtype, contender, ..."""
    prepare: Callable[[], None] | None = None
    """Starts, in a thread, what can be done while the item before runs, such as compiling; returns at once.

    It is called before `run`, once or more often, in the order of the items."""


class ItemError(Exception):
    """An item that failed and still found something: its line keeps both, and a later run tries it again."""

    def __init__(self, message: str, result: dict[str, Any]):
        super().__init__(message)
        self.result = result
