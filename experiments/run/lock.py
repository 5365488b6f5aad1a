"""A lock that allows one run at a time in a directory."""

import contextlib
import fcntl
import os
import pathlib
import platform
from collections.abc import Iterator
from typing import IO

LOCK = ".lock"


def check_unlocked(path: pathlib.Path) -> None:
    """Raises `ValueError` if a running process holds the directory."""
    if (path / LOCK).exists():
        with (path / LOCK).open() as file:
            _lock(file, path)


@contextlib.contextmanager
def lock_directory(path: pathlib.Path) -> Iterator[None]:
    """Creates and locks the directory for the duration of the block; the kernel unlocks it however the process ends.

    Raises:
      ValueError: another process holds the directory, or it cannot be created.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
        file = _open_locked(path)
    except OSError as error:
        raise ValueError(
            f"cannot create the run directory {path}: {error.strerror}; fix this, or choose another with --run-dir."
        ) from error
    with file:
        try:
            yield
        finally:
            with contextlib.suppress(OSError):  # an unlocked file does no harm
                (path / LOCK).unlink()


def _open_locked(path: pathlib.Path) -> IO[str]:
    """Returns the open lock file, which names this process; closing it unlocks the directory."""
    while True:
        file = (path / LOCK).open("a+")
        try:
            _lock(file, path)
            # A run that ended in the meantime may have deleted the file that was opened here.
            if (path / LOCK).exists() and os.path.samestat(os.fstat(file.fileno()), (path / LOCK).stat()):
                file.truncate(0)
                file.write(f"process {os.getpid()} on {platform.node()}")
                file.flush()
                return file
        except BaseException:
            file.close()
            raise
        file.close()


def _lock(file: IO[str], path: pathlib.Path) -> None:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.seek(0)
        raise ValueError(
            f"another run is using {path} ({file.read() or 'it has just started'}); wait until it ends, or choose "
            "another directory with --run-dir."
        ) from None
    except OSError:
        pass  # the file system has no locks: two runs cannot be kept apart there
