"""Stops a run on SIGINT or SIGTERM."""

import os
import signal
import sys
import types

import jax
from jax.experimental import multihost_utils


class StopSignals:
    """Records SIGINT and SIGTERM inside a `with` block; a second signal raises `KeyboardInterrupt`."""

    _handled: tuple[signal.Signals, ...] = (signal.SIGINT, signal.SIGTERM)

    def __init__(self) -> None:
        self.signal: signal.Signals | None = None

    def __enter__(self) -> "StopSignals":
        self._former = {s: signal.signal(s, self._handle) for s in self._handled}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._former.items():
            signal.signal(number, handler)

    def received(self) -> bool:
        """Returns whether to stop; called once between any two programs of a run."""
        return self.signal is not None

    def _handle(self, number: int, frame: types.FrameType | None) -> None:
        if self.signal is not None:
            raise KeyboardInterrupt
        self.signal = signal.Signals(number)
        _announce(self.signal)


class SharedStopSignals(StopSignals):
    """The same for a run of several processes: a signal to any of them stops all of them after the same step.

    SIGTERM is left to JAX's preemption service, which makes the processes agree on a step; SIGINT is turned into it.
    """

    _handled = (signal.SIGINT,)

    def __init__(self) -> None:
        super().__init__()
        self._checks, self._interrupted = 0, False

    def received(self) -> bool:
        """Returns whether all processes stop here."""
        self._checks += 1
        if multihost_utils.reached_preemption_sync_point(self._checks):
            self.signal = signal.SIGTERM
        return self.signal is not None

    def _handle(self, number: int, frame: types.FrameType | None) -> None:
        if self._interrupted:
            raise KeyboardInterrupt
        self._interrupted = True
        _announce(signal.SIGINT)
        os.kill(os.getpid(), signal.SIGTERM)


def _announce(received: signal.Signals) -> None:
    print(f"\n{received.name}: saving after this step; send it again to quit at once.", file=sys.stderr, flush=True)


def stop_signals() -> StopSignals:
    """Returns the handler for a run of this number of processes."""
    return StopSignals() if jax.process_count() == 1 else SharedStopSignals()
