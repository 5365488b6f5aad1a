"""What befalls a run from outside: a full disk, a kill while it saves, a second run, a directory it cannot write."""

import errno
import json
import math
import os
import pathlib
import resource
import signal
import subprocess
import sys
import time

import pytest
from test_resume import ARGUMENTS, ended, outcome, started, wait_for_epoch

from experiments import train
from experiments.run.console import Console
from experiments.run.directory import RunDirectory, replace_text
from jaxaug.training import Progress, complete_steps

WINE = ["--data.name", "wine", "--model", "mlp", "--augment", "gaussian_noise(stddev=0.1)", "--mix", "mixup",
        "--batch-size", "32", "--quiet"]  # fmt: skip
ROOT = pathlib.Path(__file__).parents[2]


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    path = tmp_path_factory.mktemp("uninterrupted") / "run"
    process = started([*ARGUMENTS, "--run-dir", str(path)])
    assert (ended(process), process.returncode)[1] == 0
    return outcome(path)


def stop(process):
    """Returns once nothing in the process moves any more: a signal takes a while to arrive."""
    process.send_signal(signal.SIGSTOP)
    os.waitid(os.P_PID, process.pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)


def resumed(path):
    """Goes on to the end, and returns what it was."""
    process = started(["--resume", str(path), "--quiet"])
    output = ended(process)
    assert process.returncode == 0, output
    assert sorted(p.name for p in path.iterdir() if p.name.startswith(".")) == []
    assert all(p.name.isdigit() for p in (path / "checkpoints").iterdir())
    return outcome(path)


def assert_stopped_in_one_sentence(process, output, path, reason):
    """The epochs, a sentence, and the command that goes on: no traceback."""
    assert process.returncode == 1, output
    lines = [line for line in output.splitlines() if not line.startswith("epoch ")]
    assert len(lines) == 2, output
    assert lines[0].startswith("error: ")
    assert reason in lines[0]
    assert str(path) in lines[0]
    steps = complete_steps(path / "checkpoints")
    assert f"the last checkpoint is at step {steps[-1]}. " in lines[0]
    assert lines[1] == f"  python -m experiments.train --resume {path}"


@pytest.mark.slow
@pytest.mark.parametrize("most", [0, 6000])  # no file at all; metrics, but no checkpoint
def test_where_no_more_can_be_written_the_run_stops_and_can_be_resumed(uninterrupted, tmp_path, most):
    path = tmp_path / "run"
    process = started([*ARGUMENTS, "--run-dir", str(path)])
    wait_for_epoch(path, 3, process)
    resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (most, most))
    output = ended(process)
    assert_stopped_in_one_sentence(process, output, path, "could not be written")
    assert ": File too large. The run stopped; " in output
    assert resumed(path) == uninterrupted


def test_an_epoch_that_cannot_be_written_down_is_one_sentence_and_measured_again(tmp_path, monkeypatch, capsys):
    path, append = tmp_path / "run", RunDirectory.append_record

    def full(directory, record):
        with directory.metrics.open("a") as file:
            file.write('{"epoch": 2, "st')  # as far as there was room
        raise OSError(errno.ENOSPC, "No space left on device", str(directory.metrics))

    monkeypatch.setattr(RunDirectory, "append_record", lambda d, r: (append if r["epoch"] < 2 else full)(d, r))
    assert train.main([*WINE, "--epochs", "3", "--run-dir", str(path)]) == 1
    lines = capsys.readouterr().err.splitlines()
    assert lines == [
        f"error: {path / 'metrics.jsonl'}: No space left on device. The run stopped; the last checkpoint is at step 5. "
        "Fix this, then resume with:",
        f"  python -m experiments.train --resume {path}",
    ]
    monkeypatch.setattr(RunDirectory, "append_record", append)
    assert train.main(["--resume", str(path), "--quiet"]) == 0
    assert [record["epoch"] for record in RunDirectory(path).records()] == [1, 2, 3]


def test_a_file_that_cannot_be_replaced_stays_and_is_named(tmp_path, monkeypatch):
    path = tmp_path / "metrics.jsonl"
    replace_text(path, "old")

    def full(number):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match=r"metrics\.jsonl could not be written: No space left on device\.$"):
        replace_text(path, "new")
    assert [(p.name, p.read_text()) for p in tmp_path.iterdir()] == [("metrics.jsonl", "old")]


@pytest.mark.slow
def test_on_a_full_disk_the_run_stops_and_can_be_resumed(uninterrupted, tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(disk)], capture_output=True).returncode:
        pytest.skip("no disk of its own can be mounted here")
    try:
        path = disk / "run"
        process = started([*ARGUMENTS, "--run-dir", str(path)])
        wait_for_epoch(path, 3, process)
        with (disk / "filling").open("wb", buffering=0) as file:
            try:
                while True:
                    file.write(bytes(4096))
            except OSError:
                pass
        output = ended(process)
        assert_stopped_in_one_sentence(process, output, path, "No space left on device")
        (disk / "filling").unlink()
        assert resumed(path) == uninterrupted
    finally:
        subprocess.run(["umount", str(disk)], check=True)


