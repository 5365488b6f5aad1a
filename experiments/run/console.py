"""What a command prints: progress, notes, and errors as one sentence."""

import contextlib
import logging
import shlex
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from typing import Any

from experiments.run.distributed import primary_only
from jaxaug.training import Progress, Record


def exit_status(run: Callable[[], int | None], *expected: type[Exception]) -> int:
    """Runs a command and returns its exit status; an expected error is printed as one sentence and returns 2."""
    try:
        return run() or 0
    except expected as error:
        print(f"error: {error_message(error)}", file=sys.stderr)
        return 2


def typed_command(*words: str) -> str:
    """Returns the running command as it was typed; the words are the module and what precedes the options."""
    return shlex.join(["python", "-m", *words, *sys.argv[1:]])


def error_message(error: Exception) -> str:
    """Returns the message of an error; for an error of the operating system, the file and the reason."""
    if isinstance(error, OSError) and error.filename is not None:
        return f"{error.filename}: {error.strerror}."
    return str(error)


@contextlib.contextmanager
def warnings_as_notes() -> Iterator[None]:
    """Prints warnings as plain sentences."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield
    for warning in caught:
        print(f"note: {warning.message}", file=sys.stderr)


def silence_orbax() -> None:
    """Suppresses the tracebacks that orbax's writer threads log repeatedly for an error that they also raise."""
    for name in ("absl", "asyncio"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    default = sys.unraisablehook
    sys.unraisablehook = lambda error: None if str(error.exc_value) == "Event loop is closed" else default(error)


class Console:
    """Shows a progress bar in each epoch and a line after it; only the lines if `quiet` or not on a terminal."""

    def __init__(self, *, quiet: bool):
        self._bars = not quiet and sys.stderr.isatty()
        self._bar: Any = None
        self._started = 0.0

    def progress(self, progress: Progress) -> None:
        """Updates the bar of the current epoch."""
        if not self._bars:
            return
        if self._bar is None:
            from tqdm import tqdm

            self._bar = tqdm(
                total=progress.steps, desc=f"epoch {progress.epoch}/{progress.epochs}", unit="step", leave=False
            )
            self._started = time.monotonic()
        elapsed = time.monotonic() - self._started
        self._bar.start_t = time.time() - elapsed  # tqdm uses the wall clock, which can be changed during a run
        self._bar.update(progress.step - self._bar.n)
        rate = f"{progress.examples / elapsed:,.0f}" if elapsed > 0 else "?"
        m = progress.metrics
        self._bar.set_postfix_str(f"loss {m['loss']:.3f}, accuracy {m['accuracy']:.3f}, {rate} examples/s")

    @primary_only
    def epoch(self, record: Record, epochs: int) -> None:
        """Closes the bar and prints the epoch's line."""
        self.clear()
        test = ""
        if record["test_accuracy"] is not None:
            test = f"  test loss {record['test_loss']:.3f} accuracy {record['test_accuracy']:.4f}"
        print(
            f"epoch {record['epoch']:{len(str(epochs))}}/{epochs}"
            f"  train loss {record['train_loss']:.3f} accuracy {record['train_accuracy']:.3f}{test}"
            f"  {record['examples_per_second']:,.0f} examples/s  {record['seconds']:.1f} s",
            flush=True,
        )

    def clear(self) -> None:
        """Removes the bar."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None
