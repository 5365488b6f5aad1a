"""A signal that asks the command to stop ends it at once, in the middle of a compilation too."""

import os
import signal
import threading
from collections.abc import Callable


def stop_on_signals(before_exit: Callable[[], None]) -> None:
    """Makes SIGINT and SIGTERM call `before_exit` in a thread and end the process with status 128 + signal.

    Python's own handlers wait until the main thread returns from XLA, which can take a minute.
    """
    reads, writes = os.pipe()
    os.set_blocking(writes, False)
    stopping = (signal.SIGINT, signal.SIGTERM)
    for number in stopping:
        signal.signal(number, lambda *_: None)
    signal.set_wakeup_fd(writes, warn_on_full_buffer=False)

    def watch() -> None:
        while (number := os.read(reads, 1)[0]) not in stopping:
            pass
        try:
            before_exit()
        finally:
            os._exit(128 + number)

    threading.Thread(target=watch, name="stop", daemon=True).start()