@pytest.mark.slow
def test_killed_while_it_writes_a_checkpoint_the_one_before_is_taken(uninterrupted, tmp_path):
    path = tmp_path / "run"
    process = started([*ARGUMENTS, "--run-dir", str(path)])
    wait_for_epoch(path, 3, process)
    left = []
    while process.poll() is None and not left:
        if any(not p.name.isdigit() for p in (path / "checkpoints").iterdir()):
            stop(process)
            left = [p.name for p in (path / "checkpoints").iterdir() if not p.name.isdigit()]
            process.send_signal(signal.SIGCONT if not left else signal.SIGKILL)
    process.kill()
    process.communicate()
    assert left, "no checkpoint was met half written"
    assert process.returncode == -signal.SIGKILL
    assert resumed(path) == uninterrupted


@pytest.mark.slow
def test_a_second_run_is_refused_and_a_killed_one_holds_nothing(uninterrupted, tmp_path, capsys):
    path = tmp_path / "run"
    process = started([*ARGUMENTS, "--run-dir", str(path)])
    wait_for_epoch(path, 2, process)
    stop(process)
    try:
        before = {p: p.stat().st_mtime_ns for p in path.rglob("*")}
        for arguments in (["--resume", str(path)], ["--run-dir", str(path)]):
            assert train.main(arguments) == 2
            error = capsys.readouterr().err
            assert error.startswith(f"error: another run is using {path} (process {process.pid} on ")
            assert error.count("\n") == 1
        assert {p: p.stat().st_mtime_ns for p in path.rglob("*")} == before
    finally:
        process.kill()
        process.communicate()
    assert resumed(path) == uninterrupted


# Takes from root the right to write and read everything, then begins the program that is its first argument.
AS_OTHERS = """
import ctypes, os, sys
for capability in (1, 2):  # CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH
    ctypes.CDLL(None).prctl(24, capability, 0, 0, 0)  # PR_CAPBSET_DROP
os.execv(sys.executable, [sys.executable, "-c", sys.argv[1]])
"""


def test_what_cannot_be_written_or_read_is_one_sentence(tmp_path):
    path = tmp_path / "finished"
    assert train.main([*WINE, "--epochs", "1", "--run-dir", str(path)]) == 0
    (path / "summary.json").unlink()
    (tmp_path / "file").write_text("")
    unreadable, closed = tmp_path / "unreadable", tmp_path / "closed"
    for directory in (unreadable, closed):
        directory.mkdir()
    (unreadable / "config.json").write_text((path / "config.json").read_text())
    (unreadable / "config.json").chmod(0)
    closed.chmod(0o555)
    path.chmod(0o555)
    cases = [
        (["--run-dir", str(closed / "run")], f"{closed / 'run'}: Permission denied; "),
        (["--run-dir", str(closed)], f"{closed}: Permission denied; "),
        (["--run-dir", str(tmp_path / "file" / "run")], f"{tmp_path / 'file' / 'run'}: Not a directory; "),
        (["--resume", str(unreadable)], "config.json cannot be read: "),
        (["--resume", str(path)], f"{path}: Permission denied; "),
    ]
    calls = [arguments if "--resume" in arguments else [*WINE, *arguments] for arguments, _ in cases]
    program = f"from experiments import train\nfor a in {calls!r}: print(train.main(a), flush=True)"
    done = subprocess.run(
        [sys.executable, "-c", AS_OTHERS, program],
        cwd=ROOT,
        env={**os.environ, "JAX_PLATFORMS": "cpu"},
        capture_output=True,
        text=True,
    )
    path.chmod(0o755)
    assert done.stdout.split() == ["2"] * len(cases), done.stderr
    lines = done.stderr.splitlines()
    assert len(lines) == len(cases), done.stderr
    for line, (_, said) in zip(lines, cases, strict=True):
        assert line.startswith("error: ")
        assert said in line
    assert not (path / "summary.json").exists()


def test_a_clock_that_is_set_back_changes_no_rate(tmp_path, monkeypatch):
    clock, append = time.time, RunDirectory.append_record

    def set_back(directory, record):
        append(directory, record)
        monkeypatch.setattr(time, "time", lambda: clock() - 86400.0 * record["epoch"])

    monkeypatch.setattr(RunDirectory, "append_record", set_back)
    path = tmp_path / "run"
    assert train.main([*WINE, "--epochs", "3", "--run-dir", str(path)]) == 0
    records = RunDirectory(path).records()
    assert [record["epoch"] for record in records] == [1, 2, 3]
    for record in records:
        assert 0 < record["seconds"] < 600
        assert 0 < record["examples_per_second"] < math.inf
    assert 0 < json.loads((path / "summary.json").read_text())["seconds"] < 600
    assert complete_steps(path / "checkpoints") == [10, 15]


def test_the_bar_keeps_time_when_the_clock_is_set_back(monkeypatch, capsys):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    console, clock = Console(quiet=False), time.time
    console.progress(Progress(1, 2, 1, 10, 64, {"loss": 1.0, "accuracy": 0.5}))
    monkeypatch.setattr(time, "time", lambda: clock() - 86400.0)
    console._bar._time = time.time  # tqdm has a name of its own for it
    time.sleep(0.2)
    console.progress(Progress(1, 2, 2, 10, 128, {"loss": 1.0, "accuracy": 0.5}))
    shown = capsys.readouterr().err.rsplit("accuracy 0.500, ")[-1].split(" examples/s")[0]
    assert 128 / 600 < float(shown.replace(",", "")) <= 128 / 0.2
    assert 0.2 <= console._bar.format_dict["elapsed"] < 600
    console.clear()
