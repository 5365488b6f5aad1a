"""A run that is killed at any moment and resumed ends as one that never was: real processes, real signals."""

import json
import os
import pathlib
import random
import signal
import subprocess
import sys
import time

import pytest

ROOT = pathlib.Path(__file__).parents[2]
EPOCHS = 10
ARGUMENTS = ["digits", "--model", "cnn(width=8)", "--data.num-examples", "700", "--data.validation", "0.1",
             "--strategy", "self_paced(threshold=0.5, score='stored')",
             "--epochs", str(EPOCHS), "--quiet"]  # fmt: skip


def started(arguments: list[str]) -> subprocess.Popen:
    environment = {**os.environ, "PYTHONUNBUFFERED": "1", "JAX_PLATFORMS": "cpu"}
    return subprocess.Popen(
        [sys.executable, "-m", "experiments.train", *arguments],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def ended(process: subprocess.Popen) -> str:
    output, _ = process.communicate(timeout=300)
    return output


def wait_for_epoch(path: pathlib.Path, epoch: int, process: subprocess.Popen) -> None:
    """Waits until the run has written that epoch down."""
    deadline = time.monotonic() + 300
    while time.monotonic() < deadline and process.poll() is None:
        metrics = path / "metrics.jsonl"
        if metrics.exists() and len(metrics.read_text().splitlines()) >= epoch:
            return
        time.sleep(0.005)


def outcome(path: pathlib.Path) -> tuple[str, list[dict]]:
    """The digest of the parameters, and every metric that does not come from a clock."""
    lines = [json.loads(line) for line in (path / "metrics.jsonl").read_text().splitlines()]
    kept = [{k: v for k, v in line.items() if k not in ("seconds", "examples_per_second")} for line in lines]
    return json.loads((path / "summary.json").read_text())["params_sha256"], kept


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    path = tmp_path_factory.mktemp("uninterrupted") / "run"
    process = started([*ARGUMENTS, "--run-dir", str(path)])
    output = ended(process)
    assert process.returncode == 0, output
    return outcome(path)


@pytest.mark.slow
def test_killed_three_times_at_random_moments(uninterrupted, tmp_path):
    path = tmp_path / "run"
    seed = random.randrange(2**32)
    draw = random.Random(seed)
    arguments, killed = [*ARGUMENTS, "--run-dir", str(path)], 0
    for epoch in sorted(draw.sample(range(1, EPOCHS - 1), 3)):
        process = started(arguments)
        wait_for_epoch(path, epoch, process)
        time.sleep(draw.random() * 0.2)
        process.kill()
        process.communicate()
        killed += process.returncode == -signal.SIGKILL
        arguments = ["--resume", str(path), "--quiet"]
    process = started(arguments)
    output = ended(process)
    assert process.returncode == 0, f"seed {seed}: {output}"
    assert killed >= 2, f"seed {seed}: the run ended before it was killed"
    assert outcome(path) == uninterrupted, f"seed {seed}"


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_saves_within_the_epoch_and_names_the_command_that_resumes(uninterrupted, tmp_path, number):
    path = tmp_path / "run"
    process = started([*ARGUMENTS, "--run-dir", str(path)])
    wait_for_epoch(path, 3, process)
    process.send_signal(number)
    output = ended(process)
    assert process.returncode == 128 + number, output
    assert f"python -m experiments.train --resume {path}" in output
    assert max(int(p.name) for p in (path / "checkpoints").iterdir()) >= 3
    process = started(["--resume", str(path), "--quiet"])
    output = ended(process)
    assert process.returncode == 0, output
    assert outcome(path) == uninterrupted
