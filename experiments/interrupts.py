"""The signals that ask a run to stop."""

import signal
import sys
import types


class Interrupts:
    """Notes SIGINT and SIGTERM while a run is under way; a second one ends it at once."""

    def __init__(self) -> None:
        self.signal: signal.Signals | None = None

    def __enter__(self) -> "Interrupts":
        self._former = {s: signal.signal(s, self._note) for s in (signal.SIGINT, signal.SIGTERM)}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._former.items():
            signal.signal(number, handler)

    def _note(self, number: int, frame: types.FrameType | None) -> None:
        if self.signal is not None:
            raise KeyboardInterrupt
        self.signal = signal.Signals(number)
        print(f"\n{self.signal.name}: saving after this step; once more to leave at once.", file=sys.stderr, flush=True)
