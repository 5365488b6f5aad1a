"""One run at a time in a directory."""

import contextlib
import fcntl
import os
import pathlib
import platform
from collections.abc import Iterator
from typing import IO

LOCK = ".lock"


def check_no_run_under_way(path: pathlib.Path) -> None:
    """Raises `ValueError` if a process holds the directory."""
    if (path / LOCK).exists():
        with (path / LOCK).open() as file:
            _take(file, path)


@contextlib.contextmanager
def sole_run(path: pathlib.Path) -> Iterator[None]:
    """Makes and holds the directory while the block runs, or raises `ValueError` where another process holds it.

    The kernel lets go of it when this process ends, however it ends.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
        file = _held(path)
    except OSError as error:
        raise ValueError(
            f"a run cannot be kept in {path}: {error.strerror}; mend that, or name another directory with --run-dir."
        ) from error
    with file:
        try:
            yield
        finally:
            with contextlib.suppress(OSError):  # what remains of it is in nobody's way
                (path / LOCK).unlink()


def _held(path: pathlib.Path) -> IO[str]:
    """Returns the lock's file, which is locked as long as it is open, and says by whom."""
    while True:
        file = (path / LOCK).open("a+")
        try:
            _take(file, path)
            # The run that held it may have ended just now, and taken away the file that was opened.
            if (path / LOCK).exists() and os.path.samestat(os.fstat(file.fileno()), (path / LOCK).stat()):
                file.truncate(0)
                file.write(f"process {os.getpid()} on {platform.node()}")
                file.flush()
                return file
        except BaseException:
            file.close()
            raise
        file.close()


def _take(file: IO[str], path: pathlib.Path) -> None:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.seek(0)
        raise ValueError(
            f"a run is under way in {path} ({file.read() or 'just begun'}); wait until it has ended, or name another "
            "directory with --run-dir."
        ) from None
    except OSError:
        pass  # a file system without locks: there, nobody keeps two runs apart
