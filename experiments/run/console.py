"""What a command shows on the terminal."""

import contextlib
import logging
import shlex
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from typing import Any

from experiments.run.distributed import by_the_first
from jaxaug.training import Progress, Record


def exit_status(run: Callable[[], int | None], *mistakes: type[Exception]) -> int:
    """Returns what a command ends with: its own status, or 2 after one sentence where one of the mistakes was made."""
    try:
        return run() or 0
    except mistakes as error:
        print(f"error: {sentence(error)}", file=sys.stderr)
        return 2


def typed_command(*words: str) -> str:
    """Returns the running command as it was typed; the words name the module, and what follows before the options."""
    return shlex.join(["python", "-m", *words, *sys.argv[1:]])


def sentence(error: Exception) -> str:
    """Returns what an error says; of one of the operating system, the file and why, without its number."""
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


def silence_writers() -> None:
    """Keeps from the terminal the pages that orbax's writers print, for ever, of an error that they also raise."""
    for name in ("absl", "asyncio"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    shown = sys.unraisablehook
    sys.unraisablehook = lambda error: None if str(error.exc_value) == "Event loop is closed" else shown(error)


class Terminal:
    """A progress bar per epoch and a line when it ends; with `quiet`, or into a file, the lines alone."""

    def __init__(self, *, quiet: bool):
        self._bars = not quiet and sys.stderr.isatty()
        self._bar: Any = None
        self._began = 0.0

    def progress(self, progress: Progress) -> None:
        """Moves the bar of the running epoch."""
        if not self._bars:
            return
        if self._bar is None:
            from tqdm import tqdm

            self._bar = tqdm(
                total=progress.steps, desc=f"epoch {progress.epoch}/{progress.epochs}", unit="step", leave=False
            )
            self._began = time.monotonic()
        elapsed = time.monotonic() - self._began
        self._bar.start_t = time.time() - elapsed  # tqdm asks the clock on the wall, which may be set meanwhile
        self._bar.update(progress.step - self._bar.n)
        rate = f"{progress.examples / elapsed:,.0f}" if elapsed > 0 else "?"
        m = progress.metrics
        self._bar.set_postfix_str(f"loss {m['loss']:.3f}, accuracy {m['accuracy']:.3f}, {rate} examples/s")

    @by_the_first
    def epoch(self, record: Record, epochs: int) -> None:
        """Ends the bar, and prints the epoch's line."""
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
        """Takes the bar away."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None
