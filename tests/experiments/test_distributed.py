"""Runs of several processes, real ones: the same metrics, one writer, and a signal to any that stops all."""

import json
import os
import pathlib
import signal
import socket
import subprocess
import sys
import time

import numpy as np
import pytest
from PIL import Image

ROOT = pathlib.Path(__file__).parents[2]
EPOCHS = 20
ARGUMENTS = ["--model", "mlp(hidden=(16,))", "--strategy", "self_paced(threshold=0.5, score='stored')",
             "--data.validation", "0.1", "--mix", "ricap", "--epochs", str(EPOCHS), "--batch-size", "24",
             "--quiet"]  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root, rng = tmp_path_factory.mktemp("photos"), np.random.default_rng(0)
    for split, count in (("train", 40), ("test", 9)):
        for label, name in enumerate(("ant", "bee", "cow")):
            (root / split / name).mkdir(parents=True)
            for i in range(count - label):
                image = rng.integers(0, 120, (6, 6, 3)) + 60 * label
                Image.fromarray(image.astype(np.uint8)).save(root / split / name / f"{i}.png")
    return root


def started(count: int, devices: int, *arguments: str) -> list[subprocess.Popen]:
    """So many processes of one run, each with so many devices."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    environment = {
        **os.environ,
        "XLA_FLAGS": f"{os.environ.get('XLA_FLAGS', '')} --xla_force_host_platform_device_count={devices}",
        "JAX_PLATFORMS": "cpu",
        "PYTHONUNBUFFERED": "1",
    }
    several = ["--processes.coordinator", address, "--processes.count", str(count), "--processes.index"]
    return [
        subprocess.Popen(
            [sys.executable, "-m", "experiments.train", *arguments, *([*several, str(i)] if count > 1 else [])],
            cwd=ROOT,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for i in range(count)
    ]


def ended(processes: list[subprocess.Popen], status: int = 0) -> list[str]:
    outputs = [process.communicate(timeout=300)[0] for process in processes]
    assert [process.returncode for process in processes] == [status] * len(processes), outputs
    return outputs


def measured(path: pathlib.Path) -> list[dict]:
    lines = [json.loads(line) for line in (path / "metrics.jsonl").read_text().splitlines()]
    left_out = ("seconds", "examples_per_second", "skipped")
    return [{name: value for name, value in line.items() if name not in left_out} for line in lines]


def assert_close(found: list[dict], expected: list[dict]) -> None:
    assert [sorted(line) for line in found] == [sorted(line) for line in expected]
    for one, other in zip(found, expected, strict=True):
        for name, value in one.items():
            np.testing.assert_allclose(value, other[name], rtol=1e-3, atol=1e-4, err_msg=name)


@pytest.fixture(scope="module")
def alone(folder, tmp_path_factory):
    path = tmp_path_factory.mktemp("alone") / "run"
    ended(started(1, 1, "--data.name", f"folder:{folder}", *ARGUMENTS, "--run-dir", str(path)))
    return measured(path)


@pytest.mark.slow
def test_two_processes_that_stream_measure_what_one_does_from_memory(alone, folder, tmp_path):
    path = tmp_path / "run"
    options = ["--data.name", f"folder:{folder}", "--data.stream", *ARGUMENTS, "--run-dir", str(path)]
    outputs = ended(started(2, 2, *options, "--shard-optimizer"))
    assert_close(measured(path), alone)
    assert f"epoch {EPOCHS}/{EPOCHS}" in outputs[0]
    # The collectives print a line of their own.
    assert [line for line in outputs[1].splitlines() if not line.startswith("[Gloo]")] == []


@pytest.mark.slow
@pytest.mark.parametrize(("number", "place"), [(signal.SIGTERM, 1), (signal.SIGINT, 0)])
def test_a_signal_to_one_process_stops_all_and_one_process_goes_on(alone, folder, tmp_path, number, place):
    path = tmp_path / "run"
    # Each epoch is short, so that some are left.
    long = [str(100 * EPOCHS) if argument == str(EPOCHS) else argument for argument in ARGUMENTS]
    constant = ["--optimizer.schedule", "constant", "--optimizer.warmup-epochs", "0"]
    options = ["--data.name", f"folder:{folder}", *long, *constant, "--checkpoint-every", "1000", "--eval-every", "10"]
    processes = started(2, 1, *options, "--run-dir", str(path))
    deadline = time.monotonic() + 200
    while not (path / "metrics.jsonl").exists() and processes[0].poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)
    processes[place].send_signal(number)
    outputs = ended(processes, 128 + signal.SIGTERM)
    assert f"python -m experiments.train --resume {path}" in outputs[0]
    stopped = len(measured(path))
    assert 0 < stopped < 100 * EPOCHS
    (step,) = (int(p.name) for p in (path / "checkpoints").iterdir())
    # A run of another number of processes takes the checkpoint up.
    (process,) = started(1, 2, "--resume", str(path), "--quiet")
    while len(measured(path)) < stopped + 3 and process.poll() is None and time.monotonic() < deadline + 200:
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    (output,) = ended([process], 128 + signal.SIGTERM)
    assert f"Resuming {path} at step {step}." in output
    lines = measured(path)
    assert [line["epoch"] for line in lines] == list(range(1, len(lines) + 1))
    assert len(lines) >= stopped + 3


@pytest.mark.slow
def test_the_loss_of_a_process_ends_the_others_and_the_run_goes_on_without_it(alone, folder, tmp_path):
    path = tmp_path / "run"
    options = ["--data.name", f"folder:{folder}", "--data.stream", *ARGUMENTS, "--checkpoint-every", "1"]
    processes = started(2, 1, *options, "--run-dir", str(path))
    while processes[1].poll() is None and not any(p.name.isdigit() for p in path.glob("checkpoints/*")):
        time.sleep(0.01)
    processes[1].kill()
    processes[1].communicate()
    output, _ = processes[0].communicate(timeout=250)
    # Where it waits for the lost one in writing a checkpoint, jax ends it, once the heartbeats have been missed.
    assert processes[0].returncode in (1, -signal.SIGABRT), output
    if processes[0].returncode == 1:
        assert "error: another process of the run was lost" in output
        assert "Traceback" not in output
    ended(started(1, 1, "--resume", str(path), "--quiet"))
    assert_close(measured(path), alone)


def test_part_of_what_several_processes_take_is_refused():
    (output,) = ended(started(1, 1, "--processes.count", "2"), 2)
    assert output.startswith("error: training with several processes requires --processes.coordinator, ")
    assert len(output.splitlines()) == 1
