"""Side effects of a reader, as seen by Python's audit hooks."""

import contextlib
import os
import pathlib
import signal
import sys
import types
from collections.abc import Iterator
from typing import Any

# Running code, starting programs, using the network; "import" is raised only for modules not imported yet.
_CODE = ("import", "exec", "code.__new__", "pickle.find_class", "marshal.loads", "ctypes.dlopen", "sys.addaudithook")
_PROGRAMS = ("os.system", "os.exec", "os.posix_spawn", "os.spawn", "os.fork", "os.startfile", "subprocess.", "pty.")
# Not socket.__new__: the event loop of every asynchronous reader creates a pair of sockets.
_NETWORK = ("socket.connect", "socket.bind", "socket.send", "socket.getaddrinfo", "socket.gethost", "urllib.")
_FORBIDDEN = _CODE + _PROGRAMS + _NETWORK
_CHANGES = ("os.remove", "os.rename", "os.rmdir", "os.mkdir", "os.link", "os.symlink", "os.truncate", "os.chmod")
_TWO_PATHS = ("os.rename", "os.link", "os.symlink")
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND

_watches: list["Watch"] = []


class Watch:
    """Records side effects in all threads while it is on; files may be written in one folder.

    With `first=True`, for inputs that trigger imports, it records only programs and the network.
    """

    def __init__(self, folder: pathlib.Path, *, first: bool = False):
        self._folder = os.path.realpath(folder)
        self._first = first
        self._recorded: list[str] = []

    @contextlib.contextmanager
    def on(self) -> Iterator[list[str]]:
        """Yields the list of recorded side effects, as phrases."""
        if not _hooked:
            _hooked.append(sys.addaudithook(_hook))  # audit hooks cannot be removed
        self._recorded = []
        _watches.append(self)
        try:
            yield self._recorded
        finally:
            _watches.remove(self)

    def record(self, event: str, arguments: tuple[Any, ...]) -> None:
        """Records the event if no reader should cause it."""
        if self._first and not event.startswith(_PROGRAMS + _NETWORK):
            return
        paths: tuple[Any, ...] = ()
        if event == "open" and isinstance(arguments[2], int) and arguments[2] & _WRITING:
            paths = arguments[:1]
        elif event in _CHANGES:
            paths = arguments[: 2 if event in _TWO_PATHS else 1]
        if (
            (event == "compile" and not _is_tree(arguments[1]))
            or event.startswith(_FORBIDDEN)
            or not all(map(self._inside, paths))
        ):
            self._recorded.append(f"{event} {arguments!r}"[:200])

    def _inside(self, path: Any) -> bool:
        if isinstance(path, int):  # a file that is already open
            return True
        return os.path.realpath(os.fsdecode(path)).startswith(self._folder + os.sep)


def _is_tree(name: Any) -> bool:
    """Returns whether a text is only parsed: by `ast.parse`, or for a line of a traceback."""
    return os.fsdecode(name) == "<unknown>" or os.path.isfile(name)


_hooked: list[None] = []


def _hook(event: str, arguments: tuple[Any, ...]) -> None:
    for watch in _watches:
        watch.record(event, arguments)


class TooSlow(BaseException):
    """Raised in a reader that exceeds its time; not an `Exception`, so that the reader does not catch it."""


@contextlib.contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """Raises `TooSlow` inside the block after that many seconds, once control returns to Python."""

    def late(number: int, frame: types.FrameType | None) -> None:
        raise TooSlow

    former = signal.signal(signal.SIGALRM, late)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, former)
