"""Two runs that are pointed at one directory."""

import errno
import fcntl
import os
import subprocess
import sys

import pytest

from experiments.run.lock import LOCK, check_unlocked, lock_directory

HOLD = """
import pathlib, sys
from experiments.run.lock import lock_directory
with lock_directory(pathlib.Path(sys.argv[1])):
    input()
"""


def holding(path):
    """Returns a process that holds the directory."""
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(path)], stdin=subprocess.PIPE, stderr=subprocess.PIPE)
    while process.poll() is None and not ((path / LOCK).exists() and (path / LOCK).read_text()):
        pass
    return process


def refused(path):
    """Returns what a second run is told."""
    with pytest.raises(ValueError, match="another run is using") as told, lock_directory(path):
        pass
    with pytest.raises(ValueError, match="another run is using") as checked:
        check_unlocked(path)
    assert str(checked.value) == str(told.value)
    return str(told.value)


def test_the_second_process_is_refused_and_told_of_the_first(tmp_path):
    path = tmp_path / "new" / "run"
    process = holding(path)
    before = (path / LOCK).stat().st_mtime_ns
    sentence = refused(path)
    assert str(path) in sentence
    assert f"process {process.pid} on " in sentence
    assert len(sentence.splitlines()) == 1
    assert (path / LOCK).stat().st_mtime_ns == before
    process.communicate(b"\n", timeout=60)
    assert process.returncode == 0
    assert list(path.iterdir()) == []


def test_a_process_that_is_killed_holds_nothing(tmp_path):
    process = holding(tmp_path)
    process.kill()
    process.communicate(timeout=60)
    assert (tmp_path / LOCK).exists()
    check_unlocked(tmp_path)
    with lock_directory(tmp_path):
        assert f"process {os.getpid()} on " in refused(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_lock_that_was_taken_away_while_it_was_opened_is_not_taken_for_one(tmp_path, monkeypatch):
    """The run before ends between the opening and the locking of its file: that file is nobody's any more."""
    flock, calls = fcntl.flock, []

    def late(file, how):
        if not calls:
            (tmp_path / LOCK).unlink()
        calls.append(how)
        flock(file, how)

    monkeypatch.setattr(fcntl, "flock", late)
    with lock_directory(tmp_path):
        assert len(calls) == 2
        refused(tmp_path)


def test_without_locks_in_the_file_system_a_run_goes_on(tmp_path, monkeypatch):
    def none(file, how):
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", none)
    with lock_directory(tmp_path):
        pass


def test_a_directory_below_a_file_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(ValueError, match=r"cannot create the run directory .*file/run: Not a directory; "),
        lock_directory(tmp_path / "file" / "run"),
    ):
        pass
