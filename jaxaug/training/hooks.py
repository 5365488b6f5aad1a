"""What a program can do while `fit` trains: show progress, write records, stop the run."""

from typing import Any, NamedTuple

from jaxaug.training.state import TrainState
from jaxaug.training.types import Record, Totals


class Progress(NamedTuple):
    """How far the current epoch is, as plain Python values."""

    epoch: int  # counted from 1
    epochs: int
    step: int  # steps taken in this epoch
    steps: int  # steps in an epoch
    examples: int  # trained on in this epoch so far
    metrics: dict[str, Any]  # means over the epoch so far; a list where a strategy's metric is a vector


class Hooks:
    """Callbacks of `fit`. Override the ones you need; by default they do nothing.

    The state is donated to the next training step. A hook that keeps it must copy it.

    Example:
      >>> class Printed(Hooks):
      ...     def on_epoch(self, record, state, totals):
      ...         print(record["epoch"], record["train_accuracy"])
      >>> Printed().on_epoch({"epoch": 1, "train_accuracy": 0.5}, None, {})
      1 0.5
    """

    seconds_between_progress: float = 0.25

    def should_stop(self) -> bool:
        """Called before every program; true ends the run, and `on_stop` is called.

        With several processes, all of them must return the same answer.
        """
        return False

    def on_progress(self, progress: Progress) -> None:
        """Called at most once every `seconds_between_progress`."""

    def on_epoch(self, record: Record, state: TrainState, totals: Totals) -> None:
        """Called at the end of an epoch, with its record and the (zero) totals that the next epoch starts from."""

    def on_stop(self, state: TrainState, totals: Totals) -> None:
        """Called when `should_stop` ended the run inside an epoch; `fit(..., totals=totals)` resumes from there."""
