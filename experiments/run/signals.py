"""The signals that ask a run to stop."""

import os
import signal
import sys
import types

import jax
from jax.experimental import multihost_utils


class Interrupts:
    """Notes SIGINT and SIGTERM while a run is under way; a second one ends it at once."""

    def __init__(self) -> None:
        self.signal: signal.Signals | None = None

    def __enter__(self) -> "Interrupts":
        self._former = {s: signal.signal(s, self._note) for s in self._noted}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._former.items():
            signal.signal(number, handler)

    _noted: tuple[signal.Signals, ...] = (signal.SIGINT, signal.SIGTERM)

    def asked(self) -> bool:
        """Returns whether a signal has come; asked once between any two programs of a run."""
        return self.signal is not None

    def _note(self, number: int, frame: types.FrameType | None) -> None:
        if self.signal is not None:
            raise KeyboardInterrupt
        self.signal = signal.Signals(number)
        print(f"\n{self.signal.name}: saving after this step; once more to leave at once.", file=sys.stderr, flush=True)


class SharedInterrupts(Interrupts):
    """The same for a run of several processes: a signal to any of them stops all, after the same step.

    SIGTERM is left to jax's preemption service, which tells the others of it and agrees with them on a step; SIGINT is
    handed on as one.
    """

    _noted = (signal.SIGINT,)

    def __init__(self) -> None:
        super().__init__()
        self._asked, self._interrupted = 0, False

    def asked(self) -> bool:
        """Returns whether this is the moment at which all processes stop."""
        self._asked += 1
        if multihost_utils.reached_preemption_sync_point(self._asked):
            self.signal = signal.SIGTERM
        return self.signal is not None

    def _note(self, number: int, frame: types.FrameType | None) -> None:
        if self._interrupted:
            raise KeyboardInterrupt
        self._interrupted = True
        print("\nSIGINT: saving after this step; once more to leave at once.", file=sys.stderr, flush=True)
        os.kill(os.getpid(), signal.SIGTERM)


def interrupts() -> Interrupts:
    """Returns what notes the signals of a run of these processes."""
    return Interrupts() if jax.process_count() == 1 else SharedInterrupts()
